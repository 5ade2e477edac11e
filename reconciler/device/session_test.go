package device

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/setpoint-net/setpoint/reconciler/device/sim"
)

// sentinels names the errors that err wraps.
func sentinels(err error) []string {
	var out []string
	for _, s := range []error{ErrUnreachable, ErrUnauthenticated, ErrRejected, ErrUnknownOutcome, ErrPartialRead} {
		if errors.Is(err, s) {
			out = append(out, s.Error())
		}
	}
	return out
}

// wraps checks that err is what the caller decides on, and says what it should.
func wraps(t *testing.T, err, want error, says ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %v", want)
	}
	var wanted []string
	if want != nil {
		wanted = []string{want.Error()}
	}
	if diff := cmp.Diff(wanted, sentinels(err)); diff != "" {
		t.Errorf("%v wraps (-want +got):\n%s", err, diff)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
	if strings.ContainsAny(err.Error(), "\n\x1b") {
		t.Errorf("%q is no line", err)
	}
}

func TestDialSaysWhyATargetIsNotReached(t *testing.T) {
	refused := func(context.Context, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	silent := func(ctx context.Context, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	mute := func(context.Context, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			buf := make([]byte, 1024)
			for {
				if _, err := server.Read(buf); err != nil {
					return
				}
			}
		}()
		return client, nil
	}
	for name, c := range map[string]struct {
		dialer func(context.Context, string) (net.Conn, error)
		says   string
	}{
		"connection refused": {refused, "connection refused"},
		"nobody answers SYN": {silent, "no answer in time"},
		"nobody answers TLS": {mute, "no answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, err := Dial(t.Context(), Target{Name: "leaf01", Address: address, Scope: scope(t, "/"), Dialer: c.dialer})
				wraps(t, err, ErrUnreachable, address, c.says)
			})
		})
	}
}

func TestDialSaysWhichSideWasNotAccepted(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	good := serverTLS(t, ca, "leaf01.test")
	mutual := good.Clone()
	mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, ca.Pool()
	anyone := good.Clone()
	anyone.ClientAuth = tls.RequireAnyClientCert
	old := good.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	for name, c := range map[string]struct {
		server *tls.Config
		client *tls.Config
		says   string
	}{
		"another CA":                {good, clientOf(other), "not from a CA"},
		"the system's CAs":          {good, nil, "not from a CA"},
		"another name":              {serverTLS(t, ca, "leaf02.test"), clientOf(ca), "another name"},
		"wants a certificate":       {mutual, clientOf(ca), "client certificate"},
		"only old TLS":              {old, clientOf(ca), "TLS version"},
		"no TLS":                    {nil, clientOf(ca), "does not speak TLS"},
		"wants another certificate": {mutual, withCert(clientOf(ca), serverTLS(t, other, "me").Certificates), "certificate"},
		"gets its certificate":      {anyone, withCert(clientOf(ca), good.Certificates), ""},
		"a ServerName that fits":    {serverTLS(t, ca, "leaf02.test"), &tls.Config{RootCAs: ca.Pool(), ServerName: "leaf02.test"}, ""},
		"good":                      {good, clientOf(ca), ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{}
			var target Target
			if c.server == nil {
				target, _ = f.reach(t)
			} else {
				target, _ = f.reach(t, withTLS(c.server))
			}
			target.Insecure, target.TLS = false, c.client
			s, err := Dial(t.Context(), target)
			if c.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				s.Close()
				return
			}
			wraps(t, err, ErrUnauthenticated, address, c.says)
		})
	}
}

// TestLostAlertIsToldAsWhatItIs: the target hangs up after the handshake, and its
// alert does not make it.
func TestLostAlertIsToldAsWhatItIs(t *testing.T) {
	ca := newCA(t)
	server := serverTLS(t, ca, "leaf01.test")
	for want, auth := range map[error]tls.ClientAuthType{ErrUnauthenticated: tls.RequestClientCert, ErrUnreachable: tls.NoClientCert} {
		server.ClientAuth = auth
		_, err := Dial(t.Context(), Target{
			Address: address, TLS: clientOf(ca), Scope: scope(t, "/"),
			Dialer: func(context.Context, string) (net.Conn, error) {
				ours, its := net.Pipe()
				go func() {
					defer its.Close()
					if err := tls.Server(its, server).Handshake(); err != nil {
						t.Errorf("handshake: %v", err)
					}
				}()
				return ours, nil
			},
		})
		wraps(t, err, want, address)
	}
}

func TestOldTLSIsNeverSpoken(t *testing.T) {
	for _, given := range []*tls.Config{nil, {}, {MinVersion: tls.VersionTLS10}, {MinVersion: tls.VersionTLS13}} {
		got, err := clientTLS(Target{Address: address, TLS: given}, new(atomic.Bool))
		if err != nil {
			t.Fatal(err)
		}
		if got.MinVersion < tls.VersionTLS12 || given != nil && got.MinVersion < given.MinVersion || got == given {
			t.Errorf("got version %x of %v", got.MinVersion, given)
		}
		if got.ServerName != "leaf01.test" {
			t.Errorf("got name %q", got.ServerName)
		}
	}
}

func withCert(c *tls.Config, certs []tls.Certificate) *tls.Config {
	c.Certificates = certs
	return c
}

