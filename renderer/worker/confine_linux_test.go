package worker

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestAProcessHasNoFilesAndNoEnvironment(t *testing.T) {
	w, err := start(t.Context(), Memory)
	if err != nil {
		t.Fatal(err)
	}
	defer w.end()
	proc := fmt.Sprintf("/proc/%d/", w.cmd.Process.Pid)
	files, err := os.ReadDir(proc + "fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if to, _ := os.Readlink(proc + "fd/" + f.Name()); !strings.HasPrefix(to, "pipe:") && !strings.HasPrefix(to, "anon_inode:") && !strings.HasPrefix(to, "/sys/fs/cgroup/") {
			t.Errorf("file %s is %s", f.Name(), to)
		}
	}
	if env, err := os.ReadFile(proc + "environ"); err != nil || len(env) > 0 {
		t.Errorf("environment %q, %v", env, err)
	}
	limits, err := os.ReadFile(proc + "limits")
	if err != nil || !regexp.MustCompile(`(?m)^Max open files +0 +0 `).Match(limits) {
		t.Errorf("%s, %v", limits, err)
	}
}
