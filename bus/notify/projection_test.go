package notify

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/setpoint-net/setpoint/models"
)

func TestProjection(t *testing.T) {
	rendered := &models.Render{Generation: 3, State: models.Rendered, Devices: 4}
	mistake := models.Mistake{File: "devices/leaf01.yaml", Line: 14, Column: 9, Message: "mtu 99999 is above 9216"}
	rollout := func(s models.RolloutState, converged int) *models.Rollout {
		return &models.Rollout{Generation: 3, State: s, Total: 4, Converged: converged}
	}
	held := rollout(models.RolloutIncomplete, 3)
	held.Held = []models.DeviceNote{{Device: "leaf03", Reason: "/interfaces/interface[name=Ethernet1]/config/mtu: out of range"}}
	held.Deferred = []models.DeviceNote{{Device: "leaf04", Reason: "unreachable: connection refused"}}
	deferred := rollout(models.RolloutIncomplete, 3)
	deferred.Deferred = []models.DeviceNote{{Device: "leaf04", Reason: "unreachable: connection refused"}}
	awaiting := rollout(models.RolloutIncomplete, 3)
	awaiting.Awaiting = []models.DeviceNote{{Device: "leaf04", Reason: "3 changes"}}
	both := rollout(models.RolloutIncomplete, 1)
	both.Deferred = deferred.Deferred
	both.Awaiting = []models.DeviceNote{{Device: "leaf01"}, {Device: "leaf02"}}
	approved := rollout(models.RolloutIncomplete, 1)
	approved.Awaiting = awaiting.Awaiting
	refusing := rollout(models.RolloutRunning, 2)
	refusing.Held = held.Held

	guarded := func(s models.RolloutState, who string) *models.Rollout {
		r := rollout(s, 0)
		r.Hold = &models.Hold{Who: who, Guards: []models.FleetGuard{{Name: "mass-delete", Reason: "41 of 100 devices lose configuration"}}}
		return r
	}
	thrice := guarded(models.RolloutHeld, "")
	thrice.Hold.Guards = append([]models.FleetGuard{{Name: "empty", Reason: "2 of 100 devices would be left without configuration"}}, thrice.Hold.Guards...)
	thrice.Hold.Guards = append(thrice.Hold.Guards, models.FleetGuard{Name: "mass-release", Reason: "12 of 112 devices are gone from the repository"})

	for _, c := range []struct {
		name         string
		facts        facts
		plan, deploy string
	}{
		{"received", facts{}, "pending received", "pending waits for the plan"},
		{
			"rendering",
			facts{Render: &models.Render{State: models.Rendering, Attempts: 1}},
			"pending rendering", "pending waits for the plan",
		},
		{
			"rendering once more",
			facts{Render: &models.Render{State: models.Rendering, Attempts: 2}},
			"pending rendering, attempt 2", "pending waits for the plan",
		},
		{
			"rendered, not compared",
			facts{Render: rendered},
			"pending rendered, comparing with the generation before", "pending 0/4 devices",
		},
		{
			"rendered",
			facts{Render: rendered, Plan: "2 devices, +6 −2 leaves: leaf01, leaf02"},
			"success 2 devices, +6 −2 leaves: leaf01, leaf02", "pending 0/4 devices",
		},
		{
			"one mistake",
			facts{Render: &models.Render{State: models.RenderMistakes}, Mistakes: []models.Mistake{mistake}},
			"failure 1 mistake: devices/leaf01.yaml:14:9 mtu 99999 is above 9216", "failure not deployed: 1 mistake",
		},
		{
			"three mistakes",
			facts{Render: &models.Render{State: models.RenderMistakes}, Mistakes: []models.Mistake{mistake, {}, {}}},
			"failure 3 mistakes: devices/leaf01.yaml:14:9 mtu 99999 is above 9216, and 2 more", "failure not deployed: 3 mistakes",
		},
		{
			"mistakes that were swept",
			facts{Render: &models.Render{State: models.RenderMistakes}},
			"failure the intent has mistakes", "failure not deployed: 1 mistake",
		},
		{
			"render error",
			facts{Render: &models.Render{State: models.RenderError, Reason: "rendering ran out of memory"}},
			"error rendering ran out of memory", "error not deployed: rendering ran out of memory",
		},
		{
			"skipped",
			facts{Render: &models.Render{State: models.RenderSkipped}, By: "fedcba9876543210"},
			"error superseded by fedcba9 before it was rendered", "error superseded by fedcba9 before it was rendered",
		},
		{
			"never rendered",
			facts{By: "fedcba9876543210"},
			"error superseded by fedcba9 before it was rendered", "error superseded by fedcba9 before every device converged",
		},
		{
			"rendered, never rolled out",
			facts{Render: rendered, Plan: "no change", By: "fedcba9876543210"},
			"success no change", "error superseded by fedcba9 before every device converged",
		},
		{
			"running",
			facts{Render: rendered, Plan: "p", Rollout: rollout(models.RolloutRunning, 1)},
			"success p", "pending 1/4 devices",
		},
		{
			"running, one refused it",
			facts{Render: rendered, Plan: "p", Rollout: refusing},
			"success p", "pending 2/4 devices, 1 refused it",
		},
		{
			"done",
			facts{Render: rendered, Plan: "p", Rollout: rollout(models.RolloutDone, 4)},
			"success p", "success 4 devices converged",
		},
		{
			"done, without devices",
			facts{Render: rendered, Plan: "p", Rollout: &models.Rollout{State: models.RolloutDone}},
			"success p", "success no devices",
		},
		{
			"held by a guard",
			facts{Render: rendered, Plan: "p", Rollout: guarded(models.RolloutHeld, "")},
			"success p", "failure held: 41 of 100 devices lose configuration; setpoint approve 3 --allow mass-delete",
		},
		{
			"held by three",
			facts{Render: rendered, Plan: "p", Rollout: thrice},
			"success p", "failure held: 2 of 100 devices would be left without configuration, 41 of 100 devices…; setpoint approve 3 --allow empty,mass-delete,mass-release",
		},
		{
			"held, allowed, under way",
			facts{Render: rendered, Plan: "p", Rollout: guarded(models.RolloutRunning, "uid 1000")},
			"success p", "error under way, allowed by uid 1000",
		},
		{
			"held, allowed, done",
			facts{Render: rendered, Plan: "p", Rollout: func() *models.Rollout { r := guarded(models.RolloutDone, "uid 1000"); r.Converged = 4; return r }()},
			"success p", "success 4 devices converged",
		},
		{
			"held, superseded",
			facts{Render: rendered, Plan: "p", Rollout: guarded(models.RolloutSuperseded, ""), By: "fedcba9876543210"},
			"success p", "error superseded by fedcba9 while a guard held it",
		},
		{
			"held, allowed, superseded",
			facts{Render: rendered, Plan: "p", Rollout: guarded(models.RolloutSuperseded, "uid 1000"), By: "fedcba9876543210"},
			"success p", "error superseded by fedcba9 before every device converged",
		},
		{
			"held",
			facts{Render: rendered, Plan: "p", Rollout: held},
			"success p", "failure 1 of 4 devices refused it: leaf03: /interfaces/interface[name=Ethernet1]/config/mtu: out of range",
		},
		{
			"deferred",
			facts{Render: rendered, Plan: "p", Rollout: deferred},
			"success p", "error 3/4 devices, 1 deferred: leaf04 unreachable: connection refused",
		},
		{
			"awaiting approval",
			facts{Render: rendered, Plan: "p", Rollout: awaiting},
			"success p", "error 3/4 devices, 1 awaits approval: leaf04",
		},
		{
			"some were approved and are being written to",
			facts{Render: rendered, Plan: "p", Rollout: approved},
			"success p", "error 1/4 devices, 1 awaits approval: leaf04, 2 under way",
		},
		{
			"deferred and awaiting",
			facts{Render: rendered, Plan: "p", Rollout: both},
			"success p", "error 1/4 devices, 1 deferred: leaf04 unreachable: connection refused, 2 await approval: leaf01, leaf02",
		},
		{
			"superseded",
			facts{Render: rendered, Plan: "p", Rollout: rollout(models.RolloutSuperseded, 2), By: "fedcba9876543210"},
			"success p", "error superseded by fedcba9 before every device converged",
		},
		{
			"superseded by one unknown",
			facts{Render: rendered, Plan: "p", Rollout: rollout(models.RolloutSuperseded, 2)},
			"success p", "error superseded by a newer commit before every device converged",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.facts.Generation, c.facts.Commit = 3, "abc"
			pl, deploy := project(c.facts)
			if diff := cmp.Diff(c.plan, pl.State+" "+pl.Description); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.deploy, deploy.State+" "+deploy.Description); diff != "" {
				t.Error(diff)
			}
			if pl.SHA != "abc" || deploy.SHA != "abc" || pl.Context != ContextPlan || deploy.Context != ContextDeploy {
				t.Errorf("%+v %+v", pl, deploy)
			}
		})
	}
}

