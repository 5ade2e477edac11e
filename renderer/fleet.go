package renderer

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// The levels above the groups' priorities (0 to 999).
const (
	kindLevel   = 1000
	deviceLevel = 1001
)

// fleet is the devices of a config repo with all that other documents say about
// them. It is read-only once made, but for what it counts and keeps.
type fleet struct {
	schema   *tree.Schema
	kinds    *kinds
	checker  *checker
	refs     references
	subjects []*subject // by name
	static   map[*groupDoc]*built
	groups   map[*groupDoc]*fragment
	kept     *Renderer // what is known from trees before
	trips    trips
	fresh    atomic.Int64 // devices that were not
	// unreadable files can't be asked what they define: what they mention is
	// not reported as missing.
	unreadable [][]byte
	// groupFiles hold groups. A mistake in one may be why a device has none of
	// what the group would give it.
	groupFiles map[string]bool

	files     []*parsed
	ruleFiles []source
	notes     []mistake // what is not wrong, and worth a word
	tenants   []*tenant
	residents map[*requestDoc]*tenant // whose request it is; without an entry, the network's
}

// subject is one device with what applies to it.
type subject struct {
	*deviceDoc
	groups   []*groupDoc // by priority, then name
	requests []*requestDoc
	links    []portLink // by port
	vars     *node
	labelSum sum
	varsSum  sum         // of vars
	seen     sum         // name, labels and vars
	scope    *tree.Scope // nil when manage has a mistake
	policy   *policyDoc  // nil: none says a mode
	ignored  []models.Ignored
	platform *platformDoc // nil: as built in
	rollout  *rolloutDoc
}

// portLink is a link as one of its ends sees it.
type portLink struct {
	port, peerPort         string
	portVars, peerPortVars *node
	peer                   *subject

	portVarsSum, peerPortVarsSum sum
}

// mentioned tells whether an unreadable file holds a word.
func (f *fleet) mentioned(word string) bool {
	return slices.ContainsFunc(f.unreadable, func(data []byte) bool { return bytes.Contains(data, []byte(word)) })
}

// groupAstray tells whether a mistake so far may have kept a group from a device.
func (f *fleet) groupAstray(l *ledger) bool {
	return slices.ContainsFunc(l.list, func(m mistake) bool {
		return f.groupFiles[m.at.file] && m.code != codeManage && m.code != codeManageMissing
	})
}

// assemble resolves who is meant by whom.
func assemble(d *decoder, f *fleet) {
	byName := f.inventory(d)
	f.grants(d.ledger, byName)
	known := platforms(d.platforms)
	for _, s := range f.subjects {
		s.Alerts = nil // the document may be kept from another tree
		f.platform(d.ledger, s, known)
	}
	for _, r := range d.rollouts {
		f.rollout(d.ledger, r, f.targets(d.ledger, r.target, byName))
	}
	for _, a := range d.alerts {
		for _, s := range f.targets(d.ledger, a.target, byName) {
			s.alert(a)
		}
	}
	for _, g := range d.groups {
		for _, s := range f.targets(d.ledger, g.target, byName) {
			s.groups = append(s.groups, g)
		}
	}
	for _, r := range d.requests {
		if t := f.residents[r]; t != nil && !t.mayAsk(r.kind) {
			continue
		}
		for _, s := range f.targets(d.ledger, r.target, byName) {
			if t := f.residents[r]; t != nil && !t.reaches(s.Name) {
				t.uninvited(d.ledger, r, s)
				continue
			}
			s.requests = append(s.requests, r)
		}
	}
	for _, p := range d.policies {
		for _, s := range f.targets(d.ledger, p.target, byName) {
			f.policy(d.ledger, s, p)
		}
	}
	f.link(d, byName)
	overlays := make(map[string]groupVars)
	scopes := make(map[string]*tree.Scope)
	valid := make(map[entry]bool)
	for _, s := range f.subjects {
		slices.SortStableFunc(s.groups, func(a, b *groupDoc) int {
			return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.name, b.name))
		})
		slices.SortStableFunc(s.requests, func(a, b *requestDoc) int {
			return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name))
		})
		s.vars = f.vars(d.ledger, s, overlays)
		f.manage(d.ledger, s, scopes, valid)
		s.decideApply(d.ledger)
	}
}

