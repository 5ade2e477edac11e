package e2e

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/ygot/ygot"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/setpoint-net/setpoint/bus/notify/notifytest"
)

var (
	fleets = flag.String("fleets", "", `measure fleets of so many devices ("1,100,1000") and print the table`)
	heals  = flag.Int("heals", 100, "with -fleets: changes by another client, for each fleet")
)

const (
	benchVLAN    = "/network-instances/network-instance[name=DEFAULT]/vlans/vlan[vlan-id=101]/config/name"
	benchWorkers = 64 // devices at once, setpoint's own default
	benchWhole   = 100
)

// TestTheRoadIsMeasured takes fleets of simulated leaf switches, each with a
// configuration of 160 kB and all in a process of their own, down the road, and
// prints what each part of it took beside the bare gNMI calls. All devices share
// one document but for their names. docs/benchmarks.md says what each line means.
// Without -fleets it does so for two small fleets and only sees that every figure
// is there; with -update it records the table on that page.
func TestTheRoadIsMeasured(t *testing.T) {
	if *fleets == "" {
		*heals = 2
	}
	r := report{began: time.Now(), load: loadOf(t), progress: io.Discard}
	if *fleets != "" {
		r.progress = os.Stdout
	}
	for _, n := range sizes(t) {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			r.fleets = append(r.fleets, r.measure(t, n))
		})
	}
	if t.Failed() {
		return
	}
	table := r.table()
	for line := range strings.Lines(table) {
		if strings.Contains(line, missing) && !strings.Contains(line, "per device, from") {
			t.Errorf("no figure: %s", line)
		}
	}
	if *fleets == "" {
		return
	}
	r.say("renderer: cold, the naive road, and warm")
	r.renderer = measureRendering(t, fabricSize, warmRounds)
	fmt.Printf("\n%s\n%s\n%s\n", r.machine(t), table, r.renderer.table())
	if *update {
		r.record(t, "../docs/benchmarks.md")
		return
	}
	fmt.Print("To measure again and record it in docs/benchmarks.md: make bench UPDATE=1\n")
}

func sizes(t *testing.T) []int {
	t.Helper()
	list := *fleets
	if list == "" {
		list = "1,3"
	}
	var all []int
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("-fleets %s: numbers of devices, with commas between", list)
		}
		all = append(all, n)
	}
	return all
}

// figures is what was measured with one fleet.
type figures struct {
	devices int

	renderCold, renderOne, renderAll time.Duration // as the service says
	first, one, all                  time.Duration // from the push's end to the deploy's status

	bareWhole time.Duration // one device's whole document, Get and Set, benchWorkers at once
	bareAll   time.Duration // one leaf of each device, likewise, for the whole fleet

	detected, healed, bare []time.Duration // bare: one Get and one Set of a leaf, one at a time

	cpuFirst, cpuOne, cpuAll, cpuHeal, cpu time.Duration // of the service; cpuHeal for each
	cpuBare                                time.Duration // of the client that makes the bare calls, one at a time, for each
	rss, peak                              int           // of the service, kB
}

