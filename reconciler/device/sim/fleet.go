package sim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
)

// FleetConfig describes many targets in one process.
type FleetConfig struct {
	Devices  int
	Host     string             // where to listen; "": 127.0.0.1
	BasePort int                // first port, one more for each device; 0: any that are free
	Addr     func(i int) string // host:port of each, instead of Host and BasePort; nil: those
	Name     func(i int) string // nil: device-1, device-2, …
	TLS      *tls.Config        // shared by all
	Username string
	Password string
	Initial  func(i int) []byte // configuration at start; nil: none
	Defaults bool               // report schema defaults
	Faults   func(i int) Faults // what each does wrong from the start; nil: nothing
	Log      *slog.Logger
}

// Fleet is a set of targets that are being served.
type Fleet struct {
	targets []*Target
	addrs   []string
	wg      sync.WaitGroup

	mu   sync.Mutex
	errs []error
}

// StartFleet makes the targets, listens for all of them and serves them until ctx
// ends. When one cannot be made or listened for, none is served. Wait must be
// called: it waits for what StartFleet started.
func StartFleet(ctx context.Context, c FleetConfig) (*Fleet, error) {
	f := &Fleet{}
	var listeners []net.Listener
	for i := range c.Devices {
		t, l, err := c.device(ctx, i)
		if err != nil {
			return nil, errors.Join(err, closeAll(listeners))
		}
		listeners = append(listeners, l)
		f.targets = append(f.targets, t)
		f.addrs = append(f.addrs, l.Addr().String())
	}
	for i, l := range listeners {
		f.wg.Go(func() {
			if err := f.targets[i].Serve(ctx, l); err != nil {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.errs = append(f.errs, err)
			}
		})
	}
	return f, nil
}

func (c FleetConfig) device(ctx context.Context, i int) (*Target, net.Listener, error) {
	name := "device-" + strconv.Itoa(i+1)
	if c.Name != nil {
		name = c.Name(i)
	}
	tc := Config{Name: name, TLS: c.TLS, Username: c.Username, Password: c.Password, Defaults: c.Defaults, Log: c.Log}
	if c.Initial != nil {
		tc.Initial = c.Initial(i)
	}
	if c.Faults != nil {
		tc.Faults = c.Faults(i)
	}
	t, err := New(tc)
	if err != nil {
		return nil, nil, fmt.Errorf("target %s: %w", name, err)
	}
	host, port := c.Host, 0
	if host == "" {
		host = "127.0.0.1"
	}
	if c.BasePort > 0 {
		port = c.BasePort + i
	}
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	if c.Addr != nil {
		addr = c.Addr(i)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, nil, fmt.Errorf("target %s: %w", name, err)
	}
	return t, l, nil
}

func closeAll(ls []net.Listener) error {
	var errs []error
	for _, l := range ls {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// Targets are the devices, in order.
func (f *Fleet) Targets() []*Target { return f.targets }

// Addrs are their addresses, host:port, in the same order.
func (f *Fleet) Addrs() []string { return f.addrs }

// Wait returns when every target has stopped, with the errors of those that did
// not stop because ctx ended.
func (f *Fleet) Wait() error {
	f.wg.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.errs...)
}
