package gitwatch

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const hookSecret = "the-secret-of-the-hook"

const pushToMain = `{"ref":"refs/heads/main","before":"aa","after":"bb","commits":[{"id":"bb"}]}`

// bell is a webhook that counts its nudges.
type bell struct {
	*Webhook

	rung int
	log  bytes.Buffer
}

func newBell(kind string) *bell {
	b := &bell{}
	b.Webhook = &Webhook{Kind: kind, Secret: hookSecret, Look: func() { b.rung++ }, Log: slog.New(slog.NewTextHandler(&b.log, nil))}
	return b
}

func macOf(secret, body string) string {
	m := hmac.New(sha256.New, []byte(secret))
	io.WriteString(m, body)
	return hex.EncodeToString(m.Sum(nil))
}

// delivery is a request as the forge would send it, signed with the secret.
func delivery(kind, id, event, body, secret string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/webhook", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	set := func(name, value string) {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	switch kind {
	case WebhookGitHub:
		set("X-GitHub-Event", event)
		set("X-GitHub-Delivery", id)
		set("X-Hub-Signature-256", "sha256="+macOf(secret, body))
	case WebhookGitea:
		set("X-Gitea-Event", event)
		set("X-Gitea-Delivery", id)
		set("X-Gitea-Signature", macOf(secret, body))
	case WebhookGitLab:
		set("X-Gitlab-Event", map[string]string{"push": "Push Hook", "tag": "Tag Push Hook"}[event])
		set("X-Gitlab-Event-UUID", id)
		set("X-Gitlab-Token", secret)
	}
	return r
}

func (b *bell) deliver(r *http.Request) (code, nudges int) {
	before := b.rung
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w.Code, b.rung - before
}

var kinds = []string{WebhookGitHub, WebhookGitea, WebhookGitLab}

func TestAPushToTheBranchNudges(t *testing.T) {
	for _, kind := range kinds {
		b := newBell(kind)
		if code, n := b.deliver(delivery(kind, "1", "push", pushToMain, hookSecret)); code != http.StatusAccepted || n != 1 {
			t.Errorf("%s: %d and %d nudges", kind, code, n)
		}
		b.Branch = "deploy"
		if code, n := b.deliver(delivery(kind, "2", "push", strings.ReplaceAll(pushToMain, "main", "deploy"), hookSecret)); code != http.StatusAccepted || n != 1 {
			t.Errorf("%s, another branch: %d and %d nudges", kind, code, n)
		}
	}
}

func TestGiteaMaySignAsGitHubDoes(t *testing.T) {
	b := newBell(WebhookGitea)
	r := delivery(WebhookGitea, "1", "push", pushToMain, hookSecret)
	r.Header.Del("X-Gitea-Signature")
	r.Header.Set("X-Hub-Signature-256", "sha256="+macOf(hookSecret, pushToMain))
	if code, n := b.deliver(r); code != http.StatusAccepted || n != 1 {
		t.Errorf("%d and %d nudges", code, n)
	}
}

func TestWhatIsNoPushToTheBranchIsLeftAlone(t *testing.T) {
	for _, c := range []struct {
		name, kind, event, body string
		code                    int
	}{
		{"a ping", WebhookGitHub, "ping", `{"zen":"x"}`, http.StatusOK},
		{"our own status", WebhookGitHub, "status", `{}`, http.StatusNoContent},
		{"a merged pull request", WebhookGitea, "pull_request", `{}`, http.StatusNoContent},
		{"no event", WebhookGitea, "", pushToMain, http.StatusNoContent},
		{"another branch", WebhookGitHub, "push", `{"ref":"refs/heads/mainly"}`, http.StatusNoContent},
		{"a tag of the branch's name", WebhookGitea, "push", `{"ref":"refs/tags/main"}`, http.StatusNoContent},
		{"a tag", WebhookGitLab, "tag", pushToMain, http.StatusNoContent},
		{"no JSON", WebhookGitHub, "push", `ref=refs/heads/main`, http.StatusBadRequest},
		{"no ref", WebhookGitHub, "push", `{}`, http.StatusBadRequest},
		{"a ref that is no text", WebhookGitHub, "push", `{"ref":1}`, http.StatusBadRequest},
	} {
		b := newBell(c.kind)
		if code, n := b.deliver(delivery(c.kind, "1", c.event, c.body, hookSecret)); code != c.code || n != 0 {
			t.Errorf("%s: %d and %d nudges", c.name, code, n)
		}
	}
}

