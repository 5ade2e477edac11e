package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler"
	"github.com/setpoint-net/setpoint/renderer"
)

// errOrder is an order that the service understood and does not take.
var errOrder = errors.New("not ordered")

// orderQuestion is the body of POST /v1/orders: what to do with which devices.
type orderQuestion struct {
	Verb     string              `json:"verb"` // suspend, resume, retry or reconcile
	Devices  []models.DeviceName `json:"devices,omitempty"`
	Selector string              `json:"selector,omitempty"`
	All      bool                `json:"all,omitempty"`
	Path     string              `json:"path,omitempty"` // suspend, resume: of the devices, this path alone
	Why      string              `json:"why,omitempty"`
	Until    time.Time           `json:"until,omitzero"`
}

// orderAnswer is its answer: the keys of the orders that changed.
type orderAnswer struct {
	Devices []models.DeviceName `json:"devices"`
	Who     string              `json:"who"`
}

func newSuspend() *cobra.Command {
	o := ordering{verb: "suspend"}
	c := o.command("suspend", "leave devices, or paths of them, alone for a while", `suspend keeps setpoint from writing to devices: commits wait, drift is told and
not put back. With --path it is that path of the devices alone that is neither
compared nor written. Who, why and until when are kept, and shown wherever the
device is.

  setpoint suspend leaf01 --why "line card swap" --for 2h
  setpoint suspend -l site=lon1 --why "power work" --until 2026-11-23T06:00:00Z
  setpoint suspend leaf01 --path /system/ntp --why "testing a new server"
  setpoint suspend --all --why "change freeze"`)
	c.Flags().StringVar(&o.question.Path, "path", "", "a path of the devices alone")
	c.Flags().StringVar(&o.question.Why, "why", "", "the reason (required)")
	c.Flags().DurationVar(&o.span, "for", 0, "how long, such as 2h; without it or --until: until resumed")
	c.Flags().StringVar(&o.until, "until", "", "when it ends by itself, in RFC 3339")
	return c
}

func newResume() *cobra.Command {
	o := ordering{verb: "resume"}
	c := o.command("resume", "end a suspension", `resume ends what suspend began, for the same devices, --path or --all. "resume --all"
also ends a stop that setpoint made itself because many devices drifted at once.
What waited is done at once.`)
	c.Flags().StringVar(&o.question.Path, "path", "", "the suspended path")
	return c
}

func newRetry() *cobra.Command {
	o := ordering{verb: "retry"}
	return o.command("retry", "try again what a device refused, or what was given up", `retry sends its intended config once more to a device that is held, and puts drift
back again where that was given up.`)
}

func newReconcile() *cobra.Command {
	o := ordering{verb: "reconcile"}
	return o.command("reconcile", "read devices now, whatever their streams say", `reconcile reads devices now and acts on what it finds, as the resync does every few
minutes.`)
}

// ordering is one of these commands.
type ordering struct {
	verb     string
	ask      asking
	question orderQuestion
	span     time.Duration
	until    string
}

func (o *ordering) command(use, short, long string) *cobra.Command {
	c := &cobra.Command{
		Use: use + " [DEVICE...]", Short: short, Long: long + "\n\nIt exits with 0 when the service took it, with 2 when not.",
		RunE: func(c *cobra.Command, names []string) error { return o.run(c, names) },
	}
	o.ask.flags(c)
	c.Flags().StringVarP(&o.question.Selector, "selector", "l", "", "devices by label, such as role=leaf,site in (lon1,lon2)")
	c.Flags().BoolVar(&o.question.All, "all", false, "every device, also those to come")
	return c
}

func (o *ordering) run(c *cobra.Command, names []string) error {
	q := o.question
	q.Verb = o.verb
	for _, n := range names {
		q.Devices = append(q.Devices, models.DeviceName(n))
	}
	if err := o.end(&q); err != nil {
		return err
	}
	var a orderAnswer
	if err := o.ask.tell(c.Context(), "/v1/orders", q, &a); err != nil {
		return err
	}
	if o.ask.output == "json" {
		return printJSON(c.OutOrStdout(), a)
	}
	done := map[string]string{"suspend": "suspended", "resume": "resumed", "retry": "tried again", "reconcile": "read now"}[q.Verb]
	for _, name := range a.Devices {
		what := string(name)
		if name == reconciler.Everyone {
			what = "every device"
		}
		if q.Path != "" {
			what += " " + q.Path
		}
		fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", what, done)
	}
	return nil
}

func (o *ordering) end(q *orderQuestion) error {
	switch {
	case o.span > 0 && o.until != "":
		return errors.New("--for and --until: name one")
	case o.span < 0:
		return fmt.Errorf("--for %v is not ahead", o.span)
	case o.span > 0:
		q.Until = time.Now().Add(o.span).UTC().Truncate(time.Second)
	case o.until != "":
		at, err := time.Parse(time.RFC3339, o.until)
		if err != nil || !at.After(time.Now()) {
			return fmt.Errorf("--until %s is no time ahead in RFC 3339, such as %s", o.until, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		}
		q.Until = at.UTC()
	}
	return nil
}

func (s *service) takeOrder(w http.ResponseWriter, r *http.Request) {
	var q orderQuestion
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&q); err != nil {
		http.Error(w, "the question is no JSON of verb and devices", http.StatusBadRequest)
		return
	}
	a, err := s.order(r.Context(), q, r.RemoteAddr)
	reply(w, a, err)
}

