package renderer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// maxLeaves is how many leaves a policy may look at in one evaluation.
const maxLeaves = 200_000

// verdict is what a policy says of a device, or of the network: what it finds, or
// why it can't say. It is kept by the sum of all that was asked.
type verdict struct {
	violations []violation
	complaints []complaint
	tooMany    int // leaves
}

// judging is policies over devices that rendered without a mistake.
type judging struct {
	*fleet
	rules   *rules
	byName  map[models.DeviceName]*subject
	configs map[models.DeviceName]*Device
	turn    sync.Once // of what is kept of leaves: only when some are needed
}

// judge evaluates the policies. Where there are mistakes nothing is judged: what is
// not all known can't be held to anything. It gives what is warned of.
func (f *fleet) judge(ctx context.Context, rules *rules, devices []Device, l *ledger) ([]mistake, error) {
	if len(rules.policies) == 0 {
		return nil, nil
	}
	j := &judging{
		fleet: f, rules: rules,
		byName: make(map[models.DeviceName]*subject, len(devices)), configs: make(map[models.DeviceName]*Device, len(devices)),
	}
	for i, s := range f.subjects {
		j.byName[s.Name], j.configs[s.Name] = s, &devices[i]
	}
	hearings := j.hearings(l)
	if len(l.list) > 0 {
		return nil, nil
	}
	denied, warned, err := j.hear(ctx, hearings)
	l.list = append(l.list, denied...)
	return warned, err
}

// hearing is one evaluation: a policy over a device, or over all that it is for.
type hearing struct {
	policy *policy
	device *subject   // nil: the network
	all    []*subject // it is about
}

// stops are policies that ran into a limit on a device: the devices behind the first
// are not asked about, so that each costs one deadline.
type stops struct {
	mu   sync.Mutex
	list map[*policy]stop
}

type stop struct {
	at   int // hearing
	over *LimitError
}

func (s *stops) add(p *policy, at int, over *LimitError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if first, known := s.list[p]; !known || at < first.at {
		s.list[p] = stop{at, over}
	}
}

func (s *stops) behind(p *policy, at int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, known := s.list[p]
	return known && first.at < at
}

// hearings are whom each policy is for; mistakes of a policy's for are told even
// where nothing is judged.
func (j *judging) hearings(l *ledger) []hearing {
	var out []hearing
	for _, p := range j.rules.policies {
		meant := j.subjects
		if !p.all {
			meant = j.fleet.targets(l, p.target, j.byName)
		}
		if p.network {
			out = append(out, hearing{policy: p, all: meant})
			continue
		}
		for _, s := range meant {
			out = append(out, hearing{policy: p, device: s, all: []*subject{s}})
		}
	}
	return out
}

// hear holds all hearings, and gives what was found in their order: what is denied,
// what is warned of.
func (j *judging) hear(ctx context.Context, hearings []hearing) (denied, warned []mistake, err error) {
	found := make([][]mistake, len(hearings))
	faults := make([]error, len(hearings))
	stopped := &stops{list: make(map[*policy]stop)}
	err = each(ctx, len(hearings), func() func(int) {
		return func(i int) {
			h := &hearings[i]
			if stopped.behind(h.policy, i) {
				return
			}
			v, err := j.verdict(ctx, h)
			if over := (*LimitError)(nil); errors.As(err, &over) {
				stopped.add(h.policy, i, over)
			} else if err != nil {
				faults[i] = err
			} else {
				found[i], faults[i] = j.sentence(ctx, h, v)
			}
		}
	})
	if err = errors.Join(append(faults, err)...); err != nil {
		return nil, nil, err
	}
	for i, h := range hearings {
		s, over := stopped.list[h.policy]
		if over && i > s.at {
			continue
		}
		if over && i == s.at {
			m := mistake{at: h.policy.at, code: codePolicyLimit, msg: fmt.Sprintf("policy %s %s", h.policy.name, s.over.Text), hint: s.over.hint()}
			if h.device != nil {
				m.device = h.device.Name
			}
			denied = append(denied, m)
			continue
		}
		for _, m := range found[i] {
			if h.policy.warn && m.code == codePolicy {
				warned = append(warned, m)
			} else {
				denied = append(denied, m)
			}
		}
	}
	return denied, warned, nil
}

