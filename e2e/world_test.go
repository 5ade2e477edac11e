package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/ygot/ygot"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/setpoint-net/setpoint/bus/notify/notifytest"
	"github.com/setpoint-net/setpoint/reconciler/device/sim"
	"github.com/setpoint-net/setpoint/renderer/worker"
)

// patience is the deadline of everything a scenario waits for. It is long,
// because a loaded machine is slow; nothing ever waits it out but a failure.
const patience = 45 * time.Second

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	if worker.Wanted(os.Args) {
		os.Exit(worker.Run(os.Args, os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "setpoint-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "setpoint")
	build := exec.Command("go", "build", "-o", binary, "../cmd/setpoint")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 2
	}
	return m.Run()
}

// world is one network with one setpoint: targets, repository, forge, chat.
type world struct {
	t        testing.TB
	dir      string
	ctx      context.Context
	patience time.Duration
	ca       *sim.CA
	fleet    []*sim.Target
	addrs    []string

	unplug []func() // by target: it is gone from the network

	forge *notifytest.GitHub
	chat  *notifytest.Chat

	configExtra string // appended to the server's configuration

	proc *process

	mu     sync.Mutex
	events int // log lines, forge requests and changes of devices so far
	killAt int // at this event the process is killed; 0: never

	changed chan struct{} // closed at the next event; nil while nobody waits
}

// event counts something that was seen from outside, and pulls the plug if its
// time has come. It is called before the log line is kept, the request answered
// and the change seen by anyone else.
func (w *world) event() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events++
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
	if w.events == w.killAt {
		_ = w.proc.cmd.Process.Kill()
	}
}

// next is closed at the next event.
func (w *world) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	return w.changed
}

// killAfter arms the plug: n events from now.
func (w *world) killAfter(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.killAt = w.events + n
}

// disarm leaves the plug in, whatever happens from now on.
func (w *world) disarm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.killAt = 0
}

func (w *world) seen() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.events
}

// process is a running setpoint.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	mu   sync.Mutex
	log  bytes.Buffer
	err  error
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// targetConfig is what newWorld makes the i-th target of.
type targetConfig func(i int, c *sim.Config)

// newWorld makes a world of n targets named leaf01 and so on.
func newWorld(t testing.TB, n int, adapt ...targetConfig) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), patience: patience}
	if *fleets != "" {
		w.patience = 10 * patience
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*w.patience)
	t.Cleanup(cancel)
	w.ctx = ctx
	var err error
	if w.ca, err = sim.NewCA(time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := w.ca.Save(w.dir); err != nil {
		t.Fatal(err)
	}
	serverTLS, err := w.ca.ServerTLS("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		c := sim.Config{Name: w.name(i), TLS: serverTLS, Username: "admin", Password: "the-device-password"}
		for _, f := range adapt {
			f(i, &c)
		}
		w.addTarget(c)
	}
	w.listen()
	w.git(w.dir, "init", "-q", "--bare", "net.git")
	w.git(filepath.Join(w.dir, "net.git"), "symbolic-ref", "HEAD", "refs/heads/main")
	w.git(w.dir, "clone", "-q", "net.git", "net")
	w.write("setpoint.yaml", "")
	t.Cleanup(func() {
		if w.proc != nil {
			w.kill()
		}
		if t.Failed() && w.proc != nil {
			text := w.proc.text()
			if *fleets != "" {
				text = lastOf(text, 40)
			}
			t.Logf("log of the last process:\n%s", text)
		}
	})
	return w
}

func (w *world) name(i int) string { return fmt.Sprintf("leaf%02d", i+1) }

// freeAddress is an address that nobody listens at.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// addTarget serves one more target until the test ends, on any free port.
func (w *world) addTarget(c sim.Config) {
	w.t.Helper()
	w.addTargetAt(c, "127.0.0.1:0")
}

func (w *world) addTargetAt(c sim.Config, addr string) {
	w.t.Helper()
	target, err := sim.New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.fleet, w.addrs = append(w.fleet, target), append(w.addrs, l.Addr().String())
	w.plug(target, l)
	w.background(func(ctx context.Context) {
		for {
			changed := target.Changed()
			select {
			case <-changed:
				w.event()
			case <-ctx.Done():
				return
			}
		}
	})
}

// plug serves a target until it is unplugged or the test ends.
func (w *world) plug(target *sim.Target, l net.Listener) {
	ctx, cancel := context.WithCancel(w.ctx)
	w.unplug = append(w.unplug, cancel)
	w.background(func(end context.Context) {
		defer context.AfterFunc(end, cancel)()
		_ = target.Serve(ctx, l)
	})
}

// background runs f until the test ends, and waits for it then.
func (w *world) background(f func(context.Context)) {
	ctx, cancel := context.WithCancel(w.ctx)
	var wg sync.WaitGroup
	wg.Go(func() { f(ctx) })
	w.t.Cleanup(func() { cancel(); wg.Wait() })
}

