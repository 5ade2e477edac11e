package renderer

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// maxRun is how many ports one run of numbers may hold, as in the library's
// #Ports.
const maxRun = 256

// portRange is what the library's #PortRange admits: a name, with one or two
// brackets of numbers.
var portRange = regexp.MustCompile(`^[^\[\]\s,]+(\[` + runs + `\][^\[\]\s,]*){0,2}$`)

const (
	run  = `(0|[1-9][0-9]{0,2})(-(0|[1-9][0-9]{0,2}))?`
	runs = run + `(,` + run + `)*`
)

// expandPorts are the names that a port range stands for, in the order they are
// written: "Ethernet[1,3,5-8]", "Ethernet[1-32]/[1-4]". It is the library's #Ports
// for what setpoint's own documents say of ports; a test holds both to the same
// answers.
func expandPorts(text string) ([]string, error) {
	if !portRange.MatchString(text) {
		return nil, fmt.Errorf("%q is no port and no range of ports", cut(text, 64))
	}
	out := []string{""}
	for rest := text; rest != ""; {
		head, tail, bracket := strings.Cut(rest, "[")
		for i := range out {
			out[i] += head
		}
		if !bracket {
			break
		}
		inner, after, _ := strings.Cut(tail, "]")
		numbers, err := expandRuns(inner)
		if err != nil {
			return nil, fmt.Errorf("port range %q: %w", cut(text, 64), err)
		}
		next := make([]string, 0, len(out)*len(numbers))
		for _, name := range out {
			for _, n := range numbers {
				next = append(next, name+strconv.Itoa(n))
			}
		}
		if len(next) > maxRun*maxRun {
			return nil, fmt.Errorf("port range %q has more than %d ports", cut(text, 64), maxRun*maxRun)
		}
		out, rest = next, after
	}
	return out, nil
}

// expandRuns are the numbers of "1,3,5-8".
func expandRuns(text string) ([]int, error) {
	var out []int
	for part := range strings.SplitSeq(text, ",") {
		a, b, isRun := strings.Cut(part, "-")
		first, err := strconv.Atoi(a)
		if err != nil {
			return nil, err
		}
		last := first
		if isRun {
			if last, err = strconv.Atoi(b); err != nil {
				return nil, err
			}
		}
		switch {
		case last < first:
			return nil, fmt.Errorf("%s ends before it begins", part)
		case last-first >= maxRun:
			return nil, fmt.Errorf("%s has more than %d ports", part, maxRun)
		}
		for n := first; n <= last; n++ {
			out = append(out, n)
		}
	}
	return out, nil
}

// rangeHolds tells whether a port range stands for a port, without writing the
// range out: who writes one must not be able to make it costly.
func rangeHolds(text, port string) bool {
	head, tail, bracket := strings.Cut(text, "[")
	rest, ok := strings.CutPrefix(port, head)
	if !ok || !bracket {
		return ok && rest == ""
	}
	inner, after, ok := strings.Cut(tail, "]")
	if !ok {
		return false
	}
	for n := 1; n <= min(3, len(rest)); n++ {
		number, err := strconv.Atoi(rest[:n])
		if err != nil || n > 1 && rest[0] == '0' {
			break
		}
		if runsHold(inner, number) && rangeHolds(after, rest[n:]) {
			return true
		}
	}
	return false
}

func runsHold(text string, n int) bool {
	for part := range strings.SplitSeq(text, ",") {
		a, b, isRun := strings.Cut(part, "-")
		if !isRun {
			b = a
		}
		first, err1 := strconv.Atoi(a)
		last, err2 := strconv.Atoi(b)
		if err1 == nil && err2 == nil && first <= n && n <= last {
			return true
		}
	}
	return false
}

// findPort is the scalar below n that stands for a port, alone or within a range;
// nil without one.
func (n *node) findPort(port string) *node {
	if n.scalar() {
		if n.text == port || n.shape == text && portRange.MatchString(n.text) && rangeHolds(n.text, port) {
			return n
		}
		return nil
	}
	for _, f := range n.fields {
		if found := f.value.findPort(port); found != nil {
			return found
		}
	}
	for _, item := range n.items {
		if found := item.findPort(port); found != nil {
			return found
		}
	}
	return nil
}
