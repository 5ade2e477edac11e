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

// wrap cuts a text into lines of at most width columns, at spaces, slashes and
// commas where it can.
func wrap(s string, width int) []string {
	width = max(width, 8)
	var lines []string
	runes := []rune(s)
	for len(runes) > width {
		cut := width
		for i := width; i > width/2; i-- {
			if strings.ContainsRune(" ", runes[i]) || i < width && strings.ContainsRune(",", runes[i-1]) || strings.ContainsRune("/", runes[i]) {
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
	return append(lines, string(runes))
}

func width(s string) int { return utf8.RuneCountInString(s) }

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
	if !on || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
