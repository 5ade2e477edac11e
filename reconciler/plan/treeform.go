package plan

import (
	"bytes"
	"strings"
)

// maxName bounds the column of names, so that one long name does not push all
// values to the right.
const maxName = 30

// treeWriter writes the form for a terminal:
//
//	leaf01  +2 −1 leaves
//
//	  /interfaces/interface[name=Ethernet1]/config
//	~   mtu          1500 → 9000
//	+   description  to spine01
//
// What does not fit goes on below, under its own column. Nothing is cut off.
type treeWriter struct {
	Options
	b *bytes.Buffer
}

func (t *treeWriter) write(p *Plan) {
	t.title(p)
	for _, g := range groups(p) {
		t.b.WriteByte('\n')
		t.header(g)
		t.rows(g)
	}
}

func (t *treeWriter) title(p *Plan) {
	if t.Title != "" {
		t.b.WriteString(paint(t.Color, bold, visible(t.Title)) + "  ")
	}
	if p.Empty() {
		t.b.WriteString("no change\n")
		return
	}
	t.b.WriteString(totals(p.Added(), p.Removed()) + "\n")
}

func (t *treeWriter) header(g group) {
	lead, code := "  ", bold
	switch g.sign {
	case '+':
		lead, code = "+ ", green
	case '-':
		lead, code = "- ", red
	}
	for _, line := range wrap(pathText(g.path), t.Width-4) {
		t.b.WriteString(paint(t.Color, code, lead+line) + "\n")
		lead = strings.Repeat(" ", 4)
	}
}

func (t *treeWriter) rows(g group) {
	column := 0
	for _, c := range g.changes {
		column = max(column, min(width(g.rest(c)), maxName))
	}
	for _, c := range g.changes {
		t.row(g, c, column)
	}
}

// row is sign, name and value. A name wider than the column has a line of its
// own, and so has each side of a change that does not fit into one.
func (t *treeWriter) row(g group, c Change, column int) {
	s := sign(c)
	code := map[byte]string{'+': green, '-': red, '~': yellow}[s]
	lead := paint(t.Color, code, string(s)) + "   "
	name := g.rest(c)
	indent := 4 + column + 2
	if width(name) > column {
		for _, line := range wrap(name, t.Width-4) {
			t.b.WriteString(lead + line + "\n")
			lead = "    "
		}
		name = ""
	}
	t.b.WriteString(lead + pad(name, column) + "  ")
	was, is := shown(c)
	switch {
	case s == '+':
		t.value(green, "", is, indent)
	case s == '-':
		t.value(red, "", was, indent)
	case indent+width(was)+width(is)+3 <= t.Width:
		t.b.WriteString(paint(t.Color, red, was) + " → " + paint(t.Color, green, is) + "\n")
	default:
		t.value(red, "  ", was, indent)
		t.b.WriteString(strings.Repeat(" ", indent))
		t.value(green, "→ ", is, indent)
	}
}

// value writes a value that begins at column indent, and goes on below itself.
func (t *treeWriter) value(code, mark, s string, indent int) {
	for i, line := range wrap(s, t.Width-indent-len([]rune(mark))) {
		if i > 0 {
			t.b.WriteString(strings.Repeat(" ", indent))
			mark = strings.Repeat(" ", len([]rune(mark)))
		}
		t.b.WriteString(mark + paint(t.Color, code, line) + "\n")
	}
}
