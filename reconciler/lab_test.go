package reconciler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server/ats"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/plan"
)

func TestMain(m *testing.M) {
	// The server's access clock is one goroutine for the whole process; it must not
	// be born inside a synctest bubble.
	ats.Register()
	os.Exit(m.Run())
}

// What a gear's calls fail with, and what that means.
var (
	errDown     = errors.New("no route to host")
	errPartial  = errors.New("read incomplete")
	errRefused  = errors.New("InvalidArgument: /system/config/hostname: not today")
	errNoAnswer = errors.New("deadline exceeded")
	errLocked   = errors.New("locked by another session")
)

func classify(err error) Class {
	switch {
	case errors.Is(err, errDown):
		return ClassUnreachable
	case errors.Is(err, errRefused):
		return ClassRejected
	case errors.Is(err, errNoAnswer):
		return ClassUnknown
	}
	return ClassRetry
}

// gear is a device in memory. Its faults are functions that a test sets; nil is
// none.
type gear struct {
	mu       sync.Mutex
	running  *tree.Tree
	scope    *tree.Scope   // of the last session
	stir     chan struct{} // closed at the next change
	stirred  []string      // the top containers that changed since it was last told
	deaf     bool          // changes are not streamed
	hang     bool          // dials never end by themselves; set before start
	dialErr  error
	readErr  error
	takes    time.Duration // that a read takes
	watchErr chan error
	// set is asked before a Set: whether it is applied, and what is answered.
	set func() (applies bool, err error)
	// shows is what a read gives of what runs; came is what a Set brings along.
	shows, came func(*tree.Tree) *tree.Tree

	dials, reads, sets, open int
	addresses                []string
	roots                    [][]string // asked for by each read
	parsed                   []string   // the containers that somebody parsed
}

func newGear(t testing.TB, config string) *gear {
	return &gear{running: parse(t, config), stir: make(chan struct{}), watchErr: make(chan error)}
}

func parse(t testing.TB, config string) *tree.Tree {
	t.Helper()
	running, err := tree.Parse(tree.OpenConfig(), []byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return running
}

// host is a config with that host name, and more leaves from the arguments.
func host(name string, banner ...string) string {
	c := map[string]string{"hostname": name}
	if len(banner) > 0 {
		c["motd-banner"] = banner[0]
	}
	data, err := json.Marshal(map[string]any{"openconfig-system:system": map[string]any{"config": c}})
	if err != nil {
		panic(err)
	}
	return string(data)
}

// do changes a gear or looks at it.
func (g *gear) do(f func(*gear)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f(g)
}

// change is somebody else's change.
func (g *gear) change(t testing.TB, config string) {
	t.Helper()
	running := parse(t, config)
	g.do(func(g *gear) { g.becomes(running) })
}

// becomes takes a new config and tells watchers. It holds the lock.
func (g *gear) becomes(running *tree.Tree) {
	if running.Equal(g.running) {
		return
	}
	roots := plan.Diff(g.running, running).Roots()
	g.running = running
	if !g.deaf {
		g.stirred = append(g.stirred, roots...)
		close(g.stir)
		g.stir = make(chan struct{})
	}
}

// stirs has watchers told of a change that there is not.
func (g *gear) stirs(root string) {
	g.do(func(g *gear) {
		g.stirred = append(g.stirred, root)
		close(g.stir)
		g.stir = make(chan struct{})
	})
}

func (g *gear) dial(ctx context.Context, d models.Device) (Device, error) {
	if g.hang {
		<-ctx.Done()
		return nil, fmt.Errorf("%w: %w", errDown, ctx.Err())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dials++
	g.addresses = append(g.addresses, d.Address)
	if g.dialErr != nil {
		return nil, g.dialErr
	}
	g.open++
	var err error
	g.scope, err = tree.NewScope(tree.OpenConfig(), d.Manage)
	return g, err
}

func (g *gear) Read(ctx context.Context, roots []string) ([]tree.Part, error) {
	g.mu.Lock()
	takes := g.takes
	g.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reads++
	g.roots = append(g.roots, roots)
	shown := g.running
	if g.shows != nil {
		shown = g.shows(shown)
	}
	if roots == nil {
		roots = g.scope.Roots()
	}
	var parts []tree.Part
	for _, root := range roots {
		all := shown.Only([]string{root})
		leaves, _ := all.Size()
		managed := g.scope.Filter(all)
		parts = append(parts, tree.Part{Root: root, Sum: all.Hash(), Parse: func() (*tree.Tree, int, error) {
			g.do(func(g *gear) { g.parsed = append(g.parsed, root) })
			return managed, leaves, nil
		}})
	}
	return parts, g.readErr
}

func (g *gear) Apply(_ context.Context, p *plan.Plan) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sets++
	applies, err := true, error(nil)
	if g.set != nil {
		applies, err = g.set()
	}
	if applies {
		next := applied(g.running, p)
		if g.came != nil {
			next = g.came(next)
		}
		g.becomes(next)
	}
	return err
}

// applied is what a Set makes of a tree: deletes, then replaces, then updates.
func applied(t *tree.Tree, p *plan.Plan) *tree.Tree {
	for _, path := range p.Deletes {
		t = t.ReplaceAt(path, nil)
	}
	for _, v := range p.Replaces {
		t = t.ReplaceAt(v.Path, v.Node)
	}
	for _, v := range p.Updates {
		t, _ = tree.Merge(t, tree.Empty(tree.OpenConfig()).ReplaceAt(v.Path, v.Node))
	}
	return t
}

func (g *gear) Watch(ctx context.Context, changed func(string)) error {
	g.mu.Lock()
	stir, down := g.stir, g.dialErr
	g.mu.Unlock()
	if down != nil {
		return down
	}
	changed("")
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-g.watchErr:
			return err
		case <-stir:
		}
		g.mu.Lock()
		stir = g.stir
		roots := g.stirred
		g.stirred = nil
		g.mu.Unlock()
		for _, root := range roots {
			changed(root)
		}
	}
}

