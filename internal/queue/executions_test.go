package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
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

// What a runner says to a job when it comes up.
func TestEndsOfJobs(t *testing.T) {
	x := executions(t, open(t, queue.Options{}), queue.ExecutionsOptions{})
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
	e := open(t, queue.Options{Dir: t.TempDir()})
	x := executions(t, e, queue.ExecutionsOptions{})
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

func TestRetention(t *testing.T) {
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

// At the end of a worker, what may run again goes back; the rest ends.
func TestDrain(t *testing.T) {
	e := open(t, queue.Options{})
	x := executions(t, e, queue.ExecutionsOptions{})
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

func TestList(t *testing.T) {
	x := executions(t, open(t, queue.Options{}), queue.ExecutionsOptions{})
	work(t, x, queue.WorkerOptions{Runner: newTools()})
	var begun time.Time
	for i := range 30 {
		tool := []string{"echo", "fail", "unknown"}[i%3]
		if i == 15 {
			time.Sleep(2 * time.Millisecond) // timestamps are in milliseconds
			begun = time.Now().Truncate(time.Millisecond)
		}
		wait(t, x, submit(t, x, queue.Submission{Tool: tool}).ID)
	}
	e, _, err := x.Submit(t.Context(), queue.Submission{Organization: "other", Tool: "echo"})
	require.NoError(t, err)
	_, err = x.Wait(t.Context(), "other", e.ID)
	require.NoError(t, err)

	count := func(f queue.Filter) (n int) {
		var last time.Time
		for {
			page, next, err := x.List(t.Context(), "acme", f)
			require.NoError(t, err)
			for _, e := range page {
				require.Equal(t, "acme", e.Organization)
				require.Nil(t, e.Outcome)
				require.True(t, last.IsZero() || !e.EndedAt.After(last))
				last = e.EndedAt
			}
			n += len(page)
			if next == "" {
				return n
			}
			require.Len(t, page, max(f.Limit, 1))
			f.Cursor = next
		}
	}
	for _, tt := range []struct {
		filter queue.Filter
		want   int
	}{
		{queue.Filter{}, 30},
		{queue.Filter{Limit: 7}, 30},
		{queue.Filter{Tool: "fail"}, 10},
		{queue.Filter{Class: errclass.HTTPError}, 10},
		{queue.Filter{Class: queue.Success}, 10},
		{queue.Filter{Class: errclass.Timeout}, 0},
		{queue.Filter{State: queue.Done}, 30},
		{queue.Filter{State: queue.Queued}, 0},
		{queue.Filter{Since: begun}, 15},
		{queue.Filter{Until: begun}, 15},
		{queue.Filter{Until: begun, Tool: "echo", Limit: 1}, 5},
	} {
		if tt.filter.Limit == 0 {
			tt.filter.Limit = 100
		}
		require.Equal(t, tt.want, count(tt.filter), "%+v", tt.filter)
	}
	_, _, err = x.List(t.Context(), "acme", queue.Filter{Cursor: "?"})
	require.ErrorIs(t, err, queue.ErrCursor)
	page, next, err := x.List(t.Context(), "nobody", queue.Filter{})
	require.NoError(t, err)
	require.Empty(t, page)
	require.Empty(t, next)
}

// An organization's few records are found among many of another.
func TestListAmongMany(t *testing.T) {
	e := open(t, queue.Options{})
	x, err := e.Executions(t.Context(), queue.ExecutionsOptions{})
	require.NoError(t, err)
	keep := func(organization string, n int) {
		for i := range n {
			x.Record(organization, &runner.Result{ExecutionID: fmt.Sprintf("%d-%d", n, i), Value: json.RawMessage("1")}, runner.HTTP, time.Now())
			for x.Dropped() > 0 {
				t.Fatal("dropped")
			}
			if i%500 == 499 {
				becomes(t, "kept", func() bool {
					_, err := x.Get(t.Context(), organization, fmt.Sprintf("%d-%d", n, i))
					return err == nil
				})
			}
		}
	}
	keep("acme", 3)
	keep("big", 20_000)
	keep("acme", 4)
	require.NoError(t, x.Close())
	page, next, err := x.List(t.Context(), "acme", queue.Filter{Limit: 100})
	require.NoError(t, err)
	require.Len(t, page, 7)
	require.Empty(t, next)

	// A page that finds nothing within its budget says where to go on.
	pages, seen := 0, 0
	for f := (queue.Filter{Tool: "nothing"}); ; pages++ {
		page, next, err := x.List(t.Context(), "big", f)
		require.NoError(t, err)
		seen += len(page)
		if f.Cursor = next; next == "" {
			break
		}
	}
	require.Zero(t, seen)
	require.GreaterOrEqual(t, pages, 1)
	f, all := queue.Filter{Limit: 500}, map[string]bool{}
	for {
		page, next, err := x.List(t.Context(), "big", f)
		require.NoError(t, err)
		for _, e := range page {
			all[e.ID] = true
		}
		if f.Cursor = next; next == "" {
			break
		}
	}
	require.Len(t, all, 20_000)
}

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
