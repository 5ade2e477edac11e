package gitwatch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

const (
	origin     = "origin"
	heldBack   = "refs/setpoint/superseded/" // heads that a force push took off the branch
	haveAtMost = 64                          // commits named to the server for each head of ours
)

// errUnsound is wrapped by what makes a mirror worthless: it is set aside and
// made anew.
var errUnsound = errors.New("the mirror is damaged")

// mirror is the bare repository that is ours: it has objects and one branch,
// no work tree, no tags. Its branch is the head that was accepted last; the
// branch at the other end may be elsewhere.
type mirror struct {
	dir    string
	url    string // without user and password
	branch plumbing.ReferenceName
	repo   *Repo
	packs  int // more of them are merged
	opened bool
	whole  map[plumbing.Hash]bool // trees known to be here with all below them

	mu    sync.Mutex
	cause error // why it is unsound, as readers found
}

func newMirror(dir, url, branch string) *mirror {
	m := &mirror{dir: dir, url: url, branch: plumbing.NewBranchReferenceName(branch), packs: defaultPacks}
	m.repo = &Repo{dir: dir, damaged: m.blame}
	return m
}

// ensure opens the mirror, or makes an empty one where nothing is. A damaged
// one is set aside first: where to, and why, is in the answer.
func (m *mirror) ensure(now time.Time) (aside string, cause, err error) {
	if cause = m.unsound(); cause == nil {
		if m.opened && isBare(m.dir) {
			return "", nil, nil
		}
		err = m.open()
		if !errors.Is(err, errUnsound) {
			return "", nil, err
		}
		cause = err
	}
	m.opened = false
	if aside, err = setAside(m.dir, now); err != nil {
		return "", cause, fmt.Errorf("set the damaged mirror %s aside: %w", m.dir, err)
	}
	m.blame(nil)
	return aside, cause, m.open()
}

// open opens what is at dir. An error that wraps errUnsound says that it is of
// no use.
func (m *mirror) open() error {
	m.opened, m.whole = false, nil
	if err := m.found(); err != nil {
		return err
	}
	if !isBare(m.dir) {
		return fmt.Errorf("%w: %s is not a bare repository", errUnsound, m.dir)
	}
	if err := m.repo.open(); err != nil {
		return fmt.Errorf("%w: %w", errUnsound, err)
	}
	if err := m.check(); err != nil {
		return err
	}
	if err := m.sweep(); err != nil {
		return err
	}
	m.opened = true
	return nil
}

// found sees to it that there is a bare repository at dir, and nothing of
// someone else's.
func (m *mirror) found() error {
	list, err := os.ReadDir(m.dir)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(list) == 0 {
		return m.create()
	}
	if err != nil {
		return err
	}
	ours := false
	for _, e := range list {
		ours = ours || e.Name() == "objects" || e.Name() == "refs"
	}
	if !ours {
		return &problem{fmt.Errorf("%s holds other files", m.dir), "give the mirror a folder of its own"}
	}
	return nil
}

// create makes an empty mirror beside dir and moves it there, whole.
func (m *mirror) create() error {
	if err := os.MkdirAll(filepath.Dir(m.dir), 0o700); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(m.dir), filepath.Base(m.dir)+".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	store := filesystem.NewStorage(osfs.New(fresh), cache.NewObjectLRU(cacheSize))
	repository, err := git.Init(store, nil)
	if err != nil {
		return fmt.Errorf("make a mirror at %s: %w", m.dir, err)
	}
	if err := store.SetReference(plumbing.NewSymbolicReference(plumbing.HEAD, m.branch)); err != nil {
		return err
	}
	only := config.RefSpec(fmt.Sprintf("+%s:%s", m.branch, m.branch))
	if _, err := repository.CreateRemote(&config.RemoteConfig{Name: origin, URLs: []string{m.url}, Fetch: []config.RefSpec{only}}); err != nil {
		return fmt.Errorf("make a mirror at %s: %w", m.dir, err)
	}
	return os.Rename(fresh, m.dir)
}

// check reads what a sound mirror must have: its configuration, and its
// branch's commit with every tree, and every file present.
func (m *mirror) check() error {
	conf, err := m.repo.git.Config()
	if err != nil {
		return fmt.Errorf("%w: configuration: %w", errUnsound, err)
	}
	r := conf.Remotes[origin]
	if r == nil || len(r.URLs) == 0 {
		return fmt.Errorf("%w: its configuration names no remote", errUnsound)
	}
	if r.URLs[0] != m.url {
		return &problem{fmt.Errorf("%s is a mirror of another repository, %s", m.dir, r.URLs[0]), "give this repository another folder, or remove that one"}
	}
	head, err := m.head()
	if err != nil {
		return fmt.Errorf("%w: %w", errUnsound, err)
	}
	if head.IsZero() {
		return nil
	}
	return m.verify(head)
}

