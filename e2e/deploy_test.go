package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// shipped reads a file that is installed beside the program.
func shipped(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTheShippedConfigurationPassesItsCheck(t *testing.T) {
	dir := t.TempDir()
	example := filepath.Join(dir, "setpoint.yaml")
	writeExample(t, example, shipped(t, "setpoint.yaml"))
	w := newWorld(t, 0) // for its certificate authority
	writeExample(t, filepath.Join(dir, "lab-ca.pem"), w.read("ca.pem"))
	secrets := []string{"git-token", "lab-password", "status-token", "webhook-secret", "noc-url", "link-key", "fingerprint-key"}
	for _, name := range secrets {
		writeExample(t, filepath.Join(dir, "secrets", name), "a secret of sixteen bytes or more")
	}
	check := func() string {
		out, _ := exec.Command(binary, "run", "--check", "--config", example).CombinedOutput()
		return string(out)
	}
	if out := check(); !strings.HasPrefix(out, "ok: ") {
		t.Errorf("the check says: %s", out)
	}
	for _, name := range secrets {
		if err := os.Remove(filepath.Join(dir, "secrets", name)); err != nil {
			t.Fatal(err)
		}
	}
	out := check()
	for _, name := range secrets {
		if !strings.Contains(out, filepath.Join("secrets", name)+": no such file") {
			t.Errorf("without %s the check says: %s", name, out)
		}
	}
}

// unit is a systemd unit's settings, in their order.
func unit(t *testing.T, name string) map[string][]string {
	t.Helper()
	settings := map[string][]string{}
	for line := range strings.Lines(shipped(t, name)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			settings[key] = append(settings[key], value)
		}
	}
	return settings
}

func TestTheUnitAgreesWithTheShippedConfiguration(t *testing.T) {
	u := unit(t, "setpoint.service")
	var c struct {
		StateDir string `yaml:"stateDir"`
		Socket   string
	}
	if err := yaml.Unmarshal([]byte(shipped(t, "setpoint.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	const run = "/usr/local/bin/setpoint run --config /etc/setpoint/setpoint.yaml"
	for key, want := range map[string]string{
		"ExecStart": run, "ExecStartPre": strings.Replace(run, "run ", "run --check ", 1),
		"StateDirectory": strings.TrimPrefix(c.StateDir, "/var/lib/"), "RuntimeDirectory": strings.TrimPrefix(filepath.Dir(c.Socket), "/run/"),
		"User": "setpoint", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "CapabilityBoundingSet": "",
	} {
		if got := u[key]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if !strings.Contains(shipped(t, "setpoint.sysusers"), "\nu setpoint ") {
		t.Error("nobody makes the unit's user")
	}
}

func TestTheImageHasAStaticBinaryAndNothingToRunBesideIt(t *testing.T) {
	text := shipped(t, "Dockerfile")
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)[1]
	if !strings.Contains(text, "FROM golang:"+string(version)+".") {
		t.Errorf("the image is not built with Go %s, as go.mod has it", version)
	}
	_, last, ok := strings.Cut(text, "\nFROM ${RUNTIME}\n")
	if !ok {
		t.Fatal("the last stage is not RUNTIME")
	}
	for _, want := range []string{"\nUSER 65532:65532\n", "\nENTRYPOINT [\"/usr/local/bin/setpoint\"]\n"} {
		if !strings.Contains(last, want) {
			t.Errorf("the image lacks %q", want)
		}
	}
	if strings.Contains(last, "\nRUN ") {
		t.Error("the last stage runs something, and has no shell for it")
	}
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{"Dockerfile": text, "Makefile": string(makefile)} {
		if !regexp.MustCompile(`CGO_ENABLED=0 \S+ build -trimpath .*\./cmd/setpoint\n`).MatchString(text) {
			t.Errorf("%s does not build a static binary", where)
		}
	}
}

// TestHealthIsServedWithoutPages has an address and no public URL; its log is
// JSON, a line each, to the last.
func TestHealthIsServedWithoutPages(t *testing.T) {
	t.Setenv("SETPOINT_LOG_FORMAT", "json")
	w := newWorld(t, 0)
	addr := freeAddress(t)
	w.configExtra = fmt.Sprintf("listen: %q\n", addr)
	w.start()
	w.says("the repository is empty")
	if code, body := w.get("http://" + addr + "/healthz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("healthz answers %d: %s", code, body)
	}
	if code, _ := w.get("http://" + addr + "/commits/" + strings.Repeat("ab", 20)); code != http.StatusNotFound {
		t.Errorf("a page answers %d", code)
	}
	w.stop()
	lines := bufio.NewScanner(strings.NewReader(w.proc.text()))
	last := ""
	for lines.Scan() {
		var line struct{ Time, Level, Msg, Component string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil || line.Time == "" || line.Level == "" || line.Msg == "" && line.Component == "" {
			t.Errorf("%v: %s", err, lines.Text())
		}
		last = line.Msg
	}
	if last != "setpoint stopped" {
		t.Errorf("the log ends with %q", last)
	}
}
