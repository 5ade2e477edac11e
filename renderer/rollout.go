package renderer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rolloutDoc is a Rollout document: how a commit makes its way over the devices.
// This version reads and checks it, and deploys in one wave all the same; that is
// told, once, as a note.
type rolloutDoc struct {
	name   string
	at     place
	target target
	waves  []target // those that have a selector
}

const maxSoak = 7 * 24 * time.Hour

func (d *decoder) rollout(n *node) {
	d.fields(n, "a Rollout", "apiVersion", "kind", "metadata", "for", "spec")
	name, at := d.metadata(n, "Rollout", false)
	r := &rolloutDoc{name: name, at: at}
	var ok bool
	r.target, ok = d.target(n)
	spec := n.get("spec")
	d.fields(spec, "spec of a Rollout", "waves", "maxInFlight", "soak", "settle", "onFailure", "maxUnreachable", "onStandingDrift", "freeze")
	d.waves(r, spec.get("waves"))
	d.whole(spec.get("maxInFlight"), "maxInFlight", 1, 10_000)
	for _, field := range []string{"soak", "settle"} {
		if v := d.duration(spec.get(field), field); v > maxSoak {
			d.add(mistake{at: spec.get(field).at, code: codeDuration, msg: fmt.Sprintf("%s %s is longer than a week", field, v)})
		}
	}
	d.choice(spec.get("onFailure"), "onFailure", "halt", "rollback")
	d.choice(spec.get("onStandingDrift"), "onStandingDrift", "hold", "preserve", "include")
	d.share(spec.get("maxUnreachable"), "maxUnreachable")
	d.freezes(spec.get("freeze"))
	if name != "" && ok {
		d.rollouts = append(d.rollouts, r)
	}
}

// waves reads what goes first, second and so on. What no wave names comes last.
func (d *decoder) waves(r *rolloutDoc, n *node) {
	if n == nil || n.shape == null {
		return
	}
	const how = "for example - {name: canary, selector: tier=canary} or - {percent: 25}"
	if n.shape != sequence {
		d.add(mistake{at: n.at, code: codeShape, msg: "waves must be a list, not " + n.shape.String(), hint: how})
		return
	}
	for _, w := range n.items {
		if !d.fields(w, "a wave", "name", "selector", "count", "percent") {
			continue
		}
		d.text(w.get("name"), "name of a wave")
		given := 0
		if s := w.get("selector"); s != nil {
			given++
			if t, ok := d.selector(s); ok {
				r.waves = append(r.waves, t)
			}
		}
		if c := w.get("count"); c != nil {
			given++
			d.whole(c, "count", 1, 100_000)
		}
		if p := w.get("percent"); p != nil {
			given++
			d.whole(p, "percent", 1, 100)
		}
		if given != 1 {
			d.add(mistake{at: w.at, code: codeRolloutValue, msg: "a wave has one of selector, count and percent", hint: how})
		}
	}
}

// whole reads a whole number within bounds.
func (d *decoder) whole(n *node, what string, low, high int) {
	if n == nil {
		return
	}
	v, err := strconv.Atoi(n.text)
	if n.shape != integer || !plain.MatchString(n.text) || err != nil || v < low || v > high {
		d.at(n.at, codeRolloutValue, "%s must be a whole number from %d to %d, not %s", what, low, high, n.brief())
	}
}

func (d *decoder) choice(n *node, what string, known ...string) {
	if s := d.text(n, what); s != "" && !slices.Contains(known, s) {
		d.add(mistake{at: n.at, code: codeRolloutValue, msg: fmt.Sprintf("%s %q is not known", what, cut(s, 64)), hint: didYouMean(s, known)})
	}
}

// share reads "5%", or a number of devices.
func (d *decoder) share(n *node, what string) {
	if n == nil {
		return
	}
	digits, percent := strings.CutSuffix(n.text, "%")
	v, err := strconv.Atoi(digits)
	if !n.scalar() || !plain.MatchString(digits) || err != nil || v < 0 || percent && v > 100 || !percent && n.shape != integer {
		d.add(mistake{at: n.at, code: codeRolloutValue, msg: fmt.Sprintf("%s %s is neither a share nor a number of devices", what, n.brief()), hint: "for example 5% or 3"})
	}
}

// freezes reads the times at which nothing is deployed.
func (d *decoder) freezes(n *node) {
	if n == nil || n.shape == null {
		return
	}
	const how = `for example - {from: "2026-12-18T17:00:00Z", until: "2027-01-04T08:00:00Z", reason: end of the year}`
	if n.shape != sequence {
		d.add(mistake{at: n.at, code: codeShape, msg: "freeze must be a list, not " + n.shape.String(), hint: how})
		return
	}
	for _, w := range n.items {
		if !d.fields(w, "an item of freeze", "from", "until", "reason") {
			continue
		}
		d.text(w.get("reason"), "reason")
		from, ok1 := d.moment(w, "from", how)
		until, ok2 := d.moment(w, "until", how)
		if ok1 && ok2 && !from.Before(until) {
			d.at(w.get("until").at, codeRolloutValue, "until is not after from")
		}
	}
}

// moment reads a time with its offset (RFC 3339).
func (d *decoder) moment(w *node, field, how string) (time.Time, bool) {
	n := w.get(field)
	if n.empty() {
		d.add(mistake{at: w.at, code: codeMissing, msg: field + " is missing", hint: how})
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339, n.text)
	if n.shape != text || err != nil {
		d.add(mistake{at: n.at, code: codeRolloutValue, msg: fmt.Sprintf("%s %s is not a time with its offset (RFC 3339)", field, n.brief()), hint: how})
		return time.Time{}, false
	}
	return t, true
}

// rollout lets a Rollout speak of its devices, and looks whether its waves mean any
// of them.
func (f *fleet) rollout(l *ledger, r *rolloutDoc, devices []*subject) {
	for _, s := range devices {
		if s.rollout != nil && s.rollout != r {
			l.add(mistake{
				at: r.at, code: codePolicyTie, subject: s.rollout.name, device: s.Name,
				msg:  fmt.Sprintf("Rollout %s and Rollout %s at %s both speak of it", r.name, s.rollout.name, s.rollout.at),
				hint: "let one of them leave the device out",
			})
			continue
		}
		s.rollout = r
	}
	for _, w := range r.waves {
		if len(devices) > 0 && !slices.ContainsFunc(devices, func(s *subject) bool { return w.selector.matches(s.Labels) }) {
			l.add(mistake{at: w.at, code: codeSelectorEmpty, msg: fmt.Sprintf("selector %q matches none of the Rollout's devices", cut(w.source, 80)), hint: f.emptyHint(w.selector)})
		}
	}
}

// notes are what is read and checked, and not acted upon yet.
func notes(d *decoder) []mistake {
	if len(d.rollouts) == 0 {
		return nil
	}
	first := slices.MinFunc(d.rollouts, func(a, b *rolloutDoc) int { return a.at.compare(b.at) })
	return []mistake{{at: first.at, code: codeUnsupported, msg: "a Rollout is read and checked, but this version deploys in one wave"}}
}