// verdict is the policy's, known from before or asked for now. Over the network most
// of what is in a config is none of a policy's business: when some have changed, it
// is asked anew only if what its paths lead to has.
func (j *judging) verdict(ctx context.Context, h *hearing) (*verdict, error) {
	id := j.asked(h, nil)
	if v, ok := j.kept.verdicts.get(id); ok {
		return v, nil
	}
	leaves, err := j.leaves(ctx, h)
	if err != nil {
		return nil, err
	}
	same := j.asked(h, leaves)
	v, ok := j.kept.verdicts.get(same)
	if !ok {
		if v, err = j.ask(ctx, h, leaves); err != nil {
			return nil, err
		}
		j.kept.verdicts.put(same, v)
	}
	j.kept.verdicts.put(id, v)
	return v, nil
}

// ask has the policy evaluated.
func (j *judging) ask(ctx context.Context, h *hearing, leaves []*projected) (*verdict, error) {
	v := &verdict{}
	for _, l := range leaves {
		v.tooMany += l.leaves
	}
	if v.tooMany > maxLeaves {
		return v, nil
	}
	v.tooMany = 0
	field := devicePart
	if h.device == nil {
		field = networkPart
	}
	a, err := j.kept.ask(ctx, j.rules.program, &question{
		Definition: h.policy.name, Inputs: []input{{Field: field, Trim: true, value: h.input(leaves)}}, Output: violationsPart,
	})
	if err != nil {
		return nil, fmt.Errorf("evaluate policy %s: %w", h.policy.name, err)
	}
	v.complaints = a.Complaints
	if len(a.Complaints) == 0 {
		if v.violations, err = violations(a.value); err != nil {
			v.complaints = []complaint{{Path: []string{violationsPart}, Text: "is not a list of {device, path, message}", Sort: misshapenResult}}
		}
	}
	return v, nil
}

// misshapenResult is a complaint of ours about what a policy answers.
const misshapenResult = "result"

// asked is the sum of all that a verdict hangs on: of the configs, or where they
// are given, of the leaves that the policy looks at.
func (j *judging) asked(h *hearing, leaves []*projected) sum {
	var in summing
	in.mark('p')
	in.sum(h.policy.asked)
	in.number(len(h.all))
	for i, s := range h.all {
		in.text(string(s.Name))
		in.sum(s.labelSum)
		if leaves == nil {
			in.text(string(j.configs[s.Name].Hash))
		} else {
			in.sum(leaves[i].sum)
		}
		for _, l := range s.links {
			in.text(l.port)
			in.text(string(l.peer.Name))
			in.text(l.peerPort)
		}
		if h.device != nil { // it sees what a kind does
			in.sum(s.varsSum)
			for _, l := range s.links {
				in.sum(l.portVarsSum)
				in.sum(l.peerPortVarsSum)
				in.sum(l.peer.seen)
			}
		}
	}
	return in.done()
}

// input is what the policy sees: over a device what it declares of what a kind sees,
// over the network the devices and the links between them, and the leaves of its
// paths.
func (h *hearing) input(leaves []*projected) []byte {
	var plain map[string]any
	if h.device != nil {
		plain = h.device.kindInput(view{All: true})
	} else {
		plain = map[string]any{"devices": devicesOf(h.all), "links": linksOf(h.all)}
	}
	for name := range plain {
		if !slices.Contains(h.policy.sees, name) {
			delete(plain, name)
		}
	}
	out := appendPlain(nil, plain)
	size := len(out)
	for _, p := range leaves {
		for _, items := range p.lists {
			size += len(items) + 1
		}
	}
	out = slices.Grow(out, size)
	for k, l := range h.policy.lists {
		out = out[:len(out)-1]
		if out[len(out)-1] != '{' {
			out = append(out, ',')
		}
		out = append(appendString(out, l.name), ":["...)
		first := true
		for _, p := range leaves {
			if len(p.lists[k]) == 0 {
				continue
			}
			if !first {
				out = append(out, ',')
			}
			first = false
			out = append(out, p.lists[k]...)
		}
		out = append(out, "]}"...)
	}
	return out
}

