package main

import (
	"strings"
	"testing"
)

func TestFoldedTextFitsAndLosesNothing(t *testing.T) {
	long := "/network-instances/network-instance[name=default]/vlans/vlan[vlan-id=20]/config/name"
	for _, text := range []string{
		"", "one", "one two three four five six seven", long + " web → shop", "set '" + long + "' 20", strings.Repeat("x", 70), "a " + strings.Repeat("é", 45) + " b/c",
	} {
		for width := 8; width < 60; width += 7 {
			lines := fold(text, width)
			for _, l := range lines {
				if n := len([]rune(l)); n > width {
					t.Errorf("width %d: %q has %d", width, l, n)
				}
			}
			squeeze := strings.NewReplacer(" ", "", "\n", "")
			if got, want := squeeze.Replace(strings.Join(lines, "")), squeeze.Replace(text); got != want {
				t.Errorf("width %d: %q became %q", width, want, got)
			}
		}
	}
	if got := strings.Join(fold("leaf02: "+long+" web → shop", 60), "|"); got != "leaf02: /network-instances/network-instance[name=default]|/vlans/vlan[vlan-id=20]/config/name web → shop" {
		t.Error(got)
	}
}
