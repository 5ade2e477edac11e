package tree

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openconfig/goyang/pkg/yang"
	"github.com/openconfig/ygot/ygot"

	"github.com/setpoint-net/setpoint/models/oc"
)

func TestSchemaReads(t *testing.T) {
	if _, err := readSchema(openConfig); err != nil {
		t.Fatal(err)
	}
	if _, err := readSchema(openConfig[:len(openConfig)/2]); err == nil {
		t.Error("half a schema was read")
	}
}

func TestSchemaNodes(t *testing.T) {
	s := OpenConfig()
	find := func(path string) *Node {
		p, err := ParsePath(path)
		if err != nil {
			t.Fatal(err)
		}
		n, err := s.Find(p)
		if err != nil {
			t.Fatal(err)
		}
		if n.Path() != path {
			t.Errorf("%s: its path is %s", path, n.Path())
		}
		return n
	}
	if find("/") != s.Root || s.Root.Parent != nil {
		t.Error("the root is not at /")
	}
	if n := find("/interfaces/interface"); n.Kind != List || !slices.Equal(n.Keys, []string{"name"}) || n.Module != "openconfig-interfaces" || n.UserOrdered {
		t.Errorf("interface: %+v", n)
	}
	if n := find("/network-instances/network-instance/protocols/protocol"); !slices.Equal(n.Keys, []string{"identifier", "name"}) {
		t.Errorf("protocol: its keys are %v", n.Keys)
	}
	if n := find("/routing-policy/policy-definitions/policy-definition/statements/statement"); !n.UserOrdered {
		t.Error("statement is not ordered by the user")
	}
	if n := find("/interfaces/interface/ethernet/switched-vlan/config/access-vlan"); n.Module != "openconfig-vlan" || n.Type.Final.Range != "1..4094" {
		t.Errorf("access-vlan: %+v of %+v", n, n.Type)
	}
	// A leafref to a leafref to a leaf.
	n := find("/network-instances/network-instance/protocols/protocol/identifier")
	if n.Type.Kind != Leafref || n.Type.Final.Kind != Identityref || n.Type.Target != "/network-instances/network-instance/protocols/protocol/config/identifier" {
		t.Errorf("identifier: %+v", n.Type)
	}
	if n := find("/system/config/hostname"); n.Child("x") != nil || len(n.Children()) != 0 {
		t.Error("a leaf has children")
	}
	if s.Root.Child("openconfig-acl:interfaces") != nil || s.Root.Child("openconfig-interfaces:interfaces") == nil {
		t.Error("a child's module is not looked at")
	}
}

