package sim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/setpoint-net/setpoint/reconciler/device/sim"
)

var rewrite = flag.Bool("update", false, "rewrite the golden files; for gnmic.txtar GNMIC must name the command")

// gnmicRun is one run of gnmic and what goes on beside it. Of what it prints only
// the JSON counts, and of that not what differs each time.
type gnmicRun struct {
	name  string
	args  string // split at spaces
	fails string // what standard error must say; "" for success
	after []gnmicStep
}

// gnmicStep goes on with a run that stays: once it has printed so many messages in
// all, another gnmic does a Set, or an empty line is typed once it asks. A step
// without either ends the run.
type gnmicStep struct {
	messages int
	set      string
	enter    string // what it asks
}

// What gnmicRuns do builds up: each finds the target as the one before left it.
var gnmicRuns = []gnmicRun{
	{name: "capabilities", args: "capabilities --format json"},
	{name: "get container", args: "get --path /interfaces --encoding json_ietf"},
	{name: "get leaves", args: "get --path /system/config/hostname --path /interfaces/interface[name=*]/config/mtu --encoding json_ietf"},
	{name: "get json", args: "get --path /lldp --encoding json"},
	{name: "get proto", args: "get --path /interfaces/interface[name=Ethernet1] --encoding proto"},
	{name: "get config", args: "get --path /lldp --type config --encoding json_ietf"},
	{name: "get state", args: "get --path /lldp --type state --encoding json_ietf"},
	{name: "get with prefix and target", args: "get --prefix /interfaces --target leaf01 --path /interface[name=Ethernet1]/config/mtu --encoding json_ietf"},
	{name: "get origin", args: "get --path openconfig:/system/config/hostname --encoding json_ietf"},
	{name: "get unknown", args: "get --path /nothing", fails: "InvalidArgument"},
	{name: "get absent", args: "get --path /interfaces/interface[name=Ethernet9]", fails: "NotFound"},
	{name: "get ascii", args: "get --path / --encoding ascii", fails: "Unimplemented"},
	{name: "set update", args: "set --update /interfaces/interface[name=Ethernet3]/config/mtu:::uint:::9000"},
	{name: "set replace", args: `set --replace /interfaces/interface[name=Ethernet1]/config:::json_ietf:::{"mtu":4000}`},
	{name: "set delete", args: "set --delete /interfaces/interface[name=Ethernet2]"},
	{name: "get after the Sets", args: "get --path /interfaces --encoding json_ietf"},
	{name: "set all", args: `set --update /system/config/hostname:::json_ietf:::"leaf02" --replace /lldp/config:::json:::{"hello-timer":5} --delete /interfaces/interface[name=Ethernet3]`},
	{name: "set refused", args: "set --delete /system --update /interfaces/interface[name=Ethernet1]/config/mtu:::uint:::99999", fails: "InvalidArgument"},
	{name: "set union_replace", args: "set --union-replace /:::json_ietf:::{}", fails: "Unimplemented"},
	{name: "get after a refused Set", args: "get --path /system --encoding json_ietf"},
	{name: "subscribe once", args: "subscribe --mode once --path /interfaces --path /lldp --encoding json_ietf"},
	{name: "subscribe poll", args: "subscribe --mode poll --path /lldp --encoding json_ietf", after: []gnmicStep{
		{messages: 1, enter: "select target to poll"},
		{messages: 1, enter: "select subscription to poll"},
		{messages: 2},
	}},
	{name: "subscribe on change", args: "subscribe --mode stream --stream-mode on-change --path /interfaces --encoding json_ietf", after: []gnmicStep{
		{messages: 1, set: "set --update /interfaces/interface[name=Ethernet1]/config/mtu:::uint:::9000"},
		{messages: 2, set: "set --delete /interfaces/interface[name=Ethernet1]/config/mtu"},
		{messages: 3, set: "set --delete /interfaces"},
		{messages: 4},
	}},
	{name: "subscribe on change with heartbeat", args: "subscribe --mode stream --stream-mode on-change --heartbeat-interval 200ms --path /lldp --encoding json_ietf", after: []gnmicStep{{messages: 3}}},
	{name: "subscribe sample", args: "subscribe --mode stream --stream-mode sample --sample-interval 200ms --path /lldp --encoding json_ietf", after: []gnmicStep{{messages: 3}}},
	{name: "subscribe sample, redundant suppressed", args: "subscribe --mode stream --stream-mode sample --sample-interval 200ms --suppress-redundant --path /lldp --encoding json_ietf", after: []gnmicStep{
		{messages: 1, set: `set --update /lldp/config/hello-timer:::json_ietf:::"6"`},
		{messages: 2, set: "set --delete /lldp"},
		{messages: 3},
	}},
	{name: "subscribe target defined", args: "subscribe --mode stream --stream-mode target-defined --path /system --encoding json_ietf", after: []gnmicStep{
		{messages: 1, set: `set --update /system/config/hostname:::json_ietf:::"leaf03"`},
		{messages: 2},
	}},
}

