package rollout

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

func TestTheEmptyConfigIsKnownByItsHash(t *testing.T) {
	if h := tree.Empty(tree.OpenConfig()).Hash(); h != emptyConfig {
		t.Errorf("the hash of an empty config is %s", h)
	}
}

// fleet is n devices on config A, settled, by generation 1.
func fleet(n int) assigned {
	now := assigned{}
	for i := range n {
		now[device(i)] = models.Assignment{Generation: 1, Hash: "A", Phase: settled}
	}
	return now
}

func device(i int) models.DeviceName { return models.DeviceName(fmt.Sprintf("leaf%04d", i)) }

// onto is a manifest of n devices of which the first have these configs, and all
// others A.
func onto(n int, first ...models.Hash) models.Manifest {
	var m models.Manifest
	for i := range n {
		config := models.Hash("A")
		if i < len(first) {
			config = first[i]
		}
		m.Devices = append(m.Devices, models.Intended{Device: models.Device{Name: device(i), Adopt: models.AdoptAuto}, Config: config})
	}
	return m
}

// names are the guards that forbid a generation, where every move to config "B" loses
// something, and no other.
func names(m models.Manifest, now assigned) string {
	var all []string
	for _, g := range weigh(m, now).offends(map[move]string{{"A", "B"}: "−1 +0 entries of /x"}) {
		all = append(all, g.Name+": "+g.Reason)
	}
	return strings.Join(all, "; ")
}

func repeat(h models.Hash, n int) []models.Hash { return slices.Repeat([]models.Hash{h}, n) }

