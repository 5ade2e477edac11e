package renderer

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"
)

// definition is what a description says of one of a program's definitions, by its
// text and, where the program compiles, by what CUE makes of it.
type definition struct {
	Name      string // without "#"
	At        position
	Own       bool                   `json:",omitempty"` // the program's own, not the library's
	Overrides bool                   `json:",omitempty"` // it takes the place of the library's
	Doc       string                 `json:",omitempty"` // its comment, without the example
	Example   string                 `json:",omitempty"` // from the comment's "Example:"
	Written   []string               `json:",omitempty"` // those of the fields asked after that are in its text
	Has       []string               `json:",omitempty"` // and those that CUE finds; none where the program has faults
	Members   map[string][]KindField `json:",omitempty"` // what is below Written, but not below the output
	Shape     json.RawMessage        `json:",omitempty"` // JSON Schema of the field that is asked for
	Needed    bool                   `json:",omitempty"` // and whether a document must give it
	Sees      view                   // what it looks at of a device, should it be a kind
	Fields    []fieldAt              `json:",omitempty"` // what stands in its text
	Declares  map[string][]string    `json:",omitempty"` // the fields within each of Parts; "..." is among them where there may be others
}

// fieldAt is a field with its place.
type fieldAt struct {
	Name string
	At   position
}

// step is what a slow description is at.
type step struct {
	Name string // of a definition; "" outside of any
	At   position
}

func (s step) String() string {
	data, _ := json.Marshal(s) // strings and numbers: it has no error
	return string(data)
}

func decodeStep(text string) step {
	var s step
	if json.Unmarshal([]byte(text), &s) != nil {
		return step{}
	}
	return s
}

func decodeDescription(data []byte) ([]definition, error) {
	var list []definition
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("read the description of a program: %w", err)
	}
	return list, nil
}

// describe tells of a program's definitions and of all that is wrong with its text.
// The value is a list of definitions, by name, also when there are complaints: of
// the files that can be read.
func (s *programSource) describe(q *question, told func(string)) *answer {
	a := &answer{}
	parts := append(q.Parts, q.Output)
	found := make(map[string]*definition)
	shelf := make(map[string]ast.Expr)
	var library, own []*ast.File
	for _, f := range s.Library {
		if parsed, err := parser.ParseFile(f.Name, f.Data, parser.ParseComments); err == nil {
			library = append(library, parsed)
			s.enter(parsed, f.Name, found, shelf, false)
		}
	}
	helpers := helpersOf(library, q.Output)
	for _, f := range s.Files {
		if q.Slow {
			told(step{At: position{File: f.Name}}.String())
		}
		parsed, err := parser.ParseFile(f.Name, f.Data, parser.ParseComments)
		for _, c := range complaintsOf(err, nil) {
			if c.At == nil {
				c.At = &position{File: f.Name}
			}
			a.Complaints = append(a.Complaints, c)
		}
		if err == nil {
			own = append(own, parsed)
			a.Complaints = append(a.Complaints, s.misfits(parsed, f.Name)...)
			s.enter(parsed, f.Name, found, shelf, true)
		}
	}
	a.Complaints = append(a.Complaints, helpers.changed(own, library)...)
	list := make([]definition, 0, len(found))
	look := &shaper{shelf: shelf, unclear: unclear(library, own)}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		d := found[name]
		d.read(shelf, q)
		if q.Shape != "" {
			v := look.part(name, q.Shape)
			d.Shape, _ = json.Marshal(v.schema) // of what JSON has
			d.Needed = v.needed
		}
		list = append(list, *d)
	}
	if len(a.Complaints) == 0 {
		a.Complaints = s.try(q, own, told, list, parts)
	}
	a.value, _ = json.Marshal(list) // as above
	return a
}

// try compiles the program and sees what its definitions have. Asked to be slow it
// compiles one definition after the other, so that it is known which does not end.
func (s *programSource) try(q *question, own []*ast.File, told func(string), list []definition, parts []string) []complaint {
	if q.Slow {
		told(step{At: position{File: s.Files[0].Name}}.String())
		s.alone("", own)
		for _, d := range list {
			if d.Own {
				told(step{d.Name, d.At}.String())
				s.alone(d.Name, own)
			}
		}
		told(step{At: position{File: s.Files[0].Name}}.String())
	}
	c := &compiled{source: *s}
	if err := c.compile(); err != nil {
		return complaintsOf(err, nil)
	}
	for i := range list {
		def := c.value.LookupPath(definitionPath(list[i].Name))
		if at := positionOf(def.Pos()); at != nil {
			list[i].At = *at
		}
		for _, part := range parts {
			if def.LookupPath(fieldPath(part)).Exists() {
				list[i].Has = append(list[i].Has, part)
			}
		}
	}
	return nil
}

// alone compiles one of the program's own definitions with those that it names,
// without a name those parts that are in no definition.
func (s *programSource) alone(name string, own []*ast.File) {
	keep := reach(name, own)
	var drop []string
	for _, f := range own {
		for _, other := range declared(f) {
			if !keep[other] {
				drop = append(drop, other)
			}
		}
	}
	files, err := s.parse(drop)
	if err != nil {
		return
	}
	if v, err := buildFiles(s.Package, files); err == nil {
		_ = v.Validate() // what is wrong is found when all is compiled
	}
}

