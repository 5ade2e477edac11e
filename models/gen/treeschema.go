package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openconfig/goyang/pkg/yang"
)

// treeSchemaFile is the schema that models/tree embeds and reads.
const treeSchemaFile = "schema.json.gz"

// schemaJSON is the tree's schema as models/tree reads it. Types are kept once
// each and referred to by their place in Types.
type schemaJSON struct {
	Types []*typeJSON `json:"types"`
	Root  *nodeJSON   `json:"root"`
}

type nodeJSON struct {
	Name        string   `json:"name,omitempty"`
	Module      string   `json:"module,omitempty"` // left out where it is the parent's
	Kind        string   `json:"kind"`
	Keys        []string `json:"keys,omitempty"`
	UserOrdered bool     `json:"userOrdered,omitempty"`
	Type        *int     `json:"type,omitempty"`
	Default     string   `json:"default,omitempty"`
	Secret      bool     `json:"secret,omitempty"`
	Mandatory   bool     `json:"mandatory,omitempty"`
	// When are conditions: of each, one alternative has to hold, in all its tests.
	When     [][][]testJSON `json:"when,omitempty"`
	Children []*nodeJSON    `json:"children,omitempty"`

	module string
	entry  *yang.Entry
	parent *nodeJSON
	whens  []condition
}

type typeJSON struct {
	Name           string            `json:"name"` // the typedef, or the built-in type
	Kind           string            `json:"kind"`
	Format         string            `json:"format,omitempty"`
	Range          string            `json:"range,omitempty"`
	Length         string            `json:"length,omitempty"`
	Patterns       []string          `json:"patterns,omitempty"`
	Enum           []string          `json:"enum,omitempty"`
	Identities     map[string]string `json:"identities,omitempty"` // name to defining module
	FractionDigits int               `json:"fractionDigits,omitempty"`
	Target         string            `json:"target,omitempty"` // leafref: the node pointed at
	Union          []int             `json:"union,omitempty"`
	Final          *int              `json:"final,omitempty"` // leafref: the type behind it
}

// formats are the typedefs whose text has a canonical form beyond YANG's own,
// which models/tree knows by these names (RFC 6991, and OpenConfig's types of the
// same names).
var formats = set("ipv4-address", "ipv6-address", "ipv4-prefix", "ipv6-prefix", "mac-address")

// treeBuilder turns goyang's entries into the tree's schema.
type treeBuilder struct {
	types []*typeJSON
	index map[string]int
	root  *nodeJSON
}

// treeSchema reads the seed modules, and what they import, from dir and returns the
// zipped schema of their config nodes.
func treeSchema(dir string, seeds []string) ([]byte, error) {
	modules, err := readModules(dir, seeds)
	if err != nil {
		return nil, err
	}
	b := &treeBuilder{index: map[string]int{}, root: &nodeJSON{Kind: "container"}}
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		if err := b.children(b.root, yang.ToEntry(modules[name])); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	prune(b.root)
	if err := b.resolve(b.root); err != nil {
		return nil, err
	}
	if err := b.conditions(b.root); err != nil {
		return nil, err
	}
	if err := checkSecrets(b.root); err != nil {
		return nil, err
	}
	out, err := json.Marshal(schemaJSON{Types: b.types, Root: b.root})
	if err != nil {
		return nil, err
	}
	return zip(out)
}

// readModules returns the seeds and all they import, but what is excluded.
func readModules(dir string, seeds []string) (map[string]*yang.Module, error) {
	ms := yang.NewModules()
	ms.ParseOptions.StoreUses = true // they may bear conditions
	ms.AddPath(dir)
	for _, s := range seeds {
		if err := ms.Read(filepath.Join(dir, s+".yang")); err != nil {
			return nil, err
		}
	}
	if errs := ms.Process(); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	modules := map[string]*yang.Module{}
	for _, m := range ms.Modules {
		if m.Name != excluded {
			modules[m.Name] = m
		}
	}
	return modules, nil
}

