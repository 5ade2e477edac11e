package renderer

import (
	"testing"
)

// What a policy answers comes from outside: whatever it is, it is violations or an
// error, and a path in it is one of the model or none.
func FuzzViolationsAreNotTrusted(f *testing.F) {
	f.Add([]byte(`[{"device":"leaf01","path":"/interfaces/interface[name=Ethernet1]/config/mtu","message":"no"}]`))
	f.Add([]byte(`[{"path":"/interfaces/interface[name=*]","message":"no"}, {}]`))
	f.Add([]byte(`{"message":"x"}`))
	f.Add([]byte(`[{"message":"x","severity":1}]`))
	f.Add([]byte(`[{"path":"/[a=b]/..\\"}]`))
	m, err := loadModels()
	if err != nil {
		f.Fatal(err)
	}
	j := &judging{fleet: &fleet{schema: m.schema}}
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := violations(data)
		if err != nil && list != nil {
			t.Errorf("%v beside %v", list, err)
		}
		for _, v := range list {
			path, err := j.lead(v.Path)
			if err != nil || len(path) == 0 {
				continue
			}
			if again, err := j.lead(path.String()); err != nil || !again.Equal(path) {
				t.Errorf("%q leads to %s, which leads to %s: %v", v.Path, path, again, err)
			}
		}
	})
}
