package queue_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/queue"
)

// The servers of a cluster refuse a message while the same one is on its way, which passes.
// Those who submit with one key at once are not told of it.
func TestSubmittedTogether(t *testing.T) {
	t.Parallel()
	_, urls := cluster(t)
	x := executions(t, open(t, queue.Options{URL: urls}), queue.ExecutionsOptions{})
	y := executions(t, open(t, queue.Options{URL: urls}), queue.ExecutionsOptions{})
	const together = 8
	for round := range 25 {
		var ids [together]string
		var faults [together]error
		var all sync.WaitGroup
		for i := range together {
			all.Go(func() {
				made, _, err := []*queue.Executions{x, y}[i%2].Submit(t.Context(), queue.Submission{
					Tool: "echo", IdempotencyKey: fmt.Sprint("key", round), Fingerprint: "same",
				})
				ids[i], faults[i] = made.ID, err
			})
		}
		all.Wait()
		for i := range together {
			require.NoError(t, faults[i])
			require.Equal(t, ids[0], ids[i])
		}
	}
	waiting, _, err := x.Depth(t.Context())
	require.NoError(t, err)
	require.Equal(t, 25, waiting, "one job a key")
}

// An outcome waits for the server to come back, and so does a submission.
func TestServerAwayForAMoment(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	x := executions(t, open(t, queue.Options{URL: s.ClientURL()}), queue.ExecutionsOptions{Lease: 2 * time.Second, Bytes: 64 << 20})
	f := newTools()
	work(t, x, queue.WorkerOptions{Runner: f})
	held := submit(t, x, queue.Submission{Organization: "acme", Tool: "hold"})
	<-f.entered
	s.stop()
	becomes(t, "a failure", func() bool {
		_, err := x.Get(t.Context(), "acme", held.ID)
		return err != nil && queue.Unavailable(err)
	})
	close(f.release)
	submitted := make(chan error, 1)
	go func() {
		_, _, err := x.Submit(t.Context(), queue.Submission{ID: "meanwhile", Organization: "acme", Tool: "echo", IdempotencyKey: "k", Fingerprint: "f"})
		submitted <- err
	}()
	time.Sleep(200 * time.Millisecond) // both find nobody
	s.start(t)
	began := time.Now()
	require.NoError(t, <-submitted)
	require.Equal(t, queue.Done, wait(t, x, "meanwhile").State)
	require.Less(t, time.Since(began), 8*time.Second, "a server that starts again has forgotten who waits for jobs")
	done := wait(t, x, held.ID)
	require.Empty(t, done.Reason)
	require.Equal(t, 1, done.Attempts)
}
