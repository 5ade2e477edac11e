package renderer

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

func TestSelectorsMeanWhatKubernetesMeans(t *testing.T) {
	labels := map[string]string{"role": "leaf", "site": "lon1", "legacy": ""}
	for text, want := range map[string]bool{
		"*":                        true,
		"role=leaf":                true,
		"role==leaf":               true,
		"role=spine":               false,
		"role!=spine":              true,
		"role!=leaf":               false,
		"none!=x":                  true, // absent is different
		"site in (lon1,lon2)":      true,
		"site in (lon2)":           false,
		"none in (a)":              false,
		"site notin (lon1)":        false,
		"site notin (lon2)":        true,
		"none notin (a)":           true,
		"legacy":                   true,
		"!legacy":                  false,
		"!none":                    true,
		"none":                     false,
		"role=leaf,site=lon1":      true,
		"role=leaf,site=lon2":      false,
		" role = leaf , !none ":    true,
		"role=leaf,site in (lon1)": true,
	} {
		s, err := parseSelector(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := s.matches(labels); got != want {
			t.Errorf("%q matches: %t, want %t", text, got, want)
		}
	}
}

func TestSelectorErrorsSayWhere(t *testing.T) {
	for text, want := range map[string]int{
		"":              0,
		"a,":            2,
		"a b":           2,
		"a in b":        5,
		"a in (b":       7,
		"a in ()":       6,
		"a=":            2,
		"=a":            0,
		"a,,b":          2,
		"!":             1,
		"a!b":           1,
		"a=b,c=d e=f":   8,
		"a in (b) c":    9,
		"a=" + long(64): 2,
	} {
		_, err := parseSelector(text)
		e, ok := err.(*selectorError)
		if !ok || e.offset != want {
			t.Errorf("%q: %v at %d, want %d", text, err, e.offset, want)
		}
	}
}

func long(n int) string { return strings.Repeat("x", n) }

func FuzzSelector(f *testing.F) {
	for _, s := range []string{"*", "role=leaf,site in (lon1,lon2),!legacy", "a!=b", "a notin (b)", "a in (", "!!a", "ü=ä", "a==b==c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSelector(text)
		if err == nil {
			s.matches(map[string]string{"role": "leaf"})
			return
		}
		e, ok := err.(*selectorError)
		if !ok || e.offset < 0 || e.offset > len(text) || e.msg == "" {
			t.Errorf("%q: %#v", text, err)
		}
	})
}

func TestIgnorePatternsAreGitignores(t *testing.T) {
	l := &ledger{}
	g := parseIgnore("# comment\n\n*.draft.yaml\nscratch/\n/only-root\na/b\nx/**/z\n!keep.draft.yaml\n", l)
	if len(l.list) > 0 {
		t.Fatal(l.list)
	}
	for name, want := range map[string]bool{
		"a.draft.yaml":           true,
		"deep/down/a.draft.yaml": true,
		"keep.draft.yaml":        false,
		"deep/scratch/":          true,
		"scratch":                false, // a file
		"only-root":              true,
		"deep/only-root":         false,
		"a/b":                    true,
		"c/a/b":                  false,
		"x/z":                    true,
		"x/y/y/z":                true,
		"other.yaml":             false,
	} {
		name, folder := strings.CutSuffix(name, "/")
		if got := g.skips(name, folder); got != want {
			t.Errorf("%s skipped: %t, want %t", name, got, want)
		}
	}
}

func TestNearNamesAreOneSlipAway(t *testing.T) {
	names := []string{"interfaces", "interface", "system", "acl"}
	for word, want := range map[string]string{
		"interfaecs": "interfaces",
		"sytem":      "system",
		"System":     "system",
		"alc":        "acl",
		"qos":        "",
		"":           "",
		long(70):     "",
	} {
		if got := tree.Near(word, names); got != want {
			t.Errorf("Near(%q) = %q, want %q", word, got, want)
		}
	}
}

