package reconciler

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/device"
	"github.com/setpoint-net/setpoint/reconciler/device/sim"
	"github.com/setpoint-net/setpoint/reconciler/plan"
	"github.com/setpoint-net/setpoint/reconciler/rollout"
)

// network is a store, a rollout driver, a reconciler, and simulated targets that
// they reach over gNMI and TLS.
type network struct {
	t       testing.TB
	ctx     context.Context
	bus     *bus.Bus
	targets map[models.DeviceName]*sim.Target
	entry   map[models.DeviceName]models.Device
	ca      *sim.CA
	server  *tls.Config

	renders     *bus.Table[models.Render]
	assignments *bus.Table[models.Assignment]
	devices     *bus.Table[models.DeviceStatus]
	episodes    *bus.Table[models.Episode]
	rollouts    *bus.Table[models.Rollout]
}

const password = "correct horse"

func newNetwork(t testing.TB) *network {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	b, err := bus.Open(ctx, bus.Config{Dir: filepath.Join(t.TempDir(), "store")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	n := &network{
		t: t, ctx: ctx, bus: b,
		targets:     map[models.DeviceName]*sim.Target{},
		entry:       map[models.DeviceName]models.Device{},
		renders:     bus.TableOf[models.Render](b, "manifests"),
		assignments: bus.TableOf[models.Assignment](b, "assignments"),
		devices:     bus.TableOf[models.DeviceStatus](b, "devices"),
		episodes:    bus.TableOf[models.Episode](b, "episodes"),
		rollouts:    bus.TableOf[models.Rollout](b, "rollouts"),
	}
	if n.ca, err = sim.NewCA(time.Now()); err != nil {
		t.Fatal(err)
	}
	if n.server, err = n.ca.ServerTLS("127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	return n
}

// target serves a target until the test ends.
func (n *network) target(name models.DeviceName, running string, policy models.Drift, refuse ...string) {
	n.t.Helper()
	target, err := sim.New(sim.Config{Name: string(name), TLS: n.server, Username: "setpoint", Password: password, Initial: []byte(running), Refuse: refuse})
	if err != nil {
		n.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(n.ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := target.Serve(ctx, l); err != nil {
			n.t.Error(err)
		}
	})
	n.t.Cleanup(func() { cancel(); wg.Wait() })
	n.targets[name] = target
	n.enter(name, l.Addr().String(), policy)
}

func (n *network) enter(name models.DeviceName, address string, policy models.Drift) {
	n.entry[name] = models.Device{Name: name, Address: address, Manage: []string{"/system/config"}, Adopt: models.AdoptAuto, Drift: policy}
}

func (n *network) dial(ctx context.Context, d models.Device) (Device, error) {
	return n.session(ctx, d)
}

func (n *network) session(ctx context.Context, d models.Device) (*device.Session, error) {
	scope, err := tree.NewScope(tree.OpenConfig(), d.Manage)
	if err != nil {
		return nil, err
	}
	return device.Dial(ctx, device.Target{
		Name: d.Name, Address: d.Address, TLS: &tls.Config{RootCAs: n.ca.Pool()}, Username: "setpoint", Password: password,
		Scope: scope, Schema: tree.OpenConfig(), DialTimeout: 50 * time.Second,
	})
}

// byDevice classifies as the service does.
func byDevice(err error) Class {
	switch {
	case errors.Is(err, device.ErrRejected):
		return ClassRejected
	case errors.Is(err, device.ErrUnknownOutcome):
		return ClassUnknown
	case errors.Is(err, device.ErrUnreachable), errors.Is(err, device.ErrUnauthenticated):
		return ClassUnreachable
	}
	return ClassRetry
}

// start runs driver and reconciler; the returned function stops them and waits.
func (n *network) start() (stop func()) {
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(n.t.Output(), nil))
	}
	d := &rollout.Driver{Renders: n.renders, Assignments: n.assignments, Devices: n.devices, Rollouts: n.rollouts, Bus: n.bus, Blobs: n.bus.Blobs(), Log: log}
	r := &Reconciler{
		Assignments: n.assignments, Devices: n.devices, Episodes: n.episodes, Ledgers: Ledgers(n.bus), Orders: Orders(n.bus), Blobs: n.bus.Blobs(),
		Dial: n.dial, Classify: byDevice, Workers: 8, Log: log,
	}
	return together(n.ctx, n.t, d.Run, r.Run)
}

// push is a rendered generation that gives every device the same config.
func (n *network) push(g models.Generation, config string) {
	n.t.Helper()
	rendered(n.ctx, n.t, n.bus, g, config, slices.SortedFunc(maps.Values(n.entry), func(a, b models.Device) int { return cmp.Compare(a.Name, b.Name) })...)
}

// rendered stores a generation that gives some devices the same config, as the
// renderer's stage would.
func rendered(ctx context.Context, t testing.TB, b *bus.Bus, g models.Generation, config string, entries ...models.Device) {
	t.Helper()
	hashes, err := b.Blobs().Put(ctx, parse(t, config).Canonical())
	if err != nil {
		t.Fatal(err)
	}
	var m models.Manifest
	for _, d := range entries {
		m.Devices = append(m.Devices, models.Intended{Device: d, Config: hashes[0]})
	}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if hashes, err = b.Blobs().Put(ctx, data); err != nil {
		t.Fatal(err)
	}
	r := models.Render{Generation: g, Commit: fmt.Sprint("c", g), State: models.Rendered, Manifest: hashes[0]}
	if _, err := bus.TableOf[models.Render](b, "manifests").Update(ctx, fmt.Sprint(g), r, 0); err != nil {
		t.Fatal(err)
	}
}

// together runs what runs until it is stopped; the returned function stops it.
func together(ctx context.Context, t testing.TB, runs ...func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, run := range runs {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// await returns a row once it is as ok says.
func await[T any](n *network, t *bus.Table[T], key string, ok func(T) bool) T {
	n.t.Helper()
	ctx, cancel := context.WithCancel(n.ctx)
	defer cancel()
	changes, err := t.Watch(ctx)
	if err != nil {
		n.t.Fatal(err)
	}
	var last T
	for c := range changes {
		if c.Key == key {
			if last = c.Value; ok(last) {
				return last
			}
		}
	}
	n.t.Fatalf("%s: waited in vain; last %+v", key, last)
	return last
}

func (n *network) ended(g models.Generation, state models.RolloutState) models.Rollout {
	n.t.Helper()
	return await(n, n.rollouts, fmt.Sprint(g), func(r models.Rollout) bool { return r.State == state })
}

// outOfBand is another client's change.
func (n *network) outOfBand(name models.DeviceName, config string) {
	n.t.Helper()
	s, err := n.session(n.ctx, n.entry[name])
	if err != nil {
		n.t.Fatal(err)
	}
	defer s.Close()
	running, err := s.Running(n.ctx)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := s.Apply(n.ctx, plan.Diff(running, parse(n.t, config))); err != nil {
		n.t.Fatal(err)
	}
}

func (n *network) holds(name models.DeviceName, config string, changing int) {
	n.t.Helper()
	if got := parse(n.t, string(n.targets[name].Config())); !got.Equal(parse(n.t, config)) {
		n.t.Errorf("%s runs %s, want %s", name, got.Canonical(), config)
	}
	if got := n.targets[name].ChangingSets(); got != changing {
		n.t.Errorf("%s changed by %d Sets, want %d", name, got, changing)
	}
}

func TestOverGNMIAFleetConvergesDriftsAndHeals(t *testing.T) {
	n := newNetwork(t)
	for i := range 5 {
		n.target(models.DeviceName(fmt.Sprint("leaf", i)), host("factory"), enforce)
	}
	defer n.start()()
	n.push(1, host("one"))
	n.ended(1, models.RolloutDone)
	n.push(2, host("two", "welcome"))
	n.ended(2, models.RolloutDone)
	for name := range n.targets {
		n.holds(name, host("two", "welcome"), 2)
	}
	n.outOfBand("leaf3", host("mischief"))
	e := await(n, n.episodes, "leaf3", func(e models.Episode) bool { return !e.Closed.IsZero() })
	if e.How != "healed" || e.Changes != 2 {
		t.Errorf("episode %+v", e)
	}
	n.holds("leaf3", host("two", "welcome"), 4)
	n.holds("leaf2", host("two", "welcome"), 2)
	s := await(n, n.devices, "leaf3", func(s models.DeviceStatus) bool { return s.State == models.DeviceApplied && s.Rungs["watch"] != "" })
	t.Logf("proved %v", s.Rungs)
}

func TestOverGNMIAlertWritesNothing(t *testing.T) {
	n := newNetwork(t)
	n.target("leaf0", host("factory"), alert)
	defer n.start()()
	n.push(1, host("one"))
	n.ended(1, models.RolloutDone)
	n.outOfBand("leaf0", host("mischief"))
	await(n, n.devices, "leaf0", func(s models.DeviceStatus) bool { return s.State == models.DeviceDrifted })
	n.holds("leaf0", host("mischief"), 2)
	n.outOfBand("leaf0", host("one"))
	if e := await(n, n.episodes, "leaf0", func(e models.Episode) bool { return !e.Closed.IsZero() }); e.How != "reverted on the device" {
		t.Errorf("episode %+v", e)
	}
	n.holds("leaf0", host("one"), 3)
}

func TestOverGNMIARefusalIsHeldAndTheRestIsServed(t *testing.T) {
	n := newNetwork(t)
	n.target("leaf0", host("factory"), alert, "/system/config/motd-banner")
	n.target("leaf1", host("factory"), alert)
	defer n.start()()
	n.push(1, host("one", "banner"))
	r := n.ended(1, models.RolloutIncomplete)
	if r.Converged != 1 || len(r.Held) != 1 || r.Held[0].Device != "leaf0" {
		t.Errorf("rollout %+v", r)
	}
	t.Logf("held: %s", r.Held[0].Reason)
	n.holds("leaf0", host("factory"), 0)
	n.holds("leaf1", host("one", "banner"), 1)
	n.push(2, host("one"))
	n.ended(2, models.RolloutDone)
	n.holds("leaf0", host("one"), 1)
	n.holds("leaf1", host("one"), 2)
}

func TestOverGNMIADeadDeviceHoldsUpNoOther(t *testing.T) {
	n := newNetwork(t)
	for i := range 20 {
		n.target(models.DeviceName(fmt.Sprint("leaf", i)), host("factory"), alert)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // connects, and never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	n.enter("silent", silent.Addr().String(), alert)
	n.enter("gone", "127.0.0.1:1", alert)
	defer n.start()()
	n.push(1, host("one"))
	for name := range n.targets {
		await(n, n.assignments, string(name), func(a models.Assignment) bool { return a.Phase == models.PhaseSettled })
	}
	if s, _, err := n.devices.Get(n.ctx, "silent"); err != nil || s.State != "" {
		t.Errorf("the others waited until the silent one was %q (%v)", s.State, err)
	}
	r := await(n, n.rollouts, "1", func(r models.Rollout) bool { return r.Converged == 20 && len(r.Deferred) > 0 })
	if r.State != models.RolloutRunning || len(r.Deferred) != 1 || r.Deferred[0].Device != "gone" {
		t.Errorf("rollout %+v", r)
	}
	t.Logf("deferred: %s", r.Deferred[0].Reason)
}

func TestOverGNMIRestartsMakeNoSecondSet(t *testing.T) {
	n := newNetwork(t)
	for i := range 4 {
		n.target(models.DeviceName(fmt.Sprint("leaf", i)), host("factory"), alert)
	}
	for g := models.Generation(1); g <= 3; g++ {
		stop := n.start()
		config := host(fmt.Sprint("h", g))
		n.push(g, config)
		<-n.targets["leaf0"].Changed() // in the middle of it
		stop()
		stop = n.start()
		n.ended(g, models.RolloutDone)
		stop()
		for name := range n.targets {
			n.holds(name, config, int(g))
		}
	}
}
