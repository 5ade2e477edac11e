package sim

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const mtu = ifc + "/config/mtu"

// watching is a stream on the interfaces that has synced.
func (c *client) watching(mode gnmi.SubscriptionMode) *reader {
	c.t.Helper()
	l := list1(c.t, gnmi.SubscriptionList_STREAM, &gnmi.Subscription{Path: p(c.t, "/interfaces"), Mode: mode})
	l.UpdatesOnly = true
	r := c.subscribe(deadline(c.t), l)
	r.wants("sync")
	return r
}

// bubble runs a test on time of its own, against a target with two interfaces.
func bubble(t *testing.T, f func(t *testing.T, c *client)) {
	synctest.Test(t, func(t *testing.T) { f(t, start(t, twoInterfaces)) })
}

func TestATargetWithoutOnChange(t *testing.T) {
	c := start(t, twoInterfaces)
	open := c.watching(gnmi.SubscriptionMode_ON_CHANGE)
	c.breaks(Faults{NoOnChange: "refuse"})
	c.subscribe(deadline(t), list1(t, gnmi.SubscriptionList_STREAM, onChange(t, "/interfaces"))).ends(codes.InvalidArgument)
	c.breaks(Faults{NoOnChange: "silent"})
	r := c.watching(gnmi.SubscriptionMode_ON_CHANGE)
	c.update(mtu, "9000")
	c.breaks(Faults{})
	c.update(mtu, "9001")
	for _, r := range []*reader{r, open} {
		r.wants(mtu + " 9001")
	}
}

func TestATargetThatWantsAnOriginIsSilentWithoutIt(t *testing.T) {
	c := start(t, twoInterfaces)
	c.breaks(Faults{Origin: "openconfig"})
	list := func(mode gnmi.SubscriptionList_Mode, origin string) *gnmi.SubscriptionList {
		path := p(t, mtu)
		path.Origin = origin
		return list1(t, mode, &gnmi.Subscription{Path: path, Mode: gnmi.SubscriptionMode_ON_CHANGE})
	}
	c.subscribe(deadline(t), list(gnmi.SubscriptionList_ONCE, "")).wants("sync")
	ctx, cancel := context.WithCancel(deadline(t))
	deaf := c.subscribe(ctx, list(gnmi.SubscriptionList_STREAM, ""))
	deaf.wants("sync")
	open := c.subscribe(deadline(t), list(gnmi.SubscriptionList_STREAM, "openconfig"))
	open.wants(mtu + " 1500")
	open.wants("sync")
	c.update(mtu, "9000")
	open.wants(mtu + " 9000")
	cancel()
	deaf.ends(codes.Canceled)
}

func TestATargetThatTakesScalarsForLeavesRefusesJSONThere(t *testing.T) {
	c := start(t, twoInterfaces)
	c.breaks(Faults{Leaves: "scalar"})
	set := func(path string, v *gnmi.TypedValue) codes.Code {
		_, err := c.Set(deadline(t), &gnmi.SetRequest{Update: []*gnmi.Update{{Path: p(t, path), Val: v}}})
		return status.Code(err)
	}
	json := func(text string) *gnmi.TypedValue {
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: []byte(text)}}
	}
	for _, u := range []struct {
		path string
		v    *gnmi.TypedValue
		want codes.Code
	}{
		{mtu, json("9000"), codes.Internal},
		{mtu, &gnmi.TypedValue{Value: &gnmi.TypedValue_UintVal{UintVal: 9000}}, codes.OK},
		{ifc + "/config", json(`{"mtu": 9001}`), codes.OK},
	} {
		if got := set(u.path, u.v); got != u.want {
			t.Errorf("%s as %v: %s, want %s", u.path, u.v, got, u.want)
		}
	}
}

func TestTargetDefinedIsSampledWithoutOnChange(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		c.breaks(Faults{NoOnChange: "refuse"})
		r := c.watching(gnmi.SubscriptionMode_TARGET_DEFINED)
		c.update(mtu, "9000")
		began := time.Now()
		if got := r.next(); !slices.Contains(got, mtu+" 9000") || time.Since(began) != targetSample {
			t.Errorf("after %v: %q", time.Since(began), got)
		}
	})
}

