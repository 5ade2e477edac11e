package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/setpoint-net/setpoint/models"
)

func TestADeviceIsOneLineInAPipeAndFitsATerminal(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	reason := "drifted: /network-instances/network-instance[name=default]/vlans/vlan[vlan-id=10]/config/name (found ENG, expected OPS)"
	list := []deviceAnswer{{
		Name: "leaf01", Assignment: models.Assignment{Generation: 7, Commit: "0123456789"},
		Status: models.DeviceStatus{State: models.DeviceDrifted, Since: now.Add(-3 * time.Minute), ReadAt: now.Add(-time.Second), Reason: reason, Next: "left alone (drift mode alert)"},
	}, {
		Name: "leaf02", Assignment: models.Assignment{Generation: 7, Commit: "0123456789"},
		Status: models.DeviceStatus{State: models.DeviceApplied, Since: now.Add(-time.Hour), ReadAt: now.Add(-time.Second)},
	}}
	var b strings.Builder
	if err := writeDevices(&b, list, "", now); err != nil {
		t.Fatal(err)
	}
	want := `DEVICE  STATE    SINCE   GEN  COMMIT   READ    WHY
leaf01  drifted  3m ago  7    0123456  1s ago  ` + reason + `; left alone (drift mode alert)
leaf02  applied  1h ago  7    0123456  1s ago
`
	if b.String() != want {
		t.Errorf("in a pipe\n%s", b.String())
	}

	t.Setenv("CLICOLOR_FORCE", "1")
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	b.Reset()
	if err := writeDevices(&b, list, "", now); err != nil {
		t.Fatal(err)
	}
	plain := regexp.MustCompile("\x1b\\[[0-9]*m").ReplaceAllString(b.String(), "")
	for line := range strings.Lines(plain) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > screenWidth {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	if !strings.Contains(strings.Join(strings.Fields(plain), ""), strings.Join(strings.Fields(reason), "")) || strings.Contains(plain, "WHY") {
		t.Errorf("on a terminal\n%s", plain)
	}
}
