package plan

import (
	"bytes"
	"fmt"
	"io"
)

// Form is a way to write a plan.
type Form string

const (
	Tree     Form = "tree"     // for a terminal: grouped by container, in columns
	Unified  Form = "unified"  // as diff -u: a hunk per container, a line per leaf
	JSON     Form = "json"     // for programs: changes and operations; stable
	Markdown Form = "markdown" // for a forge's comment
	GNMI     Form = "gnmi"     // the SetRequest, as a request file of gnmic's (YAML)
)

// Forms lists the forms, for help texts and checks.
func Forms() []Form { return []Form{Tree, Unified, JSON, Markdown, GNMI} }

// Options say how a plan is written.
type Options struct {
	Form  Form   // "" means Tree
	Color bool   // ANSI colours, in Tree and Unified
	Width int    // columns that Tree fits into; 0 means 80
	Title string // of whom the plan is, such as the device's name; may be empty

	Old, New string // what is compared, for Unified; "" means "running" and "intended"
}

// Write writes the plan as text. Every form ends in a line break, says so where
// there is nothing to do, and redacts secrets: the text may be stored and shown
// to anyone who may see the device's configuration.
func (p *Plan) Write(w io.Writer, o Options) error {
	if p == nil {
		p = &Plan{}
	}
	if o.Width <= 0 {
		o.Width = 80
	}
	var b bytes.Buffer
	switch o.Form {
	case "", Tree:
		(&treeWriter{Options: o, b: &b}).write(p)
	case Unified:
		(&unifiedWriter{Options: o, b: &b}).write(p)
	case JSON:
		writeJSON(&b, p, o)
	case Markdown:
		writeMarkdown(&b, p, o)
	case GNMI:
		writeGNMI(&b, p, o)
	default:
		return fmt.Errorf("plan form %q is not one of %v", o.Form, Forms())
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}
