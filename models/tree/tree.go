// Package tree is a device's configuration as a value: parsed from RFC 7951 JSON
// against OpenConfig's schema, immutable, hashed, and compared without ygot.
//
// # Data model
//
// A [Schema] is the modules' config nodes ([Node]): containers, lists, leaves and
// leaf-lists, with the module that qualifies each name and the type behind each
// leafref. A [Tree] is what one device has of them, made of [Value]s that follow
// the schema's shape: a container's members, a list's entries, an entry's members,
// a leaf's canonical JSON. A [Path] is a place in either.
//
// # Intent space
//
// Two texts that mean the same configuration are the same tree. [Parse] takes names
// and identities with or without their module and 64-bit numbers with or without
// quotes, and writes one form ([Tree.Canonical]):
//
//   - compact; a container's members sorted by their names without module; a name
//     qualified at the top and where its module is not its parent's (RFC 7951
//     section 4);
//   - entries of a list sorted by their keys, values of a leaf-list sorted, digits
//     within them by number, unless the schema says "ordered-by user" (RFC 7950
//     section 7.7.7);
//   - identities qualified by the module that defines them (RFC 7951 section 6.8),
//     64-bit integers and decimals as strings in their canonical lexical form (RFC
//     7950 section 9), strings with no escape that JSON does not demand;
//   - IP addresses, prefixes and MAC addresses in the canonical form of RFC 6991: a
//     device that lists neighbor 2001:DB8::1 as 2001:db8::1 has not drifted;
//   - no empty container, list or leaf-list: without presence they mean nothing
//     (RFC 7950 section 7.5.1).
//
// A leaf that has its schema default and a leaf that is absent are different trees
// and the same configuration: [SameLeaf] says so, and nothing is ever filled in.
//
// # Promises
//
// Parse(Canonical(t)) equals t, and equal trees have equal bytes, on every machine
// and in every version with the same schema. Parsing is strict, reports every
// mistake with its path, and bounds depth and size: the bytes are foreign. Values
// are shared between trees, never changed, and safe for concurrent use. A tree
// keeps the text it was parsed from alive.
//
// # What it never does
//
// It is no validator: ranges, patterns and leafrefs are ygot's, in package renderer,
// which holds trees to the schema's conditions and mandatory leaves too. It knows no device, no profile, no secret's value. It panics on
// no input.
package tree

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/maphash"
	"slices"
	"strings"
	"sync"

	"github.com/setpoint-net/setpoint/models"
)

// Tree is one device's configuration, or a part of it. It is immutable and safe for
// concurrent use.
type Tree struct {
	schema *Schema
	root   *Value
	hash   func() models.Hash
	size   func() (leaves, keys int)
}

// Empty returns the tree without content.
func Empty(s *Schema) *Tree {
	b := builder{seed: s.seed}
	return newTree(s, b.inner(s.Root, nil))
}

func newTree(s *Schema, root *Value) *Tree {
	t := &Tree{schema: s, root: root}
	t.hash = sync.OnceValue(func() models.Hash {
		sum := sha256.Sum256(t.Canonical())
		return models.Hash(hex.EncodeToString(sum[:]))
	})
	t.size = sync.OnceValues(root.size)
	return t
}

// Schema returns the schema that the tree was parsed against.
func (t *Tree) Schema() *Schema { return t.schema }

// Root returns the container of everything, which is never nil.
func (t *Tree) Root() *Value { return t.root }

// Canonical returns the tree's canonical bytes; "{}" when it is empty. The slice is
// the caller's.
func (t *Tree) Canonical() []byte { return t.root.JSON() }

// Hash returns the SHA-256 of Canonical. It is computed once.
func (t *Tree) Hash() models.Hash { return t.hash() }

// IsEmpty says whether the tree holds no leaf.
func (t *Tree) IsEmpty() bool { return len(t.root.members) == 0 }

// Equal says whether both trees have the same canonical bytes.
func (t *Tree) Equal(u *Tree) bool { return t.root.SameAs(u.root) }

// Lookup returns the value at p, nil when there is none. A path that ends at a list
// without keys means the list; each list before must have all its keys. Names, keys
// and their values may be written in any form that Resolve takes.
func (t *Tree) Lookup(p Path) *Value {
	resolved, _, err := t.schema.Resolve(p)
	if err != nil {
		return nil
	}
	v := t.root
	for _, e := range resolved {
		if v = v.step(e); v == nil {
			return nil
		}
	}
	return v
}

// Leaves calls yield with every leaf and leaf-list and its path, in canonical order,
// until yield returns false. The path is the callee's.
func (t *Tree) Leaves(yield func(Path, *Value) bool) {
	t.root.leaves(nil, yield)
}

func (v *Value) leaves(p Path, yield func(Path, *Value) bool) bool {
	if v.leaf() {
		return yield(slices.Clone(p), v)
	}
	for _, m := range v.members {
		at := p
		switch {
		case m.Entry():
			at = append(p[:len(p)-1:len(p)-1], Elem{m.Schema.Name, m.keys})
		default:
			at = append(p, Elem{Name: m.Schema.Name})
		}
		if !m.leaves(at, yield) {
			return false
		}
	}
	return true
}

