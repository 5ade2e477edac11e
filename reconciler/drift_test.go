package reconciler

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
)

// settled brings a device to a config and settles it there.
func (l *lab) settled(name models.DeviceName, config string, policy models.Drift) *gear {
	l.t.Helper()
	g := l.device(name, config, policy)
	l.start()
	l.assign(1, models.PhaseApply, config, name)
	l.wait(time.Second)
	l.assign(1, models.PhaseSettled, config, name)
	l.wait(time.Second)
	l.want(name, models.DeviceApplied, 1, 0)
	return g
}

// wantClosed checks that the last episode is closed, and how.
func (l *lab) wantClosed(name models.DeviceName, how string) {
	l.t.Helper()
	if e := l.episode(name); e.Closed.IsZero() || e.How != how {
		l.t.Errorf("episode is closed at %v %q, want %q", e.Closed, e.How, how)
	}
}

func TestDriftIsToldAndNotWrittenInModeAlert(t *testing.T) {
	for _, mode := range []models.DriftMode{models.DriftAlert, models.DriftObserve, ""} {
		inLab(t, func(l *lab) {
			g := l.settled("a", host("new"), models.Drift{Mode: mode})
			g.change(t, host("one"))
			l.wait(time.Second)
			s := l.want("a", models.DeviceDrifted, 1, 0)
			if !strings.HasPrefix(s.Reason, "drifted: ") || s.Changes != 1 || s.Applied != 1 {
				t.Errorf("status %+v", s)
			}
			e := l.episode("a")
			if !e.Closed.IsZero() || e.Changes != 1 || !strings.Contains(e.Summary, "hostname") || !strings.Contains(l.text(e.Diff), "one") {
				t.Errorf("episode %+v", e)
			}
			if want := mode; want == "" && e.Mode != models.DriftAlert || want != "" && e.Mode != want {
				t.Errorf("mode %q", e.Mode)
			}
			g.change(t, host("one", "two"))
			l.wait(time.Second)
			if again := l.episode("a"); again.ID != e.ID || again.Changes != 2 || again.Changed.IsZero() {
				t.Errorf("episode %+v", again)
			}
			l.wait(time.Hour)
			g.change(t, host("new"))
			l.wait(time.Second)
			l.want("a", models.DeviceApplied, 1, 0)
			l.wantClosed("a", "reverted on the device")
			l.wantEvents("a", "applied", "drift-opened", "drift-changed", "drift-closed", "applied")
		})
	}
}

func TestDriftIsToldOnceOverARestart(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.settled("a", host("new"), alert)
		g.change(t, host("one"))
		l.wait(time.Second)
		e := l.episode("a")
		for range 3 {
			l.start()
			l.wait(time.Minute)
		}
		if again := l.episode("a"); !reflect.DeepEqual(again, e) {
			t.Errorf("episode %+v, was %+v", again, e)
		}
		l.want("a", models.DeviceDrifted, 1, 0)
		l.stop()
		g.change(t, host("two")) // nobody sees it become another
		for range 3 {
			l.start()
			l.wait(time.Minute)
		}
		if now := l.episode("a"); now.ID != e.ID || now.Changed.IsZero() || !strings.Contains(now.Summary, "found two") {
			t.Errorf("episode %+v, was %+v", now, e)
		}
		l.stop()
		g.change(t, host("new"))
		for range 3 {
			l.start()
			l.wait(time.Minute)
		}
		l.wantClosed("a", "reverted on the device")
		l.wantEvents("a", "applied", "drift-opened", "drift-changed", "drift-closed", "applied")
	})
}

func TestASecondEpisodeHasItsOwnName(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.settled("a", host("new"), alert)
		g.change(t, host("one"))
		l.wait(time.Second)
		first := l.episode("a").ID
		g.change(t, host("new"))
		l.wait(time.Second)
		g.change(t, host("one"))
		l.wait(time.Second)
		if e := l.episode("a"); e.ID == first || !e.Closed.IsZero() || e.How != "" || !e.Changed.IsZero() {
			t.Errorf("episode %+v", e)
		}
	})
}

func TestADifferenceThatOneReadSawIsNoDrift(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.settled("a", host("new"), enforce)
		g.do(func(g *gear) { g.deaf = true })
		for range 20 {
			g.change(t, host("blink"))
			l.gears["a"].do(func(g *gear) { close(g.stir); g.stir = make(chan struct{}) })
			l.wait(debounce + 10*time.Millisecond) // read once
			g.change(t, host("new"))
			l.wait(time.Second)
		}
		l.want("a", models.DeviceApplied, 1, 0)
		if e := l.episode("a"); e.ID != "" {
			t.Errorf("episode %+v", e)
		}
	})
}