const gnmicInitial = `{
	"openconfig-interfaces:interfaces":{"interface":[
		{"name":"Ethernet1","config":{"name":"Ethernet1","description":"one","mtu":1500}},
		{"name":"Ethernet2","config":{"name":"Ethernet2","mtu":1500}}]},
	"openconfig-lldp:lldp":{"config":{"hello-timer":"30"}},
	"openconfig-system:system":{"config":{"hostname":"leaf01"}}}`

// A client that this project had no hand in finds what it expects. GNMIC names the
// command; "make e2e-gnmic" runs it.
func TestGnmic(t *testing.T) {
	command := os.Getenv("GNMIC")
	if command == "" {
		t.Skip("not run: GNMIC names no gnmic command")
	}
	g := gnmic{t: t, command: command, dir: t.TempDir()}
	g.serve()
	golden := filepath.Join("testdata", "gnmic.txtar")
	want, err := txtar.ParseFile(golden)
	if err != nil && !*rewrite {
		t.Fatal(err)
	}
	got := &txtar.Archive{Comment: []byte("What gnmic prints of a simulated target, run by run (gnmic_test.go), without what differs each time.\n")}
	for i, r := range gnmicRuns {
		out := g.run(r)
		got.Files = append(got.Files, txtar.File{Name: r.name, Data: []byte(out)})
		if *rewrite {
			continue
		}
		if i >= len(want.Files) || want.Files[i].Name != r.name {
			t.Fatalf("%s: not at this place of %s; rewrite it with -update", r.name, golden)
		}
		if diff := cmp.Diff(string(want.Files[i].Data), out); diff != "" {
			t.Errorf("gnmic %s (-want +got):\n%s", r.args, diff)
		}
	}
	if *rewrite {
		if err := os.WriteFile(golden, txtar.Format(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// gnmic is the command and the target that it is pointed at.
type gnmic struct {
	t       *testing.T
	command string
	dir     string
	addr    string
}

// serve starts the target on a port of this machine.
func (g *gnmic) serve() {
	ca, err := sim.LoadOrCreate(g.dir, time.Now())
	if err != nil {
		g.t.Fatal(err)
	}
	server, err := ca.ServerTLS("127.0.0.1")
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	fleet, err := sim.StartFleet(ctx, sim.FleetConfig{
		Devices: 1, TLS: server, Username: "admin", Password: "secret",
		Initial: func(int) []byte { return []byte(gnmicInitial) },
	})
	if err != nil {
		cancel()
		g.t.Fatal(err)
	}
	g.addr = fleet.Addrs()[0]
	g.t.Cleanup(func() {
		cancel()
		if err := fleet.Wait(); err != nil {
			g.t.Error(err)
		}
	})
}

// start runs gnmic until it ends or ctx does.
func (g *gnmic) start(ctx context.Context, args string) *exec.Cmd {
	all := []string{"--address", g.addr, "--username", "admin", "--password", "secret", "--tls-ca", filepath.Join(g.dir, "ca.pem"), "--timeout", "10s"}
	cmd := exec.CommandContext(ctx, g.command, append(all, strings.Fields(args)...)...)
	cmd.Env = []string{"HOME=" + g.dir, "PATH=" + os.Getenv("PATH"), "TERM=dumb"} // no configuration of the user's
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run does a run, and returns its JSON as the golden file has it.
func (g *gnmic) run(r gnmicRun) string {
	ctx, cancel := context.WithTimeout(g.t.Context(), 30*time.Second)
	defer cancel()
	if len(r.after) > 0 {
		return g.runOn(ctx, r)
	}
	var stdout, stderr bytes.Buffer
	cmd := g.start(ctx, r.args)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if failed := err != nil; failed != (r.fails != "") || !strings.Contains(stderr.String(), r.fails) {
		g.t.Errorf("%s: %v, want failure %q\n%s", r.name, err, r.fails, stderr.String())
	}
	return normal(messages(stdout.Bytes()))
}

// runOn does a run that goes on until its last step.
func (g *gnmic) runOn(ctx context.Context, r gnmicRun) string {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := g.start(ctx, r.args)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	out := transcript{from: stdout}
	seen := 0
	for _, step := range r.after {
		out.asks(step.enter)
		if seen = out.until(step.messages); seen < step.messages {
			g.t.Errorf("%s: %d messages, want %d\n%s\n%s", r.name, seen, step.messages, out.text, stderr.String())
			break
		}
		switch {
		case step.enter != "":
			_, err = io.WriteString(stdin, "\n")
		case step.set != "":
			err = g.start(ctx, step.set).Run()
		}
		if err != nil {
			g.t.Errorf("%s: %v", r.name, err)
		}
	}
	cancel()
	out.rest()
	_ = cmd.Wait() // it was interrupted
	all := messages(out.text)
	return normal(all[:min(len(all), r.after[len(r.after)-1].messages)])
}

// transcript is what a command that is still running has printed.
type transcript struct {
	from io.Reader
	text []byte
}

// more reads on; false at the end.
func (t *transcript) more() bool {
	buf := make([]byte, 4096)
	n, err := t.from.Read(buf)
	t.text = append(t.text, buf[:n]...)
	return err == nil
}

// until reads until there are n messages, and says how many there are.
func (t *transcript) until(n int) int {
	for len(messages(t.text)) < n && t.more() {
	}
	return len(messages(t.text))
}

// asks reads until gnmic asks something.
func (t *transcript) asks(what string) {
	for !bytes.Contains(plain(t.text), []byte(what)) && t.more() {
	}
}

func (t *transcript) rest() {
	for t.more() {
	}
}

var escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)

// plain is text without what moves a terminal's cursor and colours it.
func plain(text []byte) []byte { return escapes.ReplaceAll(text, nil) }

// messages are the JSON values in what gnmic printed, one by one; its remarks
// between them are skipped. A value that is not complete yet is none.
func messages(text []byte) []any {
	var out []any
	rest := plain(text)
	for {
		at := bytes.IndexAny(rest, "{[")
		if at < 0 {
			return out
		}
		rest = rest[at:]
		d := json.NewDecoder(bytes.NewReader(rest))
		d.UseNumber()
		var v any
		err := d.Decode(&v)
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF):
			return out
		case err != nil:
			rest = rest[1:]
			continue
		}
		rest = rest[d.InputOffset():]
		if list, ok := v.([]any); ok {
			out = append(out, list...)
		} else {
			out = append(out, v)
		}
	}
}

// normal writes messages without what differs each time.
func normal(all []any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	for _, v := range all {
		if m, ok := v.(map[string]any); ok {
			for _, name := range []string{"source", "subscription-name", "timestamp", "time"} {
				delete(m, name)
			}
			shorten(m)
		}
		_ = e.Encode(v) // decoded from JSON
	}
	return b.String()
}

// shorten keeps the models of Capabilities that a reader knows.
func shorten(m map[string]any) {
	for name, v := range m {
		list, ok := v.([]any)
		if !ok || len(list) < 20 {
			continue
		}
		m[name] = slices.DeleteFunc(list, func(v any) bool {
			b, _ := json.Marshal(v)
			return !bytes.Contains(b, []byte("openconfig-interfaces"))
		})
	}
}

// What gnmic prints is read as it is, also the prompts of a poll and a message
// that is cut in the middle.
func TestGnmicsOutputIsRead(t *testing.T) {
	const once = "{\n  \"source\": \"127.0.0.1:9400\",\n  \"timestamp\": 1795378557398977632,\n  \"updates\": [{\"Path\": \"lldp\", \"values\": {\"lldp\": \"a ] } b\"}}]\n}\n"
	const want = "{\n  \"updates\": [\n    {\n      \"Path\": \"lldp\",\n      \"values\": {\n        \"lldp\": \"a ] } b\"\n      }\n    }\n  ]\n}\n"
	for text, n := range map[string]int{
		"":                 0,
		once:               1,
		once + once:        2,
		"[\n" + once + "]": 1,
		once + once[:60]:   1,
		once[:len(once)-3]: 0,
		once + "\nreceived sync response 'true' from '127.0.0.1:9400'\n\x1b[?25l\x1b[2K\x1b[34m?\x1b[0m select target to poll: \n\x1b[2K\x1b[?25h" + once: 2,
		"see [the log] for more\n" + once: 1,
	} {
		if got := normal(messages([]byte(text))); got != strings.Repeat(want, n) {
			t.Errorf("%q is read as\n%s", text, got)
		}
	}
	out := transcript{from: strings.NewReader(once + "\x1b[34m?\x1b[0m select target to poll: ")}
	out.asks("select target")
	if out.until(1) != 1 || out.until(2) != 1 {
		t.Errorf("%q", out.text)
	}
}
