package e2e

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/ygot/ygot"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
)

const (
	benchVLAN  = "/network-instances/network-instance[name=DEFAULT]/vlans/vlan[vlan-id=101]/config/name"
	benchHeals = 40
)

// BenchmarkFleet takes fleets of simulated leaf switches, 160 kB of configuration
// each and in a process of their own, down the road: the first deploy, a commit
// that changes one leaf of every device, and changes by another client that are
// put back. Beside the healing stands the floor, measured in the same run: one bare
// Get of the device's configuration and one bare Set of the leaf. All devices share
// one document but for their names. Run it with -benchtime 1x.
func BenchmarkFleet(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) { benchFleet(b, n) })
	}
}

func benchFleet(b *testing.B, n int) {
	w := newWorld(b, 0)
	w.startSim(n)
	inventory := w.read("sim/inventory.yaml")
	for _, m := range regexp.MustCompile(`address: (\S+)`).FindAllStringSubmatch(inventory, -1) {
		w.addrs = append(w.addrs, m[1])
	}
	leaf := leafSwitch(b)
	files := map[string]string{
		"devices.yaml": inventory, "network.yaml": leafYAML(leaf),
		"drift.yaml": "apiVersion: setpoint/v1\nkind: DriftPolicy\nmetadata: {name: all}\nfor: {selector: role=leaf}\nspec: {mode: enforce}\n",
	}
	w.start()
	w.awaitState(func(state) bool { return true })
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(w.timed(func() { w.deployed(w.push(files)) }).Seconds(), "s/first-deploy")
	changed := strings.Replace(leaf, `"tenant-vlan-101"`, `"renamed-101"`, 1)
	b.ReportMetric(w.timed(func() { w.deployed(w.push(map[string]string{"network.yaml": leafYAML(changed)})) }).Seconds(), "s/change")
	var healed, floor []time.Duration
	for i := range benchHeals {
		c := w.client(i * len(w.addrs) / benchHeals)
		healed = append(healed, c.healed(`"squatters"`, "renamed-101"))
		c.close()
	}
	rss := w.resident()
	w.stop()
	cpu := w.proc.cmd.ProcessState.UserTime() + w.proc.cmd.ProcessState.SystemTime()
	c := w.client(0)
	for i := range benchHeals {
		floor = append(floor, w.timed(func() { c.get(); c.set(fmt.Sprintf(`"floor-%d"`, i)) }))
	}
	c.close()
	b.ReportMetric(quantile(healed, 0.50), "ms/healed-p50")
	b.ReportMetric(quantile(healed, 0.99), "ms/healed-p99")
	b.ReportMetric(quantile(floor, 0.50), "ms/floor-p50")
	b.ReportMetric(quantile(healed, 0.50)/quantile(floor, 0.50), "x/healed-to-floor")
	b.ReportMetric(cpu.Seconds(), "cpu-s")
	b.ReportMetric(float64(rss)/1024, "MB-rss")
}

func (w *world) timed(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

// quantile is in milliseconds.
func quantile(d []time.Duration, q float64) float64 {
	slices.Sort(d)
	return float64(d[min(int(q*float64(len(d))), len(d)-1)]) / float64(time.Millisecond)
}

// resident is the service's resident memory in kB.
func (w *world) resident() int {
	w.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.proc.cmd.Process.Pid))
	if err != nil {
		w.t.Skip("no /proc here: ", err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(b)
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// leafSwitch is the configuration of a leaf switch, as RFC 7951 JSON.
func leafSwitch(b *testing.B) string {
	b.Helper()
	f, err := os.Open("../reconciler/device/sim/testdata/leaf.json.gz")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		b.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}

// leafYAML is a group whose fragment is that JSON: YAML holds JSON as it is.
func leafYAML(leaf string) string {
	return "apiVersion: setpoint/v1\nkind: Group\nmetadata: {name: leaves}\nfor: {selector: role=leaf}\nspec:\n  priority: 10\n" +
		"  manage: [/acl, /interfaces, /lacp, /lldp, /network-instances, /routing-policy, /stp, /system]\n  openconfig: " + leaf + "\n"
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

func (c *client) set(value string) {
	c.w.t.Helper()
	_, err := c.gnmi.Set(c.ctx, &gnmi.SetRequest{Update: []*gnmi.Update{{
		Path: c.path, Val: &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: []byte(value)}},
	}}})
	if err != nil {
		c.w.t.Fatal(err)
	}
}

// get reads the whole configuration.
func (c *client) get() {
	c.w.t.Helper()
	r, err := c.gnmi.Get(c.ctx, &gnmi.GetRequest{Type: gnmi.GetRequest_CONFIG, Encoding: gnmi.Encoding_JSON_IETF, Path: []*gnmi.Path{{}}})
	if err != nil || len(r.Notification) == 0 {
		c.w.t.Fatal(r, err)
	}
}

// healed sets a value and says how long it took from there until the target
// streamed the intended one again.
func (c *client) healed(value, intended string) time.Duration {
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
	began := time.Now()
	c.set(value)
	c.until(stream, func(r *gnmi.SubscribeResponse) bool { return strings.Contains(r.String(), intended) })
	return time.Since(began)
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
