package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
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

// reader is one Subscribe RPC as a client sees it.
type reader struct {
	grpc.BidiStreamingClient[gnmi.SubscribeRequest, gnmi.SubscribeResponse]
	t testing.TB
}

func (c *client) subscribe(ctx context.Context, l *gnmi.SubscriptionList) *reader {
	c.t.Helper()
	s, err := c.Subscribe(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	err = s.Send(&gnmi.SubscribeRequest{Request: &gnmi.SubscribeRequest_Subscribe{Subscribe: l}})
	if err != nil && !errors.Is(err, io.EOF) { // Recv will say why it is closed
		c.t.Fatal(err)
	}
	return &reader{s, c.t}
}

func list1(t testing.TB, mode gnmi.SubscriptionList_Mode, subs ...*gnmi.Subscription) *gnmi.SubscriptionList {
	return &gnmi.SubscriptionList{Mode: mode, Encoding: gnmi.Encoding_JSON_IETF, Subscription: subs}
}

func onChange(t testing.TB, path string) *gnmi.Subscription {
	return &gnmi.Subscription{Path: p(t, path), Mode: gnmi.SubscriptionMode_ON_CHANGE}
}

// next is the next message: its lines, or "sync".
func (r *reader) next() []string {
	r.t.Helper()
	m, err := r.Recv()
	if err != nil {
		r.t.Fatalf("Recv: %v", err)
	}
	if m.GetSyncResponse() {
		return []string{"sync"}
	}
	if n := m.GetUpdate().GetTimestamp(); n < 9e17 {
		r.t.Errorf("timestamp %d is not in nanoseconds", n)
	}
	return lines(m.GetUpdate())
}

func (r *reader) wants(want ...string) {
	r.t.Helper()
	if got := r.next(); !slices.Equal(got, want) {
		r.t.Fatalf("got  %q\nwant %q", got, want)
	}
}

// ends checks how the RPC ends.
func (r *reader) ends(want codes.Code) {
	r.t.Helper()
	m, err := r.Recv()
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if status.Code(err) != want || m != nil {
		r.t.Errorf("got %v, %v, want the end with %v", m, err, want)
	}
}

const oneInterface = `{"openconfig-interfaces:interfaces":{"interface":[{"name":"e1","config":{"name":"e1","mtu":1500}}]}}`

// The leaves of oneInterface, as a subscription to /interfaces tells them.
var oneInterfaceLines = []string{
	`/interfaces/interface[name=e1]/name "e1"`, `/interfaces/interface[name=e1]/config/mtu 1500`, `/interfaces/interface[name=e1]/config/name "e1"`,
}

func sorted(lines []string) []string { return slices.Sorted(slices.Values(lines)) }

// gNMI 3.5.1.5.1: all values leaf by leaf, one sync_response, the end.
func TestOnceSendsValuesThenSyncThenEnds(t *testing.T) {
	c := start(t, oneInterface)
	r := c.subscribe(deadline(t), list1(t, gnmi.SubscriptionList_ONCE, onChange(t, "/interfaces")))
	if got := r.next(); !slices.Equal(sorted(got), sorted(oneInterfaceLines)) {
		t.Errorf("got %q", got)
	}
	r.wants("sync")
	r.ends(codes.OK)
}

// gNMI 3.5.1.3: a path that does not exist yet is no error.
func TestOnceOnAnAbsentPathSyncs(t *testing.T) {
	c := start(t, oneInterface)
	r := c.subscribe(deadline(t), list1(t, gnmi.SubscriptionList_ONCE, onChange(t, "/interfaces/interface[name=e2]")))
	r.wants("sync")
	r.ends(codes.OK)
}

func TestOnceOfALargeConfigurationComesInBoundedNotifications(t *testing.T) {
	c := serve(t, Config{Initial: leafSwitch(t)})
	r := c.subscribe(deadline(t), list1(t, gnmi.SubscriptionList_ONCE, onChange(t, "/")))
	seen, n := map[string]bool{}, 0
	for {
		got := r.next()
		if slices.Equal(got, []string{"sync"}) {
			break
		}
		if len(got) > maxUpdates {
			t.Errorf("%d updates in one notification", len(got))
		}
		for _, l := range got {
			path, _, _ := strings.Cut(l, " ")
			seen[path] = true
			n++
		}
	}
	if n < 4000 || len(seen) != n {
		t.Errorf("%d updates of %d paths", n, len(seen))
	}
}

func TestALargeChangeIsToldInFull(t *testing.T) {
	c := start(t, oneInterface)
	l := list1(t, gnmi.SubscriptionList_STREAM, onChange(t, "/"))
	r := c.subscribe(deadline(t), l)
	seen := mirror{}
	for range 2 {
		m, err := r.Recv()
		if err != nil {
			t.Fatal(err)
		}
		seen.apply(m.GetUpdate())
	}
	c.replace("/", string(leafSwitch(t)))
	want := c.target.leaves()
	for !maps.Equal(want, seen) {
		m, err := r.Recv()
		if err != nil {
			t.Fatalf("%d of %d leaves were told: %v", len(seen), len(want), err)
		}
		seen.apply(m.GetUpdate())
	}
}

// gNMI 3.5.1.5.3: each Poll is answered by all values and a sync_response.
func TestPollAnswersEachPoll(t *testing.T) {
	c := start(t, oneInterface)
	const mtu = "/interfaces/interface[name=e1]/config/mtu"
	r := c.subscribe(deadline(t), list1(t, gnmi.SubscriptionList_POLL, onChange(t, mtu)))
	r.wants(mtu + " 1500")
	r.wants("sync")
	poll := func() {
		t.Helper()
		if err := r.Send(&gnmi.SubscribeRequest{Request: &gnmi.SubscribeRequest_Poll{Poll: &gnmi.Poll{}}}); err != nil {
			t.Fatal(err)
		}
	}
	c.update(mtu, "9000")
	poll()
	r.wants(mtu + " 9000")
	r.wants("sync")
	c.remove(mtu)
	poll()
	r.wants("sync")
	if err := r.CloseSend(); err != nil {
		t.Fatal(err)
	}
	r.ends(codes.OK)
}

// gNMI 3.5.1.5.2, 3.5.2.3: on change only what changed is told, deletes
// explicitly and first.
func TestOnChangeTellsExactlyWhatChanged(t *testing.T) {
	c := start(t, oneInterface)
	l := list1(t, gnmi.SubscriptionList_STREAM, onChange(t, "/interfaces"), onChange(t, "/system/dns"), onChange(t, "/interfaces/interface[name=e1]/config"))
	l.Prefix = &gnmi.Path{Target: "leaf01"}
	r := c.subscribe(deadline(t), l)
	if got := r.next(); !slices.Equal(sorted(got), sorted(oneInterfaceLines)) {
		t.Errorf("got %q", got)
	}
	r.wants("sync")

	const e1 = "/interfaces/interface[name=e1]"
	c.update(e1+"/config/mtu", "1500") // no change
	c.update("/lldp/config/enabled", "true")
	c.update(e1+"/config/mtu", "9000")
	r.wants(e1 + "/config/mtu 9000")
	c.replace(e1+"/config", `{"description":"d","enabled":true}`)
	r.wants("-"+e1+"/config/mtu", e1+`/config/description "d"`, e1+`/config/enabled true`)
	c.update("/interfaces/interface[name=e2]/subinterfaces/subinterface[index=0]/config/enabled", "true")
	const e2 = "/interfaces/interface[name=e2]"
	if got, want := r.next(), []string{
		e2 + `/name "e2"`, e2 + `/config/name "e2"`, e2 + "/subinterfaces/subinterface[index=0]/index 0",
		e2 + "/subinterfaces/subinterface[index=0]/config/enabled true", e2 + "/subinterfaces/subinterface[index=0]/config/index 0",
	}; !slices.Equal(sorted(got), sorted(want)) {
		t.Errorf("got %q", got)
	}
	c.remove(e2 + "/subinterfaces")
	r.wants("-" + e2 + "/subinterfaces")
	c.set(&gnmi.SetRequest{
		Delete:  []*gnmi.Path{p(t, e2)},
		Replace: []*gnmi.Update{up(t, search, `["a"]`)},
	})
	r.wants("-"+e2, search+` ["a"]`)
	c.remove("/")
	if got := r.next(); !slices.Equal(sorted(got), []string{"-/interfaces", "-/interfaces/interface[name=e1]/config", "-/system/dns"}) {
		t.Errorf("got %q", got)
	}
}

func TestStreamEchoesTheTarget(t *testing.T) {
	c := start(t, oneInterface)
	for _, target := range []string{"leaf01", ""} {
		l := list1(t, gnmi.SubscriptionList_STREAM, onChange(t, "/interface[name=e1]/config/mtu"))
		l.Prefix = &gnmi.Path{Target: target, Elem: p(t, "/interfaces").Elem}
		r := c.subscribe(deadline(t), l)
		m, err := r.Recv()
		if err != nil || m.GetUpdate().GetPrefix().GetTarget() != target {
			t.Errorf("got %v, %v, want target %q", m, err, target)
		}
		if got := lines(m.GetUpdate()); !slices.Equal(got, []string{"/interfaces/interface[name=e1]/config/mtu 1500"}) {
			t.Errorf("got %q", got)
		}
	}
}

func TestWildcardsSeeOnlyWhatTheyName(t *testing.T) {
	c := start(t, oneInterface)
	r := c.subscribe(deadline(t), list1(t, gnmi.SubscriptionList_STREAM, onChange(t, "/interfaces/interface[name=*]/config/mtu"), onChange(t, "/*/config")))
	r.wants("/interfaces/interface[name=e1]/config/mtu 1500")
	r.wants("sync")
	c.update("/interfaces/interface[name=e2]/config/description", `"x"`)
	c.update("/interfaces/interface[name=e2]/config/mtu", "2000")
	r.wants("/interfaces/interface[name=e2]/config/mtu 2000")
	c.update("/lldp/config/enabled", "true")
	r.wants("/lldp/config/enabled true")
	c.remove("/interfaces") // told at the level of the subscription, never above
	r.wants("-/interfaces/interface[name=e1]/config/mtu", "-/interfaces/interface[name=e2]/config/mtu")
}

// gNMI 3.5.1.2: with updates_only the present is not told.
func TestUpdatesOnlyStartsWithSync(t *testing.T) {
	const mtu = "/interfaces/interface[name=e1]/config/mtu"
	c := start(t, oneInterface)
	for _, mode := range []gnmi.SubscriptionList_Mode{gnmi.SubscriptionList_ONCE, gnmi.SubscriptionList_POLL, gnmi.SubscriptionList_STREAM} {
		l := list1(t, mode, onChange(t, mtu))
		l.UpdatesOnly = true
		r := c.subscribe(deadline(t), l)
		r.wants("sync")
		switch mode {
		case gnmi.SubscriptionList_ONCE:
			r.ends(codes.OK)
		case gnmi.SubscriptionList_POLL:
			if err := r.Send(&gnmi.SubscribeRequest{Request: &gnmi.SubscribeRequest_Poll{Poll: &gnmi.Poll{}}}); err != nil {
				t.Fatal(err)
			}
			r.wants(mtu + " 1500")
			r.wants("sync")
		case gnmi.SubscriptionList_STREAM:
			c.update(mtu, "9000")
			r.wants(mtu + " 9000")
		}
	}
}

// RFC 7950 section 7.8.6: another order of an ordered list is a change, told by
// removing the entries and making them again.
func TestReorderedListIsToldAgain(t *testing.T) {
	c := start(t, "")
	servers := func(list ...string) {
		var all []string
		for _, a := range list {
			all = append(all, `{"address":"`+a+`"}`)
		}
		c.replace("/system/dns/servers", `{"server":[`+strings.Join(all, ",")+`]}`)
	}
	servers("1.1.1.1", "2.2.2.2")
	l := list1(t, gnmi.SubscriptionList_STREAM, onChange(t, "/system/dns/servers/server/address"), onChange(t, "/system/dns"))
	l.UpdatesOnly = true
	r := c.subscribe(deadline(t), l)
	r.wants("sync")
	servers("2.2.2.2", "1.1.1.1")
	const s1, s2 = "/system/dns/servers/server[address=1.1.1.1]", "/system/dns/servers/server[address=2.2.2.2]"
	r.wants("-"+s1+"/address", "-"+s2+"/address", "-"+s1, "-"+s2,
		s2+`/address "2.2.2.2"`, s1+`/address "1.1.1.1"`, s2+`/config/address "2.2.2.2"`, s1+`/config/address "1.1.1.1"`)
}

func TestSubscribeRefusals(t *testing.T) {
	c := start(t, oneInterface)
	tests := map[string]struct {
		list *gnmi.SubscriptionList
		code codes.Code
	}{
		"no list":        {nil, codes.InvalidArgument},                                                                             // gNMI 3.5.1.1
		"empty list":     {list1(t, gnmi.SubscriptionList_STREAM), codes.InvalidArgument},                                          // gNMI 3.5.1.2
		"unknown path":   {list1(t, gnmi.SubscriptionList_STREAM, onChange(t, "/nothing")), codes.InvalidArgument},                 // never a silent stream
		"bad key":        {list1(t, gnmi.SubscriptionList_ONCE, onChange(t, "/interfaces/interface[x=y]")), codes.InvalidArgument}, // never a silent stream
		"encoding":       {&gnmi.SubscriptionList{Encoding: gnmi.Encoding_ASCII, Subscription: []*gnmi.Subscription{onChange(t, "/")}}, codes.Unimplemented},
		"models":         {&gnmi.SubscriptionList{UseModels: []*gnmi.ModelData{{}}, Subscription: []*gnmi.Subscription{onChange(t, "/")}}, codes.Unimplemented},
		"list mode":      {&gnmi.SubscriptionList{Mode: 9, Subscription: []*gnmi.Subscription{onChange(t, "/")}}, codes.InvalidArgument},
		"mode":           {list1(t, 0, &gnmi.Subscription{Mode: 9}), codes.InvalidArgument},
		"short interval": {list1(t, 0, &gnmi.Subscription{Mode: gnmi.SubscriptionMode_SAMPLE, SampleInterval: 1}), codes.InvalidArgument}, // gNMI 3.5.1.5.2
		"fast heartbeat": {list1(t, 0, &gnmi.Subscription{Mode: gnmi.SubscriptionMode_ON_CHANGE, HeartbeatInterval: 1}), codes.InvalidArgument},
		"origin":         {list1(t, 0, &gnmi.Subscription{Path: &gnmi.Path{Origin: "srl_nokia"}}), codes.Unimplemented},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := c.subscribe(deadline(t), tt.list)
			r.t = t
			r.ends(tt.code)
		})
	}
}

