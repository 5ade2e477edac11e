package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Change is one change of a key, or the mark that all current values were told.
type Change[T any] struct {
	Key     string
	Value   T
	Rev     uint64
	Deleted bool // the key is gone; Value is the zero value
	Current bool // all values that stood when the watch began came before; nothing else is set
}

const (
	watchBeat  = 5 * time.Second        // a silence of twice this long restarts a watch
	watchCheck = time.Second            // how often a watch that is not current looks whether it is
	watchPause = 250 * time.Millisecond // before the first restart; doubles up to watchLimit
	watchLimit = 5 * time.Second
)

var errGap = errors.New("a message is missing")

// Watch tells every current value, then one Change with Current set, then each
// change as it comes. The channel is closed when ctx ends, and not before: a lost
// connection is resumed, and what changed meanwhile is told.
//
// A reader may be as slow as it likes. It never blocks the bus; what changes
// while a key waits to be read replaces it, so that the reader gets the latest
// value of each key and never misses the last one. A key that came and went
// between two reads is told as Deleted.
func (t *Table[T]) Watch(ctx context.Context) (<-chan Change[T], error) {
	w := &watch{bus: t.bus, filter: t.filter(), buf: newBuffer(), known: make(map[string]uint64)}
	if _, err := t.subject(""); err != nil {
		return nil, fmt.Errorf("watch %s: %w", t.name, err)
	}
	s, err := w.begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", t.name, err)
	}
	out := make(chan Change[T])
	go func() {
		defer close(out)
		var wg sync.WaitGroup
		wg.Go(func() { w.follow(ctx, s) })
		t.pump(ctx, w.buf, out)
		wg.Wait()
	}()
	return out, nil
}

// All reads every entry of the table. It is not a snapshot: entries that change
// while it reads are seen before or after the change, but never left out.
func (t *Table[T]) All(ctx context.Context) (map[string]Entry[T], error) {
	all, err := t.all(ctx)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", t.name, err)
	}
	return all, nil
}

