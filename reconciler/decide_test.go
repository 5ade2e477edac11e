package reconciler

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/setpoint-net/setpoint/models"
)

func TestDecideEachCase(t *testing.T) {
	const hold, applying, settled = models.PhaseHold, models.PhaseApply, models.PhaseSettled
	differs := facts{}
	agrees := facts{agrees: true}
	for _, tt := range []struct {
		name    string
		phase   models.Phase
		applied models.Generation
		state   models.DeviceState
		facts   facts
		want    verdict
	}{
		{"equal, hold", hold, 0, models.DeviceUnknown, facts{equal: true}, settle},
		{"equal, apply", applying, 0, models.DeviceApplying, facts{equal: true}, settle},
		{"equal, held before", applying, 0, models.DeviceHeld, facts{equal: true}, settle},
		{"equal, drifted before", settled, 7, models.DeviceDrifted, facts{equal: true}, settle},

		{"hold never writes", hold, 0, models.DeviceUnknown, differs, observe},
		{"hold never writes, even what was equal", hold, 7, models.DeviceApplied, agrees, observe},
		{"hold never heals", hold, 7, models.DeviceApplied, facts{agrees: true, enforce: true, overdue: true}, observe},
		{"a phase of other rollouts is observed", models.PhaseConfirm, 0, models.DeviceUnknown, differs, observe},
		{"no phase is observed", "", 0, models.DeviceUnknown, agrees, observe},

		{"apply", applying, 0, models.DeviceUnknown, differs, apply},
		{"apply, after a crash", applying, 0, models.DeviceApplying, differs, apply},
		{"apply, caught up", applying, 6, models.DeviceUnreachable, differs, apply},
		{"apply, refused before", applying, 0, models.DeviceHeld, differs, keep},

		{"applied, not settled: a difference counts twice", applying, 7, models.DeviceApplied, differs, confirm},
		{"applied, not settled: recorded", applying, 7, models.DeviceApplied, agrees, drift},
		{"applied, not settled: never healed", applying, 7, models.DeviceApplied, facts{agrees: true, enforce: true, overdue: true}, drift},

		{"settled: a difference counts twice", settled, 7, models.DeviceApplied, facts{enforce: true, overdue: true}, confirm},
		{"settled: alert", settled, 7, models.DeviceApplied, facts{agrees: true, overdue: true}, drift},
		{"settled: enforce, not yet", settled, 7, models.DeviceApplied, facts{agrees: true, enforce: true}, drift},
		{"settled: enforce", settled, 7, models.DeviceDrifted, facts{agrees: true, enforce: true, overdue: true}, heal},
		{"settled: enforce, given up", settled, 7, models.DeviceDrifted, facts{agrees: true, enforce: true, overdue: true, stopped: true}, drift},
		{"settled, status lost", settled, 0, models.DeviceUnknown, agrees, drift},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := models.Assignment{Generation: 7, Hash: "B", Phase: tt.phase}
			s := models.DeviceStatus{Generation: 7, Intended: "B", Applied: tt.applied, State: tt.state}
			if got := decide(a, s, tt.facts); got != tt.want {
				t.Errorf("decide = %d, want %d", got, tt.want)
			}
		})
	}
}

func TestCarryMovesAStatusToItsAssignment(t *testing.T) {
	a := models.Assignment{Generation: 7, Hash: "B"}
	for _, tt := range []struct {
		name       string
		from, want models.DeviceStatus
	}{
		{
			"new device",
			models.DeviceStatus{},
			models.DeviceStatus{Generation: 7, Intended: "B", State: models.DeviceUnknown},
		},
		{
			"same config, applied",
			models.DeviceStatus{Generation: 6, Intended: "B", Applied: 6, State: models.DeviceApplied},
			models.DeviceStatus{Generation: 7, Intended: "B", Applied: 7, State: models.DeviceApplied},
		},
		{
			"same config, drifted",
			models.DeviceStatus{Generation: 6, Intended: "B", Applied: 6, State: models.DeviceDrifted, Reason: "r", Diff: "d", Changes: 2},
			models.DeviceStatus{Generation: 7, Intended: "B", Applied: 7, State: models.DeviceDrifted, Reason: "r", Diff: "d", Changes: 2},
		},
		{
			"same config, held",
			models.DeviceStatus{Generation: 6, Intended: "B", Applied: 5, State: models.DeviceHeld, Reason: "r"},
			models.DeviceStatus{Generation: 7, Intended: "B", Applied: 5, State: models.DeviceHeld, Reason: "r"},
		},
		{
			"same config, about to be sent",
			models.DeviceStatus{Generation: 6, Intended: "B", Applied: 5, State: models.DeviceApplying},
			models.DeviceStatus{Generation: 7, Intended: "B", Applied: 5, State: models.DeviceApplying},
		},
		{
			"another config",
			models.DeviceStatus{Generation: 6, Intended: "A", Applied: 6, State: models.DeviceApplied, Running: "r"},
			models.DeviceStatus{Generation: 7, Intended: "B", Applied: 6, State: models.DeviceUnknown, Running: "r"},
		},
		{
			"another config, held",
			models.DeviceStatus{Generation: 6, Intended: "A", Applied: 5, State: models.DeviceHeld, Reason: "r", Diff: "d", Changes: 1},
			models.DeviceStatus{Generation: 7, Intended: "B", Applied: 5, State: models.DeviceUnknown},
		},
		{
			"another config, unreachable",
			models.DeviceStatus{Generation: 6, Intended: "A", Applied: 6, State: models.DeviceUnreachable, Reason: "down"},
			models.DeviceStatus{Generation: 7, Intended: "B", Applied: 6, State: models.DeviceUnreachable, Reason: "down"},
		},
		{
			"another config in between that was about to be sent",
			models.DeviceStatus{Generation: 6, Intended: "A", Applied: 5, State: models.DeviceApplying},
			models.DeviceStatus{Generation: 7, Intended: "B", Applied: 5, State: models.DeviceUnknown},
		},
		{
			"higher generation",
			models.DeviceStatus{Generation: 8, Intended: "C", State: models.DeviceApplied},
			models.DeviceStatus{Generation: 8, Intended: "C", State: models.DeviceApplied},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := carry(tt.from, a)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if again := carry(got, a); again.Generation <= 7 && cmp.Diff(got, again) != "" {
				t.Errorf("carried twice: %+v", again)
			}
		})
	}
}

