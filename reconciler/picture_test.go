package reconciler

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// ports is a config with a host name and the MTU of a port.
func ports(name, mtu string) string {
	return `{"openconfig-system:system":{"config":{"hostname":"` + name + `"}},
		"openconfig-interfaces:interfaces":{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1","type":"iana-if-type:ethernetCsmacd","mtu":` + mtu + `}}]}}`
}

// wide settles a device of which two top containers are managed, and forgets what
// that took.
func (l *lab) wide(config string, policy models.Drift) *gear {
	l.t.Helper()
	g := l.device("a", config, policy)
	entry := l.entry["a"]
	entry.Manage = []string{"/interfaces", "/system"}
	l.entry["a"] = entry
	l.start()
	l.assign(1, models.PhaseApply, config, "a")
	l.wait(time.Second)
	l.assign(1, models.PhaseSettled, config, "a")
	l.wait(time.Second)
	l.want("a", models.DeviceApplied, 1, 0)
	g.do(func(g *gear) { g.reads, g.roots, g.parsed = 0, nil, nil })
	return g
}

func TestAChangeIsPutBackADebounceLaterByFourReads(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.wide(ports("new", "1500"), enforce)
		g.change(t, ports("new", "9000"))
		l.wait(debounce - time.Millisecond)
		l.want("a", models.DeviceApplied, 1, 0)
		l.wait(2 * time.Millisecond)
		l.want("a", models.DeviceApplied, 1, 1)
		l.wantClosed("a", "healed")
		l.wait(time.Second)
		g.do(func(g *gear) {
			// The change, the same again, the reading back, and what that Set stirred.
			want := [][]string{{"interfaces"}, {"interfaces"}, nil}
			if len(g.roots) == 4 {
				want = append(want, []string{"interfaces"})
			}
			if !reflect.DeepEqual(g.roots, want) {
				t.Errorf("read %q, want %q", g.roots, want)
			}
			if want := []string{"interfaces"}; !slices.Equal(g.parsed, want) {
				t.Errorf("parsed %q, want %q", g.parsed, want)
			}
		})
	})
}

func TestADifferenceCountsOnceNothingStirsBetweenTwoReads(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.wide(ports("new", "1500"), enforce)
		g.change(t, ports("new", "9000"))
		for range 5 {
			l.wait(debounce * 2 / 3)
			g.stirs("interfaces")
		}
		l.want("a", models.DeviceApplied, 1, 0)
		l.wait(3 * debounce)
		l.want("a", models.DeviceApplied, 1, 1)
	})
}

func TestNoiseCostsNoParseAndAReadEachDebounceAtMost(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.wide(ports("new", "1500"), enforce)
		const rounds = 1000
		for range rounds {
			g.stirs("system")
			l.wait(10 * time.Millisecond)
		}
		g.do(func(g *gear) {
			most := rounds*10*int(time.Millisecond)/int(debounce) + 2*looksAtOnce + rounds/100
			if g.reads > most || g.reads < rounds/20 {
				t.Errorf("%d reads, want at most %d", g.reads, most)
			}
			for _, roots := range g.roots {
				if !slices.Equal(roots, []string{"system"}) {
					t.Fatalf("read %q", roots)
				}
			}
			if len(g.parsed) > 0 {
				t.Errorf("parsed %q", g.parsed)
			}
		})
		l.want("a", models.DeviceApplied, 1, 0)
	})
}

func TestAStirOfUnknownPlaceHasAllRead(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.wide(ports("new", "1500"), enforce)
		g.stirs("")
		l.wait(time.Second)
		g.do(func(g *gear) {
			if !reflect.DeepEqual(g.roots, [][]string{nil}) || len(g.parsed) > 0 {
				t.Errorf("read %q, parsed %q", g.roots, g.parsed)
			}
		})
	})
}

func TestTheResyncReadsAllAlsoWhereDriftStandsAndDeviceStirs(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.wide(ports("new", "1500"), alert)
		g.change(t, ports("new", "9000"))
		l.wait(time.Second)
		g.do(func(g *gear) { g.deaf = true })
		g.change(t, ports("other", "9000")) // not streamed
		for range 15 * 60 {
			l.wait(time.Second)
			g.stirs("interfaces")
		}
		if e := l.episode("a"); e.Changes != 2 {
			t.Errorf("episode %+v", e)
		}
	})
}

