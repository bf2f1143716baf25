package sandbox

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
)

func newChildPool(t *testing.T, o Options) *Pool {
	t.Helper()
	p, err := New(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// loseAll kills the idle children of a pool, as an operator might.
func loseAll(p *Pool) {
	p.children.mu.Lock()
	idle := p.children.idle
	p.children.mu.Unlock()
	for _, c := range idle {
		_ = c.process.Kill()
		<-c.exited
	}
}

// TestCrashLoop: while children can't be started, executions fail with a clear
// error soon, attempts become rare, and all is well once they can.
func TestCrashLoop(t *testing.T) {
	p := newChildPool(t, Options{Children: 2})
	var broken atomic.Bool
	var attempts atomic.Int64
	broken.Store(true)
	p.children.mu.Lock()
	p.children.start = func() (*child, error) {
		if broken.Load() {
			attempts.Add(1)
			return nil, errors.New("fork: resource temporarily unavailable")
		}
		return startChild()
	}
	p.children.mu.Unlock()
	loseAll(p)

	run := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := p.Run(ctx, Job{Source: Source{Code: "return 1"}})
		return err
	}
	var got *errclass.Error
	require.ErrorAs(t, run(), &got)
	require.Equal(t, errclass.SandboxError, got.Class)
	require.Equal(t, "the sandbox can't start its processes", got.Detail)
	require.True(t, got.Retryable)
	require.Equal(t, errclass.OriginPlatform, got.Origin)
	require.LessOrEqual(t, attempts.Load(), int64(maxBirthFailures+2))
	require.ErrorContains(t, errors.Unwrap(got), "resource temporarily unavailable")

	broken.Store(false)
	require.Eventually(t, func() bool { return run() == nil }, time.Minute, time.Millisecond)
}

// TestMissingLayer: a required layer that is missing keeps the pool from starting,
// unless the embedder says otherwise.
func TestMissingLayer(t *testing.T) {
	lacking := greeting{layers: []Layer{{"moat", true, "dry"}, {"fence", false, "rotten"}}}
	for _, test := range []struct {
		mayLack map[string]bool
		want    string
	}{
		{nil, `the required layer "moat" is missing: dry; list it in Options.MayLack to run without it`},
		{map[string]bool{"fence": true}, `the required layer "moat" is missing: dry; list it in Options.MayLack to run without it`},
		{map[string]bool{"moat": true}, ""},
	} {
		err := lacking.check(test.mayLack)
		if test.want == "" {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, test.want)
	}
}

// TestChildrenAreRecycled: after enough executions another process takes over.
func TestChildrenAreRecycled(t *testing.T) {
	p := newChildPool(t, Options{Children: 1})
	ids := map[int]int{}
	for range 2*maxRuns + 2 { // more than a child and a spare may run together
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		job := &Job{Source: Source{Code: "return 1"}, Limits: builtinLimits}
		c, release, err := p.children.acquire(ctx, job)
		require.NoError(t, err)
		r := newRun(ctx, job, false)
		r.child = c
		value, failure := r.execute()
		require.Nil(t, failure)
		require.Equal(t, "1", string(value))
		require.True(t, r.clean)
		ids[c.process.Pid]++
		release(true)
		cancel()
	}
	for id, runs := range ids {
		require.LessOrEqual(t, runs, maxRuns, id)
	}
}

// TestChildrenStay: executions one after the other need a child and a spare, also
// where only one may run at once.
func TestChildrenStay(t *testing.T) {
	p := newChildPool(t, Options{Children: 1})
	started := 0
	p.children.mu.Lock()
	p.children.start = func() (*child, error) {
		p.children.mu.Lock()
		started++
		p.children.mu.Unlock()
		return startChild()
	}
	p.children.mu.Unlock()
	for range 100 {
		_, err := p.Run(t.Context(), Job{Source: Source{Code: "return 1"}})
		require.NoError(t, err)
	}
	p.children.mu.Lock()
	defer p.children.mu.Unlock()
	require.LessOrEqual(t, started, 1)
}
