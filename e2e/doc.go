// Package e2e holds the scenarios over the whole program: the built binary as its
// own process, real git, real gNMI over TLS against simulated targets, and a
// listener that takes statuses and messages as the forge and the chat would. The
// simulated targets live in the test's process, so that a test can count the Sets
// they saw and read what they hold without asking setpoint.
//
// Scenarios are told with verbs (push, start, kill, await, device) and wait for
// events with a deadline, never for time to pass. scripts_test.go runs the command
// line as scripts; bench_test.go and report_test.go measure the road (make bench);
// house_test.go checks the shape of the tree itself.
//
// suite_test.go and scenarios_test.go are the suite that "make e2e-target" runs against
// a target that is not ours, and the tests against the simulator; relay_test.go stands
// between and counts Sets, raw_test.go looks at the target, target_test.go holds what
// came out to the table of known servers.
//
// It never imports a stage: what it asserts is what a user could see.
package e2e
