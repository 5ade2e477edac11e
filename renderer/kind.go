package renderer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/setpoint-net/setpoint/models"
)

// The parts of a kind.
const (
	specPart       = "spec"
	devicePart     = "device"
	openconfigPart = "openconfig"
)

// kinds are the kinds that documents may be of: the definitions with an
// openconfig, of the library and of the repo's own kinds/*.cue, which override
// the library's by name.
type kinds struct {
	*Renderer
	program   *Program
	files     []source // the repo's own
	described []definition
	names     []string // sorted
	// broken files could not be compiled; no kind can be evaluated then, and
	// the documents of kinds they may define are left alone.
	broken  bool
	overrun bool // because they ran into a limit
	sum     sum  // of files
	views   map[string]view
}

// libraryProgram is the kinds of a repo without any of its own.
var libraryProgram = sync.OnceValue(func() *Program { return newProgram("kinds", nil, libraryFiles()) })

// compile reads the repo's kinds, for their mistakes and their names. An error is
// the Evaluator's or ctx's.
func (r *Renderer) compile(ctx context.Context, files []source, l *ledger) (*kinds, error) {
	k := &kinds{Renderer: r, files: files, names: slices.Clone(libraryNames()), program: libraryProgram()}
	var s summing
	for _, f := range files {
		s.text(f.name)
		s.text(string(f.data))
	}
	k.sum, k.views = s.done(), maps.Clone(libraryViews())
	if len(files) == 0 {
		return k, nil
	}
	k.program = newProgram("kinds", files, libraryFiles())
	if err := k.describe(ctx, l); err != nil {
		return nil, err
	}
	for _, d := range k.described {
		if d.Own && k.broken {
			k.names = append(k.names, d.Name)
		}
	}
	if k.broken {
		slices.Sort(k.names)
		k.names = slices.Compact(k.names)
		return k, nil
	}
	k.names = nil
	for _, d := range k.described {
		if d.Own {
			k.views[d.Name] = d.Sees
		}
		if slices.Contains(d.Has, openconfigPart) {
			k.names = append(k.names, d.Name)
			k.check(d, l)
		}
	}
	return k, nil
}

// check holds a kind to its shape.
func (k *kinds) check(d definition, l *ledger) {
	if slices.Contains(documentKinds, d.Name) {
		l.at(d.At.place(), codeKindName, "kind #%s has the name of one of setpoint's own documents", d.Name)
	}
	for _, part := range []string{specPart, devicePart} {
		if !slices.Contains(d.Has, part) {
			l.add(mistake{at: d.At.place(), code: codeKindShape, msg: fmt.Sprintf("kind #%s has no %s", d.Name, part), hint: "a kind is #Name: {spec: {…}, device: {…}, openconfig: {…}}"})
			k.broken = true
		}
	}
}

// describe asks what definitions there are. Kinds that are too much for the
// Evaluator even so are asked about one by one, to find which.
func (k *kinds) describe(ctx context.Context, l *ledger) error {
	q := &question{Parts: []string{specPart, devicePart}, Output: openconfigPart}
	a, err := k.ask(ctx, k.program, q)
	var over *LimitError
	if errors.As(err, &over) {
		q.Slow = true
		a, err = k.ask(ctx, k.program, q)
	}
	if len(k.files) > 0 && errors.As(err, &over) {
		k.broken, k.overrun = true, true
		l.add(k.atStep(over))
		return nil
	}
	if err != nil {
		return fmt.Errorf("compile the kinds: %w", err)
	}
	for _, c := range a.Complaints {
		k.broken = true
		l.add(k.mistake(c))
	}
	k.described, err = decodeDescription(a.value)
	return err
}

// mistake is a complaint about the kinds' own text.
func (k *kinds) mistake(c complaint) mistake {
	m := mistake{at: place{file: k.files[0].name}, code: codeKindSyntax, msg: c.Text}
	if c.At != nil {
		m.at = c.At.place()
	}
	switch c.Sort {
	case otherPackage:
		m.code, m.msg, m.hint = codeKindPackage, fmt.Sprintf("package is %q", c.Text), "begin the file with: package kinds"
	case foreignImport:
		m.code, m.msg = codeKindImport, fmt.Sprintf("import of %s: a kind may import CUE's own packages alone", c.Text)
		m.hint = "such as strings, list, net, math, strconv, regexp"
	case sharedHelper:
		m.code, m.msg = codeKindHelper, fmt.Sprintf("#%s would take the place of the library's, which its kinds %s use", c.Text, strings.Join(c.Known, ", "))
		m.hint = fmt.Sprintf("give it another name, or have kinds of your own in their place: setpoint kinds --eject %s", c.Known[0])
	case gaveUp:
		m.code, m.msg = codeKindCrash, "the kinds can't be compiled: CUE gave up: "+c.Text
	}
	return m
}

