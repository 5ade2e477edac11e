package renderer

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// The parts of a policy, beside devicePart.
const (
	modePart       = "mode"
	forPart        = "for"
	pathsPart      = "paths"
	networkPart    = "network"
	violationsPart = "violations"
)

// policyParts are what a policy may have; violationsPart is what makes it one.
var policyParts = []string{modePart, forPart, pathsPart, devicePart, networkPart, violationsPart}

// The lists that an input has beside those of its paths.
var (
	deviceInput  = []string{"name", "labels", "vars", "links"}
	networkInput = []string{"devices", "links"}
)

// rules are the policies of policies/*.cue: definitions with violations. What else
// is defined there they may use.
type rules struct {
	*Renderer
	program  *Program
	files    []source
	policies []*policy // by name
	overrun  bool      // reading them ran into a limit
}

// policy is one policy, as far as it can be told before any device is known.
type policy struct {
	name    string
	at      place
	doc     string
	warn    bool
	network bool // over the network; else over each device
	all     bool // for every device
	target  target
	sees    []string // what its input has
	lists   []projection
	asked   sum // of its text
	looks   sum // of its paths
}

// projection is a list of leaves by the name that a policy gives it.
type projection struct {
	name     string
	patterns []tree.Path
}

// loadRules reads the policies, unless they are the last tree's.
func (r *Renderer) loadRules(ctx context.Context, schema *tree.Schema, files []source, l *ledger) (*rules, error) {
	for _, f := range files {
		if f.kept == nil {
			r.files.put(fileID{f.name, f.sum}, &parsed{source: f, sound: true})
		}
	}
	same := func(a, b source) bool { return a.name == b.name && bytes.Equal(a.data, b.data) }
	if r.rules == nil || !slices.EqualFunc(r.rules.files, files, same) {
		p := &rules{Renderer: r, files: files}
		var own ledger
		if err := p.read(ctx, schema, &own); err != nil {
			return nil, err
		}
		if p.overrun {
			l.list = append(l.list, own.list...)
			return p, nil // the next tree's may do
		}
		r.rules, r.misruled = p, own.list
	}
	l.list = append(l.list, r.misruled...)
	return r.rules, nil
}

// read finds the policies in the files. A file that can't be read leaves none.
func (p *rules) read(ctx context.Context, schema *tree.Schema, l *ledger) error {
	if len(p.files) == 0 {
		return nil
	}
	p.program = newProgram("policies", p.files, nil)
	q := &question{Parts: policyParts[:len(policyParts)-1], Output: violationsPart}
	a, err := p.ask(ctx, p.program, q)
	var over *LimitError
	if errors.As(err, &over) {
		q.Slow = true
		a, err = p.ask(ctx, p.program, q)
	}
	if errors.As(err, &over) {
		p.overrun = true
		l.add(p.atStep(over))
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the policies: %w", err)
	}
	for _, c := range a.Complaints {
		l.add(p.mistake(c))
	}
	if len(a.Complaints) > 0 {
		return nil
	}
	list, err := decodeDescription(a.value)
	if err != nil {
		return err
	}
	for _, d := range list {
		s := &policySheet{rules: p, definition: d, ledger: l, schema: schema}
		pol, err := s.policy(ctx)
		if err != nil {
			return err
		}
		if pol != nil {
			p.policies = append(p.policies, pol)
		}
	}
	return nil
}

// mistake is a complaint about the policies' text.
func (p *rules) mistake(c complaint) mistake {
	m := mistake{at: place{file: p.files[0].name}, code: codePolicySyntax, msg: c.Text}
	if c.At != nil {
		m.at = c.At.place()
	}
	switch c.Sort {
	case otherPackage:
		m.msg, m.hint = fmt.Sprintf("package is %q", c.Text), "begin the file with: package policies"
	case foreignImport:
		m.msg = fmt.Sprintf("import of %s: a policy may import CUE's own packages alone", c.Text)
		m.hint = "such as strings, list, net, math, strconv, regexp"
	case gaveUp:
		m.code, m.msg = codePolicyLimit, "the policies can't be read: CUE gave up: "+c.Text
	}
	return m
}

