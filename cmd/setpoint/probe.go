package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/device"
)

// probing is the flags of setpoint probe.
type probing struct {
	reaching
	output string
}

func newProbe() *cobra.Command {
	var p probing
	c := &cobra.Command{
		Use:   "probe ADDRESS [PATH...]",
		Short: "what a target can do: read probes only",
		Long: `probe connects to a target, asks for its capabilities, reads each top container
(or those of the PATHs), and tries whether it streams changes. It never writes.

It exits with 0 when the target could be read, with 2 when not.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if p.output != "text" && p.output != "json" {
				return fmt.Errorf("-o %s: text or json", p.output)
			}
			a, err := p.run(c.Context(), args[0], args[1:])
			if err != nil {
				return err
			}
			if err := a.write(c.OutOrStdout(), p.output); err != nil {
				return err
			}
			return a.verdict()
		},
	}
	p.flags(c)
	c.Flags().StringVarP(&p.output, "output", "o", "text", "text or json")
	return c
}

// probeAnswer is what was found out. Its JSON form is stable.
type probeAnswer struct {
	Address      string           `json:"address"`
	TLS          *tlsAnswer       `json:"tls,omitempty"` // nil: plain text
	GNMI         string           `json:"gnmi,omitempty"`
	Encodings    []string         `json:"encodings,omitempty"`
	Models       int              `json:"models"`
	OpenConfig   int              `json:"openconfigModels"`
	Capabilities string           `json:"capabilitiesError,omitempty"`
	Watch        string           `json:"watch,omitempty"` // on-change or sample
	WatchError   string           `json:"watchError,omitempty"`
	Containers   []containerProbe `json:"containers"`
}

type tlsAnswer struct {
	Version string    `json:"version"`
	Cipher  string    `json:"cipher"`
	Subject string    `json:"subject"`
	Issuer  string    `json:"issuer"`
	Until   time.Time `json:"until"`
}

type containerProbe struct {
	Name    string  `json:"name"`
	Read    string  `json:"read,omitempty"` // get-config, get-all or once
	Leaves  int     `json:"leaves"`
	Bytes   int     `json:"bytes"`
	Millis  float64 `json:"ms"`
	Unknown int     `json:"unknown"` // answered, and not in the schema
	Error   string  `json:"error,omitempty"`
}

// streamTrial is how long a target may take to begin a stream of changes.
const streamTrial = 5 * time.Second

func (p *probing) run(ctx context.Context, address string, paths []string) (*probeAnswer, error) {
	if len(paths) == 0 {
		paths = []string{"/"}
	}
	scope, err := tree.NewScope(tree.OpenConfig(), paths)
	if err != nil {
		return nil, err
	}
	t, _, err := p.target(address, scope)
	if err != nil {
		return nil, err
	}
	s, err := dialTarget(ctx, t)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	a := &probeAnswer{Address: t.Address, Containers: []containerProbe{}}
	peer, err := t.Peer(ctx)
	if err != nil {
		return nil, err
	}
	a.TLS = tlsOf(peer)
	a.capabilities(s.Abilities(ctx))
	containers, err := s.Survey(ctx)
	if err != nil {
		return nil, err
	}
	readable := a.contain(containers)
	if len(readable) > 0 {
		if t.Scope, err = tree.NewScope(tree.OpenConfig(), readable); err != nil {
			return nil, err
		}
		a.stream(ctx, t)
	}
	return a, nil
}

func tlsOf(peer *tls.ConnectionState) *tlsAnswer {
	if peer == nil || len(peer.PeerCertificates) == 0 {
		return nil
	}
	c := peer.PeerCertificates[0]
	subject := cmp.Or(c.Subject.CommonName, strings.Join(c.DNSNames, " "))
	for _, ip := range c.IPAddresses {
		if subject == "" {
			subject = ip.String()
		}
	}
	return &tlsAnswer{
		Version: tls.VersionName(peer.Version), Cipher: tls.CipherSuiteName(peer.CipherSuite),
		Subject: subject, Issuer: c.Issuer.CommonName, Until: c.NotAfter.UTC(),
	}
}

func (a *probeAnswer) capabilities(c device.Abilities, err error) {
	if err != nil {
		a.Capabilities = err.Error()
		return
	}
	a.GNMI, a.Encodings, a.Models = c.Version, c.Encodings, len(c.Models)
	for _, m := range c.Models {
		if strings.HasPrefix(m.Name, "openconfig-") {
			a.OpenConfig++
		}
	}
}

// contain notes what each container's read gave, and returns the paths of those
// that could be read.
func (a *probeAnswer) contain(all []device.Container) (readable []string) {
	for _, c := range all {
		p := containerProbe{
			Name: c.Name, Read: c.Rung, Leaves: c.Leaves, Bytes: c.Bytes, Unknown: len(c.Unknown),
			Millis: float64(c.Took.Microseconds()) / 1000,
		}
		if c.Err != nil {
			p.Error = c.Err.Error()
		} else {
			readable = append(readable, "/"+c.Name)
		}
		a.Containers = append(a.Containers, p)
	}
	return readable
}

// stream tries a stream of changes on a session of its own.
func (a *probeAnswer) stream(ctx context.Context, t device.Target) {
	ctx, cancel := context.WithTimeout(ctx, streamTrial)
	defer cancel()
	s, err := device.Dial(ctx, t)
	if err == nil {
		a.Watch, err = s.Streams(ctx)
		err = errors.Join(err, s.Close())
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		a.WatchError = fmt.Sprintf("no sync within %v", streamTrial)
	case err != nil:
		a.WatchError = err.Error()
	}
}

// verdict is an error for a target of which nothing could be read.
func (a *probeAnswer) verdict() error {
	for _, c := range a.Containers {
		if c.Error == "" {
			return nil
		}
	}
	return errors.New("nothing could be read from the target")
}

func (a *probeAnswer) write(w io.Writer, output string) error {
	if output == "json" {
		return printJSON(w, a)
	}
	t := newTerm(w)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s %s\n", t.dim(fmt.Sprintf("%-10s", name)), fmt.Sprintf(format, args...))
	}
	row("target", "%s", a.Address)
	if a.TLS == nil {
		row("tls", "%s", t.yellow("none: plain text"))
	} else {
		row("tls", "%s, %s", a.TLS.Version, a.TLS.Cipher)
		row("signed", "for %s by %s, until %s", a.TLS.Subject, a.TLS.Issuer, a.TLS.Until.Format(time.DateOnly))
	}
	if a.Capabilities != "" {
		row("gnmi", "%s", t.yellow("no capabilities: "+a.Capabilities))
	} else {
		row("gnmi", "%s", a.GNMI)
		row("encodings", "%s", strings.Join(a.Encodings, ", "))
		row("models", "%d, %d of them OpenConfig's", a.Models, a.OpenConfig)
	}
	if a.WatchError != "" {
		row("watch", "%s", t.yellow("no stream of changes: "+a.WatchError))
	} else if a.Watch != "" {
		row("watch", "%s", a.Watch)
	}
	fmt.Fprintln(w)
	return a.table(w, t)
}

func (a *probeAnswer) table(w io.Writer, t term) error {
	rows := [][]string{{"CONTAINER", "READ", "LEAVES", "BYTES", "MS", "UNKNOWN", "WHY"}}
	for _, c := range a.Containers {
		rows = append(rows, []string{
			"/" + c.Name, cmp.Or(c.Read, "no"), fmt.Sprint(c.Leaves), fmt.Sprint(c.Bytes),
			fmt.Sprintf("%.1f", c.Millis), fmt.Sprint(c.Unknown), c.Error,
		})
	}
	return columns(w, rows, func(row, col int, cell string) string {
		switch {
		case row == 0:
			return t.dim(cell)
		case col == 1 && cell == "no":
			return t.red(cell)
		case col == 1:
			return t.green(cell)
		}
		return cell
	})
}
