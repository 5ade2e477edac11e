package reconciler

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/setpoint-net/setpoint/models"
)

// healing is what bounds putting drift back across devices: how many at once, and
// whether so many drifted that a person should look first.
type healing struct {
	mu      sync.Mutex
	now     int
	drifted map[models.DeviceName]time.Time // when drift was last found there
}

// begin asks for a turn; false: max devices are being put back already. A max of
// 0 is no limit.
func (h *healing) begin(max int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if max > 0 && h.now >= max {
		return false
	}
	h.now++
	return true
}

func (h *healing) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now--
}

// note counts a device that drifted, and says why putting back should end
// everywhere: "" for no reason.
func (h *healing) note(name models.DeviceName, at time.Time, stop models.FleetStop) string {
	if stop.Devices == 0 {
		return ""
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.drifted == nil {
		h.drifted = map[models.DeviceName]time.Time{}
	}
	h.drifted[name] = at
	n := 0
	for name, when := range h.drifted {
		if at.Sub(when) > stop.Within {
			delete(h.drifted, name)
			continue
		}
		n++
	}
	if n < stop.Devices {
		return ""
	}
	return fmt.Sprintf("%d devices drifted within %v", n, stop.Within)
}

// fleetStop counts a device that drifted anew, and ends putting back everywhere
// when that makes too many.
func (f *fleet) fleetStop(ctx context.Context, m *member, kind string, at time.Time) error {
	if kind != "drift-opened" || m.mode() != models.DriftEnforce {
		return nil
	}
	if why := f.healing.note(m.name, at, m.entry.Drift.FleetStop); why != "" {
		return f.stopFleet(ctx, why)
	}
	return nil
}
