package reconciler

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/plan"
)

const (
	reasonLength = 400 // bytes of a status' reason
	briefLength  = 240 // of it, the paths of a plan

	turnAfter   = 250 * time.Millisecond // a device whose turn to be put back it is not is looked at again after this
	restlessMax = 20                     // reads in a row that differ and don't agree, until they count all the same
)

// found is what runs and how it differs from the intended config.
type found struct {
	tree    *tree.Tree   // the containers that were not known to be as intended
	running models.Hash  // of all that is managed
	plan    *plan.Plan   // nil: it does not differ, as is known from before
	guards  []plan.Guard // that forbid the plan, those lifted for it aside
	at      time.Time
}

func (d found) equal() bool { return d.plan == nil || d.plan.Empty() }

// brief is what would be done, lacks what is there instead of what should be.
func (d found) brief() string { return plan.Brief(d.plan, briefLength) }
func (d found) lacks() string { return plan.Found(d.plan, briefLength) }

// left is what a device said when it refused, which need not name a path, and what
// is not as it should be since.
func (d found) left(words string) string {
	lacks := plan.Found(d.plan, briefLength/2)
	return oneLine(words, reasonLength-len("; ")-len(lacks)) + "; " + lacks
}

// compare finds out how what was read differs. Where not all was read, the rest is
// as intended.
func (f *fleet) compare(ctx context.Context, m *member, parts []tree.Part) (found, error) {
	d := found{at: time.Now().UTC()}
	heldTo := sync.OnceValues(func() (*tree.Tree, error) {
		all, err := f.intended(ctx, m)
		if err != nil {
			return nil, err
		}
		return m.heldTo(all), nil
	})
	others, err := m.seen.recognize(parts, d.at, heldTo, m.taken.Hash)
	if err != nil {
		return d, err
	}
	if len(others) == 0 {
		m.flux = nil
		d.running = m.seen.hash()
		if m.seen.held == m.taken.Hash {
			return d, nil
		}
		intended, err := heldTo() // another, of which the device is held to the same
		if err != nil {
			return d, err
		}
		m.seen.held = m.taken.Hash
		return d, f.count(ctx, m, intended)
	}
	if d.tree, err = f.view(m, others, d.at); err != nil {
		return d, err
	}
	d.running = m.seen.hash()
	intended, err := heldTo()
	if err != nil {
		return d, err
	}
	meant := intended.Only(rootsOf(others))
	if d.plan, err = f.planned(ctx, m, d.tree, meant); err != nil {
		return d, err
	}
	m.seen.compared(others, meant, d.plan, m.taken.Hash)
	if err := f.count(ctx, m, intended); err != nil {
		return d, err
	}
	if d.equal() {
		m.flux = nil
		return d, nil
	}
	host, _, _ := net.SplitHostPort(m.entry.Address)
	managed, keys, _ := m.seen.leaves()
	for _, g := range plan.Guards(d.plan, d.tree, intended, managed-keys, host) {
		if m.taken.From != d.running || !slices.Contains(strings.Split(m.taken.Allow, ","), g.Name) {
			d.guards = append(d.guards, g)
		}
	}
	return d, nil
}

// planned is what is left to do, once secrets that turn out to be write-only are
// not held against the device.
func (f *fleet) planned(ctx context.Context, m *member, running, intended *tree.Tree) (*plan.Plan, error) {
	r := f.reckoner(m)
	p, err := r.plan(running, intended)
	if err != nil {
		return nil, err
	}
	again, err := f.writeOnly(ctx, m, p)
	if err != nil || !again {
		return p, err
	}
	return r.plan(running, intended)
}

// heldTo is the part of the intended config that the device is held to.
func (m *member) heldTo(intended *tree.Tree) *tree.Tree {
	if len(m.entry.Drift.Ignore)+len(m.order.paths) == 0 {
		return intended
	}
	return m.scope.Filter(intended)
}

// writeOnly finds the secrets that the device shows in another form each time:
// two changes that no Set of ours explains. It says whether there is a new one.
func (f *fleet) writeOnly(ctx context.Context, m *member, p *plan.Plan) (bool, error) {
	moved, err := f.reckoner(m).restless(p)
	if err != nil {
		return false, err
	}
	var paths []string
	for path, mark := range moved {
		if before, ok := m.flux[path]; ok && before != mark {
			print := m.ledger.Secrets[path]
			print.WriteOnly = true
			m.ledger.Secrets[path] = print
			paths = append(paths, path)
		}
	}
	m.flux = moved
	if len(paths) == 0 {
		return false, nil
	}
	reason := listed(paths) + ": shown in a new form each time; sent with each change from now on, and not compared"
	f.Log.WarnContext(ctx, "secret is write-only", "device", m.name, "paths", len(paths), "reason", reason)
	f.publish(ctx, m, "write-only", m.taken.Generation, reason, time.Now().UTC())
	return true, nil
}

