package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// writePatience bounds a write to a bucket for callers without a deadline.
const writePatience = 5 * time.Second

// Errors of the stores.
var (
	ErrNotFound = errors.New("queue: not found")
	ErrTaken    = errors.New("queue: the id or the name is in use")
	ErrStale    = errors.New("queue: changed by somebody else meanwhile")
)

// replicaCheck is how often a copy asks whether it is still told everything. A watch
// that lost its server finds out by itself, but takes its time.
const replicaCheck = time.Second

// replica keeps a copy of a bucket up to date, from a watch: apply sees each change
// in the order of the bucket.
type replica struct {
	ledger *ledger
	engine *Engine
	apply  func(jetstream.KeyValueEntry)
	renew  chan struct{} // holds a token to have the watch started again

	mu      sync.Mutex
	applied uint64        // revision
	moved   chan struct{} // closed when applied changes
}

// follow returns when the copy is complete.
func (l *ledger) follow(ctx context.Context, apply func(jetstream.KeyValueEntry)) (*replica, error) {
	r := &replica{ledger: l, engine: l.engine, apply: apply, renew: make(chan struct{}, 1), moved: make(chan struct{})}
	complete := make(chan struct{})
	err := r.engine.spawn(func() { r.run(sync.OnceFunc(func() { close(complete) })) })
	if err != nil {
		return nil, err
	}
	select {
	case <-complete:
		return r, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("queue: can't read %s: %w", l.kv.Bucket(), context.Cause(ctx))
	case <-r.engine.ctx.Done():
		return nil, errClosed
	}
}

// run watches until the engine closes.
func (r *replica) run(complete func()) {
	ctx := r.engine.ctx
	forget := r.engine.onReconnect(func() {
		select {
		case r.renew <- struct{}{}:
		default:
		}
	})
	defer forget()
	said := ""
	for ctx.Err() == nil {
		err := r.watch(ctx, complete)
		if err == nil || ctx.Err() != nil {
			said = ""
			continue
		}
		if err.Error() != said { // not ten times a second
			said = err.Error()
			r.engine.log.Warn("can't watch a bucket", "bucket", r.ledger.kv.Bucket(), "error", err)
		}
		pause(ctx, provisionPause)
	}
}

// watch returns nil when it should be started again.
func (r *replica) watch(ctx context.Context, complete func()) error {
	var opts []jetstream.WatchOpt
	if from := r.at(); from > 0 {
		opts = append(opts, jetstream.ResumeFromRevision(from+1))
	}
	watcher, err := r.ledger.kv.WatchAll(ctx, opts...)
	if err != nil {
		return err
	}
	defer func() { _ = watcher.Stop() }()
	check := time.NewTicker(replicaCheck)
	defer check.Stop()
	var before, last uint64 // the bucket's revision at the last two checks
	told := false           // something since the last one
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.renew:
			return nil
		case entry, ok := <-watcher.Updates():
			told = true
			switch {
			case !ok:
				return errors.New("the watch ended")
			case entry == nil:
				complete()
			case entry.Revision() > r.at():
				r.apply(entry)
				r.advance(entry.Revision())
			}
		case <-check.C:
			before, last = last, r.last(ctx)
			if !told && r.at() < before {
				return nil // it was written a whole interval ago
			}
			told = false
		}
	}
}

// last asks for the revision of the bucket; zero when there is no answer.
func (r *replica) last(ctx context.Context) uint64 {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	info, err := r.ledger.stream.Info(ctx)
	if err != nil {
		return 0 // nothing could be watched either
	}
	if info.State.LastSeq < r.at() {
		r.engine.log.Warn("a bucket went back in time: it is read again", "bucket", r.ledger.kv.Bucket())
		r.advance(0)
	}
	return info.State.LastSeq
}

func (r *replica) at() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.applied
}

func (r *replica) advance(revision uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.applied = revision
	close(r.moved)
	r.moved = make(chan struct{})
}

// await returns when the copy has seen a revision.
func (r *replica) await(ctx context.Context, revision uint64) error {
	for {
		r.mu.Lock()
		applied, moved := r.applied, r.moved
		r.mu.Unlock()
		if applied >= revision {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("queue: written, but not seen here yet: %w", ctx.Err())
		case <-r.engine.ctx.Done():
			return errClosed
		}
	}
}
