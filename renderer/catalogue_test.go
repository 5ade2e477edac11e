package renderer_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/setpoint-net/setpoint/renderer"
)

// smallFabric is two leaves and a spine, for the examples of the library.
const smallFabric = `
apiVersion: setpoint/v1
kind: Group
metadata: {name: all}
for: {selector: "*"}
spec: {manage: [/interfaces, /network-instances, /acl, /routing-policy, /system, /lacp, /ethernet-segments, /qos]}
---
apiVersion: setpoint/v1
kind: Device
metadata: {name: leaf01, labels: {role: leaf}}
spec: {address: 192.0.2.11, credentials: lab, vars: {asn: 65011, loopback: 10.255.0.11}}
---
apiVersion: setpoint/v1
kind: Device
metadata: {name: leaf02, labels: {role: leaf}}
spec: {address: 192.0.2.12, credentials: lab, vars: {asn: 65012, loopback: 10.255.0.12}}
---
apiVersion: setpoint/v1
kind: Device
metadata: {name: spine01, labels: {role: spine}}
spec: {address: 192.0.2.1, credentials: lab, vars: {asn: 65001, loopback: 10.255.0.1}}
`

func kinds(t *testing.T, repo fstest.MapFS) map[string]renderer.Kind {
	t.Helper()
	list, mistakes, err := new(renderer.Renderer).Kinds(context.Background(), repo)
	if err != nil || len(mistakes) > 0 {
		t.Fatalf("kinds: %v, %v", mistakes, err)
	}
	out := make(map[string]renderer.Kind)
	for _, k := range list {
		out[k.Name] = k
	}
	return out
}

// builtIn are the library's kinds, sorted.
var builtIn = strings.Fields(`ACL AccessPorts BGPPeering ISIS OSPF Overlay PortChannel PrefixList QoS
	RoutePolicy RoutedInterfaces StaticRoutes System Underlay VLANs VNI VRF`)

func TestEveryBuiltInKindExplainsItself(t *testing.T) {
	all := kinds(t, nil)
	for _, name := range builtIn {
		k := all[name]
		if !strings.HasPrefix(k.Doc, name+" ") || !strings.Contains(k.Doc, "Not covered: ") || !k.BuiltIn || len(k.Fields) == 0 {
			t.Errorf("kind %s: doc %q, built in %v, %d fields", name, k.Doc, k.BuiltIn, len(k.Fields))
		}
		for _, f := range append(k.Fields, k.Vars...) {
			if !strings.HasSuffix(f.Doc, ".") || f.Type == "" || f.Type == "any" {
				t.Errorf("kind %s: field %s has the type %q and says %q", name, f.Name, f.Type, f.Doc)
			}
		}
	}
	if names := slices.Sorted(maps.Keys(all)); !slices.Equal(names, builtIn) {
		t.Errorf("kinds %v, want %v", names, builtIn)
	}
}

func TestExamplesRenderAndEjectedKindsRenderTheSame(t *testing.T) {
	for name, k := range kinds(t, nil) {
		repo := fstest.MapFS{
			"fabric.yaml":  {Data: []byte(smallFabric)},
			"example.yaml": {Data: []byte(k.Example)},
		}
		want := render(t, repo)
		if len(want.Mistakes) > 0 {
			t.Errorf("the example of %s: %v", name, want.Mistakes)
			continue
		}
		ejected := maps.Clone(repo)
		ejected["kinds/"+strings.ToLower(name)+".cue"] = &fstest.MapFile{Data: k.Source}
		got := render(t, ejected)
		if text(t, got) != text(t, want) {
			t.Errorf("ejected %s renders\n%s\nwant\n%s", name, text(t, got), text(t, want))
		}
		if own := kinds(t, ejected)[name]; own.BuiltIn || !own.Overrides || own.File != "kinds/"+strings.ToLower(name)+".cue" {
			t.Errorf("ejected %s is said to be of %s, built in %v, overrides %v", name, own.File, own.BuiltIn, own.Overrides)
		}
	}
}