// listen starts the forge and the chat.
func (w *world) listen() {
	w.forge = notifytest.NewGitHub("acme/net", "the-status-token")
	w.chat = notifytest.NewChat("/hooks/the-webhook-secret")
	w.forge.Fail(func(*http.Request) *notifytest.Failure { w.event(); return nil })
	forge, chat := httptest.NewServer(w.forge), httptest.NewServer(w.chat)
	w.t.Cleanup(forge.Close)
	w.t.Cleanup(chat.Close)
	w.write("forge-url", forge.URL)
	for name, secret := range map[string]string{
		"status-token": "the-status-token", "device-password": "the-device-password",
		"webhook": chat.URL + "/hooks/the-webhook-secret", "link-key": "the-link-key-of-the-pages",
	} {
		w.write(name, secret)
	}
}

func (w *world) write(name, text string) {
	w.t.Helper()
	p := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) read(name string) string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

func (w *world) git(dir string, args ...string) string {
	w.t.Helper()
	c := exec.Command("git", args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=e2e", "GIT_AUTHOR_EMAIL=e2e@localhost", "GIT_COMMITTER_NAME=e2e", "GIT_COMMITTER_EMAIL=e2e@localhost")
	out, err := c.CombinedOutput()
	if err != nil {
		w.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (w *world) clone() string { return filepath.Join(w.dir, "net") }

// push writes files (an empty text removes one), commits and pushes, and returns
// the commit.
func (w *world) push(files map[string]string) string {
	w.t.Helper()
	for name, text := range files {
		if text == "" {
			if err := os.Remove(filepath.Join(w.clone(), name)); err != nil {
				w.t.Fatal(err)
			}
			continue
		}
		w.write("net/"+name, text)
	}
	w.git(w.clone(), "add", "-A")
	w.git(w.clone(), "commit", "-q", "--allow-empty", "-m", "intent")
	w.git(w.clone(), "push", "-q", "origin", "HEAD:main")
	return w.git(w.clone(), "rev-parse", "HEAD")
}

// network is the config repo that most scenarios start from: the world's targets,
// one VLAN by this name, and a drift mode.
func (w *world) network(vlan, mode string) map[string]string {
	var devices strings.Builder
	for i, addr := range w.addrs {
		fmt.Fprintf(&devices, "---\napiVersion: setpoint/v1\nkind: Device\nmetadata: {name: %s, labels: {role: leaf}}\nspec: {address: %q, credentials: lab, adopt: auto}\n", w.name(i), addr)
	}
	return map[string]string{
		"devices.yaml": devices.String(),
		"network.yaml": networkYAML(vlan),
		"drift.yaml":   "apiVersion: setpoint/v1\nkind: DriftPolicy\nmetadata: {name: all}\nfor: {selector: role=leaf}\nspec: {mode: " + mode + "}\n",
	}
}

func networkYAML(vlan string) string {
	return `apiVersion: setpoint/v1
kind: Group
metadata: {name: leaves}
for: {selector: role=leaf}
spec:
  priority: 10
  manage: [/interfaces, /network-instances]
  openconfig:
    interfaces:
      interface:
        - name: Ethernet1
          config: {name: Ethernet1, type: ethernetCsmacd, mtu: 9000, description: "${name}"}
    network-instances:
      network-instance:
        - name: default
          config: {name: default, type: DEFAULT_INSTANCE}
          vlans:
            vlan:
              - {vlan-id: 10, config: {vlan-id: 10, name: ` + vlan + `}}
`
}

// start runs setpoint as a process of its own.
func (w *world) start() {
	w.t.Helper()
	w.write("setpoint.yaml", fmt.Sprintf(`stateDir: state
socket: sock
repository: {url: net.git, branch: main, pollInterval: 1s}
credentials:
  - {name: lab, username: admin, password: {file: device-password}, caFile: ca.pem}
  - {name: sim, username: admin, password: {file: device-password}, caFile: ca.pem}
forge: {kind: github, url: %q, repository: acme/net, token: {file: status-token}}
alerts:
  - {name: noc, kind: slack, url: {file: webhook}}
log: {level: debug}
%s`, w.read("forge-url"), w.configExtra))
	p := &process{cmd: exec.Command(binary, "run", "-c", filepath.Join(w.dir, "setpoint.yaml")), done: make(chan struct{})}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	w.proc = p
	err = p.cmd.Start()
	w.mu.Unlock()
	if err != nil {
		w.t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			p.mu.Lock()
			p.log.Write(lines.Bytes())
			p.log.WriteByte('\n')
			p.mu.Unlock()
			w.event()
		}
		p.err = p.cmd.Wait()
	}()
}

// kill ends the process as power loss would: SIGKILL.
func (w *world) kill() {
	_ = w.proc.cmd.Process.Kill()
	<-w.proc.done
}

// stop ends the process as an operator would, and holds it to a clean end.
func (w *world) stop() {
	w.t.Helper()
	if err := w.proc.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		w.t.Fatal(err)
	}
	<-w.proc.done
	if w.proc.err != nil {
		w.t.Fatalf("setpoint run ended with %v\n%s", w.proc.err, w.proc.text())
	}
}

// setpoint runs a command of the program in the world's folder.
func (w *world) setpoint(args ...string) (out string, code int) {
	w.t.Helper()
	c := exec.CommandContext(w.ctx, binary, args...)
	c.Dir = w.dir
	c.Env = append(os.Environ(), "SETPOINT_SOCKET="+filepath.Join(w.dir, "sock"))
	b, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	return string(b), c.ProcessState.ExitCode()
}

// await waits for a commit's final status in a context and returns it.
func (w *world) await(sha, name string) notifytest.Status {
	w.t.Helper()
	return w.awaitStatus(sha, name, func(s notifytest.Status) bool { return s.Final() })
}

// awaitStatus waits until a commit's newest status in a context is as wanted.
func (w *world) awaitStatus(sha, name string, wanted func(notifytest.Status) bool) notifytest.Status {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, w.patience)
	defer cancel()
	err := w.forge.Await(ctx, func([]notifytest.Status) bool {
		last, ok := w.forge.Last(sha, name)
		return ok && wanted(last)
	})
	last, _ := w.forge.Last(sha, name)
	if err != nil {
		w.t.Fatalf("%s of %.7s: %v; last is %+v", name, sha, err, last)
	}
	return last
}

