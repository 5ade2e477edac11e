package rollout

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
)

// observed is the status of a device that awaits approval.
func observed(g models.Generation, intended, running models.Hash) models.DeviceStatus {
	return models.DeviceStatus{Generation: g, Intended: intended, State: models.DeviceObserved, Running: running}
}

func TestAdoptLiftsTheHoldForTheApprovedPlanAlone(t *testing.T) {
	equal := observed(7, "B", "B'")
	equal.State = models.DeviceApplied
	lost := observed(7, "B", "R")
	lost.State = models.DeviceUnreachable
	given := &Approval{Generation: 7, Hash: "B", Running: "R"}
	for _, tt := range []struct {
		name     string
		phase    models.Phase
		approval *Approval
		status   models.DeviceStatus
		rebuilt  models.Generation
		want     models.Phase // "": no move
		lapsed   bool
	}{
		{"no approval", hold, nil, observed(7, "B", "R"), 0, "", false},
		{"approved", hold, given, observed(7, "B", "R"), 0, apply, false},
		{"approved under an earlier generation, of the same config", hold, &Approval{Generation: 6, Hash: "B", Running: "R"}, observed(7, "B", "R"), 0, apply, false},
		{"another config is intended", hold, &Approval{Generation: 7, Hash: "A", Running: "R"}, observed(7, "B", "R"), 0, "", true},
		{"another config runs", hold, given, observed(7, "B", "S"), 0, "", true},
		{"not read under this generation", hold, given, observed(6, "B", "S"), 0, "", false},
		{"not read beside this config", hold, given, observed(7, "A", "S"), 0, "", false},
		{"out of reach", hold, given, lost, 0, "", false},
		{"approved and written to since", settled, given, observed(7, "B", "S"), 0, "", false},
		{"approved and being written to", apply, given, observed(7, "B", "S"), 0, "", false},
		{"equal by itself", hold, nil, equal, 0, "", false},
		{"equal by itself, and approved so", hold, &Approval{Generation: 7, Hash: "B", Running: "B'"}, equal, 0, settled, false},
		{"became equal after the approval", hold, given, equal, 0, "", true},
		{"equal, first generation of a rebuilt store", hold, nil, equal, 7, settled, false},
		{"equal, later generation of a rebuilt store", hold, nil, equal, 6, "", false},
		{"differs, first generation of a rebuilt store", hold, nil, observed(7, "B", "R"), 7, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := models.Assignment{Generation: 7, Hash: "B", Phase: tt.phase}
			approvals := map[models.DeviceName]Approval{}
			if tt.approval != nil {
				approvals["leaf01"] = *tt.approval
			}
			moves, lapsed := adopt(approvals, assigned{"leaf01": a}, map[models.DeviceName]models.DeviceStatus{"leaf01": tt.status}, tt.rebuilt)
			want := assigned{}
			if tt.want != "" {
				a.Phase = tt.want
				want["leaf01"] = a
			}
			if diff := cmp.Diff(want, moves); diff != "" || (len(lapsed) > 0) != tt.lapsed {
				t.Errorf("lapsed %v; (-want +got)\n%s", lapsed, diff)
			}
		})
	}
}

