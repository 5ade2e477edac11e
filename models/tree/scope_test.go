package tree

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const managed = `{
	"interfaces":{"interface":[
		{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":9000},"ethernet":{"config":{"auto-negotiate":true}}},
		{"name":"Ethernet10","config":{"name":"Ethernet10"}},
		{"name":"Management1","config":{"name":"Management1"}}]},
	"network-instances":{"network-instance":[
		{"name":"default","config":{"name":"default"},"protocols":{"protocol":[
			{"identifier":"BGP","name":"b","config":{"identifier":"BGP","name":"b"}},
			{"identifier":"STATIC","name":"b","config":{"identifier":"STATIC","name":"b"}}]}},
		{"name":"mgmt","config":{"name":"mgmt"}}]},
	"system":{"config":{"hostname":"a"}}}`

func TestScopeFilters(t *testing.T) {
	for _, c := range []struct {
		manage []string
		want   string
		roots  []string
	}{
		{nil, `{}`, nil},
		{[]string{"/system"}, `{"system":{"config":{"hostname":"a"}}}`, []string{"system"}},
		{[]string{"/lldp"}, `{}`, []string{"lldp"}},
		{
			[]string{"/interfaces/interface[name=Ethernet*]"},
			`{"interfaces":{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":9000},"ethernet":{"config":{"auto-negotiate":true}}},{"name":"Ethernet10","config":{"name":"Ethernet10"}}]}}`,
			[]string{"interfaces"},
		},
		{
			[]string{"/interfaces/interface[name=*1]/config/mtu"},
			`{"interfaces":{"interface":[{"name":"Ethernet1","config":{"mtu":9000}}]}}`,
			[]string{"interfaces"},
		},
		{
			[]string{"/interfaces/interface", "!/interfaces/interface[name=Ethernet*]/ethernet", "!/interfaces/interface[name=M*]"},
			`{"interfaces":{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":9000}},{"name":"Ethernet10","config":{"name":"Ethernet10"}}]}}`,
			[]string{"interfaces"},
		},
		{
			[]string{"!/network-instances/network-instance[name=mgmt]", "/network-instances", "!/network-instances/network-instance/protocols/protocol[identifier=STATIC]"},
			`{"network-instances":{"network-instance":[{"name":"default","config":{"name":"default"},"protocols":{"protocol":[{"identifier":"BGP","name":"b","config":{"identifier":"BGP","name":"b"}}]}}]}}`,
			[]string{"network-instances"},
		},
		{
			[]string{"/network-instances/network-instance/protocols/protocol[identifier=openconfig-policy-types:BGP]"},
			`{"network-instances":{"network-instance":[{"name":"default","protocols":{"protocol":[{"identifier":"BGP","name":"b","config":{"identifier":"BGP","name":"b"}}]}}]}}`,
			[]string{"network-instances"},
		},
		{
			[]string{"/interfaces", "!/interfaces/interface/config", "!/interfaces/interface/ethernet"},
			`{"interfaces":{"interface":[{"name":"Ethernet1"},{"name":"Ethernet10"},{"name":"Management1"}]}}`,
			[]string{"interfaces"},
		},
		{[]string{"/interfaces", "/system", "!/interfaces"}, `{"system":{"config":{"hostname":"a"}}}`, []string{"system"}},
		{[]string{"/", "!/"}, `{}`, nil},
		{[]string{"/system", "!/"}, `{}`, nil},
	} {
		t.Run(strings.Join(c.manage, " "), func(t *testing.T) {
			scope, err := NewScope(OpenConfig(), c.manage)
			if err != nil {
				t.Fatal(err)
			}
			tree := mustParse(t, managed)
			got := scope.Filter(tree)
			if diff := cmp.Diff(string(mustParse(t, c.want).Canonical()), string(got.Canonical())); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			fixedPoint(t, got)
			if diff := cmp.Diff(c.roots, scope.Roots()); diff != "" {
				t.Errorf("roots: -want +got:\n%s", diff)
			}
			if !scope.Filter(got).Equal(got) {
				t.Error("what is managed of what is managed is something else")
			}
			checkContains(t, scope, tree, got)
		})
	}
}

// checkContains holds Contains against Filter: a leaf that is no key stays exactly
// when its path is contained.
func checkContains(t *testing.T, scope *Scope, all, kept *Tree) {
	t.Helper()
	for p, v := range all.Leaves {
		if v.Schema.key > 0 {
			continue
		}
		if got, want := scope.Contains(p), kept.Lookup(p) != nil; got != want {
			t.Errorf("%s: contained is %t, kept is %t", p, got, want)
		}
	}
}

func TestScopeOfEverything(t *testing.T) {
	scope, err := NewScope(OpenConfig(), []string{"/", "!/system/config/hostname"})
	if err != nil {
		t.Fatal(err)
	}
	tree := mustParse(t, managed)
	got := scope.Filter(tree)
	if want := tree.ReplaceAt(Path{{Name: "system"}}, nil); !got.Equal(want) {
		t.Errorf("got %s, want %s", got.Canonical(), want.Canonical())
	}
	if len(scope.Roots()) != len(OpenConfig().Root.Children()) {
		t.Errorf("the roots are %v", scope.Roots())
	}
	checkContains(t, scope, tree, got)
}