func TestADeviceThatNeverHoldsStillIsToldAllTheSame(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.settled("a", host("new"), alert)
		for i := range 200 {
			g.change(t, host(fmt.Sprint("h", i)))
			l.wait(50 * time.Millisecond)
		}
		l.want("a", models.DeviceDrifted, 1, 0)
	})
}

func TestDriftIsHealedAtOnceInModeEnforce(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.settled("a", host("new"), enforce)
		g.change(t, host("one", "two"))
		l.wait(time.Second)
		l.want("a", models.DeviceApplied, 1, 1)
		l.wantClosed("a", "healed")
		if !g.running.Equal(parse(t, host("new"))) {
			t.Errorf("running %s", g.running.Canonical())
		}
		l.wait(time.Hour)
		l.want("a", models.DeviceApplied, 1, 1)
		l.wantEvents("a", "applied", "drift-opened", "drift-closed")
	})
}

func TestDriftIsHealedAfterItsTime(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.settled("a", host("new"), models.Drift{Mode: models.DriftEnforce, After: 5 * time.Minute})
		g.change(t, host("one"))
		l.wait(time.Minute)
		if s := l.want("a", models.DeviceDrifted, 1, 0); !strings.HasPrefix(s.Next, "put back at ") {
			t.Errorf("next %q", s.Next)
		}
		g.change(t, host("two")) // the time counts from the opening
		l.wait(3*time.Minute + 50*time.Second)
		l.want("a", models.DeviceDrifted, 1, 0)
		l.start() // and over a restart
		l.wait(15 * time.Second)
		l.want("a", models.DeviceApplied, 1, 1)
		l.wantClosed("a", "healed")
	})
}

func TestDriftIsNotHealedWhileARolloutIsUnderWay(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("new"), enforce)
		l.start()
		l.assign(1, models.PhaseApply, host("new"), "a")
		l.wait(time.Second)
		g.change(t, host("one"))
		l.wait(time.Hour)
		l.want("a", models.DeviceDrifted, 1, 0)
		l.assign(1, models.PhaseSettled, host("new"), "a")
		l.wait(time.Second)
		l.want("a", models.DeviceApplied, 1, 1)
		l.wantClosed("a", "healed")
	})
}

func TestAPolicyThatBecomesEnforceHealsWhatStands(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.settled("a", host("new"), alert)
		g.change(t, host("one"))
		l.wait(time.Minute)
		l.want("a", models.DeviceDrifted, 1, 0)
		e := l.entry["a"]
		e.Drift = enforce
		l.entry["a"] = e
		l.assign(2, models.PhaseSettled, host("new"), "a")
		l.wait(time.Second)
		l.want("a", models.DeviceApplied, 2, 1)
	})
}

// What happens about drift is part of what is told of it.
func TestAnotherPolicyIsToldOfStandingDrift(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.settled("a", host("new"), alert)
		g.change(t, host("one"))
		l.wait(time.Minute)
		e := l.entry["a"]
		e.Drift.Mode = models.DriftObserve
		l.entry["a"] = e
		l.assign(2, models.PhaseSettled, host("new"), "a")
		l.wait(time.Hour)
		if e := l.episode("a"); e.Mode != models.DriftObserve || !e.Closed.IsZero() {
			t.Errorf("episode %+v", e)
		}
		l.wantEvents("a", "applied", "drift-opened", "drift-changed")
	})
}

func TestACommitSupersedesDrift(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.settled("a", host("new"), alert)
		g.change(t, host("one"))
		l.wait(time.Second)
		l.assign(2, models.PhaseSettled, host("new"), "a") // nothing new for this device
		l.wait(time.Second)
		if s := l.want("a", models.DeviceDrifted, 2, 0); s.Applied != 2 {
			t.Errorf("status %+v", s)
		}
		if e := l.episode("a"); !e.Closed.IsZero() {
			t.Errorf("episode %+v", e)
		}
		l.assign(3, models.PhaseApply, host("newer"), "a")
		l.wait(time.Second)
		l.want("a", models.DeviceApplied, 3, 1)
		l.wantClosed("a", "superseded by a commit")
	})
}

