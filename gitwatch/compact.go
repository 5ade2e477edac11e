package gitwatch

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

const (
	defaultPacks = 64     // packs a mirror may have before small ones are merged
	mergeAtMost  = 50_000 // objects in one merge
)

// pack is one pack of the mirror and the objects in it.
type pack struct {
	hash    plumbing.Hash
	objects []plumbing.Hash
}

// compact merges small packs, because each fetch leaves one, and finding an
// object costs a look into each. Packs of like size go together, so a pack is
// rewritten as often as its size doubles. Nothing is dropped, reachable or not.
func (m *mirror) compact() error {
	names, err := filepath.Glob(filepath.Join(escapeGlob(m.dir), "objects", "pack", "pack-*.idx"))
	if err != nil || len(names) <= m.packs {
		return err
	}
	packs := make([]pack, 0, len(names))
	for _, name := range names {
		p, err := readPack(name)
		if err != nil {
			return err
		}
		packs = append(packs, p)
	}
	small := mergeable(packs)
	if len(small) < 2 {
		return nil
	}
	merged, err := m.merge(small)
	if err != nil {
		return fmt.Errorf("merge %d packs: %w", len(small), err)
	}
	for _, p := range small {
		if p.hash == merged {
			continue
		}
		for _, kind := range []string{"pack", "idx"} {
			if err := os.Remove(m.packFile(p.hash, kind)); err != nil {
				return err
			}
		}
	}
	return m.repo.open()
}

func (m *mirror) packFile(hash plumbing.Hash, kind string) string {
	return filepath.Join(m.dir, "objects", "pack", "pack-"+hash.String()+"."+kind)
}

func readPack(name string) (pack, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return pack{}, err
	}
	index := idxfile.NewMemoryIndex()
	if err := idxfile.NewDecoder(bytes.NewReader(data)).Decode(index); err != nil {
		return pack{}, fmt.Errorf("%s: %w", name, err)
	}
	entries, err := index.Entries()
	if err != nil {
		return pack{}, fmt.Errorf("%s: %w", name, err)
	}
	defer entries.Close()
	p := pack{hash: index.PackfileChecksum}
	for {
		e, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return p, nil
		}
		if err != nil {
			return pack{}, fmt.Errorf("%s: %w", name, err)
		}
		p.objects = append(p.objects, e.Hash)
	}
}

// mergeable returns the smallest packs, as long as the next one is at most
// twice what they are together.
func mergeable(packs []pack) []pack {
	slices.SortFunc(packs, func(a, b pack) int { return cmp.Compare(len(a.objects), len(b.objects)) })
	sum := 0
	for i, p := range packs {
		if i > 0 && len(p.objects) > 2*sum || sum+len(p.objects) > mergeAtMost {
			return packs[:i]
		}
		sum += len(p.objects)
	}
	return packs
}

// merge writes one pack with the objects of several, proves it complete and
// puts it on the disk for good. The writer names objects by the bytes it read,
// so one that was damaged shows as missing.
func (m *mirror) merge(packs []pack) (plumbing.Hash, error) {
	var objects []plumbing.Hash
	for _, p := range packs {
		objects = append(objects, p.objects...)
	}
	plumbing.HashesSort(objects)
	objects = slices.Compact(objects)
	disk := &packDisk{Filesystem: osfs.New(m.dir)}
	store := filesystem.NewStorageWithOptions(disk, cache.NewObjectLRU(cacheSize), filesystem.Options{MaxOpenDescriptors: openPacks})
	defer store.Close()
	out, err := store.PackfileWriter()
	if err != nil {
		disk.abandon()
		return plumbing.ZeroHash, err
	}
	// No new deltas (a window of 0): the packs of pushes hold next to none, and
	// go-git looks for them on several goroutines over a store that is for one.
	hash, err := packfile.NewEncoder(out, store, false).Encode(objects, 0)
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err != nil {
		disk.abandon()
		return plumbing.ZeroHash, err
	}
	written, err := readPack(m.packFile(hash, "idx"))
	if err != nil {
		return plumbing.ZeroHash, err
	}
	plumbing.HashesSort(written.objects)
	if !slices.Equal(written.objects, objects) {
		m.blame(fmt.Errorf("pack %s lacks objects that were to be merged into it", hash))
		return plumbing.ZeroHash, m.unsound()
	}
	return hash, m.persist(hash)
}

func (m *mirror) persist(hash plumbing.Hash) error {
	for _, name := range []string{m.packFile(hash, "pack"), m.packFile(hash, "idx"), filepath.Join(m.dir, "objects", "pack")} {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = errors.Join(f.Sync(), f.Close())
		if err != nil {
			return err
		}
	}
	return nil
}
