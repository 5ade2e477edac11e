package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/setpoint-net/setpoint/models"
)

// markInterval is how far the file may lag behind the store.
const markInterval = 200 * time.Millisecond

// marks is the content of the watermark file.
type marks struct {
	Store   string            `json:"store"`
	Epoch   uint64            `json:"epoch"`
	Floor   models.Generation `json:"floor"`
	Streams map[string]uint64 `json:"streams,omitempty"` // highest acknowledged sequence
	Keys    uint64            `json:"keys,omitempty"`    // tables: keys written, deleted ones included
	Sum     uint64            `json:"sum,omitempty"`     // tables: sum of the keys' revisions
}

// watermark keeps marks in a file, which is never ahead of the store: a mark is
// an acknowledged write. Sequences are written at intervals, everything else at
// once.
type watermark struct {
	path  string
	log   *slog.Logger
	dirty chan struct{} // holds at most one
	quit  chan struct{}
	done  chan struct{}

	mu      sync.Mutex
	now     marks
	running bool
	failed  string // the last write's error, told once

	file sync.Mutex // one write at a time
}

func openWatermark(path string, log *slog.Logger) (*watermark, error) {
	w := &watermark{
		path: path, log: log, dirty: make(chan struct{}, 1),
		quit: make(chan struct{}), done: make(chan struct{}),
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return w, os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("read watermark: %w", err)
	}
	m, err := parseMarks(data)
	if err != nil {
		log.Error("watermark is damaged: the store is taken as it is", "path", path, "err", err)
		if err := os.Rename(path, path+".damaged"); err != nil {
			return nil, fmt.Errorf("set aside damaged watermark: %w", err)
		}
		return w, nil
	}
	w.now = m
	return w, nil
}

func parseMarks(data []byte) (marks, error) {
	var m marks
	if err := json.Unmarshal(data, &m); err != nil {
		return marks{}, fmt.Errorf("parse watermark: %w", err)
	}
	if m.Store == "" && len(m.Streams) > 0 {
		return marks{}, errors.New("parse watermark: sequences without a store")
	}
	return m, nil
}

func (w *watermark) seen() marks {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.now
	m.Streams = maps.Clone(m.Streams)
	return m
}

func (w *watermark) floor() models.Generation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now.Floor
}

// begin records a store of which nothing was seen yet. The floor stays.
func (w *watermark) begin(store string, epoch uint64) error {
	w.mu.Lock()
	w.now = marks{Store: store, Epoch: epoch, Floor: w.now.Floor}
	w.mu.Unlock()
	return w.write()
}

func (w *watermark) raise(g models.Generation) error {
	w.mu.Lock()
	if g <= w.now.Floor {
		w.mu.Unlock()
		return nil
	}
	old := w.now.Floor
	w.now.Floor = g
	w.mu.Unlock()
	if err := w.write(); err != nil {
		w.mu.Lock()
		if w.now.Floor == g {
			w.now.Floor = old
		}
		w.mu.Unlock()
		return err
	}
	return nil
}

// mark records that the stream acknowledged seq.
func (w *watermark) mark(s stream, seq uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.markLocked(s, seq)
}

// markTables records acknowledged writes to the tables: the last one's sequence,
// how many new keys there were among them, and by how much they raised the sum of
// all revisions.
func (w *watermark) markTables(seq, keys, sum uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now.Keys += keys
	w.now.Sum += sum
	w.markLocked(tables, seq)
}

// recount replaces what was counted of the tables by what is there.
func (w *watermark) recount(keys, sum uint64) error {
	w.mu.Lock()
	w.now.Keys, w.now.Sum = keys, sum
	w.mu.Unlock()
	return w.write()
}

func (w *watermark) markLocked(s stream, seq uint64) {
	name := streamNames[s]
	if w.now.Streams == nil {
		w.now.Streams = make(map[string]uint64, streamCount)
	}
	w.now.Streams[name] = max(seq, w.now.Streams[name])
	select {
	case w.dirty <- struct{}{}:
	default:
	}
}

// run begins to write marks; close ends it.
func (w *watermark) run() {
	w.mu.Lock()
	w.running = true
	w.mu.Unlock()
	go func() {
		defer close(w.done)
		pause := time.NewTimer(0)
		defer pause.Stop()
		for {
			select {
			case <-w.quit:
				return
			case <-pause.C:
			}
			select {
			case <-w.quit:
				return
			case <-w.dirty:
			}
			w.tell(w.write())
			pause.Reset(markInterval)
		}
	}()
}

// tell logs an error when it changes.
func (w *watermark) tell(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	w.mu.Lock()
	same := text == w.failed
	w.failed = text
	w.mu.Unlock()
	if err != nil && !same {
		w.log.Error("watermark is not written: an older store would go unnoticed", "err", err)
	}
}

func (w *watermark) close() error {
	w.mu.Lock()
	running := w.running
	w.running = false
	w.mu.Unlock()
	if !running {
		return nil
	}
	close(w.quit)
	<-w.done
	return w.write()
}

// write replaces the file by the marks of now: written, synced, renamed, and the
// folder synced.
func (w *watermark) write() error {
	w.file.Lock()
	defer w.file.Unlock()
	data, err := json.Marshal(w.seen())
	if err != nil {
		return fmt.Errorf("write watermark: %w", err)
	}
	if err := replaceFile(w.path, append(data, '\n')); err != nil {
		return fmt.Errorf("write watermark: %w", err)
	}
	return nil
}

func replaceFile(path string, data []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
