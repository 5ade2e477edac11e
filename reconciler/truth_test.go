package reconciler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/plan"
)

const passwordPath = "/system/aaa/authentication/admin-user/config/admin-password"

// admin is a config with a host name and a secret.
func admin(name, password string) string {
	data, err := json.Marshal(map[string]any{"openconfig-system:system": map[string]any{
		"config": map[string]any{"hostname": name},
		"aaa":    map[string]any{"authentication": map[string]any{"admin-user": map[string]any{"config": map[string]any{"admin-password": password}}}},
	}})
	if err != nil {
		panic(err)
	}
	return string(data)
}

// with is a tree with another value of a leaf.
func with(t *tree.Tree, path, text string) *tree.Tree {
	p, err := tree.ParsePath(path)
	if err != nil {
		panic(err)
	}
	n, err := t.Schema().Find(p)
	if err != nil {
		panic(err)
	}
	v, err := t.Schema().Leaf(n, text)
	if err != nil {
		panic(err)
	}
	return t.ReplaceAt(p, v)
}

func textAt(t *tree.Tree, path string) string {
	p, err := tree.ParsePath(path)
	if err != nil {
		panic(err)
	}
	if v := t.Lookup(p); v != nil {
		return v.Text()
	}
	return ""
}

// hashing shows a secret as a hash of its value and a salt.
func hashing(salt func() string) func(*tree.Tree) *tree.Tree {
	return func(t *tree.Tree) *tree.Tree {
		if p := textAt(t, passwordPath); p != "" {
			return with(t, passwordPath, fmt.Sprintf("$6$%s$%x", salt(), len(p)*7919))
		}
		return t
	}
}

func TestASecretThatIsShownHashedIsNoDrift(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("old"), models.Drift{Mode: models.DriftEnforce})
		salt := "s1"
		g.shows = hashing(func() string { return salt })
		l.start()
		l.assign(1, models.PhaseApply, admin("new", "correct horse"), "a")
		l.wait(3 * time.Second)
		l.want("a", models.DeviceApplied, 1, 1)
		l.assign(1, models.PhaseSettled, admin("new", "correct horse"), "a")
		l.wait(time.Hour)
		l.start() // what was learned outlives the process
		l.wait(time.Hour)
		l.want("a", models.DeviceApplied, 1, 1)
		l.wantEvents("a", "applied")

		// Somebody else sets it to another one, and it is put back.
		g.do(func(g *gear) { salt = "s2"; g.becomes(with(g.running, passwordPath, "battery")) })
		l.wait(time.Minute)
		l.want("a", models.DeviceApplied, 1, 2)
		if got := textAt(g.running, passwordPath); got != "correct horse" {
			t.Errorf("the device has %q", got)
		}
		l.wantEvents("a", "applied", "drift-opened", "drift-closed")
		for _, needle := range []string{"correct horse", "battery", "$6$"} {
			if raw, err := json.Marshal([]any{l.status("a"), l.episode("a"), l.ledger("a"), l.text(l.episode("a").Diff)}); err != nil || strings.Contains(string(raw), needle) {
				t.Errorf("%q in %s, %v", needle, raw, err)
			}
		}
	})
}

func (l *lab) ledger(name models.DeviceName) Ledger {
	l.t.Helper()
	v, _, err := l.Ledgers.Get(l.ctx, string(name))
	if err != nil {
		l.t.Fatal(err)
	}
	return v
}

func TestASecretThatIsShownAnewEachTimeIsWriteOnly(t *testing.T) {
	inLab(t, func(l *lab) {
		n := 0
		g := l.device("a", host("old"), models.Drift{Mode: models.DriftEnforce})
		g.shows = hashing(func() string { n++; return fmt.Sprint("salt", n) })
		l.start()
		l.assign(1, models.PhaseApply, admin("new", "horse"), "a")
		l.wait(5 * time.Second)
		l.assign(1, models.PhaseSettled, admin("new", "horse"), "a")
		l.wait(5 * time.Hour)
		s := l.want("a", models.DeviceApplied, 1, 1)
		if s.Coverage.WriteOnly != 1 {
			t.Errorf("coverage %+v", s.Coverage)
		}
		l.wantEvents("a", "applied", "write-only")
		// The rest is held to as before, and the secret is sent when it changes.
		g.change(t, admin("moved", "horse"))
		l.wait(5 * time.Hour)
		l.want("a", models.DeviceApplied, 1, 2)
		l.wantEvents("a", "applied", "write-only", "drift-opened", "drift-closed")
		l.assign(2, models.PhaseApply, admin("new", "donkey"), "a")
		l.wait(time.Minute)
		l.want("a", models.DeviceApplied, 2, 3)
		if got := textAt(g.running, passwordPath); got != "donkey" {
			t.Errorf("the device has %q", got)
		}
	})
}

