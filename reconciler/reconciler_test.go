package reconciler

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/setpoint-net/setpoint/models"
)

var (
	alert   = models.Drift{Mode: models.DriftAlert}
	enforce = models.Drift{Mode: models.DriftEnforce}
)

func TestAnAssignmentIsAppliedByOneSet(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("old"), alert)
		l.start()
		l.assign(1, models.PhaseApply, host("new"), "a")
		l.wait(5 * time.Second)
		s := l.want("a", models.DeviceApplied, 1, 1)
		if s.Applied != 1 || s.Reason != "" || s.Running != hashOf(parse(t, host("new"))) || s.ReadAt.IsZero() || s.Rungs["read"] != "get-config" {
			t.Errorf("status %+v", s)
		}
		l.wantEvents("a", "applied")
		g.do(func(g *gear) {
			if g.dials != 1 {
				t.Errorf("%d dials", g.dials)
			}
		})
	})
}

func TestEqualNeedsNoSet(t *testing.T) {
	inLab(t, func(l *lab) {
		l.device("a", host("same"), alert)
		l.assign(1, models.PhaseApply, host("same"), "a")
		l.start()
		l.wait(time.Second)
		l.want("a", models.DeviceApplied, 1, 0)
	})
}

func TestHoldObservesAndWaits(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("old"), enforce)
		l.start()
		l.assign(1, models.PhaseHold, host("new"), "a")
		l.wait(time.Hour)
		s := l.want("a", models.DeviceObserved, 1, 0)
		if !strings.HasPrefix(s.Reason, "awaits approval: ") || s.Changes != 1 || !strings.Contains(l.text(s.Diff), "hostname") {
			t.Errorf("status %+v", s)
		}
		g.change(t, host("new"))
		l.wait(time.Second)
		l.want("a", models.DeviceApplied, 1, 0)
		g.change(t, host("newer"))
		l.wait(time.Second)
		l.want("a", models.DeviceObserved, 1, 0)
		l.assign(1, models.PhaseApply, host("new"), "a") // approved
		l.wait(time.Second)
		l.want("a", models.DeviceApplied, 1, 1)
	})
}

func TestARefusedConfigIsHeldUntilItChanges(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("old"), alert)
		g.set = func() (bool, error) { return false, errRefused }
		l.start()
		l.assign(1, models.PhaseApply, host("bad"), "a")
		l.wait(100 * time.Millisecond) // there is nothing to wait for
		l.want("a", models.DeviceHeld, 1, 1)
		l.wait(time.Hour)
		s := l.want("a", models.DeviceHeld, 1, 1)
		if s.Reason != "refused: "+errRefused.Error()+"; /system/config/hostname (found old, expected bad)" || s.Diff == "" {
			t.Errorf("status %+v", s)
		}
		l.assign(2, models.PhaseApply, host("bad"), "a")
		l.wait(time.Hour)
		l.want("a", models.DeviceHeld, 2, 1)
		l.start()
		l.wait(time.Hour)
		l.want("a", models.DeviceHeld, 2, 1)
		g.do(func(g *gear) { g.set = nil })
		l.assign(3, models.PhaseApply, host("good"), "a")
		l.wait(time.Second)
		l.want("a", models.DeviceApplied, 3, 2)
		l.wantEvents("a", "held", "applied")
	})
}

func TestAHeldDeviceStaysHeldWhileItIsDown(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("old"), alert)
		g.set = func() (bool, error) { return false, errRefused }
		l.start()
		l.assign(1, models.PhaseApply, host("bad"), "a")
		l.wait(time.Second)
		g.do(func(g *gear) { g.dialErr, g.readErr = errDown, errDown })
		l.start()
		l.wait(time.Minute)
		s := l.want("a", models.DeviceHeld, 1, 1)
		if !strings.Contains(s.Reason, errRefused.Error()) || !strings.Contains(s.Reason, errDown.Error()) {
			t.Errorf("reason %q", s.Reason)
		}
		g.do(func(g *gear) { g.dialErr, g.readErr = nil, nil })
		l.wait(2 * time.Minute)
		if s := l.want("a", models.DeviceHeld, 1, 1); s.Reason != "refused: "+errRefused.Error()+"; /system/config/hostname (found old, expected bad)" {
			t.Errorf("reason %q", s.Reason)
		}
		g.change(t, host("bad")) // by hand
		l.wait(time.Second)
		l.want("a", models.DeviceApplied, 1, 1)
	})
}

