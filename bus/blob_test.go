package bus

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/setpoint-net/setpoint/models"
)

// noise is data that does not compress.
func noise(seed uint64, n int) []byte {
	data := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	for i := range data {
		data[i] = byte(rng.Uint64())
	}
	return data
}

func TestBlobsComeBackAsTheyWere(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	in := [][]byte{
		[]byte("one"),
		nil,
		[]byte(strings.Repeat(`{"name":"Ethernet1","config":{"mtu":9000}},`, 4000)),
		noise(1, 100),
		noise(2, 3<<20), // three parts and a bit
		noise(3, b.maxValue()),
		noise(4, b.maxValue()+1),
		[]byte("one"),
	}
	hashes, err := b.Blobs().Put(ctx, in...)
	if err != nil {
		t.Fatal(err)
	}
	if hashes[0] != "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed" || hashes[7] != hashes[0] {
		t.Errorf("hashes %v", hashes)
	}
	for i, h := range hashes {
		got, err := b.Blobs().Get(ctx, h)
		if err != nil || !bytes.Equal(got, in[i]) {
			t.Errorf("blob %d: %d bytes of %d (%v)", i, len(got), len(in[i]), err)
		}
	}
	for _, h := range []models.Hash{hashOf([]byte("absent"))} {
		if _, err := b.Blobs().Get(ctx, h); !errors.Is(err, ErrNotFound) {
			t.Errorf("absent: %v", err)
		}
	}
	for _, h := range []models.Hash{"", "abc", "*", models.Hash(strings.ToUpper(string(hashes[0]))), hashes[0] + ".0"} {
		if _, err := b.Blobs().Get(ctx, h); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("hash %q: %v", h, err)
		}
	}
}

func TestExistingBlobsAreNotWrittenAgain(t *testing.T) {
	for _, n := range []int{3, blobListFrom + 3} { // one by one, and by listing
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			ctx, b := deadline(t), open(t, Config{})
			var in [][]byte
			for i := range n {
				in = append(in, fmt.Append(nil, "blob", i))
			}
			if _, err := b.Blobs().Put(ctx, in[:n-1]...); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Blobs().Put(ctx, in...); err != nil {
				t.Fatal(err)
			}
			if info, err := b.streams[blobs].Info(ctx); err != nil || int(info.State.LastSeq) != n {
				t.Errorf("%d writes for %d blobs (%v)", info.State.LastSeq, n, err)
			}
		})
	}
}

func TestDamagedBlobIsNotFoundAndCanBePutAgain(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	data := noise(1, 2<<20)
	h, err := b.Blobs().Put(ctx, data)
	if err != nil {
		t.Fatal(err)
	}
	for name, harm := range map[string]func() error{
		"part is missing": func() error {
			m, err := b.last(ctx, blobs, partSubject(h[0], 1))
			if err != nil {
				return err
			}
			return b.remove(ctx, blobs, []uint64{m.Sequence})
		},
		"other bytes": func() error {
			_, err := b.js.Publish(ctx, partSubject(h[0], 2), []byte("other"))
			return err
		},
		"no parts": func() error {
			_, err := b.js.Publish(ctx, partSubject(h[0], 0), []byte("other"))
			return err
		},
		"no deflate": func() error {
			parts, err := b.Blobs().parts(h[0], data)
			if err != nil {
				return err
			}
			parts[len(parts)-1].Header.Set(headerEncoding, "deflate")
			_, err = b.js.PublishMsg(ctx, parts[len(parts)-1])
			return err
		},
		"unknown encoding": func() error {
			parts, err := b.Blobs().parts(h[0], data)
			if err != nil {
				return err
			}
			parts[len(parts)-1].Header.Set(headerEncoding, "brotli")
			_, err = b.js.PublishMsg(ctx, parts[len(parts)-1])
			return err
		},
	} {
		if err := harm(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := b.Blobs().Get(ctx, h[0]); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := b.Blobs().Put(ctx, data); err != nil {
			t.Errorf("%s: put again: %v", name, err)
		}
		if got, err := b.Blobs().Get(ctx, h[0]); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: after: %d bytes (%v)", name, len(got), err)
		}
	}
}

