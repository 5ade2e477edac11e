package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler"
	"github.com/setpoint-net/setpoint/reconciler/device"
	"github.com/setpoint-net/setpoint/reconciler/plan"
	"github.com/setpoint-net/setpoint/renderer"
	"github.com/setpoint-net/setpoint/renderer/worker"
)

// diffing is the flags and arguments of setpoint diff.
type diffing struct {
	dir, base, head string
	names           []string
	selector, form  string
	config          string
	live, reverse   bool
}

func newDiff() *cobra.Command {
	var d diffing
	c := &cobra.Command{
		Use:   "diff [DIR] [BASE..HEAD] [DEVICE...]",
		Short: "what a change does to the devices' configs",
		Long: `diff renders two states of the config repo and prints what changes on each device.

  setpoint diff                  the last commit against the files on disk
  setpoint diff main..feature    between two revisions; main.. is against the disk
  setpoint diff --live -c FILE   the running config of the devices against the files
                                 on disk, read over gNMI with the credentials of FILE
  setpoint diff --reverse        the exact undo: from the new state to the old one

What policies warn of in the new state goes to stderr.

It exits with 0 when there is no difference, 1 when there is one, 2 when it could
not tell for every device.`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := d.parse(args); err != nil {
				return err
			}
			return d.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), newTerm(c.OutOrStdout()))
		},
	}
	c.Flags().BoolVar(&d.live, "live", false, "against the devices")
	c.Flags().BoolVar(&d.reverse, "reverse", false, "the undo: what leads back")
	c.Flags().StringVarP(&d.config, "config", "c", "setpoint.yaml", "server configuration with the devices' credentials, for --live")
	c.Flags().StringVarP(&d.selector, "selector", "l", "", "only devices with these labels: role=leaf,site in (lon1,lon2)")
	c.Flags().StringVarP(&d.form, "output", "o", "tree", "tree, unified, json, markdown or gnmi")
	return c
}

var forms = []string{"tree", "unified", "json", "markdown", "gnmi"}

// parse sorts the arguments into folder, revisions and device names.
func (d *diffing) parse(args []string) error {
	if !slices.Contains(forms, d.form) {
		return fmt.Errorf("-o %s: one of %s", d.form, strings.Join(forms, ", "))
	}
	d.dir, d.names = splitDir(args)
	d.base = "HEAD"
	if len(d.names) > 0 && strings.Contains(d.names[0], "..") {
		base, head, _ := strings.Cut(d.names[0], "..")
		d.names = d.names[1:]
		d.head = head
		if base != "" {
			d.base = base
		}
		if d.live {
			return errors.New("--live compares with the files on disk; leave BASE..HEAD out")
		}
	}
	return nil
}

// change is one device's difference. A device that the head does not have any
// more is released: it has no plan, as nothing is written to it.
type change struct {
	name     models.DeviceName
	plan     *plan.Plan
	released bool
	hidden   int // secrets that the device shows in another form
	err      error
}

func (d *diffing) run(ctx context.Context, out, errOut io.Writer, t term) error {
	pool := &worker.Pool{}
	defer pool.Close()
	r := &renderer.Renderer{Evaluator: pool} // both sides have most in common
	head, err := renderWith(ctx, r, d.dir, d.head)
	if err != nil {
		return err
	}
	if len(head.Mistakes) > 0 {
		writeMistakes(errOut, head.Mistakes)
		return errors.New("the config repo has mistakes, so there is nothing to compare")
	}
	writeWarnings(errOut, head.Warnings)
	var changes []change
	if d.live {
		changes, err = d.againstDevices(ctx, head.Devices)
	} else {
		changes, err = d.againstBase(ctx, errOut, r, head.Devices)
	}
	if err != nil {
		return err
	}
	return d.write(out, errOut, t, changes)
}