// count says how much of the device is held to its intended config.
func (f *fleet) count(ctx context.Context, m *member, heldTo *tree.Tree) error {
	all, err := f.intended(ctx, m)
	if err != nil {
		return err
	}
	managed, _, read := m.seen.leaves()
	intended, _ := all.Size()
	held, _ := heldTo.Size()
	lacking := len(m.entry.Unenforced) // its platform has no such leaf: not even in all
	m.status.Coverage = models.Coverage{
		Read: read, Managed: managed, Intended: intended + lacking, Unenforced: intended - held + lacking,
		WriteOnly: m.ledger.writeOnly(), Unowned: len(m.ledger.Unowned),
	}
	return nil
}

// judge decides about what was read, and acts.
func (f *fleet) judge(ctx context.Context, m *member, parts []tree.Part) next {
	d, err := f.compare(ctx, m, parts)
	if err != nil {
		return f.miss(ctx, m, err)
	}
	if err := f.settleDebts(ctx, m); err != nil {
		return f.unrecorded(ctx, m, err)
	}
	m.saw(d)
	switch decide(m.taken, m.status, m.facts(d)) {
	case settle:
		return f.settle(ctx, m, "reverted on the device", d)
	case observe:
		return f.observed(ctx, m, d)
	case apply:
		return f.apply(ctx, m, d)
	case keep:
		d.guards = nil
		return f.stand(ctx, m, d, models.DeviceHeld, strings.TrimSuffix(apartFrom(m.status.Reason), diffLost))
	case confirm:
		if m.restless++; m.suspect != d.running {
			m.suspect = d.running
			_, _ = f.keepDiff(ctx, m, d.plan) // ahead of time: while it is waited for, it holds up nobody
		}
		return next{after: max(debounce-time.Since(m.read), time.Millisecond)}
	case heal:
		return f.heal(ctx, m, d)
	}
	return f.drifted(ctx, m, d)
}

// observed records a difference that may not be written.
func (f *fleet) observed(ctx context.Context, m *member, d found) next {
	if m.status.Applied == m.status.Generation {
		m.status.Applied = 0 // it was equal by itself, and is no more
	}
	reason := "awaits approval: " + d.brief()
	switch {
	case m.order.all.holds(d.at):
		d.guards = nil
		reason = "suspended: " + d.brief()
	case len(d.guards) > 0:
		reason += "; " + guardText(d.guards)
	}
	return f.stand(ctx, m, d, models.DeviceObserved, reason)
}

// saw notes that the device was read.
func (m *member) saw(d found) {
	m.status.Running, m.status.ReadAt = d.running, m.seen.at()
	if m.session != nil {
		m.status.Rungs = m.session.Rungs()
		if m.status.Rungs["write"] != "" && len(m.how.Phases) > 0 {
			m.status.Rungs["write"] = "phases"
		}
	}
}

// facts is what decide needs to know.
func (m *member) facts(d found) facts {
	opened := d.at
	if m.standing() {
		opened = m.episode.Value.Opened
	}
	m.ledger.Heals = recent(m.ledger.Heals, d.at)
	if len(m.ledger.Heals) >= healsMax && m.ledger.Stopped.Reason == "" {
		m.ledger.Stopped = Stop{Reason: fmt.Sprintf("put back %d times within %v and left alone until the next commit", healsMax, healsIn)}
	}
	return facts{
		equal:   d.equal(),
		agrees:  m.suspect == d.running && !m.stirred || m.restless >= restlessMax,
		enforce: m.entry.Drift.Mode == models.DriftEnforce,
		overdue: d.at.Sub(opened) >= m.entry.Drift.After,
		stopped: m.ledger.Stopped.Reason != "" && (m.ledger.Stopped.At == "" || m.ledger.Stopped.At == d.running),

		suspended: m.order.all.holds(d.at),
		resting:   m.order.heals.holds(d.at),
	}
}

// settle records that the device is on its assignment. How says how it came
// about that standing drift is gone, if there was any.
func (f *fleet) settle(ctx context.Context, m *member, how string, d found) next {
	if err := f.closeEpisode(ctx, m, how, d.at); err != nil {
		return f.unrecorded(ctx, m, err)
	}
	m.suspect, m.diff = "", ""
	if m.ledger.Stopped.At != "" {
		m.ledger.Stopped = Stop{}
	}
	s := &m.status
	s.State, s.Applied, s.Reason, s.Diff, s.Changes, s.Next, s.Guards = models.DeviceApplied, m.taken.Generation, "", "", 0, "", ""
	if err := f.record(ctx, m); err != nil {
		return f.unrecorded(ctx, m, err)
	}
	return f.done(m, f.Resync)
}

