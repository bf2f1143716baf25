package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// provisionPatience bounds how long a cluster may take to make a stream: it may
	// have to elect a leader first.
	provisionPatience = 30 * time.Second
	// firstProvisionTry bounds the first request, provisionTry a later one, provisionPause
	// is the time between two. Where nodes make the same stream at once, some get no answer.
	firstProvisionTry = 500 * time.Millisecond
	provisionTry      = 5 * time.Second
	provisionPause    = 100 * time.Millisecond
)

// What a server says with an API error of its own; the client names few of them.
const (
	codeNoPeers               jetstream.ErrorCode = 10005 // no suitable peers for placement
	codeUnavailable           jetstream.ErrorCode = 10008 // temporarily
	codeNotLeader             jetstream.ErrorCode = 10009
	codeMessageTooLarge       jetstream.ErrorCode = 10054 // by the stream's own limit
	codeStreamExists          jetstream.ErrorCode = 10058 // with another configuration
	codeWrongRevision         jetstream.ErrorCode = 10071
	codeNoReplicas            jetstream.ErrorCode = 10074 // not a cluster
	codeHeaderTooLarge        jetstream.ErrorCode = 10097
	codeStreamOffline         jetstream.ErrorCode = 10118
	codeDuplicateBusy         jetstream.ErrorCode = 10158 // the same message is on its way already
	codeRevisionBusy          jetstream.ErrorCode = 10163 // another write of the subject is on its way
	codeWrongRevisionConstant jetstream.ErrorCode = 10164
	codeBatchIncomplete       jetstream.ErrorCode = 10176 // also when the leader changed
	codeBatchesInFlight       jetstream.ErrorCode = 10210 // too many
)

// stream makes the stream, or brings it to this configuration. It may be called by
// many nodes at once. Replicas are filled in where
// they are not set, and so is the storage unless it is memory.
func (e *Engine) stream(ctx context.Context, cfg jetstream.StreamConfig) (s jetstream.Stream, err error) {
	if cfg.Replicas == 0 {
		cfg.Replicas = e.replicas()
	}
	if cfg.Storage != jetstream.MemoryStorage {
		cfg.Storage = e.storage()
	}
	err = e.provision(ctx, cfg.Name, &cfg.Replicas, func(ctx context.Context) error {
		s, err = e.js.CreateOrUpdateStream(ctx, cfg)
		return err
	})
	if err == nil && cfg.Storage == jetstream.MemoryStorage {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.forgotten[cfg.Name] = cfg
	}
	return s, err
}

// restore makes the streams again that a server forgets when it starts again.
func (e *Engine) restore() {
	e.mu.Lock()
	forgotten := slices.Collect(maps.Values(e.forgotten))
	e.mu.Unlock()
	for _, cfg := range forgotten {
		if _, err := e.stream(e.ctx, cfg); err != nil && e.ctx.Err() == nil {
			e.log.Warn("can't set up a stream again", "stream", cfg.Name, "error", err)
		}
	}
}

// bucket is [Engine.stream] for a bucket of keys.
func (e *Engine) bucket(ctx context.Context, cfg jetstream.KeyValueConfig) (kv jetstream.KeyValue, err error) {
	if cfg.Replicas == 0 {
		cfg.Replicas = e.replicas()
	}
	if cfg.Storage != jetstream.MemoryStorage {
		cfg.Storage = e.storage()
	}
	err = e.provision(ctx, "KV_"+cfg.Bucket, &cfg.Replicas, func(ctx context.Context) error {
		kv, err = e.js.CreateOrUpdateKeyValue(ctx, cfg)
		return err
	})
	return kv, err
}

// provision repeats an attempt until it succeeds, can't succeed, or took too long.
func (e *Engine) provision(ctx context.Context, name string, replicas *int, attempt func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, provisionPatience)
	defer cancel()
	for patience := firstProvisionTry; ; patience = min(2*patience, provisionTry) {
		try, cancelTry := context.WithTimeout(ctx, patience)
		err := attempt(try)
		cancelTry()
		switch {
		case err == nil:
			e.mu.Lock()
			defer e.mu.Unlock()
			e.streams[name] = true
			return nil
		case isCode(err, codeNoReplicas) && *replicas > 1 && e.opts.Replicas == 0:
			e.log.Warn("the NATS server is no cluster: no copies are kept", "name", name)
			*replicas = 1
			continue
		case !passes(err):
			return fmt.Errorf("queue: can't set up %s: %w", name, err)
		}
		if pause(ctx, provisionPause) {
			continue
		}
		if isCode(err, codeNoPeers) {
			return fmt.Errorf("queue: can't set up %s with %d copies: are there as many servers in the cluster? %w", name, *replicas, err)
		}
		return fmt.Errorf("queue: can't set up %s: %w", name, err)
	}
}

// Unavailable tells an error that says nothing of what was asked for: NATS couldn't be
// reached, or had no leader. It may be tried again; what was asked for may have been done.
func Unavailable(err error) bool { return passes(err) }

// passes tells a failure that time may mend.
func passes(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders) ||
		errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrDisconnected) ||
		errors.Is(err, nats.ErrReconnectBufExceeded) { // not connected, and nothing is kept for later
		return true
	}
	// Two nodes that make the same stream at once: the second one updates.
	return isCode(err, codeNoPeers, codeUnavailable, codeNotLeader, codeStreamOffline, codeStreamExists,
		codeDuplicateBusy, codeRevisionBusy)
}

func isCode(err error, codes ...jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	return slices.Contains(codes, api.ErrorCode)
}
