package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// report is what TestTheRoadIsMeasured says.
type report struct {
	fleets   []figures
	renderer rendering
	began    time.Time
	load     string // of the machine at the start
	progress io.Writer
}

const (
	missing = "–"
	// Between these lines of the page stands the last recorded table.
	recordBegin = "<!-- make bench UPDATE=1 writes from here -->\n"
	recordEnd   = "<!-- to here -->\n"
)

// What putting back a change is to cost at most, beside three times the bare calls.
const (
	healDebounce  = 75 * time.Millisecond // between the two reads that have to agree
	healProcessor = 2 * time.Millisecond
)

// line is one line of the table; without a value it is a heading.
type line struct {
	name  string
	value func(f, before figures) string // before: the fleet one column to the left, if any
}

// lines is the table, top to bottom. What else is to be measured gets its line here.
var lines = []line{
	{name: "render"},
	{"  cold", func(f, _ figures) string { return short(f.renderCold) }},
	{"  one file, one device changed", func(f, _ figures) string { return short(f.renderOne) }},
	{"  one file, every device changed", func(f, _ figures) string { return short(f.renderAll) }},
	{name: "commit to all converged"},
	{"  first, 160 kB for each", func(f, _ figures) string { return short(f.first) }},
	{"    for each device, to bare", func(f, _ figures) string { return ratio(f.first/time.Duration(f.devices), f.bareWhole) }},
	{"  one leaf of one device", func(f, _ figures) string { return short(f.one) }},
	{"    to bare", func(f, _ figures) string { return ratio(f.one, quantile(f.bare, 0.50)) }},
	{"  one leaf of every device", func(f, _ figures) string { return short(f.all) }},
	{"    to bare", func(f, _ figures) string { return ratio(f.all, f.bareAll) }},
	{name: "out-of-band change"},
	{"  to detected, p50", func(f, _ figures) string { return short(quantile(f.detected, 0.50)) }},
	{"  to detected, p99", func(f, _ figures) string { return short(quantile(f.detected, 0.99)) }},
	{"  to healed, p50", func(f, _ figures) string { return short(quantile(f.healed, 0.50)) }},
	{"  to healed, p99", func(f, _ figures) string { return short(quantile(f.healed, 0.99)) }},
	{"    reach for p50", func(f, _ figures) string { return short(healDebounce + 3*quantile(f.bare, 0.50)) }},
	{"    p50 to bare p50", func(f, _ figures) string { return ratio(quantile(f.healed, 0.50), quantile(f.bare, 0.50)) }},
	{name: "bare gNMI, same run"},
	{"  Get + Set of a leaf, p50", func(f, _ figures) string { return short(quantile(f.bare, 0.50)) }},
	{"  Get + Set of a leaf, p99", func(f, _ figures) string { return short(quantile(f.bare, 0.99)) }},
	{"  the same, every device", func(f, _ figures) string { return short(f.bareAll) }},
	{"  Get + Set of 160 kB, each", func(f, _ figures) string { return short(f.bareWhole) }},
	{name: "setpoint's processor time"},
	{"  first deploy", func(f, _ figures) string { return processor(f.cpuFirst) }},
	{"  one leaf of one device", func(f, _ figures) string { return processor(f.cpuOne) }},
	{"  one leaf of every device", func(f, _ figures) string { return processor(f.cpuAll) }},
	{"  one change healed, the mean", func(f, _ figures) string { return short(f.cpuHeal) }},
	{"    reach", func(figures, figures) string { return short(healProcessor) }},
	{"    bare Get + Set, the client's", func(f, _ figures) string { return short(f.cpuBare) }},
	{"  the whole run", func(f, _ figures) string { return short(f.cpu) }},
	{name: "setpoint's resident memory"},
	{"  at the end", func(f, _ figures) string { return megabytes(f.rss) }},
	{"  at its highest", func(f, _ figures) string { return megabytes(f.peak) }},
	{"  per device, from the fleet before", func(f, before figures) string {
		if before.devices == 0 || before.devices >= f.devices {
			return missing
		}
		return fmt.Sprintf("%.0f kB", float64(f.rss-before.rss)/float64(f.devices-before.devices))
	}},
}

func (r *report) table() string {
	var b strings.Builder
	write := func(name string, cells []string) {
		fmt.Fprintf(&b, "%-36s", name)
		for _, c := range cells {
			fmt.Fprintf(&b, " %13s", c)
		}
		b.WriteString("\n")
	}
	var heads []string
	for _, f := range r.fleets {
		heads = append(heads, count(f.devices, "device"))
	}
	write("", heads)
	for _, l := range lines {
		if l.value == nil {
			fmt.Fprintf(&b, "%s\n", l.name)
			continue
		}
		var cells []string
		var before figures
		for _, f := range r.fleets {
			cells, before = append(cells, l.value(f, before)), f
		}
		write(l.name, cells)
	}
	return b.String()
}

// machine says where and when this was measured.
func (r *report) machine(t *testing.T) string {
	t.Helper()
	cpu := "a processor without a name"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`model name\s*: (.*)`).FindSubmatch(b); m != nil {
			cpu = string(m[1])
		}
	}
	commit := "an unknown commit"
	if out, err := exec.Command("git", "rev-parse", "--short=10", "HEAD").Output(); err == nil {
		commit = "commit " + strings.TrimSpace(string(out))
	}
	return fmt.Sprintf("%s, %s, %s/%s, %s,\n%d × %s, load %s at the start, %s in all.\n",
		r.began.UTC().Format("2 January 2006"), commit, runtime.GOOS, runtime.GOARCH, runtime.Version(),
		runtime.NumCPU(), cpu, r.load, time.Since(r.began).Round(time.Second))
}

// record puts the table into the page.
func (r *report) record(t *testing.T, page string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), recordBegin)
	_, after, ended := strings.Cut(rest, recordEnd)
	if !ok || !ended {
		t.Fatalf("%s lacks the lines between which the table stands", page)
	}
	now := before + recordBegin + "\n" + r.machine(t) + "\n```text\n" + r.table() + "\n" + r.renderer.table() + "```\n\n" + recordEnd + after
	if err := os.WriteFile(page, []byte(now), 0o644); err != nil {
		t.Fatal(err)
	}
	fmt.Println("recorded in", strings.TrimPrefix(page, "../"))
}

func (r *report) say(format string, args ...any) {
	fmt.Fprintf(r.progress, "%5s  %s\n", time.Since(r.began).Round(time.Second), fmt.Sprintf(format, args...))
}

func fleetOf(n int) string { return "fleet of " + fmt.Sprint(n) }

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// short is a duration to three digits.
func short(d time.Duration) string {
	switch {
	case d <= 0:
		return missing
	case d < time.Millisecond:
		return "< 1 ms"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
	case d < 10*time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}

// processor is processor time, which Linux counts in hundredths of a second.
func processor(d time.Duration) string {
	if d < 10*time.Millisecond {
		return "< 10 ms"
	}
	return short(d)
}

func ratio(d, bare time.Duration) string {
	if d <= 0 || bare <= 0 {
		return missing
	}
	return fmt.Sprintf("%.1f ×", float64(d)/float64(bare))
}

func megabytes(kb int) string {
	if kb <= 0 {
		return missing
	}
	return fmt.Sprintf("%.0f MB", float64(kb)/1024)
}

func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	d = slices.Sorted(slices.Values(d))
	return d[min(int(q*float64(len(d))), len(d)-1)]
}

// loadOf is the machine's load average of the last minute.
func loadOf(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(b), " ")
	return first
}
