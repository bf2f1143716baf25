package fairqueue_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/almyty-inc/toolrun/internal/fairqueue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestTurns: a tenant that comes late waits for one turn, not for the flood.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := fairqueue.New(1, 100)
		require.NoError(t, q.Acquire(t.Context(), "flood"))
		order := make(chan string, 100)
		wait := func(name string) {
			go func() {
				if q.Acquire(t.Context(), name) == nil {
					order <- name
					q.Release(name)
				}
			}()
			synctest.Wait()
		}
		for range 20 {
			wait("flood")
		}
		wait("late")
		require.Equal(t, 21, q.Waiting())
		q.Release("flood")
		synctest.Wait()
		require.Len(t, order, 21)
		first, second := <-order, <-order
		require.Contains(t, []string{first, second}, "late")
	})
}

func TestShare(t *testing.T) {
	q := fairqueue.New(8, 10)
	short, cancel := context.WithCancel(t.Context())
	cancel()
	for range 6 {
		require.NoError(t, q.Acquire(t.Context(), "a"))
	}
	require.ErrorIs(t, q.Acquire(short, "a"), context.Canceled, "three quarters are enough")
	require.NoError(t, q.Acquire(t.Context(), "b"))
	require.NoError(t, q.Acquire(t.Context(), "b"))
	require.ErrorIs(t, q.Acquire(short, "b"), context.Canceled, "none is left")

	nameless := fairqueue.New(8, 0)
	for range 8 {
		require.NoError(t, nameless.Acquire(t.Context(), ""))
	}
	require.ErrorIs(t, nameless.Acquire(t.Context(), ""), fairqueue.ErrFull)
}

// TestShareEnds: what a tenant may not hold yet, it gets when it gives back.
func TestShareEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := fairqueue.New(4, 10)
		for range 3 {
			require.NoError(t, q.Acquire(t.Context(), "a"))
		}
		got := make(chan error, 1)
		go func() { got <- q.Acquire(t.Context(), "a") }()
		synctest.Wait()
		require.Empty(t, got)
		q.Release("a")
		require.NoError(t, <-got)
	})
}

func TestBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := fairqueue.New(1, 2)
		require.NoError(t, q.Acquire(t.Context(), "a"))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		for range 2 {
			go func() { ended <- q.Acquire(ctx, "b") }()
		}
		synctest.Wait()
		require.ErrorIs(t, q.Acquire(t.Context(), "c"), fairqueue.ErrFull)
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
		require.ErrorIs(t, <-ended, context.Canceled)
		require.Zero(t, q.Waiting(), "a cancelled wait frees its place at once")
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := fairqueue.New(1, 2)
		require.NoError(t, q.Acquire(t.Context(), "a"))
		ended := make(chan error, 1)
		go func() { ended <- q.Acquire(t.Context(), "b") }()
		synctest.Wait()
		q.Close()
		q.Close()
		require.ErrorIs(t, <-ended, fairqueue.ErrClosed)
		require.ErrorIs(t, q.Acquire(t.Context(), "a"), fairqueue.ErrClosed)
		q.Release("a")
	})
}

// TestHammer: never more holders than slots, and none forgotten.
func TestHammer(t *testing.T) {
	const slots = 3
	q := fairqueue.New(slots, 1000)
	var holding, most, done atomic.Int64
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 200 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%5)*100*time.Microsecond+time.Microsecond)
				name := fmt.Sprint(g % 4)
				if q.Acquire(ctx, name) == nil {
					most.Store(max(most.Load(), holding.Add(1)))
					holding.Add(-1)
					done.Add(1)
					q.Release(name)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, most.Load(), int64(slots))
	require.Positive(t, done.Load())
	for range slots {
		require.NoError(t, q.Acquire(t.Context(), ""), "no slot was lost")
	}
}
