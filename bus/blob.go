package bus

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/setpoint-net/setpoint/models"
)

const (
	headerParts    = "Setpoint-Parts"    // of a blob's part 0: how many there are
	headerEncoding = "Setpoint-Encoding" // of a blob's part 0: "deflate" (RFC 1951), or absent

	blobBatchBytes = 4 << 20 // a batch of parts is cut at this many bytes
	blobBatchParts = 500
	blobListFrom   = 16 // as many blobs are looked up one by one; more through one listing
	blobMax        = 1 << 30
)

// Blobs are byte strings by the hash of their content. A blob is written once
// and never changes. Blobs are compressed; one that is larger than a message may
// be is cut into parts. Safe for concurrent use.
type Blobs struct{ bus *Bus }

// Blobs is the blob store of b.
func (b *Bus) Blobs() *Blobs { return &Blobs{bus: b} }

// pins keeps a sweep from removing a blob that a Put just found or wrote, and
// that nothing names yet.
type pins struct {
	mu sync.RWMutex // held for writing while one blob is removed
	at sync.Map     // models.Hash → time.Time
}

func newPins() *pins { return &pins{} }

func (p *pins) pin(h models.Hash) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	p.at.Store(h, time.Now())
}

// forget drops the pins that protect nothing any more.
func (p *pins) forget(before time.Time) {
	p.at.Range(func(h, at any) bool {
		if !at.(time.Time).After(before) {
			p.at.CompareAndDelete(h, at)
		}
		return true
	})
}

// Put stores the blobs that are not there yet and returns the hash of each. A
// blob is stored as a whole or not at all; of several, the first ones may have
// been stored when an error comes. [ErrFull] says that the blobs' share of the
// store is used up.
func (s *Blobs) Put(ctx context.Context, blobs ...[]byte) ([]models.Hash, error) {
	hashes := make([]models.Hash, len(blobs))
	content := make(map[models.Hash][]byte, len(blobs))
	for i, data := range blobs {
		hashes[i] = hashOf(data)
		content[hashes[i]] = data
		s.bus.pins.pin(hashes[i])
	}
	if err := s.leaveOutExisting(ctx, content); err != nil {
		return nil, fmt.Errorf("put %d blobs: %w", len(blobs), err)
	}
	if err := s.write(ctx, hashes, content); err != nil {
		return nil, fmt.Errorf("put %d blobs: %w", len(blobs), err)
	}
	return hashes, nil
}

func hashOf(data []byte) models.Hash {
	sum := sha256.Sum256(data)
	return models.Hash(hex.EncodeToString(sum[:]))
}

func (s *Blobs) leaveOutExisting(ctx context.Context, content map[models.Hash][]byte) error {
	if len(content) >= blobListFrom {
		return s.leaveOutListed(ctx, content)
	}
	for h := range content {
		m, err := s.bus.last(ctx, blobs, partSubject(h, 0))
		if err != nil {
			return err
		}
		if m != nil {
			delete(content, h)
		}
	}
	return nil
}

func (s *Blobs) leaveOutListed(ctx context.Context, content map[models.Hash][]byte) error {
	subjects, err := s.bus.subjects(ctx, blobs, blobPrefix+"*.0")
	if err != nil {
		return err
	}
	for subject := range subjects {
		if h, part, err := splitSubject(subject); err == nil && part == 0 {
			delete(content, h)
		}
	}
	return nil
}

// write stores what is left of content, in the order of hashes. Each blob's part
// 0 goes last, so that it never stands for parts that are not there.
func (s *Blobs) write(ctx context.Context, hashes []models.Hash, content map[models.Hash][]byte) error {
	var batch []*nats.Msg
	var bytes int
	flush := func() error {
		seq, err := s.bus.publishAll(ctx, blobs, batch...)
		if err == nil {
			s.bus.marks.mark(blobs, seq)
		}
		batch, bytes = nil, 0
		return err
	}
	for _, h := range hashes {
		data, ok := content[h]
		if !ok {
			continue
		}
		delete(content, h)
		parts, err := s.parts(h, data)
		if err != nil {
			return err
		}
		for _, m := range parts {
			if len(batch) > 0 && (bytes+len(m.Data) > blobBatchBytes || len(batch) == blobBatchParts) {
				if err := flush(); err != nil {
					return err
				}
			}
			batch, bytes = append(batch, m), bytes+len(m.Data)
		}
	}
	return flush()
}

