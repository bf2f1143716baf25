package queue_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/runner"
)

func TestSubmitAndWait(t *testing.T) {
	x := executions(t, open(t, queue.Options{Dir: t.TempDir()}), queue.ExecutionsOptions{})
	queued := submit(t, x, queue.Submission{Tool: "echo", Type: runner.JavaScript})
	require.Equal(t, queue.Queued, queued.State)
	got, err := x.Get(t.Context(), "acme", queued.ID)
	require.NoError(t, err)
	require.Equal(t, queue.Queued, got.State)
	require.Nil(t, got.Outcome)
	waiting, running, err := x.Depth(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int{1, 0}, []int{waiting, running})

	work(t, x, queue.WorkerOptions{Runner: newTools()})
	done := wait(t, x, queued.ID)
	require.Equal(t, 1, done.Attempts)
	require.Empty(t, done.Class)
	require.JSONEq(t, `{"success":true,"data":{"result":"ok","duration":0,"status":"success"}}`, string(done.Outcome.Document))
	require.Contains(t, string(done.Outcome.Details), `"executionId":"`+queued.ID+`"`)
	require.Regexp(t, `^\{"id":"`+queued.ID+`","organization":"acme","tool":"echo","type":"javascript","state":"done",`+
		`"createdAt":"[^"]{20}\.?[^"]*Z","startedAt":"[^"]*Z","endedAt":"[^"]*Z","attempts":1,"outcome":\{"success":true,`, string(must(json.Marshal(done))))
	empties(t, x)

	for _, id := range []string{"nothing", "", "a.b", "*", ">", strings.Repeat("x", 65), "a b"} {
		_, err := x.Get(t.Context(), "acme", id)
		require.ErrorIs(t, err, queue.ErrNotFound, id)
		_, err = x.Wait(t.Context(), "acme", id)
		require.ErrorIs(t, err, queue.ErrNotFound, id)
		_, err = x.Cancel(t.Context(), "acme", id)
		require.ErrorIs(t, err, queue.ErrNotFound, id)
	}
	_, err = x.Get(t.Context(), "other", queued.ID)
	require.ErrorIs(t, err, queue.ErrNotFound)
}

func TestIdempotency(t *testing.T) {
	e := open(t, queue.Options{Dir: t.TempDir()})
	one, two := executions(t, e, queue.ExecutionsOptions{}), executions(t, e, queue.ExecutionsOptions{})
	f := newTools()
	work(t, one, queue.WorkerOptions{Runner: f})
	work(t, two, queue.WorkerOptions{Runner: f})

	ids := make([]string, 50)
	var fresh int
	var mu sync.Mutex
	var all sync.WaitGroup
	begin := make(chan struct{})
	for i := range ids {
		all.Go(func() {
			<-begin
			x := []*queue.Executions{one, two}[i%2]
			got, replayed, err := x.Submit(t.Context(), queue.Submission{
				Organization: "acme", Tool: "echo", IdempotencyKey: "k", Fingerprint: "f"})
			mu.Lock()
			defer mu.Unlock()
			if err == nil && !replayed {
				fresh++
			}
			if err != nil {
				t.Error(err)
			}
			ids[i] = got.ID
		})
	}
	close(begin)
	all.Wait()
	for _, id := range ids {
		require.Equal(t, ids[0], id)
	}
	require.Equal(t, 1, fresh)
	wait(t, one, ids[0])
	empties(t, one)
	require.EqualValues(t, 1, f.runs.Load())

	_, _, err := one.Submit(t.Context(), queue.Submission{Organization: "acme", Tool: "echo", IdempotencyKey: "k", Fingerprint: "g"})
	require.ErrorIs(t, err, queue.ErrKeyReused)
	other, replayed, err := one.Submit(t.Context(), queue.Submission{Organization: "other", Tool: "echo", IdempotencyKey: "k", Fingerprint: "g"})
	require.NoError(t, err)
	require.False(t, replayed)
	require.NotEqual(t, ids[0], other.ID)
	again, replayed, err := two.Submit(t.Context(), queue.Submission{Organization: "acme", Tool: "echo", IdempotencyKey: "k", Fingerprint: "f"})
	require.NoError(t, err)
	require.True(t, replayed)
	require.Equal(t, queue.Done, again.State)

	// Retention took the outcome: the tool must not run again.
	require.NoError(t, one.Forget(t.Context(), "acme", ids[0]))
	_, _, err = one.Submit(t.Context(), queue.Submission{Organization: "acme", Tool: "echo", IdempotencyKey: "k", Fingerprint: "f"})
	require.ErrorIs(t, err, queue.ErrForgotten)
}

