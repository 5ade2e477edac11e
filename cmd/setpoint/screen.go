package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// screen is where the demo is shown: lines that stay, each with the time since
// the start, and in a terminal below them one that moves, which says what is
// being waited for. It is safe for concurrent use.
type screen struct {
	term
	began time.Time

	mu      sync.Mutex
	out     io.Writer
	waiting string // what the moving line says; "": nothing
	since   time.Time
	beat    int
}

const (
	screenWidth  = 80
	screenIndent = 16 // of what is said, behind the time and who says it
)

func newScreen(out io.Writer) *screen {
	return &screen{term: newTerm(out), began: time.Now(), out: out}
}

// title begins a part of the story.
func (s *screen) title(text string) {
	s.print("\n" + s.bold("── "+text+" "+strings.Repeat("─", max(0, screenWidth-4-len([]rune(text))))) + "\n")
}

// say prints what somebody said, broken into lines that fit.
func (s *screen) say(who, text string) { s.sayAfter(who, "", "", text) }

// sayAfter is say with a word before the text, which painted is how it looks.
func (s *screen) sayAfter(who, word, painted, text string) {
	lead := fmt.Sprintf("%s  %s  ", s.dim(fmt.Sprintf("%5.1f s", time.Since(s.began).Seconds())), s.dim(fmt.Sprintf("%-5s", who)))
	lines := fold(text, screenWidth-screenIndent-len([]rune(word)))
	var b strings.Builder
	b.WriteString(lead + painted + lines[0] + "\n")
	for _, l := range lines[1:] {
		b.WriteString(strings.Repeat(" ", screenIndent+len([]rune(word))) + l + "\n")
	}
	s.print(b.String())
}

// quote prints text as it stands, indented; lines that are too long are broken,
// and those of a diff have its colours.
func (s *screen) quote(text string) {
	const indent = 4
	fenced := false
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(text)) {
		line = strings.TrimRight(line, "\n")
		if line == "```" {
			fenced = !fenced
			continue
		}
		lines := []string{line}
		if !fenced && !strings.Contains(line, "\x1b") && len([]rune(line)) > screenWidth-indent {
			lines = fold(line, screenWidth-indent)
		}
		for _, l := range lines {
			if fenced {
				l = s.diffLine(l)
			}
			b.WriteString(strings.TrimRight(strings.Repeat(" ", indent)+l, " ") + "\n")
		}
	}
	s.print(b.String())
}

func (s *screen) diffLine(l string) string {
	switch {
	case strings.HasPrefix(l, "+ "):
		return s.green(l)
	case strings.HasPrefix(l, "- "):
		return s.red(l)
	case strings.HasPrefix(l, "~ "):
		return s.yellow(l)
	}
	return l
}

// print writes above the moving line.
func (s *screen) print(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
	io.WriteString(s.out, text)
	s.draw()
}

// await shows what is being waited for until the function that it returns is
// called.
func (s *screen) await(what string) (done func()) {
	if !s.colour { // nobody looks on
		return func() {}
	}
	s.mu.Lock()
	s.waiting, s.since = what, time.Now()
	s.draw()
	s.mu.Unlock()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { s.move(stop) })
	return func() {
		close(stop)
		wg.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wipe()
		s.waiting = ""
	}
}

func (s *screen) move(stop <-chan struct{}) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			s.mu.Lock()
			s.beat++
			s.wipe()
			s.draw()
			s.mu.Unlock()
		}
	}
}

func (s *screen) wipe() {
	if s.waiting != "" {
		io.WriteString(s.out, "\r\x1b[K")
	}
}

func (s *screen) draw() {
	if s.waiting == "" {
		return
	}
	frames := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	fmt.Fprintf(s.out, "%s  %s", s.dim(fmt.Sprintf("%5.1f s", time.Since(s.began).Seconds())),
		s.dim(fmt.Sprintf("%c %s", frames[s.beat%len(frames)], s.waiting)))
}

// fold breaks text into lines of at most width characters: at spaces, and a word
// that does not fit on a line of its own, such as a path, before a slash.
func fold(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		room := width - len([]rune(line)) - 1
		if line == "" {
			room = width
		}
		for len([]rune(word)) > room {
			if len([]rune(word)) <= width { // it fits on the next line
				lines, line, room = append(lines, line), "", width
				continue
			}
			head := string([]rune(word)[:max(room, 0)])
			at := strings.LastIndex(head, "/")
			if at <= 0 && line != "" {
				lines, line, room = append(lines, line), "", width
				continue
			}
			if at <= 0 {
				at = len(head)
			}
			lines = append(lines, strings.TrimPrefix(line+" "+word[:at], " "))
			line, word, room = "", word[at:], width
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}
