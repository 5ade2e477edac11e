package renderer

import (
	"context"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/format"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/token"

	"github.com/setpoint-net/setpoint/models"
)

// Kind is what a kind says of itself, in its definition and the comments there.
type Kind struct {
	Name      string      `json:"name"`
	Doc       string      `json:"doc"`               // the definition's comment, without the example
	Example   string      `json:"example,omitempty"` // YAML documents, from the comment's "Example:"
	File      string      `json:"file"`              // such as setpoint/kinds/v1/acl.cue or kinds/acl.cue
	BuiltIn   bool        `json:"builtIn"`           // it is the library's
	Overrides bool        `json:"overrides"`         // it is the repo's and has a name of the library's
	Fields    []KindField `json:"fields"`            // of spec, depth first
	Vars      []KindField `json:"vars,omitempty"`    // that it asks of the device
	Source    []byte      `json:"-"`                 // the text of File
}

// KindField is one field that a document gives, or a var that a device does.
type KindField struct {
	Name     string `json:"name"`              // such as vlans[].id: within spec, or within vars
	Type     string `json:"type"`              // in CUE's words, shortened
	Default  string `json:"default,omitempty"` // CUE's literal
	Required bool   `json:"required"`          // in each document; a kind may ask for more, depending on other fields
	Doc      string `json:"doc"`
}

// Kinds are the kinds that documents of a config repo may be of, by name: the
// library's, and the repo's own, which may override them. A nil repo has none of
// its own. Mistakes are those of the repo's kinds; a file with one is left out.
// The error is one of reading the repo, of the Evaluator, or ctx's.
func (r *Renderer) Kinds(ctx context.Context, repo fs.FS) ([]Kind, []models.Mistake, error) {
	l := &ledger{}
	k, err := r.known(ctx, repo, l)
	if err != nil {
		return nil, nil, err
	}
	text := make(map[string][]byte)
	for _, f := range append(libraryFiles(), k.files...) {
		text[f.name] = f.data
	}
	out := make([]Kind, 0, len(k.described))
	for _, d := range k.described {
		if !slices.Contains(d.Written, openconfigPart) {
			continue
		}
		kind := Kind{
			Name: d.Name, Doc: d.Doc, Example: d.Example, File: d.At.File, Source: text[d.At.File],
			BuiltIn: !d.Own, Overrides: d.Overrides, Fields: d.Members[specPart],
		}
		for _, f := range d.Members[devicePart] {
			if name, ok := strings.CutPrefix(f.Name, "vars."); ok {
				f.Name = name
				kind.Vars = append(kind.Vars, f)
			}
		}
		out = append(out, kind)
	}
	slices.SortFunc(out, func(a, b Kind) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return out, settle(l.list), nil
}

// known are the kinds of a repo, described.
func (r *Renderer) known(ctx context.Context, repo fs.FS, l *ledger) (*kinds, error) {
	var own []source
	if repo != nil {
		src, err := gather(ctx, kindsOnly{repo}, new(shelf[fileID, *parsed]), l)
		if err != nil {
			return nil, err
		}
		own = src.kinds
	}
	k, err := r.compile(ctx, own, l)
	if err != nil {
		return nil, err
	}
	if len(k.described) == 0 { // none of the repo's own, or none that can be read
		k.program = libraryProgram()
		err = k.describe(ctx, l)
	}
	return k, err
}

// kindsOnly is a repo without what is neither the folder kinds nor says what to
// leave out: the rest of it has no say in which kinds there are, and a folder that
// is no config repo may be large.
type kindsOnly struct{ fs.FS }

// ReadDir lists a folder, and of the root only what matters.
func (k kindsOnly) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(k.FS, name)
	if name == "." {
		entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() != "kinds" && e.Name() != ignoreFile })
	}
	return entries, err
}

// docAndExample parts a definition's comment at the line "Example:".
func docAndExample(f *ast.Field) (doc, example string) {
	doc, rest, found := strings.Cut(commentOf(f)+"\n", "\nExample:\n")
	if !found {
		return strings.TrimSpace(doc), ""
	}
	rest = strings.Trim(rest, "\n") + "\n"
	indent := rest[:len(rest)-len(strings.TrimLeft(rest, " \t"))]
	var b strings.Builder
	for line := range strings.Lines(rest) {
		b.WriteString(strings.TrimPrefix(line, indent))
	}
	return strings.TrimSpace(doc), b.String()
}

func commentOf(n ast.Node) string {
	for _, group := range ast.Comments(n) {
		if group.Doc {
			return group.Text()
		}
	}
	return ""
}

// glossary reads fields off a kind's syntax. What CUE would compute, such as a
// field within an if, it leaves out.
type glossary struct {
	shelf map[string]ast.Expr // definitions by name
	kind  ast.Expr            // whose nested definitions are known too
}

// maxFieldDepth bounds definitions that refer to themselves.
const maxFieldDepth = 8

