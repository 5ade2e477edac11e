package sim_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/setpoint-net/setpoint/reconciler/device/sim"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

// clause is one thing that the gNMI specification says, or leaves to the target,
// and how a target shows that it does so. The tables in the files beside this one
// follow the specification's own order, so that both can be read side by side.
type clause struct {
	section string // of the specification, version 0.10.0; "conventions" and "strings" are its documents on paths
	claim   string
	check   func(w *wire)
}

// chapters are all clauses, in the order of the specification.
var chapters = [][]clause{commonClauses, sessionClauses, getClauses, setClauses, subscribeClauses}

// A target on the wire does what the specification says: every clause against a
// fresh target, over TLS, with nothing but gRPC and the protos of gNMI. Each runs
// in a bubble, where seconds cost nothing and silence can be seen.
func TestConformance(t *testing.T) {
	for _, chapter := range chapters {
		for _, c := range chapter {
			t.Run(c.section+" "+c.claim, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { c.check(serve(t, sim.Config{Initial: []byte(base)})) })
			})
		}
	}
}

// sections are those of the specification that speak of what a target does.
// Missing are: 1 (introduction), 2.3.2 and 2.3.4 (encodings that are not offered;
// 3.3.1 and 3.4.7 show the refusal), 2.7.4 (one origin only), 3.3.3 (advice to
// clients).
var sections = strings.Fields(`2.1 2.2.1 2.2.2 2.2.2.1 2.2.3 conventions strings 2.3.1 2.3.3 2.4.1 2.4.2 2.5 2.6 2.7 2.7.1 2.7.3 2.8
	3 3.1 3.2.2
	3.3.1 3.3.2 3.3.4
	3.4 3.4.1 3.4.2 3.4.3 3.4.4 3.4.5 3.4.6 3.4.7
	3.5 3.5.1.1 3.5.1.2 3.5.1.3 3.5.1.4 3.5.1.5.1 3.5.1.5.2 3.5.1.5.3 3.5.2.1 3.5.2.3 3.5.2.4`)

func TestTheTablesFollowTheSpecification(t *testing.T) {
	var order []string
	seen := map[string]bool{}
	for _, chapter := range chapters {
		for _, c := range chapter {
			if len(order) == 0 || order[len(order)-1] != c.section {
				order = append(order, c.section)
			}
			if seen[c.section+c.claim] {
				t.Errorf("twice: %s %s", c.section, c.claim)
			}
			seen[c.section+c.claim] = true
		}
	}
	if diff := cmp.Diff(sections, order); diff != "" {
		t.Errorf("sections in the order of the specification, each in one place (-want +got):\n%s", diff)
	}
}

// base is what a target runs where a clause does not say otherwise.
const base = `{
	"openconfig-acl:acl":{"acl-sets":{"acl-set":[
		{"name":"A","type":"openconfig-acl:ACL_IPV4","config":{"name":"A","type":"openconfig-acl:ACL_IPV4","description":"d"}},
		{"name":"A","type":"openconfig-acl:ACL_IPV6","config":{"name":"A","type":"openconfig-acl:ACL_IPV6"}},
		{"name":"B","type":"openconfig-acl:ACL_IPV4","config":{"name":"B","type":"openconfig-acl:ACL_IPV4"}}]}},
	"openconfig-interfaces:interfaces":{"interface":[
		{"name":"Ethernet1","config":{"name":"Ethernet1","description":"one","mtu":1500}},
		{"name":"Ethernet2","config":{"name":"Ethernet2","mtu":1500}}]},
	"openconfig-lldp:lldp":{"config":{"hello-timer":"30"}},
	"openconfig-system:system":{"config":{"hostname":"leaf01"},"dns":{"config":{"search":["b.example","a.example"]}}}}`

// Paths into it.
const (
	e1       = "/interfaces/interface[name=Ethernet1]"
	e2       = "/interfaces/interface[name=Ethernet2]"
	e3       = "/interfaces/interface[name=Ethernet3]"
	aclSet   = "/acl/acl-sets/acl-set"
	search   = "/system/dns/config/search"
	hostname = "/system/config/hostname"
)

