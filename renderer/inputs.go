package renderer

import "github.com/setpoint-net/setpoint/models"

// inputs is the sum of all that a device's config is made of, and all that is
// asked of it. Whatever rendering looks at has to be in here: what is kept by this
// sum is given out for it. ok is false when a fragment refers to nothing, or
// wrongly: then there is nothing to keep.
//
// What the device's entry in the inventory says besides (its address, its
// credentials) is not in here, because it is taken from the documents each time.
// Neither are places and names of documents, so that a comment affects nothing.
func (w *worker) inputs(s *subject) (id sum, ok bool) {
	var in summing
	refs := &scope{name: s.Name, labels: s.Labels, vars: s.vars}
	for _, g := range s.groups {
		if g.openconfig == nil {
			continue
		}
		in.mark('g')
		in.number(g.priority)
		if !in.fragment(&g.fragment, refs) {
			return sum{}, false
		}
	}
	if s.openconfig != nil {
		in.mark('d')
		if !in.fragment(&s.fragment, refs) {
			return sum{}, false
		}
	}
	if len(s.requests) > 0 {
		in.mark('k')
		in.sum(w.fleet.kinds.sum)
		in.sum(s.kindInputs())
		for _, q := range s.requests {
			in.text(q.kind)
			in.sum(q.specSum)
		}
	}
	in.mark('m')
	in.texts(s.Manage)
	return in.done(), true
}

// fragment writes a fragment and what its references stand for.
func (s *summing) fragment(g *given, refs *scope) bool {
	if g.odd {
		return false
	}
	s.sum(g.content)
	for _, ref := range g.refs {
		v, err := refs.lookup(ref)
		if err != nil {
			return false
		}
		s.node(v)
	}
	return true
}

// kindInputs is the sum of what a kind sees of the device: see kindInput.
func (s *subject) kindInputs() sum {
	var in summing
	in.sum(s.seen)
	for _, l := range s.links {
		in.text(l.port)
		in.text(l.peerPort)
		in.sum(l.portVarsSum)
		in.sum(l.peerPortVarsSum)
		in.sum(l.peer.seen)
	}
	return in.done()
}

// looks is the sum of what others see of a device: its name, labels and vars. The
// groups' vars together are one value for all devices with the same groups.
func looks(name models.DeviceName, labels map[string]string, groups, own sum) sum {
	var in summing
	in.text(string(name))
	in.labels(labels)
	in.sum(groups)
	in.sum(own)
	return in.done()
}
