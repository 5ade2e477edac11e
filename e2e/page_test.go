package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/ygot/ygot"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// page is a document whose shell blocks are run and whose text blocks are what
// they print. The words behind "sh" say where and how:
//
//	sh            in the first terminal
//	sh switches   in a terminal of its own, where the last command stays in the
//	sh service    foreground; the next block for it presses Ctrl-C first
//	sh again      until it prints what it should
//	sh fails      its last command does not exit with 0
//	sh build      not run: the test has built the program
//	sh change     writes to the switch of one's own
//	sh, text sim  for a simulated switch of one's own only
//
// In a text block "…" is anything within a line, and alone any number of lines;
// how long ago something was may differ.
type page struct {
	name  string
	text  string
	steps []step
}

// before returns the steps above a line of the page.
func (p *page) before(heading string) ([]step, bool) {
	above, _, ok := strings.Cut(p.text, "\n"+heading+"\n")
	end := strings.Count(above, "\n") + 1
	var steps []step
	for _, s := range p.steps {
		if s.line <= end {
			steps = append(steps, s)
		}
	}
	return steps, ok
}

// step is one block of commands and what it prints.
type step struct {
	line     int
	words    map[string]bool
	commands string
	text     string
	textSim  bool // the text is a simulated switch's
	told     bool // there is a text
}

func (s step) terminal() string {
	for _, t := range []string{"switches", "service"} {
		if s.words[t] {
			return t
		}
	}
	return ""
}

var block = regexp.MustCompile("(?ms)^```([a-z ]+)\n(.*?)^```$")

func readPage(t *testing.T, name string) *page {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	p := &page{name: filepath.Base(name), text: string(text)}
	for _, m := range block.FindAllStringSubmatchIndex(string(text), -1) {
		info, body := strings.Fields(string(text[m[2]:m[3]])), string(text[m[4]:m[5]])
		line := strings.Count(string(text[:m[0]]), "\n") + 1
		words := map[string]bool{}
		for _, w := range info[1:] {
			words[w] = true
		}
		switch info[0] {
		case "sh":
			p.steps = append(p.steps, step{line: line, words: words, commands: body})
		case "text":
			last := &p.steps[len(p.steps)-1]
			last.text, last.textSim, last.told = body, words["sim"], true
		case "console":
			p.steps = append(p.steps, session(line, body)...)
		}
	}
	return p
}

// session takes a block apart in which commands stand behind "$ ", each above
// what it prints.
func session(line int, body string) []step {
	var steps []step
	for l := range strings.Lines(body) {
		if command, ok := strings.CutPrefix(l, "$ "); ok {
			steps = append(steps, step{line: line, words: map[string]bool{"session": true, "again": true}, commands: command, told: true})
		} else {
			steps[len(steps)-1].text += l
		}
		line++
	}
	for i := range steps {
		if steps[i].text == "" { // it changes something: once
			delete(steps[i].words, "again")
		}
	}
	return steps
}

var elapsed = regexp.MustCompile(`\b\d+s ago\b`)

// matches says whether what was printed is the text.
func matches(text, printed string) bool {
	var b strings.Builder
	b.WriteString(`^`)
	for l := range strings.Lines(text) {
		if strings.TrimSpace(l) == "…" {
			b.WriteString(`(?:.*\n)*?`)
			continue
		}
		parts := strings.Split(strings.TrimSuffix(l, "\n"), "…")
		for i, p := range parts {
			parts[i] = regexp.QuoteMeta(p)
		}
		b.WriteString(elapsed.ReplaceAllString(strings.Join(parts, `.*`), `\S+ ago`) + `\n`)
	}
	b.WriteString(`$`)
	return regexp.MustCompile(b.String()).MatchString(printed)
}

// reader follows a page: a home, three terminals, and maybe a switch.
type reader struct {
	t     *testing.T
	home  string
	first *terminal
	other map[string]*foreground
	ports map[string]string // of the page, to such as are free
	own   ownTarget
}

func newReader(t *testing.T) *reader {
	t.Helper()
	r := &reader{t: t, home: t.TempDir(), other: map[string]*foreground{}, ports: map[string]string{}, own: ownTargetFromEnvironment()}
	root, err := filepath.Abs("..")
	if err == nil {
		err = os.Symlink(root, filepath.Join(r.home, "setpoint")) // its clone
	}
	if err != nil {
		t.Fatal(err)
	}
	r.first = &terminal{t: t, env: []string{"HOME=" + r.home}}
	r.first.open(r.home)
	return r
}

var pagePort = regexp.MustCompile(`\b9[45]\d\d\b`)

// free replaces the page's ports: other tests, and labs, run beside this one.
func (r *reader) free(text string) string {
	return pagePort.ReplaceAllStringFunc(text, func(port string) string {
		if r.ports[port] == "" {
			_, r.ports[port], _ = net.SplitHostPort(freeAddress(r.t))
		}
		return r.ports[port]
	})
}

