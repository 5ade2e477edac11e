package renderer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// A tenant may write what lies in its folder, and what lies there may do no more
// than the Tenant document grants. The rule is held at two places, neither of
// which trusts a name:
//
//   - a document in the folder is of a granted kind, or a mistake. Groups, Links,
//     policies and all that speaks of devices are the network's own;
//   - what a granted kind brings forth for a device is looked at leaf by leaf,
//     whatever its spec calls its fields: it lies under the entry in
//     /interfaces/interface of a port that the tenant has on that device, or under
//     one of the Tenant's paths, or says what the network's own documents say
//     already. A leaf that refers to an interface, such as aggregate-id, names one
//     of the tenant's; and where the Tenant lists VLANs, each VLAN is one of them.
//
// No two tenants have a port, or a folder, in common.

// maxGrant is how many ports one tenant may have on one device.
const maxGrant = 4096

// tenantDoc is a Tenant document.
type tenantDoc struct {
	name     string
	at       place
	folder   string
	folderAt place
	ports    []portGrant
	kinds    []entry
	paths    []entry
	vlans    []vlanRun // empty: any
}

// tenant is a Tenant document in a tree: what it grants there. A nil tenant is the
// network itself, which is held to nothing.
type tenant struct {
	*tenantDoc
	granted map[models.DeviceName]map[string]bool
	shared  []string // paths that are sound
}

// portGrant is what a Tenant says of one device.
type portGrant struct {
	device models.DeviceName
	at     place
	ranges []entry
}

func (g portGrant) String() string {
	var texts []string
	for _, e := range g.ranges {
		texts = append(texts, e.text)
	}
	return strings.Join(texts, ", ")
}

type vlanRun struct{ first, last int }

