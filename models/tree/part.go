package tree

import (
	"slices"

	"github.com/setpoint-net/setpoint/models"
)

// Part is what a device runs of one top container, as it was read. It is parsed
// only when somebody asks: parts of one device with the same root and sum are the
// same, so whoever knows the one has no need to.
type Part struct {
	Root string      // the container's name
	Sum  models.Hash // of what it is parsed from

	// Parse returns what is managed of the container, and how many leaves it has,
	// managed or not. It does its work once.
	Parse func() (*Tree, int, error)
}

// Join returns one tree of trees that have no top container in common.
func Join(s *Schema, parts ...*Tree) *Tree {
	var members []*Value
	for _, t := range parts {
		members = append(members, t.root.members...)
	}
	return ofMembers(s, members)
}

// Only returns what of t lies in the top containers with these names.
func (t *Tree) Only(names []string) *Tree {
	var members []*Value
	for _, m := range t.root.members {
		if slices.Contains(names, m.Schema.Name) {
			members = append(members, m)
		}
	}
	return ofMembers(t.schema, members)
}

func ofMembers(s *Schema, members []*Value) *Tree {
	slices.SortFunc(members, func(a, b *Value) int { return a.Schema.pos - b.Schema.pos })
	b := builder{seed: s.seed}
	root := &Value{}
	b.fill(root, s.Root, members)
	return newTree(s, root)
}

// Top returns the top container with that name, nil when there is none.
func (t *Tree) Top(name string) *Value {
	if c := t.schema.Root.Child(name); c != nil {
		return t.root.member(c)
	}
	return nil
}

// Size returns how many leaves and leaf-lists there are, and how many of them are
// keys of their entry. They are counted once.
func (t *Tree) Size() (leaves, keys int) { return t.size() }

func (v *Value) size() (leaves, keys int) {
	if v.leaf() {
		return 1, 0
	}
	for _, m := range v.members {
		n, k := m.size()
		leaves += n
		keys += k
		if v.Entry() && m.Schema.key > 0 {
			keys++
		}
	}
	return leaves, keys
}
