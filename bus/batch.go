package bus

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	markerRetries = 4   // how often a new key may race with the marker of a deleted one
	stageWindow   = 128 // messages of a batch sent before the server must answer one

	commitTime = time.Millisecond // the server is given for each message of a batch
)

// Write is one write of a [Bus.Batch]; [Table.Put] makes it.
type Write struct {
	table, key string
	subject    string
	value      []byte
	rev        uint64 // as the caller names it
	expect     uint64 // as the server is asked: rev, or that of a deletion's marker
	err        error
}

// String names the write for errors.
func (w Write) String() string { return fmt.Sprintf("%s %q", w.table, w.key) }

func (w Write) message() *nats.Msg {
	return &nats.Msg{
		Subject: w.subject, Data: w.value,
		Header: nats.Header{headerExpect: []string{strconv.FormatUint(w.expect, 10)}},
	}
}

// Put is the write of a value for [Bus.Batch]; rev is as in [Table.Update].
func (t *Table[T]) Put(key string, v T, rev uint64) Write {
	w := Write{table: t.name, key: key, rev: rev, expect: rev}
	w.subject, w.err = t.subject(key)
	if w.err != nil {
		return w
	}
	w.value, w.err = json.Marshal(v)
	if limit := t.bus.maxValue(); w.err == nil && len(w.value) > limit {
		w.err = fmt.Errorf("value has %d bytes, at most %d", len(w.value), limit)
	}
	return w
}

// Batch writes all of the writes or none, across tables. [ErrConflict] says that
// at least one revision was another, [ErrFull] that not all of them fit; nothing
// was written then. After any other error it may have been written as a whole.
//
// A server takes at most so many writes in one batch: 20,000 embedded, 1000
// external. More are written as several batches in the order given, each all or
// none; the first that fails ends it.
func (b *Bus) Batch(ctx context.Context, writes ...Write) error {
	subjects := make(map[string]bool, len(writes))
	for _, w := range writes {
		if w.err != nil {
			return fmt.Errorf("batch: %s: %w", w, w.err)
		}
		if subjects[w.subject] {
			return fmt.Errorf("batch: %s is written twice", w)
		}
		subjects[w.subject] = true
	}
	for from := 0; from < len(writes); from += b.batchMax {
		part := writes[from:min(from+b.batchMax, len(writes))]
		if err := b.batch(ctx, part); err != nil {
			return fmt.Errorf("batch of %d writes: %w", len(part), err)
		}
	}
	return nil
}

func (b *Bus) batch(ctx context.Context, writes []Write) error {
	for range markerRetries {
		msgs := make([]*nats.Msg, len(writes))
		for i, w := range writes {
			msgs[i] = w.message()
		}
		seq, err := b.publishAll(ctx, tables, msgs...)
		if err == nil {
			b.markWrites(seq, writes...)
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
		again, rerr := b.overMarkers(ctx, writes)
		if rerr != nil {
			return rerr
		}
		if !again {
			return err
		}
	}
	return ErrConflict
}

// overMarkers aims the writes of new keys at the markers of deleted ones. It says
// whether another attempt may succeed.
func (b *Bus) overMarkers(ctx context.Context, writes []Write) (again bool, err error) {
	for i := range writes {
		if writes[i].rev != 0 {
			continue
		}
		moved, err := b.overMarker(ctx, &writes[i])
		if err != nil {
			return false, err
		}
		again = again || moved
	}
	return again, nil
}

func (b *Bus) overMarker(ctx context.Context, w *Write) (moved bool, err error) {
	m, err := b.last(ctx, tables, w.subject)
	if err != nil {
		return false, err
	}
	at := uint64(0)
	if m != nil {
		if !deleted(m.Header) {
			return false, nil
		}
		at = m.Sequence
	}
	moved = at != w.expect
	w.expect = at
	return moved, nil
}

// markWrites records writes that were stored one after the other, the last one at
// seq.
func (b *Bus) markWrites(seq uint64, writes ...Write) {
	var keys, sum uint64
	for i, w := range writes {
		if w.expect == 0 {
			keys++
		}
		sum += seq - uint64(len(writes)-1-i) - w.expect
	}
	b.marks.markTables(seq, keys, sum)
}

// publishAll stores all of the messages, one after the other, or none of them. It
// returns the last one's sequence, 0 if there is none.
func (b *Bus) publishAll(ctx context.Context, s stream, msgs ...*nats.Msg) (uint64, error) {
	if len(msgs) == 0 {
		return 0, nil
	}
	if len(msgs) == 1 {
		ack, err := b.publish(ctx, s, msgs[0])
		return ack.Sequence, err
	}
	id, last := rand.Text(), len(msgs)-1
	for i, m := range msgs {
		m.Header[headerBatchID] = []string{id}
		m.Header[headerBatchSeq] = []string{strconv.Itoa(i + 1)}
		if i == last {
			break
		}
		if err := b.stage(ctx, s, m, i%stageWindow == 0); err != nil {
			return 0, err
		}
	}
	msgs[last].Header[headerCommit] = []string{"1"}
	ack, err := b.publishWithin(ctx, s, msgs[last], callTimeout+time.Duration(len(msgs))*commitTime)
	if err == nil && (ack.Batch != id || ack.Count != len(msgs)) {
		err = fmt.Errorf("stream %s took %d of %d messages as batch %q", streamNames[s], ack.Count, len(msgs), ack.Batch)
	}
	return ack.Sequence, err
}

// stage sends a message of a batch that is not its last. An answer is awaited for
// the first, which says whether a batch may begin, and now and then, so that the
// sender does not run ahead of the server.
func (b *Bus) stage(ctx context.Context, s stream, m *nats.Msg, answer bool) error {
	if !answer {
		return b.nc.PublishMsg(m)
	}
	_, err := b.publish(ctx, s, m)
	return err
}

// maxValue is how many bytes a message's body may have.
func (b *Bus) maxValue() int { return int(b.nc.MaxPayload()) - headerRoom }

// headerRoom is what the headers of any of our messages fit into.
const headerRoom = 4 << 10
