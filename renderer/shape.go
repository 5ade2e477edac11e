package renderer

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/token"
)

// jsonSchema is a JSON Schema (2020-12) as JSON has it.
type jsonSchema = map[string]any

// shaper reads a JSON Schema off a kind's syntax. It says less than CUE, never more:
// whatever it can't follow (calls, references to other fields, conditions) it lets
// pass, so that no document is refused that the kind takes.
type shaper struct {
	shelf   map[string]ast.Expr // definitions by name
	unclear map[string]bool     // names of the files' top that mean more than their one text
	left    int                 // how many more values of a definition may be looked at
	depth   int                 // how many names were followed to get here
}

// maxShapes bounds definitions that refer to many; those that refer to themselves
// are followed maxFieldDepth times.
const maxShapes = 5_000

// seen is what a value asks of a document: the schema, which is empty where nothing
// is known, and whether a document that gives no value is refused.
type seen struct {
	schema jsonSchema
	needed bool
}

// scopes are the structs around a value, the innermost last.
type scopes []*ast.StructLit

var anything = seen{schema: jsonSchema{}}

// part is the schema of a definition's field.
func (s *shaper) part(name, part string) seen {
	def, ok := s.shelf[name].(*ast.StructLit)
	if !ok || s.unclear["#"+name] {
		return anything
	}
	s.left = maxShapes
	m := s.members(def, nil)
	if m.open || m.fields[part] == nil {
		return anything
	}
	return *m.fields[part]
}

// members are a struct's fields. It is open where others may be given.
type members struct {
	fields map[string]*seen
	open   bool
}

func (s *shaper) members(lit *ast.StructLit, around scopes) members {
	m := members{fields: make(map[string]*seen)}
	in := append(slices.Clone(around), lit)
	var touched []string // by what depends on other values
	for _, elt := range lit.Elts {
		switch x := elt.(type) {
		case *ast.Field:
			name := label(x)
			switch {
			case strings.HasPrefix(name, "#") || strings.HasPrefix(name, "_"):
			case name == "" || x.Alias != nil:
				m.open = true
			default:
				m.add(name, s.field(x, in))
			}
		case *ast.Comprehension:
			names, all := touches(x)
			touched = append(touched, names...)
			m.open = m.open || !all
		case *ast.LetClause, *ast.Attribute, *ast.CommentGroup:
		default: // an embedding, or "..."
			m.open = true
		}
	}
	for _, name := range touched {
		f := m.fields[name]
		if f == nil || structured(f.schema) { // it may get more fields there
			f = &seen{schema: jsonSchema{}}
		}
		f.needed = false
		m.fields[name] = f
	}
	return m
}

// structured tells whether there is an object in what fits.
func structured(s jsonSchema) bool {
	text, _ := json.Marshal(s) // of what JSON has
	return strings.Contains(string(text), `"type":"object"`)
}

// add takes in a field, which may be written in several places.
func (m *members) add(name string, f seen) {
	if before := m.fields[name]; before != nil {
		f = seen{schema: both(before.schema, f.schema)}
	}
	m.fields[name] = &f
}

func (s *shaper) field(f *ast.Field, in scopes) seen {
	v := s.value(f.Value, in)
	out := seen{schema: maps.Clone(v.schema), needed: v.needed && f.Constraint != token.OPTION || f.Constraint == token.NOT}
	if doc := strings.Join(strings.Fields(commentOf(f)), " "); doc != "" {
		out.schema["description"] = doc
	}
	return out
}

// touches are the fields that a comprehension may bring or narrow; all is false
// where they can't be told.
func touches(c *ast.Comprehension) (names []string, all bool) {
	for _, clause := range c.Clauses {
		if _, loop := clause.(*ast.ForClause); loop {
			return nil, false
		}
	}
	lit, ok := c.Value.(*ast.StructLit)
	if !ok {
		return nil, false
	}
	for _, elt := range lit.Elts {
		switch x := elt.(type) {
		case *ast.Field:
			name := label(x)
			if name == "" {
				return nil, false
			}
			names = append(names, name)
		case *ast.Comprehension:
			inner, ok := touches(x)
			if !ok {
				return nil, false
			}
			names = append(names, inner...)
		case *ast.LetClause, *ast.Attribute, *ast.CommentGroup:
		default:
			return nil, false
		}
	}
	return names, true
}

