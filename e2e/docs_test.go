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
	writeExample(t, filepath.Join(dir, "tenants/tenant-a/README.md"), "what tenant-a asks for\n")
	validates(t, dir)
}

func TestTheTutorialOnKindsHolds(t *testing.T) { walk(t, "../docs/kinds.md", 8) }

func TestTheTutorialOnPoliciesHolds(t *testing.T) { walk(t, "../docs/policies.md", 5) }

// walk takes a page from top to bottom: a block that begins with a file's name is
// written, over what an earlier step wrote, and one that begins with "$ setpoint" is
// run and must print what stands below, where "…" is whatever it likes.
func walk(t *testing.T, name string, commands int) {
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ran := 0
	for _, block := range regexp.MustCompile("(?s)```(?:yaml|cue|text)\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		first, rest, _ := strings.Cut(block[1], "\n")
		args, isCommand := strings.CutPrefix(first, "$ setpoint ")
		if !isCommand {
			name := strings.TrimLeft(first, "/# ")
			writeExample(t, filepath.Join(dir, name), rest)
			continue
		}
		ran++
		c := exec.Command(binary, strings.Fields(args)...)
		c.Dir = dir
		out, _ := c.CombinedOutput() // its exit code is the text's business
		want := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(rest)), "…", ".*")
		if !regexp.MustCompile("(?s)^" + want + "$").MatchString(strings.TrimSpace(string(out))) {
			t.Errorf("$ setpoint %s prints\n%s\nthe page says\n%s", args, out, rest)
		}
	}
	if ran < commands {
		t.Errorf("%d commands on the page", ran)
	}
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
	if err != nil || !strings.Contains(string(out), "no mistakes\n") {
		t.Errorf("%v: %s", err, out)
	}
}
