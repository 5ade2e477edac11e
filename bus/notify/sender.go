package notify

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/setpoint-net/setpoint/bus"
)

// slotTable is what a sender needs of the table slots.
type slotTable interface {
	Get(ctx context.Context, key string) (Slot, uint64, error)
	Update(ctx context.Context, key string, v Slot, rev uint64) (uint64, error)
	Delete(ctx context.Context, key string, rev uint64) error
}

// Pauses between tries. All but the spacing have ±20 % of jitter.
const (
	firstPause  = time.Second      // after an outage's first failure, doubled each time
	outagePause = 2 * time.Minute  // the ceiling while nobody answers
	slowPause   = 5 * time.Minute  // after a refusal that a person must mend, doubled
	maxPause    = time.Hour        // the ceiling of refusals, and of what the other side may ask for
	savePause   = time.Second      // while the store takes no slots, doubled up to outagePause
	saveTime    = 5 * time.Second  // for one write of a slot
	spacing     = 15 * time.Second // between two words on the way about one place, doubled by each that went out
	maxSpacing  = 16 * time.Minute
	maxProgress = 900 // posts of a place; then only last words (GitHub takes 1000 per sha and context)
)

// sender is the keyed loop of one integration: it brings each of its places to
// what is wanted there, one post at a time, newest generation first. Its memory
// leads and the table follows, so that a full store silences nobody.
type sender struct {
	name  string // of the integration, for logs
	post  func(context.Context, Slot) error
	table slotTable
	log   *slog.Logger

	mu       sync.Mutex
	places   map[string]*place
	blocked  time.Time // no post to anyone before
	failures int       // in a row, over all places
	unsaved  int       // writes that failed in a row
	saveAt   time.Time // no write before
	told     map[string]bool

	wake chan struct{} // holds at most one token
}

// place is a slot in memory.
type place struct {
	slot  Slot
	rev   uint64
	dirty bool      // memory is ahead of the table
	after time.Time // no post before
}

func newSender(name string, table slotTable, log *slog.Logger, post func(context.Context, Slot) error) *sender {
	return &sender{
		name: name, post: post, table: table, log: log,
		places: map[string]*place{}, told: map[string]bool{}, wake: make(chan struct{}, 1),
	}
}

// adopt takes over what an earlier process left, below what is wanted already.
func (s *sender) adopt(key string, stored Slot, rev uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.places[key]
	if p == nil {
		s.places[key] = &place{slot: stored, rev: rev}
		return
	}
	p.merge(stored, rev)
}

// merge takes the table's word for what was posted, and the stronger claim for
// what is wanted.
func (p *place) merge(stored Slot, rev uint64) {
	mine := p.slot
	p.slot, p.rev = stored, rev
	if mine.PostedAt.After(stored.PostedAt) {
		p.slot.Posted, p.slot.PostedFinal, p.slot.PostedAt, p.slot.Posts = mine.Posted, mine.PostedFinal, mine.PostedAt, max(mine.Posts, stored.Posts)
	}
	p.slot.Attempts, p.slot.Error = mine.Attempts, mine.Error
	// Memory is no older than the table: only a higher generation there wins.
	p.slot, _ = p.slot.claim(want{Generation: mine.Generation, Status: mine.Status, Message: mine.Message, Refused: mine.Refused, Head: true}, mine.Updated)
	p.dirty = p.slot != stored
}

// want lays a claim on a place.
func (s *sender) want(key string, w want) {
	s.mu.Lock()
	p := s.places[key]
	if p == nil {
		p = &place{}
	}
	slot, changed := p.slot.claim(w, time.Now().UTC())
	if changed {
		s.places[key] = p
		p.dirty = p.dirty || slot.mark() != p.slot.mark() || slot.Generation != p.slot.Generation
		p.slot = slot
		p.after = time.Time{}
		if n := p.slot.Posts; n > 0 && p.slot.progress() {
			p.after = p.slot.PostedAt.Add(min(maxSpacing, spacing<<min(n-1, 10)))
		}
	}
	s.mu.Unlock()
	if changed {
		s.nudge()
	}
}

