package gitwatch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/file"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

const defaultUsername = "x-access-token"

// remote is the repository at the other end. It speaks git's upload-pack
// through go-git's transports directly: one exchange asks for the tip and
// fetches it, nothing global is configured, and connections are kept and
// closed by us.
type remote struct {
	url     string // for people and for the mirror's configuration: no user, no password
	ep      *transport.Endpoint
	client  transport.Transport
	auth    transport.AuthMethod
	web     *http.Transport // nil but for http
	ssh     *sshWay         // nil but for ssh
	secrets []string
	timeout time.Duration
}

// dial prepares the way to the watcher's repository; nothing is contacted.
func (w *Watcher) dial() (*remote, error) {
	ep, err := transport.NewEndpoint(w.URL)
	if err != nil { // its text may hold the url, and so a password
		return nil, errors.New("the url is not a git address")
	}
	r := &remote{timeout: w.Timeout}
	if r.timeout <= 0 {
		r.timeout = defaultTimeout
	}
	if w.Proxy != (Proxy{}) && ep.Protocol != "http" && ep.Protocol != "https" {
		return nil, errors.New("a proxy is for https and http")
	}
	if ep.Protocol == "ssh" {
		return r, r.dialSSH(w, ep)
	}
	user, secret := w.Username, w.Token
	if secret == "" && ep.User != "" {
		user, secret = ep.User, ep.Password
	}
	if user == "" {
		user = defaultUsername
	}
	known := secret != "" || ep.User != ""
	r.secrets = forms(user, secret)
	if ep.User != "" && ep.Password == "" { // a token in the place of the user
		r.secrets = append(r.secrets, forms("", ep.User)...)
	}
	ep.User, ep.Password = "", ""
	r.ep, r.url = ep, ep.String()
	switch ep.Protocol {
	case "file":
		r.client = file.DefaultClient
		return r, nil
	case "http", "https":
	default:
		return nil, fmt.Errorf("%s is not supported: use https, http, ssh, file or a path", ep.Protocol)
	}
	if known {
		r.auth = &githttp.BasicAuth{Username: user, Password: secret}
	}
	roots, err := authorities(w.CA)
	if err != nil {
		return nil, err
	}
	r.web = &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 15 * time.Second,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:   true,
		MaxIdleConns:        2,
		IdleConnTimeout:     90 * time.Second,
	}
	r.client = githttp.NewClient(&http.Client{Transport: proxied{r}})
	return r, r.through(w.Proxy)
}

// dialSSH prepares the way over ssh. The user's name is no secret there.
func (r *remote) dialSSH(w *Watcher, ep *transport.Endpoint) (err error) {
	if r.ssh, err = w.sshWay(ep); err != nil {
		return err
	}
	r.secrets = forms("", w.SSH.Passphrase)
	ep.User, ep.Password = "", ""
	r.ep, r.url = ep, ep.String()
	return nil
}

// authorities returns the system's CAs and those in pem; nil for the system's alone.
func authorities(pem []byte) (*x509.CertPool, error) {
	if len(pem) == 0 {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("the CA holds no PEM certificate")
	}
	return pool, nil
}

func (r *remote) close() {
	if r.web != nil {
		r.web.CloseIdleConnections()
	}
}

// exchange is one conversation with the server: what it has, then what we lack.
type exchange struct {
	remote  *remote
	session transport.UploadPackSession
	has     *packp.AdvRefs
}

func (r *remote) begin(ctx context.Context) (*exchange, error) {
	session, err := r.open(ctx)
	if err != nil {
		return nil, r.explain(err)
	}
	has, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		_ = session.Close()
		if errors.Is(err, transport.ErrEmptyRemoteRepository) {
			return nil, &problem{errors.New("the repository is empty"), "push a first commit"}
		}
		return nil, r.explain(err)
	}
	return &exchange{remote: r, session: session, has: has}, nil
}

func (r *remote) open(ctx context.Context) (transport.UploadPackSession, error) {
	if r.ssh != nil {
		s, err := r.ssh.begin(ctx)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	return r.client.NewUploadPackSession(r.ep, r.auth)
}

func (x *exchange) close() { _ = x.session.Close() }

// tip returns the commit that a branch is on.
func (x *exchange) tip(branch string) (plumbing.Hash, error) {
	const heads = "refs/heads/"
	if tip, ok := x.has.References[heads+branch]; ok {
		return tip, nil
	}
	var others []string
	for _, name := range slices.Sorted(maps.Keys(x.has.References)) {
		if other, ok := strings.CutPrefix(name, heads); ok {
			others = append(others, other)
		}
	}
	hint := "the repository has no branch at all: push one"
	if len(others) > 0 {
		hint = "its branches are " + strings.Join(others[:min(len(others), 8)], ", ")
	}
	if len(others) > 8 {
		hint += ", …"
	}
	return plumbing.ZeroHash, &problem{fmt.Errorf("no branch %q in the repository", branch), hint}
}

// fetch writes the pack with all that want needs, beyond what haves have, to
// out. The branch's whole history comes along: never shallow, no tags.
func (x *exchange) fetch(ctx context.Context, want plumbing.Hash, haves []plumbing.Hash, out io.Writer) error {
	req := packp.NewUploadPackRequestFromCapabilities(x.has.Capabilities)
	if x.has.Capabilities.Supports(capability.NoProgress) {
		if err := req.Capabilities.Set(capability.NoProgress); err != nil {
			return err
		}
	}
	req.Wants = []plumbing.Hash{want}
	req.Haves = haves
	res, err := x.session.UploadPack(ctx, req)
	if err != nil {
		return x.remote.explain(err)
	}
	defer res.Close()
	if _, err := io.Copy(out, plain(req.Capabilities, res)); err != nil {
		return x.remote.explain(err)
	}
	return nil
}

// plain takes a pack out of the side band that was agreed on.
func plain(agreed *capability.List, in io.Reader) io.Reader {
	switch {
	case agreed.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, in)
	case agreed.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, in)
	}
	return in
}
