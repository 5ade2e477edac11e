package renderer

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/setpoint-net/setpoint/models/oc"
	"github.com/setpoint-net/setpoint/models/tree"
)

// referee holds the checker against ygot's verdict on the whole.
type referee struct {
	schema  *tree.Schema
	checker *checker
	refs    references
	every   int // of so many leaves one is judged
	count   int
}

func newReferee(t testing.TB) *referee {
	t.Helper()
	m, err := loadModels()
	if err != nil {
		t.Fatal(err)
	}
	return &referee{schema: m.schema, checker: newChecker(m), refs: m.refs, every: 40}
}

// verdicts are ours and ygot's; parsed is false when the tree refuses already.
func (r *referee) verdicts(data []byte) (ours []fault, ygot error, parsed bool) {
	t, err := tree.Parse(r.schema, data)
	if err != nil {
		return nil, nil, false
	}
	device := new(oc.Device)
	ygot = oc.Unmarshal(t.Canonical(), device)
	if ygot == nil {
		ygot = device.Validate()
	}
	// What ygot does not look at must not stand in for what it rejects.
	ours = slices.DeleteFunc(r.checker.faults(t), func(f fault) bool { return f.code != "" })
	return append(ours, r.refs.faults(t)...), ygot, true
}

const sample = `{
 "interfaces": {"interface": [
  {"name": "Ethernet1", "config": {"name": "Ethernet1", "mtu": 9000, "type": "ethernetCsmacd", "description": "x", "enabled": true},
   "subinterfaces": {"subinterface": [{"index": 0, "config": {"index": 0},
     "ipv4": {"addresses": {"address": [{"ip": "10.0.0.1", "config": {"ip": "10.0.0.1", "prefix-length": 31}}]}},
     "ipv6": {"addresses": {"address": [{"ip": "2001:db8::1", "config": {"ip": "2001:db8::1", "prefix-length": 64}}]}}},
     {"index": 5, "config": {"index": 5}}]}},
  {"name": "Ethernet2", "config": {"name": "Ethernet2"}, "ethernet": {"config": {"aggregate-id": "Port-Channel1", "mac-address": "00:11:22:33:44:55"},
     "switched-vlan": {"config": {"interface-mode": "TRUNK", "native-vlan": 1, "trunk-vlans": [10, "20..30"]}}}},
  {"name": "Port-Channel1", "config": {"name": "Port-Channel1"}, "aggregation": {"config": {"lag-type": "LACP", "min-links": 1}}}]},
 "acl": {"acl-sets": {"acl-set": [{"name": "a", "type": "ACL_IPV4", "config": {"name": "a", "type": "ACL_IPV4"},
   "acl-entries": {"acl-entry": [{"sequence-id": 10, "config": {"sequence-id": 10}, "ipv4": {"config": {"source-address": "10.0.0.0/8", "protocol": "IP_TCP", "dscp": 5}},
     "transport": {"config": {"destination-port": "80..90"}}, "actions": {"config": {"forwarding-action": "DROP"}}}]}}]},
   "interfaces": {"interface": [{"id": "Ethernet1", "config": {"id": "Ethernet1"}, "interface-ref": {"config": {"interface": "Ethernet1", "subinterface": 5}},
     "ingress-acl-sets": {"ingress-acl-set": [{"set-name": "a", "type": "ACL_IPV4", "config": {"set-name": "a", "type": "ACL_IPV4"}}]}}]}},
 "routing-policy": {"defined-sets": {"prefix-sets": {"prefix-set": [{"name": "p", "config": {"name": "p"}, "prefixes": {"prefix": [
     {"ip-prefix": "10.0.0.0/8", "masklength-range": "8..24", "config": {"ip-prefix": "10.0.0.0/8", "masklength-range": "8..24"}}]}}]}},
   "policy-definitions": {"policy-definition": [{"name": "out", "config": {"name": "out"}, "statements": {"statement": [
     {"name": "20", "config": {"name": "20"}, "conditions": {"match-prefix-set": {"config": {"prefix-set": "p"}}}, "actions": {"config": {"policy-result": "ACCEPT_ROUTE"}, "bgp-actions": {"config": {"set-med": 10, "set-next-hop": "SELF"}}}},
     {"name": "10", "config": {"name": "10"}}]}}]}},
 "network-instances": {"network-instance": [{"name": "default", "config": {"name": "default", "type": "DEFAULT_INSTANCE", "router-id": "10.0.0.1"},
   "interfaces": {"interface": [{"id": "i", "config": {"id": "i", "interface": "Ethernet1", "subinterface": 0}}]},
   "vlans": {"vlan": [{"vlan-id": 10, "config": {"vlan-id": 10, "name": "x", "status": "ACTIVE"}}]},
   "tables": {"table": [{"protocol": "BGP", "address-family": "IPV4", "config": {"protocol": "BGP", "address-family": "IPV4"}},
     {"protocol": "STATIC", "address-family": "IPV4", "config": {"protocol": "STATIC", "address-family": "IPV4"}}]},
   "table-connections": {"table-connection": [{"src-protocol": "STATIC", "dst-protocol": "BGP", "address-family": "IPV4",
      "config": {"src-protocol": "STATIC", "dst-protocol": "BGP", "address-family": "IPV4", "import-policy": ["out"]}}]},
   "protocols": {"protocol": [{"identifier": "BGP", "name": "bgp", "config": {"identifier": "BGP", "name": "bgp"}, "bgp": {
      "global": {"config": {"as": 65000, "router-id": "10.0.0.1"}, "afi-safis": {"afi-safi": [{"afi-safi-name": "IPV4_UNICAST", "config": {"afi-safi-name": "IPV4_UNICAST", "enabled": true}}]}},
      "peer-groups": {"peer-group": [{"peer-group-name": "up", "config": {"peer-group-name": "up", "peer-as": 65001}}]},
      "neighbors": {"neighbor": [{"neighbor-address": "10.0.0.2", "config": {"neighbor-address": "10.0.0.2", "peer-group": "up", "send-community-type": ["STANDARD"]},
        "timers": {"config": {"hold-time": 30}}, "apply-policy": {"config": {"import-policy": ["out"], "export-policy": ["out"]}}},
        {"neighbor-address": "2001:db8::2", "config": {"neighbor-address": "2001:db8::2"}}]}}},
     {"identifier": "STATIC", "name": "s", "config": {"identifier": "STATIC", "name": "s"}, "static-routes": {"static": [{"prefix": "0.0.0.0/0", "config": {"prefix": "0.0.0.0/0"},
        "next-hops": {"next-hop": [{"index": "1", "config": {"index": "1", "next-hop": "10.0.0.9", "metric": 5}}]}}]}}]}}]},
 "system": {"config": {"hostname": "leaf01"}, "dns": {"servers": {"server": [{"address": "192.0.2.1", "config": {"address": "192.0.2.1", "port": 53}}]}},
   "ntp": {"config": {"enabled": true}, "servers": {"server": [{"address": "192.0.2.2", "config": {"address": "192.0.2.2", "version": 4, "iburst": true}}]}},
   "logging": {"remote-servers": {"remote-server": [{"host": "192.0.2.3", "config": {"host": "192.0.2.3"}, "selectors": {"selector": [{"facility": "ALL", "severity": "INFORMATIONAL", "config": {"facility": "ALL", "severity": "INFORMATIONAL"}}]}}]}}},
 "lldp": {"config": {"enabled": true}, "interfaces": {"interface": [{"name": "Ethernet1", "config": {"name": "Ethernet1", "enabled": true}}]}}
}`

