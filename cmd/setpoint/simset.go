package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/device"
	"github.com/setpoint-net/setpoint/reconciler/plan"
)

func newSimSet(s *simulating) *cobra.Command {
	return &cobra.Command{
		Use:   "set DEVICE PATH VALUE",
		Short: "change one leaf of a simulated target",
		Long: `set changes one leaf of a target that "setpoint sim" serves, as any other gNMI
client could: to see what a service that manages it makes of that.

  setpoint sim set leaf02 '/interfaces/interface[name=Ethernet1]/config/mtu' 1500

The leaf is read back: with faults a target may say OK and keep something else.

DEVICE is a name, or an address with its port. Only the certificate authority of
the folder --dir is trusted, so that no other device can be reached.

It exits with 0 when the target has the value, 1 when it took it and has another,
2 when it refused or could not be asked.`,
		Args: cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			return s.set(c.Context(), c.OutOrStdout(), args[0], args[1], args[2])
		},
	}
}

// set writes one leaf through a session of its own, and says what it was before and
// is now; errNo when that is not what was set.
func (s *simulating) set(ctx context.Context, out io.Writer, name, path, text string) error {
	p, leaf, err := leafOf(path, text)
	if err != nil {
		return err
	}
	address, err := s.find(name)
	if err != nil {
		return err
	}
	scope, err := tree.NewScope(tree.OpenConfig(), []string{p.String()})
	if err != nil {
		return err
	}
	t, err := credentialConfig{Name: "sim", Username: s.username, CAFile: filepath.Join(s.dir, "ca.pem")}.target("")
	if err != nil {
		return err
	}
	session, err := device.Dial(ctx, device.Target{
		Address: address, TLS: t.tls, Username: s.username, Password: s.password, Scope: scope, Schema: tree.OpenConfig(),
	})
	if err != nil {
		return hint(err, "is it a target of the folder %s, and is it being served?", s.dir)
	}
	defer session.Close()
	running, err := session.Running(ctx)
	if err != nil {
		return err
	}
	if err := session.Apply(ctx, &plan.Plan{Updates: []plan.Value{{Path: p, Node: leaf}}}); err != nil {
		return err
	}
	now, err := session.Running(ctx)
	if err != nil {
		return fmt.Errorf("the target took the Set, reading it back: %w", err)
	}
	return writeSet(out, name, scope, p, leaf, running, now)
}

// writeSet says what a leaf was before a Set and is now that the target took it.
func writeSet(out io.Writer, name string, scope *tree.Scope, p tree.Path, leaf *tree.Value, before, now *tree.Tree) error {
	shown := func(t *tree.Tree) string {
		if v := t.Lookup(p); v != nil {
			return v.Text()
		}
		return "(nothing)"
	}
	was, is, set := shown(before), shown(now), leaf.Text()
	label := name + ": " + p[len(p)-1].Name
	switch {
	case has(now, scope, p, leaf):
		_, err := fmt.Fprintf(out, "%s %s → %s\n", label, was, set)
		return err
	case was == is:
		fmt.Fprintf(out, "%s stays %s: the target said OK to %s\n", label, is, set)
	default:
		fmt.Fprintf(out, "%s %s → %s: the target said OK to %s\n", label, was, is, set)
	}
	return errNo
}

// has says whether a target that shows t has a leaf's value: in whatever form, or as
// a default that it does not show.
func has(t *tree.Tree, scope *tree.Scope, p tree.Path, leaf *tree.Value) bool {
	if t.Lookup(p) == nil {
		return leaf.Literal() == leaf.Schema.DefaultLiteral()
	}
	return plan.DiffScoped(scope, t, tree.Empty(tree.OpenConfig()).ReplaceAt(p, leaf)).Empty()
}

// leafOf reads a leaf's path and its value as people write it.
func leafOf(path, text string) (tree.Path, *tree.Value, error) {
	p, err := tree.ParsePath(path)
	if err != nil {
		return nil, nil, err
	}
	p, n, err := tree.OpenConfig().Resolve(p)
	if err != nil {
		return nil, nil, err
	}
	if n.Kind != tree.Leaf && n.Kind != tree.LeafList {
		return nil, nil, fmt.Errorf("%s is no leaf", p)
	}
	for _, e := range p {
		for _, k := range e.Keys {
			if k.Value == "*" {
				return nil, nil, fmt.Errorf("%s: [%s=*] is many; name one", p, k.Name)
			}
		}
	}
	t, err := tree.Parse(tree.OpenConfig(), documentOf(p, text))
	if err != nil {
		return nil, nil, err
	}
	v := t.Lookup(p)
	if v == nil {
		return nil, nil, fmt.Errorf("%s: %q makes no value", p, text)
	}
	return p, v, nil
}

// documentOf is the RFC 7951 JSON that holds one leaf and what leads to it.
func documentOf(p tree.Path, text string) []byte {
	type object = map[string]any
	root := object{}
	at, n := root, tree.OpenConfig().Root
	for i, e := range p {
		n = n.Child(e.Name)
		name := n.Module + ":" + n.Name
		switch {
		case i == len(p)-1:
			at[name] = literal(n, text)
		case n.Kind == tree.List:
			entry := object{}
			for _, k := range e.Keys {
				entry[k.Name] = literal(n.Child(k.Name), k.Value)
			}
			at[name], at = []any{entry}, entry
		default:
			inner := object{}
			at[name], at = inner, inner
		}
	}
	doc, _ := json.Marshal(root) // literals are valid JSON
	return doc
}

// literal is a value's JSON: numbers and truth values stand bare where RFC 7951
// has them so, what is no JSON is a string, and lists are written as JSON.
func literal(n *tree.Node, text string) json.RawMessage {
	quoted, _ := json.Marshal(text) // of a string: cannot fail
	bare := json.RawMessage(bytes.TrimSpace([]byte(text)))
	if !json.Valid(bare) {
		return quoted
	}
	if n.Kind == tree.LeafList {
		return bare
	}
	switch n.Type.Final.Kind {
	case tree.Int8, tree.Int16, tree.Int32, tree.Uint8, tree.Uint16, tree.Uint32, tree.Boolean:
		return bare
	case tree.Union:
		if c := bare[0]; c == '-' || c >= '0' && c <= '9' {
			return bare
		}
	}
	return quoted
}