// order writes the rows that a question asks for. The reconciler acts on them.
func (s *service) order(ctx context.Context, q orderQuestion, who string) (orderAnswer, error) {
	a := orderAnswer{Who: who}
	if err := q.check(); err != nil {
		return a, err
	}
	keys, err := s.meant(ctx, q)
	if err != nil {
		return a, err
	}
	table := reconciler.Orders(s.bus)
	var idle []error
	for _, key := range keys {
		o, rev, err := table.Get(ctx, string(key))
		if err != nil {
			return a, err
		}
		changed, err := q.on(o, who, time.Now().UTC())
		if err != nil {
			idle = append(idle, fmt.Errorf("%s: %w", key, err))
			continue
		}
		if _, err := table.Update(ctx, string(key), changed, rev); err != nil {
			return a, err
		}
		a.Devices = append(a.Devices, key)
		s.log.InfoContext(ctx, q.Verb, "device", key, "by", who, "path", q.Path, "why", q.Why)
	}
	if len(a.Devices) == 0 {
		return a, errors.Join(idle...)
	}
	return a, nil
}

func (q orderQuestion) check() error {
	switch {
	case !slices.Contains([]string{"suspend", "resume", "retry", "reconcile"}, q.Verb):
		return fmt.Errorf("%w: verb %q is not known", errOrder, q.Verb)
	case q.Verb == "suspend" && strings.TrimSpace(q.Why) == "":
		return fmt.Errorf("%w: a suspension needs a reason: --why TEXT", errOrder)
	case q.Path != "":
		if _, err := tree.NewScope(tree.OpenConfig(), []string{q.Path}); err != nil || strings.HasPrefix(q.Path, "!") {
			return fmt.Errorf("%w: --path %s is no path of the models: %v", errOrder, q.Path, err)
		}
	}
	return nil
}

// meant are the keys of the orders that a question is about.
func (s *service) meant(ctx context.Context, q orderQuestion) ([]models.DeviceName, error) {
	if q.All {
		if len(q.Devices) > 0 || q.Selector != "" {
			return nil, fmt.Errorf("%w: --all goes without devices and selector", errOrder)
		}
		return []models.DeviceName{reconciler.Everyone}, nil
	}
	if len(q.Devices) == 0 && q.Selector == "" {
		return nil, fmt.Errorf("%w: name devices, a selector with -l, or --all", errOrder)
	}
	assigned, err := s.assignments.All(ctx)
	if err != nil {
		return nil, err
	}
	keys := slices.Clone(q.Devices)
	for _, name := range keys {
		if _, ok := assigned[string(name)]; !ok {
			return nil, fmt.Errorf("%w: no device %q is assigned; \"setpoint devices\" lists them all", errOrder, name)
		}
	}
	if q.Selector != "" {
		picked, err := s.selected(ctx, q.Selector, assigned)
		if err != nil {
			return nil, err
		}
		keys = append(keys, picked...)
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

// selected are the assigned devices whose labels a selector picks.
func (s *service) selected(ctx context.Context, text string, assigned map[string]bus.Entry[models.Assignment]) ([]models.DeviceName, error) {
	sel, err := renderer.ParseSelector(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errOrder, err)
	}
	var picked []models.DeviceName
	manifests := map[models.Hash]models.Manifest{}
	for name, a := range assigned {
		m, ok := manifests[a.Value.Manifest]
		if !ok {
			data, err := s.bus.Blobs().Get(ctx, a.Value.Manifest)
			if err != nil {
				return nil, err
			}
			if err := json.Unmarshal(data, &m); err != nil {
				return nil, err
			}
			manifests[a.Value.Manifest] = m
		}
		at, known := slices.BinarySearchFunc(m.Devices, models.DeviceName(name), func(d models.Intended, n models.DeviceName) int { return cmp.Compare(d.Device.Name, n) })
		if known && sel.Matches(m.Devices[at].Device.Labels) {
			picked = append(picked, models.DeviceName(name))
		}
	}
	if len(picked) == 0 {
		return nil, fmt.Errorf("%w: selector %q picks no device", errOrder, text)
	}
	return picked, nil
}

// on is an order with what a question asks for.
func (q orderQuestion) on(o reconciler.Order, who string, now time.Time) (reconciler.Order, error) {
	asked := reconciler.Asked{Who: who, Time: now}
	samePath := func(s reconciler.Suspension) bool { return s.Path == q.Path }
	switch {
	case q.Verb == "retry":
		o.Retry = asked
	case q.Verb == "reconcile":
		o.Look = asked
	case q.Verb == "suspend":
		sus := reconciler.Suspension{Path: q.Path, Who: who, Why: q.Why, Since: now, Until: q.Until}
		if q.Path == "" {
			o.Suspend = &sus
		} else {
			o.Paths = append(slices.DeleteFunc(slices.Clone(o.Paths), samePath), sus)
		}
	case q.Path == "" && o.Suspend == nil:
		return o, fmt.Errorf("%w: it is not suspended", errOrder)
	case q.Path == "":
		o.Suspend = nil
	case !slices.ContainsFunc(o.Paths, samePath):
		return o, fmt.Errorf("%w: %s is not suspended", errOrder, q.Path)
	default:
		o.Paths = slices.DeleteFunc(slices.Clone(o.Paths), samePath)
	}
	return o, nil
}
