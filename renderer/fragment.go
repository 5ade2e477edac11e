package renderer

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// fragment is a piece of config that one document brings: RFC 7951 as YAML, or
// what a kind brought forth. Its values know where they stand.
type fragment struct {
	root  *node
	level int    // the higher wins
	title string // "Group leaves", for messages
	at    place  // of the document
	kind  string // the kind that brought it forth, "" for a document's own
	spec  *node  // what the document gave that kind

	request *requestDoc // the document of that kind
	tenant  *tenant     // whose request it is, nil for the network's own
}

// built is a fragment as a tree for one device.
type built struct {
	*fragment
	refs *scope
	tree *tree.Tree
	// dropped are values left out because of a mistake: what misses them is
	// not told as a second one.
	dropped []*node
	// mistakes of a fragment that is built once for many devices
	mistakes []mistake
}

// builder turns fragments into trees.
type builder struct{ schema *tree.Schema }

// build converts a fragment by the schema. Values with a mistake are reported
// and left out, so that the rest is looked at as well.
func (b *builder) build(f *fragment, refs *scope, told func(mistake)) *built {
	out := &built{fragment: f, refs: refs, tree: tree.Empty(b.schema)}
	c := converter{fragment: f, schema: b.schema, refs: refs, told: told, skip: make(map[*node]bool), made: make(map[*node]*node)}
	for range 3 {
		data := c.convert(b.schema.Root)
		t, err := tree.Parse(b.schema, data)
		if err == nil {
			out.tree = t
			break
		}
		// The converter has said all it had to say in the first round.
		c.quiet = true
		if !c.refuse(err) {
			break
		}
	}
	for n := range c.skip {
		out.dropped = append(out.dropped, n)
	}
	return out
}

// converter writes one fragment as JSON for tree.Parse.
type converter struct {
	*fragment
	schema *tree.Schema
	refs   *scope
	told   func(mistake)
	quiet  bool
	skip   map[*node]bool  // left out
	made   map[*node]*node // what a text with references became
	out    []byte
	where  tree.Path // of what is being written, with the keys as written
}

// pathOf is the path of a mistake about s, which is what is being written or
// above.
func (c *converter) pathOf(s *tree.Node) string {
	depth := 0
	for n := s; n.Parent != nil; n = n.Parent {
		depth++
	}
	if depth > len(c.where) {
		return s.Path()
	}
	return c.where[:depth].String()
}

func (c *converter) convert(root *tree.Node) []byte {
	c.out = c.out[:0]
	if c.root == nil || !c.container(c.root, root) {
		return []byte("{}")
	}
	return c.out
}

// say reports a mistake about a value and leaves the value out.
func (c *converter) say(n *node, at place, s *tree.Node, code models.Code, msg, hint string) bool {
	c.skip[n] = true
	if !c.quiet {
		m := mistake{at: at, code: code, path: c.pathOf(s), msg: msg, hint: hint}
		if c.kind != "" {
			m.msg = fmt.Sprintf("kind %s: %s: %s", c.kind, m.path, msg)
		} else {
			// One place, one code: whatever each device makes of it is one mistake.
			m.subject = string(code)
		}
		c.told(m)
	}
	return false
}

// resolved replaces a reference. typed says that the schema decides what the
// text is, because the author had no way to.
func (c *converter) resolved(n *node, s *tree.Node) (v *node, typed, ok bool) {
	if c.refs == nil || !refers(n) {
		return n, false, true
	}
	if v := c.made[n]; v != nil {
		return v, true, true
	}
	v, err := c.refs.resolve(n)
	if err == nil {
		// A copy: a var may be used in two places and be wrong in one.
		once := *v
		c.made[n] = &once
		return &once, true, true
	}
	at := n.at
	if !strings.Contains(n.text, "\n") {
		at.column += len([]rune(n.text[:err.offset]))
		if n.quoted {
			at.column++
		}
	}
	return nil, false, c.say(n, at, s, err.code, err.msg, err.hint)
}

