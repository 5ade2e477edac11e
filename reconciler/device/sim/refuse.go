package sim

import (
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
