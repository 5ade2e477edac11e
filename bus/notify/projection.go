package notify

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/setpoint-net/setpoint/models"
)

// The contexts of a commit's statuses.
const (
	ContextPlan   = "setpoint/plan"   // what the commit changes, or its mistakes
	ContextPolicy = "setpoint/policy" // what the repo's policies say of it, where it has any
	ContextDeploy = "setpoint/deploy" // whether every device is on it
)

// The states of a status, as GitHub has them: failure is the intent's fault,
// error ours or the environment's.
const (
	StatePending = "pending"
	StateSuccess = "success"
	StateFailure = "failure"
	StateError   = "error"
)

// Status is one commit status.
type Status struct {
	SHA         string `json:"sha"`
	Context     string `json:"context"`
	State       string `json:"state"`
	Description string `json:"description"`
	URL         string `json:"url,omitempty"`
}

// final says whether the state is a last word.
func (s Status) final() bool { return s.State != StatePending }

// facts is all that a generation's statuses are made of.
type facts struct {
	Generation models.Generation
	Commit     string
	Render     *models.Render   // nil: not begun
	Rollout    *models.Rollout  // nil: not begun
	Plan       string           // the difference in a line; "" while it is not known yet
	Mistakes   []models.Mistake // where Render says so
	Warnings   []models.Mistake // where Render counts some: all, or the first
	By         string           // the newer commit that keeps this one from going on; "" if none
}

// described says whether blobs tell more about the rendering.
func (f facts) described() bool {
	return f.Render != nil && (f.Render.State == models.Rendered || f.Render.State == models.RenderMistakes)
}

// project is the two statuses of one generation: always the same for the same
// facts, pending only while something is still going to happen.
func project(f facts) (pl, deploy Status) {
	pl = Status{SHA: f.Commit, Context: ContextPlan}
	deploy = Status{SHA: f.Commit, Context: ContextDeploy}
	pl.State, pl.Description = projectPlan(f)
	deploy.State, deploy.Description = projectDeploy(f)
	pl.Description = clip(pl.Description, maxDescription)
	deploy.Description = clip(deploy.Description, maxDescription)
	return pl, deploy
}

// projectPolicy is the status of what the repo's policies say of a generation, once
// it is known; false: there is none. It is never pending: only a rendering tells
// whether the repo has policies.
func projectPolicy(f facts) (s Status, ok bool) {
	s = Status{SHA: f.Commit, Context: ContextPolicy}
	r := f.Render
	switch {
	case r == nil || !r.Policies:
		return s, false
	case r.State == models.RenderMistakes:
		s.State, s.Description = StateFailure, denied(f.Mistakes)
	case r.State != models.Rendered:
		return s, false
	case r.Warnings == 0:
		s.State, s.Description = StateSuccess, "every policy is kept"
	case len(f.Warnings) == 0:
		s.State, s.Description = StateSuccess, count(r.Warnings, "warning")
	default:
		s.State, s.Description = StateSuccess, firstOf(f.Warnings[0], r.Warnings, "warning")
	}
	s.Description = clip(s.Description, maxDescription)
	return s, true
}

// denied is what policies deny. Where something else is wrong, nothing is judged.
func denied(ms []models.Mistake) string {
	var first models.Mistake
	n := 0
	for _, m := range ms {
		if m.Code != models.CodePolicy {
			continue
		}
		if n == 0 {
			first = m
		}
		n++
	}
	if n == 0 {
		return "not judged: " + count(max(1, len(ms)), "mistake")
	}
	return firstOf(first, n, "violation")
}

func projectPlan(f facts) (state, description string) {
	r := f.Render
	switch {
	case (r == nil || r.State == models.Rendering) && f.By != "":
		return StateError, superseded(f.By, "before it was rendered")
	case r == nil:
		return StatePending, "received"
	case r.State == models.RenderMistakes:
		return StateFailure, mistakesLine(f.Mistakes)
	case r.State == models.RenderError:
		return StateError, orElse(r.Reason, "rendering stopped")
	case r.State == models.RenderSkipped:
		return StateError, superseded(f.By, "before it was rendered")
	case r.State == models.Rendered && f.Plan == "":
		return StatePending, "rendered, comparing with the generation before"
	case r.State == models.Rendered:
		return StateSuccess, f.Plan
	case r.Attempts > 1:
		return StatePending, "rendering, attempt " + strconv.Itoa(r.Attempts)
	}
	return StatePending, "rendering"
}

func projectDeploy(f facts) (state, description string) {
	if f.Rollout != nil {
		return projectRollout(f.Rollout, f.By)
	}
	r := f.Render
	switch {
	case r != nil && r.State == models.RenderMistakes:
		return StateFailure, "not deployed: " + count(max(1, len(f.Mistakes)), "mistake")
	case r != nil && r.State == models.RenderError:
		return StateError, "not deployed: " + orElse(r.Reason, "rendering stopped")
	case r != nil && r.State == models.RenderSkipped:
		return StateError, superseded(f.By, "before it was rendered")
	case f.By != "":
		return StateError, superseded(f.By, "before every device converged")
	case r == nil || r.State == models.Rendering:
		return StatePending, "waits for the plan"
	}
	return StatePending, fmt.Sprintf("0/%s", count(r.Devices, "device"))
}

