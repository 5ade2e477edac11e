package sim

import (
	"bytes"
	"testing"

	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Any bytes that are a SetRequest, a GetRequest or a SubscribeRequest: they are
// answered with a canonical code or OK, and never half applied. FuzzSet looks
// deeper, into one path and its JSON.
func FuzzRequest(f *testing.F) {
	mtu := p(f, "/interfaces/interface[name=e1]/config/mtu")
	for _, seed := range []proto.Message{
		&gnmi.SetRequest{
			Prefix:  &gnmi.Path{Target: "leaf01", Origin: "openconfig"},
			Delete:  []*gnmi.Path{p(f, "/lldp"), {Elem: []*gnmi.PathElem{{Name: "..."}, {Name: "mtu"}}}},
			Replace: []*gnmi.Update{{Path: mtu, Val: &gnmi.TypedValue{Value: &gnmi.TypedValue_UintVal{UintVal: 9000}}}},
			Update: []*gnmi.Update{
				{Path: p(f, search), Val: &gnmi.TypedValue{Value: &gnmi.TypedValue_LeaflistVal{LeaflistVal: &gnmi.ScalarArray{Element: []*gnmi.TypedValue{{}}}}}},
				{Path: mtu, Val: &gnmi.TypedValue{Value: &gnmi.TypedValue_DoubleVal{DoubleVal: 1e300}}},
				{Path: p(f, "/lldp/config"), Val: &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonVal{JsonVal: []byte(`{"hello-timer":30}`)}}},
			},
		},
		&gnmi.GetRequest{Prefix: p(f, "/interfaces"), Path: []*gnmi.Path{p(f, "/interface[name=*]"), {Elem: []*gnmi.PathElem{{}}}}, Encoding: gnmi.Encoding_PROTO},
		&gnmi.SubscribeRequest{Request: &gnmi.SubscribeRequest_Subscribe{Subscribe: &gnmi.SubscriptionList{
			Prefix:       p(f, "/interfaces"),
			Subscription: []*gnmi.Subscription{{Path: p(f, "/interface"), Mode: gnmi.SubscriptionMode_SAMPLE, SampleInterval: 1 << 63, HeartbeatInterval: 1}},
			Qos:          &gnmi.QOSMarking{Marking: 46},
		}}},
	} {
		b, err := proto.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		target, err := New(Config{Initial: []byte(getConfig)})
		if err != nil {
			t.Fatal(err)
		}
		canonical := func(err error) {
			if _, ok := status.FromError(err); !ok || status.Code(err) == codes.Unknown {
				t.Fatalf("not a canonical error: %v", err)
			}
		}
		var get gnmi.GetRequest
		if proto.Unmarshal(data, &get) == nil {
			_, err := target.Get(t.Context(), &get)
			canonical(err)
		}
		var sub gnmi.SubscribeRequest
		if proto.Unmarshal(data, &sub) == nil {
			_, err := target.subscription(nil, &sub)
			canonical(err)
		}
		var set gnmi.SetRequest
		if proto.Unmarshal(data, &set) != nil {
			return
		}
		before := target.Config()
		_, err = target.Set(t.Context(), &set)
		canonical(err)
		check(t, target.now())
		if after := target.Config(); err != nil && !bytes.Equal(before, after) {
			t.Fatalf("half applied: %v\n%s", err, after)
		}
	})
}
