package sim

import (
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	minSample    = 100 * time.Millisecond // the lowest sample interval (gNMI 3.5.1.5.2)
	targetSample = 10 * time.Second       // of TARGET_DEFINED, where ON_CHANGE is not to be had
	maxPending   = 64                     // past trees kept for a slow stream; more are coalesced
	maxUpdates   = 512                    // updates in one notification (gNMI 3.5.2.1)
	maxDSCP      = 63                     // six bits (RFC 2474)
)

type subscribeServer = grpc.BidiStreamingServer[gnmi.SubscribeRequest, gnmi.SubscribeResponse]

// Subscribe serves one subscription (gNMI 3.5).
func (t *Target) Subscribe(stream subscribeServer) error {
	req, err := stream.Recv()
	if err != nil {
		return orEOF(err)
	}
	s, err := t.subscription(stream, req)
	if err != nil {
		return err
	}
	switch req.GetSubscribe().GetMode() {
	case gnmi.SubscriptionList_ONCE:
		return s.sync(t.told())
	case gnmi.SubscriptionList_POLL:
		return s.poll()
	case gnmi.SubscriptionList_STREAM:
		return s.stream()
	}
	return status.Error(codes.InvalidArgument, "unknown subscription mode")
}

func orEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// subscription is one Subscribe RPC.
type subscription struct {
	target      *Target
	rpc         subscribeServer
	valuer      valuer
	prefix      *gnmi.Path
	updatesOnly bool
	watches     []*watch
}

// watch is one Subscription of the list.
type watch struct {
	patterns  [][]step
	sample    time.Duration // 0: on change
	heartbeat time.Duration // 0: none
	suppress  bool          // sample: only what changed
	sent      *node         // sample: what was last sent
	nextTick  time.Time
	nextBeat  time.Time
}

// subscription checks the first message of an RPC.
func (t *Target) subscription(rpc subscribeServer, req *gnmi.SubscribeRequest) (*subscription, error) {
	if err := refuseExtensions(req.GetExtension()); err != nil {
		return nil, err
	}
	l := req.GetSubscribe()
	switch {
	case l == nil:
		return nil, status.Error(codes.InvalidArgument, "the first message must hold a SubscriptionList (gNMI 3.5.1.1)")
	case len(l.GetSubscription()) == 0:
		return nil, status.Error(codes.InvalidArgument, "no subscription in the list (gNMI 3.5.1.2)")
	case len(l.GetUseModels()) > 0:
		return nil, status.Error(codes.Unimplemented, "use_models is not supported")
	case l.GetQos().GetMarking() > maxDSCP:
		return nil, status.Errorf(codes.InvalidArgument, "qos marking %d is no DSCP (RFC 2474)", l.GetQos().GetMarking())
	}
	if err := checkEncoding(l.GetEncoding()); err != nil {
		return nil, err
	}
	s := &subscription{
		target: t, rpc: rpc,
		valuer:      valuer{encoding: l.GetEncoding(), shown: t.shown},
		updatesOnly: l.GetUpdatesOnly(),
	}
	for _, sub := range l.GetSubscription() {
		w, err := t.watch(l, sub)
		if err != nil {
			return nil, err
		}
		s.watches = append(s.watches, w)
		s.prefix = responsePrefix(l.GetPrefix(), sub.GetPath())
	}
	return s, nil
}

func (t *Target) watch(l *gnmi.SubscriptionList, sub *gnmi.Subscription) (*watch, error) {
	full, err := elems(l.GetPrefix(), sub.GetPath())
	if err != nil {
		return nil, err
	}
	w := &watch{}
	if w.patterns, err = t.schema.patterns(full); err != nil {
		return nil, readError(err)
	}
	if t.broken.Load().unnamed(l.GetPrefix(), sub.GetPath()) {
		w.patterns = nil
	}
	if l.GetMode() != gnmi.SubscriptionList_STREAM {
		return w, nil // what triggers updates has a meaning for streams only
	}
	if err := w.trigger(sub); err != nil || t.broken.Load().NoOnChange != "refuse" || w.sample > 0 {
		return w, err
	}
	if sub.GetMode() == gnmi.SubscriptionMode_ON_CHANGE {
		return nil, status.Errorf(codes.InvalidArgument, "%s: ON_CHANGE is not supported", pathText(full))
	}
	w.sample = targetSample
	return w, nil
}

// trigger reads what makes a stream send (gNMI 3.5.1.5.2).
func (w *watch) trigger(sub *gnmi.Subscription) error {
	w.heartbeat = duration(sub.GetHeartbeatInterval())
	if w.heartbeat > 0 && w.heartbeat < minSample {
		return status.Errorf(codes.InvalidArgument, "heartbeat interval %v is below %v", w.heartbeat, minSample)
	}
	switch sub.GetMode() {
	case gnmi.SubscriptionMode_ON_CHANGE, gnmi.SubscriptionMode_TARGET_DEFINED:
		return nil // configuration changes by events, so that is how it is told
	case gnmi.SubscriptionMode_SAMPLE:
	default:
		return status.Error(codes.InvalidArgument, "unknown subscription mode")
	}
	w.suppress = sub.GetSuppressRedundant()
	if !w.suppress {
		w.heartbeat = 0 // all it does to samples is to break into the suppression
	}
	w.sample = duration(sub.GetSampleInterval())
	if w.sample == 0 {
		w.sample = minSample
	}
	if w.sample < minSample {
		return status.Errorf(codes.InvalidArgument, "sample interval %v is below %v", w.sample, minSample)
	}
	return nil
}

