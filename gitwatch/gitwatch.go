// Package gitwatch turns a branch of a git repository into a row of heads, and
// a commit into its files.
//
// # Data model
//
// A [Watcher] keeps a mirror: a bare repository on disk with one branch, its
// whole history, no tags and no work tree. It asks the server for the branch's
// tip every interval, or at once after [Watcher.Look], and fetches what is new.
// When the tip is not the head in the table heads (key: the branch), the head
// moves: a [models.Head] with old, new and the next generation replaces it by
// compare-and-set, and is published as an event.
//
// A [Repo] reads any repository on disk: [Repo.Resolve] names a commit, and
// [Repo.Tree] is its files as an fs.FS straight from the object store.
//
// # Promises
//
//   - The head's objects are all in the mirror before its event is published.
//   - Generations only grow, also over a store that was lost: each is above the
//     stored one and above the floor, and the floor is raised before it is used.
//   - A head that is stored is published, at least once: the stored head again at
//     each start, under an id that names branch, old, new and generation, so that
//     the bus drops what it has. What was pushed while nobody looked is one head.
//     Going from A to B and back to A, seen, is three generations.
//   - A force push, that is a tip whose history lacks the stored head, is refused
//     unless allowed: the head stays, and this is told once for each such tip.
//   - Two watchers on one table do no harm: the head is read before the server is
//     asked, so the one with the older answer loses, and reads again.
//   - What goes wrong is said once, then when it changes; retried with growing
//     waits up to the interval; and never ends Run. A damaged mirror is set aside
//     and cloned anew.
//   - User names, passwords, tokens and keys stand in no error, log or file; of ssh
//     the user's name and the public key do in an error.
//   - Over ssh, nothing is said to a server whose host key is not known.
//   - What a proxy refuses is told apart from what the server refuses.
//
// A [Webhook] takes a forge's push events as a nudge. It believes them no further:
// the head is read from the server, and the interval goes on without them.
//
// # What it never does
//
// It never writes to the server, never checks out files, follows no symbolic
// link and no submodule, makes no shallow clone (go-git fetches those whole each
// time), and never rewrites history in the mirror: old heads stay readable.
//
// # Memory and files
//
// A Repo keeps up to 96 MiB of inflated objects, the folders of the last tree,
// and 128 open packs. Each fetch adds a pack; above 64, small ones are merged.
// go-git indexes what was fetched in memory: of 10,000 files with 500 commits,
// that is some 200 MB during the first clone. After it, a commit costs what it
// changed (BenchmarkTenThousandFiles).
package gitwatch
