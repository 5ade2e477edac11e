package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	ackWait    = 5 * time.Second // an event that a dead process held is given out again after this long
	progress   = ackWait / 4     // how often a handler at work says so
	retryFirst = 500 * time.Millisecond
	retryLimit = time.Minute
)

// Topic is a subject of the events stream and all below it. T is sent as JSON.
type Topic[T any] struct {
	bus     *Bus
	subject string
}

// TopicOf is the topic of that subject, which begins with "setpoint." and has no
// wildcards.
func TopicOf[T any](b *Bus, subject string) *Topic[T] { return &Topic[T]{bus: b, subject: subject} }

func (t *Topic[T]) check() error {
	if !strings.HasPrefix(t.subject, topicPrefix) || strings.ContainsAny(t.subject, "*> \t\r\n") ||
		strings.Contains(t.subject, "..") || strings.HasSuffix(t.subject, ".") || len(t.subject) > maxToken {
		return fmt.Errorf("topic %q: a topic is %q and plain names", t.subject, topicPrefix)
	}
	return nil
}

// Publish stores an event below the topic's subject, at the escaped suffix, or at
// the subject itself where suffix is empty. An event whose id was stored within
// the last ten minutes is not stored again; an empty id is never compared.
func (t *Topic[T]) Publish(ctx context.Context, suffix, id string, v T) error {
	if err := t.publish(ctx, suffix, id, v); err != nil {
		return fmt.Errorf("publish %s %q: %w", t.subject, suffix, err)
	}
	return nil
}

func (t *Topic[T]) publish(ctx context.Context, suffix, id string, v T) error {
	if err := t.check(); err != nil {
		return err
	}
	msg := nats.NewMsg(t.subject)
	if suffix != "" {
		s, err := token(suffix)
		if err != nil {
			return err
		}
		msg.Subject += "." + s
	}
	if id != "" {
		s, err := token(id)
		if err != nil {
			return err
		}
		msg.Header[headerMsgID] = []string{t.subject + "." + s}
	}
	var err error
	if msg.Data, err = json.Marshal(v); err != nil {
		return err
	}
	// Far below the stream's limit, so that the newest event always stays.
	if limit := min(t.bus.maxValue(), int(share(events, t.bus.limit)/8)); len(msg.Data) > limit {
		return fmt.Errorf("event has %d bytes, at most %d", len(msg.Data), limit)
	}
	ack, err := t.bus.publish(ctx, events, msg)
	if err == nil && !ack.Duplicate {
		t.bus.marks.mark(events, ack.Sequence)
	}
	return err
}

// Consume hands every event of the topic to handle, in the order in which they
// were stored, one at a time, at least once: an event counts as handled when
// handle returns nil. One that fails is handed in again after a pause that
// doubles from half a second to a minute, and nothing overtakes it. The durable
// name keeps the place over restarts; a new one begins with the oldest event
// stored. An event that is not a T is logged and left out.
//
// Consume blocks until ctx ends, and returns nil then. A lost connection is
// resumed. Two that share a durable name share its events.
func (t *Topic[T]) Consume(ctx context.Context, durable string, handle func(context.Context, T) error) error {
	if err := t.check(); err != nil {
		return err
	}
	name, err := token(durable)
	if err != nil {
		return err
	}
	pause := watchPause
	for ctx.Err() == nil {
		n, err := t.consume(ctx, name, handle)
		if ctx.Err() != nil {
			return nil
		}
		if n > 0 {
			pause = watchPause
		}
		t.bus.log.WarnContext(ctx, "consumer restarts", "topic", t.subject, "durable", durable, "err", err)
		wait(ctx, pause)
		pause = min(2*pause, watchLimit)
	}
	return nil
}

// consume handles events until something breaks, and says how many came.
func (t *Topic[T]) consume(ctx context.Context, name string, handle func(context.Context, T) error) (n int, err error) {
	cons, err := t.consumer(ctx, name)
	if err != nil {
		return 0, err
	}
	msgs, err := cons.Messages(jetstream.PullMaxMessages(1), jetstream.PullExpiry(2*watchBeat),
		jetstream.PullHeartbeat(watchBeat), jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return 0, err
	}
	defer msgs.Stop()
	for {
		m, err := msgs.Next(jetstream.NextContext(ctx))
		if err != nil {
			return n, err
		}
		n++
		if err := t.handle(ctx, m, handle); err != nil {
			return n, err
		}
	}
}

func (t *Topic[T]) consumer(ctx context.Context, name string) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return t.bus.streams[events].CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable:        name,
		FilterSubjects: []string{t.subject, t.subject + ".>"},
		DeliverPolicy:  jetstream.DeliverAllPolicy,
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        ackWait,
		MaxDeliver:     -1,
		MaxAckPending:  1, // nothing overtakes an event that is retried
	})
}

// handle works on one event and answers for it. Its error is the bus's, never
// the handler's.
func (t *Topic[T]) handle(ctx context.Context, m jetstream.Msg, handle func(context.Context, T) error) error {
	log := t.bus.log.With("topic", t.subject, "subject", m.Subject())
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	var v T
	if err := json.Unmarshal(m.Data(), &v); err != nil {
		log.ErrorContext(ctx, "event cannot be read and is left out", "seq", meta.Sequence.Stream, "err", err)
		return m.TermWithReason("not readable")
	}
	work, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { sayProgress(work, m) })
	err = handle(ctx, v)
	stop()
	wg.Wait()
	switch {
	case err == nil:
		return t.ack(ctx, m)
	case ctx.Err() != nil:
		return errors.Join(ctx.Err(), m.Nak())
	default:
		pause := backoff(meta.NumDelivered)
		log.WarnContext(ctx, "event is retried", "seq", meta.Sequence.Stream, "attempt", meta.NumDelivered, "pause", pause, "err", err)
		return m.NakWithDelay(pause)
	}
}

// ack tells the server, and waits until it knows, so that an event is not handled
// again for want of an answer.
func (t *Topic[T]) ack(ctx context.Context, m jetstream.Msg) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	return m.DoubleAck(ctx)
}

func sayProgress(ctx context.Context, m jetstream.Msg) {
	tick := time.NewTicker(progress)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if m.InProgress() != nil {
				return // the connection is gone, and the event will come again
			}
		}
	}
}

// backoff is the pause after the n-th attempt.
func backoff(n uint64) time.Duration {
	d := retryFirst
	for ; n > 1 && d < retryLimit; n-- {
		d *= 2
	}
	return min(d, retryLimit)
}