func TestDialRefusesWhatIsNotSafe(t *testing.T) {
	f := &fake{}
	target, p := f.reach(t)
	for name, c := range map[string]struct {
		change func(*Target)
		says   string
	}{
		"TLS that verifies nothing": {func(t *Target) { t.Insecure, t.TLS = false, &tls.Config{InsecureSkipVerify: true} }, "insecure"},
		"an address without port":   {func(t *Target) { t.Address = "leaf01" }, "host:port"},
		"two addresses":             {func(t *Target) { t.Address = "a:1,b:2" }, "host:port"},
	} {
		t.Run(name, func(t *testing.T) {
			in := target
			c.change(&in)
			_, err := Dial(t.Context(), in)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want one that says %q", err, c.says)
			}
		})
	}
	if n := p.dialled(); n > 0 {
		t.Errorf("%d connections for settings that are refused", n)
	}
}

func TestPasswordIsNotSentToATargetWithoutTLS(t *testing.T) {
	asked := false
	f := &fake{capabilities: func(context.Context) (*gnmi.CapabilityResponse, error) {
		asked = true
		return &gnmi.CapabilityResponse{}, nil
	}}
	target, _ := f.reach(t)
	target.Insecure, target.Username, target.Password = false, "admin", "s3cr3t"
	_, err := Dial(t.Context(), target)
	wraps(t, err, ErrUnauthenticated, "does not speak TLS")
	if asked {
		t.Error("the target got a call")
	}
}

func TestEveryCallCarriesTheCredentials(t *testing.T) {
	seen := map[string][]string{}
	note := func(ctx context.Context, call string) {
		md, _ := metadata.FromIncomingContext(ctx)
		seen[call] = append(md.Get("username"), md.Get("password")...)
	}
	f := &fake{
		capabilities: func(ctx context.Context) (*gnmi.CapabilityResponse, error) {
			note(ctx, "capabilities")
			return nil, status.Error(codes.Unimplemented, "")
		},
		get: func(ctx context.Context, req *gnmi.GetRequest) (*gnmi.GetResponse, error) {
			note(ctx, "get")
			return answering(nil)(ctx, req)
		},
	}
	target, _ := f.reach(t)
	target.Username, target.Password = "admin", "s3cr3t"
	s := dial(t, target)
	if _, err := s.Running(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"admin", "s3cr3t"}
	if diff := cmp.Diff(map[string][]string{"capabilities": want, "get": want}, seen); diff != "" {
		t.Error(diff)
	}
}

func TestDialTakesATargetAtItsWord(t *testing.T) {
	for code, want := range map[codes.Code]error{
		codes.Unauthenticated:  ErrUnauthenticated,
		codes.PermissionDenied: ErrUnauthenticated,
		codes.Unavailable:      ErrUnreachable,
		codes.Unimplemented:    nil,
		codes.Internal:         nil,
	} {
		f := &fake{capabilities: func(context.Context) (*gnmi.CapabilityResponse, error) {
			return nil, status.Error(code, "because\nof \x1b[31mthis")
		}}
		target, _ := f.reach(t)
		s, err := Dial(t.Context(), target)
		if want == nil {
			if err != nil {
				t.Errorf("%s: %v", code, err)
				continue
			}
			s.Close()
			continue
		}
		wraps(t, err, want, address, "because of [31mthis")
	}
}

func TestTargetIsReachedOverTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ca := newCA(t)
	device, err := sim.New(sim.Config{TLS: serverTLS(t, ca, "127.0.0.1"), Initial: []byte(hostname)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- device.Serve(ctx, l) }()
	s := dial(t, Target{Name: "leaf01", Address: l.Addr().String(), TLS: clientOf(ca), Scope: scope(t, "/")})
	got, err := s.Running(t.Context())
	if err != nil || !got.Equal(mustParse(t, hostname)) {
		t.Errorf("got %v, %v", got, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	_, err = Dial(t.Context(), Target{Address: l.Addr().String(), Scope: scope(t, "/")})
	wraps(t, err, ErrUnreachable, "connection refused")
}

func TestWrongPasswordIsNotAuthenticated(t *testing.T) {
	_, target := reachSim(t, sim.Config{})
	target.Password = "guess"
	_, err := Dial(t.Context(), target)
	wraps(t, err, ErrUnauthenticated, address, "user name or password")
	if strings.Contains(err.Error(), "guess") {
		t.Errorf("%q shows the password", err)
	}
}

func TestJSONIsAskedOfATargetWithoutIETF(t *testing.T) {
	var asked gnmi.Encoding
	f := &fake{
		capabilities: func(context.Context) (*gnmi.CapabilityResponse, error) {
			return &gnmi.CapabilityResponse{SupportedEncodings: []gnmi.Encoding{gnmi.Encoding_ASCII, gnmi.Encoding_JSON}}, nil
		},
		get: func(ctx context.Context, req *gnmi.GetRequest) (*gnmi.GetResponse, error) {
			asked = req.GetEncoding()
			return answering(nil)(ctx, req)
		},
	}
	target, _ := f.reach(t)
	if _, err := dial(t, target).Running(t.Context()); err != nil {
		t.Fatal(err)
	}
	if asked != gnmi.Encoding_JSON {
		t.Errorf("asked for %s", asked)
	}
}
