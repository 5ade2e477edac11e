package sim

import (
	"iter"
	"slices"
	"strings"

	"github.com/openconfig/gnmi/proto/gnmi"
)

// node is a container, a list, or a list's entry. Nodes are immutable once they
// are part of a target's configuration, and shared between its successive trees.
//
// A container's and an entry's leaves and kids are sorted by schema position. A
// list's kids are its entries, in key order or, where YANG says so, in the
// user's. Empty containers and lists are not kept; an entry always is.
type node struct {
	schema *schema
	keys   []string // entry: the text of its keys; nil: a container or a list
	leaves []datum
	kids   []*node
}

// datum is a leaf's or leaf-list's value, as an RFC 7951 JSON token.
type datum struct {
	schema *schema
	token  string
}

// isEntry tells a list's entry from the list; both have the list's schema.
func (n *node) isEntry() bool { return n.keys != nil }

func (n *node) empty() bool {
	return n == nil || len(n.leaves) == 0 && len(n.kids) == 0 && !n.isEntry()
}

func (n *node) leafIndex(s *schema) (int, bool) {
	return slices.BinarySearchFunc(n.leaves, s, func(d datum, s *schema) int { return byOrd(d.schema, s) })
}

func (n *node) kidIndex(s *schema) (int, bool) {
	return slices.BinarySearchFunc(n.kids, s, func(k *node, s *schema) int { return byOrd(k.schema, s) })
}

// leaf is the token of a leaf, "" when it is not set. n may be nil.
func (n *node) leaf(s *schema) string {
	if n == nil {
		return ""
	}
	if i, ok := n.leafIndex(s); ok {
		return n.leaves[i].token
	}
	return ""
}

// kid is the container or list with that schema, or nil. n may be nil.
func (n *node) kid(s *schema) *node {
	if n == nil {
		return nil
	}
	if i, ok := n.kidIndex(s); ok {
		return n.kids[i]
	}
	return nil
}

// entry is the position of the entry with those keys, or where it belongs.
func (n *node) entry(keys []string) (int, bool) {
	if n.schema.user {
		i := slices.IndexFunc(n.kids, func(e *node) bool { return slices.Equal(e.keys, keys) })
		if i < 0 {
			return len(n.kids), false
		}
		return i, true
	}
	return slices.BinarySearchFunc(n.kids, keys, func(e *node, k []string) int { return slices.Compare(e.keys, k) })
}

// find is the entry of a list with those keys, or nil. n may be nil.
func (n *node) find(keys []string) (*node, bool) {
	if n == nil {
		return nil, false
	}
	if i, ok := n.entry(keys); ok {
		return n.kids[i], true
	}
	return nil, false
}

// entries yields the entries of a list. n may be nil.
func (n *node) entries() iter.Seq[*node] {
	if n == nil {
		return func(func(*node) bool) {}
	}
	return slices.Values(n.kids)
}

// withLeaf is n with a leaf set, or removed when token is "". It is n itself
// when nothing changes; so are all the with methods.
func (n *node) withLeaf(s *schema, token string) *node {
	i, ok := n.leafIndex(s)
	if !ok && token == "" || ok && n.leaves[i].token == token {
		return n
	}
	out := *n
	out.leaves = splice(n.leaves, i, ok, token != "", datum{s, token})
	return &out
}

// withKid is n with a container or list set, or removed when it is empty.
func (n *node) withKid(s *schema, kid *node) *node {
	i, ok := n.kidIndex(s)
	return n.withKidAt(i, ok, kid)
}

// withEntry is the list n with an entry set, or removed when it is nil.
func (n *node) withEntry(keys []string, entry *node) *node {
	i, ok := n.entry(keys)
	return n.withKidAt(i, ok, entry)
}

func (n *node) withKidAt(i int, ok bool, kid *node) *node {
	if !ok && kid.empty() || ok && n.kids[i] == kid {
		return n
	}
	out := *n
	out.kids = splice(n.kids, i, ok, !kid.empty(), kid)
	return &out
}

// splice copies list with element i replaced, inserted or removed.
func splice[T any](list []T, i int, had, has bool, v T) []T {
	rest := list[i:]
	if had {
		rest = rest[1:]
	}
	out := make([]T, 0, len(list)+1)
	out = append(out, list[:i]...)
	if has {
		out = append(out, v)
	}
	return append(out, rest...)
}

// step is one resolved element of a path. For a list, keys holds one text per
// key; any marks the keys that match everything. Both are nil where the list
// itself is meant.
type step struct {
	schema *schema
	keys   []string
	any    []bool
	elem   *gnmi.PathElem // the step as a path writes it, where it was needed before
}

func (s step) matches(keys []string) bool {
	for i, k := range keys {
		if !s.any[i] && s.keys[i] != k {
			return false
		}
	}
	return true
}

// exact: the step names one entry.
func (s step) exact() bool { return s.keys != nil && !slices.Contains(s.any, true) }

// edit is what happens at the end of a path. Each gets what is there (nil, "")
// and returns what shall be there.
type edit struct {
	leaf func(token string) string
	node func(n *node) *node
	make bool // entries that are missing on the way are made; else nothing happens
}

