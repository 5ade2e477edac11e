package renderer

import (
	"bytes"
	"errors"
	"io"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/setpoint-net/setpoint/models"
)

const (
	maxDepth    = 64      // of a YAML document
	maxAliased  = 10_000  // values that one document may repeat through aliases
	maxDocument = 500_000 // values of one document, repeated ones included
)

// shape is what a node is in YAML 1.2's core schema.
type shape uint8

const (
	mapping shape = iota
	sequence
	text
	integer // decimal, hexadecimal or octal, as written
	float
	boolean
	null
)

func (s shape) String() string {
	return [...]string{"a mapping", "a list", "text", "an integer", "a number with a fraction", "a boolean", "nothing"}[s]
}

// node is a YAML value with its place: aliases and merge keys are resolved, each
// value keeping the place where it was written, and keys are known to be text
// and unique. Nodes are read-only once parsed.
type node struct {
	at     place
	shape  shape
	text   string // scalars: as written, without quotes
	quoted bool
	fields []field // mapping, in order
	items  []*node // sequence
}

type field struct {
	name  string
	at    place
	value *node
}

// get is the value of a mapping's field, nil when absent.
func (n *node) get(name string) *node {
	if n == nil {
		return nil
	}
	for i := range n.fields {
		if n.fields[i].name == name {
			return n.fields[i].value
		}
	}
	return nil
}

func (n *node) empty() bool {
	switch {
	case n == nil, n.shape == null:
		return true
	case n.shape == mapping:
		return len(n.fields) == 0
	case n.shape == sequence:
		return len(n.items) == 0
	}
	return false
}

// is tells whether n is this text.
func (n *node) is(s string) bool { return n != nil && n.shape == text && n.text == s }

func (n *node) scalar() bool { return n.shape != mapping && n.shape != sequence }

// equal compares values, not places or quotes.
func (n *node) equal(m *node) bool {
	if n.shape != m.shape || n.text != m.text || len(n.fields) != len(m.fields) || len(n.items) != len(m.items) {
		return false
	}
	for _, f := range n.fields {
		if v := m.get(f.name); v == nil || !f.value.equal(v) {
			return false
		}
	}
	for i := range n.items {
		if !n.items[i].equal(m.items[i]) {
			return false
		}
	}
	return true
}

// brief is the value on one short line, for messages.
func (n *node) brief() string {
	switch n.shape {
	case mapping:
		return "a mapping"
	case sequence:
		return "a list"
	case null:
		return "nothing"
	case text:
		return strconv.Quote(cut(n.text, 64))
	}
	return cut(n.text, 64)
}

func cut(s string, limit int) string {
	if r := []rune(s); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return s
}

// parse reads the documents of one file. Documents before a syntax error are
// returned too; sound is false when there was one.
func parse(src source, l *ledger) (docs []*node, sound bool) {
	cut := false
	d := yaml.NewDecoder(bytes.NewReader(src.data))
	for {
		var doc yaml.Node
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs, !cut
		}
		if err != nil {
			syntaxMistake(src, err, l)
			return docs, false
		}
		if len(doc.Content) == 0 || doc.Content[0].ShortTag() == "!!null" {
			continue // an empty document between two "---"
		}
		r := reader{file: src.name, ledger: l, open: make(map[*yaml.Node]bool)}
		n := r.read(doc.Content[0], 0)
		if r.stopped {
			cut = true
			continue
		}
		docs = append(docs, n)
	}
}

// reader turns one document's yaml.Node into nodes.
type reader struct {
	file    string
	ledger  *ledger
	open    map[*yaml.Node]bool // aliases being resolved: one that meets itself is endless
	inAlias int
	values  int
	aliased int
	stopped bool
}

func (r *reader) place(y *yaml.Node) place { return place{r.file, y.Line, y.Column} }

// stop reports a limit and ends the reading of this document.
func (r *reader) stop(y *yaml.Node, code models.Code, format string, args ...any) *node {
	if !r.stopped {
		r.ledger.at(r.place(y), code, format, args...)
	}
	r.stopped = true
	return nil
}

// read is nil when the document can't be read on.
func (r *reader) read(y *yaml.Node, depth int) *node {
	if r.stopped {
		return nil
	}
	if depth > maxDepth {
		return r.stop(y, codeDepth, "is nested more than %d deep", maxDepth)
	}
	if r.values++; r.values > maxDocument {
		return r.stop(y, codeValues, "document holds more than %d values", maxDocument)
	}
	if r.inAlias > 0 {
		if r.aliased++; r.aliased > maxAliased {
			return r.stop(y, codeAliases, "aliases repeat more than %d values", maxAliased)
		}
	}
	switch y.Kind {
	case yaml.AliasNode:
		return r.alias(y, func(to *yaml.Node) *node { return r.read(to, depth) })
	case yaml.MappingNode:
		n := &node{at: r.place(y), shape: mapping, fields: make([]field, 0, len(y.Content)/2)}
		r.mapping(n, y, depth)
		return n
	case yaml.SequenceNode:
		n := &node{at: r.place(y), shape: sequence, items: make([]*node, 0, len(y.Content))}
		for _, c := range y.Content {
			if v := r.read(c, depth+1); v != nil {
				n.items = append(n.items, v)
			}
		}
		return n
	}
	return r.scalar(y)
}

func (r *reader) alias(y *yaml.Node, read func(*yaml.Node) *node) *node {
	if r.open[y.Alias] {
		return r.stop(y, codeAliases, "alias *%s is inside the value it repeats", y.Value)
	}
	r.open[y.Alias] = true
	r.inAlias++
	n := read(y.Alias)
	r.inAlias--
	delete(r.open, y.Alias)
	return n
}