func TestOnlyTheSecretsOwnerNudges(t *testing.T) {
	for _, kind := range kinds {
		for name, spoil := range map[string]func(*http.Request){
			"another secret": func(r *http.Request) { *r = *delivery(kind, "1", "push", pushToMain, "another") },
			"an empty one":   func(r *http.Request) { *r = *delivery(kind, "1", "push", pushToMain, "") },
			"no signature": func(r *http.Request) {
				for _, h := range []string{"X-Hub-Signature-256", "X-Gitea-Signature", "X-Gitlab-Token"} {
					r.Header.Del(h)
				}
			},
			"no hex": func(r *http.Request) {
				for _, h := range []string{"X-Hub-Signature-256", "X-Gitea-Signature", "X-Gitlab-Token"} {
					r.Header.Set(h, "sha256=zz")
				}
			},
		} {
			b := newBell(kind)
			r := delivery(kind, "1", "push", pushToMain, hookSecret)
			spoil(r)
			if code, n := b.deliver(r); code != http.StatusUnauthorized || n != 0 {
				t.Errorf("%s, %s: %d and %d nudges", kind, name, code, n)
			}
			if text := b.log.String(); strings.Contains(text, hookSecret) || !strings.Contains(text, "webhook refused") {
				t.Errorf("%s, %s: log %q", kind, name, text)
			}
			// A refused delivery uses up nothing.
			if code, _ := b.deliver(delivery(kind, "1", "push", pushToMain, hookSecret)); code != http.StatusAccepted {
				t.Errorf("%s, %s: the genuine one then got %d", kind, name, code)
			}
		}
	}
	for name, spoil := range map[string]func(*http.Request){
		"GitHub's old signature": func(r *http.Request) {
			r.Header.Set("X-Hub-Signature", "sha1="+r.Header.Get("X-Hub-Signature-256"))
			r.Header.Del("X-Hub-Signature-256")
		},
		"a changed body": func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(pushToMain + " ")) },
		"a cut mac": func(r *http.Request) {
			r.Header.Set("X-Hub-Signature-256", r.Header.Get("X-Hub-Signature-256")[:20])
		},
		"no prefix": func(r *http.Request) {
			r.Header.Set("X-Hub-Signature-256", strings.TrimPrefix(r.Header.Get("X-Hub-Signature-256"), "sha256="))
		},
	} {
		b := newBell(WebhookGitHub)
		r := delivery(WebhookGitHub, "1", "push", pushToMain, hookSecret)
		spoil(r)
		if code, n := b.deliver(r); code != http.StatusUnauthorized || n != 0 {
			t.Errorf("%s: %d and %d nudges", name, code, n)
		}
	}
}

func TestTheSignatureIsCheckedBeforeAnythingIsParsed(t *testing.T) {
	b := newBell(WebhookGitHub)
	r := delivery(WebhookGitHub, "1", "push", "{", "another")
	r.Header.Set("Content-Type", "text/plain")
	if code, _ := b.deliver(r); code != http.StatusUnauthorized {
		t.Errorf("%d", code)
	}
	r = delivery(WebhookGitHub, "1", "push", pushToMain, hookSecret)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if code, n := b.deliver(r); code != http.StatusUnsupportedMediaType || n != 0 {
		t.Errorf("a form: %d", code)
	}
}

func TestWithoutASecretThereIsNoEndpoint(t *testing.T) {
	for _, kind := range append(kinds, "", "bitbucket") {
		b := newBell(kind)
		if kind != "" && kind != "bitbucket" {
			b.Secret = ""
		}
		if code, n := b.deliver(delivery(kind, "1", "push", pushToMain, b.Secret)); code != http.StatusNotFound || n != 0 {
			t.Errorf("%q: %d and %d nudges", kind, code, n)
		}
	}
}

