package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/setpoint-net/setpoint/gitwatch"
)

// webhookConfig is where a forge tells of pushes. Without a secret there is none.
type webhookConfig struct {
	Listen string    `mapstructure:"listen"`
	Path   string    `mapstructure:"path"`
	Kind   string    `mapstructure:"kind"`
	Secret secretRef `mapstructure:"secret"`
}

const (
	defaultWebhookPath = "/webhook"
	minWebhookSecret   = 16 // bytes: what it signs can be guessed at in peace
)

func (c *serverConfig) checkWebhook(bad func(string, ...any)) {
	h := c.Webhook
	if h.Listen == "" {
		if h.Kind != "" || h.Secret.set() {
			bad("webhook.listen is missing: an address to take webhooks on, such as 127.0.0.1:8081")
		}
		return
	}
	if h.Listen == c.Listen {
		bad("webhook.listen and listen are both %s: give the webhook an address of its own", h.Listen)
	}
	if !strings.HasPrefix(h.Path, "/") {
		bad("webhook.path %q does not begin with /", h.Path)
	}
	if !h.Secret.set() {
		bad("webhook.secret needs env or file: the secret that the forge signs with")
	}
	switch h.Kind {
	case gitwatch.WebhookGitHub, gitwatch.WebhookGitea, gitwatch.WebhookGitLab, "forgejo":
	case "":
		bad("webhook.kind is missing (github, gitea, forgejo or gitlab)")
	default:
		bad("webhook.kind %q is not known (github, gitea, forgejo or gitlab)", h.Kind)
	}
}

// newWebhook reads the secret; the watcher must be there.
func (s *service) newWebhook() (*gitwatch.Webhook, error) {
	c := s.cfg.Webhook
	secret, err := c.Secret.read("webhook.secret", s.cfg.dir)
	if err != nil {
		return nil, err
	}
	if len(secret) < minWebhookSecret {
		return nil, hint(fmt.Errorf("webhook.secret has %d bytes; at least %d are needed", len(secret), minWebhookSecret), "openssl rand -hex 32 makes one")
	}
	kind := c.Kind
	if kind == "forgejo" {
		kind = gitwatch.WebhookGitea
	}
	return &gitwatch.Webhook{Kind: kind, Secret: secret, Branch: s.cfg.Repository.Branch, Look: s.watcher.Look, Log: s.log}, nil
}

// serveWebhook takes webhooks at the configured path and nothing anywhere else.
func (s *service) serveWebhook(ctx context.Context, h http.Handler) error {
	l, err := net.Listen("tcp", s.cfg.Webhook.Listen)
	if err != nil {
		return err
	}
	s.log.InfoContext(ctx, "webhooks are taken", "listen", l.Addr().String(), "path", s.cfg.Webhook.Path)
	return serveHTTP(ctx, l, only(s.cfg.Webhook.Path, h))
}

// only serves h at exactly one path.
func only(path string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path {
			http.NotFound(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}