func TestAllKindsMergeInOneFabric(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/library-fabric.txtar")
	if err != nil {
		t.Fatal(err)
	}
	repo := repoOf(t, archive.Files[:len(archive.Files)-1])
	var written strings.Builder
	for _, f := range repo {
		written.Write(f.Data)
	}
	for _, name := range builtIn {
		if !strings.Contains(written.String(), "kind: "+name+"\n") {
			t.Errorf("the fabric has no %s", name)
		}
	}
	if r := render(t, repo); len(r.Mistakes) > 0 || len(r.Devices) != 4 {
		t.Errorf("%d devices, mistakes %v", len(r.Devices), r.Mistakes)
	}
}

// The names of the built-in kinds are shared by all renderings of a process.
func TestABrokenKindSpoilsNoOtherRepos(t *testing.T) {
	render(t, fstest.MapFS{"kinds/aaa.cue": {Data: []byte("package kinds\n#AAA: {openconfig: 1 & 2}\n")}})
	if got := slices.Sorted(maps.Keys(kinds(t, nil))); !slices.Equal(got, builtIn) {
		t.Errorf("then the kinds are %v", got)
	}
	repo := fstest.MapFS{"a.yaml": {Data: []byte("apiVersion: setpoint/v1\nkind: VRF\nmetadata: {name: v}\nfor: {selector: '*'}\nspec: {name: v}\n" +
		"---\napiVersion: setpoint/v1\nkind: Device\nmetadata: {name: leaf01}\nspec: {address: 192.0.2.1, credentials: lab, manage: [/network-instances]}\n")}}
	if r := render(t, repo); len(r.Mistakes) > 0 {
		t.Errorf("then VRF is refused: %v", r.Mistakes)
	}
}

func TestFieldsAreReadOffAKind(t *testing.T) {
	k := kinds(t, fstest.MapFS{"kinds/own.cue": {Data: []byte(`package kinds

// Own is one's own.
//
// Example:
//
//	spec:
//	  name: x
#Own: {
	spec: {
		// The name.
		name: string & =~"^x"
		size: *"small" | "large" | "huge"
		speed: *10 | int & >=1 & <=100
		opt?: bool
		list: [...#item]
		two: [#PortRange, ...#PortRange]
		const: 7
		if size == "large" {extra: int}
	}
	#item: {id: #VLANID, on: *false | bool}
	device: vars: {asn: int, ...}
	openconfig: {}
}
`)}})["Own"]
	var got strings.Builder
	fmt.Fprintf(&got, "%s|%s", k.Doc, k.Example)
	for _, f := range append(k.Fields, k.Vars...) {
		fmt.Fprintf(&got, "%s: %s = %q %v %s\n", f.Name, f.Type, f.Default, f.Required, f.Doc)
	}
	const want = `Own is one's own.|spec:
  name: x
name: string = "" true The name.
size: "small" | "large" | "huge" = "small" false 
speed: int 1..100 = "10" false 
opt: bool = "" false 
list: list of mapping = "" false 
list[].id: VLANID = "" true 
list[].on: bool = "false" false 
two: list of PortRange = "" true 
const: 7 = "7" false 
asn: int = "" true 
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func TestKindsTellsTheMistakesOfTheRepos(t *testing.T) {
	list, mistakes, err := new(renderer.Renderer).Kinds(context.Background(), fstest.MapFS{
		"kinds/bad.cue": {Data: []byte("package kinds\n#Bad: {\n")},
		"a.yaml":        {Data: []byte("not: [yaml\n")},
	})
	if err != nil || len(list) != len(builtIn) || len(mistakes) != 1 || mistakes[0].File != "kinds/bad.cue" {
		t.Errorf("%d kinds, %v, %v", len(list), mistakes, err)
	}
}