func TestGuardsHoldAGenerationThatTakesTooMuch(t *testing.T) {
	waiting := fleet(10)
	for name, a := range waiting {
		a.Phase = hold
		waiting[name] = a
	}
	toBeApproved := onto(10, repeat("B", 10)...)
	for i := range toBeApproved.Devices {
		toBeApproved.Devices[i].Device.Adopt = models.AdoptApprove
	}
	for _, tt := range []struct {
		name string
		m    models.Manifest
		now  assigned
		want string
	}{
		{"the first generation", onto(100), assigned{}, ""},
		{"no device, and none before", onto(0), assigned{}, ""},
		{"nothing changes", onto(100), fleet(100), ""},
		{"all change, and lose nothing", onto(100, repeat("C", 100)...), fleet(100), ""},
		{"a quarter loses something", onto(100, repeat("B", 25)...), fleet(100), ""},
		{"more than a quarter does", onto(100, repeat("B", 26)...), fleet(100), "mass-delete: 26 of 100 devices lose configuration"},
		{"a quarter, beside many that gain", onto(100, append(repeat("B", 25), repeat("C", 75)...)...), fleet(100), ""},
		{"new devices do not thin it", onto(300, repeat("B", 26)...), fleet(100), "mass-delete: 26 of 100 devices lose configuration"},
		{"a lab of two", onto(2, "B", "B"), fleet(2), ""},
		{"a lab of three", onto(3, "B", "B", "B"), fleet(3), "mass-delete: 3 of 3 devices lose configuration"},
		{"two of four", onto(4, "B", "B"), fleet(4), ""},
		{"devices that are not written to", toBeApproved, waiting, ""},
		{"a tenth is gone", onto(90), fleet(100), ""},
		{"more than a tenth is gone", onto(89), fleet(100), "mass-release: 11 of 100 devices are gone from the repository"},
		{"a pair is gone", onto(2), fleet(4), ""},
		{"three of four are gone", onto(1), fleet(4), "mass-release: 3 of 4 devices are gone from the repository"},
		{"also those that await approval", onto(1), waiting, "mass-release: 9 of 10 devices are gone from the repository"},
		{"one of two is gone", onto(1), fleet(2), ""},
		{"both of two are gone", onto(0), fleet(2), "empty: no device is left of 2"},
		{"the only one is gone", onto(0), fleet(1), "empty: no device is left of 1"},
		{"one device is left without configuration", onto(100, emptyConfig), fleet(100), "empty: 1 of 100 devices would be left without configuration"},
		{"emptied devices lose as well", onto(10, emptyConfig, "B", "B"), fleet(10), "empty: 1 of 10 devices would be left without configuration; mass-delete: 3 of 10 devices lose configuration"},
		{"all at once", onto(80, append(repeat("B", 40), emptyConfig)...), fleet(100), "empty: 1 of 80 devices would be left without configuration; mass-delete: 41 of 80 devices lose configuration; mass-release: 20 of 100 devices are gone from the repository"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := names(tt.m, tt.now); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestAGuardNamesTheFirstDevices(t *testing.T) {
	got := weigh(onto(40, repeat("B", 20)...), fleet(40)).offends(map[move]string{{"A", "B"}: "−1 +0 entries of /x"})
	if len(got) != 1 || got[0].Count != 20 || got[0].Of != 40 || len(got[0].Devices) != guardNotes {
		t.Fatalf("%+v", got)
	}
	if first := (models.DeviceNote{Device: "leaf0000", Reason: "−1 +0 entries of /x"}); got[0].Devices[0] != first {
		t.Errorf("first %+v", got[0].Devices[0])
	}
}

func TestConfigsAreComparedOnlyWhereItMatters(t *testing.T) {
	if moves := weigh(onto(100, repeat("B", 25)...), fleet(100)).moves(); len(moves) != 0 {
		t.Errorf("compares %v, though too few devices change for any guard", moves)
	}
	if moves := weigh(onto(100, repeat("B", 26)...), fleet(100)).moves(); !slices.Equal(moves, []move{{"A", "B"}}) {
		t.Errorf("compares %v: one way is compared once", moves)
	}
}

func TestInventoryLeavesOutWhatIsAsGoodAsReleased(t *testing.T) {
	now := fleet(4)
	now["leaf0000"] = models.Assignment{Generation: 2}
	if got := inventory(now, 2); len(got) != 1 || len(now) != 4 {
		t.Errorf("inventory %v of %d", got, len(now))
	}
	if got := inventory(now, 0); len(got) != 4 {
		t.Errorf("inventory %v", got)
	}
}

// Random fleets and manifests are held to what the guards promise, counted here in
// the plainest way.
func TestGuardsKeepTheirPromisesOnRandomFleets(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	tripped := map[string]int{}
	for range 3000 {
		now, m := randomFleet(r)
		w := weigh(m, now)
		known := map[move]string{}
		for _, mv := range w.moves() {
			if mv.to == "B" {
				known[mv] = "something"
			}
		}
		got := map[string]models.FleetGuard{}
		for _, g := range w.offends(known) {
			got[g.Name] = g
			tripped[g.Name]++
		}
		next := map[models.DeviceName]models.Intended{}
		for _, d := range m.Devices {
			next[d.Device.Name] = d
		}
		gone, written, emptied, lost := 0, 0, 0, 0
		for name, old := range now {
			d, stays := next[name]
			switch {
			case !stays:
				gone++
			case phase(d, old) == hold:
			default:
				written++
				if d.Config == emptyConfig && old.Hash != emptyConfig {
					emptied++
				}
				if d.Config == "B" && old.Hash != "B" && old.Hash != emptyConfig {
					lost++
				}
			}
		}
		lost += emptied
		want := map[string]bool{
			GuardEmpty:       emptied > 0 || len(next) == 0 && len(now) > 0,
			GuardMassDelete:  lost >= 3 && float64(lost) > 0.25*float64(written),
			GuardMassRelease: len(next) > 0 && gone >= 3 && float64(gone) > 0.1*float64(len(now)),
		}
		for name, wanted := range want {
			if _, trips := got[name]; trips != wanted {
				t.Fatalf("%s: %v, want %v: %d gone, %d emptied, %d lost, %d written of %d; %d left", name, trips, wanted, gone, emptied, lost, written, len(now), len(next))
			}
		}
		// Nobody is assigned anything by weighing, and the same twice is the same.
		if diff := cmp.Diff(w.offends(known), weigh(m, now).offends(known)); diff != "" {
			t.Fatal(diff)
		}
		// What is assigned as a whole, by hand or because nothing held it, holds nothing after that.
		moves, _ := assign(models.Render{Generation: 2}, m, now)
		after := inventory(merge(now, moves), 2)
		if again := weigh(m, after).offends(nil); len(again) > 0 {
			t.Fatalf("a generation that stands is held by %v", again)
		}
	}
	for _, name := range []string{GuardEmpty, GuardMassDelete, GuardMassRelease} {
		if tripped[name] < 50 {
			t.Errorf("%s tripped %d times in all: the fleets are not random enough", name, tripped[name])
		}
	}
}

func randomFleet(r *rand.Rand) (assigned, models.Manifest) {
	pick := func(of ...models.Hash) models.Hash { return of[r.IntN(len(of))] }
	size, drop, change := 1+r.IntN(30), r.Float64()*r.Float64(), r.Float64()
	now := assigned{}
	var m models.Manifest
	for i := range size {
		old := models.Assignment{Generation: 1, Hash: pick("A", "A", "A", "B", emptyConfig), Phase: []models.Phase{settled, settled, apply, hold}[r.IntN(4)]}
		if r.IntN(10) > 0 {
			now[device(i)] = old
		}
		if r.Float64() < drop {
			continue
		}
		d := models.Intended{Device: models.Device{Name: device(i), Adopt: []models.Adopt{models.AdoptAuto, models.AdoptApprove}[r.IntN(2)]}, Config: old.Hash}
		if r.Float64() < change {
			d.Config = pick("A", "B", "C", "C", "D")
			if r.IntN(20) == 0 {
				d.Config = emptyConfig
			}
		}
		m.Devices = append(m.Devices, d)
	}
	return now, m
}

func merge(now, moves assigned) assigned {
	all := assigned{}
	for name, a := range now {
		all[name] = a
	}
	for name, a := range moves {
		all[name] = a
	}
	return all
}

func TestAPermitFitsOneHeldRolloutOnly(t *testing.T) {
	r := models.Rollout{Generation: 7, Commit: "c7", Manifest: "m7", State: models.RolloutHeld, Hold: &models.Hold{Guards: []models.FleetGuard{
		{Name: GuardMassDelete, Reason: "41 of 100 devices lose configuration"}, {Name: GuardMassRelease, Reason: "12 of 100 devices are gone from the repository"},
	}}}
	both := []string{GuardMassDelete, GuardMassRelease}
	with := func(f func(*models.Rollout)) models.Rollout { other := r; f(&other); return other }
	for _, tt := range []struct {
		name  string
		of    models.Rollout
		plan  string
		allow []string
		err   error
		says  string
	}{
		{"both guards", r, HoldID(r), both, nil, ""},
		{"in another order", r, HoldID(r), []string{GuardMassRelease, GuardMassDelete}, nil, ""},
		{"no guard named", r, HoldID(r), nil, ErrGuarded, "guard mass-delete: 41 of 100 devices lose configuration"},
		{"one of two", r, HoldID(r), both[:1], ErrGuarded, "guard mass-release: 12 of 100 devices are gone from the repository"},
		{"a wrong name", r, HoldID(r), []string{"mass-delet"}, ErrNothingToApprove, `guard "mass-delet" does not hold it, but mass-delete and mass-release`},
		{"another commit", with(func(o *models.Rollout) { o.Commit = "c8" }), HoldID(r), both, ErrPlanChanged, ""},
		{"another manifest", with(func(o *models.Rollout) { o.Manifest = "m8" }), HoldID(r), both, ErrPlanChanged, ""},
		{"superseded", with(func(o *models.Rollout) { o.State, o.By = models.RolloutSuperseded, 8 }), HoldID(r), both, ErrNothingToApprove, "superseded by generation 8"},
		{"begun", with(func(o *models.Rollout) { o.State = models.RolloutRunning }), HoldID(r), both, ErrNothingToApprove, "no guard holds it"},
		{"no such rollout", models.Rollout{}, HoldID(r), both, ErrNothingToApprove, "no guard holds it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Permit(tt.plan, tt.allow, tt.of)
			if !errors.Is(err, tt.err) || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("error %v, want %v with %q", err, tt.err, tt.says)
			}
			if want := (Approval{Generation: 7, Hash: "m7", Allow: "mass-delete,mass-release"}); err == nil && p != want {
				t.Errorf("permit %+v", p)
			}
		})
	}
}

func TestOnlyAFittingPermitLetsARolloutBegin(t *testing.T) {
	r := models.Rollout{Generation: 7, Manifest: "m7", State: models.RolloutHeld, Hold: &models.Hold{Guards: []models.FleetGuard{{Name: GuardMassDelete}, {Name: GuardEmpty}}}}
	good := Approval{Generation: 7, Hash: "m7", Allow: "empty,mass-delete", Who: "uid 1000"}
	for _, tt := range []struct {
		name   string
		change func(*models.Rollout, *Approval)
		want   bool
	}{
		{"as it is held", func(*models.Rollout, *Approval) {}, true},
		{"of another manifest", func(_ *models.Rollout, p *Approval) { p.Hash = "m6" }, false},
		{"of fewer guards", func(_ *models.Rollout, p *Approval) { p.Allow = "empty" }, false},
		{"of nobody", func(_ *models.Rollout, p *Approval) { p.Who = "" }, false},
		{"of one that runs", func(r *models.Rollout, _ *Approval) { r.State = models.RolloutRunning }, false},
		{"of one that was superseded", func(r *models.Rollout, _ *Approval) { r.State = models.RolloutSuperseded }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, p := r, good
			tt.change(&r, &p)
			got, _, ok := allowed(map[models.Generation]models.Rollout{7: r}, map[models.Generation]Approval{7: p})
			if ok != tt.want || ok && got.Generation != 7 {
				t.Errorf("allowed %v", ok)
			}
		})
	}
}