// atStep is the mistake of kinds that can't even be compiled within the limits.
func (k *kinds) atStep(over *LimitError) mistake {
	m := mistake{at: place{file: k.files[0].name}, code: over.code(), hint: over.hint()}
	s := decodeStep(over.Step)
	if s.At.File != "" {
		m.at = s.At.place()
	}
	m.msg = fmt.Sprintf("the file %s before any document asked for a kind", over.Text)
	if s.Name != "" {
		m.msg = fmt.Sprintf("#%s %s before any document asked for it", s.Name, over.Text)
	}
	return m
}

// code is the code of a mistake about a limit.
func (e *LimitError) code() models.Code {
	switch e.Limit {
	case OverTime:
		return codeKindTime
	case OverMemory:
		return codeKindMemory
	case OverDepth:
		return codeKindDepth
	}
	return codeKindCrash
}

func (e *LimitError) hint() string {
	switch e.Limit {
	case OverTime, OverMemory:
		return "look for wide ranges, and for lists over lists"
	case OverDepth:
		return "look for a definition that refers to itself"
	}
	return ""
}

// mayDefine tells whether a broken file mentions a kind.
func (k *kinds) mayDefine(kind string) bool {
	return k.broken && slices.ContainsFunc(k.files, func(f source) bool { return bytes.Contains(f.data, []byte("#"+kind)) })
}