// value writes a member's or an entry's value; false leaves it out.
func (c *converter) value(n *node, s *tree.Node) bool {
	if c.skip[n] {
		return false
	}
	v, typed, ok := c.resolved(n, s)
	if !ok {
		return false
	}
	switch s.Kind {
	case tree.Container:
		return c.container(v, s)
	case tree.List:
		return c.list(v, s)
	case tree.LeafList:
		return c.leafList(v, s)
	}
	return c.leaf(v, s, typed)
}

func (c *converter) container(n *node, s *tree.Node) bool {
	if n.shape != mapping {
		hint := ""
		if n.shape == null {
			hint = "is what follows indented too little? an empty one is left out"
		}
		return c.say(n, n.at, s, codeYANGShape, fmt.Sprintf("%s is a %s: it takes a mapping, not %s", s.Name, s.Kind, n.shape), hint)
	}
	c.out = append(c.out, '{')
	c.members(n, s, nil)
	c.close('}')
	return true
}

// close ends an object or array, dropping the comma behind the last member.
func (c *converter) close(b byte) {
	if n := len(c.out) - 1; c.out[n] == ',' {
		c.out = c.out[:n]
	}
	c.out = append(c.out, b)
}

// members writes a mapping's fields. extra are leaves that the entry above gives.
func (c *converter) members(n *node, s *tree.Node, extra []field) {
	seen := make([]string, 0, 16)
	for _, f := range n.fields {
		child := s.Child(f.name)
		if child == nil {
			c.unknown(f, s)
			continue
		}
		if slices.Contains(seen, child.Name) {
			c.say(f.value, f.at, child, codeDuplicateKey, fmt.Sprintf("%s is given twice, with and without its module", child.Name), "")
			continue
		}
		seen = append(seen, child.Name)
		c.member(f, child, n)
	}
	for _, f := range extra {
		if !slices.Contains(seen, f.name) {
			c.member(f, s.Child(f.name), n)
		}
	}
}

// member writes `"name":value,` or nothing.
func (c *converter) member(f field, child *tree.Node, owner *node) {
	mark := len(c.out)
	c.where = append(c.where, tree.Elem{Name: child.Name})
	defer func() { c.where = c.where[:len(c.where)-1] }()
	c.out = append(c.out, '"')
	c.out = append(c.out, child.Name...)
	c.out = append(c.out, '"', ':')
	var ok bool
	if inner := c.follow(f.value); child.Name == "config" && child.Parent.Kind == tree.List && inner.shape == mapping && !c.skip[f.value] {
		c.out = append(c.out, '{')
		c.members(inner, child, keyFields(owner, child))
		c.close('}')
		ok = true
	} else {
		ok = c.value(f.value, child)
	}
	if !ok {
		c.out = c.out[:mark]
		return
	}
	c.out = append(c.out, ',')
}

func (c *converter) unknown(f field, s *tree.Node) {
	if c.skip[f.value] {
		return
	}
	where := "openconfig"
	if s.Parent != nil {
		where = s.Name
	}
	var names []string
	for _, child := range s.Children() {
		names = append(names, child.Name)
	}
	_, local, qualified := strings.Cut(f.name, ":")
	hint := didYouMean(f.name, names)
	if child := s.Child(local); qualified && child != nil {
		hint = fmt.Sprintf("%s is defined by module %s; the prefix may be left out", local, child.Module)
	} else if qualified {
		hint = didYouMean(local, names)
	} else if f.name == "state" {
		hint = "state is what a device reports: only config can be asked for"
	}
	c.say(f.value, f.at, s, codeYANGUnknown, fmt.Sprintf("%s has no node %q", where, cut(f.name, 64)), hint)
}

// keyFields are a list entry's keys that its config container repeats (OpenConfig
// style guide, "List"): authors give them once.
func keyFields(entry *node, config *tree.Node) []field {
	var out []field
	for _, key := range config.Parent.Keys {
		if config.Child(key) == nil {
			continue
		}
		if f, ok := memberOf(entry, config.Parent.Child(key)); ok {
			out = append(out, field{key, f.at, f.value})
		}
	}
	return out
}

