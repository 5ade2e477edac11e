package renderer

import (
	"crypto/sha256"
	"sync"
)

// maxAnswers bounds what is kept of answers, in bytes. What became of an answer
// without a mistake is kept as well, for as long as it is of use (see Renderer).
const maxAnswers = 32 << 20

// questionKey names a question by all that its answer depends on.
type questionKey struct {
	program  string
	question [sha256.Size]byte
}

// answers keeps what programs answered, in two generations: when the younger is
// half of what may be kept, the older is forgotten, but for what was asked again.
// Its zero value is ready.
type answers struct {
	mu         sync.Mutex
	young, old map[questionKey][]byte
	size       int // of young
}

func (a *answers) get(k questionKey) ([]byte, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if v, ok := a.young[k]; ok {
		return v, true
	}
	v, ok := a.old[k]
	if ok {
		a.add(k, v)
	}
	return v, ok
}

func (a *answers) put(k questionKey, v []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.add(k, v)
}

// answerOverhead is what an answer takes beside its bytes.
const answerOverhead = 256

func (a *answers) add(k questionKey, v []byte) {
	if _, twice := a.young[k]; twice {
		return
	}
	if a.size += len(v) + answerOverhead; a.young == nil || a.size > maxAnswers/2 {
		a.old, a.young, a.size = a.young, make(map[questionKey][]byte), len(v)+answerOverhead
	}
	a.young[k] = v
}
