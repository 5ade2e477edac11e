package gitwatch

import (
	"path"
	"strings"
	"sync"

	"github.com/go-git/go-billy/v5"
)

const tempPack = "tmp_pack_" // how go-git's names of unfinished packs begin

// packDisk remembers the unfinished packs that go-git's pack writer opens,
// because that forgets to close them, and leaves them, when a pack breaks off.
type packDisk struct {
	billy.Filesystem

	mu   sync.Mutex
	open []billy.File
}

// TempFile implements billy.TempFile.
func (d *packDisk) TempFile(dir, prefix string) (billy.File, error) {
	f, err := d.Filesystem.TempFile(dir, prefix)
	d.note(f, err)
	return f, err
}

// Open implements billy.Basic.
func (d *packDisk) Open(name string) (billy.File, error) {
	f, err := d.Filesystem.Open(name)
	d.note(f, err)
	return f, err
}

func (d *packDisk) note(f billy.File, err error) {
	if err != nil || !strings.HasPrefix(path.Base(f.Name()), tempPack) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = append(d.open, f)
}

// forget is for when the pack was finished.
func (d *packDisk) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = nil
}

// abandon closes and removes what was begun.
func (d *packDisk) abandon() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.open {
		_ = f.Close()
		_ = d.Remove(f.Name())
	}
	d.open = nil
}
