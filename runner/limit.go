package runner

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/time/rate"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/fairqueue"
)

// slots bounds how many executions run at once and how many wait; organizations
// that wait take turns.
type slots struct{ queue *fairqueue.Queue }

func newSlots(concurrency, queue int) slots {
	return slots{fairqueue.New(concurrency, queue)}
}

// acquire takes a slot, waiting until ctx is done. It returns a 503 when the
// queue is full, and ctx's error when the wait was too long.
func (s slots) acquire(ctx context.Context, organization string) error {
	err := s.queue.Acquire(ctx, organization)
	if errors.Is(err, fairqueue.ErrFull) {
		e := errclass.NewAPIError(errclass.CodeUnavailable, "Too many executions are waiting. Retry after 1 second.")
		e.RetryAfter = time.Second
		return e
	}
	return err
}

func (s slots) release(organization string) { s.queue.Release(organization) }

const (
	// maxBuckets bounds for how many organizations, over all tools, the use is
	// remembered; those that used theirs longest ago are forgotten first.
	maxBuckets = 100_000
	// bucketIdle is when an unused bucket is full again whatever its limit is, so
	// that nothing is lost with it.
	bucketIdle = time.Hour
)

// RateStore holds rate limits. It is safe for concurrent use.
type RateStore interface {
	// Spend takes one request of an organization for the tool with an id, where all
	// of the limit's windows have one left, or nothing.
	Spend(ctx context.Context, tool, organization string, limit RateLimit) RateState
}

// RateState is what is left of a limit.
type RateState struct {
	Limit      int           // of the window that says most: the one exceeded, or the one with the least left
	Remaining  int           // requests that may follow at once
	Reset      time.Duration // until all of Limit is there again
	RetryAfter time.Duration // where there was none left: until there is one
}

// rateLimits is the [RateStore] of one process: a pair of buckets an organization
// and tool.
type rateLimits struct {
	buckets *otter.Cache[bucketKey, *buckets]
}

type bucketKey struct {
	tool, organization string
	limit              RateLimit // one that is changed begins anew
}

type buckets struct {
	mu   sync.Mutex
	each []*rate.Limiter
}

func newRateLimits() *rateLimits {
	return &rateLimits{otter.Must(&otter.Options[bucketKey, *buckets]{
		MaximumSize:      maxBuckets,
		ExpiryCalculator: otter.ExpiryAccessing[bucketKey, *buckets](bucketIdle),
	})}
}

// Spend implements [RateStore].
func (l *rateLimits) Spend(_ context.Context, tool, organization string, limit RateLimit) RateState {
	b, _ := l.buckets.ComputeIfAbsent(bucketKey{tool, organization, limit}, func() (*buckets, bool) {
		return newBuckets(limit), false
	})
	return b.take(time.Now())
}

func newBuckets(limit RateLimit) *buckets {
	b := &buckets{}
	for _, w := range []struct {
		n   int
		per time.Duration
	}{{limit.RequestsPerMinute, time.Minute}, {limit.RequestsPerHour, time.Hour}} {
		if w.n > 0 {
			b.each = append(b.each, rate.NewLimiter(rate.Every(w.per/time.Duration(w.n)), w.n))
		}
	}
	return b
}

// take spends from all buckets or from none. The one to wait longest for is the
// one exceeded.
func (b *buckets) take(now time.Time) (state RateState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var taken []*rate.Reservation
	for i, bucket := range b.each {
		r := bucket.ReserveN(now, 1)
		taken = append(taken, r)
		left := max(0, int(bucket.TokensAt(now)))
		says := r.DelayFrom(now) > state.RetryAfter || state.RetryAfter == 0 && left < state.Remaining
		if i == 0 || says {
			state.Limit, state.Remaining, state.RetryAfter = bucket.Burst(), left, r.DelayFrom(now)
			state.Reset = time.Duration((float64(bucket.Burst()) - bucket.TokensAt(now)) / float64(bucket.Limit()) * float64(time.Second))
		}
	}
	if state.RetryAfter == 0 {
		return state
	}
	for _, r := range taken {
		r.CancelAt(now)
	}
	return state
}
