package sim

// differ compares two trees and tells what a subscriber has to know: deleted
// nodes at the highest level that is gone, and changed leaves one by one. The
// paths are the callbacks' only until they return. Branches that are the same
// node in both trees cost nothing.
type differ struct {
	deleted func(path []step)
	updated func(path []step, d datum)
}

// along compares what a pattern names.
func (d differ) along(pattern []step, old, now *node, done []step) {
	if old == now {
		return
	}
	if len(pattern) == 0 {
		d.nodes(old, now, done)
		return
	}
	at, rest := pattern[0], pattern[1:]
	if at.schema.isLeaf() {
		d.leaves(datum{at.schema, old.leaf(at.schema)}, datum{at.schema, now.leaf(at.schema)}, done)
		return
	}
	a, b := old.kid(at.schema), now.kid(at.schema)
	if at.keys == nil {
		d.along(rest, a, b, append(done, at))
		return
	}
	d.entries(a, b, func(was, is *node) {
		if e := cmpOr(is, was); at.matches(e.keys) {
			d.along(rest, was, is, append(done, exactly(e)))
		}
	})
}

// leaves compares one leaf, "" where it is not set.
func (d differ) leaves(was, is datum, done []step) {
	switch path := append(done, step{schema: is.schema}); {
	case was.token == is.token:
	case is.token == "":
		d.deleted(path)
	default:
		d.updated(path, is)
	}
}

// nodes compares two containers or entries, of which one may be nil.
func (d differ) nodes(old, now *node, done []step) {
	if old == now {
		return
	}
	if now == nil {
		d.deleted(done)
		return
	}
	for _, c := range now.schema.children {
		switch c.kind {
		case leaf, leafList:
			d.leaves(datum{c, old.leaf(c)}, datum{c, now.leaf(c)}, done)
		case container:
			d.nodes(old.kid(c), now.kid(c), append(done, step{schema: c}))
		case list:
			d.entries(old.kid(c), now.kid(c), func(was, is *node) {
				d.nodes(was, is, append(done, exactly(cmpOr(is, was))))
			})
		}
	}
}

// entries pairs the entries of two lists, of which one may be nil. A list that the
// user orders and that was reordered is told as removed and made again.
func (d differ) entries(old, now *node, pair func(was, is *node)) {
	if old == now {
		return
	}
	again := moved(old, now)
	for e := range old.entries() {
		if _, ok := now.find(e.keys); !ok || again {
			pair(e, nil)
		}
	}
	for e := range now.entries() {
		was, _ := old.find(e.keys)
		if again {
			was = nil
		}
		if was != e {
			pair(was, e)
		}
	}
}

// moved: two versions of a list that the user orders hold common entries in
// another order.
func moved(old, now *node) bool {
	if old == nil || now == nil || !old.schema.user {
		return false
	}
	last := -1
	for _, e := range old.kids {
		i, ok := now.entry(e.keys)
		if ok && i < last {
			return true
		}
		if ok {
			last = i
		}
	}
	return false
}
