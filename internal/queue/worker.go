package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/runner"
)

// Defaults of [WorkerOptions].
const (
	DefaultConcurrency = 64
	DefaultDrain       = 30 * time.Second
)

const (
	// maxTries bounds how often an idempotent tool is begun whose workers die.
	maxTries = 3
	// busyPause is how long a job stays away that no slot was found for, where the
	// runner says nothing of it.
	busyPause = time.Second
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
	// Concurrency is how many are sent at once. Defaults to 16.
	Concurrency int
}

// newsPatience is how long a worker may take to hear of a tool that is new: whoever
// accepted the execution knew it.
const newsPatience = 3 * time.Second

// Causes of a run's end.
var (
	errCancelled = errors.New("queue: the execution was cancelled")
	errDrained   = errors.New("queue: the worker stops")
	errLost      = errors.New("queue: the job is no longer this worker's")
)

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

// run is one job with this worker.
type run struct {
	key     string
	worker  *worker
	job     *job
	job1    uint64 // the job message's sequence
	record  *record
	attempt int // of this claim; guarded by worker.mu, as msg and cancel
	msg     jetstream.Msg
	cancel  context.CancelCauseFunc // nil until it is claimed
	asked   bool                    // cancel came before there was one
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
		pullers = append(pullers, newPuller(jobs, shared, &w.runs, w.x.engine.log, w.handle))
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

func runKey(organization, id string) string { return token(organization) + "." + id }

// handle sees one delivery of a job through.
func (w *worker) handle(msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		w.x.faults.Add(1)
		return
	}
	j, err := readJob(msg)
	if err != nil {
		w.refuse(msg, err)
		return
	}
	r := &run{key: runKey(j.Organization, j.ID), worker: w, job: j, job1: meta.Sequence.Stream, msg: msg}
	if !w.enter(r) {
		return
	}
	defer w.leave(r)
	if w.claim(r, meta.NumDelivered) {
		w.execute(r)
	}
}

func readJob(msg jetstream.Msg) (*job, error) {
	j := &job{}
	if err := json.Unmarshal(msg.Data(), j); err != nil {
		return nil, fmt.Errorf("queue: a job can't be read: %w", err)
	}
	if !validID(j.ID) || j.Tool == "" {
		return nil, errors.New("queue: a job has no id or no tool")
	}
	return j, nil
}

// refuse takes a job out of the queue that nobody can run. What stands around it tells
// whose it is, so that it has an outcome.
func (w *worker) refuse(msg jetstream.Msg, cause error) {
	w.x.faults.Add(1)
	w.x.engine.log.Error("a job can't be read", "error", cause)
	organization, err := untoken(msg.Subject()[strings.LastIndexByte(msg.Subject(), '.')+1:])
	_, id, ok := strings.Cut(msg.Headers().Get(nats.MsgIdHdr), ".")
	if err == nil && ok && validID(id) {
		r, err := w.x.load(w.final, organization, id, true)
		if errors.Is(err, ErrNotFound) {
			r, err = &record{ID: id, Organization: organization, Created: now()}, nil
		}
		if err == nil && r.State != Done {
			failure := errclass.New(errclass.InternalError, errclass.Unclassified, "execution "+id)
			r.end(failed(id, r.Tool, failure, r.age()))
			err = w.x.save(w.final, r)
		}
		if err != nil {
			msg.NakWithDelay(busyPause)
			return
		}
		w.x.announce(r)
	}
	msg.Term()
}

// enter makes the run known. Where this worker has the job already, its lease was over
// for a moment: the run goes on under the new delivery.
func (w *worker) enter(r *run) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if other, ok := w.running[r.key]; ok {
		if other.job1 == r.job1 {
			other.msg = r.msg
		} else {
			r.msg.NakWithDelay(w.x.opts.Lease)
		}
		return false
	}
	w.running[r.key] = r
	return true
}

func (w *worker) leave(r *run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.running, r.key)
}

// delivery is the latest one of the job.
func (r *run) delivery() jetstream.Msg {
	r.worker.mu.Lock()
	defer r.worker.mu.Unlock()
	return r.msg
}

// verdict is what to do with a delivered job.
type verdict int

const (
	begin  verdict = iota // run it
	settle                // it has ended: only the message is left
	later                 // somebody else has it
	ask                   // somebody else had it: is he alive?
	lost                  // it ran, and must not run again
	stop                  // it was to be cancelled
)

