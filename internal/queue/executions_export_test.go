package queue

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/almyty-inc/toolrun/errclass"
)

// SubmitUntil is Submit that dies after a step: "entry", "job", or "record".
func (x *Executions) SubmitUntil(ctx context.Context, s Submission, step string) error {
	j := &job{ID: s.ID, Organization: s.Organization, Tool: s.Tool, Type: s.Type, Parameters: s.Parameters, Webhook: s.Webhook, Created: now()}
	_, err := x.reserve(ctx, s)
	if err != nil || step == "entry" {
		return err
	}
	sequence, err := x.enqueue(ctx, j)
	if err != nil || step == "job" {
		return err
	}
	r := j.record()
	r.Job = sequence
	return x.save(ctx, r)
}

// EnqueueCopy publishes the job once more, as after the time in which NATS knows copies.
func (x *Executions) EnqueueCopy(ctx context.Context, s Submission) error {
	j := &job{ID: s.ID, Organization: s.Organization, Tool: s.Tool, Type: s.Type, Parameters: s.Parameters, Created: now()}
	_, err := x.engine.js.Publish(ctx, jobSubject(s.Organization), encode(j))
	return err
}

// PublishJob publishes what claims to be a job.
func (x *Executions) PublishJob(ctx context.Context, data, organization, id string) error {
	m := nats.NewMsg(jobSubject(organization))
	m.Data = []byte(data)
	m.Header.Set("Nats-Msg-Id", messageID(organization, id))
	_, err := x.engine.js.PublishMsg(ctx, m)
	return err
}

// MarkCancelled does what Cancel does to the record of a running execution, and loses
// the message.
func (x *Executions) MarkCancelled(ctx context.Context, organization, id string) error {
	for {
		r, err := x.load(ctx, organization, id, true)
		if err != nil {
			return err
		}
		r.Cancel = true
		if err = x.save(ctx, r); err != errChanged {
			return err
		}
	}
}

// Forget takes an execution's record away, as retention does.
func (x *Executions) Forget(ctx context.Context, organization, id string) error {
	r, err := x.load(ctx, organization, id, true)
	if err != nil {
		return err
	}
	return x.records.DeleteMsg(ctx, r.revision)
}

// LoseJobs takes all jobs out of the queue, as a power cut may.
func (x *Executions) LoseJobs(ctx context.Context) error { return x.jobs.Purge(ctx) }

// Records changes the configuration of the stream of records, or, with nil, takes the stream away and makes it again.
func (x *Executions) Records(ctx context.Context, change func(*jetstream.StreamConfig)) error {
	cfg := x.records.CachedInfo().Config
	if change != nil {
		change(&cfg)
		_, err := x.engine.js.UpdateStream(ctx, cfg)
		return err
	}
	if err := x.engine.js.DeleteStream(ctx, executionsStream); err != nil {
		return err
	}
	_, err := x.engine.js.CreateStream(ctx, cfg)
	return err
}

// Young tells that retention by bytes is far from these executions, which are there.
func (x *Executions) Young(ctx context.Context, organization string, ids []string) bool {
	info, err := x.records.Info(ctx)
	if err != nil {
		return false
	}
	for _, id := range ids {
		r, err := x.load(ctx, organization, id, true)
		if err != nil || int64(info.State.Bytes) >= x.opts.Bytes/2 && r.revision < info.State.FirstSeq+(info.State.LastSeq-info.State.FirstSeq)/2 {
			return false
		}
	}
	return true
}

// StreamState is how much is kept of executions, and how many jobs and webhooks wait.
func (x *Executions) StreamState(ctx context.Context) (records, bytes, jobs, hooks uint64, err error) {
	r, err := x.records.Info(ctx)
	if err != nil {
		return 0, 0, 0, 0, err
	}
	j, err := x.jobs.Info(ctx)
	if err != nil {
		return 0, 0, 0, 0, err
	}
	h, err := x.hooks.Info(ctx)
	if err != nil {
		return 0, 0, 0, 0, err
	}
	return r.State.Msgs, r.State.Bytes, j.State.Msgs, h.State.Msgs, nil
}

// Bare is the connection, for a baseline.
func (e *Engine) Bare() (*nats.Conn, jetstream.JetStream) { return e.conn, e.js }

// EndSilently writes an outcome and tells nobody.
func (x *Executions) EndSilently(ctx context.Context, organization, id string) error {
	r, err := x.load(ctx, organization, id, true)
	if err != nil {
		return err
	}
	r.end(failed(id, r.Tool, errclass.New(errclass.Timeout, errclass.Deadline, ""), 0))
	return x.save(ctx, r)
}

// JobSubject is where the jobs of an organization are.
var JobSubject = jobSubject
