package reconciler

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// mutation is setpoint with one thing done wrong: a replacement of source text that
// a fault's cells have to catch. In the replacement, mutant("name") is true in the
// run that is to be caught; all mutants are built into one program.
type mutation struct {
	name, fault    string
	how            strategy // of the cell that has to catch it; "": entries
	file, from, to string   // without a file: it stands in the patch of another
}

const mutantSource = `

// mutant says whether this process is a mutant of one of these names.
func mutant(names ...string) bool {
	for _, name := range names {
		if os.Getenv("SETPOINT_MUTANT") == name {
			return true
		}
	}
	return false
}
`

// TestEachMutantIsCaught builds setpoint with its mutants from patched copies of
// the source, runs the cell of each in mode enforce, and wants it to fail. A patch whose
// place in the source is gone fails too, so that it moves with the code.
func TestEachMutantIsCaught(t *testing.T) {
	if os.Getenv("SETPOINT_MUTANT") != "" {
		t.Skip("skipped: this is a mutant's own run")
	}
	binary := buildMutants(t)
	run := func(m mutation) (string, error) {
		c := exec.CommandContext(t.Context(), binary, "-test.run", fmt.Sprintf("^TestEveryFaultInEveryMode$/^%s$/^enforce$/^%s$", m.fault, m.how))
		c.Env = append(os.Environ(), "SETPOINT_MUTANT="+m.name)
		out, err := c.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), err
	}
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for _, m := range mutants {
		if m.fault == "" {
			continue // a patch that others need
		}
		m.how = cmp.Or(m.how, byEntries)
		t.Run(fmt.Sprintf("%s where it %s, by %s", m.name, m.fault, m.how), func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			out, err := run(m)
			switch {
			case err == nil:
				t.Errorf("the cell of %q passes all the same", m.fault)
			case !strings.Contains(out, "--- FAIL: TestEveryFaultInEveryMode/"+strings.ReplaceAll(m.fault, " ", "_")):
				t.Errorf("it broke down elsewhere:\n%s", out)
			}
		})
	}
	for _, f := range faultRows {
		if !slices.ContainsFunc(mutants, func(m mutation) bool { return m.fault == f.name }) {
			t.Errorf("no mutant for the fault %q", f.name)
		}
	}
}

// buildMutants is the path of this package's test binary with all mutants in it.
func buildMutants(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	texts := map[string]string{}
	write := func(source, text string) {
		abs, err := filepath.Abs(source)
		if err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(dir, strings.NewReplacer("/", "_", "..", "").Replace(source))
		if err := os.WriteFile(copied, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[abs] = copied
	}
	for _, m := range mutants {
		if m.file == "" {
			continue // it stands in another's patch
		}
		if texts[m.file] == "" {
			data, err := os.ReadFile(m.file)
			if err != nil {
				t.Fatal(err)
			}
			texts[m.file] = string(data)
		}
		if strings.Count(texts[m.file], m.from) != 1 {
			t.Fatalf("mutant %s: %s has its text %d times:\n%s", m.name, m.file, strings.Count(texts[m.file], m.from), m.from)
		}
		texts[m.file] = strings.Replace(texts[m.file], m.from, m.to, 1)
	}
	for file, text := range texts {
		write(file, text)
		pkg, _, _ := strings.Cut(text[strings.Index(text, "\npackage ")+1:], "\n")
		if strings.HasPrefix(text, "package ") {
			pkg, _, _ = strings.Cut(text, "\n")
		}
		write(filepath.Join(filepath.Dir(file), "mutant_overlay.go"), pkg+"\n\nimport \"os\""+mutantSource)
	}
	data, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "mutants.test")
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", file, "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binary
}
