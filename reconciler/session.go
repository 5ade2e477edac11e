package reconciler

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

const (
	// A difference counts when two reads agree that are this far apart, and the
	// device spoke of no change between them.
	debounce = 75 * time.Millisecond

	looksAtOnce = 8 // in a row, and one more each second

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

	mu     sync.Mutex
	stirs  uint64          // times that the device was said to have changed
	seen   uint64          // of them, before the last read began
	where  map[string]bool // what was said to have changed since: top containers, "" for any
	credit time.Time       // until when looks at once have been used up, at one each second
}

// stir notes that the device is said to have changed, and says how soon to look:
// at once, where all was quiet before and it says where. A device that goes on and
// on is looked at every debounce.
func (s *session) stir(root string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	quiet := s.stirs == s.seen
	s.stirs++
	if s.where == nil {
		s.where = map[string]bool{}
	}
	s.where[root] = true
	now := time.Now()
	if now.After(s.credit) {
		s.credit = now
	}
	if !quiet || root == "" || s.credit.Sub(now) > looksAtOnce*time.Second {
		return debounce
	}
	s.credit = s.credit.Add(time.Second)
	return 0
}

// quiet says that the device has not stirred since it was last read.
func (s *session) quiet() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stirs == s.seen
}

// begin notes that the device is about to be read. It takes what is said to have
// changed since the last time, in one step with saying so: whatever comes later is
// left for the next read.
func (s *session) begin() (where map[string]bool, stirred bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	where, stirred = s.where, s.stirs != s.seen
	s.seen, s.where = s.stirs, nil
	return where, stirred
}

// doubtful are the top containers that have to be read: nil for all. A device that
// was read as a whole and watched since is read where it stirred, and where it
// was not as intended; after a resync's time, it is read as a whole again.
func (m *member) doubtful(where map[string]bool) []string {
	if !m.complete || !time.Now().Before(m.due) || where[""] {
		return nil
	}
	roots := slices.AppendSeq(m.seen.unlike(), maps.Keys(where))
	slices.Sort(roots)
	return slices.Compact(roots)
}

// read reads what runs on the device, over a new session if there is none: all that
// is managed, or where not all is asked for, as much as is in doubt.
func (f *fleet) read(ctx context.Context, m *member, all bool) ([]tree.Part, error) {
	if m.session == nil {
		if err := f.dial(ctx, m); err != nil {
			return nil, err
		}
	}
	m.read = time.Now()
	where, stirred := m.session.begin()
	m.stirred = stirred
	ctx, cancel := context.WithTimeout(ctx, readDeadline)
	defer cancel()
	if roots := m.doubtful(where); len(roots) > 0 && !all {
		return m.session.Read(ctx, roots)
	}
	parts, err := m.session.Read(ctx, nil)
	if err == nil {
		m.complete, m.due = true, m.read.Add(spread(f.Resync, rand.Float64()))
	}
	return parts, err
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
	m.suspect, m.complete = "", false
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
		err := s.Watch(ctx, func(root string) { f.queue.notice(name, s.stir(root), debounce) })
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
		s.stir("")
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
