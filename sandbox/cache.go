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

// cache keeps compiled programs, the most recently used. The key is the source
// itself, so that no two programs are ever confused.
type cache struct {
	mu      sync.Mutex
	entries map[Source]*list.Element
	recent  list.List // of *cacheEntry, the most recently used first
	bytes   int
}

type cacheEntry struct {
	source  Source
	program *program
}

func (c *cacheEntry) cost() int { return programOverhead*len(c.source.Code) + 512 }

func (c *cache) get(src Source) *program {
	c.mu.Lock()
	defer c.mu.Unlock()
	element := c.entries[src]
	if element == nil {
		return nil
	}
	c.recent.MoveToFront(element)
	return element.Value.(*cacheEntry).program
}

func (c *cache) put(src Source, p *program) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = make(map[Source]*list.Element)
	}
	if c.entries[src] != nil {
		return
	}
	entry := &cacheEntry{src, p}
	if entry.cost() > cacheBytes/4 {
		return
	}
	c.entries[src] = c.recent.PushFront(entry)
	c.bytes += entry.cost()
	for len(c.entries) > cacheEntries || c.bytes > cacheBytes {
		oldest := c.recent.Back()
		gone := c.recent.Remove(oldest).(*cacheEntry)
		delete(c.entries, gone.source)
		c.bytes -= gone.cost()
	}
}