// inventory makes the subjects, each with an address of its own.
func (f *fleet) inventory(d *decoder) map[models.DeviceName]*subject {
	byName := make(map[models.DeviceName]*subject, len(d.devices))
	byAddress := make(map[string]*deviceDoc, len(d.devices))
	for _, doc := range d.devices {
		if first := byAddress[doc.Address]; first != nil && doc.Address != "" {
			d.at(doc.addressAt, codeDuplicateAddress, "%s has the address %s of %s: given at %s", doc.Name, doc.Address, first.Name, first.addressAt)
		} else {
			byAddress[doc.Address] = doc
		}
		s := &subject{deviceDoc: doc}
		byName[doc.Name] = s
		f.subjects = append(f.subjects, s)
	}
	slices.SortFunc(f.subjects, func(a, b *subject) int { return cmp.Compare(a.Name, b.Name) })
	return byName
}

// targets are the devices that a document is for.
func (f *fleet) targets(l *ledger, t target, byName map[models.DeviceName]*subject) []*subject {
	var out []*subject
	if t.named {
		for i, e := range t.devices {
			if slices.ContainsFunc(t.devices[:i], func(o entry) bool { return o.text == e.text }) {
				l.at(e.at, codeDuplicateDevice, "device %s is named twice", e.text)
				continue
			}
			if s := f.known(l, models.DeviceName(e.text), e.at, byName); s != nil {
				out = append(out, s)
			}
		}
		return out
	}
	for _, s := range f.subjects {
		if t.selector.matches(s.Labels) {
			out = append(out, s)
		}
	}
	if len(out) == 0 && !f.mentioned("Device") {
		l.add(mistake{at: t.at, code: codeSelectorEmpty, msg: fmt.Sprintf("selector %q matches no device", cut(t.source, 80)), hint: f.emptyHint(t.selector)})
	} else {
		f.negated(l, t)
	}
	return out
}

// negated finds the labels that a selector wants absent or different and that are
// another's name misspelt: those match every device, and nobody would notice.
func (f *fleet) negated(l *ledger, t target) {
	for _, r := range t.selector {
		if r.op != absent && r.op != outside || f.labelled(r.key) || f.mentioned("Device") {
			continue
		}
		if near := tree.Near(r.key, f.labelNames()); near != "" {
			l.add(mistake{
				at: t.at, code: codeSelectorLabel, subject: r.key,
				msg:  fmt.Sprintf("no device has a label %q, so this part of the selector fits all", r.key),
				hint: fmt.Sprintf("did you mean %q?", near),
			})
		}
	}
}

// labelled tells whether any device has a label.
func (f *fleet) labelled(name string) bool {
	return slices.ContainsFunc(f.subjects, func(s *subject) bool { _, has := s.Labels[name]; return has })
}

