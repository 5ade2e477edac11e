package renderer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// maxMistakes is how many mistakes one rendering reports; what is above is
// counted, never dropped in silence.
const maxMistakes = 1000

// place is where a value stands. Line and column count from 1; zero means the
// whole file.
type place struct {
	file         string
	line, column int
}

// String is file:line:column, as editors open it.
func (p place) String() string {
	switch {
	case p.line == 0:
		return p.file
	case p.column == 0:
		return fmt.Sprintf("%s:%d", p.file, p.line)
	}
	return fmt.Sprintf("%s:%d:%d", p.file, p.line, p.column)
}

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.file, q.file), cmp.Compare(p.line, q.line), cmp.Compare(p.column, q.column))
}

// mistake is one thing wrong, before mistakes that many devices share are
// folded into one. Two mistakes are the same when they stand at one place and
// have the same code and the same subject.
type mistake struct {
	at      place
	code    models.Code // what rule is broken
	subject string      // tells apart two mistakes of one code at one place
	path    string      // the YANG path, where there is one
	msg     string
	hint    string
	device  models.DeviceName // the device it shows on; "" when it is about the document alone
	named   bool              // msg names the device itself
}

// ledger gathers mistakes. It belongs to one goroutine.
type ledger struct{ list []mistake }

func (l *ledger) add(m mistake) { l.list = append(l.list, m) }

// at records a mistake about a document.
func (l *ledger) at(at place, code models.Code, format string, args ...any) {
	l.add(mistake{at: at, code: code, msg: fmt.Sprintf(format, args...)})
}

// settle folds, sorts and caps mistakes. The order they came in must be the
// same in each rendering (documents first, then devices by name); it decides
// which device a folded mistake names.
func settle(list []mistake) []models.Mistake {
	type key struct {
		at      place
		code    models.Code
		subject string
	}
	type folded struct {
		mistake
		devices []models.DeviceName
	}
	seen := make(map[key]*folded)
	var order []*folded
	for _, m := range list {
		k := key{m.at, m.code, m.subject}
		if m.subject == "" {
			k.subject = m.msg
		}
		f := seen[k]
		if f == nil {
			f = &folded{mistake: m}
			seen[k] = f
			order = append(order, f)
		}
		// Mistakes come device by device.
		if n := len(f.devices); m.device != "" && (n == 0 || f.devices[n-1] != m.device) {
			f.devices = append(f.devices, m.device)
		}
	}
	slices.SortStableFunc(order, func(a, b *folded) int {
		return cmp.Or(a.at.compare(b.at), cmp.Compare(a.path, b.path), cmp.Compare(a.msg, b.msg))
	})
	var out []models.Mistake
	for i, f := range order {
		if i == maxMistakes {
			out = append(out, models.Mistake{
				File: f.at.file, Line: f.at.line, Column: f.at.column, Code: codeMore,
				Message: fmt.Sprintf("and %d more mistakes, from here on", len(order)-maxMistakes),
			})
			break
		}
		msg := f.msg
		switch n := len(f.devices); {
		case n == 1 && f.named:
		case f.named && n > 1:
			msg += fmt.Sprintf(" (and on %d more)", n-1)
		case n == 1:
			msg += fmt.Sprintf(" (on %s)", f.devices[0])
		case n > 1:
			msg += fmt.Sprintf(" (on %s and %d more)", f.devices[0], n-1)
		}
		out = append(out, models.Mistake{
			File: f.at.file, Line: f.at.line, Column: f.at.column, Code: f.code,
			Path: f.path, Message: msg, Hint: f.hint,
		})
	}
	return out
}

// didYouMean is the hint for a word that is not among the candidates.
func didYouMean(word string, candidates []string) string {
	if n := tree.Near(word, candidates); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	if n := len(candidates); n > 0 && n <= 12 {
		sorted := slices.Sorted(slices.Values(candidates))
		return "known: " + strings.Join(sorted, ", ")
	}
	return ""
}
