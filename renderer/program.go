package renderer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"sync"
)

// Evaluator is where programs are evaluated: CUE can't be cancelled and has no
// bounds, so that whoever renders what others wrote gives a Renderer an Evaluator
// that runs Serve in a process of its own, with a deadline and a memory limit.
//
// Evaluate puts a question about a program to Serve and gives its answer: both are
// opaque to the Evaluator. An error that is a *LimitError says what the evaluation
// ran into, and is told as the mistake of the document that asked; any other ends
// the rendering. It is called from several goroutines at once.
type Evaluator interface {
	Evaluate(ctx context.Context, p *Program, question []byte) (answer []byte, err error)
}

// LimitError says that an evaluation was ended, and why.
type LimitError struct {
	Limit Limit
	Text  string // behind "kind X", such as "did not finish within 5s"
	Step  string // what the program was busy with, where Serve said so
}

func (e *LimitError) Error() string { return "the evaluation " + e.Text }

// Limit is what an evaluation ran into.
type Limit uint8

// The limits.
const (
	OverTime   Limit = iota + 1 // the deadline
	OverMemory                  // the memory limit
	OverDepth                   // the limit of the stack
	Crashed                     // no limit: what evaluated it broke down
)

// Program is a CUE package: its own files, and a library's, whose definitions give
// way to the files' definitions of the same name. It is read-only, and goes by the
// hash of its text.
//
// Two things come as programs: the kinds, and whoever else wants CUE evaluated
// under the same limits makes another with newProgram and asks it questions
// through a Renderer's ask, which keeps the answers.
type Program struct {
	id     string
	source []byte // programSource as JSON
}

// programSource is a program as Serve reads it.
type programSource struct {
	Package string
	Files   []programFile
	Library []programFile
}

type programFile struct {
	Name string
	Data []byte
}

// newProgram is the program of files and a library, all of one CUE package.
func newProgram(pkg string, files, library []source) *Program {
	s := programSource{Package: pkg}
	for _, f := range files {
		s.Files = append(s.Files, programFile{f.name, f.data})
	}
	for _, f := range library {
		s.Library = append(s.Library, programFile{f.name, f.data})
	}
	data, _ := json.Marshal(s) // strings and bytes alone: it has no error
	sum := sha256.Sum256(data)
	return &Program{id: hex.EncodeToString(sum[:]), source: data}
}

// ID names the program by its text.
func (p *Program) ID() string { return p.id }

// question asks a program for a field of a definition with its inputs filled in,
// or, without a definition, what the program is (see description). On the wire it is
// a line of JSON and behind it a line for the value of each input.
type question struct {
	Definition string  `json:",omitempty"` // without "#"
	Inputs     []input `json:",omitempty"` // filled in in order; what many questions share goes first
	Output     string  `json:",omitempty"` // the field that is asked for; inputs and output must be concrete

	Parts []string `json:",omitempty"` // describing: the fields that are asked after
	Shape string   `json:",omitempty"` // describing: the field whose JSON Schema is wanted
	Slow  bool     `json:",omitempty"` // describing: own definitions one by one, each told as a step
}

// input is a value for a field of the definition.
type input struct {
	Field  string
	Closed bool   `json:",omitempty"` // fields that the definition doesn't have are complained of
	Trim   bool   `json:",omitempty"` // such fields are left out
	value  []byte // JSON on one line, see appendPlain
}

func (q *question) encode() []byte {
	out, _ := json.Marshal(q) // as in newProgram
	for _, in := range q.Inputs {
		out = append(out, '\n')
		out = append(out, in.value...)
	}
	return out
}

func decodeQuestion(data []byte) (*question, error) {
	q := &question{}
	head, rest, _ := bytes.Cut(data, []byte("\n"))
	if err := json.Unmarshal(head, q); err != nil {
		return nil, fmt.Errorf("read a question: %w", err)
	}
	for i := range q.Inputs {
		q.Inputs[i].value, rest, _ = bytes.Cut(rest, []byte("\n"))
	}
	return q, nil
}

// answer is a value, or what a person has to mend first. On the wire it is a line
// of JSON and the value behind it.
type answer struct {
	Complaints []complaint `json:",omitempty"`
	value      []byte      // JSON; nil with complaints, but for a description
}

