package sandbox

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
)

// grace is how long a program may go on after its deadline, and a tools.invoke
// after the end of its execution, before they are left behind.
const grace = 50 * time.Millisecond

// abandonedPerCPU bounds the executions left behind before new ones are refused.
const abandonedPerCPU = 4

// roomPatience is how long a new execution waits for those left behind to end
// before it is refused, and roomPoll how often it looks.
const (
	roomPatience = 2 * time.Second
	roomPoll     = 5 * time.Millisecond
)

// Pool runs executions. It keeps compiled programs, so it should live long. It
// is safe for concurrent use.
type Pool struct {
	defaults  Limits
	programs  cache
	abandoned atomic.Int64

	mu      sync.Mutex
	closed  bool
	running map[*execution]struct{} // those whose goroutines haven't all ended
	idle    chan struct{}           // made by Close, closed when running is empty
}

// New returns a pool, or an error that names the field that is wrong.
func New(o Options) (*Pool, error) {
	switch o.Isolation {
	case "", Inline:
	case "process":
		return nil, errors.New(`sandbox: Options.Isolation "process" isn't available yet; use "inline"`)
	default:
		return nil, fmt.Errorf("sandbox: Options.Isolation %q is unknown; use %q", string(o.Isolation), string(Inline))
	}
	if err := o.Defaults.check(); err != nil {
		return nil, err
	}
	return &Pool{defaults: o.Defaults.or(builtinLimits), running: make(map[*execution]struct{})}, nil
}

// Check reports whether a source can be compiled, without running it. A fault
// is a SandboxError with reason SyntaxError, naming line and column.
func (p *Pool) Check(ctx context.Context, src Source) error {
	if failure := p.defaults.checkSource(src); failure != nil {
		return failure
	}
	if p.programs.get(src) != nil {
		return nil
	}
	job := Job{Source: src, Limits: p.defaults}
	_, err := p.supervise(ctx, job, (*execution).check)
	return err
}

// Run executes a job. The context's deadline is the execution's; Run comes back
// soon after it, whatever the program does. The result is never nil: the logs
// survive a failure. The error, where not nil, is an *errclass.Error.
func (p *Pool) Run(ctx context.Context, job Job) (*Result, error) {
	if err := job.Limits.check(); err != nil {
		return &Result{}, errclass.New(errclass.InternalError, errclass.Unclassified, "").WithCause(err)
	}
	job.Limits = job.Limits.or(p.defaults)
	if failure := job.Limits.checkJob(&job); failure != nil {
		return &Result{}, failure
	}
	return p.supervise(ctx, job, (*execution).run)
}

// supervise runs one step of an execution in a goroutine of its own and comes
// back in bounded time.
func (p *Pool) supervise(ctx context.Context, job Job, step func(*execution) ([]byte, *errclass.Error)) (*Result, error) {
	e := newExecution(ctx, p, job)
	if failure := p.admit(e); failure != nil {
		e.cancel(nil)
		return &Result{}, failure
	}
	if e.ctx.Err() != nil {
		p.leave(e)
		return &Result{}, e.stopped("before it began")
	}
	go e.supervised(step)

	var o outcome
	select {
	case o = <-e.finished:
	case <-e.ctx.Done():
		e.interrupt()
		select {
		case o = <-e.finished:
		case <-time.After(grace):
			e.abandon()
			o.failure = e.stopped(e.unresponsive())
		}
	}
	if e.invoked.Load() {
		select {
		case <-e.gone:
		case <-time.After(grace):
			e.abandon()
		}
	}
	result := &Result{Value: o.value}
	result.Logs, result.LogsTruncated = e.logs.snapshot()
	if o.failure != nil {
		result.Value = nil
		return result, o.failure
	}
	return result, nil
}

// admit registers an execution, unless the pool can't take one.
func (p *Pool) admit(e *execution) *errclass.Error {
	if left := p.awaitRoom(e.ctx); left >= abandonedPerCPU*runtime.GOMAXPROCS(0) && e.ctx.Err() == nil {
		failure := errclass.Newf(errclass.SandboxError, errclass.EngineFault,
			"%d earlier executions can't be stopped and still compute; try again later", left)
		failure.Origin, failure.Retryable = errclass.OriginPlatform, true
		failure.Hint = "The sandbox is overloaded by programs that can't be stopped; try again later."
		return failure
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errclass.New(errclass.Cancelled, errclass.Shutdown, "the sandbox is closed")
	}
	p.running[e] = struct{}{}
	return nil
}

// awaitRoom waits a moment while too many executions are left behind, and
// returns how many are. On a machine that is short of time a program may need
// longer than grace to notice its end; only one that can't stays.
func (p *Pool) awaitRoom(ctx context.Context) (left int) {
	bound := abandonedPerCPU * runtime.GOMAXPROCS(0)
	if left = p.Abandoned(); left < bound {
		return left
	}
	patience := time.After(roomPatience)
	poll := time.NewTicker(roomPoll)
	defer poll.Stop()
	for left >= bound {
		select {
		case <-poll.C:
		case <-patience:
			return p.Abandoned()
		case <-ctx.Done():
			return left
		}
		left = p.Abandoned()
	}
	return left
}

// leave is the end of an execution's last goroutine.
func (p *Pool) leave(e *execution) {
	e.cancel(nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.running, e)
	if p.idle != nil && len(p.running) == 0 {
		close(p.idle)
		p.idle = nil
	}
}

// Abandoned counts the executions that ended for their callers but still hold a
// goroutine, and perhaps a CPU: programs inside a built-in function that nothing
// can stop, and tools.invoke callbacks that ignore their context. Beyond four
// per CPU, for longer than a moment, the pool refuses new executions.
func (p *Pool) Abandoned() int { return int(p.abandoned.Load()) }

// Close cancels what runs and refuses what comes. It waits for the executions to
// end, though not long for one that can't be stopped: then it returns an error
// that counts them. Close may be called again, to wait again.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	for e := range p.running {
		e.cancel(errclass.New(errclass.Cancelled, errclass.Shutdown, "the sandbox was closed"))
	}
	if len(p.running) == 0 {
		p.mu.Unlock()
		return nil
	}
	if p.idle == nil {
		p.idle = make(chan struct{})
	}
	idle := p.idle
	p.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-time.After(4 * grace):
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.running) == 0 {
		return nil
	}
	return fmt.Errorf("sandbox: %d executions can't be stopped and still run", len(p.running))
}
