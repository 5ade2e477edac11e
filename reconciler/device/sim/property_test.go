package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// dice makes random Sets over a few nodes, some of them wrong.
type dice struct {
	*rand.Rand
	t testing.TB
}

func (d dice) pick(of ...string) string { return of[d.IntN(len(of))] }

func (d dice) name() string { return "e" + strconv.Itoa(d.IntN(3)) }

func (d dice) config(name string) string {
	m := map[string]any{"name": name}
	if d.IntN(2) == 0 {
		m["mtu"] = 1500 + d.IntN(3)
	}
	if d.IntN(2) == 0 {
		m["description"] = d.pick("a", "b")
	}
	if d.IntN(12) == 0 {
		m[d.pick("mtu", "nonsense", "enabled")] = "wrong"
	}
	b, _ := json.Marshal(m)
	return string(b)
}

func (d dice) entry(name string) string {
	return `{"name":"` + name + `","config":` + d.config(name) + `}`
}

func (d dice) entries() string {
	names := []string{"e0", "e1", "e2"}
	d.Shuffle(3, func(i, j int) { names[i], names[j] = names[j], names[i] })
	var out []string
	for _, n := range names[:d.IntN(4)] {
		out = append(out, d.entry(n))
	}
	return "[" + strings.Join(out, ",") + "]"
}

func (d dice) servers() string {
	names := []string{`{"address":"1.1.1.1"}`, `{"address":"2.2.2.2"}`, `{"address":"3.3.3.3"}`}
	d.Shuffle(3, func(i, j int) { names[i], names[j] = names[j], names[i] })
	return `{"server":[` + strings.Join(names[:d.IntN(4)], ",") + `]}`
}

func (d dice) write() *gnmi.Update {
	name := d.name()
	eth := "/interfaces/interface[name=" + name + "]"
	switch d.IntN(9) {
	case 0:
		return up(d.t, eth+"/config/mtu", d.pick("1500", "1501", "1502", "99999"))
	case 1:
		return up(d.t, eth+"/config/description", d.pick(`"a"`, `"b"`))
	case 2:
		return up(d.t, eth+"/config", d.config(name))
	case 3:
		return up(d.t, eth, d.entry(name))
	case 4:
		return up(d.t, "/interfaces", `{"interface":`+d.entries()+`}`)
	case 5:
		return up(d.t, "/interfaces/interface", d.entries())
	case 6:
		return up(d.t, search, d.pick(`["a","b"]`, `["b","a"]`, `["c"]`, `[]`))
	case 7:
		return up(d.t, "/system/dns/servers", d.servers())
	}
	return up(d.t, "/", `{"openconfig-interfaces:interfaces":{"interface":`+d.entries()+`}}`)
}

func (d dice) remove() *gnmi.Path {
	return p(d.t, d.pick("/interfaces/interface[name="+d.name()+"]", "/interfaces/interface[name=*]/config/mtu",
		"/interfaces", "/system/dns", "/interfaces/interface[name="+d.name()+"]/config", search, "/.../description",
		"/system/dns/servers/server[address=2.2.2.2]"))
}

func (d dice) set() *gnmi.SetRequest {
	req := &gnmi.SetRequest{}
	for range d.IntN(3) {
		req.Delete = append(req.Delete, d.remove())
	}
	for range d.IntN(3) {
		req.Replace = append(req.Replace, d.write())
	}
	for range d.IntN(3) {
		req.Update = append(req.Update, d.write())
	}
	return req
}

// mirror is a client that knows a target by its stream alone.
type mirror map[string]string

// apply does deletes, then updates, as gNMI 3.5.2.3 has it.
func (m mirror) apply(n *gnmi.Notification) {
	for _, d := range n.GetDelete() {
		gone := pathText(d.GetElem())
		maps.DeleteFunc(m, func(path, _ string) bool {
			rest, ok := strings.CutPrefix(path, gone)
			return ok && (rest == "" || rest[0] == '/')
		})
	}
	for _, u := range n.GetUpdate() {
		m[pathText(u.GetPath().GetElem())] = valueText(u.GetVal())
	}
}

// leaves is what a mirror of the target must hold.
func (t *Target) leaves() mirror {
	m := mirror{}
	differ{updated: func(path []step, d datum) {
		m[pathText(gnmiPath(path).GetElem())] = d.token
	}}.along(nil, nil, t.now(), nil)
	return m
}

