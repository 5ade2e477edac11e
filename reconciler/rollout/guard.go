package rollout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/plan"
)

// The guards of the fleet, by the names that a person allows them under. Each
// forbids a generation that is more likely a slip than what somebody wants, such as
// a folder that is missing from a commit. The guards of single devices are package
// plan's, and have the same names where they mean the same.
const (
	GuardEmpty       = plan.GuardEmpty      // no device is left, or a device is left without configuration
	GuardMassDelete  = plan.GuardMassDelete // many devices lose configuration
	GuardMassRelease = "mass-release"       // many devices are gone from the inventory
)

// A guard counts devices, and fewer than massLeast are no mass: a lab of two, and
// the pair of switches that is taken out of service, are everyday work.
const (
	massLeast      = 3
	deletePercent  = 25 // of the devices that are written to, of which more may not lose configuration
	releasePercent = 10 // of all devices, of which more may not be gone
	guardNotes     = 10 // devices that a guard names
)

// emptyConfig is the hash of a config without content: "{}".
const emptyConfig models.Hash = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

// move is a device's way from one intended config to another.
type move struct{ from, to models.Hash }

// weight is what a generation does to the devices that are assigned.
type weight struct {
	devices int                        // assigned now
	written int                        // of those that stay, may be written to
	left    int                        // devices of the generation, new ones among them
	gone    []models.DeviceName        // not in it any more
	emptied []models.DeviceName        // had a config, and are left without
	moved   map[models.DeviceName]move // may be written to, and get another config that is not empty
}

// weigh compares a generation with what is assigned. A device that awaits approval
// is not written to, whatever is intended: it counts for the inventory alone.
func weigh(m models.Manifest, now assigned) weight {
	w := weight{devices: len(now), left: len(m.Devices), moved: map[models.DeviceName]move{}}
	stays := make(map[models.DeviceName]bool, len(m.Devices))
	for _, d := range m.Devices {
		name := d.Device.Name
		stays[name] = true
		old, known := now[name]
		if !known || phase(d, old) == models.PhaseHold {
			continue
		}
		w.written++
		switch {
		case old.Hash == d.Config || old.Hash == emptyConfig:
		case d.Config == emptyConfig:
			w.emptied = append(w.emptied, name)
		default:
			w.moved[name] = move{old.Hash, d.Config}
		}
	}
	for name := range now {
		if !stays[name] {
			w.gone = append(w.gone, name)
		}
	}
	slices.Sort(w.gone)
	slices.Sort(w.emptied)
	return w
}

// moves are the configs to compare before the guards can be asked: none where so
// few devices change that it does not matter what they lose, as with most commits.
func (w weight) moves() []move {
	if !mass(len(w.moved)+len(w.emptied), w.written, deletePercent) {
		return nil
	}
	seen := map[move]bool{}
	for _, m := range w.moved {
		seen[m] = true
	}
	return slices.Collect(maps.Keys(seen))
}

// offends returns the guards that forbid a generation. What each move takes away
// is known by then, for those that moves asked for: "" for nothing.
func (w weight) offends(losses map[move]string) []models.FleetGuard {
	var out []models.FleetGuard
	lost := map[models.DeviceName]string{}
	for _, name := range w.emptied {
		lost[name] = "nothing is left"
	}
	for name, m := range w.moved {
		if why := losses[m]; why != "" {
			lost[name] = why
		}
	}
	switch {
	case w.left == 0 && w.devices > 0:
		reason := fmt.Sprintf("no device is left of %d", w.devices)
		return append(out, guard(GuardEmpty, reason, w.devices, w.gone, nil))
	case len(w.emptied) > 0:
		reason := fmt.Sprintf("%d of %s would be left without configuration", len(w.emptied), count(w.written, "device"))
		out = append(out, guard(GuardEmpty, reason, w.written, w.emptied, lost))
	}
	if mass(len(lost), w.written, deletePercent) {
		reason := fmt.Sprintf("%d of %s lose configuration", len(lost), count(w.written, "device"))
		out = append(out, guard(GuardMassDelete, reason, w.written, slices.Sorted(maps.Keys(lost)), lost))
	}
	if mass(len(w.gone), w.devices, releasePercent) {
		reason := fmt.Sprintf("%d of %s are gone from the repository", len(w.gone), count(w.devices, "device"))
		out = append(out, guard(GuardMassRelease, reason, w.devices, w.gone, nil))
	}
	return out
}

// mass says whether n of total devices are more than a guard lets pass.
func mass(n, total, percent int) bool { return n >= massLeast && n*100 > total*percent }

