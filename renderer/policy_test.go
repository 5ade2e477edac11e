package renderer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
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
	base := network(b, 1000)
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
			data := repo["racks/site001.yaml"].Data
			if _, err := warm.Render(b.Context(), repo); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if what == "one" {
					repo["racks/site001.yaml"] = &fstest.MapFile{Data: bytes.Replace(data, []byte("server behind"), fmt.Appendf(nil, "%d server behind", i), 1)}
				}
				if r, err := warm.Render(b.Context(), repo); err != nil || len(r.Mistakes) > 0 {
					b.Fatal(err, r.Mistakes)
				}
			}
		})
	}
}

// telling is a repo whose policies tell all that they see.
func telling() fstest.MapFS {
	return fstest.MapFS{
		"devices.yaml": {Data: []byte(`apiVersion: setpoint/v1
kind: Device
metadata: {name: leaf01, labels: {role: leaf, rack: r1}}
spec:
  address: leaf01
  credentials: lab
  manage: [/interfaces]
  vars: {owner: net}
  openconfig: {interfaces: {interface: [{name: Ethernet1, config: {type: ethernetCsmacd, mtu: 1500, description: one}}]}}
---
apiVersion: setpoint/v1
kind: Device
metadata: {name: spine01, labels: {role: spine}}
spec: {address: spine01, credentials: lab, manage: [/interfaces], vars: {owner: us}}
---
apiVersion: setpoint/v1
kind: Device
metadata: {name: other, labels: {role: other}}
spec: {address: other, credentials: lab, manage: [/interfaces]}
`)},
		"link.yaml": {Data: []byte(`apiVersion: setpoint/v1
kind: Link
metadata: {name: one}
spec: {a: {device: leaf01, port: Ethernet1, vars: {cable: c1}}, b: {device: spine01, port: Ethernet1, vars: {cable: c2}}}
`)},
		"policies/a.cue": {Data: []byte(`package policies

import "encoding/json"

#Device: {
	mode: "warn"
	paths: {mtus: "/interfaces/interface/config/mtu", types: ["/interfaces/interface/config/type"]}
	device: {...}
	_all: json.Marshal(device)
	violations: [{message: _all}]
}

#Network: {
	mode: "warn"
	for: selector: "role in (leaf,spine)"
	paths: mtus: "/interfaces/interface/config/mtu"
	network: {...}
	_all: json.Marshal(network)
	violations: [{device: "spine01", message: _all}]
}
`)},
	}
}

// What was said before stands exactly as long as nothing that the policy saw, and
// nothing of its text, is another.
func TestAVerdictStandsWhileWhatItSawDoes(t *testing.T) {
	for _, c := range []struct {
		what, file, from, to string
		asked                int
	}{
		{"nothing", "devices.yaml", "mtu", "mtu", 0},
		{"a comment", "devices.yaml", "apiVersion", "# hello\napiVersion", 0},
		{"an address", "devices.yaml", "address: leaf01", "address: leaf09", 0},
		{"a leaf that no path leads to", "devices.yaml", "description: one", "description: two", 0},
		{"a leaf", "devices.yaml", "mtu: 1500", "mtu: 1600", 2},
		{"a label", "devices.yaml", "rack: r1", "rack: r2", 3}, // the peer sees it
		{"a var", "devices.yaml", "owner: net", "owner: us", 2},
		{"a peer's var", "devices.yaml", "owner: us", "owner: net", 2},
		{"a label of one that the network's is not for", "devices.yaml", "role: other", "role: another", 1},
		{"a link's port", "link.yaml", "port: Ethernet1", "port: Ethernet2", 3},
		{"a link's var", "link.yaml", "cable: c1", "cable: c9", 2},
		{"a mode", "policies/a.cue", `mode: "warn"`, `mode: "deny"`, 4},
		{"whom it is for", "policies/a.cue", "(leaf,spine)", "(spine)", 4},
		{"a path", "policies/a.cue", "/mtu\"\n\tnetwork", "/type\"\n\tnetwork", 4},
	} {
		asked := &asking{}
		r := renderer.Renderer{Evaluator: asked}
		if _, err := r.Render(t.Context(), telling()); err != nil {
			t.Fatal(err)
		}
		asked.inputs = nil
		repo := swapped(t, telling(), c.file, c.from, c.to)
		warm, err := r.Render(t.Context(), repo)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(text(t, render(t, repo)), text(t, warm)); d != "" {
			t.Errorf("%s: alone (-), after another (+)\n%s", c.what, d)
		}
		if len(asked.inputs) != c.asked {
			t.Errorf("%s: %d questions, want %d: %s", c.what, len(asked.inputs), c.asked, asked.inputs)
		}
	}
}

// asking answers in this process, and keeps the questions that had inputs.
type asking struct {
	mu     sync.Mutex
	inputs []string
}

// Evaluate implements renderer.Evaluator.
func (a *asking) Evaluate(_ context.Context, p *renderer.Program, question []byte) ([]byte, error) {
	if head, _, _ := bytes.Cut(question, []byte("\n")); bytes.Contains(head, []byte(`"Inputs"`)) {
		a.mu.Lock()
		a.inputs = append(a.inputs, string(question))
		a.mu.Unlock()
	}
	toServe, in := io.Pipe()
	out, fromServe := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- renderer.Serve(toServe, fromServe) }()
	c, err := renderer.NewClient(out, in)
	if err != nil {
		return nil, err
	}
	answer, err := c.Ask(p, question)
	return answer, errors.Join(err, in.Close(), <-done)
}