// freeRepo does so for what "setpoint init" wrote.
func (r *reader) freeRepo() {
	file := filepath.Join(r.home, "first-hour", "net", "inventory", "devices.yaml")
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return
	}
	if err == nil {
		err = os.WriteFile(file, []byte(r.free(string(text))), 0o600)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// follow does one step and holds it to its text.
func (r *reader) follow(p *page, s step) {
	r.t.Helper()
	switch {
	case s.words["build"], s.words["change"] && !r.own.mayWrite():
		return
	case s.words["change"] && s.words["sim"] && r.own.real():
		r.putBack()
		return
	case s.words["sim"] && r.own.real():
		return
	}
	commands, text := r.own.adapt(r.free(s.commands)), r.free(s.text)
	where := fmt.Sprintf("%s:%d", p.name, s.line)
	told := s.told && !(s.textSim && r.own.real())
	if name := s.terminal(); name != "" {
		r.press(name)
		r.other[name] = startForeground(r.t, r.home, commands)
		if !told {
			text = "…\n" // something: it is up
		}
		if !r.other[name].prints(text) {
			r.t.Fatalf("%s: %s prints\n%s", where, commands, r.other[name].text())
		}
		return
	}
	printed := r.first.run(commands)
	deadline := time.Now().Add(patience)
	for s.words["again"] && told && !matches(text, printed) && time.Now().Before(deadline) {
		printed = r.first.run("read -t 0.2 <> <(:); " + commands)
	}
	if told && !matches(text, printed) {
		r.t.Fatalf("%s: printed is\n%s\nand not\n%s", where, printed, text)
	}
	if failed := r.first.status != "0"; !s.words["again"] && failed != s.words["fails"] {
		r.t.Fatalf("%s: exit code %s\n%s", where, r.first.status, printed)
	}
	r.freeRepo()
}

// press is Ctrl-C in one of the other terminals.
func (r *reader) press(name string) {
	r.t.Helper()
	if f := r.other[name]; f != nil {
		f.interrupt()
		delete(r.other, name)
	}
}

func (r *reader) leave() {
	r.t.Helper()
	for name := range r.other {
		r.press(name)
	}
}

// foreground is a terminal in which a command stays.
type foreground struct {
	t       *testing.T
	cmd     *exec.Cmd
	lines   chan string
	printed strings.Builder
}

func startForeground(t *testing.T, home, commands string) *foreground {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(commands), "\n")
	lines[len(lines)-1] = "exec " + lines[len(lines)-1] // so that Ctrl-C reaches it
	f := &foreground{t: t, cmd: exec.Command("bash", "-c", strings.Join(lines, "\n")), lines: make(chan string, 10_000)}
	f.cmd.Dir = home
	f.cmd.Env = []string{"HOME=" + home, "PATH=" + filepath.Dir(binary) + ":" + os.Getenv("PATH"), "LAB_PASSWORD=admin"}
	out, err := f.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	f.cmd.Stderr = f.cmd.Stdout
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(f.lines)
		scan(out, f.lines)
	}()
	t.Cleanup(func() {
		_ = f.cmd.Process.Kill()
		_ = f.cmd.Wait()
	})
	return f
}

// prints waits until what was printed is the text.
func (f *foreground) prints(text string) bool {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case l, ok := <-f.lines:
			if !ok {
				return false
			}
			f.printed.WriteString(l + "\n")
			if matches(text, f.printed.String()) {
				return true
			}
		case <-limit.C:
			return false
		}
	}
}

// scan sends a reader's lines.
func scan(r io.Reader, to chan<- string) {
	for s := bufio.NewScanner(r); s.Scan(); {
		to <- s.Text()
	}
}

func (f *foreground) text() string { return f.printed.String() }

// interrupt is Ctrl-C, after which it has to end by itself, and well.
func (f *foreground) interrupt() {
	f.t.Helper()
	if err := f.cmd.Process.Signal(syscall.SIGINT); err != nil {
		f.t.Error(err)
	}
	for l := range f.lines {
		f.printed.WriteString(l + "\n")
	}
	if err := f.cmd.Wait(); err != nil {
		f.t.Errorf("after Ctrl-C: %v\n%s", err, f.text())
	}
}

// ownTarget is the switch of one's own, as the environment names it.
type ownTarget struct {
	address, username, password, ca, paths, write string
	insecure                                      bool
}

func ownTargetFromEnvironment() ownTarget {
	env := func(name string) string { return os.Getenv("SETPOINT_TARGET" + name) }
	return ownTarget{
		address: env(""), username: env("_USERNAME"), password: env("_PASSWORD"), ca: env("_CA"),
		paths: env("_PATHS"), write: env("_WRITE"), insecure: env("_INSECURE") == "1",
	}
}

func (o ownTarget) real() bool     { return o.address != "" }
func (o ownTarget) mayWrite() bool { return !o.real() || o.write != "" }

