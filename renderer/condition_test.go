package renderer

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/setpoint-net/setpoint/models/tree"
)

// at is where a node's members stand in a document, with one entry in each list on
// the way.
func at(doc map[string]any, n *tree.Node) map[string]any {
	if n.Parent == nil {
		return doc
	}
	above := at(doc, n.Parent)
	here, ok := above[n.Name].(map[string]any)
	if list, is := above[n.Name].([]any); is {
		here, ok = list[0].(map[string]any)
	}
	if ok {
		return here
	}
	here = map[string]any{}
	above[n.Name] = here
	if n.Kind == tree.List {
		for _, k := range n.Keys {
			here[k] = json.RawMessage(some(n.Child(k).Type.Final))
		}
		above[n.Name] = []any{here}
	}
	return here
}

// someLeaf sets a leaf at or below n.
func someLeaf(doc map[string]any, n *tree.Node) {
	for n.Kind == tree.Container || n.Kind == tree.List {
		n = n.Children()[0]
	}
	text := some(n.Type.Final)
	if n.Kind == tree.LeafList {
		text = "[" + text + "]"
	}
	at(doc, n.Parent)[n.Name] = json.RawMessage(text)
}

// other is a value of a test's leaf that no test of its condition names.
func other(c tree.Condition, t *tree.Test) string {
	f := t.Leaf.Type.Final
	names := slices.Clone(f.Enum)
	for name := range f.Identities {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if !slices.ContainsFunc(c, func(all []tree.Test) bool {
			return slices.ContainsFunc(all, func(u tree.Test) bool { return u.Text() == name })
		}) {
			return `"` + name + `"`
		}
	}
	return "7"
}

func TestEveryConditionIsHeldTo(t *testing.T) {
	r := newReferee(t)
	conditions := 0
	broken := func(n *tree.Node, doc map[string]any) int {
		data, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := tree.Parse(r.schema, data)
		if err != nil {
			t.Fatalf("%s: %v\n%s", n.Path(), err, data)
		}
		found := 0
		for _, f := range r.checker.faults(parsed) {
			if at, err := r.schema.Find(f.path); err == nil && at == n && f.code == CodeYANGWhen {
				found++
			}
		}
		return found
	}
	var walk func(n *tree.Node)
	walk = func(n *tree.Node) {
		for _, c := range n.When {
			conditions++
			doc := map[string]any{}
			someLeaf(doc, n)
			base := broken(n, doc) // by a default
			for _, all := range c {
				for i := range all {
					value := json.RawMessage(other(c, &all[i]))
					if all[i].Not {
						value = json.RawMessage(all[i].Value)
					}
					at(doc, all[i].Leaf.Parent)[all[i].Leaf.Name] = value
				}
			}
			if broken(n, doc) == 0 {
				t.Errorf("%s: nothing breaks %s", n.Path(), conditionText(c))
			}
			for i := range c[0] {
				value := json.RawMessage(c[0][i].Value)
				if c[0][i].Not {
					value = json.RawMessage(other(c, &c[0][i]))
				}
				at(doc, c[0][i].Leaf.Parent)[c[0][i].Leaf.Name] = value
			}
			if got := broken(n, doc); got > base {
				t.Errorf("%s: %s is broken where it holds", n.Path(), conditionText(c))
			}
		}
		for _, c := range n.Children() {
			walk(c)
		}
	}
	walk(r.schema.Root)
	if conditions < 130 {
		t.Errorf("%d conditions", conditions)
	}
}

// A mandatory leaf of an entry is asked for wherever the entry is, and not twice.
func TestEveryMandatoryLeafIsAskedFor(t *testing.T) {
	r := newReferee(t)
	asked := make(map[*tree.Node]int)
	for _, list := range r.checker.terms {
		for _, one := range list {
			if one.node.Mandatory {
				asked[one.node]++
			}
		}
	}
	leaves := 0
	var walk func(n *tree.Node)
	walk = func(n *tree.Node) {
		if n.Mandatory && !repeatsKey(n) {
			leaves++
			if asked[n] != 1 {
				t.Errorf("%s is asked for %d times", n.Path(), asked[n])
			}
		}
		for _, c := range n.Children() {
			walk(c)
		}
	}
	walk(r.schema.Root)
	if leaves < 10 {
		t.Errorf("%d mandatory leaves", leaves)
	}
}
