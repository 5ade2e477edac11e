package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// Strategy is how a device is brought to what is intended: by which operations, and
// in how many requests. The zero Strategy manages everything, changes it entry by
// entry, and does it in one request.
type Strategy struct {
	Scope *tree.Scope // nil manages everything

	// Root replaces each managed root that differs by all that is intended there. It
	// takes a Scope.
	Root bool

	// Phases are groups of paths, resolved, whose keys may be missing or hold "*".
	// What lies in the first is written before what lies in the second, and so on;
	// what no group names comes last. The longest of several paths decides.
	Phases [][]tree.Path

	// Spared are leaves below which nothing is replaced as a whole: the device has
	// them, they are not intended, and they are to stay.
	Spared []tree.Path
}

// For is the strategy of a device of which the scope is managed. Its phases have
// been checked when they were rendered; an error names the path that is none.
func For(s *tree.Schema, d models.Device, scope *tree.Scope) (Strategy, error) {
	how := Strategy{Scope: scope, Root: d.Apply == models.ApplyRoot}
	for _, group := range d.Phases {
		var paths []tree.Path
		for _, text := range group {
			p, err := tree.ParsePath(text)
			if err == nil {
				p, _, err = s.Resolve(p)
			}
			if err != nil {
				return Strategy{}, fmt.Errorf("phase: %w", err)
			}
			paths = append(paths, p)
		}
		how.Phases = append(how.Phases, paths)
	}
	return how, nil
}

// Diff is the plan that leads from running to expected, by the strategy's means.
// Where an operation writes, it writes what is meant: that is expected itself, but
// for what a device is known to show in another form than it was sent in.
func (s Strategy) Diff(running, expected, meant *tree.Tree) *Plan {
	d := &differ{scope: s.Scope, divided: s.divides, plan: &Plan{}}
	d.node(nil, running.Root(), expected.Root())
	p := d.plan
	if expected != meant {
		for _, values := range [][]Value{p.Replaces, p.Updates} {
			for i := range values {
				if v := meant.Lookup(values[i].Path); v != nil {
					values[i].Node = v
				}
			}
		}
	}
	if s.Root && s.Scope != nil {
		s.byRoot(p, meant)
	}
	s.inPhases(p)
	return p
}

// byRoot puts one replace in the place of all operations below a managed root. A
// managed path that stands for several entries makes a root of each. Where a root
// can't be replaced as a whole, its operations stay and a note says why.
func (s Strategy) byRoot(p *Plan, meant *tree.Tree) {
	tops := s.Scope.Tops()
	whole := map[string]bool{}
	var replaces []Value
	for _, root := range rootsOf(p, tops) {
		v, why := meant.Lookup(root), s.apart(root)
		switch {
		case v != nil && isLeaf(v), slices.ContainsFunc(p.Deletes, root.Equal): // whole as it is
		case why == "" && v != nil:
			whole[root.String()] = true
			replaces = append(replaces, Value{root, v})
		default:
			p.Notes = append(p.Notes, fmt.Sprintf("%s is changed entry by entry: %s", pathText(root), cmp.Or(why, "nothing is intended there")))
		}
	}
	within := func(q tree.Path) bool {
		root := rootOf(q, tops)
		return root != nil && whole[root.String()]
	}
	p.Deletes = slices.DeleteFunc(p.Deletes, within)
	p.Updates = slices.DeleteFunc(p.Updates, func(v Value) bool { return within(v.Path) })
	p.Replaces = append(replaces, slices.DeleteFunc(p.Replaces, func(v Value) bool { return within(v.Path) })...)
}

// rootOf is the managed root that a path is at or below, nil for none.
func rootOf(p tree.Path, tops []tree.Path) tree.Path {
	for _, top := range tops {
		if p.Within(top) {
			return p[:len(top):len(top)]
		}
	}
	return nil
}

// rootsOf are the managed roots that a plan has operations at or below, sorted.
func rootsOf(p *Plan, tops []tree.Path) []tree.Path {
	at := slices.Clone(p.Deletes)
	for _, values := range [][]Value{p.Replaces, p.Updates} {
		for _, v := range values {
			at = append(at, v.Path)
		}
	}
	roots := map[string]tree.Path{}
	for _, q := range at {
		if root := rootOf(q, tops); root != nil {
			roots[root.String()] = root
		}
	}
	var out []tree.Path
	for _, text := range slices.Sorted(maps.Keys(roots)) {
		out = append(out, roots[text])
	}
	return out
}

