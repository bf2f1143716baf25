package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// provisionPatience bounds how long a cluster may take to make a stream: it may
	// have to elect a leader first.
	provisionPatience = 30 * time.Second
	// provisionTry bounds one request, provisionPause is the time between two.
	provisionTry   = 5 * time.Second
	provisionPause = 100 * time.Millisecond
)

// What a server says with an API error of its own; the client names few of them.
const (
	codeNoPeers      jetstream.ErrorCode = 10005 // no suitable peers for placement
	codeUnavailable  jetstream.ErrorCode = 10008 // temporarily unavailable
	codeNotLeader    jetstream.ErrorCode = 10009
	codeOffline      jetstream.ErrorCode = 10118 // stream is offline
	codeNoReplicas   jetstream.ErrorCode = 10074 // replicas > 1 not supported in non-clustered mode
	codeStreamExists jetstream.ErrorCode = 10058 // name in use with another configuration
)

// stream makes the stream, or brings it to this configuration. It may be called by
// many nodes at once. Storage and replicas are filled in where they are not set.
func (e *Engine) stream(ctx context.Context, cfg jetstream.StreamConfig) (s jetstream.Stream, err error) {
	if cfg.Replicas == 0 {
		cfg.Storage, cfg.Replicas = e.storage(), e.replicas()
	}
	err = e.provision(ctx, cfg.Name, &cfg.Replicas, func(ctx context.Context) error {
		s, err = e.js.CreateOrUpdateStream(ctx, cfg)
		return err
	})
	return s, err
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
	for {
		try, cancelTry := context.WithTimeout(ctx, provisionTry)
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
		if !pause(ctx, provisionPause) {
			return fmt.Errorf("queue: can't set up %s: %w", name, err)
		}
	}
}

// passes tells a failure that time may mend.
func passes(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders) ||
		errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrDisconnected) {
		return true
	}
	// Two nodes that make the same stream at once: the second one updates.
	return isCode(err, codeNoPeers, codeUnavailable, codeNotLeader, codeOffline, codeStreamExists)
}

func isCode(err error, codes ...jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	for _, code := range codes {
		if api.ErrorCode == code {
			return true
		}
	}
	return false
}
