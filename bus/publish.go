package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	headerExpect    = "Nats-Expected-Last-Subject-Sequence"
	headerMsgID     = "Nats-Msg-Id"
	headerOperation = "KV-Operation"
	headerBatchID   = "Nats-Batch-Id"
	headerBatchSeq  = "Nats-Batch-Sequence"
	headerCommit    = "Nats-Batch-Commit"
)

// Error codes of the server (errors.json of nats-server 2.15).
const (
	codeInsufficient  = 10023 // server's storage
	codeAccountFull   = 10002 // account's resources
	codeStorageFull   = 10047 // account's storage
	codeWrongLast     = 10071 // names the sequence
	codeWrongLastMore = 10164 // clustered, in flight
	codeStoreFailed   = 10077 // a limit of the stream, by its text
)

// puback is the server's answer to a publish. A message of a batch that is not
// its last is answered with nothing.
type puback struct {
	Error *struct {
		Code        int    `json:"code"`
		ErrCode     int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
	Sequence  uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate"`
	Batch     string `json:"batch"`
	Count     int    `json:"count"`
}

// publish sends one message to a stream and waits until it is stored.
func (b *Bus) publish(ctx context.Context, s stream, msg *nats.Msg) (puback, error) {
	return b.publishWithin(ctx, s, msg, callTimeout)
}

func (b *Bus) publishWithin(ctx context.Context, s stream, msg *nats.Msg, limit time.Duration) (puback, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	reply, err := b.nc.RequestMsgWithContext(ctx, msg)
	if errors.Is(err, nats.ErrNoResponders) {
		return puback{}, fmt.Errorf("no JetStream answers for stream %s: %w", streamNames[s], err)
	}
	if err != nil {
		return puback{}, err
	}
	if len(reply.Data) == 0 {
		return puback{}, nil
	}
	var ack puback
	if err := json.Unmarshal(reply.Data, &ack); err != nil {
		return puback{}, fmt.Errorf("answer of stream %s: %w", streamNames[s], err)
	}
	if ack.Error != nil {
		return puback{}, b.refusal(ctx, s, ack)
	}
	if ack.Sequence == 0 {
		return puback{}, fmt.Errorf("answer of stream %s names no sequence", streamNames[s])
	}
	return ack, nil
}

// refusal turns the server's error into ours.
func (b *Bus) refusal(ctx context.Context, s stream, ack puback) error {
	switch e := ack.Error; e.ErrCode {
	case codeWrongLast, codeWrongLastMore:
		return ErrConflict
	case codeInsufficient, codeAccountFull, codeStorageFull:
		return b.full(ctx, s, e.Description)
	case codeStoreFailed:
		if e.Description == "maximum bytes exceeded" {
			return b.full(ctx, s, "")
		}
		if strings.Contains(e.Description, "no space left") {
			return b.full(ctx, s, e.Description)
		}
	}
	return fmt.Errorf("stream %s: %s (%d)", streamNames[s], ack.Error.Description, ack.Error.ErrCode)
}

func (b *Bus) full(ctx context.Context, s stream, detail string) error {
	if detail != "" {
		detail = ": " + detail
	}
	used, limit, err := b.usage(ctx, s)
	if err != nil {
		return fmt.Errorf("%w: stream %s%s", ErrFull, streamNames[s], detail)
	}
	return fmt.Errorf("%w: stream %s holds %s of %s%s", ErrFull, streamNames[s], size(used), size(limit), detail)
}

func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%d bytes", n)
	}
}

// last reads the newest message of a subject; nil when there is none. With more
// than one replica the leader answers, so that a write is read back.
func (b *Bus) last(ctx context.Context, s stream, subject string) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	m, err := b.streams[s].GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	return m, err
}

// deleted says whether a message of the tables is the marker of a deleted key.
func deleted(h nats.Header) bool {
	return h.Get(headerOperation) != "" || h.Get("Nats-Marker-Reason") != ""
}