// gNMI 3.5.1.1: the subscriptions of an RPC do not change; other RPCs live on.
func TestASecondListEndsTheStreamAndNoOther(t *testing.T) {
	c := start(t, oneInterface)
	l := list1(t, gnmi.SubscriptionList_STREAM, onChange(t, "/interfaces/interface[name=e1]/config/mtu"))
	l.UpdatesOnly = true
	a, b := c.subscribe(deadline(t), l), c.subscribe(deadline(t), l)
	a.wants("sync")
	b.wants("sync")
	if err := a.Send(&gnmi.SubscribeRequest{Request: &gnmi.SubscribeRequest_Subscribe{Subscribe: l}}); err != nil {
		t.Fatal(err)
	}
	a.ends(codes.InvalidArgument)
	c.update("/interfaces/interface[name=e1]/config/mtu", "9000")
	b.wants("/interfaces/interface[name=e1]/config/mtu 9000")
}

const (
	mtuPath  = "/interfaces/interface[name=e1]/config/mtu"
	descPath = "/interfaces/interface[name=e1]/config/description"
)

// received collects what a stream sends, with the seconds since start, until ctx
// ends. In a bubble the clock stands still while anything runs.
func (r *reader) received(start time.Time) <-chan string {
	out := make(chan string, 1000)
	go func() {
		defer close(out)
		for {
			m, err := r.Recv()
			if err != nil {
				return
			}
			what := lines(m.GetUpdate())
			if m.GetSyncResponse() {
				what = []string{"sync"}
			}
			out <- fmt.Sprintf("%v %s", time.Since(start).Round(time.Millisecond), strings.Join(what, "; "))
		}
	}()
	return out
}

