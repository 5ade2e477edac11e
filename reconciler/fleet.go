package reconciler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/plan"
)

const (
	manifestsKept = 4  // decoded: the newest, and those of devices left behind
	configsKept   = 32 // parsed: enough for the devices that are looked at twice in a row
	partsKept     = 32 // parsed: of devices that differ, between two reads

	busDeadline = 30 * time.Second // each call to the bus
)

// fleet is a Reconciler at work, with its defaults filled in.
type fleet struct {
	Reconciler
	queue     *queue
	manifests *cache[models.Hash, map[models.DeviceName]models.Device]
	configs   *cache[models.Hash, *tree.Tree]
	parsed    *cache[parsedKey, parsed]

	healing healing

	mu       sync.Mutex
	assigned map[models.DeviceName]models.Assignment
	members  map[models.DeviceName]*member
	orders   map[models.DeviceName]Order
	begun    bool // all that is assigned is known
}

// member is what is known of one device. It belongs to the worker that has the
// device's name.
type member struct {
	name    models.DeviceName
	status  models.DeviceStatus            // as it is now
	stored  bus.Entry[models.DeviceStatus] // as the table has it
	episode bus.Entry[models.Episode]

	taken   models.Assignment // what the fields below were made for
	entry   models.Device
	scope   *tree.Scope
	how     plan.Strategy // by which it is written
	session *session

	failures int
	trouble  time.Time // when a look failed after one that did not
	restless int       // looks that wait for two reads to agree
	owed     bool      // the store was full: a row is older than what is known
	seen     picture
	read     time.Time   // when the last read began
	stirred  bool        // the device spoke of a change between the last read and the one before
	complete bool        // seen is all that runs, but for what the session said that it changed
	due      time.Time   // when all of it is read without being asked
	suspect  models.Hash // what differed at the last read
	diff     models.Hash // the text of the difference that was stored last

	ledger Ledger            // as it is now
	kept   bus.Entry[Ledger] // as the table has it
	order  command
	flux   map[string]string // secrets that changed without a Set, and to what mark
}

func newFleet(r Reconciler) *fleet {
	if r.Schema == nil {
		r.Schema = tree.OpenConfig()
	}
	if r.Classify == nil {
		r.Classify = func(error) Class { return ClassRetry }
	}
	if r.Workers <= 0 {
		r.Workers = 64
	}
	if r.Resync <= 0 {
		r.Resync = 10 * time.Minute
	}
	if r.Log == nil {
		r.Log = slog.New(slog.DiscardHandler)
	}
	f := &fleet{
		Reconciler: r,
		manifests:  newCache[models.Hash, map[models.DeviceName]models.Device](manifestsKept),
		configs:    newCache[models.Hash, *tree.Tree](configsKept),
		parsed:     newCache[parsedKey, parsed](partsKept),
		assigned:   map[models.DeviceName]models.Assignment{},
		members:    map[models.DeviceName]*member{},
		orders:     map[models.DeviceName]Order{},
	}
	f.queue = newQueue(r.Workers, f.look)
	return f
}

// load reads what the tables know of devices, also of those that lost their
// assignment meanwhile.
func (f *fleet) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, busDeadline)
	defer cancel()
	statuses, err := f.Devices.All(ctx)
	if err != nil {
		return fmt.Errorf("read device states: %w", err)
	}
	episodes, err := f.Episodes.All(ctx)
	if err != nil {
		return fmt.Errorf("read episodes: %w", err)
	}
	ledgers, err := f.Ledgers.All(ctx)
	if err != nil {
		return fmt.Errorf("read ledgers: %w", err)
	}
	orders, err := f.Orders.All(ctx)
	if err != nil {
		return fmt.Errorf("read orders: %w", err)
	}
	for name, s := range statuses {
		m := f.member(models.DeviceName(name))
		m.stored, m.status = s, s.Value
	}
	for name, e := range episodes {
		f.member(models.DeviceName(name)).episode = e
	}
	for name, l := range ledgers {
		m := f.member(models.DeviceName(name))
		m.kept, m.ledger = l, l.Value.clone()
	}
	for name, o := range orders {
		f.orders[models.DeviceName(name)] = o.Value
	}
	return nil
}

// dispatch turns changes of assignments into looks until the watch ends. The
// first looks wait for all that is assigned already.
func (f *fleet) dispatch(changes <-chan bus.Change[models.Assignment]) {
	current := false
	for c := range changes {
		if c.Current {
			current = true
			f.mu.Lock()
			f.begun = true
			f.mu.Unlock()
			for _, name := range f.names() {
				f.queue.look(name)
			}
			continue
		}
		name := models.DeviceName(c.Key)
		f.assign(name, c)
		if current {
			f.queue.look(name)
		}
	}
}

