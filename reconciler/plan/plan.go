// Package plan says what has to be done to a device so that it runs what it is
// meant to run, and says it to people. It is pure: values in, values out, no
// clock and no network, and the same trees give the same plan and the same bytes.
//
// # What a plan is
//
// A [Plan] holds one difference twice. Changes is for people and guards: leaf by
// leaf, in the order of the canonical config. Deletes, Replaces and Updates are
// for the wire: the operations of one gNMI SetRequest, or of several (see Strategies),
// which a target applies in that order (gNMI 3.4.3). Applied to running they give
// intended.
//
// # What counts as a difference
//
// Two leaves are equal as tree.SameLeaf says: an absent leaf is its schema
// default, and a value's form (identity prefix, text of an address, order within
// a set) means nothing; docs/comparing.md has each rule with its source. A list entry that exists and one that does not are
// different, whatever is in them. A leaf that repeats its entry's key below
// config is there whenever the entry is: OpenConfig says everything about it with
// the key, and targets differ in whether they report it.
//
// # Operations
//
// One operation per thing that changed, as narrow as the thing:
//   - a list entry that goes is one delete of the entry; one that comes is one
//     replace of the entry;
//   - a leaf that comes or changes is an update; a leaf-list is a replace,
//     because targets append on update;
//   - leaves that go are deleted one by one, or at the narrowest container that
//     holds nothing else that stays;
//   - a list whose order means something is replaced as a whole, with the
//     container around it, when its sequence of keys changes.
//
// A list is never deleted as a whole, nor a container with lists in it or at the
// top of a model, and no operation carries an empty value (a target has to refuse replace with {}).
// No delete and no replace reaches beyond what is managed: [DiffScoped] takes an
// operation apart where the scope excludes something below its path.
//
// # Strategies
//
// A [Strategy] sends the same difference otherwise, for devices that want it so; what
// people and guards see, Changes, stays the same. By root, one replace of all that is
// intended at a managed root takes the place of the operations below it, but never
// where something below it is excluded, or spared as the device's own: there they
// stay as they are, and one of the plan's notes says so. In phases, the operations
// are cut into several requests: first the deletes, from the last phase to the first,
// then what is written, from the first to the last. That is not atomic, and a note
// says so.
//
// # Secrets
//
// A leaf that the schema calls secret is written as "(secret)" in every text form,
// also inside the values of operations. Text of a device or of the config repo
// that a terminal could take for a command is escaped.
package plan

import (
	"slices"

	"github.com/setpoint-net/setpoint/models/tree"
)

// Plan is the difference between two trees. Its slices are read-only for whoever
// gets one.
type Plan struct {
	Changes []Change // leaf by leaf, in canonical order

	// The SetRequest, in the order in which a target applies it.
	Deletes  []tree.Path
	Replaces []Value
	Updates  []Value

	// Notes are what is particular about how it is sent, a line each.
	Notes []string

	steps []step // what of the operations each request holds; none: one holds all
}

// Value is a node to be written, at its path.
type Value struct {
	Path tree.Path
	Node *tree.Value
}

// Change is one leaf or leaf-list that differs. Old is nil for one that comes,
// New for one that goes. The key leaves of an entry are part of its path, and
// make a change only of an entry that has no other leaf.
//
// A list whose order means something and whose common entries changed places is
// one more change: its path ends in the list without keys, and Old and New are
// the list.
type Change struct {
	Path     tree.Path
	Old, New *tree.Value

	whole int // how many elements of Path lead to the entry that came or went as a whole; 0 for none
}

// Empty reports whether there is nothing to do.
func (p *Plan) Empty() bool {
	return p == nil || len(p.Changes)+len(p.Deletes)+len(p.Replaces)+len(p.Updates) == 0
}

// Roots are the names of the top containers that the plan touches, sorted.
func (p *Plan) Roots() []string {
	var names []string
	add := func(path tree.Path) {
		if len(path) > 0 && !slices.Contains(names, path[0].Name) {
			names = append(names, path[0].Name)
		}
	}
	if p == nil {
		return nil
	}
	for _, c := range p.Changes {
		add(c.Path)
	}
	for _, path := range p.Deletes {
		add(path)
	}
	for _, v := range slices.Concat(p.Replaces, p.Updates) {
		add(v.Path)
	}
	slices.Sort(names)
	return names
}

// Added counts the leaves that are new or have a new value.
func (p *Plan) Added() int { return p.count(func(c Change) bool { return c.New != nil }) }

// Removed counts the leaves that are gone or whose value is. A leaf that changes
// is in both counts, as in a diff.
func (p *Plan) Removed() int { return p.count(func(c Change) bool { return c.Old != nil }) }

