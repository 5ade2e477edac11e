package e2e

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed" // targets.yaml
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/setpoint-net/setpoint/reconciler/device/sim"
)

// targetsYAML is what is known of servers: docs/targets.md says how to read it.
//
//go:embed testdata/targets.yaml
var targetsYAML []byte

// knownServer is a row of the table.
type knownServer struct {
	Server   string            `yaml:"server"`
	Version  string            `yaml:"version"`
	Platform map[string]any    `yaml:"platform"` // spec of its Platform document
	Settings map[string]string `yaml:"settings"` // of the suite, where the server needs other than the usual
	Outcomes map[string]string `yaml:"outcomes"` // by scenario: how its outcome begins
}

func knownServers(t testing.TB) []knownServer {
	t.Helper()
	d := yaml.NewDecoder(bytes.NewReader(targetsYAML))
	d.KnownFields(true)
	var list []knownServer
	if err := d.Decode(&list); err != nil {
		t.Fatal(err)
	}
	return list
}

func rowOf(t testing.TB, server string) (knownServer, bool) {
	t.Helper()
	list := knownServers(t)
	if i := slices.IndexFunc(list, func(k knownServer) bool { return k.Server == server }); i >= 0 {
		return list[i], true
	}
	return knownServer{Server: server}, false
}

// outcome is how a scenario came out.
type outcome struct{ scenario, text string }

// verdict holds outcomes to a row, and says what is wrong. Of a server that is not
// known, everything has to pass.
func verdict(row knownServer, known bool, all []outcome) []string {
	var wrong []string
	seen := map[string]bool{}
	for _, o := range all {
		seen[o.scenario] = true
		want, listed := row.Outcomes[o.scenario]
		switch {
		case !known && !strings.HasPrefix(o.text, "pass"):
			wrong = append(wrong, fmt.Sprintf("%s: %s", o.scenario, o.text))
		case !known:
		case !listed:
			wrong = append(wrong, fmt.Sprintf("%s: %s; the row of %s says nothing of it", o.scenario, o.text, row.Server))
		case strings.HasPrefix(o.text, "FAIL"), !strings.HasPrefix(o.text, want), want == "":
			wrong = append(wrong, fmt.Sprintf("%s: %s; the row of %s says %q", o.scenario, o.text, row.Server, want))
		}
	}
	for _, s := range scenarios {
		if !seen[s.name] {
			wrong = append(wrong, s.name+" was not run")
		}
	}
	return wrong
}

// asRow is a row of the table that would expect what came out.
func asRow(row knownServer, all []outcome) string {
	row.Outcomes = map[string]string{}
	for _, o := range all {
		row.Outcomes[o.scenario] = o.text
	}
	row.Version = cmp.Or(row.Version, "which version, and how to start it, goes to docs/targets.md")
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	_ = e.Encode([]knownServer{row})
	return b.String()
}

// reached is a target that is not ours, and how to log in there.
type reached struct {
	address, username, password string
	ca                          string // PEM file; "": the system's authorities
	insecure                    bool   // plain text
}