// againstBase compares with what the base revision renders to. A device that
// came is compared with nothing; one that went is released and not written to.
func (d *diffing) againstBase(ctx context.Context, errOut io.Writer, r *renderer.Renderer, head []renderer.Device) ([]change, error) {
	base, err := renderWith(ctx, r, d.dir, d.base)
	if err != nil {
		return nil, err
	}
	if len(base.Mistakes) > 0 {
		writeMistakes(errOut, base.Mistakes)
		return nil, fmt.Errorf("%s has mistakes, so there is nothing to compare with", d.base)
	}
	kept, err := choose(head, d.names, d.selector)
	if err != nil {
		return nil, err
	}
	before := map[models.DeviceName][]byte{}
	for _, b := range base.Devices {
		before[b.Name] = b.Config
	}
	var changes []change
	for _, h := range kept {
		if was, ok := before[h.Name]; ok && bytes.Equal(was, h.Config) {
			delete(before, h.Name)
			continue
		}
		old, err := parse(before[h.Name])
		if err != nil {
			return nil, err
		}
		now, err := parse(h.Config)
		if err != nil {
			return nil, err
		}
		how, err := strategyOf(h.Device)
		if err != nil {
			return nil, err
		}
		changes = append(changes, change{name: h.Name, plan: d.between(how, old, now, now)})
		delete(before, h.Name)
	}
	if len(d.names) > 0 || d.selector != "" {
		return changes, nil
	}
	for _, h := range head {
		delete(before, h.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		changes = append(changes, change{name: name, released: true})
	}
	return changes, nil
}

// between is the plan that leads from the old state to the new one, or back. What is
// expected of the device and what it is sent for that may differ in secrets.
func (d *diffing) between(how plan.Strategy, old, expected, meant *tree.Tree) *plan.Plan {
	if d.reverse {
		return how.Diff(expected, old, old)
	}
	return how.Diff(old, expected, meant)
}

// strategyOf is how a device is written.
func strategyOf(d models.Device) (plan.Strategy, error) {
	scope, err := tree.NewScope(tree.OpenConfig(), reconciler.HeldTo(d, nil))
	if err != nil {
		return plan.Strategy{}, fmt.Errorf("%s: managed paths: %w", d.Name, err)
	}
	how, err := plan.For(tree.OpenConfig(), d, scope)
	if err != nil {
		return plan.Strategy{}, fmt.Errorf("%s: %w", d.Name, err)
	}
	return how, nil
}

func parse(config []byte) (*tree.Tree, error) {
	if len(config) == 0 {
		return tree.Empty(tree.OpenConfig()), nil
	}
	return tree.Parse(tree.OpenConfig(), config)
}

// againstDevices reads each device's running config. A device that can't be read
// is an error of its own and keeps no other from being compared.
func (d *diffing) againstDevices(ctx context.Context, head []renderer.Device) ([]change, error) {
	cfg, err := loadConfig(d.config)
	if err != nil {
		return nil, err
	}
	targets, err := cfg.targets()
	if err != nil {
		return nil, err
	}
	kept, err := choose(head, d.names, d.selector)
	if err != nil {
		return nil, err
	}
	const atOnce = 32
	changes := make([]change, len(kept))
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i, dev := range kept {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			changes[i] = d.against(ctx, dev, targets)
		})
	}
	wg.Wait()
	return changes, nil
}

// against compares one device with what is intended for it. Whether a secret that
// is shown in another form is the one that was sent, only the service knows, which
// has seen it sent; here it is counted and left out.
func (d *diffing) against(ctx context.Context, dev renderer.Device, targets map[string]target) change {
	c := change{name: dev.Name}
	dev.Manage = reconciler.HeldTo(dev.Device, nil)
	t, err := targetOf(dev.Device, targets, slog.New(slog.DiscardHandler))
	if err != nil {
		c.err = err
		return c
	}
	running, err := readRunning(ctx, t)
	if err != nil {
		c.err = err
		return c
	}
	intended, err := parse(dev.Config)
	if err != nil {
		c.err = err
		return c
	}
	intended = t.Scope.Filter(intended)
	how, err := strategyOf(dev.Device)
	if err != nil {
		c.err = err
		return c
	}
	expected := intended
	for _, leaf := range how.Diff(running, intended, intended).Changes {
		if leaf.Old != nil && leaf.New != nil && leaf.New.Schema.Secret {
			expected = expected.ReplaceAt(leaf.Path, leaf.Old)
			c.hidden++
		}
	}
	c.plan = d.between(how, running, expected, intended)
	return c
}

func readRunning(ctx context.Context, t device.Target) (*tree.Tree, error) {
	s, err := device.Dial(ctx, t)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.Running(ctx)
}

// write prints the differing devices and chooses the exit code.
func (d *diffing) write(out, errOut io.Writer, t term, changes []change) error {
	te := newTerm(errOut)
	var differ []plan.DevicePlan
	bad, released := 0, 0
	for _, c := range changes {
		if c.hidden > 0 {
			fmt.Fprintf(errOut, "%s: %s not compared: the device shows another text; \"setpoint devices\" knows\n", c.name, count(c.hidden, "secret"))
		}
		switch {
		case c.released:
			released++
			fmt.Fprintf(errOut, "%s: released; nothing is written to it\n", c.name)
		case c.err != nil:
			bad++
			fmt.Fprintf(errOut, "%s %s: %v\n", te.red("error:"), c.name, c.err)
		case !c.plan.Empty():
			differ = append(differ, plan.DevicePlan{Name: c.name, Plan: c.plan})
		}
	}
	if err := d.writePlans(out, t, differ); err != nil {
		return err
	}
	switch {
	case bad > 0:
		return fmt.Errorf("%s of %d could not be compared", count(bad, "device"), len(changes))
	case len(differ)+released > 0:
		return errNo
	}
	return nil
}

func (d *diffing) writePlans(out io.Writer, t term, differ []plan.DevicePlan) error {
	if d.form == "json" {
		return writeJSONPlans(out, differ)
	}
	for _, p := range differ {
		o := plan.Options{Form: plan.Form(d.form), Color: t.colour, Title: string(p.Name)}
		if !d.live {
			o.Old, o.New = d.base, cmp.Or(d.head, "on disk")
			if d.reverse {
				o.Old, o.New = o.New, o.Old
			}
		}
		if err := p.Plan.Write(out, o); err != nil {
			return err
		}
		fmt.Fprintln(out)
	}
	if d.form == "tree" {
		fmt.Fprintln(out, t.bold(plan.Summary(differ)))
	}
	return nil
}

// writeJSONPlans writes one object, device to plan.
func writeJSONPlans(out io.Writer, differ []plan.DevicePlan) error {
	all := map[models.DeviceName]json.RawMessage{}
	for _, p := range differ {
		var b strings.Builder
		if err := p.Plan.Write(&b, plan.Options{Form: "json"}); err != nil {
			return err
		}
		all[p.Name] = json.RawMessage(b.String())
	}
	return printJSON(out, all)
}
