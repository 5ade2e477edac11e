package renderer

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/setpoint-net/setpoint/models"
)

// maxTrips is how many documents may run into limits before their kinds' other
// documents are given up: each costs a deadline.
const maxTrips = 16

// trips are the documents that ran into limits in one rendering. A document that
// tripped is left out for the devices behind the first that it tripped on; those
// before it are evaluated none the less, so that the first is the first whoever was
// faster. Once settled it is left out for all. The zero trips are none.
type trips struct {
	mu   sync.Mutex
	list map[*requestDoc]trip
}

type trip struct {
	device  models.DeviceName
	over    *LimitError // nil: given up, for its kind's others
	settled bool
}

// add notes that a document ran into a limit on a device.
func (t *trips) add(r *requestDoc, s *subject, over *LimitError) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.list == nil {
		t.list = make(map[*requestDoc]trip)
	}
	if first, known := t.list[r]; !known || first.over == nil || s.Name < first.device {
		t.list[r] = trip{device: s.Name, over: over}
	}
}

// withheld tells whether a document is left out for a device.
func (t *trips) withheld(r *requestDoc, s *subject) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if first, known := t.list[r]; known {
		return first.settled || first.device < s.Name
	}
	if len(t.list) < maxTrips {
		return false
	}
	for other := range t.list {
		if other.kind == r.kind {
			t.list[r] = trip{device: s.Name}
			return true
		}
	}
	return false
}

// settle leaves the documents that tripped out for all devices, and tells whether
// there are new ones among them.
func (t *trips) settle() bool {
	fresh := false
	for r, one := range t.list {
		fresh = fresh || !one.settled
		one.settled = true
		t.list[r] = one
	}
	return fresh
}

// mistakes are the documents', each at its spec.
func (t *trips) mistakes() []mistake {
	out := make([]mistake, 0, len(t.list))
	byPlace := func(a, b *requestDoc) int { return cmp.Or(a.at.compare(b.at), cmp.Compare(a.name, b.name)) }
	for _, r := range slices.SortedFunc(maps.Keys(t.list), byPlace) {
		m := mistake{
			at: r.specAt, code: codeKindLimits, hint: "mend those first",
			msg: fmt.Sprintf("kind %s is given up: %d documents ran into limits already", r.kind, maxTrips),
		}
		if one := t.list[r]; one.over != nil {
			m = mistake{at: r.specAt, code: one.over.code(), msg: fmt.Sprintf("kind %s %s", r.kind, one.over.Text), hint: one.over.hint(), device: one.device}
		}
		out = append(out, m)
	}
	return out
}
