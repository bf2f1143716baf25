package queue_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/queue"
)

func rates(t testing.TB, e *queue.Engine) *queue.Rates {
	t.Helper()
	r, err := e.Rates(t.Context())
	require.NoError(t, err)
	return r
}

func spend(t testing.TB, r *queue.Rates, key string, limits ...queue.Limit) queue.RateState {
	t.Helper()
	state, err := r.Spend(t.Context(), key, limits)
	require.NoError(t, err)
	return state
}

// clock is a time that only the test moves.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time        { return time.Unix(1_800_000_000, c.at.Load()) }
func (c *clock) pass(by time.Duration) { c.at.Add(int64(by)) }

func TestRateStates(t *testing.T) {
	a, b := pair(t)
	ra, rb := rates(t, a), rates(t, b)
	var c clock
	ra.SetNow(c.now)
	rb.SetNow(c.now)
	limit := queue.Limit{N: 3, Per: time.Minute}
	state := func(remaining int, reset, retryAfter time.Duration) queue.RateState {
		return queue.RateState{Limit: 3, Remaining: remaining, Reset: reset, RetryAfter: retryAfter}
	}

	require.Equal(t, state(2, 20*time.Second, 0), spend(t, ra, "k", limit))
	c.pass(5 * time.Second)
	require.Equal(t, state(1, 35*time.Second, 0), spend(t, rb, "k", limit))
	require.Equal(t, state(0, 55*time.Second, 0), spend(t, ra, "k", limit))
	require.Equal(t, state(0, 55*time.Second, 15*time.Second), spend(t, rb, "k", limit))
	require.Equal(t, state(0, 55*time.Second, 15*time.Second), spend(t, ra, "k", limit))
	c.pass(15*time.Second - time.Millisecond)
	require.Equal(t, state(0, 40*time.Second+time.Millisecond, time.Millisecond), spend(t, ra, "k", limit))
	c.pass(time.Millisecond)
	require.Equal(t, state(0, time.Minute, 0), spend(t, rb, "k", limit), "the wait was exact")
	require.Equal(t, state(0, time.Minute, 20*time.Second), spend(t, ra, "k", limit))
	require.Equal(t, state(2, 20*time.Second, 0), spend(t, ra, "other", limit))

	// A narrower limit holds for what was spent under the wider one.
	require.Equal(t, queue.RateState{Limit: 1, Reset: time.Minute, RetryAfter: time.Minute}, spend(t, ra, "k", queue.Limit{N: 1, Per: time.Minute}))
	c.pass(time.Minute)
	require.Equal(t, state(2, 20*time.Second, 0), spend(t, ra, "k", limit))
}

// Both limits hold, and the one that has room loses nothing when the other one refuses.
func TestSeveralRateLimits(t *testing.T) {
	r := rates(t, open(t, queue.Options{}))
	var c clock
	r.SetNow(c.now)
	limits := []queue.Limit{{N: 2, Per: time.Minute}, {N: 5, Per: time.Hour}}
	accepted := func() (n int) {
		for range 10 {
			if spend(t, r, "k", limits...).RetryAfter == 0 {
				n++
			}
		}
		return n
	}
	require.Equal(t, 2, accepted())
	c.pass(time.Minute)
	require.Equal(t, 2, accepted())
	c.pass(time.Minute)
	require.Equal(t, 1, accepted(), "of the hour's five, four are spent and nothing more")
	state := spend(t, r, "k", limits...)
	require.Equal(t, 5, state.Limit, "the limit to wait longest for")
	require.Equal(t, 10*time.Minute, state.RetryAfter)
	c.pass(10*time.Minute - time.Millisecond)
	require.Equal(t, 0, accepted())
	c.pass(time.Millisecond)
	require.Equal(t, 1, accepted())
}

func TestRateLimitsThatAreNone(t *testing.T) {
	r := rates(t, open(t, queue.Options{}))
	require.Zero(t, spend(t, r, "k"))
	require.Zero(t, spend(t, r, "k", queue.Limit{Per: time.Minute}, queue.Limit{N: -1, Per: time.Minute}))
	for _, per := range []time.Duration{0, time.Millisecond - 1, 24*time.Hour + 1} {
		_, err := r.Spend(t.Context(), "k", []queue.Limit{{N: 1, Per: per}})
		require.Error(t, err, per)
	}
	// Two of one period: the narrower one, spent once.
	twice := []queue.Limit{{N: 9, Per: time.Hour}, {N: 2, Per: time.Hour}}
	require.Equal(t, 1, spend(t, r, "k", twice...).Remaining)
	require.Equal(t, 0, spend(t, r, "k", twice...).Remaining)
	require.NotZero(t, spend(t, r, "k", twice...).RetryAfter)
	// Any text is a key, and a key of its own.
	require.Equal(t, 1, spend(t, r, "", twice...).Remaining)
	require.Equal(t, 1, spend(t, r, "a.*.> ü", twice...).Remaining)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := r.Spend(ctx, "cancelled", twice)
	if err != nil { // it may have been as fast
		require.ErrorIs(t, err, context.Canceled)
	}
}

