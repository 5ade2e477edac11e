package gitwatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
)

// lookout is a running Watcher: the two ends it stands between, and what it
// remembers so as to say everything once. None of this is needed after a
// restart.
type lookout struct {
	*Watcher
	branch string
	remote *remote
	mirror *mirror
	log    *slog.Logger

	announced  models.Generation // whose event is on the bus for sure
	claimed    models.Generation // raised the floor to, not yet stored
	refused    string            // the force push told of, old..new
	unrecorded string            // the head told of
	told       string            // the error logged last
	fetched    bool              // since packs were merged
}

func (l *lookout) close() {
	l.remote.close()
	if l.mirror.opened {
		_ = l.mirror.repo.Close()
	}
}

// look is one look at the server and what follows from it.
func (l *lookout) look(ctx context.Context) error {
	err := l.once(ctx)
	for range 3 { // another watcher recorded a head meanwhile, or the mirror is to be made anew
		if !errors.Is(err, bus.ErrConflict) && !errors.Is(err, errUnsound) {
			break
		}
		err = l.once(ctx)
	}
	if ctx.Err() != nil {
		return nil
	}
	l.tell(ctx, err)
	if l.fetched {
		l.fetched = false
		if err := l.mirror.compact(); err != nil {
			l.log.WarnContext(ctx, "mirror's packs are not merged", "err", err)
		}
	}
	return err
}

// tell logs an error once, then only when it changes.
func (l *lookout) tell(ctx context.Context, err error) {
	if err == nil {
		if l.told != "" {
			l.log.InfoContext(ctx, "repository is watched again")
		}
		l.told = ""
		return
	}
	if err.Error() == l.told {
		return
	}
	l.told = err.Error()
	if hint := hintOf(err); hint != "" {
		l.log.ErrorContext(ctx, "repository cannot be watched", "err", err, "hint", hint)
		return
	}
	l.log.WarnContext(ctx, "look at repository, will retry", "err", err)
}

// once reads the stored head before it asks the server, so that an answer that
// is older than another watcher's loses the compare-and-set.
func (l *lookout) once(ctx context.Context) error {
	if err := l.open(ctx); err != nil {
		return err
	}
	stored, rev, err := l.stored(ctx)
	if err != nil {
		return err
	}
	if err := l.announceHeld(ctx, stored); err != nil {
		return err
	}
	tip, err := l.fetch(ctx, stored)
	if err != nil {
		return err
	}
	if tip.String() == stored.New {
		l.refused = ""
		return l.announce(ctx, stored)
	}
	head, ok, err := l.follow(ctx, stored, tip)
	if err != nil || !ok {
		return err
	}
	if head, err = l.record(ctx, head, rev, stored); err != nil {
		return err
	}
	return l.announce(ctx, head)
}

// open sees to a sound mirror.
func (l *lookout) open(ctx context.Context) error {
	aside, cause, err := l.mirror.ensure(time.Now())
	if aside != "" {
		l.log.WarnContext(ctx, "mirror is damaged, cloning anew", "err", cause, "path", aside)
	}
	if err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.repo = l.mirror.repo
	return nil
}

func (l *lookout) stored(ctx context.Context) (models.Head, uint64, error) {
	var head models.Head
	var rev uint64
	err := bounded(ctx, func(ctx context.Context) (err error) {
		head, rev, err = l.Heads.Get(ctx, l.branch)
		return err
	})
	if err != nil {
		err = fmt.Errorf("read the head of %s from the bus: %w", l.branch, err)
	}
	return head, rev, err
}

// announceHeld publishes the stored head before the server is asked, where its
// files are at hand: a crash may have come between recording and publishing,
// and the server may be away for long.
func (l *lookout) announceHeld(ctx context.Context, stored models.Head) error {
	if stored.New == "" || l.announced == stored.Generation {
		return nil
	}
	if hash := plumbing.NewHash(stored.New); !l.mirror.repo.has(hash) || l.mirror.verify(hash) != nil {
		return nil
	}
	return l.announce(ctx, stored)
}

// fetch asks for the branch's tip and brings it into the mirror.
func (l *lookout) fetch(ctx context.Context, stored models.Head) (plumbing.Hash, error) {
	ctx, cancel := context.WithTimeout(ctx, l.remote.timeout)
	defer cancel()
	x, err := l.remote.begin(ctx)
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("ask %s: %w", l.remote.url, err)
	}
	defer x.close()
	tip, err := x.tip(l.branch)
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("ask %s: %w", l.remote.url, err)
	}
	if l.mirror.repo.has(tip) {
		return tip, l.mirror.verify(tip)
	}
	head, err := l.mirror.head()
	if err != nil {
		return plumbing.ZeroHash, err
	}
	pack := func(haves []plumbing.Hash, out io.Writer) error { return x.fetch(ctx, tip, haves, out) }
	if err := l.mirror.fetch(pack, tip, head, plumbing.NewHash(stored.New)); err != nil {
		return plumbing.ZeroHash, fmt.Errorf("fetch %s from %s: %w", tip, l.remote.url, err)
	}
	l.fetched = true
	return tip, nil
}

