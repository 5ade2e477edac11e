package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/device"
)

// reaching is the flags of the commands that speak to one target, past the
// service: credentials by name from the server's configuration, or spelled out.
type reaching struct {
	config, credentials   string
	username, passwordEnv string
	ca                    string
	insecure              bool
	origin                string
}

func (r *reaching) flags(c *cobra.Command) {
	c.Flags().StringVarP(&r.config, "config", "c", "", "server configuration that holds the credentials")
	c.Flags().StringVar(&r.credentials, "credentials", "", "which credentials of the configuration; may be left out where there is one")
	c.Flags().StringVar(&r.username, "username", "", "who logs in, without a configuration")
	c.Flags().StringVar(&r.passwordEnv, "password-env", "", "the environment variable that holds the password")
	c.Flags().StringVar(&r.ca, "ca", "", "PEM file of the authority that signed the target's certificate; default: the system's")
	c.Flags().BoolVar(&r.insecure, "insecure", false, "plain text, no TLS: labs only")
	c.Flags().StringVar(&r.origin, "origin", "", "the origin to name in every path, for targets that are silent without it (openconfig)")
}

// target makes what device.Dial needs, and the name of the credentials.
func (r *reaching) target(address string, scope *tree.Scope) (device.Target, string, error) {
	t, name, err := r.find()
	if err != nil {
		return device.Target{}, "", err
	}
	return device.Target{
		Address: withPort(address), TLS: t.tls, Insecure: t.insecure,
		Username: t.username, Password: t.password, Profile: models.Profile{Origin: r.origin}, Scope: scope, Schema: tree.OpenConfig(),
	}, name, nil
}

func (r *reaching) find() (target, string, error) {
	if r.config == "" {
		cr := credentialConfig{Name: cmp.Or(r.credentials, "default"), Username: r.username, CAFile: r.ca, Insecure: r.insecure}
		cr.Password.Env = r.passwordEnv
		t, err := cr.target("")
		return t, cr.Name, err
	}
	if r.username != "" || r.passwordEnv != "" || r.ca != "" || r.insecure {
		return target{}, "", hint(errors.New("--config brings the credentials with it"), "leave out --config, or --username, --password-env, --ca and --insecure")
	}
	cfg, err := loadConfig(r.config)
	if err != nil {
		return target{}, "", err
	}
	var names []string
	for _, cr := range cfg.Credentials {
		names = append(names, cr.Name)
		if cr.Name == r.credentials || r.credentials == "" && len(cfg.Credentials) == 1 {
			t, err := cr.target(cfg.dir)
			return t, cr.Name, err
		}
	}
	known := "name one with --credentials: " + strings.Join(names, ", ")
	if r.credentials == "" {
		return target{}, "", hint(fmt.Errorf("%s holds %s", r.config, count(len(names), "credential")), "%s", known)
	}
	return target{}, "", hint(fmt.Errorf("credentials %q: %w", r.credentials, errNoCredentials), "%s", known)
}

// withPort adds gNMI's own port to an address that has none.
func withPort(address string) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), "9339")
}

// dialTarget opens a session, with a hint at what is usually wrong.
func dialTarget(ctx context.Context, t device.Target) (*device.Session, error) {
	s, err := device.Dial(ctx, t)
	switch {
	case errors.Is(err, device.ErrUnauthenticated):
		return nil, hint(err, "--username, --password-env and --ca say who logs in and which authority to trust; --insecure is plain text")
	case errors.Is(err, device.ErrUnreachable):
		return nil, hint(err, "is the address right, is gNMI enabled there, and does it speak TLS? (--insecure is plain text)")
	}
	return s, err
}
