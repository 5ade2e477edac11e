package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// secrets names every secret that the configuration refers to.
func (c *serverConfig) secrets() map[string]secretRef {
	all := map[string]secretRef{
		"repository.token": c.Repository.Token, "repository.sshKey": c.Repository.SSHKey,
		"repository.sshPassphrase": c.Repository.SSHPassphrase, "nats.password": c.NATS.Password,
		"repository.proxy.password": c.Repository.Proxy.Password,
		"forge.token":               c.Forge.Token, "linkKey": c.LinkKey, "fingerprintKey": c.FingerprintKey, "webhook.secret": c.Webhook.Secret,
	}
	for _, a := range c.Alerts {
		all["alerts "+a.Name+": url"] = a.URL
	}
	return all
}

// files names every file that the configuration refers to, beside secrets and
// certificates of credentials.
func (c *serverConfig) files() map[string]string {
	return map[string]string{
		"repository.caFile": c.Repository.CAFile, "repository.knownHostsFile": c.Repository.KnownHostsFile,
		"nats.caFile": c.NATS.CAFile, "nats.credentialsFile": c.NATS.CredentialsFile, "forge.caFile": c.Forge.CAFile,
	}
}

// rehearse does what a start would, as far as this machine goes: it reads every
// secret and every file. It contacts nothing, writes nothing, and reports all that
// would keep the service from starting.
func (c *serverConfig) rehearse() error {
	var errs []error
	secrets, files := c.secrets(), c.files()
	for _, what := range slices.Sorted(maps.Keys(secrets)) {
		_, err := secrets[what].read(what, c.dir)
		errs = append(errs, err)
	}
	for _, what := range slices.Sorted(maps.Keys(files)) {
		if files[what] == "" {
			continue
		}
		f, err := os.Open(under(c.dir, files[what]))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
			continue
		}
		errs = append(errs, f.Close())
	}
	_, err := c.targets()
	errs = append(errs, err)
	if c.PublicURL != "" && errors.Join(errs...) == nil {
		_, err := c.linkKey()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// check is "run --check": the verdict on a configuration, without starting.
func check(w io.Writer, file string, c *serverConfig) error {
	if err := c.rehearse(); err != nil {
		return fmt.Errorf("server configuration %s: %w", file, err)
	}
	_, err := fmt.Fprintf(w, "%s: %s: every key is known, every secret and file is there\n", newTerm(w).green("ok"), file)
	return err
}