// evaluate is the fragment that a document brings to a device, nil when there are
// mistakes. Its values all have the place of the document's spec. An error that is
// no *LimitError ends the rendering.
func (k *kinds) evaluate(ctx context.Context, r *requestDoc, s *subject, device []byte) (*node, []mistake, error) {
	a, err := k.ask(ctx, k.program, &question{
		Definition: r.kind,
		Inputs:     []input{{Field: specPart, Closed: true, value: r.value}, {Field: devicePart, Trim: true, value: device}},
		Output:     openconfigPart,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("evaluate kind %s: %w", r.kind, err)
	}
	e := &explanation{request: r, device: s}
	if e.explain(a.Complaints); len(e.mistakes) > 0 {
		return nil, e.mistakes, nil
	}
	root, err := fromJSON(a.value, r.specAt)
	if err != nil {
		e.add(r.specAt, codeKindSize, fmt.Sprintf("kind %s brings forth what can't be used: %v", r.kind, err), "")
	}
	return root, e.mistakes, nil
}

// explanation brings complaints about one evaluation home: to the field of the
// document that they speak of, or the var of the device or its links, and second to
// the place in the kind.
type explanation struct {
	request  *requestDoc
	device   *subject
	mistakes []mistake
}

func (e *explanation) add(at place, code models.Code, msg, hint string) {
	e.mistakes = append(e.mistakes, mistake{at: at, code: code, msg: msg, hint: hint, device: e.device.Name})
}

func (e *explanation) explain(list []complaint) {
	r := e.request
	for i := 0; i < len(list); i++ {
		c := list[i]
		switch c.Sort {
		case unknownField:
			e.unknown(c)
			continue
		case tooLarge:
			e.add(r.specAt, codeKindSize, fmt.Sprintf("kind %s brings forth %s bytes: one document may bring %d to a device", r.kind, c.Text, maxOutput), "")
			continue
		case gaveUp:
			e.add(r.specAt, codeKindCrash, fmt.Sprintf("kind %s can't be evaluated: CUE gave up: %s", r.kind, c.Text), "")
			continue
		}
		msg, path := c.Text, c.Path
		if strings.Contains(msg, "errors in empty disjunction") {
			var wanted []string
			from := i
			given := e.given(path)
			for i+1 < len(list) && slices.Equal(list[i+1].Path, path) {
				i++
				if w := wantedBy(list[i], given); w != given {
					wanted = append(wanted, w)
				}
			}
			wanted = slices.Compact(wanted)
			msg = "fits none of " + strings.Join(wanted, ", ")
			if i > from {
				c = list[from+1]
			}
		}
		e.one(path, msg, c)
	}
}

// unknown reports a field that the kind does not have, at that field.
func (e *explanation) unknown(c complaint) {
	at := e.request.specAt
	n, _ := descend(e.request.spec, c.Path[1:])
	for _, f := range n.fields {
		if f.name == c.Text {
			at = f.at
		}
	}
	msg := fmt.Sprintf("%s of kind %s has no field %q", strings.Join(c.Path, "."), e.request.kind, cut(c.Text, 64))
	e.mistakes = append(e.mistakes, mistake{at: at, code: codeSpecField, msg: msg, hint: didYouMean(c.Text, c.Known)})
}

// given is the document's value that CUE speaks of, as CUE would print it.
func (e *explanation) given(path []string) string {
	if len(path) == 0 || path[0] != specPart {
		return ""
	}
	if n, missing := descend(e.request.spec, path[1:]); !missing && n.scalar() {
		return n.brief()
	}
	return ""
}

// wantedBy is what a failed branch of a disjunction asked for, instead of what
// was given.
func wantedBy(c complaint, given string) string {
	if strings.HasPrefix(c.Format, "conflicting values %s and %s") && len(c.Args) >= 2 {
		if c.Args[0] != given {
			return c.Args[0]
		}
		return c.Args[1]
	}
	if _, bound, ok := strings.Cut(c.Text, "(out of bound "); ok {
		return strings.TrimSuffix(bound, ")")
	}
	return c.Text
}

func (e *explanation) one(path []string, msg string, c complaint) {
	r := e.request
	at, where, code, subject := r.specAt, strings.Join(path, "."), codeKindFailed, ""
	if len(path) == 0 {
		path = []string{""}
	}
	kindAt := ""
	if c.At != nil {
		kindAt = fmt.Sprintf(" (%s)", c.At.place())
	}
	hint := ""
	switch path[0] {
	case specPart:
		code = codeSpec
		n, missing := descend(r.spec, path[1:])
		if n != nil {
			at = n.at
		}
		hint = c.Doc
		if missing && strings.Contains(msg, "incomplete value") {
			msg = "is missing: " + strings.TrimPrefix(msg, "incomplete value ")
		} else if n != nil && n.scalar() && strings.HasPrefix(msg, "fits none") {
			msg = n.brief() + " " + msg
		} else if said, how, ok := mistyped(n, msg); ok {
			msg, hint = said, cmp.Or(how, hint)
		}
	case devicePart:
		code = codeKindDevice
		hint = c.Doc
		if strings.Contains(msg, "incomplete value") {
			msg = fmt.Sprintf("the device has none, and the kind needs it: %s", strings.TrimPrefix(msg, "incomplete value "))
			hint = "set it in the device's document or in a group"
			break
		}
		n := e.variable(path[1:])
		if n != nil {
			at = n.at
		}
		if said, how, ok := mistyped(n, msg); ok {
			msg, hint = said, cmp.Or(how, hint)
		} else if said, ok := mistypedInput(msg); ok {
			msg = said
		}
		if n != nil {
			subject = msg // the peers see the same value
		}
	default:
		if n := quotedBy(r.spec, msg); n != nil {
			at, code = n.at, codeSpec
		}
		where = ""
	}
	if strings.Contains(msg, `(out of bound =~"^secret://`) { // of #Secret
		msg, hint = "is not a reference: a secret itself has no place in git (the value is not shown)", "write secret://STORE/NAME"
	} else {
		msg = misshapen(msg, hint)
	}
	if where != "" {
		where += ": "
	}
	e.add(at, code, fmt.Sprintf("kind %s: %s%s%s", r.kind, where, msg, kindAt), hint)
	e.mistakes[len(e.mistakes)-1].subject = subject
}

// variable is the var that a path of a kind's device leads to, in the document that
// set it: one of the device's own, of a link's port, or of the peer. It is nil where
// the path leads to something else, or to nothing.
func (e *explanation) variable(path []string) *node {
	if len(path) < 2 {
		return nil
	}
	vars, rest := e.device.vars, path[1:]
	switch i, err := strconv.Atoi(path[1]); {
	case path[0] == "links" && err == nil && i >= 0 && i < len(e.device.links) && len(path) > 3:
		l := e.device.links[i]
		vars, rest = map[string]*node{"peerVars": l.peer.vars, "portVars": l.portVars, "peerPortVars": l.peerPortVars}[path[2]], path[3:]
	case path[0] != "vars":
		return nil
	}
	if vars == nil {
		return nil
	}
	if n, missing := descend(vars, rest); !missing {
		return n
	}
	return nil
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
