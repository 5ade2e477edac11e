package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/setpoint-net/setpoint/bus/notify/notifytest"
)

// TestAPushIsToldOnGitea runs the road of the real Gitea against a stand-in: git
// itself over HTTP and the strict double for the statuses. "make e2e-forge" runs
// the same against a Gitea or Forgejo.
func TestAPushIsToldOnGitea(t *testing.T) {
	s := &giteaStandIn{t: t, dir: t.TempDir(), Gitea: notifytest.NewGitea("acme/later", "the-status-token")}
	srv := httptest.NewServer(s)
	defer srv.Close()
	s.url = srv.URL
	t.Run("road", gitea{url: srv.URL, token: "the-status-token"}.road)
	if v := s.Violations(); len(v) > 0 {
		t.Errorf("refused: %q", v)
	}
	if left, err := os.ReadDir(filepath.Join(s.dir, "acme")); err != nil || len(left) > 0 {
		t.Errorf("the repository is left behind: %v %v", left, err)
	}
}

// TestAPushIsToldOnARealGitea needs a Gitea or Forgejo, and a token of it that may
// make, write and delete repositories (write:repository, write:user). It makes a
// repository of its own and deletes it.
func TestAPushIsToldOnARealGitea(t *testing.T) {
	at, token := os.Getenv("GITEA_URL"), os.Getenv("GITEA_TOKEN")
	if at == "" || token == "" {
		t.Skip("not run: GITEA_URL and GITEA_TOKEN name no Gitea to run against")
	}
	gitea{url: strings.TrimRight(at, "/"), token: token}.road(t)
}

// gitea is a forge and a token for it.
type gitea struct{ url, token string }

type giteaRepo struct {
	Name     string `json:"full_name"` // owner/name
	CloneURL string `json:"clone_url"`
}

// road makes a repository, has setpoint watch it, pushes twice, one of them a
// mistake, and reads the statuses back as people would see them.
func (g gitea) road(t *testing.T) {
	t.Helper()
	var user struct {
		Login string `json:"login"`
	}
	if err := g.call(t.Context(), http.MethodGet, "/user", nil, &user); err != nil {
		t.Fatal(err)
	}
	var repo giteaRepo
	name := "setpoint-e2e-" + strings.ToLower(rand.Text()[:10])
	if err := g.call(t.Context(), http.MethodPost, "/user/repos", map[string]any{"name": name, "private": true, "default_branch": "main"}, &repo); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.call(context.WithoutCancel(t.Context()), http.MethodDelete, "/repos/"+repo.Name, nil, nil); err != nil {
			t.Error(err)
		}
	})
	basic := base64.StdEncoding.EncodeToString([]byte(user.Login + ":" + g.token))
	for k, v := range map[string]string{
		"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.extraHeader", "GIT_CONFIG_VALUE_0": "Authorization: Basic " + basic,
		"SETPOINT_REPOSITORY_URL": repo.CloneURL, "SETPOINT_REPOSITORY_USERNAME": user.Login, "SETPOINT_REPOSITORY_TOKEN_FILE": "gitea-token",
		"SETPOINT_FORGE_KIND": "gitea", "SETPOINT_FORGE_URL": g.url, "SETPOINT_FORGE_REPOSITORY": repo.Name, "SETPOINT_FORGE_TOKEN_FILE": "gitea-token",
	} {
		t.Setenv(k, v)
	}
	w := newWorld(t, 2)
	w.write("gitea-token", g.token)
	w.git(w.clone(), "remote", "set-url", "origin", repo.CloneURL)
	w.start()
	first := w.push(w.network("engineering", "alert"))
	g.shows(w, repo, first, map[string]string{"setpoint/plan": "success", "setpoint/deploy": "success"})
	w.holds(1, `"engineering"`)
	second := w.push(map[string]string{"network.yaml": strings.Replace(networkYAML("engineering"), "mtu: 9000", "mtu: nine", 1)})
	g.shows(w, repo, second, map[string]string{"setpoint/plan": "failure", "setpoint/deploy": "failure"})
	w.stop()
	if strings.Contains(w.proc.text(), g.token) {
		t.Error("the log tells the token")
	}
}

// shows waits until a commit's newest status in each context is as wanted. It looks
// whenever something was seen of setpoint: each post is a line of its log.
func (g gitea) shows(w *world, repo giteaRepo, sha string, want map[string]string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, w.patience)
	defer cancel()
	for {
		next := w.next()
		var all []struct {
			ID      int64  `json:"id"`
			State   string `json:"status"`
			Context string `json:"context"`
			Text    string `json:"description"`
		}
		err := g.call(ctx, http.MethodGet, "/repos/"+repo.Name+"/statuses/"+sha, nil, &all)
		newest, id := map[string]string{}, map[string]int64{}
		for _, s := range all { // in no order: two may bear the same second
			if s.ID > id[s.Context] {
				newest[s.Context], id[s.Context] = s.State, s.ID
			}
		}
		right := err == nil
		for c, state := range want {
			right = right && newest[c] == state
		}
		if right {
			for _, s := range all {
				w.t.Logf("%.7s %s %s: %s", sha, s.Context, s.State, s.Text)
			}
			return
		}
		select {
		case <-next:
		case <-ctx.Done():
			w.t.Fatalf("%.7s shows %v, not %v: %v", sha, all, want, err)
		}
	}
}

// call asks the API; out may be nil.
func (g gitea) call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, g.url+"/api/v1"+path, &body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "token "+g.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode/100 != 2:
		return fmt.Errorf("%s %s: %s: %.200s", method, path, resp.Status, text)
	case out == nil:
		return nil
	}
	return json.Unmarshal(text, out)
}

// giteaStandIn is as much of a Gitea as the road needs.
type giteaStandIn struct {
	*notifytest.Gitea

	t        *testing.T
	dir, url string
}

func (s *giteaStandIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, pass, basic := r.BasicAuth()
	token := r.Header.Get("Authorization") == "token "+s.Token
	switch {
	case !strings.HasPrefix(r.URL.Path, "/api/"):
		if !basic || user != "acme" || pass != s.Token {
			w.Header().Set("WWW-Authenticate", `Basic realm="Gitea"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		(&cgi.Handler{
			Path: "/usr/bin/env", Args: []string{"git", "http-backend"}, Stderr: io.Discard,
			Env: []string{"GIT_PROJECT_ROOT=" + s.dir, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=acme", "GIT_CONFIG_GLOBAL=" + os.DevNull},
		}).ServeHTTP(w, r)
	case token && r.Method == http.MethodGet && r.URL.Path == "/api/v1/user":
		io.WriteString(w, `{"login":"acme"}`)
	case token && r.Method == http.MethodPost && r.URL.Path == "/api/v1/user/repos":
		s.make(w, r)
	case token && r.Method == http.MethodDelete && r.URL.Path == "/api/v1/repos/"+s.Repo:
		if err := os.RemoveAll(filepath.Join(s.dir, s.Repo+".git")); err != nil {
			s.t.Error(err)
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		s.Gitea.ServeHTTP(w, r)
	}
}

func (s *giteaStandIn) make(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Name string `json:"name"`
	}
	err := json.NewDecoder(r.Body).Decode(&body)
	if err == nil && body.Name == "" {
		err = errors.New("no name")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	s.Repo = "acme/" + body.Name
	at := filepath.Join(s.dir, s.Repo+".git")
	(&world{t: s.t}).git(s.dir, "init", "-q", "--bare", "-b", "main", at)
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(giteaRepo{Name: s.Repo, CloneURL: s.url + "/" + s.Repo + ".git"})
}
