package renderer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/setpoint-net/setpoint/models/tree"
)

// managed is an entry of manage with the path that it means.
type managed struct {
	entry
	path    tree.Path
	exclude bool
}

// manage reads a list of managed paths. Within one list each entry has to matter:
// one that repeats another, lies within another, or is taken away whole by an
// exclusion shows that its author meant something else. Between documents all of
// that is sound: a group may own what a device owns as well, or take out for its
// devices what another brings in.
func (d *decoder) manage(n *node) []entry {
	entries := d.texts(n, "manage")
	var seen []managed
	for _, e := range entries {
		text, exclude := strings.CutPrefix(e.text, "!")
		p, err := tree.ParsePath(text)
		if err != nil {
			continue // told where the device's scope is made
		}
		if p, _, err = tree.OpenConfig().Resolve(p); err == nil {
			seen = append(seen, managed{e, p, exclude})
		}
	}
	for i, e := range seen {
		d.idle(e, seen[:i], seen[i+1:])
	}
	return entries
}

// idle tells, once, that an entry does nothing beside those before and after it.
func (d *decoder) idle(e managed, before, after []managed) {
	for _, o := range before {
		if o.exclude == e.exclude && o.path.Equal(e.path) {
			d.overlap(e, fmt.Sprintf("%s repeats the entry at %s", e.text, o.at), "leave one out")
			return
		}
	}
	others := append(slices.Clone(before), after...)
	for _, o := range others {
		if o.exclude && !e.exclude && e.path.Within(o.path) {
			d.overlap(e, fmt.Sprintf("%s is taken away whole by %s at %s", e.text, o.text, o.at), "exclusions win, whatever the order: leave one out")
			return
		}
	}
	for _, o := range others {
		if o.exclude == e.exclude && e.path.Within(o.path) && !o.path.Equal(e.path) {
			d.overlap(e, fmt.Sprintf("%s is within %s at %s already", e.text, o.text, o.at), "leave one out")
			return
		}
	}
}

func (d *decoder) overlap(e managed, msg, hint string) {
	d.add(mistake{at: e.at, code: codeManageOverlap, msg: msg, hint: hint})
}
