package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/setpoint-net/setpoint/models/tree"
)

func TestApplyingThePlanMakesRunningIntoIntended(t *testing.T) {
	s := tree.OpenConfig()
	for seed := range uint64(300) {
		g := generator{rand.New(rand.NewPCG(seed, 1))}
		was := g.some(s)
		is := clone(t, was)
		g.mutate(is, s.Root, 2+int(seed%12))
		prune(is)
		a, b := parse(t, s, was), parse(t, s, is)

		p := Diff(a, b)
		dev := &target{t, s, load(t, a.Canonical())}
		dev.set(p)
		if got := parse(t, s, dev.root); !got.Equal(b) {
			t.Fatalf("seed %d: after the plan\n%s\nthe device has\n%s\nand not\n%s", seed, text(t, p, Options{Form: GNMI}), got.Canonical(), b.Canonical())
		}
		checkShape(t, seed, p)
		for _, d := range p.Deletes {
			holdsNoList(t, seed, d, a.Lookup(d))
		}

		back := Diff(b, a)
		dev.set(back)
		if got := parse(t, s, dev.root); !got.Equal(a) {
			t.Fatalf("seed %d: the plan back gives\n%s\nand not\n%s", seed, got.Canonical(), a.Canonical())
		}
	}
}

func TestScopedPlanSparesWhatIsNotManaged(t *testing.T) {
	s := tree.OpenConfig()
	excluded := []string{
		"/interfaces/interface/ethernet", "/network-instances/network-instance/protocols", "/system/dns", "/system/aaa/server-groups/server-group/servers",
		"/routing-policy/policy-definitions/policy-definition/statements/statement/actions", "/lldp/config", "/interfaces/interface/subinterfaces",
		"/acl/acl-sets/acl-set/acl-entries/acl-entry/config/description",
	}
	for seed := range uint64(200) {
		g := generator{rand.New(rand.NewPCG(seed, 2))}
		manage := []string{"/"}
		var spared []*tree.Scope
		for _, e := range excluded {
			if g.IntN(3) == 0 {
				manage = append(manage, "!"+e)
				spared = append(spared, scope(t, s, e))
			}
		}
		managed := scope(t, s, manage...)
		was := g.some(s)
		is := clone(t, was)
		g.mutate(is, s.Root, 3)
		prune(is)
		a, b := parse(t, s, was), managed.Filter(parse(t, s, is))

		p := DiffScoped(managed, managed.Filter(a), b)
		dev := &target{t, s, load(t, a.Canonical())}
		dev.set(p)
		got := parse(t, s, dev.root)
		if rest := DiffScoped(managed, managed.Filter(got), b); !rest.Empty() {
			t.Fatalf("seed %d, managed %q: the plan\n%s\nleaves\n%s", seed, manage, text(t, p, Options{}), text(t, rest, Options{}))
		}
		for _, e := range spared {
			if !e.Filter(got).Equal(e.Filter(a)) {
				t.Fatalf("seed %d, managed %q: the plan\n%s\ntouches what is not managed:\n%s", seed, manage,
					text(t, p, Options{Form: GNMI}), text(t, Diff(e.Filter(a), e.Filter(got)), Options{}))
			}
		}
	}
}

// checkShape holds a plan to what its package comment promises.
func checkShape(t *testing.T, seed uint64, p *Plan) {
	t.Helper()
	seen := map[string]bool{}
	for _, q := range paths(p) {
		if seen[q.String()] {
			t.Errorf("seed %d: two operations at %s", seed, q)
		}
		seen[q.String()] = true
	}
	for _, q := range paths(p) {
		for n := 1; n < len(q); n++ {
			if seen[q[:n].String()] {
				t.Errorf("seed %d: operations at %s and below it at %s", seed, q[:n], q)
			}
		}
		if len(q) < 2 {
			t.Errorf("seed %d: an operation at the top: %s", seed, q)
		}
	}
	if n := len(p.Deletes) + len(p.Replaces) + len(p.Updates); n > len(p.Changes) {
		t.Errorf("seed %d: %d operations for %d changes", seed, n, len(p.Changes))
	}
}

// holdsNoList says that what a delete names is an entry, or has no list in it.
func holdsNoList(t *testing.T, seed uint64, p tree.Path, v *tree.Value) {
	t.Helper()
	if v.Entry() {
		return
	}
	leaves(p, v, func(q tree.Path, _ *tree.Value) {
		if slices.ContainsFunc(q[len(p):], func(e tree.Elem) bool { return e.Keys != nil }) {
			t.Errorf("seed %d: delete of %s, with %s in it", seed, p, q)
		}
	})
}

func paths(p *Plan) []tree.Path {
	out := slices.Clone(p.Deletes)
	for _, v := range slices.Concat(p.Replaces, p.Updates) {
		out = append(out, v.Path)
	}
	return out
}

func scope(t *testing.T, s *tree.Schema, manage ...string) *tree.Scope {
	t.Helper()
	c, err := tree.NewScope(s, manage)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustParse(t testing.TB, text string) *tree.Tree {
	t.Helper()
	out, err := tree.Parse(tree.OpenConfig(), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func text(t testing.TB, p *Plan, o Options) string {
	t.Helper()
	var b strings.Builder
	if err := p.Write(&b, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// operations is a plan's SetRequest, a line each.
func operations(p *Plan) []string {
	var out []string
	for _, d := range p.Deletes {
		out = append(out, "delete "+d.String())
	}
	for _, v := range p.Replaces {
		out = append(out, fmt.Sprintf("replace %s %s", v.Path, v.Node.JSON()))
	}
	for _, v := range p.Updates {
		out = append(out, fmt.Sprintf("update %s %s", v.Path, v.Node.JSON()))
	}
	return out
}
