package device

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/setpoint-net/setpoint/models/tree"
)

// TestSurveyReadsEachContainerByItself: what one container needs or refuses says
// nothing about the next.
func TestSurveyReadsEachContainerByItself(t *testing.T) {
	f := &fake{get: func(ctx context.Context, req *gnmi.GetRequest) (*gnmi.GetResponse, error) {
		name := req.GetPath()[0].GetElem()[0].GetName()
		switch {
		case name == "acl":
			return nil, status.Error(codes.InvalidArgument, "no such path")
		case name == "system" && req.GetType() == gnmi.GetRequest_CONFIG:
			return nil, status.Error(codes.Unimplemented, "no such type")
		}
		return answering(map[string]string{
			"interfaces": `{"interface":[{"name":"e1","config":{"name":"e1","colour":"red","mtu":"wide"},"state":{"mtu":1}}]}`,
			"system":     `{"config":{"hostname":"x"},"state":{"hostname":"x","mood":"good"}}`,
		})(ctx, req)
	}, subscribe: func(*gnmi.SubscriptionList, rpc) error { return status.Error(codes.Unimplemented, "no") }}
	synctest.Test(t, func(t *testing.T) {
		target, _ := f.reach(t)
		var err error
		if target.Scope, err = tree.NewScope(tree.OpenConfig(), []string{"/acl", "/interfaces", "/system"}); err != nil {
			t.Fatal(err)
		}
		all, err := dial(t, target).Survey(t.Context())
		if err != nil || len(all) != 3 {
			t.Fatalf("%d containers, %v", len(all), err)
		}
		if acl := all[0]; acl.Name != "acl" || acl.Err == nil || !strings.Contains(acl.Err.Error(), "no such path") || acl.Tree != nil {
			t.Errorf("acl: %+v", acl)
		}
		interfaces, system := all[1], all[2]
		if interfaces.Rung != "get-config" || interfaces.Leaves != 2 || interfaces.Bytes == 0 {
			t.Errorf("interfaces: %+v", interfaces)
		}
		for _, path := range []string{"/interfaces/interface[name=e1]/config/colour", "/interfaces/interface[name=e1]/config/mtu"} {
			if !slices.ContainsFunc(interfaces.Unknown, func(u string) bool { return strings.HasPrefix(u, path) }) {
				t.Errorf("%s is not told: %q", path, interfaces.Unknown)
			}
		}
		if system.Rung != "get-all" || system.Leaves != 1 || len(system.Unknown) > 0 {
			t.Errorf("system: %+v", system)
		}
	})
}

func TestSurveyEndsWithTheConnection(t *testing.T) {
	f := &fake{get: func(context.Context, *gnmi.GetRequest) (*gnmi.GetResponse, error) {
		return nil, status.Error(codes.Unauthenticated, "who?")
	}}
	synctest.Test(t, func(t *testing.T) {
		target, _ := f.reach(t)
		if all, err := dial(t, target).Survey(t.Context()); err == nil || all != nil {
			t.Errorf("%v, %v", all, err)
		}
	})
}

// TestStreamsTellsTheRungAndNeedsNoMoreThanTheSync: on-change refused is sampled,
// and silence is an error once ctx has ended.
func TestStreamsTellsTheRungAndNeedsNoMoreThanTheSync(t *testing.T) {
	sampled := func(list *gnmi.SubscriptionList, s rpc) error {
		if list.GetSubscription()[0].GetMode() == gnmi.SubscriptionMode_ON_CHANGE {
			return status.Error(codes.InvalidArgument, "no")
		}
		if err := s.Send(synced()); err != nil {
			return err
		}
		<-s.Context().Done()
		return nil
	}
	silent := func(_ *gnmi.SubscriptionList, s rpc) error {
		<-s.Context().Done()
		return nil
	}
	for name, c := range map[string]struct {
		stream func(*gnmi.SubscriptionList, rpc) error
		want   string
	}{"sampled": {sampled, "sample"}, "silent": {silent, ""}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				target, _ := (&fake{subscribe: c.stream}).reach(t)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				got, err := dial(t, target).Streams(ctx)
				if got != c.want || (err == nil) != (c.want != "") {
					t.Errorf("%q, %v", got, err)
				}
			})
		})
	}
}
