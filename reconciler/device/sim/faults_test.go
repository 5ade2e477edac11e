package sim

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// bent is a fault that a Set and a Get show.
type bent struct {
	faults  Faults
	initial string
	ops     []op
	get     string
	want    string // JSON_IETF of what is got, or the code of what fails
}

// op is one operation of a SetRequest. A value of "" is a delete.
type op struct {
	replace     bool
	path, value string
}

const (
	instances = `{"openconfig-network-instance:network-instances":{"network-instance":[{"name":"default","config":{"name":"default","description":"1500"}}]}}`
	vrf       = "/network-instances/network-instance"
	ifc       = "/interfaces/interface[name=Ethernet1]"
	user      = "/system/aaa/authentication/users/user[username=a]/config"
)

func TestFaultsOfSetAndGet(t *testing.T) {
	mtu := op{false, ifc + "/config/mtu", "9000"}
	tests := map[string]bent{
		"a path is refused":                                {Faults{Refuse: []string{ifc}}, twoInterfaces, []op{mtu}, ifc + "/config/mtu", "InvalidArgument"},
		"what depends comes with what it needs":            {Faults{Order: map[string]string{ifc: vrf + "[name=*]"}}, "", []op{{false, vrf + "[name=a]/config/description", `"9000"`}, mtu}, ifc + "/config/mtu", "InvalidArgument"},
		"what is needed goes with what depends":            {Faults{Order: map[string]string{ifc: "/interfaces/interface[name=Ethernet2]"}}, twoInterfaces, []op{{false, "/interfaces/interface", ""}}, ifc + "/config/mtu", "InvalidArgument"},
		"a leaf is dropped":                                {Faults{Drop: []string{"/interfaces/interface/config/mtu"}}, twoInterfaces, []op{mtu}, ifc + "/config/mtu", "1500"},
		"a new leaf is dropped":                            {Faults{Drop: []string{"/system/config/hostname"}}, "", []op{{false, "/system/config/hostname", `"a"`}, {false, "/system/config/motd-banner", `"b"`}}, "/system", `{"openconfig-system:config":{"motd-banner":"b"}}`},
		"a delete is dropped":                              {Faults{Drop: []string{ifc}}, twoInterfaces, []op{{false, "/interfaces/interface", ""}}, "/interfaces/interface/config/mtu", "1500"},
		"a new entry is dropped":                           {Faults{Drop: []string{"/interfaces/interface[name=e9]"}}, twoInterfaces, []op{{false, "/interfaces/interface[name=e9]/config/mtu", "1"}}, "/interfaces/interface[name=e9]", "NotFound"},
		"everything is dropped":                            {Faults{Drop: []string{"/"}}, twoInterfaces, []op{{true, "/", "{}"}}, ifc + "/config/mtu", "1500"},
		"a deleted entry stays":                            {Faults{KeepDeleted: []string{ifc}}, twoInterfaces, []op{{false, ifc, ""}}, ifc + "/config/mtu", "1500"},
		"a deleted leaf stays":                             {Faults{KeepDeleted: []string{"/interfaces/interface/config/description"}}, twoInterfaces, []op{{false, ifc + "/config/description", ""}}, ifc + "/config/description", `"one"`},
		"a leaf stays when a replace leaves it out":        {Faults{KeepDeleted: []string{"/interfaces/interface/config/description"}}, twoInterfaces, []op{{true, "/interfaces", `{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":9000}}]}`}}, ifc + "/config", `{"openconfig-interfaces:description":"one","openconfig-interfaces:mtu":9000,"openconfig-interfaces:name":"Ethernet1"}`},
		"objects appear":                                   {Faults{Implicit: []Object{{"/lldp/config", json.RawMessage(`{"enabled":true}`)}}}, twoInterfaces, []op{mtu}, "/lldp/config/enabled", "true"},
		"an object has another name":                       {Faults{Rename: map[string]string{vrf + "[name=default]": "DEFAULT"}}, "", []op{{true, vrf + "[name=default]", `{"name":"default","config":{"name":"default","description":"9000"}}`}}, vrf + "[name=DEFAULT]/config", `{"openconfig-network-instance:description":"9000","openconfig-network-instance:name":"DEFAULT"}`},
		"an object is gone by the name it is written with": {Faults{Rename: map[string]string{vrf + "[name=default]": "DEFAULT"}}, instances, []op{{false, vrf + "[name=default]/config/description", `"9000"`}}, vrf + "[name=default]", "NotFound"},
		"secrets are hashed":                               {Faults{Secrets: "hash"}, "", []op{{false, user, `{"username":"a","password":"hunter2"}`}}, user + "/password", `"$6$zVbwKmt6$`},
		"defaults are reported":                            {Faults{Defaults: "report"}, "", []op{{false, "/lldp/config/system-name", `"a"`}}, "/lldp/config/enabled", "true"},
		"defaults are hidden":                              {Faults{Defaults: "hide"}, "", []op{{false, "/lldp/config", `{"enabled":true}`}}, "/lldp/config/enabled", "NotFound"},
		"identities lose their module":                     {Faults{Rewrite: true}, "", []op{{false, ifc + "/config/type", `"iana-if-type:ethernetCsmacd"`}}, ifc + "/config/type", `"ethernetCsmacd"`},
		"MAC addresses are in upper case":                  {Faults{Rewrite: true}, "", []op{{false, ifc + "/ethernet/config/mac-address", `"00:11:22:aa:bb:cc"`}}, ifc + "/ethernet/config/mac-address", `"00:11:22:AA:BB:CC"`},
		"64-bit integers are numbers":                      {Faults{Rewrite: true}, "", []op{{false, "/keychains/keychain[name=a]/keys/key[key-id=1]/receive-lifetime/config/end-time", `"12"`}}, "/keychains/keychain[name=a]/keys/key[key-id=1]/receive-lifetime/config/end-time", "12"},
		"leaf-lists have another order":                    {Faults{Rewrite: true}, "", []op{{false, ifc + "/ethernet/switched-vlan/config/trunk-vlans", `[10,20]`}}, ifc + "/ethernet/switched-vlan/config/trunk-vlans", "[20,10]"},
		"IPv6 addresses are in full":                       {Faults{Rewrite: true}, "", []op{{false, "/bfd/interfaces/interface[id=a]/config/local-address", `"2001:db8::a"`}}, "/bfd/interfaces/interface[id=a]/config/local-address", `"2001:0DB8:0000:0000:0000:0000:0000:000A"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.play(t, tt.faults); !strings.HasPrefix(got, tt.want) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if got := tt.play(t, Faults{}); strings.HasPrefix(got, tt.want) {
				t.Errorf("the same without the fault: %s", got)
			}
		})
	}
}

// play does the Set, and says what the Get shows then; or with which code the Set,
// or else the Get, fails.
func (b bent) play(t *testing.T, f Faults) string {
	c := start(t, b.initial)
	c.breaks(f)
	req := &gnmi.SetRequest{}
	for _, o := range b.ops {
		switch {
		case o.value == "":
			req.Delete = append(req.Delete, p(t, o.path))
		case o.replace:
			req.Replace = append(req.Replace, up(t, o.path, o.value))
		default:
			req.Update = append(req.Update, up(t, o.path, o.value))
		}
	}
	if _, err := c.Set(deadline(t), req); err != nil {
		return status.Code(err).String()
	}
	return c.shows(b.get)
}

func (c *client) breaks(f Faults) {
	c.t.Helper()
	if err := c.target.Break(f); err != nil {
		c.t.Fatal(err)
	}
}

// shows is the JSON_IETF that a Get answers, or its code.
func (c *client) shows(path string) string {
	c.t.Helper()
	resp, err := c.Get(deadline(c.t), &gnmi.GetRequest{Path: []*gnmi.Path{p(c.t, path)}, Encoding: gnmi.Encoding_JSON_IETF})
	if err != nil {
		return status.Code(err).String()
	}
	var all []string
	for _, u := range resp.GetNotification()[0].GetUpdate() {
		all = append(all, string(u.GetVal().GetJsonIetfVal()))
	}
	return strings.Join(all, " ")
}

func TestASaltStaysAsLongAsItsSecretOrChangesAtEachRead(t *testing.T) {
	c := start(t, "")
	c.update(user, `{"username":"a","password":"hunter2","ssh-key":"b"}`)
	c.breaks(Faults{Secrets: "hash"})
	first := c.shows(user + "/password")
	if again := c.shows(user + "/password"); again != first {
		t.Errorf("%s, then %s", first, again)
	}
	c.update(user, `{"password":"hunter3"}`)
	if other := c.shows(user + "/password"); other == first {
		t.Errorf("another secret is shown as the first: %s", other)
	}
	c.breaks(Faults{Secrets: "resalt"})
	if first, again := c.shows(user+"/password"), c.shows(user+"/password"); first == again || !strings.HasPrefix(first, `"$6$`) {
		t.Errorf("%s, then %s", first, again)
	}
	if got := c.shows(user + "/ssh-key"); got != `"b"` {
		t.Errorf("what is no secret: %s", got)
	}
}

func TestAStreamTellsWhatAFaultShows(t *testing.T) {
	c := start(t, "")
	c.breaks(Faults{Secrets: "hash", Rewrite: true, Drop: []string{"/system/config/motd-banner"}})
	r := c.subscribe(deadline(t), list1(t, gnmi.SubscriptionList_STREAM, onChange(t, "/system"), onChange(t, ifc)))
	r.wants("sync")
	c.set(&gnmi.SetRequest{Update: []*gnmi.Update{up(t, user+"/password", `"hunter2"`), up(t, "/system/config/motd-banner", `"b"`), up(t, ifc+"/config/type", `"ethernetCsmacd"`)}})
	got := strings.Join(r.next(), "\n")
	if strings.Contains(got, "hunter2") || !strings.Contains(got, `/password "$6$`) || !strings.Contains(got, `type "ethernetCsmacd"`) || strings.Contains(got, "banner") {
		t.Errorf("got %s", got)
	}
}

func TestWhatIsKeptUnderAnotherNameIsWrittenByEither(t *testing.T) {
	c := start(t, "")
	c.breaks(Faults{Rename: map[string]string{vrf + "[name=default]": "DEFAULT"}})
	want := func(mtu string) {
		t.Helper()
		c.holds(strings.NewReplacer("default", "DEFAULT", "1500", mtu).Replace(instances))
	}
	c.update(vrf+"[name=default]/config/description", `"1"`)
	want("1")
	c.update(vrf+"[name=DEFAULT]/config/description", `"2"`)
	want("2")
	c.replace(vrf+"[name=DEFAULT]", `{"name":"DEFAULT","config":{"name":"DEFAULT","description":"3"}}`)
	want("3")
	c.update("/network-instances", `{"network-instance":[{"name":"DEFAULT","config":{"name":"DEFAULT","description":"4"}}]}`)
	want("4")
	c.replace("/network-instances", `{"network-instance":[{"name":"default","config":{"name":"default","description":"5"}}]}`)
	want("5")
	changing := c.target.ChangingSets()
	c.update(vrf+"[name=default]/config/description", `"5"`)
	if c.target.ChangingSets() != changing {
		t.Error("writing the same again was a change")
	}
	c.remove(vrf + "[name=DEFAULT]")
	c.holds(`{}`)
}

func TestObjectsAppearOnlyWithAChange(t *testing.T) {
	c := start(t, twoInterfaces)
	c.breaks(Faults{Implicit: []Object{{"/lldp/config", json.RawMessage(`{"enabled":true}`)}}})
	c.update(ifc+"/config/mtu", "1500")
	c.holds(twoInterfaces)
}

func TestAMendedTargetIsAsItWasBefore(t *testing.T) {
	c := serve(t, Config{Initial: []byte(twoInterfaces), Faults: Faults{Defaults: "report", Refuse: []string{ifc}, Drop: []string{"/system"}}})
	if got := c.target.Faults(); !slices.Equal(got.Drop, []string{"/system"}) {
		t.Errorf("faults at the start: %+v", got)
	}
	c.refused(&gnmi.SetRequest{Update: []*gnmi.Update{up(t, ifc+"/config/mtu", "9000")}}, codes.InvalidArgument, "refused by the device")
	c.breaks(Faults{})
	if got := c.target.Faults(); !reflect.ValueOf(got).IsZero() {
		t.Errorf("faults of a mended target: %+v", got)
	}
	c.update(ifc+"/config/mtu", "9000")
	c.update("/system/config/hostname", `"a"`)
	if got := c.shows("/lldp/config/enabled"); got != "NotFound" {
		t.Errorf("a default is still reported: %s", got)
	}
}

func TestFaultsThatAreNoneAreRefused(t *testing.T) {
	target, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		`{"keepDelete": ["/"]}`:                    `unknown fault "keepDelete", did you mean "keepDeleted"?`,
		`{"secrets": "hsh"}`:                       `unknown "hsh", did you mean "hash"?`,
		`{"refuse": "/system"}`:                    "faults: ",
		`{"implicit": [{"path": "/", "val": {}}]}`: `unknown field "val"`,
		`[]`:                           "faults: ",
		`{"drop": ["/sistem"]}`:        "drop: ",
		`{"rename": {"/system": "a"}}`: "no entry of a list",
		`{"implicit": [{"path": "/system", "value": {"a": 1}}]}`: `no node "a"`,
		`{"order": {"/system": "/sistem"}}`:                      "order: ",
	} {
		f, err := ParseFaults([]byte(text))
		if err == nil {
			err = target.Break(f)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if !reflect.ValueOf(target.Faults()).IsZero() {
		t.Error("a mistake broke the target")
	}
}

func TestOneThingAfterTheOtherIsTaken(t *testing.T) {
	c := start(t, "")
	c.breaks(Faults{Order: map[string]string{ifc + "/config/mtu": "/system/config/hostname"}})
	name, mtu := up(t, "/system/config/hostname", `"a"`), up(t, ifc+"/config/mtu", "1500")
	c.set(&gnmi.SetRequest{Update: []*gnmi.Update{name}})
	c.set(&gnmi.SetRequest{Update: []*gnmi.Update{mtu}})
	c.set(&gnmi.SetRequest{Update: []*gnmi.Update{up(t, ifc+"/config/mtu", "9000")}})
	both := []*gnmi.Path{name.Path, mtu.Path}
	c.refused(&gnmi.SetRequest{Delete: both[:1]}, codes.InvalidArgument, "in use")
	c.refused(&gnmi.SetRequest{Delete: both}, codes.InvalidArgument, "in use")
	c.set(&gnmi.SetRequest{Delete: both[1:]})
	c.refused(&gnmi.SetRequest{Delete: both[:1], Update: []*gnmi.Update{mtu}}, codes.InvalidArgument, "")
}
