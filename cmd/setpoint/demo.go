package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/bus/notify/notifytest"
	repotemplate "github.com/setpoint-net/setpoint/repo-template"

	"github.com/setpoint-net/setpoint/reconciler/device/sim"
)

// demoPatience is for one step; the whole is over in a fraction of it.
const demoPatience = 20 * time.Second

func newDemo() *cobra.Command {
	var keep bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "the whole road on this machine: push, deploy, change, drift, heal",
		Long: `demo takes the config repo that "setpoint init" writes and starts a simulated gNMI
target for each of its devices, a bare git repository, a listener that takes commit
statuses and chat messages as GitHub and Slack would, and the service, all in this
process and in a temporary folder. Then it pushes, and shows what happens.

It exits with 0 only when every step held. With --keep it stays up after that, and
says what to try by hand, until Ctrl-C.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGHUP) // the terminal was closed
			defer stop()
			dir, err := os.MkdirTemp("", "setpoint-demo-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			s := &show{screen: newScreen(c.OutOrStdout()), dir: dir, keep: keep}
			return s.run(ctx)
		},
	}
	c.Flags().BoolVar(&keep, "keep", false, "stay up, for trying things by hand, until Ctrl-C")
	return c
}

// show is the demo while it runs.
type show struct {
	*screen
	dir  string
	keep bool

	repo  *workRepo
	fleet *sim.Fleet
	names []string // of the fleet's targets, in its order
	cfg   *serverConfig
	log   *os.File

	forge               *notifytest.GitHub
	chat                *notifytest.Chat
	forgeURL, chatURL   string
	pages               string // address of the commits' pages
	toldForge, toldChat int    // how many of each were printed
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
	defer s.log.Close()
	done := make(chan error, 1)
	go func() { done <- runAll(ctx, parts) }()
	err = s.story(ctx)
	if err == nil {
		s.print(fmt.Sprintf("\n%s every step held, in %.1f s\n", s.green("ok:"), time.Since(s.began).Seconds()))
		if s.keep {
			s.stay(ctx)
		}
	}
	interrupted := ctx.Err() != nil
	cancel()
	if ended := <-done; ended != nil && !errors.Is(ended, context.Canceled) {
		err = errors.Join(err, ended)
	}
	if err != nil && !interrupted {
		log, _ := os.ReadFile(s.log.Name())
		s.print(fmt.Sprintf("\n%s\n%s", s.dim("the service's log:"), log))
	}
	return err
}

// stage sets up the parts: repository, listeners, targets, service.
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
	if s.cfg, err = s.config(); err != nil {
		return nil, err
	}
	if s.log, err = os.Create(filepath.Join(s.dir, "service.log")); err != nil {
		return nil, err
	}
	if err := s.simulate(ctx); err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(s.log, nil))
	return map[string]func(context.Context) error{
		"forge": forge.Run, "chat": chat.Run,
		"sim":     func(context.Context) error { return s.fleet.Wait() },
		"service": func(ctx context.Context) error { return serve(ctx, s.cfg, log) },
	}, nil
}

// config writes the server's configuration as a person would, and loads it.
func (s *show) config() (*serverConfig, error) {
	secrets := map[string]string{"status-token": "demo-status-token", "webhook": s.chatURL, "password": demoPassword, "link-key": "the-demo's-own-link-key"}
	for name, v := range secrets {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(v), 0o600); err != nil {
			return nil, err
		}
	}
	file := filepath.Join(s.dir, "setpoint.yaml")
	text := fmt.Sprintf(`stateDir: state
repository: {url: net.git, branch: main, pollInterval: 1s}
credentials:
  - {name: lab, username: admin, password: {file: password}, caFile: sim/ca.pem}
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

// demoPassword is the one that "setpoint sim" asks for unless told otherwise.
const demoPassword = "admin"

// simulate writes the config repo and serves a target for each of its devices, on
// ports that are free: those in the template may be in use by a lab.
func (s *show) simulate(ctx context.Context) error {
	if err := os.CopyFS(s.repo.clone, repotemplate.Files); err != nil {
		return err
	}
	place, err := placed(ctx, s.repo.clone)
	if err != nil {
		return err
	}
	s.names = place.names
	wanted := place.addrs
	place.addrs = make([]string, len(wanted))
	for i := range place.addrs {
		place.addrs[i] = "127.0.0.1:0"
	}
	sims := simulating{dir: filepath.Join(s.dir, "sim"), username: "admin", password: demoPassword}
	if s.fleet, err = sims.start(ctx, place); err != nil {
		return err
	}
	var pairs []string
	for i, old := range wanted {
		pairs = append(pairs, old, s.fleet.Addrs()[i])
	}
	return s.rewrite(strings.NewReplacer(pairs...))
}

// rewrite replaces texts in every YAML file of the clone.
func (s *show) rewrite(r *strings.Replacer) error {
	return filepath.WalkDir(s.repo.clone, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".git":
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(p) != ".yaml":
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		return os.WriteFile(p, []byte(r.Replace(string(text))), 0o644)
	})
}

// freeAddress is a port of this machine that was free a moment ago.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
