package renderer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/setpoint-net/setpoint/renderer"
)

// fabric is a config repo of n leaves with some 40 kB of config each, most of it
// their own: ports, VLANs, BGP neighbours, ACL entries. Each file holds one
// device, so that the order of files can be told from the order of devices.
func fabric(n int) fstest.MapFS {
	repo := fstest.MapFS{
		"kinds/ports.cue": {Data: []byte(portsKind)},
		"groups/all.yaml": {Data: []byte(allGroup)},
	}
	for i := range n {
		repo[fmt.Sprintf("devices/%02d/leaf%03d.yaml", i%7, i)] = &fstest.MapFile{Data: leaf(i)}
	}
	repo["requests.yaml"] = &fstest.MapFile{Data: []byte(`apiVersion: setpoint/v1
kind: PortRun
metadata: {name: access}
for: {selector: role=leaf}
spec: {from: 40, to: 56, vlan: 100}
`)}
	return repo
}

const portsKind = `package kinds

import "list"

#PortRun: {
	spec: {from: int & >0, to: int & <=96, vlan: int & >=1 & <=4094}
	device: name: string
	openconfig: interfaces: interface: [for n in list.Range(spec.from, spec.to, 1) {
		name: "Ethernet\(n)"
		config: {description: "access port of \(device.name)", mtu: 1500, type: "ethernetCsmacd"}
		ethernet: "switched-vlan": config: {"interface-mode": "ACCESS", "access-vlan": spec.vlan}
	}]
}
`

const allGroup = `apiVersion: setpoint/v1
kind: Group
metadata: {name: all}
for: {selector: role=leaf}
spec:
  manage: [/interfaces, /network-instances, /system, /acl, /routing-policy]
  vars: {domain: example.net}
  openconfig:
    system: {config: {hostname: "${name}", domain-name: "${vars.domain}"}}
    routing-policy:
      policy-definitions:
        policy-definition:
          - name: out
            statements: {statement: [{name: "10", actions: {config: {policy-result: ACCEPT_ROUTE}}}]}
`

func leaf(i int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `apiVersion: setpoint/v1
kind: Device
metadata: {name: leaf%03d, labels: {role: leaf, site: s%d}}
spec:
  address: 10.%d.%d.1
  credentials: lab
  vars: {asn: %d}
  openconfig:
    interfaces:
      interface:
`, i, i%5, i/250, i%250, 65000+i)
	for p := range 24 {
		fmt.Fprintf(&b, `        - name: Ethernet%d
          config: {type: ethernetCsmacd, description: "to host %d of ${name}", mtu: %d, enabled: true}
          subinterfaces:
            subinterface:
              - index: 0
                ipv4: {addresses: {address: [{ip: 10.%d.%d.%d, config: {prefix-length: 31}}]}}
`, p+1, p, 9000+i%100, i%200, p, 2*(p%100))
	}
	b.WriteString(`    acl:
      acl-sets:
        acl-set:
          - name: edge
            type: ACL_IPV4
            acl-entries:
              acl-entry:
`)
	for e := range 40 {
		fmt.Fprintf(&b, `                - sequence-id: %d
                  config: {description: "rule %d of leaf %d"}
                  ipv4: {config: {source-address: 10.%d.%d.0/24, protocol: IP_TCP}}
                  transport: {config: {destination-port: %d}}
                  actions: {config: {forwarding-action: ACCEPT}}
`, 10*(e+1), e, i, i%250, e, 1000+e)
	}
	b.WriteString(`    network-instances:
      network-instance:
        - name: default
          config: {type: DEFAULT_INSTANCE}
          vlans:
            vlan:
`)
	for v := range 60 {
		fmt.Fprintf(&b, "              - {vlan-id: %d, config: {name: \"v%d-%d\", status: ACTIVE}}\n", 100+v, v, i)
	}
	b.WriteString(`          protocols:
            protocol:
              - identifier: BGP
                name: bgp
                bgp:
                  global: {config: {as: "${vars.asn}"}}
                  peer-groups: {peer-group: [{peer-group-name: up, config: {peer-as: 64512}}]}
                  neighbors:
                    neighbor:
`)
	for p := range 16 {
		fmt.Fprintf(&b, `                      - neighbor-address: 10.%d.%d.%d
                        config: {peer-group: up, description: "uplink %d", enabled: true}
                        apply-policy: {config: {export-policy: [out]}}
`, i%200, p, 2*(p%100)+1, p)
	}
	return b.Bytes()
}