func TestMissedTellsAfterThreeAttempts(t *testing.T) {
	in := func(state models.DeviceState, reason string) models.DeviceStatus {
		return models.DeviceStatus{State: state, Reason: reason}
	}
	told := func(state models.DeviceState) models.DeviceStatus {
		return models.DeviceStatus{State: state, Reason: "port 22", Next: triedAgain}
	}
	for _, tt := range []struct {
		name  string
		from  models.DeviceStatus
		class Class
		n     int
		want  models.DeviceStatus
	}{
		{"first, applied", in(models.DeviceApplied, ""), ClassUnreachable, 1, in(models.DeviceApplied, "")},
		{"second, applied", in(models.DeviceApplied, ""), ClassUnreachable, 2, in(models.DeviceApplied, "")},
		{"third, applied", in(models.DeviceApplied, ""), ClassUnreachable, 3, told(models.DeviceUnreachable)},
		{"third, never read", in(models.DeviceUnknown, ""), ClassUnreachable, 3, told(models.DeviceUnreachable)},
		{"third, passing", in(models.DeviceApplied, ""), ClassRetry, 3, told(models.DeviceUnknown)},
		{"third, unknown outcome", in(models.DeviceApplying, ""), ClassUnknown, 3, told(models.DeviceUnknown)},
		{"first, and known to be down", in(models.DeviceUnreachable, "other"), ClassUnreachable, 1, told(models.DeviceUnreachable)},
		{"first, from down to half read", in(models.DeviceUnreachable, "other"), ClassRetry, 1, told(models.DeviceUnknown)},
		{"numbers are no news", in(models.DeviceUnreachable, "port 4711"), ClassUnreachable, 9, in(models.DeviceUnreachable, "port 4711")},
		{"held, first", in(models.DeviceHeld, "refused"), ClassUnreachable, 1, in(models.DeviceHeld, "refused")},
		{"held stays held", in(models.DeviceHeld, "refused"), ClassUnreachable, 3, in(models.DeviceHeld, "refused; not read now: port 22")},
		{"held, told once", in(models.DeviceHeld, "refused; not read now: port 1"), ClassUnreachable, 9, in(models.DeviceHeld, "refused; not read now: port 1")},
		{"held, told anew", in(models.DeviceHeld, "refused; not read now: else"), ClassUnreachable, 9, in(models.DeviceHeld, "refused; not read now: port 22")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, missed(tt.from, tt.class, tt.n, "port 22")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestRecentKeepsTenMinutes(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	heals := []time.Time{now.Add(-11 * time.Minute), now.Add(-healsIn), now.Add(-healsIn + 1), now}
	if got := recent(heals, now); len(got) != 2 {
		t.Errorf("%d kept", len(got))
	}
}

func TestOneLineIsShortAndWhole(t *testing.T) {
	got := oneLine("a\n\tb "+strings.Repeat("ü", 300), 100)
	if len(got) > 100 || !strings.HasPrefix(got, "a b ü") || !strings.HasSuffix(got, "ü…") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	if got := oneLine("short", 100); got != "short" {
		t.Errorf("%q", got)
	}
}

func TestCacheKeepsTheLastUsed(t *testing.T) {
	c := newCache[string, int](2)
	loads := 0
	get := func(key string) {
		t.Helper()
		v, err := c.get(key, func() (int, error) { loads++; return len(key), nil })
		if err != nil || v != len(key) {
			t.Errorf("get %q = %d, %v", key, v, err)
		}
	}
	get("a")
	get("bb")
	get("a")
	get("ccc") // bb goes
	get("a")
	if loads != 3 {
		t.Errorf("%d loads, want 3", loads)
	}
	get("bb")
	if loads != 4 || len(c.slots) != 2 || len(c.order) != 2 {
		t.Errorf("%d loads, %d slots, order %v", loads, len(c.slots), c.order)
	}
}

func TestCacheKeepsNoError(t *testing.T) {
	c := newCache[string, int](2)
	if _, err := c.get("a", func() (int, error) { return 0, errSuperseded }); err == nil {
		t.Error("no error")
	}
	if v, err := c.get("a", func() (int, error) { return 5, nil }); v != 5 || err != nil {
		t.Errorf("get = %d, %v", v, err)
	}
}
