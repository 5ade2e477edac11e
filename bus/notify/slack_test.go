package notify

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/setpoint-net/setpoint/bus/notify/notifytest"
	"github.com/setpoint-net/setpoint/models"
)

const hook = "/services/T000/B000/verysecret"

func channel(t *testing.T) (*notifytest.Chat, Slack) {
	t.Helper()
	double := notifytest.NewChat(hook)
	srv := httptest.NewServer(double)
	t.Cleanup(srv.Close)
	return double, Slack{URL: srv.URL + hook, Client: srv.Client()}
}

func episode() models.Episode {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return models.Episode{
		ID: "leaf01-20260102T030405Z", Device: "leaf01", Generation: 3, Mode: models.DriftEnforce, Changes: 1,
		Summary: "/vlans/vlan[vlan-id=10]/config/name (found OPS, expected ENG)", Diff: "d1", Opened: at,
	}
}

func TestSlackTakesTheStoryOfAnEpisode(t *testing.T) {
	double, s := channel(t)
	e := episode()
	send := func(e models.Episode) {
		t.Helper()
		if err := s.Send(t.Context(), story(e, "@@ /vlans/vlan[vlan-id=10]/config @@\n-name: OPS\n+name: ENG <&> ```\n")); err != nil {
			t.Fatal(err)
		}
	}
	send(e)
	e.Changed, e.Diff, e.Changes = e.Opened.Add(time.Minute), "d2", 2
	send(e)
	e.Closed, e.How = e.Opened.Add(90*time.Second), "healed"
	send(e)
	if v := double.Violations(); len(v) > 0 {
		t.Fatal(v)
	}
	all := double.All()
	for i, want := range []string{"leaf01: drift: 1 change without a commit", "leaf01: drift has changed: 2 changes", "leaf01: drift has ended: healed"} {
		if !strings.HasPrefix(all[i].Plain(), want+"\n") {
			t.Errorf("message %d: %s", i, all[i].Plain())
		}
	}
	for _, want := range []string{"found OPS, expected ENG", "+name: ENG <&> '''", "enforce"} {
		if !strings.Contains(all[0].Plain(), want) {
			t.Errorf("%q is not in %s", want, all[0].Plain())
		}
	}
	if !strings.Contains(all[2].Plain(), "2026-01-02 03:04:05 UTC to 2026-01-02 03:05:35 UTC (1m30s)") {
		t.Error(all[2].Plain())
	}
}

func TestSlackTakesAnyLengthAndAnyText(t *testing.T) {
	double, s := channel(t)
	for _, text := range []string{
		strings.Repeat("+mtu: 9000\n", 10_000), strings.Repeat("&", 100_000), strings.Repeat("<é>", 5000),
		strings.Repeat("`", 9000), "\xff\xfe", strings.Repeat("x", 2990) + "&&&&&", "<!channel> <https://evil|here>",
	} {
		if err := s.Send(t.Context(), Message{Title: text, Text: text, Code: text}); err != nil {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	if v := double.Violations(); len(v) > 0 {
		t.Error(v)
	}
	if code := slackCode(strings.Repeat("+mtu: 9000\n", 10_000)); !strings.HasSuffix(code, "+mtu: 9000"+chatCutNote+"\n```") {
		t.Errorf("cut inside a line: %q", code[len(code)-40:])
	}
}

func TestSlackNeverNamesItsURL(t *testing.T) {
	double, s := channel(t)
	for _, f := range []notifytest.Failure{
		{Code: 404, Body: "no_service at " + hook},
		{Code: 403, Body: "invalid_token"},
		{Code: 500, Body: s.URL},
		{},
		{Code: 302, Header: http.Header{"Location": {s.URL}}},
	} {
		double.Fail(func(*http.Request) *notifytest.Failure { return &f })
		err := s.Send(t.Context(), Message{Title: "t"})
		if err == nil || strings.Contains(err.Error(), "verysecret") {
			t.Errorf("%d: %v", f.Code, err)
		}
	}
	for _, bad := range []string{"://" + hook, "http://127.0.0.1:1" + hook, "", "ftp://x" + hook} {
		err := (Slack{URL: bad}).Send(t.Context(), Message{Title: "t"})
		if err == nil || strings.Contains(err.Error(), "verysecret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", s, s, s); strings.Contains(text, "verysecret") {
		t.Error(text)
	}
}

func TestSlackAnswersAreUnderstood(t *testing.T) {
	double, s := channel(t)
	for _, c := range []struct {
		f       notifytest.Failure
		refused bool
		limited bool
	}{
		{notifytest.Failure{Code: 429}, false, true},
		{notifytest.Failure{Code: 404, Body: "no_service"}, true, false},
		{notifytest.Failure{Code: 400, Body: "invalid_blocks"}, true, false},
		{notifytest.Failure{Code: 500}, false, false},
	} {
		double.Fail(func(*http.Request) *notifytest.Failure { return &c.f })
		var a *Answer
		if err := s.Send(t.Context(), Message{Title: "t"}); !errors.As(err, &a) || a.refused() != c.refused || a.Limited != c.limited {
			t.Errorf("%d: %+v", c.f.Code, a)
		}
	}
}

func FuzzSlackText(f *testing.F) {
	f.Add("a < b & c", 5)
	f.Add(strings.Repeat("&\n", 2000), 3000)
	f.Fuzz(func(t *testing.T, s string, n int) {
		n = min(max(n, 1), 4000)
		e := slackEscape(s, n)
		c := slackCode(s)
		if utf8.RuneCountInString(e) > n || utf8.RuneCountInString(c) > maxChatBlock || strings.ContainsAny(e+c, "<>") || strings.Count(c, "```") != 2 {
			t.Errorf("%q %q", e, c)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120", "0", "1700000000")
	f.Add("Wed, 21 Oct 2015 07:28:00 GMT", "", "")
	now := time.Unix(1_700_000_000, 0)
	f.Fuzz(func(t *testing.T, after, remaining, reset string) {
		h := http.Header{}
		h.Set("Retry-After", after)
		h.Set("X-RateLimit-Remaining", remaining)
		h.Set("X-RateLimit-Reset", reset)
		if d := retryAfter(h, now); d < 0 || d > maxPause {
			t.Errorf("%s", d)
		}
	})
}

// What happens about drift may change while the drift does not.
func TestEachChangeOfAnEpisodeIsAMessage(t *testing.T) {
	e := episode()
	e.Changed, e.Diff = e.Opened.Add(time.Minute), "d2"
	first := story(e, "")
	if again := story(e, ""); again.Version != first.Version {
		t.Errorf("told twice: %q, then %q", first.Version, again.Version)
	}
	e.Changed, e.Mode = e.Opened.Add(2*time.Minute), models.DriftObserve
	if then := story(e, ""); then.Version == first.Version {
		t.Errorf("not told: %q", then.Version)
	}
}
