package gitwatch

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
)

const (
	defaultTimeout = 5 * time.Minute
	busTimeout     = 30 * time.Second
	defaultBranch  = "main"
)

// Watcher follows one branch of a repository. Its fields are fixed before Run;
// Heads and Commits are required, the functions may be nil.
type Watcher struct {
	URL    string // https, http, ssh (also as user@host:path), file, or a path
	Branch string // "" means main
	Dir    string // of the mirror; made where it is missing

	Username string // of basic authentication, "" means x-access-token; of ssh, "" means the URL's, or git
	Token    string // "" means what the URL says, or none
	CA       []byte // PEM; trusted besides the system's
	Proxy    Proxy  // for https and http; the zero Proxy is the environment's
	SSH      SSH    // required for ssh

	Interval       time.Duration // between looks, ±10 %; 0 means one minute
	Timeout        time.Duration // of one look at the server, a first clone included; 0 means five minutes
	AllowForcePush bool

	Heads   *bus.Table[models.Head]
	Commits *bus.Topic[models.Head]

	// Floor and RaiseFloor keep the highest generation outside the store.
	Floor      func() models.Generation
	RaiseFloor func(models.Generation) error

	// Refused is told once of each head that a force push made and that was
	// not taken. The head has no generation.
	Refused func(context.Context, models.Head, error)
	// Unrecorded is told once of each head that the bus could not take; it is
	// tried again until it can.
	Unrecorded func(context.Context, models.Head, error)

	Log *slog.Logger

	watching
}

// watching is what a Watcher's methods share with its Run.
type watching struct {
	mu    sync.Mutex
	nudge chan struct{}
	repo  *Repo
}

// Run watches until ctx ends, and then returns nil. It returns an error at
// once for settings that can never work; whatever a server, the disk or the
// bus does is logged and tried again.
func (w *Watcher) Run(ctx context.Context) error {
	l, err := w.lookout()
	if err != nil {
		return err
	}
	defer l.close()
	cadence{interval: w.interval(), random: rand.Float64}.run(ctx, w.nudged(), l.look)
	return nil
}

// Look asks for a look at the server now instead of at the next interval. It
// does not wait, and several at once are one. It may be called at any time.
func (w *Watcher) Look() {
	select {
	case w.nudged() <- struct{}{}:
	default: // one is pending
	}
}

// Repo returns the mirror, or nil before Run has opened it. It stays valid
// when the mirror is made anew.
func (w *Watcher) Repo() *Repo {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.repo
}

func (w *Watcher) nudged() chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.nudge == nil {
		w.nudge = make(chan struct{}, 1)
	}
	return w.nudge
}

func (w *Watcher) interval() time.Duration {
	if w.Interval <= 0 {
		return defaultInterval
	}
	return w.Interval
}

// lookout checks the settings and prepares the first look.
func (w *Watcher) lookout() (*lookout, error) {
	switch {
	case w.URL == "":
		return nil, errors.New("watch: no repository url")
	case w.Dir == "":
		return nil, errors.New("watch: no folder for the mirror")
	case w.Heads == nil || w.Commits == nil:
		return nil, errors.New("watch: no bus")
	}
	branch := w.Branch
	if branch == "" {
		branch = defaultBranch
	}
	dir, err := filepath.Abs(w.Dir)
	if err != nil {
		return nil, err
	}
	remote, err := w.dial()
	if err != nil {
		return nil, err
	}
	log := w.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	log = log.With("repository", remote.url, "branch", branch)
	if remote.ep.Protocol == "http" && remote.auth != nil {
		log.Warn("the token goes over the network unencrypted", "hint", "use https")
	}
	return &lookout{Watcher: w, branch: branch, remote: remote, mirror: newMirror(dir, remote.url, branch), log: log}, nil
}
