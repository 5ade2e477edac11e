package device

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/status"

	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/plan"
)

// Apply sends the plan as one SetRequest: deletes, then replaces, then updates,
// which is also the order in which a target applies them (gNMI 3.4.3). An empty
// plan is not sent.
//
// nil means that the target said OK, which is not yet that it did it: read back.
// Errors wrap ErrRejected (the content was refused), ErrUnknownOutcome (it was
// sent, and no answer came), ErrUnreachable or ErrUnauthenticated (it was not
// sent, or not let in); or none of them where the target asks for patience.
// Secrets of the plan that a target repeats in its refusal are masked.
func (s *Session) Apply(ctx context.Context, p *plan.Plan) error {
	if p.Empty() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.t.SetTimeout)
	defer cancel()
	ctx, sent := withSent(ctx)
	if _, err := s.client.Set(ctx, s.setRequest(p)); err != nil {
		err = status.Error(status.Code(err), masked(status.Convert(err).Message(), p))
		return fmt.Errorf("set on %s (%d deletes, %d replaces, %d updates): %w",
			s.t.Address, len(p.Deletes), len(p.Replaces), len(p.Updates), setError(err, sent.Load()))
	}
	s.proved("write", "set")
	return nil
}

func (s *Session) setRequest(p *plan.Plan) *gnmi.SetRequest {
	req := &gnmi.SetRequest{}
	for _, path := range p.Deletes {
		req.Delete = append(req.Delete, s.path(path))
	}
	for _, v := range p.Replaces {
		req.Replace = append(req.Replace, s.update(v))
	}
	for _, v := range p.Updates {
		req.Update = append(req.Update, s.update(v))
	}
	return req
}

func (s *Session) update(v plan.Value) *gnmi.Update {
	val := &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: v.Node.JSON()}}
	if s.t.Profile.Leaves == "scalar" {
		switch v.Node.Schema.Kind {
		case tree.Leaf:
			val = scalar(v.Node.Schema.Type.Final, v.Node.JSON())
		case tree.LeafList:
			val = scalars(v.Node.Schema.Type.Final, v.Node.JSON())
		}
	}
	return &gnmi.Update{Path: s.path(v.Path), Val: val}
}

// scalars are a leaf-list's values, for targets that take no JSON there.
func scalars(of *tree.Type, text []byte) *gnmi.TypedValue {
	var all []json.RawMessage
	_ = json.Unmarshal(text, &all) // canonical JSON, which has no error
	list := &gnmi.ScalarArray{}
	for _, one := range all {
		list.Element = append(list.Element, scalar(of, one))
	}
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_LeaflistVal{LeaflistVal: list}}
}

// scalar is a leaf's canonical JSON in the arm of its type (gNMI 2.2.3). RFC 7951
// quotes 64-bit numbers, so the type says what a number is; in a union JSON does.
func scalar(of *tree.Type, text []byte) *gnmi.TypedValue {
	plain := strings.Trim(string(text), `"`)
	number := of.Kind <= tree.Decimal64 || of.Kind == tree.Union && plain == string(text)
	if u, err := strconv.ParseUint(plain, 10, 64); err == nil && number && of.Kind != tree.Decimal64 && (of.Kind >= tree.Uint8) {
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_UintVal{UintVal: u}}
	}
	if i, err := strconv.ParseInt(plain, 10, 64); err == nil && number && of.Kind != tree.Decimal64 {
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_IntVal{IntVal: i}}
	}
	if f, err := strconv.ParseFloat(plain, 64); err == nil && number {
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_DoubleVal{DoubleVal: f}}
	}
	switch string(text) {
	case "true", "[null]":
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_BoolVal{BoolVal: true}}
	case "false":
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_BoolVal{BoolVal: false}}
	}
	_ = json.Unmarshal(text, &plain)
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_StringVal{StringVal: plain}}
}

// masked replaces the plan's secrets in a text of the target.
func masked(text string, p *plan.Plan) string {
	mask := func(v *tree.Value) {
		for _, secret := range secretsOf(v) {
			text = strings.ReplaceAll(text, secret, "(secret)")
		}
	}
	for _, v := range p.Replaces {
		mask(v.Node)
	}
	for _, v := range p.Updates {
		mask(v.Node)
	}
	return text
}

func secretsOf(v *tree.Value) []string {
	if v == nil {
		return nil
	}
	if v.Schema.Secret && len(v.Text()) > 2 { // less is no secret, and would mask every word
		return []string{v.Text()}
	}
	var out []string
	for _, m := range v.Members() {
		out = append(out, secretsOf(m)...)
	}
	return out
}
