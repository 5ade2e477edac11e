package worker

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"time"

	"github.com/setpoint-net/setpoint/renderer"
)

// mode is the argument that asks for the hidden mode. It is a flag, so that a test
// binary that does not know it refuses to run rather than run its tests.
const mode = "-setpoint-evaluate"

// exitMemory is the exit code of a process that went over its memory limit.
const exitMemory = 9

const (
	// maxStack bounds recursion, in bytes.
	maxStack = 16 << 20

	// lookEvery is how often the process looks at its memory.
	lookEvery = 5 * time.Millisecond

	// slack is what the kernel gives a process above its limit, so that it has
	// time to end by itself.
	slack = 64 << 20
)

// Wanted tells whether the process was started to evaluate: args are all its
// arguments, as in os.Args.
func Wanted(args []string) bool { return len(args) == 3 && args[1] == mode }

// Run evaluates until in ends, and gives the exit code. It limits the whole process
// for good, so main does nothing beside.
func Run(args []string, in io.Reader, out, errOut io.Writer) int {
	memory, err := strconv.ParseInt(args[2], 10, 64)
	if err != nil {
		fmt.Fprintln(errOut, err)
		return 2
	}
	runtime.GOMAXPROCS(2) // one evaluates, one collects garbage and looks after it
	debug.SetMaxStack(maxStack)
	debug.SetMemoryLimit(memory / 4 * 3)
	if err := confine(memory + slack); err != nil {
		fmt.Fprintln(errOut, err)
		return 2
	}
	served := make(chan error, 1)
	go func() { served <- renderer.Serve(in, out) }()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case err := <-served:
			if err != nil {
				fmt.Fprintln(errOut, err)
				return 2
			}
			return 0
		case <-look.C:
			if inUse() > uint64(memory) {
				return exitMemory
			}
		}
	}
}

// inUse is the memory that the process holds, in bytes.
func inUse() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() - s[1].Value.Uint64()
}
