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
	"sync"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"github.com/setpoint-net/setpoint/models"
)

// recycleAfter is how many evaluations one CUE context serves: what it interns
// is freed with it alone.
const recycleAfter = 2000

// maxKindBytes bounds what one evaluation may bring forth.
const maxKindBytes = 16 << 20

// kinds are the kinds that documents may be of: the definitions with an
// openconfig, of the library and of the repo's own kinds/*.cue, which override
// the library's by name. It is read-only, but for the evaluators that wait in it.
type kinds struct {
	files []source // the repo's own
	own   []string // the definitions in them
	names []string // sorted
	// broken files could not be compiled; no kind can be evaluated then, and
	// the documents of kinds they may define are left alone.
	broken bool
	sum    sum // of files
	views  map[string]view

	mu   sync.Mutex
	idle []*evaluator
}

// loadKinds compiles the kinds once, for their mistakes and their names.
func loadKinds(files []source, l *ledger) *kinds {
	k := &kinds{files: files, names: libraryNames()}
	var s summing
	for _, f := range files {
		s.text(f.name)
		s.text(string(f.data))
	}
	k.sum, k.views = s.done(), viewsOf(files)
	if len(files) == 0 {
		return k
	}
	for _, f := range files {
		parsed, err := parser.ParseFile(f.name, f.data)
		k.broken = cueMistakes(err, f.name, l) || k.broken
		if err == nil {
			k.broken = !checkFile(parsed, f.name, l) || k.broken
			k.own = append(k.own, declared(parsed)...)
		}
	}
	if k.broken {
		k.names = slices.Compact(slices.Sorted(slices.Values(append(k.names, k.own...))))
		return k
	}
	e, err := newEvaluator(k)
	if err != nil {
		k.broken = cueMistakes(err, files[0].name, l)
		return k
	}
	k.names = nil
	for name, def := range e.kinds {
		k.names = append(k.names, name)
		at := cuePlace(def.Pos(), files[0].name)
		if slices.Contains([]string{"Device", "Group", "Link", "DriftPolicy"}, name) || slices.Contains(laterKinds, name) {
			l.at(at, codeKindName, "kind #%s has the name of one of setpoint's own documents", name)
		}
		for _, part := range []string{"spec", "device"} {
			if !def.LookupPath(cue.ParsePath(part)).Exists() {
				l.add(mistake{at: at, code: codeKindShape, msg: fmt.Sprintf("kind #%s has no %s", name, part), hint: "a kind is #Name: {spec: {…}, device: {…}, openconfig: {…}}"})
				k.broken = true
			}
		}
	}
	slices.Sort(k.names)
	return k
}

// borrow gives an evaluator to one goroutine, nil when there is none to be had.
func (k *kinds) borrow() *evaluator {
	k.mu.Lock()
	n := len(k.idle) - 1
	if n >= 0 {
		defer k.mu.Unlock()
		e := k.idle[n]
		k.idle = k.idle[:n]
		return e
	}
	k.mu.Unlock()
	// Compiled before without mistakes; an error would show as documents that
	// could not be evaluated.
	e, _ := newEvaluator(k)
	return e
}

// giveBack takes an evaluator that borrow gave; nil is none.
func (k *kinds) giveBack(e *evaluator) {
	if e == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.idle = append(k.idle, e)
}

// mayDefine tells whether a broken file mentions a kind.
func (k *kinds) mayDefine(kind string) bool {
	return k.broken && slices.ContainsFunc(k.files, func(f source) bool { return bytes.Contains(f.data, []byte("#"+kind)) })
}

// checkFile holds a kind's file to package kinds and to CUE's own packages:
// whatever else it imported would have to come from somewhere.
func checkFile(f *ast.File, name string, l *ledger) bool {
	ok := true
	if pkg := f.PackageName(); pkg != "kinds" {
		ok = false
		l.add(mistake{at: place{name, 1, 1}, code: codeKindPackage, msg: fmt.Sprintf("package is %q", pkg), hint: "begin the file with: package kinds"})
	}
	for spec := range f.ImportSpecs() {
		path, err := strconv.Unquote(spec.Path.Value)
		first, _, _ := strings.Cut(path, "/")
		if err != nil || strings.ContainsAny(first, ".:@") || first == "tool" {
			ok = false
			l.add(mistake{at: cuePlace(spec.Pos(), name), code: codeKindImport, msg: fmt.Sprintf("import of %s: a kind may import CUE's own packages alone", spec.Path.Value), hint: "such as strings, list, net, math, strconv, regexp"})
		}
	}
	return ok
}

