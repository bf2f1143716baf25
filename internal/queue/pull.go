package queue

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// puller takes messages from a consumer, as many as there are free slots, and never more.
type puller struct {
	consumer jetstream.Consumer
	slots    chan struct{} // a token is a free slot
	runs     *sync.WaitGroup
	handle   func(jetstream.Msg)
	log      *slog.Logger
}

func newPuller(consumer jetstream.Consumer, slots int, runs *sync.WaitGroup, log *slog.Logger, handle func(jetstream.Msg)) *puller {
	p := &puller{consumer: consumer, slots: make(chan struct{}, slots), runs: runs, handle: handle, log: log}
	for range slots {
		p.slots <- struct{}{}
	}
	return p
}

// pull goes on until ctx ends. What it has begun may go on after that.
func (p *puller) pull(ctx context.Context) {
	for pause := minPause; ; {
		n := p.freeSlots(ctx)
		if n == 0 {
			return
		}
		got, err := p.pullBatch(ctx, n)
		for range n - got {
			p.slots <- struct{}{}
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil || got > 0 {
			pause = minPause
			continue
		}
		p.log.Warn("nothing can be fetched from the queue", "error", err)
		sleep(ctx, pause)
		pause = min(2*pause, 2*time.Second)
	}
}

const (
	minPause = 50 * time.Millisecond
	// maxPull bounds the messages that one request asks for.
	maxPull = 64
)

// freeSlots waits for one slot and takes all that are free; 0 when ctx ends.
func (p *puller) freeSlots(ctx context.Context) int {
	select {
	case <-ctx.Done():
		return 0
	case <-p.slots:
	}
	for n := 1; ; n++ {
		if n == maxPull {
			return n
		}
		select {
		case <-p.slots:
		default:
			return n
		}
	}
}

// pullBatch handles what one request brings, each message in a slot of its own.
func (p *puller) pullBatch(ctx context.Context, n int) (got int, err error) {
	batch, err := p.consumer.Fetch(n, jetstream.FetchContext(ctx))
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
			defer func() { p.slots <- struct{}{} }()
			p.handle(msg)
		})
	}
	return got, batch.Error()
}
