package renderer_test

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	repotemplate "github.com/setpoint-net/setpoint/repo-template"

	"github.com/setpoint-net/setpoint/renderer"
)

// swapped is a repo with one text replaced in one file.
func swapped(t testing.TB, repo fstest.MapFS, name, from, to string) fstest.MapFS {
	t.Helper()
	if !strings.Contains(string(repo[name].Data), from) {
		t.Fatalf("%s holds no %q", name, from)
	}
	repo[name] = &fstest.MapFile{Data: []byte(strings.Replace(string(repo[name].Data), from, to, 1))}
	return repo
}

// Each policy of the template finds what it is there for, at the line that a person
// changes, and nothing in the template as it is.
func TestTheShippedPoliciesFindWhatTheyAreFor(t *testing.T) {
	sound := template(t)
	delete(sound, "policies/extra.cue")
	if r := render(t, sound); len(r.Mistakes)+len(r.Warnings) > 0 {
		t.Fatal(r.Mistakes, r.Warnings)
	}
	for _, c := range []struct{ what, file, from, to, want string }{
		{"loopback of another", "extra/device.yaml", "loopback: 10.255.0.19", "loopback: 10.255.0.11", `extra/device.yaml:7: policy UniqueLoopbacks: 10.255.0.11 is on leaf01 and on leaf09 (on leaf09) [policy]
extra/device.yaml:7: policy UniqueRouterIDs: router id 10.255.0.11 is on leaf01 and on leaf09 (on leaf09) [policy]
inventory/devices.yaml:16: policy UniqueLoopbacks: 10.255.0.11 is on leaf01 and on leaf09 (on leaf01) [policy]
inventory/devices.yaml:16: policy UniqueRouterIDs: router id 10.255.0.11 is on leaf01 and on leaf09 (on leaf01) [policy]
`},
		{"subnet of another", "inventory/links.yaml", "10.1.0.1/31", "10.1.9.1/31", `inventory/links.yaml:6: policy LinkSubnets: 10.1.9.1/31 has no neighbor of its subnet on spine01 Ethernet1 (on leaf01) [policy]
inventory/links.yaml:7: policy LinkSubnets: 10.1.0.0/31 has no neighbor of its subnet on leaf01 Ethernet49 (on spine01) [policy]
`},
		{"length", "inventory/links.yaml", "10.1.0.1/31", "10.1.0.1/30", `inventory/links.yaml:6: policy LinkSubnets: 10.1.0.1/30 has no neighbor of its subnet on spine01 Ethernet1 (on leaf01) [policy]
inventory/links.yaml:7: policy LinkSubnets: 10.1.0.0/31 has no neighbor of its subnet on leaf01 Ethernet49 (on spine01) [policy]
`},
		{"one end's MTU", "inventory/devices.yaml", "vars: {asn: 65011, loopback: 10.255.0.11}", "vars: {asn: 65011, loopback: 10.255.0.11}, openconfig: {interfaces: {interface: [{name: Ethernet49, config: {mtu: 1500}}]}}", `inventory/devices.yaml:16: policy LinkMTU: 1500 here, 9214 on spine01 Ethernet1 (on leaf01) [policy]
`},
		{"a VLAN that is not there", "extra/device.yaml", "- {name: Ethernet30,", "- {name: Ethernet31, config: {type: ethernetCsmacd}, ethernet: {switched-vlan: {config: {interface-mode: ACCESS, access-vlan: 99}}}}\n        - {name: Ethernet30,", `extra/device.yaml:11: policy PortVLANsExist: VLAN 99 is not on the device (on leaf09) [policy]
`},
		{"a trunk's range", "extra/device.yaml", "- {name: Ethernet30,", "- {name: Ethernet31, config: {type: ethernetCsmacd}, ethernet: {switched-vlan: {config: {interface-mode: TRUNK, trunk-vlans: [\"19..20\"]}}}}\n        - {name: Ethernet30,", `extra/device.yaml:11: policy PortVLANsExist: VLAN 19 is not on the device (on leaf09) [policy]
`},
		{"a member's VLANs", "extra/device.yaml", "- {name: Ethernet30,", "- {name: Ethernet20, config: {type: ethernetCsmacd}}\n        - {name: Port-Channel1, config: {type: ieee8023adLag}}\n        - {name: Ethernet1, ethernet: {config: {aggregate-id: Port-Channel1}}}\n        - {name: Ethernet30,", `tenants/tenant-a/servers.yaml:6: policy MembersHaveNoVLANs: the port is a member of Port-Channel1: give the VLANs to that (on leaf09) [policy]
`},
	} {
		r := render(t, swapped(t, template(t), c.file, c.from, c.to))
		got := ""
		for _, m := range r.Mistakes {
			got += fmt.Sprintf("%s:%d: %s [%s]\n", m.File, m.Line, m.Message, m.Code)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: want (-) got (+)\n%s", c.what, d)
		}
	}
}

// shipped are the template's policies, for any repo.
func shipped(repo fstest.MapFS) fstest.MapFS {
	for _, name := range []string{"addresses", "links", "ports"} {
		name = "policies/" + name + ".cue"
		data, _ := repotemplate.Files.ReadFile(name)
		repo[name] = &fstest.MapFile{Data: data}
	}
	return repo
}

// Policies on 1,000 devices: each alone over configs that are known, with an
// evaluator that keeps no answers but those of this rendering.
func BenchmarkPolicies(b *testing.B) {
	base := network(1000)
	var warm renderer.Renderer
	if r, err := warm.Render(b.Context(), base); err != nil || len(r.Mistakes) > 0 {
		b.Fatal(err, r.Mistakes)
	}
	all := shipped(fstest.MapFS{})
	for _, name := range []string{"addresses", "links", "ports"} {
		b.Run(name, func(b *testing.B) {
			repo := maps.Clone(base)
			text := all["policies/"+name+".cue"].Data
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ { // another text each time: nothing is known of it
				repo["policies/p.cue"] = &fstest.MapFile{Data: fmt.Appendf(nil, "// %d\n%s", i, text)}
				if r, err := warm.Render(b.Context(), repo); err != nil || len(r.Mistakes) > 0 {
					b.Fatal(err, r.Mistakes)
				}
			}
		})
	}
	for _, what := range []string{"none", "known", "one"} {
		b.Run(what, func(b *testing.B) {
			repo := maps.Clone(base)
			if what != "none" {
				repo = shipped(repo)
			}
			data := repo["devices/pod00/leaf-00-04.yaml"].Data
			if _, err := warm.Render(b.Context(), repo); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if what == "one" {
					repo["devices/pod00/leaf-00-04.yaml"] = &fstest.MapFile{Data: bytes.Replace(data, []byte("servers of rack"), fmt.Appendf(nil, "%d servers of rack", i), 1)}
				}
				if r, err := warm.Render(b.Context(), repo); err != nil || len(r.Mistakes) > 0 {
					b.Fatal(err, r.Mistakes)
				}
			}
		})
	}
}
