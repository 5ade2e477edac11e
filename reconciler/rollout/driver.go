// Package rollout moves devices from one generation to the next: it alone
// writes assignments.
//
// The machine is pure: elect chooses the generation to roll out, assign gives
// each device of its manifest an assignment, weigh says what that takes away,
// judge and tally say how far a rollout has come, adopt lifts what awaits
// approval. They take values and return values; the driver reads the
// tables, asks them, and writes what they say. Nothing is kept in memory that
// the tables do not hold, so a driver that is killed at any point goes on where
// the tables stand.
//
// A rollout has one wave and no timers: every device of the manifest is assigned
// at once, in the same atomic batch that creates the rollout and supersedes the
// older ones. The rollout is the batch's last write, so that its row proves that
// every device was assigned, also where a store takes a batch in several parts.
// What the devices' owner then reports in the table devices brings the rollout
// forward: a device that was read back equal is settled.
//
// Promises:
//
//   - an assignment never goes back to a lower generation: every write is
//     compare-and-set, and a generation below any assignment is not elected;
//   - a generation whose rendering has mistakes moves no device: the one before
//     stays assigned, and goes on being kept;
//   - a device whose config does not change keeps its phase: drift on it is
//     neither adopted nor overwritten;
//   - a rollout ends done, incomplete or superseded, and one that is incomplete
//     is done by itself when its last device has caught up;
//   - a device that awaits approval is written to once a person approved the plan
//     that it shows, and from then on like any other; an approval of a plan that
//     has changed meanwhile is dropped;
//   - a device that left the inventory loses its assignment, which releases it,
//     and its approval;
//   - a generation that takes more from the fleet than a guard lets pass is held as
//     a whole: its rollout is created and says why, no device is assigned or
//     released by it, and the rollout before goes on. It begins once a person has
//     allowed it by the guards' names, and is superseded by a newer generation,
//     which is weighed anew against what is assigned. Without assignments, as in a
//     store that was begun anew, there is nothing to weigh against.
//
// The driver never speaks to a device and never waits for one.
package rollout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
)

// Driver runs the rollouts. Its fields are set before Run. There is one Driver
// per bus at a time; a second one does no harm but loses its writes.
type Driver struct {
	Renders     *bus.Table[models.Render]       // by generation
	Assignments *bus.Table[models.Assignment]   // by device
	Devices     *bus.Table[models.DeviceStatus] // by device
	Rollouts    *bus.Table[models.Rollout]      // by generation
	Bus         *bus.Bus
	Blobs       *bus.Blobs
	Log         *slog.Logger // nil: nothing is logged

	compared memo
}

const (
	pause    = 100 * time.Millisecond // what changes meanwhile is judged together
	deadline = 30 * time.Second       // for each call to the bus
	ceiling  = 30 * time.Second       // longest wait after a failure
)

// Run drives rollouts until ctx ends. It returns an error if the tables can't be
// watched; failures after that are logged and tried again.
func (d *Driver) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	v := &view{
		renders:     newRows[models.Render](),
		assignments: newRows[models.Assignment](),
		statuses:    newRows[models.DeviceStatus](),
		rollouts:    newRows[models.Rollout](),
		approvals:   newRows[Approval](),
		permits:     newRows[Approval](),
		changed:     make(chan struct{}, 1),
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	err := errors.Join(
		follow(ctx, &wg, d.Renders, v, v.renders),
		follow(ctx, &wg, d.Assignments, v, v.assignments),
		follow(ctx, &wg, d.Devices, v, v.statuses),
		follow(ctx, &wg, d.Rollouts, v, v.rollouts),
		follow(ctx, &wg, Approvals(d.Bus), v, v.approvals),
		follow(ctx, &wg, Permits(d.Bus), v, v.permits),
	)
	if err != nil {
		return fmt.Errorf("rollout: %w", err)
	}
	d.loop(ctx, v)
	return nil
}

// loop advances whenever the view changed, at most once per pause.
func (d *Driver) loop(ctx context.Context, v *view) {
	failures := 0
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.changed:
		}
		again := pause
		if v.current() {
			if err := d.advance(ctx, v); err != nil && ctx.Err() == nil {
				failures++
				again = min(ceiling, pause<<min(failures, 10))
				d.failed(ctx, err, failures)
				v.touch()
			} else {
				failures = 0
			}
		}
		wait.Reset(again)
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
	}
}

// failed logs an error once per row of failures. A lost compare-and-set is none:
// the watch brings what was written instead.
func (d *Driver) failed(ctx context.Context, err error, failures int) {
	if !errors.Is(err, bus.ErrConflict) && (failures == 1 || failures%20 == 0) {
		d.log().WarnContext(ctx, "rollout not advanced", "err", err, "failures", failures)
	}
}

