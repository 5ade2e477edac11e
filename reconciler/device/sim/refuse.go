package sim

import (
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// refusedPath refuses an operation on a path that Config.Refuse or
// Faults.Refuse covers.
func (t *Target) refusedPath(path []step) error {
	for _, r := range t.broken.Load().refuse {
		if covers(r, path) {
			return refusal(path)
		}
	}
	return nil
}

// refused refuses a change to anything that they cover, wherever
// the operation began.
func (t *Target) refused(old, now *node) error {
	refuse := t.broken.Load().refuse
	if len(refuse) == 0 || old == now {
		return nil
	}
	var first []step
	for _, r := range refuse {
		d := differ{
			deleted: func(p []step) { first = append([]step(nil), p...) },
			updated: func(p []step, _ datum) { first = append([]step(nil), p...) },
		}
		d.along(r, old, now, nil)
		if first != nil {
			return refusal(first)
		}
	}
	return nil
}

func refusal(path []step) error {
	return status.Errorf(codes.InvalidArgument, "%s: configuration refused by the device", pathText(gnmiPath(path).GetElem()))
}

// covers: path is at the pattern or below.
func covers(pattern, path []step) bool {
	if len(path) < len(pattern) {
		return false
	}
	for i, p := range pattern {
		if p.schema != path[i].schema || p.keys != nil && path[i].keys != nil && !p.matches(path[i].keys) {
			return false
		}
	}
	return true
}

// dependence is what a target takes only once something else is there, as of an
// earlier Set.
type dependence struct{ of, on [][]step }

func (t *Target) dependence(of, on string) (d dependence, err error) {
	if d.of, err = t.parsePath(of); err == nil {
		d.on, err = t.parsePath(on)
	}
	return d, err
}

// disordered refuses a transaction that does at once what the target wants done one
// after the other.
func (b *broken) disordered(old, now *node) error {
	for _, d := range b.order {
		if old.hasAny(d.on) {
			if !now.hasAny(d.on) && (old.hasAny(d.of) || now.hasAny(d.of)) {
				return status.Errorf(codes.InvalidArgument, "%s is in use", patternText(d.on))
			}
			continue
		}
		for _, p := range d.of {
			for _, f := range now.all(p) {
				if !old.has(f.path) {
					return status.Errorf(codes.InvalidArgument, "%s: there is no %s yet", pathText(gnmiPath(f.path).GetElem()), patternText(d.on))
				}
			}
		}
	}
	return nil
}

func (n *node) hasAny(patterns [][]step) bool { return slices.ContainsFunc(patterns, n.has) }

func patternText(patterns [][]step) string { return pathText(gnmiPath(patterns[0]).GetElem()) }
