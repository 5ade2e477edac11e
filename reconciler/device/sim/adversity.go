package sim

import (
	"context"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The codes that real systems answer with while someone else holds the lock, or
// when they are asked for a type of data that they do not tell apart.
var (
	lockCodes = map[string]codes.Code{
		"aborted": codes.Aborted, "failed-precondition": codes.FailedPrecondition, "unavailable": codes.Unavailable,
	}
	typeCodes = map[string]codes.Code{"unimplemented": codes.Unimplemented, "invalid-argument": codes.InvalidArgument}
)

// oversize is more than a gRPC client takes unless it asks for more: 4 MiB.
const oversize = 5 << 20

// pace holds an RPC up.
func (t *Target) pace(ctx context.Context, method string) error {
	b, rpc := t.broken.Load(), strings.ToLower(method[strings.LastIndexByte(method, '/')+1:])
	if slices.Contains(b.Hang, rpc) {
		return hang(ctx)
	}
	d := time.Duration(b.Delay[rpc])
	if d == 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

// hang waits until the client gives up.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return status.FromContextError(ctx.Err()).Err()
}

// clock is what the target takes an instant for.
func (t *Target) clock(at time.Time) time.Time {
	return at.Add(time.Duration(t.broken.Load().ClockSkew))
}

// locked refuses every Set while someone else holds the lock.
func (b *broken) locked() error {
	if b.Lock == "" {
		return nil
	}
	return status.Error(lockCodes[b.Lock], "configuration is locked by CLI")
}

// unanswered keeps the answer to a Set that was applied.
func (t *Target) unanswered(ctx context.Context) error {
	switch t.broken.Load().LoseAnswer {
	case "":
		return nil
	case "cut":
		t.mu.Lock()
		t.cut()
		t.mu.Unlock()
	}
	return hang(ctx)
}

// ungettable refuses a Get that the target does not do.
func (b *broken) ungettable(req *gnmi.GetRequest) error {
	switch {
	case b.GetUnimplemented:
		return status.Error(codes.Unimplemented, "Get is not supported")
	case b.GetAllOnly != "" && req.GetType() != gnmi.GetRequest_ALL:
		return status.Errorf(typeCodes[b.GetAllOnly], "type %s is not supported", req.GetType())
	}
	return nil
}

// unreadable: the pattern meets a path that the target fails to read.
func (b *broken) unreadable(pattern []step) error {
	for _, p := range b.partial {
		if covers(p, pattern) || covers(pattern, p) {
			return status.Errorf(codes.Internal, "%s: configuration could not be retrieved", b.PartialGet)
		}
	}
	return nil
}

// ends tells whether a stream is to end now, and how.
func (b *broken) ends() (error, bool) {
	switch {
	case b.CloseStream == "always", b.CloseStream == "once" && b.closed.CompareAndSwap(false, true):
		return nil, true
	case b.CancelStream == "always", b.CancelStream == "once" && b.canceled.CompareAndSwap(false, true):
		return status.Error(codes.Canceled, "stream is canceled by the target"), true
	}
	return nil, false
}

// unnamed tells whether a path to subscribe to lacks the origin that it has to name.
func (b *broken) unnamed(prefix, path *gnmi.Path) bool {
	return b.Origin != "" && prefix.GetOrigin()+path.GetOrigin() != b.Origin
}

// mute tells whether changes are told to nobody.
func (b *broken) mute() bool { return b.NoOnChange == "silent" }

// loses tells whether one more notification gets lost.
func (b *broken) loses() bool {
	n := int64(b.LoseNotifications)
	return b.lost.Load() < n && b.lost.Add(1) <= n
}

// malform makes a notification one that the protocol does not allow, or that is
// larger than a client takes.
func (b *broken) malform(n *gnmi.Notification) {
	if b.Malformed == "" {
		return
	}
	if len(n.Update) == 0 {
		n.Update = []*gnmi.Update{{Path: &gnmi.Path{}}}
	}
	json := func(text string) *gnmi.TypedValue {
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: []byte(text)}}
	}
	switch u := n.Update[0]; b.Malformed {
	case "path":
		u.Path, u.Val = &gnmi.Path{Elem: []*gnmi.PathElem{{Name: "no-such-node"}, {}}}, json(`"x"`)
	case "value":
		u.Val = json(`{"cut": "sho`)
	case "oversized":
		u.Val = json(quote(strings.Repeat("x", oversize)))
	}
}

// listener knows the connections of a target, so that they can be cut.
type listener struct {
	net.Listener
	target *Target
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	out := &conn{c, l.target}
	l.target.mu.Lock()
	defer l.target.mu.Unlock()
	l.target.conns[out] = struct{}{}
	return out, nil
}

type conn struct {
	net.Conn
	target *Target
}

func (c *conn) Close() error {
	c.target.mu.Lock()
	delete(c.target.conns, c)
	c.target.mu.Unlock()
	return c.Conn.Close()
}

// cut breaks all connections. mu is held.
func (t *Target) cut() {
	for c := range t.conns {
		c.Conn.Close() // gRPC closes it again, and forgets it
	}
}

// SaveStartup makes the configuration now the one that a reboot begins with.
func (t *Target) SaveStartup() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.startup = t.root
}

// Reboot goes back to the startup configuration: that of SaveStartup, or else
// Config.Initial. Every connection breaks; Serve goes on, and takes new ones at
// once. Faults stay as they are.
func (t *Target) Reboot() {
	t.setting.Lock()
	defer t.setting.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cut()
	t.settle()
	t.masters = map[string]*gnmi_ext.Uint128{}
	if t.root == t.startup {
		return
	}
	t.view = t.seen(t.startup)
	t.root = t.startup
	close(t.changed)
	t.changed = make(chan struct{})
	t.tell()
}
