package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/setpoint-net/setpoint/reconciler/device"
)

func TestAProbeOfWhichNothingCanBeReadFails(t *testing.T) {
	var a probeAnswer
	readable := a.contain([]device.Container{{Name: "acl", Err: errors.New("refused")}})
	if len(readable) > 0 || a.verdict() == nil {
		t.Errorf("readable %q, %v", readable, a.verdict())
	}
	readable = a.contain([]device.Container{{Name: "system", Rung: "get-all"}})
	if len(readable) != 1 || readable[0] != "/system" || a.verdict() != nil {
		t.Errorf("readable %q, %v", readable, a.verdict())
	}
	a.capabilities(device.Abilities{}, errors.New("unimplemented"))
	a.WatchError = "no sync"
	var out bytes.Buffer
	if err := a.write(&out, "text"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"no capabilities: unimplemented", "no stream of changes: no sync", "plain text", "/acl       no       0", "refused"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, out.String())
		}
	}
}
