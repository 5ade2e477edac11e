package renderer_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/setpoint-net/setpoint/models/oc"
	"github.com/setpoint-net/setpoint/renderer"
)

// Whole trees, after edits as people make them and don't: with groups, links,
// references, kinds of the library and of the repo's own. What comes out for a
// device without a mistake is taken by ygot as a whole, leafrefs and keys included,
// from a Renderer that has rendered all the trees before.
func FuzzWholeTreesHoldForYgot(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed)
	}
	var warm renderer.Renderer
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 3))
		repo, original := template(t), template(t)
		for range 1 + random.IntN(3) {
			edit(random, original, repo)
		}
		res, err := warm.Render(context.Background(), repo)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range res.Devices {
			device := new(oc.Device)
			if err := oc.Unmarshal(d.Config, device); err != nil {
				t.Fatalf("%s: ygot reads it not: %v\n%s", d.Name, err, d.Config)
			}
			if err := device.Validate(); err != nil {
				t.Fatalf("%s: ygot rejects: %v\n%s", d.Name, err, d.Config)
			}
		}
	})
}
