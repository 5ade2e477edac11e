package tree

import (
	"testing"
)

func typeOf(kind TypeKind) *Type {
	t := &Type{Kind: kind, FractionDigits: 2}
	t.Final = t
	return t
}

func TestNumbersHaveOneForm(t *testing.T) {
	for _, c := range []struct {
		kind     TypeKind
		in, want string // want "": refused
	}{
		{Uint8, "0", "0"},
		{Uint8, "255", "255"},
		{Uint8, "256", ""},
		{Uint8, "-1", ""},
		{Uint8, "-0", "0"},
		{Uint8, "-05", ""},
		{Uint8, "+7", "7"},
		{Uint8, "007", "7"},
		{Uint8, "000000000000000000000000000007", "7"},
		{Uint8, "", ""},
		{Uint8, "+", ""},
		{Uint8, "-", ""},
		{Uint8, "+-1", ""},
		{Uint8, "0x10", ""},
		{Uint8, " 1", ""},
		{Uint8, "1_0", ""},
		{Uint8, "1e1", ""},
		{Uint8, "1.0", ""},
		{Int8, "-128", "-128"},
		{Int8, "-129", ""},
		{Int8, "-007", "-7"},
		{Int8, "128", ""},
		{Int16, "-32768", "-32768"},
		{Uint16, "65536", ""},
		{Int32, "2147483648", ""},
		{Uint32, "4294967295", "4294967295"},
		{Int64, "-9223372036854775808", `"-9223372036854775808"`},
		{Int64, "9223372036854775808", ""},
		{Uint64, "18446744073709551615", `"18446744073709551615"`},
		{Uint64, "18446744073709551616", ""},
		{Decimal64, "1", `"1.0"`},
		{Decimal64, "-1.50", `"-1.5"`},
		{Decimal64, "+00.05", `"0.05"`},
		{Decimal64, "-0.00", `"0.0"`},
		{Decimal64, "1.005", ""},
		{Decimal64, "1.", ""},
		{Decimal64, ".5", ""},
		{Decimal64, "", ""},
		{Decimal64, "-", ""},
		{Decimal64, "+-1", ""},
		{Decimal64, "1e2", ""},
		{Decimal64, "-92233720368547758.08", `"-92233720368547758.08"`},
		{Decimal64, "92233720368547758.08", ""},
		{Boolean, "true", "true"},
		{Boolean, "false", "false"},
		{Boolean, "True", ""},
		{Boolean, "1", ""},
	} {
		got, err := typeOf(c.kind).fromText(c.in)
		if (err != nil) != (c.want == "") || got != c.want {
			t.Errorf("%s %q: got %s, %v; want %s", c.kind, c.in, got, err, c.want)
		}
		if err == nil {
			again, err := typeOf(c.kind).fromText(plainText(got))
			if err != nil || again != got {
				t.Errorf("%s %s: again it is %s, %v", c.kind, got, again, err)
			}
		}
	}
}

func TestJSONKindsAreHeld(t *testing.T) {
	str := func(s string) token { return token{kind: stringToken, text: quote(s), str: s, minimal: true} }
	num := func(s string) token { return token{kind: numberToken, text: s} }
	yes := token{kind: boolToken, text: "true"}
	for _, c := range []struct {
		kind TypeKind
		in   token
		want string
	}{
		{Uint32, str("1"), ""},
		{Uint32, yes, ""},
		{Uint64, str("1"), `"1"`},
		{Uint64, num("1"), `"1"`},
		{Uint64, num("1.0"), ""},
		{Uint64, yes, ""},
		{Decimal64, str("1"), `"1.0"`},
		{Decimal64, num("1"), `"1.0"`},
		{Decimal64, num("1e1"), ""},
		{Decimal64, yes, ""},
		{Boolean, str("true"), ""},
		{Boolean, num("1"), ""},
		{String, num("1"), ""},
		{String, str("1"), `"1"`},
		{Binary, str("AAEC"), `"AAEC"`},
		{Binary, str("AA\nEC"), `"AAEC"`},
		{Binary, str("AAE"), ""},
		{Binary, num("1"), ""},
		{Enumeration, num("1"), ""},
		{Identityref, num("1"), ""},
	} {
		got, err := typeOf(c.kind).canonical(c.in, false)
		if (err != nil) != (c.want == "") || got != c.want {
			t.Errorf("%s %s: got %s, %v; want %s", c.kind, c.in.text, got, err, c.want)
		}
	}
}

func TestUnionsTakeWhatTheirMembersTake(t *testing.T) {
	value := find(t, "/components/component/properties/property/config/value")                  // string, boolean, int64, uint64, decimal64
	key := find(t, "/keychains/keychain/keys/key/config/key-id")                                // hex-string-prefixed, uint64
	vlan := find(t, "/interfaces/interface/routed-vlan/config/vlan")                            // uint16, string
	role := find(t, "/system/aaa/authentication/users/user/config/role")                        // string, identityref
	data := find(t, "/system/license/licenses/license/config/license-data")                     // binary, string
	port := find(t, "/acl/acl-sets/acl-set/acl-entries/acl-entry/transport/config/source-port") // pattern, uint16, enumeration
	for _, c := range []struct {
		node     *Node
		in, want string
	}{
		{value, `"7"`, `"7"`},
		{value, `"x"`, `"x"`},
		{value, `7`, `"7"`},
		{value, `18446744073709551615`, `"18446744073709551615"`},
		{value, `1.5`, `"1.5"`},
		{value, `true`, `true`},
		{value, `null`, ``},
		{key, `"007"`, `"7"`},
		{key, `7`, `"7"`},
		{key, `"0x0A"`, `"0x0A"`},
		{key, `true`, ``},
		{vlan, `10`, `10`},
		{vlan, `"10"`, `"10"`}, // a VLAN's name
		{vlan, `70000`, ``},
		{role, `"SYSTEM_ROLE_ADMIN"`, `"openconfig-aaa-types:SYSTEM_ROLE_ADMIN"`},
		{role, `"operator"`, `"operator"`},
		{data, `"AA\nEC"`, `"AA\nEC"`},
		{data, `"not base64"`, `"not base64"`},
		{port, `"ANY"`, `"ANY"`},
		{port, `"80"`, `80`},
		{port, `"80..90"`, `"80..90"`},
		{port, `"-1"`, `"-1"`}, // nothing takes it: ygot says so
	} {
		p := parser{s: c.in}
		tok, err := p.token()
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.node.Type.Final.canonical(tok, false)
		if (err != nil) != (c.want == "") || got != c.want {
			t.Errorf("%s %s: got %s, %v; want %s", c.node.Name, c.in, got, err, c.want)
		}
	}
}

func find(tb testing.TB, path string) *Node {
	tb.Helper()
	p, err := ParsePath(path)
	if err != nil {
		tb.Fatal(err)
	}
	n, err := OpenConfig().Find(p)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func TestLeafListElements(t *testing.T) {
	for text, want := range map[string]int{`["a"]`: 1, `[1,2]`: 2, `["a,b","c\"],","\\"]`: 3, `[true]`: 1} {
		if got := elements(text); len(got) != want {
			t.Errorf("%s: %q", text, got)
		}
	}
}
