package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Set applies a SetRequest as one transaction (gNMI 3.4).
func (t *Target) Set(ctx context.Context, req *gnmi.SetRequest) (*gnmi.SetResponse, error) {
	b := t.broken.Load()
	if len(req.GetExtension()) > 0 {
		t.extended.Add(1)
	}
	if err := refuseExtensions(b.strange(req.GetExtension())); err != nil {
		return nil, err
	}
	if len(req.GetUnionReplace()) > 0 {
		return nil, status.Error(codes.Unimplemented, "union_replace is not supported")
	}
	changed, err := t.commit(func(root *node) (*node, error) {
		if err := t.arbitrate(b, req); err != nil {
			return nil, err
		}
		return t.confirmed(b, root, req)
	})
	if err != nil {
		t.log().InfoContext(ctx, "set refused", "device", t.config.Name, "code", status.Code(err).String())
		return nil, err
	}
	t.log().DebugContext(ctx, "set", "device", t.config.Name, "changed", changed)
	if err := t.unanswered(ctx); err != nil {
		return nil, err
	}
	return setResponse(req, t.clock(time.Now())), nil
}

// setResponse answers one result per operation, in the order of the request's
// fields, with prefix and paths as they were given (gNMI 3.4.2).
func setResponse(req *gnmi.SetRequest, now time.Time) *gnmi.SetResponse {
	out := &gnmi.SetResponse{Prefix: req.GetPrefix(), Timestamp: now.UnixNano()}
	add := func(p *gnmi.Path, op gnmi.UpdateResult_Operation) {
		out.Response = append(out.Response, &gnmi.UpdateResult{Path: p, Op: op})
	}
	for _, p := range req.GetDelete() {
		add(p, gnmi.UpdateResult_DELETE)
	}
	for _, u := range req.GetReplace() {
		add(u.GetPath(), gnmi.UpdateResult_REPLACE)
	}
	for _, u := range req.GetUpdate() {
		add(u.GetPath(), gnmi.UpdateResult_UPDATE)
	}
	return out
}

// refuseExtensions refuses those that a client must be able to rely on. The
// others are ignored, as the protocol wants (gNMI 2.8).
func refuseExtensions(exts []*gnmi_ext.Extension) error {
	for _, e := range exts {
		name := ""
		switch e.GetExt().(type) {
		case *gnmi_ext.Extension_Commit:
			name = "commit-confirmed"
		case *gnmi_ext.Extension_MasterArbitration:
			name = "master-arbitration"
		case *gnmi_ext.Extension_History:
			name = "history"
		case *gnmi_ext.Extension_Depth:
			name = "depth"
		default:
			continue
		}
		return status.Errorf(codes.Unimplemented, "extension %s is not supported", name)
	}
	return nil
}

// transact is the tree after all operations of the request, or the error of the
// first that fails; with the fault NonAtomic, both. It changes nothing that exists.
func (t *Target) transact(root *node, req *gnmi.SetRequest) (*node, error) {
	b := t.broken.Load()
	if err := b.locked(); err != nil {
		return nil, err
	}
	tx := transaction{target: t, broken: b, root: b.asWritten(root)}
	failed := tx.run(req)
	if failed != nil && !b.NonAtomic {
		return nil, failed
	}
	after := share(root, b.asKept(tx.root))
	if after == root {
		return root, failed
	}
	if err := t.refused(root, after); err != nil {
		return nil, err
	}
	if err := b.disordered(root, after); err != nil {
		return nil, err
	}
	after, err := t.bend(b, root, after)
	if err != nil {
		return nil, err
	}
	return after, failed
}

// run does the operations in their order, up to the first that fails.
func (tx *transaction) run(req *gnmi.SetRequest) error {
	for _, p := range req.GetDelete() {
		if err := tx.step(func() error { return tx.delete(req.GetPrefix(), p) }); err != nil {
			return err
		}
	}
	for _, u := range req.GetReplace() {
		if err := tx.step(func() error { return tx.write(req.GetPrefix(), u, true) }); err != nil {
			return err
		}
	}
	for _, u := range req.GetUpdate() {
		if err := tx.step(func() error { return tx.write(req.GetPrefix(), u, false) }); err != nil {
			return err
		}
	}
	return nil
}

