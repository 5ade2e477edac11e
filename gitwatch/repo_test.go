package gitwatch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/google/go-cmp/cmp"
)

func openRepo(t testing.TB, dir string) *Repo {
	t.Helper()
	r, err := OpenRepo(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func openTree(t testing.TB, r *Repo, commit string) fs.FS {
	t.Helper()
	tree, err := r.Tree(commit)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func everyKind() []blob {
	return []blob{
		{"", "README.md", "hello\n"},
		{"", "devices/leaf01.yaml", "kind: Device\n"},
		{"", "devices/leaf02.yaml", strings.Repeat("kind: Device\n", 10_000)},
		{"", "devices.yaml", "sorts between the folder and what is in it\n"},
		{"", "empty", ""},
		{"100755", "run.sh", "#!/bin/sh\n"},
		{"120000", "link", "../outside"},
		{"160000", "vendor/other", ""},
		{"", "a/b/c/d/e.yaml", "deep\n"},
	}
}

func TestTreeIsAFileSystem(t *testing.T) {
	u := newUpstream(t)
	commit := u.push("main", everyKind()...)
	tree := openTree(t, openRepo(t, u.dir), commit)
	if err := fstest.TestFS(tree, "README.md", "devices/leaf01.yaml", "a/b/c/d/e.yaml", "link", "vendor/other", "empty"); err != nil {
		t.Fatal(err)
	}
}

func TestTreeKeepsWhatGitKnowsOfAFile(t *testing.T) {
	u := newUpstream(t)
	commit := u.push("main", everyKind()...)
	tree := openTree(t, openRepo(t, u.dir), commit)
	var got []string
	err := fs.WalkDir(tree, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		got = append(got, fmt.Sprintf("%s %d %s", info.Mode(), info.Size(), path))
		if !info.ModTime().Equal(info.ModTime().UTC()) || info.ModTime().Unix() != 1_700_000_001 {
			t.Errorf("%s has time %s, want the commit's", path, info.ModTime())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"dr-xr-xr-x 0 .", "-r--r--r-- 6 README.md", "dr-xr-xr-x 0 a", "dr-xr-xr-x 0 a/b", "dr-xr-xr-x 0 a/b/c", "dr-xr-xr-x 0 a/b/c/d",
		"-r--r--r-- 5 a/b/c/d/e.yaml", "dr-xr-xr-x 0 devices", "-r--r--r-- 13 devices/leaf01.yaml", "-r--r--r-- 130000 devices/leaf02.yaml",
		"-r--r--r-- 43 devices.yaml", "-r--r--r-- 0 empty", "Lrwxrwxrwx 10 link", "-r-xr-xr-x 10 run.sh", "dr-xr-xr-x 0 vendor", "?r--r--r-- 0 vendor/other",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if target, err := fs.ReadFile(tree, "link"); err != nil || string(target) != "../outside" {
		t.Errorf("link reads %q, %v; want its target, not followed", target, err)
	}
}

func TestTreeNamesContentWithoutReadingIt(t *testing.T) {
	u := newUpstream(t)
	r := openRepo(t, u.dir)
	sums := func(blobs ...blob) map[string]string {
		commit := u.push("main", blobs...)
		list, err := fs.ReadDir(openTree(t, r, commit), ".")
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, e := range list {
			s, ok := e.(interface{ Sum() string })
			if !ok {
				t.Fatalf("%T has no sum", e)
			}
			out[e.Name()] = s.Sum()
		}
		return out
	}
	before := sums(blob{"", "a", "one"}, blob{"", "b", "two"}, blob{"", "c", "one"})
	after := sums(blob{"", "a", "one"}, blob{"", "b", "three"})
	if before["a"] != after["a"] || before["a"] != before["c"] || before["b"] == after["b"] || before["a"] == before["b"] {
		t.Errorf("before %v, after %v", before, after)
	}
}

func TestTreeSaysWhatIsNotThere(t *testing.T) {
	u := newUpstream(t)
	commit := u.push("main", everyKind()...)
	r := openRepo(t, u.dir)
	tree := openTree(t, r, commit)
	for _, path := range []string{"nope", "devices/nope", "README.md/nope", "link/nope", "vendor/other/nope"} {
		if _, err := fs.Stat(tree, path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("stat %s: %v, want fs.ErrNotExist", path, err)
		}
	}
	for _, path := range []string{"", "/README.md", "../x", "a//b", "./a"} {
		if _, err := tree.Open(path); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("open %q: %v, want fs.ErrInvalid", path, err)
		}
	}
	if _, err := fs.ReadFile(tree, "devices"); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("reading a folder: %v", err)
	}
	if _, err := fs.ReadDir(tree, "README.md"); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("listing a file: %v", err)
	}
	for _, commit := range []string{"", "main", commit[:8], strings.Repeat("z", 40)} {
		if _, err := r.Tree(commit); err == nil || !strings.Contains(err.Error(), "not a full commit hash") {
			t.Errorf("tree of %q: %v", commit, err)
		}
	}
	if _, err := r.Tree(strings.Repeat("12", 20)); !errors.Is(err, errMissing) {
		t.Errorf("tree of an unknown commit: %v", err)
	}
	if _, err := r.Tree(u.at("rev-parse", "main^{tree}")); err == nil {
		t.Error("a tree's hash was taken for a commit's")
	}
}

// object writes an object that git itself would refuse to.
func (u *upstream) object(kind string, content []byte) string {
	u.t.Helper()
	return gitIn(u.t, u.dir, string(content), "hash-object", "-t", kind, "-w", "--literally", "--stdin")
}

func (u *upstream) tree(entries ...string) string {
	u.t.Helper()
	var b []byte
	for i := 0; i < len(entries); i += 3 { // mode, name, hash
		hash := plumbing.NewHash(entries[i+2])
		b = append(append(append(b, entries[i]+" "+entries[i+1]...), 0), hash[:]...)
	}
	return u.object("tree", b)
}

func (u *upstream) commitOf(tree string) string {
	u.t.Helper()
	return u.object("commit", commitBytes(tree, 1_700_000_000))
}

func TestTreeRefusesWhatNoPathCanHold(t *testing.T) {
	u := newUpstream(t)
	content := u.object("blob", []byte("x"))
	tests := []struct {
		name string
		tree string
		want string
	}{
		{"dot dot", u.tree("100644", "..", content), `named ".."`},
		{"dot", u.tree("100644", ".", content), `named "."`},
		{"slash", u.tree("100644", "a/b", content), `named "a/b"`},
		{"empty name", u.tree("100644", "", content), `named ""`},
		{"not UTF-8", u.tree("100644", "caf\xe9", content), `named "caf\xe9"`},
		{"twice", u.tree("100644", "a", content, "100644", "b", content, "100644", "a", content), `two entries are named "a"`},
		{"strange mode", u.tree("20644", "tty", content), `mode "20644"`},
		{"no mode", u.tree("x", "a", content), `mode "x"`},
		{"cut off", u.object("tree", []byte("100644 a\x00123")), "malformed tree"},
		{"blob for a folder", u.tree("40000", "dir", content), "missing"},
		{"no such folder", u.tree("40000", "dir", strings.Repeat("12", 20)), "dir: tree 1212121212121212121212121212121212121212: object is missing"},
	}
	r := openRepo(t, u.dir)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := r.Tree(u.commitOf(tt.tree))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestTreeRefusesWhatUnfoldsBeyondItsLimits(t *testing.T) {
	u := newUpstream(t)
	content := u.object("blob", []byte("x"))
	bomb := u.tree("100644", "a", content)
	for range 10 { // 10^10 files in eleven small objects
		var entries []string
		for i := range 10 {
			entries = append(entries, "40000", fmt.Sprintf("d%d", i), bomb)
		}
		bomb = u.tree(entries...)
	}
	deep := u.tree("100644", "a", content)
	for range maxDepth {
		deep = u.tree("40000", "d", deep)
	}
	r := openRepo(t, u.dir)
	for tree, want := range map[string]string{bomb: "more than 1000000 files", deep: "nested more than 64 deep"} {
		for range 2 { // the second time from what is remembered
			if _, err := r.Tree(u.commitOf(tree)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want one with %q", err, want)
			}
		}
	}
}

func TestAFileAboveTheLimitIsAnErrorWhereItIsRead(t *testing.T) {
	u := newUpstream(t)
	commit := u.push("main", blob{"", "big.bin", strings.Repeat("0", maxFile+1)}, blob{"", "ok.yaml", "a: 1\n"})
	u.at("gc", "-q")
	tree := openTree(t, openRepo(t, u.dir), commit)
	if _, err := fs.ReadFile(tree, "ok.yaml"); err != nil {
		t.Error(err)
	}
	_, err := fs.ReadFile(tree, "big.bin")
	if err == nil || !strings.Contains(err.Error(), "big.bin") || !strings.Contains(err.Error(), "above the limit of 16777216") {
		t.Errorf("error %v, want one that names file and limit", err)
	}
	if info, err := fs.Stat(tree, "big.bin"); err != nil || info.Size() != maxFile+1 {
		t.Errorf("stat: %v, %v", info, err)
	}
}

func TestDamagedAndMissingFilesAreErrors(t *testing.T) {
	u := newUpstream(t)
	good, bad := u.object("blob", []byte("good")), u.object("blob", []byte("bad"))
	commit := u.commitOf(u.tree("100644", "swapped", good, "100644", "gone", bad))
	loose := func(hash string) string { return filepath.Join(u.dir, "objects", hash[:2], hash[2:]) }
	if err := os.Rename(loose(bad), loose(good)); err != nil {
		t.Fatal(err)
	}
	var blamed []error
	r := openRepo(t, u.dir)
	r.damaged = func(err error) { blamed = append(blamed, err) }
	tree := openTree(t, r, commit)
	if data, err := fs.ReadFile(tree, "swapped"); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("read %q, %v from a blob that holds other bytes", data, err)
	}
	if data, err := fs.ReadFile(tree, "gone"); !errors.Is(err, errMissing) {
		t.Errorf("read %q, %v from a blob that is gone", data, err)
	}
	if _, err := fs.Stat(tree, "gone"); !errors.Is(err, errMissing) {
		t.Errorf("stat of a blob that is gone: %v", err)
	}
	if len(blamed) != 2 {
		t.Errorf("told of damage %d times, want 2: %v", len(blamed), blamed)
	}
}

func TestResolveNamesACommitAsGitDoes(t *testing.T) {
	u := newUpstream(t)
	first := u.push("main", blob{"", "a", "1"})
	second := u.push("main", blob{"", "a", "2"})
	u.at("tag", "light", first)
	u.at("-c", "user.name=t", "-c", "user.email=t", "tag", "-a", "-m", "x", "v1.0", second)
	u.at("branch", "team/feature", first)
	work := filepath.Join(t.TempDir(), "work")
	u.git("clone", "-q", u.dir, work)
	linked := filepath.Join(t.TempDir(), "linked")
	gitIn(t, work, "", "worktree", "add", "-q", linked, first)
	sub := filepath.Join(work, "some", "folder")
	if err := os.MkdirAll(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	shared := filepath.Join(t.TempDir(), "shared")
	u.git("clone", "-q", "--shared", u.dir, shared)
	u.at("branch", second[:6], first) // a branch that reads like a short hash
	tests := []struct{ dir, rev, want string }{
		{u.dir, second[:6], first},
		{u.dir, second[:7], second},
		{u.dir, "HEAD", second},
		{u.dir, "main", second},
		{u.dir, "refs/heads/main", second},
		{u.dir, "HEAD~1", first},
		{u.dir, "main^", first},
		{u.dir, second, second},
		{u.dir, second[:7], second},
		{u.dir, "light", first},
		{u.dir, "v1.0", second},
		{u.dir, "v1.0~1", first},
		{u.dir, "team/feature", first},
		{work, "HEAD", second},
		{sub, "HEAD~1", first},
		{filepath.Join(work, ".git"), "HEAD", second},
		{work, "origin/main", second},
		{linked, "HEAD", first},
		{shared, "HEAD", second},
		{shared, first, first},
		{u.dir, "@", second},
		{u.dir, "HEAD~1^0", first},
		{u.dir, strings.ToUpper(second[:9]), second},
	}
	for _, tt := range tests {
		r := openRepo(t, tt.dir)
		got, err := r.Resolve(tt.rev)
		if err != nil || got != tt.want {
			t.Errorf("%s in %s is %s, %v; want %s", tt.rev, tt.dir, got, err, tt.want)
			continue
		}
		if _, err := fs.ReadFile(openTree(t, r, got), "a"); err != nil {
			t.Errorf("in %s: %v", tt.dir, err)
		}
	}
}

func TestResolveSaysWhatItCannotFind(t *testing.T) {
	u := newUpstream(t)
	commit := u.push("main", blob{"", "a", "1"})
	r := openRepo(t, u.dir)
	for _, rev := range []string{"", "nope", "HEAD~5", strings.Repeat("12", 20), u.at("rev-parse", "main:a"), "..", "main..HEAD", "-x", "HEAD^{tree", "@{", "a b", "\x00", commit[:3]} {
		if got, err := r.Resolve(rev); err == nil || !strings.HasPrefix(err.Error(), "resolve") {
			t.Errorf("%q resolved to %q, %v", rev, got, err)
		}
	}
	_, err := r.Resolve("nope")
	if want := `resolve "nope": no such commit, branch or tag in ` + u.dir; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	if _, err := OpenRepo(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no git repository here or in a folder above") {
		t.Errorf("opening an empty folder: %v", err)
	}
	if _, err := OpenRepo(filepath.Join(t.TempDir(), "nope")); err == nil {
		t.Error("a missing folder was opened")
	}
}

func TestAShortHashThatFitsTwoCommitsIsRefused(t *testing.T) {
	u := newUpstream(t)
	tree := u.tree()
	seen := make(map[string]string)
	for i := 0; ; i++ { // a few hundred commits until two share four digits
		hash := plumbing.ComputeHash(plumbing.CommitObject, commitBytes(tree, i)).String()
		if first, ok := seen[hash[:4]]; ok {
			for _, which := range strings.Fields(first + " " + strconv.Itoa(i)) {
				n, _ := strconv.Atoi(which)
				u.object("commit", commitBytes(tree, n))
			}
			_, err := openRepo(t, u.dir).Resolve(hash[:4])
			if err == nil || !strings.Contains(err.Error(), "2 commits begin like this") {
				t.Errorf("error %v", err)
			}
			return
		}
		seen[hash[:4]] = strconv.Itoa(i)
	}
}

func commitBytes(tree string, n int) []byte {
	return fmt.Appendf(nil, "tree %s\nauthor t <t> %d +0000\ncommitter t <t> %d +0000\n\nx\n", tree, n, n)
}

func FuzzParseRevision(f *testing.F) {
	for _, rev := range []string{"HEAD", "main~2^2", "v1^", "~1", "a~99999999999999999999", "a^{tree}", "@{1}"} {
		f.Add(rev)
	}
	f.Fuzz(func(t *testing.T, rev string) {
		name, steps, err := parseRevision(rev)
		if err != nil {
			return
		}
		again := name
		for _, s := range steps {
			if s.parent < 0 || s.times < 0 || s.times > maxSteps {
				t.Fatalf("step %+v", s)
			}
			if s.times == 1 {
				again += fmt.Sprintf("^%d", s.parent)
			} else {
				again += fmt.Sprintf("~%d", s.times)
			}
		}
		if name2, steps2, err := parseRevision(again); err != nil || name2 != name || len(steps2) != len(steps) {
			t.Errorf("%q reads as %q %v, then as %q %v, %v", rev, name, steps, name2, steps2, err)
		}
	})
}

func TestReadersShareARepoWhileGitRepacksIt(t *testing.T) {
	u := newUpstream(t)
	var files []blob
	for i := range 200 {
		files = append(files, blob{"", fmt.Sprintf("d%d/f%d.yaml", i%10, i), fmt.Sprintf("n: %d\n", i)})
	}
	commits := []string{u.push("main", files...)}
	for i := range 5 {
		commits = append(commits, u.push("main", blob{"", "d0/f0.yaml", fmt.Sprintf("n: %d\n", 1000+i)}))
	}
	r := openRepo(t, u.dir)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil || i < 5; i++ {
				tree, err := r.Tree(commits[(w+i)%len(commits)])
				if err != nil {
					t.Error(err)
					return
				}
				n := 0
				err = fs.WalkDir(tree, ".", func(path string, e fs.DirEntry, err error) error {
					if err != nil || e.IsDir() {
						return err
					}
					n++
					_, err = fs.ReadFile(tree, path)
					return err
				})
				if err != nil || n != 200 {
					t.Errorf("%d files, %v", n, err)
					return
				}
				if _, err := r.Resolve("main~2"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 3 {
		u.at("repack", "-q", "-a", "-d", "-f")
	}
	cancel()
	wg.Wait()
}

func FuzzParseDir(f *testing.F) {
	f.Add([]byte("100644 a\x00" + strings.Repeat("x", 20)))
	f.Add([]byte("40000 dir\x00" + strings.Repeat("x", 20) + "120000 link\x00" + strings.Repeat("y", 20)))
	f.Add([]byte("100644 ..\x00" + strings.Repeat("x", 20)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := parseDir(data)
		if err != nil {
			return
		}
		for i, e := range d.entries {
			if !fs.ValidPath(e.name) || strings.Contains(e.name, "/") || e.name == "." {
				t.Errorf("name %q", e.name)
			}
			if got, ok := d.find(e.name); !ok || got.hash != e.hash {
				t.Errorf("entry %q is not found", e.name)
			}
			if i > 0 && d.entries[i-1].name >= e.name {
				t.Errorf("%q before %q", d.entries[i-1].name, e.name)
			}
		}
	})
}