// Value is one node of a tree: a container, a list, a list's entry, a leaf or a
// leaf-list. It is read-only and may be part of several trees.
type Value struct {
	Schema *Node // of an entry: the list's

	text    string // of a leaf or leaf-list: canonical JSON
	members []*Value
	keys    []KeyValue // of an entry
	hash    uint64
}

func (v *Value) leaf() bool { return v.Schema.Kind >= Leaf }

// Members returns a container's or entry's members, sorted by name, or a list's
// entries, in canonical order; nil for a leaf. The slice must not be changed.
func (v *Value) Members() []*Value { return v.members }

// Entry says whether the value is one entry of a list.
func (v *Value) Entry() bool { return v.keys != nil }

// Keys returns an entry's keys in the schema's order, nil for all else. The slice
// must not be changed.
func (v *Value) Keys() []KeyValue { return v.keys }

// Elem returns the value's own step in a path.
func (v *Value) Elem() Elem { return Elem{v.Schema.Name, v.keys} }

// JSON returns the value's canonical JSON: an object, an array of entries, a scalar
// or an array of scalars. Within it names are qualified where the module changes,
// below the root always at the top. The slice is the caller's.
func (v *Value) JSON() []byte { return v.appendJSON(nil) }

func (v *Value) appendJSON(b []byte) []byte {
	switch {
	case v.leaf():
		return append(b, v.text...)
	case v.Schema.Kind == List && !v.Entry():
		b = append(b, '[')
		for i, m := range v.members {
			if i > 0 {
				b = append(b, ',')
			}
			b = m.appendJSON(b)
		}
		return append(b, ']')
	}
	b = append(b, '{')
	for i, m := range v.members {
		if i > 0 {
			b = append(b, ',')
		}
		name := m.Schema.plain
		if m.Schema.Module != v.Schema.Module {
			name = m.Schema.qualified
		}
		b = append(b, name...)
		b = m.appendJSON(b)
	}
	return append(b, '}')
}

// Literal returns a leaf's or leaf-list's canonical JSON, as JSON does but without a
// copy; "" for all else.
func (v *Value) Literal() string { return v.text }

// Identity returns a number that values of one node have in common when they are
// SameAs each other, and by the same odds only then. It means nothing to another
// process.
func (v *Value) Identity() uint64 { return v.hash }

// Text returns a leaf's value for people: unquoted, an identity without its module,
// a leaf-list as "[a, b]". It is "" for all else. It shows secrets: ask Schema.Secret
// before printing.
func (v *Value) Text() string {
	switch v.Schema.Kind {
	case Leaf:
		return v.Schema.Type.Final.text(v.text)
	case LeafList:
		var all []string
		for _, e := range elements(v.text) {
			all = append(all, v.Schema.Type.Final.text(e))
		}
		return "[" + strings.Join(all, ", ") + "]"
	}
	return ""
}

// text is a canonical JSON scalar of type t as people write it.
func (t *Type) text(scalar string) string {
	s := plainText(scalar)
	module, name, qualified := strings.Cut(s, ":")
	if !qualified || len(scalar) == len(s) {
		return s
	}
	if t.Kind == Identityref && t.Identities[name] == module {
		return name
	}
	for _, m := range t.members {
		if m.Kind == Identityref && m.Identities[name] == module {
			return name
		}
	}
	return s
}

// elements splits the canonical JSON of a leaf-list.
func elements(text string) []string {
	var all []string
	start, quoted := 1, false
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == ']'):
			all = append(all, text[start:i])
			start = i + 1
		}
	}
	return all
}

// SameAs says whether u is the same node with the same content. It compares hashes
// that are keyed anew in every process, so that no input can be made to collide: two
// different values pass for the same with a chance of one in 2^64. Both may be nil.
func (v *Value) SameAs(u *Value) bool {
	if v == nil || u == nil {
		return v == u
	}
	return v.Schema == u.Schema && v.hash == u.hash
}

// SameLeaf says whether two values of one leaf or leaf-list configure the same: they
// are equal in canonical form, or one is absent (nil) and the other is the schema's
// default (RFC 7950 section 7.6.1).
func SameLeaf(a, b *Value) bool {
	switch {
	case a == nil && b == nil:
		return true
	case a == nil:
		return b.text == b.Schema.defaultJSON
	case b == nil:
		return SameLeaf(b, a)
	}
	return a.Schema == b.Schema && a.text == b.text
}

// member returns the member that is node c, nil when there is none.
func (v *Value) member(c *Node) *Value {
	i, ok := slices.BinarySearchFunc(v.members, c.pos, func(m *Value, pos int) int { return m.Schema.pos - pos })
	if !ok {
		return nil
	}
	return v.members[i]
}

