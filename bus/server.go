package bus

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const startTimeout = 2 * time.Minute // recovery of a large store after a kill

// startServer starts a server that listens nowhere and keeps its store in dir.
func startServer(dir string, log *slog.Logger) (*server.Server, error) {
	srv, err := server.NewServer(&server.Options{
		ServerName: "setpoint",
		DontListen: true,
		NoSigs:     true,
		JetStream:  true,
		StoreDir:   dir,
		// An acknowledged write is on disk; any lazier setting lost whole streams at power loss.
		SyncAlways: true,
		// The streams' own limits hold. The server's is out of reach, because it may
		// strike in the middle of a batch that was already taken.
		JetStreamMaxStore:  1 << 60,
		JetStreamMaxMemory: 1 << 30,
		JetStreamLimits:    server.JSLimitOpts{MaxBatchSize: embeddedBatch},
	})
	if err != nil {
		return nil, fmt.Errorf("set up the embedded server: %w", err)
	}
	l := &serverLog{log: log.With("component", "nats-server")}
	srv.SetLoggerV2(l, false, false, false)
	srv.Start()
	if err := l.fatal(); err != nil || !srv.ReadyForConnections(startTimeout) {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, fmt.Errorf("start the embedded server: %w", cmpErr(err, errors.New("not ready in time")))
	}
	return srv, nil
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// setAside moves the store out of the way and returns where to. Where the folder
// itself cannot be moved, because it is a mount point, what the server keeps in
// it is.
func setAside(dir string, now time.Time) (string, error) {
	suffix := ".set-aside-" + now.Format("20060102T150405Z")
	for _, from := range []string{dir, filepath.Join(dir, "jetstream")} {
		to := from + suffix
		for i := 1; exists(to); i++ {
			to = fmt.Sprintf("%s%s-%d", from, suffix, i)
		}
		err := os.Rename(from, to)
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		if err == nil {
			return to, os.MkdirAll(dir, 0o700)
		}
		if from != dir {
			return "", err
		}
	}
	return "", nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func newStoreID() string { return strings.ToLower(rand.Text()) }

// serverLog passes the embedded server's log on, and keeps why it could not start.
type serverLog struct {
	log *slog.Logger
	mu  sync.Mutex
	err error
}

func (l *serverLog) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l *serverLog) Warnf(format string, v ...any)   { l.log.Warn(fmt.Sprintf(format, v...)) }
func (l *serverLog) Errorf(format string, v ...any)  { l.log.Error(fmt.Sprintf(format, v...)) }
func (l *serverLog) Debugf(string, ...any)           {}
func (l *serverLog) Tracef(string, ...any)           {}

func (l *serverLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = fmt.Errorf(format, v...)
	l.log.Error(l.err.Error())
}

func (l *serverLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
