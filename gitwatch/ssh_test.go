package gitwatch

import (
	"bytes"
	"crypto/rand"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/setpoint-net/setpoint/gitwatch/gitwatchtest"
	"github.com/setpoint-net/setpoint/models"
)

// through has w go through the server to a folder.
func through(s *gitwatchtest.SSH, w *Watcher, dir string) *Watcher {
	w.URL = "ssh://git@" + s.Addr + dir
	w.SSH = SSH{Key: s.Key, KnownHosts: s.Known}
	return w
}

func TestTheWayThereMayBeSSH(t *testing.T) {
	u := newUpstream(t)
	odd := filepath.Join(t.TempDir(), "it's here!.git")
	if err := os.Symlink(u.dir, odd); err != nil {
		t.Fatal(err)
	}
	s := gitwatchtest.NewSSH(t)
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	for name, set := range map[string]func(w *Watcher){
		"url":               func(*Watcher) {},
		"as scp has it":     func(w *Watcher) { w.URL = "git@" + host + ":" + port + ":" + u.dir },
		"user of ours":      func(w *Watcher) { w.URL = "ssh://" + s.Addr + u.dir },
		"user by setting":   func(w *Watcher) { w.URL, w.Username = "ssh://someone@"+s.Addr+u.dir, "git" },
		"a path to quote":   func(w *Watcher) { w.URL = "git@" + host + ":" + port + ":" + odd },
		"an rsa host key":   func(w *Watcher) { w.SSH.KnownHosts = s.Knows(s.Hosts[1].PublicKey()) },
		"several host keys": func(w *Watcher) { w.SSH.KnownHosts = s.Knows(s.Hosts[0].PublicKey(), s.Hosts[2].PublicKey()) },
		"a key without its last line break": func(w *Watcher) {
			w.SSH.Key = bytes.TrimSpace(w.SSH.Key)
		},
		"a locked key": func(w *Watcher) {
			w.SSH.Key, w.SSH.Passphrase = s.Locked, "open sesame"
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			first := u.push("main", blob{"", "x", name})
			w := through(s, h.watcher(""), u.dir)
			set(w)
			l := h.start(w)
			h.look(l)
			h.look(l) // nothing new: upload-pack is left without a request
			second := u.push("main", blob{"", "y", name})
			h.look(l)
			h.expect(models.Head{Generation: 1, Branch: "main", New: first}, models.Head{Generation: 2, Branch: "main", Old: first, New: second})
			conf, err := os.ReadFile(filepath.Join(w.Dir, "config"))
			if err != nil || strings.Contains(string(conf), "git@") {
				t.Errorf("the mirror's configuration: %v\n%s", err, conf)
			}
		})
	}
}

