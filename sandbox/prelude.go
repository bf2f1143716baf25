package sandbox

import (
	"embed"
	"strings"
	"sync"

	"github.com/dop251/goja"
)

// The preludes are the parts of the realm that are written in JavaScript. Each is
// a function that takes the host's functions and returns what it defines. They
// run in the program's realm and after it began, so a program that changed the
// built-ins may break them for itself; what they can't do is give it anything of
// Go's but texts, numbers and buffers.
//
//go:embed prelude/*.js
var preludeFiles embed.FS

// preludeName is what goja knows the preludes by: no place in them is shown.
const preludeName = "toolrun:prelude"

// preludePrograms compiles each prelude once a process.
var preludePrograms sync.Map // of func() *goja.Program, by name

func preludeProgram(name string) *goja.Program {
	compile, ok := preludePrograms.Load(name)
	if !ok {
		compile, _ = preludePrograms.LoadOrStore(name, sync.OnceValue(func() *goja.Program {
			text, err := preludeFiles.ReadFile("prelude/" + name + ".js")
			if err != nil {
				panic(err)
			}
			return goja.MustCompile(preludeName, string(text), true)
		}))
	}
	return compile.(func() *goja.Program)()
}

// prelude is what a prelude defines; it is run when it is first asked for.
func (e *execution) prelude(name string) *goja.Object {
	if object := e.host.preludes[name]; object != nil {
		return object
	}
	value, err := e.rt.RunProgram(preludeProgram(name))
	if err != nil {
		panic(err)
	}
	run, _ := goja.AssertFunction(value)
	value, err = run(goja.Undefined(), e.hostObject())
	if err != nil {
		panic(err)
	}
	if e.host.preludes == nil {
		e.host.preludes = make(map[string]*goja.Object)
	}
	object := value.(*goja.Object)
	e.host.preludes[name] = object
	return object
}

// hostObject gives the preludes the host's functions, each made when it is asked
// for.
func (e *execution) hostObject() goja.Value {
	if e.host.object == nil {
		e.host.object = e.rt.NewDynamicObject(hostObject{e})
		_ = e.host.object.SetPrototype(nil)
	}
	return e.host.object
}

type hostObject struct{ e *execution }

// Get implements [goja.DynamicObject], as the rest does.
func (o hostObject) Get(name string) goja.Value {
	f, ok := hostFunctions[name]
	if !ok {
		return nil
	}
	return o.e.function(name, func(call goja.FunctionCall) goja.Value { return f(o.e, call) })
}

func (o hostObject) Has(name string) bool        { return hostFunctions[name] != nil }
func (o hostObject) Set(string, goja.Value) bool { return false }
func (o hostObject) Delete(string) bool          { return false }
func (o hostObject) Keys() []string              { return nil }

// hostFunctions are what preludes and modules can call. Their arguments come from
// these only, which a program can still confuse: a wrong one gives a wrong
// answer or a TypeError.
var hostFunctions map[string]func(*execution, goja.FunctionCall) goja.Value

