package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/setpoint-net/setpoint/bus/notify/notifytest"
)

// vlans is the config of n VLANs.
func vlans(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("              - {vlan-id: %d, config: {vlan-id: %d, name: vlan%d}}", 100+i, 100+i, 100+i))
	}
	return networkYAML("base") + strings.Join(all, "\n") + "\n"
}

// untilOut runs a command at each event until its output has the text.
func (w *world) untilOut(text string, command ...string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, w.patience)
	defer cancel()
	for {
		next := w.next()
		out, _ := w.setpoint(command...)
		if strings.Contains(out, text) {
			return out
		}
		select {
		case <-next:
		case <-ctx.Done():
			w.t.Fatalf("%q never says %q: %s", command, text, out)
		}
	}
}

// TestAMassDeletionWaitsForAPerson: held by a guard, told where people look,
// allowed for that one plan, done; the next one waits again.
func TestAMassDeletionWaitsForAPerson(t *testing.T) {
	w := newWorld(t, 1)
	w.start()
	files := w.network("base", "alert")
	files["network.yaml"] = vlans(9)
	w.deployed(w.push(files))
	second := w.push(map[string]string{"network.yaml": vlans(2)})
	if s := w.await(second, "setpoint/deploy"); s.State != "failure" || !strings.Contains(s.Description, "mass-delete") || !strings.Contains(s.Description, "leaf01") {
		t.Errorf("the deploy's status is %s: %s", s.State, s.Description)
	}
	w.holds(0, `"vlan108"`)
	out, code := w.setpoint("devices")
	if code != 1 || !strings.Contains(out, "7 of 10 entries") || !strings.Contains(out, "to allow it: setpoint approve leaf01 --allow mass-delete") {
		t.Errorf("devices exits with %d: %s", code, out)
	}
	if out, code := w.setpoint("approve", "leaf01"); code != 2 || !strings.Contains(out, "a guard forbids this plan: guard mass-delete") {
		t.Errorf("approve exits with %d: %s", code, out)
	}
	if out, code := w.setpoint("approve", "leaf01", "--allow", "empty"); code != 2 {
		t.Errorf("approve of another guard exits with %d: %s", code, out)
	}
	if out, code := w.setpoint("approve", "leaf01", "--allow", "mass-delete"); code != 0 {
		t.Errorf("approve --allow exits with %d: %s", code, out)
	}
	w.awaitStatus(second, "setpoint/deploy", func(s notifytest.Status) bool { return s.State == "success" })
	if strings.Contains(string(w.fleet[0].Config()), `"vlan108"`) {
		t.Error("leaf01 still has VLAN 108")
	}
	w.deployed(w.push(map[string]string{"network.yaml": vlans(9)}))
	third := w.push(map[string]string{"network.yaml": vlans(2)})
	if s := w.await(third, "setpoint/deploy"); s.State != "failure" {
		t.Errorf("the same plan of another generation is allowed: %s: %s", s.State, s.Description)
	}
	w.stop()
	w.leaksNothing()
}

// TestASuspendedDeviceIsLeftAlone: commits wait, drift is told and not put back,
// over a restart too; resume does what waited.
func TestASuspendedDeviceIsLeftAlone(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.deployed(w.push(w.network("engineering", "enforce")))
	if out, code := w.setpoint("suspend", "leaf01"); code != 2 || !strings.Contains(out, "--why") {
		t.Errorf("suspend without a reason exits with %d: %s", code, out)
	}
	if out, code := w.setpoint("suspend", "leaf09", "--why", "x"); code != 2 || !strings.Contains(out, `no device "leaf09"`) {
		t.Errorf("suspend of no device exits with %d: %s", code, out)
	}
	if out, code := w.setpoint("suspend", "leaf01", "--why", "line card swap", "--for", "5h"); code != 0 || out != "leaf01: suspended\n" {
		t.Errorf("suspend exits with %d: %s", code, out)
	}
	w.untilOut("line card swap", "devices", "leaf01")
	sets := w.fleet[0].ChangingSets()
	w.set(0, vlanName, `"BY HAND"`)
	w.untilOut("drifted", "devices", "leaf01")
	for _, command := range [][]string{{"drift"}, {"drift", "leaf01"}} {
		if out, code := w.setpoint(command...); code != 1 || !strings.Contains(out, "BY HAND") || !strings.Contains(out, "suspended by") {
			t.Errorf("%q exits with %d: %s", command, code, out)
		}
	}
	if out, code := w.setpoint("drift", "leaf02"); code != 0 || out != "nothing has drifted\n" {
		t.Errorf("drift leaf02 exits with %d: %s", code, out)
	}
	w.stop()
	w.start()
	commit := w.push(map[string]string{"network.yaml": networkYAML("operations")})
	if s := w.await(commit, "setpoint/deploy"); s.State == "success" || !strings.Contains(s.Description, "leaf01") {
		t.Errorf("the deploy's status is %s: %s", s.State, s.Description)
	}
	w.holds(1, `"operations"`)
	if n := w.fleet[0].ChangingSets(); n != sets+1 {
		t.Errorf("leaf01 saw %d changing Sets, one of them the other client's, want %d", n, sets+1)
	}
	if out, code := w.setpoint("resume", "leaf02"); code != 2 || !strings.Contains(out, "leaf02: not ordered: it is not suspended") {
		t.Errorf("resume of what is not suspended exits with %d: %s", code, out)
	}
	if out, code := w.setpoint("resume", "-l", "role=leaf"); code != 0 || out != "leaf01: resumed\n" {
		t.Errorf("resume exits with %d: %s", code, out)
	}
	w.awaitStatus(commit, "setpoint/deploy", func(s notifytest.Status) bool { return s.State == "success" })
	w.holds(0, `"operations"`)
	w.stop()
	w.leaksNothing()
}

// TestASecretIsNamedInGitAndSentToTheDevice: the reference is resolved at the Set
// and appears nowhere else.
func TestASecretIsNamedInGitAndSentToTheDevice(t *testing.T) {
	w := newWorld(t, 1)
	w.write("secrets/admin", "the-link-key-of-the-pages\n")
	w.configExtra = "secretStores:\n  - {name: lab, folder: secrets, names: [adm*]}\n"
	w.start()
	files := w.network("engineering", "alert")
	secret := func(ref string) string {
		return "apiVersion: setpoint/v1\nkind: Group\nmetadata: {name: secret}\nfor: {selector: role=leaf}\nspec:\n  manage: [/system/aaa]\n  openconfig: {system: {aaa: {authentication: {admin-user: {config: {admin-password: \"" + ref + "\"}}}}}}\n"
	}
	files["secret.yaml"] = secret("secret://lab/root")
	first := w.push(files)
	if s := w.await(first, "setpoint/deploy"); s.State != "error" {
		t.Errorf("the deploy's status is %s: %s", s.State, s.Description)
	}
	out, _ := w.setpoint("devices")
	if !strings.Contains(out, `secret://lab/root: the store "lab" does not let the config repo name it`) {
		t.Errorf("devices says %s", out)
	}
	w.deployed(w.push(map[string]string{"secret.yaml": secret("secret://lab/admin")}))
	w.holds(0, `"the-link-key-of-the-pages"`)
	w.stop()
	w.leaksNothing()
}
