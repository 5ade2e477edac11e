package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Faults is what a target does wrong. The zero value is nothing. docs/sim.md says
// which real system shows each. Paths are text, with wildcards as gNMI has them.
type Faults struct {
	// What a Set does.
	Refuse      []string          `json:"refuse,omitempty"`      // a Set that touches one of these is InvalidArgument
	Drop        []string          `json:"drop,omitempty"`        // accepted, and left as it was
	KeepDeleted []string          `json:"keepDeleted,omitempty"` // deletes of what is there are accepted and ignored
	Implicit    []Object          `json:"implicit,omitempty"`    // appear with any Set that changes something
	Rename      map[string]string `json:"rename,omitempty"`      // path of a list's entry → the key that it is kept under
	Order       map[string]string `json:"order,omitempty"`       // path → another: what is new at the one is InvalidArgument in a Set that makes the other, which goes only in a Set after that which ends the one
	Lock        string            `json:"lock,omitempty"`        // every Set fails as "aborted", "failed-precondition" or "unavailable"
	NonAtomic   bool              `json:"nonAtomic,omitempty"`   // what comes before the operation that fails stays
	Leaves      string            `json:"leaves,omitempty"`      // "scalar": JSON for a leaf by itself is Internal
	LoseAnswer  string            `json:"loseAnswer,omitempty"`  // a Set is applied, then its RPC hangs ("hang") or all connections break ("cut")

	// What a Set does with extensions: "supported", "ignored" with OK, or as without
	// the fault "refused" with Unimplemented.
	Commit      string   `json:"commit,omitempty"`      // commit-confirmed
	CommitTraps []string `json:"commitTraps,omitempty"` // where it is supported: "second", "any-id", "stuck", "whole-seconds"
	Arbitration string   `json:"arbitration,omitempty"` // master-arbitration; "no-role": supported for the role that has no name

	// What is told.
	Secrets  string `json:"secrets,omitempty"`  // "hash": shown hashed; "resalt": with a new salt at each read
	Rewrite  bool   `json:"rewrite,omitempty"`  // values are shown in other forms that mean the same
	Defaults string `json:"defaults,omitempty"` // "report" those in use, or "hide" what equals one

	// How RPCs are answered: "get", "set" and "subscribe".
	Delay            map[string]Duration `json:"delay,omitempty"`
	Hang             []string            `json:"hang,omitempty"`             // no answer before the client gives up
	GetUnimplemented bool                `json:"getUnimplemented,omitempty"` // of any type
	GetAllOnly       string              `json:"getAllOnly,omitempty"`       // other types are "unimplemented" or "invalid-argument"
	PartialGet       string              `json:"partialGet,omitempty"`       // a Get that meets this path is Internal
	ClockSkew        Duration            `json:"clockSkew,omitempty"`        // added to every timestamp

	// What streams do, also those that are open.
	Origin            string   `json:"origin,omitempty"`            // "openconfig": on a path that does not name it, nothing is told
	NoOnChange        string   `json:"noOnChange,omitempty"`        // "refuse" ON_CHANGE, or after sync be "silent"
	LoseNotifications int      `json:"loseNotifications,omitempty"` // so many of the next changes are told to nobody
	SilentPath        []string `json:"silentPath,omitempty"`        // changes there are not told
	CloseStream       string   `json:"closeStream,omitempty"`       // after sync the target ends "always", or "once" one that is open or comes next, with OK
	CancelStream      string   `json:"cancelStream,omitempty"`      // the same with status Canceled
	Malformed         string   `json:"malformed,omitempty"`         // notifications with a bad "path" or "value", or an "oversized" one
}

// Object is a node and its value, RFC 7951 JSON.
type Object struct {
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value"`
}

// Duration is a length of time that JSON writes as "1m30s".
type Duration time.Duration

// MarshalText writes it as time.Duration does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// choices are the words that faults of several kinds may be set to.
func (f Faults) choices() []choice {
	return []choice{
		{"secrets", f.Secrets, []string{"hash", "resalt"}},
		{"defaults", f.Defaults, []string{"report", "hide"}},
		{"lock", f.Lock, slices.Sorted(maps.Keys(lockCodes))},
		{"commit", f.Commit, []string{"supported", "ignored", "refused"}},
		{"arbitration", f.Arbitration, []string{"supported", "no-role", "ignored", "refused"}},
		{"leaves", f.Leaves, []string{"scalar"}},
		{"loseAnswer", f.LoseAnswer, []string{"hang", "cut"}},
		{"getAllOnly", f.GetAllOnly, slices.Sorted(maps.Keys(typeCodes))},
		{"origin", f.Origin, []string{"openconfig"}},
		{"noOnChange", f.NoOnChange, []string{"refuse", "silent"}},
		{"closeStream", f.CloseStream, []string{"once", "always"}},
		{"cancelStream", f.CancelStream, []string{"once", "always"}},
		{"malformed", f.Malformed, []string{"path", "value", "oversized"}},
	}
}

// The RPCs that can be slow or hang.
var rpcs = []string{"get", "set", "subscribe"}

