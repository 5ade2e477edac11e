package notify

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// Gitea posts commit statuses to a Gitea or a Forgejo ("repoCreateStatus" of
// their API v1).
type Gitea struct {
	URL    string       // of the forge, as in a browser: https://git.example.com
	Repo   string       // owner/name
	Token  string       // scope write:repository; appears in no error
	Client *http.Client // nil: http.DefaultClient
}

// String names the destination without its secrets: "gitea/owner/name".
func (g Gitea) String() string { return "gitea/" + g.Repo }

// GoString keeps the token out of %#v.
func (g Gitea) GoString() string { return g.String() }

// Post sends one status and waits for the answer, at most 15 s. An error is an
// *Answer, or ctx's. Posting the same status twice leaves the commit as posting it
// once: the newest of a context counts.
func (g Gitea) Post(ctx context.Context, s Status) error {
	repo, err := repoPath(g.Repo)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, postDeadline)
	defer cancel()
	req, err := statusRequest(ctx, g.api(), repo, s)
	if err != nil {
		return err
	}
	a := g.send(req)
	if a == nil {
		return nil
	}
	if a.Code == http.StatusInternalServerError && g.lacks(ctx, repo, s.SHA) {
		a.Code, a.Text = http.StatusUnprocessableEntity, "no commit "+s.SHA
	}
	g.explain(a)
	return a
}

// api is the root of the API; the forge may be served below a path.
func (g Gitea) api() string {
	return strings.TrimSuffix(strings.TrimRight(g.URL, "/"), "/api/v1") + "/api/v1"
}

func (g Gitea) send(req *http.Request) *Answer {
	req.Header.Set("Authorization", "token "+g.Token)
	req.Header.Set("Accept", "application/json")
	a := send(g.Client, req)
	if a != nil {
		a.Text = strings.ReplaceAll(a.Text, orNever(g.Token), "(secret)")
	}
	return a
}

// lacks asks whether the commit is what a 500 was about: a status for a commit that
// Gitea does not have is answered like a breakdown, which would make every
// other status wait.
func (g Gitea) lacks(ctx context.Context, repo, sha string) bool {
	to := g.api() + repo + "/git/commits/" + url.PathEscape(sha) + "?stat=false&verification=false&files=false"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return false
	}
	req.Header.Set("User-Agent", "setpoint")
	a := g.send(req)
	return a != nil && a.Code == http.StatusNotFound
}

func (g Gitea) explain(a *Answer) {
	if a.Hint != "" {
		return
	}
	switch a.Code {
	case http.StatusUnauthorized:
		a.Hint = "the forge token is wrong or has expired"
	case http.StatusForbidden:
		a.Hint = "the forge token needs the scope write:repository, and its owner write access to " + g.Repo
	case http.StatusNotFound:
		a.Hint = "the repository " + g.Repo + " does not exist there, or the forge token does not see it"
	case http.StatusUnprocessableEntity:
		a.Hint = "the forge does not have this commit; check forge.repository"
	}
}
