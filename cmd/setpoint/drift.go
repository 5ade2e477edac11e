package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/models"
)

func newDrift() *cobra.Command {
	var a asking
	c := &cobra.Command{
		Use:   "drift [DEVICE...]",
		Short: "what has drifted, since when, and what happens about it",
		Long: `drift lists the devices that moved away from their intended config without a
commit. With devices named it shows the whole difference of each: from what runs
to what is intended.

It exits with 0 when nothing listed has drifted, with 1 when something has, with 2
when the service could not be asked or does not know a named device.`,
		RunE: func(c *cobra.Command, names []string) error {
			open, err := a.drifts(c, names)
			if err != nil {
				return err
			}
			if a.output == "json" {
				err = printJSON(c.OutOrStdout(), open)
			} else {
				err = writeDrift(c.OutOrStdout(), open, len(names) > 0, time.Now())
			}
			if err == nil && len(open) > 0 {
				err = errNo
			}
			return err
		},
	}
	a.flags(c)
	return c
}

// driftAnswer is one device that has drifted.
type driftAnswer struct {
	models.Episode
	Next string `json:"next,omitempty"` // what happens next, or what to do
	Text string `json:"text,omitempty"` // the whole difference, where it was asked for
}

// drifts asks what stands, for the named devices or for all.
func (a *asking) drifts(c *cobra.Command, names []string) ([]driftAnswer, error) {
	var s statusAnswer
	if err := a.ask(c.Context(), "/v1/status", &s); err != nil {
		return nil, err
	}
	var devices []deviceAnswer
	if err := a.ask(c.Context(), "/v1/devices", &devices); err != nil {
		return nil, err
	}
	kept, err := pick(devices, names)
	if err != nil {
		return nil, err
	}
	open := []driftAnswer{}
	for _, e := range s.Drift {
		at := slices.IndexFunc(kept, func(d deviceAnswer) bool { return d.Name == e.Device })
		if at < 0 {
			continue
		}
		d := driftAnswer{Episode: e, Next: kept[at].Status.Next}
		if len(names) > 0 {
			var p planAnswer
			if err := a.ask(c.Context(), "/v1/drift/"+string(e.Device), &p); err != nil {
				return nil, err
			}
			d.Text = p.Text
		}
		open = append(open, d)
	}
	return open, nil
}

func writeDrift(w io.Writer, open []driftAnswer, whole bool, now time.Time) error {
	t := newTerm(w)
	if len(open) == 0 {
		_, err := fmt.Fprintln(w, "nothing has drifted")
		return err
	}
	for _, d := range open {
		fmt.Fprintf(w, "%s drifted %s, %s, mode %s\n", t.bold(string(d.Device)), ago(now, d.Opened), count(d.Changes, "change"), d.Mode)
		if whole {
			fmt.Fprintln(w, d.Text)
		} else {
			writeBelow(w, t, d.Summary, func(s string) string { return s })
		}
		if d.Next != "" {
			writeBelow(w, t, d.Next, t.dim)
		}
	}
	return nil
}

// writeBelow writes an indented line, on a terminal as many as it takes.
func writeBelow(w io.Writer, t term, text string, paint func(string) string) {
	const indent = "  "
	lines := []string{text}
	if t.colour {
		lines = fold(text, screenWidth-len(indent))
	}
	for _, l := range lines {
		fmt.Fprintln(w, indent+paint(l))
	}
}