func devicesOf(all []*subject) []any {
	out := make([]any, 0, len(all))
	for _, s := range all {
		out = append(out, map[string]any{"name": string(s.Name), "labels": stringsOf(s.Labels)})
	}
	return out
}

// linksOf are the links between devices, each once, by the end whose name comes
// first.
func linksOf(all []*subject) []any {
	meant := make(map[models.DeviceName]bool, len(all))
	for _, s := range all {
		meant[s.Name] = true
	}
	out := []any{}
	for _, s := range all {
		for _, l := range s.links {
			if !meant[l.peer.Name] || s.Name > l.peer.Name || s.Name == l.peer.Name && l.port > l.peerPort {
				continue
			}
			out = append(out, map[string]any{
				"a": map[string]any{"device": string(s.Name), "port": l.port},
				"b": map[string]any{"device": string(l.peer.Name), "port": l.peerPort},
			})
		}
	}
	return out
}

// projected are the leaves of a policy's lists on one device, each list's as JSON
// with commas between.
type projected struct {
	lists  [][]byte
	leaves int
	sum    sum // of lists
}

// leaves are what a policy looks at on the devices of a hearing.
func (j *judging) leaves(ctx context.Context, h *hearing) ([]*projected, error) {
	if h.device == nil {
		j.turn.Do(j.kept.projected.turn)
	}
	out := make([]*projected, len(h.all))
	faults := make([]error, len(h.all))
	err := each(ctx, len(h.all), func() func(int) {
		return func(i int) { out[i], faults[i] = j.project(h, h.all[i]) }
	})
	return out, errors.Join(append(faults, err)...)
}

// project gives the leaves on one device. Over the network each names it.
func (j *judging) project(h *hearing, s *subject) (*projected, error) {
	d := j.configs[s.Name]
	w := projector{}
	if h.device == nil {
		w.device = string(s.Name)
	}
	var in summing
	in.mark('j')
	in.sum(h.policy.looks)
	in.text(w.device)
	in.text(string(d.Hash))
	id := in.done()
	if h.device == nil { // on a device leaves are looked at once
		if known, ok := j.kept.projected.get(id); ok {
			return known, nil
		}
	}
	config, err := tree.Parse(j.schema, d.Config)
	if err != nil {
		return nil, fmt.Errorf("read the config of %s again: %w", s.Name, err)
	}
	out := &projected{lists: make([][]byte, len(h.policy.lists))}
	var content summing
	for i, l := range h.policy.lists {
		w.out = nil
		for _, pattern := range l.patterns {
			w.walk(config.Root(), pattern)
		}
		out.lists[i] = w.out
		content.text(string(w.out))
	}
	out.leaves, out.sum = w.leaves, content.done()
	if h.device == nil {
		j.kept.projected.put(id, out)
	}
	return out, nil
}

// projector writes the leaves that a path leads to.
type projector struct {
	device string // "" where it need not be said
	path   tree.Path
	out    []byte
	leaves int
}

func (w *projector) walk(v *tree.Value, rest tree.Path) {
	if len(rest) == 0 {
		w.leaf(v)
		return
	}
	child := member(v, rest[0].Name)
	switch {
	case child == nil:
	case child.Schema.Kind != tree.List:
		w.step(child, rest[1:])
	default:
		for _, e := range child.Members() {
			if (tree.Path{e.Elem()}).Within(tree.Path{rest[0]}) {
				w.step(e, rest[1:])
			}
		}
	}
}

