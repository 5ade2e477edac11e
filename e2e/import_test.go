package e2e

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/setpoint-net/setpoint/bus/notify/notifytest"
	"github.com/setpoint-net/setpoint/reconciler/device/sim"
)

// running is what a switch may run that nobody wrote intent for.
const running = `{
 "openconfig-system:system": {"config": {"hostname": "old-switch", "motd-banner": "${keep} out"}, "aaa": {"authentication": {"users": {"user": [
   {"username": "ops", "config": {"username": "ops", "password": "the-users-password"}}]}}}},
 "openconfig-interfaces:interfaces": {"interface": [
   {"name": "Ethernet1", "config": {"name": "Ethernet1", "type": "iana-if-type:ethernetCsmacd", "mtu": 9000, "description": "010"}}]}}`

// TestAnImportedDevicePlansNothing imports, puts the document alone into a
// folder, and asks for the live diff: it is empty, until another client comes.
func TestAnImportedDevicePlansNothing(t *testing.T) {
	w := newWorld(t, 1, func(_ int, c *sim.Config) { c.Initial = []byte(running) })
	w.write("setpoint.yaml", importConfig)
	doc, told := w.imports(0)
	for _, want := range []string{"name: old-switch\n", "adopt: approve\n", "credentials: lab\n", "$${keep} out"} {
		if !strings.Contains(doc, want) {
			t.Errorf("the document lacks %q:\n%s", want, doc)
		}
	}
	const secret = "/system/aaa/authentication/users/user[username=ops]/config/password"
	if !strings.Contains(told, secret) || !strings.Contains(doc, "!"+secret) || strings.Contains(doc+told, "the-users-password") {
		t.Errorf("the secret is not told, or told too much: %s\n%s", told, doc)
	}
	w.write(filepath.Join("imported", "old-switch.yaml"), doc)
	if out, code := w.setpoint("diff", "imported", "--live", "-c", "setpoint.yaml"); code != 0 {
		t.Errorf("diff --live exits with %d: %s", code, out)
	}
	w.set(0, "/interfaces/interface[name=Ethernet1]/config/mtu", "1500")
	if out, code := w.setpoint("diff", "imported", "--live", "-c", "setpoint.yaml"); code != 1 || !strings.Contains(out, "1500 → 9000") {
		t.Errorf("diff --live exits with %d: %s", code, out)
	}
	if n := w.fleet[0].Sets(); n != 1 {
		t.Errorf("the target saw %d Sets; one is the other client's", n)
	}
}

// TestEachDeviceOfTheTemplateIsImportedAsItRuns lets targets run what the config
// repo of "setpoint init" renders to, and imports each into an empty repo.
func TestEachDeviceOfTheTemplateIsImportedAsItRuns(t *testing.T) {
	w := newWorld(t, 0)
	for _, args := range [][]string{{"init", "fabric"}, {"render", "fabric", "--out", "rendered"}} {
		if out, code := w.setpoint(args...); code != 0 {
			t.Fatalf("%s exits with %d: %s", args[0], code, out)
		}
	}
	files, err := filepath.Glob(filepath.Join(w.dir, "rendered", "*.json"))
	if err != nil || len(files) < 6 {
		t.Fatalf("rendered are %v, %v", files, err)
	}
	w.write("setpoint.yaml", importConfig)
	for i, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".json")
		w.addServing(sim.Config{Name: name, Initial: []byte(w.read(filepath.Join("rendered", filepath.Base(f))))})
		doc, told := w.imports(i)
		if !strings.Contains(doc, "name: "+name+"\n") || strings.Contains(told, "left out") {
			t.Errorf("%s: %s\n%s", name, told, doc)
		}
		repo := filepath.Join("imported", name)
		w.write(filepath.Join(repo, "device.yaml"), doc)
		if out, code := w.setpoint("diff", repo, "--live", "-c", "setpoint.yaml"); code != 0 || out != "no change\n" {
			t.Errorf("%s: diff --live exits with %d: %s", name, code, out)
		}
		if n := w.fleet[i].Sets(); n != 0 {
			t.Errorf("%s saw %d Sets", name, n)
		}
	}
}

