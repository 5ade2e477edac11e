package reconciler

import (
	"strings"
	"time"

	"github.com/setpoint-net/setpoint/models"
)

// verdict is what is done about what was read.
type verdict uint8

const (
	settle  verdict = iota // equal: applied
	observe                // differs, and may not be written
	apply                  // differs: one Set
	keep                   // differs, and was refused: held
	confirm                // differs from what was applied: counts if the next read agrees
	drift                  // differs for certain
	heal                   // drift, and to be put back now
)

// facts is what a look found out.
type facts struct {
	equal   bool // running is intended
	agrees  bool // the read before this one gave the same tree
	enforce bool // the device's drift is put back
	overdue bool // the drift has stood for as long as it may
	stopped bool // putting it back has been given up

	suspended bool // a person asked that nothing is written
	resting   bool // or that drift is not put back
}

// decide is the reconciler's policy. The status speaks of the assignment: it is
// the one that carry returned.
func decide(a models.Assignment, s models.DeviceStatus, f facts) verdict {
	switch {
	case f.equal:
		return settle
	case a.Phase == models.PhaseHold:
		return observe
	case a.Phase == models.PhaseSettled || s.Applied == a.Generation:
		return drifting(a, f)
	case a.Phase != models.PhaseApply:
		return observe
	case f.suspended:
		return observe
	case s.State == models.DeviceHeld && s.Guards == "":
		return keep
	}
	return apply
}

// drifting decides about a device that had its assignment and differs from it.
func drifting(a models.Assignment, f facts) verdict {
	switch {
	case !f.agrees:
		return confirm
	case a.Phase == models.PhaseSettled && f.enforce && f.overdue && !f.stopped && !f.suspended && !f.resting:
		return heal
	}
	return drift
}

// carry makes a status speak of an assignment. One that spoke of the same config
// stays as it is: what was applied, held or found to drift is so under the new
// generation too, which a device needs no read for. Else only a device that was
// out of reach is known to be, and the rest is not known yet. A status of a higher
// generation is not touched.
//
// The same config means that no other was sent in between: before a Set the
// status is stored with the config that is about to be sent.
func carry(s models.DeviceStatus, a models.Assignment) models.DeviceStatus {
	switch {
	case s.Generation > a.Generation:
		return s
	case s.Intended == a.Hash && s.Generation > 0:
		if s.Applied == s.Generation {
			s.Applied = a.Generation
		}
		s.Generation = a.Generation
		return s
	}
	s.Generation, s.Intended, s.Diff, s.Changes, s.Next, s.Guards = a.Generation, a.Hash, "", 0, "", ""
	if s.State != models.DeviceUnreachable {
		s.State, s.Reason = models.DeviceUnknown, ""
	}
	return s
}

// missed is the status after the nth failure in a row to find out or to bring
// about anything, n from 1. The first ones change nothing, unless the device
// was known to fail before. A held device stays held: its config was refused,
// whether or not it can be reached.
func missed(s models.DeviceStatus, c Class, n int, reason string) models.DeviceStatus {
	state := models.DeviceUnknown
	if c == ClassUnreachable {
		state = models.DeviceUnreachable
	}
	switch {
	case s.State == models.DeviceHeld:
		if apart := apartFrom(s.Reason) + heldApart + reason; n >= attempts && !sameText(s.Reason, apart) {
			s.Reason = apart
		}
		return s
	case n < attempts && !failing(s):
		return s
	case s.State == state && sameText(s.Reason, reason):
		return s
	}
	s.State, s.Reason, s.Next, s.Guards = state, reason, triedAgain, ""
	return s
}

// triedAgain is what happens next with a device that could not be read or written.
const triedAgain = "tried again until it works, at least once a minute"

// heldApart parts why a device is held from why it can't be read now.
const heldApart = "; not read now: "

// apartFrom is a held device's reason without what may be said about reading.
func apartFrom(reason string) string {
	before, _, _ := strings.Cut(reason, heldApart)
	return before
}

// failing says whether a status tells of a failure already.
func failing(s models.DeviceStatus) bool {
	return s.State == models.DeviceUnreachable || s.State == models.DeviceUnknown && s.Reason != ""
}

// sameText compares two error texts but for their numbers: ports and times
// change with every attempt, and are no news.
func sameText(a, b string) bool {
	strip := func(r rune) rune {
		if '0' <= r && r <= '9' {
			return -1
		}
		return r
	}
	return strings.Map(strip, a) == strings.Map(strip, b)
}

const (
	healsMax = 5                // puttings back of one device
	healsIn  = 10 * time.Minute // within this time; one more is refused
)

// recent drops the heals that no longer count. The slice is the caller's.
func recent(heals []time.Time, now time.Time) []time.Time {
	for len(heals) > 0 && now.Sub(heals[0]) >= healsIn {
		heals = heals[1:]
	}
	return heals
}

// oneLine makes a text fit for a status: one line, of at most max bytes.
func oneLine(s string, max int) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > max {
		s = strings.ToValidUTF8(s[:max-len("…")], "") + "…"
	}
	return s
}
