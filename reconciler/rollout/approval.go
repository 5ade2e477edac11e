package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
)

// Approval is a person's word. In the table approvals, by device, it says that a
// device which awaits approval may be written to, or that a plan may be carried
// out which guards forbid. It is given for one plan, from what ran to what was
// intended then, and lapses when either has moved.
//
// In the table permits, by generation, it says that a rollout may begin which
// guards of the fleet hold. Hash is that of the generation's manifest, and Running
// is empty.
type Approval struct {
	Generation models.Generation `json:"generation"`      // that the device was assigned
	Hash       models.Hash       `json:"hash"`            // the intended config
	Running    models.Hash       `json:"running"`         // the running config, as last read
	Allow      string            `json:"allow,omitempty"` // guards that are lifted for the plan, comma-separated
	Who        string            `json:"who"`
	Time       time.Time         `json:"time"`
}

// Approvals is the bus's table of approvals. The driver acts on its rows; whoever
// asks people writes them.
func Approvals(b *bus.Bus) *bus.Table[Approval] { return bus.TableOf[Approval](b, "approvals") }

// Permits is the bus's table of approvals of generations.
func Permits(b *bus.Bus) *bus.Table[Approval] { return bus.TableOf[Approval](b, "permits") }

// ErrNothingToApprove comes back for a device that may be written to already, or
// of which it is not known what runs.
var ErrNothingToApprove = errors.New("nothing to approve")

// ErrPlanChanged comes back for an approval of a plan that the device does not
// await any more.
var ErrPlanChanged = errors.New("the plan has changed; look again")

// ErrGuarded comes back for an approval that leaves a guard in force which forbids
// the plan.
var ErrGuarded = errors.New("a guard forbids this plan")

// PlanID names the plan that a device awaits approval of: it changes with the
// intended and with the running config. Errors wrap ErrNothingToApprove.
func PlanID(a models.Assignment, s models.DeviceStatus) (string, error) {
	switch {
	case a.Phase == "":
		return "", fmt.Errorf("%w: no generation is assigned", ErrNothingToApprove)
	case a.Phase != models.PhaseHold && s.Guards == "":
		return "", fmt.Errorf("%w: it may be written to already", ErrNothingToApprove)
	case !speaks(s, a):
		return "", fmt.Errorf("%w: not read since its assignment; it is %s", ErrNothingToApprove, describe(s))
	}
	sum := sha256.Sum256([]byte(a.Hash + "/" + s.Running))
	return hex.EncodeToString(sum[:6]), nil
}

// Approve makes the approval of a plan that PlanID named, with the guards that it
// lifts. Errors wrap ErrNothingToApprove, ErrPlanChanged or ErrGuarded.
func Approve(plan string, allow []string, a models.Assignment, s models.DeviceStatus) (Approval, error) {
	id, err := PlanID(a, s)
	switch {
	case err != nil:
		return Approval{}, err
	case id != plan:
		return Approval{}, ErrPlanChanged
	}
	if s.Guards != "" {
		for guard := range strings.SplitSeq(s.Guards, ",") {
			if !slices.Contains(allow, guard) {
				return Approval{}, fmt.Errorf("%w: %s", ErrGuarded, s.Reason)
			}
		}
	}
	for _, guard := range allow {
		if !slices.Contains(strings.Split(s.Guards, ","), guard) {
			return Approval{}, fmt.Errorf("%w: guard %q does not forbid this plan", ErrNothingToApprove, guard)
		}
	}
	return Approval{Generation: a.Generation, Hash: a.Hash, Running: s.Running, Allow: s.Guards}, nil
}

// HoldID names what a held rollout would do, as PlanID does for a device: it
// changes with the commit.
func HoldID(r models.Rollout) string {
	sum := sha256.Sum256([]byte(r.Commit + "/" + string(r.Manifest)))
	return hex.EncodeToString(sum[:6])
}

