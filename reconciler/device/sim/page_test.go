package sim

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// TestThePageListsEveryFaultAndWord holds docs/sim.md to the struct.
func TestThePageListsEveryFaultAndWord(t *testing.T) {
	page, err := os.ReadFile("../../../docs/sim.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)`: .*$").FindAllSubmatch(page, -1) {
		rows[string(m[1])] = string(m[0])
	}
	for _, name := range FaultNames() {
		if rows[name] == "" {
			t.Errorf("%s has no row", name)
		}
	}
	for name := range rows {
		if !slices.Contains(FaultNames(), name) {
			t.Errorf("the page has a row for %s, which is no fault", name)
		}
	}
	words := Faults{}.choices()
	for _, trap := range commitTraps {
		words = append(words, choice{"commitTraps", "", []string{trap}})
	}
	for _, c := range words {
		for _, w := range c.allowed {
			if !regexp.MustCompile("`" + w + "`").MatchString(rows[c.fault]) {
				t.Errorf("the row of %s does not name %q", c.fault, w)
			}
		}
	}
}
