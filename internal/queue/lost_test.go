package queue_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/queue"
)

const shortLease = 500 * time.Millisecond

// fleet is a NATS server that worker processes connect to.
func fleet(t *testing.T) (x *queue.Executions, s workerSettings) {
	url := natsServer(t, server.Options{})
	e := open(t, queue.Options{URL: url, Replicas: 1})
	return executions(t, e, queue.ExecutionsOptions{Lease: shortLease}), workerSettings{URL: url, Lease: shortLease, Concurrency: 8}
}

// A worker is killed while it runs jobs: what isn't idempotent ends, what is runs again.
func TestWorkerKilled(t *testing.T) {
	t.Parallel()
	x, settings := fleet(t)
	p := startWorker(t, settings)
	once, again := filepath.Join(t.TempDir(), "once"), filepath.Join(t.TempDir(), "again")
	ended := submit(t, x, queue.Submission{Tool: "hold", Parameters: parameters(t, plan{File: once})}).ID
	rerun := submit(t, x, queue.Submission{Tool: "hold-again", Parameters: parameters(t, plan{File: again})}).ID
	wanted := submit(t, x, queue.Submission{Tool: "hold-again"}).ID
	becomes(t, "all run", func() bool {
		_, running, _ := x.Depth(t.Context())
		return noted(t, once, "begin") == 1 && noted(t, again, "begin") == 1 && running == 3
	})
	becomes(t, "the third is claimed", func() bool {
		e, err := x.Get(t.Context(), "acme", wanted)
		return err == nil && e.State == queue.Running
	})
	p.end()
	_, err := x.Cancel(t.Context(), "acme", wanted) // nobody hears it
	require.NoError(t, err)

	f := newTools()
	close(f.release)
	work(t, x, queue.WorkerOptions{Runner: f})
	done := wait(t, x, ended)
	require.Equal(t, []any{errclass.InternalError, errclass.WorkerLost, 1}, []any{done.Class, done.Reason, done.Attempts})
	require.Contains(t, string(done.Outcome.Document), "it was tried once, and the tool isn't marked as idempotent")
	done = wait(t, x, rerun)
	require.Equal(t, []any{errclass.Class(""), 2}, []any{done.Class, done.Attempts})
	require.Equal(t, errclass.Cancelled, wait(t, x, wanted).Class)
	empties(t, x)
	require.Equal(t, []int{1, 2}, []int{noted(t, once, "begin"), noted(t, again, "begin")})
	require.EqualValues(t, 1, f.runs.Load())
}

// A tool that kills each worker that runs it stops after three.
func TestPoison(t *testing.T) {
	t.Parallel()
	x, settings := fleet(t)
	file := filepath.Join(t.TempDir(), "runs")
	id := submit(t, x, queue.Submission{Tool: "die-again", Parameters: parameters(t, plan{File: file})}).ID
	for i := range 3 {
		p := startWorker(t, settings)
		becomes(t, "it kills its worker", func() bool { return noted(t, file, "begin") == i+1 })
		p.cmd.Wait()
	}
	work(t, x, queue.WorkerOptions{Runner: newTools()})
	done := wait(t, x, id)
	require.Equal(t, []any{errclass.InternalError, errclass.WorkerLost, 3}, []any{done.Class, done.Reason, done.Attempts})
	require.Contains(t, string(done.Outcome.Document), "the process that ran it died; it was tried 3 times")
	empties(t, x)
	require.Equal(t, 3, noted(t, file, "begin"))
}

// A worker stands still past its lease. Others have its jobs when it goes on: what it
// says then is dropped.
func TestWorkerStopped(t *testing.T) {
	t.Parallel()
	x, settings := fleet(t)
	p := startWorker(t, settings)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	run := func(tool string) string {
		return submit(t, x, queue.Submission{Tool: tool, Parameters: parameters(t, plan{File: file(tool), Wait: 300 * time.Millisecond})}).ID
	}
	once, again := run("echo"), run("echo-again")
	becomes(t, "both run", func() bool { return noted(t, file("echo"), "begin")+noted(t, file("echo-again"), "begin") == 2 })
	p.signal(t, syscall.SIGSTOP)
	f := newTools()
	work(t, x, queue.WorkerOptions{Runner: f})
	lost, done := wait(t, x, once), wait(t, x, again)
	if lost.Class == "" { // it had ended before the signal came
		t.Skip("the machine is too slow for this test")
	}
	require.Equal(t, errclass.WorkerLost, lost.Reason)
	require.Equal(t, []any{errclass.Class(""), 2}, []any{done.Class, done.Attempts})

	p.signal(t, syscall.SIGCONT)
	becomes(t, "it says so, and drops both", func() bool {
		return noted(t, file("echo"), "end") == 1 && noted(t, file("echo-again"), "end") == 2 && p.log.count("too late") == 2
	})
	require.Equal(t, lost, wait(t, x, once))
	require.Equal(t, done, wait(t, x, again))
	empties(t, x)
	require.Equal(t, 1, noted(t, file("echo"), "begin"))
}

// The only worker stands still past its lease, and goes on with what it has.
func TestOnlyWorkerStopped(t *testing.T) {
	t.Parallel()
	x, settings := fleet(t)
	p := startWorker(t, settings)
	file := filepath.Join(t.TempDir(), "runs")
	id := submit(t, x, queue.Submission{Tool: "echo", Parameters: parameters(t, plan{File: file, Wait: 500 * time.Millisecond})}).ID
	becomes(t, "it runs", func() bool { return noted(t, file, "begin") == 1 })
	p.signal(t, syscall.SIGSTOP)
	waitQueued(t, x)
	p.signal(t, syscall.SIGCONT)
	done := wait(t, x, id)
	require.Equal(t, []any{errclass.Class(""), 1}, []any{done.Class, done.Attempts})
	empties(t, x)
}

