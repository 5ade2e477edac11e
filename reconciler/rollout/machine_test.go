package rollout

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/setpoint-net/setpoint/models"
)

const (
	hold    = models.PhaseHold
	apply   = models.PhaseApply
	settled = models.PhaseSettled
)

func render(g models.Generation, state models.RenderState) models.Render {
	return models.Render{Generation: g, State: state, Commit: "c", Manifest: "m"}
}

func TestElectTakesTheNewestRendered(t *testing.T) {
	type renders = map[models.Generation]models.Render
	type rollouts = map[models.Generation]models.Rollout
	all := func(rs ...models.Render) renders {
		m := renders{}
		for _, r := range rs {
			m[r.Generation] = r
		}
		return m
	}
	for _, tt := range []struct {
		name     string
		renders  renders
		rollouts rollouts
		now      assigned
		want     models.Generation
	}{
		{name: "nothing", want: 0},
		{name: "the newest of two", renders: all(render(1, models.Rendered), render(2, models.Rendered)), want: 2},
		{name: "not one with mistakes", renders: all(render(1, models.Rendered), render(2, models.RenderMistakes)), want: 1},
		{name: "not one that is being rendered", renders: all(render(1, models.Rendered), render(2, models.Rendering)), want: 1},
		{name: "not one in error", renders: all(render(1, models.RenderError)), want: 0},
		{name: "not one that was skipped", renders: all(render(1, models.RenderSkipped)), want: 0},
		{name: "not one that has a rollout", renders: all(render(1, models.Rendered)), rollouts: rollouts{1: {}}, want: 0},
		{name: "not one below a rollout", renders: all(render(1, models.Rendered)), rollouts: rollouts{2: {}}, want: 0},
		{name: "above a rollout", renders: all(render(3, models.Rendered)), rollouts: rollouts{2: {}}, want: 3},
		{name: "not one below an assignment", renders: all(render(3, models.Rendered)), now: assigned{"a": {Generation: 4}}, want: 0},
		{name: "one whose fan-out was cut short", renders: all(render(3, models.Rendered)), now: assigned{"a": {Generation: 3}}, want: 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := elect(tt.renders, tt.rollouts, tt.now)
			if got.Generation != tt.want || ok != (tt.want > 0) {
				t.Errorf("elect = %d, %v; want %d", got.Generation, ok, tt.want)
			}
		})
	}
}

func TestAssignMovesEachDeviceByItsPhase(t *testing.T) {
	r := models.Render{Generation: 7, Commit: "c7", Manifest: "m7"}
	old := func(h, prev models.Hash, p models.Phase) *models.Assignment {
		return &models.Assignment{Generation: 6, Commit: "c6", Manifest: "m6", Hash: h, Previous: prev, Phase: p}
	}
	for _, tt := range []struct {
		name    string
		adopt   models.Adopt
		old     *models.Assignment
		phase   models.Phase
		prev    models.Hash
		changed int
	}{
		{"new, to be approved", models.AdoptApprove, nil, hold, "", 1},
		{"new, adopted at once", models.AdoptAuto, nil, apply, "", 1},
		{"new, adopt not said", "", nil, hold, "", 1},
		{"settled, unchanged", models.AdoptAuto, old("B", "A", settled), settled, "A", 0},
		{"settled, changed", models.AdoptAuto, old("A", "Z", settled), apply, "A", 1},
		{"settled, changed, and adopt became approve", models.AdoptApprove, old("A", "Z", settled), apply, "A", 1},
		{"pending, unchanged", models.AdoptAuto, old("B", "A", apply), apply, "A", 0},
		{"pending, changed: previous is what it was settled on", models.AdoptAuto, old("X", "A", apply), apply, "A", 1},
		{"held back, unchanged", models.AdoptApprove, old("B", "", hold), hold, "", 0},
		{"held back, changed", models.AdoptApprove, old("A", "", hold), hold, "", 1},
		{"held back, and adopt became auto", models.AdoptAuto, old("B", "", hold), apply, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := assigned{}
			if tt.old != nil {
				now["leaf01"] = *tt.old
			}
			m := models.Manifest{Devices: []models.Intended{{Device: models.Device{Name: "leaf01", Adopt: tt.adopt}, Config: "B"}}}
			moves, changed := assign(r, m, now)
			want := assigned{"leaf01": {Generation: 7, Commit: "c7", Manifest: "m7", Hash: "B", Previous: tt.prev, Phase: tt.phase}}
			if diff := cmp.Diff(want, moves); diff != "" || changed != tt.changed {
				t.Errorf("changed %d, want %d; (-want +got)\n%s", changed, tt.changed, diff)
			}
		})
	}
}