func TestACommitThatAdoptsDriftNeedsNoSet(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.settled("a", host("new"), alert)
		g.change(t, host("one"))
		l.wait(time.Second)
		l.assign(2, models.PhaseApply, host("one"), "a")
		l.wait(time.Second)
		l.want("a", models.DeviceApplied, 2, 0)
		l.wantClosed("a", "superseded by a commit")
	})
}

func TestAFlippingDeviceIsLeftAlone(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.settled("a", host("new"), enforce)
		for i := range 9 {
			g.change(t, host(fmt.Sprint("flip", i)))
			l.wait(10 * time.Second)
		}
		if s := l.want("a", models.DeviceDrifted, 1, healsMax); !strings.Contains(s.Reason, "left alone") {
			t.Errorf("reason %q", s.Reason)
		}
		l.wait(time.Hour)
		l.want("a", models.DeviceDrifted, 1, healsMax)
		l.assign(2, models.PhaseSettled, host("new"), "a")
		l.wait(time.Second)
		l.want("a", models.DeviceApplied, 2, healsMax+1)
	})
}

func TestRareDriftIsHealedEachTime(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.settled("a", host("new"), enforce)
		for i := range 12 {
			g.change(t, host(fmt.Sprint("rare", i)))
			l.wait(3 * time.Minute)
		}
		l.want("a", models.DeviceApplied, 1, 12)
	})
}

func TestAHealThatIsRefusedIsNotRepeated(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.settled("a", host("new"), enforce)
		g.do(func(g *gear) { g.set = func() (bool, error) { return false, errRefused } })
		g.change(t, host("one"))
		l.wait(time.Hour)
		if s := l.want("a", models.DeviceDrifted, 1, 1); !strings.Contains(s.Reason, "not put back, refused: ") {
			t.Errorf("reason %q", s.Reason)
		}
		g.change(t, host("two")) // another difference is another try
		l.wait(time.Hour)
		l.want("a", models.DeviceDrifted, 1, 2)
		g.do(func(g *gear) { g.set = nil })
		g.change(t, host("new"))
		l.wait(time.Second)
		l.want("a", models.DeviceApplied, 1, 2)
		g.change(t, host("two"))
		l.wait(time.Second)
		l.want("a", models.DeviceApplied, 1, 3)
	})
}

func TestAHealThatDidNothingIsNotRepeated(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.settled("a", host("new"), enforce)
		g.do(func(g *gear) { g.set = func() (bool, error) { return false, nil } })
		g.change(t, host("one"))
		l.wait(time.Hour)
		if s := l.want("a", models.DeviceDrifted, 1, 1); !strings.Contains(s.Reason, "put back and accepted, but nothing changed") {
			t.Errorf("reason %q", s.Reason)
		}
		if e := l.episode("a"); !e.Closed.IsZero() {
			t.Errorf("episode %+v", e)
		}
	})
}

func TestAHealWhoseOutcomeIsUnknownIsReadFirst(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.settled("a", host("new"), enforce)
		g.do(func(g *gear) { g.set = func() (bool, error) { return true, errNoAnswer } })
		g.change(t, host("one"))
		l.wait(time.Minute)
		l.want("a", models.DeviceApplied, 1, 1)
	})
}

func TestDriftThatNoStreamToldIsFoundByTheResync(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.settled("a", host("new"), alert)
		g.do(func(g *gear) { g.deaf = true })
		g.change(t, host("one"))
		l.wait(8 * time.Minute)
		l.want("a", models.DeviceApplied, 1, 0)
		l.wait(4 * time.Minute)
		l.want("a", models.DeviceDrifted, 1, 0)
	})
}

func TestABrokenStreamIsBegunAgainAndWhatWasMissedIsRead(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.settled("a", host("new"), alert)
		g.do(func(g *gear) { g.deaf = true })
		g.change(t, host("one"))
		g.watchErr <- errors.New("stream reset")
		l.wait(2 * time.Second)
		l.want("a", models.DeviceDrifted, 1, 0)
		g.do(func(g *gear) { g.deaf = false })
		g.change(t, host("new"))
		l.wait(time.Second)
		l.want("a", models.DeviceApplied, 1, 0)
		if g.dials != 1 {
			t.Errorf("%d dials", g.dials)
		}
	})
}

