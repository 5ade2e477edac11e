package reconciler

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/plan"
)

// Ledger is the value of the table ledgers, by device: what was learned about a
// device that neither its intended config nor a read says. Values stand in it as
// keyed marks only, so that it shows nothing to whoever has the store without
// the key.
type Ledger struct {
	// Secrets are those that the device keeps in another form than they were
	// sent, by path.
	Secrets map[string]Fingerprint `json:"secrets,omitempty"`

	// Unowned are leaves that were absent before a Set of ours, not asked for,
	// and present just after it, by path: the mark of the value they came with.
	// Objects that a device makes by itself look so, and defaults that it spells
	// out.
	Unowned map[string]string `json:"unowned,omitempty"`

	// Heals are the times at which drift was put back lately.
	Heals   []time.Time `json:"heals,omitempty"`
	Stopped Stop        `json:"stopped,omitzero"` // and why it is not any more
}

// Stop is why a device's drift is not put back any more. At is the running config
// that it holds for; empty: for any.
type Stop struct {
	Reason string      `json:"reason,omitempty"`
	At     models.Hash `json:"at,omitempty"`
}

// Fingerprint ties a secret as it was sent to what the device shows of it. While
// both are what they were, the device holds the secret.
type Fingerprint struct {
	Sent  string `json:"sent"`            // mark of the secret
	Shown string `json:"shown,omitempty"` // mark of what the device showed then

	// WriteOnly says that the device shows the secret in a new form each time:
	// it can't be compared, and any form counts.
	WriteOnly bool `json:"writeOnly,omitempty"`
}

// Ledgers is the bus's table of ledgers.
func Ledgers(b *bus.Bus) *bus.Table[Ledger] { return bus.TableOf[Ledger](b, "ledgers") }

func (l Ledger) clone() Ledger {
	return Ledger{Secrets: maps.Clone(l.Secrets), Unowned: maps.Clone(l.Unowned), Heals: slices.Clone(l.Heals), Stopped: l.Stopped}
}

func (l Ledger) equal(o Ledger) bool {
	return maps.Equal(l.Secrets, o.Secrets) && maps.Equal(l.Unowned, o.Unowned) && l.Stopped == o.Stopped && slices.EqualFunc(l.Heals, o.Heals, time.Time.Equal)
}

func (l Ledger) writeOnly() int {
	n := 0
	for _, f := range l.Secrets {
		if f.WriteOnly {
			n++
		}
	}
	return n
}

// reckoner holds what runs against what is intended, in the light of a ledger.
// It is pure but for reveal, which may fail.
type reckoner struct {
	how    plan.Strategy
	ledger *Ledger
	key    []byte
	reveal func(string) (string, error) // a leaf's text to the secret itself
}

