package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// scenario is one row of docs/targets.md.
type scenario struct {
	name  string
	needs []string                                // areas that the target has to take
	run   func(s *suite, t *trial) (found string) // found: what the table may hold the target to
}

// scenarios are one story: each goes on from where the one before it ended.
var scenarios = []scenario{
	{"reads", nil, (*suite).reads},
	{"imports", nil, (*suite).imports},
	{"deploys", nil, (*suite).deploys},
	{"quiet", nil, (*suite).quiet},
	{"watches", []string{"banner"}, (*suite).watches},
	{"reverted", []string{"banner"}, (*suite).reverted},
	{"observe", []string{"banner"}, (*suite).observe},
	{"alert", []string{"banner"}, (*suite).alert},
	{"enforce", []string{"banner"}, (*suite).enforce},
	{"replaces", []string{"banner", "servers"}, (*suite).replaces},
	{"order", []string{"search"}, (*suite).order},
	{"defaults", []string{"interface"}, (*suite).defaults},
	{"identity", []string{"vrf"}, (*suite).identity},
	{"forms", []string{"ipv6"}, (*suite).forms},
	{"secret", []string{"user"}, (*suite).secret},
	{"refused", []string{"banner"}, (*suite).refused},
	{"atomic", []string{"banner"}, (*suite).atomic},
	{"restart", nil, (*suite).restart},
	{"undo", nil, (*suite).undo},
	{"strays", nil, (*suite).touchesNothingElse},
}

// reads goes to the target itself, past the relay: address, TLS and login as they
// were given.
func (s *suite) reads(t *trial) string {
	args := []string{"probe", s.at.address, "/system", "/interfaces", "-o", "json"}
	if s.at.username != "" {
		t.TB.(interface{ Setenv(string, string) }).Setenv("SUITE_TARGET_PASSWORD", s.at.password)
		args = append(args, "--username", s.at.username, "--password-env", "SUITE_TARGET_PASSWORD")
	}
	if s.at.insecure {
		args = append(args, "--insecure")
	} else if s.at.ca != "" {
		ca, err := filepath.Abs(s.at.ca)
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, "--ca", ca)
	}
	if s.judge.origin != "" {
		args = append(args, "--origin", s.judge.origin)
	}
	out, code := s.setpoint(args...)
	if code != 0 {
		t.Fatalf("probe exits with %d: %s", code, out)
	}
	var a struct {
		Containers []struct{ Name, Read, Error string }
	}
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var rungs []string
	for _, c := range a.Containers {
		if c.Error != "" {
			t.Fatalf("/%s: %s", c.Name, c.Error)
		}
		rungs = append(rungs, c.Read)
	}
	return rungs[0]
}

var adoption = regexp.MustCompile(`(?m)^  (adopt: approve|platform: .*)\n`)

// imports writes down what stands at the managed paths. Deployed, it changes nothing.
func (s *suite) imports(t *trial) string {
	args := append([]string{"import", s.addrs[0]}, s.roots()...)
	args = append(args, "-c", "setpoint.yaml", "--credentials", "lab", "--name", "target")
	if s.judge.origin != "" {
		args = append(args, "--origin", s.judge.origin)
	}
	out, code := s.setpoint(args...)
	if code != 0 {
		t.Fatalf("import exits with %d: %s", code, out)
	}
	at := strings.Index(out, "kind: Device")
	if at < 0 {
		t.Fatalf("import gives no Device: %s", out)
	}
	_, line := s.platformDocument()
	device := adoption.ReplaceAllString("apiVersion: setpoint/v1\n"+out[at:], "")
	device = strings.Replace(device, "metadata: {name: target}", "metadata: {name: target, labels: {role: target}}", 1)
	device = strings.Replace(device, "  name: target\n", "  name: target\n  labels: {role: target}\n", 1)
	device = strings.Replace(device, "spec:\n", "spec:\n  adopt: auto\n"+line, 1)
	if end := strings.Index(device, "\nnote"); end > 0 {
		device = device[:end+1] // told on stderr, behind it
	}
	s.base = s.files(firstIntent)
	s.base["device.yaml"] = device
	if made := s.sets(func() { s.arrives(s.push(s.base)) }); len(made) > 0 {
		t.Errorf("what was imported takes %d Sets", len(made))
	}
	if d := s.now().against(s.before); d != "" {
		t.Errorf("the target has changed: %s", d)
	}
	return ""
}

