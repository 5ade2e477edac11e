package plan

import (
	"slices"
	"strings"

	"github.com/setpoint-net/setpoint/models/tree"
)

func isLeaf(v *tree.Value) bool {
	return v.Schema.Kind == tree.Leaf || v.Schema.Kind == tree.LeafList
}

func isList(v *tree.Value) bool { return v.Schema.Kind == tree.List && !v.Entry() }

// childPath is the path of a member of the value at p. A list has no element of
// its own: its entries have it, with keys.
func childPath(p tree.Path, m *tree.Value) tree.Path {
	if isList(m) {
		return p
	}
	e := tree.Elem{Name: m.Schema.Name}
	if m.Entry() {
		e.Keys = m.Keys()
	}
	return append(p[:len(p):len(p)], e)
}

// leaves calls do for every leaf and leaf-list below the value at p, in order.
func leaves(p tree.Path, v *tree.Value, do func(tree.Path, *tree.Value)) {
	if isLeaf(v) {
		do(p, v)
		return
	}
	for _, m := range v.Members() {
		leaves(childPath(p, m), m, do)
	}
}

func keyID(v *tree.Value) string {
	keys := v.Keys()
	if len(keys) == 1 {
		return keys[0].Value
	}
	var b strings.Builder
	for _, k := range keys {
		b.WriteString(k.Value)
		b.WriteByte(0)
	}
	return b.String()
}

func sameKeys(a, b *tree.Value) bool { return slices.Equal(a.Keys(), b.Keys()) }

// byKeys gives each entry's place.
func byKeys(entries []*tree.Value) map[string]int {
	if len(entries) == 0 {
		return nil
	}
	at := make(map[string]int, len(entries))
	for i, e := range entries {
		at[keyID(e)] = i
	}
	return at
}

// sequences gives the lists among a container's members whose order means
// something.
func sequences(v *tree.Value) []*tree.Value {
	var out []*tree.Value
	for _, m := range v.Members() {
		if isList(m) && m.Schema.UserOrdered {
			out = append(out, m)
		}
	}
	return out
}

func hasSequence(v *tree.Value) bool { return len(sequences(v)) > 0 }

// resequenced reports whether the container at p has to be replaced for a list
// in it: the sequence of its keys changed, and all of the container is managed.
// Without the latter the entries are written one by one, and their order is left
// to the device.
func (d *differ) resequenced(p tree.Path, a, b *tree.Value) bool {
	for _, pair := range pairs(a, b) {
		if !slices.EqualFunc(pair[0], pair[1], sameKeys) {
			return d.covers(p)
		}
	}
	return false
}

// pairs gives, for each ordered list of either container, its entries in both.
func pairs(a, b *tree.Value) [][2][]*tree.Value {
	var out [][2][]*tree.Value
	as, bs := sequences(a), sequences(b)
	for _, x := range as {
		var other []*tree.Value
		for _, y := range bs {
			if y.Schema == x.Schema {
				other = y.Members()
			}
		}
		out = append(out, [2][]*tree.Value{x.Members(), other})
	}
	for _, y := range bs {
		if !slices.ContainsFunc(as, func(x *tree.Value) bool { return x.Schema == y.Schema }) {
			out = append(out, [2][]*tree.Value{nil, y.Members()})
		}
	}
	return out
}

// reordered records the lists whose common entries changed places.
func (d *differ) reordered(p tree.Path, a, b *tree.Value) {
	for _, x := range sequences(a) {
		for _, y := range sequences(b) {
			if x.Schema == y.Schema && !slices.EqualFunc(common(x, y), common(y, x), sameKeys) {
				d.change(append(p[:len(p):len(p)], tree.Elem{Name: x.Schema.Name}), x, y)
			}
		}
	}
}

// common gives x's entries that y has too.
func common(x, y *tree.Value) []*tree.Value {
	in := byKeys(y.Members())
	var out []*tree.Value
	for _, e := range x.Members() {
		if _, ok := in[keyID(e)]; ok {
			out = append(out, e)
		}
	}
	return out
}
