package plan

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

func TestOperationsAreAsNarrowAsTheChange(t *testing.T) {
	const (
		eth1   = `{"name":"Ethernet1","config":{"name":"Ethernet1"%s}%s}`
		list   = `{"interfaces":{"interface":[%s]}}`
		dns    = `{"system":{"dns":{"servers":{"server":[%s]}}}}`
		server = `{"address":"192.0.2.%d","config":{"address":"192.0.2.%[1]d"%s}}`
	)
	one := func(config, rest string) string { return fmt.Sprintf(list, fmt.Sprintf(eth1, config, rest)) }
	servers := func(all ...string) string { return fmt.Sprintf(dns, strings.Join(all, ",")) }
	s := func(n int, more string) string { return fmt.Sprintf(server, n, more) }
	for name, c := range map[string]struct {
		running, intended string
		want              []string
	}{
		"same": {one(`,"mtu":9000`, ""), one(`,"mtu":9000`, ""), nil},
		"leaf changes": {
			one(`,"mtu":1500`, ""), one(`,"mtu":9000`, ""),
			[]string{"update /interfaces/interface[name=Ethernet1]/config/mtu 9000"},
		},
		"leaf comes": {
			one("", ""), one(`,"mtu":9000`, ""),
			[]string{"update /interfaces/interface[name=Ethernet1]/config/mtu 9000"},
		},
		"leaf goes": {
			one(`,"mtu":9000`, ""), one("", ""),
			[]string{"delete /interfaces/interface[name=Ethernet1]/config/mtu"},
		},
		"default comes explicitly": {one("", ""), one(`,"enabled":true`, ""), nil},
		"default goes":             {one(`,"enabled":true`, ""), one("", ""), nil},
		"back to the default": {
			one(`,"enabled":false`, ""), one("", ""),
			[]string{"delete /interfaces/interface[name=Ethernet1]/config/enabled"},
		},
		"back to the default, explicitly": {
			one(`,"enabled":false`, ""), one(`,"enabled":true`, ""),
			[]string{"update /interfaces/interface[name=Ethernet1]/config/enabled true"},
		},
		"the key below config is not reported": {`{"interfaces":{"interface":[{"name":"Ethernet1","config":{"mtu":1}}]}}`, one(`,"mtu":1`, ""), nil},
		"the key below config is not intended": {one(`,"mtu":1`, ""), `{"interfaces":{"interface":[{"name":"Ethernet1","config":{"mtu":1}}]}}`, nil},
		"all but the key goes, and the key stays": {
			one(`,"mtu":1,"description":"x"`, ""), `{"interfaces":{"interface":[{"name":"Ethernet1"}]}}`,
			[]string{"delete /interfaces/interface[name=Ethernet1]/config/description", "delete /interfaces/interface[name=Ethernet1]/config/mtu"},
		},
		"container goes": {
			one("", `,"ethernet":{"config":{"port-speed":"SPEED_10GB","duplex-mode":"FULL"}}`), one("", ""),
			[]string{"delete /interfaces/interface[name=Ethernet1]/ethernet/config"},
		},
		"container with one leaf goes": {
			one("", `,"ethernet":{"config":{"port-speed":"SPEED_10GB"}}`), one("", ""),
			[]string{"delete /interfaces/interface[name=Ethernet1]/ethernet/config/port-speed"},
		},
		"container with defaults only goes": {
			one("", `,"ethernet":{"config":{"enable-flow-control":false}}`), one("", ""), nil,
		},
		"container goes at the place that holds all of it": {
			one("", `,"ethernet":{"config":{"duplex-mode":"FULL"},"switched-vlan":{"config":{"interface-mode":"TRUNK"}}}`), one("", ""),
			[]string{"delete /interfaces/interface[name=Ethernet1]/ethernet"},
		},
		"top container goes below itself": {
			`{"lldp":{"config":{"enabled":false,"system-name":"x"}}}`, `{}`,
			[]string{"delete /lldp/config"},
		},
		"entry comes": {
			`{}`, one(`,"mtu":9000`, ""),
			[]string{`replace /interfaces/interface[name=Ethernet1] {"config":{"mtu":9000,"name":"Ethernet1"},"name":"Ethernet1"}`},
		},
		"entry goes, and never the list": {
			one(`,"mtu":9000`, ""), `{}`,
			[]string{"delete /interfaces/interface[name=Ethernet1]"},
		},
		"leaf-list grows": {
			one("", `,"ethernet":{"switched-vlan":{"config":{"trunk-vlans":[10]}}}`), one("", `,"ethernet":{"switched-vlan":{"config":{"trunk-vlans":[20,10]}}}`),
			[]string{"replace /interfaces/interface[name=Ethernet1]/ethernet/switched-vlan/config/trunk-vlans [10,20]"},
		},
		"leaf-list in another order is the same": {
			one("", `,"ethernet":{"switched-vlan":{"config":{"trunk-vlans":[10,20]}}}`), one("", `,"ethernet":{"switched-vlan":{"config":{"trunk-vlans":[20,10]}}}`), nil,
		},
		"leaf-list goes": {
			one("", `,"ethernet":{"switched-vlan":{"config":{"trunk-vlans":[10]}}}`), one("", ""),
			[]string{"delete /interfaces/interface[name=Ethernet1]/ethernet/switched-vlan/config/trunk-vlans"},
		},
		"zero is a value": {
			one("", `,"hold-time":{"config":{"up":10}}`), one("", `,"hold-time":{"config":{"up":0,"down":7}}`),
			[]string{"update /interfaces/interface[name=Ethernet1]/hold-time/config/down 7", "update /interfaces/interface[name=Ethernet1]/hold-time/config/up 0"},
		},
		"ordered list in another order": {
			servers(s(1, ""), s(2, "")), servers(s(2, ""), s(1, "")),
			[]string{`replace /system/dns/servers {"server":[{"address":"192.0.2.2","config":{"address":"192.0.2.2"}},{"address":"192.0.2.1","config":{"address":"192.0.2.1"}}]}`},
		},
		"ordered list with another entry": {
			servers(s(1, "")), servers(s(1, ""), s(2, "")),
			[]string{`replace /system/dns/servers {"server":[{"address":"192.0.2.1","config":{"address":"192.0.2.1"}},{"address":"192.0.2.2","config":{"address":"192.0.2.2"}}]}`},
		},
		"leaf within an ordered list": {
			servers(s(1, ""), s(2, "")), servers(s(1, ""), s(2, `,"port":5353`)),
			[]string{"update /system/dns/servers/server[address=192.0.2.2]/config/port 5353"},
		},
		"ordered list comes": {
			`{}`, servers(s(1, "")),
			[]string{`replace /system/dns/servers {"server":[{"address":"192.0.2.1","config":{"address":"192.0.2.1"}}]}`},
		},
		"ordered list goes entry by entry": {
			servers(s(1, ""), s(2, "")), `{}`,
			[]string{"delete /system/dns/servers/server[address=192.0.2.1]", "delete /system/dns/servers/server[address=192.0.2.2]"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := Diff(mustParse(t, c.running), mustParse(t, c.intended))
			if diff := cmp.Diff(c.want, operations(p)); diff != "" {
				t.Errorf("operations (-want +got):\n%s", diff)
			}
			if p.Empty() != (len(c.want) == 0) {
				t.Errorf("Empty is %v", p.Empty())
			}
		})
	}
}

