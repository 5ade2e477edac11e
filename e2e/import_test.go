package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/setpoint-net/setpoint/reconciler/device/sim"
)

// running is what a switch may run that nobody wrote intent for.
const running = `{
 "openconfig-system:system": {"config": {"hostname": "old-switch", "motd-banner": "${keep} out"}, "aaa": {"authentication": {"users": {"user": [
   {"username": "ops", "config": {"username": "ops", "password": "the-users-password"}}]}}}},
 "openconfig-interfaces:interfaces": {"interface": [
   {"name": "Ethernet1", "config": {"name": "Ethernet1", "type": "iana-if-type:ethernetCsmacd", "mtu": 9000, "description": "010"}}]}}`

// TestAnImportedDevicePlansNothing imports, puts the document alone into a
// folder, and asks for the live diff: it is empty, until another client comes.
func TestAnImportedDevicePlansNothing(t *testing.T) {
	w := newWorld(t, 1, func(_ int, c *sim.Config) { c.Initial = []byte(running) })
	w.write("setpoint.yaml", "repository: {url: net.git}\ncredentials:\n  - {name: lab, username: admin, password: {file: device-password}, caFile: ca.pem}\n")
	c := exec.CommandContext(w.ctx, binary, "import", w.addrs[0], "-c", "setpoint.yaml")
	c.Dir = w.dir
	var told strings.Builder
	c.Stderr = &told
	doc, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, told.String())
	}
	for _, want := range []string{"name: old-switch\n", "adopt: approve\n", "credentials: lab\n", "$${keep} out"} {
		if !strings.Contains(string(doc), want) {
			t.Errorf("the document lacks %q:\n%s", want, doc)
		}
	}
	const secret = "/system/aaa/authentication/users/user[username=ops]/config/password"
	if !strings.Contains(told.String(), secret) || !strings.Contains(string(doc), "!"+secret) || strings.Contains(string(doc)+told.String(), "the-users-password") {
		t.Errorf("the secret is not told, or told too much: %s\n%s", told.String(), doc)
	}
	w.write(filepath.Join("imported", "old-switch.yaml"), string(doc))
	if out, code := w.setpoint("diff", "imported", "--live", "-c", "setpoint.yaml"); code != 0 {
		t.Errorf("diff --live exits with %d: %s", code, out)
	}
	w.set(0, "/interfaces/interface[name=Ethernet1]/config/mtu", "1500")
	if out, code := w.setpoint("diff", "imported", "--live", "-c", "setpoint.yaml"); code != 1 || !strings.Contains(out, "1500 → 9000") {
		t.Errorf("diff --live exits with %d: %s", code, out)
	}
	if n := w.fleet[0].Sets(); n != 1 {
		t.Errorf("the target saw %d Sets; one is the other client's", n)
	}
}
