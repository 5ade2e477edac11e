package sim

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"
)

// What faults make of random Sets is a sound tree, that shares nothing with those
// before it that is written to, and what is told of it is filtered branch by branch
// as the whole would be.
func TestRandomSetsUnderFaultsKeepTheTreeSound(t *testing.T) {
	const list = "/interfaces/interface"
	tests := map[string]Faults{
		"drop":        {Drop: []string{list + "/config/mtu", "/system/dns/servers", list + "[name=e2]"}},
		"keepDeleted": {KeepDeleted: []string{list + "/config/description", search, "/system/dns/servers", list + "[name=e1]"}},
		"implicit":    {Implicit: []Object{{list + "[name=e9]", json.RawMessage(`{"name":"e9","config":{"mtu":9}}`)}, {"/", json.RawMessage(twoInterfaces)}}},
		"rename":      {Rename: map[string]string{list + "[name=e1]": "E1", list + "[name=e2]": "e0"}},
		"nonAtomic":   {NonAtomic: true, Refuse: []string{list + "/config/description"}},
		"hide":        {Defaults: "hide"},
	}
	tests["all"] = Faults{
		Drop: tests["drop"].Drop, KeepDeleted: tests["keepDeleted"].KeepDeleted, Implicit: tests["implicit"].Implicit,
		Rename: tests["rename"].Rename, NonAtomic: true, Defaults: "hide",
	}
	for name, faults := range tests {
		t.Run(name, func(t *testing.T) {
			d := dice{rand.New(rand.NewPCG(3, 5)), t}
			target, err := New(Config{Faults: faults})
			if err != nil {
				t.Fatal(err)
			}
			for range 500 {
				old, text := target.now(), target.Config()
				req := d.set()
				_, err := target.Set(t.Context(), req)
				check(t, target.now())
				e := encoder{}
				if e.node(old, ""); !bytes.Equal(e.buf, text) {
					t.Fatalf("a Set (%v) wrote to a tree that others may be reading\nfrom %s\nto   %s", err, text, e.buf)
				}
				if faults.Defaults == "" {
					continue
				}
				var got, want encoder
				got.node(target.told(), "")
				want.node(bare(target.now(), nil, nil), "")
				if !bytes.Equal(got.buf, want.buf) {
					t.Fatalf("%v (%v)\ngot  %s\nwant %s", req, err, got.buf, want.buf)
				}
			}
		})
	}
}

// Whatever is given as faults is refused, or a target lives with it.
func FuzzFaults(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"drop": ["/interfaces"], "keepDeleted": ["/system/..."]}`, `{"delay": {"set": "2s"}, "hang": ["get"]}`,
		`{"implicit": [{"path": "/lldp/config", "value": {"enabled": true}}]}`, `{"rename": {"/interfaces/interface[name=e1]": "E1"}}`,
		`{"commit": "supported", "commitTraps": ["stuck"]}`, `{"clockSkew": "-1h", "loseNotifications": 3}`, `{"lock": 1}`, `[null]`,
	} {
		f.Add([]byte(seed))
	}
	target, err := New(Config{Initial: []byte(twoInterfaces)})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		faults, err := ParseFaults(text)
		if err != nil || target.Break(faults) != nil {
			return
		}
		again, err := json.Marshal(target.Faults())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseFaults(again); err != nil {
			t.Fatalf("%s is written as %s: %v", text, again, err)
		}
		if len(faults.Hang) == 0 && faults.LoseAnswer == "" {
			_, _ = target.Set(t.Context(), dice{rand.New(rand.NewPCG(1, 1)), t}.set())
			check(t, target.now())
		}
	})
}