func TestAnOKThatDidNothingIsHeld(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("old"), alert)
		g.set = func() (bool, error) { return false, nil }
		l.start()
		l.assign(1, models.PhaseApply, host("new"), "a")
		l.wait(time.Hour)
		s := l.want("a", models.DeviceHeld, 1, 1)
		if !strings.HasPrefix(s.Reason, "accepted, but after read back it differs: ") || !strings.Contains(s.Reason, "hostname") || s.Applied != 0 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestARefusalThatChangedSomethingSaysSo(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("old"), alert)
		half := parse(t, host("half"))
		g.set = func() (bool, error) { g.becomes(half); return false, errRefused }
		l.start()
		l.assign(1, models.PhaseApply, host("new"), "a")
		l.wait(time.Minute)
		if s := l.want("a", models.DeviceHeld, 1, 1); !strings.HasPrefix(s.Reason, "refused, and changed in part all the same: ") || s.Running != hashOf(half) {
			t.Errorf("status %+v", s)
		}
	})
}

func TestADeviceThatShowsItLateIsApplied(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("old"), alert)
		late := parse(t, host("new"))
		g.set = func() (bool, error) {
			time.AfterFunc(500*time.Millisecond, func() { g.do(func(g *gear) { g.becomes(late) }) })
			return false, nil
		}
		l.start()
		l.assign(1, models.PhaseApply, host("new"), "a")
		l.wait(time.Minute)
		l.want("a", models.DeviceApplied, 1, 1)
	})
}

func TestAnUnknownOutcomeIsReadFirst(t *testing.T) {
	for _, applies := range []bool{true, false} {
		inLab(t, func(l *lab) {
			g := l.device("a", host("old"), alert)
			g.set = func() (bool, error) { g.set = nil; return applies, errNoAnswer }
			l.start()
			l.assign(1, models.PhaseApply, host("new"), "a")
			l.wait(time.Minute)
			sets := 2
			if applies {
				sets = 1
			}
			l.want("a", models.DeviceApplied, 1, sets)
		})
	}
}

func TestALockIsTriedAgain(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("old"), alert)
		left := 5
		g.set = func() (bool, error) {
			if left--; left >= 0 {
				return false, errLocked
			}
			return true, nil
		}
		l.start()
		l.assign(1, models.PhaseApply, host("new"), "a")
		l.wait(5 * time.Second)
		if s := l.status("a"); s.State != models.DeviceUnknown || !strings.Contains(s.Reason, "locked") {
			t.Errorf("status %+v", s)
		}
		l.wait(time.Minute)
		l.want("a", models.DeviceApplied, 1, 6)
		l.wantEvents("a", "unknown", "applied")
	})
}

func TestADeadDeviceIsToldAndCaughtUp(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("old"), alert)
		g.dialErr = errDown
		l.start()
		l.assign(1, models.PhaseApply, host("one"), "a")
		l.wait(500 * time.Millisecond)
		if s := l.status("a"); s.State != "" {
			t.Errorf("told of after one attempt: %+v", s)
		}
		l.wait(2 * time.Second)
		if s := l.want("a", models.DeviceUnreachable, 1, 0); s.Reason != errDown.Error() {
			t.Errorf("status %+v", s)
		}
		l.assign(2, models.PhaseApply, host("two"), "a")
		l.wait(time.Second)
		l.want("a", models.DeviceUnreachable, 2, 0)
		l.wait(2 * time.Hour)
		g.do(func(g *gear) {
			if g.dials < 120 || g.dials > 180 {
				t.Errorf("%d dials within two hours", g.dials)
			}
			g.dialErr = nil
		})
		l.wait(ceiling + time.Second)
		l.want("a", models.DeviceApplied, 2, 1)
		l.wantEvents("a", "unreachable", "unreachable", "applied")
	})
}

