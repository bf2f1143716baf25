package sandbox

import (
	"context"

	"github.com/dop251/goja"

	"github.com/almyty-inc/toolrun/errclass"
)

// promise is one of the realm's that the host will settle. It is made when the
// program calls the host, so that the stack of its problem is the caller's.
type promise struct {
	value           goja.Value
	resolve, reject func(any) error
	problem         *goja.Object // the error that it is rejected with, if it is
}

func (e *execution) newPromise(problem *goja.Object) promise {
	p, resolve, reject := e.rt.NewPromise()
	return promise{e.rt.ToValue(p), resolve, reject, problem}
}

// answer is the end of a call of the host: what the event loop does with it.
type answer struct {
	settle func() *errclass.Error
	cancel context.CancelFunc
}

// ask calls the host in a goroutine of its own; what the call returns is run by
// the event loop. The call's context ends with the execution or by cancel.
func (e *execution) ask(call func(ctx context.Context) (settle func() *errclass.Error)) (cancel context.CancelFunc) {
	if e.loop.answers == nil {
		e.loop.answers = make(chan answer)
		e.invoked.Store(true)
	}
	ctx, cancel := context.WithCancel(e.ctx)
	e.loop.pending++
	e.invokes.Go(func() {
		select {
		case e.loop.answers <- answer{call(ctx), cancel}:
		case <-e.ctx.Done():
			cancel()
		}
	})
	return cancel
}

// take handles an answer.
func (e *execution) take(a answer) *errclass.Error {
	a.cancel()
	e.loop.pending--
	return a.settle()
}

// called calls the host, which may panic.
func called[T any](call func() (T, error)) (value T, failure *errclass.Error) {
	defer func() {
		if x := recover(); x != nil {
			failure = errclass.FromPanic(x)
		}
	}()
	value, err := call()
	if err != nil {
		failure = errclass.Classify(err)
	}
	return value, failure
}

// hostErrors are the errors of the realm that stand for a failure outside of it:
// a tool's, or the network's. An error is known by its identity, which no program
// can forge.
type hostErrors map[*goja.Object]*errclass.Error

// standFor makes a failure the execution's own, should the program throw problem.
func (e *execution) standFor(problem *goja.Object, failure *errclass.Error) {
	if e.host.errors == nil {
		e.host.errors = make(hostErrors)
	}
	e.host.errors[problem] = failure
}

// explain gives an error of the realm the class and the reason of a failure.
func (e *execution) explain(problem *goja.Object, failure *errclass.Error) {
	e.define(problem, "class", e.rt.ToValue(string(failure.Class)))
	e.define(problem, "reason", e.rt.ToValue(string(failure.Reason)))
}

// inherit makes an error that a prelude wraps around another one stand for the
// same failure: inherit(wrapper, wrapped).
func (e *execution) inherit(call goja.FunctionCall) goja.Value {
	wrapper, _ := call.Argument(0).(*goja.Object)
	wrapped, _ := call.Argument(1).(*goja.Object)
	if failure := e.host.errors[wrapped]; failure != nil && wrapper != nil {
		e.standFor(wrapper, failure)
	}
	return call.Argument(0)
}
