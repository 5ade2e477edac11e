package notifytest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// Gitea takes commit statuses for one repository, as Gitea and Forgejo do
// ("repoCreateStatus" of API v1), and says which commits it has. It is stricter than
// they: they take any state and length. The fields are fixed before the first
// request.
type Gitea struct {
	Repo  string                // owner/name
	Token string                // that requests must bear
	Known func(sha string) bool // commits that are there; nil: all

	board
}

// NewGitea is a forge for one repository and one token.
func NewGitea(repo, token string) *Gitea { return &Gitea{Repo: repo, Token: token} }

// ServeHTTP takes one status, or answers what Gitea would. Asking for a commit or
// for its statuses is neither counted nor kept.
func (g *Gitea) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		g.tell(w, r)
		return
	}
	if f := g.begin(r); f != nil {
		g.end(nil, "")
		f.answer(w)
		return
	}
	s, err := g.take(r)
	if err != nil {
		g.end(nil, fmt.Sprintf("%s %s: %v", r.Method, r.URL.Path, err))
		g.refuse(w, err)
		return
	}
	g.end(&s, "")
	answer(w, http.StatusCreated, giteaStatus(g.Tries(), s))
}

func (g *Gitea) take(r *http.Request) (Status, error) {
	sha, err := g.address(r, "/statuses/")
	switch {
	case err != nil:
		return Status{}, err
	case r.Method != http.MethodPost:
		return Status{}, refuse(http.StatusMethodNotAllowed, "method %s", r.Method)
	case r.URL.RawQuery != "":
		return Status{}, refuse(http.StatusBadRequest, "a query: %s", r.URL.RawQuery)
	}
	s, err := readStatus(r, sha)
	if err != nil {
		return Status{}, err
	}
	if g.Known != nil && !g.Known(sha) {
		return Status{}, refuse(http.StatusInternalServerError, "") // as it does, without a word
	}
	return s, check(s)
}

// check holds a status to what people can read, which Gitea does not.
func check(s Status) error {
	const invalid = http.StatusUnprocessableEntity
	switch s.State {
	case "pending", "success", "error", "failure", "warning":
	default:
		return refuse(invalid, "state %q", s.State)
	}
	switch n := utf8.RuneCountInString(s.Description); {
	case n > maxDescription || !utf8.ValidString(s.Description):
		return refuse(invalid, "description of %d characters", n)
	case strings.ContainsAny(s.Description, "\n\r\t") || strings.TrimSpace(s.Description) == "":
		return refuse(invalid, "description %q is not one line", s.Description)
	case s.Context == "" || utf8.RuneCountInString(s.Context) > maxContext:
		return refuse(invalid, "context %q", s.Context)
	case !linkable(s.TargetURL):
		return refuse(invalid, "target_url %q", s.TargetURL)
	}
	return nil
}

// tell answers whether a commit is there, or its statuses, newest first.
func (g *Gitea) tell(w http.ResponseWriter, r *http.Request) {
	if sha, err := g.address(r, "/git/commits/"); err == nil {
		if g.Known != nil && !g.Known(sha) {
			g.refuse(w, refuse(http.StatusNotFound, "%s", sha))
			return
		}
		answer(w, http.StatusOK, map[string]string{"sha": sha})
		return
	}
	sha, err := g.address(r, "/statuses/")
	if err != nil {
		g.refuse(w, err)
		return
	}
	list := []map[string]any{}
	for i, s := range g.All() {
		if s.SHA == sha {
			list = append(list, giteaStatus(i+1, s))
		}
	}
	slices.Reverse(list)
	answer(w, http.StatusOK, list)
}

// address checks who is asking, and finds the commit.
func (g *Gitea) address(r *http.Request, what string) (sha string, err error) {
	sha, ok := strings.CutPrefix(r.URL.Path, "/api/v1/repos/"+g.Repo+what)
	switch {
	case r.Header.Get("Authorization") != "token "+g.Token:
		return "", refuse(http.StatusUnauthorized, "invalid username, password or token")
	case !ok || !hash(sha):
		return "", refuse(http.StatusNotFound, "The target couldn't be found.")
	}
	return sha, nil
}

func (g *Gitea) refuse(w http.ResponseWriter, err error) {
	code := http.StatusBadRequest
	var no *refusal
	if errors.As(err, &no) {
		code = no.code
	}
	answer(w, code, map[string]string{"message": err.Error(), "url": "http://" + g.Repo + "/api/swagger"})
}

// giteaStatus is a status as Gitea shows it: it says "status" where it takes "state".
func giteaStatus(id int, s Status) map[string]any {
	return map[string]any{"id": id, "status": s.State, "context": s.Context, "description": s.Description, "target_url": s.TargetURL}
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}
