// Package notifytest holds the other ends of what setpoint tells the world:
// forges that take commit statuses, as GitHub documents them and as Gitea and
// Forgejo do, and a chat's incoming webhook as Slack documents it.
//
// All are strict: a request that the real service might refuse, read otherwise or
// silently cut is refused and kept as a violation. All are http.Handlers that
// keep what they took in memory, in the order it came; they can be told to be out of
// order. They are safe for concurrent use, start nothing of their own, and
// share no code with the package that talks to them, so that the two cannot
// agree on a mistake.
package notifytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Failure is an answer given instead of taking a request.
type Failure struct {
	Code   int // HTTP status; 0: the connection is cut without an answer
	Header http.Header
	Body   string
}

// desk is what the services are made of: a record that can be waited for.
type desk[T any] struct {
	mu         sync.Mutex
	taken      []T
	tries      int
	violations []string
	failure    func(*http.Request) *Failure
	changed    chan struct{}
}

// All is what was taken, in order.
func (d *desk[T]) All() []T {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.taken)
}

// Tries counts requests, taken or not.
func (d *desk[T]) Tries() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.tries
}

// Violations is what was wrong with requests, in order.
func (d *desk[T]) Violations() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.violations)
}

// Fail has f asked before each request: what it returns is the answer; nil: the
// request is taken. A nil f ends it.
func (d *desk[T]) Fail(f func(*http.Request) *Failure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failure = f
}

// Changed is closed when the next request has been answered.
func (d *desk[T]) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return d.changed
}

// Await waits until done is content with what was taken, or ctx ends.
func (d *desk[T]) Await(ctx context.Context, done func([]T) bool) error {
	for {
		changed := d.Changed()
		all := d.All()
		if done(all) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("after %d taken: %w", len(all), ctx.Err())
		}
	}
}

// begin counts a request and says whether it is to fail.
func (d *desk[T]) begin(r *http.Request) *Failure {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tries++
	if d.failure == nil {
		return nil
	}
	return d.failure(r)
}

// end keeps what came of a request.
func (d *desk[T]) end(taken *T, violation string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if taken != nil {
		d.taken = append(d.taken, *taken)
	}
	if violation != "" {
		d.violations = append(d.violations, violation)
	}
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

func (f *Failure) answer(w http.ResponseWriter) {
	if f.Code == 0 {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			conn.Close()
			return
		}
		f = &Failure{Code: http.StatusBadGateway}
	}
	for k, v := range f.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(f.Code)
	io.WriteString(w, f.Body)
}

// refusal is why a request is not taken.
type refusal struct {
	code int
	msg  string
}

func (r *refusal) Error() string { return r.msg }

func refuse(code int, format string, args ...any) error {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// readJSON reads a request's body into v: JSON, of a declared type and a bounded
// size, without members that v does not have.
func readJSON(r *http.Request, limit int64, v any) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return refuse(http.StatusUnsupportedMediaType, "Content-Type %q is not application/json", r.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return refuse(http.StatusBadRequest, "body: %v", err)
	}
	if int64(len(body)) > limit {
		return refuse(http.StatusRequestEntityTooLarge, "body of more than %d bytes", limit)
	}
	if err := strict(body, v); err != nil {
		return refuse(http.StatusBadRequest, "body: %v", err)
	}
	return nil
}

// Server serves a handler on a free port of the loopback.
type Server struct {
	URL string // http://127.0.0.1:port

	listener net.Listener
	handler  http.Handler
}

// Listen takes the port; Run serves.
func Listen(h http.Handler) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return &Server{URL: "http://" + l.Addr().String(), listener: l, handler: h}, nil
}

// Run serves until ctx ends, and waits for the requests under way.
func (s *Server) Run(ctx context.Context) error {
	srv := &http.Server{Handler: s.handler, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(s.listener) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := srv.Shutdown(end)
	if served := <-done; !errors.Is(served, http.ErrServerClosed) {
		return served
	}
	return err
}

func strict(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return errors.New("more than one value")
	}
	return nil
}
