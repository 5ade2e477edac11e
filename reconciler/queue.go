package reconciler

import (
	"context"
	"sync"
	"time"

	"github.com/setpoint-net/setpoint/models"
)

// queue hands out device names, level-triggered: an entry says that a device
// should be looked at, never why. Its promises:
//
//   - a name is with one worker at a time; a look asked for meanwhile happens
//     after it, once, however often it was asked for;
//   - of several looks asked for later, the earliest happens, and any look
//     clears those that were asked for before it began;
//   - names whose last look failed are slow: they take at most half of the
//     workers, so that devices that let a dial time out hold up no other;
//   - a name with nothing pending is forgotten.
type queue struct {
	// work looks at one device. It is called by the queue's workers.
	work func(context.Context, models.DeviceName) next

	mu     sync.Mutex
	ready  *sync.Cond
	closed bool
	items  map[models.DeviceName]*item
	quick  []models.DeviceName // due, in order
	slow   []models.DeviceName // due, and failed last time
	busy   int                 // workers with a slow name
	limit  int                 // of busy
}

// next is what a look leaves behind: when to look again without being asked
// (zero: not), and whether it failed.
type next struct {
	after time.Duration
	slow  bool
}

type item struct {
	state itemState
	again bool // looked at while with a worker
	slow  bool // failed last time
	lane  bool // with a worker as a slow one
	at    time.Time
	timer *time.Timer
}

type itemState uint8

const (
	idle itemState = iota
	due
	running
)

func newQueue(workers int, work func(context.Context, models.DeviceName) next) *queue {
	q := &queue{work: work, items: map[models.DeviceName]*item{}, limit: max(1, workers/2)}
	q.ready = sync.NewCond(&q.mu)
	return q
}

// look asks for a look at once.
func (q *queue) look(name models.DeviceName) { q.lookAfter(name, 0) }

// lookAfter asks for a look after d, or earlier if one is pending already.
func (q *queue) lookAfter(name models.DeviceName, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	it := q.items[name]
	if it == nil {
		it = &item{}
		q.items[name] = it
	}
	q.plan(name, it, d)
}

// notice asks for a look after d, or after busy if the name is with a worker: what
// is noticed while somebody looks is mostly that somebody acts.
func (q *queue) notice(name models.DeviceName, d, busy time.Duration) {
	q.mu.Lock()
	if it := q.items[name]; it != nil && it.state == running {
		d = max(d, busy)
	}
	q.mu.Unlock()
	q.lookAfter(name, d)
}

// run works the queue with that many workers until ctx ends, and waits for them.
func (q *queue) run(ctx context.Context, workers int) {
	stop := context.AfterFunc(ctx, q.close)
	defer stop()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for name, ok := q.take(); ok; name, ok = q.take() {
				q.done(name, q.work(ctx, name))
			}
		})
	}
	wg.Wait()
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, it := range q.items {
		it.unplan()
	}
	q.ready.Broadcast()
}

// take waits for a name that is due; false means that the queue is closed.
func (q *queue) take() (models.DeviceName, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed {
		if len(q.quick) > 0 {
			name := q.quick[0]
			q.quick = q.quick[1:]
			q.items[name].begin(false)
			return name, true
		}
		if len(q.slow) > 0 && q.busy < q.limit {
			name := q.slow[0]
			q.slow = q.slow[1:]
			q.items[name].begin(true)
			q.busy++
			return name, true
		}
		q.ready.Wait()
	}
	return "", false
}

func (q *queue) done(name models.DeviceName, n next) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := q.items[name]
	if it.lane {
		q.busy--
		q.ready.Signal() // a slow name may go now
	}
	it.state, it.slow, it.lane = idle, n.slow, false
	if q.closed {
		return
	}
	switch {
	case it.again:
		q.plan(name, it, 0)
	case n.after > 0:
		q.plan(name, it, n.after)
	}
	if it.state == idle && it.timer == nil {
		delete(q.items, name)
	}
}

// plan makes a name due now or later. It holds the lock.
func (q *queue) plan(name models.DeviceName, it *item, d time.Duration) {
	switch {
	case it.state == due:
	case d > 0:
		q.delay(name, it, d)
	case it.state == running:
		it.again = true
	default:
		it.unplan()
		it.state = due
		if it.slow {
			q.slow = append(q.slow, name)
		} else {
			q.quick = append(q.quick, name)
		}
		q.ready.Signal()
	}
}

func (q *queue) delay(name models.DeviceName, it *item, d time.Duration) {
	at := time.Now().Add(d)
	if it.timer != nil && !at.Before(it.at) {
		return
	}
	it.unplan()
	it.at = at
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.closed || it.timer != t {
			return
		}
		it.timer = nil
		q.plan(name, it, 0)
	})
	it.timer = t
}

func (it *item) begin(lane bool) {
	it.unplan()
	it.state, it.again, it.lane = running, false, lane
}

func (it *item) unplan() {
	if it.timer != nil {
		it.timer.Stop()
		it.timer = nil
	}
}