// slot is what a place is meant to say now.
func (s *sender) slot(key string) (Slot, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.places[key]
	if p == nil {
		return Slot{}, false
	}
	return p.slot, true
}

// each calls f with every place's slot.
func (s *sender) each(f func(key string, slot Slot)) {
	s.mu.Lock()
	all := make(map[string]Slot, len(s.places))
	for k, p := range s.places {
		all[k] = p.slot
	}
	s.mu.Unlock()
	for k, v := range all {
		f(k, v)
	}
}

// forget drops a place from memory and table.
func (s *sender) forget(ctx context.Context, key string) {
	s.mu.Lock()
	p := s.places[key]
	delete(s.places, key)
	s.mu.Unlock()
	if p == nil || p.rev == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, saveTime)
	defer cancel()
	// What cannot be deleted now comes back with the next start, and goes then.
	if err := s.table.Delete(ctx, key, p.rev); err != nil {
		s.log.DebugContext(ctx, "slot not deleted", "slot", key, "err", err)
	}
}

func (s *sender) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run posts and saves until ctx ends.
func (s *sender) run(ctx context.Context) {
	for ctx.Err() == nil {
		if key, ok, at := s.next(time.Now()); ok {
			s.step(ctx, key)
		} else {
			s.idle(ctx, at)
		}
	}
}

// idle waits for a new claim, or until at (zero: no time is set).
func (s *sender) idle(ctx context.Context, at time.Time) {
	var timer <-chan time.Time
	if !at.IsZero() {
		t := time.NewTimer(time.Until(at))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-ctx.Done():
	case <-s.wake:
	case <-timer:
	}
}

// next is the place to work on now; or when there will be one. What failed least
// goes first, so that one bad place holds up no other, then what is newest.
func (s *sender) next(now time.Time) (key string, ok bool, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var best *place
	for k, p := range s.places {
		when, any := s.when(p)
		switch {
		case !any:
		case when.After(now):
			if at.IsZero() || when.Before(at) {
				at = when
			}
		case best == nil || before(p, best) < 0 || before(p, best) == 0 && k < key:
			best, key = p, k
		}
	}
	return key, best != nil, at
}

func before(a, b *place) int {
	return cmp.Or(cmp.Compare(a.slot.Attempts, b.slot.Attempts), cmp.Compare(b.slot.Generation, a.slot.Generation))
}

// when is when a place needs work, if it does.
func (s *sender) when(p *place) (at time.Time, any bool) {
	if s.mayPost(p) {
		at, any = later(p.after, s.blocked), true
	}
	if p.dirty && !p.held() && (!any || s.saveAt.Before(at)) {
		at, any = s.saveAt, true
	}
	return at, any
}

func (s *sender) mayPost(p *place) bool {
	return p.slot.due() && (!p.slot.progress() || p.slot.Posts < maxProgress)
}

