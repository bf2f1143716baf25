package queue

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// puller takes messages from a consumer, as many as there are free slots, and never more.
type puller struct {
	consumer jetstream.Consumer
	own      chan struct{} // a token is this puller's one slot, when it is free
	slots    chan struct{} // a token is a free slot of those that other pullers take, too
	runs     *sync.WaitGroup
	handle   func(jetstream.Msg)
	engine   *Engine
}

// newPuller returns a puller with a slot of its own beside those that it shares.
func newPuller(consumer jetstream.Consumer, shared chan struct{}, runs *sync.WaitGroup, engine *Engine, handle func(jetstream.Msg)) *puller {
	return &puller{consumer: consumer, own: newSlots(1), slots: shared, runs: runs, handle: handle, engine: engine}
}

// newSlots returns so many free slots.
func newSlots(n int) chan struct{} {
	slots := make(chan struct{}, max(n, 0))
	for range n {
		slots <- struct{}{}
	}
	return slots
}

// pull goes on until ctx ends. What it has begun may go on after that. It waits for
// messages with one slot in hand. Who waits for a shared one gets the next that is free,
// in turn.
func (p *puller) pull(ctx context.Context) {
	for pause := minPause; ; {
		slots := p.own
		select {
		case <-ctx.Done():
			return
		case <-p.own:
		default:
			select {
			case <-ctx.Done():
				return
			case <-p.own:
			case <-p.slots:
				slots = p.slots
			}
		}
		got, err := p.await(ctx, slots)
		if got > 0 && ctx.Err() == nil {
			more := p.freeSlots()
			_, err = p.take(ctx, p.slots, more, func() (jetstream.MessageBatch, error) { return p.consumer.FetchNoWait(more) })
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil || got > 0 {
			pause = minPause
			continue
		}
		if p.engine.conn.IsConnected() { // else it is said once, not by each puller
			p.engine.log.Warn("nothing can be fetched from the queue", "error", err)
		}
		sleep(ctx, pause)
		pause = min(2*pause, 2*time.Second)
	}
}

// await waits for one message. A server that was away has forgotten who waits: when it is
// back, await returns.
func (p *puller) await(ctx context.Context, slots chan struct{}) (got int, err error) {
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	defer p.engine.onReconnect(stop)()
	got, err = p.take(ctx, slots, 1, func() (jetstream.MessageBatch, error) {
		return p.consumer.Fetch(1, jetstream.FetchContext(waiting), jetstream.FetchHeartbeat(heartbeat))
	})
	if waiting.Err() != nil {
		err = nil
	}
	return got, err
}

const (
	// heartbeat is how often a server that has no messages says so. When it misses two, it is
	// asked again: another one leads by now.
	heartbeat = 2 * time.Second
	minPause  = 50 * time.Millisecond
	// maxPull bounds the messages that one request asks for.
	maxPull = 64
)

// freeSlots takes the slots that are free.
func (p *puller) freeSlots() int {
	for n := range maxPull {
		select {
		case <-p.slots:
		default:
			return n
		}
	}
	return maxPull
}

// take handles what one request brings, each message in one of n slots that are in hand,
// and gives back the others.
func (p *puller) take(ctx context.Context, slots chan struct{}, n int, fetch func() (jetstream.MessageBatch, error)) (got int, err error) {
	defer func() {
		for range n - got {
			slots <- struct{}{}
		}
	}()
	if n == 0 {
		return 0, nil
	}
	batch, err := fetch()
	if err != nil {
		return 0, err
	}
	for msg := range batch.Messages() {
		if ctx.Err() != nil {
			msg.Nak()
			continue
		}
		got++
		p.runs.Go(func() {
			defer func() { slots <- struct{}{} }()
			p.handle(msg)
		})
	}
	return got, batch.Error()
}
