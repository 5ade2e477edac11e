package e2e

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/ygot/ygot"
)

// suite is setpoint at work on a target that is not ours: a config repo that speaks
// of this one device, the relay between them, and a client of the suite's own that
// judges by looking at the target itself.
type suite struct {
	*world
	at     reached
	row    knownServer
	judge  raw
	relay  *relay
	port   string            // the interface that is made, changed and deleted
	areas  map[string]string // by area: why the target does not take it; "" where it does
	before leaves            // what stood at the touched paths at first
	base   map[string]string // the repo's files that describe that
}

const (
	suiteName  = "setpoint-e2e" // of what is made under a name of its own
	byHandText = `"by hand"`

	loginBanner = "/system/config/login-banner"
	motdBanner  = "/system/config/motd-banner"
	dnsSearch   = "/system/dns/config/search"
	suiteUser   = "/system/aaa/authentication/users/user[username=" + suiteName + "]"
	suiteVRF    = "/network-instances/network-instance[name=" + suiteName + "]"
	vrfStatic   = suiteVRF + "/protocols/protocol[identifier=STATIC][name=" + suiteName + "]"
)

// suiteSecret is the password of the user that is made: nobody can know it.
var suiteSecret = "pw-" + rand.Text()

func dnsServer(last string) string { return "/system/dns/servers/server[address=192.0.2." + last + "]" }
func (s *suite) ifc() string       { return "/interfaces/interface[name=" + s.port + "]" }
func (s *suite) v6() string {
	return s.ifc() + "/subinterfaces/subinterface[index=0]/ipv6/addresses/address[ip=2001:db8::e2e]"
}

// area is a part of the configuration that the suite touches.
type area struct {
	name  string
	roots []string          // managed, and restored; nothing else is touched
	reads []string          // what the judge asks for
	first map[string]string // leaves as the first deployment has them, in JSON
}

// touched are the areas. A target that refuses what one of them holds is asked for
// the rest.
func (s *suite) touched() []area {
	return []area{
		{"banner", []string{loginBanner, motdBanner}, []string{"/system/config"}, map[string]string{loginBanner: `"one"`, motdBanner: `"two"`}},
		{"search", []string{dnsSearch}, []string{"/system/dns"}, map[string]string{dnsSearch: `["b.example","a.example"]`}},
		{"servers", []string{dnsServer("53"), dnsServer("54")}, []string{"/system/dns"}, map[string]string{dnsServer("53") + "/config/address": `"192.0.2.53"`}},
		{"interface", []string{s.ifc()}, []string{s.ifc()}, map[string]string{
			s.ifc() + "/config/name": `"` + s.port + `"`, s.ifc() + "/config/type": `"iana-if-type:softwareLoopback"`,
			s.ifc() + "/config/description": `"first"`, s.ifc() + "/config/enabled": `true`,
		}},
		{"ipv6", []string{s.ifc()}, []string{s.ifc()}, map[string]string{
			s.ifc() + "/subinterfaces/subinterface[index=0]/config/index": `0`,
			s.v6() + "/config/ip": `"2001:db8::e2e"`, s.v6() + "/config/prefix-length": `128`,
		}},
		{"vrf", []string{suiteVRF}, []string{suiteVRF}, map[string]string{
			suiteVRF + "/config/name": `"` + suiteName + `"`, suiteVRF + "/config/type": `"openconfig-network-instance-types:L3VRF"`,
			vrfStatic + "/config/identifier": `"openconfig-policy-types:STATIC"`, vrfStatic + "/config/name": `"` + suiteName + `"`,
		}},
		{"user", []string{suiteUser}, []string{"/system/aaa"}, map[string]string{
			suiteUser + "/config/username": `"` + suiteName + `"`, suiteUser + "/config/password": `"` + suiteSecret + `"`,
			suiteUser + "/config/role": `"openconfig-aaa-types:SYSTEM_ROLE_ADMIN"`,
		}},
	}
}

// intent is one state of the config repo.
type intent struct {
	mode                        string // drift mode
	login, motd, search, server string
	description                 string
	quietly                     bool // what equals a default is left out
}

var firstIntent = intent{mode: "alert", login: "one", motd: "two", search: "b.example, a.example", server: "53", description: "first"}

