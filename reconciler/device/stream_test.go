//lint:file-ignore SA1019 Targets still send the deprecated forms.

package device

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/setpoint-net/setpoint/reconciler/device/sim"
	"github.com/setpoint-net/setpoint/reconciler/plan"
)

// watching runs Watch and counts its calls.
type watching struct {
	calls  chan string // the top container of each
	cancel context.CancelFunc
	done   chan error
}

// stop ends it, and end waits for it to end by itself; both give its error.
func (w *watching) stop() error { w.cancel(); return w.end() }
func (w *watching) end() error  { return <-w.done }

func watch(t testing.TB, s *Session) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	w := &watching{calls: make(chan string, 1000), cancel: cancel, done: make(chan error, 1)}
	go func() { w.done <- s.Watch(ctx, func(root string) { w.calls <- root }) }()
	return w
}

// heard waits for a call.
func (w *watching) heard(t testing.TB) {
	t.Helper()
	select {
	case <-w.calls:
	case <-t.Context().Done():
		t.Fatal("no call")
	}
}

func TestWatchTellsTheSyncAndEachChange(t *testing.T) {
	_, target := reachSim(t, sim.Config{Initial: leafSwitch(t)})
	s, other := dial(t, target), dial(t, target)
	w := watch(t, s)
	w.heard(t) // synced
	for _, name := range []string{"one", "two"} {
		running, err := other.Running(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		intended := mustParse(t, `{"system":{"config":{"hostname":"`+name+`"}}}`)
		if err := other.Apply(t.Context(), plan.Diff(scope(t, "/system/config/hostname").Filter(running), intended)); err != nil {
			t.Fatal(err)
		}
		w.heard(t)
	}
	if got := s.Rungs()["watch"]; got != "on-change" {
		t.Errorf("watched by %q", got)
	}
	if err := w.stop(); err != nil {
		t.Errorf("Watch: %v", err)
	}
}

// script is a stream: what the target sends, and how it ends.
func script(responses []*gnmi.SubscribeResponse, end error) *fake {
	return &fake{subscribe: func(_ *gnmi.SubscriptionList, s rpc) error {
		for _, r := range responses {
			if err := s.Send(r); err != nil {
				return err
			}
		}
		if end != errStays {
			return end
		}
		<-s.Context().Done()
		return nil
	}}
}

var errStays = errors.New("the stream stays")

func TestWatchEndsWithAnErrorHoweverTheStreamEnds(t *testing.T) {
	sync := []*gnmi.SubscribeResponse{synced()}
	for name, c := range map[string]struct {
		f     *fake
		calls int
		want  error
		says  string
	}{
		"no sync in time":        {script(nil, errStays), 0, ErrUnreachable, "no answer in time"},
		"ended before the sync":  {script(nil, nil), 0, ErrUnreachable, "before its sync"},
		"ended after the sync":   {script(sync, nil), 1, ErrUnreachable, "ended the stream"},
		"cancelled by itself":    {script(sync, status.Error(codes.Canceled, "enough")), 1, ErrUnreachable, "ended the stream"},
		"shut down":              {script(sync, status.Error(codes.Unavailable, "shutting down")), 1, ErrUnreachable, "shutting down"},
		"broken":                 {script(sync, status.Error(codes.Internal, "oops")), 1, ErrUnreachable, "oops"},
		"not let in":             {script(nil, status.Error(codes.Unauthenticated, "who?")), 0, ErrUnauthenticated, "who?"},
		"too many subscriptions": {script(nil, status.Error(codes.ResourceExhausted, "too many")), 0, ErrPartialRead, "too many"},
		"no streams at all":      {script(nil, status.Error(codes.Unimplemented, "no streams")), 0, nil, "streams no changes"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				target, _ := c.f.reach(t)
				calls := 0
				err := dial(t, target).Watch(t.Context(), func(string) { calls++ })
				wraps(t, err, c.want, address, c.says)
				if calls != c.calls {
					t.Errorf("%d calls, want %d", calls, c.calls)
				}
			})
		})
	}
}

func TestWatchEndsQuietlyWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, responses := range [][]*gnmi.SubscribeResponse{nil, {synced()}} {
			target, _ := script(responses, errStays).reach(t)
			w := watch(t, dial(t, target))
			synctest.Wait()
			if err := w.stop(); err != nil {
				t.Errorf("after %v: %v", responses, err)
			}
		}
	})
}

func TestWatchSurvivesNothingOfABrokenConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, p := script([]*gnmi.SubscribeResponse{synced()}, errStays).reach(t)
		w := watch(t, dial(t, target))
		w.heard(t)
		p.cut()
		wraps(t, w.end(), ErrUnreachable, address)
	})
}

