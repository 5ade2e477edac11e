package notify

import (
	"time"

	"github.com/setpoint-net/setpoint/models"
)

// Slot is the value of the table slots: one place outside the house, what it
// should say, and what it was last told. The key names the place:
// "status/github/<owner>/<name>/<sha>/setpoint/plan", "chat/<channel>/<episode>".
//
// A slot is overwritten, never queued. It is due when Posted differs from the mark
// of what is wanted.
type Slot struct {
	Generation models.Generation `json:"generation"`        // what is wanted derives from
	Status     *Status           `json:"status,omitempty"`  // wanted: one of these two
	Message    *Message          `json:"message,omitempty"` // wanted
	Refused    bool              `json:"refused,omitempty"` // wanted is a refusal of the head itself, which no table holds

	Posted      string    `json:"posted,omitempty"` // mark of what was posted last
	PostedFinal bool      `json:"postedFinal,omitempty"`
	PostedAt    time.Time `json:"postedAt,omitzero"`
	Posts       int       `json:"posts,omitempty"` // that succeeded, over the slot's life

	Attempts int       `json:"attempts,omitempty"` // that were not taken, since the last that was
	Error    string    `json:"error,omitempty"`    // the last of them
	Updated  time.Time `json:"updated"`            // when what is wanted last changed
}

// Message is one line of an episode's story for a chat.
type Message struct {
	Version string            `json:"version"`         // names the transition: the same version is never sent twice
	Device  models.DeviceName `json:"device"`          // whose drift it is
	Opened  time.Time         `json:"opened,omitzero"` // when that drift began
	Final   bool              `json:"final,omitempty"` // the episode has ended
	Title   string            `json:"title"`           // one line
	Text    string            `json:"text,omitempty"`  // a few more
	Code    string            `json:"code,omitempty"`  // the diff, redacted
}

// mark is what is wanted in a word. Two wants of one mark are one post: a status' link and
// a message's wording don't count, so that neither a new publicURL nor a new
// release says old things again.
func (s Slot) mark() string {
	switch {
	case s.Status != nil:
		return s.Status.State + ": " + s.Status.Description
	case s.Message != nil:
		return s.Message.Version
	}
	return ""
}

// due says whether the place has yet to hear what is wanted.
func (s Slot) due() bool { return s.mark() != s.Posted }

// final says whether what is wanted is a last word of its generation.
func (s Slot) final() bool {
	return s.Status != nil && s.Status.final() || s.Message != nil && s.Message.Final
}

// progress says whether what is wanted may wait its turn: a word on the way after
// another. After a last word it may not, for that one has become untrue.
func (s Slot) progress() bool { return !s.final() && !s.PostedFinal }

// said says whether a status of this state is wanted.
func (s Slot) said(state string) bool { return s.Status != nil && s.Status.State == state }

// want is a claim on a slot.
type want struct {
	Generation models.Generation
	Status     *Status
	Message    *Message
	Refused    bool // the head was refused: stands whatever older generations of the commit achieved
	Head       bool // the commit is a branch's head now
}

// claim lays w over s and says whether anything changed. It alone decides who
// wins: the higher generation; within one, a last word over a word on the way. A refusal counts for the newest generation of its commit, and
// gives way when the commit becomes head after all.
func (s Slot) claim(w want, now time.Time) (Slot, bool) {
	fresh := s.Status == nil && s.Message == nil
	if w.Refused {
		w.Generation = max(w.Generation, s.Generation)
	}
	next := Slot{
		Generation: w.Generation, Status: w.Status, Message: w.Message, Refused: w.Refused,
		Posted: s.Posted, PostedFinal: s.PostedFinal, PostedAt: s.PostedAt, Posts: s.Posts, Updated: now,
	}
	switch {
	case fresh:
		return next, true
	case w.Generation < s.Generation:
		return s, false
	case next.mark() == s.mark() && next.Generation == s.Generation && next.Refused == s.Refused:
		return s, false
	case w.Generation > s.Generation || w.Refused:
		return next, true
	case s.Refused && !w.Head:
		return s, false
	case s.final() && !next.final():
		return s, false
	case !s.due() && s.said(StateSuccess) && next.said(StateSuccess):
		return s, false // in other words
	}
	return next, true
}

// valid says whether a stored slot is one that this version can post.
func (s Slot) valid() bool { return s.Status != nil || s.Message != nil }