// reach are the definitions that one names, itself included, and those that they
// name.
func reach(name string, files []*ast.File) map[string]bool {
	out := map[string]bool{}
	todo := []string{name}
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if out[name] {
			continue
		}
		out[name] = true
		for _, f := range files {
			if def := definitionOf(f, name); def != nil {
				ast.Walk(def, func(n ast.Node) bool {
					if id, ok := n.(*ast.Ident); ok && strings.HasPrefix(id.Name, "#") {
						todo = append(todo, id.Name[1:])
					}
					return true
				}, nil)
			}
		}
	}
	return out
}

// misfits holds a file to the program's package and to CUE's own packages:
// whatever else it imported would have to come from somewhere.
func (s *programSource) misfits(f *ast.File, name string) []complaint {
	var out []complaint
	if pkg := f.PackageName(); pkg != s.Package {
		out = append(out, complaint{Sort: otherPackage, Text: pkg, At: &position{name, 1, 1}})
	}
	for spec := range f.ImportSpecs() {
		path, err := strconv.Unquote(spec.Path.Value)
		first, _, _ := strings.Cut(path, "/")
		if err != nil || strings.ContainsAny(first, ".:@") || first == "tool" {
			out = append(out, complaint{Sort: foreignImport, Text: spec.Path.Value, At: positionOf(spec.Pos())})
		}
	}
	return out
}

// helpers are the definitions of a library that its others share: those without an
// output of their own.
type helpers map[string]bool

func helpersOf(library []*ast.File, output string) helpers {
	out := make(helpers)
	for _, f := range library {
		for _, name := range declared(f) {
			if fieldOf(definitionOf(f, name), output) == nil {
				out[name] = true
			}
		}
	}
	return out
}

// changed complains of a program's own definitions that would take the place of a
// helper under the library's definitions that use it, unless the program has those
// of its own as well.
func (h helpers) changed(own, library []*ast.File) []complaint {
	var out []complaint
	mine := make(map[string]bool)
	for _, f := range own {
		for _, name := range declared(f) {
			mine[name] = true
		}
	}
	for _, f := range own {
		for _, d := range f.Decls {
			name, ok := strings.CutPrefix(label(d), "#")
			if !ok || !h[name] {
				continue
			}
			var users []string
			for _, lib := range library {
				for _, user := range declared(lib) {
					if !h[user] && !mine[user] && reach(user, library)[name] {
						users = append(users, user)
					}
				}
			}
			if len(users) > 0 {
				slices.Sort(users)
				out = append(out, complaint{Sort: sharedHelper, Text: name, At: positionOf(d.Pos()), Known: users})
			}
		}
	}
	return out
}

// enter notes a file's definitions. A later file's takes the place of an earlier's.
func (s *programSource) enter(f *ast.File, file string, found map[string]*definition, shelf map[string]ast.Expr, own bool) {
	for _, decl := range f.Decls {
		name, ok := strings.CutPrefix(label(decl), "#")
		if !ok {
			continue
		}
		field := decl.(*ast.Field) // nothing else has a label
		before := found[name]
		d := &definition{Name: name, At: position{File: file}, Own: own, Overrides: before != nil && (!before.Own || before.Overrides), Sees: viewOf(field.Value)}
		if own && before != nil && before.Own { // not sure to be seen whole
			d.Sees = view{All: true}
		}
		if at := positionOf(field.Pos()); at != nil {
			d.At = *at
		}
		d.Doc, d.Example = docAndExample(field)
		found[name], shelf[name] = d, field.Value
	}
}

// read reads a definition's fields off its text.
func (d *definition) read(shelf map[string]ast.Expr, q *question) {
	def := shelf[d.Name]
	g := glossary{shelf: shelf, kind: def}
	for _, part := range q.Parts {
		if f := fieldOf(def, part); f != nil {
			d.Written = append(d.Written, part)
			if d.Declares == nil {
				d.Declares = make(map[string][]string)
			}
			d.Declares[part] = labels(f.Value)
			if d.Members == nil {
				d.Members = make(map[string][]KindField)
			}
			d.Members[part] = g.fields(f.Value, "", 0)
		}
	}
	if fieldOf(def, q.Output) != nil {
		d.Written = append(d.Written, q.Output)
	}
	if s, ok := def.(*ast.StructLit); ok {
		for _, elt := range s.Elts {
			if at := positionOf(elt.Pos()); label(elt) != "" && at != nil {
				d.Fields = append(d.Fields, fieldAt{label(elt), *at})
			}
		}
	}
}

// labels are the names of a struct's fields, and "..." for what else it may have.
func labels(e ast.Expr) []string {
	s, ok := e.(*ast.StructLit)
	if !ok {
		return []string{"..."}
	}
	out := []string{}
	for _, elt := range s.Elts {
		name := label(elt)
		if _, comment := elt.(*ast.CommentGroup); comment {
			continue
		}
		if name == "" {
			name = "..."
		}
		out = append(out, name)
	}
	return out
}

// unclear are the names of files' tops that one text does not settle: definitions
// that a program's own files write twice, and all that is no definition.
func unclear(library, own []*ast.File) map[string]bool {
	out, mine := make(map[string]bool), make(map[string]bool)
	for _, f := range slices.Concat(library, own) {
		for _, decl := range f.Decls {
			name := label(decl)
			if let, ok := decl.(*ast.LetClause); ok {
				name = let.Ident.Name
			}
			if !strings.HasPrefix(name, "#") {
				out[name] = true
			}
		}
		for spec := range f.ImportSpecs() {
			out[importName(spec)] = true
		}
	}
	for _, f := range own {
		for _, name := range declared(f) {
			out["#"+name] = out["#"+name] || mine[name]
			mine[name] = true
		}
	}
	return out
}
