//go:build !race

package worker

// shadow is what a process of this build takes from the kernel for each byte that
// it has.
const shadow = 1
