package main

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestEveryKeyIsExplained loads the example of docs/server.md and the one that is
// shipped, and holds both to naming every key that there is, at its place.
func TestEveryKeyIsExplained(t *testing.T) {
	page, err := os.ReadFile("../../docs/server.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(page)
	if m == nil {
		t.Fatal("the page has no example")
	}
	shipped, err := os.ReadFile("../../deploy/setpoint.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"docs/server.md": m[1], "deploy/setpoint.yaml": shipped} {
		file := filepath.Join(t.TempDir(), "setpoint.yaml")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := loadConfig(file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var doc any
		if err := yaml.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		for _, key := range keysOf(reflect.TypeFor[serverConfig]()) {
			if !names(doc, strings.Split(key, ".")) {
				t.Errorf("%s does not name %s", name, key)
			}
		}
	}
}

// names says whether a document has a key; of a list any entry may.
func names(doc any, key []string) bool {
	if list, ok := doc.([]any); ok && len(key) > 0 {
		return slices.ContainsFunc(list, func(e any) bool { return names(e, key) })
	}
	if len(key) == 0 {
		return true
	}
	m, ok := doc.(map[string]any)
	if !ok {
		return false
	}
	at, ok := m[key[0]]
	return ok && names(at, key[1:])
}

// keysOf are the paths of a configuration's keys, with dots.
func keysOf(of reflect.Type) []string {
	var keys []string
	for f := range of.Fields() {
		key := f.Tag.Get("mapstructure")
		if key == "" {
			continue
		}
		keys = append(keys, key)
		inner := f.Type
		if inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && inner != reflect.TypeFor[secretRef]() {
			for _, k := range keysOf(inner) {
				keys = append(keys, key+"."+k)
			}
		}
	}
	return keys
}

func TestSizesAreReadInTheirUnits(t *testing.T) {
	for in, want := range map[string]int64{"1024": 1024, "512MiB": 512 << 20, "10GiB": 10 << 30, "2GB": 2e9, "3 kB": 3000} {
		if got, err := parseSize(in); err != nil || got != want {
			t.Errorf("%s is read as %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "lots", "-1GiB", "0", "1.5GiB", "99999999999GiB"} {
		if got, err := parseSize(in); err == nil {
			t.Errorf("%q is read as %d", in, got)
		}
	}
}
