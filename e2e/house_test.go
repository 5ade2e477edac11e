package e2e

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/setpoint-net/setpoint"

// walls says which of our packages each package may import. A package that is
// not listed fails the test: a new room needs its walls drawn first.
var walls = map[string][]string{
	"models":                {},
	"models/oc":             {},
	"models/tree":           {"models"},
	"models/gen":            {},
	"bus":                   {"models"},
	"bus/notify":            {"models", "models/tree", "reconciler/plan", "bus"},
	"bus/notify/notifytest": {},
	"gitwatch":              {"models", "bus"},
	"gitwatch/gitwatchtest": {},
	"renderer":              {"models", "models/tree", "models/oc"},
	"renderer/stage":        {"models", "bus", "renderer"},
	"renderer/worker":       {"renderer"},
	"reconciler":            {"models", "models/tree", "reconciler/plan", "bus"},
	"reconciler/plan":       {"models", "models/tree"},
	"reconciler/rollout":    {"models", "models/tree", "reconciler/plan", "bus"},
	"reconciler/device":     {"models", "models/tree", "reconciler/plan"},
	"reconciler/device/sim": {"models/oc"},
	"repo-template":         {},
	"e2e":                   {},
	"cmd/setpoint":          nil, // wires everything: may import all
}

// owners says who may import an outside library: the one door through which it
// comes into the house. Tests may use any.
var owners = map[string][]string{
	"github.com/nats-io/":           {"bus"},
	"github.com/go-git/":            {"gitwatch"},
	"golang.org/x/crypto/":          {"gitwatch", "gitwatch/gitwatchtest"},
	"github.com/openconfig/gnmic/":  {"reconciler/device"},
	"github.com/openconfig/gnmi/":   {"reconciler/device", "reconciler/device/sim"},
	"google.golang.org/grpc":        {"reconciler/device", "reconciler/device/sim"},
	"google.golang.org/protobuf":    {"reconciler/device", "reconciler/device/sim"},
	"google.golang.org/genproto":    {"reconciler/device", "reconciler/device/sim"},
	"github.com/openconfig/ygot/":   {"models/oc", "models/gen", "renderer", "reconciler/device/sim"},
	"github.com/openconfig/goyang/": {"models/oc", "models/gen", "renderer", "reconciler/device/sim"},
	"cuelang.org/":                  {"renderer"},
	"go.yaml.in/":                   {"renderer"},
	"github.com/sergi/go-diff/":     {"reconciler/plan"},
	"github.com/spf13/":             {"cmd/setpoint"},
}

// pure packages are called as functions: no clock, environment, file or network.
var pure = map[string][]string{
	"models":          {"os", "net", "net/http", "log/slog"},
	"models/tree":     {"os", "net/http", "log/slog"},
	"renderer":        {"os", "net/http", "os/exec", "log/slog"},
	"reconciler/plan": {"os", "net", "net/http", "log/slog"},
}

// source is one parsed file.
type source struct {
	dir  string // the package's folder, from the module's root
	name string
	test bool
	file *ast.File
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	fset := token.NewFileSet()
	err := filepath.WalkDir("..", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && p != ".." || d.Name() == "testdata") {
			return fs.SkipDir
		}
		rel := filepath.ToSlash(strings.TrimPrefix(p, "../"))
		if d.IsDir() || path.Ext(p) != ".go" || path.Dir(rel) == "." {
			return nil
		}
		mode := parser.ParseComments
		if path.Dir(rel) == "models/oc" {
			mode |= parser.ImportsOnly
		}
		f, err := parser.ParseFile(fset, p, nil, mode)
		if err != nil {
			return err
		}
		all = append(all, source{dir: path.Dir(rel), name: path.Base(rel), test: strings.HasSuffix(rel, "_test.go"), file: f})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("found %d Go files: the walk is broken", len(all))
	}
	return all
}

func imports(s source) []string {
	var list []string
	for _, i := range s.file.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err == nil {
			list = append(list, p)
		}
	}
	return list
}