// head returns the commit that the mirror's branch is on; zero for none.
func (m *mirror) head() (plumbing.Hash, error) {
	m.repo.mu.Lock()
	defer m.repo.mu.Unlock()
	ref, err := m.repo.store.Reference(m.branch)
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return plumbing.ZeroHash, nil
	}
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("%s: %w", m.branch, err)
	}
	if ref.Hash().IsZero() {
		return plumbing.ZeroHash, fmt.Errorf("%s: the reference holds no hash", m.branch)
	}
	return ref.Hash(), nil
}

// verify says whether a commit is here with its whole tree. Trees are read and
// checked; of files only the presence is. What was whole before is not looked
// at again, so the cost is that of what changed.
func (m *mirror) verify(commit plumbing.Hash) error {
	whole := make(map[plumbing.Hash]bool, len(m.whole))
	t, err := m.repo.tree(commit)
	if err == nil {
		err = m.present(t.root, whole)
	}
	if errors.Is(err, errMissing) {
		m.blame(err)
	}
	if cause := m.unsound(); cause != nil {
		return fmt.Errorf("%w: %w", errUnsound, cause)
	}
	if err == nil {
		m.whole = whole
	}
	return err
}

func (m *mirror) present(folder entry, whole map[plumbing.Hash]bool) error {
	if whole[folder.hash] {
		return nil
	}
	known := m.whole[folder.hash]
	for _, e := range folder.sub.entries {
		if e.sub != nil {
			if err := m.present(e, whole); err != nil {
				return err
			}
			continue
		}
		if !known && e.mode&os.ModeIrregular == 0 && !m.repo.has(e.hash) {
			return fmt.Errorf("%s: blob %s: %w (%s)", e.name, e.hash, errMissing, m.dir)
		}
	}
	whole[folder.hash] = true
	return nil
}

// blame notes what a reader of the mirror found.
func (m *mirror) blame(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cause = err
}

func (m *mirror) unsound() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cause
}

// fetch brings a commit and what it needs into the mirror, and proves it whole.
func (m *mirror) fetch(pack func(haves []plumbing.Hash, out io.Writer) error, want plumbing.Hash, heads ...plumbing.Hash) error {
	haves := m.haves(heads)
	if err := m.repo.addPack(func(out io.Writer) error { return pack(haves, out) }); err != nil {
		return err
	}
	return m.verify(want)
}

// haves names to the server what is here: each head and its latest ancestors,
// so that a rewritten branch costs what was rewritten.
func (m *mirror) haves(heads []plumbing.Hash) []plumbing.Hash {
	var haves []plumbing.Hash
	for _, head := range heads {
		if head.IsZero() || !m.repo.has(head) {
			continue
		}
		n := 0
		_ = m.repo.ancestors(head, func(h plumbing.Hash) bool {
			haves = append(haves, h)
			n++
			return n < haveAtMost
		})
	}
	return haves
}

// accept moves the mirror's branch to a head. What a force push took off the
// branch keeps a name, so that no garbage collection takes its objects.
func (m *mirror) accept(head plumbing.Hash) error {
	was, err := m.head()
	if err != nil || was == head {
		return err
	}
	m.repo.mu.Lock()
	defer m.repo.mu.Unlock()
	return m.repo.store.SetReference(plumbing.NewHashReference(m.branch, head))
}

// keep gives an old head a name of its own.
func (m *mirror) keep(head plumbing.Hash) error {
	m.repo.mu.Lock()
	defer m.repo.mu.Unlock()
	return m.repo.store.SetReference(plumbing.NewHashReference(plumbing.ReferenceName(heldBack+head.String()), head))
}

// sweep removes what interrupted fetches left.
func (m *mirror) sweep() error {
	left, err := filepath.Glob(filepath.Join(escapeGlob(m.dir), "objects", "pack", "tmp_pack_*"))
	if err != nil {
		return err
	}
	for _, name := range left {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func escapeGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(dir)
}

// setAside moves the mirror at dir out of the way, for a person to look at, and
// returns where to. The one set aside before it is removed: one is enough.
func setAside(dir string, now time.Time) (string, error) {
	aside := dir + ".aside-" + now.UTC().Format("20060102T150405.000000000Z")
	before, err := filepath.Glob(escapeGlob(dir) + ".aside-*")
	if err != nil {
		return "", err
	}
	if err := os.Rename(dir, aside); err != nil {
		return "", err
	}
	for _, old := range before {
		if err := os.RemoveAll(old); err != nil {
			return "", err
		}
	}
	return aside, nil
}
