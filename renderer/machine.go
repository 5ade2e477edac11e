package renderer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"github.com/setpoint-net/setpoint/models/tree"
)

const (
	// recycleAfter is how many evaluations one CUE context serves: what it
	// interns is freed with it alone.
	recycleAfter = 2000

	// maxOutput bounds what one evaluation may bring forth, in bytes.
	maxOutput = 16 << 20

	// maxComplaints bounds how much one evaluation may complain.
	maxComplaints = 1000

	// maxJSONDepth bounds how deep the values are that a program takes and
	// gives.
	maxJSONDepth = 200

	// maxPrograms is how many programs a machine keeps compiled.
	maxPrograms = 4
)

// machine answers questions, one at a time: it is all of CUE that there is. Its
// zero value is ready.
type machine struct {
	compiled map[string]*compiled // by the program's id
}

// answer answers. Whatever is wrong with the program or its inputs is in the
// answer; CUE's own panics as well, for it panics on some inputs that it should
// refuse, and those come from outside.
func (m *machine) answer(p *Program, data []byte, step func(string)) (out []byte) {
	defer func() {
		if r := recover(); r != nil {
			delete(m.compiled, p.id)
			a := answer{Complaints: []complaint{{Sort: gaveUp, Text: cut(fmt.Sprint(r), 200)}}}
			out = a.encode()
		}
	}()
	q, err := decodeQuestion(data)
	if err != nil {
		return refusal(err)
	}
	var s programSource
	c := m.compiled[p.id]
	if c == nil || q.Definition == "" {
		if err := json.Unmarshal(p.source, &s); err != nil {
			return refusal(fmt.Errorf("read a program: %w", err))
		}
	}
	if q.Definition == "" {
		return s.describe(q, step).encode()
	}
	if c == nil || c.used >= recycleAfter {
		if c == nil {
			c = &compiled{source: s}
		}
		if err := c.compile(); err != nil {
			a := answer{Complaints: complaintsOf(err, nil)}
			return a.encode()
		}
		if m.compiled == nil || len(m.compiled) >= maxPrograms {
			m.compiled = make(map[string]*compiled)
		}
		m.compiled[p.id] = c
	}
	return c.evaluate(q).encode()
}

// refusal answers what is no question: a fault of ours, told as a crash.
func refusal(err error) []byte {
	a := answer{Complaints: []complaint{{Sort: gaveUp, Text: err.Error()}}}
	return a.encode()
}

// compiled is a program in a CUE context.
type compiled struct {
	source programSource
	value  cue.Value
	filled map[string]cue.Value // definitions with their first inputs filled in
	used   int
}

// compile begins with a fresh CUE context. The files are parsed again because
// compiling resolves names inside the syntax tree.
func (c *compiled) compile() error {
	files, err := c.source.parse(nil)
	if err != nil {
		return err
	}
	v, err := buildFiles(c.source.Package, files)
	if err != nil {
		return err
	}
	if err := v.Validate(); err != nil {
		return err
	}
	c.value, c.filled, c.used = v, make(map[string]cue.Value), 0
	return nil
}