// value is what an expression asks for.
func (s *shaper) value(e ast.Expr, in scopes) seen {
	if s.left--; s.left < 0 {
		return anything
	}
	switch x := e.(type) {
	case *ast.ParenExpr:
		return s.value(x.X, in)
	case *ast.Ident:
		return s.name(x, in)
	case *ast.BasicLit:
		if v, ok := plainLiteral(x); ok {
			return seen{schema: jsonSchema{"const": v}}
		}
	case *ast.StructLit:
		return s.object(x, in)
	case *ast.ListLit:
		return s.list(x, in)
	case *ast.UnaryExpr:
		return bound(x)
	case *ast.BinaryExpr:
		switch x.Op {
		case token.AND:
			a, b := s.value(x.X, in), s.value(x.Y, in)
			return seen{schema: both(a.schema, b.schema), needed: a.needed && b.needed}
		case token.OR:
			return s.choice(x, in)
		}
	}
	return anything
}

func (s *shaper) object(lit *ast.StructLit, in scopes) seen {
	if len(lit.Elts) == 1 { // {#A} is #A, and {string} is text
		if embedded, ok := lit.Elts[0].(*ast.EmbedDecl); ok {
			return s.value(embedded.Expr, append(slices.Clone(in), lit))
		}
	}
	if slices.ContainsFunc(lit.Elts, func(d ast.Decl) bool { _, ok := d.(*ast.EmbedDecl); return ok }) {
		return anything
	}
	m := s.members(lit, in)
	out := jsonSchema{"type": "object"}
	properties, required := jsonSchema{}, []any{}
	for _, name := range slices.Sorted(maps.Keys(m.fields)) {
		f := m.fields[name]
		properties[name] = f.schema
		if f.needed {
			required = append(required, name)
		}
	}
	if len(properties) > 0 {
		out["properties"] = properties
	}
	if len(required) > 0 {
		out["required"] = required
	}
	if !m.open {
		out["additionalProperties"] = false
	}
	return seen{schema: out, needed: len(required) > 0}
}

func (s *shaper) list(lit *ast.ListLit, in scopes) seen {
	out := jsonSchema{"type": "array"}
	var first []any
	needed := false
	for _, elt := range lit.Elts {
		switch x := elt.(type) {
		case *ast.Ellipsis:
			if x.Type != nil {
				out["items"] = s.value(x.Type, in).schema
			}
			if len(first) > 0 {
				out["minItems"] = float64(len(first))
				if items, ok := out["items"].(jsonSchema); !ok || !slices.ContainsFunc(first, func(f any) bool { return !same(f, items) }) {
					return seen{schema: out, needed: needed}
				}
				out["prefixItems"] = first
			}
			return seen{schema: out, needed: needed}
		case *ast.Comprehension:
			return seen{schema: jsonSchema{"type": "array"}}
		default:
			v := s.value(x, in)
			first, needed = append(first, v.schema), needed || v.needed
		}
	}
	if len(first) > 0 {
		out["prefixItems"], out["minItems"] = first, float64(len(first))
	}
	out["maxItems"] = float64(len(first))
	return seen{schema: out, needed: needed}
}

// builtIns are CUE's own names.
var builtIns = map[string]jsonSchema{
	"string": {"type": "string"}, "bool": {"type": "boolean"}, "int": {"type": "integer"},
	"number": {"type": "number"}, "float": {"type": "number"}, "uint": {"type": "integer", "minimum": float64(0)},
	"uint8":  {"type": "integer", "minimum": float64(0), "maximum": float64(255)},
	"uint16": {"type": "integer", "minimum": float64(0), "maximum": float64(65535)},
	"uint32": {"type": "integer", "minimum": float64(0), "maximum": float64(4294967295)},
}

