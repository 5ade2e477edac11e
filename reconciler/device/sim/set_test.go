package sim

import (
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"
)

const twoInterfaces = `{"openconfig-interfaces:interfaces":{"interface":[
	{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":1500,"description":"one"}},
	{"name":"Ethernet2","config":{"name":"Ethernet2","mtu":1500}}]}}`

func start(t *testing.T, initial string) *client {
	t.Helper()
	return serve(t, Config{Initial: []byte(initial)})
}

// gNMI 3.4: deletes, then replaces, then updates, whatever the order of fields.
func TestSetGoesDeleteReplaceUpdate(t *testing.T) {
	c := start(t, twoInterfaces)
	c.set(&gnmi.SetRequest{
		Update:  []*gnmi.Update{up(t, "/interfaces/interface[name=Ethernet1]/config/mtu", "9000")},
		Replace: []*gnmi.Update{up(t, "/interfaces/interface[name=Ethernet1]/config", `{"mtu":4000,"enabled":true}`)},
		Delete:  []*gnmi.Path{p(t, "/interfaces/interface")},
	})
	c.holds(`{"openconfig-interfaces:interfaces":{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":9000,"enabled":true}}]}}`)
}

// gNMI 3.4: within a field the order counts, and the later operation wins.
func TestLaterOperationWins(t *testing.T) {
	c := start(t, "")
	mtu := "/interfaces/interface[name=Ethernet1]/config/mtu"
	c.set(&gnmi.SetRequest{Update: []*gnmi.Update{up(t, mtu, "1"), up(t, mtu, "2"), up(t, mtu, "3")}})
	c.holds(`{"openconfig-interfaces:interfaces":{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":3}}]}}`)
	c.set(&gnmi.SetRequest{Replace: []*gnmi.Update{
		up(t, "/interfaces/interface[name=Ethernet1]/config", `{"mtu":5,"description":"x"}`),
		up(t, "/interfaces/interface[name=Ethernet1]/config", `{"mtu":6}`),
	}})
	c.holds(`{"openconfig-interfaces:interfaces":{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":6}}]}}`)
}

// gNMI 3.4.3: all of a request or nothing, whichever operation fails.
func TestAFailingOperationUndoesTheOthers(t *testing.T) {
	c := start(t, twoInterfaces)
	bad := up(t, "/interfaces/interface[name=Ethernet1]/config/mtu", "99999")
	c.refused(&gnmi.SetRequest{
		Delete:  []*gnmi.Path{p(t, "/interfaces/interface[name=Ethernet2]")},
		Replace: []*gnmi.Update{up(t, "/system/config/hostname", `"a"`)},
		Update:  []*gnmi.Update{up(t, "/system/config/motd-banner", `"b"`), bad},
	}, codes.InvalidArgument, "/interfaces/interface[name=Ethernet1]/config/mtu")
	c.refused(&gnmi.SetRequest{
		Replace: []*gnmi.Update{bad},
		Update:  []*gnmi.Update{up(t, "/system/config/hostname", `"a"`)},
	}, codes.InvalidArgument, "mtu")
}

// gNMI 3.4.4: what a replace does not name goes, at every level.
func TestReplaceRemovesWhatItDoesNotName(t *testing.T) {
	const e2 = `{"name":"Ethernet2","config":{"name":"Ethernet2","mtu":1500}}`
	tests := map[string]struct{ path, value, want string }{
		"leaf":       {"/interfaces/interface[name=Ethernet1]/config/mtu", "9000", `{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":9000,"description":"one"}},` + e2},
		"container":  {"/interfaces/interface[name=Ethernet1]/config", `{"mtu":9000}`, `{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":9000}},` + e2},
		"entry":      {"/interfaces/interface[name=Ethernet1]", `{"name":"Ethernet1","config":{"name":"Ethernet1","enabled":true}}`, `{"name":"Ethernet1","config":{"name":"Ethernet1","enabled":true}},` + e2},
		"new entry":  {"/interfaces/interface[name=Ethernet3]", `{"name":"Ethernet3"}`, `{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":1500,"description":"one"}},` + e2 + `,{"name":"Ethernet3","config":{"name":"Ethernet3"}}`},
		"list":       {"/interfaces/interface", `[{"name":"Ethernet3"}]`, `{"name":"Ethernet3","config":{"name":"Ethernet3"}}`},
		"enclosing":  {"/interfaces", `{"interface":[{"name":"Ethernet3"}]}`, `{"name":"Ethernet3","config":{"name":"Ethernet3"}}`},
		"root":       {"/", `{"openconfig-interfaces:interfaces":{"interface":[{"name":"Ethernet3"}]}}`, `{"name":"Ethernet3","config":{"name":"Ethernet3"}}`},
		"empty list": {"/interfaces/interface", `[]`, ``},
		"empty root": {"/", `{}`, ``},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := start(t, twoInterfaces)
			c.replace(tt.path, tt.value)
			c.holds(`{"openconfig-interfaces:interfaces":{"interface":[` + tt.want + `]}}`)
		})
	}
}

