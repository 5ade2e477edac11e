package renderer

import (
	"bytes"
	"context"
	"io/fs"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/setpoint-net/setpoint/models"
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

// Renderer renders config repos. Its zero value is ready: kinds are then evaluated
// in this process. It is safe for concurrent use; its fields are set before the
// first call and not changed after. What it keeps between calls saves work and
// never changes a byte of what comes out.
type Renderer struct{}

// Render renders a config repo with a Renderer of its own.
func Render(ctx context.Context, repo fs.FS) (*Result, error) {
	return new(Renderer).Render(ctx, repo)
}

// Render renders a config repo. The error is one of reading the tree, or ctx's;
// whatever the repo's authors can mend is in Result.Mistakes. Kinds run inside
// this call, and a kind that doesn't end can't be cancelled by ctx.
func (r *Renderer) Render(ctx context.Context, repo fs.FS) (*Result, error) {
	l := &ledger{}
	src, err := gather(ctx, repo, l)
	if err != nil {
		return nil, err
	}
	m, err := loadModels()
	if err != nil {
		return nil, err
	}
	f := &fleet{schema: m.schema, kinds: loadKinds(src.kinds, l), checker: newChecker(m), refs: m.refs, groupFiles: make(map[string]bool)}
	d := &decoder{ledger: l, kinds: f.kinds, names: make(map[string]place)}
	files := make([]parsed, len(src.yaml))
	if err := each(ctx, len(files), func() func(int) {
		return func(i int) { files[i] = parseFile(src.yaml[i]) }
	}); err != nil {
		return nil, err
	}
	for i, file := range files {
		l.list = append(l.list, file.list...)
		if !file.sound {
			f.unreadable = append(f.unreadable, src.yaml[i].data)
		}
		if bytes.Contains(src.yaml[i].data, []byte("Group")) {
			f.groupFiles[src.yaml[i].name] = true
		}
		for _, n := range file.docs {
			d.document(n)
		}
	}
	assemble(d, f)
	f.fragments(d)
	devices, mistakes, err := f.render(ctx)
	if err != nil {
		return nil, err
	}
	out := &Result{Mistakes: settle(append(l.list, mistakes...)), Files: len(src.yaml) + len(src.kinds)}
	if len(out.Mistakes) == 0 {
		out.Devices = devices
	}
	return out, nil
}

// parsed is one file's documents and what is wrong with it as YAML.
type parsed struct {
	ledger
	docs  []*node
	sound bool
}

func parseFile(src source) parsed {
	var p parsed
	p.docs, p.sound = parse(src, &p.ledger)
	return p
}

// render renders all devices. The result is in the devices' order, whoever was
// first.
func (f *fleet) render(ctx context.Context) ([]Device, []mistake, error) {
	devices := make([]Device, len(f.subjects))
	mistakes := make([][]mistake, len(f.subjects))
	err := each(ctx, len(f.subjects), func() func(int) {
		w := worker{fleet: f}
		if !f.kinds.broken && slices.ContainsFunc(f.subjects, func(s *subject) bool { return len(s.requests) > 0 }) {
			// Compiled before without mistakes; an error would show as
			// documents that could not be evaluated.
			w.evaluator, _ = newEvaluator(f.kinds)
		}
		return func(i int) { devices[i], mistakes[i] = w.render(ctx, f.subjects[i]) }
	})
	return devices, slices.Concat(mistakes...), err
}

// each calls work for 0 to n-1 on all processors, with one function per
// goroutine, until ctx ends.
func each(ctx context.Context, n int, start func() func(int)) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		wg.Go(func() {
			work := start()
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				work(i)
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}
