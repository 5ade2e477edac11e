package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/device"
	"github.com/setpoint-net/setpoint/reconciler/device/sim"
	"github.com/setpoint-net/setpoint/reconciler/plan"
	"github.com/setpoint-net/setpoint/renderer"
)

// serveTarget serves a simulated target without TLS until the test ends.
func serveTarget(t *testing.T, initial []byte) string {
	t.Helper()
	target, err := sim.New(sim.Config{Name: "leaf01", Initial: initial})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = target.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-done })
	return l.Addr().String()
}

// rich is the configuration of a leaf switch of the size that is met.
func rich(t *testing.T) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "reconciler", "device", "sim", "testdata", "leaf.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// odd holds what YAML and the renderer could take for something else: words that
// some YAML reads as booleans, numbers that are text, references that are none,
// and secrets.
const odd = `{
 "openconfig-system:system": {
  "config": {"hostname": "0x1f", "domain-name": "no", "login-banner": "${name} is #1: \"keep out\" $${x}\n\ttil\\end \u00e9\u2028", "motd-banner": "yes"},
  "dns": {"config": {"search": ["on", "1.2", "off.example"]}},
  "aaa": {"authentication": {"users": {"user": [
    {"username": "010", "config": {"username": "010", "password": "hunter22", "role": "SYSTEM_ROLE_ADMIN"}},
    {"username": "null", "config": {"username": "null", "ssh-key": "ssh-rsa AAAA 1e3"}}]}}}
 },
 "openconfig-interfaces:interfaces": {"interface": [
  {"name": "Ethernet10", "config": {"name": "Ethernet10", "type": "iana-if-type:ethernetCsmacd", "description": "0x10", "mtu": 9000, "enabled": false}},
  {"name": "Ethernet2", "config": {"name": "Ethernet2", "type": "iana-if-type:ethernetCsmacd", "description": " lead - : trail "}}
 ]}}`

// TestAnImportedDocumentPlansNothing imports, renders the document alone, and
// compares with the device.
func TestAnImportedDocumentPlansNothing(t *testing.T) {
	for name, c := range map[string]struct {
		config []byte
		paths  []string
		told   []string
	}{
		"a leaf switch": {rich(t), nil, []string{
			"leaf1: 4421 leaves below ",
			"see the Platform document: 2\n  /network-instances/network-instance/evpn\n    evpn: only where type is L2VSI or L3VRF, and type is DEFAULT_INSTANCE\n",
		}},
		"a part of a switch": {rich(t), []string{"/interfaces/interface[name=Ethernet*]", "/acl"}, nil},
		"odd values":         {[]byte(odd), nil, []string{"secrets left out, and not managed: 1\n  /system/aaa/authentication/users/user[username=010]/config/password\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			addr := serveTarget(t, c.config)
			var out, errOut bytes.Buffer
			i := importing{reaching: reaching{insecure: true}}
			begun := time.Now()
			if err := i.run(t.Context(), addr, c.paths, &out, &errOut); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d bytes in %v\n%s", out.Len(), time.Since(begun), errOut.String())
			for _, told := range c.told {
				if !strings.Contains(errOut.String(), told) {
					t.Errorf("not told: %s", told)
				}
			}
			for _, secret := range []string{"hunter22"} {
				if strings.Contains(out.String()+errOut.String(), secret) {
					t.Errorf("tells the secret %s", secret)
				}
			}
			if n := differences(t, addr, out.Bytes()); n != "" {
				t.Errorf("the plan is not empty:\n%s\n%.3000s", n, out.String())
			}
		})
	}
}

