package gitwatch

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/setpoint-net/setpoint/models"
)

// sshSite is an upstream behind an ssh server that runs what it is asked to.
type sshSite struct {
	t       *testing.T
	addr    string
	hosts   []ssh.Signer // ecdsa, rsa, ed25519
	key     []byte       // that may read, PEM
	locked  []byte       // another that may, with the passphrase "open sesame"
	known   string       // a known_hosts file with the ed25519 key alone
	conf    *ssh.ServerConfig
	mangle  func(command string) string // nil: none
	hold    bool                        // the answer's end is kept back
	serving sync.WaitGroup
}

func signer(t testing.TB, key any) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ed25519Key(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pemOf(t testing.TB, key any, passphrase string) []byte {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key, "a comment")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "a comment", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}

func newSSHSite(t *testing.T) *sshSite {
	t.Helper()
	hostEC, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	hostRSA, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	clients := []any{ed25519Key(t), ed25519Key(t)}
	s := &sshSite{
		t: t, hosts: []ssh.Signer{signer(t, hostEC), signer(t, hostRSA), signer(t, ed25519Key(t))},
		key: pemOf(t, clients[0], ""), locked: pemOf(t, clients[1], "open sesame"),
	}
	s.conf = &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		for _, k := range clients {
			if c.User() == "git" && bytes.Equal(key.Marshal(), signer(t, k).PublicKey().Marshal()) {
				return nil, nil
			}
		}
		return nil, errors.New("not yours")
	}}
	for _, h := range s.hosts {
		s.conf.AddHostKey(h)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	s.known = s.knows(s.hosts[2].PublicKey())
	s.serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.serving.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.serving.Wait() // each connection was closed by the other end
	})
	return s
}

// knows writes a known_hosts file.
func (s *sshSite) knows(keys ...ssh.PublicKey) string {
	s.t.Helper()
	var b strings.Builder
	b.WriteString("# known\n")
	for _, k := range keys {
		b.WriteString(knownhosts.Line([]string{s.addr}, k) + "\n")
	}
	name := filepath.Join(s.t.TempDir(), "known_hosts")
	if err := os.WriteFile(name, []byte(b.String()), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return name
}

func (s *sshSite) serve(conn net.Conn) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, s.conf)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	var wg sync.WaitGroup
	defer wg.Wait()
	for c := range channels {
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		wg.Go(func() { s.session(channel, requests) })
	}
}

func (s *sshSite) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	for r := range requests {
		var exec struct{ Command string }
		if r.Type != "exec" || ssh.Unmarshal(r.Payload, &exec) != nil {
			_ = r.Reply(false, nil)
			continue
		}
		_ = r.Reply(true, nil)
		code := s.execute(channel, exec.Command)
		if s.hold {
			for range requests { // until the other end is gone
			}
		}
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{code}))
		return
	}
}

