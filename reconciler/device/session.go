package device

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmic/pkg/api"
	"github.com/openconfig/gnmic/pkg/api/target"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// maxMessage bounds one message from a target, in bytes. gRPC's own 4 MiB is
// less than the configuration of a large device.
const maxMessage = 128 << 20

// Session is a connection to one target. Its methods may be called from several
// goroutines at once.
type Session struct {
	t        Target
	encoding gnmi.Encoding // asked for in Get and Subscribe; answers in any other are understood
	client   *target.Target
	initial  atomic.Bool   // the target does not stream updates only
	streams  atomic.Uint64 // gnmic knows a subscription by name: each gets its own

	mu    sync.Mutex
	rungs map[string]string // what was proved so far, as Rungs gives it
	read  rung              // the proved rung of the read ladder; unproved at first
}

// Dial connects to the target and asks for its Capabilities, within
// DialTimeout. A target without Capabilities is fine. Errors name the address
// and wrap ErrUnreachable or ErrUnauthenticated; a Target that asks for
// something unsafe is an error that wraps neither.
//
// The rungs of the read ladder and the stream are proved by their first use, not
// here: proving a read takes a whole read.
func Dial(ctx context.Context, t Target) (*Session, error) {
	t.orDefaults()
	s := &Session{t: t, encoding: gnmi.Encoding_JSON_IETF, rungs: map[string]string{}}
	var err error
	var asked atomic.Bool
	if s.client, err = newClient(t, &asked); err != nil {
		return nil, fmt.Errorf("dial %s: %w", t.Address, err)
	}
	ctx, cancel := context.WithTimeout(ctx, t.DialTimeout)
	defer cancel()
	if err := s.connect(ctx); err != nil {
		if asked.Load() && errors.Is(err, ErrUnreachable) && !errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: the target asked for a client certificate and hung up: it wants one, or another one (%s)", ErrUnauthenticated, err)
		}
		return nil, errors.Join(fmt.Errorf("dial %s: %w", t.Address, err), s.client.Close())
	}
	return s, nil
}

// Close ends the session and every call that is running on it.
func (s *Session) Close() error {
	if err := s.client.Close(); err != nil {
		return fmt.Errorf("close %s: %w", s.t.Address, err)
	}
	return nil
}

// Rungs says how the target is read, watched and written, as far as it was
// proved by use: "read" is get-config, get-all or once; "watch" is on-change or
// sample; "write" is set.
func (s *Session) Rungs() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.rungs)
}

func (s *Session) proved(kind, how string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rungs[kind] = how
}

// newClient makes gnmic's client. It only parses; nothing is sent. asked is set
// once a target asks for a client certificate.
func newClient(t Target, asked *atomic.Bool) (*target.Target, error) {
	opts := []api.TargetOption{api.Name(string(t.Name)), api.Address(t.Address), api.Timeout(t.DialTimeout)}
	config, err := clientTLS(t, asked)
	switch {
	case err != nil:
		return nil, err
	case config == nil:
		opts = append(opts, api.Insecure(true))
	default:
		opts = append(opts, api.TLSConfig(config))
	}
	if t.Username != "" {
		opts = append(opts, api.Username(t.Username))
	}
	if t.Password != "" {
		opts = append(opts, api.Password(t.Password))
	}
	c, err := api.NewTarget(opts...)
	if err != nil {
		return nil, err
	}
	// gnmic leaves the dialer to the caller only for tunnel targets.
	c.Config.TunnelTargetType = "setpoint"
	// Nor does it leave reconnecting to the caller, but for the time in between.
	c.Config.RetryTimer = 24 * time.Hour
	return c, nil
}

// clientTLS gives the TLS to use, nil for a connection in clear. In TLS 1.3 the
// client is done before the target looks at its certificate, and the alert that
// names the trouble may be lost with the connection: that it was asked for is all
// that is left to know.
func clientTLS(t Target, asked *atomic.Bool) (*tls.Config, error) {
	host, _, err := net.SplitHostPort(t.Address)
	if err != nil || strings.Contains(t.Address, ",") {
		return nil, fmt.Errorf("address %q is not host:port", t.Address)
	}
	switch {
	case t.TLS == nil && t.Insecure:
		return nil, nil
	case t.TLS != nil && t.TLS.InsecureSkipVerify && !t.Insecure:
		return nil, errors.New("TLS that does not verify the target has to be permitted with insecure")
	}
	config := &tls.Config{}
	if t.TLS != nil {
		config = t.TLS.Clone()
	}
	choose := config.GetClientCertificate
	if choose == nil {
		choose = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return firstSupported(r, config.Certificates), nil
		}
	}
	config.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked.Store(true)
		return choose(r)
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	config.ServerName = cmp.Or(config.ServerName, host)
	return config, nil
}

// firstSupported is what crypto/tls does by itself: the first certificate that
// the target can take, else none.
func firstSupported(r *tls.CertificateRequestInfo, all []tls.Certificate) *tls.Certificate {
	for i := range all {
		if r.SupportsCertificate(&all[i]) == nil {
			return &all[i]
		}
	}
	return &tls.Certificate{}
}

// connect waits for the connection and for an answer to Capabilities, which is
// also the first call that carries the credentials.
func (s *Session) connect(ctx context.Context) error {
	err := s.client.CreateGNMIClient(ctx,
		grpc.WithContextDialer(s.t.Dialer),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithStatsHandler(sentHandler{}))
	if err != nil {
		return err
	}
	req, err := api.NewCapabilitiesRequest()
	if err != nil {
		return err
	}
	caps, err := s.client.Capabilities(ctx, req.GetExtension()...)
	if err != nil {
		if err := connectionError(err); err != nil {
			return err
		}
		s.t.Log.DebugContext(ctx, "target has no capabilities", "device", s.t.Name, "code", status.Code(err))
		return nil
	}
	s.chooseEncoding(caps)
	return nil
}

// chooseEncoding falls back to JSON for a target that says it has no JSON_IETF.
func (s *Session) chooseEncoding(caps *gnmi.CapabilityResponse) {
	var json bool
	for _, e := range caps.GetSupportedEncodings() {
		if e == s.encoding {
			return
		}
		json = json || e == gnmi.Encoding_JSON
	}
	if json {
		s.encoding = gnmi.Encoding_JSON
	}
}

// sentHandler notes whether a request was handed to the transport. A context
// made by withSent carries the note; others pass untouched.
type sentHandler struct{}

type sentKey struct{}

func withSent(ctx context.Context) (context.Context, *atomic.Bool) {
	sent := new(atomic.Bool)
	return context.WithValue(ctx, sentKey{}, sent), sent
}

func (sentHandler) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (sentHandler) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.OutPayload); !ok {
		return
	}
	if sent, ok := ctx.Value(sentKey{}).(*atomic.Bool); ok {
		sent.Store(true)
	}
}

func (sentHandler) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (sentHandler) HandleConn(context.Context, stats.ConnStats) {}