// name follows a name to its definition: in the structs around it, then in the files.
func (s *shaper) name(id *ast.Ident, in scopes) seen {
	s.depth++
	defer func() { s.depth-- }()
	if s.depth > maxFieldDepth {
		return anything
	}
	for i := len(in) - 1; i >= 0; i-- {
		var found []*ast.Field
		for _, elt := range in[i].Elts {
			if let, ok := elt.(*ast.LetClause); ok && let.Ident.Name == id.Name {
				return anything
			}
			if f, ok := elt.(*ast.Field); ok && label(f) == id.Name {
				found = append(found, f)
			}
		}
		if len(found) == 1 && strings.HasPrefix(id.Name, "#") {
			return s.value(found[0].Value, in[:i+1])
		}
		if len(found) > 0 {
			return anything
		}
	}
	if s.unclear[id.Name] {
		return anything
	}
	if name, ok := strings.CutPrefix(id.Name, "#"); ok {
		if def := s.shelf[name]; def != nil {
			return s.value(def, nil)
		}
	}
	if b := builtIns[id.Name]; b != nil {
		return seen{schema: maps.Clone(b), needed: true}
	}
	return anything
}

// bound is what "=~", "<=" and the like ask for.
func bound(x *ast.UnaryExpr) seen {
	v, ok := plainLiteral(x.X)
	if !ok {
		return anything
	}
	text, isText := v.(string)
	_, isNumber := v.(float64)
	word := map[token.Token]string{token.GEQ: "minimum", token.LEQ: "maximum", token.GTR: "exclusiveMinimum", token.LSS: "exclusiveMaximum"}[x.Op]
	switch {
	case x.Op == token.MAT && isText:
		out := seen{schema: jsonSchema{"type": "string"}, needed: true}
		if p, ok := commonPattern(text); ok {
			out.schema["pattern"] = p
		}
		return out
	case x.Op == token.SUB && isNumber:
		return seen{schema: jsonSchema{"const": -v.(float64)}}
	case x.Op == token.NEQ && text == "" && isText:
		return seen{schema: jsonSchema{"not": jsonSchema{"const": ""}}, needed: true}
	case word != "" && isNumber:
		return seen{schema: jsonSchema{"type": "number", word: v}, needed: true}
	}
	return anything
}

// choice is one of several. A default that another alternative takes anyway is not
// told twice.
func (s *shaper) choice(x *ast.BinaryExpr, in scopes) seen {
	var all []jsonSchema
	var preset any
	marked, scalars := false, true
	for _, e := range alternatives(x) {
		b := bare(e)
		if b != e {
			marked = true
			if v, ok := plainLiteral(b); ok {
				preset = v
			}
		}
		v := s.value(b, in).schema
		if !slices.ContainsFunc(all, func(o jsonSchema) bool { return same(o, v) }) {
			all = append(all, v)
		}
		_, fixed := v["const"]
		scalars = scalars && (fixed || slices.Contains([]any{"string", "integer", "number", "boolean"}, v["type"]))
	}
	out := seen{schema: oneOf(all), needed: !marked && scalars && len(all) > 1}
	if preset != nil && len(out.schema) > 0 {
		out.schema["default"] = preset
	}
	return out
}

func oneOf(all []jsonSchema) jsonSchema {
	var kept []any
	var values []any
	for i, a := range all {
		if len(a) == 0 {
			return jsonSchema{}
		}
		v, fixed := a["const"]
		if fixed && slices.ContainsFunc(append(slices.Clone(all[:i]), all[i+1:]...), func(o jsonSchema) bool { return takes(o, v) }) {
			continue
		}
		if fixed {
			values = append(values, v)
		}
		kept = append(kept, a)
	}
	switch {
	case len(kept) == 1:
		return maps.Clone(kept[0].(jsonSchema))
	case len(values) == len(kept):
		return jsonSchema{"enum": values}
	}
	return jsonSchema{"anyOf": kept}
}

// takes tells for certain that a schema takes a value; false is no answer.
func takes(s jsonSchema, v any) bool {
	for word := range s {
		if !slices.Contains([]string{"type", "minimum", "maximum", "pattern", "description"}, word) {
			return false
		}
	}
	switch v := v.(type) {
	case string:
		if s["type"] != "string" {
			return false
		}
		if s["pattern"] == nil {
			return true
		}
		re, err := regexp.Compile(s["pattern"].(string))
		return err == nil && re.MatchString(v)
	case float64:
		low, bounded := s["minimum"].(float64)
		high, capped := s["maximum"].(float64)
		return (s["type"] == "number" || s["type"] == "integer" && v == float64(int64(v))) && (!bounded || v >= low) && (!capped || v <= high)
	case bool:
		return s["type"] == "boolean"
	}
	return false
}

