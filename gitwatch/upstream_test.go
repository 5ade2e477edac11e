package gitwatch

import (
	"bytes"
	"crypto/subtle"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
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
	return strings.TrimSpace(string(out))
}

// blob is a file to commit; mode "" means 100644, content "" with mode 160000 a submodule.
type blob struct{ mode, path, content string }

// push commits files on top of a branch and returns the commit.
func (u *upstream) push(branch string, files ...blob) string {
	u.t.Helper()
	return u.commit(branch, "refs/heads/"+branch+"^0", files...)
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
	fmt.Fprintf(&b, "reset refs/tmp/new\n\ncommit refs/tmp/new\ncommitter t <t@example.net> %d +0000\ndata <<E\ncommit %d\nE\n", 1_700_000_000+u.tick, u.tick)
	if from != "" && !strings.HasPrefix(from, "refs/") || from != "" && u.has(strings.TrimSuffix(from, "^0")) {
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
	gitIn(u.t, u.dir, b.String(), "fast-import", "--quiet", "--force")
	hash := u.at("rev-parse", "refs/tmp/new")
	u.at("update-ref", "refs/heads/"+branch, hash)
	u.at("update-ref", "-d", "refs/tmp/new")
	return hash
}

func (u *upstream) has(ref string) bool {
	out := u.at("for-each-ref", ref)
	return out != ""
}

func (u *upstream) reset(branch, commit string) {
	u.t.Helper()
	u.at("update-ref", "refs/heads/"+branch, commit)
}

// site is an upstream behind TLS and basic authentication.
type site struct {
	*httptest.Server
	url string // of the repository
	ca  []byte // PEM
}

func (u *upstream) serve(user, token string) *site {
	u.t.Helper()
	s := httptest.NewUnstartedServer(u.handler(user, token))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	u.t.Cleanup(s.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return &site{Server: s, url: s.URL + "/" + filepath.Base(u.dir), ca: ca}
}

func (u *upstream) handler(user, token string) http.Handler {
	backend := &cgi.Handler{
		Stderr: io.Discard,
		Path:   filepath.Join(u.git("--exec-path"), "git-http-backend"),
		Env:    []string{"GIT_PROJECT_ROOT=" + filepath.Dir(u.dir), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=/dev/null"},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gotUser, gotToken, ok := r.BasicAuth()
		if token != "" && (!ok || gotUser != user || subtle.ConstantTimeCompare([]byte(gotToken), []byte(token)) == 0) {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "who is "+r.Header.Get("Authorization")+" "+gotToken+"?", http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	})
}