// stand records a difference that is left as it is.
func (f *fleet) stand(ctx context.Context, m *member, d found, state models.DeviceState, reason string) next {
	s := &m.status
	s.State, s.Changes, s.Reason, s.Guards = state, len(d.plan.Changes), oneLine(reason, reasonLength), guardNames(d.guards)
	s.Next = m.outlook(d)
	var err error
	if s.Diff, err = f.keepDiff(ctx, m, d.plan); err != nil {
		return f.unrecorded(ctx, m, err)
	}
	if s.Diff == "" {
		s.Reason += diffLost
	}
	if err := f.record(ctx, m); err != nil {
		return f.unrecorded(ctx, m, err)
	}
	return f.done(m, f.Resync)
}

// apply brings the device to its assignment by one Set. That it is about to be
// is recorded first: the note carries the generation, so it fails if a higher
// one has come, and it tells a later reconciler that this config may be on the
// device.
func (f *fleet) apply(ctx context.Context, m *member, d found) next {
	if len(d.guards) > 0 {
		return f.stand(ctx, m, d, models.DeviceHeld, guardText(d.guards))
	}
	if m.failures < attempts {
		m.status.State, m.status.Reason, m.status.Next = models.DeviceApplying, "", ""
	}
	m.status.Diff, m.status.Changes, m.status.Guards = "", len(d.plan.Changes), ""
	if err := f.record(ctx, m); err != nil {
		return f.unrecorded(ctx, m, err)
	}
	err := f.set(ctx, m, d.plan)
	if err != nil && f.Classify(err) != ClassRejected {
		return f.miss(ctx, m, err)
	}
	after, readErr := f.readBack(ctx, m, d.tree, err == nil)
	after.guards = nil
	switch {
	case readErr == nil && after.equal():
		f.Log.InfoContext(ctx, "applied", "device", m.name, "generation", m.taken.Generation, "commit", m.taken.Commit, "changes", len(d.plan.Changes))
		return f.settle(ctx, m, "superseded by a commit", after)
	case err != nil && readErr != nil:
		return f.stand(ctx, m, d, models.DeviceHeld, d.left("refused: "+err.Error()))
	case err != nil:
		return f.stand(ctx, m, after, models.DeviceHeld, after.left(refusal(err, d.running, after.running)))
	case readErr != nil:
		return f.miss(ctx, m, fmt.Errorf("read back: %w", readErr))
	}
	return f.stand(ctx, m, after, models.DeviceHeld, "accepted, but after read back it differs: "+after.lacks())
}

// heal puts drift back by one Set. The episode is open, and told, before.
func (f *fleet) heal(ctx context.Context, m *member, d found) next {
	if err := f.openEpisode(ctx, m, d); err != nil {
		return f.unrecorded(ctx, m, err)
	}
	if len(d.guards) > 0 {
		m.ledger.Stopped = Stop{Reason: "not put back: " + guardText(d.guards), At: d.running}
		return f.drifted(ctx, m, d)
	}
	if !f.healing.begin(m.entry.Drift.MaxInFlight) {
		n := f.drifted(ctx, m, d)
		n.after = min(n.after, turnAfter)
		return n
	}
	defer f.healing.end()
	m.ledger.Heals = append(m.ledger.Heals, d.at)
	if err := f.keepLedger(ctx, m); err != nil {
		return f.unrecorded(ctx, m, err)
	}
	err := f.set(ctx, m, d.plan)
	if err != nil && f.Classify(err) != ClassRejected {
		return f.miss(ctx, m, err)
	}
	after, readErr := f.readBack(ctx, m, d.tree, err == nil)
	switch {
	case readErr == nil && after.equal():
		f.Log.InfoContext(ctx, "drift healed", "device", m.name, "changes", len(d.plan.Changes))
		return f.settle(ctx, m, "healed", after)
	case err != nil && readErr == nil && after.running != d.running:
		m.ledger.Stopped = Stop{Reason: "not put back, " + refusal(err, d.running, after.running), At: after.running}
		d = after
	case err != nil:
		m.ledger.Stopped = Stop{Reason: "not put back, refused: " + err.Error(), At: d.running}
	case readErr != nil:
		return f.miss(ctx, m, fmt.Errorf("read back: %w", readErr))
	case after.running == d.running:
		m.ledger.Stopped = Stop{Reason: "put back and accepted, but nothing changed", At: after.running}
	default: // somebody changed it again meanwhile, or it took a part: bounded by healsMax
		d = after
	}
	return f.drifted(ctx, m, d)
}

