package renderer_test

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	repotemplate "github.com/setpoint-net/setpoint/repo-template"
)

// A slip in any of these places of the repo that "setpoint init" writes gives a
// mistake from which the remedy is plain: testdata/typos.txt is read as such.
func TestASlipInTheTemplateIsPlainToSee(t *testing.T) {
	var got strings.Builder
	for _, slip := range []struct{ file, old, now string }{
		{"inventory/devices.yaml", "kind: Device\nmetadata: {name: leaf03", "kind: Devise\nmetadata: {name: leaf03"},
		{"inventory/devices.yaml", "{address:", "{adress:"},
		{"inventory/links.yaml", "device: leaf02, port: Ethernet50", "device: leaf2, port: Ethernet50"},
		{"inventory/links.yaml", "10.1.0.9/31", "10.1.0.9/311"},
		{"inventory/groups.yaml", "/network-instances", "/network-instance"},
		{"inventory/groups.yaml", "mode: alert", "mode: alarm"},
		{"inventory/rollout.yaml", "percent: 50", "percent: 150"},
		{"inventory/rollout.yaml", "for: {selector: site=lon1}", "for: {selector: site=lon}"},
		{"fabric/fabric.yaml", "role=spine", "rolle=spine"},
		{"fabric/fabric.yaml", "vni: 10020", "vni: 10010"},
		{"fabric/policies.yaml", "prefixList: loopbacks", "prefixList: loopback"},
		{"fabric/policies.yaml", "action: drop", "action: deny"},
		{"fabric/system.yaml", "192.0.2.53", "192.0.2.530"},
		{"tenants/tenants.yaml", "folder: tenants/tenant-a", "folder: tenants/tenat-a"},
		{"tenants/tenant-a/servers.yaml", "Ethernet[1-2]", "Ethernet[1-3]"},
		{"tenants/tenant-a/servers.yaml", "vlan: 10", "vlan: 20"},
		{"tenants/tenant-b/servers.yaml", "mode: trunk,", "mode: trunck,"},
		{"tenants/tenant-b/servers.yaml", "spec: {ports", "spec: [ports"},
	} {
		repo := written(t)
		text := string(repo[slip.file].Data)
		if !strings.Contains(text, slip.old) {
			t.Fatalf("%s has no %q", slip.file, slip.old)
		}
		repo[slip.file] = &fstest.MapFile{Data: []byte(strings.Replace(text, slip.old, slip.now, 1))}
		got.WriteString("# " + strings.ReplaceAll(slip.now, "\n", " ") + "\n")
		r := render(t, repo)
		if len(r.Mistakes) == 0 {
			t.Errorf("%s: %q passes", slip.file, slip.now)
		}
		for _, m := range r.Mistakes {
			got.WriteString(line(m) + "\n")
		}
	}
	const golden = "testdata/typos.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("want (-) got (+), -update rewrites:\n%s", d)
	}
}

func written(t *testing.T) fstest.MapFS {
	t.Helper()
	repo := fstest.MapFS{}
	err := fs.WalkDir(repotemplate.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(repotemplate.Files, name)
		repo[name] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// The template says nothing wrong, and one thing that is not acted upon yet.
func TestTheTemplateRenders(t *testing.T) {
	r := render(t, written(t))
	if len(r.Mistakes) > 0 || len(r.Devices) != 6 || len(r.Notes) != 1 {
		t.Errorf("%d devices, mistakes %v, notes %v", len(r.Devices), r.Mistakes, r.Notes)
	}
}