// memberOf is the field of a mapping that means a schema node.
func memberOf(n *node, s *tree.Node) (field, bool) {
	for _, f := range n.fields {
		if f.name == s.Name || f.name == s.Module+":"+s.Name {
			return f, true
		}
	}
	return field{}, false
}

func (c *converter) list(n *node, s *tree.Node) bool {
	if n.shape != sequence {
		hint := ""
		if n.shape == mapping {
			hint = "write each entry as an item: - " + s.Keys[0] + ": …"
		}
		return c.say(n, n.at, s, codeYANGShape, fmt.Sprintf("%s is a list: it takes items, not %s", s.Name, n.shape), hint)
	}
	c.out = append(c.out, '[')
	seen := make(map[string]place, len(n.items))
	for _, item := range n.items {
		if c.skip[item] {
			continue
		}
		v, _, ok := c.resolved(item, s)
		if !ok {
			continue
		}
		mark := len(c.out)
		if !c.entry(item, v, s, seen) {
			c.out = c.out[:mark]
			continue
		}
		c.out = append(c.out, ',')
	}
	c.close(']')
	return true
}

// entry writes one list entry, with the keys that its config gives where the
// entry itself has none, and the other way round.
func (c *converter) entry(item, n *node, s *tree.Node, seen map[string]place) bool {
	if n.shape != mapping {
		return c.say(item, n.at, s, codeYANGShape, fmt.Sprintf("an entry of %s takes a mapping, not %s", s.Name, n.shape), "")
	}
	config := s.Child("config")
	var inner *node
	if config != nil {
		if f, ok := memberOf(n, config); ok {
			inner = c.follow(f.value)
		}
	}
	var extra []field
	var id strings.Builder
	top := len(c.where) - 1
	c.where[top].Keys = nil
	defer func() { c.where[top].Keys = nil }()
	for _, key := range s.Keys {
		f, ok := memberOf(n, s.Child(key))
		if !ok && inner != nil && config.Child(key) != nil {
			if f, ok = memberOf(inner, config.Child(key)); ok {
				extra = append(extra, field{key, f.at, f.value})
			}
		}
		if !ok {
			return c.say(item, n.at, s, codeYANGKey, fmt.Sprintf("an entry of %s has no %s, which is its key", s.Name, key), "")
		}
		v, _, ok := c.resolved(f.value, s.Child(key))
		if !ok || c.skip[f.value] {
			c.skip[item] = true
			return false
		}
		if !v.scalar() || v.shape == null {
			return c.say(item, v.at, s, codeYANGKey, fmt.Sprintf("%s is a key: it takes one value, not %s", key, v.shape), "")
		}
		fmt.Fprintf(&id, "%q ", v.text)
		c.where[top].Keys = append(c.where[top].Keys, tree.KeyValue{Name: key, Value: v.text})
	}
	if first, twice := seen[id.String()]; twice {
		return c.say(item, n.at, s, codeYANGDuplicate, fmt.Sprintf("%s has two entries with the key %s: first at %s", s.Name, strings.TrimSpace(id.String()), first), "")
	}
	seen[id.String()] = n.at
	c.out = append(c.out, '{')
	c.members(n, s, extra)
	for _, key := range s.Keys {
		if f, ok := memberOf(n, s.Child(key)); ok && c.skip[f.value] || slices.ContainsFunc(extra, func(f field) bool { return f.name == key && c.skip[f.value] }) {
			c.skip[item] = true // an entry without its key is none
			return false
		}
	}
	if config != nil && inner == nil {
		// The entry has no config: it gets one that repeats the keys.
		if fields := keyFields(n, config); len(fields) > 0 {
			c.member(field{"config", n.at, &node{at: n.at, shape: mapping, fields: fields}}, config, n)
		}
	}
	c.close('}')
	return true
}

