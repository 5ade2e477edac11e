package renderer

import (
	"strings"

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
	all                       bool
	name, labels, vars, links bool
}

func (v view) of(part string) bool {
	switch part {
	case "name":
		return v.all || v.name
	case "labels":
		return v.all || v.labels
	case "vars":
		return v.all || v.vars
	}
	return v.all || v.links
}

// viewsOf are the views of the definitions in files, of which a later one's takes
// the place of one before of the same name. A name that is defined twice in files
// that are all the repo's own is not sure to be seen whole.
func viewsOf(own []source) map[string]view {
	views := make(map[string]view)
	for _, f := range libraryFiles() {
		readViews(f, func(name string, v view) { views[name] = v })
	}
	twice := make(map[string]bool)
	for _, f := range own {
		readViews(f, func(name string, v view) {
			if twice[name] {
				v = view{all: true}
			}
			twice[name] = true
			views[name] = v
		})
	}
	return views
}

func readViews(f source, tell func(string, view)) {
	parsed, err := parser.ParseFile(f.name, f.data)
	if err != nil {
		return
	}
	for _, d := range parsed.Decls {
		if field, ok := d.(*ast.Field); ok {
			if name, ok := strings.CutPrefix(label(field), "#"); ok {
				tell(name, viewOf(field.Value))
			}
		}
	}
}

// viewOf reads a definition. One that is made of others, or has its fields from
// anywhere but itself, sees all.
func viewOf(def ast.Expr) view {
	all := view{all: true}
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
			v.name = true
		case "labels":
			v.labels = true
		case "vars":
			v.vars = true
		case "links":
			v.links = true
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
