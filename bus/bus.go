// Package bus is where the stages meet: tables, topics and blobs on NATS
// JetStream, embedded in the process or external.
//
// # Data
//
// Three streams make up a store. KV_setpoint holds all tables, so that one atomic
// batch may cross them: one subject "$KV.setpoint.<table>.<key>" per key, one
// message per subject, its sequence the key's revision. To NATS tools it is the
// bucket "setpoint". It is created here rather than through the KV interface,
// which knows no atomic batches. setpoint-blobs holds blobs by hash, deflated and
// cut into parts that fit into messages. setpoint-events holds what topics
// publish, for thirty days. Names that NATS does not allow in subjects are escaped
// ("leaf.01" is "leaf=2E01"). Each stream bears the store's id and epoch (how
// often it was begun anew) in its metadata.
//
// A quarter of the store belongs to the tables, an eighth to events, the rest to
// blobs. Tables and blobs refuse what does not fit ([ErrFull]), events drop the
// oldest. Blobs that fill their share keep no table from being written. A limit
// set below what is stored deletes nothing.
//
// # Promises
//
// Tables change by compare-and-set alone: the server compares the revision that a
// write names, for each write of a batch, and takes all of a batch or none. Reads
// see the writes that were acknowledged before; with more than one replica the
// leader answers them. A watch tells all that stands, then each change, and never
// loses the last value of a key; it neither blocks the server nor ends before its
// context. An event is handled at least once, in order, one at a time.
//
// The embedded server syncs each write, or each batch, before it acknowledges
// it, so that what was acknowledged survives kill -9 and loss of power.
//
// # Trust
//
// A store may still come back older than it was: from a backup, or because a
// damaged block hides what came after it. The watermark, a small file outside
// the store, remembers which store was seen, up to which sequence of each stream,
// how many keys the tables had and what their revisions added up to. It is
// written after the server acknowledged, at most 200 ms late, so that it is never
// ahead of the store and a kill raises no false alarm. Open compares, and reads
// every value of an embedded store's tables once. The server's own last sequence
// is not proof: it stays when the end of a block is cut off. But the newest value
// is always there, and revisions only rise.
//
// A store that is missing, older, damaged, another one, or that does not open is
// logged, reported by [Bus.Rebuilt], and begun anew. The embedded server's folder
// is moved to "<dir>.set-aside-<UTC time>" and kept; it is the operator's to
// remove. Of an external server only the tables are purged; streams that are not
// ours, or of another store, are an error and stay as they are. What is in the
// store can be derived again from git and the devices, but for one number: the
// floor under generations, which the watermark keeps too. What was lost within
// the last 200 ms before a kill by a block damaged at the same time can go
// unnoticed. A lost watermark costs the floor and one comparison, not the store.
//
// # What it never does
//
// It does not retry a write whose outcome is unknown, does not listen on the
// network, and does not interpret what it carries. One process has an embedded
// store open; a lock file beside the store keeps a second one out.
package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/setpoint-net/setpoint/models"
)

// ErrConflict says that a compare-and-set lost: the key's revision was not the
// one that the write named. Nothing was written; read again and decide again.
var ErrConflict = errors.New("revision conflict")

// ErrFull says that a stream has used up its share of the store. Nothing was
// written. The error's text tells how much is used, and of how much.
var ErrFull = errors.New("store is full")

// ErrNotFound says that no sound blob of that hash is in the store.
var ErrNotFound = errors.New("blob not found")

const (
	callTimeout   = 10 * time.Second // of one request to the server
	defaultStore  = 10 << 30         // bytes, where Config.MaxStore is 0
	minStore      = 64 << 10
	embeddedBatch = 20_000 // writes in one atomic batch, embedded server
	externalBatch = 1000   // the default limit of a server that is not ours
)

// Config says where the store is. Without URLs the server is embedded and keeps
// its store in Dir; with URLs it is an external NATS, 2.12 or newer, and Dir is
// used for nothing but the default place of the watermark.
type Config struct {
	Dir             string      // folder of the embedded server's store; owned by the bus alone
	URLs            []string    // external servers of one cluster
	CredentialsFile string      // external: a NATS .creds file
	TLS             *tls.Config // external: nil uses what the URL's scheme says
	Username        string      // external
	Password        string      // external
	MaxStore        int64       // bytes for all streams together; 0 means 10 GiB
	Replicas        int         // external: copies of each stream; 0 means 1
	Watermark       string      // file of the highest sequences seen; "" means Dir + ".watermark"
	Log             *slog.Logger
}