func TestAssignGoesOnWhereAFanOutWasCutShort(t *testing.T) {
	m := models.Manifest{Devices: []models.Intended{{Device: models.Device{Name: "a"}, Config: "B"}, {Device: models.Device{Name: "b", Adopt: models.AdoptAuto}, Config: "B"}}}
	now := assigned{"a": {Generation: 7, Hash: "B", Phase: apply}, "b": {Generation: 6, Hash: "A", Phase: settled}}
	moves, changed := assign(models.Render{Generation: 7}, m, now)
	if len(moves) != 1 || moves["b"].Generation != 7 || changed != 2 {
		t.Errorf("moves %v, changed %d", moves, changed)
	}
}

func TestAssignNeverGoesBack(t *testing.T) {
	m := models.Manifest{Devices: []models.Intended{{Device: models.Device{Name: "a", Adopt: models.AdoptAuto}, Config: "B"}}}
	moves, _ := assign(models.Render{Generation: 7}, m, assigned{"a": {Generation: 8, Hash: "C", Phase: apply}})
	if len(moves) > 0 {
		t.Errorf("moves %v", moves)
	}
}

func TestJudgeEachOutcome(t *testing.T) {
	at := func(state models.DeviceState) models.DeviceStatus {
		return models.DeviceStatus{Generation: 7, Intended: "B", State: state}
	}
	with := func(s models.DeviceStatus, f func(*models.DeviceStatus)) models.DeviceStatus {
		f(&s)
		return s
	}
	for _, tt := range []struct {
		name   string
		phase  models.Phase
		status models.DeviceStatus
		want   outcome
	}{
		{"no word", apply, models.DeviceStatus{}, pending},
		{"settled", settled, models.DeviceStatus{}, converged},
		{"settled and drifted", settled, at(models.DeviceDrifted), converged},
		{"settled and unreachable", settled, at(models.DeviceUnreachable), converged},
		{"applied", apply, at(models.DeviceApplied), arrived},
		{"applied, then unreachable", apply, with(at(models.DeviceUnreachable), func(s *models.DeviceStatus) { s.Applied = 7 }), arrived},
		{"applied, then drifted", apply, with(at(models.DeviceDrifted), func(s *models.DeviceStatus) { s.Applied = 7 }), arrived},
		{"applied before", apply, with(at(models.DeviceUnreachable), func(s *models.DeviceStatus) { s.Applied = 6 }), deferred},
		{"applied another generation", apply, with(at(models.DeviceApplied), func(s *models.DeviceStatus) { s.Generation = 6 }), pending},
		{"applied another config", apply, with(at(models.DeviceApplied), func(s *models.DeviceStatus) { s.Intended = "A" }), pending},
		{"held back, equal by itself", hold, at(models.DeviceApplied), converged},
		{"held back, observed", hold, at(models.DeviceObserved), awaiting},
		{"held back, was equal, now unreachable", hold, with(at(models.DeviceUnreachable), func(s *models.DeviceStatus) { s.Applied = 7 }), deferred},
		{"applying", apply, at(models.DeviceApplying), pending},
		{"held", apply, at(models.DeviceHeld), held},
		{"unreachable", apply, at(models.DeviceUnreachable), deferred},
		{"unknown, not read yet", apply, at(models.DeviceUnknown), pending},
		{"unknown with a reason", apply, with(at(models.DeviceUnknown), func(s *models.DeviceStatus) { s.Reason = "partial" }), deferred},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := judge(models.Assignment{Generation: 7, Hash: "B", Phase: tt.phase}, tt.status); got != tt.want {
				t.Errorf("judge = %d, want %d", got, tt.want)
			}
		})
	}
}