func (p *Plan) count(is func(Change) bool) int {
	if p == nil {
		return 0
	}
	n := 0
	for _, c := range p.Changes {
		if is(c) {
			n++
		}
	}
	return n
}

// Diff returns what makes running into intended. Everything in both is taken for
// managed.
func Diff(running, intended *tree.Tree) *Plan {
	return DiffScoped(nil, running, intended)
}

// DiffScoped is Diff for a device of which only the scope is managed. Both trees
// hold managed content only (Scope.Filter); what else there is on the device is
// spared, also where it lies below an entry that comes or goes. A nil scope
// manages everything.
func DiffScoped(scope *tree.Scope, running, intended *tree.Tree) *Plan {
	return Strategy{Scope: scope}.Diff(running, intended, intended)
}

type differ struct {
	scope   *tree.Scope
	plan    *Plan
	divided func(tree.Path) bool // what is below a path is not written at once
	covered bool                 // an operation further up does it all
	whole   int                  // see Change
}

func (d *differ) delete(p tree.Path) {
	if !d.covered {
		d.plan.Deletes = append(d.plan.Deletes, p)
	}
}

func (d *differ) replace(p tree.Path, v *tree.Value) {
	if !d.covered {
		d.plan.Replaces = append(d.plan.Replaces, Value{p, v})
	}
}

func (d *differ) update(p tree.Path, v *tree.Value) {
	if !d.covered {
		d.plan.Updates = append(d.plan.Updates, Value{p, v})
	}
}

func (d *differ) change(p tree.Path, old, new *tree.Value) {
	d.plan.Changes = append(d.plan.Changes, Change{Path: p, Old: old, New: new, whole: d.whole})
}

// under runs f with its operations left out: an operation further up does them.
func (d *differ) under(f func()) {
	before := d.covered
	d.covered = true
	f()
	d.covered = before
}

// node compares two values of one node, at p. A list is at its parent's path.
func (d *differ) node(p tree.Path, a, b *tree.Value) {
	switch {
	case a.SameAs(b):
	case isLeaf(a):
		d.leaf(p, a, b)
	case isList(a):
		d.list(p, a.Members(), b.Members())
	case d.resequenced(p, a, b):
		d.replace(p, b)
		d.under(func() { d.members(p, a, b) })
		d.reordered(p, a, b)
	default:
		d.members(p, a, b)
	}
}

func (d *differ) members(p tree.Path, a, b *tree.Value) {
	as, bs := a.Members(), b.Members()
	for len(as) > 0 || len(bs) > 0 {
		switch {
		case len(bs) == 0 || len(as) > 0 && as[0].Schema.Name < bs[0].Schema.Name:
			d.removed(childPath(p, as[0]), as[0])
			as = as[1:]
		case len(as) == 0 || bs[0].Schema.Name < as[0].Schema.Name:
			d.added(childPath(p, bs[0]), bs[0])
			bs = bs[1:]
		default:
			d.node(childPath(p, as[0]), as[0], bs[0])
			as, bs = as[1:], bs[1:]
		}
	}
}

// list compares entries. Both sides are mostly the same keys in the same order;
// only from where they differ on are they looked up.
func (d *differ) list(p tree.Path, as, bs []*tree.Value) {
	for len(as) > 0 && len(bs) > 0 && sameKeys(as[0], bs[0]) {
		d.node(childPath(p, as[0]), as[0], bs[0])
		as, bs = as[1:], bs[1:]
	}
	inA, inB := byKeys(as), byKeys(bs)
	next := 0
	addedUpTo := func(end int) {
		for ; next < end; next++ {
			if _, ok := inA[keyID(bs[next])]; !ok {
				d.added(childPath(p, bs[next]), bs[next])
			}
		}
	}
	for _, a := range as {
		at, ok := inB[keyID(a)]
		if !ok {
			d.removed(childPath(p, a), a)
			continue
		}
		addedUpTo(at)
		d.node(childPath(p, a), a, bs[at])
	}
	addedUpTo(len(bs))
}

// leaf compares a leaf or leaf-list, either of which may be missing.
func (d *differ) leaf(p tree.Path, a, b *tree.Value) {
	if !differs(p, a, b) {
		return
	}
	d.change(p, a, b)
	switch {
	case b == nil:
		d.delete(p)
	case b.Schema.Kind == tree.LeafList:
		d.replace(p, b)
	default:
		d.update(p, b)
	}
}

func differs(p tree.Path, a, b *tree.Value) bool {
	return !tree.SameLeaf(a, b) && !(a == nil && repeatsKey(p, b)) && !(b == nil && repeatsKey(p, a))
}