func projectRollout(r *models.Rollout, by string) (state, description string) {
	progress := fmt.Sprintf("%d/%s", r.Converged, count(r.Total, "device"))
	switch {
	case r.State == models.RolloutDone && r.Total == 0:
		return StateSuccess, "no devices"
	case r.State == models.RolloutDone:
		return StateSuccess, count(r.Total, "device") + " converged"
	case r.State == models.RolloutHeld:
		return StateFailure, heldLine(r)
	case r.State == models.RolloutRunning && r.Hold != nil:
		return StateError, "under way, allowed by " + r.Hold.Who // pending would lose to the word that it is held
	case r.State == models.RolloutSuperseded && !r.Begun():
		return StateError, superseded(by, "while a guard held it")
	case r.State == models.RolloutSuperseded:
		return StateError, superseded(by, "before every device converged")
	case r.State == models.RolloutIncomplete && len(r.Held) > 0:
		return StateFailure, fmt.Sprintf("%d of %s refused it: %s", len(r.Held), count(r.Total, "device"), notes(r.Held))
	case r.State == models.RolloutIncomplete:
		var parts []string
		if n := len(r.Deferred); n > 0 {
			parts = append(parts, fmt.Sprintf("%d deferred: %s", n, notes(r.Deferred)))
		}
		if n := len(r.Awaiting); n > 0 {
			parts = append(parts, fmt.Sprintf("%s approval: %s", waits(n), names(r.Awaiting)))
		}
		if n := r.Total - r.Converged - len(r.Deferred) - len(r.Awaiting); n > 0 { // approved or back since
			parts = append(parts, fmt.Sprintf("%d under way", n))
		}
		return StateError, strings.Join(append([]string{progress}, parts...), ", ")
	}
	if n := len(r.Held); n > 0 {
		progress += fmt.Sprintf(", %d refused it", n)
	}
	return StatePending, progress
}

// heldLine is "held: 41 of 100 devices lose configuration; setpoint approve 7 --allow mass-delete".
// Where it is too long the command is what stays.
func heldLine(r *models.Rollout) string {
	tail := fmt.Sprintf("; setpoint approve %d --allow %s", r.Generation, r.Hold.Names())
	return "held: " + clip(r.Hold.Reason(), maxDescription-len("held: ")-len(tail)) + tail
}

func mistakesLine(ms []models.Mistake) string {
	if len(ms) == 0 {
		return "the intent has mistakes"
	}
	return firstOf(ms[0], len(ms), "mistake")
}

// firstOf is "3 mistakes: devices/leaf01.yaml:14:9 mtu 99999 is above 9216, and 2 more".
func firstOf(m models.Mistake, n int, noun string) string {
	head := count(n, noun) + ": "
	tail := ""
	if n > 1 {
		tail = fmt.Sprintf(", and %d more", n-1)
	}
	return head + clip(Place(m)+" "+m.Message, maxDescription-len(head)-len(tail)) + tail
}

// Place is where a mistake is, as compilers write it: "file:line:column".
func Place(m models.Mistake) string {
	switch {
	case m.Line == 0:
		return m.File
	case m.Column == 0:
		return fmt.Sprintf("%s:%d", m.File, m.Line)
	}
	return fmt.Sprintf("%s:%d:%d", m.File, m.Line, m.Column)
}

// notes is "leaf03: /interfaces/…: refused; leaf04 unreachable: connection refused".
func notes(ns []models.DeviceNote) string {
	all := make([]string, 0, len(ns))
	for _, n := range ns {
		switch {
		case n.Reason == "":
			all = append(all, string(n.Device))
		case strings.HasPrefix(n.Reason, string(models.DeviceUnreachable)):
			all = append(all, string(n.Device)+" "+n.Reason)
		default:
			all = append(all, string(n.Device)+": "+n.Reason)
		}
	}
	return strings.Join(all, "; ")
}

func names(ns []models.DeviceNote) string {
	all := make([]string, 0, len(ns))
	for _, n := range ns {
		all = append(all, string(n.Device))
	}
	return strings.Join(all, ", ")
}

func superseded(by, when string) string {
	if by == "" {
		return "superseded by a newer commit " + when
	}
	return "superseded by " + short(by) + " " + when
}

// short is a commit's hash as people write it.
func short(sha string) string { return sha[:min(7, len(sha))] }

func waits(n int) string {
	if n == 1 {
		return "1 awaits"
	}
	return strconv.Itoa(n) + " await"
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
