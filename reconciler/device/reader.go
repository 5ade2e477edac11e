package device

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// rung is a way to read, best first.
type rung uint8

const (
	unproved rung = iota
	getConfig
	getAll
	once
)

func (r rung) String() string {
	return [...]string{"", "get-config", "get-all", "once"}[r]
}

// Running reads the managed part of what the target runs, in intent space:
// schema order and canonical values, state and unmanaged nodes left out. It
// asks for one top container after the other, so the result is no snapshot: a
// caller that wants to be sure reads twice.
//
// Errors wrap ErrUnreachable, ErrUnauthenticated or ErrPartialRead and name the
// container; there is no tree then.
func (s *Session) Running(ctx context.Context) (*tree.Tree, error) {
	parts, err := s.Read(ctx, nil)
	if err != nil {
		return nil, err
	}
	trees := make([]*tree.Tree, len(parts))
	for i, p := range parts {
		if trees[i], _, err = p.Parse(); err != nil {
			return nil, err
		}
	}
	return tree.Join(s.t.Schema, trees...), nil
}

// Read is Running for some top containers of the scope, all of them for nil, and
// leaves it to the caller which of the answers are worth parsing. Errors of Read
// and of its parts are Running's.
func (s *Session) Read(ctx context.Context, roots []string) ([]tree.Part, error) {
	if roots == nil {
		roots = s.t.Scope.Roots()
	}
	parts := make([]tree.Part, 0, len(roots))
	var silent []string
	for _, root := range roots {
		a, err := s.ask(ctx, root)
		doc := newDocument(s.t.Schema)
		if err == nil && a.rung == once {
			err = doc.add(a.notifications, root)
		}
		if err != nil {
			return nil, fmt.Errorf("read /%s of %s: %w", root, s.t.Address, err)
		}
		if a.rung == once && doc.at(root) == nil {
			silent = append(silent, root)
		}
		parts = append(parts, tree.Part{Root: root, Sum: a.sum(), Parse: s.parser(root, a)})
	}
	if err := s.believe(ctx, silent); err != nil {
		return nil, fmt.Errorf("read %s: %w", s.t.Address, err)
	}
	return parts, nil
}

// parser gives what parses an answer, once.
func (s *Session) parser(root string, a answer) func() (*tree.Tree, int, error) {
	var (
		once   sync.Once
		t      *tree.Tree
		leaves int
		err    error
	)
	return func() (*tree.Tree, int, error) {
		once.Do(func() {
			if t, leaves, err = s.parse(root, a); err != nil {
				err = fmt.Errorf("read /%s of %s: %w", root, s.t.Address, err)
			}
			a = answer{} // let go
		})
		return t, leaves, err
	}
}

func (s *Session) parse(root string, a answer) (*tree.Tree, int, error) {
	doc := newDocument(s.t.Schema)
	if err := doc.add(a.notifications, root); err != nil {
		return nil, 0, err
	}
	t, unknown, err := s.decode(doc.json(), a.rung != getConfig)
	if err != nil {
		return nil, 0, err
	}
	s.t.Log.Debug("read", "device", s.t.Name, "container", root, "unknown", len(unknown)+doc.unknown)
	leaves, _ := t.Size()
	return s.t.Scope.Filter(t), leaves, nil
}

// decode reads a document by schema, and says what of it the schema does not have.
func (s *Session) decode(data []byte, stateToo bool) (*tree.Tree, []tree.Unknown, error) {
	t, unknown, err := tree.ParseLenient(s.t.Schema, data)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: the answer is not OpenConfig: %s", ErrPartialRead, foreign(err.Error()))
	}
	if stateToo {
		t = withoutStateEntries(t)
	}
	return t, unknown, nil
}

// answer is what a target said about one top container.
type answer struct {
	rung          rung
	notifications []*gnmi.Notification
}

// sum tells answers apart by what was said and how it was asked for, not by when.
// Values, which may be large, are hashed where they lie.
func (a answer) sum() models.Hash {
	h := sha256.New()
	var b []byte
	frame := func(kind byte, data []byte) {
		h.Write(binary.LittleEndian.AppendUint64([]byte{kind}, uint64(len(data))))
		h.Write(data)
	}
	write := func(kind byte, m proto.Message) {
		out, err := (proto.MarshalOptions{Deterministic: true}).MarshalAppend(b[:0], m)
		if err != nil {
			out = []byte(rand.Text()) // like no other
		}
		b = out
		frame(kind, b)
	}
	h.Write([]byte{byte(a.rung)})
	for _, n := range a.notifications {
		write('n', &gnmi.Notification{Prefix: n.GetPrefix(), Delete: n.GetDelete(), Atomic: n.GetAtomic()})
		for _, u := range n.GetUpdate() {
			value := u.GetVal().GetJsonIetfVal()
			if value == nil {
				write('u', u)
				continue
			}
			write('p', u.GetPath())
			frame('v', value)
		}
	}
	return models.Hash(hex.EncodeToString(h.Sum(nil)))
}

// ask reads one top container: by the proved rung, or else down the ladder until
// one answers.
func (s *Session) ask(ctx context.Context, root string) (answer, error) {
	if r := s.readRung(); r != unproved {
		return s.askBy(ctx, r, root)
	}
	return s.climb(ctx, root)
}

// climb reads one top container by the first rung that answers for it.
func (s *Session) climb(ctx context.Context, root string) (answer, error) {
	var refusals []string
	for _, r := range []rung{getConfig, getAll, once} {
		a, err := s.askBy(ctx, r, root)
		var no *refusal
		if errors.As(err, &no) {
			refusals = append(refusals, fmt.Sprintf("%s: %s", r, no))
			continue
		}
		return a, err
	}
	return answer{}, fmt.Errorf("%w: the target answers no kind of read: %s", ErrPartialRead, strings.Join(refusals, "; "))
}

