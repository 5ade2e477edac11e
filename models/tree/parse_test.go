package tree

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden calls got with every "<name>.in" of an archive, and compares what it
// returns with "<name>" + suffix.
func golden(t *testing.T, file, suffix string, got func(t *testing.T, in []byte) string) {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]*txtar.File{}
	for i := range archive.Files {
		files[archive.Files[i].Name] = &archive.Files[i]
	}
	for _, f := range archive.Files {
		name, ok := strings.CutSuffix(f.Name, ".in")
		if !ok {
			continue
		}
		t.Run(name, func(t *testing.T) {
			want := files[name+suffix]
			if want == nil {
				t.Fatalf("%s: no %s%s", file, name, suffix)
			}
			have := got(t, f.Data)
			if *update {
				want.Data = []byte(have)
				return
			}
			if diff := cmp.Diff(string(want.Data), have); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCanonicalForms(t *testing.T) {
	golden(t, "testdata/canonical.txtar", ".out", func(t *testing.T, in []byte) string {
		tree, err := Parse(OpenConfig(), in)
		if err != nil {
			t.Fatal(err)
		}
		fixedPoint(t, tree)
		return string(tree.Canonical()) + "\n"
	})
}

// fixedPoint checks what Canonical promises of every tree.
func fixedPoint(t *testing.T, tree *Tree) {
	t.Helper()
	text := tree.Canonical()
	again, err := Parse(tree.Schema(), text)
	if err != nil {
		t.Fatalf("the canonical form does not parse: %v\n%s", err, text)
	}
	if diff := cmp.Diff(string(text), string(again.Canonical())); diff != "" {
		t.Errorf("the canonical form is no fixed point:\n%s", diff)
	}
	if !tree.Equal(again) || tree.Hash() != again.Hash() {
		t.Error("a tree does not equal its canonical form")
	}
	if !json.Valid(text) {
		t.Errorf("the canonical form is no JSON: %s", text)
	}
}

func TestParseTellsEveryMistake(t *testing.T) {
	golden(t, "testdata/refused.txtar", ".err", func(t *testing.T, in []byte) string {
		_, err := Parse(OpenConfig(), bytes.TrimSuffix(in, []byte("\n")))
		if err == nil {
			t.Fatal("it was taken")
		}
		for _, e := range mistakes(err) {
			var mistake *Error
			if !errors.As(e, &mistake) {
				t.Errorf("%v is no *Error", e)
			}
		}
		return err.Error() + "\n"
	})
}

func mistakes(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

func TestParseRefusesWhatIsNotUTF8(t *testing.T) {
	for _, in := range []string{"{\"\xff\": 1}", "{\"system\":{\"config\":{\"hostname\":\"a\xc3\"}}}", "\ufeff{}", "{\"system\":{\"config\":{\"hostname\":\"a\nb\"}}}"} {
		if _, err := Parse(OpenConfig(), []byte(in)); err == nil {
			t.Errorf("%q was taken", in)
		}
	}
}

func TestParseBoundsDepthSizeAndMistakes(t *testing.T) {
	deep := `{"x":` + strings.Repeat("[", 10*maxDepth) + strings.Repeat("]", 10*maxDepth) + `}`
	if _, err := Parse(OpenConfig(), []byte(deep)); err == nil || !strings.Contains(err.Error(), "nested deeper than 128") {
		t.Errorf("deep nesting: %v", err)
	}
	large := append(bytes.Repeat([]byte(" "), MaxSize), "{}"...)
	if _, err := Parse(OpenConfig(), large); err == nil || !strings.Contains(err.Error(), "bytes are more than") {
		t.Errorf("a large text: %v", err)
	}
	if _, err := Parse(OpenConfig(), large[2:]); err != nil {
		t.Errorf("the largest text: %v", err)
	}
	var many strings.Builder
	many.WriteString(`{"a0":0`)
	for i := range 2 * maxErrs {
		fmt.Fprintf(&many, `,"b%d":0`, i)
	}
	many.WriteString(`}`)
	_, err := Parse(OpenConfig(), []byte(many.String()))
	all := mistakes(err)
	if len(all) != maxErrs+1 || !strings.Contains(all[maxErrs].Error(), "more mistakes") {
		t.Errorf("%d mistakes are told, the last is %v", len(all), all[len(all)-1])
	}
}

func TestParseLenientLeavesOutWhatTheSchemaHasNot(t *testing.T) {
	tree, unknown, err := ParseLenient(OpenConfig(), []byte(`{
		"vendor-x:feature": {"deep": [1, {"a": "b"}]},
		"network-instances": {"network-instance": [{"name": "n", "protocols": {"protocol": [
			{"identifier": "vendor-x:MAGIC", "name": "m", "bgp": {"neighbors": {"neighbor": [{"neighbor-address": "192.0.2.1"}]}}},
			{"identifier": "oc-pol-types:BGP", "name": "b"}]}}]},
		"openconfig-interfaces:interfaces": {"interface": [{
			"name": "Ethernet1",
			"state": {"mtu": 1500},
			"config": {"name": "Ethernet1", "type": "oc-if:ethernetCsmacd", "mtu": 1500, "vendor-x:speed": 1, "loopback-mode": "SIDEWAYS", "description": null},
			"subinterfaces": null
		}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"openconfig-interfaces:interfaces":{"interface":[{"config":{"mtu":1500,"name":"Ethernet1","type":"iana-if-type:ethernetCsmacd"},"name":"Ethernet1"}]},` +
		`"openconfig-network-instance:network-instances":{"network-instance":[{"name":"n","protocols":{"protocol":[{"identifier":"openconfig-policy-types:BGP","name":"b"}]}}]}}`
	if got := string(tree.Canonical()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var paths []string
	for _, u := range unknown {
		paths = append(paths, u.Path.String())
		if u.Reason == "" {
			t.Errorf("%s: no reason", u.Path)
		}
	}
	wantPaths := []string{
		"/vendor-x:feature",
		"/network-instances/network-instance[name=n]/protocols/protocol/identifier",
		"/interfaces/interface[name=Ethernet1]/state",
		"/interfaces/interface[name=Ethernet1]/config/vendor-x:speed",
		"/interfaces/interface[name=Ethernet1]/config/loopback-mode",
	}
	if diff := cmp.Diff(wantPaths, paths); diff != "" {
		t.Errorf("unknown: -want +got:\n%s", diff)
	}
}

func TestParseLenientRefusesWhatCannotBeActedOn(t *testing.T) {
	for name, in := range map[string]string{
		"cut off":         `{"interfaces": {"interface": [{"name": "Ethernet1"`,
		"a wrong shape":   `{"interfaces": {"interface": "none"}}`,
		"no key":          `{"interfaces": {"interface": [{"config": {"mtu": 1500}}]}}`,
		"duplicates":      `{"interfaces": {"interface": [{"name": "Ethernet1"}, {"name": "Ethernet1"}]}}`,
		"no object":       `null`,
		"nothing":         ``,
		"half a key":      `{"network-instances": {"network-instance": [{"name": "n", "protocols": {"protocol": [{"identifier": "BGP"}]}}]}}`,
		"a wrong leaf":    `{"system": {"config": {"hostname": {"a": 1}}}}`,
		"a double member": `{"system": {"config": {"hostname": "a"}}, "openconfig-system:system": {}}`,
	} {
		if tree, _, err := ParseLenient(OpenConfig(), []byte(in)); err == nil {
			t.Errorf("%s: taken as %s", name, tree.Canonical())
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{"testdata/canonical.txtar", "testdata/refused.txtar"} {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, in := range archive.Files {
			if strings.HasSuffix(in.Name, ".in") {
				f.Add(in.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lenient, unknown, lerr := ParseLenient(OpenConfig(), data)
		tree, err := Parse(OpenConfig(), data)
		if err == nil {
			if !json.Valid(data) {
				t.Fatal("taken, and encoding/json says it is no JSON")
			}
			fixedPoint(t, tree)
			if lerr != nil || len(unknown) > 0 || !lenient.Equal(tree) {
				t.Fatalf("lenient parsing differs: %v %v", lerr, unknown)
			}
			for p, v := range tree.Leaves {
				if tree.Lookup(p) != v {
					t.Fatalf("%s leads elsewhere", p)
				}
			}
		}
		if lerr == nil {
			fixedPoint(t, lenient)
		}
	})
}

// TestAControlCharacterCostsItsLeafAlone reads a banner as some devices send it: it
// is left out and said, and the rest is read.
func TestAControlCharacterCostsItsLeafAlone(t *testing.T) {
	for _, banner := range []string{`hello\u0003`, `hello\b`, `hello\f`} {
		in := `{"openconfig-system:system":{"config":{"hostname":"leaf01","login-banner":"` + banner + `"}}}`
		tree, unknown, err := ParseLenient(OpenConfig(), []byte(in))
		if err != nil {
			t.Fatalf("%s: %v", banner, err)
		}
		if want := `{"openconfig-system:system":{"config":{"hostname":"leaf01"}}}`; string(tree.Canonical()) != want {
			t.Errorf("%s: read %s", banner, tree.Canonical())
		}
		if len(unknown) != 1 || unknown[0].Path.String() != "/system/config/login-banner" {
			t.Errorf("%s: left out %v", banner, unknown)
		}
		if _, err := Parse(OpenConfig(), []byte(in)); err == nil {
			t.Errorf("%s: the strict reader takes it", banner)
		}
	}
}