// Bus is an open store and the connection to it. It is safe for concurrent use.
type Bus struct {
	log       *slog.Logger
	limit     int64
	replicas  int
	batchMax  int
	srv       *server.Server // nil when external
	nc        *nats.Conn
	js        jetstream.JetStream
	streams   [streamCount]jetstream.Stream
	marks     *watermark
	unlock    func() error
	rebuilt   string
	reconnect *broadcast
	pins      *pins
	deflate   deflater
	closing   sync.Once
	closed    error
}

// Open opens the store and checks it against the watermark. An embedded store
// that cannot be opened, or that is older than what was seen before, is moved
// aside and begun anew; [Bus.Rebuilt] says why. Opening a store that another
// process holds is an error.
func Open(ctx context.Context, c Config) (*Bus, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.MaxStore == 0 {
		c.MaxStore = defaultStore
	}
	if c.MaxStore < minStore {
		return nil, fmt.Errorf("open bus: a store of %s is too small, at least %s", size(c.MaxStore), size(minStore))
	}
	if c.Dir != "" {
		c.Dir = filepath.Clean(c.Dir)
	}
	if c.Watermark == "" {
		if c.Dir == "" {
			return nil, errors.New("open bus: neither a store directory nor a watermark file is named")
		}
		c.Watermark = c.Dir + ".watermark"
	}
	if len(c.URLs) == 0 && c.Dir == "" {
		return nil, errors.New("open bus: neither a store directory nor a server's URL is named")
	}
	b := &Bus{
		log: c.Log, limit: c.MaxStore, replicas: max(1, c.Replicas),
		reconnect: newBroadcast(), pins: newPins(),
	}
	if err := b.open(ctx, c); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Bus) open(ctx context.Context, c Config) error {
	if len(c.URLs) > 0 {
		return b.openExternal(ctx, c)
	}
	return b.openEmbedded(ctx, c)
}

func (b *Bus) openEmbedded(ctx context.Context, c Config) error {
	b.batchMax, b.replicas = embeddedBatch, 1
	dir := c.Dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	unlock, err := lock(dir + ".lock")
	if err != nil {
		return fmt.Errorf("open store %s: %w", dir, err)
	}
	b.unlock = unlock
	if b.marks, err = openWatermark(c.Watermark, b.log); err != nil {
		return err
	}
	reason, err := b.start(ctx, dir)
	if err != nil {
		return err
	}
	if reason == "" {
		return nil
	}
	b.stop()
	aside, err := setAside(dir, time.Now().UTC())
	if err != nil {
		return fmt.Errorf("set aside store %s (%s): %w", dir, reason, err)
	}
	b.log.ErrorContext(ctx, "store is not trusted: set aside and begun anew", "reason", reason, "dir", dir, "aside", aside)
	if err := b.marks.begin(newStoreID(), 1); err != nil {
		return err
	}
	again, err := b.start(ctx, dir)
	if err != nil {
		return err
	}
	if again != "" {
		return fmt.Errorf("begin store %s anew: %s", dir, again)
	}
	b.rebuilt = reason
	return nil
}

// start brings up server and connection and judges the store. The reason is why
// the store may not be trusted; then nothing was created in it.
func (b *Bus) start(ctx context.Context, dir string) (reason string, err error) {
	srv, err := startServer(dir, b.log)
	if err != nil {
		return err.Error(), nil
	}
	b.srv = srv
	if err := b.connect(nats.DefaultURL, nats.InProcessServer(srv)); err != nil {
		return "", fmt.Errorf("connect to the embedded server: %w", err)
	}
	found, err := b.inspect(ctx)
	if err != nil {
		return "", err
	}
	seen := b.marks.seen()
	if reason := judge(found, seen); reason != "" {
		return reason, nil
	}
	if reason, err := b.verify(ctx, found, seen); reason != "" || err != nil {
		return reason, err
	}
	return "", b.settle(ctx, found, seen)
}

func (b *Bus) openExternal(ctx context.Context, c Config) error {
	b.batchMax = externalBatch
	marks, err := openWatermark(c.Watermark, b.log)
	if err != nil {
		return err
	}
	b.marks = marks
	opts := []nats.Option{}
	if c.CredentialsFile != "" {
		opts = append(opts, nats.UserCredentials(c.CredentialsFile))
	}
	if c.Username != "" {
		opts = append(opts, nats.UserInfo(c.Username, c.Password))
	}
	if c.TLS != nil {
		opts = append(opts, nats.Secure(c.TLS))
	}
	if err := b.connect(strings.Join(c.URLs, ","), opts...); err != nil {
		return fmt.Errorf("connect to NATS at %s: %w", strings.Join(c.URLs, ", "), err)
	}
	found, err := b.inspect(ctx)
	if err != nil {
		return err
	}
	if err := found.ours(); err != nil {
		return fmt.Errorf("NATS at %s: %w", strings.Join(c.URLs, ", "), err)
	}
	seen := b.marks.seen()
	if found.id != "" && seen.Store != "" && found.id != seen.Store {
		return fmt.Errorf("NATS at %s holds store %s, and this service last used store %s: remove %s if the change is meant",
			strings.Join(c.URLs, ", "), found.id, seen.Store, c.Watermark)
	}
	if found.epoch > seen.Epoch {
		seen.Streams = nil // begun anew by another replica since
	}
	reason := judge(found, seen)
	if reason != "" {
		b.log.ErrorContext(ctx, "store is not trusted: tables purged and begun anew", "reason", reason)
		if err := b.purgeTables(ctx, found); err != nil {
			return err
		}
		found.epoch++
		b.rebuilt = reason
	}
	return b.settle(ctx, found, seen)
}