func TestReplaceOfTheRootReplacesEveryTopContainer(t *testing.T) {
	c := start(t, `{"openconfig-system:system":{"config":{"hostname":"a"}},"openconfig-lldp:lldp":{"config":{"enabled":true}}}`)
	c.replace("/", `{"openconfig-system:system":{"config":{"hostname":"b"}}}`)
	c.holds(`{"openconfig-system:system":{"config":{"hostname":"b"}}}`)
}

// gNMI 3.4.4: an update touches only what it names.
func TestUpdateMerges(t *testing.T) {
	c := start(t, twoInterfaces)
	c.update("/", `{"openconfig-interfaces:interfaces":{"interface":[
		{"name":"Ethernet2","config":{"name":"Ethernet2","enabled":false}},{"name":"Ethernet3","config":{"name":"Ethernet3"}}]},
		"openconfig-system:system":{"config":{"hostname":"a"}}}`)
	c.update("/interfaces/interface[name=Ethernet1]", `{"config":{"mtu":9000}}`)
	c.update("/interfaces/interface[name=Ethernet1]/config", `{}`)
	c.holds(`{"openconfig-interfaces:interfaces":{"interface":[
		{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":9000,"description":"one"}},
		{"name":"Ethernet2","config":{"name":"Ethernet2","mtu":1500,"enabled":false}},
		{"name":"Ethernet3","config":{"name":"Ethernet3"}}]},
		"openconfig-system:system":{"config":{"hostname":"a"}}}`)
}

const search = "/system/dns/config/search"

// gNMI 3.4.5: a collection is added to by an update and replaced by a replace;
// its values are unique (RFC 7950 section 7.7).
func TestLeafListGrowsByUpdateAndIsReplacedByReplace(t *testing.T) {
	c := start(t, "")
	want := func(list string) {
		t.Helper()
		c.holds(`{"openconfig-system:system":{"dns":{"config":{"search":` + list + `}}}}`)
	}
	c.update(search, `["b.example","a.example"]`)
	want(`["b.example","a.example"]`)
	c.update(search, `["a.example","c.example"]`)
	want(`["b.example","a.example","c.example"]`)
	c.update("/system/dns", `{"config":{"search":["d.example"]}}`)
	want(`["b.example","a.example","c.example","d.example"]`)
	c.replace(search, `["c.example"]`)
	want(`["c.example"]`)
	c.replace(search, `[]`)
	want(`[]`)
	c.refused(&gnmi.SetRequest{Replace: []*gnmi.Update{up(t, search, `["x","x"]`)}}, codes.InvalidArgument, "twice")
}