func (s *sshSite) execute(channel ssh.Channel, command string) uint32 {
	if s.mangle != nil {
		command = s.mangle(command)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
	in, err := cmd.StdinPipe() // Run would wait for the channel's end
	if err != nil || cmd.Start() != nil {
		return 127
	}
	go func() { _, _ = io.Copy(in, channel); in.Close() }()
	if err := cmd.Wait(); err != nil {
		return 1
	}
	return 0
}

// watch has w go through the site to a folder.
func (s *sshSite) watch(w *Watcher, dir string) *Watcher {
	w.URL = "ssh://git@" + s.addr + dir
	w.SSH = SSH{Key: s.key, KnownHosts: s.known}
	return w
}

func TestTheWayThereMayBeSSH(t *testing.T) {
	u := newUpstream(t)
	odd := filepath.Join(t.TempDir(), "it's here!.git")
	if err := os.Symlink(u.dir, odd); err != nil {
		t.Fatal(err)
	}
	s := newSSHSite(t)
	host, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	for name, set := range map[string]func(w *Watcher){
		"url":               func(*Watcher) {},
		"as scp has it":     func(w *Watcher) { w.URL = "git@" + host + ":" + port + ":" + u.dir },
		"user of ours":      func(w *Watcher) { w.URL = "ssh://" + s.addr + u.dir },
		"user by setting":   func(w *Watcher) { w.URL, w.Username = "ssh://someone@"+s.addr+u.dir, "git" },
		"a path to quote":   func(w *Watcher) { w.URL = "git@" + host + ":" + port + ":" + odd },
		"an rsa host key":   func(w *Watcher) { w.SSH.KnownHosts = s.knows(s.hosts[1].PublicKey()) },
		"several host keys": func(w *Watcher) { w.SSH.KnownHosts = s.knows(s.hosts[0].PublicKey(), s.hosts[2].PublicKey()) },
		"a key without its last line break": func(w *Watcher) {
			w.SSH.Key = bytes.TrimSpace(w.SSH.Key)
		},
		"a locked key": func(w *Watcher) {
			w.SSH.Key, w.SSH.Passphrase = s.locked, "open sesame"
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			first := u.push("main", blob{"", "x", name})
			w := s.watch(h.watcher(""), u.dir)
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
	s := newSSHSite(t)
	stranger := ed25519Key(t)
	public := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer(t, stranger).PublicKey())))
	closed := closedPort(t)
	_, port, _ := net.SplitHostPort(s.addr)
	for _, tt := range []struct {
		name   string
		spoil  func(w *Watcher)
		mangle func(string) string
		want   []string
	}{
		{"another key", func(w *Watcher) { w.SSH.Key = pemOf(t, stranger, "") }, nil, []string{"the server refuses the ssh key of user git", "give this key read access to the repository: " + public}},
		{"another user", func(w *Watcher) { w.Username = "root" }, nil, []string{"the server refuses the ssh key of user root"}},
		{"an unknown host", func(w *Watcher) { w.SSH.KnownHosts = s.knows() }, nil, []string{"is not in ", "compare it with what the server's owner publishes, then: ssh-keyscan -p " + port + " 127.0.0.1 >> "}},
		{"a changed host key", func(w *Watcher) { w.SSH.KnownHosts = s.knows(signer(t, stranger).PublicKey()) }, nil, []string{ssh.FingerprintSHA256(s.hosts[2].PublicKey()) + " is not the one known: somebody may stand in between", "the known one is line 2 of "}},
		{"a revoked host key", func(w *Watcher) {
			line := "@revoked " + knownhosts.Line([]string{s.addr}, s.hosts[2].PublicKey())
			w.SSH.KnownHosts = filepath.Join(t.TempDir(), "known_hosts")
			if err := os.WriteFile(w.SSH.KnownHosts, []byte(line+"\n"+knownhosts.Line([]string{s.addr}, s.hosts[2].PublicKey())+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, nil, []string{"is revoked in ", "(ask the server's owner)"}},
		{"no such repository", func(w *Watcher) { w.URL += ".nope" }, nil, []string{"no such repository (check the url"}},
		{"GitHub's no such repository", func(*Watcher) {}, func(string) string { return "echo 'ERROR: Repository not found.' >&2; exit 1" }, []string{"no such repository (check the url"}},
		{"another refusal", func(*Watcher) {}, func(string) string { return "echo 'closed for\nmaintenance' >&2; exit 1" }, []string{"the server says: closed for maintenance"}},
		{"a shell that greets", func(*Watcher) {}, func(string) string { return "echo 'Welcome to the jungle'" }, []string{"ask ssh://127.0.0.1:" + port}},
		{"silence and an end", func(*Watcher) {}, func(string) string { return "true" }, []string{"ask ssh://127.0.0.1:" + port}},
		{"an empty repository", func(w *Watcher) { s.watch(w, empty.dir) }, nil, []string{"the repository is empty (push a first commit)"}},
		{"unreachable", func(w *Watcher) { w.URL = "ssh://" + closed + "/x.git" }, nil, []string{"dial: connect: connection refused"}},
		{"a pack that breaks off", func(*Watcher) {}, func(c string) string { return c + " | dd bs=1 count=20000 2>/dev/null" }, []string{"fetch "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			s.mangle = tt.mangle
			w := s.watch(h.watcher(""), u.dir)
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
	key := pemOf(t, ed25519Key(t), "")
	locked := pemOf(t, ed25519Key(t), "open sesame")
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
	s := newSSHSite(t)
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
			s.mangle, s.hold = tt.mangle, true
			w := s.watch(h.watcher(""), u.dir)
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
