package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/viper"

	"github.com/setpoint-net/setpoint/gitwatch"
)

// serverConfig is the service's configuration: file, then SETPOINT_* in the
// environment, then flags, the later beating the earlier. It holds no secret,
// only the names of the variables and files that do.
type serverConfig struct {
	StateDir       string              `mapstructure:"stateDir"`
	Socket         string              `mapstructure:"socket"`
	Repository     repositoryConfig    `mapstructure:"repository"`
	NATS           natsConfig          `mapstructure:"nats"`
	Credentials    []credentialConfig  `mapstructure:"credentials"`
	SecretStores   []secretStoreConfig `mapstructure:"secretStores"`
	FingerprintKey secretRef           `mapstructure:"fingerprintKey"`
	Forge          forgeConfig         `mapstructure:"forge"`
	Webhook        webhookConfig       `mapstructure:"webhook"`
	Alerts         []alertConfig       `mapstructure:"alerts"`
	PublicURL      string              `mapstructure:"publicURL"`
	Listen         string              `mapstructure:"listen"`
	LinkKey        secretRef           `mapstructure:"linkKey"`
	Workers        int                 `mapstructure:"workers"`
	Resync         time.Duration       `mapstructure:"resync"`
	Log            logConfig           `mapstructure:"log"`

	dir string // of the file: relative paths start there
}

type repositoryConfig struct {
	URL            string        `mapstructure:"url"`
	Branch         string        `mapstructure:"branch"`
	Username       string        `mapstructure:"username"`
	Token          secretRef     `mapstructure:"token"`
	CAFile         string        `mapstructure:"caFile"`
	Proxy          proxyConfig   `mapstructure:"proxy"`
	PollInterval   time.Duration `mapstructure:"pollInterval"`
	AllowForcePush bool          `mapstructure:"allowForcePush"`
	SSHKey         secretRef     `mapstructure:"sshKey"`
	SSHPassphrase  secretRef     `mapstructure:"sshPassphrase"`
	KnownHostsFile string        `mapstructure:"knownHostsFile"`
}

// proxyConfig is the HTTP proxy on the way to the repository.
type proxyConfig struct {
	URL      string    `mapstructure:"url"`
	Username string    `mapstructure:"username"`
	Password secretRef `mapstructure:"password"`
}

type natsConfig struct {
	StoreDir        string    `mapstructure:"storeDir"`
	MaxStore        string    `mapstructure:"maxStore"`
	URLs            []string  `mapstructure:"urls"`
	Username        string    `mapstructure:"username"`
	Password        secretRef `mapstructure:"password"`
	CredentialsFile string    `mapstructure:"credentialsFile"`
	CAFile          string    `mapstructure:"caFile"`
	Replicas        int       `mapstructure:"replicas"`
}

// credentialConfig is what devices name in spec.credentials. It is a list, not
// a map, because the configuration library lower-cases the keys of maps.
type credentialConfig struct {
	Name       string    `mapstructure:"name"`
	Username   string    `mapstructure:"username"`
	Password   secretRef `mapstructure:"password"`
	CAFile     string    `mapstructure:"caFile"`
	CertFile   string    `mapstructure:"certFile"`
	KeyFile    string    `mapstructure:"keyFile"`
	ServerName string    `mapstructure:"serverName"`
	Insecure   bool      `mapstructure:"insecure"` // plain text, no TLS: labs only
}

type forgeConfig struct {
	Kind       string    `mapstructure:"kind"`
	URL        string    `mapstructure:"url"`
	Repository string    `mapstructure:"repository"`
	Token      secretRef `mapstructure:"token"`
	CAFile     string    `mapstructure:"caFile"`
}

type alertConfig struct {
	Name string    `mapstructure:"name"`
	Kind string    `mapstructure:"kind"`
	URL  secretRef `mapstructure:"url"` // an incoming webhook's URL is a secret
}

type logConfig struct {
	Level  string `mapstructure:"level"`
	Format string `mapstructure:"format"`
}

// secretRef says where a secret is: in an environment variable or in a file.
type secretRef struct {
	Env  string `mapstructure:"env"`
	File string `mapstructure:"file"`
}