// wire is a client of one target: a connection, and what a test wants of it.
type wire struct {
	gnmi.GNMIClient
	t    *testing.T
	conn *grpc.ClientConn
	ca   *sim.CA
	lis  *bufconn.Listener
}

// serve starts a target over TLS, which ends with the test. c.TLS is made here;
// what else it is to demand of a client is for adjust to say.
func serve(t *testing.T, c sim.Config, adjust ...func(*tls.Config)) *wire {
	t.Helper()
	w := &wire{t: t, lis: bufconn.Listen(1 << 16)}
	var err error
	if w.ca, err = sim.NewCA(time.Now()); err != nil {
		t.Fatal(err)
	}
	if c.TLS, err = w.ca.ServerTLS("localhost"); err != nil {
		t.Fatal(err)
	}
	for _, f := range adjust {
		f(c.TLS)
	}
	target, err := sim.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- target.Serve(ctx, w.lis) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	w.dial(credentials.NewTLS(&tls.Config{RootCAs: w.ca.Pool(), ServerName: "localhost"}))
	return w
}

// dial makes the wire's connection.
func (w *wire) dial(creds credentials.TransportCredentials) {
	conn, err := grpc.NewClient("passthrough:sim", grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return w.lis.DialContext(ctx) }))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	w.conn, w.GNMIClient = conn, gnmi.NewGNMIClient(conn)
}

func (w *wire) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	w.t.Cleanup(cancel)
	return ctx
}

// fails checks an error: its code, and that it says something with text in it.
func (w *wire) fails(err error, code codes.Code, text string) {
	w.t.Helper()
	s := status.Convert(err)
	if s.Code() != code || code != codes.OK && s.Message() == "" || !strings.Contains(s.Message(), text) {
		w.t.Errorf("%v\nwant %v with %q", err, code, text)
	}
}

// path reads the text form of a path (gnmi-path-strings). A prefix like "cli:" of
// the text is its origin.
func path(text string) *gnmi.Path {
	p := &gnmi.Path{}
	if origin, rest, ok := strings.Cut(text, ":/"); ok {
		p.Origin, text = origin, "/"+rest
	}
	for text != "" {
		text = strings.TrimPrefix(text, "/")
		if text == "" {
			break
		}
		end := strings.IndexAny(text, "[/")
		if end < 0 {
			end = len(text)
		}
		e := &gnmi.PathElem{Name: text[:end]}
		for text = text[end:]; strings.HasPrefix(text, "["); {
			if e.Key == nil {
				e.Key = map[string]string{}
			}
			var name, value string
			name, text, _ = strings.Cut(text[1:], "=")
			value, text = keyValue(text)
			e.Key[name] = value
		}
		p.Elem = append(p.Elem, e)
	}
	return p
}

// keyValue reads up to the "]" that is not escaped.
func keyValue(text string) (value, rest string) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case ']':
			return b.String(), text[i+1:]
		case '\\':
			i++
		}
		b.WriteByte(text[i])
	}
	return b.String(), ""
}

