package renderer

import (
	"fmt"
	"slices"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// apply reads what a device is sent of a difference.
func (d *decoder) apply(n *node) entry {
	text := d.text(n, "apply")
	switch models.Apply(text) {
	case "":
		return entry{}
	case models.ApplyEntries, models.ApplyRoot:
		return entry{text, n.at}
	}
	d.add(mistake{at: n.at, code: codeApply, msg: fmt.Sprintf("apply %q is not known", cut(text, 64)), hint: "known: entries, root"})
	return entry{}
}

// decideApply decides what a device is sent of a difference: what its own document says,
// else the group of the highest priority that says anything. To say root where no
// managed root could ever be replaced is a mistake.
func (s *subject) decideApply(l *ledger) {
	said := s.deviceDoc.apply
	var by *groupDoc
	for _, g := range slices.Backward(s.groups) {
		switch {
		case g.apply.text == "" || s.deviceDoc.apply.text != "":
		case by == nil:
			said, by = g.apply, g
		case g.priority == by.priority && g.apply.text != by.apply.text:
			l.add(mistake{
				at: said.at, code: codeApplyTie, subject: g.name, device: s.Name,
				msg:  fmt.Sprintf("Group %s says apply: %s, and Group %s at %s says apply: %s, and both have priority %d", by.name, said.text, g.name, g.apply.at, g.apply.text, g.priority),
				hint: "give one of the groups a higher priority, or say it in the Device",
			})
		}
	}
	s.Apply = "" // the document may be kept from another tree
	if said.text != string(models.ApplyRoot) {
		return
	}
	s.Apply = models.ApplyRoot
	if s.scope == nil {
		return
	}
	tops := s.scope.Tops()
	if len(tops) > 0 && !slices.ContainsFunc(tops, func(p tree.Path) bool { return s.scope.Covers(p) }) {
		l.add(mistake{
			at: said.at, code: codeApply, subject: "root", device: s.Name,
			msg:  fmt.Sprintf("apply: root does nothing for %s: something below each of its managed paths is excluded, and nothing is replaced across that", s.Name),
			hint: "manage narrower paths, or leave apply out",
		})
	}
}
