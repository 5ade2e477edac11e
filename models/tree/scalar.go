package tree

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// token is one JSON scalar of the input.
type token struct {
	kind tokenKind
	text string // as it stands in the input, a string with its quotes
	// of a string: the decoded value, whether text is already the shortest way to
	// write it, and whether it holds a control character
	str     string
	minimal bool
	control bool
}

type tokenKind uint8

const (
	stringToken tokenKind = iota
	numberToken
	boolToken
	nullToken
)

func (t token) quoted() string {
	if t.minimal {
		return t.text
	}
	return quote(t.str)
}

// shown is the token for an error's text.
func (t token) shown() string {
	const most = 60
	if len(t.text) <= most {
		return t.text
	}
	return t.text[:most] + "…"
}

// canonical returns the canonical JSON text of a value of type t. t is final.
// lenient takes an identity whatever its prefix says.
func (t *Type) canonical(tok token, lenient bool) (string, error) {
	if t.Kind == Union {
		return t.canonicalUnion(tok, lenient)
	}
	switch t.Kind {
	case String:
		if tok.kind != stringToken {
			return "", fmt.Errorf("%s: want a string in quotes", tok.shown())
		}
		return t.canonicalString(tok), nil
	case Boolean:
		if tok.kind != boolToken {
			return "", fmt.Errorf("%s: want true or false without quotes", tok.shown())
		}
		return tok.text, nil
	case Enumeration:
		return t.canonicalEnum(tok, lenient)
	case Identityref:
		return t.canonicalIdentity(tok, lenient)
	case Binary:
		return canonicalBinary(tok)
	case Decimal64:
		return t.canonicalDecimal(tok)
	}
	return t.canonicalInt(tok)
}

// canonicalInt keeps RFC 7951 section 6.1: up to 32 bits a JSON number, 64 bits a
// string. A 64-bit value given as a number is taken too. The lexical form is RFC
// 7950 section 9.2.1: no fraction, no exponent.
func (t *Type) canonicalInt(tok token) (string, error) {
	wide := t.Kind == Int64 || t.Kind == Uint64
	digits := tok.text
	switch {
	case tok.kind == stringToken && wide:
		digits = tok.str
	case tok.kind == stringToken:
		return "", fmt.Errorf("%s: want a whole number without quotes", tok.shown())
	case tok.kind != numberToken:
		return "", fmt.Errorf("%s: want a whole number", tok.shown())
	}
	n, err := t.integer(digits)
	if err != nil {
		return "", err
	}
	if wide {
		return `"` + n + `"`, nil
	}
	return n, nil
}

// bits is the width of an integer type.
func (t *Type) bits() int { return 8 << (t.Kind % 4) }

func (t *Type) signed() bool { return t.Kind <= Int64 }

func (t *Type) integral() bool { return t.Kind <= Uint64 }

// integer returns the canonical form of a decimal number that t can hold: no plus
// sign, no leading zeros, zero without a sign (RFC 7950 section 9.2.2).
func (t *Type) integer(s string) (string, error) {
	negative := strings.HasPrefix(s, "-")
	number := strings.TrimLeft(s, "0")
	if negative || strings.HasPrefix(s, "+") {
		number = strings.TrimLeft(s[1:], "0")
	}
	switch {
	case strings.Trim(number, "0123456789") != "" || s == "" || s == "-" || s == "+":
		return "", fmt.Errorf("%s: want a whole number", cut(s))
	case number == "":
		number = "0"
	case negative:
		number = "-" + number
	}
	var err error
	if t.signed() {
		_, err = strconv.ParseInt(number, 10, t.bits())
	} else {
		_, err = strconv.ParseUint(number, 10, t.bits())
	}
	if err != nil {
		return "", fmt.Errorf("%s: does not fit %s", cut(s), t.Kind)
	}
	return number, nil
}

// canonicalDecimal keeps RFC 7951 section 6.1 and RFC 7950 section 9.3.2: a string
// with at least one digit on either side of the point and no other zeros at the
// ends. A JSON number is taken too.
func (t *Type) canonicalDecimal(tok token) (string, error) {
	s := tok.text
	if tok.kind == stringToken {
		s = tok.str
	} else if tok.kind != numberToken {
		return "", fmt.Errorf("%s: want a decimal number", tok.shown())
	}
	sign, number := "", s
	if strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") {
		sign, number = strings.TrimPrefix(s[:1], "+"), s[1:]
	}
	whole, fraction, pointed := strings.Cut(number, ".")
	if whole == "" || pointed && fraction == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return "", fmt.Errorf("%s: want a decimal number", cut(s))
	}
	whole, fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	if len(fraction) > t.FractionDigits {
		return "", fmt.Errorf("%s: more than %d digits after the point", cut(s), t.FractionDigits)
	}
	if whole+fraction == "" {
		return `"0.0"`, nil
	}
	scaled := sign + whole + fraction + strings.Repeat("0", t.FractionDigits-len(fraction))
	if _, err := strconv.ParseInt(scaled, 10, 64); err != nil {
		return "", fmt.Errorf("%s: does not fit decimal64", cut(s))
	}
	return `"` + sign + cmp.Or(whole, "0") + "." + cmp.Or(fraction, "0") + `"`, nil
}

