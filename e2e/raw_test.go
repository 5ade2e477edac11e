package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/ygot/ygot"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// raw looks at a target, and changes it, without any of setpoint's own readers.
type raw struct {
	gnmi.GNMIClient
	login  func(context.Context) context.Context
	origin string
	scalar bool // leaves are sent as scalars
}

// leaves are values by path, both as raw normalises them: without modules, IPv6
// addresses in their short form.
type leaves map[string]string

// rawDeadline is for each call: targets have been measured at 14 s for one Set.
const rawDeadline = 60 * time.Second

func (r raw) path(text string) (*gnmi.Path, error) {
	p, err := ygot.StringToStructuredPath(text)
	if err == nil {
		p.Origin = r.origin
	}
	return p, err
}

// update is one value to be set, as JSON.
func (r raw) update(path, value string) (*gnmi.Update, error) {
	p, err := r.path(path)
	if r.scalar {
		return &gnmi.Update{Path: p, Val: typed(value)}, err
	}
	return &gnmi.Update{Path: p, Val: &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: []byte(value)}}}, err
}

// set is one Set: deletes, and updates by path.
func (r raw) set(ctx context.Context, deletes []string, updates map[string]string) error {
	req := &gnmi.SetRequest{}
	for _, d := range deletes {
		p, err := r.path(d)
		if err != nil {
			return err
		}
		req.Delete = append(req.Delete, p)
	}
	paths := slices.SortedFunc(maps.Keys(updates), func(a, b string) int {
		return cmp.Or(cmp.Compare(keyLast(b), keyLast(a)), cmp.Compare(a, b))
	})
	for _, path := range paths {
		u, err := r.update(path, updates[path])
		if err != nil {
			return err
		}
		req.Update = append(req.Update, u)
	}
	ctx, cancel := context.WithTimeout(r.login(ctx), rawDeadline)
	defer cancel()
	_, err := r.Set(ctx, req)
	return err
}

// keyLast is 1 for a leaf that repeats a key of its entry. Targets that look at each
// operation by itself want those first.
func keyLast(path string) int {
	at, leaf, _ := strings.Cut(path[strings.LastIndexByte(path, '[')+1:], "/config/")
	if key, _, ok := strings.Cut(at, "="); ok && key == leaf {
		return 1
	}
	return 0
}

// typed is a JSON value as a target takes it that takes scalars for leaves.
func typed(text string) *gnmi.TypedValue {
	v, _ := fromJSON([]byte(text))
	switch v := v.(type) {
	case bool:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_BoolVal{BoolVal: v}}
	case json.Number:
		n, _ := strconv.ParseUint(v.String(), 10, 64)
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_UintVal{UintVal: n}}
	case []any:
		list := &gnmi.ScalarArray{}
		for _, e := range v {
			list.Element = append(list.Element, &gnmi.TypedValue{Value: &gnmi.TypedValue_StringVal{StringVal: fmt.Sprint(e)}})
		}
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_LeaflistVal{LeaflistVal: list}}
	}
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_StringVal{StringVal: fmt.Sprint(v)}}
}

// read gives the config leaves at and below the paths.
func (r raw) read(ctx context.Context, paths ...string) (leaves, error) {
	out := leaves{}
	for _, text := range paths {
		p, err := r.path(text)
		if err != nil {
			return nil, err
		}
		ns, err := r.ask(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", text, err)
		}
		for _, n := range ns {
			for _, u := range n.GetUpdate() {
				if err := out.add(append(slices.Clone(n.GetPrefix().GetElem()), u.GetPath().GetElem()...), u.GetVal()); err != nil {
					return nil, err
				}
			}
		}
	}
	for path := range out {
		if !strings.Contains(path, "/config/") || !slices.ContainsFunc(paths, func(p string) bool { return within(path, p) }) {
			delete(out, path)
		}
	}
	return out, nil
}

// within tells whether a path is at or below another.
func within(path, above string) bool { return path == above || strings.HasPrefix(path, above+"/") }

// ask tries Get, of all data, and where there is none Subscribe ONCE.
func (r raw) ask(ctx context.Context, p *gnmi.Path) ([]*gnmi.Notification, error) {
	ctx, cancel := context.WithTimeout(r.login(ctx), rawDeadline)
	defer cancel()
	resp, err := r.Get(ctx, &gnmi.GetRequest{Path: []*gnmi.Path{p}, Encoding: gnmi.Encoding_JSON_IETF})
	switch status.Code(err) {
	case codes.OK:
		return resp.GetNotification(), nil
	case codes.NotFound:
		return nil, nil
	case codes.Unimplemented:
		return r.once(ctx, p)
	}
	return nil, err
}

