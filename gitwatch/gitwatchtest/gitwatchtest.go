// Package gitwatchtest plays the other ends of gitwatch for tests: git's own
// programs behind a real ssh server and behind HTTPS, and a real HTTP proxy on the
// way there.
//
// Everything listens on a free port of the loopback and ends with the test that
// made it, which waits for what was started. Nothing is recorded but what the
// proxy was asked for. What the servers require is fixed before the first
// request, but for the fields that say otherwise.
//
// It never stands in for gitwatch itself, judges no repository, and belongs in
// tests alone.
package gitwatchtest

import (
	"crypto/subtle"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// HTTPS is a repository behind TLS and, with a token, basic authentication.
type HTTPS struct {
	*httptest.Server
	Repository string // its url
	CA         []byte // PEM; the certificate is for 127.0.0.1 and example.com
}

// NewHTTPS serves the bare repository at dir. Without a token it is public.
func NewHTTPS(t testing.TB, dir, user, token string) *HTTPS {
	t.Helper()
	s := httptest.NewUnstartedServer(Backend(t, dir, user, token))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return &HTTPS{Server: s, Repository: s.URL + "/" + filepath.Base(dir), CA: ca}
}

// Backend is git's own HTTP server, for the bare repository at dir. A refusal
// echoes the credentials, which no client must tell.
func Backend(t testing.TB, dir, user, token string) http.Handler {
	t.Helper()
	path, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	backend := &cgi.Handler{
		Stderr: io.Discard,
		Path:   filepath.Join(strings.TrimSpace(string(path)), "git-http-backend"),
		Env:    []string{"GIT_PROJECT_ROOT=" + filepath.Dir(dir), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=/dev/null"},
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
