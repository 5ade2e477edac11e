package rollout

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
)

// view is what the driver's watches have brought so far. A row the driver wrote
// itself is stale until its watch brings it back: meanwhile nothing is decided.
type view struct {
	changed chan struct{} // holds one token when there is something to judge

	mu          sync.Mutex
	renders     *rows[models.Render]
	assignments *rows[models.Assignment]
	statuses    *rows[models.DeviceStatus]
	rollouts    *rows[models.Rollout]
	approvals   *rows[Approval] // by device
	permits     *rows[Approval] // by generation
}

// rows is one table's rows with their revisions, and the keys whose own write
// has not come back yet, with the revision it replaced.
type rows[T any] struct {
	ready  bool // the watch has brought all that was there
	values map[string]T
	revs   map[string]uint64
	stale  map[string]uint64
}

func newRows[T any]() *rows[T] {
	return &rows[T]{values: map[string]T{}, revs: map[string]uint64{}, stale: map[string]uint64{}}
}

func (r *rows[T]) current() bool { return r.ready && len(r.stale) == 0 }

func (r *rows[T]) await(key string) { r.stale[key] = r.revs[key] }

func (r *rows[T]) forgive(key string) { delete(r.stale, key) }

func (r *rows[T]) take(c bus.Change[T]) {
	if c.Current {
		r.ready = true
		return
	}
	if old, ok := r.stale[c.Key]; ok && (c.Deleted || c.Rev > old) {
		delete(r.stale, c.Key)
	}
	if c.Deleted {
		delete(r.values, c.Key)
		delete(r.revs, c.Key)
		return
	}
	r.values[c.Key], r.revs[c.Key] = c.Value, c.Rev
}

// follow keeps rows up to date with a table until ctx ends.
func follow[T any](ctx context.Context, wg *sync.WaitGroup, t *bus.Table[T], v *view, r *rows[T]) error {
	changes, err := t.Watch(ctx)
	if err != nil {
		return err
	}
	wg.Go(func() {
		for c := range changes {
			v.mu.Lock()
			r.take(c)
			v.mu.Unlock()
			v.touch()
		}
	})
	return nil
}

// touch asks for a judgement.
func (v *view) touch() {
	select {
	case v.changed <- struct{}{}:
	default:
	}
}

// current says whether the view holds every table, and all that was written.
func (v *view) current() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.renders.ready && v.statuses.ready && v.assignments.current() && v.rollouts.current() && v.approvals.current() && v.permits.current()
}

// snapshot is a view at one moment.
type snapshot struct {
	renders     map[models.Generation]models.Render
	rollouts    map[models.Generation]models.Rollout
	assignments assigned
	statuses    map[models.DeviceName]models.DeviceStatus
	approvals   map[models.DeviceName]Approval
	permits     map[models.Generation]Approval
	revs        struct{ assignments, rollouts, approvals, permits map[string]uint64 }
}

func (v *view) snapshot() snapshot {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := snapshot{
		renders:     byGeneration(v.renders),
		rollouts:    byGeneration(v.rollouts),
		assignments: byDevice(v.assignments),
		statuses:    byDevice(v.statuses),
		approvals:   byDevice(v.approvals),
		permits:     byGeneration(v.permits),
	}
	s.revs.assignments = maps.Clone(v.assignments.revs)
	s.revs.rollouts = maps.Clone(v.rollouts.revs)
	s.revs.approvals = maps.Clone(v.approvals.revs)
	s.revs.permits = maps.Clone(v.permits.revs)
	return s
}

func byGeneration[T any](r *rows[T]) map[models.Generation]T {
	m := make(map[models.Generation]T, len(r.values))
	for k, value := range r.values {
		if g, err := strconv.ParseUint(k, 10, 64); err == nil {
			m[models.Generation(g)] = value
		}
	}
	return m
}

func byDevice[T any](r *rows[T]) map[models.DeviceName]T {
	m := make(map[models.DeviceName]T, len(r.values))
	for k, value := range r.values {
		m[models.DeviceName(k)] = value
	}
	return m
}

// newest is the rollout of the highest generation that devices were assigned by;
// zero when there is none.
func newest(rollouts map[models.Generation]models.Rollout) models.Rollout {
	var r models.Rollout
	for g, candidate := range rollouts {
		if g > r.Generation && candidate.Begun() {
			r = candidate
		}
	}
	return r
}

// same compares what a rollout tells.
func same(a, b models.Rollout) bool {
	return a.State == b.State && a.By == b.By && a.Converged == b.Converged && a.Ended.Equal(b.Ended) &&
		slices.Equal(a.Held, b.Held) && slices.Equal(a.Deferred, b.Deferred) && slices.Equal(a.Awaiting, b.Awaiting)
}

// writes collects one batch, and the rows that are stale once it is sent.
type writes struct {
	list    []bus.Write
	await   []func()
	forgive []func()
}

// row is what writes needs of rows, whatever their type.
type row interface {
	await(key string)
	forgive(key string)
}

func (w *writes) put(r row, one bus.Write, key string) {
	w.list = append(w.list, one)
	w.await = append(w.await, func() { r.await(key) })
	w.forgive = append(w.forgive, func() { r.forgive(key) })
}

// commit sends the batch. The rows are stale from before it is sent, because a
// watch may bring a write back before its sender hears of it; after a failure
// what was written, if anything, is brought by the watches.
func (w *writes) commit(ctx context.Context, v *view, b *bus.Bus) error {
	if len(w.list) == 0 {
		return nil
	}
	v.each(w.await)
	if err := b.Batch(ctx, w.list...); err != nil {
		v.each(w.forgive)
		return fmt.Errorf("%d rows: %w", len(w.list), err)
	}
	return nil
}

// each runs functions on the view's rows, under its lock.
func (v *view) each(fs []func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, f := range fs {
		f()
	}
}
