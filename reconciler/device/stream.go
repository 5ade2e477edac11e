package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmic/pkg/api/target"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/setpoint-net/setpoint/models/tree"
)

// stream is one Subscribe RPC, from its request to its end. gnmic's own
// reconnecting is kept out of it: two connections would be mixed on one channel,
// and what was missed in between would not show.
type stream struct {
	cancel    context.CancelFunc
	responses chan *target.SubscribeResponse
	errs      chan *target.TargetError
	err       error // the stream's end, once known
}

// subscribe begins a stream that ends with ctx or close, one of which has to
// come.
func (s *Session) subscribe(ctx context.Context, list *gnmi.SubscriptionList) *stream {
	ctx, cancel := context.WithCancel(ctx)
	req := &gnmi.SubscribeRequest{Request: &gnmi.SubscribeRequest_Subscribe{Subscribe: list}}
	st := &stream{cancel: cancel}
	st.responses, st.errs = s.client.SubscribeChan(ctx, req, strconv.FormatUint(s.streams.Add(1), 10))
	return st
}

// next gives the next response. A stream that the target ended is an error in
// every case, also where gnmic takes it for an orderly end: a status of
// cancelled that the target sent, or an end without a status.
func (st *stream) next(ctx context.Context) (*gnmi.SubscribeResponse, error) {
	for st.err == nil {
		select {
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		case r, ok := <-st.responses:
			if ok {
				return r.Response, nil
			}
			st.err = errEnded
		case e, ok := <-st.errs:
			if ok {
				st.err = e.Err
			}
			st.errs = nil // closed before responses, which may still hold one
		}
	}
	if ctx.Err() != nil {
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	select {
	case r, ok := <-st.responses: // sent before the error
		if ok {
			return r.Response, nil
		}
	default:
	}
	if errors.Is(st.err, io.EOF) {
		return nil, errEnded
	}
	return nil, st.err
}

// sampleEvery is the interval of the stream that replaces ON_CHANGE where a target
// refuses that.
const sampleEvery = 10 * time.Second

// errEnded is a stream that the target ended without saying why.
var errEnded = status.Error(codes.Unavailable, "the target ended the stream")

// close ends the stream and waits for its goroutine.
func (st *stream) close() {
	st.cancel()
	for range st.responses {
	}
}

// Watch subscribes to the managed containers and calls changed once after the
// initial sync, and then for every notification that may concern managed
// config. It says that something may have changed, and in which top container as
// far as that is sure ("" where it is not), never what. changed is called
// from one goroutine, and the stream waits while it runs: it has to be quick.
//
// The values at the start are not asked for, as whoever watches reads (gNMI
// 3.5.1.2, updates_only); a target that does not stream so is asked for them.
//
// A target that refuses ON_CHANGE is sampled every 10 seconds; Rungs tells. Watch
// returns nil when ctx ends, and otherwise an error: the stream broke, never
// synced within ReadTimeout, or was refused. It does not reconnect: what was
// missed in between has to be read, so the caller reads and watches again.
func (s *Session) Watch(ctx context.Context, changed func(root string)) error {
	err := s.watch(ctx, "on-change", changed)
	var no *refusal
	if !s.initial.Load() && (errors.As(err, &no) || errors.Is(err, context.DeadlineExceeded)) && ctx.Err() == nil {
		s.initial.Store(true)
		err = s.watch(ctx, "on-change", changed)
	}
	if errors.As(err, &no) {
		s.t.Log.InfoContext(ctx, "target refuses on-change, sampling", "device", s.t.Name, "every", sampleEvery, "err", no)
		err = s.watch(ctx, "sample", changed)
	}
	switch {
	case ctx.Err() != nil:
		return nil
	case errors.As(err, &no):
		return fmt.Errorf("watch %s: the target streams no changes: %s", s.t.Address, no)
	}
	return fmt.Errorf("watch %s: %w", s.t.Address, err)
}

// watch is one stream. Its error is a refusal if the target does not stream
// this way.
func (s *Session) watch(ctx context.Context, how string, changed func(root string)) error {
	st := s.subscribe(ctx, s.watchList(how))
	defer st.close()
	if err := s.sync(ctx, st); err != nil {
		return err
	}
	s.proved("watch", how)
	changed("")
	for {
		r, err := st.next(ctx)
		if err != nil {
			return streamError(err)
		}
		if root, ok := s.concerns(r.GetUpdate()); ok {
			changed(root)
		}
	}
}

func (s *Session) watchList(how string) *gnmi.SubscriptionList {
	list := &gnmi.SubscriptionList{Mode: gnmi.SubscriptionList_STREAM, Encoding: s.encoding, UpdatesOnly: !s.initial.Load()}
	for _, root := range s.t.Scope.Roots() {
		sub := &gnmi.Subscription{Path: s.rootPath(root), Mode: gnmi.SubscriptionMode_ON_CHANGE}
		if how == "sample" {
			sub.Mode = gnmi.SubscriptionMode_SAMPLE
			sub.SampleInterval = uint64(sampleEvery.Nanoseconds())
			sub.SuppressRedundant = true
		}
		list.Subscription = append(list.Subscription, sub)
	}
	return list
}

// sync reads the initial values away. Some targets never sync, so it has a
// deadline.
func (s *Session) sync(ctx context.Context, st *stream) error {
	ctx, cancel := context.WithTimeout(ctx, s.t.ReadTimeout)
	defer cancel()
	for {
		r, err := st.next(ctx)
		switch {
		case errors.Is(err, errEnded):
			return fmt.Errorf("%w: the target ended the stream before its sync", ErrUnreachable)
		case err != nil:
			return streamError(err)
		case r.GetSyncResponse():
			return nil
		}
	}
}

func streamError(err error) error {
	err = readError(err)
	var no *refusal
	if errors.As(err, &no) && no.code != codes.Unimplemented && no.code != codes.InvalidArgument {
		return fmt.Errorf("%w: the stream broke: %s: %s", ErrUnreachable, no.code, no.text)
	}
	return err
}

// concerns reports whether a notification may be about managed config, and about
// which top container; "" if about more than one, or one that it does not name. It
// errs towards yes and towards more; a no is for what the schema shows to be state,
// or the scope to be somebody else's.
func (s *Session) concerns(n *gnmi.Notification) (string, bool) {
	root, does := "", false
	meets := func(path *gnmi.Path) {
		if does && (root == "" || top(n.GetPrefix(), path) == root) {
			return // nothing new, and there may be thousands
		}
		name, ok := s.concernsPath(n.GetPrefix(), path)
		switch {
		case !ok:
		case !does:
			root, does = name, true
		case root != name:
			root = ""
		}
	}
	for _, p := range n.GetDelete() {
		meets(p)
	}
	for _, u := range n.GetUpdate() {
		meets(u.GetPath())
	}
	return root, does
}

// top is the first name of a path, as it came.
func top(prefix, path *gnmi.Path) string {
	for _, p := range []*gnmi.Path{prefix, path} {
		if elems := p.GetElem(); len(elems) > 0 {
			return elems[0].GetName()
		}
	}
	return ""
}

func (s *Session) concernsPath(prefix, path *gnmi.Path) (root string, does bool) {
	steps, err := resolve(s.t.Schema, prefix, path)
	switch {
	case errors.Is(err, errUnknownNode):
		return "", false
	case err != nil || len(steps) == 0:
		return "", true
	}
	switch steps[len(steps)-1].node.Kind {
	case tree.Leaf, tree.LeafList:
		does = s.t.Scope.Contains(pathOf(steps))
	default:
		does = true
	}
	return steps[0].node.Name, does
}