// parts are the messages of a blob, part 0 last.
func (s *Blobs) parts(h models.Hash, data []byte) ([]*nats.Msg, error) {
	body, encoding, err := s.bus.deflate.compress(data)
	if err != nil {
		return nil, fmt.Errorf("compress blob %s: %w", h, err)
	}
	limit := s.bus.maxValue()
	n := max(1, (len(body)+limit-1)/limit)
	msgs := make([]*nats.Msg, 0, n)
	for i := n - 1; i >= 0; i-- {
		m := nats.NewMsg(partSubject(h, i))
		m.Data = body[i*limit : min((i+1)*limit, len(body))]
		if i == 0 {
			m.Header[headerParts] = []string{strconv.Itoa(n)}
			if encoding != "" {
				m.Header[headerEncoding] = []string{encoding}
			}
		}
		msgs = append(msgs, m)
	}
	return msgs, nil
}

func partSubject(h models.Hash, part int) string {
	return blobPrefix + string(h) + "." + strconv.Itoa(part)
}

func splitSubject(subject string) (models.Hash, int, error) {
	h, part, ok := strings.Cut(strings.TrimPrefix(subject, blobPrefix), ".")
	n, err := strconv.Atoi(part)
	if !ok || err != nil {
		return "", 0, fmt.Errorf("subject %q is no blob's", subject)
	}
	return models.Hash(h), n, nil
}

// Get reads a blob and verifies its hash. [ErrNotFound] says that there is none,
// or none that is sound; a damaged one is removed, so that a Put mends it.
func (s *Blobs) Get(ctx context.Context, h models.Hash) ([]byte, error) {
	if !validHash(h) {
		return nil, fmt.Errorf("get blob %.70q: no hash", h)
	}
	first, err := s.bus.last(ctx, blobs, partSubject(h, 0))
	if err != nil {
		return nil, fmt.Errorf("get blob %s: %w", h, err)
	}
	if first == nil {
		return nil, fmt.Errorf("get blob %s: %w", h, ErrNotFound)
	}
	data, err := s.assemble(ctx, h, first)
	if errors.Is(err, errDamaged) {
		s.bus.log.ErrorContext(ctx, "blob is damaged and removed", "hash", h, "err", err)
		if rerr := s.bus.remove(ctx, blobs, []uint64{first.Sequence}); rerr != nil {
			err = errors.Join(err, rerr)
		}
		return nil, fmt.Errorf("get blob %s: %w: %w", h, ErrNotFound, err)
	}
	if err != nil {
		return nil, fmt.Errorf("get blob %s: %w", h, err)
	}
	return data, nil
}

var errDamaged = errors.New("damaged")

func (s *Blobs) assemble(ctx context.Context, h models.Hash, first *jetstream.RawStreamMsg) ([]byte, error) {
	n, err := strconv.Atoi(first.Header.Get(headerParts))
	if err != nil || n < 1 {
		return nil, fmt.Errorf("%w: %q parts", errDamaged, first.Header.Get(headerParts))
	}
	body := first.Data
	for i := 1; i < n; i++ {
		m, err := s.bus.last(ctx, blobs, partSubject(h, i))
		if err != nil {
			return nil, err
		}
		if m == nil {
			return nil, fmt.Errorf("%w: part %d of %d is missing", errDamaged, i, n)
		}
		body = append(body, m.Data...)
	}
	data, err := decompress(body, first.Header.Get(headerEncoding))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if got := hashOf(data); got != h {
		return nil, fmt.Errorf("%w: its content has hash %s", errDamaged, got)
	}
	return data, nil
}

