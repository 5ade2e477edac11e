package gitwatchtest

import (
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"
)

// Proxy is an HTTP proxy: it tunnels what CONNECT asks for and makes requests for
// plain http itself. The fields are fixed before the first request.
type Proxy struct {
	URL string // http or https, without user and password
	CA  []byte // PEM, of an https proxy

	Username, Password string            // asked for, if there is a password
	Refuse             int               // an HTTP status for every request; 0: none
	Ways               map[string]string // "host:port" to the address it is at; others are looked up

	mu    sync.Mutex
	asked []string
}

// NewProxy starts a proxy, one behind TLS if overTLS, that set has set up.
func NewProxy(t testing.TB, overTLS bool, set func(*Proxy)) *Proxy {
	t.Helper()
	p := &Proxy{}
	if set != nil {
		set(p)
	}
	var tunnels sync.WaitGroup
	s := httptest.NewUnstartedServer(p.handler(&tunnels))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if overTLS {
		s.StartTLS()
		p.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	} else {
		s.Start()
	}
	p.URL = s.URL
	t.Cleanup(func() { s.Close(); tunnels.Wait() }) // each tunnel was closed by the other end
	return p
}

// Asked is what the proxy was asked for, "host:port" each time.
func (p *Proxy) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

func (p *Proxy) handler(tunnels *sync.WaitGroup) http.Handler {
	onward := &httputil.ReverseProxy{ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Host = p.way(r.In.Host)
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked = append(p.asked, r.Host)
		p.mu.Unlock()
		switch {
		case !p.knows(r):
			w.Header().Set("Proxy-Authenticate", `Basic realm="proxy"`)
			http.Error(w, "who is "+r.Header.Get("Proxy-Authorization")+"?", http.StatusProxyAuthRequired)
		case p.Refuse != 0:
			http.Error(w, "<html>not through here</html>", p.Refuse)
		case r.Method == http.MethodConnect:
			p.tunnel(w, r, tunnels)
		default:
			onward.ServeHTTP(w, r)
		}
	})
}

func (p *Proxy) way(to string) string {
	if at, ok := p.Ways[to]; ok {
		return at
	}
	return to
}

func (p *Proxy) knows(r *http.Request) bool {
	if p.Password == "" {
		return true
	}
	like := &http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	user, password, ok := like.BasicAuth()
	return ok && user == p.Username && password == p.Password
}

func (p *Proxy) tunnel(w http.ResponseWriter, r *http.Request, tunnels *sync.WaitGroup) {
	there, err := net.Dial("tcp", p.way(r.Host))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	here, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		there.Close()
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n")
	both := func(to, from net.Conn, in io.Reader) {
		_, _ = io.Copy(to, in)
		to.Close()
		from.Close()
	}
	tunnels.Go(func() { both(there, here, buffered) })
	tunnels.Go(func() { both(here, there, there) })
}

// With is the proxy's URL with a user and a password in it, as the environment
// has it.
func (p *Proxy) With(user, password string) string {
	u, err := url.Parse(p.URL)
	if err != nil {
		return p.URL
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}