// step does one operation. Where a Set is not atomic, what it changed is judged at
// once, by itself.
func (tx *transaction) step(op func() error) error {
	before := tx.root
	err := op()
	if err == nil && tx.broken.NonAtomic {
		err = tx.target.refused(before, tx.root)
	}
	if err != nil {
		tx.root = before
	}
	return err
}

type transaction struct {
	target *Target
	broken *broken
	root   *node
}

// delete removes what the path names, wildcards expanded; what does not exist is
// silently accepted (gNMI 3.4.6). Key leaves stay as long as their entry does: a
// wildcard passes them over, and to name one is an error.
func (tx *transaction) delete(prefix, path *gnmi.Path) error {
	full, err := elems(prefix, path)
	if err != nil {
		return err
	}
	patterns, err := tx.target.schema.patterns(full)
	if err != nil {
		return writeError(err)
	}
	var gone [][]step
	for _, p := range patterns {
		if err := tx.target.refusedPath(p); err != nil {
			return err
		}
		if n := len(p); n > 0 && p[n-1].schema.key != nil {
			if full[len(full)-1].GetName() == "*" {
				continue
			}
			return status.Errorf(codes.InvalidArgument, "%s: a key leaf goes only with its entry", pathText(full))
		}
		tx.root.match(tx.broken.writtenPath(p), nil, func(at []step, _ *node, _ string) { gone = append(gone, append([]step(nil), at...)) })
	}
	for _, at := range gone {
		tx.root = tx.root.apply(at, edit{
			leaf: func(string) string { return "" },
			node: func(*node) *node { return nil },
		})
		tx.keepRoot()
	}
	return nil
}

// keepRoot: the root exists even when it is empty.
func (tx *transaction) keepRoot() {
	if tx.root == nil {
		tx.root = &node{schema: tx.target.schema}
	}
}

// write does one replace or update.
func (tx *transaction) write(prefix *gnmi.Path, u *gnmi.Update, replace bool) error {
	full, err := elems(prefix, u.GetPath())
	if err != nil {
		return err
	}
	path, err := tx.target.schema.resolve(full)
	if err != nil {
		return writeError(err)
	}
	if err := tx.target.refusedPath(path); err != nil {
		return err
	}
	if u.GetVal() == nil {
		return status.Errorf(codes.InvalidArgument, "%s: no value", pathText(full))
	}
	p, err := tx.target.read(path, u.GetVal(), replace)
	if err != nil {
		if status.Code(err) != codes.Unknown {
			return err
		}
		return status.Errorf(codes.InvalidArgument, "%s: %v", pathText(full), err)
	}
	b := tx.broken
	if b.Leaves != "" && p.node == nil && p.token != "" && len(u.GetVal().GetJsonIetfVal())+len(u.GetVal().GetJsonVal()) > 0 {
		return status.Errorf(codes.Internal, "%s: got map[string]interface {} type for a leaf", pathText(full))
	}
	if b.keeps(path) {
		tx.root = b.asKept(tx.root)
	}
	tx.root = tx.root.apply(path, p.edit(replace))
	tx.keepRoot()
	tx.root = b.asWritten(tx.root)
	return nil
}

// writeError gives the error of a path its code: NotFound for a node that is not
// configuration, InvalidArgument for anything malformed (gNMI 3.4.7).
func writeError(err error) error {
	if errors.Is(err, errUnknownNode) || errors.Is(err, errState) {
		return status.Error(codes.NotFound, err.Error())
	}
	return status.Error(codes.InvalidArgument, err.Error())
}

// payload is an Update's value, checked: a token for leaves, else a fresh node,
// nil when the value is an empty object.
type payload struct {
	token string
	node  *node
	list  bool // a leaf-list's token
}

// edit puts the value in the place of what is there, or into it (gNMI 3.4.4). An
// update adds to a leaf-list, as to any collection (gNMI 3.4.5).
func (p payload) edit(replace bool) edit {
	e := edit{
		make: true,
		leaf: func(string) string { return p.token },
		node: func(*node) *node { return p.node },
	}
	if replace {
		return e
	}
	e.node = func(old *node) *node { return merge(old, p.node) }
	if p.list {
		e.leaf = func(old string) string { return appendTokens(old, p.token) }
	}
	return e
}