func TestAllowingAGenerationAllowsItsOwnDifferenceOnEachDevice(t *testing.T) {
	old := models.Assignment{Generation: 1, Hash: "A", Phase: settled}
	applied := models.DeviceStatus{Generation: 1, Intended: "A", State: models.DeviceApplied, Running: "R"}
	for _, tt := range []struct {
		name   string
		allow  string
		change func(a *models.Assignment, s *models.DeviceStatus)
		want   string
	}{
		{"it runs what it was assigned", "mass-delete", nil, "mass-delete from R"},
		{"only what a plan can be held by", "empty,mass-delete,mass-release", nil, "empty,mass-delete from R"},
		{"nothing of that kind", "mass-release", nil, " from "},
		{"it has drifted", "mass-delete", func(_ *models.Assignment, s *models.DeviceStatus) { s.State = models.DeviceDrifted }, " from "},
		{"it is out of reach", "mass-delete", func(_ *models.Assignment, s *models.DeviceStatus) { s.State = models.DeviceUnreachable }, " from "},
		{"its status is of another generation", "mass-delete", func(_ *models.Assignment, s *models.DeviceStatus) { s.Generation = 0 }, " from "},
		{"its status is of another config", "mass-delete", func(_ *models.Assignment, s *models.DeviceStatus) { s.Intended = "Z" }, " from "},
		{"its config stays", "mass-delete", func(a *models.Assignment, _ *models.DeviceStatus) { a.Hash, a.Phase = "A", settled }, " from "},
		{"it awaits approval", "mass-delete", func(a *models.Assignment, _ *models.DeviceStatus) { a.Phase = hold }, " from "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, s := models.Assignment{Generation: 2, Hash: "B", Phase: apply}, applied
			if tt.change != nil {
				tt.change(&a, &s)
			}
			moves := assigned{"leaf01": a}
			extend(moves, assigned{"leaf01": old}, map[models.DeviceName]models.DeviceStatus{"leaf01": s}, tt.allow)
			if got := moves["leaf01"].Allow + " from " + string(moves["leaf01"].From); got != tt.want {
				t.Errorf("allows %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAPermitIsKeptWhileItMayBeUsed(t *testing.T) {
	held := models.Rollout{Generation: 7, Manifest: "m7", State: models.RolloutHeld, Hold: &models.Hold{Guards: []models.FleetGuard{{Name: GuardEmpty}}}}
	begun, superseded := held, held
	begun.State, begun.Hold = models.RolloutRunning, &models.Hold{Who: "uid 1000"}
	superseded.State = models.RolloutSuperseded
	good := Approval{Generation: 7, Hash: "m7", Allow: "empty", Who: "uid 1000"}
	bad := good
	bad.Hash = "m6"
	for _, tt := range []struct {
		name     string
		rollouts map[models.Generation]models.Rollout
		permit   Approval
		spent    bool
	}{
		{"of what is held", map[models.Generation]models.Rollout{7: held}, good, false},
		{"of what is held otherwise", map[models.Generation]models.Rollout{7: held}, bad, true},
		{"of what has begun", map[models.Generation]models.Rollout{7: begun}, good, true},
		{"of what was superseded", map[models.Generation]models.Rollout{7: superseded}, good, true},
		{"of what is not known yet", map[models.Generation]models.Rollout{6: {Generation: 6}}, good, false},
		{"of what is long over", map[models.Generation]models.Rollout{8: {Generation: 8}}, good, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := spent(tt.rollouts, map[models.Generation]Approval{7: tt.permit}); (len(got) == 1) != tt.spent {
				t.Errorf("spent %v", got)
			}
		})
	}
}

// servers stores a config with so many NTP servers and returns its hash.
func (h *house) servers(n int) models.Hash {
	h.t.Helper()
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`{"address":"192.0.2.%d","config":{"address":"192.0.2.%d"}}`, i+1, i+1))
	}
	text := "{}"
	if n > 0 {
		text = `{"openconfig-system:system":{"ntp":{"servers":{"server":[` + strings.Join(all, ",") + `]}}}}`
	}
	hashes, err := h.Blobs.Put(h.ctx, []byte(text))
	if err != nil {
		h.t.Fatal(err)
	}
	return hashes[0]
}