// gNMI 3.5.1.5.2: sample intervals, suppress_redundant and heartbeats.
func TestTimersOfAStream(t *testing.T) {
	sub := func(path string, mode gnmi.SubscriptionMode, sample, beat time.Duration, suppress bool) *gnmi.Subscription {
		return &gnmi.Subscription{
			Path: p(t, path), Mode: mode,
			SampleInterval: uint64(sample), HeartbeatInterval: uint64(beat), SuppressRedundant: suppress,
		}
	}
	// The MTU changes at 2.5 s, and is removed at 4.5 s; the stream ends at 5.2 s.
	tests := map[string]struct {
		sub  *gnmi.Subscription
		want []string
	}{
		"sample": {sub(mtuPath, gnmi.SubscriptionMode_SAMPLE, time.Second, 0, false), []string{
			"0s " + mtuPath + " 1500", "0s sync", "1s " + mtuPath + " 1500", "2s " + mtuPath + " 1500", "3s " + mtuPath + " 9000", "4s " + mtuPath + " 9000",
		}},
		"suppress redundant": {sub("/interfaces/interface[name=e1]/config", gnmi.SubscriptionMode_SAMPLE, time.Second, 0, true), []string{
			"0s " + mtuPath + ` 1500; /interfaces/interface[name=e1]/config/name "e1"`, "0s sync", "3s " + mtuPath + " 9000", "5s -" + mtuPath,
		}},
		"suppress with heartbeat": {sub(mtuPath, gnmi.SubscriptionMode_SAMPLE, time.Second, 2*time.Second, true), []string{
			"0s " + mtuPath + " 1500", "0s sync", "2s " + mtuPath + " 1500", "3s " + mtuPath + " 9000", "4s " + mtuPath + " 9000", "5s -" + mtuPath,
		}},
		"on change": {sub(mtuPath, gnmi.SubscriptionMode_ON_CHANGE, 0, 0, false), []string{
			"0s " + mtuPath + " 1500", "0s sync", "2.5s " + mtuPath + " 9000", "4.5s -" + mtuPath,
		}},
		"on change with heartbeat": {sub(mtuPath, gnmi.SubscriptionMode_ON_CHANGE, 0, 2*time.Second, false), []string{
			"0s " + mtuPath + " 1500", "0s sync", "2s " + mtuPath + " 1500", "2.5s " + mtuPath + " 9000", "4s " + mtuPath + " 9000", "4.5s -" + mtuPath,
		}},
		"target defined": {sub(mtuPath, gnmi.SubscriptionMode_TARGET_DEFINED, 0, 0, false), []string{
			"0s " + mtuPath + " 1500", "0s sync", "2.5s " + mtuPath + " 9000", "4.5s -" + mtuPath,
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t, oneInterface)
				ctx, cancel := context.WithCancel(t.Context())
				r := c.subscribe(ctx, list1(t, gnmi.SubscriptionList_STREAM, tt.sub))
				out := r.received(time.Now())
				time.Sleep(2500 * time.Millisecond)
				c.update(mtuPath, "9000")
				time.Sleep(2 * time.Second)
				c.remove(mtuPath)
				time.Sleep(700 * time.Millisecond)
				cancel()
				var got []string
				for l := range out {
					got = append(got, l)
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
				}
			})
		})
	}
}

