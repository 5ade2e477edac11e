package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"
)

// decoder reads JSON into fresh nodes, and refuses whatever the schema does not
// know or its types do not allow.
type decoder struct {
	form form
}

// checkJSON makes sure that the functions below see well-formed JSON only.
func checkJSON(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("not UTF-8")
	}
	if !json.Valid(data) {
		return errors.New("malformed JSON")
	}
	return nil
}

// under puts a name in front of an error's path.
func under(name string, err error) error {
	return fmt.Errorf("%s: %w", name, err)
}

// container reads a JSON object. The result is nil when it holds nothing.
func (d decoder) container(s *schema, raw string) (*node, error) {
	n := &node{schema: s}
	if err := d.members(n, raw); err != nil {
		return nil, err
	}
	if n.empty() {
		return nil, nil
	}
	return n, nil
}

// members reads a JSON object's members into a node.
func (d decoder) members(n *node, raw string) error {
	if raw == "" || raw[0] != '{' {
		return fmt.Errorf("%s is not an object", brief(raw))
	}
	seen := map[*schema]bool{}
	for name, v := range pairs(raw) {
		s := n.schema.child(name)
		if s == nil {
			return fmt.Errorf("%s has no node %q", n.schema.path(), brief(name))
		}
		if seen[s] {
			return fmt.Errorf("%s: twice", s.name)
		}
		seen[s] = true
		if err := d.member(n, s, v); err != nil {
			return under(s.name, err)
		}
	}
	slices.SortFunc(n.leaves, func(a, b datum) int { return byOrd(a.schema, b.schema) })
	slices.SortFunc(n.kids, func(a, b *node) int { return byOrd(a.schema, b.schema) })
	return nil
}

func (d decoder) member(n *node, s *schema, raw string) error {
	if s.isLeaf() {
		token, err := d.leaf(s, raw)
		if token != "" {
			n.leaves = append(n.leaves, datum{s, token})
		}
		return err
	}
	read := d.container
	if s.kind == list {
		read = d.list
	}
	kid, err := read(s, raw)
	if kid != nil {
		n.kids = append(n.kids, kid)
	}
	return err
}

// leaf reads a leaf or leaf-list. An empty leaf-list is the token "".
func (d decoder) leaf(s *schema, raw string) (string, error) {
	if s.kind == leaf {
		v, err := s.typ.parse(raw, d.form)
		return v.token, err
	}
	if raw == "" || raw[0] != '[' {
		return "", fmt.Errorf("%s is not an array", brief(raw))
	}
	var tokens []string
	for item := range items(raw) {
		v, err := s.typ.parse(item, d.form)
		if err != nil {
			return "", err
		}
		tokens = append(tokens, v.token)
	}
	return s.leafListToken(tokens)
}

// leafListToken joins checked values.
func (s *schema) leafListToken(tokens []string) (string, error) {
	if len(tokens) == 0 {
		return "", nil
	}
	if n := uint64(len(tokens)); n < s.min || s.max > 0 && n > s.max {
		return "", fmt.Errorf("%d values, allowed are %d to %d", n, s.min, s.max)
	}
	seen := make(map[string]bool, len(tokens))
	for _, t := range tokens {
		if seen[t] {
			return "", fmt.Errorf("%s twice (RFC 7950 section 7.7)", brief(t))
		}
		seen[t] = true
	}
	return join(tokens), nil
}

// list reads a JSON array of entries.
func (d decoder) list(s *schema, raw string) (*node, error) {
	if raw == "" || raw[0] != '[' {
		return nil, fmt.Errorf("%s is not an array of entries", brief(raw))
	}
	l := &node{schema: s}
	seen := map[string]bool{}
	for item := range items(raw) {
		e, err := d.entry(s, item, nil)
		if err != nil {
			return nil, err
		}
		id := strings.Join(e.keys, "\x00")
		if seen[id] {
			return nil, fmt.Errorf("entry %s: twice", keyText(s, e.keys))
		}
		seen[id] = true
		l.kids = append(l.kids, e)
	}
	if len(l.kids) == 0 {
		return nil, nil
	}
	if !s.user {
		slices.SortFunc(l.kids, func(a, b *node) int { return slices.Compare(a.keys, b.keys) })
	}
	return l, nil
}

// entry reads one entry. Its key leaves must be there, and must be want where
// the path said which entry it is (gNMI 3.4.5: conflicting keys are an error).
func (d decoder) entry(s *schema, raw string, want []string) (*node, error) {
	e := &node{schema: s}
	if err := d.members(e, raw); err != nil {
		return nil, err
	}
	for i, k := range s.keys {
		token := e.leaf(k)
		if token == "" {
			return nil, fmt.Errorf("key %s is missing", k.name)
		}
		v, err := k.typ.parse(token, formJSON)
		if err != nil {
			return nil, under(k.name, err)
		}
		e.keys = append(e.keys, strings.Clone(v.text)) // not a part of the whole message
		if want != nil && want[i] != v.text {
			return nil, fmt.Errorf("key %s is %q in the value and %q in the path", k.name, v.text, want[i])
		}
	}
	if err := e.checkConfigKeys(); err != nil {
		return nil, err
	}
	return e.withKeys(), nil
}

