package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/dop251/goja"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// maxFrames bounds the stack of a failure.
const maxFrames = 10

// maxDetail is what an error's detail holds, in characters, which is more than a
// message shows: secrets are taken out between the two.
const maxDetail = 2000

// failed classifies an error of goja's. The types are compared directly: goja's
// own Unwrap runs code of the program's.
func (e *execution) failed(err error) *errclass.Error {
	switch err := err.(type) {
	case *goja.InterruptedError:
		return e.interrupted(err)
	case *goja.StackOverflowError:
		return e.overflow(err)
	case *goja.Exception:
		return e.uncaught(err.Value(), err.Stack())
	}
	return engineFault(err)
}

// panicked classifies what goja panicked with.
func (e *execution) panicked(x any) (failure *errclass.Error) {
	defer func() {
		if again := recover(); again != nil {
			failure = engineFault(panicError(again))
		}
	}()
	switch x := x.(type) {
	case *goja.InterruptedError:
		return e.interrupted(x)
	case *goja.StackOverflowError:
		return e.overflow(x)
	case *goja.Exception:
		return e.uncaught(x.Value(), x.Stack())
	case goja.Value:
		return e.thrown(x)
	}
	return engineFault(panicError(x))
}

// panicError is what the engine panicked with, for the log. A classified error
// would show among the causes, as an internal error of ours.
func panicError(x any) error {
	if err := errclass.FromPanic(x).Cause; err != nil {
		return err
	}
	return errors.New("panic")
}

func engineFault(cause error) *errclass.Error {
	return errclass.New(errclass.SandboxError, errclass.EngineFault, "the JavaScript engine failed on this program").WithCause(cause)
}

func (e *execution) interrupted(err *goja.InterruptedError) *errclass.Error {
	where := "in the program"
	if at, ok := e.topFrame(err.Stack()); ok {
		where = "at " + at.String()
	}
	failure := e.stopped(where)
	if len(failure.Stack) == 0 {
		failure.Stack = e.frames(err.Stack())
	}
	return failure
}

func (e *execution) overflow(err *goja.StackOverflowError) *errclass.Error {
	detail := fmt.Sprintf("calls are nested more than %d deep", e.job.Limits.CallDepth)
	stack := err.Stack()
	if at, ok := e.topFrame(stack); ok {
		detail += " (" + at.String() + ")"
	}
	failure := errclass.New(errclass.SandboxError, errclass.StackOverflow, detail)
	failure.Stack = e.frames(stack[:min(len(stack), maxFrames)])
	return failure
}

// thrown is the failure of a program that threw a value.
func (e *execution) thrown(value goja.Value) *errclass.Error {
	return e.uncaught(value, nil)
}

func (e *execution) uncaught(value goja.Value, stack []goja.StackFrame) *errclass.Error {
	object, _ := value.(*goja.Object)
	if object != nil {
		if own := e.stackOf(object); len(own) > 0 {
			stack = own
		}
	}
	frames := e.frames(stack)
	if inner := e.host.errors[object]; inner != nil {
		failure := *inner
		failure.Stack = frames
		return &failure
	}
	where := e.topPlace(stack)
	limit := min(e.job.Limits.ErrorBytes, maxDetail-len(where))
	var text string
	if object != nil && isError(object) {
		text = cut(e.describe(object), limit)
		text += where + cut(e.behind(object, nil), limit-len(text))
	} else {
		text = cut("Uncaught "+e.inspectThrown(value), limit) + where
	}
	failure := errclass.New(errclass.SandboxError, errclass.Exception, withoutPointers(text))
	failure.Stack = frames
	return failure
}

// unconvertible is what goja says of an object that gives no primitive: with the
// object as Go prints it, addresses and all.
var unconvertible = regexp.MustCompile(`(?s)Could not convert &\{.*?(\} \(\*goja\.\w+\) to primitive|$)`)

func withoutPointers(text string) string {
	if !strings.Contains(text, "Could not convert &{") {
		return text
	}
	return unconvertible.ReplaceAllString(text, "Cannot convert object to primitive value")
}

// topPlace is the innermost place of a stack, for the end of a message.
func (e *execution) topPlace(stack []goja.StackFrame) string {
	if at, ok := e.topFrame(stack); ok {
		return " (" + at.String() + ")"
	}
	return ""
}

const (
	maxBehind  = 3 // causes of causes that are shown
	maxMembers = 5 // errors of an AggregateError that are shown
)

