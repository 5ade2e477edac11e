package notify

import (
	"fmt"
	"strings"
	"time"

	"github.com/setpoint-net/setpoint/models"
)

// chatTime is how a chat reads a moment: UTC, to the second.
const chatTime = "2006-01-02 15:04:05 UTC"

// story is the message for where an episode stands: opened, changed or closed.
// Its version names that transition, so that an episode read again after a restart
// is not told again.
func story(e models.Episode, diff string) Message {
	m := Message{Device: e.Device, Opened: e.Opened}
	switch {
	case !e.Closed.IsZero():
		m.Version = "closed " + stamp(e.Closed)
		m.Final = true
		m.Title = fmt.Sprintf("%s: drift has ended: %s", e.Device, orElse(e.How, "running equals intended again"))
		m.Text = fmt.Sprintf("It stood from %s to %s (%s): %s", e.Opened.UTC().Format(chatTime), e.Closed.UTC().Format(chatTime),
			e.Closed.Sub(e.Opened).Round(time.Second), e.Summary)
	case !e.Changed.IsZero():
		m.Version = "changed " + stamp(e.Changed)
		m.Title = fmt.Sprintf("%s: drift has changed: %s", e.Device, count(e.Changes, "change"))
		m.Text = lines(e.Summary, "Stands since "+e.Opened.UTC().Format(chatTime)+".", next(e))
		m.Code = diff
	default:
		m.Version = "opened"
		m.Title = fmt.Sprintf("%s: drift: %s without a commit", e.Device, count(e.Changes, "change"))
		m.Text = lines(e.Summary, next(e))
		m.Code = diff
	}
	return m
}

// vanished closes an episode whose row was taken by a later one while nobody
// watched.
func vanished(m Message) Message {
	return Message{
		Version: "vanished", Device: m.Device, Opened: m.Opened, Final: true,
		Title: fmt.Sprintf("%s: drift has ended", m.Device),
		Text:  "The drift that stood since " + m.Opened.UTC().Format(chatTime) + " has ended; when and how was not seen.",
	}
}

// next says what setpoint does about the drift.
func next(e models.Episode) string {
	if e.Mode == models.DriftEnforce {
		return "It will be put back: the device's drift mode is enforce."
	}
	return "It is left as it is: the device's drift mode is " + string(e.Mode) + "."
}

func lines(parts ...string) string {
	var all []string
	for _, p := range parts {
		if p != "" {
			all = append(all, p)
		}
	}
	return strings.Join(all, "\n")
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
