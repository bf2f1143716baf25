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

// rateLimits holds the rate limits of all tools, a pair of buckets an
// organization and tool.
type rateLimits struct {
	buckets *otter.Cache[bucketKey, *buckets]
}

type bucketKey struct {
	tool         *tool
	organization string
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

// take spends one request of an organization for a tool, or returns how long
// until there is one to spend, and the limit that says so.
func (l *rateLimits) take(t *tool, organization string, now time.Time) (wait time.Duration, exceeded int) {
	limit := t.def.Configuration.RateLimit
	if limit == (RateLimit{}) {
		return 0, 0
	}
	b, _ := l.buckets.ComputeIfAbsent(bucketKey{t, organization}, func() (*buckets, bool) {
		return newBuckets(limit), false
	})
	return b.take(now)
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
func (b *buckets) take(now time.Time) (wait time.Duration, exceeded int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var taken []*rate.Reservation
	for _, bucket := range b.each {
		r := bucket.ReserveN(now, 1)
		taken = append(taken, r)
		if d := r.DelayFrom(now); d > wait {
			wait, exceeded = d, bucket.Burst()
		}
	}
	if wait == 0 {
		return 0, 0
	}
	for _, r := range taken {
		r.CancelAt(now)
	}
	return wait, exceeded
}