// judge decides by the record; nil: there is none. mayHaveRun says that the job was
// delivered before. gone says that the worker in the record doesn't run it any more.
func judge(r *record, job uint64, mayHaveRun, idempotent, gone bool) verdict {
	switch {
	case r == nil && mayHaveRun && !idempotent:
		return lost
	case r == nil || r.State == Queued:
		return begin
	case r.State == Done:
		return settle
	case r.Job != job: // another copy of the job is the one that runs
		return later
	case !gone:
		return ask
	case r.Cancel:
		return stop
	case idempotent && r.Attempts < maxTries:
		return begin
	}
	return lost
}

// claim makes the job this worker's, or does with it what else is to be done.
func (w *worker) claim(r *run, delivered uint64) bool {
	x, ctx := w.x, w.final
	gone, tried := false, 0
	for fresh := delivered > 1; ; fresh = true {
		found, err := x.load(ctx, r.job.Organization, r.job.ID, fresh)
		if err != nil && !errors.Is(err, ErrNotFound) {
			x.engine.log.Warn("a record can't be read", "error", err)
			r.delivery().NakWithDelay(busyPause)
			return false
		}
		if found != nil && tried > 0 && found.State == Running && found.Worker == w.id && found.Attempts == tried && found.Job == r.job1 {
			return w.claimed(r, found) // it was kept, only the word of it was lost
		}
		idempotent := w.idempotent(r.job)
		switch judge(found, r.job1, delivered > 1, idempotent, gone) {
		case settle:
			w.settleEnded(r, found)
			return false
		case later:
			r.delivery().NakWithDelay(x.opts.Lease)
			return false
		case ask:
			if w.alive(found, r.key) {
				r.delivery().NakWithDelay(max(x.opts.Lease/2, 100*time.Millisecond))
				return false
			}
			gone = true
			continue
		case lost:
			found, err = w.bury(r, found)
			if err == nil {
				w.settleEnded(r, found)
				return false
			}
		case stop:
			found.end(failed(found.ID, found.Tool, errclass.New(errclass.Cancelled, errclass.CallerCancelled, "its worker was lost"), found.age()))
			if err = x.save(ctx, found); err == nil {
				x.announce(found)
				w.settleEnded(r, found)
				return false
			}
		case begin:
			if found == nil {
				found = r.job.record()
			}
			found.State, found.Worker, found.Job = Running, w.id, r.job1
			found.Started, found.Attempts = now(), found.Attempts+1
			tried = found.Attempts
			if err = x.save(ctx, found); err == nil {
				return w.claimed(r, found)
			}
		}
		if !errors.Is(err, errChanged) {
			x.engine.log.Warn("a record can't be written", "error", err)
			r.delivery().NakWithDelay(busyPause)
			return false
		}
		gone = false
	}
}

func (w *worker) claimed(r *run, found *record) bool {
	r.record = found
	w.x.announce(found)
	return true
}

// bury ends an execution whose worker is gone.
func (w *worker) bury(r *run, found *record) (*record, error) {
	if found == nil {
		found = r.job.record()
		found.Job, found.Attempts = r.job1, 1
	}
	times := "once"
	if found.Attempts > 1 {
		times = fmt.Sprintf("%d times", found.Attempts)
	}
	detail := fmt.Sprintf("the process that ran it died; it was tried %s", times)
	if found.Attempts < maxTries {
		detail += ", and the tool isn't marked as idempotent"
	}
	found.end(failed(found.ID, found.Tool, errclass.New(errclass.InternalError, errclass.WorkerLost, detail), found.age()))
	if err := w.x.save(w.final, found); err != nil {
		return found, err
	}
	w.x.engine.log.Error("a worker was lost", "execution", found.ID, "tool", found.Tool, "organization", found.Organization,
		"worker", found.Worker, "attempts", found.Attempts)
	w.x.announce(found)
	return found, nil
}

// settleEnded is what is left once the record has the outcome.
func (w *worker) settleEnded(r *run, found *record) {
	if err := w.x.sendWebhook(w.final, found); err != nil {
		w.x.engine.log.Warn("a webhook can't be queued", "error", err)
		r.delivery().NakWithDelay(busyPause)
		return
	}
	r.delivery().Ack()
}

func (w *worker) idempotent(j *job) bool {
	def, err := w.opts.Runner.Tool(j.Organization, j.Tool)
	return err == nil && def.Configuration.Idempotent
}

