package renderer

import (
	"strings"
	"sync"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"
)

// view is what of a device a kind looks at. What it can't see makes no difference
// to what it brings forth, so it is not asked again when that changes, and devices
// that look the same to it share one answer.
//
// It is read off the kind's syntax, and where that leaves any doubt a kind sees
// all.
type view struct {
	All                       bool `json:",omitempty"`
	Name, Labels, Vars, Links bool `json:",omitempty"`
}

func (v view) of(part string) bool {
	switch part {
	case "name":
		return v.All || v.Name
	case "labels":
		return v.All || v.Labels
	case "vars":
		return v.All || v.Vars
	}
	return v.All || v.Links
}

// libraryViews are the views of the library's definitions.
var libraryViews = sync.OnceValue(func() map[string]view {
	views := make(map[string]view)
	for _, f := range libraryFiles() {
		parsed, err := parser.ParseFile(f.name, f.data)
		if err != nil {
			continue
		}
		for _, name := range declared(parsed) {
			views[name] = viewOf(definitionOf(parsed, name))
		}
	}
	return views
})

// viewOf reads a definition. One that is made of others, or has its fields from
// anywhere but itself, sees all.
func viewOf(def ast.Expr) view {
	all := view{All: true}
	s, ok := def.(*ast.StructLit)
	if !ok {
		return all
	}
	var device *ast.Field
	for _, elt := range s.Elts {
		switch elt := elt.(type) {
		case *ast.LetClause, *ast.CommentGroup:
		case *ast.Field:
			switch label(elt) {
			case "": // a pattern, or a computed name
				return all
			case "device":
				if device != nil {
					return all
				}
				device = elt
			}
		default:
			return all
		}
	}
	if device == nil {
		return all
	}
	in, ok := device.Value.(*ast.StructLit)
	if !ok {
		return all
	}
	if len(in.Elts) == 1 {
		if rest, open := in.Elts[0].(*ast.Ellipsis); open && rest.Type == nil && !mentions(s, device, "device") {
			return view{}
		}
	}
	var v view
	for _, elt := range in.Elts {
		field, ok := elt.(*ast.Field)
		if !ok {
			return all
		}
		switch label(field) {
		case "name":
			v.Name = true
		case "labels":
			v.Labels = true
		case "vars":
			v.Vars = true
		case "links":
			v.Links = true
		default:
			return all
		}
	}
	return v
}

// mentions tells whether a word stands in a struct anywhere but in one field: as a
// name, or in a text.
func mentions(s *ast.StructLit, but *ast.Field, word string) bool {
	found := false
	for _, elt := range s.Elts {
		if elt == ast.Decl(but) {
			continue
		}
		ast.Walk(elt, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Ident:
				found = found || n.Name == word
			case *ast.BasicLit:
				found = found || strings.Contains(n.Value, word)
			}
			return !found
		}, nil)
	}
	return found
}
