package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
)

// shelf is the table slots in memory; it can be full.
type shelf struct {
	mu    sync.Mutex
	rows  map[string]Slot
	revs  map[string]uint64
	rev   uint64
	err   error
	saves int
}

func newShelf() *shelf { return &shelf{rows: map[string]Slot{}, revs: map[string]uint64{}} }

func (s *shelf) Get(_ context.Context, key string) (Slot, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows[key], s.revs[key], nil
}

func (s *shelf) Update(ctx context.Context, key string, v Slot, rev uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saves++
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case s.err != nil:
		return 0, s.err
	case s.revs[key] != rev:
		return 0, bus.ErrConflict
	}
	s.rev++
	s.rows[key], s.revs[key] = v, s.rev
	return s.rev, nil
}

func (s *shelf) Delete(_ context.Context, key string, rev uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.rows, key)
	delete(s.revs, key)
	return nil
}

func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *shelf) saved() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saves
}

func (s *shelf) row(key string) Slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows[key]
}

// wire is a place outside that keeps what was posted and when, and can refuse.
type wire struct {
	mu    sync.Mutex
	posts []string // "<state> <description>"
	tries int
	err   func(Slot) error
}

func (w *wire) post(_ context.Context, s Slot) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tries++
	if w.err != nil {
		if err := w.err(s); err != nil {
			return err
		}
	}
	w.posts = append(w.posts, fmt.Sprintf("%s %s", s.Status.State, s.Status.Description))
	return nil
}

func (w *wire) fail(f func(Slot) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = f
}

func (w *wire) seen() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.posts...)
}

func (w *wire) tried() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tries
}

// logbook keeps log lines.
type logbook struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logbook) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

func (l *logbook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// launch runs s until the bubble's test ends.
func launch(t *testing.T, s *sender) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

func status(g models.Generation, state, description string) want {
	return want{Generation: g, Head: true, Status: &Status{SHA: "a", Context: ContextDeploy, State: state, Description: description}}
}

func TestSenderPostsWhatIsWantedAndRecordsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, w := newShelf(), &wire{}
		s := newSender("status/f", table, slog.New(slog.DiscardHandler), w.post)
		launch(t, s)
		s.want("k", status(1, StatePending, "received"))
		synctest.Wait()
		s.want("k", status(1, StateSuccess, "4 devices converged"))
		synctest.Wait()
		if diff := cmp.Diff([]string{"pending received", "success 4 devices converged"}, w.seen()); diff != "" {
			t.Error(diff)
		}
		row := table.row("k")
		if row.due() || row.Posts != 2 || row.Status.State != StateSuccess {
			t.Errorf("stored %+v", row)
		}
	})
}

func TestSenderSkipsWhatWasPostedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, w := newShelf(), &wire{}
		s := newSender("status/f", table, slog.New(slog.DiscardHandler), w.post)
		launch(t, s)
		s.want("k", status(1, StateSuccess, "done"))
		s.want("k2", status(1, StatePending, "0/4 devices"))
		synctest.Wait()

		again := newSender("status/f", table, slog.New(slog.DiscardHandler), w.post)
		for _, k := range []string{"k", "k2"} {
			v, rev, err := table.Get(t.Context(), k)
			if err != nil {
				t.Fatal(err)
			}
			again.adopt(k, v, rev)
		}
		saves := table.saved()
		launch(t, again)
		again.want("k", status(1, StateSuccess, "done"))
		again.want("k2", status(1, StatePending, "0/4 devices"))
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if n := len(w.seen()); n != 2 {
			t.Errorf("posted %q", w.seen())
		}
		if table.saved() != saves {
			t.Errorf("%d writes of slots that did not change", table.saved()-saves)
		}
	})
}

func TestSenderPostsAgainWhatWasNotRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		stored := Slot{Generation: 1, Status: status(1, StateSuccess, "done").Status}
		s := newSender("status/f", newShelf(), slog.New(slog.DiscardHandler), w.post)
		s.adopt("k", stored, 0)
		launch(t, s)
		synctest.Wait()
		if diff := cmp.Diff([]string{"success done"}, w.seen()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSenderBacksOffWithACeilingAndCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		w := &wire{}
		w.fail(func(Slot) error { return &Answer{Text: "connection refused"} })
		s := newSender("status/f", newShelf(), log.logger(), w.post)
		launch(t, s)
		for i := range 5 {
			s.want(fmt.Sprint("k", i), status(models.Generation(i+1), StateSuccess, fmt.Sprint("done ", i)))
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		// 1+2+4+…+64 s, then 2 min ±20 %: one probe at a time, not one for each place.
		if n := w.tried(); n < 9 || n > 14 {
			t.Errorf("%d tries in 10 minutes of outage", n)
		}
		if n := log.count("level=WARN"); n != 1 {
			t.Errorf("%d warnings for one outage", n)
		}
		w.fail(nil)
		time.Sleep(outagePause*12/10 + time.Second)
		synctest.Wait()
		if n := len(w.seen()); n != 5 {
			t.Errorf("%d of 5 posted after the outage", n)
		}
		w.fail(func(Slot) error { return &Answer{Text: "connection refused"} })
		tried := w.tried()
		s.want("k0", status(9, StateSuccess, "again"))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := w.tried() - tried; n < 3 || log.count("level=WARN") != 2 {
			t.Errorf("%d tries in the first 10 s of the second outage: %s", n, log.b.String())
		}
	})
}

func TestSenderTriesWhatFailedLeastFirst(t *testing.T) {
	s := newSender("status/f", newShelf(), slog.New(slog.DiscardHandler), (&wire{}).post)
	s.adopt("failed", Slot{Generation: 9, Status: status(9, StateSuccess, "x").Status, Attempts: 3}, 1)
	s.adopt("old", Slot{Generation: 1, Status: status(1, StateSuccess, "x").Status}, 2)
	s.adopt("new", Slot{Generation: 2, Status: status(2, StateSuccess, "x").Status}, 3)
	if key, ok, _ := s.next(time.Now()); !ok || key != "new" {
		t.Errorf("%q goes first", key)
	}
}

func TestSenderWaitsAsLongAsItIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		w.fail(func(Slot) error { return &Answer{Code: 429, Limited: true, RetryAfter: 17 * time.Minute} })
		s := newSender("status/f", newShelf(), slog.New(slog.DiscardHandler), w.post)
		launch(t, s)
		s.want("a", status(1, StateSuccess, "x"))
		synctest.Wait()
		w.fail(nil)
		s.want("b", status(2, StateSuccess, "y")) // a limit concerns every place
		time.Sleep(17*time.Minute - time.Second)
		synctest.Wait()
		if n := w.tried(); n != 1 {
			t.Errorf("%d tries before the limit ended", n)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if diff := cmp.Diff([]string{"success y", "success x"}, w.seen()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSenderTellsARefusalOnceAndHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		w := &wire{}
		w.fail(func(s Slot) error {
			if s.Status.Description == "bad" {
				return &Answer{Code: 422, Text: "No commit found for SHA: a", Hint: "push it"}
			}
			return nil
		})
		s := newSender("status/f", newShelf(), log.logger(), w.post)
		launch(t, s)
		s.want("bad", status(9, StateSuccess, "bad"))
		s.want("good", status(1, StateSuccess, "good"))
		synctest.Wait()
		if diff := cmp.Diff([]string{"success good"}, w.seen()); diff != "" {
			t.Error(diff)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if n := w.tried(); n < 20 || n > 40 {
			t.Errorf("%d tries of a refused post in a day", n)
		}
		if n := log.count("level=ERROR"); n != 1 || log.count("push it") != 1 {
			t.Errorf("told %d times: %s", n, log.b.String())
		}
		s.want("bad", status(9, StateSuccess, "mended"))
		synctest.Wait()
		if n := len(w.seen()); n != 2 {
			t.Error("a new word waited for the old one's pause")
		}
	})
}

