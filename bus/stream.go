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
		c.AllowRollup = true // what nats.go asks of a bucket
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

// ours says whether all streams there are belong to one store of ours. On a
// server of somebody else's, a stream that happens to have our name stays as it is.
func (f found) ours() error {
	for s := range streamCount {
		if f.streams[s] == nil {
			continue
		}
		if f.ids[s] == "" {
			return fmt.Errorf("stream %s exists and is not setpoint's", streamNames[s])
		}
		if f.id == "" {
			f.id = f.ids[s]
		}
		if f.ids[s] != f.id {
			return fmt.Errorf("streams are of different stores: %s is of %s, the others of %s", streamNames[s], f.ids[s], f.id)
		}
	}
	return nil
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

// census is what a reading of all tables found.
type census struct {
	keys, sum uint64   // as in marks
	newest    uint64   // highest revision
	markers   []uint64 // of keys deleted a while ago
}

// verify reads every value of the tables once and holds the result against what
// the server believes and what was seen. The server's own last sequence is not
// enough: it stays where it was when the end of a block is cut off, and values
// that were overwritten come back.
func (b *Bus) verify(ctx context.Context, f found, seen marks) (reason string, err error) {
	if reason, err := b.verifyEvents(ctx, f.streams[events]); reason != "" || err != nil {
		return reason, err
	}
	state := f.streams[tables]
	if state == nil {
		return "", nil
	}
	c, err := b.count(ctx)
	if errors.Is(err, errStalled) {
		return "tables are damaged: " + err.Error(), nil
	}
	if err != nil {
		return "", err
	}
	if reason := c.judge(state, seen); reason != "" {
		return reason, nil
	}
	return "", b.dropMarkers(ctx, c)
}

func (c census) judge(state *jetstream.StreamState, seen marks) string {
	switch {
	case c.keys < state.Msgs:
		return fmt.Sprintf("tables are damaged: %d of %d values can be read", c.keys, state.Msgs)
	case c.newest != state.LastSeq:
		// The newest write is the newest of its key, so it is always there.
		return fmt.Sprintf("tables are damaged: the newest value is of sequence %d, the stream ends at %d", c.newest, state.LastSeq)
	case c.keys < seen.Keys:
		return fmt.Sprintf("tables are damaged: they hold %d keys, %d were seen", c.keys, seen.Keys)
	case c.sum < seen.Sum:
		// Revisions only rise: a lower sum is an older revision somewhere.
		return fmt.Sprintf("tables are damaged: revisions add up to %d, %d was seen", c.sum, seen.Sum)
	default:
		return ""
	}
}

func (b *Bus) count(ctx context.Context) (census, error) {
	var c census
	before := time.Now().Add(-markerAge)
	err := b.scan(ctx, tables, tablePrefix+">", func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		rev := meta.Sequence.Stream
		c.keys++
		c.sum += rev
		c.newest = max(c.newest, rev)
		if deleted(m.Headers()) && meta.Timestamp.Before(before) {
			c.markers = append(c.markers, rev)
		}
		return nil
	})
	return c, err
}

// dropMarkers removes what is left of keys deleted long ago, but never the newest
// write. It counts them out before, so that a crash leaves more than was seen.
func (b *Bus) dropMarkers(ctx context.Context, c census) error {
	var drop []uint64
	for _, rev := range c.markers {
		if rev != c.newest {
			drop = append(drop, rev)
			c.keys, c.sum = c.keys-1, c.sum-rev
		}
	}
	if err := b.marks.recount(c.keys, c.sum); err != nil {
		return err
	}
	return b.remove(ctx, tables, drop)
}

// verifyEvents reads the newest event, which stands until it is too old.
func (b *Bus) verifyEvents(ctx context.Context, state *jetstream.StreamState) (reason string, err error) {
	if state == nil || state.LastSeq == 0 || time.Since(state.LastTime) > eventAge/2 {
		return "", nil
	}
	s, err := b.handle(ctx, events)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err = s.GetMsg(ctx, state.LastSeq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Sprintf("events are damaged: the newest, %d, cannot be read", state.LastSeq), nil
	}
	return "", err
}

// remove deletes messages by sequence. One that is gone already is no error.
func (b *Bus) remove(ctx context.Context, s stream, seqs []uint64) error {
	if len(seqs) == 0 {
		return nil
	}
	h, err := b.handle(ctx, s)
	if err != nil {
		return err
	}
	for _, seq := range seqs {
		if err := removeMessage(ctx, h, seq); err != nil {
			return fmt.Errorf("remove message %d of %s: %w", seq, streamNames[s], err)
		}
	}
	return nil
}

func removeMessage(ctx context.Context, h jetstream.Stream, seq uint64) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := h.DeleteMsg(ctx, seq)
	if !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return err
	}
	if _, rerr := h.GetMsg(ctx, seq); errors.Is(rerr, jetstream.ErrMsgNotFound) {
		return nil
	}
	return err
}

// subjects lists what subjects of a stream there are.
func (b *Bus) subjects(ctx context.Context, s stream, filter string) (map[string]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	h, err := b.js.Stream(ctx, streamNames[s])
	if err != nil {
		return nil, err
	}
	info, err := h.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", filter, err)
	}
	return info.State.Subjects, nil
}

func (b *Bus) handle(ctx context.Context, s stream) (jetstream.Stream, error) {
	if h := b.streams[s]; h != nil {
		return h, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return b.js.Stream(ctx, streamNames[s])
}

func (b *Bus) ensureStreams(ctx context.Context, id string, epoch uint64) error {
	for s := range streamCount {
		c := streamConfig(s, b.limit, b.replicas)
		c.Metadata = map[string]string{metaStore: id, metaEpoch: strconv.FormatUint(epoch, 10)}
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
