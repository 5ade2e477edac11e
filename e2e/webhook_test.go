package e2e

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

const webhookSecret = "the-secret-of-the-webhook"

// TestAWebhookSparesTheWaitForThePoll polls so seldom that only the webhook can
// have told of the second push.
func TestAWebhookSparesTheWaitForThePoll(t *testing.T) {
	t.Setenv("SETPOINT_REPOSITORY_POLLINTERVAL", "1h")
	w := newWorld(t, 1)
	addr := freeAddress(t)
	w.write("webhook-secret", webhookSecret)
	w.configExtra = fmt.Sprintf("webhook: {listen: %q, path: /hooks/push, kind: github, secret: {file: webhook-secret}}\n", addr)
	first := w.push(w.network("engineering", "alert"))
	w.start()
	w.deployed(first)
	w.says("webhooks are taken")
	second := w.push(map[string]string{"network.yaml": networkYAML("operations")})
	push := fmt.Sprintf(`{"ref":"refs/heads/main","before":%q,"after":%q}`, first, second)
	at := "http://" + addr + "/hooks/push"
	for _, c := range []struct {
		what, at, body, secret string
		code                   int
	}{
		{"without the secret", at, push, "another", http.StatusUnauthorized},
		{"at another path", "http://" + addr + "/", push, webhookSecret, http.StatusNotFound},
		{"a push elsewhere", at, strings.Replace(push, "main", "draft", 1), webhookSecret, http.StatusNoContent},
	} {
		if code := w.tell(c.at, c.what, c.body, c.secret); code != c.code {
			t.Errorf("%s: %d", c.what, code)
		}
	}
	if s, ok := w.forge.Last(second, "setpoint/plan"); ok {
		t.Errorf("a refused delivery was followed: %+v", s)
	}
	if code := w.tell(at, "the push", push, webhookSecret); code != http.StatusAccepted {
		t.Errorf("the push: %d", code)
	}
	w.deployed(second)
	w.holds(0, `"operations"`)
	if code := w.tell(at, "the push", push, webhookSecret); code != http.StatusConflict {
		t.Errorf("the push again: %d", code)
	}
	w.stop()
	w.leaksNothing()
	if strings.Contains(w.proc.text(), webhookSecret) {
		t.Error("the log tells the webhook's secret")
	}
}

// tell delivers a push as GitHub does.
func (w *world) tell(to, id, body, secret string) int {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, w.patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	io.WriteString(mac, body)
	for k, v := range map[string]string{
		"Content-Type": "application/json", "X-GitHub-Event": "push", "X-GitHub-Delivery": id,
		"X-Hub-Signature-256": "sha256=" + hex.EncodeToString(mac.Sum(nil)),
	} {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// says waits until the log holds a text.
func (w *world) says(text string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, w.patience)
	defer cancel()
	for {
		next := w.next()
		if strings.Contains(w.proc.text(), text) {
			return
		}
		select {
		case <-next:
		case <-ctx.Done():
			w.t.Fatalf("the log does not say %q", text)
		}
	}
}
