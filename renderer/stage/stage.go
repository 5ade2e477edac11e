// Package stage runs the renderer on the bus: a commit comes in, a manifest or
// every mistake goes out.
//
// The renderer itself is pure; this package is where its work meets a crash, a
// replay and a full store. A commit's event says only which generation; the row
// of the table manifests says how far its rendering came, and everything derives
// from that row:
//
//   - absent or rendering: it is rendered, and the attempt is recorded before the
//     work, so that a commit that kills the process is known by its attempts and
//     is given up, with state error, after three of them;
//   - rendered, mistakes, error, superseded: final. An event that comes again
//     does nothing.
//
// Blobs are stored before the row that names them. A generation that is no
// longer its branch's head when its turn comes is not rendered at all: its row
// says superseded, and the newer head's event follows behind.
//
// The package also keeps the blob store small (sweep.go), in the same goroutine,
// so that a sweep never meets a rendering half stored. It never contacts a
// device and never decides what is assigned to one.
package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"time"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/renderer"
)

// maxAttempts is how often one generation's rendering is begun.
const maxAttempts = 3

// Stage renders commits. Its fields are set before Run and not changed after.
type Stage struct {
	Commits *bus.Topic[models.Head]
	Heads   *bus.Table[models.Head]
	Renders *bus.Table[models.Render]
	Blobs   *bus.Blobs
	Sweeper *Sweeper // nil: nothing is swept

	// Tree gives a commit's files.
	Tree func(commit string) (fs.FS, error)

	Renderer *renderer.Renderer

	Log *slog.Logger
}

// Key is a generation's key in the tables manifests and rollouts.
func Key(g models.Generation) string { return strconv.FormatUint(uint64(g), 10) }

// Run renders each commit that is announced, one at a time and in order, until
// ctx ends.
func (s *Stage) Run(ctx context.Context) error {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	return s.Commits.Consume(ctx, "renderer", s.handle)
}

// handle brings one generation to a final row. An error means: again, later.
func (s *Stage) handle(ctx context.Context, h models.Head) error {
	key := Key(h.Generation)
	row, rev, err := s.Renders.Get(ctx, key)
	if err != nil {
		return err
	}
	if rev > 0 && row.State != models.Rendering {
		return nil
	}
	head, _, err := s.Heads.Get(ctx, h.Branch)
	if err != nil {
		return err
	}
	row.Generation, row.Commit, row.Branch, row.Time = h.Generation, h.New, h.Branch, time.Now().UTC()
	if head.Generation > h.Generation {
		row.State = models.RenderSkipped
		row.Reason = fmt.Sprintf("superseded by %.7s before it was rendered", head.New)
		return s.finish(ctx, key, row, rev)
	}
	if row.Attempts >= maxAttempts {
		row.State = models.RenderError
		row.Reason = fmt.Sprintf("rendering was begun %d times and never ended; last error: %s", row.Attempts, orUnknown(row.Reason))
		s.Log.ErrorContext(ctx, "rendering given up", "commit", h.New, "generation", h.Generation, "reason", row.Reason)
		return s.finish(ctx, key, row, rev)
	}
	row.Attempts++
	row.State = models.Rendering
	if rev, err = s.Renders.Update(ctx, key, row, rev); err != nil {
		return err
	}
	return s.attempt(ctx, key, row, rev)
}

func orUnknown(s string) string {
	if s == "" {
		return "the process ended"
	}
	return s
}

// attempt renders and stores; what went wrong is kept in the row for the attempt
// that gives up.
func (s *Stage) attempt(ctx context.Context, key string, row models.Render, rev uint64) error {
	done, err := s.render(ctx, row)
	if err == nil {
		return s.finish(ctx, key, done, rev)
	}
	if ctx.Err() != nil {
		return err
	}
	row.Reason = err.Error()
	if errors.Is(err, bus.ErrFull) {
		row.State = models.RenderError
		s.Log.ErrorContext(ctx, "rendering not stored", "commit", row.Commit, "err", err)
		return s.finish(ctx, key, row, rev)
	}
	s.Log.WarnContext(ctx, "rendering will be tried again", "commit", row.Commit, "attempt", row.Attempts, "err", err)
	if _, uerr := s.Renders.Update(ctx, key, row, rev); uerr != nil {
		return uerr
	}
	return err
}