func TestSecretsAreMarked(t *testing.T) {
	var got []string
	walk(OpenConfig().Root, func(n *Node) {
		if n.Secret {
			got = append(got, n.Path())
		}
	})
	want := []string{
		"/keychains/keychain/keys/key/config/secret-key",
		"/network-instances/network-instance/mpls/signaling-protocols/ldp/global/authentication/config/authentication-key",
		"/network-instances/network-instance/mpls/signaling-protocols/ldp/neighbors/neighbor/authentication/config/authentication-key",
		"/network-instances/network-instance/mpls/signaling-protocols/rsvp-te/interface-attributes/interface/authentication/config/authentication-key",
		"/network-instances/network-instance/protocols/protocol/bgp/neighbors/neighbor/config/auth-password",
		"/network-instances/network-instance/protocols/protocol/bgp/peer-groups/peer-group/config/auth-password",
		"/network-instances/network-instance/protocols/protocol/isis/interfaces/interface/authentication/config/auth-password",
		"/network-instances/network-instance/protocols/protocol/isis/interfaces/interface/levels/level/hello-authentication/config/auth-password",
		"/network-instances/network-instance/protocols/protocol/isis/levels/level/authentication/config/auth-password",
		"/network-instances/network-instance/protocols/protocol/pcep/path-computation-servers/path-computation-server/authentication/config/authentication-key",
		"/system/aaa/authentication/admin-user/config/admin-password",
		"/system/aaa/authentication/admin-user/config/admin-password-hashed",
		"/system/aaa/authentication/users/user/config/password",
		"/system/aaa/authentication/users/user/config/password-hashed",
		"/system/aaa/server-groups/server-group/servers/server/radius/config/secret-key",
		"/system/aaa/server-groups/server-group/servers/server/radius/config/secret-key-hashed",
		"/system/aaa/server-groups/server-group/servers/server/tacacs/config/secret-key",
		"/system/aaa/server-groups/server-group/servers/server/tacacs/config/secret-key-hashed",
		"/system/ntp/ntp-keys/ntp-key/config/key-value",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func walk(n *Node, visit func(*Node)) {
	visit(n)
	for _, c := range n.children {
		walk(c, visit)
	}
}

// The two schemas come from the same modules by two ways: this one by goyang
// alone, package oc's through ygot.
func TestSchemaIsThatOfPackageOC(t *testing.T) {
	var want, got []string
	var fromYgot func(path string, e *yang.Entry)
	fromYgot = func(path string, e *yang.Entry) {
		for _, name := range slices.Sorted(maps.Keys(e.Dir)) {
			c := e.Dir[name]
			if c.IsChoice() || c.IsCase() {
				fromYgot(path, c)
				continue
			}
			at := path + "/" + name
			if c.Kind == yang.LeafEntry || holdsLeaf(c) {
				want = append(want, describe(at, c.IsLeafList() || c.IsList(), c.Key, c.ListAttr != nil && c.ListAttr.OrderedByUser, standard(c)))
			}
			fromYgot(at, c)
		}
	}
	fromYgot("", oc.SchemaTree["Device"])
	walk(OpenConfig().Root, func(n *Node) {
		if n.Parent != nil {
			got = append(got, describe(n.Path(), n.Kind == List || n.Kind == LeafList, strings.Join(n.Keys, " "), n.UserOrdered, n.Default))
		}
	})
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-oc +tree:\n%s", diff)
	}
	if len(got) < 3000 {
		t.Errorf("only %d nodes", len(got))
	}
}

func holdsLeaf(e *yang.Entry) bool {
	for _, c := range e.Dir {
		if c.Kind == yang.LeafEntry || holdsLeaf(c) {
			return true
		}
	}
	return false
}

func describe(path string, many bool, keys string, ordered bool, standard string) string {
	return fmt.Sprintf("%s many=%t keys=%q ordered=%t default=%q", path, many, keys, ordered, standard)
}

// standard is a leaf's default: its own, or its type's (RFC 7950 section 7.6.1).
func standard(e *yang.Entry) string {
	switch {
	case len(e.Default) > 0:
		return e.Default[0]
	case e.IsLeaf() && e.Type.HasDefault && e.Mandatory != yang.TSTrue:
		return e.Type.Default
	}
	return ""
}

func TestDefaultsAreCanonical(t *testing.T) {
	n := 0
	walk(OpenConfig().Root, func(node *Node) {
		if node.Default == "" {
			return
		}
		n++
		var tok token
		if err := json.Unmarshal([]byte(node.defaultJSON), new(any)); err != nil {
			t.Errorf("%s: default %s: %v", node.Path(), node.defaultJSON, err)
		}
		p := parser{s: node.defaultJSON}
		tok, err := p.token()
		if err != nil {
			t.Fatal(err)
		}
		if text, err := node.Type.Final.canonical(tok, false); err != nil || text != node.defaultJSON {
			t.Errorf("%s: default %s becomes %s, %v", node.Path(), node.defaultJSON, text, err)
		}
	})
	if n < 400 {
		t.Errorf("only %d defaults", n)
	}
}

// What this package writes ygot reads, and what ygot writes is the same tree.
func TestYgotReadsCanonicalAndWritesTheSame(t *testing.T) {
	tree := mustParse(t, string(leafSwitch(t)))
	device := new(oc.Device)
	if err := oc.Unmarshal(tree.Canonical(), device); err != nil {
		t.Fatal(err)
	}
	text, err := ygot.EmitJSON(device, &ygot.EmitJSONConfig{Format: ygot.RFC7951, SkipValidation: true, RFC7951Config: &ygot.RFC7951JSONConfig{AppendModuleName: true}})
	if err != nil {
		t.Fatal(err)
	}
	again := mustParse(t, text)
	if diff := cmp.Diff(string(tree.Canonical()), string(again.Canonical())); diff != "" {
		t.Errorf("-tree +ygot:\n%s", diff)
	}
}

// Random configurations of any node of the schema keep Canonical's promises,
// however their members and sets are shuffled.
func TestCanonicalIsAFixedPointForRandomTrees(t *testing.T) {
	s := OpenConfig()
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 7))
		doc := randomContainer(rng, s.Root, 0)
		text := encode(rng, doc)
		tree, err := Parse(s, text)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		fixedPoint(t, tree)
		shuffled := mustParse(t, string(encode(rng, doc)))
		if !shuffled.Equal(tree) {
			t.Fatalf("seed %d: shuffled it is another tree:\n%s\n%s", seed, tree.Canonical(), shuffled.Canonical())
		}
		if merged, conflicts := Merge(tree, shuffled); !merged.Equal(tree) || len(conflicts) > 0 {
			t.Fatalf("seed %d: merged with itself it is another tree", seed)
		}
		for p, v := range tree.Leaves {
			if tree.Lookup(p) != v {
				t.Fatalf("seed %d: %s leads elsewhere", seed, p)
			}
		}
	}
}

