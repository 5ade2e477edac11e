// Package models holds the values that flow between setpoint's stages: what a
// head, a rendering, an assignment, a device's state and an episode of drift
// are, and nothing about how they are stored or sent. It imports nothing of
// ours, and it admits a type only if two stages exchange it.
//
// Every value is plain data with a stable JSON form, because it is kept in
// JetStream and read back by a later version. Times are UTC. Values carry the
// generation they derive from; a write that carries a lower generation than the
// stored one loses.
package models

import (
	"strings"
	"time"
)

// DeviceName names an inventory entry: letters, digits, '-', '_' and '.',
// starting and ending with a letter or digit, at most 63 bytes, case-sensitive.
type DeviceName string

// Hash is the lower-case hexadecimal SHA-256 of a blob's bytes. The empty Hash
// means "none".
type Hash string

// Generation grows by at least one with each change of the deploy branch's head,
// and never falls, also when the store had to be rebuilt. Zero means "none".
type Generation uint64

// Head is one movement of a branch: the value of the table heads, and the event
// published as a commit. Old is empty for the first head ever seen.
type Head struct {
	Generation Generation `json:"generation"`
	Branch     string     `json:"branch"`
	Old        string     `json:"old,omitempty"` // full hash of the head before
	New        string     `json:"new"`           // full hash of the head now
	Forced     bool       `json:"forced,omitempty"`
	Seen       time.Time  `json:"seen"`
}

// Adopt says what happens to a device that setpoint meets for the first time.
type Adopt string

const (
	AdoptApprove Adopt = "approve" // observed, nothing written, until one plan is approved
	AdoptAuto    Adopt = "auto"    // written to like any other
)

// Apply says what a device is sent of a difference. The empty Apply is ApplyEntries.
type Apply string

const (
	ApplyEntries Apply = "entries" // the list entries, containers and leaves that differ
	ApplyRoot    Apply = "root"    // each managed root that differs, replaced by all that is intended there
)

// DriftMode says what is done about drift.
type DriftMode string

const (
	DriftObserve DriftMode = "observe" // recorded
	DriftAlert   DriftMode = "alert"   // recorded and told
	DriftEnforce DriftMode = "enforce" // recorded, told and put back
)

// Drift is a device's drift policy as rendered from the config repo.
type Drift struct {
	Mode        DriftMode     `json:"mode"`
	After       time.Duration `json:"after,omitempty"`       // enforce: how long a difference stands before it is put back
	MaxInFlight int           `json:"maxInFlight,omitempty"` // enforce: devices put back at once; 0 means no limit
	FleetStop   FleetStop     `json:"fleetStop,omitzero"`    // enforce: when many devices drift at once, a person looks first
	Ignore      []Ignored     `json:"ignore,omitempty"`      // by path
}

// FleetStop ends putting back on every device that has it, once so many of them
// have drifted within a time. The zero FleetStop never does.
type FleetStop struct {
	Devices int           `json:"devices,omitempty"`
	Within  time.Duration `json:"within,omitempty"`
}

// Ignored is a managed path that is neither compared nor written.
type Ignored struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// Device is an inventory entry, as rendered: everything the device's owner needs
// to reach it and to know what is setpoint's there. It holds no secret.
type Device struct {
	Name        DeviceName        `json:"name"`
	Labels      map[string]string `json:"labels,omitempty"`
	Address     string            `json:"address"` // host:port
	Platform    string            `json:"platform"`
	Profile     Profile           `json:"profile,omitzero"`
	Credentials string            `json:"credentials"` // a name in the server's configuration
	Manage      []string          `json:"manage"`      // path text; exclusions begin with "!"
	Adopt       Adopt             `json:"adopt"`
	Apply       Apply             `json:"apply,omitempty"`
	Redundancy  string            `json:"redundancy,omitempty"`
	Drift       Drift             `json:"drift"`
	Alerts      []string          `json:"alerts,omitempty"`     // the channels that hear of its drift; none named: all
	Unenforced  []string          `json:"unenforced,omitempty"` // intended leaves that its platform does not have, by leave of its document

	// Phases are groups of paths that the platform takes one after the other, each
	// with a request of its own; what no group names comes last.
	Phases [][]string `json:"phases,omitempty"`
}

// Profile is how the gNMI of a device's platform differs from what the
// specification makes one expect: its Platform document, as far as the session with
// the device acts on it. The zero value is the profile that is built in.
type Profile struct {
	Origin string `json:"origin,omitempty"` // named in every path that is sent; none: left out
	Leaves string `json:"leaves,omitempty"` // how a leaf that is set by itself is sent: "json" or none, or "scalar"
}

// Intended is one device of a manifest: its entry and its intended config, the
// blob of canonical RFC 7951 JSON.
type Intended struct {
	Device Device `json:"device"`
	Config Hash   `json:"config"`
}

// Manifest is a rendered commit. Devices are sorted by name. The same tree gives
// the same bytes, so a manifest names no commit and no time.
type Manifest struct {
	Devices  []Intended `json:"devices"`
	Warnings []Mistake  `json:"warnings,omitempty"` // what the repo's policies warn of
}

