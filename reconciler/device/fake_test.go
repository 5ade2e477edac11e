package device

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/device/sim"
)

// fake is a target that misbehaves: a handler that is nil is Unimplemented, and
// Capabilities answers.
type fake struct {
	gnmi.UnimplementedGNMIServer
	capabilities func(context.Context) (*gnmi.CapabilityResponse, error)
	get          func(context.Context, *gnmi.GetRequest) (*gnmi.GetResponse, error)
	set          func(context.Context, *gnmi.SetRequest) (*gnmi.SetResponse, error)
	subscribe    func(*gnmi.SubscriptionList, rpc) error
}

func (f *fake) Capabilities(ctx context.Context, _ *gnmi.CapabilityRequest) (*gnmi.CapabilityResponse, error) {
	if f.capabilities == nil {
		return &gnmi.CapabilityResponse{SupportedEncodings: []gnmi.Encoding{gnmi.Encoding_JSON_IETF}}, nil
	}
	return f.capabilities(ctx)
}

func (f *fake) Get(ctx context.Context, req *gnmi.GetRequest) (*gnmi.GetResponse, error) {
	if f.get == nil {
		return nil, status.Error(codes.Unimplemented, "no Get")
	}
	return f.get(ctx, req)
}

func (f *fake) Set(ctx context.Context, req *gnmi.SetRequest) (*gnmi.SetResponse, error) {
	return f.set(ctx, req)
}

func (f *fake) Subscribe(stream grpc.BidiStreamingServer[gnmi.SubscribeRequest, gnmi.SubscribeResponse]) error {
	req, err := stream.Recv()
	if err != nil {
		return err
	}
	if f.subscribe == nil {
		return status.Error(codes.Unimplemented, "no Subscribe")
	}
	return f.subscribe(req.GetSubscribe(), stream)
}

// pipe is how a test reaches its target without a network. Its connections can
// be broken.
type pipe struct {
	*bufconn.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (p *pipe) dial(ctx context.Context, _ string) (net.Conn, error) {
	conn, err := p.DialContext(ctx)
	if err == nil {
		p.mu.Lock()
		p.conns = append(p.conns, conn)
		p.mu.Unlock()
	}
	return conn, err
}

func (p *pipe) dialled() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

func (p *pipe) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
}

const address = "leaf01.test:9339"

// reach starts a fake target and gives what Dial needs for it.
func (f *fake) reach(t testing.TB, opts ...grpc.ServerOption) (Target, *pipe) {
	t.Helper()
	p := &pipe{Listener: bufconn.Listen(1 << 16)}
	srv := grpc.NewServer(opts...)
	gnmi.RegisterGNMIServer(srv, f)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(p) }() // fails only where a test closes p
	t.Cleanup(func() { srv.Stop(); <-done })
	return Target{Name: "leaf01", Address: address, Insecure: true, Scope: scope(t, "/interfaces", "/system"), Dialer: p.dial}, p
}

// reachSim starts a simulated target with TLS and a password.
func reachSim(t testing.TB, c sim.Config) (*sim.Target, Target) {
	t.Helper()
	ca := newCA(t)
	c.TLS, c.Username, c.Password = serverTLS(t, ca, "leaf01.test"), "admin", "s3cr3t"
	target, err := sim.New(c)
	if err != nil {
		t.Fatal(err)
	}
	p := &pipe{Listener: bufconn.Listen(1 << 16)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- target.Serve(ctx, p) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return target, Target{
		Name: "leaf01", Address: address, TLS: clientOf(ca), Username: "admin", Password: "s3cr3t",
		Scope: scope(t, "/"), Dialer: p.dial,
	}
}

func newCA(t testing.TB) *sim.CA {
	t.Helper()
	ca, err := sim.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func serverTLS(t testing.TB, ca *sim.CA, hosts ...string) *tls.Config {
	t.Helper()
	c, err := ca.ServerTLS(hosts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func clientOf(ca *sim.CA) *tls.Config { return &tls.Config{RootCAs: ca.Pool()} }

func withTLS(c *tls.Config) grpc.ServerOption { return grpc.Creds(credentials.NewTLS(c)) }

// dial connects, and closes with the test.
func dial(t testing.TB, target Target) *Session {
	t.Helper()
	s, err := Dial(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func scope(t testing.TB, manage ...string) *tree.Scope {
	t.Helper()
	c, err := tree.NewScope(tree.OpenConfig(), manage)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustParse(t testing.TB, text string) *tree.Tree {
	t.Helper()
	out, err := tree.Parse(tree.OpenConfig(), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// leafSwitch is a leaf switch's configuration of 160 kB.
func leafSwitch(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/leaf.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func wirePath(t testing.TB, text string) *gnmi.Path {
	t.Helper()
	p, err := tree.ParsePath(text)
	if err != nil {
		t.Fatal(err)
	}
	return (&Session{}).path(p)
}

func ietf(text string) *gnmi.TypedValue {
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: []byte(text)}}
}

// answering is a Get that gives JSON per top container, and NotFound else.
func answering(roots map[string]string) func(context.Context, *gnmi.GetRequest) (*gnmi.GetResponse, error) {
	return func(_ context.Context, req *gnmi.GetRequest) (*gnmi.GetResponse, error) {
		text, ok := roots[req.GetPath()[0].GetElem()[0].GetName()]
		if !ok {
			return nil, status.Error(codes.NotFound, "nothing there")
		}
		return &gnmi.GetResponse{Notification: []*gnmi.Notification{{
			Update: []*gnmi.Update{{Path: req.GetPath()[0], Val: ietf(text)}},
		}}}, nil
	}
}
