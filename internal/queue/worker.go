package queue

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/almyty-inc/toolrun/runner"
)

// Defaults of [WorkerOptions].
const (
	DefaultConcurrency = 64
	DefaultDrain       = 30 * time.Second
)

const (
	// busyPause is how long a job stays away that no slot was found for, where the
	// runner says nothing of it.
	busyPause = time.Second
	// newsPatience is how long a worker may take to hear of a tool that is new: whoever
	// accepted the execution knew it.
	newsPatience = 3 * time.Second
	// askPatience bounds the question whether a worker still runs a job.
	askPatience = 500 * time.Millisecond
	// finalPatience bounds what is left to write after the drain.
	finalPatience = 10 * time.Second
)

// Executor runs tools: a [runner.Runner].
type Executor interface {
	Execute(ctx context.Context, req runner.Request) (*runner.Result, error)
	Tool(organization, id string) (*runner.Definition, error)
}

// WorkerOptions configures [Executions.Work].
type WorkerOptions struct {
	Runner Executor
	// Name tells workers apart for the operator; each start of one adds a unique end.
	Name string
	// Concurrency is how many jobs run at once, or up to 15 more where many organizations
	// have some. Defaults to 64.
	Concurrency int
	// Drain is how long jobs may go on after the end of Work's context. Defaults to
	// 30 s; negative means not at all.
	Drain time.Duration
	// Trace, where not nil, continues a caller's trace.
	Trace func(ctx context.Context, traceparent string) context.Context
	// Webhooks sends outcomes. Without a Transport this worker sends none.
	Webhooks WebhookOptions
}

// WebhookOptions says how webhooks are sent.
type WebhookOptions struct {
	// Transport carries the requests; it should be guarded.
	Transport http.RoundTripper
	// Secret is what each organization's signing secret is made from.
	Secret []byte
	// Schedule is how long after the last try each further one comes; its first entry
	// is the wait before the first. Defaults to 0, 5 s, 30 s, 2 min, 10 min, 1 h.
	Schedule []time.Duration
	// Timeout bounds one try. Defaults to 10 s.
	Timeout time.Duration
	// Concurrency is how many are sent at once, or up to 15 more where many organizations
	// have some. Defaults to 16.
	Concurrency int
}

// worker takes jobs and runs them.
type worker struct {
	x    *Executions
	opts WorkerOptions
	id   string

	life  context.Context
	kill  context.CancelCauseFunc // ends what runs
	final context.Context         // bounds the last writes

	mu      sync.Mutex
	running map[string]*run
	remotes map[string]context.CancelCauseFunc // synchronous executions of fronts
	runs    sync.WaitGroup
}

// Work takes jobs, synchronous executions of fronts, and webhooks, until ctx ends. Then
// it takes no more, lets what runs go on for the time of the drain, ends the rest and
// returns: idempotent tools will run elsewhere, other executions end as cancelled.
func (x *Executions) Work(ctx context.Context, opts WorkerOptions) error {
	if opts.Runner == nil {
		return errors.New("queue: WorkerOptions.Runner is missing")
	}
	setDefault(&opts.Concurrency, DefaultConcurrency)
	setDefault(&opts.Drain, DefaultDrain)
	if opts.Concurrency < 0 {
		return errors.New("queue: WorkerOptions.Concurrency is negative; leave it zero for the default")
	}
	w := &worker{
		x: x, opts: opts, id: workerID(opts.Name),
		running: make(map[string]*run), remotes: make(map[string]context.CancelCauseFunc),
	}
	return w.work(ctx)
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// workerID can stand in a subject, and no other start has it.
func workerID(name string) string {
	name = notInNames.ReplaceAllString(name, "-")
	return strings.TrimPrefix(name[:min(len(name), 64)]+"-"+nuid.Next(), "-")
}

func (w *worker) work(ctx context.Context) (err error) {
	w.life, w.kill = context.WithCancelCause(context.WithoutCancel(ctx))
	defer w.kill(nil)
	final, end := context.WithCancel(context.WithoutCancel(ctx))
	w.final = final
	defer end()
	pullers, err := w.pullers(ctx)
	if err != nil {
		return unlessEnded(ctx, err)
	}
	ears, err := w.listen()
	if err != nil {
		return err
	}
	stopped := make(chan struct{}) // when the last run has ended
	var loops sync.WaitGroup
	loops.Go(func() { w.keepAlive(stopped) })
	if w.opts.Webhooks.Transport != nil {
		hooks, err := w.newSender(ctx)
		if err != nil {
			ears.close()
			close(stopped)
			loops.Wait()
			return unlessEnded(ctx, err)
		}
		loops.Go(func() { hooks.work(ctx) })
	}
	loops.Go(func() { w.x.keep(ctx) })
	var pulls sync.WaitGroup
	for _, p := range pullers {
		pulls.Go(func() { p.pull(ctx) })
	}
	pulls.Wait()
	ears.stopRequests()
	w.drain(end)
	close(stopped)
	loops.Wait()
	ears.close()
	return nil
}

// pullers take jobs from all lanes. Each lane has a slot of its own, so that no other can
// hold all.
func (w *worker) pullers(ctx context.Context) (pullers []*puller, err error) {
	shared := newSlots(w.opts.Concurrency - 1)
	for lane := range lanes {
		jobs, err := w.consumer(ctx, jobsStream, jetstream.ConsumerConfig{
			Durable: laneConsumer(lane), FilterSubject: laneSubjects(lane), AckPolicy: jetstream.AckExplicitPolicy, AckWait: w.x.opts.Lease, MaxAckPending: -1,
		})
		if err != nil {
			return nil, err
		}
		pullers = append(pullers, newPuller(jobs, shared, &w.runs, w.x.engine, w.handle))
	}
	return pullers, nil
}

// unlessEnded drops the error of a start that was called off.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// consumer makes a consumer, or brings it to this configuration.
func (w *worker) consumer(ctx context.Context, stream string, cfg jetstream.ConsumerConfig) (c jetstream.Consumer, err error) {
	replicas := 1
	err = w.x.engine.provision(ctx, stream, &replicas, func(ctx context.Context) error {
		c, err = w.x.engine.js.CreateOrUpdateConsumer(ctx, stream, cfg)
		return err
	})
	return c, err
}

// drain waits for what runs, then ends it.
func (w *worker) drain(end context.CancelFunc) {
	done := make(chan struct{})
	go func() {
		w.runs.Wait()
		close(done)
	}()
	t := time.NewTimer(max(w.opts.Drain, 0))
	defer t.Stop()
	select {
	case <-done:
		return
	case <-t.C:
	}
	w.kill(errDrained)
	t.Reset(finalPatience)
	select {
	case <-done:
		return
	case <-t.C:
	}
	end() // NATS doesn't take the outcomes: whoever gets the jobs next decides
	<-done
}