func (w *projector) step(v *tree.Value, rest tree.Path) {
	w.path = append(w.path, v.Elem())
	w.walk(v, rest)
	w.path = w.path[:len(w.path)-1]
}

// leaf writes one leaf: device, path, keys by list, value.
func (w *projector) leaf(v *tree.Value) {
	if v.Schema.Kind != tree.Leaf && v.Schema.Kind != tree.LeafList {
		return
	}
	w.leaves++
	if len(w.out) > 0 {
		w.out = append(w.out, ',')
	}
	w.out = append(w.out, '{')
	if w.device != "" {
		w.out = append(appendString(append(w.out, `"device":`...), w.device), ',')
	}
	w.out = append(appendString(append(w.out, `"path":`...), w.path.String()), `,"keys":{`...)
	first := true
	for _, e := range w.path {
		if len(e.Keys) == 0 {
			continue
		}
		if !first {
			w.out = append(w.out, ',')
		}
		first = false
		w.out = append(appendString(w.out, e.Name), `:{`...)
		for i, k := range e.Keys {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			w.out = appendString(append(appendString(w.out, k.Name), ':'), k.Value)
		}
		w.out = append(w.out, '}')
	}
	w.out = append(appendValue(append(w.out, `},"value":`...), v), '}')
}

// appendValue writes a leaf's value as people write it: an identity without its
// module, a 64-bit number as a number, and of a secret its reference alone.
func appendValue(out []byte, v *tree.Value) []byte {
	if v.Schema.Kind == tree.Leaf {
		return appendScalar(out, v.Schema, v.Literal())
	}
	out = append(out, '[')
	for i, item := range values(v) {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendScalar(out, v.Schema, item)
	}
	return append(out, ']')
}

func appendScalar(out []byte, n *tree.Node, scalar string) []byte {
	t := n.Type.Final
	text := unquoted(scalar)
	switch {
	case n.Secret && !strings.HasPrefix(text, "secret://"):
		return append(out, `"(secret)"`...)
	case t.Kind == tree.Uint64 || t.Kind == tree.Int64 || t.Kind == tree.Decimal64:
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			return append(out, text...)
		}
	case t.Kind == tree.Identityref:
		return appendString(out, scalarText(t, scalar))
	}
	return append(out, scalar...)
}

// sentence turns a verdict into mistakes: of what is found at the value that brought
// it, of the policy itself at the policy.
func (j *judging) sentence(ctx context.Context, h *hearing, v *verdict) ([]mistake, error) {
	p := h.policy
	var out []mistake
	own := func(at place, code models.Code, msg, hint string) {
		m := mistake{at: at, code: code, msg: "policy " + p.name + ": " + msg, hint: hint}
		if h.device != nil {
			m.device = h.device.Name
		}
		out = append(out, m)
	}
	if v.tooMany > 0 {
		own(p.at, codePolicyLimit, fmt.Sprintf("its paths lead to %d leaves: a policy may look at %d", v.tooMany, maxLeaves), "name fewer with keys in the paths, or fewer devices with for")
	}
	for _, c := range v.complaints {
		at, msg, code := p.at, strings.Join(c.Path, "."), codePolicyFailed
		if c.At != nil {
			at = c.At.place()
		}
		switch c.Sort {
		case misshapenResult:
			code = codePolicyResult
		case tooLarge:
			msg = ""
			c.Text = fmt.Sprintf("finds too much: %s bytes", c.Text)
		case gaveUp:
			code, msg = codePolicyLimit, ""
			c.Text = "CUE gave up: " + c.Text
		}
		if msg != "" {
			msg += ": "
		}
		own(at, code, msg+c.Text, "")
	}
	lines := make(map[models.DeviceName]*rendering)
	for _, one := range v.violations {
		s := j.about(h, one)
		path, err := j.lead(one.Path)
		switch {
		case one.Message == "":
			own(p.at, codePolicyResult, "a violation has no message", "write {device: …, path: …, message: …}")
		case s == nil && one.Device == "":
			own(p.at, codePolicyResult, "a violation names no device", "over the network each has to")
		case s == nil:
			own(p.at, codePolicyResult, fmt.Sprintf("a violation is about %q, which is no device that it is for", cut(string(one.Device), 64)), "")
		case err != nil:
			own(p.at, codePolicyResult, fmt.Sprintf("a violation's path: %v", err), "take the path of a leaf as it comes")
		default:
			r := lines[s.Name]
			if r == nil {
				r = &rendering{subject: s, worker: &worker{j.fleet}}
				if r.collect(ctx); r.err != nil {
					return nil, r.err
				}
				lines[s.Name] = r
			}
			m := mistake{code: codePolicy, device: s.Name, hint: p.title(), msg: fmt.Sprintf("policy %s: %s", p.name, cut(one.Message, 400))}
			if m.at = s.at; len(path) > 0 {
				m.at, m.path = r.setter(path), path.String()
			}
			out = append(out, m)
		}
	}
	return out, nil
}