// noise is a file that fills more than the pipes on its way.
func noise(t testing.TB) string {
	t.Helper()
	b := make([]byte, 300<<10)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTroubleOverSSHIsToldWithANextStep(t *testing.T) {
	u, empty := newUpstream(t), newUpstream(t)
	u.push("main", blob{"", "x", noise(t)})
	s := gitwatchtest.NewSSH(t)
	stranger := gitwatchtest.Ed25519Key(t)
	public := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(gitwatchtest.Signer(t, stranger).PublicKey())))
	closed := closedPort(t)
	_, port, _ := net.SplitHostPort(s.Addr)
	for _, tt := range []struct {
		name   string
		spoil  func(w *Watcher)
		mangle func(string) string
		want   []string
	}{
		{"another key", func(w *Watcher) { w.SSH.Key = gitwatchtest.PEM(t, stranger, "") }, nil, []string{"the server refuses the ssh key of user git", "give this key read access to the repository: " + public}},
		{"another user", func(w *Watcher) { w.Username = "root" }, nil, []string{"the server refuses the ssh key of user root"}},
		{"an unknown host", func(w *Watcher) { w.SSH.KnownHosts = s.Knows() }, nil, []string{"is not in ", "compare it with what the server's owner publishes, then: ssh-keyscan -p " + port + " 127.0.0.1 >> "}},
		{"a changed host key", func(w *Watcher) { w.SSH.KnownHosts = s.Knows(gitwatchtest.Signer(t, stranger).PublicKey()) }, nil, []string{ssh.FingerprintSHA256(s.Hosts[2].PublicKey()) + " is not the one known: somebody may stand in between", "the known one is line 2 of "}},
		{"a revoked host key", func(w *Watcher) {
			line := "@revoked " + knownhosts.Line([]string{s.Addr}, s.Hosts[2].PublicKey())
			w.SSH.KnownHosts = filepath.Join(t.TempDir(), "known_hosts")
			if err := os.WriteFile(w.SSH.KnownHosts, []byte(line+"\n"+knownhosts.Line([]string{s.Addr}, s.Hosts[2].PublicKey())+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, nil, []string{"is revoked in ", "(ask the server's owner)"}},
		{"no such repository", func(w *Watcher) { w.URL += ".nope" }, nil, []string{"no such repository (check the url"}},
		{"GitHub's no such repository", func(*Watcher) {}, func(string) string { return "echo 'ERROR: Repository not found.' >&2; exit 1" }, []string{"no such repository (check the url"}},
		{"another refusal", func(*Watcher) {}, func(string) string { return "echo 'closed for\nmaintenance' >&2; exit 1" }, []string{"the server says: closed for maintenance"}},
		{"a shell that greets", func(*Watcher) {}, func(string) string { return "echo 'Welcome to the jungle'" }, []string{"ask ssh://127.0.0.1:" + port}},
		{"silence and an end", func(*Watcher) {}, func(string) string { return "true" }, []string{"ask ssh://127.0.0.1:" + port}},
		{"an empty repository", func(w *Watcher) { through(s, w, empty.dir) }, nil, []string{"the repository is empty (push a first commit)"}},
		{"unreachable", func(w *Watcher) { w.URL = "ssh://" + closed + "/x.git" }, nil, []string{"dial: connect: connection refused"}},
		{"a pack that breaks off", func(*Watcher) {}, func(c string) string { return c + " | dd bs=1 count=20000 2>/dev/null" }, []string{"fetch "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			s.Mangle = tt.mangle
			w := through(s, h.watcher(""), u.dir)
			tt.spoil(w)
			l := h.start(w)
			for range 2 {
				if err := l.look(t.Context()); err == nil {
					t.Fatal("no error")
				}
			}
			lines := h.log.take()
			if len(lines) != 1 {
				t.Fatalf("logged %q, want one line", lines)
			}
			for _, want := range tt.want {
				if !strings.Contains(lines[0], want) {
					t.Errorf("logged %q, want %q", lines[0], want)
				}
			}
		})
	}
}

func TestSSHSettingsThatCanNeverWorkEndRunAtOnce(t *testing.T) {
	h := newHouse(t)
	key := gitwatchtest.PEM(t, gitwatchtest.Ed25519Key(t), "")
	locked := gitwatchtest.PEM(t, gitwatchtest.Ed25519Key(t), "open sesame")
	known := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(known, []byte("example.net ssh-ed25519 s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		url  string
		ssh  SSH
		want string
	}{
		{"git@example.net:x.git", SSH{}, "ssh needs a private key"},
		{"git@example.net:x.git", SSH{Key: key}, "ssh needs a known_hosts file with the server's host key: ssh-keyscan example.net > known_hosts"},
		{"ssh://example.net:2222/x.git", SSH{Key: key}, "ssh-keyscan -p 2222 example.net > known_hosts"},
		{"ssh://[2001:db8::1]/x.git", SSH{Key: key}, "ssh-keyscan 2001:db8::1 > known_hosts"},
		{"git@example.net:x.git", SSH{Key: key, KnownHosts: known + ".nope"}, "no such file"},
		{"git@example.net:x.git", SSH{Key: key, KnownHosts: known}, "known_hosts file: "},
		{"git@example.net:x.git", SSH{Key: []byte("s3cret"), KnownHosts: known}, "the ssh key is not a private key"},
		{"git@example.net:x.git", SSH{Key: locked, KnownHosts: known}, "the ssh key is locked"},
		{"git@example.net:x.git", SSH{Key: locked, Passphrase: "s3cret", KnownHosts: known}, "the passphrase does not unlock"},
		{"ssh://git:s3cret@example.net/x.git", SSH{Key: key, KnownHosts: known}, "holds a password"},
	} {
		w := h.watcher(tt.url)
		w.SSH = tt.ssh
		err := w.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: error %v, want one with %q", tt.url, err, tt.want)
		}
	}
}

func TestAnSSHServerThatNeverAnswersIsGivenUp(t *testing.T) {
	u := newUpstream(t)
	u.push("main", blob{"", "x", noise(t)})
	s := gitwatchtest.NewSSH(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody speaks
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, tt := range []struct {
		name   string
		url    string
		mangle func(string) string
	}{
		{"in the handshake", "ssh://" + silent.Addr().String() + "/x.git", nil},
		{"in upload-pack", "", func(string) string { return "true" }},
		{"in the pack", "", func(c string) string { return c + " | dd bs=1 count=20000 2>/dev/null" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			s.Mangle, s.Hold = tt.mangle, true
			w := through(s, h.watcher(""), u.dir)
			w.Timeout = 300 * time.Millisecond
			if tt.url != "" {
				w.URL = tt.url
			}
			if err := h.start(w).look(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "no answer within 300ms") {
				t.Errorf("error %v", err)
			}
		})
	}
}
