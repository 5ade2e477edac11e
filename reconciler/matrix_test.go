package reconciler

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/device"
	"github.com/setpoint-net/setpoint/reconciler/device/sim"
	"github.com/setpoint-net/setpoint/reconciler/plan"
	"github.com/setpoint-net/setpoint/reconciler/rollout"
)

// The matrix: rollout, reconciler and device sessions against a target that
// misbehaves, for every fault, drift mode and way to write a device, in virtual time.
// The judge looks at the target with a client of its own and at what setpoint tells
// people, and holds the two against each other.

// What the cells bring to the device, and what a fault spoils.
const (
	deviceSecret  = "s3cr3t-battery"
	deviceAddress = "192.0.2.1:9339"
	byHand        = "by-hand"

	cellBefore = `{"openconfig-system:system":{"config":{"hostname":"old","motd-banner":"goes"}},
		"openconfig-interfaces:interfaces":{"interface":[{"name":"Ethernet2","config":{"name":"Ethernet2","type":"iana-if-type:ethernetCsmacd","mtu":1500,"description":"goes"}}]},
		"openconfig-lldp:lldp":{"config":{"system-name":"old"},"interfaces":{"interface":[{"name":"Ethernet2","config":{"name":"Ethernet2","enabled":false}}]}}}`
	cellIntended = `{"openconfig-system:system":{"config":{"hostname":"new","login-banner":"comes"},
			"aaa":{"authentication":{"admin-user":{"config":{"admin-password":"` + deviceSecret + `"}}}},
			"dns":{"config":{"search":["b.example","a.example"]}}},
		"openconfig-interfaces:interfaces":{"interface":[
			{"name":"Ethernet1","config":{"name":"Ethernet1","type":"iana-if-type:ethernetCsmacd","mtu":9000,"enabled":true},
			 "openconfig-if-ethernet:ethernet":{"config":{"mac-address":"00:11:22:aa:bb:cc"}},
			 "subinterfaces":{"subinterface":[{"index":0,"config":{"index":0},"openconfig-if-ip:ipv6":{"addresses":{"address":[{"ip":"2001:db8::1","config":{"ip":"2001:db8::1","prefix-length":64}}]}}}]}},
			{"name":"Ethernet2","config":{"name":"Ethernet2","type":"iana-if-type:ethernetCsmacd","mtu":1500}}]},
		"openconfig-lldp:lldp":{"config":{"system-name":"new"}}}`

	// The judge waits for all that is due within a resync, and waits no longer: most
	// of a cell's cost is what the store does while time passes.
	cellResync = 2 * time.Minute
	aResync    = cellResync + time.Minute
	aWhile     = 2*cellResync + time.Minute
)

// strategy is how a cell's device is written.
type strategy string

const (
	byEntries strategy = "entries"
	byRoot    strategy = "root"
	inPhases  strategy = "phases"
)

var strategies = []strategy{byEntries, byRoot, inPhases}

// entry is the device's entry in the manifest. Below /lldp something is another
// client's; by root all of /system is one.
func (s strategy) entry(mode models.DriftMode) models.Device {
	d := models.Device{
		Name: "a", Address: deviceAddress, Adopt: models.AdoptAuto, Drift: models.Drift{Mode: mode},
		Manage: []string{"/system/config", "/system/aaa", "/system/dns", "/interfaces/interface[name=Ethernet*]", "/lldp", "!/lldp/interfaces"},
	}
	switch s {
	case byRoot:
		d.Apply = models.ApplyRoot
		d.Manage = append([]string{"/system"}, d.Manage[3:]...)
	case inPhases:
		d.Phases = [][]string{{"/system/config"}, {"/interfaces"}}
	}
	return d
}

