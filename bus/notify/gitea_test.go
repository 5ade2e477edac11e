package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/setpoint-net/setpoint/bus/notify/notifytest"
	"github.com/setpoint-net/setpoint/models"
)

func gitea(t *testing.T) (*notifytest.Gitea, Gitea) {
	t.Helper()
	double := notifytest.NewGitea("acme/network", token)
	srv := httptest.NewServer(double)
	t.Cleanup(srv.Close)
	return double, Gitea{URL: srv.URL + "/", Repo: "acme/network", Token: token, Client: srv.Client()}
}

func TestGiteaTakesOurStatuses(t *testing.T) {
	double, g := gitea(t)
	s := Status{SHA: shaA, Context: ContextPlan, State: StateSuccess, Description: "2 devices, +6 −2 leaves: leaf01, leaf02", URL: "https://setpoint.example/commits/x"}
	long := Status{SHA: shaA, Context: ContextDeploy, State: StateError, Description: strings.Repeat("− much too long ", 30)}
	if err := g.Post(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	g.URL = strings.TrimRight(g.URL, "/") + "/api/v1/" // as some write it
	if err := g.Post(t.Context(), long); err != nil {
		t.Fatal(err)
	}
	want := []notifytest.Status{
		{SHA: shaA, State: s.State, Context: s.Context, Description: s.Description, TargetURL: s.URL},
		{SHA: shaA, State: long.State, Context: long.Context, Description: clip(long.Description, 140)},
	}
	if diff := cmp.Diff(want, double.All(), cmpopts.IgnoreFields(notifytest.Status{}, "Time")); diff != "" {
		t.Error(diff)
	}
	if v := double.Violations(); len(v) > 0 {
		t.Error(v)
	}
}

func TestGiteaAnswersAreUnderstood(t *testing.T) {
	for _, c := range []struct {
		name    string
		answer  notifytest.Failure
		refused bool
		limited bool
		hint    string
	}{
		{"wrong token", notifytest.Failure{Code: 401, Body: `{"message":"invalid username, password or token"}`}, true, false, "token is wrong"},
		{"no permission", notifytest.Failure{Code: 403, Body: `{"message":"token does not have at least one of required scope(s)"}`}, true, false, "write:repository"},
		{"no repository", notifytest.Failure{Code: 404, Body: `{"message":"The target couldn't be found."}`}, true, false, "acme/network"},
		{"a limit of a proxy", notifytest.Failure{Code: 429, Header: http.Header{"Retry-After": {"5"}}}, false, true, ""},
		{"broken", notifytest.Failure{Code: 500, Body: "<html>oops"}, false, false, ""},
		{"restarting", notifytest.Failure{Code: 502}, false, false, ""},
		{"moved", notifytest.Failure{Code: 301, Header: http.Header{"Location": {"/elsewhere"}}}, true, false, "redirects"},
		{"cut off", notifytest.Failure{}, false, false, ""},
		{"the token echoed", notifytest.Failure{Code: 400, Body: "bad header token " + token}, true, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			double, g := gitea(t)
			double.Fail(func(*http.Request) *notifytest.Failure { return &c.answer })
			err := g.Post(t.Context(), Status{SHA: shaA, Context: ContextPlan, State: StateSuccess, Description: "d"})
			var a *Answer
			if !errors.As(err, &a) {
				t.Fatalf("error %v", err)
			}
			if a.refused() != c.refused || a.Limited != c.limited || !strings.Contains(a.Hint, c.hint) || c.hint == "" && a.Hint != "" {
				t.Errorf("%+v", a)
			}
			if strings.Contains(err.Error(), token) {
				t.Errorf("error text %q", err)
			}
		})
	}
}

func TestACommitThatGiteaLacksHoldsUpNoOther(t *testing.T) {
	double, g := gitea(t)
	double.Known = func(sha string) bool { return sha == shaA }
	ok := Status{SHA: shaA, Context: ContextPlan, State: StateSuccess, Description: "d"}
	unknown := ok
	unknown.SHA = shaB
	var a *Answer
	if err := g.Post(t.Context(), unknown); !errors.As(err, &a) || !a.refused() || !strings.Contains(a.Hint, "forge.repository") || !strings.Contains(a.Text, shaB) {
		t.Errorf("an unknown commit: %+v", a)
	}
	if err := g.Post(t.Context(), ok); err != nil {
		t.Error(err)
	}
}

func TestGiteaHidesItsToken(t *testing.T) {
	g := Gitea{URL: "http://127.0.0.1:1", Repo: "acme/network", Token: token}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(format, g); strings.Contains(s, token) {
			t.Errorf("%s: %s", format, s)
		}
	}
	if err := g.Post(t.Context(), Status{SHA: shaA}); err == nil || strings.Contains(err.Error(), token) {
		t.Errorf("no forge: %v", err)
	}
	for _, repo := range []string{"", "acme", "acme/", "/x", "a/b/c"} {
		g.Repo = repo
		var a *Answer
		if err := g.Post(t.Context(), Status{SHA: shaA}); !errors.As(err, &a) || !a.refused() {
			t.Errorf("posted to %q: %v", repo, err)
		}
	}
}

func TestTheDoubleIsStricterThanGitea(t *testing.T) {
	double, g := gitea(t)
	ok := Status{SHA: shaA, Context: ContextPlan, State: StateSuccess, Description: "d"}
	for name, s := range map[string]Status{
		"a short hash":     {SHA: "aaaaaaa", Context: ok.Context, State: ok.State, Description: "d"},
		"an unknown state": {SHA: shaA, Context: ok.Context, State: "green", Description: "d"},
		"no context":       {SHA: shaA, State: ok.State, Description: "d"},
		"no description":   {SHA: shaA, Context: ok.Context, State: ok.State},
		"a relative link":  {SHA: shaA, Context: ok.Context, State: ok.State, Description: "d", URL: "/commits/x"},
	} {
		if err := g.Post(t.Context(), s); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	g.Token = "other"
	if err := g.Post(t.Context(), ok); err == nil {
		t.Error("a wrong token was taken")
	}
	if n := len(double.Violations()); n != 6 {
		t.Errorf("%d violations: %q", n, double.Violations())
	}
}

// TestNotifierTellsGiteaAPush runs the notifier over the client against the double.
func TestNotifierTellsGiteaAPush(t *testing.T) {
	h := newHouse(t)
	double, g := gitea(t)
	n := h.notifier(&ears{})
	n.Forge = &g
	stop := start(t, n)
	defer stop()
	h.head(1, "a")
	h.render(1, commit("a"), models.Render{}, map[string][]byte{"leaf01": config(t, "10=ENG", "")})
	h.rollout(1, "a", models.RolloutDone, 2, 0)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := double.Await(ctx, func([]notifytest.Status) bool {
		plan, _ := double.Last(commit("a"), ContextPlan)
		deploy, _ := double.Last(commit("a"), ContextDeploy)
		return plan.State == StateSuccess && deploy.State == StateSuccess
	})
	if err != nil || len(double.Violations()) > 0 {
		t.Errorf("%v; %+v; violations %q", err, double.All(), double.Violations())
	}
}
