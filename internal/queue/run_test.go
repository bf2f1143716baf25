package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/runner"
)

// What a runner says to a job when it comes up.
func TestEndsOfJobs(t *testing.T) {
	t.Parallel()
	x := executions(t, open(t, queue.Options{}), queue.ExecutionsOptions{Lease: shortLease}) // a job may be handed to a worker that just stopped
	tests := []struct {
		tool, parameters string
		class            errclass.Class
		reason           errclass.Reason
		text             string
	}{
		{"fail", "", errclass.HTTPError, errclass.ServerError, "Tool execution failed: HTTP error: 500 Oops"},
		{"unknown", "", errclass.ConfigurationError, errclass.BadDefinition, "Tool not found"},
		{"echo", "[]", errclass.ConfigurationError, errclass.BadDefinition, "Validation failed"},
		{"broken", "", errclass.InternalError, errclass.Unclassified, "execution 0"},
	}
	for _, tt := range tests {
		stop := work(t, x, queue.WorkerOptions{Runner: newTools()})
		done := wait(t, x, submit(t, x, queue.Submission{Tool: tt.tool, Parameters: json.RawMessage(tt.parameters)}).ID)
		require.Equal(t, tt.class, done.Class, tt.tool)
		require.Equal(t, tt.reason, done.Reason, tt.tool)
		require.Contains(t, string(done.Outcome.Document), tt.text)
		stop()
	}
	busy := newTools()
	work(t, x, queue.WorkerOptions{Runner: busy})
	done := wait(t, x, submit(t, x, queue.Submission{Tool: "busy"}).ID)
	require.Empty(t, done.Class)
	require.Equal(t, 1, done.Attempts) // a full runner is no try
	require.EqualValues(t, 2, busy.runs.Load())
	empties(t, x)
}

// A message that is no job is taken out; where it can be told whose it is, there is an
// outcome.
func TestUnreadableJobs(t *testing.T) {
	x := executions(t, open(t, queue.Options{}), queue.ExecutionsOptions{})
	require.NoError(t, x.PublishJob(t.Context(), "{", "acme", "broken"))
	require.NoError(t, x.PublishJob(t.Context(), `{"id":"a.*","tool":"echo"}`, "acme", "a.*"))
	work(t, x, queue.WorkerOptions{Runner: newTools()})
	becomes(t, "both are counted", func() bool { return x.Faults() == 2 })
	empties(t, x)
	require.Equal(t, errclass.InternalError, wait(t, x, "broken").Class)
}

// The real runner, with its sandbox.
func TestRealRunner(t *testing.T) {
	t.Parallel()
	r, err := runner.New(runner.Options{Tools: []*runner.Definition{
		{Name: "add", Type: runner.JavaScript, Code: "console.log('adding'); return parameters.a + parameters.b"},
		{Name: "forever", Type: runner.JavaScript, Code: "for (;;);"},
	}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close(context.Background())) })
	x := executions(t, open(t, queue.Options{}), queue.ExecutionsOptions{})
	sum := submit(t, x, queue.Submission{Tool: "add", Parameters: json.RawMessage(`{"a":1,"b":2}`)})
	var logs []string
	followed := make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		followed <- x.Follow(context.Background(), "acme", sum.ID, func(e queue.Event) error {
			if e.Kind == queue.StateEvent && e.Execution.State == queue.Queued {
				close(ready)
			}
			if e.Kind == queue.LogEvent {
				logs = append(logs, e.Log.Message)
			}
			return nil
		})
	}()
	<-ready
	work(t, x, queue.WorkerOptions{Runner: r})
	done := wait(t, x, sum.ID)
	require.Contains(t, string(done.Outcome.Document), `"result":3`)
	require.Contains(t, string(done.Outcome.Details), `"adding"`)
	require.NoError(t, <-followed)
	require.Equal(t, []string{"adding"}, logs)

	endless := submit(t, x, queue.Submission{Tool: "forever"})
	becomes(t, "it runs", func() bool {
		e, err := x.Get(t.Context(), "acme", endless.ID)
		return err == nil && e.State == queue.Running
	})
	_, err = x.Cancel(t.Context(), "acme", endless.ID)
	require.NoError(t, err)
	done = wait(t, x, endless.ID)
	require.Equal(t, []any{errclass.Cancelled, errclass.CallerCancelled}, []any{done.Class, done.Reason})
	timed := wait(t, x, submit(t, x, queue.Submission{Tool: "forever", Timeout: 100 * time.Millisecond}).ID)
	require.Equal(t, errclass.Timeout, timed.Class)
}

