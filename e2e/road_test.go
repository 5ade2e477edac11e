package e2e

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/setpoint-net/setpoint/bus/notify/notifytest"
	"github.com/setpoint-net/setpoint/reconciler/device/sim"
)

func TestAPushConvergesTheFleetAndSaysSo(t *testing.T) {
	w := newWorld(t, 4)
	w.start()
	first := w.push(w.network("engineering", "alert"))
	w.deployed(first)
	for i := range w.fleet {
		w.holds(i, `"engineering"`)
	}
	second := w.push(map[string]string{"network.yaml": networkYAML("operations")})
	w.deployed(second)
	plan, _ := w.forge.Last(second, "setpoint/plan")
	if want := "4 devices, +4 −4 leaves: leaf01, leaf02, leaf03, leaf04"; plan.Description != want {
		t.Errorf("the plan says %q, not %q", plan.Description, want)
	}
	for i, target := range w.fleet {
		if n := target.ChangingSets(); n != 2 {
			t.Errorf("%s saw %d changing Sets for two commits", w.name(i), n)
		}
	}
	if out, code := w.setpoint("status"); code != 0 {
		t.Errorf("status exits with %d: %s", code, out)
	}
	w.stop()
	w.leaksNothing()
}

// TestDefaultsThatADeviceReportsAreNoDrift has one device that tells what was set,
// and one that tells every schema default in use as well: setpoint plans, writes
// and finds the same for both.
func TestDefaultsThatADeviceReportsAreNoDrift(t *testing.T) {
	w := newWorld(t, 2, func(i int, c *sim.Config) { c.Defaults = i == 1 })
	w.start()
	w.deployed(w.push(w.network("engineering", "alert")))
	second := w.push(map[string]string{"network.yaml": networkYAML("operations")})
	w.deployed(second)
	plan, _ := w.forge.Last(second, "setpoint/plan")
	if want := "2 devices, +2 −2 leaves: leaf01, leaf02"; plan.Description != want {
		t.Errorf("the plan says %q, not %q", plan.Description, want)
	}
	for i, target := range w.fleet {
		w.holds(i, `"operations"`)
		if n := target.ChangingSets(); n != 2 {
			t.Errorf("%s saw %d changing Sets for two commits", w.name(i), n)
		}
	}
	if out, code := w.setpoint("status"); code != 0 {
		t.Errorf("status exits with %d: %s", code, out)
	}
	if out, code := w.setpoint("reconcile", "leaf02"); code != 0 || w.fleet[1].ChangingSets() != 2 {
		t.Errorf("another look at leaf02 exits with %d after %d changing Sets: %s", code, w.fleet[1].ChangingSets(), out)
	}
	w.stop()
	w.leaksNothing()
}

// TestThePlansLinkOpensTheDiff follows the link that a status bears.
func TestThePlansLinkOpensTheDiff(t *testing.T) {
	w := newWorld(t, 2)
	addr := freeAddress(t)
	w.configExtra = fmt.Sprintf("publicURL: http://%s\nlisten: %q\nlinkKey: {file: link-key}\n", addr, addr)
	w.start()
	w.deployed(w.push(w.network("engineering", "alert")))
	second := w.push(map[string]string{"network.yaml": networkYAML("operations")})
	w.deployed(second)
	plan, _ := w.forge.Last(second, "setpoint/plan")
	for _, form := range []string{"", "&format=text"} {
		code, body := w.get(plan.TargetURL + form)
		for _, want := range []string{"leaf01", "leaf02", "engineering", "operations"} {
			if code != http.StatusOK || !strings.Contains(body, want) {
				t.Errorf("%s answers %d without %q:\n%s", form, code, want, body)
			}
		}
	}
	if code, _ := w.get(strings.Replace(plan.TargetURL, "?", "?x", 1)); code != http.StatusNotFound {
		t.Errorf("an unsigned link answers %d", code)
	}
	if code, body := w.get("http://" + addr + "/healthz"); code != http.StatusOK {
		t.Errorf("healthz answers %d: %s", code, body)
	}
	w.stop()
	w.leaksNothing()
}

