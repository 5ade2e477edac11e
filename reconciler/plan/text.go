package plan

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/setpoint-net/setpoint/models/tree"
)

// secret stands for every value of a leaf that the schema calls secret.
const secret = "(secret)"

const (
	plus  = "+"
	minus = "−" // U+2212, as wide as the plus
)

// group is the changes below one place: an entry that comes or goes as a whole,
// or else the leaves of one container.
type group struct {
	sign    byte // '+' or '-' for an entry as a whole, ' ' for a container
	path    tree.Path
	changes []Change
}

// places splits a group by the container that holds the leaf.
func (g group) places() [][]Change {
	var out [][]Change
	for i, c := range g.changes {
		if i > 0 && c.Path[:len(c.Path)-1].Equal(g.changes[i-1].Path[:len(g.changes[i-1].Path)-1]) {
			out[len(out)-1] = append(out[len(out)-1], c)
			continue
		}
		out = append(out, []Change{c})
	}
	return out
}

// rest is a change's path below base.
func rest(c Change, base tree.Path) string {
	if len(c.Path) == len(base) {
		return "order"
	}
	return strings.TrimPrefix(pathText(c.Path[len(base):]), "/")
}

func groups(p *Plan) []group {
	var out []group
	for _, c := range p.Changes {
		g := group{sign: ' ', path: c.Path[:len(c.Path)-1]}
		switch {
		case isReorder(c):
			g.path = c.Path
		case c.whole > 0:
			g.sign, g.path = sign(c), c.Path[:c.whole]
		}
		if n := len(out) - 1; n >= 0 && out[n].sign == g.sign && out[n].path.Equal(g.path) {
			out[n].changes = append(out[n].changes, c)
			continue
		}
		g.changes = []Change{c}
		out = append(out, g)
	}
	return out
}

func sign(c Change) byte {
	switch {
	case c.Old == nil:
		return '+'
	case c.New == nil:
		return '-'
	}
	return '~'
}

func isReorder(c Change) bool { return c.Old != nil && c.New != nil && isList(c.Old) }

// show is a value for people. A list is shown by its entries' keys: that is what
// a change of order is about.
func show(v *tree.Value) string {
	switch {
	case v == nil:
		return ""
	case v.Schema.Secret:
		return secret
	case isList(v):
		var names []string
		for _, e := range v.Members() {
			var keys []string
			for _, k := range e.Keys() {
				keys = append(keys, k.Value)
			}
			names = append(names, visible(strings.Join(keys, " ")))
		}
		return strings.Join(names, ", ")
	}
	return visible(v.Text())
}

// shown gives both sides of a change. Two secrets look alike, so the new one says
// that it is another.
func shown(c Change) (was, is string) {
	was, is = show(c.Old), show(c.New)
	if was == secret && is == secret {
		is = "(another secret)"
	}
	return was, is
}

// visible gives a text as it is if it can be seen as it is, and otherwise quoted:
// control characters of a device's must not reach a terminal.
func visible(s string) string {
	if s == "" || s != strings.TrimSpace(s) || !utf8.ValidString(s) || strings.ContainsFunc(s, notPrintable) {
		return strconv.Quote(s)
	}
	return s
}

func notPrintable(r rune) bool { return !unicode.IsPrint(r) }

// pathText is a path that can be seen as it is.
func pathText(p tree.Path) string {
	s := p.String()
	if utf8.ValidString(s) && !strings.ContainsFunc(s, notPrintable) {
		return s
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}

// totals is "+6 −2 leaves".
func totals(added, removed int) string {
	noun := "leaves"
	if max(added, removed) == 1 {
		noun = "leaf"
	}
	return fmt.Sprintf("%s%d %s%d %s", plus, added, minus, removed, noun)
}

// wrap cuts a text into lines of at most so many columns, at spaces, slashes and
// commas where it can.
func wrap(s string, columns int) []string {
	columns = max(columns, 8)
	var lines []string
	runes := []rune(s)
	for {
		fit := fitting(runes, columns)
		if fit == len(runes) {
			return append(lines, string(runes))
		}
		cut := fit
		for i := fit; i > fit/2; i-- {
			if strings.ContainsRune(" ", runes[i]) || i < fit && strings.ContainsRune(",", runes[i-1]) || strings.ContainsRune("/", runes[i]) {
				cut = i
				break
			}
		}
		lines = append(lines, strings.TrimRight(string(runes[:cut]), " "))
		runes = runes[cut:]
		for len(runes) > 0 && runes[0] == ' ' {
			runes = runes[1:]
		}
	}
}

// fitting is how many of the runes go into so many columns.
func fitting(runes []rune, columns int) int {
	for i, r := range runes {
		if columns -= cells(r); columns < 0 {
			return i
		}
	}
	return len(runes)
}

// width is how many columns of a terminal a text takes.
func width(s string) int {
	n := 0
	for _, r := range s {
		n += cells(r)
	}
	return n
}

// cells is how many columns a character takes: none if it stands on the one
// before it, two for the wide ones (Unicode Standard Annex 11).
func cells(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case unicode.Is(wide, r):
		return 2
	}
	return 1
}

var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x1100, 0x115f, 1},
		{0x231a, 0x231b, 1},
		{0x2e80, 0x303e, 1},
		{0x3041, 0x4dbf, 1},
		{0x4e00, 0xa4cf, 1},
		{0xa960, 0xa97f, 1},
		{0xac00, 0xd7a3, 1},
		{0xf900, 0xfaff, 1},
		{0xfe30, 0xfe6f, 1},
		{0xff01, 0xff60, 1},
		{0xffe0, 0xffe6, 1},
	},
	R32: []unicode.Range32{{0x1f300, 0x1f64f, 1}, {0x1f680, 0x1f6ff, 1}, {0x1f900, 0x1f9ff, 1}, {0x1fa70, 0x1faff, 1}, {0x20000, 0x3fffd, 1}},
}

func pad(s string, to int) string {
	return s + strings.Repeat(" ", max(0, to-width(s)))
}

// ANSI sequences: the only ones that any form writes.
const (
	green  = "32"
	red    = "31"
	yellow = "33"
	bold   = "1"
	dim    = "2"
)

func paint(on bool, code, s string) string {
	if !on || s == "" || code == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