// atStep is the mistake of policies that can't even be read within the limits.
func (p *rules) atStep(over *LimitError) mistake {
	m := mistake{at: place{file: p.files[0].name}, code: codePolicyLimit, msg: "the file " + over.Text + " before any device was looked at", hint: over.hint()}
	s := decodeStep(over.Step)
	if s.At.File != "" {
		m.at = s.At.place()
	}
	if s.Name != "" {
		m.msg = fmt.Sprintf("policy %s %s before any device was looked at", s.Name, over.Text)
	}
	return m
}

// policySheet is a definition on its way to be a policy.
type policySheet struct {
	*rules
	definition
	*ledger
	schema *tree.Schema
}

// policy reads a definition; nil when it is none, or there are mistakes. The error is
// the Evaluator's or ctx's.
func (s *policySheet) policy(ctx context.Context) (*policy, error) {
	if !s.is(violationsPart) {
		for _, part := range policyParts {
			if s.is(part) {
				s.refuse("", fmt.Sprintf("#%s has %s and no %s", s.Name, part, violationsPart), "a policy is #Name: {paths: {…}, network: {…}, violations: […]}")
				break
			}
		}
		return nil, nil // a definition that policies use
	}
	said := len(s.list)
	for _, f := range s.Fields {
		if !slices.Contains(policyParts, f.Name) && !strings.HasPrefix(f.Name, "#") && !strings.HasPrefix(f.Name, "_") {
			s.list = append(s.list, mistake{
				at: f.At.place(), code: codePolicyShape, msg: fmt.Sprintf("policy %s has no place for a field %q", s.Name, f.Name),
				hint: cmp.Or(didYouMean(f.Name, policyParts), "a field of your own begins with _"),
			})
		}
	}
	if s.is(devicePart) == s.is(networkPart) {
		s.refuse("", fmt.Sprintf("policy %s has to declare either device or network", s.Name), "device: {…} is one device's config, network: {…} that of all")
	}
	p := &policy{name: s.Name, at: s.At.place(), doc: s.Doc, network: s.is(networkPart), all: true}
	for _, part := range []struct {
		name string
		read func(*policy, *node)
	}{{modePart, s.mode}, {forPart, s.target}, {pathsPart, s.paths}} {
		n, err := s.part(ctx, part.name)
		if err != nil {
			return nil, err
		}
		if n != nil {
			part.read(p, n)
		}
	}
	s.inputs(p)
	if len(s.list) > said {
		return nil, nil
	}
	var in summing
	in.text(s.program.id)
	in.text(p.name)
	p.asked = in.done()
	var looks summing
	for _, l := range p.lists {
		looks.number(len(l.patterns))
		for _, path := range l.patterns {
			looks.text(path.String())
		}
	}
	p.looks = looks.done()
	return p, nil
}

func (s *policySheet) is(part string) bool { return slices.Contains(s.Has, part) }

// where is the place of a field, or the definition's.
func (s *policySheet) where(part string) place {
	for _, f := range s.Fields {
		if f.Name == part {
			return f.At.place()
		}
	}
	return s.At.place()
}

func (s *policySheet) refuse(part, msg, hint string) {
	s.list = append(s.list, mistake{at: s.where(part), code: codePolicyShape, msg: msg, hint: hint})
}

// part is the value of one of the policy's parts, nil when it has none.
func (s *policySheet) part(ctx context.Context, name string) (*node, error) {
	if !s.is(name) {
		return nil, nil
	}
	a, err := s.ask(ctx, s.program, &question{Definition: s.Name, Output: name})
	if over := (*LimitError)(nil); errors.As(err, &over) {
		s.list = append(s.list, mistake{at: s.where(name), code: codePolicyLimit, msg: fmt.Sprintf("policy %s %s", s.Name, over.Text), hint: over.hint()})
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of policy %s: %w", name, s.Name, err)
	}
	if len(a.Complaints) > 0 {
		s.refuse(name, fmt.Sprintf("%s of policy %s has to be plain: %s", name, s.Name, a.Complaints[0].Text), "")
		return nil, nil
	}
	return fromJSON(a.value, s.where(name))
}

func (s *policySheet) mode(p *policy, n *node) {
	switch n.text {
	case "deny":
	case "warn":
		p.warn = true
	default:
		s.refuse(modePart, fmt.Sprintf("mode is deny or warn, not %s", n.brief()), didYouMean(n.text, []string{"deny", "warn"}))
	}
}