func (c *converter) leafList(n *node, s *tree.Node) bool {
	if n.shape != sequence {
		return c.say(n, n.at, s, codeYANGShape, fmt.Sprintf("%s is a leaf-list: it takes a list of values, not %s", s.Name, n.shape), "write ["+n.text+"]")
	}
	c.out = append(c.out, '[')
	for _, item := range n.items {
		if c.skip[item] {
			continue
		}
		v, typed, ok := c.resolved(item, s)
		if ok && c.leaf(v, s, typed) {
			c.out = append(c.out, ',')
		}
	}
	c.close(']')
	return true
}

// leaf writes a scalar in the form that RFC 7951 section 6 gives its type.
func (c *converter) leaf(n *node, s *tree.Node, typed bool) bool {
	if c.skip[n] {
		return false
	}
	if !n.scalar() || n.shape == null {
		hint := ""
		if n.shape == null {
			hint = `give it a value, or leave it out; empty text is ""`
		}
		return c.say(n, n.at, s, codeYANGShape, fmt.Sprintf("%s takes one value, not %s", s.Name, n.shape), hint)
	}
	form, why := formOf(n, s.Type.Final, typed)
	switch form {
	case asText:
		c.out = appendString(c.out, n.text)
	case asIs:
		c.out = append(c.out, n.text...)
	case asLower:
		c.out = append(c.out, strings.ToLower(n.text)...)
	default:
		hint := why.hint
		return c.say(n, n.at, s, why.code, s.Name+": "+why.msg, hint)
	}
	return true
}

// form is how a YAML scalar becomes JSON.
type form uint8

const (
	refused form = iota
	asText
	asIs
	asLower
)

var decimalForm = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)

// formOf decides by what YAML read and what YANG wants. YAML's guesses are never
// overruled in silence: an unquoted 010 for text is refused, since the eye reads
// "010" and YAML reads 8.
func formOf(n *node, t *tree.Type, typed bool) (form, mistake) {
	switch {
	case t.Kind == tree.Union:
		return unionForm(n, t, typed)
	case t.Kind <= tree.Uint64:
		return integerForm(n, t, typed)
	}
	switch t.Kind {
	case tree.Boolean:
		if n.shape == boolean || typed && (n.text == "true" || n.text == "false") {
			return asLower, mistake{}
		}
		return refused, mistake{code: codeYANGType, msg: fmt.Sprintf("%s is not true or false", n.brief()), hint: asBoolean(n)}
	case tree.Decimal64:
		if decimalForm.MatchString(n.text) {
			return asIs, mistake{}
		}
		return refused, mistake{code: codeYANGType, msg: fmt.Sprintf("%s is not a decimal number", n.brief())}
	case tree.Enumeration, tree.Identityref:
		return asText, mistake{} // a name is a name, also one that YAML takes for a boolean
	}
	if n.shape == text || typed {
		return asText, mistake{}
	}
	return refused, mistake{code: codeYANGType, msg: fmt.Sprintf("%s is text in YANG (%s), and YAML reads it as %s", n.brief(), t.Name, n.shape), hint: fmt.Sprintf("quote it: %q", n.text)}
}

// asBoolean says how to write what is meant as a boolean.
func asBoolean(n *node) string {
	switch {
	case n.quoted && (n.text == "true" || n.text == "false"):
		return "leave out the quotes: " + n.text
	case yesNo(n.text) != "":
		return "write " + yesNo(n.text)
	case n.text == "1":
		return "write true"
	case n.text == "0":
		return "write false"
	}
	return ""
}

func integerForm(n *node, t *tree.Type, typed bool) (form, mistake) {
	switch {
	case n.shape == integer && plain.MatchString(n.text):
		return asIs, mistake{}
	case n.shape == integer, n.shape == float && plain.MatchString(n.meant()):
		return refused, ambiguousNumber(n)
	case n.shape == text && plain.MatchString(n.text) && (typed || t.Kind == tree.Int64 || t.Kind == tree.Uint64):
		return asIs, mistake{}
	}
	m := mistake{code: codeYANGType, msg: fmt.Sprintf("%s is not a whole number (%s)", n.brief(), t.Name)}
	if n.shape == text && plain.MatchString(n.text) {
		m.hint = "leave out the quotes: " + n.text
	}
	return refused, m
}