func TestAnApprovalIsOfOnePlan(t *testing.T) {
	a := models.Assignment{Generation: 7, Hash: "B", Phase: hold}
	seen, err := PlanID(a, observed(7, "B", "R"))
	if err != nil || len(seen) != 12 {
		t.Fatalf("%q, %v", seen, err)
	}
	p, err := Approve(seen, nil, a, observed(7, "B", "R"))
	if diff := cmp.Diff(Approval{Generation: 7, Hash: "B", Running: "R"}, p); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	other := a
	other.Hash = "C"
	for name, tt := range map[string]struct {
		a    models.Assignment
		s    models.DeviceStatus
		want error
	}{
		"running moved":    {a, observed(7, "B", "S"), ErrPlanChanged},
		"intended moved":   {other, observed(7, "C", "R"), ErrPlanChanged},
		"not read yet":     {other, observed(7, "B", "R"), ErrNothingToApprove},
		"not read at all":  {a, models.DeviceStatus{}, ErrNothingToApprove},
		"not assigned":     {models.Assignment{}, observed(7, "B", "R"), ErrNothingToApprove},
		"adopted already":  {models.Assignment{Generation: 7, Hash: "B", Phase: settled}, observed(7, "B", "R"), ErrNothingToApprove},
		"being written to": {models.Assignment{Generation: 7, Hash: "B", Phase: apply}, observed(7, "B", "R"), ErrNothingToApprove},
	} {
		if _, err := Approve(seen, nil, tt.a, tt.s); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAGuardIsLiftedForOnePlanAlone(t *testing.T) {
	held := models.DeviceStatus{Generation: 7, Intended: "B", Running: "R", State: models.DeviceHeld, Guards: "mass-delete,management", Reason: "guard mass-delete: 9 of 10"}
	for _, phase := range []models.Phase{hold, apply, settled} {
		a := models.Assignment{Generation: 7, Hash: "B", Phase: phase}
		plan, err := PlanID(a, held)
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			allow []string
			want  error
		}{
			{nil, ErrGuarded},
			{[]string{"mass-delete"}, ErrGuarded},
			{[]string{"mass-delete", "management", "empty"}, ErrNothingToApprove},
		} {
			if _, err := Approve(plan, tt.allow, a, held); !errors.Is(err, tt.want) {
				t.Errorf("%s, allow %q: %v", phase, tt.allow, err)
			}
		}
		p, err := Approve(plan, []string{"management", "mass-delete"}, a, held)
		if err != nil {
			t.Fatal(err)
		}
		want := a
		want.Allow, want.From = "mass-delete,management", "R"
		if phase == hold {
			want.Phase = apply
		}
		device := func(s models.DeviceStatus) map[models.DeviceName]models.DeviceStatus {
			return map[models.DeviceName]models.DeviceStatus{"a": s}
		}
		moves, _ := adopt(map[models.DeviceName]Approval{"a": p}, assigned{"a": a}, device(held), 0)
		if diff := cmp.Diff(assigned{"a": want}, moves); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", phase, diff)
		}
		if again, _ := adopt(map[models.DeviceName]Approval{"a": p}, moves, device(held), 0); phase != hold && len(again) > 0 {
			t.Errorf("%s: lifted twice: %v", phase, again)
		}
		moved := held
		moved.Running = "S"
		if moves, _ := adopt(map[models.DeviceName]Approval{"a": p}, assigned{"a": a}, device(moved), 0); len(moves) > 0 {
			t.Errorf("%s: lifted for another plan: %v", phase, moves)
		}
		later := a
		later.Generation = 8
		carried := held
		carried.Generation = 8
		if moves, _ := adopt(map[models.DeviceName]Approval{"a": p}, assigned{"a": later}, device(carried), 0); phase != hold && len(moves) > 0 {
			t.Errorf("%s: lifted in a later generation: %v", phase, moves)
		}
	}
}

// TestDriverAdoptsWhatWasApproved goes from observed to applied, and on to the
// next commit, which needs no approval.
func TestDriverAdoptsWhatWasApproved(t *testing.T) {
	h := newHouse(t)
	defer h.start()()
	device := func(config models.Hash) models.Intended {
		return models.Intended{Device: models.Device{Name: "a", Adopt: models.AdoptApprove}, Config: config}
	}
	h.rendered(1, device("A1"))
	h.assignment("a", 1, hold)
	put(h, h.Devices, "a", observed(1, "A1", "R"))
	h.rollout(1, models.RolloutIncomplete)
	put(h, Approvals(h.Bus), "a", Approval{Generation: 1, Hash: "A1", Running: "R", Who: "x"})
	h.assignment("a", 1, apply)
	h.status("a", 1, "A1", models.DeviceApplied, "")
	h.assignment("a", 1, settled)
	h.rollout(1, models.RolloutDone)
	h.rendered(2, device("A2"))
	h.assignment("a", 2, apply)
}

