package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/setpoint-net/setpoint/models"
)

// consume runs Consume until stop, which waits for its end.
func consume[T any](t testing.TB, top *Topic[T], durable string, handle func(context.Context, T) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- top.Consume(ctx, durable, handle) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("consume: %v", err)
		}
	}
}

func TestEventsComeInOrderAndTheDurableKeepsItsPlace(t *testing.T) {
	ctx, dir := deadline(t), t.TempDir()+"/store"
	b := open(t, Config{Dir: dir})
	publish := func(from, to int) {
		t.Helper()
		top := TopicOf[value](b, "setpoint.commit")
		for i := from; i < to; i++ {
			if err := top.Publish(ctx, "feature/x.y", fmt.Sprint("id", i), value{N: i}); err != nil {
				t.Fatal(err)
			}
		}
	}
	collect := func(want int) []int {
		t.Helper()
		seen := make(chan int, 100)
		stop := consume(t, TopicOf[value](b, "setpoint.commit"), "renderer", func(_ context.Context, v value) error {
			seen <- v.N
			return nil
		})
		var got []int
		for len(got) < want {
			select {
			case n := <-seen:
				got = append(got, n)
			case <-ctx.Done():
				t.Fatalf("got %v, want %d", got, want)
			}
		}
		stop()
		return got
	}
	publish(0, 5) // before anybody consumes
	publish(3, 5) // again: the same ids
	if err := TopicOf[value](b, "setpoint.commits").Publish(ctx, "", "", value{N: 77}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{0, 1, 2, 3, 4}, collect(5)); diff != "" {
		t.Errorf("first (-want +got):\n%s", diff)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, Config{Dir: dir})
	publish(4, 7) // the first of them is known, also after a restart
	if diff := cmp.Diff([]int{5, 6}, collect(2)); diff != "" {
		t.Errorf("second (-want +got):\n%s", diff)
	}
}

