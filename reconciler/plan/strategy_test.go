package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// strategy is a device's, by its document's fields.
func strategy(t *testing.T, apply models.Apply, phases [][]string, manage ...string) Strategy {
	t.Helper()
	s := tree.OpenConfig()
	how, err := For(s, models.Device{Apply: apply, Phases: phases}, scope(t, s, manage...))
	if err != nil {
		t.Fatal(err)
	}
	return how
}

func mustPath(t *testing.T, text string) tree.Path {
	t.Helper()
	p, err := tree.ParsePath(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// requests are a plan's, an operation a word: "-path", "=path" replaced, "+path"
// updated.
func requests(p *Plan) []string {
	var out []string
	for _, r := range p.Requests() {
		var ops []string
		for _, d := range r.Deletes {
			ops = append(ops, "-"+d.String())
		}
		for _, v := range r.Replaces {
			ops = append(ops, "="+v.Path.String())
		}
		for _, v := range r.Updates {
			ops = append(ops, "+"+v.Path.String())
		}
		out = append(out, strings.Join(ops, " "))
	}
	return out
}

const (
	rootsRunning = `{"system":{"config":{"hostname":"a","motd-banner":"x"},"dns":{"config":{"search":["a"]}}},
		"interfaces":{"interface":[
			{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":1500}},
			{"name":"Ethernet2","config":{"name":"Ethernet2","description":"old"}}]}}`
	rootsIntended = `{"system":{"config":{"hostname":"b"},"dns":{"config":{"search":["a"]}}},
		"interfaces":{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":9000},"ethernet":{"config":{"auto-negotiate":false}}}]}}`
)

func TestOnlyWholeManagedRootsThatDifferAreReplaced(t *testing.T) {
	for _, c := range []struct {
		what   string
		manage []string
		spared []string
		want   string
		notes  []string
	}{
		{
			what: "containers", manage: []string{"/system/config", "/system/dns", "/interfaces"},
			want: "=/interfaces =/system/config",
		},
		{
			what: "one within another", manage: []string{"/system/config", "/system", "/interfaces"},
			want: "=/interfaces =/system",
		},
		{
			what: "everything", manage: []string{"/"},
			want: "=/interfaces =/system",
		},
		{
			what: "entries by a pattern", manage: []string{"/interfaces/interface[name=Eth*]"},
			want: "-/interfaces/interface[name=Ethernet2] =/interfaces/interface[name=Ethernet1]",
		},
		{
			what: "below entries", manage: []string{"/interfaces/interface/config"},
			want:  "-/interfaces/interface[name=Ethernet2]/config/description =/interfaces/interface[name=Ethernet1]/config",
			notes: []string{"/interfaces/interface[name=Ethernet2]/config is changed entry by entry: nothing is intended there"},
		},
		{
			what: "a leaf", manage: []string{"/system/config/hostname"},
			want: "+/system/config/hostname",
		},
		{
			what: "an exclusion below", manage: []string{"/interfaces", "!/interfaces/interface[name=mgmt0]", "/system/config"},
			want: "-/interfaces/interface[name=Ethernet2] =/system/config +/interfaces/interface[name=Ethernet1]/config/mtu" +
				" +/interfaces/interface[name=Ethernet1]/ethernet/config/auto-negotiate",
			notes: []string{"/interfaces is changed entry by entry: not all below it is managed"},
		},
		{
			what: "an exclusion within all entries", manage: []string{"/interfaces/interface[name=Ethernet*]", "!/interfaces/interface/subinterfaces"},
			want: "-/interfaces/interface[name=Ethernet2]/config/description +/interfaces/interface[name=Ethernet1]/config/mtu" +
				" +/interfaces/interface[name=Ethernet1]/ethernet/config/auto-negotiate",
			notes: []string{
				"/interfaces/interface[name=Ethernet1] is changed entry by entry: not all below it is managed",
				"/interfaces/interface[name=Ethernet2] is changed entry by entry: not all below it is managed",
			},
		},
		{
			what: "an exclusion elsewhere", manage: []string{"/system", "/interfaces", "!/lldp"},
			want: "=/interfaces =/system",
		},
		{
			what: "what came along", manage: []string{"/system", "/interfaces"}, spared: []string{"/system/config/domain-name"},
			want:  "-/system/config/motd-banner =/interfaces +/system/config/hostname",
			notes: []string{"/system is changed entry by entry: leaves that came along with a Set are left alone below it (1)"},
		},
	} {
		how := strategy(t, models.ApplyRoot, nil, c.manage...)
		for _, s := range c.spared {
			how.Spared = append(how.Spared, mustPath(t, s))
		}
		running, intended := how.Scope.Filter(mustParse(t, rootsRunning)), how.Scope.Filter(mustParse(t, rootsIntended))
		p := how.Diff(running, intended, intended)
		if diff := cmp.Diff([]string{c.want}, requests(p)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.what, diff)
		}
		if diff := cmp.Diff(c.notes, p.Notes); diff != "" {
			t.Errorf("%s: notes (-want +got):\n%s", c.what, diff)
		}
		for _, v := range p.Replaces {
			if !v.Node.SameAs(intended.Lookup(v.Path)) {
				t.Errorf("%s: %s is replaced by %s", c.what, v.Path, v.Node.JSON())
			}
		}
		if diff := cmp.Diff(changes(DiffScoped(how.Scope, running, intended)), changes(p)); diff != "" {
			t.Errorf("%s: what guards see differs (-entries +root):\n%s", c.what, diff)
		}
	}
}

func changes(p *Plan) []string {
	var out []string
	for _, c := range p.Changes {
		out = append(out, op(c)+" "+c.Path.String())
	}
	return out
}

func TestPhasesGoForwardInWritesAndBackwardInDeletes(t *testing.T) {
	const notAtomic = "sent in %d phases, not atomic: a refusal leaves the earlier ones done"
	both := [][]string{{"/system"}, {"/interfaces"}}
	for _, c := range []struct {
		what     string
		phases   [][]string
		apply    models.Apply
		running  string
		intended string
		want     []string
	}{
		{
			what: "deletes of the last phase first", phases: both, running: rootsRunning, intended: rootsIntended,
			want: []string{
				"-/interfaces/interface[name=Ethernet2]",
				"-/system/config/motd-banner +/system/config/hostname",
				"+/interfaces/interface[name=Ethernet1]/config/mtu +/interfaces/interface[name=Ethernet1]/ethernet/config/auto-negotiate",
			},
		},
		{
			what: "by root", phases: both, apply: models.ApplyRoot, running: rootsRunning, intended: rootsIntended,
			want: []string{"=/system", "=/interfaces"},
		},
		{
			what: "one phase alone is one request", phases: both,
			running:  `{"interfaces":{"interface":[{"name":"a","config":{"name":"a"}}]}}`,
			intended: `{"interfaces":{"interface":[{"name":"b","config":{"name":"b"}}]}}`,
			want:     []string{"-/interfaces/interface[name=a] =/interfaces/interface[name=b]"},
		},
		{
			what: "what no phase names comes last", phases: [][]string{{"/system/config/hostname"}}, running: `{}`,
			intended: `{"lldp":{"config":{"enabled":false}},"system":{"config":{"hostname":"a","motd-banner":"b"}}}`,
			want:     []string{"+/system/config/hostname", "+/lldp/config/enabled +/system/config/motd-banner"},
		},
		{
			what: "a new entry is taken apart", phases: [][]string{{"/interfaces"}, {"/interfaces/interface/subinterfaces"}}, running: `{}`,
			intended: `{"interfaces":{"interface":[{"name":"a","config":{"name":"a","mtu":1500},
				"subinterfaces":{"subinterface":[{"index":0,"config":{"index":0}}]}}]}}`,
			want: []string{
				"+/interfaces/interface[name=a]/config/name +/interfaces/interface[name=a]/config/mtu",
				"=/interfaces/interface[name=a]/subinterfaces/subinterface[index=0]",
			},
		},
		{
			what: "an entry that goes is not", phases: [][]string{{"/interfaces"}, {"/interfaces/interface/subinterfaces"}}, intended: `{}`,
			running: `{"interfaces":{"interface":[{"name":"a","config":{"name":"a","mtu":1500},
				"subinterfaces":{"subinterface":[{"index":0,"config":{"index":0}}]}}]}}`,
			want: []string{"-/interfaces/interface[name=a]"},
		},
		{
			what: "phases by key", phases: [][]string{{"/interfaces/interface[name=b*]"}}, running: `{}`,
			intended: `{"interfaces":{"interface":[{"name":"a","config":{"name":"a"}},{"name":"b1","config":{"name":"b1"}}]}}`,
			want:     []string{"=/interfaces/interface[name=b1]", "=/interfaces/interface[name=a]"},
		},
	} {
		how := strategy(t, c.apply, c.phases, "/system", "/interfaces", "/lldp")
		intended := mustParse(t, c.intended)
		p := how.Diff(mustParse(t, c.running), intended, intended)
		if diff := cmp.Diff(c.want, requests(p)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.what, diff)
		}
		var note []string
		if len(c.want) > 1 {
			note = []string{fmt.Sprintf(notAtomic, len(c.want))}
		}
		if diff := cmp.Diff(note, p.Notes); diff != "" {
			t.Errorf("%s: notes (-want +got):\n%s", c.what, diff)
		}
	}
}

