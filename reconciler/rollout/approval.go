package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
)

// Approval is the value of the table approvals, by device: a person's word that
// a device which awaits approval may be written to. It is given for one plan,
// from what ran to what was intended then, and lapses when either has moved.
type Approval struct {
	Generation models.Generation `json:"generation"` // that the device was assigned
	Hash       models.Hash       `json:"hash"`       // the intended config
	Running    models.Hash       `json:"running"`    // the running config, as last read
	Who        string            `json:"who"`
	Time       time.Time         `json:"time"`
}

// Approvals is the bus's table of approvals. The driver acts on its rows; whoever
// asks people writes them.
func Approvals(b *bus.Bus) *bus.Table[Approval] { return bus.TableOf[Approval](b, "approvals") }

// ErrNothingToApprove comes back for a device that may be written to already, or
// of which it is not known what runs.
var ErrNothingToApprove = errors.New("nothing to approve")

// ErrPlanChanged comes back for an approval of a plan that the device does not
// await any more.
var ErrPlanChanged = errors.New("the plan has changed; look again")

// PlanID names the plan that a device awaits approval of: it changes with the
// intended and with the running config. Errors wrap ErrNothingToApprove.
func PlanID(a models.Assignment, s models.DeviceStatus) (string, error) {
	switch {
	case a.Phase == "":
		return "", fmt.Errorf("%w: no generation is assigned", ErrNothingToApprove)
	case a.Phase != models.PhaseHold:
		return "", fmt.Errorf("%w: it may be written to already", ErrNothingToApprove)
	case !speaks(s, a):
		return "", fmt.Errorf("%w: not read since its assignment; it is %s", ErrNothingToApprove, describe(s))
	}
	sum := sha256.Sum256([]byte(a.Hash + "/" + s.Running))
	return hex.EncodeToString(sum[:6]), nil
}

// Approve makes the approval of a plan that PlanID named. Errors wrap
// ErrNothingToApprove or ErrPlanChanged.
func Approve(plan string, a models.Assignment, s models.DeviceStatus) (Approval, error) {
	id, err := PlanID(a, s)
	switch {
	case err != nil:
		return Approval{}, err
	case id != plan:
		return Approval{}, ErrPlanChanged
	}
	return Approval{Generation: a.Generation, Hash: a.Hash, Running: s.Running}, nil
}

// speaks says whether a status tells what runs beside the assignment.
func speaks(s models.DeviceStatus, a models.Assignment) bool {
	known := s.State == models.DeviceObserved || s.State == models.DeviceApplied
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
		if a.Phase != models.PhaseHold {
			continue
		}
		p, approved := approvals[name]
		switch {
		case approved && p.Hash != a.Hash, approved && speaks(s, a) && s.Running != p.Running:
			lapsed = append(lapsed, name)
			continue
		case !speaks(s, a):
			continue
		case s.State == models.DeviceApplied && (approved || a.Generation == rebuilt):
			a.Phase = models.PhaseSettled
		case approved:
			a.Phase = models.PhaseApply
		default:
			continue
		}
		moves[name] = a
	}
	return moves, lapsed
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