// about is the device that a violation is about, nil when it is none of the
// hearing's.
func (j *judging) about(h *hearing, v violation) *subject {
	if h.device != nil {
		if v.Device == "" || v.Device == h.device.Name {
			return h.device
		}
		return nil
	}
	for _, s := range h.all {
		if s.Name == v.Device {
			return s
		}
	}
	return nil
}

// lead is a violation's path; none is a path as well.
func (j *judging) lead(text string) (tree.Path, error) {
	if text == "" {
		return nil, nil
	}
	path, err := tree.ParsePath(text)
	if err != nil {
		return nil, err
	}
	path, _, err = j.schema.Resolve(path)
	return path, err
}

// setter is the place that set what is at a path: the value in the document, or of
// what a kind brings forth the field of the spec, or the device's var, that it took
// the value from. Of what is not there it is the place around it, or the device's
// document.
func (r *rendering) setter(p tree.Path) place {
	b := r.origin(p)
	for ; b == nil; b = r.origin(p) {
		last := len(p) - 1
		if last == 0 || len(p[last].Keys) > 0 {
			return r.at // what else is in a list is not around it
		}
		p = p[:last]
	}
	if b.kind == "" {
		return b.locate(p, "")
	}
	texts := []string{}
	if v := b.tree.Lookup(p); v != nil && v.Schema.Kind == tree.Leaf {
		texts = append(texts, v.Text())
	}
	if keys := p[len(p)-1].Keys; len(keys) > 0 {
		texts = append(texts, keys[len(keys)-1].Value)
	}
	sees := r.fleet.kinds.view(b.kind)
	for _, text := range texts {
		in := []*node{b.spec}
		if at := taken(in, text); at != nil {
			return at.at
		}
		in = nil
		if sees.of("vars") {
			in = append(in, r.subject.vars)
		}
		if sees.of("links") {
			for _, l := range r.links {
				in = append(in, l.portVars)
			}
		}
		if at := taken(in, text); at != nil {
			return at.at
		}
	}
	return b.at
}

// taken is the one scalar that a kind may have taken a value from: it is that value,
// or an address of that and its prefix's length. nil when there are none or several.
func taken(in []*node, value string) *node {
	var found []*node
	var look func(n *node)
	look = func(n *node) {
		if n == nil {
			return
		}
		if address, _, _ := strings.Cut(n.text, "/"); n.scalar() && (n.text == value || address == value) {
			found = append(found, n)
		}
		for _, f := range n.fields {
			look(f.value)
		}
		for _, item := range n.items {
			look(item)
		}
	}
	for _, n := range in {
		look(n)
	}
	if len(found) != 1 {
		return nil
	}
	return found[0]
}