func TestARootThatPhasesDivideIsNotReplacedWhole(t *testing.T) {
	how := strategy(t, models.ApplyRoot, [][]string{{"/system/dns"}, {"/system"}}, "/system")
	intended := mustParse(t, `{"system":{"config":{"hostname":"b"},"dns":{"config":{"search":["b"]}}}}`)
	p := how.Diff(mustParse(t, `{}`), intended, intended)
	if diff := cmp.Diff([]string{"=/system/dns/config/search", "+/system/config/hostname"}, requests(p)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(p.Notes) != 2 || p.Notes[0] != "/system is changed entry by entry: its phases write below it one after the other" {
		t.Errorf("notes %q", p.Notes)
	}
}

// What a device shows in another form is no difference, and is sent as it is meant
// where an operation writes around it.
func TestAnOperationWritesWhatIsMeantAndNotWhatIsExpected(t *testing.T) {
	const config = `{"system":{"config":{"hostname":%q},"aaa":{"authentication":{"admin-user":{"config":{"admin-password":%q}}}}}}`
	running, expected := mustParse(t, fmt.Sprintf(config, "a", "$6$x")), mustParse(t, fmt.Sprintf(config, "b", "$6$x"))
	meant := mustParse(t, fmt.Sprintf(config, "b", "clear"))
	p := strategy(t, models.ApplyRoot, nil, "/system").Diff(running, expected, meant)
	if len(p.Changes) != 1 || len(p.Replaces) != 1 || !p.Replaces[0].Node.SameAs(meant.Lookup(mustPath(t, "/system"))) {
		t.Errorf("%+v", p)
	}
}

func TestEveryStrategyMakesRunningIntoIntended(t *testing.T) {
	s := tree.OpenConfig()
	tops := []string{"/interfaces", "/network-instances", "/system", "/lldp", "/acl", "/routing-policy"}
	below := []string{
		"/interfaces/interface/subinterfaces", "/network-instances/network-instance/protocols", "/system/aaa", "/system/dns/servers",
		"/acl/acl-sets/acl-set/acl-entries", "/routing-policy/policy-definitions/policy-definition/statements",
	}
	several := 0
	for seed := range uint64(400) {
		g := generator{rand.New(rand.NewPCG(seed, 3))}
		var manage []string
		var spared []*tree.Scope
		for _, p := range slices.Concat(tops, below) {
			if g.IntN(3) > 0 {
				manage = append(manage, p)
			} else if strings.Count(p, "/") > 1 {
				manage = append(manage, "!"+p)
				spared = append(spared, scope(t, s, p))
			}
		}
		var phases [][]string
		for range g.IntN(4) {
			phases = append(phases, []string{slices.Concat(tops, below)[g.IntN(len(tops)+len(below))]})
		}
		how := strategy(t, []models.Apply{"", models.ApplyRoot}[g.IntN(2)], phases, manage...)
		was := g.some(s)
		is := clone(t, was)
		g.mutate(is, s.Root, 2+int(seed%5))
		prune(is)
		a, b := parse(t, s, was), how.Scope.Filter(parse(t, s, is))

		p := how.Diff(how.Scope.Filter(a), b, b)
		dev := &target{t, s, load(t, a.Canonical())}
		for _, r := range p.Requests() {
			if r.Empty() {
				t.Fatalf("seed %d: an empty request", seed)
			}
			dev.set(r)
		}
		if len(p.Requests()) > 1 {
			several++
		}
		got := parse(t, s, dev.root)
		if rest := DiffScoped(how.Scope, how.Scope.Filter(got), b); !rest.Empty() {
			t.Fatalf("seed %d, managed %q, phases %q: the plan\n%s\nleaves\n%s", seed, manage, phases, text(t, p, Options{Form: GNMI}), text(t, rest, Options{}))
		}
		for _, e := range spared {
			if !e.Filter(got).Equal(e.Filter(a)) {
				t.Fatalf("seed %d, managed %q: the plan\n%s\ntouches what is not managed:\n%s", seed, manage,
					text(t, p, Options{Form: GNMI}), text(t, Diff(e.Filter(a), e.Filter(got)), Options{}))
			}
		}
	}
	if several < 20 {
		t.Errorf("only %d plans had several requests", several)
	}
}

func TestAnEntryThatComesIsReplacedOnce(t *testing.T) {
	how := strategy(t, models.ApplyRoot, nil, "/interfaces/interface[name=*]")
	intended := mustParse(t, `{"interfaces":{"interface":[{"name":"a","config":{"name":"a"}}]}}`)
	if got := requests(how.Diff(mustParse(t, `{}`), intended, intended)); len(got) != 1 || got[0] != "=/interfaces/interface[name=a]" {
		t.Errorf("%q", got)
	}
}

// A root for each of 2,000 interfaces.
func BenchmarkByRoot(b *testing.B) {
	s := tree.OpenConfig()
	config := func(mtu int) *tree.Tree {
		var entries []string
		for i := range 2000 {
			entries = append(entries, fmt.Sprintf(`{"name":"e%d","config":{"name":"e%d","mtu":%d,"description":"%d"}}`, i, i, mtu, mtu))
		}
		return mustParse(b, `{"interfaces":{"interface":[`+strings.Join(entries, ",")+`]}}`)
	}
	scope, err := tree.NewScope(s, []string{"/interfaces/interface[name=e*]"})
	if err != nil {
		b.Fatal(err)
	}
	running, intended := config(1500), config(9000)
	for b.Loop() {
		if p := (Strategy{Scope: scope, Root: true}).Diff(running, intended, intended); len(p.Replaces) != 2000 {
			b.Fatalf("%d replaces", len(p.Replaces))
		}
	}
}

func TestPhasesThatAreNoPathsAreAnError(t *testing.T) {
	s := tree.OpenConfig()
	_, err := For(s, models.Device{Phases: [][]string{{"/sytem"}}}, scope(t, s, "/"))
	if err == nil || !strings.Contains(err.Error(), "sytem") {
		t.Error(err)
	}
}
