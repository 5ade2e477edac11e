package renderer

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/openconfig/goyang/pkg/yang"
	"github.com/openconfig/ygot/util"
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
	item string // of a leaf-list: which value, as JSON with a colon behind it
	// misses is the value that is not there, of a reference to nothing.
	misses string
}

// checker asks ygot, the authority on validity, about each distinct thing once.
//
// A config is cut into pieces: a list entry without the lists below it, or what
// is left of the whole when all lists are taken out. Within a piece ygot judges
// leaf by leaf: the models have no choices and no bounds on a list's length, keys
// are compared here (keyFaults), and leafrefs, which look beyond a piece, are a
// pass of their own (references). So a leaf with a value that ygot has accepted
// once is not asked about again, and a piece is asked about only for its other
// leaves. Of strings it is enough that ygot's own test of lengths and patterns
// passes, after one of that leaf has been through ygot as a whole.
//
// A fuzz target holds this against ygot's verdict on the whole. A checker is
// safe for concurrent use.
type checker struct {
	*yangModels

	mu       sync.RWMutex
	accepted map[leafValue]bool
	refused  map[piece][]fault // paths from the piece
}

// leafValue is a leaf with a value that ygot takes; of text, any that passes the
// leaf's own test.
type leafValue struct {
	leaf *tree.Node
	json string
}

// piece is an entry's own content, as far as it is asked about.
type piece struct {
	list *tree.Node
	json string
}

func newChecker(m *yangModels) *checker {
	return &checker{yangModels: m, accepted: make(map[leafValue]bool), refused: make(map[piece][]fault)}
}

// yangModels are what is known of the models beside the schema. Read-only.
type yangModels struct {
	schema  *tree.Schema
	types   map[*tree.Node]reflect.Type   // a list's entry as a Go struct
	strings map[*tree.Node]*yang.YangType // leaves that are text
	refs    references
}

// loadModels reads them once per process, in some milliseconds: they are part of
// the program.
var loadModels = sync.OnceValues(func() (*yangModels, error) {
	s := tree.OpenConfig()
	m := &yangModels{schema: s, types: make(map[*tree.Node]reflect.Type), strings: make(map[*tree.Node]*yang.YangType)}
	m.types[s.Root] = reflect.TypeFor[oc.Device]()
	m.structs(reflect.TypeFor[oc.Device](), s.Root)
	m.texts(oc.SchemaTree["Device"], s.Root)
	var err error
	m.refs, err = compileReferences(s)
	return m, err
})

// texts finds the leaves that are text, also by reference.
func (m *yangModels) texts(e *yang.Entry, n *tree.Node) {
	for name, child := range e.Dir {
		below := n.Child(name)
		if below == nil {
			continue
		}
		if target, err := util.ResolveIfLeafRef(child); err == nil && target.Type != nil && target.Type.Kind == yang.Ystring {
			m.strings[below] = target.Type
		}
		m.texts(child, below)
	}
}

// structs finds the Go struct of each list by the path tags that ygot writes.
func (m *yangModels) structs(t reflect.Type, n *tree.Node) {
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
			m.types[below] = ft.Elem()
		}
		m.structs(ft.Elem(), below)
	}
}

// faults are ygot's objections to a tree, leafrefs aside.
func (c *checker) faults(t *tree.Tree) []fault {
	return c.value(nil, t.Root(), nil)
}

// value checks v, which is an entry or the root, and the entries below it.
func (c *checker) value(list []fault, v *tree.Value, at tree.Path) []fault {
	var p parts
	p.gather(v, v, nil)
	for _, f := range c.verdict(v, &p) {
		f.path = append(at[:len(at):len(at)], f.path...)
		list = append(list, f)
	}
	for _, below := range p.lists {
		for _, e := range below.value.Members() {
			path := append(append(at[:len(at):len(at)], below.at...), e.Elem())
			list = c.value(list, e, path)
		}
	}
	return list
}

// parts is what a piece is made of, and the lists below it.
type parts struct {
	leaves []part
	lists  []part
}

// part is a leaf or list in a piece.
type part struct {
	value *tree.Value
	at    tree.Path // of its parent, from the piece
	key   bool      // of the entry
	known bool      // to be accepted
	json  []byte    // in place of the value's own; nil for that
}

func (p part) path() tree.Path { return append(p.at[:len(p.at):len(p.at)], p.value.Elem()) }

func (p *parts) gather(top, v *tree.Value, at tree.Path) {
	for _, m := range v.Members() {
		switch m.Schema.Kind {
		case tree.List:
			p.lists = append(p.lists, part{value: m, at: at})
		case tree.Container:
			p.gather(top, m, append(at[:len(at):len(at)], m.Elem()))
		default:
			p.leaves = append(p.leaves, part{value: m, at: at, key: v == top && v.Entry() && isKey(m.Schema)})
		}
	}
}

