package renderer

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// FuzzOverlay holds what merging vars promises: what lies over stands, what is only
// below stays, and only values that differ are told.
func FuzzOverlay(f *testing.F) {
	for _, s := range [][2]string{
		{"{a: 1, m: {x: 1, y: [1]}}", "{b: 2, m: {y: [2, 3], z: 3}}"},
		{"{a: {b: {c: 1}}}", "{a: {b: 2}}"},
		{"{a: 010, b: ~}", "{a: 8, b: {}}"},
		{"{}", "{a: b}"},
		{"{a: 1.0}", "{a: 1}"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		base, over := vars(a), vars(b)
		if base == nil || over == nil {
			return
		}
		before := fmt.Sprint(plainValue(base), plainValue(over))
		told := 0
		merged := overlay(base, over, func(path string, x, y *node) {
			if told++; x.equal(y) || path == "" {
				t.Errorf("%q: %s and %s are told to differ", path, x.brief(), y.brief())
			}
		})
		if after := fmt.Sprint(plainValue(base), plainValue(over)); after != before {
			t.Fatalf("an argument changed: %s became %s", before, after)
		}
		lies(t, "", merged, over)
		for _, name := range base.fields {
			if merged.get(name.name) == nil {
				t.Errorf("%s is gone", name.name)
			}
		}
		if again := overlay(merged, over, nil); !again.equal(merged) {
			t.Errorf("laid over twice it differs: %v, %v", plainValue(merged), plainValue(again))
		}
		if told == 0 {
			if other := overlay(over, base, nil); !other.equal(merged) {
				t.Errorf("nothing differs, and the order matters: %v, %v", plainValue(merged), plainValue(other))
			}
		}
	})
}

// lies checks that all of over is in merged.
func lies(t *testing.T, path string, merged, over *node) {
	if over.shape != mapping {
		if !merged.equal(over) {
			t.Errorf("%s is %s, not %s", path, merged.brief(), over.brief())
		}
		return
	}
	for _, f := range over.fields {
		below := merged.get(f.name)
		if below == nil {
			t.Errorf("%s.%s is gone", path, f.name)
			continue
		}
		lies(t, path+"."+f.name, below, f.value)
	}
}

// vars is a mapping as YAML, nil for anything else.
func vars(text string) *node {
	p := parseFile(source{name: "f.yaml", data: []byte(text)})
	if !p.sound || len(p.list) > 0 || len(p.docs) != 1 || p.docs[0].shape != mapping {
		return nil
	}
	return p.docs[0]
}

// FuzzPortRange holds the library's #Ports, which kinds share, against an expansion
// that is written for this test alone.
func FuzzPortRange(f *testing.F) {
	for _, s := range []string{
		"Ethernet7", "Ethernet[1-5]", "et-0/0/[0-47]", "ethernet-1/[1-4]", "Ethernet[1,3,5-8]", "Ethernet[1-2]/[1-4]", "a[0]b[9]c", "Ethernet[5-1]",
		"Ethernet[0-256]", "Ethernet[0-255]", "Ethernet[01]", "Ethernet[1-", "Ethernet[]", "Ethernet[1,]", "[1-2]", "a[1]b[2]c[3]", "a[1-2-3]", "a]", "a[-1]", "é[1-2]",
		"a[1,1]", "a\\[1-2]", "a b", "$[1-2]", "a[999]", "a[1000]", "a-[1-2]-b", "a[1-2][1-2]",
	} {
		f.Add(s)
	}
	kind := []byte("package kinds\n#K: {spec: ports: [...#PortRange], device: {...}, openconfig: interfaces: interface: [for p in (#Ports & {in: spec.ports}).out {name: p}]}\n")
	var r Renderer
	f.Fuzz(func(t *testing.T, text string) {
		quoted, err := json.Marshal(text)
		if err != nil || len(text) > 80 || !visible(text) || strings.Contains(text, "${") {
			return
		}
		doc := fmt.Sprintf("apiVersion: setpoint/v1\nkind: Device\nmetadata: {name: a}\nspec: {address: a, credentials: c, manage: [/interfaces]}\n---\napiVersion: setpoint/v1\nkind: K\nmetadata: {name: k}\nfor: {devices: [a]}\nspec: {ports: [%s]}\n", quoted)
		res, err := r.Render(context.Background(), fstest.MapFS{"a.yaml": {Data: []byte(doc)}, "kinds/k.cue": {Data: kind}})
		if err != nil {
			t.Fatal(err)
		}
		want, ok := expand(text)
		if !ok {
			if len(res.Mistakes) == 0 || res.Mistakes[0].Line != 10 {
				t.Errorf("%q is no port range: %v", text, res.Mistakes)
			}
			return
		}
		if len(res.Mistakes) > 0 {
			t.Fatalf("%q is %v: %v", text, want, res.Mistakes)
		}
		var got struct {
			I struct {
				Interface []struct{ Name string } `json:"interface"`
			} `json:"openconfig-interfaces:interfaces"`
		}
		if err := json.Unmarshal(res.Devices[0].Config, &got); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, i := range got.I.Interface {
			names = append(names, i.Name)
		}
		slices.Sort(want)
		slices.Sort(names)
		if !slices.Equal(names, want) {
			t.Errorf("%q: %v, want %v", text, names, want)
		}
	})
}

func visible(s string) bool {
	return strings.ToValidUTF8(s, "") == s && !strings.ContainsFunc(s, func(r rune) bool { return unseen(r) != "" || r == 0x85 || r == 0x2028 || r == 0x2029 })
}

