// Package notify tells the world what setpoint knows: commit statuses at a forge,
// drift in a chat, and a commit's whole difference as a page. It is what leaves the
// house; nothing comes in through it.
//
// # Slots, not a queue
//
// A [Slot] is one place outside: a commit's status context, an episode of drift in
// one channel. It holds what that place should say and a mark of what it was
// told last; it is due when they differ. Being told again is an overwrite, so that
// a forge that was away for an hour gets the newest word of each place and not an
// hour of history. Who may overwrite is decided in one function ([Slot.claim]):
//
//   - a higher generation beats a lower; the same commit may be head again;
//   - within a generation a last word is never followed by "pending";
//   - what is wanted and was posted is not posted again, also after a restart.
//
// Statuses are a pure function of the tables heads, manifests and rollouts, and
// of the blobs they name; messages one of the table episodes. Nothing needs
// to be remembered but what was posted, and Run derives all of it again at start.
//
// # One loop per integration
//
// The forge and each channel has its own keyed loop: it posts to one place at a time,
// newest generation first, and one's outage blocks no other. No answer, a 5xx and a
// rate limit make the whole integration wait, with backoff, jitter and a ceiling, or
// as long as Retry-After or X-RateLimit-Reset say. A refusal (401, 403, 404, 422)
// makes its place wait, slowly, and is logged once as an error with a hint. Words on
// the way ("1/4 devices") are spaced ever wider: GitHub takes 1000 statuses per
// commit and context.
//
// Memory leads, the table slots follows: a store that takes no writes delays no
// post. So "the store is full" is itself told.
//
// # Promises
//
// Every commit seen gets a last word, unless the store is lost before it. After a
// kill between a post and its record the post is repeated with the same content: for
// a status that changes nothing; an incoming webhook of a chat gets the message twice
// (at least once).
//
// # What it never does
//
// It contacts no device, changes no table but slots, posts no secret leaf (plans are
// redacted by schema), names no token and no webhook URL in any error or log line,
// and follows no redirect.
package notify
