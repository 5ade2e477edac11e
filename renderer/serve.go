package renderer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"runtime/metrics"
)

// What passes between a Client and Serve are frames: a letter, four bytes of
// length, that many bytes. Serve says hello first; then the client sends a program,
// when Serve does not have it, and a question, and Serve answers the question,
// naming steps on the way where it was asked to.
const (
	frameHello    = 'H' // what Serve speaks: protocol
	frameProgram  = 'P' // its id, a space, its source
	frameQuestion = 'Q' // a program's id, a space, the question
	frameStep     = 'S' // what is being looked at
	frameAnswer   = 'A'
)

const protocol = "setpoint programs 1"

// maxFrame bounds a frame: what comes from a program is not to be trusted.
const maxFrame = 64 << 20

func writeFrame(w io.Writer, sort byte, parts ...string) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if n > maxFrame {
		return fmt.Errorf("write a message: it has %d bytes, at most %d pass", n, maxFrame)
	}
	b := make([]byte, 5, 5+n)
	b[0] = sort
	binary.BigEndian.PutUint32(b[1:], uint32(n))
	for _, p := range parts {
		b = append(b, p...)
	}
	_, err := w.Write(b)
	return err
}

func readFrame(r io.Reader) (sort byte, data []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > maxFrame {
		return 0, nil, fmt.Errorf("read a message: it has %d bytes, at most %d pass", n, maxFrame)
	}
	data = make([]byte, n)
	_, err = io.ReadFull(r, data)
	return head[0], data, err
}

// Serve answers questions until r ends; then it returns at once, even from the
// midst of an evaluation, which it leaves behind: end the process with it. It reads
// and writes nothing else.
func Serve(r io.Reader, w io.Writer) error {
	if err := writeFrame(w, frameHello, protocol); err != nil {
		return err
	}
	type frame struct {
		sort byte
		data []byte
	}
	frames, done := make(chan frame), make(chan struct{})
	ended, broken := make(chan error, 1), make(chan error, 1)
	defer close(done)
	go func() {
		defer close(frames)
		for in := bufio.NewReader(r); ; {
			sort, data, err := readFrame(in)
			if err != nil {
				ended <- err
				return
			}
			select {
			case frames <- frame{sort, data}:
			case <-done:
				return
			}
		}
	}()
	go func() {
		s := server{w: w, programs: make(map[string]*Program)}
		for f := range frames {
			if err := s.handle(f.sort, f.data); err != nil {
				broken <- err
				return
			}
		}
	}()
	select {
	case err := <-broken:
		return err
	case err := <-ended:
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		return err
	}
}

// server is one connection's programs.
type server struct {
	machine
	w        io.Writer
	programs map[string]*Program
}

func (s *server) handle(sort byte, data []byte) error {
	id, rest := cutWord(data)
	switch sort {
	case frameProgram:
		s.programs[id] = &Program{id: id, source: rest}
		return nil
	case frameQuestion:
		p := s.programs[id]
		if p == nil {
			return fmt.Errorf("a question about a program that was not sent")
		}
		s.lighten()
		var lost error
		answer := s.answer(p, rest, func(step string) { lost = errors.Join(lost, writeFrame(s.w, frameStep, step)) })
		return errors.Join(lost, writeFrame(s.w, frameAnswer, string(answer)))
	}
	return fmt.Errorf("a message of the unknown sort %q", sort)
}

// heavy is how much memory what was evaluated may leave behind, in bytes: the next
// question must not pay for it.
const heavy = 160 << 20

// lighten forgets what was compiled when it weighs too much.
func (s *server) lighten() {
	now := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	if metrics.Read(now); now[0].Value.Uint64() > heavy {
		s.machine = machine{}
		debug.FreeOSMemory()
	}
}

func cutWord(data []byte) (word string, rest []byte) {
	for i, b := range data {
		if b == ' ' {
			return string(data[:i]), data[i+1:]
		}
	}
	return string(data), nil
}

// Client puts questions to the Serve at the other end of two streams, one at a
// time. It belongs to one goroutine.
type Client struct {
	r    *bufio.Reader
	w    io.Writer
	sent map[string]bool
	step string
}

// NewClient waits until Serve has said hello.
func NewClient(r io.Reader, w io.Writer) (*Client, error) {
	c := &Client{r: bufio.NewReader(r), w: w, sent: make(map[string]bool)}
	sort, data, err := readFrame(c.r)
	if err != nil {
		return nil, fmt.Errorf("await the evaluation's process: %w", err)
	}
	if sort != frameHello || string(data) != protocol {
		return nil, fmt.Errorf("await the evaluation's process: it speaks %q, not %q", cut(string(data), 64), protocol)
	}
	return c, nil
}

// Ask gives the answer to a question. After an error the other end is of no use any
// more.
func (c *Client) Ask(p *Program, question []byte) ([]byte, error) {
	c.step = ""
	if !c.sent[p.id] {
		if err := writeFrame(c.w, frameProgram, p.id, " ", string(p.source)); err != nil {
			return nil, err
		}
		c.sent[p.id] = true
	}
	if err := writeFrame(c.w, frameQuestion, p.id, " ", string(question)); err != nil {
		return nil, err
	}
	for {
		sort, data, err := readFrame(c.r)
		switch {
		case err != nil:
			return nil, err
		case sort == frameAnswer:
			return data, nil
		case sort != frameStep:
			return nil, fmt.Errorf("read an answer: a message of the unknown sort %q", sort)
		}
		c.step = string(data)
	}
}

// Step is what the other end was busy with, as far as it said so.
func (c *Client) Step() string { return c.step }
