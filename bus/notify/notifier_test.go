package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// ears hears what a forge and a chat are told.
type ears struct {
	mu       sync.Mutex
	statuses []string // "<c> <context> <state> <description>", c the commit's first character
	messages []string // titles
	codes    []string
}

func (e *ears) String() string { return "github/acme/network" }

func (e *ears) Post(_ context.Context, s Status) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.statuses = append(e.statuses, s.SHA[:1]+" "+strings.TrimPrefix(s.Context, "setpoint/")+" "+s.State+" "+s.Description)
	return nil
}

func (e *ears) Send(_ context.Context, m Message) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.messages = append(e.messages, m.Title)
	e.codes = append(e.codes, m.Code)
	return nil
}

// heard is what came since the last call.
func (e *ears) heard() (statuses, messages []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	statuses, messages = e.statuses, e.messages
	e.statuses, e.messages = nil, nil
	slices.Sort(statuses)
	return statuses, messages
}

func (h *house) notifier(e *ears) *Notifier {
	return &Notifier{
		Heads: h.heads, Renders: h.renders, Rollouts: h.rollouts, Episodes: h.episodes, Slots: h.slots,
		Blobs: h.bus.Blobs(), Schema: tree.OpenConfig(), Forge: e, Chats: map[string]Chat{"ops": e},
	}
}

// start runs n and returns what stops it.
func start(t *testing.T, n *Notifier) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// settle lets a second of the bubble pass and everything under way end. Outside a
// bubble it panics.
func settle() {
	synctest.Wait()
	<-time.After(time.Second)
	synctest.Wait()
}

func expect(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: %s", what, diff)
	}
}

func (h *house) head(g models.Generation, c string) {
	h.t.Helper()
	put(h, h.heads, "main", models.Head{Generation: g, Branch: "main", New: commit(c), Seen: time.Now().UTC()})
}

func (h *house) rollout(g models.Generation, c string, s models.RolloutState, converged int, by models.Generation) {
	h.t.Helper()
	put(h, h.rollouts, key(g), models.Rollout{Generation: g, Commit: commit(c), State: s, Total: 2, Converged: converged, By: by, Started: time.Now().UTC()})
}

func TestNotifierTellsAPushFromReceiptToConverged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := newHouse(t), &ears{}
		stop := start(t, h.notifier(e))
		settle()
		h.head(1, "a")
		settle()
		got, _ := e.heard()
		expect(t, "on receipt", got, "a plan pending received", "a deploy pending waits for the plan")
		a := h.render(1, commit("a"), models.Render{}, map[string][]byte{"leaf01": config(t, "10=ENG", ""), "leaf02": config(t, "10=ENG", "")})
		settle()
		got, _ = e.heard()
		expect(t, "rendered", got, "a plan success 2 devices, +6 −0 leaves: leaf01, leaf02") // progress waits its turn
		h.rollout(1, "a", models.RolloutDone, 2, 0)
		settle()
		got, _ = e.heard()
		expect(t, "converged", got, "a deploy success 2 devices converged")

		h.head(2, "b")
		settle()
		h.render(2, commit("b"), a, map[string][]byte{"leaf01": config(t, "10=OPS", ""), "leaf02": config(t, "10=ENG", "")})
		put(h, h.rollouts, "2", models.Rollout{Generation: 2, Commit: commit("b"), State: models.RolloutIncomplete, Total: 2, Converged: 1, Deferred: []models.DeviceNote{{Device: "leaf01", Reason: "unreachable: connection refused"}}})
		settle()
		got, _ = e.heard()
		expect(t, "deferred", got, "b plan pending received", "b deploy pending waits for the plan",
			"b plan success 1 device, +1 −1 leaf: leaf01", "b deploy error 1/2 devices, 1 deferred: leaf01 unreachable: connection refused")
		h.rollout(2, "b", models.RolloutDone, 2, 0)
		settle()
		got, _ = e.heard()
		expect(t, "caught up", got, "b deploy success 2 devices converged")
		stop()

		if _, _, err := h.bus.Blobs().Sweep(t.Context(), func(models.Hash) bool { return false }, 0); err != nil {
			t.Fatal(err)
		}
		stop = start(t, h.notifier(e))
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		got, _ = e.heard()
		expect(t, "after a restart", got)
		stop()
	})
}

