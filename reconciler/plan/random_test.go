package plan

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/setpoint-net/setpoint/models/tree"
)

// object is a container or entry as plain JSON: the tests' own data model, which
// shares nothing with the trees that it is compared to.
type object = map[string]any

// generator makes random configurations from the schema.
type generator struct{ *rand.Rand }

// some is a configuration of a few top containers.
func (g generator) some(s *tree.Schema) object {
	root := object{}
	for _, n := range s.Root.Children() {
		if g.IntN(8) == 0 {
			g.put(root, n, 0)
		}
	}
	return root
}

func (g generator) put(o object, n *tree.Node, depth int) {
	switch v := g.node(n, depth).(type) {
	case object:
		if len(v) > 0 {
			o[n.Name] = v
		}
	case []any:
		if len(v) > 0 {
			o[n.Name] = v
		}
	case nil:
	default:
		o[n.Name] = v
	}
}

func (g generator) node(n *tree.Node, depth int) any {
	switch n.Kind {
	case tree.Container:
		o := object{}
		for _, c := range n.Children() {
			if g.IntN(3+depth/2) < 2 {
				g.put(o, c, depth+1)
			}
		}
		return o
	case tree.List:
		var out []any
		seen := map[string]bool{}
		for range g.IntN(4) {
			if e := g.entry(n, depth); e != nil && !seen[fmt.Sprint(keysOf(n, e))] {
				seen[fmt.Sprint(keysOf(n, e))] = true
				out = append(out, e)
			}
		}
		return out
	case tree.LeafList:
		var out []any
		for range g.IntN(4) {
			if v := g.scalar(n, n.Type.Final); v != nil && !slices.Contains(out, v) {
				out = append(out, v)
			}
		}
		return out
	}
	return g.scalar(n, n.Type.Final)
}

// entry has its keys, and their repetition below config where the model has one;
// nil if a key's type has no value.
func (g generator) entry(n *tree.Node, depth int) object {
	e := object{}
	for _, c := range n.Children() {
		if !slices.Contains(n.Keys, c.Name) && g.IntN(3+depth/2) < 2 {
			g.put(e, c, depth+1)
		}
	}
	for _, k := range n.Keys {
		if e[k] = g.scalar(n.Child(k), n.Child(k).Type.Final); e[k] == nil {
			return nil
		}
		if config := n.Child("config"); config != nil && config.Child(k) != nil {
			if e["config"] == nil {
				e["config"] = object{}
			}
			e["config"].(object)[k] = e[k]
		}
	}
	return e
}

// scalar is a value in canonical form that is not the node's default; nil if the
// type has none.
func (g generator) scalar(n *tree.Node, t *tree.Type) any {
	for range 100 {
		v := g.any(t)
		if v != nil && unprefixed(fmt.Sprint(v)) != unprefixed(n.Default) {
			return v
		}
	}
	return nil
}

