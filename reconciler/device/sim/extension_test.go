package sim

import (
	"testing"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// commits sends a Set with the commit extension; value "" is without an operation.
func (c *client) commits(ext *gnmi_ext.Commit, value string) codes.Code {
	req := &gnmi.SetRequest{}
	if ext != nil {
		req.Extension = []*gnmi_ext.Extension{{Ext: &gnmi_ext.Extension_Commit{Commit: ext}}}
	}
	if value != "" {
		req.Update = []*gnmi.Update{up(c.t, mtu, value)}
	}
	_, err := c.Set(deadline(c.t), req)
	return status.Code(err)
}

func begin(id string, d time.Duration) *gnmi_ext.Commit {
	r := &gnmi_ext.CommitRequest{}
	if d != 0 {
		r.RollbackDuration = durationpb.New(d)
	}
	return &gnmi_ext.Commit{Id: id, Action: &gnmi_ext.Commit_Commit{Commit: r}}
}

func confirm(id string) *gnmi_ext.Commit {
	return &gnmi_ext.Commit{Id: id, Action: &gnmi_ext.Commit_Confirm{Confirm: &gnmi_ext.CommitConfirm{}}}
}

func cancel(id string) *gnmi_ext.Commit {
	return &gnmi_ext.Commit{Id: id, Action: &gnmi_ext.Commit_Cancel{Cancel: &gnmi_ext.CommitCancel{}}}
}

func prolong(id string, d time.Duration) *gnmi_ext.Commit {
	return &gnmi_ext.Commit{Id: id, Action: &gnmi_ext.Commit_SetRollbackDuration{
		SetRollbackDuration: &gnmi_ext.CommitSetRollbackDuration{RollbackDuration: durationpb.New(d)},
	}}
}

// turn is one Set, after a while, and what holds then.
type turn struct {
	after time.Duration
	ext   *gnmi_ext.Commit
	value string
	code  codes.Code
	mtu   string
}

func TestCommitsThatWaitToBeConfirmed(t *testing.T) {
	const (
		ok, wrong, failed = codes.OK, codes.InvalidArgument, codes.FailedPrecondition
		s                 = time.Second
	)
	traps := func(names ...string) Faults { return Faults{Commit: "supported", CommitTraps: names} }
	tests := map[string]struct {
		faults Faults
		turns  []turn
	}{
		"confirmed":              {traps(), []turn{{0, begin("a", 30*s), "9000", ok, "9000"}, {10 * s, confirm("a"), "", ok, "9000"}, {time.Hour, nil, "", ok, "9000"}}},
		"canceled":               {traps(), []turn{{0, begin("a", 30*s), "9000", ok, "9000"}, {10 * s, cancel("a"), "", ok, "1500"}, {0, nil, "9001", ok, "9001"}}},
		"timed out":              {traps(), []turn{{0, begin("a", 30*s), "9000", ok, "9000"}, {31 * s, confirm("a"), "", failed, "1500"}, {0, nil, "9001", ok, "9001"}}},
		"after ten minutes":      {traps(), []turn{{0, begin("a", 0), "9000", ok, "9000"}, {599 * s, nil, "", failed, "9000"}, {2 * s, nil, "", ok, "1500"}}},
		"prolonged":              {traps(), []turn{{0, begin("a", 30*s), "9000", ok, "9000"}, {20 * s, prolong("a", 30*s), "", ok, "9000"}, {20 * s, nil, "", failed, "9000"}, {11 * s, nil, "", ok, "1500"}}},
		"prolonged by nothing":   {traps(), []turn{{0, begin("a", 30*s), "9000", ok, "9000"}, {0, prolong("a", 0), "", wrong, "9000"}}},
		"another Set meanwhile":  {traps(), []turn{{0, begin("a", 30*s), "9000", ok, "9000"}, {0, nil, "9001", failed, "9000"}}},
		"a second commit":        {traps(), []turn{{0, begin("a", 30*s), "9000", ok, "9000"}, {0, begin("b", 30*s), "9001", failed, "9000"}, {31 * s, nil, "", ok, "1500"}}},
		"another id":             {traps(), []turn{{0, begin("a", 30*s), "9000", ok, "9000"}, {0, confirm("b"), "", wrong, "9000"}, {0, cancel("b"), "", wrong, "9000"}, {0, prolong("b", s), "", wrong, "9000"}}},
		"nothing pending":        {traps(), []turn{{0, confirm("a"), "", failed, "1500"}, {0, cancel("a"), "", failed, "1500"}, {0, prolong("a", s), "", failed, "1500"}}},
		"no id":                  {traps(), []turn{{0, begin("", 30*s), "9000", wrong, "1500"}}},
		"no action":              {traps(), []turn{{0, &gnmi_ext.Commit{Id: "a"}, "", failed, "1500"}}},
		"operations on confirm":  {traps(), []turn{{0, begin("a", 30*s), "9000", ok, "9000"}, {0, confirm("a"), "9001", wrong, "9000"}}},
		"one that fails":         {traps(), []turn{{0, begin("a", 30*s), "99999", wrong, "1500"}, {0, nil, "9000", ok, "9000"}}},
		"less than a second":     {traps(), []turn{{0, begin("a", s/2), "9000", ok, "9000"}, {s, nil, "", ok, "1500"}}},
		"trap second":            {traps("second"), []turn{{0, begin("a", 30*s), "9000", ok, "9000"}, {0, begin("b", 30*s), "9001", ok, "9001"}, {0, cancel("b"), "", ok, "9000"}}},
		"trap any-id":            {traps("any-id"), []turn{{0, begin("a", 30*s), "9000", ok, "9000"}, {0, confirm("b"), "", ok, "9000"}, {time.Hour, nil, "9001", ok, "9001"}}},
		"trap stuck":             {traps("stuck"), []turn{{0, begin("a", 30*s), "99999", wrong, "1500"}, {0, nil, "9000", failed, "1500"}, {31 * s, nil, "9000", ok, "9000"}}},
		"trap stuck, canceled":   {traps("stuck"), []turn{{0, begin("a", 30*s), "99999", wrong, "1500"}, {0, cancel("a"), "", ok, "1500"}, {0, nil, "9000", ok, "9000"}}},
		"trap whole-seconds":     {traps("whole-seconds"), []turn{{0, begin("a", s/2), "9000", ok, "9000"}, {299 * s, nil, "", failed, "9000"}, {2 * s, nil, "", ok, "1500"}}},
		"ignored":                {Faults{Commit: "ignored"}, []turn{{0, begin("a", s), "9000", ok, "9000"}, {time.Hour, cancel("a"), "", ok, "9000"}, {0, confirm("b"), "", ok, "9000"}}},
		"refused":                {Faults{Commit: "refused"}, []turn{{0, begin("a", s), "9000", codes.Unimplemented, "1500"}}},
		"refused without a word": {Faults{}, []turn{{0, begin("a", s), "9000", codes.Unimplemented, "1500"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, c *client) {
				c.breaks(tt.faults)
				for i, turn := range tt.turns {
					time.Sleep(turn.after)
					if got := c.commits(turn.ext, turn.value); got != turn.code {
						t.Errorf("turn %d: %v, want %v", i+1, got, turn.code)
					}
					if got := c.shows(mtu); got != turn.mtu {
						t.Errorf("turn %d: mtu %s, want %s", i+1, got, turn.mtu)
					}
				}
			})
		})
	}
}

