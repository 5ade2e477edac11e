package plan

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/setpoint-net/setpoint/models/tree"
)

// TestWhatCountsAsTheSame holds the code to the table of docs/comparing.md: what a
// device shows is read as from a device, what is intended as from the intent.
func TestWhatCountsAsTheSame(t *testing.T) {
	page, err := os.ReadFile("../../docs/comparing.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(page), "|---|---|---|---|---|---|\n")
	if !ok {
		t.Fatal("the page has no table")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	rows := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 6 {
			t.Fatalf("line %q", line)
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows++
		t.Run(cells[0], func(t *testing.T) { compares(t, cells[1], cells[2], cells[3], cells[4], cells[5]) })
	}
	if rows < 40 {
		t.Errorf("only %d rows", rows)
	}
}

// sources are what a rule may refer to.
var sources = regexp.MustCompile(`^(RFC \d+ |gNMI \d|OpenConfig style: |vendors: )`)

func compares(t *testing.T, at, shown, meant, same, source string) {
	for s := range strings.SplitSeq(source, "; ") {
		if !sources.MatchString(s) {
			t.Errorf("the source is %q", s)
		}
	}
	s := tree.OpenConfig()
	path, err := tree.ParsePath(strings.ReplaceAll(strings.Trim(at, "`"), "/0]", `\/0]`))
	if err != nil {
		t.Fatal(err)
	}
	running, unknown, err := tree.ParseLenient(s, document(t, s, path, shown))
	if err != nil || len(unknown) > 0 {
		t.Fatalf("the device: %v, unknown %v", err, unknown)
	}
	intended, err := tree.Parse(s, document(t, s, path, meant))
	if err != nil {
		t.Fatalf("the intent: %v", err)
	}
	want := map[string]bool{"yes": true, "no": false}
	if _, known := want[same]; !known {
		t.Fatalf("same is %q", same)
	}
	for way, p := range map[string]*Plan{"forward": Diff(running, intended), "back": Diff(intended, running)} {
		if p.Empty() != want[same] {
			t.Errorf("%s: same is %t\n%s", way, p.Empty(), text(t, p, Options{}))
		}
	}
}

// document is a configuration with one value at a path, which has all keys; of
// "absent" what is above it.
func document(t *testing.T, s *tree.Schema, path tree.Path, cell string) []byte {
	t.Helper()
	var value any
	if cell != "absent" {
		value = json.RawMessage(strings.Trim(cell, "`"))
	}
	for i := len(path) - 1; i >= 0; i-- {
		above, name := object{}, path[i].Name
		if value != nil {
			above[name] = value
		}
		if i > 0 && path[i-1].Keys != nil {
			node, err := s.Find(path[:i])
			if err != nil {
				t.Fatal(err)
			}
			above = keyed(t, node, path[i-1].Keys, above)
			value = []any{above}
			continue
		}
		value = nil
		if len(above) > 0 {
			value = above
		}
	}
	if value == nil {
		return []byte("{}")
	}
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// keyed puts an entry's keys in.
func keyed(t *testing.T, node *tree.Node, keys []tree.KeyValue, entry object) object {
	t.Helper()
	for _, k := range keys {
		entry[k.Name] = k.Value
		if kind := node.Child(k.Name).Type.Final.Kind; kind < tree.Uint64 && kind != tree.Int64 {
			entry[k.Name] = json.Number(k.Value)
		}
	}
	return entry
}
