package renderer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// worker renders devices, one at a time.
type worker struct {
	*fleet
}

// rendering is one device on its way.
type rendering struct {
	*subject
	*worker
	layers   []*built // by level, ascending
	mistakes []mistake
	// unenforced are leaves that the platform omits and the device may go without.
	unenforced []string
	partial    bool // something of the config is not known: nothing is called missing
	excused    bool // a reference to nothing is another mistake's fault
	err        error
}

func (r *rendering) tell(m mistake) {
	if m.device == "" && m.at.file != r.at.file {
		m.device = r.Name
	}
	r.mistakes = append(r.mistakes, m)
}

// render gives a device's intended config, or its mistakes. The error is the
// Evaluator's, or ctx's.
func (w *worker) render(ctx context.Context, s *subject) (Device, []mistake, error) {
	d := Device{Device: s.Device}
	d.Drift = s.drift()
	id, known := w.inputs(s)
	if known {
		if o, ok := w.kept.devices.get(id); ok {
			d.Config, d.Hash, d.Unenforced = o.config, o.hash, o.unenforced
			return d, nil, nil
		}
	}
	w.fresh.Add(1)
	r := &rendering{subject: s, worker: w}
	merged := r.config(ctx)
	if r.err != nil || len(r.mistakes) > 0 {
		return d, r.mistakes, r.err
	}
	d.Config, d.Hash, d.Unenforced = merged.Canonical(), merged.Hash(), r.unenforced
	if known && r.whole() {
		w.kept.devices.put(id, &outcome{config: d.Config, hash: d.Hash, unenforced: d.Unenforced})
	}
	return d, nil, nil
}

// whole tells whether all was looked at. What a mistake elsewhere hides must not
// pass for sound once that is mended.
func (r *rendering) whole() bool {
	return !r.partial && !r.excused && r.subject.scope != nil
}

// config is the device's fragments laid over each other, and checked.
func (r *rendering) config(ctx context.Context) *tree.Tree {
	if r.collect(ctx); r.err != nil {
		return nil
	}
	r.confine()
	merged := r.merge()
	r.managed(merged)
	for _, f := range r.checker.faults(merged) {
		if r.free(f.condition) || f.absent != nil && r.maySet(f.absent) {
			continue
		}
		r.blame(f, codeYANGValue)
	}
	if r.partial {
		return r.enforceable(merged)
	}
	for _, f := range r.worker.refs.faults(merged) {
		if r.mentioned(f.misses) || r.dropped(f.misses) {
			r.excused = true
			continue
		}
		r.blame(f, codeYANGLeafref)
	}
	return r.enforceable(merged)
}

// maySet tells whether a leaf may have a value that is not seen here: one that is
// not managed, or that a mistake elsewhere hides.
func (r *rendering) maySet(leaf tree.Path) bool {
	if r.subject.scope == nil || !r.subject.scope.Contains(leaf) {
		return true
	}
	if slices.ContainsFunc(r.layers, func(b *built) bool { return len(b.dropped) > 0 }) {
		r.excused = true
	}
	return r.partial || r.excused
}

// collect builds the fragments that make up the device.
func (r *rendering) collect(ctx context.Context) {
	refs := &scope{name: r.Name, labels: r.Labels, vars: r.subject.vars}
	for _, g := range r.subject.groups {
		frag := r.fleet.groups[g]
		switch built := r.static[g]; {
		case frag == nil:
		case built != nil:
			r.layers = append(r.layers, built)
			for _, m := range built.mistakes {
				r.tell(m)
			}
		default:
			r.layers = append(r.layers, r.fragment(frag, &g.fragment, refs))
		}
	}
	for _, q := range r.requests {
		if b := r.request(ctx, q); b != nil {
			r.layers = append(r.layers, b)
		} else {
			r.partial = true
		}
	}
	if r.openconfig != nil {
		frag := &fragment{root: r.openconfig, level: deviceLevel, title: "Device " + string(r.Name), at: r.at}
		r.layers = append(r.layers, r.fragment(frag, &r.subject.fragment, refs))
	}
}

