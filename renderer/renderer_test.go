package renderer_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	repotemplate "github.com/setpoint-net/setpoint/repo-template"

	"github.com/setpoint-net/setpoint/renderer"
)

// template is the repo that init writes, with a kind of its own, a group with
// references and a device with a fragment beside.
func template(t testing.TB) fstest.MapFS {
	t.Helper()
	repo := fstest.MapFS{
		"kinds/access.cue": {Data: []byte(strings.ReplaceAll(portsKind, "#PortRun", "#Access"))},
		"policies/extra.cue": {Data: []byte(`package policies

// Banners name the site.
#Banners: {
	mode: "warn"
	for: selector: "role=leaf"
	paths: banners: "/system/config/motd-banner"
	device: banners: [...]
	violations: [for b in device.banners if b.value =~ "lon1" {path: b.path, message: b.value}]
}
`)},
		"extra/ports.yaml": {Data: []byte(`apiVersion: setpoint/v1
kind: Access
metadata: {name: access}
for: {devices: [leaf01, leaf03]}
spec: {from: 20, to: 23, vlan: 10}
`)},
		"extra/group.yaml": {Data: []byte(`apiVersion: setpoint/v1
kind: Group
metadata: {name: banner}
for: {selector: role=leaf}
spec:
  priority: 20
  vars: {owner: net, motd: hello}
  openconfig:
    system: {config: {motd-banner: "${name} of ${vars.owner}, ${labels.site}"}}
`)},
		"extra/static.yaml": {Data: []byte(`apiVersion: setpoint/v1
kind: Group
metadata: {name: banners}
for: {selector: role=spine}
spec:
  openconfig:
    system: {config: {login-banner: welcome}}
`)},
		"extra/tenant.yaml": {Data: []byte(`apiVersion: setpoint/v1
kind: Tenant
metadata: {name: shop}
spec: {folder: shop, ports: {leaf01: ["Ethernet[40-44]"]}, kinds: [AccessPorts], vlans: [10, 20]}
`)},
		"shop/request.yaml": {Data: []byte(`apiVersion: setpoint/v1
kind: AccessPorts
metadata: {name: tills}
for: {devices: [leaf01]}
spec: {ports: ["Ethernet[40-41]"], vlan: 10}
`)},
		"extra/device.yaml": {Data: []byte(`apiVersion: setpoint/v1
kind: Device
metadata: {name: leaf09, labels: {role: leaf, site: lon1}}
spec:
  address: "192.0.2.19:9339"
  credentials: lab
  vars: {asn: 65019, loopback: 10.255.0.19}
  openconfig:
    interfaces:
      interface:
        - {name: Ethernet30, config: {type: ethernetCsmacd, mtu: 1500, description: "to ${vars.owner}"}}
  platform: box
`)},
		"extra/platform.yaml": {Data: []byte(`apiVersion: setpoint/v1
kind: Platform
metadata: {name: box}
spec:
  omits: [/lldp]
  unconditional: [/network-instances/network-instance/encapsulation]
  origin: openconfig
`)},
	}
	err := fs.WalkDir(repotemplate.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var data []byte
			data, err = repotemplate.Files.ReadFile(name)
			repo[name] = &fstest.MapFile{Data: data}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(repo, "tenants/tenants.yaml") // its tenants ask on all leaves, and are granted ports by name
	return repo
}

// edit changes one file at random, as people do and as they don't.
func edit(r *rand.Rand, original, repo fstest.MapFS) string {
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range original {
			if !yield(name) {
				return
			}
		}
	})
	name := names[r.IntN(len(names))]
	f := repo[name]
	if f == nil || r.IntN(3) == 0 {
		repo[name] = &fstest.MapFile{Data: original[name].Data}
		return "restore " + name
	}
	lines := strings.SplitAfter(string(f.Data), "\n")
	i := r.IntN(len(lines))
	did := ""
	swap := func(from, to string) {
		did = fmt.Sprintf("%s -> %s", from, to)
		lines[i] = strings.Replace(lines[i], from, to, 1)
	}
	switch r.IntN(14) {
	case 0:
		delete(repo, name)
		return "remove " + name
	case 1:
		did, lines[i] = "comment", "# a comment\n"+lines[i]
	case 2:
		did, lines[i] = "delete line", ""
	case 3:
		did, lines[i] = "double line", lines[i]+lines[i]
	case 4:
		did = "double document"
		lines = append(lines, append([]string{"---\n"}, lines...)...)
	case 5:
		swap("1", "2")
	case 6:
		swap("leaf", "spine")
	case 7:
		swap("10", "20")
	case 8:
		swap("name:", "nam:")
	case 9:
		swap("[", "")
	case 10:
		swap("${vars.owner}", "${vars.motd}")
	case 11:
		swap(": ", ":  ")
	case 12:
		swap("lon1", "lon2")
	case 13:
		did, lines[i] = "digit", strings.Map(func(c rune) rune {
			if c >= '0' && c <= '9' && r.IntN(3) == 0 {
				return '0' + rune(r.IntN(10))
			}
			return c
		}, lines[i])
	}
	repo[name] = &fstest.MapFile{Data: []byte(strings.Join(lines, ""))}
	return fmt.Sprintf("%s:%d: %s", name, i+1, did)
}