// read checks a value against the node that the path ends at.
func (t *Target) read(path []step, tv *gnmi.TypedValue, replace bool) (payload, error) {
	at := t.schema
	if len(path) > 0 {
		at = path[len(path)-1].schema
	}
	raw, f, err := jsonOf(tv)
	if err != nil {
		return payload{}, err
	}
	if at.isLeaf() {
		return readLeaf(path, tv, raw, f)
	}
	if raw == "" {
		return payload{}, fmt.Errorf("%s is no leaf and takes JSON, not %s", at.path(), armOf(tv))
	}
	d := decoder{form: f}
	var n *node
	switch {
	case at.kind == container:
		n, err = d.container(at, raw)
	case path[len(path)-1].keys == nil:
		n, err = d.list(at, raw)
	case replace:
		n, err = d.entry(at, raw, path[len(path)-1].keys)
	default:
		n, err = d.entryUpdate(at, raw, path[len(path)-1].keys)
	}
	if err != nil {
		return payload{}, err
	}
	return payload{node: n}, n.checkKeys(path)
}

// jsonOf is the JSON of a value, "" for a scalar. Values that are neither are
// encodings that the target does not offer (gNMI 3.4.7).
func jsonOf(tv *gnmi.TypedValue) (raw string, f form, err error) {
	var data []byte
	switch v := tv.GetValue().(type) {
	case *gnmi.TypedValue_JsonIetfVal:
		data, f = v.JsonIetfVal, formIETF
	case *gnmi.TypedValue_JsonVal:
		data, f = v.JsonVal, formJSON
	case *gnmi.TypedValue_AsciiVal, *gnmi.TypedValue_AnyVal, *gnmi.TypedValue_ProtoBytes:
		return "", 0, status.Errorf(codes.Unimplemented, "encoding of %s is not supported", armOf(tv))
	default:
		return "", 0, nil
	}
	if err := checkJSON(data); err != nil {
		return "", 0, err
	}
	return string(trim(data)), f, nil
}

func readLeaf(path []step, tv *gnmi.TypedValue, raw string, f form) (payload, error) {
	s := path[len(path)-1].schema
	token, err := "", error(nil)
	if raw != "" {
		token, err = decoder{form: f}.leaf(s, raw)
	} else {
		token, err = s.scalars(tv)
	}
	if err != nil {
		return payload{}, err
	}
	return payload{token: token, list: s.kind == leafList}, checkKey(path, s, token)
}

// scalars reads a leaf's scalar, or a leaf-list's array of them.
func (s *schema) scalars(tv *gnmi.TypedValue) (string, error) {
	if s.kind == leaf {
		v, err := s.typ.scalar(tv)
		return v.token, err
	}
	array, ok := tv.GetValue().(*gnmi.TypedValue_LeaflistVal)
	if !ok {
		return "", fmt.Errorf("a leaf-list does not take %s", armOf(tv))
	}
	var tokens []string
	for _, el := range array.LeaflistVal.GetElement() {
		v, err := s.typ.scalar(el)
		if err != nil {
			return "", err
		}
		tokens = append(tokens, v.token)
	}
	return s.leafListToken(tokens)
}

// checkKey: a leaf that carries a key of an entry on the path has that key's
// value, and no other (gNMI 3.4.5).
func checkKey(path []step, s *schema, token string) error {
	if s.key == nil {
		return nil
	}
	for _, st := range path {
		if st.schema == s.key.list && st.keys != nil && s.keyToken(st.keys[s.key.pos]) != token {
			return fmt.Errorf("%s is %s in the entry %s", s.name, brief(token), keyText(st.schema, st.keys))
		}
	}
	return nil
}

// checkKeys does it for the leaves of a container that is written by itself.
func (n *node) checkKeys(path []step) error {
	if n == nil || n.schema.kind != container {
		return nil
	}
	for _, d := range n.leaves {
		if err := checkKey(path, d.schema, d.token); err != nil {
			return err
		}
	}
	return nil
}
