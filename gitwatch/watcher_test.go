package gitwatch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/gitwatch/gitwatchtest"
	"github.com/setpoint-net/setpoint/models"
)

// house is a bus with a consumer on the commits, and the log.
type house struct {
	t       testing.TB
	bus     *bus.Bus
	heads   *bus.Table[models.Head]
	commits *bus.Topic[models.Head]
	events  chan models.Head
	log     *logbook
}

func newHouse(t testing.TB) *house {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{Dir: filepath.Join(t.TempDir(), "store")})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, bus: b, heads: bus.TableOf[models.Head](b, "heads"), commits: bus.TopicOf[models.Head](b, "setpoint.commit"), events: make(chan models.Head, 1000), log: &logbook{}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		err := h.commits.Consume(ctx, "test", func(_ context.Context, head models.Head) error {
			h.events <- head
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// watcher watches url, with an interval that no test lives to see.
func (h *house) watcher(url string) *Watcher {
	h.t.Helper()
	return &Watcher{
		URL: url, Dir: filepath.Join(h.t.TempDir(), "mirror"), Interval: time.Hour, Timeout: time.Minute,
		Heads: h.heads, Commits: h.commits, Floor: h.bus.Floor, RaiseFloor: h.bus.RaiseFloor,
		Log: slog.New(slog.NewJSONHandler(h.log, nil)),
	}
}

// start prepares a watcher for looks, one at a time.
func (h *house) start(w *Watcher) *lookout {
	h.t.Helper()
	l, err := w.lookout()
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(l.close)
	return l
}

func (h *house) look(l *lookout) {
	h.t.Helper()
	if err := l.look(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// await returns the next n events, and is sure that there is no other before
// the mark that it publishes.
func (h *house) await(n int) []models.Head {
	h.t.Helper()
	mark := models.Head{Branch: "mark", New: time.Now().String()}
	if err := h.commits.Publish(h.t.Context(), "mark", mark.New, mark); err != nil {
		h.t.Fatal(err)
	}
	var heads []models.Head
	for {
		select {
		case head := <-h.events:
			if head == mark {
				if len(heads) != n {
					h.t.Fatalf("%d events, want %d: %+v", len(heads), n, heads)
				}
				return heads
			}
			heads = append(heads, head)
		case <-time.After(time.Minute):
			h.t.Fatalf("no more events after %+v", heads)
		}
	}
}

func (h *house) expect(want ...models.Head) {
	h.t.Helper()
	got := h.await(len(want))
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(models.Head{}, "Seen"), cmpopts.EquateEmpty()); d != "" {
		h.t.Fatal(d)
	}
	for _, head := range got {
		if time.Since(head.Seen) > time.Minute || head.Seen.Location() != time.UTC {
			h.t.Errorf("head seen at %s", head.Seen)
		}
	}
	if len(want) == 0 {
		return
	}
	last := got[len(got)-1]
	stored, _, err := h.heads.Get(h.t.Context(), last.Branch)
	if err != nil {
		h.t.Fatal(err)
	}
	if d := cmp.Diff(last, stored); d != "" {
		h.t.Errorf("the stored head is not the last one published: %s", d)
	}
}

// logbook collects log lines.
type logbook struct {
	mu    sync.Mutex
	lines []map[string]any
	raw   bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.raw.Write(p)
	line := make(map[string]any)
	if err := json.Unmarshal(p, &line); err != nil {
		return 0, err
	}
	l.lines = append(l.lines, line)
	return len(p), nil
}

// take returns "level message: error (hint)" of each line since the last time.
func (l *logbook) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, line := range l.lines {
		text := fmt.Sprintf("%s %s", line["level"], line["msg"])
		if line["err"] != nil {
			text += fmt.Sprintf(": %s", line["err"])
		}
		if line["hint"] != nil {
			text += fmt.Sprintf(" (%s)", line["hint"])
		}
		all = append(all, text)
	}
	l.lines = nil
	return all
}

func read(t testing.TB, r *Repo, commit, path string) string {
	t.Helper()
	data, err := fs.ReadFile(openTree(t, r, commit), path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestEachMovementOfTheHeadIsOneEvent(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	a := u.push("main", blob{"", "x", "a"})
	l := h.start(h.watcher(u.dir))
	h.look(l)
	h.expect(models.Head{Generation: 1, Branch: "main", New: a})
	l.Commits = bus.TopicOf[models.Head](h.bus, "a look that says nothing new publishes nothing")
	h.look(l)
	h.look(l)
	l.Commits = h.commits
	h.expect()
	b := u.push("main", blob{"", "x", "b"})
	h.look(l)
	h.expect(models.Head{Generation: 2, Branch: "main", Old: a, New: b})
	u.push("main", blob{"", "x", "c"})
	u.push("main", blob{"", "y", "d"})
	e := u.push("main", blob{"", "x", "e"})
	u.push("other", blob{"", "x", "other"})
	h.look(l)
	h.expect(models.Head{Generation: 3, Branch: "main", Old: b, New: e})
	if got := h.bus.Floor(); got != 3 {
		t.Errorf("floor %d, want 3", got)
	}
	if got := read(t, l.Repo(), e, "x") + read(t, l.Repo(), e, "y") + read(t, l.Repo(), a, "x"); got != "eda" {
		t.Errorf("files read %q", got)
	}
	if got, err := l.Repo().Resolve("main"); err != nil || got != e {
		t.Errorf("the mirror's main is %s, %v", got, err)
	}
	if refs := gitIn(t, l.Dir, "", "for-each-ref", "--format=%(refname)"); refs != "refs/heads/main" {
		t.Errorf("references in the mirror: %s", refs)
	}
	gitIn(t, l.Dir, "", "fsck", "--strict")
}

func TestABranchThatGoesBackAndForthGivesAGenerationEachTime(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	w := h.watcher("file://" + u.dir)
	w.AllowForcePush = true
	l := h.start(w)
	a := u.push("main", blob{"", "x", "a"})
	h.look(l)
	b := u.push("main", blob{"", "x", "b"})
	h.look(l)
	u.reset("main", a)
	h.look(l)
	u.reset("main", b)
	h.look(l)
	h.expect(
		models.Head{Generation: 1, Branch: "main", New: a},
		models.Head{Generation: 2, Branch: "main", Old: a, New: b},
		models.Head{Generation: 3, Branch: "main", Old: b, New: a, Forced: true},
		models.Head{Generation: 4, Branch: "main", Old: a, New: b},
	)
}

func TestAMergeIsNoForcePush(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	l := h.start(h.watcher(u.dir))
	a := u.push("main", blob{"", "x", "a"})
	h.look(l)
	var side string
	for i := range 5 {
		u.tick += 100 // the side branch is newer than main
		side = u.push("side", blob{"", "y", fmt.Sprint(i)})
	}
	merge := u.at("-c", "user.name=t", "-c", "user.email=t", "commit-tree", "-p", side, "-p", a, "-m", "merge", side+"^{tree}")
	u.reset("main", merge)
	h.look(l)
	h.expect(models.Head{Generation: 1, Branch: "main", New: a}, models.Head{Generation: 2, Branch: "main", Old: a, New: merge})
}

func TestAtStartTheStoredHeadIsPublishedAgainUnderTheSameName(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	a := u.push("main", blob{"", "x", "a"})
	stored := models.Head{Generation: 7, Branch: "main", New: a, Seen: time.Now().UTC()}
	if _, err := h.heads.Update(t.Context(), "main", stored, 0); err != nil {
		t.Fatal(err) // recorded, then killed before it was published
	}
	w := h.watcher(u.dir)
	h.look(h.start(w))
	h.expect(stored)
	b := u.push("main", blob{"", "x", "b"})
	u.at("config", "receive.denyDeletes", "true")
	away := u.dir + ".away"
	if err := os.Rename(u.dir, away); err != nil {
		t.Fatal(err)
	}
	// The server is away, but the mirror has the head: it is offered again, and
	// the bus, which has it, drops it.
	l := h.start(w)
	if err := l.look(t.Context()); err == nil {
		t.Fatal("no error from a server that is away")
	}
	if l.announced != 7 {
		t.Errorf("announced %d, want the stored generation although the server is away", l.announced)
	}
	h.expect()
	if err := os.Rename(away, u.dir); err != nil {
		t.Fatal(err)
	}
	h.look(l)
	h.expect(models.Head{Generation: 8, Branch: "main", Old: a, New: b})
}

func TestAHeadIsNotPublishedBeforeItsFilesAreHere(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	a := u.push("main", blob{"", "x", "a"})
	stored := models.Head{Generation: 3, Branch: "main", New: a, Seen: time.Now().UTC()}
	if _, err := h.heads.Update(t.Context(), "main", stored, 0); err != nil {
		t.Fatal(err)
	}
	w := h.watcher(u.dir + ".away")
	if err := h.start(w).look(t.Context()); err == nil {
		t.Fatal("no error from a server that is away")
	}
	h.expect()
}

func TestWhatWasPushedWhileDownIsOneEvent(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	a := u.push("main", blob{"", "x", "a"})
	w := h.watcher(u.dir)
	h.look(h.start(w))
	for i := range 3 {
		u.push("main", blob{"", "x", fmt.Sprint(i)})
	}
	b := u.push("main", blob{"", "x", "b"})
	h.look(h.start(w))
	h.expect(models.Head{Generation: 1, Branch: "main", New: a}, models.Head{Generation: 2, Branch: "main", Old: a, New: b})
}

func TestGenerationsGoOnAboveTheFloorWhenTheStoreWasLost(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	if err := h.bus.RaiseFloor(41); err != nil {
		t.Fatal(err)
	}
	a := u.push("main", blob{"", "x", "a"})
	h.look(h.start(h.watcher(u.dir)))
	h.expect(models.Head{Generation: 42, Branch: "main", New: a})
}

func TestAForcePushIsRefusedAndToldOnce(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	var refused []models.Head
	w := h.watcher(u.dir)
	w.Refused = func(_ context.Context, head models.Head, err error) {
		if !strings.Contains(err.Error(), "force push of main refused") {
			t.Errorf("error %v", err)
		}
		refused = append(refused, head)
	}
	l := h.start(w)
	a := u.push("main", blob{"", "x", "a"})
	b := u.push("main", blob{"", "x", "b"})
	h.look(l)
	h.log.take()
	c := u.root("main", blob{"", "x", "c"})
	h.look(l)
	h.look(l)
	u.reset("main", b) // as it was
	h.look(l)
	u.reset("main", c) // and again
	h.look(l)
	u.reset("main", a) // another one: back by a commit
	h.look(l)
	h.look(l)
	h.expect(models.Head{Generation: 1, Branch: "main", New: b})
	want := []models.Head{
		{Branch: "main", Old: b, New: c, Forced: true},
		{Branch: "main", Old: b, New: c, Forced: true},
		{Branch: "main", Old: b, New: a, Forced: true},
	}
	if d := cmp.Diff(want, refused, cmpopts.IgnoreFields(models.Head{}, "Seen")); d != "" {
		t.Error(d)
	}
	line := "ERROR force push refused (push the old head again, merge it, or allow force pushes in the server's configuration)"
	if d := cmp.Diff([]string{line, line, line}, h.log.take()); d != "" {
		t.Error(d)
	}
	if got, err := l.Repo().Resolve("main"); err != nil || got != b {
		t.Errorf("the mirror's main is %s, %v; want the head that stayed", got, err)
	}
	d := u.commit("main", b, blob{"", "x", "d"}) // repaired: on top of what stayed
	h.look(l)
	h.expect(models.Head{Generation: 2, Branch: "main", Old: b, New: d})
}

func TestAForcePushThatIsAllowedKeepsTheOldHeadReadable(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	w := h.watcher(u.dir)
	w.AllowForcePush = true
	l := h.start(w)
	a := u.push("main", blob{"", "x", "a"})
	h.look(l)
	b := u.root("main", blob{"", "x", "b"})
	h.look(l)
	h.expect(models.Head{Generation: 1, Branch: "main", New: a}, models.Head{Generation: 2, Branch: "main", Old: a, New: b, Forced: true})
	gitIn(t, w.Dir, "", "gc", "-q", "--prune=now")
	if got := read(t, openRepo(t, w.Dir), a, "x"); got != "a" {
		t.Errorf("the old head reads %q", got)
	}
	// A mirror that was lost has no old head; that is a force push all the same.
	if err := os.RemoveAll(w.Dir); err != nil {
		t.Fatal(err)
	}
	c := u.root("main", blob{"", "x", "c"})
	h.look(l)
	h.expect(models.Head{Generation: 3, Branch: "main", Old: b, New: c, Forced: true})
}

func TestTwoWatchersGiveEachHeadOneGeneration(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	first := u.push("main", blob{"", "x", "0"})
	one, two := h.start(h.watcher(u.dir)), h.start(h.watcher(u.dir))
	heads := []string{first}
	for i := range 6 {
		var wg sync.WaitGroup
		wg.Go(func() { _ = one.look(t.Context()) })
		wg.Go(func() { _ = two.look(t.Context()) })
		wg.Wait()
		if i < 5 {
			heads = append(heads, u.push("main", blob{"", "x", fmt.Sprint(i + 1)}))
		}
	}
	got := h.await(6)
	slices.SortFunc(got, func(a, b models.Head) int { return int(a.Generation) - int(b.Generation) })
	for i, head := range got {
		if head.New != heads[i] || i > 0 && (head.Old != heads[i-1] || head.Generation <= got[i-1].Generation) {
			t.Errorf("event %d is %+v", i, head)
		}
	}
}

func TestTheOlderAnswerLoses(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	a := u.push("main", blob{"", "x", "a"})
	slow, quick := h.watcher(u.dir), h.start(h.watcher(u.dir))
	h.look(quick)
	l := h.start(slow)
	h.look(l)
	b := u.push("main", blob{"", "x", "b"})
	var c string
	raise := slow.RaiseFloor
	slow.RaiseFloor = func(g models.Generation) error { // between the answer and the compare-and-set
		if c == "" {
			h.look(quick)
			c = u.push("main", blob{"", "x", "c"})
			h.look(quick)
		}
		return raise(g)
	}
	h.look(l)
	got := h.await(3)
	if got[2].New != c || got[2].Old != b || got[1].New != b || got[1].Old != a || got[2].Forced {
		t.Errorf("heads went %+v", got)
	}
}

func TestWhatTheBusDoesNotTakeIsToldOnceAndTriedAgain(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	w := h.watcher(u.dir)
	var told []models.Head
	w.Unrecorded = func(ctx context.Context, head models.Head, err error) {
		if ctx.Err() != nil || err == nil {
			t.Errorf("told with %v, %v", ctx.Err(), err)
		}
		told = append(told, head)
	}
	good := w.Commits
	w.Commits = bus.TopicOf[models.Head](h.bus, "not a topic")
	l := h.start(w)
	a := u.push("main", blob{"", "x", "a"})
	for range 3 {
		if err := l.look(t.Context()); err == nil {
			t.Fatal("no error from a bus that takes nothing")
		}
	}
	if d := cmp.Diff([]models.Head{{Generation: 1, Branch: "main", New: a}}, told, cmpopts.IgnoreFields(models.Head{}, "Seen")); d != "" {
		t.Error(d)
	}
	w.Commits = good
	h.look(l)
	h.expect(models.Head{Generation: 1, Branch: "main", New: a})
	lines := h.log.take()
	if len(lines) != 3 || !strings.HasPrefix(lines[1], "WARN look at repository, will retry: publish head "+a) || lines[2] != "INFO repository is watched again" {
		t.Errorf("log: %q", lines)
	}
}

func TestAFloorThatCannotRiseStopsTheHead(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	w := h.watcher(u.dir)
	w.RaiseFloor = func(models.Generation) error { return errors.New("disk is read-only") }
	l := h.start(w)
	a := u.push("main", blob{"", "x", "a"})
	if err := l.look(t.Context()); err == nil || !strings.Contains(err.Error(), "raise the generation to 1: disk is read-only") {
		t.Fatalf("error %v", err)
	}
	if head, rev, err := h.heads.Get(t.Context(), "main"); rev != 0 || err != nil {
		t.Errorf("stored %+v, %v", head, err)
	}
	w.RaiseFloor = h.bus.RaiseFloor
	h.look(l)
	h.expect(models.Head{Generation: 1, Branch: "main", New: a})
}

func TestAClaimedGenerationIsUsedUp(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	l := h.start(h.watcher(u.dir))
	claim := func(stored, want models.Generation) {
		t.Helper()
		if got, err := l.next(stored); err != nil || got != want || h.bus.Floor() < got {
			t.Errorf("after %d comes %d, %v with floor %d; want %d", stored, got, err, h.bus.Floor(), want)
		}
	}
	claim(0, 1)
	claim(0, 1) // the attempt failed
	claim(1, 2)
	if err := h.bus.RaiseFloor(10); err != nil { // by another
		t.Fatal(err)
	}
	claim(1, 11)
	claim(20, 21)
}

func TestTroubleIsToldOnceAndOvercome(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	s := u.serve("robot", "s3cret")
	elsewhere := newUpstream(t)
	elsewhere.push("main", blob{"", "x", "x"})
	elsewhere.push("dev", blob{"", "x", "x"})
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mirrorOfOther := filepath.Join(t.TempDir(), "mirror")
	other := h.watcher(elsewhere.dir)
	other.Dir, other.Branch = mirrorOfOther, "dev"
	h.look(h.start(other))
	h.await(1)
	closed := closedPort(t)
	tests := []struct {
		name  string
		spoil func(w *Watcher)
		want  string
	}{
		{"empty repository", func(w *Watcher) { w.URL = newUpstream(t).dir }, "the repository is empty (push a first commit)"},
		{"empty repository over https", func(*Watcher) {}, "the repository is empty (push a first commit)"},
		{"no such branch", func(w *Watcher) { w.URL, w.Branch = elsewhere.dir, "prod" }, `no branch "prod" in the repository (its branches are dev, main)`},
		{"no such path", func(w *Watcher) { w.URL = u.dir + ".nope" }, "no such repository (check the url; many servers also say so when the credentials may not see the repository)"},
		{"no such repository", func(w *Watcher) { w.URL += ".nope" }, "no such repository (check the url; many servers also say so when the credentials may not see the repository)"},
		{"unreachable", func(w *Watcher) { w.URL = "https://" + closed + "/x.git" }, "ask https://" + closed + "/x.git: dial: connect: connection refused"},
		{"no such host", func(w *Watcher) { w.URL = "https://git.setpoint.invalid/x.git" }, "look up git.setpoint.invalid: "},
		{"wrong token", func(w *Watcher) { w.Token = "wr0ng" }, "the server refuses the credentials (check user name and token)"},
		{"wrong token in the url", func(w *Watcher) {
			w.URL, w.Username, w.Token = strings.Replace(w.URL, "://", "://robot:wr0ng@", 1), "", ""
		}, "the server refuses the credentials (check user name and token)"},
		{"no token", func(w *Watcher) { w.Token = "" }, "the server asks for credentials (set a token that may read the repository)"},
		{"unknown CA", func(w *Watcher) { w.CA = nil }, "the server's certificate is not trusted: x509: certificate signed by unknown authority (set the CA that signed it)"},
		{"plain http to a TLS port", func(w *Watcher) { w.URL = strings.Replace(w.URL, "https", "http", 1) }, "status code: 400"},
		{"a folder with other files", func(w *Watcher) { w.Dir = full }, "holds other files (give the mirror a folder of its own)"},
		{"mirror of another", func(w *Watcher) { w.Dir = mirrorOfOther }, " is a mirror of another repository, " + "file://" + elsewhere.dir + " (give this repository another folder, or remove that one)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h.log.take()
			w := h.watcher(s.Repository)
			w.Username, w.Token, w.CA = "robot", "s3cret", s.CA
			tt.spoil(w)
			l := h.start(w)
			for range 3 {
				if err := l.look(t.Context()); err == nil {
					t.Fatal("no error")
				}
			}
			lines := h.log.take()
			lines = slices.DeleteFunc(lines, func(s string) bool { return strings.Contains(s, "unencrypted") })
			if len(lines) != 1 || !strings.Contains(lines[0], tt.want) {
				t.Errorf("logged %q, want one line with %q", lines, tt.want)
			}
		})
	}
	for _, secret := range []string{"s3cret", "wr0ng", "cm9ib3Q6"} { // the last is "robot:" in base64
		if strings.Contains(h.log.raw.String(), secret) {
			t.Errorf("the log holds %q:\n%s", secret, h.log.raw.String())
		}
	}
	t.Run("overcome", func(t *testing.T) {
		w := h.watcher(s.Repository)
		w.Username, w.Token, w.CA = "robot", "s3cret", s.CA
		l := h.start(w)
		if err := l.look(t.Context()); err == nil {
			t.Fatal("no error from an empty repository")
		}
		h.log.take()
		a := u.push("main", blob{"", "x", "a"})
		h.look(l)
		h.expect(models.Head{Generation: 2, Branch: "main", New: a})
		if d := cmp.Diff([]string{"INFO head moved", "INFO repository is watched again"}, h.log.take()); d != "" {
			t.Error(d)
		}
	})
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestTheWayThereMayBeHTTPSWithATokenOfAnyKind(t *testing.T) {
	u := newUpstream(t)
	commit := u.push("main", blob{"", "x", "a"})
	tests := []struct {
		name, user, token string
		set               func(w *Watcher)
	}{
		{"token alone", "x-access-token", "t0ken", func(w *Watcher) { w.Token = "t0ken" }},
		{"user and token", "robot", "t0ken", func(w *Watcher) { w.Username, w.Token = "robot", "t0ken" }},
		{"in the url", "robot", "p@ss/w:rd", func(w *Watcher) { w.URL = strings.Replace(w.URL, "://", "://robot:p%40ss%2Fw%3Ard@", 1) }},
		{"setting over url", "x-access-token", "t0ken", func(w *Watcher) {
			w.URL, w.Token = strings.Replace(w.URL, "://", "://robot:old@", 1), "t0ken"
		}},
		{"public", "", "", func(*Watcher) {}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			s := u.serve(tt.user, tt.token)
			w := h.watcher(s.Repository)
			w.CA = s.CA
			tt.set(w)
			h.look(h.start(w))
			h.expect(models.Head{Generation: 1, Branch: "main", New: commit})
			conf, err := os.ReadFile(filepath.Join(w.Dir, "config"))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(conf), s.Repository) || tt.token != "" && strings.Contains(string(conf), "@") {
				t.Errorf("the mirror's configuration:\n%s", conf)
			}
		})
	}
}

func TestSettingsThatCanNeverWorkEndRunAtOnce(t *testing.T) {
	h := newHouse(t)
	tests := []struct {
		spoil func(w *Watcher)
		want  string
	}{
		{func(w *Watcher) { w.URL = "" }, "no repository url"},
		{func(w *Watcher) { w.Dir = "" }, "no folder for the mirror"},
		{func(w *Watcher) { w.Heads = nil }, "no bus"},
		{func(w *Watcher) { w.URL = "ftp://robot:s3cret@example.net/x.git" }, "ftp is not supported"},
		{func(w *Watcher) { w.URL = "git@example.net:x.git" }, "ssh needs a private key"},
		{func(w *Watcher) { w.URL = "https://robot:s3cret@exa mple.net/%zz" }, "not a git address"},
		{func(w *Watcher) { w.URL, w.CA = "https://example.net/x.git", []byte("nope") }, "the CA holds no PEM certificate"},
	}
	for _, tt := range tests {
		w := h.watcher("/srv/x.git")
		tt.spoil(w)
		err := w.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("error %v, want one with %q", err, tt.want)
		}
	}
}

func TestADamagedMirrorIsSetAsideAndMadeAnew(t *testing.T) {
	packs := func(t *testing.T, dir string) []string {
		t.Helper()
		all, err := filepath.Glob(filepath.Join(dir, "objects", "pack", "*.pack"))
		if err != nil || len(all) == 0 {
			t.Fatalf("packs %v, %v", all, err)
		}
		return all
	}
	overwrite := func(t *testing.T, name string, content []byte) {
		t.Helper()
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(t *testing.T, name string) {
		t.Helper()
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		damage func(t *testing.T, dir, ref string)
		mended bool // in place
	}{
		{"empty HEAD", func(t *testing.T, dir, _ string) { overwrite(t, filepath.Join(dir, "HEAD"), nil) }, false},
		{"HEAD gone", func(t *testing.T, dir, _ string) { remove(t, filepath.Join(dir, "HEAD")) }, false},
		{"empty configuration", func(t *testing.T, dir, _ string) { overwrite(t, filepath.Join(dir, "config"), nil) }, false},
		{"configuration of noise", func(t *testing.T, dir, _ string) { overwrite(t, filepath.Join(dir, "config"), []byte("\x00\x01[[[")) }, false},
		{"empty branch", func(t *testing.T, _, ref string) { overwrite(t, ref, nil) }, true},
		{"branch of noise", func(t *testing.T, _, ref string) { overwrite(t, ref, []byte("nonsense\n")) }, false},
		{"branch that is gone", func(t *testing.T, _, ref string) { remove(t, ref) }, true},
		{"mirror that is gone", func(t *testing.T, dir, _ string) { remove(t, dir) }, true},
		{"packs gone", func(t *testing.T, dir, _ string) { remove(t, filepath.Join(dir, "objects", "pack")) }, false},
		{"empty packs", func(t *testing.T, dir, _ string) {
			for _, pack := range packs(t, dir) {
				overwrite(t, pack, nil)
			}
		}, false},
		{"empty indexes", func(t *testing.T, dir, _ string) {
			for _, pack := range packs(t, dir) {
				overwrite(t, strings.TrimSuffix(pack, "pack")+"idx", nil)
			}
		}, false},
		{"packs of zeros", func(t *testing.T, dir, _ string) {
			for _, pack := range packs(t, dir) {
				info, err := os.Stat(pack)
				if err != nil {
					t.Fatal(err)
				}
				overwrite(t, pack, make([]byte, info.Size()))
			}
		}, false},
	}
	h := newHouse(t)
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, branch := newUpstream(t), fmt.Sprintf("main%d", i)
			commit := u.push(branch, blob{"", "dir/x", "a"})
			w := h.watcher(u.dir)
			w.Branch = branch
			h.look(h.start(w))
			h.await(1)
			tt.damage(t, w.Dir, filepath.Join(w.Dir, "refs", "heads", branch))
			h.log.take()
			l := h.start(w)
			h.look(l)
			if got := read(t, l.Repo(), commit, "dir/x"); got != "a" {
				t.Errorf("the file reads %q", got)
			}
			if got, err := l.Repo().Resolve(branch); err != nil || got != commit {
				t.Errorf("the mirror's branch is %s, %v", got, err)
			}
			var lines []string
			aside := 0
			if !tt.mended {
				lines, aside = []string{"WARN mirror is damaged, cloning anew"}, 1
			}
			if got := h.log.take(); len(got) != len(lines) || len(got) > 0 && !strings.HasPrefix(got[0], lines[0]) {
				t.Errorf("logged %q, want %q", got, lines)
			}
			if got, err := filepath.Glob(w.Dir + ".aside-*"); err != nil || len(got) != aside {
				t.Errorf("set aside: %q, %v", got, err)
			}
			h.expect()
		})
	}
}

