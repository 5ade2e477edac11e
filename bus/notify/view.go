package notify

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
)

// keep is how many generations, counted from the newest, carry statuses.
const keep = 200

// view is the tables as last seen.
type view struct {
	heads    map[string]models.Head // by branch
	renders  map[models.Generation]models.Render
	rollouts map[models.Generation]models.Rollout
	episodes map[string]models.Episode // by device
}

func newView() *view {
	return &view{
		heads: map[string]models.Head{}, renders: map[models.Generation]models.Render{},
		rollouts: map[models.Generation]models.Rollout{}, episodes: map[string]models.Episode{},
	}
}

// see takes a change of one table into its map and says whether it was one.
func see[K comparable, T any](m map[K]T, c bus.Change[T], key func(string) K) bool {
	switch {
	case c.Current:
		return false
	case c.Deleted:
		delete(m, key(c.Key))
	default:
		m[key(c.Key)] = c.Value
	}
	return true
}

// generation is a key of the tables manifests and rollouts.
func generation(key string) models.Generation {
	n, err := strconv.ParseUint(key, 10, 64)
	if err != nil {
		return 0
	}
	return models.Generation(n)
}

func same(key string) string { return key }

// newest is the highest generation known.
func (v *view) newest() (g models.Generation) {
	for _, h := range v.heads {
		g = max(g, h.Generation)
	}
	for n := range v.renders {
		g = max(g, n)
	}
	for n := range v.rollouts {
		g = max(g, n)
	}
	return g
}

// commit is the commit of a generation, "" where nothing tells.
func (v *view) commit(g models.Generation) string {
	if r, ok := v.renders[g]; ok {
		return r.Commit
	}
	if r, ok := v.rollouts[g]; ok {
		return r.Commit
	}
	for _, h := range v.heads {
		if h.Generation == g {
			return h.New
		}
	}
	return ""
}

// isHead says whether a commit is a branch's head now, by the generation given.
func (v *view) isHead(commit string, g models.Generation) bool {
	for _, h := range v.heads {
		if h.New == commit && h.Generation == g {
			return true
		}
	}
	return false
}

// passed is the newest generation whose rendering has ended: whatever is older
// and has no rendering will get none.
func (v *view) passed() (g models.Generation) {
	for n, r := range v.renders {
		if r.State != models.Rendering {
			g = max(g, n)
		}
	}
	return g
}

// facts is what is known of the newest generation of each commit, newest first,
// without what only blobs tell.
func (v *view) facts() []facts {
	newest := v.newest()
	known := map[models.Generation]bool{}
	for g := range v.renders {
		known[g] = true
	}
	for g := range v.rollouts {
		known[g] = true
	}
	for _, h := range v.heads {
		known[h.Generation] = true
	}
	var all []facts
	seen := map[string]bool{}
	for _, g := range slices.SortedFunc(maps.Keys(known), func(a, b models.Generation) int { return cmp.Compare(b, a) }) {
		f := v.fact(g)
		if g == 0 || g+keep <= newest || f.Commit == "" || seen[f.Commit] {
			continue
		}
		seen[f.Commit] = true
		all = append(all, f)
	}
	return all
}

func (v *view) fact(g models.Generation) facts {
	f := facts{Generation: g, Commit: v.commit(g)}
	if r, ok := v.renders[g]; ok {
		f.Render = &r
	}
	if r, ok := v.rollouts[g]; ok {
		f.Rollout = &r
	}
	f.By = v.by(f)
	return f
}

// by is the commit that keeps a generation from going on, where there is one.
func (v *view) by(f facts) string {
	switch {
	case f.Rollout != nil && f.Rollout.State == models.RolloutSuperseded:
		return v.commit(f.Rollout.By)
	case f.Rollout != nil:
		return ""
	case f.Render != nil && f.Render.State == models.RenderSkipped:
		return v.commit(v.newest())
	case f.Render != nil && f.Render.State == models.Rendered:
		return v.commit(v.rolledOutAfter(f.Generation))
	}
	return ""
}

// rolledOutAfter is the lowest generation above g that has a rollout; 0: none.
func (v *view) rolledOutAfter(g models.Generation) (next models.Generation) {
	for n := range v.rollouts {
		if n > g && (next == 0 || n < next) {
			next = n
		}
	}
	return next
}