func (g glossary) fields(e ast.Expr, prefix string, depth int) []KindField {
	s, ok := g.resolve(e).(*ast.StructLit)
	if !ok || depth > maxFieldDepth {
		return nil
	}
	var out []KindField
	for _, elt := range s.Elts {
		f, ok := elt.(*ast.Field)
		if !ok {
			continue
		}
		name := label(f)
		if name == "" || strings.HasPrefix(name, "#") || strings.HasPrefix(name, "_") {
			continue
		}
		k := KindField{Name: prefix + name, Type: g.typeOf(f.Value), Default: defaultOf(f.Value), Doc: strings.Join(strings.Fields(commentOf(f)), " ")}
		inner, list := g.within(f.Value)
		k.Required = f.Constraint != token.OPTION && k.Default == "" && !g.mayBeEmpty(f.Value)
		out = append(out, k)
		if list {
			name += "[]"
		}
		out = append(out, g.fields(inner, prefix+name+".", depth+1)...)
	}
	return out
}

// resolve follows a name to its definition.
func (g glossary) resolve(e ast.Expr) ast.Expr {
	for range maxFieldDepth {
		switch x := e.(type) {
		case *ast.ParenExpr:
			e = x.X
			continue
		case *ast.Ident:
			if nested := fieldOf(g.kind, x.Name); nested != nil {
				e = nested.Value
				continue
			}
			if def := g.shelf[strings.TrimPrefix(x.Name, "#")]; def != nil {
				e = def
				continue
			}
		}
		break
	}
	return e
}

// within is what a list's items are, or the value itself.
func (g glossary) within(e ast.Expr) (inner ast.Expr, list bool) {
	l, ok := g.resolve(e).(*ast.ListLit)
	if !ok {
		return e, false
	}
	for _, item := range l.Elts {
		if rest, ok := item.(*ast.Ellipsis); ok {
			return rest.Type, true
		}
		inner = item
	}
	return inner, true
}

// mayBeEmpty tells whether a value needs nothing from the document: an open list,
// or a struct, whose own fields say what they need.
func (g glossary) mayBeEmpty(e ast.Expr) bool {
	switch x := g.resolve(e).(type) {
	case *ast.StructLit:
		return true
	case *ast.ListLit:
		if len(x.Elts) > 0 {
			_, open := x.Elts[0].(*ast.Ellipsis)
			return open
		}
		return true
	}
	return false
}

// typeOf is a type for people: patterns and the mark of the default left out,
// bounds as they are.
func (g glossary) typeOf(e ast.Expr) string {
	switch x := e.(type) {
	case nil:
		return "any"
	case *ast.ParenExpr:
		return g.typeOf(x.X)
	case *ast.Ident:
		if _, isStruct := g.resolve(x).(*ast.StructLit); isStruct {
			return "mapping"
		}
		if nested := fieldOf(g.kind, x.Name); nested != nil {
			return g.typeOf(nested.Value)
		}
		return strings.TrimPrefix(x.Name, "#")
	case *ast.StructLit:
		return "mapping"
	case *ast.ListLit:
		inner, _ := g.within(x)
		return "list of " + g.typeOf(inner)
	case *ast.UnaryExpr:
		if x.Op == token.MAT {
			return "string"
		}
	case *ast.BinaryExpr:
		switch x.Op {
		case token.AND:
			return g.both(x)
		case token.OR:
			return g.either(x)
		}
	}
	text, err := format.Node(e, format.Simplify())
	if err != nil {
		return "any"
	}
	return string(text)
}

var intBounds = regexp.MustCompile(`^int & >=([0-9]+) & <=([0-9]+)$`)

// both writes a conjunction: a pattern adds nothing to its string, and the
// bounds of an integer are a range.
func (g glossary) both(x *ast.BinaryExpr) string {
	left, right := g.typeOf(x.X), g.typeOf(x.Y)
	if left == right {
		return left
	}
	return intBounds.ReplaceAllString(left+" & "+right, "int $1..$2")
}

// either writes a disjunction. A default that is a mere value is left out where
// a type stands beside it.
func (g glossary) either(x *ast.BinaryExpr) string {
	var out []string
	all := alternatives(x)
	typed := slices.ContainsFunc(all, func(e ast.Expr) bool {
		_, value := bare(e).(*ast.BasicLit)
		return !value
	})
	for _, e := range all {
		if _, value := bare(e).(*ast.BasicLit); value && e != bare(e) && typed {
			continue
		}
		out = append(out, g.typeOf(bare(e)))
	}
	return strings.Join(out, " | ")
}

func alternatives(e ast.Expr) []ast.Expr {
	if b, ok := e.(*ast.BinaryExpr); ok && b.Op == token.OR {
		return append(alternatives(b.X), alternatives(b.Y)...)
	}
	return []ast.Expr{e}
}

// bare is an alternative without the mark of the default.
func bare(e ast.Expr) ast.Expr {
	if u, ok := e.(*ast.UnaryExpr); ok && u.Op == token.MUL {
		return u.X
	}
	return e
}

// defaultOf is the alternative that is marked as the default, or a constant.
func defaultOf(e ast.Expr) string {
	if c, ok := e.(*ast.BasicLit); ok {
		return literalOf(c)
	}
	for _, alternative := range alternatives(e) {
		if b := bare(alternative); b != alternative {
			return literalOf(b)
		}
	}
	return ""
}

// literalOf writes a default as a document would give it.
func literalOf(e ast.Expr) string {
	text, err := format.Node(e)
	if err != nil {
		return ""
	}
	if s, err := literal.Unquote(string(text)); err == nil && s != "" {
		return s
	}
	return string(text)
}