// measure takes one fleet down the road.
func (r *report) measure(t *testing.T, n int) figures {
	f := figures{devices: n}
	w := newWorld(t, 0)
	r.say("%s: starting", fleetOf(n))
	w.startSim(n)
	inventory := w.read("sim/inventory.yaml")
	for _, m := range regexp.MustCompile(`address: (\S+)`).FindAllStringSubmatch(inventory, -1) {
		w.addrs = append(w.addrs, m[1])
	}
	hook := w.benchHook()
	leaf := leafSwitch(t)
	w.start()
	w.says("webhooks are taken")
	deploy := func(files map[string]string) (took, render, cpu time.Duration) {
		sha := w.push(files)
		before, began := w.burnt(), time.Now()
		w.tell(hook, sha, fmt.Sprintf(`{"ref":"refs/heads/main","before":%q,"after":%q}`, strings.Repeat("0", 40), sha), webhookSecret)
		// On a machine without air a device may be deferred first, and caught up.
		w.awaitStatus(sha, "setpoint/deploy", func(s notifytest.Status) bool { return s.State == "success" || s.State == "failure" })
		w.deployed(sha)
		return time.Since(began), w.rendered(), w.burnt() - before
	}
	f.first, f.renderCold, f.cpuFirst = deploy(map[string]string{
		"devices.yaml": strings.ReplaceAll(inventory, "  credentials:", "  platform: leaf\n  credentials:"), "platform.yaml": leafPlatform,
		"network.yaml": leafYAML(leaf), "one.yaml": oneYAML("one"),
		"drift.yaml": "apiVersion: setpoint/v1\nkind: DriftPolicy\nmetadata: {name: all}\nfor: {selector: role=leaf}\nspec: {mode: enforce}\n",
	})
	r.say("%s: deployed in %s", fleetOf(n), short(f.first))
	changed := strings.Replace(leaf, `"tenant-vlan-101"`, `"renamed-101"`, 1)
	f.all, f.renderAll, f.cpuAll = deploy(map[string]string{"network.yaml": leafYAML(changed)})
	r.say("%s: one leaf of each changed in %s", fleetOf(n), short(f.all))
	w.drift(&f)
	r.say("%s: %s put back", fleetOf(n), count(len(f.healed), "change"))
	// Last, because right behind a deploy every device is looked at once more.
	f.one, f.renderOne, f.cpuOne = deploy(map[string]string{"one.yaml": oneYAML("another")})
	f.rss, f.peak = w.memory("VmRSS"), w.memory("VmHWM")
	w.stop()
	f.cpu = w.proc.cmd.ProcessState.UserTime() + w.proc.cmd.ProcessState.SystemTime()
	w.bare(&f, changed)
	r.say("%s: bare calls made", fleetOf(n))
	return f
}

// benchHook has the service polled seldom and told of pushes, and says where.
func (w *world) benchHook() string {
	w.t.Helper()
	addr := freeAddress(w.t)
	w.t.Setenv("SETPOINT_REPOSITORY_POLLINTERVAL", "1h")
	w.t.Setenv("SETPOINT_LOG_LEVEL", "info")
	w.write("webhook-secret", webhookSecret)
	w.configExtra = fmt.Sprintf("webhook: {listen: %q, path: /push, kind: github, secret: {file: webhook-secret}}\n", addr)
	return "http://" + addr + "/push"
}

// drift changes a leaf on one device after the other and waits each time until it
// is put back. No device has its turn so often that it would be left alone.
func (w *world) drift(f *figures) {
	w.t.Helper()
	before := w.burnt()
	n := min(*heals, 4*f.devices)
	for i := range n {
		at := i * f.devices / n
		c := w.client(at)
		detected, healed := c.healed(w.name(at), fmt.Sprintf(`"squatters-%d"`, i), "renamed-101")
		f.detected, f.healed = append(f.detected, detected), append(f.healed, healed)
		c.close()
	}
	f.cpuHeal = (w.burnt() - before) / time.Duration(n)
}

// bare makes the calls that setpoint can't do without, with nothing around them,
// over connections that are open.
func (w *world) bare(f *figures, whole string) {
	w.t.Helper()
	all := make([]*client, f.devices)
	w.each(all, func(i int) { all[i] = w.client(i); all[i].get() })
	defer w.each(all, func(i int) { all[i].close() })
	before := ownProcessor(w.t)
	for i := range len(f.healed) {
		c := all[i*f.devices/len(f.healed)]
		f.bare = append(f.bare, timed(func() { c.get(); c.set(fmt.Sprintf(`"bare-%d"`, i)) }))
	}
	f.cpuBare = (ownProcessor(w.t) - before) / time.Duration(len(f.bare))
	f.bareAll = timed(func() { w.each(all, func(i int) { all[i].get(); all[i].set(`"bare"`) }) })
	some := all[:min(len(all), benchWhole)]
	f.bareWhole = timed(func() { w.each(some, func(i int) { all[i].get(); all[i].setAt(&gnmi.Path{}, whole) }) }) / time.Duration(len(some))
}