// intendedLeaves are what the judge looks for on the target, by the names of
// containers and keys on the way: an independent reading of cellIntended.
var intendedLeaves = []struct {
	where []string
	want  string // JSON; "" for a leaf that has to be gone
}{
	{[]string{"system", "config", "hostname"}, `"new"`},
	{[]string{"system", "config", "login-banner"}, `"comes"`},
	{[]string{"system", "config", "motd-banner"}, ``},
	{[]string{"system", "aaa", "authentication", "admin-user", "config", "admin-password"}, `"` + deviceSecret + `"`},
	{[]string{"interfaces", "interface", "name=Ethernet1", "config", "mtu"}, `9000`},
	{[]string{"interfaces", "interface", "name=Ethernet2", "config", "mtu"}, `1500`},
	{[]string{"interfaces", "interface", "name=Ethernet2", "config", "description"}, ``},
	{[]string{"lldp", "config", "system-name"}, `"new"`},
	{[]string{"lldp", "interfaces", "interface", "name=Ethernet2", "config", "enabled"}, `false`}, // not managed
	{[]string{"interfaces", "interface", "name=Ethernet1", "subinterfaces", "subinterface", "index=0", "ipv6", "addresses", "address", "ip=2001:db8::1", "config", "prefix-length"}, `64`},
}

// lookup walks RFC 7951 JSON without any of setpoint's own readers.
func lookup(v any, where []string) any {
	for _, step := range where {
		key, value, isKey := strings.Cut(step, "=")
		if isKey {
			list, _ := v.([]any)
			at := slices.IndexFunc(list, func(e any) bool {
				m, _ := e.(map[string]any)
				return fmt.Sprint(memberOf(m, key)) == value
			})
			if at < 0 {
				return nil
			}
			v = list[at]
			continue
		}
		m, _ := v.(map[string]any)
		if v = memberOf(m, step); v == nil {
			return nil
		}
	}
	return v
}

func memberOf(m map[string]any, name string) any {
	for k, v := range m {
		if k == name || strings.HasSuffix(k, ":"+name) {
			return v
		}
	}
	return nil
}

// fault is a row of the matrix: how a target misbehaves, and what setpoint is to
// make of it.
type fault struct {
	name    string
	faults  sim.Faults
	profile models.Profile // what its Platform document says of such a target
	// deploys is the state that a deployment to such a target ends in, and says is
	// in the line that tells why.
	deploys models.DeviceState
	says    string
	// apart are leaves that the fault itself keeps from being what is intended, by
	// their last names.
	apart []string
	// within is how soon another client's change is to be known; 0: 15 minutes, by
	// the resync.
	within time.Duration
	// changes is the change that setpoint is to find out about, where it is another
	// than the other client's.
	changes func(c *cell)
	// rung is how the device has to be watched, or read.
	rung map[string]string
	// quiet says that what the fault shows is no news, so that the deployment is
	// done in one Set, or one for each phase.
	quiet bool
	// in is what is otherwise in cells of a strategy.
	in map[strategy]otherwise
}

// otherwise is what a strategy makes of a fault, where it is not what others do.
type otherwise struct {
	deploys models.DeviceState
	says    string
	sets    int // of the deployment
}

// of is the fault in the cells of a strategy, and how many Sets the deployment takes;
// 0: not told.
func (f fault) of(s strategy) (fault, int) {
	sets := 0
	if f.quiet {
		sets = map[strategy]int{byEntries: 1, byRoot: 1, inPhases: 4}[s]
	}
	if o, ok := f.in[s]; ok {
		f.deploys, f.says = o.deploys, o.says
		return f, o.sets
	}
	return f, sets
}

// cell is one run: one target, one setpoint, one judge.
type cell struct {
	t      *testing.T
	ctx    context.Context
	bus    *bus.Bus
	target *sim.Target
	lis    *bufconn.Listener
	roots  *x509.CertPool
	judge  gnmi.GNMIClient
	mode   models.DriftMode
	how    strategy
	fault  fault
	log    lockedBuffer

	renders     *bus.Table[models.Render]
	assignments *bus.Table[models.Assignment]
	devices     *bus.Table[models.DeviceStatus]
	episodes    *bus.Table[models.Episode]
	rollouts    *bus.Table[models.Rollout]
	events      *bus.Topic[models.Event]
	own         int // Sets that the judge made

	mu   sync.Mutex
	sent []*plan.Plan // to the target
}

