package main

import (
	"testing"
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