// The third status is there when the repo has policies and they, or its mistakes, had
// a word; it is a last word at once.
func TestPolicyProjection(t *testing.T) {
	warned := models.Mistake{File: "devices/leaf01.yaml", Line: 14, Column: 9, Code: models.CodePolicy, Message: "policy Frames: 9000 is not 9214 (on leaf01)"}
	other := models.Mistake{File: "a.yaml", Line: 1, Code: "tie", Message: "two values"}
	for _, c := range []struct {
		name   string
		render *models.Render
		facts  facts
		want   string // "" for no status
	}{
		{"received", nil, facts{}, ""},
		{"rendering", &models.Render{State: models.Rendering, Attempts: 1}, facts{}, ""},
		{"no policies", &models.Render{State: models.Rendered}, facts{Plan: "p"}, ""},
		{"no policies, and mistakes", &models.Render{State: models.RenderMistakes}, facts{Mistakes: []models.Mistake{other}}, ""},
		{"out of memory", &models.Render{State: models.RenderError, Policies: true}, facts{}, ""},
		{"kept", &models.Render{State: models.Rendered, Policies: true}, facts{}, "success every policy is kept"},
		{
			"one warning", &models.Render{State: models.Rendered, Policies: true, Warnings: 1},
			facts{Warnings: []models.Mistake{warned}},
			"success 1 warning: devices/leaf01.yaml:14:9 policy Frames: 9000 is not 9214 (on leaf01)",
		},
		{
			"three warnings", &models.Render{State: models.Rendered, Policies: true, Warnings: 3},
			facts{Warnings: []models.Mistake{warned}},
			"success 3 warnings: devices/leaf01.yaml:14:9 policy Frames: 9000 is not 9214 (on leaf01), and 2 more",
		},
		{"warnings that were swept", &models.Render{State: models.Rendered, Policies: true, Warnings: 3}, facts{}, "success 3 warnings"},
		{
			"denied", &models.Render{State: models.RenderMistakes, Policies: true},
			facts{Mistakes: []models.Mistake{warned, warned}},
			"failure 2 violations: devices/leaf01.yaml:14:9 policy Frames: 9000 is not 9214 (on leaf01), and 1 more",
		},
		{"mistakes of another sort", &models.Render{State: models.RenderMistakes, Policies: true}, facts{Mistakes: []models.Mistake{other, other}}, "failure not judged: 2 mistakes"},
		{"mistakes that were swept", &models.Render{State: models.RenderMistakes, Policies: true}, facts{}, "failure not judged: 1 mistake"},
	} {
		c.facts.Render, c.facts.Commit = c.render, "abc"
		s, ok := projectPolicy(c.facts)
		got := ""
		if ok {
			got = s.State + " " + s.Description
		}
		if got != c.want || s.SHA != "abc" || s.Context != ContextPolicy {
			t.Errorf("%s: %q, want %q; %+v", c.name, got, c.want, s)
		}
	}
	long := warned
	long.Message = strings.Repeat("a reason of several words; ", 20)
	s, _ := projectPolicy(facts{Render: &models.Render{State: models.Rendered, Policies: true, Warnings: 12}, Warnings: []models.Mistake{long}})
	if n := utf8.RuneCountInString(s.Description); n > maxDescription || !strings.HasSuffix(s.Description, "…, and 11 more") {
		t.Errorf("%d characters: %s", n, s.Description)
	}
}

