package renderer

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
	for _, q := range s.requests {
		in.mark('q')
		in.sum(w.fleet.kinds.input(q, s))
		w.residents[q].limits(&in, s)
	}
	in.mark('o')
	for _, list := range [][]entry{s.omits(), s.allowed, s.unconditional()} {
		in.number(len(list))
		for _, e := range list {
			in.text(e.text)
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

// input is the sum of all that an evaluation depends on: the kinds, the document's
// spec, and what the kind sees of the device (see kindInput).
func (k *kinds) input(q *requestDoc, s *subject) sum {
	v := k.view(q.kind)
	var in summing
	in.mark('k')
	in.sum(k.sum)
	in.text(q.kind)
	in.sum(q.specSum)
	if v.of("name") {
		in.text(string(s.Name))
	}
	if v.of("labels") {
		in.sum(s.labelSum)
	}
	if v.of("vars") {
		in.sum(s.varsSum)
	}
	if !v.of("links") {
		return in.done()
	}
	for _, l := range s.links {
		in.text(l.port)
		in.text(l.peerPort)
		in.sum(l.portVarsSum)
		in.sum(l.peerPortVarsSum)
		in.sum(l.peer.seen)
	}
	return in.done()
}

// view is what of a device a kind sees.
func (k *kinds) view(kind string) view {
	if v, ok := k.views[kind]; ok {
		return v
	}
	return view{All: true}
}

// looks sums up what others see of a device. groups is the sum of its groups' vars,
// one value for all devices with the same groups.
func (s *subject) looks(groups sum) {
	var labels, vars, seen summing
	labels.labels(s.Labels)
	s.labelSum = labels.done()
	vars.sum(groups)
	vars.sum(s.deviceDoc.varsSum)
	s.varsSum = vars.done()
	seen.text(string(s.Name))
	seen.sum(s.labelSum)
	seen.sum(s.varsSum)
	s.seen = seen.done()
}
