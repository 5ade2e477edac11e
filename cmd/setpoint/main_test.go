package main

import (
	"os"
	"testing"

	"github.com/setpoint-net/setpoint/renderer/worker"
)

// Commands that tests call evaluate kinds in processes of this binary.
func TestMain(m *testing.M) {
	if worker.Wanted(os.Args) {
		os.Exit(worker.Run(os.Args, os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}
