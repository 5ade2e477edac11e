package renderer

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// policyDoc is a DriftPolicy document.
type policyDoc struct {
	name   string
	at     place
	target target
	drift  models.Drift // Mode is empty in one that only ignores paths
}

func (d *decoder) policy(n *node) {
	d.fields(n, "a DriftPolicy", "apiVersion", "kind", "metadata", "for", "spec")
	name, at := d.metadata(n, "DriftPolicy", false)
	p := &policyDoc{name: name, at: at}
	var ok bool
	p.target, ok = d.target(n)
	spec := n.get("spec")
	d.fields(spec, "spec of a DriftPolicy", "mode", "enforce", "ignore")
	p.drift.Ignore = d.ignored(spec.get("ignore"))
	mode := spec.get("mode")
	p.drift.Mode = models.DriftMode(d.text(mode, "mode"))
	switch p.drift.Mode {
	case models.DriftObserve, models.DriftAlert, models.DriftEnforce:
	case "":
		missing := mode == nil || mode.scalar() && mode.text == ""
		if missing && spec.get("ignore").empty() {
			d.add(mistake{at: at, code: codeMissing, msg: "mode is missing", hint: "known: alert, enforce, observe"})
		}
		ok = ok && missing
	default:
		d.add(mistake{at: mode.at, code: codeMode, msg: fmt.Sprintf("mode %q is not known", cut(mode.text, 64)), hint: didYouMean(mode.text, []string{"observe", "alert", "enforce"})})
		ok = false
	}
	d.enforce(spec.get("enforce"), &p.drift)
	if name != "" && ok {
		d.policies = append(d.policies, p)
	}
}

// enforce reads how drift is put back.
func (d *decoder) enforce(n *node, drift *models.Drift) {
	if !d.fields(n, "enforce", "after", "maxInFlight", "fleetStop") || n == nil {
		return
	}
	if drift.Mode != models.DriftEnforce && drift.Mode != "" {
		d.at(n.at, codeEnforce, "enforce belongs to mode enforce, not %s", drift.Mode)
	}
	drift.After = d.duration(n.get("after"), "after")
	if m := n.get("maxInFlight"); m != nil {
		v, err := strconv.Atoi(m.text)
		if m.shape != integer || err != nil || v < 1 {
			d.add(mistake{at: m.at, code: codeEnforceValue, msg: fmt.Sprintf("maxInFlight %s is not a number of devices", m.brief()), hint: "1 or more; leave it out for no limit"})
		}
		drift.MaxInFlight = v
	}
	drift.FleetStop = d.fleetStop(n.get("fleetStop"))
}

// fleetStop reads "10 in 5m": so many devices within so long.
func (d *decoder) fleetStop(n *node) models.FleetStop {
	if n == nil {
		return models.FleetStop{}
	}
	count, within, ok := strings.Cut(n.text, " in ")
	devices, err := strconv.Atoi(count)
	span, err2 := time.ParseDuration(within)
	if n.shape != text || !ok || err != nil || err2 != nil || devices < 1 || span <= 0 {
		d.add(mistake{at: n.at, code: codeEnforceValue, msg: fmt.Sprintf("fleetStop %s is not a number of devices within a time", n.brief()), hint: "for example 10 in 5m"})
		return models.FleetStop{}
	}
	return models.FleetStop{Devices: devices, Within: span}
}

func (d *decoder) duration(n *node, what string) time.Duration {
	if n == nil {
		return 0
	}
	v, err := time.ParseDuration(n.text)
	if n.shape != text && n.text != "0" || err != nil || v < 0 {
		d.add(mistake{at: n.at, code: codeDuration, msg: fmt.Sprintf("%s %s is not a duration", what, n.brief()), hint: "for example 30s or 5m"})
		return 0
	}
	return v
}

// ignored reads the paths that are neither compared nor written, each with why.
func (d *decoder) ignored(n *node) []models.Ignored {
	if n.empty() {
		return nil
	}
	if n.shape != sequence {
		d.add(mistake{at: n.at, code: codeShape, msg: "ignore is not a list", hint: "for example - {path: /system/ntp, reason: set by the time team}"})
		return nil
	}
	var out []models.Ignored
	for _, item := range n.items {
		if !d.fields(item, "an item of ignore", "path", "reason") {
			continue
		}
		i := models.Ignored{Path: d.text(item.get("path"), "path"), Reason: d.text(item.get("reason"), "reason")}
		switch _, err := tree.NewScope(tree.OpenConfig(), []string{i.Path}); {
		case i.Path == "" || i.Reason == "":
			d.add(mistake{at: item.at, code: codeIgnored, msg: "an ignored path needs a path and a reason", hint: "for example - {path: /system/ntp, reason: set by the time team}"})
		case strings.HasPrefix(i.Path, "!") || err != nil:
			d.add(mistake{at: item.get("path").at, code: codeIgnored, msg: cmp.Or(errText(err), "ignore has no exclusions"), hint: "for example /interfaces/interface[name=Management0]"})
		default:
			out = append(out, i)
		}
	}
	return out
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// policy lets a DriftPolicy speak of a device. Modes that differ are a mistake;
// ignored paths add up.
func (f *fleet) policy(l *ledger, s *subject, p *policyDoc) {
	for _, i := range p.drift.Ignore {
		if !slices.Contains(s.ignored, i) {
			s.ignored = append(s.ignored, i)
		}
	}
	switch q := s.policy; {
	case p.drift.Mode == "":
	case q == nil:
		s.policy = p
	case modeText(q.drift) != modeText(p.drift):
		l.add(mistake{
			at: p.at, code: codePolicyTie, subject: q.name, device: s.Name,
			msg:  fmt.Sprintf("DriftPolicy %s says %s and DriftPolicy %s at %s says %s", p.name, modeText(p.drift), q.name, q.at, modeText(q.drift)),
			hint: "let one of them leave the device out",
		})
	}
}

// modeText is a policy's mode and how it is enforced, on one line.
func modeText(d models.Drift) string {
	out := string(d.Mode)
	if d.After > 0 {
		out += fmt.Sprintf(" after %s", d.After)
	}
	if d.MaxInFlight > 0 {
		out += fmt.Sprintf(", %d at once", d.MaxInFlight)
	}
	if d.FleetStop.Devices > 0 {
		out += fmt.Sprintf(", stop at %d in %s", d.FleetStop.Devices, d.FleetStop.Within)
	}
	return out
}

// drift is the device's policy, by default to tell.
func (s *subject) drift() models.Drift {
	out := models.Drift{Mode: models.DriftAlert}
	if s.policy != nil {
		out = s.policy.drift
	}
	out.Ignore = slices.SortedFunc(slices.Values(s.ignored), func(a, b models.Ignored) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Reason, b.Reason))
	})
	return out
}
