// Package device is one gNMI session with one target: it reads what the target
// runs, applies a plan to it, and watches it for change. It is the only place
// that knows gNMI and the client library (gnmic's pkg/api); everything above it
// sees trees in intent space, plans, and a handful of sentinel errors that each
// stand for one decision of the caller.
//
// # What a session is
//
// [Dial] connects with TLS and credentials and asks for Capabilities. A
// [Session] holds one gRPC connection and may be used by several goroutines; a
// connection that breaks is dialled again by gRPC, so a session that once worked
// may be kept or closed after [ErrUnreachable], as the caller likes. [Session.Close]
// ends every call that is still running.
//
// # Reading
//
// [Session.Running] sends one request per top container that holds managed
// paths, never "/" (gNMI on real targets: Get of the root is often refused). It
// climbs a ladder, because Get is optional in practice: Get CONFIG, Get ALL with
// state nodes filtered by schema, Subscribe ONCE with the same filter. A rung
// that answered once is kept for the life of the session, and a later refusal is
// then a failure and no reason to climb down. Answers are decoded by schema:
// any arm of TypedValue, at any depth below the container that was asked for,
// with and without a prefix.
//
// [Session.Read] is the same for whoever may know the answer already: it gives the
// answers by container, each with the hash of its bytes, and parses none that
// nobody asks for.
//
// An answer that could not be read whole is an error ([ErrPartialRead]), never a
// smaller tree: a missing tree would be read as "everything was deleted". A
// container is empty only if the target answered so: an OK to Get, or NotFound.
// A Subscribe ONCE that syncs without a value proves nothing, as targets also
// answer unknown paths so; it is believed once the same target gave a value
// for another container.
//
// # Writing
//
// [Session.Apply] sends a plan's operations as one SetRequest, which gNMI makes atomic: all
// or nothing (gNMI 3.4.3). It does not read back; that is the caller's next step
// whatever Apply returned. Values go as ready-made JSON_IETF, paths as elements:
// nothing is converted on the way.
//
// # Watching
//
// [Session.Watch] says that something managed may have changed, and in which top
// container as far as that is sure, never what.
// State (counters, operational status) is not reported where the schema can
// tell. Silence proves nothing: some targets sync and stay silent for ever, so a
// periodic read has to stand behind every watch.
//
// # Never
//
// The package retries nothing, decides nothing about drift, keeps no copy of a
// config, and logs neither a value nor a credential.
package device

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// Each error of this package wraps at most one of these; what to do next is the
// sentinel's meaning. An error that wraps none is passing (a lock, a full
// queue): try again.
var (
	// ErrUnreachable: the target did not answer, or the connection broke before
	// anything was written. Retry with backoff.
	ErrUnreachable = errors.New("unreachable")

	// ErrUnauthenticated: the target was reached, and one side did not accept
	// the other: a certificate, a user name or a password. The text says which.
	// Retry slowly: it takes a person.
	ErrUnauthenticated = errors.New("not authenticated")

	// ErrRejected: the target refused the content of a Set and, by gNMI 3.4.3,
	// changed nothing. Do not send the same again; do read.
	ErrRejected = errors.New("rejected by the target")

	// ErrUnknownOutcome: a Set was sent and its answer is missing. The target
	// may or may not have applied it: read before anything else.
	ErrUnknownOutcome = errors.New("outcome unknown")

	// ErrPartialRead: the target answered, but what it runs cannot be told from
	// the answer. Nothing is known about the device until a read succeeds.
	ErrPartialRead = errors.New("read incomplete")
)

// Deadlines used where a Target gives none. A Set may be slow on purpose: targets
// have been measured at 14 seconds for one leaf.
const (
	DefaultDialTimeout = 10 * time.Second
	DefaultReadTimeout = 60 * time.Second
	DefaultSetTimeout  = 120 * time.Second
)

// Target is what Dial needs to know of a device.
type Target struct {
	Name    models.DeviceName // for logs and errors
	Address string            // host:port

	// TLS is the client side of the connection: CAs, client certificate,
	// ServerName. It is copied. Versions below 1.2 are never used (gNMI 2.5), and
	// ServerName is the host of Address unless set. Nil means TLS with the
	// system's CAs.
	TLS *tls.Config

	Username string
	Password string // sent as metadata with every call; never without TLS unless Insecure

	// Insecure permits what is refused otherwise: a connection without TLS (if
	// TLS is nil), or with a TLS that does not verify the target.
	Insecure bool

	Profile models.Profile // how its platform differs
	Scope   *tree.Scope    // the managed paths: what is read and watched
	Schema  *tree.Schema   // nil means tree.OpenConfig()

	DialTimeout time.Duration // connecting and Capabilities together; 0 means DefaultDialTimeout
	ReadTimeout time.Duration // each Get, each Subscribe ONCE, the sync of a stream; 0 means DefaultReadTimeout
	SetTimeout  time.Duration // 0 means DefaultSetTimeout

	Dialer func(context.Context, string) (net.Conn, error) // nil means TCP
	Log    *slog.Logger                                    // nil means none
}

func (t *Target) orDefaults() {
	if t.Schema == nil {
		t.Schema = tree.OpenConfig()
	}
	if t.DialTimeout <= 0 {
		t.DialTimeout = DefaultDialTimeout
	}
	if t.ReadTimeout <= 0 {
		t.ReadTimeout = DefaultReadTimeout
	}
	if t.SetTimeout <= 0 {
		t.SetTimeout = DefaultSetTimeout
	}
	if t.Dialer == nil {
		t.Dialer = dialTCP
	}
	if t.Log == nil {
		t.Log = slog.New(slog.DiscardHandler)
	}
}

// dialTCP notices a dead peer within about a minute. It leaves that to TCP: gRPC's
// own pings at such a rate make stock servers hang up (ENHANCE_YOUR_CALM).
func dialTCP(ctx context.Context, address string) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3,
	}}
	return d.DialContext(ctx, "tcp", address)
}
