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

// leafSwitch is a leaf switch's configuration of 160 kB, of its own for each name,
// and the same with another value of a leaf and with a leaf less.
func leafSwitch(b *testing.B) func(name string) (before, changed, less []byte) {
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
	const own, text = `"description":"rule 0 of ACL-1",`, `"description":"rule 0 of ACL-0",`
	if !bytes.Contains(raw, []byte(own)) || !bytes.Contains(raw, []byte(text)) {
		b.Fatal("the leaves to change are not there")
	}
	return func(name string) (before, changed, less []byte) {
		before = bytes.Replace(raw, []byte(own), fmt.Appendf(nil, `"description":%q,`, name), 1)
		changed = bytes.Replace(before, []byte(text), []byte(`"description":"another",`), 1)
		return before, changed, bytes.Replace(before, []byte(text), nil, 1)
	}
}

// BenchmarkWeigh1000 asks the guards about a commit that changes each of 1,000
// devices with 160 kB, no two alike: another value of a leaf, which is the common
// case; a leaf less, where the configs have to be parsed; and what is known already.
func BenchmarkWeigh1000(b *testing.B) {
	const devices = 1000
	h := newHouse(b)
	config := leafSwitch(b)
	now, changed, less := assigned{}, models.Manifest{}, models.Manifest{}
	for i := range devices {
		before, other, short := config(fmt.Sprint("device ", i))
		hashes, err := h.Blobs.Put(b.Context(), before, other, short)
		if err != nil {
			b.Fatal(err)
		}
		now[device(i)] = models.Assignment{Generation: 1, Hash: hashes[0], Phase: settled}
		changed.Devices = append(changed.Devices, auto(device(i), hashes[1]))
		less.Devices = append(less.Devices, auto(device(i), hashes[2]))
	}
	for _, c := range []struct {
		name   string
		m      models.Manifest
		known  bool
		guards int
	}{{"another value", changed, false, 0}, {"a leaf less", less, false, 1}, {"known", less, true, 1}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if !c.known {
					h.compared.clear()
				}
				w := weigh(c.m, now)
				losses, err := h.losses(b.Context(), w.moves())
				if err != nil || len(losses) != devices || len(w.offends(losses)) != c.guards {
					b.Fatalf("%d compared, %v, %v", len(losses), w.offends(losses), err)
				}
			}
		})
	}
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