func TestContainsIsAtOrBelow(t *testing.T) {
	scope, err := NewScope(OpenConfig(), []string{"/interfaces/interface[name=Ethernet*]", "!/interfaces/interface[name=Ethernet1]/config"})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"/":                                     false,
		"/interfaces":                           false,
		"/interfaces/interface":                 false,
		"/interfaces/interface[name=Ethernet1]": true,
		"/interfaces/interface[name=Ethernet1]/config":     false,
		"/interfaces/interface[name=Ethernet1]/config/mtu": false,
		"/interfaces/interface[name=Ethernet2]/config/mtu": true,
		"/interfaces/interface[name=Management1]":          false,
		"/interfaces/interface[name=Ethernet1]/nothing":    false,
	} {
		p, err := ParsePath(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := scope.Contains(p); got != want {
			t.Errorf("%s: contained is %t, want %t", path, got, want)
		}
	}
}

func TestNewScopeNamesTheBadEntry(t *testing.T) {
	for _, bad := range []string{"interfaces", "/interfaces/interface[name=", "!/iterfaces", "/interfaces/interface[nme=x]", "/interfaces/interface/state", ""} {
		_, err := NewScope(OpenConfig(), []string{"/system", bad})
		if err == nil || !strings.Contains(err.Error(), `managed path "`+bad+`"`) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern string
		match   []string
		not     []string
	}{
		{"", []string{""}, []string{"a"}},
		{"a", []string{"a"}, []string{"", "b", "aa"}},
		{"*", []string{"", "a", "*"}, nil},
		{"a*", []string{"a", "ab"}, []string{"ba", ""}},
		{"*a", []string{"a", "ba", "aa"}, []string{"ab"}},
		{"a*b", []string{"ab", "axb", "abb"}, []string{"a", "b", "aba", "ba"}},
		{"a*a", []string{"aa", "aba"}, []string{"a"}},
		{"*a*b*", []string{"ab", "xaxbx"}, []string{"ba"}},
		{"a**b", []string{"ab", "axb"}, nil},
	} {
		for _, s := range slices.Concat(c.match, c.not) {
			if got, want := glob(c.pattern, s), slices.Contains(c.match, s); got != want {
				t.Errorf("glob(%q, %q) is %t", c.pattern, s, got)
			}
		}
	}
}

// TestScopeCoversWhatNoExclusionReaches holds Covers to Contains: what is covered
// has no node below it that is not contained.
func TestScopeCoversWhatNoExclusionReaches(t *testing.T) {
	c, err := NewScope(OpenConfig(), []string{
		"/interfaces", "!/interfaces/interface[name=mgmt*]/config/mtu", "!/interfaces/interface/subinterfaces",
		"/network-instances", "!/network-instances/network-instance[name=mgmt]",
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"/interfaces":                                           false,
		"/interfaces/interface":                                 false,
		"/network-instances/network-instance":                   false,
		"/network-instances/nothing":                            false,
		"/interfaces/interface[name=mgmt0]":                     false,
		"/interfaces/interface[name=mgmt0]/config":              false,
		"/interfaces/interface[name=mgmt0]/config/mtu":          false,
		"/interfaces/interface[name=Ethernet1]":                 false,
		"/interfaces/interface[name=Ethernet1]/config":          true,
		"/interfaces/interface[name=Ethernet1]/config/mtu":      true,
		"/interfaces/interface[name=Ethernet1]/subinterfaces":   false,
		"/network-instances/network-instance[name=default]":     true,
		"/network-instances/network-instance[name=mgmt]/config": false,
		"/network-instances":                                    false,
		"/system":                                               false,
	} {
		p, err := ParsePath(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Covers(p); got != want {
			t.Errorf("Covers(%s) is %v", path, got)
		}
	}
}

func TestWithinManagedPathsIsNeverWrongAboutWhatItClaims(t *testing.T) {
	s := OpenConfig()
	resolve := func(text string) Path {
		p, err := ParsePath(text)
		if err != nil {
			t.Fatal(err)
		}
		if p, _, err = s.Resolve(p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, c := range []struct {
		p, q string
		want bool
	}{
		{"/", "/system", true},
		{"/system", "/system", true},
		{"/system", "/", false},
		{"/interfaces/interface", "/interfaces/interface[name=Ethernet1]/config", true},
		{"/interfaces/interface[name=Ethernet*]", "/interfaces/interface[name=Ethernet1*]", true},
		{"/interfaces/interface[name=Ethernet1*]", "/interfaces/interface[name=Ethernet*]", false},
		{"/interfaces/interface[name=Ethernet1]", "/interfaces/interface", false},
		{"/interfaces/interface[name=*1]", "/interfaces/interface[name=Ethernet*]", false},
		{"/acl/acl-sets/acl-set[type=ACL_IPV4]", "/acl/acl-sets/acl-set[name=a][type=ACL_IPV4]", true},
		{"/acl/acl-sets/acl-set[name=a]", "/acl/acl-sets/acl-set[type=ACL_IPV4]", false},
	} {
		p, q := resolve(c.p), resolve(c.q)
		if got := q.Within(p); got != c.want {
			t.Errorf("%s within %s: %t, want %t", c.q, c.p, got, c.want)
		}
		scope, err := NewScope(s, []string{c.p})
		if err != nil {
			t.Fatal(err)
		}
		if c.want && !scope.Contains(q) {
			t.Errorf("%s is within %s, and the scope does not contain it", c.q, c.p)
		}
	}
}
