package device

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmic/pkg/api"

	"github.com/setpoint-net/setpoint/models/tree"
)

// Container is what a target answered about one top container.
type Container struct {
	Name    string
	Rung    string        // how it was read: get-config, get-all or once
	Tree    *tree.Tree    // what of it is in the scope
	Leaves  int           // in Tree
	Bytes   int           // of the answer's document
	Took    time.Duration // the read alone, refused rungs included
	Unknown []string      // paths that the schema does not have or values it does not take; state is not told
	Err     error         // why it could not be read; nothing else is set then but Took
}

// Survey reads the scope's top containers one after the other, each by the first
// rung that answers for it, whatever the others needed. One that can't be read
// keeps none from being read. It writes nothing, and an error of a broken
// connection or of credentials ends it.
func (s *Session) Survey(ctx context.Context) ([]Container, error) {
	var all []Container
	for _, root := range s.t.Scope.Roots() {
		c := s.survey(ctx, root)
		if errors.Is(c.Err, ErrUnreachable) || errors.Is(c.Err, ErrUnauthenticated) || ctx.Err() != nil {
			return nil, errors.Join(c.Err, ctx.Err())
		}
		all = append(all, c)
	}
	return all, nil
}

func (s *Session) survey(ctx context.Context, root string) Container {
	c := Container{Name: root}
	begun := time.Now()
	a, err := s.climb(ctx, root)
	c.Took = time.Since(begun)
	doc := newDocument(s.t.Schema)
	if err == nil {
		err = doc.add(a.notifications, root)
	}
	if err == nil && a.rung == once && doc.at(root) == nil {
		err = s.believe(ctx, []string{root})
	}
	if err != nil {
		c.Err = err
		return c
	}
	data := doc.json()
	t, unknown, err := s.decode(data, a.rung != getConfig)
	if err != nil {
		c.Err = err
		return c
	}
	c.Rung, c.Tree, c.Unknown = a.rung.String(), s.t.Scope.Filter(t), doc.foreign
	if doc.at(root) != nil {
		c.Bytes = len(data)
	}
	for range c.Tree.Leaves {
		c.Leaves++
	}
	for _, u := range unknown {
		if !isState(u.Path) {
			c.Unknown = append(c.Unknown, u.Path.String()+": "+foreign(u.Reason))
		}
	}
	return c
}

// isState says whether a path leads to what a device reports.
func isState(p tree.Path) bool {
	return slices.ContainsFunc(p, func(e tree.Elem) bool {
		_, name, qualified := strings.Cut(e.Name, ":")
		return e.Name == "state" || qualified && name == "state"
	})
}

// Abilities is what a target says of itself.
type Abilities struct {
	Version   string // of gNMI
	Encodings []string
	Models    []Model
}

// Model is one model of a target's Capabilities.
type Model struct{ Name, Organization, Version string }

// Abilities asks for the target's Capabilities once more. A target may have
// none: that is an error which wraps none of the sentinels.
func (s *Session) Abilities(ctx context.Context) (Abilities, error) {
	ctx, cancel := context.WithTimeout(ctx, s.t.ReadTimeout)
	defer cancel()
	req, err := api.NewCapabilitiesRequest()
	if err != nil {
		return Abilities{}, err
	}
	caps, err := s.client.Capabilities(ctx, req.GetExtension()...)
	if err != nil {
		if broken := connectionError(err); broken != nil {
			return Abilities{}, broken
		}
		return Abilities{}, errors.New(foreign(err.Error()))
	}
	a := Abilities{Version: foreign(caps.GetGNMIVersion())}
	for _, e := range caps.GetSupportedEncodings() {
		a.Encodings = append(a.Encodings, gnmi.Encoding_name[int32(e)])
	}
	for _, m := range caps.GetSupportedModels() {
		a.Models = append(a.Models, Model{foreign(m.GetName()), foreign(m.GetOrganization()), foreign(m.GetVersion())})
	}
	return a, nil
}

// Streams tries whether the target streams changes of the scope's containers,
// and gives the rung that it took: on-change or sample. It waits for the initial
// sync and no longer; ctx bounds it.
func (s *Session) Streams(ctx context.Context) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	synced := false
	err := s.Watch(ctx, func(string) { synced = true; cancel() })
	switch {
	case synced:
		return s.Rungs()["watch"], nil
	case err == nil:
		err = ctx.Err()
	}
	return "", err
}

// Peer dials a TLS connection beside the session's and gives its state: version,
// cipher and the certificates that the target showed. Nil without TLS.
func (t Target) Peer(ctx context.Context) (*tls.ConnectionState, error) {
	t.orDefaults()
	config, err := clientTLS(t, new(atomic.Bool))
	if err != nil || config == nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, t.DialTimeout)
	defer cancel()
	raw, err := t.Dialer(ctx, t.Address)
	if err != nil {
		return nil, err
	}
	config.NextProtos = []string{"h2"}
	c := tls.Client(raw, config)
	defer c.Close()
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	state := c.ConnectionState()
	return &state, nil
}