// parse gives the program's files without some of its own definitions, and the
// library's without what its own take the place of.
func (s *programSource) parse(drop []string) ([]*ast.File, error) {
	var files []*ast.File
	var own []string
	for _, f := range s.Files {
		parsed, err := parser.ParseFile(f.Name, f.Data, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		without(parsed, drop)
		files = append(files, parsed)
		own = append(own, declared(parsed)...)
	}
	for _, f := range s.Library {
		parsed, err := parser.ParseFile(f.Name, f.Data, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		without(parsed, own)
		files = append(files, parsed)
	}
	return files, nil
}

// buildFiles makes one CUE instance of files.
func buildFiles(pkg string, files []*ast.File) (cue.Value, error) {
	inst := build.NewContext().NewInstance("", nil)
	inst.PkgName = pkg
	for _, f := range files {
		if err := inst.AddSyntax(f); err != nil {
			return cue.Value{}, err
		}
	}
	if err := inst.Complete(); err != nil {
		return cue.Value{}, err
	}
	v := cuecontext.New().BuildInstance(inst)
	return v, v.Err()
}

func definitionPath(name string) cue.Path { return cue.MakePath(cue.Def(name)) }

func fieldPath(name string) cue.Path { return cue.MakePath(cue.Str(name)) }

// evaluate is the definition's output for the inputs.
func (c *compiled) evaluate(q *question) *answer {
	c.used++
	def := c.value.LookupPath(definitionPath(q.Definition))
	v, refused := c.fill(def, q)
	if refused != nil {
		return refused
	}
	parts := append(fieldsOf(q.Inputs), q.Output)
	for _, part := range parts {
		if list := complaintsOf(v.LookupPath(fieldPath(part)).Validate(cue.Concrete(true), cue.All()), &def); len(list) > 0 {
			return &answer{Complaints: refined(list, v, def)}
		}
	}
	data, err := v.LookupPath(fieldPath(q.Output)).MarshalJSON()
	if err != nil {
		return &answer{Complaints: complaintsOf(err, &def)}
	}
	if len(data) > maxOutput {
		return &answer{Complaints: []complaint{{Sort: tooLarge, Text: strconv.Itoa(len(data))}}}
	}
	return &answer{value: data}
}

func fieldsOf(list []input) []string {
	var out []string
	for _, in := range list {
		out = append(out, in.Field)
	}
	return out
}

// fill gives the definition its inputs. All but the last are kept filled in:
// questions come with the same ones again.
func (c *compiled) fill(def cue.Value, q *question) (cue.Value, *answer) {
	v, key := def, q.Definition
	for i, in := range q.Inputs {
		key += "\x00" + in.Field + "\x00" + string(in.value)
		if known, ok := c.filled[key]; ok {
			v = known
			continue
		}
		n, err := fromJSON(in.value, place{})
		if err != nil {
			return v, &answer{Complaints: []complaint{{Sort: gaveUp, Text: err.Error()}}}
		}
		at := fieldPath(in.Field)
		if in.Closed {
			if list := unknownFields(def.LookupPath(at), n, []string{in.Field}); len(list) > 0 {
				return v, &answer{Complaints: list}
			}
		}
		value := plainValue(n)
		if in.Trim {
			value = admitted(v.LookupPath(at), value)
		}
		v = v.FillPath(at, value)
		if i < len(q.Inputs)-1 {
			c.filled[key] = v
		}
	}
	return v, nil
}

// unknownFields are the fields of n that v does not have. CUE reports them only
// when nothing else is wrong, and without a near name.
func unknownFields(v cue.Value, n *node, path []string) []complaint {
	var out []complaint
	at := func(step string) []string { return append(path[:len(path):len(path)], step) }
	for i, item := range n.items {
		out = append(out, unknownFields(v.LookupPath(cue.MakePath(cue.AnyIndex)), item, at(strconv.Itoa(i)))...)
	}
	for _, f := range n.fields {
		if !admits(v, f.name) {
			out = append(out, complaint{Sort: unknownField, Path: path, Text: f.name, Known: fieldNames(v)})
			continue
		}
		out = append(out, unknownFields(v.LookupPath(cue.MakePath(cue.Str(f.name).Optional())), f.value, at(f.name))...)
	}
	return out[:min(len(out), maxComplaints)]
}

// admits tells whether a struct may have a field. One with an "if" that hangs on a
// field which is not given can't say yet: there a name that is near another is a
// slip, and any other is left to the evaluation.
func admits(v cue.Value, name string) bool {
	switch v.IncompleteKind() {
	case cue.StructKind:
		return v.Allows(cue.Str(name))
	case cue.BottomKind:
		names := fieldNames(v)
		return slices.Contains(names, name) || tree.Near(name, names) == ""
	}
	return true
}

// refined puts better complaints in the place of two of CUE's: of a field that is
// not allowed, which says no near name, and of an "if" that hangs on a field which is
// not given, which says no field.
func refined(list []complaint, v, def cue.Value) []complaint {
	var out []complaint
	for _, c := range list {
		last := len(c.Path) - 1
		switch {
		case c.Text == "field not allowed" && last > 0:
			name := c.Path[last]
			if s, err := strconv.Unquote(name); err == nil {
				name = s
			}
			out = append(out, complaint{Sort: unknownField, Path: c.Path[:last], Text: name, Known: fieldNames(within(def, c.Path[:last]))})
		case last == 0 && strings.HasPrefix(c.Text, "unresolved disjunction"):
			missing := lacking(v.LookupPath(fieldPath(c.Path[0])), &def)
			if len(missing) == 0 {
				missing = []complaint{c}
			}
			out = append(out, missing...)
		default:
			out = append(out, c)
		}
	}
	return out[:min(len(out), maxComplaints)]
}

// lacking are complaints of the fields of a struct that have to be given and are
// not.
func lacking(v cue.Value, def *cue.Value) []complaint {
	var out []complaint
	it, err := v.Fields()
	for err == nil && it.Next() {
		if it.Selector().LabelType() == cue.StringLabel {
			out = append(out, complaintsOf(it.Value().Validate(cue.Concrete(true)), def)...)
		}
	}
	return out
}

// within follows an error's path into a definition.
func within(v cue.Value, path []string) cue.Value {
	for _, p := range path {
		sel := cue.Str(p).Optional()
		if _, err := strconv.Atoi(p); err == nil && v.IncompleteKind() == cue.ListKind {
			sel = cue.AnyIndex
		} else if s, err := strconv.Unquote(p); err == nil {
			sel = cue.Str(s).Optional()
		}
		v = v.LookupPath(cue.MakePath(sel))
	}
	return v
}

func fieldNames(v cue.Value) []string {
	var out []string
	it, err := v.Fields(cue.Optional(true))
	for err == nil && it.Next() {
		if sel := it.Selector(); sel.LabelType() == cue.StringLabel && v.Allows(cue.Str(sel.Unquoted())) {
			out = append(out, sel.Unquoted())
		}
	}
	return out
}

// complaintsOf are CUE's errors, of a definition's evaluation with def, or of the
// program's own text.
func complaintsOf(err error, def *cue.Value) []complaint {
	list := errors.Errors(err)
	out := make([]complaint, 0, min(len(list), maxComplaints))
	for _, e := range list[:min(len(list), maxComplaints)] {
		format, args := e.Msg()
		c := complaint{Path: e.Path(), Format: format, Text: cut(strings.TrimSpace(fmt.Sprintf(format, args...)), 400), At: firstPosition(e)}
		for _, a := range args[:min(len(args), 2)] {
			c.Args = append(c.Args, cut(fmt.Sprint(a), 400))
		}
		if def != nil {
			if len(c.Path) > 0 && strings.HasPrefix(c.Path[0], "#") {
				c.Path = c.Path[1:]
			}
			c.Doc = fieldDoc(*def, c.Path)
		}
		out = append(out, c)
	}
	return out
}

// firstPosition is where in the program's text an error is.
func firstPosition(e errors.Error) *position {
	for _, p := range errors.Positions(e) {
		if at := positionOf(p); at != nil {
			return at
		}
	}
	return nil
}

func positionOf(p token.Pos) *position {
	if !p.IsValid() || !strings.HasSuffix(p.Filename(), ".cue") {
		return nil
	}
	return &position{p.Filename(), p.Line(), p.Column()}
}

// fieldDoc is what a definition says of a field, or of the list that it is an item
// of, on one line.
func fieldDoc(v cue.Value, path []string) string {
	list := ""
	for _, p := range path {
		sel := cue.Str(p).Optional()
		if _, err := strconv.Atoi(p); err == nil && v.IncompleteKind() == cue.ListKind {
			sel, list = cue.AnyIndex, docOf(v)
		} else if s, err := strconv.Unquote(p); err == nil {
			sel = cue.Str(s).Optional()
		}
		if v = v.LookupPath(cue.MakePath(sel)); sel.LabelType() == cue.StringLabel {
			list = ""
		}
	}
	return cmp.Or(docOf(v), list)
}

func docOf(v cue.Value) string {
	for _, doc := range v.Doc() {
		if text := strings.TrimSpace(doc.Text()); text != "" {
			return cut(strings.Join(strings.Fields(text), " "), 200)
		}
	}
	return ""
}

// admitted is the part of an input that a definition declares. A definition is
// closed, and one that needs a device's name need not list whatever else a device
// may have.
func admitted(v cue.Value, in any) any {
	switch in := in.(type) {
	case map[string]any:
		if !v.Exists() || v.IncompleteKind() != cue.StructKind {
			return in
		}
		out := make(map[string]any, len(in))
		for k, value := range in {
			if v.Allows(cue.Str(k)) {
				out[k] = admitted(v.LookupPath(cue.MakePath(cue.Str(k).Optional())), value)
			}
		}
		return out
	case []any:
		elem := v.LookupPath(cue.MakePath(cue.AnyIndex))
		if !elem.Exists() {
			return in
		}
		out := make([]any, len(in))
		for i := range in {
			out[i] = admitted(elem, in[i])
		}
		return out
	}
	return in
}

// plainValue is a node as Go's any, for CUE.
func plainValue(n *node) any {
	if n == nil {
		return map[string]any{}
	}
	switch n.shape {
	case mapping:
		out := make(map[string]any, len(n.fields))
		for _, f := range n.fields {
			out[f.name] = plainValue(f.value)
		}
		return out
	case sequence:
		out := make([]any, len(n.items))
		for i, item := range n.items {
			out[i] = plainValue(item)
		}
		return out
	case integer:
		if v := n.number(); v != nil {
			if v.IsInt64() {
				return v.Int64()
			}
			return v
		}
	case float:
		if v, _, err := big.ParseFloat(n.text, 10, 200, big.ToNearestEven); err == nil {
			return v
		}
	case boolean:
		return strings.EqualFold(n.text, "true")
	case null:
		return nil
	}
	return n.text
}

// fromJSON reads JSON into nodes that all stand at one place.
func fromJSON(data []byte, at place) (*node, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	n, err := jsonValue(d, at, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one value")
	}
	return n, nil
}

func jsonValue(d *json.Decoder, at place, depth int) (*node, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxJSONDepth {
		return nil, fmt.Errorf("nested more than %d deep", maxJSONDepth)
	}
	n := &node{at: at, quoted: true}
	switch t := t.(type) {
	case json.Delim:
		if t == '{' {
			n.shape = mapping
		} else {
			n.shape = sequence
		}
		for d.More() {
			name := ""
			if n.shape == mapping {
				key, err := d.Token()
				if err != nil {
					return nil, err
				}
				name, _ = key.(string)
			}
			v, err := jsonValue(d, at, depth+1)
			if err != nil {
				return nil, err
			}
			if n.shape == mapping {
				n.fields = append(n.fields, field{name, at, v})
			} else {
				n.items = append(n.items, v)
			}
		}
		_, err := d.Token()
		return n, err
	case string:
		n.shape, n.text = text, t
	case json.Number:
		n.shape, n.text = integer, t.String()
		if strings.ContainsAny(n.text, ".eE") {
			n.shape = float
		}
	case bool:
		n.shape, n.text = boolean, strconv.FormatBool(t)
	case nil:
		n.shape = null
	}
	return n, nil
}
