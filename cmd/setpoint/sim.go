package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/reconciler/device/sim"
)

// simulating is the flags of setpoint sim.
type simulating struct {
	devices            int
	host, dir          string
	port               int
	username, password string
	initial, faults    string
}

func newSim() *cobra.Command {
	var s simulating
	c := &cobra.Command{
		Use:   "sim [DIR]",
		Short: "simulated gNMI targets",
		Long: `sim serves gNMI targets over TLS until it is interrupted. They validate against
OpenConfig, start empty and keep nothing on disk.

  setpoint sim net            one for each device of the config repo "net" that has
                              an address of this machine (127.0.0.1:9401)
  setpoint sim --devices 100  as many, on ports from --port on

It writes to the folder --dir what reaching them needs: ca.pem, the certificate
authority that signed theirs; targets.json, their addresses by name; and with
--devices inventory.yaml, a Device document for each, ready for a config repo.

A target behaves as the gNMI specification says, until it is given faults: by
--faults from the start, by "break" while it runs. docs/sim.md lists them.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var repo string
			if len(args) > 0 {
				repo = args[0]
				if c.Flags().Changed("devices") || c.Flags().Changed("port") {
					return hint(fmt.Errorf("the devices of %s have their own number and ports", repo), "leave out --devices and --port, or the folder")
				}
			}
			return s.run(c.Context(), repo, c.OutOrStdout())
		},
	}
	c.Flags().IntVarP(&s.devices, "devices", "n", 4, "how many targets")
	c.Flags().StringVar(&s.host, "host", "127.0.0.1", "the address to serve on")
	c.Flags().IntVar(&s.port, "port", 9400, "the first target's port; 0: any free ones")
	c.PersistentFlags().StringVar(&s.dir, "dir", "sim", "the folder for ca.pem, targets.json and inventory.yaml")
	c.PersistentFlags().StringVar(&s.username, "username", "admin", "who may log in")
	c.PersistentFlags().StringVar(&s.password, "password", "admin", "with which password")
	c.Flags().StringVar(&s.initial, "initial", "", `what each target runs at the start: a file as "setpoint render" prints it`)
	c.Flags().StringVar(&s.faults, "faults", "", "what the targets do wrong: JSON or a file of it, for all or by name (docs/sim.md)")
	c.AddCommand(newSimSet(&s), newSimBreak(&s), newSimMend(&s), newSimReboot(&s))
	return c
}

func (s *simulating) run(ctx context.Context, repo string, out io.Writer) error {
	fleet, err := s.begin(ctx, repo, out)
	if err != nil {
		return err
	}
	return errors.Join(s.attend(ctx, fleet, out), fleet.Wait())
}

// attend takes orders for the targets until ctx ends. Without a socket they are
// served all the same.
func (s *simulating) attend(ctx context.Context, fleet *sim.Fleet, out io.Writer) error {
	l, err := s.listen()
	if err != nil {
		_, err = fmt.Fprintf(out, "no break, mend and reboot: %v\n", err)
		return err
	}
	return administer(ctx, l, named(fleet))
}

func named(fleet *sim.Fleet) map[string]*sim.Target {
	targets := map[string]*sim.Target{}
	for _, t := range fleet.Targets() {
		targets[t.Name()] = t
	}
	return targets
}

// begin brings the targets up and says where they are.
func (s *simulating) begin(ctx context.Context, repo string, out io.Writer) (*sim.Fleet, error) {
	place := s.numbered()
	if repo != "" {
		var err error
		if place, err = placed(ctx, repo); err != nil {
			return nil, err
		}
	} else if s.devices < 1 {
		return nil, fmt.Errorf("--devices %d: at least 1", s.devices)
	}
	fleet, err := s.start(ctx, place)
	if err != nil {
		return nil, err
	}
	addrs := fleet.Addrs()
	if repo == "" {
		file := filepath.Join(s.dir, "inventory.yaml")
		if err := os.WriteFile(file, []byte(inventory(addrs, "sim")), 0o644); err != nil {
			return nil, err
		}
	}
	authority := filepath.Join(s.dir, "ca.pem")
	if repo == "" {
		where := addrs[0]
		if len(addrs) > 1 {
			where += " to " + addrs[len(addrs)-1]
		}
		_, err = fmt.Fprintf(out, "%s at %s; certificate authority %s\n", count(len(addrs), "target"), where, authority)
		return fleet, err
	}
	fmt.Fprintf(out, "%s; certificate authority %s\n", count(len(addrs), "target"), authority)
	for i, name := range place.names {
		fmt.Fprintf(out, "  %s at %s\n", name, addrs[i])
	}
	for _, other := range place.elsewhere {
		fmt.Fprintf(out, "  not simulated, because it is elsewhere: %s\n", other)
	}
	return fleet, nil
}

// placement is which targets are served, and where.
type placement struct {
	names     []string
	addrs     []string // host:port, port 0 for any that is free
	elsewhere []string // devices of the repo at addresses that are not this machine's
}

// numbered places --devices targets on ports of their own.
func (s *simulating) numbered() placement {
	var p placement
	for i := range s.devices {
		port := 0
		if s.port > 0 {
			port = s.port + i
		}
		p.names = append(p.names, simName(i))
		p.addrs = append(p.addrs, net.JoinHostPort(s.host, fmt.Sprint(port)))
	}
	return p
}

// placed places a target for each device of a config repo that has a loopback
// address: no other is certain to be this machine's and of no real device.
func placed(ctx context.Context, repo string) (placement, error) {
	var p placement
	r, err := renderFrom(ctx, repo, "")
	if err != nil {
		return p, err
	}
	if len(r.Mistakes) > 0 {
		return p, hint(fmt.Errorf("%s has %s", repo, count(len(r.Mistakes), "mistake")), "run: setpoint validate %s", repo)
	}
	for _, d := range r.Devices {
		if !onLoopback(d.Address) {
			p.elsewhere = append(p.elsewhere, fmt.Sprintf("%s at %s", d.Name, d.Address))
			continue
		}
		p.names, p.addrs = append(p.names, string(d.Name)), append(p.addrs, withPort(d.Address))
	}
	if len(p.names) == 0 {
		return p, hint(fmt.Errorf("no device of %s has an address of this machine", repo), "an address such as 127.0.0.1:9401 is simulated")
	}
	return p, nil
}

func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(withPort(address))
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// start serves the targets, with the certificate authority of the folder so that
// a second start is trusted by who trusted the first, and notes their addresses.
func (s *simulating) start(ctx context.Context, p placement) (*sim.Fleet, error) {
	config, err := s.certificate(p)
	if err != nil {
		return nil, err
	}
	var initial []byte
	if s.initial != "" {
		if initial, err = os.ReadFile(s.initial); err != nil {
			return nil, fmt.Errorf("initial configuration: %w", err)
		}
	}
	faults, err := faultsOf(s.faults, p.names)
	if err != nil {
		return nil, err
	}
	fleet, err := sim.StartFleet(ctx, sim.FleetConfig{
		Faults:  func(i int) sim.Faults { return faults[p.names[i]] },
		Devices: len(p.names), Name: func(i int) string { return p.names[i] }, Addr: func(i int) string { return p.addrs[i] },
		Initial: func(int) []byte { return initial }, TLS: config, Username: s.username, Password: s.password,
	})
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, hint(err, "does another fabric run there? --port, or the address in the config repo, chooses another")
	}
	if err != nil {
		return nil, err
	}
	return fleet, s.note(p.names, fleet.Addrs())
}

// certificate is good for every host that is served.
func (s *simulating) certificate(p placement) (*tls.Config, error) {
	ca, err := sim.LoadOrCreate(s.dir, time.Now())
	if err != nil {
		return nil, err
	}
	hosts := []string{"localhost"}
	for _, a := range p.addrs {
		if host, _, err := net.SplitHostPort(a); err == nil && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return ca.ServerTLS(hosts...)
}

// note writes the targets' addresses for those who know them by name.
func (s *simulating) note(names, addrs []string) error {
	all := map[string]string{}
	for i, n := range names {
		all[n] = addrs[i]
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(s.notes(), append(text, '\n'), 0o644)
}

func (s *simulating) notes() string { return filepath.Join(s.dir, "targets.json") }

// find is the address of a target that is served, by its name; an address is its
// own.
func (s *simulating) find(name string) (string, error) {
	if strings.Contains(name, ":") {
		return name, nil
	}
	text, err := os.ReadFile(s.notes())
	if err != nil {
		return "", hint(err, `"setpoint sim" writes it; --dir says where, if not here`)
	}
	var all map[string]string
	if err := json.Unmarshal(text, &all); err != nil {
		return "", fmt.Errorf("%s: %w", s.notes(), err)
	}
	if addr, ok := all[name]; ok {
		return addr, nil
	}
	return "", fmt.Errorf("no target %q in %s", name, s.notes())
}

// simName is the name of the i-th target, counted from 0.
func simName(i int) string { return fmt.Sprintf("leaf%02d", i+1) }

// inventory writes a Device document for each address.
func inventory(addrs []string, credentials string) string {
	var b strings.Builder
	for i, a := range addrs {
		if i > 0 {
			b.WriteString("---\n")
		}
		fmt.Fprintf(&b, `apiVersion: setpoint/v1
kind: Device
metadata: {name: %s, labels: {role: leaf}}
spec:
  address: %s
  credentials: %s
  adopt: auto
  vars: {index: %d}
`, simName(i), a, credentials, i+1)
	}
	return b.String()
}
