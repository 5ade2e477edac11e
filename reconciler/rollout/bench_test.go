package rollout

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/setpoint-net/setpoint/models"
)

// leafSwitch is a leaf switch's configuration of 160 kB, of its own for each name.
func leafSwitch(b *testing.B) func(name string) []byte {
	b.Helper()
	f, err := os.Open("../plan/testdata/leaf.json.gz")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		b.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		b.Fatal(err)
	}
	const text = `"description":"rule 0 of ACL-0"`
	if !bytes.Contains(raw, []byte(text)) {
		b.Fatal("the leaf to change is not there")
	}
	return func(name string) []byte {
		return bytes.Replace(raw, []byte(text), fmt.Appendf(nil, `"description":%q`, name), 1)
	}
}

// BenchmarkWeigh1000 asks the guards about a commit that changes each of 1,000
// devices with 160 kB, no two alike: what it costs when everything is compared, and
// when it is known already.
func BenchmarkWeigh1000(b *testing.B) {
	const devices = 1000
	h := newHouse(b)
	config := leafSwitch(b)
	now, m := assigned{}, models.Manifest{}
	for i := range devices {
		hashes, err := h.Blobs.Put(b.Context(), config(fmt.Sprint("before ", i)), config(fmt.Sprint("after ", i)))
		if err != nil {
			b.Fatal(err)
		}
		now[device(i)] = models.Assignment{Generation: 1, Hash: hashes[0], Phase: settled}
		m.Devices = append(m.Devices, auto(device(i), hashes[1]))
	}
	weigh1 := func(b *testing.B) {
		w := weigh(m, now)
		losses, err := h.losses(b.Context(), w.moves())
		if err != nil || len(losses) != devices || len(w.offends(losses)) > 0 {
			b.Fatalf("%d compared, %v", len(losses), err)
		}
	}
	b.Run("compared", func(b *testing.B) {
		for b.Loop() {
			h.compared.clear()
			weigh1(b)
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*devices), "µs/device")
	})
	b.Run("known", func(b *testing.B) {
		for b.Loop() {
			weigh1(b)
		}
	})
}

// BenchmarkWeigh10000Unchanged is what a commit costs that changes few of many
// devices: no config is read.
func BenchmarkWeigh10000Unchanged(b *testing.B) {
	now, m := fleet(10_000), onto(10_000, repeat("B", 100)...)
	for b.Loop() {
		if w := weigh(m, now); len(w.moves()) > 0 || len(w.offends(nil)) > 0 {
			b.Fatal("compared")
		}
	}
}
