package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// next waits for a change.
func next[T any](t testing.TB, ctx context.Context, ch <-chan Change[T]) Change[T] {
	t.Helper()
	select {
	case c, ok := <-ch:
		if !ok {
			t.Fatal("the watch ended")
		}
		return c
	case <-ctx.Done():
		t.Fatal("no change came")
	}
	return Change[T]{}
}

// until collects changes into a state, up to and with the one that ends it.
func until[T any](t testing.TB, ctx context.Context, ch <-chan Change[T], last func(Change[T]) bool) map[string]T {
	t.Helper()
	state := map[string]T{}
	for {
		c := next(t, ctx, ch)
		switch {
		case c.Current:
		case c.Deleted:
			delete(state, c.Key)
		default:
			state[c.Key] = c.Value
		}
		if last(c) {
			return state
		}
	}
}

func isCurrent[T any](c Change[T]) bool { return c.Current }

func TestWatchTellsWhatStandsThenCurrentThenChanges(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	tab := TableOf[value](b, "devices")
	rev := map[string]uint64{}
	for i, key := range []string{"a", "b", "gone"} {
		r, err := tab.Update(ctx, key, value{N: i}, 0)
		if err != nil {
			t.Fatal(err)
		}
		rev[key] = r
	}
	if err := tab.Delete(ctx, "gone", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := TableOf[value](b, "other").Update(ctx, "x", value{}, 0); err != nil {
		t.Fatal(err)
	}
	watching, stop := context.WithCancel(ctx)
	ch, err := tab.Watch(watching)
	if err != nil {
		t.Fatal(err)
	}
	want := []Change[value]{
		{Key: "a", Value: value{N: 0}, Rev: rev["a"]},
		{Key: "b", Value: value{N: 1}, Rev: rev["b"]},
		{Current: true},
	}
	var got []Change[value]
	for range want {
		got = append(got, next(t, ctx, ch))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r, err := tab.Update(ctx, "a", value{N: 7}, rev["a"])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Change[value]{Key: "a", Value: value{N: 7}, Rev: r}, next(t, ctx, ch)); diff != "" {
		t.Errorf("update (-want +got):\n%s", diff)
	}
	if err := tab.Delete(ctx, "b", rev["b"]); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Change[value]{Key: "b", Rev: r + 1, Deleted: true}, next(t, ctx, ch)); diff != "" {
		t.Errorf("delete (-want +got):\n%s", diff)
	}
	stop()
	for c := range ch {
		t.Errorf("after the end: %v", c)
	}
}

func TestWatchOfAnEmptyTableIsCurrentAtOnce(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	ch, err := TableOf[value](b, "none").Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if c := next(t, ctx, ch); !c.Current {
		t.Errorf("first: %+v", c)
	}
}

func TestSlowReaderGetsTheLatestOfEachKeyAndBlocksNobody(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	tab := TableOf[value](b, "t")
	slow, err := tab.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	quick, err := tab.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	revs := map[string]uint64{}
	for i := range 300 {
		key := strconv.Itoa(i % 3)
		if revs[key], err = tab.Update(ctx, key, value{N: i}, revs[key]); err != nil {
			t.Fatal(err)
		}
	}
	end := func(c Change[value]) bool { return c.Key == "2" && c.Value.N == 299 }
	want := map[string]value{"0": {N: 297}, "1": {N: 298}, "2": {N: 299}}
	if diff := cmp.Diff(want, until(t, ctx, quick, end)); diff != "" {
		t.Errorf("quick (-want +got):\n%s", diff)
	}
	told := 0
	state := until(t, ctx, slow, func(c Change[value]) bool { told++; return end(c) })
	if diff := cmp.Diff(want, state); diff != "" {
		t.Errorf("slow (-want +got):\n%s", diff)
	}
	// What the slow reader had taken before it slept, and the latest of three keys.
	if told > 20 {
		t.Errorf("the slow reader was told %d changes of three keys", told)
	}
}