// on is n devices on one config.
func on(n int, config models.Hash) []models.Intended {
	var all []models.Intended
	for i := range n {
		all = append(all, auto(device(i), config))
	}
	return all
}

// deploy renders a generation and has its devices apply it.
func (h *house) deploy(g models.Generation, devices ...models.Intended) {
	h.t.Helper()
	h.rendered(g, devices...)
	for _, d := range devices {
		await(h, h.Assignments, string(d.Device.Name), func(a models.Assignment) bool { return a.Generation == g })
		h.status(d.Device.Name, g, d.Config, models.DeviceApplied, "")
	}
	h.rollout(g, models.RolloutDone)
}

// stays holds every device to the generation and config that it is assigned.
func (h *house) stays(n int, g models.Generation, config models.Hash) {
	h.t.Helper()
	all, err := h.Assignments.All(h.ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	if len(all) != n {
		h.t.Errorf("%d devices are assigned, want %d", len(all), n)
	}
	for name, a := range all {
		if a.Value.Generation != g || a.Value.Hash != config {
			h.t.Errorf("%s has generation %d, config %.12s", name, a.Value.Generation, a.Value.Hash)
		}
	}
}

// approve gives a person's word for a held rollout.
func (h *house) approve(r models.Rollout) {
	h.t.Helper()
	p, err := Permit(HoldID(r), strings.Split(r.Hold.Names(), ","), r)
	if err != nil {
		h.t.Fatal(err)
	}
	p.Who, p.Time = "uid 1000", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	put(h, Permits(h.Bus), key(r.Generation), p)
}

func TestDriverHoldsAGenerationUntilItIsAllowed(t *testing.T) {
	for name, change := range map[string]func(h *house) (next []models.Intended, guard string){
		"deletions": func(h *house) ([]models.Intended, string) { return on(4, h.servers(1)), GuardMassDelete },
		"inventory": func(h *house) ([]models.Intended, string) { return on(1, h.servers(3)), GuardMassRelease },
		"one empty": func(h *house) ([]models.Intended, string) {
			return append(on(3, h.servers(3)), auto(device(3), h.servers(0))), GuardEmpty
		},
		"none left": func(*house) ([]models.Intended, string) { return nil, GuardEmpty },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			h := newHouseAt(t, dir)
			stop := h.start()
			full := h.servers(3)
			h.deploy(1, on(4, full)...)
			for i := range 4 {
				put(h, h.Devices, string(device(i)), models.DeviceStatus{Generation: 1, Applied: 1, Intended: full, State: models.DeviceApplied, Running: "R"})
			}
			next, guard := change(h)
			h.rendered(2, next...)
			r := h.rollout(2, models.RolloutHeld)
			if r.Hold.Names() != guard || r.Hold.Since.IsZero() || !r.Started.IsZero() || r.Total != len(next) {
				t.Fatalf("rollout %+v, hold %+v", r, r.Hold)
			}
			h.stays(4, 1, full)
			h.rollout(1, models.RolloutDone)

			stop() // a restart finds it held
			stop = h.start()
			h.settleView()
			h.stays(4, 1, full)
			h.approve(r)
			r = await(h, h.Rollouts, "2", func(r models.Rollout) bool { return r.State != models.RolloutHeld })
			if r.Hold == nil || r.Hold.Who != "uid 1000" || r.Hold.Time.IsZero() || r.Started.IsZero() {
				t.Errorf("rollout %+v, hold %+v", r, r.Hold)
			}
			for _, d := range next {
				a := await(h, h.Assignments, string(d.Device.Name), func(a models.Assignment) bool { return a.Generation == 2 && a.Hash == d.Config })
				if lifted := a.Allow != "" && a.From == "R"; lifted != (d.Config != full) {
					t.Errorf("%s may go against %q from %q", d.Device.Name, a.Allow, a.From)
				}
				h.status(d.Device.Name, 2, d.Config, models.DeviceApplied, "")
			}
			for i := len(next); i < 4; i++ {
				await(h, h.Assignments, string(device(i)), func(a models.Assignment) bool { return a.Generation == 0 })
			}
			h.rollout(2, models.RolloutDone)
			await(h, Permits(h.Bus), "2", func(p Approval) bool { return p.Who == "" })
			stop()
		})
	}
}

