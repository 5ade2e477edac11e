package plan

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sergi/go-diff/diffmatchpatch"

	"github.com/setpoint-net/setpoint/models/tree"
)

// line is one line of a text of several, such as a banner, in a change of it.
type line struct {
	sign byte // '+', '-', or ' ' for one that is on both sides
	text string
}

// context is how many lines that stay are shown around one that changes.
const context = 3

// block is a change of a text of several lines, line by line: first how the text
// ends, "|" with a line break and "|-" without, as YAML has it; all other lines are
// indented. It is nil for a change of anything else.
func block(c Change) []line {
	if !multiline(c.Old) && !multiline(c.New) {
		return nil
	}
	was, is := blockLines(c.Old), blockLines(c.New)
	switch {
	case c.Old == nil:
		return signed('+', is)
	case c.New == nil:
		return signed('-', was)
	case len(was)+len(is) > markTo:
		return append(signed('-', was), signed('+', is)...)
	case was[0] == is[0]:
		return append(signed(' ', was[:1]), near(compared(was[1:], is[1:]))...)
	}
	return append([]line{{'-', was[0]}, {'+', is[0]}}, near(compared(was[1:], is[1:]))...)
}

func compared(was, is []string) []line {
	var w words
	var old, now []rune
	for _, s := range was {
		old = w.add(old, s)
	}
	for _, s := range is {
		now = w.add(now, s)
	}
	dmp := diffmatchpatch.New()
	dmp.DiffTimeout = 0 // the same text at any speed
	var out []line
	for _, d := range dmp.DiffMainRunes(old, now, false) {
		sign := map[diffmatchpatch.Operation]byte{diffmatchpatch.DiffDelete: '-', diffmatchpatch.DiffInsert: '+', diffmatchpatch.DiffEqual: ' '}[d.Type]
		for _, r := range d.Text {
			out = append(out, line{sign, w.known[r-1]})
		}
	}
	return out
}

func multiline(v *tree.Value) bool {
	return v != nil && v.Schema.Kind == tree.Leaf && !v.Schema.Secret && strings.Contains(strings.TrimSuffix(v.Text(), "\n"), "\n")
}

// blockLines are how a text ends, and its lines as they can be seen.
func blockLines(v *tree.Value) []string {
	if v == nil {
		return nil
	}
	text, ended := strings.CutSuffix(v.Text(), "\n")
	out := []string{"|-"}
	if ended {
		out[0] = "|"
	}
	for s := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(s, `"`) || strings.TrimRightFunc(s, unicode.IsSpace) != s || !utf8.ValidString(s) || strings.ContainsFunc(s, notPrintable) {
			s = strconv.Quote(s)
		}
		out = append(out, "  "+s)
	}
	return out
}

func signed(sign byte, texts []string) []line {
	out := make([]line, 0, len(texts))
	for _, s := range texts {
		out = append(out, line{sign, s})
	}
	return out
}

// near leaves lines out that stay and are far from any that does not, and says how
// many.
func near(all []line) []line {
	shown := make([]bool, len(all))
	for i, l := range all {
		if l.sign != ' ' {
			for at := max(0, i-context); at < min(len(all), i+context+1); at++ {
				shown[at] = true
			}
		}
	}
	var out []line
	for i := 0; i < len(all); i++ {
		end := i
		for end < len(all) && !shown[end] {
			end++
		}
		if n := end - i; n > 1 {
			out = append(out, line{' ', fmt.Sprintf("  … %d lines the same", n)})
			i = end - 1
			continue
		}
		out = append(out, all[i])
	}
	return out
}
