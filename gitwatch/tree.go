package gitwatch

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

const (
	maxFile    = 16 << 20  // bytes of one file
	maxEntries = 1_000_000 // files and folders of one tree, counted once for each path
	maxDepth   = 64        // folders in folders
)

// Tree returns the files of a commit, named by its full hash, as a file system
// over the object store. Every folder is read now, so a tree that is missing,
// malformed or beyond the limits (1,000,000 entries, 64 levels) is an error
// here; a file is read when it is asked for, up to 16 MiB.
//
// The file system also is an fs.ReadDirFS, fs.ReadFileFS and fs.StatFS, and is
// safe for concurrent use. A directory entry has a method Sum() string that
// names its content without reading it. Files are 0444 or 0555, folders 0555,
// all with the commit's time. A symbolic link is never followed: it has
// fs.ModeSymlink and its target as content. A submodule has fs.ModeIrregular and
// no content.
func (r *Repo) Tree(commit string) (fs.FS, error) {
	if !plumbing.IsHash(commit) {
		return nil, fmt.Errorf("tree of %q: not a full commit hash", commit)
	}
	return r.tree(plumbing.NewHash(commit))
}

func (r *Repo) tree(commit plumbing.Hash) (*treeFS, error) {
	c, err := r.commit(commit)
	if err != nil {
		return nil, fmt.Errorf("tree of commit %s: %w", commit, err)
	}
	r.mu.Lock()
	known := r.dirs
	r.mu.Unlock()
	w := &walk{repo: r, known: known, dirs: make(map[plumbing.Hash]*dir, len(known))}
	root, err := w.dir(c.TreeHash, ".", 1)
	if err != nil {
		return nil, fmt.Errorf("tree of commit %s: %w", commit, err)
	}
	r.mu.Lock()
	r.dirs = w.dirs
	r.mu.Unlock()
	return &treeFS{repo: r, root: entry{name: ".", mode: fs.ModeDir | 0o555, hash: c.TreeHash, sub: root}, time: c.Committer.When.UTC()}, nil
}

// dir is a folder's content. It never changes, and folders of equal content
// are one dir, within a tree and from one tree to the next.
type dir struct {
	entries []entry // sorted by name
	total   int     // entries in it and below
	height  int     // levels of folders, itself included
}

type entry struct {
	name string
	mode fs.FileMode
	hash plumbing.Hash
	sub  *dir // of a folder
}

func (d *dir) find(name string) (entry, bool) {
	i, ok := slices.BinarySearchFunc(d.entries, name, func(e entry, name string) int { return cmp.Compare(e.name, name) })
	if !ok {
		return entry{}, false
	}
	return d.entries[i], true
}

// walk reads the folders of one tree, each distinct one once: its cost is
// bounded by what is stored, not by what a tree of shared folders unfolds to.
type walk struct {
	repo  *Repo
	known map[plumbing.Hash]*dir // read for an earlier tree
	dirs  map[plumbing.Hash]*dir
}

func (w *walk) dir(hash plumbing.Hash, at string, depth int) (*dir, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%s: folders are nested more than %d deep", at, maxDepth)
	}
	if d := w.dirs[hash]; d != nil {
		return d, d.check(at, depth)
	}
	if d := w.known[hash]; d != nil {
		w.keep(hash, d)
		return d, d.check(at, depth)
	}
	data, err := w.repo.object(plumbing.TreeObject, hash, maxTreeObject)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	d, err := parseDir(data)
	if err != nil {
		return nil, fmt.Errorf("%s: tree %s: %w", at, hash, err)
	}
	d.total, d.height = len(d.entries), 1
	for i := range d.entries {
		e := &d.entries[i]
		if !e.mode.IsDir() {
			continue
		}
		if e.sub, err = w.dir(e.hash, path.Join(at, e.name), depth+1); err != nil {
			return nil, err
		}
		d.total += e.sub.total
		d.height = max(d.height, e.sub.height+1)
		if d.total > maxEntries {
			break
		}
	}
	w.dirs[hash] = d
	return d, d.check(at, depth)
}

// keep carries a folder and those below it over to this walk's tree.
func (w *walk) keep(hash plumbing.Hash, d *dir) {
	if w.dirs[hash] != nil {
		return
	}
	w.dirs[hash] = d
	for _, e := range d.entries {
		if e.sub != nil {
			w.keep(e.hash, e.sub)
		}
	}
}

func (d *dir) check(at string, depth int) error {
	if d.total > maxEntries {
		return fmt.Errorf("%s: more than %d files and folders", at, maxEntries)
	}
	if depth+d.height-1 > maxDepth {
		return fmt.Errorf("%s: folders are nested more than %d deep", at, maxDepth)
	}
	return nil
}