func TestOnlyPostsAreTaken(t *testing.T) {
	b := newBell(WebhookGitHub)
	r := delivery(WebhookGitHub, "1", "push", pushToMain, hookSecret)
	r.Method = http.MethodGet
	w := httptest.NewRecorder()
	if b.ServeHTTP(w, r); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodPost {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestABodyOfMoreThanAMebibyteIsRefused(t *testing.T) {
	b := newBell(WebhookGitHub)
	fits := pushToMain + strings.Repeat(" ", webhookBody-len(pushToMain))
	if code, _ := b.deliver(delivery(WebhookGitHub, "1", "push", fits, hookSecret)); code != http.StatusAccepted {
		t.Errorf("at the limit: %d", code)
	}
	if code, n := b.deliver(delivery(WebhookGitHub, "2", "push", fits+" ", hookSecret)); code != http.StatusRequestEntityTooLarge || n != 0 {
		t.Errorf("above: %d", code)
	}
	r := delivery(WebhookGitHub, "3", "push", pushToMain, hookSecret)
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(pushToMain), brokenReader{}))
	if code, n := b.deliver(r); code != http.StatusBadRequest || n != 0 {
		t.Errorf("broken off: %d", code)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestAReplayIsRefusedForAnHour(t *testing.T) {
	other := strings.Replace(pushToMain, "bb", "cc", 1)
	for _, kind := range kinds {
		synctest.Test(t, func(t *testing.T) {
			b := newBell(kind)
			for _, c := range []struct {
				what, id, body string
				code           int
			}{
				{"the first", "1", pushToMain, http.StatusAccepted},
				{"the same", "1", pushToMain, http.StatusConflict},
				{"the same under another id", "2", pushToMain, http.StatusConflict},
				{"the same without an id", "", pushToMain, http.StatusConflict},
				{"another body under an old id", "1", strings.Replace(pushToMain, "bb", "dd", 1), http.StatusConflict},
				{"another without an id", "", other, http.StatusAccepted},
				{"that again", "", other, http.StatusConflict},
			} {
				if code, _ := b.deliver(delivery(kind, c.id, "push", c.body, hookSecret)); code != c.code {
					t.Errorf("%s, %s: %d", kind, c.what, code)
				}
			}
			<-time.After(replayWindow - time.Nanosecond)
			if code, _ := b.deliver(delivery(kind, "1", "push", pushToMain, hookSecret)); code != http.StatusConflict {
				t.Errorf("%s, within the hour: %d", kind, code)
			}
			<-time.After(replayWindow)
			if code, _ := b.deliver(delivery(kind, "1", "push", pushToMain, hookSecret)); code != http.StatusAccepted {
				t.Errorf("%s, later: %d", kind, code)
			}
		})
	}
}

func TestDeliveriesAreRememberedToABound(t *testing.T) {
	b := newBell(WebhookGitHub)
	for i := range 3 * replayMost {
		if b.again(fmt.Sprint(i), fmt.Append(nil, i), time.Unix(0, 0)) {
			t.Fatalf("delivery %d is taken for a replay", i)
		}
	}
	if len(b.seen) != 2*replayMost || len(b.known) != 2*replayMost {
		t.Errorf("%d and %d marks are kept", len(b.seen), len(b.known))
	}
	if b.again("x", []byte(fmt.Sprint(3*replayMost-1)), time.Unix(0, 0)) == false {
		t.Error("the last one is forgotten")
	}
}

func TestBodiesAreReadAFewAtATime(t *testing.T) {
	b := newBell(WebhookGitHub)
	for range webhookAtOnce {
		if !b.enter() {
			t.Fatal("not let in")
		}
	}
	r := delivery(WebhookGitHub, "1", "push", pushToMain, hookSecret)
	w := httptest.NewRecorder()
	if b.ServeHTTP(w, r); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	b.leave()
	for i := range 2 * webhookAtOnce { // each leaves again
		if code, _ := b.deliver(delivery(WebhookGitHub, "", "push", pushToMain+strings.Repeat(" ", i), hookSecret)); code != http.StatusAccepted {
			t.Fatalf("delivery %d: %d", i, code)
		}
	}
}

func TestARefusalIsLoggedOnce(t *testing.T) {
	b := newBell(WebhookGitHub)
	for range 5 {
		b.deliver(delivery(WebhookGitHub, "", "push", pushToMain, "wrong"))
	}
	if n := strings.Count(b.log.String(), "\n"); n != 1 {
		t.Errorf("%d lines: %s", n, b.log.String())
	}
	b.deliver(delivery(WebhookGitHub, "", "push", pushToMain, hookSecret))
	b.deliver(delivery(WebhookGitHub, "", "push", pushToMain, "wrong"))
	if n := strings.Count(b.log.String(), "webhook refused"); n != 2 {
		t.Errorf("%d refusals: %s", n, b.log.String())
	}
}

// FuzzWebhook holds any request to this: without the secret no nudge, and with it
// one for the branch's pushes alone.
func FuzzWebhook(f *testing.F) {
	f.Add(uint8(0), "push", "1", "sha256=00", []byte(pushToMain))
	f.Add(uint8(1), "push", "", "00", []byte(`{"ref":"refs/heads/\u006dain"}`))
	f.Add(uint8(2), "Push Hook", "1", "token", []byte(`{"ref":"refs/heads/main","ref":"x"}`))
	f.Add(uint8(0), "ping", "1", "", []byte(`[[[[`))
	f.Fuzz(func(t *testing.T, k uint8, event, id, signature string, body []byte) {
		kind := kinds[int(k)%len(kinds)]
		b := newBell(kind)
		r := delivery(kind, id, event, string(body), "not the secret")
		for _, h := range []string{"X-Hub-Signature-256", "X-Gitea-Signature", "X-Gitlab-Token"} {
			r.Header.Set(h, signature)
		}
		if code, n := b.deliver(r); signature != hookSecret && (code != http.StatusUnauthorized || n != 0) {
			t.Fatalf("unsigned: %d and %d nudges", code, n)
		}
		ref, err := pushedRef(body)
		code, n := newBell(kind).deliver(delivery(kind, id, "push", string(body), hookSecret))
		if pushed := err == nil && ref == "refs/heads/main"; pushed != (code == http.StatusAccepted) || pushed != (n == 1) {
			t.Fatalf("signed, ref %q %v: %d and %d nudges", ref, err, code, n)
		}
	})
}