// TestWhatPoliciesSayIsAStatusOfItsOwn warns first and denies then: the forge hears
// of both beside plan and deploy, the commit's page and status of the warning.
func TestWhatPoliciesSayIsAStatusOfItsOwn(t *testing.T) {
	w := newWorld(t, 2)
	addr := freeAddress(t)
	w.configExtra = fmt.Sprintf("publicURL: http://%s\nlisten: %q\nlinkKey: {file: link-key}\n", addr, addr)
	w.start()
	first := w.push(w.network("engineering", "alert"))
	w.deployed(first)
	if s, ok := w.forge.Last(first, "setpoint/policy"); ok {
		t.Errorf("without policies there is a status %s: %s", s.State, s.Description)
	}
	const frames = `package policies

// Frames of 9214 bytes pass everywhere.
#Frames: {
	mode: "warn"
	paths: mtus: "/interfaces/interface/config/mtu"
	device: mtus: [...]
	violations: [for m in device.mtus if m.value != 9214 {path: m.path, message: "\(m.value) is not 9214"}]
}
`
	const found = "network.yaml:12:64 policy Frames: 9000 is not 9214 (on leaf01 and 1 more)"
	second := w.push(map[string]string{"policies/frames.cue": frames})
	w.deployed(second)
	s := w.await(second, "setpoint/policy")
	if s.State != "success" || s.Description != "1 warning: "+found {
		t.Errorf("the policies' status is %s: %s", s.State, s.Description)
	}
	for _, form := range []string{"", "&format=text"} {
		code, body := w.get(s.TargetURL + form)
		for _, want := range []string{"Warnings of policies", "network.yaml:12:64", "9000 is not 9214 (on leaf01 and 1 more)", "policies/frames.cue:4"} {
			if code != http.StatusOK || !strings.Contains(body, want) {
				t.Errorf("%s answers %d without %q:\n%s", form, code, want, body)
			}
		}
	}
	if out, code := w.setpoint("status"); code != 0 || !strings.Contains(out, `, 1 warning of policies: run "setpoint validate" on the commit`) {
		t.Errorf("status exits with %d: %s", code, out)
	}
	third := w.push(map[string]string{"policies/frames.cue": strings.Replace(frames, `"warn"`, `"deny"`, 1)})
	if s := w.await(third, "setpoint/policy"); s.State != "failure" || s.Description != "1 violation: "+found {
		t.Errorf("the policies' status is %s: %s", s.State, s.Description)
	}
	if s := w.await(third, "setpoint/deploy"); s.State != "failure" {
		t.Errorf("the deploy's status is %s: %s", s.State, s.Description)
	}
	w.deployed(w.push(map[string]string{"policies/frames.cue": frames, "network.yaml": strings.Replace(networkYAML("engineering"), "9000", "9214", 1)}))
	w.awaitStatus(w.git(w.clone(), "rev-parse", "HEAD"), "setpoint/policy", func(s notifytest.Status) bool {
		return s.State == "success" && s.Description == "every policy is kept"
	})
}

// TestALiveDiffComparesWithTheDevices reads the devices past the service.
func TestALiveDiffComparesWithTheDevices(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.deployed(w.push(w.network("engineering", "alert")))
	if out, code := w.setpoint("diff", "net", "--live", "-c", "setpoint.yaml"); code != 0 {
		t.Errorf("diff --live exits with %d: %s", code, out)
	}
	w.set(1, vlanName, `"squatters"`)
	out, code := w.setpoint("diff", "net", "--live", "-c", "setpoint.yaml")
	if code != 1 || !strings.Contains(out, "squatters → engineering") || strings.Contains(out, "leaf01") {
		t.Errorf("diff --live exits with %d: %s", code, out)
	}
	files := w.network("engineering", "alert")
	w.write("net/devices.yaml", files["devices.yaml"]+deviceYAML("leaf03", "127.0.0.1:1", "lab"))
	out, code = w.setpoint("diff", "net", "--live", "-c", "setpoint.yaml")
	if code != 2 || !strings.Contains(out, "squatters") || !strings.Contains(out, "error: leaf03: ") {
		t.Errorf("diff --live exits with %d: %s", code, out)
	}
}

