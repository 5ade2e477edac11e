package gitwatch

import (
	"container/heap"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/utils/diff"
)

// Line says which commit brought a line.
type Line struct {
	Commit string // full hash; "" for a line that the history does not have
	Author string
	Time   time.Time // the author's, UTC
}

// Blame says which commit brought each line of content, which is a file as it is in
// a commit, named by its full hash, or as somebody has edited it since. A line stays
// its commit's for as long as it stands between commits unchanged; renamed files are
// not followed, and a copy without all of the history says its oldest commit.
//
// Only commits that changed the file cost a comparison: the others have the same
// hash for it (go-git's own blame looks at every folder of every commit).
func (r *Repo) Blame(ctx context.Context, commit, file string, content []byte) ([]Line, error) {
	b := blame{repo: r, file: file, known: make(map[at]plumbing.Hash), open: make(map[plumbing.Hash]*suspect)}
	lines := slices.Collect(strings.Lines(string(content)))
	b.lines = make([]Line, len(lines))
	if !plumbing.IsHash(commit) {
		return nil, fmt.Errorf("blame %s: %q is not a full commit hash", file, commit)
	}
	head, err := r.commit(plumbing.NewHash(commit))
	if err != nil {
		return nil, fmt.Errorf("blame %s: %w", file, err)
	}
	blob, err := b.blobOf(head)
	if err == nil && !blob.IsZero() {
		err = b.begin(ctx, head, blob, string(content), len(lines))
	}
	if err != nil {
		return nil, fmt.Errorf("blame %s: %w", file, err)
	}
	return b.lines, nil
}

// blame is one run. It goes from the latest commit to the oldest and hands each line
// on to the parent that has it.
type blame struct {
	repo  *Repo
	file  string
	lines []Line
	known map[at]plumbing.Hash
	open  map[plumbing.Hash]*suspect
	next  byTime
}

// at is the rest of a path from a folder on.
type at struct {
	tree plumbing.Hash
	rest string
}

// suspect is a commit that may have brought lines.
type suspect struct {
	blob  plumbing.Hash
	lines []handed
}

// handed is a line of the content and where it stands in a commit's file.
type handed struct{ line, here int }

func (b *blame) begin(ctx context.Context, head *object.Commit, blob plumbing.Hash, content string, n int) error {
	text, err := b.text(blob)
	if err != nil {
		return err
	}
	all := make([]handed, n)
	for i := range all {
		all[i] = handed{i, i}
	}
	found, _ := hand(all, text, content)
	b.suspect(head, blob, found)
	for b.next.Len() > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, _ := heap.Pop(&b.next).(*object.Commit)
		s := b.open[c.Hash]
		delete(b.open, c.Hash)
		rest, err := b.pass(c, s)
		if err != nil {
			return err
		}
		for _, h := range rest {
			b.lines[h.line] = Line{Commit: c.Hash.String(), Author: c.Author.Name, Time: c.Author.When.UTC()}
		}
	}
	return nil
}

// suspect adds lines to what a commit may have brought.
func (b *blame) suspect(c *object.Commit, blob plumbing.Hash, lines []handed) {
	if len(lines) == 0 {
		return
	}
	s := b.open[c.Hash]
	if s == nil {
		s = &suspect{blob: blob}
		b.open[c.Hash] = s
		heap.Push(&b.next, c)
	}
	s.lines = append(s.lines, lines...)
}

// pass hands lines on to the commit's parents and returns those that it brought.
func (b *blame) pass(c *object.Commit, s *suspect) ([]handed, error) {
	var parents []*object.Commit
	var blobs []plumbing.Hash
	for _, hash := range c.ParentHashes {
		if !b.repo.has(hash) {
			continue
		}
		p, err := b.repo.commit(hash)
		if err != nil {
			return nil, err
		}
		blob, err := b.blobOf(p)
		if err != nil {
			return nil, err
		}
		if blob == s.blob { // a merge that took one side's file as it was
			b.suspect(p, blob, s.lines)
			return nil, nil
		}
		if !blob.IsZero() {
			parents, blobs = append(parents, p), append(blobs, blob)
		}
	}
	if len(parents) == 0 {
		return s.lines, nil
	}
	own, err := b.text(s.blob)
	if err != nil {
		return nil, err
	}
	rest := s.lines
	for i, p := range parents {
		text, err := b.text(blobs[i])
		if err != nil {
			return nil, err
		}
		var found []handed
		found, rest = hand(rest, text, own)
		b.suspect(p, blobs[i], found)
	}
	return rest, nil
}

// hand finds lines of a text in the text before it: those that are there, with
// where they stand there, and those that are not.
func hand(lines []handed, before, text string) (found, rest []handed) {
	was := make(map[int]int)
	i, j := 0, 0
	for _, d := range diff.Do(before, text) {
		n := 0
		for range strings.Lines(d.Text) {
			n++
		}
		switch {
		case d.Type < 0:
			i += n
		case d.Type > 0:
			j += n
		default:
			for k := range n {
				was[j+k] = i + k
			}
			i, j = i+n, j+n
		}
	}
	for _, h := range lines {
		if there, ok := was[h.here]; ok {
			found = append(found, handed{h.line, there})
		} else {
			rest = append(rest, h)
		}
	}
	return found, rest
}

func (b *blame) text(blob plumbing.Hash) (string, error) {
	data, err := b.repo.object(plumbing.BlobObject, blob, maxFile)
	return string(data), err
}

// blobOf is the file in a commit, zero where it is not there.
func (b *blame) blobOf(c *object.Commit) (plumbing.Hash, error) {
	return b.find(at{c.TreeHash, b.file})
}

func (b *blame) find(a at) (plumbing.Hash, error) {
	if h, ok := b.known[a]; ok {
		return h, nil
	}
	data, err := b.repo.object(plumbing.TreeObject, a.tree, maxTreeObject)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	d, err := parseDir(data)
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("tree %s: %w", a.tree, err)
	}
	name, rest, below := strings.Cut(a.rest, "/")
	found := plumbing.ZeroHash
	if e, ok := d.find(name); ok {
		switch {
		case below && e.mode.IsDir():
			if found, err = b.find(at{e.hash, rest}); err != nil {
				return found, err
			}
		case !below && e.mode.IsRegular():
			found = e.hash
		}
	}
	b.known[a] = found
	return found, nil
}
