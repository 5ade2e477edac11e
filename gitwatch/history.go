package gitwatch

import (
	"container/heap"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// ancestors calls yield for a commit and its ancestors, the latest first, until
// yield returns false. History ends where a parent is not in the repository,
// as in a copy of a shallow one.
func (r *Repo) ancestors(from plumbing.Hash, yield func(plumbing.Hash) bool) error {
	first, err := r.commit(from)
	if err != nil {
		return err
	}
	seen := map[plumbing.Hash]bool{from: true}
	next := &byTime{first}
	for next.Len() > 0 {
		c, _ := heap.Pop(next).(*object.Commit)
		if !yield(c.Hash) {
			return nil
		}
		for _, hash := range c.ParentHashes {
			if seen[hash] || !r.has(hash) {
				continue
			}
			seen[hash] = true
			parent, err := r.commit(hash)
			if err != nil {
				return err
			}
			heap.Push(next, parent)
		}
	}
	return nil
}

// isAncestor says whether old is of, or in the history of, new.
func (r *Repo) isAncestor(old, new plumbing.Hash) (bool, error) {
	if !r.has(old) {
		return false, nil // all of new's history is here
	}
	found := false
	err := r.ancestors(new, func(h plumbing.Hash) bool {
		found = h == old
		return !found
	})
	return found, err
}

// byTime is a heap of commits, the latest first.
type byTime []*object.Commit

func (t byTime) Len() int           { return len(t) }
func (t byTime) Less(i, j int) bool { return t[i].Committer.When.After(t[j].Committer.When) }
func (t byTime) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *byTime) Push(x any)        { c, _ := x.(*object.Commit); *t = append(*t, c) }
func (t *byTime) Pop() any {
	old := *t
	last := old[len(old)-1]
	*t = old[:len(old)-1]
	return last
}