func (r raw) once(ctx context.Context, p *gnmi.Path) ([]*gnmi.Notification, error) {
	s, err := r.Subscribe(ctx)
	if err != nil {
		return nil, err
	}
	err = s.Send(&gnmi.SubscribeRequest{Request: &gnmi.SubscribeRequest_Subscribe{Subscribe: &gnmi.SubscriptionList{
		Mode: gnmi.SubscriptionList_ONCE, Encoding: gnmi.Encoding_JSON_IETF, Subscription: []*gnmi.Subscription{{Path: p}},
	}}})
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var out []*gnmi.Notification
	for {
		resp, err := s.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil, errors.New("the target ended Subscribe ONCE before its sync")
		case err != nil:
			return nil, err
		case resp.GetSyncResponse():
			return out, nil
		}
		out = append(out, resp.GetUpdate())
	}
}

// listKeys are those of the lists that the suite meets.
var listKeys = map[string][]string{
	"interface": {"name"}, "subinterface": {"index"}, "address": {"ip"}, "server": {"address"}, "user": {"username"},
	"network-instance": {"name"}, "protocol": {"identifier", "name"}, "table": {"protocol", "address-family"},
}

// add takes a value at a path apart.
func (l leaves) add(elems []*gnmi.PathElem, v *gnmi.TypedValue) error {
	var path strings.Builder
	for _, e := range elems {
		path.WriteString("/" + bare(e.GetName()))
		for _, k := range slices.Sorted(maps.Keys(e.GetKey())) {
			path.WriteString("[" + k + "=" + normal(e.GetKey()[k]) + "]")
		}
	}
	value, err := plain(v)
	if err != nil {
		return fmt.Errorf("%s: %w", path.String(), err)
	}
	l.walk(path.String(), value)
	return nil
}

func (l leaves) walk(path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			l.walk(path+"/"+bare(name), member)
		}
		return
	case []any:
		if l.entries(path, v) {
			return
		}
		texts := make([]string, len(v))
		for i, e := range v {
			texts[i] = normal(fmt.Sprint(e))
		}
		l[path] = strings.Join(texts, " ")
		return
	case nil:
		return
	}
	l[path] = normal(fmt.Sprint(v))
}

// entries takes a list apart; false if it is a leaf-list.
func (l leaves) entries(path string, list []any) bool {
	keys := listKeys[path[strings.LastIndexByte(path, '/')+1:]]
	found := false
	for _, e := range list {
		entry, ok := e.(map[string]any)
		if !ok {
			return false
		}
		found = true
		at := path
		for _, k := range keys {
			at += "[" + k + "=" + normal(fmt.Sprint(member(entry, k))) + "]"
		}
		l.walk(at, entry)
	}
	return found
}

func member(m map[string]any, name string) any {
	for k, v := range m {
		if bare(k) == name {
			return v
		}
	}
	return nil
}

// plain is a value of any arm as JSON has it.
func plain(v *gnmi.TypedValue) (any, error) {
	switch v := v.GetValue().(type) {
	case *gnmi.TypedValue_JsonIetfVal:
		return fromJSON(v.JsonIetfVal)
	case *gnmi.TypedValue_JsonVal:
		return fromJSON(v.JsonVal)
	case *gnmi.TypedValue_StringVal:
		return v.StringVal, nil
	case *gnmi.TypedValue_UintVal:
		return v.UintVal, nil
	case *gnmi.TypedValue_IntVal:
		return v.IntVal, nil
	case *gnmi.TypedValue_BoolVal:
		return v.BoolVal, nil
	case *gnmi.TypedValue_AsciiVal:
		return v.AsciiVal, nil
	case *gnmi.TypedValue_DoubleVal:
		return v.DoubleVal, nil
	case *gnmi.TypedValue_LeaflistVal:
		list := []any{}
		for _, e := range v.LeaflistVal.GetElement() {
			p, err := plain(e)
			if err != nil {
				return nil, err
			}
			list = append(list, p)
		}
		return list, nil
	}
	return nil, fmt.Errorf("a value of an arm that nobody expects: %T", v.GetValue())
}

func fromJSON(data []byte) (any, error) {
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

// bare is a name without its module.
func bare(name string) string { return name[strings.LastIndexByte(name, ':')+1:] }

// normal is a scalar without the module of an identity, an IPv6 address in short.
func normal(text string) string {
	if a, err := netip.ParseAddr(text); err == nil {
		return a.String()
	}
	if module, name, ok := strings.Cut(text, ":"); ok && (strings.HasPrefix(module, "openconfig-") || strings.HasPrefix(module, "iana-") || module == "oc-sys" || module == "oc-pol-types") {
		return name
	}
	return text
}

// against says where leaves differ from others: the first few.
func (l leaves) against(other leaves) string {
	var diff []string
	for _, path := range slices.Sorted(maps.Keys(l)) {
		if v, ok := other[path]; !ok || v != l[path] {
			diff = append(diff, fmt.Sprintf("%s is %q, was %q", path, l[path], cmp.Or(v, "nothing")))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(other)) {
		if _, ok := l[path]; !ok {
			diff = append(diff, fmt.Sprintf("%s is gone, was %q", path, other[path]))
		}
	}
	if len(diff) > 4 {
		diff = append(diff[:4], fmt.Sprintf("and %d more", len(diff)-4))
	}
	return strings.Join(diff, "; ")
}
