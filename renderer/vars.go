package renderer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/setpoint-net/setpoint/models"
)

// overlay is base with over's values on it: mappings merge field by field,
// anything else is replaced. clash, when not nil, is told of two values that
// differ. Neither argument is changed; either may be nil.
func overlay(base, over *node, clash func(path string, base, over *node)) *node {
	switch {
	case base == nil:
		return over
	case over == nil:
		return base
	}
	return overlayAt("", base, over, clash)
}

func overlayAt(path string, base, over *node, clash func(string, *node, *node)) *node {
	if base.shape != mapping || over.shape != mapping {
		if clash == nil {
			return over
		}
		if base.equal(over) {
			return base // among equals the first is the one to point at
		}
		clash(path, base, over)
		return over
	}
	out := &node{at: over.at, shape: mapping, fields: slices.Clone(base.fields)}
	for _, f := range over.fields {
		i := slices.IndexFunc(out.fields, func(g field) bool { return g.name == f.name })
		if i < 0 {
			out.fields = append(out.fields, f)
			continue
		}
		below := f.name
		if path != "" {
			below = path + "." + f.name
		}
		out.fields[i] = field{f.name, f.at, overlayAt(below, out.fields[i].value, f.value, clash)}
	}
	return out
}

// scope is what references in a device's fragments are replaced from.
type scope struct {
	name   models.DeviceName
	labels map[string]string
	vars   *node
}

// refers tells whether a text holds a reference or an escaped one.
func refers(n *node) bool { return n.shape == text && strings.Contains(n.text, "${") }

// referenceError says what is wrong with a reference, at a byte offset of the
// text.
type referenceError struct {
	offset    int
	code      models.Code
	msg, hint string
}

// resolve replaces the references in a text. A text that is one var's reference
// and nothing else becomes that value, at the var's place, for that is where a
// person changes it; a text with more around it stays a text at its own place.
// "$${" is a literal "${".
func (s *scope) resolve(n *node) (*node, *referenceError) {
	if inner, whole := wholeReference(n.text); whole {
		v, err := s.lookup(inner)
		if err != nil {
			return nil, err
		}
		if v.at == (place{}) {
			v.at = n.at
		}
		return v, nil
	}
	var b strings.Builder
	rest, offset := n.text, 0
	for {
		i := strings.Index(rest, "${")
		if i < 0 {
			b.WriteString(rest)
			return &node{at: n.at, shape: text, text: b.String(), quoted: true}, nil
		}
		if i > 0 && rest[i-1] == '$' {
			b.WriteString(rest[:i-1] + "${")
			rest, offset = rest[i+2:], offset+i+2
			continue
		}
		b.WriteString(rest[:i])
		end := strings.IndexByte(rest[i:], '}')
		if end < 0 {
			return nil, &referenceError{offset + i, codeReference, "${ has no closing }", `for a literal "${" write "$${"`}
		}
		v, err := s.lookup(rest[i+2 : i+end])
		if err == nil && !v.scalar() {
			err = &referenceError{0, codeReference, fmt.Sprintf("${%s} is %s: it can't stand inside text", rest[i+2:i+end], v.shape), ""}
		}
		if err != nil {
			err.offset = offset + i
			return nil, err
		}
		b.WriteString(v.text)
		rest, offset = rest[i+end+1:], offset+i+end+1
	}
}

// wholeReference is the inside of a text that is one reference.
func wholeReference(s string) (string, bool) {
	inner, ok := strings.CutPrefix(s, "${")
	if !ok {
		return "", false
	}
	inner, ok = strings.CutSuffix(inner, "}")
	return inner, ok && !strings.ContainsAny(inner, "{}")
}

// lookup is the value that a reference names. A value that stands in no document
// of its own has no place.
func (s *scope) lookup(ref string) (*node, *referenceError) {
	if ref == "name" {
		return &node{shape: text, text: string(s.name)}, nil
	}
	if key, ok := strings.CutPrefix(ref, "labels."); ok {
		if v, has := s.labels[key]; has {
			return &node{shape: text, text: v}, nil
		}
		var names []string
		for k := range s.labels {
			names = append(names, k)
		}
		return nil, &referenceError{0, codeLabelUnknown, fmt.Sprintf("${%s}: there is no label %q", cut(ref, 64), cut(key, 64)), didYouMean(key, names)}
	}
	if key, ok := strings.CutPrefix(ref, "vars."); ok {
		return s.variable(ref, key)
	}
	return nil, &referenceError{0, codeReference, fmt.Sprintf("${%s} is no reference", cut(ref, 64)), `known: ${name}, ${labels.x}, ${vars.x}; for a literal "${" write "$${"`}
}

func (s *scope) variable(ref, key string) (*node, *referenceError) {
	v := s.vars
	for part := range strings.SplitSeq(key, ".") {
		next := v.get(part)
		if next == nil {
			var names []string
			if v != nil {
				for _, f := range v.fields {
					names = append(names, f.name)
				}
			}
			return nil, &referenceError{0, codeVarUnknown, fmt.Sprintf("${%s}: there is no var %q", cut(ref, 64), cut(part, 64)), didYouMean(part, names)}
		}
		v = next
	}
	copied := *v
	return &copied, nil
}