func TestDriftIsToldAndHealed(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.deployed(w.push(w.network("engineering", "enforce, enforce: {after: 1s}")))
	w.set(1, vlanName, `"squatters"`)
	if m := w.message(1); !strings.Contains(m, "leaf02") || !strings.Contains(m, "squatters") {
		t.Errorf("the alert does not name device and value: %s", m)
	}
	w.holds(1, `"engineering"`)
	if m := w.message(2); !strings.Contains(m, "leaf02") {
		t.Errorf("the all-clear does not name the device: %s", m)
	}
	if n := w.fleet[0].ChangingSets(); n != 1 {
		t.Errorf("leaf01 was written to %d times; it never drifted", n)
	}
	w.stop()
	w.leaksNothing()
}

func TestDriftIsOnlyToldInModeAlert(t *testing.T) {
	w := newWorld(t, 1)
	w.start()
	w.deployed(w.push(w.network("engineering", "alert")))
	sets := w.fleet[0].Sets()
	w.set(0, vlanName, `"squatters"`)
	w.message(1)
	out, code := w.setpoint("status")
	if code != 1 || !strings.Contains(out, "leaf01") || !strings.Contains(out, "squatters") {
		t.Errorf("status exits with %d and says: %s", code, out)
	}
	w.set(0, vlanName, `"engineering"`)
	if m := w.message(2); !strings.Contains(m, "leaf01") {
		t.Errorf("the all-clear does not name the device: %s", m)
	}
	if n := w.fleet[0].Sets(); n != sets+2 {
		t.Errorf("setpoint wrote %d times to a device in mode alert", n-sets-2)
	}
}

// TestHeadsThatGoBackAndForthAreAllGenerations pushes A, B and A again faster
// than they can be deployed.
func TestHeadsThatGoBackAndForthAreAllGenerations(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	a := w.push(w.network("engineering", "alert"))
	w.awaitStatus(a, "setpoint/plan", func(notifytest.Status) bool { return true })
	b := w.push(map[string]string{"network.yaml": networkYAML("operations")})
	w.awaitStatus(b, "setpoint/plan", func(notifytest.Status) bool { return true })
	w.git(w.clone(), "revert", "--no-edit", "HEAD")
	w.git(w.clone(), "push", "-q", "origin", "HEAD:main")
	c := w.git(w.clone(), "rev-parse", "HEAD")
	w.deployed(c)
	for i := range w.fleet {
		w.holds(i, `"engineering"`)
	}
	w.await(a, "setpoint/deploy")
	w.await(b, "setpoint/deploy")
}

// TestTheSameCommitComesBackAsANewGeneration moves the branch itself back, which
// takes a forced push and the permission for it.
func TestTheSameCommitComesBackAsANewGeneration(t *testing.T) {
	w := newWorld(t, 2)
	t.Setenv("SETPOINT_REPOSITORY_ALLOWFORCEPUSH", "true")
	w.start()
	a := w.push(w.network("engineering", "alert"))
	w.deployed(a)
	b := w.push(map[string]string{"network.yaml": networkYAML("operations")})
	w.awaitStatus(b, "setpoint/plan", func(notifytest.Status) bool { return true })
	w.git(w.clone(), "push", "-q", "--force", "origin", a+":main")
	for i := range w.fleet {
		w.holds(i, `"engineering"`)
	}
	w.awaitState(func(s state) bool { return s.Head.Generation == 3 && s.Rollout.State == "done" })
	w.deployed(a)
	for i, target := range w.fleet {
		if !strings.Contains(string(target.Config()), `"engineering"`) {
			t.Errorf("%s is not on the last head: %s", w.name(i), target.Config())
		}
	}
	w.await(b, "setpoint/deploy")
}

func TestThreeMistakesTouchNothing(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.deployed(w.push(w.network("engineering", "enforce")))
	files := w.network("engineering", "enforce")
	bad := w.push(map[string]string{
		"network.yaml": strings.Replace(files["network.yaml"], "mtu: 9000", "mtu: 99999", 1),
		"devices.yaml": strings.Replace(files["devices.yaml"], "adopt: auto", "adopts: auto", 1),
		"drift.yaml":   strings.Replace(files["drift.yaml"], "mode: enforce", "mode: enforced", 1),
	})
	if s := w.await(bad, "setpoint/plan"); s.State != "failure" || !strings.Contains(s.Description, "3 mistakes") {
		t.Errorf("the plan's status is %s: %s", s.State, s.Description)
	}
	if s := w.await(bad, "setpoint/deploy"); s.State != "failure" {
		t.Errorf("the deploy's status is %s: %s", s.State, s.Description)
	}
	out, code := w.setpoint("validate", "net")
	if code != 1 {
		t.Errorf("validate exits with %d", code)
	}
	for _, place := range []string{"network.yaml:12:", "devices.yaml:5:", "drift.yaml:5:"} {
		if !strings.Contains(out, place) {
			t.Errorf("validate names no %s:\n%s", place, out)
		}
	}
	for i, target := range w.fleet {
		if n := target.ChangingSets(); n != 1 {
			t.Errorf("%s saw %d changing Sets", w.name(i), n)
		}
	}
	w.set(0, vlanName, `"squatters"`)
	w.holds(0, `"engineering"`)
}

