package sim

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const getConfig = `{
	"openconfig-interfaces:interfaces":{"interface":[
		{"name":"Ethernet1","config":{"name":"Ethernet1","type":"iana-if-type:ethernetCsmacd","mtu":9000,"enabled":true},
			"openconfig-if-ethernet:ethernet":{"config":{"port-speed":"openconfig-if-ethernet:SPEED_10GB"}}},
		{"name":"a[b]\\c","config":{"name":"a[b]\\c"}}]},
	"openconfig-lldp:lldp":{"config":{"hello-timer":"30"}},
	"openconfig-system:system":{"dns":{"config":{"search":["b","a"]}}}}`

// get sends a Get and returns path and value of each update, one line each.
func (c *client) get(req *gnmi.GetRequest) []string {
	c.t.Helper()
	resp, err := c.Get(deadline(c.t), req)
	if err != nil {
		c.t.Fatalf("Get: %v", err)
	}
	var out []string
	for _, n := range resp.GetNotification() {
		if age := time.Since(time.Unix(0, n.GetTimestamp())); age < 0 || age > time.Minute {
			c.t.Errorf("timestamp %d is %v ago", n.GetTimestamp(), age)
		}
		out = append(out, lines(n)...)
	}
	return out
}

// lines writes a notification: deletes with a minus, then path and value.
func lines(n *gnmi.Notification) []string {
	var out []string
	for _, d := range n.GetDelete() {
		out = append(out, "-"+pathText(d.GetElem()))
	}
	for _, u := range n.GetUpdate() {
		out = append(out, pathText(u.GetPath().GetElem())+" "+valueText(u.GetVal()))
	}
	return out
}

// ValueText writes JSON_IETF as it is, and other values with their kind; for the
// tests from outside too.
func ValueText(v *gnmi.TypedValue) string { return valueText(v) }

func valueText(v *gnmi.TypedValue) string {
	switch x := v.GetValue().(type) {
	case *gnmi.TypedValue_JsonIetfVal:
		return string(x.JsonIetfVal)
	case *gnmi.TypedValue_JsonVal:
		return "json " + string(x.JsonVal)
	case *gnmi.TypedValue_LeaflistVal:
		var all []string
		for _, e := range x.LeaflistVal.GetElement() {
			all = append(all, valueText(e))
		}
		return "[" + strings.Join(all, " ") + "]"
	}
	return strings.ReplaceAll(v.String(), "  ", " ")
}

// path reads a path's text. ygot loses a backslash in a key, so that the one key
// with both characters to escape is made by hand.
func path(t *testing.T, text string) *gnmi.Path {
	t.Helper()
	const placeholder = "PLACEHOLDER"
	out := p(t, strings.ReplaceAll(text, `a[b\]\\c`, placeholder))
	for _, e := range out.GetElem() {
		if e.GetKey()["name"] == placeholder {
			e.Key["name"] = `a[b]\c`
		}
	}
	return out
}