// render is one attempt: the tree, the renderer, the blobs. The row it returns
// names blobs that are stored.
func (s *Stage) render(ctx context.Context, row models.Render) (models.Render, error) {
	began := time.Now()
	tree, err := s.Tree(row.Commit)
	if err != nil {
		return row, fmt.Errorf("read commit %.7s: %w", row.Commit, err)
	}
	res, err := s.Renderer.Render(ctx, tree)
	if err != nil {
		return row, fmt.Errorf("render commit %.7s: %w", row.Commit, err)
	}
	row.Took = time.Since(began).Milliseconds()
	row.Reason = ""
	row.Policies, row.Warnings = res.Policies, len(res.Warnings)
	if len(res.Mistakes) > 0 {
		return s.mistakes(ctx, row, res.Mistakes)
	}
	if row.Base, row.BaseHash, err = s.base(ctx, row.Generation); err != nil {
		return row, err
	}
	manifest, blobs, err := Manifest(res)
	if err != nil {
		return row, err
	}
	hashes, err := s.store(ctx, append(blobs, manifest)...)
	if err != nil {
		return row, fmt.Errorf("store %d devices of commit %.7s: %w", len(res.Devices), row.Commit, err)
	}
	row.State, row.Devices, row.Manifest = models.Rendered, len(res.Devices), hashes[len(hashes)-1]
	s.Log.InfoContext(ctx, "rendered", "commit", row.Commit, "generation", row.Generation, "devices", row.Devices, "dur", time.Since(began))
	return row, nil
}

func (s *Stage) mistakes(ctx context.Context, row models.Render, ms []models.Mistake) (models.Render, error) {
	data, err := json.Marshal(ms)
	if err != nil {
		return row, err
	}
	hashes, err := s.store(ctx, data)
	if err != nil {
		return row, fmt.Errorf("store %d mistakes of commit %.7s: %w", len(ms), row.Commit, err)
	}
	row.State, row.Mistakes = models.RenderMistakes, hashes[0]
	s.Log.InfoContext(ctx, "mistakes found", "commit", row.Commit, "generation", row.Generation, "mistakes", len(ms))
	return row, nil
}

// Manifest returns the manifest's bytes and the configs that it names, in its
// order. The same result gives the same bytes.
func Manifest(res *renderer.Result) (manifest []byte, configs [][]byte, err error) {
	m := models.Manifest{Devices: make([]models.Intended, 0, len(res.Devices)), Warnings: res.Warnings}
	for _, d := range res.Devices {
		m.Devices = append(m.Devices, models.Intended{Device: d.Device, Config: d.Hash})
		configs = append(configs, d.Config)
	}
	manifest, err = json.Marshal(m)
	return manifest, configs, err
}

// store puts blobs, and where the store is full sweeps once and tries again.
func (s *Stage) store(ctx context.Context, blobs ...[]byte) ([]models.Hash, error) {
	hashes, err := s.Blobs.Put(ctx, blobs...)
	if !errors.Is(err, bus.ErrFull) || s.Sweeper == nil {
		return hashes, err
	}
	if _, serr := s.Sweeper.Sweep(ctx, 0); serr != nil {
		return nil, errors.Join(err, serr)
	}
	return s.Blobs.Put(ctx, blobs...)
}

// base is the newest generation below g that was rendered: what the commit's
// diff is told against.
func (s *Stage) base(ctx context.Context, g models.Generation) (models.Generation, models.Hash, error) {
	rows, err := s.Renders.All(ctx)
	if err != nil {
		return 0, "", err
	}
	var best models.Render
	for _, e := range rows {
		if r := e.Value; r.State == models.Rendered && r.Generation < g && r.Generation > best.Generation {
			best = r
		}
	}
	return best.Generation, best.Manifest, nil
}

// finish writes a final row, then sweeps what no row names any more.
func (s *Stage) finish(ctx context.Context, key string, row models.Render, rev uint64) error {
	if _, err := s.Renders.Update(ctx, key, row, rev); err != nil {
		return err
	}
	if s.Sweeper == nil {
		return nil
	}
	n, err := s.Sweeper.Sweep(ctx, s.Sweeper.Grace)
	if err != nil {
		s.Log.WarnContext(ctx, "sweep left for later", "err", err)
		return nil
	}
	if n > 0 {
		s.Log.InfoContext(ctx, "swept blobs", "removed", n)
	}
	return nil
}
