package e2e

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// trial is a test of its own for one scenario: what fails in it is its outcome, and
// fails nothing else. What it registers for the end is done at the suite's end.
type trial struct {
	testing.TB
	mu       sync.Mutex
	failures []string
	skipped  string
}

func (t *trial) note(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = append(t.failures, strings.TrimSpace(text))
}

func (t *trial) Errorf(format string, args ...any) { t.note(fmt.Sprintf(format, args...)) }
func (t *trial) Error(args ...any)                 { t.note(fmt.Sprintln(args...)) }
func (t *trial) Fatalf(format string, args ...any) { t.Errorf(format, args...); runtime.Goexit() }
func (t *trial) Fatal(args ...any)                 { t.Error(args...); runtime.Goexit() }

// Skipf ends the trial: the target can't do what it is about.
func (t *trial) Skipf(format string, args ...any) {
	t.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (t *trial) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.failures) > 0
}

// run runs a scenario and says how it came out: "pass", with what was found out
// behind it, "skip: …" or "FAIL: …".
func (t *trial) run(f func() string) string {
	found, done := "", make(chan struct{})
	go func() {
		defer close(done)
		found = f()
	}()
	<-done
	switch {
	case t.Failed():
		return "FAIL: " + clipped(strings.Join(t.failures, "; "))
	case t.skipped != "":
		return "skip: " + clipped(t.skipped)
	}
	return strings.TrimSuffix("pass: "+found, ": ")
}

// clipped is a text on one line, and not endless.
func clipped(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 600 {
		text = text[:600] + " …"
	}
	return text
}