// Random Sets: one that fails changes nothing and tells nothing; one that succeeds
// does what its operations do one by one; and who follows a stream always knows
// the configuration.
func TestRandomSetsAreAtomicAndToldInFull(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			d := dice{rand.New(rand.NewPCG(seed, 1)), t}
			c := start(t, "")
			single := start(t, "").target
			r := c.subscribe(deadline(t), list1(t, gnmi.SubscriptionList_STREAM, onChange(t, "/")))
			r.wants("sync")
			seen, failed := mirror{}, 0
			for range 150 {
				req := d.set()
				before, changing := c.target.Config(), c.target.ChangingSets()
				_, err := c.Set(deadline(t), req)
				after := c.target.Config()
				changed := !bytes.Equal(before, after)
				if err != nil {
					failed++
					if changed || status.Code(err) != codes.InvalidArgument {
						t.Fatalf("%v\n%v\nchanged: %v", req, err, changed)
					}
					continue
				}
				if got := c.target.ChangingSets() > changing; got != changed {
					t.Fatalf("%v\ncounted as a change: %v, changed: %v", req, got, changed)
				}
				oneByOne(t, single, req)
				if diff := cmp.Diff(string(single.Config()), string(after)); diff != "" {
					t.Fatalf("%v\none by one it gives (-) instead of (+):\n%s", req, diff)
				}
				if changed {
					m, err := r.Recv()
					if err != nil {
						t.Fatal(err)
					}
					seen.apply(m.GetUpdate())
				}
				if diff := cmp.Diff(c.target.leaves(), seen); diff != "" {
					t.Fatalf("%v\nthe stream's view (-want +got):\n%s", req, diff)
				}
			}
			if failed < 5 || failed > 120 {
				t.Errorf("%d of 150 Sets failed: the dice are loaded", failed)
			}
		})
	}
}

// oneByOne does a Set's operations as Sets of their own, in the order of gNMI 3.4.
func oneByOne(t *testing.T, target *Target, req *gnmi.SetRequest) {
	t.Helper()
	var all []*gnmi.SetRequest
	for _, p := range req.GetDelete() {
		all = append(all, &gnmi.SetRequest{Delete: []*gnmi.Path{p}})
	}
	for _, u := range req.GetReplace() {
		all = append(all, &gnmi.SetRequest{Replace: []*gnmi.Update{u}})
	}
	for _, u := range req.GetUpdate() {
		all = append(all, &gnmi.SetRequest{Update: []*gnmi.Update{u}})
	}
	for _, one := range all {
		if _, err := target.Set(t.Context(), one); err != nil {
			t.Fatalf("%v alone: %v", one, err)
		}
	}
}

// The tree's own invariants: sorted, unique, no empty container, no list without
// entries, keys that agree with the leaves that carry them.
func check(t testing.TB, n *node) {
	t.Helper()
	if !slices.IsSortedFunc(n.leaves, func(a, b datum) int { return byOrd(a.schema, b.schema) }) {
		t.Fatalf("%s: leaves out of order", n.schema.path())
	}
	for i, d := range n.leaves {
		if i > 0 && n.leaves[i-1].schema == d.schema || d.token == "" {
			t.Fatalf("%s: %s twice or empty", n.schema.path(), d.schema.name)
		}
	}
	for i, k := range n.kids {
		if k.empty() {
			t.Fatalf("%s: %s is empty", n.schema.path(), k.schema.name)
		}
		if k.isEntry() {
			if at, ok := n.entry(k.keys); !ok || at != i {
				t.Fatalf("%s: entry %q is not found where it is", n.schema.path(), k.keys)
			}
			if k.withKeys() != k {
				t.Fatalf("%s: entry %q lacks a key leaf", n.schema.path(), k.keys)
			}
		} else if i > 0 && n.kids[i-1].schema.ord >= k.schema.ord {
			t.Fatalf("%s: %s out of order", n.schema.path(), k.schema.name)
		}
		check(t, k)
	}
}

func TestRandomSetsKeepTheTreeSound(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(42, 1)), t}
	target := start(t, "").target
	for range 2000 {
		old := target.now()
		text := target.Config()
		_, err := target.Set(t.Context(), d.set())
		check(t, target.now())
		e := encoder{}
		if e.node(old, ""); !bytes.Equal(e.buf, text) {
			t.Fatalf("a Set (%v) wrote to a tree that others may be reading\nfrom %s\nto   %s", err, text, e.buf)
		}
	}
}

