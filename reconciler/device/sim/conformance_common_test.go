package sim_test

import (
	"crypto/tls"
	"slices"
	"strings"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"github.com/setpoint-net/setpoint/reconciler/device/sim"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const (
	ietfJSON  = gnmi.Encoding_JSON_IETF
	plainJSON = gnmi.Encoding_JSON
	protoVals = gnmi.Encoding_PROTO
)

// Chapter 2: common message types and encodings.
var commonClauses = []clause{
	{"2.1", "the paths of a notification's updates are unique, however many subscriptions see them", func(w *wire) {
		s := w.subscribe(list(gnmi.SubscriptionList_ONCE, onChange(e1), onChange(e1+"/config"), onChange("/interfaces/interface/config/mtu")))
		s.heard()
		seen := map[string]bool{}
		for _, n := range s.updates() {
			for _, u := range n.GetUpdate() {
				if p := pathText(u.GetPath()); seen[p] {
					w.t.Errorf("%s twice", p)
				} else {
					seen[p] = true
				}
			}
		}
		if len(seen) != 5 {
			w.t.Errorf("%d leaves, want the four of Ethernet1 and the MTU of Ethernet2", len(seen))
		}
	}},
	{"2.1", "a client that keeps up sees no duplicates", func(w *wire) {
		s := w.subscribe(streaming(onChange(e1)))
		s.heard()
		w.set(update(e1+"/config/mtu", "9000"))
		for _, n := range s.updates() {
			for _, u := range n.GetUpdate() {
				if u.GetDuplicates() != 0 {
					w.t.Errorf("%v", u)
				}
			}
		}
	}},
	{"2.2.1", "timestamps are nanoseconds since 1970, in every answer", func(w *wire) {
		now := time.Now().UnixNano()
		get, err := w.Get(w.ctx(), &gnmi.GetRequest{Path: []*gnmi.Path{{}}})
		if err != nil {
			w.t.Fatal(err)
		}
		s := w.subscribe(once("/lldp"))
		s.heard()
		for what, got := range map[string]int64{
			"Get": get.GetNotification()[0].GetTimestamp(), "Set": w.set().GetTimestamp(), "Subscribe": s.updates()[0].GetTimestamp(),
		} {
			if got != now {
				w.t.Errorf("%s: %d, want %d", what, got, now)
			}
		}
	}},
	{"2.2.2", "no elements are the root, and below it is everything", func(w *wire) {
		w.holds("/", base)
	}},
	{"2.2.2", "the deprecated elements of strings are refused, not read as the root", func(w *wire) {
		w.refuses(codes.InvalidArgument, "element", func(r *gnmi.SetRequest) {
			r.Delete = []*gnmi.Path{{Element: []string{"interfaces"}}}
		})
	}},
	{"2.2.2.1", "the target of a request's prefix is in the answer's, and in no answer to a request without", func(w *wire) {
		for _, name := range []string{"leaf01", ""} {
			prefix := &gnmi.Path{Target: name}
			get, err := w.Get(w.ctx(), &gnmi.GetRequest{Prefix: prefix, Path: []*gnmi.Path{path("/lldp"), path("/system")}})
			if err != nil {
				w.t.Fatal(err)
			}
			set, err := w.Set(w.ctx(), &gnmi.SetRequest{Prefix: prefix, Delete: []*gnmi.Path{path(e3)}})
			if err != nil {
				w.t.Fatal(err)
			}
			l := once("/lldp")
			l.Prefix = prefix
			s := w.subscribe(l)
			for what, got := range map[string]*gnmi.Path{
				"Get": get.GetNotification()[0].GetPrefix(), "Get of a second path": get.GetNotification()[1].GetPrefix(),
				"Set": set.GetPrefix(), "Subscribe": s.updates()[0].GetPrefix(),
			} {
				if got.GetTarget() != name {
					w.t.Errorf("%s: target %q, want %q", what, got.GetTarget(), name)
				}
			}
		}
	}},
	{"2.2.2.1", "a target in a path that is not the prefix is refused", func(w *wire) {
		_, err := w.Get(w.ctx(), &gnmi.GetRequest{Path: []*gnmi.Path{{Target: "leaf01"}}})
		w.fails(err, codes.InvalidArgument, "target")
		w.refuses(codes.InvalidArgument, "target", func(r *gnmi.SetRequest) { r.Delete = []*gnmi.Path{{Target: "leaf01"}} })
		w.subscribe(list(gnmi.SubscriptionList_ONCE, &gnmi.Subscription{Path: &gnmi.Path{Target: "leaf01"}})).says("end InvalidArgument")
	}},
	{"2.2.3", "each scalar is taken where it fits the leaf's type", func(w *wire) {
		w.set(
			updateVal(e1+"/config/description", &gnmi.TypedValue{Value: &gnmi.TypedValue_StringVal{StringVal: "two"}}),
			updateVal(e1+"/config/mtu", &gnmi.TypedValue{Value: &gnmi.TypedValue_UintVal{UintVal: 9000}}),
			updateVal(e1+"/config/enabled", &gnmi.TypedValue{Value: &gnmi.TypedValue_BoolVal{BoolVal: true}}),
			updateVal(e1+"/config/type", &gnmi.TypedValue{Value: &gnmi.TypedValue_StringVal{StringVal: "ethernetCsmacd"}}),
			updateVal(search, &gnmi.TypedValue{Value: &gnmi.TypedValue_LeaflistVal{LeaflistVal: &gnmi.ScalarArray{
				Element: []*gnmi.TypedValue{{Value: &gnmi.TypedValue_StringVal{StringVal: "c.example"}}},
			}}}),
		)
		w.holds(e1+"/config", `{"name":"Ethernet1","description":"two","mtu":9000,"enabled":true,"type":"iana-if-type:ethernetCsmacd"}`)
		w.holds(search, `["b.example","a.example","c.example"]`)
	}},
	{"2.2.3", "a signed number is taken for an unsigned leaf as long as it is not negative", func(w *wire) {
		w.set(updateVal(e1+"/config/mtu", &gnmi.TypedValue{Value: &gnmi.TypedValue_IntVal{IntVal: 9000}}))
		w.holds(e1+"/config/mtu", "9000")
		w.refuses(codes.InvalidArgument, "mtu", updateVal(e1+"/config/mtu", &gnmi.TypedValue{Value: &gnmi.TypedValue_IntVal{IntVal: -1}}))
	}},
	{"2.2.3", "a scalar of another type is refused", func(w *wire) {
		w.refuses(codes.InvalidArgument, "string_val", updateVal(e1+"/config/mtu", &gnmi.TypedValue{Value: &gnmi.TypedValue_StringVal{StringVal: "9000"}}))
		w.refuses(codes.InvalidArgument, "bool_val", updateVal(hostname, &gnmi.TypedValue{Value: &gnmi.TypedValue_BoolVal{BoolVal: true}}))
		w.refuses(codes.InvalidArgument, "leaflist_val", updateVal(hostname, &gnmi.TypedValue{Value: &gnmi.TypedValue_LeaflistVal{}}))
	}},
	{"conventions", "a list without keys, and one with *, mean all entries", func(w *wire) {
		for _, all := range []string{"/interfaces/interface/config/mtu", "/interfaces/interface[name=*]/config/mtu"} {
			w.gets(all, ietfJSON, e1+"/config/mtu 1500", e2+"/config/mtu 1500")
		}
	}},
	{"conventions", "some keys, or * for some, mean all entries that have the others", func(w *wire) {
		for _, some := range []string{aclSet + "[name=A]/config/name", aclSet + "[name=A][type=*]/config/name"} {
			w.gets(some, ietfJSON, aclSet+`[name=A][type=ACL_IPV4]/config/name "A"`, aclSet+`[name=A][type=ACL_IPV6]/config/name "A"`)
		}
	}},
	{"conventions", "* is one name, at any level and more than once", func(w *wire) {
		w.gets("/*/*[name=Ethernet1]/*/mtu", ietfJSON, e1+"/config/mtu 1500")
		w.gets("/*/config/hello-timer", ietfJSON, `/lldp/config/hello-timer "30"`)
	}},
	{"conventions", "... is any number of names, none included", func(w *wire) {
		w.gets("/.../mtu", ietfJSON, e1+"/config/mtu 1500", e2+"/config/mtu 1500")
		w.gets("/lldp/.../config/hello-timer", ietfJSON, `/lldp/config/hello-timer "30"`)
		w.gets("/system/dns/...", ietfJSON, `/system/dns {"openconfig-system:config":{"search":["b.example","a.example"]}}`)
	}},
	{"conventions", "a single element without a name is not the root", func(w *wire) {
		_, err := w.Get(w.ctx(), &gnmi.GetRequest{Path: []*gnmi.Path{{Elem: []*gnmi.PathElem{{}}}}})
		w.fails(err, codes.InvalidArgument, "")
		w.refuses(codes.NotFound, "", func(r *gnmi.SetRequest) { r.Delete = []*gnmi.Path{{Elem: []*gnmi.PathElem{{}}}} })
	}},
	{"conventions", "answers hold no wildcards", func(w *wire) {
		s := w.subscribe(streaming(onChange("/interfaces/interface[name=*]/config/mtu"), onChange("/.../description"), onChange("/acl/*/*")))
		s.heard()
		w.set(remove("/interfaces"), update(aclSet+"[name=C][type=ACL_IPV4]/config/description", `"c"`))
		for _, n := range s.updates() {
			if all := strings.Join(lines(n), "\n"); strings.Contains(all, "*") || strings.Contains(all, "...") {
				w.t.Errorf("%s", all)
			}
		}
	}},
	{"strings", `a key may hold anything: / [ ] \ = and spaces travel unchanged`, func(w *wire) {
		for _, key := range []string{"Ethernet1/2/3", "[", `\]`, `[\\\]`, `a\\`, "a=b", "a b", "..", "...", "ünï", `"`} {
			entry := "/interfaces/interface[name=" + key + "]"
			s := w.subscribe(list(gnmi.SubscriptionList_STREAM, onChange(entry+"/config/mtu")))
			s.says("sync")
			w.set(update(entry+"/config/mtu", "1400"))
			s.says(entry + "/config/mtu 1400")
			w.gets(entry+"/config/mtu", ietfJSON, entry+"/config/mtu 1400")
			w.set(remove(entry))
			s.says("-" + entry + "/config/mtu")
			w.lacks(entry)
			s.leave()
		}
	}},
	{"2.3.1", "a leaf's JSON is the bare value, a container's an object", func(w *wire) {
		w.gets("/lldp/config/hello-timer", ietfJSON, `/lldp/config/hello-timer "30"`)
		w.gets(hostname, ietfJSON, hostname+` "leaf01"`)
		w.gets("/lldp", ietfJSON, `/lldp {"openconfig-lldp:config":{"hello-timer":"30"}}`)
	}},
	{"2.3.1", "JSON_IETF follows RFC 7951: 64-bit numbers are strings, names carry modules", func(w *wire) {
		w.set(update(e1+"/config/type", `"iana-if-type:ethernetCsmacd"`))
		w.gets(e1+"/config/type", ietfJSON, e1+`/config/type "iana-if-type:ethernetCsmacd"`)
		w.refuses(codes.InvalidArgument, "RFC 7951", update("/lldp/config/hello-timer", "30"))
		w.refuses(codes.InvalidArgument, "number", update(e1+"/config/mtu", `"1500"`))
	}},
	{"2.3.1", "JSON has neither modules nor numbers in strings", func(w *wire) {
		w.gets("/lldp", plainJSON, `/lldp json {"config":{"hello-timer":30}}`)
		w.set(updateVal("/lldp/config/hello-timer", &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonVal{JsonVal: []byte("31")}}))
		w.holds("/lldp/config/hello-timer", `"31"`)
	}},
	{"2.3.1", "what is not JSON is refused", func(w *wire) {
		for _, bad := range []string{"", `{"mtu":`, "{} {}", "{mtu:1}", "\xff"} {
			w.refuses(codes.InvalidArgument, "", update(e1+"/config", bad))
		}
	}},
	{"2.3.3", "PROTO is scalars, leaf by leaf", func(w *wire) {
		w.gets(e1, protoVals, e1+`/config/description string_val:"one"`, e1+"/config/mtu uint_val:1500", e1+`/config/name string_val:"Ethernet1"`, e1+`/name string_val:"Ethernet1"`)
		w.gets(search, protoVals, search+` [string_val:"b.example" string_val:"a.example"]`)
	}},
	{"2.4.1", "the path that is meant is the prefix's elements, then the path's, in all RPCs", func(w *wire) {
		prefix := path("/interfaces")
		if got := w.get(&gnmi.GetRequest{Prefix: prefix, Path: []*gnmi.Path{path("/interface[name=Ethernet1]/config/mtu")}, Encoding: ietfJSON}); !slices.Equal(got, []string{e1 + "/config/mtu 1500"}) {
			w.t.Errorf("Get: %q", got)
		}
		l := streaming(onChange("/interface[name=Ethernet1]/config/mtu"))
		l.Prefix = prefix
		s := w.subscribe(l)
		s.says(e1+"/config/mtu 1500", "sync")
		w.set(func(r *gnmi.SetRequest) { r.Prefix = prefix }, remove("/interface[name=Ethernet2]"), update("/interface[name=Ethernet1]/config/mtu", "9000"))
		s.says(e1 + "/config/mtu 9000")
		w.lacks(e2)
	}},
	{"2.4.2", "a path to read means the node and all below it", func(w *wire) {
		w.subscribe(once("/system")).says(hostname+` "leaf01"; `+search+` ["b.example","a.example"]`, "sync", "end OK")
	}},
	{"2.5", "an error is a canonical code, and says which path and why", func(w *wire) {
		w.refuses(codes.InvalidArgument, e1+"/config/mtu", update(e1+"/config/mtu", `"much"`))
		w.refuses(codes.NotFound, "/interfaces/interfaec", update("/interfaces/interfaec", "{}"))
	}},
	{"2.6", "use_models is not supported and says so: data of other models could be sent", func(w *wire) {
		models := []*gnmi.ModelData{{Name: "openconfig-interfaces", Organization: "OpenConfig working group", Version: "3.8.1"}}
		_, err := w.Get(w.ctx(), &gnmi.GetRequest{Path: []*gnmi.Path{{}}, UseModels: models})
		w.fails(err, codes.Unimplemented, "use_models")
		l := once("/lldp")
		l.UseModels = models
		w.subscribe(l).says("end Unimplemented")
	}},
	{"2.7", "origin may be in the prefix or in the paths, never in both", func(w *wire) {
		for _, r := range []*gnmi.GetRequest{
			{Prefix: &gnmi.Path{Origin: "openconfig"}, Path: []*gnmi.Path{path("/lldp")}},
			{Path: []*gnmi.Path{path("openconfig:/lldp")}},
		} {
			resp, err := w.Get(w.ctx(), r)
			if err != nil || resp.GetNotification()[0].GetPrefix().GetOrigin() != "openconfig" {
				w.t.Errorf("%v, %v, want the origin in the answer", resp, err)
			}
		}
		_, err := w.Get(w.ctx(), &gnmi.GetRequest{Prefix: &gnmi.Path{Origin: "openconfig"}, Path: []*gnmi.Path{path("openconfig:/lldp")}})
		w.fails(err, codes.InvalidArgument, "origin")
		w.refuses(codes.InvalidArgument, "origin", func(r *gnmi.SetRequest) { r.Prefix = &gnmi.Path{Origin: "openconfig"} }, remove("openconfig:/lldp"))
		l := once("openconfig:/lldp")
		l.Prefix = &gnmi.Path{Origin: "openconfig"}
		w.subscribe(l).says("end InvalidArgument")
	}},
	{"2.7.1", "no origin is openconfig", func(w *wire) {
		w.set(update("/lldp/config/hello-timer", `"31"`))
		w.holds("openconfig:/lldp/config/hello-timer", `"31"`)
	}},
	{"2.7.1", "other origins, CLI among them, are not supported and say so", func(w *wire) {
		w.getFails("srl_nokia:/lldp", codes.Unimplemented, "srl_nokia")
		w.subscribe(once("eos_native:/lldp")).says("end Unimplemented")
		w.refuses(codes.Unimplemented, "sim_cli", updateVal("sim_cli:/", &gnmi.TypedValue{Value: &gnmi.TypedValue_AsciiVal{AsciiVal: "hostname x"}}))
	}},
	{"2.7.3", "a delete that names another origin deletes nothing here", func(w *wire) {
		w.refuses(codes.Unimplemented, "cli", remove("cli:/"), update(hostname, `"x"`))
	}},
	{"2.8", "an extension that is not known is ignored", func(w *wire) {
		unknown := []*gnmi_ext.Extension{{Ext: &gnmi_ext.Extension_RegisteredExt{RegisteredExt: &gnmi_ext.RegisteredExtension{Id: gnmi_ext.ExtensionID_EID_EXPERIMENTAL, Msg: []byte("x")}}}}
		if _, err := w.Set(w.ctx(), &gnmi.SetRequest{Extension: unknown}); err != nil {
			w.t.Error(err)
		}
		if _, err := w.Get(w.ctx(), &gnmi.GetRequest{Path: []*gnmi.Path{{}}, Extension: unknown}); err != nil {
			w.t.Error(err)
		}
		if _, err := w.Capabilities(w.ctx(), &gnmi.CapabilityRequest{Extension: unknown}); err != nil {
			w.t.Error(err)
		}
	}},
	{"2.8", "an extension that a client must be able to rely on, and that is not supported, is refused", func(w *wire) {
		for name, e := range map[string]*gnmi_ext.Extension{
			"commit-confirmed":   {Ext: &gnmi_ext.Extension_Commit{Commit: &gnmi_ext.Commit{Id: "x"}}},
			"master-arbitration": {Ext: &gnmi_ext.Extension_MasterArbitration{MasterArbitration: &gnmi_ext.MasterArbitration{}}},
			"history":            {Ext: &gnmi_ext.Extension_History{History: &gnmi_ext.History{}}},
			"depth":              {Ext: &gnmi_ext.Extension_Depth{Depth: &gnmi_ext.Depth{Level: 1}}},
		} {
			exts := []*gnmi_ext.Extension{e}
			w.refuses(codes.Unimplemented, name, update(hostname, `"x"`), func(r *gnmi.SetRequest) { r.Extension = exts })
			_, err := w.Get(w.ctx(), &gnmi.GetRequest{Path: []*gnmi.Path{{}}, Extension: exts})
			w.fails(err, codes.Unimplemented, name)
			w.open(&gnmi.SubscribeRequest{Request: &gnmi.SubscribeRequest_Subscribe{Subscribe: once("/lldp")}, Extension: exts}).says("end Unimplemented")
		}
	}},
}

