package renderer

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// YAML's traps are scalars that YAML 1.1, YAML 1.2 and a person's eye read
// differently: 010, 08, 1_000, 12e3, 1.10, no. Where a schema says what a value is,
// it decides whether the reading fits. Where nothing does, as in vars, or where the
// schema is a kind's and comes later, they are refused, for whoever reads the file
// next may read something else.

var (
	// plain is an integer written the one way that leaves no doubt.
	plain = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)
	// exact is a number with a fraction that is written the way it would be
	// printed: 1.10 may be a version.
	exact = regexp.MustCompile(`^-?(0|[1-9][0-9]*)\.([0-9]*[1-9])$`)
)

// doubtful tells whether a number is written so that it can be misread.
func (n *node) doubtful() bool {
	return n.shape == integer && !plain.MatchString(n.text) || n.shape == float && !exact.MatchString(n.text)
}

// yesNo is the boolean that a word is in YAML 1.1 and not in 1.2, "" for none.
// The one-letter words are left alone.
func yesNo(s string) string {
	switch strings.ToLower(s) {
	case "yes", "on":
		return "true"
	case "no", "off":
		return "false"
	}
	return ""
}

// ambiguous is the mistake about a doubtful number where it might be meant as
// text.
func ambiguous(n *node) mistake {
	m := mistake{at: n.at, code: codeAmbiguous, msg: cut(n.text, 64) + " is an ambiguous number"}
	if n.shape == integer {
		m.msg = cut(n.text, 64) + " is an ambiguous integer"
	}
	m.hint = fmt.Sprintf("quote it for the text %q", cut(n.text, 64))
	if v := n.meant(); v != "" {
		m.hint = fmt.Sprintf("write %s, or %s", v, m.hint)
	}
	return m
}

// ambiguousNumber is the same where only a number fits.
func ambiguousNumber(n *node) mistake {
	m := ambiguous(n)
	m.hint = ""
	if v := n.meant(); v != "" {
		m.hint = "write " + v
	}
	return m
}

// meant is a number as YAML reads it, written plainly; "" where that is no help.
func (n *node) meant() string {
	if n.shape == integer {
		if v := n.number(); v != nil && v.BitLen() <= 128 {
			return v.String()
		}
		return ""
	}
	v, err := strconv.ParseFloat(strings.ReplaceAll(n.text, "_", ""), 64)
	if err != nil || v > 1e15 || v < -1e15 {
		return ""
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// cueTypes are CUE's types for people.
var cueTypes = map[string]string{
	"string": "text", "bool": "true or false", "int": "a whole number", "number": "a number", "float": "a number",
	"list": "a list", "struct": "a mapping",
}

var mismatch = regexp.MustCompile(`\(mismatched types (\S+) and (\S+)\)`)

// mistyped puts CUE's objection to a value's type in the document's words, with
// what to write. ok is false where the objection is another.
func mistyped(n *node, msg string) (plainly, hint string, ok bool) {
	m := mismatch.FindStringSubmatch(msg)
	if m == nil || n == nil {
		return "", "", false
	}
	want := m[1]
	if want == n.cueType() {
		want = m[2]
	}
	word := cueTypes[want]
	if word == "" || m[1] != n.cueType() && m[2] != n.cueType() {
		return "", "", false
	}
	return fmt.Sprintf("%s is not %s", n.brief(), word), n.as(want), true
}

var mismatchOf = regexp.MustCompile(`^conflicting values (.+) and (.+) \(mismatched types (\S+) and (\S+)\)$`)

// mistypedInput is the same of a value that stands in no spec.
func mistypedInput(msg string) (string, bool) {
	m := mismatchOf.FindStringSubmatch(msg)
	switch {
	case m == nil:
	case m[1] == m[3] && cueTypes[m[3]] != "":
		return m[2] + " is not " + cueTypes[m[3]], true
	case m[2] == m[4] && cueTypes[m[4]] != "":
		return m[1] + " is not " + cueTypes[m[4]], true
	}
	return msg, false
}

// misshapen is what CUE says of a text that does not match a pattern. A pattern says
// little to most people: it is left out where the kind explains the field, or where
// it is long.
func misshapen(msg, hint string) string {
	given, rest, ok := strings.Cut(msg, ` (out of bound =~"`)
	if !ok {
		return msg
	}
	pattern := strings.TrimSuffix(rest, `")`)
	msg = strings.TrimPrefix(given, "invalid value ") + " has not the form that is asked for"
	if hint == "" && len(pattern) <= 60 {
		msg += ", " + pattern
	}
	return msg
}

// cueType is the type that CUE sees a value as.
func (n *node) cueType() string {
	return [...]string{"struct", "list", "string", "int", "float", "bool", "null"}[n.shape]
}

// as says how to write a value so that it is of CUE's type.
func (n *node) as(want string) string {
	switch {
	case want == "string" && n.shape == null:
		return `for empty text write ""`
	case want == "string" && n.scalar():
		return fmt.Sprintf("quote it: %q", cut(n.text, 64))
	case want == "bool" && n.shape == text && yesNo(n.text) != "":
		return "write " + yesNo(n.text)
	case want == "bool" && n.quoted && (n.text == "true" || n.text == "false"),
		(want == "int" || want == "number") && n.quoted && plain.MatchString(n.text):
		return "leave out the quotes: " + n.text
	case want == "list" && n.scalar() && n.shape != null:
		return "write a list: [" + cut(n.text, 64) + "]"
	}
	return ""
}
