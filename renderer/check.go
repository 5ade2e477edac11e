package renderer

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/openconfig/goyang/pkg/yang"
	"github.com/openconfig/ygot/util"
	"github.com/openconfig/ygot/ygot"
	"github.com/openconfig/ygot/ytypes"

	"github.com/setpoint-net/setpoint/models"
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
	code   models.Code // "": what the one who asked calls it
	// absent is a leaf that nobody sets and that the fault rests on, nil for none.
	absent tree.Path
	// condition is the node whose condition does not hold, nil for another fault.
	condition *tree.Node
}

// checker asks ygot, the authority on validity, about each distinct thing once.
//
// A config is cut into pieces: a list entry without the lists below it, or what
// is left of the whole when all lists are taken out. Within a piece ygot judges
// leaf by leaf: the models have no choices and no bounds on a list's length, keys
// are compared here (keyFaults), and leafrefs, which look beyond a piece, are a
// pass of their own (references). So a leaf with a value that ygot has accepted
// once is not asked about again, and a piece is asked about only for its other
// leaves. Of text and integers it is enough that ygot's own test of lengths,
// patterns and ranges passes, after one value of that leaf and sort has been
// through ygot as a whole (see rule). An entry in which nothing was wrong is not
// looked into again.
//
// A fuzz target holds this against ygot's verdict on the whole. A checker is
// safe for concurrent use, and keeps no more than maxFacts of each sort twice over.
type checker struct {
	*yangModels

	accepted facts[leafValue, struct{}]
	refused  facts[piece, []fault] // paths from the piece
	sound    facts[subtree, struct{}]
}

// leafValue is a leaf with a value that ygot takes, or with a sort of values.
type leafValue struct {
	leaf *tree.Node
	json string
	sort uint64 // 0: the value alone
}

// piece is an entry's own content, as far as it is asked about.
type piece struct {
	list *tree.Node
	json string
}

// subtree is an entry with all that is in it.
type subtree struct {
	list *tree.Node
	id   uint64
}

func newChecker(m *yangModels) *checker { return &checker{yangModels: m} }

// maxFacts is how many of one sort are kept at least, when there are as many.
const maxFacts = 1 << 17

// facts are what is known for good. When there are too many, those that nobody
// asked for since the last time there were are forgotten.
type facts[K comparable, V any] struct {
	mu       sync.RWMutex
	now, old map[K]V
}

func (f *facts[K, V]) get(k K) (V, bool) {
	f.mu.RLock()
	v, ok := f.now[k]
	if ok {
		f.mu.RUnlock()
		return v, true
	}
	v, ok = f.old[k]
	f.mu.RUnlock()
	if ok {
		f.put(k, v)
	}
	return v, ok
}

func (f *facts[K, V]) put(k K, v V) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now == nil || len(f.now) >= maxFacts {
		f.old, f.now = f.now, make(map[K]V)
	}
	f.now[k] = v
}

// yangModels are what is known of the models beside the schema. Read-only.
type yangModels struct {
	schema *tree.Schema
	types  map[*tree.Node]reflect.Type // a list's entry as a Go struct
	rules  map[*tree.Node]rule
	refs   references
	terms  terms
}

// rule is ygot's own test of a leaf's values, for text, for a union of nothing but
// texts, and for integers. Within a sort, which is the member of the union, ygot
// makes no other difference between values than this.
type rule struct {
	texts    []textRule
	integers *yang.YangType
	signed   bool
}

// textRule is what ytypes.ValidateStringRestrictions asks of a text, made ready: a
// test holds one against the other.
type textRule struct {
	length   yang.YangRange
	patterns []*regexp.Regexp
}

func newTextRule(t *yang.YangType) (textRule, error) {
	r := textRule{length: t.Length}
	patterns, posix := util.SanitizedPattern(t)
	compile := regexp.Compile
	if posix {
		compile = regexp.CompilePOSIX
	}
	for _, p := range patterns {
		re, err := compile(p)
		if err != nil {
			return r, err
		}
		r.patterns = append(r.patterns, re)
	}
	return r, nil
}

func (r *textRule) holds(s string) bool {
	if len(r.length) > 0 {
		n := yang.FromUint(uint64(utf8.RuneCountInString(s)))
		if !slices.ContainsFunc(r.length, func(y yang.YRange) bool { return !n.Less(y.Min) && !y.Max.Less(n) }) {
			return false
		}
	}
	for _, p := range r.patterns {
		if !p.MatchString(s) {
			return false
		}
	}
	return true
}

// sort is the sort of a text, 0 when no rule takes it.
func (r *rule) sort(s string) uint64 {
	for i := range min(len(r.texts), 64) {
		if r.texts[i].holds(s) {
			return 1 << i
		}
	}
	return 0
}

func (r *rule) takes(integer string) bool {
	if r.signed {
		n, err := strconv.ParseInt(integer, 10, 64)
		return err == nil && ytypes.ValidateIntRestrictions(r.integers, n) == nil
	}
	n, err := strconv.ParseUint(integer, 10, 64)
	return err == nil && ytypes.ValidateUintRestrictions(r.integers, n) == nil
}

