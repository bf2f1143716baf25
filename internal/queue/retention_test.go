package queue_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/runner"
)

func TestRetention(t *testing.T) {
	t.Parallel()
	t.Run("bytes", func(t *testing.T) {
		x := executions(t, open(t, queue.Options{Dir: t.TempDir()}), queue.ExecutionsOptions{Bytes: 256 << 10})
		work(t, x, queue.WorkerOptions{Runner: newTools()})
		var ids []string
		for range 40 {
			ids = append(ids, submit(t, x, queue.Submission{Tool: "echo", Parameters: parameters(t, plan{Size: 20 << 10})}).ID)
			wait(t, x, ids[len(ids)-1])
		}
		records, bytes, _, _, err := x.StreamState(t.Context())
		require.NoError(t, err)
		require.LessOrEqual(t, bytes, uint64(256<<10))
		require.Less(t, records, uint64(13))
		_, err = x.Get(t.Context(), "acme", ids[0])
		require.ErrorIs(t, err, queue.ErrNotFound)
		wait(t, x, ids[39])
		// A result that takes the room of all others is too large.
		done := wait(t, x, submit(t, x, queue.Submission{Tool: "echo", Type: runner.JavaScript, Parameters: parameters(t, plan{Size: 300 << 10})}).ID)
		require.Equal(t, errclass.OutputLimit, done.Reason)
	})
	t.Run("age", func(t *testing.T) {
		x := executions(t, open(t, queue.Options{}), queue.ExecutionsOptions{Age: time.Second})
		work(t, x, queue.WorkerOptions{Runner: newTools()})
		id := submit(t, x, queue.Submission{Tool: "echo"}).ID
		wait(t, x, id)
		becomes(t, "it is forgotten", func() bool {
			_, err := x.Get(t.Context(), "acme", id)
			return errors.Is(err, queue.ErrNotFound)
		})
	})
	t.Run("a record that goes while it runs", func(t *testing.T) {
		x := executions(t, open(t, queue.Options{}), queue.ExecutionsOptions{})
		f := newTools()
		work(t, x, queue.WorkerOptions{Runner: f})
		id := submit(t, x, queue.Submission{Tool: "hold"}).ID
		<-f.entered
		require.NoError(t, x.Forget(t.Context(), "acme", id))
		close(f.release)
		becomes(t, "the outcome is kept", func() bool {
			e, err := x.Get(t.Context(), "acme", id)
			return err == nil && e.State == queue.Done && e.Class == ""
		})
	})
}

// Retention by bytes takes what has ended, not what waits or runs.
func TestRetentionSparesWhatIsLive(t *testing.T) {
	t.Parallel()
	const bytes = 256 << 10
	x := executions(t, open(t, queue.Options{}), queue.ExecutionsOptions{Bytes: bytes, Lease: 60 * time.Millisecond})
	f := newTools()
	work(t, x, queue.WorkerOptions{Runner: f, Concurrency: 1})
	live := []string{submit(t, x, queue.Submission{Tool: "hold"}).ID}
	require.Equal(t, live[0], <-f.entered)
	for range 3 { // its lane's and the only slot are taken
		live = append(live, submit(t, x, queue.Submission{Tool: "hold"}).ID)
	}
	value := json.RawMessage(`"` + strings.Repeat("x", 8<<10) + `"`)
	for i := range 100 {
		x.Record("other", &runner.Result{ExecutionID: fmt.Sprint("r", i), Value: value}, runner.HTTP, time.Now())
		becomes(t, "it is written", func() bool {
			_, err := x.Get(t.Context(), "other", fmt.Sprint("r", i))
			return err == nil
		})
		if i%4 == 3 { // an eighth of the room
			becomes(t, "they are out of danger", func() bool { return x.Young(t.Context(), "acme", live) })
		}
	}
	_, err := x.Get(t.Context(), "other", "r0")
	require.ErrorIs(t, err, queue.ErrNotFound)
	for _, id := range live {
		e, err := x.Get(t.Context(), "acme", id)
		require.NoError(t, err)
		require.NotEqual(t, queue.Done, e.State)
	}
	close(f.release)
	for _, id := range live {
		done := wait(t, x, id)
		require.Equal(t, []any{errclass.Class(""), 1}, []any{done.Class, done.Attempts})
	}
	empties(t, x)
}

// Who submitted with a key died before the key was marked, and retention took the outcome:
// the tool must not run again.
func TestKeyOutlivesItsRecord(t *testing.T) {
	x := executions(t, open(t, queue.Options{}), queue.ExecutionsOptions{Bytes: 256 << 10})
	f := newTools()
	work(t, x, queue.WorkerOptions{Runner: f})
	s := queue.Submission{ID: "first", Organization: "acme", Tool: "echo", IdempotencyKey: "k", Fingerprint: "f"}
	require.NoError(t, x.SubmitUntil(t.Context(), s, "record"))
	wait(t, x, "first")
	value := json.RawMessage(`"` + strings.Repeat("x", 8<<10) + `"`)
	for i := range 40 {
		x.Record("other", &runner.Result{ExecutionID: fmt.Sprint("r", i), Value: value}, runner.HTTP, time.Now())
	}
	becomes(t, "it is no longer kept", func() bool {
		_, err := x.Get(t.Context(), "acme", "first")
		return errors.Is(err, queue.ErrNotFound)
	})
	s.ID = "second"
	_, _, err := x.Submit(t.Context(), s)
	require.ErrorIs(t, err, queue.ErrForgotten)
	_, err = x.Find(t.Context(), s)
	require.ErrorIs(t, err, queue.ErrForgotten)

	// What was reserved now has no record yet, and nothing has taken one.
	s = queue.Submission{ID: "third", Organization: "acme", Tool: "echo", IdempotencyKey: "l", Fingerprint: "f"}
	require.NoError(t, x.SubmitUntil(t.Context(), s, "entry"))
	submit(t, x, s)
	wait(t, x, "third")
	require.EqualValues(t, 2, f.runs.Load())
}

func TestRecord(t *testing.T) {
	e := open(t, queue.Options{})
	x, err := e.Executions(t.Context(), queue.ExecutionsOptions{})
	require.NoError(t, err)
	for i := range 500 {
		x.Record("acme", &runner.Result{ExecutionID: fmt.Sprint("r", i), Tool: "t", Value: json.RawMessage("1")}, runner.JavaScript, time.Now())
	}
	require.NoError(t, x.Close())
	require.NoError(t, x.Close())
	require.Zero(t, x.Dropped())
	got, err := x.Get(t.Context(), "acme", "r499")
	require.NoError(t, err)
	require.Equal(t, queue.Done, got.State)
	x.Record("acme", &runner.Result{ExecutionID: "late", Value: json.RawMessage("1")}, runner.JavaScript, time.Now())
	require.EqualValues(t, 1, x.Dropped())
}
