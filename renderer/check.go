package renderer

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"sync"

	"github.com/openconfig/goyang/pkg/yang"
	"github.com/openconfig/ygot/ygot"
	"github.com/openconfig/ygot/ytypes"

	"github.com/setpoint-net/setpoint/models/oc"
	"github.com/setpoint-net/setpoint/models/tree"
)

// fault is a value that YANG refuses.
type fault struct {
	path tree.Path
	msg  string
	hint string
	// value is what the fault misses, where it is one of missing something
	value string
}

// checker asks ygot, the authority on validity, about each distinct piece of
// config once. A piece is a list entry without the lists below it, or what is
// left of the whole when all lists are taken out: within ygot nothing but
// leafrefs looks beyond that, and those are a pass of their own (references). It
// is safe for concurrent use.
type checker struct {
	types map[*tree.Node]reflect.Type // a list's entry as a Go struct
	root  *tree.Node

	mu   sync.Mutex
	seen map[piece][]fault // by piece, paths from the piece
}

// piece is an entry's own content, by which ygot's verdict is known.
type piece struct {
	list *tree.Node
	json string
}

func newChecker(s *tree.Schema) *checker {
	c := &checker{types: make(map[*tree.Node]reflect.Type), root: s.Root, seen: make(map[piece][]fault)}
	c.types[s.Root] = reflect.TypeFor[oc.Device]()
	c.structs(reflect.TypeFor[oc.Device](), s.Root)
	return c
}

// structs finds the Go struct of each list by the path tags that ygot writes.
func (c *checker) structs(t reflect.Type, n *tree.Node) {
	for i := range t.NumField() {
		f := t.Field(i)
		ft := f.Type
		list := false
		switch {
		case ft.Kind() == reflect.Map:
			ft, list = ft.Elem(), true
		case ft.Kind() == reflect.Pointer && ft.Implements(reflect.TypeFor[ygot.GoOrderedMap]()):
			// An ordered list hides its entries; its Get method gives one away.
			if get, ok := ft.MethodByName("Values"); ok {
				ft, list = get.Type.Out(0).Elem(), true
			}
		}
		if ft.Kind() != reflect.Pointer || ft.Elem().Kind() != reflect.Struct {
			continue
		}
		path, _, _ := strings.Cut(f.Tag.Get("path"), "|")
		below := n
		for name := range strings.SplitSeq(path, "/") {
			if below != nil {
				below = below.Child(name)
			}
		}
		if below == nil {
			continue
		}
		if list {
			c.types[below] = ft.Elem()
		}
		c.structs(ft.Elem(), below)
	}
}

// faults are ygot's objections to a tree, leafrefs aside.
func (c *checker) faults(t *tree.Tree) []fault {
	return c.value(nil, t.Root(), nil)
}

// value checks v, which is an entry or the root, and the entries below it.
func (c *checker) value(list []fault, v *tree.Value, at tree.Path) []fault {
	w := pieceWriter{}
	w.object(v, nil)
	if len(w.out) > len("{}") {
		p := piece{v.Schema, string(w.out)}
		for _, f := range c.verdict(p, v) {
			f.path = append(at[:len(at):len(at)], f.path...)
			list = append(list, f)
		}
	}
	for _, below := range w.lists {
		for _, e := range below.value.Members() {
			path := append(append(at[:len(at):len(at)], below.path...), e.Elem())
			list = c.value(list, e, path)
		}
	}
	return list
}

// pieceWriter writes an entry's JSON without the lists in it, and notes those.
type pieceWriter struct {
	out   []byte
	lists []listBelow
}

type listBelow struct {
	path  tree.Path // to the list's parent, from the piece
	value *tree.Value
}

func (w *pieceWriter) object(v *tree.Value, at tree.Path) {
	w.out = append(w.out, '{')
	first := true
	for _, m := range v.Members() {
		if m.Schema.Kind == tree.List {
			w.lists = append(w.lists, listBelow{at, m})
			continue
		}
		if !first {
			w.out = append(w.out, ',')
		}
		first = false
		w.name(v.Schema, m.Schema)
		if m.Schema.Kind == tree.Container {
			w.object(m, append(at[:len(at):len(at)], m.Elem()))
			continue
		}
		w.out = append(w.out, m.JSON()...)
	}
	w.out = append(w.out, '}')
}

func (w *pieceWriter) name(parent, n *tree.Node) {
	w.out = append(w.out, '"')
	if n.Module != parent.Module {
		w.out = append(append(w.out, n.Module...), ':')
	}
	w.out = append(append(w.out, n.Name...), '"', ':')
}

func (c *checker) verdict(p piece, v *tree.Value) []fault {
	c.mu.Lock()
	faults, known := c.seen[p]
	c.mu.Unlock()
	if known {
		return faults
	}
	if err := c.ask(p); err != nil {
		faults = c.culprits(v, err)
	}
	c.mu.Lock()
	c.seen[p] = faults
	c.mu.Unlock()
	return faults
}

