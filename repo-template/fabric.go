package repotemplate

import (
	"fmt"
	"io/fs"
	"strings"
)

// MaxDevices is how many devices Fabric makes addresses for.
const MaxDevices = 20_000

const siteSize = 50

// networkPolicies is up to how many devices a fabric has the policies that look at
// the whole network at once: of 1,000 devices they were still judged within the five
// seconds that an evaluation has, of 3,000 those about links were not.
const networkPolicies = 500

// Fabric is a config repo of n devices, from 1 to MaxDevices: sites of at most 50,
// each a fabric of spines and leaves of its own, with ports, VLANs and addresses
// that differ from device to device. The same n gives the same files; no two
// devices or link ends share an address.
func Fabric(n int) (map[string][]byte, error) {
	g := &generator{n: min(max(n, 1), MaxDevices), files: make(map[string]*strings.Builder)}
	sites := (g.n + siteSize - 1) / siteSize
	for s := range sites {
		g.site(s, g.n/sites+btoi(s < g.n%sites))
	}
	g.common()
	out := make(map[string][]byte, len(g.files)+8)
	for name, b := range g.files {
		out[name] = []byte(b.String())
	}
	return out, fs.WalkDir(Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasPrefix(name, ".") && !g.policy(name) {
			return err
		}
		out[name], err = fs.ReadFile(Files, name)
		return err
	})
}

// generator counts what has been given out.
type generator struct {
	n             int
	device, links int
	spines        bool
	files         map[string]*strings.Builder
}

