package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// secretStoreConfig is where secret://NAME/… leads to, and which secrets of it
// the config repo may name. It is a list, not a map, because the configuration
// library lower-cases the keys of maps.
type secretStoreConfig struct {
	Name      string   `mapstructure:"name"`
	Folder    string   `mapstructure:"folder"`    // a file per secret
	EnvPrefix string   `mapstructure:"envPrefix"` // or a variable per secret
	Names     []string `mapstructure:"names"`     // that may be named; "*" stands for any letters but "/"
}

func (c *serverConfig) checkSecretStores(bad func(string, ...any)) {
	seen := map[string]bool{}
	for i, s := range c.SecretStores {
		switch {
		case s.Name == "" || strings.Contains(s.Name, "/"):
			bad("secretStores[%d].name is missing, or holds a slash", i)
		case seen[s.Name]:
			bad("secretStores[%d]: the name %q is taken", i, s.Name)
		case (s.Folder == "") == (s.EnvPrefix == ""):
			bad("secretStores %s: one of folder and envPrefix is needed", s.Name)
		case len(s.Names) == 0:
			bad(`secretStores %s: names is missing: the secrets that the config repo may name, such as bgp-* (or "*" for all)`, s.Name)
		}
		seen[s.Name] = true
		for _, pattern := range s.Names {
			if _, err := path.Match(pattern, "x"); err != nil {
				bad("secretStores %s: names: %q is no pattern", s.Name, pattern)
			}
		}
	}
}

// secret gives what secret://STORE/NAME names. It is read anew each time, so that
// a rotated secret needs no restart. Errors name the reference, never a value.
func (c *serverConfig) secret(ref string) (string, error) {
	store, name, _ := strings.Cut(ref, "/")
	at := slices.IndexFunc(c.SecretStores, func(s secretStoreConfig) bool { return s.Name == store })
	if at < 0 {
		return "", fmt.Errorf("secret://%s: the server's configuration has no secret store %q", ref, store)
	}
	s := c.SecretStores[at]
	if !slices.ContainsFunc(s.Names, func(pattern string) bool { ok, _ := path.Match(pattern, name); return ok }) || !filepath.IsLocal(name) {
		return "", fmt.Errorf("secret://%s: the store %q does not let the config repo name it", ref, store)
	}
	from := secretRef{File: filepath.Join(s.Folder, name)}
	if s.EnvPrefix != "" {
		from = secretRef{Env: s.EnvPrefix + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(name))}
	}
	return from.read("secret://"+ref, c.dir)
}

// fingerprintKey is the key that marks secrets in the store. Where none is
// configured, one is made beside the store at the first start.
func (c *serverConfig) fingerprintKey() ([]byte, error) {
	if c.FingerprintKey.set() {
		key, err := c.FingerprintKey.read("fingerprintKey", c.dir)
		if err == nil && len(key) < minLinkKey {
			err = hint(fmt.Errorf("fingerprintKey has %d bytes; at least %d are needed", len(key), minLinkKey), "openssl rand -hex 32 makes one")
		}
		return []byte(key), err
	}
	file := filepath.Join(c.StateDir, "fingerprint.key")
	key, err := os.ReadFile(file)
	switch {
	case err == nil && len(key) >= minLinkKey:
		return key, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("fingerprint key: %w", err)
	}
	raw := make([]byte, 32)
	if _, err := rand.Read(raw); err != nil {
		return nil, fmt.Errorf("fingerprint key: %w", err)
	}
	key = []byte(hex.EncodeToString(raw))
	if err := os.WriteFile(file, key, 0o600); err != nil {
		return nil, fmt.Errorf("fingerprint key: %w", err)
	}
	return key, nil
}