func TestDescriptionsFitAndEndAtWords(t *testing.T) {
	long := strings.Repeat("a reason of several words; ", 20)
	note := []models.DeviceNote{{Device: "leaf01", Reason: long}, {Device: "leaf02", Reason: long}}
	for _, f := range []facts{
		{Render: &models.Render{State: models.RenderError, Reason: long}},
		{Render: &models.Render{State: models.RenderMistakes}, Mistakes: []models.Mistake{{File: "a.yaml", Line: 1, Column: 2, Message: long}, {}}},
		{Rollout: &models.Rollout{State: models.RolloutIncomplete, Total: 2, Held: note}},
		{Rollout: &models.Rollout{State: models.RolloutIncomplete, Total: 2, Deferred: note}},
	} {
		pl, deploy := project(f)
		for _, s := range []Status{pl, deploy} {
			if n := utf8.RuneCountInString(s.Description); n > maxDescription {
				t.Errorf("%d characters: %s", n, s.Description)
			}
			if strings.Contains(s.Description, "…") && !strings.Contains(long+" ", " "+lastWord(s.Description)) {
				t.Errorf("cut inside a word: %s", s.Description)
			}
		}
	}
	pl, _ := project(facts{Render: &models.Render{State: models.RenderMistakes}, Mistakes: []models.Mistake{{File: "a.yaml", Line: 1, Column: 2, Message: long}, {}}})
	if !strings.HasSuffix(pl.Description, "…, and 1 more") {
		t.Errorf("the number of the others was cut: %s", pl.Description)
	}
}

