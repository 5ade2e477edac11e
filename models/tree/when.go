package tree

import (
	"fmt"
	"strings"
)

// Condition is when a node may be there (RFC 7950 section 7.21.5): when, of one of
// these alternatives, all tests hold.
type Condition [][]Test

// Test compares a leaf with a value. The leaf is found from the node with the
// condition: Up so many levels, where an entry of a list is one, then Down.
type Test struct {
	Up    int
	Down  []string
	Leaf  *Node
	Not   bool   // another value than Value
	Value string // canonical JSON
}

// testJSON is a Test as models/gen writes it, which has proved that the leaf exists.
type testJSON struct {
	Up    int    `json:"up"`
	Down  string `json:"down"`
	Not   bool   `json:"not"`
	Value string `json:"value"`
}

// conditions reads those of n and the nodes below it, once all nodes exist.
func (n *Node) conditions(j *nodeJSON) error {
	for _, when := range j.When {
		var c Condition
		for _, all := range when {
			var tests []Test
			for _, t := range all {
				test, err := n.test(t)
				if err != nil {
					return fmt.Errorf("%s: condition: %w", n.Path(), err)
				}
				tests = append(tests, test)
			}
			c = append(c, tests)
		}
		n.When = append(n.When, c)
	}
	for i, c := range n.children {
		if err := c.conditions(&j.Children[i]); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) test(j testJSON) (Test, error) {
	t := Test{Up: j.Up, Down: strings.Split(j.Down, "/"), Leaf: n, Not: j.Not}
	for i := 0; i < t.Up && t.Leaf != nil; i++ {
		t.Leaf = t.Leaf.Parent
	}
	for _, name := range t.Down {
		if t.Leaf != nil {
			t.Leaf = t.Leaf.byName[name]
		}
	}
	if t.Leaf == nil || t.Leaf.Kind != Leaf {
		return t, fmt.Errorf("%d up, %s down is no leaf", j.Up, j.Down)
	}
	var err error
	t.Value, err = t.Leaf.Type.Final.fromText(j.Value)
	return t, err
}

// Text is the test's value for people.
func (t *Test) Text() string { return t.Leaf.Type.Final.text(t.Value) }