func (g *gear) Rungs() map[string]string {
	g.mu.Lock()
	defer g.mu.Unlock()
	rungs := map[string]string{"read": "get-config"}
	if g.sets > 0 {
		rungs["write"] = "set"
	}
	return rungs
}

func (g *gear) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	return nil
}

// lab is a store, gears, and a reconciler between them.
type lab struct {
	*Reconciler
	t     testing.TB
	ctx   context.Context
	bus   *bus.Bus
	gears map[models.DeviceName]*gear
	entry map[models.DeviceName]models.Device
	stop  func()
}

// inLab runs a test in a synctest bubble: everything in it, the store's server
// too, lives on virtual time.
func inLab(t *testing.T, f func(l *lab)) {
	t.Helper()
	inLabWith(t, bus.Config{}, f)
}

func inLabWith(t *testing.T, c bus.Config, f func(l *lab)) {
	t.Helper()
	c.Dir = filepath.Join(t.TempDir(), "store")
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, c)
		defer func() {
			l.stop()
			if err := l.bus.Close(); err != nil {
				t.Error(err)
			}
			for name, g := range l.gears {
				if g.open != 0 {
					t.Errorf("%s: %d sessions left open", name, g.open)
				}
			}
		}()
		f(l)
	})
}

func newLab(t testing.TB, c bus.Config) *lab {
	t.Helper()
	ctx := context.Background()
	b, err := bus.Open(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, ctx: ctx, bus: b, gears: map[models.DeviceName]*gear{}, entry: map[models.DeviceName]models.Device{}, stop: func() {}}
	l.Reconciler = &Reconciler{
		Assignments: bus.TableOf[models.Assignment](b, "assignments"),
		Devices:     bus.TableOf[models.DeviceStatus](b, "devices"),
		Episodes:    bus.TableOf[models.Episode](b, "episodes"),
		Events:      bus.TopicOf[models.Event](b, "setpoint.device"),
		Ledgers:     Ledgers(b),
		Orders:      Orders(b),
		Blobs:       b.Blobs(),
		Dial:        func(ctx context.Context, d models.Device) (Device, error) { return l.gears[d.Name].dial(ctx, d) },
		Classify:    classify,
	}
	if testing.Verbose() {
		l.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	return l
}

// start runs a new reconciler; a second call restarts.
func (l *lab) start() {
	l.stop()
	ctx, cancel := context.WithCancel(l.ctx)
	r := *l.Reconciler
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Run(ctx); err != nil {
			l.t.Error(err)
		}
	})
	l.stop = func() { cancel(); wg.Wait(); l.stop = func() {} }
}