func (r *reader) mapping(n *node, y *yaml.Node, depth int) {
	var merges []*yaml.Node
	seen := make(map[string]place, len(y.Content)/2)
	for i := 0; i+1 < len(y.Content) && !r.stopped; i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		if k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge" {
			merges = append(merges, v)
			continue
		}
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		if k.Kind != yaml.ScalarNode || k.ShortTag() == "!!null" {
			r.ledger.at(r.place(y.Content[i]), codeKey, "a key must be text")
			continue
		}
		r.visible(k)
		at := r.place(y.Content[i])
		if first, twice := seen[k.Value]; twice {
			r.ledger.at(at, codeDuplicateKey, "key %q is given twice: first at line %d", k.Value, first.line)
			continue
		}
		seen[k.Value] = at
		if value := r.read(v, depth+1); value != nil {
			n.fields = append(n.fields, field{k.Value, at, value})
		}
	}
	for _, m := range merges {
		r.merge(n, m, depth)
	}
}

// merge resolves "<<": the fields of the mappings it names, where the mapping
// itself and earlier ones have none.
func (r *reader) merge(n *node, y *yaml.Node, depth int) {
	list := []*yaml.Node{y}
	if y.Kind == yaml.SequenceNode {
		list = y.Content
	}
	for _, one := range list {
		m := r.read(one, depth+1)
		if m == nil {
			return
		}
		if m.shape != mapping {
			r.ledger.at(r.place(one), codeMerge, "<< takes a mapping or a list of mappings, not %s", m.shape)
			continue
		}
		for _, f := range m.fields {
			if n.get(f.name) == nil {
				n.fields = append(n.fields, f)
			}
		}
	}
}

func (r *reader) scalar(y *yaml.Node) *node {
	n := &node{at: r.place(y), text: y.Value, quoted: y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0}
	r.visible(y)
	switch tag := y.ShortTag(); tag {
	case "!!str", "!!timestamp": // a date is text to us
		n.shape = text
	case "!!int":
		n.shape = integer
	case "!!float":
		n.shape = float
		if plain.MatchString(n.text) {
			n.shape = integer // beyond 64 bits, where the library goes over to floats
		}
	case "!!bool":
		n.shape = boolean
	case "!!null":
		n.shape = null
	default:
		r.ledger.at(n.at, codeTag, "tag %s is not known here", tag)
		n.shape = text
	}
	if y.Style&yaml.TaggedStyle != 0 && n.shape != text {
		r.ledger.at(n.at, codeTag, "tag %s is not known here", y.Tag)
		n.shape = text
	}
	return n
}

// visible refuses the control characters that an escape brings into a text: of the
// bytes of a file that is seen to already.
func (r *reader) visible(y *yaml.Node) {
	if y.Style&yaml.DoubleQuotedStyle == 0 {
		return
	}
	if i := strings.IndexFunc(y.Value, isControl); i >= 0 {
		r.ledger.at(r.place(y), codeControl, "text holds the control character U+%04X", y.Value[i])
	}
}

// number is an integer's value, nil when the text is none.
func (n *node) number() *big.Int {
	v, ok := new(big.Int).SetString(strings.ReplaceAll(n.text, "_", ""), 0)
	if !ok {
		return nil
	}
	return v
}

var yamlLine = regexp.MustCompile(`^yaml: (line [0-9]+: )?`)

// syntaxMistake finds where the file stops being YAML. The library names the
// line where the enclosing block begins, often far above the slip, so the line
// is looked for: the last one up to which the file is still sound is the line
// before.
func syntaxMistake(src source, err error, l *ledger) {
	lines := bytes.SplitAfter(src.data, []byte("\n"))
	bad := firstBad(lines)
	line := strings.TrimRight(string(lines[bad]), "\r\n")
	indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	m := mistake{
		at: place{src.name, bad + 1, len(indent) + 1}, code: codeSyntax,
		msg: "is not YAML: " + yamlLine.ReplaceAllString(err.Error(), ""),
	}
	if tab := strings.IndexByte(indent, '\t'); tab >= 0 {
		m.code, m.at.column, m.msg, m.hint = codeTab, tab+1, "a tab indents this line", "YAML indents with spaces alone"
	} else if strings.Contains(m.msg, "mapping values are not allowed") {
		m.hint = "is the indentation right? text that holds \": \" needs quotes"
	} else if strings.Contains(m.msg, "did not find expected key") {
		m.hint = "is the indentation right?"
	} else if strings.Contains(m.msg, "cannot start any token") || strings.Contains(m.msg, "alphabetic or numeric character") {
		m.hint = "text that begins with @, `, %, * or & needs quotes"
	}
	l.add(m)
}

// firstBad is the index of the line that the trouble starts on. Cutting inside
// a value over several lines is unsound as well, so after the search by halves
// later sound ends are tried.
func firstBad(lines [][]byte) int {
	sound := func(n int) bool {
		d := yaml.NewDecoder(bytes.NewReader(bytes.Join(lines[:n], nil)))
		for {
			var doc yaml.Node
			if err := d.Decode(&doc); err != nil {
				return errors.Is(err, io.EOF)
			}
		}
	}
	good, bad := 0, len(lines)
	for bad-good > 1 {
		if mid := (good + bad) / 2; sound(mid) {
			good = mid
		} else {
			bad = mid
		}
	}
	for n := good + 1; n < min(len(lines), good+100); n++ {
		if sound(n) {
			good = n
		}
	}
	return min(good, len(lines)-1)
}
