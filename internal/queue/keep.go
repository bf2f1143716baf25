package queue

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/almyty-inc/toolrun/errclass"
)

// everyRecord is the subject of all records.
const everyRecord = "toolrun.x.*.*"

// endOrphan gives an execution its outcome whose job is gone from the queue, by a power cut or
// damage: no worker will come by it. Where this can't be told, the record stays as it is.
func (x *Executions) endOrphan(ctx context.Context, r *record) *record {
	if r.State == Done || r.age() < x.opts.Lease { // a leader may be behind for a moment
		return r
	}
	if orphan, err := x.orphan(ctx, r); err != nil || !orphan {
		return r
	}
	failure := errclass.New(errclass.InternalError, errclass.WorkerLost, "its job was lost before it began, by a power cut or damage; it didn't run")
	switch {
	case r.Cancel:
		failure = errclass.New(errclass.Cancelled, errclass.CallerCancelled, "its worker was lost")
	case r.State == Running:
		failure = errclass.New(errclass.InternalError, errclass.WorkerLost, "the process that ran it died, and its job is lost")
	}
	ended := *r
	ended.end(failed(r.ID, r.Tool, failure, r.age()))
	if x.sendWebhook(ctx, &ended) != nil { // first: nobody would come back for it
		return r
	}
	if x.save(ctx, &ended) != nil { // or a worker has been here
		if changed, err := x.load(ctx, r.Organization, r.ID, true); err == nil {
			return changed
		}
		return r
	}
	x.engine.log.Error("a job was lost", "execution", r.ID, "tool", r.Tool, "organization", r.Organization, "state", r.State)
	x.announce(&ended)
	return &ended
}

// orphan tells a record that nobody works at. Its job leaves the queue after the outcome is
// written, so that a job that is gone before, and with no worker, is lost.
func (x *Executions) orphan(ctx context.Context, r *record) (bool, error) {
	if s := x.span.Load(); s != nil && time.Since(s.at) < spanAge && s.holds(r.Job) {
		return false, nil // a lost one in between is told later
	}
	jobs, err := x.jobs.Info(ctx)
	if err != nil {
		return false, err
	}
	s := &span{jobs.State.FirstSeq, jobs.State.LastSeq, time.Now()}
	x.span.Store(s)
	if s.holds(r.Job) {
		return false, nil
	}
	if r.State == Queued {
		return true, nil
	}
	runs, err := x.ask(r)
	return !runs, err
}

// span is from which job to which the queue held some. Those who wait ask all the time.
type span struct {
	first, last uint64
	at          time.Time
}

const spanAge = time.Second

func (s *span) holds(job uint64) bool { return job >= s.first && job <= s.last }

// keep sees after records that no worker has, until ctx ends.
func (x *Executions) keep(ctx context.Context) {
	tick := time.NewTicker(max(x.opts.Lease/3, time.Millisecond))
	defer tick.Stop()
	embedded := x.engine.embedded.Load() != nil // in a cluster, those who ask find orphans
	again := make(chan struct{}, 1)
	defer x.engine.onReconnect(func() { signal(again) })()
	began, swept := time.Now(), false
	var moved uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-again:
			began, swept = time.Now(), false
		case <-tick.C:
		}
		if embedded && !swept && time.Since(began) > x.opts.Lease {
			swept = x.sweep(ctx) == nil
		}
		if to, err := x.renew(ctx, moved); err == nil {
			moved = to
		}
	}
}

// sweep looks, after a start of the server, for what a power cut or a full disk left.
func (x *Executions) sweep(ctx context.Context) error {
	if err := x.removeAcknowledged(ctx); err != nil {
		return err
	}
	info, err := x.records.Info(ctx)
	if err != nil {
		return err
	}
	return x.eachLive(ctx, info.State.FirstSeq, info.State.LastSeq, func(r *record) { x.endOrphan(ctx, r) })
}

// removeAcknowledged removes jobs that were acknowledged while the disk was full: the server
// keeps such a message, and doesn't deliver it again.
func (x *Executions) removeAcknowledged(ctx context.Context) error {
	for lane := range lanes {
		c, err := x.jobs.Consumer(ctx, laneConsumer(lane))
		if err != nil {
			return err
		}
		done := c.CachedInfo().AckFloor.Stream // no higher than the stream was at the server's start
		if done == 0 {
			continue
		}
		if err := x.jobs.Purge(ctx, jetstream.WithPurgeSubject(laneSubjects(lane)), jetstream.WithPurgeSequence(done+1)); err != nil {
			return err
		}
	}
	return nil
}

// renew writes the records of what waits or runs again that retention by bytes would take
// next, which moves them behind all others. It takes from the older half, after a sequence
// that it has come to before, and returns the one that it comes to.
func (x *Executions) renew(ctx context.Context, moved uint64) (uint64, error) {
	jobs, err := x.jobs.Info(ctx)
	if err != nil || jobs.State.Msgs == 0 || time.Since(jobs.State.FirstTime) < x.opts.Lease {
		return moved, err
	}
	info, err := x.records.Info(ctx)
	if err != nil || int64(info.State.Bytes) < x.opts.Bytes/2 {
		return moved, err
	}
	half := info.State.FirstSeq + (info.State.LastSeq-info.State.FirstSeq)/2
	from, err := x.sequenceAt(ctx, jobs.State.FirstTime.Add(-x.opts.Lease)) // what is older isn't live; clocks differ
	if err != nil {
		return moved, err
	}
	var failure error
	err = x.eachLive(ctx, max(from, moved+1), half, func(r *record) {
		if r = x.endOrphan(ctx, r); r.State == Done {
			return
		}
		if err := x.save(ctx, r); err != nil && !errors.Is(err, errChanged) { // which moved it, too
			failure = err
		}
	})
	return half, errors.Join(err, failure)
}

// sequenceAt is where the records begin that were written at a time or later.
func (x *Executions) sequenceAt(ctx context.Context, t time.Time) (uint64, error) {
	c, err := x.engine.js.CreateConsumer(ctx, executionsStream, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &t, HeadersOnly: true,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: 5 * time.Second,
	})
	if err != nil {
		return 0, err
	}
	info := c.CachedInfo()
	return info.Delivered.Stream + 1, x.engine.js.DeleteConsumer(ctx, executionsStream, info.Name)
}

// eachLive calls f for the records from one sequence to another that haven't ended, and takes
// its time.
func (x *Executions) eachLive(ctx context.Context, from, to uint64, f func(*record)) error {
	for low := max(from, 1); low <= to; low += firstWindow {
		l := &lister{x: x, subject: everyRecord, high: min(to, low+firstWindow-1)}
		records, _, err := l.read(ctx, low)
		if err != nil {
			return err
		}
		for _, r := range records {
			if r.State != Done {
				f(r)
			}
		}
		if !pause(ctx, 5*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
	return nil
}
