package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// relay stands between setpoint and a target that is not ours: it keeps the Sets
// that setpoint makes, and passes everything on as it is, statuses and details too.
// Setpoint logs in at the relay as to any of the world's targets; the relay logs in
// at the target as the person does who runs the suite.
type relay struct {
	gnmi.UnimplementedGNMIServer
	target gnmi.GNMIClient
	login  func(context.Context) context.Context

	mu     sync.Mutex
	reads  int // Gets, and Subscribes ONCE
	sets   []*gnmi.SetRequest
	poison *gnmi.Update // added to each Set: what the target is to refuse
}

// serve makes the relay reachable until the test ends, and returns its address.
func (r *relay) serve(t testing.TB, config *tls.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)), grpc.MaxRecvMsgSize(128<<20))
	gnmi.RegisterGNMIServer(s, r)
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(l) })
	t.Cleanup(func() { s.Stop(); wg.Wait() })
	return l.Addr().String()
}

// onward is the context of a call that is passed on.
func (r *relay) onward(ctx context.Context) context.Context { return r.login(ctx) }

func (r *relay) Capabilities(ctx context.Context, req *gnmi.CapabilityRequest) (*gnmi.CapabilityResponse, error) {
	return r.target.Capabilities(r.onward(ctx), req)
}

func (r *relay) Get(ctx context.Context, req *gnmi.GetRequest) (*gnmi.GetResponse, error) {
	r.read()
	return r.target.Get(r.onward(ctx), req)
}

func (r *relay) Set(ctx context.Context, req *gnmi.SetRequest) (*gnmi.SetResponse, error) {
	r.mu.Lock()
	r.sets = append(r.sets, proto.Clone(req).(*gnmi.SetRequest))
	if r.poison != nil {
		req.Update = append(req.Update, r.poison)
	}
	r.mu.Unlock()
	return r.target.Set(r.onward(ctx), req)
}

// Subscribe passes both directions on until one of them ends.
func (r *relay) Subscribe(down gnmi.GNMI_SubscribeServer) error {
	ctx, cancel := context.WithCancel(r.onward(down.Context()))
	defer cancel()
	up, err := r.target.Subscribe(ctx)
	if err != nil {
		return err
	}
	go func() {
		for {
			req, err := down.Recv()
			if err != nil {
				_ = up.CloseSend()
				return
			}
			if l := req.GetSubscribe(); l.GetMode() == gnmi.SubscriptionList_ONCE && len(l.GetSubscription()) > 0 {
				r.read()
			}
			if up.Send(req) != nil {
				return // Recv says why
			}
		}
	}()
	for {
		resp, err := up.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := down.Send(resp); err != nil {
			return err
		}
	}
}

func (r *relay) read() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reads++
}

func (r *relay) readSoFar() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reads
}

// made are the Sets so far.
func (r *relay) made() []*gnmi.SetRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sets[:len(r.sets):len(r.sets)]
}

// poisons adds an operation to setpoint's Sets from now on; nil: none.
func (r *relay) poisons(u *gnmi.Update) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.poison = u
}

// loggedIn adds credentials to calls. What the caller had sent is left behind.
func loggedIn(username, password string) func(context.Context) context.Context {
	return func(ctx context.Context) context.Context {
		if username == "" {
			return metadata.NewOutgoingContext(ctx, metadata.MD{})
		}
		return metadata.NewOutgoingContext(ctx, metadata.Pairs("username", username, "password", password))
	}
}