func TestEventsWithoutIDAreNeverTheSame(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	top := TopicOf[value](b, "setpoint.device.held")
	for _, suffix := range []string{"", "", "leaf01"} {
		if err := top.Publish(ctx, suffix, "", value{}); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := b.streams[events].Info(ctx); err != nil || info.State.Msgs != 3 {
		t.Errorf("%d events (%v), want 3", info.State.Msgs, err)
	}
}

func TestAnIDIsOneTopicsOwn(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	for _, subject := range []string{"setpoint.a", "setpoint.b"} {
		if err := TopicOf[value](b, subject).Publish(ctx, "", "same", value{}); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := b.streams[events].Info(ctx); err != nil || info.State.Msgs != 2 {
		t.Errorf("%d events (%v), want 2", info.State.Msgs, err)
	}
}

func TestTopicOutsideTheHouseIsAnError(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	for _, subject := range []string{"", "other", "setpoint.", "setpoint.a..b", "setpoint.*", "setpoint.>", "setpoint.a b", "setpoint-blobs.x"} {
		top := TopicOf[value](b, subject)
		if err := top.Publish(ctx, "", "", value{}); err == nil {
			t.Errorf("%q was published", subject)
		}
		if err := top.Consume(ctx, "d", nil); err == nil {
			t.Errorf("%q was consumed", subject)
		}
	}
	if err := TopicOf[value](b, "setpoint.a").Publish(ctx, strings.Repeat("x", maxToken+1), "", value{}); err == nil {
		t.Error("a suffix too long was published")
	}
	if err := TopicOf[string](b, "setpoint.a").Publish(ctx, "", "", strings.Repeat("x", 1<<20)); err == nil || !strings.Contains(err.Error(), "event has") {
		t.Errorf("too large: %v", err)
	}
}

func TestEventThatIsNoTIsLeftOut(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	if err := TopicOf[string](b, "setpoint.a").Publish(ctx, "", "", "not a value"); err != nil {
		t.Fatal(err)
	}
	if err := TopicOf[value](b, "setpoint.a").Publish(ctx, "", "", value{N: 1}); err != nil {
		t.Fatal(err)
	}
	seen := make(chan int, 2)
	stop := consume(t, TopicOf[value](b, "setpoint.a"), "d", func(_ context.Context, v value) error {
		seen <- v.N
		return nil
	})
	defer stop()
	select {
	case n := <-seen:
		if n != 1 {
			t.Errorf("got %d", n)
		}
	case <-ctx.Done():
		t.Error("the readable event never came")
	}
}

// bubble runs f with a bus on virtual time.
func bubble(t *testing.T, f func(t *testing.T, b *Bus)) {
	dir := t.TempDir() + "/store"
	synctest.Test(t, func(t *testing.T) {
		b, err := Open(t.Context(), Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		f(t, b)
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestFailedEventIsRetriedWithBackoffAndNotOvertaken(t *testing.T) {
	bubble(t, func(t *testing.T, b *Bus) {
		top := TopicOf[value](b, "setpoint.commit")
		for i := range 2 {
			if err := top.Publish(t.Context(), "main", "", value{N: i}); err != nil {
				t.Fatal(err)
			}
		}
		type call struct {
			N     int
			After time.Duration
		}
		calls := make(chan call)
		last := time.Now()
		stop := consume(t, top, "d", func(_ context.Context, v value) error {
			now := time.Now()
			calls <- call{v.N, now.Sub(last).Round(100 * time.Millisecond)}
			last = now
			if v.N == 0 && now.Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) < 4*time.Minute {
				return errors.New("not yet")
			}
			return nil
		})
		var got []call
		for len(got) == 0 || got[len(got)-1].N == 0 {
			got = append(got, <-calls)
		}
		stop()
		ms := time.Millisecond
		want := []call{
			{0, 0},
			{0, 500 * ms},
			{0, 1000 * ms},
			{0, 2000 * ms},
			{0, 4000 * ms},
			{0, 8000 * ms},
			{0, 16000 * ms},
			{0, 32000 * ms},
			{0, 60000 * ms},
			{0, 60000 * ms},
			{0, 60000 * ms},
			{1, 0},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestLongWorkIsNotGivenOutTwice(t *testing.T) {
	bubble(t, func(t *testing.T, b *Bus) {
		top := TopicOf[value](b, "setpoint.commit")
		if err := top.Publish(t.Context(), "main", "", value{}); err != nil {
			t.Fatal(err)
		}
		var calls atomic.Int32
		work := func(context.Context, value) error {
			calls.Add(1)
			time.Sleep(20 * ackWait)
			return nil
		}
		stop := consume(t, top, "d", work)
		other := consume(t, top, "d", work) // would take it if the first were silent
		time.Sleep(50 * ackWait)
		stop()
		other()
		if n := calls.Load(); n != 1 {
			t.Errorf("handled %d times", n)
		}
	})
}

func TestEventOfADeadConsumerIsGivenOutAgain(t *testing.T) {
	bubble(t, func(t *testing.T, b *Bus) {
		top := TopicOf[value](b, "setpoint.commit")
		if err := top.Publish(t.Context(), "main", "", value{N: 5}); err != nil {
			t.Fatal(err)
		}
		// A process that took the event and died: nobody answers for it.
		cons, err := top.consumer(t.Context(), "d")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cons.Next(); err != nil {
			t.Fatal(err)
		}
		start, got := time.Now(), make(chan value)
		stop := consume(t, top, "d", func(_ context.Context, v value) error { got <- v; return nil })
		v := <-got
		if after := time.Since(start); v.N != 5 || after > ackWait+time.Second {
			t.Errorf("got %v after %v", v, after)
		}
		stop()
	})
}

func TestEndOfTheContextGivesTheEventBack(t *testing.T) {
	bubble(t, func(t *testing.T, b *Bus) {
		top := TopicOf[value](b, "setpoint.commit")
		if err := top.Publish(t.Context(), "main", "", value{N: 5}); err != nil {
			t.Fatal(err)
		}
		began := make(chan struct{})
		stop := consume(t, top, "d", func(ctx context.Context, _ value) error {
			close(began)
			<-ctx.Done()
			return ctx.Err()
		})
		<-began
		stop()
		start, got := time.Now(), make(chan value)
		stop = consume(t, top, "d", func(_ context.Context, v value) error { got <- v; return nil })
		<-got
		if after := time.Since(start); after > 100*time.Millisecond {
			t.Errorf("came back after %v", after)
		}
		stop()
	})
}

func TestConsumeSurvivesTheLossOfItsConsumer(t *testing.T) {
	bubble(t, func(t *testing.T, b *Bus) {
		top := TopicOf[value](b, "setpoint.commit")
		got := make(chan value)
		stop := consume(t, top, "d", func(_ context.Context, v value) error { got <- v; return nil })
		synctest.Wait()
		if err := b.js.DeleteConsumer(t.Context(), streamNames[events], "d"); err != nil {
			t.Fatal(err)
		}
		if err := top.Publish(t.Context(), "main", "", value{N: 5}); err != nil {
			t.Fatal(err)
		}
		if v := <-got; v.N != 5 {
			t.Errorf("got %v", v)
		}
		stop()
	})
}

func TestMarksReachTheFileWithinTheirInterval(t *testing.T) {
	dir := t.TempDir() + "/store"
	synctest.Test(t, func(t *testing.T) {
		b, err := Open(t.Context(), Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		tab := TableOf[value](b, "t")
		for i := range 20 {
			rev, err := tab.Update(t.Context(), fmt.Sprint(i), value{}, 0)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(markInterval)
			synctest.Wait()
			w, err := openWatermark(dir+".watermark", b.log)
			if err != nil {
				t.Fatal(err)
			}
			if m := w.seen(); m.Streams[streamNames[tables]] != rev || m.Keys != uint64(i)+1 {
				t.Fatalf("on disk %+v, acknowledged %d", m, rev)
			}
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestFloorIsAGeneration(t *testing.T) {
	bubble(t, func(t *testing.T, b *Bus) {
		if b.Floor() != models.Generation(0) {
			t.Errorf("new store has floor %d", b.Floor())
		}
	})
}
