package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/bus/notify/notifytest"
	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/device"
	"github.com/setpoint-net/setpoint/reconciler/device/sim"
	"github.com/setpoint-net/setpoint/reconciler/plan"
)

//go:embed demo
var demoFiles embed.FS

const (
	demoTargets  = 4
	demoPatience = 20 * time.Second // for one step; the whole is over in a fraction of it
)

func newDemo() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "the whole road on this machine: push, deploy, change, drift, heal",
		Long: `demo starts four simulated gNMI targets, a bare git repository, a listener that takes
commit statuses and chat messages as GitHub and Slack would, and the service, all in
this process and in a temporary folder. Then it pushes, and shows what happens.

It exits with 0 only when every step held.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := os.MkdirTemp("", "setpoint-demo-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			return newShow(c.OutOrStdout(), dir).run(c.Context())
		},
	}
}

// show is the demo while it runs.
type show struct {
	out  io.Writer
	term term
	dir  string
	log  bytes.Buffer // of the service; printed when a step fails

	repo                     *workRepo
	fleet                    *sim.Fleet
	forge                    *notifytest.GitHub
	chat                     *notifytest.Chat
	forgeURL, chatURL, pages string
	toldForge, toldChat      int // how many of each were printed
	began                    time.Time
}

func newShow(out io.Writer, dir string) *show {
	return &show{out: out, term: newTerm(out), dir: dir, began: time.Now()}
}

// run starts everything, tells the story, and ends everything, in this order and
// whatever happens.
func (s *show) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts, err := s.stage(ctx)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- runAll(ctx, parts) }()
	err = s.story(ctx)
	cancel()
	if ended := <-done; ended != nil && !errors.Is(ended, context.Canceled) {
		err = errors.Join(err, ended)
	}
	if err != nil {
		fmt.Fprintf(s.out, "\n%s\n%s", s.term.dim("the service's log:"), s.log.String())
		return err
	}
	fmt.Fprintf(s.out, "\n%s every step held, in %.1f s\n", s.term.green("ok:"), time.Since(s.began).Seconds())
	return nil
}

// stage sets up the parts: targets, repository, listeners, service.
func (s *show) stage(ctx context.Context) (map[string]func(context.Context) error, error) {
	var err error
	if s.repo, err = newWorkRepo(ctx, s.dir); err != nil {
		return nil, err
	}
	s.forge = notifytest.NewGitHub("demo/net", "demo-status-token")
	s.chat = notifytest.NewChat("/hooks/demo")
	forge, err := notifytest.Listen(s.forge)
	if err != nil {
		return nil, err
	}
	chat, err := notifytest.Listen(s.chat)
	if err != nil {
		return nil, err
	}
	s.forgeURL, s.chatURL = forge.URL, chat.URL+s.chat.Path
	if s.pages, err = freeAddress(); err != nil {
		return nil, err
	}
	cfg, err := s.config()
	if err != nil {
		return nil, err
	}
	sims := simulating{devices: demoTargets, host: "127.0.0.1", dir: s.dir, username: "admin", password: "demo-password"}
	if s.fleet, err = sims.start(ctx); err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(&s.log, nil))
	return map[string]func(context.Context) error{
		"forge": forge.Run, "chat": chat.Run,
		"sim":     func(context.Context) error { return s.fleet.Wait() },
		"service": func(ctx context.Context) error { return serve(ctx, cfg, log) },
	}, nil
}

// config writes the server's configuration as a person would, and loads it.
func (s *show) config() (*serverConfig, error) {
	secrets := map[string]string{"status-token": "demo-status-token", "webhook": s.chatURL, "password": "demo-password", "link-key": "the-demo's-own-link-key"}
	for name, v := range secrets {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(v), 0o600); err != nil {
			return nil, err
		}
	}
	file := filepath.Join(s.dir, "setpoint.yaml")
	text := fmt.Sprintf(`stateDir: state
repository: {url: net.git, branch: main, pollInterval: 1s}
credentials:
  - {name: sim, username: admin, password: {file: password}, caFile: ca.pem}
forge: {kind: github, url: %q, repository: demo/net, token: {file: status-token}}
alerts:
  - {name: noc, kind: slack, url: {file: webhook}}