func TestSomeNotificationsAreLostAndNoMore(t *testing.T) {
	c := start(t, twoInterfaces)
	c.breaks(Faults{LoseNotifications: 2})
	r := c.watching(gnmi.SubscriptionMode_ON_CHANGE)
	for _, v := range []string{"1", "2", "3"} {
		c.update(mtu, v)
	}
	r.wants(mtu + " 3")
	if n := c.target.Faults().LoseNotifications; n != 0 {
		t.Errorf("%d are still to be lost", n)
	}
}

func TestAPathIsSilentAfterSync(t *testing.T) {
	c := start(t, twoInterfaces)
	c.breaks(Faults{SilentPath: []string{"/interfaces/interface/config/mtu"}})
	r := c.watching(gnmi.SubscriptionMode_ON_CHANGE)
	c.update(mtu, "9000")
	c.update(ifc+"/config", `{"mtu":9001,"enabled":true}`)
	r.wants(ifc + "/config/enabled true")
}

func TestATargetEndsStreams(t *testing.T) {
	tests := map[string]struct {
		once, always Faults
		code         codes.Code
	}{
		"with OK":   {Faults{CloseStream: "once"}, Faults{CloseStream: "always"}, codes.OK},
		"by cancel": {Faults{CancelStream: "once"}, Faults{CancelStream: "always"}, codes.Canceled},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := start(t, twoInterfaces)
			open := c.watching(gnmi.SubscriptionMode_ON_CHANGE)
			c.breaks(tt.once)
			open.ends(tt.code)
			if f := c.target.Faults(); f.CloseStream+f.CancelStream != "" {
				t.Errorf("still broken: %+v", f)
			}
			next := c.watching(gnmi.SubscriptionMode_ON_CHANGE)
			c.update(mtu, "9000")
			next.wants(mtu + " 9000")
			c.breaks(tt.always)
			next.ends(tt.code)
			c.watching(gnmi.SubscriptionMode_ON_CHANGE).ends(tt.code)
			c.watching(gnmi.SubscriptionMode_ON_CHANGE).ends(tt.code)
		})
	}
}

func TestNotificationsAreMalformed(t *testing.T) {
	tests := map[string]func(*gnmi.SubscribeResponse, error) bool{
		"": func(m *gnmi.SubscribeResponse, err error) bool {
			return err == nil && slices.Equal(lines(m.GetUpdate()), []string{mtu + " 9000"})
		},
		"path": func(m *gnmi.SubscribeResponse, err error) bool {
			return err == nil && m.GetUpdate().GetUpdate()[0].GetPath().GetElem()[0].GetName() == "no-such-node"
		},
		"value": func(m *gnmi.SubscribeResponse, err error) bool {
			return err == nil && checkJSON(m.GetUpdate().GetUpdate()[0].GetVal().GetJsonIetfVal()) != nil
		},
		"oversized": func(_ *gnmi.SubscribeResponse, err error) bool {
			return status.Code(err) == codes.ResourceExhausted
		},
	}
	for kind, is := range tests {
		t.Run(cmp.Or(kind, "not at all"), func(t *testing.T) {
			c := start(t, twoInterfaces)
			r := c.watching(gnmi.SubscriptionMode_ON_CHANGE)
			c.breaks(Faults{Malformed: kind})
			c.update(mtu, "9000")
			if m, err := r.Recv(); !is(m, err) {
				t.Errorf("got %v, %v", m, err)
			}
		})
	}
}