func validHash(h models.Hash) bool {
	b, err := hex.DecodeString(string(h))
	return err == nil && len(b) == sha256.Size && strings.ToLower(string(h)) == string(h)
}

// Sweep removes the blobs that keep does not want and that no Put stored or asked
// for within olderThan. It reports how many it removed, and the bytes that gave
// back. One process sweeps at a time: the Puts of another are not known to it
// until they are stored.
func (s *Blobs) Sweep(ctx context.Context, keep func(models.Hash) bool, olderThan time.Duration) (removed int, freed int64, err error) {
	before := time.Now().Add(-olderThan)
	found, err := s.list(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("sweep blobs: %w", err)
	}
	for h, b := range found {
		if b.newest.After(before) || keep(h) {
			continue
		}
		gone, err := s.sweep(ctx, h, b, before)
		if err != nil {
			return removed, freed, fmt.Errorf("sweep blob %s: %w", h, err)
		}
		if gone {
			removed, freed = removed+1, freed+b.size
		}
	}
	s.bus.pins.forget(before)
	return removed, freed, nil
}

// stored is what the store holds of a blob.
type stored struct {
	newest time.Time
	size   int64
	seqs   []uint64 // of the parts, part 0 first
}

func (s *Blobs) list(ctx context.Context) (map[models.Hash]*stored, error) {
	found := make(map[models.Hash]*stored)
	c := jetstream.ConsumerConfig{FilterSubject: blobPrefix + ">", HeadersOnly: true}
	err := s.bus.scanWith(ctx, blobs, c, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		h, part, err := splitSubject(m.Subject())
		if err != nil {
			return err
		}
		b := found[h]
		if b == nil {
			b = &stored{}
			found[h] = b
		}
		if meta.Timestamp.After(b.newest) {
			b.newest = meta.Timestamp
		}
		n, _ := strconv.ParseInt(m.Headers().Get("Nats-Msg-Size"), 10, 64)
		b.size += n
		b.seqs = append(b.seqs, meta.Sequence.Stream)
		if part == 0 {
			last := len(b.seqs) - 1
			b.seqs[0], b.seqs[last] = b.seqs[last], b.seqs[0]
		}
		return nil
	})
	return found, err
}

// sweep removes one blob, unless a Put asked for it meanwhile. A Put that asks
// later finds it gone.
func (s *Blobs) sweep(ctx context.Context, h models.Hash, b *stored, before time.Time) (gone bool, err error) {
	p := s.bus.pins
	p.mu.Lock()
	defer p.mu.Unlock()
	if at, ok := p.at.Load(h); ok && at.(time.Time).After(before) {
		return false, nil
	}
	p.at.Delete(h)
	return true, s.bus.remove(ctx, blobs, b.seqs)
}

// deflater is a writer that is used again: a new one costs more than a small blob.
type deflater struct{ pool sync.Pool }

// compress deflates data where that makes it smaller.
func (d *deflater) compress(data []byte) (body []byte, encoding string, err error) {
	var out bytes.Buffer
	w, ok := d.pool.Get().(*flate.Writer)
	if ok {
		w.Reset(&out)
	} else if w, err = flate.NewWriter(&out, flate.BestSpeed); err != nil {
		return nil, "", err
	}
	defer d.pool.Put(w)
	if _, err := w.Write(data); err != nil {
		return nil, "", err
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	if out.Len() >= len(data) {
		return data, "", nil
	}
	return out.Bytes(), "deflate", nil
}

func decompress(body []byte, encoding string) ([]byte, error) {
	switch encoding {
	case "":
		return body, nil
	case "deflate":
		data, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(body)), blobMax+1))
		if err == nil && len(data) > blobMax {
			err = fmt.Errorf("more than %d bytes", blobMax)
		}
		return data, err
	default:
		return nil, fmt.Errorf("unknown encoding %q", encoding)
	}
}
