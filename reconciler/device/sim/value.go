package sim

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/goyang/pkg/yang"
	"github.com/openconfig/ygot/util"
	"github.com/openconfig/ygot/ytypes"
	"github.com/setpoint-net/setpoint/models/oc"
)

// form says how strictly a value's JSON is read.
type form uint8

const (
	formIETF form = iota // RFC 7951: 64-bit numbers are strings, others are not
	formJSON             // gNMI's JSON: either (gNMI 2.3.1)
	formKey              // a key's text in a path: everything is a string
)

// value is a leaf's value: token as RFC 7951 JSON, text as a path writes it.
type value struct {
	token, text string
	typ         *leafType // the type that it matched: a union's member, else the leaf's
}

// leafType checks and converts the values of a leaf. Ranges, lengths and
// patterns are ygot's to judge.
type leafType struct {
	yt         *yang.YangType
	identities map[string]string // identityref: name → defining module
	members    []*leafType       // union
}

func newLeafType(e *yang.Entry, path string) (*leafType, error) {
	target, err := util.ResolveIfLeafRef(e)
	if err != nil {
		return nil, fmt.Errorf("leafref %s: %w", path, err)
	}
	idents := identities(oc.ΛEnumTypes[path])
	if len(idents) == 0 {
		idents = identities(oc.ΛEnumTypes[strings.TrimPrefix(target.Path(), "/device")])
	}
	return typeOf(target.Type, idents), nil
}

func typeOf(yt *yang.YangType, idents map[string]string) *leafType {
	t := &leafType{yt: yt}
	if yt.Kind == yang.Yidentityref {
		t.identities = idents
	}
	for _, m := range yt.Type {
		t.members = append(t.members, typeOf(m, idents))
	}
	return t
}

// identities collects the identities among the enumerated types of a leaf: those
// that a module defines.
func identities(types []reflect.Type) map[string]string {
	out := map[string]string{}
	for _, t := range types {
		for _, def := range oc.ΛEnum[t.Name()] {
			if def.DefiningModule != "" {
				out[def.Name] = def.DefiningModule
			}
		}
	}
	return out
}

// parse checks one JSON token against the type.
func (t *leafType) parse(raw string, f form) (value, error) {
	switch t.yt.Kind {
	case yang.Yunion:
		return t.parseUnion(raw, f)
	case yang.Ybool:
		return t.parseBool(raw, f)
	case yang.Yempty:
		if raw != "[null]" {
			return value{}, fmt.Errorf("%s is not [null]", brief(raw))
		}
		return value{token: "[null]", typ: t}, nil
	case yang.Yint8, yang.Yint16, yang.Yint32, yang.Yint64, yang.Yuint8, yang.Yuint16, yang.Yuint32, yang.Yuint64:
		text, err := number(raw, f, t.wide())
		if err != nil {
			return value{}, err
		}
		return t.integer(text)
	case yang.Ydecimal64:
		text, err := number(raw, f, true)
		if err != nil {
			return value{}, err
		}
		return t.decimal(text)
	}
	if raw == "" || raw[0] != '"' {
		return value{}, fmt.Errorf("%s is not a string", brief(raw))
	}
	return t.parseText(unquote(raw))
}

func (t *leafType) parseUnion(raw string, f form) (value, error) {
	var errs []error
	for _, m := range t.members {
		v, err := m.parse(raw, f)
		if err == nil {
			return v, nil
		}
		errs = append(errs, err)
	}
	return value{}, fmt.Errorf("no type of the union takes it: %w", errors.Join(errs...))
}

func (t *leafType) parseBool(raw string, f form) (value, error) {
	if f == formKey {
		raw = unquote(raw)
	}
	switch raw {
	case "true":
		return value{token: "true", text: "true", typ: t}, nil
	case "false":
		return value{token: "false", text: "false", typ: t}, nil
	}
	return value{}, fmt.Errorf("%s is not a boolean", brief(raw))
}