func TestSameTreeSameBytes(t *testing.T) {
	repo := fabric(8)
	broken := fstest.MapFS{}
	for name, f := range repo {
		broken[name] = &fstest.MapFile{Data: bytes.ReplaceAll(f.Data, []byte("mtu: 90"), []byte("mtu: 7000"))}
	}
	for name, r := range map[string]fs.FS{"devices": repo, "mistakes": broken} {
		want := text(t, render(t, r))
		for _, procs := range []int{1, 2, 7} {
			before := runtime.GOMAXPROCS(procs)
			got := text(t, render(t, shuffled{r}))
			runtime.GOMAXPROCS(before)
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("%s, GOMAXPROCS=%d:\n%s", name, procs, d)
			}
		}
	}
}

// shuffled lists folders backwards.
type shuffled struct{ fs.FS }

func (s shuffled) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(s.FS, name)
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return list, err
}

func TestMistakesAmongManyDevicesAreEachAtTheirLine(t *testing.T) {
	repo := fabric(40)
	plant := func(name, from, to string) {
		f := repo[name]
		if !bytes.Contains(f.Data, []byte(from)) {
			t.Fatalf("%s holds no %q", name, from)
		}
		f.Data = []byte(strings.Replace(string(f.Data), from, to, 1))
	}
	plant("devices/03/leaf010.yaml", "mtu: 9010", "mtu: 90100")
	plant("devices/06/leaf020.yaml", "peer-group: up,", "peer-group: upp,")
	plant("devices/02/leaf030.yaml", "credentials: lab", "credential: lab")
	var got []string
	for _, m := range render(t, repo).Mistakes {
		got = append(got, fmt.Sprintf("%s:%d:%d %s", m.File, m.Line, m.Column, m.Message))
	}
	want := []string{
		"devices/02/leaf030.yaml:5:3 credentials are missing",
		"devices/02/leaf030.yaml:6:3 spec of a Device has no field \"credential\"",
		"devices/03/leaf010.yaml:12:84 mtu: 90100: does not fit uint16",
		"devices/06/leaf020.yaml:438:46 peer-group: upp is not among the values of /network-instances/network-instance/protocols/protocol/bgp/peer-groups/peer-group/peer-group-name",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestAMistakeManyDevicesShareIsToldOnce(t *testing.T) {
	repo := fabric(10)
	f := repo["groups/all.yaml"]
	f.Data = bytes.Replace(f.Data, []byte(`"${name}"`), []byte(`"${nam}"`), 1)
	got := render(t, repo).Mistakes
	if len(got) != 1 || !strings.HasSuffix(got[0].Message, "(on leaf000 and 9 more)") {
		t.Errorf("mistakes: %v", got)
	}
}

func TestMistakesBeyondTheCapAreCounted(t *testing.T) {
	var b strings.Builder
	for i := range 1100 {
		fmt.Fprintf(&b, "---\napiVersion: setpoint/v1\nkind: K%d\n", i)
	}
	got := render(t, fstest.MapFS{"a.yaml": {Data: []byte(b.String())}}).Mistakes
	if len(got) != 1001 || got[1000].Message != "and 100 more mistakes, from here on" {
		t.Errorf("%d mistakes, the last: %v", len(got), got[len(got)-1])
	}
}

func TestRenderEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := renderer.Render(ctx, fabric(2)); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

func TestReadErrorsAreErrorsNotMistakes(t *testing.T) {
	_, err := renderer.Render(context.Background(), unreadable{fabric(1)})
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("err = %v", err)
	}
}

type unreadable struct{ fstest.MapFS }

func (u unreadable) ReadFile(name string) ([]byte, error) {
	return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrPermission}
}