// recorded is a session of a cell that keeps what is sent.
type recorded struct {
	Device
	c *cell
}

func (r recorded) Apply(ctx context.Context, p *plan.Plan) error {
	r.c.mu.Lock()
	r.c.sent = append(r.c.sent, p)
	r.c.mu.Unlock()
	return r.Device.Apply(ctx, p)
}

// written holds the first request to the cell's strategy.
func (c *cell) written() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sent) == 0 {
		return
	}
	whole := slices.ContainsFunc(c.sent[0].Replaces, func(v plan.Value) bool { return v.Path.String() == "/system" })
	if whole != (c.how == byRoot) {
		c.t.Errorf("by %s, /system was replaced whole: %v", c.how, whole)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestEveryFaultInEveryMode is the matrix. Each cell runs.
func TestEveryFaultInEveryMode(t *testing.T) {
	for _, f := range faultRows {
		for _, mode := range []models.DriftMode{models.DriftObserve, models.DriftAlert, models.DriftEnforce} {
			for _, how := range strategies {
				t.Run(fmt.Sprintf("%s/%s/%s", f.name, mode, how), func(t *testing.T) {
					t.Parallel()
					c := &cell{t: t, mode: mode, how: how}
					var sets int
					c.fault, sets = f.of(how)
					dir := t.TempDir()
					synctest.Test(t, func(t *testing.T) {
						c.t = t
						c.open(dir)
						c.run(sets)
					})
				})
			}
		}
	}
}

// run is the story of every cell. The deployment is to take so many Sets; 0: any.
func (c *cell) run(sets int) {
	t, f := c.t, c.fault
	stop := c.start()
	defer c.end(func() { stop() })

	// A deployment to the target as it is.
	c.begin()
	c.push(1, cellIntended)
	c.pass(aWhile)
	c.is("the deployment", f.deploys, f.says)
	for what, want := range f.rung {
		if got := c.status().Rungs[what]; got != want {
			t.Errorf("%s by %q, want %q", what, got, want)
		}
	}
	c.honest("the deployment")
	c.written()
	deployed := c.sets()
	if sets > 0 && deployed != sets {
		t.Errorf("the deployment took %d Sets, want %d", deployed, sets)
	}

	// Quiet: nothing is done, and nothing is told, while nothing happens.
	c.pass(aWhile)
	c.honest("a quiet while")
	if f.deploys == models.DeviceApplied && c.sets() != deployed {
		t.Errorf("a quiet while: %d Sets more", c.sets()-deployed)
	}

	if f.deploys != models.DeviceApplied {
		c.recovers(f)
		return
	}

	if told := c.told(); slices.Contains(told, "held") {
		t.Errorf("a failure was told that was none: %q", told)
	}

	// Another client's change.
	if f.changes != nil {
		f.changes(c)
	} else {
		c.byHand()
	}
	c.pass(cmp.Or(f.within, aResync))
	c.found("another client's change")
	c.pass(aResync)
	c.honest("another client's change")
	switch drifted := c.hostname() != "new"; {
	case c.mode == models.DriftEnforce:
		if drifted {
			t.Errorf("enforce: the change stands; %s", c.line())
		}
	case !drifted:
		t.Errorf("%s: the change was put back", c.mode)
	case !c.drifting():
		t.Errorf("the change is not told; %s", c.line())
	}
	if c.mode != models.DriftEnforce && c.sets() != deployed {
		t.Errorf("%s: %d Sets more", c.mode, c.sets()-deployed)
	}

	// The fault ends.
	before := c.sets()
	c.mend()
	c.pass(aWhile)
	c.honest("the fault's end")
	if c.mode == models.DriftEnforce {
		c.is("the fault's end", models.DeviceApplied, "")
		return
	}
	moved := "/system/config/hostname"
	if f.changes != nil {
		moved = "drifted: "
	}
	c.is("the fault's end", models.DeviceDrifted, moved)
	if c.sets() != before || c.hostname() == "new" {
		t.Errorf("%s: %d Sets after the fault's end, the name is %q", c.mode, c.sets()-before, c.hostname())
	}
}

// recovers: a deployment that did not come through does so once the fault ends, or
// once a person says so where the device had refused.
func (c *cell) recovers(f fault) {
	c.mend()
	if f.deploys == models.DeviceHeld {
		c.pass(aResync)
		c.is("held, the fault gone", models.DeviceHeld, "")
		c.retry()
	}
	c.pass(aResync)
	c.is("the fault's end", models.DeviceApplied, "")
	c.honest("the fault's end")
}

// authority signs all cells' certificates: in each the time begins anew.
var authority = sync.OnceValues(func() (*sim.CA, error) { return sim.NewCA(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) })

// open makes the store and the target, and the judge's own connection to it.
func (c *cell) open(dir string) {
	t := c.t
	c.ctx, c.lis = context.Background(), bufconn.Listen(1<<16)
	var err error
	if c.bus, err = bus.Open(c.ctx, bus.Config{Dir: filepath.Join(dir, "store")}); err != nil {
		t.Fatal(err)
	}
	c.renders = bus.TableOf[models.Render](c.bus, "manifests")
	c.assignments = bus.TableOf[models.Assignment](c.bus, "assignments")
	c.devices = bus.TableOf[models.DeviceStatus](c.bus, "devices")
	c.episodes = bus.TableOf[models.Episode](c.bus, "episodes")
	c.rollouts = bus.TableOf[models.Rollout](c.bus, "rollouts")
	c.events = bus.TopicOf[models.Event](c.bus, "setpoint.device")
	ca, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.ServerTLS("192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	if c.target, err = sim.New(sim.Config{Name: "a", TLS: server, Username: "setpoint", Password: password, Initial: []byte(cellBefore)}); err != nil {
		t.Fatal(err)
	}
	c.roots = ca.Pool()
	conn, err := grpc.NewClient("passthrough:a", grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return c.lis.DialContext(ctx) }),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: c.roots, ServerName: "192.0.2.1", MinVersion: tls.VersionTLS12})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c.judge = gnmi.NewGNMIClient(conn)
}