func TestAStreamThatKeepsBreakingIsBegunWithGrowingPauses(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.settled("a", host("new"), alert)
		begun := 0
		for end := time.Now().Add(time.Hour); time.Now().Before(end); {
			select {
			case g.watchErr <- errors.New("stream reset"):
				begun++
			case <-time.After(time.Minute):
			}
		}
		if begun < 50 || begun > 100 {
			t.Errorf("begun %d times within an hour", begun)
		}
		l.wait(time.Hour) // it holds: the next break is the first
		g.watchErr <- errors.New("stream reset")
		l.wait(time.Second)
		g.change(t, host("one"))
		l.wait(time.Second)
		l.want("a", models.DeviceDrifted, 1, 0)
		g.change(t, host("new"))
		l.wait(time.Second)
		l.want("a", models.DeviceApplied, 1, 0)
	})
}

func TestADeadSessionIsDialledAgain(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.settled("a", host("new"), enforce)
		g.do(func(g *gear) { g.readErr, g.dialErr = errDown, errDown })
		g.watchErr <- errDown
		l.wait(10 * time.Second)
		if s := l.want("a", models.DeviceUnreachable, 1, 0); s.Applied != 1 {
			t.Errorf("status %+v", s)
		}
		g.change(t, host("one")) // while nobody sees it
		g.do(func(g *gear) { g.readErr, g.dialErr = nil, nil })
		l.wait(ceiling)
		l.want("a", models.DeviceApplied, 1, 1)
		l.wantClosed("a", "healed")
	})
}

func TestAFullStoreStopsNoService(t *testing.T) {
	inLabWith(t, bus.Config{MaxStore: 16 << 20}, func(l *lab) {
		g := l.settled("a", host("new"), enforce)
		fill(l)
		g.change(t, host("one"))
		l.wait(time.Second)
		g.do(func(g *gear) {
			if g.sets != 1 {
				t.Errorf("%d Sets", g.sets)
			}
			g.set = func() (bool, error) { return false, errRefused }
		})
		g.change(t, host("two"))
		l.wait(time.Minute)
		if s := l.want("a", models.DeviceDrifted, 1, 2); s.Diff != "" || !strings.HasSuffix(s.Reason, diffLost) {
			t.Errorf("status %+v", s)
		}
	})
}

func TestFullTablesStopNoService(t *testing.T) {
	inLabWith(t, bus.Config{MaxStore: 16 << 20}, func(l *lab) {
		g := l.settled("a", host("new"), enforce)
		b := l.device("b", host("old"), enforce)
		b.dialErr = errDown
		l.assign(2, models.PhaseApply, host("new"), "b")
		l.wait(10 * time.Second)
		l.want("b", models.DeviceUnreachable, 2, 0)
		junk := bus.TableOf[string](l.bus, "junk")
		for size, i := 1<<18, 0; size > 16; i++ {
			_, err := junk.Update(l.ctx, fmt.Sprint(i), strings.Repeat("x", size), 0)
			if errors.Is(err, bus.ErrFull) {
				size /= 2
			} else if err != nil {
				t.Fatal(err)
			}
		}
		g.change(t, host("one"))
		l.wait(10 * time.Second)
		g.do(func(g *gear) {
			if g.sets != 1 || !g.running.Equal(parse(t, host("new"))) {
				t.Errorf("%d Sets; running %s", g.sets, g.running.Canonical())
			}
		})
		b.do(func(g *gear) { g.dialErr = nil })
		l.wait(ceiling)
		l.want("b", models.DeviceUnreachable, 2, 1) // served, though the table can't say so
		for i := range 20 {
			if err := junk.Delete(l.ctx, fmt.Sprint(i), 0); err != nil {
				t.Fatal(err)
			}
		}
		l.wait(2 * ceiling)
		l.want("a", models.DeviceApplied, 1, 1)
		l.wantClosed("a", "healed")
		l.want("b", models.DeviceApplied, 2, 1)
	})
}

// fill stores blobs until no more fit.
func fill(l *lab) {
	l.t.Helper()
	blob := make([]byte, 256<<10)
	noise := rand.NewChaCha8([32]byte{})
	for range 1 << 12 {
		_, _ = noise.Read(blob) // nothing that compresses; it never fails
		if _, err := l.Blobs.Put(l.ctx, blob); errors.Is(err, bus.ErrFull) {
			blob = blob[:len(blob)/2]
			if len(blob) < 64 {
				return
			}
		} else if err != nil {
			l.t.Fatal(err)
		}
	}
	l.t.Fatal("the store took a gigabyte")
}
