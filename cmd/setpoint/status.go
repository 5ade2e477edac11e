package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/models"
)

func newStatus() *cobra.Command {
	var a asking
	c := &cobra.Command{
		Use:   "status",
		Short: "what the service knows: head, rollout, devices, drift",
		Long: `status says where the deploy branch's head, its rollout and the devices stand.

It exits with 0 when every device is where the head wants it, with 1 when not yet
or not all, with 2 when the service could not be asked.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var s statusAnswer
			if err := a.ask(c.Context(), "/v1/status", &s); err != nil {
				return err
			}
			if err := s.write(c.OutOrStdout(), a.output); err != nil {
				return err
			}
			if !s.converged() {
				return errNo
			}
			return nil
		},
	}
	a.flags(c)
	return c
}

// converged says whether the head is on every device, as last read, and nothing
// has drifted.
func (s *statusAnswer) converged() bool {
	for state, n := range s.Devices {
		if state != models.DeviceApplied && n > 0 {
			return false
		}
	}
	return s.Rollout != nil && s.Rollout.State == models.RolloutDone && len(s.Drift) == 0
}

func (s *statusAnswer) write(w io.Writer, output string) error {
	if output == "json" {
		return printJSON(w, s)
	}
	t := newTerm(w)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s %s\n", t.dim(fmt.Sprintf("%-11s", name)), fmt.Sprintf(format, args...))
	}
	row("repository", "%s, branch %s", s.Repository, s.Branch)
	if s.Head == nil {
		row("head", "%s", t.yellow("not seen yet"))
	} else {
		row("head", "%.7s, generation %d, seen %s", s.Head.New, s.Head.Generation, ago(s.Now, s.Head.Seen))
	}
	row("rendering", "%s", s.renderLine(t))
	row("rollout", "%s", s.rolloutLine(t))
	if s.Rollout != nil {
		notes(row, t, "held", s.Rollout.Held)
		notes(row, t, "deferred", s.Rollout.Deferred)
		notes(row, t, "awaiting", s.Rollout.Awaiting)
		if len(s.Rollout.Awaiting) > 0 {
			row("", "%s", t.dim(fmt.Sprintf("look, then: setpoint approve %s", s.Rollout.Awaiting[0].Device)))
		}
	}
	row("devices", "%s", s.deviceLine())
	for _, e := range s.Drift {
		row("drift", "%s since %s: %s", t.yellow(string(e.Device)), ago(s.Now, e.Opened), e.Summary)
	}
	if s.Rebuilt != "" {
		row("store", "%s", t.red("was set aside at the start: "+s.Rebuilt))
	}
	return nil
}

// notes writes the first devices of a rollout's list, a line each.
func notes(row func(string, string, ...any), t term, name string, list []models.DeviceNote) {
	const most = 10
	for i, n := range list {
		if i == most {
			row(name, "and %d more: see setpoint devices", len(list)-most)
			return
		}
		row(name, "%s: %s", t.yellow(string(n.Device)), n.Reason)
	}
}

func (s *statusAnswer) renderLine(t term) string {
	r := s.Render
	if r == nil {
		return "not begun"
	}
	switch r.State {
	case models.Rendered:
		return fmt.Sprintf("%d devices in %d ms", r.Devices, r.Took)
	case models.RenderMistakes:
		return t.red("mistakes") + `: run "setpoint validate" on the commit; the previous generation stays assigned`
	case models.Rendering:
		return "under way"
	}
	return t.red(string(r.State)) + ": " + r.Reason
}

func (s *statusAnswer) rolloutLine(t term) string {
	r := s.Rollout
	if r == nil {
		return "none for this generation"
	}
	state := string(r.State)
	switch r.State {
	case models.RolloutDone:
		state = t.green(state)
	case models.RolloutIncomplete:
		state = t.red(state)
	}
	return fmt.Sprintf("%s, %d of %d converged, %d changed", state, r.Converged, r.Total, r.Changed)
}

func (s *statusAnswer) deviceLine() string {
	total, parts := 0, []string{}
	for state, n := range s.Devices {
		total += n
		parts = append(parts, fmt.Sprintf("%d %s", n, state))
	}
	slices.Sort(parts)
	if total == 0 {
		return "none assigned"
	}
	return fmt.Sprintf("%d: %s", total, strings.Join(parts, ", "))
}