func TestSenderPassesByAPlaceThatAlwaysFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		w.fail(func(s Slot) error {
			if s.Status.Description == "poison" {
				return &Answer{Code: 500}
			}
			return nil
		})
		s := newSender("status/f", newShelf(), slog.New(slog.DiscardHandler), w.post)
		launch(t, s)
		s.want("poison", status(99, StateSuccess, "poison"))
		for i := range 20 {
			s.want(fmt.Sprint("k", i), status(1, StateSuccess, fmt.Sprint("fine ", i)))
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if n := len(w.seen()); n != 20 {
			t.Errorf("%d of 20 posted beside one that fails", n)
		}
	})
}

func TestSenderLeavesAPlaceThatFailsAloneForLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		w.fail(func(s Slot) error {
			if s.Status.Description == "poison" {
				return &Answer{Code: 500}
			}
			return nil
		})
		s := newSender("status/f", newShelf(), slog.New(slog.DiscardHandler), w.post)
		launch(t, s)
		s.want("poison", status(99, StateSuccess, "poison"))
		for i := range 300 { // a busy minute
			s.want(fmt.Sprint("k", i), status(1, StateSuccess, fmt.Sprint("fine ", i)))
			time.Sleep(200 * time.Millisecond)
		}
		synctest.Wait()
		if n := w.tried() - len(w.seen()); n < 3 || n > 8 {
			t.Errorf("%d tries of what fails in a minute", n)
		}
	})
}

func TestSenderPostsAlthoughTheStoreIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		table, w := newShelf(), &wire{}
		table.fail(bus.ErrFull)
		s := newSender("status/f", table, log.logger(), w.post)
		launch(t, s)
		for i := range 10 {
			s.want(fmt.Sprint("k", i), status(models.Generation(i+1), StateError, "the store is full"))
		}
		synctest.Wait()
		if n := len(w.seen()); n != 10 {
			t.Fatalf("%d of 10 posted", n)
		}
		if table.saved() != 1 {
			t.Errorf("%d tries to write into a full store for 10 posts", table.saved())
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := log.count("slot not stored"); n != 1 {
			t.Errorf("told %d times", n)
		}
		if table.saved() > 60 {
			t.Errorf("%d tries to write in an hour", table.saved())
		}
		table.fail(nil)
		time.Sleep(outagePause * 2)
		synctest.Wait()
		for i := range 10 {
			if row := table.row(fmt.Sprint("k", i)); row.due() || !row.valid() {
				t.Errorf("k%d is stored as %+v", i, row)
			}
		}
		if n := len(w.seen()); n != 10 {
			t.Errorf("%d posts", n)
		}
		table.fail(bus.ErrFull)
		s.want("k0", status(11, StateError, "full again"))
		synctest.Wait()
		if n := log.count("slot not stored"); n != 2 {
			t.Errorf("told %d times after the second time", n)
		}
	})
}

func TestSenderSpacesProgressButNotLastWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, w := newShelf(), &wire{}
		s := newSender("status/f", table, slog.New(slog.DiscardHandler), w.post)
		launch(t, s)
		for i := range 3600 { // an hour of a device converging each second
			s.want("k", status(1, StatePending, fmt.Sprintf("%d/3600 devices", i)))
			time.Sleep(time.Second)
		}
		s.want("k", status(1, StateSuccess, "3600 devices converged"))
		synctest.Wait()
		all := w.seen()
		if len(all) < 5 || len(all) > 12 {
			t.Errorf("%d statuses: %q", len(all), all)
		}
		if last := all[len(all)-1]; last != "success 3600 devices converged" {
			t.Errorf("last word %q", last)
		}
		if table.saved() > 3*len(all) {
			t.Errorf("%d writes for %d posts", table.saved(), len(all))
		}
	})
}

func TestSenderTakesBackALastWordAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		s := newSender("status/f", newShelf(), slog.New(slog.DiscardHandler), w.post)
		launch(t, s)
		for g := range models.Generation(5) { // one commit is head again and again
			s.want("k", status(g+1, StatePending, "received"))
			synctest.Wait()
			s.want("k", status(g+1, StateSuccess, "done"))
			synctest.Wait()
		}
		s.want("k", status(6, StatePending, "received"))
		synctest.Wait()
		if all := w.seen(); len(all) != 11 || all[10] != "pending received" {
			t.Errorf("%q", all)
		}
	})
}

func TestSenderNeverSpendsTheLastStatusesOnProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		s := newSender("status/f", newShelf(), slog.New(slog.DiscardHandler), w.post)
		s.adopt("k", Slot{Generation: 1, Status: status(1, StatePending, "x").Status, Posted: "pending: x", Posts: maxProgress}, 0)
		launch(t, s)
		s.want("k", status(2, StatePending, "received"))
		time.Sleep(time.Hour)
		synctest.Wait()
		s.want("k", status(2, StateFailure, "3 mistakes"))
		synctest.Wait()
		if diff := cmp.Diff([]string{"failure 3 mistakes"}, w.seen()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSendersDoNotShareAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		forge, chat := &wire{}, &wire{}
		hang := make(chan struct{})
		forge.fail(func(Slot) error { <-hang; return errors.New("gone") })
		a := newSender("status/f", newShelf(), slog.New(slog.DiscardHandler), forge.post)
		b := newSender("chat/ops", newShelf(), slog.New(slog.DiscardHandler), chat.post)
		launch(t, a)
		launch(t, b)
		a.want("k", status(1, StateSuccess, "x"))
		b.want("k", status(1, StateSuccess, "x"))
		synctest.Wait()
		if len(chat.seen()) != 1 {
			t.Error("a forge that hangs held up the chat")
		}
		close(hang)
	})
}

func TestSenderYieldsToANewerSlotInTheTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, w := newShelf(), &wire{}
		s := newSender("status/f", table, slog.New(slog.DiscardHandler), w.post)
		other := Slot{Generation: 7, Status: status(7, StateSuccess, "newer").Status}
		other.Posted = other.mark()
		if _, err := table.Update(t.Context(), "k", other, 0); err != nil {
			t.Fatal(err)
		}
		launch(t, s)
		s.want("k", status(3, StateError, "older"))
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(w.seen()); n != 0 {
			t.Errorf("posted %q over a newer generation", w.seen())
		}
		if diff := cmp.Diff(other, table.row("k")); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSenderRecordsAPostThatOutlivedItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newShelf()
		ctx, cancel := context.WithCancel(t.Context())
		s := newSender("status/f", table, slog.New(slog.DiscardHandler), func(context.Context, Slot) error {
			cancel()
			return nil
		})
		s.want("k", status(1, StateSuccess, "done"))
		s.run(ctx)
		if row := table.row("k"); row.due() || !row.valid() {
			t.Errorf("stored %+v", row)
		}
	})
}

func TestForgottenPlacesLeaveMemoryAndTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, w := newShelf(), &wire{}
		s := newSender("status/f", table, slog.New(slog.DiscardHandler), w.post)
		launch(t, s)
		s.want("k", status(1, StateSuccess, "done"))
		synctest.Wait()
		s.forget(t.Context(), "k")
		s.forget(t.Context(), "never seen")
		if _, ok := s.slot("k"); ok || table.row("k").valid() {
			t.Error("still there")
		}
	})
}

func BenchmarkSenderOf1000Places(b *testing.B) {
	s := newSender("status/f", newShelf(), slog.New(slog.DiscardHandler), (&wire{}).post)
	for i := range 1000 {
		s.want(fmt.Sprint("k", i), status(models.Generation(i), StateSuccess, "done"))
	}
	now := time.Now()
	for b.Loop() {
		s.next(now)
	}
}
