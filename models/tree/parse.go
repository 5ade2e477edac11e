package tree

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits of what Parse takes: foreign bytes must not exhaust the process.
const (
	MaxSize  = 64 << 20 // bytes of one tree's JSON
	maxDepth = 128      // of nested objects and arrays
	maxErrs  = 1000     // mistakes told

	maxUnknown = 100_000 // unknown nodes told
)

// errTooMany ends reading.
var errTooMany = errors.New("too many mistakes")

// Error is one mistake in a tree's JSON, at the place where it is. For JSON that is
// none, Path is how far reading got.
type Error struct {
	Path Path
	Msg  string
}

func (e *Error) Error() string { return e.Path.String() + ": " + e.Msg }

// Unknown is what a device reported and the schema has no config node for, or a
// leaf whose value its type knows nothing of. Path holds the names as reported.
type Unknown struct {
	Path   Path
	Reason string
}

// Parse reads RFC 7951 JSON, strictly: unknown nodes, duplicate members and entries,
// entries without their keys, a wrong JSON shape and values that are no value of
// their type are errors. Every mistake is told, each an *Error, by errors.Join.
func Parse(s *Schema, data []byte) (*Tree, error) {
	p := newParser(s, data, false)
	t, err := p.tree()
	if err != nil {
		return nil, err
	}
	if len(p.mistakes) > 0 {
		return nil, p.errors()
	}
	return t, nil
}

// ParseLenient reads a device's RFC 7951 JSON. What the schema has no config node
// for (state, another vendor's augments) is left out and reported, as is a leaf whose
// value is none of its type; an identity may carry any prefix; null is absence. What
// is not JSON, has the wrong shape, duplicates or no keys is still an error: such an
// answer is not to be acted on.
func ParseLenient(s *Schema, data []byte) (*Tree, []Unknown, error) {
	p := newParser(s, data, true)
	t, err := p.tree()
	if err != nil {
		return nil, nil, err
	}
	if len(p.mistakes) > 0 {
		return nil, nil, p.errors()
	}
	var unknown []Unknown
	for _, m := range p.unknown {
		unknown = append(unknown, Unknown{m.path(), m.msg})
	}
	return t, unknown, nil
}

// parser reads JSON with the schema in hand. Its functions return an error only
// where the text is no JSON and reading cannot go on.
type parser struct {
	builder
	schema   *Schema
	s        string
	i        int
	lenient  bool
	at       []frame  // where it is
	scratch  []*Value // members of all that is open
	mistakes []mistake
	unknown  []mistake
	nameless []*Value // entries left out because a key's value is none of its type
}

// frame is one step of the place. An entry's keys are known when it has been read;
// the path of a mistake in it is made after that.
type frame struct {
	name  string
	entry *Value
}

type mistake struct {
	at  []frame
	msg string
}

func (m mistake) path() Path {
	p := make(Path, 0, len(m.at))
	for _, f := range m.at {
		e := Elem{Name: f.name}
		if f.entry != nil {
			e.Keys = f.entry.keys
		}
		p = append(p, e)
	}
	return p
}

func newParser(s *Schema, data []byte, lenient bool) *parser {
	p := &parser{schema: s, lenient: lenient}
	p.seed = s.seed
	if len(data) <= MaxSize {
		p.s = string(data)
	} else {
		p.i = len(data)
	}
	return p
}

func (p *parser) tree() (*Tree, error) {
	if p.i > MaxSize {
		return nil, &Error{Msg: fmt.Sprintf("%d bytes are more than %d", p.i, MaxSize)}
	}
	root := p.value()
	if err := p.object(root, p.schema.Root); err != nil {
		if errors.Is(err, errTooMany) {
			err = p.errors()
		}
		return nil, err
	}
	if p.next(); p.i < len(p.s) {
		return nil, p.syntax("something follows the end")
	}
	if root.Schema == nil {
		root = Empty(p.schema).root
	}
	return newTree(p.schema, root), nil
}

