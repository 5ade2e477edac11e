package reconciler

import "sync"

// cache keeps the values of the last few keys. Workers that ask for one key at
// once share one load; an error is not kept.
type cache[K comparable, V any] struct {
	size int

	mu    sync.Mutex
	slots map[K]*slot[V]
	order []K // least recently used first
}

type slot[V any] struct {
	once  sync.Once
	value V
	err   error
}

func newCache[K comparable, V any](size int) *cache[K, V] {
	return &cache[K, V]{size: size, slots: map[K]*slot[V]{}}
}

// get returns a key's value, loaded by load if it is not at hand.
func (c *cache[K, V]) get(key K, load func() (V, error)) (V, error) {
	s := c.slot(key)
	s.once.Do(func() { s.value, s.err = load() })
	if s.err != nil {
		c.drop(key, s)
	}
	return s.value, s.err
}

func (c *cache[K, V]) slot(key K) *slot[V] {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.slots[key]
	if s != nil {
		c.unlist(key)
	} else {
		s = &slot[V]{}
		c.slots[key] = s
	}
	c.order = append(c.order, key)
	if len(c.order) > c.size {
		delete(c.slots, c.order[0])
		c.order = c.order[1:]
	}
	return s
}

func (c *cache[K, V]) drop(key K, s *slot[V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slots[key] == s {
		delete(c.slots, key)
		c.unlist(key)
	}
}

// unlist takes a key out of the order. It holds the lock.
func (c *cache[K, V]) unlist(key K) {
	for i, k := range c.order {
		if k == key {
			c.order = append(c.order[:i], c.order[i+1:]...)
			return
		}
	}
}
