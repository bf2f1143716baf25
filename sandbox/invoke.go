package sandbox

import (
	"context"
	"fmt"

	"github.com/dop251/goja"

	"github.com/almyty-inc/toolrun/errclass"
)

// answer is how a tool that the program invoked has ended.
type answer struct {
	call    *invocation
	value   []byte
	failure *errclass.Error
}

// invocation is a tools.invoke in flight.
type invocation struct {
	tool            string
	resolve, reject func(any) error
	// problem is the error that the promise is rejected with, if it is: made when
	// the call is, so that its stack is the caller's.
	problem *goja.Object
}

// toolErrors are the errors of the realm that stand for a tool's failure. An
// error is known by its identity, which no program can forge.
type toolErrors map[*goja.Object]*errclass.Error

// newTools makes the tools argument.
func (e *execution) newTools() goja.Value {
	if e.job.Invoke == nil {
		return goja.Undefined()
	}
	tools := e.rt.NewObject()
	e.method(tools, "invoke", e.invoke)
	return tools
}

func (e *execution) invoke(call goja.FunctionCall) goja.Value {
	promise, resolve, reject := e.rt.NewPromise()
	c := &invocation{
		tool: e.text(call.Argument(0), 200), resolve: resolve, reject: reject,
		problem: e.newError(""),
	}
	if failure := e.startInvoke(c, call); failure != nil {
		e.refuse(c, failure)
	}
	return e.rt.ToValue(promise)
}

func (e *execution) startInvoke(c *invocation, call goja.FunctionCall) *errclass.Error {
	if !goja.IsString(call.Argument(0)) {
		panic(e.rt.NewTypeError("The first argument of tools.invoke must be the name of a tool"))
	}
	e.host.invokes++
	if e.host.invokes > e.job.Limits.Invokes {
		return errclass.Newf(errclass.SandboxError, errclass.InvokeLimit, "more than %d calls of tools.invoke", e.job.Limits.Invokes)
	}
	parameters := []byte("{}")
	if argument := call.Argument(1); !goja.IsUndefined(argument) {
		var failure *errclass.Error
		parameters, failure = e.serialise(argument, "the parameters", e.job.Limits.ParameterBytes, errclass.ParameterLimit)
		if failure != nil {
			return failure
		}
	}
	if e.loop.answers == nil {
		e.loop.answers = make(chan answer)
		e.invoked.Store(true)
	}
	e.loop.pending++
	wait := func() ([]byte, *errclass.Error) { return callHost(e.ctx, &e.job, c.tool, parameters) }
	if e.remote != nil {
		wait = e.remote(e.ctx, c.tool, parameters)
	}
	e.invokes.Go(func() {
		value, failure := wait()
		select {
		case e.loop.answers <- answer{c, value, failure}:
		case <-e.ctx.Done():
		}
	})
	return nil
}

// callHost calls the embedder's function, which may panic.
func callHost(ctx context.Context, job *Job, tool string, parameters []byte) (value []byte, failure *errclass.Error) {
	defer func() {
		if x := recover(); x != nil {
			value, failure = nil, errclass.FromPanic(x)
		}
	}()
	value, err := job.Invoke(ctx, tool, parameters)
	if err != nil {
		return nil, errclass.Classify(err)
	}
	return value, nil
}

// answer settles the promise of an invocation.
func (e *execution) answer(a answer) *errclass.Error {
	e.loop.pending--
	if a.failure == nil && len(a.value) > e.job.Limits.ParameterBytes {
		a.failure = tooMuch(errclass.ParameterLimit, e.job.Limits.ParameterBytes, "the result")
	}
	if a.failure != nil {
		e.refuse(a.call, a.failure)
		return e.fatal
	}
	value, failure := e.parseResult(a.value)
	if failure != nil {
		return failure
	}
	if err := a.call.resolve(value); err != nil {
		return e.failed(err)
	}
	return e.fatal
}

func (e *execution) parseResult(text []byte) (goja.Value, *errclass.Error) {
	if len(text) == 0 {
		return goja.Null(), nil
	}
	return e.parse(text, "tool's results")
}

// refuse rejects the promise of an invocation with an Error of the realm.
func (e *execution) refuse(c *invocation, inner *errclass.Error) {
	failure := *inner
	failure.Detail = fmt.Sprintf("tool %q", errclass.OneLine(cut(c.tool, 64), 64))
	if inner.Detail != "" {
		failure.Detail += ": " + inner.Detail
	}
	failure.Detail = errclass.OneLine(failure.Detail, maxDetail)
	failure.Cause = inner
	if e.host.toolErrors == nil {
		e.host.toolErrors = make(toolErrors)
	}
	e.host.toolErrors[c.problem] = &failure
	hidden := func(name, value string) {
		_ = c.problem.DefineDataProperty(name, e.rt.ToValue(value), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}
	hidden("name", "ToolError")
	hidden("message", inner.Error())
	e.define(c.problem, "class", e.rt.ToValue(string(inner.Class)))
	e.define(c.problem, "reason", e.rt.ToValue(string(inner.Reason)))
	if err := c.reject(c.problem); err != nil {
		e.fatal = e.failed(err)
	}
}