// target reads "for" as that of a document.
func (s *policySheet) target(p *policy, n *node) {
	d := decoder{ledger: &ledger{}}
	p.target, _ = d.target(&node{shape: mapping, at: n.at, fields: []field{{forPart, n.at, n}}})
	p.all = false
	for _, m := range d.list {
		m.at = n.at // CUE has no columns within a value
		s.list = append(s.list, m)
	}
}

func (s *policySheet) paths(p *policy, n *node) {
	if n.shape != mapping {
		s.refuse(pathsPart, "paths is a struct: each path, or list of paths, by a name of its own", `for example paths: mtu: "/interfaces/interface/config/mtu"`)
		return
	}
	for _, f := range n.fields {
		list := projection{name: f.name}
		texts := f.value.items
		if f.value.shape != sequence {
			texts = []*node{f.value}
		}
		if len(texts) == 0 {
			s.refuse(pathsPart, fmt.Sprintf("paths.%s is empty", f.name), "")
		}
		for _, t := range texts {
			if path, ok := s.pattern(t, f.name); ok {
				list.patterns = append(list.patterns, path)
			}
		}
		p.lists = append(p.lists, list)
	}
}

// pattern reads one path: the leaves that it leads to, whatever the keys that it
// leaves out.
func (s *policySheet) pattern(n *node, name string) (tree.Path, bool) {
	m := mistake{at: s.where(pathsPart), code: codePolicyPath, hint: `for example "/interfaces/interface[name=Loopback*]/config/mtu"`}
	path, err := tree.ParsePath(n.text)
	var leaf *tree.Node
	if err == nil && n.shape == text {
		path, leaf, err = s.schema.Resolve(path)
	}
	switch {
	case n.shape != text:
		m.msg = fmt.Sprintf("paths.%s of policy %s is no path but %s", name, s.Name, n.brief())
	case err != nil:
		m.msg = fmt.Sprintf("paths.%s of policy %s: %v", name, s.Name, err)
	case leaf.Kind != tree.Leaf && leaf.Kind != tree.LeafList:
		m.msg = fmt.Sprintf("paths.%s of policy %s: %s is a %s, and a policy looks at leaves", name, s.Name, path, leaf.Kind)
	default:
		return path, true
	}
	s.list = append(s.list, m)
	return nil, false
}

// inputs finds what the policy looks at, and names that would never be filled in.
func (s *policySheet) inputs(p *policy) {
	part, known := devicePart, deviceInput
	if p.network {
		part, known = networkPart, networkInput
	}
	var names []string
	for _, l := range p.lists {
		if slices.Contains(known, l.name) {
			s.refuse(pathsPart, fmt.Sprintf("paths.%s of policy %s takes the name of something else in %s", l.name, s.Name, part), "give it another name")
		}
		names = append(names, l.name)
	}
	names = append(names, known...)
	p.sees = s.Declares[part]
	if slices.Contains(p.sees, "...") || p.sees == nil {
		p.sees = names
	}
	for _, name := range p.sees {
		if !slices.Contains(names, name) {
			s.refuse(part, fmt.Sprintf("%s.%s of policy %s is nothing: paths has no %s", part, name, s.Name, name), didYouMean(name, names))
		}
	}
	for _, l := range p.lists {
		if !slices.Contains(p.sees, l.name) {
			s.refuse(part, fmt.Sprintf("%s of policy %s has no %s, which paths names", part, s.Name, l.name), fmt.Sprintf("write %s: {%s: [...]}", part, l.name))
		}
	}
}

// title is how a policy's own comment ends up in a violation's hint.
func (p *policy) title() string {
	where := place{file: p.at.file, line: p.at.line}
	if p.doc == "" {
		return "the policy is at " + where.String()
	}
	doc, _, _ := strings.Cut(p.doc, "\n\n")
	return fmt.Sprintf("%s: %s", where, cut(strings.Join(strings.Fields(doc), " "), 200))
}

// violation is one thing that a policy finds.
type violation struct {
	Device  models.DeviceName `json:"device"`
	Path    string            `json:"path"`
	Message string            `json:"message"`
}

// violations reads what a policy answered.
func violations(data []byte) ([]violation, error) {
	var list []violation
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil {
		return nil, err
	}
	return list, nil
}
