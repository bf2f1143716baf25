package queue_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/runner"
)

func TestRemoteWithoutWorker(t *testing.T) {
	e := open(t, queue.Options{})
	began := time.Now()
	_, err := e.ExecuteRemote(t.Context(), runner.Request{Tool: "echo"}, false)
	require.ErrorIs(t, err, queue.ErrNoWorker)
	require.Less(t, time.Since(began), 5*time.Second)
}

// A front and a worker in another process.
func TestRemote(t *testing.T) {
	t.Parallel()
	url := natsServer(t, server.Options{MaxPayload: 256 << 10})
	front := open(t, queue.Options{URL: url, Replicas: 1})
	startWorker(t, workerSettings{URL: url, Lease: shortLease})
	listens(t, front)

	t.Run("outcome", func(t *testing.T) {
		var words, deltas, logs []string
		for i := range 2000 {
			words = append(words, fmt.Sprint(i))
		}
		started := 0
		o, err := front.ExecuteRemote(t.Context(), runner.Request{
			Tool: "echo", Organization: "acme", ExecutionID: "e1", Parameters: parameters(t, plan{Words: words}),
			Log:     func(line errclass.LogLine) { logs = append(logs, line.Message) },
			Stream:  func(delta string) { deltas = append(deltas, delta) },
			Started: func(_ context.Context, id string) { started++; require.Equal(t, "e1", id) },
		}, true)
		require.NoError(t, err)
		require.Equal(t, words, deltas)
		require.Equal(t, words, logs)
		require.Equal(t, 1, started)
		require.Equal(t, "e1", o.ExecutionID)
		require.Contains(t, string(o.Document), `"result":"ok"`)
		require.NotContains(t, string(o.Document), "details")
		require.Contains(t, string(o.Details), `"executionId":"e1"`)
	})
	t.Run("failure", func(t *testing.T) {
		o, err := front.ExecuteRemote(t.Context(), runner.Request{Tool: "fail"}, false)
		require.NoError(t, err)
		require.Equal(t, []any{errclass.HTTPError, errclass.ServerError, true}, []any{o.Class, o.Reason, o.Retryable})
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		_, err := front.ExecuteRemote(t.Context(), runner.Request{Tool: "unknown"}, false)
		api, ok := errors.AsType[*errclass.APIError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, []any{errclass.CodeNotFound, "Tool not found"}, []any{api.Code, api.Message})
	})
	t.Run("sizes", func(t *testing.T) {
		o, err := front.ExecuteRemote(t.Context(), runner.Request{Tool: "echo", Parameters: parameters(t, plan{Size: 240 << 10})}, true)
		require.NoError(t, err)
		require.Empty(t, o.Class)
		o, err = front.ExecuteRemote(t.Context(), runner.Request{Tool: "echo", Parameters: parameters(t, plan{Size: 256 << 10})}, true)
		require.NoError(t, err)
		require.Equal(t, []any{errclass.SandboxError, errclass.OutputLimit}, []any{o.Class, o.Reason})
		_, err = front.ExecuteRemote(t.Context(), runner.Request{Tool: "echo", Parameters: make([]byte, 0)}, true)
		require.NoError(t, err)
		large := parameters(t, plan{Words: []string{string(make([]byte, 256<<10))}})
		_, err = front.ExecuteRemote(t.Context(), runner.Request{Tool: "echo", Parameters: large}, true)
		api, ok := errors.AsType[*errclass.APIError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, errclass.CodePayloadTooLarge, api.Code)
	})
	t.Run("the caller leaves", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "runs")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		o, err := front.ExecuteRemote(ctx, runner.Request{
			Tool: "hold", Parameters: parameters(t, plan{File: file}), Started: func(context.Context, string) { cancel() },
		}, false)
		require.NoError(t, err)
		require.Equal(t, []any{errclass.Cancelled, errclass.CallerCancelled}, []any{o.Class, o.Reason})
		becomes(t, "the tool ends", func() bool { return noted(t, file, "end") == 1 })
		o, err = front.ExecuteRemote(ctx, runner.Request{Tool: "hold"}, false) // has left before it began
		require.NoError(t, err)
		require.Equal(t, errclass.Cancelled, o.Class)
	})
	t.Run("the front dies", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "runs")
		other, err := queue.Open(t.Context(), queue.Options{URL: url, Replicas: 1})
		require.NoError(t, err)
		ended := make(chan error, 1)
		go func() {
			_, err := other.ExecuteRemote(context.Background(), runner.Request{Tool: "hold", Parameters: parameters(t, plan{File: file})}, false)
			ended <- err
		}()
		becomes(t, "it runs", func() bool { return noted(t, file, "begin") == 1 })
		require.NoError(t, other.Close())
		becomes(t, "the tool ends", func() bool { return noted(t, file, "end") == 1 })
		<-ended
	})
	t.Run("longer than the silence", func(t *testing.T) {
		t.Parallel()
		o, err := front.ExecuteRemote(t.Context(), runner.Request{Tool: "echo", Parameters: parameters(t, plan{Wait: 6 * time.Second})}, false)
		require.NoError(t, err)
		require.Empty(t, o.Class)
	})
}

func TestRemoteWorkerDies(t *testing.T) {
	t.Parallel()
	url := natsServer(t, server.Options{})
	front := open(t, queue.Options{URL: url, Replicas: 1})
	p := startWorker(t, workerSettings{URL: url, Lease: shortLease})
	listens(t, front)
	var killed time.Time
	o, err := front.ExecuteRemote(t.Context(), runner.Request{Tool: "hold", Started: func(context.Context, string) {
		killed = time.Now()
		p.end()
	}}, false)
	require.NoError(t, err)
	require.Equal(t, []any{errclass.InternalError, errclass.WorkerLost}, []any{o.Class, o.Reason})
	require.Less(t, time.Since(killed), 8*time.Second)
	t.Log("noticed after", time.Since(killed))
}

// listens waits until a worker takes what fronts send.
func listens(t *testing.T, front *queue.Engine) {
	t.Helper()
	becomes(t, "the worker listens", func() bool {
		_, err := front.ExecuteRemote(t.Context(), runner.Request{Tool: "echo"}, false)
		return !errors.Is(err, queue.ErrNoWorker)
	})
}

// A worker that stops ends what fronts wait for, and says why.
func TestRemoteDrain(t *testing.T) {
	e := open(t, queue.Options{})
	x := executions(t, e, queue.ExecutionsOptions{})
	f := newTools()
	stop := work(t, x, queue.WorkerOptions{Runner: f, Drain: -1})
	outcomes := make(chan *queue.Outcome, 1)
	go func() {
		var o *queue.Outcome
		err := queue.ErrNoWorker
		for errors.Is(err, queue.ErrNoWorker) {
			o, err = e.ExecuteRemote(context.Background(), runner.Request{Tool: "hold"}, false)
		}
		outcomes <- o
	}()
	<-f.entered
	stop()
	o := <-outcomes
	require.Equal(t, []any{errclass.Cancelled, errclass.Shutdown}, []any{o.Class, o.Reason})
	_, err := e.ExecuteRemote(t.Context(), runner.Request{Tool: "echo"}, false)
	require.ErrorIs(t, err, queue.ErrNoWorker)
}