func TestGet(t *testing.T) {
	const (
		ietf  = gnmi.Encoding_JSON_IETF
		plain = gnmi.Encoding_JSON
		proto = gnmi.Encoding_PROTO
	)
	tests := map[string]struct {
		path     string
		encoding gnmi.Encoding
		want     []string
	}{
		"leaf":         {"/interfaces/interface[name=Ethernet1]/config/mtu", ietf, []string{"/interfaces/interface[name=Ethernet1]/config/mtu 9000"}},
		"wide leaf":    {"/lldp/config/hello-timer", ietf, []string{`/lldp/config/hello-timer "30"`}},
		"plain wide":   {"/lldp/config/hello-timer", plain, []string{`/lldp/config/hello-timer json 30`}},
		"proto wide":   {"/lldp/config/hello-timer", proto, []string{`/lldp/config/hello-timer uint_val:30`}},
		"leaf-list":    {"/system/dns/config/search", ietf, []string{`/system/dns/config/search ["b","a"]`}},
		"proto list":   {"/system/dns/config/search", proto, []string{`/system/dns/config/search [string_val:"b" string_val:"a"]`}},
		"identity":     {"/interfaces/interface[name=Ethernet1]/config/type", ietf, []string{`/interfaces/interface[name=Ethernet1]/config/type "iana-if-type:ethernetCsmacd"`}},
		"plain id":     {"/interfaces/interface[name=Ethernet1]/config/type", plain, []string{`/interfaces/interface[name=Ethernet1]/config/type json "ethernetCsmacd"`}},
		"escaped key":  {`/interfaces/interface[name=a[b\]\\c]/config/name`, ietf, []string{`/interfaces/interface[name=a[b\]\\c]/config/name "a[b]\\c"`}},
		"container":    {"/lldp", ietf, []string{`/lldp {"openconfig-lldp:config":{"hello-timer":"30"}}`}}, // RFC 7951 section 4: the first names are qualified
		"plain":        {"/lldp", plain, []string{`/lldp json {"config":{"hello-timer":30}}`}},
		"augmentation": {"/interfaces/interface[name=Ethernet1]/ethernet", ietf, []string{`/interfaces/interface[name=Ethernet1]/ethernet {"openconfig-if-ethernet:config":{"port-speed":"openconfig-if-ethernet:SPEED_10GB"}}`}},
		"entry": {`/interfaces/interface[name=a[b\]\\c]`, ietf, []string{
			`/interfaces/interface[name=a[b\]\\c] {"openconfig-interfaces:name":"a[b]\\c","openconfig-interfaces:config":{"name":"a[b]\\c"}}`,
		}},
		"keys left out": {"/interfaces/interface/config/name", ietf, []string{
			`/interfaces/interface[name=Ethernet1]/config/name "Ethernet1"`, `/interfaces/interface[name=a[b\]\\c]/config/name "a[b]\\c"`,
		}},
		"wildcard key":  {"/interfaces/interface[name=*]/config/mtu", ietf, []string{`/interfaces/interface[name=Ethernet1]/config/mtu 9000`}},
		"wildcard name": {"/*/config", ietf, []string{`/lldp/config {"openconfig-lldp:hello-timer":"30"}`}},
		"any depth":     {"/.../port-speed", ietf, []string{`/interfaces/interface[name=Ethernet1]/ethernet/config/port-speed "openconfig-if-ethernet:SPEED_10GB"`}},
		"any depth, 0":  {"/.../lldp/.../hello-timer", ietf, []string{`/lldp/config/hello-timer "30"`}},
		"no match":      {"/interfaces/interface[name=*]/config/description", ietf, nil},
		"proto container": {"/interfaces/interface[name=Ethernet1]/config", proto, []string{
			`/interfaces/interface[name=Ethernet1]/config/enabled bool_val:true`,
			`/interfaces/interface[name=Ethernet1]/config/mtu uint_val:9000`,
			`/interfaces/interface[name=Ethernet1]/config/name string_val:"Ethernet1"`,
			`/interfaces/interface[name=Ethernet1]/config/type string_val:"iana-if-type:ethernetCsmacd"`,
		}},
	}
	c := start(t, getConfig)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inner := *c
			inner.t = t
			got := inner.get(&gnmi.GetRequest{Path: []*gnmi.Path{path(t, tt.path)}, Encoding: tt.encoding, Type: gnmi.GetRequest_CONFIG})
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], ":  ", ":")
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestGetOfTheRootIsTheWholeConfiguration(t *testing.T) {
	c := start(t, getConfig)
	for _, typ := range []gnmi.GetRequest_DataType{gnmi.GetRequest_ALL, gnmi.GetRequest_CONFIG} {
		resp, err := c.Get(deadline(t), &gnmi.GetRequest{Path: []*gnmi.Path{{}}, Type: typ, Encoding: gnmi.Encoding_JSON_IETF})
		if err != nil {
			t.Fatal(err)
		}
		c.holds(string(resp.GetNotification()[0].GetUpdate()[0].GetVal().GetJsonIetfVal()))
	}
}

// gNMI 3.3.1: config leaves are not state.
func TestStateHoldsNoConfiguration(t *testing.T) {
	c := start(t, getConfig)
	for _, typ := range []gnmi.GetRequest_DataType{gnmi.GetRequest_STATE, gnmi.GetRequest_OPERATIONAL} {
		if got := c.get(&gnmi.GetRequest{Path: []*gnmi.Path{{}, p(t, "/lldp")}, Type: typ}); got != nil {
			t.Errorf("%v: %q", typ, got)
		}
	}
}

