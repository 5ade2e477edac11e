package gitwatch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/osfs"
	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

const (
	cacheSize       = 96 << 20 // bytes of inflated objects kept in memory, per Repo
	openPacks       = 128      // pack files kept open, per Repo
	maxTreeObject   = 16 << 20 // bytes of one tree object
	maxCommitObject = 4 << 20  // bytes of one commit object
)

// errMissing is wrapped where an object that a commit, tree or reference names
// is not in the object store: a partial or damaged repository.
var errMissing = errors.New("object is missing from the repository")

// Repo is a git repository on disk, read through its object store alone: no
// work tree, no index. All methods are safe for concurrent use, also while a
// fetch or git itself adds objects to it.
type Repo struct {
	dir string

	// damaged is called, without locks held, for an object that is missing or
	// does not hash to its name. Set before the Repo is shared; may be nil.
	damaged func(error)

	mu    sync.Mutex // guards what follows: go-git's object storage is for one caller at a time
	disk  *packDisk
	store *filesystem.Storage
	git   *git.Repository
	dirs  map[plumbing.Hash]*dir // of the tree read last: the next one shares most of it
}

// OpenRepo opens the repository at dir: a bare repository, a mirror, or any
// folder inside a work tree (linked work trees included).
func OpenRepo(dir string) (*Repo, error) {
	r := &Repo{dir: dir}
	if err := r.open(); err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	return r, nil
}

// open begins anew on the repository as it is on disk now, and closes what was
// open before. File systems handed out keep working: objects are named by
// their content.
func (r *Repo) open() error {
	disk, err := findDisk(r.dir)
	if err != nil {
		return err
	}
	packs := &packDisk{Filesystem: disk}
	// MaxOpenDescriptors keeps packs open as KeepDescriptors does, but with a
	// ceiling: each fetch adds a pack, and a mirror lives for years.
	store := filesystem.NewStorageWithOptions(packs, cache.NewObjectLRU(cacheSize), filesystem.Options{
		MaxOpenDescriptors: openPacks,
		AlternatesFS:       osfs.New("/"),
	})
	repository, err := git.Open(store, nil)
	if err != nil {
		_ = store.Close()
		return plainNotFound(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store != nil {
		_ = r.store.Close()
	}
	r.disk, r.store, r.git, r.dirs = packs, store, repository, nil
	return nil
}

// findDisk returns the file system of the git directory that dir is, or is in.
func findDisk(dir string) (billy.Filesystem, error) {
	if isBare(dir) {
		return osfs.New(dir), nil
	}
	repository, err := git.PlainOpenWithOptions(dir, &git.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true})
	if err != nil {
		return nil, plainNotFound(err)
	}
	store, ok := repository.Storer.(*filesystem.Storage)
	if !ok {
		return nil, fmt.Errorf("unexpected storage %T", repository.Storer)
	}
	return store.Filesystem(), nil
}

func isBare(dir string) bool {
	head, err := os.Stat(filepath.Join(dir, "HEAD"))
	if err != nil || !head.Mode().IsRegular() {
		return false
	}
	objects, err := os.Stat(filepath.Join(dir, "objects"))
	return err == nil && objects.IsDir()
}

func plainNotFound(err error) error {
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return errors.New("no git repository here or in a folder above")
	}
	return err
}

// Close gives back the open files. The Repo is not to be used after it.
func (r *Repo) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.store.Close()
}

// object reads a whole object of at most limit bytes and checks that its bytes
// hash to its name.
func (r *Repo) object(want plumbing.ObjectType, hash plumbing.Hash, limit int64) ([]byte, error) {
	data, really, err := r.read(want, hash, limit)
	var big *sizeError
	switch {
	case errors.As(err, &big):
		return nil, err
	case err == nil && really == hash:
		return data, nil
	case err == nil:
		err = fmt.Errorf("object %s is damaged in %s: its bytes hash to %s", hash, r.dir, really)
	case errors.Is(err, plumbing.ErrObjectNotFound):
		err = fmt.Errorf("%s %s: %w (%s)", want, hash, errMissing, r.dir)
		if want == plumbing.CommitObject { // somebody asks for what was never here
			return nil, err
		}
	default:
		err = fmt.Errorf("read %s %s in %s: %w", want, hash, r.dir, err)
	}
	if r.damaged != nil {
		r.damaged(err)
	}
	return nil, err
}

type sizeError struct {
	what        string
	size, limit int64
}

func (e *sizeError) Error() string {
	return fmt.Sprintf("%s is %d bytes, above the limit of %d", e.what, e.size, e.limit)
}

// read returns an object's bytes and the hash that they really have.
func (r *Repo) read(want plumbing.ObjectType, hash plumbing.Hash, limit int64) ([]byte, plumbing.Hash, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o, err := r.store.EncodedObject(want, hash)
	if err != nil { // git may have repacked under us
		r.store.Reindex()
		o, err = r.store.EncodedObject(want, hash)
	}
	if err != nil {
		return nil, plumbing.ZeroHash, err
	}
	if o.Size() > limit {
		return nil, plumbing.ZeroHash, &sizeError{what: want.String() + " " + hash.String(), size: o.Size(), limit: limit}
	}
	in, err := o.Reader()
	if err != nil {
		return nil, plumbing.ZeroHash, err
	}
	defer in.Close()
	data := make([]byte, o.Size())
	if _, err := io.ReadFull(in, data); err != nil {
		return nil, plumbing.ZeroHash, err
	}
	if m, ok := o.(*plumbing.MemoryObject); ok {
		return data, m.Hash(), nil // computed once, when it was cached
	}
	return data, plumbing.ComputeHash(want, data), nil
}

// size returns an object's size in bytes without reading all of it.
func (r *Repo) size(hash plumbing.Hash) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := r.store.EncodedObjectSize(hash)
	if err != nil {
		r.store.Reindex()
		n, err = r.store.EncodedObjectSize(hash)
	}
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return 0, fmt.Errorf("blob %s: %w (%s)", hash, errMissing, r.dir)
	}
	return n, err
}

// addPack stores the pack that write writes. Readers go on meanwhile; only the
// index is added with them held off.
func (r *Repo) addPack(write func(io.Writer) error) error {
	r.mu.Lock()
	disk := r.disk
	out, err := r.store.PackfileWriter()
	r.mu.Unlock()
	if err != nil {
		disk.abandon()
		return fmt.Errorf("write a pack in %s: %w", r.dir, err)
	}
	err = write(out)
	r.mu.Lock()
	defer r.mu.Unlock()
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err != nil {
		r.store.Reindex()
		disk.abandon()
		return err
	}
	disk.forget()
	return nil
}

func (r *Repo) has(hash plumbing.Hash) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.store.HasEncodedObject(hash) == nil
}

// commit reads a commit of the object store; a missing one is errMissing.
func (r *Repo) commit(hash plumbing.Hash) (*object.Commit, error) {
	data, err := r.object(plumbing.CommitObject, hash, maxCommitObject)
	if err != nil {
		return nil, err
	}
	o := &plumbing.MemoryObject{}
	o.SetType(plumbing.CommitObject)
	if _, err := o.Write(data); err != nil {
		return nil, err
	}
	c := &object.Commit{}
	if err := c.Decode(o); err != nil {
		return nil, fmt.Errorf("commit %s: %w", hash, err)
	}
	return c, nil
}