// A dial that times out slowly is not tried three times before it is told of.
func TestADeviceThatHangsIsToldAfterOneDial(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("old"), alert)
		g.hang = true
		l.start()
		l.assign(1, models.PhaseApply, host("one"), "a")
		l.wait(dialDeadline + time.Millisecond)
		l.want("a", models.DeviceUnreachable, 1, 0)
	})
}

// Nor is a read.
func TestADeviceThatHangsIsToldAfterOneRead(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("old"), alert)
		g.takes, g.readErr = time.Minute, fmt.Errorf("%w: %w", errDown, context.DeadlineExceeded)
		l.start()
		l.assign(1, models.PhaseApply, host("one"), "a")
		l.wait(time.Minute + time.Second)
		l.want("a", models.DeviceUnreachable, 1, 0)
	})
}

// A slow device has the same three attempts as a quick one: that its reads take
// long is no failure.
func TestASlowDeviceIsNotToldOfOneFailure(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("one"), alert)
		l.start()
		l.assign(1, models.PhaseSettled, host("one"), "a")
		l.wait(time.Second)
		g.do(func(g *gear) { g.takes, g.readErr = 14*time.Second, errDown })
		l.order("a", Order{Look: Asked{Who: "root", Time: time.Now()}})
		l.wait(14*time.Second + 50*time.Millisecond)
		g.do(func(g *gear) { g.readErr = nil })
		l.wait(time.Minute)
		l.want("a", models.DeviceApplied, 1, 0)
		l.wantEvents("a", "applied")
	})
}

func TestAPartialReadIsUnknownAndNeverActedUpon(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("new"), enforce)
		l.start()
		l.assign(1, models.PhaseApply, host("new"), "a")
		l.wait(time.Second)
		l.assign(1, models.PhaseSettled, host("new"), "a")
		l.wait(time.Second)
		g.do(func(g *gear) { g.readErr = errPartial })
		g.change(t, host("drifted"))
		l.wait(time.Hour)
		if s := l.want("a", models.DeviceUnknown, 1, 0); s.Reason != errPartial.Error() || s.Applied != 1 {
			t.Errorf("status %+v", s)
		}
		g.do(func(g *gear) { g.readErr = nil })
		l.wait(2 * time.Minute)
		l.want("a", models.DeviceApplied, 1, 1)
	})
}

func TestNoAssignmentNoTouch(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("old"), enforce)
		l.device("b", host("old"), enforce)
		l.start()
		l.assign(1, models.PhaseApply, host("new"), "b")
		l.wait(time.Hour)
		l.want("b", models.DeviceApplied, 1, 1)
		if g.dials > 0 {
			t.Errorf("%d dials", g.dials)
		}
	})
}

func TestAReleasedDeviceIsForgotten(t *testing.T) {
	for _, down := range []bool{false, true} {
		inLab(t, func(l *lab) {
			g := l.device("a", host("new"), alert)
			l.start()
			l.assign(1, models.PhaseSettled, host("new"), "a")
			l.wait(time.Second)
			g.change(t, host("drifted"))
			l.wait(time.Second)
			l.want("a", models.DeviceDrifted, 1, 0)
			if down {
				l.stop()
			}
			if err := l.Assignments.Delete(l.ctx, "a", 0); err != nil {
				t.Fatal(err)
			}
			if down {
				l.start()
			}
			l.wait(time.Second)
			if s := l.status("a"); s.State != "" {
				t.Errorf("status %+v", s)
			}
			if e := l.episode("a"); e.ID != "" {
				t.Errorf("episode %+v", e)
			}
			if g.open != 0 || g.sets != 0 {
				t.Errorf("%d sessions, %d Sets", g.open, g.sets)
			}
			l.wantEvents("a", "applied", "drift-opened", "released")
		})
	}
}

func TestARestartAfterTheSetMakesNoSecondOne(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("old"), alert)
		l.assign(1, models.PhaseApply, host("new"), "a")
		g.set = func() (bool, error) { g.readErr = errDown; return true, nil } // and no more is heard
		l.start()
		l.wait(100 * time.Millisecond)
		l.want("a", models.DeviceApplying, 1, 1)
		l.stop()
		g.do(func(g *gear) { g.readErr, g.set = nil, nil })
		l.start()
		l.wait(time.Second)
		l.want("a", models.DeviceApplied, 1, 1)
	})
}