// The ways in which a server was found to misread commit-confirmed: it takes a
// second commit while one is pending, and forgets what the first began with; it asks
// for no id; it takes a commit that failed for pending; it reads durations in whole
// seconds, and none as its default.
var commitTraps = []string{"second", "any-id", "stuck", "whole-seconds"}

type choice struct {
	fault, word string
	allowed     []string
}

// ParseFaults reads faults as JSON. What it does not know is an error that names
// what comes near.
func ParseFaults(text []byte) (Faults, error) {
	var f Faults
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return f, fmt.Errorf("faults: %w", err)
	}
	names := FaultNames()
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(names, name) {
			return f, fmt.Errorf("unknown fault %q, did you mean %q?", brief(name), nearest(name, names))
		}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return f, fmt.Errorf("faults: %w", err)
	}
	return f, f.check()
}

// FaultNames are the names of all faults in JSON.
func FaultNames() []string {
	var out []string
	t := reflect.TypeFor[Faults]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		out = append(out, name)
	}
	return out
}

// check holds the words to those that are allowed.
func (f Faults) check() error {
	var errs []error
	all := f.choices()
	for _, rpc := range f.Hang {
		all = append(all, choice{"hang", rpc, rpcs})
	}
	for _, trap := range f.CommitTraps {
		all = append(all, choice{"commitTraps", trap, commitTraps})
	}
	for rpc, d := range f.Delay {
		all = append(all, choice{"delay", rpc, rpcs})
		if d < 0 {
			errs = append(errs, fmt.Errorf("delay: %v is below 0", time.Duration(d)))
		}
	}
	if f.LoseNotifications < 0 {
		errs = append(errs, fmt.Errorf("loseNotifications: %d is below 0", f.LoseNotifications))
	}
	for _, c := range all {
		if c.word != "" && !slices.Contains(c.allowed, c.word) {
			errs = append(errs, fmt.Errorf("%s: unknown %q, did you mean %q?", c.fault, brief(c.word), nearest(c.word, c.allowed)))
		}
	}
	return errors.Join(errs...)
}

// nearest is the name that takes the fewest edits to reach.
func nearest(name string, names []string) string {
	return slices.MinFunc(names, func(a, b string) int { return edits(name, a) - edits(name, b) })
}

// edits is the Levenshtein distance, whatever the case of letters.
func edits(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// broken is a target's faults with their paths resolved. It is never changed but
// for its counters.
type broken struct {
	Faults
	refuse, drop, keep, silent, partial [][]step
	rename                              []renaming
	order                               []dependence

	lost             atomic.Int64 // notifications, of LoseNotifications
	closed, canceled atomic.Bool  // a stream was ended "once"
}

// Break gives the target other faults than it has, at once; the zero Faults mend
// it. It fails, and changes nothing, when a path is not in the models or a word is
// unknown. What is set stays: a configuration that a fault bent is not unbent.
func (t *Target) Break(f Faults) error {
	b, err := t.compile(f)
	if err != nil {
		return err
	}
	t.setting.Lock()
	defer t.setting.Unlock()
	t.broken.Store(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.view = nil
	t.view = t.seen(t.root)
	t.tell()
	close(t.news)
	t.news = make(chan struct{})
	return nil
}

// Faults are those that the target has now. What was to happen a number of times
// is left with how often it still will.
func (t *Target) Faults() Faults {
	b := t.broken.Load()
	f := b.Faults
	f.LoseNotifications -= int(min(b.lost.Load(), int64(f.LoseNotifications)))
	if b.closed.Load() {
		f.CloseStream = ""
	}
	if b.canceled.Load() {
		f.CancelStream = ""
	}
	return f
}

func some(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

func (t *Target) compile(f Faults) (*broken, error) {
	b := &broken{Faults: f}
	if err := f.check(); err != nil {
		return nil, err
	}
	for _, l := range []struct {
		fault string
		texts []string
		to    *[][]step
	}{
		{"refuse", slices.Concat(t.config.Refuse, f.Refuse), &b.refuse},
		{"drop", f.Drop, &b.drop},
		{"keepDeleted", f.KeepDeleted, &b.keep},
		{"silentPath", f.SilentPath, &b.silent},
		{"partialGet", some(f.PartialGet), &b.partial},
	} {
		for _, text := range l.texts {
			patterns, err := t.parsePath(text)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", l.fault, err)
			}
			*l.to = append(*l.to, patterns...)
		}
	}
	for _, from := range slices.Sorted(maps.Keys(f.Rename)) {
		r, err := t.renaming(from, f.Rename[from])
		if err != nil {
			return nil, fmt.Errorf("rename: %w", err)
		}
		b.rename = append(b.rename, r)
	}
	for _, of := range slices.Sorted(maps.Keys(f.Order)) {
		d, err := t.dependence(of, f.Order[of])
		if err != nil {
			return nil, fmt.Errorf("order: %w", err)
		}
		b.order = append(b.order, d)
	}
	for _, o := range f.Implicit {
		if _, err := t.implicit(&node{schema: t.schema}, o); err != nil {
			return nil, fmt.Errorf("implicit: %w", err)
		}
	}
	return b, nil
}
