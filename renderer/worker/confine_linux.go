package worker

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// confine takes the right to open, write and dump files from the process, closes
// what it inherited, and limits what memory it may have beside what it has.
func confine(memory int64) error {
	if err := closeInherited(); err != nil {
		return err
	}
	has := uint64(0)
	if data, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := strings.Fields(string(data)); len(f) > 5 { // proc(5): data + stack, in pages
			pages, _ := strconv.ParseUint(f[5], 10, 64)
			has = pages * uint64(os.Getpagesize())
		}
	}
	for what, most := range map[int]uint64{syscall.RLIMIT_DATA: has + shadow*uint64(memory), syscall.RLIMIT_CORE: 0, syscall.RLIMIT_FSIZE: 0, syscall.RLIMIT_NOFILE: 0} {
		if err := syscall.Setrlimit(what, &syscall.Rlimit{Cur: most, Max: most}); err != nil {
			return fmt.Errorf("limit the process: %w", err)
		}
	}
	return nil
}

// closeInherited closes all files but the three standard ones and those that Go's
// runtime opened for itself.
func closeInherited() error {
	const open = "/proc/self/fd"
	files, err := os.ReadDir(open)
	if err != nil {
		return fmt.Errorf("look for open files: %w", err)
	}
	for _, f := range files {
		fd, err := strconv.Atoi(f.Name())
		to, gone := os.Readlink(open + "/" + f.Name())
		if err != nil || gone != nil || fd < 3 || strings.HasPrefix(to, "anon_inode:") || strings.HasPrefix(to, "/sys/fs/cgroup/") {
			continue
		}
		if err := syscall.Close(fd); err != nil {
			return fmt.Errorf("close file %s: %w", to, err)
		}
	}
	return nil
}

// tick is the unit of the times in proc(5): USER_HZ is 100 on every architecture
// that Go runs on.
const tick = 10 * time.Millisecond

// processorTime is what a process has used of the processor; false when the system
// does not tell.
func processorTime(pid int) (time.Duration, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	// Behind the name, which may hold anything: state is field 3, utime 14, stime 15.
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(f) < 13 {
		return 0, false
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * tick, err1 == nil && err2 == nil
}