func guard(name, reason string, of int, devices []models.DeviceName, why map[models.DeviceName]string) models.FleetGuard {
	g := models.FleetGuard{Name: name, Reason: reason, Count: len(devices), Of: of}
	for _, d := range devices[:min(len(devices), guardNotes)] {
		g.Devices = append(g.Devices, models.DeviceNote{Device: d, Reason: why[d]})
	}
	return g
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// inventory is the assigned devices that a generation can take something from: all
// but those that the newest rollout left behind, which are as good as released.
func inventory(now assigned, newest models.Generation) assigned {
	here := maps.Clone(now)
	maps.DeleteFunc(here, func(_ models.DeviceName, a models.Assignment) bool { return a.Generation < newest })
	return here
}

// withhold is the first value of a rollout that guards forbid.
func withhold(r models.Render, devices, changed int, guards []models.FleetGuard, now time.Time) models.Rollout {
	held := begin(r, devices, changed, time.Time{})
	held.State, held.Hold = models.RolloutHeld, &models.Hold{Guards: guards, Since: now}
	return held
}

// allowed returns the rollout that is held and that a person let begin, with whose
// word that is.
func allowed(rollouts map[models.Generation]models.Rollout, permits map[models.Generation]Approval) (models.Rollout, Approval, bool) {
	for g, p := range permits {
		if r := rollouts[g]; p.permits(r) {
			return r, p, true
		}
	}
	return models.Rollout{}, Approval{}, false
}

// permits says whether an approval lets a rollout begin that is held.
func (p Approval) permits(r models.Rollout) bool {
	if r.State != models.RolloutHeld || r.Hold == nil || p.Generation != r.Generation || p.Hash != r.Manifest || p.Who == "" {
		return false
	}
	names := strings.Split(p.Allow, ",")
	return !slices.ContainsFunc(r.Hold.Guards, func(g models.FleetGuard) bool { return !slices.Contains(names, g.Name) })
}

// extend lifts the guards that a person allowed for a generation from the plans of its
// devices too: from those plans that are the generation's own difference and nothing
// else, because the device runs what it was assigned before. Where it has drifted, or
// it is not known what runs, the device's own guards look at its plan all the same;
// so does the guard of the way to the device, which a generation has none of.
func extend(moves, now assigned, statuses map[models.DeviceName]models.DeviceStatus, allow string) {
	names := slices.DeleteFunc(strings.Split(allow, ","), func(g string) bool { return g != GuardEmpty && g != GuardMassDelete })
	if len(names) == 0 {
		return
	}
	for name, a := range moves {
		old, s := now[name], statuses[name]
		if a.Phase == models.PhaseApply && a.Hash != old.Hash && s.State == models.DeviceApplied && speaks(s, old) {
			a.Allow, a.From = strings.Join(names, ","), s.Running
			moves[name] = a
		}
	}
}

// spent are the generations whose permit has done its work, or can do none any more.
// One whose rollout is not known yet waits for it.
func spent(rollouts map[models.Generation]models.Rollout, permits map[models.Generation]Approval) []models.Generation {
	var all []models.Generation
	for g, p := range permits {
		if r, known := rollouts[g]; known && !p.permits(r) || !known && g < newest(rollouts).Generation {
			all = append(all, g)
		}
	}
	return all
}

// memo keeps what moves were found to take away, so that a driver which has to try
// again compares nothing twice. It is safe for concurrent use.
type memo struct {
	mu    sync.Mutex
	lines map[move]string
}

func (m *memo) get(of move) (line string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	line, ok = m.lines[of]
	return line, ok
}

func (m *memo) put(of move, line string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lines == nil {
		m.lines = map[move]string{}
	}
	m.lines[of] = line
}

func (m *memo) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = nil
}

// losses says what each move takes away. The configs are read and compared on every
// processor; each call to the bus has its own deadline.
func (d *Driver) losses(ctx context.Context, moves []move) (map[move]string, error) {
	var mu sync.Mutex
	var failed error
	out := make(map[move]string, len(moves))
	next := make(chan move)
	var wg sync.WaitGroup
	for range min(len(moves), runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for m := range next {
				line, err := d.loss(ctx, m)
				mu.Lock()
				out[m], failed = line, errors.Join(failed, err)
				mu.Unlock()
			}
		})
	}
	for _, m := range moves {
		mu.Lock()
		stop := failed != nil
		mu.Unlock()
		if stop {
			break
		}
		next <- m
	}
	close(next)
	wg.Wait()
	return out, failed
}

func (d *Driver) loss(ctx context.Context, m move) (string, error) {
	if line, ok := d.compared.get(m); ok {
		return line, nil
	}
	from, err := d.config(ctx, m.from)
	if errors.Is(err, bus.ErrNotFound) {
		return "what it had is not kept any more", nil // for a person to judge
	}
	if err != nil {
		return "", err
	}
	to, err := d.config(ctx, m.to)
	if err != nil {
		return "", err
	}
	line := ""
	if !plan.SameShape(from, to) { // which is six times as fast as to parse both
		before, err := tree.Parse(tree.OpenConfig(), from)
		if err != nil {
			return "", fmt.Errorf("config %.12s: %w", m.from, err)
		}
		after, err := tree.Parse(tree.OpenConfig(), to)
		if err != nil {
			return "", fmt.Errorf("config %.12s: %w", m.to, err)
		}
		line = plan.Loss(plan.Diff(before, after))
	}
	d.compared.put(m, line)
	return line, nil
}

// config reads one, as canonical JSON.
func (d *Driver) config(ctx context.Context, h models.Hash) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	return d.Blobs.Get(ctx, h)
}
