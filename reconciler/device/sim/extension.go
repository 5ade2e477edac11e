package sim

import (
	"slices"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// How long a commit waits to be confirmed when the client does not say: what the
// specification has, and what a server makes of less than a second.
const (
	rollbackAfter = 10 * time.Minute
	rollbackTrap  = 300 * time.Second
)

// tentative is a commit that is not confirmed yet.
type tentative struct {
	id     string
	before *node // what a cancel and the timer go back to
	timer  *time.Timer
}

// strange are the extensions of a Set that the faults leave to be refused.
func (b *broken) strange(exts []*gnmi_ext.Extension) []*gnmi_ext.Extension {
	return slices.DeleteFunc(slices.Clone(exts), func(e *gnmi_ext.Extension) bool {
		switch e.GetExt().(type) {
		case *gnmi_ext.Extension_Commit:
			return b.Commit == "supported" || b.Commit == "ignored"
		case *gnmi_ext.Extension_MasterArbitration:
			return b.Arbitration != "" && b.Arbitration != "refused"
		}
		return false
	})
}

// arbitrate refuses a client that is no longer master (gNMI extension
// master-arbitration, section 3): one that has a lower election id than its role
// has seen. A Set without an election is accepted. setting is held.
func (t *Target) arbitrate(b *broken, req *gnmi.SetRequest) error {
	if b.Arbitration != "supported" && b.Arbitration != "no-role" {
		return nil
	}
	for _, e := range req.GetExtension() {
		a := e.GetMasterArbitration()
		if a == nil {
			continue
		}
		id, role := a.GetElectionId(), a.GetRole().GetId()
		switch {
		case id == nil:
			return status.Error(codes.InvalidArgument, "master arbitration without an election id")
		case role != "" && b.Arbitration == "no-role":
			return status.Error(codes.Unimplemented, "master arbitration of a role is not supported")
		case above(t.masters[role], id):
			return status.Errorf(codes.PermissionDenied, "election id %d:%d is not the highest", id.GetHigh(), id.GetLow())
		}
		t.masters[role] = id
	}
	return nil
}

func above(a, b *gnmi_ext.Uint128) bool {
	if a.GetHigh() != b.GetHigh() {
		return a.GetHigh() > b.GetHigh()
	}
	return a.GetLow() > b.GetLow()
}

// confirmed is the tree after a SetRequest on a target that supports commits which
// wait to be confirmed (gNMI extension commit-confirmed). setting is held.
func (t *Target) confirmed(b *broken, root *node, req *gnmi.SetRequest) (*node, error) {
	var c *gnmi_ext.Commit
	for _, e := range req.GetExtension() {
		if e.GetCommit() != nil {
			c = e.GetCommit()
		}
	}
	switch {
	case b.Commit != "supported":
		return t.transact(root, req)
	case c == nil && t.pending != nil:
		return nil, status.Errorf(codes.FailedPrecondition, "commit %q is pending", brief(t.pending.id))
	case c == nil:
		return t.transact(root, req)
	case c.GetId() == "":
		return nil, status.Error(codes.InvalidArgument, "a commit without an id")
	}
	if begin := c.GetCommit(); begin != nil {
		return t.begin(b, root, req, c)
	}
	return t.conclude(b, root, req, c)
}

// begin applies a commit, and starts its timer.
func (t *Target) begin(b *broken, root *node, req *gnmi.SetRequest, c *gnmi_ext.Commit) (*node, error) {
	if t.pending != nil && !b.trap("second") {
		return nil, status.Errorf(codes.FailedPrecondition, "commit %q is pending", brief(t.pending.id))
	}
	after := rollbackAfter
	if d := c.GetCommit().GetRollbackDuration(); d != nil {
		after = b.rollback(d.AsDuration())
	}
	if after < 0 {
		return nil, status.Errorf(codes.InvalidArgument, "rollback duration %v", after)
	}
	next, err := t.transact(root, req)
	if err != nil && !b.trap("stuck") {
		return next, err
	}
	t.settle()
	p := &tentative{id: c.GetId(), before: root}
	p.timer = time.AfterFunc(after, func() { t.expire(p) })
	t.pending = p
	return next, err
}

// conclude confirms, cancels or prolongs what is pending. The request of such an
// action holds no operations.
func (t *Target) conclude(b *broken, root *node, req *gnmi.SetRequest, c *gnmi_ext.Commit) (*node, error) {
	p := t.pending
	switch {
	case len(req.GetDelete())+len(req.GetReplace())+len(req.GetUpdate()) > 0:
		return nil, status.Error(codes.InvalidArgument, "operations beside an action on a commit that is pending")
	case p == nil:
		return nil, status.Error(codes.FailedPrecondition, "no commit is pending")
	case p.id != c.GetId() && !b.trap("any-id"):
		return nil, status.Errorf(codes.InvalidArgument, "commit %q is not the one that is pending", brief(c.GetId()))
	}
	switch a := c.GetAction().(type) {
	case *gnmi_ext.Commit_Confirm:
		t.settle()
		return root, nil
	case *gnmi_ext.Commit_Cancel:
		t.settle()
		return p.before, nil
	case *gnmi_ext.Commit_SetRollbackDuration:
		d := b.rollback(a.SetRollbackDuration.GetRollbackDuration().AsDuration())
		if d <= 0 {
			return nil, status.Errorf(codes.InvalidArgument, "rollback duration %v", d)
		}
		p.timer.Reset(d)
		return root, nil
	}
	return nil, status.Error(codes.InvalidArgument, "a commit without an action")
}

// rollback is the duration that the target makes of one.
func (b *broken) rollback(d time.Duration) time.Duration {
	if !b.trap("whole-seconds") {
		return d
	}
	if d = d.Truncate(time.Second); d == 0 {
		return rollbackTrap
	}
	return d
}

func (b *broken) trap(name string) bool { return slices.Contains(b.CommitTraps, name) }

// settle forgets what is pending. setting is held.
func (t *Target) settle() {
	if t.pending != nil {
		t.pending.timer.Stop()
		t.pending = nil
	}
}

// expire takes back a commit that nobody confirmed in time.
func (t *Target) expire(p *tentative) {
	t.setting.Lock()
	defer t.setting.Unlock()
	if t.pending != p {
		return
	}
	t.pending = nil
	t.install(p.before)
}