func TestASecretReferenceIsResolvedAtTheSetAlone(t *testing.T) {
	inLab(t, func(l *lab) {
		var store sync.Map
		l.Secrets = func(ref string) (string, error) {
			if v, ok := store.Load(ref); ok {
				return v.(string), nil
			}
			return "", errors.New("secret://" + ref + ": not there")
		}
		g := l.device("a", host("old"), models.Drift{Mode: models.DriftEnforce})
		l.start()
		l.assign(1, models.PhaseApply, admin("new", "secret://lab/admin"), "a")
		l.wait(5 * time.Minute)
		if s := l.want("a", models.DeviceUnknown, 1, 0); !strings.Contains(s.Reason, "secret://lab/admin: not there") {
			t.Errorf("reason %q", s.Reason)
		}
		store.Store("lab/admin", "horse")
		l.wait(2 * time.Minute)
		s := l.want("a", models.DeviceApplied, 1, 1)
		if got := textAt(g.running, passwordPath); got != "horse" {
			t.Errorf("the device has %q", got)
		}
		if raw, err := json.Marshal(s); err != nil || strings.Contains(string(raw), "horse") {
			t.Errorf("%s, %v", raw, err)
		}
	})
}

func TestWhatCameAlongWithASetIsToldOnceAndLeftAlone(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("old"), models.Drift{Mode: models.DriftEnforce})
		g.came = func(t *tree.Tree) *tree.Tree { return with(t, "/system/config/login-banner", "made by the device") }
		l.start()
		l.assign(1, models.PhaseApply, host("new"), "a")
		l.wait(10 * time.Second)
		s := l.want("a", models.DeviceApplied, 1, 1)
		if s.Coverage.Unowned != 1 {
			t.Errorf("coverage %+v", s.Coverage)
		}
		l.assign(1, models.PhaseSettled, host("new"), "a")
		l.wait(2 * time.Hour)
		l.start()
		l.wait(2 * time.Hour)
		l.want("a", models.DeviceApplied, 1, 1)
		l.wantEvents("a", "unowned", "applied")

		// Another value is drift; so is a leaf that appears later.
		g.came = nil
		g.do(func(g *gear) { g.becomes(with(g.running, "/system/config/login-banner", "by hand")) })
		l.wait(time.Minute)
		l.want("a", models.DeviceApplied, 1, 2)
		if got := textAt(g.running, "/system/config/login-banner"); got != "" {
			t.Errorf("the banner is %q", got)
		}
	})
}

func TestALeafThatDoesNotGoIsAFailedApply(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.device("a", host("old", "stays"), models.Drift{})
		g.came = func(t *tree.Tree) *tree.Tree { return with(t, "/system/config/motd-banner", "stays") }
		l.start()
		l.assign(1, models.PhaseApply, host("new"), "a")
		l.wait(10 * time.Second)
		s := l.want("a", models.DeviceHeld, 1, 1)
		if !strings.Contains(s.Reason, "/system/config/motd-banner") || !strings.Contains(s.Next, "setpoint retry a") {
			t.Errorf("reason %q, next %q", s.Reason, s.Next)
		}
		l.order("a", Order{Retry: Asked{Who: "root", Time: time.Now()}})
		l.wait(10 * time.Second)
		l.want("a", models.DeviceHeld, 1, 2)
		g.came = nil
		l.order("a", Order{Retry: Asked{Who: "root", Time: time.Now()}})
		l.wait(10 * time.Second)
		l.want("a", models.DeviceApplied, 1, 3)
	})
}