func init() { // use leads back here
	hostFunctions = map[string]func(*execution, goja.FunctionCall) goja.Value{
		"use": func(e *execution, call goja.FunctionCall) goja.Value {
			return e.prelude(call.Argument(0).String())
		},
		"loaded": func(e *execution, call goja.FunctionCall) goja.Value {
			if object := e.host.preludes[call.Argument(0).String()]; object != nil {
				return object
			}
			return goja.Null()
		},
		"readOnly":       (*execution).readOnly,
		"constants":      (*execution).constants,
		"fail":           (*execution).failMicrotask,
		"setTimeout":     (*execution).setTimeout,
		"now":            (*execution).now,
		"timeOrigin":     (*execution).timeOrigin,
		"stamp":          (*execution).stamp,
		"classOf":        (*execution).classOf,
		"bytesOf":        (*execution).bytesOf,
		"usv":            (*execution).usv,
		"encode":         (*execution).encodeText,
		"encodeInto":     (*execution).encodeTextInto,
		"encodingName":   (*execution).encodingName,
		"decode":         (*execution).decodeText,
		"toBase64":       (*execution).toBase64,
		"fromBase64":     (*execution).fromBase64,
		"base64URL":      (*execution).base64URL,
		"parseURL":       (*execution).parseURL,
		"setURL":         (*execution).setURL,
		"formDecode":     (*execution).formDecode,
		"formEncode":     (*execution).formEncode,
		"headerName":     (*execution).headerName,
		"headerValue":    (*execution).headerValue,
		"normalMethod":   (*execution).normalMethod,
		"bodyKind":       (*execution).bodyKind,
		"boundary":       (*execution).boundary,
		"parseMultipart": (*execution).parseMultipart,
		"fetch":          (*execution).hostFetch,
		"inherit":        (*execution).inherit,
		"random":         (*execution).random,
		"randomUUID":     (*execution).randomUUID,
		"digest":         (*execution).digest,
		"hmac":           (*execution).hmac,
		"bytesToText":    (*execution).bytesToText,
		"textToBytes":    (*execution).textToBytes,
		"utf8Length":     (*execution).utf8Length,
		"findBytes":      (*execution).findBytes,
		"compareBytes":   (*execution).compareBytes,
		"startHash":      (*execution).startHash,
		"startHmac":      (*execution).startHmac,
		"pbkdf2":         (*execution).pbkdf2,
		"sameBytes":      (*execution).sameBytes,
		"passFailure":    (*execution).passFailure,
		"httpFailure":    (*execution).httpFailure,
		"timeoutFailure": (*execution).timeoutFailure,
	}
}

// classOf names what an object is by the engine's own mark, which no program can
// change: Map, Date, ArrayBuffer, Proxy, …
func (e *execution) classOf(call goja.FunctionCall) goja.Value {
	object, ok := call.Argument(0).(*goja.Object)
	switch {
	case !ok:
		return goja.Null()
	case object.ExportType() == proxyType:
		return e.rt.ToValue("Proxy")
	case object.ExportType() == bufferType:
		return e.rt.ToValue("ArrayBuffer")
	}
	if class := object.ClassName(); class != "Object" {
		return e.rt.ToValue(class)
	}
	// These have no class of their own in goja, but export to types of their own.
	switch object.ExportType() {
	case promiseType:
		return e.rt.ToValue("Promise")
	case mapType:
		return e.rt.ToValue("Map")
	case setType:
		return e.rt.ToValue("Set")
	}
	return e.rt.ToValue("Object")
}

// usv replaces lone surrogates.
func (e *execution) usv(call goja.FunctionCall) goja.Value {
	return e.rt.ToValue(call.Argument(0).String())
}

// readOnly finishes classes as Web IDL has them: members are enumerable, and the
// class names its instances.
func (e *execution) readOnly(call goja.FunctionCall) goja.Value {
	for _, argument := range call.Arguments {
		class, ok := argument.(*goja.Object)
		if !ok {
			continue
		}
		prototype, ok := class.Get("prototype").(*goja.Object)
		if !ok {
			continue
		}
		for _, name := range prototype.GetOwnPropertyNames() {
			if name != "constructor" {
				_ = prototype.DefineDataProperty(name, nil, goja.FLAG_NOT_SET, goja.FLAG_NOT_SET, goja.FLAG_TRUE)
			}
		}
		_ = prototype.DefineDataPropertySymbol(goja.SymToStringTag, class.Get("name"), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}
	return goja.Undefined()
}

// constants gives a class and its prototype numbers: constants(class, "A B C", 1).
func (e *execution) constants(call goja.FunctionCall) goja.Value {
	class, ok := call.Argument(0).(*goja.Object)
	if !ok {
		return goja.Undefined()
	}
	prototype, ok := class.Get("prototype").(*goja.Object)
	if !ok {
		return goja.Undefined()
	}
	first := call.Argument(2).ToInteger()
	for i, name := range strings.Fields(call.Argument(1).String()) {
		for _, object := range []*goja.Object{class, prototype} {
			_ = object.DefineDataProperty(name, e.rt.ToValue(first+int64(i)), goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_TRUE)
		}
	}
	return goja.Undefined()
}
