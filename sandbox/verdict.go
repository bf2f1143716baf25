package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// seq numbers the jobs of a child.
func (r *run) seq() uint64 { return uint64(r.child.runs) + 1 }

// reported turns the child's report into the outcome.
func (r *run) reported(p *report) ([]byte, *errclass.Error) {
	if p.seq != r.seq() { // another job's, or an answer given twice
		return nil, r.lost(errProtocol)
	}
	if !p.failed {
		if err := r.checkValue(p.value); err != nil {
			return nil, r.lost(err)
		}
		r.clean = !p.retire
		return p.value, nil
	}
	if p.stopped {
		return nil, r.stopped(p)
	}
	if call := r.failureOf(p.call); call.Error != nil {
		r.clean = !p.retire
		failure := *call.Error
		failure.Detail, failure.Stack = errclass.OneLine(p.detail, maxDetail), lines(p.stack)
		if !call.fetch { // the invoked tool's failure is the cause of this one
			failure.Cause = call.Error
		}
		return nil, &failure
	}
	cause := errors.New("in the child: " + errclass.OneLine(p.cause, causeBytes))
	if p.reason == errclass.Unclassified { // what the embedder gave isn't JSON
		return nil, errclass.New(errclass.InternalError, p.reason, "").WithCause(cause)
	}
	if !p.plausible() {
		return nil, r.lost(errProtocol)
	}
	r.clean = !p.retire
	failure := errclass.New(p.class, p.reason, p.detail)
	failure.Stack = lines(p.stack)
	if p.class != errclass.SandboxError {
		failure.Retryable, failure.RetryAfter, failure.Limit = p.retryable, p.retryAfter, p.limit
		failure.Upstream = errclass.Upstream{
			Host: errclass.OneLine(p.upstream.Host, 300), Code: errclass.OneLine(p.upstream.Code, 64), Status: p.upstream.Status,
		}
	}
	if p.reason == errclass.EngineFault {
		failure.Cause = cause
	}
	if p.origin == errclass.OriginCaller {
		failure.Origin, failure.Hint = p.origin, errclass.OneLine(p.hint, 200)
	}
	return nil, failure
}

// checkValue holds a child's result to what it should have checked itself.
func (r *run) checkValue(value []byte) error {
	if r.check && len(value) == 0 {
		return nil
	}
	if len(value) > r.job.Limits.OutputBytes || strictjson.Valid(value) != nil {
		return errProtocol
	}
	return nil
}

// stopped is the failure of a program that its child has stopped: at the
// deadline, which the host must see too.
func (r *run) stopped(p *report) *errclass.Error {
	select {
	case <-r.ctx.Done():
	case <-time.After(grace): // two clocks never differ by that
		return r.lost(errProtocol)
	}
	failure := stopFailure(r.ctx, r.limit, errclass.OneLine(p.where, 300))
	failure.Stack = lines(p.stack)
	return failure
}

func (r *run) failureOf(call uint64) hostFailure {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed[call]
}

func lines(stack []string) []string {
	for i, frame := range stack {
		stack[i] = errclass.OneLine(frame, 300)
	}
	return stack
}

// plausible reports whether a child may say so: the deadline, the memory limit and
// what happened to calls of the host are for the host to find.
func (r *report) plausible() bool {
	switch r.class {
	case errclass.SandboxError:
		return sandboxReasons[r.reason]
	case errclass.HTTPError: // a status that axios made an error of
		return r.upstream.Status >= 400 && r.upstream.Status <= 599 && r.reason.Valid()
	case errclass.Timeout: // the time that the program gave a request
		return r.reason == errclass.UpstreamTimeout
	case errclass.RequestBlocked: // a fetch without a network
		return r.reason == errclass.Blocked
	}
	return false
}

// sandboxReasons are those that a child may give for a sandbox error.
var sandboxReasons = map[errclass.Reason]bool{
	errclass.Exception: true, errclass.SyntaxError: true, errclass.StackOverflow: true, errclass.OutputLimit: true,
	errclass.Unserializable: true, errclass.NeverSettles: true, errclass.SourceLimit: true,
	errclass.ParameterLimit: true, errclass.InvokeLimit: true, errclass.EngineFault: true,
}

// lost is the failure of an execution whose child is gone, silent or broken. The
// child's exit status and what Go's runtime has said decide; no text of the
// program's gets there.
func (r *run) lost(err error) *errclass.Error {
	r.clean = false
	c := r.child
	if r.ctx.Err() != nil {
		c.kill() // it is buried beside the path of the caller
		return stopFailure(r.ctx, r.limit, r.unresponsive())
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		c.kill()
	}
	select {
	case <-c.exited:
	case <-r.ctx.Done():
		c.kill()
		return stopFailure(r.ctx, r.limit, r.unresponsive())
	case <-time.After(deathPatience): // it has closed the socket and lives
		c.kill()
		<-c.exited
	}
	return r.verdict(err)
}

func (r *run) unresponsive() string {
	if !r.started {
		return "while the source was compiled"
	}
	return "inside a built-in function that can't be interrupted"
}

// verdict is why a child died by itself.
func (r *run) verdict(err error) *errclass.Error {
	c := r.child
	status, _ := c.state.Sys().(syscall.WaitStatus)
	switch {
	case c.killed.Load() || errors.Is(err, errProtocol):
		return engineFault(fmt.Errorf("the child process was put down: %w", err))
	case sayAny(c.words, "runtime: goroutine stack exceeds", "fatal error: stack overflow"):
		return errclass.New(errclass.SandboxError, errclass.StackOverflow, "calls of built-in functions are nested too deeply")
	case c.state.ExitCode() == exitMemory, sayAny(c.words, memoryWords...), status.Signaled() && (status.Signal() == syscall.SIGSEGV || status.Signal() == syscall.SIGBUS):
		return errclass.Newf(errclass.SandboxError, errclass.MemoryLimit, "the program needs more than %d MiB of memory", r.job.Limits.MemoryMB)
	}
	failure := engineFault(errors.New("the child process died: " + c.obituary()))
	if status.Signaled() && status.Signal() == syscall.SIGKILL { // not by us: an operator, or the kernel for the whole machine's sake
		failure.Detail, failure.Hint = "the sandbox's process was killed from outside", "Try again; if it stays, look for what kills the process, such as a memory limit of the container."
		failure.Origin, failure.Retryable = errclass.OriginPlatform, true
	}
	return failure
}

// memoryWords are what Go's runtime says last when it gets no memory, and what
// the race detector does.
var memoryWords = []string{
	"fatal error: runtime: out of memory", "fatal error: out of memory", "runtime: out of memory",
	"fatal error: runtime: cannot allocate memory", "fatal error: cannot allocate memory", "runtime: cannot allocate memory",
	"runtime: failed to create new OS thread", "runtime/cgo: pthread_create failed",
	"fatal error: failed to reserve page summary memory", "fatal error: runtime: cannot map pages in arena address space",
	"fatal error: too many address space collisions for -race mode", "ERROR: ThreadSanitizer failed to allocate",
	"SIGSEGV: segmentation violation", // in the collector, which doesn't expect a mapping to fail; a nil pointer of Go code panics instead
}

// sayAny reports whether a line of some last words begins with one of these; the
// race detector puts its process id first.
func sayAny(words []byte, these ...string) bool {
	for line := range bytes.Lines(words) {
		if bytes.HasPrefix(line, []byte("==")) {
			_, line, _ = bytes.Cut(line[2:], []byte("=="))
		}
		for _, beginning := range these {
			if bytes.HasPrefix(line, []byte(beginning)) {
				return true
			}
		}
	}
	return false
}