func TestBufferKeepsTheLatestInOrderOfArrival(t *testing.T) {
	b := newBuffer()
	for _, it := range []item{{subject: "a", rev: 1}, {subject: "b", rev: 2}, {current: true}, {subject: "a", rev: 3}, {subject: "c", rev: 4}, {subject: "b", rev: 5, deleted: true}} {
		b.put(it)
	}
	var got []string
	for it, ok := b.pop(); ok; it, ok = b.pop() {
		got = append(got, fmt.Sprint(it.subject, it.rev, it.deleted, it.current))
	}
	if diff := cmp.Diff([]string{"a3 false false", "b5 true false", "0 false true", "c4 false false"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWatchBegunAmidOverwritesMissesNoKey(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	tab := TableOf[value](b, "t")
	const keys = 150
	if err := b.Batch(ctx, writesOf(tab, keys, 0)...); err != nil {
		t.Fatal(err)
	}
	quit := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for i := w; ; i += 3 {
				select {
				case <-quit:
					return
				default:
				}
				key := fmt.Sprintf("leaf%05d", keys-1-i*7%keys)
				_, rev, err := tab.Get(ctx, key)
				if err == nil {
					_, err = tab.Update(ctx, key, value{N: i}, rev)
				}
				if err != nil && !errors.Is(err, ErrConflict) {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 12 {
		watching, stop := context.WithCancel(ctx)
		ch, err := tab.Watch(watching)
		if err != nil {
			t.Fatal(err)
		}
		if state := until(t, ctx, ch, isCurrent); len(state) != keys {
			t.Errorf("current with %d of %d keys", len(state), keys)
		}
		// A session that begins again must not take a moving key for a deleted one.
		b.reconnect.send()
		for range 5 {
			if c := next(t, ctx, ch); c.Deleted {
				t.Errorf("deleted: %+v", c)
			}
		}
		stop()
	}
	close(quit)
	wg.Wait()
}

func TestManyWatchesSeeEveryWritersLastWord(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	tab := TableOf[value](b, "t")
	const writers, each = 4, 40
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rev, err := uint64(0), error(nil)
			for i := range each {
				if rev, err = tab.Update(ctx, fmt.Sprint(w), value{N: i}, rev); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 6 {
		wg.Go(func() {
			ch, err := tab.Watch(ctx) // begins amid the writes
			if err != nil {
				t.Error(err)
				return
			}
			current, ends := 0, 0
			for ends < writers || current == 0 {
				select {
				case c := <-ch:
					if c.Current {
						current++
					} else if c.Value.N == each-1 {
						ends++
					}
				case <-ctx.Done():
					t.Errorf("saw the end of %d writers, current %d", ends, current)
					return
				}
			}
		})
	}
	wg.Wait()
}

// external starts a server as a NATS operator would, without our limits.
func external(t testing.TB, dir string, port int) *server.Server {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("server is not ready")
	}
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	return srv
}

func TestWatchSurvivesARestartOfTheServer(t *testing.T) {
	ctx, dir := deadline(t), t.TempDir()
	srv := external(t, dir, -1)
	c := Config{URLs: []string{srv.ClientURL()}, Watermark: t.TempDir() + "/w"}
	b := open(t, c)
	tab := TableOf[value](b, "t")
	for _, key := range []string{"stays", "changes", "goes"} {
		if _, err := tab.Update(ctx, key, value{N: 1}, 0); err != nil {
			t.Fatal(err)
		}
	}
	ch, err := tab.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	until(t, ctx, ch, isCurrent)

	port := srv.Addr().(*net.TCPAddr).Port
	lost := b.reconnect.next()
	srv.Shutdown()
	srv.WaitForShutdown()

	// While the watch's bus is cut off, another one changes things: it is given the
	// store on another port first.
	other := external(t, dir, -1)
	b2 := open(t, Config{URLs: []string{other.ClientURL()}, Watermark: t.TempDir() + "/w"})
	tab2 := TableOf[value](b2, "t")
	_, rev, err := tab2.Get(ctx, "changes")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tab2.Update(ctx, "changes", value{N: 2}, rev); err != nil {
		t.Fatal(err)
	}
	if err := tab2.Delete(ctx, "goes", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := tab2.Update(ctx, "new", value{N: 3}, 0); err != nil {
		t.Fatal(err)
	}
	if err := b2.Close(); err != nil {
		t.Fatal(err)
	}
	other.Shutdown()
	other.WaitForShutdown()
	external(t, dir, port)
	<-lost

	got := map[string]Change[value]{}
	for len(got) < 3 {
		c := next(t, ctx, ch)
		c.Rev = 0
		got[c.Key] = c
	}
	want := map[string]Change[value]{
		"changes": {Key: "changes", Value: value{N: 2}},
		"goes":    {Key: "goes", Deleted: true},
		"new":     {Key: "new", Value: value{N: 3}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := tab.Update(ctx, "after", value{N: 4}, 0); err != nil {
		t.Fatal(err)
	}
	if c := next(t, ctx, ch); c.Key != "after" {
		t.Errorf("after: %+v", c)
	}
}

func TestWatchRestartsWhenItsConsumerIsGone(t *testing.T) {
	bubble(t, func(t *testing.T, b *Bus) {
		ctx, stop := context.WithCancel(t.Context())
		tab := TableOf[value](b, "t")
		ch, err := tab.Watch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		until(t, ctx, ch, isCurrent)
		for i := range 3 {
			for name := range b.streams[tables].ConsumerNames(ctx).Name() {
				if err := b.js.DeleteConsumer(ctx, streamNames[tables], name); err != nil {
					t.Fatal(err)
				}
			}
			start := time.Now()
			if _, err := tab.Update(ctx, fmt.Sprint(i), value{N: i}, 0); err != nil {
				t.Fatal(err)
			}
			if c := next(t, ctx, ch); c.Key != fmt.Sprint(i) || c.Value.N != i {
				t.Errorf("got %+v", c)
			}
			if took := time.Since(start); took > 3*watchBeat {
				t.Errorf("took %v", took)
			}
			synctest.Wait()
		}
		stop()
		for range ch {
		}
	})
}

func TestIdleWatchStaysAliveForHours(t *testing.T) {
	bubble(t, func(t *testing.T, b *Bus) {
		ctx, stop := context.WithCancel(t.Context())
		tab := TableOf[value](b, "t")
		ch, err := tab.Watch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		until(t, ctx, ch, isCurrent)
		time.Sleep(3 * time.Hour)
		start := time.Now()
		if _, err := tab.Update(ctx, "k", value{N: 1}, 0); err != nil {
			t.Fatal(err)
		}
		if c := next(t, ctx, ch); c.Value.N != 1 || time.Since(start) > 100*time.Millisecond {
			t.Errorf("got %+v after %v", c, time.Since(start))
		}
		stop()
		for range ch {
		}
	})
}

// given is a message as a consumer gives it, without a server.
type given struct {
	jetstream.Msg
	subject string
	header  nats.Header
	meta    jetstream.MsgMetadata
}

func (g given) Subject() string                           { return g.subject }
func (g given) Data() []byte                              { return []byte("{}") }
func (g given) Headers() nats.Header                      { return g.header }
func (g given) Metadata() (*jetstream.MsgMetadata, error) { return &g.meta, nil }

// give is the n-th message of a consumer.
func give(n uint64, subject string, rev, pending uint64) given {
	return given{subject: subject, meta: jetstream.MsgMetadata{
		Sequence: jetstream.SequencePair{Consumer: n, Stream: rev}, NumPending: pending,
	}}
}

func TestSessionIsCurrentOnlyWhenNothingCanBeMissing(t *testing.T) {
	tests := map[string]struct {
		before, count uint64
		known         map[string]uint64
		msgs          []given
		current       bool
		drained       bool
		broken        bool
		want          []string // what the reader is told
	}{
		"all from before": {
			before: 2, count: 2, msgs: []given{give(1, "a", 1, 1), give(2, "b", 2, 0)},
			current: true, want: []string{"a1", "b2", "current"},
		},
		"as many, but one came later": {
			before: 2, count: 2, msgs: []given{give(1, "a", 1, 1), give(2, "x", 3, 1)},
			want: []string{"a1", "x3"},
		},
		"nothing pending, but fewer than there were": {
			before: 2, count: 2, msgs: []given{give(1, "a", 1, 0)},
			drained: true, want: []string{"a1"},
		},
		"a message is missing": {
			before: 3, count: 3, msgs: []given{give(1, "a", 1, 2), give(3, "c", 3, 0)},
			broken: true, want: []string{"a1"},
		},
		"known already": {
			before: 2, count: 2, known: map[string]uint64{"a": 1, "b": 1}, msgs: []given{give(1, "a", 1, 1), give(2, "b", 2, 0)},
			current: true, want: []string{"b2"},
		},
		"older than known": {
			before: 2, count: 1, known: map[string]uint64{"a": 5}, msgs: []given{give(1, "a", 2, 0)},
			current: true,
		},
		"gone": {
			before: 9, count: 1, known: map[string]uint64{"a": 1, "b": 2}, msgs: []given{give(1, "b", 2, 0)},
			current: true, want: []string{"a1 deleted"},
		},
		"not yet on this replica": {
			before: 9, count: 1, known: map[string]uint64{"a": 8, "b": 2}, msgs: []given{give(1, "b", 2, 0)},
			current: true,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := &watch{buf: newBuffer(), known: map[string]uint64{}, told: tt.known != nil}
			maps.Copy(w.known, tt.known)
			s := &session{
				broken: make(chan error, 1), drained: make(chan struct{}, 1), met: map[string]struct{}{},
				next: 1, before: tt.before, count: tt.count,
			}
			for _, m := range tt.msgs {
				w.take(s, m)
			}
			var got []string
			for it, ok := w.buf.pop(); ok; it, ok = w.buf.pop() {
				switch {
				case it.current:
					got = append(got, "current")
				case it.deleted:
					got = append(got, fmt.Sprint(it.subject, it.rev, " deleted"))
				default:
					got = append(got, fmt.Sprint(it.subject, it.rev))
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
			if s.isCurrent() != tt.current || (len(s.drained) == 1) != tt.drained || (len(s.broken) == 1) != tt.broken {
				t.Errorf("current %t, drained %d, broken %d", s.isCurrent(), len(s.drained), len(s.broken))
			}
		})
	}
}

func TestSessionWaitsForEverySubjectThereIs(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	tab := TableOf[value](b, "t")
	if err := b.Batch(ctx, tab.Put("a", value{}, 0), tab.Put("b", value{}, 0)); err != nil {
		t.Fatal(err)
	}
	w := &watch{bus: b, filter: tab.filter(), buf: newBuffer(), known: map[string]uint64{}}
	s := &session{met: map[string]struct{}{tablePrefix + "t.a": {}}}
	if done, err := w.look(ctx, s); done || err != nil {
		t.Errorf("current without b: %t %v", done, err)
	}
	s.met[tablePrefix+"t.b"] = struct{}{}
	if done, err := w.look(ctx, s); !done || err != nil {
		t.Errorf("not current with both: %t %v", done, err)
	}
}

func TestReconnectBeginsEveryWatchAgain(t *testing.T) {
	bubble(t, func(t *testing.T, b *Bus) {
		ctx, stop := context.WithCancel(t.Context())
		ch, err := TableOf[value](b, "t").Watch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		until(t, ctx, ch, isCurrent)
		names := func() (names []string) {
			for name := range b.streams[tables].ConsumerNames(ctx).Name() {
				names = append(names, name)
			}
			return names
		}
		was := names()
		b.reconnect.send()
		time.Sleep(watchBeat)
		if now := names(); len(now) != 1 || len(was) != 1 || now[0] == was[0] {
			t.Errorf("consumers were %v, are %v", was, now)
		}
		stop()
		for range ch {
		}
	})
}
