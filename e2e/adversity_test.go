package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/setpoint-net/setpoint/bus/notify/notifytest"
	"github.com/setpoint-net/setpoint/reconciler/device/sim"
)

// TestBadIntentIsTheIntentsFault pushes one kind of mistake after the other; each
// ends in a status that says where, and none reaches a device.
func TestBadIntentIsTheIntentsFault(t *testing.T) {
	w := newWorld(t, 1)
	w.start()
	good := w.network("engineering", "alert")
	w.deployed(w.push(good))
	for _, c := range []struct{ name, file, text, want string }{
		{"YAML syntax", "network.yaml", "apiVersion: setpoint/v1\nkind: [Group\n", "network.yaml:"},
		{"unknown kind", "extra.yaml", "apiVersion: setpoint/v1\nkind: Grupo\nmetadata: {name: x}\n", "extra.yaml:2:7"},
		{"bad selector", "extra.yaml", "apiVersion: setpoint/v1\nkind: Group\nmetadata: {name: x}\nfor: {selector: 'role in leaf'}\nspec: {priority: 1}\n", "extra.yaml:4:"},
		{"empty selector", "extra.yaml", "apiVersion: setpoint/v1\nkind: Group\nmetadata: {name: x}\nfor: {selector: role=spine}\nspec: {priority: 1}\n", "extra.yaml:4:"},
	} {
		sha := w.push(map[string]string{c.file: c.text})
		if s := w.await(sha, "setpoint/plan"); s.State != "failure" || !strings.Contains(s.Description, c.want) {
			t.Errorf("%s: the plan's status is %s: %s", c.name, s.State, s.Description)
		}
		if s := w.await(sha, "setpoint/deploy"); s.State != "failure" {
			t.Errorf("%s: the deploy's status is %s: %s", c.name, s.State, s.Description)
		}
		restored := good[c.file] // empty: the file goes
		sha = w.push(map[string]string{c.file: restored})
		w.deployed(sha)
	}
	if n := w.fleet[0].ChangingSets(); n != 1 {
		t.Errorf("the device saw %d changing Sets", n)
	}
}

func TestATargetThatRefusesHoldsUpNobody(t *testing.T) {
	w := newWorld(t, 3, refuses("/network-instances"))
	w.start()
	sha := w.push(w.network("engineering", "alert"))
	s := w.await(sha, "setpoint/deploy")
	if s.State != "failure" || !strings.Contains(s.Description, "leaf01") || !strings.Contains(s.Description, "1 of 3") {
		t.Errorf("the deploy's status is %s: %s", s.State, s.Description)
	}
	if string(w.fleet[0].Config()) != "{}" {
		t.Errorf("leaf01 is half applied: %s", w.fleet[0].Config())
	}
	for i := 1; i < 3; i++ {
		w.holds(i, `"engineering"`)
	}
	out, code := w.setpoint("devices", "leaf01")
	if code != 1 || !strings.Contains(out, "held") || !strings.Contains(out, "/network-instances") {
		t.Errorf("devices exits with %d and says: %s", code, out)
	}
}