// member is one member of a random object: a value, or alternatives that mean the
// same, of which encode chooses.
type member struct {
	node  *Node
	value any // []member, []any of a list, or texts of a leaf
}

type texts []string

func randomContainer(rng *rand.Rand, n *Node, depth int) []member {
	var out []member
	for _, c := range n.children {
		if c.key == 0 && rng.IntN(2+2*depth) > 1 {
			continue
		}
		m := member{node: c}
		switch c.Kind {
		case Container:
			m.value = randomContainer(rng, c, depth+1)
		case List:
			var entries []any
			seen := map[string]bool{}
			for range rng.IntN(3) {
				e := randomContainer(rng, c, depth+1)
				id, keys := "", 0
				for _, m := range e {
					if m.node.key > 0 {
						id += m.value.(texts)[0] + "|"
						keys++
					}
				}
				if !seen[id] && keys == len(c.Keys) {
					entries = append(entries, e)
				}
				seen[id] = true
			}
			m.value = entries
		case Leaf:
			v := randomScalar(rng, c.Type.Final)
			if v == nil {
				continue
			}
			m.value = v
		case LeafList:
			var all []any
			seen := map[string]bool{}
			for range rng.IntN(4) {
				v := randomScalar(rng, c.Type.Final)
				if v != nil && !seen[v[0]] {
					all = append(all, v)
				}
				seen[v[0]] = true
			}
			m.value = all
		}
		out = append(out, m)
	}
	return out
}

// randomScalar returns ways to write one value; the first is canonical, but for a
// union's.
func randomScalar(rng *rand.Rand, t *Type) texts {
	switch t.Kind {
	case Union:
		return randomScalar(rng, t.members[rng.IntN(len(t.members))])
	case Boolean:
		return texts{strconv.FormatBool(rng.IntN(2) == 0)}
	case Enumeration:
		return texts{quote(t.Enum[rng.IntN(len(t.Enum))])}
	case Identityref:
		names := slices.Sorted(maps.Keys(t.Identities))
		if len(names) == 0 { // the base is defined, and no module derives from it
			return nil
		}
		name := names[rng.IntN(len(names))]
		return texts{quote(t.Identities[name] + ":" + name), quote(name)}
	case Binary:
		return texts{`"AAEC"`}
	case Decimal64:
		return texts{`"1.5"`}
	case String:
		return randomString(rng, t)
	}
	n := strconv.Itoa(rng.IntN(120))
	if t.bits() == 64 {
		return texts{quote(n), n}
	}
	return texts{n}
}

func randomString(rng *rand.Rand, t *Type) texts {
	n := rng.IntN(200)
	switch t.format {
	case "ipv4-address":
		return texts{fmt.Sprintf(`"192.0.2.%d"`, n)}
	case "ipv6-address":
		return texts{fmt.Sprintf(`"2001:db8::%x:0"`, n+1), fmt.Sprintf(`"2001:DB8:0::%X:0"`, n+1)}
	case "ipv4-prefix":
		return texts{fmt.Sprintf(`"10.0.%d.0/24"`, n), fmt.Sprintf(`"10.0.%d.9/24"`, n)}
	case "ipv6-prefix":
		return texts{fmt.Sprintf(`"2001:db8:%x::/48"`, n+1), fmt.Sprintf(`"2001:DB8:%X::1/48"`, n+1)}
	case "mac-address":
		return texts{fmt.Sprintf(`"00:aa:00:00:00:%02x"`, n), fmt.Sprintf(`"00:AA:00:00:00:%02X"`, n)}
	}
	return texts{fmt.Sprintf(`"x%d/ü"`, n), fmt.Sprintf(`"\u0078%d\/\u00fc"`, n)}
}

// encode writes a random document in one of the ways that mean it: names with or
// without module, members and sets in any order.
func encode(rng *rand.Rand, v any) []byte {
	switch v := v.(type) {
	case texts:
		return []byte(v[rng.IntN(len(v))])
	case []member:
		var parts []string
		for _, i := range rng.Perm(len(v)) {
			n := v[i].node
			name := n.Name
			if rng.IntN(2) == 0 {
				name = n.Module + ":" + name
			}
			inner := v[i].value
			if all, ok := inner.([]any); ok && !n.UserOrdered {
				rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			}
			parts = append(parts, quote(name)+": "+string(encode(rng, inner)))
		}
		return []byte("{" + strings.Join(parts, " ,\n") + "}")
	case []any:
		var parts []string
		for _, e := range v {
			parts = append(parts, string(encode(rng, e)))
		}
		return []byte("[" + strings.Join(parts, ",") + "]")
	}
	return nil
}
