package renderer

import (
	"context"
	"io/fs"
	"slices"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// Explained is one leaf of a device and all that documents say of it.
type Explained struct {
	Path       string `json:"path"`
	Secret     bool   `json:"secret,omitempty"` // no value is shown
	Says       []Say  `json:"says"`             // the one that stands first, then those it overrides
	Overridden bool   `json:"-"`                // documents say different things of the leaf
}

// Say is what one document says of a leaf. Priority is the level it stands at: a
// group's own, 1000 for what kinds bring forth, 1001 for a Device's own fragment.
type Say struct {
	Document string `json:"document"` // "Group leaves"
	File     string `json:"file"`
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Priority int    `json:"priority"`
	Value    string `json:"value,omitempty"` // as people write it; "" of a secret
}

// Explain gives every leaf of some devices with what each document says of it, in
// the order of the tree. Where the repo has mistakes it gives those instead.
func (r *Renderer) Explain(ctx context.Context, repo fs.FS, names ...models.DeviceName) (map[models.DeviceName][]Explained, []models.Mistake, error) {
	res, err := r.Render(ctx, repo)
	if err != nil || len(res.Mistakes) > 0 {
		return nil, res.mistakes(), err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f, err := r.survey(ctx, repo, &ledger{})
	if err != nil {
		return nil, nil, err
	}
	out := make(map[models.DeviceName][]Explained, len(names))
	w := &worker{fleet: f}
	for _, s := range f.subjects {
		if !slices.Contains(names, s.Name) {
			continue
		}
		one := &rendering{subject: s, worker: w}
		merged := one.config(ctx)
		if one.err != nil {
			return nil, nil, one.err
		}
		out[s.Name] = one.explain(merged)
	}
	return out, nil, nil
}

func (r *Result) mistakes() []models.Mistake {
	if r == nil {
		return nil
	}
	return r.Mistakes
}

func (r *rendering) explain(merged *tree.Tree) []Explained {
	out := []Explained{}
	merged.Leaves(func(p tree.Path, stands *tree.Value) bool {
		e := Explained{Path: p.String(), Secret: stands.Schema.Secret}
		for _, b := range slices.Backward(r.layers) {
			v := b.tree.Lookup(p)
			if v == nil {
				continue
			}
			at := b.locate(p, "")
			say := Say{Document: b.title, File: at.file, Line: at.line, Column: at.column, Priority: b.level}
			if !e.Secret {
				say.Value = v.Text()
			}
			e.Overridden = e.Overridden || !v.SameAs(stands)
			e.Says = append(e.Says, say)
		}
		out = append(out, e)
		return true
	})
	return out
}
