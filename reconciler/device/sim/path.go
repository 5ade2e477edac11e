package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/ygot/ygot"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxTries bounds the work of expanding one path with wildcards: the models have
// fewer nodes, but several "..." reach each of them many times.
const maxTries = 20_000

// What a path may name that the configuration can't hold. Each RPC gives them
// their codes.
var (
	errUnknownNode = errors.New("not in the models")
	errState       = errors.New("state, of which this target has none")
)

// missing says why a node has no such child. The models mirror each config
// container in a state container beside it.
func (s *schema) missing(name string) error {
	_, bare, qualified := strings.Cut(name, ":")
	if !qualified {
		bare = name
	}
	if bare == "state" && s.index["config"] != nil {
		return errState
	}
	return errUnknownNode
}

// readError gives the error of a path its code: Unimplemented for state, which the
// models have and this target has not (gNMI 3.3.4, 3.5.2.4), InvalidArgument for
// what is no path of the models (gNMI 3.3.1).
func readError(err error) error {
	if errors.Is(err, errState) {
		return status.Error(codes.Unimplemented, err.Error())
	}
	return status.Error(codes.InvalidArgument, err.Error())
}

// elems is the absolute path of a request: prefix and path, one after the other
// (gNMI 2.4.1). It refuses what would otherwise be read as something else.
func elems(prefix, path *gnmi.Path) ([]*gnmi.PathElem, error) {
	//lint:ignore SA1019 the deprecated field must be refused: a path that only has it would read as the root
	if len(prefix.GetElement())+len(path.GetElement()) > 0 {
		return nil, status.Error(codes.InvalidArgument, "path uses the deprecated field element")
	}
	if path.GetTarget() != "" {
		return nil, status.Error(codes.InvalidArgument, "target belongs to the prefix only (gNMI 2.2.2.1)")
	}
	if prefix.GetOrigin() != "" && path.GetOrigin() != "" {
		return nil, status.Error(codes.InvalidArgument, "origin in both prefix and path")
	}
	if o := prefix.GetOrigin() + path.GetOrigin(); o != "" && o != "openconfig" {
		return nil, status.Errorf(codes.Unimplemented, "origin %q is not supported", brief(o))
	}
	return slices.Concat(prefix.GetElem(), path.GetElem()), nil
}