// Permit makes the approval of a held rollout that HoldID named, with the guards
// that it lifts: those that hold it, no fewer and no others. Errors wrap
// ErrNothingToApprove, ErrPlanChanged or ErrGuarded.
func Permit(plan string, allow []string, r models.Rollout) (Approval, error) {
	switch {
	case r.State == models.RolloutSuperseded:
		return Approval{}, fmt.Errorf("%w: superseded by generation %d", ErrNothingToApprove, r.By)
	case r.State != models.RolloutHeld || r.Hold == nil:
		return Approval{}, fmt.Errorf("%w: no guard holds it", ErrNothingToApprove)
	case plan != HoldID(r):
		return Approval{}, ErrPlanChanged
	}
	names := strings.Split(r.Hold.Names(), ",")
	for _, guard := range allow {
		if !slices.Contains(names, guard) {
			return Approval{}, fmt.Errorf("%w: guard %q does not hold it, but %s", ErrNothingToApprove, guard, strings.Join(names, " and "))
		}
	}
	for _, g := range r.Hold.Guards {
		if !slices.Contains(allow, g.Name) {
			return Approval{}, fmt.Errorf("%w: guard %s: %s", ErrGuarded, g.Name, g.Reason)
		}
	}
	return Approval{Generation: r.Generation, Hash: r.Manifest, Allow: r.Hold.Names()}, nil
}

// speaks says whether a status tells what runs beside the assignment.
func speaks(s models.DeviceStatus, a models.Assignment) bool {
	known := s.State == models.DeviceObserved || s.State == models.DeviceApplied || s.Guards != ""
	return known && s.Generation == a.Generation && s.Intended == a.Hash
}

func describe(s models.DeviceStatus) string {
	if s.State == "" {
		return string(models.DeviceUnknown)
	}
	return strings.TrimSuffix(string(s.State)+": "+s.Reason, ": ")
}

// adopt returns the assignments that lift what keeps devices from being written
// to, and the devices whose approval has lapsed. A device that is equal already
// is settled by it.
//
// After the store was rebuilt approvals are lost with it. Under the first
// generation that is rolled out then, a device that runs what it is meant to
// counts as adopted: rebuilt is that generation, 0 for none.
func adopt(approvals map[models.DeviceName]Approval, now assigned, statuses map[models.DeviceName]models.DeviceStatus, rebuilt models.Generation) (moves assigned, lapsed []models.DeviceName) {
	moves = assigned{}
	for name, a := range now {
		s := statuses[name]
		p, approved := approvals[name]
		if a.Phase != models.PhaseHold {
			if approved && p.Allow != "" && p.lifts(a, s) {
				a.Allow, a.From = p.Allow, p.Running
				moves[name] = a
			}
			continue
		}
		switch {
		case approved && p.Hash != a.Hash, approved && speaks(s, a) && s.Running != p.Running:
			lapsed = append(lapsed, name)
			continue
		case !speaks(s, a):
			continue
		case s.State == models.DeviceApplied && (approved || a.Generation == rebuilt):
			a.Phase = models.PhaseSettled
		case approved:
			a.Phase, a.Allow, a.From = models.PhaseApply, p.Allow, p.Running
			if p.Allow == "" {
				a.From = ""
			}
		default:
			continue
		}
		moves[name] = a
	}
	return moves, lapsed
}

// lifts says whether an approval is of the plan that guards forbid now, and is not
// on the assignment yet.
func (p Approval) lifts(a models.Assignment, s models.DeviceStatus) bool {
	return s.Guards != "" && speaks(s, a) && p.Generation == a.Generation && p.Hash == a.Hash && p.Running == s.Running &&
		(a.Allow != p.Allow || a.From != p.Running)
}

// oldest is the generation of the first rollout there is.
func oldest(rollouts map[models.Generation]models.Rollout) models.Generation {
	var first models.Generation
	for g := range rollouts {
		if first == 0 || g < first {
			first = g
		}
	}
	return first
}
