package sandbox

import (
	"context"
	"fmt"

	"github.com/dop251/goja"

	"github.com/almyty-inc/toolrun/errclass"
)

// invocation is a tools.invoke in flight.
type invocation struct {
	promise
	tool string
}

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
	if !goja.IsString(call.Argument(0)) {
		panic(e.rt.NewTypeError("The first argument of tools.invoke must be the name of a tool"))
	}
	c := &invocation{e.newPromise(e.newError("")), e.text(call.Argument(0), 200)}
	parameters, failure := e.checkInvoke(call.Argument(1))
	if failure != nil {
		e.refuse(c, failure)
		return c.value
	}
	e.ask(func(ctx context.Context) pending {
		wait := e.calls.invoke(ctx, c.tool, parameters)
		return func() settle {
			value, failure := wait()
			return func() *errclass.Error { return e.answerInvoke(c, value, failure) }
		}
	})
	return c.value
}

// checkInvoke counts a call and renders its parameters.
func (e *execution) checkInvoke(argument goja.Value) ([]byte, *errclass.Error) {
	e.host.invokes++
	if e.host.invokes > e.job.Limits.Invokes {
		return nil, errclass.Newf(errclass.SandboxError, errclass.InvokeLimit, "more than %d calls of tools.invoke", e.job.Limits.Invokes)
	}
	if goja.IsUndefined(argument) {
		return []byte("{}"), nil
	}
	return e.serialise(argument, "the parameters", e.job.Limits.ParameterBytes, errclass.ParameterLimit)
}

// answerInvoke settles the promise of an invocation.
func (e *execution) answerInvoke(c *invocation, text []byte, failure *errclass.Error) *errclass.Error {
	if failure == nil && len(text) > e.job.Limits.ParameterBytes {
		failure = tooMuch(errclass.ParameterLimit, e.job.Limits.ParameterBytes, "the result")
	}
	if failure != nil {
		e.refuse(c, failure)
		return e.fatal
	}
	value, failure := e.parseResult(text)
	if failure != nil {
		return failure
	}
	if err := c.resolve(value); err != nil {
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
	e.standFor(c.problem, &failure)
	e.defineHidden(c.problem, "name", e.rt.ToValue("ToolError"))
	e.defineHidden(c.problem, "message", e.rt.ToValue(inner.Error()))
	e.explain(c.problem, inner)
	if err := c.reject(c.problem); err != nil {
		e.fatal = e.failed(err)
	}
}
