package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/openconfig/goyang/pkg/yang"
	"github.com/openconfig/ygot/ytypes"
	"github.com/setpoint-net/setpoint/models/oc"
)

// document is the smallest configuration that holds a leaf: the entries on the
// way have keys that their types take.
func document(s *schema, token string) (string, bool) {
	out := fmt.Sprintf("%q:%s", s.module+":"+s.name, token)
	for at := s.parent; at.parent != nil; at = at.parent {
		if at.kind != list {
			out = fmt.Sprintf("%q:{%s}", at.module+":"+at.name, out)
			continue
		}
		for _, k := range at.keys {
			if k == s {
				return "", false // keys are checked on the way of every other leaf
			}
			key, ok := k.typ.sample()
			if !ok {
				return "", false
			}
			out = fmt.Sprintf("%q:%s,%s", k.module+":"+k.name, key, out)
		}
		out = fmt.Sprintf("%q:[{%s}]", at.module+":"+at.name, out)
	}
	return "{" + out + "}", s.key == nil
}

// candidates are values that some type takes and others do not.
var candidates = []string{
	`"x"`, `""`, `0`, `1`, `255`, `256`, `65535`, `65536`, `4294967296`, `-1`, `"0"`, `"30"`, `"-1"`, `"18446744073709551615"`, `"18446744073709551616"`, `true`, `"true"`,
	`"10.0.0.1"`, `"10.0.0.0/24"`, `"2001:db8::1"`, `"2001:db8::/32"`, `"00:1c:73:00:00:01"`, `"65000:100"`, `"10..20"`, `"Ethernet1"`, `"ANY"`, `"0.5"`, `"aGVsbG8="`, `{}`, `[]`, `null`, `[null]`,
}

// sample is a value that the type takes.
func (t *leafType) sample() (string, bool) {
	for _, c := range t.candidates() {
		if v, err := t.parse(c, formIETF); err == nil {
			return v.token, true
		}
	}
	return "", false
}

func (t *leafType) candidates() []string {
	out := slices.Clone(candidates)
	for name, module := range t.identities {
		out = append(out, `"`+name+`"`, `"`+module+`:`+name+`"`)
		break
	}
	if t.yt.Kind == yang.Yenum {
		for _, name := range t.yt.Enum.Names() {
			out = append(out, `"`+name+`"`)
		}
	}
	for _, r := range t.yt.Range {
		out = append(out, r.Min.String(), r.Max.String(), `"`+r.Max.String()+`"`)
	}
	for _, m := range t.members {
		out = append(out, m.candidates()...)
	}
	return out
}

func leaves(s *schema, yield func(*schema)) {
	if s.isLeaf() {
		yield(s)
	}
	for _, c := range s.children {
		leaves(c, yield)
	}
}

// ygot is the authority on what is valid: over every leaf of the models, drawn at
// random, the target takes what ygot takes and refuses what ygot refuses. Known to
// be ygot's leniency, and left out, are null and an identity's wrong module.
func TestVerdictsAreThoseOfYgot(t *testing.T) {
	s, err := openConfig()
	if err != nil {
		t.Fatal(err)
	}
	var all []*schema
	leaves(s, func(l *schema) { all = append(all, l) })
	if len(all) != 2072 {
		t.Errorf("the models have %d leaves, want 2072", len(all))
	}
	d := rand.New(rand.NewPCG(1, 2))
	d.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	taken, refused, skipped := 0, 0, 0
	for _, l := range all[:150] {
		cands := l.typ.candidates()
		d.Shuffle(len(cands), func(i, j int) { cands[i], cands[j] = cands[j], cands[i] })
		for _, token := range cands[:min(len(cands), 8)] {
			if l.kind == leafList {
				token = "[" + token + "]"
			}
			doc, ok := document(l, token)
			if !ok || strings.Contains(token, "null") {
				skipped++
				continue
			}
			_, err := New(Config{Initial: []byte(doc)})
			want := ygotVerdict(doc)
			if (err == nil) != (want == nil) {
				t.Errorf("%s\nsim:  %v\nygot: %v", doc, err, want)
			}
			if err == nil {
				taken++
			} else {
				refused++
			}
		}
	}
	if taken < 50 || refused < 200 {
		t.Errorf("%d taken, %d refused, %d skipped: too few to tell", taken, refused, skipped)
	}
}

func ygotVerdict(doc string) error {
	device := &oc.Device{}
	if err := oc.Unmarshal([]byte(doc), device); err != nil {
		return err
	}
	return device.Validate(&ytypes.LeafrefOptions{IgnoreMissingData: true})
}
