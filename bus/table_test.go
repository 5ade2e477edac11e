package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestThirtyTwoWritersLoseNoUpdate(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	tab := TableOf[value](b, "counter")
	const writers, each = 32, 10
	errs := make(chan error, writers)
	for range writers {
		go func() { errs <- increment(ctx, tab, each) }()
	}
	for range writers {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if v, _, err := tab.Get(ctx, "k"); v.N != writers*each || err != nil {
		t.Errorf("counted %d, want %d (%v)", v.N, writers*each, err)
	}
}

// increment adds n to a counter, one compare-and-set each, and checks that it
// reads its own writes.
func increment(ctx context.Context, tab *Table[value], n int) error {
	for n > 0 {
		v, rev, err := tab.Get(ctx, "k")
		if err != nil {
			return err
		}
		v.N++
		wrote, err := tab.Update(ctx, "k", v, rev)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return err
		}
		if _, read, err := tab.Get(ctx, "k"); err != nil || read < wrote {
			return fmt.Errorf("wrote revision %d, read %d: %w", wrote, read, err)
		}
		n--
	}
	return nil
}

func TestOneOfManyCreatesWins(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	tab := TableOf[value](b, "leases")
	for round := range 3 {
		var won sync.Map
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				rev, err := tab.Update(ctx, "k", value{N: i}, 0)
				if err == nil {
					won.Store(i, rev)
				} else if !errors.Is(err, ErrConflict) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		n := 0
		won.Range(func(i, rev any) bool {
			n++
			if v, got, err := tab.Get(ctx, "k"); v.N != i || got != rev || err != nil {
				t.Errorf("%v won with %v, the table has %v at %d (%v)", i, rev, v, got, err)
			}
			return true
		})
		if n != 1 {
			t.Fatalf("round %d: %d creates won", round, n)
		}
		if err := tab.Delete(ctx, "k", 0); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDeleteWithoutRevisionTakesWhatIsThere(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	tab := TableOf[value](b, "slots")
	if err := tab.Delete(ctx, "absent", 0); err != nil {
		t.Errorf("absent: %v", err)
	}
	if err := tab.Delete(ctx, "absent", 3); !errors.Is(err, ErrConflict) {
		t.Errorf("absent at a revision: %v", err)
	}
	if _, err := tab.Update(ctx, "k", value{N: 1}, 0); err != nil {
		t.Fatal(err)
	}
	if err := tab.Delete(ctx, "k", 0); err != nil {
		t.Error(err)
	}
	if all, err := tab.All(ctx); len(all) != 0 || err != nil {
		t.Errorf("left: %v %v", all, err)
	}
}

func TestKeysAndTablesDoNotMix(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	keys := []string{"", "a", "a.b", "a b", "a*", ">", "ü/é", "=41", "A", "\xff\x00", "forge/org/repo/0123/setpoint/plan", "a\r\nPUB x"}
	for _, table := range []string{"one", "one.two", "o*"} {
		tab := TableOf[value](b, table)
		for i, key := range keys {
			if _, err := tab.Update(ctx, key, value{N: i, S: table}, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, table := range []string{"one", "one.two", "o*"} {
		tab := TableOf[value](b, table)
		all, err := tab.All(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got, want := map[string]value{}, map[string]value{}
		for key, e := range all {
			got[key] = e.Value
		}
		for i, key := range keys {
			want[key] = value{N: i, S: table}
			if v, _, err := tab.Get(ctx, key); v != want[key] || err != nil {
				t.Errorf("get %q: %v %v", key, v, err)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("table %q (-want +got):\n%s", table, diff)
		}
	}
}

func TestTooLongKeyAndTooLargeValueAreErrorsOfTheirOwn(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	tab := TableOf[value](b, "t")
	long := strings.Repeat("ü", maxToken/6+1)
	if _, err := tab.Update(ctx, long, value{}, 0); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("update: %v", err)
	}
	if _, _, err := tab.Get(ctx, long); err == nil {
		t.Error("get took it")
	}
	large := value{S: strings.Repeat("x", 1<<20)}
	if _, err := tab.Update(ctx, "k", large, 0); err == nil || !strings.Contains(err.Error(), "value has") {
		t.Errorf("large update: %v", err)
	}
	if err := b.Batch(ctx, tab.Put("k", large, 0), tab.Put("l", value{}, 0)); err == nil || !strings.Contains(err.Error(), "value has") {
		t.Errorf("large batch: %v", err)
	}
	if _, err := tab.Update(ctx, strings.Repeat("x", maxToken), value{}, 0); err != nil {
		t.Errorf("the longest key: %v", err)
	}
}

func TestBatchIsAllOrNoneAcrossTables(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	one, two := TableOf[value](b, "one"), TableOf[string](b, "two")
	if err := b.Batch(ctx, one.Put("a", value{N: 1}, 0), two.Put("b", "x", 0), one.Put("c", value{N: 3}, 0)); err != nil {
		t.Fatal(err)
	}
	_, rev, err := one.Get(ctx, "a")
	if err != nil || rev == 0 {
		t.Fatal(rev, err)
	}
	for name, w := range map[string][]Write{
		"wrong revision first": {one.Put("a", value{N: 9}, rev+7), two.Put("d", "y", 0)},
		"wrong revision last":  {two.Put("d", "y", 0), one.Put("a", value{N: 9}, 0)},
		"wrong in the middle":  {one.Put("a", value{N: 9}, rev), two.Put("b", "z", 0), two.Put("d", "y", 0)},
	} {
		if err := b.Batch(ctx, w...); !errors.Is(err, ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if v, got, err := one.Get(ctx, "a"); v.N != 1 || got != rev || err != nil {
		t.Errorf("a is %v at %d (%v)", v, got, err)
	}
	if _, got, err := two.Get(ctx, "d"); got != 0 || err != nil {
		t.Errorf("d was written at %d (%v)", got, err)
	}
	if err := b.Batch(ctx, one.Put("a", value{N: 2}, rev), two.Put("d", "y", 0)); err != nil {
		t.Errorf("after the conflicts: %v", err)
	}
	if err := b.Batch(ctx); err != nil {
		t.Errorf("empty: %v", err)
	}
	if err := b.Batch(ctx, one.Put("z", value{}, 0), one.Put("z", value{}, 0)); err == nil || !strings.Contains(err.Error(), "written twice") {
		t.Errorf("twice the same key: %v", err)
	}
}

func TestBatchCreatesOverDeletedKeys(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	tab := TableOf[value](b, "t")
	for _, key := range []string{"a", "b"} {
		if _, err := tab.Update(ctx, key, value{N: 1}, 0); err != nil {
			t.Fatal(err)
		}
		if err := tab.Delete(ctx, key, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Batch(ctx, tab.Put("a", value{N: 2}, 0), tab.Put("b", value{N: 2}, 0), tab.Put("c", value{N: 2}, 0)); err != nil {
		t.Fatal(err)
	}
	if err := b.Batch(ctx, tab.Put("d", value{N: 3}, 0), tab.Put("a", value{N: 3}, 0)); !errors.Is(err, ErrConflict) {
		t.Errorf("create over a value: %v", err)
	}
}

func TestBatchOfTwoThousandIsOneBatchEmbedded(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	tab := TableOf[value](b, "assignments")
	writes := make([]Write, 2500)
	for i := range writes {
		writes[i] = tab.Put(fmt.Sprintf("leaf%04d", i), value{N: i}, 0)
	}
	writes[len(writes)-1] = tab.Put("leaf9999", value{}, 4) // does not exist
	if err := b.Batch(ctx, writes...); !errors.Is(err, ErrConflict) {
		t.Fatalf("conflict in the last of 2500: %v", err)
	}
	if all, err := tab.All(ctx); len(all) != 0 || err != nil {
		t.Fatalf("%d were written (%v)", len(all), err)
	}
	writes = writes[:len(writes)-1]
	if err := b.Batch(ctx, writes...); err != nil {
		t.Fatal(err)
	}
	all, err := tab.All(ctx)
	if err != nil || len(all) != len(writes) {
		t.Fatalf("%d were written (%v), want %d", len(all), err, len(writes))
	}
	low, high := ^uint64(0), uint64(0)
	for _, e := range all {
		low, high = min(low, e.Rev), max(high, e.Rev)
	}
	if int(high-low) != len(writes)-1 {
		t.Errorf("revisions %d to %d for %d writes: not one batch", low, high, len(writes))
	}
}

func TestBatchOverTheLimitGoesInOrder(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	b.batchMax = 10
	tab := TableOf[value](b, "t")
	var writes []Write
	for i := range 35 {
		rev := uint64(0)
		if i == 27 {
			rev = 99 // fails the third batch
		}
		writes = append(writes, tab.Put(fmt.Sprintf("k%02d", i), value{N: i}, rev))
	}
	if err := b.Batch(ctx, writes...); !errors.Is(err, ErrConflict) {
		t.Fatal(err)
	}
	all, err := tab.All(ctx)
	if err != nil || len(all) != 20 {
		t.Fatalf("%d were written (%v), want 20", len(all), err)
	}
}

func TestConcurrentBatchesNeverMix(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	tab := TableOf[value](b, "t")
	const keys = 8
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for range 5 {
				var writes []Write
				all, err := tab.All(ctx)
				if err != nil {
					t.Error(err)
				}
				for i := range keys {
					key := fmt.Sprint(i)
					writes = append(writes, tab.Put(key, value{N: w}, all[key].Rev))
				}
				if err := b.Batch(ctx, writes...); err != nil && !errors.Is(err, ErrConflict) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	all, err := tab.All(ctx)
	if err != nil || len(all) != keys {
		t.Fatal(len(all), err)
	}
	for key, e := range all {
		if e.Value.N != all["0"].Value.N {
			t.Errorf("key %s is of writer %d, key 0 of writer %d", key, e.Value.N, all["0"].Value.N)
		}
	}
}

func TestFullTablesAreErrFullAndAllOrNone(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{MaxStore: 256 << 10})
	tab := TableOf[value](b, "t")
	filler := value{S: strings.Repeat("x", 8<<10)}
	var last error
	for i := 0; last == nil; i++ {
		_, last = tab.Update(ctx, fmt.Sprint(i), filler, 0)
	}
	if !errors.Is(last, ErrFull) || !strings.Contains(last.Error(), "KiB of 64.0 KiB") {
		t.Fatalf("full: %v", last)
	}
	before, err := tab.All(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Batch(ctx, tab.Put("small", value{}, 0), tab.Put("large", filler, 0)); !errors.Is(err, ErrFull) {
		t.Errorf("batch: %v", err)
	}
	after, err := tab.All(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("a refused batch changed something:\n%s", diff)
	}
	used, limit, err := b.Usage(ctx)
	if err != nil || limit != 256<<10 || used < 56<<10 || used > limit {
		t.Errorf("usage %d of %d (%v)", used, limit, err)
	}
}

func TestLoweredLimitDeletesNothing(t *testing.T) {
	ctx, dir := deadline(t), t.TempDir()+"/store"
	b := open(t, Config{Dir: dir})
	tab := TableOf[value](b, "t")
	for i := range 20 {
		if _, err := tab.Update(ctx, fmt.Sprint(i), value{S: strings.Repeat("x", 4<<10)}, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, Config{Dir: dir, MaxStore: 128 << 10})
	tab = TableOf[value](b, "t")
	if all, err := tab.All(ctx); len(all) != 20 || err != nil || b.Rebuilt() != "" {
		t.Errorf("%d values are left (%v), rebuilt %q", len(all), err, b.Rebuilt())
	}
	if _, err := tab.Update(ctx, "more", value{}, 0); !errors.Is(err, ErrFull) {
		t.Errorf("over the lowered limit: %v", err)
	}
}

func TestOldMarkersAreDroppedAtOpen(t *testing.T) {
	ctx, dir := deadline(t), t.TempDir()+"/store"
	b := open(t, Config{Dir: dir})
	tab := TableOf[value](b, "t")
	for _, key := range []string{"a", "b", "c"} {
		if _, err := tab.Update(ctx, key, value{}, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"a", "b"} {
		if err := tab.Delete(ctx, key, 0); err != nil {
			t.Fatal(err)
		}
	}
	c, err := b.count(ctx)
	if err != nil || c.keys != 3 || c.sum != 3+4+5 || c.newest != 5 {
		t.Fatalf("census %+v (%v)", c, err)
	}
	if seen := b.marks.seen(); seen.Keys != c.keys || seen.Sum != c.sum {
		t.Errorf("counted %+v, marked %+v", c, seen)
	}
	c.markers = []uint64{4, 5}
	if err := b.dropMarkers(ctx, c); err != nil {
		t.Fatal(err)
	}
	if c, err = b.count(ctx); err != nil || c.keys != 2 || c.sum != 3+5 {
		t.Errorf("after: census %+v (%v)", c, err)
	}
	if seen := b.marks.seen(); seen.Keys != c.keys || seen.Sum != c.sum {
		t.Errorf("after: counted %+v, marked %+v", c, seen)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if b = open(t, Config{Dir: dir}); b.Rebuilt() != "" {
		t.Errorf("dropping markers looks like damage: %s", b.Rebuilt())
	}
}

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "=", "leaf01", "a.b", "ü", "a b*>\x00\xff", "=2E"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tok := escape(s)
		if strings.ContainsAny(tok, ".*> \t\r\n\x00/\\") || tok == "" {
			t.Errorf("%q became %q", s, tok)
		}
		if back, err := unescape(tok); back != s || err != nil {
			t.Errorf("%q became %q became %q (%v)", s, tok, back, err)
		}
		// What is no token of ours is refused, so that no two tokens mean one name.
		if name, err := unescape(s); err == nil && escape(name) != s {
			t.Errorf("token %q is read as %q, whose token is %q", s, name, escape(name))
		}
	})
}
