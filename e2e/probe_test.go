package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/setpoint-net/setpoint/reconciler/device/sim"
)

func TestAProbeTellsAndNeverWrites(t *testing.T) {
	w := newWorld(t, 1, func(_ int, c *sim.Config) { c.Initial = []byte(running) })
	t.Setenv("PROBE_PASSWORD", "the-device-password")
	args := []string{"probe", w.addrs[0], "--username", "admin", "--password-env", "PROBE_PASSWORD", "--ca", "ca.pem"}
	out, code := w.setpoint(args...)
	for _, want := range []string{"TLS 1.3", "0.10.0", "JSON_IETF", "OpenConfig's", "on-change", "/interfaces", "get-config"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("probe exits with %d and lacks %q:\n%s", code, want, out)
		}
	}
	out, code = w.setpoint(append(args, "-o", "json")...)
	var a struct {
		Watch      string
		OpenConfig int `json:"openconfigModels"`
		Containers []struct {
			Name, Read    string
			Leaves, Bytes int
		}
	}
	if err := json.Unmarshal([]byte(out), &a); err != nil || code != 0 || a.Watch != "on-change" || a.OpenConfig == 0 || len(a.Containers) < 5 {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	for _, c := range a.Containers {
		if c.Name == "system" && (c.Read != "get-config" || c.Leaves != 5 || c.Bytes < 100) {
			t.Errorf("system: %+v", c)
		}
	}
	if n := w.fleet[0].Sets(); n != 0 {
		t.Errorf("the target saw %d Sets", n)
	}
	for what, wrong := range map[string][]string{
		"authority": args[:len(args)-2],
		"password":  {"probe", w.addrs[0], "--username", "nobody", "--ca", "ca.pem"},
		"address":   {"probe", "127.0.0.1:1", "--insecure"},
	} {
		if out, code := w.setpoint(wrong...); code != 2 || !strings.Contains(out, "error: ") || !strings.Contains(out, "hint: ") {
			t.Errorf("with a wrong %s probe exits with %d: %s", what, code, out)
		}
	}
}
