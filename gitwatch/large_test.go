package gitwatch

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"testing"
	"time"
)

// large is a config repo of 10,000 files of 3 kB in 200 folders, with 500 commits
// that changed 20 each.
type large struct {
	*upstream
	random *rand.Rand
	commit int
}

const (
	largeFiles   = 10_000
	largeFolders = 200
	largeCommits = 500
)

func newLarge(b *testing.B) *large {
	b.Helper()
	l := &large{upstream: newUpstream(b), random: rand.New(rand.NewPCG(1, 2))}
	var s bytes.Buffer
	all := make([]int, largeFiles)
	for i := range all {
		all[i] = i
	}
	l.write(&s, all)
	for range largeCommits - 1 {
		some := make([]int, 20)
		for i := range some {
			some[i] = l.random.IntN(largeFiles)
		}
		l.write(&s, some)
	}
	l.load(&s)
	l.at("repack", "-adq")
	return l
}

func (l *large) name(i int) string { return fmt.Sprintf("site%03d/device%05d.yaml", i%largeFolders, i) }

// write adds a commit that changes these files to a stream for fast-import.
func (l *large) write(s *bytes.Buffer, files []int) {
	l.commit++
	fmt.Fprintf(s, "commit refs/heads/main\ncommitter test <test@localhost> %d +0000\ndata 6\nchange\n", 1_700_000_000+l.commit)
	if l.commit > largeCommits {
		s.WriteString("from refs/heads/main^0\n")
	}
	for _, i := range files {
		var text bytes.Buffer
		for port := range 48 {
			fmt.Fprintf(&text, "- {port: Ethernet%d, description: \"%s\", vlan: %d}\n", port, strconv.FormatUint(l.random.Uint64(), 36), l.random.IntN(4094)+1)
		}
		fmt.Fprintf(s, "M 100644 inline %s\ndata %d\n%s\n", l.name(i), text.Len(), text.Bytes())
	}
}

func (l *large) load(s *bytes.Buffer) {
	l.t.Helper()
	c := exec.Command("git", "fast-import", "--quiet")
	c.Dir, c.Stdin = l.dir, s
	if out, err := c.CombinedOutput(); err != nil {
		l.t.Fatalf("%v: %s", err, out)
	}
}

// change pushes one commit to one file.
func (l *large) change() (name string) {
	l.t.Helper()
	i := l.random.IntN(largeFiles)
	var s bytes.Buffer
	l.write(&s, []int{i})
	l.load(&s)
	return l.name(i)
}

// BenchmarkTenThousandFiles is a large config repo: cloned, opened by a restart,
// read, and followed by one commit. MB-peak is what it added to the process's resident
// memory at most; x-git is the time in units of git's own "clone --bare".
func BenchmarkTenThousandFiles(b *testing.B) {
	l := newLarge(b)
	h := newHouse(b)
	first := h.watcher(l.dir)
	first.Log = nil
	held := h.start(first)
	h.look(held)
	once := func(dir string) { // a process of its own would end here
		w := h.watcher(l.dir)
		w.Dir, w.Log = dir, nil
		at, err := w.lookout()
		if err != nil {
			b.Fatal(err)
		}
		h.look(at)
		at.close()
	}
	b.Run("clone", func(b *testing.B) {
		began := time.Now()
		l.git("clone", "-q", "--bare", "file://"+l.dir, filepath.Join(b.TempDir(), "by-git"))
		git := time.Since(began)
		peak := peakOf(b)
		for b.Loop() {
			once(filepath.Join(b.TempDir(), "mirror"))
		}
		peak()
		b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(git), "x-git")
	})
	b.Run("restart", func(b *testing.B) {
		peak := peakOf(b)
		for b.Loop() {
			once(first.Dir)
		}
		peak()
	})
	b.Run("tree", func(b *testing.B) {
		for b.Loop() {
			r, err := OpenRepo(first.Dir)
			if err != nil {
				b.Fatal(err)
			}
			openTree(b, r, l.head())
			_ = r.Close()
		}
	})
	b.Run("read", func(b *testing.B) {
		peak := peakOf(b)
		for b.Loop() {
			r, err := OpenRepo(first.Dir)
			if err != nil {
				b.Fatal(err)
			}
			if n := readAll(b, openTree(b, r, l.head())); n != largeFiles {
				b.Fatal(n)
			}
			_ = r.Close()
		}
		peak()
	})
	b.Run("commit", func(b *testing.B) {
		peak := peakOf(b)
		for b.Loop() {
			b.StopTimer()
			name := l.change()
			b.StartTimer()
			h.look(held)
			read(b, first.Repo(), l.head(), name)
		}
		peak()
	})
	head, _, err := h.heads.Get(b.Context(), "main")
	if err != nil || head.New != l.head() {
		b.Fatal(head, err)
	}
	b.Run("refused", func(b *testing.B) { // each look, while a force push stands
		l.reset("main", l.at("rev-parse", "main~1"))
		l.change()
		h.look(held)
		for b.Loop() {
			h.look(held)
		}
	})
	if now, _, err := h.heads.Get(b.Context(), "main"); err != nil || now.New != head.New {
		b.Fatal(now, err)
	}
}

func (l *large) head() string { return l.at("rev-parse", "main") }

func readAll(b *testing.B, tree fs.FS) int {
	b.Helper()
	n := 0
	err := fs.WalkDir(tree, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		n++
		_, err = fs.ReadFile(tree, path)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// peakOf reports, when its result is called, by how much the process's resident
// memory rose at most since now.
func peakOf(b *testing.B) func() {
	debug.FreeOSMemory()
	before := resident(b, "VmRSS")
	if os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) != nil { // the peak begins anew
		return func() {}
	}
	return func() { b.ReportMetric(resident(b, "VmHWM")-before, "MB-peak") }
}

// resident is a figure of the process's memory in MB.
func resident(b *testing.B, field string) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0 // not on Linux
	}
	m := regexp.MustCompile(field + `:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		b.Fatalf("no %s in %s", field, status)
	}
	kb, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return kb / 1024
}