// tryTarget runs every scenario, tells each outcome, and leaves the target as it was.
func tryTarget(t *testing.T, at reached, row knownServer, say func(string)) []outcome {
	t.Helper()
	t.Setenv("SUITE_SECRET_PASSWORD", suiteSecret)
	w := newWorld(t, 0)
	w.patience = 2 * patience
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	t.Cleanup(cancel)
	w.ctx = ctx
	w.configExtra = "resync: 40s\nsecretStores:\n  - {name: suite, envPrefix: SUITE_SECRET_, names: [password]}\n"
	origin, _ := row.Platform["origin"].(string)
	s := &suite{world: w, at: at, row: row, port: cmp.Or(row.Settings["interface"], "Loopback99"), areas: map[string]string{}}
	s.judge = raw{GNMIClient: at.dial(t), login: loggedIn(at.username, at.password), origin: origin, scalar: row.Platform["leaves"] == "scalar"}
	s.relay = &relay{target: s.judge, login: s.judge.login}
	config, err := w.ca.ServerTLS("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	w.addrs = []string{s.relay.serve(t, config)}
	if s.before, err = s.look(); err != nil {
		t.Fatalf("the target can't be read: %v", err)
	}
	t.Cleanup(func() { s.restore(t) })
	s.askForAreas()
	w.start()
	var all []outcome
	for _, sc := range scenarios {
		tr := &trial{TB: t}
		w.t = tr
		o := outcome{sc.name, tr.run(func() string {
			if len(s.roots()) == 0 && sc.name != "reads" {
				tr.Skipf("the target takes nothing of what the suite brings: %s", s.areas["banner"])
			}
			for _, need := range sc.needs {
				if why := s.areas[need]; why != "" {
					tr.Skipf("%s", why)
				}
			}
			return sc.run(s, tr)
		})}
		say(fmt.Sprintf("%-10s %s", o.scenario, o.text))
		all = append(all, o)
	}
	w.t = t
	w.stop()
	return all
}

// look is what stands at the touched paths.
func (s *suite) look() (leaves, error) {
	var reads, roots []string
	for _, a := range s.touched() {
		roots = append(roots, a.roots...)
		for _, r := range a.reads {
			if !slices.Contains(reads, r) {
				reads = append(reads, r)
			}
		}
	}
	out, err := s.judge.read(s.ctx, reads...)
	maps.DeleteFunc(out, func(path, _ string) bool {
		return !slices.ContainsFunc(roots, func(r string) bool { return within(path, r) })
	})
	return out, err
}

func (s *suite) now() leaves {
	s.t.Helper()
	l, err := s.look()
	if err != nil {
		s.t.Fatalf("the judge can't read: %v", err)
	}
	return l
}

// askForAreas tries what the target takes, each area with a Set of the judge's own,
// and takes it back.
func (s *suite) askForAreas() {
	for _, a := range s.touched() {
		if a.name == "ipv6" && s.areas["interface"] != "" {
			s.areas[a.name] = s.areas["interface"]
			continue
		}
		with := maps.Clone(a.first)
		if a.name == "ipv6" {
			maps.Copy(with, s.touched()[3].first)
		}
		err := s.judge.set(s.ctx, nil, with)
		if err != nil {
			s.areas[a.name] = fmt.Sprintf("the target refuses %s: %s", tops(a.roots[0]), clipped(err.Error()))
			continue
		}
		if err := s.putBack(); err != nil {
			s.areas[a.name] = fmt.Sprintf("the target does not let go of %s: %s", a.roots[0], clipped(err.Error()))
		}
	}
}

// tops is the path down to its first list, which every target calls the same.
func tops(path string) string {
	at, _, _ := strings.Cut(path, "[")
	return at
}

// putBack brings the touched paths back to what stood there at first.
func (s *suite) putBack() error {
	now, err := s.look()
	if err != nil || now.against(s.before) == "" {
		return err
	}
	var deletes []string
	for _, a := range s.touched() {
		for _, r := range a.roots {
			if !slices.Contains(deletes, r) && slices.ContainsFunc(slices.Collect(maps.Keys(now)), func(p string) bool { return within(p, r) }) {
				deletes = append(deletes, r)
			}
		}
	}
	back := map[string]string{}
	for path, value := range s.before {
		data, err := json.Marshal(value)
		if err != nil {
			return err
		}
		back[path] = string(data)
		if path == dnsSearch {
			back[path] = `["` + strings.ReplaceAll(value, " ", `","`) + `"]`
		} else if value == "true" || value == "false" || numbered.MatchString(value) && !strings.HasSuffix(path, "/name") {
			back[path] = value
		}
	}
	return s.judge.set(s.ctx, deletes, back)
}

var numbered = regexp.MustCompile(`^[0-9]+$`)

// restore is the end, however it came.
func (s *suite) restore(t *testing.T) {
	if s.proc != nil {
		s.kill()
	}
	if err := s.putBack(); err != nil {
		t.Errorf("the target was not left as it was: %v", err)
		return
	}
	if now, err := s.look(); err != nil || now.against(s.before) != "" {
		t.Errorf("the target was not left as it was: %v %s", err, now.against(s.before))
	}
}

func (s *suite) has(area string) bool { return s.areas[area] == "" }

// roots are the managed paths: those of the areas that the target takes.
func (s *suite) roots() []string {
	var out []string
	for _, a := range s.touched() {
		if s.has(a.name) {
			out = append(out, a.roots...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// platformDocument is the row's, and the line of a Device that names it.
func (s *suite) platformDocument() (doc, line string) {
	if len(s.row.Platform) == 0 {
		return "", ""
	}
	spec, err := json.Marshal(s.row.Platform)
	if err != nil {
		s.t.Fatal(err)
	}
	return "apiVersion: setpoint/v1\nkind: Platform\nmetadata: {name: theirs}\nspec: " + string(spec) + "\n", "  platform: theirs\n"
}

// files are the repo of an intent.
func (s *suite) files(i intent) map[string]string {
	doc, line := s.platformDocument()
	manage, _ := json.Marshal(s.roots())
	return map[string]string{
		"platform.yaml": cmp.Or(doc, "# the target is as setpoint takes targets to be\n"),
		"device.yaml": fmt.Sprintf("apiVersion: setpoint/v1\nkind: Device\nmetadata: {name: target, labels: {role: target}}\nspec:\n  address: %q\n  credentials: lab\n  adopt: auto\n%s  manage: %s\n  openconfig:\n%s",
			s.addrs[0], line, manage, s.openconfig(i)),
		"drift.yaml": "apiVersion: setpoint/v1\nkind: DriftPolicy\nmetadata: {name: all}\nfor: {selector: role=target}\nspec: {mode: " + i.mode + "}\n",
	}
}

// openconfig is the fragment of an intent, as far as the target takes it.
func (s *suite) openconfig(i intent) string {
	var system, interfaces, vrf []string
	if s.has("banner") {
		system = append(system, fmt.Sprintf("config: {login-banner: %q", i.login)+map[bool]string{true: fmt.Sprintf(", motd-banner: %q", i.motd)}[i.motd != ""]+"}")
	}
	var dns []string
	if s.has("search") {
		dns = append(dns, "config: {search: ["+i.search+"]}")
	}
	if s.has("servers") {
		dns = append(dns, fmt.Sprintf("servers: {server: [{address: 192.0.2.%s}]}", i.server))
	}
	if len(dns) > 0 {
		system = append(system, "dns: {"+strings.Join(dns, ", ")+"}")
	}
	if s.has("user") {
		system = append(system, "aaa: {authentication: {users: {user: [{username: "+suiteName+", config: {role: SYSTEM_ROLE_ADMIN, password: \"secret://suite/password\"}}]}}}")
	}
	if s.has("interface") {
		enabled, v6 := ", enabled: true", ""
		if i.quietly {
			enabled = ""
		}
		if s.has("ipv6") {
			v6 = ", subinterfaces: {subinterface: [{index: 0, ipv6: {addresses: {address: [{ip: \"2001:db8::e2e\", config: {prefix-length: 128}}]}}}]}"
		}
		interfaces = append(interfaces, fmt.Sprintf("interface: [{name: %q, config: {type: softwareLoopback, description: %q%s}%s}]", s.port, i.description, enabled, v6))
	}
	if s.has("vrf") {
		vrf = append(vrf, "network-instance: [{name: "+suiteName+", config: {type: L3VRF}, protocols: {protocol: [{identifier: STATIC, name: "+suiteName+"}]}}]")
	}
	var b strings.Builder
	for _, part := range []struct {
		name string
		has  []string
	}{{"system", system}, {"interfaces", interfaces}, {"network-instances", vrf}} {
		if len(part.has) > 0 {
			fmt.Fprintf(&b, "    %s: {%s}\n", part.name, strings.Join(part.has, ", "))
		}
	}
	return cmp.Or(b.String(), "    {}\n")
}

// stood is what the service says of the device.
type stood struct {
	Assignment struct {
		Generation int    `json:"generation"`
		Commit     string `json:"commit"`
	} `json:"assignment"`
	Status struct {
		Applied  int               `json:"applied"`
		State    string            `json:"state"`
		Reason   string            `json:"reason"`
		Next     string            `json:"next"`
		ReadAt   time.Time         `json:"readAt"`
		Rungs    map[string]string `json:"rungs"`
		Guards   string            `json:"guards"`
		Coverage map[string]int    `json:"coverage"`
	} `json:"status"`
}

func (d stood) line() string {
	return fmt.Sprintf("%s: %s; %s", d.Status.State, d.Status.Reason, d.Status.Next)
}

// until asks at each event, and at the latest after a quarter of a second, until
// the device is as wanted.
func (s *suite) until(what string, wanted func(stood) bool) stood {
	s.t.Helper()
	d, ok := s.within(s.patience, wanted)
	if !ok {
		s.t.Fatalf("%s: not within %v; it is %s", what, s.patience, d.line())
	}
	return d
}

func (s *suite) within(patience time.Duration, wanted func(stood) bool) (stood, bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	var last stood
	for {
		next := s.next()
		var all []stood
		if err := s.ask("/v1/devices", &all); err == nil && len(all) == 1 {
			if last = all[0]; wanted(last) {
				return last, true
			}
		}
		select {
		case <-next:
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return last, false
		}
	}
}

// drift is the episode that stands, if one does.
func (s *suite) drift() (summary string, open bool) {
	s.t.Helper()
	var st struct {
		Drift []struct {
			Summary string `json:"summary"`
		} `json:"drift"`
	}
	if err := s.ask("/v1/status", &st); err != nil {
		s.t.Fatal(err)
	}
	if len(st.Drift) == 0 {
		return "", false
	}
	return st.Drift[0].Summary, true
}

// deploy pushes an intent and waits until it is on the device.
func (s *suite) deploy(i intent) stood {
	s.t.Helper()
	return s.arrives(s.push(s.files(i)))
}

// renders holds the suite itself to intent without mistakes.
func (s *suite) renders(sha string) {
	s.t.Helper()
	if p := s.await(sha, "setpoint/plan"); p.State != "success" {
		s.t.Fatalf("the suite's own intent does not render: %s", p.Description)
	}
}

func (s *suite) arrives(sha string) stood {
	s.t.Helper()
	s.renders(sha)
	d := s.until("the deployment", func(d stood) bool {
		return d.Assignment.Commit == sha && (d.Status.State == "applied" && d.Status.Applied == d.Assignment.Generation || d.Status.State == "held")
	})
	if d.Status.State != "applied" {
		s.t.Fatalf("the deployment is %s", d.line())
	}
	return d
}

// sets runs f and returns the Sets that setpoint made meanwhile.
func (s *suite) sets(f func()) []*gnmi.SetRequest {
	before := len(s.relay.made())
	f()
	return s.relay.made()[before:]
}

// oneSet holds f to one Set.
func (s *suite) oneSet(f func()) {
	s.t.Helper()
	if made := s.sets(f); len(made) != 1 {
		s.t.Errorf("%d Sets, want 1", len(made))
	}
}

// shows holds the target to leaves, as the judge sees them. "" is a leaf that has to
// be gone.
func (s *suite) shows(want map[string]string) {
	s.t.Helper()
	now := s.now()
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if now[path] != want[path] {
			s.t.Errorf("the target shows %q at %s, not %q", now[path], path, want[path])
		}
	}
}

// looks has setpoint read the device once more, whole. A device has one look at a
// time: when the second has begun, what the first found out is known.
func (s *suite) looks() stood {
	s.t.Helper()
	for range 2 {
		before := s.relay.readSoFar()
		if out, code := s.setpoint("reconcile", "target"); code != 0 {
			s.t.Fatalf("reconcile: %s", out)
		}
		s.until("a look", func(stood) bool { return s.relay.readSoFar() > before })
	}
	return s.until("the state", func(stood) bool { return true })
}

// byHand is another client's change of the banner.
func (s *suite) byHand(value string) {
	s.t.Helper()
	if err := s.judge.set(s.ctx, nil, map[string]string{loginBanner: value}); err != nil {
		s.t.Fatalf("the judge's own Set: %v", err)
	}
}

// back takes another client's change back, and waits until that is known.
func (s *suite) back() {
	s.t.Helper()
	s.byHand(`"one"`)
	s.until("the end of the drift", func(d stood) bool { _, open := s.drift(); return !open && d.Status.State == "applied" })
}

// strays are paths of setpoint's Sets that it was not to touch.
func (s *suite) strays() []string {
	var out []string
	for _, set := range s.relay.made() {
		paths := slices.Clone(set.GetDelete())
		for _, u := range slices.Concat(set.GetReplace(), set.GetUpdate()) {
			paths = append(paths, u.GetPath())
		}
		for _, p := range paths {
			text, err := ygot.PathToString(&gnmi.Path{Elem: append(slices.Clone(set.GetPrefix().GetElem()), p.GetElem()...)})
			if err != nil || !slices.ContainsFunc(s.roots(), func(r string) bool { return within(text, r) }) {
				out = append(out, text)
			}
		}
	}
	return out
}
