package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/bus/notify"
	"github.com/setpoint-net/setpoint/gitwatch"
	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler"
	"github.com/setpoint-net/setpoint/reconciler/device"
	"github.com/setpoint-net/setpoint/reconciler/rollout"
	"github.com/setpoint-net/setpoint/renderer"
	"github.com/setpoint-net/setpoint/renderer/stage"
	"github.com/setpoint-net/setpoint/renderer/worker"
)

func newRun() *cobra.Command {
	var file string
	var only bool
	c := &cobra.Command{
		Use:   "run --config FILE",
		Short: "run the service: watch, render, apply, notice drift, tell",
		Long: `run is the service: it watches the config repo, renders each commit, brings every
device to it, notices drift, and tells forge and chat, until it is interrupted.

With --check it only says whether it could start: 0 if every key of the
configuration is known and every secret and file that it names can be read, else 2.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(file)
			if err != nil {
				return err
			}
			if only {
				return check(c.OutOrStdout(), file, cfg)
			}
			log, err := cfg.Log.logger(c.ErrOrStderr())
			if err != nil {
				return err
			}
			return serve(c.Context(), cfg, log)
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "setpoint.yaml", "the server's configuration")
	c.Flags().BoolVar(&only, "check", false, "check the configuration and end")
	return c
}

func (l logConfig) logger(w io.Writer) (*slog.Logger, error) {
	lv, err := l.level()
	if err != nil {
		return nil, err
	}
	o := &slog.HandlerOptions{Level: lv}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return slog.New(slog.NewTextHandler(w, o)), nil
}

// service is the tables and stages of one process, wired and not yet running.
type service struct {
	cfg *serverConfig
	log *slog.Logger
	bus *bus.Bus

	pool worker.Pool // evaluates kinds

	heads       *bus.Table[models.Head]
	renders     *bus.Table[models.Render]
	assignments *bus.Table[models.Assignment]
	devices     *bus.Table[models.DeviceStatus]
	rollouts    *bus.Table[models.Rollout]
	episodes    *bus.Table[models.Episode]
	commits     *bus.Topic[models.Head]

	watcher  *gitwatch.Watcher
	notifier *notify.Notifier
	targets  map[string]target
	linkKey  []byte
	printKey []byte // marks secrets in the store
	started  time.Time
}

// serve runs the service until ctx ends. Everything that can fail for a wrong
// configuration fails before the first stage starts.
func serve(ctx context.Context, cfg *serverConfig, log *slog.Logger) error {
	s := &service{cfg: cfg, log: log, started: time.Now().UTC()}
	defer s.pool.Close()
	var err error
	if s.targets, err = cfg.targets(); err != nil {
		return err
	}
	if cfg.PublicURL != "" {
		if s.linkKey, err = cfg.linkKey(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	if s.printKey, err = cfg.fingerprintKey(); err != nil {
		return err
	}
	if s.bus, err = cfg.openBus(ctx, log); err != nil {
		return err
	}
	defer func() {
		if err := s.bus.Close(); err != nil {
			log.Error("closing the store", "err", err)
		}
		log.Info("setpoint stopped")
	}()
	s.openTables()
	stages, err := s.stages()
	if err != nil {
		return err
	}
	if why := s.bus.Rebuilt(); why != "" {
		log.ErrorContext(ctx, "the store was set aside and is rebuilt from git and the devices", "reason", why)
	}
	log.InfoContext(ctx, "setpoint runs", "version", versionText(), "repository", cfg.Repository.URL, "branch", cfg.Repository.Branch, "socket", cfg.Socket)
	return runAll(ctx, stages)
}

func (s *service) openTables() {
	s.heads = bus.TableOf[models.Head](s.bus, "heads")
	s.renders = bus.TableOf[models.Render](s.bus, "manifests")
	s.assignments = bus.TableOf[models.Assignment](s.bus, "assignments")
	s.devices = bus.TableOf[models.DeviceStatus](s.bus, "devices")
	s.rollouts = bus.TableOf[models.Rollout](s.bus, "rollouts")
	s.episodes = bus.TableOf[models.Episode](s.bus, "episodes")
	s.commits = bus.TopicOf[models.Head](s.bus, "setpoint.commit")
}

// runAll runs every stage; the first that fails ends the others. It returns when
// all have ended.
func runAll(ctx context.Context, stages map[string]func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for name, run := range stages {
		wg.Go(func() {
			defer cancel()
			err := run(ctx)
			if ctx.Err() != nil && errors.Is(err, context.Canceled) {
				return // told to stop while it was starting
			}
			if err != nil {
				mu.Lock()
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// stages builds every stage of the service.
func (s *service) stages() (map[string]func(context.Context) error, error) {
	var err error
	if s.notifier, err = s.newNotifier(); err != nil {
		return nil, err
	}
	if s.watcher, err = s.newWatcher(); err != nil {
		return nil, err
	}
	blobs := s.bus.Blobs()
	render := &stage.Stage{
		Commits: s.commits, Heads: s.heads, Renders: s.renders, Blobs: blobs, Log: s.log,
		Tree: s.tree, Renderer: &renderer.Renderer{Evaluator: &s.pool},
		Sweeper: &stage.Sweeper{
			Renders: s.renders, Assignments: s.assignments, Devices: s.devices,
			Rollouts: s.rollouts, Episodes: s.episodes, Blobs: blobs, Grace: time.Hour,
		},
	}
	roll := &rollout.Driver{
		Renders: s.renders, Assignments: s.assignments, Rollouts: s.rollouts, Devices: s.devices,
		Bus: s.bus, Blobs: blobs, Log: s.log,
	}
	rec := &reconciler.Reconciler{
		Assignments: s.assignments, Devices: s.devices, Episodes: s.episodes,
		Ledgers: reconciler.Ledgers(s.bus), Orders: reconciler.Orders(s.bus), Secrets: s.cfg.secret, Key: s.printKey,
		Events: bus.TopicOf[models.Event](s.bus, "setpoint.device"), Blobs: blobs, Schema: tree.OpenConfig(),
		Dial: s.dial, Classify: classify, Workers: s.cfg.Workers, Resync: s.cfg.Resync, Log: s.log,
	}
	all := map[string]func(context.Context) error{
		"gitwatch": s.watcher.Run, "renderer": render.Run, "rollout": roll.Run,
		"reconciler": rec.Run, "notify": s.notifier.Run, "socket": s.serveSocket,
	}
	if s.cfg.Listen != "" {
		all["pages"] = s.servePages
	}
	if s.cfg.Webhook.Listen != "" {
		hook, err := s.newWebhook()
		if err != nil {
			return nil, err
		}
		all["webhook"] = func(ctx context.Context) error { return s.serveWebhook(ctx, hook) }
	}
	return all, nil
}

// tree gives a commit's files from the mirror.
func (s *service) tree(commit string) (fs.FS, error) {
	repo := s.watcher.Repo()
	if repo == nil {
		return nil, errors.New("the mirror of the config repo is not open yet")
	}
	return repo.Tree(commit)
}

func (s *service) newWatcher() (*gitwatch.Watcher, error) {
	r := s.cfg.Repository
	token, err := r.Token.read("repository.token", s.cfg.dir)
	if err != nil {
		return nil, err
	}
	w := &gitwatch.Watcher{
		URL: r.URL, Branch: r.Branch, Dir: filepath.Join(s.cfg.StateDir, "mirror.git"),
		Username: r.Username, Token: token, Interval: r.PollInterval, AllowForcePush: r.AllowForcePush,
		Heads: s.heads, Commits: s.commits, Floor: s.bus.Floor, RaiseFloor: s.bus.RaiseFloor,
		Refused: s.notifier.Refused, Unrecorded: s.notifier.Unrecorded, Log: s.log,
	}
	if w.SSH, err = r.ssh(s.cfg.dir); err != nil {
		return nil, err
	}
	w.Proxy = gitwatch.Proxy{URL: r.Proxy.URL, Username: r.Proxy.Username}
	if w.Proxy.Password, err = r.Proxy.Password.read("repository.proxy.password", s.cfg.dir); err != nil {
		return nil, err
	}
	if r.CAFile != "" {
		if w.CA, err = os.ReadFile(under(s.cfg.dir, r.CAFile)); err != nil {
			return nil, fmt.Errorf("repository.caFile: %w", err)
		}
	}
	return w, nil
}

// ssh is the way to the repository where it is behind ssh.
func (r repositoryConfig) ssh(dir string) (gitwatch.SSH, error) {
	key, err := r.SSHKey.read("repository.sshKey", dir)
	if err != nil {
		return gitwatch.SSH{}, err
	}
	passphrase, err := r.SSHPassphrase.read("repository.sshPassphrase", dir)
	if err != nil {
		return gitwatch.SSH{}, err
	}
	return gitwatch.SSH{Key: []byte(key), Passphrase: passphrase, KnownHosts: under(dir, r.KnownHostsFile)}, nil
}

func (c *serverConfig) openBus(ctx context.Context, log *slog.Logger) (*bus.Bus, error) {
	size, err := parseSize(c.NATS.MaxStore)
	if err != nil {
		return nil, fmt.Errorf("nats.maxStore: %w", err)
	}
	pw, err := c.NATS.Password.read("nats.password", c.dir)
	if err != nil {
		return nil, err
	}
	b := bus.Config{
		Dir: c.NATS.StoreDir, URLs: c.NATS.URLs, MaxStore: size, Replicas: c.NATS.Replicas,
		CredentialsFile: under(c.dir, c.NATS.CredentialsFile), Username: c.NATS.Username, Password: pw,
		Watermark: filepath.Join(c.StateDir, "watermark.json"), Log: log,
	}
	if c.NATS.CAFile != "" {
		pool, err := readCA(under(c.dir, c.NATS.CAFile))
		if err != nil {
			return nil, fmt.Errorf("nats.caFile: %w", err)
		}
		b.TLS = tlsWithRoots(pool)
	}
	return bus.Open(ctx, b)
}

// dial opens a session to a device with the credentials that it names.
func (s *service) dial(ctx context.Context, d models.Device) (reconciler.Device, error) {
	t, err := s.deviceTarget(d)
	if err != nil {
		return nil, err
	}
	return device.Dial(ctx, t)
}

func (s *service) deviceTarget(d models.Device) (device.Target, error) {
	return targetOf(d, s.targets, s.log)
}

// errNoCredentials comes back when a device names credentials that the server's
// configuration does not have.
var errNoCredentials = errors.New("no such credentials in the server's configuration")

func targetOf(d models.Device, targets map[string]target, log *slog.Logger) (device.Target, error) {
	t, ok := targets[d.Credentials]
	if !ok {
		return device.Target{}, fmt.Errorf("credentials %q: %w", d.Credentials, errNoCredentials)
	}
	scope, err := tree.NewScope(tree.OpenConfig(), d.Manage)
	if err != nil {
		return device.Target{}, err
	}
	return device.Target{
		Name: d.Name, Address: d.Address, TLS: t.tls, Insecure: t.insecure,
		Username: t.username, Password: t.password, Profile: d.Profile,
		Scope: scope, Schema: tree.OpenConfig(), Log: log,
	}, nil
}

// classify says what a device's error means for the reconciler.
func classify(err error) reconciler.Class {
	switch {
	case errors.Is(err, device.ErrRejected):
		return reconciler.ClassRejected
	case errors.Is(err, device.ErrUnknownOutcome):
		return reconciler.ClassUnknown
	case errors.Is(err, device.ErrUnreachable), errors.Is(err, device.ErrUnauthenticated), errors.Is(err, errNoCredentials):
		return reconciler.ClassUnreachable
	}
	return reconciler.ClassRetry
}

func (s *service) newNotifier() (*notify.Notifier, error) {
	n := &notify.Notifier{
		Heads: s.heads, Renders: s.renders, Rollouts: s.rollouts, Episodes: s.episodes,
		Slots: bus.TableOf[notify.Slot](s.bus, "slots"), Blobs: s.bus.Blobs(), Schema: tree.OpenConfig(),
		Chats: map[string]notify.Chat{}, Log: s.log,
	}
	var err error
	if n.Forge, err = s.cfg.Forge.open(s.cfg.dir); err != nil {
		return nil, err
	}
	for _, a := range s.cfg.Alerts {
		u, err := a.URL.read("alerts "+a.Name+": url", s.cfg.dir)
		if err != nil {
			return nil, err
		}
		n.Chats[a.Name] = &notify.Slack{URL: u}
	}
	if s.cfg.PublicURL != "" {
		n.Link = notify.Linker(s.cfg.PublicURL, s.linkKey)
	}
	return n, nil
}

// open makes the forge that the configuration names; nil for none.
func (f forgeConfig) open(dir string) (notify.Forge, error) {
	if f.Kind == "" {
		return nil, nil
	}
	token, err := f.Token.read("forge.token", dir)
	if err != nil {
		return nil, err
	}
	client, err := f.client(dir)
	if err != nil {
		return nil, err
	}
	if f.Kind == "github" {
		return &notify.GitHub{API: f.URL, Repo: f.Repository, Token: token, Client: client}, nil
	}
	return &notify.Gitea{URL: f.URL, Repo: f.Repository, Token: token, Client: client}, nil
}

func (f forgeConfig) client(dir string) (*http.Client, error) {
	if f.CAFile == "" {
		return nil, nil
	}
	pool, err := readCA(under(dir, f.CAFile))
	if err != nil {
		return nil, fmt.Errorf("forge.caFile: %w", err)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: tlsWithRoots(pool), Proxy: http.ProxyFromEnvironment}}, nil
}

// servePages serves /healthz and, with a key, the commits' diffs under signed links.
func (s *service) servePages(ctx context.Context) error {
	l, err := net.Listen("tcp", s.cfg.Listen)
	if err != nil {
		return err
	}
	page := &notify.Page{Renders: s.renders, Rollouts: s.rollouts, Blobs: s.bus.Blobs(), Schema: tree.OpenConfig(), Key: s.linkKey, Log: s.log}
	return serveHTTP(ctx, l, page)
}

// serveHTTP serves h on l until ctx ends, then lets the requests under way end.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 60 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := srv.Shutdown(end)
	<-done
	return err
}
