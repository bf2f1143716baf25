//go:build linux

package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/sandbox"
)

// enduring does what travels in every direction: parameters, a call of the host,
// log lines, the result. Its id is in all of them.
var enduring = sandbox.Source{Name: "enduring.js", Code: `
	console.log("begins " + parameters.id);
	const answer = await tools.invoke("echo", {id: parameters.id});
	console.log("ends " + answer.id);
	return {id: parameters.id, answer: answer.id, text: "x".repeat(parameters.id % 1000)}`}

// TestKilledChildren kills random children while many executions run. Each must
// have its own right answer, or say that the platform failed and that it may be
// tried again; and afterwards nothing may be left of any.
func TestKilledChildren(t *testing.T) {
	executions, peers := 20_000, 16
	if testing.Short() || underRace {
		executions = 2_000
	}
	closeEventually(t, newPool(t, sandbox.Options{})) // opens what a first pool opens for good
	before := footprintNow(t)
	require.Zero(t, before.children)
	pool, err := sandbox.New(sandbox.Options{})
	require.NoError(t, err)
	defer func() { _ = pool.Close() }()

	var e endurance
	e.run(t, pool, peers, executions/20) // until caches and buffers are full
	heap := heapBytes()
	// The pace of the kills is that of the executions: the pool has to bear them,
	// not a machine on which nothing lives long enough to be started.
	e.due = make(chan struct{}, 1)
	var killer sync.WaitGroup
	killed := 0
	killer.Go(func() {
		for range e.due {
			killed += killOne(t)
		}
	})
	e.run(t, pool, peers, executions)
	close(e.due)
	killer.Wait()
	require.NoError(t, errors.Join(e.faults...))
	require.EqualValues(t, executions+executions/20, e.answered+e.failed)
	require.Equal(t, e.calls.Load(), int64(len(e.called)), "no call was made twice")
	t.Logf("%d executions, %d children killed, %d executions failed", executions, killed, e.failed)
	require.Greater(t, killed, executions/1000)
	require.Greater(t, e.answered, executions/2, "most don't notice")

	e.seen, e.called = nil, nil
	require.Less(t, heapBytes()-heap, 4<<20, "the host's heap has grown")
	result, failure := run(t, pool, code("return 1 + 1"))
	require.Nil(t, failure)
	require.Equal(t, "2", string(result.Value))
	require.Zero(t, pool.Abandoned())
	require.NoError(t, pool.Close())
	require.Empty(t, childrenOf(t, os.Getpid()), "of a closed pool")
	requireNothingLeft(t, before)
}

// killEvery is after how many executions a child is killed.
const killEvery = 50

// endurance counts what has become of the executions.
type endurance struct {
	ids   atomic.Int64
	calls atomic.Int64
	due   chan struct{} // when set, told that it is time to kill

	mu               sync.Mutex
	answered, failed int
	seen, called     map[int64]bool
	faults           []error
}

func (e *endurance) run(t *testing.T, pool *sandbox.Pool, peers, executions int) {
	e.mu.Lock()
	if e.seen == nil {
		e.seen, e.called = make(map[int64]bool), make(map[int64]bool)
	}
	e.mu.Unlock()
	end := e.ids.Load() + int64(executions)
	var all sync.WaitGroup
	for range peers {
		all.Go(func() {
			for {
				id := e.ids.Add(1)
				if id > end {
					return
				}
				if e.due != nil && id%killEvery == 0 {
					select {
					case e.due <- struct{}{}:
					default: // the killer is at it
					}
				}
				answered, fault := e.once(t.Context(), pool, id)
				e.mu.Lock()
				if fault != nil && len(e.faults) < 20 {
					e.faults = append(e.faults, fmt.Errorf("execution %d: %w", id, fault))
				}
				if e.seen[id] {
					e.faults = append(e.faults, fmt.Errorf("execution %d ended twice", id))
				}
				e.seen[id] = true
				if answered {
					e.answered++
				} else {
					e.failed++
				}
				e.mu.Unlock()
			}
		})
	}
	all.Wait()
	e.ids.Store(end)
}

// once is one execution; a fault is what must not be.
func (e *endurance) once(ctx context.Context, pool *sandbox.Pool, id int64) (answered bool, fault error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	result, err := pool.Run(ctx, sandbox.Job{
		Source: enduring, Parameters: fmt.Appendf(nil, `{"id":%d}`, id),
		Invoke: func(_ context.Context, _ string, parameters []byte) ([]byte, error) {
			e.calls.Add(1)
			e.mu.Lock()
			defer e.mu.Unlock()
			e.called[id] = true
			if want := fmt.Sprintf(`{"id":%d}`, id); string(parameters) != want {
				e.faults = append(e.faults, fmt.Errorf("execution %d called with %s", id, parameters))
			}
			return parameters, nil
		},
	})
	var logs []string
	for _, line := range result.Logs {
		logs = append(logs, line.Message)
	}
	want := []string{fmt.Sprint("begins ", id), fmt.Sprint("ends ", id)}
	if err == nil {
		if value := fmt.Sprintf(`{"id":%d,"answer":%d,"text":"%s"}`, id, id, rep("x", int(id%1000))); string(result.Value) != value {
			return true, fmt.Errorf("the answer is %.100s", result.Value)
		}
		if !slices.Equal(logs, want) {
			return true, fmt.Errorf("the logs are %q", logs)
		}
		return true, nil
	}
	if len(logs) > 2 || !slices.Equal(logs, want[:len(logs)]) {
		return false, fmt.Errorf("the logs are %q: %w", logs, err)
	}
	var failure *errclass.Error
	if !errors.As(err, &failure) || failure.Class != errclass.SandboxError || failure.Reason != errclass.EngineFault ||
		failure.Origin != errclass.OriginPlatform || !failure.Retryable || result.Value != nil {
		return false, fmt.Errorf("%w (%v)", err, errors.Unwrap(err))
	}
	return false, nil
}

// killOne kills a random child and returns how many it has killed: a child may
// be gone by then. The handle that FindProcess returns stays with the process
// that was looked at, whoever gets its number later.
func killOne(t *testing.T) int {
	pids := childrenOf(t, os.Getpid())
	if len(pids) == 0 {
		return 0
	}
	pid := pids[rand.IntN(len(pids))]
	process, err := os.FindProcess(pid)
	if err != nil {
		return 0
	}
	defer func() { _ = process.Release() }()
	if parentOf(pid) != os.Getpid() || !isChild(pid) || process.Kill() != nil {
		return 0
	}
	return 1
}