func TestNotifierLetsTheHigherGenerationOfACommitWin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := newHouse(t), &ears{}
		configs := map[string][]byte{"leaf01": config(t, "10=ENG", "")}
		a := h.render(1, commit("a"), models.Render{}, configs)
		h.rollout(1, "a", models.RolloutSuperseded, 1, 2)
		put(h, h.renders, "2", models.Render{Generation: 2, Commit: commit("b"), State: models.RenderSkipped, Time: time.Now()})
		stop := start(t, h.notifier(e))
		defer stop()
		settle()
		got, _ := e.heard()
		expect(t, "A and B superseded", got,
			"a plan success 1 device, +3 −0 leaves: leaf01", "a deploy error superseded by bbbbbbb before every device converged",
			"b plan error superseded by bbbbbbb before it was rendered", "b deploy error superseded by bbbbbbb before it was rendered")
		h.head(3, "a")
		settle()
		h.render(3, commit("a"), a, configs)
		h.rollout(3, "a", models.RolloutDone, 2, 0)
		settle()
		got, _ = e.heard()
		if !slices.Contains(got, "a deploy success 2 devices converged") || !slices.Contains(got, "a plan success no change") {
			t.Errorf("A is head again: %q", got)
		}
		h.rollout(1, "a", models.RolloutIncomplete, 0, 0) // a late word about the old generation
		settle()
		got, _ = e.heard()
		expect(t, "late word", got)
	})
}

func TestNotifierTellsMistakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := newHouse(t), &ears{}
		h.head(1, "a")
		stop := start(t, h.notifier(e))
		settle()
		e.heard()
		ms := h.json([]models.Mistake{{File: "a.yaml", Line: 14, Column: 9, Message: "mtu 99999 is above 9216"}, {File: "b.yaml"}})
		put(h, h.renders, "1", models.Render{Generation: 1, Commit: commit("a"), State: models.RenderMistakes, Mistakes: ms, Time: time.Now()})
		settle()
		got, _ := e.heard()
		expect(t, "mistakes", got, "a plan failure 2 mistakes: a.yaml:14:9 mtu 99999 is above 9216, and 1 more", "a deploy failure not deployed: 2 mistakes")
		stop()
		removed, _, err := h.bus.Blobs().Sweep(t.Context(), func(models.Hash) bool { return false }, 0)
		if err != nil || removed == 0 {
			t.Fatal(removed, err)
		}
		stop = start(t, h.notifier(e))
		settle()
		got, _ = e.heard()
		expect(t, "after the blobs were swept", got)
		stop()
	})
}

func TestNotifierTellsWhatPoliciesSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := newHouse(t), &ears{}
		warning := models.Mistake{File: "a.yaml", Line: 14, Column: 9, Code: models.CodePolicy, Message: "policy Frames: 9000 is not 9214 (on leaf01)"}
		manifest := h.json(models.Manifest{Warnings: []models.Mistake{warning, warning}})
		put(h, h.renders, "1", models.Render{Generation: 1, Commit: commit("a"), State: models.Rendered, Manifest: manifest, Policies: true, Warnings: 2, Time: time.Now()})
		put(h, h.renders, "2", models.Render{Generation: 2, Commit: commit("b"), State: models.RenderMistakes, Mistakes: h.json([]models.Mistake{warning}), Policies: true, Time: time.Now()})
		gone := models.Hash(strings.Repeat("0", 64))
		put(h, h.renders, "3", models.Render{Generation: 3, Commit: commit("c"), State: models.Rendered, Manifest: gone, Policies: true, Warnings: 2, Time: time.Now()})
		stop := start(t, h.notifier(e))
		settle()
		got, _ := e.heard()
		got = slices.DeleteFunc(got, func(s string) bool { return strings.Contains(s, " deploy ") })
		expect(t, "rendered", got,
			"a plan success no change", "a policy success 2 warnings: a.yaml:14:9 policy Frames: 9000 is not 9214 (on leaf01), and 1 more",
			"b plan failure 1 mistake: a.yaml:14:9 policy Frames: 9000 is not 9214 (on leaf01)",
			"b policy failure 1 violation: a.yaml:14:9 policy Frames: 9000 is not 9214 (on leaf01)",
			"c plan success rendered 0 devices; the difference cannot be shown", "c policy success 2 warnings")
		stop()
		lost := "status/github/acme/network/" + commit("a") + "/" + ContextPolicy // the process ended before it was stored
		_, rev, err := h.slots.Get(t.Context(), lost)
		if err == nil {
			err = h.slots.Delete(t.Context(), lost, rev)
		}
		if err != nil {
			t.Fatal(err)
		}
		stop = start(t, h.notifier(e))
		settle()
		got, _ = e.heard()
		expect(t, "after a crash", got, "a policy success 2 warnings: a.yaml:14:9 policy Frames: 9000 is not 9214 (on leaf01), and 1 more")
		stop()
		if _, _, err := h.bus.Blobs().Sweep(t.Context(), func(models.Hash) bool { return false }, 0); err != nil {
			t.Fatal(err)
		}
		stop = start(t, h.notifier(e))
		settle()
		got, _ = e.heard()
		expect(t, "after the blobs were swept, and a restart", got)
		stop()
	})
}

