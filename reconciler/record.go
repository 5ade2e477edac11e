package reconciler

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/reconciler/plan"
)

// errSuperseded says that a higher generation has a device's row.
var errSuperseded = errors.New("superseded by a higher generation")

// record stores a member's status if it tells anything new, and publishes the
// state that was entered. A row of a higher generation is left alone. While the
// store is full the status is kept in memory: a full store stops no service.
func (f *fleet) record(ctx context.Context, m *member) error {
	if err := f.keepLedger(ctx, m); err != nil {
		return err
	}
	was := m.stored.Value
	now := time.Now().UTC()
	if m.status.State != was.State || m.status.Since.IsZero() {
		m.status.Since = now
	}
	looked := m.order.look.After(was.ReadAt) && !m.status.ReadAt.Before(m.order.look) // a person waits to see that
	if m.stored.Rev > 0 && sameStatus(was, m.status) && m.status.ReadAt.Sub(was.ReadAt) < f.Resync*9/10 && !looked {
		return nil
	}
	err := f.store(ctx, m)
	switch {
	case errors.Is(err, bus.ErrFull):
		m.owed = true
		f.Log.ErrorContext(ctx, "state kept in memory only", "device", m.name, "err", err)
	case errors.Is(err, errSuperseded):
		m.status = m.stored.Value
		return err
	case err != nil:
		return fmt.Errorf("record %s: %w", m.name, err)
	}
	if s := m.status; slices.Contains(toldStates, s.State) && (s.State != was.State || s.Intended != was.Intended) {
		f.publish(ctx, m, string(s.State), s.Generation, s.Reason, now)
	}
	return nil
}

// toldStates are those whose entering is an event. Drift has events of its own.
var toldStates = []models.DeviceState{models.DeviceApplied, models.DeviceHeld, models.DeviceObserved, models.DeviceUnknown, models.DeviceUnreachable}

// store writes the status by compare-and-set. A lost one is tried again on the
// row that won, unless that is of a higher generation.
func (f *fleet) store(ctx context.Context, m *member) error {
	ctx, cancel := context.WithTimeout(ctx, busDeadline)
	defer cancel()
	for range 3 {
		rev, err := f.Devices.Update(ctx, string(m.name), m.status, m.stored.Rev)
		if err == nil {
			m.stored = bus.Entry[models.DeviceStatus]{Value: m.status, Rev: rev}
			return nil
		}
		if !errors.Is(err, bus.ErrConflict) {
			return err
		}
		m.stored.Value, m.stored.Rev, err = f.Devices.Get(ctx, string(m.name))
		if err != nil {
			return err
		}
		if m.stored.Value.Generation > m.status.Generation {
			return errSuperseded
		}
	}
	return bus.ErrConflict
}

// sameStatus compares what two statuses tell. When it was read is not news.
func sameStatus(a, b models.DeviceStatus) bool {
	return a.Generation == b.Generation && a.Intended == b.Intended && a.Applied == b.Applied &&
		a.State == b.State && a.Reason == b.Reason && a.Running == b.Running &&
		a.Diff == b.Diff && a.Changes == b.Changes && a.Next == b.Next && a.Guards == b.Guards && a.Coverage == b.Coverage && maps.Equal(a.Rungs, b.Rungs)
}

// diffLost ends the reason of a status whose diff had no room in the store.
const diffLost = " (the diff is not kept: the store is full)"

// keepDiff stores a plan as text, secrets left out, and returns its hash: none
// if the store is full. The text that was stored last is not stored again while the
// difference stands.
func (f *fleet) keepDiff(ctx context.Context, m *member, p *plan.Plan) (models.Hash, error) {
	ctx, cancel := context.WithTimeout(ctx, busDeadline)
	defer cancel()
	var text bytes.Buffer
	if err := p.Write(&text, plan.Options{Form: "tree"}); err != nil {
		return "", fmt.Errorf("diff of %s: %w", m.name, err)
	}
	sum := sha256.Sum256(text.Bytes())
	if hash := models.Hash(hex.EncodeToString(sum[:])); hash == m.diff {
		return hash, nil
	}
	hashes, err := f.Blobs.Put(ctx, text.Bytes())
	if errors.Is(err, bus.ErrFull) {
		f.Log.ErrorContext(ctx, "diff not kept", "device", m.name, "err", err)
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("diff of %s: %w", m.name, err)
	}
	m.diff = hashes[0]
	return m.diff, nil
}

// publish tells people and tools. Nothing depends on it, so its failure is
// logged and no more.
func (f *fleet) publish(ctx context.Context, m *member, kind string, g models.Generation, reason string, at time.Time) {
	if f.Events == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, busDeadline)
	defer cancel()
	e := models.Event{Device: m.name, Kind: kind, Generation: g, Reason: reason, Time: at}
	id := fmt.Sprintf("%s/%s/%d/%s", m.name, kind, g, strconv.FormatInt(at.UnixNano(), 36))
	if err := f.Events.Publish(ctx, string(m.name), id, e); err != nil {
		f.Log.WarnContext(ctx, "event not published", "device", m.name, "kind", kind, "err", err)
	}
}
