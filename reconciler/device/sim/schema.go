package sim

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/goyang/pkg/yang"
	"github.com/setpoint-net/setpoint/models/oc"
)

type kind uint8

const (
	container kind = iota
	list
	leaf
	leafList
)

// schema is one node of the data model. It is built once, shared by all targets
// and never written after.
type schema struct {
	name, module string
	kind         kind
	parent       *schema
	ord          int // position among the parent's children, which sorts data
	children     []*schema
	index        map[string]*schema // children by unqualified name
	keys         []*schema          // list: its key leaves, in schema order
	user         bool               // list, leaf-list: ordered-by user
	min, max     uint64             // leaf-list: number of values
	typ          *leafType
	key          *key           // leaf: set when it carries a key of the enclosing entry
	elem         *gnmi.PathElem // the name alone, for paths
	def          string         // leaf, leaf-list: the token of its default; "": none
	filled       *node          // container: what it holds where nothing is set; nil: nothing
}

// key says which of an entry's keys a leaf carries: the key leaf itself, or the
// config leaf that the key leaf refers to.
type key struct {
	list *schema
	pos  int
}

// openConfig compiles the schema on first use: about 5 ms.
var openConfig = sync.OnceValues(compile)

func compile() (*schema, error) {
	device := oc.SchemaTree["Device"]
	if device == nil {
		return nil, fmt.Errorf("models hold no Device")
	}
	c := compiler{modules: map[string]string{}}
	c.walk(reflect.TypeFor[oc.Device](), "")
	return c.node(device, nil, "")
}

type compiler struct {
	modules map[string]string // schema path → module
}

// walk reads the module of each node from the tags of the generated structs; the
// schema's entries do not hold it.
func (c compiler) walk(t reflect.Type, at string) {
	for f := range fields(t) {
		modules := strings.Split(f.Tag.Get("module"), "|")
		for i, path := range strings.Split(f.Tag.Get("path"), "|") {
			here := at
			names := strings.Split(strings.TrimPrefix(path, "/"), "/")
			mods := strings.Split(strings.TrimPrefix(modules[i], "/"), "/")
			for j, name := range names {
				here += "/" + name
				c.modules[here] = mods[j]
			}
			if s := structOf(f.Type); s != nil {
				c.walk(s, here)
			}
		}
	}
}

func fields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if f := t.Field(i); f.Tag.Get("path") != "" && !yield(f) {
				return
			}
		}
	}
}

// structOf is the generated struct behind a field: a container, a list's map or
// an ordered list. It is nil for leaves.
func structOf(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil
	}
	if m, ok := t.MethodByName("Values"); ok {
		return structOf(m.Type.Out(0).Elem())
	}
	return t.Elem()
}

func (c compiler) node(e *yang.Entry, parent *schema, path string) (*schema, error) {
	s := &schema{name: e.Name, parent: parent, kind: kindOf(e), module: c.modules[path]}
	s.elem = &gnmi.PathElem{Name: s.name}
	if s.module == "" && parent != nil {
		s.module = parent.module // a container without config below it has no struct
	}
	if e.ListAttr != nil {
		s.user, s.min, s.max = e.ListAttr.OrderedByUser, e.ListAttr.MinElements, e.ListAttr.MaxElements
	}
	if s.kind == leaf || s.kind == leafList {
		var err error
		if s.typ, err = newLeafType(e, path); err != nil {
			return nil, err
		}
		return s, s.bindDefaults(e)
	}
	s.index = make(map[string]*schema, len(e.Dir))
	for i, name := range slices.Sorted(maps.Keys(e.Dir)) {
		child, err := c.node(e.Dir[name], s, path+"/"+name)
		if err != nil {
			return nil, err
		}
		child.ord = i
		s.children = append(s.children, child)
		s.index[name] = child
	}
	if err := s.bindKeys(e); err != nil {
		return nil, err
	}
	return s, s.bindDefaults(e)
}

// bindKeys finds a list's key leaves, and the config leaves that they refer to.
func (s *schema) bindKeys(e *yang.Entry) error {
	if s.kind != list {
		return nil
	}
	for pos, name := range strings.Fields(e.Key) {
		k := s.index[name]
		if k == nil {
			return fmt.Errorf("list %s: no key leaf %s", s.name, name)
		}
		s.keys = append(s.keys, k)
		k.key = &key{list: s, pos: pos}
		ref, ok := strings.CutPrefix(e.Dir[name].Type.Path, "../config/")
		if c := s.index["config"]; ok && c != nil && c.index[ref] != nil {
			c.index[ref].key = k.key
		}
	}
	return nil
}

func kindOf(e *yang.Entry) kind {
	switch {
	case e.IsList():
		return list
	case e.IsLeafList():
		return leafList
	case e.IsLeaf():
		return leaf
	}
	return container
}

// child is the child with that name, bare or with its own module's prefix.
func (s *schema) child(name string) *schema {
	module, bare, qualified := strings.Cut(name, ":")
	if !qualified {
		return s.index[name]
	}
	if c := s.index[bare]; c != nil && c.module == module {
		return c
	}
	return nil
}

// qualified is the member name in RFC 7951 JSON (section 4): with the module
// where it differs from the parent's.
func (s *schema) qualified(parent string) string {
	if s.module == parent {
		return s.name
	}
	return s.module + ":" + s.name
}

// path is the schema path, for messages.
func (s *schema) path() string {
	if s.parent == nil {
		return "/"
	}
	return strings.TrimSuffix(s.parent.path(), "/") + "/" + s.name
}

// isLeaf: a leaf or a leaf-list.
func (s *schema) isLeaf() bool { return s.kind == leaf || s.kind == leafList }

func byOrd(a, b *schema) int { return cmp.Compare(a.ord, b.ord) }