// Submit dies between its steps, and the caller tries again.
func TestSubmitDies(t *testing.T) {
	t.Parallel()
	e := open(t, queue.Options{Dir: t.TempDir()})
	x := executions(t, e, queue.ExecutionsOptions{Lease: shortLease})
	for _, step := range []string{"entry", "job", "record"} {
		for _, worked := range []bool{false, true} { // has a worker seen the job before the second try?
			name := fmt.Sprint(step, worked)
			f := newTools()
			s := queue.Submission{ID: "first-" + name, Organization: "acme", Tool: "echo", IdempotencyKey: name, Fingerprint: "f"}
			require.NoError(t, x.SubmitUntil(t.Context(), s, step))
			stop := func() {}
			if worked {
				stop = work(t, x, queue.WorkerOptions{Runner: f})
				empties(t, x)
			}
			s.ID = "second-" + name
			got, replayed, err := x.Submit(t.Context(), s)
			require.NoError(t, err)
			require.True(t, replayed)
			require.Equal(t, "first-"+name, got.ID, name)
			if !worked {
				stop = work(t, x, queue.WorkerOptions{Runner: f})
			}
			wait(t, x, got.ID)
			empties(t, x)
			stop()
			require.EqualValues(t, 1, f.runs.Load(), name)
		}
	}
}

// A copy of a job that NATS didn't know as one runs nothing.
func TestCopies(t *testing.T) {
	x := executions(t, open(t, queue.Options{}), queue.ExecutionsOptions{Lease: 200 * time.Millisecond})
	f := newTools()
	s := queue.Submission{ID: "twice", Organization: "acme", Tool: "hold"}
	work(t, x, queue.WorkerOptions{Runner: f})
	work(t, x, queue.WorkerOptions{Runner: f})
	submit(t, x, s)
	<-f.entered
	require.NoError(t, x.EnqueueCopy(t.Context(), s))
	require.NoError(t, x.EnqueueCopy(t.Context(), s))
	waitDelivered(t, x, 3)
	close(f.release)
	wait(t, x, "twice")
	empties(t, x)
	require.EqualValues(t, 1, f.runs.Load())
}

func waitDelivered(t *testing.T, x *queue.Executions, n int) {
	t.Helper()
	becomes(t, "all jobs are with workers", func() bool {
		waiting, running, err := x.Depth(t.Context())
		return err == nil && waiting == 0 && running == n
	})
}

func TestQueueFull(t *testing.T) {
	x := executions(t, open(t, queue.Options{}), queue.ExecutionsOptions{Queue: 3})
	submit(t, x, queue.Submission{Tool: "echo", Organization: "other"})
	submit(t, x, queue.Submission{Tool: "echo", Organization: "other"})
	_, _, err := x.Submit(t.Context(), queue.Submission{Tool: "echo", Organization: "other"})
	require.ErrorIs(t, err, queue.ErrQueueFull, "one organization leaves room for others")
	submit(t, x, queue.Submission{Tool: "echo"})
	s := queue.Submission{Organization: "acme", Tool: "echo", IdempotencyKey: "k", Fingerprint: "f"}
	_, _, err = x.Submit(t.Context(), s)
	require.ErrorIs(t, err, queue.ErrQueueFull)
	f := newTools()
	work(t, x, queue.WorkerOptions{Runner: f})
	empties(t, x)
	got, _, err := x.Submit(t.Context(), s) // the key isn't burnt
	require.NoError(t, err)
	wait(t, x, got.ID)
	require.EqualValues(t, 4, f.runs.Load())
}