func (f *fleet) labelNames() []string {
	var names []string
	for _, s := range f.subjects {
		for k := range s.Labels {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// emptyHint names the first requirement of a selector that no device meets.
func (f *fleet) emptyHint(s selector) string {
	for _, r := range s {
		if slices.ContainsFunc(f.subjects, func(d *subject) bool { return selector{r}.matches(d.Labels) }) {
			continue
		}
		var keys, values []string
		for _, d := range f.subjects {
			for k, v := range d.Labels {
				if keys = append(keys, k); k == r.key {
					values = append(values, v)
				}
			}
		}
		slices.Sort(keys)
		slices.Sort(values)
		if keys = slices.Compact(keys); !slices.Contains(keys, r.key) {
			return joined(fmt.Sprintf("no device has a label %q", r.key), didYouMean(r.key, keys))
		}
		switch {
		case r.op == among && len(r.values) == 1:
			return joined(fmt.Sprintf("no device has %s=%s", r.key, r.values[0]), didYouMean(r.values[0], slices.Compact(values)))
		case r.op == among:
			return joined(fmt.Sprintf("no device has one of these as %s", r.key), didYouMean("", slices.Compact(values)))
		case r.op == absent:
			return fmt.Sprintf("every device has a label %q", r.key)
		}
		return fmt.Sprintf("every device has one of these as %s", r.key)
	}
	if len(s) > 1 {
		return "each part fits some device, and none fits them all"
	}
	return ""
}

func joined(a, b string) string {
	if b == "" {
		return a
	}
	return a + "; " + b
}

// known is the device of a name, nil after a mistake.
func (f *fleet) known(l *ledger, name models.DeviceName, at place, byName map[models.DeviceName]*subject) *subject {
	s := byName[name]
	if s == nil && !f.mentioned(string(name)) {
		var names []string
		for n := range byName {
			names = append(names, string(n))
		}
		l.add(mistake{at: at, code: codeDeviceUnknown, msg: fmt.Sprintf("device %q is not known", cut(string(name), 64)), hint: didYouMean(string(name), names)})
	}
	return s
}

// link gives each device the links it is an end of.
func (f *fleet) link(d *decoder, byName map[models.DeviceName]*subject) {
	type port struct {
		device models.DeviceName
		port   string
	}
	used := make(map[port]place, 2*len(d.links))
	for _, l := range d.links {
		for _, e := range []linkEnd{l.a, l.b} {
			p := port{e.device, e.port}
			if first, twice := used[p]; twice {
				d.at(e.portAt, codeDuplicatePort, "port %s of %s is the end of two links: first at %s", e.port, e.device, first)
				continue
			}
			used[p] = e.portAt
		}
		a, b := f.known(d.ledger, l.a.device, l.a.deviceAt, byName), f.known(d.ledger, l.b.device, l.b.deviceAt, byName)
		if a == nil || b == nil {
			continue
		}
		a.links = append(a.links, portLink{l.a.port, l.b.port, l.a.vars, l.b.vars, b, l.a.varsSum, l.b.varsSum})
		b.links = append(b.links, portLink{l.b.port, l.a.port, l.b.vars, l.a.vars, a, l.b.varsSum, l.a.varsSum})
	}
	for _, s := range f.subjects {
		slices.SortStableFunc(s.links, func(x, y portLink) int {
			return cmp.Or(cmp.Compare(x.port, y.port), cmp.Compare(x.peer.Name, y.peer.Name), cmp.Compare(x.peerPort, y.peerPort))
		})
	}
}

// groupVars are what a set of groups gives as vars.
type groupVars struct {
	vars  *node
	sum   sum
	clash []mistake
}

// vars are the groups' by priority, under the device's own.
func (f *fleet) vars(l *ledger, s *subject, known map[string]groupVars) *node {
	var id strings.Builder
	for _, g := range s.groups {
		id.WriteString(g.name + "\x00")
	}
	merged, ok := known[id.String()]
	if !ok {
		merged = mergeGroupVars(s.groups)
		merged.sum = sumOf(merged.vars)
		known[id.String()] = merged
	}
	for _, m := range merged.clash {
		m.device = s.Name
		l.add(m)
	}
	s.looks(merged.sum)
	return overlay(merged.vars, s.deviceDoc.vars, nil)
}

func mergeGroupVars(groups []*groupDoc) groupVars {
	var out groupVars
	for len(groups) > 0 {
		n := 1
		for n < len(groups) && groups[n].priority == groups[0].priority {
			n++
		}
		var level *node
		for _, g := range groups[:n] {
			level = overlay(level, g.vars, func(path string, base, over *node) {
				out.clash = append(out.clash, mistake{
					at: over.at, code: codeVarTie, subject: base.at.String(),
					msg:  fmt.Sprintf("var %s is %s here and %s at %s, and both groups have priority %d", path, over.brief(), base.brief(), base.at, g.priority),
					hint: "give one of the groups a higher priority",
				})
			})
		}
		out.vars = overlay(out.vars, level, nil)
		groups = groups[n:]
	}
	return out
}

// manage is the union of the device's and its groups' managed paths.
func (f *fleet) manage(l *ledger, s *subject, scopes map[string]*tree.Scope, valid map[entry]bool) {
	entries := slices.Clone(s.ownManage)
	for _, g := range s.groups {
		entries = append(entries, g.manage...)
	}
	s.Manage = nil
	sound, positive := true, false
	for _, e := range entries {
		ok, known := valid[e]
		if !known {
			_, err := tree.NewScope(f.schema, []string{e.text})
			ok = err == nil
			valid[e] = ok
			if err != nil {
				l.add(mistake{at: e.at, code: codeManage, msg: err.Error(), hint: "for example /interfaces/interface[name=Ethernet*]"})
			}
		}
		sound = sound && ok
		positive = positive || !strings.HasPrefix(e.text, "!")
		s.Manage = append(s.Manage, e.text)
	}
	slices.Sort(s.Manage)
	s.Manage = slices.Compact(s.Manage)
	if !positive && !f.groupAstray(l) {
		l.add(mistake{at: s.at, code: codeManageMissing, msg: fmt.Sprintf("%s manages nothing: manage is missing", s.Name), hint: "list the paths that setpoint owns under manage, here or in a group"})
	}
	if !sound || !positive {
		return
	}
	id := strings.Join(s.Manage, "\x00")
	if scopes[id] == nil {
		scope, err := tree.NewScope(f.schema, s.Manage)
		if err != nil {
			l.at(s.at, codeManage, "%v", err)
			return
		}
		scopes[id] = scope
	}
	s.scope = scopes[id]
}

// fragments builds once what does not differ between devices.
func (f *fleet) fragments(d *decoder) {
	f.static, f.groups = make(map[*groupDoc]*built), make(map[*groupDoc]*fragment)
	b := builder{f.schema}
	used := make(map[*groupDoc]bool)
	for _, s := range f.subjects {
		for _, g := range s.groups {
			used[g] = true
		}
	}
	for _, g := range d.groups {
		if g.openconfig == nil {
			continue
		}
		frag := &fragment{root: g.openconfig, level: g.priority, title: "Group " + g.name, at: g.at}
		f.groups[g] = frag
		if len(g.fragment.refs) > 0 || g.fragment.odd {
			continue
		}
		// A document that is the last tree's stands where it stood.
		once, ok := f.kept.groups.get(g)
		if !ok {
			var said []mistake
			once = b.build(frag, nil, func(m mistake) { said = append(said, m) })
			once.mistakes = said
		}
		f.kept.groups.put(g, once)
		f.static[g] = once
		if !used[g] {
			d.list = append(d.list, once.mistakes...)
		}
	}
}

// kindInput is what a kind sees of a device.
func (s *subject) kindInput(v view) map[string]any {
	in := make(map[string]any)
	if v.of("name") {
		in["name"] = string(s.Name)
	}
	if v.of("labels") {
		in["labels"] = stringsOf(s.Labels)
	}
	if v.of("vars") {
		in["vars"] = plainValue(s.vars)
	}
	if !v.of("links") {
		return in
	}
	links := make([]any, 0, len(s.links))
	for _, l := range s.links {
		links = append(links, map[string]any{
			"port": l.port, "peer": string(l.peer.Name), "peerPort": l.peerPort,
			"peerLabels": stringsOf(l.peer.Labels), "peerVars": plainValue(l.peer.vars),
			"portVars": plainValue(l.portVars), "peerPortVars": plainValue(l.peerPortVars),
		})
	}
	in["links"] = links
	return in
}

func stringsOf(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}