// parseText checks the types whose JSON is always a string.
func (t *leafType) parseText(s string) (value, error) {
	switch t.yt.Kind {
	case yang.Ystring:
		if err := ytypes.ValidateStringRestrictions(t.yt, s); err != nil {
			return value{}, err
		}
	case yang.Yenum:
		if !t.yt.Enum.IsDefined(s) {
			return value{}, fmt.Errorf("%q is none of the enumeration", s)
		}
	case yang.Yidentityref:
		return t.identity(s)
	case yang.Ybinary:
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return value{}, fmt.Errorf("not base64: %w", err)
		}
		if err := ytypes.ValidateBinaryRestrictions(t.yt, b); err != nil {
			return value{}, err
		}
	default:
		return value{}, fmt.Errorf("type %s is not supported", t.yt.Kind)
	}
	return value{token: quote(s), text: s, typ: t}, nil
}

// identity takes the name with its defining module or without (RFC 7951 section
// 6.8), and keeps it with.
func (t *leafType) identity(s string) (value, error) {
	module, name, qualified := strings.Cut(s, ":")
	if !qualified {
		name = s
	}
	home, ok := t.identities[name]
	if !ok || qualified && module != home {
		return value{}, fmt.Errorf("%q is no identity derived from %s", s, t.yt.IdentityBase.Name)
	}
	return value{token: quote(home + ":" + name), text: name, typ: t}, nil
}

// number is the digits of an integer or decimal token.
func number(raw string, f form, wide bool) (string, error) {
	quoted := raw != "" && raw[0] == '"'
	if f == formIETF && quoted != wide {
		if wide {
			return "", fmt.Errorf("%s must be a string (RFC 7951 section 6.1)", brief(raw))
		}
		return "", fmt.Errorf("%s is not a number", brief(raw))
	}
	if quoted {
		return unquote(raw), nil
	}
	return raw, nil
}

func (t *leafType) integer(text string) (value, error) {
	var canonical string
	if t.signed() {
		i, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return value{}, fmt.Errorf("%q is not an integer", text)
		}
		if err := ytypes.ValidateIntRestrictions(t.yt, i); err != nil {
			return value{}, err
		}
		canonical = strconv.FormatInt(i, 10)
	} else {
		u, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return value{}, fmt.Errorf("%q is not an unsigned integer", text)
		}
		if err := ytypes.ValidateUintRestrictions(t.yt, u); err != nil {
			return value{}, err
		}
		canonical = strconv.FormatUint(u, 10)
	}
	token := canonical
	if t.wide() {
		token = quote(canonical)
	}
	return value{token: token, text: canonical, typ: t}, nil
}

func (t *leafType) decimal(text string) (value, error) {
	n, err := yang.ParseDecimal(text, uint8(t.yt.FractionDigits))
	if err != nil {
		return value{}, fmt.Errorf("%q is not a decimal: %w", text, err)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return value{}, fmt.Errorf("%q is not a decimal", text)
	}
	if err := ytypes.ValidateDecimalRestrictions(t.yt, f); err != nil {
		return value{}, err
	}
	return value{token: quote(n.String()), text: n.String(), typ: t}, nil
}

func (t *leafType) signed() bool {
	switch t.yt.Kind {
	case yang.Yint8, yang.Yint16, yang.Yint32, yang.Yint64:
		return true
	}
	return false
}

// wide: RFC 7951 writes the number as a string.
func (t *leafType) wide() bool {
	return t.yt.Kind == yang.Yint64 || t.yt.Kind == yang.Yuint64 || t.yt.Kind == yang.Ydecimal64
}

