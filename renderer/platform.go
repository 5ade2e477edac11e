package renderer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// platformDoc is a Platform document: what setpoint has to know of a vendor's gNMI
// besides the profile that it refines. What the renderer acts on is settled here
// (base, omits). Knobs that the session with the device acts on are its profile: it
// goes with the device's entry in the manifest, as its phases do for the plan, and
// rendering looks at none of them.
type platformDoc struct {
	name  string
	at    place
	omits []entry // paths of the schema, without keys, that the devices don't have
	// unconditional are nodes that the devices take whatever the model's condition
	// (when) on them says: the devices' own validation has the word there.
	unconditional []entry
	profile       models.Profile
	phases        [][]string // in which the devices take a change
}

func (d *decoder) platformDocument(n *node) {
	d.fields(n, "a Platform", "apiVersion", "kind", "metadata", "spec")
	name, at := d.metadata(n, "Platform", false)
	p := &platformDoc{name: name, at: at}
	spec := n.get("spec")
	d.fields(spec, "spec of a Platform", "base", "omits", "unconditional", "origin", "leaves", "phases")
	if base := spec.get("base"); base != nil && d.text(base, "base") != defaultPlatform && base.shape == text {
		d.add(mistake{at: base.at, code: codePlatform, msg: fmt.Sprintf("base %q is not known", cut(base.text, 64)), hint: joined("known: "+defaultPlatform, "a Platform refines a profile that is built in")})
	}
	if name == defaultPlatform {
		d.add(mistake{at: at, code: codePlatform, msg: "platform openconfig is built in", hint: "give yours another name, and the devices that are meant its name"})
		return
	}
	p.omits = d.schemaPaths(spec.get("omits"), "omits")
	p.unconditional = d.conditions(spec.get("unconditional"))
	p.profile.Origin = d.gnmiOrigin(spec.get("origin"))
	if leaves := spec.get("leaves"); leaves != nil {
		p.profile.Leaves = d.text(leaves, "leaves")
		if p.profile.Leaves != "json" && p.profile.Leaves != "scalar" && leaves.shape == text {
			d.add(mistake{at: leaves.at, code: codePlatformValue, msg: fmt.Sprintf("leaves %q is not known", cut(p.profile.Leaves, 64)), hint: "known: json, scalar"})
		}
	}
	p.phases = d.phases(spec.get("phases"))
	if name != "" {
		d.platforms = append(d.platforms, p)
	}
}

// gnmiOrigin reads the name of a schema tree (gNMI 2.7).
func (d *decoder) gnmiOrigin(n *node) string {
	text := d.text(n, "origin")
	if len(text) > 64 || strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
		d.add(mistake{
			at: n.at, code: codePlatformValue, msg: fmt.Sprintf("origin %q is not the name of one", cut(text, 64)),
			hint: "for example origin: openconfig; letters, digits, '-', '_' and '.'",
		})
		return ""
	}
	return text
}

// phases reads groups of paths that the devices take one after the other. A path
// is written as in manage, without exclusions, and stands in one group.
func (d *decoder) phases(n *node) [][]string {
	if n.empty() {
		return nil
	}
	if n.shape != sequence {
		d.add(mistake{at: n.at, code: codeShape, msg: "phases must be a list of lists, not " + n.shape.String(), hint: "for example phases: [[/network-instances], [/interfaces]]"})
		return nil
	}
	var out [][]string
	seen := make(map[string]place)
	for _, item := range n.items {
		var group []string
		for _, e := range d.texts(item, "a phase") {
			if path, ok := d.phasePath(e, seen); ok {
				group = append(group, path)
			}
		}
		if item.empty() {
			d.add(mistake{at: item.at, code: codePlatformValue, msg: "a phase has no paths", hint: "what no phase names comes last by itself"})
		}
		out = append(out, group)
	}
	return out
}

