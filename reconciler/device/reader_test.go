package device

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/device/sim"
)

type rpc = grpc.BidiStreamingServer[gnmi.SubscribeRequest, gnmi.SubscribeResponse]

const interfaces = `{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":9000},"state":{"mtu":9000,"oper-status":"UP"}},{"name":"mgmt0","state":{"name":"mgmt0"}}]}`

// TestLadderEndsAtWhatTheTargetAnswers goes through the gaps that targets have:
// Get without CONFIG, no Get at all.
func TestLadderEndsAtWhatTheTargetAnswers(t *testing.T) {
	want := mustParse(t, `{"interfaces":{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":9000}}]}}`)
	refused := 0
	only := func(kind gnmi.GetRequest_DataType, code codes.Code) *fake {
		return &fake{get: func(ctx context.Context, req *gnmi.GetRequest) (*gnmi.GetResponse, error) {
			if req.GetType() != kind {
				refused++
				return nil, status.Error(code, "unsupported request type")
			}
			return answering(map[string]string{"interfaces": interfaces})(ctx, req)
		}}
	}
	syncing := &fake{subscribe: func(list *gnmi.SubscriptionList, s rpc) error {
		if list.GetMode() != gnmi.SubscriptionList_ONCE {
			return status.Error(codes.Unimplemented, "ONCE only")
		}
		if list.GetSubscription()[0].GetPath().GetElem()[0].GetName() == "interfaces" {
			if err := s.Send(updateOf(t, "/interfaces", ietf(interfaces))); err != nil {
				return err
			}
		}
		return s.Send(synced())
	}}
	for name, c := range map[string]struct {
		f    *fake
		rung string
	}{
		"ALL, CONFIG is Unimplemented":   {only(gnmi.GetRequest_ALL, codes.Unimplemented), "get-all"},
		"ALL, CONFIG is InvalidArgument": {only(gnmi.GetRequest_ALL, codes.InvalidArgument), "get-all"},
		"ALL, CONFIG is Unknown":         {only(gnmi.GetRequest_ALL, codes.Unknown), "get-all"},
		"Subscribe only":                 {syncing, "once"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				refused = 0
				target, _ := c.f.reach(t)
				s := dial(t, target)
				if len(s.Rungs()) > 0 {
					t.Errorf("rungs before they are proved: %v", s.Rungs())
				}
				for range 2 { // on the way down, and from the proved rung
					got, err := s.Running(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if !got.Equal(want) {
						t.Errorf("got %s", got.Canonical())
					}
				}
				if diff := cmp.Diff(map[string]string{"read": c.rung}, s.Rungs()); diff != "" {
					t.Error(diff)
				}
				if refused > 1 {
					t.Errorf("asked %d times for what was refused", refused)
				}
			})
		})
	}
}

func TestEntriesWithoutConfigBelongToConfigIfConfigWasAsked(t *testing.T) {
	target, _ := (&fake{get: answering(map[string]string{"interfaces": interfaces})}).reach(t)
	got, err := dial(t, target).Running(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := mustParse(t, `{"interfaces":{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":9000}},{"name":"mgmt0"}]}}`)
	if !got.Equal(want) {
		t.Errorf("got %s", got.Canonical())
	}
}

// TestFailedReadIsNeverATree is the law of this package: only NotFound and an OK
// mean that something is not there.
func TestFailedReadIsNeverATree(t *testing.T) {
	failing := func(code codes.Code) *fake {
		return &fake{get: func(ctx context.Context, req *gnmi.GetRequest) (*gnmi.GetResponse, error) {
			if req.GetPath()[0].GetElem()[0].GetName() == "system" {
				return nil, status.Error(code, "because")
			}
			return answering(map[string]string{"interfaces": interfaces})(ctx, req)
		}}
	}
	giving := func(text string) *fake { return &fake{get: answering(map[string]string{"system": text})} }
	for name, c := range map[string]struct {
		f    *fake
		want error
		says string
	}{
		"NotFound":                     {failing(codes.NotFound), nil, ""},
		"Unavailable":                  {failing(codes.Unavailable), ErrUnreachable, "because"},
		"Unauthenticated":              {failing(codes.Unauthenticated), ErrUnauthenticated, "because"},
		"PermissionDenied":             {failing(codes.PermissionDenied), ErrUnauthenticated, "because"},
		"ResourceExhausted":            {failing(codes.ResourceExhausted), ErrPartialRead, "because"},
		"Aborted":                      {failing(codes.Aborted), ErrPartialRead, "because"},
		"Internal on a proved rung":    {failing(codes.Internal), ErrPartialRead, "because"},
		"Unimplemented, proved rung":   {failing(codes.Unimplemented), ErrPartialRead, "because"},
		"InvalidArgument, proved rung": {failing(codes.InvalidArgument), ErrPartialRead, "because"},
		"no Get, no Subscribe":         {&fake{}, ErrPartialRead, "get-config: refused (Unimplemented: no Get); get-all: refused (Unimplemented: no Get); once: refused (Unimplemented: no Subscribe)"},
		"no JSON":                      {giving(`{"config":`), ErrPartialRead, "/system: the value is no JSON"},
		"not an object":                {giving(`[1]`), ErrPartialRead, "/system"},
		"an entry twice":               {giving(`{"dns":{"servers":{"server":[{"address":"192.0.2.1"},{"address":"192.0.2.1"}]}}}`), ErrPartialRead, "192.0.2.1"},
		"an entry without its key":     {giving(`{"dns":{"servers":{"server":[{"config":{}}]}}}`), ErrPartialRead, "address"},
		"an empty object":              {giving(`{}`), nil, ""},
		"null":                         {giving(`null`), nil, ""},
		"an empty value":               {giving(``), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			target, _ := c.f.reach(t)
			got, err := dial(t, target).Running(t.Context())
			if c.want != nil {
				wraps(t, err, c.want, address, c.says)
				if got != nil {
					t.Errorf("a tree besides the error: %s", got.Canonical())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Lookup(path(t, "/system")) != nil {
				t.Errorf("got %s", got.Canonical())
			}
		})
	}
}

func TestHangingTargetIsUnreachableAfterTheReadTimeout(t *testing.T) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for name, f := range map[string]*fake{
		"Get": {get: func(ctx context.Context, _ *gnmi.GetRequest) (*gnmi.GetResponse, error) { return nil, hang(ctx) }},
		"Subscribe ONCE": {subscribe: func(_ *gnmi.SubscriptionList, s rpc) error {
			if err := s.Send(updateOf(t, "/interfaces", ietf(interfaces))); err != nil {
				return err
			}
			return hang(s.Context())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				target, _ := f.reach(t)
				_, err := dial(t, target).Running(t.Context())
				wraps(t, err, ErrUnreachable, address, "no answer in time")
				if strings.Contains(err.Error(), "RST_STREAM") || strings.Count(err.Error(), "deadline") > 1 {
					t.Errorf("%v says how the library gave up", err)
				}
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v does not wrap the deadline", err)
				}
			})
		})
	}
}