// complaint is one thing wrong, in CUE's terms: whoever asked knows which document
// the inputs came from.
type complaint struct {
	Sort   string    `json:",omitempty"` // "" is CUE's own error; else see the constants
	Path   []string  `json:",omitempty"` // within the definition; quoted as CUE does
	Text   string    // one line
	Format string    `json:",omitempty"` // of CUE's own, and its first two arguments
	Args   []string  `json:",omitempty"`
	At     *position `json:",omitempty"` // in the program's text
	Doc    string    `json:",omitempty"` // what the program says of the field
	Known  []string  `json:",omitempty"` // what the name may have meant, or who is concerned
}

// The sorts of complaints that are not CUE's.
const (
	unknownField  = "field"   // Path has no such field; Text is the field's name
	tooLarge      = "size"    // the output; Text is its size in bytes
	gaveUp        = "panic"   // CUE did, saying Text
	otherPackage  = "package" // a file is of package Text
	foreignImport = "import"  // a file imports Text
	sharedHelper  = "helper"  // a file defines Text, which Known in the library use
)

// position is a place in a program's text; line and column from 1, zero: the file.
type position struct {
	File         string
	Line, Column int `json:",omitempty"`
}

func (p *position) place() place { return place{p.File, p.Line, p.Column} }

func (a *answer) encode() []byte {
	out, _ := json.Marshal(a) // as in newProgram
	return append(append(out, '\n'), a.value...)
}

func decodeAnswer(data []byte) (*answer, error) {
	a := &answer{}
	head, rest, found := bytes.Cut(data, []byte("\n"))
	if !found {
		return nil, errors.New("read an answer: it has no end of line")
	}
	if err := json.Unmarshal(head, a); err != nil {
		return nil, fmt.Errorf("read an answer: %w", err)
	}
	if len(rest) > 0 {
		a.value = rest
	}
	return a, nil
}

// appendPlain appends a plainValue as JSON on one line, its keys sorted. Numbers
// keep all that they say: one with a fraction has a point or an exponent.
func appendPlain(b []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		b = append(b, '{')
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for i, k := range keys {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, k), ':')
			b = appendPlain(b, v[k])
		}
		return append(b, '}')
	case []any:
		b = append(b, '[')
		for i, item := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendPlain(b, item)
		}
		return append(b, ']')
	case string:
		return appendString(b, v)
	case bool:
		return strconv.AppendBool(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case *big.Int:
		return v.Append(b, 10)
	case *big.Float:
		from := len(b)
		if b = v.Append(b, 'g', -1); !bytes.ContainsAny(b[from:], ".e") {
			b = append(b, ".0"...)
		}
		return b
	}
	return append(b, "null"...)
}

// ask puts a question, or gives the answer that it had before. An error that is a
// *LimitError is the asking document's mistake.
func (r *Renderer) ask(ctx context.Context, p *Program, q *question) (*answer, error) {
	data := q.encode()
	key := questionKey{p.id, sha256.Sum256(data)}
	if known, ok := r.answers.get(key); ok {
		return decodeAnswer(known)
	}
	var e Evaluator = &r.here
	if r.Evaluator != nil {
		e = r.Evaluator
	}
	raw, err := e.Evaluate(ctx, p, data)
	if err != nil {
		return nil, err
	}
	a, err := decodeAnswer(raw)
	if err == nil {
		r.answers.put(key, raw)
	}
	return a, err
}

// inProcess evaluates in this process: without limits, and a question that has no
// end can't be cancelled. Its zero value is ready.
type inProcess struct {
	mu   sync.Mutex
	idle []*machine
}

// Evaluate answers as Serve would.
func (e *inProcess) Evaluate(ctx context.Context, p *Program, question []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m := e.take()
	defer e.put(m)
	return m.answer(p, question, func(string) {}), nil
}

func (e *inProcess) take() *machine {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := len(e.idle); n > 0 {
		m := e.idle[n-1]
		e.idle = e.idle[:n-1]
		return m
	}
	return &machine{}
}

func (e *inProcess) put(m *machine) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.idle = append(e.idle, m)
}