// TestWhatWouldNotRenderIsLeftOut composes from trees that no simulated target
// takes, but real ones run.
func TestWhatWouldNotRenderIsLeftOut(t *testing.T) {
	for name, c := range map[string]struct {
		running string
		manage  []string
		unfit   string
		leaves  int
	}{
		"a value out of range": {
			`{"network-instances":{"network-instance":[{"name":"x","config":{"name":"x","type":"L2VSI"},"vlans":{"vlan":[{"vlan-id":10,"config":{"vlan-id":10}},{"vlan-id":4095,"config":{"vlan-id":4095}}]}}]}}`,
			[]string{"/network-instances", "!/network-instances/network-instance[name=x]/vlans/vlan[vlan-id=4095]"},
			"vlan[vlan-id=4095]", 5,
		},
		"no type, which is mandatory": {
			`{"network-instances":{"network-instance":[{"name":"x","config":{"name":"x","description":"d"}}]}}`,
			[]string{"/network-instances", "!/network-instances/network-instance[name=x]/config/type"},
			"mandatory", 3,
		},
		"a reference to nothing": {
			`{"acl":{"interfaces":{"interface":[{"id":"a","config":{"id":"a"},"interface-ref":{"config":{"interface":"gone"}}}]}}}`,
			[]string{"/acl", "!/acl/interfaces/interface[id=a]/interface-ref/config/interface"},
			"gone", 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			running, _, err := tree.ParseLenient(tree.OpenConfig(), []byte(c.running))
			if err != nil {
				t.Fatal(err)
			}
			doc, err := compose(t.Context(), models.Device{Name: "x", Address: "x:1", Credentials: "lab", Manage: c.manage[:1]}, running)
			if err != nil {
				t.Fatal(err)
			}
			if len(doc.unfit) == 0 || !strings.Contains(doc.unfit[0], c.unfit) || doc.leaves != c.leaves {
				t.Errorf("%d leaves, left out: %q\n%s", doc.leaves, doc.unfit, doc.text)
			}
			r, err := renderText(t.Context(), doc.text)
			if err != nil || len(r.Mistakes) > 0 {
				t.Fatalf("%v, %v", err, r.Mistakes)
			}
			if got := slices.Sorted(slices.Values(r.Devices[0].Manage)); !slices.Equal(got, slices.Sorted(slices.Values(c.manage))) {
				t.Errorf("manage %q", got)
			}
			scope, err := tree.NewScope(tree.OpenConfig(), r.Devices[0].Manage)
			if err != nil {
				t.Fatal(err)
			}
			rendered, err := parse(r.Devices[0].Config)
			if err != nil {
				t.Fatal(err)
			}
			if p := plan.DiffScoped(scope, scope.Filter(running), rendered); !p.Empty() {
				t.Errorf("plans %s", plan.Brief(p, 1000))
			}
		})
	}
}

