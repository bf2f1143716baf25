package queue_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/runner"
)

// A flood of one organization, each of whose jobs takes for ever, leaves another's to run.
func TestFloodDelaysOthersLittle(t *testing.T) {
	t.Parallel()
	x := executions(t, open(t, queue.Options{}), queue.ExecutionsOptions{})
	require.NotEqual(t, queue.JobSubject("flood")[:14], queue.JobSubject("acme")[:14], "the two share a lane: take another name")
	var flood []string
	for range 100 {
		flood = append(flood, submit(t, x, queue.Submission{Organization: "flood", Tool: "hold"}).ID)
	}
	f := newTools()
	work(t, x, queue.WorkerOptions{Runner: f, Concurrency: 2})
	<-f.entered
	<-f.entered
	for i := range 20 {
		e := submit(t, x, queue.Submission{Organization: "acme", Tool: "echo"})
		require.Equal(t, queue.Done, wait(t, x, e.ID).State, fmt.Sprint(i))
	}
	require.Empty(t, f.entered, "not more than two of the flood at once")
	go func() {
		for range f.entered {
		}
	}()
	close(f.release)
	for _, id := range flood {
		_, err := x.Wait(t.Context(), "flood", id)
		require.NoError(t, err)
	}
	close(f.entered)
}

// Whoever accepted an execution knew its tool; a worker may hear of a new one a moment
// later.
func TestWorkerHearsLateOfATool(t *testing.T) {
	t.Parallel()
	e := open(t, queue.Options{})
	x := executions(t, e, queue.ExecutionsOptions{})
	f := newTools()
	work(t, x, queue.WorkerOptions{Runner: f})
	done := wait(t, x, submit(t, x, queue.Submission{Tool: "late"}).ID)
	require.Empty(t, done.Class)
	require.Equal(t, 1, done.Attempts)

	f.runs.Store(0)
	o, err := e.ExecuteRemote(t.Context(), runner.Request{Tool: "late"}, false)
	require.NoError(t, err)
	require.Empty(t, o.Class)
}