// deployed waits for the commit and holds it to success.
func (w *world) deployed(sha string) {
	w.t.Helper()
	for _, name := range []string{"setpoint/plan", "setpoint/deploy"} {
		if s := w.await(sha, name); s.State != "success" {
			w.t.Fatalf("%s of %.7s is %s: %s", name, sha, s.State, s.Description)
		}
	}
}

// holds waits until the i-th target's config contains the text.
func (w *world) holds(i int, text string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, w.patience)
	defer cancel()
	for {
		changed := w.fleet[i].Changed()
		if bytes.Contains(w.fleet[i].Config(), []byte(text)) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			w.t.Fatalf("%s does not hold %q: %s", w.name(i), text, w.fleet[i].Config())
		}
	}
}

// message waits for the n-th chat message, from 1.
func (w *world) message(n int) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, w.patience)
	defer cancel()
	if err := w.chat.Await(ctx, func(all []notifytest.Post) bool { return len(all) >= n }); err != nil {
		w.t.Fatalf("message %d: %v; %d came", n, err, len(w.chat.All()))
	}
	return w.chat.All()[n-1].Plain()
}

// set is another client: a raw gNMI Set of one JSON value on the i-th target.
func (w *world) set(i int, path, value string) {
	w.t.Helper()
	conn, err := grpc.NewClient(w.addrs[i], grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: w.pool(), MinVersion: tls.VersionTLS12})))
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	p, err := ygot.StringToStructuredPath(path)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.ctx, w.patience)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "username", "admin", "password", "the-device-password")
	_, err = gnmi.NewGNMIClient(conn).Set(ctx, &gnmi.SetRequest{Update: []*gnmi.Update{{
		Path: p, Val: &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: []byte(value)}},
	}}})
	if err != nil {
		w.t.Fatal(err)
	}
}

// pool trusts whoever signed the certificates of the world's targets.
func (w *world) pool() *x509.CertPool {
	w.t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(w.read("ca.pem"))) {
		w.t.Fatal("ca.pem holds no certificate")
	}
	return pool
}

const vlanName = "/network-instances/network-instance[name=default]/vlans/vlan[vlan-id=10]/config/name"

// secrets are in no log, status or message.
func (w *world) leaksNothing() {
	w.t.Helper()
	texts := map[string]string{"log": w.proc.text()}
	for i, s := range w.forge.All() {
		texts[fmt.Sprintf("status %d", i)] = s.Description + s.TargetURL
	}
	for i, m := range w.chat.All() {
		texts[fmt.Sprintf("message %d", i)] = m.Text
	}
	for where, text := range texts {
		for _, secret := range []string{"the-device-password", "the-status-token", "the-webhook-secret", "the-link-key-of-the-pages"} {
			if strings.Contains(text, secret) {
				w.t.Errorf("%s tells %s", where, secret)
			}
		}
	}
	if v := w.forge.Violations(); len(v) > 0 {
		w.t.Errorf("the forge refused %d requests, first: %s", len(v), v[0])
	}
	if v := w.chat.Violations(); len(v) > 0 {
		w.t.Errorf("the chat refused %d requests, first: %s", len(v), v[0])
	}
}
