package renderer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// WriteDevice writes a Device document of which Render makes d's config again:
// block style, list entries in the tree's order, an entry's keys given once,
// identities without their module, and quotes
// where YAML would read something else than was meant.
//
// The config is written as it is, secrets too: whoever calls leaves those out.
// Drift is not part of a Device document and is not written.
func WriteDevice(w io.Writer, d models.Device, config *tree.Tree) error {
	var p printer
	p.line(0, "apiVersion: %s", apiVersion)
	p.line(0, "kind: Device")
	p.line(0, "metadata:")
	p.line(1, "name: %s", yamlText(string(d.Name)))
	if len(d.Labels) > 0 {
		p.line(1, "labels:")
		for _, k := range slices.Sorted(maps.Keys(d.Labels)) {
			p.line(2, "%s: %s", yamlText(k), yamlText(d.Labels[k]))
		}
	}
	p.line(0, "spec:")
	p.line(1, "address: %s", yamlText(d.Address))
	for _, f := range [][2]string{{"platform", d.Platform}, {"credentials", d.Credentials}} {
		if f[1] != "" {
			p.line(1, "%s: %s", f[0], yamlText(f[1]))
		}
	}
	if len(d.Manage) > 0 {
		p.line(1, "manage:")
		for _, m := range d.Manage {
			p.line(2, "- %s", yamlText(m))
		}
	}
	if d.Adopt != "" {
		p.line(1, "adopt: %s", yamlText(string(d.Adopt)))
	}
	if d.Redundancy != "" {
		p.line(1, "redundancy: %s", yamlText(d.Redundancy))
	}
	if config == nil || config.IsEmpty() {
		p.line(1, "openconfig: {}")
	} else {
		p.line(1, "openconfig:")
		p.members(2, config.Root().Members())
	}
	_, err := w.Write(p.Bytes())
	return err
}

// Lifted is a condition of the model that a Platform lifts.
type Lifted struct {
	Path string // of the schema, without keys
	Why  string // one line
}

// WritePlatform writes the Platform document that a device names: its profile, and the
// conditions that it lifts, each with its reason as a comment.
func WritePlatform(w io.Writer, d models.Device, lifted []Lifted) error {
	var p printer
	p.line(0, "apiVersion: %s", apiVersion)
	p.line(0, "kind: Platform")
	p.line(0, "metadata:")
	p.line(1, "name: %s", yamlText(d.Platform))
	p.line(0, "spec:")
	p.line(1, "base: %s", defaultPlatform)
	if d.Profile.Origin != "" {
		p.line(1, "origin: %s", yamlText(d.Profile.Origin))
	}
	if len(lifted) > 0 {
		p.line(1, "unconditional:")
	}
	for _, l := range lifted {
		p.line(2, "# %s", strings.Join(strings.Fields(l.Why), " "))
		p.line(2, "- %s", yamlText(l.Path))
	}
	_, err := w.Write(p.Bytes())
	return err
}

// printer writes indented lines of YAML.
type printer struct {
	bytes.Buffer
	item bool // the next line is an item's first
}

func (p *printer) line(depth int, format string, args ...any) {
	p.WriteString(strings.Repeat("  ", depth))
	if p.item {
		p.item = false
		p.Truncate(p.Len() - 2)
		p.WriteString("- ")
	}
	fmt.Fprintf(p, format, args...)
	p.WriteByte('\n')
}

func (p *printer) members(depth int, all []*tree.Value) {
	for _, m := range all {
		p.member(depth, m)
	}
}

func (p *printer) member(depth int, v *tree.Value) {
	name := yamlText(v.Schema.Name)
	switch v.Schema.Kind {
	case tree.Leaf:
		p.line(depth, "%s: %s", name, yamlScalar(v.Schema.Type.Final, string(v.JSON())))
	case tree.LeafList:
		all := elements(string(v.JSON()))
		if len(all) == 0 {
			p.line(depth, "%s: []", name)
			return
		}
		p.line(depth, "%s:", name)
		for _, e := range all {
			p.line(depth+1, "- %s", yamlScalar(v.Schema.Type.Final, e))
		}
	case tree.List:
		p.line(depth, "%s:", name)
		for _, e := range v.Members() {
			p.entry(depth+2, e)
		}
	default:
		p.line(depth, "%s:", name)
		p.members(depth+1, v.Members())
	}
}

// entry writes a list entry, its keys first and once: the renderer repeats them
// in the entry's config.
func (p *printer) entry(depth int, e *tree.Value) {
	p.item = true
	keys := map[string]string{}
	for _, m := range e.Members() {
		if slices.Contains(e.Schema.Keys, m.Schema.Name) {
			keys[m.Schema.Name] = string(m.JSON())
			p.member(depth, m)
		}
	}
	for _, m := range e.Members() {
		switch _, key := keys[m.Schema.Name]; {
		case key:
		case m.Schema.Name != "config":
			p.member(depth, m)
		default:
			own := slices.DeleteFunc(slices.Clone(m.Members()), func(c *tree.Value) bool {
				key, ok := keys[c.Schema.Name]
				return ok && key == string(c.JSON())
			})
			if len(own) > 0 {
				p.line(depth, "config:")
				p.members(depth+1, own)
			}
		}
	}
}

// yamlScalar writes a canonical JSON scalar of type t. A text that looks like a
// reference is written so that nothing is replaced in it.
func yamlScalar(t *tree.Type, scalar string) string {
	if scalar[0] != '"' {
		return scalar
	}
	s := decoded(scalar)
	switch t.Kind {
	case tree.Int64, tree.Uint64, tree.Decimal64:
		return s // RFC 7951 section 6.1 quotes these; YAML need not
	case tree.Identityref:
		module, name, qualified := strings.Cut(s, ":")
		if qualified && t.Identities[name] == module {
			s = name
		}
	}
	return yamlText(strings.ReplaceAll(s, "${", "$${"))
}

// decoded is the text of a canonical JSON string.
func decoded(scalar string) string {
	var s string
	if json.Unmarshal([]byte(scalar), &s) != nil {
		return scalar[1 : len(scalar)-1] // a tree's string always reads
	}
	return s
}

// plainText is text that YAML, of whatever version, reads as that text: no
// number, no sign with a meaning, no blank at an end.
var plainText = regexp.MustCompile(`^[A-Za-z_/]([A-Za-z0-9_./=*\[\]+@-]|:[A-Za-z0-9_./])*$`)

// spokenText is plainText of several words.
var spokenText = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)+$`)

// otherWords are what some version of YAML takes for something else than text.
var otherWords = []string{"true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf"}

// yamlText writes text as a YAML scalar.
func yamlText(s string) string {
	if (plainText.MatchString(s) || spokenText.MatchString(s)) && !slices.Contains(otherWords, strings.ToLower(s)) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case unicode.IsPrint(r) && r != unicode.ReplacementChar:
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
