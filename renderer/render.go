package renderer

import (
	"context"
	"io/fs"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// Result is what a tree renders to: every device, or every mistake.
type Result struct {
	Devices  []Device         // by name; nil when there are mistakes
	Mistakes []models.Mistake // by file, line, column; nil when there are none
	Files    int              // YAML and CUE files that were read
}

// Device is an inventory entry and its intended config.
type Device struct {
	models.Device
	Config []byte      // canonical RFC 7951 JSON
	Hash   models.Hash // of Config
}

// Render renders a config repo. The error is one of reading the tree, or ctx's;
// whatever the repo's authors can mend is in Result.Mistakes. Kinds run inside
// this call, and a kind that doesn't end can't be cancelled by ctx.
func Render(ctx context.Context, repo fs.FS) (*Result, error) {
	l := &ledger{}
	src, err := gather(ctx, repo, l)
	if err != nil {
		return nil, err
	}
	schema := tree.OpenConfig()
	refs, err := compileReferences(schema)
	if err != nil {
		return nil, err
	}
	f := &fleet{schema: schema, kinds: loadKinds(src.kinds, l), checker: newChecker(schema), refs: refs}
	d := &decoder{ledger: l, kinds: f.kinds, names: make(map[string]place)}
	for _, s := range src.yaml {
		docs, sound := parse(s, l)
		if !sound {
			f.unreadable = append(f.unreadable, s.data)
		}
		for _, n := range docs {
			d.document(n)
		}
	}
	assemble(d, f)
	f.fragments(d)
	devices, mistakes, err := f.render(ctx)
	if err != nil {
		return nil, err
	}
	r := &Result{Mistakes: settle(append(l.list, mistakes...)), Files: len(src.yaml) + len(src.kinds)}
	if len(r.Mistakes) == 0 {
		r.Devices = devices
	}
	return r, nil
}

// render renders all devices, on all processors. The result is in the devices'
// order, whoever was first.
func (f *fleet) render(ctx context.Context) ([]Device, []mistake, error) {
	devices := make([]Device, len(f.subjects))
	mistakes := make([][]mistake, len(f.subjects))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(f.subjects)) {
		wg.Go(func() {
			w := worker{fleet: f}
			if !f.kinds.broken && len(f.kinds.names) > 0 {
				// Compiled before without mistakes; an error would show as
				// documents that could not be evaluated.
				w.evaluator, _ = newEvaluator(f.kinds)
			}
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(f.subjects) {
					return
				}
				devices[i], mistakes[i] = w.render(ctx, f.subjects[i])
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	return devices, slices.Concat(mistakes...), nil
}
