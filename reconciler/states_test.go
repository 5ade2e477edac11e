package reconciler

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/setpoint-net/setpoint/models"
)

// walks are the lines of docs/device-states.md: how to get a device from one
// state to another. A walk begins in the line's first state, which its setting-up
// has to reach, and asks for what happens.
var walks = map[string]func(l *lab, g *gear){
	"it is assigned, and does not answer yet": func(l *lab, g *gear) {
		g.do(func(g *gear) { g.dialErr = errDown })
		l.assign(1, models.PhaseApply, host("new"), "a")
	},
	"it is read, and is what is intended": func(l *lab, g *gear) {
		g.change(l.t, host("new"))
		l.assign(1, models.PhaseApply, host("new"), "a")
	},
	"it differs and may be written: one Set, read back equal": func(l *lab, g *gear) {
		l.assign(1, models.PhaseApply, host("new"), "a")
	},
	"it differs and awaits approval": func(l *lab, g *gear) { l.assign(1, models.PhaseHold, host("new"), "a") },
	"no session comes about": func(l *lab, g *gear) {
		g.do(func(g *gear) { g.dialErr = errDown })
		l.assign(1, models.PhaseApply, host("new"), "a")
	},
	"it answers, but not whole": func(l *lab, g *gear) {
		g.do(func(g *gear) { g.readErr = errPartial })
		l.assign(1, models.PhaseApply, host("new"), "a")
	},
	"it takes the first of two phases and refuses the second": func(l *lab, g *gear) {
		l.writtenBy("", []string{"/system/config/hostname"})
		g.do(func(g *gear) {
			g.set = func() (bool, error) {
				if g.sets > 1 {
					return false, errRefused
				}
				return true, nil
			}
		})
		l.assign(1, models.PhaseApply, host("new", "more"), "a")
	},
	"it refuses the Set": func(l *lab, g *gear) {
		g.do(func(g *gear) { g.set = func() (bool, error) { return false, errRefused } })
		l.assign(1, models.PhaseApply, host("new"), "a")
	},
	"it takes the Set and shows something else": func(l *lab, g *gear) {
		g.do(func(g *gear) { g.set = func() (bool, error) { return false, nil } })
		l.assign(1, models.PhaseApply, host("new"), "a")
	},
	"a guard forbids the plan": func(l *lab, g *gear) { l.assign(1, models.PhaseApply, "{}", "a") },
	"a Set's outcome is not known, and a read shows that it was done": func(l *lab, g *gear) {
		g.do(func(g *gear) { g.set = func() (bool, error) { return true, errNoAnswer } })
		l.assign(1, models.PhaseApply, host("new"), "a")
	},
	"its plan is approved": func(l *lab, g *gear) {
		l.at(models.DeviceObserved, models.PhaseHold)
		l.assign(1, models.PhaseApply, host("new"), "a")
	},
	"somebody else makes it what is intended": func(l *lab, g *gear) {
		l.at(models.DeviceObserved, models.PhaseHold)
		g.change(l.t, host("new"))
	},
	"its intended config changes": func(l *lab, g *gear) {
		l.refused(g)
		l.assign(2, models.PhaseApply, host("newer"), "a")
	},
	"a person says retry, and it takes the Set now": func(l *lab, g *gear) {
		l.refused(g)
		l.order("a", Order{Retry: Asked{Who: "root", Time: time.Now()}})
	},
	"a person allows the plan": func(l *lab, g *gear) {
		l.assign(1, models.PhaseApply, "{}", "a")
		l.wait(10 * time.Second)
		l.want("a", models.DeviceHeld, 1, 0)
		l.allow("a", "empty", l.status("a").Running)
	},
	"it is out of reach: held stays, and the reason says so too": func(l *lab, g *gear) {
		l.refused(g)
		g.do(func(g *gear) { g.readErr, g.dialErr = errDown, errDown })
		g.watchErr <- errDown
	},
	"the device was changed (mode alert)": func(l *lab, g *gear) {
		l.at(models.DeviceApplied, models.PhaseSettled)
		g.change(l.t, host("by hand"))
	},
	"the device was changed (mode enforce): put back": func(l *lab, g *gear) {
		l.at(models.DeviceApplied, models.PhaseSettled)
		g.change(l.t, host("by hand"))
	},
	"the device was changed while it is suspended (mode enforce)": func(l *lab, g *gear) {
		l.at(models.DeviceApplied, models.PhaseSettled)
		l.suspend()
		g.change(l.t, host("by hand"))
	},
	"it is out of reach": func(l *lab, g *gear) {
		l.at(models.DeviceApplied, models.PhaseSettled)
		l.cut(g)
	},
	"a commit while it is suspended": func(l *lab, g *gear) {
		l.at(models.DeviceApplied, models.PhaseSettled)
		l.suspend()
		l.assign(2, models.PhaseApply, host("newer"), "a")
	},
	"the change is undone on the device": func(l *lab, g *gear) {
		l.drifts(g)
		g.change(l.t, host("new"))
	},
	"a commit takes another turn": func(l *lab, g *gear) {
		l.drifts(g)
		l.assign(2, models.PhaseApply, host("newer"), "a")
	},
	"it was put back five times in ten minutes: given up": func(l *lab, g *gear) {
		l.at(models.DeviceApplied, models.PhaseSettled)
		for range 6 {
			g.change(l.t, host("by hand"))
			l.wait(5 * time.Second)
		}
	},
	"it is back, unchanged": func(l *lab, g *gear) {
		l.at(models.DeviceApplied, models.PhaseSettled)
		l.cut(g)
		l.wait(time.Minute)
		l.want("a", models.DeviceUnreachable, 1, 0)
		g.do(func(g *gear) { g.readErr, g.dialErr = nil, nil })
	},
	"it is back, and a commit came meanwhile": func(l *lab, g *gear) {
		l.at(models.DeviceApplied, models.PhaseSettled)
		l.cut(g)
		l.wait(time.Minute)
		l.assign(2, models.PhaseApply, host("newer"), "a")
		l.wait(time.Minute)
		l.want("a", models.DeviceUnreachable, 2, 0)
		g.do(func(g *gear) { g.readErr, g.dialErr = nil, nil })
	},
	"its document is removed": func(l *lab, g *gear) {
		l.at(models.DeviceApplied, models.PhaseSettled)
		if err := l.Assignments.Delete(l.ctx, "a", 0); err != nil {
			l.t.Fatal(err)
		}
	},
}

