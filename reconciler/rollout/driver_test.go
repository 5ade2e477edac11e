package rollout

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
)

// house is a real store with a driver's tables.
type house struct {
	*Driver
	t   testing.TB
	ctx context.Context
}

func newHouse(t testing.TB) *house {
	t.Helper()
	return newHouseAt(t, filepath.Join(t.TempDir(), "store"))
}

// newHouseAt opens the store of a folder.
func newHouseAt(t testing.TB, dir string) *house {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	b, err := bus.Open(ctx, bus.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	d := &Driver{
		Renders:     bus.TableOf[models.Render](b, "manifests"),
		Assignments: bus.TableOf[models.Assignment](b, "assignments"),
		Devices:     bus.TableOf[models.DeviceStatus](b, "devices"),
		Rollouts:    bus.TableOf[models.Rollout](b, "rollouts"),
		Bus:         b,
		Blobs:       b.Blobs(),
	}
	if testing.Verbose() {
		d.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	return &house{Driver: d, t: t, ctx: ctx}
}

// start runs the driver; the returned function stops it and waits.
func (h *house) start() (stop func()) {
	ctx, cancel := context.WithCancel(h.ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := h.Run(ctx); err != nil {
			h.t.Error(err)
		}
	})
	return func() { cancel(); wg.Wait() }
}

// put overwrites a row, as another stage would.
func put[T any](h *house, t *bus.Table[T], key string, v T) {
	h.t.Helper()
	_, rev, err := t.Get(h.ctx, key)
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := t.Update(h.ctx, key, v, rev); err != nil {
		h.t.Fatal(err)
	}
}

// rendered stores a manifest and its row, as the renderer would.
func (h *house) rendered(g models.Generation, devices ...models.Intended) {
	h.t.Helper()
	data, err := json.Marshal(models.Manifest{Devices: devices})
	if err != nil {
		h.t.Fatal(err)
	}
	hashes, err := h.Blobs.Put(h.ctx, data)
	if err != nil {
		h.t.Fatal(err)
	}
	put(h, h.Renders, key(g), models.Render{Generation: g, Commit: fmt.Sprint("c", g), State: models.Rendered, Manifest: hashes[0], Devices: len(devices)})
}

func (h *house) status(name models.DeviceName, g models.Generation, intended models.Hash, state models.DeviceState, reason string) {
	h.t.Helper()
	s := models.DeviceStatus{Generation: g, Intended: intended, State: state, Reason: reason}
	if state == models.DeviceApplied {
		s.Applied = g
	}
	put(h, h.Devices, string(name), s)
}

// await returns a row once it is as ok says; a zero value stands for a row that
// is gone.
func await[T any](h *house, t *bus.Table[T], key string, ok func(T) bool) T {
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	changes, err := t.Watch(ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	var last T
	for c := range changes {
		if c.Key == key {
			last = c.Value
		}
		if (c.Key == key || c.Current) && ok(last) {
			return last
		}
	}
	h.t.Fatalf("%s: waited in vain; last %+v", key, last)
	return last
}

func (h *house) rollout(g models.Generation, state models.RolloutState) models.Rollout {
	h.t.Helper()
	return await(h, h.Rollouts, key(g), func(r models.Rollout) bool { return r.State == state })
}

func (h *house) assignment(name models.DeviceName, g models.Generation, phase models.Phase) models.Assignment {
	h.t.Helper()
	return await(h, h.Assignments, string(name), func(a models.Assignment) bool { return a.Generation == g && a.Phase == phase })
}

func auto(name models.DeviceName, config models.Hash) models.Intended {
	return models.Intended{Device: models.Device{Name: name, Adopt: models.AdoptAuto}, Config: config}
}

func TestDriverTakesAGenerationToDone(t *testing.T) {
	h := newHouse(t)
	defer h.start()()
	h.rendered(1, auto("a", "A1"), auto("b", "B1"))
	h.assignment("a", 1, apply)
	h.status("a", 1, "A1", models.DeviceApplied, "")
	h.assignment("a", 1, settled)
	if r := h.rollout(1, models.RolloutRunning); r.Total != 2 || r.Changed != 2 || r.Commit != "c1" {
		t.Errorf("rollout %+v", r)
	}
	h.status("b", 1, "B1", models.DeviceApplied, "")
	if r := h.rollout(1, models.RolloutDone); r.Converged != 2 || r.Ended.IsZero() {
		t.Errorf("rollout %+v", r)
	}
	h.assignment("b", 1, settled)
}

func TestDriverKeepsUnchangedDevicesSettled(t *testing.T) {
	h := newHouse(t)
	defer h.start()()
	h.rendered(1, auto("a", "A1"), auto("b", "B1"))
	h.status("a", 1, "A1", models.DeviceApplied, "")
	h.status("b", 1, "B1", models.DeviceApplied, "")
	h.rollout(1, models.RolloutDone)
	h.status("a", 1, "A1", models.DeviceDrifted, "drift that stands")
	h.rendered(2, auto("a", "A1"), auto("b", "B2"))
	if a := h.assignment("a", 2, settled); a.Commit != "c2" {
		t.Errorf("assignment %+v", a)
	}
	if b := h.assignment("b", 2, apply); b.Previous != "B1" || b.Hash != "B2" {
		t.Errorf("assignment %+v", b)
	}
	h.status("b", 2, "B2", models.DeviceApplied, "")
	if r := h.rollout(2, models.RolloutDone); r.Changed != 1 || r.Converged != 2 {
		t.Errorf("rollout %+v", r)
	}
}

func TestDriverSupersedesAndIgnoresTheOlder(t *testing.T) {
	h := newHouse(t)
	defer h.start()()
	h.rendered(1, auto("a", "A1"))
	h.assignment("a", 1, apply)
	h.rendered(3, auto("a", "A3"))
	if a := h.assignment("a", 3, apply); a.Previous != "" {
		t.Errorf("previous %q, though it was settled on nothing", a.Previous)
	}
	if r := h.rollout(1, models.RolloutSuperseded); r.By != 3 {
		t.Errorf("rollout %+v", r)
	}
	h.rendered(2, auto("a", "A2")) // late
	h.status("a", 1, "A1", models.DeviceApplied, "")
	h.status("a", 3, "A3", models.DeviceApplied, "")
	h.rollout(3, models.RolloutDone)
	if _, rev, err := h.Rollouts.Get(h.ctx, key(2)); err != nil || rev != 0 {
		t.Errorf("generation 2 has a rollout (%v)", err)
	}
	h.assignment("a", 3, settled)
}

func TestDriverEndsIncompleteAndCatchesUp(t *testing.T) {
	h := newHouse(t)
	defer h.start()()
	h.rendered(1, auto("a", "A1"), auto("b", "B1"), models.Intended{Device: models.Device{Name: "c"}, Config: "C1"})
	h.status("a", 1, "A1", models.DeviceHeld, "refused: mtu")
	h.status("b", 1, "B1", models.DeviceUnreachable, "no route")
	h.status("c", 1, "C1", models.DeviceObserved, "awaits approval")
	r := h.rollout(1, models.RolloutIncomplete)
	want := [][]models.DeviceNote{{{Device: "a", Reason: "refused: mtu"}}, {{Device: "b", Reason: "no route"}}, {{Device: "c", Reason: "awaits approval"}}}
	if diff := cmp.Diff(want, [][]models.DeviceNote{r.Held, r.Deferred, r.Awaiting}); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	h.status("a", 1, "A1", models.DeviceApplied, "")
	h.status("b", 1, "B1", models.DeviceApplied, "")
	h.status("c", 1, "C1", models.DeviceApplied, "")
	h.rollout(1, models.RolloutDone)
	h.assignment("c", 1, hold) // equal by itself; adopting it is a person's word
}

func TestDriverLeavesAGenerationWithMistakesAlone(t *testing.T) {
	h := newHouse(t)
	defer h.start()()
	h.rendered(1, auto("a", "A1"))
	h.assignment("a", 1, apply)
	put(h, h.Renders, key(2), models.Render{Generation: 2, State: models.RenderMistakes})
	h.status("a", 1, "A1", models.DeviceApplied, "")
	h.rollout(1, models.RolloutDone)
	h.assignment("a", 1, settled)
}

func TestDriverReleasesDevicesThatAreGone(t *testing.T) {
	h := newHouse(t)
	defer h.start()()
	h.rendered(1, auto("a", "A1"), auto("b", "B1"))
	h.assignment("b", 1, apply)
	h.rendered(2, auto("a", "A1"))
	await(h, h.Assignments, "b", func(a models.Assignment) bool { return a.Generation == 0 })
	h.status("a", 2, "A1", models.DeviceApplied, "")
	if r := h.rollout(2, models.RolloutDone); r.Total != 1 {
		t.Errorf("rollout %+v", r)
	}
}

func TestDriverGoesOnAfterARestart(t *testing.T) {
	h := newHouse(t)
	stop := h.start()
	h.rendered(1, auto("a", "A1"), auto("b", "B1"))
	h.status("a", 1, "A1", models.DeviceApplied, "")
	h.assignment("a", 1, settled)
	stop()
	h.status("b", 1, "B1", models.DeviceApplied, "")
	stop = h.start()
	h.rollout(1, models.RolloutDone)
	stop()
	h.rendered(2, auto("b", "B2"))
	defer h.start()()
	h.assignment("b", 2, apply)
	await(h, h.Assignments, "a", func(a models.Assignment) bool { return a.Generation == 0 })
}

// A fan-out of several batches may be cut short between them: then some devices
// have the generation, and it has no rollout.
func TestDriverFinishesAFanOutThatWasCutShort(t *testing.T) {
	h := newHouse(t)
	put(h, h.Assignments, "a", models.Assignment{Generation: 2, Hash: "A2", Phase: apply})
	put(h, h.Assignments, "b", models.Assignment{Generation: 1, Hash: "B1", Phase: settled})
	put(h, h.Rollouts, key(1), models.Rollout{Generation: 1, State: models.RolloutRunning, Total: 2})
	h.rendered(2, auto("a", "A2"), auto("b", "B2"))
	defer h.start()()
	h.assignment("b", 2, apply)
	h.rollout(2, models.RolloutRunning)
	h.rollout(1, models.RolloutSuperseded)
}

func TestDriverSurvivesAMissingManifest(t *testing.T) {
	h := newHouse(t)
	defer h.start()()
	put(h, h.Renders, key(1), models.Render{Generation: 1, State: models.Rendered, Manifest: "0123456789abcdef"})
	h.rendered(2, auto("a", "A2"))
	h.assignment("a", 2, apply)
}

// Two drivers by mistake: each row is written by one of them.
func TestDriverLosesToAnotherWithoutHarm(t *testing.T) {
	h := newHouse(t)
	defer h.start()()
	defer h.start()()
	for g := models.Generation(1); g <= 5; g++ {
		config := models.Hash(fmt.Sprint("A", g))
		h.rendered(g, auto("a", config), auto("b", config))
		h.assignment("a", g, apply)
		h.status("a", g, config, models.DeviceApplied, "")
		h.status("b", g, config, models.DeviceApplied, "")
		if r := h.rollout(g, models.RolloutDone); r.Converged != 2 || r.Changed != 2 {
			t.Errorf("rollout %+v", r)
		}
	}
}
