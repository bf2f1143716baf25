package queue_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/queue"
)

func TestFollow(t *testing.T) {
	x := executions(t, open(t, queue.Options{}), queue.ExecutionsOptions{})
	f := newTools()
	words := []string{"one", "two", "three", "<\u2028>"}
	id := submit(t, x, queue.Submission{Tool: "hold", Parameters: parameters(t, plan{Words: words})}).ID
	events := make(chan queue.Event, 100)
	followed := make(chan error, 1)
	go func() {
		followed <- x.Follow(context.Background(), "acme", id, func(e queue.Event) error {
			events <- e
			return nil
		})
	}()
	first := <-events
	require.Equal(t, []any{queue.StateEvent, queue.Queued}, []any{first.Kind, first.Execution.State})
	work(t, x, queue.WorkerOptions{Runner: f})
	<-f.entered
	close(f.release)
	require.NoError(t, <-followed)
	close(events)
	var logs, deltas []string
	var last queue.Event
	for e := range events {
		switch e.Kind {
		case queue.LogEvent:
			logs = append(logs, e.Log.Message)
		case queue.DeltaEvent:
			deltas = append(deltas, e.Delta)
		}
		last = e
	}
	require.Equal(t, words, logs)
	require.Equal(t, words, deltas)
	require.Equal(t, queue.OutcomeEvent, last.Kind)
	require.NotNil(t, last.Execution.Outcome)

	stop := errors.New("enough")
	require.ErrorIs(t, x.Follow(t.Context(), "acme", id, func(queue.Event) error { return stop }), stop)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	waiting := submit(t, x, queue.Submission{Tool: "hold", Organization: "acme", ID: "w"})
	_ = waiting
	g, err := x.Wait(ctx, "acme", "w")
	if err != nil { // the worker has released tools only
		require.ErrorIs(t, err, context.DeadlineExceeded)
	} else {
		require.Equal(t, queue.Done, g.State)
	}
}

// A waiter whose message is lost reads the record, and one that isn't waits no longer
// than the execution takes.
func TestWaitWithoutMessages(t *testing.T) {
	url := natsServer(t, server.Options{})
	x := executions(t, open(t, queue.Options{URL: url, Replicas: 1}), queue.ExecutionsOptions{})
	id := submit(t, x, queue.Submission{Tool: "echo"}).ID
	waited := make(chan error, 1)
	go func() {
		_, err := x.Wait(context.Background(), "acme", id)
		waited <- err
	}()
	// Nobody announces this end.
	require.NoError(t, x.EndSilently(t.Context(), "acme", id))
	select {
	case err := <-waited:
		require.NoError(t, err)
	case <-time.After(patience):
		require.FailNow(t, "the waiter hangs")
	}
}
