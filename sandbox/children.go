package sandbox

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/fairqueue"
)

const (
	// maxRuns is after how many executions a child is replaced, so that nothing
	// can gather in it.
	maxRuns = 2000
	// maxBirthFailures is after how many failures in a row to start a child those
	// who wait for one are told.
	maxBirthFailures = 3
	// minBackoff and maxBackoff bound the pause before the next attempt.
	minBackoff = 50 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// children keeps the child processes of a pool: those that run an execution,
// warm idle ones, and those that are being started.
type children struct {
	size    int // how many run executions of one depth at once
	queue   int // how many wait
	mayLack map[string]bool
	start   func() (*child, error)

	mu        sync.Mutex
	queues    map[int]*fairqueue.Queue // by Job.Depth
	all       map[*child]struct{}      // but for those being started
	idle      []*child                 // the most recently used last
	waiting   []chan *child
	order     int // children that the spawner has yet to start
	starting  int // those, and those that aren't ready
	served    int
	failures  int // in a row
	failure   error
	notBefore time.Time // when the next child may be started
	layers    []Layer
	closed    bool

	wake chan struct{}   // tells the spawner to look
	open context.Context // until close
	shut context.CancelFunc
	life sync.WaitGroup
}

// newChildren starts the first child, so that what is wrong with the machine or
// the embedder's main shows at once.
func newChildren(o Options) (*children, error) {
	if !initialized.Load() {
		return nil, errors.New("sandbox: process isolation needs sandbox.Init() as the first statement of main, and of TestMain in tests")
	}
	p := &children{
		size: o.Children, queue: o.Queue, mayLack: make(map[string]bool), start: startChild,
		queues: make(map[int]*fairqueue.Queue), all: make(map[*child]struct{}),
		wake: make(chan struct{}, 1),
	}
	p.open, p.shut = context.WithCancel(context.Background())
	if p.size == 0 {
		p.size = max(8, 2*runtime.GOMAXPROCS(0))
	}
	if p.queue == 0 {
		p.queue = 128 * p.size
	}
	for _, name := range o.MayLack {
		p.mayLack[name] = true
	}
	p.life.Go(p.spawner)
	p.mu.Lock()
	first := make(chan *child, 1)
	p.waiting = append(p.waiting, first)
	p.failures = maxBirthFailures - 1 // no second attempt
	p.refill()
	p.mu.Unlock()
	c := <-first
	if c == nil {
		err := p.failure
		p.close()
		p.life.Wait()
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	p.mu.Lock()
	p.layers = c.greeting.layers
	p.mu.Unlock()
	p.give(c)
	return p, nil
}

// spawner starts children one after the other, all from one thread that lives as
// long as they may: the parent-death signal speaks of the thread.
func (p *children) spawner() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		select {
		case <-p.wake:
		case <-p.open.Done():
			return
		}
		for p.next() {
			c, err := p.start()
			p.life.Go(func() { p.born(c, err) })
		}
	}
}

// next waits out a pause after failures and reports whether to start a child.
func (p *children) next() bool {
	p.mu.Lock()
	if p.order == 0 || p.closed {
		p.mu.Unlock()
		return false
	}
	p.order--
	pause := time.Until(p.notBefore)
	p.mu.Unlock()
	if pause <= 0 {
		return true
	}
	select {
	case <-time.After(pause):
	case <-p.open.Done():
	}
	return true
}

