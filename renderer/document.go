package renderer

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/setpoint-net/setpoint/models"
)

const (
	apiVersion      = "setpoint/v1"
	defaultPort     = "9339" // IANA: gnmi-gnoi
	defaultPlatform = "openconfig"
	maxPriority     = 999 // kinds render at kindPriority, above every group
)

// Fields and kinds that the format has but this version does not act on. They
// are refused, not passed over: a silent "enforced" would be a lie.
var (
	documentKinds     = []string{"Device", "Group", "Link", "Tenant", "Platform", "Rollout", "DriftPolicy", "AlertPolicy"}
	laterDeviceFields = []string{"decommission"}
)

// deviceDoc is a Device document.
type deviceDoc struct {
	models.Device
	at        place // of metadata.name
	addressAt place
	ownManage []entry
	allowed   []entry // what it may go without, where its platform omits it
	apply     entry   // what it is sent of a difference; empty: as its groups say

	platformName entry

	vars       *node
	varsSum    sum
	openconfig *node
	fragment   given // openconfig
}

// groupDoc is a Group document.
type groupDoc struct {
	name       string
	at         place
	target     target
	priority   int
	manage     []entry
	apply      entry
	vars       *node
	openconfig *node
	fragment   given // openconfig
}

// linkDoc is a Link document: two ports that one cable joins.
type linkDoc struct {
	name string
	at   place
	a, b linkEnd
}

type linkEnd struct {
	device   models.DeviceName
	deviceAt place
	port     string
	portAt   place
	vars     *node // of the port, such as its address on the link
	varsSum  sum
}

// requestDoc is a document of a kind of the library or of the repo's own.
type requestDoc struct {
	kind, name string
	at         place // of metadata.name
	target     target
	spec       *node
	specAt     place  // of the key "spec"
	value      []byte // spec as JSON, for CUE
	specSum    sum
}

// entry is one text of a list with its place.
type entry struct {
	text string
	at   place
}

// target is a document's "for": a selector, or devices by name.
type target struct {
	at       place
	selector selector
	source   string // the selector's text
	devices  []entry
	named    bool // devices, not selector
}

// intent is every document of a config repo, by kind.
type intent struct {
	devices  []*deviceDoc
	groups   []*groupDoc
	links    []*linkDoc
	policies []*policyDoc
	requests []*requestDoc
	tenants  []*tenantDoc

	platforms []*platformDoc
	rollouts  []*rolloutDoc
	alerts    []*alertDoc
}

// join takes another file's documents in.
func (i *intent) join(o *intent) {
	i.devices = append(i.devices, o.devices...)
	i.groups = append(i.groups, o.groups...)
	i.links = append(i.links, o.links...)
	i.policies = append(i.policies, o.policies...)
	i.requests = append(i.requests, o.requests...)
	i.tenants = append(i.tenants, o.tenants...)
	i.platforms = append(i.platforms, o.platforms...)
	i.rollouts = append(i.rollouts, o.rollouts...)
	i.alerts = append(i.alerts, o.alerts...)
}

// decoder turns one file's documents into values, strictly: an unknown field is a
// mistake with a near name. It sees nothing of other files but the names that they
// have taken, because what it makes of a file is kept for the next tree: what
// documents mean for each other is the fleet's.
type decoder struct {
	*ledger
	intent
	kinds *kinds
	names map[string]place
}

func (d *decoder) document(n *node) {
	if n.shape != mapping {
		d.at(n.at, codeDocument, "a document is a mapping with apiVersion, kind, metadata and spec, not %s", n.shape)
		return
	}
	version, kind := n.get("apiVersion"), n.get("kind")
	if version == nil {
		d.add(mistake{at: n.at, code: codeMissing, msg: "apiVersion is missing", hint: "write apiVersion: " + apiVersion})
	} else if version.text != apiVersion {
		d.add(mistake{at: version.at, code: codeAPIVersion, msg: fmt.Sprintf("apiVersion %s is not known", version.brief()), hint: "write apiVersion: " + apiVersion})
	}
	if kind == nil {
		d.at(n.at, codeMissing, "kind is missing")
		return
	}
	switch known := append(slices.Clone(documentKinds), d.kinds.names...); {
	case kind.shape != text:
		d.at(kind.at, codeText, "kind must be text, not %s", kind.shape)
	case kind.text == "Device":
		d.device(n)
	case kind.text == "Group":
		d.group(n)
	case kind.text == "Link":
		d.link(n)
	case kind.text == "DriftPolicy":
		d.policy(n)
	case kind.text == "Tenant":
		d.tenant(n)
	case kind.text == "Platform":
		d.platformDocument(n)
	case kind.text == "Rollout":
		d.rollout(n)
	case kind.text == "AlertPolicy":
		d.alertPolicy(n)
	case slices.Contains(d.kinds.names, kind.text):
		d.request(n, kind.text)
	case d.kinds.mayDefine(kind.text): // its file has a mistake of its own
	default:
		hint := cmp.Or(didYouMean(kind.text, known), `"setpoint kinds" lists those there are`)
		d.add(mistake{at: kind.at, code: codeKindUnknown, msg: fmt.Sprintf("kind %q is not known: it is neither built in nor defined in kinds/*.cue", cut(kind.text, 64)), hint: hint})
	}
}

