package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/setpoint-net/setpoint/bus/notify/notifytest"
)

// TestANewDeviceIsWrittenToOnceItsPlanIsApproved: observed, approved, applied;
// then it follows the repo.
func TestANewDeviceIsWrittenToOnceItsPlanIsApproved(t *testing.T) {
	w := newWorld(t, 1)
	w.start()
	files := w.network("engineering", "alert")
	files["devices.yaml"] = strings.Replace(files["devices.yaml"], ", adopt: auto", "", 1)
	first := w.push(files)
	if s := w.await(first, "setpoint/deploy"); s.State != "error" || !strings.Contains(s.Description, "leaf01") {
		t.Errorf("the deploy's status is %s: %s", s.State, s.Description)
	}
	for _, command := range []string{"status", "devices"} {
		if out, code := w.setpoint(command); code != 1 || !strings.Contains(out, "setpoint approve leaf01") {
			t.Errorf("%s exits with %d and says not how to approve: %s", command, code, out)
		}
	}
	out, code := w.setpoint("approve", "leaf01", "--dry-run")
	if code != 0 || !strings.Contains(out, "engineering") {
		t.Errorf("approve --dry-run exits with %d: %s", code, out)
	}
	stale := w.planOf("leaf01")
	w.set(0, "/interfaces/interface[name=Ethernet9]/config/name", `"Ethernet9"`)
	w.untilPlan("leaf01", func(id string) bool { return id != stale })
	if out, code := w.setpoint("approve", "leaf01", "--plan", stale); code != 2 || !strings.Contains(out, "the plan has changed; look again") {
		t.Errorf("approving a plan that moved exits with %d: %s", code, out)
	}
	if n := w.fleet[0].Sets(); n != 1 {
		t.Errorf("leaf01 saw %d Sets; one is the other client's", n)
	}
	if out, code := w.setpoint("approve", "leaf01", "--plan", w.planOf("leaf01")); code != 0 || !strings.Contains(out, fmt.Sprintf("uid %d", os.Getuid())) {
		t.Errorf("approve exits with %d: %s", code, out)
	}
	w.awaitStatus(first, "setpoint/deploy", func(s notifytest.Status) bool { return s.State == "success" })
	w.holds(0, `"engineering"`)
	w.deployed(w.push(map[string]string{"network.yaml": networkYAML("operations")}))
	w.holds(0, `"operations"`)
	if n := w.fleet[0].ChangingSets(); n != 3 {
		t.Errorf("leaf01 saw %d changing Sets", n)
	}
	for _, name := range []string{"leaf01", "leaf99"} {
		if out, code := w.setpoint("approve", name); code != 2 || !strings.Contains(out, "nothing to approve") {
			t.Errorf("approve %s exits with %d: %s", name, code, out)
		}
	}
	w.stop()
	w.leaksNothing()
}

// planOf is the name of the plan that a device awaits approval of; "" for none.
func (w *world) planOf(device string) string {
	w.t.Helper()
	out, code := w.setpoint("approve", device, "--dry-run", "-o", "json")
	if code != 0 {
		return ""
	}
	var all []struct{ Plan string }
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 {
		w.t.Fatalf("%v: %s", err, out)
	}
	return all[0].Plan
}

// untilPlan asks at each event for a device's plan until it is as wanted.
func (w *world) untilPlan(device string, wanted func(string) bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, w.patience)
	defer cancel()
	for {
		next := w.next()
		if id := w.planOf(device); id != "" && wanted(id) {
			return
		}
		select {
		case <-next:
		case <-ctx.Done():
			w.t.Fatalf("the plan of %s stays %q", device, w.planOf(device))
		}
	}
}