// behind renders an error's cause and, of an AggregateError, its errors; above
// are the errors that this one stands behind.
func (e *execution) behind(object *goja.Object, above []*goja.Object) string {
	above = append(slices.Clip(above), object)
	var b strings.Builder
	if cause := e.read(object, "cause"); cause != nil && !goja.IsUndefined(cause) {
		b.WriteString("; cause: " + e.member(cause, above))
	}
	if list, ok := e.read(object, "errors").(*goja.Object); ok && list.ExportType() != proxyType && list.ClassName() == "Array" {
		n := 0
		if length := e.read(list, "length"); length != nil {
			n = int(length.ToInteger())
		}
		for i := range min(n, maxMembers) {
			if value := e.read(list, strconv.Itoa(i)); value != nil {
				fmt.Fprintf(&b, "; errors[%d]: %s", i, e.member(value, above))
			}
		}
		if n > maxMembers {
			fmt.Fprintf(&b, "; and %d more", n-maxMembers)
		}
	}
	return b.String()
}

// member renders what stands behind an error.
func (e *execution) member(value goja.Value, above []*goja.Object) string {
	object, ok := value.(*goja.Object)
	if !ok || !isError(object) {
		return e.inspectThrown(value)
	}
	text := e.describe(object) + e.topPlace(e.stackOf(object))
	switch {
	case slices.Contains(above, object):
		return "an error above"
	case len(above) < maxBehind:
		text += e.behind(object, above)
	}
	return text
}

// read reads a property: nil when there is none, or when it throws.
func (e *execution) read(object *goja.Object, name string) (value goja.Value) {
	e.rt.Try(func() { value = object.Get(name) })
	return value
}

var (
	proxyType   = reflect.TypeFor[goja.Proxy]()
	promiseType = reflect.TypeFor[*goja.Promise]()
	bufferType  = reflect.TypeFor[goja.ArrayBuffer]()
	mapType     = reflect.TypeFor[[][2]any]()
	setType     = reflect.TypeFor[[]any]()
)

// isError reports whether an object is an Error; a proxy isn't one, whatever it
// stands for, so no trap runs.
func isError(object *goja.Object) bool {
	return object.ExportType() != proxyType && object.ClassName() == "Error"
}

// stackOf is where an Error was made.
func (e *execution) stackOf(object *goja.Object) []goja.StackFrame {
	if !isError(object) {
		return nil
	}
	exception := e.rt.Try(func() { panic(object) })
	if exception == nil {
		return nil
	}
	return exception.Stack()
}

// describe renders an Error as its toString would, but reads its fields one by
// one, so that a hostile one spoils itself only.
func (e *execution) describe(object *goja.Object) string {
	name := e.property(object, "name")
	message := e.property(object, "message")
	switch {
	case name == "" && message == "":
		return "Error"
	case name == "":
		return message
	case message == "":
		return name
	}
	return name + ": " + message
}

// property reads a property as text: empty when there is none, when it throws,
// and when it is no text.
func (e *execution) property(object *goja.Object, name string) string {
	value := e.read(object, name)
	if value == nil || goja.IsUndefined(value) || goja.IsNull(value) {
		return ""
	}
	if _, ok := value.(*goja.Object); ok {
		return ""
	}
	return e.text(value, e.job.Limits.ErrorBytes)
}

// inspectThrown renders a thrown value that is no Error.
func (e *execution) inspectThrown(value goja.Value) string {
	object, ok := value.(*goja.Object)
	if !ok {
		text := e.text(value, e.job.Limits.ErrorBytes)
		if goja.IsString(value) {
			return `"` + text + `"`
		}
		return text
	}
	if _, ok := goja.AssertFunction(object); ok {
		return "a function"
	}
	json, err := object.MarshalJSON()
	if err != nil {
		return "an object"
	}
	return cut(string(json), e.job.Limits.ErrorBytes)
}

// text renders a primitive, of a string no more than the limit needs.
func (e *execution) text(value goja.Value, limit int) string {
	switch value := value.(type) {
	case nil:
		return "undefined"
	case *goja.Symbol:
		return cut("Symbol("+value.String()+")", limit)
	case *goja.Object:
		return kindOf(value)
	case goja.String:
		if value.Length() > limit {
			// One unit more, as each takes a byte or more: so it is cut.
			return cut(value.Substring(0, limit+1).String(), limit)
		}
	}
	return cut(value.String(), limit)
}

// kindOf names what a value is.
func kindOf(value goja.Value) string {
	switch {
	case value == nil || goja.IsUndefined(value):
		return "undefined"
	case goja.IsNull(value):
		return "null"
	case goja.IsString(value):
		return "a string"
	case goja.IsNumber(value):
		return "a number"
	case goja.IsBigInt(value):
		return "a BigInt"
	}
	if _, ok := value.(*goja.Symbol); ok {
		return "a Symbol"
	}
	if _, ok := goja.AssertFunction(value); ok {
		return "a function"
	}
	if _, ok := value.(*goja.Object); ok {
		return "an object"
	}
	return "a boolean"
}

