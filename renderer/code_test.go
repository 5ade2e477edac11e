package renderer

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/setpoint-net/setpoint/models"
)

// A code that is written as a literal, made up at run time or missing from the
// table would be one that nobody finds in docs/errors.md.
func TestEveryCodeIsInTheTable(t *testing.T) {
	fset := token.NewFileSet()
	info := &types.Info{Types: make(map[ast.Expr]types.TypeAndValue), Uses: make(map[*ast.Ident]types.Object), Defs: make(map[*ast.Ident]types.Object)}
	sources := goFiles(t, fset, ".")
	pkg := typed(t, fset, "renderer", sources, info)
	declared, used := make(map[types.Object]bool), make(map[types.Object]bool)
	for id, o := range info.Defs {
		if c, ok := o.(*types.Const); ok && isCode(c.Type()) {
			declared[o] = true
			if file := filepath.Base(fset.Position(id.Pos()).Filename); file != "code.go" {
				t.Errorf("%s: code %s is declared beside code.go", fset.Position(id.Pos()), c.Name())
			}
			if code := models.Code(constant.StringVal(c.Val())); codes[code] == "" {
				t.Errorf("code %q is not in the table", code)
			}
		}
	}
	if len(declared) != len(codes) || len(codes) < 70 {
		t.Errorf("%d codes are declared, %d in the table", len(declared), len(codes))
	}
	for id, o := range info.Uses {
		used[o] = used[o] || declared[o] && filepath.Base(fset.Position(id.Pos()).Filename) != "code.go"
	}
	for o := range declared {
		if !used[o] {
			t.Errorf("%s is used nowhere", o.Name())
		}
	}
	for e, tv := range info.Types {
		at := fset.Position(e.Pos())
		if lit, ok := e.(*ast.BasicLit); ok && isCode(tv.Type) && filepath.Base(at.Filename) != "code.go" {
			t.Errorf("%s: %s is written as a literal: declare it in code.go", at, lit.Value)
		}
		if call, ok := e.(*ast.CallExpr); ok && len(call.Args) == 1 && info.Types[call.Fun].IsType() && isCode(info.Types[call.Fun].Type) {
			t.Errorf("%s: a code is made up: declare it in code.go", at)
		}
	}
	if pkg.Scope().Lookup("codeTie") == nil {
		t.Error("the package was not looked at")
	}
}

func isCode(t types.Type) bool {
	n, ok := t.(*types.Named)
	return ok && n.Obj().Name() == "Code" && n.Obj().Pkg().Path() == "github.com/setpoint-net/setpoint/models"
}

func goFiles(t *testing.T, fset *token.FileSet, dir string) []*ast.File {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var out []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

// typed finds the types of a package. Of what it imports only models is looked
// into: what that leaves open has no part in codes.
func typed(t *testing.T, fset *token.FileSet, name string, files []*ast.File, info *types.Info) *types.Package {
	conf := types.Config{Error: func(error) {}, Importer: importer(func(path string) (*types.Package, error) {
		if path != "github.com/setpoint-net/setpoint/models" {
			return nil, os.ErrNotExist
		}
		return typed(t, fset, path, goFiles(t, fset, "../models"), nil), nil
	})}
	pkg, _ := conf.Check(name, fset, files, info)
	return pkg
}

type importer func(string) (*types.Package, error)

func (i importer) Import(path string) (*types.Package, error) { return i(path) }

// What a golden case wants ends, on a mistake's line, with its code.
func TestEveryCodeHasACase(t *testing.T) {
	var names []string
	for _, pattern := range []string{"testdata/*.txtar", "testdata/language/*.txtar", "worker/testdata/*.txtar"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("no cases in %s: %v", pattern, err)
		}
		names = append(names, found...)
	}
	seen := make(map[models.Code]bool)
	for _, name := range names {
		for _, m := range regexp.MustCompile(`(?m)^\S.* \[([a-z-]+)\]$`).FindAllStringSubmatch(read(t, name), -1) {
			seen[models.Code(m[1])] = true
		}
	}
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		if !seen[code] {
			t.Errorf("no golden case brings forth %s", code)
		}
	}
}

// An entry is the code as a heading, the table's line, a cause and a remedy.
func TestEveryCodeIsExplained(t *testing.T) {
	entries := make(map[models.Code]string)
	for _, e := range strings.Split(read(t, "../docs/errors.md"), "\n### ")[1:] {
		head, body, _ := strings.Cut(e, "\n")
		body, _, _ = strings.Cut(body, "\n## ")
		entries[models.Code(strings.Trim(head, "`"))] = body
	}
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		body, ok := entries[code]
		switch {
		case !ok:
			t.Errorf("docs/errors.md has no entry for %s", code)
		case !strings.Contains(body, "\n"+sentence(codes[code])+"\n"):
			t.Errorf("the entry for %s does not open with %q", code, sentence(codes[code]))
		case !strings.Contains(body, "\n**Cause.** ") || !strings.Contains(body, "\n**Remedy.** "):
			t.Errorf("the entry for %s lacks cause or remedy", code)
		}
		delete(entries, code)
	}
	for code := range entries {
		t.Errorf("docs/errors.md explains %s, which is no code", code)
	}
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." }

func read(t *testing.T, name string) string {
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
