package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/reconciler/device/sim"
)

func newSimBreak(s *simulating) *cobra.Command {
	return &cobra.Command{
		Use:   "break DEVICE JSON|FILE",
		Short: "give a simulated target faults",
		Long: `break gives a target that "setpoint sim" serves these faults in the place of those
that it has. They take effect at once, also on streams that are open. docs/sim.md
lists them, and which real systems show them.

  setpoint sim break leaf02 '{"drop": ["/system/config/hostname"]}'
  setpoint sim break leaf02 '{"secrets": "resalt", "delay": {"set": "3s"}}'`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := jsonOrFile(args[1])
			if err != nil {
				return err
			}
			f, err := sim.ParseFaults(text)
			if err != nil {
				return err
			}
			if err := s.command(c.Context(), args[0], "break", text); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", args[0], faultText(f))
			return err
		},
	}
}

func newSimMend(s *simulating) *cobra.Command {
	return &cobra.Command{
		Use:   "mend DEVICE",
		Short: "take all faults from a simulated target",
		Long: `mend takes all faults from a target that "setpoint sim" serves. What they did to
its configuration stays.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := s.command(c.Context(), args[0], "break", []byte("{}")); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "%s: no faults\n", args[0])
			return err
		},
	}
}

func newSimReboot(s *simulating) *cobra.Command {
	return &cobra.Command{
		Use:   "reboot DEVICE",
		Short: "reboot a simulated target into what it started with",
		Long: `reboot cuts all connections of a target that "setpoint sim" serves. It comes back
at once, with the configuration that it was started with. Its faults stay.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := s.command(c.Context(), args[0], "reboot", nil); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "%s: rebooted\n", args[0])
			return err
		},
	}
}

// faultText names the faults that are set.
func faultText(f sim.Faults) string {
	text, err := json.Marshal(f)
	if err != nil || string(text) == "{}" {
		return "no faults"
	}
	return string(text)
}

// jsonOrFile is the argument itself where it is a JSON object, else the file that
// it names.
func jsonOrFile(arg string) ([]byte, error) {
	if strings.HasPrefix(strings.TrimSpace(arg), "{") {
		return []byte(arg), nil
	}
	return os.ReadFile(arg)
}

// faultsOf reads --faults: the same for all targets, or by their names.
func faultsOf(arg string, names []string) (map[string]sim.Faults, error) {
	out := map[string]sim.Faults{}
	if arg == "" {
		return out, nil
	}
	text, err := jsonOrFile(arg)
	if err != nil {
		return nil, fmt.Errorf("--faults: %w", err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, fmt.Errorf("--faults: %w", err)
	}
	if !slices.ContainsFunc(slices.Collect(maps.Keys(members)), func(m string) bool { return slices.Contains(names, m) }) {
		f, err := sim.ParseFaults(text)
		if err != nil {
			return nil, hint(fmt.Errorf("--faults: %w", err), "it holds faults, or names of targets: %s", brief(names))
		}
		for _, n := range names {
			out[n] = f
		}
		return out, nil
	}
	for _, n := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(names, n) {
			return nil, hint(fmt.Errorf("--faults: no target %q", n), "there are %s", brief(names))
		}
		if out[n], err = sim.ParseFaults(members[n]); err != nil {
			return nil, fmt.Errorf("--faults: %s: %w", n, err)
		}
	}
	return out, nil
}

// brief lists the first few names.
func brief(names []string) string {
	const few = 5
	if len(names) > few {
		return strings.Join(names[:few], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

func (s *simulating) socket() string { return filepath.Join(s.dir, "admin.sock") }

// administer answers break, mend and reboot until ctx ends.
func administer(ctx context.Context, l net.Listener, targets map[string]*sim.Target) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{do}/{target}", func(w http.ResponseWriter, r *http.Request) {
		if err := order(targets, r); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
		}
	})
	return serveHTTP(ctx, l, mux)
}

// order does one request.
func order(targets map[string]*sim.Target, r *http.Request) error {
	name := r.PathValue("target")
	t := targets[name]
	if t == nil {
		return fmt.Errorf("no target %q is being served; there are %s", name, brief(slices.Sorted(maps.Keys(targets))))
	}
	switch do := r.PathValue("do"); do {
	case "break":
		text, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			return err
		}
		f, err := sim.ParseFaults(text)
		if err != nil {
			return err
		}
		return t.Break(f)
	case "reboot":
		t.Reboot()
		return nil
	default:
		return fmt.Errorf("unknown order %q", do)
	}
}

// listen opens the folder's socket, for its own user only. It replaces one that is
// there: as with targets.json, the last simulator that started in a folder has it.
func (s *simulating) listen() (net.Listener, error) {
	if err := os.Remove(s.socket()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", s.socket())
	if err != nil {
		return nil, hint(err, "a socket's path is at most 107 bytes; a shorter --dir")
	}
	if err := os.Chmod(s.socket(), 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// command sends one order to the simulator of the folder.
func (s *simulating) command(ctx context.Context, target, do string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.socket())
		},
		DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://sim/"+do+"/"+url.PathEscape(target), bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return hint(fmt.Errorf("ask the simulator at %s: %w", s.socket(), cause(err)), `is "setpoint sim" running? --dir says where its folder is, if not here`)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil || resp.StatusCode == http.StatusOK {
		return err
	}
	return errors.New(strings.TrimSpace(string(answer)))
}
