package renderer

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
)

// sum names content: equal sums, equal content. It is SHA-256, because what is
// compared by it comes from outside and outlives one tree.
type sum [sha256.Size]byte

// summing writes values one after the other so that no two rows of values give
// the same bytes: each text with its length before it.
type summing struct{ out []byte }

func (s *summing) number(n int)       { s.out = binary.AppendUvarint(s.out, uint64(n)) }
func (s *summing) sum(n sum)          { s.out = append(s.out, n[:]...) }
func (s *summing) done() sum          { return sha256.Sum256(s.out) }
func (s *summing) mark(b byte)        { s.out = append(s.out, b) }
func (s *summing) text(text string)   { s.number(len(text)); s.out = append(s.out, text...) }
func (s *summing) texts(all []string) { s.number(len(all)); s.each(all) }

func (s *summing) each(all []string) {
	for _, text := range all {
		s.text(text)
	}
}

func (s *summing) labels(labels map[string]string) {
	names := make([]string, 0, len(labels))
	for name := range labels {
		names = append(names, name)
	}
	slices.Sort(names)
	s.number(len(names))
	for _, name := range names {
		s.text(name)
		s.text(labels[name])
	}
}

// node writes a value's content, and neither its places nor its quotes: a comment
// above it, or another way to write the same, changes nothing.
func (s *summing) node(n *node) {
	if n == nil {
		s.mark(0xff)
		return
	}
	s.mark(byte(n.shape))
	switch n.shape {
	case mapping:
		s.number(len(n.fields))
		for _, f := range n.fields {
			s.text(f.name)
			s.node(f.value)
		}
	case sequence:
		s.number(len(n.items))
		for _, item := range n.items {
			s.node(item)
		}
	default:
		s.text(n.text)
	}
}

// sumOf is the sum of a value's content.
func sumOf(n *node) sum {
	var s summing
	s.node(n)
	return s.done()
}

// piece of config as a document gives it, with what is known of it before it is
// looked at.
type given struct {
	content sum
	refs    []string // what its references name, each once, such as vars.asn
	odd     bool     // a reference is not written well: nothing is known
}

// about is what can be said of a fragment from its text alone.
func about(root *node) given {
	g := given{content: sumOf(root)}
	g.gather(root)
	slices.Sort(g.refs)
	g.refs = slices.Compact(g.refs)
	return g
}

func (g *given) gather(n *node) {
	if n == nil {
		return
	}
	for _, f := range n.fields {
		g.gather(f.value)
	}
	for _, item := range n.items {
		g.gather(item)
	}
	if !refers(n) {
		return
	}
	rest := n.text
	for {
		i := strings.Index(rest, "${")
		if i < 0 {
			return
		}
		if i > 0 && rest[i-1] == '$' {
			rest = rest[i+2:]
			continue
		}
		end := strings.IndexByte(rest[i:], '}')
		if end < 0 {
			g.odd = true
			return
		}
		g.refs = append(g.refs, rest[i+2:i+end])
		rest = rest[i+end+1:]
	}
}