// TestASwitchThatBreaksTheModelsConditionsIsTakenOn imports a leaf switch that runs
// EVPN in its default network instance, which the model has a condition against. It
// is deployed as it runs, and changed there; what the switch itself refuses is told.
func TestASwitchThatBreaksTheModelsConditionsIsTakenOn(t *testing.T) {
	const policy = "/network-instances/network-instance[name=DEFAULT]/evpn/evpn-instances/evpn-instance[evi=102]/import-export-policy"
	w := newWorld(t, 0)
	w.write("setpoint.yaml", importConfig)
	w.addServing(sim.Config{Name: "leaf1", Initial: []byte(leafSwitch(t)), Refuse: []string{policy}})
	doc, told := w.imports(0)
	if strings.Contains(told, "would not render") || !strings.Contains(told, "/network-instances/network-instance/evpn\n") {
		t.Errorf("import tells %s", told)
	}
	w.write("imported/leaf1.yaml", doc)
	if out, code := w.setpoint("diff", "imported", "--live", "-c", "setpoint.yaml"); code != 0 || out != "no change\n" {
		t.Errorf("diff --live exits with %d: %s", code, out)
	}
	w.start()
	w.deployed(w.push(map[string]string{"leaf1.yaml": doc}))
	if n := w.fleet[0].Sets(); n != 0 {
		t.Errorf("the target saw %d Sets", n)
	}
	doc = strings.Replace(doc, `"10.255.0.1:101"`, `"10.255.0.1:9101"`, 1)
	sha := w.push(map[string]string{"leaf1.yaml": doc})
	w.await(sha, "setpoint/deploy") // it awaits a person, as any device that was imported
	if out, code := w.setpoint("approve", "leaf1"); code != 0 {
		t.Fatalf("approve exits with %d: %s", code, out)
	}
	w.awaitStatus(sha, "setpoint/deploy", func(s notifytest.Status) bool { return s.State == "success" })
	w.holds(0, `"10.255.0.1:9101"`)
	doc = strings.Replace(doc, `"65101:10102"`, `"65101:9102"`, 1)
	s := w.await(w.push(map[string]string{"leaf1.yaml": doc}), "setpoint/deploy")
	if s.State != "failure" || !strings.Contains(s.Description, "leaf1") {
		t.Errorf("the deploy's status is %s: %s", s.State, s.Description)
	}
	if out, code := w.setpoint("devices", "leaf1"); code != 1 || !strings.Contains(out, policy) {
		t.Errorf("devices exits with %d: %s", code, out)
	}
}

// augmented is a target that answers more than OpenConfig: a leaf and a container
// of the vendor's own, beside and below what everyone has.
type augmented struct{ *sim.Target }

const (
	strangeLeaf      = `"acme-buffers:profile":"deep"`
	strangeContainer = `"acme-telemetry:collector":{"acme-telemetry:host":"192.0.2.99"}`
)

// Get adds them to the target's answer.
func (a augmented) Get(ctx context.Context, req *gnmi.GetRequest) (*gnmi.GetResponse, error) {
	resp, err := a.Target.Get(ctx, req)
	for _, n := range resp.GetNotification() {
		for _, u := range n.GetUpdate() {
			text := string(u.GetVal().GetJsonIetfVal())
			text = strings.Replace(text, `"mtu":9000`, strangeLeaf+`,"mtu":9000`, 1)
			text = strings.Replace(text, `"hostname":`, strangeContainer+`,"hostname":`, 1)
			u.Val = &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: []byte(text)}}
		}
	}
	return resp, err
}

func TestAnImportSaysWhatTheSchemaDoesNotKnow(t *testing.T) {
	w := newWorld(t, 0)
	w.write("setpoint.yaml", importConfig)
	target, err := sim.New(sim.Config{Name: "old-switch", Initial: []byte(running)})
	if err != nil {
		t.Fatal(err)
	}
	w.fleet = append(w.fleet, target)
	w.addrs = append(w.addrs, w.serve(augmented{target}))
	doc, told := w.imports(0)
	for _, want := range []string{
		"left out, because the schema does not know it: 2\n",
		"/interfaces/interface[name=Ethernet1]/config/acme-buffers:profile",
		"/system/config/acme-telemetry:collector",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("import does not tell %q:\n%s", want, told)
		}
	}
	if strings.Contains(doc, "acme") || !strings.Contains(doc, "mtu: 9000") {
		t.Errorf("the document holds what nobody knows, or lacks the rest:\n%s", doc)
	}
	w.write("imported/old-switch.yaml", doc)
	if out, code := w.setpoint("diff", "imported", "--live", "-c", "setpoint.yaml"); code != 0 {
		t.Errorf("diff --live exits with %d: %s", code, out)
	}
	if n := target.Sets(); n != 0 {
		t.Errorf("the target saw %d Sets", n)
	}
}

const importConfig = "repository: {url: net.git}\ncredentials:\n  - {name: lab, username: admin, password: {file: device-password}, caFile: ca.pem}\n"

// imports runs setpoint import on the i-th target.
func (w *world) imports(i int) (document, told string) {
	w.t.Helper()
	c := exec.CommandContext(w.ctx, binary, "import", w.addrs[i], "-c", "setpoint.yaml")
	c.Dir = w.dir
	var stderr strings.Builder
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		w.t.Fatalf("import %s: %v: %s", w.addrs[i], err, stderr.String())
	}
	return string(out), stderr.String()
}

// addServing serves one more target, with the world's credentials.
func (w *world) addServing(c sim.Config) {
	w.t.Helper()
	var err error
	if c.TLS, err = w.ca.ServerTLS("127.0.0.1"); err != nil {
		w.t.Fatal(err)
	}
	c.Username, c.Password = "admin", "the-device-password"
	w.addTarget(c)
}

// serve answers gNMI with a server of the test's own, until it ends.
func (w *world) serve(s gnmi.GNMIServer) (addr string) {
	w.t.Helper()
	config, err := w.ca.ServerTLS("127.0.0.1")
	if err != nil {
		w.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))
	gnmi.RegisterGNMIServer(srv, s)
	w.background(func(ctx context.Context) {
		defer context.AfterFunc(ctx, srv.Stop)()
		_ = srv.Serve(l)
	})
	return l.Addr().String()
}