func (f *fleet) assign(name models.DeviceName, c bus.Change[models.Assignment]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.Deleted {
		delete(f.assigned, name)
		return
	}
	f.assigned[name] = c.Value
}

// names are the devices that are assigned, or known from before.
func (f *fleet) names() []models.DeviceName {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []models.DeviceName
	for name := range f.assigned {
		all = append(all, name)
	}
	for name := range f.members {
		all = append(all, name)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (f *fleet) assignment(name models.DeviceName) (models.Assignment, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, ok := f.assigned[name]
	return a, ok
}

func (f *fleet) member(name models.DeviceName) *member {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.members[name]
	if m == nil {
		m = &member{name: name, seen: newPicture()}
		f.members[name] = m
	}
	return m
}

// close ends every session. The workers have ended.
func (f *fleet) close() {
	var wg sync.WaitGroup
	for _, m := range f.members {
		wg.Go(func() { f.hangUp(m) })
	}
	wg.Wait()
}

// look is one look at one device: the queue's work.
func (f *fleet) look(ctx context.Context, name models.DeviceName) next {
	m := f.member(name)
	a, ok := f.assignment(name)
	if !ok {
		return f.release(ctx, m)
	}
	if m.status.Generation > a.Generation {
		return next{} // an assignment from before; the one that counts is on its way
	}
	if err := f.take(ctx, m, a); err != nil {
		return f.miss(ctx, m, err)
	}
	if err := f.obey(ctx, m); err != nil {
		return f.miss(ctx, m, err)
	}
	if m.settled() {
		if err := f.record(ctx, m); err != nil {
			return f.unrecorded(ctx, m, err)
		}
		return m.until(next{after: time.Until(m.due)})
	}
	parts, err := f.read(ctx, m, false)
	if err != nil {
		return f.miss(ctx, m, err)
	}
	return m.until(f.judge(ctx, m, parts))
}

// until brings a look forward to when an order ends by itself.
func (m *member) until(n next) next {
	if ends := m.order.ends; !ends.IsZero() {
		n.after = min(n.after, max(time.Until(ends), time.Millisecond))
	}
	return n
}

// take makes the member speak of an assignment: entry, scope, status.
func (f *fleet) take(ctx context.Context, m *member, a models.Assignment) error {
	if m.taken == a {
		return nil
	}
	if a.Hash != m.status.Intended || a.Generation != m.status.Generation {
		m.ledger.Heals, m.ledger.Stopped = nil, Stop{}
	}
	m.status = carry(m.status, a)
	if a.Manifest != m.taken.Manifest {
		if err := f.enter(ctx, m, a.Manifest); err != nil {
			return err
		}
	}
	if a.Allow != "" && a.From == m.ledger.Stopped.At {
		m.ledger.Stopped = Stop{}
	}
	if a.Hash != m.taken.Hash {
		m.suspect, m.diff, m.complete, m.flux = "", "", false, nil
	}
	m.taken = a
	return nil
}

// enter takes the device's entry from a manifest. A session to another address,
// or of another scope, is ended.
func (f *fleet) enter(ctx context.Context, m *member, manifest models.Hash) error {
	entries, err := f.manifests.get(manifest, func() (map[models.DeviceName]models.Device, error) {
		return f.manifest(ctx, manifest)
	})
	if err != nil {
		return err
	}
	entry, ok := entries[m.name]
	if !ok {
		return fmt.Errorf("manifest %.12s has no device %s", manifest, m.name)
	}
	entry.Manage = HeldTo(entry, m.order.paths)
	scope, same := m.scope, m.scope != nil && sameSession(m.entry, entry)
	if !same {
		if scope, err = tree.NewScope(f.Schema, entry.Manage); err != nil {
			return fmt.Errorf("managed paths: %w", err)
		}
	}
	how, err := plan.For(f.Schema, entry, scope)
	if err != nil {
		return err
	}
	if same {
		m.entry, m.how = entry, how
		return nil
	}
	f.hangUp(m)
	m.entry, m.scope, m.how = entry, scope, how
	m.failures, m.suspect, m.complete, m.seen = 0, "", false, newPicture()
	return nil
}

func (f *fleet) manifest(ctx context.Context, h models.Hash) (map[models.DeviceName]models.Device, error) {
	ctx, cancel := context.WithTimeout(ctx, busDeadline)
	defer cancel()
	data, err := f.Blobs.Get(ctx, h)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	var m models.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("manifest %.12s: %w", h, err)
	}
	entries := make(map[models.DeviceName]models.Device, len(m.Devices))
	for _, d := range m.Devices {
		entries[d.Device.Name] = d.Device
	}
	return entries, nil
}

// intended is the config that the member's assignment names.
func (f *fleet) intended(ctx context.Context, m *member) (*tree.Tree, error) {
	h := m.taken.Hash
	return f.configs.get(h, func() (*tree.Tree, error) {
		ctx, cancel := context.WithTimeout(ctx, busDeadline)
		defer cancel()
		data, err := f.Blobs.Get(ctx, h)
		if err != nil {
			return nil, fmt.Errorf("intended config: %w", err)
		}
		t, err := tree.Parse(f.Schema, data)
		if err != nil {
			return nil, fmt.Errorf("intended config %.12s: %w", h, err)
		}
		return t, nil
	})
}

// settled says that nothing needs to be read: the device is watched, was read
// equal to this very config, and has not stirred since.
func (m *member) settled() bool {
	return !m.owed && m.status.State == models.DeviceApplied && m.status.Applied == m.taken.Generation &&
		m.complete && m.suspect == "" && m.session != nil && m.session.quiet() && time.Now().Before(m.due)
}

// release forgets a device that has no assignment. Nothing is written to it.
func (f *fleet) release(ctx context.Context, m *member) next {
	f.hangUp(m)
	ctx, cancel := context.WithTimeout(ctx, busDeadline)
	defer cancel()
	if err := f.Devices.Delete(ctx, string(m.name), 0); err != nil {
		return f.unrecorded(ctx, m, err)
	}
	if err := f.Episodes.Delete(ctx, string(m.name), 0); err != nil {
		return f.unrecorded(ctx, m, err)
	}
	if err := f.Ledgers.Delete(ctx, string(m.name), 0); err != nil {
		return f.unrecorded(ctx, m, err)
	}
	if err := f.Orders.Delete(ctx, string(m.name), 0); err != nil {
		return f.unrecorded(ctx, m, err)
	}
	if m.stored.Rev > 0 {
		f.publish(ctx, m, "released", m.stored.Value.Generation, "", time.Now().UTC())
		f.Log.InfoContext(ctx, "released", "device", m.name)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.members, m.name)
	return next{}
}

// miss is the end of a look that failed, for whatever reason.
func (f *fleet) miss(ctx context.Context, m *member, err error) next {
	if ctx.Err() != nil {
		return next{}
	}
	m.failures++
	m.complete = false
	class := f.Classify(err)
	if class == ClassUnreachable {
		f.hangUp(m)
	}
	if m.failures == 1 {
		m.trouble = time.Now()
	}
	before, n := m.status.State, m.failures
	if spent(class, err) || time.Since(m.trouble) >= patience {
		n = max(n, attempts)
	}
	m.status = missed(m.status, class, n, oneLine(err.Error(), reasonLength))
	if m.status.State != before {
		f.Log.WarnContext(ctx, "device out of sight", "device", m.name, "state", string(m.status.State), "err", err)
	}
	if failing(m.status) || m.status.State == models.DeviceHeld {
		if err := f.record(ctx, m); err != nil {
			return f.unrecorded(ctx, m, err)
		}
	}
	return next{after: backoff(m.failures, rand.Float64()), slow: true}
}

// spent says whether a dial or a read used up all of its time, which is evidence
// enough: trying it twice more would keep a device that hangs untold for minutes.
// One that fails sooner, however slow it is, is tried again first. A Set without
// an answer is none of these: a read says what became of it.
func spent(c Class, err error) bool {
	return c == ClassUnreachable && errors.Is(err, context.DeadlineExceeded)
}

// unrecorded is the end of a look whose outcome the bus did not take. It is
// found out again.
func (f *fleet) unrecorded(ctx context.Context, m *member, err error) next {
	if ctx.Err() != nil {
		return next{}
	}
	m.failures++
	f.Log.WarnContext(ctx, "state not recorded", "device", m.name, "err", err)
	return next{after: backoff(m.failures, rand.Float64()), slow: true}
}

// done is the end of a look that found something out: the next one is due by
// then, at the latest.
func (f *fleet) done(m *member, within time.Duration) next {
	m.failures, m.restless = 0, 0
	if m.owed {
		within = min(within, ceiling)
	}
	return next{after: min(max(time.Until(m.due), time.Millisecond), within)}
}

// HeldTo are a device's managed paths without what is left alone: the paths that
// its policy ignores and those that are suspended. They are neither read, compared
// nor written.
func HeldTo(entry models.Device, suspended []string) []string {
	manage := slices.Clone(entry.Manage)
	for _, i := range entry.Drift.Ignore {
		manage = append(manage, "!"+i.Path)
	}
	for _, p := range suspended {
		manage = append(manage, "!"+p)
	}
	return manage
}

// sameSession says whether a session with the one is a session with the other.
func sameSession(a, b models.Device) bool {
	return a.Address == b.Address && reflect.DeepEqual(a.Profile, b.Profile) && a.Credentials == b.Credentials && slices.Equal(a.Manage, b.Manage)
}
