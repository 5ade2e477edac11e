package renderer

import (
	"cmp"
	"context"
	"errors"
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
	Warnings []models.Mistake // what policies warn of: devices are rendered all the same
	Policies bool             // the repo has policies, be they right or wrong
	Notes    []models.Mistake // what is read and checked, and not acted upon by this version
	Files    int              // YAML and CUE files of the tree
	// Fresh is how many devices were rendered anew, and not known from a tree
	// before: a measure of the work that was done, not of what changed.
	Fresh int
}

// Device is an inventory entry and its intended config.
type Device struct {
	models.Device
	Config []byte      // canonical RFC 7951 JSON; shared with other results, not to be changed
	Hash   models.Hash // of Config
}

// Render renders a config repo. The error is one of reading the tree, or ctx's;
// whatever the repo's authors can mend is in Result.Mistakes. Kinds run inside
// this call, and a kind that doesn't end can't be cancelled by ctx: who renders what
// others wrote, or more than one tree, does it with a Renderer.
func Render(ctx context.Context, repo fs.FS) (*Result, error) {
	return new(Renderer).Render(ctx, repo)
}

// render renders all devices. The result is in the devices' order, whoever was
// first. Documents that ran into a limit are left out of a second pass, for all
// devices alike, so that what else is wrong is told whoever was faster.
func (f *fleet) render(ctx context.Context) ([]Device, []mistake, error) {
	for {
		devices, mistakes, err := f.pass(ctx)
		if err != nil || !f.trips.settle() {
			return devices, append(mistakes, f.trips.mistakes()...), err
		}
	}
}

func (f *fleet) pass(ctx context.Context) ([]Device, []mistake, error) {
	devices := make([]Device, len(f.subjects))
	mistakes := make([][]mistake, len(f.subjects))
	faults := make([]error, len(f.subjects))
	err := each(ctx, len(f.subjects), func() func(int) {
		w := &worker{f}
		return func(i int) { devices[i], mistakes[i], faults[i] = w.render(ctx, f.subjects[i]) }
	})
	return devices, slices.Concat(mistakes...), cmp.Or(err, errors.Join(faults...))
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
