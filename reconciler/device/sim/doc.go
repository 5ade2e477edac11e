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
// Only config is held, and only what was set. A list entry always has its key
// leaves and the config leaves that they refer to (OpenConfig's config/<key>),
// whether the client sent them or not. What is told of the tree is the tree
// itself, or with Config.Defaults a second tree beside it that schema defaults
// fill, and that shares its untouched branches with the one before in the same way.
//
// # Conformance
//
// conformance_test.go holds a target to the gNMI specification 0.10.0, clause by
// clause, over TLS and with the raw protos; gnmic_test.go has gnmic drive one. Where
// the specification leaves a choice, or a target here does less than it might:
//
//   - Defaults are reported only with Config.Defaults. The specification wants
//     those in use returned (gNMI 3.3.4); real systems are divided, and a client
//     has to bear both, so that both can be had.
//   - There is no state. A simulated interface has no oper-status, and a mirror of
//     config would show a client that something is applied which nothing applied.
//     A path to state is Unimplemented for Get and Subscribe (gNMI 3.3.4, 3.5.2.4)
//     and NotFound for Set (gNMI 3.4.7). A Get of type STATE or OPERATIONAL of what
//     exists answers without updates.
//   - A path that the models do not have is InvalidArgument for Get and Subscribe,
//     never a stream that stays silent, and NotFound for Set.
//   - A POLL subscription is sent its values at the start too, not only for each
//     Poll. TARGET_DEFINED is ON_CHANGE. The lowest interval is 100 ms.
//   - Nothing may be aggregated and nothing is atomic: no config node of the models
//     is marked for either. A qos marking has no effect.
//   - A key leaf can't be deleted by itself: it goes with its entry.
//
// # Faults
//
// Break makes a target do wrong in ways that real systems do, one of them or
// several at once, and mends it; a target without faults is what is described here.
// What a fault does to a Set happens to the tree before it is committed (bend.go);
// what it does to a value's form happens as it is written out (show.go), so that
// streams go on to compare what is really held. How an RPC or a stream is spoilt is
// in adversity.go, what is made of the two extensions in extension.go. The rule for
// changes: those of one Set are told, or kept, by the faults that held when it was
// committed. docs/sim.md lists all faults, and where each was seen.
//
// # Promises
//
//   - A Set is one transaction (gNMI 3.4.3): deletes, then replaces, then
//     updates, in order; all of it or nothing, and no stream or Get ever sees a
//     part of it.
//   - A value that YANG refuses is refused: unknown nodes, types, ranges, lengths,
//     patterns, keys, duplicates. Leafrefs, must, when and mandatory are not
//     checked, as OpenConfig does not ask it of devices.
//   - What is not supported says so, on a target without faults: Unimplemented for union_replace, for the
//     commit-confirmed, master-arbitration, history and depth extensions, for
//     use_models, origins other than openconfig, and encodings that are not offered.
//     No request is answered with OK and ignored, but for the qos marking, and for
//     other extensions, which the protocol allows to ignore.
//   - A slow subscriber never holds up a Set. Each stream keeps a bounded number
//     of past trees; beyond that changes are coalesced, and the updates say so in
//     their duplicates counter (gNMI 2.1).
//
// # What it never does
//
// It shares no code with models/tree and reconciler/plan: what they get wrong
// must not be right here by the same mistake. It writes no file but a CA's, and
// keeps nothing over a restart of the process; over a reboot, only what SaveStartup
// was told to.
package sim