func (p *parser) errors() error {
	var all []error
	for _, m := range p.mistakes {
		all = append(all, &Error{m.path(), m.msg})
	}
	if len(all) >= maxErrs {
		all = append(all, &Error{Msg: "there may be more mistakes: reading ended here"})
	}
	return errors.Join(all...)
}

func (p *parser) syntax(msg string) error {
	line := 1 + strings.Count(p.s[:p.i], "\n")
	column := p.i - strings.LastIndexByte(p.s[:p.i], '\n')
	return &Error{mistake{at: p.at}.path(), fmt.Sprintf("not JSON: line %d, column %d: %s", line, column, msg)}
}

func (p *parser) mistake(format string, args ...any) {
	p.mistakes = append(p.mistakes, mistake{slices.Clone(p.at), fmt.Sprintf(format, args...)})
}

// leaveOut notes what a lenient reader leaves out.
func (p *parser) leaveOut(reason string) {
	if len(p.unknown) < maxUnknown {
		p.unknown = append(p.unknown, mistake{slices.Clone(p.at), reason})
	}
}

// next skips white space and returns the byte there, 0 at the end.
func (p *parser) next() byte {
	for p.i < len(p.s) {
		switch c := p.s[p.i]; c {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return c
		}
	}
	return 0
}

// object reads the members of a container, or an entry, into v. Where the text is
// no object v stays as it is.
func (p *parser) object(v *Value, n *Node) error {
	if p.next() != '{' {
		return p.misshapen("an object")
	}
	base := len(p.scratch)
	err := p.each('}', func() error {
		name, err := p.name()
		if err != nil {
			return err
		}
		p.at = append(p.at, frame{name: name})
		err = p.member(n, name)
		p.at = p.at[:len(p.at)-1]
		return err
	})
	if err != nil {
		return err
	}
	members := p.sorted(p.scratch[base:])
	p.scratch = p.scratch[:base]
	if n.Kind == List {
		keys, missing := p.entryKeys(n, members)
		if keys == nil && slices.Contains(p.nameless, v) {
			return nil
		}
		if keys == nil {
			p.mistake("an entry without its key %s", missing)
			return nil
		}
		v.keys = keys
	}
	p.fill(v, n, members)
	return nil
}

// sorted puts members in order, tells duplicates, and leaves out what is empty.
func (p *parser) sorted(members []*Value) []*Value {
	byPos := func(a, b *Value) int { return cmp.Compare(a.Schema.pos, b.Schema.pos) }
	if !slices.IsSortedFunc(members, byPos) {
		slices.SortStableFunc(members, byPos)
	}
	for i := 1; i < len(members); i++ {
		if members[i].Schema == members[i-1].Schema {
			p.mistake("%s stands twice", members[i].Schema.Name)
		}
	}
	return slices.DeleteFunc(members, func(m *Value) bool { return !m.leaf() && len(m.members) == 0 || m.text == "[]" })
}

// member reads the value of the member of that name of n.
func (p *parser) member(n *Node, name string) error {
	c := n.Child(name)
	if c == nil {
		if p.lenient {
			p.leaveOut("no config node of the schema")
		} else {
			p.mistake("%v", unknownChild(n, name))
		}
		return p.skip(len(p.at))
	}
	p.at[len(p.at)-1].name = c.Name
	if p.lenient && p.next() == 'n' {
		return p.skip(len(p.at))
	}
	switch c.Kind {
	case Container:
		v := p.value()
		if err := p.object(v, c); err != nil {
			return err
		}
		if v.Schema != nil {
			p.scratch = append(p.scratch, v)
		}
		return nil
	case List:
		return p.list(c)
	case Leaf:
		return p.leafValue(c)
	}
	return p.leafList(c)
}