func (d *decoder) phasePath(e entry, seen map[string]place) (string, bool) {
	p, err := tree.ParsePath(e.text)
	if err == nil {
		p, _, err = tree.OpenConfig().Resolve(p)
	}
	if err != nil {
		d.add(mistake{at: e.at, code: codePlatformValue, msg: err.Error(), hint: "for example /interfaces/interface/subinterfaces"})
		return "", false
	}
	if first, twice := seen[p.String()]; twice {
		d.add(mistake{at: e.at, code: codePlatformValue, msg: fmt.Sprintf("%s has its phase already, at %s", cut(e.text, 80), first), hint: "leave one out"})
		return "", false
	}
	seen[p.String()] = e.at
	return e.text, true
}

// schemaPaths reads paths of the schema, without keys.
func (d *decoder) schemaPaths(n *node, what string) []entry {
	var out []entry
	for _, e := range d.texts(n, what) {
		path, err := schemaPath(e.text)
		if err != nil {
			d.add(mistake{at: e.at, code: codeSchemaPath, msg: err.Error(), hint: "for example /interfaces/interface/config/mtu"})
			continue
		}
		out = append(out, entry{path, e.at})
	}
	return out
}

// conditions reads the paths of nodes that have a condition of their own.
func (d *decoder) conditions(n *node) []entry {
	return slices.DeleteFunc(d.schemaPaths(n, "unconditional"), func(e entry) bool {
		p, err := tree.ParsePath(e.text)
		if err != nil {
			return true
		}
		at, err := tree.OpenConfig().Find(p)
		if err != nil || len(at.When) > 0 {
			return err != nil
		}
		d.add(mistake{at: e.at, code: codeUnconditional, msg: fmt.Sprintf("the model has no condition on %s", cut(e.text, 120)), hint: conditionsNear(at)})
		return true
	})
}

// conditionsNear is the hint for a node without a condition: the nodes above or
// below it that have one.
func conditionsNear(n *tree.Node) string {
	for up := n.Parent; up != nil; up = up.Parent {
		if len(up.When) > 0 {
			return "there is one on " + up.Path()
		}
	}
	var below []string
	var walk func(*tree.Node)
	walk = func(n *tree.Node) {
		if len(n.When) > 0 {
			below = append(below, n.Path())
		}
		for _, c := range n.Children() {
			walk(c)
		}
	}
	walk(n)
	switch len(below) {
	case 0:
		return "leave the entry out"
	case 1:
		return "there is one on " + below[0]
	}
	return fmt.Sprintf("there are %d below it, such as on %s", len(below), below[0])
}

// schemaPath is a path of the schema in the form that Node.Path gives.
func schemaPath(text string) (string, error) {
	p, err := tree.ParsePath(text)
	if err != nil {
		return "", err
	}
	n, err := tree.OpenConfig().Find(p)
	switch {
	case err != nil:
		return "", err
	case strings.Contains(text, "["):
		return "", fmt.Errorf("%s has a list's keys: what a platform has is said of all entries", cut(text, 80))
	case n.Parent == nil:
		return "", fmt.Errorf("%q is everything", text)
	case n.Parent.Kind == tree.List && slices.Contains(n.Parent.Keys, n.Name):
		return "", fmt.Errorf("%s is a key of its list: without it there is no entry", cut(text, 80))
	}
	return n.Path(), nil
}

// platform finds the device's platform, and what of it the device is allowed to go
// without.
func (f *fleet) platform(l *ledger, s *subject, byName map[string]*platformDoc) {
	s.Profile, s.Phases = models.Profile{}, nil // the document may be kept from another tree
	if e := s.platformName; e.text != "" && e.text != defaultPlatform {
		if s.platform = byName[e.text]; s.platform == nil && !f.mentioned("Platform") {
			names := []string{defaultPlatform}
			for name := range byName {
				names = append(names, name)
			}
			l.add(mistake{at: e.at, code: codePlatform, msg: fmt.Sprintf("platform %q is not known", cut(e.text, 64)), hint: didYouMean(e.text, names)})
			return
		}
	}
	if s.platform != nil {
		s.Profile, s.Phases = s.platform.profile, s.platform.phases
	}
	for _, e := range s.allowed {
		if !slices.ContainsFunc(s.omits(), func(o entry) bool { return covers(o.text, e.text) || covers(e.text, o.text) }) {
			l.add(mistake{
				at: e.at, code: codeUnenforced, subject: e.text, msg: fmt.Sprintf("the platform of %s omits nothing at %s", s.Name, e.text),
				hint: "what a platform omits is listed in its Platform document; leave the entry out",
			})
		}
	}
}

