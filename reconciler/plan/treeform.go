package plan

import (
	"bytes"
	"strings"

	"github.com/setpoint-net/setpoint/models/tree"
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
	for _, note := range p.Notes {
		for _, line := range wrap(note, t.Width-2) {
			t.b.WriteString("  " + line + "\n")
		}
	}
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

// rows writes a group's leaves. An entry with leaves in several places has a line
// for each place, and the leaves below it.
func (t *treeWriter) rows(g group) {
	places := g.places()
	if len(places) == 1 {
		t.columns(g.changes, g.path, 4)
		return
	}
	for _, changes := range places {
		first := changes[0]
		place := first.Path[:len(first.Path)-1]
		if name := strings.TrimPrefix(pathText(place[len(g.path):]), "/"); name != "" {
			t.lines(first, 4, name)
			t.columns(changes, place, 6)
			continue
		}
		t.columns(changes, place, 4)
	}
}

// columns writes changes below base: sign, name, value.
func (t *treeWriter) columns(changes []Change, base tree.Path, indent int) {
	column := 0
	for _, c := range changes {
		column = max(column, min(width(rest(c, base)), maxName, t.Width/2-indent-2))
	}
	for _, c := range changes {
		t.row(c, rest(c, base), indent, column)
	}
}

// row is one change. A name wider than the column has a line of its own, and so
// has each side of a change that does not fit into one.
func (t *treeWriter) row(c Change, name string, indent, column int) {
	values := indent + column + 2
	if lines := block(c); lines != nil {
		t.block(c, name, lines, indent, column)
		return
	}
	if width(name) > column {
		t.lines(c, indent, name)
		t.b.WriteString(strings.Repeat(" ", values))
	} else {
		t.b.WriteString(t.lead(c, indent) + pad(name, column) + "  ")
	}
	was, is := shown(c)
	switch s := sign(c); {
	case s == '+':
		t.value(green, "", is, values)
	case s == '-':
		t.value(red, "", was, values)
	case values+width(was)+width(is)+3 <= t.Width:
		t.b.WriteString(paint(t.Color, red, was) + " → " + paint(t.Color, green, is) + "\n")
	default:
		t.value(red, "  ", was, values)
		t.b.WriteString(strings.Repeat(" ", values))
		t.value(green, "→ ", is, values)
	}
}

// block writes a text of several lines below its name, each with its own sign.
func (t *treeWriter) block(c Change, name string, lines []line, indent, column int) {
	var ends []string
	for len(lines) > 0 && strings.HasPrefix(lines[0].text, "|") {
		ends = append(ends, lines[0].text)
		lines = lines[1:]
	}
	t.lines(c, indent, pad(name, column)+"  "+strings.Join(ends, " → "))
	for _, l := range lines {
		code := map[byte]string{'+': green, '-': red}[l.sign]
		lead := string(l.sign) + strings.Repeat(" ", indent+1)
		for _, part := range wrap(strings.TrimPrefix(l.text, "  "), t.Width-indent-2) {
			t.b.WriteString(paint(t.Color, code, strings.TrimRight(lead+part, " ")) + "\n")
			lead = strings.Repeat(" ", indent+2)
		}
	}
}

func (t *treeWriter) lead(c Change, indent int) string {
	s := sign(c)
	code := map[byte]string{'+': green, '-': red, '~': yellow}[s]
	return paint(t.Color, code, string(s)) + strings.Repeat(" ", indent-1)
}

// lines writes a name that has lines of its own.
func (t *treeWriter) lines(c Change, indent int, name string) {
	lead := t.lead(c, indent)
	for _, line := range wrap(name, t.Width-indent) {
		t.b.WriteString(lead + line + "\n")
		lead = strings.Repeat(" ", indent)
	}
}

// value writes a value that begins at a column, and goes on below itself.
func (t *treeWriter) value(code, mark, s string, column int) {
	for i, line := range wrap(s, t.Width-column-width(mark)) {
		if i > 0 {
			t.b.WriteString(strings.Repeat(" ", column))
			mark = strings.Repeat(" ", width(mark))
		}
		t.b.WriteString(mark + paint(t.Color, code, line) + "\n")
	}
}