// scalar checks a scalar TypedValue against the type (gNMI 2.2.3).
func (t *leafType) scalar(tv *gnmi.TypedValue) (value, error) {
	if t.yt.Kind == yang.Yunion {
		for _, m := range t.members {
			if v, err := m.scalar(tv); err == nil {
				return v, nil
			}
		}
		return value{}, fmt.Errorf("no type of the union takes %s", armOf(tv))
	}
	switch v := tv.GetValue().(type) {
	case *gnmi.TypedValue_StringVal:
		if t.textual() {
			return t.parseText(v.StringVal)
		}
	case *gnmi.TypedValue_IntVal:
		if t.integral() {
			return t.integer(strconv.FormatInt(v.IntVal, 10))
		}
	case *gnmi.TypedValue_UintVal:
		if t.integral() {
			return t.integer(strconv.FormatUint(v.UintVal, 10))
		}
	case *gnmi.TypedValue_BoolVal:
		if t.yt.Kind == yang.Ybool {
			return t.parseBool(strconv.FormatBool(v.BoolVal), formIETF)
		}
	case *gnmi.TypedValue_BytesVal:
		if t.yt.Kind == yang.Ybinary {
			return t.parseText(base64.StdEncoding.EncodeToString(v.BytesVal))
		}
	case *gnmi.TypedValue_DoubleVal:
		if t.yt.Kind == yang.Ydecimal64 {
			return t.decimal(strconv.FormatFloat(v.DoubleVal, 'f', -1, 64))
		}
	}
	return value{}, fmt.Errorf("a %s does not take %s", t.yt.Kind, armOf(tv))
}

func (t *leafType) textual() bool {
	switch t.yt.Kind {
	case yang.Ystring, yang.Yenum, yang.Yidentityref:
		return true
	}
	return false
}

func (t *leafType) integral() bool {
	return t.signed() || t.wide() && t.yt.Kind != yang.Ydecimal64 ||
		t.yt.Kind == yang.Yuint8 || t.yt.Kind == yang.Yuint16 || t.yt.Kind == yang.Yuint32
}

// typed is the value as a scalar TypedValue.
func (v value) typed() *gnmi.TypedValue {
	switch {
	case v.typ.yt.Kind == yang.Ydecimal64:
		f, _ := strconv.ParseFloat(v.text, 64)
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_DoubleVal{DoubleVal: f}}
	case v.typ.signed():
		i, _ := strconv.ParseInt(v.text, 10, 64)
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_IntVal{IntVal: i}}
	case v.typ.integral():
		u, _ := strconv.ParseUint(v.text, 10, 64)
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_UintVal{UintVal: u}}
	case v.typ.yt.Kind == yang.Ybool:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_BoolVal{BoolVal: v.text == "true"}}
	case v.typ.yt.Kind == yang.Yempty:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_BoolVal{BoolVal: true}}
	case v.typ.yt.Kind == yang.Ybinary:
		b, _ := base64.StdEncoding.DecodeString(v.text)
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_BytesVal{BytesVal: b}}
	}
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_StringVal{StringVal: unquote(v.token)}}
}

// plain is the value as gNMI's JSON encoding, which knows no modules and writes
// 64-bit numbers as numbers.
func (v value) plain() string {
	switch {
	case v.typ.wide():
		return v.text
	case v.typ.yt.Kind == yang.Yidentityref:
		return quote(v.text)
	}
	return v.token
}

// armOf names the arm of a TypedValue, without its content.
func armOf(tv *gnmi.TypedValue) string {
	if tv.GetValue() == nil {
		return "an empty value"
	}
	m := tv.ProtoReflect()
	return string(m.WhichOneof(m.Descriptor().Oneofs().Get(0)).Name())
}

// quote writes a JSON string with the fewest escapes.
func quote(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// unquote reads a JSON string that is known to be valid.
func unquote(raw string) string {
	if len(raw) < 2 || raw[0] != '"' {
		return raw
	}
	if strings.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	var s string
	if err := json.Unmarshal([]byte(raw), &s); err != nil {
		return ""
	}
	return s
}

// brief shortens foreign text for a message.
func brief(raw string) string {
	if len(raw) > 60 {
		return strings.ToValidUTF8(raw[:57], "") + "..."
	}
	return raw
}