// execute runs the tool of a claimed job.
func (w *worker) execute(r *run) {
	ctx, cancel := context.WithCancelCause(w.life)
	defer cancel(nil)
	w.mu.Lock()
	r.cancel, r.attempt = cancel, r.record.Attempts
	asked := r.asked
	w.mu.Unlock()
	if asked || r.record.Cancel {
		cancel(errCancelled)
	}
	if w.opts.Trace != nil {
		ctx = w.opts.Trace(ctx, r.job.Traceparent)
	}
	j := r.job
	result, err := w.opts.Runner.Execute(ctx, runner.Request{
		Tool: j.Tool, Organization: j.Organization, Parameters: j.Parameters, Timeout: time.Duration(j.TimeoutMs) * time.Millisecond,
		ExecutionID: j.ID, RateSpent: true,
		Log:    func(line errclass.LogLine) { w.x.tell(j.Organization, j.ID, wireEvent{Log: &line}) },
		Stream: func(delta string) { w.x.tell(j.Organization, j.ID, wireEvent{Delta: &delta}) },
	})
	w.conclude(r, context.Cause(ctx), result, err)
}

// conclude turns what came of a run into the record's end, or the job's return.
func (w *worker) conclude(r *run, cause error, result *runner.Result, err error) {
	if cause == errLost {
		w.tooLate(r)
		return
	}
	if err != nil {
		w.turnedAway(r, cause, err)
		return
	}
	if f := result.Failure; f != nil && f.Class == errclass.Cancelled && cause != errCancelled {
		w.cutShort(r, result.Duration)
		return
	}
	result.ExecutionID = r.job.ID
	o, err := outcomeOf(result, r.job.Type, w.x.outcomeLimit())
	if err != nil {
		o = w.fault(r, err)
	}
	w.finish(r, o)
}

// fault is the outcome of a fault of ours, which goes to the log.
func (w *worker) fault(r *run, cause error) Outcome {
	w.x.engine.log.Error("execution failed", "execution", r.job.ID, "tool", r.job.Tool, "error", cause)
	return w.failed(r, errclass.New(errclass.InternalError, errclass.Unclassified, "execution "+r.job.ID))
}

func (w *worker) failed(r *run, failure *errclass.Error) Outcome {
	return failed(r.job.ID, r.job.Tool, failure, r.record.age())
}

// turnedAway is for a request that the runner didn't take, now that its job came up.
func (w *worker) turnedAway(r *run, cause, err error) {
	api, ok := errors.AsType[*errclass.APIError](err)
	switch {
	case cause == errCancelled:
		w.finish(r, w.failed(r, errclass.New(errclass.Cancelled, errclass.CallerCancelled, "before it ran")))
	case !ok || api.Code == errclass.CodeInternal:
		w.finish(r, w.fault(r, err))
	case api.Code == errclass.CodeUnavailable || api.Code == errclass.CodeRateLimited:
		delay := api.RetryAfter
		if delay <= 0 {
			delay = busyPause
		}
		if cause == errDrained {
			delay = 0
		}
		w.giveBack(r, delay)
	case api.Code == errclass.CodeNotFound && time.Since(moment(r.job.Created)) < newsPatience:
		w.giveBack(r, busyPause)
	default:
		w.finish(r, w.failed(r, errclass.New(errclass.ConfigurationError, errclass.BadDefinition, api.Message)))
	}
}

// cutShort is for a run that ended because this worker, or its runner, does.
func (w *worker) cutShort(r *run, took time.Duration) {
	if w.idempotent(r.job) {
		w.giveBack(r, 0)
		return
	}
	o := failed(r.job.ID, r.job.Tool, errclass.New(errclass.Cancelled, errclass.Shutdown, "the service is shutting down"), took)
	w.finish(r, o)
}

// giveBack puts a job into the queue again. That is no try: nothing went wrong with it.
func (w *worker) giveBack(r *run, delay time.Duration) {
	written, err := w.write(r, func(found *record) {
		if found.Cancel {
			found.end(w.failed(r, errclass.New(errclass.Cancelled, errclass.CallerCancelled, "before it ran")))
			return
		}
		found.State, found.Worker, found.Started, found.Attempts = Queued, "", 0, r.attempt-1
	}, func(found *record) bool {
		return found.State == Queued && found.Attempts == r.attempt-1 && found.Worker == ""
	})
	switch {
	case err != nil: // whoever gets the job next will find it running, and decide
		w.x.engine.log.Warn("a job can't be given back", "execution", r.job.ID, "error", err)
	case written.State == Done:
		w.x.announce(written)
		w.settleEnded(r, written)
	default:
		w.x.announce(written)
		if delay > 0 {
			r.delivery().NakWithDelay(delay)
			return
		}
		r.delivery().Nak()
	}
}

