package notify

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// Forge takes commit statuses. Posting one twice must leave it as posting it once.
// A forge that is a fmt.Stringer names itself in the keys of its slots.
type Forge interface {
	Post(ctx context.Context, s Status) error
}

// Chat takes messages for people, each at least once.
type Chat interface {
	Send(ctx context.Context, m Message) error
}

// Notifier tells forge and chats what the tables say. The fields are fixed before
// Run; Refused and Unrecorded may be called at any time, by any goroutine.
type Notifier struct {
	Heads    *bus.Table[models.Head]
	Renders  *bus.Table[models.Render]
	Rollouts *bus.Table[models.Rollout]
	Episodes *bus.Table[models.Episode]
	Slots    *bus.Table[Slot]
	Blobs    *bus.Blobs
	Schema   *tree.Schema
	Forge    Forge                      // nil: statuses go to the log
	Chats    map[string]Chat            // by the channel's name
	Link     func(commit string) string // where a status leads; nil: nowhere
	Log      *slog.Logger               // nil: nowhere

	once  sync.Once
	forge *sender
	chats map[string]*sender
}

const (
	flushPause = 100 * time.Millisecond // between two projections
	tooLate    = 24 * time.Hour         // what ended longer ago and was never told stays untold
	chatMemory = 7 * 24 * time.Hour     // how long a closed episode's slot is kept
	pruneEvery = time.Hour
	loadTries  = 3
)

// Run follows the tables and posts until ctx ends. It fails only where the tables
// cannot be watched at all.
func (n *Notifier) Run(ctx context.Context) error {
	n.setUp()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &projector{n: n, view: newView(), missed: map[string]bool{}, told: map[string]described{}, asked: map[string]bool{}, jobs: make(chan job), done: make(chan described)}
	if err := p.watch(ctx); err != nil {
		return err
	}
	n.load(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, s := range n.senders() {
		wg.Go(func() { s.run(ctx) })
	}
	wg.Go(func() { p.describe(ctx) })
	return p.follow(ctx)
}

// Refused tells on the commit that a branch was moved to it and setpoint did not
// follow: a forced push. It returns at once.
func (n *Notifier) Refused(ctx context.Context, h models.Head, err error) {
	n.setUp()
	n.logger().WarnContext(ctx, "head refused", "branch", h.Branch, "commit", h.New, "err", err)
	n.outside(h, err.Error(), true)
}

// Unrecorded tells on the commit that the bus could not take the head, from memory
// alone. It returns at once.
func (n *Notifier) Unrecorded(ctx context.Context, h models.Head, err error) {
	n.setUp()
	n.logger().WarnContext(ctx, "head not recorded", "branch", h.Branch, "commit", h.New, "err", err)
	n.outside(h, unrecorded(err), false)
}

func unrecorded(err error) string {
	if full(err) {
		return "the store is full, nothing is rendered or deployed until it has room: raise nats.maxStore or free the disk"
	}
	return "the store does not take the commit: " + err.Error()
}

func (n *Notifier) outside(h models.Head, description string, refused bool) {
	for _, c := range []string{ContextPlan, ContextDeploy} {
		n.forge.want(n.statusKey(h.New, c), want{
			Generation: h.Generation, Refused: refused, Head: !refused,
			Status: &Status{SHA: h.New, Context: c, State: StateError, Description: clip(description, maxDescription)},
		})
	}
}

func (n *Notifier) logger() *slog.Logger {
	if n.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return n.Log
}

// setUp makes the senders, once.
func (n *Notifier) setUp() {
	n.once.Do(func() {
		f := n.Forge
		if f == nil {
			f = logForge{n.logger()}
		}
		name := "forge"
		if s, ok := f.(fmt.Stringer); ok {
			name = s.String()
		}
		n.forge = newSender("status/"+name, n.Slots, n.logger(), func(ctx context.Context, s Slot) error {
			return f.Post(ctx, *s.Status)
		})
		n.chats = map[string]*sender{}
		for name, c := range n.Chats {
			n.chats[name] = newSender("chat/"+name, n.Slots, n.logger(), func(ctx context.Context, s Slot) error {
				return c.Send(ctx, *s.Message)
			})
		}
	})
}

func (n *Notifier) senders() []*sender {
	return append([]*sender{n.forge}, slices.Collect(maps.Values(n.chats))...)
}

func (n *Notifier) statusKey(sha, context string) string {
	return n.forge.name + "/" + sha + "/" + context
}

// load reads what an earlier process posted.
func (n *Notifier) load(ctx context.Context) {
	all, err := n.Slots.All(ctx)
	for try := 1; err != nil && try < loadTries && pause(ctx, firstPause); try++ {
		all, err = n.Slots.All(ctx)
	}
	if err != nil {
		n.logger().WarnContext(ctx, "slots not read: what was posted before may be posted again", "err", err)
		return
	}
	for key, e := range all {
		if s := n.owner(key); s != nil && e.Value.valid() {
			s.adopt(key, e.Value, e.Rev)
			continue
		}
		if time.Since(e.Value.Updated) < chatMemory {
			continue
		}
		// A place that is configured no more, or was written by another version.
		if err := n.Slots.Delete(ctx, key, e.Rev); err != nil {
			n.logger().DebugContext(ctx, "slot not deleted", "slot", key, "err", err)
		}
	}
}

// pause waits, and says whether ctx outlived it.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func (n *Notifier) owner(key string) *sender {
	for _, s := range n.senders() {
		if strings.HasPrefix(key, s.name+"/") {
			return s
		}
	}
	return nil
}

// logForge is the forge where none is configured.
type logForge struct{ log *slog.Logger }

func (logForge) String() string { return "log" }

func (l logForge) Post(ctx context.Context, s Status) error {
	l.log.InfoContext(ctx, "status", "commit", s.SHA, "context", s.Context, "state", s.State, "description", s.Description)
	return nil
}
