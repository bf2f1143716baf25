package queue

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// subscription receives messages of one subject. The client's own synchronous one takes
// half a megabyte, which is too much for something that each waiting caller has.
type subscription struct {
	sub *nats.Subscription

	mu      sync.Mutex
	queue   []*nats.Msg
	bytes   int
	more    chan struct{} // holds a token when there may be something in queue
	room    chan struct{} // the same, when there may be room
	over    chan struct{}
	closing sync.Once
}

// maxQueued bounds the bytes that wait for a slow listener; beyond, the client has
// bounds of its own.
const maxQueued = 16 << 20

func (e *Engine) subscribe(subject string) (s *subscription, err error) {
	s = &subscription{more: make(chan struct{}, 1), room: make(chan struct{}, 1), over: make(chan struct{})}
	s.sub, err = e.conn.Subscribe(subject, s.put)
	return s, err
}

func (s *subscription) put(m *nats.Msg) {
	for !s.tryPut(m) {
		select {
		case <-s.room:
		case <-s.over:
			return
		}
	}
}

func (s *subscription) tryPut(m *nats.Msg) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes > maxQueued {
		return false
	}
	s.queue = append(s.queue, m)
	s.bytes += len(m.Data)
	signal(s.more)
	return true
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (s *subscription) close() {
	s.sub.Unsubscribe()
	s.closing.Do(func() { close(s.over) })
}

// next waits for a message; nil where there was none in that time.
func (s *subscription) next(ctx context.Context, patience time.Duration) (*nats.Msg, error) {
	t := time.NewTimer(patience)
	defer t.Stop()
	for {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		if m := s.arrived(); m != nil {
			return m, nil
		}
		select {
		case <-s.more:
		case <-t.C:
			return nil, nil
		case <-ctx.Done():
		}
	}
}

// arrived returns a message that is here already, or nil.
func (s *subscription) arrived() *nats.Msg {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return nil
	}
	m := s.queue[0]
	s.queue[0] = nil
	if s.queue = s.queue[1:]; len(s.queue) == 0 {
		s.queue = nil
	}
	s.bytes -= len(m.Data)
	signal(s.room)
	return m
}
