package sim

import (
	"fmt"
	"slices"

	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/ygot/ygot"
)

// bend is what the faults make of a transaction that led from old to now.
func (t *Target) bend(b *broken, old, now *node) (*node, error) {
	for _, p := range b.drop {
		now = now.undo(p, old)
	}
	for _, p := range b.keep {
		now = now.regain(p, old)
	}
	now = share(old, now)
	if now == old {
		return old, nil
	}
	for _, o := range b.Implicit {
		var err error
		if now, err = t.implicit(now, o); err != nil {
			return nil, err
		}
	}
	return share(old, now), nil
}

// found is one node that a pattern names.
type found struct {
	path  []step
	node  *node
	token string
}

// all are the nodes that a pattern names.
func (n *node) all(pattern []step) []found {
	var out []found
	n.match(pattern, nil, func(at []step, n *node, token string) {
		out = append(out, found{slices.Clone(at), n, token})
	})
	return out
}

// has tells whether the node at the end of an exact path exists.
func (n *node) has(path []step) bool { return len(n.all(path)) > 0 }

// undo is n with what the pattern names as it is in old. Within an entry that n no
// longer has, nothing comes back.
func (n *node) undo(pattern []step, old *node) *node {
	for _, f := range n.all(pattern) {
		if !old.has(f.path) {
			n = n.put(f.path, found{})
		}
	}
	for _, f := range old.all(pattern) {
		if parent := entryAbove(f.path); parent == nil || n.has(parent) {
			n = n.put(f.path, f)
		}
	}
	return n
}

// entryAbove is the path of the last entry above the end of a path, or nil.
func entryAbove(path []step) []step {
	for i := len(path) - 2; i >= 0; i-- {
		if path[i].keys != nil {
			return path[:i+1]
		}
	}
	return nil
}

// put sets what is at the end of a path, or removes it where f is zero. The root
// always exists.
func (n *node) put(path []step, f found) *node {
	out := n.apply(path, edit{
		make: f.node != nil || f.token != "",
		leaf: func(string) string { return f.token },
		node: func(*node) *node { return f.node },
	})
	if out == nil {
		return &node{schema: n.schema}
	}
	return out
}

// regain is n with what the pattern names in old, as far as n lacks it.
func (n *node) regain(pattern []step, old *node) *node {
	for _, f := range old.all(pattern) {
		n = n.apply(f.path, edit{
			make: true,
			leaf: func(now string) string {
				if now == "" {
					return f.token
				}
				return now
			},
			node: func(now *node) *node { return f.node.beneath(now) },
		})
	}
	return n
}

// beneath is over with all that n has and over has not.
func (n *node) beneath(over *node) *node {
	if n == nil || over == nil {
		return cmpOr(over, n)
	}
	for _, d := range n.leaves {
		if over.leaf(d.schema) == "" {
			over = over.withLeaf(d.schema, d.token)
		}
	}
	for _, k := range n.kids {
		if k.isEntry() {
			i, ok := over.entry(k.keys)
			if ok {
				k = k.beneath(over.kids[i])
			}
			over = over.withKidAt(i, ok, k)
			continue
		}
		over = over.withKid(k.schema, k.beneath(over.kid(k.schema)))
	}
	return over
}

// implicit is n with an object in it. The value is read each time, so that no two
// trees share what share may write to.
func (t *Target) implicit(n *node, o Object) (*node, error) {
	p, err := ygot.StringToStructuredPath(o.Path)
	if err != nil {
		return nil, fmt.Errorf("path %q: %w", o.Path, err)
	}
	path, err := t.schema.resolve(p.GetElem())
	if err != nil {
		return nil, err
	}
	v, err := t.read(path, &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: o.Value}}, false)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Path, err)
	}
	return n.apply(path, v.edit(false)), nil
}

// renaming keeps an entry under another key than it is written with.
type renaming struct {
	written, kept []step // the entry's path with either key
}

func (t *Target) renaming(text, key string) (renaming, error) {
	p, err := ygot.StringToStructuredPath(text)
	if err != nil {
		return renaming{}, fmt.Errorf("path %q: %w", text, err)
	}
	path, err := t.schema.resolve(p.GetElem())
	if err != nil {
		return renaming{}, err
	}
	if len(path) == 0 || len(path[len(path)-1].keys) != 1 {
		return renaming{}, fmt.Errorf("%s: no entry of a list with one key", text)
	}
	last := path[len(path)-1]
	v, err := last.schema.keys[0].typ.parse(quote(key), formKey)
	if err != nil {
		return renaming{}, fmt.Errorf("%s: key %q: %w", text, brief(key), err)
	}
	last.keys, last.elem = []string{v.text}, nil
	return renaming{written: path, kept: append(slices.Clone(path[:len(path)-1]), last)}, nil
}

// asWritten is the tree with its entries under the keys that they are written
// with, in which a transaction works.
func (b *broken) asWritten(n *node) *node {
	for _, r := range b.rename {
		n = n.move(r.kept, r.written)
	}
	return n
}

// asKept undoes asWritten.
func (b *broken) asKept(n *node) *node {
	for _, r := range b.rename {
		n = n.move(r.written, r.kept)
	}
	return n
}

// writtenPath is a path to what is kept under another key, with the key that it is
// written with.
func (b *broken) writtenPath(path []step) []step {
	for _, r := range b.rename {
		if covers(r.kept, path) && path[len(r.kept)-1].exact() {
			path = slices.Concat(path[:len(r.kept)-1], r.written[len(r.kept)-1:], path[len(r.kept):])
		}
	}
	return path
}

// keeps tells whether a path leads into what is kept under another key, by that
// key.
func (b *broken) keeps(path []step) bool {
	return slices.ContainsFunc(b.rename, func(r renaming) bool {
		return covers(r.kept, path) && path[len(r.kept)-1].exact()
	})
}

// move puts the entry at one path at the other, into what is there.
func (n *node) move(from, to []step) *node {
	for _, f := range n.all(from) {
		e := *f.node
		e.keys = to[len(to)-1].keys
		moved := e.withKeys()
		n = n.put(from, found{}).apply(to, edit{make: true, node: func(there *node) *node {
			return moved.over(there)
		}})
	}
	return n
}

// over is n, and of there what n has not.
func (n *node) over(there *node) *node {
	if there == nil {
		return n
	}
	return there.beneath(n)
}