// declared are the definitions of a file that may be kinds.
func declared(f *ast.File) []string {
	var out []string
	for _, decl := range f.Decls {
		if field, ok := decl.(*ast.Field); ok {
			if name, _, err := ast.LabelName(field.Label); err == nil && strings.HasPrefix(name, "#") {
				out = append(out, name[1:])
			}
		}
	}
	return out
}

func cuePlace(p token.Pos, file string) place {
	if !p.IsValid() || p.Filename() == "" {
		return place{file: file}
	}
	return place{p.Filename(), p.Line(), p.Column()}
}

// cueMistakes records what is wrong with the kinds' own text.
func cueMistakes(err error, file string, l *ledger) bool {
	for _, e := range errors.Errors(err) {
		at := place{file: file}
		for _, p := range errors.Positions(e) {
			if p.IsValid() && p.Filename() != "" {
				at = cuePlace(p, file)
				break
			}
		}
		l.at(at, codeKindSyntax, "%s", cueText(e))
	}
	return err != nil
}

func cueText(e errors.Error) string {
	format, args := e.Msg()
	return cut(strings.TrimSpace(fmt.Sprintf(format, args...)), 400)
}

// evaluator evaluates kinds in this process, one at a time. It is the seam for a
// worker process with a memory limit and a deadline: it takes values and gives
// values, and CUE stays behind it. CUE can't be cancelled, so a kind that
// doesn't end holds its evaluator; contexts are checked between evaluations.
type evaluator struct {
	from  *kinds
	ctx   *cue.Context
	kinds map[string]cue.Value
	specs map[*requestDoc]cue.Value // kinds with a document's spec filled in
	used  int
}

func newEvaluator(k *kinds) (*evaluator, error) {
	e := &evaluator{from: k}
	return e, e.reset()
}

// reset begins with a fresh CUE context. The files are parsed again because
// compiling resolves names inside the syntax tree.
func (e *evaluator) reset() error {
	e.ctx, e.used = cuecontext.New(), 0
	e.kinds, e.specs = make(map[string]cue.Value), make(map[*requestDoc]cue.Value)
	inst := build.NewContext().NewInstance("", nil)
	inst.PkgName = "kinds"
	for _, f := range e.from.files {
		parsed, err := parser.ParseFile(f.name, f.data, parser.ParseComments)
		if err != nil {
			return err
		}
		if err := inst.AddSyntax(parsed); err != nil {
			return err
		}
	}
	for _, f := range libraryFiles() {
		parsed, err := parser.ParseFile(f.name, f.data, parser.ParseComments)
		if err != nil {
			return err
		}
		without(parsed, e.from.own)
		if err := inst.AddSyntax(parsed); err != nil {
			return err
		}
	}
	if err := inst.Complete(); err != nil {
		return err
	}
	v := e.ctx.BuildInstance(inst)
	if err := v.Err(); err != nil {
		return err
	}
	if err := v.Validate(); err != nil {
		return err
	}
	it, err := v.Fields(cue.Definitions(true))
	if err != nil {
		return err
	}
	for it.Next() {
		if name, ok := strings.CutPrefix(it.Selector().String(), "#"); ok && it.Value().LookupPath(openconfigPath).Exists() {
			e.kinds[name] = it.Value()
		}
	}
	return nil
}

var (
	specPath       = cue.ParsePath("spec")
	devicePath     = cue.ParsePath("device")
	openconfigPath = cue.ParsePath("openconfig")
)

