package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// errStalled says that a stream announced more messages than it delivers.
var errStalled = errors.New("stream stalled")

const (
	scanBatch   = 500
	scanWait    = 5 * time.Second // for the next message of a scan
	scanStrikes = 3               // waits in vain before a scan has stalled
	idleAfter   = time.Minute     // after which the server forgets a reader that is gone
)

// scan calls each for the newest message of every subject that matches, oldest
// first, and ends with the newest one there was.
func (b *Bus) scan(ctx context.Context, s stream, filter string, each func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	return b.scanWith(ctx, s, jetstream.ConsumerConfig{FilterSubject: filter}, each)
}

func (b *Bus) scanWith(ctx context.Context, s stream, c jetstream.ConsumerConfig, each func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	cons, err := b.reader(ctx, s, c)
	if err != nil {
		return err
	}
	defer b.forget(ctx, s, cons)
	strikes := 0
	for left := cons.CachedInfo().NumPending; left > 0; {
		n, err := b.fetch(ctx, cons, &left, each)
		if err != nil {
			return err
		}
		if n > 0 || left == 0 {
			strikes = 0
			continue
		}
		if left, err = pending(ctx, cons); err != nil {
			return err
		}
		if strikes++; strikes == scanStrikes && left > 0 {
			return fmt.Errorf("%w: %d messages are pending", errStalled, left)
		}
	}
	return nil
}

// fetch reads up to a batch and sets left to what is still to come.
func (b *Bus) fetch(ctx context.Context, cons jetstream.Consumer, left *uint64, each func(jetstream.Msg, *jetstream.MsgMetadata) error) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	msgs, err := cons.Fetch(int(min(*left, scanBatch)), jetstream.FetchMaxWait(scanWait))
	if err != nil {
		return 0, err
	}
	for m := range msgs.Messages() {
		meta, err := m.Metadata()
		if err != nil {
			return n, err
		}
		if err := each(m, meta); err != nil {
			return n, err
		}
		n++
		if *left = meta.NumPending; *left == 0 {
			return n, nil
		}
	}
	return n, msgs.Error()
}

// pending is how much a reader has still to be given.
func pending(ctx context.Context, cons jetstream.Consumer) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := cons.Info(ctx)
	if err != nil {
		return 0, err
	}
	return info.NumPending, nil
}

// reader is a consumer that nobody acknowledges and that the server forgets.
func (b *Bus) reader(ctx context.Context, s stream, c jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c.DeliverPolicy = jetstream.DeliverLastPerSubjectPolicy
	c.AckPolicy = jetstream.AckNonePolicy
	c.MaxDeliver = 1
	c.MemoryStorage = true
	c.Replicas = 1
	c.InactiveThreshold = idleAfter
	cons, err := b.js.CreateConsumer(ctx, streamNames[s], c)
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", streamNames[s], err)
	}
	return cons, nil
}

// forget deletes a reader, also when ctx has ended.
func (b *Bus) forget(ctx context.Context, s stream, cons jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if err := b.js.DeleteConsumer(ctx, streamNames[s], cons.CachedInfo().Name); err != nil {
		b.log.DebugContext(ctx, "reader is left to the server", "stream", streamNames[s], "err", err)
	}
}
