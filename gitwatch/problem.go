package gitwatch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"
)

// problem is what went wrong and what a person can do about it. Without a hint
// nobody needs to do anything yet: it is tried again.
type problem struct {
	err  error
	hint string
}

func (p *problem) Error() string { return p.err.Error() }
func (p *problem) Unwrap() error { return p.err }

func hintOf(err error) string {
	var p *problem
	if errors.As(err, &p) {
		return p.hint
	}
	return ""
}

// explain says in the same words each time what a server or the way to it
// refused: ephemeral ports and a server's pages of HTML are left out, so that
// the same failure is told once.
func (r *remote) explain(err error) error {
	var (
		dns   *net.DNSError
		cert  *tls.CertificateVerificationError
		owner x509.UnknownAuthorityError
		op    *net.OpError
		inURL *url.Error
		ours  *problem
	)
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.Is(err, transport.ErrAuthenticationRequired):
		if r.auth == nil {
			return &problem{errors.New("the server asks for credentials"), "set a token that may read the repository"}
		}
		return &problem{errors.New("the server refuses the credentials"), "check user name and token"}
	case errors.Is(err, transport.ErrAuthorizationFailed):
		return &problem{errors.New("the credentials may not read this repository"), "give the token read access to the repository's contents"}
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return &problem{errors.New("no such repository"), "check the url; many servers also say so when the credentials may not see the repository"}
	case errors.As(err, &owner), errors.As(err, &cert):
		return &problem{fmt.Errorf("the server's certificate is not trusted: %w", innermost(err)), "set the CA that signed it"}
	case errors.As(err, &dns):
		if dns.IsNotFound {
			return &problem{fmt.Errorf("look up %s: no such host", dns.Name), "check the url"}
		}
		return fmt.Errorf("look up %s: no answer from name servers", dns.Name)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %s", r.timeout)
	case errors.As(err, &op):
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	case errors.As(err, &inURL):
		return r.redact(inURL.Err)
	}
	return r.redact(err)
}

func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// redact gives the error's text on one line, without any secret in it. What it
// wraps is left behind: a chain could be printed link by link.
func (r *remote) redact(err error) error {
	text := err.Error()
	for _, secret := range r.secrets { // before the text is cut or folded
		text = strings.ReplaceAll(text, secret, "(secret)")
	}
	text = strings.Join(strings.Fields(text), " ")
	const most = 400
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + " …"
	}
	return errors.New(text)
}

// forms returns the texts in which a secret may turn up.
func forms(user, secret string) []string {
	if secret == "" {
		return nil
	}
	inURL := strings.TrimPrefix(url.UserPassword("", secret).String(), ":")
	inHeader := base64.StdEncoding.EncodeToString([]byte(user + ":" + secret))
	return []string{secret, inURL, url.PathEscape(secret), url.QueryEscape(secret), inHeader}
}
