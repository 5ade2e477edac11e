package notify

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
)

// projector turns the tables into claims on slots. One goroutine owns it; what
// needs blobs is read by another, so that a large difference delays no progress.
type projector struct {
	n    *Notifier
	view *view

	heads    <-chan bus.Change[models.Head]
	renders  <-chan bus.Change[models.Render]
	rollouts <-chan bus.Change[models.Rollout]
	episodes <-chan bus.Change[models.Episode]
	current  int // tables read up to now, of four

	missed map[string]bool // channels that the server has not, and that were logged

	told  map[string]described // by job
	asked map[string]bool
	queue []job
	jobs  chan job
	done  chan described
}

// job is something to read from the blobs. Its key names it for good.
type job struct {
	key    string
	render models.Render
	blob   models.Hash // a text; "" for a rendering
}

// described is what the blobs told.
type described struct {
	key      string
	plan     string
	mistakes []models.Mistake
	warnings []models.Mistake // the first
	text     string
}

const describeTime = 2 * time.Minute

var errWatchEnded = errors.New("the watch of a table ended")

func (p *projector) watch(ctx context.Context) (err error) {
	if p.heads, err = p.n.Heads.Watch(ctx); err != nil {
		return err
	}
	if p.renders, err = p.n.Renders.Watch(ctx); err != nil {
		return err
	}
	if p.rollouts, err = p.n.Rollouts.Watch(ctx); err != nil {
		return err
	}
	p.episodes, err = p.n.Episodes.Watch(ctx)
	return err
}

// follow sees changes and projects them, at most every flushPause.
func (p *projector) follow(ctx context.Context) error {
	flush := time.NewTimer(time.Hour)
	flush.Stop()
	defer flush.Stop()
	prune := time.NewTicker(pruneEvery)
	defer prune.Stop()
	waiting := false
	var last time.Time
	for {
		changed, open := p.step(ctx, flush.C, prune.C, &waiting, &last)
		switch {
		case ctx.Err() != nil:
			return nil
		case !open:
			return errWatchEnded
		case changed && p.current >= 4 && !waiting:
			waiting = true
			flush.Reset(max(0, flushPause-time.Since(last)))
		}
	}
}

// step waits for one thing to happen.
func (p *projector) step(ctx context.Context, flush, prune <-chan time.Time, waiting *bool, last *time.Time) (changed, open bool) {
	jobs, next := p.nextJob()
	select {
	case <-ctx.Done():
		return false, true
	case c, ok := <-p.heads:
		return p.saw(see(p.view.heads, c, same)), ok
	case c, ok := <-p.renders:
		return p.saw(see(p.view.renders, c, generation)), ok
	case c, ok := <-p.rollouts:
		return p.saw(see(p.view.rollouts, c, generation)), ok
	case c, ok := <-p.episodes:
		return p.saw(see(p.view.episodes, c, same)), ok
	case jobs <- next:
		p.queue = p.queue[1:]
	case d := <-p.done:
		p.told[d.key] = d
		return true, true
	case <-flush:
		*waiting, *last = false, time.Now()
		p.project()
		p.prune(ctx)
	case <-prune:
		p.prune(ctx)
	}
	return false, true
}

// saw counts the tables that are current; before all are, nothing is projected:
// half a picture would say pending of what is done.
func (p *projector) saw(change bool) bool {
	if !change {
		p.current++
	}
	return true
}

func (p *projector) nextJob() (chan<- job, job) {
	if len(p.queue) == 0 {
		return nil, job{}
	}
	return p.jobs, p.queue[0]
}

// ask queues a job once.
func (p *projector) ask(j job) {
	if !p.asked[j.key] {
		p.asked[j.key] = true
		p.queue = append(p.queue, j)
	}
}

// project lays a claim for everything that the view tells.
func (p *projector) project() {
	all := p.view.facts()
	for _, f := range all {
		p.statuses(f)
	}
	p.orphans(all)
	for _, e := range p.view.episodes {
		named := p.named(e)
		for name, s := range p.n.chats {
			if len(named) == 0 || slices.Contains(named, name) {
				p.episode(s, "chat/"+name+"/"+e.ID, e)
			}
		}
	}
	p.vanished()
}

