package renderer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const hostKind = `package kinds

#HostOf: {
	spec: {prefix: string, size: *1 | int & <=9000}
	device: {name: string, ...}
	openconfig: system: config: hostname: "\(spec.prefix)\(device.name)"
}
`

// served answers through Serve and a Client, without a process in between.
type served struct {
	client *Client
}

func serve(t testing.TB) *served {
	t.Helper()
	toServe, questions := io.Pipe()
	answers, fromServe := io.Pipe()
	ended := make(chan error)
	go func() { ended <- Serve(toServe, fromServe) }()
	c, err := NewClient(answers, questions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		questions.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &served{client: c}
}

func (s *served) Evaluate(_ context.Context, p *Program, question []byte) ([]byte, error) {
	return s.client.Ask(p, question)
}

// Whatever a document and a device say, a kind makes the same of it here and behind
// Serve.
func FuzzServeAnswersAsThisProcessDoes(f *testing.F) {
	f.Add("{prefix: x}", "{name: leaf01}")
	f.Add("{prefix: 7, sise: 1.50}", "{name: [1e3, .5, -0.0, 0x1f, 99999999999999999999]}")
	f.Add(`{prefix: "\u0001\"\\", size: 9001}`, `{name: "é\n", vars: {a: {b: null, c: [true, ~]}}}`)
	f.Add("{prefix: ${x}, a.b: {}}", "{labels: {1: 2}}")
	program := newProgram("kinds", []source{{name: "kinds/k.cue", data: []byte(hostKind)}}, libraryFiles())
	there := serve(f)
	here := &inProcess{}
	f.Fuzz(func(t *testing.T, spec, device string) {
		var inputs []input
		for field, text := range map[string]string{specPart: spec, devicePart: device} {
			p := parseFile(source{name: "f.yaml", data: []byte(text)})
			if !p.sound || len(p.docs) == 0 || p.docs[0].shape != mapping {
				return
			}
			inputs = append(inputs, input{Field: field, Closed: field == specPart, Trim: field == devicePart, value: appendPlain(nil, plainValue(p.docs[0]))})
		}
		if inputs[0].Field != specPart {
			inputs[0], inputs[1] = inputs[1], inputs[0]
		}
		q := question{Definition: "HostOf", Inputs: inputs, Output: openconfigPart}
		want, err := here.Evaluate(t.Context(), program, q.encode())
		if err != nil {
			t.Fatal(err)
		}
		got, err := there.Evaluate(t.Context(), program, q.encode())
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("here\n%s\nthere\n%s, %v", want, got, err)
		}
		a, err := decodeAnswer(got)
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Complaints) == 0 && a.value == nil {
			t.Error("neither a value nor a complaint")
		}
	})
}

// What comes from a process is not to be trusted to be what Serve writes.
func FuzzNothingThatAProcessSaysBreaksTheClient(f *testing.F) {
	var sound bytes.Buffer
	writeFrame(&sound, frameHello, protocol)
	writeFrame(&sound, frameStep, step{Name: "X"}.String())
	writeFrame(&sound, frameAnswer, `{"Complaints":[{"Text":"x"}]}`+"\n")
	f.Add(sound.Bytes())
	f.Add([]byte("H\xff\xff\xff\xff"))
	program := newProgram("kinds", nil, nil)
	f.Fuzz(func(_ *testing.T, data []byte) {
		c, err := NewClient(bytes.NewReader(data), io.Discard)
		if err != nil {
			return
		}
		for {
			raw, err := c.Ask(program, nil)
			if err != nil {
				return
			}
			decodeStep(c.Step())
			if a, err := decodeAnswer(raw); err == nil {
				_, _ = decodeDescription(a.value)
				_, _ = fromJSON(a.value, place{})
			}
		}
	})
}

