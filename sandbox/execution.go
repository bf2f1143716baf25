package sandbox

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dop251/goja"

	"github.com/almyty-inc/toolrun/errclass"
)

// execution is one run of one job. All fields but the ones marked shared belong
// to its engine goroutine.
type execution struct {
	pool    *Pool
	job     Job
	program *program
	rt      *goja.Runtime
	loop    loop
	host    host
	fatal   *errclass.Error // set by a callback that nobody can catch

	key      *sourceKey // of the source, where somebody knows it already
	compiled func()     // called, where set, once the source is compiled
	calls    caller
	// openFolder opens the source's folder for its imports.
	openFolder func(dir string) (folder, error)

	limit time.Duration // from the start to the deadline; zero without one
	where string        // what the program was doing when it was stopped

	// shared
	ctx      context.Context
	cancel   context.CancelCauseFunc
	logs     logBook
	finished chan outcome  // receives one
	gone     chan struct{} // closed when no goroutine is left
	invokes  sync.WaitGroup
	invoked  atomic.Bool // whether the host was called
	state    atomic.Int32
	engine   atomic.Pointer[goja.Runtime]
	stopping atomic.Bool
}

// The states of an execution.
const (
	stateRunning int32 = iota
	stateAbandoned
	stateGone
)

type outcome struct {
	value   []byte
	failure *errclass.Error
}

func newExecution(ctx context.Context, p *Pool, job Job) *execution {
	e := &execution{
		pool: p, job: job, finished: make(chan outcome, 1), gone: make(chan struct{}),
		logs: logBook{left: job.Limits.LogBytes, tell: job.Log},
	}
	e.calls, e.openFolder = direct{&e.job}, openDisk
	if deadline, ok := ctx.Deadline(); ok {
		e.limit = max(time.Until(deadline), 0)
	}
	e.ctx, e.cancel = context.WithCancelCause(ctx)
	return e
}

// supervised is the engine goroutine.
func (e *execution) supervised(step func(*execution) ([]byte, *errclass.Error)) {
	value, failure := e.guarded(step)
	e.finished <- outcome{value, failure}
	e.cancel(nil)
	e.invokes.Wait()
	close(e.gone)
	if !e.state.CompareAndSwap(stateRunning, stateGone) {
		e.pool.abandoned.Add(-1)
	}
	e.pool.leave(e)
}

// abandon counts the execution as left behind until its goroutines end.
func (e *execution) abandon() {
	e.pool.abandoned.Add(1)
	if !e.state.CompareAndSwap(stateRunning, stateAbandoned) {
		e.pool.abandoned.Add(-1)
	}
}

// guarded turns a panic into a failure: one of goja's that says how the program
// ended, or a fault of the engine, whose runtime is dropped with the execution.
func (e *execution) guarded(step func(*execution) ([]byte, *errclass.Error)) (value []byte, failure *errclass.Error) {
	defer func() {
		if x := recover(); x != nil {
			value, failure = nil, e.panicked(x)
		}
	}()
	return step(e)
}

// check is the step of [Pool.Check].
func (e *execution) check() ([]byte, *errclass.Error) {
	return nil, e.load()
}

// load finds or makes the program.
func (e *execution) load() *errclass.Error {
	if e.key == nil {
		key := e.job.Source.key()
		e.key = &key
	}
	if e.program = e.pool.programs.get(*e.key); e.program != nil {
		return nil
	}
	program, failure := compile(e.job.Source, e.openFolder)
	if failure != nil {
		return failure
	}
	e.program = program
	e.pool.programs.put(*e.key, max(len(e.job.Source.Code), len(program.generated)), program)
	if e.compiled != nil {
		e.compiled()
	}
	return nil
}

// run is the step of [Pool.Run].
func (e *execution) run() ([]byte, *errclass.Error) {
	if failure := e.load(); failure != nil {
		return nil, failure
	}
	if e.ctx.Err() != nil {
		return nil, e.stopped("while the source was compiled")
	}
	arguments, failure := e.openRealm()
	if failure != nil {
		return nil, failure
	}
	main, failure := e.call(arguments)
	if failure == nil {
		var value []byte
		value, failure = e.await(main)
		e.reportRejections(main)
		return value, failure
	}
	return nil, failure
}

