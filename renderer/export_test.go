package renderer

import "context"

// InProcess evaluates in this process, as a Renderer without an Evaluator does.
type InProcess = inProcess

// BreaksDown evaluates in this process, and stands for a worker that dies of one
// definition's questions: no input is known that CUE dies of.
type BreaksDown struct {
	inProcess
	On, Text string
}

// Evaluate answers as Serve would, or dies.
func (b *BreaksDown) Evaluate(ctx context.Context, p *Program, question []byte) ([]byte, error) {
	if q, err := decodeQuestion(question); err == nil && q.Definition == b.On {
		return nil, &LimitError{Limit: Crashed, Text: b.Text}
	}
	return b.inProcess.Evaluate(ctx, p, question)
}
