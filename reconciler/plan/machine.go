package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/setpoint-net/setpoint/models/tree"
)

// The form for programs. Members are added to it, never renamed.
type (
	planJSON struct {
		Title    string        `json:"title,omitempty"`
		Added    int           `json:"added"`
		Removed  int           `json:"removed"`
		Changes  []changeJSON  `json:"changes"`
		Deletes  []string      `json:"deletes"`
		Replaces []updatedJSON `json:"replaces"`
		Updates  []updatedJSON `json:"updates"`
		Notes    []string      `json:"notes,omitempty"`
		Requests []stepJSON    `json:"requests,omitempty"` // where there are several
	}
	// stepJSON is how many of the operations, in their order, a request holds.
	stepJSON struct {
		Deletes  int `json:"deletes"`
		Replaces int `json:"replaces"`
		Updates  int `json:"updates"`
	}
	changeJSON struct {
		Op   string          `json:"op"` // add, remove, change, reorder
		Path string          `json:"path"`
		Old  json.RawMessage `json:"old,omitempty"`
		New  json.RawMessage `json:"new,omitempty"`
	}
	updatedJSON struct {
		Path  string          `json:"path"`
		Value json.RawMessage `json:"value"`
	}
)

func writeJSON(b *bytes.Buffer, p *Plan, o Options) {
	out := planJSON{
		Title: o.Title, Added: p.Added(), Removed: p.Removed(),
		Changes: []changeJSON{}, Deletes: []string{}, Replaces: updated(p.Replaces), Updates: updated(p.Updates),
		Notes: p.Notes,
	}
	for _, s := range p.steps {
		out.Requests = append(out.Requests, stepJSON{s.deletes, s.replaces, s.updates})
	}
	for _, c := range p.Changes {
		out.Changes = append(out.Changes, changeJSON{op(c), c.Path.String(), sideJSON(c.Old), sideJSON(c.New)})
	}
	for _, d := range p.Deletes {
		out.Deletes = append(out.Deletes, d.String())
	}
	var raw bytes.Buffer
	e := json.NewEncoder(&raw)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(out); err != nil {
		// Every RawMessage is a tree's JSON, so this is a mistake in this package.
		fmt.Fprintf(&raw, "{\"error\":%q}\n", err.Error())
	}
	writeEscaped(b, raw.String())
}

// writeEscaped writes JSON with escapes for what cannot be seen, which is in its
// strings only: not for the reader's sake but for the terminal's.
func writeEscaped(b *bytes.Buffer, text string) {
	for _, r := range text {
		if r < 0x7f || unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		for _, u := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(b, `\u%04x`, u)
		}
	}
}

func op(c Change) string {
	switch {
	case isReorder(c):
		return "reorder"
	case c.Old == nil:
		return "add"
	case c.New == nil:
		return "remove"
	}
	return "change"
}

func updated(values []Value) []updatedJSON {
	out := []updatedJSON{}
	for _, v := range values {
		out = append(out, updatedJSON{v.Path.String(), redacted(v.Node)})
	}
	return out
}

// sideJSON is one side of a change: a leaf's value, or a list's keys in order.
func sideJSON(v *tree.Value) json.RawMessage {
	switch {
	case v == nil:
		return nil
	case !isList(v):
		return redacted(v)
	}
	keys := []map[string]string{}
	for _, e := range v.Members() {
		m := map[string]string{}
		for _, k := range e.Keys() {
			m[k.Name] = k.Value
		}
		keys = append(keys, m)
	}
	raw, err := json.Marshal(keys)
	if err != nil {
		return json.RawMessage("[]") // strings always marshal
	}
	return raw
}

// redacted is a value's canonical JSON without its secrets.
func redacted(v *tree.Value) json.RawMessage {
	if !hasSecret(v) {
		return v.JSON()
	}
	var b bytes.Buffer
	writeRedacted(&b, v)
	return b.Bytes()
}

func hasSecret(v *tree.Value) bool {
	if v.Schema.Secret {
		return true
	}
	for _, m := range v.Members() {
		if hasSecret(m) {
			return true
		}
	}
	return false
}

