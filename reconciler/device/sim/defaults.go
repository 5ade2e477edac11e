package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/openconfig/goyang/pkg/yang"
)

// bindDefaults keeps what the node holds where nothing is set: a leaf's default,
// and a container filled with those below it (RFC 7950 section 7.6.1; none of the
// models' containers has presence). A list holds none, as it has no entries.
func (s *schema) bindDefaults(e *yang.Entry) error {
	switch s.kind {
	case leaf, leafList:
		token, err := s.defaultToken(e.DefaultValues())
		s.def = token
		return err
	case list:
		return nil
	}
	if filled := s.fill(&node{schema: s}, nil, nil); !filled.empty() {
		s.filled = filled
	}
	return nil
}

func (s *schema) defaultToken(texts []string) (string, error) {
	var tokens []string
	for _, text := range texts {
		v, err := s.typ.parse(quote(text), formKey)
		if err != nil { // an identity with the prefix that its module goes by in YANG
			v, err = s.typ.parse(quote(text[strings.LastIndexByte(text, ':')+1:]), formKey)
		}
		if err != nil {
			return "", fmt.Errorf("default of %s: %w", s.name, err)
		}
		tokens = append(tokens, v.token)
	}
	if s.kind == leafList {
		return s.leafListToken(tokens)
	}
	return strings.Join(tokens, ""), nil // there is at most one
}

// fill is n, a container or an entry, with the defaults that are in use. was is an
// earlier n and view what fill made of it: branches that n shares with was are
// shared with view, so that what did not change stays the same pointer.
func (s *schema) fill(n, was, view *node) *node {
	if n == was && view != nil {
		return view
	}
	out := &node{schema: s, keys: n.keys}
	for _, c := range s.children {
		switch c.kind {
		case leaf, leafList:
			token := n.leaf(c)
			if token == "" {
				token = c.def
			}
			if token != "" {
				out.leaves = append(out.leaves, datum{c, token})
			}
			continue
		}
		kid := c.filled
		if k := n.kid(c); k != nil && c.kind == list {
			kid = c.fillEntries(k, was.kid(c), view.kid(c))
		} else if k != nil {
			kid = c.fill(k, was.kid(c), view.kid(c))
		}
		if kid != nil {
			out.kids = append(out.kids, kid)
		}
	}
	return out
}

func (s *schema) fillEntries(l, was, view *node) *node {
	if l == was && view != nil {
		return view
	}
	out := &node{schema: s, kids: slices.Clone(l.kids)}
	for i, e := range l.kids {
		before, _ := was.find(e.keys)
		seen, _ := view.find(e.keys)
		out.kids[i] = s.fill(e, before, seen)
	}
	return out
}
