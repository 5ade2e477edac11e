package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
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
}

func newSim() *cobra.Command {
	var s simulating
	c := &cobra.Command{
		Use:   "sim --devices N",
		Short: "a fleet of simulated gNMI targets",
		Long: `sim serves N gNMI targets over TLS, on as many ports, until it is interrupted.
They start empty, validate against OpenConfig and keep nothing on disk.

It writes to FOLDER what reaching them needs: ca.pem, the certificate authority
that signed theirs, and inventory.yaml, a Device document for each, ready for a
config repo.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return s.run(c.Context(), c.OutOrStdout())
		},
	}
	c.Flags().IntVarP(&s.devices, "devices", "n", 4, "how many targets")
	c.Flags().StringVar(&s.host, "host", "127.0.0.1", "the address to serve on")
	c.Flags().IntVar(&s.port, "port", 9400, "the first target's port; 0: any free ones")
	c.Flags().StringVar(&s.dir, "dir", "sim", "the folder for ca.pem and inventory.yaml")
	c.Flags().StringVar(&s.username, "username", "admin", "who may log in")
	c.Flags().StringVar(&s.password, "password", "admin", "with which password")
	return c
}

func (s *simulating) run(ctx context.Context, out io.Writer) error {
	if s.devices < 1 {
		return fmt.Errorf("--devices %d: at least 1", s.devices)
	}
	fleet, err := s.start(ctx)
	if err != nil {
		return err
	}
	file := filepath.Join(s.dir, "inventory.yaml")
	if err := os.WriteFile(file, []byte(inventory(fleet.Addrs(), "sim")), 0o644); err != nil {
		return err
	}
	addrs := fleet.Addrs()
	fmt.Fprintf(out, "%s at %s to %s; certificate authority %s, inventory %s\n",
		count(len(addrs), "target"), addrs[0], addrs[len(addrs)-1], filepath.Join(s.dir, "ca.pem"), file)
	return fleet.Wait()
}

// start brings up the fleet, with the certificate authority of the folder so
// that a second start is trusted by who trusted the first.
func (s *simulating) start(ctx context.Context) (*sim.Fleet, error) {
	ca, err := sim.LoadOrCreate(s.dir, time.Now())
	if err != nil {
		return nil, err
	}
	tls, err := ca.ServerTLS(s.host, "localhost")
	if err != nil {
		return nil, err
	}
	return sim.StartFleet(ctx, sim.FleetConfig{
		Devices: s.devices, Host: s.host, BasePort: s.port, Name: simName,
		TLS: tls, Username: s.username, Password: s.password,
	})
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