// order writes a row of the table orders as the socket does.
func (l *lab) order(name models.DeviceName, o Order) {
	l.t.Helper()
	_, rev, err := l.Orders.Get(l.ctx, string(name))
	if err == nil {
		_, err = l.Orders.Update(l.ctx, string(name), o, rev)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	synctest.Wait()
}

func TestALookThatSomebodyAskedForIsSeen(t *testing.T) {
	inLab(t, func(l *lab) {
		l.settled("a", host("new"), alert)
		l.wait(time.Minute)
		asked := time.Now()
		l.order("a", Order{Look: Asked{Who: "root", Time: asked}})
		l.wait(time.Second)
		if s := l.want("a", models.DeviceApplied, 1, 0); s.ReadAt.Before(asked.UTC()) {
			t.Errorf("read at %v, asked at %v", s.ReadAt, asked)
		}
		_, rev, _ := l.Devices.Get(l.ctx, "a")
		l.wait(5 * time.Minute)
		if _, now, _ := l.Devices.Get(l.ctx, "a"); now != rev {
			t.Errorf("written again: revision %d, was %d", now, rev)
		}
	})
}

func TestAGuardHoldsAPlanUntilItIsAllowed(t *testing.T) {
	servers := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(`{"address":"192.0.2.%d","config":{"address":"192.0.2.%d"}}`, i, i))
		}
		return `{"openconfig-system:system":{"config":{"hostname":"h"},"dns":{"servers":{"server":[` + strings.Join(all, ",") + `]}}}}`
	}
	inLab(t, func(l *lab) {
		g := l.device("a", servers(10), models.Drift{Mode: models.DriftEnforce})
		l.start()
		l.assign(1, models.PhaseApply, servers(5), "a")
		l.wait(time.Hour)
		s := l.want("a", models.DeviceHeld, 1, 0)
		if s.Guards != "mass-delete" || !strings.Contains(s.Reason, "5 of 10 entries of /system/dns/servers/server would go") || s.Next != "to allow it: setpoint approve a --allow mass-delete" {
			t.Errorf("%+v", s)
		}
		// Allowed from another config than the one that runs: nothing.
		l.allow("a", "mass-delete", "elsewhere")
		l.wait(time.Minute)
		l.want("a", models.DeviceHeld, 1, 0)
		l.allow("a", "empty", s.Running)
		l.wait(time.Minute)
		l.want("a", models.DeviceHeld, 1, 0)
		l.allow("a", "mass-delete", s.Running)
		l.wait(time.Minute)
		l.want("a", models.DeviceApplied, 1, 1)

		// And so for drift that is to be put back.
		l.assign(1, models.PhaseSettled, servers(5), "a")
		l.wait(time.Minute)
		g.change(t, servers(12))
		l.wait(time.Hour)
		s = l.want("a", models.DeviceDrifted, 1, 1)
		if s.Guards != "mass-delete" || !strings.Contains(s.Reason, "not put back: guard mass-delete: 7 of 12 entries") {
			t.Errorf("%+v", s)
		}
		l.allow("a", "mass-delete", s.Running)
		l.wait(time.Minute)
		l.want("a", models.DeviceApplied, 1, 2)
	})
}

// allow lifts guards as the rollout does when a person asked for it.
func (l *lab) allow(name models.DeviceName, guards string, from models.Hash) {
	l.t.Helper()
	a, rev, err := l.Assignments.Get(l.ctx, string(name))
	if err == nil {
		a.Allow, a.From = guards, from
		_, err = l.Assignments.Update(l.ctx, string(name), a, rev)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

func TestNothingIsWrittenToASuspendedDevice(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.settled("a", host("new"), models.Drift{Mode: models.DriftEnforce})
		l.order("a", Order{Suspend: &Suspension{Who: "root", Why: "line card swap", Since: time.Now(), Until: time.Now().Add(time.Hour)}})
		g.change(t, host("by hand"))
		l.wait(10 * time.Minute)
		s := l.want("a", models.DeviceDrifted, 1, 0)
		if !strings.Contains(s.Next, "suspended by root until ") || !strings.Contains(s.Next, "line card swap; to go on: setpoint resume a") {
			t.Errorf("next %q", s.Next)
		}
		l.assign(2, models.PhaseApply, host("newer"), "a")
		l.wait(10 * time.Minute)
		s = l.want("a", models.DeviceObserved, 2, 0)
		if !strings.HasPrefix(s.Reason, "suspended: ") {
			t.Errorf("reason %q", s.Reason)
		}
		l.start() // the order outlives the process
		l.wait(10 * time.Minute)
		l.want("a", models.DeviceObserved, 2, 0)
		l.wait(31 * time.Minute) // and ends by itself
		l.want("a", models.DeviceApplied, 2, 1)
	})
}

func TestASuspendedPathIsNeitherComparedNorWritten(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.settled("a", host("new", "banner"), models.Drift{Mode: models.DriftEnforce})
		l.order("a", Order{Paths: []Suspension{{Path: "/system/config/motd-banner", Who: "root", Why: "w", Since: time.Now()}}})
		g.change(t, host("new", "by hand"))
		l.wait(time.Hour)
		s := l.want("a", models.DeviceApplied, 1, 0)
		if s.Coverage.Unenforced != 1 || s.Coverage.Intended != 2 {
			t.Errorf("coverage %+v", s.Coverage)
		}
		g.change(t, host("moved", "by hand"))
		l.wait(time.Minute)
		l.want("a", models.DeviceApplied, 1, 1)
		if got := textAt(g.running, "/system/config/motd-banner"); got != "by hand" {
			t.Errorf("the banner is %q", got)
		}
		l.order("a", Order{})
		l.wait(time.Minute)
		l.want("a", models.DeviceApplied, 1, 2)
		if got := textAt(g.running, "/system/config/motd-banner"); got != "banner" {
			t.Errorf("the banner is %q", got)
		}
	})
}