// pool are values that one type or another takes, refuses, or takes for
// something else.
var pool = []any{
	"Ethernet1", "Ethernet2", "default", "up", "out", "a", "p", "", "x y", "10", "0",
	"10.0.0.1", "10.0.0.2", "300.1.1.1", "10.0.0.0/8", "10.0.0.0/33", "2001:db8::1", "2001:db8::/64", "fe80::1%eth0",
	"00:11:22:33:44:55", "00:11:22:33:44", "65000:1", "1.2.3.4:5", "80..90", "ANY", "BGP", "STATIC", "OSPF", "IPV4", "IPV6_UNICAST", "ACL_IPV6",
	"49.0001.1921.6800.1001.00", "0.0.0.0", "2026-01-01T00:00:00Z", "exact", "8..24", "SELF", "IGP", "YWJj", "Ünïcödé", "a\"b\\c\n",
	0, 1, 5, 10, 31, 32, 33, 63, 64, 128, 129, 255, 256, 4094, 4095, 9000, 65535, 65536, -1, 4294967295, 4294967296, 1.5,
	true, false, "18446744073709551615", "9223372036854775808", "1.50",
}

// mutate changes one random leaf of a document: another value of the pool, or
// none.
func mutate(r *rand.Rand, v any) {
	var spots []func()
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			keys := make([]string, 0, len(v))
			for k := range v {
				keys = append(keys, k)
			}
			slices.Sort(keys)
			for _, k := range keys {
				switch v[k].(type) {
				case map[string]any, []any:
				default:
					spots = append(spots, func() {
						if r.IntN(8) == 0 {
							delete(v, k)
							return
						}
						value := pool[r.IntN(len(pool))]
						v[k] = value
						// An entry's key and its config's change together, half
						// the time, lest all else be hidden by the contradiction.
						if config, ok := v["config"].(map[string]any); ok && config[k] != nil && r.IntN(2) == 0 {
							config[k] = value
						}
					})
				}
				walk(v[k])
			}
		case []any:
			for i := range v {
				if _, ok := v[i].(map[string]any); !ok {
					spots = append(spots, func() { v[i] = pool[r.IntN(len(pool))] })
				}
				walk(v[i])
			}
		}
	}
	walk(v)
	spots[r.IntN(len(spots))]()
}

