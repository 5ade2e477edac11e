package reconciler

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/plan"
)

const (
	reasonLength = 400 // bytes of a status' reason
	briefLength  = 160 // of it, the paths of a plan

	confirmAfter = 100 * time.Millisecond // a difference is read again after this, and counts if it stands
	restlessMax  = 20                     // reads in a row that differ and don't agree, until they count all the same
)

// found is a running tree and how it differs from the intended config.
type found struct {
	running models.Hash
	plan    *plan.Plan // nil: it does not, as is known from before
	at      time.Time
}

func (d found) equal() bool { return d.plan == nil || d.plan.Empty() }

func (d found) brief() string { return plan.Brief(d.plan, briefLength) }

// compare finds out how a running tree differs.
func (f *fleet) compare(ctx context.Context, m *member, running *tree.Tree) (found, error) {
	d := found{running: running.Hash(), at: time.Now().UTC()}
	if d.running == m.equal {
		return d, nil
	}
	intended, err := f.intended(ctx, m)
	if err != nil {
		return d, err
	}
	d.plan = plan.DiffScoped(m.scope, running, intended)
	if d.equal() {
		m.equal = d.running
	}
	return d, nil
}

// judge decides about what was read, and acts.
func (f *fleet) judge(ctx context.Context, m *member, running *tree.Tree) next {
	d, err := f.compare(ctx, m, running)
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
		if m.status.Applied == m.status.Generation {
			m.status.Applied = 0 // it was equal by itself, and is no more
		}
		return f.stand(ctx, m, d, models.DeviceObserved, "awaits approval: "+d.brief())
	case apply:
		return f.apply(ctx, m, d)
	case keep:
		return f.stand(ctx, m, d, models.DeviceHeld, strings.TrimSuffix(apartFrom(m.status.Reason), diffLost))
	case confirm:
		m.suspect = d.running
		m.restless++
		return next{after: confirmAfter}
	case heal:
		return f.heal(ctx, m, d)
	}
	return f.drifted(ctx, m, d)
}

// saw notes that the device was read.
func (m *member) saw(d found) {
	m.status.Running, m.status.ReadAt = d.running, d.at
	if m.session != nil {
		m.status.Rungs = m.session.Rungs()
	}
}

// facts is what decide needs to know.
func (m *member) facts(d found) facts {
	opened := d.at
	if m.standing() {
		opened = m.episode.Value.Opened
	}
	m.heals = recent(m.heals, d.at)
	if len(m.heals) >= healsMax && m.stopped.reason == "" {
		m.stopped = stop{reason: fmt.Sprintf("put back %d times within %v and left alone until the next commit", healsMax, healsIn)}
	}
	return facts{
		equal:   d.equal(),
		agrees:  m.suspect == d.running || m.restless >= restlessMax,
		enforce: m.entry.Drift.Mode == models.DriftEnforce,
		overdue: d.at.Sub(opened) >= m.entry.Drift.After,
		stopped: m.stopped.reason != "" && (m.stopped.at == "" || m.stopped.at == d.running),
	}
}

// settle records that the device is on its assignment. How says how it came
// about that standing drift is gone, if there was any.
func (f *fleet) settle(ctx context.Context, m *member, how string, d found) next {
	if err := f.closeEpisode(ctx, m, how, d.at); err != nil {
		return f.unrecorded(ctx, m, err)
	}
	m.suspect = ""
	if m.stopped.at != "" {
		m.stopped = stop{}
	}
	s := &m.status
	s.State, s.Applied, s.Reason, s.Diff, s.Changes = models.DeviceApplied, m.taken.Generation, "", "", 0
	if err := f.record(ctx, m); err != nil {
		return f.unrecorded(ctx, m, err)
	}
	return f.done(m, f.Resync)
}

