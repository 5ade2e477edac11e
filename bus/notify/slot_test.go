package notify

import (
	"testing"
	"time"

	"github.com/setpoint-net/setpoint/models"
)

func TestClaims(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	slot := func(g models.Generation, state string, refused bool) Slot {
		return Slot{Generation: g, Refused: refused, Status: &Status{State: state, Description: "stood"}}
	}
	claim := func(g models.Generation, state string) want {
		return want{Generation: g, Status: &Status{State: state, Description: "came"}}
	}
	refusal := func(g models.Generation) want {
		w := claim(g, StateError)
		w.Refused = true
		return w
	}
	head := func(w want) want { w.Head = true; return w }
	chat := func(g models.Generation, version string, final bool) want {
		return want{Generation: g, Message: &Message{Version: version, Final: final}}
	}
	story := func(g models.Generation, version string, final bool) Slot {
		return Slot{Generation: g, Message: &Message{Version: version, Final: final}}
	}
	posted := slot(3, StateSuccess, false)
	posted.Posted = posted.mark()

	for _, c := range []struct {
		name string
		slot Slot
		want want
		wins bool
	}{
		{"a new place", Slot{}, claim(1, StatePending), true},
		{"a higher generation goes back to pending", slot(3, StateSuccess, false), claim(4, StatePending), true},
		{"a lower generation loses", slot(3, StatePending, false), claim(2, StateSuccess), false},
		{"progress", slot(3, StatePending, false), claim(3, StatePending), true},
		{"a last word after progress", slot(3, StatePending, false), claim(3, StateError), true},
		{"no progress after a last word", slot(3, StateError, false), claim(3, StatePending), false},
		{"success after an error, by catching up", slot(3, StateError, false), claim(3, StateSuccess), true},
		{"a success in other words, not posted", slot(3, StateSuccess, false), claim(3, StateSuccess), true},
		{"a success in other words, posted", posted, claim(3, StateSuccess), false},
		{"the same", slot(3, StateError, false), want{Generation: 3, Status: &Status{State: StateError, Description: "stood"}}, false},
		{"the same of a higher generation", slot(3, StateError, false), want{Generation: 4, Status: &Status{State: StateError, Description: "stood"}}, true},
		{"a refusal of a commit deployed before", slot(3, StateSuccess, false), refusal(0), true},
		{"the old success does not come back over a refusal", slot(3, StateError, true), claim(3, StateSuccess), false},
		{"a refused commit that became head", slot(3, StateError, true), head(claim(3, StateSuccess)), true},
		{"a refused commit at a higher generation", slot(3, StateError, true), claim(4, StatePending), true},
		{"drift opens", Slot{}, chat(1, "opened", false), true},
		{"drift changes", story(1, "opened", false), chat(1, "changed x", false), true},
		{"drift ends", story(1, "changed x", false), chat(1, "closed", true), true},
		{"drift that ended does not open again", story(1, "closed", true), chat(1, "opened", false), false},
		{"the same transition", story(1, "opened", false), chat(1, "opened", false), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, changed := c.slot.claim(c.want, now)
			if changed != c.wins {
				t.Fatalf("changed %v: %+v", changed, got)
			}
			if changed && (got.Updated != now || got.Generation < c.slot.Generation || got.Refused != c.want.Refused) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestClaimKeepsWhatWasPosted(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := Slot{Generation: 1, Status: &Status{State: StatePending}, Posted: "x", PostedAt: at, Posts: 7, Attempts: 3, Error: "gone"}
	got, _ := s.claim(want{Generation: 2, Status: &Status{State: StatePending}}, at)
	if got.Posted != "x" || got.PostedAt != at || got.Posts != 7 {
		t.Errorf("%+v", got)
	}
	if got.Attempts != 0 || got.Error != "" {
		t.Errorf("a new word carries the old one's failures: %+v", got)
	}
}

func TestMarkIgnoresTheLink(t *testing.T) {
	a := Slot{Status: &Status{State: StateSuccess, Description: "d", URL: "https://old"}}
	b := Slot{Status: &Status{State: StateSuccess, Description: "d", URL: "https://new"}}
	if a.mark() != b.mark() || a.mark() == "" {
		t.Errorf("%q %q", a.mark(), b.mark())
	}
}