func TestRPCsAreSlowOrHang(t *testing.T) {
	rpcs := map[string]func(context.Context, *client) error{
		"get": func(ctx context.Context, c *client) error { _, err := c.Get(ctx, &gnmi.GetRequest{}); return err },
		"set": func(ctx context.Context, c *client) error { _, err := c.Set(ctx, &gnmi.SetRequest{}); return err },
		"subscribe": func(ctx context.Context, c *client) error {
			_, err := c.subscribe(ctx, list1(c.t, gnmi.SubscriptionList_ONCE, onChange(c.t, "/"))).Recv()
			return err
		},
	}
	took := func(c *client, rpc string) (time.Duration, codes.Code) {
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		err := rpcs[rpc](ctx, c)
		return time.Since(began), status.Code(err)
	}
	for rpc := range rpcs {
		t.Run(rpc, func(t *testing.T) {
			bubble(t, func(t *testing.T, c *client) {
				c.breaks(Faults{Delay: map[string]Duration{rpc: Duration(3 * time.Second)}})
				for other := range rpcs {
					want := 3 * time.Second
					if other != rpc {
						want = 0
					}
					if d, code := took(c, other); d != want || code != codes.OK {
						t.Errorf("%s is delayed, %s takes %v: %v", rpc, other, d, code)
					}
				}
				c.breaks(Faults{Hang: []string{rpc}})
				if d, code := took(c, rpc); d != time.Minute || code != codes.DeadlineExceeded {
					t.Errorf("hanging %s: %v after %v", rpc, code, d)
				}
				c.breaks(Faults{})
				if d, code := took(c, rpc); d != 0 || code != codes.OK {
					t.Errorf("mended %s: %v after %v", rpc, code, d)
				}
			})
		})
	}
}

func TestWhatGetDoesNotAnswer(t *testing.T) {
	c := start(t, `{"openconfig-system:system":{"config":{"hostname":"a"}},"openconfig-lldp:lldp":{"config":{"enabled":true}}}`)
	get := func(typ gnmi.GetRequest_DataType, path string) codes.Code {
		_, err := c.Get(deadline(t), &gnmi.GetRequest{Type: typ, Path: []*gnmi.Path{p(t, path)}})
		return status.Code(err)
	}
	tests := []struct {
		faults   Faults
		all      codes.Code // a Get of type ALL of /system
		config   codes.Code // of type CONFIG
		leaf     codes.Code // of type ALL, of a leaf below
		root     codes.Code
		anything codes.Code // of /lldp
	}{
		{Faults{}, codes.OK, codes.OK, codes.OK, codes.OK, codes.OK},
		{Faults{GetUnimplemented: true}, codes.Unimplemented, codes.Unimplemented, codes.Unimplemented, codes.Unimplemented, codes.Unimplemented},
		{Faults{GetAllOnly: "unimplemented"}, codes.OK, codes.Unimplemented, codes.OK, codes.OK, codes.OK},
		{Faults{GetAllOnly: "invalid-argument"}, codes.OK, codes.InvalidArgument, codes.OK, codes.OK, codes.OK},
		{Faults{PartialGet: "/system"}, codes.Internal, codes.Internal, codes.Internal, codes.Internal, codes.OK},
	}
	for _, tt := range tests {
		c.breaks(tt.faults)
		got := []codes.Code{
			get(gnmi.GetRequest_ALL, "/system"), get(gnmi.GetRequest_CONFIG, "/system"), get(gnmi.GetRequest_ALL, "/system/config/hostname"),
			get(gnmi.GetRequest_ALL, "/"), get(gnmi.GetRequest_ALL, "/lldp"),
		}
		if want := []codes.Code{tt.all, tt.config, tt.leaf, tt.root, tt.anything}; !slices.Equal(got, want) {
			t.Errorf("%+v: got %v, want %v", tt.faults, got, want)
		}
	}
}

func TestALockRefusesEverySet(t *testing.T) {
	c := start(t, twoInterfaces)
	req := &gnmi.SetRequest{Update: []*gnmi.Update{up(t, mtu, "9000")}}
	for word, code := range lockCodes {
		c.breaks(Faults{Lock: word})
		c.refused(req, code, "locked by CLI")
	}
	c.breaks(Faults{})
	c.set(req)
}