// fields checks a mapping's field names. Absent and null count as empty.
func (d *decoder) fields(n *node, what string, known ...string) bool {
	if n == nil || n.shape == null {
		return false
	}
	if n.shape != mapping {
		d.at(n.at, codeShape, "%s must be a mapping, not %s", what, n.shape)
		return false
	}
	for _, f := range n.fields {
		if !slices.Contains(known, f.name) {
			d.add(mistake{at: f.at, code: codeField, msg: fmt.Sprintf("%s has no field %q", what, cut(f.name, 64)), hint: didYouMean(f.name, known)})
		}
	}
	return true
}

// text reads a scalar that must be text. YAML reads an unquoted 10 or true as
// something else, and what it would print back may differ from what was
// written (010, 1e3), so those are refused.
func (d *decoder) text(n *node, what string) string {
	switch {
	case n == nil:
	case n.shape == text:
		return n.text
	case n.scalar() && n.shape != null:
		d.add(mistake{at: n.at, code: codeText, msg: fmt.Sprintf("%s must be text; YAML reads %s as %s", what, n.brief(), n.shape), hint: fmt.Sprintf("quote it: %q", n.text)})
	case n.shape == null:
		d.add(mistake{at: n.at, code: codeText, msg: what + " must be text, not nothing", hint: `for empty text write ""`})
	default:
		d.at(n.at, codeText, "%s must be text, not %s", what, n.shape)
	}
	return ""
}

func (d *decoder) texts(n *node, what string) []entry {
	if n == nil || n.shape == null {
		return nil
	}
	if n.shape != sequence {
		d.at(n.at, codeShape, "%s must be a list, not %s", what, n.shape)
		return nil
	}
	var out []entry
	for _, item := range n.items {
		if t := d.text(item, "an entry of "+what); t != "" {
			out = append(out, entry{t, item.at})
		} else if item.shape == text {
			d.at(item.at, codeText, "an entry of %s is empty", what)
		}
	}
	return out
}

