package renderer_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

// Each block of docs/kinds.md that begins with a file's name is a file of one
// repo, which renders as the last blocks leave it. Its steps are e2e's to walk.
func TestTheDocsOnKindsRender(t *testing.T) {
	page, err := os.ReadFile("../docs/kinds.md")
	if err != nil {
		t.Fatal(err)
	}
	repo := fstest.MapFS{}
	for _, m := range regexp.MustCompile("(?ms)^```(?:yaml|cue)\n(?:#|//) (\\S+)\n(.*?)^```").FindAllStringSubmatch(string(page), -1) {
		repo[m[1]] = &fstest.MapFile{Data: []byte(m[2])}
	}
	if len(repo) != 4 {
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

// Each block of docs/tenancy.md that begins with a file's name is a file of one
// repo; with two leaves and the tenants' folders it renders.
func TestTheDocsOnTenantsRender(t *testing.T) {
	page, err := os.ReadFile("../docs/tenancy.md")
	if err != nil {
		t.Fatal(err)
	}
	repo := fstest.MapFS{"tenants/tenant-b/README.md": {}}
	for _, m := range regexp.MustCompile("(?ms)^```yaml\n# (\\S+)\n(.*?)^```").FindAllStringSubmatch(string(page), -1) {
		repo[m[1]] = &fstest.MapFile{Data: []byte(m[2])}
	}
	for _, name := range []string{"leaf01", "leaf02"} {
		repo[name+".yaml"] = &fstest.MapFile{Data: []byte("apiVersion: setpoint/v1\nkind: Device\nmetadata: {name: " + name + "}\nspec: {address: " + name + ", credentials: lab, manage: [/interfaces, /network-instances]}\n")}
	}
	r := render(t, repo)
	if len(repo) != 5 || len(r.Mistakes) > 0 || !strings.Contains(string(r.Devices[1].Config), "Ethernet15") {
		t.Fatalf("%d files, %d devices, mistakes %v", len(repo), len(r.Devices), r.Mistakes)
	}
	repo["tenants/tenant-b/request-007.yaml"] = &fstest.MapFile{Data: []byte(strings.NewReplacer("request-001", "request-007", "[leaf01, leaf02]", "[leaf01]", `["Ethernet[1-5]", Ethernet15]`, "[Ethernet3]", "vlan: 10", "vlan: 20").Replace(string(repo["tenants/tenant-a/request-001.yaml"].Data)))}
	shown := regexp.MustCompile("(?m)^(tenants/.*)\n  (hint.*)$").FindStringSubmatch(string(page))
	want := shown[1] + "\n    " + shown[2]
	if r = render(t, repo); len(r.Mistakes) != 1 || line(r.Mistakes[0]) != want {
		t.Errorf("the page shows\n%s, but it is %v", want, r.Mistakes)
	}
}
