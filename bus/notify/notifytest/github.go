package notifytest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// Status is a commit status as it was taken.
type Status struct {
	SHA         string
	State       string
	Context     string
	Description string
	TargetURL   string
	Time        time.Time
}

// Final says whether the state is a last word.
func (s Status) Final() bool { return s.State != "pending" }

// GitHub takes commit statuses for one repository ("Create a commit status", API
// version 2022-11-28). The fields are fixed before the first request.
type GitHub struct {
	Repo  string                // owner/name
	Token string                // that requests must bear
	Known func(sha string) bool // commits that are there; nil: all

	desk[Status]
}

// NewGitHub is a forge for one repository and one token.
func NewGitHub(repo, token string) *GitHub { return &GitHub{Repo: repo, Token: token} }

const (
	maxStatuses    = 1000 // of one sha and context (GitHub)
	maxDescription = 140  // characters (GitHub)
	maxContext     = 255  // characters
	maxStatusBody  = 16 << 10
)

// Last is the newest status of a commit and context: the one that people see.
func (g *GitHub) Last(sha, context string) (Status, bool) {
	all := g.All()
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].SHA == sha && all[i].Context == context {
			return all[i], true
		}
	}
	return Status{}, false
}

// Of is every status of a commit and context, in order.
func (g *GitHub) Of(sha, context string) []Status {
	var of []Status
	for _, s := range g.All() {
		if s.SHA == sha && s.Context == context {
			of = append(of, s)
		}
	}
	return of
}

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
	var body struct {
		State       string  `json:"state"`
		TargetURL   *string `json:"target_url"`
		Description *string `json:"description"`
		Context     *string `json:"context"`
	}
	if err := readJSON(r, maxStatusBody, &body); err != nil {
		return Status{}, err
	}
	s := Status{SHA: sha, State: body.State, Context: "default", Time: time.Now()}
	for to, from := range map[*string]*string{&s.TargetURL: body.TargetURL, &s.Description: body.Description, &s.Context: body.Context} {
		if from != nil {
			*to = *from
		}
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
	if s.TargetURL != "" {
		if u, err := url.Parse(s.TargetURL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return refuse(invalid, "Validation Failed: target_url must use http(s) scheme")
		}
	}
	if len(g.Of(s.SHA, s.Context)) >= maxStatuses {
		return refuse(invalid, "Validation Failed: This SHA and context has reached the maximum number of statuses.")
	}
	return nil
}

func hash(s string) bool {
	if len(s) != 40 && len(s) != 64 {
		return false
	}
	return strings.Trim(s, "0123456789abcdef") == ""
}