// Code names a rule that intent may break: a stable word, explained in
// docs/errors.md.
type Code string

// CodePolicy is the code of what a policy of the repo denies or warns of.
const CodePolicy Code = "policy"

// Mistake is one thing wrong with the intent, at the place where a person mends
// it. Line and Column count from 1; zero means the whole file.
type Mistake struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Code    Code   `json:"code"`           // which rule is broken
	Path    string `json:"path,omitempty"` // the YANG path, where there is one
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// RenderState is where a generation's rendering stands.
type RenderState string

const (
	Rendering      RenderState = "rendering"  // begun; Attempts says how often
	Rendered       RenderState = "rendered"   // Manifest is set
	RenderMistakes RenderState = "mistakes"   // Mistakes is set: the intent's fault
	RenderError    RenderState = "error"      // Reason is set: ours or the environment's fault
	RenderSkipped  RenderState = "superseded" // a newer head came before this one was rendered
)

// Render is the value of the table manifests, by generation.
type Render struct {
	Generation Generation  `json:"generation"`
	Commit     string      `json:"commit"`
	Branch     string      `json:"branch"`
	State      RenderState `json:"state"`
	Attempts   int         `json:"attempts"`
	Devices    int         `json:"devices,omitempty"`
	Manifest   Hash        `json:"manifest,omitempty"` // blob: Manifest as JSON
	Mistakes   Hash        `json:"mistakes,omitempty"` // blob: []Mistake as JSON
	Reason     string      `json:"reason,omitempty"`
	Policies   bool        `json:"policies,omitempty"` // the repo has policies
	Warnings   int         `json:"warnings,omitempty"` // of policies; Manifest holds them
	Base       Generation  `json:"base,omitempty"`     // the newest rendered generation before this one
	BaseHash   Hash        `json:"baseHash,omitempty"` // its manifest
	Took       int64       `json:"tookMs,omitempty"`   // milliseconds
	Time       time.Time   `json:"time"`
}

// Phase is what the owner of a device may do now.
type Phase string

const (
	PhaseHold    Phase = "hold"    // observe, write nothing
	PhaseApply   Phase = "apply"   // bring the device to Hash
	PhaseConfirm Phase = "confirm" // two-phase rollouts, not used by a single wave
	PhaseCancel  Phase = "cancel"  // two-phase rollouts, not used by a single wave
	PhaseSettled Phase = "settled" // was on Hash; any difference is drift
)

// Assignment is the value of the table assignments, by device: the config the
// device should be on now. Only a rollout writes it.
type Assignment struct {
	Generation Generation `json:"generation"`
	Commit     string     `json:"commit"`
	Manifest   Hash       `json:"manifest"` // the manifest that holds the device's entry
	Hash       Hash       `json:"hash"`     // the intended config
	Previous   Hash       `json:"previous,omitempty"`
	Phase      Phase      `json:"phase"`
	ConfirmID  string     `json:"confirmID,omitempty"`
	Deadline   time.Time  `json:"deadline,omitzero"`

	// Allow names the guards that a person lifted, comma-separated, for the one
	// plan that leads from the running config From to Hash.
	Allow string `json:"allow,omitempty"`
	From  Hash   `json:"from,omitempty"`
}

// DeviceState is what the owner of a device last found out.
type DeviceState string

const (
	DeviceUnknown     DeviceState = "unknown"     // not read yet, or the last read was partial or failed
	DeviceUnreachable DeviceState = "unreachable" // no session: down, wrong certificate, wrong credentials
	DeviceApplying    DeviceState = "applying"    // differs, and being brought to its assignment
	DeviceApplied     DeviceState = "applied"     // read back, equal to its assignment
	DeviceObserved    DeviceState = "observed"    // differs, and may not be written: awaits approval
	DeviceDrifted     DeviceState = "drifted"     // was applied, and moved away without a commit
	DeviceHeld        DeviceState = "held"        // refused its intended config; held until the hash changes
)

// DeviceStatus is the value of the table devices, by device. It speaks of one
// assignment: Generation and Intended say which.
type DeviceStatus struct {
	Generation Generation        `json:"generation"`
	Intended   Hash              `json:"intended"`
	Applied    Generation        `json:"applied,omitempty"` // newest generation that was read back on the device
	State      DeviceState       `json:"state"`
	Reason     string            `json:"reason,omitempty"` // one line: which path, why
	Running    Hash              `json:"running,omitempty"`
	Diff       Hash              `json:"diff,omitempty"` // blob: the plan as redacted text, where one stands
	Changes    int               `json:"changes,omitempty"`
	ReadAt     time.Time         `json:"readAt,omitzero"`
	Since      time.Time         `json:"since"` // when State was entered
	Rungs      map[string]string `json:"rungs,omitempty"`
	Next       string            `json:"next,omitempty"`   // what happens next, or what to do
	Guards     string            `json:"guards,omitempty"` // comma-separated: what forbids the plan that stands, until a person allows it
	Coverage   Coverage          `json:"coverage,omitzero"`
}

