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
)

const (
	shaA  = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	shaB  = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	token = "ghp_verysecret"
)

func forge(t *testing.T) (*notifytest.GitHub, GitHub) {
	t.Helper()
	double := notifytest.NewGitHub("acme/network", token)
	srv := httptest.NewServer(double)
	t.Cleanup(srv.Close)
	return double, GitHub{API: srv.URL + "/", Repo: "acme/network", Token: token, Client: srv.Client()}
}

func TestGitHubTakesOurStatuses(t *testing.T) {
	double, g := forge(t)
	s := Status{SHA: shaA, Context: ContextPlan, State: StateSuccess, Description: "2 devices, +6 −2 leaves: leaf01, leaf02", URL: "https://setpoint.example/commits/x"}
	if err := g.Post(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	long := Status{SHA: shaA, Context: ContextDeploy, State: StateError, Description: strings.Repeat("− much too long ", 30)}
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

func TestGitHubAnswersAreUnderstood(t *testing.T) {
	later := fmt.Sprint(time.Now().Add(20 * time.Minute).Unix())
	for _, c := range []struct {
		name    string
		answer  notifytest.Failure
		refused bool
		limited bool
		atLeast time.Duration
		hint    string
	}{
		{"wrong token", notifytest.Failure{Code: 401, Body: `{"message":"Bad credentials"}`}, true, false, 0, "token is wrong"},
		{"no permission", notifytest.Failure{Code: 403, Body: `{"message":"Resource not accessible by personal access token"}`}, true, false, 0, "may not write"},
		{"no repository", notifytest.Failure{Code: 404, Body: `{"message":"Not Found"}`}, true, false, 0, "acme/network"},
		{"no commit", notifytest.Failure{Code: 422, Body: `{"message":"No commit found for SHA: a"}`}, true, false, 0, "commit"},
		{"secondary limit with a time", notifytest.Failure{Code: 403, Header: http.Header{"Retry-After": {"30"}}, Body: `{"message":"You have exceeded a secondary rate limit"}`}, false, true, 30 * time.Second, ""},
		{"secondary limit without a time", notifytest.Failure{Code: 403, Body: `{"message":"You have exceeded a secondary rate limit"}`}, false, true, time.Minute, ""},
		{"primary limit", notifytest.Failure{Code: 403, Header: http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {later}}, Body: `{"message":"API rate limit exceeded"}`}, false, true, 19 * time.Minute, ""},
		{"429", notifytest.Failure{Code: 429, Header: http.Header{"Retry-After": {"5"}}}, false, true, 5 * time.Second, ""},
		{"a limit beyond reason", notifytest.Failure{Code: 429, Header: http.Header{"Retry-After": {"99999999"}}}, false, true, time.Hour, ""},
		{"maintenance", notifytest.Failure{Code: 503, Header: http.Header{"Retry-After": {"7"}}}, false, true, 7 * time.Second, ""},
		{"broken", notifytest.Failure{Code: 500, Body: "<html>oops"}, false, false, 0, ""},
		{"moved", notifytest.Failure{Code: 301, Header: http.Header{"Location": {"/elsewhere"}}}, true, false, 0, "redirects"},
		{"cut off", notifytest.Failure{}, false, false, 0, ""},
		{"the token echoed", notifytest.Failure{Code: 400, Body: "bad header Bearer " + token}, true, false, 0, ""},
		{"much text", notifytest.Failure{Code: 500, Body: strings.Repeat("x ", 1<<20)}, false, false, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			double, g := forge(t)
			double.Fail(func(*http.Request) *notifytest.Failure { return &c.answer })
			err := g.Post(t.Context(), Status{SHA: shaA, Context: ContextPlan, State: StateSuccess, Description: "d"})
			var a *Answer
			if !errors.As(err, &a) {
				t.Fatalf("error %v", err)
			}
			if a.refused() != c.refused || a.Limited != c.limited || !strings.Contains(a.Hint, c.hint) {
				t.Errorf("%+v", a)
			}
			if a.RetryAfter < c.atLeast || c.atLeast == 0 && a.RetryAfter != 0 || a.RetryAfter > time.Hour {
				t.Errorf("retry after %s", a.RetryAfter)
			}
			if strings.Contains(err.Error(), token) || len(err.Error()) > 400 {
				t.Errorf("error text %q", err)
			}
		})
	}
}

func TestGitHubIsGivenUpWithItsContext(t *testing.T) {
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer srv.Close()
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (GitHub{API: srv.URL, Repo: "a/b", Client: srv.Client()}).Post(ctx, Status{SHA: shaA}); err == nil {
		t.Error("no error")
	}
}

func TestGitHubHidesItsToken(t *testing.T) {
	g := GitHub{Repo: "acme/network", Token: token}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(format, g); strings.Contains(s, token) {
			t.Errorf("%s: %s", format, s)
		}
	}
	for _, repo := range []string{"", "acme", "acme/", "/x", "a/b/c"} {
		g.Repo = repo
		if err := g.Post(t.Context(), Status{SHA: shaA}); err == nil {
			t.Errorf("posted to %q", repo)
		}
	}
}

func TestTheDoubleRefusesWhatGitHubWould(t *testing.T) {
	double, g := forge(t)
	double.Known = func(sha string) bool { return sha == shaA }
	ok := Status{SHA: shaA, Context: ContextPlan, State: StateSuccess, Description: "d"}
	for name, s := range map[string]Status{
		"an unknown commit": {SHA: shaB, Context: ok.Context, State: ok.State, Description: "d"},
		"a short hash":      {SHA: "aaaaaaa", Context: ok.Context, State: ok.State, Description: "d"},
		"an unknown state":  {SHA: shaA, Context: ok.Context, State: "green", Description: "d"},
		"no context":        {SHA: shaA, State: ok.State, Description: "d"},
		"no description":    {SHA: shaA, Context: ok.Context, State: ok.State},
		"a relative link":   {SHA: shaA, Context: ok.Context, State: ok.State, Description: "d", URL: "/commits/x"},
	} {
		if err := g.Post(t.Context(), s); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	for range 1000 {
		if err := g.Post(t.Context(), ok); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Post(t.Context(), ok); err == nil {
		t.Error("the 1001st status was taken")
	}
	g.Token = "other"
	if err := g.Post(t.Context(), ok); err == nil {
		t.Error("a wrong token was taken")
	}
	if n := len(double.Violations()); n != 8 {
		t.Errorf("%d violations: %q", n, double.Violations())
	}
}