// evaluate is the fragment that a document brings to a device, nil when there
// are mistakes. Its values all have the place of the document's spec.
func (e *evaluator) evaluate(r *requestDoc, name models.DeviceName, device map[string]any) (out *node, list []mistake) {
	q := &question{request: r, device: name, kind: e.kinds[r.kind]}
	defer func() {
		// CUE panics on some inputs that it should refuse. The documents come
		// from outside: that is their mistake, not the end of the service.
		if p := recover(); p != nil {
			q.add(r.specAt, codeKindCrash, fmt.Sprintf("kind %s can't be evaluated: CUE gave up: %s", r.kind, cut(fmt.Sprint(p), 200)), "")
			out, list = nil, q.mistakes
			e.used = recycleAfter
		}
	}()
	if e.used++; e.used > recycleAfter {
		if err := e.reset(); err != nil {
			q.explain(err)
			return nil, q.mistakes
		}
	}
	v, ok := e.specs[r]
	if !ok {
		v = e.kinds[r.kind].FillPath(specPath, r.value)
		e.specs[r] = v
	}
	q.unknown(e.kinds[r.kind].LookupPath(specPath), r.spec, "spec")
	if len(q.mistakes) > 0 {
		return nil, q.mistakes
	}
	v = v.FillPath(devicePath, admitted(v.LookupPath(devicePath), device))
	for _, part := range []cue.Path{specPath, devicePath, openconfigPath} {
		if q.explain(v.LookupPath(part).Validate(cue.Concrete(true), cue.All())); len(q.mistakes) > 0 {
			return nil, q.mistakes
		}
	}
	data, err := v.LookupPath(openconfigPath).MarshalJSON()
	if err != nil {
		q.explain(err)
		return nil, q.mistakes
	}
	if len(data) > maxKindBytes {
		q.add(r.specAt, codeKindSize, fmt.Sprintf("kind %s brings forth %d bytes: one document may bring %d to a device", r.kind, len(data), maxKindBytes), "")
		return nil, q.mistakes
	}
	out, err = fromJSON(data, r.specAt)
	if err != nil {
		q.explain(err)
	}
	return out, q.mistakes
}

// question is one evaluation's mistakes.
type question struct {
	request  *requestDoc
	kind     cue.Value
	device   models.DeviceName
	mistakes []mistake
}

func (q *question) add(at place, code models.Code, msg, hint string) {
	q.mistakes = append(q.mistakes, mistake{at: at, code: code, msg: msg, hint: hint, device: q.device})
}

