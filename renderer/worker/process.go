package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/setpoint-net/setpoint/renderer"
)

const (
	// startWithin is how long a process may take to say hello.
	startWithin = 30 * time.Second

	// patience is how much longer than the deadline a question may take on the
	// clock, where the processor was busy with something else.
	patience = 30 * time.Second
)

// process is one that evaluates. It belongs to one goroutine at a time.
type process struct {
	cmd    *exec.Cmd
	in     io.Closer
	client *renderer.Client
	words  *lastWords
	memory int64
	since  time.Time // idle
	asked  int       // questions
	ended  bool
}

// itself is the running binary, also where the file it was started from is gone.
func itself() (string, error) {
	const link = "/proc/self/exe"
	if _, err := os.Stat(link); err == nil {
		return link, nil
	}
	return os.Executable()
}

// start starts a process and waits until it is ready.
func start(ctx context.Context, memory int64) (*process, error) {
	path, err := itself()
	if err != nil {
		return nil, err
	}
	w := &process{words: &lastWords{}, memory: memory}
	w.cmd = exec.Command(path, mode, strconv.FormatInt(memory, 10))
	w.cmd.Args[0] = "setpoint-evaluate"
	w.cmd.Env = []string{}
	w.cmd.Dir = string(os.PathSeparator)
	w.cmd.Stderr = w.words
	in, err := w.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	w.in = in
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	stop := w.guard(ctx, func() (time.Duration, bool) { return 0, false }, startWithin)
	w.client, err = renderer.NewClient(out, in)
	why := stop()
	if err == nil && why == nil {
		return w, nil
	}
	w.end()
	if why != nil {
		return nil, why
	}
	if said := w.words.line(); said != "" {
		return nil, fmt.Errorf("%w: %s", err, said)
	}
	return nil, err
}

// errLate says that a process was ended for its time.
var errLate = errors.New("too late")

// guard kills the process when ctx ends, or when more than limit is spent, by the
// processor's count if there is one, or by the clock. The function it returns ends
// the guard, and says why it killed, if it did.
func (w *process) guard(ctx context.Context, spent func() (time.Duration, bool), limit time.Duration) func() error {
	stop := make(chan struct{})
	var why error
	var wg sync.WaitGroup
	wg.Go(func() {
		began := time.Now()
		timer := time.NewTimer(limit)
		defer timer.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ctx.Done():
				why = ctx.Err()
			case <-timer.C:
				if cpu, ok := spent(); ok && cpu < limit && time.Since(began) < limit+patience {
					timer.Reset(max(limit-cpu, 10*time.Millisecond))
					continue
				}
				why = errLate
			}
			w.kill()
			return
		}
	})
	return func() error {
		close(stop)
		wg.Wait()
		return why
	}
}

// ask puts a question. After an error the process is gone.
func (w *process) ask(ctx context.Context, p *renderer.Program, question []byte, limit time.Duration) ([]byte, error) {
	w.asked++
	before, _ := processorTime(w.cmd.Process.Pid)
	stop := w.guard(ctx, func() (time.Duration, bool) {
		now, ok := processorTime(w.cmd.Process.Pid)
		return now - before, ok
	}, limit)
	answer, err := w.client.Ask(p, question)
	why := stop()
	if why != nil {
		w.end()
	}
	switch {
	case err == nil:
		return answer, nil
	case errors.Is(why, errLate):
		return nil, &renderer.LimitError{Limit: renderer.OverTime, Text: "did not finish within " + inWords(limit), Step: w.client.Step()}
	case why != nil:
		return nil, why
	}
	return nil, w.fate(err)
}

// fate says what became of a process that ended by itself.
func (w *process) fate(err error) error {
	w.end()
	said := w.words.String()
	e := &renderer.LimitError{Limit: renderer.Crashed, Step: w.client.Step()}
	switch {
	case w.cmd.ProcessState.ExitCode() == exitMemory, strings.Contains(said, "out of memory"), strings.Contains(said, "cannot allocate memory"):
		e.Limit, e.Text = renderer.OverMemory, fmt.Sprintf("needed more than %d MiB", w.memory>>20)
	case strings.Contains(said, "stack exceeds"):
		e.Limit, e.Text = renderer.OverDepth, "went too deep"
	default:
		how := w.words.line()
		if how == "" {
			how = w.cmd.ProcessState.String()
		}
		if how == "" {
			how = err.Error()
		}
		e.Text = "broke down: " + how
	}
	return e
}

func (w *process) kill() { _ = w.cmd.Process.Kill() } // an error: it has ended already

// end ends the process and waits until it is gone.
func (w *process) end() {
	if w.ended {
		return
	}
	w.ended = true
	_ = w.in.Close()
	w.kill()
	_ = w.cmd.Wait() // how it ended is in ProcessState
}

// inWords is a duration as people say it.
func inWords(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.Itoa(int(d/time.Second)) + " s"
	}
	return d.String()
}

// lastWords keeps the beginning of what a process says as it breaks down.
type lastWords struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const maxWords = 4 << 10

func (l *lastWords) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(b[:min(len(b), maxWords-l.buf.Len())])
	return len(b), nil
}

func (l *lastWords) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// line is the first line.
func (l *lastWords) line() string {
	line, _, _ := strings.Cut(strings.TrimSpace(l.String()), "\n")
	return line
}
