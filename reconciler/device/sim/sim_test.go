package sim

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/ygot/ygot"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

// client is a raw gNMI client of one target over a pipe.
type client struct {
	gnmi.GNMIClient
	t      testing.TB
	target *Target
}

// serve starts a target over a pipe; it ends with the test.
func serve(t testing.TB, c Config) *client {
	t.Helper()
	target, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	lis := bufconn.Listen(1 << 16)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- target.Serve(ctx, lis) }()
	conn, err := grpc.NewClient("passthrough:sim",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return &client{GNMIClient: gnmi.NewGNMIClient(conn), t: t, target: target}
}

func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// p reads a path's text form with ygot, which follows the specification.
func p(t testing.TB, text string) *gnmi.Path {
	t.Helper()
	path, err := ygot.StringToStructuredPath(text)
	if err != nil {
		t.Fatalf("path %s: %v", text, err)
	}
	return path
}

func ietf(s string) *gnmi.TypedValue {
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: []byte(s)}}
}

func up(t testing.TB, path, value string) *gnmi.Update {
	return &gnmi.Update{Path: p(t, path), Val: ietf(value)}
}

// set sends a Set that must succeed.
func (c *client) set(req *gnmi.SetRequest) *gnmi.SetResponse {
	c.t.Helper()
	resp, err := c.Set(deadline(c.t), req)
	if err != nil {
		c.t.Fatalf("Set: %v", err)
	}
	return resp
}

func (c *client) update(path, value string) {
	c.t.Helper()
	c.set(&gnmi.SetRequest{Update: []*gnmi.Update{up(c.t, path, value)}})
}

func (c *client) replace(path, value string) {
	c.t.Helper()
	c.set(&gnmi.SetRequest{Replace: []*gnmi.Update{up(c.t, path, value)}})
}

func (c *client) remove(path string) {
	c.t.Helper()
	c.set(&gnmi.SetRequest{Delete: []*gnmi.Path{p(c.t, path)}})
}

// refused sends a Set that must fail with a code, and checks that nothing of it
// was applied.
func (c *client) refused(req *gnmi.SetRequest, want codes.Code, text string) {
	c.t.Helper()
	before, changing := c.target.Config(), c.target.ChangingSets()
	_, err := c.Set(deadline(c.t), req)
	if status.Code(err) != want || !strings.Contains(status.Convert(err).Message(), text) {
		c.t.Errorf("Set: %v, want %v with %q", err, want, text)
	}
	if after := c.target.Config(); !bytes.Equal(before, after) {
		c.t.Errorf("a refused Set changed the configuration\nfrom %s\nto   %s", before, after)
	}
	if c.target.ChangingSets() != changing {
		c.t.Error("a refused Set was counted as a change")
	}
}

// holds compares the configuration with JSON, whatever the order of members.
func (c *client) holds(want string) {
	c.t.Helper()
	if diff := cmp.Diff(tree(c.t, []byte(want)), tree(c.t, c.target.Config())); diff != "" {
		c.t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

func tree(t testing.TB, data []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return prune(v)
}

// prune drops empty arrays and objects, which mean nothing in RFC 7951 data.
func prune(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		if l, ok := v.([]any); ok {
			for i := range l {
				l[i] = prune(l[i])
			}
		}
		return v
	}
	for k := range m {
		switch x := prune(m[k]).(type) {
		case []any:
			if len(x) == 0 {
				delete(m, k)
			}
		case map[string]any:
			if len(x) == 0 {
				delete(m, k)
			}
		}
	}
	return m
}

// leafSwitch is a leaf switch's configuration of 160 kB.
func leafSwitch(t testing.TB) []byte {
	t.Helper()
	f, err := os.Open("testdata/leaf.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestInitialConfigurationComesBackAsItWasGiven(t *testing.T) {
	data := leafSwitch(t)
	c := serve(t, Config{Initial: data})
	c.holds(string(data))
}

func TestSetThenGetOverThePipe(t *testing.T) {
	c := serve(t, Config{})
	changed := c.target.Changed()
	c.update("/interfaces/interface[name=Ethernet1]/config/mtu", "9000")
	<-changed
	c.holds(`{"openconfig-interfaces:interfaces":{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":9000}}]}}`)
	resp, err := c.Get(deadline(t), &gnmi.GetRequest{Path: []*gnmi.Path{p(t, "/interfaces")}, Encoding: gnmi.Encoding_JSON_IETF})
	if err != nil {
		t.Fatal(err)
	}
	got := string(resp.GetNotification()[0].GetUpdate()[0].GetVal().GetJsonIetfVal())
	want := `{"openconfig-interfaces:interface":[{"name":"Ethernet1","config":{"mtu":9000,"name":"Ethernet1"}}]}`
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestAnotherClientsChangeShowsInTheStream(t *testing.T) {
	c := serve(t, Config{})
	s, err := c.Subscribe(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(&gnmi.SubscribeRequest{Request: &gnmi.SubscribeRequest_Subscribe{Subscribe: &gnmi.SubscriptionList{
		Encoding:     gnmi.Encoding_JSON_IETF,
		Subscription: []*gnmi.Subscription{{Path: p(t, "/interfaces"), Mode: gnmi.SubscriptionMode_ON_CHANGE}},
	}}}); err != nil {
		t.Fatal(err)
	}
	if m, err := s.Recv(); err != nil || !m.GetSyncResponse() {
		t.Fatalf("got %v, %v, want sync_response", m, err)
	}
	c.update("/interfaces/interface[name=Ethernet1]/config/mtu", "9000")
	m, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(m.GetUpdate().GetUpdate()); n != 3 {
		t.Errorf("%d updates, want name, config/name and config/mtu: %v", n, m)
	}
	c.remove("/interfaces/interface[name=Ethernet1]")
	if m, err = s.Recv(); err != nil {
		t.Fatal(err)
	}
	if d := m.GetUpdate().GetDelete(); len(d) != 1 {
		t.Errorf("deletes %v, want the container or entry", d)
	}
}

func BenchmarkOneLeafSet(b *testing.B) {
	b.Run("as set", func(b *testing.B) { oneLeafSet(b, Config{}) })
	b.Run("with defaults", func(b *testing.B) { oneLeafSet(b, Config{Defaults: true}) })
}

func oneLeafSet(b *testing.B, c Config) {
	c.Initial = leafSwitch(b)
	target, err := New(c)
	if err != nil {
		b.Fatal(err)
	}
	path := p(b, "/interfaces/interface[name=Ethernet1]/config/mtu")
	for i := 0; b.Loop(); i++ {
		v := &gnmi.TypedValue{Value: &gnmi.TypedValue_UintVal{UintVal: uint64(1500 + i%2)}}
		if _, err := target.Set(b.Context(), &gnmi.SetRequest{Update: []*gnmi.Update{{Path: path, Val: v}}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRootReplace(b *testing.B) {
	target, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	data := leafSwitch(b)
	req := &gnmi.SetRequest{Replace: []*gnmi.Update{{Path: &gnmi.Path{}, Val: ietf(string(data))}}}
	for b.Loop() {
		if _, err := target.Set(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
}
