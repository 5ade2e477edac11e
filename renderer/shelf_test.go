package renderer

import (
	"context"
	"fmt"
	"testing"
	"testing/fstest"
)

// Each tree differs from all before in all that can be kept.
func TestWhatIsNoLongerOfUseIsDropped(t *testing.T) {
	var r Renderer
	kept := func() [4]int {
		return [4]int{
			len(r.files.now) + len(r.files.old), len(r.groups.now) + len(r.groups.old),
			len(r.pieces.now) + len(r.pieces.old), len(r.devices.now) + len(r.devices.old),
		}
	}
	var early [4]int
	for i := range 20 {
		text := fmt.Sprintf(`apiVersion: setpoint/v1
kind: Device
metadata: {name: leaf01}
spec: {address: 192.0.2.1, credentials: lab, vars: {n: "%d"}, openconfig: {system: {config: {motd-banner: "${vars.n}"}}}}
---
apiVersion: setpoint/v1
kind: Group
metadata: {name: all}
for: {selector: "*"}
spec: {manage: [/system, /interfaces], openconfig: {system: {config: {login-banner: "%d"}}}}
---
apiVersion: setpoint/v1
kind: AccessPorts
metadata: {name: a}
for: {selector: "*"}
spec: {ports: [Ethernet1], vlan: %d}
`, i, i, i+1)
		res, err := r.Render(context.Background(), fstest.MapFS{"net.yaml": {Data: []byte(text)}})
		if err != nil || len(res.Mistakes) > 0 {
			t.Fatal(err, res.Mistakes)
		}
		if i == 2 {
			early = kept()
		}
	}
	if late := kept(); late != early || early == [4]int{} {
		t.Errorf("kept after 3 trees: %v, after 20: %v", early, late)
	}
}

func TestFactsAreForgottenWhenThereAreTooMany(t *testing.T) {
	var f facts[int, int]
	for i := range 3 * maxFacts {
		f.put(i, i)
		if _, ok := f.get(0); !ok {
			t.Fatalf("a fact in use is forgotten after %d others", i)
		}
	}
	if n := len(f.now) + len(f.old); n > 2*maxFacts {
		t.Errorf("%d facts are kept", n)
	}
	if _, ok := f.get(1); ok {
		t.Error("a fact that nobody asked for is kept for ever")
	}
}
