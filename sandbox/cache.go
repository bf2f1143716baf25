package sandbox

import (
	"container/list"
	"sync"
)

const (
	// cacheEntries and cacheBytes bound the compiled programs a pool keeps.
	cacheEntries = 1024
	cacheBytes   = 64 << 20
	// programOverhead estimates a compiled program by its source: measured, goja
	// needs about ten bytes for each.
	programOverhead = 12
)

// cache keeps compiled programs, the most recently used.
type cache struct {
	limit   int // in bytes; zero for cacheBytes
	mu      sync.Mutex
	entries map[sourceKey]*list.Element
	recent  list.List // of *cacheEntry, the most recently used first
	bytes   int
}

type cacheEntry struct {
	key     sourceKey
	program *program
	size    int // of the source
}

func (c *cacheEntry) cost() int { return programOverhead*c.size + 512 }

func (c *cache) get(key sourceKey) *program {
	c.mu.Lock()
	defer c.mu.Unlock()
	element := c.entries[key]
	if element == nil {
		return nil
	}
	c.recent.MoveToFront(element)
	return element.Value.(*cacheEntry).program
}

func (c *cache) put(key sourceKey, size int, p *program) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = make(map[sourceKey]*list.Element)
	}
	if c.entries[key] != nil {
		return
	}
	limit := c.limit
	if limit == 0 {
		limit = cacheBytes
	}
	entry := &cacheEntry{key, p, size}
	if entry.cost() > limit/4 {
		return
	}
	c.entries[key] = c.recent.PushFront(entry)
	c.bytes += entry.cost()
	for len(c.entries) > cacheEntries || c.bytes > limit {
		oldest := c.recent.Back()
		gone := c.recent.Remove(oldest).(*cacheEntry)
		delete(c.entries, gone.key)
		c.bytes -= gone.cost()
	}
}