// loadModels reads them once per process, in some milliseconds: they are part of
// the program.
var loadModels = sync.OnceValues(func() (*yangModels, error) {
	s := tree.OpenConfig()
	m := &yangModels{schema: s, types: make(map[*tree.Node]reflect.Type), rules: make(map[*tree.Node]rule)}
	m.types[s.Root] = reflect.TypeFor[oc.Device]()
	m.structs(reflect.TypeFor[oc.Device](), s.Root)
	if err := m.readRules(oc.SchemaTree["Device"], s.Root); err != nil {
		return nil, err
	}
	m.terms = make(terms)
	m.terms.compile(s.Root)
	var err error
	m.refs, err = compileReferences(s)
	return m, err
})

// readRules finds the leaves that have a rule, also by reference.
func (m *yangModels) readRules(e *yang.Entry, n *tree.Node) error {
	for name, child := range e.Dir {
		below := n.Child(name)
		if below == nil {
			continue
		}
		if target, err := util.ResolveIfLeafRef(child); err == nil && target.Type != nil {
			if err := m.readRule(below, target.Type); err != nil {
				return fmt.Errorf("read the type of %s: %w", below.Path(), err)
			}
		}
		if err := m.readRules(child, below); err != nil {
			return err
		}
	}
	return nil
}

func (m *yangModels) readRule(n *tree.Node, t *yang.YangType) error {
	switch t.Kind {
	case yang.Yint8, yang.Yint16, yang.Yint32, yang.Yint64:
		m.rules[n] = rule{integers: t, signed: true}
	case yang.Yuint8, yang.Yuint16, yang.Yuint32, yang.Yuint64:
		m.rules[n] = rule{integers: t}
	case yang.Ystring, yang.Yunion:
		var r rule
		for _, member := range unionMembers(t) {
			if member.Kind != yang.Ystring {
				return nil // what is text here may be another member's
			}
			one, err := newTextRule(member)
			if err != nil {
				return err
			}
			r.texts = append(r.texts, one)
		}
		m.rules[n] = r
	}
	return nil
}

// unionMembers are the types that a union's value may be of, or the type itself.
func unionMembers(t *yang.YangType) []*yang.YangType {
	if t.Kind != yang.Yunion {
		return []*yang.YangType{t}
	}
	var out []*yang.YangType
	for _, m := range t.Type {
		out = append(out, unionMembers(m)...)
	}
	return out
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

// faults are ygot's objections to a tree, leafrefs aside, and the terms of YANG that
// ygot does not look at.
func (c *checker) faults(t *tree.Tree) []fault {
	return c.value(nil, t.Root(), nil)
}

// value checks v, which is an entry or the root, and the entries below it.
func (c *checker) value(list []fault, v *tree.Value, at tree.Path) []fault {
	id, before := subtree{v.Schema, v.Identity()}, len(list)
	if _, ok := c.sound.get(id); ok {
		return list
	}
	var p parts
	p.gather(v, v, nil)
	for _, f := range append(c.verdict(v, &p), c.terms.faults(v)...) {
		f.path = append(at[:len(at):len(at)], f.path...)
		if f.absent != nil {
			f.absent = append(at[:len(at):len(at)], f.absent...)
		}
		list = append(list, f)
	}
	for _, below := range p.lists {
		for _, e := range below.value.Members() {
			path := append(append(at[:len(at):len(at)], below.at...), e.Elem())
			list = c.value(list, e, path)
		}
	}
	if len(list) == before && v.Entry() {
		c.sound.put(id, struct{}{})
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
	refused, known := c.refused.get(q)
	if known {
		return append(faults, refused...)
	}
	if err := c.ask(q); err != nil {
		refused = c.culprits(faults, v.Schema, unknown, err)
		c.refused.put(q, refused)
		return append(faults, refused...)
	}
	for _, lv := range news {
		c.accepted.put(lv, struct{}{})
	}
	return faults
}

// unknown are the leaves to ask about, an entry's keys included, and what is
// known when they are accepted.
func (c *checker) unknown(leaves []part) ([]part, []leafValue) {
	var ask []part
	var news []leafValue
	for _, leaf := range leaves {
		name := c.leafValue(leaf.value)
		if _, leaf.known = c.accepted.get(name); !leaf.known {
			news = append(news, name)
		}
		if leaf.key || !leaf.known {
			ask = append(ask, leaf)
		}
	}
	return ask, news
}

// leafValue names a leaf's value, by its sort where it has one.
func (c *checker) leafValue(v *tree.Value) leafValue {
	alone := leafValue{leaf: v.Schema, json: v.Literal()}
	r, ok := c.rules[v.Schema]
	if !ok {
		return alone
	}
	if r.integers != nil {
		if v.Schema.Kind == tree.Leaf && r.takes(unquoted(alone.json)) {
			return leafValue{leaf: v.Schema, sort: 1}
		}
		return alone
	}
	sorts := uint64(0)
	for _, item := range values(v) {
		s := unquoted(item)
		if strings.Contains(s, `\`) && json.Unmarshal([]byte(item), &s) != nil {
			return alone
		}
		sort := r.sort(s)
		if sort == 0 {
			return alone
		}
		sorts |= sort
	}
	return leafValue{leaf: v.Schema, sort: sorts}
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
			out = append(out, leaf.value.Literal()...)
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
		if key != nil && again != nil && key.Literal() != again.Literal() {
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
