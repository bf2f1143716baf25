package sandbox

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
)

// grace is how long a program may go on after its deadline, and a callback of the
// embedder's after the end of its execution, before they are left behind.
const grace = 50 * time.Millisecond

// abandonedPerCPU bounds the executions left behind before new ones are refused.
const abandonedPerCPU = 4

// roomPatience is how long a new execution waits for those left behind to end
// before it is refused, and roomPoll how often it looks.
const (
	roomPatience = 2 * time.Second
	roomPoll     = 5 * time.Millisecond
)

// Pool runs executions. It keeps compiled programs and warm processes, so it
// should live long. It is safe for concurrent use. Close it when done.
type Pool struct {
	defaults  Limits
	programs  cache
	children  *children // nil where isolation is inline
	abandoned atomic.Int64

	mu      sync.Mutex
	closed  bool
	running map[any]struct{} // *execution or *run: those whose goroutines haven't all ended
	idle    chan struct{}    // made by Close, closed when running is empty
}

// New returns a pool, or an error that names the field that is wrong. With
// [Process] isolation it starts a first child and fails when that can't be, when
// a required [Layer] is missing, or when [Init] wasn't called.
func New(o Options) (*Pool, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	p := &Pool{defaults: o.Defaults.or(builtinLimits), running: make(map[any]struct{})}
	if o.Isolation == Inline {
		return p, nil
	}
	var err error
	if p.children, err = newChildren(o); err != nil {
		return nil, err
	}
	return p, nil
}

// Hardening lists the layers around the pool's child processes, with what is
// missing on this machine; nothing where isolation is inline.
func (p *Pool) Hardening() []Layer {
	if p.children == nil {
		return nil
	}
	return slices.Clone(p.children.layers)
}

// Stats is what a pool's child processes do at a moment; all zero where isolation is
// inline.
type Stats struct {
	Live    int // children, idle ones included
	Idle    int
	Waiting int // executions that wait for a child
}

// Stats returns what the children do right now.
func (p *Pool) Stats() Stats {
	if p.children == nil {
		return Stats{}
	}
	return p.children.stats()
}

// Check reports whether a source can be compiled, without running it. A fault
// is a SandboxError with reason SyntaxError, naming line and column.
func (p *Pool) Check(ctx context.Context, src Source) error { return p.CheckFor(ctx, "", src) }

// CheckFor is Check on behalf of an organization, see [Job.Organization]: compiling takes
// a child, too.
func (p *Pool) CheckFor(ctx context.Context, organization string, src Source) error {
	if failure := p.defaults.checkSource(src); failure != nil {
		return failure
	}
	job := Job{Source: src, Limits: p.defaults, Organization: organization}
	if p.children != nil {
		_, err := p.runInChild(ctx, job, true)
		return err
	}
	if p.programs.get(src.key()) != nil {
		return nil
	}
	_, err := p.supervise(ctx, job, (*execution).check)
	return err
}

// Run executes a job. The context's deadline is the execution's; Run comes back
// soon after it, whatever the program does. The result is never nil: the logs
// survive a failure. The error, where not nil, is an *errclass.Error, or an
// *errclass.APIError (503) where too many executions wait.
func (p *Pool) Run(ctx context.Context, job Job) (*Result, error) {
	if err := job.Limits.check(); err != nil {
		return &Result{}, errclass.New(errclass.InternalError, errclass.Unclassified, "").WithCause(err)
	}
	job.Limits = job.Limits.or(p.defaults)
	if failure := job.Limits.checkJob(&job); failure != nil {
		return &Result{}, failure
	}
	if p.children != nil {
		return p.runInChild(ctx, job, false)
	}
	return p.supervise(ctx, job, (*execution).run)
}

// runInChild runs a job in a child process.
func (p *Pool) runInChild(ctx context.Context, job Job, check bool) (*Result, error) {
	r := newRun(ctx, &job, check)
	if failure := p.admit(ctx, r); failure != nil {
		return &Result{}, failure
	}
	defer p.leave(r)
	if ctx.Err() != nil {
		return &Result{}, stopFailure(ctx, r.limit, "before it began")
	}
	c, release, err := p.children.acquire(ctx, &job)
	if err != nil {
		if errors.Is(err, context.Canceled) {
			err = stopFailure(ctx, r.limit, "")
		}
		return &Result{}, err
	}
	r.child = c
	value, failure := r.execute()
	release(r.clean)
	r.awaitCalls(p)
	result := &Result{Value: value}
	result.Logs, result.LogsTruncated = r.logs.snapshot()
	if failure == nil {
		return result, nil
	}
	if !r.clean && p.children.isClosed() && ctx.Err() == nil {
		failure = shutdown()
	}
	return result, failure
}

// supervise runs one step of an execution in a goroutine of its own and comes
// back in bounded time.
func (p *Pool) supervise(ctx context.Context, job Job, step func(*execution) ([]byte, *errclass.Error)) (*Result, error) {
	e := newExecution(ctx, p, job)
	if failure := p.admit(e.ctx, e); failure != nil {
		e.cancel(nil)
		return &Result{}, failure
	}
	if e.ctx.Err() != nil {
		e.cancel(nil)
		p.leave(e)
		return &Result{}, stopFailure(e.ctx, e.limit, "before it began")
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
			o.failure = stopFailure(e.ctx, e.limit, e.unresponsive())
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
func (p *Pool) admit(ctx context.Context, e any) *errclass.Error {
	if left := p.awaitRoom(ctx); left >= abandonedPerCPU*runtime.GOMAXPROCS(0) && ctx.Err() == nil {
		failure := errclass.Newf(errclass.SandboxError, errclass.EngineFault,
			"%d earlier executions can't be stopped and still compute; try again later", left)
		failure.Origin, failure.Retryable = errclass.OriginPlatform, true
		failure.Hint = "The sandbox is overloaded by programs that can't be stopped; try again later."
		return failure
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return shutdown()
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
func (p *Pool) leave(e any) {
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
// can stop, and callbacks of the embedder's that ignore their context. Beyond four
// per CPU, for longer than a moment, the pool refuses new executions.
func (p *Pool) Abandoned() int { return int(p.abandoned.Load()) }

// Close cancels what runs and refuses what comes. It waits for the executions to
// end, though not long for one that can't be stopped: then it returns an error
// that counts them. Close may be called again, to wait again.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	for e := range p.running {
		if e, ok := e.(*execution); ok {
			e.cancel(errclass.New(errclass.Cancelled, errclass.Shutdown, "the sandbox was closed"))
		}
	}
	idle := p.idle
	if idle == nil {
		idle = make(chan struct{})
		if len(p.running) == 0 {
			close(idle)
		} else {
			p.idle = idle
		}
	}
	p.mu.Unlock()
	if p.children != nil {
		p.children.close()
	}
	select {
	case <-idle:
	case <-time.After(4 * grace):
		p.mu.Lock()
		left := len(p.running)
		p.mu.Unlock()
		if left > 0 {
			return fmt.Errorf("sandbox: %d executions can't be stopped and still run", left)
		}
	}
	if p.children != nil {
		p.children.life.Wait()
	}
	return nil
}