// start serves the target and runs setpoint; the returned function stops both.
func (c *cell) start() (stop func()) {
	log := slog.New(slog.NewJSONHandler(&c.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	d := &rollout.Driver{Renders: c.renders, Assignments: c.assignments, Devices: c.devices, Rollouts: c.rollouts, Bus: c.bus, Blobs: c.bus.Blobs(), Log: log}
	r := &Reconciler{
		Assignments: c.assignments, Devices: c.devices, Episodes: c.episodes, Ledgers: Ledgers(c.bus), Orders: Orders(c.bus), Events: c.events,
		Blobs: c.bus.Blobs(), Dial: c.dial, Classify: byDevice, Workers: 4, Resync: cellResync, Log: log, Key: []byte("key of the test"),
		Secrets: func(ref string) (string, error) {
			if ref == "lab/admin" {
				return deviceSecret, nil
			}
			return "", errors.New("no such secret")
		},
	}
	return together(c.ctx, c.t, d.Run, r.Run, func(ctx context.Context) error { return c.target.Serve(ctx, c.lis) })
}

func (c *cell) end(stop func()) {
	if c.t.Failed() && testing.Verbose() {
		c.t.Log(c.log.String())
	}
	stop()
	c.leaksNothing()
	if n := c.target.ExtendedSets(); n > 0 {
		c.t.Errorf("%d Sets came with an extension", n)
	}
	if err := c.bus.Close(); err != nil {
		c.t.Error(err)
	}
}

func (c *cell) dial(ctx context.Context, d models.Device) (Device, error) {
	scope, err := tree.NewScope(tree.OpenConfig(), d.Manage)
	if err != nil {
		return nil, err
	}
	s, err := device.Dial(ctx, device.Target{
		Name: d.Name, Address: d.Address, TLS: &tls.Config{RootCAs: c.roots}, Username: "setpoint", Password: password,
		Profile: d.Profile, ReadTimeout: 20 * time.Second, SetTimeout: 30 * time.Second, Scope: scope, Schema: tree.OpenConfig(), Dialer: func(ctx context.Context, _ string) (net.Conn, error) { return c.lis.DialContext(ctx) },
	})
	if err != nil {
		return nil, err
	}
	return recorded{s, c}, nil
}

// pass lets virtual time pass, and what is due happen.
func (c *cell) pass(d time.Duration) {
	pass(d)
	synctest.Wait()
}

func (c *cell) begin() {
	c.t.Helper()
	if err := c.target.Break(c.fault.faults); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cell) mend() {
	c.t.Helper()
	if err := c.target.Break(sim.Faults{}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cell) retry() {
	c.t.Helper()
	if _, err := Orders(c.bus).Update(c.ctx, "a", Order{Retry: Asked{Who: "root", Time: time.Now()}}, 0); err != nil {
		c.t.Fatal(err)
	}
}

// push is a rendered generation. The secret is named, as the config repo has it.
func (c *cell) push(g models.Generation, config string) {
	c.t.Helper()
	entry := c.how.entry(c.mode)
	entry.Profile = c.fault.profile
	rendered(c.ctx, c.t, c.bus, g, strings.Replace(config, deviceSecret, "secret://lab/admin", 1), entry)
}

// byHand is another client's change of the host name.
func (c *cell) byHand() {
	c.t.Helper()
	ctx := metadata.AppendToOutgoingContext(c.ctx, "username", "setpoint", "password", password)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_, err := c.judge.Set(ctx, &gnmi.SetRequest{Update: []*gnmi.Update{{
		Path: &gnmi.Path{Elem: []*gnmi.PathElem{{Name: "system"}, {Name: "config"}, {Name: "hostname"}}},
		Val:  &gnmi.TypedValue{Value: &gnmi.TypedValue_StringVal{StringVal: byHand}},
	}}})
	if err != nil && c.fault.faults.LoseAnswer == "" {
		c.t.Fatal(err)
	}
	c.own++
}

// sets are setpoint's, by the target's own count.
func (c *cell) sets() int { return c.target.Sets() - c.own }

// told are the kinds of the events so far.
func (c *cell) told() []string {
	c.t.Helper()
	var kinds []string
	for _, e := range c.heard() {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// heard are the events so far.
func (c *cell) heard() []models.Event {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.ctx)
	var all []models.Event
	var wg sync.WaitGroup
	wg.Go(func() {
		err := c.events.Consume(ctx, fmt.Sprint("judge", time.Now().UnixNano()), func(_ context.Context, e models.Event) error {
			all = append(all, e)
			return nil
		})
		if err != nil {
			c.t.Error(err)
		}
	})
	c.pass(time.Second)
	cancel()
	wg.Wait()
	return all
}

func (c *cell) stored() any {
	c.t.Helper()
	var v any
	if err := json.Unmarshal(c.target.Config(), &v); err != nil {
		c.t.Fatal(err)
	}
	return v
}

func (c *cell) hostname() string {
	return fmt.Sprint(lookup(c.stored(), []string{"system", "config", "hostname"}))
}

func (c *cell) status() models.DeviceStatus {
	c.t.Helper()
	s, _, err := c.devices.Get(c.ctx, "a")
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

func (c *cell) drifting() bool {
	c.t.Helper()
	e, _, err := c.episodes.Get(c.ctx, "a")
	if err != nil {
		c.t.Fatal(err)
	}
	return e.ID != "" && e.Closed.IsZero()
}

func (c *cell) line() string {
	s := c.status()
	return fmt.Sprintf("%s: %s; %s", s.State, s.Reason, s.Next)
}

func (c *cell) is(when string, state models.DeviceState, says string) {
	c.t.Helper()
	if s := c.status(); s.State != state || !strings.Contains(s.Reason, says) {
		c.t.Errorf("%s: want %s … %q; it is %s", when, state, says, c.line())
	}
}

// found: the change is known, or put back already.
func (c *cell) found(when string) {
	c.t.Helper()
	if c.hostname() != "new" && !c.drifting() {
		c.t.Errorf("%s: not known yet; %s", when, c.line())
	}
}

// honest holds what setpoint says against what the judge sees on the target.
func (c *cell) honest(when string) {
	c.t.Helper()
	var wrong []string
	for _, leaf := range intendedLeaves {
		if slices.Contains(c.fault.apart, leaf.where[len(leaf.where)-1]) {
			continue
		}
		got := ""
		if v := lookup(c.stored(), leaf.where); v != nil {
			data, err := json.Marshal(v)
			if err != nil {
				c.t.Fatal(err)
			}
			got = string(data)
		}
		if got != leaf.want {
			wrong = append(wrong, fmt.Sprintf("%s is %s, not %s", strings.Join(leaf.where, "/"), got, leaf.want))
		}
	}
	s := c.status()
	roll, _, err := c.rollouts.Get(c.ctx, "1")
	if err != nil {
		c.t.Fatal(err)
	}
	settled := c.drifting() || s.Applied == 1 && s.State != models.DeviceApplied
	if len(wrong) > 0 && (s.State == models.DeviceApplied || roll.State == models.RolloutDone && !settled) {
		c.t.Errorf("%s: false success: %s, the rollout %s; on the device %s", when, c.line(), roll.State, strings.Join(wrong, "; "))
	}
	if len(wrong) == 0 && c.drifting() {
		c.t.Errorf("%s: false drift: %s", when, c.line())
	}
	if s.State != models.DeviceApplied && (s.Reason == "" || s.Next == "" && s.State != models.DeviceApplying) {
		c.t.Errorf("%s: %s says too little: %s", when, s.State, c.line())
	}
}

// leaksNothing reads all that setpoint wrote for people and for itself.
func (c *cell) leaksNothing() {
	c.t.Helper()
	texts := map[string]string{"log": c.log.String()}
	add := func(what string, v any, err error) {
		data, err2 := json.Marshal(v)
		if err != nil || err2 != nil {
			c.t.Errorf("%s: %v, %v", what, err, err2)
		}
		texts[what] = string(data)
	}
	devices, err := c.devices.All(c.ctx)
	add("devices", devices, err)
	episodes, err := c.episodes.All(c.ctx)
	add("episodes", episodes, err)
	ledgers, err := Ledgers(c.bus).All(c.ctx)
	add("ledgers", ledgers, err)
	rollouts, err := c.rollouts.All(c.ctx)
	add("rollouts", rollouts, err)
	orders, err := Orders(c.bus).All(c.ctx)
	add("orders", orders, err)
	add("events", c.heard(), nil)
	var blobs []models.Hash
	_, _, err = c.bus.Blobs().Sweep(c.ctx, func(h models.Hash) bool { blobs = append(blobs, h); return true }, 0)
	if err != nil || len(blobs) < 2 { // a config and its manifest, and diffs
		c.t.Errorf("%d blobs, %v", len(blobs), err)
	}
	for _, h := range blobs {
		data, err := c.bus.Blobs().Get(c.ctx, h)
		add("blob "+string(h), string(data), err)
	}
	for what, text := range texts {
		for _, secret := range []string{deviceSecret, password, "$6$"} {
			if strings.Contains(text, secret) {
				c.t.Errorf("%s holds %q", what, secret)
			}
		}
	}
}