func TestSampleIsValid(t *testing.T) {
	ours, ygot, parsed := newReferee(t).verdicts([]byte(sample))
	if !parsed || ygot != nil || len(ours) > 0 {
		t.Fatalf("parsed %t, ygot: %v, ours: %v", parsed, ygot, ours)
	}
}

func FuzzNothingYgotRejectsIsAccepted(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed)
	}
	r := newReferee(f)
	f.Fuzz(func(t *testing.T, seed uint64) {
		var doc any
		if err := json.Unmarshal([]byte(sample), &doc); err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(seed, 1))
		for range 1 + random.IntN(3) {
			mutate(random, doc)
		}
		data, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		ours, ygot, parsed := r.verdicts(data)
		if parsed && ygot != nil && len(ours) == 0 {
			t.Errorf("ygot: %v\n%s", ygot, data)
		}
	})
}

var everyLeaf = flag.Bool("every-leaf", false, "judge all leaves of the models, not one of forty (minutes)")

// Each leaf of the models, with values of all sorts, alone with the keys that
// lead to it. ygot takes some 20 ms for each.
func TestEveryLeafIsJudgedAsByYgot(t *testing.T) {
	r := newReferee(t)
	stricter, asked := map[string]int{}, 0
	if *everyLeaf {
		r.every = 1
	}
	var walk func(n *tree.Node, pre, post string)
	walk = func(n *tree.Node, pre, post string) {
		for _, c := range n.Children() {
			open := fmt.Sprintf("%s%q:", pre, c.Name)
			switch c.Kind {
			case tree.Container:
				walk(c, open+"{", "}"+post)
			case tree.List:
				var keys strings.Builder
				for _, k := range c.Keys {
					fmt.Fprintf(&keys, "%q:%s,", k, some(c.Child(k).Type.Final))
				}
				same := strings.TrimSuffix(keys.String(), ",")
				walk(c, open+"[{"+keys.String(), "}]"+post)
				if config := c.Child("config"); config != nil {
					for _, leaf := range config.Children() {
						if !slices.Contains(c.Keys, leaf.Name) {
							r.leaf(t, leaf, open+"[{"+keys.String()+`"config":{`+same+",", "}}]"+post, stricter, &asked)
						}
					}
				}
			default:
				if n.Name != "config" && !slices.Contains(n.Keys, c.Name) || n.Parent == nil || n.Parent.Kind != tree.List {
					r.leaf(t, c, pre, post, stricter, &asked)
				}
			}
		}
	}
	walk(r.schema.Root, "{", "}")
	t.Logf("%d documents; stricter than ygot: %v", asked, stricter)
	if asked < 20 {
		t.Errorf("only %d documents were asked about", asked)
	}
}

