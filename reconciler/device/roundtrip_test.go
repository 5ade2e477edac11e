package device

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/device/sim"
	"github.com/setpoint-net/setpoint/reconciler/plan"
)

// TestPlansAndTheirUndoHoldOverTheWire brings a target over gNMI and TLS from one
// random configuration to another and back. The judge is a second target that was
// started with what is wanted: the bytes that the simulator gives of both are the
// same, the order of entries and zeros included. Neither package tree nor package
// plan has a say in that. Each strategy has its turn.
func TestPlansAndTheirUndoHoldOverTheWire(t *testing.T) {
	seen := map[string]bool{}
	strategies := []plan.Strategy{
		{},
		{Root: true, Scope: scope(t, "/")},
		{Root: true, Scope: scope(t, "/interfaces", "/system/dns", "/system/config", "/system/aaa", "/routing-policy", "/network-instances/network-instance", "/acl", "/lldp")},
		{Phases: [][]tree.Path{{path(t, "/routing-policy"), path(t, "/interfaces/interface/config")}, {path(t, "/acl"), path(t, "/interfaces")}}},
	}
	for seed := range uint64(160) {
		how := strategies[seed%4]
		d := &draws{Rand: rand.New(rand.NewPCG(seed, 7)), held: map[string]int{}}
		was := d.network()
		is := d.again(1 + int(seed%9)).network()
		a, b := mustParse(t, was), mustParse(t, is)
		target, reach := reachSim(t, sim.Config{Initial: []byte(was), Defaults: seed%8 < 4})
		s := dial(t, reach)

		for _, way := range []struct {
			from, to *tree.Tree
			want     string
		}{{a, b, is}, {b, a, was}} {
			p := how.Diff(way.from, way.to, way.to)
			note(seen, p)
			if err := s.Apply(t.Context(), p); err != nil {
				t.Fatalf("seed %d: %v\n%s", seed, err, planText(t, p))
			}
			judge, err := sim.New(sim.Config{Initial: []byte(way.want)})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(lines(judge.Config()), lines(target.Config())); diff != "" {
				t.Fatalf("seed %d: after\n%s\nthe target differs (-want +got):\n%s", seed, planText(t, p), diff)
			}
			running, err := s.Running(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if rest := plan.Diff(running, way.to); !rest.Empty() {
				t.Fatalf("seed %d: what is read differs still:\n%s", seed, planText(t, rest))
			}
		}
	}
	for _, what := range []string{
		"delete of an entry", "delete of a leaf", "replace of an entry", "replace of a leaf-list", "replace of an ordered list",
		"update", "update to a zero", "zero in a union", "key with ]", `key with \`, "key with /", "key beyond ASCII", "replace of a root", "several requests",
	} {
		if !seen[what] {
			t.Errorf("no plan had this: %s", what)
		}
	}
}

// note takes down what kinds of operations a plan has.
func note(seen map[string]bool, p *plan.Plan) {
	keys := func(p tree.Path) {
		for _, e := range p {
			for _, k := range e.Keys {
				seen["key with ]"] = seen["key with ]"] || strings.Contains(k.Value, "]")
				seen[`key with \`] = seen[`key with \`] || strings.Contains(k.Value, `\`)
				seen["key with /"] = seen["key with /"] || strings.Contains(k.Value, "/")
				seen["key beyond ASCII"] = seen["key beyond ASCII"] || strings.ContainsFunc(k.Value, func(r rune) bool { return r > 0x7f })
			}
		}
	}
	for _, d := range p.Deletes {
		keys(d)
		kind := map[bool]string{true: "delete of an entry", false: "delete of a leaf"}[d[len(d)-1].Keys != nil]
		seen[kind] = true
	}
	seen["several requests"] = seen["several requests"] || len(p.Requests()) > 1
	for _, r := range p.Replaces {
		keys(r.Path)
		seen["replace of a root"] = seen["replace of a root"] || len(r.Path) == 1
		switch {
		case r.Node.Entry():
			seen["replace of an entry"] = true
		case r.Node.Schema.Kind == tree.LeafList:
			seen["replace of a leaf-list"] = true
		case r.Node.Schema.Kind == tree.Container:
			seen["replace of an ordered list"] = true
		}
	}
	for _, u := range p.Updates {
		keys(u.Path)
		zero := u.Node.Text() == "0"
		seen["update"] = true
		seen["update to a zero"] = seen["update to a zero"] || zero
		seen["zero in a union"] = seen["zero in a union"] || zero && u.Node.Schema.Type.Final.Kind == tree.Union
	}
}

func planText(t testing.TB, p *plan.Plan) string {
	t.Helper()
	var b strings.Builder
	if err := p.Write(&b, plan.Options{Form: plan.GNMI}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// lines breaks a configuration up, so that a difference can be seen.
func lines(config []byte) []string { return strings.SplitAfter(string(config), ",") }

// draws are named random choices: a configuration is made of them, and one like it
// of nearly the same.
type draws struct {
	*rand.Rand
	held map[string]int
}

func (d *draws) of(name string, n int) int {
	v, ok := d.held[name]
	if !ok {
		v = d.IntN(n)
		d.held[name] = v
	}
	return v
}

// again is the same choices but for about one in n.
func (d *draws) again(n int) *draws {
	out := &draws{Rand: d.Rand, held: map[string]int{}}
	for _, name := range slices.Sorted(maps.Keys(d.held)) {
		if d.IntN(n+1) > 0 {
			out.held[name] = d.held[name]
		}
	}
	return out
}

// object is a container or entry.
type object = map[string]any

// leaf puts one of the values into o, or none.
func (d *draws) leaf(o object, at, name string, values ...any) {
	if i := d.of(at+"/"+name, len(values)+1); i > 0 {
		o[name] = values[i-1]
	}
}

// some is a choice of the values, as a leaf-list: a set's are in canonical order,
// since a target keeps them as they came.
func (d *draws) some(o object, at, name string, values ...any) {
	var out []any
	for i, v := range values {
		if d.of(fmt.Sprint(at, "/", name, i), 2) == 1 {
			out = append(out, v)
		}
	}
	if name == "search" { // ordered-by user
		d.shuffle(at+"/"+name, out)
	}
	if len(out) > 0 {
		o[name] = out
	}
}

func (d *draws) shuffle(name string, all []any) {
	order := rand.New(rand.NewPCG(uint64(d.of(name+" order", 1000)), 1))
	order.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
}

// entries puts a list of some of the keys into o. Make fills an entry in: e, and
// its config.
func (d *draws) entries(o object, at, name, key string, keys []any, fill func(at string, e, config object)) {
	var out []any
	for _, k := range keys {
		here := fmt.Sprint(at, "/", name, k)
		if d.of(here, 3) == 0 {
			continue
		}
		e, config := object{key: k}, object{key: k}
		fill(here, e, config)
		e["config"] = config
		out = append(out, e)
	}
	d.shuffle(at+"/"+name, out)
	if len(out) > 0 {
		o[name] = out
	}
}

// network is a configuration, as the JSON of the root. No leaf has its schema's
// default, so that what is equal has the same bytes.
func (d *draws) network() string {
	root := object{"interfaces": object{}, "system": object{}, "routing-policy": object{}, "network-instances": object{}, "acl": object{}, "lldp": object{}}
	d.entries(root["interfaces"].(object), "", "interface", "name", []any{"Ethernet1", "Ethernet10", "e]1", `e\2\`, "1/0/3", "é 日本", "[x=y]", "a,b"}, d.port)
	d.system(root["system"].(object))
	policies, acls := object{}, object{}
	d.entries(policies, "", "policy-definition", "name", []any{"IN/OUT", "EXPORT]"}, d.policy)
	root["routing-policy"] = object{"policy-definitions": policies}
	instances := object{}
	d.entries(instances, "", "network-instance", "name", []any{"default", `vrf\]/é`}, d.instance)
	root["network-instances"] = instances
	d.acl(acls)
	root["acl"] = object{"acl-sets": acls}
	lldp := object{}
	d.leaf(lldp, "lldp", "enabled", false)
	d.leaf(lldp, "lldp", "system-description", "", "x")
	d.some(lldp, "lldp", "suppress-tlv-advertisement", "openconfig-lldp-types:PORT_DESCRIPTION", "openconfig-lldp-types:SYSTEM_NAME")
	root["lldp"] = object{"config": lldp}
	prune(root)
	raw, err := json.Marshal(root)
	if err != nil {
		panic(err) // maps of strings and numbers always marshal
	}
	return string(raw)
}

func (d *draws) port(at string, e, config object) {
	d.leaf(config, at, "description", "uplink", "", "a \"b\" | `c`\n\té 日本 \\", "</x>&")
	d.leaf(config, at, "mtu", 0, 1500, 9000)
	d.leaf(config, at, "enabled", false)
	d.leaf(config, at, "type", "iana-if-type:ethernetCsmacd", "iana-if-type:ieee8023adLag")
	hold, vlan := object{}, object{}
	d.leaf(hold, at, "up", 1, 4294967295)
	d.leaf(hold, at, "down", 7)
	d.some(vlan, at, "trunk-vlans", 2, 10, "30..40", 4094)
	d.leaf(vlan, at, "native-vlan", 1, 2)
	e["hold-time"] = object{"config": hold}
	e["ethernet"] = object{"switched-vlan": object{"config": vlan}}
}

func (d *draws) system(o object) {
	config, dns, servers, users := object{}, object{}, object{}, object{}
	d.leaf(config, "system", "hostname", "a", "b")
	d.leaf(config, "system", "motd-banner", "one\ntwo\n", "one\nthree\n", " ")
	d.some(dns, "dns", "search", "b.example", "a.example", "c.example")
	d.entries(servers, "dns", "server", "address", []any{"192.0.2.53", "2001:db8::53", "192.0.2.54"}, func(at string, _, config object) {
		d.leaf(config, at, "port", 5353)
	})
	d.entries(users, "", "user", "username", []any{"ops", `o'r"`}, func(at string, _, config object) {
		d.leaf(config, at, "password", "one", "two")
		d.leaf(config, at, "role", "openconfig-aaa-types:SYSTEM_ROLE_ADMIN", "operator")
	})
	o["config"], o["dns"] = config, object{"config": dns, "servers": servers}
	o["aaa"] = object{"authentication": object{"users": users}}
}

