package gitwatch

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func middle() float64 { return 0.5 }

func TestWaitsAreJitteredByATenth(t *testing.T) {
	for random, want := range map[float64]time.Duration{0: 54 * time.Second, 0.5: time.Minute, 0.999999999: 66 * time.Second} {
		got := cadence{interval: time.Minute, random: func() float64 { return random }}.wait(0)
		if got.Round(time.Millisecond) != want {
			t.Errorf("random %v: wait %s, want %s", random, got, want)
		}
	}
}

func TestFailuresWaitLongerUpToTheInterval(t *testing.T) {
	var got []time.Duration
	for failures := range 9 {
		got = append(got, cadence{interval: time.Minute, random: middle}.wait(failures)/time.Second)
	}
	if d := cmp.Diff([]time.Duration{60, 1, 2, 4, 8, 16, 32, 60, 60}, got); d != "" {
		t.Error(d)
	}
	if got := (cadence{interval: 200 * time.Millisecond, random: middle}).wait(1); got != 200*time.Millisecond {
		t.Errorf("wait %s, above the interval", got)
	}
	if got := (cadence{interval: time.Minute, random: middle}).wait(1 << 40); got != time.Minute {
		t.Errorf("wait %s after very many failures", got)
	}
}

// looks records when a cadence looks, in seconds of virtual time.
type looks struct {
	begin time.Time
	at    []float64
	fail  func(n int) error
}

func (l *looks) look(context.Context) error {
	l.at = append(l.at, time.Since(l.begin).Seconds())
	if l.fail != nil {
		return l.fail(len(l.at))
	}
	return nil
}

func TestLooksAtOnceThenAtEachInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Second)
		defer cancel()
		l := &looks{begin: time.Now()}
		cadence{interval: time.Minute, random: middle}.run(ctx, nil, l.look)
		if d := cmp.Diff([]float64{0, 60, 120, 180}, l.at); d != "" {
			t.Error(d)
		}
	})
}

func TestAFailureIsRetriedSoonerThanTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 140*time.Second)
		defer cancel()
		l := &looks{begin: time.Now(), fail: func(n int) error {
			if n >= 2 && n <= 4 {
				return errors.New("down")
			}
			return nil
		}}
		cadence{interval: time.Minute, random: middle}.run(ctx, nil, l.look)
		if d := cmp.Diff([]float64{0, 60, 61, 63, 67, 127}, l.at); d != "" {
			t.Error(d)
		}
	})
}

func TestANudgeLooksAtOnceAndNoneIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
		defer cancel()
		w := &Watcher{}
		l := &looks{begin: time.Now()}
		l.fail = func(n int) error {
			if n == 2 { // during a look: good for one more, however many
				w.Look()
				w.Look()
				w.Look()
			}
			return nil
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			cadence{interval: time.Minute, random: middle}.run(ctx, w.nudged(), l.look)
		}()
		time.Sleep(10 * time.Second)
		w.Look()
		<-done
		if d := cmp.Diff([]float64{0, 10, 10, 70}, l.at); d != "" {
			t.Error(d)
		}
	})
}

func TestALookBeforeRunIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		w := &Watcher{}
		w.Look()
		l := &looks{begin: time.Now()}
		cadence{interval: time.Minute, random: middle}.run(ctx, w.nudged(), l.look)
		if d := cmp.Diff([]float64{0, 0}, l.at); d != "" {
			t.Error(d)
		}
	})
}
