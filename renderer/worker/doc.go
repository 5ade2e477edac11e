// Package worker evaluates programs in processes of their own: this program again,
// in a hidden mode, with a memory limit and a deadline. It is the renderer's
// Evaluator wherever kinds come from outside.
//
// # The limits
//
// CUE can't be cancelled, so what takes too long or too much is ended with its
// process, and the next question gets a new one. The question that did it gets a
// renderer.LimitError; no other notices. The deadline counts processor time where
// the system tells it (Linux), so that a busy machine makes no kind slow, with a
// much longer one on the clock behind it. Memory is held three ways, because none
// is enough alone: the garbage collector works harder from three quarters of the
// limit on; the process looks at what it holds every few milliseconds, and ends
// itself above the limit; and on Linux the kernel gives it no more than a little
// above that (RLIMIT_DATA, counted from what the process has at its start:
// RLIMIT_AS would count what Go's runtime merely reserves). The stack has a limit of
// its own. A question that crashes a process that has answered others before is
// asked once more in a new one, so that no question pays for what those left behind.
//
// # The process
//
// It has a pipe in, a pipe out and one for its last words; no environment, no other
// open file, and on Unix systems no right to open, write or dump one. It ends when
// its input does, whatever it is busy with, and so with its parent, also when that
// is killed. It is started from the running binary itself, not from where that lay
// on disk, so that an upgrade under a running service does no harm.
//
// Processes are started when there is a question and none is idle, at most Size of
// them; one that was idle for a minute is ended, unless it is the last that was used,
// so that a change after a quiet hour waits for no start; and so is one that answered
// 20,000 questions, for CUE never forgets a field's name. Start-up costs some 40 ms,
// most of it for tables that only rendering needs, and compiling the kinds as much.
//
// # What a program has to do
//
// Its main asks Wanted first, before it looks at anything else, and if so does
// nothing but Run. A test binary that uses a Pool does the same in TestMain.
//
// The package never looks into questions and answers, and never decides what a
// limit means for a document: that is the renderer's.
package worker
