package plan

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/setpoint-net/setpoint/models/tree"
)

func TestConfigsOfOneShapeLoseNothing(t *testing.T) {
	s := tree.OpenConfig()
	same, lossy := 0, 0
	for seed := range uint64(600) {
		g := generator{rand.New(rand.NewPCG(seed, 4))}
		was := g.some(s)
		is := clone(t, was)
		if seed%2 == 0 {
			g.revalue(is, s.Root)
		} else {
			g.mutate(is, s.Root, 2+int(seed%40))
		}
		prune(is)
		a, b := parse(t, s, was), parse(t, s, is)
		loss := Loss(Diff(a, b))
		if loss != "" {
			lossy++
		}
		if !SameShape(a.Canonical(), b.Canonical()) {
			continue
		}
		same++
		if loss != "" {
			t.Fatalf("seed %d: %s, from\n%s\nto\n%s", seed, loss, a.Canonical(), b.Canonical())
		}
	}
	if same < 100 || lossy < 100 {
		t.Errorf("%d pairs of one shape, %d that lose something: too few to tell", same, lossy)
	}
}

// revalue gives leaves other values, and leaves everything else.
func (g generator) revalue(o object, node *tree.Node) {
	for _, name := range sorted(o) {
		c := node.Child(name)
		switch v := o[name].(type) {
		case object:
			g.revalue(v, c)
		case []any:
			for _, e := range v {
				if entry, ok := e.(object); ok {
					g.revalue(entry, c)
				}
			}
		default:
			if !slices.Contains(node.Keys, name) && (node.Parent == nil || !slices.Contains(node.Parent.Keys, name)) && g.IntN(3) == 0 {
				o[name] = g.scalar(c, c.Type.Final)
			}
		}
	}
}

func TestAShapeIsTheEntriesAndLeaves(t *testing.T) {
	for _, tt := range []struct {
		name, a, b string
		want       bool
	}{
		{"the same", `{"a":{"b":1}}`, `{"a":{"b":1}}`, true},
		{"another number", `{"a":{"b":1}}`, `{"a":{"b":1000}}`, true},
		{"another kind of value", `{"a":{"b":1}}`, `{"a":{"b":"x"}}`, true},
		{"structure within a value", `{"a":{"b":"x"}}`, `{"a":{"b":"{\"c\":[1],\\"}}`, true},
		{"another leaf", `{"a":{"b":1}}`, `{"a":{"c":1}}`, false},
		{"a leaf more", `{"a":{"b":1}}`, `{"a":{"b":1,"c":1}}`, false},
		{"a leaf less", `{"a":{"b":1,"c":1}}`, `{"a":{"b":1}}`, false},
		{"another key", `{"l":[{"k":"a","c":{"v":1}}]}`, `{"l":[{"k":"b","c":{"v":1}}]}`, false},
		{"another value in an entry", `{"l":[{"k":"a","c":{"v":1}}]}`, `{"l":[{"k":"a","c":{"v":2}}]}`, true},
		{"entries that changed places", `{"l":[{"k":"a"},{"k":"b"}]}`, `{"l":[{"k":"b"},{"k":"a"}]}`, false},
		{"an entry less", `{"l":[{"k":"a"},{"k":"b"}]}`, `{"l":[{"k":"a"}]}`, false},
		{"another value in a leaf-list", `{"l":[1,2]}`, `{"l":[1,3]}`, true},
		{"a shorter leaf-list", `{"l":[1,2]}`, `{"l":[1]}`, false},
		{"nothing", ``, ``, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := SameShape([]byte(tt.a), []byte(tt.b)); got != tt.want {
				t.Errorf("SameShape = %v: %s and %s", got, shape([]byte(tt.a)), shape([]byte(tt.b)))
			}
		})
	}
}

func FuzzShape(f *testing.F) {
	f.Add([]byte(`{"a":[{"k":"x\"","c":{"v":[1,2],"w":null}}]}`))
	f.Add([]byte(`"\`))
	f.Add([]byte(`]}{`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n := len(shape(data)); n > len(data) {
			t.Errorf("a shape of %d bytes of %d", n, len(data))
		}
		if !SameShape(data, data) && len(data) > 0 {
			t.Error("not of its own shape")
		}
	})
}

func BenchmarkSameShape(b *testing.B) {
	running, intended := leafSwitch(b)
	before, after := running.Canonical(), intended.Canonical()
	b.SetBytes(int64(len(before)))
	for b.Loop() {
		if !SameShape(before, after) {
			b.Fatal("one leaf's value differs")
		}
	}
}
