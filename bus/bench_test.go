package bus

import (
	"bytes"
	"fmt"
	"testing"
)

func BenchmarkUpdate(b *testing.B) {
	ctx, bus := b.Context(), open(b, Config{})
	tab := TableOf[value](bus, "t")
	rev, err := uint64(0), error(nil)
	for b.Loop() {
		if rev, err = tab.Update(ctx, "k", value{S: "some text of usual length"}, rev); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	ctx, bus := b.Context(), open(b, Config{})
	tab := TableOf[value](bus, "t")
	if _, err := tab.Update(ctx, "k", value{S: "some text of usual length"}, 0); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, _, err := tab.Get(ctx, "k"); err != nil {
			b.Fatal(err)
		}
	}
}

// writesOf are n writes of new keys, or over those of an earlier round.
func writesOf(tab *Table[value], n int, first uint64) []Write {
	writes := make([]Write, n)
	for i := range writes {
		rev := uint64(0)
		if first > 0 {
			rev = first + uint64(i)
		}
		writes[i] = tab.Put(fmt.Sprintf("leaf%05d", i), value{N: i, S: "some text of usual length"}, rev)
	}
	return writes
}

func BenchmarkBatch(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000, 20_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ctx, bus := b.Context(), open(b, Config{})
			tab := TableOf[value](bus, "t")
			first := uint64(0)
			for b.Loop() {
				if err := bus.Batch(ctx, writesOf(tab, n, first)...); err != nil {
					b.Fatal(err)
				}
				if first == 0 {
					first = 1
				} else {
					first += uint64(n)
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "writes/s")
		})
	}
}

func BenchmarkWatch10kKeysUntilCurrent(b *testing.B) {
	ctx, bus := b.Context(), open(b, Config{})
	tab := TableOf[value](bus, "t")
	if err := bus.Batch(ctx, writesOf(tab, 10_000, 0)...); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		watchOnce(b, tab, 10_000)
	}
}

func watchOnce(b *testing.B, tab *Table[value], want int) {
	ctx := deadline(b)
	ch, err := tab.Watch(ctx)
	if err != nil {
		b.Fatal(err)
	}
	if got := until(b, ctx, ch, isCurrent); len(got) != want {
		b.Fatalf("%d keys", len(got))
	}
}

func BenchmarkAll10kKeys(b *testing.B) {
	ctx, bus := b.Context(), open(b, Config{})
	tab := TableOf[value](bus, "t")
	if err := bus.Batch(ctx, writesOf(tab, 10_000, 0)...); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := tab.All(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

// config is JSON of about 160 kB, different for each n.
func config(n int) []byte {
	var buf bytes.Buffer
	for i := 0; buf.Len() < 160<<10; i++ {
		fmt.Fprintf(&buf, `{"config":{"description":"to leaf%04d port %d","enabled":true,"mtu":%d,"name":"Ethernet%d","type":"iana-if-type:ethernetCsmacd"},"name":"Ethernet%d"},`, n, i, 9000+i%100, i, i)
	}
	return buf.Bytes()
}

func BenchmarkBlobPut160kB(b *testing.B) {
	for _, many := range []int{1, 100} {
		b.Run(fmt.Sprint(many), func(b *testing.B) {
			ctx, bus := b.Context(), open(b, Config{})
			b.SetBytes(int64(many) * 160 << 10)
			n := 0
			for b.Loop() {
				in := make([][]byte, many)
				for i := range in {
					in[i] = config(n)
					n++
				}
				if _, err := bus.Blobs().Put(ctx, in...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBlobGet160kB(b *testing.B) {
	ctx, bus := b.Context(), open(b, Config{})
	h, err := bus.Blobs().Put(ctx, config(1))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(160 << 10)
	for b.Loop() {
		if _, err := bus.Blobs().Get(ctx, h[0]); err != nil {
			b.Fatal(err)
		}
	}
}