func TestTallyEndsARollout(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := start.Add(time.Minute)
	a := func(p models.Phase) models.Assignment { return models.Assignment{Generation: 7, Hash: "B", Phase: p} }
	s := func(state models.DeviceState, reason string) models.DeviceStatus {
		return models.DeviceStatus{Generation: 7, Intended: "B", State: state, Reason: reason}
	}
	running := models.Rollout{Generation: 7, State: models.RolloutRunning, Total: 3, Started: start}
	for _, tt := range []struct {
		name     string
		from     models.Rollout
		now      assigned
		statuses map[models.DeviceName]models.DeviceStatus
		want     models.Rollout
		settle   []models.DeviceName
	}{
		{
			"goes on while one has no word", running,
			assigned{"a": a(settled), "b": a(apply), "c": a(apply), "d": {Generation: 6, Phase: settled}},
			map[models.DeviceName]models.DeviceStatus{"b": s(models.DeviceApplied, ""), "c": s(models.DeviceApplying, "")},
			models.Rollout{Generation: 7, State: models.RolloutRunning, Total: 3, Started: start, Converged: 2},
			[]models.DeviceName{"b"},
		},
		{
			"done", running,
			assigned{"a": a(settled), "b": a(apply), "c": a(hold)},
			map[models.DeviceName]models.DeviceStatus{"b": s(models.DeviceApplied, ""), "c": s(models.DeviceApplied, "")},
			models.Rollout{Generation: 7, State: models.RolloutDone, Total: 3, Started: start, Converged: 3, Ended: at},
			[]models.DeviceName{"b"},
		},
		{
			"incomplete, each in its list", running,
			assigned{"a": a(hold), "b": a(apply), "c": a(apply)},
			map[models.DeviceName]models.DeviceStatus{"a": s(models.DeviceObserved, "awaits"), "b": s(models.DeviceHeld, "refused:\n it"), "c": s(models.DeviceUnreachable, "down")},
			models.Rollout{
				Generation: 7, State: models.RolloutIncomplete, Total: 3, Started: start, Ended: at,
				Held: []models.DeviceNote{{Device: "b", Reason: "refused: it"}}, Deferred: []models.DeviceNote{{Device: "c", Reason: "down"}}, Awaiting: []models.DeviceNote{{Device: "a", Reason: "awaits"}},
			},
			nil,
		},
		{
			"incomplete stays while a device catches up",
			models.Rollout{Generation: 7, State: models.RolloutIncomplete, Total: 3, Ended: start},
			assigned{"a": a(settled), "b": a(settled), "c": a(apply)},
			map[models.DeviceName]models.DeviceStatus{"c": s(models.DeviceApplying, "")},
			models.Rollout{Generation: 7, State: models.RolloutIncomplete, Total: 3, Ended: start, Converged: 2},
			nil,
		},
		{
			"incomplete is done after catch-up",
			models.Rollout{Generation: 7, State: models.RolloutIncomplete, Total: 2, Ended: start, Deferred: []models.DeviceNote{{Device: "b"}}},
			assigned{"a": a(settled), "b": a(apply)},
			map[models.DeviceName]models.DeviceStatus{"b": s(models.DeviceApplied, "")},
			models.Rollout{Generation: 7, State: models.RolloutDone, Total: 2, Ended: at, Converged: 2},
			[]models.DeviceName{"b"},
		},
		{
			"done stays done",
			models.Rollout{Generation: 7, State: models.RolloutDone, Total: 1, Converged: 1, Ended: start},
			assigned{"a": a(apply)},
			nil,
			models.Rollout{Generation: 7, State: models.RolloutDone, Total: 1, Converged: 1, Ended: start},
			nil,
		},
		{
			"superseded stays superseded",
			models.Rollout{Generation: 7, State: models.RolloutSuperseded, By: 8, Total: 1},
			assigned{"a": a(settled)},
			nil,
			models.Rollout{Generation: 7, State: models.RolloutSuperseded, By: 8, Total: 1},
			nil,
		},
		{
			"held stays held",
			models.Rollout{Generation: 7, State: models.RolloutHeld},
			assigned{},
			nil,
			models.Rollout{Generation: 7, State: models.RolloutHeld},
			nil,
		},
		{
			"an empty manifest is done at once",
			models.Rollout{Generation: 7, State: models.RolloutRunning},
			assigned{},
			nil,
			models.Rollout{Generation: 7, State: models.RolloutDone, Ended: at},
			nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, settle := tally(tt.from, tt.now, tt.statuses, at)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(tt.settle, settle); diff != "" {
				t.Errorf("settle (-want +got)\n%s", diff)
			}
		})
	}
}

func TestSupersedeEndsWhatIsNotDone(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, from := range []models.RolloutState{models.RolloutRunning, models.RolloutIncomplete, models.RolloutDone, models.RolloutSuperseded} {
		got := supersede(models.Rollout{Generation: 1, State: from}, 5, now)
		want := models.Rollout{Generation: 1, State: models.RolloutSuperseded, By: 5, Ended: now}
		if from == models.RolloutDone || from == models.RolloutSuperseded {
			want = models.Rollout{Generation: 1, State: from}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", from, diff)
		}
	}
}

func TestNotesStayShort(t *testing.T) {
	long := models.DeviceStatus{Reason: strings.Repeat("ü", 500)}
	if n := note("a", long, 0); len(n.Reason) > noteLength || !strings.HasSuffix(n.Reason, "ü…") {
		t.Errorf("reason of %d bytes: %q", len(n.Reason), n.Reason)
	}
	if n := note("a", long, noteCount); n.Reason != "" {
		t.Errorf("reason %q beyond the limit", n.Reason)
	}
}

func BenchmarkTally10000(b *testing.B) {
	now, statuses := assigned{}, map[models.DeviceName]models.DeviceStatus{}
	for i := range 10_000 {
		name := models.DeviceName(strings.Repeat("x", i%7) + time.Duration(i).String())
		now[name] = models.Assignment{Generation: 7, Hash: "B", Phase: apply}
		statuses[name] = models.DeviceStatus{Generation: 7, Intended: "B", State: models.DeviceApplied}
	}
	for b.Loop() {
		tally(models.Rollout{Generation: 7, State: models.RolloutRunning, Total: len(now)}, now, statuses, time.Time{})
	}
}
