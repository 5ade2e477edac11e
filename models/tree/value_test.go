package tree

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func at(tb testing.TB, t *Tree, path string) *Value {
	tb.Helper()
	p, err := ParsePath(path)
	if err != nil {
		tb.Fatal(err)
	}
	return t.Lookup(p)
}

func TestSameLeaf(t *testing.T) {
	const (
		config  = `{"interfaces":{"interface":[{"name":"e","config":{"name":"e",%s}}]}}`
		vlans   = `{"interfaces":{"interface":[{"name":"e","ethernet":{"switched-vlan":{"config":{%s}}}}]}}`
		mac     = `{"interfaces":{"interface":[{"name":"e","ethernet":{"config":{%s}}}]}}`
		bgp     = `{"network-instances":{"network-instance":[{"name":"n","protocols":{"protocol":[{"identifier":"BGP","name":"b","bgp":{"global":{"config":{%s}}}}]}}]}}`
		hop     = `{"network-instances":{"network-instance":[{"name":"n","protocols":{"protocol":[{"identifier":"STATIC","name":"b","static-routes":{"static":[{"prefix":"0.0.0.0/0","next-hops":{"next-hop":[{"index":"0","config":{%s}}]}}]}}]}}]}}`
		acl     = `{"acl":{"acl-sets":{"acl-set":[{"name":"a","type":"ACL_IPV6","acl-entries":{"acl-entry":[{"sequence-id":1,"ipv6":{"config":{%s}}}]}}]}}}`
		dns     = `{"system":{"dns":{"config":{%s}}}}`
		lldp    = `{"lldp":{"config":{%s}}}`
		tunnel  = `{"network-instances":{"network-instance":[{"name":"n","mpls":{"lsps":{"constrained-path":{"tunnels":{"tunnel":[{"name":"t","bandwidth":{"config":{%s}}}]}}}}}]}}`
		ifPath  = "/interfaces/interface[name=e]/config/"
		vlPath  = "/interfaces/interface[name=e]/ethernet/switched-vlan/config/"
		macPath = "/interfaces/interface[name=e]/ethernet/config/"
		bgpPath = "/network-instances/network-instance[name=n]/protocols/protocol[identifier=BGP][name=b]/bgp/global/config/"
		hopPath = "/network-instances/network-instance[name=n]/protocols/protocol[identifier=STATIC][name=b]/static-routes/static[prefix=0.0.0.0\\/0]/next-hops/next-hop[index=0]/config/"
		aclPath = "/acl/acl-sets/acl-set[name=a][type=ACL_IPV6]/acl-entries/acl-entry[sequence-id=1]/ipv6/config/"
		tunPath = "/network-instances/network-instance[name=n]/mpls/lsps/constrained-path/tunnels/tunnel[name=t]/bandwidth/config/"
	)
	for _, c := range []struct {
		rule, doc, path, leaf, a, b string // a or b "": absent
		same                        bool
	}{
		{"the same", config, ifPath, "mtu", `1500`, `1500`, true},
		{"not the same", config, ifPath, "mtu", `1500`, `1501`, false},
		{"RFC 7951 6.8: identity with and without module", config, ifPath, "type", `"iana-if-type:ethernetCsmacd"`, `"ethernetCsmacd"`, true},
		{"another identity", config, ifPath, "type", `"ieee8023adLag"`, `"ethernetCsmacd"`, false},
		{"RFC 7951 6.10: identity in a union", hop, hopPath, "next-hop", `"openconfig-local-routing:DROP"`, `"DROP"`, true},
		{"RFC 7951 6.1: 64 bits as string or number", tunnel, tunPath, "set-bandwidth", `"100000"`, `100000`, true},
		{"RFC 7950 9.2.1: sign and leading zeros", tunnel, tunPath, "set-bandwidth", `"+000100000"`, `100000`, true},
		{"RFC 7950 9.2.1: minus zero", tunnel, tunPath, "set-bandwidth", `"-0"`, `0`, true},
		{"RFC 6991 ipv6-address, RFC 5952: case and zeros", hop, hopPath, "next-hop", `"2001:0DB8:0:0::0001"`, `"2001:db8::1"`, true},
		{"RFC 5952 4.2: which zeros are shortened", hop, hopPath, "next-hop", `"2001:db8:0:0:1:0:0:1"`, `"2001:db8::1:0:0:1"`, true},
		{"another address", hop, hopPath, "next-hop", `"2001:db8::1"`, `"2001:db8::2"`, false},
		{"an IPv4 address has one form", hop, hopPath, "next-hop", `"192.0.2.1"`, `"192.0.2.1"`, true},
		{"IPv4 and the IPv6 that maps it are two", hop, hopPath, "next-hop", `"192.0.2.1"`, `"::ffff:c000:201"`, false},
		{"RFC 6991 ipv6-prefix: no host bits", acl, aclPath, "source-address", `"2001:DB8::1/32"`, `"2001:db8::/32"`, true},
		{"another length", acl, aclPath, "source-address", `"2001:db8::/33"`, `"2001:db8::/32"`, false},
		{"RFC 6991 mac-address: lower case", mac, macPath, "mac-address", `"00:AA:BB:cc:dd:EE"`, `"00:aa:bb:cc:dd:ee"`, true},
		{"RFC 7950 7.7: a set has no order", vlans, vlPath, "trunk-vlans", `[10,20,"30..40"]`, `["30..40",20,10]`, true},
		{"another set", vlans, vlPath, "trunk-vlans", `[10,20]`, `[10,20,30]`, false},
		{"RFC 7950 7.7.7.2: ordered by the user", dns, "/system/dns/config/", "search", `["a.example","b.example"]`, `["b.example","a.example"]`, false},
		{"a set of identities", lldp, "/lldp/config/", "suppress-tlv-advertisement", `["PORT_DESCRIPTION","openconfig-lldp-types:SYSTEM_NAME"]`, `["SYSTEM_NAME","PORT_DESCRIPTION"]`, true},
		{"RFC 7950 7.6.1: absent is the default", config, ifPath, "enabled", `true`, ``, true},
		{"absent is not another value", config, ifPath, "enabled", `false`, ``, false},
		{"a default identity", config, ifPath, "tpid", `"openconfig-vlan-types:TPID_0X8100"`, ``, true},
		{"a default of an enumeration", config, ifPath, "loopback-mode", `"NONE"`, ``, true},
		{"not the default of an enumeration", config, ifPath, "loopback-mode", `"FACILITY"`, ``, false},
		{"no default", config, ifPath, "mtu", `1500`, ``, false},
		{"nothing and nothing", config, ifPath, "mtu", ``, ``, true},
		{"text keeps its case", config, ifPath, "description", `"Uplink"`, `"uplink"`, false},
		{"text keeps its spaces", config, ifPath, "description", `"uplink "`, `"uplink"`, false},
		{"RFC 8259 7: escapes are no difference", config, ifPath, "description", `"\u0075plink\/1"`, `"uplink/1"`, true},
		{"a number in quotes that only a number can be", vlans, vlPath, "trunk-vlans", `["10"]`, `[10]`, true},
		{"a number in a plain leaf", bgp, bgpPath, "as", `65000`, `65001`, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			value := func(text string) *Value {
				if text == "" {
					return nil
				}
				tree := mustParse(t, fmt.Sprintf(c.doc, fmt.Sprintf("%q:%s", c.leaf, text)))
				v := at(t, tree, c.path+c.leaf)
				if v == nil {
					t.Fatalf("nothing at %s%s in %s", c.path, c.leaf, tree.Canonical())
				}
				return v
			}
			a, b := value(c.a), value(c.b)
			if SameLeaf(a, b) != c.same || SameLeaf(b, a) != c.same {
				t.Errorf("%s, %s: same is %t, want %t", c.a, c.b, !c.same, c.same)
			}
			if a != nil && b != nil && a.SameAs(b) != c.same {
				t.Errorf("%s, %s: SameAs is not what SameLeaf is", c.a, c.b)
			}
		})
	}
}

