package stage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/renderer"
)

// room is a stage on a real bus, whose commits are trees of the test's.
type room struct {
	*Stage
	bus     *bus.Bus
	trees   map[string]fs.FS
	sweeper *Sweeper
}

func newRoom(t *testing.T, maxStore int64) *room {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{Dir: filepath.Join(t.TempDir(), "store"), MaxStore: maxStore})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &room{bus: b, trees: map[string]fs.FS{}}
	r.sweeper = &Sweeper{
		Renders: bus.TableOf[models.Render](b, "manifests"), Assignments: bus.TableOf[models.Assignment](b, "assignments"),
		Devices: bus.TableOf[models.DeviceStatus](b, "devices"), Rollouts: bus.TableOf[models.Rollout](b, "rollouts"),
		Episodes: bus.TableOf[models.Episode](b, "episodes"), Blobs: b.Blobs(),
	}
	r.Stage = &Stage{
		Commits: bus.TopicOf[models.Head](b, "setpoint.commit"), Heads: bus.TableOf[models.Head](b, "heads"),
		Renders: r.sweeper.Renders, Blobs: b.Blobs(), Sweeper: r.sweeper, Renderer: new(renderer.Renderer),
		Tree: func(commit string) (fs.FS, error) {
			if f, ok := r.trees[commit]; ok {
				return f, nil
			}
			return nil, errors.New("no such commit")
		},
	}
	r.Log = slog.New(slog.DiscardHandler)
	return r
}

// head makes commit the branch's head at generation g.
func (r *room) head(t *testing.T, g models.Generation, commit string) models.Head {
	t.Helper()
	h := models.Head{Generation: g, Branch: "main", New: commit, Seen: time.Now().UTC()}
	_, rev, err := r.Heads.Get(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Heads.Update(t.Context(), "main", h, rev); err != nil {
		t.Fatal(err)
	}
	return h
}

func (r *room) row(t *testing.T, g models.Generation) models.Render {
	t.Helper()
	row, _, err := r.Renders.Get(t.Context(), Key(g))
	if err != nil {
		t.Fatal(err)
	}
	return row
}

// network is a config repo of n devices with this text on an interface.
func network(n int, text string) fs.FS {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "---\napiVersion: setpoint/v1\nkind: Device\nmetadata: {name: leaf%d, labels: {role: leaf}}\nspec: {address: \"192.0.2.%d:9339\", credentials: lab}\n", i, i+1)
	}
	fmt.Fprintf(&b, `---
apiVersion: setpoint/v1
kind: Group
metadata: {name: leaves}
for: {selector: role=leaf}
spec:
  priority: 10
  manage: [/interfaces]
  openconfig: {interfaces: {interface: [{name: Ethernet1, config: {name: Ethernet1, type: ethernetCsmacd, description: %q}}]}}
`, text)
	return fstest.MapFS{"network.yaml": &fstest.MapFile{Data: []byte(b.String())}}
}

