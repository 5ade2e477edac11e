// Package sim is the other end of a gNMI session: targets that exist only in
// memory, validate what they are given against the OpenConfig models, and behave
// as the gNMI specification says. `setpoint sim`, the demo and the tests run
// whole fleets of them in one process.
//
// # Data model
//
// The schema is compiled once from models/oc (goyang's entries for structure and
// types, the generated structs for module names, ygot's enumeration tables for
// identities) and shared by all targets. A target's configuration is an
// immutable tree: a Set builds a new tree that shares every untouched branch
// with the old one, and the target swaps one pointer. So a Set costs what it
// touches, a reader never waits for a writer, and a subscription finds what
// changed by comparing two trees and skipping branches that are the same
// pointer. A branch that is written with the values it already has stays the
// same pointer: it is no change, and no stream tells of it.
//
// Only config is held, and only what was set: schema defaults are neither filled
// in nor reported. A list entry always has its key leaves and the config leaves
// that they refer to (OpenConfig's config/<key>), whether the client sent them
// or not.
//
// # Promises
//
//   - A Set is one transaction (gNMI 3.4.3): deletes, then replaces, then
//     updates, in order; all of it or nothing, and no stream or Get ever sees a
//     part of it.
//   - A value that YANG refuses is refused: unknown nodes, types, ranges, lengths,
//     patterns, keys, duplicates. Leafrefs, must, when and mandatory are not
//     checked, as OpenConfig does not ask it of devices.
//   - What is not supported says so: Unimplemented for union_replace, for the
//     commit-confirmed, master-arbitration, history and depth extensions, and for
//     encodings that are not offered. No request is answered with OK and ignored,
//     but for extensions that the protocol allows to ignore.
//   - A slow subscriber never holds up a Set. Each stream keeps a bounded number
//     of past trees; beyond that changes are coalesced, and the updates say so in
//     their duplicates counter (gNMI 2.1).
//
// # What it never does
//
// It shares no code with models/tree and reconciler/plan: what they get wrong
// must not be right here by the same mistake. It writes no file but a CA's, and
// keeps nothing over a restart of the process.
package sim