func TestSameAsIsEqualityOfContent(t *testing.T) {
	tree := mustParse(t, string(leafSwitch(t)))
	again := mustParse(t, string(tree.Canonical()))
	if !tree.Root().SameAs(again.Root()) || !tree.Equal(again) {
		t.Error("two trees of one text differ")
	}
	n := 0
	for p, v := range tree.Leaves {
		if n++; n%67 != 0 || v.Schema.key > 0 { // each look costs a tree's SHA-256
			continue
		}
		changed := again.ReplaceAt(p, nil)
		if changed.Equal(tree) || changed.Hash() == tree.Hash() {
			t.Fatalf("without %s the tree is the same", p)
		}
		if !changed.ReplaceAt(p, v).Equal(tree) {
			t.Fatalf("with %s put back the tree is another", p)
		}
	}
	if tree.Root().SameAs(nil) || !(*Value)(nil).SameAs(nil) {
		t.Error("nothing is the same as nothing alone")
	}
	names := mustParse(t, `{"system":{"config":{"hostname":"a","domain-name":"a"}}}`)
	if at(t, names, "/system/config/hostname").SameAs(at(t, names, "/system/config/domain-name")) {
		t.Error("two leaves of one text are the same")
	}
	if mustParse(t, `{"system":{"config":{"hostname":"a"}}}`).Equal(mustParse(t, `{"system":{"config":{"domain-name":"a"}}}`)) {
		t.Error("two containers with different leaves of one text are the same")
	}
	entry := at(t, tree, "/interfaces/interface[name=Ethernet1]")
	list := at(t, tree, "/interfaces/interface")
	if entry.SameAs(list) || entry.SameAs(list.Members()[1]) {
		t.Error("an entry is the same as its list, or as another entry")
	}
}

