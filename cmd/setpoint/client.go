package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// asking is the flags of the commands that ask a running service.
type asking struct {
	socket string
	config string
	output string
	wide   bool // -o wide is a form too
}

func (a *asking) flags(c *cobra.Command) {
	c.Flags().StringVar(&a.socket, "socket", os.Getenv("SETPOINT_SOCKET"), "the service's socket; SETPOINT_SOCKET sets it too")
	c.Flags().StringVarP(&a.config, "config", "c", "", "take the socket from this server configuration")
	c.Flags().StringVarP(&a.output, "output", "o", "text", a.forms())
}

func (a *asking) forms() string {
	if a.wide {
		return "text, wide or json"
	}
	return "text or json"
}

// installed is the socket of a service that runs as deploy/ installs it.
const installed = "/run/setpoint/setpoint.sock"

// where finds the socket: the flag, the configuration, the one of an installed
// service, or the default state folder under the current one.
func (a *asking) where() (string, error) {
	switch {
	case a.output != "text" && a.output != "json" && (a.output != "wide" || !a.wide):
		return "", fmt.Errorf("-o %s: %s", a.output, a.forms())
	case a.socket != "":
		return a.socket, nil
	case a.config == "":
		if _, err := os.Stat("setpoint.yaml"); err != nil {
			if _, err := os.Stat(installed); err == nil {
				return installed, nil
			}
			return filepath.Join("setpoint-state", "setpoint.sock"), nil
		}
		a.config = "setpoint.yaml"
	}
	cfg, err := loadConfig(a.config)
	if err != nil {
		return "", err
	}
	return cfg.Socket, nil
}

// ask gets path from the service into v.
func (a *asking) ask(ctx context.Context, path string, v any) error {
	return a.call(ctx, http.MethodGet, path, nil, v)
}

// tell posts body to path and reads the answer into v.
func (a *asking) tell(ctx context.Context, path string, body, v any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return a.call(ctx, http.MethodPost, path, bytes.NewReader(data), v)
}

func (a *asking) call(ctx context.Context, method, path string, body io.Reader, v any) error {
	socket, err := a.where()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://setpoint"+path, body)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if errors.Is(err, os.ErrPermission) {
		return hint(fmt.Errorf("ask the service at %s: %w", socket, cause(err)), "its own user and root may ask: sudo -u setpoint setpoint …")
	}
	if err != nil {
		return hint(fmt.Errorf("ask the service at %s: %w", socket, cause(err)), `is it running? start it with "setpoint run --config FILE", and name the same file here with --config`)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		if resp.StatusCode == http.StatusConflict { // it was understood, and refused
			return errors.New(strings.TrimSpace(string(b)))
		}
		return fmt.Errorf("the service answered %s: %s", resp.Status, strings.TrimSpace(string(b)))
	}
	return json.NewDecoder(resp.Body).Decode(v)
}

// cause drops the request's URL from an error: it names no real host here.
func cause(err error) error {
	type unwrapper interface{ Unwrap() error }
	if u, ok := err.(unwrapper); ok && u.Unwrap() != nil { //nolint:errorlint // one layer on purpose
		return u.Unwrap()
	}
	return err
}

// printJSON writes v as the stable JSON form.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
