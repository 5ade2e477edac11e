// Package reconciler keeps every device at its assignment: device name in,
// outcome out.
//
// # How it works
//
// It is level-triggered. A look at a device reads what runs on it, compares that
// with the intended config of its assignment, decides, acts, and reads back:
//
//	assignment ─┐
//	watch ──────┼─▶ queue ─▶ look: read ▶ plan ▶ decide ▶ act ▶ read back ─▶ status, episode, event
//	resync ─────┘
//
// What made it look does not matter: an assignment that moved, a change that the
// device streamed, a retry, or the resync that stands behind every stream,
// because silence is not success. One worker has a device at a time, and workers
// are many, as looking is waiting for a network.
//
// A look reads the top containers that the device spoke of since the last one, and
// those that were not as intended then; at a resync, over a new session, for a new
// assignment and after each Set it reads all. A container whose answer is, byte for
// byte, what it was when it was found as intended costs a hash and is not parsed.
//
// Of each device it keeps in memory its session, its last status and a few
// hashes; trees are let go after a look. All that matters is in the tables:
// status and episode, written by compare-and-set, never over those of a higher
// generation. A reconciler that is killed at any point reads first when it is
// back, and what it finds equal it does not write again.
//
// # Decisions
//
// The function decide is the whole policy, as a pure function of the assignment,
// the last status and what was read. In words:
//
//   - equal is applied, however it came about;
//   - in phase hold nothing is ever written: the plan is shown and awaits approval;
//   - in phase apply one Set is made, or where the platform has phases one for
//     each up to the first that fails. Refused, or accepted and still different
//     after it was read back: held, until the intended config changes;
//   - what was applied once and differs now is drift. It counts when two
//     successive reads agree, 75 ms apart, and the device spoke of no change
//     between them. Mode enforce puts a settled device back; while a
//     rollout is under way drift is recorded, and nothing more;
//   - without an assignment nothing is written and nothing is read.
//
// # Promises
//
// A read that failed or is partial makes a device unknown or unreachable, never
// empty, and is never acted upon. A Set whose outcome is unknown is followed by a
// read, not by another Set. No Set is begun unless the bus has taken the note
// that it is about to be (a full store excepted: it stops no service). A device
// that is down holds up no other, is tried for ever with a growing pause, and is
// caught up when it is back. A device that keeps leaving its config is put back
// five times in ten minutes and then left alone.
//
// # Never
//
// It assigns nothing: only a rollout does. It knows no gNMI: what a device is, it
// says with the interface Device. Values of secret leaves appear in no status,
// event, blob or log, because plans leave them out by schema.
package reconciler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/plan"
)

// Device is a session with one device. Each method ends with its context.
type Device interface {
	// Read reads the managed part of what runs on the device, of some top containers
	// or, for nil, of all that have any. A partial read is an error.
	Read(ctx context.Context, roots []string) ([]tree.Part, error)

	// Apply makes one atomic Set of a plan's operations. The error's class tells what became of it.
	Apply(context.Context, *plan.Plan) error

	// Watch calls changed when managed config may have changed, once it watches
	// and then on each change, until the stream breaks (an error) or its context
	// ends. It names the top container, or "" where it may be any. The function
	// changed does not block.
	Watch(ctx context.Context, changed func(root string)) error

	// Rungs says how the device is read, watched and written, as far as proved.
	Rungs() map[string]string

	Close() error
}

// Class is what an error of a Device means for what comes next.
type Class uint8

const (
	ClassRetry       Class = iota // passing (a lock, a partial read): try again
	ClassUnreachable              // no session: dial again
	ClassRejected                 // the device refused the content of a Set: not to be sent again
	ClassUnknown                  // a Set that may or may not have been applied: read first
)

// Reconciler keeps the devices. Its fields are set before Run.
type Reconciler struct {
	Assignments *bus.Table[models.Assignment]   // by device; read only
	Devices     *bus.Table[models.DeviceStatus] // by device
	Episodes    *bus.Table[models.Episode]      // by device
	Events      *bus.Topic[models.Event]        // nil: none are published
	Ledgers     *bus.Table[Ledger]              // by device
	Orders      *bus.Table[Order]               // by device; written by whoever asks people
	Blobs       *bus.Blobs
	Schema      *tree.Schema // nil: tree.OpenConfig()

	// Dial opens a session with a device. The session ends with Close, not with
	// the context.
	Dial func(context.Context, models.Device) (Device, error)

	// Classify tells the class of an error that Dial or a Device returned. Nil
	// takes every error for passing.
	Classify func(error) Class

	// Secrets gives the secret that secret://STORE/NAME names, by STORE/NAME. Nil:
	// there is no store.
	Secrets func(string) (string, error)

	// Key marks secrets in the ledgers. Replicas share it; with another one each
	// secret is sent once more.
	Key []byte

	Workers int           // devices looked at at once; 0 means 64
	Resync  time.Duration // a device is read at least this often (±10 %); 0 means 10 minutes
	Log     *slog.Logger  // nil: nothing is logged
}

// Run keeps the devices until ctx ends, and closes their sessions. It returns an
// error only if the tables can't be read at the start.
func (r *Reconciler) Run(ctx context.Context) error {
	f := newFleet(*r)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := f.load(ctx); err != nil {
		return fmt.Errorf("reconciler: %w", err)
	}
	changes, err := r.Assignments.Watch(ctx)
	if err != nil {
		return fmt.Errorf("reconciler: %w", err)
	}
	orders, err := r.Orders.Watch(ctx)
	if err != nil {
		return fmt.Errorf("reconciler: %w", err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { f.heed(orders) })
	wg.Go(func() { f.queue.run(ctx, f.Workers) })
	f.dispatch(changes)
	ended := ctx.Err() != nil
	cancel()
	wg.Wait()
	f.close()
	if !ended {
		return errors.New("reconciler: the watch of the assignments ended")
	}
	return nil
}