// apart says why a managed root is not replaced whole, "" if it may be.
func (s Strategy) apart(root tree.Path) string {
	switch {
	case !s.Scope.Covers(root):
		return "not all below it is managed"
	case s.divides(root):
		return "its phases write below it one after the other"
	}
	n := 0
	for _, leaf := range s.Spared {
		if leaf.Within(root) {
			n++
		}
	}
	if n > 0 {
		return fmt.Sprintf("leaves that came along with a Set are left alone below it (%d)", n)
	}
	return ""
}

// phase is the number of the phase that a path is written in, from 0.
func (s Strategy) phase(p tree.Path) int {
	best, at := -1, len(s.Phases)
	for i, group := range s.Phases {
		for _, top := range group {
			if len(top) > best && p.Within(top) {
				best, at = len(top), i
			}
		}
	}
	return at
}

// divides says whether something below p is written in another phase than p.
func (s Strategy) divides(p tree.Path) bool {
	at := -1
	for i, group := range s.Phases {
		for _, top := range group {
			if len(top) <= len(p) || !top.MayBeWithin(p) {
				continue
			}
			if at < 0 {
				at = s.phase(p)
			}
			if i != at {
				return true
			}
		}
	}
	return false
}

// step is what one request of a plan holds, in numbers of operations.
type step struct{ deletes, replaces, updates int }

func (s step) empty() bool { return s == step{} }

// inPhases puts the operations in the order of the phases that they belong to, and
// cuts them into requests. All deletes go first, those of the last phase before
// those of the first: what refers to something goes before that does. Then comes
// what is written, first phase first. A phase's deletes and writes that meet are one
// request.
func (s Strategy) inPhases(p *Plan) {
	if len(s.Phases) == 0 {
		return
	}
	n := len(s.Phases) + 1
	deletes, replaces, updates := make([][]tree.Path, n), make([][]Value, n), make([][]Value, n)
	for _, d := range p.Deletes {
		at := s.phase(d)
		deletes[at] = append(deletes[at], d)
	}
	for _, v := range p.Replaces {
		at := s.phase(v.Path)
		replaces[at] = append(replaces[at], v)
	}
	for _, v := range p.Updates {
		at := s.phase(v.Path)
		updates[at] = append(updates[at], v)
	}
	p.Deletes, p.Replaces, p.Updates = nil, nil, nil
	var steps []step
	last := -1 // the phase of the last step, while it only deletes
	for at := n - 1; at >= 0; at-- {
		p.Deletes = append(p.Deletes, deletes[at]...)
		if len(deletes[at]) > 0 {
			steps, last = append(steps, step{deletes: len(deletes[at])}), at
		}
	}
	for at := range n {
		p.Replaces, p.Updates = append(p.Replaces, replaces[at]...), append(p.Updates, updates[at]...)
		written := step{replaces: len(replaces[at]), updates: len(updates[at])}
		switch {
		case written.empty():
			continue
		case last == at:
			written.deletes = steps[len(steps)-1].deletes
			steps[len(steps)-1] = written
		default:
			steps = append(steps, written)
		}
		last = -1
	}
	if len(steps) < 2 {
		return
	}
	p.steps = steps
	p.Notes = append(p.Notes, fmt.Sprintf("sent in %d phases, not atomic: a refusal leaves the earlier ones done", len(steps)))
}

// Requests are the plans of one SetRequest each that a plan is sent as, in their
// order; they hold operations alone. Nearly always it is one. None comes of an
// empty plan.
func (p *Plan) Requests() []*Plan {
	if p.Empty() {
		return nil
	}
	steps := p.steps
	if len(steps) == 0 {
		steps = []step{{len(p.Deletes), len(p.Replaces), len(p.Updates)}}
	}
	var out []*Plan
	var from step
	for _, s := range steps {
		to := step{from.deletes + s.deletes, from.replaces + s.replaces, from.updates + s.updates}
		out = append(out, &Plan{
			Deletes:  p.Deletes[from.deletes:to.deletes],
			Replaces: p.Replaces[from.replaces:to.replaces],
			Updates:  p.Updates[from.updates:to.updates],
		})
		from = to
	}
	return out
}
