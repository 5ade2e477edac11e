package gitwatch

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/setpoint-net/setpoint/gitwatch/gitwatchtest"
)

// upstream is a bare repository that people push to.
type upstream struct {
	t    testing.TB
	dir  string
	tick int
}

func newUpstream(t testing.TB) *upstream {
	t.Helper()
	u := &upstream{t: t, dir: filepath.Join(t.TempDir(), "network.git")}
	u.git("init", "-q", "--bare", "-b", "main", u.dir)
	return u
}

func (u *upstream) git(args ...string) string {
	u.t.Helper()
	return gitIn(u.t, filepath.Dir(u.dir), "", args...)
}

// at runs git inside the repository.
func (u *upstream) at(args ...string) string {
	u.t.Helper()
	return gitIn(u.t, u.dir, "", args...)
}

func gitIn(t testing.TB, dir, stdin string, args ...string) string {
	t.Helper()
	return strings.TrimSpace(rawIn(t, dir, stdin, args...))
}

// raw runs git inside the repository and returns its output to the byte.
func (u *upstream) raw(args ...string) string {
	u.t.Helper()
	return rawIn(u.t, u.dir, "", args...)
}

func rawIn(t testing.TB, dir, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.net", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.net")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// blob is a file to commit; mode "" means 100644, content "" with mode 160000 a submodule.
type blob struct{ mode, path, content string }

// push commits files on top of a branch and returns the commit.
func (u *upstream) push(branch string, files ...blob) string {
	u.t.Helper()
	from := ""
	if _, err := os.Stat(filepath.Join(u.dir, "refs", "heads", branch)); err == nil {
		from = "refs/heads/" + branch + "^0"
	}
	return u.commit(branch, from, files...)
}

// root moves a branch to a commit without a parent.
func (u *upstream) root(branch string, files ...blob) string {
	u.t.Helper()
	return u.commit(branch, "", files...)
}

// commit moves a branch to a new commit on top of from.
func (u *upstream) commit(branch, from string, files ...blob) string {
	u.t.Helper()
	u.tick++
	var b strings.Builder
	fmt.Fprintf(&b, "commit refs/heads/%s\nmark :1\ncommitter t <t@example.net> %d +0000\ndata <<E\ncommit %d\nE\n", branch, 1_700_000_000+u.tick, u.tick)
	if from != "" {
		fmt.Fprintf(&b, "from %s\n", from)
	}
	for _, f := range files {
		if f.mode == "" {
			f.mode = "100644"
		}
		if f.mode == "160000" {
			fmt.Fprintf(&b, "M 160000 %s %s\n", strings.Repeat("ab", 20), f.path)
			continue
		}
		fmt.Fprintf(&b, "M %s inline %s\ndata %d\n%s\n", f.mode, f.path, len(f.content), f.content)
	}
	b.WriteString("get-mark :1\n")
	return gitIn(u.t, u.dir, b.String(), "fast-import", "--quiet", "--force")
}

func (u *upstream) reset(branch, commit string) {
	u.t.Helper()
	u.at("update-ref", "refs/heads/"+branch, commit)
}

// serve puts the upstream behind TLS and basic authentication.
func (u *upstream) serve(user, token string) *gitwatchtest.HTTPS {
	u.t.Helper()
	return gitwatchtest.NewHTTPS(u.t, u.dir, user, token)
}