// folderForm is a folder that reads the same everywhere: no "." or "..", nothing
// hidden, nothing that one file system takes for another name's.
var folderForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$`)

func (d *decoder) tenant(n *node) {
	d.fields(n, "a Tenant", "apiVersion", "kind", "metadata", "spec")
	name, at := d.metadata(n, "Tenant", false)
	t := &tenantDoc{name: name, at: at}
	spec := n.get("spec")
	if spec.empty() {
		d.at(n.at, codeMissing, "spec is missing")
		return
	}
	d.fields(spec, "spec of a Tenant", "folder", "ports", "kinds", "paths", "vlans")
	ok := d.folder(t, spec)
	t.ports = d.portGrants(spec.get("ports"))
	t.kinds = d.texts(spec.get("kinds"), "kinds")
	if spec.get("kinds").empty() {
		d.add(mistake{at: spec.at, code: codeMissing, msg: "kinds are missing", hint: "write kinds: [AccessPorts], or remove the Tenant"})
	}
	t.paths = d.texts(spec.get("paths"), "paths")
	if spec.get("ports").empty() && len(t.paths) == 0 {
		d.add(mistake{at: spec.at, code: codeMissing, msg: "ports are missing", hint: `write ports: {leaf01: ["Ethernet[1-24]"]}`})
	}
	t.vlans = d.vlanGrants(spec.get("vlans"))
	if name != "" && ok {
		d.tenants = append(d.tenants, t)
	}
}

// folder reads a tenant's folder, as it is written from the root.
func (d *decoder) folder(t *tenantDoc, spec *node) bool {
	n := spec.get("folder")
	if n.empty() {
		d.add(mistake{at: spec.at, code: codeMissing, msg: "folder is missing", hint: "write folder: tenants/" + cmp.Or(t.name, "tenant-a")})
		return false
	}
	t.folder, t.folderAt = d.text(n, "folder"), n.at
	if t.folder == "" {
		return false
	}
	m := mistake{at: n.at, code: codeTenantFolder, hint: "for example folder: tenants/" + cmp.Or(t.name, "tenant-a")}
	first, _, _ := strings.Cut(t.folder, "/")
	switch {
	case !folderForm.MatchString(t.folder):
		m.msg = fmt.Sprintf("folder %q is not a folder's path from the root, such as tenants/tenant-a", cut(t.folder, 80))
		if plain := path.Clean(t.folder); folderForm.MatchString(plain) {
			m.hint = "write folder: " + plain
		}
	case strings.EqualFold(first, "kinds") || strings.EqualFold(first, "policies"):
		m.msg = fmt.Sprintf("folder %s would let a tenant write %s", t.folder, strings.ToLower(first))
	default:
		return true
	}
	d.add(m)
	return false
}

func (d *decoder) portGrants(n *node) []portGrant {
	if n.empty() {
		return nil
	}
	if n.shape != mapping {
		d.at(n.at, codeShape, "ports must be a mapping of devices to lists of ports, not %s", n.shape)
		return nil
	}
	var out []portGrant
	for _, f := range n.fields {
		g := portGrant{device: models.DeviceName(f.name), at: f.at, ranges: d.texts(f.value, "ports of "+cut(f.name, 64))}
		if f.value.empty() {
			d.add(mistake{at: f.at, code: codeMissing, msg: fmt.Sprintf("ports of %s are missing", cut(f.name, 64)), hint: `write ["Ethernet[1-24]"], or leave the device out`})
		}
		out = append(out, g)
	}
	return out
}

func (d *decoder) vlanGrants(n *node) []vlanRun {
	if n == nil || n.shape == null {
		return nil
	}
	if n.shape != sequence || n.empty() {
		d.add(mistake{at: n.at, code: codeShape, msg: "vlans must be a list of VLANs, not " + n.brief(), hint: "write vlans: [10, 100..199]; without vlans the tenant may use any"})
		return nil
	}
	var out []vlanRun
	for _, item := range n.items {
		runs, ok := vlanRuns(item.text)
		if !ok || !item.scalar() {
			d.add(mistake{at: item.at, code: codeTenantVLAN, msg: fmt.Sprintf("%s is no VLAN and no range of VLANs", item.brief()), hint: "for example 10, or 100..199"})
			continue
		}
		out = append(out, runs...)
	}
	return out
}

// vlanRuns are the VLANs that a leaf's text speaks of: "10", "100..199", and of
// stacked tags ("100.200") both. IEEE 802.1Q has 1 to 4094.
func vlanRuns(text string) ([]vlanRun, bool) {
	number := func(s string) (int, bool) {
		v, err := strconv.Atoi(s)
		return v, err == nil && v >= 1 && v <= 4094 && strconv.Itoa(v) == s
	}
	if a, b, ok := strings.Cut(text, ".."); ok {
		first, ok1 := number(a)
		last, ok2 := number(b)
		return []vlanRun{{first, last}}, ok1 && ok2 && first <= last
	}
	var out []vlanRun
	for part := range strings.SplitSeq(text, ".") {
		v, ok := number(part)
		if !ok {
			return nil, false
		}
		out = append(out, vlanRun{v, v})
	}
	return out, len(out) <= 2
}

// folderOf is the nearest folder above a file that is meant, "" for none.
func folderOf(file string, meant func(folder string) bool) string {
	for dir := path.Dir(file); dir != "."; dir = path.Dir(dir) {
		if meant(dir) {
			return dir
		}
	}
	return ""
}

// tenancy finds out who the tenants are, and what stands in their folders.
func (f *fleet) tenancy(d *decoder, src *sources) {
	folders := make(map[string]*tenant) // in lower case
	for _, doc := range d.tenants {
		if t := (&tenant{doc, make(map[models.DeviceName]map[string]bool), nil}); f.housed(d.ledger, t, src.folders) {
			f.tenants = append(f.tenants, t)
			folders[strings.ToLower(t.folder)] = t
		}
	}
	if len(f.tenants) == 0 {
		return
	}
	above := func(file string) (string, *tenant) {
		dir := folderOf(file, func(dir string) bool { return folders[strings.ToLower(dir)] != nil })
		return dir, folders[strings.ToLower(dir)]
	}
	for _, p := range f.files {
		dir, t := above(p.name)
		if t != nil && dir != t.folder { // to people, and on some file systems, it is the tenant's
			d.add(mistake{
				at: place{file: p.name}, code: codeTenantFolder, msg: fmt.Sprintf("%s differs from %s, the folder of %s, in case alone", dir, t.folder, t.name),
				hint: "move the file",
			})
		} else if t != nil {
			for _, n := range p.docs {
				t.admit(d, n.get("kind"))
			}
		}
	}
	for _, file := range src.strayCUE {
		if dir, t := above(file); t != nil {
			d.add(mistake{
				at: place{file: file}, code: codeTenantKind, msg: fmt.Sprintf("CUE is the network's own: it may not lie in %s, the folder of %s", dir, t.name),
				hint: "kinds are read from kinds/*.cue, policies from policies/*.cue",
			})
		}
	}
	f.residents = make(map[*requestDoc]*tenant)
	for _, q := range d.requests {
		if _, t := above(q.at.file); t != nil {
			f.residents[q] = t
		}
	}
}

// housed tells whether a tenant has a folder, and has it by itself.
func (f *fleet) housed(l *ledger, t *tenant, all []string) bool {
	m := mistake{at: t.folderAt, code: codeTenantFolder}
	if !slices.Contains(all, t.folder) {
		deep := func(f string) bool { return strings.Count(f, "/") != strings.Count(t.folder, "/") }
		m.msg = fmt.Sprintf("folder %s is not in the config repo", t.folder)
		m.hint = joined("a new tenant's folder may hold a README.md for now", didYouMean(t.folder, slices.DeleteFunc(slices.Clone(all), deep)))
		l.add(m)
		return false
	}
	for _, o := range f.tenants {
		a, b := strings.ToLower(o.folder)+"/", strings.ToLower(t.folder)+"/"
		if strings.HasPrefix(a, b) || strings.HasPrefix(b, a) {
			m.msg = fmt.Sprintf("folder %s overlaps %s of %s at %s", t.folder, o.folder, o.name, o.at)
			m.hint = "give each tenant a folder of its own, not inside another's"
			l.add(m)
			return false
		}
	}
	return true
}

// admit reports a document that may not stand in the tenant's folder.
func (t *tenant) admit(d *decoder, kind *node) {
	switch {
	case kind == nil || t.mayAsk(kind.text):
	case slices.Contains(documentKinds, kind.text):
		d.add(mistake{
			at: kind.at, code: codeTenantKind, msg: fmt.Sprintf("a %s is the network's own: it may not stand in %s, the folder of %s", kind.text, t.folder, t.name),
			hint: "granted there: " + texts(t.kinds),
		})
	case slices.Contains(d.kinds.names, kind.text):
		d.add(mistake{
			at: kind.at, code: codeTenantKind, msg: fmt.Sprintf("%s may not ask for kind %s", t.name, kind.text),
			hint: fmt.Sprintf("granted: %s (%s)", texts(t.kinds), t.at),
		})
	}
}

func (t *tenant) mayAsk(kind string) bool {
	return slices.ContainsFunc(t.kinds, func(e entry) bool { return e.text == kind })
}

// title is how messages call a request.
func (t *tenant) title(q *requestDoc) string {
	if t == nil {
		return q.kind + " " + q.name
	}
	return q.kind + " " + q.name + " of " + t.name
}

// limits writes what the tenant may set on a device: a config that was sound is so
// only within the same limits.
func (t *tenant) limits(in *summing, s *subject) {
	if t == nil {
		in.mark('n')
		return
	}
	in.mark('t')
	in.texts(slices.Sorted(maps.Keys(t.granted[s.Name])))
	in.texts(t.shared)
	in.number(len(t.vlans))
	for _, r := range t.vlans {
		in.number(r.first)
		in.number(r.last)
	}
}

func texts(list []entry) string {
	out := make([]string, 0, len(list))
	for _, e := range list {
		out = append(out, e.text)
	}
	return strings.Join(out, ", ")
}

// grants settles what the tenants are granted.
func (f *fleet) grants(l *ledger, byName map[models.DeviceName]*subject) {
	owners := make(map[models.DeviceName]map[string]portOwner)
	for _, t := range f.tenants {
		f.tenantKinds(l, t)
		for _, g := range t.ports {
			if f.known(l, g.device, g.at, byName) == nil {
				continue
			}
			if owners[g.device] == nil {
				owners[g.device] = make(map[string]portOwner)
			}
			t.grant(l, g, owners[g.device])
		}
		for _, e := range t.paths {
			if _, err := tree.NewScope(f.schema, []string{e.text}); err != nil || strings.HasPrefix(e.text, "!") || e.text == "/" {
				msg := fmt.Sprintf("%q grants nothing, or everything", cut(e.text, 80))
				if err != nil {
					msg = err.Error()
				}
				l.add(mistake{at: e.at, code: codeManage, msg: msg, hint: "for example /network-instances/network-instance[name=default]/vlans/vlan[vlan-id=10]"})
				continue
			}
			t.shared = append(t.shared, e.text)
		}
	}
}

func (f *fleet) tenantKinds(l *ledger, t *tenant) {
	for _, e := range t.kinds {
		switch {
		case slices.Contains(documentKinds, e.text):
			l.add(mistake{at: e.at, code: codeTenantKind, msg: fmt.Sprintf("a %s is the network's own: it can't be granted", e.text)})
		case !slices.Contains(f.kinds.names, e.text) && !f.kinds.mayDefine(e.text):
			l.add(mistake{at: e.at, code: codeKindUnknown, msg: fmt.Sprintf("kind %q is not known: it is neither built in nor defined in kinds/*.cue", cut(e.text, 64)), hint: didYouMean(e.text, f.kinds.names)})
		}
	}
}

// portOwner is whose a port is, and where that is said.
type portOwner struct {
	tenant *tenant
	at     place
}

// grant gives a tenant ports of a device. Ports that differ in case alone count
// as one between tenants: to some devices they are.
func (t *tenant) grant(l *ledger, g portGrant, owners map[string]portOwner) {
	ports := make(map[string]bool)
	for _, e := range g.ranges {
		names, err := expandPorts(e.text)
		if err == nil && strings.ContainsAny(e.text, "*!") {
			err = fmt.Errorf("%q: a grant names ports, or ranges of numbers", cut(e.text, 64))
		}
		if err == nil && len(ports)+len(names) > maxGrant {
			err = fmt.Errorf("%q: a tenant may have %d ports of one device", cut(e.text, 64), maxGrant)
		}
		if err != nil {
			l.add(mistake{at: e.at, code: codePort, msg: err.Error(), hint: `for example "Ethernet[1-24]", "Ethernet[1,3,5-8]" or "et-0/0/[0-47]"`})
			continue
		}
		for _, name := range names {
			o, taken := owners[strings.ToLower(name)]
			if taken && o.tenant != t {
				l.add(mistake{
					at: e.at, code: codeTenantPort, subject: o.tenant.name,
					msg:  fmt.Sprintf("%s on %s is granted to %s at %s", name, g.device, o.tenant.name, o.at),
					hint: "a port has one tenant",
				})
				continue
			}
			owners[strings.ToLower(name)] = portOwner{t, e.at}
			ports[name] = true
		}
	}
	t.granted[g.device] = ports
}

// reaches tells whether the tenant has anything to ask for on a device. What is
// wrong with its grants is told there.
func (t *tenant) reaches(name models.DeviceName) bool {
	return len(t.paths) > 0 || slices.ContainsFunc(t.ports, func(g portGrant) bool { return g.device == name })
}

// grantedOn is what the tenant's Tenant document says of a device's ports.
func (t *tenant) grantedOn(name models.DeviceName) string {
	for _, g := range t.ports {
		if g.device == name {
			return g.String()
		}
	}
	return "none"
}

// uninvited reports a request for a device that its tenant has nothing on.
func (t *tenant) uninvited(l *ledger, q *requestDoc, s *subject) {
	at := q.target.at
	for _, e := range q.target.devices {
		if e.text == string(s.Name) {
			at = e.at
		}
	}
	var names []string
	for _, g := range t.ports {
		names = append(names, string(g.device))
	}
	slices.Sort(names)
	l.add(mistake{
		at: at, code: codeTenantPort, subject: t.name, device: s.Name,
		msg:  fmt.Sprintf("%s is granted no port", t.name),
		hint: "it has ports on " + someOf(names),
	})
}

func someOf(names []string) string {
	if n := len(names); n > 6 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:5], ", "), n-5)
	}
	return strings.Join(names, ", ")
}

// confine holds what tenants' requests bring to the device to what they are
// granted there. A request that is refused brings nothing: what it would tie with
// is not told as a second mistake.
func (r *rendering) confine() {
	var refused []*built
	for _, b := range r.layers {
		if b.tenant == nil {
			continue
		}
		c := confinement{rendering: r, built: b, tenant: b.tenant, foreign: make(map[string][]string)}
		before := len(r.mistakes)
		c.look()
		c.report()
		if len(r.mistakes) > before {
			refused = append(refused, b)
		}
	}
	if len(refused) > 0 {
		r.partial = true
		r.layers = slices.DeleteFunc(r.layers, func(b *built) bool { return slices.Contains(refused, b) })
	}
}

// confinement is one look at what one request brings to one device.
type confinement struct {
	*rendering
	built   *built
	tenant  *tenant
	network *tree.Tree          // what the network's own documents say; made when it is asked for
	foreign map[string][]string // ports by whose they are
	last    string              // the path told last
}

func (c *confinement) look() {
	inside := c.allowance().Filter(c.built.tree)
	c.built.tree.Leaves(func(p tree.Path, v *tree.Value) bool {
		switch port := interfaceOf(p); {
		case inside.Lookup(p) == nil && c.repeats(p, v):
		case inside.Lookup(p) == nil && port != "":
			c.claims(port)
		case inside.Lookup(p) == nil:
			c.outside(p, inside)
		case namesInterface(v.Schema):
			for _, name := range valuesOf(v) {
				if !c.has(name) && !c.repeats(p, v) {
					c.claims(name)
				}
			}
		}
		c.vlans(p, v)
		return true
	})
}

// allowance is what the tenant may set on the device.
func (c *confinement) allowance() *tree.Scope {
	paths := slices.Clone(c.tenant.shared)
	for _, port := range slices.Sorted(maps.Keys(c.tenant.granted[c.Name])) {
		paths = append(paths, tree.Path{{Name: "interfaces"}, {Name: "interface", Keys: []tree.KeyValue{{Name: "name", Value: port}}}}.String())
	}
	scope, err := tree.NewScope(c.schema, paths)
	if err != nil { // each was looked at before
		scope, _ = tree.NewScope(c.schema, nil)
	}
	return scope
}

func (c *confinement) has(port string) bool { return c.tenant.granted[c.Name][port] }

// interfaceOf is the port whose entry in /interfaces/interface a path goes
// through, "" for none.
func interfaceOf(p tree.Path) string {
	if len(p) > 1 && p[0].Name == "interfaces" && p[1].Name == "interface" && len(p[1].Keys) == 1 {
		return p[1].Keys[0].Value
	}
	return ""
}

// namesInterface tells whether a leaf's value is the name of an interface, other
// than that of its own entry.
func namesInterface(n *tree.Node) bool {
	switch n.Type.Target {
	case "/interfaces/interface/name":
		return true
	case "/interfaces/interface/config/name":
		return n.Path() != "/interfaces/interface/name"
	}
	return false
}

// valuesOf are a leaf's value or a leaf-list's values, as text.
func valuesOf(v *tree.Value) []string {
	if v.Schema.Kind != tree.LeafList {
		return []string{v.Text()}
	}
	d := json.NewDecoder(bytes.NewReader(v.JSON()))
	d.UseNumber()
	var list []any
	if err := d.Decode(&list); err != nil { // a tree's own JSON
		return []string{v.Text()}
	}
	out := make([]string, 0, len(list))
	for _, one := range list {
		out = append(out, fmt.Sprint(one))
	}
	return out
}

// repeats tells whether the network's own documents, taken by themselves, set the
// leaf to this value: the request brings nothing about.
func (c *confinement) repeats(p tree.Path, v *tree.Value) bool {
	if c.network == nil {
		own := *c.rendering
		own.layers, own.mistakes = nil, nil
		for _, b := range c.layers {
			if b.tenant == nil {
				own.layers = append(own.layers, b)
			}
		}
		c.network = own.merge()
	}
	o := c.network.Lookup(p)
	return o != nil && o.SameAs(v)
}

// claims notes a port that is not the tenant's.
func (c *confinement) claims(port string) {
	owner := c.ownerOf(port)
	if !slices.Contains(c.foreign[owner], port) {
		c.foreign[owner] = append(c.foreign[owner], port)
	}
}

// ownerOf says whose a port is: a tenant and its requests, or the network's own
// documents; "" for nobody's.
func (c *confinement) ownerOf(port string) string {
	for _, t := range c.tenants {
		if t.granted[c.Name][port] {
			if asked := c.askers(port, t); asked != "" {
				return fmt.Sprintf("%s (%s)", t.name, asked)
			}
			return t.name
		}
	}
	if asked := c.askers(port, nil); asked != "" {
		return fmt.Sprintf("the network (%s)", asked)
	}
	return ""
}

// askers are the documents of a tenant, or of none, that set the port.
func (c *confinement) askers(port string, t *tenant) string {
	var out []string
	p := tree.Path{{Name: "interfaces"}, {Name: "interface", Keys: []tree.KeyValue{{Name: "name", Value: port}}}}
	for _, b := range c.layers {
		switch {
		case b == c.built || b.tree.Lookup(p) == nil:
		case b.request == nil && t == nil:
			out = append(out, b.title)
		case b.tenant != t:
		case t == nil:
			out = append(out, b.request.kind+" "+b.request.name)
		default:
			out = append(out, b.request.name)
		}
	}
	return strings.Join(slices.Compact(out), ", ")
}

func (c *confinement) report() {
	for _, owner := range slices.Sorted(maps.Keys(c.foreign)) {
		c.refuse(owner, c.foreign[owner])
	}
}

// refuse reports the ports of one owner that the request is for.
func (c *confinement) refuse(owner string, ports []string) {
	q := c.built.request
	at := q.specAt
	if n := q.spec.findPort(ports[0]); n != nil {
		at = n.at
	}
	what, belongs, are, it := ports[0], "belongs", "is", "it"
	if n := len(ports); n > 1 {
		what, belongs, are, it = fmt.Sprintf("%s and %d more", ports[0], n-1), "belong", "are", "them"
	}
	m := mistake{
		at: at, code: codeTenantPort, subject: owner, device: c.Name, named: true,
		msg:  fmt.Sprintf("%s on %s %s to %s, and %s (%s) asks for %s", what, c.Name, belongs, owner, c.tenant.name, q.name, it),
		hint: fmt.Sprintf("%s has there: %s (%s)", c.tenant.name, c.tenant.grantedOn(c.Name), c.tenant.at),
	}
	if owner == "" {
		m.msg = fmt.Sprintf("%s on %s %s not granted to %s, and %s asks for %s", what, c.Name, are, c.tenant.name, q.name, it)
	}
	c.mistakes = append(c.mistakes, m)
}

// outside reports a path that the tenant is not granted: the whole entry or
// container, where all of it is outside.
func (c *confinement) outside(p tree.Path, inside *tree.Tree) {
	for i := range p {
		if inside.Lookup(p[:i+1]) == nil {
			p = p[:i+1]
			break
		}
	}
	text := p.String()
	if text == c.last {
		return
	}
	c.last = text
	c.tell(mistake{
		at: c.built.request.specAt, code: codeTenantPath, path: text,
		msg:  fmt.Sprintf("kind %s: %s is more than %s is granted", c.built.kind, text, c.tenant.name),
		hint: fmt.Sprintf("a tenant sets its ports under /interfaces alone, and what paths of its Tenant lists (%s)", c.tenant.at),
	})
}

// vlans holds a leaf to the tenant's VLANs.
func (c *confinement) vlans(p tree.Path, v *tree.Value) {
	if len(c.tenant.vlans) == 0 {
		return
	}
	n := v.Schema
	if n.Name == "interface-mode" && v.Text() == "TRUNK" {
		trunk := append(slices.Clone(p[:len(p)-1]), tree.Elem{Name: "trunk-vlans"})
		if c.built.tree.Lookup(trunk) == nil && !c.repeats(p, v) {
			c.vlan(p, "a trunk without VLANs carries all")
		}
	}
	if !speaksOfVLANs(n.Type) {
		return
	}
	for _, one := range valuesOf(v) {
		runs, ok := vlanRuns(one)
		if (!ok || slices.ContainsFunc(runs, func(r vlanRun) bool { return !c.tenant.hasVLANs(r) })) && !c.repeats(p, v) {
			c.vlan(p, one)
		}
	}
}

func (c *confinement) vlan(p tree.Path, text string) {
	q := c.built.request
	at := q.specAt
	if n := q.spec.findText(text); n != nil {
		at = n.at
	}
	msg := fmt.Sprintf("VLAN %s is not granted to %s (%s)", text, c.tenant.name, q.name)
	if _, ok := vlanRuns(text); !ok {
		msg = fmt.Sprintf("%s, and the VLANs of %s are limited (%s)", text, c.tenant.name, q.name)
	}
	c.tell(mistake{
		at: at, code: codeTenantVLAN, subject: text, path: p.String(), msg: msg,
		hint: fmt.Sprintf("granted: %s (%s)", c.tenant.vlanText(), c.tenant.at),
	})
}

// hasVLANs tells whether each VLAN of a run is granted.
func (t *tenant) hasVLANs(r vlanRun) bool {
	for v := r.first; v <= r.last; v++ {
		if !slices.ContainsFunc(t.vlans, func(g vlanRun) bool { return g.first <= v && v <= g.last }) {
			return false
		}
	}
	return true
}

func (t *tenant) vlanText() string {
	var out []string
	for _, r := range t.vlans {
		if r.first == r.last {
			out = append(out, strconv.Itoa(r.first))
		} else {
			out = append(out, fmt.Sprintf("%d..%d", r.first, r.last))
		}
	}
	return strings.Join(out, ", ")
}

// speaksOfVLANs tells whether a type is one of VLANs (openconfig-vlan-types).
func speaksOfVLANs(t *tree.Type) bool {
	if t == nil {
		return false
	}
	switch t.Name {
	case "vlan-id", "vlan-range", "qinq-id", "qinq-id-range":
		return true
	}
	return slices.ContainsFunc(t.Union, speaksOfVLANs) || t.Final != nil && t.Final != t && speaksOfVLANs(t.Final)
}

// findText is the scalar below n of this text, nil without one.
func (n *node) findText(text string) *node {
	if n.scalar() {
		if n.text == text {
			return n
		}
		return nil
	}
	for _, f := range n.fields {
		if found := f.value.findText(text); found != nil {
			return found
		}
	}
	for _, item := range n.items {
		if found := item.findText(text); found != nil {
			return found
		}
	}
	return nil
}
