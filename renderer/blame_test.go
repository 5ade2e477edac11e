package renderer_test

import (
	"context"
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/renderer"
)

const blamed = `apiVersion: setpoint/v1
kind: Device
metadata: {name: leaf01, labels: {role: leaf}}
spec:
  address: "192.0.2.11:9339"
  credentials: lab
  vars: {banner: hello}
  openconfig:
    interfaces: {interface: [{name: Ethernet1, config: {description: own}}]}
---
apiVersion: setpoint/v1
kind: Group
metadata: {name: leaves}
for: {selector: role=leaf}
spec:
  manage: [/interfaces, /system]
  openconfig:
    interfaces: {interface: [{name: Ethernet1, config: {type: ethernetCsmacd, description: a port, mtu: 1500}}]}
    system:
      config: {motd-banner: "${vars.banner}", login-banner: "go ${vars.banner}"}
      aaa: {server-groups: {server-group: [{name: t, config: {type: TACACS}, servers: {server: [{address: 192.0.2.1, tacacs: {config: {secret-key: "secret://lab/tacacs"}}}]}}]}}
---
apiVersion: setpoint/v1
kind: PortRun
metadata: {name: servers}
for: {selector: role=leaf}
spec: {from: 1, to: 2, vlan: 10}
`

func TestEachLeafIsBlamedOnTheDocumentThatSetsIt(t *testing.T) {
	repo := fstest.MapFS{
		"net.yaml":         {Data: []byte(blamed)},
		"kinds/access.cue": {Data: []byte(portsKind)},
	}
	origins, mistakes, err := new(renderer.Renderer).Blame(context.Background(), repo, "leaf01", nil)
	if err != nil || len(mistakes) > 0 {
		t.Fatal(err, mistakes)
	}
	config, err := tree.Parse(tree.OpenConfig(), render(t, repo).Devices[0].Config)
	if err != nil {
		t.Fatal(err)
	}
	var leaves []string
	config.Leaves(func(p tree.Path, _ *tree.Value) bool {
		leaves = append(leaves, p.String())
		return true
	})
	got := map[string]string{}
	for i, o := range origins {
		if i >= len(leaves) || o.Path != leaves[i] {
			t.Fatalf("leaf %d is %s", i, o.Path)
		}
		got[o.Path] = fmt.Sprintf("%s %s:%d %s %s:%d", o.Value, o.Source.File, o.Source.Line, o.Document, o.KindAt.File, o.KindAt.Line)
	}
	const port = "/interfaces/interface[name=Ethernet1]/"
	for path, want := range map[string]string{
		port + "config/description":                        "own net.yaml:9 Device leaf01 :0",
		port + "config/mtu":                                "1500 net.yaml:27 PortRun servers kinds/access.cue:10",
		port + "ethernet/switched-vlan/config/access-vlan": "10 net.yaml:27 PortRun servers kinds/access.cue:11",
		"/system/config/motd-banner":                       "hello net.yaml:7 Group leaves :0",
		"/system/config/login-banner":                      "go hello net.yaml:20 Group leaves :0",
		"/system/aaa/server-groups/server-group[name=t]/servers/server[address=192.0.2.1]/tacacs/config/secret-key": " net.yaml:21 Group leaves :0",
	} {
		if d := cmp.Diff(want, got[path]); d != "" {
			t.Errorf("%s:\n%s", path, d)
		}
	}
}

func TestBlameKeepsToThePath(t *testing.T) {
	repo := fstest.MapFS{
		"net.yaml":         {Data: []byte(blamed)},
		"kinds/access.cue": {Data: []byte(portsKind)},
	}
	for text, want := range map[string]int{"/system/config": 2, "/interfaces/interface[name=Ethernet1]/config/mtu": 1, "/interfaces/interface/config/mtu": 1, "/interfaces/interface[name=Eth*]/config/mtu": 1} {
		under, err := tree.ParsePath(text)
		if err != nil {
			t.Fatal(err)
		}
		origins, mistakes, err := new(renderer.Renderer).Blame(context.Background(), repo, "leaf01", under)
		if err != nil || len(mistakes) > 0 || len(origins) != want {
			t.Errorf("%s: %d leaves, want %d; %v %v", text, len(origins), want, err, mistakes)
		}
	}
}
