package renderer

import (
	"embed"
	"path"
	"slices"
	"strings"
	"sync"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"
)

// libraryName is how the built-in kinds are called; their files go by it in
// mistakes.
const libraryName = "setpoint/kinds/v1"

//go:embed library/v1/*.cue
var library embed.FS

// libraryFiles are the library's files by name. They are compiled in: that they
// can be read and parsed is a test's business.
func libraryFiles() []source {
	entries, _ := library.ReadDir("library/v1")
	out := make([]source, 0, len(entries))
	for _, e := range entries {
		data, _ := library.ReadFile(path.Join("library/v1", e.Name()))
		out = append(out, source{name: path.Join(libraryName, e.Name()), data: data})
	}
	return out
}

// libraryNames are the names of the built-in kinds, sorted.
var libraryNames = sync.OnceValue(func() []string {
	var out []string
	for _, f := range libraryFiles() {
		parsed, err := parser.ParseFile(f.name, f.data)
		if err != nil {
			continue
		}
		for _, name := range declared(parsed) {
			if fieldOf(definitionOf(parsed, name), openconfigPart) != nil {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
})

// declared are the names of a file's definitions, without "#".
func declared(f *ast.File) []string {
	var out []string
	for _, decl := range f.Decls {
		if name, ok := strings.CutPrefix(label(decl), "#"); ok {
			out = append(out, name)
		}
	}
	return out
}

// definitionOf is the value of a file's top-level definition, nil without one.
func definitionOf(f *ast.File, name string) ast.Expr {
	for _, decl := range f.Decls {
		if field, ok := decl.(*ast.Field); ok && label(decl) == "#"+name {
			return field.Value
		}
	}
	return nil
}

// fieldOf is a struct literal's field, nil without one.
func fieldOf(e ast.Expr, name string) *ast.Field {
	s, ok := e.(*ast.StructLit)
	if !ok {
		return nil
	}
	for _, elt := range s.Elts {
		if field, ok := elt.(*ast.Field); ok && label(elt) == name {
			return field
		}
	}
	return nil
}

// label is a field's name, "" of what has none.
func label(d ast.Decl) string {
	f, ok := d.(*ast.Field)
	if !ok {
		return ""
	}
	name, _, err := ast.LabelName(f.Label)
	if err != nil {
		return ""
	}
	return name
}

// without takes definitions out of a file, and the imports that nothing else in
// it uses: CUE refuses those.
func without(f *ast.File, names []string) {
	n := len(f.Decls)
	f.Decls = slices.DeleteFunc(f.Decls, func(d ast.Decl) bool {
		name, ok := strings.CutPrefix(label(d), "#")
		return ok && slices.Contains(names, name)
	})
	if len(f.Decls) == n {
		return
	}
	used := make(map[string]bool)
	for _, d := range f.Decls {
		if _, isImport := d.(*ast.ImportDecl); isImport {
			continue
		}
		ast.Walk(d, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				used[id.Name] = true
			}
			return true
		}, nil)
	}
	unused := func(s *ast.ImportSpec) bool { return !used[importName(s)] }
	for _, d := range f.Decls {
		if imports, ok := d.(*ast.ImportDecl); ok {
			imports.Specs = slices.DeleteFunc(imports.Specs, unused)
		}
	}
	f.Decls = slices.DeleteFunc(f.Decls, func(d ast.Decl) bool {
		imports, ok := d.(*ast.ImportDecl)
		return ok && len(imports.Specs) == 0
	})
}

// importName is the name that an import of one of CUE's packages goes by.
func importName(s *ast.ImportSpec) string {
	if s.Name != nil {
		return s.Name.Name
	}
	name := s.Path.Value
	return path.Base(name[1 : len(name)-1])
}
