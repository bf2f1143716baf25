package sandbox

import (
	"embed"
	"slices"
	"strings"
	"sync"

	"github.com/dop251/goja"

	"github.com/almyty-inc/toolrun/errclass"
)

// additionFiles hold the built-ins that the engine lacks, in JavaScript. A realm
// gets those that its program mentions, so that the others cost nothing.
//
//go:embed additions/*.js
var additionFiles embed.FS

// addition is a group of built-ins. It is needed where any word occurs in the
// program, or both a word of when and one of with.
type addition struct {
	name       string
	any        []string
	when, with []string
	script     func() *goja.Program
}

// The order is that of installing: dispose needs symbols.
var additions = []*addition{
	{name: "symbols", script: additionScript("symbols"), any: []string{"asyncIterator", "dispose", "asyncDispose", "fromAsync", "DisposableStack", "AsyncDisposableStack"}},
	{name: "dispose", script: additionScript("dispose"), any: []string{"DisposableStack", "AsyncDisposableStack", "SuppressedError"}},
	{name: "grouping", script: additionScript("grouping"), any: []string{"groupBy", "fromAsync"}},
	{name: "promise", script: additionScript("promise"), any: []string{"withResolvers", ".try"}},
	{
		name: "iterator", script: additionScript("iterator"), any: []string{"Iterator"},
		when: []string{"keys()", "values()", "entries()", "matchAll", "yield", "iterator"},
		with: []string{"map", "filter", "take", "drop", "flatMap", "reduce", "toArray", "forEach", "some", "every", "find"},
	},
	{name: "text", script: additionScript("text"), any: []string{"isWellFormed", "toWellFormed", ".escape"}},
	{name: "weak", script: additionScript("weak"), any: []string{"WeakRef", "FinalizationRegistry"}},
	{name: "buffers", script: additionScript("buffers"), any: []string{"transfer", "transferToFixedLength", "detached", "f16round", "getFloat16", "setFloat16"}},
	{name: "errors", script: additionScript("errors"), any: []string{"captureStackTrace", "isError"}},
	{name: "numbers", script: additionScript("numbers"), any: []string{"toLocaleString"}},
	{name: "regexp", script: additionScript("regexp"), any: []string{"RegExp"}},
}

var defineScript = additionScript("define")

func additionScript(name string) func() *goja.Program {
	return sync.OnceValue(func() *goja.Program {
		text, err := additionFiles.ReadFile("additions/" + name + ".js")
		if err != nil {
			panic(err)
		}
		return goja.MustCompile(preludeName, string(text), false)
	})
}

// neededAdditions finds what a program may use. Words count wherever they stand,
// in strings too, so that a computed access with a constant is found; with
// code that is put together at run time anything may come.
func neededAdditions(generated string) []*addition {
	found := wordsOf(generated)
	anyOf := func(words []string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return found[w] })
	}
	if anyOf(runtimeCode) {
		return additions
	}
	var needed []*addition
	for _, a := range additions {
		if anyOf(a.any) || anyOf(a.when) && anyOf(a.with) {
			needed = append(needed, a)
		}
	}
	return needed
}

// runtimeCode are the ways to run a text that are worth paying for.
var runtimeCode = []string{"eval", "Function(", ".constructor("}

// interesting are the words that decide, without their marks.
var interesting = sync.OnceValue(func() map[string]bool {
	words := make(map[string]bool)
	add := func(list []string) {
		for _, w := range list {
			words[strings.Trim(w, ".()")] = true
		}
	}
	add(runtimeCode)
	for _, a := range additions {
		add(a.any)
		add(a.when)
		add(a.with)
	}
	return words
})

// wordsOf returns the interesting words of a text: as they are, with a dot
// before them where they are a property or a string, which a keyword isn't, and
// with a bracket or two behind them where they are called.
func wordsOf(text string) map[string]bool {
	known, found := interesting(), make(map[string]bool)
	for i := 0; i < len(text); {
		if !wordByte(text[i]) {
			i++
			continue
		}
		start := i
		for i < len(text) && wordByte(text[i]) {
			i++
		}
		word := text[start:i]
		if !known[word] {
			continue
		}
		forms := []string{word}
		if start > 0 && strings.IndexByte(".\"'`", text[start-1]) >= 0 {
			forms = append(forms, "."+word)
		}
		after := strings.TrimLeft(text[i:min(len(text), i+32)], " \t\r\n?.")
		rest, called := strings.CutPrefix(after, "(")
		bare := called && strings.HasPrefix(strings.TrimLeft(rest, " \t\r\n"), ")")
		for _, form := range forms {
			found[form] = true
			found[form+"("] = found[form+"("] || called
			found[form+"()"] = found[form+"()"] || bare
		}
	}
	return found
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// addBuiltins installs what the program needs in a fresh realm.
func (e *execution) addBuiltins() *errclass.Error {
	if len(e.program.additions) == 0 {
		return nil
	}
	define, err := e.rt.RunProgram(defineScript())
	if err != nil {
		return e.failed(err)
	}
	for _, a := range e.program.additions {
		script, err := e.rt.RunProgram(a.script())
		if err != nil {
			return e.failed(err)
		}
		install, _ := goja.AssertFunction(script)
		if _, err := install(goja.Undefined(), append([]goja.Value{define}, e.additionHelpers(a.name)...)...); err != nil {
			return e.failed(err)
		}
	}
	return nil
}

// additionHelpers are what an addition needs of the host.
func (e *execution) additionHelpers(name string) []goja.Value {
	switch name {
	case "buffers":
		return []goja.Value{e.function("detach", e.detach), e.function("isDetached", e.isDetached)}
	case "errors":
		return []goja.Value{e.function("isError", func(call goja.FunctionCall) goja.Value {
			object, ok := call.Argument(0).(*goja.Object)
			return e.rt.ToValue(ok && isError(object))
		})}
	case "regexp":
		return []goja.Value{e.function("translate", e.translateRegExp)}
	}
	return nil
}

func (e *execution) arrayBuffer(value goja.Value) goja.ArrayBuffer {
	if object, ok := value.(*goja.Object); ok && object.ExportType() != proxyType {
		if buffer, ok := object.Export().(goja.ArrayBuffer); ok {
			return buffer
		}
	}
	panic(e.rt.NewTypeError("the receiver is not an ArrayBuffer"))
}

func (e *execution) detach(call goja.FunctionCall) goja.Value {
	buffer := e.arrayBuffer(call.Argument(0))
	buffer.Detach()
	return goja.Undefined()
}

func (e *execution) isDetached(call goja.FunctionCall) goja.Value {
	buffer := e.arrayBuffer(call.Argument(0))
	return e.rt.ToValue(buffer.Detached())
}

// translateRegExp serves the constructor: of a pattern and whether flag v is set
// it makes a pattern for flag u.
func (e *execution) translateRegExp(call goja.FunctionCall) goja.Value {
	pattern, err := translatePattern(call.Argument(0).String(), call.Argument(1).ToBoolean())
	if err == nil {
		return e.rt.ToValue(pattern)
	}
	constructor, _ := e.rt.GlobalObject().Get("SyntaxError").(*goja.Object)
	failure, thrown := e.rt.New(constructor, e.rt.ToValue(badRegExp+err.Error()))
	if thrown != nil {
		panic(e.rt.NewTypeError("%s", badRegExp+err.Error()))
	}
	panic(failure)
}
