package gitwatch

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Forges whose webhooks a Webhook understands. Forgejo's are Gitea's.
const (
	WebhookGitHub = "github"
	WebhookGitea  = "gitea"
	WebhookGitLab = "gitlab"
)

const (
	webhookBody   = 1 << 20 // bytes; a larger push is seen at the next interval
	webhookAtOnce = 16      // bodies read at the same time
	replayWindow  = time.Hour
	replayMost    = 4096 // deliveries remembered
)

// Webhook takes a forge's push events and answers each by a nudge: what a delivery
// says is believed no further than "look now", and the head is read from the server.
// A delivery that never comes costs one interval and nothing else.
//
// The signature is checked over the bytes as they came, before anything parses
// them. A delivery is taken once: its id, and because ids are not signed its
// body too, are remembered for an hour, up to 4096 of them.
//
// The fields are fixed before the first request; it is safe for concurrent use.
type Webhook struct {
	Kind   string // WebhookGitHub, WebhookGitea or WebhookGitLab
	Secret string // that the forge signs with, or of GitLab sends; "" answers 404 to all
	Branch string // whose pushes count; "" means main
	Look   func() // Watcher.Look
	Log    *slog.Logger

	mu      sync.Mutex
	reading int
	told    string // the refusal logged last
	seen    []seenDelivery
	known   map[string]bool
}

// seenDelivery is one mark of a delivery; the oldest stands first.
type seenDelivery struct {
	mark string
	at   time.Time
}

// ServeHTTP answers 202 after a nudge, 204 to what is no push to the branch, 200 to
// a ping, 401 to a wrong signature, 409 to what came before, 413 to a body over 1 MiB.
func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	code, err := h.take(r)
	h.tell(r.Context(), code, err)
	switch code {
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	if err != nil {
		http.Error(w, err.Error(), code)
		return
	}
	w.WriteHeader(code)
}

// take decides a request's answer; an error says why it is no good.
func (h *Webhook) take(r *http.Request) (int, error) {
	forge, ok := forges[h.Kind]
	switch {
	case !ok || h.Secret == "":
		return http.StatusNotFound, errors.New("no webhook here")
	case r.Method != http.MethodPost:
		return http.StatusMethodNotAllowed, errors.New("webhooks are posted")
	}
	body, code, err := h.read(r)
	if err != nil {
		return code, err
	}
	if !forge.genuine(r.Header, h.Secret, body) {
		return http.StatusUnauthorized, errors.New("the signature is missing or wrong: the forge and this server hold different secrets")
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return http.StatusUnsupportedMediaType, errors.New("set the webhook's content type to application/json")
	}
	event := first(r.Header, forge.event)
	switch {
	case event == "ping":
		return http.StatusOK, nil
	case event != forge.push:
		return http.StatusNoContent, nil
	}
	ref, err := pushedRef(body)
	if err != nil {
		return http.StatusBadRequest, err
	}
	if h.again(first(r.Header, forge.id), body, time.Now()) {
		return http.StatusConflict, errors.New("this delivery came before")
	}
	if ref != "refs/heads/"+h.branch() {
		return http.StatusNoContent, nil
	}
	if h.Look != nil {
		h.Look()
	}
	return http.StatusAccepted, nil
}

func (h *Webhook) branch() string {
	if h.Branch == "" {
		return defaultBranch
	}
	return h.Branch
}

// read takes the body in. Whoever sends it is not known yet, so that size and
// number are bounded; time is the server's to bound.
func (h *Webhook) read(r *http.Request) ([]byte, int, error) {
	if !h.enter() {
		return nil, http.StatusServiceUnavailable, errors.New("too many deliveries at once")
	}
	defer h.leave()
	body, err := io.ReadAll(io.LimitReader(r.Body, webhookBody+1))
	switch {
	case err != nil:
		return nil, http.StatusBadRequest, errors.New("the body broke off")
	case len(body) > webhookBody:
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the body is over %d bytes: the push is seen at the next poll", webhookBody)
	}
	return body, 0, nil
}

