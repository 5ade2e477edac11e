package device

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/openconfig/gnmi/proto/gnmi"

	"github.com/setpoint-net/setpoint/models/tree"
)

// valueJSON gives an update's value as RFC 7951 JSON for a node of the schema;
// nil for a value that is not there, which some targets send instead of saying
// NotFound. Targets answer in whatever arm of TypedValue they like, whatever was
// asked for (gNMI 2.2.3), so the schema decides what a scalar is. JSON passes as it
// is: the tree's parser reads both kinds.
func valueJSON(node *tree.Node, u *gnmi.Update) (json.RawMessage, error) {
	raw, err := typedJSON(node, typedValue(u))
	if err != nil {
		return nil, err
	}
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return nil, nil
	}
	if !json.Valid(raw) {
		return nil, errors.New("the value is no JSON")
	}
	return raw, nil
}

// typedValue reads the form of value that gNMI had before 0.4 as what it means.
func typedValue(u *gnmi.Update) *gnmi.TypedValue {
	//lint:ignore SA1019 A target that still sends the deprecated form must not be misread.
	old := u.GetValue()
	if u.GetVal() != nil || old == nil {
		return u.GetVal()
	}
	switch old.GetType() {
	case gnmi.Encoding_JSON, gnmi.Encoding_JSON_IETF:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: old.GetValue()}}
	case gnmi.Encoding_ASCII:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_AsciiVal{AsciiVal: string(old.GetValue())}}
	}
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_BytesVal{BytesVal: old.GetValue()}}
}

func typedJSON(node *tree.Node, v *gnmi.TypedValue) (json.RawMessage, error) {
	switch v := v.GetValue().(type) {
	case nil:
		return nil, nil
	case *gnmi.TypedValue_JsonIetfVal:
		return v.JsonIetfVal, nil
	case *gnmi.TypedValue_JsonVal:
		return v.JsonVal, nil
	}
	switch node.Kind {
	case tree.Leaf:
		return scalarJSON(node.Type.Final, v)
	case tree.LeafList:
		return arrayJSON(node.Type.Final, v)
	}
	return nil, fmt.Errorf("a scalar for a %s", node.Kind)
}

// arrayJSON gives a leaf-list; a lone scalar is a list of one.
func arrayJSON(t *tree.Type, v *gnmi.TypedValue) (json.RawMessage, error) {
	elements := []*gnmi.TypedValue{v}
	if l, ok := v.GetValue().(*gnmi.TypedValue_LeaflistVal); ok {
		elements = l.LeaflistVal.GetElement()
	}
	out := []byte{'['}
	for i, e := range elements {
		raw, err := scalarJSON(t, e)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, raw...)
	}
	return append(out, ']'), nil
}

func scalarJSON(t *tree.Type, v *gnmi.TypedValue) (json.RawMessage, error) {
	switch v := v.GetValue().(type) {
	case *gnmi.TypedValue_JsonIetfVal:
		return v.JsonIetfVal, nil
	case *gnmi.TypedValue_JsonVal:
		return v.JsonVal, nil
	case *gnmi.TypedValue_StringVal:
		return textJSON(t, v.StringVal), nil
	case *gnmi.TypedValue_AsciiVal:
		return textJSON(t, v.AsciiVal), nil
	case *gnmi.TypedValue_IntVal:
		return numberJSON(t, strconv.FormatInt(v.IntVal, 10)), nil
	case *gnmi.TypedValue_UintVal:
		return numberJSON(t, strconv.FormatUint(v.UintVal, 10)), nil
	case *gnmi.TypedValue_BoolVal:
		return textJSON(t, strconv.FormatBool(v.BoolVal)), nil
	case *gnmi.TypedValue_BytesVal:
		return bytesJSON(t, v.BytesVal)
	case *gnmi.TypedValue_DoubleVal:
		return floatJSON(t, v.DoubleVal, 64), nil
	case *gnmi.TypedValue_FloatVal:
		//lint:ignore SA1019 Targets still send it.
		return floatJSON(t, float64(v.FloatVal), 32), nil
	case *gnmi.TypedValue_DecimalVal:
		//lint:ignore SA1019 Targets still send it.
		return numberJSON(t, decimalText(v.DecimalVal)), nil
	}
	return nil, fmt.Errorf("a %T for a leaf", v.GetValue())
}

// textJSON gives a value that came as text. A type that RFC 7951 writes without
// quotes gets none, if the text can be one; a union's text stays quoted, for the
// tree's parser to decide.
func textJSON(t *tree.Type, s string) json.RawMessage {
	switch {
	case t.Kind <= tree.Uint64 && isInteger(s):
		return json.RawMessage(strings.TrimPrefix(s, "+"))
	case takesBool(t) && (s == "true" || s == "false"):
		return json.RawMessage(s)
	}
	quoted, err := json.Marshal(strings.ToValidUTF8(s, "�"))
	if err != nil {
		return json.RawMessage(`""`) // a string always marshals
	}
	return quoted
}

// numberJSON gives a number's text: as a number where the type has any, else as
// a string of digits.
func numberJSON(t *tree.Type, digits string) json.RawMessage {
	if takesNumber(t) {
		return json.RawMessage(digits)
	}
	return textJSON(t, digits)
}

func floatJSON(t *tree.Type, f float64, bits int) json.RawMessage {
	digits := -1
	if t.Kind == tree.Decimal64 {
		digits = t.FractionDigits // a binary float is near, not equal
	}
	return numberJSON(t, strconv.FormatFloat(f, 'f', digits, bits))
}

func bytesJSON(t *tree.Type, b []byte) (json.RawMessage, error) {
	if t.Kind == tree.Binary {
		return textJSON(t, base64.StdEncoding.EncodeToString(b)), nil
	}
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("bytes for a %s", t.Kind)
	}
	return textJSON(t, string(b)), nil
}

// decimalText writes digits × 10^−precision.
//
//lint:ignore SA1019 Targets still send it.
func decimalText(d *gnmi.Decimal64) string {
	digits := strconv.FormatInt(d.GetDigits(), 10)
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	precision := int(min(d.GetPrecision(), 18)) // RFC 7950 section 9.3: at most 18
	if precision == 0 {
		return sign + digits
	}
	if pad := precision + 1 - len(digits); pad > 0 {
		digits = strings.Repeat("0", pad) + digits
	}
	return sign + digits[:len(digits)-precision] + "." + digits[len(digits)-precision:]
}

func takesNumber(t *tree.Type) bool {
	return t.Kind <= tree.Decimal64 || slices.ContainsFunc(t.Union, func(m *tree.Type) bool { return takesNumber(m.Final) })
}

func takesBool(t *tree.Type) bool {
	return t.Kind == tree.Boolean || slices.ContainsFunc(t.Union, func(m *tree.Type) bool { return takesBool(m.Final) })
}

// isInteger reports whether s is digits with at most a sign, and so a JSON number
// once a plus is taken off. Leading zeros are none of JSON's.
func isInteger(s string) bool {
	digits := strings.TrimLeft(s, "+-")
	return len(s)-len(digits) <= 1 && digits != "" && strings.Trim(digits, "0123456789") == "" &&
		(digits == "0" || digits[0] != '0')
}
