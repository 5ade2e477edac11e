package renderer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/setpoint-net/setpoint/models/tree"
)

// terms are what YANG asks of a piece beyond the values of its leaves, and ygot does
// not look at: that a node is there only under its condition (when, RFC 7950
// section 7.21.5), and that a mandatory leaf is (section 7.6.5). Each stands at the
// list, or the root, whose entry holds all that it looks at: so whether an entry
// keeps its terms depends on nothing but the entry, and is asked once for each
// distinct one (see checker).
//
// A condition is broken when it is definitely false: a leaf that it compares has
// another value, or has none and another default. What nobody sets may be set on
// the device.
type terms map[*tree.Node][]term

// term is a node with conditions, or a mandatory leaf, and the way to it from the
// entry it is asked of.
type term struct {
	node  *tree.Node
	steps []*tree.Node // below the list, down to the node
}

func (t terms) compile(n *tree.Node) {
	for _, c := range n.Children() {
		if c.Mandatory && !repeatsKey(c) {
			t.add(c, n)
		}
		if len(c.When) > 0 {
			up := 0
			for _, w := range c.When {
				for _, all := range w {
					for _, test := range all {
						up = max(up, test.Up)
					}
				}
			}
			top := c
			for range up {
				top = top.Parent
			}
			t.add(c, top)
		}
		t.compile(c)
	}
}

// add has a node looked at from the nearest list around top, or the root.
func (t terms) add(n, top *tree.Node) {
	for top.Kind != tree.List && top.Parent != nil {
		top = top.Parent
	}
	var steps []*tree.Node
	for at := n; at != top; at = at.Parent {
		steps = append(steps, at)
	}
	slices.Reverse(steps)
	t[top] = append(t[top], term{n, steps})
}

// repeatsKey tells whether a leaf of config is a key of the entry. That it is there
// is the key's business: it refers to it.
func repeatsKey(n *tree.Node) bool {
	list := n.Parent.Parent
	return list != nil && slices.Contains(list.Keys, n.Name)
}

// faults are the terms that v, an entry or the root, does not keep.
func (t terms) faults(v *tree.Value) []fault {
	w := termWalk{above: []*tree.Value{v}}
	for _, one := range t[v.Schema] {
		if one.node.Mandatory {
			w.mandatory(one)
		}
		if len(one.node.When) > 0 {
			w.descend(one.steps)
		}
	}
	return w.list
}

type termWalk struct {
	above []*tree.Value // from the piece down to the parent; nil for what is not there
	path  tree.Path
	list  []fault
}

func (w *termWalk) into(v *tree.Value, e tree.Elem, then func()) {
	w.above, w.path = append(w.above, v), append(w.path, e)
	then()
	w.above, w.path = w.above[:len(w.above)-1], w.path[:len(w.path)-1]
}

// descend looks at all there is of the last step's node.
func (w *termWalk) descend(steps []*tree.Node) {
	v := child(w.above[len(w.above)-1], steps[0].Name)
	switch {
	case v == nil:
	case len(steps) == 1:
		w.when(v)
	case v.Schema.Kind != tree.List:
		w.into(v, v.Elem(), func() { w.descend(steps[1:]) })
	default:
		for _, e := range v.Members() {
			w.into(e, e.Elem(), func() { w.descend(steps[1:]) })
		}
	}
}

func (w *termWalk) when(v *tree.Value) {
	for _, c := range v.Schema.When {
		f := fault{code: CodeYANGWhen, condition: v.Schema, path: append(slices.Clone(w.path), tree.Elem{Name: v.Schema.Name})}
		held, because := w.holds(c, v)
		if held != no {
			continue
		}
		f.msg = fmt.Sprintf("%s: only where %s, and %s is %s", v.Schema.Name, conditionText(c), because.test.Leaf.Name, because.text())
		f.hint = fmt.Sprintf("leave it out, or change %s; if the device takes both, its Platform may say so: unconditional: [%s]", because.test.Leaf.Name, v.Schema.Path())
		if because.value == nil {
			f.absent = w.place(because.test)
		}
		w.list = append(w.list, f)
	}
}

