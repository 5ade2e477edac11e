package device

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/plan"
)

// TestALeafGoesAsAScalarOfItsType where the platform's profile says so; all else is
// JSON there too.
func TestALeafGoesAsAScalarOfItsType(t *testing.T) {
	config, err := tree.Parse(tree.OpenConfig(), []byte(`{
		"openconfig-system:system":{"config":{"hostname":"42"},"dns":{"config":{"search":["b","a"]}}},
		"openconfig-interfaces:interfaces":{"interface":[{"name":"a","config":{"name":"a","type":"iana-if-type:ethernetCsmacd","mtu":9000,"enabled":true},
			"openconfig-if-ethernet:ethernet":{"openconfig-vlan:switched-vlan":{"config":{"trunk-vlans":[10,"20..30"]}}}}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	s := &Session{t: Target{Profile: models.Profile{Leaves: "scalar"}}}
	str := func(v string) *gnmi.TypedValue {
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_StringVal{StringVal: v}}
	}
	uint := func(v uint64) *gnmi.TypedValue {
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_UintVal{UintVal: v}}
	}
	list := func(v ...*gnmi.TypedValue) *gnmi.TypedValue {
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_LeaflistVal{LeaflistVal: &gnmi.ScalarArray{Element: v}}}
	}
	for text, want := range map[string]*gnmi.TypedValue{
		"/system/config/hostname":                                                 str("42"),
		"/system/dns/config/search":                                               list(str("b"), str("a")),
		"/interfaces/interface[name=a]/config/mtu":                                uint(9000),
		"/interfaces/interface[name=a]/config/enabled":                            {Value: &gnmi.TypedValue_BoolVal{BoolVal: true}},
		"/interfaces/interface[name=a]/config/type":                               str("iana-if-type:ethernetCsmacd"),
		"/interfaces/interface[name=a]/ethernet/switched-vlan/config/trunk-vlans": list(uint(10), str("20..30")),
		"/system/config":                                                          {Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: []byte(`{"hostname":"42"}`)}},
	} {
		p, err := tree.ParsePath(text)
		if err != nil {
			t.Fatal(err)
		}
		got := s.update(plan.Value{Path: p, Node: config.Lookup(p)}).GetVal()
		if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
			t.Errorf("%s: want (-), got (+)\n%s", text, d)
		}
	}
}