func (p *parser) list(n *Node) error {
	if p.next() != '[' {
		return p.misshapen("an array of entries")
	}
	base := len(p.scratch)
	top := len(p.at) - 1
	err := p.each(']', func() error {
		v := p.value()
		p.at[top].entry = v
		err := p.object(v, n)
		if v.Schema != nil {
			p.scratch = append(p.scratch, v)
		}
		return err
	})
	if err != nil {
		return err
	}
	p.at[top].entry = nil
	entries := p.scratch[base:]
	byKeys := func(a, b *Value) int { return compareKeys(a.keys, b.keys) }
	inOrder := entries
	if !slices.IsSortedFunc(entries, byKeys) {
		if n.UserOrdered {
			inOrder = slices.Clone(entries)
		}
		slices.SortStableFunc(inOrder, byKeys)
	}
	for i := 1; i < len(inOrder); i++ {
		if byKeys(inOrder[i], inOrder[i-1]) == 0 {
			p.at[top].entry = inOrder[i]
			p.mistake("the entry stands twice")
			p.at[top].entry = nil
		}
	}
	v := p.inner(n, entries)
	p.scratch = append(p.scratch[:base], v)
	return nil
}

func (p *parser) leafValue(n *Node) error {
	text, err := p.scalar(n)
	if err == nil && text != "" {
		p.scratch = append(p.scratch, p.leaf(n, text))
	}
	return err
}

func (p *parser) leafList(n *Node) error {
	if p.next() != '[' {
		return p.misshapen("an array of values")
	}
	var all []string
	err := p.each(']', func() error {
		text, err := p.scalar(n)
		if err == nil && text != "" {
			all = append(all, text)
		}
		return err
	})
	if err != nil {
		return err
	}
	inOrder := all
	if n.UserOrdered {
		inOrder = slices.Clone(all)
	}
	slices.SortFunc(inOrder, compareScalars)
	for i := 1; i < len(inOrder); i++ {
		if inOrder[i] == inOrder[i-1] {
			p.mistake("%s stands twice", n.Type.Final.text(inOrder[i])) // RFC 7950 section 7.7
		}
	}
	p.scratch = append(p.scratch, p.leaf(n, "["+strings.Join(all, ",")+"]"))
	return nil
}

// scalar reads one value of a leaf or leaf-list, "" where there is none of its type.
func (p *parser) scalar(n *Node) (string, error) {
	switch p.next() {
	case '{', '[':
		return "", p.misshapen("a value")
	}
	tok, err := p.token()
	if err != nil {
		return "", err
	}
	text, err := "", errControl
	if !tok.control {
		text, err = n.Type.Final.canonical(tok, p.lenient)
	}
	if err != nil {
		p.wrong(n, err)
		return "", nil
	}
	return text, nil
}

// wrong notes that a leaf's value is none of its type.
func (p *parser) wrong(n *Node, err error) {
	if n.Secret {
		err = errors.New("not a value of its type")
	}
	if !p.lenient {
		p.mistake("%v", err)
		return
	}
	p.leaveOut(err.Error())
	if n.key > 0 {
		p.nameless = append(p.nameless, p.at[len(p.at)-2].entry)
	}
}

// misshapen notes that something else stands where want should, and passes it over.
func (p *parser) misshapen(want string) error {
	have := "a value"
	switch p.next() {
	case '{':
		have = "an object"
	case '[':
		have = "an array"
	}
	if err := p.skip(len(p.at)); err != nil {
		return err
	}
	p.mistake("want %s, not %s", want, have)
	return nil
}

// each calls read at every element of the object or array that begins here and ends
// with end.
func (p *parser) each(end byte, read func() error) error {
	p.i++
	if p.next() == end {
		p.i++
		return nil
	}
	for {
		if err := read(); err != nil {
			return err
		}
		if len(p.mistakes) >= maxErrs {
			return errTooMany
		}
		switch p.next() {
		case ',':
			p.i++
		case end:
			p.i++
			return nil
		default:
			return p.syntax(fmt.Sprintf("want ',' or %q", string(end)))
		}
	}
}

// skip passes over one value, whatever it is.
func (p *parser) skip(depth int) error {
	if depth > maxDepth {
		return p.syntax(fmt.Sprintf("nested deeper than %d", maxDepth))
	}
	switch p.next() {
	case '{':
		return p.each('}', func() error {
			if _, err := p.name(); err != nil {
				return err
			}
			return p.skip(depth + 1)
		})
	case '[':
		return p.each(']', func() error { return p.skip(depth + 1) })
	}
	_, err := p.token()
	return err
}

