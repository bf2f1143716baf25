package queue_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/queue"
)

// Jobs that are gone without an outcome, by a power cut or damage.
func TestJobLost(t *testing.T) {
	t.Parallel()
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
		becomes(t, "it has ended for who sends the key again", func() bool {
			again, replayed, err := x.Submit(t.Context(), s)
			return err == nil && replayed && again.ID == keyed && again.State == queue.Done
		})
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
