package renderer_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/renderer"
)

func TestWhatAChangeAffectsIsExact(t *testing.T) {
	base := template(t)
	delete(base, "policies/links.cue") // some of these take a link's ends apart
	before := render(t, base)
	names := func(n ...models.DeviceName) []models.DeviceName { return n }
	for _, c := range []struct {
		what, file, from, to string
		want                 renderer.Affected
	}{
		{"a comment", "inventory/devices.yaml", "apiVersion", "# hello\napiVersion", renderer.Affected{}},
		{"a var that nobody refers to", "extra/group.yaml", "motd: hello", "motd: bye", renderer.Affected{}},
		{"a var that one device's fragment and a group refer to", "extra/group.yaml", "owner: net", "owner: us", renderer.Affected{Changed: names("leaf01", "leaf02", "leaf03", "leaf04", "leaf09")}},
		{"an address", "extra/device.yaml", "192.0.2.19", "192.0.2.20", renderer.Affected{Changed: names("leaf09")}},
		{"another name", "extra/device.yaml", "name: leaf09", "name: leaf08", renderer.Affected{Added: names("leaf08"), Removed: names("leaf09")}},
		{"a cable's address", "inventory/links.yaml", "10.1.0.1/31", "10.1.0.3/31", renderer.Affected{Changed: names("leaf01", "spine01")}},
	} {
		repo := fstest.MapFS{}
		for name, f := range base {
			repo[name] = f
		}
		if !bytes.Contains(repo[c.file].Data, []byte(c.from)) {
			t.Fatalf("%s holds no %q", c.file, c.from)
		}
		repo[c.file] = &fstest.MapFile{Data: []byte(strings.Replace(string(repo[c.file].Data), c.from, c.to, 1))}
		after, err := new(renderer.Renderer).Render(context.Background(), repo)
		if err != nil || len(after.Mistakes) > 0 {
			t.Fatal(c.what, err, after.Mistakes)
		}
		got := renderer.AffectedBetween(before, after)
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: want (-) got (+)\n%s", c.what, d)
		}
	}
}
