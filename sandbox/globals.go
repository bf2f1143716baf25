package sandbox

import (
	"maps"

	"github.com/dop251/goja"
)

// The Web APIs differ from their standards in this: a body is read whole before
// the program gets the response, and its ReadableStream, which can't be
// constructed, has one chunk; modes, caches and credentials of requests are kept
// and change nothing, as there is no origin; structuredClone transfers nothing;
// crypto.subtle has digest, importKey, sign and verify, for HMAC only; TextDecoder
// knows UTF-8, UTF-16 and windows-1252; console.table writes JSON; an exception in
// an event listener fails the execution.

// globals are the properties of the global object that don't exist before the
// program touches them: most programs use few of them, and to make one takes
// longer than a small program runs. Each says how it is made.
var globals map[string]func(*execution) goja.Value

func init() { // the functions lead back here
	globals = map[string]func(*execution) goja.Value{
		"self":           func(e *execution) goja.Value { return e.rt.GlobalObject() },
		"console":        func(e *execution) goja.Value { return e.newConsole() },
		"setTimeout":     hostGlobal("setTimeout", (*execution).setTimeout),
		"clearTimeout":   hostGlobal("clearTimeout", (*execution).clearTimer),
		"setInterval":    hostGlobal("setInterval", (*execution).setInterval),
		"clearInterval":  hostGlobal("clearInterval", (*execution).clearTimer),
		"queueMicrotask": hostGlobal("queueMicrotask", (*execution).queueMicrotask),
	}
	for prelude, names := range map[string][]string{
		"exception":   {"DOMException"},
		"events":      {"Event", "EventTarget", "AbortController", "AbortSignal"},
		"encoding":    {"TextEncoder", "TextDecoder", "atob", "btoa"},
		"url":         {"URL", "URLSearchParams"},
		"blob":        {"Blob", "File", "FormData"},
		"headers":     {"Headers"},
		"fetch":       {"Request", "Response", "fetch"},
		"clone":       {"structuredClone"},
		"crypto":      {"crypto", "CryptoKey"},
		"performance": {"performance"},
	} {
		for _, name := range names {
			globals[name] = func(e *execution) goja.Value { return e.prelude(prelude).Get(name) }
		}
	}
	maps.Copy(globals, moduleGlobals)
}

func hostGlobal(name string, f func(*execution, goja.FunctionCall) goja.Value) func(*execution) goja.Value {
	return func(e *execution) goja.Value {
		return e.function(name, func(call goja.FunctionCall) goja.Value { return f(e, call) })
	}
}

// untouched stands behind the global object as its prototype and offers what
// wasn't touched yet. It has no properties of its own: the first look at one
// makes it the global object's.
type untouched struct {
	e    *execution
	made map[string]bool
}

// openGlobals puts untouched between the global object and Object.prototype.
func (e *execution) openGlobals() error {
	return e.rt.GlobalObject().SetPrototype(e.rt.NewDynamicObject(&untouched{e: e}))
}

// Get implements [goja.DynamicObject], as the rest does.
func (u *untouched) Get(name string) goja.Value {
	if !u.Has(name) {
		return nil
	}
	value := globals[name](u.e)
	if u.made == nil {
		u.made = make(map[string]bool)
	}
	u.made[name] = true
	u.e.defineHidden(u.e.rt.GlobalObject(), name, value)
	return value
}

func (u *untouched) Has(name string) bool {
	_, known := globals[name]
	return known && !u.made[name] && (name != axiosModule || u.e.job.Axios)
}

func (u *untouched) Set(string, goja.Value) bool { return false }
func (u *untouched) Delete(string) bool          { return true }
func (u *untouched) Keys() []string              { return nil }