// expand is what a port range means; ok is false for what is none, and for one that
// names a port twice.
func expand(text string) (names []string, ok bool) {
	parts := regexp.MustCompile(`\[[^\[\]]*\]`).Split(text, -1)
	brackets := regexp.MustCompile(`\[[^\[\]]*\]`).FindAllString(text, -1)
	if parts[0] == "" || len(brackets) > 2 || strings.ContainsAny(strings.Join(parts, ""), "[] \t\r\n\f,") {
		return nil, false
	}
	names = []string{parts[0]}
	for i, b := range brackets {
		numbers, ok := numbersOf(b[1 : len(b)-1])
		if !ok {
			return nil, false
		}
		var longer []string
		for _, name := range names {
			for _, n := range numbers {
				longer = append(longer, fmt.Sprintf("%s%d%s", name, n, parts[i+1]))
			}
		}
		names = longer
	}
	once := slices.Compact(slices.Sorted(slices.Values(names)))
	return names, len(once) == len(names)
}

func numbersOf(list string) (out []int, ok bool) {
	for _, run := range strings.Split(list, ",") {
		first, last, isRun := strings.Cut(run, "-")
		if !isRun {
			last = first
		}
		from, ok1 := portNumber(first)
		to, ok2 := portNumber(last)
		if !ok1 || !ok2 || to < from || to-from > 255 {
			return nil, false
		}
		for n := from; n <= to; n++ {
			out = append(out, n)
		}
	}
	return out, true
}

func portNumber(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n < 1000 && strconv.Itoa(n) == s && n >= 0
}

// FuzzCanonicalIsAFixedPoint renders a fragment, and what comes out as a fragment
// again: JSON is YAML. The same bytes have to come out.
func FuzzCanonicalIsAFixedPoint(f *testing.F) {
	var r Renderer
	for _, s := range []string{
		`{system: {config: {hostname: a, login-banner: "x\ty \"z\" \\ $${name}"}}}`,
		`{interfaces: {interface: [{name: b, config: {mtu: 1500}}, {name: a, ethernet: {config: {mac-address: AA:BB:CC:00:11:22}}}]}}`,
		`{interfaces: {interface: [{name: a, subinterfaces: {subinterface: [{index: 10}, {index: 9, ipv6: {addresses: {address: [{ip: "2001:DB8:0::1", config: {prefix-length: 64}}]}}}]}}]}}`,
		`{system: {dns: {servers: {server: [{address: 192.0.2.2}, {address: 192.0.2.1}]}, config: {search: [b, a]}}}}`,
		`{lldp: {config: {hello-timer: 9007199254740993}}}`,
	} {
		if _, ok := renderFragment(f, &r, s); !ok {
			f.Fatalf("%s does not render", s)
		}
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, fragment string) {
		once, ok := renderFragment(t, &r, fragment)
		if !ok {
			return
		}
		twice, ok := renderFragment(t, &r, strings.ReplaceAll(once, "${", "$${"))
		if !ok || once != twice {
			t.Errorf("%s becomes %s", once, twice)
		}
	})
}

// renderFragment is the config of a device that has nothing but a fragment; ok is
// false for one that does not render.
func renderFragment(t testing.TB, r *Renderer, fragment string) (config string, ok bool) {
	doc := "apiVersion: setpoint/v1\nkind: Device\nmetadata: {name: a}\nspec:\n  address: a\n  credentials: c\n  manage: [/]\n  openconfig: " + fragment + "\n"
	res, err := r.Render(context.Background(), fstest.MapFS{"a.yaml": {Data: []byte(doc)}})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Mistakes) > 0 || len(res.Devices) != 1 {
		return "", false
	}
	return string(res.Devices[0].Config), true
}

// FuzzCommonPattern: a pattern that editors are given takes what the kind's takes.
func FuzzCommonPattern(f *testing.F) {
	for _, s := range [][2]string{
		{`^\S{1,64}$`, "a b"},
		{`^[^\[\]\s,]+(\[(0|[1-9][0-9]{0,2})\])?$`, "Ethernet[1]"},
		{`^.{1,200}$`, "x\n"},
		{`^secret://[^/\s]+/\S+$`, "secret://a/b"},
		{`[]a]\-{`, "]-{"},
		{`(?i)a[[:alpha:]]\pL`, "Abc"},
		{`[^a-z\d-]`, "-"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		re, err := regexp.Compile(pattern)
		if err != nil {
			return
		}
		common, ok := commonPattern(pattern)
		if !ok {
			return
		}
		again, err := regexp.Compile(common)
		if err != nil || re.MatchString(text) != again.MatchString(text) {
			t.Errorf("%q became %q: %v", pattern, common, err)
		}
	})
}

// JavaScript's \s and "." are others than RE2's, and some of RE2's words it lacks.
func TestPatternsAreGivenInWordsThatEditorsKnow(t *testing.T) {
	for pattern, want := range map[string]string{
		`^\S{1,64}$`: `^[^\t\n\f\r ]{1,64}$`, `[^\s,]\s`: `[^\t\n\f\r ,][\t\n\f\r ]`, `a.\d`: `a[^\n]\d`,
		`(?i)a`: "", `\pL`: "", `[[:alpha:]]`: "", `\z`: "", `a{`: "", `é`: "", `[\w-x]`: "", `(?P<a>b)`: "", `]`: "",
	} {
		if got, ok := commonPattern(pattern); ok != (want != "") || ok && got != want {
			t.Errorf("%s became %s, %v", pattern, got, ok)
		}
	}
}
