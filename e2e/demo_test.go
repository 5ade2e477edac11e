package e2e

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
)

// demo is "setpoint demo" while it runs, in an empty home.
type demo struct {
	*exec.Cmd
	lines chan string // what it prints; closed at its end
	tmp   string
}

func startDemo(t *testing.T, args ...string) *demo {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	t.Cleanup(cancel)
	d := &demo{Cmd: exec.CommandContext(ctx, binary, append([]string{"demo"}, args...)...), lines: make(chan string, 1000), tmp: t.TempDir()}
	d.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + d.tmp}
	out, err := d.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.Stderr = d.Stdout
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(d.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			d.lines <- s.Text()
		}
	}()
	return d
}

// until returns what is printed up to a line that holds the text.
func (d *demo) until(t *testing.T, text string) string {
	t.Helper()
	var all strings.Builder
	for l := range d.lines {
		all.WriteString(l + "\n")
		if strings.Contains(l, text) {
			return all.String()
		}
	}
	t.Fatalf("the demo ended before it said %q:\n%s", text, all.String())
	return ""
}

// end waits for the demo's end and holds it to having left nothing behind.
func (d *demo) end(t *testing.T) {
	t.Helper()
	if err := d.Wait(); err != nil {
		t.Errorf("the demo ends with %v", err)
	}
	if left, err := os.ReadDir(d.tmp); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

// TestTheDemosStoryHolds reads it in a pipe: no colour, and no line that a
// terminal of 80 columns would break.
func TestTheDemosStoryHolds(t *testing.T) {
	d := startDemo(t)
	out := d.until(t, "every step held, in ")
	d.end(t)
	for _, want := range []string{"setpoint approve", "await approval", "storage → backup", "drift has ended", "tenants/tenant-a/servers.yaml:", "no switch was written to"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not show %q:\n%s", want, out)
		}
	}
	for l := range strings.Lines(out) {
		if utf8.RuneCountInString(l) > 81 || strings.ContainsAny(l, "\x1b\r") {
			t.Errorf("not fit for a pipe: %q", l)
		}
	}
}

// TestWhatTheDemoOffersToTryWorks copies the demo's own words into a shell.
func TestWhatTheDemoOffersToTryWorks(t *testing.T) {
	d := startDemo(t, "--keep")
	d.until(t, "second terminal:")
	offer := d.until(t, "git -C net checkout")
	shell := &terminal{t: t, env: []string{"HOME=" + t.TempDir()}}
	shell.open(t.TempDir())
	commands := regexp.MustCompile(`(?m)^  (\S.*)$`).FindAllStringSubmatch(offer, -1)
	wants := map[string]string{
		"setpoint diff net leaf01": "web → shop",
		"setpoint status --wait":   "4 changed",
		"setpoint sim set":         "→ wrong.example.com",
		"setpoint validate net":    "tenants/tenant-a/servers.yaml:6:",
	}
	for _, c := range commands {
		out := shell.run(c[1])
		for begins, want := range wants {
			if strings.HasPrefix(c[1], begins) {
				delete(wants, begins)
				if !strings.Contains(out, want) {
					t.Errorf("%s prints no %q:\n%s", c[1], want, out)
				}
			}
		}
	}
	if len(wants) > 0 {
		t.Errorf("not offered: %v\n%s", wants, offer)
	}
	d.until(t, "drift has ended") // of leaf03
	if err := d.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	d.end(t)
}

// terminal is a shell that is typed into, as a newcomer's.
type terminal struct {
	t      *testing.T
	env    []string
	cmd    *exec.Cmd
	in     io.Writer
	lines  chan string
	status string // exit code of the last command
}

// endOf marks that a command is over; nothing prints it by chance.
const endOf = "=end-of-the-command="

func (s *terminal) open(dir string) {
	s.t.Helper()
	s.cmd = exec.Command("bash", "--norc", "--noprofile")
	s.cmd.Dir = dir
	s.cmd.Env = append([]string{"PATH=" + filepath.Dir(binary) + ":" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1"}, s.env...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := s.cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd.Stderr, s.in = s.cmd.Stdout, in
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.lines = make(chan string, 10_000)
	go func() {
		defer close(s.lines)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			s.lines <- sc.Text()
		}
	}()
	s.t.Cleanup(func() {
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM) // the shell and what runs in its foreground
		_ = s.cmd.Wait()
	})
}

// run types commands and returns what they print until they are over.
func (s *terminal) run(commands string) string {
	s.t.Helper()
	if _, err := io.WriteString(s.in, strings.TrimSuffix(commands, "\n")+"\necho "+endOf+"$?\n"); err != nil {
		s.t.Fatal(err)
	}
	var b strings.Builder
	limit := time.NewTimer(2 * patience)
	defer limit.Stop()
	for {
		select {
		case l, ok := <-s.lines:
			if !ok {
				s.t.Fatalf("the shell ended in:\n%s\n%s", commands, b.String())
			}
			if before, status, over := strings.Cut(l, endOf); over {
				s.status = status
				return b.String() + before
			}
			b.WriteString(l + "\n")
		case <-limit.C:
			s.t.Fatalf("no end of:\n%s\n%s", commands, b.String())
		}
	}
}

// TestSimSetReachesSimulatedTargetsAlone: a target whose certificate the folder's
// authority did not sign sees neither password nor Set. What a target takes is read
// back.
func TestSimSetReachesSimulatedTargetsAlone(t *testing.T) {
	w := newWorld(t, 1)
	w.startSim(1) // another authority, in sim
	args := []string{"sim", "set", "leaf01", "/system/config/hostname", "changed", "--password", "the-device-password"}
	if out, code := w.setpoint(args...); code != 0 || out != "leaf01: hostname (nothing) → changed\n" {
		t.Errorf("sim set exits with %d: %s", code, out)
	}
	args[4] = "again"
	if out, code := w.setpoint("sim", "break", "leaf01", `{"drop": ["/system/config/hostname"]}`); code != 0 {
		t.Fatalf("sim break exits with %d: %s", code, out)
	}
	if out, code := w.setpoint(args...); code != 1 || out != "leaf01: hostname stays changed: the target said OK to again\n" {
		t.Errorf("sim set of what is dropped exits with %d: %s", code, out)
	}
	args[2] = w.addrs[0]
	if out, code := w.setpoint(args...); code != 2 || !strings.Contains(out, "certificate") || !strings.Contains(out, "hint: ") {
		t.Errorf("sim set on a target of another authority exits with %d: %s", code, out)
	}
	if n := w.fleet[0].Sets(); n != 0 {
		t.Errorf("the target saw %d Sets", n)
	}
}
