package device

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/device/sim"
	"github.com/setpoint-net/setpoint/reconciler/plan"
)

// TestApplyMakesATargetRunWhatIsIntended goes the whole way on a target that
// shares no code with plan and tree.
func TestApplyMakesATargetRunWhatIsIntended(t *testing.T) {
	raw := string(leafSwitch(t))
	full := mustParse(t, raw)
	edited := full
	for _, p := range []string{"/acl/acl-sets/acl-set[name=ACL-0][type=ACL_IPV4]", "/interfaces/interface[name=Ethernet1]/config/description", "/system/dns"} {
		edited = edited.ReplaceAt(path(t, p), nil)
	}
	edited, _ = tree.Merge(edited, mustParse(t, `{"interfaces":{"interface":[{"name":"Ethernet2","config":{"name":"Ethernet2","mtu":1234}},{"name":"Loopback77","config":{"name":"Loopback77","type":"softwareLoopback"}}]},
		"system":{"dns":{"servers":{"server":[{"address":"192.0.2.2","config":{"address":"192.0.2.2"}},{"address":"192.0.2.1","config":{"address":"192.0.2.1"}}]}}}}`))
	empty := tree.Empty(tree.OpenConfig())

	device, target := reachSim(t, sim.Config{})
	s := dial(t, target)
	for i, intended := range []*tree.Tree{full, edited, full, empty} {
		running, err := s.Running(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Apply(t.Context(), plan.Diff(running, intended)); err != nil {
			t.Fatal(err)
		}
		running, err = s.Running(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if rest := plan.Diff(running, intended); !rest.Empty() {
			t.Errorf("step %d: left over: %s", i, plan.Brief(rest, 500))
		}
		if device.Sets() != i+1 {
			t.Errorf("step %d: %d Sets", i, device.Sets())
		}
	}
	if diff := cmp.Diff(map[string]string{"read": "get-config", "write": "set"}, s.Rungs()); diff != "" {
		t.Error(diff)
	}
}

func TestEmptyPlanIsNotSent(t *testing.T) {
	device, target := reachSim(t, sim.Config{})
	if err := dial(t, target).Apply(t.Context(), &plan.Plan{}); err != nil || device.Sets() != 0 {
		t.Errorf("%v, %d Sets", err, device.Sets())
	}
}

func TestRejectedSetNamesTheReason(t *testing.T) {
	device, target := reachSim(t, sim.Config{Refuse: []string{"/system/aaa"}})
	s := dial(t, target)
	p := somePlan(t, `{"interfaces":{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1"}}]},"system":{"aaa":{"authentication":{"config":{"authentication-method":["LOCAL"]}}}}}`)
	err := s.Apply(t.Context(), p)
	wraps(t, err, ErrRejected, address, "InvalidArgument", "/system/aaa", "(0 deletes, 2 replaces, 0 updates)")
	if got := string(device.Config()); got != "{}" {
		t.Errorf("the target holds %s", got)
	}
	if _, ok := s.Rungs()["write"]; ok {
		t.Error("a refused Set proves the rung")
	}
}

// somePlan brings an empty target to a configuration.
func somePlan(t testing.TB, intended string) *plan.Plan {
	return plan.Diff(tree.Empty(tree.OpenConfig()), mustParse(t, intended))
}

const hostname = `{"system":{"config":{"hostname":"leaf01"}}}`

func TestOutcomeOfASetDecidesWhatIsNext(t *testing.T) {
	for name, c := range map[string]struct {
		code codes.Code
		text string
		want error
	}{
		"InvalidArgument":              {codes.InvalidArgument, "mtu: 99999 is above 9216", ErrRejected},
		"NotFound":                     {codes.NotFound, "no such path", ErrRejected},
		"Unimplemented":                {codes.Unimplemented, "no replace", ErrRejected},
		"PermissionDenied":             {codes.PermissionDenied, "read only", ErrRejected},
		"OutOfRange":                   {codes.OutOfRange, "vlan 5000", ErrRejected},
		"FailedPrecondition":           {codes.FailedPrecondition, "the clock is blocked", ErrRejected},
		"Aborted":                      {codes.Aborted, "commit check failed", ErrRejected},
		"Internal":                     {codes.Internal, "commit check failed", ErrRejected},
		"Unknown":                      {codes.Unknown, "commit check failed", ErrRejected},
		"locked":                       {codes.Aborted, "candidate is locked by admin", nil},
		"exclusive":                    {codes.FailedPrecondition, "configure exclusive", nil},
		"commit pending":               {codes.FailedPrecondition, "a commit confirmed is pending", nil},
		"ResourceExhausted":            {codes.ResourceExhausted, "too many sessions", nil},
		"Unauthenticated":              {codes.Unauthenticated, "password expired", ErrUnauthenticated},
		"Unavailable, from the target": {codes.Unavailable, "restarting", ErrUnknownOutcome},
		"DeadlineExceeded, its own":    {codes.DeadlineExceeded, "commit took too long", ErrUnknownOutcome},
		"Canceled, its own":            {codes.Canceled, "given up", ErrUnknownOutcome},
		"a stream that broke":          {codes.Internal, "stream terminated by RST_STREAM with error code: INTERNAL_ERROR", ErrUnknownOutcome},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{set: func(context.Context, *gnmi.SetRequest) (*gnmi.SetResponse, error) {
				return nil, status.Error(c.code, c.text)
			}}
			target, _ := f.reach(t)
			err := dial(t, target).Apply(t.Context(), somePlan(t, hostname))
			wraps(t, err, c.want, address)
		})
	}
}

