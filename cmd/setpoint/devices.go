package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/models"
)

func newDevices() *cobra.Command {
	a := asking{wide: true}
	c := &cobra.Command{
		Use:   "devices [DEVICE...]",
		Short: "where each device stands, and why",
		Long: `devices lists every device with its state, since when, and one line that says
why, what happens next, and what can be done.

It exits with 0 when all listed devices are applied, with 1 when not, with 2 when
the service could not be asked or does not know a named device.`,
		RunE: func(c *cobra.Command, names []string) error {
			var all []deviceAnswer
			if err := a.ask(c.Context(), "/v1/devices", &all); err != nil {
				return err
			}
			list, err := pick(all, names)
			if err != nil {
				return err
			}
			if err := writeDevices(c.OutOrStdout(), list, a.output, time.Now()); err != nil {
				return err
			}
			if slices.ContainsFunc(list, func(d deviceAnswer) bool { return d.Status.State != models.DeviceApplied }) {
				return errNo
			}
			return nil
		},
	}
	a.flags(c)
	return c
}

// pick keeps the named devices; no names, all.
func pick(all []deviceAnswer, names []string) ([]deviceAnswer, error) {
	if len(names) == 0 {
		return all, nil
	}
	var list []deviceAnswer
	for _, n := range names {
		i := slices.IndexFunc(all, func(d deviceAnswer) bool { return string(d.Name) == n })
		if i < 0 {
			return nil, hint(fmt.Errorf("no device %q is assigned", n), `"setpoint devices" lists them all`)
		}
		list = append(list, all[i])
	}
	return list, nil
}

func writeDevices(w io.Writer, list []deviceAnswer, output string, now time.Time) error {
	if output == "json" {
		return printJSON(w, list)
	}
	t := newTerm(w)
	rows, whys := [][]string{{"DEVICE", "STATE", "SINCE", "GEN", "COMMIT", "READ", "WHY"}}, []string{""}
	for _, d := range list {
		why := d.why()
		if output == "wide" {
			why = strings.TrimSpace(rungs(d.Status.Rungs) + "  " + coverage(d.Status.Coverage) + "  " + why)
		}
		rows = append(rows, []string{
			string(d.Name), string(d.Status.State), ago(now, d.Status.Since), fmt.Sprint(d.Assignment.Generation),
			fmt.Sprintf("%.7s", d.Assignment.Commit), ago(now, d.Status.ReadAt), why,
		})
		whys = append(whys, why)
	}
	paint := func(row, col int, cell string) string {
		switch {
		case row == 0:
			return t.dim(cell)
		case col == 1:
			return paintState(t, models.DeviceState(cell))
		}
		return cell
	}
	if !t.colour {
		return columns(w, rows, paint)
	}
	return devicesOnScreen(w, rows, whys, paint)
}

// devicesOnScreen is the table for a terminal: why a device is where it is stands
// below it, broken into lines that fit. In a pipe it is one line for each device.
func devicesOnScreen(w io.Writer, rows [][]string, whys []string, paint func(row, col int, cell string) string) error {
	for i, r := range rows {
		rows[i] = r[:len(r)-1]
	}
	var table, out strings.Builder
	if err := columns(&table, rows, paint); err != nil {
		return err
	}
	for row := range strings.Lines(table.String()) {
		out.WriteString(row)
		if why := whys[0]; why != "" {
			for _, l := range fold(why, screenWidth-4) {
				out.WriteString("    " + l + "\n")
			}
		}
		whys = whys[1:]
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// why is one line: why the device is where it is, and what happens next.
func (d deviceAnswer) why() string {
	var parts []string
	for _, p := range append([]string{d.Status.Reason, d.Status.Next}, d.Suspended...) {
		if p != "" && !slices.ContainsFunc(parts, func(said string) bool { return strings.Contains(said, p) }) {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, "; ")
}

// coverage is how much of a device is held to its intended config.
func coverage(c models.Coverage) string {
	if c == (models.Coverage{}) {
		return ""
	}
	text := fmt.Sprintf("managed %d of %d leaves", c.Managed, c.Read)
	for _, part := range []struct {
		n    int
		what string
	}{{c.Unenforced, "unenforced"}, {c.WriteOnly, "write-only"}, {c.Unowned, "unowned"}} {
		if part.n > 0 {
			text += fmt.Sprintf(", %s %d", part.what, part.n)
		}
	}
	return text
}

func rungs(m map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, k+"="+m[k])
	}
	return strings.Join(parts, " ")
}

func paintState(t term, s models.DeviceState) string {
	switch s {
	case models.DeviceApplied:
		return t.green(string(s))
	case models.DeviceHeld, models.DeviceUnreachable:
		return t.red(string(s))
	}
	return t.yellow(string(s))
}