// held says that the place's news is progress that waits for its turn; the
// table need not follow each step of it.
func (p *place) held() bool {
	return p.rev != 0 && p.slot.due() && p.slot.progress()
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// step saves what is wanted, posts it, and saves that it was posted. Only the
// post matters: a save that fails is tried again later.
func (s *sender) step(ctx context.Context, key string) {
	s.save(ctx, key)
	s.mu.Lock()
	p := s.places[key]
	now := time.Now()
	if p == nil || !s.mayPost(p) || later(p.after, s.blocked).After(now) {
		s.mu.Unlock()
		return
	}
	slot := p.slot
	s.mu.Unlock()
	err := s.post(ctx, slot)
	if err != nil && ctx.Err() != nil {
		return
	}
	s.record(ctx, key, slot, err)
	// The post went out: its record is written also when ctx has just ended.
	s.save(context.WithoutCancel(ctx), key)
}

// record keeps a post's outcome in memory.
func (s *sender) record(ctx context.Context, key string, posted Slot, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.places[key]
	if p == nil {
		return
	}
	now := time.Now().UTC()
	p.dirty = true
	if err == nil {
		if s.failures > 0 {
			s.log.InfoContext(ctx, "posts are taken again", "to", s.name)
		}
		s.failures, s.blocked = 0, time.Time{}
		delete(s.told, p.slot.Error)
		p.slot.Posted, p.slot.PostedFinal, p.slot.PostedAt = posted.mark(), posted.final(), now
		p.slot.Posts++
		p.slot.Attempts, p.slot.Error = 0, ""
		s.log.DebugContext(ctx, "posted", "slot", key)
		return
	}
	p.slot.Attempts++
	p.slot.Error = clip(err.Error(), answerText)
	s.backOff(ctx, key, p, err, now)
}

// backOff decides who waits, and for how long: a refusal concerns the place, a
// limit or an outage all places.
func (s *sender) backOff(ctx context.Context, key string, p *place, err error, now time.Time) {
	var a *Answer
	if !errors.As(err, &a) {
		a = &Answer{Text: err.Error()}
	}
	if a.refused() {
		p.after = now.Add(max(a.RetryAfter, jitter(min(maxPause, slowPause<<min(p.slot.Attempts-1, 10)))))
		s.tell(ctx, key, p.slot.Error, a.Hint)
		return
	}
	s.failures++
	pause := max(a.RetryAfter, jitter(min(outagePause, firstPause<<min(s.failures-1, 20))))
	s.blocked = now.Add(pause)
	if !a.Limited { // a limit is nobody's fault in particular
		p.after = now.Add(max(pause, jitter(min(outagePause, firstPause<<min(p.slot.Attempts-1, 20)))))
	}
	if s.failures == 1 {
		s.log.WarnContext(ctx, "post not taken, will be retried", "to", s.name, "slot", key, "err", err, "pause", pause)
	}
}

// tell logs a refusal once, until a place that met it is taken again.
func (s *sender) tell(ctx context.Context, key, refusal, hint string) {
	if s.told[refusal] {
		return
	}
	if len(s.told) > 1000 {
		clear(s.told)
	}
	s.told[refusal] = true
	s.log.ErrorContext(ctx, "post refused", "to", s.name, "slot", key, "err", refusal, "hint", hint)
}

// save writes a dirty place to the table, unless the table has just refused others.
func (s *sender) save(ctx context.Context, key string) {
	s.mu.Lock()
	p := s.places[key]
	if p == nil || !p.dirty || s.saveAt.After(time.Now()) {
		s.mu.Unlock()
		return
	}
	slot, rev := p.slot, p.rev
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, saveTime)
	defer cancel()
	next, err := s.table.Update(ctx, key, slot, rev)
	var stored Slot
	conflict := errors.Is(err, bus.ErrConflict)
	if conflict {
		stored, next, err = s.table.Get(ctx, key)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.notSaved(ctx, err)
		return
	}
	if s.unsaved > 0 {
		s.log.InfoContext(ctx, "the store takes slots again", "to", s.name)
	}
	s.unsaved, s.saveAt = 0, time.Time{}
	if conflict && next == 0 {
		p.rev = 0
		return
	}
	if conflict {
		p.merge(stored, next)
		return
	}
	p.rev = next
	p.dirty = p.slot != slot
}

func (s *sender) notSaved(ctx context.Context, err error) {
	s.unsaved++
	pause := jitter(min(outagePause, savePause<<min(s.unsaved-1, 20)))
	s.saveAt = time.Now().Add(pause)
	if s.unsaved == 1 && ctx.Err() == nil {
		s.log.WarnContext(ctx, "slot not stored, will be retried; posts go on", "to", s.name, "err", err, "pause", pause)
	}
}

// jitter is d ±20 %, so that what failed together does not return together.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}
