package reconciler

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/plan"
)

// picture is what is known of what runs on a device, by top container. It holds no
// trees: a container that is read with the sum that it had when it was found as
// intended is not parsed again, let alone compared.
type picture struct {
	now  map[string]known // as last read
	good map[string]known // as last found as intended
	held models.Hash      // the intended config that good is for
}

// known is one top container.
type known struct {
	sum   models.Hash // of the answer
	hash  models.Hash // of what is managed of it
	meant uint64      // the intended container that it was found equal to, by its Identity
	equal bool

	managed, keys int // leaves, and those of them that are keys
	leaves        int // managed or not
	at            time.Time
}

// parsed is a part that was.
type parsed struct {
	tree   *tree.Tree
	leaves int
}

// parsedKey names a part of a device.
type parsedKey struct {
	device models.DeviceName
	root   string
	sum    models.Hash
}

func newPicture() picture {
	return picture{now: map[string]known{}, good: map[string]known{}}
}

// hash stands for all that is managed of what runs.
func (p picture) hash() models.Hash {
	h := sha256.New()
	for _, root := range slices.Sorted(maps.Keys(p.now)) {
		if k := p.now[root]; k.managed > 0 {
			fmt.Fprintf(h, "%s %s\n", root, k.hash)
		}
	}
	return models.Hash(hex.EncodeToString(h.Sum(nil)))
}

// hashOf is the same of a tree.
func hashOf(t *tree.Tree) models.Hash {
	p := newPicture()
	for _, m := range t.Root().Members() {
		p.now[m.Schema.Name] = knownOf(t.Only([]string{m.Schema.Name}))
	}
	return p.hash()
}

func knownOf(t *tree.Tree) known {
	n, keys := t.Size()
	return known{hash: t.Hash(), managed: n, keys: keys}
}

// unlike are the containers that were not as intended when they were last read.
func (p picture) unlike() []string {
	var roots []string
	for root, k := range p.now {
		if !k.equal {
			roots = append(roots, root)
		}
	}
	slices.Sort(roots)
	return roots
}

// leaves counts what runs: managed, the keys of entries among them, and all.
func (p picture) leaves() (managed, keys, all int) {
	for _, k := range p.now {
		managed, keys, all = managed+k.managed, keys+k.keys, all+k.leaves
	}
	return managed, keys, all
}

// at is since when all of it is known.
func (p picture) at() time.Time {
	var first time.Time
	for _, k := range p.now {
		if first.IsZero() || k.at.Before(first) {
			first = k.at
		}
	}
	return first
}

// recognize takes the parts that are as they were when they were found as intended,
// and returns the others. The intended config to, which intended gives, may have
// changed since.
func (p *picture) recognize(parts []tree.Part, at time.Time, intended func() (*tree.Tree, error), to models.Hash) ([]tree.Part, error) {
	var others []tree.Part
	for _, part := range parts {
		k, known := p.good[part.Root]
		if known && p.held != to {
			t, err := intended()
			if err != nil {
				return nil, err
			}
			if known = identity(t, part.Root) == k.meant; !known {
				delete(p.good, part.Root)
			}
		}
		if !known || k.sum != part.Sum {
			others = append(others, part)
			continue
		}
		k.at = at
		p.now[part.Root] = k
	}
	return others, nil
}

// compared notes how parts compare with what is meant: those that the plan does
// not touch are as intended.
func (p *picture) compared(parts []tree.Part, meant *tree.Tree, todo *plan.Plan, to models.Hash) {
	touched := todo.Roots()
	for _, part := range parts {
		k := p.now[part.Root]
		if k.equal = !slices.Contains(touched, part.Root); k.equal {
			k.meant = identity(meant, part.Root)
			p.good[part.Root] = k
		}
		p.now[part.Root] = k
	}
	p.held = to
}

func identity(t *tree.Tree, root string) uint64 {
	if v := t.Top(root); v != nil {
		return v.Identity()
	}
	return 0
}

// unfamiliar are the parts that are not as they were when they were found as
// intended.
func (p *picture) unfamiliar(parts []tree.Part) []tree.Part {
	var others []tree.Part
	for _, part := range parts {
		if k, ok := p.good[part.Root]; !ok || k.sum != part.Sum {
			others = append(others, part)
		}
	}
	return others
}

func rootsOf(parts []tree.Part) []string {
	roots := make([]string, len(parts))
	for i, part := range parts {
		roots[i] = part.Root
	}
	return roots
}

// forget makes sure that what was found as intended is compared again: the ledger
// tells otherwise by now.
func (p *picture) forget() { clear(p.good) }

// view parses parts, and notes them as what runs now.
func (f *fleet) view(m *member, parts []tree.Part, at time.Time) (*tree.Tree, error) {
	trees := make([]*tree.Tree, len(parts))
	for i, part := range parts {
		got, err := f.parsed.get(parsedKey{m.name, part.Root, part.Sum}, func() (parsed, error) {
			t, leaves, err := part.Parse()
			return parsed{t, leaves}, err
		})
		if err != nil {
			return nil, err
		}
		trees[i] = got.tree
		k := m.seen.now[part.Root]
		if k.sum != part.Sum {
			k = knownOf(got.tree)
			k.sum, k.leaves = part.Sum, got.leaves
		}
		k.at, k.equal = at, false
		m.seen.now[part.Root] = k
	}
	return tree.Join(f.Schema, trees...), nil
}