// unionForm leaves it to the tree which member a value is (RFC 7951 section
// 6.10), and sees only to the JSON type.
func unionForm(n *node, t *tree.Type, typed bool) (form, mistake) {
	var numbers, booleans, decimals bool
	names := flatten(t)
	for _, m := range names {
		numbers = numbers || m.Kind <= tree.Uint64
		booleans = booleans || m.Kind == tree.Boolean
		decimals = decimals || m.Kind == tree.Decimal64
	}
	switch {
	case n.shape == text:
		return asText, mistake{}
	case n.shape == integer && !plain.MatchString(n.text):
		return refused, ambiguous(n)
	case n.shape == integer && (numbers || decimals), n.shape == float && decimals && decimalForm.MatchString(n.text):
		return asIs, mistake{}
	case n.shape == boolean && booleans:
		return asLower, mistake{}
	case typed, slices.ContainsFunc(names, func(m *tree.Type) bool { return slices.Contains(m.Enum, n.text) }):
		return asText, mistake{}
	}
	return refused, mistake{code: codeYANGType, msg: fmt.Sprintf("%s fits %s only as text, and YAML reads it as %s", n.brief(), t.Name, n.shape), hint: fmt.Sprintf("quote it: %q", n.text)}
}

// flatten is a union's members, those of its unions included.
func flatten(t *tree.Type) []*tree.Type {
	if t.Kind != tree.Union {
		return []*tree.Type{t}
	}
	var out []*tree.Type
	for _, m := range t.Union {
		out = append(out, flatten(m.Final)...)
	}
	return out
}

// appendString appends a JSON string. The text is UTF-8 without control
// characters but those that YAML escapes can make.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch ch := s[i]; {
		case ch == '"' || ch == '\\':
			b = append(b, '\\', ch)
		case ch < ' ':
			b = fmt.Appendf(b, `\u%04x`, ch)
		default:
			b = append(b, ch)
		}
	}
	return append(b, '"')
}

// refuse brings the tree's errors to the values they speak of and leaves those
// out. It is false when there is nothing left to leave out. An error about a
// value that the fragment does not have itself (a key that was repeated for its
// author) is told only when no other explains it.
func (c *converter) refuse(err error) bool {
	var own, others []func()
	for _, e := range treeErrors(err) {
		spot := c.locate(e.Path, e.Msg)
		if c.skip[spot.node] {
			continue
		}
		tell := func() {
			s := deepest(c.schema, e.Path)
			c.quiet, c.where = false, e.Path
			c.say(spot.node, spot.at, s, codeYANGValue, s.Name+": "+e.Msg, "")
			c.quiet, c.where = true, nil
		}
		if spot.whole && !strings.HasPrefix(e.Msg, "an entry without its key") {
			own = append(own, tell)
		} else {
			others = append(others, tell)
		}
	}
	if len(own) == 0 {
		own = others
	}
	for _, tell := range own {
		tell()
	}
	return len(own) > 0
}

// deepest is the last schema node that a path names.
func deepest(s *tree.Schema, p tree.Path) *tree.Node {
	n := s.Root
	for _, e := range p {
		child := n.Child(e.Name)
		if child == nil {
			break
		}
		n = child
	}
	return n
}

// treeErrors takes joined errors apart.
func treeErrors(err error) []*tree.Error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []*tree.Error
		for _, e := range joined.Unwrap() {
			out = append(out, treeErrors(e)...)
		}
		return out
	}
	var e *tree.Error
	if errors.As(err, &e) {
		return []*tree.Error{e}
	}
	return []*tree.Error{{Msg: err.Error()}}
}

