package sim

import (
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/openconfig/goyang/pkg/yang"
)

// shown is the token of a value as the target shows it.
func (t *Target) shown(d datum) string {
	b := t.broken.Load()
	if b.Secrets != "" && d.schema.secret() {
		salt := "s" + t.config.Name + d.schema.path()
		if b.Secrets == "resalt" {
			salt = fmt.Sprint("r", t.salts.Add(1))
		}
		return hashed(d.token, salt)
	}
	if b.Rewrite {
		return d.rewritten()
	}
	return d.token
}

// salts numbers the salts of a target.
type salts struct{ atomic.Uint64 }

// secret tells the leaves that hold secrets by their names.
func (s *schema) secret() bool {
	if s.kind != leaf || s.typ.yt.Kind != yang.Ystring || strings.HasSuffix(s.name, "-type") {
		return false
	}
	for _, part := range []string{"password", "secret-key", "auth-key", "authentication-key", "key-value"} {
		if strings.Contains(s.name, part) {
			return true
		}
	}
	return false
}

// hashed writes a secret as crypt(3) does with SHA-512, though it is none of its
// hashes. What is hashed already stays as it is.
func hashed(token, seed string) string {
	if strings.HasPrefix(token, `"$`) {
		return token
	}
	salt := sha512.Sum512([]byte(seed + token))
	text := base64.RawURLEncoding.EncodeToString(salt[:6])
	sum := sha512.Sum512([]byte(text + token))
	return quote("$6$" + text + "$" + base64.RawURLEncoding.EncodeToString(sum[:]))
}

// rewritten is the value in another form that means the same: identities without
// their module, MAC and IPv6 addresses in upper case and in full, decimals with one
// more zero, 64-bit integers as numbers, leaf-lists in the reverse order where
// order means nothing.
func (d datum) rewritten() string {
	if d.schema.kind == leaf {
		return d.schema.rewrite(d.token)
	}
	all := elements(d.token)
	for i, v := range all {
		all[i] = d.schema.rewrite(v)
	}
	if !d.schema.user {
		slices.Reverse(all)
	}
	return join(all)
}

func (s *schema) rewrite(token string) string {
	v := s.value(token)
	if s.key != nil && v.typ.yt.Kind != yang.Yidentityref {
		return token // as the path has it
	}
	switch v.typ.yt.Kind {
	case yang.Yidentityref:
		return quote(v.text)
	case yang.Yint64, yang.Yuint64:
		if s.typ.yt.Kind != yang.Yunion {
			return v.text
		}
	case yang.Ydecimal64:
		return quote(longer(v.text, int(v.typ.yt.FractionDigits)))
	case yang.Ystring:
		return quote(otherText(v.typ.yt.Name, v.text))
	}
	return token
}

// longer is a decimal with one more zero, where the type has room for it.
func longer(text string, digits int) string {
	_, fraction, _ := strings.Cut(text, ".")
	switch {
	case len(fraction) >= digits:
		return text
	case fraction == "":
		return strings.TrimSuffix(text, ".") + ".0"
	}
	return text + "0"
}

func otherText(typ, text string) string {
	switch {
	case strings.HasPrefix(typ, "mac-address"):
		return strings.ToUpper(text)
	case strings.HasPrefix(typ, "ipv6-address"):
		if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
			return strings.ToUpper(a.StringExpanded())
		}
	case strings.HasPrefix(typ, "ipv6-prefix"):
		if p, err := netip.ParsePrefix(text); err == nil {
			return fmt.Sprintf("%s/%d", strings.ToUpper(p.Addr().StringExpanded()), p.Bits())
		}
	}
	return text
}

// bare is n without the leaves that equal their defaults. was is an earlier n and
// view what bare made of it, of which it keeps what did not change.
func bare(n, was, view *node) *node {
	if n == was && view != nil {
		return view
	}
	out := &node{schema: n.schema, keys: n.keys}
	for _, d := range n.leaves {
		if d.schema.key != nil || d.token != d.schema.def {
			out.leaves = append(out.leaves, d)
		}
	}
	for _, k := range n.kids {
		before, seen := was.same(k), view.same(k)
		if k = bare(k, before, seen); !k.empty() {
			out.kids = append(out.kids, k)
		}
	}
	return out
}

// same is the child of n that stands where k does in its own parent, or nil. n may
// be nil.
func (n *node) same(k *node) *node {
	if k.isEntry() {
		e, _ := n.find(k.keys)
		return e
	}
	return n.kid(k.schema)
}