// drifted records drift, and comes back when it is to be put back.
func (f *fleet) drifted(ctx context.Context, m *member, d found) next {
	if err := f.openEpisode(ctx, m, d); err != nil {
		return f.unrecorded(ctx, m, err)
	}
	facts := m.facts(d)
	reason := "drifted: " + d.lacks()
	enforced := facts.enforce && m.taken.Phase == models.PhaseSettled
	if enforced && facts.stopped {
		reason += "; " + m.ledger.Stopped.Reason
	}
	n := f.stand(ctx, m, d, models.DeviceDrifted, reason)
	if enforced && !facts.stopped && !facts.suspended && !facts.resting {
		left := time.Until(m.episode.Value.Opened.Add(m.entry.Drift.After))
		n.after = min(n.after, max(left, debounce))
	}
	return n
}

// set sends a plan: one Set, or where the device takes it in phases one after the
// other up to the first that fails, each within its deadline.
func (f *fleet) set(ctx context.Context, m *member, p *plan.Plan) error {
	filled, err := f.revealed(p)
	if err != nil {
		return err
	}
	all := filled.Requests()
	for i, r := range all {
		if err := f.send(ctx, m, r); err != nil && len(all) > 1 {
			return &phaseError{i + 1, len(all), err}
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (f *fleet) send(ctx context.Context, m *member, request *plan.Plan) error {
	ctx, cancel := context.WithTimeout(ctx, setDeadline)
	defer cancel()
	return m.session.Apply(ctx, request)
}

// phaseError is why one of several requests failed. Those before it were accepted.
type phaseError struct {
	phase, of int
	err       error
}

func (e *phaseError) Error() string {
	return fmt.Sprintf("in phase %d of %d: %v", e.phase, e.of, e.err)
}

func (e *phaseError) Unwrap() error { return e.err }

// refusal says that a Set was refused, and with the device as it was before and
// as it was read back since, what that leaves.
func refusal(err error, before, after models.Hash) string {
	phases := new(phaseError)
	switch {
	case !errors.As(err, &phases) || phases.phase == 1:
		if before == after {
			return "refused: " + err.Error()
		}
		return "refused, and changed in part all the same: " + err.Error()
	case before == after:
		return "refused, and nothing has changed: " + err.Error()
	case phases.phase == 2:
		return fmt.Sprintf("refused in phase 2 of %d, phase 1 stays: %v", phases.of, phases.err)
	}
	return fmt.Sprintf("refused in phase %d of %d, phases 1 to %d stay: %v", phases.phase, phases.of, phases.phase-1, phases.err)
}

// readBack reads and compares after a Set. Some devices show it a little later, so
// a difference after one that was accepted is looked at three times. What the
// device shows of secrets then is their fingerprint, and what came along with the
// Set is its own. All of it is read: a Set may do more than it was asked for.
func (f *fleet) readBack(ctx context.Context, m *member, before *tree.Tree, accepted bool) (found, error) {
	pauses := []time.Duration{0, 200 * time.Millisecond, 800 * time.Millisecond}
	if !accepted {
		pauses = pauses[:1]
	}
	var (
		d     found
		parts []tree.Part
	)
	for _, pause := range pauses {
		if !sleep(ctx, pause) {
			return d, ctx.Err()
		}
		var err error
		if parts, err = f.read(ctx, m, true); err != nil {
			return d, err
		}
		if accepted {
			if err := f.learn(ctx, m, parts); err != nil {
				return d, err
			}
		}
		if d, err = f.compare(ctx, m, parts); err != nil {
			return d, err
		}
		m.saw(d)
		if d.equal() {
			return d, nil
		}
	}
	if paths := f.reckoner(m).own(d.plan, before); accepted && len(paths) > 0 {
		reason := listed(paths) + ": not asked for, and there since the Set; left alone as it is"
		f.Log.InfoContext(ctx, "unowned", "device", m.name, "leaves", len(paths), "reason", reason)
		f.publish(ctx, m, "unowned", m.taken.Generation, reason, time.Now().UTC())
		return f.compare(ctx, m, parts)
	}
	return d, nil
}

// learn takes what the device shows just after a Set. Of a container that looks as
// it did when it was as intended there is nothing to learn.
func (f *fleet) learn(ctx context.Context, m *member, parts []tree.Part) error {
	m.flux = nil
	parts = m.seen.unfamiliar(parts)
	if len(parts) == 0 {
		return nil
	}
	running, err := f.view(m, parts, time.Now().UTC())
	if err != nil {
		return err
	}
	intended, err := f.intended(ctx, m)
	if err != nil {
		return err
	}
	before := m.ledger.clone()
	r := f.reckoner(m)
	r.forgetUnowned(running, rootsOf(parts))
	if err := r.learn(running, m.heldTo(intended), rootsOf(parts)); err != nil {
		return err
	}
	if !before.equal(m.ledger) {
		m.seen.forget()
	}
	return nil
}