// TestInitialValuesAreAskedForOnlyWhereTheyMustBe watches targets that stream
// updates only, that refuse to, and that never sync when asked to.
func TestInitialValuesAreAskedForOnlyWhereTheyMustBe(t *testing.T) {
	for name, c := range map[string]struct {
		updatesOnly func(rpc) error
		lists       int
	}{
		"streams updates only": {func(s rpc) error { return s.Send(synced()) }, 1},
		"refuses":              {func(rpc) error { return status.Error(codes.InvalidArgument, "updates_only?") }, 2},
		"never syncs":          {func(rpc) error { return nil }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var asked []bool
				f := &fake{subscribe: func(list *gnmi.SubscriptionList, s rpc) error {
					mu.Lock()
					asked = append(asked, list.GetUpdatesOnly())
					mu.Unlock()
					answer := func(s rpc) error { return s.Send(synced()) }
					if list.GetUpdatesOnly() {
						answer = c.updatesOnly
					}
					if err := answer(s); err != nil {
						return err
					}
					<-s.Context().Done()
					return nil
				}}
				target, _ := f.reach(t)
				s := dial(t, target)
				w := watch(t, s)
				w.heard(t)
				mu.Lock()
				defer mu.Unlock()
				if len(asked) != c.lists || !asked[0] {
					t.Errorf("updates only was asked for: %v", asked)
				}
				if got := s.Rungs()["watch"]; got != "on-change" {
					t.Errorf("the watch rung is %q", got)
				}
				if err := w.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestTargetWithoutOnChangeIsSampled(t *testing.T) {
	for _, code := range []codes.Code{codes.Unimplemented, codes.InvalidArgument} {
		t.Run(code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{subscribe: func(list *gnmi.SubscriptionList, s rpc) error {
					sub := list.GetSubscription()[0]
					if sub.GetMode() == gnmi.SubscriptionMode_ON_CHANGE {
						return status.Error(code, "no on-change here")
					}
					if err := s.Send(synced()); err != nil {
						return err
					}
					for {
						select {
						case <-s.Context().Done():
							return nil
						case <-time.After(time.Duration(sub.GetSampleInterval())):
							if err := s.Send(updateOf(t, "/system/config/hostname", text("x"))); err != nil {
								return err
							}
						}
					}
				}}
				target, _ := f.reach(t)
				s := dial(t, target)
				began := time.Now()
				w := watch(t, s)
				w.heard(t)
				w.heard(t)
				if took := time.Since(began); took != 10*time.Second {
					t.Errorf("sampled after %s", took)
				}
				if diff := cmp.Diff(map[string]string{"watch": "sample"}, s.Rungs()); diff != "" {
					t.Error(diff)
				}
				if err := w.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestOnlyWhatMayBeManagedConfigIsTold: a target that streams counters must not
// be read every second for them.
func TestOnlyWhatMayBeManagedConfigIsTold(t *testing.T) {
	const one = "/interfaces/interface[name=Ethernet1]"
	updates := func(at string, v *gnmi.TypedValue) *gnmi.SubscribeResponse {
		return notify(&gnmi.Notification{Update: []*gnmi.Update{{Path: anyPath(t, at), Val: v}}})
	}
	interfaces, anywhere := []string{"interfaces"}, []string{""}
	for name, c := range map[string]struct {
		r    *gnmi.SubscribeResponse
		want []string // the top container that it is told for; none: it is not told
	}{
		"a managed leaf":             {updates(one+"/config/mtu", number(1)), interfaces},
		"a managed leaf, prefixed":   {notify(&gnmi.Notification{Prefix: wirePath(t, one), Update: []*gnmi.Update{update(t, "/config/mtu", number(1))}}), interfaces},
		"a container":                {updates("/interfaces", ietf(`{}`)), interfaces},
		"state":                      {updates(one+"/state/counters/in-octets", number(1)), nil},
		"a leaf that is not managed": {updates("/interfaces/interface[name=mgmt0]/config/mtu", number(1)), nil},
		"another model":              {updates("/vendor:stuff/x", number(1)), nil},
		"a managed entry goes":       {notify(&gnmi.Notification{Delete: []*gnmi.Path{wirePath(t, one)}}), interfaces},
		"everything goes":            {notify(&gnmi.Notification{Delete: []*gnmi.Path{{}}}), anywhere},
		"state goes":                 {notify(&gnmi.Notification{Delete: []*gnmi.Path{anyPath(t, one+"/state")}}), nil},
		"state, and then config": {notify(&gnmi.Notification{Update: []*gnmi.Update{
			{Path: anyPath(t, one+"/state/mtu"), Val: number(1)}, {Path: anyPath(t, one+"/config/mtu"), Val: number(1)},
		}}), interfaces},
		"a path in the old form": {notify(&gnmi.Notification{Update: []*gnmi.Update{{Path: &gnmi.Path{Element: []string{"a"}}}}}), anywhere},
		"two containers": {notify(&gnmi.Notification{Update: []*gnmi.Update{
			{Path: anyPath(t, one+"/config/mtu"), Val: number(1)}, {Path: anyPath(t, "/system/config"), Val: ietf(`{}`)},
		}}), anywhere},
		"nothing":       {notify(&gnmi.Notification{}), nil},
		"a second sync": {synced(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				target, _ := script([]*gnmi.SubscribeResponse{updateOf(t, one+"/config/mtu", number(2)), synced(), c.r}, errStays).reach(t)
				target.Scope = scope(t, "/interfaces/interface[name=Ethernet*]")
				w := watch(t, dial(t, target))
				synctest.Wait()
				<-w.calls // synced
				var got []string
				for range len(w.calls) {
					got = append(got, <-w.calls)
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("told %q, want %q", got, c.want)
				}
				if err := w.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestNothingIsLeftRunning does everything that starts a goroutine, many times:
// the bubble does not end while one is left.
func TestNothingIsLeftRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := script([]*gnmi.SubscribeResponse{updateOf(t, "/interfaces", ietf(interfaces)), synced()}, errStays)
		for range 20 {
			target, p := f.reach(t)
			s, err := Dial(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Running(t.Context()); err != nil {
				t.Fatal(err)
			}
			w := watch(t, s)
			w.heard(t)
			if err := s.Close(); err != nil { // under a running Watch
				t.Fatal(err)
			}
			wraps(t, w.end(), ErrUnreachable)
			p.Close()
			target.Dialer = p.dial
			if _, err := Dial(t.Context(), target); err == nil {
				t.Error("dialled a target that is gone")
			}
		}
	})
}
