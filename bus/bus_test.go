package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server/ats"
)

func TestMain(m *testing.M) {
	// The server's access clock is one goroutine for the whole process; it must not
	// be born inside a synctest bubble.
	ats.Register()
	if dir := os.Getenv(childStore); dir != "" {
		fmt.Fprintln(os.Stderr, writeUntilKilled(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// deadline is a context no step of a test should outlive.
func deadline(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func open(t testing.TB, c Config) *Bus {
	t.Helper()
	if c.Dir == "" && len(c.URLs) == 0 {
		c.Dir = filepath.Join(t.TempDir(), "store")
	}
	if c.Log == nil && testing.Verbose() {
		c.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	b, err := Open(deadline(t), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

type value struct {
	N int    `json:"n"`
	S string `json:"s,omitempty"`
}

func TestUpdateAsksForTheRevision(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	tab := TableOf[value](b, "devices")
	if v, rev, err := tab.Get(ctx, "leaf.01"); err != nil || rev != 0 || v != (value{}) {
		t.Fatalf("absent key: %v %d %v", v, rev, err)
	}
	rev, err := tab.Update(ctx, "leaf.01", value{N: 1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tab.Update(ctx, "leaf.01", value{N: 2}, 0); !errors.Is(err, ErrConflict) {
		t.Errorf("create over a value: %v", err)
	}
	if _, err := tab.Update(ctx, "leaf.01", value{N: 2}, rev+1); !errors.Is(err, ErrConflict) {
		t.Errorf("wrong revision: %v", err)
	}
	rev2, err := tab.Update(ctx, "leaf.01", value{N: 2}, rev)
	if err != nil || rev2 <= rev {
		t.Fatalf("right revision: %d %v", rev2, err)
	}
	if v, got, err := tab.Get(ctx, "leaf.01"); err != nil || got != rev2 || v.N != 2 {
		t.Errorf("read back: %v %d %v", v, got, err)
	}
	if err := tab.Delete(ctx, "leaf.01", rev); !errors.Is(err, ErrConflict) {
		t.Errorf("delete of an old revision: %v", err)
	}
	if err := tab.Delete(ctx, "leaf.01", rev2); err != nil {
		t.Fatal(err)
	}
	if _, rev, err := tab.Get(ctx, "leaf.01"); rev != 0 || err != nil {
		t.Errorf("deleted key: %d %v", rev, err)
	}
	if _, err := tab.Update(ctx, "leaf.01", value{N: 3}, 0); err != nil {
		t.Errorf("create after delete: %v", err)
	}
	all, err := tab.All(ctx)
	if err != nil || len(all) != 1 || all["leaf.01"].Value.N != 3 {
		t.Errorf("all: %v %v", all, err)
	}
}

func TestBlobsRoundTripSmoke(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	h, err := b.Blobs().Put(ctx, []byte("one"), nil, []byte("two"))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"one", "", "two"} {
		got, err := b.Blobs().Get(ctx, h[i])
		if err != nil || string(got) != want {
			t.Errorf("blob %d: %q %v", i, got, err)
		}
	}
}