// both is what fits two schemas. Objects are closed over the fields of the two, as
// CUE has it; of what may be an object in another way nothing is said.
func both(a, b jsonSchema) jsonSchema {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0 || same(a, b):
		return a
	case a["properties"] != nil || b["properties"] != nil || a["type"] == "object" || b["type"] == "object":
		return jsonSchema{}
	case a["type"] == "array" || b["type"] == "array" || a["anyOf"] != nil || b["anyOf"] != nil:
		return jsonSchema{}
	}
	out := maps.Clone(a)
	for word, v := range b {
		before, twice := out[word]
		switch {
		case !twice, word == "description", word == "default", same(before, v):
			out[word] = v
		case word == "type" && (before == "number" && v == "integer" || before == "integer" && v == "number"):
			out[word] = "integer"
		case word == "minimum":
			out[word] = max(before.(float64), v.(float64))
		case word == "maximum":
			out[word] = min(before.(float64), v.(float64))
		default:
			return jsonSchema{"allOf": []any{a, b}}
		}
	}
	return out
}

func same(a, b any) bool {
	x, _ := json.Marshal(a) // maps of what JSON has: no error
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// plainLiteral is a literal's value: text, a number that JSON writes alike, or a
// boolean.
func plainLiteral(e ast.Expr) (any, bool) {
	if u, ok := e.(*ast.UnaryExpr); ok && u.Op == token.SUB {
		v, _ := plainLiteral(u.X)
		f, ok := v.(float64)
		return -f, ok
	}
	x, ok := e.(*ast.BasicLit)
	if !ok {
		return nil, false
	}
	switch x.Kind {
	case token.TRUE, token.FALSE:
		return x.Kind == token.TRUE, true
	case token.STRING:
		text, err := literal.Unquote(x.Value)
		return text, err == nil
	case token.INT, token.FLOAT:
		var v float64
		err := json.Unmarshal([]byte(x.Value), &v)
		return v, err == nil && v <= 1<<53
	}
	return nil, false
}

// commonPattern is a regular expression of Go's (RE2) in words that JavaScript's, which
// editors use, take in the same sense. It says no where it is not sure.
func commonPattern(re string) (string, bool) {
	const blanks = `\t\n\f\r ` // of \s in RE2; in JavaScript it is more
	var b strings.Builder
	inside := false
	for i := 0; i < len(re); i++ {
		c, rest := re[i], re[i+1:]
		switch {
		case c >= 0x7f || c < ' ':
			return "", false
		case c == '\\':
			if rest == "" {
				return "", false
			}
			i++
			switch e := rest[0]; {
			case e == 's' && inside && !strings.HasPrefix(rest[1:], "-"):
				b.WriteString(blanks)
			case e == 's' && !inside:
				b.WriteString("[" + blanks + "]")
			case e == 'S' && !inside:
				b.WriteString("[^" + blanks + "]")
			case strings.IndexByte("dDwW", e) >= 0 && !(inside && strings.HasPrefix(rest[1:], "-")),
				strings.IndexByte(`tnfr.[](){}*+?^$|\/`, e) >= 0, e == '-' && inside, e == 'b' && !inside:
				b.WriteString(`\` + string(e))
			default:
				return "", false
			}
		case inside:
			if c == '[' || c == ']' && strings.HasSuffix(b.String(), "[") || c == '-' && rest != "" && rest[0] == '\\' {
				return "", false
			}
			inside = c != ']'
			b.WriteByte(c)
		case c == '[':
			inside = true
			b.WriteByte(c)
			if strings.HasPrefix(rest, "^") {
				b.WriteByte('^')
				i++
			}
			if i+1 < len(re) && re[i+1] == ']' { // RE2 takes it for itself
				return "", false
			}
		case c == '(' && strings.HasPrefix(rest, "?") && !strings.HasPrefix(rest, "?:"), c == ']', c == '}':
			return "", false
		case c == '{':
			times := repeat.FindString(re[i:])
			if times == "" {
				return "", false
			}
			b.WriteString(times)
			i += len(times) - 1
		case c == '.':
			b.WriteString(`[^\n]`)
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), !inside
}

var repeat = regexp.MustCompile(`^\{[0-9]+(,[0-9]*)?\}`)