// settleView waits until the driver has looked at what is there: it settles a
// device, which it does on each look that finds one to settle.
func (h *house) settleView() {
	h.t.Helper()
	put(h, Permits(h.Bus), "999", Approval{Generation: 999, Who: "marker"}) // above any rollout: left alone
	a, _, err := h.Assignments.Get(h.ctx, string(device(0)))
	if err != nil {
		h.t.Fatal(err)
	}
	a.Phase = apply
	put(h, h.Assignments, string(device(0)), a)
	h.assignment(device(0), a.Generation, settled)
}

func TestDriverLetsANewerGenerationTakeTheHeldOnesPlace(t *testing.T) {
	h := newHouse(t)
	defer h.start()()
	full, less, least := h.servers(3), h.servers(2), h.servers(1)
	h.deploy(1, on(4, full)...)
	h.rendered(2, on(4, less)...)
	r := h.rollout(2, models.RolloutHeld)
	h.rendered(3, on(4, least)...)
	h.rollout(3, models.RolloutHeld)
	if r := h.rollout(2, models.RolloutSuperseded); r.By != 3 || r.Begun() {
		t.Errorf("rollout %+v", r)
	}
	h.stays(4, 1, full)
	put(h, Permits(h.Bus), "2", Approval{Generation: 2, Hash: r.Manifest, Allow: GuardMassDelete, Who: "uid 1000"})
	await(h, Permits(h.Bus), "2", func(p Approval) bool { return p.Who == "" }) // too late
	h.stays(4, 1, full)
	h.rollout(1, models.RolloutDone)

	h.deploy(4, on(4, full)...) // the revert
	if r := h.rollout(3, models.RolloutSuperseded); r.By != 4 {
		t.Errorf("rollout %+v", r)
	}
	if r := h.rollout(4, models.RolloutDone); r.Changed != 0 || r.Hold != nil {
		t.Errorf("rollout %+v", r)
	}
}