// duration of an interval in nanoseconds; what does not fit is as good as never.
func duration(ns uint64) time.Duration {
	return time.Duration(min(ns, uint64(100*365*24*time.Hour)))
}

// sync sends all values, leaf by leaf, then sync_response. With updates_only it
// sends sync_response alone (gNMI 3.5.1.2).
func (s *subscription) sync(root *node) error {
	if !s.updatesOnly {
		if err := s.values(s.watches, root); err != nil {
			return err
		}
	}
	return s.rpc.Send(&gnmi.SubscribeResponse{Response: &gnmi.SubscribeResponse_SyncResponse{SyncResponse: true}})
}

// values sends what the watches see of a tree, as it goes.
func (s *subscription) values(watches []*watch, root *node) error {
	at := time.Now()
	var b batch
	var err error
	b.full = func() {
		if err == nil {
			err = s.send(b, at, 0)
		}
		b.updates = b.updates[:0]
	}
	b.collect(watches, nil, root)
	if err != nil {
		return err
	}
	return s.send(b, at, 0)
}

// poll sends all values and sync_response at once and for each Poll message
// (gNMI 3.5.1.5.3).
func (s *subscription) poll() error {
	if err := s.sync(s.target.told()); err != nil {
		return err
	}
	s.updatesOnly = false // the polls are answered (gNMI 3.5.1.2)
	for {
		req, err := s.rpc.Recv()
		if err != nil {
			return orEOF(err)
		}
		if req.GetPoll() == nil {
			return status.Error(codes.InvalidArgument, "only Poll may follow on a POLL subscription")
		}
		if err := s.sync(s.target.told()); err != nil {
			return err
		}
	}
}

// stream serves a STREAM subscription until the client leaves.
func (s *subscription) stream() error {
	root, f := s.target.follow()
	defer s.target.leave(f)
	if err := s.sync(root); err != nil {
		return err
	}
	now := time.Now()
	for _, w := range s.watches {
		w.start(root, now)
	}
	quit := s.listen()
	for {
		news := s.target.awaitNews()
		if err, end := s.target.broken.Load().ends(); end {
			return err
		}
		timer := s.timer()
		select {
		case <-news: // of faults: look at them
		case err := <-quit:
			return err
		case <-s.rpc.Context().Done():
			return status.FromContextError(s.rpc.Context().Err()).Err()
		case <-timer:
			if err := s.tick(root, time.Now()); err != nil {
				return err
			}
		case <-f.ready:
			for _, p := range f.take() {
				if err := s.changes(root, p); err != nil {
					return err
				}
				root = p.root
			}
		}
	}
}

// listen waits for the client to end the stream, or to send what it may not: the
// subscriptions of an RPC do not change (gNMI 3.5.1.1). Its goroutine ends with
// the RPC.
func (s *subscription) listen() <-chan error {
	quit := make(chan error, 1)
	go func() {
		_, err := s.rpc.Recv()
		if err == nil {
			err = status.Error(codes.InvalidArgument, "a second message on a STREAM subscription")
		}
		quit <- orEOF(err)
	}()
	return quit
}

// changes sends what changed for the watches that are told at once.
func (s *subscription) changes(old *node, p pending) error {
	onChange := slices.DeleteFunc(slices.Clone(s.watches), func(w *watch) bool { return w.sample > 0 })
	if p.faults.mute() {
		return nil
	}
	b := batch{silent: p.faults.silent}
	b.collect(onChange, old, p.root)
	if len(b.deletes)+len(b.updates) > 0 && p.faults.loses() {
		return nil
	}
	return s.send(b, p.at, p.coalesced)
}

// send sends one notification: deletes and updates, which a receiver applies in
// that order (gNMI 3.5.2.3). Only what is too large for that goes on in further
// notifications.
func (s *subscription) send(b batch, at time.Time, coalesced uint32) error {
	for len(b.deletes)+len(b.updates) > 0 {
		n := min(len(b.updates), maxUpdates)
		if err := s.notify(b.deletes, b.updates[:n], at, coalesced); err != nil {
			return err
		}
		b.deletes, b.updates = nil, b.updates[n:]
	}
	return nil
}

func (s *subscription) notify(deletes []*gnmi.Path, updates []change, at time.Time, coalesced uint32) error {
	n := &gnmi.Notification{Timestamp: s.target.clock(at).UnixNano(), Prefix: s.prefix, Delete: deletes}
	for _, u := range updates {
		n.Update = append(n.Update, &gnmi.Update{Path: u.path, Val: s.valuer.leaf(u.datum), Duplicates: coalesced})
	}
	s.target.broken.Load().malform(n)
	return s.rpc.Send(&gnmi.SubscribeResponse{Response: &gnmi.SubscribeResponse_Update{Update: n}})
}