// born waits for a new child to be ready.
func (p *children) born(c *child, err error) {
	if err == nil {
		unneeded := context.AfterFunc(p.open, c.kill)
		if err = c.await(p.mayLack); err != nil {
			c.socket.Close()
		}
		unneeded()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starting--
	if err != nil {
		p.failures++
		p.failure = err
		if p.layers != nil { // one pause for all that failed at once
			p.notBefore = time.Now().Add(min(minBackoff<<min(p.failures-1, 10), maxBackoff))
		}
		if p.failures >= maxBirthFailures || p.closed {
			p.tellAll()
		}
		p.refill()
		return
	}
	p.failures = 0
	p.all[c] = struct{}{}
	p.place(c)
}

// tellAll sends those who wait away.
func (p *children) tellAll() {
	for _, w := range p.waiting {
		w <- nil
	}
	p.waiting = nil
}

// refill orders the children that are wanted: one for each who waits, and a
// spare once there was more than one execution.
func (p *children) refill() {
	want := len(p.waiting)
	if p.served > 1 {
		want++
	}
	if missing := want - len(p.idle) - p.starting; missing > 0 && !p.closed {
		p.order += missing
		p.starting += missing
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

// place hands a child to who waits longest, or makes it idle.
func (p *children) place(c *child) {
	if p.closed {
		p.drop(c)
		return
	}
	if len(p.waiting) > 0 {
		p.waiting[0] <- c
		p.waiting = slices.Delete(p.waiting, 0, 1)
		return
	}
	p.idle = append(p.idle, c)
}

// drop ends a child beside the path of the execution.
func (p *children) drop(c *child) {
	delete(p.all, c)
	p.life.Go(c.discard)
}

// give takes a child back that may be used again.
func (p *children) give(c *child) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.runs >= maxRuns || len(p.idle) > p.size { // a spare may lie beside as many as run at once
		p.drop(c)
		p.refill()
		return
	}
	p.place(c)
}

// lose drops a child that may not.
func (p *children) lose(c *child) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(c)
	p.refill()
}

// slots is the queue for executions of a depth. Each depth has its own, or those
// that wait for a nested execution could hold all that it needs.
func (p *children) slots(depth int) *fairqueue.Queue {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.queues[depth]
	if q == nil {
		q = fairqueue.New(p.size, p.queue)
		if p.closed {
			q.Close()
		}
		p.queues[depth] = q
	}
	return q
}

// take waits for a child. It returns nil when there won't be one.
func (p *children) take(ctx context.Context) (*child, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, fairqueue.ErrClosed
	}
	p.served++
	for len(p.idle) > 0 {
		last := len(p.idle) - 1
		c := p.idle[last]
		p.idle = p.idle[:last]
		if c.gone() { // somebody killed it
			p.drop(c)
			continue
		}
		p.refill()
		p.mu.Unlock()
		return c, nil
	}
	w := make(chan *child, 1)
	p.waiting = append(p.waiting, w)
	p.refill()
	p.mu.Unlock()
	select {
	case c := <-w:
		return c, p.missing(c)
	case <-ctx.Done():
	}
	p.mu.Lock()
	if at := slices.Index(p.waiting, w); at >= 0 {
		p.waiting = slices.Delete(p.waiting, at, at+1)
		p.mu.Unlock()
		return nil, ctx.Err()
	}
	p.mu.Unlock()
	if c := <-w; c != nil { // at the same moment
		p.give(c)
	}
	return nil, ctx.Err()
}

// missing is why a wait ended without a child.
func (p *children) missing(c *child) error {
	if c != nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return fairqueue.ErrClosed
	}
	return p.failure
}

// acquire waits for a slot and a child. A failure is an *errclass.APIError where
// the queue is full, else an *errclass.Error.
func (p *children) acquire(ctx context.Context, job *Job) (c *child, release func(clean bool), err error) {
	slots := p.slots(job.Depth)
	if err := slots.Acquire(ctx, job.Organization); err != nil {
		return nil, nil, p.turnedAway(err)
	}
	c, err = p.take(ctx)
	if err != nil {
		slots.Release(job.Organization)
		return nil, nil, p.turnedAway(err)
	}
	return c, func(clean bool) {
		if c.runs++; clean {
			p.give(c)
		} else {
			p.lose(c)
		}
		slots.Release(job.Organization)
	}, nil
}

// fullRetry is when to come back to a full queue.
const fullRetry = time.Second

func (p *children) turnedAway(err error) error {
	switch {
	case errors.Is(err, fairqueue.ErrFull):
		full := errclass.NewAPIError(errclass.CodeUnavailable, "Too many executions are waiting for the sandbox. Retry after 1 second.")
		full.RetryAfter = fullRetry
		return full
	case errors.Is(err, fairqueue.ErrClosed):
		return shutdown()
	case errors.Is(err, context.DeadlineExceeded):
		return errclass.New(errclass.Timeout, errclass.Queue, "no free sandbox process").WithCause(err)
	case errors.Is(err, context.Canceled):
		return err
	}
	failure := engineFault(err)
	failure.Detail, failure.Hint = "the sandbox can't start its processes", "Try again; the service's log says what is wrong with its machine."
	failure.Origin, failure.Retryable = errclass.OriginPlatform, true
	return failure
}

func shutdown() *errclass.Error {
	return errclass.New(errclass.Cancelled, errclass.Shutdown, "the sandbox is closed")
}

// close ends all children, whatever they do; life is done when they are gone.
func (p *children) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	p.shut()
	p.starting -= p.order
	p.order = 0
	p.tellAll()
	for _, q := range p.queues {
		q.Close()
	}
	for c := range p.all {
		if slices.Contains(p.idle, c) {
			p.drop(c)
			continue
		}
		c.kill() // its execution sees the end and drops it
	}
	p.idle = nil
}

func (p *children) stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stats{Live: len(p.all), Idle: len(p.idle)}
	for _, q := range p.queues {
		s.Waiting += q.Waiting()
	}
	return s
}

func (p *children) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}