// A tree of one file must never end Render but by its result, and every mistake
// stands inside the file.
func FuzzRenderFile(f *testing.F) {
	f.Add([]byte("apiVersion: setpoint/v1\nkind: Device\nmetadata: {name: a, labels: {x: y}}\nspec: {address: 192.0.2.1, credentials: c, manage: [/interfaces], vars: {m: 9000}, openconfig: {interfaces: {interface: [{name: \"E${labels.x}\", config: {mtu: \"${vars.m}\"}}]}}}\n---\napiVersion: setpoint/v1\nkind: Group\nmetadata: {name: g}\nfor: {selector: x=y}\nspec: {vars: &v {a: 1}, openconfig: {<<: {system: {config: {hostname: h}}}}}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("a:\n\t- b\n"))
	f.Add([]byte("? [a]\n: b\n"))
	f.Add([]byte("%YAML 1.1\n---\n!!set {a}\n"))
	f.Add([]byte("a: 'b\n\n\nc"))
	f.Add([]byte("apiVersion: setpoint/v1\nkind: K\nmetadata: {name: k}\nfor: {selector: '*'}\nspec: {a: 1e400, b: .inf, c: 0x_1, d: 99999999999999999999}\n---\napiVersion: setpoint/v1\nkind: Device\nmetadata: {name: a}\nspec: {address: a, credentials: c, manage: [/]}\n"))
	var shared Renderer // or every input would compile the kinds anew
	f.Fuzz(func(t *testing.T, data []byte) {
		kind := []byte("package kinds\n#K: {spec: {...}, device: {name: string}, openconfig: system: config: hostname: device.name}\n")
		r, err := shared.Render(context.Background(), fstest.MapFS{"f.yaml": {Data: data}, "kinds/k.cue": {Data: kind}})
		if err != nil {
			t.Fatal(err)
		}
		lines := 1 + bytes.Count(data, []byte("\n"))
		for _, m := range r.Mistakes {
			if m.File != "f.yaml" || m.Line > lines+1 || m.Message == "" || codes[m.Code] == "" {
				t.Errorf("%+v in %d lines", m, lines)
			}
		}
	})
}

func FuzzResolve(f *testing.F) {
	for _, s := range []string{"${name}", "$${name}", "a${vars.x}b", "${", "${}", "${vars.}", "${labels.a}${labels.a}", "$$${name}", "}${name"} {
		f.Add(s)
	}
	vars := &node{shape: mapping, fields: []field{{name: "x", value: &node{shape: integer, text: "1"}}}}
	refs := &scope{name: "leaf01", labels: map[string]string{"a": "b"}, vars: vars}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := refs.resolve(&node{shape: text, text: s})
		if err != nil {
			if err.offset < 0 || err.offset > len(s) || err.msg == "" {
				t.Errorf("%q: %+v", s, err)
			}
			return
		}
		if !strings.Contains(s, "${") && v.text != s {
			t.Errorf("%q became %q", s, v.text)
		}
	})
}

func TestOverlayLeavesItsArgumentsAlone(t *testing.T) {
	docs := func(s string) *node {
		p := parseFile(source{name: "f.yaml", data: []byte(s)})
		if len(p.list) > 0 {
			t.Fatal(p.list)
		}
		return p.docs[0]
	}
	base, over := docs("{a: 1, m: {x: 1, y: [1]}}"), docs("{b: 2, m: {y: [2, 3], z: 3}}")
	got := plainValue(overlay(base, over, nil))
	want := map[string]any{"a": int64(1), "b": int64(2), "m": map[string]any{"x": int64(1), "y": []any{int64(2), int64(3)}, "z": int64(3)}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]any{"a": int64(1), "m": map[string]any{"x": int64(1), "y": []any{int64(1)}}}, plainValue(base)); d != "" {
		t.Errorf("base changed: %s", d)
	}
}

func TestSyntaxErrorsAreFoundWhereTheyBegin(t *testing.T) {
	for text, want := range map[string]int{
		"a: 1\nb: [1,\n  2]\nc: x: y\nd: 1\n":                       4,
		"a: \"x\nb: 1\nc: 2\n":                                      1,
		"a: 1\n---\nb: 2\n---\nc: {\n":                              5,
		"a: |\n  text\n  more\nb: 'it''s'\nc: it's: bad\n":          5,
		strings.Repeat("k: [1, 2]\n---\n", 50) + "x: ]\n":           101,
		strings.Repeat("k: [1,\n 2]\n---\n", 150) + "x: *nothing\n": 451,
	} {
		p := parseFile(source{name: "f.yaml", data: []byte(text)})
		if p.sound || len(p.list) != 1 || p.list[0].at.line != want {
			t.Errorf("%q: %+v, want line %d", cut(text, 40), p.list, want)
		}
	}
}

// Every leafref of the models is compiled, or newly generated models would be
// accepted with references nobody looks at.
func TestEveryLeafrefIsCompiled(t *testing.T) {
	r := newReferee(t)
	leafrefs := 0
	for n := range r.refs {
		if n.Type == nil {
			t.Errorf("%s is no leaf", n.Path())
		}
		leafrefs++
	}
	if leafrefs < 400 {
		t.Errorf("%d leafrefs", leafrefs)
	}
}

func TestEveryListHasItsStruct(t *testing.T) {
	r := newReferee(t)
	for n := range r.refs {
		for p := n.Parent; p != nil; p = p.Parent {
			if len(p.Keys) > 0 && r.checker.types[p] == nil {
				t.Errorf("%s has no Go struct", p.Path())
			}
		}
	}
}

// ownKinds are kinds of a repo with this one file.
func ownKinds(t testing.TB, text string) *kinds {
	t.Helper()
	l := &ledger{}
	k, err := new(Renderer).compile(t.Context(), []source{{name: "kinds/k.cue", data: []byte(text)}}, l)
	if err != nil || len(l.list) > 0 {
		t.Fatal(err, l.list)
	}
	return k
}