// lastWord is the word before the ellipsis.
func lastWord(s string) string {
	s, _, _ = strings.Cut(s, "…")
	return s[strings.LastIndexByte(s, ' ')+1:]
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"short", 140, "short"},
		{"exactly", 7, "exactly"},
		{"one two three", 9, "one two…"},
		{"one two, three", 10, "one two…"},
		{"unbreakable", 6, "unbre…"},
		{"two\n lines\tand\x00tab", 40, "two lines and tab"},
		{"ééééé", 5, "ééééé"},
		{"éééééé", 5, "éééé…"},
		{"bad \xff byte", 40, "bad � byte"},
		{"x", 0, ""},
		{"xy", 1, "…"},
	} {
		if got := clip(c.in, c.n); got != c.want {
			t.Errorf("clip(%q, %d) = %q, want %q", c.in, c.n, got, c.want)
		}
	}
}

func FuzzClip(f *testing.F) {
	f.Add("one two three", 9)
	f.Add("\xff\xfe é", 2)
	f.Fuzz(func(t *testing.T, s string, n int) {
		n = min(max(n, 0), 1000)
		got := clip(s, n)
		if utf8.RuneCountInString(got) > n || !utf8.ValidString(got) || strings.ContainsAny(got, "\n\r\t") {
			t.Errorf("clip(%q, %d) = %q", s, n, got)
		}
		if clip(got, n) != got {
			t.Errorf("clip(%q, %d) = %q is not stable", s, n, got)
		}
	})
}

func TestViewKnowsTheNewestGenerationOfEachCommit(t *testing.T) {
	v := newView()
	for g, c := range map[models.Generation]string{1: "a", 2: "b", 3: "a"} {
		v.renders[g] = models.Render{Generation: g, Commit: c, State: models.Rendered}
	}
	v.rollouts[1] = models.Rollout{Generation: 1, Commit: "a", State: models.RolloutSuperseded, By: 3}
	v.rollouts[3] = models.Rollout{Generation: 3, Commit: "a", State: models.RolloutDone}
	v.heads["main"] = models.Head{Generation: 4, Branch: "main", New: "d"}
	var got []string
	for _, f := range v.facts() {
		_, deploy := project(f)
		got = append(got, f.Commit+" "+deploy.State+" "+deploy.Description)
	}
	want := []string{"d pending waits for the plan", "a success 0 devices converged", "b error superseded by a before every device converged"}
	want[1] = "a success no devices"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestViewLeavesOldGenerationsAlone(t *testing.T) {
	v := newView()
	for g := range models.Generation(keep + 50) {
		v.renders[g+1] = models.Render{Generation: g + 1, Commit: strings.Repeat("x", int(g)+1)}
	}
	if n := len(v.facts()); n != keep {
		t.Errorf("%d generations", n)
	}
}

func BenchmarkProject200Generations(b *testing.B) {
	v := newView()
	for g := range models.Generation(keep) {
		c := strings.Repeat("x", int(g)+1)
		v.renders[g+1] = models.Render{Generation: g + 1, Commit: c, State: models.Rendered}
		v.rollouts[g+1] = models.Rollout{Generation: g + 1, Commit: c, State: models.RolloutDone, Total: 1000}
	}
	for b.Loop() {
		for _, f := range v.facts() {
			project(f)
		}
	}
}

// A device's alerts go to the channels that its policies name. A name that the
// server does not have must not silence the drift.
func TestDriftIsToldToTheNamedChannels(t *testing.T) {
	n := &Notifier{Chats: map[string]Chat{"network": nil, "oncall": nil}}
	n.setUp()
	p := &projector{n: n, missed: map[string]bool{}}
	for _, c := range []struct{ alerts, want string }{
		{"", ""}, {"network", "network"}, {"network,oncall", "network,oncall"}, {"nobody,oncall", "oncall"}, {"nobody", ""},
	} {
		e := models.Episode{Device: "leaf01"}
		if c.alerts != "" {
			e.Alerts = strings.Split(c.alerts, ",")
		}
		if got := strings.Join(p.named(e), ","); got != c.want {
			t.Errorf("alerts %q go to %q, want %q", c.alerts, got, c.want)
		}
	}
	if len(p.missed) != 1 {
		t.Errorf("missed %v: each name is told once", p.missed)
	}
}