// entry returns the entry of a list that has these keys, nil when there is none.
func (v *Value) entry(keys []KeyValue) *Value {
	i, ok := v.find(keys)
	if !ok {
		return nil
	}
	return v.members[i]
}

// find returns where the entry with these keys is, or belongs.
func (v *Value) find(keys []KeyValue) (int, bool) {
	if v.Schema.UserOrdered {
		i := slices.IndexFunc(v.members, func(m *Value) bool { return slices.Equal(m.keys, keys) })
		if i < 0 {
			return len(v.members), false
		}
		return i, true
	}
	return slices.BinarySearchFunc(v.members, keys, func(m *Value, keys []KeyValue) int { return compareKeys(m.keys, keys) })
}

// step returns what e, which is resolved, leads to from v.
func (v *Value) step(e Elem) *Value {
	c := v.Schema.Child(e.Name)
	if c == nil || v.leaf() || v.Schema.Kind == List && !v.Entry() {
		return nil
	}
	m := v.member(c)
	if m == nil || len(e.Keys) == 0 {
		return m
	}
	return m.entry(e.Keys)
}

// builder makes values. Its slabs keep the many small ones together.
type builder struct {
	seed     maphash.Seed
	values   []Value
	pointers []*Value
	keys     []KeyValue
	buf      []byte
}

const slab = 256

func (b *builder) value() *Value {
	if len(b.values) == 0 {
		b.values = make([]Value, slab)
	}
	v := &b.values[0]
	b.values = b.values[1:]
	return v
}

func (b *builder) leaf(n *Node, text string) *Value {
	v := b.value()
	v.Schema, v.text, v.hash = n, text, maphash.String(b.seed, text)
	return v
}

// inner makes a container or a list of members, which stand in canonical order.
func (b *builder) inner(n *Node, members []*Value) *Value {
	v := b.value()
	b.fill(v, n, members)
	return v
}

// entry makes a list's entry of its members, among which its key leaves are.
func (b *builder) entry(n *Node, members []*Value) *Value {
	v := b.value()
	v.keys, _ = b.entryKeys(n, members)
	b.fill(v, n, members)
	return v
}

// fill completes v. The members are copied.
func (b *builder) fill(v *Value, n *Node, members []*Value) {
	if len(b.pointers) < len(members) {
		b.pointers = make([]*Value, max(slab, len(members)))
	}
	v.Schema = n
	v.members = b.pointers[:len(members):len(members)]
	b.pointers = b.pointers[len(members):]
	copy(v.members, members)
	b.buf = b.buf[:0]
	for _, m := range members {
		b.buf = binary.LittleEndian.AppendUint64(b.buf, m.Schema.id)
		b.buf = binary.LittleEndian.AppendUint64(b.buf, m.hash)
	}
	v.hash = maphash.Bytes(b.seed, b.buf)
}

// entryKeys reads an entry's keys from its members, or names the first that is
// missing.
func (b *builder) entryKeys(n *Node, members []*Value) ([]KeyValue, string) {
	if len(b.keys) < len(n.Keys) {
		b.keys = make([]KeyValue, slab)
	}
	keys := b.keys[:len(n.Keys):len(n.Keys)]
	b.keys = b.keys[len(n.Keys):]
	for _, m := range members {
		if k := m.Schema.key; k > 0 {
			keys[k-1] = KeyValue{m.Schema.Name, m.Schema.Type.Final.text(m.text)}
		}
	}
	for i := range keys {
		if keys[i].Name == "" {
			return nil, n.Keys[i]
		}
	}
	return keys, ""
}

func compareKeys(a, b []KeyValue) int {
	for i := range min(len(a), len(b)) {
		if c := compareNatural(a[i].Value, b[i].Value); c != 0 {
			return c
		}
	}
	return len(a) - len(b)
}

// compareScalars orders the canonical JSON of a leaf-list's values as people would
// the values.
func compareScalars(a, b string) int {
	if c := compareNatural(plainText(a), plainText(b)); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}

// compareNatural orders texts with the digits in them by number, so that Ethernet2
// comes before Ethernet10. Only equal texts compare equal.
func compareNatural(a, b string) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	// Back to where the number begins in which they differ.
	start := i
	for start > 0 && digit(a[start-1]) {
		start--
	}
	na, nb := digits(a[start:]), digits(b[start:])
	if na == "" || nb == "" {
		return strings.Compare(a[i:], b[i:])
	}
	ta, tb := strings.TrimLeft(na, "0"), strings.TrimLeft(nb, "0")
	if len(ta) != len(tb) {
		return len(ta) - len(tb)
	}
	if c := strings.Compare(ta, tb); c != 0 {
		return c
	}
	if len(na) != len(nb) {
		return len(nb) - len(na) // the one with more zeros before
	}
	return strings.Compare(a[i:], b[i:])
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

func digits(s string) string {
	for i := range len(s) {
		if !digit(s[i]) {
			return s[:i]
		}
	}
	return s
}
