package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/setpoint-net/setpoint/models"
)

// heldRollout is a rollout that two guards hold.
func heldRollout() *models.Rollout {
	note := func(names ...models.DeviceName) (all []models.DeviceNote) {
		for _, n := range names {
			all = append(all, models.DeviceNote{Device: n})
		}
		return all
	}
	lost := note("leaf01", "leaf02", "leaf03", "leaf04")
	for i := range lost {
		lost[i].Reason = "−2 +0 entries of …/network-instance/vlans/vlan"
	}
	return &models.Rollout{
		Generation: 7, Commit: "0123456789abcdef", Manifest: "m", State: models.RolloutHeld, Total: 88, Changed: 41,
		Hold: &models.Hold{Since: time.Now().Add(-330 * time.Second), Guards: []models.FleetGuard{
			{Name: "mass-delete", Reason: "41 of 88 devices lose configuration", Count: 41, Of: 88, Devices: lost},
			{Name: "mass-release", Reason: "12 of 100 devices are gone from the repository", Count: 12, Of: 100, Devices: note("spine01", "spine02")},
		}},
	}
}

func TestStatusSaysWhatIsHeldAndHowToLetItGo(t *testing.T) {
	now := time.Now()
	s := statusAnswer{
		Now: now, Repository: "net.git", Branch: "main",
		Head:   &models.Head{Generation: 7, New: "0123456789abcdef", Seen: now.Add(-5 * time.Minute)},
		Render: &models.Render{State: models.Rendered, Devices: 88, Took: 20},
		Held:   heldRollout(), Rollout: heldRollout(), Devices: map[models.DeviceState]int{models.DeviceApplied: 100},
	}
	guards := `guard       mass-delete: 41 of 88 devices lose configuration: leaf01, leaf02, leaf03 and 38 more
guard       mass-release: 12 of 100 devices are gone from the repository: spine01, spine02 and 10 more
            look at the commit, then: setpoint approve 7 --allow mass-delete,mass-release
devices     100: 100 applied
`
	s.writes(t, `repository  net.git, branch main
head        0123456, generation 7, seen 5m ago
rendering   88 devices in 20 ms
rollout     held: no device is assigned or released by it
`+guards)
	if !s.settled("0123456") || s.converged() {
		t.Errorf("--wait ends %v, converged %v", s.settled("0123456"), s.converged())
	}
	if s.Held = nil; s.settled("0123456") {
		t.Error("--wait ends though it was allowed just now")
	}
}

// The head may have mistakes, and what was held before it can be allowed still.
func TestStatusSaysThatAnEarlierGenerationIsHeld(t *testing.T) {
	now := time.Now()
	s := statusAnswer{
		Now: now, Repository: "net.git", Branch: "main",
		Head:   &models.Head{Generation: 8, New: "89abcdef01234567", Seen: now},
		Render: &models.Render{State: models.RenderMistakes},
		Held:   heldRollout(), Devices: map[models.DeviceState]int{models.DeviceApplied: 100},
	}
	s.Held.Hold.Guards = s.Held.Hold.Guards[:1]
	s.writes(t, `repository  net.git, branch main
head        89abcde, generation 8, seen 0s ago
rendering   mistakes: run "setpoint validate" on the commit; the previous generation stays assigned
rollout     none for this generation
guard       generation 7 of commit 0123456 is held, 5m ago
guard       mass-delete: 41 of 88 devices lose configuration: leaf01, leaf02, leaf03 and 38 more
            look at the commit, then: setpoint approve 7 --allow mass-delete
devices     100: 100 applied
`)
}

func TestStatusSaysHowToAllowADevicesPlan(t *testing.T) {
	for _, tt := range []struct{ reason, want string }{
		{"guard mass-delete: 4 of 4 entries of /x would go", "setpoint approve leaf02 --allow mass-delete"},
		{"guard empty: nothing is intended; guard management: /x: the address would go", "setpoint approve leaf02 --allow empty,management"},
		{"refused: no guard service: none", ""},
		{"", ""},
	} {
		held := []models.DeviceNote{{Device: "leaf01", Reason: "refused: mtu"}, {Device: "leaf02", Reason: tt.reason}}
		if got := allowDevice(held); got != tt.want {
			t.Errorf("%q gives %q, want %q", tt.reason, got, tt.want)
		}
	}
}

func TestStatusSaysWhoAllowedIt(t *testing.T) {
	r := heldRollout()
	r.State, r.Converged, r.Hold.Who = models.RolloutRunning, 3, "alice (uid 1000)"
	s := statusAnswer{Rollout: r}
	if got, want := s.rolloutLine(term{}), "running, allowed by alice (uid 1000), 3 of 88 converged, 41 changed"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if s.settled("0123456") {
		t.Error("--wait ends though it goes on")
	}
}

// writes holds the answer's text to what it should be.
func (s *statusAnswer) writes(t *testing.T, want string) {
	t.Helper()
	var b bytes.Buffer
	if err := s.write(&b, "text"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestApproveShowsWhatAHeldGenerationWouldDo(t *testing.T) {
	p := planAnswer{Held: heldRollout(), Plan: "1f2e3d4c5b6a", Commit: "0123456789abcdef"}
	var b bytes.Buffer
	p.write(&b)
	want := `generation 7: plan 1f2e3d4c5b6a of commit 0123456, held 5m ago
mass-delete: 41 of 88 devices lose configuration
  leaf01: −2 +0 entries of …/network-instance/vlans/vlan
  leaf02: −2 +0 entries of …/network-instance/vlans/vlan
  leaf03: −2 +0 entries of …/network-instance/vlans/vlan
  leaf04: −2 +0 entries of …/network-instance/vlans/vlan
  and 37 more
mass-release: 12 of 100 devices are gone from the repository
  spine01
  spine02
  and 10 more
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}