publicURL: "http://%s"
listen: %q
linkKey: {file: link-key}
`, s.forgeURL, s.pages, s.pages)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return loadConfig(file)
}

// freeAddress is a port of this machine that was free a moment ago.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// story is the demo's steps; the first that does not hold ends it.
func (s *show) story(ctx context.Context) error {
	for _, step := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"first deploy", s.firstDeploy},
		{"a commit renames a VLAN", s.changeVLAN},
		{"another client changes a device", s.driftAndHeal},
		{"a commit with a mistake touches nothing", s.mistake},
	} {
		began := time.Now()
		fmt.Fprintf(s.out, "\n%s\n", s.term.bold("── "+step.title+" "+strings.Repeat("─", max(0, 74-len(step.title)))))
		stepCtx, cancel := context.WithTimeout(ctx, demoPatience)
		err := step.do(stepCtx)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
		s.say("%s", s.term.dim(fmt.Sprintf("held, after %.1f s", time.Since(began).Seconds())))
	}
	return nil
}

func (s *show) say(format string, args ...any) { fmt.Fprintf(s.out, "   "+format+"\n", args...) }

func (s *show) firstDeploy(ctx context.Context) error {
	files := map[string]string{"devices.yaml": inventory(s.fleet.Addrs(), "sim")}
	for from, to := range map[string]string{"network.yaml": "network.yaml", "vlans.yaml": "vlans.yaml", "vlans.cue": "kinds/vlans.cue"} {
		b, err := demoFiles.ReadFile("demo/" + from)
		if err != nil {
			return err
		}
		files[to] = string(b)
	}
	sha, err := s.push(ctx, "describe the network", files)
	if err != nil {
		return err
	}
	if err := s.deployed(ctx, sha); err != nil {
		return err
	}
	return s.everywhere(20, "guests")
}

func (s *show) changeVLAN(ctx context.Context) error {
	b, err := demoFiles.ReadFile("demo/vlans.yaml")
	if err != nil {
		return err
	}
	changed := strings.Replace(string(b), "name: guests", "name: visitors", 1)
	if err := s.repo.write(map[string]string{"vlans.yaml": changed}); err != nil {
		return err
	}
	s.say("%s", s.term.dim("$ setpoint diff net leaf01"))
	if err := s.diff(ctx); err != nil {
		return err
	}
	sha, err := s.push(ctx, "rename VLAN 20 to visitors", nil)
	if err != nil {
		return err
	}
	if err := s.deployed(ctx, sha); err != nil {
		return err
	}
	return s.everywhere(20, "visitors")
}

// diff shows what the files on disk change on one device, as "setpoint diff" does.
func (s *show) diff(ctx context.Context) error {
	var b bytes.Buffer
	d := diffing{dir: s.repo.clone, base: "HEAD", form: "tree", names: []string{"leaf01"}}
	err := d.run(ctx, &b, &b, s.term)
	s.quote(b.String())
	switch {
	case err == nil:
		return errors.New("the diff is empty")
	case errors.Is(err, errNo):
		return nil
	}
	return err
}

func (s *show) quote(text string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		fmt.Fprintf(s.out, "     %s\n", strings.TrimRight(line, "\n"))
	}
}

// driftAndHeal changes leaf02 through a gNMI session of its own, then waits for
// the alert, the healing and the all-clear.
func (s *show) driftAndHeal(ctx context.Context) error {
	if err := s.outOfBand(ctx, "visitors", "squatters"); err != nil {
		return err
	}
	s.say("gNMI Set on leaf02 by another client: VLAN 20 is now %q", "squatters")
	err := s.chat.Await(ctx, func(all []notifytest.Post) bool {
		s.tell(nil, all)
		return len(all) >= 2
	})
	if err != nil {
		return fmt.Errorf("alert and all-clear: %w (%s of 2 came)", err, count(len(s.chat.All()), "message"))
	}
	if name := vlanName(s.fleet.Targets()[1].Config(), 20); name != "visitors" {
		return fmt.Errorf("leaf02 has VLAN 20 named %q after the all-clear", name)
	}
	s.say("leaf02 has VLAN 20 named %q again", "visitors")
	return nil
}

// outOfBand replaces a text in leaf02's running config, over gNMI.
func (s *show) outOfBand(ctx context.Context, old, now string) error {
	cred := credentialConfig{Name: "sim", Username: "admin", Password: secretRef{File: "password"}, CAFile: "ca.pem"}
	t, err := cred.target(s.dir)
	if err != nil {
		return err
	}
	dev := models.Device{Name: "leaf02", Address: s.fleet.Addrs()[1], Platform: "openconfig", Credentials: "sim", Manage: []string{"/network-instances"}}
	dt, err := targetOf(dev, map[string]target{"sim": t}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	session, err := device.Dial(ctx, dt)
	if err != nil {
		return err
	}
	defer session.Close()
	running, err := session.Running(ctx)
	if err != nil {
		return err
	}
	changed := bytes.Replace(running.Canonical(), []byte(old), []byte(now), 1)
	wanted, err := tree.Parse(tree.OpenConfig(), changed)
	if err != nil {
		return err
	}
	return session.Apply(ctx, plan.Diff(running, wanted))
}

func (s *show) mistake(ctx context.Context) error {
	before := s.sets()
	b, err := demoFiles.ReadFile("demo/network.yaml")
	if err != nil {
		return err
	}
	sha, err := s.push(ctx, "raise the MTU too far", map[string]string{"network.yaml": strings.Replace(string(b), "mtu: 9000", "mtu: 99999", 1)})
	if err != nil {
		return err
	}
	for _, name := range []string{"setpoint/plan", "setpoint/deploy"} {
		if err := s.status(ctx, sha, name, "failure"); err != nil {
			return err
		}
	}
	if after := s.sets(); after != before {
		return fmt.Errorf("%d Sets went out for a commit with a mistake", after-before)
	}
	s.say("no device was written to; the commit before it stays assigned")
	return nil
}

// sets is how many Sets the targets have seen.
func (s *show) sets() int {
	n := 0
	for _, t := range s.fleet.Targets() {
		n += t.Sets()
	}
	return n
}

func (s *show) push(ctx context.Context, subject string, files map[string]string) (string, error) {
	sha, err := s.repo.push(ctx, subject, files)
	if err != nil {
		return "", err
	}
	s.say("%s %.7s %s", s.term.dim("pushed"), sha, subject)
	return sha, nil
}

// deployed waits for the commit's last word and follows its link.
func (s *show) deployed(ctx context.Context, sha string) error {
	if err := s.status(ctx, sha, "setpoint/plan", "success"); err != nil {
		return err
	}
	if err := s.status(ctx, sha, "setpoint/deploy", "success"); err != nil {
		return err
	}
	return s.follow(ctx, sha)
}

// follow opens the link of the commit's plan, as a person would from the forge,
// and holds it to naming every target.
func (s *show) follow(ctx context.Context, sha string) error {
	plan, _ := s.last(s.forge.All(), sha, "setpoint/plan")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, plan.TargetURL, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("follow the plan's link: %w", err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("follow the plan's link: %s, %w", resp.Status, err)
	}
	for i := range s.fleet.Targets() {
		if !bytes.Contains(page, []byte(simName(i))) {
			return fmt.Errorf("the page behind the plan's link does not name %s", simName(i))
		}
	}
	s.say("the plan's link opens a page of %d kB with the diff of every device", (len(page)+1023)/1024)
	return nil
}

// status waits for a commit's final status, printing what the listener received.
func (s *show) status(ctx context.Context, sha, name, want string) error {
	err := s.forge.Await(ctx, func(all []notifytest.Status) bool {
		s.tell(all, nil)
		last, ok := s.last(all, sha, name)
		return ok && last.Final()
	})
	if err != nil {
		return fmt.Errorf("%s of %.7s: %w", name, sha, err)
	}
	if v := s.forge.Violations(); len(v) > 0 {
		return fmt.Errorf("the forge refused a request: %s", v[0])
	}
	last, _ := s.last(s.forge.All(), sha, name)
	if last.State != want {
		return fmt.Errorf("%s of %.7s is %s (%s), not %s", name, sha, last.State, last.Description, want)
	}
	return nil
}

func (s *show) last(all []notifytest.Status, sha, name string) (notifytest.Status, bool) {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].SHA == sha && all[i].Context == name {
			return all[i], true
		}
	}
	return notifytest.Status{}, false
}

// tell prints what the listener received and was not printed yet.
func (s *show) tell(statuses []notifytest.Status, posts []notifytest.Post) {
	for ; s.toldForge < len(statuses); s.toldForge++ {
		st := statuses[s.toldForge]
		const indent = 26 // of the description, behind arrow, context and state
		lines := wrap(st.Description, 80-indent)
		s.say("%s %-6s %s %s", s.term.dim("forge ◀"), strings.TrimPrefix(st.Context, "setpoint/"), s.state(st.State), lines[0])
		for _, more := range lines[1:] {
			s.say("%*s%s", indent-3, "", more)
		}
	}
	for ; s.toldChat < len(posts); s.toldChat++ {
		s.say("%s", s.term.dim("chat ◀"))
		s.quote(posts[s.toldChat].Plain())
	}
}

func (s *show) state(state string) string {
	padded := fmt.Sprintf("%-7s", state)
	switch state {
	case "success":
		return s.term.green(padded)
	case "pending":
		return s.term.yellow(padded)
	}
	return s.term.red(padded)
}

// everywhere checks the targets themselves: each has the VLAN by this name.
func (s *show) everywhere(id int, name string) error {
	for i, t := range s.fleet.Targets() {
		if got := vlanName(t.Config(), id); got != name {
			return fmt.Errorf("%s has VLAN %d named %q, not %q", simName(i), id, got, name)
		}
	}
	s.say("all %d targets have VLAN %d named %q", demoTargets, id, name)
	return nil
}

// vlanName reads a VLAN's name out of a target's configuration, as plain JSON.
func vlanName(config []byte, id int) string {
	var c struct {
		NI struct {
			Instances []struct {
				VLANs struct {
					VLAN []struct {
						ID     int `json:"vlan-id"`
						Config struct {
							Name string `json:"name"`
						} `json:"config"`
					} `json:"vlan"`
				} `json:"vlans"`
			} `json:"network-instance"`
		} `json:"openconfig-network-instance:network-instances"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return ""
	}
	for _, ni := range c.NI.Instances {
		for _, v := range ni.VLANs.VLAN {
			if v.ID == id {
				return v.Config.Name
			}
		}
	}
	return ""
}