// verdict is ygot's on one piece, as far as it is not known.
func (c *checker) verdict(v *tree.Value, p *parts) []fault {
	faults := keyFaults(v)
	unknown, news := c.unknown(p.leaves)
	if len(news) == 0 {
		return faults
	}
	q := piece{v.Schema, pieceJSON(v.Schema, unknown)}
	c.mu.RLock()
	refused, known := c.refused[q]
	c.mu.RUnlock()
	if known {
		return append(faults, refused...)
	}
	err := c.ask(q)
	if err != nil {
		refused = c.culprits(faults, v.Schema, unknown, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.refused[q] = refused
		return append(faults, refused...)
	}
	for _, lv := range news {
		c.accepted[lv] = true
	}
	return faults
}

// unknown are the leaves to ask about, an entry's keys included, and what is
// known when they are accepted.
func (c *checker) unknown(leaves []part) ([]part, []leafValue) {
	names := make([]leafValue, len(leaves))
	for i, leaf := range leaves {
		names[i] = c.leafValue(leaf.value)
	}
	var ask []part
	var news []leafValue
	c.mu.RLock()
	defer c.mu.RUnlock()
	for i, leaf := range leaves {
		leaf.known = c.accepted[names[i]]
		if !leaf.known {
			news = append(news, names[i])
		}
		if leaf.key || !leaf.known {
			ask = append(ask, leaf)
		}
	}
	return ask, news
}

// leafValue names a leaf's value, text that passes its test by no value at all.
func (c *checker) leafValue(v *tree.Value) leafValue {
	text := string(v.JSON())
	t := c.strings[v.Schema]
	if t == nil {
		return leafValue{v.Schema, text}
	}
	for _, item := range values(v) {
		s := unquoted(item)
		if strings.Contains(s, `\`) && json.Unmarshal([]byte(item), &s) != nil {
			return leafValue{v.Schema, text}
		}
		if ytypes.ValidateStringRestrictions(t, s) != nil {
			return leafValue{v.Schema, text}
		}
	}
	return leafValue{v.Schema, ""}
}

// pieceJSON writes leaves of a piece, which stand in the tree's order, as JSON.
func pieceJSON(top *tree.Node, leaves []part) string {
	out := []byte{'{'}
	var open tree.Path
	parents := []*tree.Node{top}
	for _, leaf := range leaves {
		shared := 0
		for shared < len(open) && shared < len(leaf.at) && open[shared].Name == leaf.at[shared].Name {
			shared++
		}
		for len(open) > shared {
			out = append(out, '}')
			open, parents = open[:len(open)-1], parents[:len(parents)-1]
		}
		if last := out[len(out)-1]; last != '{' {
			out = append(out, ',')
		}
		for _, e := range leaf.at[shared:] {
			parent := parents[len(parents)-1]
			child := parent.Child(e.Name)
			out = append(appendName(out, parent, child), '{')
			open, parents = append(open[:len(open):len(open)], e), append(parents, child)
		}
		out = appendName(out, parents[len(parents)-1], leaf.value.Schema)
		if leaf.json == nil {
			leaf.json = leaf.value.JSON()
		}
		out = append(out, leaf.json...)
	}
	return string(append(out, strings.Repeat("}", len(open)+1)...))
}

func appendName(out []byte, parent, n *tree.Node) []byte {
	out = append(out, '"')
	if n.Module != parent.Module {
		out = append(append(out, n.Module...), ':')
	}
	return append(append(out, n.Name...), '"', ':')
}

// keyFaults are config leaves that contradict the keys they repeat.
func keyFaults(v *tree.Value) []fault {
	if !v.Entry() {
		return nil
	}
	config := member(v, "config")
	if config == nil || config.Schema.Kind != tree.Container {
		return nil
	}
	var faults []fault
	for _, name := range v.Schema.Keys {
		key, again := member(v, name), member(config, name)
		if key != nil && again != nil && string(key.JSON()) != string(again.JSON()) {
			faults = append(faults, fault{
				path: tree.Path{config.Elem(), again.Elem()},
				msg:  fmt.Sprintf("config/%s is %s, and the entry's key is %s", name, again.Text(), key.Text()),
				hint: "give it once",
			})
		}
	}
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
// alone: its errors name Go fields, and the first stops it. What is told already
// is not told again.
func (c *checker) culprits(told []fault, top *tree.Node, leaves []part, whole error) []fault {
	faults := c.blameLeaves(told, top, leaves)
	if len(faults)+len(told) == 0 {
		return []fault{{msg: plainYgot(whole.Error())}} // what can't be pinned down is refused all the same
	}
	return faults
}

func (c *checker) blameLeaves(told []fault, top *tree.Node, leaves []part) []fault {
	var faults []fault
	var keys []part
	for _, leaf := range leaves {
		if leaf.key {
			keys = append(keys, leaf)
		}
	}
	if err := c.ask(piece{top, pieceJSON(top, keys)}); err != nil && len(keys) > 0 {
		// With a wrong key nothing else can be asked about.
		for _, key := range keys {
			if !key.known {
				faults = append(faults, faultOf(key, key.value.Text(), "", err))
			}
		}
		return faults
	}
	for _, leaf := range leaves {
		err := c.beside(top, keys, leaf)
		if err == nil || slices.ContainsFunc(told, func(f fault) bool { return f.path.Equal(leaf.path()) }) {
			continue
		}
		if leaf.value.Schema.Kind == tree.Leaf {
			faults = append(faults, faultOf(leaf, leaf.value.Text(), "", err))
			continue
		}
		for _, item := range values(leaf.value) {
			leaf.json = []byte("[" + item + "]")
			if err := c.beside(top, keys, leaf); err != nil {
				faults = append(faults, faultOf(leaf, unquoted(item), item+":", err))
			}
		}
	}
	return faults
}

// beside asks about one leaf beside the piece's keys.
func (c *checker) beside(top *tree.Node, keys []part, leaf part) error {
	if leaf.key {
		return nil // asked about already
	}
	return c.ask(piece{top, pieceJSON(top, append(slices.Clone(keys), leaf))})
}

func isKey(n *tree.Node) bool {
	for _, k := range n.Parent.Keys {
		if k == n.Name {
			return true
		}
	}
	return false
}

func faultOf(leaf part, shown, item string, err error) fault {
	return fault{path: leaf.path(), msg: objection(leaf.value, cut(shown, 64), err), item: item}
}

// objection says in people's words why a value is refused: by its type's bounds
// where it has any, in ygot's words else.
func objection(leaf *tree.Value, shown string, err error) string {
	t := leaf.Schema.Type.Final
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