// unknown finds the fields of a spec that its kind does not have. CUE reports
// them only when nothing else is wrong, and without a near name.
func (q *question) unknown(v cue.Value, n *node, path string) {
	for i, item := range n.items {
		q.unknown(v.LookupPath(cue.MakePath(cue.AnyIndex)), item, fmt.Sprintf("%s.%d", path, i))
	}
	for _, f := range n.fields {
		if v.IncompleteKind() == cue.StructKind && !v.Allows(cue.Str(f.name)) {
			hint := didYouMean(f.name, fieldNames(v))
			q.mistakes = append(q.mistakes, mistake{at: f.at, code: codeSpecField, msg: fmt.Sprintf("%s of kind %s has no field %q", path, q.request.kind, cut(f.name, 64)), hint: hint})
			continue
		}
		q.unknown(v.LookupPath(cue.MakePath(cue.Str(f.name).Optional())), f.value, path+"."+f.name)
	}
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

// explain brings CUE's errors home: to the field of the document that they
// speak of, and second to the place in the kind.
func (q *question) explain(err error) {
	list := errors.Errors(err)
	for i := 0; i < len(list); i++ {
		e := list[i]
		path := e.Path()
		if len(path) > 0 && strings.HasPrefix(path[0], "#") {
			path = path[1:]
		}
		msg := cueText(e)
		if strings.Contains(msg, "errors in empty disjunction") {
			var wanted []string
			from := i
			given := q.given(path)
			for i+1 < len(list) && slices.Equal(list[i+1].Path(), e.Path()) {
				i++
				if w := wantedBy(list[i], given); w != given {
					wanted = append(wanted, w)
				}
			}
			wanted = slices.Compact(wanted)
			msg = "fits none of " + strings.Join(wanted, ", ")
			if i > from {
				e = list[from+1]
			}
		}
		q.one(path, msg, e)
	}
}

// given is the document's value that CUE speaks of, as CUE would print it.
func (q *question) given(path []string) string {
	if len(path) == 0 || path[0] != "spec" {
		return ""
	}
	if n, missing := descend(q.request.spec, path[1:]); !missing && n.scalar() {
		return n.brief()
	}
	return ""
}

// wantedBy is what a failed branch of a disjunction asked for, instead of what
// was given.
func wantedBy(e errors.Error, given string) string {
	format, args := e.Msg()
	if strings.HasPrefix(format, "conflicting values %s and %s") && len(args) >= 2 {
		if first := fmt.Sprint(args[0]); first != given {
			return first
		}
		return fmt.Sprint(args[1])
	}
	if _, bound, ok := strings.Cut(cueText(e), "(out of bound "); ok {
		return strings.TrimSuffix(bound, ")")
	}
	return cueText(e)
}

func (q *question) one(path []string, msg string, e errors.Error) {
	r := q.request
	at, where, code := r.specAt, strings.Join(path, "."), codeKindFailed
	if len(path) == 0 {
		path = []string{""}
	}
	kindAt := ""
	for _, p := range errors.Positions(e) {
		if p.IsValid() && strings.HasSuffix(p.Filename(), ".cue") {
			kindAt = fmt.Sprintf(" (%s)", cuePlace(p, ""))
			break
		}
	}
	hint := ""
	switch path[0] {
	case "spec":
		code = codeSpec
		n, missing := descend(r.spec, path[1:])
		if n != nil {
			at = n.at
		}
		hint = fieldDoc(q.kind, path)
		if missing && strings.Contains(msg, "incomplete value") {
			msg = "is missing: " + strings.TrimPrefix(msg, "incomplete value ")
		} else if n != nil && n.scalar() && strings.HasPrefix(msg, "fits none") {
			msg = n.brief() + " " + msg
		} else if said, how, ok := mistyped(n, msg); ok {
			msg, hint = said, cmp.Or(how, hint)
		}
	case "device":
		code = codeKindDevice
		hint = fieldDoc(q.kind, path)
		if strings.Contains(msg, "incomplete value") {
			msg = fmt.Sprintf("the device has none, and the kind needs it: %s", strings.TrimPrefix(msg, "incomplete value "))
			hint = "set it in the device's document or in a group"
		}
	default:
		if n := quotedBy(r.spec, msg); n != nil {
			at, code = n.at, codeSpec
		}
		where = ""
	}
	if i := strings.Index(msg, " (out of bound =~"); i > 0 && hint != "" {
		msg = strings.TrimPrefix(msg[:i], "invalid value ") + " has not the form that is asked for"
	}
	if where != "" {
		where += ": "
	}
	q.add(at, code, fmt.Sprintf("kind %s: %s%s%s", r.kind, where, msg, kindAt), hint)
}

// fieldDoc is what a kind says of a field, or of the list that it is an item of,
// on one line.
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

// quotedBy is the scalar of a document that a kind's own error quotes, nil when
// there is none: the value that a person changes to mend it.
func quotedBy(n *node, msg string) *node {
	if n.shape == text && n.text != "" && strings.Contains(msg, strconv.Quote(n.text)) {
		return n
	}
	for _, f := range n.fields {
		if found := quotedBy(f.value, msg); found != nil {
			return found
		}
	}
	for _, item := range n.items {
		if found := quotedBy(item, msg); found != nil {
			return found
		}
	}
	return nil
}

// descend follows CUE's path into a document; missing when it ends before the
// path does, at the nearest node above.
func descend(n *node, path []string) (at *node, missing bool) {
	for _, p := range path {
		if s, err := strconv.Unquote(p); err == nil {
			p = s
		}
		next := n.get(p)
		if i, err := strconv.Atoi(p); next == nil && err == nil && n.shape == sequence && i >= 0 && i < len(n.items) {
			next = n.items[i]
		}
		if next == nil {
			return n, true
		}
		n = next
	}
	return n, false
}

// admitted is the part of the device's input that a kind declares. A definition
// is closed, and a kind that needs a name need not list whatever else a device
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
	n, err := jsonValue(d, at)
	if err != nil {
		return nil, fmt.Errorf("read the kind's output: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("read the kind's output: more than one value")
	}
	return n, nil
}

func jsonValue(d *json.Decoder, at place) (*node, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
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
			v, err := jsonValue(d, at)
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
