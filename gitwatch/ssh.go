package gitwatch

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// SSH is how a server behind ssh is reached: with this key, and only if the server
// shows a host key that is known. Nothing else is asked: no agent, no
// ~/.ssh/config, no password. Certificates (@cert-authority) are not used.
type SSH struct {
	Key        []byte // a private key, PEM; appears in no error
	Passphrase string // of the key; "" for none
	KnownHosts string // path of a known_hosts file, read anew at each look
}

const (
	sshUser      = "git"
	sshPort      = 22
	sshDial      = 30 * time.Second
	sshErrorText = 4 << 10 // bytes of what the server says is wrong
	sshLastWords = 5 * time.Second
)

// sshWay is a checked SSH on the way to one repository.
type sshWay struct {
	user, addr, path string
	signer           ssh.Signer
	known            string
}

// sshWay checks what can be checked without contacting the server.
func (w *Watcher) sshWay(ep *transport.Endpoint) (*sshWay, error) {
	if ep.Password != "" {
		return nil, errors.New("the ssh url holds a password: take it out, ssh is used with a key")
	}
	port := ep.Port
	if port <= 0 {
		port = sshPort
	}
	way := &sshWay{
		addr: net.JoinHostPort(strings.Trim(ep.Host, "[]"), strconv.Itoa(port)),
		path: ep.Path, known: w.SSH.KnownHosts, user: ep.User,
	}
	if strings.HasPrefix(way.path, "/~") { // a home, as git has it
		way.path = way.path[1:]
	}
	if w.Username != "" {
		way.user = w.Username
	}
	if way.user == "" {
		way.user = sshUser
	}
	var err error
	if way.signer, err = w.SSH.signer(); err != nil {
		return nil, err
	}
	if way.known == "" {
		return nil, fmt.Errorf("ssh needs a known_hosts file with the server's host key: %s > known_hosts, and compare it with what the server's owner publishes", way.scan())
	}
	if _, err := knownhosts.New(way.known); err != nil {
		return nil, fmt.Errorf("known_hosts file: %w", err)
	}
	return way, nil
}

func (s SSH) signer() (ssh.Signer, error) {
	if len(s.Key) == 0 {
		return nil, errors.New("ssh needs a private key that may read the repository: ssh-keygen -t ed25519 makes one")
	}
	signer, err := ssh.ParsePrivateKey(append(bytes.TrimSpace(s.Key), '\n'))
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) && s.Passphrase != "" {
		signer, err = ssh.ParsePrivateKeyWithPassphrase(append(bytes.TrimSpace(s.Key), '\n'), []byte(s.Passphrase))
	}
	switch {
	case errors.As(err, &locked):
		return nil, errors.New("the ssh key is locked: give its passphrase")
	case errors.Is(err, x509.IncorrectPasswordError):
		return nil, errors.New("the passphrase does not unlock the ssh key")
	case err != nil: // its text is left out: it may hold a piece of the key
		return nil, errors.New("the ssh key is not a private key in OpenSSH's or PEM form")
	}
	return signer, nil
}

// scan is the command that fetches the server's host keys.
func (y *sshWay) scan() string {
	host, port, err := net.SplitHostPort(y.addr)
	if err != nil || port == strconv.Itoa(sshPort) {
		return "ssh-keyscan " + host
	}
	return "ssh-keyscan -p " + port + " " + host
}

// begin connects and starts upload-pack. Everything until the session's close
// ends with ctx.
func (y *sshWay) begin(ctx context.Context) (*sshSession, error) {
	known, err := knownhosts.New(y.known)
	if err != nil {
		return nil, &problem{fmt.Errorf("known_hosts file: %w", err), "mend the file, or give another"}
	}
	conn, err := (&net.Dialer{Timeout: sshDial}).DialContext(ctx, "tcp", y.addr)
	if err != nil {
		return nil, err
	}
	s := &sshSession{late: ctx.Err, stop: context.AfterFunc(ctx, func() { _ = conn.Close() })}
	c, channels, requests, err := ssh.NewClientConn(conn, y.addr, &ssh.ClientConfig{
		User: y.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(y.signer)},
		HostKeyCallback: y.check(known), HostKeyAlgorithms: y.algorithms(known),
	})
	if err != nil {
		_ = conn.Close()
		return nil, s.end(y.explain(err))
	}
	s.client = ssh.NewClient(c, channels, requests)
	if err := s.start("git-upload-pack " + quoted(y.path)); err != nil {
		_ = s.client.Close()
		return nil, s.end(err)
	}
	return s, nil
}

// check holds the server's key to known_hosts and says what to do otherwise.
func (y *sshWay) check(known ssh.HostKeyCallback) ssh.HostKeyCallback {
	return func(host string, at net.Addr, key ssh.PublicKey) error {
		err := known(host, at, key)
		var other *knownhosts.KeyError
		var revoked *knownhosts.RevokedError
		shown := key.Type() + " " + ssh.FingerprintSHA256(key)
		switch {
		case errors.As(err, &revoked):
			return &problem{fmt.Errorf("the server's host key %s is revoked in %s", shown, y.known), "ask the server's owner"}
		case !errors.As(err, &other):
			return err
		case len(other.Want) == 0:
			return &problem{
				fmt.Errorf("the server's host key %s is not in %s", shown, y.known),
				fmt.Sprintf("compare it with what the server's owner publishes, then: %s >> %s", y.scan(), y.known),
			}
		}
		return &problem{
			fmt.Errorf("the server's host key %s is not the one known: somebody may stand in between", shown),
			fmt.Sprintf("ask the server's owner whether the key was changed; the known one is line %d of %s", other.Want[0].Line, other.Want[0].Filename),
		}
	}
}