// gNMI 3.5.1.5.2: sample_interval 0 is the lowest that the target can do.
func TestSampleIntervalZeroIsTheLowest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, oneInterface)
		r := c.subscribe(t.Context(), list1(t, 0, &gnmi.Subscription{Path: p(t, mtuPath), Mode: gnmi.SubscriptionMode_SAMPLE}))
		begin := time.Now()
		for range 12 { // values, sync, ten samples
			r.next()
		}
		if d := time.Since(begin); d != 10*minSample {
			t.Errorf("ten samples took %v", d)
		}
	})
}

// gNMI 2.1: a slow client is told less often, not less truly, and holds up nobody.
func TestASlowClientHoldsUpNoSet(t *testing.T) {
	c := start(t, oneInterface)
	r := c.subscribe(deadline(t), list1(t, 0, onChange(t, "/interfaces")))
	const last = 6000
	for i := range last { // nobody reads the stream: its window is full long before
		c.target.mustSet(t, descPath, fmt.Sprintf("%q", strings.Repeat("x", 200)+fmt.Sprint(i)))
	}
	c.target.mu.Lock()
	for f := range c.target.feeds {
		if n := len(f.pending); n > maxPending {
			t.Errorf("%d trees are kept for the slow client", n)
		}
	}
	c.target.mu.Unlock()
	duplicates, messages := uint32(0), 0
	for {
		m, err := r.Recv()
		if err != nil {
			t.Fatal(err)
		}
		messages++
		var seen bool
		for _, u := range m.GetUpdate().GetUpdate() {
			duplicates += u.GetDuplicates()
			seen = seen || strings.HasSuffix(valueText(u.GetVal()), "x"+fmt.Sprint(last-1)+`"`)
		}
		if seen {
			break
		}
	}
	if duplicates == 0 || messages >= last {
		t.Errorf("%d messages for %d Sets, %d said to be left out", messages, last, duplicates)
	}
}