// name reads a member's name and the colon.
func (p *parser) name() (string, error) {
	if p.next() != '"' {
		return "", p.syntax("want a member's name in quotes")
	}
	tok, err := p.token()
	if err != nil {
		return "", err
	}
	if p.next() != ':' {
		return "", p.syntax("want ':'")
	}
	p.i++
	return tok.str, nil
}

// token reads one scalar (RFC 8259 sections 3, 6 and 7).
func (p *parser) token() (token, error) {
	switch c := p.next(); {
	case c == '"':
		return p.string()
	case c == '-' || digit(c):
		return p.number()
	}
	for _, word := range []string{"true", "false", "null"} {
		if strings.HasPrefix(p.s[p.i:], word) {
			p.i += len(word)
			kind := boolToken
			if word == "null" {
				kind = nullToken
			}
			return token{kind: kind, text: word}, nil
		}
	}
	return token{}, p.syntax("want a value")
}

func (p *parser) number() (token, error) {
	start := p.i
	if p.s[p.i] == '-' {
		p.i++
	}
	whole := digits(p.s[p.i:])
	if p.i += len(whole); whole == "" || len(whole) > 1 && whole[0] == '0' {
		return token{}, p.syntax("not a number")
	}
	if p.i < len(p.s) && p.s[p.i] == '.' {
		fraction := digits(p.s[p.i+1:])
		if p.i += 1 + len(fraction); fraction == "" {
			return token{}, p.syntax("not a number")
		}
	}
	if p.i < len(p.s) && (p.s[p.i] == 'e' || p.s[p.i] == 'E') {
		p.i++
		if p.i < len(p.s) && (p.s[p.i] == '+' || p.s[p.i] == '-') {
			p.i++
		}
		exponent := digits(p.s[p.i:])
		if p.i += len(exponent); exponent == "" {
			return token{}, p.syntax("not a number")
		}
	}
	return token{kind: numberToken, text: p.s[start:p.i]}, nil
}

func (p *parser) string() (token, error) {
	start := p.i
	plain, ascii := true, true
	for p.i++; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '"':
			p.i++
			return p.decoded(p.s[start:p.i], plain, ascii)
		case c == '\\':
			plain = false
			p.i++
		case c < ' ':
			return token{}, p.syntax("a control character in a string")
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	p.i = len(p.s)
	return token{}, p.syntax("a string that does not end")
}

// decoded makes a token of a string's text, quotes included.
func (p *parser) decoded(text string, plain, ascii bool) (token, error) {
	inner := text[1 : len(text)-1]
	if !ascii && !utf8.ValidString(inner) {
		return token{}, p.syntax("a string that is not UTF-8")
	}
	tok := token{kind: stringToken, text: text, str: inner, minimal: plain}
	if plain {
		return tok, nil
	}
	var ok bool
	if tok.str, ok = unescape(inner); !ok {
		return token{}, p.syntax("a wrong escape in a string")
	}
	tok.control = strings.ContainsFunc(tok.str, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' && r != '\r' })
	return tok, nil
}

// errControl is JSON that no YANG string can hold (RFC 7950 section 14); some
// devices end a banner with one.
var errControl = errors.New("holds a control character")

// unescape decodes a JSON string's escapes. Half a surrogate pair is wrong.
func unescape(s string) (string, bool) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		i++
		switch s[i] {
		case '"', '\\', '/':
			b = append(b, s[i])
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'u':
			r, ok := hex4(s[i+1:])
			i += 4
			if ok && utf16.IsSurrogate(r) {
				low := rune(-1)
				if strings.HasPrefix(s[i+1:], `\u`) {
					low, _ = hex4(s[i+3:])
				}
				r = utf16.DecodeRune(r, low)
				ok = r != utf8.RuneError
				i += 6
			}
			if !ok {
				return "", false
			}
			b = utf8.AppendRune(b, r)
		default:
			return "", false
		}
	}
	return string(b), true
}

func hex4(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(s[:4], 16, 16)
	return rune(n), err == nil
}