// deploys brings a small config in one Set, and the target shows it.
func (s *suite) deploys(t *trial) string {
	s.oneSet(func() { s.deploy(firstIntent) })
	want := map[string]string{}
	for _, a := range s.touched() {
		for path, value := range a.first {
			if s.has(a.name) && !strings.HasSuffix(path, "/password") && path != dnsSearch {
				want[path] = normal(strings.Trim(value, `"`))
			}
		}
	}
	s.shows(want)
	return ""
}

// quiet: nothing is done and nothing is told while nothing happens.
func (s *suite) quiet(t *trial) string {
	made := s.sets(func() {
		for range 3 {
			if d := s.looks(); d.Status.State != "applied" {
				t.Errorf("it is %s", d.line())
			}
		}
	})
	if len(made) > 0 {
		t.Errorf("%d Sets more", len(made))
	}
	if summary, open := s.drift(); open {
		t.Errorf("false drift: %s", summary)
	}
	return ""
}

// drifts waits until another client's change is told.
func (s *suite) drifts(t *trial, within time.Duration) (told bool) {
	_, told = s.within(within, func(d stood) bool { _, open := s.drift(); return open })
	if summary, open := s.drift(); open && !strings.Contains(summary, "login-banner") {
		t.Errorf("the drift is told as %q", summary)
	}
	return told
}

// watches: another client's change is known by the stream, well before the resync.
func (s *suite) watches(t *trial) string {
	d := s.looks()
	rung := d.Status.Rungs["watch"]
	s.byHand(byHandText)
	if !s.drifts(t, 20*time.Second) {
		if !s.drifts(t, s.patience) {
			t.Fatalf("the change is not told; it is %s", s.until("the state", func(stood) bool { return true }).line())
		}
		if rung == "" {
			t.Skipf("the target streams no changes; the change was found by the resync")
		}
		t.Skipf("the target takes %s and is silent; the change was found by the resync", rung)
	}
	return rung
}

// reverted: the other client takes it back, and the episode closes.
func (s *suite) reverted(t *trial) string {
	made := s.sets(s.back)
	if len(made) > 0 {
		t.Errorf("setpoint made %d Sets", len(made))
	}
	return ""
}

// untouched: in that mode a change is told, and stays.
func (s *suite) untouched(t *trial, mode string) (messages int) {
	i := firstIntent
	i.mode = mode
	s.deploy(i)
	before := len(s.chat.All())
	made := s.sets(func() {
		s.byHand(byHandText)
		if !s.drifts(t, s.patience) {
			t.Fatalf("the change is not told")
		}
		s.looks()
	})
	if len(made) > 0 {
		t.Errorf("%d Sets in mode %s", len(made), mode)
	}
	s.shows(map[string]string{loginBanner: "by hand"})
	return before
}

func (s *suite) observe(t *trial) string {
	s.untouched(t, "observe")
	s.back()
	return ""
}

func (s *suite) alert(t *trial) string {
	before := s.untouched(t, "alert")
	if text := s.message(before + 1); !strings.Contains(text, "target") || !strings.Contains(text, "login-banner") {
		t.Errorf("the chat is told %q", text)
	}
	s.back()
	return ""
}

// enforce: the change is told, and put back in one Set.
func (s *suite) enforce(t *trial) string {
	i := firstIntent
	i.mode = "enforce"
	s.deploy(i)
	s.oneSet(func() {
		before := len(s.relay.made())
		s.byHand(byHandText)
		s.until("healing", func(d stood) bool {
			_, open := s.drift()
			return len(s.relay.made()) > before && !open && d.Status.State == "applied"
		})
	})
	s.shows(map[string]string{loginBanner: "one"})
	s.deploy(firstIntent)
	return ""
}

