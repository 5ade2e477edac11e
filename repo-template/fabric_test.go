package repotemplate

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// However many devices are asked for, no two of them, and no two ends of links,
// have an address in common.
func TestAFabricsAddressesNeverCollide(t *testing.T) {
	address := regexp.MustCompile(`(?:address: "?|loopback: )([0-9.]+)`)
	for _, n := range []int{1, 2, 3, 49, 50, 51, 1000, 5000, MaxDevices} {
		files, err := Fabric(n)
		if err != nil {
			t.Fatal(err)
		}
		seen, devices := make(map[string]string), 0
		for name, data := range files {
			devices += len(regexp.MustCompile(`(?m)^kind: Device$`).FindAll(data, -1))
			for _, m := range address.FindAllSubmatch(data, -1) {
				if first, twice := seen[string(m[1])]; twice {
					t.Fatalf("%d devices: %s is in %s and %s", n, m[1], first, name)
				}
				seen[string(m[1])] = name
			}
		}
		if devices != n || len(seen) < 2*n {
			t.Errorf("asked for %d devices: %d, with %d addresses", n, devices, len(seen))
		}
	}
}

// The template's policies are the fabric's too, but for those over a whole network
// that is too large for them.
func TestAFabricHasPolicies(t *testing.T) {
	for n, want := range map[int][]string{
		1:                   {"policies/addresses.cue", "policies/links.cue", "policies/ports.cue"},
		networkPolicies:     {"policies/addresses.cue", "policies/links.cue", "policies/ports.cue"},
		networkPolicies + 1: {"policies/ports.cue"},
	} {
		files, err := Fabric(n)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, name := range slices.Sorted(maps.Keys(files)) {
			if strings.HasPrefix(name, "policies/") {
				got = append(got, name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d devices: %q", n, got)
		}
	}
}

func TestAFabricIsTheSameEachTime(t *testing.T) {
	a, err := Fabric(120)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Fabric(120)
	if err != nil || !maps.EqualFunc(a, b, slices.Equal) {
		t.Error("two fabrics of 120 differ", err)
	}
}
