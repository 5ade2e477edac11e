package reconciler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
)

// standing says whether an episode of drift is open.
func (m *member) standing() bool {
	return m.episode.Value.ID != "" && m.episode.Value.Closed.IsZero()
}

// openEpisode sees to it that an episode is open and tells what drifted. The
// table's row comes first: an episode is told of once, also over a restart.
func (f *fleet) openEpisode(ctx context.Context, m *member, d found) error {
	e, kind := m.episode.Value, "drift-changed"
	switch {
	case !m.standing():
		kind = "drift-opened"
		e = models.Episode{
			ID:         fmt.Sprintf("%s@%s", m.name, d.at.Format(time.RFC3339Nano)),
			Device:     m.name,
			Generation: m.taken.Generation,
			Intended:   m.taken.Hash,
			Opened:     d.at,
			Alerts:     m.entry.Alerts,
		}
	case e.Running == d.running && e.Mode == m.mode():
		return nil
	default:
		e.Changed = d.at
	}
	if err := f.fleetStop(ctx, m, kind, d.at); err != nil {
		return err
	}
	e.Running, e.Mode, e.Changes, e.Summary = d.running, m.mode(), len(d.plan.Changes), d.lacks()
	var err error
	if e.Diff, err = f.keepDiff(ctx, m, d.plan); err != nil {
		return err
	}
	if err := f.storeEpisode(ctx, m, e); err != nil {
		return err
	}
	f.Log.WarnContext(ctx, kind, "device", m.name, "summary", e.Summary, "changes", e.Changes, "mode", string(e.Mode))
	f.publish(ctx, m, kind, e.Generation, e.Summary, d.at)
	return nil
}

// closeEpisode closes the episode that is open, if one is.
func (f *fleet) closeEpisode(ctx context.Context, m *member, how string, at time.Time) error {
	if !m.standing() {
		return nil
	}
	e := m.episode.Value
	if e.Intended != m.taken.Hash {
		how = "superseded by a commit"
	}
	e.Closed, e.How = at, how
	if err := f.storeEpisode(ctx, m, e); err != nil {
		return err
	}
	f.Log.InfoContext(ctx, "drift closed", "device", m.name, "how", how)
	f.publish(ctx, m, "drift-closed", e.Generation, how, at)
	return nil
}

// settleDebts writes the episode that a full store did not take. The status is
// written by any look, as it differs from the table's.
func (f *fleet) settleDebts(ctx context.Context, m *member) error {
	if !m.owed {
		return nil
	}
	m.owed = false
	if m.episode.Value.ID == "" {
		return nil
	}
	return f.storeEpisode(ctx, m, m.episode.Value)
}

// storeEpisode writes the row by compare-and-set. Only the device's owner writes
// it, so a lost one means that an earlier write was taken and not heard of.
func (f *fleet) storeEpisode(ctx context.Context, m *member, e models.Episode) error {
	ctx, cancel := context.WithTimeout(ctx, busDeadline)
	defer cancel()
	for range 3 {
		rev, err := f.Episodes.Update(ctx, string(m.name), e, m.episode.Rev)
		switch {
		case err == nil:
			m.episode = bus.Entry[models.Episode]{Value: e, Rev: rev}
			return nil
		case errors.Is(err, bus.ErrFull):
			f.Log.ErrorContext(ctx, "episode kept in memory only", "device", m.name, "err", err)
			m.episode.Value, m.owed = e, true
			return nil
		case !errors.Is(err, bus.ErrConflict):
			return fmt.Errorf("episode of %s: %w", m.name, err)
		}
		if _, m.episode.Rev, err = f.Episodes.Get(ctx, string(m.name)); err != nil {
			return fmt.Errorf("episode of %s: %w", m.name, err)
		}
	}
	return fmt.Errorf("episode of %s: %w", m.name, bus.ErrConflict)
}

// mode is the device's drift mode.
func (m *member) mode() models.DriftMode {
	if m.entry.Drift.Mode == "" {
		return models.DriftAlert
	}
	return m.entry.Drift.Mode
}