func TestNotifierOwesALastWordAlsoWithoutTheBlobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := newHouse(t), &ears{}
		gone := models.Hash(strings.Repeat("0", 64))
		put(h, h.renders, "1", models.Render{Generation: 1, Commit: commit("a"), State: models.Rendered, Devices: 3, Manifest: gone, Time: time.Now()})
		put(h, h.renders, "2", models.Render{Generation: 2, Commit: commit("b"), State: models.RenderMistakes, Mistakes: gone, Time: time.Now()})
		stop := start(t, h.notifier(e))
		defer stop()
		settle()
		got, _ := e.heard()
		expect(t, "swept", got,
			"a plan success rendered 3 devices; the difference cannot be shown", "a deploy pending 0/3 devices",
			"b plan failure the intent has mistakes", "b deploy failure not deployed: 1 mistake")
	})
}

func TestNotifierEndsWhatWasNeverRendered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := newHouse(t), &ears{}
		h.head(1, "a")
		stop := start(t, h.notifier(e))
		defer stop()
		settle()
		h.head(2, "b")
		settle()
		got, _ := e.heard()
		expect(t, "before the renderer passed it", got, "a plan pending received", "a deploy pending waits for the plan",
			"b plan pending received", "b deploy pending waits for the plan")
		put(h, h.renders, "2", models.Render{Generation: 2, Commit: commit("b"), State: models.RenderError, Reason: "out of memory", Time: time.Now()})
		settle()
		got, _ = e.heard()
		expect(t, "after", got, "a plan error superseded by bbbbbbb before it was rendered", "a deploy error superseded by bbbbbbb before every device converged",
			"b plan error out of memory", "b deploy error not deployed: out of memory")
	})
}

func TestNotifierTellsARefusedHeadOnceUntilItIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := newHouse(t), &ears{}
		h.render(1, commit("a"), models.Render{}, map[string][]byte{"leaf01": config(t, "10=ENG", "")})
		h.rollout(1, "a", models.RolloutDone, 2, 0)
		h.head(2, "b")
		n := h.notifier(e)
		stop := start(t, n)
		settle()
		e.heard()
		forced := models.Head{Branch: "main", Old: commit("b"), New: commit("a"), Forced: true}
		for range 3 {
			n.Refused(t.Context(), forced, errors.New("force push of main refused"))
			settle()
		}
		got, _ := e.heard()
		expect(t, "refused", got, "a plan error force push of main refused", "a deploy error force push of main refused")
		stop()
		n = h.notifier(e)
		n.Refused(t.Context(), forced, errors.New("force push of main refused")) // before Run
		stop = start(t, n)
		settle()
		got, _ = e.heard()
		expect(t, "after a restart", got)
		h.head(3, "a")
		h.render(3, commit("a"), models.Render{}, map[string][]byte{"leaf01": config(t, "10=ENG", "")})
		h.rollout(3, "a", models.RolloutDone, 2, 0)
		settle()
		got, _ = e.heard()
		if !slices.Contains(got, "a deploy success 2 devices converged") {
			t.Errorf("allowed after all: %q", got)
		}
		stop()
	})
}

func TestNotifierTellsThatTheStoreIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := newHouse(t), &ears{}
		n := h.notifier(e)
		stop := start(t, n)
		defer stop()
		settle()
		n.Unrecorded(t.Context(), models.Head{Generation: 1, Branch: "main", New: commit("a")}, fmt.Errorf("record head: %w", bus.ErrFull))
		settle()
		got, _ := e.heard()
		text := "the store is full, nothing is rendered or deployed until it has room: raise nats.maxStore or free the disk"
		expect(t, "full", got, "a plan error "+text, "a deploy error "+text)
		if all := statuses(n); len(all) != 2 || all[0].Context != ContextPlan || all[0].State != StateError {
			t.Errorf("%+v", all)
		}
		h.head(1, "a")
		h.render(1, commit("a"), models.Render{}, map[string][]byte{"leaf01": config(t, "10=ENG", "")})
		h.rollout(1, "a", models.RolloutDone, 2, 0)
		settle()
		got, _ = e.heard()
		expect(t, "with room again", got, "a plan success 1 device, +3 −0 leaves: leaf01", "a deploy success 2 devices converged")
	})
}

func TestNotifierPostsWhatAFullStoreCannotKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := smallHouse(t, 1<<20), &ears{}
		var log logbook
		n := h.notifier(e)
		n.Log = log.logger()
		stop := start(t, n)
		defer stop()
		settle()
		empty, full := h.fill()
		n.Unrecorded(t.Context(), models.Head{Generation: 1, Branch: "main", New: commit("a")}, full)
		settle()
		got, _ := e.heard()
		if len(got) != 2 || !strings.Contains(got[0], "the store is full") {
			t.Errorf("%q", got)
		}
		if _, rev, err := h.slots.Get(t.Context(), "status/github/acme/network/"+commit("a")+"/setpoint/plan"); rev != 0 || err != nil {
			t.Errorf("stored as %d, %v: the store is not full", rev, err)
		}
		empty()
		time.Sleep(outagePause)
		synctest.Wait()
		if s, _, err := h.slots.Get(t.Context(), "status/github/acme/network/"+commit("a")+"/setpoint/plan"); err != nil || s.due() || !s.valid() {
			t.Errorf("with room again: %+v, %v", s, err)
		}
		got, _ = e.heard()
		expect(t, "once more", got)
	})
}

// fill writes rows until the tables take no more, and says how to undo it.
func (h *house) fill() (empty func(), full error) {
	h.t.Helper()
	junk := bus.TableOf[string](h.bus, "junk")
	revs := map[string]uint64{}
	for size := 64 << 10; size > 0; size /= 2 {
		for full = nil; full == nil; {
			k := fmt.Sprint(len(revs))
			var rev uint64
			if rev, full = junk.Update(context.Background(), k, strings.Repeat("x", size), 0); full == nil {
				revs[k] = rev
			}
		}
		if !errors.Is(full, bus.ErrFull) {
			h.t.Fatal(full)
		}
	}
	return func() {
		for k, rev := range revs {
			if err := junk.Delete(context.Background(), k, rev); err != nil {
				h.t.Fatal(err)
			}
		}
	}, full
}

func TestNotifierTellsEachTransitionOfAnEpisodeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := newHouse(t), &ears{}
		stop := start(t, h.notifier(e))
		settle()
		ep := episode()
		ep.Opened = time.Now().UTC()
		ep.Diff = h.blob([]byte("-name: OPS\n+name: ENG\n"))
		put(h, h.episodes, "leaf01", ep)
		settle()
		_, got := e.heard()
		expect(t, "opened", got, "leaf01: drift: 1 change without a commit")
		if e.codes[0] != "-name: OPS\n+name: ENG\n" {
			t.Errorf("diff %q", e.codes[0])
		}
		for i := range 100 { // it keeps changing for ten minutes
			ep.Changed, ep.Changes, ep.Diff = time.Now().UTC(), i+2, h.blob(fmt.Append(nil, i))
			put(h, h.episodes, "leaf01", ep)
			time.Sleep(6 * time.Second)
		}
		settle()
		if _, got = e.heard(); len(got) < 2 || len(got) > 7 {
			t.Errorf("coalesced to %q", got)
		}
		stop()
		stop = start(t, h.notifier(e))
		settle()
		if _, got = e.heard(); len(got) > 1 {
			t.Errorf("after a restart: %q", got)
		}
		ep.Closed, ep.How = time.Now().UTC(), "healed"
		put(h, h.episodes, "leaf01", ep)
		settle()
		_, got = e.heard()
		expect(t, "closed", got, "leaf01: drift has ended: healed")
		stop()
		all, err := h.slots.All(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		for k, s := range all { // a week and a day later
			s.Value.Updated = s.Value.Updated.Add(-8 * 24 * time.Hour)
			put(h, h.slots, k, s.Value)
		}
		stop = start(t, h.notifier(e))
		settle()
		if all, err := h.slots.All(t.Context()); err != nil || len(all) != 0 {
			t.Errorf("a week later: %v %v", all, err)
		}
		stop()
		ep.Opened, ep.Closed = ep.Opened.Add(-8*24*time.Hour), ep.Closed.Add(-8*24*time.Hour)
		put(h, h.episodes, "leaf01", ep)
		stop = start(t, h.notifier(e)) // the row of the closed episode is still there
		settle()
		_, got = e.heard()
		expect(t, "after its slot was pruned", got)
		stop()
	})
}

