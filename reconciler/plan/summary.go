package plan

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/setpoint-net/setpoint/models"
)

// maxSummary is what a forge shows of a commit status's description, in runes.
const maxSummary = 140

// maxBriefValue bounds a value within Brief, so that both sides of a change show.
const maxBriefValue = 24

// DevicePlan is the plan of one device of many.
type DevicePlan struct {
	Name models.DeviceName
	Plan *Plan
}

// Summary is one line about the plans of several devices, at most 140 characters:
// "2 devices, +6 −2 leaves: leaf01, leaf02". Devices without a change do not
// count. The counts always stand; names that do not fit become "and 3 more".
func Summary(changed []DevicePlan) string {
	var names []string
	added, removed := 0, 0
	for _, d := range changed {
		if d.Plan.Empty() {
			continue
		}
		names = append(names, visible(string(d.Name)))
		added += d.Plan.Added()
		removed += d.Plan.Removed()
	}
	if len(names) == 0 {
		return "no change"
	}
	noun := "devices"
	if len(names) == 1 {
		noun = "device"
	}
	head := fmt.Sprintf("%d %s, %s", len(names), noun, totals(added, removed))
	return head + listed(": ", names, " and %d more", maxSummary-utf8.RuneCountInString(head))
}

// Brief is one line of at most max characters about one plan: its first changes,
// and how many more there are.
// "/vlans/vlan[vlan-id=10]/config/name ENG → OPS, +2 more"
func Brief(p *Plan, max int) string { return p.line(max, "no change", group.brief) }

// Found is Brief for a device that is not what it is meant to be: it says what is
// there and what should be, where an arrow would leave it to be guessed.
// "/vlans/vlan[vlan-id=10]/config/name (found ENG, expected OPS), +2 more"
func Found(p *Plan, max int) string { return p.line(max, "as expected", group.found) }

// line is one line of at most max characters of what itemize makes of the groups.
func (p *Plan) line(max int, empty string, itemize func(group) []string) string {
	if p.Empty() {
		return short(empty, max)
	}
	var parts []string
	for _, g := range groups(p) {
		parts = append(parts, itemize(g)...)
	}
	if len(parts) == 0 {
		return short(totals(p.Added(), p.Removed()), max)
	}
	if line := listed("", parts, ", +%d more", max); line != "" {
		return line
	}
	more := fmt.Sprintf(", +%d more", len(parts)-1)
	if len(parts) == 1 || 2*len(more) > max {
		return short(parts[0], max)
	}
	return short(parts[0], max-len(more)) + more
}

// brief gives an entry that comes or goes as one item, and else each leaf.
func (g group) brief() []string {
	return g.items(" added", " removed", func(c Change, was, is string) string {
		switch sign(c) {
		case '+':
			return plus + is
		case '-':
			return minus + was
		}
		return was + " → " + is
	})
}

// found is brief from the device's side: what a plan would add is missing there.
func (g group) found() []string {
	return g.items(" (missing)", " (not expected)", func(c Change, was, is string) string {
		switch sign(c) {
		case '+':
			return "(missing, expected " + is + ")"
		case '-':
			return "(found " + was + ", not expected)"
		}
		return "(found " + was + ", expected " + is + ")"
	})
}

func (g group) items(comes, goes string, leaf func(c Change, was, is string) string) []string {
	switch g.sign {
	case '+':
		return []string{pathText(g.path) + comes}
	case '-':
		return []string{pathText(g.path) + goes}
	}
	var out []string
	for _, c := range g.changes {
		was, is := shown(c)
		was, is = shortPair(was, is)
		out = append(out, pathText(c.Path)+" "+leaf(c, was, is))
	}
	return out
}

// listed gives as many names as fit into max, after lead, with the number of the
// others; "" if not even one does.
func listed(lead string, names []string, more string, max int) string {
	for n := min(len(names), max); n > 0; n-- { // no name is shorter than a character
		line := lead + strings.Join(names[:n], ", ")
		if n < len(names) {
			line += fmt.Sprintf(more, len(names)-n)
		}
		if utf8.RuneCountInString(line) <= max {
			return line
		}
	}
	return ""
}

// shortPair cuts two values down so that what differs in them can be seen: long ones
// that begin alike are shown from shortly before they part.
func shortPair(was, is string) (string, string) {
	const lead = 6
	a, b := []rune(was), []rune(is)
	parts := 0
	for parts < min(len(a), len(b)) && a[parts] == b[parts] {
		parts++
	}
	if max(len(a), len(b)) > maxBriefValue && parts > maxBriefValue/2 {
		was, is = "…"+string(a[parts-lead:]), "…"+string(b[parts-lead:])
	}
	return short(was, maxBriefValue), short(is, maxBriefValue)
}

func short(s string, max int) string {
	runes := []rune(s)
	switch {
	case max <= 0:
		return ""
	case len(runes) <= max:
		return s
	}
	return string(runes[:max-1]) + "…"
}