func TestDamageThatAReaderMeetsIsRepairedAtTheNextLook(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	noise := make([]byte, 5000) // does not compress
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	commit := u.push("main", blob{"", "x", string(noise)})
	w := h.watcher(u.dir)
	l := h.start(w)
	h.look(l)
	h.await(1)
	all, err := filepath.Glob(filepath.Join(w.Dir, "objects", "pack", "*.pack"))
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	data, err := os.ReadFile(all[0])
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, noise[2000:2016])
	if at < 0 {
		t.Fatal("the noise was compressed")
	}
	data[at] ^= 0x40
	if err := os.Chmod(all[0], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(all[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := fs.ReadFile(openTree(t, w.Repo(), commit), "x"); err == nil {
		t.Fatal("a flipped bit went unnoticed")
	}
	h.look(l)
	if got := read(t, w.Repo(), commit, "x"); got != string(noise) {
		t.Error("the file is not what it was")
	}
	if lines := h.log.take(); len(lines) != 2 || !strings.HasPrefix(lines[1], "WARN mirror is damaged") {
		t.Errorf("log: %q", lines)
	}
}

func TestAPackThatBreaksOffLeavesNothing(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	var big strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&big, "%d\n", i*i)
	}
	commit := u.push("main", blob{"", "x", big.String()})
	backend := gitwatchtest.Backend(t, u.dir, "", "")
	var cut, whole bool
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || whole {
			backend.ServeHTTP(rw, r)
			return
		}
		cut = true
		rec := httptest.NewRecorder()
		backend.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		rw.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
		_, _ = rw.Write(body[:len(body)/2])
	}))
	defer s.Close()
	w := h.watcher(s.URL + "/network.git")
	l := h.start(w)
	before := descriptors(t)
	for range 5 {
		if err := l.look(t.Context()); err == nil {
			t.Fatal("half a pack was taken")
		}
	}
	left, err := filepath.Glob(filepath.Join(w.Dir, "objects", "pack", "*"))
	if err != nil || len(left) != 0 || !cut {
		t.Errorf("left over: %q, %v", left, err)
	}
	if after := descriptors(t); after > before+4 {
		t.Errorf("%d open files before, %d after", before, after)
	}
	whole = true
	h.look(l)
	h.expect(models.Head{Generation: 1, Branch: "main", New: commit})
}

