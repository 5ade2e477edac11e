package reconciler

import "time"

const (
	attempts = 3                // failures in a row before a device's state says so,
	patience = 5 * time.Second  // or that long since the first of them
	ceiling  = 60 * time.Second // longest wait between two attempts
)

// backoff is how long to wait after the nth failure in a row, n from 1: short
// for the attempts that nobody is told of, then doubled up to the ceiling. The
// random r in [0,1) takes off up to a quarter, so that a fleet that failed at
// once doesn't come back at once.
func backoff(n int, r float64) time.Duration {
	d := ceiling
	switch {
	case n <= 1:
		d = 200 * time.Millisecond
	case n == 2:
		d = time.Second
	case n < 8:
		d = min(ceiling, 3*time.Second<<(n-3))
	}
	return d - time.Duration(r*float64(d)/4)
}

// spread is d ±10 %, by r in [0,1).
func spread(d time.Duration, r float64) time.Duration {
	return d + time.Duration((r-0.5)*0.2*float64(d))
}
