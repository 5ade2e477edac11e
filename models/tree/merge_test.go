package tree

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

func TestMerge(t *testing.T) {
	for _, c := range []struct {
		name, base, over, want string
		conflicts              []string
	}{
		{"nothing onto nothing", `{}`, `{}`, `{}`, nil},
		{
			"containers by name", `{"system":{"config":{"hostname":"a"}}}`, `{"system":{"config":{"motd-banner":"m"},"clock":{"config":{"timezone-name":"UTC"}}}}`,
			`{"system":{"config":{"hostname":"a","motd-banner":"m"},"clock":{"config":{"timezone-name":"UTC"}}}}`, nil,
		},
		{
			"entries by key",
			`{"interfaces":{"interface":[{"name":"e1","config":{"name":"e1","mtu":1500}},{"name":"e2"}]}}`,
			`{"interfaces":{"interface":[{"name":"e10"},{"name":"e1","config":{"description":"d"}}]}}`,
			`{"interfaces":{"interface":[{"name":"e1","config":{"name":"e1","mtu":1500,"description":"d"}},{"name":"e2"},{"name":"e10"}]}}`, nil,
		},
		{
			"the same said twice", `{"system":{"config":{"hostname":"a"}}}`, `{"system":{"config":{"hostname":"a"}}}`, `{"system":{"config":{"hostname":"a"}}}`, nil,
		},
		{
			"two values",
			`{"system":{"config":{"hostname":"a"}},"interfaces":{"interface":[{"name":"e1","config":{"mtu":1}}]}}`,
			`{"system":{"config":{"hostname":"b"}},"interfaces":{"interface":[{"name":"e1","config":{"mtu":2}}]}}`,
			`{"system":{"config":{"hostname":"b"}},"interfaces":{"interface":[{"name":"e1","config":{"mtu":2}}]}}`,
			[]string{"/interfaces/interface[name=e1]/config/mtu: 1, 2", "/system/config/hostname: a, b"},
		},
		{
			"two leaf-lists",
			`{"interfaces":{"interface":[{"name":"e1","ethernet":{"switched-vlan":{"config":{"trunk-vlans":[1,2]}}}}]}}`,
			`{"interfaces":{"interface":[{"name":"e1","ethernet":{"switched-vlan":{"config":{"trunk-vlans":[2,3]}}}}]}}`,
			`{"interfaces":{"interface":[{"name":"e1","ethernet":{"switched-vlan":{"config":{"trunk-vlans":[2,3]}}}}]}}`,
			[]string{"/interfaces/interface[name=e1]/ethernet/switched-vlan/config/trunk-vlans: [1, 2], [2, 3]"},
		},
		{
			"entries ordered by the user",
			`{"routing-policy":{"policy-definitions":{"policy-definition":[{"name":"P","statements":{"statement":[{"name":"z"},{"name":"a"}]}}]}}}`,
			`{"routing-policy":{"policy-definitions":{"policy-definition":[{"name":"P","statements":{"statement":[{"name":"b"},{"name":"a","config":{"name":"a"}}]}}]}}}`,
			`{"routing-policy":{"policy-definitions":{"policy-definition":[{"name":"P","statements":{"statement":[{"name":"z"},{"name":"a","config":{"name":"a"}},{"name":"b"}]}}]}}}`, nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			base, over := mustParse(t, c.base), mustParse(t, c.over)
			got, conflicts := Merge(base, over)
			if diff := cmp.Diff(string(mustParse(t, c.want).Canonical()), string(got.Canonical())); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			fixedPoint(t, got)
			var said []string
			for _, c := range conflicts {
				said = append(said, c.Path.String()+": "+c.Base.Text()+", "+c.Over.Text())
			}
			if diff := cmp.Diff(c.conflicts, said); diff != "" {
				t.Errorf("conflicts: -want +got:\n%s", diff)
			}
			if !base.Equal(mustParse(t, c.base)) || !over.Equal(mustParse(t, c.over)) {
				t.Error("a merged tree was changed")
			}
		})
	}
}