// all is a watch that ends when it is current.
func (t *Table[T]) all(ctx context.Context) (map[string]Entry[T], error) {
	w := &watch{bus: t.bus, filter: t.filter(), buf: newBuffer(), known: make(map[string]uint64)}
	s, err := w.begin(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	wg.Go(func() {
		_, err := w.run(ctx, s)
		cancel(err)
	})
	all := make(map[string]Entry[T])
	for {
		it, ok := w.buf.take(ctx)
		if !ok {
			return nil, context.Cause(ctx)
		}
		if it.current {
			return all, nil
		}
		c, err := t.change(it)
		if err != nil {
			return nil, fmt.Errorf("subject %s: %w", it.subject, err)
		}
		if c.Deleted {
			delete(all, c.Key)
		} else {
			all[c.Key] = Entry[T]{Value: c.Value, Rev: c.Rev}
		}
	}
}

// pump hands the buffer's content to the reader.
func (t *Table[T]) pump(ctx context.Context, buf *buffer, out chan<- Change[T]) {
	for {
		it, ok := buf.take(ctx)
		if !ok {
			return
		}
		c, err := t.change(it)
		if err != nil {
			t.bus.log.ErrorContext(ctx, "value in a table cannot be read", "table", t.name, "subject", it.subject, "err", err)
			continue
		}
		select {
		case out <- c:
		case <-ctx.Done():
			return
		}
	}
}

func (t *Table[T]) change(it item) (Change[T], error) {
	if it.current {
		return Change[T]{Current: true}, nil
	}
	key, err := t.key(it.subject)
	if err != nil {
		return Change[T]{}, err
	}
	c := Change[T]{Key: key, Rev: it.rev, Deleted: it.deleted}
	if !it.deleted {
		err = json.Unmarshal(it.data, &c.Value)
	}
	return c, err
}

// watch follows one filter of the tables into a buffer. Each of its sessions
// reads all of the current values and then the changes; from the second on, what
// is known already is left out, and what is missing is told as deleted.
type watch struct {
	bus    *Bus
	filter string
	buf    *buffer
	told   bool              // Current was put
	known  map[string]uint64 // subject → revision that was put, deleted ones left out
}

// session is one consumer of a watch.
type session struct {
	cons      jetstream.Consumer
	reconnect <-chan struct{}
	broken    chan error    // holds at most one
	drained   chan struct{} // holds at most one: the server had nothing more to give
	before    uint64        // the stream's last sequence before the consumer was made
	count     uint64        // subjects that matched when it was made

	mu      sync.Mutex
	over    bool // nothing is taken any more
	next    uint64
	newest  uint64              // highest revision met
	current bool                // all that stood when it began was put
	met     map[string]struct{} // subjects met before current
}

func (w *watch) begin(ctx context.Context) (*session, error) {
	reconnect := w.bus.reconnect.next()
	info, err := w.bus.streamInfo(ctx, tables)
	if err != nil {
		return nil, err
	}
	cons, err := w.bus.reader(ctx, tables, jetstream.ConsumerConfig{FilterSubject: w.filter})
	if err != nil {
		return nil, err
	}
	return &session{
		cons: cons, reconnect: reconnect, broken: make(chan error, 1), drained: make(chan struct{}, 1),
		before: info.State.LastSeq, count: cons.CachedInfo().NumPending, next: 1, met: make(map[string]struct{}),
	}, nil
}

// follow runs sessions until ctx ends.
func (w *watch) follow(ctx context.Context, s *session) {
	pause := watchPause
	for {
		current, err := w.run(ctx, s)
		for err != nil && ctx.Err() == nil {
			if current {
				pause, current = watchPause, false
			}
			w.bus.log.WarnContext(ctx, "watch restarts", "filter", w.filter, "err", err)
			if !wait(ctx, pause) {
				return
			}
			pause = min(2*pause, watchLimit)
			if s, err = w.begin(ctx); err == nil {
				break
			}
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// run reads one session until it breaks or ctx ends.
func (w *watch) run(ctx context.Context, s *session) (current bool, err error) {
	defer w.bus.forget(ctx, tables, s.cons)
	if s.count == 0 {
		w.becomeCurrent(s) // no message is taken yet
	}
	sub, err := s.cons.Consume(func(m jetstream.Msg) { w.take(s, m) },
		jetstream.PullExpiry(2*watchBeat), jetstream.PullHeartbeat(watchBeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { s.fail(err) }))
	if err != nil {
		return false, err
	}
	defer func() {
		sub.Stop()
		s.mu.Lock()
		s.over, current = true, s.current
		s.mu.Unlock()
	}()
	check := time.NewTicker(watchCheck)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case err := <-s.broken:
			return false, err
		case <-s.reconnect:
			return false, errors.New("connection was lost")
		case <-s.drained:
		case <-check.C:
		}
		// Not only when drained: a value the session waits for may have gone away.
		done, err := w.look(ctx, s)
		if err != nil {
			return false, err
		}
		if done {
			check.Stop()
		}
	}
}

// look makes a session current that has met every subject there is. The server's
// word that nothing is pending is not enough: a value that is overwritten while
// it waits leaves the queue before its successor is counted.
func (w *watch) look(ctx context.Context, s *session) (current bool, err error) {
	if s.isCurrent() {
		return true, nil
	}
	subjects, err := w.bus.subjects(ctx, tables, w.filter)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for subject := range subjects {
		if _, ok := s.met[subject]; !ok && !s.current {
			return false, nil
		}
	}
	if !s.current {
		w.becomeCurrent(s)
	}
	return true, nil
}

func (s *session) isCurrent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

func (s *session) fail(err error) {
	select {
	case s.broken <- err:
	default:
	}
}

// take puts one message into the buffer. It never blocks.
func (w *watch) take(s *session, m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		s.fail(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	if meta.Sequence.Consumer != s.next {
		s.over = true
		s.fail(fmt.Errorf("%w: got %d, want %d", errGap, meta.Sequence.Consumer, s.next))
		return
	}
	s.next++
	rev := meta.Sequence.Stream
	s.newest = max(s.newest, rev)
	w.put(s, item{subject: m.Subject(), rev: rev, data: m.Data(), deleted: deleted(m.Headers())})
	switch {
	case s.current:
	case uint64(len(s.met)) == s.count && s.newest <= s.before:
		// As many as there were, all of them from before: nothing moved meanwhile.
		w.becomeCurrent(s)
	case meta.NumPending == 0:
		select {
		case s.drained <- struct{}{}:
		default:
		}
	}
}

// put passes on what the reader does not know.
func (w *watch) put(s *session, it item) {
	if !s.current {
		s.met[it.subject] = struct{}{}
	}
	was, known := w.known[it.subject]
	if known && it.rev <= was {
		return // told by an earlier session; or older, from a replica that lags
	}
	if !it.deleted {
		w.known[it.subject] = it.rev
		w.buf.put(it)
		return
	}
	if known {
		delete(w.known, it.subject)
		w.buf.put(item{subject: it.subject, rev: it.rev, deleted: true})
	}
}

// becomeCurrent tells what went away unseen, and once that all was told. What is
// newer than all that the session met is spared: a replica that lags has not got
// it yet.
func (w *watch) becomeCurrent(s *session) {
	for subject, rev := range w.known {
		if _, ok := s.met[subject]; !ok && rev <= s.newest {
			delete(w.known, subject)
			w.buf.put(item{subject: subject, rev: rev, deleted: true})
		}
	}
	s.current, s.met = true, nil
	if !w.told {
		w.told = true
		w.buf.put(item{current: true})
	}
}

// item is what waits in a buffer.
type item struct {
	subject string
	rev     uint64
	data    []byte
	deleted bool
	current bool // the mark; its subject is empty
}

// buffer is a queue that holds the latest item per subject, each subject at the
// place where it came in first.
type buffer struct {
	mu    sync.Mutex
	order []string
	items map[string]item
	wake  chan struct{} // holds at most one
}

func newBuffer() *buffer {
	return &buffer{items: make(map[string]item), wake: make(chan struct{}, 1)}
}

func (b *buffer) put(it item) {
	b.mu.Lock()
	if _, waits := b.items[it.subject]; !waits {
		b.order = append(b.order, it.subject)
	}
	b.items[it.subject] = it
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take waits for the oldest item. It has one caller.
func (b *buffer) take(ctx context.Context) (item, bool) {
	for {
		if it, ok := b.pop(); ok {
			return it, true
		}
		select {
		case <-ctx.Done():
			return item{}, false
		case <-b.wake:
		}
	}
}

func (b *buffer) pop() (item, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.order) == 0 {
		b.order = nil
		return item{}, false
	}
	subject := b.order[0]
	b.order[0], b.order = "", b.order[1:]
	it := b.items[subject]
	delete(b.items, subject)
	return it, true
}

// wait sleeps, and says whether ctx still stands.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