func (d *draws) policy(at string, e, _ object) {
	statements := object{}
	d.entries(statements, at, "statement", "name", []any{"10", "9", "last/]"}, func(at string, e, _ object) {
		bgp := object{}
		d.leaf(bgp, at, "set-med", 0, 10, "IGP")
		d.leaf(bgp, at, "set-local-pref", 0, 200)
		actions := object{}
		d.leaf(actions, at, "policy-result", "ACCEPT_ROUTE", "REJECT_ROUTE")
		e["actions"] = object{"config": actions, "bgp-actions": object{"config": bgp}}
	})
	e["statements"] = statements
}

func (d *draws) instance(at string, e, config object) {
	d.leaf(config, at, "description", "x", "")
	vlans, statics := object{}, object{}
	d.entries(vlans, at, "vlan", "vlan-id", []any{1, 10, 2}, func(at string, _, config object) {
		d.leaf(config, at, "name", "ENG", "OPS")
		d.leaf(config, at, "status", "SUSPENDED")
	})
	d.entries(statics, at, "static", "prefix", []any{"0.0.0.0/0", "2001:db8::/32"}, func(at string, e, config object) {
		hops := object{}
		d.leaf(config, at, "set-tag", 0, 7)
		d.entries(hops, at, "next-hop", "index", []any{"0", "a/b]"}, func(at string, _, config object) {
			d.leaf(config, at, "next-hop", "192.0.2.1", "2001:db8::1", "openconfig-local-routing:DROP")
			d.leaf(config, at, "metric", 0, 5)
		})
		e["next-hops"] = hops
	})
	e["vlans"] = vlans
	if len(statics) > 0 {
		id := "openconfig-policy-types:STATIC"
		e["protocols"] = object{"protocol": []any{object{
			"identifier": id, "name": "s", "config": object{"identifier": id, "name": "s"}, "static-routes": statics,
		}}}
	}
}

func (d *draws) acl(o object) {
	rules := object{}
	d.entries(rules, "acl", "acl-entry", "sequence-id", []any{5, 10, 100}, func(at string, e, _ object) {
		transport, actions := object{}, object{}
		d.leaf(transport, at, "source-port", 0, 80, "80..90")
		d.leaf(actions, at, "forwarding-action", "openconfig-acl:ACCEPT", "openconfig-acl:DROP")
		e["transport"], e["actions"] = object{"config": transport}, object{"config": actions}
	})
	key := object{"name": "a|b", "type": "openconfig-acl:ACL_IPV4"}
	o["acl-set"] = []any{object{"name": key["name"], "type": key["type"], "config": key, "acl-entries": rules}}
}

// prune takes containers without content away.
func prune(o object) {
	for name, v := range o {
		switch v := v.(type) {
		case object:
			if prune(v); len(v) == 0 {
				delete(o, name)
			}
		case []any:
			for _, e := range v {
				if e, ok := e.(object); ok {
					prune(e)
				}
			}
		}
	}
}
