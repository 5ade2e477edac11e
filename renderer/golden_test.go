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
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/renderer"
)

var update = flag.Bool("update", false, "rewrite the want sections of testdata")

// Each case of testdata is a config repo and what it renders to. Lines of a
// file may hold \t, \x00 and the like where the section's name ends in " (go)".
func TestGolden(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			archive := txtar.Parse(data)
			repo, want := repoOf(archive)
			got := text(t, render(t, repo))
			if *update {
				archive.Files = append(archive.Files[:len(repo):len(repo)], txtar.File{Name: "want", Data: []byte(got)})
				if err := os.WriteFile(name, txtar.Format(archive), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("want (-) got (+), -update rewrites:\n%s", d)
			}
		})
	}
}

func repoOf(a *txtar.Archive) (fstest.MapFS, string) {
	repo, want := fstest.MapFS{}, ""
	for _, f := range a.Files {
		switch {
		case f.Name == "want":
			want = string(f.Data)
		case strings.HasSuffix(f.Name, " (link)"):
			repo[strings.TrimSuffix(f.Name, " (link)")] = &fstest.MapFile{Data: bytes.TrimSpace(f.Data), Mode: fs.ModeSymlink | 0o777}
		case strings.HasSuffix(f.Name, " (go)"):
			r := strings.NewReplacer(`\t`, "\t", `\x00`, "\x00", `\x07`, "\x07", `\xff`, "\xff", `\ufeff`, "\ufeff")
			repo[strings.TrimSuffix(f.Name, " (go)")] = &fstest.MapFile{Data: []byte(r.Replace(string(f.Data)))}
		default:
			repo[f.Name] = &fstest.MapFile{Data: f.Data}
		}
	}
	return repo, want
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
