package runner

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// defaultTTL is how long a result is kept where the definition doesn't say.
const defaultTTL = time.Minute

// resultCache keeps results of tools that ask for it, bounded by bytes.
type resultCache struct {
	entries *otter.Cache[cacheKey, cachedResult]
}

type cacheKey [sha256.Size]byte

type cachedResult struct {
	value json.RawMessage
	ttl   time.Duration
}

func newResultCache(bytes int) *resultCache {
	return &resultCache{otter.Must(&otter.Options[cacheKey, cachedResult]{
		MaximumWeight: uint64(bytes),
		Weigher: func(_ cacheKey, r cachedResult) uint32 {
			return uint32(min(len(r.value)+len(cacheKey{})+64, bytes))
		},
		ExpiryCalculator: otter.ExpiryCreatingFunc(func(e otter.Entry[cacheKey, cachedResult]) time.Duration {
			return e.Value.ttl
		}),
	})}
}

// cacheKey names equal calls: same organization, same definition, same
// credentials, same parameters whatever their order and spacing.
func (x *execution) cacheKey() (cacheKey, bool) {
	canonical, err := strictjson.Marshal([]any{x.organization, x.tool.def, x.credentials, x.parameters})
	if err != nil {
		return cacheKey{}, false
	}
	return sha256.Sum256(canonical), true
}

// cached returns the kept result of an equal call.
func (x *execution) cached() (json.RawMessage, bool) {
	if !x.tool.def.Configuration.Cache.Enabled {
		return nil, false
	}
	key, ok := x.cacheKey()
	if !ok {
		return nil, false
	}
	kept, ok := x.runner.cache.entries.GetIfPresent(key)
	return bytes.Clone(kept.value), ok // a result is its caller's alone
}

// remember keeps a success.
func (x *execution) remember(value json.RawMessage) {
	c := x.tool.def.Configuration.Cache
	if !c.Enabled {
		return
	}
	ttl := defaultTTL
	if c.TTL > 0 {
		ttl = time.Duration(c.TTL * float64(time.Second))
	}
	if key, ok := x.cacheKey(); ok {
		x.runner.cache.entries.Set(key, cachedResult{bytes.Clone(value), ttl})
	}
}