func TestReplaceAt(t *testing.T) {
	const doc = `{"interfaces":{"interface":[{"name":"e1","config":{"name":"e1","mtu":1500}},{"name":"e2","config":{"name":"e2"}}]},"system":{"config":{"hostname":"a"}}}`
	donor := mustParse(t, `{"interfaces":{"interface":[{"name":"e3","config":{"name":"e3","mtu":9000}}]},
		"network-instances":{"network-instance":[{"name":"n","protocols":{"protocol":[{"identifier":"BGP","name":"b","config":{"identifier":"BGP","name":"b","enabled":true}}]}}]}}`)
	for _, c := range []struct{ name, path, from, want string }{
		{"a leaf goes", "/system/config/hostname", "", `{"interfaces":{"interface":[{"name":"e1","config":{"name":"e1","mtu":1500}},{"name":"e2","config":{"name":"e2"}}]}}`},
		{"a leaf of an entry goes", "/interfaces/interface[name=e1]/config/mtu", "", `{"interfaces":{"interface":[{"name":"e1","config":{"name":"e1"}},{"name":"e2","config":{"name":"e2"}}]},"system":{"config":{"hostname":"a"}}}`},
		{"an entry goes", "/interfaces/interface[name=e1]", "", `{"interfaces":{"interface":[{"name":"e2","config":{"name":"e2"}}]},"system":{"config":{"hostname":"a"}}}`},
		{"a list goes", "/interfaces/interface", "", `{"system":{"config":{"hostname":"a"}}}`},
		{"an entry keeps its key", "/interfaces/interface[name=e2]/config", "", `{"interfaces":{"interface":[{"name":"e1","config":{"name":"e1","mtu":1500}},{"name":"e2"}]},"system":{"config":{"hostname":"a"}}}`},
		{"a key stays", "/interfaces/interface[name=e2]/name", "", doc},
		{"nothing goes", "/interfaces/interface[name=e9]/config/mtu", "", doc},
		{"no entry of that key", "/interfaces/interface[name=e9]", "", doc},
		{"everything goes", "/", "", `{}`},
		{"an entry comes", "/interfaces/interface[name=e3]", "/interfaces/interface[name=e3]", `{"interfaces":{"interface":[{"name":"e1","config":{"name":"e1","mtu":1500}},{"name":"e2","config":{"name":"e2"}},{"name":"e3","config":{"name":"e3","mtu":9000}}]},"system":{"config":{"hostname":"a"}}}`},
		{"a list comes", "/interfaces/interface", "/interfaces/interface", `{"interfaces":{"interface":[{"name":"e3","config":{"name":"e3","mtu":9000}}]},"system":{"config":{"hostname":"a"}}}`},
		{"a leaf changes", "/interfaces/interface[name=e1]/config/mtu", "/interfaces/interface[name=e3]/config/mtu", `{"interfaces":{"interface":[{"name":"e1","config":{"name":"e1","mtu":9000}},{"name":"e2","config":{"name":"e2"}}]},"system":{"config":{"hostname":"a"}}}`},
		{
			"what leads there is made", "/network-instances/network-instance[name=m]/protocols/protocol[name=b][identifier=BGP]/config/enabled",
			"/network-instances/network-instance[name=n]/protocols/protocol[identifier=BGP][name=b]/config/enabled",
			`{"network-instances":{"network-instance":[{"name":"m","protocols":{"protocol":[{"identifier":"BGP","name":"b","config":{"enabled":true}}]}}]},"interfaces":{"interface":[{"name":"e1","config":{"name":"e1","mtu":1500}},{"name":"e2","config":{"name":"e2"}}]},"system":{"config":{"hostname":"a"}}}`,
		},
		{"no such node", "/interfaces/nothing", "", doc},
		{"keys are missing", "/interfaces/interface/config", "", doc},
		{"some keys are missing", "/network-instances/network-instance[name=m]/protocols/protocol[name=b]", "", doc},
		{"another node's value", "/interfaces/interface[name=e1]/config/mtu", "/interfaces/interface[name=e3]/config/name", doc},
		{"another entry's value", "/interfaces/interface[name=e1]", "/interfaces/interface[name=e3]", doc},
		{"an entry for a list", "/interfaces/interface", "/interfaces/interface[name=e3]", doc},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := mustParse(t, doc)
			var sub *Value
			if c.from != "" {
				if sub = at(t, donor, c.from); sub == nil {
					t.Fatalf("nothing at %s", c.from)
				}
			}
			p, err := ParsePath(c.path)
			if err != nil {
				t.Fatal(err)
			}
			got := tree.ReplaceAt(p, sub)
			if diff := cmp.Diff(string(mustParse(t, c.want).Canonical()), string(got.Canonical())); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			fixedPoint(t, got)
			if !tree.Equal(mustParse(t, doc)) {
				t.Error("the tree was changed")
			}
		})
	}
}

// FuzzMerge holds what Merge promises of any two trees: over's values stand, base's
// stay where over has none, and what is told is where the two differ.
func FuzzMerge(f *testing.F) {
	archive, err := txtar.ParseFile("testdata/canonical.txtar")
	if err != nil {
		f.Fatal(err)
	}
	last := []byte("{}")
	for _, in := range archive.Files {
		if strings.HasSuffix(in.Name, ".in") {
			f.Add(last, in.Data)
			f.Add(in.Data, in.Data)
			last = in.Data
		}
	}
	f.Add([]byte(`{"system":{"dns":{"servers":{"server":[{"address":"192.0.2.2"},{"address":"192.0.2.1"}]}}}}`), []byte(`{"system":{"dns":{"servers":{"server":[{"address":"192.0.2.1"},{"address":"192.0.2.3"}]},"config":{"search":["b","a"]}}}}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		base, err := Parse(OpenConfig(), a)
		if err != nil {
			return
		}
		over, err := Parse(OpenConfig(), b)
		if err != nil {
			return
		}
		merged, conflicts := Merge(base, over)
		fixedPoint(t, merged)
		differ := 0
		for p, v := range over.Leaves {
			if got := merged.Lookup(p); got == nil || !got.SameAs(v) {
				t.Fatalf("%s: over's value does not stand", p)
			}
			if old := base.Lookup(p); old != nil && !old.SameAs(v) {
				differ++
			}
		}
		if differ != len(conflicts) {
			t.Fatalf("%d leaves differ, %d are told", differ, len(conflicts))
		}
		for p, v := range base.Leaves {
			if got := merged.Lookup(p); got == nil || over.Lookup(p) == nil && !got.SameAs(v) {
				t.Fatalf("%s: base's value is gone", p)
			}
		}
		for p := range merged.Leaves {
			if base.Lookup(p) == nil && over.Lookup(p) == nil {
				t.Fatalf("%s comes from nowhere", p)
			}
		}
		if again, told := Merge(merged, over); !again.Equal(merged) || len(told) > 0 {
			t.Fatalf("merged twice it differs: %s", again.Canonical())
		}
	})
}