func TestWhatAPolicyIgnoresIsNeitherComparedNorWritten(t *testing.T) {
	inLab(t, func(l *lab) {
		policy := models.Drift{Mode: models.DriftEnforce, Ignore: []models.Ignored{{Path: "/system/config/motd-banner", Reason: "r"}}}
		g := l.settled("a", host("new"), policy)
		g.change(t, host("new", "by hand"))
		l.wait(time.Hour)
		l.want("a", models.DeviceApplied, 1, 0)
		l.wantEvents("a", "applied")
	})
}

func TestManyDevicesThatDriftAtOnceStopThePuttingBack(t *testing.T) {
	inLab(t, func(l *lab) {
		policy := models.Drift{Mode: models.DriftEnforce, After: time.Minute, FleetStop: models.FleetStop{Devices: 3, Within: 5 * time.Minute}}
		names := []models.DeviceName{"a", "b", "c", "d"}
		for _, name := range names {
			l.device(name, host("new"), policy)
		}
		l.start()
		l.assign(1, models.PhaseSettled, host("new"), names...)
		l.wait(time.Minute)
		for _, name := range names[:2] {
			l.gears[name].change(t, host("by hand"))
		}
		l.wait(10 * time.Minute)
		l.want("a", models.DeviceApplied, 1, 1)
		for _, name := range names[:3] {
			l.gears[name].change(t, host("by hand again"))
		}
		l.wait(30 * time.Minute)
		l.start()
		l.wait(30 * time.Minute)
		for _, name := range names[:3] {
			if s := l.status(name); s.State != models.DeviceDrifted || !strings.Contains(s.Next, "suspended by setpoint until it is resumed: 3 devices drifted within 5m0s; to go on: setpoint resume --all") {
				t.Errorf("%s: %+v", name, s)
			}
		}
		l.want("a", models.DeviceDrifted, 1, 1)
		// Commits go on.
		l.assign(2, models.PhaseApply, host("newer"), "d")
		l.wait(time.Minute)
		l.want("d", models.DeviceApplied, 2, 1)
		if err := l.Orders.Delete(l.ctx, Everyone, 0); err != nil {
			t.Fatal(err)
		}
		l.wait(time.Minute)
		l.want("c", models.DeviceApplied, 1, 1)
	})
}

func TestNoMoreDevicesThanAllowedArePutBackAtOnce(t *testing.T) {
	inLab(t, func(l *lab) {
		names := []models.DeviceName{"a", "b", "c", "d", "e"}
		var now, most atomic.Int64
		for _, name := range names {
			l.device(name, host("new"), models.Drift{Mode: models.DriftEnforce, MaxInFlight: 2})
		}
		dial := l.Dial
		l.Dial = func(ctx context.Context, d models.Device) (Device, error) {
			session, err := dial(ctx, d)
			return slow{session, &now, &most}, err
		}
		l.start()
		l.assign(1, models.PhaseSettled, host("new"), names...)
		l.wait(time.Minute)
		for _, name := range names {
			l.gears[name].change(t, host("by hand"))
		}
		l.wait(5 * time.Minute)
		for _, name := range names {
			l.want(name, models.DeviceApplied, 1, 1)
		}
		if most.Load() != 2 {
			t.Errorf("%d were put back at once, want 2", most.Load())
		}
	})
}

// slow is a session whose Sets take their time, and are counted.
type slow struct {
	Device
	now, most *atomic.Int64
}

func (s slow) Apply(ctx context.Context, p *plan.Plan) error {
	if n := s.now.Add(1); n > s.most.Load() {
		s.most.Store(n)
	}
	defer s.now.Add(-1)
	pass(3 * time.Second)
	return s.Device.Apply(ctx, p)
}

func TestAChangeRightAfterAPuttingBackIsPutBackToo(t *testing.T) {
	inLab(t, func(l *lab) {
		g := l.settled("a", host("new"), models.Drift{Mode: models.DriftEnforce})
		once := true
		g.do(func(g *gear) {
			g.came = func(t *tree.Tree) *tree.Tree {
				if !once {
					return t
				}
				once = false
				return with(t, "/system/config/hostname", "again")
			}
		})
		g.change(t, host("by-hand"))
		l.wait(time.Minute)
		l.want("a", models.DeviceApplied, 1, 2)
	})
}
