package sandbox

import (
	"embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/dop251/goja"

	"github.com/almyty-inc/toolrun/errclass"
)

// moduleSources are the modules in JavaScript, our own work. Those whose names
// begin with _ are parts that only the others can require.
//
//go:embed modules/*.js
var moduleSources embed.FS

// builtins are the modules of node's that a tool can require, by these names or
// with the prefix "node:".
var builtins = []string{
	"assert", "buffer", "crypto", "events", "path", "querystring", "string_decoder", "timers/promises", "url", "util",
}

// axiosModule is there for jobs with [Job.Axios] only.
const axiosModule = "axios"

// availableModules ends the message of a refusal.
var availableModules = "available modules: " + strings.Join(builtins, ", ")

func notAvailable(module string) string {
	return fmt.Sprintf("module %q is not available in the sandbox; %s", errclass.OneLine(cut(module, 80), 80), availableModules)
}

// moduleNamed reports whether a source may name this module. Axios may be
// imported anywhere: whether it is there is the job's matter, not the source's.
func moduleNamed(specifier string) bool {
	name, prefixed := strings.CutPrefix(specifier, "node:")
	return slices.Contains(builtins, name) || name == axiosModule && !prefixed
}

// modulePrefix begins the names of programs of ours in stack frames. No tool's
// source has such a name, so its frames are never shown as the author's.
const modulePrefix = "toolrun:"

// modulePrograms are compiled when an execution first needs one, and kept for
// all.
var modulePrograms = func() map[string]func() *goja.Program {
	programs := map[string]func() *goja.Program{}
	entries, err := moduleSources.ReadDir("modules")
	if err != nil {
		panic(err)
	}
	for _, entry := range entries {
		file := entry.Name()
		programs[strings.ReplaceAll(strings.TrimSuffix(file, ".js"), ".", "/")] = sync.OnceValue(func() *goja.Program {
			text, err := moduleSources.ReadFile("modules/" + file)
			if err != nil {
				panic(err)
			}
			return goja.MustCompile(modulePrefix+file, "(function (exports, module, require, host) {"+string(text)+"\n})", true)
		})
	}
	return programs
}()

// modules are what a realm has required.
type modules struct {
	loaded map[string]*goja.Object // the module objects, by name
	host   goja.Value              // the host functions for modules
	inner  goja.Value              // the require of modules
}

// require is the program's.
func (e *execution) require(call goja.FunctionCall) goja.Value {
	specifier := e.text(call.Argument(0), 200)
	if !goja.IsString(call.Argument(0)) {
		panic(e.rt.NewTypeError("The argument of require must be the name of a module, not %s", kindOf(call.Argument(0))))
	}
	name := strings.TrimPrefix(specifier, "node:")
	switch {
	case slices.Contains(builtins, name):
		return e.loadModule(name)
	case specifier == axiosModule && e.job.Axios:
		return e.loadModule(name)
	case e.job.Axios:
		panic(e.newError(notAvailable(specifier) + ", " + axiosModule))
	case specifier == axiosModule:
		panic(e.newError(notAvailable(specifier) + "; axios is there for tools of type http with code"))
	}
	panic(e.newError(notAvailable(specifier)))
}

// loadModule runs a module once per realm and returns its exports.
func (e *execution) loadModule(name string) goja.Value {
	m := &e.host.modules
	if module := m.loaded[name]; module != nil {
		return module.Get("exports")
	}
	if m.loaded == nil {
		m.loaded = map[string]*goja.Object{}
		m.host = e.moduleHost()
		m.inner = e.function("require", func(call goja.FunctionCall) goja.Value {
			return e.loadModule(call.Argument(0).String())
		})
	}
	exports, module := e.rt.NewObject(), e.rt.NewObject()
	e.define(module, "exports", exports)
	m.loaded[name] = module
	wrapper, err := e.rt.RunProgram(modulePrograms[name]())
	if err != nil {
		panic(err)
	}
	run, _ := goja.AssertFunction(wrapper)
	if _, err := run(goja.Undefined(), exports, module, m.inner, m.host); err != nil {
		delete(m.loaded, name) // it may have run out of stack: a second try may not
		panic(err)
	}
	return module.Get("exports")
}

// lazyGlobal defines a global that a module exports; the module runs when the
// program first touches it.
func (e *execution) lazyGlobal(name string, load func() goja.Value) {
	global := e.rt.GlobalObject()
	get := func(goja.FunctionCall) goja.Value {
		value := load()
		e.defineHidden(global, name, value)
		return value
	}
	set := func(call goja.FunctionCall) goja.Value {
		e.defineHidden(global, name, call.Argument(0))
		return goja.Undefined()
	}
	_ = global.DefineAccessorProperty(name, e.function("get "+name, get), e.function("set "+name, set), goja.FLAG_TRUE, goja.FLAG_FALSE)
}

// openModules defines the globals that are modules' work.
func (e *execution) openModules() {
	e.lazyGlobal("Buffer", func() goja.Value { return e.loadModule("buffer").(*goja.Object).Get("Buffer") })
	if e.job.Axios {
		e.lazyGlobal(axiosModule, func() goja.Value { return e.loadModule(axiosModule) })
	}
}

// moduleHost is what modules get of the host: functions that take and give
// texts, numbers and ArrayBuffers.
func (e *execution) moduleHost() goja.Value {
	host := e.rt.CreateObject(nil)
	for name, function := range map[string]func(goja.FunctionCall) goja.Value{
		"classOf": e.hostClassOf, "encode": e.hostEncode, "decode": e.hostDecode,
		"byteLength": e.hostByteLength, "indexOf": e.hostIndexOf, "compare": e.hostCompare,
		"hash": e.hostHash, "hmac": e.hostHmac, "pbkdf2": e.hostPBKDF2,
		"random": e.hostRandom, "sameBytes": e.hostSameBytes,
	} {
		e.method(host, name, function)
	}
	return host
}

// hostClassOf names what an object really is, whatever it pretends: "Date",
// "Promise", "Proxy", … or "" for what is no object.
func (e *execution) hostClassOf(call goja.FunctionCall) goja.Value {
	object, ok := call.Argument(0).(*goja.Object)
	switch {
	case !ok:
		return e.rt.ToValue("")
	case object.ExportType() == proxyType:
		return e.rt.ToValue("Proxy")
	case object.ExportType() == bufferType:
		return e.rt.ToValue("ArrayBuffer")
	}
	return e.rt.ToValue(object.ClassName())
}
