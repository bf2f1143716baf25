package runner

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/almyty-inc/toolrun/errclass"
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
	canonical, err := strictjson.Marshal([]any{x.organization, x.tool.version, x.credentials, x.parameters})
	if err != nil {
		return cacheKey{}, false
	}
	return sha256.Sum256(canonical), true
}

// definitionVersion names what a definition says.
func definitionVersion(def *Definition) string {
	text, err := strictjson.Marshal(def)
	if err != nil { // checkShape says why
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// flights are the calls of cached tools that run right now.
type flights struct {
	mu  sync.Mutex
	all map[cacheKey]*flight
}

// flight is one such call. Its outcome is there once done is closed.
type flight struct {
	done  chan struct{}
	value json.RawMessage
	err   error
	all   bool // err is that of all equal calls
}

// join returns the flight of a call, and whether the caller has to run it.
func (f *flights) join(key cacheKey) (shared *flight, lead bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if shared = f.all[key]; shared != nil {
		return shared, false
	}
	shared = &flight{done: make(chan struct{}), err: errNotLanded}
	f.all[key] = shared
	return shared, true
}

func (f *flights) land(key cacheKey, ended *flight) {
	f.mu.Lock()
	delete(f.all, key)
	f.mu.Unlock()
	close(ended.done)
}

// errNotLanded is the outcome of a flight whose run panicked.
var errNotLanded = errors.New("the call ended without an outcome")

// once answers from the cache, or from an equal call that runs right now, or runs
// the tool. A nested call waits for no other: two could wait for each other.
func (x *execution) once(ctx context.Context, run func(context.Context) (output, error)) (output, error) {
	if !x.tool.def.Configuration.Cache.Enabled {
		return run(ctx)
	}
	key, ok := x.cacheKey()
	if !ok {
		return run(ctx)
	}
	if x.depth > 0 {
		return x.fromCache(ctx, key, run)
	}
	for {
		shared, lead := x.runner.flights.join(key)
		if lead {
			defer x.runner.flights.land(key, shared)
			out, err := x.fromCache(ctx, key, run)
			shared.value, shared.err, shared.all = bytes.Clone(out.value), err, concernsAll(ctx, err)
			return out, err
		}
		select {
		case <-shared.done:
		case <-ctx.Done():
			return output{}, ctx.Err()
		}
		switch { // an outcome that is no other's leaves it to this one
		case shared.err == nil:
			return output{value: bytes.Clone(shared.value), cached: true}, nil
		case shared.all:
			return output{}, shared.err
		}
	}
}

// concernsAll reports whether a failure of a call under ctx is that of all equal
// ones. Of another kind are those of the one caller: his deadline, his leaving, a
// full queue.
func concernsAll(ctx context.Context, err error) bool {
	e, ok := errors.AsType[*errclass.Error](err)
	return ok && ctx.Err() == nil && e.Class != errclass.InternalError
}

// fromCache returns the kept result, or runs the tool and keeps a success.
func (x *execution) fromCache(ctx context.Context, key cacheKey, run func(context.Context) (output, error)) (output, error) {
	if kept, ok := x.runner.cache.entries.GetIfPresent(key); ok {
		return output{value: bytes.Clone(kept.value), cached: true}, nil // a result is its caller's alone
	}
	out, err := run(ctx)
	if err != nil {
		return out, err
	}
	ttl := defaultTTL
	if seconds := x.tool.def.Configuration.Cache.TTL; seconds > 0 {
		ttl = time.Duration(seconds * float64(time.Second))
	}
	x.runner.cache.entries.Set(key, cachedResult{bytes.Clone(out.value), ttl})
	return out, nil
}
