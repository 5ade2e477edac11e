package renderer_test

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/setpoint-net/setpoint/renderer"
)

// What a Renderer keeps of a device is kept under the tenants' limits: a request
// that was within them must not pass for sound once they are narrower.
func TestANarrowerGrantIsHeldAgainstWhatWasKept(t *testing.T) {
	tenants := "apiVersion: setpoint/v1\nkind: Tenant\nmetadata: {name: tenant-a}\nspec: {folder: tenants/a, kinds: [AccessPorts], ports: {leaf01: [\"Ethernet[1-4]\"]}, vlans: [10], paths: [/system]}\n"
	repo := func(tenants, folder string) fstest.MapFS {
		return fstest.MapFS{
			"leaf01.yaml":          {Data: []byte("apiVersion: setpoint/v1\nkind: Device\nmetadata: {name: leaf01}\nspec: {address: 192.0.2.1, credentials: lab, manage: [/interfaces]}\n")},
			"tenants.yaml":         {Data: []byte(tenants)},
			"tenants/a/README.md":  {},
			folder + "/ports.yaml": {Data: []byte("apiVersion: setpoint/v1\nkind: AccessPorts\nmetadata: {name: request-001}\nfor: {devices: [leaf01]}\nspec: {ports: [Ethernet4], vlan: 10}\n")},
		}
	}
	var r renderer.Renderer
	for _, step := range []struct{ name, tenants, folder, want string }{
		{"as granted", tenants, "tenants/a", ""},
		{"fewer ports", strings.Replace(tenants, "1-4", "1-3", 1), "tenants/a", "tenant-port"},
		{"other VLANs", strings.Replace(tenants, "[10]", "[11]", 1), "tenants/a", "tenant-vlan"},
		{"another kind", strings.Replace(tenants, "AccessPorts", "VLANs", 1), "tenants/a", "tenant-kind"},
		{"not a tenant's", strings.Replace(tenants, "1-4", "1-3", 1), "network", ""},
		{"a tenant's again", strings.Replace(tenants, "1-4", "1-3", 1), "tenants/a", "tenant-port"},
		{"as granted again", tenants, "tenants/a", ""},
	} {
		res, err := r.Render(context.Background(), repo(step.tenants, step.folder))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if len(res.Mistakes) > 0 {
			got = string(res.Mistakes[0].Code)
		}
		if got != step.want || len(res.Mistakes) > 1 {
			t.Errorf("%s: %v, want %s", step.name, res.Mistakes, step.want)
		}
	}
}