func TestACommitParsesOnlyTheContainersItIsAbout(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.wide(ports("new", "1500"), alert)
		l.assign(2, models.PhaseApply, ports("new", "9000"), "a")
		l.wait(time.Second)
		l.want("a", models.DeviceApplied, 2, 1)
		g.do(func(g *gear) {
			if !slices.Contains(g.parsed, "interfaces") || slices.Contains(g.parsed, "system") {
				t.Errorf("parsed %q", g.parsed)
			}
		})
	})
}

func TestACommitHasAllReadAlsoWhereTheDeviceJustStirred(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.wide(ports("new", "1500"), alert)
		for range 2 * looksAtOnce {
			g.stirs("system")
			l.wait(time.Millisecond)
		}
		l.wait(2 * debounce)
		g.stirs("system") // looked at a debounce later
		l.assign(2, models.PhaseApply, ports("new", "9000"), "a")
		l.wait(time.Second)
		l.want("a", models.DeviceApplied, 2, 1)
		g.do(func(g *gear) {
			if !g.running.Equal(parse(t, ports("new", "9000"))) {
				t.Errorf("runs %s", g.running.Canonical())
			}
		})
	})
}

func TestAReadTakesWhatStirredInOneStep(t *testing.T) {
	s := &session{}
	s.stir("system")
	s.stir("interfaces")
	if where, stirred := s.begin(); !stirred || len(where) != 2 || !s.quiet() {
		t.Errorf("took %v, %t", where, stirred)
	}
	s.stir("system") // while it is read
	if where, stirred := s.begin(); !stirred || len(where) != 1 {
		t.Errorf("took %v, %t", where, stirred)
	}
	if where, stirred := s.begin(); stirred || len(where) != 0 {
		t.Errorf("took %v, %t", where, stirred)
	}
}

func TestACommitToWhatIsIgnoredIsCounted(t *testing.T) {
	inLab(t, func(l *lab) {
		policy := alert
		policy.Ignore = []models.Ignored{{Path: "/system/config/motd-banner"}}
		g := l.wide(ports("new", "1500"), policy)
		before := l.status("a").Coverage
		config := with(parse(t, ports("new", "1500")), "/system/config/motd-banner", "ignored")
		l.assign(2, models.PhaseApply, string(config.Canonical()), "a")
		l.wait(time.Second)
		if s := l.want("a", models.DeviceApplied, 2, 0); s.Coverage.Intended != before.Intended+1 || s.Coverage.Unenforced != before.Unenforced+1 {
			t.Errorf("coverage %+v, was %+v", s.Coverage, before)
		}
		g.do(func(g *gear) {
			if len(g.parsed) > 0 {
				t.Errorf("parsed %q", g.parsed)
			}
		})
	})
}

func TestAFailedReadLosesNoStir(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.wide(ports("new", "1500"), enforce)
		g.do(func(g *gear) { g.readErr = errPartial })
		g.change(t, ports("new", "9000"))
		l.wait(10 * time.Millisecond)
		g.do(func(g *gear) { g.readErr = nil })
		g.stirs("system")
		l.wait(time.Minute)
		l.want("a", models.DeviceApplied, 1, 1)
	})
}

func TestReadsOfTwoSessionsDoNotAgree(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.wide(ports("new", "1500"), enforce)
		g.change(t, ports("new", "9000"))
		l.wait(debounce / 2)
		g.do(func(g *gear) { g.readErr = errDown })
		l.wait(debounce)
		g.do(func(g *gear) { g.readErr = nil })
		l.wait(time.Minute)
		l.want("a", models.DeviceApplied, 1, 1)
		g.do(func(g *gear) {
			// Once before the session was lost, then twice and to read back.
			whole := 0
			for _, roots := range g.roots {
				if roots == nil {
					whole++
				}
			}
			if g.dials != 2 || whole != 3 {
				t.Errorf("dialled %d times, read %q", g.dials, g.roots)
			}
		})
	})
}

