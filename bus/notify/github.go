package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Answer is what went wrong with a post: the other side's refusal, or that no
// answer came. It names no token and no secret URL.
type Answer struct {
	Code       int           // HTTP status; 0: no answer
	RetryAfter time.Duration // asked for by the other side; 0: it said nothing
	Limited    bool          // a rate limit: every post to this integration waits
	Text       string        // what the other side said, one line
	Hint       string        // what a person can do
}

func (a *Answer) Error() string {
	switch {
	case a.Code == 0:
		return a.Text
	case a.Text == "":
		return fmt.Sprintf("answered %d %s", a.Code, http.StatusText(a.Code))
	}
	return fmt.Sprintf("answered %d: %s", a.Code, a.Text)
}

// refused tells a post that a person must mend from one that time mends.
func (a *Answer) refused() bool {
	return a.Code >= 400 && a.Code < 500 && !a.Limited && a.Code != http.StatusRequestTimeout
}

// GitHub posts commit statuses to the GitHub REST API ("Create a commit
// status", API version 2022-11-28), or to anything of that shape.
type GitHub struct {
	API    string       // base url; default https://api.github.com
	Repo   string       // owner/name
	Token  string       // may write commit statuses; appears in no error
	Client *http.Client // nil: http.DefaultClient
}

const (
	githubAPI      = "https://api.github.com"
	postDeadline   = 15 * time.Second
	answerSize     = 64 << 10 // bytes of an answer that are read
	answerText     = 200      // characters of it that are told
	secondaryPause = time.Minute
)

// String names the destination without its secrets: "github/owner/name".
func (g GitHub) String() string { return "github/" + g.Repo }

// GoString keeps the token out of %#v.
func (g GitHub) GoString() string { return g.String() }

// Post sends one status and waits for the answer, at most 15 s. An error is an
// *Answer, or ctx's. Posting the same status twice leaves the commit as posting it
// once: the newest of a context counts.
func (g GitHub) Post(ctx context.Context, s Status) error {
	api := strings.TrimRight(g.API, "/")
	if api == "" {
		api = githubAPI
	}
	repo, err := repoPath(g.Repo)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, postDeadline)
	defer cancel()
	req, err := statusRequest(ctx, api, repo, s)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+g.Token)
	req.Header.Set("Accept", "application/vnd.github+json")
	req.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	a := send(g.Client, req)
	if a == nil {
		return nil
	}
	a.Text = strings.ReplaceAll(a.Text, orNever(g.Token), "(secret)")
	g.explain(a)
	return a
}

// repoPath is "/repos/owner/name", escaped.
func repoPath(repo string) (string, error) {
	owner, name, ok := strings.Cut(repo, "/")
	if !ok || owner == "" || name == "" || strings.Contains(name, "/") {
		return "", &Answer{Code: http.StatusBadRequest, Text: fmt.Sprintf("repository %q is not owner/name", repo), Hint: "set forge.repository"}
	}
	return "/repos/" + url.PathEscape(owner) + "/" + url.PathEscape(name), nil
}

// statusRequest is a status as GitHub and Gitea alike take it, without what says
// who is asking.
func statusRequest(ctx context.Context, api, repo string, s Status) (*http.Request, error) {
	body, err := json.Marshal(struct {
		State       string `json:"state"`
		TargetURL   string `json:"target_url,omitempty"`
		Description string `json:"description"`
		Context     string `json:"context"`
	}{s.State, s.URL, clip(s.Description, maxDescription), s.Context})
	if err != nil {
		return nil, fmt.Errorf("status %s of %s: %w", s.Context, s.SHA, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, api+repo+"/statuses/"+url.PathEscape(s.SHA), bytes.NewReader(body))
	if err != nil {
		return nil, &Answer{Code: http.StatusBadRequest, Text: fmt.Sprintf("forge url %q: not usable", api), Hint: "set forge.url"}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "setpoint")
	return req, nil
}

// explain reads a refusal by GitHub's rules: a 403 may be a permission or a
// limit ("Rate limits for the REST API", "Troubleshooting").
func (g GitHub) explain(a *Answer) {
	said := strings.ToLower(a.Text)
	switch {
	case a.Hint != "":
	case a.Code == http.StatusForbidden && (a.RetryAfter > 0 || strings.Contains(said, "rate limit") || strings.Contains(said, "abuse detection")):
		a.Limited = true
	case a.Code == http.StatusUnauthorized:
		a.Hint = "the forge token is wrong or has expired"
	case a.Code == http.StatusForbidden:
		a.Hint = "the forge token may not write commit statuses of " + g.Repo
	case a.Code == http.StatusNotFound:
		a.Hint = "the repository " + g.Repo + " does not exist there, or the forge token does not see it"
	case a.Code == http.StatusUnprocessableEntity:
		a.Hint = "the forge does not have this commit yet, or the commit carries 1000 statuses of one context"
	}
	if a.Limited && a.RetryAfter == 0 {
		a.RetryAfter = secondaryPause
	}
}

// send does one request and turns all but a 2xx into an *Answer. The request's
// URL is in no text, for it may be a secret.
func send(c *http.Client, req *http.Request) *Answer {
	if c == nil {
		c = http.DefaultClient
	}
	// A redirected POST would turn into a GET or carry the token elsewhere.
	c = &http.Client{Transport: c.Transport, Timeout: c.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	resp, err := c.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return &Answer{Text: "no answer from " + req.URL.Host + ": " + clip(err.Error(), answerText)}
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, answerSize))
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	a := &Answer{Code: resp.StatusCode, Text: said(body), RetryAfter: retryAfter(resp.Header, time.Now())}
	a.Limited = a.Code == http.StatusTooManyRequests || a.Code == http.StatusServiceUnavailable && a.RetryAfter > 0
	if a.Code >= 300 && a.Code < 400 {
		a.Code, a.Hint = http.StatusNotFound, fmt.Sprintf("it redirects (%d); set the url it redirects to", resp.StatusCode)
	}
	return a
}

// said is the message of an answer's body: GitHub's JSON, or the text itself.
func said(body []byte) string {
	var m struct {
		Message string `json:"message"`
		Errors  []any  `json:"errors"`
	}
	if json.Unmarshal(body, &m) != nil || m.Message == "" {
		return clip(string(body), answerText)
	}
	if len(m.Errors) > 0 {
		if b, err := json.Marshal(m.Errors); err == nil {
			m.Message += " " + string(b)
		}
	}
	return clip(m.Message, answerText)
}

// retryAfter reads how long the other side wants to be left alone: Retry-After
// in seconds or as a date (RFC 9110 section 10.2.3), or GitHub's
// X-RateLimit-Reset where nothing remains.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if v := h.Get("Retry-After"); v != "" {
		if n, err := strconv.Atoi(v); err == nil {
			return clampPause(time.Duration(max(0, min(n, int(maxPause/time.Second)))) * time.Second)
		}
		if t, err := http.ParseTime(v); err == nil {
			return clampPause(t.Sub(now))
		}
	}
	if h.Get("X-RateLimit-Remaining") == "0" {
		if n, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64); err == nil {
			return clampPause(time.Unix(n, 0).Sub(now))
		}
	}
	return 0
}

// clampPause keeps a foreign clock or a foreign number from silencing us for good.
func clampPause(d time.Duration) time.Duration {
	return max(time.Second, min(d, maxPause))
}

// orNever is s, or where s is empty something that no text holds.
func orNever(s string) string {
	if s == "" {
		return "\x00"
	}
	return s
}