func TestCancelledReadSaysSo(t *testing.T) {
	asked := make(chan struct{})
	f := &fake{get: func(ctx context.Context, _ *gnmi.GetRequest) (*gnmi.GetResponse, error) {
		close(asked)
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	target, _ := f.reach(t)
	s := dial(t, target)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if _, err := s.Running(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestStreamThatEndsBeforeItsSyncIsNoRead has the ways in which a target ends a
// stream; gnmic takes the last for an orderly end.
func TestStreamThatEndsBeforeItsSyncIsNoRead(t *testing.T) {
	for name, end := range map[string]error{
		"without a status":       nil,
		"cancelled by itself":    status.Error(codes.Canceled, "enough"),
		"reset by the target":    status.Error(codes.Unavailable, "shutting down"),
		"out of memory, it says": status.Error(codes.ResourceExhausted, "out of memory"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{subscribe: func(_ *gnmi.SubscriptionList, s rpc) error {
					if err := s.Send(updateOf(t, "/interfaces", ietf(interfaces))); err != nil {
						return err
					}
					return end
				}}
				target, _ := f.reach(t)
				got, err := dial(t, target).Running(t.Context())
				if err == nil || got != nil || len(sentinels(err)) != 1 {
					t.Errorf("got %v, %v", got, err)
				}
			})
		})
	}
}

// TestSilentSyncIsBelievedOnlyOfATargetThatAnswers: a target that syncs an empty
// container and one that does not know the path look the same.
func TestSilentSyncIsBelievedOnlyOfATargetThatAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		speaks string // the one container that the target gives a value for
		manage []string
		want   error
	}{
		"another managed container speaks": {"interfaces", []string{"/interfaces", "/system"}, nil},
		"a container not managed speaks":   {"components", []string{"/lldp"}, nil},
		"nothing speaks":                   {"", []string{"/interfaces", "/system"}, ErrPartialRead},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{subscribe: func(list *gnmi.SubscriptionList, s rpc) error {
					if root := list.GetSubscription()[0].GetPath().GetElem()[0].GetName(); root == c.speaks {
						if err := s.Send(updateOf(t, "/"+root, ietf(`{"x":1}`))); err != nil {
							return err
						}
					}
					return s.Send(synced())
				}}
				target, _ := f.reach(t)
				target.Scope = scope(t, c.manage...)
				got, err := dial(t, target).Running(t.Context())
				if c.want != nil {
					wraps(t, err, c.want, "nothing shows that it would")
					return
				}
				if err != nil || !got.IsEmpty() {
					t.Errorf("got %v, %v", got, err)
				}
			})
		})
	}
}

func TestAnswersLargerThanGRPCsOwnLimitAreRead(t *testing.T) {
	text := fmt.Sprintf(`{"interface":[{"name":"Ethernet0","config":{"description":"%05000000d"}}`, 0)
	target, _ := (&fake{get: answering(map[string]string{"interfaces": text + "]}"})}).reach(t)
	got, err := dial(t, target).Running(t.Context())
	if err != nil || got.IsEmpty() {
		t.Errorf("got %v", err)
	}
}