// repeatsKey reports whether the leaf at p is config/<key> of the entry around
// it, with the key's value.
func repeatsKey(p tree.Path, v *tree.Value) bool {
	n := len(p)
	if n < 3 || p[n-2].Name != "config" {
		return isKey(p)
	}
	return slices.Contains(p[n-3].Keys, tree.KeyValue{Name: p[n-1].Name, Value: v.Text()})
}

// isKey reports whether p is a key leaf of the entry around it.
func isKey(p tree.Path) bool {
	n := len(p)
	return n >= 2 && slices.ContainsFunc(p[n-2].Keys, func(k tree.KeyValue) bool { return k.Name == p[n-1].Name })
}

// added takes what running does not have.
func (d *differ) added(p tree.Path, v *tree.Value) {
	switch {
	case isLeaf(v):
		d.leaf(p, nil, v)
	case v.Entry() && d.covers(p) && !d.divided(p):
		d.replace(p, v)
		d.entry(p, v, func(p tree.Path, leaf *tree.Value) { d.change(p, nil, leaf) })
	case v.Entry():
		d.entryAround(p, v)
	case hasSequence(v) && d.covers(p):
		d.replace(p, v)
		d.under(func() { d.addedMembers(p, v) })
	default:
		d.addedMembers(p, v)
	}
}

func (d *differ) addedMembers(p tree.Path, v *tree.Value) {
	for _, m := range v.Members() {
		d.added(childPath(p, m), m)
	}
}

// entryAround writes a new entry leaf by leaf, because something that is not
// managed, or is written in another phase, may be below it. The update of any leaf makes the entry; the leaf that
// repeats its key goes first, and without one the entry itself is updated.
func (d *differ) entryAround(p tree.Path, v *tree.Value) {
	named := false
	leaves(p, v, func(q tree.Path, leaf *tree.Value) {
		if len(q) == len(p)+2 && repeatsKey(q, leaf) && !isKey(q) {
			d.change(q, nil, leaf)
			d.update(q, leaf)
			named = true
		}
	})
	if !named {
		d.update(p, v)
	}
	d.addedMembers(p, v)
}

// removed takes what intended does not have.
func (d *differ) removed(p tree.Path, v *tree.Value) {
	switch {
	case isLeaf(v):
		d.leaf(p, v, nil)
	case v.Entry() && d.covers(p):
		d.delete(p)
		d.entry(p, v, func(p tree.Path, leaf *tree.Value) { d.change(p, leaf, nil) })
	case !v.Entry() && !isList(v) && d.deletable(p, v):
		d.container(p, v)
	default:
		for _, m := range v.Members() {
			d.removed(childPath(p, m), m)
		}
	}
}

// container deletes a container without lists at the narrowest place that holds
// all that goes.
func (d *differ) container(p tree.Path, v *tree.Value) {
	var going []tree.Path
	leaves(p, v, func(p tree.Path, leaf *tree.Value) {
		if differs(p, leaf, nil) {
			going = append(going, p)
			d.change(p, leaf, nil)
		}
	})
	switch len(going) {
	case 0:
	case 1:
		d.delete(going[0])
	default:
		n := len(p)
		for going[0][n].Name == going[len(going)-1][n].Name { // leaves come in order
			n++
		}
		d.delete(going[0][:n:n])
	}
}

// deletable reports whether the container at p may be deleted in one go: it is not
// a top container, and no list lies in it, no leaf that stays with its entry, and
// nothing that is not managed.
func (d *differ) deletable(p tree.Path, v *tree.Value) bool {
	ok := len(p) > 1 && d.covers(p)
	leaves(p, v, func(q tree.Path, leaf *tree.Value) {
		ok = ok && !repeatsKey(q, leaf) && !slices.ContainsFunc(q[len(p):], func(e tree.Elem) bool { return e.Keys != nil })
	})
	return ok
}

// entry reports the leaves of an entry that comes or goes as a whole, its keys
// only if there is nothing else.
func (d *differ) entry(p tree.Path, v *tree.Value, report func(tree.Path, *tree.Value)) {
	d.whole = len(p)
	defer func() { d.whole = 0 }()
	before := len(d.plan.Changes)
	leaves(p, v, func(p tree.Path, leaf *tree.Value) {
		if !isKey(p) {
			report(p, leaf)
		}
	})
	if len(d.plan.Changes) == before {
		leaves(p, v, report)
	}
}

// covers reports whether everything on the device at p and below is managed.
func (d *differ) covers(p tree.Path) bool {
	return d.scope == nil || d.scope.Covers(p)
}
