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

// moduleGlobals are the globals that are a module's work.
var moduleGlobals = map[string]func(*execution) goja.Value{
	"Buffer":    func(e *execution) goja.Value { return e.loadModule("buffer").(*goja.Object).Get("Buffer") },
	axiosModule: func(e *execution) goja.Value { return e.loadModule(axiosModule) },
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
	if _, err := run(goja.Undefined(), exports, module, m.inner, e.hostObject()); err != nil {
		delete(m.loaded, name) // it may have run out of stack: a second try may not
		panic(err)
	}
	return module.Get("exports")
}