func TestARenderedCommitNamesStoredBlobs(t *testing.T) {
	r := newRoom(t, 0)
	r.trees["a"] = network(3, "one")
	if err := r.handle(t.Context(), r.head(t, 1, "a")); err != nil {
		t.Fatal(err)
	}
	row := r.row(t, 1)
	if row.State != models.Rendered || row.Devices != 3 || row.Attempts != 1 {
		t.Fatalf("row is %+v", row)
	}
	var m models.Manifest
	data, err := r.Blobs.Get(t.Context(), row.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	for _, d := range m.Devices {
		if _, err := r.Blobs.Get(t.Context(), d.Config); err != nil {
			t.Errorf("%s: %v", d.Device.Name, err)
		}
	}
}

func TestARepeatedEventChangesNothing(t *testing.T) {
	r := newRoom(t, 0)
	r.trees["a"] = network(1, "one")
	h := r.head(t, 1, "a")
	if err := r.handle(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	before := r.row(t, 1)
	delete(r.trees, "a") // a second rendering would miss it
	if err := r.handle(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if after := r.row(t, 1); after != before {
		t.Errorf("row was %+v and is %+v", before, after)
	}
}

func TestTheBaseIsTheNewestRenderedGenerationBelow(t *testing.T) {
	r := newRoom(t, 0)
	r.trees["a"], r.trees["b"], r.trees["c"] = network(1, "one"), fstest.MapFS{"x.yaml": {Data: []byte("kind: [")}}, network(1, "three")
	for i, c := range []string{"a", "b", "c"} {
		if err := r.handle(t.Context(), r.head(t, models.Generation(i+1), c)); err != nil {
			t.Fatal(err)
		}
	}
	if row := r.row(t, 2); row.State != models.RenderMistakes || row.Mistakes == "" {
		t.Errorf("generation 2 is %+v", row)
	}
	if row := r.row(t, 3); row.Base != 1 || row.BaseHash != r.row(t, 1).Manifest {
		t.Errorf("generation 3 has base %d", row.Base)
	}
}

func TestASupersededCommitIsNotRendered(t *testing.T) {
	r := newRoom(t, 0)
	r.trees["b"] = network(1, "two")
	old := r.head(t, 1, "a")
	r.head(t, 2, "b")
	if err := r.handle(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if row := r.row(t, 1); row.State != models.RenderSkipped || row.Attempts != 0 {
		t.Errorf("row is %+v", row)
	}
}

// TestThreeAttemptsAndNoMore renders a commit whose tree can't be read, as if the
// process had died in each attempt.
func TestThreeAttemptsAndNoMore(t *testing.T) {
	r := newRoom(t, 0)
	h := r.head(t, 1, "gone")
	for i := range maxAttempts {
		if err := r.handle(t.Context(), h); err == nil {
			t.Fatalf("attempt %d says all is well", i+1)
		}
		if row := r.row(t, 1); row.State != models.Rendering || row.Attempts != i+1 {
			t.Fatalf("after attempt %d the row is %+v", i+1, row)
		}
	}
	if err := r.handle(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if row := r.row(t, 1); row.State != models.RenderError || !strings.Contains(row.Reason, "no such commit") {
		t.Errorf("row is %+v", row)
	}
}

// TestAnAttemptIsRecordedBeforeTheWork is what makes a commit that kills the
// process known at the next start.
func TestAnAttemptIsRecordedBeforeTheWork(t *testing.T) {
	r := newRoom(t, 0)
	h := r.head(t, 1, "a")
	r.Tree = func(string) (fs.FS, error) {
		if row := r.row(t, 1); row.Attempts != 1 || row.State != models.Rendering {
			t.Errorf("while it works, the row is %+v", row)
		}
		return network(1, "one"), nil
	}
	if err := r.handle(t.Context(), h); err != nil {
		t.Fatal(err)
	}
}

// TestAFullStoreIsAnErrorOfItsOwn fills the blobs' share, sees the commit end in
// error, and the next one, which fits once the old is swept, rendered.
func TestAFullStoreIsAnErrorOfItsOwn(t *testing.T) {
	r := newRoom(t, 1<<20)
	r.trees["a"] = network(1, "one")
	if err := r.handle(t.Context(), r.head(t, 1, "a")); err != nil {
		t.Fatal(err)
	}
	fillers := r.fill(t)
	r.trees["b"] = network(1, "two")
	if err := r.handle(t.Context(), r.head(t, 2, "b")); err != nil {
		t.Fatal(err)
	}
	if row := r.row(t, 2); row.State != models.RenderError || !strings.Contains(row.Reason, "full") {
		t.Fatalf("row is %+v", row)
	}
	r.release(t)
	r.trees["c"] = network(1, "three")
	if err := r.handle(t.Context(), r.head(t, 3, "c")); err != nil {
		t.Fatal(err)
	}
	if row := r.row(t, 3); row.State != models.Rendered {
		t.Fatalf("row is %+v", row)
	}
	for _, h := range fillers {
		if _, err := r.Blobs.Get(t.Context(), h); !errors.Is(err, bus.ErrNotFound) {
			t.Errorf("a blob that nothing names is still there: %v", err)
		}
	}
	if _, err := r.Blobs.Get(t.Context(), r.row(t, 1).Manifest); err != nil {
		t.Errorf("generation 1's manifest was swept: %v", err)
	}
}

func TestTheSweepKeepsTheLastGenerationsAndWhatIsAssigned(t *testing.T) {
	r := newRoom(t, 0)
	r.sweeper.Keep, r.sweeper.Rows = 2, 3
	for i := range 5 {
		commit := fmt.Sprint("c", i)
		r.trees[commit] = network(1, commit)
		if err := r.handle(t.Context(), r.head(t, models.Generation(i+1), commit)); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			row := r.row(t, 1)
			if _, err := r.sweeper.Assignments.Update(t.Context(), "leaf0", models.Assignment{Generation: 1, Manifest: row.Manifest}, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	rows, err := r.Renders.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 3 {
		t.Errorf("%d rows stay, not 3", len(rows))
	}
	manifests := map[string]bool{}
	for _, e := range rows {
		_, err := r.Blobs.Get(t.Context(), e.Value.Manifest)
		manifests[e.Value.Commit] = err == nil
	}
	// Of c2 the rows name the manifest twice: as its own and as the base of c3.
	if !manifests["c4"] || !manifests["c3"] || !manifests["c2"] {
		t.Errorf("manifests that are there: %v", manifests)
	}
	assigned, _, err := r.sweeper.Assignments.Get(t.Context(), "leaf0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Blobs.Get(t.Context(), assigned.Manifest); err != nil {
		t.Errorf("the assigned manifest was swept: %v", err)
	}
}

// A person may allow what a guard holds long after it was rendered.
func TestTheSweepKeepsWhatIsHeld(t *testing.T) {
	r := newRoom(t, 0)
	r.sweeper.Keep = 1
	var manifests []models.Hash
	for i := range 5 {
		commit := fmt.Sprint("c", i)
		r.trees[commit] = network(1, commit)
		if err := r.handle(t.Context(), r.head(t, models.Generation(i+1), commit)); err != nil {
			t.Fatal(err)
		}
		row := r.row(t, models.Generation(i+1))
		manifests = append(manifests, row.Manifest)
		if i == 0 {
			held := models.Rollout{Generation: 1, Manifest: row.Manifest, State: models.RolloutHeld}
			if _, err := r.sweeper.Rollouts.Update(t.Context(), "1", held, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := r.Blobs.Get(t.Context(), manifests[0]); err != nil {
		t.Errorf("what is held was swept: %v", err)
	}
	if _, err := r.Blobs.Get(t.Context(), manifests[1]); err == nil {
		t.Error("what nothing names was kept: the sweep did not run")
	}
}

// fill takes up the blobs' share of the store, to the last kilobyte, with blobs
// that rows of the table devices name, so that no sweep may take them.
func (r *room) fill(t *testing.T) []models.Hash {
	t.Helper()
	var all []models.Hash
	rng := rand.NewChaCha8([32]byte{})
	for size := 1 << 18; size >= 64; {
		noise := make([]byte, size)
		if _, err := rng.Read(noise); err != nil {
			t.Fatal(err)
		}
		h, err := r.Blobs.Put(t.Context(), noise)
		if errors.Is(err, bus.ErrFull) {
			size /= 2
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprint("filler", len(all))
		if _, err := r.sweeper.Devices.Update(t.Context(), key, models.DeviceStatus{Running: h[0]}, 0); err != nil {
			t.Fatal(err)
		}
		all = append(all, h[0])
	}
	if len(all) < 2 {
		t.Fatalf("%d blobs filled the store", len(all))
	}
	return all
}

// release removes the rows that name the fillers.
func (r *room) release(t *testing.T) {
	t.Helper()
	rows, err := r.sweeper.Devices.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for key, e := range rows {
		if err := r.sweeper.Devices.Delete(t.Context(), key, e.Rev); err != nil {
			t.Fatal(err)
		}
	}
}

// The row says whether there are policies, and how much they warn of; what goes
// with the manifest.
func TestTheRowCountsWarnings(t *testing.T) {
	r := newRoom(t, 0)
	policies := func(mode string) fs.FS {
		tree := maps.Clone(network(2, "todo").(fstest.MapFS))
		tree["policies/p.cue"] = &fstest.MapFile{Data: []byte(`package policies
#Texts: {
	mode: "` + mode + `"
	paths: texts: "/interfaces/interface/config/description"
	device: texts: [...]
	violations: [for t in device.texts if t.value == "todo" {path: t.path, message: "says nothing"}]
}
`)}
		return tree
	}
	r.trees["a"], r.trees["b"], r.trees["c"] = network(2, "todo"), policies("warn"), policies("deny")
	for i, want := range []models.Render{
		{State: models.Rendered},
		{State: models.Rendered, Policies: true, Warnings: 1},
		{State: models.RenderMistakes, Policies: true},
	} {
		g := models.Generation(i + 1)
		if err := r.handle(t.Context(), r.head(t, g, string("abc"[i]))); err != nil {
			t.Fatal(err)
		}
		if row := r.row(t, g); row.State != want.State || row.Policies != want.Policies || row.Warnings != want.Warnings {
			t.Errorf("%+v", row)
		}
	}
}

// What policies warn of goes with the commit that it is about.
func TestTheManifestCarriesWarnings(t *testing.T) {
	warned := models.Mistake{File: "devices.yaml", Line: 4, Code: "policy", Message: "policy Frames: 1500 is not 9214"}
	data, _, err := Manifest(&renderer.Result{Warnings: []models.Mistake{warned}})
	if err != nil {
		t.Fatal(err)
	}
	var m models.Manifest
	if err := json.Unmarshal(data, &m); err != nil || len(m.Warnings) != 1 || m.Warnings[0] != warned {
		t.Errorf("%v: %s", err, data)
	}
}
