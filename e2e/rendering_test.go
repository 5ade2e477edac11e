package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/openconfig/ygot/ygot"

	"github.com/setpoint-net/setpoint/models/oc"
	"github.com/setpoint-net/setpoint/renderer"
	"github.com/setpoint-net/setpoint/renderer/worker"
	template "github.com/setpoint-net/setpoint/repo-template"
)

const (
	fabricSize = 1000
	warmRounds = 20 // changes of each sort, one after the other
	naiveEach  = 20 // every so manieth device goes the naive road
)

var fabric = flag.Int("fabric", 0, "measure the renderer alone with a generated network of so many devices, and print the table")

// TestTheRendererIsMeasured renders the network that "setpoint init --devices"
// generates and prints what that takes: docs/benchmarks.md says what each line
// means. Without -fabric it does so for a small one, and only sees that every figure
// is there and that a change affects as many devices as the line says.
func TestTheRendererIsMeasured(t *testing.T) {
	if *fabric > 0 {
		fmt.Print(measureRendering(t, *fabric, warmRounds).table())
		return
	}
	table := measureRendering(t, 30, 2).table()
	if strings.Contains(table, missing) || strings.Contains(table, "NaN") {
		t.Errorf("no figure:\n%s", table)
	}
}

// rendering is what the renderer alone costs, without a service around it.
type rendering struct {
	devices, files int
	cold           cost
	naive          time.Duration // processor time, all devices
	warm           []cost
	first, last    uint64 // bytes allocated by a warm rendering: mean of the first rounds, and of the last
}

// cost is one rendering's.
type cost struct {
	what      string
	affected  int           // devices rendered anew
	clock     time.Duration // median
	own, cue  time.Duration // processor time, mean
	allocated uint64        // bytes in this process, mean
}

// reach is the floor that a warm rendering is held against.
func (c cost) reach() time.Duration {
	return 50*time.Millisecond + time.Duration(c.affected)*3*time.Millisecond
}

// change is one file's, of which every round makes another version.
type change struct {
	what     string
	affected int
	file     string
	edit     func(data []byte, round int) []byte
}

// measureRendering renders the generated fabric cold, and warm after changes of one
// file each, with kinds evaluated in processes of their own as in the service.
func measureRendering(t *testing.T, devices, rounds int) rendering {
	t.Helper()
	repo := fabricOf(t, devices)
	pool := &worker.Pool{}
	t.Cleanup(pool.Close)
	r := &renderer.Renderer{Evaluator: pool}
	out := rendering{devices: devices}
	var res *renderer.Result
	out.cold = costOf(t, func() { res = renderFabric(t, r, repo) })
	out.files = res.Files
	out.naive = naiveRoad(t, res.Devices)
	var allocated []uint64
	for _, c := range changes(devices) {
		var all []cost
		original := repo[c.file].Data
		for i := range rounds {
			repo[c.file] = &fstest.MapFile{Data: c.edit(original, i)}
			all = append(all, costOf(t, func() { res = renderFabric(t, r, repo) }))
			if res.Fresh != c.affected {
				t.Errorf("%s: %d devices rendered anew, not %d", c.what, res.Fresh, c.affected)
			}
		}
		mean := meanOf(all)
		mean.what, mean.affected = c.what, c.affected
		out.warm = append(out.warm, mean)
		if c.affected == 1 {
			for _, one := range all {
				allocated = append(allocated, one.allocated)
			}
		}
	}
	half := len(allocated) / 2
	out.first, out.last = average(allocated[:half]), average(allocated[half:])
	return out
}

// fabricOf is the network that "setpoint init --devices" writes, without policies,
// which the naive road does not have either, and one more document, of a tenth of the
// devices.
func fabricOf(t *testing.T, devices int) fstest.MapFS {
	t.Helper()
	files, err := template.Fabric(devices)
	if err != nil {
		t.Fatal(err)
	}
	repo := fstest.MapFS{}
	for name, data := range files {
		if !strings.HasPrefix(name, "policies/") {
			repo[name] = &fstest.MapFile{Data: data}
		}
	}
	var tenth []string
	for _, m := range regexp.MustCompile(`kind: Device\nmetadata: \{name: ([^,]+),`).FindAllStringSubmatch(inventoryOf(files), -1) {
		tenth = append(tenth, m[1])
	}
	tenth = tenth[:max(1, devices/10)]
	repo["fabric/tenth.yaml"] = &fstest.MapFile{Data: []byte("apiVersion: setpoint/v1\nkind: Group\nmetadata: {name: tenth}\nfor: {devices: [" + strings.Join(tenth, ", ") + "]}\n" +
		"spec: {priority: 20, openconfig: {system: {config: {motd-banner: \"${name} is of the tenth\"}}}}\n")}
	return repo
}

func inventoryOf(files map[string][]byte) string {
	var b strings.Builder
	for i := 1; ; i++ {
		data, ok := files[fmt.Sprintf("inventory/site%03d/devices.yaml", i)]
		if !ok {
			return b.String()
		}
		b.Write(data)
	}
}