// ask is ygot's verdict on a piece.
func (c *checker) ask(p piece) error {
	t, ok := c.types[p.list]
	if !ok {
		return fmt.Errorf("%s is not in the generated models", p.list.Path())
	}
	schema := oc.SchemaTree[t.Name()]
	into, ok := reflect.New(t).Interface().(ygot.GoStruct)
	if schema == nil || !ok {
		return fmt.Errorf("%s is not in the generated models", p.list.Path())
	}
	return ask(schema, into, p.json)
}

func ask(schema *yang.Entry, into ygot.GoStruct, text string) error {
	var data any
	if err := json.Unmarshal([]byte(text), &data); err != nil {
		return err
	}
	if err := ytypes.Unmarshal(schema, into, data); err != nil {
		return err
	}
	if errs := ytypes.Validate(schema, into, &ytypes.LeafrefOptions{IgnoreMissingData: true}); errs != nil {
		return errs
	}
	return nil
}

// culprits finds the leaves that ygot refuses a piece for, by asking about each
// alone: its errors name Go fields, and the first stops it.
func (c *checker) culprits(v *tree.Value, whole error) []fault {
	var faults []fault
	var keys []*tree.Value
	for _, m := range v.Members() {
		if v.Entry() && isKey(m.Schema) {
			keys = append(keys, m)
			if err := c.askLeaf(v, nil, nil, m); err != nil {
				faults = append(faults, faultOf(m, nil, err))
			}
		}
	}
	if len(faults) > 0 {
		return faults // with a wrong key nothing below can be asked about
	}
	faults = c.leaves(faults, v, v, nil, keys)
	if len(faults) == 0 {
		faults = []fault{{msg: plainYgot(whole.Error())}}
	}
	return faults
}

func (c *checker) leaves(faults []fault, piece, v *tree.Value, at tree.Path, keys []*tree.Value) []fault {
	for _, m := range v.Members() {
		switch {
		case m.Schema.Kind == tree.List:
		case m.Schema.Kind == tree.Container:
			faults = c.leaves(faults, piece, m, append(at[:len(at):len(at)], m.Elem()), keys)
		default:
			if err := c.askLeaf(piece, keys, at, m); err != nil {
				faults = append(faults, faultOf(m, at, err))
			}
		}
	}
	return faults
}

// askLeaf asks about one leaf at a place in a piece, beside the piece's keys.
func (c *checker) askLeaf(in *tree.Value, keys []*tree.Value, at tree.Path, leaf *tree.Value) error {
	w := pieceWriter{out: []byte{'{'}}
	for _, k := range keys {
		if k != leaf {
			w.name(in.Schema, k.Schema)
			w.out = append(append(w.out, k.JSON()...), ',')
		}
	}
	parent := in.Schema
	for _, e := range at {
		child := parent.Child(e.Name)
		w.name(parent, child)
		w.out = append(w.out, '{')
		parent = child
	}
	w.name(parent, leaf.Schema)
	w.out = append(w.out, leaf.JSON()...)
	w.out = append(w.out, strings.Repeat("}", len(at)+1)...)
	return c.ask(piece{in.Schema, string(w.out)})
}

func isKey(n *tree.Node) bool {
	for _, k := range n.Parent.Keys {
		if k == n.Name {
			return true
		}
	}
	return false
}

func faultOf(leaf *tree.Value, at tree.Path, err error) fault {
	return fault{path: append(at[:len(at):len(at)], leaf.Elem()), msg: objection(leaf, err)}
}

// objection says in people's words why a value is refused: by its type's bounds
// where it has any, in ygot's words else.
func objection(leaf *tree.Value, err error) string {
	t := leaf.Schema.Type.Final
	shown := cut(leaf.Text(), 64)
	if leaf.Schema.Secret {
		shown = "the value (secret)"
	}
	name := leaf.Schema.Name
	builtin := t.Name == t.Kind.String()
	switch {
	case t.Range != "":
		return fmt.Sprintf("%s: %s is outside %s", name, shown, t.Range)
	case t.Kind == tree.Union:
		var members []string
		for _, m := range flatten(t) {
			members = append(members, m.Name+bounds(m))
		}
		return fmt.Sprintf("%s: %s fits none of %s", name, shown, strings.Join(members, ", "))
	case t.Length != "" && (len(t.Patterns) == 0 || strings.Contains(err.Error(), "length")):
		return fmt.Sprintf("%s: %s is not of length %s", name, shown, t.Length)
	case len(t.Patterns) > 0 && !builtin:
		return fmt.Sprintf("%s: %s is not of the form %s", name, shown, t.Name)
	case len(t.Patterns) > 0:
		return fmt.Sprintf("%s: %s does not match %s", name, shown, strings.Join(t.Patterns, " and "))
	case leaf.Schema.Secret:
		return name + ": the value (secret) is refused"
	}
	return name + ": " + plainYgot(err.Error())
}

func bounds(t *tree.Type) string {
	if t.Range == "" {
		return ""
	}
	return " (" + t.Range + ")"
}

var ygotPath = regexp.MustCompile(`(?m)^(/[A-Za-z0-9_./-]+: )+`)

func plainYgot(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return cut(ygotPath.ReplaceAllString(s, ""), 300)
}