// What is told of a tree with defaults is filled branch by branch, as far as a Set
// changed it: it must be what filling all of it anew gives, and share the rest.
func TestDefaultsAreFilledAsFarAsTheTreeChanged(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(7, 1)), t}
	target := serve(t, Config{Defaults: true, Initial: []byte(getConfig)}).target
	untouched := target.told().kid(target.schema.index["lldp"])
	target.mustSet(t, "/interfaces/interface[name=Ethernet1]/config/mtu", "1400")
	if target.told().kid(untouched.schema) != untouched {
		t.Error("a branch that no Set touched was filled again")
	}
	for range 500 {
		req := d.set()
		_, err := target.Set(t.Context(), req)
		var got, want encoder
		got.node(target.told(), "")
		want.node(target.schema.fill(target.now(), nil, nil), "")
		if !bytes.Equal(got.buf, want.buf) {
			t.Fatalf("%v (%v)\ngot  %s\nwant %s", req, err, got.buf, want.buf)
		}
	}
}

// A path and a JSON value in a SetRequest never make the target panic, and are
// applied as a whole or not at all.
func FuzzSet(f *testing.F) {
	for _, seed := range []struct{ path, value string }{
		{"/interfaces/interface[name=e1]/config/mtu", "1500"},
		{"/interfaces/interface[name=e1]", `{"name":"e1","config":{"mtu":1}}`},
		{"/", twoInterfaces},
		{"/.../config", `{}`},
		{"/*/*[name=*]", `[{"a":[[]]}]`},
		{search, `["a","b"]`},
		{"/acl/acl-sets/acl-set[name=A][type=ACL_IPV4]", `{"name":"A","type":"ACL_IPV4"}`},
		{"/lldp/config/hello-timer", ` "30" `},
		{"/system/config/hostname", `"\ud800\u0000\\"`},
	} {
		f.Add(seed.path, []byte(seed.value), byte(0))
		f.Add(seed.path, []byte(seed.value), byte(1))
		f.Add(seed.path, []byte(seed.value), byte(2))
	}
	f.Fuzz(func(t *testing.T, text string, value []byte, op byte) {
		target, err := New(Config{Initial: []byte(getConfig)})
		if err != nil {
			t.Fatal(err)
		}
		path := loosePath(text)
		u := &gnmi.Update{Path: path, Val: &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: value}}}
		req := &gnmi.SetRequest{Update: []*gnmi.Update{up(t, "/system/config/motd-banner", `"half"`), u}}
		switch op % 3 {
		case 1:
			req = &gnmi.SetRequest{Replace: []*gnmi.Update{up(t, "/system/config/motd-banner", `"half"`), u}}
		case 2:
			req = &gnmi.SetRequest{Delete: []*gnmi.Path{p(t, "/lldp"), path}}
		}
		before := target.Config()
		_, err = target.Set(t.Context(), req)
		after := target.Config()
		if err != nil && !bytes.Equal(before, after) {
			t.Fatalf("half applied: %v\n%s", err, after)
		}
		if err == nil && !json.Valid(after) {
			t.Fatalf("not JSON: %s", after)
		}
		check(t, target.now())
		again, err := New(Config{Initial: after})
		if err != nil {
			t.Fatalf("what was applied is not valid: %v\n%s", err, after)
		}
		if !bytes.Equal(again.Config(), after) {
			t.Fatalf("read back: %s\nwas: %s", again.Config(), after)
		}
		if _, err := target.Get(t.Context(), &gnmi.GetRequest{Path: []*gnmi.Path{path}}); status.Code(err) == codes.Unknown {
			t.Fatalf("Get: %v", err)
		}
	})
}

// loosePath cuts any text into a path: nothing is refused before the target sees it.
func loosePath(text string) *gnmi.Path {
	out := &gnmi.Path{}
	for name := range strings.SplitSeq(strings.TrimPrefix(text, "/"), "/") {
		e := &gnmi.PathElem{Name: name}
		for i, k := range strings.Split(name, "[") {
			if i == 0 {
				e.Name = k
				continue
			}
			key, v, _ := strings.Cut(strings.TrimSuffix(k, "]"), "=")
			if e.Key == nil {
				e.Key = map[string]string{}
			}
			e.Key[key] = v
		}
		if name != "" {
			out.Elem = append(out.Elem, e)
		}
	}
	return out
}
