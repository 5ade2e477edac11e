package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/reconciler"
	"github.com/setpoint-net/setpoint/reconciler/rollout"
)

// The service answers its command line over HTTP on a unix socket of mode 0600:
// whoever may open the socket may ask. The answers below are stable; fields are
// added, never renamed.

// statusAnswer is the answer to GET /v1/status.
type statusAnswer struct {
	Version    string                     `json:"version"`
	Started    time.Time                  `json:"started"`
	Now        time.Time                  `json:"now"`
	Repository string                     `json:"repository"`
	Branch     string                     `json:"branch"`
	Head       *models.Head               `json:"head,omitempty"`
	Render     *models.Render             `json:"render,omitempty"`
	Rollout    *models.Rollout            `json:"rollout,omitempty"`
	Held       *models.Rollout            `json:"held,omitempty"` // what a guard holds: the head's, or that of a generation before it
	Devices    map[models.DeviceState]int `json:"devices"`
	Drift      []models.Episode           `json:"drift"`
	Rebuilt    string                     `json:"rebuilt,omitempty"`
	Store      storeAnswer                `json:"store"`
}

type storeAnswer struct {
	Used  int64 `json:"used"`
	Limit int64 `json:"limit"`
}

// deviceAnswer is one line of the answer to GET /v1/devices.
type deviceAnswer struct {
	Name       models.DeviceName   `json:"name"`
	Assignment models.Assignment   `json:"assignment"`
	Status     models.DeviceStatus `json:"status"`
	Suspended  []string            `json:"suspended,omitempty"` // a line each: what, by whom, until when, why
}

// serveSocket answers until ctx ends. A socket left by a process that was killed
// is replaced; the store's lock has already shown that no other service runs.
func (s *service) serveSocket(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(s.cfg.Socket), 0o700); err != nil {
		return err
	}
	if err := os.Remove(s.cfg.Socket); err != nil && !os.IsNotExist(err) {
		return err
	}
	l, err := net.Listen("unix", s.cfg.Socket)
	if err != nil {
		return hint(err, "a socket's path is at most 107 bytes; set socket in the configuration to a shorter one")
	}
	if err := os.Chmod(s.cfg.Socket, 0o600); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", answer(s.status))
	mux.HandleFunc("GET /v1/devices", answer(s.deviceList))
	mux.HandleFunc("GET /v1/plans/{device}", s.showPlan)
	mux.HandleFunc("GET /v1/drift/{device}", s.showDrift)
	mux.HandleFunc("POST /v1/approve", s.takeApproval)
	mux.HandleFunc("POST /v1/orders", s.takeOrder)
	return serveHTTP(ctx, peerListener{l}, mux)
}

// answer turns a question into a handler that writes JSON.
func answer[T any](ask func(context.Context) (T, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := ask(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v) // the reader went away: nothing to tell it
	}
}

func (s *service) status(ctx context.Context) (statusAnswer, error) {
	a := statusAnswer{
		Version: versionText(), Started: s.started, Now: time.Now().UTC(),
		Repository: s.cfg.Repository.URL, Branch: s.cfg.Repository.Branch,
		Devices: map[models.DeviceState]int{}, Drift: []models.Episode{}, Rebuilt: s.bus.Rebuilt(),
	}
	head, rev, err := s.heads.Get(ctx, s.cfg.Repository.Branch)
	if err != nil {
		return a, err
	}
	if rev > 0 {
		a.Head = &head
		if err := s.journey(ctx, head.Generation, &a); err != nil {
			return a, err
		}
	}
	devices, err := s.deviceList(ctx)
	if err != nil {
		return a, err
	}
	for _, d := range devices {
		a.Devices[d.Status.State]++
	}
	if err := s.drift(ctx, &a); err != nil {
		return a, err
	}
	a.Store.Used, a.Store.Limit, err = s.bus.Usage(ctx)
	return a, err
}

// journey fills in how far a generation came.
func (s *service) journey(ctx context.Context, g models.Generation, a *statusAnswer) error {
	key := fmt.Sprint(g)
	render, rev, err := s.renders.Get(ctx, key)
	if err != nil {
		return err
	}
	if rev > 0 {
		a.Render = &render
	}
	rollouts, err := s.rollouts.All(ctx)
	if err != nil {
		return err
	}
	if e, ok := rollouts[key]; ok {
		a.Rollout = &e.Value
	}
	r, ok := held(rollouts)
	if !ok {
		return nil
	}
	_, rev, err = rollout.Permits(s.bus).Get(ctx, fmt.Sprint(r.Generation))
	if err == nil && rev == 0 { // otherwise it begins in a moment
		a.Held = &r
	}
	return err
}

func (s *service) drift(ctx context.Context, a *statusAnswer) error {
	episodes, err := s.episodes.All(ctx)
	if err != nil {
		return err
	}
	for _, e := range episodes {
		if e.Value.Closed.IsZero() {
			a.Drift = append(a.Drift, e.Value)
		}
	}
	slices.SortFunc(a.Drift, func(x, y models.Episode) int { return strings.Compare(string(x.Device), string(y.Device)) })
	return nil
}

// deviceList is every assigned device, by name. One whose owner has not spoken
// of its assignment yet is unknown.
func (s *service) deviceList(ctx context.Context) ([]deviceAnswer, error) {
	assigned, err := s.assignments.All(ctx)
	if err != nil {
		return nil, err
	}
	states, err := s.devices.All(ctx)
	if err != nil {
		return nil, err
	}
	orders, err := reconciler.Orders(s.bus).All(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]deviceAnswer, 0, len(assigned))
	for name, a := range assigned {
		st := states[name].Value
		if st.State == "" || st.Intended != a.Value.Hash {
			st.State, st.Reason = models.DeviceUnknown, "not read since its assignment"
		}
		list = append(list, deviceAnswer{Name: models.DeviceName(name), Assignment: a.Value, Status: st, Suspended: slices.Concat(
			orders[reconciler.Everyone].Value.Suspended(time.Now()), orders[name].Value.Suspended(time.Now()))})
	}
	slices.SortFunc(list, func(x, y deviceAnswer) int { return strings.Compare(string(x.Name), string(y.Name)) })
	return list, nil
}
