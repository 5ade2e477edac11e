// Command setpoint keeps a network at the setpoint that a git repository
// describes.
//
// This package wires the stages to one another and to the machine: one file per
// command, the server's configuration (config.go), the rules of the terminal
// (term.go), and the socket between the service and its command line (api.go,
// client.go). It knows every other package and is known by none.
//
// Exit codes are the same everywhere: 0 when all is well, 1 when the command did
// its work and the answer is "no" (mistakes, differences, devices that are not
// where they should be), 2 when it could not do its work.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/renderer/worker"
)

// Exit codes, the same for every command.
const (
	exitOK   = 0
	exitNo   = 1
	exitFail = 2
)

// errNo ends a command whose answer is "no" and which has said so already.
var errNo = errors.New("the answer is no")

// hinted is an error with the next step for the person who reads it.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// hint adds the next step to err.
func hint(err error, format string, args ...any) error {
	return hinted{err, fmt.Sprintf(format, args...)}
}

func main() {
	if worker.Wanted(os.Args) {
		os.Exit(worker.Run(os.Args, os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is main without the process: it parses args, does the work and returns the
// exit code.
func run(args []string, in io.Reader, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	return report(errOut, err)
}

// report says what went wrong, as "error:" and "hint:", and chooses the exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errNo) {
		return exitNo
	}
	t := newTerm(w)
	fmt.Fprintf(w, "%s %v\n", t.red("error:"), err)
	var h hinted
	if errors.As(err, &h) {
		fmt.Fprintf(w, "%s %s\n", t.dim("hint:"), h.hint)
	}
	return exitFail
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "setpoint",
		Short: "keep a network at its setpoint",
		Long: `setpoint keeps a network at the setpoint that a git repository describes.

It renders each commit into validated OpenConfig, brings every device to it over
gNMI, notices drift at once, and answers with commit statuses and alerts.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return hint(err, `run "%s --help"`, c.CommandPath())
	})
	root.AddCommand(
		newValidate(), newRender(), newDiff(), newBlame(), newKinds(), newSchema(), newInit(),
		newRun(), newStatus(), newDevices(),
		newProbe(), newImport(), newApprove(),
		newDrift(), newSuspend(), newResume(), newRetry(), newReconcile(),
		newSim(), newDemo(), newVersion(),
	)
	return root
}