// parseDir reads a tree object. Names that no path can hold are refused: a
// tree is foreign input, and git only checks them where it is told to.
func parseDir(data []byte) (*dir, error) {
	d := &dir{}
	for len(data) > 0 {
		header, rest, ok := bytes.Cut(data, []byte{0})
		if !ok || len(rest) < len(plumbing.Hash{}) {
			return nil, object.ErrMalformedTree
		}
		mode, name, ok := bytes.Cut(header, []byte{' '})
		if !ok {
			return nil, object.ErrMalformedTree
		}
		e := entry{name: string(name)}
		copy(e.hash[:], rest)
		data = rest[len(e.hash):]
		if e.name == "." || strings.Contains(e.name, "/") || !fs.ValidPath(e.name) {
			return nil, fmt.Errorf("an entry is named %q, which is not a file name", e.name)
		}
		var err error
		if e.mode, err = modeOf(string(mode)); err != nil {
			return nil, fmt.Errorf("entry %q: %w", e.name, err)
		}
		d.entries = append(d.entries, e)
	}
	slices.SortFunc(d.entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	for i := range d.entries[:max(0, len(d.entries)-1)] {
		if d.entries[i].name == d.entries[i+1].name {
			return nil, fmt.Errorf("two entries are named %q", d.entries[i].name)
		}
	}
	return d, nil
}

func modeOf(octal string) (fs.FileMode, error) {
	mode, err := filemode.New(octal)
	if err != nil {
		return 0, fmt.Errorf("mode %q is not a file mode", octal)
	}
	switch mode & 0o170000 {
	case filemode.Dir:
		return fs.ModeDir | 0o555, nil
	case filemode.Symlink:
		return fs.ModeSymlink | 0o777, nil
	case filemode.Submodule:
		return fs.ModeIrregular | 0o444, nil
	case 0o100000:
		if mode&0o100 != 0 {
			return 0o555, nil
		}
		return 0o444, nil
	}
	return 0, fmt.Errorf("mode %q is not one that git writes", octal)
}

// treeFS is the fs.FS of one commit.
type treeFS struct {
	repo *Repo
	root entry
	time time.Time
}

func (t *treeFS) find(op, name string) (entry, error) {
	if !fs.ValidPath(name) {
		return entry{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	at := t.root
	if name == "." {
		return at, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		found := false
		if at.sub != nil {
			at, found = at.sub.find(part)
		}
		if !found {
			return entry{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
	}
	return at, nil
}

// Open implements fs.FS.
func (t *treeFS) Open(name string) (fs.File, error) {
	e, err := t.find("open", name)
	if err != nil {
		return nil, err
	}
	if e.mode.IsDir() {
		return &openDir{info: t.info(e, 0), list: t.list(e.sub)}, nil
	}
	data, err := t.content("open", name, e)
	if err != nil {
		return nil, err
	}
	return &openFile{info: t.info(e, int64(len(data))), Reader: bytes.NewReader(data)}, nil
}

// ReadFile implements fs.ReadFileFS. The bytes are the caller's.
func (t *treeFS) ReadFile(name string) ([]byte, error) {
	e, err := t.find("read", name)
	if err != nil {
		return nil, err
	}
	return t.content("read", name, e)
}

// ReadDir implements fs.ReadDirFS.
func (t *treeFS) ReadDir(name string) ([]fs.DirEntry, error) {
	e, err := t.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if !e.mode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("not a directory")}
	}
	return t.list(e.sub), nil
}

// Stat implements fs.StatFS. A symbolic link is not followed.
func (t *treeFS) Stat(name string) (fs.FileInfo, error) {
	e, err := t.find("stat", name)
	if err != nil {
		return nil, err
	}
	info, err := t.stat(e)
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return info, nil
}

func (t *treeFS) content(op, name string, e entry) ([]byte, error) {
	if e.mode.IsDir() {
		return nil, &fs.PathError{Op: op, Path: name, Err: errors.New("is a directory")}
	}
	if e.mode&fs.ModeIrregular != 0 {
		return nil, nil
	}
	data, err := t.repo.object(plumbing.BlobObject, e.hash, maxFile)
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return data, nil
}

func (t *treeFS) stat(e entry) (fs.FileInfo, error) {
	if e.mode.IsDir() || e.mode&fs.ModeIrregular != 0 {
		return t.info(e, 0), nil
	}
	size, err := t.repo.size(e.hash)
	if err != nil {
		return nil, err
	}
	return t.info(e, size), nil
}

func (t *treeFS) info(e entry, size int64) fileInfo {
	return fileInfo{entry: e, size: size, time: t.time}
}

func (t *treeFS) list(d *dir) []fs.DirEntry {
	list := make([]fs.DirEntry, len(d.entries))
	for i, e := range d.entries {
		list[i] = dirEntry{entry: e, tree: t}
	}
	return list
}

type dirEntry struct {
	entry
	tree *treeFS
}

func (e dirEntry) Name() string      { return e.name }
func (e dirEntry) IsDir() bool       { return e.mode.IsDir() }
func (e dirEntry) Type() fs.FileMode { return e.mode.Type() }
func (e dirEntry) String() string    { return fs.FormatDirEntry(e) }

// Info reads the size when it is asked for.
func (e dirEntry) Info() (fs.FileInfo, error) { return e.tree.stat(e.entry) }

// Sum names the file's content, or the folder's: the hash of its git object. It
// costs no read.
func (e dirEntry) Sum() string { return e.hash.String() }

type fileInfo struct {
	entry
	size int64
	time time.Time
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) Mode() fs.FileMode  { return i.mode }
func (i fileInfo) ModTime() time.Time { return i.time }
func (i fileInfo) IsDir() bool        { return i.mode.IsDir() }
func (i fileInfo) Sys() any           { return nil }
func (i fileInfo) String() string     { return fs.FormatFileInfo(i) }

type openFile struct {
	info fileInfo
	*bytes.Reader
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

type openDir struct {
	info fileInfo
	list []fs.DirEntry
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error               { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: errors.New("is a directory")}
}

// ReadDir implements fs.ReadDirFile.
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(d.list) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.list) {
		n = len(d.list)
	}
	list := d.list[:n:n]
	d.list = d.list[n:]
	return list, nil
}