func (b *Bus) purgeTables(ctx context.Context, found found) error {
	if found.streams[tables] == nil {
		return nil
	}
	s, err := b.handle(ctx, tables)
	if err != nil {
		return fmt.Errorf("purge tables: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := s.Purge(ctx); err != nil {
		return fmt.Errorf("purge tables: %w", err)
	}
	return nil
}

// settle creates what is missing of a trusted store and begins to keep marks.
func (b *Bus) settle(ctx context.Context, found found, seen marks) error {
	id := found.id
	if id == "" {
		id = seen.Store
	}
	if id == "" {
		id = newStoreID()
	}
	if found.id != "" && seen.Store == "" {
		b.log.WarnContext(ctx, "no watermark of this store: taken as it is", "store", id)
	}
	epoch := max(1, found.epoch)
	if id != seen.Store || epoch != seen.Epoch {
		// The watermark knows the store before the store exists, so that a store
		// without a watermark is never the fruit of a crash.
		if err := b.marks.begin(id, epoch); err != nil {
			return err
		}
	}
	if err := b.ensureStreams(ctx, id, epoch); err != nil {
		return err
	}
	b.marks.run()
	return nil
}

func (b *Bus) connect(url string, extra ...nats.Option) error {
	opts := append([]nats.Option{
		nats.Name("setpoint"),
		nats.Timeout(5 * time.Second),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, time.Second),
		nats.ReconnectBufSize(-1), // a write fails at once rather than reaching the server after its caller gave up
		nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(20 * time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				b.log.Warn("nats disconnected", "err", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			b.log.Info("nats reconnected", "url", nc.ConnectedUrlRedacted())
			b.reconnect.send()
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			b.log.Warn("nats error", "err", err)
		}),
	}, extra...)
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		return err
	}
	b.nc = nc
	b.js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(callTimeout))
	return err
}

// stop ends connection and server, and leaves watermark and lock.
func (b *Bus) stop() {
	if b.nc != nil {
		b.nc.Close()
	}
	if b.srv != nil {
		b.srv.Shutdown()
		b.srv.WaitForShutdown()
	}
}

// Close writes the last marks, ends the connection, stops the embedded server
// and lets go of the store. Watches and consumers should have ended before.
func (b *Bus) Close() error {
	b.closing.Do(func() {
		b.stop()
		var errs []error
		if b.marks != nil {
			errs = append(errs, b.marks.close())
		}
		if b.unlock != nil {
			errs = append(errs, b.unlock())
		}
		b.closed = errors.Join(errs...)
	})
	return b.closed
}

// Rebuilt says why the store was set aside at Open and begun anew. It is empty
// if the store was sound, or new.
func (b *Bus) Rebuilt() string { return b.rebuilt }

// Floor is the highest generation ever recorded with RaiseFloor. It is kept
// outside the store and outlives it.
func (b *Bus) Floor() models.Generation { return b.marks.floor() }

// RaiseFloor records g, if it is higher than the floor, and returns when that is
// on disk.
func (b *Bus) RaiseFloor(g models.Generation) error { return b.marks.raise(g) }

// Usage is what all streams together hold and may hold, in bytes.
func (b *Bus) Usage(ctx context.Context) (used, limit int64, err error) {
	for i := range streamCount {
		u, l, err := b.usage(ctx, i)
		if err != nil {
			return 0, 0, err
		}
		used, limit = used+u, limit+l
	}
	return used, limit, nil
}

func (b *Bus) usage(ctx context.Context, s stream) (used, limit int64, err error) {
	info, err := b.streamInfo(ctx, s)
	if err != nil {
		return 0, 0, fmt.Errorf("usage of %s: %w", streamNames[s], err)
	}
	return int64(info.State.Bytes), info.Config.MaxBytes, nil
}

// broadcast wakes everyone who waits on it.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{}
}

func newBroadcast() *broadcast { return &broadcast{ch: make(chan struct{})} }

// next is closed at the next send.
func (b *broadcast) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ch
}

func (b *broadcast) send() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.ch)
	b.ch = make(chan struct{})
}