func aLeaf() *subject { return &subject{deviceDoc: &deviceDoc{Device: models.Device{Name: "leaf"}}} }

func TestRecycledContextsGiveTheSame(t *testing.T) {
	k := ownKinds(t, "package kinds\n#K: {spec: a: int, device: name: string, openconfig: system: config: hostname: \"\\(device.name)\\(spec.a)\"}\n")
	r := &requestDoc{kind: "K", spec: parseFile(source{name: "f.yaml", data: []byte("{a: 7}")}).docs[0], value: []byte(`{"a":7}`)}
	for i := range recycleAfter + 2 {
		device := fmt.Sprintf(`{"name":"leaf%d"}`, i)
		n, mistakes, err := k.evaluate(t.Context(), r, aLeaf(), []byte(device))
		if want := fmt.Sprintf("leaf%d7", i); err != nil || len(mistakes) > 0 || n.get("system").get("config").get("hostname").text != want {
			t.Fatalf("evaluation %d: %v, %v", i, mistakes, err)
		}
	}
	if used := k.here.idle[0].compiled[k.program.id].used; used > recycleAfter {
		t.Errorf("a context served %d evaluations", used)
	}
}

func TestACrashInCUEIsTheDocumentsMistake(t *testing.T) {
	k := ownKinds(t, "package kinds\n#K: {spec: {}, device: {...}, openconfig: {}}\n")
	r := &requestDoc{kind: "Gone", spec: &node{shape: mapping}, specAt: place{"r.yaml", 5, 1}, value: []byte("{}")}
	n, mistakes, err := k.evaluate(t.Context(), r, aLeaf(), []byte("{}"))
	if n != nil || err != nil || len(mistakes) != 1 || mistakes[0].at != r.specAt || mistakes[0].code != codeKindFailed && mistakes[0].code != codeKindCrash {
		t.Errorf("%v, %v, %v", n, mistakes, err)
	}
}

// What a kind can't see must make no difference to it, so a view that is too
// narrow would give one device another's config.
func TestAViewHoldsAllThatAKindLooksAt(t *testing.T) {
	all := view{All: true}
	for text, want := range map[string]view{
		`{spec: {}, device: {...}, openconfig: {}}`:                                    {},
		`{spec: {}, device: {name: string}, openconfig: {a: device.name}}`:             {Name: true},
		`{spec: {}, device: {vars: {asn: int, ...}, links: [...]}, openconfig: {}}`:    {Vars: true, Links: true},
		`{spec: {}, device: {labels?: {...}}, openconfig: {}}`:                         {Labels: true},
		`{spec: {}, device: {...}, openconfig: {a: device.name}}`:                      all,
		`{spec: {}, device: {...}, openconfig: {a: "\\(device.name)"}}`:                all,
		`{spec: {}, device: {...}, let d = device, openconfig: {}}`:                    all,
		`{spec: {}, device: {...}, openconfig: {if device.vars.x != _|_ {}}}`:          all,
		`{spec: {}, device: {name: string, ...}, openconfig: {}}`:                      all,
		`{spec: {}, device: {[string]: _}, openconfig: {}}`:                            all,
		`{spec: {}, device: #Device, openconfig: {}}`:                                  all,
		`{spec: {}, device: {name: string}, device: {vars: {}}, openconfig: {}}`:       all,
		`{#Base, spec: {}, device: {...}, openconfig: {}}`:                             all,
		`#Base & {spec: {}, device: {...}, openconfig: {}}`:                            all,
		`X={spec: {}, device: {...}, openconfig: {a: X["device"]}}`:                    all,
		`{spec: {}, openconfig: {}}`:                                                   all,
		`{spec: {}, device: {...}, openconfig: {}}` + "\n#K: {device: {name: string}}": all,
		`{spec: {}, device: {name: string, serial: string}, openconfig: {}}`:           all,
		`{spec: {}, if true {device: {vars: {...}}}, device: {...}, openconfig: {}}`:   all,
	} {
		s := programSource{Package: "kinds", Files: []programFile{{"kinds/k.cue", []byte("package kinds\n#K: " + text + "\n")}}}
		list, err := decodeDescription(s.describe(&question{Output: openconfigPart}, nil).value)
		if err != nil || list[len(list)-1].Name != "K" || list[len(list)-1].Sees != want {
			t.Errorf("%s: %+v, want %+v", text, list, want)
		}
	}
	library := libraryViews()
	for kind, want := range map[string]view{"VLANs": {}, "AccessPorts": {}, "System": {Name: true}, "Underlay": {Name: true, Vars: true, Links: true}} {
		if library[kind] != want {
			t.Errorf("%s: %+v, want %+v", kind, library[kind], want)
		}
	}
}