// follow decides whether the branch may go from the stored head to the tip.
func (l *lookout) follow(ctx context.Context, stored models.Head, tip plumbing.Hash) (models.Head, bool, error) {
	head := models.Head{Branch: l.branch, Old: stored.New, New: tip.String(), Seen: time.Now().UTC()}
	if stored.New == "" {
		return head, true, nil
	}
	if l.refused == movement(head) { // its history was walked, and does not change
		return models.Head{}, false, nil
	}
	old := plumbing.NewHash(stored.New)
	forward, err := l.mirror.repo.isAncestor(old, tip)
	if err != nil {
		return models.Head{}, false, fmt.Errorf("compare %s with %s: %w", stored.New, tip, err)
	}
	if forward {
		return head, true, nil
	}
	head.Forced = true
	if l.AllowForcePush {
		if l.mirror.repo.has(old) {
			err = l.mirror.keep(old)
		}
		return head, true, err
	}
	l.refuse(ctx, head)
	return models.Head{}, false, nil
}

// movement names where a head comes from and goes to.
func movement(head models.Head) string { return head.Old + ".." + head.New }

// refuse tells of a force push, once.
func (l *lookout) refuse(ctx context.Context, head models.Head) {
	l.refused = movement(head)
	err := fmt.Errorf("force push of %s refused: %s is not in the history of %s", head.Branch, head.Old, head.New)
	l.log.ErrorContext(ctx, "force push refused", "old", head.Old, "commit", head.New,
		"hint", "push the old head again, merge it, or allow force pushes in the server's configuration")
	if l.Refused != nil {
		l.Refused(ctx, head, err)
	}
}

// record makes head the stored one, under the next generation. The floor rises
// first: a generation may be lost, but is never given twice.
func (l *lookout) record(ctx context.Context, head models.Head, rev uint64, stored models.Head) (models.Head, error) {
	generation, err := l.next(stored.Generation)
	if err != nil {
		return models.Head{}, err
	}
	head.Generation = generation
	err = bounded(ctx, func(ctx context.Context) error {
		_, err := l.Heads.Update(ctx, l.branch, head, rev)
		return err
	})
	if err != nil {
		err = fmt.Errorf("record head %s of %s: %w", head.New, head.Branch, err)
		l.missed(ctx, head, err)
		return models.Head{}, err
	}
	l.log.InfoContext(ctx, "head moved", "generation", head.Generation, "old", head.Old, "commit", head.New, "forced", head.Forced)
	return head, nil
}

// next claims the generation after the stored one and the floor. One that was
// claimed for an attempt that failed is used up first.
func (l *lookout) next(stored models.Generation) (models.Generation, error) {
	floor := stored
	if l.Floor != nil {
		floor = max(floor, l.Floor())
	}
	if l.claimed > stored && l.claimed >= floor {
		return l.claimed, nil
	}
	claim := floor + 1
	if l.RaiseFloor != nil {
		if err := l.RaiseFloor(claim); err != nil {
			return 0, fmt.Errorf("raise the generation to %d: %w", claim, err)
		}
	}
	l.claimed = claim
	return claim, nil
}

// announce publishes a stored head's event, once for each run and generation,
// and moves the mirror's branch there.
func (l *lookout) announce(ctx context.Context, head models.Head) error {
	if l.announced == head.Generation {
		return nil
	}
	err := bounded(ctx, func(ctx context.Context) error {
		return l.Commits.Publish(ctx, l.branch, eventID(head), head)
	})
	if err != nil {
		err = fmt.Errorf("publish head %s of %s: %w", head.New, head.Branch, err)
		l.missed(ctx, head, err)
		return err
	}
	if err := l.mirror.accept(plumbing.NewHash(head.New)); err != nil {
		return fmt.Errorf("mirror: move %s to %s: %w", l.branch, head.New, err)
	}
	l.announced, l.unrecorded = head.Generation, ""
	return nil
}

// missed tells of a head that the bus did not take, once. Losing to another
// watcher is no miss.
func (l *lookout) missed(ctx context.Context, head models.Head, err error) {
	if l.unrecorded == head.New || errors.Is(err, bus.ErrConflict) || ctx.Err() != nil {
		return
	}
	l.unrecorded = head.New
	if l.Unrecorded != nil {
		l.Unrecorded(ctx, head, err)
	}
}

// bounded gives one call on the bus its deadline.
func bounded(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, busTimeout)
	defer cancel()
	return call(ctx)
}

// eventID names the movement, not its content: heads go from A to B and back.
func eventID(head models.Head) string {
	return fmt.Sprintf("head/%s/%s/%d", head.Branch, movement(head), head.Generation)
}