// fragment builds a document's own fragment for the device, unless one with the
// same content and references was built already.
func (r *rendering) fragment(frag *fragment, g *given, refs *scope) *built {
	var in summing
	in.mark('f')
	if !in.fragment(g, refs) {
		return r.build(frag, refs)
	}
	id := in.done()
	if t, ok := r.kept.pieces.get(id); ok {
		return &built{fragment: frag, refs: refs, tree: t}
	}
	return r.keep(id, frag, refs)
}

// request is what a kind brings forth for the device, nil when it brings nothing
// that can be used.
func (r *rendering) request(ctx context.Context, q *requestDoc) *built {
	if r.fleet.kinds.broken || r.err != nil || r.trips.withheld(q, r.subject) {
		return nil
	}
	t := r.residents[q]
	frag := &fragment{level: kindLevel, title: t.title(q), at: q.specAt, kind: q.kind, spec: q.spec, request: q, tenant: t}
	id := r.fleet.kinds.input(q, r.subject)
	if t, ok := r.kept.pieces.get(id); ok {
		return &built{fragment: frag, tree: t}
	}
	device := appendPlain(nil, r.kindInput(r.fleet.kinds.view(q.kind)))
	root, mistakes, err := r.fleet.kinds.evaluate(ctx, q, r.subject, device)
	if over := (*LimitError)(nil); errors.As(err, &over) {
		r.trips.add(q, r.subject, over)
	} else if err != nil {
		r.err = err
	}
	for _, m := range mistakes {
		r.tell(m)
	}
	if root == nil {
		return nil
	}
	frag.root = root
	return r.keep(id, frag, nil)
}

func (r *rendering) build(frag *fragment, refs *scope) *built {
	b := builder{r.schema}
	return b.build(frag, refs, r.tell)
}

// keep builds a fragment, and keeps it by its sum when nothing was wrong.
func (r *rendering) keep(id sum, frag *fragment, refs *scope) *built {
	told := len(r.mistakes)
	b := r.build(frag, refs)
	if len(r.mistakes) == told && len(b.dropped) == 0 {
		r.kept.pieces.put(id, b.tree)
	}
	return b
}

// merge lays the fragments over each other, level by level. Within a level
// nobody wins: different values are a mistake.
func (r *rendering) merge() *tree.Tree {
	merged := tree.Empty(r.schema)
	for rest := r.layers; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].level == rest[0].level {
			n++
		}
		level := rest[0].tree
		for i := 1; i < n; i++ {
			var ties []tree.Conflict
			level, ties = tree.Merge(level, rest[i].tree)
			for _, c := range ties {
				r.tie(rest[:i], rest[i], c)
			}
		}
		merged, _ = tree.Merge(merged, level)
		rest = rest[n:]
	}
	return merged
}

// tie reports two values of one leaf at one level.
func (r *rendering) tie(earlier []*built, over *built, c tree.Conflict) {
	base := earlier[0]
	for _, e := range earlier {
		if v := e.tree.Lookup(c.Path); v != nil && v.SameAs(c.Base) {
			base = e
		}
	}
	leaf := c.Over.Schema
	here, there := over.locate(c.Path, ""), base.locate(c.Path, "")
	m := mistake{
		at: here, code: codeTie, subject: there.String() + leaf.Path(), path: c.Path.String(), device: r.Name,
		msg: fmt.Sprintf("%s sets %s to %s, and %s at %s to %s", over.title, leaf.Name, shown(c.Over), base.title, there, shown(c.Base)),
	}
	if over.kind != "" {
		m.msg = fmt.Sprintf("%s sets %s to %s, and %s at %s to %s", over.title, c.Path, shown(c.Over), base.title, there, shown(c.Base))
	} else {
		m.msg += fmt.Sprintf(", and both have priority %d", over.level)
		m.hint = "give one of the groups a higher priority"
	}
	r.tell(m)
}

