package queue

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/runner"
)

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

// Causes of a run's end.
var (
	errCancelled = errors.New("queue: the execution was cancelled")
	errDrained   = errors.New("queue: the worker stops")
	errLost      = errors.New("queue: the job is no longer this worker's")
)

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
	already := func(found *record) bool { return found.By == w.id && found.Attempts == r.attempt }
	written, err := w.write(r, end, already)
	if oversized(err) { // the stream takes less than the server
		o = w.fault(r, err)
		written, err = w.write(r, end, already)
	}
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
			if w.final.Err() != nil || oversized(err) {
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

// oversized tells that a message will never be taken.
func oversized(err error) bool {
	return errors.Is(err, nats.ErrMaxPayload) || isCode(err, codeMessageTooLarge, codeHeaderTooLarge)
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
