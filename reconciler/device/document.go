package device

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/openconfig/gnmi/proto/gnmi"

	"github.com/setpoint-net/setpoint/models/tree"
)

// errUnknownNode is a path of which some element is not in the schema: state, an
// augmentation of a vendor's, another model, an entry whose key is of another.
var errUnknownNode = errors.New("not in the schema")

// step is one element of a wire path, resolved.
type step struct {
	node *tree.Node
	keys []tree.KeyValue // of a list entry, in schema order; nil otherwise
}

// resolve reads prefix and path as one path from the root, by schema. It returns
// errUnknownNode for a node that the schema does not have, and another error for
// a path that no reading of the specification allows.
func resolve(schema *tree.Schema, prefix, path *gnmi.Path) ([]step, error) {
	//lint:ignore SA1019 A target that still sends the deprecated form must not be misread.
	if len(prefix.GetElement())+len(path.GetElement()) > 0 {
		return nil, errors.New("the path is in the form of gNMI before 0.4")
	}
	node := schema.Root
	steps := make([]step, 0, len(prefix.GetElem())+len(path.GetElem()))
	for _, elems := range [][]*gnmi.PathElem{prefix.GetElem(), path.GetElem()} {
		for _, e := range elems {
			if node = node.Child(e.GetName()); node == nil {
				return nil, errUnknownNode
			}
			keys, err := keysOf(node, e.GetKey())
			if err != nil {
				return nil, err
			}
			steps = append(steps, step{node, keys})
		}
	}
	for _, st := range steps[:max(len(steps)-1, 0)] {
		if st.node.Kind == tree.List && st.keys == nil {
			return nil, fmt.Errorf("the path %s names no keys", st.node.Path())
		}
	}
	return canonical(schema, steps)
}

// canonical gives the keys the one form that they have in intent space. A key that
// is no value of its type (a protocol that only the vendor's models know) has none:
// like a node of the vendor's, the entry cannot be intended or managed.
func canonical(schema *tree.Schema, steps []step) ([]step, error) {
	p, _, err := schema.Resolve(pathOf(steps))
	if err != nil {
		return nil, errUnknownNode
	}
	for i := range steps {
		steps[i].keys = p[i].Keys
	}
	return steps, nil
}

// keysOf gives an element's keys in schema order, nil for none.
func keysOf(node *tree.Node, keys map[string]string) ([]tree.KeyValue, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	if node.Kind != tree.List || len(keys) != len(node.Keys) {
		return nil, fmt.Errorf("the path %s has %d keys, the schema %d", node.Path(), len(keys), len(node.Keys))
	}
	out := make([]tree.KeyValue, 0, len(keys))
	for _, name := range node.Keys {
		value, ok := keys[name]
		if !ok {
			value, ok = keys[node.Module+":"+name]
		}
		if !ok {
			return nil, fmt.Errorf("the path %s has no key %s", node.Path(), name)
		}
		out = append(out, tree.KeyValue{Name: name, Value: value})
	}
	return out, nil
}

func pathOf(steps []step) tree.Path {
	p := make(tree.Path, len(steps))
	for i, st := range steps {
		p[i] = tree.Elem{Name: st.node.Name, Keys: st.keys}
	}
	return p
}

// document puts a target's answers together to one RFC 7951 document. An answer
// in one piece is passed through as it came; pieces are taken apart only as far
// as another piece lies within them.
type document struct {
	schema  *tree.Schema
	root    *branch
	unknown int      // pieces for nodes that the schema does not have
	foreign []string // their paths, where they are no state; maxForeign at most
}

func newDocument(schema *tree.Schema) *document {
	return &document{schema: schema, root: &branch{schema: schema, node: schema.Root}}
}

