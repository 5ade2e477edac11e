package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/openconfig/goyang/pkg/yang"
)

const bgpActions = "/routing-policy/policy-definitions/policy-definition/statements/statement/actions/bgp-actions/config"

// What of the modules' conditions is not in the tree's schema: the node that bears
// it, and how it begins. Generation stops at any other that it can't read.
var uncheckedConditions = []string{
	// Compares with a leaf elsewhere, found by a predicate.
	"when /bfd/interfaces/interface/micro-bfd-sessions: /oc-if:interfaces/oc-if:interface[",
	// As it is written, it is false wherever set-med is not set.
	"must " + bgpActions + ": (set-med != 'IGP' and set-med-action) or",
	// Asks whether a leaf is there, and no condition on a value does.
	"must " + bgpActions + ": (not(set-aigp) or set-aigp-action)",
}

// testJSON compares a leaf with a value: from the node with the condition up so
// many levels, and down by names to the leaf.
type testJSON struct {
	Up    int    `json:"up"`
	Down  string `json:"down"`
	Not   bool   `json:"not,omitempty"`
	Value string `json:"value"`
}

// condition is a when-statement (RFC 7950 section 7.21.5). Of an augment or a uses
// the context is the parent of the nodes that it brings.
type condition struct {
	text   string
	parent bool
}

// inherited are the conditions that e's children have from the uses and augment
// statements that bring them.
func inherited(e *yang.Entry) map[string][]condition {
	all := map[string][]condition{}
	from := func(g *yang.Entry, text string) {
		for name, list := range inherited(g) {
			all[name] = append(all[name], list...)
		}
		if text == "" {
			return
		}
		for name := range g.Dir {
			all[name] = append(all[name], condition{text, true})
		}
	}
	for _, u := range e.Uses {
		text := ""
		if u.Uses.When != nil {
			text = u.Uses.When.Name
		}
		from(u.Grouping, text)
	}
	for _, a := range e.Augmented {
		text, _ := a.GetWhenXPath()
		from(a, text)
	}
	return all
}

// conditions reads the when-statements of n and all below it, once all nodes that
// they may name exist, and have their types.
func (b *treeBuilder) conditions(n *nodeJSON) error {
	if n.entry != nil {
		if text, ok := n.entry.GetWhenXPath(); ok {
			n.whens = append(n.whens, condition{text: text})
		}
		if err := b.readConditions(n); err != nil {
			return fmt.Errorf("%s: %w", dataPath(n), err)
		}
	}
	for _, c := range n.Children {
		if err := b.conditions(c); err != nil {
			return err
		}
	}
	return nil
}

func (b *treeBuilder) readConditions(n *nodeJSON) error {
	for _, w := range n.whens {
		if unchecked("when", n, w.text) {
			continue
		}
		read, err := b.when(n, w)
		if err != nil {
			return fmt.Errorf("when %q: %w", w.text, err)
		}
		n.When = append(n.When, read)
	}
	for _, m := range n.entry.Extra["must"] {
		text := m.(*yang.Must).Name
		if !unchecked("must", n, text) {
			return fmt.Errorf("must %q: models/tree knows no such statement", text)
		}
	}
	return nil
}

func unchecked(statement string, n *nodeJSON, text string) bool {
	whole := statement + " " + dataPath(n) + ": " + text
	return slices.ContainsFunc(uncheckedConditions, func(begin string) bool { return strings.HasPrefix(whole, begin) })
}

// when reads a condition: comparisons of a path with a literal, joined by "and",
// and these by "or".
func (b *treeBuilder) when(n *nodeJSON, w condition) ([][]testJSON, error) {
	tokens, err := whenTokens(w.text)
	if err != nil {
		return nil, err
	}
	any := [][]testJSON{nil}
	for {
		if len(tokens) < 3 {
			return nil, errors.New("ends early")
		}
		t, err := b.test(n, w.parent, tokens[:3])
		if err != nil {
			return nil, err
		}
		last := len(any) - 1
		any[last] = append(any[last], t)
		if tokens = tokens[3:]; len(tokens) == 0 {
			return any, nil
		}
		switch tokens[0] {
		case "and":
		case "or":
			any = append(any, nil)
		default:
			return nil, fmt.Errorf("%q joins no comparisons", tokens[0])
		}
		tokens = tokens[1:]
	}
}

// test reads a comparison, and proves that the path leads to a leaf which may have
// the value.
func (b *treeBuilder) test(n *nodeJSON, parent bool, tokens []string) (testJSON, error) {
	path, op, literal := tokens[0], tokens[1], tokens[2]
	value, quoted := strings.CutPrefix(literal, "'")
	_, notNumber := strconv.Atoi(literal)
	if !quoted && notNumber != nil || op != "=" && op != "!=" {
		return testJSON{}, fmt.Errorf("%s %s %s compares no path with a literal", path, op, literal)
	}
	t := testJSON{Not: op == "!="}
	at := n
	if parent {
		t.Up, at = 1, n.parent
	}
	var down []string
	for step := range strings.SplitSeq(strings.TrimPrefix(path, "current()/"), "/") {
		if at == nil {
			return t, fmt.Errorf("%s goes above the root", path)
		}
		switch step = localName(step); {
		case step == ".":
		case step == ".." && len(down) == 0:
			t.Up++
			at = at.parent
		default:
			i := slices.IndexFunc(at.Children, func(c *nodeJSON) bool { return c.Name == step })
			if i < 0 {
				return t, fmt.Errorf("%s: %s has no config node %s", path, dataPath(at), step)
			}
			if at = at.Children[i]; at.Kind == "list" {
				return t, fmt.Errorf("%s: %s is a list", path, dataPath(at))
			}
			down = append(down, step)
		}
	}
	if at == nil || at.Kind != "leaf" {
		return t, fmt.Errorf("%s leads to no leaf", path)
	}
	t.Down, t.Value = strings.Join(down, "/"), localName(value)
	typ := b.types[*at.Type]
	if typ.Final != nil {
		typ = b.types[*typ.Final]
	}
	_, ok := typ.Identities[t.Value]
	if ok = ok || slices.Contains(typ.Enum, t.Value) || !quoted && typ.Range != ""; !ok {
		return t, fmt.Errorf("%s is never %s", dataPath(at), value)
	}
	return t, nil
}

// localName drops a prefix. No two siblings share a name in these models, and no
// two identities of one base (see typ).
func localName(s string) string {
	if _, name, ok := strings.Cut(s, ":"); ok {
		return name
	}
	return s
}

// whenTokens cuts an expression into paths, operators, words, and literals, which
// keep their opening quote.
func whenTokens(text string) ([]string, error) {
	var out []string
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		n := 1
		switch {
		case text[0] == '\'':
			end := strings.IndexByte(text[1:], '\'')
			if end < 0 {
				return nil, errors.New("a quote is not closed")
			}
			out, text = append(out, text[:end+1]), text[end+2:]
			continue
		case strings.HasPrefix(text, "!="):
			n = 2
		case text[0] == '=':
		default:
			if n = strings.IndexAny(text, " \t\r\n='!"); n < 0 {
				n = len(text)
			}
			if n == 0 {
				return nil, fmt.Errorf("%.1s can't be read", text)
			}
			if strings.ContainsAny(strings.TrimPrefix(text[:n], "current()/"), "()[]<>|*\"") {
				return nil, fmt.Errorf("%s is more than a path", text[:n])
			}
		}
		out, text = append(out, text[:n]), text[n:]
	}
	return out, nil
}