func TestFilesOverTheLimitAreRefused(t *testing.T) {
	got := render(t, fstest.MapFS{"big.yaml": {Data: bytes.Repeat([]byte("# \n"), 1<<19)}}).Mistakes
	if len(got) != 1 || !strings.Contains(got[0].Message, "1 MiB") {
		t.Errorf("mistakes: %v", got)
	}
}

func TestAnEmptyRepoRendersToNothing(t *testing.T) {
	r := render(t, fstest.MapFS{"README.md": {Data: []byte("# hello")}})
	if len(r.Devices) != 0 || len(r.Mistakes) != 0 || r.Files != 0 {
		t.Errorf("result: %+v", r)
	}
}

func TestConfigIsCanonicalAndHashed(t *testing.T) {
	for _, d := range render(t, fabric(2)).Devices {
		if !json.Valid(d.Config) || len(d.Config) < 30_000 {
			t.Errorf("%s: %d bytes of config", d.Name, len(d.Config))
		}
		if len(d.Hash) != 64 {
			t.Errorf("%s: hash %q", d.Name, d.Hash)
		}
	}
}

func BenchmarkRender100(b *testing.B) {
	repo := fabric(100)
	bytes := 0
	for _, d := range render(b, repo).Devices {
		bytes += len(d.Config)
	}
	b.ReportAllocs()
	for b.Loop() {
		render(b, repo)
	}
	b.ReportMetric(float64(bytes)/100, "configB/device")
}

// What a rendering costs before its first device.
func BenchmarkRenderNothing(b *testing.B) {
	for b.Loop() {
		render(b, fstest.MapFS{})
	}
}

// Three slips of three sorts among a thousand devices: a letter too few, a range of
// ports that runs backwards, a frame that is too large.
func TestThreeMistakesAmongAThousandDevicesStandAtTheirLines(t *testing.T) {
	repo := fstest.MapFS{"all.yaml": {Data: []byte(`apiVersion: setpoint/v1
kind: Group
metadata: {name: all}
for: {selector: "*"}
spec:
  manage: [/system, /interfaces]
  openconfig:
    system: {config: {hostname: "${name}"}}
    interfaces: {interface: [{name: Ethernet49, config: {mtu: "${vars.mtu}"}}]}
`)}}
	for i := range 1000 {
		device := fmt.Sprintf(`apiVersion: setpoint/v1
kind: Device
metadata: {name: leaf%03d}
spec:
  address: 10.0.%d.%d
  credentials: lab
  vars: {mtu: %d}
`, i, i/250, i%250+1, 1500+i)
		if i%50 == 0 {
			device += fmt.Sprintf(`---
apiVersion: setpoint/v1
kind: AccessPorts
metadata: {name: leaf%03d}
for: {devices: [leaf%03d]}
spec: {ports: ["Ethernet[1-4]"], vlan: 10}
`, i, i)
		}
		repo[fmt.Sprintf("pod%02d/leaf%03d.yaml", i/25, i)] = &fstest.MapFile{Data: []byte(device)}
	}
	plant := func(name, right, wrong string) {
		repo[name] = &fstest.MapFile{Data: bytes.Replace(repo[name].Data, []byte(right), []byte(wrong), 1)}
	}
	plant("pod07/leaf180.yaml", "mtu: 1680", "mtu: 168000")
	plant("pod20/leaf500.yaml", "[1-4]", "[4-1]")
	plant("pod39/leaf999.yaml", "spec:", "sepc: {}\nspec:")
	var got []string
	for _, m := range render(t, repo).Mistakes {
		got = append(got, fmt.Sprintf("%s:%d:%d %s", m.File, m.Line, m.Column, m.Code))
	}
	want := []string{"pod07/leaf180.yaml:7:15 yang-value", "pod20/leaf500.yaml:13:16 spec", "pod39/leaf999.yaml:4:1 field"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