func TestScopeBoundsDeletesAndReplaces(t *testing.T) {
	s := tree.OpenConfig()
	one := func(rest string) *tree.Tree {
		return mustParse(t, `{"interfaces":{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":1}`+rest+`}]}}`)
	}
	for name, c := range map[string]struct {
		manage            []string
		running, intended *tree.Tree
		want              []string
	}{
		"entry goes, its ethernet is not ours": {
			[]string{"/interfaces", "!/interfaces/interface/ethernet"},
			one(""), tree.Empty(s),
			[]string{"delete /interfaces/interface[name=Ethernet1]/config/mtu"},
		},
		"entry comes, its ethernet is not ours": {
			[]string{"/interfaces", "!/interfaces/interface/ethernet"},
			tree.Empty(s), one(""),
			[]string{`update /interfaces/interface[name=Ethernet1]/config/name "Ethernet1"`, "update /interfaces/interface[name=Ethernet1]/config/mtu 1"},
		},
		"entry goes, only a part of it is ours": {
			[]string{"/interfaces/interface/hold-time"},
			one(`,"hold-time":{"config":{"up":1,"down":2}}`), one(""),
			[]string{"delete /interfaces/interface[name=Ethernet1]/hold-time/config"},
		},
		"entry goes, one entry of a list in it is not ours": {
			[]string{"/interfaces", "!/interfaces/interface/subinterfaces/subinterface[index=7]"},
			one(""), tree.Empty(s),
			[]string{"delete /interfaces/interface[name=Ethernet1]/config/mtu"},
		},
		"order changes, something in the entries is not ours": {
			[]string{"/system/dns", "!/system/dns/servers/server/config/port"},
			mustParse(t, `{"system":{"dns":{"servers":{"server":[{"address":"192.0.2.1"},{"address":"192.0.2.2"}]}}}}`),
			mustParse(t, `{"system":{"dns":{"servers":{"server":[{"address":"192.0.2.2"},{"address":"192.0.2.1"},{"address":"192.0.2.3"}]}}}}`),
			[]string{`update /system/dns/servers/server[address=192.0.2.3] {"address":"192.0.2.3"}`},
		},
		"an ordered list comes, something in its entries is not ours": {
			[]string{"/system/dns", "!/system/dns/servers/server/config/port"},
			tree.Empty(s),
			mustParse(t, `{"system":{"dns":{"servers":{"server":[{"address":"192.0.2.1"}]}}}}`),
			[]string{`update /system/dns/servers/server[address=192.0.2.1] {"address":"192.0.2.1"}`},
		},
		"a container goes, one leaf in it is not ours": {
			[]string{"/interfaces", "!/interfaces/interface/ethernet/config/port-speed"},
			one(`,"ethernet":{"config":{"duplex-mode":"FULL","auto-negotiate":false}}`), one(""),
			[]string{
				"delete /interfaces/interface[name=Ethernet1]/ethernet/config/auto-negotiate",
				"delete /interfaces/interface[name=Ethernet1]/ethernet/config/duplex-mode",
			},
		},
		"entry goes, and all of it is ours": {
			[]string{"/interfaces/interface[name=Ethernet*]"},
			one(""), tree.Empty(s),
			[]string{"delete /interfaces/interface[name=Ethernet1]"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			managed := scope(t, s, c.manage...)
			p := DiffScoped(managed, managed.Filter(c.running), managed.Filter(c.intended))
			if diff := cmp.Diff(c.want, operations(p)); diff != "" {
				t.Errorf("operations (-want +got):\n%s", diff)
			}
		})
	}
}