// algorithms asks the server for a host key of a kind that is known; it would
// otherwise show the kind that both like best. None known: any.
func (y *sshWay) algorithms(known ssh.HostKeyCallback) []string {
	var other *knownhosts.KeyError
	// A key that nobody has: the refusal names those that would do.
	if err := known(y.addr, &net.TCPAddr{IP: net.IPv4zero, Port: sshPort}, nobody{}); !errors.As(err, &other) {
		return nil
	}
	var all []string
	for _, want := range other.Want {
		kind := want.Key.Type()
		if kind == ssh.KeyAlgoRSA { // with SHA-1, which is refused
			all = append(all, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
			continue
		}
		all = append(all, kind)
	}
	return all
}

// nobody is a public key that is in no file.
type nobody struct{}

func (nobody) Type() string                        { return "nobody" }
func (nobody) Marshal() []byte                     { return []byte("nobody") }
func (nobody) Verify([]byte, *ssh.Signature) error { return errors.New("nobody's key") }

// explain knows a refused key from a broken conversation.
func (y *sshWay) explain(err error) error {
	if strings.Contains(err.Error(), "unable to authenticate") {
		public := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(y.signer.PublicKey())))
		return &problem{fmt.Errorf("the server refuses the ssh key of user %s", y.user), "give this key read access to the repository: " + public}
	}
	return err
}

// sshSession is upload-pack over one ssh connection (git's pack protocol,
// gitprotocol-pack(5), "SSH Transport"). go-git has one too, but it reads
// ~/.ssh/config, and a server that goes silent in the handshake holds it for ever.
type sshSession struct {
	late   func() error // whether begin's context has ended
	stop   func() bool
	client *ssh.Client
	run    *ssh.Session
	in     io.WriteCloser
	out    io.Reader
	said   saying
	has    *packp.AdvRefs
	asked  bool
}

// end prefers the deadline to what it broke.
func (s *sshSession) end(err error) error {
	if late := s.late(); late != nil {
		err = late
	}
	s.stop()
	return err
}

func (s *sshSession) start(command string) (err error) {
	if s.run, err = s.client.NewSession(); err != nil {
		return err
	}
	s.run.Stderr = &s.said
	if s.in, err = s.run.StdinPipe(); err != nil {
		return err
	}
	if s.out, err = s.run.StdoutPipe(); err != nil {
		return err
	}
	return s.run.Start(command)
}

// AdvertisedReferences is part of transport.UploadPackSession.
func (s *sshSession) AdvertisedReferences() (*packp.AdvRefs, error) {
	return s.AdvertisedReferencesContext(context.Background())
}

// AdvertisedReferencesContext reads what the server has. The context of begin
// bounds it.
func (s *sshSession) AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error) {
	if s.has != nil {
		return s.has, nil
	}
	has := packp.NewAdvRefs()
	err := has.Decode(incoming{s})
	switch {
	case errors.Is(err, packp.ErrEmptyAdvRefs), err == nil && has.IsEmpty():
		return nil, transport.ErrEmptyRemoteRepository
	case err != nil:
		return nil, s.refused(err)
	}
	transport.FilterUnsupportedCapabilities(has.Capabilities)
	s.has = has
	return has, nil
}

// UploadPack asks for a pack. The context of begin bounds it.
func (s *sshSession) UploadPack(_ context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	if err := req.Validate(); err != nil {
		return nil, err
	}
	s.asked = true
	if err := s.ask(req); err != nil {
		return nil, s.refused(err)
	}
	res := packp.NewUploadPackResponse(req)
	if err := res.Decode(io.NopCloser(incoming{s})); err != nil {
		return nil, s.refused(err)
	}
	return res, nil
}

func (s *sshSession) ask(req *packp.UploadPackRequest) error {
	if err := req.UploadRequest.Encode(s.in); err != nil {
		return err
	}
	if err := req.UploadHaves.Encode(s.in, true); err != nil {
		return err
	}
	if err := pktline.NewEncoder(s.in).EncodeString("done\n"); err != nil {
		return err
	}
	return s.in.Close()
}

// refused gives what the server said on the way out, rather than that it left.
func (s *sshSession) refused(err error) error {
	if late := s.late(); late != nil {
		return late
	}
	_ = s.in.Close()
	t := time.AfterFunc(sshLastWords, func() { _ = s.client.Close() })
	_ = s.run.Wait() // for the rest of what it says
	t.Stop()
	if late := s.late(); late != nil {
		return late
	}
	said := s.said.line()
	for _, gone := range []string{"not found", "does not exist", "does not appear to be a git repository", "could not be found", "cannot find repository"} {
		if strings.Contains(strings.ToLower(said), gone) {
			return transport.ErrRepositoryNotFound
		}
	}
	if said != "" {
		return fmt.Errorf("the server says: %s", said)
	}
	return err
}

// incoming is what the server sends; its end says so when begin's context was it.
type incoming struct{ s *sshSession }

func (i incoming) Read(p []byte) (int, error) {
	n, err := i.s.out.Read(p)
	if late := i.s.late(); err != nil && late != nil {
		err = late
	}
	return n, err
}

// Close takes leave as the protocol has it, and ends the connection.
func (s *sshSession) Close() error {
	defer s.stop()
	if !s.asked {
		_, _ = s.in.Write(pktline.FlushPkt)
	}
	_ = s.run.Close()
	return s.client.Close()
}

// saying keeps the beginning of what a server writes to its standard error.
type saying struct {
	mu   sync.Mutex
	text []byte
}

func (s *saying) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, p[:min(len(p), sshErrorText-len(s.text))]...)
	return len(p), nil
}

func (s *saying) line() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(strings.Fields(strings.ToValidUTF8(string(s.text), "")), " ")
}

// quoted is one word for the shell at the other end, as git quotes it.
func quoted(path string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(path) + "'"
}