var (
	simCredentials = "username: admin, password: {env: SWITCH_PASSWORD}, caFile: ../sim/ca.pem}"
	simChange      = regexp.MustCompile(`sed -i\.bak '[^']*' net/switch01\.yaml`)
	simSwitch      = regexp.MustCompile(`SWITCH=127\.0\.0\.1:\d+ SWITCH_PASSWORD=admin`)
)

// adapt puts the target in the place of the simulated one.
func (o ownTarget) adapt(commands string) string {
	if !o.real() {
		return commands
	}
	credentials := fmt.Sprintf("username: %q, password: {env: SWITCH_PASSWORD}", o.username)
	switch {
	case o.insecure:
		credentials += ", insecure: true"
	case o.ca != "":
		credentials += fmt.Sprintf(", caFile: %q", o.ca)
	}
	commands = strings.Replace(commands, simCredentials, credentials+"}", 1)
	commands = simSwitch.ReplaceAllLiteralString(commands, "SWITCH="+quoted(o.address)+" SWITCH_PASSWORD="+quoted(o.password))
	commands = strings.Replace(commands, "export SWITCH_PASSWORD=admin", "export SWITCH_PASSWORD="+quoted(o.password), 1)
	commands = simChange.ReplaceAllLiteralString(commands, "sed -i.bak "+quoted(o.write)+" net/switch01.yaml")
	return strings.Replace(commands, "import $SWITCH", "import $SWITCH "+o.paths, 1)
}

// putBack undoes the last commit on the target, as a gNMI client that knows
// nothing of setpoint.
func (r *reader) putBack() {
	r.t.Helper()
	var plans map[string]struct {
		Changes []struct {
			Op, Path string
			Old      json.RawMessage
		}
	}
	out := r.first.run("setpoint diff net HEAD~1..HEAD -o json")
	if err := json.Unmarshal([]byte(out), &plans); err != nil || len(plans) != 1 {
		r.t.Fatalf("%v: %s", err, out)
	}
	req := &gnmi.SetRequest{}
	for _, c := range plans["switch01"].Changes {
		p, err := ygot.StringToStructuredPath(c.Path)
		if err != nil {
			r.t.Fatal(err)
		}
		if c.Op == "add" {
			req.Delete = append(req.Delete, p)
			continue
		}
		req.Update = append(req.Update, &gnmi.Update{Path: p, Val: &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: c.Old}}})
	}
	if err := r.own.set(req); err != nil {
		r.t.Fatalf("put back %v: %v", req, err)
	}
}

func (o ownTarget) set(req *gnmi.SetRequest) error {
	secure := credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
	if o.ca != "" {
		var err error
		if secure, err = credentials.NewClientTLSFromFile(o.ca, ""); err != nil {
			return err
		}
	}
	if o.insecure {
		secure = insecure.NewCredentials()
	}
	conn, err := grpc.NewClient(o.address, grpc.WithTransportCredentials(secure))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err = gnmi.NewGNMIClient(conn).Set(metadata.AppendToOutgoingContext(ctx, "username", o.username, "password", o.password), req)
	return err
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// TestTheFirstHour follows docs/first-hour.md word by word.
func TestTheFirstHour(t *testing.T) {
	r := newReader(t)
	p := readPage(t, "../docs/first-hour.md")
	if len(p.steps) < 20 {
		t.Fatalf("%d steps on the page", len(p.steps))
	}
	for _, s := range p.steps {
		r.follow(p, s)
	}
	r.leave()
}

// TestTheReadmesSession types the README's session on the fabric of the first
// hour, once that is deployed.
func TestTheReadmesSession(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	r := newReader(t)
	deployed := "## 4. Change, drift, mistake"
	hour, ok := readPage(t, "../docs/first-hour.md").before(deployed)
	if !ok {
		t.Fatalf("the first hour has no %q", deployed)
	}
	for _, s := range hour {
		r.follow(&page{name: "first-hour.md"}, s)
	}
	shown, typed := regexp.MustCompile("(?s)```console\n(.*?)```").FindSubmatch(text), 0
	if shown == nil || strings.Count(string(shown[1]), "\n") > 10 {
		t.Fatalf("the README's session has not ten lines: %s", shown)
	}
	readme := readPage(t, "../README.md")
	for _, s := range readme.steps {
		if s.words["session"] {
			r.follow(readme, s)
			typed++
		}
	}
	if typed < 5 {
		t.Errorf("%d commands in the README's session", typed)
	}
	r.leave()
}

// TestTheReadmesHundredDevices follows the rest of the README.
func TestTheReadmesHundredDevices(t *testing.T) {
	r := newReader(t)
	r.own = ownTarget{}
	readme := readPage(t, "../README.md")
	typed := 0
	for _, s := range readme.steps {
		if s.words["session"] {
			continue
		}
		s.commands = strings.Replace(s.commands, "--devices 100", "--devices 100 --port 0", 1)
		r.follow(readme, s)
		typed++
	}
	if out := r.first.run("setpoint devices | grep -c ' applied '"); out != "100\n" || typed < 5 {
		t.Errorf("%s devices are applied, after %d steps", out, typed)
	}
	r.leave()
}
