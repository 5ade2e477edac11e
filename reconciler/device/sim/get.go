package sim

import (
	"context"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Get answers a snapshot of one tree: one notification per path of the request
// (gNMI 3.3.2), one update per node that the path names.
func (t *Target) Get(_ context.Context, req *gnmi.GetRequest) (*gnmi.GetResponse, error) {
	if err := refuseExtensions(req.GetExtension()); err != nil {
		return nil, err
	}
	if err := checkEncoding(req.GetEncoding()); err != nil {
		return nil, err
	}
	if len(req.GetUseModels()) > 0 {
		return nil, status.Error(codes.Unimplemented, "use_models is not supported")
	}
	if _, ok := gnmi.GetRequest_DataType_name[int32(req.GetType())]; !ok {
		return nil, status.Errorf(codes.InvalidArgument, "unknown type %d of data", req.GetType())
	}
	if err := t.broken.Load().ungettable(req); err != nil {
		return nil, err
	}
	root, now := t.told(), t.clock(time.Now())
	out := &gnmi.GetResponse{}
	for _, p := range req.GetPath() {
		n, err := t.get(root, req, p)
		if err != nil {
			return nil, err
		}
		n.Timestamp = now.UnixNano()
		out.Notification = append(out.Notification, n)
	}
	return out, nil
}

// get answers one path. One that names a single node that does not exist is
// NotFound (gNMI 3.3.4). A path with wildcards that match nothing is an answer
// without updates, and so is what exists but is not of the type that was asked for.
func (t *Target) get(root *node, req *gnmi.GetRequest, p *gnmi.Path) (*gnmi.Notification, error) {
	full, err := elems(req.GetPrefix(), p)
	if err != nil {
		return nil, err
	}
	patterns, err := t.schema.patterns(full)
	if err != nil {
		return nil, readError(err)
	}
	for _, pattern := range patterns {
		if err := t.broken.Load().unreadable(pattern); err != nil {
			return nil, err
		}
	}
	out := &gnmi.Notification{Prefix: responsePrefix(req.GetPrefix(), p)}
	v := valuer{encoding: req.GetEncoding(), shown: t.shown}
	configuration := req.GetType() == gnmi.GetRequest_ALL || req.GetType() == gnmi.GetRequest_CONFIG
	found := false
	for _, pattern := range patterns {
		root.match(pattern, nil, func(at []step, n *node, token string) {
			found = true
			if !configuration {
				return
			}
			if n == nil {
				v.add(out, at, datum{at[len(at)-1].schema, token})
				return
			}
			v.addNode(out, at, n)
		})
	}
	if !found && len(patterns) == 1 && single(patterns[0]) && len(full) > 0 {
		return nil, status.Errorf(codes.NotFound, "%s: no such data", pathText(full))
	}
	return out, nil
}

// single: the pattern names one node.
func single(pattern []step) bool {
	for _, st := range pattern {
		if st.keys != nil && !st.exact() {
			return false
		}
	}
	return true
}

// responsePrefix holds what a response's prefix must echo: the target, exactly if
// it was set (gNMI 2.2.2.1), and the origin. Paths are absolute without it.
func responsePrefix(prefix, path *gnmi.Path) *gnmi.Path {
	origin := prefix.GetOrigin() + path.GetOrigin()
	if prefix.GetTarget() == "" && origin == "" {
		return nil
	}
	return &gnmi.Path{Target: prefix.GetTarget(), Origin: origin}
}

// checkEncoding refuses what is not offered (gNMI 3.3.1).
func checkEncoding(e gnmi.Encoding) error {
	switch e {
	case gnmi.Encoding_JSON, gnmi.Encoding_JSON_IETF, gnmi.Encoding_PROTO:
		return nil
	}
	return status.Errorf(codes.Unimplemented, "encoding %s is not supported", e)
}

// valuer writes values in the encoding that was asked for.
type valuer struct {
	encoding gnmi.Encoding
	shown    func(datum) string // the token that is shown of a value
}

// add appends one leaf.
func (v valuer) add(to *gnmi.Notification, path []step, d datum) {
	to.Update = append(to.Update, &gnmi.Update{Path: gnmiPath(path), Val: v.leaf(d)})
}

func (v valuer) leaf(d datum) *gnmi.TypedValue {
	if v.encoding != gnmi.Encoding_PROTO {
		e := encoder{plain: v.encoding == gnmi.Encoding_JSON, shown: v.shown}
		e.leaf(d)
		return v.json(e.buf)
	}
	d.token = v.shown(d)
	if d.schema.kind == leaf {
		return d.schema.value(d.token).typed()
	}
	array := &gnmi.ScalarArray{}
	for item := range items(d.token) {
		array.Element = append(array.Element, d.schema.value(item).typed())
	}
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_LeaflistVal{LeaflistVal: array}}
}

// addNode appends a container or an entry: one JSON object, or its leaves one by
// one where the encoding has no objects.
func (v valuer) addNode(to *gnmi.Notification, path []step, n *node) {
	if v.encoding == gnmi.Encoding_PROTO {
		differ{updated: func(p []step, d datum) { v.add(to, p, d) }}.nodes(nil, n, path)
		return
	}
	e := encoder{plain: v.encoding == gnmi.Encoding_JSON, shown: v.shown}
	e.node(n, "")
	to.Update = append(to.Update, &gnmi.Update{Path: gnmiPath(path), Val: v.json(e.buf)})
}

func (v valuer) json(b []byte) *gnmi.TypedValue {
	if v.encoding == gnmi.Encoding_JSON {
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonVal{JsonVal: b}}
	}
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: b}}
}