// pathText writes a path for people and messages.
func pathText(elems []*gnmi.PathElem) string {
	if len(elems) == 0 {
		return "/"
	}
	var b strings.Builder
	for _, e := range elems {
		b.WriteString("/" + e.GetName())
		for _, k := range slices.Sorted(maps.Keys(e.GetKey())) {
			v := strings.NewReplacer(`\`, `\\`, `]`, `\]`).Replace(e.GetKey()[k])
			fmt.Fprintf(&b, "[%s=%s]", k, v)
		}
	}
	return b.String()
}

// resolve finds the one node that a path names. Wildcards are refused, and so is
// a list's entry without all its keys (gNMI 3.4.5); only the last element may be
// a list as a whole.
func (s *schema) resolve(elems []*gnmi.PathElem) ([]step, error) {
	at, out := s, make([]step, 0, len(elems))
	for i, e := range elems {
		if n := e.GetName(); n == "*" || n == "..." {
			return nil, fmt.Errorf("%s: a wildcard in what is to be written", pathText(elems))
		}
		next := at.child(e.GetName())
		if next == nil {
			return nil, fmt.Errorf("%s: %q below %s: %w", pathText(elems), brief(e.GetName()), at.path(), at.missing(e.GetName()))
		}
		st, err := next.step(e)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", pathText(elems), err)
		}
		whole := i == len(elems)-1 && len(e.GetKey()) == 0
		if next.kind == list && whole {
			st = step{schema: next}
		}
		if next.kind == list && !whole && !st.exact() {
			return nil, fmt.Errorf("%s: %s needs all its keys", pathText(elems), next.path())
		}
		out = append(out, st)
		at = next
	}
	return out, nil
}

// step resolves one element. Keys that are missing or "*" match everything.
func (s *schema) step(e *gnmi.PathElem) (step, error) {
	st := step{schema: s}
	if s.kind == list {
		st.keys, st.any = make([]string, len(s.keys)), make([]bool, len(s.keys))
		for i := range st.any {
			st.any[i] = true
		}
	}
	for name, text := range e.GetKey() {
		i := slices.IndexFunc(s.keys, func(k *schema) bool { return k == s.child(name) })
		if i < 0 {
			return step{}, fmt.Errorf("%s has no key %q", s.path(), brief(name))
		}
		if text == "*" {
			continue
		}
		v, err := s.keys[i].typ.parse(quote(text), formKey)
		if err != nil {
			return step{}, fmt.Errorf("key %s: %w", name, err)
		}
		st.keys[i], st.any[i] = v.text, false
	}
	return st, nil
}

// patterns resolves a path that may hold wildcards: "*" for a name or a key's
// value, "..." for any number of names, and keys left out. Names are expanded
// against the schema, so that each pattern names exactly one schema node.
func (s *schema) patterns(elems []*gnmi.PathElem) ([][]step, error) {
	x := expansion{text: pathText(elems), ends: map[*schema][][]step{}}
	if err := x.expand(s, elems, nil); err != nil {
		return nil, err
	}
	switch {
	case len(x.out) > 0:
		return x.out, nil
	case x.err != nil:
		return nil, x.err
	case x.parent != nil:
		return nil, fmt.Errorf("%s: %q below %s: %w", x.text, brief(x.missing), x.parent.path(), x.parent.missing(x.missing))
	}
	return nil, fmt.Errorf("%s: %w", x.text, errUnknownNode)
}

type expansion struct {
	text  string
	tries int
	out   [][]step
	ends  map[*schema][][]step // out by the node that they name
	err   error                // why keys did not fit, in the last branch where they did not

	parent  *schema // where the last name led nowhere, or one that led to state
	missing string
}

func (x *expansion) expand(at *schema, elems []*gnmi.PathElem, done []step) error {
	if x.tries++; x.tries > maxTries {
		return fmt.Errorf("%s: too many wildcards", x.text)
	}
	if len(elems) == 0 {
		x.found(done)
		return nil
	}
	e := elems[0]
	switch name := e.GetName(); name {
	case "*":
		return x.each(at, e, elems[1:], done)
	case "...":
		if err := x.expand(at, elems[1:], done); err != nil || len(elems) == 1 {
			return err // at the end, everything below is meant anyway
		}
		return x.each(at, &gnmi.PathElem{}, elems, done)
	default:
		next := at.child(name)
		if next == nil {
			if x.parent == nil || x.parent.missing(x.missing) != errState {
				x.parent, x.missing = at, name
			}
			return nil
		}
		return x.into(next, e, elems[1:], done)
	}
}

// found keeps a pattern, once.
func (x *expansion) found(done []step) {
	same := func(a, b step) bool {
		return a.schema == b.schema && slices.Equal(a.keys, b.keys) && slices.Equal(a.any, b.any)
	}
	var end *schema
	if len(done) > 0 {
		end = done[len(done)-1].schema
	}
	for _, p := range x.ends[end] {
		if slices.EqualFunc(p, done, same) {
			return
		}
	}
	p := slices.Clone(done)
	x.out = append(x.out, p)
	x.ends[end] = append(x.ends[end], p)
}

// each goes on in every child, with the element's keys where they fit.
func (x *expansion) each(at *schema, e *gnmi.PathElem, rest []*gnmi.PathElem, done []step) error {
	for _, c := range at.children {
		if err := x.into(c, e, rest, done); err != nil {
			return err
		}
	}
	return nil
}

func (x *expansion) into(s *schema, e *gnmi.PathElem, rest []*gnmi.PathElem, done []step) error {
	st, err := s.step(e)
	if err != nil {
		x.err = fmt.Errorf("%s: %w", x.text, err)
		return nil
	}
	return x.expand(s, rest, append(done, st))
}

// match calls found for each node of n that a pattern names, with its exact
// path, which is found's only until it returns.
func (n *node) match(pattern, done []step, found func(path []step, n *node, token string)) {
	if n == nil {
		return
	}
	if len(pattern) == 0 {
		found(done, n, "")
		return
	}
	at, rest := pattern[0], pattern[1:]
	if at.schema.isLeaf() {
		if token := n.leaf(at.schema); token != "" {
			found(append(done, at), nil, token)
		}
		return
	}
	kid := n.kid(at.schema)
	if kid == nil || at.keys == nil {
		kid.match(rest, append(done, at), found)
		return
	}
	if at.exact() {
		if i, ok := kid.entry(at.keys); ok {
			kid.kids[i].match(rest, append(done, at), found)
		}
		return
	}
	for _, e := range kid.kids {
		if at.matches(e.keys) {
			e.match(rest, append(done, exactly(e)), found)
		}
	}
}

// exactly is the step to an entry.
func exactly(e *node) step {
	st := step{schema: e.schema, keys: e.keys, any: make([]bool, len(e.keys))}
	st.elem = st.pathElem()
	return st
}

// gnmiPath writes resolved steps as a path. It names no module. The elements are
// shared between paths, and must not be written to.
func gnmiPath(path []step) *gnmi.Path {
	p := &gnmi.Path{Elem: make([]*gnmi.PathElem, len(path))}
	for i, st := range path {
		p.Elem[i] = st.pathElem()
	}
	return p
}

func (s step) pathElem() *gnmi.PathElem {
	switch {
	case s.elem != nil:
		return s.elem
	case s.keys == nil:
		return s.schema.elem
	}
	e := &gnmi.PathElem{Name: s.schema.name, Key: make(map[string]string, len(s.keys))}
	for i, k := range s.schema.keys {
		e.Key[k.name] = s.keys[i]
	}
	return e
}

// parsePath reads a path's text form, as Config.Refuse holds it.
func (t *Target) parsePath(text string) ([][]step, error) {
	p, err := ygot.StringToStructuredPath(text)
	if err != nil {
		return nil, fmt.Errorf("path %q: %w", text, err)
	}
	return t.schema.patterns(p.GetElem())
}
