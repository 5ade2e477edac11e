package notify

import (
	"bytes"
	_ "embed" // for the page's templates
	"fmt"
	htmltemplate "html/template"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/template"

	"github.com/setpoint-net/setpoint/models"
)

//go:embed sheet.html
var sheetHTML string

//go:embed sheet.txt
var sheetText string

// sheet is what the page shows of a commit. Its methods are the templates' words.
type sheet struct {
	facts
	PlanStatus   Status
	PolicyStatus *Status // nil: the repo has no policies
	DeployStatus Status
	Changed      []deviceDiff
	Released     []models.DeviceName
	Gone         string // why there is no difference to show
}

// row is a line of the table at the top.
type row struct {
	Name           models.DeviceName
	What           string // changed, new, released, or as before
	Added, Removed int
	Linked         bool   // has a section of its own
	Note           string // where the rollout has a word about it
}

// Short is the commit as people write it.
func (s *sheet) Short() string { return short(s.Commit) }

// Branch is where the commit was the head.
func (s *sheet) Branch() string { return s.Render.Branch }

// Time is when the commit was rendered.
func (s *sheet) Time() string { return s.Render.Time.UTC().Format(chatTime) }

// Rows is every device that changes, goes, or that the rollout has a word about.
func (s *sheet) Rows() []row {
	notes := s.notes()
	var rows []row
	for _, d := range s.Changed {
		what := "changed"
		if d.New {
			what = "new"
		}
		rows = append(rows, row{d.Name, what, d.Added, d.Removed, true, notes[d.Name]})
		delete(notes, d.Name)
	}
	for _, name := range s.Released {
		rows = append(rows, row{Name: name, What: "released", Note: "nothing is written to it any more"})
		delete(notes, name)
	}
	for name, note := range notes {
		rows = append(rows, row{Name: name, What: "as before", Note: note})
	}
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return rows
}

// notes is the rollout's word about each device that it has one about.
func (s *sheet) notes() map[models.DeviceName]string {
	all := map[models.DeviceName]string{}
	if s.Rollout == nil {
		return all
	}
	for what, notes := range map[string][]models.DeviceNote{"refused it": s.Rollout.Held, "deferred": s.Rollout.Deferred, "awaits approval": s.Rollout.Awaiting} {
		for _, n := range notes {
			all[n.Device] = what
			if n.Reason != "" {
				all[n.Device] = what + ": " + n.Reason
			}
		}
	}
	return all
}

// Rolled says where the journey over the devices stands.
func (s *sheet) Rolled() string {
	r := s.Rollout
	switch {
	case r == nil:
		return "not begun"
	case r.State == models.RolloutHeld:
		return "held: nothing is assigned or released by this commit"
	}
	return fmt.Sprintf("%s: %d of %d converged, %d changed by this commit", r.State, r.Converged, r.Total, r.Changed)
}

// Held are the guards that keep the commit from the devices, a line each.
func (s *sheet) Held() []string {
	if s.Rollout == nil || s.Rollout.State != models.RolloutHeld {
		return nil
	}
	var lines []string
	for _, g := range s.Rollout.Hold.Guards {
		line := fmt.Sprintf("%s: %s", g.Name, g.Reason)
		if len(g.Devices) > 0 {
			line += ": " + names(g.Devices)
		}
		if more := g.Count - len(g.Devices); more > 0 {
			line += fmt.Sprintf(" and %d more", more)
		}
		lines = append(lines, line)
	}
	return lines
}

// line is one line of a difference.
type line struct{ Class, Text string }

// Lines is a device's difference by line, with what each does.
func (d deviceDiff) Lines() []line {
	var lines []line
	for t := range strings.Lines(d.Text) {
		t = strings.TrimSuffix(t, "\n")
		class := "same"
		switch {
		case strings.HasPrefix(t, "@@"):
			class = "at"
		case strings.HasPrefix(t, "+"):
			class = "add"
		case strings.HasPrefix(t, "-"):
			class = "del"
		}
		lines = append(lines, line{class, t})
	}
	return lines
}

// write renders the sheet as a whole before the first byte goes out.
func (s *sheet) write(w http.ResponseWriter, text bool) error {
	var b bytes.Buffer
	if err := s.render(&b, text); err != nil {
		return err
	}
	if !text {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
	}
	_, _ = w.Write(b.Bytes()) // the reader has gone
	return nil
}

// words are the templates' words that are no methods.
var words = map[string]any{"place": Place}

func (s *sheet) render(w io.Writer, text bool) error {
	if text {
		t, err := template.New("sheet").Funcs(words).Parse(sheetText)
		if err != nil {
			return err
		}
		return t.Execute(w, s)
	}
	t, err := htmltemplate.New("sheet").Funcs(words).Parse(sheetHTML)
	if err != nil {
		return err
	}
	return t.Execute(w, s)
}