// omits are the paths that the device's platform does not have.
func (s *subject) omits() []entry {
	if s.platform == nil {
		return nil
	}
	return s.platform.omits
}

// free tells whether the device's platform takes a node whatever its condition
// says.
func (s *subject) free(n *tree.Node) bool {
	return n != nil && slices.ContainsFunc(s.unconditional(), func(e entry) bool { return e.text == n.Path() })
}

func (s *subject) unconditional() []entry {
	if s.platform == nil {
		return nil
	}
	return s.platform.unconditional
}

// covers tells whether a path without keys is at or above another.
func covers(above, path string) bool {
	return path == above || strings.HasPrefix(path, strings.TrimSuffix(above, "/")+"/")
}

// enforceable is the config without what the platform omits and the device is
// allowed to go without; what it is not allowed to is a mistake.
func (r *rendering) enforceable(t *tree.Tree) *tree.Tree {
	if len(r.omits()) == 0 {
		return t
	}
	out, told := t, ""
	t.Leaves(func(p tree.Path, v *tree.Value) bool {
		i := slices.IndexFunc(r.omits(), func(o entry) bool { return covers(o.text, v.Schema.Path()) })
		if i < 0 {
			return true
		}
		o := r.omits()[i]
		top := slices.Clone(p[:strings.Count(o.text, "/")])
		if slices.ContainsFunc(r.allowed, func(e entry) bool { return covers(e.text, v.Schema.Path()) }) {
			out = out.ReplaceAt(top, nil)
			r.unenforced = append(r.unenforced, p.String())
			return true
		}
		if text := top.String(); text != told {
			told = text
			r.omitted(p, o)
		}
		return true
	})
	return out
}

// omitted reports a value that the device's platform has no place for.
func (r *rendering) omitted(p tree.Path, o entry) {
	m := mistake{
		at: r.at, code: codeOmitted, path: p.String(), msg: fmt.Sprintf("platform %s has no %s", r.platform.name, o.text),
		hint: fmt.Sprintf("leave it out, or list it under allowUnenforced of the Device; %s omits it at %s", r.platform.name, o.at),
	}
	if b := r.origin(p); b != nil {
		if m.at = b.locate(p, ""); b.kind != "" {
			m.msg = fmt.Sprintf("kind %s: %s", b.kind, m.msg)
		}
	}
	r.tell(m)
}

// platforms are a tree's Platform documents by name.
func platforms(list []*platformDoc) map[string]*platformDoc {
	out := make(map[string]*platformDoc, len(list))
	for _, p := range list {
		out[p.name] = p
	}
	return out
}

// alertDoc is an AlertPolicy document: which of the server's channels hear of the
// devices' drift. Channels add up.
type alertDoc struct {
	name     string
	target   target
	channels []string
}

func (d *decoder) alertPolicy(n *node) {
	d.fields(n, "an AlertPolicy", "apiVersion", "kind", "metadata", "for", "spec")
	name, at := d.metadata(n, "AlertPolicy", false)
	a := &alertDoc{name: name}
	var ok bool
	a.target, ok = d.target(n)
	spec := n.get("spec")
	d.fields(spec, "spec of an AlertPolicy", "channels")
	for _, e := range d.texts(spec.get("channels"), "channels") {
		a.channels = append(a.channels, e.text)
	}
	if spec.get("channels").empty() {
		d.add(mistake{at: at, code: codeMissing, msg: "channels are missing", hint: "name entries of the server's alerts: channels: [network]"})
	}
	if name != "" && ok {
		d.alerts = append(d.alerts, a)
	}
}

// alert lets an AlertPolicy speak of a device.
func (s *subject) alert(a *alertDoc) {
	s.Alerts = append(s.Alerts, a.channels...)
	slices.Sort(s.Alerts)
	s.Alerts = slices.Compact(s.Alerts)
}
