package reconciler

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// writtenBy says how the device a is written.
func (l *lab) writtenBy(apply models.Apply, phases ...[]string) {
	d := l.entry["a"]
	d.Apply, d.Phases = apply, phases
	l.entry["a"] = d
}

func TestASecretThatIsShownAnewIsSentInClearWhereARootIsReplaced(t *testing.T) {
	inLab(t, func(l *lab) {
		n := 0
		g := l.device("a", host("old"), models.Drift{Mode: models.DriftEnforce})
		g.shows = hashing(func() string { n++; return fmt.Sprint("salt", n) })
		l.writtenBy(models.ApplyRoot)
		l.start()
		l.assign(1, models.PhaseApply, admin("new", "horse"), "a")
		l.wait(5 * time.Second)
		l.assign(1, models.PhaseSettled, admin("new", "horse"), "a")
		l.wait(5 * time.Hour)
		l.want("a", models.DeviceApplied, 1, 1)

		// All of /system is replaced for the sake of one leaf.
		g.do(func(g *gear) { g.becomes(with(g.running, "/system/config/hostname", "moved")) })
		l.wait(time.Minute)
		l.want("a", models.DeviceApplied, 1, 2)
		if got := textAt(g.running, passwordPath); got != "horse" {
			t.Errorf("the device has %q", got)
		}
	})
}

func TestWhatCameAlongIsNotReplacedAway(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("old"), models.Drift{Mode: models.DriftEnforce})
		g.came = func(t *tree.Tree) *tree.Tree { return with(t, "/system/config/login-banner", "made by the device") }
		l.writtenBy(models.ApplyRoot)
		l.start()
		l.assign(1, models.PhaseApply, host("new"), "a")
		l.wait(10 * time.Second)
		l.assign(1, models.PhaseSettled, host("new"), "a")
		g.do(func(g *gear) { g.came = nil; g.becomes(with(g.running, "/system/config/hostname", "moved")) })
		l.wait(time.Minute)
		l.want("a", models.DeviceApplied, 1, 2)
		if got := textAt(g.running, "/system/config/login-banner"); got != "made by the device" {
			t.Errorf("the banner is %q", got)
		}
	})
}

func TestWhatIsIgnoredBelowARootIsNotReplaced(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", admin("old", "theirs"), models.Drift{Ignore: []models.Ignored{{Path: "/system/aaa", Reason: "another team's"}}})
		l.writtenBy(models.ApplyRoot)
		l.start()
		l.assign(1, models.PhaseApply, host("new"), "a")
		l.wait(10 * time.Second)
		l.want("a", models.DeviceApplied, 1, 1)
		if name, password := textAt(g.running, "/system/config/hostname"), textAt(g.running, passwordPath); name != "new" || password != "theirs" {
			t.Errorf("the device has %q and %q", name, password)
		}
	})
}

// phased is a device in two phases, whose Sets are answered by the errors in their
// order. A Set that is refused does nothing.
func (l *lab) phased(running string, policy models.Drift, answers ...error) *gear {
	g := l.device("a", running, policy)
	l.writtenBy("", []string{"/system/config"}, []string{"/system/aaa"})
	g.set = func() (bool, error) {
		if len(answers) == 0 {
			return true, nil
		}
		err := answers[0]
		answers = answers[1:]
		return err == nil || err == errNoAnswer, err
	}
	return g
}

func TestAPhaseThatIsRefusedLeavesTheEarlierOnesAndHolds(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.phased(host("old"), models.Drift{}, nil, errRefused)
		l.start()
		l.assign(1, models.PhaseApply, admin("new", "horse"), "a")
		l.wait(time.Hour)
		s := l.want("a", models.DeviceHeld, 1, 2)
		if want := "refused in phase 2 of 2, phase 1 stays: InvalidArgument"; !strings.HasPrefix(s.Reason, want) {
			t.Errorf("reason %q, want %q", s.Reason, want)
		}
		if s.Changes != 1 || textAt(g.running, "/system/config/hostname") != "new" {
			t.Errorf("%d changes are left; the device runs %s", s.Changes, g.running.Canonical())
		}
		// What is left is one phase, and one request.
		if diff := l.text(s.Diff); strings.Contains(diff, "hostname") || strings.Contains(diff, "phases") {
			t.Errorf("the plan that is left:\n%s", diff)
		}
		l.assign(2, models.PhaseApply, admin("new", "donkey"), "a")
		l.wait(time.Minute)
		l.want("a", models.DeviceApplied, 2, 3)
	})
}

func TestAPhaseThatIsNotAnsweredEndsTheAttemptAndIsReadFirst(t *testing.T) {
	inLab(t, func(l *lab) {
		l.phased(host("old"), models.Drift{}, errNoAnswer)
		l.start()
		l.assign(1, models.PhaseApply, admin("new", "horse"), "a")
		l.wait(time.Minute)
		l.want("a", models.DeviceApplied, 1, 2) // the first is not sent again
	})
}

func TestADriftThatIsPutBackInPartSaysSo(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.phased(admin("new", "horse"), models.Drift{Mode: models.DriftEnforce}, nil, errRefused)
		l.start()
		l.assign(1, models.PhaseSettled, admin("new", "horse"), "a")
		l.wait(time.Minute)
		g.change(t, admin("moved", "donkey"))
		l.wait(time.Hour)
		s := l.want("a", models.DeviceDrifted, 1, 2)
		if want := "not put back, refused in phase 2 of 2, phase 1 stays: "; !strings.Contains(s.Reason, want) {
			t.Errorf("reason %q, want %q", s.Reason, want)
		}
	})
}

func TestAPlanInPhasesIsToldBeforeItIsSent(t *testing.T) {
	inLab(t, func(l *lab) {
		l.phased(host("old"), models.Drift{})
		l.start()
		l.assign(1, models.PhaseHold, admin("new", "horse"), "a")
		l.wait(time.Minute)
		s := l.want("a", models.DeviceObserved, 1, 0)
		if want := "setpoint approve a (in 2 phases: not atomic)"; !strings.Contains(s.Next, want) {
			t.Errorf("next %q", s.Next)
		}
		if diff := l.text(s.Diff); !strings.Contains(diff, "sent in 2 phases, not atomic: a refusal leaves the earlier ones done") {
			t.Errorf("the plan:\n%s", diff)
		}
		l.assign(1, models.PhaseApply, admin("new", "horse"), "a")
		l.wait(time.Minute)
		s = l.want("a", models.DeviceApplied, 1, 2)
		if got := s.Rungs["write"]; got != "phases" {
			t.Errorf("written by %q", got)
		}
	})
}