// at brings the device to a state without a Set, under an assignment of a phase.
func (l *lab) at(state models.DeviceState, phase models.Phase) {
	l.t.Helper()
	if state == models.DeviceApplied {
		l.gears["a"].change(l.t, host("new"))
	}
	l.assign(1, phase, host("new"), "a")
	l.wait(10 * time.Second)
	l.want("a", state, 1, 0)
}

func (l *lab) refused(g *gear) {
	l.t.Helper()
	g.do(func(g *gear) { g.set = func() (bool, error) { return false, errRefused } })
	l.assign(1, models.PhaseApply, host("new"), "a")
	l.wait(10 * time.Second)
	l.want("a", models.DeviceHeld, 1, 1)
	g.do(func(g *gear) { g.set = nil })
}

func (l *lab) drifts(g *gear) {
	l.t.Helper()
	l.at(models.DeviceApplied, models.PhaseSettled)
	g.change(l.t, host("by hand"))
	l.wait(10 * time.Second)
	l.want("a", models.DeviceDrifted, 1, 0)
}

func (l *lab) suspend() {
	l.t.Helper()
	l.order("a", Order{Suspend: &Suspension{Who: "root", Why: "w", Since: time.Now()}})
}

func (l *lab) cut(g *gear) {
	g.do(func(g *gear) { g.readErr, g.dialErr = errDown, errDown })
	g.watchErr <- errDown
}

// unsaid is what a device's line has to say and does not: which path, what was
// found there and what is expected.
func unsaid(what string, to models.DeviceState, reason string) []string {
	var words []string
	switch {
	case to == models.DeviceDrifted, what == "it takes the Set and shows something else", what == "it refuses the Set":
		words = []string{"/system/config/hostname (found ", ", expected new"}
	case to == models.DeviceObserved:
		words = []string{"/system/config/hostname"}
	}
	return slices.DeleteFunc(words, func(w string) bool { return strings.Contains(reason, w) })
}

func TestEveryEdgeOfTheStatesIsWalked(t *testing.T) {
	page, err := os.ReadFile("../docs/device-states.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "|---|---|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	walked := map[string]bool{}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if len(cells) != 5 {
			t.Fatalf("line %q", line)
		}
		what, to, sets, events := cells[1], models.DeviceState(cells[2]), cells[3], cells[4]
		walk := walks[what]
		walked[what] = true
		t.Run(what, func(t *testing.T) {
			if walk == nil {
				t.Fatal("nobody walks this line")
			}
			inLab(t, func(l *lab) {
				policy := models.Drift{Mode: models.DriftAlert}
				if strings.Contains(what, "enforce") || strings.Contains(what, "put back") {
					policy.Mode = models.DriftEnforce
				}
				g := l.device("a", host("old"), policy)
				l.start()
				l.wait(time.Second)
				walk(l, g)
				pause := 2 * time.Minute
				if what == "it is assigned, and does not answer yet" {
					pause = 100 * time.Millisecond
				}
				l.wait(pause)
				for _, when := range []string{"then", "after a restart"} {
					s, rev, err := l.Devices.Get(l.ctx, "a")
					if what == "it is assigned, and does not answer yet" && rev == 0 {
						s.State = models.DeviceUnknown // what devices that were never read count as
					}
					if err != nil || s.State != to || (rev == 0) != (to == "") && to != models.DeviceUnknown {
						t.Errorf("%s it is %q, %v; %q", when, s.State, err, s.Reason)
					}
					if differs := to == models.DeviceObserved || to == models.DeviceHeld || to == models.DeviceDrifted || to == models.DeviceUnreachable; differs && (s.Reason == "" || s.Next == "") {
						t.Errorf("%s it says %q, and next %q", when, s.Reason, s.Next)
					}
					if missing := unsaid(what, to, s.Reason); len(missing) > 0 {
						t.Errorf("%s it says %q, without %q", when, s.Reason, missing)
					}
					if rev > 0 && s.Since.IsZero() {
						t.Errorf("%s it does not say since when", when)
					}
					if got := g.sets; got != int(sets[0]-'0') {
						t.Errorf("%s it had %d Sets, want %s", when, got, sets)
					}
					if what == "it is assigned, and does not answer yet" {
						return
					}
					l.start()
					l.wait(2 * time.Minute)
				}
				got := l.events("a")
				for _, want := range strings.Split(events, ", ") {
					if want != "" && !slices.Contains(got, want) {
						t.Errorf("events %q, want %q among them", got, want)
					}
				}
				for _, kind := range []string{"drift-opened", "drift-changed", "drift-closed"} {
					told := len(slices.DeleteFunc(slices.Clone(got), func(e string) bool { return e != kind }))
					if told > 1 && !strings.Contains(what, "five times") {
						t.Errorf("%s is told %d times", kind, told)
					}
				}
			})
		})
	}
	for what := range walks {
		if !walked[what] {
			t.Errorf("the page has no line %q", what)
		}
	}
}