// canonicalEnum keeps RFC 7951 section 6.4: a name of the enumeration. Some devices
// write names in another case: lenient takes them where they can mean one only.
func (t *Type) canonicalEnum(tok token, lenient bool) (string, error) {
	if tok.kind == stringToken && t.hasEnum(tok.str) {
		return tok.quoted(), nil
	}
	var meant []string
	for _, name := range t.Enum {
		if lenient && tok.kind == stringToken && strings.EqualFold(name, tok.str) {
			meant = append(meant, name)
		}
	}
	if len(meant) != 1 {
		return "", fmt.Errorf("%s: want one of %s%s", tok.shown(), some(t.Enum), didYouMean(tok.str, t.Enum))
	}
	return quote(meant[0]), nil
}

// canonicalIdentity qualifies an identity by the module that defines it, which
// RFC 7951 section 6.8 allows always and demands where the leaf's module is
// another one.
func (t *Type) canonicalIdentity(tok token, lenient bool) (string, error) {
	if tok.kind != stringToken {
		return "", fmt.Errorf("%s: want the name of an identity in quotes", tok.shown())
	}
	prefix, name, qualified := strings.Cut(tok.str, ":")
	if !qualified {
		prefix, name = "", tok.str
	}
	module, ok := t.Identities[name]
	switch {
	case len(t.Identities) == 0:
		return "", fmt.Errorf("%s: the schema has no identity of this base", tok.shown())
	case !ok:
		names := slices.Sorted(maps.Keys(t.Identities))
		return "", fmt.Errorf("%s: want one of %s%s", tok.shown(), some(names), didYouMean(name, names))
	}
	if prefix == module {
		return tok.quoted(), nil
	}
	if qualified && !lenient {
		return "", fmt.Errorf("%s: identity %s is defined in module %s", tok.shown(), name, module)
	}
	return `"` + module + ":" + name + `"`, nil
}

// canonicalBinary keeps RFC 7951 section 6.6: base64 (RFC 4648 section 4).
func canonicalBinary(tok token) (string, error) {
	if tok.kind != stringToken {
		return "", fmt.Errorf("%s: want base64 in quotes", tok.shown())
	}
	data, err := base64.StdEncoding.DecodeString(tok.str)
	if err != nil {
		return "", fmt.Errorf("%s: want base64", tok.shown())
	}
	return `"` + base64.StdEncoding.EncodeToString(data) + `"`, nil
}

// canonicalString gives addresses their one form. Text that is no such address
// stays: saying so is validation.
func (t *Type) canonicalString(tok token) string {
	if t.format == "" {
		return tok.quoted()
	}
	s, ok := canonicalFormat(t.format, tok.str)
	if !ok || s == tok.str {
		return tok.quoted()
	}
	return quote(s)
}

// canonicalFormat returns the one way to write an address, and whether s is one.
// The forms are RFC 6991's: IPv6 as RFC 5952 writes it, a prefix without host
// bits, a MAC address in lower case. OpenConfig's types of the same names state
// none, and devices answer in these.
func canonicalFormat(format, s string) (string, bool) {
	switch format {
	case "ipv4-address", "ipv6-address":
		a, err := netip.ParseAddr(s)
		if err != nil || a.Is4() != (format == "ipv4-address") {
			return "", false
		}
		return addrText(a), true
	case "ipv4-prefix", "ipv6-prefix":
		p, err := netip.ParsePrefix(s)
		if err != nil || p.Addr().Is4() != (format == "ipv4-prefix") {
			return "", false
		}
		return addrText(p.Masked().Addr()) + "/" + strconv.Itoa(p.Bits()), true
	case "mac-address":
		return strings.ToLower(s), len(s) == len("00:00:00:00:00:00")
	}
	return "", false
}

// addrText is RFC 5952 without its section 5: the models' patterns know no dotted
// quad inside an IPv6 address.
func addrText(a netip.Addr) string {
	if !a.Is4In6() {
		return a.String()
	}
	b := a.As16()
	text := fmt.Sprintf("::ffff:%x:%x", uint16(b[12])<<8|uint16(b[13]), uint16(b[14])<<8|uint16(b[15]))
	if z := a.Zone(); z != "" {
		text += "%" + z
	}
	return text
}

