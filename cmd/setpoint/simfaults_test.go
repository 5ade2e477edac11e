package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/openconfig/gnmi/proto/gnmi"
)

// A simulator in a folder of its own takes orders from the command line.
func TestBreakMendAndRebootReachARunningTarget(t *testing.T) {
	t.Chdir(t.TempDir())
	s := simulating{devices: 2, host: "127.0.0.1", dir: "sim", faults: `{"leaf02": {"rewrite": true}}`}
	ctx, cancel := context.WithCancel(t.Context())
	fleet, err := s.begin(ctx, "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.listen()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- administer(ctx, l, named(fleet)) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := fleet.Wait(); err != nil {
			t.Error(err)
		}
	}()
	if info, err := os.Stat(s.socket()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v, want mode 0600", info, err)
	}
	leaf01, leaf02 := fleet.Targets()[0], fleet.Targets()[1]
	if leaf01.Faults().Rewrite || !leaf02.Faults().Rewrite {
		t.Error("--faults by name did not reach the one that it names, and no other")
	}
	tells(t, exitOK, `leaf01: {"lock":"aborted","delay":{"set":"2s"}}`, "break", "leaf01", `{"delay": {"set": "2s"}, "lock": "aborted"}`)
	if f := leaf01.Faults(); f.Lock != "aborted" || leaf02.Faults().Lock != "" {
		t.Errorf("faults %+v", f)
	}
	tells(t, exitFail, "drop: /sistem: ", "break", "leaf01", `{"drop": ["/sistem"]}`)
	tells(t, exitFail, `no target "leaf09" is being served; there are leaf01, leaf02`, "mend", "leaf09")
	if leaf01.Faults().Lock != "aborted" {
		t.Error("a mistake changed the faults")
	}
	tells(t, exitOK, "leaf01: no faults", "mend", "leaf01")
	if leaf01.Faults().Lock != "" {
		t.Error("leaf01 is still locked")
	}
	hostname := &gnmi.Path{Elem: []*gnmi.PathElem{{Name: "system"}, {Name: "config"}, {Name: "hostname"}}}
	value := &gnmi.TypedValue{Value: &gnmi.TypedValue_StringVal{StringVal: "a"}}
	if _, err := leaf01.Set(ctx, &gnmi.SetRequest{Update: []*gnmi.Update{{Path: hostname, Val: value}}}); err != nil {
		t.Fatal(err)
	}
	tells(t, exitOK, "leaf01: rebooted", "reboot", "leaf01")
	if got := string(leaf01.Config()); got != "{}" {
		t.Errorf("after a reboot: %s", got)
	}
}

// tells runs "setpoint sim" with the folder of the simulator, and looks for text in
// what it says.
func tells(t *testing.T, code int, text string, args ...string) {
	t.Helper()
	var out bytes.Buffer
	if got := run(append(append([]string{"sim"}, args...), "--dir", "sim"), strings.NewReader(""), &out, &out); got != code || !strings.Contains(out.String(), text) {
		t.Errorf("setpoint sim %s: exit %d, want %d\n%s\nwant %s", strings.Join(args, " "), got, code, out.String(), text)
	}
}