func (s secretRef) set() bool { return s.Env != "" || s.File != "" }

// read returns the secret, without a trailing line break. An unset reference is
// the empty string; a named source that is empty or missing is an error.
func (s secretRef) read(what, dir string) (string, error) {
	switch {
	case !s.set():
		return "", nil
	case s.Env != "" && s.File != "":
		return "", fmt.Errorf("%s: env and file are both set; keep one", what)
	case s.Env != "":
		v := os.Getenv(s.Env)
		if v == "" {
			return "", fmt.Errorf("%s: the environment variable %s is empty", what, s.Env)
		}
		return v, nil
	}
	b, err := os.ReadFile(under(dir, s.File))
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	v := strings.TrimRight(string(b), "\r\n")
	if v == "" {
		return "", fmt.Errorf("%s: the file %s is empty", what, s.File)
	}
	return v, nil
}

// under resolves a path of the configuration file relative to its folder.
func under(dir, p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(dir, p)
}

// defaults name every scalar key, which is also what lets the environment set it.
var defaults = map[string]any{
	"stateDir": "setpoint-state", "socket": "", "publicURL": "", "listen": "",
	"linkKey.env": "", "linkKey.file": "", "fingerprintKey.env": "", "fingerprintKey.file": "", "workers": 0, "resync": "10m",
	"repository.url": "", "repository.branch": "main", "repository.username": "",
	"repository.token.env": "", "repository.token.file": "", "repository.caFile": "",
	"repository.proxy.url": "", "repository.proxy.username": "", "repository.proxy.password.env": "", "repository.proxy.password.file": "",
	"repository.sshKey.env": "", "repository.sshKey.file": "", "repository.sshPassphrase.env": "", "repository.sshPassphrase.file": "", "repository.knownHostsFile": "",
	"repository.pollInterval": "60s", "repository.allowForcePush": false,
	"nats.storeDir": "", "nats.maxStore": "10GiB", "nats.urls": []string{}, "nats.username": "",
	"nats.password.env": "", "nats.password.file": "", "nats.credentialsFile": "", "nats.caFile": "", "nats.replicas": 0,
	"forge.kind": "", "forge.url": "", "forge.repository": "", "forge.token.env": "", "forge.token.file": "", "forge.caFile": "",
	"webhook.listen": "", "webhook.path": defaultWebhookPath, "webhook.kind": "", "webhook.secret.env": "", "webhook.secret.file": "",
	"log.level": "info", "log.format": "text",
}

// loadConfig reads the file, applies the environment, and checks what can be
// checked without contacting anything.
func loadConfig(file string) (*serverConfig, error) {
	v := viper.New()
	for k, d := range defaults {
		v.SetDefault(k, d)
	}
	v.SetEnvPrefix("SETPOINT")
	v.SetEnvKeyReplacer(strings.NewReplacer(".", "_"))
	v.AutomaticEnv()
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("server configuration: %w", err)
	}
	v.SetConfigType("yaml")
	if err := v.ReadConfig(bytes.NewReader(data)); err != nil {
		return nil, fmt.Errorf("server configuration %s: %w", file, err)
	}
	c := &serverConfig{}
	if err := v.UnmarshalExact(c); err != nil {
		return nil, hint(fmt.Errorf("server configuration %s: %s", file, flatten(err)), "docs/server.md lists every key")
	}
	if c.dir, err = filepath.Abs(filepath.Dir(file)); err != nil {
		return nil, err
	}
	c.StateDir = under(c.dir, c.StateDir)
	if c.Repository.isPath() {
		c.Repository.URL = under(c.dir, c.Repository.URL)
	}
	if c.Socket == "" {
		c.Socket = filepath.Join(c.StateDir, "setpoint.sock")
	}
	c.Socket = under(c.dir, c.Socket)
	if c.NATS.StoreDir == "" {
		c.NATS.StoreDir = filepath.Join(c.StateDir, "store")
	}
	c.NATS.StoreDir = under(c.dir, c.NATS.StoreDir)
	if wrong := c.check(); len(wrong) > 0 {
		return nil, fmt.Errorf("server configuration %s:\n  %s", file, strings.Join(wrong, "\n  "))
	}
	return c, nil
}

