package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// Slack posts to an incoming webhook as Slack defines it; Mattermost, Rocket.Chat
// and others take the same. A webhook cannot be asked what it has: a crash between
// the post and its record sends a message twice.
type Slack struct {
	URL    string       // a secret as a whole: appears in no error and no log
	Client *http.Client // nil: http.DefaultClient
}

const (
	maxChatBlock = 3000      // characters of a section's text (Slack, "Section block")
	maxChatTitle = 1000      // ours: a heading is one or two lines
	chatCutNote  = "\n… cut" // ends a diff that was too long
)

// String names the destination without its secret.
func (s Slack) String() string { return "slack" }

// GoString keeps the URL out of %#v.
func (s Slack) GoString() string { return s.String() }

// Send posts one message and waits for the answer, at most 15 s. An error is an
// *Answer, or ctx's.
func (s Slack) Send(ctx context.Context, m Message) error {
	body, err := json.Marshal(slackBody(m))
	if err != nil {
		return fmt.Errorf("message %q: %w", m.Title, err)
	}
	ctx, cancel := context.WithTimeout(ctx, postDeadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return &Answer{Code: http.StatusBadRequest, Text: "the webhook's url is not usable", Hint: "set the channel's url again"}
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "setpoint")
	a := send(s.Client, req)
	if a == nil {
		return nil
	}
	s.explain(a, req)
	return a
}

func (s Slack) explain(a *Answer, req *http.Request) {
	for _, secret := range []string{s.URL, req.URL.RequestURI(), strings.Trim(req.URL.Path, "/")} {
		a.Text = strings.ReplaceAll(a.Text, orNever(secret), "(secret)")
	}
	switch {
	case a.Hint != "" || a.Code == 0:
	case a.Code == http.StatusForbidden || a.Code == http.StatusNotFound || a.Code == http.StatusGone || a.Code == http.StatusUnauthorized:
		a.Hint = "the webhook was removed or its channel archived: make a new one"
	case a.Code == http.StatusBadRequest:
		a.Hint = "the other side does not take this form of message"
	}
	if a.Limited && a.RetryAfter == 0 {
		a.RetryAfter = time.Second // Slack: one message a second per webhook
	}
}

type slackText struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type slackBlock struct {
	Type string    `json:"type"`
	Text slackText `json:"text"`
}

// slackMessage carries the text, which is all that Slack's likes show, and the same as
// blocks, which Slack shows instead.
type slackMessage struct {
	Text   string       `json:"text"`
	Blocks []slackBlock `json:"blocks"`
}

func slackBody(m Message) slackMessage {
	title := slackEscape(m.Title, maxChatTitle)
	text := title
	blocks := []slackBlock{section(title)}
	if m.Text != "" {
		t := slackEscape(m.Text, maxChatBlock)
		text += "\n" + t
		blocks = append(blocks, section(t))
	}
	if m.Code != "" {
		c := slackCode(m.Code)
		text += "\n" + c
		blocks = append(blocks, section(c))
	}
	return slackMessage{Text: text, Blocks: blocks}
}

func section(text string) slackBlock {
	return slackBlock{Type: "section", Text: slackText{Type: "mrkdwn", Text: text}}
}

// slackCode is code in a block of at most 3000 characters, cut at a line.
func slackCode(code string) string {
	code = slackClean(strings.TrimRight(code, "\n"))
	limit := maxChatBlock - 2*len(fence) - 2
	esc := slackEscapeRunes(code, limit)
	if len(esc) < len(slackEscapeRunes(code, 1<<30)) {
		esc = slackEscapeRunes(code, limit-utf8.RuneCountInString(chatCutNote))
		if i := strings.LastIndexByte(esc, '\n'); i > len(esc)/2 {
			esc = esc[:i]
		}
		esc += chatCutNote
	}
	return fence + "\n" + esc + "\n" + fence
}

// slackEscape is text as Slack's mrkdwn wants it: & < > as entities (Slack, "Formatting
// text for app surfaces"), so that no value of a device can ping a channel or forge
// a link; at most limit characters.
func slackEscape(s string, limit int) string {
	s = slackClean(s)
	if e := slackEscapeRunes(s, limit); len(e) == len(slackEscapeRunes(s, 1<<30)) {
		return e
	}
	return slackEscapeRunes(s, limit-1) + "…"
}

// fence opens and closes a code block.
const fence = "```"

// slackClean is text without what would open or close a code block.
func slackClean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "�"), fence, "'''")
}

// slackEscapeRunes escapes whole characters while the result has at most limit.
func slackEscapeRunes(s string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		e := string(r)
		switch r {
		case '&':
			e = "&amp;"
		case '<':
			e = "&lt;"
		case '>':
			e = "&gt;"
		}
		n += utf8.RuneCountInString(e)
		if n > limit {
			break
		}
		b.WriteString(e)
	}
	return b.String()
}