// gNMI 3.4.6: wildcards are expanded, keys may be left out, and what is not there
// is silently accepted.
func TestDelete(t *testing.T) {
	const (
		acl  = `{"openconfig-acl:acl":{"acl-sets":{"acl-set":[%]}}}`
		a4   = `{"name":"A","type":"openconfig-acl:ACL_IPV4","config":{"name":"A","type":"openconfig-acl:ACL_IPV4","description":"d"}}`
		a6   = `{"name":"A","type":"openconfig-acl:ACL_IPV6","config":{"name":"A","type":"openconfig-acl:ACL_IPV6"}}`
		b4   = `{"name":"B","type":"openconfig-acl:ACL_IPV4","config":{"name":"B","type":"openconfig-acl:ACL_IPV4","description":"d"}}`
		a4no = `{"name":"A","type":"openconfig-acl:ACL_IPV4","config":{"name":"A","type":"openconfig-acl:ACL_IPV4"}}`
		b4no = `{"name":"B","type":"openconfig-acl:ACL_IPV4","config":{"name":"B","type":"openconfig-acl:ACL_IPV4"}}`
	)
	tests := map[string]struct {
		path, want string
	}{
		"entry":                 {"/acl/acl-sets/acl-set[name=A][type=ACL_IPV4]", a6 + "," + b4},
		"prefixed identity key": {"/acl/acl-sets/acl-set[name=A][type=openconfig-acl:ACL_IPV4]", a6 + "," + b4},
		"partial keys":          {"/acl/acl-sets/acl-set[name=A]", b4},
		"wildcard key":          {"/acl/acl-sets/acl-set[name=*][type=ACL_IPV4]", a6},
		"all entries":           {"/acl/acl-sets/acl-set", ""},
		"container":             {"/acl", ""},
		"root":                  {"/", ""},
		"wildcard name":         {"/*", ""},
		"leaf in every entry":   {"/acl/acl-sets/acl-set[name=*]/config/description", a4no + "," + a6 + "," + b4no},
		"any depth":             {"/.../description", a4no + "," + a6 + "," + b4no},
		"config but its keys":   {"/acl/acl-sets/acl-set/config", a4no + "," + a6 + "," + b4no},
		"all below an entry":    {"/acl/acl-sets/acl-set[name=A][type=ACL_IPV4]/*", a4no + "," + a6 + "," + b4},
		"all, at every depth":   {"/acl/acl-sets/.../*", ""},
		"absent entry":          {"/acl/acl-sets/acl-set[name=C][type=ACL_IPV4]", a4 + "," + a6 + "," + b4},
		"absent leaf":           {"/system/config/hostname", a4 + "," + a6 + "," + b4},
		"below absent entry":    {"/acl/acl-sets/acl-set[name=C][type=ACL_IPV4]/config/description", a4 + "," + a6 + "," + b4},
	}
	list := func(entries string) string { return acl[:len(acl)-len(`%]}}}`)] + entries + `]}}}` }
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := start(t, list(a4+","+a6+","+b4))
			c.remove(tt.path)
			c.holds(list(tt.want))
		})
	}
}

