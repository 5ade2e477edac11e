// Package renderer turns a config repository into device configurations: a tree
// of files goes in, every device's intended config comes out, or every mistake
// with its file, line and column. Same tree, same bytes.
//
// # What it reads
//
// Any *.yaml or *.yml file, in any folder, with one or more documents each, and
// the repo's own kinds in kinds/*.cue, which add to or override the library's, and its
// policies in policies/*.cue. Hidden files and folders are skipped, and
// what .setpointignore at the root lists, in the manner of gitignore(5). A symbolic
// link is a mistake. A document is a Device, a Group, a Link, a Tenant, a Platform, a
// Rollout, a DriftPolicy, an AlertPolicy or of a kind. Decoding is strict: an unknown field, kind, device or key, a
// name, key or address given twice, a selector that matches nothing is a mistake at
// its place, with a near name. What the format has and this version does not act on
// (decommission) is refused, never passed over; a Rollout is checked, and a
// note says that it is not acted upon.
//
// # How a device's config comes about
//
// It is made of fragments, which are RFC 7951 in YAML; names may go without their
// module, and a list entry's keys need not be repeated in its config. Fragments are
// laid over each other by YANG list key, from the lowest level to the highest:
//
//   - the groups whose selector matches, by priority, 0 to 999;
//   - what kinds bring forth, at one level above all groups;
//   - the Device document's own openconfig.
//
// The higher level wins. Within a level nobody does: two different values are a
// mistake that names both places. Vars go the same way, groups by priority under
// the device's own, and merge mapping by mapping.
//
// ${name}, ${labels.x} and ${vars.x} are replaced in the fragments of groups and
// devices. A reference that stands alone becomes the value as it was written, with
// its type; within text it is formatted; "$${" is a literal "${". Since a reference
// has no quotes of its own, the schema decides what type its text is. All other
// scalars are what YAML says they are, and where that is not what YANG wants, or
// not what the eye reads (010, yes, 0x1f), it is a mistake. In vars nothing says what
// is wanted, and in a spec its kind comes later: what YAML 1.1, YAML 1.2 and the eye
// read differently (08, 12e3, 1.10; in vars also a bare no) is refused there.
//
// A kind is a definition in CUE, #Name: {spec, device, openconfig}, evaluated once
// for each device of the document's for. It sees of the device what its own device
// declares: name, labels, vars, and links as [{port, peer, peerPort, peerLabels,
// peerVars, portVars, peerPortVars}], which come from the Link documents. It may
// import CUE's own packages and reads nothing.
//
// The library setpoint/kinds/v1 is compiled in (folder library/v1). It is one CUE
// package with the repo's kinds: they may use its definitions, such as #Ports, and
// a kind of the repo's takes the place of the library's of the same name. What the
// library's kinds share is theirs: a definition of the repo's that would change it
// under one of them is a mistake.
//
// # Where CUE is evaluated
//
// Kinds come from outside, and CUE can be made to run for ever, to fill the memory,
// to recurse until the stack ends. So all of CUE, reading its text included, stands
// behind one seam: a Program, which is a package of files, and questions about it,
// which are inputs for a definition's fields and the name of the field that is
// wanted; the answer is JSON, or complaints in CUE's terms. A Renderer asks its
// Evaluator, which carries questions to Serve in another process and ends that when
// it takes too long or too much (package renderer/worker); without an Evaluator
// they are answered here. A document that runs into a limit is a mistake of its own,
// and is left out for all devices; all others are rendered as if it were not there.
// Questions are pure, so that a Renderer keeps the answers, up to 32 MiB of them.
//
// Whoever else has CUE to evaluate makes a program of it with newProgram, asks
// through Renderer.ask, and turns complaints into mistakes at places that are its
// own, as kind.go does for kinds; limits, processes and kept answers come with it.
//
// # What is checked
//
// The parsed config is validated by ygot, the authority, leaf by leaf but each
// distinct value once (see checker), and its leafrefs in one pass (see references):
// nothing that ygot rejects is accepted. What ygot does not look at is: conditions
// (when) that another value makes false, and mandatory leaves (see terms). A Platform
// names the conditions that its devices don't keep: those are theirs to judge.
// Of the modules' conditions models/gen lists the few that are not. Everything set has to lie inside the
// device's managed paths, its own and its groups' together.
//
// # Tenants
//
// What lies in a tenant's folder is of the kinds that its Tenant document grants, and
// what such a document brings forth lies under the interfaces granted on that device,
// or under the granted paths. That is looked at in the result, leaf by leaf: no kind,
// and no name of a field, is trusted (see confinement).
//
// # Policies
//
// A policy is a definition in CUE with violations, a list of {device, path, message}.
// It is evaluated once over each device that its for means, or once over the network,
// by the leaves of the paths that it declares: what it sees is device or network with
// a list of leaves by each name in paths, {device, path, keys, value}, and beside
// these what a kind sees of a device, or the network's devices and links. It never
// sees a whole config, so that the work is bounded and a change elsewhere in a config
// asks nothing anew. What it finds is told at the line that set the value; mode says
// whether it denies (a mistake, the default) or warns (Result.Warnings).
//
// Policies are read whatever else is wrong, and judge only what rendered without a
// mistake: all devices or nothing. They change no config. A verdict is kept by the
// sum of the policies' text and what was looked at.
//
// # Mistakes
//
// All are reported, not the first. A mistake stands at the value that a person
// changes to mend it: of a var's wrong value that is the var, also where a kind is
// what objects to it, of what a kind brings
// forth the document's spec, or the field of it that CUE names or whose value it
// quotes, with the place in the kind behind. Its code names the rule that is broken
// and stays, whatever becomes of the message: code.go has the table, docs/errors.md
// cause and remedy. One that many devices share is told once, with the first device
// and how many more. What follows from another mistake is not told: names that an
// unreadable file mentions are not called unknown, and a reference to a value that
// was left out for its own mistake is not called dangling. Above 1,000 the rest is
// counted.
//
// # Promises
//
// Render is pure: no clock, environment, network, or file outside the tree it is
// given; neither the order of files nor GOMAXPROCS changes a byte. Input is bounded:
// files of 1 MiB, 64 levels, 10,000 values repeated by aliases. Work is spread over
// all processors. An error of Render is one of reading the tree, of the Evaluator,
// or its context's; authors' faults are never errors.
//
// # What is kept
//
// Most of a tree was in the tree before. A Renderer keeps, from one rendering to the
// next: a file's documents, by its name and content, and where the tree names
// contents without reading them, as gitwatch's do, an unchanged file is not read; a
// group's fragment without references, by its document; what other fragments and
// kinds came to, by their content and what they see of the device (see view), so
// that devices that look the same share one; and a device's config, by
// the sum of all inputs that it is made from (see inputs). Inputs are content: what
// moves a place and changes no value, such as a comment, renders no device anew. A
// device with a mistake, or with a part that a mistake elsewhere hides, is not kept.
// What two renderings in a row have no use for is dropped, so that memory does not
// grow with their number. What was rendered before changes no byte and no mistake:
// a test holds a Renderer against new ones over a long row of edits.
//
// AffectedBetween says which devices a change has an effect on, from what came out.
// Where a leaf comes from is not kept: Blame looks it up in the documents, for one
// device, when somebody asks.
//
// # What it never does
//
// It contacts no device, resolves no secret, knows no commit, starts no process.
package renderer