func TestFullBlobsLeaveTablesWritableAndSweepMakesRoom(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{MaxStore: 1 << 20})
	s, tab := b.Blobs(), TableOf[value](b, "heads")
	var put []models.Hash
	var last error
	for i := 0; last == nil; i++ {
		var h []models.Hash
		if h, last = s.Put(ctx, noise(uint64(i), 60<<10)); last == nil {
			put = append(put, h...)
		}
	}
	if !errors.Is(last, ErrFull) || !strings.Contains(last.Error(), "stream setpoint-blobs holds") {
		t.Fatalf("full: %v", last)
	}
	if _, err := tab.Update(ctx, "main", value{N: 1}, 0); err != nil {
		t.Errorf("tables: %v", err)
	}
	if err := TopicOf[value](b, "setpoint.commit").Publish(ctx, "main", "", value{}); err != nil {
		t.Errorf("events: %v", err)
	}
	// One blob of several parts: none of them may stay.
	if _, err := b.Blobs().Put(ctx, noise(99, 3<<20)); !errors.Is(err, ErrFull) {
		t.Errorf("large: %v", err)
	}
	removed, freed, err := s.Sweep(ctx, func(h models.Hash) bool { return h == put[0] }, -time.Second)
	if err != nil || removed != len(put)-1 || freed < int64(removed)*60<<10 {
		t.Errorf("swept %d of %d, %d bytes (%v)", removed, len(put), freed, err)
	}
	if _, err := s.Put(ctx, noise(99, 300<<10)); err != nil {
		t.Errorf("after the sweep: %v", err)
	}
	if _, err := s.Get(ctx, put[0]); err != nil {
		t.Errorf("kept: %v", err)
	}
	if _, err := s.Get(ctx, put[1]); !errors.Is(err, ErrNotFound) {
		t.Errorf("swept: %v", err)
	}
}

func TestSweepSparesWhatIsYoungOrWasAskedFor(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	none := func(models.Hash) bool { return false }
	synctest.Test(t, func(t *testing.T) {
		b, err := Open(t.Context(), Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		s := b.Blobs()
		if _, err := s.Put(t.Context(), []byte("old"), []byte("asked for")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		// The second is there already: only the pin keeps it.
		h, err := s.Put(t.Context(), []byte("young"), []byte("asked for"))
		if err != nil {
			t.Fatal(err)
		}
		if n, _, err := s.Sweep(t.Context(), none, 30*time.Minute); n != 1 || err != nil {
			t.Errorf("swept %d (%v), want 1", n, err)
		}
		for _, h := range h {
			if _, err := s.Get(t.Context(), h); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Hour)
		if n, _, err := s.Sweep(t.Context(), none, 30*time.Minute); n != 2 || err != nil {
			t.Errorf("swept %d (%v), want 2", n, err)
		}
		if n, _, err := s.Sweep(t.Context(), none, 0); n != 0 || err != nil {
			t.Errorf("swept %d of nothing (%v)", n, err)
		}
		left := 0
		b.pins.at.Range(func(any, any) bool { left++; return true })
		if left != 0 {
			t.Errorf("%d pins are left", left)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestSweepRemovesAllPartsOfABlob(t *testing.T) {
	ctx, b := deadline(t), open(t, Config{})
	if _, err := b.Blobs().Put(ctx, noise(1, 3<<20)); err != nil {
		t.Fatal(err)
	}
	n, freed, err := b.Blobs().Sweep(ctx, func(models.Hash) bool { return false }, -time.Second)
	if n != 1 || freed < 3<<20 || err != nil {
		t.Errorf("swept %d, %d bytes (%v)", n, freed, err)
	}
	info, err := b.streams[blobs].Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil || info.State.Msgs != 0 {
		t.Errorf("left: %v (%v)", info.State.Subjects, err)
	}
	if err := b.remove(ctx, blobs, []uint64{1}); err != nil {
		t.Errorf("removing what is gone: %v", err)
	}
}

func FuzzDecompress(f *testing.F) {
	var d deflater
	for _, s := range []string{"", "x", strings.Repeat("ab", 1000)} {
		body, encoding, err := d.compress([]byte(s))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body, encoding)
	}
	f.Add([]byte{1, 2, 3}, "deflate")
	f.Fuzz(func(t *testing.T, body []byte, encoding string) {
		data, err := decompress(body, encoding)
		if err != nil {
			return
		}
		again, enc, err := d.compress(data)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decompress(again, enc); err != nil || !bytes.Equal(back, data) {
			t.Errorf("round trip of %d bytes: %v", len(data), err)
		}
	})
}
