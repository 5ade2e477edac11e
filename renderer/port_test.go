package renderer

import (
	"slices"
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"github.com/google/go-cmp/cmp"
)

// The library expands ports in CUE, a Tenant's grants are expanded in Go. If the
// two disagreed, a request could mean a port that the grant did not.
func TestGrantsExpandLikeTheLibrarysPorts(t *testing.T) {
	data, err := library.ReadFile("library/v1/shared.cue")
	if err != nil {
		t.Fatal(err)
	}
	shared := cuecontext.New().CompileBytes(data)
	ports := shared.LookupPath(cue.ParsePath("#Ports"))
	for _, text := range []string{
		"Ethernet7", "Ethernet[1-5]", "Ethernet[1,3,5-8]", "et-0/0/[0-47]", "ethernet-1/[1-4]", "Ethernet[1-2]/[1-3]", "Ethernet[0]", "Ethernet[3-3].100",
		"Ethernet[5-1]", "Ethernet[0-256]", "Ethernet[0-255]", "Ethernet[01]", "Ethernet[1-]", "Ethernet[]", "Ethernet[1", "Ethernet1]", "[1-4]", "a b", "", "a,b", "a[1][2][3]", "a[1000]", "a[1,1]",
	} {
		v := ports.FillPath(cue.ParsePath("in"), []string{text})
		var want []string
		cueErr := v.Validate(cue.Concrete(true))
		if cueErr == nil {
			cueErr = v.LookupPath(cue.ParsePath("out")).Decode(&want)
		}
		got, err := expandPorts(text)
		if (err == nil) != (cueErr == nil) {
			t.Errorf("%q: %v, the library: %v", text, err, cueErr)
			continue
		}
		if d := cmp.Diff(want, got); err == nil && d != "" {
			t.Errorf("%q: library (-) here (+):\n%s", text, d)
		}
	}
}

func FuzzExpandPorts(f *testing.F) {
	for _, s := range []string{"Ethernet7", "Ethernet[1-5]", "Ethernet[1,3,5-8]/[0-3]x", "a[1-2]0", "a[10-12]", "[1]1[1]"} {
		f.Add(s, "Ethernet10")
	}
	f.Fuzz(func(t *testing.T, text, other string) {
		names, err := expandPorts(text)
		if err != nil {
			return
		}
		if len(names) == 0 || len(names) > maxRun*maxRun {
			t.Fatalf("%q stands for %d ports", text, len(names))
		}
		for _, name := range names[:min(len(names), 300)] {
			if strings.ContainsAny(name, "[] \t\n,") || !rangeHolds(text, name) {
				t.Errorf("%q holds %q: %v", text, name, rangeHolds(text, name))
			}
		}
		if rangeHolds(text, other) != slices.Contains(names, other) {
			t.Errorf("%q holds %q: %v", text, other, rangeHolds(text, other))
		}
	})
}