// named are the channels that an episode asks for and the server has. One that it
// has not is logged, once; where it has none of them all channels hear of the
// drift: a misspelt name must not silence it.
func (p *projector) named(e models.Episode) []string {
	var out []string
	for _, name := range e.Alerts {
		if p.n.chats[name] != nil {
			out = append(out, name)
		} else if !p.missed[name] {
			p.missed[name] = true
			p.n.logger().Warn("an AlertPolicy names a channel that the server's alerts don't have", "channel", name, "device", e.Device)
		}
	}
	return out
}

// statuses claims a commit's statuses.
func (p *projector) statuses(f facts) {
	if p.old(f) && !p.known(f) {
		return
	}
	settled := p.settled(f)
	if !settled && f.described() {
		d, ok := p.told[renderKey(*f.Render)]
		if !ok {
			p.ask(job{key: renderKey(*f.Render), render: *f.Render})
			settled = true // in a moment
		}
		f.Plan, f.Mistakes, f.Warnings = d.plan, d.mistakes, d.warnings
	}
	pl, deploy := project(f)
	if !settled {
		p.claim(f, pl)
		if policy, ok := projectPolicy(f); ok {
			p.claim(f, policy)
		}
	}
	if !settled || f.Render.State != models.RenderMistakes {
		p.claim(f, deploy)
	}
}

func (p *projector) claim(f facts, s Status) {
	if p.n.Link != nil {
		s.URL = p.n.Link(s.SHA)
	}
	p.n.forge.want(p.n.statusKey(s.SHA, s.Context), want{Generation: f.Generation, Status: &s, Head: p.view.isHead(f.Commit, f.Generation)})
}

// settled says whether the last word about the rendering was claimed before: it
// does not change, also not when the blobs behind it are swept.
func (p *projector) settled(f facts) bool {
	s, ok := p.n.forge.slot(p.n.statusKey(f.Commit, ContextPlan))
	if !ok || f.Render == nil || s.Status == nil || s.Generation != f.Generation || s.Refused {
		return false
	}
	if _, judged := projectPolicy(f); judged {
		s, ok := p.n.forge.slot(p.n.statusKey(f.Commit, ContextPolicy))
		if !ok || s.Generation != f.Generation {
			return false
		}
	}
	switch f.Render.State {
	case models.Rendered:
		return s.Status.State == StateSuccess
	case models.RenderMistakes:
		d, ok := p.n.forge.slot(p.n.statusKey(f.Commit, ContextDeploy))
		return s.Status.State == StateFailure && ok && d.Generation == f.Generation && d.Status.State == StateFailure
	}
	return false
}

func renderKey(r models.Render) string {
	return strings.Join([]string{strconv.FormatUint(uint64(r.Generation), 10), string(r.State), string(r.BaseHash), string(r.Manifest), string(r.Mistakes)}, " ")
}

// old says whether all about a commit was over long ago.
func (p *projector) old(f facts) bool {
	if _, deploy := project(f); !deploy.final() {
		return false
	}
	var at time.Time
	if f.Render != nil {
		at = later(at, f.Render.Time)
	}
	if f.Rollout != nil {
		at = later(at, later(f.Rollout.Started, f.Rollout.Ended))
	}
	return !at.IsZero() && time.Since(at) > tooLate
}

// known says whether the commit has slots.
func (p *projector) known(f facts) bool {
	_, a := p.n.forge.slot(p.n.statusKey(f.Commit, ContextPlan))
	_, b := p.n.forge.slot(p.n.statusKey(f.Commit, ContextDeploy))
	return a || b
}