// spot is where a path leads to in a fragment: the value, or the nearest above
// it, and where a person looks for it.
type spot struct {
	node  *node
	at    place
	whole bool // the value itself
}

// locate is the value that stands at a path of the fragment. Where the path names
// an entry without keys, or a leaf-list, hint tells which of its values is meant:
// it begins with the value.
func (c *converter) locate(p tree.Path, hint string) spot {
	return c.find(spot{node: c.root, at: c.root.at}, c.schema.Root, nil, p, hint)
}

// find goes on from a spot, which is the path done, along the rest.
func (c *converter) find(from spot, s *tree.Node, done, rest tree.Path, hint string) spot {
	n := from.node
	if len(rest) == 0 {
		if s.Kind == tree.LeafList && n.shape == sequence {
			for _, item := range n.items {
				if v := c.follow(item); v.begins(hint) {
					return spot{v, v.at, true}
				}
			}
		}
		from.whole = true
		return from
	}
	child := s.Child(rest[0].Name)
	if n.shape != mapping || child == nil {
		return from
	}
	f, ok := memberOf(n, child)
	if !ok {
		return from
	}
	v := c.follow(f.value)
	to := spot{node: v, at: v.at}
	if !v.scalar() && v.at.line > f.at.line && v.at.file == f.at.file {
		to.at = f.at // a block begins with its key
	}
	done = append(slices.Clone(done), rest[0])
	if child.Kind != tree.List || v.shape != sequence {
		return c.find(to, child, done, rest[1:], hint)
	}
	if len(rest[0].Keys) > 0 {
		if item := c.item(v, child, done); item != nil {
			return c.find(spot{node: item, at: item.at}, child, done, rest[1:], hint)
		}
		return to
	}
	for _, item := range v.items {
		item = c.follow(item)
		got := c.find(spot{node: item, at: item.at}, child, done, rest[1:], hint)
		if got.whole && len(rest) > 1 && got.node.begins(hint) {
			return got
		}
	}
	to.whole = len(rest) == 1
	return to
}

// begins tells whether a message opens with the scalar, as JSON writes it.
func (n *node) begins(msg string) bool {
	return n.scalar() && (strings.HasPrefix(msg, n.text+":") || strings.HasPrefix(msg, string(appendString(nil, n.text))))
}

// follow is what a text with references became, the node itself for all else.
func (c *converter) follow(n *node) *node {
	if v := c.made[n]; v != nil {
		return v
	}
	if c.refs == nil || !refers(n) {
		return n
	}
	v, err := c.refs.resolve(n)
	if err != nil {
		return n
	}
	once := *v
	c.made[n] = &once
	return &once
}

// item is the entry of a list that a path ends at.
func (c *converter) item(list *node, s *tree.Node, p tree.Path) *node {
	last := len(p) - 1
	if r, _, err := c.schema.Resolve(p); err == nil {
		p = r
	}
	for _, item := range list.items {
		n := c.follow(item)
		if n.shape != mapping {
			continue
		}
		e := tree.Elem{Name: s.Name}
		for _, key := range s.Keys {
			e.Keys = append(e.Keys, tree.KeyValue{Name: key, Value: c.keyText(n, s, key)})
		}
		r, _, err := c.schema.Resolve(append(slices.Clone(p[:last]), e))
		if err == nil && slices.Equal(r[last].Keys, p[last].Keys) || err != nil && slices.Equal(e.Keys, p[last].Keys) {
			return n
		}
	}
	return nil
}

// keyText is an entry's key as written, in the entry or in its config.
func (c *converter) keyText(n *node, s *tree.Node, key string) string {
	f, ok := memberOf(n, s.Child(key))
	if config := s.Child("config"); !ok && config != nil && config.Child(key) != nil {
		if inner, has := memberOf(n, config); has {
			f, ok = memberOf(c.follow(inner.value), config.Child(key))
		}
	}
	if !ok {
		return ""
	}
	return c.follow(f.value).text
}