func (s *Session) readRung() rung {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read
}

// prove fixes the rung. A better one that was proved meanwhile stays.
func (s *Session) prove(r rung) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.read == unproved || r < s.read {
		s.read = r
		s.rungs["read"] = r.String()
	}
}

// refusal is a target's answer that it does not read this way. It is a partial
// read for everyone but the ladder.
type refusal struct {
	code codes.Code
	text string
}

func (r *refusal) Error() string { return fmt.Sprintf("refused (%s: %s)", r.code, r.text) }
func (r *refusal) Unwrap() error { return ErrPartialRead }

func (s *Session) askBy(ctx context.Context, r rung, root string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.t.ReadTimeout)
	defer cancel()
	a := answer{rung: r}
	var err error
	switch r {
	case getConfig:
		a.notifications, err = s.get(ctx, gnmi.GetRequest_CONFIG, root)
	case getAll:
		a.notifications, err = s.get(ctx, gnmi.GetRequest_ALL, root)
	default:
		a.notifications, err = s.subscribeOnce(ctx, root)
	}
	switch {
	case status.Code(err) == codes.NotFound:
		return a, nil // empty, and said so; it proves no rung
	case err != nil:
		return answer{}, readError(err)
	case r != once || hasUpdate(a.notifications):
		s.prove(r)
	}
	return a, nil
}

func readError(err error) error {
	if errors.Is(err, ErrPartialRead) {
		return err
	}
	if err := connectionError(err); err != nil {
		return err
	}
	st := status.Convert(err)
	text := foreign(st.Message())
	switch st.Code() {
	case codes.Unimplemented, codes.InvalidArgument, codes.Internal, codes.Unknown:
		return &refusal{st.Code(), text}
	}
	return fmt.Errorf("%w: %s: %s", ErrPartialRead, st.Code(), text)
}

func (s *Session) get(ctx context.Context, kind gnmi.GetRequest_DataType, root string) ([]*gnmi.Notification, error) {
	resp, err := s.client.Get(ctx, &gnmi.GetRequest{
		Path:     []*gnmi.Path{s.rootPath(root)},
		Type:     kind,
		Encoding: s.encoding,
	})
	if err != nil {
		return nil, err
	}
	return resp.GetNotification(), nil
}

// subscribeOnce gives everything until the sync. A stream that ends before it
// is a partial read.
func (s *Session) subscribeOnce(ctx context.Context, root string) ([]*gnmi.Notification, error) {
	st := s.subscribe(ctx, &gnmi.SubscriptionList{
		Mode:         gnmi.SubscriptionList_ONCE,
		Encoding:     s.encoding,
		Subscription: []*gnmi.Subscription{{Path: s.rootPath(root)}},
	})
	defer st.close()
	var out []*gnmi.Notification
	for {
		r, err := st.next(ctx)
		switch {
		case err != nil:
			return nil, err
		case r.GetSyncResponse():
			return out, nil
		case r.GetUpdate() != nil:
			out = append(out, r.GetUpdate())
		}
	}
}

// believe decides on containers for which Subscribe ONCE synced without a value.
// Targets sync so on a path or an origin that they do not know, too: silence is
// taken for emptiness only if the same way of asking gives a value elsewhere.
func (s *Session) believe(ctx context.Context, silent []string) error {
	if len(silent) == 0 || s.readRung() == once {
		return nil
	}
	for _, root := range []string{"interfaces", "system", "components"} {
		a, err := s.askBy(ctx, once, root)
		if err != nil {
			return err
		}
		if hasUpdate(a.notifications) {
			return nil
		}
	}
	return fmt.Errorf("%w: the target syncs /%s without a value, and nothing shows that it would give one", ErrPartialRead, silent[0])
}

func hasUpdate(ns []*gnmi.Notification) bool {
	for _, n := range ns {
		if len(n.GetUpdate()) > 0 {
			return true
		}
	}
	return false
}

func (s *Session) rootPath(root string) *gnmi.Path {
	return s.path(tree.Path{{Name: root}})
}

func (s *Session) path(p tree.Path) *gnmi.Path {
	out := &gnmi.Path{Origin: s.t.Profile.Origin, Elem: make([]*gnmi.PathElem, len(p))}
	for i, e := range p {
		elem := &gnmi.PathElem{Name: e.Name}
		for _, k := range e.Keys {
			if elem.Key == nil {
				elem.Key = make(map[string]string, len(e.Keys))
			}
			elem.Key[k.Name] = k.Value
		}
		out.Elem[i] = elem
	}
	return out
}

// withoutStateEntries leaves out list entries of which only the key is config.
// A target that reports state too lists entries that nobody configured; in
// OpenConfig a configured entry repeats its key below config.
func withoutStateEntries(t *tree.Tree) *tree.Tree {
	var bare []tree.Path
	var walk func(p tree.Path, v *tree.Value)
	walk = func(p tree.Path, v *tree.Value) {
		if v.Entry() && len(v.Members()) <= len(v.Keys()) {
			bare = append(bare, p)
			return
		}
		for _, m := range v.Members() {
			walk(childPath(p, m), m)
		}
	}
	walk(nil, t.Root())
	for _, p := range bare {
		t = t.ReplaceAt(p, nil)
	}
	return t
}

// childPath is the path of a member of the value at p. A list has no element of
// its own: its entries have it, with keys.
func childPath(p tree.Path, m *tree.Value) tree.Path {
	if m.Schema.Kind == tree.List && !m.Entry() {
		return p
	}
	e := tree.Elem{Name: m.Schema.Name}
	if m.Entry() {
		e.Keys = m.Keys()
	}
	return append(p[:len(p):len(p)], e)
}