// waitQueued waits until the lease of the one job is over.
func waitQueued(t *testing.T, x *queue.Executions) {
	t.Helper()
	time.Sleep(3 * shortLease) // the lease is time itself
}

// Workers are killed again and again while they race for jobs.
func TestChaos(t *testing.T) {
	t.Parallel()
	x, settings := fleet(t)
	const jobs = 150
	dir := t.TempDir()
	file := func(i int) string { return filepath.Join(dir, fmt.Sprint(i)) }
	ends := countEnds(t, settings.URL)
	workers := []*process{startWorker(t, settings), startWorker(t, settings)}
	ids := make([]string, jobs)
	for i := range ids {
		ids[i] = submit(t, x, queue.Submission{
			Tool:       []string{"echo", "echo-again"}[i%2],
			Parameters: parameters(t, plan{File: file(i), Wait: time.Duration(rand.IntN(60)) * time.Millisecond}),
		}).ID
	}
	for i := range 4 {
		becomes(t, "some are done", func() bool {
			n := 0
			for j := range ids {
				n += noted(t, file(j), "end")
			}
			return n >= (i+1)*jobs/8
		})
		workers[i%2].end()
		workers[i%2] = startWorker(t, settings)
	}
	lost := 0
	for i, id := range ids {
		done := wait(t, x, id)
		begun := noted(t, file(i), "begin")
		switch {
		case i%2 == 0:
			require.LessOrEqual(t, begun, 1, "a tool that isn't idempotent ran twice")
			if done.Class != "" {
				require.Equal(t, errclass.WorkerLost, done.Reason)
				lost++
			} else {
				require.Equal(t, 1, noted(t, file(i), "end"))
			}
		case done.Class != "":
			require.Equal(t, []any{errclass.WorkerLost, 3}, []any{done.Reason, done.Attempts})
		default:
			require.LessOrEqual(t, begun, 3)
		}
	}
	empties(t, x)
	t.Log(lost, "of", jobs/2, "ended with their workers")
	for id, n := range ends() {
		require.Equal(t, 1, n, "outcomes of %s", id)
	}
}

// countEnds counts the outcomes that are written, an execution each.
func countEnds(t *testing.T, url string) func() map[string]int {
	t.Helper()
	e := open(t, queue.Options{URL: url, Replicas: 1})
	_, js := e.Bare()
	c, err := js.OrderedConsumer(t.Context(), "toolrun_executions", jetstream.OrderedConsumerConfig{HeadersOnly: true})
	require.NoError(t, err)
	counts := map[string]int{}
	messages, err := c.Messages()
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			m, err := messages.Next()
			if err != nil {
				return
			}
			if strings.Contains(m.Headers().Get("Toolrun-Execution"), `"state":"done"`) {
				counts[m.Subject()]++
			}
		}
	}()
	return func() map[string]int {
		messages.Stop()
		<-done
		return counts
	}
}

// A whole node, with its NATS server, is killed under load and starts again: all that it
// has acknowledged is there and ends, and its idempotency keys hold.
func TestNodeKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startWorker(t, workerSettings{Dir: dir, Lease: shortLease, Concurrency: 4})
	var ids []string
	for range 200 {
		line, err := p.out.ReadString('\n')
		require.NoError(t, err)
		ids = append(ids, strings.TrimSpace(line))
	}
	p.end()

	x := executions(t, open(t, queue.Options{Dir: dir}), queue.ExecutionsOptions{Lease: shortLease})
	f := newTools()
	work(t, x, queue.WorkerOptions{Runner: f})
	for i, id := range ids {
		got, replayed, err := x.Submit(t.Context(), queue.Submission{Organization: "acme", Tool: "echo", IdempotencyKey: fmt.Sprint("key-", i), Fingerprint: "f"})
		require.NoError(t, err)
		require.True(t, replayed)
		require.Equal(t, id, got.ID)
	}
	lost := 0
	for i, id := range ids {
		done := wait(t, x, id)
		if done.Class != "" {
			require.Equal(t, errclass.WorkerLost, done.Reason)
			require.Zero(t, i%2, "an idempotent tool runs again")
			lost++
		}
	}
	require.LessOrEqual(t, lost, 4) // as many as ran at once
	empties(t, x)
}

// A worker that is asked to stop by SIGTERM loses nothing.
func TestWorkerTerminated(t *testing.T) {
	t.Parallel()
	x, settings := fleet(t)
	settings.Drain = 50 * time.Millisecond
	p := startWorker(t, settings)
	file := filepath.Join(t.TempDir(), "runs")
	id := submit(t, x, queue.Submission{Tool: "hold-again", Parameters: parameters(t, plan{File: file})}).ID
	becomes(t, "it runs", func() bool { return noted(t, file, "begin") == 1 })
	p.signal(t, syscall.SIGTERM)
	require.NoError(t, p.cmd.Wait(), "%s", &p.log.text)
	f := newTools()
	close(f.release)
	began := time.Now()
	work(t, x, queue.WorkerOptions{Runner: f})
	done := wait(t, x, id)
	require.Equal(t, []any{errclass.Class(""), 1}, []any{done.Class, done.Attempts})
	require.Less(t, time.Since(began), patience)
}
