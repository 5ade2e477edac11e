package plan

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	yaml "go.yaml.in/yaml/v3"

	"github.com/setpoint-net/setpoint/models"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestFormsAreAsTheGoldenFilesShow(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { golden(t, file) })
	}
}

func golden(t *testing.T, file string) {
	ar, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var how Strategy
	given := 2
	if d := section(ar, "device.json"); d != "" {
		var entry models.Device
		if err := json.Unmarshal([]byte(d), &entry); err != nil {
			t.Fatal(err)
		}
		how = strategy(t, entry.Apply, entry.Phases, entry.Manage...)
		given++
	}
	intended := mustParse(t, section(ar, "intended.json"))
	p := how.Diff(mustParse(t, section(ar, "running.json")), intended, intended)
	out := &txtar.Archive{Comment: ar.Comment, Files: slices.Clone(ar.Files[:given])}
	for _, o := range []struct {
		name string
		Options
	}{
		{"tree", Options{Title: "leaf01"}},
		{"tree, 50 columns", Options{Width: 50}},
		{"tree, colour", Options{Form: Tree, Title: "leaf01", Color: true}},
		{"unified", Options{Form: Unified, Title: "leaf01"}},
		{"unified, colour", Options{Form: Unified, Color: true}},
		{"markdown", Options{Form: Markdown, Title: "leaf01"}},
		{"gnmi", Options{Form: GNMI, Title: "leaf01"}},
		{"json", Options{Form: JSON, Title: "leaf01"}},
	} {
		got := text(t, p, o.Options)
		if !o.Color && strings.ContainsAny(got, "\x1b\u009b\u202e") {
			t.Errorf("%s: a device's escape sequence gets through", o.name)
		}
		for _, word := range []string{"before", "after", "topsecret"} {
			if strings.Contains(got, word) {
				t.Errorf("%s: shows the secret %q", o.name, word)
			}
		}
		out.Files = append(out.Files, txtar.File{Name: o.name, Data: []byte(strings.ReplaceAll(got, "\x1b", "␛"))})
	}
	out.Files = append(out.Files,
		txtar.File{Name: "summary", Data: []byte(Summary([]DevicePlan{{"leaf01", p}}) + "\n")},
		txtar.File{Name: "brief, 120", Data: []byte(Brief(p, 120) + "\n")})
	want := txtar.Format(out)
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(txtar.Format(ar)), string(want)); diff != "" {
		t.Errorf("run with -update and look at the difference (-file +now):\n%s", diff)
	}
}

func section(ar *txtar.Archive, name string) string {
	for _, f := range ar.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func TestTreeFitsItsWidth(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		ar, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p := Diff(mustParse(t, section(ar, "running.json")), mustParse(t, section(ar, "intended.json")))
		for _, columns := range []int{40, 60, 80, 120} {
			for line := range strings.Lines(text(t, p, Options{Width: columns})) {
				if n := width(strings.TrimSuffix(line, "\n")); n > columns {
					t.Errorf("%d columns in %d: %q", n, columns, line)
				}
			}
		}
	}
}

func TestJSONAndGNMIFormsCanBeRead(t *testing.T) {
	p := Diff(mustParse(t, `{}`), mustParse(t, `{"interfaces":{"interface":[{"name":"a\u009b\"]\\ü","config":{"name":"a\u009b\"]\\ü","mtu":1}}]},"system":{"config":{"motd-banner":"a: b # \u2028 'c' \"d\"\n"}}}`))
	var out struct {
		Updates []struct{ Value any }
	}
	if err := json.Unmarshal([]byte(text(t, p, Options{Form: JSON})), &out); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff("a: b # \u2028 'c' \"d\"\n", out.Updates[0].Value); diff != "" {
		t.Error(diff)
	}
	var request struct {
		Replaces []struct {
			Path, Encoding string
			Value          any
		}
	}
	if err := yaml.Unmarshal([]byte(text(t, p, Options{Form: GNMI})), &request); err != nil {
		t.Error(err)
	}
	if got, want := request.Replaces[0].Path, "/interfaces/interface[name=a\u009b\"\\]\\\\ü]"; got != want {
		t.Errorf("got path %q, want %q", got, want)
	}
}

func TestMarkdownFenceCannotBeClosedByAValue(t *testing.T) {
	p := Diff(mustParse(t, `{}`), mustParse(t, "{\"system\":{\"config\":{\"motd-banner\":\"````\"}}}"))
	got := text(t, p, Options{Form: Markdown})
	if !strings.Contains(got, "\n`````diff\n") || !strings.HasSuffix(got, "\n`````\n") {
		t.Errorf("got\n%s", got)
	}
}

func TestUnknownFormIsAnError(t *testing.T) {
	if err := (&Plan{}).Write(&strings.Builder{}, Options{Form: "xml"}); err == nil || !strings.Contains(err.Error(), "xml") {
		t.Errorf("got %v", err)
	}
}

func TestEmptyPlanSaysNoChange(t *testing.T) {
	for form, want := range map[Form]string{Tree: "leaf01  no change\n", Unified: "", Markdown: "#### `leaf01`\n\nno change\n"} {
		if got := text(t, &Plan{}, Options{Form: form, Title: "leaf01"}); got != want {
			t.Errorf("%s: got %q, want %q", form, got, want)
		}
	}
	if got := text(t, nil, Options{}); got != "no change\n" {
		t.Errorf("nil plan: got %q", got)
	}
}