func pathText(p *gnmi.Path) string {
	var b strings.Builder
	for _, e := range p.GetElem() {
		b.WriteString("/" + e.GetName())
		for _, k := range slices.Sorted(maps.Keys(e.GetKey())) {
			b.WriteString("[" + k + "=" + strings.NewReplacer(`\`, `\\`, `]`, `\]`).Replace(e.GetKey()[k]) + "]")
		}
	}
	return cmpOr(b.String(), "/")
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// lines writes a notification: what is deleted with a minus, then paths and values.
func lines(n *gnmi.Notification) []string {
	var out []string
	for _, d := range n.GetDelete() {
		out = append(out, "-"+pathText(d))
	}
	for _, u := range n.GetUpdate() {
		out = append(out, pathText(u.GetPath())+" "+sim.ValueText(u.GetVal()))
	}
	return out
}

func ietf(text string) *gnmi.TypedValue {
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: []byte(text)}}
}

// get is a Get of configuration that must succeed: one line per update.
func (w *wire) get(req *gnmi.GetRequest) []string {
	w.t.Helper()
	resp, err := w.Get(w.ctx(), req)
	if err != nil {
		w.t.Fatalf("Get: %v", err)
	}
	out := []string{}
	for _, n := range resp.GetNotification() {
		out = append(out, lines(n)...)
	}
	return out
}

// gets is a Get of one path in an encoding, and what it must answer.
func (w *wire) gets(text string, e gnmi.Encoding, want ...string) {
	w.t.Helper()
	got := w.get(&gnmi.GetRequest{Path: []*gnmi.Path{path(text)}, Encoding: e})
	for i := range got {
		got[i] = strings.ReplaceAll(got[i], ":  ", ":") // prototext blurs its spaces on purpose
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("Get %s %v\ngot  %q\nwant %q", text, e, got, want)
	}
}

// getFails is a Get of one path that must fail.
func (w *wire) getFails(text string, code codes.Code, message string) {
	w.t.Helper()
	_, err := w.Get(w.ctx(), &gnmi.GetRequest{Path: []*gnmi.Path{path(text)}, Encoding: gnmi.Encoding_JSON_IETF})
	w.fails(err, code, message)
}

// holds compares what the target runs at a path with JSON_IETF.
func (w *wire) holds(text, want string) {
	w.t.Helper()
	if diff := cmp.Diff(decode(w.t, want), decode(w.t, w.running(text))); diff != "" {
		w.t.Errorf("%s (-want +got):\n%s", text, diff)
	}
}

// lacks: the target runs nothing at a path.
func (w *wire) lacks(paths ...string) {
	w.t.Helper()
	for _, p := range paths {
		w.getFails(p, codes.NotFound, "")
	}
}

// running is what the target runs at a path, which exists.
func (w *wire) running(text string) string {
	w.t.Helper()
	resp, err := w.Get(w.ctx(), &gnmi.GetRequest{Path: []*gnmi.Path{path(text)}, Type: gnmi.GetRequest_CONFIG, Encoding: gnmi.Encoding_JSON_IETF})
	if err != nil {
		w.t.Fatalf("Get %s: %v", text, err)
	}
	return sim.ValueText(resp.GetNotification()[0].GetUpdate()[0].GetVal())
}

// decode reads JSON, without the modules of its names.
func decode(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return bare(v)
}

func bare(v any) any {
	switch x := v.(type) {
	case []any:
		for i := range x {
			x[i] = bare(x[i])
		}
	case map[string]any:
		for name, child := range x {
			delete(x, name)
			x[name[strings.LastIndexByte(name, ':')+1:]] = bare(child)
		}
	}
	return v
}

// op is one operation of a SetRequest.
type op func(*gnmi.SetRequest)

func remove(text string) op {
	return func(r *gnmi.SetRequest) { r.Delete = append(r.Delete, path(text)) }
}

func replace(text, value string) op {
	return func(r *gnmi.SetRequest) {
		r.Replace = append(r.Replace, &gnmi.Update{Path: path(text), Val: ietf(value)})
	}
}

func update(text, value string) op { return updateVal(text, ietf(value)) }

func updateVal(text string, v *gnmi.TypedValue) op {
	return func(r *gnmi.SetRequest) { r.Update = append(r.Update, &gnmi.Update{Path: path(text), Val: v}) }
}

func setRequest(ops ...op) *gnmi.SetRequest {
	r := &gnmi.SetRequest{}
	for _, o := range ops {
		o(r)
	}
	return r
}

// set is a Set that must succeed.
func (w *wire) set(ops ...op) *gnmi.SetResponse {
	w.t.Helper()
	resp, err := w.Set(w.ctx(), setRequest(ops...))
	if err != nil {
		w.t.Fatalf("Set: %v", err)
	}
	return resp
}

// refuses is a Set that must fail, change nothing and be told to nobody.
func (w *wire) refuses(code codes.Code, text string, ops ...op) {
	w.t.Helper()
	before := w.running("/")
	s := w.subscribe(&gnmi.SubscriptionList{UpdatesOnly: true, Subscription: []*gnmi.Subscription{onChange("/")}})
	s.says("sync")
	_, err := w.Set(w.ctx(), setRequest(ops...))
	w.fails(err, code, text)
	if diff := cmp.Diff(decode(w.t, before), decode(w.t, w.running("/"))); diff != "" {
		w.t.Errorf("a Set that failed changed (-before +after):\n%s", diff)
	}
	s.says()
	s.leave()
}

// stream is a Subscribe RPC. What it receives is kept as lines: "sync", the
// updates of a message, or how the RPC ended.
type stream struct {
	gnmi.GNMI_SubscribeClient
	t     *testing.T
	leave context.CancelFunc

	mu       sync.Mutex
	got      []string
	messages []*gnmi.SubscribeResponse
}

// open starts a Subscribe RPC and sends a first message.
func (w *wire) open(req *gnmi.SubscribeRequest) *stream {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w.t.Cleanup(cancel)
	rpc, err := w.Subscribe(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	s := &stream{GNMI_SubscribeClient: rpc, t: w.t, leave: cancel}
	s.sends(req)
	go s.receive()
	return s
}

func (w *wire) subscribe(l *gnmi.SubscriptionList) *stream {
	w.t.Helper()
	if l.Encoding == gnmi.Encoding_JSON {
		l.Encoding = gnmi.Encoding_JSON_IETF
	}
	return w.open(&gnmi.SubscribeRequest{Request: &gnmi.SubscribeRequest_Subscribe{Subscribe: l}})
}

func (s *stream) sends(req *gnmi.SubscribeRequest) {
	s.t.Helper()
	if err := s.Send(req); err != nil && !errors.Is(err, io.EOF) { // Recv says why it is closed
		s.t.Fatal(err)
	}
}

func (s *stream) polls() {
	s.t.Helper()
	s.sends(&gnmi.SubscribeRequest{Request: &gnmi.SubscribeRequest_Poll{Poll: &gnmi.Poll{}}})
}

func (s *stream) receive() {
	for {
		m, err := s.Recv()
		line := strings.Join(lines(m.GetUpdate()), "; ")
		switch {
		case errors.Is(err, io.EOF):
			line = "end OK"
		case err != nil:
			line = "end " + status.Code(err).String()
		case m.GetSyncResponse():
			line = "sync"
		}
		s.mu.Lock()
		s.got = append(s.got, line)
		s.messages = append(s.messages, m)
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// says waits until nothing moves any more, and compares all that came since the
// last time.
func (s *stream) says(want ...string) {
	s.t.Helper()
	if got := s.heard(); !slices.Equal(got, want) {
		s.t.Errorf("the stream says\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func (s *stream) heard() []string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.got
	s.got = nil
	return got
}

// after lets time pass, and compares what came meanwhile.
func (s *stream) after(d time.Duration, want ...string) {
	s.t.Helper()
	<-time.After(d)
	s.says(want...)
}

// updates are all notifications that came so far.
func (s *stream) updates() []*gnmi.Notification {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*gnmi.Notification
	for _, m := range s.messages {
		if m.GetUpdate() != nil {
			out = append(out, m.GetUpdate())
		}
	}
	return out
}

func onChange(text string) *gnmi.Subscription {
	return &gnmi.Subscription{Path: path(text), Mode: gnmi.SubscriptionMode_ON_CHANGE}
}

func sample(text string, every time.Duration) *gnmi.Subscription {
	return &gnmi.Subscription{Path: path(text), Mode: gnmi.SubscriptionMode_SAMPLE, SampleInterval: uint64(every)}
}

func list(mode gnmi.SubscriptionList_Mode, subs ...*gnmi.Subscription) *gnmi.SubscriptionList {
	return &gnmi.SubscriptionList{Mode: mode, Subscription: subs}
}

func streaming(subs ...*gnmi.Subscription) *gnmi.SubscriptionList {
	return list(gnmi.SubscriptionList_STREAM, subs...)
}

func once(text string) *gnmi.SubscriptionList {
	return list(gnmi.SubscriptionList_ONCE, onChange(text))
}

func polling(text string) *gnmi.SubscriptionList {
	return list(gnmi.SubscriptionList_POLL, onChange(text))
}