// canonicalUnion decides by the JSON kind and then by the members in order, as RFC
// 7951 section 6.10 and RFC 7950 section 9.12 have it, with two liberties. A name
// that is one of the members' identities or enums is that, also after a member
// that is a plain string. And digits in quotes that no string member's patterns
// take are the number that a member could be.
func (t *Type) canonicalUnion(tok token, lenient bool) (string, error) {
	if tok.kind == stringToken {
		return t.canonicalUnionString(tok, lenient)
	}
	for _, m := range t.members {
		if m.Kind == String {
			continue
		}
		if text, err := m.canonical(tok, lenient); err == nil {
			return text, nil
		}
	}
	return "", fmt.Errorf("%s: want %s", tok.shown(), t.wants())
}

func (t *Type) canonicalUnionString(tok token, lenient bool) (string, error) {
	for _, m := range t.members {
		switch {
		case m.Kind == Enumeration && m.hasEnum(tok.str):
			return tok.quoted(), nil
		case m.Kind == Identityref:
			if text, err := m.canonicalIdentity(tok, lenient); err == nil {
				return text, nil
			}
		case m.Kind == String && m.format != "":
			if s, ok := canonicalFormat(m.format, tok.str); ok {
				return quote(s), nil
			}
		}
	}
	numeric := strings.Trim(tok.str, "+-.0123456789") == ""
	text := false
	for _, m := range t.members {
		text = text || m.Kind == String
		if m.Kind == String && (!numeric || m.matches(tok.str)) {
			return tok.quoted(), nil
		}
	}
	for _, m := range t.members {
		if s, err := m.fromDigits(tok); err == nil {
			return s, nil
		}
	}
	if text {
		return tok.quoted(), nil // which pattern it breaks is ygot's to say
	}
	return "", fmt.Errorf("%s: want %s", tok.shown(), t.wants())
}

// fromDigits takes a string for a number, or for binary data.
func (t *Type) fromDigits(tok token) (string, error) {
	switch {
	case t.integral():
		return t.canonicalInt(token{kind: numberToken, text: tok.str})
	case t.Kind == Decimal64:
		return t.canonicalDecimal(tok)
	case t.Kind == Binary:
		return canonicalBinary(tok)
	}
	return "", errors.New("no number")
}

// matches says whether a string type's patterns take s.
func (t *Type) matches(s string) bool {
	if t.format != "" {
		return false // canonicalFormat has had its say
	}
	for _, re := range t.patterns() {
		if !re.MatchString(s) {
			return false
		}
	}
	return true
}

// wants lists a union's members for an error's text.
func (t *Type) wants() string {
	var names []string
	for _, m := range t.members {
		name := m.Name
		if m.Kind == Enumeration {
			name = some(m.Enum)
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, " or ")
}

func (t *Type) hasEnum(s string) bool {
	_, ok := slices.BinarySearch(t.Enum, s)
	return ok
}

// fromText returns the canonical JSON of a value written as text: a key in a path,
// a default in YANG. An identity's prefix is not looked at.
func (t *Type) fromText(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errors.New("not UTF-8")
	}
	quoted := token{kind: stringToken, text: quote(s), str: s, minimal: true}
	switch {
	case t.Kind == Union:
		return t.unionFromText(quoted)
	case t.Kind == Boolean && (s == "true" || s == "false"):
		return s, nil
	case t.integral():
		return t.canonicalInt(token{kind: numberToken, text: s})
	}
	return t.canonical(quoted, true)
}

// unionFromText takes a number for a number first: text has no quotes to say that
// it is none.
func (t *Type) unionFromText(tok token) (string, error) {
	for _, m := range t.members {
		switch {
		case m.Kind == String && m.matches(tok.str):
			return t.canonicalUnionString(tok, true)
		case m.integral():
			if text, err := m.canonicalInt(token{kind: numberToken, text: tok.str}); err == nil {
				return text, nil
			}
		case m.Kind == Boolean && (tok.str == "true" || tok.str == "false"):
			return tok.str, nil
		}
	}
	return t.canonicalUnionString(tok, true)
}

// plainText is a canonical JSON scalar as people write it: no quotes.
func plainText(text string) string {
	if !strings.HasPrefix(text, `"`) {
		return text
	}
	inner := text[1 : len(text)-1]
	if !strings.Contains(inner, `\`) {
		return inner
	}
	var s string
	if json.Unmarshal([]byte(text), &s) != nil {
		return inner
	}
	return s
}

// quote writes a JSON string with the escapes it must have and no others (RFC 8259
// section 7).
func quote(s string) string {
	b := make([]byte, 0, len(s)+2)
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c < ' ':
			b = fmt.Appendf(b, `\u%04x`, c)
		default:
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}

// some joins the first few names of a list.
func some(names []string) string {
	const most = 8
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + ", …"
}

func cut(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