// The law that lets a Renderer keep anything: whatever it rendered before, a tree
// renders to what it renders to alone, mistakes and their order included.
func TestWhatWasRenderedBeforeChangesNothing(t *testing.T) {
	const steps = 50
	for seed := range uint64(2) {
		random := rand.New(rand.NewPCG(seed, 7))
		original, repo := template(t), template(t)
		var warm renderer.Renderer
		sound, fresh, devices := 0, 0, 0
		var story []string
		for range steps {
			story = append(story, edit(random, original, repo))
			want := render(t, repo)
			got, err := warm.Render(context.Background(), repo)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(text(t, want), text(t, got)); d != "" {
				t.Fatalf("seed %d, after %q: alone (-), after others (+)\n%s", seed, story[max(0, len(story)-8):], d)
			}
			if len(got.Mistakes) == 0 {
				sound++
				fresh += got.Fresh
				devices += len(got.Devices)
			}
			if len(got.Mistakes) > 12 || random.IntN(4) == 0 { // so that sound trees come by
				repo = fstest.MapFS{}
				for name, f := range original {
					repo[name] = f
				}
				story = append(story, "restore all")
			}
		}
		t.Logf("seed %d: %d of %d trees are sound; %d of their %d devices were rendered anew", seed, sound, steps, fresh, devices)
		if sound < steps/6 || sound > steps*9/10 || fresh*2 > devices {
			t.Errorf("seed %d: %d of %d trees sound, %d of %d devices rendered anew: the edits test little", seed, sound, steps, fresh, devices)
		}
	}
}

// again renders repo twice, with a change between, and returns how many devices
// were rendered anew for the second, which is to be as it would be alone.
func again(t *testing.T, repo fstest.MapFS, name, from, to string) int {
	t.Helper()
	var r renderer.Renderer
	first, err := r.Render(context.Background(), repo)
	if err != nil || len(first.Mistakes) > 0 {
		t.Fatal(err, first.Mistakes)
	}
	if first.Fresh != len(first.Devices) {
		t.Errorf("%d of %d devices are fresh the first time", first.Fresh, len(first.Devices))
	}
	before := repo[name].Data
	if !bytes.Contains(before, []byte(from)) {
		t.Fatalf("%s holds no %q", name, from)
	}
	changed := fstest.MapFS{}
	for n, f := range repo {
		changed[n] = f
	}
	changed[name] = &fstest.MapFile{Data: []byte(strings.Replace(string(before), from, to, 1))}
	second, err := r.Render(context.Background(), changed)
	if err != nil || len(second.Mistakes) > 0 {
		t.Fatal(err, second.Mistakes)
	}
	if d := cmp.Diff(text(t, render(t, changed)), text(t, second)); d != "" {
		t.Errorf("after %q became %q: alone (-), after another (+)\n%s", from, to, d)
	}
	return second.Fresh
}