// gNMI 3.3.2: one notification per path, never collapsed. gNMI 2.2.2.1: the
// target is echoed exactly if it was given.
func TestGetAnswersOneNotificationPerPath(t *testing.T) {
	c := start(t, getConfig)
	req := &gnmi.GetRequest{
		Prefix: &gnmi.Path{Target: "leaf01", Elem: p(t, "/lldp").Elem},
		Path:   []*gnmi.Path{p(t, "/config/hello-timer"), p(t, "/config"), p(t, "/config/hello-timer")},
	}
	resp, err := c.Get(deadline(t), req)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(resp.GetNotification()); n != 3 {
		t.Fatalf("%d notifications, want 3", n)
	}
	for _, n := range resp.GetNotification() {
		full := pathText(slices.Concat(n.GetPrefix().GetElem(), n.GetUpdate()[0].GetPath().GetElem()))
		if n.GetPrefix().GetTarget() != "leaf01" || !strings.HasPrefix(full, "/lldp/config") {
			t.Errorf("prefix %v, full path %s", n.GetPrefix(), full)
		}
	}
	req.Prefix.Target = ""
	if resp, err = c.Get(deadline(t), req); err != nil || resp.GetNotification()[0].GetPrefix().GetTarget() != "" {
		t.Errorf("a target that nobody gave: %v, %v", resp, err)
	}
}

func TestGetRefusals(t *testing.T) {
	c := start(t, getConfig)
	tests := map[string]struct {
		req  *gnmi.GetRequest
		code codes.Code
	}{
		"unknown path":    {&gnmi.GetRequest{Path: []*gnmi.Path{p(t, "/nothing")}}, codes.InvalidArgument},                            // gNMI 3.3.1
		"absent leaf":     {&gnmi.GetRequest{Path: []*gnmi.Path{p(t, "/system/config/hostname")}}, codes.NotFound},                    // gNMI 3.3.4
		"absent entry":    {&gnmi.GetRequest{Path: []*gnmi.Path{p(t, "/interfaces/interface[name=x]")}}, codes.NotFound},              // gNMI 3.3.4
		"empty container": {&gnmi.GetRequest{Path: []*gnmi.Path{p(t, "/acl")}}, codes.NotFound},                                       // gNMI 3.3.4
		"one of several":  {&gnmi.GetRequest{Path: []*gnmi.Path{p(t, "/lldp"), p(t, "/acl")}}, codes.NotFound},                        // gNMI 3.3.4
		"bad key":         {&gnmi.GetRequest{Path: []*gnmi.Path{p(t, "/vlans/vlan[vlan-id=x]")}}, codes.InvalidArgument},              // gNMI 3.3.1
		"ascii":           {&gnmi.GetRequest{Path: []*gnmi.Path{{}}, Encoding: gnmi.Encoding_ASCII}, codes.Unimplemented},             // gNMI 3.3.1
		"bytes":           {&gnmi.GetRequest{Path: []*gnmi.Path{{}}, Encoding: gnmi.Encoding_BYTES}, codes.Unimplemented},             // gNMI 3.3.1
		"models":          {&gnmi.GetRequest{Path: []*gnmi.Path{{}}, UseModels: []*gnmi.ModelData{{Name: "x"}}}, codes.Unimplemented}, // not silently ignored
		"origin":          {&gnmi.GetRequest{Path: []*gnmi.Path{{Origin: "eos_native"}}}, codes.Unimplemented},                        // not silently ignored
	}
	for name, tt := range tests {
		if _, err := c.Get(deadline(t), tt.req); status.Code(err) != tt.code {
			t.Errorf("%s: %v, want %v", name, err, tt.code)
		}
	}
}

// gNMI 3.2.2.
func TestCapabilitiesNameModelsEncodingsAndVersion(t *testing.T) {
	c := start(t, "")
	got, err := c.Capabilities(deadline(t), &gnmi.CapabilityRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got.GetGNMIVersion() != "0.10.0" {
		t.Errorf("version %q", got.GetGNMIVersion())
	}
	if !slices.Contains(got.GetSupportedEncodings(), gnmi.Encoding_JSON_IETF) {
		t.Errorf("encodings %v", got.GetSupportedEncodings())
	}
	names := map[string]bool{}
	for _, m := range got.GetSupportedModels() {
		if m.GetVersion() == "" || names[m.GetName()] {
			t.Errorf("model %v: no version, or twice", m)
		}
		names[m.GetName()] = true
	}
	for _, want := range []string{"openconfig-interfaces", "openconfig-network-instance", "openconfig-system", "openconfig-bgp", "openconfig-if-ip"} {
		if !names[want] {
			t.Errorf("no model %s", want)
		}
	}
	var modules func(*schema)
	modules = func(s *schema) {
		if s.module != "" && !names[s.module] {
			t.Errorf("%s is of %s, which is not told", s.path(), s.module)
		}
		for _, child := range s.children {
			modules(child)
		}
	}
	modules(c.target.schema)
}