func TestCancel(t *testing.T) {
	f := newTools()
	x := executions(t, open(t, queue.Options{}), queue.ExecutionsOptions{Lease: 300 * time.Millisecond})
	queued := submit(t, x, queue.Submission{Tool: "echo"})
	e, err := x.Cancel(t.Context(), "acme", queued.ID)
	require.NoError(t, err)
	require.Equal(t, queue.Done, e.State)
	e, err = x.Cancel(t.Context(), "acme", queued.ID)
	require.ErrorIs(t, err, queue.ErrEnded)
	require.Equal(t, errclass.Cancelled, e.Class)

	work(t, x, queue.WorkerOptions{Runner: f})
	empties(t, x)
	require.Zero(t, f.runs.Load(), "a cancelled job must not run")
	require.Equal(t, errclass.Cancelled, wait(t, x, queued.ID).Class)

	running := submit(t, x, queue.Submission{Tool: "hold"})
	require.Equal(t, running.ID, <-f.entered)
	began := time.Now()
	e, err = x.Cancel(t.Context(), "acme", running.ID)
	require.NoError(t, err)
	require.Equal(t, queue.Running, e.State)
	done := wait(t, x, running.ID)
	require.Equal(t, []any{errclass.Cancelled, errclass.CallerCancelled}, []any{done.Class, done.Reason})
	require.Less(t, time.Since(began), 5*time.Second)

	// The message to the worker is lost: it reads the record when it extends the lease.
	running = submit(t, x, queue.Submission{Tool: "hold"})
	require.Equal(t, running.ID, <-f.entered)
	require.NoError(t, x.MarkCancelled(t.Context(), "acme", running.ID))
	require.Equal(t, errclass.Cancelled, wait(t, x, running.ID).Class)
	empties(t, x)
}

func TestResultTooLarge(t *testing.T) {
	e := open(t, queue.Options{URL: natsServer(t, server.Options{MaxPayload: 64 << 10}), Replicas: 1})
	x := executions(t, e, queue.ExecutionsOptions{})
	work(t, x, queue.WorkerOptions{Runner: newTools()})
	run := func(tool string, kind runner.Type, p plan) queue.Execution {
		return wait(t, x, submit(t, x, queue.Submission{Tool: tool, Type: kind, Parameters: parameters(t, p)}).ID)
	}
	const room = 64<<10 - 8<<10
	done := run("echo", runner.JavaScript, plan{Size: room - 1000})
	require.Empty(t, done.Class)
	require.Len(t, done.Outcome.Document, room-1000+len(`{"success":true,"data":{"result":,"duration":0,"status":"success"}}`))

	done = run("echo", runner.JavaScript, plan{Size: room})
	require.Equal(t, []any{errclass.SandboxError, errclass.OutputLimit}, []any{done.Class, done.Reason})
	require.Contains(t, string(done.Outcome.Document), "max_payload) holds 57344")
	done = run("http", runner.HTTP, plan{Size: 1 << 20})
	require.Equal(t, []any{errclass.InvalidResponse, errclass.TooLarge}, []any{done.Class, done.Reason})

	// Logs give way to a result.
	done = run("echo", runner.JavaScript, plan{Size: room - 1000, Logs: 2000})
	require.Empty(t, done.Class)
	require.Contains(t, string(done.Outcome.Details), `"truncated":true`)

	_, _, err := x.Submit(t.Context(), queue.Submission{Organization: "acme", Tool: "echo", Parameters: parameters(t, plan{File: strings.Repeat("x", 64<<10)})})
	api, ok := errors.AsType[*errclass.APIError](err)
	require.True(t, ok)
	require.Equal(t, errclass.CodePayloadTooLarge, api.Code)
}

// At the end of a worker, what may run again goes back; the rest ends.
func TestDrain(t *testing.T) {
	t.Parallel()
	e := open(t, queue.Options{})
	x := executions(t, e, queue.ExecutionsOptions{Lease: shortLease}) // as in TestEndsOfJobs
	f, g := newTools(), newTools()
	stop := work(t, x, queue.WorkerOptions{Runner: f, Drain: 50 * time.Millisecond})
	once, again := submit(t, x, queue.Submission{Tool: "hold"}).ID, submit(t, x, queue.Submission{Tool: "hold-again"}).ID
	<-f.entered
	<-f.entered
	stop()
	done := wait(t, x, once)
	require.Equal(t, []any{errclass.Cancelled, errclass.Shutdown}, []any{done.Class, done.Reason})
	queued, err := x.Get(t.Context(), "acme", again)
	require.NoError(t, err)
	require.Equal(t, queue.Queued, queued.State)
	require.Zero(t, queued.Attempts)

	close(g.release)
	stop = work(t, x, queue.WorkerOptions{Runner: g})
	done = wait(t, x, again)
	require.Empty(t, done.Class)
	require.Equal(t, 1, done.Attempts)
	stop()

	// Within the drain, what runs ends by itself.
	h := newTools()
	stop = work(t, x, queue.WorkerOptions{Runner: h})
	id := submit(t, x, queue.Submission{Tool: "hold"}).ID
	<-h.entered
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop()
	}()
	waiting := submit(t, x, queue.Submission{Tool: "hold"}).ID
	close(h.release)
	<-stopped
	require.Empty(t, wait(t, x, id).Class)
	work(t, x, queue.WorkerOptions{Runner: h})
	require.Empty(t, wait(t, x, waiting).Class)
	empties(t, x)
}
