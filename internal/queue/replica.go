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
const writePatience = 10 * time.Second

// Errors of the stores.
var (
	ErrNotFound = errors.New("queue: not found")
	ErrTaken    = errors.New("queue: the id or the name is in use")
	ErrStale    = errors.New("queue: changed by somebody else meanwhile")
)

// replica keeps a copy of a bucket up to date, from a watch: apply sees each change
// in the order of the bucket.
type replica struct {
	engine *Engine
	kv     jetstream.KeyValue
	apply  func(jetstream.KeyValueEntry)

	mu      sync.Mutex
	applied uint64        // revision
	moved   chan struct{} // closed when applied grows
}

// follow returns when the copy is complete.
func (e *Engine) follow(ctx context.Context, kv jetstream.KeyValue, apply func(jetstream.KeyValueEntry)) (*replica, error) {
	r := &replica{engine: e, kv: kv, apply: apply, moved: make(chan struct{})}
	complete := make(chan struct{})
	err := e.spawn(func() { r.run(sync.OnceFunc(func() { close(complete) })) })
	if err != nil {
		return nil, err
	}
	select {
	case <-complete:
		return r, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("queue: can't read %s: %w", kv.Bucket(), context.Cause(ctx))
	case <-e.ctx.Done():
		return nil, errClosed
	}
}

// run watches until the engine closes. The client mends a watch across lost connections;
// one that ends all the same is followed by another.
func (r *replica) run(complete func()) {
	ctx := r.engine.ctx
	for ctx.Err() == nil {
		if err := r.watch(ctx, complete); err != nil && ctx.Err() == nil {
			r.engine.log.Warn("can't watch a bucket", "bucket", r.kv.Bucket(), "error", err)
		}
		pause(ctx, provisionPause)
	}
}

func (r *replica) watch(ctx context.Context, complete func()) error {
	var opts []jetstream.WatchOpt
	if r.applied > 0 { // only this goroutine writes it
		opts = append(opts, jetstream.ResumeFromRevision(r.applied+1))
	}
	watcher, err := r.kv.WatchAll(ctx, opts...)
	if err != nil {
		return err
	}
	defer func() { _ = watcher.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case entry, ok := <-watcher.Updates():
			switch {
			case !ok:
				return errors.New("the watch ended")
			case entry == nil:
				complete()
			case entry.Revision() > r.applied:
				r.apply(entry)
				r.advance(entry.Revision())
			}
		}
	}
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