// each calls do for each client, benchWorkers at a time.
func (w *world) each(all []*client, do func(int)) {
	var wg sync.WaitGroup
	turns := make(chan int)
	for range min(benchWorkers, len(all)) {
		wg.Go(func() {
			for i := range turns {
				do(i)
			}
		})
	}
	for i := range all {
		turns <- i
	}
	close(turns)
	wg.Wait()
}

func timed(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

// rendered is how long the service says that the head's rendering took.
func (w *world) rendered() time.Duration {
	w.t.Helper()
	out, _ := w.setpoint("status", "-o", "json")
	var s struct {
		Render struct{ TookMs int64 }
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		w.t.Fatal(err)
	}
	return max(time.Duration(s.Render.TookMs)*time.Millisecond, time.Millisecond/2)
}

// burnt is the processor time that the service has used.
func (w *world) burnt() time.Duration {
	w.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.proc.cmd.Process.Pid))
	if err != nil {
		w.t.Fatal("processor time is read from /proc: ", err)
	}
	_, after, _ := strings.Cut(string(b), ") ") // the name may hold anything
	fields := strings.Fields(after)
	var ticks int
	for _, s := range fields[11:13] { // utime and stime of proc(5)
		n, err := strconv.Atoi(s)
		if err != nil {
			w.t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 on every Linux
}

// ownProcessor is the processor time that this process has used.
func ownProcessor(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// memory is a figure of the service's memory in kB.
func (w *world) memory(field string) int {
	w.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.proc.cmd.Process.Pid))
	if err != nil {
		w.t.Fatal("memory is read from /proc: ", err)
	}
	m := regexp.MustCompile(field + `:\s+(\d+) kB`).FindSubmatch(b)
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// leafSwitch is the configuration of a leaf switch, as RFC 7951 JSON.
func leafSwitch(t testing.TB) string {
	t.Helper()
	f, err := os.Open("../reconciler/device/sim/testdata/leaf.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var leaf any
	if err := json.NewDecoder(z).Decode(&leaf); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(leaf)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// leafPlatform is what such a switch takes and the model has a condition against.
const leafPlatform = `apiVersion: setpoint/v1
kind: Platform
metadata: {name: leaf}
spec:
  unconditional:
    - /network-instances/network-instance/evpn
    - /network-instances/network-instance/evpn/evpn-instances/evpn-instance/vxlan/config/vni
`

// leafYAML is a group whose fragment is that JSON: YAML holds JSON as it is.
func leafYAML(leaf string) string {
	return "apiVersion: setpoint/v1\nkind: Group\nmetadata: {name: leaves}\nfor: {selector: role=leaf}\nspec:\n  priority: 10\n" +
		"  manage: [/acl, /interfaces, /lacp, /lldp, /network-instances, /routing-policy, /stp, /system]\n  openconfig: " + leaf + "\n"
}

// oneYAML is a file that concerns the first device alone.
func oneYAML(vlan string) string {
	return "apiVersion: setpoint/v1\nkind: Group\nmetadata: {name: one}\nfor: {devices: [leaf01]}\nspec:\n  priority: 20\n" +
		"  openconfig: {network-instances: {network-instance: [{name: DEFAULT, vlans: {vlan: [{vlan-id: 102, config: {name: " + vlan + "}}]}}]}}\n"
}

// client is another gNMI client of a target.
type client struct {
	w    *world
	ctx  context.Context
	conn *grpc.ClientConn
	gnmi gnmi.GNMIClient
	path *gnmi.Path
	end  func()
}

func (w *world) client(i int) *client {
	w.t.Helper()
	conn, err := grpc.NewClient(w.addrs[i], grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: w.pool(), MinVersion: tls.VersionTLS12})))
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := ygot.StringToStructuredPath(benchVLAN)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.ctx, w.patience)
	ctx = metadata.AppendToOutgoingContext(ctx, "username", "admin", "password", "the-device-password")
	return &client{w: w, ctx: ctx, conn: conn, gnmi: gnmi.NewGNMIClient(conn), path: p, end: cancel}
}

