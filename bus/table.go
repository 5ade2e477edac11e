package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
)

// Table is the latest value per key, written by compare-and-set. T is kept as
// JSON. A Table is safe for concurrent use and holds nothing.
type Table[T any] struct {
	bus  *Bus
	name string
}

// Entry is a value and its revision.
type Entry[T any] struct {
	Value T
	Rev   uint64
}

// TableOf is the table of that name on b.
func TableOf[T any](b *Bus, name string) *Table[T] { return &Table[T]{bus: b, name: name} }

// subject is where a key of the table lives.
func (t *Table[T]) subject(key string) (string, error) {
	k, err := token(key)
	if err != nil {
		return "", err
	}
	n, err := token(t.name)
	if err != nil {
		return "", err
	}
	return tablePrefix + n + "." + k, nil
}

// key is the inverse of subject.
func (t *Table[T]) key(subject string) (string, error) {
	return unescape(subject[strings.LastIndexByte(subject, '.')+1:])
}

func (t *Table[T]) filter() string { return tablePrefix + escape(t.name) + ".*" }

// Get reads a key's value and revision. An absent key is the zero value, revision
// 0 and no error.
func (t *Table[T]) Get(ctx context.Context, key string) (T, uint64, error) {
	var v T
	subject, err := t.subject(key)
	if err != nil {
		return v, 0, fmt.Errorf("get %s %q: %w", t.name, key, err)
	}
	m, err := t.bus.last(ctx, tables, subject)
	if err != nil {
		return v, 0, fmt.Errorf("get %s %q: %w", t.name, key, err)
	}
	if m == nil || deleted(m.Header) {
		return v, 0, nil
	}
	if err := json.Unmarshal(m.Data, &v); err != nil {
		var zero T
		return zero, 0, fmt.Errorf("get %s %q: %w", t.name, key, err)
	}
	return v, m.Sequence, nil
}

// Update writes a key if its revision is still rev, and returns the new one. Rev
// 0 means that the key must not exist. [ErrConflict] says that the revision was
// another, [ErrFull] that the tables' share of the store is used up. After any
// other error the write may or may not have happened: read again.
func (t *Table[T]) Update(ctx context.Context, key string, v T, rev uint64) (uint64, error) {
	w := t.Put(key, v, rev)
	if w.err != nil {
		return 0, fmt.Errorf("update %s: %w", w, w.err)
	}
	for range markerRetries {
		seq, err := t.bus.publishAll(ctx, tables, w.message())
		if err == nil {
			t.bus.markWrites(seq, w)
			return seq, nil
		}
		again := false
		if errors.Is(err, ErrConflict) && rev == 0 {
			var rerr error
			if again, rerr = t.bus.overMarker(ctx, &w); rerr != nil {
				return 0, fmt.Errorf("update %s: %w", w, rerr)
			}
		}
		if !again {
			return 0, fmt.Errorf("update %s: %w", w, err)
		}
	}
	return 0, fmt.Errorf("update %s: %w", w, ErrConflict)
}

// Delete removes a key if its revision is still rev, else [ErrConflict]. Rev 0
// removes it whatever its revision, and is content with an absent key.
func (t *Table[T]) Delete(ctx context.Context, key string, rev uint64) error {
	subject, err := t.subject(key)
	if err != nil {
		return fmt.Errorf("delete %s %q: %w", t.name, key, err)
	}
	for {
		at := rev
		if rev == 0 {
			m, err := t.bus.last(ctx, tables, subject)
			if err != nil {
				return fmt.Errorf("delete %s %q: %w", t.name, key, err)
			}
			if m == nil || deleted(m.Header) {
				return nil
			}
			at = m.Sequence
		}
		seq, err := t.bus.publishAll(ctx, tables, marker(subject, at))
		if err == nil {
			t.bus.markWrites(seq, Write{expect: at})
			return nil
		}
		if errors.Is(err, ErrConflict) && rev == 0 && ctx.Err() == nil {
			continue
		}
		return fmt.Errorf("delete %s %q: %w", t.name, key, err)
	}
}

// marker is the message that stands for a deleted key, as KV buckets write it.
// The next Open drops it once it is a day old.
func marker(subject string, rev uint64) *nats.Msg {
	msg := nats.NewMsg(subject)
	msg.Header[headerOperation] = []string{"DEL"}
	msg.Header[headerExpect] = []string{strconv.FormatUint(rev, 10)}
	return msg
}