// Chapter 3 up to 3.2: the service, its sessions and what it can do.
var sessionClauses = []clause{
	{"3", "the service is found by reflection", func(w *wire) {
		s, err := grpc_reflection_v1.NewServerReflectionClient(w.conn).ServerReflectionInfo(w.ctx())
		if err != nil {
			w.t.Fatal(err)
		}
		if err := s.Send(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}}); err != nil {
			w.t.Fatal(err)
		}
		m, err := s.Recv()
		if err != nil {
			w.t.Fatal(err)
		}
		for _, service := range m.GetListServicesResponse().GetService() {
			if service.GetName() == "gnmi.gNMI" {
				return
			}
		}
		w.t.Errorf("no gnmi.gNMI in %v", m)
	}},
	{"3.1", "a target with TLS never speaks in the clear", func(w *wire) {
		w.dial(insecure.NewCredentials())
		_, err := w.Capabilities(w.ctx(), &gnmi.CapabilityRequest{})
		w.fails(err, codes.Unavailable, "")
	}},
	{"3.1", "TLS 1.2 is spoken, and nothing below", func(w *wire) {
		for version, want := range map[uint16]codes.Code{tls.VersionTLS12: codes.OK, tls.VersionTLS11: codes.Unavailable} {
			w.dial(credentials.NewTLS(&tls.Config{RootCAs: w.ca.Pool(), ServerName: "localhost", MinVersion: tls.VersionTLS10, MaxVersion: version}))
			if _, err := w.Capabilities(w.ctx(), &gnmi.CapabilityRequest{}); status.Code(err) != want {
				w.t.Errorf("%s: %v, want %v", tls.VersionName(version), err, want)
			}
		}
	}},
	{"3.1", "where certificates of clients are asked for, a client without one is not let in", func(w *wire) {
		mutual := serve(w.t, sim.Config{}, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert })
		_, err := mutual.Capabilities(w.ctx(), &gnmi.CapabilityRequest{})
		w.fails(err, codes.Unavailable, "")
		client, err := w.ca.ServerTLS("client")
		if err != nil {
			w.t.Fatal(err)
		}
		mutual.dial(credentials.NewTLS(&tls.Config{RootCAs: mutual.ca.Pool(), ServerName: "localhost", Certificates: client.Certificates}))
		if _, err := mutual.Capabilities(w.ctx(), &gnmi.CapabilityRequest{}); err != nil {
			w.t.Error(err)
		}
	}},
	{"3.1", "each RPC's metadata must hold the username and the password", func(w *wire) {
		w = serve(w.t, sim.Config{Username: "admin", Password: "secret", Initial: []byte(base)})
		for _, md := range [][]string{nil, {"username", "admin"}, {"username", "admin", "password", "wrong"}, {"username", "root", "password", "secret"}} {
			ctx := metadata.AppendToOutgoingContext(w.ctx(), md...)
			_, err := w.Capabilities(ctx, &gnmi.CapabilityRequest{})
			w.fails(err, codes.Unauthenticated, "password")
			_, err = w.Get(ctx, &gnmi.GetRequest{Path: []*gnmi.Path{{}}})
			w.fails(err, codes.Unauthenticated, "password")
			_, err = w.Set(ctx, setRequest(remove("/")))
			w.fails(err, codes.Unauthenticated, "password")
			s, err := w.Subscribe(ctx)
			if err != nil {
				w.t.Fatal(err)
			}
			_, err = s.Recv()
			w.fails(err, codes.Unauthenticated, "password")
		}
		resp, err := w.Get(metadata.AppendToOutgoingContext(w.ctx(), "username", "admin", "password", "secret"), &gnmi.GetRequest{Path: []*gnmi.Path{path(hostname)}})
		if err != nil || len(resp.GetNotification()) != 1 {
			w.t.Errorf("%v, %v", resp, err)
		}
	}},
	{"3.2.2", "Capabilities name the models with versions, the encodings, and the version of the service", func(w *wire) {
		c, err := w.Capabilities(w.ctx(), &gnmi.CapabilityRequest{})
		if err != nil {
			w.t.Fatal(err)
		}
		if want := proto.GetExtension(gnmi.File_github_com_openconfig_gnmi_proto_gnmi_gnmi_proto.Options(), gnmi.E_GnmiService); c.GetGNMIVersion() != want {
			w.t.Errorf("version %q, the protos are of %q", c.GetGNMIVersion(), want)
		}
		if got := c.GetSupportedEncodings(); !slices.Equal(slices.Sorted(slices.Values(got)), []gnmi.Encoding{plainJSON, protoVals, ietfJSON}) {
			w.t.Errorf("encodings %v", got)
		}
		if !slices.ContainsFunc(c.GetSupportedModels(), func(m *gnmi.ModelData) bool {
			return m.GetName() == "openconfig-interfaces" && m.GetOrganization() != "" && m.GetVersion() != ""
		}) {
			w.t.Errorf("models %v", c.GetSupportedModels())
		}
	}},
	{"3.2.2", "every encoding that is offered is served, and no other", func(w *wire) {
		c, err := w.Capabilities(w.ctx(), &gnmi.CapabilityRequest{})
		if err != nil {
			w.t.Fatal(err)
		}
		for n := range gnmi.Encoding_name {
			e, want := gnmi.Encoding(n), codes.Unimplemented
			if slices.Contains(c.GetSupportedEncodings(), e) {
				want = codes.OK
			}
			_, err := w.Get(w.ctx(), &gnmi.GetRequest{Path: []*gnmi.Path{{}}, Encoding: e})
			if status.Code(err) != want {
				w.t.Errorf("%v: %v, want %v", e, err, want)
			}
		}
	}},
}

