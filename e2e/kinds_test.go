package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Among 1,000 devices three mistakes and a kind that never ends are each reported
// at their line, and nothing else is.
func TestMistakesAndAnEndlessKindAmongAThousandDevices(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 1000 {
		extra := ""
		switch i {
		case 17:
			extra = "  adopt: perhaps\n"
		case 503:
			extra = "  openconfig: {interfaces: {interface: [{name: Ethernet9, config: {mtu: 90000}}]}}\n"
		case 998:
			extra = "  colour: red\n"
		}
		write(fmt.Sprintf("devices/leaf%04d.yaml", i), fmt.Sprintf(`apiVersion: setpoint/v1
kind: Device
metadata: {name: leaf%04d, labels: {role: leaf}}
spec:
  address: 10.%d.%d.1
  credentials: lab
  manage: [/interfaces, /network-instances]
%s`, i, i/256, i%256, extra))
	}
	write("ports.yaml", `apiVersion: setpoint/v1
kind: AccessPorts
metadata: {name: all}
for: {selector: role=leaf}
spec: {ports: ["Ethernet[1-8]"], vlan: 10}
---
apiVersion: setpoint/v1
kind: Endless
metadata: {name: endless}
for: {selector: role=leaf}
spec:
  rounds: 10000
---
apiVersion: setpoint/v1
kind: Endless
metadata: {name: quick}
for: {selector: role=leaf}
spec: {rounds: 2}
`)
	write("kinds/endless.cue", `package kinds

import "list"

#Endless: {
	spec: rounds: int
	device: name: string
	let r = list.Range(0, spec.rounds, 1)
	openconfig: interfaces: interface: [for i in r for j in r for k in r if i+j+k < 0 {name: i}]
}
`)
	out, err := exec.Command(binary, "validate", dir).Output()
	if code := exitCode(err); code != 1 {
		t.Errorf("exit code %d: %v", code, err)
	}
	const want = `devices/leaf0017.yaml:8:10: adopt "perhaps" is not known [adopt]
  hint: known: approve, auto
devices/leaf0503.yaml:8:73: /interfaces/interface[name=Ethernet9]/config/mtu: 90000: does not fit uint16 [yang-value]
devices/leaf0998.yaml:8:3: spec of a Device has no field "colour" [field]
  hint: known: address, adopt, allowUnenforced, apply, credentials, decommission, manage, openconfig, platform, redundancy, vars
ports.yaml:11:1: kind Endless did not finish within 5 s (on leaf0000) [kind-time]
  hint: look for wide ranges, and for lists over lists
4 mistakes in 4 files
`
	if d := cmp.Diff(want, string(out)); d != "" {
		t.Errorf("want (-) got (+):\n%s", strings.TrimSpace(d))
	}
}

func exitCode(err error) int {
	if e, ok := err.(*exec.ExitError); ok {
		return e.ExitCode()
	}
	return 0
}
