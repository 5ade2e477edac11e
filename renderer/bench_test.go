package renderer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/openconfig/ygot/ygot"

	"github.com/setpoint-net/setpoint/models/oc"
	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/renderer"
)

var fabricSize = flag.Int("devices", 1000, "devices of the fabric that BenchmarkFabric renders")

// BenchmarkFabric renders a generated fabric: cold, with CUE's share apart, beside
// the naive road, and warm after a change of one file. Figures are processor time
// (cpu-ms), which a busy machine leaves as it is, for all devices or one change; a
// device's share is cpu-us/device. With processes to evaluate in, as the service has
// them, the figures are in docs/benchmarks.md. The reach: cold without CUE a tenth of naive;
// warm 50 ms and 3 ms for each device affected, by the clock.
func BenchmarkFabric(b *testing.B) {
	repo := network(b, *fabricSize)
	cue := &recorder{}
	var cold, apart, simple time.Duration
	var devices []renderer.Device
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			cue.forget()
			cold = spent(func() { devices = fresh(b, repo, cue) })
		}
		share(b, cold, len(devices))
	})
	b.Run("cold-without-CUE", func(b *testing.B) {
		for b.Loop() {
			apart = spent(func() { fresh(b, repo, cue) })
		}
		share(b, apart, len(devices))
		b.ReportMetric(ms(cold-apart), "cue-cpu-ms")
	})
	b.Run("naive", func(b *testing.B) {
		n, size := 0, 0
		for b.Loop() {
			simple += spent(func() {
				for i := 0; i < len(devices); i += 10 { // a tenth tells enough
					n, size = n+1, size+len(devices[i].Config)
					if err := naive(devices[i].Config); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		simple = simple / time.Duration(n) * time.Duration(len(devices))
		share(b, simple, len(devices))
		b.ReportMetric(float64(size)/float64(n), "configB/device")
		b.ReportMetric(float64(simple)/float64(apart), "x-ours-without-CUE")
		b.ReportMetric(distinct(b, devices), "%-distinct-entries")
	})
	for _, c := range []struct {
		affected   int
		file, find string
	}{
		{0, "fabric/fabric.yaml", ""},
		{1, "", "storage behind "},
		{10, "fabric/ten.yaml", "is of the "},
		{*fabricSize / 10, "fabric/tenth.yaml", "is of the "},
	} {
		b.Run(fmt.Sprintf("warm/affected=%d", c.affected), func(b *testing.B) { warm(b, repo, cue, c.affected, c.file, c.find) })
	}
}

// warm renders after a change of one file; where the file is a site's, another
// site's each time.
func warm(b *testing.B, repo fstest.MapFS, cue *recorder, affected int, file, find string) {
	r := &renderer.Renderer{Evaluator: cue}
	now := fstest.MapFS{}
	for name, f := range repo {
		now[name] = f
	}
	renderWith(b, r, now)
	i, total, sites := 0, 0, 0
	for name := range repo {
		if strings.HasPrefix(name, "racks/") {
			sites++
		}
	}
	var took time.Duration
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		name := file
		if name == "" {
			name = fmt.Sprintf("racks/site%03d.yaml", 1+i%sites)
		}
		i++
		data := append([]byte(fmt.Sprintf("# change %d\n", i)), repo[name].Data...)
		if find != "" {
			data = bytes.Replace(data, []byte(find), []byte(fmt.Sprintf("%s%d ", find, i)), 1)
		}
		now[name] = &fstest.MapFile{Data: data}
		took += spent(func() { total += renderWith(b, r, now).Fresh })
	}
	b.ReportMetric(ms(took)/float64(i), "cpu-ms")
	b.ReportMetric(float64(total)/float64(i), "rendered-anew")
	if affected == 0 && total > 0 {
		b.Errorf("a comment rendered %d devices anew", total)
	}
}

func renderWith(b *testing.B, r *renderer.Renderer, repo fstest.MapFS) *renderer.Result {
	res, err := r.Render(context.Background(), counting{MapFS: repo})
	if err != nil || len(res.Mistakes) > 0 {
		b.Fatal(err, res.Mistakes)
	}
	return res
}

func fresh(b *testing.B, repo fstest.MapFS, cue *recorder) []renderer.Device {
	return renderWith(b, &renderer.Renderer{Evaluator: cue}, repo).Devices
}

func share(b *testing.B, d time.Duration, n int) {
	b.ReportMetric(ms(d), "cpu-ms")
	b.ReportMetric(float64(d.Microseconds())/float64(n), "cpu-us/device")
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// spent is the processor time that a function takes, the collector's included.
func spent(do func()) time.Duration {
	before := cpu()
	do()
	return cpu() - before
}

func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// naive is the road without any of this package: decode, ygot Unmarshal, Validate,
// Emit.
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

// distinct is how many of all list entries at the top differ from each other, in
// percent: what can't be had by looking at each once.
func distinct(b *testing.B, devices []renderer.Device) float64 {
	all, seen := 0, make(map[string]bool)
	for _, d := range devices {
		t, err := tree.Parse(tree.OpenConfig(), d.Config)
		if err != nil {
			b.Fatal(err)
		}
		var walk func(v *tree.Value)
		walk = func(v *tree.Value) {
			for _, m := range v.Members() {
				if m.Entry() {
					all++
					seen[string(m.JSON())] = true
					continue
				}
				walk(m)
			}
		}
		walk(t.Root())
	}
	return 100 * float64(len(seen)) / float64(all)
}

// recorder evaluates in this process and remembers the answers, so that a rendering
// can be had with CUE and without.
type recorder struct {
	renderer.InProcess

	mu    sync.Mutex
	known map[string][]byte
}

func (r *recorder) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = make(map[string][]byte)
}

// Evaluate implements renderer.Evaluator.
func (r *recorder) Evaluate(ctx context.Context, p *renderer.Program, question []byte) ([]byte, error) {
	key := p.ID() + string(question)
	r.mu.Lock()
	answer, ok := r.known[key]
	r.mu.Unlock()
	if ok {
		return answer, nil
	}
	answer, err := r.InProcess.Evaluate(ctx, p, question)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[key] = answer
	return answer, err
}