// mark is the keyed hash of a value at a path. The path is part of it, so that
// equal secrets in two places don't show as equal.
func (r reckoner) mark(path, value string) string {
	h := hmac.New(sha256.New, r.key)
	h.Write([]byte(path + "\x00" + value))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// plan is what is left to do on a device. A secret that is there in another form
// and a leaf that came along with a Set are no difference; but where an operation
// has to write around them, it writes what is intended. What came along is not
// replaced away either.
func (r reckoner) plan(running, intended *tree.Tree) (*plan.Plan, error) {
	p := r.how.Diff(running, intended, intended)
	accepted, err := r.accepted(p)
	if err != nil || len(accepted) == 0 {
		return p, err
	}
	how, expected := r.how, intended
	for _, c := range accepted {
		expected = expected.ReplaceAt(c.Path, c.Old)
		if c.New == nil {
			how.Spared = append(how.Spared, c.Path)
		}
	}
	return how.Diff(running, expected, intended), nil
}

func (r reckoner) accepted(p *plan.Plan) ([]plan.Change, error) {
	var out []plan.Change
	for _, c := range p.Changes {
		switch {
		case c.Old == nil || c.Old.Schema.Kind < tree.Leaf:
		case c.New == nil:
			if m, ok := r.ledger.Unowned[c.Path.String()]; ok && m == r.mark(c.Path.String(), c.Old.Text()) {
				out = append(out, c)
			}
		case c.New.Schema.Secret:
			same, err := r.sameSecret(c)
			if err != nil {
				return nil, err
			}
			if same {
				out = append(out, c)
			}
		}
	}
	return out, nil
}

// sameSecret says whether a device holds a secret that it shows in another form.
func (r reckoner) sameSecret(c plan.Change) (bool, error) {
	secret, err := r.reveal(c.New.Text())
	if err != nil {
		return false, err
	}
	if c.Old.Text() == secret {
		return true, nil
	}
	path := c.Path.String()
	f, known := r.ledger.Secrets[path]
	if !known || f.Sent != r.mark(path, secret) {
		return false, nil
	}
	return f.WriteOnly || f.Shown == r.mark(path, c.Old.Text()), nil
}

// learn takes what a device shows of its secrets just after a Set that it
// accepted: from then on that form means that the secret is there. Secrets that are not intended
// any more are forgotten. It speaks of those top containers alone.
func (r reckoner) learn(running, intended *tree.Tree, roots []string) error {
	kept := maps.Clone(r.ledger.Secrets)
	maps.DeleteFunc(kept, func(path string, _ Fingerprint) bool { return within(path, roots) })
	if kept == nil {
		kept = map[string]Fingerprint{}
	}
	for _, c := range r.how.Diff(running.Only(roots), intended.Only(roots), intended).Changes {
		if c.Old == nil || c.New == nil || !c.New.Schema.Secret || c.New.Schema.Kind != tree.Leaf {
			continue
		}
		secret, err := r.reveal(c.New.Text())
		if err != nil {
			return err
		}
		path := c.Path.String()
		if c.Old.Text() == secret {
			continue
		}
		f := Fingerprint{Sent: r.mark(path, secret), Shown: r.mark(path, c.Old.Text())}
		if was := r.ledger.Secrets[path]; was.Sent == f.Sent {
			f.WriteOnly = was.WriteOnly
		}
		kept[path] = f
	}
	r.ledger.Secrets = kept
	return nil
}

// own takes the leaves that a plan would remove, and that were not there before
// the Set, for what came along with it. It returns their paths. Containers that are
// not in before were as intended, but for what came along earlier.
func (r reckoner) own(p *plan.Plan, before *tree.Tree) []string {
	var paths []string
	for _, c := range p.Changes {
		path := c.Path.String()
		_, came := r.ledger.Unowned[path]
		if c.New != nil || c.Old == nil || c.Old.Schema.Kind < tree.Leaf || came || before.Lookup(c.Path) != nil {
			continue
		}
		if r.ledger.Unowned == nil {
			r.ledger.Unowned = map[string]string{}
		}
		r.ledger.Unowned[path] = r.mark(path, c.Old.Text())
		paths = append(paths, path)
	}
	return paths
}

// restless are the secrets of a plan that changed without a Set of ours, each
// with the mark of what the device shows now.
func (r reckoner) restless(p *plan.Plan) (map[string]string, error) {
	out := map[string]string{}
	for _, c := range p.Changes {
		if c.Old == nil || c.New == nil || !c.New.Schema.Secret {
			continue
		}
		secret, err := r.reveal(c.New.Text())
		if err != nil {
			return nil, err
		}
		path := c.Path.String()
		if f, known := r.ledger.Secrets[path]; known && f.Sent == r.mark(path, secret) {
			out[path] = r.mark(path, c.Old.Text())
		}
	}
	return out, nil
}

// forgetUnowned drops what came along once and is there no more, in those top
// containers.
func (r reckoner) forgetUnowned(running *tree.Tree, roots []string) {
	for path := range r.ledger.Unowned {
		p, err := tree.ParsePath(path)
		if err != nil || within(path, roots) && running.Lookup(p) == nil {
			delete(r.ledger.Unowned, path)
		}
	}
}

// within says whether a path lies in one of some top containers.
func within(path string, roots []string) bool {
	top, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return slices.Contains(roots, top)
}

// secretPrefix begins the text of a leaf that names a secret instead of being
// one.
const secretPrefix = "secret://"

// revealed is a plan with the secrets that its operations name put in. Its
// changes, which are shown, keep the names.
func (f *fleet) revealed(p *plan.Plan) (*plan.Plan, error) {
	out := *p
	for _, values := range []*[]plan.Value{&out.Replaces, &out.Updates} {
		filled := make([]plan.Value, len(*values))
		for i, v := range *values {
			node, err := f.filled(v)
			if err != nil {
				return nil, err
			}
			filled[i] = plan.Value{Path: v.Path, Node: node}
		}
		*values = filled
	}
	return &out, nil
}

func (f *fleet) filled(v plan.Value) (*tree.Value, error) {
	if !namesSecret(v.Node) {
		return v.Node, nil
	}
	var err error
	t := tree.Empty(f.Schema).ReplaceAt(v.Path, v.Node)
	filled := t
	t.Leaves(func(p tree.Path, leaf *tree.Value) bool {
		if !namesSecret(leaf) {
			return true
		}
		var secret string
		var node *tree.Value
		if secret, err = f.reveal(leaf.Text()); err == nil {
			if node, err = f.Schema.Leaf(leaf.Schema, secret); err != nil {
				err = fmt.Errorf("what %s names is no value of the leaf", leaf.Text()) // the cause quotes it
			}
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", p, err)
			return false
		}
		filled = filled.ReplaceAt(p, node)
		return true
	})
	return filled.Lookup(v.Path), err
}

func namesSecret(v *tree.Value) bool {
	return v.Schema.Secret && strings.HasPrefix(v.Text(), secretPrefix) || slices.ContainsFunc(v.Members(), namesSecret)
}

// reveal gives the secret that a leaf's text names, or the text itself.
func (f *fleet) reveal(text string) (string, error) {
	if !strings.HasPrefix(text, secretPrefix) {
		return text, nil
	}
	if f.Secrets == nil {
		return "", fmt.Errorf("%s: no secret store is configured", text)
	}
	return f.Secrets(strings.TrimPrefix(text, secretPrefix))
}

func (f *fleet) reckoner(m *member) reckoner {
	return reckoner{how: m.how, ledger: &m.ledger, key: f.Key, reveal: f.reveal}
}

// keepLedger stores a member's ledger if it has anything new. While the store is
// full it is kept in memory.
func (f *fleet) keepLedger(ctx context.Context, m *member) error {
	if m.kept.Value.equal(m.ledger) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, busDeadline)
	defer cancel()
	for range 3 {
		rev, err := f.Ledgers.Update(ctx, string(m.name), m.ledger, m.kept.Rev)
		switch {
		case err == nil:
			m.kept = bus.Entry[Ledger]{Value: m.ledger.clone(), Rev: rev}
			return nil
		case errors.Is(err, bus.ErrFull):
			f.Log.ErrorContext(ctx, "ledger kept in memory only", "device", m.name, "err", err)
			m.owed = true
			return nil
		case !errors.Is(err, bus.ErrConflict):
			return fmt.Errorf("ledger of %s: %w", m.name, err)
		}
		if _, m.kept.Rev, err = f.Ledgers.Get(ctx, string(m.name)); err != nil {
			return fmt.Errorf("ledger of %s: %w", m.name, err)
		}
	}
	return fmt.Errorf("ledger of %s: %w", m.name, bus.ErrConflict)
}

// listed are the first of some paths, on one line.
func listed(paths []string) string {
	const most = 3
	slices.Sort(paths)
	if len(paths) <= most {
		return strings.Join(paths, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(paths[:most], ", "), len(paths)-most)
}
