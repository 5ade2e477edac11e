package bus

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/setpoint-net/setpoint/models"
)

// image copies a store and its watermark: what kill -9 leaves behind, as long as
// nobody writes meanwhile.
func image(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "store")
	if err := copyDir(to, dir); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(dir + ".watermark")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to+".watermark", data, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

func copyDir(to, from string) error { return os.CopyFS(to, os.DirFS(from)) }

func setAsides(t testing.TB, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(dir + ".set-aside-*")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestStoreSurvivesACleanRestart(t *testing.T) {
	ctx, dir := deadline(t), filepath.Join(t.TempDir(), "store")
	b := open(t, Config{Dir: dir})
	rev, err := TableOf[value](b, "heads").Update(ctx, "main", value{N: 7}, 0)
	if err != nil {
		t.Fatal(err)
	}
	h, err := b.Blobs().Put(ctx, []byte("manifest"))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, Config{Dir: dir})
	if b.Rebuilt() != "" {
		t.Errorf("rebuilt: %s", b.Rebuilt())
	}
	if v, got, err := TableOf[value](b, "heads").Get(ctx, "main"); v.N != 7 || got != rev || err != nil {
		t.Errorf("value after restart: %v %d %v", v, got, err)
	}
	if data, err := b.Blobs().Get(ctx, h[0]); string(data) != "manifest" || err != nil {
		t.Errorf("blob after restart: %q %v", data, err)
	}
}

func TestSecondOpenOfAStoreIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b := open(t, Config{Dir: dir})
	if _, err := Open(deadline(t), Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another process has the store open") {
		t.Fatalf("second open: %v", err)
	}
	if _, err := TableOf[value](b, "x").Update(deadline(t), "k", value{}, 0); err != nil {
		t.Errorf("the first one is harmed: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, Config{Dir: dir})
}

func TestOlderStoreIsSetAside(t *testing.T) {
	ctx, dir := deadline(t), filepath.Join(t.TempDir(), "store")
	b := open(t, Config{Dir: dir})
	tab := TableOf[value](b, "heads")
	rev, err := tab.Update(ctx, "main", value{N: 1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	old := image(t, dir)
	if _, err := tab.Update(ctx, "main", value{N: 2}, rev); err != nil {
		t.Fatal(err)
	}
	if err := b.RaiseFloor(41); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(old, dir); err != nil {
		t.Fatal(err)
	}
	b = open(t, Config{Dir: dir})
	if !strings.Contains(b.Rebuilt(), "stream KV_setpoint went back in time: it ends at sequence 1, 2 was seen") {
		t.Errorf("reason: %q", b.Rebuilt())
	}
	if n := len(setAsides(t, dir)); n != 1 {
		t.Errorf("%d stores were set aside, want 1", n)
	}
	if b.Floor() != 41 {
		t.Errorf("floor %d, want 41", b.Floor())
	}
	tab = TableOf[value](b, "heads")
	if _, rev, err := tab.Get(ctx, "main"); rev != 0 || err != nil {
		t.Errorf("the old value is still there: %d %v", rev, err)
	}
	if _, err := tab.Update(ctx, "main", value{N: 3}, 0); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if b = open(t, Config{Dir: dir}); b.Rebuilt() != "" {
		t.Errorf("rebuilt twice: %s", b.Rebuilt())
	}
}

func TestMissingAndForeignStoresAreNoticed(t *testing.T) {
	ctx := deadline(t)
	begin := func(t *testing.T) string {
		dir := filepath.Join(t.TempDir(), "store")
		b := open(t, Config{Dir: dir})
		if _, err := TableOf[value](b, "heads").Update(ctx, "main", value{N: 1}, 0); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	tests := map[string]struct {
		harm func(t *testing.T, dir string) error
		want string
	}{
		"no folder": {func(t *testing.T, dir string) error { return os.RemoveAll(dir) }, "KV_setpoint is missing"},
		"no stream": {func(t *testing.T, dir string) error {
			return os.RemoveAll(filepath.Join(dir, "jetstream/$G/streams/setpoint-blobs"))
		}, "setpoint-blobs is missing"},
		"another store": {func(t *testing.T, dir string) error {
			return errors.Join(os.RemoveAll(dir), os.Rename(begin(t), dir))
		}, "was seen"},
		"damaged description": {func(t *testing.T, dir string) error {
			return os.WriteFile(filepath.Join(dir, "jetstream/$G/streams/KV_setpoint/meta.inf"), []byte("{"), 0o600)
		}, "KV_setpoint is missing"},
		"a file in the way": {func(t *testing.T, dir string) error {
			return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "jetstream"), nil, 0o600))
		}, "start the embedded server"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := begin(t)
			if err := tt.harm(t, dir); err != nil {
				t.Fatal(err)
			}
			b := open(t, Config{Dir: dir})
			if !strings.Contains(b.Rebuilt(), tt.want) {
				t.Errorf("reason %q, want %q", b.Rebuilt(), tt.want)
			}
			if _, err := TableOf[value](b, "heads").Update(ctx, "main", value{N: 2}, 0); err != nil {
				t.Errorf("the new store: %v", err)
			}
		})
	}
}

