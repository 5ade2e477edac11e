package tree

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParsePath(t *testing.T) {
	for _, c := range []struct {
		text string
		want Path
	}{
		{"/", nil},
		{"/interfaces", Path{{Name: "interfaces"}}},
		{"/interfaces/interface[name=Ethernet1/2]/config", Path{{Name: "interfaces"}, {"interface", []KeyValue{{"name", "Ethernet1/2"}}}, {Name: "config"}}},
		{`/a[k=\]]`, Path{{"a", []KeyValue{{"k", "]"}}}}},
		{`/a[k=\\]`, Path{{"a", []KeyValue{{"k", `\`}}}}},
		{`/a[k=[x=y\]]`, Path{{"a", []KeyValue{{"k", "[x=y]"}}}}},
		{"/a[k=]", Path{{"a", []KeyValue{{"k", ""}}}}},
		{"/a[k= v ][l==]", Path{{"a", []KeyValue{{"k", " v "}, {"l", "="}}}}},
		{"/a[k=*]/b[k=Ethernet*]", Path{{"a", []KeyValue{{"k", "*"}}}, {"b", []KeyValue{{"k", "Ethernet*"}}}}},
		{`/a\/b\[c`, Path{{Name: "a/b[c"}}},
		{"/openconfig-interfaces:interfaces", Path{{Name: "openconfig-interfaces:interfaces"}}},
	} {
		got, err := ParsePath(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.text, diff)
		}
		again, err := ParsePath(got.String())
		if err != nil || !again.Equal(got) {
			t.Errorf("%s: becomes %s, which is %v, %v", c.text, got, again, err)
		}
	}
	for _, text := range []string{"", "a", "a/b", "//", "/a/", "/a//b", "/a[", "/a[k", "/a[k=", "/a[k=v", `/a[k=v\]`, "/a[=v]", "/a[k=v]x", "/a]", "/a=b", "/a[k=v][k=w]", `/a\`, "/[k=v]", "/a[[k=v]"} {
		if p, err := ParsePath(text); err == nil {
			t.Errorf("%q is taken as %v", text, p)
		}
	}
}

func TestResolveOrdersKeysAndGivesThemOneForm(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"/", "/"},
		{
			"/openconfig-network-instance:network-instances/network-instance[name=n]/protocols/protocol[name=b][identifier=openconfig-policy-types:BGP]",
			"/network-instances/network-instance[name=n]/protocols/protocol[identifier=BGP][name=b]",
		},
		{"/acl/acl-sets/acl-set/acl-entries/acl-entry[sequence-id=010]", "/acl/acl-sets/acl-set/acl-entries/acl-entry[sequence-id=10]"},
		{"/interfaces/interface[name=Eth*]", "/interfaces/interface[name=Eth*]"},
		{
			"/network-instances/network-instance/protocols/protocol[name=b][identifier=*]",
			"/network-instances/network-instance/protocols/protocol[identifier=*][name=b]",
		},
		{
			"/network-instances/network-instance[name=n]/protocols/protocol[identifier=BGP][name=b]/bgp/neighbors/neighbor[neighbor-address=2001:DB8::0]",
			"/network-instances/network-instance[name=n]/protocols/protocol[identifier=BGP][name=b]/bgp/neighbors/neighbor[neighbor-address=2001:db8::]",
		},
	} {
		p, err := ParsePath(c.text)
		if err != nil {
			t.Fatal(err)
		}
		got, n, err := OpenConfig().Resolve(p)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got.String() != c.want {
			t.Errorf("%s: got %s, want %s", c.text, got, c.want)
		}
		if again, err := OpenConfig().Find(got); err != nil || again != n {
			t.Errorf("%s: Find leads elsewhere: %v", c.want, err)
		}
	}
}

func TestFindNamesWhatIsUnknownAndWhatIsNear(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"/iterfaces/interface", `path /iterfaces: the root has no config node "iterfaces" (did you mean "interfaces"?)`},
		{"/interfaces/interface[nme=x]", `path /interfaces/interface[nme=x]: list interface has no key "nme" (did you mean "name"?)`},
		{"/interfaces[name=x]", `path /interfaces[name=x]: container interfaces has no key "name"`},
		{"/openconfig-acl:interfaces", `path /openconfig-acl:interfaces: interfaces is in module openconfig-interfaces, not openconfig-acl`},
		{"/interfaces/interface[name=x]/state", `path /interfaces/interface[name=x]/state: interface has no config node "state"`},
		{"/acl/acl-sets/acl-set[type=ACL_IPV5]", `path /acl/acl-sets/acl-set[type=ACL_IPV5]: key type: "ACL_IPV5": want one of ACL_IPV4, ACL_IPV6, ACL_L2, ACL_MIXED, ACL_MPLS (did you mean "ACL_IPV4"?)`},
	} {
		p, err := ParsePath(c.text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := OpenConfig().Find(p); err == nil || err.Error() != c.want {
			t.Errorf("%s:\ngot  %v\nwant %s", c.text, err, c.want)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"/", "/a[k=v]/b", `/a[k=\]\\][l=*]`, "/interfaces/interface[name=Ethernet1]/config/mtu", "//", "/a[", `/\/`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePath(s)
		if err != nil {
			return
		}
		again, err := ParsePath(p.String())
		if err != nil || !again.Equal(p) {
			t.Fatalf("%q is %v; its text %q is %v, %v", s, p, p.String(), again, err)
		}
		resolved, n, err := OpenConfig().Resolve(p)
		if err != nil {
			return
		}
		twice, m, err := OpenConfig().Resolve(resolved)
		if err != nil || m != n || !twice.Equal(resolved) {
			t.Fatalf("%s resolves to %s, and that to %s, %v", p, resolved, twice, err)
		}
	})
}