func TestValuesSayWhatTheyAre(t *testing.T) {
	tree := mustParse(t, `{"network-instances":{"network-instance":[{"name":"default","protocols":{"protocol":[
		{"identifier":"BGP","name":"b","config":{"identifier":"BGP","name":"b"}}]}}]},
		"interfaces":{"interface":[{"name":"Ethernet1","config":{"description":"a \"b\" ü","type":"ethernetCsmacd","mtu":9000},
		"ethernet":{"switched-vlan":{"config":{"trunk-vlans":[20,"30..40"]}}}}]}}`)
	for path, want := range map[string]string{
		"/interfaces/interface[name=Ethernet1]/config/description":                                                                               `a "b" ü`,
		"/interfaces/interface[name=Ethernet1]/config/type":                                                                                      "ethernetCsmacd",
		"/interfaces/interface[name=Ethernet1]/config/mtu":                                                                                       "9000",
		"/interfaces/interface[name=Ethernet1]/ethernet/switched-vlan/config/trunk-vlans":                                                        "[20, 30..40]",
		"/interfaces/interface[name=Ethernet1]/config":                                                                                           "",
		"/network-instances/network-instance/protocols/protocol":                                                                                 "absent",
		"/network-instances/network-instance[name=default]/protocols/protocol[name=b]":                                                           "absent",
		"/network-instances/network-instance[name=default]/protocols/protocol[name=b]/config":                                                    "absent",
		"/interfaces/interface[name=Ethernet2]":                                                                                                  "absent",
		"/interfaces/interface[name=Ethernet1]/config/name":                                                                                      "absent",
		"/interfaces/interface[name=Ethernet1]/config/mtu/x":                                                                                     "absent",
		"/interfaces/openconfig-interfaces:interface[name=Ethernet1]/config/mtu":                                                                 "9000",
		"/network-instances/network-instance[name=default]/protocols/protocol[name=b][identifier=openconfig-policy-types:BGP]/config/identifier": "BGP",
	} {
		got := "absent"
		if v := at(t, tree, path); v != nil {
			got = v.Text()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	entry := at(t, tree, "/network-instances/network-instance[name=default]/protocols/protocol[name=b][identifier=BGP]")
	if diff := cmp.Diff([]KeyValue{{"identifier", "BGP"}, {"name", "b"}}, entry.Keys()); diff != "" || !entry.Entry() {
		t.Errorf("keys: -want +got:\n%s", diff)
	}
	want := `{"config":{"identifier":"openconfig-policy-types:BGP","name":"b"},"identifier":"openconfig-policy-types:BGP","name":"b"}`
	if got := string(entry.JSON()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	list := at(t, tree, "/network-instances/network-instance[name=default]/protocols/protocol")
	if list.Entry() || list.Keys() != nil || len(list.Members()) != 1 || string(list.JSON()) != "["+want+"]" {
		t.Errorf("the list: %s", list.JSON())
	}
	var names []string
	for _, m := range entry.Members() {
		names = append(names, m.Schema.Name)
	}
	if diff := cmp.Diff([]string{"config", "identifier", "name"}, names); diff != "" {
		t.Errorf("members: %s", diff)
	}
}

func TestLeavesYieldsInOrderUntilTold(t *testing.T) {
	tree := mustParse(t, string(leafSwitch(t)))
	n := 0
	for range tree.Leaves {
		if n++; n == 10 {
			break
		}
	}
	if n != 10 {
		t.Errorf("%d leaves after a break at 10", n)
	}
	var paths []Path
	for p := range tree.Leaves {
		paths = append(paths, p)
	}
	for i, p := range paths { // they are the callee's: none was written over
		if v := tree.Lookup(p); v == nil || !v.leaf() {
			t.Fatalf("path %d, %s, leads to no leaf", i, p)
		}
	}
}

// Every leaf of a real configuration is there after parsing, with its value, as
// encoding/json sees it.
func TestEveryLeafSurvives(t *testing.T) {
	data := leafSwitch(t)
	var given any
	if err := json.Unmarshal(data, &given); err != nil {
		t.Fatal(err)
	}
	tree := mustParse(t, string(data))
	var parsed any
	if err := json.Unmarshal(tree.Canonical(), &parsed); err != nil {
		t.Fatal(err)
	}
	want, got := flat(given), flat(parsed)
	if len(want) < 4000 {
		t.Fatalf("only %d leaves", len(want))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// flat lists a document's scalars with the members' names on the way, sorted.
func flat(v any) []string {
	var out []string
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, m := range v {
				if _, local, ok := strings.Cut(name, ":"); ok {
					name = local
				}
				walk(at+"/"+name, m)
			}
		case []any:
			for _, e := range v {
				walk(at, e)
			}
		default:
			out = append(out, fmt.Sprintf("%s = %v", at, v))
		}
	}
	walk("", v)
	slices.Sort(out)
	return out
}

func TestNaturalOrderIsAnOrder(t *testing.T) {
	sorted := []string{"", "0", "00", "000", "01", "1", "1a", "1b2", "1b10", "2", "9", "10", "Ethernet1", "Ethernet1/2", "Ethernet1/10", "Ethernet2", "Ethernet10", "Ethernet10.1", "a", "a1", "ab", "é"}
	want := slices.Clone(sorted)
	rng := rand.New(rand.NewPCG(1, 2))
	rng.Shuffle(len(sorted), func(i, j int) { sorted[i], sorted[j] = sorted[j], sorted[i] })
	slices.SortFunc(sorted, compareNatural)
	if want[1], want[2], want[3] = "000", "00", "0"; !slices.Equal(want, sorted) {
		t.Errorf("got %q\nwant %q", sorted, want)
	}
	const alphabet = "012a/"
	random := func() string {
		b := make([]byte, rng.IntN(5))
		for i := range b {
			b[i] = alphabet[rng.IntN(len(alphabet))]
		}
		return string(b)
	}
	sign := func(n int) int { return min(1, max(-1, n)) }
	for range 100_000 {
		a, b, c := random(), random(), random()
		ab, bc, ac := sign(compareNatural(a, b)), sign(compareNatural(b, c)), sign(compareNatural(a, c))
		if ab != -sign(compareNatural(b, a)) || (ab == 0) != (a == b) {
			t.Fatalf("%q and %q are in no order", a, b)
		}
		if ab <= 0 && bc <= 0 && ac > 0 {
			t.Fatalf("%q, %q, %q are in no order", a, b, c)
		}
	}
}

func TestATreeIsTheJoinOfItsParts(t *testing.T) {
	whole := mustParse(t, string(leafSwitch(t)))
	var parts []*Tree
	leaves, keys := 0, 0
	for _, m := range whole.Root().Members() {
		part := whole.Only([]string{m.Schema.Name})
		if part.Top(m.Schema.Name) != m || len(part.Root().Members()) != 1 || part.Top("no-such") != nil {
			t.Errorf("%s alone: %s", m.Schema.Name, part.Canonical())
		}
		parts = append([]*Tree{part}, parts...) // in any order
		n, k := part.Size()
		leaves, keys = leaves+n, keys+k
	}
	if joined := Join(whole.Schema(), parts...); !joined.Equal(whole) || joined.Hash() != whole.Hash() {
		t.Error("the join is not the whole")
	}
	if !whole.Only(nil).IsEmpty() || !Join(whole.Schema()).IsEmpty() {
		t.Error("nothing is not empty")
	}
	wantLeaves, wantKeys := 0, 0
	for p, v := range whole.Leaves {
		wantLeaves++
		if v.Schema.key > 0 && len(p[len(p)-2].Keys) > 0 {
			wantKeys++
		}
	}
	if leaves != wantLeaves || keys != wantKeys {
		t.Errorf("size %d with %d keys, want %d with %d", leaves, keys, wantLeaves, wantKeys)
	}
}
