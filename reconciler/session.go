package reconciler

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

const (
	debounce = 75 * time.Millisecond // what a device streams within it is read together

	// Outer bounds: a device has its own deadlines, which are shorter.
	dialDeadline = time.Minute
	readDeadline = 10 * time.Minute
	setDeadline  = 10 * time.Minute
)

// session is a device that is connected and watched.
type session struct {
	Device
	stop  context.CancelFunc
	ended chan struct{} // closed when the watch has ended
	stirs atomic.Uint64 // times that the device was said to have changed
	seen  uint64        // stirs when it was last read
}

// quiet says that the device has not stirred since it was last read.
func (s *session) quiet() bool { return s.stirs.Load() == s.seen }

// read reads what runs on the device, over a new session if there is none.
func (f *fleet) read(ctx context.Context, m *member) (*tree.Tree, error) {
	if m.session == nil {
		if err := f.dial(ctx, m); err != nil {
			return nil, err
		}
	}
	m.session.seen = m.session.stirs.Load()
	ctx, cancel := context.WithTimeout(ctx, readDeadline)
	defer cancel()
	return m.session.Running(ctx)
}

// dial opens a session and begins to watch it. The watch outlives the look: it
// ends with hangUp or with the reconciler.
func (f *fleet) dial(ctx context.Context, m *member) error {
	short, cancel := context.WithTimeout(ctx, dialDeadline)
	defer cancel()
	d, err := f.Dial(short, m.entry)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	m.session = &session{Device: d, stop: stop, ended: make(chan struct{})}
	go f.watch(ctx, m.name, m.session)
	f.Log.DebugContext(ctx, "session opened", "device", m.name, "address", m.entry.Address)
	return nil
}

// hangUp ends a member's session, and waits for its watch.
func (f *fleet) hangUp(m *member) {
	if m.session == nil {
		return
	}
	m.session.stop()
	if err := m.session.Close(); err != nil {
		f.Log.Debug("session closed", "device", m.name, "err", err)
	}
	<-m.session.ended
	m.session = nil
}

// watch turns what a device streams into looks until ctx ends. A stream that
// breaks is begun again on the same session, after a look that reads what was
// missed; if the session is gone that look finds out, and dials.
func (f *fleet) watch(ctx context.Context, name models.DeviceName, s *session) {
	defer close(s.ended)
	for failures := 0; ; {
		begun := time.Now()
		err := s.Watch(ctx, func() {
			s.stirs.Add(1)
			f.queue.lookAfter(name, debounce)
		})
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = fmt.Errorf("watch %s: ended", name)
		}
		if time.Since(begun) > ceiling {
			failures = 0
		}
		failures++
		if failures == 1 {
			f.Log.WarnContext(ctx, "watch broke", "device", name, "err", err)
		}
		s.stirs.Add(1)
		pause := backoff(failures, rand.Float64())
		f.queue.lookAfter(name, min(pause, time.Second))
		if !sleep(ctx, pause) {
			return
		}
	}
}

// sleep waits for d; it is false if ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
