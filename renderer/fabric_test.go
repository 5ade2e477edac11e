package renderer_test

import (
	"fmt"
	"strings"
	"testing/fstest"
)

// podSize is how many devices of a generated fabric are linked to each other: four
// spines, and leaves.
const podSize, podSpines = 25, 4

// network is a config repo of n devices such as an engineer would write for a
// fabric of that size, with the built-in kinds: one file per device with its access
// ports, links per pod, what all share in a few documents. Most of what a device
// gets is its own: addresses, neighbors, descriptions.
func network(n int) fstest.MapFS {
	repo := fstest.MapFS{}
	put := func(name, text string) { repo[name] = &fstest.MapFile{Data: []byte(text)} }
	put("fabric/common.yaml", networkCommon)
	put("fabric/hundred.yaml", networkHundred)
	put("fabric/ten.yaml", networkTen)
	var links [][]string
	for i := range n {
		pod, at := i/podSize, i%podSize
		role := "leaf"
		if at < podSpines {
			role = "spine"
		}
		name := deviceName(i)
		var b strings.Builder
		fmt.Fprintf(&b, `apiVersion: setpoint/v1
kind: Device
metadata: {name: %s, labels: {role: %s, site: fab1, pod: pod%02d, row: row%d}}
spec:
  address: 10.200.%d.%d
  credentials: lab
  vars: {asn: %d, loopback: 10.%d.%d.%d, rack: r%d}
`, name, role, pod, i%10, i/250, i%250+1, 4200000000+i, 128+i/62500, i/250%250, i%250+1, at)
		if role == "leaf" {
			fmt.Fprintf(&b, `---
apiVersion: setpoint/v1
kind: AccessPorts
metadata: {name: %s-servers}
for: {devices: [%s]}
spec: {ports: ["Ethernet[1-24]"], vlan: %d, description: "servers of rack %d in pod %d"}
---
apiVersion: setpoint/v1
kind: AccessPorts
metadata: {name: %s-storage}
for: {devices: [%s]}
spec: {ports: ["Ethernet[25-40]"], vlans: [%d, %d], mode: trunk, description: "storage of %s"}
`, name, name, 100+at, at, pod, name, name, 100+at, 200, name)
			if len(links) <= pod {
				links = append(links, nil)
			}
			for s := range podSpines {
				net := (i*podSpines + s) * 2
				links[pod] = append(links[pod], fmt.Sprintf(`apiVersion: setpoint/v1
kind: Link
metadata: {name: %s-%d}
spec:
  a: {device: %s, port: Ethernet%d, vars: {address: 10.%d.%d.%d/31}}
  b: {device: %s, port: Ethernet%d, vars: {address: 10.%d.%d.%d/31}}
`, name, s, name, 49+s, 64+net/65536, net/256%256, net%256+1, deviceName(pod*podSize+s), at, 64+net/65536, net/256%256, net%256))
			}
		}
		put(fmt.Sprintf("devices/pod%02d/%s.yaml", pod, name), b.String())
	}
	for pod, docs := range links {
		put(fmt.Sprintf("links/pod%02d.yaml", pod), strings.Join(docs, "---\n"))
		var vlans []string
		for at := podSpines; at < podSize; at++ {
			vlans = append(vlans, fmt.Sprintf("{id: %d, name: servers-%02d}", 100+at, at))
		}
		put(fmt.Sprintf("fabric/pod%02d.yaml", pod), fmt.Sprintf(`apiVersion: setpoint/v1
kind: VLANs
metadata: {name: pod%02d}
for: {selector: "role=leaf,pod=pod%02d"}
spec: {vlans: [{id: 200, name: storage}, %s]}
`, pod, pod, strings.Join(vlans, ", ")))
	}
	return repo
}

func deviceName(i int) string {
	if at := i % podSize; at < podSpines {
		return fmt.Sprintf("spine-%02d-%d", i/podSize, at)
	}
	return fmt.Sprintf("leaf-%02d-%02d", i/podSize, i%podSize)
}

const networkCommon = `apiVersion: setpoint/v1
kind: Group
metadata: {name: all}
for: {selector: "*"}
spec:
  priority: 10
  manage: [/system, /interfaces, /network-instances, /routing-policy, /acl]
  vars: {owner: network}
  openconfig:
    system: {config: {motd-banner: "${name} in rack ${vars.rack} belongs to ${vars.owner}"}}
---
apiVersion: setpoint/v1
kind: DriftPolicy
metadata: {name: tell}
for: {selector: "*"}
spec: {mode: alert}
---
apiVersion: setpoint/v1
kind: System
metadata: {name: base}
for: {selector: "*"}
spec:
  domain: fab1.example.com
  dns: {servers: [192.0.2.53], search: [fab1.example.com]}
  ntp: [192.0.2.123]
  syslog: [{host: 192.0.2.14, severity: notice}]
---
apiVersion: setpoint/v1
kind: PrefixList
metadata: {name: loopbacks}
for: {selector: "*"}
spec: {name: loopbacks, prefixes: [{prefix: 10.128.0.0/9, ge: 32}]}
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
---
apiVersion: setpoint/v1
kind: Underlay
metadata: {name: fabric}
for: {selector: "*"}
spec: {maximumPaths: 4, connectedPolicy: loopbacks}
---
apiVersion: setpoint/v1
kind: Overlay
metadata: {name: spines}
for: {selector: role=spine}
spec: {}
---
apiVersion: setpoint/v1
kind: Overlay
metadata: {name: leaves}
for: {selector: role=leaf}
spec: {vnis: [{vlan: 200, vni: 10200}]}
---
apiVersion: setpoint/v1
kind: ACL
metadata: {name: servers-in}
for: {selector: role=leaf}
spec:
  name: servers-in
  entries:
    - {sequence: 10, action: drop, protocol: tcp, destinationPort: 23, log: true, description: no telnet}
    - {sequence: 90, action: accept}
  ingress: ["Ethernet[1-6]"]
`

// networkHundred is what a tenth of the devices have.
const networkHundred = `apiVersion: setpoint/v1
kind: Group
metadata: {name: row}
for: {selector: row=row3}
spec: {openconfig: {system: {config: {login-banner: "${name} stands in row 3"}}}}
`

// networkTen is what ten devices have.
const networkTen = `apiVersion: setpoint/v1
kind: Group
metadata: {name: ten}
for: {devices: [leaf-00-04, leaf-00-05, leaf-00-06, leaf-00-07, leaf-00-08, leaf-00-09, leaf-00-10, leaf-00-11, leaf-00-12, leaf-00-13]}
spec: {priority: 20, openconfig: {system: {config: {login-banner: "${name} is in the tenth"}}}}
`