func (r *referee) leaf(t *testing.T, n *tree.Node, pre, post string, stricter map[string]int, asked *int) {
	if r.count++; r.count%r.every != 0 {
		return
	}
	random := rand.New(rand.NewPCG(uint64(len(pre)), uint64(len(n.Name))))
	for range 3 {
		value, err := json.Marshal(pool[random.IntN(len(pool))])
		if err != nil {
			t.Fatal(err)
		}
		text := string(value)
		if random.IntN(4) == 0 {
			text = some(n.Type.Final)
		}
		if n.Kind == tree.LeafList {
			text = "[" + text + "]"
		}
		data := fmt.Sprintf("%s%q:%s%s", pre, n.Name, text, post)
		ours, ygot, parsed := r.verdicts([]byte(data))
		if !parsed {
			continue
		}
		*asked++
		switch {
		case ygot != nil && len(ours) == 0:
			t.Errorf("%s: ygot rejects: %v\n%s", n.Path(), ygot, data)
		case ygot == nil && len(ours) > 0:
			stricter[ours[0].msg]++
		}
	}
}

// some is a value that a type may take.
func some(t *tree.Type) string {
	switch t.Kind {
	case tree.String, tree.Binary:
		switch {
		case strings.Contains(t.Name, "prefix"):
			return `"10.0.0.0/8"`
		case strings.Contains(t.Name, "address"), strings.Contains(t.Name, "ipv4"), strings.Contains(t.Name, "quad"):
			return `"10.0.0.1"`
		}
		return `"a"`
	case tree.Boolean:
		return "true"
	case tree.Enumeration:
		return fmt.Sprintf("%q", t.Enum[0])
	case tree.Identityref:
		var names []string
		for name := range t.Identities {
			names = append(names, name)
		}
		if len(names) == 0 {
			return `"a"`
		}
		return fmt.Sprintf("%q", slices.Min(names))
	case tree.Union:
		return some(t.Union[0].Final)
	case tree.Int64, tree.Uint64, tree.Decimal64:
		return `"1"`
	}
	return "1"
}

// What was accepted of a leaf must not vouch for another value of it.
func TestAnAcceptedValueVouchesForNoOther(t *testing.T) {
	r := newReferee(t)
	if ours, ygot, parsed := r.verdicts([]byte(sample)); !parsed || ygot != nil || len(ours) > 0 {
		t.Fatalf("the sample is not valid: %v %v", ours, ygot)
	}
	for _, c := range [][2]string{
		{`"10.0.0.1", "config": {"ip": "10.0.0.1"`, `"300.0.0.1", "config": {"ip": "300.0.0.1"`},
		{`"prefix-length": 31`, `"prefix-length": 33`},
		{`"mac-address": "00:11:22:33:44:55"`, `"mac-address": "00:11:22:33:44"`},
		{`"10", "config": {"name": "10"}}]}}]}}`, `"10", "config": {"name": "11"}}]}}]}}`},
		{`"trunk-vlans": [10, "20..30"]`, `"trunk-vlans": [10, 4095]`},
		{`"masklength-range": "8..24", "config": {"ip-prefix": "10.0.0.0/8", "masklength-range": "8..24"`, `"masklength-range": "8-24", "config": {"ip-prefix": "10.0.0.0/8", "masklength-range": "8-24"`},
		{`"subinterface": 5`, `"subinterface": 6`},
		{`"router-id": "10.0.0.1"}, "afi`, `"router-id": "10.0.0"}, "afi`},
		{`"peer-group": "up"`, `"peer-group": "down"`},
	} {
		doc := strings.Replace(sample, c[0], c[1], 1)
		if doc == sample {
			t.Fatalf("the sample holds no %s", c[0])
		}
		ours, ygot, parsed := r.verdicts([]byte(doc))
		if !parsed || ygot == nil {
			t.Errorf("%s: ygot takes it", c[1])
		}
		if len(ours) == 0 {
			t.Errorf("%s is accepted, and ygot says %v", c[1], ygot)
		}
	}
}
