package gitwatch

import (
	"context"
	"time"
)

const (
	defaultInterval = time.Minute
	firstRetry      = time.Second
	jitter          = 0.1 // of a wait, up and down
)

// cadence says when to look next: after Interval, or sooner after a failure,
// doubling from a second with the interval as ceiling; always give or take a
// tenth, so that many watchers do not ask one server in step.
type cadence struct {
	interval time.Duration
	random   func() float64 // in [0,1)
}

func (c cadence) wait(failures int) time.Duration {
	d := c.interval
	if failures > 0 {
		d = min(firstRetry<<min(failures-1, 30), c.interval)
	}
	return d + time.Duration((c.random()*2-1)*jitter*float64(d))
}

// run looks at once, then at each wait and each nudge, until ctx ends. A nudge
// that arrives during a look is good for one more.
func (c cadence) run(ctx context.Context, nudge <-chan struct{}, look func(context.Context) error) {
	failures := 0
	for {
		if err := look(ctx); err != nil {
			failures++
		} else {
			failures = 0
		}
		timer := time.NewTimer(c.wait(failures))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-nudge:
			timer.Stop()
		case <-timer.C:
		}
	}
}