// start begins the timers of a watch, after the initial values.
func (w *watch) start(root *node, now time.Time) {
	w.sent = root
	if w.sample > 0 {
		w.nextTick = now.Add(w.sample)
	}
	if w.heartbeat > 0 {
		w.nextBeat = now.Add(w.heartbeat)
	}
}

// timer fires when the next sample or heartbeat of any watch is due; it is nil
// when there are none.
func (s *subscription) timer() <-chan time.Time {
	var next time.Time
	for _, w := range s.watches {
		for _, t := range []time.Time{w.nextTick, w.nextBeat} {
			if !t.IsZero() && (next.IsZero() || t.Before(next)) {
				next = t
			}
		}
	}
	if next.IsZero() {
		return nil
	}
	return time.After(time.Until(next))
}

// tick sends the heartbeats and samples that are due.
func (s *subscription) tick(root *node, now time.Time) error {
	for _, w := range s.watches {
		beat, sample := due(&w.nextBeat, w.heartbeat, now), due(&w.nextTick, w.sample, now)
		if !beat && !sample || w.sample == 0 && s.target.broken.Load().mute() {
			continue
		}
		if err := s.sample(w, beat, root, now); err != nil {
			return err
		}
		w.sent = root
	}
	return nil
}

// sample sends all values of a watch. Where it suppresses what is redundant, it
// sends what changed since the last time, and all at a heartbeat; then it tells of
// deletes as well, which the silence would hide (gNMI 3.5.1.5.2).
func (s *subscription) sample(w *watch, beat bool, root *node, now time.Time) error {
	if !w.suppress {
		return s.values([]*watch{w}, root)
	}
	var b batch
	b.collect([]*watch{w}, w.sent, root)
	if !beat {
		return s.send(b, now, 0)
	}
	b.updates = nil
	if err := s.send(b, now, 0); err != nil {
		return err
	}
	return s.values([]*watch{w}, root)
}

// due moves a deadline that has passed on to the next one after now.
func due(at *time.Time, every time.Duration, now time.Time) bool {
	if at.IsZero() || now.Before(*at) {
		return false
	}
	for !now.Before(*at) {
		*at = at.Add(every)
	}
	return true
}

// batch is what one notification, or a series of them, has to say. A path is
// updated once, however many watches see it (gNMI 2.1).
type batch struct {
	deletes []*gnmi.Path
	updates []change
	silent  [][]step // what is never told of
	full    func()   // empties updates when they reach maxUpdates; nil: they are collected
}

type change struct {
	path  *gnmi.Path
	datum datum
}

// collect compares two trees as the watches see them.
func (b *batch) collect(watches []*watch, old, now *node) {
	patterns := 0
	for _, w := range watches {
		patterns += len(w.patterns)
	}
	first := func(map[string]bool, *gnmi.Path) bool { return true }
	if patterns > 1 {
		first = func(seen map[string]bool, p *gnmi.Path) bool {
			id := pathText(p.GetElem())
			again := seen[id]
			seen[id] = true
			return !again
		}
	}
	deleted, updated := map[string]bool{}, map[string]bool{}
	d := differ{
		deleted: func(path []step) {
			if p := gnmiPath(path); !b.hushed(path) && first(deleted, p) {
				b.deletes = append(b.deletes, p)
			}
		},
		updated: func(path []step, d datum) {
			if p := gnmiPath(path); !b.hushed(path) && first(updated, p) {
				b.updates = append(b.updates, change{p, d})
			}
			if b.full != nil && len(b.updates) >= maxUpdates {
				b.full()
			}
		},
	}
	for _, w := range watches {
		for _, p := range w.patterns {
			d.along(p, old, now, nil)
		}
	}
}

// hushed: the path is one that is never told of.
func (b *batch) hushed(path []step) bool {
	return slices.ContainsFunc(b.silent, func(p []step) bool { return covers(p, path) })
}

// feed is what a stream has yet to send: trees, oldest first. It never blocks
// the one who pushes.
type feed struct {
	ready chan struct{} // holds one token while there is something to take

	mu      sync.Mutex
	pending []pending
}

type pending struct {
	root      *node
	at        time.Time
	coalesced uint32  // trees that were left out before this one
	faults    *broken // those at that time
}

// push appends a tree; with too many waiting it takes the place of the last.
func (f *feed) push(p pending) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.pending); n >= maxPending {
		p.coalesced = f.pending[n-1].coalesced + 1
		f.pending[n-1] = p
		return
	}
	f.pending = append(f.pending, p)
	select {
	case f.ready <- struct{}{}:
	default:
	}
}

func (f *feed) take() []pending {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.pending
	f.pending = nil
	return p
}

// follow starts a feed: the tree now, and from then on each later one.
func (t *Target) follow() (*node, *feed) {
	f := &feed{ready: make(chan struct{}, 1)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.feeds[f] = struct{}{}
	return t.view, f
}

// awaitNews is closed when the faults change.
func (t *Target) awaitNews() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.news
}

func (t *Target) leave(f *feed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.feeds, f)
}