// 3.3: Get.
var getClauses = []clause{
	{"3.3.1", "a path that the models do not have is InvalidArgument, and named", func(w *wire) {
		w.getFails("/nothing", codes.InvalidArgument, "nothing")
		w.getFails("/interfaces/interface[name=Ethernet1]/config/mut", codes.InvalidArgument, "mut")
	}},
	{"3.3.1", "an encoding that is not supported is Unimplemented, and named", func(w *wire) {
		for _, e := range []gnmi.Encoding{gnmi.Encoding_ASCII, gnmi.Encoding_BYTES} {
			_, err := w.Get(w.ctx(), &gnmi.GetRequest{Path: []*gnmi.Path{{}}, Encoding: e})
			w.fails(err, codes.Unimplemented, e.String())
		}
	}},
	{"3.3.1", "no encoding is JSON", func(w *wire) {
		if got := w.get(&gnmi.GetRequest{Path: []*gnmi.Path{path(hostname)}}); !slices.Equal(got, []string{hostname + ` json "leaf01"`}) {
			w.t.Errorf("%q", got)
		}
	}},
	{"3.3.1", "no type is all data, CONFIG what can be written: here they are the same", func(w *wire) {
		for _, typ := range []gnmi.GetRequest_DataType{gnmi.GetRequest_ALL, gnmi.GetRequest_CONFIG} {
			if got := w.get(&gnmi.GetRequest{Path: []*gnmi.Path{path("/lldp")}, Type: typ, Encoding: ietfJSON}); !slices.Equal(got, []string{`/lldp {"openconfig-lldp:config":{"hello-timer":"30"}}`}) {
				w.t.Errorf("%v: %q", typ, got)
			}
		}
	}},
	{"3.3.1", "STATE and OPERATIONAL hold no configuration: what exists is answered without updates", func(w *wire) {
		for _, typ := range []gnmi.GetRequest_DataType{gnmi.GetRequest_STATE, gnmi.GetRequest_OPERATIONAL} {
			for _, p := range []string{"/", "/lldp", e1, hostname} {
				resp, err := w.Get(w.ctx(), &gnmi.GetRequest{Path: []*gnmi.Path{path(p)}, Type: typ})
				if err != nil || len(resp.GetNotification()) != 1 || len(resp.GetNotification()[0].GetUpdate()) != 0 {
					w.t.Errorf("%v %s: %v, %v", typ, p, resp, err)
				}
			}
			_, err := w.Get(w.ctx(), &gnmi.GetRequest{Path: []*gnmi.Path{path(e3)}, Type: typ})
			w.fails(err, codes.NotFound, "Ethernet3")
		}
	}},
	{"3.3.1", "a type that there is not is InvalidArgument", func(w *wire) {
		_, err := w.Get(w.ctx(), &gnmi.GetRequest{Path: []*gnmi.Path{{}}, Type: 9})
		w.fails(err, codes.InvalidArgument, "type")
	}},
	{"3.3.2", "one notification for each path, in their order, also for one that is asked for twice", func(w *wire) {
		resp, err := w.Get(w.ctx(), &gnmi.GetRequest{Path: []*gnmi.Path{path(hostname), path("/interfaces/interface/config/mtu"), path(hostname)}, Encoding: ietfJSON})
		if err != nil {
			w.t.Fatal(err)
		}
		var got []string
		for _, n := range resp.GetNotification() {
			got = append(got, strings.Join(lines(n), "; "))
		}
		if want := []string{hostname + ` "leaf01"`, e1 + "/config/mtu 1500; " + e2 + "/config/mtu 1500", hostname + ` "leaf01"`}; !slices.Equal(got, want) {
			w.t.Errorf("got %q", got)
		}
	}},
	{"3.3.2", "no paths are no notifications", func(w *wire) {
		if got := w.get(&gnmi.GetRequest{}); len(got) != 0 {
			w.t.Errorf("%q", got)
		}
	}},
	{"3.3.4", "what exists is returned: a leaf, an entry, a container, the root", func(w *wire) {
		w.gets(e2, ietfJSON, e2+` {"openconfig-interfaces:name":"Ethernet2","openconfig-interfaces:config":{"mtu":1500,"name":"Ethernet2"}}`)
		w.holds("/interfaces", `{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1","description":"one","mtu":1500}},{"name":"Ethernet2","config":{"name":"Ethernet2","mtu":1500}}]}`)
	}},
	{"3.3.4", "a default that is in use is returned, where the target reports defaults", func(w *wire) {
		w.lacks(e1+"/config/enabled", "/lldp/config/enabled") // one that does not has no such value
		w = serve(w.t, sim.Config{Initial: []byte(base), Defaults: true})
		w.gets(e1+"/config/enabled", ietfJSON, e1+"/config/enabled true")
		w.gets(e1+"/config", ietfJSON, e1+`/config {"openconfig-interfaces:description":"one","openconfig-interfaces:enabled":true,"openconfig-interfaces:mtu":1500,"openconfig-interfaces:name":"Ethernet1","openconfig-vlan:tpid":"openconfig-vlan-types:TPID_0X8100"}`)
		w.gets("/lldp/config/enabled", ietfJSON, "/lldp/config/enabled true")
		w.gets("/interfaces/interface/config/enabled", protoVals, e1+"/config/enabled bool_val:true", e2+"/config/enabled bool_val:true")
		w.lacks(e3+"/config/enabled", e1+"/config/type") // no entry, no default
	}},
	{"3.3.4", "what does not exist is NotFound, also as one of several", func(w *wire) {
		w.lacks(e3, e3+"/config", e1+"/config/loopback-mode", "/network-instances", aclSet+"[name=C][type=ACL_IPV4]")
		_, err := w.Get(w.ctx(), &gnmi.GetRequest{Path: []*gnmi.Path{path(hostname), path(e3)}})
		w.fails(err, codes.NotFound, "Ethernet3")
	}},
	{"3.3.4", "wildcards that match nothing are an answer without updates", func(w *wire) {
		w.gets("/interfaces/interface[name=*]/config/loopback-mode", ietfJSON)
		w.gets(aclSet+"[name=C]", ietfJSON)
	}},
	{"3.3.4", "state is in the models and not implemented: Unimplemented", func(w *wire) {
		for _, p := range []string{e1 + "/state", e1 + "/state/oper-status", e1 + "/state/counters/in-octets", "/interfaces/interface/state", "/system/state/boot-time", "/*/state"} {
			w.getFails(p, codes.Unimplemented, "state")
		}
	}},
	{"3.3.4", "a path that can't be read is InvalidArgument", func(w *wire) {
		for _, p := range []string{"/interfaces[name=x]", "/interfaces/interface[nmae=x]", "/interfaces/interface[name=x]/subinterfaces/subinterface[index=x]", aclSet + "[type=NONE]"} {
			w.getFails(p, codes.InvalidArgument, "")
		}
	}},
}