// Coverage says how much of a device is held to its intended config. Counts are
// leaves.
type Coverage struct {
	Read       int `json:"read"`                 // of what was read, managed or not
	Managed    int `json:"managed"`              // of it, below the managed paths
	Intended   int `json:"intended"`             // of the intended config
	Unenforced int `json:"unenforced,omitempty"` // intended, and not held to: ignored, or the platform has no such leaf
	WriteOnly  int `json:"writeOnly,omitempty"`  // secrets that are sent and can't be compared
	Unowned    int `json:"unowned,omitempty"`    // came along with a Set, and are left alone
}

// RolloutState is where a generation's journey over its devices stands.
type RolloutState string

const (
	RolloutRunning    RolloutState = "running"
	RolloutDone       RolloutState = "done"       // every device converged
	RolloutIncomplete RolloutState = "incomplete" // ended with devices held, deferred or awaiting approval; catch-up goes on
	RolloutSuperseded RolloutState = "superseded" // a newer generation took its devices
	RolloutHeld       RolloutState = "held"       // guards forbid it: nothing is assigned until a person allows it
)

// Rollout is the value of the table rollouts, by generation.
type Rollout struct {
	Generation Generation   `json:"generation"`
	Commit     string       `json:"commit"`
	Manifest   Hash         `json:"manifest"`
	State      RolloutState `json:"state"`
	By         Generation   `json:"by,omitempty"` // superseded: by which
	Total      int          `json:"total"`
	Converged  int          `json:"converged"`
	Changed    int          `json:"changed"`            // devices whose intended config this generation changed
	Held       []DeviceNote `json:"held,omitempty"`     // refused it
	Deferred   []DeviceNote `json:"deferred,omitempty"` // unreachable, caught up later
	Awaiting   []DeviceNote `json:"awaiting,omitempty"` // observed, awaiting approval
	Started    time.Time    `json:"started,omitzero"`   // zero while it is held
	Ended      time.Time    `json:"ended,omitzero"`
	Hold       *Hold        `json:"hold,omitempty"` // why it did not begin by itself; nil: it did
}

// Begun says whether devices were assigned by the rollout. One that is held has
// not begun, and never does if a newer generation comes first.
func (r Rollout) Begun() bool { return r.Hold == nil || r.Hold.Who != "" }

// Hold is what keeps a rollout from beginning, and who let it begin all the same.
type Hold struct {
	Guards []FleetGuard `json:"guards"`
	Since  time.Time    `json:"since"`
	Who    string       `json:"who,omitempty"` // allowed it; "": nobody yet
	Time   time.Time    `json:"time,omitzero"` // when
}

// Names are the names to allow it by, comma-separated.
func (h Hold) Names() string { return h.join(",", func(g FleetGuard) string { return g.Name }) }

// Reason is one line, with the numbers.
func (h Hold) Reason() string { return h.join(", ", func(g FleetGuard) string { return g.Reason }) }

func (h Hold) join(by string, of func(FleetGuard) string) string {
	all := make([]string, 0, len(h.Guards))
	for _, g := range h.Guards {
		all = append(all, of(g))
	}
	return strings.Join(all, by)
}

// FleetGuard is a guard that a generation offends, and by how much.
type FleetGuard struct {
	Name    string       `json:"name"`   // that a person allows it by
	Reason  string       `json:"reason"` // one line, with the numbers
	Count   int          `json:"count"`  // of devices that it concerns
	Of      int          `json:"of"`
	Devices []DeviceNote `json:"devices"` // the first of them
}

// DeviceNote is a device and one line about it.
type DeviceNote struct {
	Device DeviceName `json:"device"`
	Reason string     `json:"reason"`
}

// Episode is the value of the table episodes, by device: the drift that stands,
// or the last one that stood (Closed is set then).
type Episode struct {
	ID         string     `json:"id"` // device and opening time; names the episode in chat
	Device     DeviceName `json:"device"`
	Generation Generation `json:"generation"`
	Intended   Hash       `json:"intended"`
	Running    Hash       `json:"running"`
	Mode       DriftMode  `json:"mode"`
	Changes    int        `json:"changes"`
	Summary    string     `json:"summary"`          // one line: the first paths
	Alerts     []string   `json:"alerts,omitempty"` // the channels that hear of it; none named: all
	Diff       Hash       `json:"diff"`             // blob: the plan as redacted text
	Opened     time.Time  `json:"opened"`
	Changed    time.Time  `json:"changed,omitzero"`
	Closed     time.Time  `json:"closed,omitzero"`
	How        string     `json:"how,omitempty"` // closed how: "healed", "reverted on the device", "superseded by a commit"
}

// Event is one line of a device's history, published on the bus for people and
// for tools; no stage acts on it.
type Event struct {
	Device     DeviceName `json:"device"`
	Kind       string     `json:"kind"` // applied, held, unreachable, drift-opened, drift-changed, drift-closed, …
	Generation Generation `json:"generation"`
	Reason     string     `json:"reason,omitempty"`
	Time       time.Time  `json:"time"`
}
