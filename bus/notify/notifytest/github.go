package notifytest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
)

// GitHub takes commit statuses for one repository ("Create a commit status", API
// version 2022-11-28). The fields are fixed before the first request.
type GitHub struct {
	Repo  string                // owner/name
	Token string                // that requests must bear
	Known func(sha string) bool // commits that are there; nil: all

	board
}

// NewGitHub is a forge for one repository and one token.
func NewGitHub(repo, token string) *GitHub { return &GitHub{Repo: repo, Token: token} }

const (
	maxStatuses    = 1000 // of one sha and context (GitHub)
	maxDescription = 140  // characters (GitHub)
	maxContext     = 255  // characters
)

// ServeHTTP takes one status, or says what is wrong with it as GitHub would.
func (g *GitHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f := g.begin(r); f != nil {
		g.end(nil, "")
		f.answer(w)
		return
	}
	s, err := g.take(r)
	if err != nil {
		code := http.StatusBadRequest
		var no *refusal
		if errors.As(err, &no) {
			code = no.code
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]string{"message": err.Error(), "documentation_url": "https://docs.github.com/rest/commits/statuses"})
		g.end(nil, fmt.Sprintf("%s %s: %v", r.Method, r.URL.Path, err))
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]any{"state": s.State, "context": s.Context, "description": s.Description, "target_url": s.TargetURL})
	g.end(&s, "")
}

func (g *GitHub) take(r *http.Request) (Status, error) {
	sha, err := g.address(r)
	if err != nil {
		return Status{}, err
	}
	s, err := readStatus(r, sha)
	if err != nil {
		return Status{}, err
	}
	return s, g.check(s)
}

// address checks everything before the body, and finds the commit.
func (g *GitHub) address(r *http.Request) (sha string, err error) {
	sha, ok := strings.CutPrefix(r.URL.Path, "/repos/"+g.Repo+"/statuses/")
	switch {
	case r.Header.Get("Authorization") != "Bearer "+g.Token:
		return "", refuse(http.StatusUnauthorized, "Bad credentials")
	case !ok || !hash(sha):
		return "", refuse(http.StatusNotFound, "Not Found")
	case r.Method != http.MethodPost:
		return "", refuse(http.StatusNotFound, "Not Found: method %s", r.Method)
	case r.URL.RawQuery != "":
		return "", refuse(http.StatusBadRequest, "a query: %s", r.URL.RawQuery)
	case r.Header.Get("Accept") != "application/vnd.github+json":
		return "", refuse(http.StatusUnsupportedMediaType, "Accept %q", r.Header.Get("Accept"))
	case r.Header.Get("X-GitHub-Api-Version") != "2022-11-28":
		return "", refuse(http.StatusBadRequest, "X-GitHub-Api-Version %q", r.Header.Get("X-GitHub-Api-Version"))
	case r.Header.Get("User-Agent") == "":
		return "", refuse(http.StatusForbidden, "Request forbidden by administrative rules. Please make sure your request has a User-Agent header")
	case g.Known != nil && !g.Known(sha):
		return "", refuse(http.StatusUnprocessableEntity, "No commit found for SHA: %s", sha)
	}
	return sha, nil
}

func (g *GitHub) check(s Status) error {
	const invalid = http.StatusUnprocessableEntity
	switch s.State {
	case "error", "failure", "pending", "success":
	default:
		return refuse(invalid, "Validation Failed: state %q is not included in the list", s.State)
	}
	if n := utf8.RuneCountInString(s.Description); n > maxDescription || !utf8.ValidString(s.Description) {
		return refuse(invalid, "Validation Failed: description is too long (%d, maximum is %d characters)", n, maxDescription)
	}
	if strings.ContainsAny(s.Description, "\n\r\t") || strings.TrimSpace(s.Description) == "" {
		return refuse(invalid, "Validation Failed: description %q is not one line", s.Description)
	}
	if s.Context == "" || utf8.RuneCountInString(s.Context) > maxContext {
		return refuse(invalid, "Validation Failed: context %q", s.Context)
	}
	if !linkable(s.TargetURL) {
		return refuse(invalid, "Validation Failed: target_url must use http(s) scheme")
	}
	if len(g.Of(s.SHA, s.Context)) >= maxStatuses {
		return refuse(invalid, "Validation Failed: This SHA and context has reached the maximum number of statuses.")
	}
	return nil
}