// topFrame is the innermost place in the author's source.
func (e *execution) topFrame(stack []goja.StackFrame) (position, bool) {
	for i := range stack {
		if at, ok := e.place(&stack[i]); ok {
			return at, true
		}
	}
	return position{}, false
}

// place is a frame's place in the author's source, if it is there.
func (e *execution) place(frame *goja.StackFrame) (position, bool) {
	if frame.SrcName() != e.program.name {
		return position{}, false
	}
	at := frame.Position()
	return e.program.author(at.Line, at.Column)
}

// frames renders the frames of the author's source, innermost first.
func (e *execution) frames(stack []goja.StackFrame) []string {
	var frames []string
	for i := range stack {
		if len(frames) == maxFrames {
			break
		}
		at, ok := e.place(&stack[i])
		if !ok {
			continue
		}
		name := stack[i].FuncName()
		switch name {
		case "<anonymous>":
			frames = append(frames, at.String())
		default:
			if e.program.module && name == "tool_default" {
				if e.program.body {
					frames = append(frames, at.String())
					continue
				}
				name = "default"
			}
			frames = append(frames, errclass.OneLine(name, 100)+" ("+at.String()+")")
		}
	}
	return frames
}

// serialise renders a value of the realm as JSON text. It runs the program's
// toJSON and getters, so it runs under the deadline like the rest.
func (e *execution) serialise(value goja.Value, what string, limit int, reason errclass.Reason) ([]byte, *errclass.Error) {
	unserializable := func(kind string) *errclass.Error {
		return errclass.Newf(errclass.SandboxError, errclass.Unserializable, "%s can't be JSON: it is %s", what, kind)
	}
	if goja.IsUndefined(value) || goja.IsNull(value) {
		return []byte("null"), nil
	}
	if text, ok := value.(goja.String); ok && text.Length() > limit {
		return nil, tooMuch(reason, limit, what)
	}
	object, ok := value.(*goja.Object)
	if !ok {
		if _, symbol := value.(*goja.Symbol); symbol || goja.IsBigInt(value) {
			return nil, unserializable(kindOf(value))
		}
		// An object without a prototype has no toJSON that could change the value.
		object = e.rt.CreateObject(nil)
		e.define(object, "v", value)
		text, err := object.MarshalJSON()
		if err != nil {
			return nil, e.failed(err)
		}
		text = bytes.TrimSuffix(bytes.TrimPrefix(text, []byte(`{"v":`)), []byte("}"))
		return e.within(text, what, limit, reason)
	}
	if _, ok := goja.AssertFunction(object); ok {
		return nil, unserializable(kindOf(value))
	}
	text, err := object.MarshalJSON()
	var exception *goja.Exception
	switch err := err.(type) {
	case nil:
		return e.within(text, what, limit, reason)
	case *goja.Exception:
		exception = err
	default:
		return nil, e.failed(err)
	}
	failure := e.uncaught(exception.Value(), exception.Stack())
	switch {
	case strings.HasPrefix(failure.Detail, "TypeError: Do not know how to serialize a BigInt"):
		return nil, unserializableInside(what, "a BigInt")
	case strings.HasPrefix(failure.Detail, "TypeError: Converting circular structure to JSON"):
		return nil, unserializableInside(what, "a circular reference")
	}
	return nil, failure
}

func unserializableInside(what, kind string) *errclass.Error {
	return errclass.Newf(errclass.SandboxError, errclass.Unserializable, "%s can't be JSON: inside is %s", what, kind)
}

// within checks a JSON text of the realm's: strict readers must take it, too.
func (e *execution) within(text []byte, what string, limit int, reason errclass.Reason) ([]byte, *errclass.Error) {
	if len(text) > limit {
		return nil, tooMuch(reason, limit, what)
	}
	err := strictjson.Valid(text)
	if err == nil {
		return text, nil
	}
	fault := ""
	var syntax *strictjson.SyntaxError
	if errors.As(err, &syntax) {
		fault = syntax.Message
	}
	switch {
	case strings.HasPrefix(fault, "nested more than"):
		return nil, unserializableInside(what, fmt.Sprintf("a value nested more than %d deep", strictjson.MaxDepth))
	case fault == "invalid escape sequence in a string":
		return nil, unserializableInside(what, "a lone surrogate (half of a character)")
	}
	return nil, errclass.Newf(errclass.SandboxError, errclass.Unserializable, "%s can't be JSON: %s", what, fault)
}