func TestARestartReadsAndWritesNothing(t *testing.T) {
	inLab(t, func(l *lab) {
		l.device("a", host("old"), alert)
		l.assign(1, models.PhaseApply, host("new"), "a")
		l.start()
		l.wait(time.Second)
		before := l.want("a", models.DeviceApplied, 1, 1)
		_, rev, _ := l.Devices.Get(l.ctx, "a")
		for range 3 {
			l.start()
			l.wait(time.Second)
		}
		if after := l.want("a", models.DeviceApplied, 1, 1); after.Since != before.Since {
			t.Errorf("since %v, was %v", after.Since, before.Since)
		}
		if _, now, _ := l.Devices.Get(l.ctx, "a"); now != rev {
			t.Errorf("status written again: revision %d, was %d", now, rev)
		}
		l.wantEvents("a", "applied")
	})
}

func TestAnUnchangedSettledDeviceMovesOnUnread(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("new"), alert)
		l.start()
		l.assign(1, models.PhaseApply, host("new"), "a")
		l.wait(time.Second)
		l.assign(1, models.PhaseSettled, host("new"), "a")
		l.wait(time.Second)
		reads := g.reads
		l.assign(2, models.PhaseSettled, host("new"), "a")
		l.wait(time.Second)
		if s := l.want("a", models.DeviceApplied, 2, 0); s.Applied != 2 {
			t.Errorf("status %+v", s)
		}
		if g.reads != reads {
			t.Errorf("read %d times for it", g.reads-reads)
		}
	})
}

func TestAConfigThatComesBackIsApplied(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("A"), alert)
		l.start()
		l.assign(1, models.PhaseApply, host("A"), "a")
		l.wait(time.Second)
		l.assign(1, models.PhaseSettled, host("A"), "a")
		l.wait(time.Second)
		g.do(func(g *gear) {
			g.set = func() (bool, error) { g.readErr, g.dialErr = errDown, errDown; return true, nil }
		})
		l.assign(2, models.PhaseApply, host("B"), "a")
		l.wait(500 * time.Millisecond)
		l.stop() // B is on the device, and nobody knows
		l.assign(3, models.PhaseApply, host("A"), "a")
		g.do(func(g *gear) { g.readErr, g.dialErr, g.set = nil, nil, nil })
		l.start()
		l.wait(time.Second)
		l.want("a", models.DeviceApplied, 3, 2)
		if got := parse(t, host("A")); !g.running.Equal(got) {
			t.Errorf("running %s", g.running.Canonical())
		}
	})
}

func TestAnOlderGenerationNeverOverwritesANewer(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("old"), enforce)
		newer := models.DeviceStatus{Generation: 5, Intended: "x", Applied: 5, State: models.DeviceApplied}
		if _, err := l.Devices.Update(l.ctx, "a", newer, 0); err != nil {
			t.Fatal(err)
		}
		l.assign(3, models.PhaseApply, host("new"), "a")
		l.start()
		l.wait(time.Hour)
		l.want("a", models.DeviceApplied, 5, 0)
		if g.dials > 0 {
			t.Errorf("%d dials", g.dials)
		}
	})
}

func TestANewerStatusStopsASet(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("old"), alert)
		g.dialErr = errDown
		l.assign(3, models.PhaseApply, host("new"), "a")
		l.start()
		l.wait(10 * time.Second)
		_, rev, _ := l.Devices.Get(l.ctx, "a")
		newer := models.DeviceStatus{Generation: 5, Intended: "x", Applied: 5, State: models.DeviceApplied}
		if _, err := l.Devices.Update(l.ctx, "a", newer, rev); err != nil {
			t.Fatal(err)
		}
		g.do(func(g *gear) { g.dialErr = nil })
		l.wait(time.Hour)
		l.want("a", models.DeviceApplied, 5, 0)
	})
}

func TestARowSomebodyTouchedIsWrittenAgain(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("A"), alert)
		l.assign(3, models.PhaseSettled, host("A"), "a")
		l.start()
		l.wait(time.Second)
		s, rev, _ := l.Devices.Get(l.ctx, "a")
		s.State = models.DeviceHeld
		if _, err := l.Devices.Update(l.ctx, "a", s, rev); err != nil {
			t.Fatal(err)
		}
		g.change(t, host("B"))
		l.wait(time.Second)
		l.want("a", models.DeviceDrifted, 3, 0)
	})
}