func TestNotifierEndsAnEpisodeThatALaterOneReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := newHouse(t), &ears{}
		ep := episode()
		ep.Diff = ""
		put(h, h.episodes, "leaf01", ep)
		stop := start(t, h.notifier(e))
		settle()
		stop()
		e.heard()
		ep.ID, ep.Opened = "leaf01-later", ep.Opened.Add(time.Hour)
		put(h, h.episodes, "leaf01", ep)
		stop = start(t, h.notifier(e))
		settle()
		_, got := e.heard()
		slices.Sort(got)
		expect(t, "both", got, "leaf01: drift has ended", "leaf01: drift: 1 change without a commit")
		stop()
	})
}

func TestNotifierTellsNoObservedDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := newHouse(t), &ears{}
		ep := episode()
		ep.Mode, ep.Diff = models.DriftObserve, ""
		put(h, h.episodes, "leaf01", ep)
		stop := start(t, h.notifier(e))
		defer stop()
		settle()
		_, got := e.heard()
		expect(t, "observed", got)
	})
}

func TestNotifierDoesNotDigUpOldNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := newHouse(t), &ears{}
		r := h.render(1, commit("a"), models.Render{}, map[string][]byte{"leaf01": config(t, "10=ENG", "")})
		r.Time = time.Now().Add(-2 * tooLate)
		put(h, h.renders, "1", r)
		put(h, h.rollouts, "1", models.Rollout{Generation: 1, Commit: commit("a"), State: models.RolloutDone, Started: r.Time})
		stop := start(t, h.notifier(e))
		defer stop()
		settle()
		got, _ := e.heard()
		expect(t, "a forge that is new", got)
	})
}

func TestNotifierPrunesGenerationsFarBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := newHouse(t), &ears{}
		h.head(1, "a")
		stop := start(t, h.notifier(e))
		defer stop()
		settle()
		h.head(1+keep, "b")
		settle()
		all, err := h.slots.All(t.Context())
		if err != nil || len(all) != 2 {
			t.Errorf("%d slots, %v", len(all), err)
		}
		for k := range all {
			if !strings.HasPrefix(k, "status/github/acme/network/"+commit("b")+"/setpoint/") {
				t.Error(k)
			}
		}
	})
}

func TestNotifierWithoutAForgeWritesTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		var log logbook
		n := h.notifier(nil)
		n.Forge, n.Chats, n.Log = nil, nil, log.logger()
		stop := start(t, n)
		defer stop()
		h.head(1, "a")
		settle()
		if log.count("msg=status") != 2 {
			t.Error(log.b.String())
		}
	})
}

// statuses is what the commits should say now, the plan before the deploy.
func statuses(n *Notifier) []Status {
	n.setUp()
	var slots []Slot
	n.forge.each(func(_ string, s Slot) {
		if s.Status != nil {
			slots = append(slots, s)
		}
	})
	slices.SortFunc(slots, func(a, b Slot) int {
		return strings.Compare(b.Status.Context, a.Status.Context)
	})
	all := make([]Status, len(slots))
	for i, s := range slots {
		all[i] = *s.Status
	}
	return all
}