// secondIntent is where the story goes on.
var secondIntent = intent{mode: "alert", login: "one", search: "b.example, a.example", server: "54", description: "second"}

// replaces: one entry for another, a value for another, a leaf for none.
func (s *suite) replaces(t *trial) string {
	s.oneSet(func() { s.deploy(secondIntent) })
	want := map[string]string{motdBanner: "", dnsServer("53") + "/config/address": "", dnsServer("54") + "/config/address": "192.0.2.54"}
	if s.has("interface") {
		want[s.ifc()+"/config/description"] = "second"
	}
	s.shows(want)
	return ""
}

// order: a list that its users order is in their order.
func (s *suite) order(t *trial) string {
	s.deploy(secondIntent)
	s.shows(map[string]string{dnsSearch: "b.example a.example"})
	i := secondIntent
	i.search = "a.example, b.example"
	s.oneSet(func() { s.deploy(i) })
	s.shows(map[string]string{dnsSearch: "a.example b.example"})
	return ""
}

// thirdIntent leaves out what equals its default.
var thirdIntent = intent{mode: "alert", login: "one", search: "a.example, b.example", server: "54", description: "second", quietly: true}

// defaults: a value that equals its default is the same whether it is said or not.
func (s *suite) defaults(t *trial) string {
	i := thirdIntent
	i.quietly = false
	s.deploy(i)
	if made := s.sets(func() { s.deploy(thirdIntent); s.looks() }); len(made) > 0 {
		t.Errorf("%d Sets to leave out what equals its default", len(made))
	}
	asked := map[string]string{}
	for _, a := range s.touched() {
		maps.Copy(asked, a.first)
	}
	for path := range s.now() {
		if _, ok := asked[path]; !ok && within(path, s.ifc()) {
			return "reported" // nobody asked for it
		}
	}
	return "hidden"
}

// identity: identities as values and as keys, whatever module stands before them.
func (s *suite) identity(t *trial) string {
	s.shows(map[string]string{suiteVRF + "/config/type": "L3VRF", vrfStatic + "/config/identifier": "STATIC"})
	return s.calm(t)
}

// forms: an address in whatever form the target shows it.
func (s *suite) forms(t *trial) string {
	s.shows(map[string]string{s.v6() + "/config/ip": "2001:db8::e2e", s.v6() + "/config/prefix-length": "128"})
	return s.calm(t)
}

// calm: what setpoint reads is what it wants.
func (s *suite) calm(t *trial) string {
	if d := s.looks(); d.Status.State != "applied" {
		t.Errorf("it is %s", d.line())
	}
	if summary, open := s.drift(); open {
		t.Errorf("false drift: %s", summary)
	}
	return ""
}

// secret: however the target shows it, it is no drift, and nobody is told it.
func (s *suite) secret(t *trial) string {
	s.calm(t)
	shown := "hidden"
	if v, ok := s.now()[suiteUser+"/config/password"]; ok {
		if shown = "hashed"; v == suiteSecret {
			shown = "clear"
		}
	}
	texts := map[string]string{"the log": s.proc.text()}
	for _, command := range []string{"devices", "drift", "status", "events"} {
		texts[command], _ = s.setpoint(command)
	}
	for what, text := range texts {
		if strings.Contains(text, suiteSecret) {
			t.Errorf("%s tells the secret", what)
		}
	}
	return shown
}