func TestATargetThatIsDownIsCaughtUpWhenItIsBack(t *testing.T) {
	w := newWorld(t, 2)
	addr := freeAddress(t)
	files := w.network("engineering", "alert")
	files["devices.yaml"] += deviceYAML("leaf03", addr, "lab")
	w.start()
	sha := w.push(files)
	s := w.await(sha, "setpoint/deploy")
	if s.State != "error" || !strings.Contains(s.Description, "leaf03") || !strings.Contains(s.Description, "2/3") {
		t.Errorf("the deploy's status is %s: %s", s.State, s.Description)
	}
	w.holds(0, `"engineering"`)
	serverTLS, err := w.ca.ServerTLS("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	w.addTargetAt(sim.Config{Name: "leaf03", TLS: serverTLS, Username: "admin", Password: "the-device-password"}, addr)
	w.awaitStatus(sha, "setpoint/deploy", func(s notifytest.Status) bool { return s.State == "success" })
	w.holds(2, `"engineering"`)
}

// TestADeviceThatGoesAwayIsMissedAndFoundAgain loses a device after its rollout,
// changes it meanwhile, and gives it back.
func TestADeviceThatGoesAwayIsMissedAndFoundAgain(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.deployed(w.push(w.network("engineering", "enforce")))
	w.unplug[1]()
	w.awaitState(func(s state) bool { return s.Devices["unreachable"] == 1 && s.Devices["applied"] == 1 })
	if out, code := w.setpoint("status"); code != 1 {
		t.Errorf("status exits with %d: %s", code, out)
	}
	w.set(0, vlanName, `"squatters"`)
	w.holds(0, `"engineering"`)
	l, err := net.Listen("tcp", w.addrs[1])
	if err != nil {
		t.Fatal(err)
	}
	w.plug(w.fleet[1], l)
	w.set(1, vlanName, `"squatters"`)
	w.holds(1, `"engineering"`)
	w.awaitState(func(s state) bool { return s.Devices["applied"] == 2 })
	if out, code := w.setpoint("status"); code != 0 {
		t.Errorf("status exits with %d: %s", code, out)
	}
}

func TestWrongSecretsAreNamedAsSuch(t *testing.T) {
	w := newWorld(t, 1)
	stranger, err := sim.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	strange, err := stranger.ServerTLS("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	known, err := w.ca.ServerTLS("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	w.addTarget(sim.Config{Name: "leaf02", TLS: strange, Username: "admin", Password: "the-device-password"})
	w.addTarget(sim.Config{Name: "leaf03", TLS: known, Username: "admin", Password: "another password"})
	w.start()
	sha := w.push(w.network("engineering", "alert"))
	s := w.await(sha, "setpoint/deploy")
	if s.State != "error" || !strings.Contains(s.Description, "1/3") {
		t.Errorf("the deploy's status is %s: %s", s.State, s.Description)
	}
	out, _ := w.setpoint("devices")
	for name, why := range map[string]string{"leaf02": "certificate", "leaf03": "password"} {
		line := lineOf(out, name)
		if !strings.Contains(line, "unreachable") || !strings.Contains(line, why) {
			t.Errorf("devices says of %s: %q", name, line)
		}
	}
	w.holds(0, `"engineering"`)
	for i := 1; i < 3; i++ {
		if string(w.fleet[i].Config()) != "{}" {
			t.Errorf("%s was written to: %s", w.name(i), w.fleet[i].Config())
		}
	}
	w.stop()
	w.leaksNothing()
}

func lineOf(text, prefix string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			return line
		}
	}
	return ""
}

func deviceYAML(name, addr, credentials string) string {
	return fmt.Sprintf("---\napiVersion: setpoint/v1\nkind: Device\nmetadata: {name: %s, labels: {role: leaf}}\nspec: {address: %q, credentials: %s, adopt: auto}\n", name, addr, credentials)
}

// TestAFullStoreLosesNothing pushes a commit whose configs do not fit, then one
// that does.
func TestAFullStoreLosesNothing(t *testing.T) {
	w := newWorld(t, 2)
	w.configExtra = "nats: {maxStore: 1MiB}\n"
	w.start()
	first := w.push(w.network("engineering", "enforce"))
	w.deployed(first)
	big := w.push(map[string]string{"noise.yaml": noiseYAML(6 << 20)})
	for _, name := range []string{"setpoint/plan", "setpoint/deploy"} {
		if s := w.await(big, name); s.State != "error" || !strings.Contains(s.Description, "full") {
			t.Errorf("%s is %s: %s", name, s.State, s.Description)
		}
	}
	w.set(0, vlanName, `"squatters"`)
	w.holds(0, `"engineering"`)
	small := w.push(map[string]string{"noise.yaml": "", "network.yaml": networkYAML("operations")})
	w.deployed(small)
	for i, target := range w.fleet {
		w.holds(i, `"operations"`)
		if strings.Contains(string(target.Config()), "noise") {
			t.Errorf("%s has a part of the commit that did not fit", w.name(i))
		}
	}
}

// noiseYAML is a group whose interface descriptions no compression can shrink
// much: about n bytes of intended config in all, in files that may be pushed.
func noiseYAML(n int) string {
	rng := rand.New(rand.NewPCG(1, 2))
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	var b strings.Builder
	const size = 240
	for doc := 0; b.Len() < min(n, 950<<10); doc++ {
		fmt.Fprintf(&b, "---\napiVersion: setpoint/v1\nkind: Group\nmetadata: {name: noise%d}\nfor: {selector: role=leaf}\nspec:\n  priority: 5\n  openconfig:\n    interfaces:\n      interface:\n", doc)
		for i := range 100 {
			text := make([]byte, size)
			for j := range text {
				text[j] = letters[rng.IntN(len(letters))]
			}
			name := fmt.Sprintf("noise%d-%d", doc, i)
			fmt.Fprintf(&b, "        - {name: %s, config: {name: %s, type: ethernetCsmacd, description: \"${name} %s\"}}\n", name, name, text)
		}
	}
	return b.String()
}

