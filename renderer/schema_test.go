package renderer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/setpoint-net/setpoint/renderer"
	repotemplate "github.com/setpoint-net/setpoint/repo-template"
)

// schemaOf is the compiled schema of a repo's documents.
func schemaOf(t *testing.T, repo fs.FS) *jsonschema.Schema {
	t.Helper()
	data, mistakes, err := new(renderer.Renderer).Schema(context.Background(), repo)
	if err != nil || len(mistakes) > 0 {
		t.Fatalf("schema: %v, %v", mistakes, err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json") // which holds it to the metaschema
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// misfits are the first objections of a schema to the documents of a YAML file, and
// how many documents there are.
func misfits(t *testing.T, s *jsonschema.Schema, file []byte) (list []error, docs int) {
	t.Helper()
	for d := yaml.NewDecoder(bytes.NewReader(file)); ; {
		var v any
		if err := d.Decode(&v); errors.Is(err, io.EOF) {
			return list, docs
		} else if err != nil {
			t.Fatal(err)
		}
		if v == nil {
			continue
		}
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		docs++
		if err := s.Validate(plain); err != nil {
			list = append(list, err)
		}
	}
}

// fits holds all documents of a repo to its schema, which is builtIn where it has no
// kinds of its own.
func fits(t *testing.T, builtIn *jsonschema.Schema, name string, repo fstest.MapFS) (docs int) {
	t.Helper()
	s := builtIn
	if own, _ := fs.Glob(repo, "kinds/*.cue"); len(own) > 0 {
		s = schemaOf(t, repo)
	}
	for file, f := range repo {
		if ext := path.Ext(file); strings.HasPrefix(file, ".") || strings.Contains(file, "/.") || ext != ".yaml" && ext != ".yml" {
			continue
		}
		list, n := misfits(t, s, f.Data)
		docs += n
		for _, err := range list {
			t.Errorf("%s: %s renders, but: %v", name, file, err)
		}
	}
	return docs
}

func TestTheSchemaTakesWhateverRenders(t *testing.T) {
	s, docs := schemaOf(t, nil), 0
	for _, name := range cases(t) {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(want(archive).Data, []byte("{")) {
			continue
		}
		repo := repoOf(t, archive.Files[:len(archive.Files)-1])
		if _, ok := repo[".setpointignore"]; !ok { // what is ignored may say anything
			docs += fits(t, s, name, repo)
		}
	}
	for name, k := range kinds(t, nil) {
		docs += fits(t, s, name, fstest.MapFS{"fabric.yaml": {Data: []byte(smallFabric)}, "example.yaml": {Data: []byte(k.Example)}})
	}
	docs += fits(t, s, "template", written(t))
	generated := fstest.MapFS{}
	files, err := repotemplate.Fabric(60)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		generated[name] = &fstest.MapFile{Data: data}
	}
	if docs += fits(t, s, "fabric", generated); docs < 700 {
		t.Errorf("%d documents", docs)
	}
}

func TestTheSchemaCatchesTheEverydaySlips(t *testing.T) {
	s := schemaOf(t, nil)
	for _, slip := range []struct{ file, old, now string }{
		{"inventory/devices.yaml", "kind: Device\nmetadata: {name: leaf03", "kind: Devise\nmetadata: {name: leaf03"},
		{"inventory/devices.yaml", "apiVersion: setpoint/v1", "apiVersion: setpoint/v2"},
		{"inventory/devices.yaml", "{address:", "{adress:"},
		{"inventory/links.yaml", "device: leaf02, port: Ethernet50", "device: leaf02, prot: Ethernet50"},
		{"inventory/groups.yaml", "mode: alert", "mode: alarm"},
		{"inventory/groups.yaml", "manage:", "manages:"},
		{"inventory/groups.yaml", "for: {selector", "fro: {selector"},
		{"inventory/rollout.yaml", "percent: 50", "percent: 150"},
		{"inventory/rollout.yaml", "percent: 50", "percent: half"},
		{"fabric/fabric.yaml", "vni: 10020", "vni: ten"},
		{"fabric/policies.yaml", "action: drop", "action: deny"},
		{"fabric/system.yaml", "dns:", "dsn:"},
		{"tenants/tenants.yaml", "folder: ", "foldr: "},
		{"tenants/tenant-a/servers.yaml", "vlan: 10", "vlan: 4095"},
		{"tenants/tenant-a/servers.yaml", "vlan: 10", `vlan: "10"`},
		{"tenants/tenant-a/servers.yaml", "ports: [", "port: ["},
		{"tenants/tenant-b/servers.yaml", "mode: trunk,", "mode: trunck,"},
		{"tenants/tenant-b/servers.yaml", "vlans: [", "vlans: [0, "},
	} {
		data, err := fs.ReadFile(repotemplate.Files, slip.file)
		if err != nil || !strings.Contains(string(data), slip.old) {
			t.Fatalf("%s has no %q: %v", slip.file, slip.old, err)
		}
		if list, _ := misfits(t, s, []byte(strings.Replace(string(data), slip.old, slip.now, 1))); len(list) == 0 {
			t.Errorf("%s: %q passes", slip.file, slip.now)
		}
	}
}

// What CUE says in many ways is read in one sense, or let pass.
func TestASchemaFollowsAKindOrLetsPass(t *testing.T) {
	repo := fstest.MapFS{"fabric.yaml": {Data: []byte(smallFabric)}}
	cue, docs := "package kinds\nimport \"strings\"\n_use: strings.ToUpper(\"x\")\n", ""
	doc := func(i int, spec string) string {
		return fmt.Sprintf("apiVersion: setpoint/v1\nkind: Try%d\nmetadata: {name: a}\nfor: {devices: [leaf01]}\nspec: %s\n---\n", i, spec)
	}
	tries := []struct{ kind, right, wrong string }{
		{"spec: {a: int, b?: string}", "{a: 1}", "{a: 1, c: 2}"},
		{"spec: {a: int, b?: string}", "{a: 1, b: x}", "{b: x}"},
		{"spec: {a: *1 | int & >=0}", "{}", "{a: -1}"},
		{"spec: {a: *0 | int & >=10}", "{a: 0}", "{a: 5}"},
		{`spec: {a!: "x" | "y"}`, "{a: y}", "{a: z}"},
		{"spec: {a: -5, b: 1_000, c: 1K}", "{b: 1000, c: 1000}", "{a: 5}"},
		{"spec: {a: int & >=5 & >=3}", "{a: 5}", "{a: 4}"},
		{"spec: {a: *1 | int, b: a & int}", "{a: 3}", "{a: x}"},
		{"spec: {a: #x}\n\t#x: {b: #y}\n\t#y: int", "{a: {b: 1}}", "{a: {b: z}}"},
		{"spec: {a: {b: int}}", "{a: {b: 1}}", "{}"},
		{"spec: {a: int, a: >5}", "{a: 6}", "{a: 5}"},
		{"spec: {a: int}\n\tspec: {b: int}", "{a: 1, b: 2}", ""},
		{"spec: {mode: *1 | int, b?: int, if mode == 2 {b: 7}}", "{mode: 2}", "{mode: x}"},
		{"spec: {m: {a: 1}, k: *1 | int, if k == 1 {m: {b: int}}}", "{m: {b: 1}}", ""},
		{"spec: {#in, x?: int}\n\t#in: {y: int}", "{y: 1, x: 2}", ""},
		{"spec: {#in}\n\t#in: {y: int}", "{y: 1}", "{z: 1}"},
		{"spec: #in & {y: 2}\n\t#in: {y: int, z?: int}", "{z: 3}", ""},
		{"spec: {[string]: int}", "{a: 1}", "[]"},
		{"spec: {a: int, ...}", "{a: 1, z: 2}", "{z: 2}"},
		{"spec: {a: [int, string], b: [1, ...int]}", "{a: [1, x], b: [1, 2]}", "{a: [1]}"},
		{"spec: {a: [...int]}", "{}", "{a: [x]}"},
		{"spec: {a: strings.MinRunes(2)}", "{a: xy}", ""},
		{"spec: {let n = 4, a: int & <=n}", "{a: 3}", "{a: x}"},
		{"spec: {a: int, b: a}", "{a: 3}", "{a: x}"},
		{"spec: {#in: int, a: #in}\n\t#in: string", "{a: 3}", "{a: x}"},
		{"spec: {string: int, a: string}", "{string: 3}", ""},
		{`spec: {a: =~"^\\s?\\S+\\pL$"}`, `{a: "xé"}`, "{a: 1}"},
		{`spec: {a: =~"^[\\s.]x.$"}`, `{a: ".xy"}`, "{a: xx}"},
		{"spec: {a?: null | #tree}\n\t#tree: {next?: #tree}", "{a: {next: {next: {}}}}", ""},
		{"spec: {a: {b: int} | {c: int}}", "{a: {c: 1}}", "{a: {d: 1}}"},
		{"spec: {a: {b: int} & ({c: int} | {c: string}), e?: int}", "{a: {b: 1, c: 2}}", "{f: 1}"},
		{"if true {spec: {a?: int}}", "{a: 1}", ""},
		{"spec: {ports: [...#PortRange], as?: #ASN}", "{ports: [Ethernet1], as: 1}", "{as: 0}"},
		{"spec: {b?: string & !=\"\"}", "{b: x}", `{b: ""}`},
	}
	for i, one := range tries {
		cue += fmt.Sprintf("#Try%d: {\n\tdevice: {...}\n\topenconfig: {}\n\t%s\n}\n", i, one.kind)
		docs += doc(i, one.right)
	}
	repo["kinds/try.cue"], repo["try.yaml"] = &fstest.MapFile{Data: []byte(cue)}, &fstest.MapFile{Data: []byte(docs)}
	if r := render(t, repo); len(r.Mistakes) > 0 {
		t.Fatalf("what is right does not even render: %v", r.Mistakes)
	}
	s := schemaOf(t, repo)
	for i, one := range tries {
		if list, _ := misfits(t, s, []byte(doc(i, one.right))); len(list) > 0 {
			t.Errorf("%s: %s is refused: %v", one.kind, one.right, list)
		}
		if list, _ := misfits(t, s, []byte(doc(i, one.wrong))); one.wrong != "" && len(list) == 0 {
			t.Errorf("%s: %s passes", one.kind, one.wrong)
		}
	}
}

// A definition that refers to itself is followed some way, not for ever.
func TestASchemaStaysSmall(t *testing.T) {
	repo := fstest.MapFS{"kinds/try.cue": {Data: []byte("package kinds\n#Try: {\n\tspec: #tree\n\t#tree: {next?: #tree}\n\tdevice: {...}\n\topenconfig: {}\n}\n")}}
	size := func(repo fs.FS) int {
		data, _, err := new(renderer.Renderer).Schema(context.Background(), repo)
		if err != nil || data == nil {
			t.Fatal(err)
		}
		return len(data)
	}
	if more := size(repo) - size(nil); more > 10_000 {
		t.Errorf("a kind of one field adds %d bytes", more)
	}
}

// A kind that two files write is more than either, and a broken one has no schema.
func TestASchemaNeedsKindsThatCompile(t *testing.T) {
	repo := fstest.MapFS{
		"kinds/a.cue": {Data: []byte("package kinds\n#Two: {spec: {a: int}, device: {...}, openconfig: {}}\n")},
		"kinds/b.cue": {Data: []byte("package kinds\n#Two: {spec: {b: int}}\n")},
	}
	const doc = "apiVersion: setpoint/v1\nkind: Two\nmetadata: {name: a}\nfor: {devices: [leaf01]}\nspec: {a: 1, b: 2}\n"
	if list, _ := misfits(t, schemaOf(t, repo), []byte(doc)); len(list) > 0 {
		t.Error(list)
	}
	repo["kinds/c.cue"] = &fstest.MapFile{Data: []byte("package kinds\n#Three: {spec: nope}\n")}
	data, mistakes, err := new(renderer.Renderer).Schema(context.Background(), repo)
	if data != nil || len(mistakes) == 0 || mistakes[0].File != "kinds/c.cue" || err != nil {
		t.Errorf("%d bytes, mistakes %v, error %v", len(data), mistakes, err)
	}
}

// What the decoder knows of a document's spec is what the schema offers.
func TestTheSchemaHasTheFieldsOfEachDocument(t *testing.T) {
	data, err := os.ReadFile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs map[string]struct {
			Properties struct {
				Spec struct{ Properties map[string]any }
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range []string{"document.go", "tenant.go", "driftpolicy.go", "platform.go", "rollout.go"} {
		code, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`d\.fields\(spec, "spec of an? (\w+)", ("[^)]*")\)`).FindAllStringSubmatch(string(code), -1) {
			seen++
			var known, offered []string
			for field := range strings.SplitSeq(m[2], ", ") {
				known = append(known, strings.Trim(field, `"`))
			}
			for field := range schema.Defs[m[1]].Properties.Spec.Properties {
				offered = append(offered, field)
			}
			slices.Sort(known)
			slices.Sort(offered)
			if !slices.Equal(known, offered) {
				t.Errorf("%s: the decoder knows %v, the schema offers %v", m[1], known, offered)
			}
		}
	}
	if seen != 7 { // all but Device, whose list is in two parts
		t.Errorf("%d documents", seen)
	}
	for field := range schema.Defs["Device"].Properties.Spec.Properties {
		r := render(t, fstest.MapFS{"a.yaml": {Data: []byte("apiVersion: setpoint/v1\nkind: Device\nmetadata: {name: a}\nspec: {" + field + ": }\n")}})
		for _, m := range r.Mistakes {
			if strings.Contains(m.Message, "has no field") {
				t.Errorf("the schema offers a Device %s, but %s", field, m.Message)
			}
		}
	}
}