// changes are of one file each. Where a kind brings forth what changes, CUE is asked
// again for each device.
func changes(devices int) []change {
	served := func(leaves int) func([]byte, int) []byte {
		return func(data []byte, round int) []byte {
			return bytes.Replace(data, []byte("server behind"), fmt.Appendf(nil, "server %d behind", round), leaves)
		}
	}
	tenth := func(data []byte, round int) []byte {
		return bytes.Replace(data, []byte("of the tenth"), fmt.Appendf(nil, "of the tenth, %d", round), 1)
	}
	comment := func(data []byte, round int) []byte { return append(fmt.Appendf(nil, "# %d\n", round), data...) }
	return []change{
		{"a comment", 0, "racks/site001.yaml", comment},
		{"a kind's document", 1, "racks/site001.yaml", served(1)},
		{"ten kinds' documents", min(10, devices-2), "racks/site001.yaml", served(10)},
		{"a group's fragment", max(1, devices/10), "fabric/tenth.yaml", tenth},
	}
}

func renderFabric(t *testing.T, r *renderer.Renderer, repo fstest.MapFS) *renderer.Result {
	t.Helper()
	res, err := r.Render(context.Background(), repo)
	if err != nil || len(res.Mistakes) > 0 {
		t.Fatal(err, res.Mistakes)
	}
	return res
}

// costOf is what a rendering took. Linux counts other processes' time in hundredths
// of a second, which is fine enough for a mean of many.
func costOf(t *testing.T, do func()) cost {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	own, cue, began := ownTime(t), childrensTime(t), time.Now()
	do()
	c := cost{clock: time.Since(began), own: ownTime(t) - own, cue: childrensTime(t) - cue}
	runtime.ReadMemStats(&after)
	c.allocated = after.TotalAlloc - before.TotalAlloc
	return c
}

func meanOf(all []cost) cost {
	var mean cost
	var clocks []time.Duration
	for _, c := range all {
		clocks = append(clocks, c.clock)
		mean.own, mean.cue, mean.allocated = mean.own+c.own, mean.cue+c.cue, mean.allocated+c.allocated
	}
	n := len(all)
	return cost{clock: quantile(clocks, 0.50), own: mean.own / time.Duration(n), cue: mean.cue / time.Duration(n), allocated: mean.allocated / uint64(n)}
}

func average(all []uint64) uint64 {
	var sum uint64
	for _, n := range all {
		sum += n
	}
	return sum / uint64(max(1, len(all)))
}

// ownTime is the processor time of this process, the collector's included.
func ownTime(t *testing.T) time.Duration {
	t.Helper()
	return usage(t, syscall.RUSAGE_SELF)
}

func usage(t *testing.T, who int) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// childrensTime is the processor time of the processes that this one started, those
// that have ended included.
func childrensTime(t *testing.T) time.Duration {
	t.Helper()
	sum := usage(t, syscall.RUSAGE_CHILDREN)
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		t.Fatal("processor time is read from /proc: ", err)
	}
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		_, after, _ := strings.Cut(string(b), ") ")
		if fields := strings.Fields(after); len(fields) > 13 && fields[1] == strconv.Itoa(os.Getpid()) {
			for _, s := range fields[11:13] { // utime and stime of proc(5)
				ticks, _ := strconv.Atoi(s)
				sum += time.Duration(ticks) * 10 * time.Millisecond
			}
		}
	}
	return sum
}

// naiveRoad is the processor time of the road without the renderer, for all
// devices: decode, ygot's Unmarshal, Validate and Emit, of each device's config.
func naiveRoad(t *testing.T, devices []renderer.Device) time.Duration {
	t.Helper()
	began, n := ownTime(t), 0
	for i := 0; i < len(devices); i += naiveEach {
		if err := naive(devices[i].Config); err != nil {
			t.Fatal(err)
		}
		n++
	}
	return (ownTime(t) - began) / time.Duration(n) * time.Duration(len(devices))
}

func naive(data []byte) error {
	var decoded any
	if err := json.Unmarshal(data, &decoded); err != nil {
		return err
	}
	d := new(oc.Device)
	if err := oc.Unmarshal(data, d); err != nil {
		return err
	}
	if err := d.Validate(); err != nil {
		return err
	}
	_, err := ygot.EmitJSON(d, &ygot.EmitJSONConfig{Format: ygot.RFC7951, RFC7951Config: &ygot.RFC7951JSONConfig{AppendModuleName: true}, SkipValidation: true})
	return err
}

// table is the renderer's part of the report.
func (r rendering) table() string {
	var b strings.Builder
	row := func(name, clock, reach, own, cue, allocated string) {
		fmt.Fprintf(&b, "%-30s %9s %9s %9s %9s %9s\n", name, clock, reach, own, cue, allocated)
	}
	size := func(n uint64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
	whole := func(d time.Duration) string { return short(max(d, time.Microsecond)) }
	row(count(r.devices, "device")+", "+count(r.files, "file"), "clock", "reach", "processor", "CUE's", "allocated")
	row("cold", short(r.cold.clock), "", short(r.cold.own), short(r.cold.cue), size(r.cold.allocated))
	row("naive road, for all", "", "", short(r.naive), "", "")
	row("  to cold without CUE", "", "10 ×", ratio(r.naive, r.cold.own), "", "")
	fmt.Fprintf(&b, "%-30s\n", "warm: what changed    affected")
	for _, c := range r.warm {
		row(fmt.Sprintf("  %-22s%6d", c.what, c.affected), short(c.clock), short(c.reach()), whole(c.own), whole(c.cue), size(c.allocated))
	}
	row("  allocated, last to first", "", "", "", "", fmt.Sprintf("%.2f ×", float64(r.last)/float64(r.first)))
	return b.String()
}
