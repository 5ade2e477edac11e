package reconciler

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
)

// BenchmarkFleet1000 takes a thousand devices in memory through generations,
// over a real store: each is read, set, read back and recorded.
func BenchmarkFleet1000(b *testing.B) {
	benchmarkFleet(b, models.PhaseApply, func(g models.Generation) string { return host(fmt.Sprint("h", g)) })
}

// BenchmarkFleet1000Unchanged is a generation that changes none of a thousand
// settled devices: what a commit costs the devices it is not about.
func BenchmarkFleet1000Unchanged(b *testing.B) {
	benchmarkFleet(b, models.PhaseSettled, func(models.Generation) string { return host("same") })
}

func benchmarkFleet(b *testing.B, phase models.Phase, config func(models.Generation) string) {
	l := newLab(b, bus.Config{Dir: filepath.Join(b.TempDir(), "store")})
	defer l.bus.Close()
	var names []models.DeviceName
	for i := range 1000 {
		name := models.DeviceName(fmt.Sprintf("d%04d", i))
		l.device(name, config(0), alert)
		names = append(names, name)
	}
	l.start()
	defer l.stop()
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	changes, err := l.Devices.Watch(ctx)
	if err != nil {
		b.Fatal(err)
	}
	g := models.Generation(0)
	generation := func() {
		g++
		l.assign(g, phase, config(g), names...)
		for left := len(names); left > 0; {
			c := <-changes
			if c.Value.Generation == g && c.Value.State == models.DeviceApplied {
				left--
			}
		}
	}
	generation()
	for b.Loop() {
		generation()
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N)/1000, "ms/device")
}
