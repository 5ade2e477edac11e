package renderer

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// selector picks devices by label, with the grammar and the meaning of
// Kubernetes label selectors: requirements joined by commas, all of which must
// hold.
//
//	role=leaf  role==leaf   the label has this value
//	role!=leaf              it has another, or is absent
//	site in (lon1,lon2)     one of these values
//	site notin (lon1)       none of these, or absent
//	legacy                  the label is there, whatever its value
//	!legacy                 it is not
//	*                       every device; stands alone
type selector []requirement

type requirement struct {
	key    string
	op     operator
	values []string
}

type operator uint8

const (
	exists operator = iota
	absent
	among
	outside
)

func (s selector) matches(labels map[string]string) bool {
	for _, r := range s {
		v, has := labels[r.key]
		var ok bool
		switch r.op {
		case exists:
			ok = has
		case absent:
			ok = !has
		case among:
			ok = has && slices.Contains(r.values, v)
		case outside:
			ok = !has || !slices.Contains(r.values, v)
		}
		if !ok {
			return false
		}
	}
	return true
}

// selectorError says where in the text the trouble is, as a byte offset.
type selectorError struct {
	offset int
	msg    string
}

func (e *selectorError) Error() string { return e.msg }

// labelWord is what a label's name or value may be: Kubernetes' rule, at most
// 63 letters, digits, '-', '_', '.', and for names '/'.
var labelWord = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_./-]{0,61}[A-Za-z0-9])?$`)

// parseSelector reads a selector. Its error is a *selectorError.
func parseSelector(s string) (selector, error) {
	if strings.TrimSpace(s) == "*" {
		return selector{}, nil
	}
	p := selectorParser{text: s}
	if p.next(); p.token == "" {
		return nil, &selectorError{0, `selector is empty: for every device write "*"`}
	}
	var out selector
	for {
		r, err := p.requirement()
		if err != nil {
			return nil, err
		}
		out = append(out, r)
		switch p.token {
		case "":
			return out, nil
		case ",":
			if p.next(); p.token == "" {
				return nil, p.wrong("a label after the comma")
			}
		default:
			return nil, p.wrong("a comma or the end")
		}
	}
}

type selectorParser struct {
	text   string
	token  string // "" at the end
	offset int    // of token
	end    int    // just after token
}

// next moves to the following token: a word, or one of , ( ) ! = == !=
func (p *selectorParser) next() {
	i := p.end
	for i < len(p.text) && strings.IndexByte(" \t\r\n", p.text[i]) >= 0 {
		i++
	}
	p.offset = i
	rest := p.text[i:]
	n := strings.IndexAny(rest, ",()!= \t\r\n")
	switch {
	case n < 0:
		n = len(rest)
	case n > 0:
	case strings.HasPrefix(rest, "=="), strings.HasPrefix(rest, "!="):
		n = 2
	default:
		n = 1
	}
	p.token, p.end = rest[:n], i+n
}

func (p *selectorParser) wrong(want string) error {
	if p.token == "" {
		return &selectorError{p.offset, fmt.Sprintf("selector ends where %s should be", want)}
	}
	return &selectorError{p.offset, fmt.Sprintf("selector has %q where %s should be", cut(p.token, 32), want)}
}

func (p *selectorParser) word(what string) (string, error) {
	if !labelWord.MatchString(p.token) {
		return "", p.wrong(what)
	}
	w := p.token
	p.next()
	return w, nil
}

func (p *selectorParser) requirement() (requirement, error) {
	if p.token == "!" {
		p.next()
		key, err := p.word("a label")
		return requirement{key: key, op: absent}, err
	}
	key, err := p.word("a label")
	if err != nil {
		return requirement{}, err
	}
	switch op := p.token; op {
	case "=", "==", "!=":
		p.next()
		value, err := p.word("a value")
		r := requirement{key: key, op: among, values: []string{value}}
		if op == "!=" {
			r.op = outside
		}
		return r, err
	case "in", "notin":
		p.next()
		values, err := p.list()
		r := requirement{key: key, op: among, values: values}
		if op == "notin" {
			r.op = outside
		}
		return r, err
	case "", ",":
		return requirement{key: key, op: exists}, nil
	}
	return requirement{}, p.wrong(`"=", "!=", "in" or "notin"`)
}

// list reads (a,b,c).
func (p *selectorParser) list() ([]string, error) {
	if p.token != "(" {
		return nil, p.wrong(`"("`)
	}
	var out []string
	for {
		p.next()
		value, err := p.word("a value")
		if err != nil {
			return nil, err
		}
		out = append(out, value)
		switch p.token {
		case ")":
			p.next()
			return out, nil
		case ",":
		default:
			return nil, p.wrong(`"," or ")"`)
		}
	}
}