// children adds the config nodes of e below n. Choices and cases are no data
// nodes (RFC 7950 section 7.9): what they hold is n's.
func (b *treeBuilder) children(n *nodeJSON, e *yang.Entry) error {
	conditions := inherited(e)
	for _, name := range slices.Sorted(maps.Keys(e.Dir)) {
		c := e.Dir[name]
		if c.Config == yang.TSFalse || c.RPC != nil || c.Kind == yang.NotificationEntry {
			continue
		}
		if c.IsChoice() || c.IsCase() {
			if _, when := c.GetWhenXPath(); when || len(conditions[name]) > 0 {
				return fmt.Errorf("%s: a choice or case with a condition: models/tree knows none", c.Path())
			}
			if err := b.children(n, c); err != nil {
				return err
			}
			continue
		}
		child, err := b.node(n, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Path(), err)
		}
		child.whens = conditions[name]
		n.Children = append(n.Children, child)
	}
	slices.SortFunc(n.Children, func(x, y *nodeJSON) int { return strings.Compare(x.Name, y.Name) })
	for i := 1; i < len(n.Children); i++ {
		if n.Children[i].Name == n.Children[i-1].Name {
			return fmt.Errorf("two nodes are named %s", n.Children[i].Name)
		}
	}
	return nil
}

func (b *treeBuilder) node(parent *nodeJSON, e *yang.Entry) (*nodeJSON, error) {
	module, err := e.InstantiatingModule()
	if err != nil {
		return nil, err
	}
	n := &nodeJSON{Name: e.Name, module: module, parent: parent, entry: e}
	if module != parent.module {
		n.Module = module
	}
	n.UserOrdered = e.ListAttr != nil && e.ListAttr.OrderedByUser
	switch {
	case e.IsList():
		n.Kind = "list"
		n.Keys = strings.Fields(e.Key)
		if len(n.Keys) == 0 {
			return nil, errors.New("a config list without a key")
		}
	case e.IsContainer():
		n.Kind = "container"
	case e.IsLeafList():
		n.Kind = "leaf-list"
		if len(e.DefaultValues()) > 0 {
			return nil, errors.New("a leaf-list with defaults: models/tree knows none")
		}
	case e.IsLeaf():
		n.Kind = "leaf"
		n.Default, _ = e.SingleDefaultValue()
		n.Mandatory = e.Mandatory == yang.TSTrue
	default:
		return nil, fmt.Errorf("neither container, list nor leaf: kind %v", e.Kind)
	}
	n.Secret = e.Type != nil && secret(e)
	return n, b.children(n, e)
}

// prune removes containers and lists that hold no config leaf.
func prune(n *nodeJSON) bool {
	n.Children = slices.DeleteFunc(n.Children, func(c *nodeJSON) bool {
		return (c.Kind == "container" || c.Kind == "list") && !prune(c)
	})
	return len(n.Children) > 0
}

// resolve gives each leaf its type, once all nodes a leafref may point at exist.
func (b *treeBuilder) resolve(n *nodeJSON) error {
	if n.entry != nil && n.entry.Type != nil {
		t, err := b.typ(n, n.entry.Type, 0)
		if err != nil {
			return fmt.Errorf("%s: %w", n.entry.Path(), err)
		}
		n.Type = &t
	}
	for _, c := range n.Children {
		if err := b.resolve(c); err != nil {
			return err
		}
	}
	return nil
}

// maxLeafrefs bounds a chain of leafrefs, so that a circle is an error.
const maxLeafrefs = 16