// dial connects the suite's own clients to the target.
func (r reached) dial(t testing.TB) gnmi.GNMIClient {
	t.Helper()
	creds := insecure.NewCredentials()
	if !r.insecure {
		config := &tls.Config{MinVersion: tls.VersionTLS12}
		if r.ca != "" {
			pem, err := os.ReadFile(r.ca)
			if err != nil {
				t.Fatal(err)
			}
			if config.RootCAs = x509.NewCertPool(); !config.RootCAs.AppendCertsFromPEM(pem) {
				t.Fatalf("%s holds no certificate", r.ca)
			}
		}
		creds = credentials.NewTLS(config)
	}
	conn, err := grpc.NewClient(r.address, grpc.WithTransportCredentials(creds), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(128<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return gnmi.NewGNMIClient(conn)
}

// TestATargetThatIsNotOurs is "make e2e-target".
func TestATargetThatIsNotOurs(t *testing.T) {
	at := reached{
		address: os.Getenv("TARGET"), username: os.Getenv("TARGET_USER"),
		ca: os.Getenv("TARGET_CA"), insecure: os.Getenv("TARGET_INSECURE") != "",
	}
	if at.address == "" {
		t.Skip("not run: TARGET names no gNMI target; see docs/targets.md")
	}
	if file := os.Getenv("TARGET_PASSWORD_FILE"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		at.password = strings.TrimSpace(string(text))
	}
	row, known := rowOf(t, cmp.Or(os.Getenv("TARGET_SERVER"), "unknown"))
	if !known {
		row.Platform = map[string]any{}
		for knob, value := range map[string]string{"origin": os.Getenv("TARGET_ORIGIN"), "leaves": os.Getenv("TARGET_LEAVES")} {
			if value != "" {
				row.Platform[knob] = value
			}
		}
	}
	all := tryTarget(t, at, row, func(line string) { fmt.Println(line) })
	wrong := verdict(row, known, all)
	for _, w := range wrong {
		t.Error(w)
	}
	if !known || len(wrong) > 0 {
		fmt.Printf("\nThe row that expects this (e2e/testdata/targets.yaml):\n\n%s\n", asRow(row, all))
	}
}

// tryTheSimulator is the suite against the simulator as a server that is not ours, with faults.
func tryTheSimulator(t *testing.T, row knownServer, faults sim.Faults) []outcome {
	t.Helper()
	dir := t.TempDir()
	ca, err := sim.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Save(dir); err != nil {
		t.Fatal(err)
	}
	config, err := ca.ServerTLS("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	target, err := sim.New(sim.Config{Name: "a", TLS: config, Username: "somebody", Password: "else's", Initial: []byte(`{"openconfig-system:system":{"config":{"hostname":"a","motd-banner":"what was here before"}}}`)})
	if err != nil {
		t.Fatal(err)
	}
	if err := target.Break(faults); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = target.Serve(ctx, l) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	before := string(target.Config())
	at := reached{address: l.Addr().String(), username: "somebody", password: "else's", ca: filepath.Join(dir, "ca.pem")}
	all := tryTarget(t, at, row, func(line string) { t.Log(line) })
	if after := string(target.Config()); after != before {
		t.Errorf("the suite left the target as\n%s\nand found it as\n%s", after, before)
	}
	return all
}

// TestTheSimulatorPassesTheSuite keeps the suite itself in order: the simulator has
// a row like any server.
func TestTheSimulatorPassesTheSuite(t *testing.T) {
	row, _ := rowOf(t, "sim")
	for _, w := range verdict(row, true, tryTheSimulator(t, row, sim.Faults{})) {
		t.Error(w)
	}
	for name, want := range row.Outcomes {
		if !strings.HasPrefix(want, "pass") {
			t.Errorf("the simulator's row does not pass %s: %s", name, want)
		}
	}
}

// TestASimulatorWithFaultsIsFoundOut: what a target can't do is a skip with its
// reason, which the row of a server that can does not expect.
func TestASimulatorWithFaultsIsFoundOut(t *testing.T) {
	row, _ := rowOf(t, "sim")
	row.Platform = map[string]any{"origin": "openconfig"}
	all := tryTheSimulator(t, row, sim.Faults{
		GetUnimplemented: true, Origin: "openconfig", Defaults: "report",
		Secrets: "hash", Refuse: []string{"/network-instances"},
	})
	got := strings.Join(verdict(row, true, all), "\n")
	for _, want := range []string{
		"reads: pass: once; the row of sim says",
		"identity: skip: the target refuses /network-instances",
		"secret: pass: hashed; the row of sim says", "defaults: pass: reported; the row of sim says",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "FAIL") {
		t.Error(got)
	}
}

// TestAnOutcomeThatNobodyExpectsFails is the table's own test.
func TestAnOutcomeThatNobodyExpectsFails(t *testing.T) {
	row := knownServer{Server: "box", Outcomes: map[string]string{}}
	var all []outcome
	for _, s := range scenarios {
		row.Outcomes[s.name] = "pass"
		all = append(all, outcome{s.name, "pass: somehow"})
	}
	row.Outcomes["secret"] = "skip: the target refuses"
	with := func(scenario, text string) []outcome {
		out := slices.Clone(all)
		i := slices.IndexFunc(out, func(o outcome) bool { return o.scenario == scenario })
		out[i].text = text
		return out
	}
	expected := with("secret", "skip: the target refuses /system/aaa: NotFound")
	if wrong := verdict(row, true, expected); len(wrong) > 0 {
		t.Errorf("what was expected is wrong: %q", wrong)
	}
	all = expected
	for what, c := range map[string][]outcome{
		"secret: pass":                 with("secret", "pass: hashed"),
		"secret: skip: another reason": with("secret", "skip: another reason"),
		"quiet: skip: no":              with("quiet", "skip: no"),
		"quiet: FAIL: a second Set":    with("quiet", "FAIL: a second Set"),
		"unheard-of: pass; the row of": append(slices.Clone(all), outcome{"unheard-of", "pass"}),
		scenarios[0].name + " was not": all[1:],
	} {
		if wrong := verdict(row, true, c); len(wrong) != 1 || !strings.HasPrefix(wrong[0], what) {
			t.Errorf("%s: %q", what, wrong)
		}
	}
	if wrong := verdict(knownServer{Server: "new"}, false, all); len(wrong) != 1 || !strings.HasPrefix(wrong[0], "secret: skip") {
		t.Errorf("a server that nobody knows: %q", wrong)
	}
	if text := asRow(row, all); !strings.Contains(text, "secret: 'skip: the target refuses /system/aaa: NotFound'") {
		t.Errorf("the row to be added reads\n%s", text)
	}
}