func TestAServerThatNeverAnswersIsGivenUp(t *testing.T) {
	h := newHouse(t)
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-release:
		}
	}))
	defer s.Close()
	defer close(release)
	w := h.watcher(s.URL + "/x.git")
	w.Timeout = 50 * time.Millisecond
	err := h.start(w).look(t.Context())
	if err == nil || !strings.HasSuffix(err.Error(), "no answer within 50ms") {
		t.Errorf("error %v", err)
	}
}

func TestRunFollowsThePushesAndEndsWithItsContext(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	w := h.watcher(u.dir)
	if w.Repo() != nil {
		t.Error("a mirror before Run")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	next := func() models.Head {
		t.Helper()
		select {
		case head := <-h.events:
			return head
		case <-time.After(time.Minute):
			t.Fatalf("no event; log: %q", h.log.take())
		}
		return models.Head{}
	}
	old := ""
	for i := range 3 {
		commit := u.push("main", blob{"", "x", fmt.Sprint(i)})
		w.Look()
		head := next()
		if head.New != commit || head.Old != old {
			t.Errorf("event %+v, want %s to %s", head, old, commit)
		}
		if got := read(t, w.Repo(), head.New, "x"); got != fmt.Sprint(i) {
			t.Errorf("the file reads %q", got)
		}
		old = commit
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Run did not end")
	}
	if got := read(t, w.Repo(), old, "x"); got != "2" {
		t.Errorf("after Run the file reads %q", got)
	}
}

func TestManyFetchesKeepFilesAndMemoryBounded(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	s := u.serve("x-access-token", "t0ken")
	w := h.watcher(s.Repository)
	w.Token, w.CA = "t0ken", s.CA
	l := h.start(w)
	once := func(i int) {
		commit := u.push("main", blob{"", fmt.Sprintf("d/f%d", i), strings.Repeat(fmt.Sprint(i), 1000)})
		h.look(l)
		if got := read(t, w.Repo(), commit, fmt.Sprintf("d/f%d", i)); !strings.HasPrefix(got, fmt.Sprint(i)) {
			t.Errorf("the file reads %q", got)
		}
	}
	for i := range 5 {
		once(i)
	}
	files, routines, heap := descriptors(t), runtime.NumGoroutine(), live()
	for i := range 50 {
		once(5 + i)
	}
	if now := descriptors(t); now > files+50+5 { // a pack each, up to openPacks
		t.Errorf("%d open files before, %d after 50 fetches", files, now)
	}
	if now := runtime.NumGoroutine(); now > routines+5 {
		t.Errorf("%d goroutines before, %d after 50 fetches", routines, now)
	}
	if now := live(); now > heap+(4<<20) {
		t.Errorf("%d bytes live before, %d after 50 fetches", heap, now)
	}
	h.await(55)
}

func TestSmallPacksAreMergedUnderReaders(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	w := h.watcher(u.dir)
	w.AllowForcePush = true
	l := h.start(w)
	l.mirror.packs = 4
	var all []string
	var wg sync.WaitGroup
	for i := range 30 {
		if i%10 == 9 {
			all = append(all, u.root("main", blob{"", "x", fmt.Sprint(i)})) // not in the history of the next
		} else {
			all = append(all, u.push("main", blob{"", "x", fmt.Sprint(i)}, blob{"", fmt.Sprintf("d%d/y", i), strings.Repeat("y", 100*i)}))
		}
		if i > 0 {
			tree := openTree(t, w.Repo(), all[i/2])
			wg.Go(func() {
				for range 20 {
					if got, err := fs.ReadFile(tree, "x"); err != nil || string(got) != fmt.Sprint(i/2) {
						t.Errorf("the file reads %q, %v", got, err)
					}
				}
			})
		}
		h.look(l)
		wg.Wait()
		packs, err := filepath.Glob(filepath.Join(w.Dir, "objects", "pack", "*"))
		if err != nil || len(packs) > 2*(4+1) {
			t.Fatalf("%d files of packs, %v", len(packs), err)
		}
	}
	gitIn(t, w.Dir, "", "fsck", "--strict")
	for _, name := range openFiles(t) {
		if strings.HasPrefix(name, w.Dir) && strings.HasSuffix(name, "(deleted)") {
			t.Errorf("%s is still open", name)
		}
	}
	for i, commit := range all {
		if got := read(t, w.Repo(), commit, "x"); got != fmt.Sprint(i) {
			t.Errorf("commit %d reads %q", i, got)
		}
	}
	if lines := strings.Join(h.log.take(), "\n"); strings.Contains(lines, "WARN") {
		t.Error(lines)
	}
	h.await(30)
}

func TestAMergeOfPacksThatLacksAnObjectIsNotTaken(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	u.push("main", blob{"", "x", "a"})
	l := h.start(h.watcher(u.dir))
	h.look(l)
	h.await(1)
	write := func(content string) string {
		return gitIn(t, l.Dir, content, "hash-object", "-w", "--stdin")
	}
	good, bad := write("good"), write("bad")
	loose := func(hash string) string { return filepath.Join(l.Dir, "objects", hash[:2], hash[2:]) }
	if err := os.Rename(loose(bad), loose(good)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.mirror.merge([]pack{{objects: []plumbing.Hash{plumbing.NewHash(good)}}}); err == nil || !strings.Contains(err.Error(), "lacks objects") {
		t.Errorf("error %v", err)
	}
}

func TestWhatAnInterruptedFetchLeftIsRemoved(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	u.push("main", blob{"", "x", "a"})
	w := h.watcher(u.dir)
	h.look(h.start(w))
	h.await(1)
	left := filepath.Join(w.Dir, "objects", "pack", tempPack+"123")
	if err := os.WriteFile(left, []byte("PACK"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.look(h.start(w))
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v", left, err)
	}
}

func TestACommitThatIsHereInPartIsFetchedWhole(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	a := u.push("main", blob{"", "dir/x", "a"})
	w := h.watcher(u.dir)
	l := h.start(w)
	h.look(l)
	b := u.push("main", blob{"", "dir/x", "b"})
	for _, rev := range []string{b, b + "^{tree}", b + ":dir"} { // not b:dir/x
		kind := u.at("cat-file", "-t", rev)
		content := u.raw("cat-file", kind, rev)
		gitIn(t, w.Dir, content, "hash-object", "-t", kind, "-w", "--stdin")
	}
	h.log.take()
	h.look(l)
	h.expect(models.Head{Generation: 1, Branch: "main", New: a}, models.Head{Generation: 2, Branch: "main", Old: a, New: b})
	if got := read(t, w.Repo(), b, "dir/x"); got != "b" {
		t.Errorf("the file reads %q", got)
	}
	if lines := h.log.take(); len(lines) != 2 || !strings.Contains(lines[0], "object is missing") {
		t.Errorf("log: %q", lines)
	}
}

func TestOneDamagedMirrorIsKept(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	u.push("main", blob{"", "x", "a"})
	w := h.watcher(u.dir)
	for i := range 3 {
		if err := os.RemoveAll(filepath.Join(w.Dir, "HEAD")); err != nil {
			t.Fatal(err)
		}
		h.look(h.start(w))
		if aside, err := filepath.Glob(w.Dir + ".aside-*"); err != nil || len(aside) != min(i, 1) {
			t.Errorf("set aside: %q, %v", aside, err)
		}
	}
}

func TestAShallowUpstreamIsFollowed(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	u.push("main", blob{"", "x", "a"})
	u.push("main", blob{"", "x", "b"})
	b := u.push("main", blob{"", "x", "c"})
	shallow := &upstream{t: t, dir: filepath.Join(t.TempDir(), "shallow.git"), tick: 10}
	u.git("clone", "-q", "--bare", "--depth", "1", "file://"+u.dir, shallow.dir)
	l := h.start(h.watcher(shallow.dir))
	h.look(l)
	c := shallow.commit("main", b, blob{"", "x", "d"})
	h.look(l)
	h.expect(models.Head{Generation: 1, Branch: "main", New: b}, models.Head{Generation: 2, Branch: "main", Old: b, New: c})
}

func TestHistoryOfManyMergesIsWalkedOnce(t *testing.T) {
	u := newUpstream(t)
	tree := u.tree()
	old := u.commitOf(tree)
	at := old
	for i := range 64 { // 2^64 ways down
		at = u.object("commit", fmt.Appendf(nil, "tree %s\nparent %s\nparent %s\nauthor t <t> %d +0000\ncommitter t <t> %d +0000\n\nx\n", tree, at, at, i, i))
	}
	r := openRepo(t, u.dir)
	other := u.object("commit", commitBytes(tree, 5))
	for hash, want := range map[string]bool{old: true, at: true, other: false} {
		if got, err := r.isAncestor(plumbing.NewHash(hash), plumbing.NewHash(at)); err != nil || got != want {
			t.Errorf("%s is an ancestor: %v, %v; want %v", hash, got, err, want)
		}
	}
}

func TestNoSecretIsInWhatAServerEchoes(t *testing.T) {
	w := &Watcher{URL: "https://example.net/x.git", Username: "robot", Token: "p@ss w/rd"}
	r, err := w.dial()
	if err != nil {
		t.Fatal(err)
	}
	echo := "you sent p@ss w/rd, p%40ss%20w%2Frd, p%40ss+w%2Frd\nand cm9ib3Q6cEBzcyB3L3Jk " + strings.Repeat("é", 1000)
	got := r.explain(errors.New(echo)).Error()
	if !strings.HasPrefix(got, "you sent (secret), (secret), (secret) and (secret) é") || len(got) > 420 || !strings.HasSuffix(got, "é …") {
		t.Errorf("error %q", got)
	}
}

func TestALookThatIsCutShortByTheEndSaysNothing(t *testing.T) {
	h, u := newHouse(t), newUpstream(t)
	u.push("main", blob{"", "x", "a"})
	w := h.watcher(u.dir)
	w.Unrecorded = func(context.Context, models.Head, error) { t.Error("told of a head as unrecorded") }
	l := h.start(w)
	ctx, cancel := context.WithCancel(t.Context())
	w.RaiseFloor = func(models.Generation) error { cancel(); return nil }
	if err := l.look(ctx); err != nil {
		t.Error(err)
	}
	if lines := h.log.take(); len(lines) != 0 {
		t.Errorf("log: %q", lines)
	}
}

func TestPacksOfLikeSizeAreMerged(t *testing.T) {
	for _, tt := range []struct{ sizes, want []int }{
		{[]int{5, 5, 5, 10_000}, []int{5, 5, 5}},
		{[]int{10_000, 5, 320, 5}, []int{5, 5}},
		{[]int{100, 5, 5, 60, 20}, []int{5, 5, 20, 60, 100}},
		{[]int{5, 11}, []int{5}},
		{[]int{mergeAtMost, mergeAtMost}, []int{mergeAtMost}},
		{nil, nil},
	} {
		var packs []pack
		for _, n := range tt.sizes {
			packs = append(packs, pack{objects: make([]plumbing.Hash, n)})
		}
		var got []int
		for _, p := range mergeable(packs) {
			got = append(got, len(p.objects))
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("of %d: %s", tt.sizes, d)
		}
	}
}

func descriptors(t *testing.T) int { return len(openFiles(t)) }

// openFiles returns what this process has open, where the system tells.
func openFiles(t *testing.T) []string {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range list {
		if name, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			names = append(names, name)
		}
	}
	return names
}

func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkPushToFiles is what stands between a push and its files in memory:
// one commit fetched, then all of 1,000 files read.
func BenchmarkPushToFiles(b *testing.B) {
	h, u := newHouse(b), newUpstream(b)
	var files []blob
	for i := range 1000 {
		files = append(files, blob{"", fmt.Sprintf("site%02d/dev%03d.yaml", i%20, i), strings.Repeat(fmt.Sprintf("interface: Ethernet%d\n", i), 150)})
	}
	u.push("main", files...)
	w := h.watcher(u.dir)
	w.Log = nil
	l := h.start(w)
	h.look(l)
	commits := make([]string, b.N)
	for i := range commits {
		commits[i] = u.push("side", blob{"", "site00/dev000.yaml", fmt.Sprint(i)})
		if i == 0 {
			u.at("update-ref", "refs/heads/side", "main")
			commits[i] = u.push("side", blob{"", "site00/dev000.yaml", "begin"})
		}
	}
	var fetching time.Duration
	for _, commit := range commits {
		b.StopTimer()
		u.reset("main", commit)
		b.StartTimer()
		begin := time.Now()
		h.look(l)
		fetching += time.Since(begin)
		tree := openTree(b, w.Repo(), commit)
		n := 0
		err := fs.WalkDir(tree, ".", func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			n++
			_, err = fs.ReadFile(tree, path)
			return err
		})
		if err != nil || n != 1000 {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(fetching.Milliseconds())/float64(b.N), "ms-look/op")
}
