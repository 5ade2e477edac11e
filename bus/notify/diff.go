package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/plan"
)

// blobs is what reads the rendered commits.
type blobs interface {
	Get(ctx context.Context, h models.Hash) ([]byte, error)
}

// Caps of a commit's whole diff, in bytes of text.
const (
	maxDiff       = 4 << 20
	maxDeviceDiff = 512 << 10
)

// diff is what a rendered commit changes against the generation rendered
// before it.
type diff struct {
	Devices  []deviceDiff // whose intended config changes, by name
	Released []models.DeviceName
	Total    int              // devices of the commit
	Warnings []models.Mistake // of policies, about the commit
	summary  string
}

// deviceDiff is one device's share. Text is the plan, redacted.
type deviceDiff struct {
	Name           models.DeviceName
	New            bool
	Added, Removed int
	Text           string
	Cut            bool // Text is not all of it
}

// differ reads rendered commits and says what they change. It holds one device's
// configs at a time.
type differ struct {
	Blobs  blobs
	Schema *tree.Schema
	Text   bool // wanted: without it only the counts
}

// Diff is what the rendering r changes. bus.ErrNotFound: a blob was swept.
func (d differ) Diff(ctx context.Context, r models.Render) (*diff, error) {
	now, err := d.manifest(ctx, r.Manifest)
	if err != nil {
		return nil, err
	}
	before, err := d.manifest(ctx, r.BaseHash)
	if err != nil {
		return nil, err
	}
	old := map[models.DeviceName]models.Hash{}
	for _, i := range before.Devices {
		old[i.Device.Name] = i.Config
	}
	out := &diff{Total: len(now.Devices), Warnings: now.Warnings}
	var plans []plan.DevicePlan
	room := maxDiff
	for _, i := range now.Devices {
		was, known := old[i.Device.Name]
		delete(old, i.Device.Name)
		if was == i.Config {
			continue
		}
		p, err := d.plan(ctx, was, i.Config)
		if err != nil {
			return nil, fmt.Errorf("difference of %s: %w", i.Device.Name, err)
		}
		if p.Empty() {
			continue
		}
		one := deviceDiff{Name: i.Device.Name, New: !known, Added: p.Added(), Removed: p.Removed()}
		if d.Text {
			if one.Text, one.Cut, err = text(p, min(room, maxDeviceDiff)); err != nil {
				return nil, fmt.Errorf("difference of %s: %w", i.Device.Name, err)
			}
			room -= len(one.Text)
		}
		out.Devices = append(out.Devices, one)
		plans = append(plans, plan.DevicePlan{Name: i.Device.Name, Plan: d.counts(p)})
	}
	for name := range old {
		out.Released = append(out.Released, name)
	}
	slices.Sort(out.Released)
	out.summary = out.summarize(plans)
	return out, nil
}

// counts is a plan that counts like p and keeps none of p's trees alive: a first
// deploy has one for each device of the network.
func (d differ) counts(p *plan.Plan) *plan.Plan {
	some := tree.Empty(d.Schema).Root()
	slim := &plan.Plan{Changes: make([]plan.Change, len(p.Changes)), Deletes: p.Deletes}
	for i, c := range p.Changes {
		if c.Old != nil {
			slim.Changes[i].Old = some
		}
		if c.New != nil {
			slim.Changes[i].New = some
		}
	}
	return slim
}

func (d *diff) summarize(plans []plan.DevicePlan) string {
	gone := ""
	if n := len(d.Released); n > 0 {
		gone = fmt.Sprintf("%s released, nothing written", count(n, "device"))
	}
	switch {
	case gone == "":
		return plan.Summary(plans)
	case len(plans) == 0:
		all := make([]string, 0, len(d.Released))
		for _, n := range d.Released {
			all = append(all, string(n))
		}
		return clip(gone+": "+strings.Join(all, ", "), maxDescription)
	}
	return clip(plan.Summary(plans), maxDescription-len(gone)-2) + "; " + gone
}

// manifest reads a manifest; the empty hash is an empty one.
func (d differ) manifest(ctx context.Context, h models.Hash) (m models.Manifest, err error) {
	if h == "" {
		return m, nil
	}
	b, err := d.Blobs.Get(ctx, h)
	if err != nil {
		return m, fmt.Errorf("manifest %s: %w", short(string(h)), err)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("manifest %s: %w", short(string(h)), err)
	}
	return m, nil
}

func (d differ) plan(ctx context.Context, was, is models.Hash) (*plan.Plan, error) {
	from, err := d.config(ctx, was)
	if err != nil {
		return nil, err
	}
	to, err := d.config(ctx, is)
	if err != nil {
		return nil, err
	}
	return plan.Diff(from, to), nil
}

func (d differ) config(ctx context.Context, h models.Hash) (*tree.Tree, error) {
	if h == "" {
		return tree.Empty(d.Schema), nil
	}
	b, err := d.Blobs.Get(ctx, h)
	if err != nil {
		return nil, err
	}
	return tree.Parse(d.Schema, b)
}

// mistakes reads the mistakes of a rendering that has some.
func mistakes(ctx context.Context, from blobs, h models.Hash) (all []models.Mistake, err error) {
	if h == "" {
		return nil, nil
	}
	b, err := from.Get(ctx, h)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("mistakes %s: %w", short(string(h)), err)
	}
	return all, nil
}

// text is the plan as people read it, redacted, at most limit bytes of whole lines.
func text(p *plan.Plan, limit int) (s string, cut bool, err error) {
	var b strings.Builder
	if err := p.Write(&b, plan.Options{Form: plan.Unified}); err != nil {
		return "", false, err
	}
	s = b.String()
	// The file names of diff -u: neither side is a file, nor running.
	for _, head := range []string{"--- ", "+++ "} {
		if strings.HasPrefix(s, head) {
			_, s, _ = strings.Cut(s, "\n")
		}
	}
	if len(s) <= limit {
		return s, false, nil
	}
	return s[:strings.LastIndexByte(s[:max(0, limit)], '\n')+1], true, nil
}

// swept says that what is asked for is gone for good, and not only out of reach.
func swept(err error) bool { return errors.Is(err, bus.ErrNotFound) }
