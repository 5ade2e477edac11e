//lint:file-ignore SA1019 Targets still send the deprecated forms.

package device

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/protobuf/proto"

	"github.com/setpoint-net/setpoint/models/tree"
)

func read(t testing.TB, root string, ns ...*gnmi.Notification) (*tree.Tree, error) {
	t.Helper()
	doc := newDocument(tree.OpenConfig())
	if err := doc.add(ns, root); err != nil {
		return nil, err
	}
	out, _, err := tree.ParseLenient(tree.OpenConfig(), doc.json())
	return out, err
}

func update(t testing.TB, at string, v *gnmi.TypedValue) *gnmi.Update {
	return &gnmi.Update{Path: wirePath(t, at), Val: v}
}

func text(s string) *gnmi.TypedValue {
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_StringVal{StringVal: s}}
}

func number(n uint64) *gnmi.TypedValue {
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_UintVal{UintVal: n}}
}

func signed(n int64) *gnmi.TypedValue {
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_IntVal{IntVal: n}}
}

func list(all ...*gnmi.TypedValue) *gnmi.TypedValue {
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_LeaflistVal{LeaflistVal: &gnmi.ScalarArray{Element: all}}}
}

// TestEveryArmOfTypedValueIsReadByTheSchema: targets answer JSON_IETF requests
// with scalars, numbers with text, and text with numbers.
func TestEveryArmOfTypedValueIsReadByTheSchema(t *testing.T) {
	const (
		entry = "/interfaces/interface[name=Ethernet1]"
		mtu   = entry + "/config/mtu"
		desc  = entry + "/config/description"
		on    = entry + "/config/enabled"
		kind  = entry + "/config/type"
		vlans = entry + "/ethernet/switched-vlan/config/trunk-vlans"
	)
	has := func(rest string) string { return `{"interfaces":{"interface":[{"name":"Ethernet1",` + rest + `}]}}` }
	for name, c := range map[string]struct {
		at   string
		v    *gnmi.TypedValue
		want string
	}{
		"json_ietf":                {mtu, ietf(`9000`), has(`"config":{"mtu":9000}`)},
		"json":                     {mtu, &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonVal{JsonVal: []byte(` 9000 `)}}, has(`"config":{"mtu":9000}`)},
		"uint":                     {mtu, number(9000), has(`"config":{"mtu":9000}`)},
		"int":                      {mtu, signed(9000), has(`"config":{"mtu":9000}`)},
		"double for a number":      {mtu, &gnmi.TypedValue{Value: &gnmi.TypedValue_DoubleVal{DoubleVal: 9000}}, has(`"config":{"mtu":9000}`)},
		"float for a number":       {mtu, &gnmi.TypedValue{Value: &gnmi.TypedValue_FloatVal{FloatVal: 9000}}, has(`"config":{"mtu":9000}`)},
		"decimal for a number":     {mtu, &gnmi.TypedValue{Value: &gnmi.TypedValue_DecimalVal{DecimalVal: &gnmi.Decimal64{Digits: 9000}}}, has(`"config":{"mtu":9000}`)},
		"text for a number":        {mtu, text("9000"), has(`"config":{"mtu":9000}`)},
		"ascii for a number":       {mtu, &gnmi.TypedValue{Value: &gnmi.TypedValue_AsciiVal{AsciiVal: "9000"}}, has(`"config":{"mtu":9000}`)},
		"bytes for a number":       {mtu, &gnmi.TypedValue{Value: &gnmi.TypedValue_BytesVal{BytesVal: []byte("9000")}}, has(`"config":{"mtu":9000}`)},
		"text":                     {desc, text(`a "b" \ 42`), has(`"config":{"description":"a \"b\" \\ 42"}`)},
		"digits as text stay text": {desc, text("42"), has(`"config":{"description":"42"}`)},
		"true as text stays text":  {desc, text("true"), has(`"config":{"description":"true"}`)},
		"a number for text":        {desc, number(42), has(`"config":{"description":"42"}`)},
		"a bool for text":          {desc, &gnmi.TypedValue{Value: &gnmi.TypedValue_BoolVal{BoolVal: true}}, has(`"config":{"description":"true"}`)},
		"bool":                     {on, &gnmi.TypedValue{Value: &gnmi.TypedValue_BoolVal{BoolVal: false}}, has(`"config":{"enabled":false}`)},
		"text for a bool":          {on, text("false"), has(`"config":{"enabled":false}`)},
		"identity, bare":           {kind, text("ethernetCsmacd"), has(`"config":{"type":"iana-if-type:ethernetCsmacd"}`)},
		"identity, qualified":      {kind, text("iana-if-type:ethernetCsmacd"), has(`"config":{"type":"iana-if-type:ethernetCsmacd"}`)},
		"identity, other prefix":   {kind, text("ianaift:ethernetCsmacd"), has(`"config":{"type":"iana-if-type:ethernetCsmacd"}`)},
		"leaf-list":                {vlans, list(number(20), text("10..12"), signed(5)), has(`"ethernet":{"switched-vlan":{"config":{"trunk-vlans":[5,20,"10..12"]}}}`)},
		"leaf-list of one":         {vlans, number(20), has(`"ethernet":{"switched-vlan":{"config":{"trunk-vlans":[20]}}}`)},
		"leaf-list in JSON":        {vlans, ietf(`[20,"10..12"]`), has(`"ethernet":{"switched-vlan":{"config":{"trunk-vlans":[20,"10..12"]}}}`)},
		"leaf-list, empty":         {vlans, list(), `{"interfaces":{"interface":[{"name":"Ethernet1"}]}}`},
		"an entry":                 {entry, ietf(`{"openconfig-interfaces:config":{"mtu":9000}}`), has(`"config":{"mtu":9000}`)},
		"an entry in a list":       {entry, ietf(`[{"config":{"mtu":9000}}]`), has(`"config":{"mtu":9000}`)},
		"a list":                   {"/interfaces/interface", ietf(`[{"name":"Ethernet1","config":{"mtu":9000}}]`), has(`"config":{"mtu":9000}`)},
		"the root":                 {"/", ietf(`{"openconfig-interfaces:interfaces":{"interface":[{"name":"Ethernet1","config":{"mtu":9000}}]},"openconfig-system:system":{"config":{"hostname":"x"}}}`), has(`"config":{"mtu":9000}`)},
		"state":                    {entry + "/state/mtu", number(9000), `{}`},
		"another model":            {"/openconfig-vendor:stuff", ietf(`{"a":1}`), `{}`},
		"another container":        {"/system/config/hostname", text("x"), `{}`},
		"nothing":                  {mtu, nil, `{}`},
		"an empty value":           {mtu, &gnmi.TypedValue{}, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			u := update(t, "/", c.v)
			u.Path = anyPath(t, c.at)
			got, err := read(t, "interfaces", &gnmi.Notification{Update: []*gnmi.Update{u}})
			if err != nil {
				t.Fatal(err)
			}
			if want := mustParse(t, c.want); !got.Equal(want) {
				t.Errorf("got %s, want %s", got.Canonical(), want.Canonical())
			}
		})
	}
}

