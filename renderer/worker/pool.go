package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/setpoint-net/setpoint/renderer"
)

// The limits of a Pool that says no other.
const (
	Deadline = 5 * time.Second
	Memory   = 512 << 20
)

// maxQuestions is how many questions a process answers before another takes its
// place: CUE keeps the name of each field that it ever met, for the whole process.
const maxQuestions = 20_000

// idleFor is how long a process waits for the next question, unless it is the last.
const idleFor = time.Minute

// Pool evaluates in processes. Its zero value is ready, and is closed after use. It
// is safe for concurrent use; its fields are set before the first call and not
// changed after.
type Pool struct {
	Size     int           // processes at once; zero: GOMAXPROCS
	Deadline time.Duration // of one question; zero: Deadline
	Memory   int64         // of one process, in bytes; zero: Memory

	questions int // that a process answers, for tests; zero: maxQuestions

	mu     sync.Mutex
	slots  chan struct{}
	idle   []*process // the last is the last used
	reaper *time.Timer
	closed bool
}

// Evaluate puts a question to a process: see renderer.Evaluator.
func (p *Pool) Evaluate(ctx context.Context, prog *renderer.Program, question []byte) ([]byte, error) {
	slots := p.places()
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	answer, used, err := p.try(ctx, prog, question, p.take())
	var over *renderer.LimitError
	if used && errors.As(err, &over) && over.Limit != renderer.OverTime {
		answer, _, err = p.try(ctx, prog, question, nil)
	}
	return answer, err
}

// try puts a question to a process, nil: a new one. used says that the process had
// answered others.
func (p *Pool) try(ctx context.Context, prog *renderer.Program, question []byte, w *process) (answer []byte, used bool, err error) {
	if used = w != nil; !used {
		if w, err = start(ctx, p.memory()); err != nil {
			return nil, false, fmt.Errorf("start a process to evaluate in: %w", err)
		}
	}
	answer, err = w.ask(ctx, prog, question, p.deadline())
	if err != nil {
		return nil, used, err
	}
	p.put(w)
	return answer, used, nil
}

func (p *Pool) deadline() time.Duration {
	return cmp.Or(p.Deadline, Deadline)
}

func (p *Pool) memory() int64 {
	return cmp.Or(p.Memory, Memory)
}

// places are as many as there may be processes.
func (p *Pool) places() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slots == nil {
		n := p.Size
		if n == 0 {
			n = runtime.GOMAXPROCS(0)
		}
		p.slots = make(chan struct{}, n)
	}
	return p.slots
}

// take gives an idle process, nil when there is none.
func (p *Pool) take() *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle) - 1
	if n < 0 {
		return nil
	}
	w := p.idle[n]
	p.idle = p.idle[:n]
	return w
}

// put takes a process back, to wait for its next question.
func (p *Pool) put(w *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || w.ended || w.asked >= cmp.Or(p.questions, maxQuestions) {
		w.end()
		return
	}
	w.since = time.Now()
	p.idle = append(p.idle, w)
	if p.reaper == nil {
		p.reaper = time.AfterFunc(idleFor, p.reap)
	}
}

// reap ends the processes that were idle for long, but for the one used last: the
// next change of a repo is a few questions, which a start would outweigh.
func (p *Pool) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	var newest *process
	if n := len(p.idle); n > 0 {
		newest = p.idle[n-1]
	}
	p.idle = slices.DeleteFunc(p.idle, func(w *process) bool {
		old := w != newest && time.Since(w.since) >= idleFor
		if old {
			w.end()
		}
		return old
	})
	p.reaper = nil
	if len(p.idle) > 1 && !p.closed {
		p.reaper = time.AfterFunc(idleFor, p.reap)
	}
}

// Close ends all idle processes. Nobody asks any more.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.reaper != nil {
		p.reaper.Stop()
	}
	for _, w := range p.idle {
		w.end()
	}
	p.idle = nil
}
