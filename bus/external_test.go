package bus

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestExternalServerServesTheSame(t *testing.T) {
	ctx := deadline(t)
	srv := external(t, t.TempDir(), -1)
	c := Config{URLs: []string{srv.ClientURL()}, Watermark: filepath.Join(t.TempDir(), "marks", "w")}
	b := open(t, c)
	tab := TableOf[value](b, "assignments")
	writes := make([]Write, externalBatch+500)
	for i := range writes {
		writes[i] = tab.Put(fmt.Sprint(i), value{N: i}, 0)
	}
	if err := b.Batch(ctx, writes...); err != nil {
		t.Fatal(err)
	}
	if err := b.Batch(ctx, tab.Put("new", value{}, 0), tab.Put("0", value{}, 0)); !errors.Is(err, ErrConflict) {
		t.Errorf("conflict: %v", err)
	}
	h, err := b.Blobs().Put(ctx, noise(1, 2<<20))
	if err != nil {
		t.Fatal(err)
	}
	if err := TopicOf[value](b, "setpoint.commit").Publish(ctx, "main", "1", value{}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.RaiseFloor(6), b.Close()); err != nil {
		t.Fatal(err)
	}
	b = open(t, c)
	if b.Rebuilt() != "" || b.Floor() != 6 {
		t.Errorf("rebuilt %q, floor %d", b.Rebuilt(), b.Floor())
	}
	if all, err := TableOf[value](b, "assignments").All(ctx); len(all) != len(writes) || err != nil {
		t.Errorf("%d values (%v)", len(all), err)
	}
	if _, err := b.Blobs().Get(ctx, h[0]); err != nil {
		t.Error(err)
	}
}

