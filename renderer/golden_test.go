package renderer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/renderer"
)

var update = flag.Bool("update", false, "rewrite the want sections of testdata")

// Each case of testdata is a config repo and what it renders to. What a text file
// can't hold is written by a word behind the section's name:
//
//	(go)      \t, \x00 and the like stand for the byte
//	(link)    a symbolic link to what the section holds
//	(pipe)    a named pipe
//	(repeat)  a line "@N text" is text N times
//	(files N) N files; %d in the name is a number
//
// A section "evaluator" says of which kind's documents the evaluator dies, and how
// that is told. A section "want (end)" holds the last lines alone.
func TestGolden(t *testing.T) {
	names := cases(t)
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			archive := txtar.Parse(data)
			want := want(archive)
			got := text(t, renderCase(t, archive.Files[:len(archive.Files)-1]))
			if want.Name == "want (end)" {
				got = end(got)
			}
			if *update {
				want.Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(archive), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(want.Data), got); d != "" {
				t.Errorf("want (-) got (+), -update rewrites:\n%s", d)
			}
		})
	}
}

// Whatever config comes out of a case comes out again, byte by byte, of a device
// that has it as its own fragment.
func TestRenderedConfigIsAFixedPoint(t *testing.T) {
	configs := 0
	for _, name := range cases(t) {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(want(archive).Data, []byte("{")) {
			for _, d := range render(t, repoOf(t, archive.Files[:len(archive.Files)-1])).Devices {
				configs++
				again := render(t, fstest.MapFS{"a.yaml": {Data: asFragment(d.Config)}})
				if len(again.Mistakes) > 0 || !bytes.Equal(again.Devices[0].Config, d.Config) {
					t.Errorf("%s: %s: %v\n%s", name, d.Name, again.Mistakes, d.Config)
				}
			}
		}
	}
	if configs < 60 {
		t.Errorf("%d configs", configs)
	}
}

// asFragment is a device that has a config for its fragment: JSON is YAML.
func asFragment(config []byte) []byte {
	const lifted = "apiVersion: setpoint/v1\nkind: Platform\nmetadata: {name: p}\nspec: {unconditional: [/network-instances/network-instance/evpn, /network-instances/network-instance/evpn/evpn-instances/evpn-instance/vxlan/config/vni]}\n---\n"
	const head = lifted + "apiVersion: setpoint/v1\nkind: Device\nmetadata: {name: a}\nspec:\n  address: a\n  credentials: c\n  platform: p\n  manage: [/]\n  openconfig: "
	return append([]byte(head), bytes.ReplaceAll(config, []byte("${"), []byte("$${"))...)
}

// cases are the files of testdata; those of testdata/language take the language
// feature by feature, what is right beside what is wrong.
func cases(t *testing.T) []string {
	names, err := filepath.Glob("testdata/*.txtar")
	more, err2 := filepath.Glob("testdata/language/*.txtar")
	if err != nil || err2 != nil || len(names) == 0 || len(more) < 60 {
		t.Fatalf("%d and %d cases: %v %v", len(names), len(more), err, err2)
	}
	return append(names, more...)
}

// want is the section that holds what a case renders to.
func want(a *txtar.Archive) *txtar.File {
	if last := len(a.Files) - 1; last >= 0 && strings.HasPrefix(a.Files[last].Name, "want") {
		return &a.Files[last]
	}
	a.Files = append(a.Files, txtar.File{Name: "want"})
	return &a.Files[len(a.Files)-1]
}

// end is the last mistake, with its hint.
func end(s string) string {
	i := strings.LastIndex(strings.TrimRight(s, "\n"), "\n")
	for i > 0 && s[i+1] == ' ' {
		i = strings.LastIndex(s[:i], "\n")
	}
	return s[i+1:]
}

func repoOf(t *testing.T, files []txtar.File) fstest.MapFS {
	repo := fstest.MapFS{}
	for _, f := range files {
		name, how, _ := strings.Cut(f.Name, " ")
		switch file := (&fstest.MapFile{Data: f.Data}); {
		case how == "":
			repo[name] = file
		case how == "(link)":
			repo[name] = &fstest.MapFile{Data: bytes.TrimSpace(f.Data), Mode: fs.ModeSymlink | 0o777}
		case how == "(pipe)":
			repo[name] = &fstest.MapFile{Mode: fs.ModeNamedPipe | 0o666}
		case how == "(go)":
			r := strings.NewReplacer(`\t`, "\t", `\r`, "\r", `\x00`, "\x00", `\x07`, "\x07", `\xff`, "\xff", `\xfe`, "\xfe", `\ufeff`, "\ufeff", `\u202e`, "\u202e", `\u00a0`, "\u00a0")
			file.Data = []byte(r.Replace(string(f.Data)))
			repo[name] = file
		case how == "(repeat)":
			file.Data = repeated(f.Data)
			repo[name] = file
		default:
			var n int
			if _, err := fmt.Sscanf(how, "(files %d)", &n); err != nil {
				t.Fatalf("section %q: %v", f.Name, err)
			}
			for i := range n {
				repo[fmt.Sprintf(name, i)] = file
			}
		}
	}
	return repo
}

// renderCase renders a case's repo with the evaluator that it asks for.
func renderCase(t *testing.T, files []txtar.File) *renderer.Result {
	if len(files) == 0 || files[0].Name != "evaluator" {
		return render(t, repoOf(t, files))
	}
	kind, how, _ := strings.Cut(strings.TrimSpace(string(files[0].Data)), " ")
	r := renderer.Renderer{Evaluator: &renderer.BreaksDown{On: kind, Text: how}}
	res, err := r.Render(context.Background(), repoOf(t, files[1:]))
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func repeated(data []byte) []byte {
	return regexp.MustCompile(`(?m)^@(\d+) (.*)\n`).ReplaceAllFunc(data, func(line []byte) []byte {
		count, text, _ := bytes.Cut(line[1:len(line)-1], []byte(" "))
		n, _ := strconv.Atoi(string(count))
		return bytes.Repeat(text, n)
	})
}

func render(t testing.TB, repo fs.FS) *renderer.Result {
	t.Helper()
	r, err := renderer.Render(context.Background(), repo)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// text is a result as people read it.
func text(t testing.TB, r *renderer.Result) string {
	t.Helper()
	var b bytes.Buffer
	for _, m := range r.Mistakes {
		b.WriteString(line(m) + "\n")
	}
	for _, w := range r.Warnings {
		b.WriteString("warning: " + line(w) + "\n")
	}
	for _, n := range r.Notes {
		b.WriteString("note: " + line(n) + "\n")
	}
	for _, d := range r.Devices {
		entry, err := json.Marshal(d.Device)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n", entry)
		if err := json.Indent(&b, d.Config, "", "  "); err != nil {
			t.Fatal(err)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func line(m models.Mistake) string {
	s := m.File
	if m.Line > 0 {
		s += fmt.Sprintf(":%d", m.Line)
	}
	if m.Column > 0 {
		s += fmt.Sprintf(":%d", m.Column)
	}
	s += ": " + m.Message + " [" + string(m.Code) + "]"
	if m.Path != "" {
		s += "\n    at " + m.Path
	}
	if m.Hint != "" {
		s += "\n    hint: " + m.Hint
	}
	return s
}