func shown(v *tree.Value) string {
	if v.Schema.Secret {
		return "another value (secret)"
	}
	return cut(v.Text(), 64)
}

// locate is the place of the value at a path of a built fragment.
func (b *built) locate(p tree.Path, item string) place {
	if b.kind != "" {
		return b.at // all that a kind brings forth has the place of its document's spec
	}
	c := converter{fragment: b.fragment, schema: b.tree.Schema(), refs: b.refs, made: make(map[*node]*node)}
	return c.locate(p, item).at
}

// origin is the fragment that the value at a path comes from: the highest that
// has it.
func (r *rendering) origin(p tree.Path) *built {
	for _, b := range slices.Backward(r.layers) {
		if b.tree.Lookup(p) != nil {
			return b
		}
	}
	return nil
}

// blame reports a fault of the merged config at the value that brought it.
func (r *rendering) blame(f fault, code models.Code) {
	m := mistake{at: r.at, code: cmp.Or(f.code, code), path: f.path.String(), msg: f.msg, hint: f.hint}
	at := f.path
	b := r.origin(at)
	for b == nil && f.absent != nil && len(at) > 0 {
		at = at[:len(at)-1] // what is there of the way to what is missing
		b = r.origin(at)
	}
	if b != nil {
		m.at = b.locate(at, f.item)
		if b.kind != "" {
			m.msg = fmt.Sprintf("kind %s: %s: %s", b.kind, f.path, f.msg)
			if n := scalarIn(b.spec, f.misses); n != nil {
				m.at = n.at
			}
		}
	}
	if m.msg == f.msg && f.misses == "" && f.item == "" {
		m.subject = string(m.code) // one place, one value
	}
	r.tell(m)
}

// scalarIn is the scalar of a document that is text, nil when there is none: what a
// kind has taken over as it stands.
func scalarIn(n *node, text string) *node {
	if n == nil || text == "" {
		return nil
	}
	if n.scalar() && n.text == text {
		return n
	}
	for _, f := range n.fields {
		if found := scalarIn(f.value, text); found != nil {
			return found
		}
	}
	for _, item := range n.items {
		if found := scalarIn(item, text); found != nil {
			return found
		}
	}
	return nil
}

// dropped tells whether a value was left out because of a mistake in or around
// it.
func (r *rendering) dropped(value string) bool {
	var holds func(n *node) bool
	holds = func(n *node) bool {
		return n.text == value || refers(n) ||
			slices.ContainsFunc(n.fields, func(f field) bool { return holds(f.value) }) || slices.ContainsFunc(n.items, holds)
	}
	return slices.ContainsFunc(r.layers, func(b *built) bool { return slices.ContainsFunc(b.dropped, holds) })
}

// managed reports what is set outside the managed paths: setpoint would set it
// and never look at it again.
func (r *rendering) managed(t *tree.Tree) {
	if r.subject.scope == nil {
		return
	}
	inside := r.subject.scope.Filter(t)
	if inside.Equal(t) {
		return
	}
	last := ""
	t.Leaves(func(p tree.Path, _ *tree.Value) bool {
		if inside.Lookup(p) != nil {
			return true
		}
		// The whole entry or container, where all of it is outside.
		for i := range p {
			if inside.Lookup(p[:i+1]) == nil {
				p = p[:i+1]
				break
			}
		}
		if text := p.String(); text != last {
			last = text
			r.outside(p)
		}
		return true
	})
}

func (r *rendering) outside(p tree.Path) {
	m := mistake{
		at: r.at, code: codeUnmanaged, path: p.String(), msg: fmt.Sprintf("%s is outside what manage covers", p),
		hint: "add it to manage, of the device or of a group",
	}
	if b := r.origin(p); b != nil {
		m.at = b.locate(p, "")
		if b.kind != "" {
			m.msg = fmt.Sprintf("kind %s: %s", b.kind, m.msg)
		} else {
			m.subject = "unmanaged"
		}
	}
	r.tell(m)
}