// TestAStoreThatWentBackInTimeIsRebuilt puts yesterday's store under a service
// that has seen today's.
func TestAStoreThatWentBackInTimeIsRebuilt(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.deployed(w.push(w.network("engineering", "alert")))
	w.stop()
	store := filepath.Join(w.dir, "state", "store")
	old := filepath.Join(w.dir, "yesterday")
	if err := os.CopyFS(old, os.DirFS(store)); err != nil {
		t.Fatal(err)
	}
	w.start()
	second := w.push(map[string]string{"network.yaml": networkYAML("operations")})
	w.deployed(second)
	w.stop()
	if err := os.RemoveAll(store); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(store, os.DirFS(old)); err != nil {
		t.Fatal(err)
	}
	w.start()
	s := w.awaitState(func(s state) bool { return s.Rebuilt != "" && s.Rollout.State == "done" })
	if s.Head.Generation < 3 || s.Head.New != second {
		t.Errorf("after the rebuild the head is %+v", s.Head)
	}
	for i, target := range w.fleet {
		if n := target.ChangingSets(); n != 2 {
			t.Errorf("%s saw %d changing Sets; the rebuild needed none", w.name(i), n)
		}
	}
	if kept, err := filepath.Glob(store + ".set-aside-*"); err != nil || len(kept) != 1 {
		t.Errorf("the old store was not kept: %v, %v", kept, err)
	}
	third := w.push(map[string]string{"network.yaml": networkYAML("sales")})
	w.deployed(third)
}

// TestADamagedStoreIsRebuilt overwrites the store's files.
func TestADamagedStoreIsRebuilt(t *testing.T) {
	w := newWorld(t, 1)
	w.start()
	sha := w.push(w.network("engineering", "alert"))
	w.deployed(sha)
	w.stop()
	damaged := 0
	err := filepath.WalkDir(filepath.Join(w.dir, "state", "store"), func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		damaged++
		return os.WriteFile(p, []byte("not a store"), 0o600)
	})
	if err != nil || damaged == 0 {
		t.Fatalf("damaged %d files, %v", damaged, err)
	}
	w.start()
	w.awaitState(func(s state) bool { return s.Rebuilt != "" && s.Rollout.State == "done" })
	if n := w.fleet[0].ChangingSets(); n != 1 {
		t.Errorf("the device saw %d changing Sets", n)
	}
}

func TestARemovedDeviceIsReleasedAndNotWrittenTo(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	files := w.network("engineering", "enforce")
	w.deployed(w.push(files))
	documents := strings.SplitAfter(files["devices.yaml"], "---\n")
	sha := w.push(map[string]string{"devices.yaml": documents[1]})
	w.deployed(sha)
	sets := w.fleet[1].Sets()
	w.set(1, vlanName, `"squatters"`)
	w.set(0, vlanName, `"squatters"`)
	w.holds(0, `"engineering"`)
	if n := w.fleet[1].Sets(); n != sets+1 {
		t.Errorf("leaf02 was written to %d times after its release", n-sets-1)
	}
	if out, code := w.setpoint("devices", "leaf02"); code != 2 {
		t.Errorf("devices still knows leaf02: %s", out)
	}
}

func TestAForcedPushIsRefusedAndTold(t *testing.T) {
	w := newWorld(t, 1)
	w.start()
	first := w.push(w.network("engineering", "alert"))
	w.deployed(first)
	w.deployed(w.push(map[string]string{"network.yaml": networkYAML("operations")}))
	w.git(w.clone(), "checkout", "-q", first)
	w.write("net/network.yaml", networkYAML("rewritten"))
	w.git(w.clone(), "commit", "-q", "-am", "another line of history")
	w.git(w.clone(), "push", "-q", "--force", "origin", "HEAD:main")
	forced := w.git(w.clone(), "rev-parse", "HEAD")
	if s := w.await(forced, "setpoint/deploy"); s.State != "error" || !strings.Contains(s.Description, "force") {
		t.Errorf("the deploy's status is %s: %s", s.State, s.Description)
	}
	if !strings.Contains(string(w.fleet[0].Config()), `"operations"`) {
		t.Errorf("the device followed a refused head: %s", w.fleet[0].Config())
	}
}

// TestAnObservedDeviceIsNeverWrittenTo leaves adopt at its default.
func TestAnObservedDeviceIsNeverWrittenTo(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	files := w.network("engineering", "enforce")
	files["devices.yaml"] = strings.Replace(files["devices.yaml"], ", adopt: auto", "", 1)
	sha := w.push(files)
	s := w.await(sha, "setpoint/deploy")
	if s.State != "error" || !strings.Contains(s.Description, "leaf01") {
		t.Errorf("the deploy's status is %s: %s", s.State, s.Description)
	}
	w.holds(1, `"engineering"`)
	if n := w.fleet[0].Sets(); n != 0 {
		t.Errorf("leaf01 was written to %d times", n)
	}
}
