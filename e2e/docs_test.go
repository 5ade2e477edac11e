package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var fence = regexp.MustCompile("(?s)```(yaml|cue)\n(.*?)```")

// TestTheIntentPagesExamplesAreOneCleanRepo puts the page's examples, as they
// stand, into one config repo.
func TestTheIntentPagesExamplesAreOneCleanRepo(t *testing.T) {
	page, err := os.ReadFile("../docs/intent.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	examples := fence.FindAllStringSubmatch(string(page), -1)
	if len(examples) < 6 {
		t.Fatalf("%d examples on the page", len(examples))
	}
	for i, e := range examples {
		name := fmt.Sprintf("example%d.yaml", i)
		if e[1] == "cue" {
			name = "kinds/example.cue"
		}
		writeExample(t, filepath.Join(dir, name), e[2])
	}
	validates(t, dir)
}

// TestTheReadmesRepoIsClean is the config repo of the README's example, with an
// inventory as "setpoint sim" writes it.
func TestTheReadmesRepoIsClean(t *testing.T) {
	dir := t.TempDir()
	files, err := filepath.Glob("../docs/example/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no example: %v", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		writeExample(t, filepath.Join(dir, filepath.Base(f)), string(text))
	}
	w := newWorld(t, 0)
	w.startSim(3)
	writeExample(t, filepath.Join(dir, "devices.yaml"), w.read("sim/inventory.yaml"))
	validates(t, dir)
}

func writeExample(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func validates(t *testing.T, dir string) {
	t.Helper()
	out, err := exec.Command(binary, "validate", dir).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "ok: ") {
		t.Errorf("%v: %s", err, out)
	}
}