// wait lets virtual time pass, and what is due happen.
func (l *lab) wait(d time.Duration) {
	pass(d)
	synctest.Wait()
}

// device adds a device with a running config.
func (l *lab) device(name models.DeviceName, running string, policy models.Drift) *gear {
	l.t.Helper()
	g := newGear(l.t, running)
	l.gears[name] = g
	l.entry[name] = models.Device{Name: name, Address: string(name) + ":9339", Manage: []string{"/system"}, Drift: policy}
	return g
}

// assign writes assignments as a rollout would: the manifest of all devices, and
// a row for each of the named ones.
func (l *lab) assign(g models.Generation, phase models.Phase, config string, names ...models.DeviceName) {
	l.t.Helper()
	var m models.Manifest
	canonical := parse(l.t, config).Canonical()
	hash := l.blob(canonical)
	for _, name := range slices.Sorted(maps.Keys(l.entry)) {
		m.Devices = append(m.Devices, models.Intended{Device: l.entry[name], Config: hash})
	}
	data, err := json.Marshal(m)
	if err != nil {
		l.t.Fatal(err)
	}
	a := models.Assignment{Generation: g, Commit: fmt.Sprint("c", g), Manifest: l.blob(data), Hash: hash, Phase: phase}
	var batch []bus.Write
	for _, name := range names {
		_, rev, err := l.Assignments.Get(l.ctx, string(name))
		if err != nil {
			l.t.Fatal(err)
		}
		batch = append(batch, l.Assignments.Put(string(name), a, rev))
	}
	if err := l.bus.Batch(l.ctx, batch...); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) blob(data []byte) models.Hash {
	l.t.Helper()
	hashes, err := l.Blobs.Put(l.ctx, data)
	if err != nil {
		l.t.Fatal(err)
	}
	return hashes[0]
}

func (l *lab) status(name models.DeviceName) models.DeviceStatus {
	l.t.Helper()
	s, _, err := l.Devices.Get(l.ctx, string(name))
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

// want checks a device's state, the generation it speaks of, and how many Sets
// its gear has got.
func (l *lab) want(name models.DeviceName, state models.DeviceState, g models.Generation, sets int) models.DeviceStatus {
	l.t.Helper()
	s := l.status(name)
	if s.State != state || s.Generation != g {
		l.t.Errorf("%s is %s of generation %d, want %s of %d; reason %q", name, s.State, s.Generation, state, g, s.Reason)
	}
	l.gears[name].do(func(gear *gear) {
		if gear.sets != sets {
			l.t.Errorf("%s got %d Sets, want %d", name, gear.sets, sets)
		}
	})
	return s
}

func (l *lab) episode(name models.DeviceName) models.Episode {
	l.t.Helper()
	e, _, err := l.Episodes.Get(l.ctx, string(name))
	if err != nil {
		l.t.Fatal(err)
	}
	return e
}

func (l *lab) text(h models.Hash) string {
	l.t.Helper()
	data, err := l.Blobs.Get(l.ctx, h)
	if err != nil {
		l.t.Fatal(err)
	}
	return string(data)
}

// events are the kinds of a device's events so far.
func (l *lab) events(name models.DeviceName) []string {
	l.t.Helper()
	ctx, cancel := context.WithCancel(l.ctx)
	var kinds []string
	var wg sync.WaitGroup
	wg.Go(func() {
		err := l.Events.Consume(ctx, fmt.Sprint("reader", time.Now().UnixNano()), func(_ context.Context, e models.Event) error {
			if e.Device == name {
				kinds = append(kinds, e.Kind)
			}
			return nil
		})
		if err != nil {
			l.t.Error(err)
		}
	})
	l.wait(time.Minute) // a delivery that was missed is repeated within it
	cancel()
	wg.Wait()
	return kinds
}

func (l *lab) wantEvents(name models.DeviceName, want ...string) {
	l.t.Helper()
	if got := l.events(name); !slices.Equal(got, want) {
		l.t.Errorf("events of %s:\n got %q\nwant %q", name, got, want)
	}
}