// stand records a difference that is left as it is.
func (f *fleet) stand(ctx context.Context, m *member, d found, state models.DeviceState, reason string) next {
	s := &m.status
	s.State, s.Changes, s.Reason = state, len(d.plan.Changes), oneLine(reason, reasonLength)
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
	if m.failures < attempts {
		m.status.State, m.status.Reason = models.DeviceApplying, ""
	}
	m.status.Diff, m.status.Changes = "", len(d.plan.Changes)
	if err := f.record(ctx, m); err != nil {
		return f.unrecorded(ctx, m, err)
	}
	err := f.set(ctx, m, d.plan)
	if err != nil && f.Classify(err) != ClassRejected {
		return f.miss(ctx, m, err)
	}
	after, readErr := f.readBack(ctx, m, err == nil)
	switch {
	case readErr == nil && after.equal():
		f.Log.InfoContext(ctx, "applied", "device", m.name, "generation", m.taken.Generation, "commit", m.taken.Commit, "changes", len(d.plan.Changes))
		return f.settle(ctx, m, "superseded by a commit", after)
	case err != nil && readErr != nil:
		return f.stand(ctx, m, d, models.DeviceHeld, "refused: "+err.Error())
	case err != nil && after.running != d.running:
		return f.stand(ctx, m, after, models.DeviceHeld, "refused, and changed in part all the same: "+err.Error())
	case err != nil:
		return f.stand(ctx, m, after, models.DeviceHeld, "refused: "+err.Error())
	case readErr != nil:
		return f.miss(ctx, m, fmt.Errorf("read back: %w", readErr))
	}
	return f.stand(ctx, m, after, models.DeviceHeld, "accepted, but after read back it differs: "+after.brief())
}

// heal puts drift back by one Set. The episode is open, and told, before.
func (f *fleet) heal(ctx context.Context, m *member, d found) next {
	if err := f.openEpisode(ctx, m, d); err != nil {
		return f.unrecorded(ctx, m, err)
	}
	m.heals = append(m.heals, d.at)
	err := f.set(ctx, m, d.plan)
	if err != nil && f.Classify(err) != ClassRejected {
		return f.miss(ctx, m, err)
	}
	after, readErr := f.readBack(ctx, m, err == nil)
	switch {
	case readErr == nil && after.equal():
		f.Log.InfoContext(ctx, "drift healed", "device", m.name, "changes", len(d.plan.Changes))
		return f.settle(ctx, m, "healed", after)
	case err != nil:
		m.stopped = stop{reason: "not put back, refused: " + err.Error(), at: d.running}
	case readErr != nil:
		return f.miss(ctx, m, fmt.Errorf("read back: %w", readErr))
	default:
		m.stopped = stop{reason: "put back and accepted, but after read back it differs", at: after.running}
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
	reason := "drifted: " + d.brief()
	enforced := facts.enforce && m.taken.Phase == models.PhaseSettled
	switch {
	case enforced && facts.stopped:
		reason += "; " + m.stopped.reason
	case enforced:
		reason += fmt.Sprintf("; put back after %v", m.entry.Drift.After)
	}
	n := f.stand(ctx, m, d, models.DeviceDrifted, reason)
	if enforced && !facts.stopped {
		left := time.Until(m.episode.Value.Opened.Add(m.entry.Drift.After))
		n.after = min(n.after, max(left, confirmAfter))
	}
	return n
}

// set makes one Set, within its deadline.
func (f *fleet) set(ctx context.Context, m *member, p *plan.Plan) error {
	ctx, cancel := context.WithTimeout(ctx, setDeadline)
	defer cancel()
	return m.session.Apply(ctx, p)
}

// readBack reads and compares after a Set. Some devices show it a little later, so
// a difference after one that was accepted is looked at three times.
func (f *fleet) readBack(ctx context.Context, m *member, accepted bool) (found, error) {
	pauses := []time.Duration{0, 200 * time.Millisecond, 800 * time.Millisecond}
	if !accepted {
		pauses = pauses[:1]
	}
	var d found
	for _, pause := range pauses {
		if !sleep(ctx, pause) {
			return d, ctx.Err()
		}
		running, err := f.read(ctx, m)
		if err != nil {
			return d, err
		}
		if d, err = f.compare(ctx, m, running); err != nil {
			return d, err
		}
		m.saw(d)
		if d.equal() {
			break
		}
	}
	return d, nil
}