func TestDriverDropsAnApprovalOfAnotherPlan(t *testing.T) {
	h := newHouse(t)
	defer h.start()()
	h.rendered(1, models.Intended{Device: models.Device{Name: "a"}, Config: "A1"})
	put(h, h.Devices, "a", observed(1, "A1", "S"))
	h.rollout(1, models.RolloutIncomplete)
	put(h, Approvals(h.Bus), "a", Approval{Generation: 1, Hash: "A1", Running: "R", Who: "x"})
	await(h, Approvals(h.Bus), "a", func(p Approval) bool { return p.Who == "" })
	put(h, h.Devices, "a", observed(1, "A1", "R")) // back at what was approved: too late
	h.rendered(2, models.Intended{Device: models.Device{Name: "a"}, Config: "A1"})
	h.assignment("a", 2, hold)
}

// A device that comes back after its release is a new one.
func TestDriverForgetsTheApprovalOfAReleasedDevice(t *testing.T) {
	h := newHouse(t)
	defer h.start()()
	device := models.Intended{Device: models.Device{Name: "a"}, Config: "A1"}
	h.rendered(1, device, auto("b", "B1"))
	put(h, h.Devices, "a", observed(1, "A1", "R"))
	put(h, Approvals(h.Bus), "a", Approval{Generation: 1, Hash: "A1", Running: "R", Who: "x"})
	h.assignment("a", 1, apply)
	h.rendered(2, auto("b", "B1"))
	await(h, h.Assignments, "a", func(a models.Assignment) bool { return a.Generation == 0 })
	if _, rev, err := Approvals(h.Bus).Get(h.ctx, "a"); rev != 0 || err != nil {
		t.Errorf("revision %d, %v", rev, err)
	}
	h.rendered(3, device, auto("b", "B1"))
	h.assignment("a", 3, hold)
}

// Approvals are lost with a store; what runs on the devices is not.
func TestDriverTakesEqualDevicesForAdoptedAfterARebuild(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b, err := bus.Open(t.Context(), bus.Config{Dir: dir})
	if err == nil {
		_, err = Approvals(b).Update(t.Context(), "a", Approval{}, 0)
	}
	if err = errors.Join(err, b.RaiseFloor(4), b.Close(), os.RemoveAll(dir)); err != nil {
		t.Fatal(err)
	}
	h := newHouseAt(t, dir)
	if h.Bus.Rebuilt() == "" {
		t.Fatal("the store was not rebuilt")
	}
	defer h.start()()
	equal := observed(5, "A1", "A1'")
	equal.State, equal.Applied = models.DeviceApplied, 5
	approve := func(name models.DeviceName) models.Intended {
		return models.Intended{Device: models.Device{Name: name}, Config: "A1"}
	}
	h.rendered(5, approve("a"), approve("b"))
	put(h, h.Devices, "a", equal)
	put(h, h.Devices, "b", observed(5, "A1", "R"))
	h.assignment("a", 5, settled)
	h.assignment("b", 5, hold)
	h.rendered(6, approve("a"), approve("b"), approve("c"))
	equal.Generation, equal.Applied = 6, 6
	put(h, h.Devices, "c", equal)
	put(h, h.Devices, "b", equal)
	h.rollout(6, models.RolloutDone)
	h.assignment("b", 6, hold) // a later generation's new devices are new
	h.assignment("c", 6, hold)
}

// A device that was equal by itself ends its rollout, and settles when it is
// adopted after that; so does one that moved away in between.
func TestDriverSettlesUnderADoneRollout(t *testing.T) {
	h := newHouse(t)
	defer h.start()()
	equal := observed(1, "A1", "A1'")
	equal.State, equal.Applied = models.DeviceApplied, 1
	h.rendered(1, models.Intended{Device: models.Device{Name: "a"}, Config: "A1"}, models.Intended{Device: models.Device{Name: "b"}, Config: "A1"})
	put(h, h.Devices, "a", equal)
	put(h, h.Devices, "b", equal)
	h.rollout(1, models.RolloutDone)
	put(h, Approvals(h.Bus), "a", Approval{Generation: 1, Hash: "A1", Running: "A1'", Who: "x"})
	h.assignment("a", 1, settled)
	put(h, h.Devices, "b", observed(1, "A1", "R"))
	put(h, Approvals(h.Bus), "b", Approval{Generation: 1, Hash: "A1", Running: "R", Who: "x"})
	h.assignment("b", 1, apply)
	put(h, h.Devices, "b", equal)
	h.assignment("b", 1, settled)
}
