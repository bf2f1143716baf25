package queue_test

import (
	"context"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/queue"
)

// What an asynchronous execution costs from its submission to its outcome, beside a bare
// JetStream message that is published, consumed and acknowledged, at as many at a time.
//
//	go test -run '^$' -bench Asynchronous ./internal/queue
func BenchmarkAsynchronous(b *testing.B) {
	const callers = 64
	for _, place := range []string{"memory", "files"} {
		b.Run("bare/"+place, func(b *testing.B) { benchBare(b, openAt(b, place), callers) })
		b.Run("execution/"+place, func(b *testing.B) { benchExecutions(b, openAt(b, place), callers) })
	}
}

func openAt(b *testing.B, place string) *queue.Engine {
	if place == "memory" {
		return open(b, queue.Options{})
	}
	return open(b, queue.Options{Dir: b.TempDir()})
}

// spread calls f b.N times, from so many goroutines.
func spread(b *testing.B, callers int, f func() error) {
	var all sync.WaitGroup
	each := make(chan struct{}, callers)
	b.ResetTimer()
	for range callers {
		all.Go(func() {
			for range each {
				if err := f(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for range b.N {
		each <- struct{}{}
	}
	close(each)
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "per_s")
}

func benchBare(b *testing.B, e *queue.Engine, callers int) {
	_, js := e.Bare()
	_, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "bare", Subjects: []string{"bare"}, Retention: jetstream.WorkQueuePolicy})
	require.NoError(b, err)
	c, err := js.CreateConsumer(b.Context(), "bare", jetstream.ConsumerConfig{Durable: "bare", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1})
	require.NoError(b, err)
	var consumed sync.WaitGroup
	consumed.Add(b.N)
	consuming, err := c.Consume(func(m jetstream.Msg) {
		m.Ack()
		consumed.Done()
	})
	require.NoError(b, err)
	spread(b, callers, func() error {
		_, err := js.Publish(context.Background(), "bare", []byte(`{"id":"01a21916-ee28-7489-9756-7bd5d9289838","tool":"echo"}`))
		return err
	})
	consumed.Wait()
	consuming.Stop()
	<-consuming.Closed()
}

func benchExecutions(b *testing.B, e *queue.Engine, callers int) {
	x := executions(b, e, queue.ExecutionsOptions{})
	work(b, x, queue.WorkerOptions{Runner: newTools()})
	spread(b, callers, func() error {
		s, _, err := x.Submit(context.Background(), queue.Submission{Organization: "acme", Tool: "echo"})
		if err == nil {
			_, err = x.Wait(context.Background(), "acme", s.ID)
		}
		return err
	})
}