func TestRunningIsWhatTheTargetHasWithinTheScope(t *testing.T) {
	raw := leafSwitch(t)
	whole := mustParse(t, string(raw))
	for name, manage := range map[string][]string{
		"all":    {"/"},
		"part":   {"/interfaces/interface[name=Ethernet1*]", "/network-instances", "!/network-instances/network-instance/vlans"},
		"leaves": {"/system/config/hostname", "/lldp"},
	} {
		t.Run(name, func(t *testing.T) {
			_, target := reachSim(t, sim.Config{Initial: raw})
			target.Scope = scope(t, manage...)
			got, err := dial(t, target).Running(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if want := target.Scope.Filter(whole); want.IsEmpty() || !got.Equal(want) {
				t.Errorf("got\n%s\nwant\n%s", got.Canonical(), want.Canonical())
			}
		})
	}
}

func TestOneGetPerContainerAndNeverTheRoot(t *testing.T) {
	var asked []string
	f := &fake{get: func(ctx context.Context, req *gnmi.GetRequest) (*gnmi.GetResponse, error) {
		for _, p := range req.GetPath() {
			if len(p.GetElem()) != 1 {
				t.Errorf("asked for %v", p)
			}
			asked = append(asked, p.GetElem()[0].GetName())
		}
		return answering(nil)(ctx, req)
	}}
	target, _ := f.reach(t)
	target.Scope = scope(t, "/interfaces/interface[name=Ethernet1]", "/interfaces/interface[name=Ethernet2]/config", "/system/dns")
	if _, err := dial(t, target).Running(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"interfaces", "system"}, asked); diff != "" {
		t.Error(diff)
	}
}

func path(t testing.TB, text string) tree.Path {
	t.Helper()
	p, err := tree.ParsePath(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func updateOf(t testing.TB, at string, v *gnmi.TypedValue) *gnmi.SubscribeResponse {
	return notify(&gnmi.Notification{Update: []*gnmi.Update{{Path: wirePath(t, at), Val: v}}})
}

func notify(n *gnmi.Notification) *gnmi.SubscribeResponse {
	return &gnmi.SubscribeResponse{Response: &gnmi.SubscribeResponse_Update{Update: n}}
}

func synced() *gnmi.SubscribeResponse {
	return &gnmi.SubscribeResponse{Response: &gnmi.SubscribeResponse_SyncResponse{SyncResponse: true}}
}

// TestPartsOfOneSumAreTheSame: what a target answers twice has one sum, whenever it
// says so, and another as soon as anything differs.
func TestPartsOfOneSumAreTheSame(t *testing.T) {
	said := func(stamp int64, value string) []*gnmi.Notification {
		return []*gnmi.Notification{{Timestamp: stamp, Update: []*gnmi.Update{{Path: wirePath(t, "/system"), Val: ietf(value)}}}}
	}
	one := said(1, `{"config":{"hostname":"a"}}`)
	base := answer{getConfig, one}.sum()
	for name, c := range map[string]struct {
		a    answer
		same bool
	}{
		"again, later":   {answer{getConfig, said(2, `{"config":{"hostname":"a"}}`)}, true},
		"another value":  {answer{getConfig, said(1, `{"config":{"hostname":"b"}}`)}, false},
		"another rung":   {answer{getAll, one}, false},
		"nothing":        {answer{getConfig, nil}, false},
		"said twice":     {answer{getConfig, slices.Concat(one, one)}, false},
		"another place":  {answer{getConfig, []*gnmi.Notification{{Update: []*gnmi.Update{{Path: wirePath(t, "/system/config"), Val: one[0].Update[0].Val}}}}}, false},
		"under a prefix": {answer{getConfig, []*gnmi.Notification{{Prefix: wirePath(t, "/system"), Update: one[0].Update}}}, false},
	} {
		if got := c.a.sum() == base; got != c.same {
			t.Errorf("%s: the same: %v", name, got)
		}
	}
}

func TestReadAsksForNoMoreThanItIsToldTo(t *testing.T) {
	_, target := reachSim(t, sim.Config{Initial: leafSwitch(t)})
	s := dial(t, target)
	all, err := s.Read(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	some, err := s.Read(t.Context(), []string{"system"})
	if err != nil || len(some) != 1 || len(all) < 3 {
		t.Fatal(len(some), len(all), err)
	}
	for _, p := range all {
		if p.Root == "system" && p.Sum != some[0].Sum {
			t.Error("/system has another sum when it is read alone")
		}
	}
	got, leaves, err := some[0].Parse()
	if err != nil || got.Top("system") == nil || len(got.Root().Members()) != 1 || leaves == 0 {
		t.Error(got.Root().Members(), leaves, err)
	}
}

// BenchmarkRead is a device that is as it was before: nothing is parsed.
func BenchmarkRead(b *testing.B) {
	_, target := reachSim(b, sim.Config{Initial: leafSwitch(b)})
	s := dial(b, target)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Read(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRunning(b *testing.B) {
	_, target := reachSim(b, sim.Config{Initial: leafSwitch(b)})
	s := dial(b, target)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Running(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
