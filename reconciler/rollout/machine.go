package rollout

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/setpoint-net/setpoint/models"
)

// assigned is a set of assignments by device.
type assigned = map[models.DeviceName]models.Assignment

// elect returns the newest generation that could be rolled out: rendered, above
// every rollout there is, and not below what any device is assigned already.
// It is false when there is none.
func elect(renders map[models.Generation]models.Render, rollouts map[models.Generation]models.Rollout, now assigned) (models.Render, bool) {
	floor := models.Generation(0)
	for g := range rollouts {
		floor = max(floor, g+1)
	}
	for _, a := range now {
		floor = max(floor, a.Generation)
	}
	var newest models.Render
	for g, r := range renders {
		if r.State == models.Rendered && g >= floor && g > newest.Generation {
			newest = r
		}
	}
	return newest, newest.Generation > 0
}

// assign returns the assignments that a rendering gives to the devices of its
// manifest, without those that stand already, and how many devices it changes.
//
// A device whose intended config stays keeps its phase, so that drift on a
// settled device is neither adopted nor overwritten by a commit that has nothing
// to say about it. Previous is the config the device was last settled on.
func assign(r models.Render, m models.Manifest, now assigned) (moves assigned, changed int) {
	moves = assigned{}
	for _, d := range m.Devices {
		old, known := now[d.Device.Name]
		if known && old.Generation >= r.Generation {
			if old.Phase != models.PhaseSettled {
				changed++ // moved by a fan-out that was cut short
			}
			continue
		}
		a := models.Assignment{
			Generation: r.Generation,
			Commit:     r.Commit,
			Manifest:   r.Manifest,
			Hash:       d.Config,
			Previous:   old.Previous,
			Phase:      phase(d, old),
		}
		if old.Phase == models.PhaseSettled && old.Hash != d.Config {
			a.Previous = old.Hash
		}
		if old.Hash != d.Config {
			changed++
		}
		moves[d.Device.Name] = a
	}
	return moves, changed
}

// phase is what a device may be done to under its next assignment; old is zero
// for a device that had none.
func phase(d models.Intended, old models.Assignment) models.Phase {
	switch {
	case old.Phase == models.PhaseSettled && old.Hash == d.Config:
		return models.PhaseSettled
	case old.Phase == "" || old.Phase == models.PhaseHold:
		if d.Device.Adopt == models.AdoptAuto {
			return models.PhaseApply
		}
		return models.PhaseHold
	}
	return models.PhaseApply
}

// begin is a rollout's first value.
func begin(r models.Render, devices, changed int, now time.Time) models.Rollout {
	return models.Rollout{
		Generation: r.Generation,
		Commit:     r.Commit,
		Manifest:   r.Manifest,
		State:      models.RolloutRunning,
		Total:      devices,
		Changed:    changed,
		Started:    now,
	}
}

// supersede ends a rollout whose devices went to a newer generation. One that
// was done stays done.
func supersede(r models.Rollout, by models.Generation, now time.Time) models.Rollout {
	if r.State == models.RolloutDone || r.State == models.RolloutSuperseded {
		return r
	}
	r.State, r.By = models.RolloutSuperseded, by
	if r.Ended.IsZero() {
		r.Ended = now
	}
	return r
}

// outcome is what a device's assignment and status say about its generation.
type outcome uint8

const (
	pending   outcome = iota // no word yet
	converged                // there, and settled
	arrived                  // there, to be settled
	held
	deferred
	awaiting
)

// judge tells a device's outcome. A status that speaks of another generation or
// of another config says nothing.
func judge(a models.Assignment, s models.DeviceStatus) outcome {
	if a.Phase == models.PhaseSettled {
		return converged
	}
	if s.Generation != a.Generation || s.Intended != a.Hash {
		return pending
	}
	if s.State == models.DeviceApplied || (s.Applied == a.Generation && a.Phase == models.PhaseApply) {
		if a.Phase == models.PhaseHold {
			return converged // equal without a write; it is not adopted by that
		}
		return arrived
	}
	switch s.State {
	case models.DeviceHeld:
		return held
	case models.DeviceUnreachable:
		return deferred
	case models.DeviceUnknown:
		if s.Reason != "" {
			return deferred
		}
	case models.DeviceObserved:
		return awaiting
	}
	return pending
}

// tally brings a rollout up to what its devices' assignments and statuses say,
// and returns the devices to settle. A rollout ends when every device has an
// outcome; while devices are held, deferred or awaiting approval it ends
// incomplete, and is done by itself once they have caught up. One that is done
// stays so, also while a device that was equal by itself is adopted.
func tally(r models.Rollout, now assigned, statuses map[models.DeviceName]models.DeviceStatus, at time.Time) (models.Rollout, []models.DeviceName) {
	if r.State == models.RolloutSuperseded || r.State == models.RolloutHeld {
		return r, nil
	}
	was := r
	r.Converged, r.Held, r.Deferred, r.Awaiting = 0, nil, nil, nil
	var settle []models.DeviceName
	waiting := 0
	for _, name := range slices.Sorted(maps.Keys(now)) {
		a, s := now[name], statuses[name]
		if a.Generation != r.Generation {
			continue
		}
		switch judge(a, s) {
		case pending:
			waiting++
		case converged:
			r.Converged++
		case arrived:
			r.Converged++
			settle = append(settle, name)
		case held:
			r.Held = append(r.Held, note(name, s, len(r.Held)))
		case deferred:
			r.Deferred = append(r.Deferred, note(name, s, len(r.Deferred)))
		case awaiting:
			r.Awaiting = append(r.Awaiting, note(name, s, len(r.Awaiting)))
		}
	}
	switch {
	case was.State == models.RolloutDone:
		return was, settle
	case r.Converged >= r.Total:
		r.State, r.Ended = models.RolloutDone, at
	case waiting == 0 && r.State == models.RolloutRunning:
		r.State, r.Ended = models.RolloutIncomplete, at
	}
	return r, settle
}

const (
	noteLength = 300 // bytes of a reason kept in a rollout
	noteCount  = 200 // notes that keep their reason: a rollout is one value of a table
)

// note is a device and its reason, on one line and short; beyond noteCount the
// device's name alone.
func note(name models.DeviceName, s models.DeviceStatus, nth int) models.DeviceNote {
	if nth >= noteCount {
		return models.DeviceNote{Device: name}
	}
	reason := strings.Join(strings.Fields(s.Reason), " ")
	if len(reason) > noteLength {
		reason = strings.ToValidUTF8(reason[:noteLength-3], "") + "…"
	}
	return models.DeviceNote{Device: name, Reason: reason}
}
