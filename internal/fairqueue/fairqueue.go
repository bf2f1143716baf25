// Package fairqueue hands out a fixed number of slots to many tenants, so that
// one tenant's flood delays the others by a turn and not by its length.
package fairqueue

import (
	"container/list"
	"context"
	"errors"
	"sync"
)

var (
	// ErrFull is what Acquire returns when as many wait as may.
	ErrFull = errors.New("fairqueue: too many are waiting")
	// ErrClosed is what Acquire returns once the queue is closed.
	ErrClosed = errors.New("fairqueue: closed")
)

// Queue hands out slots: first come, first served among one tenant's requests,
// in turn among the tenants. A named tenant holds at most three quarters of the
// slots, so that the others find one soon even while its executions last; the
// tenant "" is everybody who has no name, and may hold all of them. A Queue is
// safe for concurrent use; make one with [New].
type Queue struct {
	share, bound int

	mu      sync.Mutex
	free    int
	waiting int
	closed  bool
	tenants map[string]*tenant // those that hold or wait
	turns   list.List          // of *tenant: those that wait and may hold more, the next one first
}

type tenant struct {
	name    string
	held    int
	waiters list.List     // of *waiter
	turn    *list.Element // in turns; nil where it isn't there
}

type waiter struct{ granted chan struct{} }

// New returns a queue of so many slots (at least one), for which at most bound
// requests wait.
func New(slots, bound int) *Queue {
	slots = max(slots, 1)
	return &Queue{
		share: max(slots-slots/4, 1), bound: bound, free: slots,
		tenants: make(map[string]*tenant),
	}
}

// Acquire takes a slot for a tenant, waiting until ctx is done; then it returns
// ctx's error. Every nil has to be paid back with [Queue.Release].
func (q *Queue) Acquire(ctx context.Context, name string) error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return ErrClosed
	}
	t := q.tenants[name]
	if t == nil {
		t = &tenant{name: name}
		q.tenants[name] = t
	}
	if q.free > 0 && q.mayHold(t) && t.waiters.Len() == 0 {
		q.free--
		t.held++
		q.mu.Unlock()
		return nil
	}
	if q.waiting >= q.bound {
		q.forget(t)
		q.mu.Unlock()
		return ErrFull
	}
	w := &waiter{make(chan struct{})}
	place := t.waiters.PushBack(w)
	q.waiting++
	q.takeTurn(t)
	q.mu.Unlock()

	select {
	case <-w.granted:
		return q.afterGrant()
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-w.granted: // at the same moment
		if !q.closed {
			q.giveBack(t)
		}
	default:
		t.waiters.Remove(place)
		q.waiting--
		if t.waiters.Len() == 0 && t.turn != nil {
			q.turns.Remove(t.turn)
			t.turn = nil
		}
		q.forget(t)
	}
	return ctx.Err()
}

// afterGrant tells a slot from the end of the queue, which wakes everybody.
func (q *Queue) afterGrant() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	return nil
}

// Release gives a slot back.
func (q *Queue) Release(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t := q.tenants[name]; t != nil && !q.closed {
		q.giveBack(t)
	}
}

// Waiting is how many requests wait.
func (q *Queue) Waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting
}

// Close ends every wait, now and from now on, with [ErrClosed].
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.closed = true
	for _, t := range q.tenants {
		for place := t.waiters.Front(); place != nil; place = place.Next() {
			close(place.Value.(*waiter).granted)
		}
	}
}

func (q *Queue) mayHold(t *tenant) bool { return t.name == "" || t.held < q.share }

// takeTurn lines a tenant up if it waits and may hold more.
func (q *Queue) takeTurn(t *tenant) {
	if t.turn == nil && t.waiters.Len() > 0 && q.mayHold(t) {
		t.turn = q.turns.PushBack(t)
	}
}

func (q *Queue) giveBack(t *tenant) {
	q.free++
	t.held--
	q.takeTurn(t)
	q.grant()
	q.forget(t)
}

// grant hands free slots to those whose turn it is.
func (q *Queue) grant() {
	for q.free > 0 && q.turns.Len() > 0 {
		t := q.turns.Remove(q.turns.Front()).(*tenant)
		t.turn = nil
		w := t.waiters.Remove(t.waiters.Front()).(*waiter)
		q.waiting--
		q.free--
		t.held++
		close(w.granted)
		q.takeTurn(t)
	}
}

// forget drops a tenant that neither holds nor waits.
func (q *Queue) forget(t *tenant) {
	if t.held == 0 && t.waiters.Len() == 0 {
		delete(q.tenants, t.name)
	}
}