func TestANewAddressOrProfileIsDialled(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("A"), alert)
		l.start()
		l.assign(1, models.PhaseSettled, host("A"), "a")
		l.wait(time.Second)
		e := l.entry["a"]
		e.Address = "elsewhere:1"
		l.entry["a"] = e
		l.assign(2, models.PhaseSettled, host("A"), "a")
		l.wait(time.Second)
		l.want("a", models.DeviceApplied, 2, 0)
		if len(g.addresses) != 2 || g.addresses[1] != "elsewhere:1" || g.open != 1 {
			t.Errorf("dialled %v, %d open", g.addresses, g.open)
		}
		e.Profile.Origin = "openconfig"
		l.entry["a"] = e
		l.assign(3, models.PhaseSettled, host("A"), "a")
		l.wait(10 * time.Second)
		if len(g.addresses) != 3 || g.open != 1 {
			t.Errorf("another profile: dialled %v, %d open", g.addresses, g.open)
		}
	})
}

func TestAMissingManifestIsUnknownWithItsReason(t *testing.T) {
	inLab(t, func(l *lab) {
		l.device("a", host("A"), alert)
		l.start()
		a := models.Assignment{Generation: 1, Manifest: l.blob([]byte(`{"devices":[]}`)), Hash: "x", Phase: models.PhaseApply}
		if _, err := l.Assignments.Update(l.ctx, "a", a, 0); err != nil {
			t.Fatal(err)
		}
		l.wait(time.Minute)
		if s := l.want("a", models.DeviceUnknown, 1, 0); !strings.Contains(s.Reason, "has no device a") {
			t.Errorf("status %+v", s)
		}
	})
}

func TestAQuietDeviceIsNotWrittenAbout(t *testing.T) {
	inLab(t, func(l *lab) {
		l.device("a", host("A"), alert)
		l.start()
		l.assign(1, models.PhaseSettled, host("A"), "a")
		l.wait(time.Second)
		_, before, _ := l.Devices.Get(l.ctx, "a")
		for range 50 { // streams that stir without a change
			g := l.gears["a"]
			g.do(func(g *gear) { close(g.stir); g.stir = make(chan struct{}) })
			l.wait(time.Second)
		}
		if _, after, _ := l.Devices.Get(l.ctx, "a"); after != before {
			t.Errorf("revision %d, was %d", after, before)
		}
		l.wait(time.Hour)
		s, after, _ := l.Devices.Get(l.ctx, "a")
		if n := after - before; n < 5 || n > 7 {
			t.Errorf("written %d times within an hour of resyncs", n)
		}
		if time.Since(s.ReadAt) > 12*time.Minute {
			t.Errorf("read at %v, now %v", s.ReadAt, time.Now())
		}
	})
}

// A worker waits a whole minute for each dial of the dead devices, for ever.
func TestDeadDevicesHoldUpNoOther(t *testing.T) {
	inLab(t, func(l *lab) {
		l.Workers = 4
		var names []models.DeviceName
		for i := range 23 {
			name := models.DeviceName(fmt.Sprintf("d%02d", i))
			g := l.device(name, host("old"), enforce)
			g.hang = i%8 == 0
			names = append(names, name)
		}
		l.start()
		l.assign(1, models.PhaseApply, host("new"), names...)
		l.wait(time.Second)
		for i, name := range names {
			if i%8 != 0 {
				l.want(name, models.DeviceApplied, 1, 1)
			}
		}
		l.wait(10 * time.Minute)
		for g := models.Generation(2); g < 8; g++ {
			l.assign(g, models.PhaseApply, host(fmt.Sprint("new", g)), names...)
			l.wait(7 * time.Second)
			for i, name := range names {
				if i%8 != 0 {
					l.want(name, models.DeviceApplied, g, int(g))
				}
			}
		}
		l.want(names[0], models.DeviceUnreachable, l.status(names[0]).Generation, 0)
	})
}