func (b *treeBuilder) typ(n *nodeJSON, y *yang.YangType, depth int) (int, error) {
	if depth > maxLeafrefs {
		return 0, errors.New("leafrefs go in a circle")
	}
	t := &typeJSON{Name: y.Name, Kind: yang.TypeKindToName[y.Kind], Format: formatOf(y)}
	switch y.Kind {
	case yang.Ystring, yang.Ybinary:
		t.Length = y.Length.String()
		if t.Patterns = y.POSIXPattern; len(t.Patterns) == 0 {
			for _, p := range y.Pattern {
				t.Patterns = append(t.Patterns, "^("+p+")$") // XSD patterns are anchored (RFC 7950 section 9.4.5)
			}
		}
	case yang.Yenum:
		t.Enum = y.Enum.Names()
	case yang.Yidentityref:
		t.Identities = map[string]string{}
		for _, v := range y.IdentityBase.Values {
			if _, ok := t.Identities[v.Name]; ok {
				return 0, fmt.Errorf("two modules define the identity %s", v.Name)
			}
			t.Identities[v.Name] = definingModule(v)
		}
	case yang.Yunion:
		for _, u := range y.Type {
			m, err := b.typ(n, u, depth)
			if err != nil {
				return 0, err
			}
			t.Union = append(t.Union, m)
		}
	case yang.Yleafref:
		target, err := b.target(n, y.Path)
		if err != nil {
			return 0, err
		}
		final, err := b.typ(target, target.entry.Type, depth+1)
		if err != nil {
			return 0, err
		}
		if f := b.types[final].Final; f != nil {
			final = *f
		}
		t.Target, t.Final = dataPath(target), &final
	case yang.Yint8, yang.Yint16, yang.Yint32, yang.Yint64, yang.Yuint8, yang.Yuint16, yang.Yuint32, yang.Yuint64:
		t.Range = y.Range.String()
	case yang.Ydecimal64:
		t.Range, t.FractionDigits = y.Range.String(), y.FractionDigits
	case yang.Ybool:
	default:
		return 0, fmt.Errorf("type %s: models/tree knows no such type", t.Kind)
	}
	return b.intern(t)
}

// definingModule is the module of an identity; a submodule's name qualifies nothing.
func definingModule(i *yang.Identity) string {
	m := yang.RootNode(i)
	if m.BelongsTo != nil {
		return m.BelongsTo.Name
	}
	return m.Name
}

func (b *treeBuilder) intern(t *typeJSON) (int, error) {
	key, err := json.Marshal(t)
	if err != nil {
		return 0, err
	}
	i, ok := b.index[string(key)]
	if !ok {
		i = len(b.types)
		b.types = append(b.types, t)
		b.index[string(key)] = i
	}
	return i, nil
}

// formatOf returns the nearest typedef of y's chain that is in formats, or "".
func formatOf(y *yang.YangType) string {
	for y != nil {
		if formats[y.Name] {
			return y.Name
		}
		if y.Base == nil || y.Base.YangType == y {
			return ""
		}
		y = y.Base.YangType
	}
	return ""
}

// target finds what a leafref's path points at. Prefixes and predicates are
// dropped: in these models no two siblings share a name, and a predicate selects
// entries, not nodes.
func (b *treeBuilder) target(n *nodeJSON, path string) (*nodeJSON, error) {
	at := n
	steps := strings.Split(dropPredicates(path), "/")
	if steps[0] == "" {
		at, steps = b.root, steps[1:]
	}
	for _, step := range steps {
		if _, name, ok := strings.Cut(step, ":"); ok {
			step = name
		}
		step = strings.TrimSpace(step)
		if step == ".." {
			if at = at.parent; at == nil {
				return nil, fmt.Errorf("leafref %s: goes above the root", path)
			}
			continue
		}
		i := slices.IndexFunc(at.Children, func(c *nodeJSON) bool { return c.Name == step })
		if i < 0 {
			return nil, fmt.Errorf("leafref %s: no config node %s", path, step)
		}
		at = at.Children[i]
	}
	if at.entry == nil || at.entry.Type == nil {
		return nil, fmt.Errorf("leafref %s: not a leaf", path)
	}
	return at, nil
}

func dropPredicates(path string) string {
	var b strings.Builder
	depth := 0
	for _, r := range path {
		switch {
		case r == '[':
			depth++
		case r == ']':
			depth--
		case depth == 0:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func dataPath(n *nodeJSON) string {
	if n.parent == nil {
		return ""
	}
	return dataPath(n.parent) + "/" + n.Name
}
