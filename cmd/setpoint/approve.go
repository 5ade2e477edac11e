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
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/reconciler/rollout"
)

func newApprove() *cobra.Command {
	var a asking
	var plan string
	var allow []string
	var dryRun bool
	c := &cobra.Command{
		Use:   "approve DEVICE...|GENERATION",
		Short: "let devices that await approval be written to, or a held commit out",
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

A commit is held back as a whole, before any device is assigned or released, where
it looks like a slip for the fleet: "empty" (no device is left, or one without any
configuration), "mass-delete" (more than a quarter of the devices lose configuration)
or "mass-release" (more than a tenth of the devices are gone from the repository).
"setpoint status" says so. To have it all the same, name the generation, or the
commit by its first 7 characters or more:

  setpoint approve 7 --dry-run             show what would be lost
  setpoint approve 7 --allow mass-delete   this generation, and none after it

A device that runs what it was assigned before does not ask again for the same.

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
	bad, next := 0, `"setpoint devices" says what each awaits`
	for _, name := range names {
		answer, held, err := how.one(ctx, a, name)
		switch {
		case held != nil:
			next = "look at the commit, then: " + allowCommand(held)
		case generationName.MatchString(name):
			next = `"setpoint status" says what is held`
		}
		if err != nil && len(names) == 1 {
			return hint(fmt.Errorf("%s: %w", name, err), "%s", next)
		}
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
		return hint(fmt.Errorf("%d of %d not approved", bad, len(names)), "%s", next)
	}
	return nil
}

// one approves one device or generation. Of a generation that is held it returns the
// rollout too.
func (how approval) one(ctx context.Context, a *asking, name string) (approvedAnswer, *models.Rollout, error) {
	var p planAnswer
	if err := a.ask(ctx, "/v1/plans/"+url.PathEscape(name), &p); err != nil {
		return approvedAnswer{}, nil, err
	}
	if a.output != "json" && !how.brief {
		p.write(how.out)
	}
	answer := approvedAnswer{Device: p.Device, Generation: p.generation(), Plan: p.Plan}
	if how.dry {
		return answer, p.Held, nil
	}
	q := approveQuestion{Device: p.Device, Generation: p.generation(), Plan: cmp.Or(how.plan, p.Plan), Allow: how.allow}
	err := a.tell(ctx, "/v1/approve", q, &answer)
	if err == nil && a.output != "json" {
		answer.write(how.out, p)
	}
	return answer, p.Held, err
}

func (a approvedAnswer) write(w io.Writer, p planAnswer) {
	what := fmt.Sprintf("%s: approved plan %s, %s", p.Device, a.Plan, count(p.Changes, "change"))
	if p.Held != nil {
		what = fmt.Sprintf("generation %d: approved plan %s, %s allowed", a.Generation, a.Plan, a.Approval.Allow)
	}
	fmt.Fprintf(w, "%s, as %s\n", what, a.Approval.Who)
}

// planAnswer is the answer to GET /v1/plans/NAME: what a device awaits approval of,
// or what a held generation would do.
type planAnswer struct {
	Device  models.DeviceName `json:"device,omitempty"`
	Held    *models.Rollout   `json:"held,omitempty"` // the generation; nil: it is a device's plan
	Plan    string            `json:"plan"`           // names the plan, in POST /v1/approve
	Commit  string            `json:"commit"`
	Changes int               `json:"changes"`
	Text    string            `json:"text"`
	Guards  string            `json:"guards,omitempty"` // that forbid it
	Reason  string            `json:"reason,omitempty"`
	ReadAt  time.Time         `json:"readAt"`
}

func (p planAnswer) generation() models.Generation {
	if p.Held == nil {
		return 0
	}
	return p.Held.Generation
}

func (p planAnswer) write(w io.Writer) {
	t := newTerm(w)
	if p.Held != nil {
		p.writeHeld(w, t)
		return
	}
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

// writeHeld says what a generation would do, with the first devices of each guard.
func (p planAnswer) writeHeld(w io.Writer, t term) {
	hold := p.Held.Hold
	fmt.Fprintf(w, "%s: plan %s of commit %.7s, held %s\n", t.bold(fmt.Sprintf("generation %d", p.Held.Generation)), p.Plan, p.Commit, ago(time.Now(), hold.Since))
	for _, g := range hold.Guards {
		fmt.Fprintf(w, "%s: %s\n", t.yellow(g.Name), g.Reason)
		for _, n := range g.Devices {
			fmt.Fprintf(w, "  %s\n", about(t, n.Device, strings.TrimSuffix(": "+n.Reason, ": ")))
		}
		if more := g.Count - len(g.Devices); more > 0 {
			fmt.Fprintf(w, "  and %d more\n", more)
		}
	}
}

// approveQuestion is the body of POST /v1/approve.
type approveQuestion struct {
	Device     models.DeviceName `json:"device,omitempty"`
	Generation models.Generation `json:"generation,omitempty"` // instead of a device
	Plan       string            `json:"plan"`
	Allow      []string          `json:"allow,omitempty"` // guards to lift
}

// approvedAnswer is its answer.
type approvedAnswer struct {
	Device     models.DeviceName `json:"device,omitempty"`
	Generation models.Generation `json:"generation,omitempty"`
	Plan       string            `json:"plan"`
	Approval   rollout.Approval  `json:"approval,omitzero"`
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

// plan is what is planned for a device, or what a held generation would do. A device
// goes before a generation of that name, which its commit names too.
func (s *service) plan(ctx context.Context, name string) (planAnswer, error) {
	a, st, err := s.awaited(ctx, name)
	if errors.Is(err, rollout.ErrNothingToApprove) && generationName.MatchString(name) {
		return s.heldPlan(ctx, name)
	}
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

// generationName is what may name a generation: its number, or its commit.
var generationName = regexp.MustCompile(`^([0-9]{1,19}|[0-9a-f]{7,64})$`)

// heldPlan is what a held generation would do, by its number or its commit.
func (s *service) heldPlan(ctx context.Context, name string) (planAnswer, error) {
	rollouts, err := s.rollouts.All(ctx)
	if err != nil {
		return planAnswer{}, err
	}
	e, ok := rollouts[name]
	if r, named := held(rollouts); !ok && named && len(name) >= 7 && strings.HasPrefix(r.Commit, name) {
		e.Value, ok = r, true
	}
	r := e.Value
	switch {
	case !ok:
		return planAnswer{}, fmt.Errorf("%w: no such device, and no such generation is held", rollout.ErrNothingToApprove)
	case r.State != models.RolloutHeld:
		_, err := rollout.Permit("", nil, r)
		return planAnswer{}, err
	}
	return planAnswer{Held: &r, Plan: rollout.HoldID(r), Commit: r.Commit, Guards: r.Hold.Names(), Reason: r.Hold.Reason()}, nil
}

// held is the newest rollout that a guard holds.
func held(rollouts map[string]bus.Entry[models.Rollout]) (newest models.Rollout, ok bool) {
	for _, e := range rollouts {
		if e.Value.State == models.RolloutHeld && e.Value.Generation > newest.Generation {
			newest, ok = e.Value, true
		}
	}
	return newest, ok
}

// permit keeps a person's word that a held generation may go out.
func (s *service) permit(ctx context.Context, q approveQuestion, who string) (rollout.Approval, error) {
	key := strconv.FormatUint(uint64(q.Generation), 10)
	r, _, err := s.rollouts.Get(ctx, key)
	if err != nil {
		return rollout.Approval{}, err
	}
	p, err := rollout.Permit(q.Plan, q.Allow, r)
	if err != nil {
		return p, err
	}
	p.Who, p.Time = who, time.Now().UTC()
	table := rollout.Permits(s.bus)
	_, rev, err := table.Get(ctx, key)
	if err != nil {
		return p, err
	}
	if _, err := table.Update(ctx, key, p, rev); err != nil {
		return p, err
	}
	s.log.InfoContext(ctx, "approved", "generation", q.Generation, "commit", r.Commit, "allowed", p.Allow, "by", who)
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
	take := s.approve
	if q.Generation > 0 {
		take = s.permit
	}
	a, err := take(r.Context(), q, r.RemoteAddr)
	reply(w, approvedAnswer{Device: q.Device, Generation: q.Generation, Plan: q.Plan, Approval: a}, err)
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
