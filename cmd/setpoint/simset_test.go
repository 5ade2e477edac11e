package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/setpoint-net/setpoint/models/tree"
)

func TestALeafIsReadAsPeopleWriteIt(t *testing.T) {
	const port = "/interfaces/interface[name=Ethernet1]"
	for _, c := range []struct{ path, text, json string }{
		{port + "/config/mtu", "1500", `1500`},
		{port + "/config/enabled", "false", `false`},
		{port + "/config/description", "10", `"10"`},
		{port + "/config/description", "to spine01", `"to spine01"`},
		{port + "/ethernet/switched-vlan/config/access-vlan", "20", `20`},
		{port + "/ethernet/switched-vlan/config/trunk-vlans", `[10, "20..30"]`, `[10,"20..30"]`},
		{"/network-instances/network-instance[name=default]/vlans/vlan[vlan-id=20]/config/name", "x", `"x"`},
		{"/system/config/hostname", "leaf01", `"leaf01"`},
	} {
		p, v, err := leafOf(c.path, c.text)
		if err != nil {
			t.Errorf("%s %s: %v", c.path, c.text, err)
			continue
		}
		if p.String() != c.path || string(v.JSON()) != c.json {
			t.Errorf("%s %s became %s %s, not %s", c.path, c.text, p, v.JSON(), c.json)
		}
	}
	for path, text := range map[string]string{
		port:                               "1",
		port + "/config/mtu":               "lots",
		"/interfaces/interface/config/mtu": "1500",
		"/interfaces/interface[name=*]/config/mtu": "1500",
		port + "/config/nothing":                   "1",
		"no path":                                  "1",
	} {
		if p, v, err := leafOf(path, text); err == nil {
			t.Errorf("%s %s became %s %s", path, text, p, v.JSON())
		}
	}
}

// What was set is told only if the target has it: in whatever form, or as a default
// that it does not show.
func TestASetIsToldAsItWasReadBack(t *testing.T) {
	const mtu, enabled = "/interfaces/interface[name=Ethernet1]/config/mtu", "/interfaces/interface[name=Ethernet1]/config/enabled"
	for _, c := range []struct{ path, was, set, is, want string }{
		{mtu, "1500", "9000", "9000", "leaf01: mtu 1500 → 9000\n"},
		{mtu, "", "9000", "9000", "leaf01: mtu (nothing) → 9000\n"},
		{mtu, "1500", "9000", "1500", "leaf01: mtu stays 1500: the target said OK to 9000\nno"},
		{mtu, "", "9000", "", "leaf01: mtu stays (nothing): the target said OK to 9000\nno"},
		{mtu, "1500", "9000", "8996", "leaf01: mtu 1500 → 8996: the target said OK to 9000\nno"},
		{enabled, "false", "true", "", "leaf01: enabled false → true\n"},
		{enabled, "true", "false", "", "leaf01: enabled true → (nothing): the target said OK to false\nno"},
	} {
		state := func(text string) *tree.Tree {
			if text == "" {
				return tree.Empty(tree.OpenConfig())
			}
			p, v, err := leafOf(c.path, text)
			if err != nil {
				t.Fatal(err)
			}
			return tree.Empty(tree.OpenConfig()).ReplaceAt(p, v)
		}
		p, v, err := leafOf(c.path, c.set)
		if err != nil {
			t.Fatal(err)
		}
		scope, err := tree.NewScope(tree.OpenConfig(), []string{p.String()})
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := writeSet(&out, "leaf01", scope, p, v, state(c.was), state(c.is)); errors.Is(err, errNo) {
			out.WriteString("no")
		} else if err != nil {
			t.Error(err)
		}
		if out.String() != c.want {
			t.Errorf("%+v: %s", c, out.String())
		}
	}
}

// FuzzLeafOf: whatever is typed, it is refused or is the leaf of its own path.
func FuzzLeafOf(f *testing.F) {
	f.Add("/interfaces/interface[name=Ethernet1]/config/mtu", "1500")
	f.Add("/network-instances/network-instance[name=default]/vlans/vlan[vlan-id=20]/config/name", "x y")
	f.Add("/system/clock/config/timezone-name", `"Europe/London"`)
	f.Add("/acl/acl-sets/acl-set[name=a][type=ACL_IPV4]/acl-entries/acl-entry[sequence-id=1]/ipv4/config/protocol", "6")
	f.Fuzz(func(t *testing.T, path, text string) {
		p, v, err := leafOf(path, text)
		if err != nil {
			return
		}
		again, w, err := leafOf(p.String(), text)
		if err != nil || !again.Equal(p) || string(w.JSON()) != string(v.JSON()) {
			t.Errorf("%s %s became %s %s, and that %s, %v", path, text, p, v.JSON(), again, err)
		}
	})
}
