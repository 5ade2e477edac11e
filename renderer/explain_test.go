package renderer

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/setpoint-net/setpoint/models"
	repotemplate "github.com/setpoint-net/setpoint/repo-template"
)

// generated is the config repo that "setpoint init --devices" writes.
func generated(t testing.TB, n int) fstest.MapFS {
	t.Helper()
	files, err := repotemplate.Fabric(n)
	if err != nil {
		t.Fatal(err)
	}
	repo := fstest.MapFS{}
	for name, data := range files {
		repo[name] = &fstest.MapFile{Data: data}
	}
	return repo
}

// A generated fabric that were one device many times over would flatter whatever
// is measured on it: at least 70 % of what documents bring to its devices differ.
func TestAFabricsFragmentsAreDistinct(t *testing.T) {
	r := new(Renderer)
	repo := generated(t, 110)
	res, err := r.Render(t.Context(), repo)
	if err != nil || len(res.Mistakes) > 0 || len(res.Devices) != 110 {
		t.Fatal(err, res)
	}
	f, err := r.survey(t.Context(), repo, &ledger{})
	if err != nil {
		t.Fatal(err)
	}
	seen, all := make(map[models.Hash]bool), 0
	for _, s := range f.subjects {
		one := &rendering{subject: s, worker: &worker{fleet: f}}
		one.config(t.Context())
		for _, b := range one.layers {
			all++
			seen[b.tree.Hash()] = true
		}
	}
	if share := float64(len(seen)) / float64(all); all < 110*5 || share < 0.7 {
		t.Errorf("%d of %d fragments are distinct: %.0f %%", len(seen), all, 100*share)
	} else {
		t.Logf("%d of %d fragments are distinct: %.0f %%", len(seen), all, 100*share)
	}
}

func TestSmallFabricsRender(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 24} {
		res, err := Render(t.Context(), generated(t, n))
		if err != nil || len(res.Mistakes) > 0 || len(res.Devices) != n {
			t.Errorf("%d devices: %v, %v", n, err, res.Mistakes)
		}
	}
}

// What is explained is what stands, and what it stands on.
func TestExplainNamesWhoOverridesWhom(t *testing.T) {
	repo := fstest.MapFS{"all.yaml": {Data: []byte(`apiVersion: setpoint/v1
kind: Device
metadata: {name: leaf01, labels: {role: leaf}}
spec:
  address: 192.0.2.11
  credentials: lab
  manage: [/interfaces]
  openconfig: {interfaces: {interface: [{name: Ethernet1, config: {description: own}}]}}
---
apiVersion: setpoint/v1
kind: Group
metadata: {name: low}
for: {selector: "*"}
spec: {priority: 1, openconfig: {interfaces: {interface: [{name: Ethernet1, config: {description: low, mtu: 1500}}]}}}
---
apiVersion: setpoint/v1
kind: Group
metadata: {name: high}
for: {selector: "*"}
spec: {priority: 20, openconfig: {interfaces: {interface: [{name: Ethernet1, config: {description: high, mtu: 1500}}]}}}
---
apiVersion: setpoint/v1
kind: AccessPorts
metadata: {name: desks}
for: {devices: [leaf01]}
spec: {ports: [Ethernet1], vlan: 10, mtu: 9000}
`)}}
	all, mistakes, err := new(Renderer).Explain(t.Context(), repo, "leaf01")
	if err != nil || len(mistakes) > 0 {
		t.Fatal(err, mistakes)
	}
	got := make(map[string][]Say)
	for _, e := range all["leaf01"] {
		if e.Overridden {
			got[e.Path] = e.Says
		}
	}
	const port = "/interfaces/interface[name=Ethernet1]/config/"
	want := map[string][]Say{
		port + "description": {{"Device leaf01", "all.yaml", 8, 81, 1001, "own"}, {"Group high", "all.yaml", 20, 100, 20, "high"}, {"Group low", "all.yaml", 14, 99, 1, "low"}},
		port + "mtu":         {{"AccessPorts desks", "all.yaml", 26, 1, 1000, "9000"}, {"Group high", "all.yaml", 20, 111, 20, "1500"}, {"Group low", "all.yaml", 14, 109, 1, "1500"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("want (-) got (+):\n%s", d)
	}
}

// Values that differ behind a screen's width differ, and so do secrets, which are
// shown to nobody.
func TestExplainTellsLongValuesAndSecretsApart(t *testing.T) {
	long := strings.Repeat("x", 100)
	repo := fstest.MapFS{"all.yaml": {Data: []byte(`apiVersion: setpoint/v1
kind: Device
metadata: {name: leaf01}
spec:
  address: 192.0.2.11
  credentials: lab
  manage: [/system]
  openconfig: {system: {config: {login-banner: ` + long + `1}, aaa: {authentication: {users: {user: [{username: ops, config: {role: SYSTEM_ROLE_ADMIN, password: "secret://vault/a"}}]}}}}}
---
apiVersion: setpoint/v1
kind: Group
metadata: {name: low}
for: {selector: "*"}
spec:
  openconfig: {system: {config: {login-banner: ` + long + `2}, aaa: {authentication: {users: {user: [{username: ops, config: {role: SYSTEM_ROLE_ADMIN, password: "secret://vault/b"}}]}}}}}
`)}}
	all, mistakes, err := new(Renderer).Explain(t.Context(), repo, "leaf01")
	if err != nil || len(mistakes) > 0 {
		t.Fatal(err, mistakes)
	}
	got := make(map[string]string)
	for _, e := range all["leaf01"] {
		if e.Overridden {
			got[e.Path] = e.Says[0].Value + " " + e.Says[1].Value
		}
	}
	want := map[string]string{
		"/system/config/login-banner":                                         long + "1 " + long + "2",
		"/system/aaa/authentication/users/user[username=ops]/config/password": " ",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("want (-) got (+):\n%s", d)
	}
}