// anyPath is a wire path that the schema need not have.
func anyPath(t testing.TB, text string) *gnmi.Path {
	t.Helper()
	p, err := tree.ParsePath(text)
	if err != nil {
		t.Fatal(err)
	}
	return (&Session{}).path(p)
}

func TestDecimalsAndFloatsKeepTheirValue(t *testing.T) {
	for want, d := range map[string]*gnmi.Decimal64{
		"1.50":                  {Digits: 150, Precision: 2},
		"-0.05":                 {Digits: -5, Precision: 2},
		"7":                     {Digits: 7},
		"0.00":                  {Precision: 2},
		"0.00000000000000001":   {Digits: 1, Precision: 17},
		"-9.223372036854775808": {Digits: -1 << 63, Precision: 18},
	} {
		if got := decimalText(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
	if got := string(floatJSON(&tree.Type{Kind: tree.Decimal64, FractionDigits: 2}, float64(float32(0.1)), 32)); got != "0.10" {
		t.Errorf("got %s", got)
	}
}

// TestPiecesMakeOneTree cuts one configuration into pieces of all sizes.
func TestPiecesMakeOneTree(t *testing.T) {
	want := mustParse(t, `{"interfaces":{"interface":[
		{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":9000,"description":"x"},"hold-time":{"config":{"up":1,"down":2}}},
		{"name":"Ethernet2","config":{"name":"Ethernet2"}}]}}`)
	const one = "/interfaces/interface[name=Ethernet1]"
	for name, ns := range map[string][]*gnmi.Notification{
		"leaf by leaf, with the prefix": {{
			Prefix: wirePath(t, "/interfaces"),
			Update: []*gnmi.Update{
				update(t, "/interface[name=Ethernet1]/config/name", text("Ethernet1")),
				update(t, "/interface[name=Ethernet1]/config/mtu", number(9000)),
				update(t, "/interface[name=Ethernet1]/config/description", text("x")),
				update(t, "/interface[name=Ethernet1]/hold-time/config/up", number(1)),
				update(t, "/interface[name=Ethernet1]/hold-time/config/down", number(2)),
				update(t, "/interface[name=Ethernet2]/config/name", text("Ethernet2")),
			},
		}},
		"a container, then leaves of it": {
			{Update: []*gnmi.Update{update(t, "/interfaces", ietf(`{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":1}},{"name":"Ethernet2","config":{"name":"Ethernet2"}}]}`))}},
			{Update: []*gnmi.Update{
				update(t, one+"/config", ietf(`{"mtu":9000,"description":"x"}`)),
				update(t, one+"/hold-time/config/up", number(1)),
				update(t, one+"/hold-time", ietf(`{"config":{"down":2}}`)),
			}},
		},
		"leaves, then the container around them": {
			{Prefix: wirePath(t, one), Update: []*gnmi.Update{
				update(t, "/hold-time/config/up", number(1)), update(t, "/config/mtu", number(1)),
			}},
			{Update: []*gnmi.Update{
				update(t, one, ietf(`{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":9000,"description":"x"},"hold-time":{"config":{"down":2}}}`)),
				update(t, "/interfaces/interface", ietf(`[{"name":"Ethernet2","config":{"name":"Ethernet2"}}]`)),
			}},
		},
		"deletes say nothing in an answer": {{
			Delete: []*gnmi.Path{wirePath(t, "/interfaces")},
			Update: []*gnmi.Update{update(t, "/interfaces", ietf(string(want.Lookup(path(t, "/interfaces")).JSON())))},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(t, "interfaces", ns...)
			if err != nil {
				t.Fatal(err)
			}
			if !got.Equal(want) {
				t.Errorf("got\n%s, want\n%s", got.Canonical(), want.Canonical())
			}
		})
	}
}

func TestOneEntryUnderTwoFormsOfItsKeyIsOne(t *testing.T) {
	const ni = "/network-instances/network-instance[name=default]/protocols/protocol"
	got, err := read(t, "network-instances", &gnmi.Notification{Update: []*gnmi.Update{
		update(t, ni+"[identifier=BGP][name=bgp]/config/name", text("bgp")),
		update(t, ni+"[identifier=openconfig-policy-types:BGP][name=bgp]/config/enabled", text("false")),
		update(t, ni+"[identifier=BGP][name=bgp]/bgp/neighbors/neighbor[neighbor-address=2001:DB8::1]/config/peer-as", number(65001)),
		update(t, ni+"[identifier=BGP][name=bgp]/bgp/neighbors", ietf(`{"neighbor":[{"neighbor-address":"2001:db8:0::1","config":{"description":"x"}}]}`)),
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := mustParse(t, `{"network-instances":{"network-instance":[{"name":"default","protocols":{"protocol":[{"identifier":"BGP","name":"bgp","config":{"name":"bgp","enabled":false},
		"bgp":{"neighbors":{"neighbor":[{"neighbor-address":"2001:db8::1","config":{"peer-as":65001,"description":"x"}}]}}}]}}]}}`)
	if !got.Equal(want) {
		t.Errorf("got\n%s, want\n%s", got.Canonical(), want.Canonical())
	}
}

// TestEntriesThatOnlyTheVendorKnowsAreLeftOut: their keys are no values in the
// models, so nobody can intend them.
func TestEntriesThatOnlyTheVendorKnowsAreLeftOut(t *testing.T) {
	const ni = "/network-instances/network-instance[name=default]/protocols"
	want := mustParse(t, `{"network-instances":{"network-instance":[{"name":"default","protocols":{"protocol":[{"identifier":"BGP","name":"a","config":{"name":"a"}}]}}]}}`)
	both := ietf(`{"protocol":[{"identifier":"BGP","name":"a","config":{"name":"a"}},{"identifier":"vendor:RIFT","name":"b"}]}`)
	for name, ns := range map[string][]*gnmi.Update{
		"in one piece": {update(t, ni, both)},
		"in pieces":    {update(t, ni+"/protocol[identifier=BGP][name=a]/config/name", text("a")), update(t, ni, both)},
		"by path":      {update(t, ni+"/protocol[identifier=BGP][name=a]/config/name", text("a")), {Path: anyPath(t, ni+"/protocol[identifier=vendor:RIFT][name=b]/config/name"), Val: text("b")}},
	} {
		got, err := read(t, "network-instances", &gnmi.Notification{Update: ns})
		if err != nil || !got.Equal(want) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

// TestAnswersThatCannotBePlacedAreNotLeftOut: leaving them out would make them
// look absent.
func TestAnswersThatCannotBePlacedAreNotLeftOut(t *testing.T) {
	const mtu = "/interfaces/interface[name=Ethernet1]/config/mtu"
	for name, u := range map[string]*gnmi.Update{
		"a scalar for a container": update(t, "/interfaces", text("x")),
		"bytes for a container":    update(t, "/interfaces", &gnmi.TypedValue{Value: &gnmi.TypedValue_ProtoBytes{ProtoBytes: []byte("x")}}),
		"an any for a leaf":        update(t, mtu, &gnmi.TypedValue{Value: &gnmi.TypedValue_AnyVal{}}),
		"an entry without keys":    update(t, "/interfaces/interface/config/mtu", number(1)),
		"a key too many":           update(t, "/interfaces/interface[name=a][b=c]/config/mtu", number(1)),
		"another key":              update(t, "/interfaces/interface[id=a]/config/mtu", number(1)),
		"keys of a container":      update(t, "/interfaces[name=a]", ietf(`{}`)),
		"two values in one":        update(t, mtu, ietf(`1 2`)),
		"the deprecated path":      {Path: &gnmi.Path{Element: []string{"interfaces"}}, Val: ietf(`{}`)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(t, "interfaces", &gnmi.Notification{Update: []*gnmi.Update{u}})
			if !errors.Is(err, ErrPartialRead) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestOneEntryTwiceInOnePieceIsAnError(t *testing.T) {
	_, err := read(t, "interfaces", &gnmi.Notification{Update: []*gnmi.Update{
		update(t, "/interfaces/interface[name=a]/config/mtu", number(1)),
		update(t, "/interfaces", ietf(`{"interface":[{"name":"b"},{"name":"b"}]}`)),
	}})
	if !errors.Is(err, ErrPartialRead) {
		t.Errorf("got %v", err)
	}
}

func TestDeprecatedValuesAreRead(t *testing.T) {
	for _, v := range []*gnmi.Value{
		{Type: gnmi.Encoding_JSON, Value: []byte("9000")},
		{Type: gnmi.Encoding_ASCII, Value: []byte("9000")},
		{Type: gnmi.Encoding_BYTES, Value: []byte("9000")},
	} {
		u := &gnmi.Update{Path: wirePath(t, "/interfaces/interface[name=a]/config/mtu"), Value: v}
		got, err := read(t, "interfaces", &gnmi.Notification{Update: []*gnmi.Update{u}})
		if err != nil || got.Lookup(path(t, "/interfaces/interface[name=a]/config/mtu")).Text() != "9000" {
			t.Errorf("%v: got %v", v, err)
		}
	}
}

// TestLargeConfigLeafByLeafIsTheSame sends each leaf of a switch as the scalar
// that a target would make of it.
func TestLargeConfigLeafByLeafIsTheSame(t *testing.T) {
	want := mustParse(t, string(leafSwitch(t)))
	doc := newDocument(tree.OpenConfig())
	for _, root := range want.Root().Members() {
		n := &gnmi.Notification{}
		want.Leaves(func(p tree.Path, v *tree.Value) bool {
			if p[0].Name == root.Schema.Name {
				n.Update = append(n.Update, &gnmi.Update{Path: (&Session{}).path(p), Val: scalarOf(v)})
			}
			return true
		})
		if err := doc.add([]*gnmi.Notification{n}, root.Schema.Name); err != nil {
			t.Fatal(err)
		}
	}
	got, unknown, err := tree.ParseLenient(tree.OpenConfig(), doc.json())
	if err != nil || len(unknown) > 0 {
		t.Fatal(err, unknown)
	}
	if !got.Equal(want) {
		t.Error("the leaves make another tree")
	}
}

// scalarOf is a leaf as a target sends it with PROTO encoding.
func scalarOf(v *tree.Value) *gnmi.TypedValue {
	raw := string(v.JSON())
	switch {
	case v.Schema.Kind == tree.LeafList:
		return ietf(raw)
	case raw == "true" || raw == "false":
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_BoolVal{BoolVal: raw == "true"}}
	case !strings.HasPrefix(raw, `"`):
		if n, err := strconv.ParseUint(raw, 10, 64); err == nil {
			return number(n)
		}
		return ietf(raw)
	}
	return text(v.Text())
}

// FuzzNotification feeds a target's bytes: whatever they are, they are a tree or
// an error, and a tree parses strictly.
func FuzzNotification(f *testing.F) {
	for _, n := range []*gnmi.Notification{
		{Update: []*gnmi.Update{update(f, "/interfaces", ietf(interfaces))}},
		{Prefix: wirePath(f, "/interfaces"), Update: []*gnmi.Update{
			update(f, "/interface[name=a]/config/mtu", number(1)), update(f, "/interface[name=a]", ietf(`{"config":{"description":"x"}}`)),
			update(f, "/interface", ietf(`[{"name":"b"}]`)), update(f, "/interface[name=b]/ethernet/switched-vlan/config/trunk-vlans", list(number(1), text("2..3"))),
		}},
	} {
		raw, err := proto.Marshal(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		n := &gnmi.Notification{}
		if proto.Unmarshal(raw, n) != nil {
			return
		}
		got, err := read(t, "interfaces", n)
		if err != nil {
			return
		}
		if _, err := tree.Parse(tree.OpenConfig(), got.Canonical()); err != nil {
			t.Errorf("%v in %s", err, got.Canonical())
		}
		s := &Session{t: Target{Schema: tree.OpenConfig(), Scope: scope(t, "/interfaces/interface[name=a]/config")}}
		s.concerns(n)
	})
}