// hammer spends from all stores at once and returns how many requests were accepted.
func hammer(t testing.TB, key string, limits []queue.Limit, goroutines, each int, stores ...*queue.Rates) int64 {
	var accepted atomic.Int64
	var wg sync.WaitGroup
	start := make(chan struct{})
	for g := range goroutines {
		wg.Go(func() {
			<-start
			for range each {
				state, err := stores[g%len(stores)].Spend(t.Context(), key, limits)
				if err != nil {
					t.Error(err)
					return
				}
				if state.RetryAfter == 0 {
					accepted.Add(1)
				}
			}
		})
	}
	close(start)
	wg.Wait()
	return accepted.Load()
}

func TestRatesAreExactOverNodes(t *testing.T) {
	a, b := pair(t)
	stores := []*queue.Rates{rates(t, a), rates(t, b)}
	var c clock
	for _, r := range stores {
		r.SetNow(c.now)
	}
	limits := []queue.Limit{{N: 300, Per: time.Minute}, {N: 500, Per: time.Hour}}
	require.EqualValues(t, 300, hammer(t, "k", limits, 8, 100, stores...))
	c.pass(time.Minute)
	// An hour's limit grows back, too: 8 1/3 in a minute.
	require.EqualValues(t, 208, hammer(t, "k", limits, 8, 100, stores...))
	// Many that wait for one key are served together.
	require.EqualValues(t, 300, hammer(t, "crowd", limits, 600, 1, stores...))
}

// A key whose limits are unused again leaves nothing behind.
func TestRatesVanish(t *testing.T) {
	dir := t.TempDir()
	r := rates(t, open(t, queue.Options{Dir: dir}))
	kept := func() uint64 {
		s, err := joined(t, dir).Stream(t.Context(), "KV_toolrun_rates")
		require.NoError(t, err)
		return s.CachedInfo().State.Msgs
	}
	for n := range 10 {
		spend(t, r, fmt.Sprint(n), queue.Limit{N: 2, Per: time.Second}, queue.Limit{N: 100, Per: 10 * time.Second})
	}
	spend(t, r, "long", queue.Limit{N: 2, Per: time.Hour})
	require.EqualValues(t, 11, kept())
	require.Eventually(t, func() bool { return kept() == 1 }, 30*time.Second, 50*time.Millisecond)
	// What the node remembers of a key that vanished does no harm.
	require.Zero(t, spend(t, r, "1", queue.Limit{N: 2, Per: time.Second}).RetryAfter)
}

// Without NATS a node counts for itself, from what it knew; with it again, all hold together.
func TestRatesWithoutNATS(t *testing.T) {
	s := serve(t, nil)
	a := open(t, queue.Options{URL: s.ClientURL()})
	b := open(t, queue.Options{URL: s.ClientURL()})
	ra, rb := rates(t, a), rates(t, b)
	limit := queue.Limit{N: 4, Per: time.Hour}
	require.Equal(t, 3, spend(t, ra, "k", limit).Remaining)
	require.Equal(t, 2, spend(t, rb, "k", limit).Remaining)

	s.stop()
	require.Equal(t, 2, spend(t, ra, "k", limit).Remaining, "it doesn't know what the other one spent")
	require.Equal(t, 1, spend(t, rb, "k", limit).Remaining)
	require.Equal(t, 1, spend(t, ra, "k", limit).Remaining)
	require.Equal(t, 0, spend(t, ra, "k", limit).Remaining)
	require.NotZero(t, spend(t, ra, "k", limit).RetryAfter)
	require.Error(t, a.Ready())

	s.start(t)
	require.Eventually(t, func() bool { return a.Ready() == nil && b.Ready() == nil }, 20*time.Second, 20*time.Millisecond)
	require.Eventually(t, func() bool {
		spend(t, ra, "fresh", queue.Limit{N: 1000, Per: time.Hour})
		mine := spend(t, ra, "fresh", queue.Limit{N: 1000, Per: time.Hour}).Remaining
		return spend(t, rb, "fresh", queue.Limit{N: 1000, Per: time.Hour}).Remaining == mine-1
	}, 20*time.Second, 20*time.Millisecond)
}

func BenchmarkSpend(b *testing.B) {
	r := rates(b, open(b, queue.Options{}))
	limits := []queue.Limit{{N: 1_000_000_000, Per: time.Minute}}
	b.Run("alone", func(b *testing.B) {
		for b.Loop() {
			spend(b, r, "k", limits...)
		}
	})
	b.Run("crowd", func(b *testing.B) {
		b.SetParallelism(64)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				spend(b, r, "k", limits...)
			}
		})
	})
	b.Run("refused", func(b *testing.B) {
		limits := []queue.Limit{{N: 1, Per: time.Hour}}
		for b.Loop() {
			spend(b, r, "full", limits...)
		}
	})
}