func (c *client) close() {
	c.end()
	_ = c.conn.Close()
}

func (c *client) set(value string) { c.setAt(c.path, value) }

func (c *client) setAt(path *gnmi.Path, value string) {
	_, err := c.gnmi.Set(c.ctx, &gnmi.SetRequest{Update: []*gnmi.Update{{
		Path: path, Val: &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: []byte(value)}},
	}}})
	if err != nil {
		c.w.t.Error(err)
	}
}

// get reads the whole configuration.
func (c *client) get() {
	r, err := c.gnmi.Get(c.ctx, &gnmi.GetRequest{Type: gnmi.GetRequest_CONFIG, Encoding: gnmi.Encoding_JSON_IETF, Path: []*gnmi.Path{{}}})
	if err != nil || len(r.Notification) == 0 {
		c.w.t.Error(r, err)
	}
}

// healed sets a value and says how long it took from there until the service
// spoke of drift, and until the target streamed the intended value again.
func (c *client) healed(name, value, intended string) (detected, healed time.Duration) {
	c.w.t.Helper()
	stream, err := c.gnmi.Subscribe(c.ctx)
	if err != nil {
		c.w.t.Fatal(err)
	}
	err = stream.Send(&gnmi.SubscribeRequest{Request: &gnmi.SubscribeRequest_Subscribe{Subscribe: &gnmi.SubscriptionList{
		Mode: gnmi.SubscriptionList_STREAM, Encoding: gnmi.Encoding_JSON_IETF, UpdatesOnly: true,
		Subscription: []*gnmi.Subscription{{Path: c.path, Mode: gnmi.SubscriptionMode_ON_CHANGE}},
	}}})
	if err != nil {
		c.w.t.Fatal(err)
	}
	c.until(stream, func(r *gnmi.SubscribeResponse) bool { return r.GetSyncResponse() })
	said := c.w.proc.length()
	began := time.Now()
	c.set(value)
	var wg sync.WaitGroup
	wg.Go(func() {
		c.w.saysAfter(c.ctx, said, "msg=drift-opened device="+name+" ")
		detected = time.Since(began)
	})
	c.until(stream, func(r *gnmi.SubscribeResponse) bool { return strings.Contains(r.String(), intended) })
	healed = time.Since(began)
	wg.Wait()
	c.w.saysAfter(c.ctx, said, `msg="drift closed" device=`+name+" ") // else its reading back would meet the next change
	return detected, healed
}

func (c *client) until(stream gnmi.GNMI_SubscribeClient, wanted func(*gnmi.SubscribeResponse) bool) {
	c.w.t.Helper()
	for {
		r, err := stream.Recv()
		if err != nil {
			c.w.t.Fatal(err)
		}
		if wanted(r) {
			return
		}
	}
}

// lastOf is the end of a log.
func lastOf(text string, lines int) string {
	all := strings.SplitAfter(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "")
}

// length is how much the process has logged, in bytes.
func (p *process) length() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Len()
}

// saysAfter waits until the log holds a text beyond an offset.
func (w *world) saysAfter(ctx context.Context, offset int, text string) {
	for {
		next := w.next()
		if strings.Contains(w.proc.text()[offset:], text) {
			return
		}
		select {
		case <-next:
		case <-ctx.Done():
			w.t.Errorf("the log does not say %q", text)
			return
		}
	}
}