func TestAStreamTellsOfARollback(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		c.breaks(Faults{Commit: "supported"})
		r := c.watching(gnmi.SubscriptionMode_ON_CHANGE)
		c.commits(begin("a", 5*time.Second), "9000")
		r.wants(mtu + " 9000")
		began, changing := time.Now(), c.target.ChangingSets()
		r.wants(mtu + " 1500")
		if d := time.Since(began); d != 5*time.Second {
			t.Errorf("after %v", d)
		}
		if c.target.ChangingSets() != changing {
			t.Error("a rollback counts as a Set")
		}
	})
}

func TestARebootForgetsWhatIsPending(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		c.breaks(Faults{Commit: "supported"})
		c.commits(begin("a", 5*time.Second), "9000")
		c.target.Reboot()
		if got := c.eventually(mtu); got != "1500" {
			t.Errorf("mtu %s", got)
		}
		c.update(mtu, "9001")
		time.Sleep(time.Minute)
		if got := c.shows(mtu); got != "9001" {
			t.Errorf("mtu %s after the time of a commit before the reboot", got)
		}
	})
}

func TestMastersAreArbitrated(t *testing.T) {
	type call struct {
		role      string
		high, low uint64
		code      codes.Code
	}
	const ok, stale = codes.OK, codes.PermissionDenied
	tests := map[string][]call{
		"supported": {{"", 0, 5, ok}, {"", 0, 5, ok}, {"", 0, 4, stale}, {"", 1, 0, ok}, {"", 0, 9, stale}, {"other", 0, 1, ok}, {"", 0, 0, stale}},
		"no-role":   {{"", 0, 5, ok}, {"", 0, 4, stale}, {"other", 0, 9, codes.Unimplemented}},
		"ignored":   {{"", 0, 5, ok}, {"", 0, 4, ok}},
		"refused":   {{"", 0, 5, codes.Unimplemented}},
		"":          {{"", 0, 5, codes.Unimplemented}},
	}
	for mode, calls := range tests {
		c := start(t, twoInterfaces)
		c.breaks(Faults{Arbitration: mode})
		for i, call := range calls {
			a := &gnmi_ext.MasterArbitration{ElectionId: &gnmi_ext.Uint128{High: call.high, Low: call.low}}
			if call.role != "" {
				a.Role = &gnmi_ext.Role{Id: call.role}
			}
			_, err := c.Set(deadline(t), &gnmi.SetRequest{Extension: []*gnmi_ext.Extension{{Ext: &gnmi_ext.Extension_MasterArbitration{MasterArbitration: a}}}})
			if status.Code(err) != call.code {
				t.Errorf("%q, call %d: %v, want %v", mode, i+1, err, call.code)
			}
		}
		c.update(mtu, "9000") // without an election
	}
	c := start(t, "")
	c.breaks(Faults{Arbitration: "supported"})
	c.refused(&gnmi.SetRequest{Extension: []*gnmi_ext.Extension{{Ext: &gnmi_ext.Extension_MasterArbitration{MasterArbitration: &gnmi_ext.MasterArbitration{}}}}}, codes.InvalidArgument, "election id")
}
