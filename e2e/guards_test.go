package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/setpoint-net/setpoint/bus/notify/notifytest"
)

// folder is one Device document for each of the world's targets, in a folder.
func (w *world) folder(name string) map[string]string {
	files := map[string]string{}
	docs := strings.Split(w.network("", "alert")["devices.yaml"], "---\n")[1:]
	for i, doc := range docs {
		files[fmt.Sprintf("%s/%s.yaml", name, w.name(i))] = doc
	}
	return files
}

// TestACommitThatTakesTooMuchFromTheFleetWaitsForAPerson: a commit that takes
// configuration from every device, and one that misses a folder of devices. Nothing
// is written, assigned or released, also not by a restart, until a person allows that
// commit, and no other.
func TestACommitThatTakesTooMuchFromTheFleetWaitsForAPerson(t *testing.T) {
	w := newWorld(t, 4)
	w.start()
	files := w.folder("devices")
	files["network.yaml"] = vlans(9)
	files["drift.yaml"] = w.network("base", "alert")["drift.yaml"]
	w.deployed(w.push(files))

	w.held(w.push(map[string]string{"network.yaml": vlans(1)}), "held: 4 of 4 devices lose configuration; setpoint approve 2 --allow mass-delete")
	w.untouched(1)
	out, code := w.setpoint("status")
	if code != 1 || !strings.Contains(out, "mass-delete: 4 of 4 devices lose configuration: leaf01, leaf02, leaf03 and 1 more") ||
		!strings.Contains(out, "look at the commit, then: setpoint approve 2 --allow mass-delete") {
		t.Errorf("status exits with %d: %s", code, out)
	}
	w.git(w.clone(), "revert", "--no-edit", "HEAD")
	w.deployed(w.push(nil))
	w.untouched(1)
	if out, code := w.setpoint("approve", "2", "--allow", "mass-delete"); code != 2 || !strings.Contains(out, "nothing to approve: superseded by generation 3") {
		t.Errorf("approving what was superseded exits with %d: %s", code, out)
	}

	// Once it is allowed no device asks again: what it loses is the commit's own doing.
	sha := w.push(map[string]string{"network.yaml": vlans(1)})
	w.held(sha, "held: 4 of 4 devices lose configuration; setpoint approve 4 --allow mass-delete")
	if out, code := w.setpoint("approve", "4", "--allow", "mass-delete"); code != 0 {
		t.Errorf("approve exits with %d: %s", code, out)
	}
	if out, code := w.setpoint("status", "--wait", sha, "--timeout", "30s"); code != 0 || !strings.Contains(out, "done, allowed by ") {
		t.Errorf("status --wait exits with %d: %s", code, out)
	}
	w.awaitStatus(sha, "setpoint/deploy", func(s notifytest.Status) bool { return s.State == "success" })
	w.untouched(2)

	gone := map[string]string{}
	for _, name := range []string{"leaf02", "leaf03", "leaf04"} {
		gone["devices/"+name+".yaml"] = ""
	}
	sha = w.push(gone)
	w.held(sha, "held: 3 of 4 devices are gone from the repository; setpoint approve 5 --allow mass-release")
	w.untouched(2)
	w.kill()
	w.start()
	w.awaitState(func(s state) bool { return s.Rollout.State == "held" && s.Devices["applied"] == 4 })
	w.untouched(2)

	for _, wrong := range []struct {
		args []string
		says string
	}{
		{[]string{"5"}, "a guard forbids this plan: guard mass-release: 3 of 4 devices are gone from the repository"},
		{[]string{"5", "--allow", "mass-delete"}, `guard "mass-delete" does not hold it, but mass-release`},
		{[]string{"5", "--allow", "mass-release", "--plan", "0123456789ab"}, "the plan has changed; look again"},
		{[]string{"9", "--allow", "mass-release"}, "no such device, and no such generation is held"},
		{[]string{"4444444", "--allow", "mass-release"}, "no such device, and no such generation is held"},
	} {
		if out, code := w.setpoint(append([]string{"approve"}, wrong.args...)...); code != 2 || !strings.Contains(out, wrong.says) || !strings.Contains(out, "hint:") {
			t.Errorf("approve %v exits with %d: %s", wrong.args, code, out)
		}
	}
	if out, code := w.setpoint("approve", sha[:9], "--dry-run"); code != 0 || !strings.Contains(out, "leaf04") {
		t.Errorf("approve --dry-run exits with %d: %s", code, out)
	}
	w.untouched(2)
	if out, code := w.setpoint("approve", "5", "--allow", "mass-release"); code != 0 || !strings.Contains(out, "generation 5: approved plan") || !strings.Contains(out, "mass-release allowed, as ") || !strings.Contains(out, fmt.Sprintf("uid %d", os.Getuid())) {
		t.Errorf("approve exits with %d: %s", code, out)
	}
	w.awaitStatus(sha, "setpoint/deploy", func(s notifytest.Status) bool { return s.State == "success" })
	w.awaitState(func(s state) bool { return len(s.Devices) == 1 && s.Devices["applied"] == 1 })
	w.stop()
	w.leaksNothing()
}

// held waits for the commit's deploy status and holds it to a failure that says so.
func (w *world) held(sha, description string) {
	w.t.Helper()
	if s := w.await(sha, "setpoint/deploy"); s.State != "failure" || s.Description != description {
		w.t.Errorf("the deploy's status is %s: %s", s.State, s.Description)
	}
}

// untouched holds every target to so many changing Sets in all, and to being assigned
// and applied still.
func (w *world) untouched(sets int) {
	w.t.Helper()
	for i, target := range w.fleet {
		if n := target.ChangingSets(); n != sets {
			w.t.Errorf("%s saw %d changing Sets", w.name(i), n)
		}
	}
	var devices []struct {
		Assignment struct{ Generation int }
		Status     struct{ State string }
	}
	if err := w.ask("/v1/devices", &devices); err != nil || len(devices) != len(w.fleet) {
		w.t.Errorf("%d devices are assigned: %v", len(devices), err)
	}
	for _, d := range devices {
		if d.Status.State != "applied" {
			w.t.Errorf("a device is %s, of generation %d", d.Status.State, d.Assignment.Generation)
		}
	}
}
