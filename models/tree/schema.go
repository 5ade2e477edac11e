package tree

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Schema is a set of YANG modules' config nodes as one tree. It is immutable and
// safe for concurrent use; trees of different schemas never compare equal.
type Schema struct {
	// Root is the container of all top-level nodes. It has no name and no module.
	Root *Node

	seed maphash.Seed // of the hashes that SameAs compares
}

// Kind is what a node is in YANG (RFC 7950 section 4.2.2).
type Kind uint8

const (
	Container Kind = iota
	List
	Leaf
	LeafList
)

func (k Kind) String() string {
	switch k {
	case Container:
		return "container"
	case List:
		return "list"
	case Leaf:
		return "leaf"
	}
	return "leaf-list"
}

// UnmarshalText reads a kind as the embedded schema writes it.
func (k *Kind) UnmarshalText(text []byte) error {
	for c := Container; c <= LeafList; c++ {
		if c.String() == string(text) {
			*k = c
			return nil
		}
	}
	return fmt.Errorf("unknown kind of node %q", text)
}

// Node is one config node of a schema. Choices and cases are no nodes.
type Node struct {
	Name        string
	Module      string // that instantiates the node: what qualifies its name (RFC 7951 section 4)
	Kind        Kind
	Keys        []string // of a list, in the schema's order
	UserOrdered bool     // a list or leaf-list whose order means something (RFC 7950 section 7.7.7)
	Type        *Type    // of a leaf or leaf-list, as declared; see Type.Final
	Default     string   // of a leaf, as YANG writes it; "" for none
	Secret      bool     // a leaf whose value no text may show
	Mandatory   bool     // a leaf that is there when what holds it is (RFC 7950 section 7.6.5)
	Parent      *Node    // nil for the root

	// When are conditions that all have to hold where the node is. Those that the
	// modules state in another form than Condition are not here: models/gen has
	// the list.
	When []Condition

	children    []*Node // sorted by name
	byName      map[string]*Node
	id          uint64 // place in the schema, part of each value's hash
	pos         int    // place among the parent's children
	key         int    // 1 + place among the parent list's keys, 0 for none
	plain       string // the member name in JSON, `"mtu":`
	qualified   string // `"openconfig-interfaces:interfaces":`
	defaultJSON string // Default in canonical JSON
}

// Child returns the child of that name, nil when there is none. The name may be
// qualified by the child's module; with another module there is no such child.
func (n *Node) Child(name string) *Node {
	module, local, qualified := strings.Cut(name, ":")
	if !qualified {
		return n.byName[name]
	}
	if c := n.byName[local]; c != nil && c.Module == module {
		return c
	}
	return nil
}

// DefaultLiteral returns a leaf's default as canonical JSON, as Value.Literal would;
// "" for none.
func (n *Node) DefaultLiteral() string { return n.defaultJSON }

// Children returns the children, sorted by name. The slice is the caller's.
func (n *Node) Children() []*Node { return slices.Clone(n.children) }

// Path returns the node's place without list keys, such as
// "/interfaces/interface/config/mtu"; "/" for the root.
func (n *Node) Path() string {
	if n.Parent == nil {
		return "/"
	}
	var names []string
	for ; n.Parent != nil; n = n.Parent {
		names = append(names, n.Name)
	}
	slices.Reverse(names)
	return "/" + strings.Join(names, "/")
}

// Type is a leaf's YANG type. Ranges, lengths and patterns are there to be told
// to people: this package checks none of them, but for a union's members.
type Type struct {
	Name           string // the typedef, or the built-in type
	Kind           TypeKind
	Range          string            // "1..4094|4096", of numbers
	Length         string            // of strings and binaries
	Patterns       []string          // POSIX expressions, all of which must match
	Enum           []string          // sorted names of an enumeration
	Identities     map[string]string // name to defining module, of an identityref
	FractionDigits int               // of a decimal64
	Union          []*Type           // members, in order
	Target         string            // of a leafref: the path of the node it points at
	Final          *Type             // what a leafref's value is; the type itself for all others

	format   string  // a typedef whose text has a canonical form, see formats
	members  []*Type // of a union: all members but unions, in order
	patterns func() []*regexp.Regexp
}

// TypeKind is a YANG built-in type (RFC 7950 section 4.2.4).
type TypeKind uint8

const (
	Int8 TypeKind = iota
	Int16
	Int32
	Int64
	Uint8
	Uint16
	Uint32
	Uint64
	Decimal64
	String
	Boolean
	Enumeration
	Binary
	Leafref
	Identityref
	Union
)

var typeKinds = [...]string{
	"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "decimal64",
	"string", "boolean", "enumeration", "binary", "leafref", "identityref", "union",
}

func (k TypeKind) String() string { return typeKinds[k] }

// UnmarshalText reads a built-in type by its YANG name.
func (k *TypeKind) UnmarshalText(text []byte) error {
	i := slices.Index(typeKinds[:], string(text))
	if i < 0 {
		return fmt.Errorf("unknown type %q", text)
	}
	*k = TypeKind(i)
	return nil
}