// entryUpdate reads an entry that a path names for an update, where the value
// need not repeat the keys.
func (d decoder) entryUpdate(s *schema, raw string, keys []string) (*node, error) {
	e := &node{schema: s, keys: keys}
	if err := d.members(e, raw); err != nil {
		return nil, err
	}
	for i, k := range s.keys {
		if token := e.leaf(k); token != "" && token != k.keyToken(keys[i]) {
			return nil, fmt.Errorf("key %s is %s in the value and %q in the path", k.name, brief(token), keys[i])
		}
	}
	if err := e.checkConfigKeys(); err != nil {
		return nil, err
	}
	return e.withKeys(), nil
}

// checkConfigKeys: config/<key> says the same as the key.
func (n *node) checkConfigKeys() error {
	config := n.kid(n.schema.index["config"])
	if config == nil {
		return nil
	}
	for _, d := range config.leaves {
		if k := d.schema.key; k != nil && k.list == n.schema && d.token != d.schema.keyToken(n.keys[k.pos]) {
			return fmt.Errorf("config/%s is %s in the entry %s", d.schema.name, brief(d.token), keyText(n.schema, n.keys))
		}
	}
	return nil
}

// keyText writes keys as a path does: [name=Ethernet1].
func keyText(s *schema, keys []string) string {
	var b strings.Builder
	for i, k := range s.keys {
		fmt.Fprintf(&b, "[%s=%s]", k.name, strings.NewReplacer(`\`, `\\`, `]`, `\]`).Replace(keys[i]))
	}
	return b.String()
}

// encoder writes nodes as JSON.
type encoder struct {
	plain bool               // gNMI's JSON instead of JSON_IETF: no modules
	shown func(datum) string // the token that is shown of a value; nil: its own
	buf   []byte
}

// node writes a container, a list or an entry. module is the module of what
// surrounds it: "" writes all first names with theirs.
func (e *encoder) node(n *node, module string) {
	if n != nil && n.schema.kind == list && !n.isEntry() {
		e.buf = append(e.buf, '[')
		for i, k := range n.kids {
			e.comma(i)
			e.node(k, module)
		}
		e.buf = append(e.buf, ']')
		return
	}
	e.buf = append(e.buf, '{')
	if n != nil {
		e.members(n, module)
	}
	e.buf = append(e.buf, '}')
}

func (e *encoder) members(n *node, module string) {
	for i, d := range n.leaves {
		e.comma(i)
		e.name(d.schema, module)
		e.leaf(d)
	}
	for i, k := range n.kids {
		e.comma(i + len(n.leaves))
		e.name(k.schema, module)
		e.node(k, k.schema.module)
	}
}

func (e *encoder) comma(i int) {
	if i > 0 {
		e.buf = append(e.buf, ',')
	}
}

func (e *encoder) name(s *schema, module string) {
	name := s.name
	if !e.plain {
		name = s.qualified(module)
	}
	e.buf = append(e.buf, '"')
	e.buf = append(e.buf, name...)
	e.buf = append(e.buf, '"', ':')
}

func (e *encoder) leaf(d datum) {
	if e.shown != nil {
		d.token = e.shown(d)
	}
	if !e.plain {
		e.buf = append(e.buf, d.token...)
		return
	}
	if d.schema.kind == leaf {
		e.buf = append(e.buf, d.schema.value(d.token).plain()...)
		return
	}
	e.buf = append(e.buf, '[')
	i := 0
	for item := range items(d.token) {
		e.comma(i)
		e.buf = append(e.buf, d.schema.value(item).plain()...)
		i++
	}
	e.buf = append(e.buf, ']')
}

// value reads a token that was checked before.
func (s *schema) value(token string) value {
	v, err := s.typ.parse(token, formIETF)
	if err != nil {
		return value{token: token, text: unquote(token), typ: s.typ}
	}
	return v
}

// pairs yields the members of a JSON object, which must be valid JSON.
func pairs(raw string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		p := skipSpace(raw, 1)
		for p < len(raw) && raw[p] != '}' {
			end := skipValue(raw, p)
			name := unquote(raw[p:end])
			p = skipSpace(raw, end)
			p = skipSpace(raw, p+1) // the colon
			end = skipValue(raw, p)
			if !yield(name, raw[p:end]) {
				return
			}
			p = skipComma(raw, end)
		}
	}
}

// items yields the elements of a JSON array, which must be valid JSON.
func items(raw string) iter.Seq[string] {
	return func(yield func(string) bool) {
		p := skipSpace(raw, 1)
		for p < len(raw) && raw[p] != ']' {
			end := skipValue(raw, p)
			if !yield(raw[p:end]) {
				return
			}
			p = skipComma(raw, end)
		}
	}
}

func skipComma(s string, p int) int {
	p = skipSpace(s, p)
	if p < len(s) && s[p] == ',' {
		p = skipSpace(s, p+1)
	}
	return p
}

func skipSpace(s string, p int) int {
	for p < len(s) && (s[p] == ' ' || s[p] == '\n' || s[p] == '\t' || s[p] == '\r') {
		p++
	}
	return p
}

// skipValue is the end of the value that begins at p.
func skipValue(s string, p int) int {
	depth := 0
	for p < len(s) {
		switch s[p] {
		case '"':
			p = skipString(s, p)
			if depth == 0 {
				return p
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return p
			}
			if depth--; depth == 0 {
				return p + 1
			}
		case ',', ':', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return p
			}
		}
		p++
	}
	return p
}

func skipString(s string, p int) int {
	for p++; p < len(s); p++ {
		switch s[p] {
		case '\\':
			p++
		case '"':
			return p + 1
		}
	}
	return len(s)
}

// trim cuts the white space around JSON.
func trim(data []byte) []byte { return bytes.TrimSpace(data) }