func TestLostWatermarkDoesNotCostTheStore(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"missing": os.Remove,
		"damaged": func(path string) error { return os.WriteFile(path, []byte("{\"store\":"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, dir := deadline(t), filepath.Join(t.TempDir(), "store")
			b := open(t, Config{Dir: dir})
			if _, err := TableOf[value](b, "heads").Update(ctx, "main", value{N: 1}, 0); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(b.Close(), harm(dir+".watermark")); err != nil {
				t.Fatal(err)
			}
			b = open(t, Config{Dir: dir})
			if v, _, err := TableOf[value](b, "heads").Get(ctx, "main"); v.N != 1 || err != nil || b.Rebuilt() != "" {
				t.Errorf("got %v %v, rebuilt %q", v, err, b.Rebuilt())
			}
		})
	}
}

// fill writes keys several times over and returns what stands in the end.
func fill(t testing.TB, b *Bus) map[string]int {
	t.Helper()
	ctx, tab, want := deadline(t), TableOf[value](b, "devices"), map[string]int{}
	revs := map[string]uint64{}
	for i := range 120 {
		key := fmt.Sprintf("leaf%02d", i%40)
		rev, err := tab.Update(ctx, key, value{N: i, S: strings.Repeat("x", 400)}, revs[key])
		if err != nil {
			t.Fatal(err)
		}
		revs[key], want[key] = rev, i
	}
	if err := b.marks.write(); err != nil {
		t.Fatal(err)
	}
	return want
}

func TestDamagedBlockNeverShowsAnOlderStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b := open(t, Config{Dir: dir})
	want := fill(t, b)
	killed := image(t, dir)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]string{"killed": killed, "closed": dir} {
		for i := range 6 {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			t.Run(fmt.Sprintf("%s%d", name, i), func(t *testing.T) {
				t.Parallel()
				store := image(t, from)
				harmed := harmBlock(t, filepath.Join(store, "jetstream/$G/streams/KV_setpoint/msgs"), rng, i%2 == 0)
				b := open(t, Config{Dir: store})
				if b.Rebuilt() != "" {
					return
				}
				all, err := TableOf[value](b, "devices").All(deadline(t))
				if err != nil {
					t.Fatal(err)
				}
				for key, n := range want {
					if all[key].Value.N != n {
						t.Errorf("%s: trusted, but %s is %d, want %d", harmed, key, all[key].Value.N, n)
					}
				}
			})
		}
	}
}

// harmBlock flips one bit of a block, or cuts it short.
func harmBlock(t testing.TB, msgs string, rng *rand.Rand, flip bool) string {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(msgs, "*.blk"))
	if err != nil || len(blocks) == 0 {
		t.Fatalf("blocks in %s: %v %v", msgs, blocks, err)
	}
	path := blocks[rng.IntN(len(blocks))]
	data, err := os.ReadFile(path)
	if err != nil || len(data) == 0 {
		t.Fatalf("block %s: %d bytes, %v", path, len(data), err)
	}
	at := rng.IntN(len(data))
	if flip {
		data[at] ^= 1 << rng.IntN(8)
	} else {
		data = data[:at]
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s at %d of %d, flip %t", filepath.Base(path), at, len(data), flip)
}

const childStore = "SETPOINT_BUS_TEST_STORE"

