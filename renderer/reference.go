package renderer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/openconfig/goyang/pkg/yang"

	"github.com/setpoint-net/setpoint/models/oc"
	"github.com/setpoint-net/setpoint/models/tree"
)

// references are the schema's leafrefs (RFC 7950 section 9.9), compiled: for each
// leaf that is one, the path whose values it may take. OpenConfig lets devices
// accept a reference to nothing, so setpoint has to look. Read-only.
type references map[*tree.Node]*refPath

// refPath is a leafref's path: up so many levels, or from the root, then down.
type refPath struct {
	text  string
	up    int // -1: from the root
	steps []refStep
}

// refStep is one name on the way down, for lists with what a key must be.
type refStep struct {
	name string
	key  string // "": any entry
	from *refPath
}

// compileReferences reads the paths from ygot's schema, which keeps them as the
// modules have them.
func compileReferences(s *tree.Schema) (references, error) {
	r := make(references)
	return r, r.walk(oc.SchemaTree["Device"], s.Root)
}

func (r references) walk(e *yang.Entry, n *tree.Node) error {
	for name, child := range e.Dir {
		below := n
		if !child.IsChoice() && !child.IsCase() {
			below = n.Child(name)
		}
		if below == nil {
			continue // no config node
		}
		if child.Type != nil && child.Type.Kind == yang.Yleafref {
			p, err := compileRef(child.Type.Path)
			if err != nil {
				return fmt.Errorf("leafref of %s: %w", below.Path(), err)
			}
			r[below] = p
		}
		if err := r.walk(child, below); err != nil {
			return err
		}
	}
	return nil
}

// compileRef reads the path-arg of RFC 7950 section 9.9.2, as far as the models
// use it: one predicate per step, on a key, that compares with current().
func compileRef(text string) (*refPath, error) {
	p := &refPath{text: text, up: -1}
	rest, absolute := strings.CutPrefix(text, "/")
	if !absolute {
		p.up = 0
		for strings.HasPrefix(rest, "../") {
			rest = rest[len("../"):]
			p.up++
		}
	}
	for rest != "" {
		var step refStep
		i := strings.IndexAny(rest, "/[")
		if i < 0 {
			i = len(rest)
		}
		step.name = local(rest[:i])
		rest = rest[i:]
		if strings.HasPrefix(rest, "[") {
			inner, after, ok := strings.Cut(rest[1:], "]")
			key, value, eq := strings.Cut(inner, "=")
			from, current := strings.CutPrefix(strings.TrimSpace(value), "current()/")
			if !ok || !eq || !current || strings.HasPrefix(after, "[") {
				return nil, fmt.Errorf("predicate %q is of no known form", inner)
			}
			var err error
			if step.from, err = compileRef(from); err != nil {
				return nil, err
			}
			step.key = local(strings.TrimSpace(key))
			rest = after
		}
		rest = strings.TrimPrefix(rest, "/")
		if step.name == "" || step.name == ".." {
			return nil, fmt.Errorf("path %q is of no known form", text)
		}
		p.steps = append(p.steps, step)
	}
	return p, nil
}

func local(name string) string {
	if _, l, ok := strings.Cut(name, ":"); ok {
		return l
	}
	return name
}

// faults are the references in a tree that lead to nothing. The values that a
// path leads to are gathered once per place it is followed from.
func (r references) faults(t *tree.Tree) []fault {
	p := refPass{references: r, sets: make(map[setKey]map[string]bool)}
	p.walk(t.Root())
	return p.list
}

type refPass struct {
	references
	above []*tree.Value // from the root to the parent of what is looked at
	path  tree.Path
	sets  map[setKey]map[string]bool
	list  []fault
}

// setKey names a set of values: the path from its first step on, where it is
// followed from, and what its predicates asked for.
type setKey struct {
	ref  *refPath
	from *tree.Value
	keys string
}

func (p *refPass) walk(v *tree.Value) {
	p.above = append(p.above, v)
	for _, m := range v.Members() {
		if m.Schema.Kind == tree.List {
			for _, e := range m.Members() {
				p.path = append(p.path, e.Elem())
				p.walk(e)
				p.path = p.path[:len(p.path)-1]
			}
			continue
		}
		p.path = append(p.path, m.Elem())
		if m.Schema.Kind == tree.Container {
			p.walk(m)
		} else if ref := p.references[m.Schema]; ref != nil {
			p.leaf(m, ref)
		}
		p.path = p.path[:len(p.path)-1]
	}
	p.above = p.above[:len(p.above)-1]
}