func (g generator) any(t *tree.Type) any {
	switch t.Kind {
	case tree.Int8, tree.Int16, tree.Int32, tree.Uint8, tree.Uint16, tree.Uint32:
		return g.IntN(100)
	case tree.Int64, tree.Uint64:
		return fmt.Sprint(g.Uint32())
	case tree.Decimal64:
		return fmt.Sprintf("%d.5", g.IntN(100))
	case tree.Boolean:
		return g.IntN(2) == 0
	case tree.Enumeration:
		return t.Enum[g.IntN(len(t.Enum))]
	case tree.Identityref:
		names := make([]string, 0, len(t.Identities))
		for name, module := range t.Identities {
			names = append(names, module+":"+name)
		}
		if len(names) == 0 {
			return nil
		}
		slices.Sort(names)
		return names[g.IntN(len(names))]
	case tree.Binary:
		return []string{"AAAA", "AQID", "Zm9v"}[g.IntN(3)]
	case tree.Union:
		return g.any(t.Union[g.IntN(len(t.Union))].Final)
	}
	return "text" + string(rune('a'+g.IntN(26))) + []string{"", " ]", `\`, "/x", "é"}[g.IntN(5)]
}

// mutate changes about one in n things of a configuration, in place.
func (g generator) mutate(o object, node *tree.Node, n int) {
	for _, name := range sorted(o) {
		c := node.Child(name)
		if slices.Contains(node.Keys, name) {
			continue
		}
		if g.IntN(n) == 0 && !(name == "config" && node.Kind == tree.List) {
			delete(o, name)
			continue
		}
		switch v := o[name].(type) {
		case object:
			g.mutateContainer(v, node, c, n)
		case []any:
			if c.Kind == tree.List {
				o[name] = g.mutateList(v, c, n)
			} else if g.IntN(n) == 0 {
				g.put(o, c, 3)
			}
		default:
			if g.IntN(n) == 0 {
				g.put(o, c, 3)
			}
		}
		if v, ok := o[name].([]any); ok && len(v) == 0 {
			delete(o, name)
		}
	}
	for _, c := range node.Children() {
		if o[c.Name] == nil && g.IntN(2*n) == 0 {
			g.put(o, c, 3)
		}
	}
}

// mutateContainer leaves the repetition of an entry's keys alone.
func (g generator) mutateContainer(v object, parent, node *tree.Node, n int) {
	kept := object{}
	if node.Name == "config" {
		for _, k := range parent.Keys {
			if v[k] != nil {
				kept[k] = v[k]
			}
		}
	}
	g.mutate(v, node, n)
	for k, x := range kept {
		v[k] = x
	}
}

func (g generator) mutateList(entries []any, node *tree.Node, n int) []any {
	var out []any
	for _, e := range entries {
		if g.IntN(n) == 0 {
			continue
		}
		g.mutate(e.(object), node, n)
		out = append(out, e)
	}
	if g.IntN(n) == 0 {
		if e := g.entry(node, 3); e != nil && find(node, out, keysOf(node, e)) < 0 {
			out = append(out, e)
		}
	}
	if node.UserOrdered && g.IntN(2) == 0 {
		g.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	}
	return out
}

func sorted(o object) []string {
	var names []string
	for name := range o {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func keysOf(n *tree.Node, e object) []tree.KeyValue {
	var keys []tree.KeyValue
	for _, k := range n.Keys {
		keys = append(keys, tree.KeyValue{Name: k, Value: unprefixed(fmt.Sprint(e[k]))})
	}
	return keys
}

// unprefixed takes an identity's prefix off. The generator makes colons in
// identities only.
func unprefixed(s string) string { return s[strings.LastIndexByte(s, ':')+1:] }

func find(n *tree.Node, entries []any, keys []tree.KeyValue) int {
	return slices.IndexFunc(entries, func(e any) bool { return slices.Equal(keysOf(n, e.(object)), keys) })
}

func clone(t *testing.T, o object) object {
	t.Helper()
	raw, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return load(t, raw)
}

// load reads JSON with all names plain.
func load(t *testing.T, raw []byte) object {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	var o object
	if err := d.Decode(&o); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return plain(o).(object)
}

func plain(v any) any {
	switch v := v.(type) {
	case object:
		out := object{}
		for name, x := range v {
			if _, local, ok := strings.Cut(name, ":"); ok {
				name = local
			}
			out[name] = plain(x)
		}
		return out
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	}
	return v
}

func parse(t *testing.T, s *tree.Schema, o object) *tree.Tree {
	t.Helper()
	raw, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	out, err := tree.Parse(s, raw)
	if err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return out
}

// target applies the operations of a plan as the gNMI specification has it
// (section 3.4), to plain JSON.
type target struct {
	t      *testing.T
	schema *tree.Schema
	root   object
}

func (g *target) set(p *Plan) {
	for _, d := range p.Deletes {
		g.delete(d)
	}
	for _, r := range p.Replaces {
		g.put(r, true)
	}
	for _, u := range p.Updates {
		g.put(u, false)
	}
	prune(g.root)
}

// holder is the container or entry that holds the last element of a path.
func (g *target) holder(p tree.Path, create bool) (object, *tree.Node) {
	o, node := g.root, g.schema.Root
	for _, e := range p[:len(p)-1] {
		node = node.Child(e.Name)
		if e.Keys == nil {
			if o[e.Name] == nil {
				if !create {
					return nil, node
				}
				o[e.Name] = object{}
			}
			o = o[e.Name].(object)
			continue
		}
		entries, _ := o[e.Name].([]any)
		at := find(node, entries, e.Keys)
		if at < 0 {
			if !create {
				return nil, node
			}
			at = len(entries)
			entries = append(entries, g.bare(node, e.Keys))
			o[e.Name] = entries
		}
		o = entries[at].(object)
	}
	return o, node
}

func (g *target) bare(node *tree.Node, keys []tree.KeyValue) object {
	e := object{}
	for _, k := range keys {
		e[k.Name] = k.Value
		if node.Child(k.Name).Type.Final.Kind < tree.Int64 || node.Child(k.Name).Type.Final.Kind < tree.Uint64 && node.Child(k.Name).Type.Final.Kind > tree.Int64 {
			e[k.Name] = json.Number(k.Value)
		}
	}
	return e
}

func (g *target) delete(p tree.Path) {
	o, node := g.holder(p, false)
	if o == nil {
		return
	}
	last := p[len(p)-1]
	if last.Keys == nil {
		delete(o, last.Name)
		return
	}
	entries, _ := o[last.Name].([]any)
	if at := find(node.Child(last.Name), entries, last.Keys); at >= 0 {
		o[last.Name] = slices.Delete(entries, at, at+1)
	}
}

func (g *target) put(v Value, replace bool) {
	raw := v.Node.JSON()
	if string(raw) == "{}" || string(raw) == "[]" {
		g.t.Errorf("an empty value at %s", v.Path)
	}
	o, node := g.holder(v.Path, true)
	last := v.Path[len(v.Path)-1]
	node = node.Child(last.Name)
	switch {
	case last.Keys != nil:
		entries, _ := o[last.Name].([]any)
		e := load(g.t, raw)
		at := find(node, entries, last.Keys)
		switch {
		case at < 0:
			o[last.Name] = append(entries, e)
		case replace:
			entries[at] = e
		default:
			for name, x := range e {
				entries[at].(object)[name] = x
			}
		}
	case node.Kind == tree.Container:
		if !replace {
			g.t.Errorf("an update of the container %s", v.Path)
		}
		o[last.Name] = load(g.t, raw)
	default:
		o[last.Name] = load(g.t, []byte(`{"v":`+string(raw)+`}`))["v"]
	}
}

// prune takes empty containers and lists away.
func prune(o object) {
	for name, v := range o {
		switch v := v.(type) {
		case object:
			prune(v)
			if len(v) == 0 {
				delete(o, name)
			}
		case []any:
			for _, e := range v {
				if e, ok := e.(object); ok {
					prune(e)
				}
			}
			if len(v) == 0 {
				delete(o, name)
			}
		}
	}
}