// advance does what the tables ask for: begin, release, or bring forward.
func (d *Driver) advance(ctx context.Context, v *view) error {
	s := v.snapshot()
	if r, ok := elect(s.renders, s.rollouts, s.assignments); ok {
		return d.begin(ctx, v, s, r)
	}
	if r, p, ok := allowed(s.rollouts, s.permits); ok {
		return d.allow(ctx, v, s, r, p)
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	if err := d.expire(ctx, v, s); err != nil {
		return err
	}
	newest := newest(s.rollouts)
	if newest.Generation == 0 {
		return nil
	}
	if err := d.release(ctx, v, s, newest.Generation); err != nil {
		return err
	}
	if moved, err := d.adopt(ctx, v, s); moved || err != nil {
		return err
	}
	return d.bring(ctx, v, s, newest)
}

// adopt lets devices that were approved be written to, and forgets approvals that
// lapsed. It says whether it wrote anything.
func (d *Driver) adopt(ctx context.Context, v *view, s snapshot) (bool, error) {
	var rebuilt models.Generation
	if d.Bus.Rebuilt() != "" {
		rebuilt = oldest(s.rollouts)
	}
	moves, lapsed := adopt(s.approvals, s.assignments, s.statuses, rebuilt)
	for _, name := range lapsed {
		if err := d.forget(ctx, v, s, name); err != nil {
			return false, err
		}
		d.log().WarnContext(ctx, "approval lapsed: the plan has changed", "device", name, "by", s.approvals[name].Who)
	}
	var w writes
	for name, a := range moves {
		w.put(v.assignments, d.Assignments.Put(string(name), a, s.revs.assignments[string(name)]), string(name))
	}
	if err := w.commit(ctx, v, d.Bus); err != nil {
		return false, fmt.Errorf("adopt: %w", err)
	}
	for name, a := range moves {
		d.log().InfoContext(ctx, "device adopted", "device", name, "generation", a.Generation, "by", s.approvals[name].Who)
	}
	return len(moves)+len(lapsed) > 0, nil
}

// forget removes a device's approval, if it has one.
func (d *Driver) forget(ctx context.Context, v *view, s snapshot, name models.DeviceName) error {
	if _, ok := s.approvals[name]; !ok {
		return nil
	}
	var w writes
	w.put(v.approvals, bus.Write{}, string(name))
	v.each(w.await)
	if err := Approvals(d.Bus).Delete(ctx, string(name), s.revs.approvals[string(name)]); err != nil {
		v.each(w.forgive)
		return fmt.Errorf("forget the approval of %s: %w", name, err)
	}
	return nil
}

// begin assigns a generation's devices and creates its rollout; or it creates a
// rollout that is held, and assigns nothing, where guards forbid the generation.
func (d *Driver) begin(ctx context.Context, v *view, s snapshot, r models.Render) error {
	m, err := d.manifest(ctx, r)
	if err != nil {
		return err
	}
	w := weigh(m, inventory(s.assignments, newest(s.rollouts).Generation))
	losses, err := d.losses(ctx, w.moves())
	if err != nil {
		return fmt.Errorf("compare generation %d with what is assigned: %w", r.Generation, err)
	}
	if guards := w.offends(losses); len(guards) > 0 {
		err = d.hold(ctx, v, s, r, m, guards)
	} else {
		err = d.assign(ctx, v, s, r, m, nil)
	}
	if err == nil {
		d.compared.clear()
	}
	return err
}

// allow begins a rollout that was held.
func (d *Driver) allow(ctx context.Context, v *view, s snapshot, r models.Rollout, p Approval) error {
	render := models.Render{Generation: r.Generation, Commit: r.Commit, Manifest: r.Manifest}
	m, err := d.manifest(ctx, render)
	if err != nil {
		return err
	}
	hold := *r.Hold
	hold.Who, hold.Time = p.Who, p.Time
	return d.assign(ctx, v, s, render, m, &hold)
}

// assign gives a generation's devices their assignments, and creates its rollout or
// begins the one that was held.
func (d *Driver) assign(ctx context.Context, v *view, s snapshot, r models.Render, m models.Manifest, hold *models.Hold) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	moves, changed := assign(r, m, s.assignments)
	if hold != nil {
		extend(moves, s.assignments, s.statuses, hold.Names())
	}
	now := time.Now().UTC()
	var w writes
	d.supersede(v, s, &w, func(old models.Rollout) bool { return old.Generation < r.Generation }, r.Generation, now)
	for name, a := range moves {
		w.put(v.assignments, d.Assignments.Put(string(name), a, s.revs.assignments[string(name)]), string(name))
	}
	begun := begin(r, len(m.Devices), changed, now)
	begun.Hold = hold
	w.put(v.rollouts, d.Rollouts.Put(key(r.Generation), begun, s.revs.rollouts[key(r.Generation)]), key(r.Generation))
	if err := w.commit(ctx, v, d.Bus); err != nil {
		return fmt.Errorf("begin generation %d: %w", r.Generation, err)
	}
	who := ""
	if hold != nil {
		who = hold.Who
	}
	d.log().InfoContext(ctx, "rollout began", "generation", r.Generation, "commit", r.Commit, "devices", len(m.Devices), "changed", changed, "allowed", who)
	return nil
}

