package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/models"
)

func newStatus() *cobra.Command {
	var a asking
	var wait string
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "status",
		Short: "what the service knows: head, rollout, devices, drift",
		Long: `status says where the deploy branch's head, its rollout and the devices stand.

With --wait it waits first until a commit is on every device, or can't be because
of its mistakes or before a person allows what a guard holds.

  setpoint status --wait $(git rev-parse HEAD) --timeout 5m

It exits with 0 when every device is where the head wants it, with 1 when not yet
or not all, with 2 when the service could not be asked.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.awaitStatus(c.Context(), newScreen(c.ErrOrStderr()), wait, timeout)
			if err != nil {
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
	c.Flags().StringVar(&wait, "wait", "", "the commit, or its first 7 characters and more, to wait for")
	c.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait at most")
	return c
}

// awaitStatus asks until the commit has arrived, or never will, or timeout is
// over; no commit, once.
func (a *asking) awaitStatus(ctx context.Context, show *screen, commit string, timeout time.Duration) (*statusAnswer, error) {
	if commit != "" && !commitName.MatchString(commit) {
		return nil, hint(fmt.Errorf("--wait %s: no commit", commit), "name it by its hash, as git rev-parse HEAD prints it")
	}
	if commit != "" {
		defer show.await(fmt.Sprintf("waiting for %.7s on every device", commit))()
	}
	end := time.NewTimer(timeout)
	defer end.Stop()
	for {
		s := &statusAnswer{}
		if err := a.ask(ctx, "/v1/status", s); err != nil || commit == "" || s.settled(commit) {
			return s, err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-end.C:
			return s, nil
		case <-ctx.Done():
			return s, nil
		}
	}
}

var commitName = regexp.MustCompile(`^[0-9a-f]{7,64}$`)

// settled says whether a commit is the head, and on every device, or never without
// a person.
func (s *statusAnswer) settled(commit string) bool {
	if s.Head == nil || !strings.HasPrefix(s.Head.New, commit) {
		return false
	}
	return s.converged() || s.Render != nil && s.Render.State == models.RenderMistakes ||
		s.Held != nil && s.Held.Generation == s.Head.Generation
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
		if command := allowDevice(s.Rollout.Held); command != "" {
			row("", "%s", t.dim("look, then: "+command))
		}
		notes(row, t, "deferred", s.Rollout.Deferred)
		notes(row, t, "awaiting", s.Rollout.Awaiting)
		if len(s.Rollout.Awaiting) > 0 {
			row("", "%s", t.dim(fmt.Sprintf("look, then: setpoint approve %s", s.Rollout.Awaiting[0].Device)))
		}
	}
	if s.Held != nil {
		if s.Rollout == nil || s.Rollout.Generation != s.Held.Generation {
			row("guard", "generation %d of commit %.7s is held, %s", s.Held.Generation, s.Held.Commit, ago(s.Now, s.Held.Hold.Since))
		}
		for _, line := range holdLines(t, s.Held) {
			row("guard", "%s", line)
		}
		row("", "%s", t.dim("look at the commit, then: "+allowCommand(s.Held)))
	}
	row("devices", "%s", s.deviceLine())
	for _, e := range s.Drift {
		row("drift", "%s", about(t, e.Device, fmt.Sprintf(" since %s: %s", ago(s.Now, e.Opened), e.Summary)))
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
		row(name, "%s", about(t, n.Device, ": "+n.Reason))
	}
}

// holdLines are the guards that hold a rollout, with the first devices of each.
func holdLines(t term, r *models.Rollout) []string {
	const most = 3
	var lines []string
	for _, g := range r.Hold.Guards {
		var names []string
		for _, n := range g.Devices[:min(most, len(g.Devices))] {
			names = append(names, string(n.Device))
		}
		text := ": " + g.Reason + ": " + strings.Join(names, ", ")
		if more := g.Count - len(names); more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		lines = append(lines, about(t, g.Name, text))
	}
	return lines
}

var guardName = regexp.MustCompile(`\bguard ([a-z-]+): `)

// allowDevice is what lets the first device go on that a guard holds; "" for none.
func allowDevice(held []models.DeviceNote) string {
	for _, n := range held {
		if !strings.HasPrefix(n.Reason, "guard ") {
			continue
		}
		var names []string
		for _, m := range guardName.FindAllStringSubmatch(n.Reason, -1) {
			names = append(names, m[1])
		}
		return fmt.Sprintf("setpoint approve %s --allow %s", n.Device, strings.Join(names, ","))
	}
	return ""
}

// allowCommand is what lets a held rollout begin.
func allowCommand(r *models.Rollout) string {
	return fmt.Sprintf("setpoint approve %d --allow %s", r.Generation, r.Hold.Names())
}

// about is what is to be said of a device, or of a guard: in a terminal on as many
// lines as it takes, behind the row's name; elsewhere on one, which can be searched.
func about[T ~string](t term, who T, text string) string {
	name := string(who)
	if !t.colour {
		return name + text
	}
	const indent = 12
	lines := fold(name+text, screenWidth-indent)
	lines[0] = t.yellow(name) + strings.TrimPrefix(lines[0], name)
	return strings.Join(lines, "\n"+strings.Repeat(" ", indent))
}

func (s *statusAnswer) renderLine(t term) string {
	r := s.Render
	if r == nil {
		return "not begun"
	}
	switch r.State {
	case models.Rendered:
		line := fmt.Sprintf("%s in %d ms", count(r.Devices, "device"), r.Took)
		if r.Warnings > 0 {
			line += ", " + t.yellow(count(r.Warnings, "warning")+" of policies") + `: run "setpoint validate" on the commit`
		}
		return line
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
	case models.RolloutHeld:
		return t.red(state) + ": no device is assigned or released by it"
	}
	if r.Hold != nil {
		state += ", allowed by " + r.Hold.Who
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
