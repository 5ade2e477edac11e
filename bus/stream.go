package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// stream is one of the streams that make up the store.
type stream int

const (
	tables stream = iota
	blobs
	events
	streamCount
)

var streamNames = [streamCount]string{tables: "KV_setpoint", blobs: "setpoint-blobs", events: "setpoint-events"}

const (
	tablePrefix = "$KV.setpoint."
	blobPrefix  = "setpoint-blobs."
	topicPrefix = "setpoint."

	metaStore = "setpoint-store" // stream metadata: the store's id
	metaEpoch = "setpoint-epoch" // stream metadata: how often the store was begun anew

	eventAge     = 30 * 24 * time.Hour
	dedupeWindow = 10 * time.Minute
	markerAge    = 24 * time.Hour // how long the marker of a deleted key stays
)

// share is how many bytes of the store a stream may hold. Tables have a quarter
// of their own, so that blobs and events never keep a head, an assignment or a
// device's state from being written.
func share(s stream, limit int64) int64 {
	switch s {
	case tables:
		return limit / 4
	case events:
		return limit / 8
	default:
		return limit - limit/4 - limit/8
	}
}

func streamConfig(s stream, limit int64, replicas int) jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name:               streamNames[s],
		Retention:          jetstream.LimitsPolicy,
		Storage:            jetstream.FileStorage,
		Replicas:           replicas,
		MaxMsgs:            -1,
		MaxConsumers:       -1,
		MaxMsgSize:         -1,
		MaxBytes:           share(s, limit),
		Discard:            jetstream.DiscardNew,
		MaxMsgsPerSubject:  1,
		AllowAtomicPublish: true,
		// A direct read may be answered by a follower that lags. With one replica
		// there is none, and it reads what was written.
		AllowDirect: replicas == 1,
	}
	switch s {
	case tables:
		c.Description = "setpoint: tables, latest value per key"
		c.Subjects = []string{tablePrefix + ">"}
		c.AllowMsgTTL = true
		c.AllowRollup = true
		c.DenyDelete = true
	case blobs:
		c.Description = "setpoint: blobs by hash"
		c.Subjects = []string{blobPrefix + ">"}
	case events:
		c.Description = "setpoint: events"
		c.Subjects = []string{topicPrefix + ">"}
		c.Discard = jetstream.DiscardOld
		c.MaxMsgsPerSubject = -1
		c.MaxAge = eventAge
		c.Duplicates = dedupeWindow
		c.AllowAtomicPublish = false
	}
	return c
}

// found is what a store holds before anything is changed in it.
type found struct {
	id      string
	epoch   uint64
	streams [streamCount]*jetstream.StreamState
	ids     [streamCount]string
}

func (b *Bus) inspect(ctx context.Context) (found, error) {
	var f found
	for s := range streamCount {
		info, err := b.streamInfo(ctx, s)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return f, fmt.Errorf("look at stream %s: %w", streamNames[s], err)
		}
		f.streams[s] = &info.State
		f.ids[s] = info.Config.Metadata[metaStore]
		if s == tables {
			f.id = f.ids[s]
			f.epoch, _ = strconv.ParseUint(info.Config.Metadata[metaEpoch], 10, 64)
		}
	}
	return f, nil
}

func (b *Bus) streamInfo(ctx context.Context, s stream) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	h, err := b.js.Stream(ctx, streamNames[s])
	if err != nil {
		return nil, err
	}
	return h.CachedInfo(), nil
}

// judge compares a store with the marks of what was seen before, and says why it
// may not be trusted, or "".
func judge(f found, seen marks) string {
	any := false
	for s := range streamCount {
		name, state := streamNames[s], f.streams[s]
		was, known := seen.Streams[name]
		if state == nil {
			if known {
				return fmt.Sprintf("stream %s is missing, it was seen at sequence %d", name, was)
			}
			continue
		}
		any = true
		if f.ids[s] == "" {
			return fmt.Sprintf("stream %s bears no store id", name)
		}
		if f.id != "" && f.ids[s] != f.id {
			return fmt.Sprintf("stream %s is of store %s, the tables are of store %s", name, f.ids[s], f.id)
		}
		if seen.Store != "" && f.ids[s] != seen.Store {
			return fmt.Sprintf("stream %s is of store %s, store %s was seen", name, f.ids[s], seen.Store)
		}
		if state.LastSeq < was {
			return fmt.Sprintf("stream %s went back in time: it ends at sequence %d, %d was seen", name, state.LastSeq, was)
		}
		if l := state.Lost; l != nil {
			return fmt.Sprintf("stream %s has lost %d messages (%d bytes)", name, len(l.Msgs), l.Bytes)
		}
	}
	if any && f.id == "" {
		return "the tables are missing"
	}
	if any && f.epoch < seen.Epoch {
		return fmt.Sprintf("the store went back in time: begun anew %d times, %d was seen", f.epoch, seen.Epoch)
	}
	return ""
}

// verify reads every value of the tables once, since a damaged block is noticed
// no earlier than when it is read.
func (b *Bus) verify(ctx context.Context, want uint64) (reason string, err error) {
	var got uint64
	err = b.scan(ctx, tables, tablePrefix+">", func(jetstream.Msg, *jetstream.MsgMetadata) error { got++; return nil })
	if errors.Is(err, errStalled) || err == nil && got < want {
		return fmt.Sprintf("tables are damaged: %d of %d values can be read", got, want), nil
	}
	return "", err
}

func (b *Bus) ensureStreams(ctx context.Context, id string, epoch uint64, f found) error {
	for s := range streamCount {
		c := streamConfig(s, b.limit, b.replicas)
		c.Metadata = map[string]string{metaStore: id, metaEpoch: strconv.FormatUint(epoch, 10)}
		if state := f.streams[s]; state != nil && c.Discard == jetstream.DiscardNew {
			// A limit below what is stored would delete the oldest values.
			c.MaxBytes = max(c.MaxBytes, int64(state.Bytes))
		}
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		h, err := b.js.CreateOrUpdateStream(ctx, c)
		cancel()
		if err != nil {
			return fmt.Errorf("create stream %s: %w", c.Name, err)
		}
		b.streams[s] = h
		b.marks.mark(s, h.CachedInfo().State.LastSeq)
	}
	return nil
}
