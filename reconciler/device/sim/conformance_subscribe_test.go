package sim_test

import (
	"testing/synctest"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/setpoint-net/setpoint/reconciler/device/sim"
)

// What a stream says of base.
const (
	e1MTU  = e1 + "/config/mtu 1500"
	e2MTU  = e2 + "/config/mtu 1500"
	anyMTU = "/interfaces/interface[name=*]/config/mtu"
)

// 3.5: Subscribe.
var subscribeClauses = []clause{
	{"3.5", "each update is one leaf, also where aggregation is allowed: no schema node is marked for it", func(w *wire) {
		for _, allow := range []bool{false, true} {
			l := once(e2)
			l.AllowAggregation = allow
			w.subscribe(l).says(e2MTU+"; "+e2+`/config/name "Ethernet2"; `+e2+`/name "Ethernet2"`, "sync", "end OK")
		}
	}},
	{"3.5", "a stream goes on until the client leaves, and others with it", func(w *wire) {
		a, b := w.subscribe(streaming(onChange(anyMTU))), w.subscribe(streaming(onChange(anyMTU)))
		a.heard()
		b.heard()
		a.leave()
		a.says("end Canceled")
		w.set(update(e1+"/config/mtu", "9000"))
		b.after(24*time.Hour, e1+"/config/mtu 9000")
	}},
	{"3.5.1.1", "a first message without a SubscriptionList is InvalidArgument", func(w *wire) {
		w.open(&gnmi.SubscribeRequest{Request: &gnmi.SubscribeRequest_Poll{Poll: &gnmi.Poll{}}}).says("end InvalidArgument")
		w.open(&gnmi.SubscribeRequest{}).says("end InvalidArgument")
	}},
	{"3.5.1.1", "a second SubscriptionList is InvalidArgument, and no other RPC ends", func(w *wire) {
		other := w.subscribe(streaming(onChange(anyMTU)))
		other.heard()
		for _, l := range []*gnmi.SubscriptionList{streaming(onChange("/lldp")), polling("/lldp")} {
			s := w.subscribe(l)
			s.heard()
			s.sends(&gnmi.SubscribeRequest{Request: &gnmi.SubscribeRequest_Subscribe{Subscribe: l}})
			s.says("end InvalidArgument")
		}
		w.set(update(e1+"/config/mtu", "9000"))
		other.says(e1 + "/config/mtu 9000")
	}},
	{"3.5.1.1", "a Poll on a STREAM is InvalidArgument", func(w *wire) {
		s := w.subscribe(streaming(onChange("/lldp")))
		s.heard()
		s.polls()
		s.says("end InvalidArgument")
	}},
	{"3.5.1.2", "a list without subscriptions is InvalidArgument", func(w *wire) {
		w.subscribe(streaming()).says("end InvalidArgument")
	}},
	{"3.5.1.2", "no mode is STREAM, a mode that there is not is InvalidArgument", func(w *wire) {
		w.subscribe(&gnmi.SubscriptionList{Subscription: []*gnmi.Subscription{onChange("/lldp")}}).says(`/lldp/config/hello-timer "30"`, "sync")
		w.subscribe(list(9, onChange("/lldp"))).says("end InvalidArgument")
		w.subscribe(streaming(&gnmi.Subscription{Path: path("/lldp"), Mode: 9})).says("end InvalidArgument")
	}},
	{"3.5.1.2", "an encoding that is not supported is Unimplemented", func(w *wire) {
		l := once("/lldp")
		l.Encoding = gnmi.Encoding_ASCII
		w.subscribe(l).says("end Unimplemented")
	}},
	{"3.5.1.2", "each encoding writes a leaf in its own way", func(w *wire) {
		for e, want := range map[gnmi.Encoding]string{ietfJSON: `"30"`, plainJSON: "json 30", protoVals: "uint_val:30"} {
			l := once("/lldp")
			l.Encoding = e
			s := w.open(&gnmi.SubscribeRequest{Request: &gnmi.SubscribeRequest_Subscribe{Subscribe: l}})
			s.says("/lldp/config/hello-timer "+want, "sync", "end OK")
		}
	}},
	{"3.5.1.2", "a qos marking is taken and has no effect, one that is no DSCP is InvalidArgument", func(w *wire) {
		l := once("/lldp")
		l.Qos = &gnmi.QOSMarking{Marking: 46}
		w.subscribe(l).says(`/lldp/config/hello-timer "30"`, "sync", "end OK")
		l.Qos.Marking = 64
		w.subscribe(l).says("end InvalidArgument")
	}},
	{"3.5.1.2", "updates_only leaves out what is there, and starts with sync_response", func(w *wire) {
		l := streaming(onChange(anyMTU), sample("/lldp", time.Second))
		l.UpdatesOnly = true
		s := w.subscribe(l)
		s.says("sync")
		w.set(update(e1+"/config/mtu", "9000"))
		s.says(e1 + "/config/mtu 9000")
		s.after(time.Second, `/lldp/config/hello-timer "30"`)

		l = once("/lldp")
		l.UpdatesOnly = true
		w.subscribe(l).says("sync", "end OK")

		l = polling("/lldp")
		l.UpdatesOnly = true
		s = w.subscribe(l)
		s.says("sync")
		s.polls()
		s.says(`/lldp/config/hello-timer "30"`, "sync")
	}},
	{"3.5.1.3", "a path that does not exist yet keeps the stream open, and is told when it comes", func(w *wire) {
		s := w.subscribe(streaming(onChange(e3), onChange("/network-instances")))
		s.says("sync")
		w.set(update(e3+"/config/mtu", "9000"))
		s.says(e3 + "/config/mtu 9000; " + e3 + `/config/name "Ethernet3"; ` + e3 + `/name "Ethernet3"`)
		w.set(remove(e3))
		s.says("-" + e3)
		w.set(update(e3+"/config/mtu", "9000"))
		s.says(e3 + "/config/mtu 9000; " + e3 + `/config/name "Ethernet3"; ` + e3 + `/name "Ethernet3"`)
	}},
	{"3.5.1.3", "wildcards see what comes later too, and only what they name", func(w *wire) {
		s := w.subscribe(streaming(onChange(anyMTU), onChange("/.../hello-timer"), onChange("/*/dns")))
		s.says(e1MTU+"; "+e2MTU+`; /lldp/config/hello-timer "30"; `+search+` ["b.example","a.example"]`, "sync")
		w.set(update(e3+"/config", `{"mtu":9000,"description":"three"}`))
		s.says(e3 + "/config/mtu 9000")
		w.set(update("/lldp/config/enabled", "true"))
		s.says()
	}},
	{"3.5.1.4", "sync_response comes once, after every path's values", func(w *wire) {
		s := w.subscribe(streaming(onChange("/lldp"), onChange(anyMTU)))
		s.says(`/lldp/config/hello-timer "30"; `+e1MTU+"; "+e2MTU, "sync")
		w.set(update(e1+"/config/mtu", "9000"))
		s.after(24*time.Hour, e1+"/config/mtu 9000")
	}},
	{"3.5.1.5.1", "ONCE is values, sync_response, and the end", func(w *wire) {
		w.subscribe(once("/lldp")).says(`/lldp/config/hello-timer "30"`, "sync", "end OK")
	}},
	{"3.5.1.5.1", "what triggers a stream has no meaning for ONCE", func(w *wire) {
		sub := sample("/lldp", time.Nanosecond)
		sub.HeartbeatInterval = 1
		w.subscribe(list(gnmi.SubscriptionList_ONCE, sub)).says(`/lldp/config/hello-timer "30"`, "sync", "end OK")
	}},
	{"3.5.1.5.2", "ON_CHANGE: first all values, then what changes", func(w *wire) {
		s := w.subscribe(streaming(onChange(anyMTU)))
		s.says(e1MTU+"; "+e2MTU, "sync")
		w.set(update(e1+"/config/mtu", "1500"))
		w.set(update(e1+"/config/description", `"x"`))
		s.says()
		w.set(update(e1+"/config/mtu", "9000"))
		s.says(e1 + "/config/mtu 9000")
		s.after(24 * time.Hour)
	}},
	{"3.5.1.5.2", "ON_CHANGE with a heartbeat: all values again at each", func(w *wire) {
		sub := onChange(anyMTU)
		sub.HeartbeatInterval = uint64(time.Minute)
		s := w.subscribe(streaming(sub))
		s.heard()
		s.after(59 * time.Second)
		s.after(time.Second, e1MTU+"; "+e2MTU)
		w.set(update(e1+"/config/mtu", "9000"))
		s.says(e1 + "/config/mtu 9000")
		s.after(time.Minute, e1+"/config/mtu 9000; "+e2MTU)
		w.set(remove(e2))
		s.says("-" + e2 + "/config/mtu")
		s.after(time.Minute, e1+"/config/mtu 9000")
	}},
	{"3.5.1.5.2", "SAMPLE: all values at each interval, and nothing between", func(w *wire) {
		s := w.subscribe(streaming(sample(anyMTU, 10*time.Second)))
		s.says(e1MTU+"; "+e2MTU, "sync")
		w.set(update(e1+"/config/mtu", "9000"))
		s.after(9 * time.Second)
		s.after(time.Second, e1+"/config/mtu 9000; "+e2MTU)
		w.set(remove(e1))
		s.after(10*time.Second, e2MTU)
	}},
	{"3.5.1.5.2", "SAMPLE with a heartbeat, and nothing suppressed: once per interval, no more", func(w *wire) {
		sub := sample("/lldp", 10*time.Second)
		sub.HeartbeatInterval = uint64(3 * time.Second)
		s := w.subscribe(streaming(sub))
		s.heard()
		s.after(9 * time.Second)
		s.after(time.Second, `/lldp/config/hello-timer "30"`)
	}},
	{"3.5.1.5.2", "SAMPLE that suppresses what is redundant: leaves that changed, and deletes", func(w *wire) {
		sub := sample("/interfaces", 10*time.Second)
		sub.SuppressRedundant = true
		s := w.subscribe(streaming(sub))
		s.heard()
		s.after(time.Minute)
		w.set(update(e1+"/config/mtu", "9000"))
		s.after(10*time.Second, e1+"/config/mtu 9000")
		w.set(remove(e2))
		s.after(10*time.Second, "-"+e2)
		w.set(update(e1+"/config/mtu", "1500"))
		w.set(update(e1+"/config/mtu", "9000"))
		s.after(time.Minute)
	}},
	{"3.5.1.5.2", "SAMPLE that suppresses, with a heartbeat: all values at each, and no delete is lost to it", func(w *wire) {
		sub := sample(anyMTU, 10*time.Second)
		sub.SuppressRedundant, sub.HeartbeatInterval = true, uint64(30*time.Second)
		s := w.subscribe(streaming(sub))
		s.heard()
		s.after(29 * time.Second)
		w.set(remove(e2))
		s.after(time.Second, "-"+e2+"/config/mtu", e1MTU)
		s.after(29 * time.Second)
		s.after(time.Second, e1MTU)
	}},
	{"3.5.1.5.2", "a sample_interval of 0 is the lowest there is: 100 ms", func(w *wire) {
		s := w.subscribe(streaming(sample("/lldp", 0)))
		s.heard()
		s.after(99 * time.Millisecond)
		s.after(time.Millisecond, `/lldp/config/hello-timer "30"`)
	}},
	{"3.5.1.5.2", "an interval below that is InvalidArgument", func(w *wire) {
		w.subscribe(streaming(sample("/lldp", 99*time.Millisecond))).says("end InvalidArgument")
		sub := onChange("/lldp")
		sub.HeartbeatInterval = uint64(99 * time.Millisecond)
		w.subscribe(streaming(sub)).says("end InvalidArgument")
	}},
	{"3.5.1.5.2", "TARGET_DEFINED is ON_CHANGE: configuration is event-driven", func(w *wire) {
		s := w.subscribe(streaming(&gnmi.Subscription{Path: path(anyMTU), Mode: gnmi.SubscriptionMode_TARGET_DEFINED}))
		s.says(e1MTU+"; "+e2MTU, "sync")
		w.set(update(e1+"/config/mtu", "9000"), remove(e2))
		s.says("-" + e2 + "/config/mtu; " + e1 + "/config/mtu 9000")
		s.after(24 * time.Hour)
	}},
	{"3.5.1.5.2", "each subscription of a list keeps its own time", func(w *wire) {
		s := w.subscribe(streaming(onChange(anyMTU), sample("/lldp", 10*time.Second), sample(hostname, 15*time.Second)))
		s.heard()
		w.set(update(e1+"/config/mtu", "9000"), update("/lldp/config/hello-timer", `"31"`))
		s.says(e1 + "/config/mtu 9000")
		s.after(10*time.Second, `/lldp/config/hello-timer "31"`)
		s.after(5*time.Second, hostname+` "leaf01"`)
		s.after(5*time.Second, `/lldp/config/hello-timer "31"`)
	}},
	{"3.5.1.5.3", "POLL: each Poll is answered by all values and a sync_response, and so is the start", func(w *wire) {
		s := w.subscribe(polling(anyMTU))
		s.says(e1MTU+"; "+e2MTU, "sync")
		w.set(update(e1+"/config/mtu", "9000"))
		s.after(24 * time.Hour)
		s.polls()
		s.says(e1+"/config/mtu 9000; "+e2MTU, "sync")
		w.set(remove("/interfaces"))
		s.polls()
		s.says("sync")
		if err := s.CloseSend(); err != nil {
			w.t.Fatal(err)
		}
		s.says("end OK")
	}},
	{"3.5.2.1", "one Set is one notification, with one time", func(w *wire) {
		s := w.subscribe(streaming(onChange("/interfaces"), onChange("/system")))
		s.heard()
		before := len(s.updates())
		w.set(remove(e2), update(e1+"/config/mtu", "9000"), update(hostname, `"x"`))
		if n := len(s.updates()); n != before+1 {
			w.t.Errorf("%d notifications", n-before)
		}
	}},
	{"3.5.2.3", "the time of a change is when it happened, not when it was sent", func(w *wire) {
		s := w.subscribe(streaming(onChange("/lldp")))
		s.heard()
		<-time.After(time.Hour)
		at := time.Now()
		w.set(update("/lldp/config/hello-timer", `"31"`))
		synctest.Wait()
		all := s.updates()
		if got := time.Unix(0, all[len(all)-1].GetTimestamp()); !got.Equal(at) {
			w.t.Errorf("%v, want %v", got, at)
		}
	}},
	{"3.5.2.3", "what is removed is deleted by its path: a leaf, an entry, a container as a whole", func(w *wire) {
		s := w.subscribe(streaming(onChange("/")))
		s.heard()
		w.set(remove(e1 + "/config/mtu"))
		s.says("-" + e1 + "/config/mtu")
		w.set(remove(e1))
		s.says("-" + e1)
		w.set(remove("/acl"))
		s.says("-/acl")
		w.set(remove("/"))
		s.says("-/interfaces; -/lldp; -/system")
	}},
	{"3.5.2.3", "a leaf that goes back to its default is an update, never a delete of it or above it", func(w *wire) {
		w = serve(w.t, sim.Config{Initial: []byte(base), Defaults: true})
		w.set(update("/lldp/config/enabled", "false"), update(e1+"/config/enabled", "false"))
		s := w.subscribe(streaming(onChange("/lldp/config"), onChange("/interfaces/interface/config/enabled")))
		if got := s.heard(); len(got) != 2 {
			w.t.Errorf("%q", got)
		}
		w.set(remove("/lldp"), remove(e1+"/config/enabled"))
		s.says("-/lldp/config/hello-timer; /lldp/config/enabled true; " + e1 + "/config/enabled true")
		w.set(remove("/interfaces"))
		s.says("-" + e1 + "/config/enabled; -" + e2 + "/config/enabled")
		w.set(update(e1+"/config/enabled", "true"))
		s.says(e1 + "/config/enabled true")
		w.set(remove(e1 + "/config/enabled")) // the default, set or not: the same value
		s.says()
	}},
	{"3.5.2.3", "a delete above what is subscribed to is told at the subscribed path", func(w *wire) {
		s := w.subscribe(streaming(onChange(e1 + "/config")))
		s.heard()
		w.set(remove("/interfaces"))
		s.says("-" + e1 + "/config")
	}},
	{"3.5.2.3", "a replace is deletes and updates in one notification", func(w *wire) {
		s := w.subscribe(streaming(onChange("/interfaces")))
		s.heard()
		w.set(replace("/interfaces", `{"interface":[{"name":"Ethernet1","config":{"mtu":9000}},{"name":"Ethernet3"}]}`))
		s.says("-" + e2 + "; -" + e1 + "/config/description; " + e1 + "/config/mtu 9000; " + e3 + `/config/name "Ethernet3"; ` + e3 + `/name "Ethernet3"`)
	}},
	{"3.5.2.3", "an order that the user gave is told by deleting the entries and making them again", func(w *wire) {
		const servers = "/system/dns/servers/server"
		w.set(replace(servers, `[{"address":"1.1.1.1"},{"address":"2.2.2.2"}]`))
		s := w.subscribe(streaming(onChange(servers + "/address")))
		s.heard()
		w.set(replace(servers, `[{"address":"2.2.2.2"},{"address":"1.1.1.1"}]`))
		s.says("-" + servers + "[address=1.1.1.1]/address; -" + servers + "[address=2.2.2.2]/address; " +
			servers + `[address=2.2.2.2]/address "2.2.2.2"; ` + servers + `[address=1.1.1.1]/address "1.1.1.1"`)
	}},
	{"3.5.2.3", "no notification is atomic: nothing in the configuration is marked so", func(w *wire) {
		s := w.subscribe(streaming(onChange("/")))
		s.heard()
		w.set(replace("/interfaces", "{}"))
		for _, n := range s.updates() {
			if n.GetAtomic() {
				w.t.Errorf("%v", n)
			}
		}
	}},
	{"3.5.2.4", "what does not exist is no error: nothing is sent for it", func(w *wire) {
		w.subscribe(list(gnmi.SubscriptionList_ONCE, onChange(e3), onChange("/lldp"))).says(`/lldp/config/hello-timer "30"`, "sync", "end OK")
		s := w.subscribe(polling(e3))
		s.says("sync")
		s.polls()
		s.says("sync")
		w.subscribe(streaming(onChange(e3))).says("sync")
	}},
	{"3.5.2.4", "a default that is in use is sent, where the target reports defaults", func(w *wire) {
		w.subscribe(once("/lldp/config/enabled")).says("sync", "end OK")
		w = serve(w.t, sim.Config{Defaults: true})
		w.subscribe(once("/lldp/config/enabled")).says("/lldp/config/enabled true", "sync", "end OK")
	}},
	{"3.5.2.4", "state is in the models and not implemented: Unimplemented, in every mode", func(w *wire) {
		for _, mode := range []gnmi.SubscriptionList_Mode{gnmi.SubscriptionList_ONCE, gnmi.SubscriptionList_POLL, gnmi.SubscriptionList_STREAM} {
			for _, p := range []string{e1 + "/state", "/interfaces/interface/state/counters", "/system/state/boot-time"} {
				w.subscribe(list(mode, onChange("/lldp"), onChange(p))).says("end Unimplemented")
			}
		}
	}},
	{"3.5.2.4", "a path that can't be read, or that the models do not have, is InvalidArgument, in every mode", func(w *wire) {
		for _, mode := range []gnmi.SubscriptionList_Mode{gnmi.SubscriptionList_ONCE, gnmi.SubscriptionList_POLL, gnmi.SubscriptionList_STREAM} {
			for _, p := range []string{"/nothing", "/interfaces/interface[nmae=x]", "/interfaces[name=x]", "/.../nothing"} {
				w.subscribe(list(mode, onChange("/lldp"), onChange(p))).says("end InvalidArgument")
			}
		}
	}},
}