// Two keys that read alike when strung together are two keys.
func TestKeysAreToldApart(t *testing.T) {
	set := func(prefix, length string) *tree.Tree {
		return mustParse(t, fmt.Sprintf(`{"routing-policy":{"defined-sets":{"prefix-sets":{"prefix-set":[{"name":"s","prefixes":{"prefix":[{"ip-prefix":%q,"masklength-range":%q}]}}]}}}}`, prefix, length))
	}
	got := operations(Diff(set("0.0.0.0/1", "6..24"), set("0.0.0.0/16", "..24")))
	if len(got) != 2 || !strings.HasPrefix(got[0], "delete ") || !strings.HasPrefix(got[1], "replace ") {
		t.Errorf("got %q", got)
	}
}

func TestValuesThatCannotBeSeenAreQuoted(t *testing.T) {
	for s, want := range map[string]string{
		"": `""`, " x": `" x"`, "x ": `"x "`, "x y": "x y", "\t": `"\t"`, "a\u202eb": `"a\u202eb"`, "\x1b[31m": `"\x1b[31m"`, "\xff": `"\xff"`, "é日": "é日",
	} {
		if got := visible(s); got != want {
			t.Errorf("%q: got %s, want %s", s, got, want)
		}
	}
}

func TestChangesStandInTheOrderOfTheConfig(t *testing.T) {
	all := func(names ...string) *tree.Tree {
		var entries []string
		for _, n := range names {
			entries = append(entries, fmt.Sprintf(`{"name":%q,"config":{"name":%[1]q}}`, n))
		}
		return mustParse(t, `{"interfaces":{"interface":[`+strings.Join(entries, ",")+`]}}`)
	}
	var got []string
	for _, c := range Diff(all("e1", "e2", "e4", "e6"), all("e1", "e3", "e4", "e5", "e10")).Changes {
		got = append(got, string(sign(c))+c.Path[1].Keys[0].Value)
	}
	if diff := cmp.Diff([]string{"-e2", "+e3", "-e6", "+e5", "+e10"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestSummaryKeepsTheVerdict(t *testing.T) {
	p := Diff(mustParse(t, `{"system":{"config":{"hostname":"a","motd-banner":"x"}}}`), mustParse(t, `{"system":{"config":{"hostname":"b"}}}`))
	named := func(format string, n int) []DevicePlan {
		var out []DevicePlan
		for i := range n {
			out = append(out, DevicePlan{models.DeviceName(fmt.Sprintf(format, i+1)), p})
		}
		return out
	}
	for _, c := range []struct {
		in   []DevicePlan
		want string
	}{
		{nil, "no change"},
		{[]DevicePlan{{"leaf01", &Plan{}}, {"leaf02", nil}}, "no change"},
		{named("leaf%02d", 1), "1 device, +1 −2 leaves: leaf01"},
		{append(named("leaf%02d", 2), DevicePlan{"same", &Plan{}}), "2 devices, +2 −4 leaves: leaf01, leaf02"},
		{named("leaf%02d", 200), "200 devices, +200 −400 leaves: leaf01, leaf02, leaf03, leaf04, leaf05, leaf06, leaf07, leaf08, leaf09, leaf10, leaf11, leaf12 and 188 more"},
		{named(strings.Repeat("x", 150)+"%d", 3), "3 devices, +3 −6 leaves"},
	} {
		got := Summary(c.in)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Error(diff)
		}
		if n := utf8.RuneCountInString(got); n > maxSummary {
			t.Errorf("%d characters: %s", n, got)
		}
	}
}

func TestBriefFitsAndCounts(t *testing.T) {
	p := Diff(
		mustParse(t, `{"system":{"config":{"hostname":"a","login-banner":"gone"},"aaa":{"authentication":{"admin-user":{"config":{"admin-password":"hush"}}}}}}`),
		mustParse(t, `{"system":{"config":{"hostname":"b","motd-banner":"hello"}},"interfaces":{"interface":[{"name":"e1","config":{"name":"e1","mtu":1}}]}}`))
	for max, want := range map[int]string{
		1000: "/interfaces/interface[name=e1] added, /system/aaa/authentication/admin-user/config/admin-password −(secret), /system/config/hostname a → b, /system/config/login-banner −gone, /system/config/motd-banner +hello",
		120:  "/interfaces/interface[name=e1] added, /system/aaa/authentication/admin-user/config/admin-password −(secret), +3 more",
		50:   "/interfaces/interface[name=e1] added, +4 more",
		30:   "/interfaces/interfac…, +4 more",
		15:   "/interfaces/in…",
		3:    "/i…",
		0:    "",
	} {
		if diff := cmp.Diff(want, Brief(p, max)); diff != "" {
			t.Errorf("%d: %s", max, diff)
		}
	}
	for max, want := range map[int]string{
		1000: "/interfaces/interface[name=e1] (missing), /system/aaa/authentication/admin-user/config/admin-password (found (secret), not expected), /system/config/hostname (found a, expected b), /system/config/login-banner (found gone, not expected), /system/config/motd-banner (missing, expected hello)",
		60:   "/interfaces/interface[name=e1] (missing), +4 more",
	} {
		if diff := cmp.Diff(want, Found(p, max)); diff != "" {
			t.Errorf("%d: %s", max, diff)
		}
	}
	gone := Diff(mustParse(t, `{"interfaces":{"interface":[{"name":"e1","config":{"name":"e1","mtu":1}}]}}`), mustParse(t, `{}`))
	if got := Found(gone, 80); got != "/interfaces/interface[name=e1] (not expected)" {
		t.Errorf("got %q", got)
	}
	if got := Found(nil, 80); got != "as expected" {
		t.Errorf("got %q", got)
	}
	if got := Brief(nil, 80); got != "no change" {
		t.Errorf("got %q", got)
	}
}

func TestShortValuesShowWhatDiffers(t *testing.T) {
	const long = "tenant-a: rack 12, port 3, ticket CHG-1002"
	for _, c := range []struct{ was, is, want1, want2 string }{
		{"a", "b", "a", "b"},
		{"", "", "", ""},
		{long + "3", long + "4", "…G-10023", "…G-10024"},
		{long, long + "4", "…G-1002", "…G-10024"},
		{"x" + long, "y" + long, "xtenant-a: rack 12, por…", "ytenant-a: rack 12, por…"},
		{long + "3 by night", "", "tenant-a: rack 12, port…", ""},
		{long + "3" + long, long + "4" + long, "…G-10023tenant-a: rack …", "…G-10024tenant-a: rack …"},
	} {
		was, is := shortPair(c.was, c.is)
		if diff := cmp.Diff([]string{c.want1, c.want2}, []string{was, is}); diff != "" {
			t.Errorf("%q, %q: %s", c.was, c.is, diff)
		}
		if c.was != c.is && was == is {
			t.Errorf("%q and %q look alike", c.was, c.is)
		}
	}
}

// leafSwitch is a leaf switch's configuration of 160 kB, and the same with one
// leaf, one entry and one leaf-list changed.
func leafSwitch(t testing.TB) (running, intended *tree.Tree) {
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
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	changed := strings.Replace(text, `"description":"rule 0 of ACL-0"`, `"description":"another"`, 1)
	if changed == text {
		t.Fatal("the leaf to change is not there")
	}
	return mustParse(t, text), mustParse(t, changed)
}

func TestOneLeafOfALargeConfigIsOneUpdate(t *testing.T) {
	a, b := leafSwitch(t)
	want := []string{`update /acl/acl-sets/acl-set[name=ACL-0][type=ACL_IPV4]/acl-entries/acl-entry[sequence-id=10]/config/description "another"`}
	if diff := cmp.Diff(want, operations(Diff(a, b))); diff != "" {
		t.Error(diff)
	}
}

func BenchmarkDiff(b *testing.B) {
	running, intended := leafSwitch(b)
	empty := tree.Empty(tree.OpenConfig())
	for name, in := range map[string][2]*tree.Tree{
		"same": {running, running}, "one leaf": {running, intended}, "from nothing": {empty, intended}, "to nothing": {running, empty},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Diff(in[0], in[1])
			}
		})
	}
	managed, err := tree.NewScope(tree.OpenConfig(), []string{"/", "!/interfaces/interface/hold-time"})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("to nothing, scoped", func(b *testing.B) {
		for b.Loop() {
			DiffScoped(managed, running, empty)
		}
	})
}

// BenchmarkFirstPlan plans a device that has nothing yet, with 3,000 interfaces of
// which all is managed: what a new device costs.
func BenchmarkFirstPlan(b *testing.B) {
	var config strings.Builder
	config.WriteString(`{"openconfig-interfaces:interfaces":{"interface":[`)
	for i := range 3000 {
		if i > 0 {
			config.WriteByte(',')
		}
		fmt.Fprintf(&config, `{"name":"e%d","config":{"name":"e%d","description":"port %d"}}`, i, i, i)
	}
	config.WriteString(`]}}`)
	schema := tree.OpenConfig()
	intended, err := tree.Parse(schema, []byte(config.String()))
	if err != nil {
		b.Fatal(err)
	}
	scope, err := tree.NewScope(schema, []string{"/interfaces", "!/interfaces/interface[name=mgmt]"})
	if err != nil {
		b.Fatal(err)
	}
	empty := tree.Empty(schema)
	b.ReportAllocs()
	for b.Loop() {
		DiffScoped(scope, empty, intended)
	}
}
