package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
)

// childName is the first argument of a process that is to be a child. It stands
// there and not in the environment, which is empty.
const childName = "toolrun-sandbox"

// childLink is the descriptor of a child's end of the socket.
const childLink = 3

// initialized is set by Init: a program may re-execute itself only if it turns
// the new process into a child.
var initialized atomic.Bool

// Init makes [Process] isolation possible. It must stand first in main, and
// first in TestMain of tests that run JavaScript: a pool re-executes the program,
// and in the new process Init doesn't return but serves as a child. In any other
// process it does nothing else than say that it was called.
func Init() {
	initialized.Store(true)
	if len(os.Args) != 1 || os.Args[0] != childName {
		return
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "sandbox child:", err)
		os.Exit(2)
	}
	os.Exit(0)
}

const (
	// childStack bounds the Go stack of a child, so that endless native recursion
	// ends it soon.
	childStack = 64 << 20
	// childProcs is for the program and for the garbage collector and timers beside it.
	childProcs = 2
	// childGCPercent trades memory for speed: realms are short-lived garbage.
	childGCPercent = 200
	// childCacheBytes bounds the compiled programs of one child.
	childCacheBytes = 8 << 20
	// looksAtMemory is how long a run takes after which it may have grown the child.
	looksAtMemory = 2 * time.Millisecond
	// grownBytes is how much larger than at its start a child may be and stay.
	grownBytes = 24 << 20
)

// testRealm, where a test has set it, may add to a realm that a child has made.
var testRealm func(*execution)

// worker is the child's side: it runs one job after the other.
type worker struct {
	link  *link
	pool  *Pool // inline: what a child does is what an inline pool does
	size  uint64
	limit int // the memory limit that is set, in MiB

	// Of the current job.
	calls struct {
		sync.Mutex
		last    uint64
		pending map[uint64]chan<- callAnswer
	}
}

type callAnswer struct {
	value   []byte
	failure *errclass.Error
}

// serve is the life of a child.
func serve() error {
	debug.SetMaxStack(childStack)
	debug.SetTraceback("none")
	debug.SetGCPercent(childGCPercent)
	runtime.GOMAXPROCS(childProcs)
	if err := closeInherited(); err != nil {
		return err
	}
	socket := os.NewFile(childLink, "host")
	w := &worker{
		link: newLink(socket),
		pool: &Pool{defaults: builtinLimits, programs: cache{limit: childCacheBytes}},
	}
	w.calls.pending = make(map[uint64]chan<- callAnswer)
	w.warmUp()
	g := greeting{baseline: writableMemory(), layers: harden()}
	w.size = mapped()
	if err := w.link.send(frameReady, g.append); err != nil {
		return err
	}
	for {
		kind, payload, err := w.link.receive(maxFrame)
		if errors.Is(err, io.EOF) {
			return nil // the host has no further use for this child
		}
		if err != nil {
			return err
		}
		if kind != frameJob {
			return errProtocol
		}
		if last, err := w.handle(payload); last || err != nil {
			return err
		}
	}
}

// maxFrame is what a child takes from its host, which it trusts.
const maxFrame = 1 << 30

// warmUp runs what the first job would otherwise wait for: the parser, esbuild,
// and the threads of Go's runtime.
func (w *worker) warmUp() {
	for _, code := range []string{"return 1", "const x: number = 1; return x"} {
		e := newExecution(context.Background(), w.pool, Job{Source: Source{Code: code}, Limits: builtinLimits})
		_, _ = e.guarded((*execution).run)
		e.cancel(nil)
	}
	w.pool.programs = cache{limit: childCacheBytes}
	debug.FreeOSMemory()
}

// handle runs a job and reports. After the last one the child ends.
func (w *worker) handle(payload []byte) (last bool, err error) {
	o, err := parseOrder(payload)
	if err != nil {
		return true, err
	}
	src, err := w.source(o.key)
	if err != nil {
		return true, err
	}
	w.limitMemory(o.limits.MemoryMB)
	start := time.Now()
	r := w.run(o, src)
	if time.Since(start) > looksAtMemory && mapped() > w.size+grownBytes {
		r.retire = true
	}
	return r.retire, w.link.send(frameResult, r.append)
}

// source is empty where the program is cached.
func (w *worker) source(key sourceKey) (src Source, err error) {
	if w.pool.programs.get(key) != nil {
		return src, nil
	}
	if err := w.link.send(frameUnknown, nil); err != nil {
		return src, err
	}
	kind, payload, err := w.link.receive(maxFrame)
	if err != nil {
		return src, err
	}
	if kind != frameSource {
		return src, errProtocol
	}
	return parseSource(payload)
}