func TestRefusals(t *testing.T) {
	const eth = "/interfaces/interface[name=Ethernet1]"
	update := func(path, value string) *gnmi.SetRequest {
		return &gnmi.SetRequest{Update: []*gnmi.Update{up(t, path, value)}}
	}
	replace := func(path, value string) *gnmi.SetRequest {
		return &gnmi.SetRequest{Replace: []*gnmi.Update{up(t, path, value)}}
	}
	remove := func(path string) *gnmi.SetRequest { return &gnmi.SetRequest{Delete: []*gnmi.Path{p(t, path)}} }
	scalar := func(path string, v *gnmi.TypedValue) *gnmi.SetRequest {
		return &gnmi.SetRequest{Update: []*gnmi.Update{{Path: p(t, path), Val: v}}}
	}
	ext := func(e *gnmi_ext.Extension) *gnmi.SetRequest {
		return &gnmi.SetRequest{Extension: []*gnmi_ext.Extension{e}}
	}
	tests := map[string]struct {
		req  *gnmi.SetRequest
		code codes.Code
		text string
	}{
		// gNMI 3.4.7: a path that is not valid is NotFound, a malformed one InvalidArgument.
		"unknown path":            {update("/interfaces/interfaec", `{}`), codes.NotFound, "interfaec"},
		"unknown path to delete":  {remove("/nothing/here"), codes.NotFound, "nothing"},
		"state is not config":     {update(eth+"/state/mtu", "1"), codes.NotFound, "state"},
		"wrong module in path":    {update("/openconfig-system:interfaces", `{}`), codes.NotFound, "openconfig-system:interfaces"},
		"unknown key":             {update("/interfaces/interface[nmae=x]/config/mtu", "1"), codes.InvalidArgument, "nmae"},
		"key on a container":      {update("/interfaces[name=x]", `{}`), codes.InvalidArgument, "name"},
		"key of the wrong type":   {remove("/interfaces/interface[name=x]/subinterfaces/subinterface[index=x]"), codes.InvalidArgument, "index"},
		"missing keys":            {update("/interfaces/interface/config/mtu", "1"), codes.InvalidArgument, "all its keys"},
		"partial keys":            {replace("/acl/acl-sets/acl-set[name=A]", `{"name":"A","type":"ACL_IPV4"}`), codes.InvalidArgument, "all its keys"},
		"wildcard key to write":   {update("/interfaces/interface[name=*]/config/mtu", "1"), codes.InvalidArgument, "all its keys"},
		"wildcard name to write":  {update("/*", `{}`), codes.InvalidArgument, "wildcard"},
		"deprecated path":         {&gnmi.SetRequest{Delete: []*gnmi.Path{{Element: []string{"interfaces"}}}}, codes.InvalidArgument, "element"},
		"target in a path":        {&gnmi.SetRequest{Delete: []*gnmi.Path{{Target: "x"}}}, codes.InvalidArgument, "target"},
		"foreign origin":          {&gnmi.SetRequest{Delete: []*gnmi.Path{{Origin: "cli"}}}, codes.Unimplemented, "cli"},
		"origin twice":            {&gnmi.SetRequest{Prefix: &gnmi.Path{Origin: "openconfig"}, Delete: []*gnmi.Path{{Origin: "openconfig"}}}, codes.InvalidArgument, "origin"},
		"path below a leaf":       {update(eth+"/config/mtu/x", "1"), codes.NotFound, "mtu"},
		"too many wildcards":      {remove("/.../*/.../*/.../*/.../*/.../mtu"), codes.InvalidArgument, "wildcards"},
		"no value":                {&gnmi.SetRequest{Update: []*gnmi.Update{{Path: p(t, eth)}}}, codes.InvalidArgument, "no value"},
		"empty value":             {scalar(eth+"/config/mtu", &gnmi.TypedValue{}), codes.InvalidArgument, "empty"},
		"list without keys":       {update("/interfaces/interface", `{"name":"x"}`), codes.InvalidArgument, "array"},
		"entry in an array":       {update(eth, `[{"name":"Ethernet1"}]`), codes.InvalidArgument, "object"},
		"delete of a key":         {remove(eth + "/name"), codes.InvalidArgument, "key leaf"},
		"delete of a config key":  {remove(eth + "/config/name"), codes.InvalidArgument, "key leaf"},
		"key in conflict":         {update(eth+"/name", `"Ethernet2"`), codes.InvalidArgument, "Ethernet2"}, // gNMI 3.4.5
		"config key in conflict":  {update(eth+"/config/name", `"Ethernet2"`), codes.InvalidArgument, "Ethernet2"},
		"config in conflict":      {replace(eth+"/config", `{"name":"Ethernet2"}`), codes.InvalidArgument, "Ethernet2"},
		"entry in conflict":       {replace(eth, `{"name":"Ethernet2"}`), codes.InvalidArgument, "Ethernet2"},
		"update in conflict":      {update(eth, `{"name":"Ethernet2"}`), codes.InvalidArgument, "Ethernet2"},
		"entry's config conflict": {replace(eth, `{"name":"Ethernet1","config":{"name":"Ethernet2"}}`), codes.InvalidArgument, "Ethernet2"},
		"entry without its key":   {replace(eth, `{"config":{"mtu":1}}`), codes.InvalidArgument, "key name is missing"},
		"entry replaced by {}":    {replace(eth, `{}`), codes.InvalidArgument, "key name is missing"},
		"listed without its key":  {update("/interfaces", `{"interface":[{"config":{"name":"x"}}]}`), codes.InvalidArgument, "key name is missing"},
		"entry twice":             {update("/interfaces", `{"interface":[{"name":"x"},{"name":"x"}]}`), codes.InvalidArgument, "twice"},
		"member twice":            {update(eth+"/config", `{"mtu":1,"mtu":2}`), codes.InvalidArgument, "twice"},
		"member twice, qualified": {update(eth+"/config", `{"mtu":1,"openconfig-interfaces:mtu":2}`), codes.InvalidArgument, "twice"},
		"unknown member":          {update(eth+"/config", `{"mut":1}`), codes.InvalidArgument, "mut"},
		"wrong module in value":   {update("/", `{"openconfig-system:interfaces":{}}`), codes.InvalidArgument, "openconfig-system:interfaces"},
		"null leaf":               {replace(eth+"/config/mtu", `null`), codes.InvalidArgument, "null"},
		"null container":          {replace(eth+"/config", `null`), codes.InvalidArgument, "null"},
		"malformed JSON":          {update(eth+"/config", `{"mtu":`), codes.InvalidArgument, "JSON"},
		"not UTF-8":               {update(eth+"/config/description", "\"\xff\""), codes.InvalidArgument, "UTF-8"},
		"out of range":            {update(eth+"/config/mtu", "65536"), codes.InvalidArgument, "mtu"},
		"negative":                {update(eth+"/config/mtu", "-1"), codes.InvalidArgument, "-1"},
		"fraction":                {update(eth+"/config/mtu", "1500.5"), codes.InvalidArgument, "1500.5"},
		"number as string":        {update(eth+"/config/mtu", `"1500"`), codes.InvalidArgument, "number"},
		"64 bits as number":       {update("/lldp/config/hello-timer", `30`), codes.InvalidArgument, "RFC 7951"},
		"boolean as string":       {update(eth+"/config/enabled", `"true"`), codes.InvalidArgument, "boolean"},
		"string as number":        {update(eth+"/config/description", `1`), codes.InvalidArgument, "string"},
		"pattern":                 {update("/system/ntp/servers/server[address=x]/config/source-address", `"not an address"`), codes.InvalidArgument, "source-address"},
		"unknown identity":        {update(eth+"/config/type", `"carrierPigeon"`), codes.InvalidArgument, "carrierPigeon"},
		"identity's wrong module": {update(eth+"/config/type", `"openconfig-interfaces:ethernetCsmacd"`), codes.InvalidArgument, "ethernetCsmacd"},
		"unknown enum":            {update("/lacp/interfaces/interface[name=x]/config/interval", `"MEDIUM"`), codes.InvalidArgument, "MEDIUM"},
		"container as leaf":       {update(eth+"/config", `7`), codes.InvalidArgument, "object"},
		"leaf-list as leaf":       {update(search, `"x"`), codes.InvalidArgument, "array"},
		"wrong scalar":            {scalar(eth+"/config/mtu", &gnmi.TypedValue{Value: &gnmi.TypedValue_StringVal{StringVal: "1500"}}), codes.InvalidArgument, "string_val"},
		"scalar out of range":     {scalar(eth+"/config/mtu", &gnmi.TypedValue{Value: &gnmi.TypedValue_UintVal{UintVal: 1 << 40}}), codes.InvalidArgument, "mtu"},
		"scalar for a container":  {scalar(eth+"/config", &gnmi.TypedValue{Value: &gnmi.TypedValue_BoolVal{BoolVal: true}}), codes.InvalidArgument, "bool_val"},
		// gNMI 3.4.7: encodings that are not offered are Unimplemented.
		"ascii":       {scalar(eth+"/config/mtu", &gnmi.TypedValue{Value: &gnmi.TypedValue_AsciiVal{AsciiVal: "1500"}}), codes.Unimplemented, "ascii_val"},
		"proto bytes": {scalar(eth+"/config", &gnmi.TypedValue{Value: &gnmi.TypedValue_ProtoBytes{}}), codes.Unimplemented, "proto_bytes"},
		// Nothing that a client relies on is answered with OK and ignored.
		"union_replace": {&gnmi.SetRequest{UnionReplace: []*gnmi.Update{up(t, "/", "{}")}}, codes.Unimplemented, "union_replace"},
		"commit":        {ext(&gnmi_ext.Extension{Ext: &gnmi_ext.Extension_Commit{Commit: &gnmi_ext.Commit{Id: "x"}}}), codes.Unimplemented, "commit-confirmed"},
		"arbitration":   {ext(&gnmi_ext.Extension{Ext: &gnmi_ext.Extension_MasterArbitration{}}), codes.Unimplemented, "master-arbitration"},
	}
	c := start(t, twoInterfaces)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inner := *c
			inner.t = t
			inner.refused(tt.req, tt.code, tt.text)
		})
	}
}

