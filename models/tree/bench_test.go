package tree

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"testing"
	"time"
)

// leafSwitch is the configuration of a leaf switch: 160 kB, 4,500 values.
func leafSwitch(tb testing.TB) []byte {
	tb.Helper()
	zipped, err := os.ReadFile("testdata/leaf.json.gz")
	if err != nil {
		tb.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		tb.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// BenchmarkAgainstEncodingJSON tells parsing and writing in units of one
// encoding/json decode of the same text, taken in turn.
func BenchmarkAgainstEncodingJSON(b *testing.B) {
	data := leafSwitch(b)
	s := OpenConfig()
	var ours, theirs time.Duration
	for b.Loop() {
		start := time.Now()
		t, err := Parse(s, data)
		if err != nil {
			b.Fatal(err)
		}
		t.Canonical()
		between := time.Now()
		var v any
		if err := json.Unmarshal(data, &v); err != nil {
			b.Fatal(err)
		}
		ours += between.Sub(start)
		theirs += time.Since(between)
	}
	b.ReportMetric(float64(ours)/float64(theirs), "decodes")
}

func BenchmarkParse(b *testing.B) {
	data := leafSwitch(b)
	s := OpenConfig()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(s, data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseAndCanonical(b *testing.B) {
	data := leafSwitch(b)
	s := OpenConfig()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		t, err := Parse(s, data)
		if err != nil {
			b.Fatal(err)
		}
		t.Canonical()
	}
}

func BenchmarkHash(b *testing.B) {
	t := mustParse(b, string(leafSwitch(b)))
	for b.Loop() {
		newTree(t.schema, t.root).Hash()
	}
}

func BenchmarkFilter(b *testing.B) {
	t := mustParse(b, string(leafSwitch(b)))
	c, err := NewScope(t.schema, []string{"/interfaces/interface[name=Ethernet*]", "/network-instances", "!/network-instances/network-instance[name=mgmt]"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		c.Filter(t)
	}
}

func BenchmarkMerge(b *testing.B) {
	t := mustParse(b, string(leafSwitch(b)))
	over := mustParse(b, `{"interfaces":{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":1500}}]}}`)
	b.ReportAllocs()
	for b.Loop() {
		Merge(t, over)
	}
}

func BenchmarkLeaves(b *testing.B) {
	t := mustParse(b, string(leafSwitch(b)))
	b.ReportAllocs()
	for b.Loop() {
		for range t.Leaves {
		}
	}
}

func BenchmarkReadSchema(b *testing.B) {
	for b.Loop() {
		if _, err := readSchema(openConfig); err != nil {
			b.Fatal(err)
		}
	}
}

func mustParse(tb testing.TB, text string) *Tree {
	tb.Helper()
	t, err := Parse(OpenConfig(), []byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return t
}