func TestWhatCameAlongAndIsChangedByASetIsNoNewcomer(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.wide(ports("new", "1500"), enforce)
		banner := func(text string) {
			g.do(func(g *gear) {
				g.came = func(t *tree.Tree) *tree.Tree { return with(t, "/system/config/login-banner", text) }
			})
		}
		banner("one")
		g.change(t, ports("new", "9000"))
		l.wait(10 * time.Second)
		l.want("a", models.DeviceApplied, 1, 1)
		banner("two")
		g.change(t, ports("new", "9000"))
		l.wait(10 * time.Second)
		if s := l.want("a", models.DeviceDrifted, 1, 3); !strings.Contains(s.Reason, "login-banner") {
			t.Errorf("reason %q", s.Reason)
		}
	})
}

// A device of which all is replaced that differs keeps what was not read,
// because it was as intended, and what came along with a Set there.
func TestAReplacedRootHoldsWhatWasNotRead(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", ports("old", "1500"), enforce)
		entry := l.entry["a"]
		entry.Manage, entry.Apply = []string{"/"}, models.ApplyRoot
		l.entry["a"] = entry
		g.came = func(t *tree.Tree) *tree.Tree { return with(t, "/system/config/login-banner", "made by the device") }
		l.start()
		l.assign(1, models.PhaseApply, ports("new", "1500"), "a")
		l.wait(10 * time.Second)
		l.assign(1, models.PhaseSettled, ports("new", "1500"), "a")
		l.wait(10 * time.Second)
		l.want("a", models.DeviceApplied, 1, 1)
		var before *tree.Tree
		g.do(func(g *gear) {
			g.came, before = nil, g.running
			g.becomes(with(g.running, "/interfaces/interface[name=Ethernet1]/config/description", "by hand"))
		})
		l.wait(10 * time.Second)
		l.want("a", models.DeviceApplied, 1, 2)
		g.do(func(g *gear) {
			if !g.running.Equal(before) {
				t.Errorf("runs %s", g.running.Canonical())
			}
		})
	})
}

// What came along with a Set is accepted as long as it stays. Once it went, it is
// drift when it comes again, also where the device then looks as it did before.
func TestWhatCameAlongAndWentIsDriftWhenItComesAgain(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("old"), enforce)
		g.came = func(t *tree.Tree) *tree.Tree { return with(t, "/system/config/login-banner", "made by the device") }
		l.start()
		l.assign(1, models.PhaseApply, host("new"), "a")
		l.wait(10 * time.Second)
		l.assign(1, models.PhaseSettled, host("new"), "a")
		l.wait(10 * time.Second)
		l.want("a", models.DeviceApplied, 1, 1)
		var grown *tree.Tree
		byHand := parse(t, host("by-hand"))
		g.do(func(g *gear) {
			grown = g.running
			g.came = func(*tree.Tree) *tree.Tree { return byHand } // it takes the next Set for nothing
			g.becomes(byHand)                                      // and the banner is gone
		})
		l.wait(10 * time.Second)
		l.want("a", models.DeviceDrifted, 1, 2)
		g.do(func(g *gear) { g.came = nil; g.becomes(grown) })
		l.wait(10 * time.Second)
		l.want("a", models.DeviceApplied, 1, 3)
		g.do(func(g *gear) {
			if !g.running.Equal(parse(t, host("new"))) {
				t.Errorf("runs %s", g.running.Canonical())
			}
		})
	})
}

func TestADiffIsKeptAnewOnceItMayHaveBeenSwept(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.wide(ports("new", "1500"), alert)
		for range 2 {
			g.change(t, ports("new", "9000"))
			l.wait(time.Second)
			if text := l.text(l.episode("a").Diff); !strings.Contains(text, "9000") {
				t.Errorf("the diff is %q", text)
			}
			g.change(t, ports("new", "1500"))
			l.wait(time.Second)
			l.want("a", models.DeviceApplied, 1, 0)
			if _, _, err := l.Blobs.Sweep(l.ctx, func(h models.Hash) bool { return h == l.status("a").Intended }, 0); err != nil {
				t.Fatal(err)
			}
		}
	})
}