// apply returns n with the edit done at the end of the path, which names one
// node. It is n itself when nothing changes.
func (n *node) apply(path []step, e edit) *node {
	if len(path) == 0 {
		return e.node(n)
	}
	at, rest := path[0], path[1:]
	if at.schema.isLeaf() {
		return n.withLeaf(at.schema, e.leaf(n.leaf(at.schema)))
	}
	kid := n.kid(at.schema)
	if kid == nil {
		kid = &node{schema: at.schema}
	}
	if at.keys == nil {
		return n.withKid(at.schema, kid.apply(rest, e))
	}
	return n.withKid(at.schema, kid.applyEntry(at.keys, rest, e))
}

func (n *node) applyEntry(keys []string, rest []step, e edit) *node {
	i, ok := n.entry(keys)
	if !ok && !e.make {
		return n
	}
	entry := newEntry(n.schema, keys)
	if ok {
		entry = n.kids[i]
	}
	entry = entry.apply(rest, e)
	if entry != nil {
		entry = entry.withKeys()
	}
	return n.withEntry(keys, entry)
}

func newEntry(s *schema, keys []string) *node {
	return (&node{schema: s, keys: keys}).withKeys()
}

// withKeys makes sure that an entry holds its key leaves, and the config leaves
// that they refer to: both exist as long as the entry does.
func (n *node) withKeys() *node {
	for i, k := range n.schema.keys {
		n = n.withLeaf(k, k.keyToken(n.keys[i]))
	}
	config := n.schema.index["config"]
	if config == nil || config.kind != container {
		return n
	}
	c := n.kid(config)
	if c == nil {
		c = &node{schema: config}
	}
	for _, s := range config.children {
		if s.key != nil && s.key.list == n.schema {
			c = c.withLeaf(s, s.keyToken(n.keys[s.key.pos]))
		}
	}
	return n.withKid(config, c)
}

// keyToken is the token of a key that was resolved before, and so is valid.
func (s *schema) keyToken(text string) string {
	v, err := s.typ.parse(quote(text), formKey)
	if err != nil {
		return quote(text)
	}
	return v.token
}

// merge is old with all of update in it (gNMI 3.4.4, update): leaves are set,
// values are added to leaf-lists and entries to lists (gNMI 3.4.5).
func merge(old, update *node) *node {
	if old == nil || update == nil {
		return cmpOr(update, old)
	}
	out := old
	for _, d := range update.leaves {
		token := d.token
		if d.schema.kind == leafList {
			token = appendTokens(out.leaf(d.schema), token)
		}
		out = out.withLeaf(d.schema, token)
	}
	for _, k := range update.kids {
		if k.isEntry() {
			i, ok := out.entry(k.keys)
			if ok {
				k = merge(out.kids[i], k)
			}
			out = out.withKidAt(i, ok, k)
			continue
		}
		out = out.withKid(k.schema, merge(out.kid(k.schema), k))
	}
	return out
}

func cmpOr(a, b *node) *node {
	if a != nil {
		return a
	}
	return b
}

// appendTokens adds the values to a leaf-list that it does not hold yet: those
// of a configuration leaf-list are unique (RFC 7950 section 7.7).
func appendTokens(old, more string) string {
	if old == "" || more == "" {
		return old + more
	}
	have := elements(old)
	n := len(have)
	for _, v := range elements(more) {
		if !slices.Contains(have, v) {
			have = append(have, v)
		}
	}
	if len(have) == n {
		return old
	}
	return join(have)
}

// share returns fresh with every branch that equals old's replaced by old's own
// nodes, so that writing the same value again is no change; it returns old when
// all is equal. It writes to fresh, but never to what fresh shares with old.
func share(old, fresh *node) *node {
	if old == nil || fresh == nil || old == fresh {
		return fresh
	}
	same := len(old.leaves) == len(fresh.leaves) && len(old.kids) == len(fresh.kids)
	for i, d := range fresh.leaves {
		was := old.leaf(d.schema)
		if was != d.token && !sameSet(d.schema, was, d.token) {
			same = false
			continue
		}
		if was != d.token {
			fresh.leaves[i].token = was
		}
	}
	for i, k := range fresh.kids {
		var was *node
		if k.isEntry() {
			if at, ok := old.entry(k.keys); ok {
				was = old.kids[at]
				same = same && at == i
			}
		} else {
			was = old.kid(k.schema)
		}
		shared := share(was, k)
		if shared != k {
			fresh.kids[i] = shared
		}
		same = same && shared == was
	}
	if same {
		return old
	}
	return fresh
}

// sameSet compares two values of a leaf-list whose order means nothing.
func sameSet(s *schema, a, b string) bool {
	if s.kind != leafList || s.user || a == "" || len(a) != len(b) {
		return false
	}
	x, y := elements(a), elements(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// elements splits the token of a leaf-list.
func elements(token string) []string {
	var out []string
	for v := range items(token) {
		out = append(out, v)
	}
	return out
}

func join(tokens []string) string {
	return "[" + strings.Join(tokens, ",") + "]"
}