// isPath tells a path from a url and from ssh's user@host:path, as git does: in
// that, no slash stands before the first colon.
func (r repositoryConfig) isPath() bool {
	host, _, colon := strings.Cut(r.URL, ":")
	return r.URL != "" && (!colon || strings.Contains(host, "/"))
}

func (r repositoryConfig) isSSH() bool {
	return strings.HasPrefix(r.URL, "ssh://") || r.URL != "" && !r.isPath() && !strings.Contains(r.URL, "://")
}

func (c *serverConfig) checkSSH(bad func(string, ...any)) {
	r := c.Repository
	switch {
	case !r.isSSH():
		if r.SSHKey.set() || r.KnownHostsFile != "" {
			bad("repository.sshKey and knownHostsFile are for ssh://HOST/PATH and USER@HOST:PATH, not for this repository.url")
		}
		return
	case !r.SSHKey.set():
		bad("repository.sshKey needs env or file: a private key that may read the repository (ssh-keygen -t ed25519 makes one)")
	}
	if r.KnownHostsFile == "" {
		bad("repository.knownHostsFile is missing: ssh-keyscan HOST > known_hosts, and compare it with what the server's owner publishes")
	}
}

func (c *serverConfig) checkProxy(bad func(string, ...any)) {
	p := c.Repository.Proxy
	known := p.Username != "" || p.Password.set()
	switch p.URL {
	case "":
		if known {
			bad("repository.proxy.username and password need repository.proxy.url")
		}
		return
	case gitwatch.NoProxy:
		if known {
			bad("repository.proxy.username and password are for a proxy, and url says none")
		}
		return
	}
	if !strings.HasPrefix(c.Repository.URL, "https://") && !strings.HasPrefix(c.Repository.URL, "http://") {
		bad("repository.proxy is for https and http, not for this repository.url")
	}
	u, err := url.Parse(p.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		bad("repository.proxy.url is not http://HOST:PORT, https://HOST:PORT or none")
	case u.User != nil:
		bad("repository.proxy.url holds a user or password: take it out and use username and password")
	}
}

// flatten puts the decoder's list of complaints on one line.
func flatten(err error) string {
	s := err.Error()
	for _, drop := range []string{"decoding failed due to the following error(s):", "'' has invalid keys:"} {
		s = strings.Replace(s, drop, "", 1)
		if strings.HasPrefix(drop, "''") && s != err.Error() {
			s = strings.Replace(s, "'' has invalid keys:", "unknown key", 1)
		}
	}
	s = strings.ReplaceAll(s, "has invalid keys:", "has unknown keys:")
	return strings.Join(strings.Fields(s), " ")
}

// check reports every mistake of the configuration, not only the first.
func (c *serverConfig) check() []string {
	var wrong []string
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if c.Repository.URL == "" {
		bad("repository.url is missing: the config repo to watch")
	}
	c.checkSSH(bad)
	c.checkProxy(bad)
	if c.Repository.PollInterval < time.Second {
		bad("repository.pollInterval %s is under 1s", c.Repository.PollInterval)
	}
	if _, err := parseSize(c.NATS.MaxStore); err != nil {
		bad("nats.maxStore: %v", err)
	}
	seen := map[string]bool{}
	for i, cr := range c.Credentials {
		switch {
		case cr.Name == "":
			bad("credentials[%d].name is missing", i)
		case seen[cr.Name]:
			bad("credentials[%d]: the name %q is taken", i, cr.Name)
		case (cr.CertFile == "") != (cr.KeyFile == ""):
			bad("credentials %s: certFile and keyFile go together", cr.Name)
		}
		seen[cr.Name] = true
	}
	c.checkSecretStores(bad)
	c.checkForge(bad)
	c.checkWebhook(bad)
	for i, a := range c.Alerts {
		if a.Name == "" || a.Kind != "slack" || !a.URL.set() {
			bad("alerts[%d]: name, kind: slack, and url.env or url.file are needed", i)
		}
	}
	if c.PublicURL != "" {
		if u, err := url.Parse(c.PublicURL); err != nil || u.Scheme == "" || u.Host == "" {
			bad("publicURL %q is no absolute URL", c.PublicURL)
		}
		if c.Listen == "" || !c.LinkKey.set() {
			bad("publicURL needs listen (an address to serve on) and linkKey.env or linkKey.file")
		}
	}
	if _, err := c.Log.level(); err != nil {
		bad("log.level: %v", err)
	}
	if f := c.Log.Format; f != "text" && f != "json" {
		bad("log.format %q is neither text nor json", f)
	}
	return wrong
}