// TestAHundredDevicesConverge runs the targets as the README does: in a process of
// their own, reached through the inventory that it writes.
func TestAHundredDevicesConverge(t *testing.T) {
	w := newWorld(t, 0)
	w.startSim(100)
	w.start()
	files := w.network("engineering", "alert")
	files["devices.yaml"] = w.read("sim/inventory.yaml")
	sha := w.push(files)
	w.deployed(sha)
	s, _ := w.forge.Last(sha, "setpoint/deploy")
	if !strings.Contains(s.Description, "100 devices") {
		t.Errorf("the deploy says %q", s.Description)
	}
	if out, code := w.setpoint("devices"); code != 0 || strings.Count(out, " applied ") != 100 {
		t.Errorf("devices exits with %d: %s", code, out)
	}
	w.stop()
	w.leaksNothing()
}

// TestKilledAnywhereItArrives pulls the plug at seeded points between the push and
// the settled fleet: at a log line, in the middle of a request to the forge, or
// just after a device took its Set. Half of the time the push comes while setpoint
// runs, half of the time it stands there when setpoint starts.
func TestKilledAnywhereItArrives(t *testing.T) {
	spans := map[bool]int{true: baseline(t, true), false: baseline(t, false)}
	for seed := range uint64(20) {
		running := seed%2 == 0
		span := spans[running]
		rng := rand.New(rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, seed))))
		// One draw from each tenth of the span, so that all of it is covered.
		point := int(seed/2)*span/10 + rng.IntN(max(span/10, 1)) + 1
		t.Run(fmt.Sprintf("event %d of %d, pushed while running %t", point, span, running), func(t *testing.T) {
			t.Parallel()
			killedAt(t, point, running)
		})
	}
}

// setOff pushes the first intent, before or after setpoint starts, and arms the
// plug n events from the push on; 0 leaves it unarmed.
func (w *world) setOff(running bool, n int) (sha string, before int) {
	w.t.Helper()
	if running {
		w.start()
		w.awaitState(func(state) bool { return true }) // it answers
	}
	before = w.seen()
	if n > 0 {
		w.killAfter(n)
	}
	sha = w.push(w.network("engineering", "alert"))
	if !running {
		w.start()
	}
	return sha, before
}

// baseline counts the events of an undisturbed deploy.
func baseline(t *testing.T, running bool) int {
	w := newWorld(t, 3)
	sha, before := w.setOff(running, 0)
	w.deployed(sha)
	n := w.seen() - before
	w.stop()
	return n
}

func killedAt(t *testing.T, point int, running bool) {
	w := newWorld(t, 3)
	sha, _ := w.setOff(running, point)
	w.awaitEndOr(sha)
	w.disarm() // a deploy may take fewer events than the baseline's
	w.kill()
	w.start()
	w.deployed(sha)
	w.awaitConverged()
	w.stop()
	w.leaksNothing()
	for i, target := range w.fleet {
		if n := target.ChangingSets(); n != 1 {
			t.Errorf("%s saw %d changing Sets for one generation", w.name(i), n)
		}
	}
	for _, name := range []string{"setpoint/plan", "setpoint/deploy"} {
		finals := map[string]bool{}
		all := w.forge.Of(sha, name)
		for _, s := range all {
			if s.Final() {
				finals[s.State+" "+s.Description] = true
			} else if len(finals) > 0 {
				t.Errorf("%s went back to pending", name)
			}
		}
		if len(finals) != 1 {
			t.Errorf("%s had the final states %v", name, finals)
		}
	}
}

// refuses makes every target but the first refuse a path.
func refuses(path string) targetConfig {
	return func(i int, c *sim.Config) {
		if i == 0 {
			c.Refuse = []string{path}
		}
	}
}
