package sim

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// listen serves one target on a port of this machine.
func listen(t *testing.T, c Config) (addr string) {
	t.Helper()
	target, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- target.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

func dial(t testing.TB, addr string, creds credentials.TransportCredentials) gnmi.GNMIClient {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return gnmi.NewGNMIClient(conn)
}

func newCAForTest(t testing.TB) (*CA, *tls.Config) {
	t.Helper()
	ca, err := NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.ServerTLS("127.0.0.1", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	return ca, server
}

// gNMI 3.1: sessions are encrypted with TLS 1.2 or newer, and the client can tell
// whom it talks to.
func TestTLS(t *testing.T) {
	ca, server := newCAForTest(t)
	other, _ := newCAForTest(t)
	server.MinVersion = tls.VersionTLS10
	addr := listen(t, Config{TLS: server})
	tests := map[string]struct {
		creds credentials.TransportCredentials
		want  codes.Code
	}{
		"right":        {credentials.NewTLS(&tls.Config{RootCAs: ca.Pool()}), codes.OK},
		"by name":      {credentials.NewTLS(&tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}), codes.OK},
		"TLS 1.2":      {credentials.NewTLS(&tls.Config{RootCAs: ca.Pool(), MaxVersion: tls.VersionTLS12}), codes.OK},
		"TLS 1.1":      {credentials.NewTLS(&tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), codes.Unavailable},
		"foreign CA":   {credentials.NewTLS(&tls.Config{RootCAs: other.Pool()}), codes.Unavailable},
		"foreign name": {credentials.NewTLS(&tls.Config{RootCAs: ca.Pool(), ServerName: "leaf01"}), codes.Unavailable},
		"no TLS":       {insecure.NewCredentials(), codes.Unavailable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := dial(t, addr, tt.creds).Capabilities(deadline(t), &gnmi.CapabilityRequest{})
			if status.Code(err) != tt.want {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

// gNMI 3.1, 3.4.7: every RPC is authenticated by its metadata.
func TestEveryRPCAsksForThePassword(t *testing.T) {
	ca, server := newCAForTest(t)
	addr := listen(t, Config{TLS: server, Username: "admin", Password: "secret"})
	c := dial(t, addr, credentials.NewTLS(&tls.Config{RootCAs: ca.Pool()}))
	rpcs := map[string]func(context.Context) error{
		"Capabilities": func(ctx context.Context) error {
			_, err := c.Capabilities(ctx, &gnmi.CapabilityRequest{})
			return err
		},
		"Get": func(ctx context.Context) error {
			_, err := c.Get(ctx, &gnmi.GetRequest{Path: []*gnmi.Path{{}}})
			return err
		},
		"Set": func(ctx context.Context) error {
			_, err := c.Set(ctx, &gnmi.SetRequest{})
			return err
		},
		"Subscribe": func(ctx context.Context) error {
			s, err := c.Subscribe(ctx)
			if err != nil {
				return err
			}
			if err := s.Send(&gnmi.SubscribeRequest{Request: &gnmi.SubscribeRequest_Subscribe{
				Subscribe: &gnmi.SubscriptionList{Mode: gnmi.SubscriptionList_ONCE, Subscription: []*gnmi.Subscription{{}}},
			}}); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			_, err = s.Recv() // says why Send found the stream closed
			return err
		},
	}
	for name, rpc := range rpcs {
		for _, md := range [][]string{nil, {"username", "admin"}, {"username", "admin", "password", "wrong"}, {"username", "root", "password", "secret"}, {"username", "admin", "password", "secret", "password", "x"}} {
			if err := rpc(metadata.AppendToOutgoingContext(deadline(t), md...)); status.Code(err) != codes.Unauthenticated {
				t.Errorf("%s with %q: %v, want Unauthenticated", name, md, err)
			}
		}
		if err := rpc(metadata.AppendToOutgoingContext(deadline(t), "username", "admin", "password", "secret")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCAIsKeptAndItsKeyIsTheOwners(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	now := time.Now()
	first, err := LoadOrCreate(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	second, err := LoadOrCreate(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	if string(first.PEM()) != string(second.PEM()) {
		t.Error("the second start made another CA")
	}
	server, err := second.ServerTLS("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	addr := listen(t, Config{TLS: server})
	c := dial(t, addr, credentials.NewTLS(&tls.Config{RootCAs: first.Pool()}))
	if _, err := c.Capabilities(deadline(t), &gnmi.CapabilityRequest{}); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "ca-key.pem")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key: %v, %v", info.Mode(), err)
	}
	if err := first.Save(dir); err == nil {
		t.Error("Save overwrites a CA")
	}
	if _, err := LoadOrCreate(dir, now.Add(2*lifetime)); err == nil {
		t.Error("an expired CA is taken")
	}
	strange, err := NewCA(now)
	if err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string][]byte{"ca.pem": strange.PEM(), "ca-key.pem": []byte("nonsense")} {
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadOrCreate(dir, now); err == nil {
			t.Errorf("a foreign %s is taken", file)
		}
	}
	if err := os.Remove(filepath.Join(dir, "ca-key.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreate(dir, now); err == nil {
		t.Error("a CA without its key is taken")
	}
}