// poisoned deploys a change that the target is to refuse, for what the relay adds
// to it: a path that no target has. It ends with the target as it was.
func (s *suite) poisoned(t *trial) (held stood, now leaves) {
	poison, err := s.judge.update("/system/config/no-such-leaf", `"x"`)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.judge.set(s.ctx, nil, map[string]string{"/system/config/no-such-leaf": `"x"`}); err == nil {
		t.Skipf("the target says OK to a path that it does not have")
	}
	i := thirdIntent
	i.login = "refused"
	s.relay.poisons(poison)
	defer s.relay.poisons(nil)
	sha := s.push(s.files(i))
	held = s.until("the refusal", func(d stood) bool {
		return d.Assignment.Commit == sha && d.Status.State == "held"
	})
	return held, s.now()
}

// refused: it is held with the target's own words, and sent again once a person says
// so.
func (s *suite) refused(t *trial) string {
	s.deploy(thirdIntent)
	made := s.sets(func() {
		held, _ := s.poisoned(t)
		if !strings.Contains(held.Status.Reason, "refused") || held.Status.Next == "" {
			t.Errorf("it says too little: %s", held.line())
		}
		s.looks()
	})
	if len(made) != 1 {
		t.Errorf("%d Sets of what was refused", len(made))
	}
	if out, code := s.setpoint("retry", "target"); code != 0 {
		t.Fatalf("retry: %s", out)
	}
	s.until("the retry", func(d stood) bool { return d.Status.State == "applied" && d.Status.Applied == d.Assignment.Generation })
	s.shows(map[string]string{loginBanner: "refused"})
	return ""
}

// atomic: of a Set that was refused nothing is on the target. Where something is,
// setpoint has to say so.
func (s *suite) atomic(t *trial) string {
	s.deploy(thirdIntent)
	held, now := s.poisoned(t)
	defer func() { s.deploy(thirdIntent) }()
	if now[loginBanner] == "one" {
		if strings.Contains(held.Status.Reason, "in part") {
			t.Errorf("nothing was applied, and it says %s", held.line())
		}
		return ""
	}
	if !strings.Contains(held.Status.Reason, "in part") {
		t.Errorf("a part was applied, and it says %s", held.line())
	}
	t.Skipf("the target applies a part of a Set that it refuses")
	return ""
}

// restart: a setpoint that begins anew reads, and writes nothing.
func (s *suite) restart(t *trial) string {
	made := s.sets(func() {
		s.stop()
		s.start()
		s.until("the restart", func(d stood) bool { return d.Status.State == "applied" && len(d.Status.Rungs) > 0 })
		s.looks()
	})
	if len(made) > 0 {
		t.Errorf("%d Sets after a restart", len(made))
	}
	return ""
}

// allowCommand is what a guard says would let a plan go.
var allowCommand = regexp.MustCompile(`setpoint approve (\S+) --allow ([a-z,-]+)`)

// undo: what was imported at first is deployed, and the target is as it was. Where
// that deletes most of what is managed, a guard asks a person.
func (s *suite) undo(t *trial) string {
	if s.base == nil {
		t.Fatalf("nothing was imported")
	}
	sha := s.push(s.base)
	s.renders(sha)
	allowed := map[string]bool{}
	s.until("the undoing", func(d stood) bool {
		if d.Assignment.Commit == sha && d.Status.State == "applied" && d.Status.Applied == d.Assignment.Generation {
			return true
		}
		text, _ := s.setpoint("status")
		for _, m := range allowCommand.FindAllStringSubmatch(text+d.line(), -1) {
			if !allowed[m[0]] {
				allowed[m[0]] = true
				if out, code := s.setpoint("approve", m[1], "--allow", m[2]); code != 0 {
					t.Fatalf("%s: %s", m[0], out)
				}
			}
		}
		return false
	})
	if diff := s.now().against(s.before); diff != "" {
		t.Errorf("the target is not what it was: %s", diff)
	}
	return ""
}

// touchesNothingElse holds all Sets of the story to the managed paths.
func (s *suite) touchesNothingElse(t *trial) string {
	if out := s.strays(); len(out) > 0 {
		t.Errorf("setpoint's Sets touch %s", fmt.Sprintf("%q", out))
	}
	return ""
}