// gNMI 3.4: no operations is no error. gNMI 2.7: extensions that the target does
// not know are ignored.
func TestAnEmptySetIsNoErrorAndNoChange(t *testing.T) {
	c := start(t, twoInterfaces)
	c.set(&gnmi.SetRequest{})
	c.set(&gnmi.SetRequest{Extension: []*gnmi_ext.Extension{{Ext: &gnmi_ext.Extension_RegisteredExt{
		RegisteredExt: &gnmi_ext.RegisteredExtension{Id: gnmi_ext.ExtensionID_EID_EXPERIMENTAL},
	}}}})
	if c.target.Sets() != 2 || c.target.ChangingSets() != 0 {
		t.Errorf("%d Sets, %d changing, want 2 and 0", c.target.Sets(), c.target.ChangingSets())
	}
}

func TestWritingWhatIsThereIsNoChange(t *testing.T) {
	c := start(t, twoInterfaces)
	c.update(search, `["a","b"]`)
	tag := "/routing-policy/defined-sets/tag-sets/tag-set[name=T]/config/tag-value"
	c.update(tag, `[1,2]`)
	changed, n := c.target.Changed(), c.target.ChangingSets()
	c.update("/interfaces/interface[name=Ethernet1]/config/mtu", "1500")
	c.replace("/interfaces/interface[name=Ethernet1]", `{"name":"Ethernet1","config":{"description":"one","mtu":1500}}`)
	c.replace("/", string(c.target.Config()))
	c.replace(search, `["a","b"]`)
	c.replace(tag, `[2,1]`) // a set: its order means nothing (RFC 7950 section 7.7.7)
	c.remove("/interfaces/interface[name=Ethernet2]/config/description")
	c.set(&gnmi.SetRequest{
		Delete: []*gnmi.Path{p(t, "/interfaces")},
		Update: []*gnmi.Update{up(t, "/", twoInterfaces)},
	})
	if c.target.ChangingSets() != n {
		t.Errorf("%d changing Sets, want none", c.target.ChangingSets()-n)
	}
	select {
	case <-changed:
		t.Error("a change was told")
	default:
	}
	c.replace("/routing-policy/defined-sets/tag-sets/tag-set[name=T]", `{"name":"T","config":{"tag-value":[2,1]}}`)
	before := c.target.leaves()
	c.replace("/routing-policy", `{"defined-sets":{"tag-sets":{"tag-set":[{"name":"T","config":{"tag-value":[2,1]}},{"name":"U"}]}}}`)
	if after := c.target.leaves(); after[tag] != before[tag] {
		t.Errorf("a set was told in another order: %s, was %s", after[tag], before[tag])
	}
	<-changed
	changed = c.target.Changed()
	c.replace(search, `["b","a"]`) // ordered by the user: another order is a change
	<-changed
}

