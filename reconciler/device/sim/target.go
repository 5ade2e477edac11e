package sim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
)

// Config is what a target is made with. The zero value is a target without
// configuration, that anyone may write to, in the clear.
type Config struct {
	Name     string      // for logs
	TLS      *tls.Config // nil: no TLS, for tests over a pipe. Versions below 1.2 are never spoken (gNMI 3.1)
	Username string      // with Password, asked of every RPC's metadata; both empty: nobody is asked
	Password string
	Initial  []byte   // configuration at start, RFC 7951 JSON of the root; nil: none
	Defaults bool     // report schema defaults that are in use (gNMI 3.3.4), as some systems do and others do not
	Refuse   []string // paths that no Set may touch, as text: "/system/aaa", "/interfaces/interface[name=mgmt0]"
	Faults   Faults   // what it does wrong from the start
	Log      *slog.Logger
}

// Target is one simulated device. Its configuration outlives Serve.
type Target struct {
	gnmi.UnimplementedGNMIServer

	config Config
	schema *schema
	broken atomic.Pointer[broken] // never nil
	salts  salts

	extended atomic.Int64 // Sets that came with an extension

	setting sync.Mutex // held by the one Set that is being computed, and guards what follows
	pending *tentative
	masters map[string]*gnmi_ext.Uint128 // the highest election id by role

	mu       sync.Mutex // guards what follows, and is never held for long
	root     *node
	view     *node // what is told of root: root itself, or with defaults
	startup  *node // what a reboot goes back to
	sets     int
	changing int
	changed  chan struct{}
	feeds    map[*feed]struct{}
	news     chan struct{} // closed when the faults change
	conns    map[*conn]struct{}
}

// New makes a target. It fails when Initial is not valid configuration, or Refuse
// or Faults name no node of the models.
func New(c Config) (*Target, error) {
	s, err := openConfig()
	if err != nil {
		return nil, fmt.Errorf("compile models: %w", err)
	}
	t := &Target{
		config: c, schema: s,
		root:    &node{schema: s},
		changed: make(chan struct{}),
		feeds:   map[*feed]struct{}{},
		masters: map[string]*gnmi_ext.Uint128{},
		news:    make(chan struct{}),
		conns:   map[*conn]struct{}{},
	}
	b, err := t.compile(c.Faults)
	if err != nil {
		return nil, err
	}
	t.broken.Store(b)
	if err := t.start(); err != nil {
		return nil, fmt.Errorf("initial configuration: %w", err)
	}
	t.view, t.startup = t.seen(t.root), t.root
	return t, nil
}

// start gives the target its first configuration.
func (t *Target) start() error {
	if len(t.config.Initial) == 0 {
		return nil
	}
	if err := checkJSON(t.config.Initial); err != nil {
		return err
	}
	root, err := decoder{form: formIETF}.container(t.schema, string(trim(t.config.Initial)))
	if root != nil {
		t.root = root
	}
	return err
}

// seen is what is told of a tree that follows the one that is told of now.
func (t *Target) seen(root *node) *node {
	switch d := t.broken.Load().Defaults; {
	case d == "hide":
		return bare(root, t.root, t.view)
	case d == "report" || t.config.Defaults:
		return t.schema.fill(root, t.root, t.view)
	}
	return root
}

// Serve answers gNMI on the listener until ctx ends, then closes it, ends every
// RPC and returns nil. It may be called again later, with another listener.
func (t *Target) Serve(ctx context.Context, l net.Listener) error {
	srv := t.server()
	gnmi.RegisterGNMIServer(srv, t)
	reflection.Register(srv) // gNMI 3
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		<-ctx.Done()
		srv.Stop()
	})
	if err := srv.Serve(listener{l, t}); err != nil && !errors.Is(err, grpc.ErrServerStopped) && ctx.Err() == nil {
		return fmt.Errorf("serve %s: %w", t.config.Name, err)
	}
	return nil
}

// server is sized for many targets in one process: small buffers.
func (t *Target) server() *grpc.Server {
	opts := []grpc.ServerOption{
		grpc.UnaryInterceptor(t.authUnary),
		grpc.StreamInterceptor(t.authStream),
		grpc.MaxRecvMsgSize(64 << 20),
		grpc.ReadBufferSize(4 << 10),
		grpc.WriteBufferSize(4 << 10),
		grpc.WaitForHandlers(true),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}
	if t.config.TLS != nil {
		c := t.config.TLS.Clone()
		c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
		opts = append(opts, grpc.Creds(credentials.NewTLS(c)))
	}
	return grpc.NewServer(opts...)
}

// Name is Config.Name.
func (t *Target) Name() string { return t.config.Name }

// Config is the configuration that was set, without defaults, as RFC 7951 JSON.
func (t *Target) Config() []byte {
	e := encoder{}
	e.node(t.now(), "")
	return e.buf
}

// Sets counts the SetRequests since the start, also those that were refused, but
// not those with a wrong password, and not those that the fault Hang keeps.
func (t *Target) Sets() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sets
}

// ChangingSets counts the SetRequests that changed something since the start.
func (t *Target) ChangingSets() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changing
}

// ExtendedSets counts the SetRequests that came with an extension since the start,
// also those that were refused.
func (t *Target) ExtendedSets() int { return int(t.extended.Load()) }

// Changed is closed when the configuration changes next. Take it before looking
// at Config, so that no change is missed.
func (t *Target) Changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

func (t *Target) now() *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.root
}

// commit swaps in what build makes of the tree, and tells all streams. Nothing
// happens when build returns no tree or the one that it was given; a tree beside an
// error is what a Set that failed left behind.
func (t *Target) commit(build func(*node) (*node, error)) (changed bool, err error) {
	t.setting.Lock()
	defer t.setting.Unlock()
	old := t.now()
	root, err := build(old)
	changed = root != nil && root != old
	t.mu.Lock()
	t.sets++
	if changed {
		t.changing++
	}
	t.mu.Unlock()
	if changed {
		t.install(root)
	}
	return changed, err
}

// install makes a tree the one that is held, and tells all streams. setting is held.
func (t *Target) install(root *node) {
	view := t.seen(root) // root and view change under setting only
	t.mu.Lock()
	defer t.mu.Unlock()
	if root == t.root {
		return
	}
	t.root, t.view = root, view
	close(t.changed)
	t.changed = make(chan struct{})
	t.tell()
}

// tell lets all streams know of the view. mu is held.
func (t *Target) tell() {
	p := pending{root: t.view, at: time.Now(), faults: t.broken.Load()}
	for f := range t.feeds {
		f.push(p)
	}
}

// told is what readers are told now.
func (t *Target) told() *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.view
}

func (t *Target) log() *slog.Logger {
	if t.config.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return t.config.Log
}