func (h *Webhook) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reading == webhookAtOnce {
		return false
	}
	h.reading++
	return true
}

func (h *Webhook) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reading--
}

// again remembers a genuine delivery, and says whether it was here before.
func (h *Webhook) again(id string, body []byte, now time.Time) bool {
	sum := sha256.Sum256(body)
	marks := []string{"body " + string(sum[:])}
	if id != "" {
		sum := sha256.Sum256([]byte(id)) // of one length, however long the id
		marks = append(marks, "id "+string(sum[:]))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known == nil {
		h.known = map[string]bool{}
	}
	for len(h.seen) > 0 && (now.Sub(h.seen[0].at) >= replayWindow || len(h.seen) > 2*replayMost-len(marks)) {
		delete(h.known, h.seen[0].mark)
		h.seen = h.seen[1:]
	}
	before := false
	for _, m := range marks {
		if h.known[m] {
			before = true
			continue
		}
		h.known[m] = true
		h.seen = append(h.seen, seenDelivery{m, now})
	}
	return before
}

// tell logs a refusal once, until another or none.
func (h *Webhook) tell(ctx context.Context, code int, err error) {
	log := h.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	h.mu.Lock()
	news := text != h.told
	h.told = text
	h.mu.Unlock()
	switch {
	case err == nil:
		log.DebugContext(ctx, "webhook taken", "kind", h.Kind, "answer", code)
	case news:
		log.WarnContext(ctx, "webhook refused", "kind", h.Kind, "answer", code, "err", err)
	}
}

// forgeHeaders says how one forge marks its deliveries. Where several headers are
// named, the first that is there counts.
type forgeHeaders struct {
	event   []string
	push    string // the event of a push
	id      []string
	genuine func(h http.Header, secret string, body []byte) bool
}

var forges = map[string]forgeHeaders{
	WebhookGitHub: {
		event: []string{"X-GitHub-Event"}, push: "push", id: []string{"X-GitHub-Delivery"},
		genuine: func(h http.Header, secret string, body []byte) bool {
			return signed(h.Get("X-Hub-Signature-256"), "sha256=", secret, body)
		},
	},
	WebhookGitea: {
		event: []string{"X-Gitea-Event", "X-Forgejo-Event"}, push: "push", id: []string{"X-Gitea-Delivery", "X-Forgejo-Delivery"},
		genuine: func(h http.Header, secret string, body []byte) bool {
			if s := h.Get("X-Gitea-Signature"); s != "" {
				return signed(s, "", secret, body)
			}
			return signed(h.Get("X-Hub-Signature-256"), "sha256=", secret, body)
		},
	},
	WebhookGitLab: {
		event: []string{"X-Gitlab-Event"}, push: "Push Hook", id: []string{"X-Gitlab-Event-Uuid", "Idempotency-Key"},
		genuine: func(h http.Header, secret string, _ []byte) bool {
			// Digests are compared, so that time does not tell the length either.
			want, got := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(h.Get("X-Gitlab-Token")))
			return subtle.ConstantTimeCompare(want[:], got[:]) == 1
		},
	},
}

// signed compares a signature in hex with the body's HMAC-SHA256, in constant time.
func signed(signature, prefix, secret string, body []byte) bool {
	text, ok := strings.CutPrefix(signature, prefix)
	got, err := hex.DecodeString(text)
	if !ok || err != nil {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hmac.Equal(mac.Sum(nil), got)
}

func first(h http.Header, names []string) string {
	for _, name := range names {
		if v := h.Get(name); v != "" {
			return v
		}
	}
	return ""
}

// pushedRef reads the one thing of a push event that is of use. Its list of
// commits is cut short by forges, and could be anything.
func pushedRef(body []byte) (string, error) {
	var push struct {
		Ref string `json:"ref"`
	}
	if err := json.Unmarshal(body, &push); err != nil {
		return "", errors.New("the body is not the JSON of a push")
	}
	if push.Ref == "" {
		return "", errors.New("the push names no ref")
	}
	return push.Ref, nil
}