func TestPackagesImportOnlyThroughTheirDoors(t *testing.T) {
	for _, s := range sources(t) {
		allowed, known := walls[s.dir]
		if !known {
			t.Errorf("%s: a package without walls; add it to this test", s.dir)
			continue
		}
		if s.test {
			continue
		}
		for _, p := range imports(s) {
			own, ok := strings.CutPrefix(p, module+"/")
			if ok && allowed != nil && !slices.Contains(allowed, own) {
				t.Errorf("%s/%s imports %s; %s may import %v", s.dir, s.name, own, s.dir, allowed)
			}
		}
	}
}

func TestOutsideLibrariesComeThroughTheirOwner(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, p := range imports(s) {
			first, _, _ := strings.Cut(p, "/")
			if !strings.Contains(first, ".") || strings.HasPrefix(p, module) {
				continue
			}
			owner := ""
			for prefix, who := range owners {
				if strings.HasPrefix(p, prefix) {
					owner = prefix
					if !slices.Contains(who, s.dir) {
						t.Errorf("%s/%s imports %s, which belongs to %v", s.dir, s.name, p, who)
					}
				}
			}
			if owner == "" {
				t.Errorf("%s/%s imports %s, which has no owner in this test", s.dir, s.name, p)
			}
		}
	}
}

func TestPurePackagesTouchNothing(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, p := range imports(s) {
			if slices.Contains(pure[s.dir], p) {
				t.Errorf("%s/%s imports %s; %s is pure", s.dir, s.name, p, s.dir)
			}
		}
	}
}

func TestEveryPackageExplainsItself(t *testing.T) {
	docs := map[string]int{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		n := docs[s.dir]
		if s.file.Doc != nil {
			n += len(strings.Fields(s.file.Doc.Text()))
		}
		docs[s.dir] = n
	}
	for _, dir := range slices.Sorted(maps.Keys(docs)) {
		if docs[dir] < 25 {
			t.Errorf("%s: its package comment has %d words; say the job, the promises, and what it never does", dir, docs[dir])
		}
	}
}

// TestNoTestSleepsOnARealClock lets time.Sleep stand only inside a synctest
// bubble, where the clock is not real: in the arguments of synctest.Test, or of a
// function of the package that opens a bubble for its caller.
func TestNoTestSleepsOnARealClock(t *testing.T) {
	all := sources(t)
	opens := map[string]bool{} // "dir.function"
	for _, s := range all {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && !strings.HasPrefix(f.Name.Name, "Test") && opensBubble(f) {
				opens[s.dir+"."+f.Name.Name] = true
			}
		}
	}
	for _, s := range all {
		bubbles := bubbleRanges(s, opens)
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !isCall(call, "time", "Sleep") {
				return true
			}
			for _, b := range bubbles {
				if b[0] <= call.Pos() && call.End() <= b[1] {
					return true
				}
			}
			t.Errorf("%s/%s sleeps on a real clock", s.dir, s.name)
			return true
		})
	}
}

func opensBubble(f *ast.FuncDecl) bool {
	found := false
	ast.Inspect(f, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		found = found || ok && isCall(c, "synctest", "Test")
		return !found
	})
	return found
}

// bubbleRanges are the extents of the calls that open a bubble.
func bubbleRanges(s source, opens map[string]bool) [][2]token.Pos {
	var list [][2]token.Pos
	ast.Inspect(s.file, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		id, local := c.Fun.(*ast.Ident)
		if isCall(c, "synctest", "Test") || local && opens[s.dir+"."+id.Name] {
			list = append(list, [2]token.Pos{c.Pos(), c.End()})
		}
		return true
	})
	return list
}

func isCall(c *ast.CallExpr, pkg, name string) bool {
	sel, ok := c.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == pkg
}

// TestImportChainsStayShort holds the longest chain between our own packages at
// six, so that no change ripples through the whole house.
func TestImportChainsStayShort(t *testing.T) {
	graph := map[string]map[string]bool{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, p := range imports(s) {
			if own, ok := strings.CutPrefix(p, module+"/"); ok {
				if graph[s.dir] == nil {
					graph[s.dir] = map[string]bool{}
				}
				graph[s.dir][own] = true
			}
		}
	}
	var depth func(string) int
	depth = func(p string) int {
		longest := 0
		for q := range graph[p] {
			longest = max(longest, depth(q))
		}
		return longest + 1
	}
	for p := range graph {
		if d := depth(p); d > 6 {
			t.Errorf("%s stands on a chain of %d packages; at most 6", p, d)
		}
	}
}