// await runs the event loop until the program's promise is settled.
func (e *execution) await(main *goja.Promise) ([]byte, *errclass.Error) {
	if failure := e.settle(main); failure != nil {
		return nil, failure
	}
	if main.State() == goja.PromiseStateRejected {
		return nil, e.thrown(main.Result())
	}
	return e.serialise(main.Result(), "the result", e.job.Limits.OutputBytes, errclass.OutputLimit)
}

// call starts the program and returns the promise of its result.
func (e *execution) call(a arguments) (*goja.Promise, *errclass.Error) {
	entry, err := e.rt.RunProgram(e.program.code)
	if err != nil {
		return nil, e.failed(err)
	}
	if !e.program.module {
		return e.callFunction(entry, a.parameters, a.credentials, a.require, a.tools)
	}
	loading, failure := e.callFunction(entry, a.require)
	if failure != nil {
		return nil, failure
	}
	if failure := e.settle(loading); failure != nil {
		return nil, failure
	}
	e.ignoreRejection(loading)
	if loading.State() == goja.PromiseStateRejected {
		return nil, e.thrown(loading.Result())
	}
	if _, ok := goja.AssertFunction(loading.Result()); !ok {
		return nil, errclass.Newf(errclass.SandboxError, errclass.Exception,
			"the default export of %s is not a function but %s", e.program.name, kindOf(loading.Result()))
	}
	if e.program.body {
		return e.callFunction(loading.Result(), a.parameters, a.credentials, a.require, a.tools)
	}
	scope := e.rt.NewObject()
	e.define(scope, "credentials", a.credentials)
	e.define(scope, "tools", a.tools)
	return e.callFunction(loading.Result(), a.parameters, scope)
}

// callFunction calls a function of the realm. What isn't a promise becomes one.
func (e *execution) callFunction(function goja.Value, arguments ...goja.Value) (*goja.Promise, *errclass.Error) {
	callable, _ := goja.AssertFunction(function)
	value, err := callable(goja.Undefined(), arguments...)
	if err != nil {
		return nil, e.failed(err)
	}
	if object, ok := value.(*goja.Object); ok && object.ExportType() == promiseType {
		return object.Export().(*goja.Promise), nil
	}
	promise, resolve, _ := e.rt.NewPromise()
	if err := resolve(value); err != nil {
		return nil, e.failed(err)
	}
	return promise, nil
}

// adopt makes the runtime interruptible from outside.
func (e *execution) adopt(rt *goja.Runtime) {
	e.rt = rt
	e.engine.Store(rt)
	if e.stopping.Load() {
		rt.Interrupt(errStopped)
	}
}

var errStopped = errors.New("stopped")

// interrupt asks the program to stop. It may be called from any goroutine.
func (e *execution) interrupt() {
	e.stopping.Store(true)
	if rt := e.engine.Load(); rt != nil {
		rt.Interrupt(errStopped)
	}
}

// unresponsive says where a program is that didn't stop when asked.
func (e *execution) unresponsive() string {
	if e.engine.Load() == nil {
		return "while the source was compiled"
	}
	return "inside a built-in function that can't be stopped"
}

// stopped is the failure of an execution whose context has ended; where says
// what it was doing.
func (e *execution) stopped(where string) *errclass.Error {
	e.where = where
	return stopFailure(e.ctx, e.limit, where)
}

// stopFailure is the failure of an execution under a context that has ended.
func stopFailure(ctx context.Context, limit time.Duration, where string) *errclass.Error {
	var cause *errclass.Error
	if errors.As(context.Cause(ctx), &cause) {
		answer := *cause
		if answer.Class == errclass.Timeout {
			answer.Detail = errclass.OneLine(answer.Detail+" "+where, maxDetail)
		}
		return &answer
	}
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errclass.New(errclass.Cancelled, errclass.CallerCancelled, "").WithCause(context.Canceled)
	}
	failure := errclass.Newf(errclass.Timeout, errclass.Deadline, "execution exceeded %s %s", duration(limit), where)
	failure.Limit = limit
	return failure.WithCause(context.DeadlineExceeded)
}

// duration renders a limit as its owner set it: time has passed between.
func duration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "its deadline"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