// add puts in what the target answered for one top container. Deletes say
// nothing in an answer to a read. A piece for another container than the one
// asked for is left out: it may be no whole answer for that.
func (d *document) add(ns []*gnmi.Notification, root string) error {
	for _, n := range ns {
		for _, u := range n.GetUpdate() {
			if err := d.put(n.GetPrefix(), u, root); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *document) put(prefix *gnmi.Path, u *gnmi.Update, root string) error {
	steps, err := resolve(d.schema, prefix, u.GetPath())
	if errors.Is(err, errUnknownNode) || len(steps) > 0 && steps[0].node.Name != root {
		d.unknown++
		d.note(prefix, u.GetPath())
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %s", ErrPartialRead, foreign(err.Error()))
	}
	node := d.schema.Root
	if len(steps) > 0 {
		node = steps[len(steps)-1].node
	}
	value, err := valueJSON(node, u)
	if err == nil && value != nil {
		err = d.place(steps, value, root)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %s", ErrPartialRead, node.Path(), foreign(err.Error()))
	}
	return nil
}

// maxForeign bounds the paths that are kept of what is left out.
const maxForeign = 1000

// note keeps the path of a piece that is left out.
func (d *document) note(prefix, path *gnmi.Path) {
	var b strings.Builder
	for _, elems := range [][]*gnmi.PathElem{prefix.GetElem(), path.GetElem()} {
		for _, e := range elems {
			if e.GetName() == "state" || len(d.foreign) == maxForeign {
				return
			}
			b.WriteString("/" + e.GetName())
			for _, k := range slices.Sorted(maps.Keys(e.GetKey())) {
				fmt.Fprintf(&b, "[%s=%s]", k, e.GetKey()[k])
			}
		}
	}
	d.foreign = append(d.foreign, foreign(b.String()))
}

func (d *document) place(steps []step, value json.RawMessage, root string) error {
	b := d.root
	for _, st := range steps {
		if err := b.open(); err != nil {
			return err
		}
		b = b.member(st.node)
		if st.keys == nil {
			continue
		}
		if err := b.open(); err != nil {
			return err
		}
		b = b.entry(st.keys)
	}
	if len(steps) == 0 {
		return d.placeAll(value, root)
	}
	return b.put(value)
}

// placeAll takes an answer at "/": the container that was asked for lies one
// level below.
func (d *document) placeAll(value json.RawMessage, root string) error {
	all := &branch{schema: d.schema, node: d.schema.Root, raw: value}
	if err := all.open(); err != nil {
		return err
	}
	b := all.members[root]
	if b == nil {
		return nil
	}
	return d.root.member(b.node).put(b.raw)
}

// at gives what is known of a top container, nil for nothing.
func (d *document) at(root string) *branch { return d.root.members[root] }

func (d *document) json() []byte {
	var b bytes.Buffer
	d.root.write(&b)
	return b.Bytes()
}

// branch is one node of a document: either raw as it came, or opened.
type branch struct {
	schema  *tree.Schema
	node    *tree.Node
	keys    []tree.KeyValue // of an entry
	raw     json.RawMessage
	opened  bool
	members map[string]*branch // of a container or an entry, by name
	entries map[string]*branch // of a list, by key values
	order   []*branch          // members or entries as they came
}

func (b *branch) isList() bool { return b.node.Kind == tree.List && b.keys == nil }

// put adds a value to what is there: members of both, and the later one where
// both have a leaf.
func (b *branch) put(value json.RawMessage) error {
	whole := !b.opened && b.raw == nil
	switch b.node.Kind {
	case tree.Leaf, tree.LeafList:
		b.raw = value
		return nil
	}
	if whole && b.keys == nil {
		b.raw = value
		return nil
	}
	other := &branch{schema: b.schema, node: b.node, keys: b.keys, raw: value}
	if err := other.open(); err != nil {
		return err
	}
	return b.merge(other)
}

// merge adds what another branch of the same node holds.
func (b *branch) merge(other *branch) error {
	if !other.opened {
		if other.raw == nil {
			return nil
		}
		return b.put(other.raw)
	}
	if err := b.open(); err != nil {
		return err
	}
	for _, o := range other.order {
		if err := b.same(o).merge(o); err != nil {
			return err
		}
	}
	return nil
}

// same finds or makes b's own child for a child of another branch of its node.
func (b *branch) same(o *branch) *branch {
	if b.isList() {
		return b.entry(o.keys)
	}
	return b.member(o.node)
}

func (b *branch) member(node *tree.Node) *branch {
	if m := b.members[node.Name]; m != nil {
		return m
	}
	if b.members == nil {
		b.members = map[string]*branch{}
	}
	b.opened = true
	m := &branch{schema: b.schema, node: node}
	b.members[node.Name] = m
	b.order = append(b.order, m)
	return m
}

// entry finds or makes the entry with these keys. Its key leaves are always
// there, also where the target names them in paths only.
func (b *branch) entry(keys []tree.KeyValue) *branch {
	id := keyID(keys)
	if e := b.entries[id]; e != nil {
		return e
	}
	if b.entries == nil {
		b.entries = map[string]*branch{}
	}
	b.opened = true
	e := &branch{schema: b.schema, node: b.node, keys: keys}
	for _, k := range keys {
		if node := b.node.Child(k.Name); node != nil {
			e.member(node).raw = textJSON(node.Type.Final, k.Value)
		}
	}
	b.entries[id] = e
	b.order = append(b.order, e)
	return e
}

func keyID(keys []tree.KeyValue) string {
	var b strings.Builder
	for _, k := range keys {
		b.WriteString(k.Value)
		b.WriteByte(0)
	}
	return b.String()
}

// open takes raw apart by one level.
func (b *branch) open() error {
	raw := b.raw
	b.raw, b.opened = nil, true
	switch {
	case raw == nil:
		return nil
	case b.isList():
		return b.openList(raw)
	case b.keys != nil:
		raw = unwrapped(raw)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return fmt.Errorf("%s: %w", b.node.Path(), err)
	}
	for name, value := range members {
		if node := b.node.Child(name); node != nil {
			b.member(node).raw = value
		}
	}
	return nil
}

func (b *branch) openList(raw json.RawMessage) error {
	var entries []json.RawMessage
	if err := json.Unmarshal(raw, &entries); err != nil {
		return fmt.Errorf("%s: %w", b.node.Path(), err)
	}
	for _, value := range entries {
		e := &branch{schema: b.schema, node: b.node, keys: []tree.KeyValue{}, raw: value}
		err := e.open()
		if err != nil {
			return err
		}
		for _, name := range b.node.Keys {
			m := e.members[name]
			if m == nil {
				return fmt.Errorf("%s: an entry without its key %s", b.node.Path(), name)
			}
			e.keys = append(e.keys, tree.KeyValue{Name: name, Value: scalarText(m.raw)})
		}
		if e.keys, err = b.canonical(e.keys); err != nil {
			continue
		}
		if b.entries[keyID(e.keys)] != nil {
			return fmt.Errorf("%s: two entries with one key", b.node.Path())
		}
		to := b.entry(e.keys)
		for _, m := range e.order {
			to.member(m.node).raw = m.raw
		}
	}
	return nil
}

func (b *branch) canonical(keys []tree.KeyValue) ([]tree.KeyValue, error) {
	steps := []step{{b.node, keys}}
	for n := b.node.Parent; n != nil && n.Parent != nil; n = n.Parent {
		steps = append(steps, step{node: n})
	}
	slices.Reverse(steps)
	steps, err := canonical(b.schema, steps)
	if err != nil {
		return nil, err
	}
	return steps[len(steps)-1].keys, nil
}

// scalarText is a JSON scalar as text: a key leaf's value for a path.
func scalarText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// unwrapped takes the array off an entry: some targets answer a query for one
// entry with a list of one.
func unwrapped(raw json.RawMessage) json.RawMessage {
	var entries []json.RawMessage
	if json.Unmarshal(raw, &entries) == nil && len(entries) == 1 {
		return entries[0]
	}
	return raw
}

func (b *branch) write(w *bytes.Buffer) {
	switch {
	case !b.opened && b.raw != nil:
		w.Write(b.raw)
	case b.isList():
		w.WriteByte('[')
		for i, e := range b.order {
			if i > 0 {
				w.WriteByte(',')
			}
			e.write(w)
		}
		w.WriteByte(']')
	default:
		b.writeMembers(w)
	}
}

func (b *branch) writeMembers(w *bytes.Buffer) {
	w.WriteByte('{')
	first := true
	for _, m := range b.order {
		if !m.opened && m.raw == nil {
			continue
		}
		if !first {
			w.WriteByte(',')
		}
		first = false
		fmt.Fprintf(w, "%q:", m.node.Module+":"+m.node.Name)
		m.write(w)
	}
	w.WriteByte('}')
}
