package renderer_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

// Each block of docs/kinds.md that begins with a file's name is a file of one
// repo, which renders.
func TestTheDocsOnKindsRender(t *testing.T) {
	page, err := os.ReadFile("../docs/kinds.md")
	if err != nil {
		t.Fatal(err)
	}
	repo := fstest.MapFS{}
	for _, m := range regexp.MustCompile("(?ms)^```(?:yaml|cue)\n(?:#|//) (\\S+)\n(.*?)^```").FindAllStringSubmatch(string(page), -1) {
		repo[m[1]] = &fstest.MapFile{Data: []byte(m[2])}
	}
	if len(repo) != 3 {
		t.Fatalf("%d files on the page", len(repo))
	}
	r := render(t, repo)
	if len(r.Mistakes) > 0 || len(r.Devices) != 2 {
		t.Fatalf("%d devices, mistakes %v", len(r.Devices), r.Mistakes)
	}
	leaf := string(r.Devices[0].Config)
	for _, want := range []string{"camera at leaf01", `"access-vlan":30`, `"neighbor-address":"10.1.0.0"`} {
		if !strings.Contains(leaf, want) {
			t.Errorf("leaf01 has no %s", want)
		}
	}
	for name := range kinds(t, nil) {
		if !strings.Contains(string(page), "| "+name+" | ") {
			t.Errorf("the page does not list %s", name)
		}
	}
}