// TestWhatRunsAgainstAConditionIsKept composes, and wants nothing left out: the
// Platform says what the device takes, once for each node, and the reason with it.
func TestWhatRunsAgainstAConditionIsKept(t *testing.T) {
	const running = `{"network-instances":{"network-instance":[
		{"name":"x","config":{"name":"x","type":"DEFAULT_INSTANCE"},"encapsulation":{"config":{"encapsulation-type":"MPLS"}},
			"evpn":{"evpn-instances":{"evpn-instance":[{"evi":"1","config":{"evi":"1","service-type":"VLAN_AWARE"},"vxlan":{"config":{"vni":10}}},
				{"evi":"2","config":{"evi":"2","service-type":"VLAN_AWARE"},"vxlan":{"config":{"vni":20}}}]}}}]}}`
	tr, _, err := tree.ParseLenient(tree.OpenConfig(), []byte(running))
	if err != nil {
		t.Fatal(err)
	}
	d := models.Device{Name: models.DeviceName(strings.Repeat("x", 57) + "-xxxxx"), Address: "x:1", Credentials: "lab", Manage: []string{"/network-instances"}}
	doc, err := compose(t.Context(), d, tr)
	if err != nil {
		t.Fatal(err)
	}
	const want = `# ` + "%[1]s" + ` runs what the model has a condition (when) against. Devices of one make can
# share a Platform: keep one such document, and name it in each Device.
apiVersion: setpoint/v1
kind: Platform
metadata:
  name: like-%[2]s
spec:
  base: openconfig
  unconditional:
    # encapsulation: only where type is not DEFAULT_INSTANCE, and type is DEFAULT_INSTANCE
    - /network-instances/network-instance/encapsulation
    # evpn: only where type is L2VSI or L3VRF, and type is DEFAULT_INSTANCE
    - /network-instances/network-instance/evpn
    # vni: only where service-type is VLAN_BASED or VLAN_BUNDLE, and service-type is VLAN_AWARE
    - /network-instances/network-instance/evpn/evpn-instances/evpn-instance/vxlan/config/vni
---
`
	if text := fmt.Sprintf(want, d.Name, strings.Repeat("x", 57)); !strings.HasPrefix(string(doc.text), text) || doc.leaves != 12 || len(doc.unfit) > 0 {
		t.Errorf("%d leaves, left out %q\n%s", doc.leaves, doc.unfit, doc.text)
	}
	r, err := renderText(t.Context(), doc.text)
	if err != nil || len(r.Mistakes) > 0 {
		t.Fatal(err, r.Mistakes)
	}
	if rendered, err := parse(r.Devices[0].Config); err != nil || !rendered.Equal(tr) {
		t.Errorf("rendered is another config: %v\n%s", err, r.Devices[0].Config)
	}
}

func TestCredentialsAreChosenPlainly(t *testing.T) {
	dir := t.TempDir()
	two := "repository: {url: x}\ncredentials: [{name: a, insecure: true}, {name: b, insecure: true, username: u}]\n"
	file := filepath.Join(dir, "setpoint.yaml")
	if err := os.WriteFile(file, []byte(two), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		r    reaching
		name string // "": an error
	}{
		{reaching{}, "default"},
		{reaching{insecure: true, credentials: "lab"}, "lab"},
		{reaching{config: file, credentials: "b"}, "b"},
		{reaching{config: file}, ""},
		{reaching{config: file, credentials: "c"}, ""},
		{reaching{config: file, credentials: "a", username: "x"}, ""},
		{reaching{passwordEnv: "SETPOINT_NO_SUCH_VARIABLE"}, ""},
	} {
		if _, name, err := c.r.find(); name != c.name && err == nil || (err == nil) != (c.name != "") {
			t.Errorf("%+v: %q, %v", c.r, name, err)
		}
	}
	for in, want := range map[string]string{"a": "a:9339", "a:1": "a:1", "2001:db8::1": "[2001:db8::1]:9339", "[2001:db8::1]": "[2001:db8::1]:9339"} {
		if got := withPort(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

// differences renders a document alone and gives the plan against the target.
func differences(t *testing.T, addr string, doc []byte) string {
	t.Helper()
	r, err := renderer.Render(t.Context(), fstest.MapFS{"device.yaml": {Data: doc}})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Mistakes) > 0 {
		return fmt.Sprintf("%d mistakes, first %+v\n%.3000s", len(r.Mistakes), r.Mistakes[0], doc)
	}
	d := r.Devices[0]
	if d.Adopt != "approve" {
		t.Errorf("adopt: %s", d.Adopt)
	}
	scope, err := tree.NewScope(tree.OpenConfig(), d.Manage)
	if err != nil {
		t.Fatal(err)
	}
	s, err := device.Dial(t.Context(), device.Target{Address: addr, Insecure: true, Scope: scope})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	running, err := s.Running(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if running.IsEmpty() {
		t.Error("the document manages nothing that runs")
	}
	intended, err := tree.Parse(tree.OpenConfig(), d.Config)
	if err != nil {
		t.Fatal(err)
	}
	p := plan.DiffScoped(scope, running, intended)
	if p.Empty() {
		return ""
	}
	return plan.Brief(p, 2000)
}
