package renderer

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// Origin says where one leaf of a device's intended config comes from.
type Origin struct {
	Path     string // with its keys
	Value    string // as people write it; "" of a secret
	Secret   bool
	Source   Source // the value, or of what a kind brings forth the document's spec
	Document string // such as "Group leaves" or "AccessPorts request-001"
	Kind     string // the kind that brought it forth, "" for none
	KindAt   Source // where in the kind: the nearest that can be told
}

// Source is a place in a file of the repo, or of the library.
type Source struct {
	File         string
	Line, Column int // from 1; zero for the whole file
}

func (p place) source() Source { return Source{p.file, p.line, p.column} }

// Blame tells where a device's leaves at and below a path come from, in the
// config's order, as of the highest document that sets each. Mistakes that keep the
// device's config from being known come instead. An error says that the device is
// not known or the path has nothing, or is as Render's.
//
// It renders that device alone, and costs Render nothing: origins are looked up in
// the documents when they are asked for.
func (r *Renderer) Blame(ctx context.Context, repo fs.FS, device models.DeviceName, under tree.Path) ([]Origin, []models.Mistake, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := &ledger{}
	f, err := r.survey(ctx, repo, l)
	if err != nil {
		return nil, nil, err
	}
	i := slices.IndexFunc(f.subjects, func(s *subject) bool { return s.Name == device })
	if i < 0 {
		if len(l.list) > 0 {
			return nil, settle(l.list), nil
		}
		return nil, nil, unknownDevice(device, f.subjects)
	}
	d := &rendering{subject: f.subjects[i], worker: &worker{fleet: f}}
	merged := d.config(ctx)
	if d.err != nil {
		return nil, nil, d.err
	}
	if list := slices.Concat(l.list, d.mistakes, f.trips.mistakes()); len(list) > 0 {
		return nil, settle(list), nil
	}
	under, _, err = f.schema.Resolve(under)
	if err != nil {
		return nil, nil, err
	}
	var out []Origin
	guide := kindGuide{own: f.kinds.files}
	merged.Leaves(func(p tree.Path, v *tree.Value) bool {
		if p.Within(under) {
			out = append(out, d.of(p, v, &guide))
		}
		return true
	})
	if len(out) == 0 {
		return nil, nil, fmt.Errorf("%s has nothing at %s", device, under)
	}
	return out, nil, nil
}

func unknownDevice(name models.DeviceName, all []*subject) error {
	var names []string
	for _, s := range all {
		names = append(names, string(s.Name))
	}
	if hint := didYouMean(string(name), names); hint != "" {
		return fmt.Errorf("no device %q in the config repo: %s", name, hint)
	}
	return fmt.Errorf("no device %q in the config repo", name)
}

// of is where the leaf at a path comes from.
func (r *rendering) of(p tree.Path, v *tree.Value, guide *kindGuide) Origin {
	o := Origin{Path: p.String(), Secret: v.Schema.Secret}
	if !o.Secret {
		o.Value = v.Text()
	}
	b := r.origin(p)
	if b == nil {
		return o // it can't be: the config is made of the layers
	}
	o.Source, o.Document, o.Kind = b.locate(p, "").source(), b.title, b.kind
	if b.kind != "" {
		o.KindAt = guide.at(b.kind, p).source()
	}
	return o
}

// kindGuide finds the lines of kinds by their syntax. CUE computes what a leaf is,
// and may make many of one line, or one of several: where several lines may have
// made a leaf it is the nearest that is above all of them.
type kindGuide struct {
	own  []source
	defs map[string]*ast.Field
}

func (g *kindGuide) at(kind string, p tree.Path) place {
	if g.defs == nil {
		g.read()
	}
	def := g.defs[kind]
	if def == nil {
		return place{}
	}
	at := cuePlaceOf(def)
	in := []ast.Expr{def.Value}
	steps := []string{openconfigPart}
	for _, e := range p {
		steps = append(steps, e.Name)
	}
	for _, name := range steps {
		var next []ast.Expr
		var last place
		for _, e := range in {
			next = fieldsNamed(e, name, next, &last)
		}
		if len(next) == 1 {
			at = last
		}
		in = next
	}
	return at
}

func (g *kindGuide) read() {
	g.defs = make(map[string]*ast.Field)
	for _, f := range append(libraryFiles(), g.own...) {
		parsed, err := parser.ParseFile(f.name, f.data)
		if err != nil {
			continue
		}
		for _, d := range parsed.Decls {
			if field, ok := d.(*ast.Field); ok && strings.HasPrefix(label(field), "#") {
				g.defs[label(field)[1:]] = field
			}
		}
	}
}

func cuePlaceOf(n ast.Node) place {
	p := n.Pos()
	if !p.IsValid() {
		return place{}
	}
	return place{p.Filename(), p.Line(), p.Column()}
}

// fieldsNamed adds the values of the fields of that name in an expression, through
// lists, conditions and loops, and says where the last one is.
func fieldsNamed(e ast.Node, name string, found []ast.Expr, last *place) []ast.Expr {
	switch e := e.(type) {
	case *ast.StructLit:
		for _, elt := range e.Elts {
			found = fieldsNamed(elt, name, found, last)
		}
	case *ast.Field:
		word := label(e)
		if _, local, ok := strings.Cut(word, ":"); ok {
			word = local
		}
		if word == name {
			*last = cuePlaceOf(e)
			found = append(found, e.Value)
		}
	case *ast.EmbedDecl:
		return fieldsNamed(e.Expr, name, found, last)
	case *ast.Comprehension:
		return fieldsNamed(e.Value, name, found, last)
	case *ast.ListLit:
		for _, elt := range e.Elts {
			found = fieldsNamed(elt, name, found, last)
		}
	case *ast.BinaryExpr:
		return fieldsNamed(e.Y, name, fieldsNamed(e.X, name, found, last), last)
	case *ast.ParenExpr:
		return fieldsNamed(e.X, name, found, last)
	}
	return found
}