// What runs goes on while something newer is held: devices settle, catch up, and
// the rollout before is done.
func TestDriverGoesOnWithTheRolloutBeforeTheHeldOne(t *testing.T) {
	h := newHouse(t)
	defer h.start()()
	full := h.servers(3)
	h.rendered(1, on(4, full)...)
	for i := range 3 {
		h.assignment(device(i), 1, apply)
		h.status(device(i), 1, full, models.DeviceApplied, "")
		h.assignment(device(i), 1, settled)
	}
	h.rendered(2, on(1, full)...)
	h.rollout(2, models.RolloutHeld)
	h.status(device(3), 1, full, models.DeviceApplied, "")
	h.assignment(device(3), 1, settled)
	h.rollout(1, models.RolloutDone)
	h.stays(4, 1, full)
}

// A fan-out of several batches may be cut short after a person allowed it: the
// permit stands until its rollout has begun.
func TestDriverFinishesAnAllowedFanOutThatWasCutShort(t *testing.T) {
	h := newHouse(t)
	stop := h.start()
	full, less := h.servers(3), h.servers(1)
	h.deploy(1, on(4, full)...)
	h.rendered(2, on(4, less)...)
	r := h.rollout(2, models.RolloutHeld)
	stop()
	for i := range 2 {
		put(h, h.Assignments, string(device(i)), models.Assignment{Generation: 2, Manifest: r.Manifest, Hash: less, Previous: full, Phase: apply})
	}
	h.approve(r)
	defer h.start()()
	for i := range 4 {
		h.assignment(device(i), 2, apply)
	}
	h.rollout(2, models.RolloutRunning)
}