// finish writes the outcome, tells who listens, and is done with the job.
func (w *worker) finish(r *run, o Outcome) {
	end := func(found *record) {
		found.end(o)
		found.By = w.id
	}
	written, err := w.write(r, end, func(found *record) bool { return found.By == w.id && found.Attempts == r.attempt })
	if errors.Is(err, errLost) {
		w.tooLate(r)
		return
	}
	if err != nil {
		w.x.engine.log.Error("an outcome can't be written", "execution", r.job.ID, "tool", r.job.Tool, "error", err)
		return
	}
	w.x.announce(written)
	w.settleEnded(r, written)
}

// tooLate is for a run whose execution somebody else has ended, or runs by now.
func (w *worker) tooLate(r *run) {
	w.x.engine.log.Warn("an outcome came too late and is dropped", "execution", r.job.ID, "tool", r.job.Tool)
}

// write changes the record while it is this run's, and says errLost where it isn't.
// already recognizes a change that was kept though nobody said so.
func (w *worker) write(r *run, change func(*record), already func(*record) bool) (*record, error) {
	found := r.record
	for {
		changed := *found
		change(&changed)
		err := w.x.save(w.final, &changed)
		if err == nil {
			return &changed, nil
		}
		if !errors.Is(err, errChanged) {
			if w.final.Err() != nil || errors.Is(err, nats.ErrMaxPayload) {
				return nil, err
			}
			if !passes(err) { // a full disk, perhaps: what was done must not be forgotten
				w.x.engine.log.Warn("a record can't be written yet", "execution", r.job.ID, "error", err)
				sleep(w.final, time.Second)
			}
			continue // the lease is extended meanwhile
		}
		found, err = w.reload(r)
		switch {
		case err != nil:
			return nil, err
		case already(found):
			return found, nil
		case found.State != Running || found.Worker != w.id || found.Attempts != r.attempt:
			return nil, errLost
		}
	}
}

// reload reads the record until NATS answers. Where retention took it, it begins anew:
// an outcome isn't lost because others needed the room.
func (w *worker) reload(r *run) (*record, error) {
	for {
		found, err := w.x.load(w.final, r.job.Organization, r.job.ID, true)
		if errors.Is(err, ErrNotFound) {
			anew := *r.record
			anew.revision = 0
			return &anew, nil
		}
		if err == nil || !passes(err) || !sleep(w.final, 100*time.Millisecond) {
			return found, err
		}
	}
}

// keepAlive extends the leases of what runs, three times in each, and looks whether
// the records still say so.
func (w *worker) keepAlive(stopped <-chan struct{}) {
	tick := time.NewTicker(max(w.x.opts.Lease/3, time.Millisecond))
	defer tick.Stop()
	var looks sync.WaitGroup
	defer looks.Wait()
	var looking sync.Mutex
	for {
		select {
		case <-stopped:
			return
		case <-tick.C:
		}
		all := w.extend()
		if len(all) == 0 || !looking.TryLock() {
			continue
		}
		looks.Go(func() {
			defer looking.Unlock()
			for _, r := range all {
				w.look(r)
			}
		})
	}
}

// extend extends all leases and returns what runs.
func (w *worker) extend() []*run {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*run
	for _, r := range w.running {
		r.msg.InProgress()
		if r.cancel != nil {
			all = append(all, r)
		}
	}
	return all
}

// look ends a run that was cancelled, or that is somebody else's by now.
func (w *worker) look(r *run) {
	ctx, cancel := context.WithTimeout(w.final, w.x.opts.Lease)
	defer cancel()
	found, err := w.x.load(ctx, r.job.Organization, r.job.ID, false)
	if err != nil {
		return
	}
	switch {
	case found.Attempts < r.attempt: // a replica that is behind
	case found.Worker != w.id || found.Attempts != r.attempt || found.State == Queued:
		if found, err = w.x.load(ctx, r.job.Organization, r.job.ID, true); err == nil && found.Worker != w.id && found.Attempts >= r.attempt {
			r.cancel(errLost)
		}
	case found.Cancel:
		r.cancel(errCancelled)
	}
}