// writeUntilKilled is the process that TestKillRaisesNoFalseAlarm kills: it writes
// until then and prints each acknowledged value. It returns only if it can't.
func writeUntilKilled(dir string) error {
	ctx := context.Background()
	b, err := Open(ctx, Config{Dir: dir})
	if err != nil {
		return err
	}
	if why := b.Rebuilt(); why != "" {
		return fmt.Errorf("rebuilt: %s", why)
	}
	tab := TableOf[value](b, "heads")
	v, rev, err := tab.Get(ctx, "main")
	for ; err == nil; v.N++ {
		if rev, err = tab.Update(ctx, "main", v, rev); err == nil {
			fmt.Printf("acked %d\n", v.N)
		}
		if err == nil && v.N%10 == 0 {
			err = b.Batch(ctx, TableOf[value](b, "a").Put(fmt.Sprint(v.N), v, 0), TableOf[value](b, "b").Put(fmt.Sprint(v.N), v, 0))
		}
	}
	return err
}

func TestKillRaisesNoFalseAlarm(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	last := -1
	for round := range 4 {
		if n := runAndKill(t, dir, 40+60*round); n <= last {
			t.Fatalf("round %d acknowledged %d, the round before %d", round, n, last)
		} else {
			last = n
		}
	}
	b := open(t, Config{Dir: dir})
	if b.Rebuilt() != "" {
		t.Errorf("false alarm: %s", b.Rebuilt())
	}
	v, _, err := TableOf[value](b, "heads").Get(deadline(t), "main")
	if err != nil || v.N < last {
		t.Errorf("%d was acknowledged, the store has %d (%v)", last, v.N, err)
	}
	a, err := TableOf[value](b, "a").All(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	other, err := TableOf[value](b, "b").All(deadline(t))
	if err != nil || len(a) != len(other) || len(a) < last/10 {
		t.Errorf("halves of batches: %d and %d of at least %d (%v)", len(a), len(other), last/10, err)
	}
}

// runAndKill lets a child write n times and kills it; it returns the last
// acknowledged value.
func runAndKill(t *testing.T, dir string, n int) int {
	t.Helper()
	cmd := exec.CommandContext(deadline(t), os.Args[0])
	cmd.Env = append(os.Environ(), childStore+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last, lines := -1, 0
	var other strings.Builder
	for r := bufio.NewScanner(out); r.Scan(); {
		if _, err := fmt.Sscanf(r.Text(), "acked %d", &last); err != nil {
			fmt.Fprintln(&other, r.Text())
			continue
		}
		if lines++; lines == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := io.Copy(&other, out); err != nil && !errors.Is(err, os.ErrClosed) {
		t.Log(err)
	}
	if err := cmd.Wait(); lines < n {
		t.Fatalf("child wrote %d of %d: %v\n%s", lines, n, err, &other)
	}
	return last
}

func TestJudgeTrustsNoStoreThatIsNotTheOneSeen(t *testing.T) {
	state := func(last uint64) *jetstream.StreamState { return &jetstream.StreamState{LastSeq: last} }
	sound := func() found {
		return found{
			id: "a", epoch: 2,
			streams: [streamCount]*jetstream.StreamState{state(5), state(6), state(7)},
			ids:     [streamCount]string{"a", "a", "a"},
		}
	}
	seen := func() marks {
		return marks{Store: "a", Epoch: 2, Streams: map[string]uint64{"KV_setpoint": 5, "setpoint-blobs": 6, "setpoint-events": 7}}
	}
	tests := map[string]struct {
		change func(*found, *marks)
		want   string // "" is trust
	}{
		"as seen":                 {func(*found, *marks) {}, ""},
		"further than seen":       {func(_ *found, m *marks) { m.Streams["KV_setpoint"] = 4 }, ""},
		"nothing, nothing seen":   {func(f *found, m *marks) { *f, *m = found{}, marks{} }, ""},
		"nothing yet of one seen": {func(f *found, m *marks) { *f, m.Streams = found{}, nil }, ""},
		"unknown store":           {func(_ *found, m *marks) { *m = marks{} }, ""},
		"tables behind":           {func(f *found, _ *marks) { f.streams[tables] = state(4) }, "back in time"},
		"blobs behind":            {func(f *found, _ *marks) { f.streams[blobs] = state(5) }, "back in time"},
		"events behind":           {func(f *found, _ *marks) { f.streams[events] = state(6) }, "back in time"},
		"epoch behind":            {func(_ *found, m *marks) { m.Epoch = 3 }, "back in time"},
		"stream missing":          {func(f *found, _ *marks) { f.streams[events] = nil }, "missing"},
		"all missing":             {func(f *found, _ *marks) { *f = found{} }, "missing"},
		"tables missing, unknown": {func(f *found, m *marks) { f.streams[tables], f.id, *m = nil, "", marks{} }, "missing"},
		"no id":                   {func(f *found, _ *marks) { f.ids[blobs] = "" }, "bears no store id"},
		"mixed stores":            {func(f *found, m *marks) { f.ids[blobs], *m = "b", marks{} }, "is of store b"},
		"another store": {func(f *found, _ *marks) {
			f.id, f.ids = "b", [streamCount]string{"b", "b", "b"}
		}, "is of store b"},
		"lost messages": {func(f *found, _ *marks) {
			f.streams[tables].Lost = &jetstream.LostStreamData{Msgs: []uint64{3}, Bytes: 9}
		}, "has lost 1 messages"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f, m := sound(), seen()
			tt.change(&f, &m)
			got := judge(f, m)
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("reason %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCensusShowsWhatTheServerDoesNot(t *testing.T) {
	tests := map[string]struct {
		change func(*census, *marks)
		want   string
	}{
		"as seen":                    {func(*census, *marks) {}, ""},
		"written since":              {func(_ *census, m *marks) { m.Keys, m.Sum = 2, 20 }, ""},
		"a value cannot be read":     {func(c *census, _ *marks) { c.keys = 2 }, "2 of 3 values"},
		"the end is cut off":         {func(c *census, _ *marks) { c.newest = 11 }, "newest value is of sequence 11"},
		"a key is missing":           {func(_ *census, m *marks) { m.Keys = 4 }, "3 keys, 4 were seen"},
		"an older revision is there": {func(c *census, _ *marks) { c.sum = 29 }, "add up to 29, 30 was seen"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, m := census{keys: 3, sum: 30, newest: 12}, marks{Keys: 3, Sum: 30}
			tt.change(&c, &m)
			got := c.judge(&jetstream.StreamState{Msgs: 3, LastSeq: 12}, m)
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("reason %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCutOffEventsAreNoticed(t *testing.T) {
	ctx, dir := deadline(t), filepath.Join(t.TempDir(), "store")
	b := open(t, Config{Dir: dir})
	for i := range 10 {
		if err := TopicOf[value](b, "setpoint.commit").Publish(ctx, "main", "", value{N: i}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	block := filepath.Join(dir, "jetstream/$G/streams/setpoint-events/msgs/1.blk")
	info, err := os.Stat(block)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(block, info.Size()/2); err != nil {
		t.Fatal(err)
	}
	if b = open(t, Config{Dir: dir}); !strings.Contains(b.Rebuilt(), "events") {
		t.Errorf("reason %q", b.Rebuilt())
	}
}

func TestFloorOnlyRisesAndOutlivesTheStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b := open(t, Config{Dir: dir})
	for _, g := range []models.Generation{3, 9, 4} {
		if err := b.RaiseFloor(g); err != nil {
			t.Fatal(err)
		}
	}
	if b.Floor() != 9 {
		t.Fatalf("floor %d, want 9", b.Floor())
	}
	// On disk at once, not only after Close.
	data, err := os.ReadFile(dir + ".watermark")
	if err != nil {
		t.Fatal(err)
	}
	if m, err := parseMarks(data); err != nil || m.Floor != 9 {
		t.Errorf("on disk: %+v %v", m, err)
	}
	if err := errors.Join(b.Close(), os.RemoveAll(dir)); err != nil {
		t.Fatal(err)
	}
	if b = open(t, Config{Dir: dir}); b.Floor() != 9 {
		t.Errorf("floor after loss of the store: %d, want 9", b.Floor())
	}
}

func TestRaiseFloorThatIsNotOnDiskIsAnError(t *testing.T) {
	dir := t.TempDir()
	b := open(t, Config{Dir: filepath.Join(dir, "store"), Watermark: filepath.Join(dir, "marks", "w")})
	if err := os.Rename(filepath.Join(dir, "marks"), filepath.Join(dir, "gone")); err != nil {
		t.Fatal(err)
	}
	if err := b.RaiseFloor(5); err == nil || b.Floor() != 0 {
		t.Errorf("raised to %d, error %v", b.Floor(), err)
	}
	if err := os.Rename(filepath.Join(dir, "gone"), filepath.Join(dir, "marks")); err != nil {
		t.Fatal(err)
	}
}

func FuzzParseMarks(f *testing.F) {
	f.Add([]byte(`{"store":"a","epoch":1,"floor":3,"streams":{"KV_setpoint":4}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseMarks(data)
		if err != nil && (m.Store != "" || m.Floor != 0) {
			t.Errorf("error %v with marks %+v", err, m)
		}
	})
}
