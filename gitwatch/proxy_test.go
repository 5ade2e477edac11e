package gitwatch

import (
	"net"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/setpoint-net/setpoint/gitwatch/gitwatchtest"
	"github.com/setpoint-net/setpoint/models"
)

// hostOf is a url's "host:port".
func hostOf(t testing.TB, of string) string {
	t.Helper()
	u, err := url.Parse(of)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func TestTheWayThereMayBeThroughAProxy(t *testing.T) {
	u := newUpstream(t)
	commit := u.push("main", blob{"", "x", "a"})
	s := u.serve("robot", "t0ken")
	plain := httptest.NewServer(gitwatchtest.Backend(t, u.dir, "", ""))
	defer plain.Close()
	for _, tt := range []struct {
		name    string
		overTLS bool
		set     func(*gitwatchtest.Proxy)
		way     func(*Watcher)
	}{
		{"an open one", false, nil, func(*Watcher) {}},
		{"one that asks who we are", false, func(p *gitwatchtest.Proxy) { p.Username, p.Password = "house", "pr0xy p@ss" }, func(w *Watcher) {
			w.Proxy.Username, w.Proxy.Password = "house", "pr0xy p@ss"
		}},
		{"one behind TLS", true, nil, func(*Watcher) {}},
		{"one that alone knows the server", false, func(p *gitwatchtest.Proxy) {
			p.Ways = map[string]string{"example.com:443": hostOf(t, s.Repository)}
		}, func(w *Watcher) { w.URL = strings.Replace(w.URL, hostOf(t, w.URL), "example.com", 1) }},
		{"http, made by the proxy", false, nil, func(w *Watcher) { w.URL, w.Token = plain.URL+strings.TrimPrefix(s.Repository, s.URL), "" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			p := gitwatchtest.NewProxy(t, tt.overTLS, tt.set)
			w := h.watcher(s.Repository)
			w.Username, w.Token, w.CA = "robot", "t0ken", slices.Concat(s.CA, p.CA)
			w.Proxy.URL = p.URL
			tt.way(w)
			h.look(h.start(w))
			h.expect(models.Head{Generation: 1, Branch: "main", New: commit})
			if len(p.Asked()) == 0 {
				t.Error("the proxy was passed by")
			}
		})
	}
}

func TestTroubleWithAProxyIsToldApartFromTroubleWithTheServer(t *testing.T) {
	u := newUpstream(t)
	u.push("main", blob{"", "x", "a"})
	s := u.serve("robot", "s3cret")
	plain := httptest.NewServer(gitwatchtest.Backend(t, u.dir, "", ""))
	defer plain.Close()
	closed := closedPort(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody speaks
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	locked := func(p *gitwatchtest.Proxy) { p.Username, p.Password = "house", "pr0xy" }
	overHTTP := func(w *Watcher) { w.URL, w.Token = plain.URL+strings.TrimPrefix(s.Repository, s.URL), "" }
	at := hostOf(t, s.Repository)
	for _, tt := range []struct {
		name    string
		overTLS bool
		set     func(*gitwatchtest.Proxy)
		way     func(*Watcher)
		want    string // PROXY is its url
	}{
		{"unreachable", false, nil, func(w *Watcher) { w.Proxy.URL = "http://" + closed }, "the proxy http://" + closed + " is out of reach: connect: connection refused"},
		{"unreachable for http", false, nil, func(w *Watcher) { overHTTP(w); w.Proxy.URL = "http://" + closed }, "the proxy http://" + closed + " is out of reach: connect: connection refused"},
		{"no such host", false, nil, func(w *Watcher) { w.Proxy.URL = "http://proxy.setpoint.invalid:3128" }, "the proxy http://proxy.setpoint.invalid:3128"},
		{"no credentials", false, locked, func(*Watcher) {}, "PROXY asks for credentials (set the proxy's user name and password)"},
		{"no credentials for http", false, locked, overHTTP, "PROXY asks for credentials (set the proxy's user name and password)"},
		{"wrong credentials", false, locked, func(w *Watcher) { w.Proxy.Username, w.Proxy.Password = "house", "wr0ng" }, "PROXY refuses the credentials (check the proxy's user name and password)"},
		{"wrong credentials for http", false, locked, func(w *Watcher) { overHTTP(w); w.Proxy.Username, w.Proxy.Password = "house", "wr0ng" }, "PROXY refuses the credentials (check the proxy's user name and password)"},
		{"forbidden", false, func(p *gitwatchtest.Proxy) { p.Refuse = 403 }, func(*Watcher) {}, "PROXY does not let us through to " + at + ": 403 Forbidden (ask the proxy's owner to allow it, or take another way)"},
		{"the server is unreachable from it", false, nil, func(w *Watcher) { w.URL = "https://" + closed + "/x.git" }, "PROXY does not reach " + closed + ": 502 Bad Gateway"},
		{"silent", false, nil, func(w *Watcher) { w.Proxy.URL, w.Timeout = "http://"+silent.Addr().String(), 50*time.Millisecond }, "no answer within 50ms"},
		{"unknown CA of the proxy", true, nil, func(w *Watcher) { w.CA = nil }, "the certificate of PROXY is not trusted: x509: certificate signed by unknown authority (set the CA that signed it)"},
		{"unknown CA of the server", false, nil, func(w *Watcher) { w.CA = nil }, "the server's certificate is not trusted: "},
		{"the server's own refusal", false, nil, func(w *Watcher) { w.Token = "wr0ng" }, "the server refuses the credentials (check user name and token)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			p := gitwatchtest.NewProxy(t, tt.overTLS, tt.set)
			w := h.watcher(s.Repository)
			w.Username, w.Token, w.CA, w.Proxy.URL = "robot", "s3cret", s.CA, p.URL
			tt.way(w)
			l := h.start(w)
			for range 2 {
				if err := l.look(t.Context()); err == nil {
					t.Fatal("no error")
				}
			}
			lines := h.log.take()
			if want := strings.Replace(tt.want, "PROXY", "the proxy "+p.URL, 1); len(lines) != 1 || !strings.Contains(lines[0], want) {
				t.Errorf("logged %q, want one line with %q", lines, want)
			}
			for _, secret := range []string{"s3cret", "wr0ng", "pr0xy"} {
				if strings.Contains(h.log.raw.String(), secret) {
					t.Errorf("the log holds %q:\n%s", secret, h.log.raw.String())
				}
			}
		})
	}
}

func TestProxySettingsThatCanNeverWorkEndRunAtOnce(t *testing.T) {
	h := newHouse(t)
	for _, tt := range []struct {
		url   string
		proxy Proxy
		want  string
	}{
		{"https://example.net/x.git", Proxy{URL: "proxy.example.net:3128"}, "the proxy's url is not http://HOST:PORT or https://HOST:PORT"},
		{"https://example.net/x.git", Proxy{URL: "socks5://proxy.example.net:1080"}, "the proxy's url is not http://HOST:PORT"},
		{"https://example.net/x.git", Proxy{URL: "http://house:s3cret@proxy.example.net:3128"}, "holds a user or password"},
		{"https://example.net/x.git", Proxy{Username: "house", Password: "s3cret"}, "need its url"},
		{"git@example.net:x.git", Proxy{URL: "http://proxy.example.net:3128"}, "a proxy is for https and http"},
		{"/srv/x.git", Proxy{URL: "http://proxy.example.net:3128"}, "a proxy is for https and http"},
	} {
		w := h.watcher(tt.url)
		w.Proxy = tt.proxy
		err := w.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s through %s: error %v, want one with %q", tt.url, tt.proxy.URL, err, tt.want)
		}
	}
}

func TestTheEnvironmentsProxyIsTakenUnlessToldOtherwise(t *testing.T) {
	h := newHouse(t)
	for proxy, taken := range map[string]bool{"": true, NoProxy: false} {
		w := h.watcher("https://example.net/x.git")
		w.Proxy.URL = proxy
		r, err := w.dial()
		if err != nil || (r.web.Proxy != nil) != taken {
			t.Errorf("%q: a proxy is taken: %t, %v", proxy, r.web.Proxy != nil, err)
		}
	}
}
