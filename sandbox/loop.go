package sandbox

import (
	"container/heap"
	"time"

	"github.com/dop251/goja"

	"github.com/almyty-inc/toolrun/errclass"
)

// loop is an execution's event loop: timers, and calls of the host that end.
type loop struct {
	timers    timerHeap
	byID      map[int64]*timer
	lastID    int64
	pending   int             // calls of the host without an answer
	fetching  int             // how many of these are of fetch
	answers   chan answer     // made with the first call of the host
	unhandled []*goja.Promise // rejected without a handler
}

type timer struct {
	id       int64
	due      time.Time
	interval time.Duration // zero for setTimeout
	callback goja.Callable
	args     []goja.Value
	index    int
}

type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	if h[i].due.Equal(h[j].due) {
		return h[i].id < h[j].id
	}
	return h[i].due.Before(h[j].due)
}
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.index = len(*h)
	*h = append(*h, t)
}
func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return t
}

// settle runs the loop until a promise is settled or nothing can settle it.
func (e *execution) settle(promise *goja.Promise) *errclass.Error {
	for promise.State() == goja.PromiseStatePending {
		if failure := e.turn(); failure != nil {
			return failure
		}
	}
	return e.fatal
}

// turn waits for the next event and handles it.
func (e *execution) turn() *errclass.Error {
	if e.fatal != nil {
		return e.fatal
	}
	if e.ctx.Err() != nil {
		return e.stopped(e.waiting())
	}
	select {
	case a := <-e.loop.answers:
		return e.take(a)
	default:
	}
	if len(e.loop.timers) == 0 {
		return e.nextAnswer(nil)
	}
	next := e.loop.timers[0]
	wait := time.Until(next.due)
	if wait <= 0 {
		return e.fire(next)
	}
	alarm := time.NewTimer(wait)
	defer alarm.Stop()
	return e.nextAnswer(alarm.C)
}

// nextAnswer waits for an answer of the host's, the alarm, or the end.
func (e *execution) nextAnswer(alarm <-chan time.Time) *errclass.Error {
	if alarm == nil && e.loop.pending == 0 {
		return errclass.Newf(errclass.SandboxError, errclass.NeverSettles,
			"%s awaits a promise that nothing will settle", e.program.name)
	}
	select {
	case a := <-e.loop.answers:
		return e.take(a)
	case <-alarm:
		return nil
	case <-e.ctx.Done():
		return e.stopped(e.waiting())
	}
}

// waiting says what an idle program waits for.
func (e *execution) waiting() string {
	if e.loop.pending > e.loop.fetching {
		return "while waiting for a tool"
	}
	if e.loop.fetching > 0 {
		return "while waiting for a response to fetch"
	}
	return "while waiting for a timer"
}

// fire calls a timer that is due.
func (e *execution) fire(t *timer) *errclass.Error {
	if t.interval > 0 {
		t.due = time.Now().Add(t.interval)
		heap.Fix(&e.loop.timers, t.index)
	} else {
		heap.Remove(&e.loop.timers, t.index)
		delete(e.loop.byID, t.id)
	}
	if _, err := t.callback(goja.Undefined(), t.args...); err != nil {
		return e.failed(err)
	}
	return e.fatal
}

func (e *execution) setTimeout(call goja.FunctionCall) goja.Value {
	return e.startTimer("setTimeout", call, false)
}

func (e *execution) setInterval(call goja.FunctionCall) goja.Value {
	return e.startTimer("setInterval", call, true)
}

// maxDelay is what other engines keep a delay in; a longer one fires at once.
const maxDelay = 1<<31 - 1

func (e *execution) startTimer(name string, call goja.FunctionCall, repeat bool) goja.Value {
	callback, ok := goja.AssertFunction(call.Argument(0))
	if !ok {
		panic(e.rt.NewTypeError("The first argument of %s must be a function", name))
	}
	ms := call.Argument(1).ToFloat()
	if !(ms >= 1 && ms <= maxDelay) {
		ms = 1
	}
	delay := time.Duration(ms) * time.Millisecond
	e.loop.lastID++
	t := &timer{id: e.loop.lastID, due: time.Now().Add(delay), callback: callback}
	if len(call.Arguments) > 2 {
		t.args = append(t.args, call.Arguments[2:]...)
	}
	if repeat {
		t.interval = delay
	}
	if e.loop.byID == nil {
		e.loop.byID = make(map[int64]*timer)
	}
	e.loop.byID[t.id] = t
	heap.Push(&e.loop.timers, t)
	return e.rt.ToValue(t.id)
}

// clearTimer stands for clearTimeout and clearInterval, which are one.
func (e *execution) clearTimer(call goja.FunctionCall) goja.Value {
	if !goja.IsNumber(call.Argument(0)) {
		return goja.Undefined()
	}
	id := call.Argument(0).ToInteger()
	if t := e.loop.byID[id]; t != nil {
		heap.Remove(&e.loop.timers, t.index)
		delete(e.loop.byID, id)
	}
	return goja.Undefined()
}

// maxUnhandled bounds the rejections that are remembered, and so the lines that
// they write.
const maxUnhandled = 20

func (e *execution) trackRejection(p *goja.Promise, operation goja.PromiseRejectionOperation) {
	if operation == goja.PromiseRejectionReject {
		if len(e.loop.unhandled) < maxUnhandled {
			e.loop.unhandled = append(e.loop.unhandled, p)
		}
		return
	}
	e.ignoreRejection(p)
}

func (e *execution) ignoreRejection(p *goja.Promise) {
	for i, other := range e.loop.unhandled {
		if other == p {
			e.loop.unhandled = append(e.loop.unhandled[:i], e.loop.unhandled[i+1:]...)
			return
		}
	}
}

// reportRejections logs the rejections that nobody handled. The outcome is known
// by now; if rendering an error runs into the deadline, the rest is dropped.
func (e *execution) reportRejections(main *goja.Promise) {
	defer func() { _ = recover() }()
	e.ignoreRejection(main)
	for _, p := range e.loop.unhandled {
		if e.ctx.Err() != nil || e.stopping.Load() {
			return
		}
		e.logs.add("error", "Unhandled rejection: "+e.thrown(p.Result()).Detail)
	}
}
