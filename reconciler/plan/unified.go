package plan

import (
	"bytes"
	"strings"

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
// In values too long for a glance the words that changed are marked, as
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
	u.line(bold, "--- "+name+"running")
	u.line(bold, "+++ "+name+"intended")
	u.hunks(p)
}

func (u *unifiedWriter) hunks(p *Plan) {
	for _, g := range groups(p) {
		u.line("36", "@@ "+pathText(g.path)+" @@")
		for _, c := range g.changes {
			u.change(g.rest(c), c)
		}
	}
}

func (u *unifiedWriter) change(name string, c Change) {
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

func (u *unifiedWriter) line(code, s string) {
	u.b.WriteString(paint(u.Color, code, s) + "\n")
}

// marked marks what differs in two long values that have something in common.
func (u *unifiedWriter) marked(c Change, was, is string) (string, string) {
	n := max(width(was), width(is))
	if c.Old.Schema.Kind == tree.List || c.Old.Schema.Secret || n < markFrom || n > markTo {
		return was, is
	}
	dmp := diffmatchpatch.New()
	dmp.DiffTimeout = 0 // the same text at any speed
	diffs := dmp.DiffCleanupSemantic(dmp.DiffMain(was, is, false))
	if 2*dmp.DiffLevenshtein(diffs) > n {
		return was, is
	}
	var old, now strings.Builder
	for _, d := range diffs {
		switch d.Type {
		case diffmatchpatch.DiffDelete:
			old.WriteString(u.mark("[-", d.Text, "-]", red))
		case diffmatchpatch.DiffInsert:
			now.WriteString(u.mark("{+", d.Text, "+}", green))
		default:
			old.WriteString(d.Text)
			now.WriteString(d.Text)
		}
	}
	return old.String(), now.String()
}

// mark sets a part of a line apart; the line's colour goes on behind it.
func (u *unifiedWriter) mark(open, s, end, code string) string {
	if u.Color {
		return "\x1b[7m" + s + "\x1b[0m\x1b[" + code + "m"
	}
	return open + s + end
}
