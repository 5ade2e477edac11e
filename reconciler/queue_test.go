package reconciler

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/setpoint-net/setpoint/models"
)

// bench runs a queue in a synctest bubble and keeps what its workers did.
type bench struct {
	*queue
	t    *testing.T
	took time.Duration // by each look

	mu     sync.Mutex
	with   map[models.DeviceName]int
	begun  []string // "name@time since start"
	start  time.Time
	answer func(models.DeviceName) next
}

func (b *bench) work(ctx context.Context, name models.DeviceName) next {
	b.mu.Lock()
	b.with[name]++
	if b.with[name] > 1 {
		b.t.Errorf("%s is with %d workers", name, b.with[name])
	}
	b.begun = append(b.begun, fmt.Sprintf("%s@%v", name, time.Since(b.start)))
	b.mu.Unlock()
	pass(b.took)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.with[name]--
	return b.answer(name)
}

func (b *bench) log() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.begun)
}

// pass lets time pass on the bubble's clock.
func pass(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}

// withQueue calls f in a bubble beside a running queue.
func withQueue(t *testing.T, workers int, took time.Duration, f func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, took: took, with: map[models.DeviceName]int{}, start: time.Now(), answer: func(models.DeviceName) next { return next{} }}
		b.queue = newQueue(workers, b.work)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { b.run(ctx, workers) })
		f(b)
		cancel()
		wg.Wait()
	})
}

func wantLog(t *testing.T, b *bench, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := b.log(); !slices.Equal(got, want) {
		t.Errorf("looks:\n got %q\nwant %q", got, want)
	}
}

func TestQueueNeverSharesAKey(t *testing.T) {
	withQueue(t, 8, 10*time.Millisecond, func(b *bench) {
		for i := range 400 {
			b.look(models.DeviceName(fmt.Sprint("d", i%5)))
			pass(time.Millisecond)
		}
	})
}

func TestQueueRemembersALookWhileRunning(t *testing.T) {
	withQueue(t, 4, time.Second, func(b *bench) {
		b.look("a")
		pass(100 * time.Millisecond)
		b.look("a")
		b.look("a")
		pass(10 * time.Second)
		wantLog(t, b, "a@0s", "a@1s")
	})
}

func TestQueueRemembersALaterLookWhileRunning(t *testing.T) {
	withQueue(t, 4, time.Second, func(b *bench) {
		b.look("a")
		pass(100 * time.Millisecond)
		b.lookAfter("a", 3*time.Second)
		pass(10 * time.Second)
		wantLog(t, b, "a@0s", "a@3.1s")
	})
}

func TestQueueRunsTheEarliestOfSeveralDelays(t *testing.T) {
	withQueue(t, 4, 0, func(b *bench) {
		b.lookAfter("a", 5*time.Second)
		b.lookAfter("a", 2*time.Second)
		b.lookAfter("a", 9*time.Second)
		pass(20 * time.Second)
		wantLog(t, b, "a@2s")
	})
}

func TestQueueALookClearsTheDelay(t *testing.T) {
	withQueue(t, 4, 0, func(b *bench) {
		b.lookAfter("a", 5*time.Second)
		pass(time.Second)
		b.look("a")
		pass(20 * time.Second)
		wantLog(t, b, "a@1s")
	})
}

func TestQueueLooksAgainAsTheWorkAsked(t *testing.T) {
	withQueue(t, 4, 0, func(b *bench) {
		answers := []next{{after: 2 * time.Second}, {after: time.Second, slow: true}, {}}
		b.answer = func(models.DeviceName) next {
			n := answers[0]
			answers = answers[1:]
			return n
		}
		b.look("a")
		pass(time.Minute)
		wantLog(t, b, "a@0s", "a@2s", "a@3s")
	})
}

func TestQueueForgetsAnIdleKey(t *testing.T) {
	withQueue(t, 4, 0, func(b *bench) {
		b.look("a")
		b.lookAfter("b", time.Second)
		pass(2 * time.Second)
		synctest.Wait()
		b.queue.mu.Lock()
		defer b.queue.mu.Unlock()
		if len(b.items) > 0 {
			t.Errorf("%d items left", len(b.items))
		}
	})
}

// Eight devices time out for a minute each, over and over; a ninth is served
// at once whenever it is looked at.
func TestQueueSlowKeysHoldUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		worst, looks := time.Duration(0), 0
		asked := time.Time{}
		q := newQueue(4, func(_ context.Context, name models.DeviceName) next {
			if name != "alive" {
				time.Sleep(time.Minute)
				return next{after: time.Second, slow: true}
			}
			mu.Lock()
			defer mu.Unlock()
			looks++
			worst = max(worst, time.Since(asked))
			return next{}
		})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { q.run(ctx, 4) })
		for i := range 8 {
			q.look(models.DeviceName(fmt.Sprint("dead", i)))
		}
		time.Sleep(3 * time.Minute) // each has failed once
		for range 20 {
			mu.Lock()
			asked = time.Now()
			mu.Unlock()
			q.look("alive")
			time.Sleep(7 * time.Second)
		}
		cancel()
		wg.Wait()
		if looks != 20 || worst > 0 {
			t.Errorf("%d of 20 looks, the slowest waited %v", looks, worst)
		}
	})
}

func TestQueueStopsWithItsContext(t *testing.T) {
	withQueue(t, 4, time.Second, func(b *bench) {
		b.look("a")
		b.lookAfter("b", 100*time.Millisecond)
		b.lookAfter("c", time.Hour)
	})
}

func TestBackoffGrowsToItsCeiling(t *testing.T) {
	want := []time.Duration{200 * time.Millisecond, time.Second, 3 * time.Second, 6 * time.Second, 12 * time.Second, 24 * time.Second, 48 * time.Second, ceiling, ceiling}
	for i, w := range want {
		if got := backoff(i+1, 0); got != w {
			t.Errorf("backoff(%d) = %v, want %v", i+1, got, w)
		}
		if got := backoff(i+1, 0.999); got < w*3/4 || got > w {
			t.Errorf("backoff(%d) with jitter = %v, want within a quarter below %v", i+1, got, w)
		}
	}
	if got := backoff(10_000, 0); got != ceiling {
		t.Errorf("backoff(10000) = %v", got)
	}
}

func TestSpreadStaysWithinTenPercent(t *testing.T) {
	for _, r := range []float64{0, 0.25, 0.5, 0.75, 0.999} {
		if got := spread(10*time.Minute, r); got < 9*time.Minute || got > 11*time.Minute {
			t.Errorf("spread(10m, %v) = %v", r, got)
		}
	}
}