// limitMemory has the garbage collector work harder before the cap is reached,
// which is the kernel's.
func (w *worker) limitMemory(mib int) {
	if mib == w.limit {
		return
	}
	w.limit = mib
	debug.SetMemoryLimit(int64(w.size) + int64(mib)<<20/8*7)
}

// run is one job.
func (w *worker) run(o order, src Source) *report {
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	if o.remaining > 0 {
		ctx, cancel = context.WithTimeout(ctx, o.remaining)
	}
	defer cancel()
	job := Job{Source: src, Parameters: o.parameters, Credentials: o.credentials, Limits: o.limits}
	if o.invoke { // for its presence: remote makes the calls
		job.Invoke = func(context.Context, string, []byte) ([]byte, error) { return nil, errProtocol }
	}
	e := newExecution(ctx, w.pool, job)
	defer e.cancel(nil)
	e.key, e.remote = &o.key, w.call
	w.calls.last = 0 // none is in flight between jobs
	e.logs.emit = func(line errclass.LogLine) {
		_ = w.link.send(frameLog, func(dst []byte) []byte {
			return appendBytes(appendBytes(dst, line.Level), line.Message)
		})
	}
	if src != (Source{}) {
		e.compiled = func() { _ = w.link.send(frameStarted, nil) }
	}
	unlink := context.AfterFunc(e.ctx, e.interrupt)
	defer unlink()
	step := (*execution).run
	if o.check {
		step = (*execution).check
	}
	value, failure := e.guarded(step)
	r := &report{value: value, retire: e.ctx.Err() != nil || w.pendingCalls()}
	if failure != nil {
		r.fail(e, failure)
	}
	return r
}

// fail fills in a failure.
func (r *report) fail(e *execution, failure *errclass.Error) {
	r.failed, r.value = true, nil
	r.reason, r.detail, r.origin, r.hint, r.stack = failure.Reason, failure.Detail, failure.Origin, failure.Hint, failure.Stack
	if cause := errors.Unwrap(failure); cause != nil && (failure.Reason == errclass.EngineFault || failure.Reason == errclass.Unclassified) {
		r.cause = cut(cause.Error(), causeBytes)
	}
	r.stopped, r.where = e.ctx.Err() != nil && e.where != "", e.where
	r.retire = r.retire || failure.Reason == errclass.EngineFault || failure.Class == errclass.InternalError
	var call *callFailure
	if errors.As(failure, &call) {
		r.call = call.id
	}
}

// causeBytes bounds what the host's log gets of a fault that isn't the program's.
const causeBytes = 500

// callFailure marks an error as the failure of a host call.
type callFailure struct{ id uint64 }

func (c *callFailure) Error() string { return "a call of the host failed" }

// call sends a call of the program's to the host and returns what waits for its
// answer.
func (w *worker) call(ctx context.Context, tool string, parameters []byte) func() ([]byte, *errclass.Error) {
	answered := make(chan callAnswer, 1)
	w.calls.Lock()
	w.calls.last++
	call := hostCall{w.calls.last, tool, parameters}
	w.calls.pending[call.id] = answered
	first := len(w.calls.pending) == 1
	w.calls.Unlock()
	if err := w.link.send(frameCall, call.append); err != nil {
		os.Exit(2) // the host is gone
	}
	if first {
		go w.readAnswers()
	}
	return func() ([]byte, *errclass.Error) {
		select {
		case a := <-answered:
			if a.failure != nil {
				return nil, a.failure.WithCause(&callFailure{call.id})
			}
			return a.value, nil
		case <-ctx.Done():
			return nil, errclass.Classify(ctx.Err())
		}
	}
}

// readAnswers reads while answers are due. A job that ends before they all came
// is the child's last, so that no reader meets the next job.
func (w *worker) readAnswers() {
	for {
		kind, payload, err := w.link.receive(maxFrame)
		if err != nil || kind != frameAnswer {
			os.Exit(2)
		}
		id, value, failure, err := parseAnswer(payload)
		if err != nil {
			os.Exit(2)
		}
		w.calls.Lock()
		answered := w.calls.pending[id]
		delete(w.calls.pending, id)
		last := len(w.calls.pending) == 0
		w.calls.Unlock()
		if answered != nil {
			answered <- callAnswer{value, failure}
		}
		if last {
			return
		}
	}
}

func (w *worker) pendingCalls() bool {
	w.calls.Lock()
	defer w.calls.Unlock()
	return len(w.calls.pending) > 0
}

// mapped is how much memory Go's runtime holds.
func mapped() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64() - sample[1].Value.Uint64()
}
