package reconciler

import (
	"fmt"
	"strings"
	"time"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/reconciler/plan"
)

// outlook is what happens next with a device that differs from its intended config,
// or what a person can do about it, on one line.
func (m *member) outlook(d found) string {
	switch s := m.status; {
	case m.order.all.holds(d.at):
		return m.order.all.String() + "; " + m.order.all.hint(m.name)
	case len(d.guards) > 0:
		return fmt.Sprintf("to allow it: setpoint approve %s --allow %s", m.name, guardNames(d.guards)) + atomicity(d.plan)
	case s.State == models.DeviceObserved:
		return fmt.Sprintf("to have it written: setpoint approve %s", m.name) + atomicity(d.plan)
	case s.State == models.DeviceHeld:
		return fmt.Sprintf("left alone until its intended config changes, or: setpoint retry %s", m.name)
	case s.State == models.DeviceDrifted:
		return m.outlookOfDrift(d)
	}
	return ""
}

func (m *member) outlookOfDrift(d found) string {
	facts := m.facts(d)
	switch {
	case m.taken.Phase != models.PhaseSettled:
		return "left alone while the rollout is under way"
	case !facts.enforce:
		return fmt.Sprintf("left alone (drift mode %s): take it into the config repo, or undo it on the device", m.mode())
	case facts.resting:
		return m.order.heals.String() + "; " + m.order.heals.hint(m.name)
	case facts.stopped:
		return fmt.Sprintf("left alone until the next commit, or: setpoint retry %s", m.name)
	}
	return "put back at " + m.episode.Value.Opened.Add(m.entry.Drift.After).UTC().Format(time.RFC3339) + atomicity(d.plan)
}

// atomicity says that a plan would be sent in several requests, "" if it is not.
func atomicity(p *plan.Plan) string {
	if n := len(p.Requests()); n > 1 {
		return fmt.Sprintf(" (in %d phases: not atomic)", n)
	}
	return ""
}

func guardNames(guards []plan.Guard) string {
	var names []string
	for _, g := range guards {
		names = append(names, g.Name)
	}
	return strings.Join(names, ",")
}

// guardText says which guards forbid a plan, and why.
func guardText(guards []plan.Guard) string {
	var parts []string
	for _, g := range guards {
		parts = append(parts, fmt.Sprintf("guard %s: %s", g.Name, g.Reason))
	}
	return strings.Join(parts, "; ")
}