//go:embed schema.json.gz
var openConfig []byte

// OpenConfig returns the schema of OpenConfig's public models, the same modules
// as package oc's. It is read once per process, in a few milliseconds.
func OpenConfig() *Schema { return loadOpenConfig() }

var loadOpenConfig = sync.OnceValue(func() *Schema {
	s, err := readSchema(openConfig)
	if err != nil {
		// The bytes are part of the program, and its tests read them.
		return &Schema{Root: &Node{}, seed: maphash.MakeSeed()}
	}
	return s
})

// The embedded schema's form, as models/gen writes it.
type (
	schemaJSON struct {
		Types []typeJSON `json:"types"`
		Root  nodeJSON   `json:"root"`
	}
	typeJSON struct {
		Name           string            `json:"name"`
		Kind           TypeKind          `json:"kind"`
		Format         string            `json:"format"`
		Range          string            `json:"range"`
		Length         string            `json:"length"`
		Patterns       []string          `json:"patterns"`
		Enum           []string          `json:"enum"`
		Identities     map[string]string `json:"identities"`
		FractionDigits int               `json:"fractionDigits"`
		Target         string            `json:"target"`
		Union          []int             `json:"union"`
		Final          *int              `json:"final"`
	}
	nodeJSON struct {
		Name        string         `json:"name"`
		Module      string         `json:"module"`
		Kind        Kind           `json:"kind"`
		Keys        []string       `json:"keys"`
		UserOrdered bool           `json:"userOrdered"`
		Type        *int           `json:"type"`
		Default     string         `json:"default"`
		Secret      bool           `json:"secret"`
		Mandatory   bool           `json:"mandatory"`
		When        [][][]testJSON `json:"when"`
		Children    []nodeJSON     `json:"children"`
	}
)

func readSchema(zipped []byte) (*Schema, error) {
	r, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var in schemaJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, err
	}
	b := schemaBuilder{types: buildTypes(in.Types)}
	root, err := b.node(in.Root, nil)
	if err != nil {
		return nil, err
	}
	if err := root.conditions(&in.Root); err != nil {
		return nil, err
	}
	return &Schema{Root: root, seed: maphash.MakeSeed()}, nil
}

// buildTypes links the types. A type's members and target stand before it.
func buildTypes(in []typeJSON) []*Type {
	types := make([]*Type, len(in))
	for i, j := range in {
		t := &Type{
			Name: j.Name, Kind: j.Kind, Range: j.Range, Length: j.Length, Patterns: j.Patterns, Enum: j.Enum,
			Identities: j.Identities, FractionDigits: j.FractionDigits, Target: j.Target, format: j.Format,
		}
		t.Final = t
		if j.Final != nil {
			t.Final = types[*j.Final]
		}
		for _, m := range j.Union {
			t.Union = append(t.Union, types[m])
			if f := types[m].Final; f.Kind == Union {
				t.members = append(t.members, f.members...)
			} else {
				t.members = append(t.members, f)
			}
		}
		slices.Sort(t.Enum)
		t.patterns = sync.OnceValue(t.compile)
		types[i] = t
	}
	return types
}

// compile returns the patterns as expressions. One that Go cannot read matches
// nothing, so that a value it would decide on stays as it was given.
func (t *Type) compile() []*regexp.Regexp {
	var all []*regexp.Regexp
	for _, p := range t.Patterns {
		re, err := regexp.Compile(p)
		if err != nil {
			re = regexp.MustCompile(`[^\x00-\x{10FFFF}]`)
		}
		all = append(all, re)
	}
	return all
}

type schemaBuilder struct {
	types []*Type
	nodes uint64
}

func (b *schemaBuilder) node(j nodeJSON, parent *Node) (*Node, error) {
	n := &Node{
		Name: j.Name, Module: j.Module, Kind: j.Kind, Keys: j.Keys, UserOrdered: j.UserOrdered,
		Default: j.Default, Secret: j.Secret, Mandatory: j.Mandatory, Parent: parent,
		id: b.nodes, byName: make(map[string]*Node, len(j.Children)),
	}
	b.nodes++
	if n.Module == "" && parent != nil {
		n.Module = parent.Module
	}
	n.plain = `"` + n.Name + `":`
	n.qualified = `"` + n.Module + ":" + n.Name + `":`
	if j.Type != nil {
		n.Type = b.types[*j.Type]
	}
	if n.Default != "" {
		text, err := n.Type.Final.fromText(n.Default)
		if err != nil {
			return nil, fmt.Errorf("%s: default: %w", n.Path(), err)
		}
		n.defaultJSON = text
	}
	for i, c := range j.Children {
		child, err := b.node(c, n)
		if err != nil {
			return nil, err
		}
		child.pos = i
		child.key = 1 + slices.Index(n.Keys, child.Name)
		n.children = append(n.children, child)
		n.byName[child.Name] = child
	}
	return n, nil
}
