package sim_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/setpoint-net/setpoint/reconciler/device/sim"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"
)

// 3.4: Set.
var setClauses = []clause{
	{"3.4", "deletes go first, then replaces, then updates, whatever the order of the fields", func(w *wire) {
		w.set(
			update(e1+"/config/mtu", "9000"),
			replace(e1+"/config", `{"mtu":4000,"enabled":false}`),
			remove("/interfaces"),
		)
		w.holds("/interfaces", `{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":9000,"enabled":false}}]}`)
	}},
	{"3.4", "within a field the order counts, and what comes later wins", func(w *wire) {
		w.set(update(e1+"/config/mtu", "1"), update(e1+"/config/mtu", "2"), update(e1+"/config/mtu", "3"))
		w.holds(e1+"/config/mtu", "3")
		w.set(replace(e1+"/config", `{"mtu":4,"enabled":true}`), replace(e1+"/config", `{"mtu":5}`))
		w.holds(e1+"/config", `{"name":"Ethernet1","mtu":5}`)
	}},
	{"3.4", "no operations are no error", func(w *wire) {
		if got := w.set().GetResponse(); len(got) != 0 {
			w.t.Errorf("%v", got)
		}
	}},
	{"3.4", "union_replace is not supported and says so, alone and beside others", func(w *wire) {
		union := func(r *gnmi.SetRequest) {
			r.UnionReplace = []*gnmi.Update{{Path: path("/"), Val: ietf(`{"openconfig-system:system":{"config":{"hostname":"x"}}}`)}}
		}
		w.refuses(codes.Unimplemented, "union_replace", union)
		w.refuses(codes.Unimplemented, "union_replace", union, remove("/lldp"))
	}},
	{"3.4.1", "the prefix is before the path of every operation", func(w *wire) {
		w.set(func(r *gnmi.SetRequest) { r.Prefix = path(e1 + "/config") },
			remove("/description"), replace("/mtu", "9000"), update("/enabled", "true"))
		w.holds(e1+"/config", `{"name":"Ethernet1","mtu":9000,"enabled":true}`)
	}},
	{"3.4.1", "an Update without a path is the root, one without a value is refused", func(w *wire) {
		w.set(func(r *gnmi.SetRequest) {
			r.Update = []*gnmi.Update{{Val: ietf(`{"openconfig-lldp:lldp":{"config":{"enabled":true}}}`)}}
		})
		w.holds("/lldp/config", `{"enabled":true,"hello-timer":"30"}`)
		w.refuses(codes.InvalidArgument, "value", updateVal(hostname, nil))
		w.refuses(codes.InvalidArgument, "value", updateVal(hostname, &gnmi.TypedValue{}))
	}},
	{"3.4.2", "one result per operation, in the order they are applied in, with prefix and paths as given", func(w *wire) {
		prefix := path("openconfig:/system")
		prefix.Target = "leaf01"
		got := w.set(func(r *gnmi.SetRequest) { r.Prefix = prefix },
			update("/config/hostname", `"a"`), update("/config/hostname", `"b"`),
			remove("/config/motd-banner"), remove("/dns"), replace("/config", `{"hostname":"c"}`))
		got.Timestamp = 0
		want := &gnmi.SetResponse{Prefix: prefix, Response: []*gnmi.UpdateResult{
			{Path: path("/config/motd-banner"), Op: gnmi.UpdateResult_DELETE},
			{Path: path("/dns"), Op: gnmi.UpdateResult_DELETE},
			{Path: path("/config"), Op: gnmi.UpdateResult_REPLACE},
			{Path: path("/config/hostname"), Op: gnmi.UpdateResult_UPDATE},
			{Path: path("/config/hostname"), Op: gnmi.UpdateResult_UPDATE},
		}}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			w.t.Error(diff)
		}
		w.holds("/system", `{"config":{"hostname":"b"}}`)
	}},
	{"3.4.3", "a failure anywhere leaves everything as it was, and tells nobody", func(w *wire) {
		good := []op{remove(e2), replace("/lldp/config", `{"enabled":false}`), update(hostname, `"x"`)}
		for code, bad := range map[codes.Code]op{
			codes.InvalidArgument: update(e1+"/config/mtu", "99999"),
			codes.NotFound:        replace("/interfaces/interfaec", "{}"),
			codes.Unimplemented:   remove("cli:/"),
		} {
			for i := range len(good) + 1 {
				ops := append(append([]op{}, good[:i]...), bad)
				w.refuses(code, "", append(ops, good[i:]...)...)
			}
		}
	}},
	{"3.4.3", "a stream sees a Set as one change, never a part of it", func(w *wire) {
		s := w.subscribe(streaming(onChange("/")))
		s.heard()
		w.set(remove(e2), replace(e1+"/config", `{"mtu":9000}`), update(hostname, `"x"`))
		s.says("-" + e2 + "; -" + e1 + "/config/description; " + e1 + "/config/mtu 9000; " + hostname + ` "x"`)
	}},
	{"3.4.3", "a Set that comes to what is there already changes nothing, and nobody is told", func(w *wire) {
		s := w.subscribe(streaming(onChange("/")))
		s.heard()
		w.set(remove("/"), update("/", base))
		w.set(replace(e1+"/config", `{"mtu":1500,"description":"one"}`))
		s.says()
	}},
	{"3.4.4", "an update or replace of what does not exist makes it, and the entries above it", func(w *wire) {
		w.set(update(e3+"/subinterfaces/subinterface[index=7]/config/enabled", "true"), replace(aclSet+"[name=C][type=ACL_IPV6]/config/description", `"c"`))
		w.holds(e3, `{"name":"Ethernet3","config":{"name":"Ethernet3"},"subinterfaces":{"subinterface":[{"index":7,"config":{"index":7,"enabled":true}}]}}`)
		w.holds(aclSet+"[name=C][type=ACL_IPV6]", `{"name":"C","type":"openconfig-acl:ACL_IPV6","config":{"name":"C","type":"openconfig-acl:ACL_IPV6","description":"c"}}`)
	}},
	{"3.4.4", "a replace of a leaf sets it, and touches nothing beside it", func(w *wire) {
		w.set(replace(e1+"/config/mtu", "9000"))
		w.holds(e1+"/config", `{"name":"Ethernet1","description":"one","mtu":9000}`)
	}},
	{"3.4.4", "a replace of a container deletes what it does not name", func(w *wire) {
		w.set(replace(e1+"/config", `{"mtu":9000}`))
		w.holds(e1+"/config", `{"name":"Ethernet1","mtu":9000}`)
		w.set(replace("/system", `{"config":{"domain-name":"example"}}`))
		w.holds("/system", `{"config":{"domain-name":"example"}}`)
	}},
	{"3.4.4", "a replace puts what it does not name back to its default", func(w *wire) {
		w = serve(w.t, sim.Config{Initial: []byte(base), Defaults: true})
		w.set(update(e1+"/config/enabled", "false"))
		w.holds(e1+"/config/enabled", "false")
		w.set(replace(e1+"/config", `{"mtu":9000}`))
		w.holds(e1+"/config/enabled", "true")
		w.lacks(e1 + "/config/description")
	}},
	{"3.4.4", "a replace of an entry deletes what it does not name, in that entry only", func(w *wire) {
		w.set(replace(e1, `{"name":"Ethernet1","config":{"enabled":true}}`))
		w.holds("/interfaces", `{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1","enabled":true}},{"name":"Ethernet2","config":{"name":"Ethernet2","mtu":1500}}]}`)
	}},
	{"3.4.4", "a replace of a collection deletes the entries that it does not name", func(w *wire) {
		for _, at := range []struct{ path, value string }{
			{"/interfaces/interface", `[{"name":"Ethernet2"},{"name":"Ethernet3"}]`},
			{"/interfaces", `{"interface":[{"name":"Ethernet2"},{"name":"Ethernet3"}]}`},
		} {
			w.set(replace("/", base), replace(at.path, at.value))
			w.holds("/interfaces", `{"interface":[{"name":"Ethernet2","config":{"name":"Ethernet2"}},{"name":"Ethernet3","config":{"name":"Ethernet3"}}]}`)
		}
	}},
	{"3.4.4", "a replace of the root deletes the top containers that it does not name", func(w *wire) {
		w.set(replace("/", `{"openconfig-system:system":{"config":{"hostname":"x"}}}`))
		w.holds("/", `{"system":{"config":{"hostname":"x"}}}`)
	}},
	{"3.4.4", "a replace of a leaf-list is the new list, an update adds what is not in it", func(w *wire) {
		w.set(update(search, `["a.example","c.example"]`))
		w.holds(search, `["b.example","a.example","c.example"]`)
		w.set(replace(search, `["c.example"]`))
		w.holds(search, `["c.example"]`)
		w.set(replace("/system/dns/config", `{"search":["d.example"]}`))
		w.holds(search, `["d.example"]`)
	}},
	{"3.4.4", "a replace by nothing is refused: {} for an entry, null for a leaf", func(w *wire) {
		w.refuses(codes.InvalidArgument, "key name is missing", replace(e1, "{}"))
		w.refuses(codes.InvalidArgument, "null", replace(e1+"/config/mtu", "null"))
		w.refuses(codes.InvalidArgument, "null", replace(e1+"/config", "null"))
		w.refuses(codes.InvalidArgument, "null", update(e1+"/config", `{"mtu":null}`))
	}},
	{"3.4.4", "an update touches only what it names", func(w *wire) {
		w.set(update("/", `{"openconfig-interfaces:interfaces":{"interface":[{"name":"Ethernet2","config":{"name":"Ethernet2","description":"two"}},{"name":"Ethernet3"}]}}`))
		w.holds("/interfaces", `{"interface":[
			{"name":"Ethernet1","config":{"name":"Ethernet1","description":"one","mtu":1500}},
			{"name":"Ethernet2","config":{"name":"Ethernet2","description":"two","mtu":1500}},
			{"name":"Ethernet3","config":{"name":"Ethernet3"}}]}`)
		w.holds(hostname, `"leaf01"`)
	}},
	{"3.4.4", "an update deletes nothing, not even when it is empty", func(w *wire) {
		w.set(update("/", "{}"), update(e1+"/config", "{}"), update(e1, "{}"), update("/interfaces/interface", "[]"), update(search, "[]"))
		w.holds("/", base)
	}},
	{"3.4.5", "a path to write that has only some keys of an entry is refused", func(w *wire) {
		for _, p := range []string{aclSet + "[name=A]", aclSet + "[name=A][type=*]", aclSet + "[name=A]/config/description", "/interfaces/interface/config/mtu"} {
			w.refuses(codes.InvalidArgument, "all its keys", update(p, `"x"`))
			w.refuses(codes.InvalidArgument, "all its keys", replace(p, `"x"`))
		}
	}},
	{"3.4.5", "a name that is a wildcard in a path to write is refused", func(w *wire) {
		for _, p := range []string{"/*", "/.../mtu", e1 + "/*/mtu"} {
			w.refuses(codes.InvalidArgument, "wildcard", update(p, "1"))
		}
	}},
	{"3.4.5", "a key in a value that is not the path's is refused, wherever it stands", func(w *wire) {
		for _, o := range []op{
			update(e1, `{"name":"Ethernet2"}`), replace(e1, `{"name":"Ethernet2"}`), replace(e1, `{"name":"Ethernet1","config":{"name":"Ethernet2"}}`),
			update(e1+"/name", `"Ethernet2"`), update(e1+"/config/name", `"Ethernet2"`), replace(e1+"/config", `{"name":"Ethernet2"}`),
			update(aclSet+"[name=A][type=ACL_IPV4]", `{"type":"ACL_IPV6"}`), update("/interfaces", `{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet2"}}]}`),
		} {
			w.refuses(codes.InvalidArgument, "", o)
		}
	}},
	{"3.4.5", "a key in a value that is the path's is taken, and so is a value without, in an update", func(w *wire) {
		w.set(update(e1, `{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":9000}}`), update(e2, `{"config":{"mtu":9000}}`))
		w.holds(e1+"/config/mtu", "9000")
		w.holds(e2, `{"name":"Ethernet2","config":{"name":"Ethernet2","mtu":9000}}`)
	}},
	{"3.4.5", "an identity in a key may carry its module or not: it is the same entry", func(w *wire) {
		w.set(update(aclSet+"[name=A][type=openconfig-acl:ACL_IPV4]/config/description", `"e"`))
		w.holds(aclSet+"[name=A][type=ACL_IPV4]/config/description", `"e"`)
	}},
	{"3.4.6", "what is deleted goes with all below it", func(w *wire) {
		w.set(remove("/interfaces"))
		w.lacks("/interfaces", e1, e1+"/config/mtu")
		w.set(remove("/"))
		w.holds("/", "{}")
	}},
	{"3.4.6", "wildcards are expanded, with a part of the keys as well", func(w *wire) {
		w.set(remove(aclSet + "[name=A]"))
		w.holds("/acl", `{"acl-sets":{"acl-set":[{"name":"B","type":"openconfig-acl:ACL_IPV4","config":{"name":"B","type":"openconfig-acl:ACL_IPV4"}}]}}`)
		w.set(remove("/interfaces/interface[name=*]/config/mtu"))
		w.lacks(e1+"/config/mtu", e2+"/config/mtu")
		w.holds(e1+"/config/description", `"one"`)
		w.set(remove("/.../description"))
		w.lacks(e1 + "/config/description")
		w.set(remove("/interfaces/interface"))
		w.lacks("/interfaces")
		w.set(remove("/*"))
		w.holds("/", "{}")
	}},
	{"3.4.6", "a delete of what does not exist is silently accepted", func(w *wire) {
		w.set(remove(e3), remove(e3+"/config/mtu"), remove(e1+"/config/loopback-mode"), remove("/network-instances"), remove(aclSet+"[name=C]"))
		w.holds("/", base)
	}},
	{"3.4.6", "a key goes only with its entry", func(w *wire) {
		w.refuses(codes.InvalidArgument, "key leaf", remove(e1+"/name"))
		w.refuses(codes.InvalidArgument, "key leaf", remove(e1+"/config/name"))
		w.set(remove(e1 + "/config"))
		w.holds(e1, `{"name":"Ethernet1","config":{"name":"Ethernet1"}}`)
	}},
	{"3.4.7", "a path that can't be read is InvalidArgument", func(w *wire) {
		for _, p := range []string{"/interfaces[name=x]/interface", "/interfaces/interface[nmae=x]", e1 + "/subinterfaces/subinterface[index=x]"} {
			w.refuses(codes.InvalidArgument, "", update(p, "{}"))
			w.refuses(codes.InvalidArgument, "", remove(p))
		}
	}},
	{"3.4.7", "a path that the models do not have is NotFound, and named", func(w *wire) {
		for _, p := range []string{"/nothing", e1 + "/config/mut", e1 + "/config/mtu/x", "/openconfig-system:interfaces"} {
			w.refuses(codes.NotFound, p, update(p, "{}"))
			w.refuses(codes.NotFound, p, replace(p, "{}"))
			w.refuses(codes.NotFound, p, remove(p))
		}
	}},
	{"3.4.7", "state can't be written: NotFound", func(w *wire) {
		w.refuses(codes.NotFound, "state", update(e1+"/state/mtu", "1"))
		w.refuses(codes.NotFound, "state", remove(e1+"/state"))
		w.refuses(codes.InvalidArgument, "state", update(e1, `{"state":{"mtu":1}}`))
	}},
	{"3.4.7", "a value that the models do not allow is InvalidArgument, and its path is named", func(w *wire) {
		for p, values := range map[string][]string{
			e1 + "/config/mtu":         {"65536", "-1", "1.5", `"x"`, "true", "{}", "[1]"},
			e1 + "/config/enabled":     {`"true"`, "1"},
			e1 + "/config/type":        {`"carrierPigeon"`, `"openconfig-interfaces:ethernetCsmacd"`},
			e1 + "/config/description": {"1", "[]"},
			search:                     {`"x"`, `["x","x"]`},
			e1 + "/config":             {`{"mut":1}`, `{"mtu":1,"mtu":2}`, "7", "[]"},
			"/interfaces/interface":    {`{"name":"x"}`, `[{"config":{"mtu":1}}]`, `[{"name":"x"},{"name":"x"}]`},
			"/system/ntp/servers/server[address=x]/config/source-address": {`"not an address"`},
		} {
			for _, v := range values {
				w.refuses(codes.InvalidArgument, p, update(p, v))
				w.refuses(codes.InvalidArgument, p, replace(p, v))
			}
		}
	}},
	{"3.4.7", "a value in an encoding that is not supported is Unimplemented", func(w *wire) {
		for name, v := range map[string]*gnmi.TypedValue{
			"ascii_val":   {Value: &gnmi.TypedValue_AsciiVal{AsciiVal: "x"}},
			"any_val":     {Value: &gnmi.TypedValue_AnyVal{}},
			"proto_bytes": {Value: &gnmi.TypedValue_ProtoBytes{ProtoBytes: []byte("x")}},
		} {
			w.refuses(codes.Unimplemented, name, updateVal(hostname, v))
		}
	}},
	{"3.4.7", "what a device refuses for reasons of its own is InvalidArgument, and its path is named", func(w *wire) {
		w = serve(w.t, sim.Config{Initial: []byte(base), Refuse: []string{e2}})
		w.refuses(codes.InvalidArgument, e2, update(e2+"/config/mtu", "9000"), update(e1+"/config/mtu", "9000"))
		w.refuses(codes.InvalidArgument, e2, remove("/interfaces"))
	}},
}

// The path parser of this suite reads and writes gNMI's text form as the
// specification of path strings has it.
func TestPathStringsOfTheSpecification(t *testing.T) {
	for text, want := range map[string]*gnmi.Path{
		"/":                  {},
		"/a/b/c":             {Elem: []*gnmi.PathElem{{Name: "a"}, {Name: "b"}, {Name: "c"}}},
		`/foo[name=\]]`:      {Elem: []*gnmi.PathElem{{Name: "foo", Key: map[string]string{"name": "]"}}}},
		`/foo[name=[]`:       {Elem: []*gnmi.PathElem{{Name: "foo", Key: map[string]string{"name": "["}}}},
		`/foo[name=[\\\]]`:   {Elem: []*gnmi.PathElem{{Name: "foo", Key: map[string]string{"name": `[\]`}}}},
		"/a[k1=10][k2=20]/b": {Elem: []*gnmi.PathElem{{Name: "a", Key: map[string]string{"k1": "10", "k2": "20"}}, {Name: "b"}}},
	} {
		if diff := cmp.Diff(want, path(text), protocmp.Transform()); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
		if got := pathText(want); got != text {
			t.Errorf("%s is written %s", text, got)
		}
	}
}