// TestExternalStoreThatWentBackLosesItsTablesOnce restores an older copy of the
// server's store: tables are begun anew, and a second service with older marks
// does not do it again.
func TestExternalStoreThatWentBackLosesItsTablesOnce(t *testing.T) {
	ctx, dir := deadline(t), filepath.Join(t.TempDir(), "nats")
	srv := external(t, dir, -1)
	marks := []string{filepath.Join(t.TempDir(), "w"), filepath.Join(t.TempDir(), "w")}
	at := func(i int) Config { return Config{URLs: []string{srv.ClientURL()}, Watermark: marks[i]} }
	write := func(b *Bus, n int) {
		t.Helper()
		for range n {
			tab := TableOf[value](b, "heads")
			_, rev, err := tab.Get(ctx, "main")
			if err == nil {
				_, err = tab.Update(ctx, "main", value{N: n}, rev)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	b := open(t, at(0))
	write(b, 1)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	srv.Shutdown()
	srv.WaitForShutdown()
	old := copyOf(t, dir)

	srv = external(t, dir, -1)
	for i := range 2 { // both services see the newer store
		b := open(t, at(i))
		write(b, 10)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	srv.Shutdown()
	srv.WaitForShutdown()

	srv = external(t, old, -1)
	b = open(t, at(0))
	if !strings.Contains(b.Rebuilt(), "went back in time") {
		t.Errorf("first: %q", b.Rebuilt())
	}
	if _, rev, err := TableOf[value](b, "heads").Get(ctx, "main"); rev != 0 || err != nil {
		t.Errorf("the old value is still there: %d (%v)", rev, err)
	}
	write(b, 1)
	second := open(t, at(1))
	if second.Rebuilt() != "" {
		t.Errorf("second: %q", second.Rebuilt())
	}
	if v, _, err := TableOf[value](second, "heads").Get(ctx, "main"); v.N != 1 || err != nil {
		t.Errorf("the second lost what the first wrote: %v (%v)", v, err)
	}
}

func copyOf(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := copyDir(to, dir); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestAnotherStoreIsNotTakenForOurs(t *testing.T) {
	one, two := external(t, t.TempDir(), -1), external(t, t.TempDir(), -1)
	w := filepath.Join(t.TempDir(), "w")
	for _, c := range []Config{
		{URLs: []string{one.ClientURL()}, Watermark: w},
		{URLs: []string{two.ClientURL()}, Watermark: w + "2"},
	} {
		if err := open(t, c).Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Open(deadline(t), Config{URLs: []string{two.ClientURL()}, Watermark: w})
	if err == nil || !strings.Contains(err.Error(), "last used store") {
		t.Errorf("open: %v", err)
	}
}

func TestSomebodyElsesBucketStaysAsItIs(t *testing.T) {
	ctx, srv := deadline(t), external(t, t.TempDir(), -1)
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "setpoint"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString(ctx, "theirs", "x"); err != nil {
		t.Fatal(err)
	}
	_, err = Open(ctx, Config{URLs: []string{srv.ClientURL()}, Watermark: filepath.Join(t.TempDir(), "w")})
	if err == nil || !strings.Contains(err.Error(), "KV_setpoint exists and is not setpoint's") {
		t.Errorf("open: %v", err)
	}
	if e, err := kv.Get(ctx, "theirs"); err != nil || string(e.Value()) != "x" {
		t.Errorf("their value: %v", err)
	}
}

func TestTablesAreABucketForNATSTools(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	tab := TableOf[value](b, "devices")
	rev, err := tab.Update(ctx, "leaf01", value{N: 4}, 0)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := b.js.KeyValue(ctx, "setpoint")
	if err != nil {
		t.Fatal(err)
	}
	if e, err := kv.Get(ctx, "devices.leaf01"); err != nil || string(e.Value()) != `{"n":4}` || e.Revision() != rev {
		t.Errorf("through the bucket: %v (%v)", e, err)
	}
	if err := tab.Delete(ctx, "leaf01", rev); err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Get(ctx, "devices.leaf01"); !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("deleted: %v", err)
	}
}

func TestClosedBusAnswersWithAnError(t *testing.T) {
	b := open(t, Config{})
	tab := TableOf[value](b, "t")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := tab.Update(deadline(t), "k", value{}, 0); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("update: %v", err)
	}
	if _, err := tab.Watch(deadline(t)); err == nil {
		t.Error("watch began")
	}
	if err := b.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestCredentialsAreAsked(t *testing.T) {
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true,
		Username: "setpoint", Password: "right",
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("not ready")
	}
	c := Config{URLs: []string{srv.ClientURL()}, Watermark: filepath.Join(t.TempDir(), "w"), Username: "setpoint", Password: "wrong"}
	if _, err := Open(deadline(t), c); err == nil || !strings.Contains(err.Error(), "Authorization") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("wrong password: %v", err)
	}
	c.Password = "right"
	open(t, c)
}

func TestOpenSaysWhatIsMissing(t *testing.T) {
	for name, tt := range map[string]struct {
		c    Config
		want string
	}{
		"nothing":          {Config{}, "neither a store directory nor"},
		"only a watermark": {Config{Watermark: "w"}, "neither a store directory nor a server's URL"},
		"too small":        {Config{Dir: "x", MaxStore: 1}, "a store of 1 bytes is too small"},
		"nobody there":     {Config{URLs: []string{"nats://127.0.0.1:1"}, Watermark: filepath.Join(t.TempDir(), "w")}, "connect to NATS at nats://127.0.0.1:1"},
		"no credentials":   {Config{URLs: []string{"nats://127.0.0.1:1"}, Watermark: filepath.Join(t.TempDir(), "w"), CredentialsFile: "/nonexistent.creds"}, "connect to NATS"},
	} {
		if _, err := Open(deadline(t), tt.c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCallsEndWithTheirContext(t *testing.T) {
	b := open(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tab := TableOf[value](b, "t")
	_, _, get := tab.Get(ctx, "k")
	_, update := tab.Update(ctx, "k", value{}, 0)
	_, all := tab.All(ctx)
	_, put := b.Blobs().Put(ctx, []byte("x"))
	for name, err := range map[string]error{"get": get, "update": update, "all": all, "put": put, "batch": b.Batch(ctx, tab.Put("a", value{}, 0), tab.Put("b", value{}, 0))} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := TopicOf[value](b, "setpoint.x").Consume(ctx, "d", nil); err != nil {
		t.Errorf("consume: %v", err)
	}
}