// A driver is stopped at any change that follows a person's word, and another goes on
// from there: what was allowed goes out, once, and its permit is gone.
func TestDriverStoppedAnywhereLetsOutWhatIsAllowed(t *testing.T) {
	for stopAt := 1; stopAt <= 5; stopAt++ { // three assignments, two releases
		t.Run(fmt.Sprint("after change ", stopAt), func(t *testing.T) {
			h := newHouse(t)
			stop := h.start()
			full, less := h.servers(3), h.servers(1)
			h.deploy(1, on(5, full)...)
			h.rendered(2, on(3, less)...) // three lose something, two are gone
			r := h.rollout(2, models.RolloutHeld)
			stop()
			changes, err := h.Assignments.Watch(h.ctx)
			if err != nil {
				t.Fatal(err)
			}
			for c := range changes {
				if c.Current {
					break
				}
			}
			h.approve(r)
			stop = h.start()
			for range stopAt {
				<-changes
			}
			stop()
			defer h.start()()
			for i := range 3 {
				h.assignment(device(i), 2, apply)
				h.status(device(i), 2, less, models.DeviceApplied, "")
			}
			for i := 3; i < 5; i++ {
				await(h, h.Assignments, string(device(i)), func(a models.Assignment) bool { return a.Generation == 0 })
			}
			h.rollout(2, models.RolloutDone)
			await(h, Permits(h.Bus), "2", func(p Approval) bool { return p.Who == "" })
			if old := h.rollout(1, models.RolloutDone); old.By != 0 {
				t.Errorf("rollout %+v", old)
			}
		})
	}
}

// Devices that an earlier rollout left behind are released all the same, and do not
// count as gone for the generation after it.
func TestDriverWeighsOnlyWhatIsStillInTheInventory(t *testing.T) {
	h := newHouse(t)
	full := h.servers(3)
	for i := range 10 {
		g := models.Generation(2)
		if i >= 5 {
			g = 1 // the release was cut short
		}
		put(h, h.Assignments, string(device(i)), models.Assignment{Generation: g, Hash: full, Phase: settled})
	}
	put(h, h.Rollouts, "2", models.Rollout{Generation: 2, State: models.RolloutDone, Total: 5, Started: time.Now()})
	h.rendered(3, on(5, full)...)
	defer h.start()()
	h.rollout(3, models.RolloutDone)
	for i := 5; i < 10; i++ {
		await(h, h.Assignments, string(device(i)), func(a models.Assignment) bool { return a.Generation == 0 })
	}
}

// A config that was lost from the store counts as one that takes something away:
// a person looks.
func TestDriverHoldsWhatItCanNotCompare(t *testing.T) {
	h := newHouse(t)
	defer h.start()()
	lost := models.Hash(strings.Repeat("0", 64))
	h.deploy(1, on(4, lost)...)
	h.rendered(2, on(4, h.servers(3))...)
	if r := h.rollout(2, models.RolloutHeld); !strings.Contains(r.Hold.Guards[0].Devices[0].Reason, "not kept any more") {
		t.Errorf("hold %+v", r.Hold)
	}
}

func TestComparingTwiceReadsOnce(t *testing.T) {
	h := newHouse(t)
	m := move{h.servers(3), h.servers(1)}
	if line, err := h.loss(h.ctx, m); err != nil || line == "" {
		t.Fatalf("%q, %v", line, err)
	}
	h.Blobs = (&bus.Bus{}).Blobs() // nobody to ask
	if line, err := h.loss(h.ctx, m); err != nil || line == "" {
		t.Errorf("%q, %v", line, err)
	}
}
