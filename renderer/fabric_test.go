package renderer_test

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	repotemplate "github.com/setpoint-net/setpoint/repo-template"
)

// network is the config repo that "setpoint init --devices" writes, and two more
// documents: what a tenth of the devices have, and what ten have. Most of what a
// device gets is its own: addresses, neighbors, descriptions.
func network(t testing.TB, n int) fstest.MapFS {
	t.Helper()
	files, err := repotemplate.Fabric(n)
	if err != nil {
		t.Fatal(err)
	}
	repo := fstest.MapFS{}
	var names []string
	for _, file := range slices.Sorted(maps.Keys(files)) {
		repo[file] = &fstest.MapFile{Data: files[file]}
		if path.Base(file) != "devices.yaml" {
			continue
		}
		for _, doc := range strings.Split(string(files[file]), "kind: Device\nmetadata: {name: ")[1:] {
			name, _, _ := strings.Cut(doc, ",")
			names = append(names, name)
		}
	}
	if len(names) != n {
		t.Fatalf("%d devices, want %d", len(names), n)
	}
	for what, some := range map[string][]string{"tenth": names[:n/10], "ten": names[n-10:]} {
		repo["fabric/"+what+".yaml"] = &fstest.MapFile{Data: fmt.Appendf(nil, `apiVersion: setpoint/v1
kind: Group
metadata: {name: %s}
for: {devices: [%s]}
spec: {priority: 20, openconfig: {system: {config: {motd-banner: "${name} is of the %[1]s"}}}}
`, what, strings.Join(some, ", "))}
	}
	return repo
}
