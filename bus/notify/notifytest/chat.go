package notifytest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// Post is a message as it was taken.
type Post struct {
	Text   string   // as sent, with entities
	Blocks []string // the blocks' texts
	Time   time.Time
}

// Plain is the text as people see it.
func (p Post) Plain() string {
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(p.Text)
}

// Chat takes messages as Slack's incoming webhooks do. Path is the secret part of
// its URL, fixed before the first request.
type Chat struct {
	Path string

	desk[Post]
}

// NewChat is a webhook at the path, which begins with "/".
func NewChat(path string) *Chat { return &Chat{Path: path} }

const (
	maxChatText  = 40_000 // characters (Slack)
	maxBlocks    = 50     // (Slack)
	maxBlockText = 3000   // characters (Slack)
	maxChatBody  = 256 << 10
)

// ServeHTTP takes one message, or says what is wrong with it as Slack would.
func (c *Chat) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f := c.begin(r); f != nil {
		c.end(nil, "")
		f.answer(w)
		return
	}
	p, err := c.take(r)
	if err != nil {
		code := http.StatusBadRequest
		var no *refusal
		if errors.As(err, &no) {
			code = no.code
		}
		w.WriteHeader(code)
		io.WriteString(w, err.Error())
		c.end(nil, fmt.Sprintf("%s: %v", r.Method, err))
		return
	}
	io.WriteString(w, "ok")
	c.end(&p, "")
}

type chatBody struct {
	Text   string `json:"text"`
	Blocks []struct {
		Type string `json:"type"`
		Text struct {
			Type string `json:"type"`
			Text string `json:"text"`
		} `json:"text"`
	} `json:"blocks"`
}

func (c *Chat) take(r *http.Request) (Post, error) {
	switch {
	case r.URL.Path != c.Path:
		return Post{}, refuse(http.StatusNotFound, "no_service")
	case r.Method != http.MethodPost:
		return Post{}, refuse(http.StatusMethodNotAllowed, "method_not_allowed: %s", r.Method)
	}
	var body chatBody
	if err := readJSON(r, maxChatBody, &body); err != nil {
		return Post{}, err
	}
	p := Post{Text: body.Text, Time: time.Now()}
	if err := mrkdwn(body.Text, maxChatText); err != nil {
		return Post{}, refuse(http.StatusBadRequest, "no_text: %v", err)
	}
	if len(body.Blocks) > maxBlocks {
		return Post{}, refuse(http.StatusBadRequest, "invalid_blocks: %d of them", len(body.Blocks))
	}
	for i, b := range body.Blocks {
		if b.Type != "section" || b.Text.Type != "mrkdwn" {
			return Post{}, refuse(http.StatusBadRequest, "invalid_blocks: block %d is a %s of %s", i, b.Type, b.Text.Type)
		}
		if err := mrkdwn(b.Text.Text, maxBlockText); err != nil {
			return Post{}, refuse(http.StatusBadRequest, "invalid_blocks: block %d: %v", i, err)
		}
		p.Blocks = append(p.Blocks, b.Text.Text)
	}
	return p, nil
}

// mrkdwn checks a text's length and that its control characters are escaped
// (Slack, "Formatting text for app surfaces"): setpoint writes no links and calls
// nobody, so any bare one came from a value.
func mrkdwn(s string, limit int) error {
	switch n := utf8.RuneCountInString(s); {
	case n == 0:
		return errors.New("empty")
	case n > limit:
		return fmt.Errorf("%d characters, at most %d", n, limit)
	case strings.ContainsAny(s, "<>"):
		return errors.New("a bare < or >")
	case strings.Contains(strings.NewReplacer("&amp;", "", "&lt;", "", "&gt;", "").Replace(s), "&"):
		return errors.New("a bare &")
	case strings.Count(s, "```")%2 != 0:
		return errors.New("a code block that does not end")
	}
	return nil
}