// gNMI 3.4.2: one result per operation, with prefix and path as they were given.
func TestSetResponseAnswersEachOperation(t *testing.T) {
	c := start(t, "")
	prefix := p(t, "/system/config")
	prefix.Target = "leaf01"
	got := c.set(&gnmi.SetRequest{
		Prefix:  prefix,
		Delete:  []*gnmi.Path{p(t, "/motd-banner")},
		Replace: []*gnmi.Update{up(t, "/hostname", `"a"`)},
		Update:  []*gnmi.Update{up(t, "/domain-name", `"b"`)},
	})
	if got.GetTimestamp() < 1e18 {
		t.Errorf("timestamp %d is not in nanoseconds", got.GetTimestamp())
	}
	got.Timestamp = 0
	want := &gnmi.SetResponse{Prefix: prefix, Response: []*gnmi.UpdateResult{
		{Path: p(t, "/motd-banner"), Op: gnmi.UpdateResult_DELETE},
		{Path: p(t, "/hostname"), Op: gnmi.UpdateResult_REPLACE},
		{Path: p(t, "/domain-name"), Op: gnmi.UpdateResult_UPDATE},
	}}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	c.holds(`{"openconfig-system:system":{"config":{"hostname":"a","domain-name":"b"}}}`)
}

// gNMI 2.2.3: every scalar arm that fits the leaf's type.
func TestScalarValues(t *testing.T) {
	c := start(t, "")
	str := func(s string) *gnmi.TypedValue {
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_StringVal{StringVal: s}}
	}
	for path, v := range map[string]*gnmi.TypedValue{
		"/interfaces/interface[name=Ethernet1]/config/mtu":         {Value: &gnmi.TypedValue_UintVal{UintVal: 9000}},
		"/interfaces/interface[name=Ethernet1]/config/type":        str("ethernetCsmacd"),
		"/interfaces/interface[name=Ethernet1]/config/enabled":     {Value: &gnmi.TypedValue_BoolVal{BoolVal: true}},
		"/interfaces/interface[name=Ethernet1]/config/description": str(`quote " and \`),
		"/lldp/config/hello-timer":                                 {Value: &gnmi.TypedValue_IntVal{IntVal: 30}},
		"/system/dns/config/search": {Value: &gnmi.TypedValue_LeaflistVal{LeaflistVal: &gnmi.ScalarArray{
			Element: []*gnmi.TypedValue{str("a"), str("b")},
		}}},
		"/acl/acl-sets/acl-set[name=A][type=ACL_IPV4]/acl-entries/acl-entry[sequence-id=10]/ipv4/config/protocol": str("IP_TCP"),
		"/acl/acl-sets/acl-set[name=A][type=ACL_IPV4]/acl-entries/acl-entry[sequence-id=20]/ipv4/config/protocol": {Value: &gnmi.TypedValue_UintVal{UintVal: 89}},
		"/lldp/config/system-name": {Value: &gnmi.TypedValue_JsonVal{JsonVal: []byte(` "x" `)}},
		"/system/config/hostname":  ietf("\t\"h\"\n"),
	} {
		c.set(&gnmi.SetRequest{Update: []*gnmi.Update{{Path: p(t, path), Val: v}}})
	}
	c.holds(`{
	"openconfig-acl:acl":{"acl-sets":{"acl-set":[{"name":"A","type":"openconfig-acl:ACL_IPV4","config":{"name":"A","type":"openconfig-acl:ACL_IPV4"},"acl-entries":{"acl-entry":[
		{"sequence-id":10,"config":{"sequence-id":10},"ipv4":{"config":{"protocol":"openconfig-packet-match-types:IP_TCP"}}},
		{"sequence-id":20,"config":{"sequence-id":20},"ipv4":{"config":{"protocol":89}}}]}}]}},
	"openconfig-interfaces:interfaces":{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":9000,"enabled":true,"type":"iana-if-type:ethernetCsmacd","description":"quote \" and \\"}}]},
	"openconfig-lldp:lldp":{"config":{"hello-timer":"30","system-name":"x"}},
	"openconfig-system:system":{"config":{"hostname":"h"},"dns":{"config":{"search":["a","b"]}}}}`)
}

// gNMI 2.3.1: JSON, unlike JSON_IETF, writes 64-bit numbers as numbers.
func TestPlainJSONTakesNumbersOfAnySize(t *testing.T) {
	c := start(t, "")
	for _, v := range []string{"30", `"31"`} {
		c.set(&gnmi.SetRequest{Update: []*gnmi.Update{{
			Path: p(t, "/lldp/config/hello-timer"),
			Val:  &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonVal{JsonVal: []byte(v)}},
		}}})
	}
	c.holds(`{"openconfig-lldp:lldp":{"config":{"hello-timer":"31"}}}`)
}

// RFC 7950 section 7.8.6: an ordered-by user list keeps the user's order.
func TestOrderedListKeepsTheUsersOrder(t *testing.T) {
	c := start(t, "")
	server := func(a string) string { return `{"address":"` + a + `","config":{"address":"` + a + `"}}` }
	want := func(list string) {
		t.Helper()
		c.holds(`{"openconfig-system:system":{"dns":{"servers":{"server":[` + list + `]}}}}`)
	}
	c.replace("/system/dns/servers", `{"server":[`+server("9.9.9.9")+`,`+server("1.1.1.1")+`]}`)
	want(server("9.9.9.9") + "," + server("1.1.1.1"))
	c.update("/system/dns/servers/server[address=8.8.8.8]", `{"address":"8.8.8.8"}`)
	want(server("9.9.9.9") + "," + server("1.1.1.1") + "," + server("8.8.8.8"))
	n := c.target.ChangingSets()
	c.replace("/system/dns/servers", `{"server":[`+server("1.1.1.1")+`,`+server("9.9.9.9")+`,`+server("8.8.8.8")+`]}`)
	want(server("1.1.1.1") + "," + server("9.9.9.9") + "," + server("8.8.8.8"))
	if c.target.ChangingSets() != n+1 {
		t.Error("another order is no change")
	}
}

func TestRefusedPathsStayAsTheyAre(t *testing.T) {
	c := serve(t, Config{
		Initial: []byte(twoInterfaces),
		Refuse:  []string{"/system/aaa", "/interfaces/interface[name=Ethernet2]", "/acl/acl-sets/acl-set/config/description"},
	})
	for path, value := range map[string]string{
		"/system/aaa/authentication/config/authentication-method": `["LOCAL"]`,
		"/system": `{"aaa":{"authentication":{"config":{"authentication-method":["LOCAL"]}}}}`,
		"/interfaces/interface[name=Ethernet2]/config/mtu":                "9000",
		"/acl/acl-sets/acl-set[name=A][type=ACL_IPV4]/config/description": `"d"`,
	} {
		c.refused(&gnmi.SetRequest{Update: []*gnmi.Update{up(t, path, value)}}, codes.InvalidArgument, "refused by the device")
	}
	for _, path := range []string{"/interfaces", "/", "/interfaces/interface[name=*]", "/system/aaa"} {
		c.refused(&gnmi.SetRequest{Delete: []*gnmi.Path{p(t, path)}}, codes.InvalidArgument, "refused by the device")
	}
	c.update("/system/config/hostname", `"a"`)
	c.update("/interfaces/interface[name=Ethernet1]/config/mtu", "9000")
	c.remove("/interfaces/interface[name=Ethernet1]")
	if _, err := New(Config{Refuse: []string{"/nonsense"}}); err == nil {
		t.Error("Refuse takes a path that the models do not have")
	}
}

func TestManyEntriesKeepTheirOrderAndAreFound(t *testing.T) {
	c := start(t, "")
	for i := range 50 {
		c.update("/interfaces/interface[name=Ethernet"+strconv.Itoa(49-i)+"]/config/mtu", strconv.Itoa(1500+i))
	}
	for i := range 50 {
		if i%2 == 0 {
			c.remove("/interfaces/interface[name=Ethernet" + strconv.Itoa(i) + "]")
		}
	}
	n, err := c.Get(deadline(t), &gnmi.GetRequest{Path: []*gnmi.Path{p(t, "/interfaces/interface[name=*]/config/mtu")}, Encoding: gnmi.Encoding_PROTO})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(n.GetNotification()[0].GetUpdate()); got != 25 {
		t.Errorf("%d interfaces left, want 25", got)
	}
}

func TestInitialConfigurationIsChecked(t *testing.T) {
	for _, bad := range []string{`{`, `[]`, `{"openconfig-interfaces:interfaces":{"interface":[{}]}}`, `{"x":1}`} {
		if _, err := New(Config{Initial: []byte(bad)}); err == nil {
			t.Errorf("New takes %s", bad)
		}
	}
}