func FuzzNothingThatIsAskedBreaksServe(f *testing.F) {
	var sound bytes.Buffer
	p := newProgram("kinds", []source{{name: "kinds/k.cue", data: []byte(hostKind)}}, nil)
	writeFrame(&sound, frameProgram, p.id, " ", string(p.source))
	q := question{Definition: "HostOf", Inputs: []input{{Field: specPart, value: []byte("{}")}}, Output: openconfigPart}
	writeFrame(&sound, frameQuestion, p.id, " ", string(q.encode()))
	f.Add(sound.Bytes())
	f.Fuzz(func(_ *testing.T, data []byte) { _ = Serve(bytes.NewReader(data), io.Discard) })
}

func TestPlainValuesSurviveTheWire(t *testing.T) {
	for _, text := range []string{"{a: 1, b: -7, c: 99999999999999999999}", "{a: 1.5, b: 1.0, c: 1e3, d: -0.25, e: 1e-40}", `{"b\"\u0001": [true, null, "x", {}], a: []}`} {
		n := parseFile(source{name: "f.yaml", data: []byte(text)}).docs[0]
		wire := appendPlain(nil, plainValue(n))
		back, err := fromJSON(wire, place{})
		if err != nil {
			t.Fatal(err)
		}
		if again := appendPlain(nil, plainValue(back)); !bytes.Equal(again, wire) || bytes.ContainsRune(wire, '\n') {
			t.Errorf("%s becomes %s, then %s", text, wire, again)
		}
		if d := cmp.Diff(fmt.Sprintf("%#v", plainValue(n)), fmt.Sprintf("%#v", plainValue(back))); d != "" && !bytes.Contains(wire, []byte(".")) && !bytes.Contains(wire, []byte("9999")) {
			t.Error(d)
		}
	}
}

func TestAnswersAreBounded(t *testing.T) {
	var a answers
	big := make([]byte, maxAnswers/10)
	for i := range 50 {
		a.put(questionKey{program: fmt.Sprint(i)}, big)
		if _, ok := a.get(questionKey{program: "0"}); !ok {
			t.Fatalf("an answer that is always asked for was forgotten after %d others", i)
		}
	}
	if n := len(a.young) + len(a.old); n*len(big) > maxAnswers {
		t.Errorf("%d answers of %d bytes are kept", n, len(big))
	}
	if _, ok := a.get(questionKey{program: "1"}); ok {
		t.Error("the oldest answer is kept")
	}
}

// evaluations asks n times, each time with another spec.
func evaluations(tb testing.TB, e Evaluator, from, n int) {
	tb.Helper()
	program := newProgram("kinds", []source{{name: "kinds/k.cue", data: []byte(hostKind)}}, libraryFiles())
	for i := from; i < from+n; i++ {
		q := question{Definition: "HostOf", Output: openconfigPart, Inputs: []input{
			{Field: specPart, Closed: true, value: fmt.Appendf(nil, `{"prefix":"x%d"}`, i)},
			{Field: devicePart, Trim: true, value: []byte(`{"name":"leaf"}`)},
		}}
		raw, err := e.Evaluate(tb.Context(), program, q.encode())
		if want := fmt.Sprintf("{}\n"+`{"system":{"config":{"hostname":"x%dleaf"}}}`, i); err != nil || string(raw) != want {
			tb.Fatalf("%s, %v", raw, err)
		}
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A context keeps what it was given.
func TestMemoryStaysFlatOverEvaluations(t *testing.T) {
	e := &inProcess{}
	evaluations(t, e, 0, recycleAfter)
	before := heap()
	evaluations(t, e, recycleAfter, 4*recycleAfter)
	if after := heap(); after > before+before/2 {
		t.Errorf("%d KiB are held after %d evaluations, %d KiB after %d", before>>10, recycleAfter, after>>10, 5*recycleAfter)
	}
	runtime.KeepAlive(e)
}

// BenchmarkMemoryOver100000 shows it at full length.
func BenchmarkMemoryOver100000(b *testing.B) {
	for b.Loop() {
		e := &inProcess{}
		for i := range 10 {
			evaluations(b, e, i*10_000, 10_000)
			b.ReportMetric(float64(heap())/(1<<20), fmt.Sprintf("MiB-after-%d0k", i+1))
		}
		runtime.KeepAlive(e)
	}
}
