package main

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestThePageListsTheConfigurationAsItIs loads the example of docs/server.md, and
// holds it to naming every key that there is.
func TestThePageListsTheConfigurationAsItIs(t *testing.T) {
	page, err := os.ReadFile("../../docs/server.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(page)
	if m == nil {
		t.Fatal("the page has no example")
	}
	file := filepath.Join(t.TempDir(), "setpoint.yaml")
	if err := os.WriteFile(file, m[1], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadConfig(file); err != nil {
		t.Error(err)
	}
	for _, key := range keysOf(reflect.TypeFor[serverConfig]()) {
		if !strings.Contains(string(m[1]), key+":") {
			t.Errorf("the page does not name %s", key)
		}
	}
}

// keysOf are the names of a configuration's keys, at any depth.
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
			keys = append(keys, keysOf(inner)...)
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
