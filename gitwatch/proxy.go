package gitwatch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// NoProxy as a Proxy's URL goes straight to the server, whatever the environment
// says.
const NoProxy = "none"

// Proxy is the HTTP proxy on the way to a server behind https or http. The zero
// Proxy is the environment's: HTTPS_PROXY, HTTP_PROXY and NO_PROXY. Of the ways to
// show who one is to it, there is basic authentication alone.
type Proxy struct {
	URL                string // http://HOST:PORT or https://HOST:PORT, or NoProxy
	Username, Password string
}

// chosen is the proxy for each request.
type chosen func(*http.Request) (*url.URL, error)

func (p Proxy) chosen() (chosen, error) {
	switch p.URL {
	case "":
		if p.Username != "" || p.Password != "" {
			return nil, errors.New("the proxy's user name and password need its url")
		}
		return http.ProxyFromEnvironment, nil
	case NoProxy:
		return nil, nil
	}
	u, err := url.Parse(p.URL)
	switch { // the url may hold a password, so it is in no error
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, errors.New("the proxy's url is not http://HOST:PORT or https://HOST:PORT")
	case u.User != nil:
		return nil, errors.New("the proxy's url holds a user or password: take it out and give them apart")
	}
	if p.Username != "" || p.Password != "" {
		u.User = url.UserPassword(p.Username, p.Password)
	}
	return http.ProxyURL(u), nil
}

// through prepares the way through a proxy.
func (r *remote) through(p Proxy) error {
	choose, err := p.chosen()
	if err != nil || choose == nil {
		return err
	}
	to, err := url.Parse(r.url)
	if err != nil {
		return errors.New("the url is not a git address")
	}
	via, err := choose(&http.Request{URL: to})
	if err != nil {
		return errors.New("HTTPS_PROXY or HTTP_PROXY in the environment is not the url of a proxy")
	}
	r.web.Proxy, r.web.OnProxyConnectResponse = choose, r.admitted
	if via != nil && via.User != nil {
		password, _ := via.User.Password()
		r.secrets = append(r.secrets, forms(via.User.Username(), password)...)
	}
	return nil
}

// admitted tells what a proxy's answer to CONNECT means.
func (r *remote) admitted(_ context.Context, via *url.URL, asked *http.Request, answer *http.Response) error {
	who, whom := proxyName(via), asked.URL.Host
	if whom == "" {
		whom = asked.Host
	}
	switch code := answer.StatusCode; {
	case code == http.StatusOK:
		return nil
	case code == http.StatusProxyAuthRequired:
		return r.unknownTo(via)
	case code >= 400 && code < 500:
		return &problem{fmt.Errorf("%s does not let us through to %s: %d %s", who, whom, code, http.StatusText(code)), "ask the proxy's owner to allow it, or take another way"}
	default:
		return &problem{err: fmt.Errorf("%s does not reach %s: %d %s", who, whom, code, http.StatusText(code))}
	}
}

// unknownTo is a proxy's refusal to serve who is not known to it.
func (r *remote) unknownTo(via *url.URL) error {
	if via.User == nil {
		return &problem{fmt.Errorf("%s asks for credentials", proxyName(via)), "set the proxy's user name and password"}
	}
	return &problem{fmt.Errorf("%s refuses the credentials", proxyName(via)), "check the proxy's user name and password"}
}

// proxyName is a proxy as people may see it.
func proxyName(u *url.URL) string {
	return "the proxy " + (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
}

// proxied tells the proxy's refusals from the server's where the proxy itself
// makes the request, which it does for http.
type proxied struct{ *remote }

// RoundTrip implements http.RoundTripper.
func (p proxied) RoundTrip(req *http.Request) (*http.Response, error) {
	answer, err := p.web.RoundTrip(req)
	if err != nil || answer.StatusCode != http.StatusProxyAuthRequired || p.web.Proxy == nil {
		return p.named(req, answer, err)
	}
	via, err := p.web.Proxy(req)
	if err != nil || via == nil {
		return answer, err
	}
	answer.Body.Close()
	return nil, p.unknownTo(via)
}

// named adds to the failure to reach a proxy which one that is.
func (p proxied) named(req *http.Request, answer *http.Response, err error) (*http.Response, error) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "proxyconnect" {
		return answer, err
	}
	via, other := p.web.Proxy(req)
	if other != nil || via == nil {
		return nil, err
	}
	return nil, unreached(proxyName(via), op.Err)
}

// unreached says why a proxy could not be reached, in the same words each time.
func unreached(who string, err error) error {
	var (
		dns   *net.DNSError
		cert  *tls.CertificateVerificationError
		owner x509.UnknownAuthorityError
		op    *net.OpError
	)
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return &problem{fmt.Errorf("%s is not known: look up %s: no such host", who, dns.Name), "check the proxy's url"}
	case errors.As(err, &dns):
		return &problem{err: fmt.Errorf("%s: look up %s: no answer from name servers", who, dns.Name)}
	case errors.As(err, &owner), errors.As(err, &cert):
		return &problem{fmt.Errorf("the certificate of %s is not trusted: %w", who, innermost(err)), "set the CA that signed it"}
	case errors.As(err, &op):
		return &problem{err: fmt.Errorf("%s is out of reach: %w", who, op.Err)}
	}
	return &problem{err: fmt.Errorf("%s is out of reach: %s", who, strings.Join(strings.Fields(err.Error()), " "))}
}