func TestWhatComesBeforeAFailureStays(t *testing.T) {
	req := func(t *testing.T) *gnmi.SetRequest {
		return &gnmi.SetRequest{
			Delete: []*gnmi.Path{p(t, "/interfaces/interface[name=Ethernet2]")},
			Update: []*gnmi.Update{up(t, mtu, "9000"), up(t, "/system/config/hostname", `"a"`), up(t, ifc+"/config/enabled", "true")},
		}
	}
	c := start(t, twoInterfaces)
	c.breaks(Faults{NonAtomic: true, Refuse: []string{"/system"}})
	r := c.watching(gnmi.SubscriptionMode_ON_CHANGE)
	if _, err := c.Set(deadline(t), req(t)); status.Code(err) != codes.InvalidArgument {
		t.Errorf("Set: %v", err)
	}
	c.holds(`{"openconfig-interfaces:interfaces":{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":9000,"description":"one"}}]}}`)
	r.wants("-/interfaces/interface[name=Ethernet2]", mtu+" 9000")

	c = start(t, twoInterfaces)
	c.breaks(Faults{NonAtomic: true})
	bad := req(t)
	bad.Update[1] = up(t, ifc+"/config/mtu", "99999")
	if _, err := c.Set(deadline(t), bad); status.Code(err) != codes.InvalidArgument {
		t.Errorf("Set: %v", err)
	}
	c.holds(`{"openconfig-interfaces:interfaces":{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":9000,"description":"one"}}]}}`)
}

func TestTheAnswerToASetIsLost(t *testing.T) {
	for word, code := range map[string]codes.Code{"hang": codes.DeadlineExceeded, "cut": codes.Unavailable} {
		bubble(t, func(t *testing.T, c *client) {
			c.breaks(Faults{LoseAnswer: word})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := c.Set(ctx, &gnmi.SetRequest{Update: []*gnmi.Update{up(t, mtu, "9000")}})
			if status.Code(err) != code {
				t.Errorf("%s: %v", word, err)
			}
			if got := c.eventually(mtu); got != "9000" {
				t.Errorf("%s: mtu %s", word, got)
			}
			c.breaks(Faults{})
			c.update(mtu, "9001")
		})
	}
}

func TestTheClockIsSkewed(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		r := c.watching(gnmi.SubscriptionMode_ON_CHANGE)
		c.breaks(Faults{ClockSkew: Duration(-time.Hour)})
		want := time.Now().Add(-time.Hour).UnixNano()
		set := c.set(&gnmi.SetRequest{Update: []*gnmi.Update{up(t, mtu, "9000")}})
		told, err := r.Recv()
		if err != nil {
			t.Fatal(err)
		}
		get, err := c.Get(t.Context(), &gnmi.GetRequest{Path: []*gnmi.Path{{}}})
		if err != nil {
			t.Fatal(err)
		}
		for what, got := range map[string]int64{
			"Set": set.GetTimestamp(), "Subscribe": told.GetUpdate().GetTimestamp(), "Get": get.GetNotification()[0].GetTimestamp(),
		} {
			if got != want {
				t.Errorf("%s: %v, want %v", what, time.Unix(0, got), time.Unix(0, want))
			}
		}
	})
}

func TestARebootGoesBackToTheStartupConfiguration(t *testing.T) {
	c := start(t, twoInterfaces)
	r := c.watching(gnmi.SubscriptionMode_ON_CHANGE)
	c.update(mtu, "9000")
	r.wants(mtu + " 9000")
	c.target.Reboot()
	if m, err := r.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream goes on: %v, %v", m, err)
	}
	if got := c.eventually(mtu); got != "1500" {
		t.Errorf("mtu %s after a reboot", got)
	}
	c.update(mtu, "9001")
	c.target.SaveStartup()
	c.update(mtu, "9002")
	c.target.Reboot()
	if got := c.eventually(mtu); got != "9001" {
		t.Errorf("mtu %s after a reboot with a saved configuration", got)
	}
}

// eventually is shows once there is a connection again.
func (c *client) eventually(path string) string {
	c.t.Helper()
	resp, err := c.Get(deadline(c.t), &gnmi.GetRequest{Path: []*gnmi.Path{p(c.t, path)}, Encoding: gnmi.Encoding_JSON_IETF}, grpc.WaitForReady(true))
	for status.Code(err) == codes.Unavailable {
		resp, err = c.Get(deadline(c.t), &gnmi.GetRequest{Path: []*gnmi.Path{p(c.t, path)}, Encoding: gnmi.Encoding_JSON_IETF}, grpc.WaitForReady(true))
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(string(resp.GetNotification()[0].GetUpdate()[0].GetVal().GetJsonIetfVal()))
}
