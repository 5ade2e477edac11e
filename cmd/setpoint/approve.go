package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/reconciler/rollout"
)

func newApprove() *cobra.Command {
	var a asking
	var plan string
	var allow []string
	var dryRun bool
	c := &cobra.Command{
		Use:   "approve DEVICE...",
		Short: "let devices that await approval be written to",
		Long: `approve shows what is planned for devices that are new ("adopt: approve") and
lets it be done. From then on they follow the config repo like any other device.

The approval holds for the plan that is shown, from what the device runs to what
is intended for it. If either moves before it is done, it is void, and the device
awaits approval again.

  setpoint approve leaf01 --dry-run        show the plan and its name
  setpoint approve leaf01 --plan 1f2e3d    approve that plan and no other

A plan that looks like a slip is held back by a guard: "empty" (nothing is left),
"mass-delete" (many entries of a list, or half of all leaves, would go) or
"management" (setpoint's own way to the device would be cut). To have it all the same:

  setpoint approve leaf01 --allow mass-delete
  setpoint approve leaf01 leaf02           approve several: a line each, not the plans

It exits with 0 when all are approved, with 2 when not.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			if plan != "" && len(names) > 1 {
				return errors.New("--plan is one device's: name one")
			}
			how := approval{plan: plan, allow: allow, dry: dryRun, brief: len(names) > 1 && !dryRun, out: c.OutOrStdout(), errOut: c.ErrOrStderr()}
			return approveAll(c.Context(), &a, names, how)
		},
	}
	a.flags(c)
	c.Flags().StringVar(&plan, "plan", "", "only if this is still the plan")
	c.Flags().StringSliceVar(&allow, "allow", nil, "guards to lift for this one plan")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be approved")
	return c
}

// approval is how to approve, and where to say so.
type approval struct {
	plan        string
	allow       []string
	dry         bool
	brief       bool // a line for each plan
	out, errOut io.Writer
}

// approveAll approves each device by itself: one that can't be keeps no other
// from it.
func approveAll(ctx context.Context, a *asking, names []string, how approval) error {
	t := newTerm(how.errOut)
	var done []approvedAnswer
	bad := 0
	for _, name := range names {
		answer, err := how.one(ctx, a, name)
		if err != nil {
			bad++
			fmt.Fprintf(how.errOut, "%s %s: %v\n", t.red("error:"), name, err)
			continue
		}
		done = append(done, answer)
	}
	if a.output == "json" {
		if err := printJSON(how.out, done); err != nil {
			return err
		}
	}
	if bad > 0 {
		return hint(fmt.Errorf("%d of %s not approved", bad, count(len(names), "device")), `"setpoint devices" says what each awaits`)
	}
	return nil
}

func (how approval) one(ctx context.Context, a *asking, name string) (approvedAnswer, error) {
	var p planAnswer
	if err := a.ask(ctx, "/v1/plans/"+url.PathEscape(name), &p); err != nil {
		return approvedAnswer{}, err
	}
	if a.output != "json" && !how.brief {
		p.write(how.out)
	}
	answer := approvedAnswer{Device: p.Device, Plan: p.Plan}
	if how.dry {
		return answer, nil
	}
	err := a.tell(ctx, "/v1/approve", approveQuestion{Device: p.Device, Plan: cmp.Or(how.plan, p.Plan), Allow: how.allow}, &answer)
	if err == nil && a.output != "json" {
		fmt.Fprintf(how.out, "%s: approved plan %s, %s, as %s\n", p.Device, answer.Plan, count(p.Changes, "change"), answer.Approval.Who)
	}
	return answer, err
}

// planAnswer is the answer to GET /v1/plans/DEVICE: what a device awaits
// approval of.
type planAnswer struct {
	Device  models.DeviceName `json:"device"`
	Plan    string            `json:"plan"` // names the plan, in POST /v1/approve
	Commit  string            `json:"commit"`
	Changes int               `json:"changes"`
	Text    string            `json:"text"`
	Guards  string            `json:"guards,omitempty"` // that forbid it
	Reason  string            `json:"reason,omitempty"`
	ReadAt  time.Time         `json:"readAt"`
}

func (p planAnswer) write(w io.Writer) {
	t := newTerm(w)
	fmt.Fprintf(w, "%s: plan %s of commit %.7s, %s, read %s\n", t.bold(string(p.Device)), p.Plan, p.Commit, count(p.Changes, "change"), ago(time.Now(), p.ReadAt))
	if p.Changes == 0 {
		fmt.Fprintln(w, "the device runs what is intended; nothing is written now")
		return
	}
	fmt.Fprintln(w, p.Text)
	if p.Guards != "" {
		fmt.Fprintf(w, "%s\n", t.yellow(p.Reason))
	}
}

// approveQuestion is the body of POST /v1/approve.
type approveQuestion struct {
	Device models.DeviceName `json:"device"`
	Plan   string            `json:"plan"`
	Allow  []string          `json:"allow,omitempty"` // guards to lift
}

// approvedAnswer is its answer.
type approvedAnswer struct {
	Device   models.DeviceName `json:"device"`
	Plan     string            `json:"plan"`
	Approval rollout.Approval  `json:"approval,omitzero"`
}

// awaited is a device's rows.
func (s *service) awaited(ctx context.Context, name string) (models.Assignment, models.DeviceStatus, error) {
	a, rev, err := s.assignments.Get(ctx, name)
	if err == nil && rev == 0 {
		err = fmt.Errorf("%w: no such device", rollout.ErrNothingToApprove)
	}
	if err != nil {
		return a, models.DeviceStatus{}, err
	}
	st, _, err := s.devices.Get(ctx, name)
	return a, st, err
}

func (s *service) showPlan(w http.ResponseWriter, r *http.Request) {
	p, err := s.plan(r.Context(), r.PathValue("device"))
	reply(w, p, err)
}

func (s *service) plan(ctx context.Context, name string) (planAnswer, error) {
	a, st, err := s.awaited(ctx, name)
	if err != nil {
		return planAnswer{}, err
	}
	p := planAnswer{Device: models.DeviceName(name), Commit: a.Commit, Changes: st.Changes, ReadAt: st.ReadAt, Guards: st.Guards, Reason: st.Reason}
	if p.Plan, err = rollout.PlanID(a, st); err != nil || st.Changes == 0 {
		return p, err
	}
	p.Text = st.Reason
	if st.Diff != "" {
		text, err := s.bus.Blobs().Get(ctx, st.Diff)
		if err != nil {
			return p, err
		}
		p.Text = string(text)
	}
	return p, nil
}

// showDrift answers what of a device has drifted, as text.
func (s *service) showDrift(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("device")
	e, _, err := s.episodes.Get(r.Context(), name)
	p := planAnswer{Device: models.DeviceName(name), Changes: e.Changes, Text: e.Summary}
	if err == nil && e.Diff != "" {
		var text []byte
		text, err = s.bus.Blobs().Get(r.Context(), e.Diff)
		p.Text = string(text)
	}
	reply(w, p, err)
}

func (s *service) takeApproval(w http.ResponseWriter, r *http.Request) {
	var q approveQuestion
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096)).Decode(&q); err != nil {
		http.Error(w, "the question is no JSON of device and plan", http.StatusBadRequest)
		return
	}
	a, err := s.approve(r.Context(), q, r.RemoteAddr)
	reply(w, approvedAnswer{Device: q.Device, Plan: q.Plan, Approval: a}, err)
}

// approve keeps a person's word. The rollout acts on it, and looks again whether
// it still holds.
func (s *service) approve(ctx context.Context, q approveQuestion, who string) (rollout.Approval, error) {
	a, st, err := s.awaited(ctx, string(q.Device))
	if err != nil {
		return rollout.Approval{}, err
	}
	p, err := rollout.Approve(q.Plan, q.Allow, a, st)
	if err != nil {
		return p, err
	}
	p.Who, p.Time = who, time.Now().UTC()
	table := rollout.Approvals(s.bus)
	_, rev, err := table.Get(ctx, string(q.Device))
	if err != nil {
		return p, err
	}
	if _, err := table.Update(ctx, string(q.Device), p, rev); err != nil {
		return p, err
	}
	s.log.InfoContext(ctx, "approved", "device", q.Device, "plan", q.Plan, "by", who, "generation", p.Generation)
	return p, nil
}

// reply writes an answer as JSON, or why there is none.
func reply(w http.ResponseWriter, v any, err error) {
	switch {
	case errors.Is(err, rollout.ErrNothingToApprove), errors.Is(err, rollout.ErrPlanChanged), errors.Is(err, rollout.ErrGuarded), errors.Is(err, errOrder):
		http.Error(w, err.Error(), http.StatusConflict)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v) // the reader went away: nothing to tell it
	}
}

const unknownPeer = "unknown"

// peerListener gives each connection's remote address as who is at its other end,
// which is all that a handler needs to know of it.
type peerListener struct{ net.Listener }

func (l peerListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return peerConn{c, peerAddr(peerOf(c))}, nil
}

type peerConn struct {
	net.Conn
	peer peerAddr
}

func (c peerConn) RemoteAddr() net.Addr { return c.peer }

type peerAddr string

func (peerAddr) Network() string  { return "unix" }
func (a peerAddr) String() string { return string(a) }