// hold creates a rollout that waits for a person's word. Devices stay where they
// are: the rollout before goes on, and only what waited like this one is superseded.
func (d *Driver) hold(ctx context.Context, v *view, s snapshot, r models.Render, m models.Manifest, guards []models.FleetGuard) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	_, changed := assign(r, m, s.assignments)
	now := time.Now().UTC()
	var w writes
	d.supersede(v, s, &w, func(old models.Rollout) bool { return !old.Begun() }, r.Generation, now)
	held := withhold(r, len(m.Devices), changed, guards, now)
	w.put(v.rollouts, d.Rollouts.Put(key(r.Generation), held, 0), key(r.Generation))
	if err := w.commit(ctx, v, d.Bus); err != nil {
		return fmt.Errorf("hold generation %d: %w", r.Generation, err)
	}
	d.log().ErrorContext(ctx, "rollout held by a guard: nothing is assigned", "generation", r.Generation, "commit", r.Commit,
		"reason", held.Hold.Reason(), "hint", fmt.Sprintf("look at the commit, then: setpoint approve %d --allow %s", r.Generation, held.Hold.Names()))
	return nil
}

// supersede ends the older rollouts that are of the kind.
func (d *Driver) supersede(v *view, s snapshot, w *writes, kind func(models.Rollout) bool, by models.Generation, now time.Time) {
	for g, old := range s.rollouts {
		if g == by || !kind(old) {
			continue
		}
		if next := supersede(old, by, now); next.State != old.State {
			w.put(v.rollouts, d.Rollouts.Put(key(g), next, s.revs.rollouts[key(g)]), key(g))
		}
	}
}

// expire forgets the permits that are spent.
func (d *Driver) expire(ctx context.Context, v *view, s snapshot) error {
	for _, g := range spent(s.rollouts, s.permits) {
		if !s.rollouts[g].Begun() {
			d.log().WarnContext(ctx, "approval lapsed: it is of no rollout that is held", "generation", g, "by", s.permits[g].Who)
		}
		var w writes
		w.put(v.permits, bus.Write{}, key(g))
		v.each(w.await)
		if err := Permits(d.Bus).Delete(ctx, key(g), s.revs.permits[key(g)]); err != nil {
			v.each(w.forgive)
			return fmt.Errorf("forget the approval of generation %d: %w", g, err)
		}
	}
	return nil
}

// manifest reads a rendering's manifest.
func (d *Driver) manifest(ctx context.Context, r models.Render) (models.Manifest, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	var m models.Manifest
	data, err := d.Blobs.Get(ctx, r.Manifest)
	if err != nil {
		return m, fmt.Errorf("manifest of generation %d: %w", r.Generation, err)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("manifest of generation %d: %w", r.Generation, err)
	}
	return m, nil
}

// release takes the assignment from devices that the newest rollout left behind:
// they are not in its manifest.
func (d *Driver) release(ctx context.Context, v *view, s snapshot, newest models.Generation) error {
	for name, a := range s.assignments {
		if a.Generation >= newest {
			continue
		}
		if err := d.forget(ctx, v, s, name); err != nil {
			return err // first: a device that comes back is a new one
		}
		var w writes
		w.put(v.assignments, bus.Write{}, string(name))
		v.each(w.await)
		if err := d.Assignments.Delete(ctx, string(name), s.revs.assignments[string(name)]); err != nil {
			v.each(w.forgive)
			return fmt.Errorf("release %s: %w", name, err)
		}
		d.log().InfoContext(ctx, "device released", "device", name, "generation", newest)
	}
	return nil
}

// bring settles the devices that arrived, and keeps the rollout's value.
func (d *Driver) bring(ctx context.Context, v *view, s snapshot, r models.Rollout) error {
	next, settle := tally(r, s.assignments, s.statuses, time.Now().UTC())
	var w writes
	for _, name := range settle {
		a := s.assignments[name]
		a.Phase = models.PhaseSettled
		w.put(v.assignments, d.Assignments.Put(string(name), a, s.revs.assignments[string(name)]), string(name))
	}
	if !same(r, next) {
		w.put(v.rollouts, d.Rollouts.Put(key(r.Generation), next, s.revs.rollouts[key(r.Generation)]), key(r.Generation))
	}
	if err := w.commit(ctx, v, d.Bus); err != nil {
		return fmt.Errorf("advance generation %d: %w", r.Generation, err)
	}
	if next.State != r.State {
		d.log().InfoContext(ctx, "rollout ended", "generation", r.Generation, "commit", r.Commit, "state", string(next.State),
			"converged", next.Converged, "of", next.Total, "held", len(next.Held), "deferred", len(next.Deferred), "awaiting", len(next.Awaiting))
	}
	return nil
}

func (d *Driver) log() *slog.Logger {
	if d.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return d.Log
}

// key is a generation as a table's key.
func key(g models.Generation) string { return strconv.FormatUint(uint64(g), 10) }
