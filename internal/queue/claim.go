package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/almyty-inc/toolrun/errclass"
)

// maxTries bounds how often an idempotent tool is begun whose workers die.
const maxTries = 3

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
			if w.alive(found) {
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
