package gitwatchtest

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
)

// Passphrase unlocks SSH's locked key.
const Passphrase = "open sesame"

// SSH is a server behind ssh that runs what it is asked to, for the user git.
type SSH struct {
	Addr   string
	Hosts  []ssh.Signer // its keys: ecdsa, rsa, ed25519
	Key    []byte       // that may log in, PEM
	Locked []byte       // another that may, with the Passphrase
	Known  string       // a known_hosts file with the ed25519 key alone

	// Between requests these may change.
	Mangle func(command string) string // nil: none
	Hold   bool                        // the answer's end is kept back

	t       testing.TB
	conf    *ssh.ServerConfig
	serving sync.WaitGroup
}

// Signer signs with a private key.
func Signer(t testing.TB, key any) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Ed25519Key is a new private key.
func Ed25519Key(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// PEM is a private key as OpenSSH writes it, locked unless the passphrase is "".
func PEM(t testing.TB, key any, passphrase string) []byte {
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

// NewSSH starts a server.
func NewSSH(t testing.TB) *SSH {
	t.Helper()
	hostEC, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	hostRSA, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	clients := []any{Ed25519Key(t), Ed25519Key(t)}
	s := &SSH{
		t: t, Hosts: []ssh.Signer{Signer(t, hostEC), Signer(t, hostRSA), Signer(t, Ed25519Key(t))},
		Key: PEM(t, clients[0], ""), Locked: PEM(t, clients[1], Passphrase),
	}
	s.conf = &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		for _, k := range clients {
			if c.User() == "git" && bytes.Equal(key.Marshal(), Signer(t, k).PublicKey().Marshal()) {
				return nil, nil
			}
		}
		return nil, errors.New("not yours")
	}}
	for _, h := range s.Hosts {
		s.conf.AddHostKey(h)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Addr = l.Addr().String()
	s.Known = s.Knows(s.Hosts[2].PublicKey())
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

// Knows writes a known_hosts file with these keys of the server's.
func (s *SSH) Knows(keys ...ssh.PublicKey) string {
	s.t.Helper()
	var b strings.Builder
	b.WriteString("# known\n")
	for _, k := range keys {
		b.WriteString(knownhosts.Line([]string{s.Addr}, k) + "\n")
	}
	name := filepath.Join(s.t.TempDir(), "known_hosts")
	if err := os.WriteFile(name, []byte(b.String()), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return name
}

func (s *SSH) serve(conn net.Conn) {
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

func (s *SSH) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	for r := range requests {
		var exec struct{ Command string }
		if r.Type != "exec" || ssh.Unmarshal(r.Payload, &exec) != nil {
			_ = r.Reply(false, nil)
			continue
		}
		_ = r.Reply(true, nil)
		code := s.execute(channel, exec.Command)
		if s.Hold {
			for range requests { // until the other end is gone
			}
		}
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{code}))
		return
	}
}

func (s *SSH) execute(channel ssh.Channel, command string) uint32 {
	if s.Mangle != nil {
		command = s.Mangle(command)
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
