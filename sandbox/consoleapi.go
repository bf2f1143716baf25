package sandbox

import (
	"fmt"
	"strings"
	"time"

	"github.com/dop251/goja"
)

// console is the state of the realm's console.
type console struct {
	depth  int // of groups
	counts map[string]int
	timers map[string]time.Time
}

// Bounds of what a console keeps. What is beyond them is passed over.
const (
	maxLabels     = 1000
	maxLabelBytes = 200
	maxGroups     = 20
)

// consoleLevels maps the methods of console that only write to the levels of the
// log.
var consoleLevels = [...]struct{ method, level string }{
	{"log", "info"}, {"info", "info"}, {"warn", "warn"}, {"error", "error"}, {"debug", "debug"},
}

// newConsole makes the console (https://console.spec.whatwg.org).
func (e *execution) newConsole() *goja.Object {
	object := e.rt.NewObject()
	for _, c := range consoleLevels {
		e.consoleMethod(object, c.method, func(arguments []goja.Value) {
			e.log(c.level, func() string { return e.message(arguments) })
		})
	}
	shown := func(a []goja.Value) { e.log("info", func() string { return e.inspect(argument(a)) }) }
	for _, m := range [...]struct {
		name string
		f    func([]goja.Value)
	}{
		{"dir", shown}, {"table", shown}, {"trace", e.consoleTrace}, {"assert", e.consoleAssert},
		{"count", e.consoleCount}, {"countReset", e.consoleCountReset},
		{"time", e.consoleTime}, {"timeLog", e.consoleTimeLog}, {"timeEnd", e.consoleTimeEnd},
		{"group", e.consoleGroup}, {"groupCollapsed", e.consoleGroup}, {"groupEnd", e.consoleGroupEnd},
	} {
		e.consoleMethod(object, m.name, m.f)
	}
	return object
}

func (e *execution) consoleMethod(object *goja.Object, name string, f func(arguments []goja.Value)) {
	e.method(object, name, func(call goja.FunctionCall) goja.Value {
		f(call.Arguments)
		return goja.Undefined()
	})
}

func argument(arguments []goja.Value) goja.Value {
	if len(arguments) == 0 {
		return goja.Undefined()
	}
	return arguments[0]
}

// log adds a line within the current group. The text is only made if there is
// room for it.
func (e *execution) log(level string, text func() string) {
	if e.logs.full() {
		return
	}
	message := text()
	if indent := strings.Repeat("  ", e.host.console.depth); indent != "" {
		message = indent + strings.ReplaceAll(message, "\n", "\n"+indent)
	}
	e.logs.add(level, message)
}

func (e *execution) consoleTrace(arguments []goja.Value) {
	e.log("info", func() string {
		text := "Trace"
		if len(arguments) > 0 {
			text += ": " + e.message(arguments)
		}
		if frames := e.frames(e.rt.CaptureCallStack(2*maxFrames, nil)); len(frames) > 0 {
			text += "\n    at " + strings.Join(frames, "\n    at ")
		}
		return text
	})
}

func (e *execution) consoleAssert(arguments []goja.Value) {
	if argument(arguments).ToBoolean() {
		return
	}
	e.log("error", func() string {
		if len(arguments) < 2 {
			return "Assertion failed"
		}
		return "Assertion failed: " + e.message(arguments[1:])
	})
}

// label is the name of a counter or timer.
func (e *execution) label(arguments []goja.Value) string {
	if goja.IsUndefined(argument(arguments)) {
		return "default"
	}
	return e.text(argument(arguments), maxLabelBytes)
}

func (e *execution) consoleCount(arguments []goja.Value) {
	c, label := &e.host.console, e.label(arguments)
	if _, known := c.counts[label]; !known && len(c.counts) == maxLabels {
		return
	}
	if c.counts == nil {
		c.counts = make(map[string]int)
	}
	c.counts[label]++
	e.log("info", func() string { return fmt.Sprintf("%s: %d", label, c.counts[label]) })
}

func (e *execution) consoleCountReset(arguments []goja.Value) {
	c, label := &e.host.console, e.label(arguments)
	if _, known := c.counts[label]; !known {
		e.log("warn", func() string { return fmt.Sprintf("Count for '%s' does not exist", label) })
		return
	}
	c.counts[label] = 0
}

func (e *execution) consoleTime(arguments []goja.Value) {
	c, label := &e.host.console, e.label(arguments)
	if _, known := c.timers[label]; known {
		e.log("warn", func() string { return fmt.Sprintf("Label '%s' already exists for console.time()", label) })
		return
	}
	if len(c.timers) == maxLabels {
		return
	}
	if c.timers == nil {
		c.timers = make(map[string]time.Time)
	}
	c.timers[label] = time.Now()
}

func (e *execution) consoleTimeLog(arguments []goja.Value) { e.logTimer("timeLog", arguments) }

func (e *execution) consoleTimeEnd(arguments []goja.Value) {
	e.logTimer("timeEnd", arguments[:min(len(arguments), 1)])
	delete(e.host.console.timers, e.label(arguments))
}

func (e *execution) logTimer(method string, arguments []goja.Value) {
	label := e.label(arguments)
	start, known := e.host.console.timers[label]
	if !known {
		e.log("warn", func() string { return fmt.Sprintf("No such label '%s' for console.%s()", label, method) })
		return
	}
	e.log("info", func() string {
		text := fmt.Sprintf("%s: %.3fms", label, float64(time.Since(start))/float64(time.Millisecond))
		if len(arguments) > 1 {
			text += " " + e.message(arguments[1:])
		}
		return text
	})
}

func (e *execution) consoleGroup(arguments []goja.Value) {
	if len(arguments) > 0 {
		e.log("info", func() string { return e.message(arguments) })
	}
	e.host.console.depth = min(e.host.console.depth+1, maxGroups)
}

func (e *execution) consoleGroupEnd([]goja.Value) {
	e.host.console.depth = max(e.host.console.depth-1, 0)
}