func TestSetWithoutAnAnswerHasAnUnknownOutcome(t *testing.T) {
	arrived := make(chan struct{}, 1)
	hanging := &fake{set: func(ctx context.Context, _ *gnmi.SetRequest) (*gnmi.SetResponse, error) {
		arrived <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	t.Run("in time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			arrived = make(chan struct{}, 1)
			target, _ := hanging.reach(t)
			err := dial(t, target).Apply(t.Context(), somePlan(t, hostname))
			wraps(t, err, ErrUnknownOutcome, address, "not answered in time")
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v does not wrap the deadline", err)
			}
		})
	})
	t.Run("because we gave up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			arrived = make(chan struct{}, 1)
			target, _ := hanging.reach(t)
			s := dial(t, target)
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-arrived; cancel() }()
			wraps(t, s.Apply(ctx, somePlan(t, hostname)), ErrUnknownOutcome, "given up")
		})
	})
	t.Run("because the connection broke", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			arrived = make(chan struct{}, 1)
			target, p := hanging.reach(t)
			s := dial(t, target)
			go func() { <-arrived; p.cut() }()
			wraps(t, s.Apply(t.Context(), somePlan(t, hostname)), ErrUnknownOutcome, "connection broke")
		})
	})
}

func TestSetThatWasNotSentIsNotUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{set: func(context.Context, *gnmi.SetRequest) (*gnmi.SetResponse, error) {
			t.Error("the target got a Set")
			return &gnmi.SetResponse{}, nil
		}}
		target, p := f.reach(t)
		s := dial(t, target)
		p.Close()
		p.cut()
		synctest.Wait()
		wraps(t, s.Apply(t.Context(), somePlan(t, hostname)), ErrUnreachable, address)

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Apply(ctx, somePlan(t, hostname)); !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestSecretsThatATargetRepeatsAreMasked(t *testing.T) {
	f := &fake{set: func(_ context.Context, req *gnmi.SetRequest) (*gnmi.SetResponse, error) {
		return nil, status.Errorf(codes.InvalidArgument, "not strong enough: %q in %s", "hunter2", req)
	}}
	target, _ := f.reach(t)
	err := dial(t, target).Apply(t.Context(), somePlan(t, `{"system":{"aaa":{"authentication":{"users":{"user":[{"username":"ops","config":{"username":"ops","password":"hunter2"}}]},
		"admin-user":{"config":{"admin-password":"s\"lash"}}}}}}`))
	wraps(t, err, ErrRejected, "(secret)", "ops")
	for _, secret := range []string{"hunter2", `s"lash`, `s\"lash`} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%v shows %s", err, secret)
		}
	}
}

// TestSetRequestIsThePlan holds the wire form: paths as elements, ready-made
// JSON_IETF, no origin.
func TestSetRequestIsThePlan(t *testing.T) {
	var got *gnmi.SetRequest
	f := &fake{set: func(_ context.Context, req *gnmi.SetRequest) (*gnmi.SetResponse, error) {
		got = req
		return &gnmi.SetResponse{}, nil
	}}
	target, _ := f.reach(t)
	running := mustParse(t, `{"interfaces":{"interface":[{"name":"a]\\b","config":{"name":"a]\\b","mtu":1}},{"name":"gone"}]}}`)
	intended := mustParse(t, `{"interfaces":{"interface":[{"name":"a]\\b","config":{"name":"a]\\b","mtu":2,"type":"ethernetCsmacd"}},{"name":"new"}]}}`)
	if err := dial(t, target).Apply(t.Context(), plan.Diff(running, intended)); err != nil {
		t.Fatal(err)
	}
	elem := func(name string) *gnmi.PathElem {
		return &gnmi.PathElem{Name: "interface", Key: map[string]string{"name": name}}
	}
	one := &gnmi.Path{Elem: []*gnmi.PathElem{{Name: "interfaces"}, elem(`a]\b`), {Name: "config"}, {Name: "mtu"}}}
	kind := &gnmi.Path{Elem: []*gnmi.PathElem{{Name: "interfaces"}, elem(`a]\b`), {Name: "config"}, {Name: "type"}}}
	want := &gnmi.SetRequest{
		Delete:  []*gnmi.Path{{Elem: []*gnmi.PathElem{{Name: "interfaces"}, elem("gone")}}},
		Replace: []*gnmi.Update{{Path: &gnmi.Path{Elem: []*gnmi.PathElem{{Name: "interfaces"}, elem("new")}}, Val: ietf(`{"name":"new"}`)}},
		Update:  []*gnmi.Update{{Path: one, Val: ietf(`2`)}, {Path: kind, Val: ietf(`"iana-if-type:ethernetCsmacd"`)}},
	}
	if diff := cmp.Diff(want.String(), got.String()); diff != "" {
		t.Error(diff)
	}
}