// mapped reads a mapping that holds anything (vars, openconfig).
func (d *decoder) mapped(n *node, what string) *node {
	if n == nil || n.shape == null {
		return nil
	}
	if n.shape != mapping {
		d.at(n.at, codeShape, "%s must be a mapping, not %s", what, n.shape)
		return nil
	}
	return n
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

// metadata reads the name, which is unique among documents of its kind. An
// empty name means the document can't be used.
func (d *decoder) metadata(n *node, kind string, labels bool) (string, place) {
	m := n.get("metadata")
	known := []string{"name"}
	if labels {
		known = append(known, "labels")
	}
	d.fields(m, "metadata of a "+kind, known...)
	nameNode := m.get("name")
	if nameNode == nil {
		d.at(n.at, codeMissing, "metadata.name is missing")
		return "", n.at
	}
	name := d.text(nameNode, "metadata.name")
	if name == "" {
		if nameNode.shape == text {
			d.at(nameNode.at, codeName, "metadata.name is empty")
		}
		return "", nameNode.at
	}
	if !nameForm.MatchString(name) {
		d.at(nameNode.at, codeName, "name %q may hold letters, digits, '-', '_' and '.', begins and ends with a letter or digit, and has at most 63 characters", cut(name, 80))
		return "", nameNode.at
	}
	if first, twice := d.names[kind+" "+name]; twice {
		d.at(nameNode.at, codeDuplicateName, "%s %q is defined twice: first at %s", kind, name, first)
		return "", nameNode.at
	}
	d.names[kind+" "+name] = nameNode.at
	return name, nameNode.at
}

func (d *decoder) labels(n *node) map[string]string {
	m := n.get("metadata").get("labels")
	if m == nil || m.shape == null {
		return nil
	}
	if m.shape != mapping {
		d.at(m.at, codeShape, "labels must be a mapping, not %s", m.shape)
		return nil
	}
	out := make(map[string]string, len(m.fields))
	for _, f := range m.fields {
		value := d.text(f.value, "label "+f.name)
		switch {
		case !labelWord.MatchString(f.name):
			d.at(f.at, codeLabel, "label name %q may hold letters, digits, '-', '_', '.' and '/', at most 63", cut(f.name, 80))
		case value != "" && !labelWord.MatchString(value):
			d.at(f.value.at, codeLabel, "label value %q may hold letters, digits, '-', '_', '.' and '/', at most 63", cut(value, 80))
		default:
			out[f.name] = value
		}
	}
	return out
}

func (d *decoder) device(n *node) {
	d.fields(n, "a Device", "apiVersion", "kind", "metadata", "spec")
	name, at := d.metadata(n, "Device", true)
	dev := &deviceDoc{at: at}
	dev.Labels = d.labels(n)
	spec := n.get("spec")
	if spec == nil {
		d.at(n.at, codeMissing, "spec is missing")
	}
	known := []string{"address", "platform", "credentials", "manage", "adopt", "apply", "redundancy", "allowUnenforced", "vars", "openconfig"}
	d.fields(spec, "spec of a Device", append(known, laterDeviceFields...)...)
	for _, later := range laterDeviceFields {
		if v := spec.get(later); !v.empty() && v.text != "false" {
			d.add(mistake{
				at: v.at, code: codeUnsupported, msg: later + " is not supported by this version yet",
				hint: "a device whose document is removed is released: nothing is written to it, and what it runs stays",
			})
		}
	}
	dev.Name = models.DeviceName(name)
	d.address(dev, n, spec)
	// What the device's session goes by is the profile that is built in.
	dev.Platform = defaultPlatform
	if p := spec.get("platform"); !p.empty() {
		dev.platformName = entry{d.text(p, "platform"), p.at}
	}
	dev.allowed = d.schemaPaths(spec.get("allowUnenforced"), "allowUnenforced")
	dev.Credentials = d.text(spec.get("credentials"), "credentials")
	if spec != nil && spec.get("credentials").empty() {
		d.add(mistake{at: spec.at, code: codeMissing, msg: "credentials are missing", hint: "name an entry of the server's credentials"})
	}
	dev.ownManage = d.manage(spec.get("manage"))
	dev.Adopt = d.adopt(spec.get("adopt"))
	dev.apply = d.apply(spec.get("apply"))
	dev.Redundancy = d.text(spec.get("redundancy"), "redundancy")
	dev.vars = d.vars(spec.get("vars"))
	dev.openconfig = d.mapped(spec.get("openconfig"), "openconfig")
	dev.varsSum, dev.fragment = sumOf(dev.vars), about(dev.openconfig)
	if name != "" {
		d.devices = append(d.devices, dev)
	}
}

func (d *decoder) address(dev *deviceDoc, n, spec *node) {
	a := spec.get("address")
	dev.addressAt = dev.at
	if a.empty() {
		if spec != nil {
			d.add(mistake{at: spec.at, code: codeMissing, msg: "address is missing", hint: "write host or host:port"})
		}
		return
	}
	dev.addressAt = a.at
	s := d.text(a, "address")
	if s == "" {
		return
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = s, defaultPort
		if inner, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(inner, "]") {
			host = strings.TrimSuffix(inner, "]")
		}
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 || !isHost(host) {
		d.add(mistake{at: a.at, code: codeAddress, msg: fmt.Sprintf("address %q is not host:port", cut(s, 80)), hint: `for example "192.0.2.11:9339", "[2001:db8::1]:9339" or "leaf01.example.net"`})
		return
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.String()
	}
	dev.Address = net.JoinHostPort(strings.ToLower(host), strconv.FormatUint(number, 10))
}

// hostForm admits names (RFC 1123).
var hostForm = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?\.?$`)

// isHost tells whether a text is an IP address or a name. A name whose last part is
// a number is an address with a slip.
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	last := strings.TrimSuffix(s, ".")
	last = last[strings.LastIndexByte(last, '.')+1:]
	_, err := strconv.ParseUint(last, 10, 64)
	return err != nil && hostForm.MatchString(s)
}

func (d *decoder) adopt(n *node) models.Adopt {
	switch s := d.text(n, "adopt"); models.Adopt(s) {
	case models.AdoptApprove, models.AdoptAuto:
		return models.Adopt(s)
	case "":
	default:
		d.add(mistake{at: n.at, code: codeAdopt, msg: fmt.Sprintf("adopt %q is not known", cut(s, 64)), hint: "known: approve, auto"})
	}
	return models.AdoptApprove
}

// vars are free, but hold no null (is it absent or empty?) and no reference:
// nothing would replace it.
func (d *decoder) vars(n *node) *node {
	n = d.mapped(n, "vars")
	if n != nil {
		d.varValues(n)
	}
	return n
}

func (d *decoder) varValues(n *node) {
	for _, f := range n.fields {
		d.varValues(f.value)
	}
	for _, item := range n.items {
		d.varValues(item)
	}
	switch {
	case n.shape == null:
		d.add(mistake{at: n.at, code: codeNull, msg: "a var needs a value", hint: `for empty text write ""`})
	case n.shape == text && strings.Contains(n.text, "${"):
		d.at(n.at, codeReference, "a var holds no ${…}: references are replaced in openconfig alone")
	case n.doubtful():
		d.add(ambiguous(n))
	case n.shape == text && !n.quoted && yesNo(n.text) != "":
		d.add(mistake{
			at: n.at, code: codeAmbiguous, msg: n.text + " is an ambiguous word: it may be meant as a boolean",
			hint: fmt.Sprintf("write %s, or quote it for the text %q", yesNo(n.text), n.text),
		})
	}
}

// specReference is what would be a reference in a fragment. Any other "${" may be
// meant as it stands.
var specReference = regexp.MustCompile(`\$\{(name\}|labels\.|vars\.)`)

// scalars refuses what of a spec can't be meant as it stands, before its kind is
// asked: ambiguous numbers, nothing at all, references.
func (d *decoder) scalars(n *node) bool {
	ok := true
	switch {
	case n.doubtful():
		d.add(ambiguous(n))
		ok = false
	case n.shape == null:
		d.add(mistake{at: n.at, code: codeNull, msg: "a field of a spec needs a value", hint: `leave it out, or write "" for empty text`})
		ok = false
	case n.shape == text && specReference.MatchString(n.text):
		d.at(n.at, codeReference, "a spec holds no ${…}: references are replaced in openconfig alone, and a kind sees the device by itself")
		ok = false
	}
	for _, f := range n.fields {
		ok = d.scalars(f.value) && ok
	}
	for _, item := range n.items {
		ok = d.scalars(item) && ok
	}
	return ok
}

func (d *decoder) group(n *node) {
	d.fields(n, "a Group", "apiVersion", "kind", "metadata", "for", "spec")
	name, at := d.metadata(n, "Group", false)
	g := &groupDoc{name: name, at: at}
	var ok bool
	g.target, ok = d.target(n)
	spec := n.get("spec")
	d.fields(spec, "spec of a Group", "priority", "manage", "apply", "vars", "openconfig")
	g.priority = d.priority(spec.get("priority"))
	g.manage = d.manage(spec.get("manage"))
	g.apply = d.apply(spec.get("apply"))
	g.vars = d.vars(spec.get("vars"))
	g.openconfig = d.mapped(spec.get("openconfig"), "openconfig")
	g.fragment = about(g.openconfig)
	if name != "" && ok {
		d.groups = append(d.groups, g)
	}
}

func (d *decoder) priority(n *node) int {
	if n == nil {
		return 0
	}
	v, err := strconv.Atoi(n.text)
	if n.shape != integer || !plain.MatchString(n.text) || err != nil || v < 0 || v > maxPriority {
		d.at(n.at, codePriority, "priority must be an integer from 0 to %d, not %s", maxPriority, n.brief())
		return 0
	}
	return v
}

// target reads "for". ok is false when nobody can say what it means.
func (d *decoder) target(n *node) (t target, ok bool) {
	f := n.get("for")
	if f.empty() {
		d.add(mistake{at: n.at, code: codeMissing, msg: "for is missing", hint: "write for: {selector: role=leaf} or for: {devices: [leaf01]}"})
		return t, false
	}
	if d.splitSelector(f) || !d.fields(f, "for", "selector", "devices") {
		return t, false
	}
	t.at = f.at
	sel, devices := f.get("selector"), f.get("devices")
	switch {
	case sel != nil && devices != nil:
		d.at(f.at, codeFor, "for takes a selector or devices, not both")
		return t, false
	case devices != nil:
		t.at, t.named = devices.at, true
		t.devices = d.texts(devices, "devices")
		if devices.empty() {
			d.at(devices.at, codeFor, "devices is empty")
		}
		return t, true
	case sel != nil:
		return d.selector(sel)
	}
	return t, false
}

// splitSelector finds a selector without quotes that a comma has cut: within {} that
// ends the value, and what follows becomes fields without values.
func (d *decoder) splitSelector(f *node) bool {
	if f.shape != mapping || len(f.fields) < 2 || f.fields[0].name != "selector" {
		return false
	}
	sel := f.fields[0].value
	whole := sel.text
	for _, rest := range f.fields[1:] {
		if rest.value.shape != null || rest.value.text != "" || slices.Contains([]string{"selector", "devices"}, rest.name) {
			return false
		}
		whole += "," + rest.name
	}
	if sel.shape != text || sel.quoted {
		return false
	}
	d.add(mistake{at: f.fields[1].at, code: codeSelector, msg: "a comma ends the selector: within {} a text with commas needs quotes", hint: fmt.Sprintf("write selector: %q", cut(whole, 200))})
	return true
}

func (d *decoder) selector(n *node) (t target, ok bool) {
	t.at = n.at
	if n.shape == null {
		d.at(n.at, codeSelector, `selector is empty: for every device write "*"`)
		return t, false
	}
	if n.shape != text {
		d.text(n, "selector")
		return t, false
	}
	s, err := parseSelector(n.text)
	if err != nil {
		at := n.at
		if e, is := err.(*selectorError); is && !strings.Contains(n.text, "\n") {
			at.column += len([]rune(n.text[:e.offset]))
			if n.quoted {
				at.column++
			}
		}
		d.add(mistake{at: at, code: codeSelector, msg: err.Error(), hint: "for example: role=leaf,site in (lon1,lon2),!legacy"})
		return t, false
	}
	t.selector, t.source = s, n.text
	return t, true
}

func (d *decoder) link(n *node) {
	d.fields(n, "a Link", "apiVersion", "kind", "metadata", "spec")
	name, at := d.metadata(n, "Link", false)
	spec := n.get("spec")
	if spec.empty() {
		d.at(n.at, codeMissing, "spec is missing")
		return
	}
	d.fields(spec, "spec of a Link", "a", "b")
	a, okA := d.linkEnd(spec, "a")
	b, okB := d.linkEnd(spec, "b")
	if name != "" && okA && okB {
		d.links = append(d.links, &linkDoc{name: name, at: at, a: a, b: b})
	}
}

func (d *decoder) linkEnd(spec *node, end string) (linkEnd, bool) {
	n := spec.get(end)
	if n.empty() {
		d.add(mistake{at: spec.at, code: codeMissing, msg: "end " + end + " is missing", hint: "write " + end + ": {device: leaf01, port: Ethernet1}"})
		return linkEnd{}, false
	}
	d.fields(n, "end "+end+" of a Link", "device", "port", "vars")
	device, port := n.get("device"), n.get("port")
	for what, v := range map[string]*node{"device": device, "port": port} {
		if v.empty() {
			d.at(n.at, codeMissing, "%s is missing", what)
		}
	}
	e := linkEnd{device: models.DeviceName(d.text(device, "device")), port: d.text(port, "port"), vars: d.vars(n.get("vars"))}
	if e.device == "" || e.port == "" {
		return e, false
	}
	e.deviceAt, e.portAt = device.at, port.at
	e.varsSum = sumOf(e.vars)
	return e, true
}

func (d *decoder) request(n *node, kind string) {
	d.fields(n, "a document of kind "+kind, "apiVersion", "kind", "metadata", "for", "spec")
	name, at := d.metadata(n, kind, false)
	r := &requestDoc{kind: kind, name: name, at: at, specAt: at}
	var ok bool
	r.target, ok = d.target(n)
	for _, f := range n.fields {
		if f.name == "spec" {
			r.spec, r.specAt = d.mapped(f.value, "spec"), f.at
		}
	}
	if r.spec == nil {
		r.spec = &node{at: r.specAt, shape: mapping}
	}
	ok = d.scalars(r.spec) && ok
	r.value, r.specSum = appendPlain(nil, plainValue(r.spec)), sumOf(r.spec)
	if name != "" && ok {
		d.requests = append(d.requests, r)
	}
}