func TestOnlyWhatAChangeTouchesIsRenderedAnew(t *testing.T) {
	for _, c := range []struct {
		what, file, from, to string
		fresh                int
	}{
		{"nothing", "extra/group.yaml", "motd: hello", "motd: hello", 0},
		{"a comment", "inventory/devices.yaml", "apiVersion", "# hello\n---\napiVersion", 0},
		{"quotes", "fabric/system.yaml", "lon1.example.com", `"lon1.example.com"`, 0},
		{"an address", "extra/device.yaml", "192.0.2.19", "192.0.2.20", 0},
		{"how a device is written", "extra/device.yaml", "  address:", "  apply: root\n  address:", 0},
		{"a document's name", "extra/group.yaml", "name: banner", "name: motd", 0},
		{"a device's fragment", "extra/device.yaml", "mtu: 1500", "mtu: 1600", 1},
		{"a request for two devices", "extra/ports.yaml", "vlan: 10", "vlan: 20", 2},
		{"a group of spines", "extra/static.yaml", "welcome", "be welcome", 2},
		{"an AS number", "inventory/devices.yaml", "asn: 65011", "asn: 65099", 3},
		{"a loopback", "inventory/devices.yaml", "loopback: 10.255.0.12", "loopback: 10.255.0.99", 3},
		{"a cable's address", "inventory/links.yaml", "10.1.0.1/31", "10.1.0.3/31", 2},
		{"a cable's port", "inventory/links.yaml", "port: Ethernet49", "port: Ethernet48", 2},
		{"a label that nobody asks for", "extra/device.yaml", "role: leaf,", "role: leaf, rack: r1,", 0},
		{"a var that leaves and their peers see", "extra/group.yaml", "owner: net", "owner: us", 7},
		{"a group's priority", "extra/group.yaml", "priority: 20", "priority: 30", 5},
		{"what a platform lacks", "extra/platform.yaml", "/lldp", "/lacp", 1},
		{"a condition that a platform lifts", "extra/platform.yaml", "/encapsulation", "/evpn", 1},
		{"what is managed", "inventory/groups.yaml", "/acl]", "/acl, /lldp]", 7},
		{"how a platform is spoken to", "extra/platform.yaml", "origin: openconfig", "origin: oc", 0},
		{"in which order a platform is written", "extra/platform.yaml", "  origin:", "  phases: [[/interfaces]]\n  origin:", 0},
		{"a kind that all have", "fabric/system.yaml", "lon1.example.com", "lon2.example.com", 7},
	} {
		repo := template(t)
		delete(repo, "policies/links.cue") // some of these take a link's ends apart
		if got := again(t, repo, c.file, c.from, c.to); got != c.fresh {
			t.Errorf("%s: %d devices rendered anew, want %d", c.what, got, c.fresh)
		}
	}
}

// summed is a file system that names its files' content, and counts reads.
type counting struct {
	fstest.MapFS
	reads *atomic.Int64
}

func (c counting) ReadFile(name string) ([]byte, error) {
	if c.reads != nil {
		c.reads.Add(1)
	}
	return c.MapFS.ReadFile(name)
}

func (c counting) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := c.MapFS.ReadDir(name)
	for i, e := range list {
		if f := c.MapFS[strings.TrimPrefix(name+"/"+e.Name(), "./")]; f != nil {
			list[i] = sumEntry{e, f.Data}
		}
	}
	return list, err
}

type sumEntry struct {
	fs.DirEntry
	data []byte
}

func (e sumEntry) Sum() string { return string(e.data) }

func TestAnUnchangedFileIsNotReadAgain(t *testing.T) {
	repo := counting{template(t), new(atomic.Int64)}
	var r renderer.Renderer
	for i, want := range []int{-1, 0, 1, 0} {
		if i == 2 {
			repo.MapFS["extra/group.yaml"] = &fstest.MapFile{Data: append([]byte("# hello\n"), repo.MapFS["extra/group.yaml"].Data...)}
		}
		repo.reads.Store(0)
		res, err := r.Render(context.Background(), repo)
		if err != nil || len(res.Mistakes) > 0 {
			t.Fatal(err, res.Mistakes)
		}
		if got := int(repo.reads.Load()); want >= 0 && got != want {
			t.Errorf("rendering %d read %d files, want %d", i, got, want)
		}
		if res.Files < 10 {
			t.Errorf("%d files", res.Files)
		}
	}
}
