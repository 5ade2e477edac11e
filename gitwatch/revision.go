package gitwatch

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

const (
	leastPrefix = 4  // digits of a short hash, as for git
	maxPeel     = 16 // tags of tags
	maxSteps    = 1_000_000
)

var errNoRevision = errors.New("no such commit, branch or tag")

// Resolve returns the full hash of the commit that rev names, by the rules of
// gitrevisions(7): "HEAD" or "@", a branch, a tag (in that case the commit it
// stands for), a remote branch, a full hash or the first four or more digits of
// one; then any number of "~N" and "^N". Unlike go-git, it prefers a branch to a
// short hash that reads the same, and takes no short hash that fits two commits.
func (r *Repo) Resolve(rev string) (string, error) {
	hash, err := r.resolve(rev)
	if errors.Is(err, errNoRevision) {
		return "", fmt.Errorf("resolve %q: %w in %s", rev, err, r.dir)
	}
	if err != nil {
		return "", fmt.Errorf("resolve %q: %w", rev, err)
	}
	return hash.String(), nil
}

func (r *Repo) resolve(rev string) (plumbing.Hash, error) {
	name, steps, err := parseRevision(rev)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	hash, err := r.named(name)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	for _, s := range steps {
		if hash, err = r.step(hash, s); err != nil {
			return plumbing.ZeroHash, err
		}
	}
	return hash, nil
}

// step is "^parent" done times times.
type step struct{ parent, times int }

// parseRevision splits "main~2^2" into its name and what follows.
func parseRevision(rev string) (name string, steps []step, err error) {
	end := strings.IndexAny(rev, "~^")
	if end < 0 {
		end = len(rev)
	}
	name = rev[:end]
	if name == "" {
		return "", nil, errors.New("the revision names no commit")
	}
	total := 0
	for rest := rev[end:]; rest != ""; {
		kind := rest[0]
		if kind != '~' && kind != '^' {
			return "", nil, fmt.Errorf("%q is not understood: only ~N and ^N may follow a name", rest)
		}
		digits := 1
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			digits++
		}
		n := 1
		if digits > 1 {
			if n, err = strconv.Atoi(rest[1:digits]); err != nil || n > maxSteps {
				return "", nil, fmt.Errorf("%q is too large a number", rest[1:digits])
			}
		}
		s := step{parent: n, times: 1}
		if kind == '~' {
			s = step{parent: 1, times: n}
		}
		if total += s.times; total > maxSteps {
			return "", nil, errors.New("the revision goes back too far")
		}
		steps = append(steps, s)
		rest = rest[digits:]
	}
	return name, steps, nil
}

func (r *Repo) step(hash plumbing.Hash, s step) (plumbing.Hash, error) {
	for range s.times {
		if s.parent == 0 { // ^0 is the commit itself
			return hash, nil
		}
		c, err := r.commit(hash)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		if len(c.ParentHashes) < s.parent {
			return plumbing.ZeroHash, fmt.Errorf("%w: %s has %d parents", errNoRevision, hash, len(c.ParentHashes))
		}
		hash = c.ParentHashes[s.parent-1]
	}
	return hash, nil
}

// named returns the commit of a reference or a hash.
func (r *Repo) named(name string) (plumbing.Hash, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if name == "@" {
		name = "HEAD"
	}
	if len(name) == 2*len(plumbing.ZeroHash) && plumbing.IsHash(name) {
		return r.peel(plumbing.NewHash(name))
	}
	for _, rule := range plumbing.RefRevParseRules {
		ref := plumbing.ReferenceName(fmt.Sprintf(rule, name))
		if !ref.IsSafe() {
			continue
		}
		if found, err := storer.ResolveReference(r.store, ref); err == nil {
			return r.peel(found.Hash())
		}
	}
	return r.abbreviated(name)
}

// peel follows tags to the commit they stand for.
func (r *Repo) peel(hash plumbing.Hash) (plumbing.Hash, error) {
	for range maxPeel {
		o, err := r.store.EncodedObject(plumbing.AnyObject, hash)
		if err != nil { // git may have repacked under us
			r.store.Reindex()
			o, err = r.store.EncodedObject(plumbing.AnyObject, hash)
		}
		if errors.Is(err, plumbing.ErrObjectNotFound) {
			return plumbing.ZeroHash, errNoRevision
		}
		if err != nil {
			return plumbing.ZeroHash, err
		}
		switch o.Type() {
		case plumbing.CommitObject:
			return hash, nil
		case plumbing.TagObject:
			tag, err := object.DecodeTag(r.store, o)
			if err != nil {
				return plumbing.ZeroHash, err
			}
			hash = tag.Target
		default:
			return plumbing.ZeroHash, fmt.Errorf("%w: %s is a %s", errNoRevision, hash, o.Type())
		}
	}
	return plumbing.ZeroHash, errors.New("tags upon tags without end")
}

// abbreviated returns the one commit whose hash begins with prefix.
func (r *Repo) abbreviated(prefix string) (plumbing.Hash, error) {
	prefix = strings.ToLower(prefix)
	if len(prefix) < leastPrefix || len(prefix) > 2*len(plumbing.ZeroHash) {
		return plumbing.ZeroHash, errNoRevision
	}
	whole, err := hex.DecodeString(prefix[:len(prefix)&^1])
	if err != nil {
		return plumbing.ZeroHash, errNoRevision
	}
	r.store.Reindex()
	near, err := r.store.HashesWithPrefix(whole)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	fits := make(map[plumbing.Hash]bool)
	for _, hash := range near {
		if !strings.HasPrefix(hash.String(), prefix) {
			continue
		}
		if commit, err := r.peel(hash); err == nil {
			fits[commit] = true
		}
	}
	if len(fits) > 1 {
		return plumbing.ZeroHash, fmt.Errorf("%d commits begin like this: give more digits", len(fits))
	}
	for hash := range fits {
		return hash, nil
	}
	return plumbing.ZeroHash, errNoRevision
}
