package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dop251/goja"
	"github.com/dop251/goja/parser"

	"github.com/almyty-inc/toolrun/errclass"
)

// host holds what the host takes from a fresh realm before the program can
// change it.
type host struct {
	parse    goja.Callable // JSON.parse
	invokes  int           // calls of tools.invoke so far
	fetches  int           // and of fetch
	errors   hostErrors
	opened   time.Time
	console  console
	object   *goja.Object            // what the preludes are given
	preludes map[string]*goja.Object // the ones that ran, by name
	modules  modules
}

// arguments are what the program's function is called with.
type arguments struct {
	parameters, credentials, require, tools goja.Value
}

// openRealm makes the realm and what the program gets.
func (e *execution) openRealm() (a arguments, failure *errclass.Error) {
	e.host.opened = time.Now()
	rt := goja.New()
	rt.SetMaxCallStackSize(e.job.Limits.CallDepth)
	// Otherwise a sourceMappingURL in an eval would have goja read the host's files.
	rt.SetParserOptions(parser.WithDisableSourceMaps)
	rt.SetPromiseRejectionTracker(e.trackRejection)
	e.adopt(rt)
	global := rt.GlobalObject()
	if err := global.Delete("GoError"); err != nil { // a goja invention that wraps errors of Go
		return a, engineFault(err)
	}
	json, ok := global.Get("JSON").(*goja.Object)
	if !ok {
		return a, engineFault(errors.New("no JSON"))
	}
	e.host.parse, _ = goja.AssertFunction(json.Get("parse"))

	if err := e.openGlobals(); err != nil {
		return a, engineFault(err)
	}
	if failure = e.addBuiltins(); failure != nil {
		return a, failure
	}

	if a.parameters, failure = e.parse(e.job.Parameters, "parameters"); failure != nil {
		return a, failure
	}
	if a.credentials, failure = e.parse(e.job.Credentials, "credentials"); failure != nil {
		return a, failure
	}
	a.require = e.function("require", e.require)
	a.tools = e.newTools()
	if _, inChild := e.calls.(*worker); inChild && testRealm != nil {
		testRealm(e)
	}
	return a, nil
}

// function makes a host function of the realm. Without the name it would show
// the symbol of the Go function.
func (e *execution) function(name string, f func(goja.FunctionCall) goja.Value) goja.Value {
	object := e.rt.ToValue(f).(*goja.Object)
	_ = object.DefineDataProperty("name", e.rt.ToValue(name), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	return object
}

// method defines a host function the way built-ins are defined.
func (e *execution) method(object *goja.Object, name string, f func(goja.FunctionCall) goja.Value) {
	e.define(object, name, e.function(name, f))
}

// define adds a property without running a setter of the program's.
func (e *execution) define(object *goja.Object, name string, value goja.Value) {
	_ = object.DefineDataProperty(name, value, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE)
}

// defineHidden defines a property that isn't enumerated.
func (e *execution) defineHidden(object *goja.Object, name string, value goja.Value) {
	_ = object.DefineDataProperty(name, value, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
}

// parse brings a JSON text of the host's into the realm.
func (e *execution) parse(text []byte, what string) (goja.Value, *errclass.Error) {
	if len(text) == 0 {
		return e.rt.NewObject(), nil
	}
	value, err := e.host.parse(goja.Undefined(), e.rt.ToValue(string(text)))
	switch err.(type) {
	case nil:
		return value, nil
	case *goja.Exception:
		if !json.Valid(text) {
			return nil, errclass.New(errclass.InternalError, errclass.Unclassified, "").
				WithCause(fmt.Errorf("sandbox: the %s are not valid JSON", what))
		}
		// What goja refuses all the same: 1e400, which other engines read as Infinity.
		failure := errclass.Newf(errclass.SandboxError, errclass.ParameterLimit,
			"JavaScript can't read the %s: they must be JSON whose numbers lie within ±1.79e308", what)
		failure.Origin = errclass.OriginCaller
		failure.Hint = "Send numbers in the range of a double, or send them as text."
		return nil, failure
	}
	return nil, e.failed(err)
}

// newError makes a plain Error of the realm; goja itself offers TypeError only.
func (e *execution) newError(message string) *goja.Object {
	object := e.rt.NewTypeError("%s", message)
	if proto := object.Prototype(); proto != nil && proto.Prototype() != nil {
		_ = object.SetPrototype(proto.Prototype())
	}
	return object
}

// microtaskPrelude waits as await does, which no program can redefine.
var microtaskPrelude = sync.OnceValue(func() *goja.Program {
	return goja.MustCompile(preludeName, `(async function (callback, fail) {
		await undefined;
		try { callback() } catch (error) { fail(error) }
	})`, true)
})

func (e *execution) queueMicrotask(call goja.FunctionCall) goja.Value {
	if _, ok := goja.AssertFunction(call.Argument(0)); !ok {
		panic(e.rt.NewTypeError("The first argument of queueMicrotask must be a function"))
	}
	function, err := e.rt.RunProgram(microtaskPrelude())
	if err != nil {
		panic(err)
	}
	start, _ := goja.AssertFunction(function)
	if _, err := start(goja.Undefined(), call.Argument(0), e.function("", e.failMicrotask)); err != nil {
		panic(err)
	}
	return goja.Undefined()
}

func (e *execution) failMicrotask(call goja.FunctionCall) goja.Value {
	if e.fatal == nil {
		e.fatal = e.thrown(call.Argument(0))
	}
	return goja.Undefined()
}

// now is the time since the realm was opened, in milliseconds.
func (e *execution) now(goja.FunctionCall) goja.Value {
	return e.rt.ToValue(float64(time.Since(e.host.opened)) / float64(time.Millisecond))
}

func (e *execution) timeOrigin(goja.FunctionCall) goja.Value {
	return e.rt.ToValue(float64(e.host.opened.UnixMicro()) / 1000)
}

// stamp is Date.now.
func (e *execution) stamp(goja.FunctionCall) goja.Value {
	return e.rt.ToValue(time.Now().UnixMilli())
}
