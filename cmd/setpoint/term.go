package main

import (
	"io"
	"os"
	"strings"
	"time"
)

// term holds the rules of the terminal: colour and progress only where a person
// looks on, never in a pipe or a file; NO_COLOR and TERM=dumb are obeyed, and
// CLICOLOR_FORCE asks for colour where nobody seems to. Every command asks a term.
type term struct {
	colour bool
}

// forceColour is the variable that asks for colour in a pipe.
const forceColour = "CLICOLOR_FORCE"

func newTerm(w io.Writer) term {
	if os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return term{}
	}
	if v := os.Getenv(forceColour); v != "" && v != "0" {
		return term{colour: true}
	}
	f, ok := w.(*os.File)
	if !ok {
		return term{}
	}
	fi, err := f.Stat()
	return term{colour: err == nil && fi.Mode()&os.ModeCharDevice != 0}
}

func (t term) paint(code, s string) string {
	if !t.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (t term) red(s string) string    { return t.paint("31", s) }
func (t term) green(s string) string  { return t.paint("32", s) }
func (t term) yellow(s string) string { return t.paint("33", s) }
func (t term) bold(s string) string   { return t.paint("1", s) }
func (t term) dim(s string) string    { return t.paint("2", s) }

// columns lays rows out under a heading, two spaces between columns, the last
// column unpadded. paint colours a cell after its width was measured.
func columns(w io.Writer, rows [][]string, paint func(row, col int, cell string) string) error {
	var widths []int
	for _, r := range rows {
		for i, c := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len([]rune(c)))
		}
	}
	var b strings.Builder
	for i, r := range rows {
		for len(r) > 1 && r[len(r)-1] == "" { // no padding before nothing
			r = r[:len(r)-1]
		}
		for j, c := range r {
			cell := c
			if paint != nil {
				cell = paint(i, j, c)
			}
			b.WriteString(cell)
			if j < len(r)-1 {
				b.WriteString(strings.Repeat(" ", widths[j]-len([]rune(c))+2))
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// ago says how long before now t was, in the largest unit that fits.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := max(now.Sub(t), 0)
	switch {
	case d < time.Minute:
		return d.Truncate(time.Second).String() + " ago"
	case d < time.Hour:
		return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s") + " ago"
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Truncate(time.Hour).String(), "0m0s") + " ago"
	}
	return t.UTC().Format("2006-01-02")
}