func (p *refPass) leaf(leaf *tree.Value, ref *refPath) {
	targets := p.targets(ref)
	for _, value := range values(leaf) {
		if targets[value] {
			continue
		}
		f := fault{path: slices.Clone(p.path), misses: scalarText(leaf.Schema.Type.Final, value), item: value + ":"}
		f.msg = fmt.Sprintf("%s: %s is not among the values of %s", leaf.Schema.Name, f.misses, p.target(leaf.Schema, ref))
		if isKey(leaf.Schema) && strings.HasPrefix(ref.text, "../config/") {
			if len(targets) > 0 {
				continue // they differ: keyFaults says so, at the config
			}
			f.msg = fmt.Sprintf("%s: the entry's config has no %s", leaf.Schema.Name, leaf.Schema.Name)
		} else {
			var known []string
			for t := range targets {
				known = append(known, scalarText(leaf.Schema.Type.Final, t))
			}
			f.hint = didYouMean(f.misses, known)
			if len(known) == 0 {
				f.hint = "there are none"
			}
		}
		p.list = append(p.list, f)
	}
}

// target is a reference's path for people.
func (p *refPass) target(n *tree.Node, ref *refPath) string {
	if t := n.Type.Target; t != "" {
		return t
	}
	return ref.text
}

// targets are the values that a reference may take from where the pass is.
func (p *refPass) targets(ref *refPath) map[string]bool {
	from := p.start(ref)
	if from == nil {
		return nil
	}
	key := setKey{ref: ref, from: from}
	wanted := make([]string, len(ref.steps))
	for i, s := range ref.steps {
		if s.from == nil {
			continue
		}
		// A predicate that compares with nothing or several selects nothing.
		one := p.gather(s.from, p.start(s.from), nil)
		if len(one) != 1 {
			return nil
		}
		for v := range one {
			wanted[i] = v
		}
		key.keys += wanted[i] + "\x00"
	}
	if set, ok := p.sets[key]; ok {
		return set
	}
	set := p.gather(ref, from, wanted)
	p.sets[key] = set
	return set
}

// start is the node that a path goes down from.
func (p *refPass) start(ref *refPath) *tree.Value {
	switch i := len(p.above) - ref.up; {
	case ref.up < 0:
		return p.above[0]
	case i < 0 || i >= len(p.above)+1 || ref.up == 0:
		return nil
	default:
		return p.above[i]
	}
}

func (p *refPass) gather(ref *refPath, from *tree.Value, wanted []string) map[string]bool {
	set := make(map[string]bool)
	if from != nil {
		descendRef(from, ref.steps, wanted, set)
	}
	return set
}

func descendRef(v *tree.Value, steps []refStep, wanted []string, set map[string]bool) {
	if len(steps) == 0 {
		for _, value := range values(v) {
			set[value] = true
		}
		return
	}
	var below []string
	if len(wanted) > 0 {
		below = wanted[1:]
	}
	child := member(v, steps[0].name)
	switch {
	case child == nil:
	case child.Schema.Kind != tree.List:
		descendRef(child, steps[1:], below, set)
	default:
		for _, e := range child.Members() {
			if steps[0].key != "" {
				if k := member(e, steps[0].key); k == nil || len(wanted) == 0 || k.Literal() != wanted[0] {
					continue
				}
			}
			descendRef(e, steps[1:], below, set)
		}
	}
}

func member(v *tree.Value, name string) *tree.Value {
	for _, m := range v.Members() {
		if m.Schema.Name == name {
			return m
		}
	}
	return nil
}

// values are a leaf's or leaf-list's canonical JSON scalars.
func values(v *tree.Value) []string {
	text := v.Literal()
	if v.Schema.Kind == tree.Leaf {
		return []string{text}
	}
	if v.Schema.Kind != tree.LeafList {
		return nil
	}
	return elements(text)
}

// elements takes a canonical JSON array of scalars apart.
func elements(text string) []string {
	var out []string
	for start, i, quoted := 1, 1, false; i < len(text); i++ {
		switch ch := text[i]; {
		case ch == '\\':
			i++
		case ch == '"':
			quoted = !quoted
		case !quoted && (ch == ',' || ch == ']'):
			if i > start {
				out = append(out, text[start:i])
			}
			start = i + 1
		}
	}
	return out
}

// scalarText is a canonical JSON scalar for people: an identity without its
// module.
func scalarText(t *tree.Type, scalar string) string {
	s := unquoted(scalar)
	if module, name, ok := strings.Cut(s, ":"); ok && t.Identities[name] == module {
		return name
	}
	return s
}

func unquoted(scalar string) string { return strings.Trim(scalar, `"`) }
