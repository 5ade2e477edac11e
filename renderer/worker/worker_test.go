package worker

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/renderer"
)

func TestMain(m *testing.M) {
	if Wanted(os.Args) {
		os.Exit(Run(os.Args, os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func pool(t testing.TB, p *Pool) *Pool {
	t.Cleanup(p.Close)
	return p
}

func render(t testing.TB, r *renderer.Renderer, repo fs.FS) *renderer.Result {
	t.Helper()
	res, err := r.Render(t.Context(), repo)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// Every golden case of the renderer's, and each kind's example, gives the same
// bytes and mistakes whether kinds are evaluated in the process or in another.
func TestAProcessGivesTheSame(t *testing.T) {
	names, err := filepath.Glob("../testdata/*.txtar")
	if err != nil || len(names) < 20 {
		t.Fatalf("%d cases: %v", len(names), err)
	}
	p := pool(t, &Pool{})
	for _, name := range names {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		repo := fstest.MapFS{}
		for _, f := range archive.Files {
			repo[f.Name] = &fstest.MapFile{Data: f.Data}
		}
		here, there := render(t, &renderer.Renderer{}, repo), render(t, &renderer.Renderer{Evaluator: p}, repo)
		here.Fresh, there.Fresh = 0, 0 // devices that look the same share, if one is done before the other
		if !reflect.DeepEqual(here, there) {
			t.Errorf("%s: in the process\n%v\nin another\n%v", name, here, there)
		}
	}
}

var update = flag.Bool("update", false, "rewrite the want sections of testdata")

// The limits here are lower than a service's, so that tests end soon, and still far
// above what the documents need that are to pass.
func narrow(t testing.TB) *Pool {
	return pool(t, &Pool{Deadline: 2 * time.Second, Memory: 160 << 20})
}

func TestLimits(t *testing.T) {
	if shadow > 1 {
		t.Skip("skipped: the race detector takes many times the time and memory; make check runs this without it")
	}
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			repo, want := fstest.MapFS{}, len(archive.Files)-1
			for _, f := range archive.Files[:want] {
				repo[f.Name] = &fstest.MapFile{Data: f.Data}
			}
			got := lines(render(t, &renderer.Renderer{Evaluator: narrow(t)}, repo).Mistakes)
			if *update {
				archive.Files[want].Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(archive), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(archive.Files[want].Data), got); d != "" {
				t.Errorf("want (-) got (+), -update rewrites:\n%s", d)
			}
		})
	}
}

func lines(ms []models.Mistake) string {
	var b strings.Builder
	for _, m := range ms {
		fmt.Fprintf(&b, "%s:%d:%d: %s [%s]\n", m.File, m.Line, m.Column, m.Message, m.Code)
		if m.Hint != "" {
			fmt.Fprintf(&b, "    hint: %s\n", m.Hint)
		}
	}
	return b.String()
}

// endless is a repo with one document that never ends.
var endless = fstest.MapFS{
	"device.yaml": {Data: []byte("apiVersion: setpoint/v1\nkind: Device\nmetadata: {name: leaf01}\nspec: {address: 192.0.2.11, credentials: lab, manage: [/interfaces]}\n")},
	"loop.yaml":   {Data: []byte("apiVersion: setpoint/v1\nkind: Loop\nmetadata: {name: loop}\nfor: {devices: [leaf01]}\nspec: {rounds: 1000}\n")},
	"kinds/l.cue": {Data: []byte(`package kinds

import "list"

#Loop: {
	spec: rounds: int
	device: {...}
	let r = list.Range(0, spec.rounds, 1)
	openconfig: interfaces: interface: [for i in r for j in r for k in r if i+j+k < 0 {name: i}]
}
`)},
}

// short is a repo with one document of a built-in kind.
var short = fstest.MapFS{
	"device.yaml": endless["device.yaml"],
	"ports.yaml":  {Data: []byte("apiVersion: setpoint/v1\nkind: AccessPorts\nmetadata: {name: p}\nfor: {devices: [leaf01]}\nspec: {ports: [\"Ethernet[1-8]\"], vlan: 10}\n")},
}

func TestTheContextEndsAnEvaluation(t *testing.T) {
	p := pool(t, &Pool{Deadline: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	busy := &watched{Pool: p, asked: make(chan string, 10)}
	ended := make(chan error)
	go func() {
		_, err := (&renderer.Renderer{Evaluator: busy}).Render(ctx, endless)
		ended <- err
	}()
	for range 2 { // what the kinds are, then the document
		<-busy.asked
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("rendering ended with %v", err)
	}
}

// watched tells of each question.
type watched struct {
	*Pool
	asked chan string
}

func (w *watched) Evaluate(ctx context.Context, p *renderer.Program, question []byte) ([]byte, error) {
	w.asked <- string(question)
	return w.Pool.Evaluate(ctx, p, question)
}

// caught keeps a program and a question about it.
type caught struct {
	mu       sync.Mutex
	program  *renderer.Program
	question []byte
	inner    renderer.Evaluator
}

func (c *caught) Evaluate(ctx context.Context, p *renderer.Program, question []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if strings.Contains(string(question), `"Definition"`) {
		c.program, c.question = p, question
		return nil, errors.New("caught")
	}
	return c.inner.Evaluate(ctx, p, question)
}

// A process whose parent is gone has nobody who would end it.
func TestAProcessEndsWithItsInputWhateverItIsBusyWith(t *testing.T) {
	c := &caught{inner: pool(t, &Pool{})}
	if _, err := (&renderer.Renderer{Evaluator: c}).Render(t.Context(), endless); err == nil || c.program == nil {
		t.Fatalf("nothing was caught: %v", err)
	}
	w, err := start(t.Context(), Memory)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan error)
	go func() {
		_, err := w.client.Ask(c.program, c.question)
		asked <- err
	}()
	for before := time.Duration(0); before < 100*time.Millisecond; { // it is busy
		if before, _ = processorTime(w.cmd.Process.Pid); before == 0 {
			break // not told here
		}
	}
	if err := w.in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-asked; err == nil {
		t.Error("an endless question was answered")
	}
	if err := w.cmd.Wait(); err != nil {
		t.Errorf("the process ended with %v: %s", err, w.words)
	}
}

func TestAClosedPoolLeavesNoProcess(t *testing.T) {
	p := &Pool{Size: 1}
	(&renderer.Renderer{Evaluator: p}).Kinds(t.Context(), endless)
	w := p.idle[0]
	p.Close()
	if w.cmd.ProcessState == nil || len(p.idle) != 0 {
		t.Error("an idle process outlived its pool")
	}
}

// Long idle processes are ended, but for the one used last: it has the kinds
// compiled, and takes the next question.
func TestTheProcessUsedLastIsKept(t *testing.T) {
	p := pool(t, &Pool{})
	for range 3 {
		w, err := start(t.Context(), p.memory())
		if err != nil {
			t.Fatal(err)
		}
		p.put(w)
	}
	all := slices.Clone(p.idle)
	p.reap()
	if len(p.idle) != 3 {
		t.Fatalf("%d of 3 processes are left that have just been used", len(p.idle))
	}
	for _, w := range all {
		w.since = w.since.Add(-idleFor)
	}
	p.reap()
	if len(p.idle) != 1 || p.idle[0] != all[2] || all[2].ended || !all[0].ended || !all[1].ended {
		t.Errorf("%d of 3 idle processes are left, the last used ended: %v", len(p.idle), all[2].ended)
	}
	p.reap()
	if w := p.take(); w != all[2] {
		t.Error("the next question gets another process")
	}
	p.put(all[2])
}

func TestAProcessIsReplacedInTime(t *testing.T) {
	c := &caught{inner: pool(t, &Pool{})}
	if _, err := (&renderer.Renderer{Evaluator: c}).Render(t.Context(), short); err == nil || c.program == nil {
		t.Fatalf("nothing was caught: %v", err)
	}
	p := pool(t, &Pool{Size: 1, questions: 2})
	var pids []int
	for range 4 {
		if _, err := p.Evaluate(t.Context(), c.program, c.question); err != nil {
			t.Fatal(err)
		}
		if len(p.idle) > 0 {
			pids = append(pids, p.idle[0].cmd.Process.Pid)
		}
	}
	if len(pids) != 2 || pids[0] == pids[1] {
		t.Errorf("of four questions, two to a process, the processes between were %v", pids)
	}
}

func TestABinaryWithoutTheModeIsToldOf(t *testing.T) {
	r, w := io.Pipe()
	go io.WriteString(w, "H\x00\x00\x00\x03hey")
	if _, err := renderer.NewClient(r, io.Discard); err == nil || !strings.Contains(err.Error(), `"hey"`) {
		t.Errorf("a stranger's greeting gave %v", err)
	}
	if _, err := renderer.NewClient(strings.NewReader(""), io.Discard); err == nil {
		t.Error("silence was taken for a greeting")
	}
}

// BenchmarkEvaluate is what one evaluation costs, of a kind of the library.
func BenchmarkEvaluate(b *testing.B) {
	c := &caught{inner: pool(b, &Pool{})}
	repo := maps.Clone(short)
	if _, err := (&renderer.Renderer{Evaluator: c}).Render(b.Context(), repo); err == nil || c.program == nil {
		b.Fatalf("nothing was caught: %v", err)
	}
	ask := func(b *testing.B, e renderer.Evaluator) {
		if _, err := e.Evaluate(b.Context(), c.program, c.question); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("in a process", func(b *testing.B) {
		p := pool(b, &Pool{})
		ask(b, p)
		for b.Loop() {
			ask(b, p)
		}
	})
	b.Run("in a new process", func(b *testing.B) {
		for b.Loop() {
			p := &Pool{}
			ask(b, p)
			p.Close()
		}
	})
	b.Run("in all processes", func(b *testing.B) {
		p := pool(b, &Pool{})
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				ask(b, p)
			}
		})
	})
	b.Run("rendered here", func(b *testing.B) {
		r := &renderer.Renderer{}
		for i := 0; b.Loop(); i++ {
			repo["ports.yaml"] = &fstest.MapFile{Data: fmt.Appendf(nil, "apiVersion: setpoint/v1\nkind: AccessPorts\nmetadata: {name: p}\nfor: {devices: [leaf01]}\nspec: {ports: [\"Ethernet[1-8]\"], vlan: %d}\n", i%4000+1)}
			render(b, r, repo)
		}
	})
	b.Run("rendered with an answer kept", func(b *testing.B) {
		r := &renderer.Renderer{}
		for b.Loop() {
			render(b, r, repo)
		}
	})
}
