package plan

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sergi/go-diff/diffmatchpatch"

	"github.com/setpoint-net/setpoint/models/tree"
)

// Values whose words are marked: shorter ones are taken in at a glance, and
// longer ones would take long to compare.
const (
	markFrom = 40
	markTo   = 4000
)

// unifiedWriter writes the form of diff -u, a hunk per container or entry:
//
//	--- leaf01 running
//	+++ leaf01 intended
//	@@ /interfaces/interface[name=Ethernet1]/config @@
//	-mtu: 1500
//	+mtu: 9000
//
// A text of several lines is compared line by line. In other values too long for a glance the words that changed are marked, as
// git diff --word-diff does: [-gone-] and {+come+}; in colour by reverse video.
type unifiedWriter struct {
	Options
	b *bytes.Buffer
}

func (u *unifiedWriter) write(p *Plan) {
	if p.Empty() {
		return
	}
	name := visible(u.Title) + " "
	if u.Title == "" {
		name = ""
	}
	u.line(bold, "--- "+name+visible(cmp.Or(u.Old, "running")))
	u.line(bold, "+++ "+name+visible(cmp.Or(u.New, "intended")))
	u.hunks(p)
}

func (u *unifiedWriter) hunks(p *Plan) {
	for _, note := range p.Notes {
		u.line("36", "# "+note)
	}
	for _, g := range groups(p) {
		u.line("36", "@@ "+pathText(g.path)+" @@")
		for _, c := range g.changes {
			u.change(rest(c, g.path), c)
		}
	}
}

func (u *unifiedWriter) change(name string, c Change) {
	if lines := block(c); lines != nil {
		u.block(name, lines)
		return
	}
	was, is := shown(c)
	if c.Old != nil && c.New != nil {
		was, is = u.marked(c, was, is)
	}
	if c.Old != nil {
		u.line(red, "-"+name+": "+was)
	}
	if c.New != nil {
		u.line(green, "+"+name+": "+is)
	}
}

// block writes a text of several lines: the name with how it ends, and each line
// with its own sign.
func (u *unifiedWriter) block(name string, lines []line) {
	for _, l := range lines {
		text := l.text
		if strings.HasPrefix(text, "|") {
			text = name + ": " + text
		}
		u.line(map[byte]string{'+': green, '-': red}[l.sign], string(l.sign)+strings.TrimRight(text, " "))
	}
}

func (u *unifiedWriter) line(code, s string) {
	u.b.WriteString(paint(u.Color, code, s) + "\n")
}

// marked marks what differs in two long values that have something in common.
func (u *unifiedWriter) marked(c Change, was, is string) (string, string) {
	n := max(width(was), width(is))
	if c.Old.Schema.Kind == tree.List || c.Old.Schema.Secret || n < markFrom || n > markTo {
		return was, is
	}
	var w words
	dmp := diffmatchpatch.New()
	dmp.DiffTimeout = 0 // the same text at any speed
	diffs := dmp.DiffCleanupSemantic(dmp.DiffMainRunes(w.runes(was), w.runes(is), false))
	if !slices.ContainsFunc(diffs, func(d diffmatchpatch.Diff) bool { return d.Type == diffmatchpatch.DiffEqual }) {
		return was, is
	}
	var old, now strings.Builder
	for _, d := range diffs {
		text := w.text(d.Text)
		switch d.Type {
		case diffmatchpatch.DiffDelete:
			old.WriteString(u.mark("[-", text, "-]", red))
		case diffmatchpatch.DiffInsert:
			now.WriteString(u.mark("{+", text, "+}", green))
		default:
			old.WriteString(text)
			now.WriteString(text)
		}
	}
	return old.String(), now.String()
}

// words gives each word a rune of its own, so that what compares runes compares
// words. What stands between words is a word each.
type words struct {
	known []string
	index map[string]rune
}

func (w *words) runes(s string) []rune {
	var out []rune
	start := 0
	for i, r := range s {
		if inWord(r) {
			continue
		}
		out = w.add(out, s[start:i])
		start = i + utf8.RuneLen(r)
		out = w.add(out, s[i:start])
	}
	return w.add(out, s[start:])
}

func (w *words) add(to []rune, word string) []rune {
	if word == "" {
		return to
	}
	r, ok := w.index[word]
	if !ok {
		if w.index == nil {
			w.index = map[string]rune{}
		}
		w.known = append(w.known, word)
		r = rune(len(w.known)) // markTo keeps it clear of the surrogates
		w.index[word] = r
	}
	return append(to, r)
}

func (w *words) text(runes string) string {
	var b strings.Builder
	for _, r := range runes {
		b.WriteString(w.known[r-1])
	}
	return b.String()
}

func inWord(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_.:/", r)
}

// mark sets a part of a line apart; the line's colour goes on behind it.
func (u *unifiedWriter) mark(open, s, end, code string) string {
	if u.Color {
		return "\x1b[7m" + s + "\x1b[0m\x1b[" + code + "m"
	}
	return open + s + end
}