// mustSet writes without a client's help.
func (t *Target) mustSet(tb testing.TB, path, value string) {
	tb.Helper()
	if _, err := t.Set(context.Background(), &gnmi.SetRequest{Update: []*gnmi.Update{up(tb, path, value)}}); err != nil {
		tb.Fatal(err)
	}
}

// A fast client sees each state, also one that lasted for no time at all.
func TestEveryChangeIsToldInOrder(t *testing.T) {
	c := start(t, oneInterface)
	l := list1(t, 0, onChange(t, mtuPath))
	l.UpdatesOnly = true
	r := c.subscribe(deadline(t), l)
	r.wants("sync")
	for i := range maxPending {
		c.target.mustSet(t, mtuPath, fmt.Sprint(2000+i%2))
	}
	for i := range maxPending {
		r.wants(fmt.Sprintf("%s %d", mtuPath, 2000+i%2))
	}
}

func TestStreamsLeaveNothingBehind(t *testing.T) {
	c := start(t, oneInterface)
	ctx, cancel := context.WithCancel(deadline(t))
	var all []*reader
	for range 20 {
		r := c.subscribe(ctx, list1(t, 0, onChange(t, mtuPath)))
		r.wants(mtuPath + " 1500")
		r.wants("sync")
		all = append(all, r)
	}
	cancel()
	for _, r := range all {
		r.ends(codes.Canceled)
	}
	for {
		c.target.mu.Lock()
		n := len(c.target.feeds)
		c.target.mu.Unlock()
		if n == 0 {
			return
		}
		if deadline(t).Err() != nil {
			t.Fatalf("%d feeds are left", n)
		}
	}
}
