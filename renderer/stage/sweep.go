package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
)

// Sweeper removes the blobs that nothing names any more. Named are: what the
// last Keep generations rendered, what any device is or was assigned to, what a
// rollout that is still running or held names, the diffs and running configs of devices and of
// episodes. It also forgets rows of the table manifests beyond the last Rows, so
// that a sweep's own cost stays flat.
type Sweeper struct {
	Renders     *bus.Table[models.Render]
	Assignments *bus.Table[models.Assignment]
	Devices     *bus.Table[models.DeviceStatus]
	Rollouts    *bus.Table[models.Rollout]
	Episodes    *bus.Table[models.Episode]
	Blobs       *bus.Blobs

	Keep  int           // generations whose blobs stay; 0: 20
	Rows  int           // generations whose rows stay; 0: 200
	Grace time.Duration // younger blobs are left alone, as their row may be on its way
}

// Sweep removes unnamed blobs older than grace and says how many it removed.
func (s *Sweeper) Sweep(ctx context.Context, grace time.Duration) (int, error) {
	named, err := s.named(ctx)
	if err != nil {
		return 0, err
	}
	n, _, err := s.Blobs.Sweep(ctx, func(h models.Hash) bool { return named[h] }, grace)
	return n, err
}

func (s *Sweeper) named(ctx context.Context) (map[models.Hash]bool, error) {
	named, manifests := map[models.Hash]bool{}, map[models.Hash]bool{}
	if err := s.nameRenders(ctx, named, manifests); err != nil {
		return nil, err
	}
	if err := s.nameDevices(ctx, named, manifests); err != nil {
		return nil, err
	}
	for h := range manifests {
		if err := s.nameManifest(ctx, h, named); err != nil {
			return nil, err
		}
	}
	return named, nil
}

// nameRenders names what the last generations rendered and forgets the oldest.
func (s *Sweeper) nameRenders(ctx context.Context, named, manifests map[models.Hash]bool) error {
	rows, err := s.Renders.All(ctx)
	if err != nil {
		return err
	}
	newest := slices.SortedFunc(maps.Values(rows), func(a, b bus.Entry[models.Render]) int {
		return int(int64(b.Value.Generation) - int64(a.Value.Generation))
	})
	keep, limit := or(s.Keep, 20), or(s.Rows, 200)
	for i, e := range newest {
		switch {
		case i < keep:
			named[e.Value.Mistakes] = true
			manifests[e.Value.Manifest] = true
			manifests[e.Value.BaseHash] = true
		case i >= limit:
			if err := s.Renders.Delete(ctx, Key(e.Value.Generation), e.Rev); err != nil && !errors.Is(err, bus.ErrConflict) {
				return err
			}
		}
	}
	return nil
}

func (s *Sweeper) nameDevices(ctx context.Context, named, manifests map[models.Hash]bool) error {
	assigned, err := s.Assignments.All(ctx)
	if err != nil {
		return err
	}
	for _, e := range assigned {
		manifests[e.Value.Manifest] = true
		named[e.Value.Hash], named[e.Value.Previous] = true, true
	}
	rollouts, err := s.Rollouts.All(ctx)
	if err != nil {
		return err
	}
	for _, e := range rollouts {
		switch e.Value.State {
		case models.RolloutRunning, models.RolloutIncomplete, models.RolloutHeld:
			manifests[e.Value.Manifest] = true
		}
	}
	devices, err := s.Devices.All(ctx)
	if err != nil {
		return err
	}
	for _, e := range devices {
		named[e.Value.Running], named[e.Value.Diff] = true, true
	}
	episodes, err := s.Episodes.All(ctx)
	if err != nil {
		return err
	}
	for _, e := range episodes {
		named[e.Value.Running], named[e.Value.Diff] = true, true
	}
	return nil
}

// nameManifest names a manifest and the configs in it. One that is gone already
// names nothing.
func (s *Sweeper) nameManifest(ctx context.Context, h models.Hash, named map[models.Hash]bool) error {
	if h == "" {
		return nil
	}
	named[h] = true
	data, err := s.Blobs.Get(ctx, h)
	if errors.Is(err, bus.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	var m models.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("sweep: manifest %.12s: %w", h, err)
	}
	for _, d := range m.Devices {
		named[d.Config] = true
	}
	return nil
}

func or(n, fallback int) int {
	if n == 0 {
		return fallback
	}
	return n
}