// place is where a test's leaf would be.
func (w *termWalk) place(t *tree.Test) tree.Path {
	p := slices.Clone(w.path[:max(0, len(w.path)+1-t.Up)])
	for _, name := range t.Down {
		p = append(p, tree.Elem{Name: name})
	}
	return p
}

// mandatory looks for a leaf in an entry that is there. The containers on the way
// need not be: without presence they say nothing. One with a condition asks for
// its leaves when the condition holds, or when it is there all the same.
func (w *termWalk) mandatory(t term) {
	v := w.above[0]
	path := tree.Path{}
	above := w.above
	for _, s := range t.steps {
		v = child(v, s.Name)
		path = append(path, tree.Elem{Name: s.Name})
		w.above = above
		for _, c := range s.When {
			if held, _ := w.holds(c, v); held != yes && v == nil {
				w.above = w.above[:1]
				return
			}
		}
		above = append(above, v)
	}
	w.above = w.above[:1]
	entry := w.above[0]
	if v != nil || inborn(entry) {
		return
	}
	name := entry.Schema.Name
	if keys := entry.Keys(); len(keys) > 0 {
		name += " " + keys[len(keys)-1].Value
	}
	f := fault{code: codeYANGMandatory, path: path, absent: path}
	f.msg = fmt.Sprintf("%s has no %s, which is mandatory", name, strings.TrimPrefix(t.node.Path(), entry.Schema.Path()+"/"))
	f.hint = "set it, or mend the name if another " + entry.Schema.Name + " is meant"
	if keys := entry.Keys(); len(keys) == 1 {
		f.misses = keys[0].Value
	}
	w.list = append(w.list, f)
}

// inborn tells whether a device has an entry before anyone configures it, and knows
// the type itself: a port, and the default instance. An intent may well say no more
// of it than a description.
func inborn(entry *tree.Value) bool {
	switch entry.Schema.Path() {
	case "/interfaces/interface":
		return true
	case "/network-instances/network-instance":
		return strings.EqualFold(entry.Keys()[0].Value, "default")
	}
	return false
}

type truth int

const (
	no truth = iota
	unknown
	yes
)

// compared is a test and what it met.
type compared struct {
	test  *tree.Test
	value *tree.Value // nil: there is none, and the default counts
}

func (c compared) text() string {
	if c.value != nil {
		return c.value.Text()
	}
	return local(c.test.Leaf.Default) + " unless set"
}

// holds says whether a condition of self does, and if not, by which test: by one
// that met a default, if anything rests on that.
func (w *termWalk) holds(c tree.Condition, self *tree.Value) (truth, compared) {
	best, because := no, compared{}
	for _, all := range c {
		worst, why := yes, compared{}
		for i := range all {
			v, with := w.test(&all[i], self)
			if v == no && why.value == nil {
				why = with // one value that is set is enough
			}
			worst = min(worst, v)
		}
		if because.test == nil || why.value == nil {
			because = why // all alternatives have to fail
		}
		best = max(best, worst)
	}
	return best, because
}

func (w *termWalk) test(t *tree.Test, self *tree.Value) (truth, compared) {
	base := self
	if t.Up > len(w.above) {
		return unknown, compared{}
	}
	if t.Up > 0 {
		base = w.above[len(w.above)-t.Up]
	}
	for _, name := range t.Down {
		base = child(base, name)
	}
	is := t.Leaf.DefaultLiteral()
	if base != nil {
		is = base.Literal()
	}
	switch {
	case is == "":
		return unknown, compared{}
	case (is == t.Value) == t.Not:
		return no, compared{t, base}
	}
	return yes, compared{}
}

// child is member, also of what is not there.
func child(v *tree.Value, name string) *tree.Value {
	if v == nil {
		return nil
	}
	return member(v, name)
}

// conditionText is a condition for people: "type is L2VSI or L3VRF".
func conditionText(c tree.Condition) string {
	var out strings.Builder
	last := ""
	for i, all := range c {
		if i > 0 {
			out.WriteString(" or ")
		}
		for j := range all {
			t := &all[j]
			if j > 0 {
				out.WriteString(" and ")
			}
			left := t.Leaf.Name + " is "
			if t.Not {
				left += "not "
			}
			if left != last || j > 0 {
				out.WriteString(left)
			}
			last = left
			out.WriteString(t.Text())
		}
	}
	return out.String()
}