func (c *serverConfig) checkForge(bad func(string, ...any)) {
	f := c.Forge
	switch f.Kind {
	case "":
		if f.URL != "" || f.Repository != "" || f.Token.set() {
			bad("forge.kind is missing (github, gitea or forgejo)")
		}
	case "github", "gitea", "forgejo":
		if strings.Count(f.Repository, "/") != 1 {
			bad("forge.repository %q is not owner/name", f.Repository)
		}
		if !f.Token.set() {
			bad("forge.token needs env or file: a token that may write commit statuses")
		}
		if u, err := url.Parse(f.URL); f.Kind != "github" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "") {
			bad("forge.url %q is no absolute URL: where the %s is, as in a browser", f.URL, f.Kind)
		}
	default:
		bad("forge.kind %q is not known (github, gitea or forgejo)", f.Kind)
	}
}

func (l logConfig) level() (slog.Level, error) {
	var lv slog.Level
	err := lv.UnmarshalText([]byte(l.Level))
	return lv, err
}

// parseSize reads "512MiB", "10GiB", "2GB" or plain bytes.
func parseSize(s string) (int64, error) {
	units := []struct {
		suffix string
		factor int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1}, {"", 1}}
	for _, u := range units {
		n, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		v, err := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
		if err != nil || v <= 0 || v > (1<<62)/u.factor {
			return 0, fmt.Errorf("%q is no size such as 512MiB or 10GiB", s)
		}
		return v * u.factor, nil
	}
	return 0, fmt.Errorf("%q is no size such as 512MiB or 10GiB", s)
}

// minLinkKey is the shortest key that signs links, in bytes.
const minLinkKey = 16

func (c *serverConfig) linkKey() ([]byte, error) {
	key, err := c.LinkKey.read("linkKey", c.dir)
	if err != nil {
		return nil, err
	}
	if len(key) < minLinkKey {
		return nil, hint(fmt.Errorf("linkKey has %d bytes; at least %d are needed", len(key), minLinkKey), "openssl rand -hex 32 makes one")
	}
	return []byte(key), nil
}

// target is how devices with one credential are reached.
type target struct {
	username, password string
	tls                *tls.Config // nil: plain text
	insecure           bool
}

// targets reads every credential's secrets and certificates, so that a missing
// file is told at the start and not at the first device.
func (c *serverConfig) targets() (map[string]target, error) {
	all := map[string]target{}
	var errs []error
	for _, cr := range c.Credentials {
		t, err := cr.target(c.dir)
		if err != nil {
			errs = append(errs, err)
		}
		all[cr.Name] = t
	}
	return all, errors.Join(errs...)
}

func (cr credentialConfig) target(dir string) (target, error) {
	what := "credentials " + cr.Name
	pw, err := cr.Password.read(what+": password", dir)
	if err != nil {
		return target{}, err
	}
	t := target{username: cr.Username, password: pw, insecure: cr.Insecure}
	if cr.Insecure {
		return t, nil
	}
	t.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cr.ServerName}
	if cr.CAFile != "" {
		if t.tls.RootCAs, err = readCA(under(dir, cr.CAFile)); err != nil {
			return target{}, fmt.Errorf("%s: caFile: %w", what, err)
		}
	}
	if cr.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(under(dir, cr.CertFile), under(dir, cr.KeyFile))
		if err != nil {
			return target{}, fmt.Errorf("%s: certificate: %w", what, err)
		}
		t.tls.Certificates = []tls.Certificate{cert}
	}
	return t, nil
}

func readCA(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", file)
	}
	return pool, nil
}

func tlsWithRoots(pool *x509.CertPool) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
}
