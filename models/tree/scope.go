package tree

import (
	"fmt"
	"slices"
	"strings"
)

// Scope is what of a device's configuration is managed: the nodes at and below some
// paths, without those at and below others. It is immutable and safe for concurrent
// use.
type Scope struct {
	schema  *Schema
	all     bool // the root itself is managed
	entries []scopeEntry
}

// scopeEntry is one managed or excluded path. A list's missing keys match any.
type scopeEntry struct {
	path    Path
	exclude bool
}

// NewScope reads managed paths. One that begins with "!" is excluded, and exclusion
// wins, whatever the order. In a key's value "*" stands for any text; a list without
// some of its keys means all entries that have the others. "/" is everything. Each
// path must lead to a config node; the error names the entry that does not.
func NewScope(s *Schema, manage []string) (*Scope, error) {
	c := &Scope{schema: s}
	for _, m := range manage {
		text, exclude := strings.CutPrefix(m, "!")
		p, err := ParsePath(text)
		if err != nil {
			return nil, fmt.Errorf("managed path %q: %w", m, err)
		}
		if p, _, err = s.Resolve(p); err != nil {
			return nil, fmt.Errorf("managed path %q: %w", m, err)
		}
		c.entries = append(c.entries, scopeEntry{p, exclude})
	}
	root := func(e scopeEntry) bool { return len(e.path) == 0 }
	c.all = slices.ContainsFunc(c.entries, root)
	if slices.ContainsFunc(c.entries, func(e scopeEntry) bool { return root(e) && e.exclude }) {
		c.all, c.entries = false, nil
	}
	return c, nil
}

// Contains says whether the node at p is managed: it is at or below a managed path
// and not at or below an excluded one. A node above a managed path is not.
func (c *Scope) Contains(p Path) bool {
	p, _, err := c.schema.Resolve(p)
	if err != nil {
		return false
	}
	managed := c.all
	for _, e := range c.entries {
		if len(e.path) > len(p) || !matchAll(e.path, p[:len(e.path)]) {
			continue
		}
		if e.exclude {
			return false
		}
		managed = true
	}
	return managed
}

// Covers says whether the node at p and whatever may be below it is managed: it is
// contained, and no exclusion speaks of anything below. A list without keys is all of
// its entries.
func (c *Scope) Covers(p Path) bool {
	p, _, err := c.schema.Resolve(p)
	if err != nil || !c.Contains(p) {
		return false
	}
	return !slices.ContainsFunc(c.entries, func(e scopeEntry) bool { return e.exclude && e.path.MayBeWithin(p) })
}

// Tops are the outermost managed paths, as NewScope was given them: a list may lack
// keys, and a key's value hold "*". For a scope of everything they are the top
// containers.
func (c *Scope) Tops() []Path {
	var all []Path
	if c.all {
		for _, n := range c.schema.Root.children {
			all = append(all, Path{{Name: n.Name}})
		}
		return all
	}
	for i, e := range c.entries {
		inside := func(j int, o scopeEntry) bool {
			return j != i && !o.exclude && e.path.Within(o.path) && (j < i || !o.path.Within(e.path))
		}
		within := false
		for j, o := range c.entries {
			within = within || inside(j, o)
		}
		if !e.exclude && !within {
			all = append(all, e.path)
		}
	}
	return all
}

// MayBeWithin says whether something that p names may be at or below top, which is
// of the same schema: p may have "*" in a key's value or lack keys, and so may top.
func (p Path) MayBeWithin(top Path) bool {
	return len(p) >= len(top) && slices.EqualFunc(p[:len(top)], top, mayMatch)
}

// mayMatch is matchElem, for an e that stands for every entry where it has no keys.
func mayMatch(pattern, e Elem) bool {
	return pattern.Name == e.Name && (len(e.Keys) == 0 || matchElem(pattern, e))
}

// Roots returns the names of the top-level containers that hold managed paths,
// sorted: what is to be read, one read each.
func (c *Scope) Roots() []string {
	var names []string
	for _, n := range c.schema.Root.children {
		managed, below := narrow(c.entries, 0, Elem{Name: n.Name}, c.all)
		if managed || slices.ContainsFunc(below, func(e scopeEntry) bool { return !e.exclude }) {
			names = append(names, n.Name)
		}
	}
	return names
}

// narrow goes one step down, to the node at e: it returns whether that is managed,
// its parent being so or not, and which entries speak of nodes below it. An excluded
// node is not managed and has none.
func narrow(entries []scopeEntry, depth int, e Elem, managed bool) (bool, []scopeEntry) {
	var below []scopeEntry
	for _, s := range entries {
		switch {
		case len(s.path) <= depth || !matchElem(s.path[depth], e):
		case len(s.path) > depth+1:
			below = append(below, s)
		case s.exclude:
			return false, nil
		default:
			managed = true
		}
	}
	return managed, below
}

// Filter returns what of t is managed. An entry that is not managed itself and holds
// something that is, stays with its key leaves and that.
func (c *Scope) Filter(t *Tree) *Tree {
	var f filter
	f.seed = t.schema.seed
	return newTree(t.schema, f.inner(t.schema.Root, f.members(t.root, c.entries, 0, c.all)))
}

type filter struct{ builder }

// members returns what is managed of the members of v, which is depth steps below
// the root and managed or not.
func (f *filter) members(v *Value, entries []scopeEntry, depth int, managed bool) []*Value {
	var out, keys []*Value
	for _, m := range v.members {
		switch {
		case v.Entry() && m.Schema.key > 0:
			keys = append(keys, m)
		case m.Schema.Kind == List:
			var kept []*Value
			for _, e := range m.members {
				if k := f.value(e, entries, depth, managed); k != nil {
					kept = append(kept, k)
				}
			}
			if len(kept) > 0 {
				out = append(out, f.inner(m.Schema, kept))
			}
		default:
			if k := f.value(m, entries, depth, managed); k != nil {
				out = append(out, k)
			}
		}
	}
	if len(keys) == 0 || len(out) == 0 && !managed {
		return out
	}
	out = append(out, keys...)
	slices.SortFunc(out, func(a, b *Value) int { return a.Schema.pos - b.Schema.pos })
	return out
}

// value returns what is managed of v, nil for nothing.
func (f *filter) value(v *Value, entries []scopeEntry, depth int, managed bool) *Value {
	managed, below := narrow(entries, depth, v.Elem(), managed)
	if len(below) == 0 || v.leaf() {
		if managed {
			return v
		}
		return nil
	}
	members := f.members(v, below, depth+1, managed)
	switch {
	case len(members) == 0:
		return nil
	case v.Entry():
		return f.entry(v.Schema, members)
	}
	return f.inner(v.Schema, members)
}

// matchAll says whether the steps of p are those of pattern.
func matchAll(pattern, p Path) bool {
	return slices.EqualFunc(pattern, p, matchElem)
}

func matchElem(pattern, e Elem) bool {
	if pattern.Name != e.Name {
		return false
	}
	for _, want := range pattern.Keys {
		i := slices.IndexFunc(e.Keys, func(kv KeyValue) bool { return kv.Name == want.Name })
		if i < 0 || !glob(want.Value, e.Keys[i].Value) {
			return false
		}
	}
	return true
}

// glob says whether s is pattern, in which "*" stands for any text.
func glob(pattern, s string) bool {
	head, rest, starred := strings.Cut(pattern, "*")
	if !starred {
		return pattern == s
	}
	if !strings.HasPrefix(s, head) {
		return false
	}
	s = s[len(head):]
	parts := strings.Split(rest, "*")
	for _, part := range parts[:len(parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, parts[len(parts)-1])
}