// orphans ends what still says pending of a head that another replaced before
// anything was recorded of it.
func (p *projector) orphans(all []facts) {
	alive := map[string]bool{}
	for _, f := range all {
		alive[f.Commit] = true
	}
	passed := p.view.passed()
	by := p.view.commit(p.view.newest())
	p.n.forge.each(func(_ string, s Slot) {
		if s.Status == nil || s.final() || alive[s.Status.SHA] || s.Generation >= passed {
			return
		}
		f := facts{Generation: s.Generation, Commit: s.Status.SHA, By: orElse(by, "newer")}
		pl, deploy := project(f)
		for _, status := range []Status{pl, deploy} {
			if status.Context == s.Status.Context {
				p.claim(f, status)
			}
		}
	})
}

// episode claims one chat's message about one episode.
func (p *projector) episode(s *sender, key string, e models.Episode) {
	slot, known := s.slot(key)
	switch {
	case !known && e.Mode == models.DriftObserve:
		return
	case !known && !e.Closed.IsZero() && time.Since(e.Closed) > tooLate:
		return
	}
	m := story(e, "")
	if known && slot.Message != nil && slot.Message.Version == m.Version {
		return
	}
	if !m.Final && e.Diff != "" {
		d, ok := p.told[string(e.Diff)]
		if !ok {
			p.ask(job{key: string(e.Diff), blob: e.Diff})
			return
		}
		m = story(e, d.text)
	}
	s.want(key, want{Generation: e.Generation, Message: &m})
}

// vanished ends the episodes whose row a later one has taken.
func (p *projector) vanished() {
	stands := map[string]bool{}
	for _, e := range p.view.episodes {
		stands[e.ID] = true
	}
	for _, s := range p.n.chats {
		s.each(func(key string, slot Slot) {
			if slot.Message == nil || slot.final() || stands[strings.TrimPrefix(key, s.name+"/")] {
				return
			}
			m := vanished(*slot.Message)
			s.want(key, want{Generation: slot.Generation, Message: &m})
		})
	}
}

// prune forgets what is told and will not change.
func (p *projector) prune(ctx context.Context) {
	newest := p.view.newest()
	p.n.forge.each(func(key string, s Slot) {
		if s.Generation+keep <= newest {
			p.n.forge.forget(ctx, key)
		}
	})
	for _, c := range p.n.chats {
		c.each(func(key string, s Slot) {
			if s.final() && !s.due() && time.Since(s.Updated) > chatMemory {
				c.forget(ctx, key)
			}
		})
	}
	if len(p.told) > 4*keep {
		clear(p.told)
		clear(p.asked)
		p.queue = nil
	}
}

// describe reads blobs for the projector until ctx ends.
func (p *projector) describe(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-p.jobs:
			d := p.read(ctx, j)
			select {
			case <-ctx.Done():
				return
			case p.done <- d:
			}
		}
	}
}

// read does a job. What cannot be read after some tries is told without it: a
// last word is owed.
func (p *projector) read(ctx context.Context, j job) described {
	var d described
	var err error
	for try := range loadTries {
		if d, err = p.tryRead(ctx, j); err == nil || swept(err) || !pause(ctx, firstPause<<try) {
			break
		}
	}
	d.key = j.key
	if err != nil && ctx.Err() == nil {
		p.n.logger().WarnContext(ctx, "difference not read, told without it", "commit", j.render.Commit, "err", err)
		d.plan = "rendered " + count(j.render.Devices, "device") + "; the difference cannot be shown"
	}
	return d
}

func (p *projector) tryRead(ctx context.Context, j job) (described, error) {
	ctx, cancel := context.WithTimeout(ctx, describeTime)
	defer cancel()
	switch {
	case j.blob != "":
		b, err := p.n.Blobs.Get(ctx, j.blob)
		return described{text: string(b)}, err
	case j.render.State == models.RenderMistakes:
		ms, err := mistakes(ctx, p.n.Blobs, j.render.Mistakes)
		return described{mistakes: ms}, err
	}
	d, err := differ{Blobs: p.n.Blobs, Schema: p.n.Schema}.Diff(ctx, j.render)
	if err != nil {
		return described{}, err
	}
	return described{plan: d.summary, warnings: slices.Clone(d.Warnings[:min(1, len(d.Warnings))])}, nil
}

func full(err error) bool { return errors.Is(err, bus.ErrFull) }
