package tree

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// KeyValue is one key of a list entry. The value is text as people write it:
// unquoted, an identity without its module.
type KeyValue struct{ Name, Value string }

// Elem is one step of a path: a node's name, and for a list the entry's keys, in
// the schema's key order once the path is resolved. A list without keys means the
// list as a whole.
type Elem struct {
	Name string
	Keys []KeyValue
}

// Path is a place in a tree, from the root. The empty path is the root.
type Path []Elem

// ParsePath reads a path's string form as the gNMI path conventions write it,
// "/interfaces/interface[name=Ethernet1]/config/mtu": within a key's value a
// backslash makes ']' and itself plain, within a name '/' and '['. A "*" in a key
// value is kept as text; what it means is the reader's business. Names may be
// qualified by a module. "/" is the root.
func ParsePath(s string) (Path, error) {
	if !strings.HasPrefix(s, "/") {
		return nil, fmt.Errorf("path %q: does not begin with \"/\"", s)
	}
	if s == "/" {
		return nil, nil
	}
	r := pathReader{s: s}
	var p Path
	for r.i < len(s) {
		e, err := r.elem()
		if err != nil {
			return nil, fmt.Errorf("path %q: %w", s, err)
		}
		p = append(p, e)
	}
	return p, nil
}

type pathReader struct {
	s string
	i int
}

func (r *pathReader) elem() (Elem, error) {
	r.i++ // the slash
	name, err := r.text("/[", "=]")
	if err != nil {
		return Elem{}, err
	}
	if name == "" {
		return Elem{}, errors.New("an element without a name")
	}
	e := Elem{Name: name}
	for r.i < len(r.s) && r.s[r.i] == '[' {
		r.i++
		key, err := r.text("=", "[]/")
		if err != nil {
			return Elem{}, err
		}
		if key == "" || r.i == len(r.s) {
			return Elem{}, fmt.Errorf("%s: a key without a name or value", name)
		}
		if slices.ContainsFunc(e.Keys, func(kv KeyValue) bool { return kv.Name == key }) {
			return Elem{}, fmt.Errorf("%s: the key %s twice", name, key)
		}
		r.i++
		value, err := r.text("]", "")
		if err != nil {
			return Elem{}, err
		}
		if r.i == len(r.s) {
			return Elem{}, fmt.Errorf("%s: the key %s is not closed by \"]\"", name, key)
		}
		r.i++
		e.Keys = append(e.Keys, KeyValue{key, value})
	}
	if r.i < len(r.s) && r.s[r.i] != '/' {
		return Elem{}, fmt.Errorf("%s: %q after its keys", name, r.s[r.i:])
	}
	return e, nil
}

// text reads up to one of end, or the end of the path. One of bad is an error,
// unless a backslash stands before it.
func (r *pathReader) text(end, bad string) (string, error) {
	var b strings.Builder
	for ; r.i < len(r.s); r.i++ {
		c := r.s[r.i]
		switch {
		case c == '\\':
			if r.i++; r.i == len(r.s) {
				return "", errors.New("a backslash at the end")
			}
			c = r.s[r.i]
		case strings.IndexByte(end, c) >= 0:
			return b.String(), nil
		case strings.IndexByte(bad, c) >= 0:
			return "", fmt.Errorf("%q is out of place", string(c))
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}

var (
	nameEscapes  = strings.NewReplacer(`\`, `\\`, `/`, `\/`, `[`, `\[`, `]`, `\]`, `=`, `\=`)
	valueEscapes = strings.NewReplacer(`\`, `\\`, `]`, `\]`)
)

// String returns the form that ParsePath reads.
func (p Path) String() string {
	if len(p) == 0 {
		return "/"
	}
	var b strings.Builder
	for _, e := range p {
		b.WriteByte('/')
		b.WriteString(nameEscapes.Replace(e.Name))
		for _, kv := range e.Keys {
			b.WriteByte('[')
			b.WriteString(nameEscapes.Replace(kv.Name))
			b.WriteByte('=')
			b.WriteString(valueEscapes.Replace(kv.Value))
			b.WriteByte(']')
		}
	}
	return b.String()
}

// Equal says whether p and q are the same, keys in the same order.
func (p Path) Equal(q Path) bool {
	return slices.EqualFunc(p, q, func(a, b Elem) bool { return a.Name == b.Name && slices.Equal(a.Keys, b.Keys) })
}

// Within says whether p is at or below top. Keys that top leaves out match any, and
// "*" in a key's value any text; both are resolved. It may miss a p with patterns of
// its own that names the same in other words, never the other way round.
func (p Path) Within(top Path) bool { return len(p) >= len(top) && matchAll(top, p[:len(top)]) }

// Find returns the node that p leads to, whatever its keys' values. The error
// names the first element that the schema has not, and the nearest that it has.
func (s *Schema) Find(p Path) (*Node, error) {
	_, n, err := s.Resolve(p)
	return n, err
}

// Resolve returns p with plain names, keys in the schema's order and their values
// in canonical form, and the node that it leads to. Keys may be missing; a value
// that holds "*" stays as it is.
func (s *Schema) Resolve(p Path) (Path, *Node, error) {
	n := s.Root
	out := make(Path, 0, len(p))
	for i, e := range p {
		c := n.Child(e.Name)
		if c == nil {
			return nil, nil, fmt.Errorf("path %s: %w", p[:i+1], unknownChild(n, e.Name))
		}
		keys, err := c.resolveKeys(e.Keys)
		if err != nil {
			return nil, nil, fmt.Errorf("path %s: %w", p[:i+1], err)
		}
		out = append(out, Elem{c.Name, keys})
		n = c
	}
	return out, n, nil
}

func (n *Node) resolveKeys(given []KeyValue) ([]KeyValue, error) {
	if len(given) == 0 {
		return nil, nil
	}
	for _, kv := range given {
		if !slices.Contains(n.Keys, kv.Name) {
			return nil, fmt.Errorf("%s %s has no key %q%s", n.Kind, n.Name, kv.Name, didYouMean(kv.Name, n.Keys))
		}
	}
	keys := make([]KeyValue, 0, len(given))
	for _, name := range n.Keys {
		i := slices.IndexFunc(given, func(kv KeyValue) bool { return kv.Name == name })
		if i < 0 {
			continue
		}
		kv := given[i]
		if !strings.Contains(kv.Value, "*") {
			typ := n.byName[name].Type.Final
			text, err := typ.fromText(kv.Value)
			if err != nil {
				return nil, fmt.Errorf("key %s: %w", name, err)
			}
			kv.Value = typ.text(text)
		}
		keys = append(keys, kv)
	}
	return keys, nil
}

// unknownChild says that n has no child of that name, and which one is near.
func unknownChild(n *Node, name string) error {
	in := n.Name
	if n.Parent == nil {
		in = "the root"
	}
	if module, local, ok := strings.Cut(name, ":"); ok {
		if c := n.byName[local]; c != nil {
			return fmt.Errorf("%s is in module %s, not %s", local, c.Module, module)
		}
		name = local
	}
	names := make([]string, 0, len(n.children))
	for _, c := range n.children {
		names = append(names, c.Name)
	}
	return fmt.Errorf("%s has no config node %q%s", in, name, didYouMean(name, names))
}
