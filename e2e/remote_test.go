package e2e

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/setpoint-net/setpoint/gitwatch/gitwatchtest"
)

// TestTheRoadMayBeginOverSSH goes through a real ssh server that runs
// git-upload-pack.
func TestTheRoadMayBeginOverSSH(t *testing.T) {
	ssh := gitwatchtest.NewSSH(t)
	w := newWorld(t, 1)
	w.write("deploy-key", string(ssh.Locked))
	w.write("passphrase", gitwatchtest.Passphrase)
	for k, v := range map[string]string{
		"URL": "ssh://git@" + ssh.Addr + filepath.Join(w.dir, "net.git"), "KNOWNHOSTSFILE": ssh.Known,
		"SSHKEY_FILE": "deploy-key", "SSHPASSPHRASE_FILE": "passphrase",
	} {
		t.Setenv("SETPOINT_REPOSITORY_"+k, v)
	}
	w.deployedTwice()
	if strings.Contains(w.proc.text(), gitwatchtest.Passphrase) || strings.Contains(w.proc.text(), "PRIVATE KEY") {
		t.Error("the log tells the key or its passphrase")
	}
}

// TestTheRoadMayBeginBehindAProxy has a repository that only the proxy can find,
// with the proxy from the configuration and from the environment.
func TestTheRoadMayBeginBehindAProxy(t *testing.T) {
	for name, tell := range map[string]func(*world, *gitwatchtest.Proxy){
		"configuration": func(w *world, p *gitwatchtest.Proxy) {
			w.write("proxy-password", "the-proxy-password")
			w.t.Setenv("SETPOINT_REPOSITORY_PROXY_URL", p.URL)
			w.t.Setenv("SETPOINT_REPOSITORY_PROXY_USERNAME", "house")
			w.t.Setenv("SETPOINT_REPOSITORY_PROXY_PASSWORD_FILE", "proxy-password")
		},
		"environment": func(w *world, p *gitwatchtest.Proxy) {
			w.t.Setenv("HTTPS_PROXY", p.With("house", "the-proxy-password"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			s := gitwatchtest.NewHTTPS(t, filepath.Join(w.dir, "net.git"), "robot", "the-token-of-git")
			u, err := url.Parse(s.Repository)
			if err != nil {
				t.Fatal(err)
			}
			known := "example.com:" + u.Port()
			p := gitwatchtest.NewProxy(t, false, func(p *gitwatchtest.Proxy) {
				p.Username, p.Password = "house", "the-proxy-password"
				p.Ways = map[string]string{known: u.Host}
			})
			w.write("git-token", "the-token-of-git")
			w.write("git-ca.pem", string(s.CA))
			w.t.Setenv("SETPOINT_REPOSITORY_URL", strings.Replace(s.Repository, u.Host, known, 1))
			w.t.Setenv("SETPOINT_REPOSITORY_USERNAME", "robot")
			w.t.Setenv("SETPOINT_REPOSITORY_TOKEN_FILE", "git-token")
			w.t.Setenv("SETPOINT_REPOSITORY_CAFILE", "git-ca.pem")
			tell(w, p)
			w.deployedTwice()
			if asked := p.Asked(); !slices.Contains(asked, known) || len(slices.Compact(asked)) != 1 {
				t.Errorf("the proxy was asked for %q, want %s alone", asked, known)
			}
			for _, secret := range []string{"the-proxy-password", "the-token-of-git"} {
				if strings.Contains(w.proc.text(), secret) {
					t.Errorf("the log tells %s", secret)
				}
			}
		})
	}
}

// TestAnEmptyRepositoryIsWaitedFor starts before there is anything to deploy.
func TestAnEmptyRepositoryIsWaitedFor(t *testing.T) {
	w := newWorld(t, 1)
	w.start()
	w.says("the repository is empty")
	w.deployed(w.push(w.network("engineering", "alert")))
	w.says("repository is watched again")
	w.stop()
}

// deployedTwice takes two commits down the whole road.
func (w *world) deployedTwice() {
	w.t.Helper()
	first := w.push(w.network("engineering", "alert"))
	w.start()
	w.deployed(first)
	w.deployed(w.push(map[string]string{"network.yaml": networkYAML("operations")}))
	w.holds(0, `"operations"`)
	w.stop()
	w.leaksNothing()
}
