package queue_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/runner"
)

// Jobs that are gone without an outcome, by a power cut or damage.
func TestJobLost(t *testing.T) {
	const lease = 100 * time.Millisecond
	lost := []any{errclass.InternalError, errclass.WorkerLost}
	t.Run("who asks is told", func(t *testing.T) {
		url := natsServer(t, server.Options{})
		x := executions(t, open(t, queue.Options{URL: url, Replicas: 1}), queue.ExecutionsOptions{Lease: lease})
		s := queue.Submission{Organization: "acme", Tool: "echo", IdempotencyKey: "k", Fingerprint: "f"}
		read, keyed, waited := submit(t, x, queue.Submission{Tool: "echo"}).ID, submit(t, x, s).ID, submit(t, x, queue.Submission{Tool: "echo"}).ID
		require.NoError(t, x.LoseJobs(t.Context()))
		var got queue.Execution
		becomes(t, "it has ended", func() bool {
			var err error
			got, err = x.Get(t.Context(), "acme", read)
			return err == nil && got.State == queue.Done
		})
		require.Equal(t, lost, []any{got.Class, got.Reason})
		require.Contains(t, string(got.Outcome.Document), "its job was lost before it began")
		got, replayed, err := x.Submit(t.Context(), s)
		require.NoError(t, err)
		require.Equal(t, []any{true, keyed, queue.Done}, []any{replayed, got.ID, got.State})
		require.Equal(t, lost, []any{wait(t, x, waited).Class, got.Reason})
	})
	t.Run("who waits for a webhook is told", func(t *testing.T) {
		dir := t.TempDir()
		e, err := queue.Open(t.Context(), queue.Options{Dir: dir})
		require.NoError(t, err)
		x, err := e.Executions(t.Context(), queue.ExecutionsOptions{Lease: lease})
		require.NoError(t, err)
		r := receive(t, func(http.ResponseWriter, int) {})
		id := submit(t, x, queue.Submission{Tool: "echo", Webhook: r.URL}).ID
		require.NoError(t, x.LoseJobs(t.Context()))
		require.NoError(t, x.Close())
		require.NoError(t, e.Close())

		x = executions(t, open(t, queue.Options{Dir: dir}), queue.ExecutionsOptions{Lease: lease})
		transport := &http.Transport{}
		t.Cleanup(transport.CloseIdleConnections)
		work(t, x, queue.WorkerOptions{Runner: newTools(), Webhooks: queue.WebhookOptions{Transport: transport, Secret: master}})
		becomes(t, "the webhook comes", func() bool { return r.count(id) == 1 })
	})
	t.Run("what runs goes on", func(t *testing.T) {
		x := executions(t, open(t, queue.Options{}), queue.ExecutionsOptions{Lease: lease})
		f := newTools()
		stop := work(t, x, queue.WorkerOptions{Runner: f})
		id := submit(t, x, queue.Submission{Tool: "hold"}).ID
		<-f.entered
		require.NoError(t, x.LoseJobs(t.Context()))
		for began := time.Now(); time.Since(began) < 2*lease; {
			e, err := x.Get(t.Context(), "acme", id)
			require.NoError(t, err)
			require.Equal(t, queue.Running, e.State)
		}
		close(f.release)
		require.Empty(t, wait(t, x, id).Class)
		stop()
	})
	t.Run("its worker died too", func(t *testing.T) {
		x, settings := fleet(t)
		p := startWorker(t, settings)
		id := submit(t, x, queue.Submission{Tool: "hold"}).ID
		becomes(t, "it runs", func() bool {
			e, err := x.Get(t.Context(), "acme", id)
			return err == nil && e.State == queue.Running
		})
		require.NoError(t, x.LoseJobs(t.Context()))
		p.end()
		done := wait(t, x, id)
		require.Equal(t, lost, []any{done.Class, done.Reason})
		require.Contains(t, string(done.Outcome.Document), "its job is lost")
	})
}

// Retention by bytes takes what has ended, not what waits or runs.
func TestRetentionSparesWhatIsLive(t *testing.T) {
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
