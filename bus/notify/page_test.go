package notify

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server/ats"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

var update = flag.Bool("update", false, "write golden files")

func TestMain(m *testing.M) {
	// The server's access clock is one goroutine for the whole process; it must not
	// be born inside a synctest bubble.
	ats.Register()
	os.Exit(m.Run())
}

// house is a bus with tables and a few rendered commits.
type house struct {
	t        testing.TB
	bus      *bus.Bus
	heads    *bus.Table[models.Head]
	renders  *bus.Table[models.Render]
	rollouts *bus.Table[models.Rollout]
	episodes *bus.Table[models.Episode]
	slots    *bus.Table[Slot]
}

// noon is when everything in these tests begins.
func noon() time.Time { return time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) }

func newHouse(t testing.TB) *house {
	t.Helper()
	return smallHouse(t, 0)
}

// smallHouse is a house whose store holds so many bytes.
func smallHouse(t testing.TB, store int64) *house {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{Dir: filepath.Join(t.TempDir(), "store"), MaxStore: store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return &house{
		t: t, bus: b,
		heads: bus.TableOf[models.Head](b, "heads"), renders: bus.TableOf[models.Render](b, "manifests"),
		rollouts: bus.TableOf[models.Rollout](b, "rollouts"), episodes: bus.TableOf[models.Episode](b, "episodes"),
		slots: bus.TableOf[Slot](b, "slots"),
	}
}

// put writes a row over whatever is there.
func put[T any](h *house, t *bus.Table[T], key string, v T) {
	h.t.Helper()
	_, rev, err := t.Get(context.Background(), key)
	if err == nil {
		_, err = t.Update(context.Background(), key, v, rev)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) blob(b []byte) models.Hash {
	h.t.Helper()
	hashes, err := h.bus.Blobs().Put(context.Background(), b)
	if err != nil {
		h.t.Fatal(err)
	}
	return hashes[0]
}

func (h *house) json(v any) models.Hash {
	h.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.blob(b)
}

// config is a device with the VLANs given as "10=ENG 20=OPS" and a key that must
// never show.
func config(t testing.TB, vlans, key string) []byte {
	t.Helper()
	var list []any
	for _, v := range strings.Fields(vlans) {
		id, name, _ := strings.Cut(v, "=")
		list = append(list, map[string]any{"vlan-id": json.Number(id), "config": map[string]any{"vlan-id": json.Number(id), "name": name}})
	}
	doc := map[string]any{"openconfig-network-instance:network-instances": map[string]any{"network-instance": []any{map[string]any{
		"name": "default", "config": map[string]any{"name": "default"}, "vlans": map[string]any{"vlan": list},
	}}}}
	if key != "" {
		doc["openconfig-system:system"] = map[string]any{"aaa": map[string]any{"server-groups": map[string]any{"server-group": []any{map[string]any{
			"name": "tacacs", "config": map[string]any{"name": "tacacs"},
			"servers": map[string]any{"server": []any{map[string]any{
				"address": "192.0.2.1", "config": map[string]any{"address": "192.0.2.1"},
				"tacacs": map[string]any{"config": map[string]any{"secret-key": key}},
			}}},
		}}}}}
	}
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := tree.Parse(tree.OpenConfig(), b)
	if err != nil {
		t.Fatal(err)
	}
	return tr.Canonical()
}

// manifest stores a manifest of "leaf01" → config.
func (h *house) manifest(configs map[string][]byte) (models.Hash, int) {
	h.t.Helper()
	var m models.Manifest
	for _, name := range []string{"leaf01", "leaf02", "leaf03", "leaf04", "spine01"} {
		if c, ok := configs[name]; ok {
			m.Devices = append(m.Devices, models.Intended{Device: models.Device{Name: models.DeviceName(name)}, Config: h.blob(c)})
		}
	}
	return h.json(m), len(m.Devices)
}

func (h *house) render(g models.Generation, commit string, base models.Render, configs map[string][]byte) models.Render {
	h.t.Helper()
	m, n := h.manifest(configs)
	r := models.Render{
		Generation: g, Commit: commit, Branch: "main", State: models.Rendered, Attempts: 1, Devices: n,
		Manifest: m, Base: base.Generation, BaseHash: base.Manifest, Time: noon(),
	}
	put(h, h.renders, key(g), r)
	return r
}

func key(g models.Generation) string { b, _ := json.Marshal(g); return string(b) }

func (h *house) page(k string) *Page {
	return &Page{Renders: h.renders, Rollouts: h.rollouts, Blobs: h.bus.Blobs(), Schema: tree.OpenConfig(), Key: []byte(k)}
}

const linkKey = "a key of sixteen bytes or more"

// get asks a page as a browser does, or with another Accept.
func get(t testing.TB, p *Page, link, accept string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, link, nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w.Result()
}

func body(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

func commit(c string) string { return strings.Repeat(c, 40) }

func TestPageGolden(t *testing.T) {
	h := newHouse(t)
	one := h.render(1, commit("1"), models.Render{}, map[string][]byte{
		"leaf01": config(t, "10=ENG 20=OPS", "hunter2"), "leaf02": config(t, "10=ENG", ""), "leaf03": config(t, "10=ENG", ""), "leaf04": config(t, "10=ENG", ""),
	})
	put(h, h.rollouts, "1", models.Rollout{Generation: 1, Commit: commit("1"), State: models.RolloutDone, Total: 4, Converged: 4, Changed: 4, Started: noon(), Ended: noon()})
	h.render(2, commit("2"), one, map[string][]byte{
		"leaf01": config(t, "10=<b>ENG</b> 30=LAB", "hunter3"), "leaf02": config(t, "10=ENG", ""), "leaf03": config(t, "10=ENG 40=DMZ", ""), "spine01": config(t, "10=ENG", ""),
	})
	put(h, h.rollouts, "2", models.Rollout{
		Generation: 2, Commit: commit("2"), State: models.RolloutIncomplete, Total: 4, Converged: 1, Changed: 3, Started: noon(),
		Held:     []models.DeviceNote{{Device: "leaf03", Reason: "/vlans/vlan[vlan-id=40]: no such profile"}},
		Deferred: []models.DeviceNote{{Device: "leaf02", Reason: "unreachable: connection refused"}},
		Awaiting: []models.DeviceNote{{Device: "spine01", Reason: ""}},
	})
	put(h, h.renders, "3", models.Render{
		Generation: 3, Commit: commit("3"), Branch: "main", State: models.RenderMistakes, Attempts: 1, Time: noon(),
		Mistakes: h.json([]models.Mistake{
			{File: "devices/leaf01.yaml", Line: 14, Column: 9, Path: "/interfaces/interface[name=Ethernet1]/config/mtu", Message: "99999 is above 9216", Hint: "run \"setpoint validate\" before pushing"},
			{File: "groups/<i>.yaml", Line: 2, Message: "unknown kind \"Gruop\""},
			{File: "kinds/vlan.cue", Message: "no package clause"},
		}),
	})
	put(h, h.renders, "4", models.Render{Generation: 4, Commit: commit("4"), Branch: "main", State: models.RenderError, Reason: "rendering ran out of memory", Time: noon()})
	put(h, h.renders, "6", models.Render{Generation: 6, Commit: commit("5"), Branch: "main", State: models.Rendered, Devices: 4, Manifest: models.Hash(strings.Repeat("0", 64)), Time: noon()})
	h.render(5, commit("6"), one, map[string][]byte{"leaf01": config(t, "10=ENG 20=OPS", "hunter2")})
	put(h, h.rollouts, "5", models.Rollout{
		Generation: 5, Commit: commit("6"), State: models.RolloutHeld, Total: 1,
		Hold: &models.Hold{Since: noon(), Guards: []models.FleetGuard{{
			Name: "mass-release", Reason: "3 of 4 devices are gone from the repository", Count: 3, Of: 4,
			Devices: []models.DeviceNote{{Device: "leaf02"}, {Device: "leaf03"}},
		}}},
	})
	put(h, h.renders, "7", models.Render{
		Generation: 7, Commit: commit("7"), Branch: "main", State: models.Rendered, Devices: 1, Time: noon(), Policies: true, Warnings: 2,
		Manifest: h.json(models.Manifest{Warnings: []models.Mistake{
			{File: "devices/leaf01.yaml", Line: 14, Column: 9, Code: models.CodePolicy, Path: "/interfaces/interface[name=Ethernet1]/config/mtu", Message: "policy Frames: 9000 is not 9214 (on leaf01)", Hint: "policies/frames.cue:4: Frames of 9214 bytes pass everywhere."},
			{File: "groups/<i>.yaml", Line: 2, Column: 1, Code: models.CodePolicy, Message: "policy Names: spine_01 has an underscore (on spine_01 and 3 more)"},
		}}),
	})
	p := h.page(linkKey)
	link := Linker("https://setpoint.example/", []byte(linkKey))

	var got txtar.Archive
	for _, c := range []string{"1", "2", "3", "4", "5", "6", "7"} {
		for name, query := range map[string]string{".html": "", ".txt": "&format=text"} {
			resp := get(t, p, link(commit(c))+query, browser)
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("%s%s: %d", c, name, resp.StatusCode)
			}
			text := body(t, resp)
			if strings.Contains(text, "hunter") {
				t.Errorf("%s%s shows a secret", c, name)
			}
			if strings.Contains(text, "<b>ENG") != (name == ".txt" && c == "2") || strings.Contains(text, "<i>") != (name == ".txt" && (c == "3" || c == "7")) {
				t.Errorf("%s%s is not escaped for what it is", c, name)
			}
			if name == ".txt" || c == "2" || c == "3" || c == "6" || c == "7" {
				got.Files = append(got.Files, txtar.File{Name: c + name, Data: []byte(text)})
			}
		}
	}
	golden(t, filepath.Join("testdata", "page.txtar"), got)
}

// golden compares an archive with the file, by name, or writes it.
func golden(t *testing.T, file string, got txtar.Archive) {
	t.Helper()
	sorted := map[string]string{}
	for _, f := range got.Files {
		sorted[f.Name] = string(f.Data)
	}
	if *update {
		out := &txtar.Archive{}
		for _, name := range []string{"1.txt", "2.html", "2.txt", "3.html", "3.txt", "4.txt", "5.txt", "6.html", "6.txt", "7.html", "7.txt"} {
			out.Files = append(out.Files, txtar.File{Name: name, Data: []byte(sorted[name])})
		}
		if err := os.WriteFile(file, txtar.Format(out), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, f := range a.Files {
		want[f.Name] = string(f.Data)
	}
	if diff := cmp.Diff(want, sorted); diff != "" {
		t.Errorf("golden file differs; -update writes it: %s", diff)
	}
}

func TestPageAnswersOnlySignedLinks(t *testing.T) {
	h := newHouse(t)
	h.render(1, commit("1"), models.Render{}, map[string][]byte{"leaf01": config(t, "10=ENG", "")})
	p := h.page(linkKey)
	good := Linker("https://setpoint.example", []byte(linkKey))(commit("1"))
	unknown := Linker("https://setpoint.example", []byte(linkKey))(commit("9"))
	if r := get(t, p, good, browser); r.StatusCode != http.StatusOK {
		t.Fatalf("a good link: %d", r.StatusCode)
	}
	want := body(t, get(t, p, unknown, browser))
	sig := good[strings.Index(good, "?s=")+3:]
	for _, bad := range []string{
		"/", "/commits/", "/commits/" + commit("1"), "/commits/" + commit("1") + "?s=", good[:len(good)-1], good + "A", unknown,
		"/commits/" + commit("9") + "?s=" + sig, "/commits/" + strings.ToUpper(commit("a")) + "?s=" + sig, "/commits/../" + commit("1") + "?s=" + sig,
		"/commits/" + commit("1") + "?s=" + url.QueryEscape(sig+"="), "/commits/" + commit("1") + "?s=" + strings.Repeat("x", 300),
		Linker("https://setpoint.example", []byte("another key, as long"))(commit("1")),
	} {
		r := get(t, p, bad, browser)
		if text := body(t, r); r.StatusCode != http.StatusNotFound || text != want {
			t.Errorf("%s: %d %q", bad, r.StatusCode, text)
		}
	}
	keyless := h.page("")
	if r := get(t, keyless, "/commits/"+commit("1")+"?s="+sign(nil, commit("1")), browser); r.StatusCode != http.StatusNotFound {
		t.Errorf("without a key: %d", r.StatusCode)
	}
	if Linker("https://setpoint.example", nil) != nil || Linker("", []byte(linkKey)) != nil {
		t.Error("links that nothing answers")
	}
}

func TestPageGuardsItsReader(t *testing.T) {
	h := newHouse(t)
	h.render(1, commit("1"), models.Render{}, map[string][]byte{"leaf01": config(t, "10=ENG", "")})
	p := h.page(linkKey)
	link := Linker("https://setpoint.example", []byte(linkKey))(commit("1"))
	for path, code := range map[string]int{link: 200, "/healthz": 200, "/x": 404} {
		r := get(t, p, path, browser)
		if r.StatusCode != code {
			t.Errorf("%s: %d", path, r.StatusCode)
		}
		for header, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			if got := r.Header.Get(header); !strings.HasPrefix(got, want) {
				t.Errorf("%s: %s is %q", path, header, got)
			}
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest(method, link, nil))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	for accept, want := range map[string]string{browser: "text/html; charset=utf-8", "text/plain": "text/plain; charset=utf-8", "": "text/html; charset=utf-8", "*/*": "text/html; charset=utf-8"} {
		if got := get(t, p, link, accept).Header.Get("Content-Type"); got != want {
			t.Errorf("Accept %q: %s", accept, got)
		}
	}
	if got := get(t, p, link+"&format=html", "text/plain").Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("format=html: %s", got)
	}
}

func TestPageSaysThatTheStoreIsAway(t *testing.T) {
	h := newHouse(t)
	h.render(1, commit("1"), models.Render{}, map[string][]byte{"leaf01": config(t, "10=ENG", "")})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, Linker("https://s.example", []byte(linkKey))(commit("1")), nil)
	w := httptest.NewRecorder()
	h.page(linkKey).ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

func TestPageComputesADifferenceOnce(t *testing.T) {
	h := newHouse(t)
	h.render(1, commit("1"), models.Render{}, map[string][]byte{"leaf01": config(t, "10=ENG", "")})
	p := h.page(linkKey)
	link := Linker("https://s.example", []byte(linkKey))(commit("1"))
	want := body(t, get(t, p, link, browser))
	if _, _, err := h.bus.Blobs().Sweep(t.Context(), func(models.Hash) bool { return false }, 0); err != nil {
		t.Fatal(err)
	}
	if got := body(t, get(t, p, link, browser)); got != want {
		t.Error(cmp.Diff(want, got))
	}
	for i := range pageCached { // other commits push it out
		p.diffs = append(p.diffs[min(1, len(p.diffs)):], cachedDiff{key: key(models.Generation(i))})
	}
	if got := body(t, get(t, p, link, browser)); !strings.Contains(got, "no longer kept") {
		t.Error("a difference is kept for ever")
	}
}

func BenchmarkDiffOf100Devices(b *testing.B) {
	h := newHouse(b)
	var m models.Manifest
	for i := range 100 {
		var vlans []string
		for id := range 200 {
			vlans = append(vlans, key(models.Generation(id+1))+"=V"+key(models.Generation(i)))
		}
		m.Devices = append(m.Devices, models.Intended{Device: models.Device{Name: models.DeviceName("leaf" + key(models.Generation(i)))}, Config: h.blob(config(b, strings.Join(vlans, " "), ""))})
	}
	r := models.Render{Generation: 1, Manifest: h.json(m)}
	for b.Loop() {
		if _, err := (differ{Blobs: h.bus.Blobs(), Schema: tree.OpenConfig()}).Diff(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}

func TestPageShowsTheNewestGenerationOfACommit(t *testing.T) {
	h := newHouse(t)
	configs := map[string][]byte{"leaf01": config(t, "10=ENG", "")}
	one := h.render(1, commit("1"), models.Render{}, configs)
	for g := range models.Generation(8) {
		h.render(g+2, commit("1"), one, configs)
	}
	text := body(t, get(t, h.page(linkKey), Linker("https://s.example", []byte(linkKey))(commit("1"))+"&format=text", ""))
	if !strings.HasPrefix(text, "no change\n") || !strings.Contains(text, "generation 9") {
		t.Error(text)
	}
}

func TestPageCutsWhatIsTooLong(t *testing.T) {
	h := newHouse(t)
	var vlans []string
	for id := range 4000 {
		vlans = append(vlans, key(models.Generation(id+1))+"="+strings.Repeat("N", 200))
	}
	big := config(t, strings.Join(vlans, " "), "")
	h.render(1, commit("1"), models.Render{}, map[string][]byte{"leaf01": big})
	d, err := differ{Blobs: h.bus.Blobs(), Schema: tree.OpenConfig(), Text: true}.Diff(t.Context(), first(t, h))
	if err != nil {
		t.Fatal(err)
	}
	one := d.Devices[0]
	if !one.Cut || len(one.Text) > maxDeviceDiff || !strings.HasSuffix(one.Text, "\n") || one.Added < 4000 {
		t.Errorf("cut %v, %d bytes, +%d", one.Cut, len(one.Text), one.Added)
	}
}

func first(t *testing.T, h *house) models.Render {
	t.Helper()
	r, _, err := h.renders.Get(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func FuzzPageLink(f *testing.F) {
	p := &Page{Key: []byte(linkKey)}
	f.Add("/commits/"+commit("a"), "s="+sign(p.Key, commit("a")))
	f.Add("/commits/../x", "s="+sign(p.Key, "../x"))
	f.Add("/commits/"+commit("a")+"/..", "s=%zz&format=text")
	f.Fuzz(func(t *testing.T, path, query string) {
		r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{}}
		req, ok := p.read(r)
		if !ok {
			return
		}
		if q, err := url.ParseQuery(query); err != nil || q.Get("s") != sign(p.Key, req.commit) || path != "/commits/"+req.commit || !isCommit(req.commit) {
			t.Errorf("%q %q was let in as %+v", path, query, req)
		}
	})
}