func writeRedacted(b *bytes.Buffer, v *tree.Value) {
	switch {
	case v.Schema.Secret && v.Schema.Kind == tree.LeafList:
		fmt.Fprintf(b, "[%q]", secret)
	case v.Schema.Secret:
		fmt.Fprintf(b, "%q", secret)
	case isLeaf(v):
		b.Write(v.JSON())
	case isList(v):
		writeSeparated(b, '[', ']', v.Members(), writeRedacted)
	default:
		writeSeparated(b, '{', '}', v.Members(), func(b *bytes.Buffer, m *tree.Value) {
			name := m.Schema.Name
			if m.Schema.Module != v.Schema.Module {
				name = m.Schema.Module + ":" + name
			}
			fmt.Fprintf(b, "%q:", name)
			writeRedacted(b, m)
		})
	}
}

func writeSeparated(b *bytes.Buffer, open, end byte, members []*tree.Value, write func(*bytes.Buffer, *tree.Value)) {
	b.WriteByte(open)
	for i, m := range members {
		if i > 0 {
			b.WriteByte(',')
		}
		write(b, m)
	}
	b.WriteByte(end)
}

// secrets counts the secrets that a request writes.
func secrets(r *Plan) int {
	n := 0
	for _, v := range slices.Concat(r.Replaces, r.Updates) {
		leaves(v.Path, v.Node, func(_ tree.Path, leaf *tree.Value) {
			if leaf.Schema.Secret {
				n++
			}
		})
	}
	return n
}

// writeGNMI writes the SetRequest as gnmic set --request-file reads it, which is
// YAML: what setpoint would send can be sent by hand, but for its secrets. Of
// several requests each is a document.
func writeGNMI(to *bytes.Buffer, p *Plan, o Options) {
	b := new(bytes.Buffer)
	all := p.Requests()
	if len(all) == 0 {
		all = []*Plan{p}
	}
	for i, r := range all {
		number := ""
		if len(all) > 1 {
			number = fmt.Sprintf(" %d of %d", i+1, len(all))
		}
		if i > 0 {
			b.WriteString("---\n# a request file of gnmic's holds one: send each by itself, in this order\n")
		}
		b.WriteString("# SetRequest" + number)
		if o.Title != "" {
			b.WriteString(" for " + visible(o.Title))
		}
		fmt.Fprintf(b, ": %d deletes, %d replaces, %d updates\n", len(r.Deletes), len(r.Replaces), len(r.Updates))
		if i == 0 {
			for _, note := range p.Notes {
				b.WriteString("# " + note + "\n")
			}
		}
		if n := secrets(r); n > 0 {
			fmt.Fprintf(b, "# %d × %s: put the secrets in first, or this text is what the device gets\n", n, secret)
		}
		writeRequest(b, r)
	}
	writeEscaped(to, b.String())
}

func writeRequest(b *bytes.Buffer, p *Plan) {
	if len(p.Deletes) > 0 {
		b.WriteString("deletes:\n")
		for _, d := range p.Deletes {
			fmt.Fprintf(b, "  - %s\n", quoted(d.String()))
		}
	}
	writeOperations(b, "replaces", p.Replaces)
	writeOperations(b, "updates", p.Updates)
}

func writeOperations(b *bytes.Buffer, name string, values []Value) {
	if len(values) == 0 {
		return
	}
	b.WriteString(name + ":\n")
	for _, v := range values {
		fmt.Fprintf(b, "  - path: %s\n    encoding: json_ietf\n    value: ", quoted(v.Path.String()))
		if err := json.Indent(b, redacted(v.Node), "      ", "  "); err != nil {
			b.WriteString("null") // a tree's JSON always indents
		}
		b.WriteByte('\n')
	}
}

// quoted is a string as JSON and YAML both write it.
func quoted(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return `""` // a string always encodes
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// writeMarkdown writes a heading, the totals and the unified form in a fence that
// no value can close.
func writeMarkdown(b *bytes.Buffer, p *Plan, o Options) {
	if o.Title != "" {
		fmt.Fprintf(b, "#### `%s`\n\n", strings.ReplaceAll(visible(o.Title), "`", "'"))
	}
	if p.Empty() {
		b.WriteString("no change\n")
		return
	}
	var body bytes.Buffer
	(&unifiedWriter{b: &body}).hunks(p)
	fence := "```"
	for strings.Contains(body.String(), fence) {
		fence += "`"
	}
	fmt.Fprintf(b, "%s\n\n%sdiff\n%s%s\n", totals(p.Added(), p.Removed()), fence, body.String(), fence)
}
