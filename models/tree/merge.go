package tree

import (
	"fmt"
	"slices"
)

// Conflict is a leaf or leaf-list that both trees of a merge set, differently.
type Conflict struct {
	Path       Path
	Base, Over *Value
}

// Merge lays over onto base: containers by name, lists by key, and where both set a
// leaf or a leaf-list, over's stands. Entries of a list that is ordered by the user
// keep base's order, over's new ones come after. The conflicts are in canonical
// order. Both trees are of one schema.
func Merge(base, over *Tree) (*Tree, []Conflict) {
	m := merger{}
	m.seed = base.schema.seed
	return newTree(base.schema, m.merge(nil, base.root, over.root)), m.conflicts
}

type merger struct {
	builder
	conflicts []Conflict
}

func (m *merger) merge(at Path, a, b *Value) *Value {
	switch {
	case a.SameAs(b):
		return a
	case a.leaf():
		m.conflicts = append(m.conflicts, Conflict{slices.Clone(at), a, b})
		return b
	case a.Schema.Kind == List && !a.Entry():
		return m.inner(a.Schema, m.entries(at, a, b))
	}
	members := m.members(at, a, b)
	if a.Entry() {
		return m.entry(a.Schema, members)
	}
	return m.inner(a.Schema, members)
}

func (m *merger) members(at Path, a, b *Value) []*Value {
	var out []*Value
	x, y := a.members, b.members
	for len(x) > 0 && len(y) > 0 {
		switch c := x[0].Schema.pos - y[0].Schema.pos; {
		case c < 0:
			out, x = append(out, x[0]), x[1:]
		case c > 0:
			out, y = append(out, y[0]), y[1:]
		default:
			out = append(out, m.merge(append(at, Elem{Name: x[0].Schema.Name}), x[0], y[0]))
			x, y = x[1:], y[1:]
		}
	}
	return append(append(out, x...), y...)
}

func (m *merger) entries(at Path, a, b *Value) []*Value {
	var out []*Value
	last := len(at) - 1
	for _, e := range a.members {
		if o := b.entry(e.keys); o != nil {
			e = m.merge(append(at[:last:last], e.Elem()), e, o)
		}
		out = append(out, e)
	}
	for _, o := range b.members {
		if a.entry(o.keys) == nil {
			out = append(out, o)
		}
	}
	if !a.Schema.UserOrdered {
		slices.SortFunc(out, func(x, y *Value) int { return compareKeys(x.keys, y.keys) })
	}
	return out
}

// ReplaceAt returns t with the node at p replaced by sub, or deleted where sub is
// nil. What leads to p is made where it is missing, and a container or list that
// becomes empty goes away. Where p leads nowhere in the schema, lacks keys before its
// end, or sub is no value of p's node, t itself is returned.
func (t *Tree) ReplaceAt(p Path, sub *Value) *Tree {
	resolved, n, err := t.schema.Resolve(p)
	if err != nil || sub != nil && (sub.Schema != n || !slices.Equal(sub.keys, lastKeys(resolved))) {
		return t
	}
	for i, e := range resolved {
		c, err := t.schema.Find(resolved[:i+1])
		if err != nil || len(e.Keys) != len(c.Keys) && (i < len(resolved)-1 || len(e.Keys) > 0) {
			return t
		}
	}
	r := replacer{sub: sub}
	r.seed = t.schema.seed
	root := r.at(t.schema.Root, t.root, resolved)
	if root == nil {
		return Empty(t.schema)
	}
	return newTree(t.schema, root)
}

func lastKeys(p Path) []KeyValue {
	if len(p) == 0 {
		return nil
	}
	return p[len(p)-1].Keys
}

type replacer struct {
	builder
	sub *Value
}

// at returns v, a container or entry of node n or nil, with the node at p below it
// replaced; nil when nothing is left.
func (r *replacer) at(n *Node, v *Value, p Path) *Value {
	if len(p) == 0 {
		return r.sub
	}
	c := n.byName[p[0].Name]
	var old *Value
	if v != nil {
		old = v.member(c)
	}
	var member *Value
	if keys := p[0].Keys; len(keys) > 0 {
		member = r.inList(c, old, keys, p[1:])
	} else {
		member = r.at(c, old, p[1:])
	}
	var members []*Value
	if v != nil {
		members = slices.DeleteFunc(slices.Clone(v.members), func(m *Value) bool { return m.Schema == c })
	}
	if member != nil {
		i, _ := slices.BinarySearchFunc(members, c.pos, func(m *Value, pos int) int { return m.Schema.pos - pos })
		members = slices.Insert(members, i, member)
	}
	switch {
	case v != nil && v.Entry():
		if v.member(c) != nil && c.key > 0 {
			return v // an entry without its key is none
		}
		return r.entry(n, members)
	case len(members) == 0:
		return nil
	}
	return r.inner(n, members)
}

// inList returns the list with the entry of these keys replaced at p below it.
func (r *replacer) inList(n *Node, list *Value, keys []KeyValue, p Path) *Value {
	if list == nil {
		list = r.inner(n, nil)
	}
	i, found := list.find(keys)
	entry := r.bare(n, keys)
	if found {
		entry = list.members[i]
	}
	if entry != nil {
		entry = r.at(n, entry, p)
	}
	entries := slices.Clone(list.members)
	switch {
	case found && entry == nil:
		entries = slices.Delete(entries, i, i+1)
	case found:
		entries[i] = entry
	case entry != nil && r.sub != nil:
		entries = slices.Insert(entries, i, entry)
	}
	if len(entries) == 0 {
		return nil
	}
	return r.inner(n, entries)
}

// bare returns an entry that holds nothing but its keys, nil when a key is no value
// of its type.
func (r *replacer) bare(n *Node, keys []KeyValue) *Value {
	var members []*Value
	for _, kv := range keys {
		c := n.byName[kv.Name]
		text, err := c.Type.Final.fromText(kv.Value)
		if err != nil {
			return nil
		}
		members = append(members, r.leaf(c, text))
	}
	slices.SortFunc(members, func(a, b *Value) int { return a.Schema.pos - b.Schema.pos })
	return r.entry(n, members)
}

// Leaf returns a value of leaf n that has a text, as Value.Text shows it. The type
// has to be one that JSON writes as a string.
func (s *Schema) Leaf(n *Node, text string) (*Value, error) {
	if n.Kind != Leaf {
		return nil, fmt.Errorf("%s is no leaf", n.Path())
	}
	canonical, err := n.Type.Final.canonical(token{kind: stringToken, text: quote(text), str: text}, false)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.Path(), err)
	}
	b := builder{seed: s.seed}
	return b.leaf(n, canonical), nil
}