// policy tells whether a file of the template holds policies for the fabric. Those of
// ports.cue look at one device each, however many there are.
func (g *generator) policy(name string) bool {
	return strings.HasPrefix(name, "policies/") && (g.n <= networkPolicies || name == "policies/ports.cue")
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// write adds a document to a file.
func (g *generator) write(file, format string, args ...any) {
	b := g.files[file]
	if b == nil {
		b = &strings.Builder{}
		g.files[file] = b
	} else {
		b.WriteString("---\n")
	}
	b.WriteString("apiVersion: setpoint/v1\n")
	fmt.Fprintf(b, format, args...)
}

// spinesOf is how many of a site's devices are spines.
func spinesOf(size int) int {
	switch {
	case size < 3:
		return size - 1
	case size < 24:
		return 2
	}
	return 4
}

func (g *generator) site(number, size int) {
	site := fmt.Sprintf("site%03d", number+1)
	spines := spinesOf(size)
	g.spines = g.spines || spines > 0
	for i := range spines {
		g.add(site, fmt.Sprintf("%s-spine%02d", site, i+1), "spine")
	}
	for i := range size - spines {
		leaf := fmt.Sprintf("%s-leaf%02d", site, i+1)
		index := g.add(site, leaf, "leaf")
		for s := range spines {
			a, b := 2*g.links+1, 2*g.links
			g.links++
			g.write("inventory/"+site+"/links.yaml", `kind: Link
metadata: {name: %[1]s-spine%02[3]d}
spec:
  a: {device: %[1]s, port: Ethernet%[4]d, vars: {address: %[5]s/31}}
  b: {device: %[2]s-spine%02[3]d, port: Ethernet%[6]d, vars: {address: %[7]s/31}}
`, leaf, site, s+1, 49+s, address(10, 0, a), i+1, address(10, 0, b))
		}
		g.rack(site, leaf, index)
	}
	g.write("fabric/system.yaml", `kind: System
metadata: {name: %[1]s}
for: {selector: site=%[1]s}
spec:
  domain: %[1]s.example.com
  dns: {servers: [192.0.2.53], search: [%[1]s.example.com]}
  ntp: [192.0.2.123]
  syslog: [{host: 192.0.2.14, severity: notice}]
`, site)
}

// add writes a device and gives its number among all.
func (g *generator) add(site, name, role string) int {
	i := g.device
	g.device++
	g.write("inventory/"+site+"/devices.yaml", `kind: Device
metadata: {name: %s, labels: {role: %s, site: %s}}
spec:
  address: "%s:9339"
  credentials: lab
  vars: {asn: %d, loopback: %s}
  openconfig: {system: {config: {login-banner: "${name}, number %d"}}}
`, name, role, site, address(198, 18, i+1), 4200000001+i, address(10, 240, i+1), i+1)
	return i
}

// rack writes what is behind a leaf.
func (g *generator) rack(site, leaf string, i int) {
	file := "racks/" + site + ".yaml"
	first := 100 + 2*(i%1900)
	vni := 10000 + 2*i
	g.write(file, `kind: VLANs
metadata: {name: %[1]s}
for: {devices: [%[1]s]}
spec: {vlans: [{id: %[2]d, name: "web-%[4]d"}, {id: %[3]d, name: "storage-%[4]d"}]}
---
apiVersion: setpoint/v1
kind: Overlay
metadata: {name: %[1]s}
for: {devices: [%[1]s]}
spec: {vnis: [{vlan: %[2]d, vni: %[5]d}, {vlan: %[3]d, vni: %[6]d}]}
---
apiVersion: setpoint/v1
kind: AccessPorts
metadata: {name: %[1]s-servers}
for: {devices: [%[1]s]}
spec: {ports: ["Ethernet[1-16]"], vlan: %[2]d, description: "server behind %[1]s"}
---
apiVersion: setpoint/v1
kind: AccessPorts
metadata: {name: %[1]s-storage}
for: {devices: [%[1]s]}
spec: {ports: ["Ethernet[17-24]"], mode: trunk, vlans: [%[2]d, %[3]d], description: "storage behind %[1]s"}
`, leaf, first, first+1, i+1, vni, vni+1)
}

// address is the nth address of a range that begins at a.b.0.0.
func address(a, b, n int) string {
	n += b << 16
	return fmt.Sprintf("%d.%d.%d.%d", a, n>>16, n>>8&255, n&255)
}

// common writes what holds for all.
func (g *generator) common() {
	g.write("inventory/groups.yaml", `kind: Group
metadata: {name: all}
for: {selector: "*"}
spec:
  priority: 10
  manage: [/system, /interfaces, /network-instances, /routing-policy]
---
apiVersion: setpoint/v1
kind: DriftPolicy
metadata: {name: tell}
for: {selector: "*"}
spec: {mode: alert}
`)
	g.write("fabric/fabric.yaml", `kind: Underlay
metadata: {name: fabric}
for: {selector: "*"}
spec: {maximumPaths: 4, connectedPolicy: loopbacks}
---
apiVersion: setpoint/v1
kind: PrefixList
metadata: {name: loopbacks}
for: {selector: "*"}
spec: {name: loopbacks, prefixes: [{prefix: 10.240.0.0/16, ge: 32}]}
---
apiVersion: setpoint/v1
kind: RoutePolicy
metadata: {name: loopbacks}
for: {selector: "*"}
spec:
  name: loopbacks
  statements:
    - {name: loopbacks, match: {prefixList: loopbacks}, result: accept}
    - {name: rest, result: reject}
`)
	if g.spines {
		g.write("fabric/fabric.yaml", `kind: Overlay
metadata: {name: spines}
for: {selector: role=spine}
spec: {}
`)
	}
	omitted := ""
	if g.n > networkPolicies {
		omitted = fmt.Sprintf(" on each device; policies over\nthe whole network, which read all of it at once, are left out above %d devices", networkPolicies)
	}
	g.files["README.md"] = &strings.Builder{}
	fmt.Fprintf(g.files["README.md"], `# A generated network of %d devices

Sites of at most %d, each a fabric of spines and leaves. inventory/ has the devices and cables of each site, racks/ what is
behind each leaf, fabric/ what holds for all, policies/ what must hold%s.
Check it with `+"`setpoint validate`"+`.
`, g.n, siteSize, omitted)
}
