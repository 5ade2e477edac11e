package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// Page serves a commit's whole difference, device by device and redacted, under a
// link that only the holder of Key can make:
//
//	GET /commits/<sha>?s=<signature>               as a page without scripts
//	GET /commits/<sha>?s=<signature>&format=text   as text; also by Accept: text/plain
//	GET /healthz                                   "ok", for load balancers
//
// A wrong signature is answered like an unknown commit. A link does not expire; a
// new Key ends all.
type Page struct {
	Renders  *bus.Table[models.Render]
	Rollouts *bus.Table[models.Rollout]
	Blobs    *bus.Blobs
	Schema   *tree.Schema
	Key      []byte       // at least 16 bytes of a secret; empty: nothing but /healthz is served
	Log      *slog.Logger // nil: nowhere

	once sync.Once
	busy chan struct{} // differences being computed

	mu    sync.Mutex
	diffs []cachedDiff // newest last
}

type cachedDiff struct {
	key  string
	diff *diff
}

const (
	pageTime   = 30 * time.Second // to answer in
	pageBusy   = 2                // differences computed at once
	pageCached = 4                // differences kept, of at most maxDiff bytes each
	commitPath = "/commits/"
)

// Linker makes the links that a Page of the same key answers: base is the public
// URL, with or without a trailing slash. Without a base or a key there are none:
// it is nil.
func Linker(base string, key []byte) func(commit string) string {
	if base == "" || len(key) == 0 {
		return nil
	}
	base = strings.TrimRight(base, "/")
	return func(commit string) string {
		return base + commitPath + url.PathEscape(commit) + "?s=" + sign(key, commit)
	}
}

// sign is the signature of a commit's link: HMAC-SHA256 under the key, in
// base64url without padding. The prefix keeps the key's other uses apart.
func sign(key []byte, commit string) string {
	h := hmac.New(sha256.New, key)
	io.WriteString(h, "setpoint commit page 1\n"+commit)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// request is what a link says.
type request struct {
	commit string
	text   bool
}

// read checks a request's form and signature; false: not to be answered.
func (p *Page) read(r *http.Request) (request, bool) {
	commit, ok := strings.CutPrefix(r.URL.Path, commitPath)
	if !ok || len(p.Key) == 0 || !isCommit(commit) || len(r.URL.RawQuery) > 256 {
		return request{}, false
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || !hmac.Equal([]byte(q.Get("s")), []byte(sign(p.Key, commit))) {
		return request{}, false
	}
	text := q.Get("format") == "text"
	if !q.Has("format") {
		accept := r.Header.Get("Accept")
		text = strings.Contains(accept, "text/plain") && !strings.Contains(accept, "text/html")
	}
	return request{commit: commit, text: text}, true
}

// isCommit says whether s has the form of a full hash: SHA-1 or SHA-256.
func isCommit(s string) bool {
	if len(s) != 40 && len(s) != 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// ServeHTTP answers.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.once.Do(func() { p.busy = make(chan struct{}, pageBusy) })
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Robots-Tag", "noindex")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
	case r.URL.Path == "/healthz":
		io.WriteString(w, "ok\n")
	default:
		p.serveCommit(w, r)
	}
}

const notFound = "Nothing here: the link is not valid, or nothing is known of the commit.\n"

func (p *Page) serveCommit(w http.ResponseWriter, r *http.Request) {
	req, ok := p.read(r)
	if !ok {
		answer(w, http.StatusNotFound, notFound)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), pageTime)
	defer cancel()
	sheet, err := p.sheet(ctx, req.commit)
	if err != nil {
		p.logger().WarnContext(ctx, "page not served", "commit", req.commit, "err", err)
		w.Header().Set("Retry-After", "10")
		answer(w, http.StatusServiceUnavailable, "The store does not answer at the moment; try again.\n")
		return
	}
	if sheet == nil {
		answer(w, http.StatusNotFound, notFound)
		return
	}
	if err := sheet.write(w, req.text); err != nil {
		p.logger().ErrorContext(ctx, "page not written", "commit", req.commit, "err", err)
		answer(w, http.StatusInternalServerError, "The page cannot be written.\n")
	}
}

func answer(w http.ResponseWriter, code int, text string) {
	w.WriteHeader(code)
	io.WriteString(w, text)
}

func (p *Page) logger() *slog.Logger {
	if p.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return p.Log
}

// sheet gathers what the page shows; nil: the commit is not known.
func (p *Page) sheet(ctx context.Context, commit string) (*sheet, error) {
	v, err := p.look(ctx)
	if err != nil {
		return nil, err
	}
	var f facts
	for g, r := range v.renders {
		if r.Commit == commit && g > f.Generation {
			f = v.fact(g)
		}
	}
	if f.Render == nil {
		return nil, nil
	}
	s := &sheet{facts: f}
	switch f.Render.State {
	case models.RenderMistakes:
		s.Mistakes, err = mistakes(ctx, p.Blobs, f.Render.Mistakes)
	case models.Rendered:
		var d *diff
		if d, err = p.diff(ctx, *f.Render); err == nil {
			s.Changed, s.Released, s.Plan, s.Warnings = d.Devices, d.Released, d.summary, d.Warnings
		}
	}
	if err != nil && !swept(err) {
		return nil, err
	}
	if err != nil {
		s.Plan = "rendered " + count(f.Render.Devices, "device")
		s.Gone = "The difference is no longer kept. \"setpoint diff\" in a clone of the config repo shows it."
	}
	s.PlanStatus, s.DeployStatus = project(s.facts)
	if policy, ok := projectPolicy(s.facts); ok {
		s.PolicyStatus = &policy
	}
	return s, nil
}

// look reads the tables once.
func (p *Page) look(ctx context.Context) (*view, error) {
	v := newView()
	renders, err := p.Renders.All(ctx)
	if err != nil {
		return nil, err
	}
	rollouts, err := p.Rollouts.All(ctx)
	if err != nil {
		return nil, err
	}
	for k, e := range renders {
		v.renders[generation(k)] = e.Value
	}
	for k, e := range rollouts {
		v.rollouts[generation(k)] = e.Value
	}
	return v, nil
}

// diff computes a rendering's difference, or has it still.
func (p *Page) diff(ctx context.Context, r models.Render) (*diff, error) {
	key := renderKey(r)
	if d := p.cached(key); d != nil {
		return d, nil
	}
	select {
	case p.busy <- struct{}{}:
		defer func() { <-p.busy }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if d := p.cached(key); d != nil {
		return d, nil
	}
	d, err := differ{Blobs: p.Blobs, Schema: p.Schema, Text: true}.Diff(ctx, r)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.diffs = append(p.diffs, cachedDiff{key, d})
	p.diffs = p.diffs[max(0, len(p.diffs)-pageCached):]
	return d, nil
}

func (p *Page) cached(key string) *diff {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.diffs {
		if c.key == key {
			return c.diff
		}
	}
	return nil
}
