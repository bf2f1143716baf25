package sandbox

import (
	"context"
	"encoding/binary"
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
	// grownBytes is how much larger than at its start a child may be and stay.
	grownBytes = 24 << 20
)

// testRealm, where a test has set it, may add to a realm that a child has made.
var testRealm func(*execution)

// worker is the child's side: it runs one job after the other.
type worker struct {
	link  *link
	pool  *Pool  // inline: what a child does is what an inline pool does
	size  uint64 // of its memory when it was ready, in bytes
	limit int    // the memory limit that is set, in MiB
	seq   uint64 // of the current job

	most    atomic.Uint64 // bytes of memory that the job may reach; zero between jobs
	watcher *time.Timer

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
	w.watcher = time.AfterFunc(time.Hour, w.look)
	w.watcher.Stop()
	w.warmUp()
	g := greeting{memory: ownMemory(), layers: harden()}
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
	makeThreads()
	debug.FreeOSMemory()
}

// childThreads is more than a child needs: one that reads, those of childProcs,
// those they leave in system calls, and the runtime's own.
const childThreads = 10

// makeThreads has the runtime start threads, which it keeps. Later the memory
// limit may leave no room for a thread's stack, and that would end the process.
func makeThreads() {
	var ready, done sync.WaitGroup
	release := make(chan struct{})
	for range childThreads {
		ready.Add(1)
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready.Done()
			<-release
		})
	}
	ready.Wait()
	close(release)
	done.Wait()
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
	w.watch(o.limits.MemoryMB)
	w.seq = o.seq
	r := w.run(o, src)
	r.seq = o.seq
	w.unwatch()
	endOver(w.size + uint64(o.limits.MemoryMB)<<20) // in one bite, between two looks
	r.retire = r.retire || mapped() > w.size+grownBytes
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
	debug.SetMemoryLimit(int64(w.size) + int64(mib)<<20/4*3)
}

const (
	// exitMemory is the exit status of a child that went over its memory limit.
	exitMemory = 78
	// watchEvery is how often a running child looks at its memory.
	watchEvery = time.Millisecond
)

// watch looks at the memory of a job that takes its time, and ends the process
// over the limit; the kernel's own limits come into effect in coarser steps.
func (w *worker) watch(mib int) {
	w.most.Store(w.size + uint64(mib)<<20)
	w.watcher.Reset(watchEvery)
}

func (w *worker) look() {
	most := w.most.Load()
	if most == 0 {
		return
	}
	endOver(most)
	w.watcher.Reset(watchEvery)
}

// garbageBytes is how much garbage may lie about when memory is looked at.
const garbageBytes = 24 << 20

// endOver ends the process if it holds more than that. What is a little over may
// be garbage, which is collected before the verdict.
func endOver(most uint64) {
	now := mapped()
	if now > most && now <= most+garbageBytes {
		debug.FreeOSMemory() // collects first
		now = mapped()
	}
	if now > most {
		os.Exit(exitMemory)
	}
}

func (w *worker) unwatch() {
	w.most.Store(0)
	w.watcher.Stop()
}

// run is one job.
func (w *worker) run(o order, src Source) *report {
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	if o.remaining > 0 {
		ctx, cancel = context.WithTimeout(ctx, o.remaining)
	}
	defer cancel()
	job := Job{Source: src, Parameters: o.parameters, Credentials: o.credentials, Limits: o.limits, Axios: o.axios}
	if o.invoke { // for their presence: the worker makes the calls
		job.Invoke = func(context.Context, string, []byte) ([]byte, error) { return nil, errProtocol }
	}
	if o.fetch {
		job.Fetch = func(context.Context, *FetchRequest) (*FetchResponse, error) { return nil, errProtocol }
	}
	e := newExecution(ctx, w.pool, job)
	defer e.cancel(nil)
	e.key, e.calls = &o.key, w
	e.openFolder = func(string) (folder, error) {
		folder := hostFolder{w.link}
		_, err := folder.ask(fileRequest{})
		return folder, err
	}
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
	r.class, r.reason, r.detail, r.stack = failure.Class, failure.Reason, failure.Detail, failure.Stack
	r.origin, r.hint, r.limit, r.upstream = failure.Origin, failure.Hint, failure.Limit, failure.Upstream
	r.retryable, r.retryAfter = failure.Retryable, failure.RetryAfter
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

// invoke, with fetch, is the [caller] of a child.
func (w *worker) invoke(ctx context.Context, tool string, parameters []byte) func() ([]byte, *errclass.Error) {
	return w.call(ctx, hostCall{tool: tool, payload: parameters})
}

func (w *worker) fetch(ctx context.Context, req *FetchRequest) func() (*FetchResponse, *errclass.Error) {
	call, err := fetchCall(req)
	if err != nil {
		return func() (*FetchResponse, *errclass.Error) { return nil, engineFault(err) }
	}
	wait := w.call(ctx, call)
	return func() (*FetchResponse, *errclass.Error) {
		text, failure := wait()
		if failure != nil {
			return nil, failure
		}
		resp, err := parseResponse(text)
		if err != nil {
			return nil, engineFault(err)
		}
		return resp, nil
	}
}

// call sends a call of the program's to the host and returns what waits for its
// answer.
func (w *worker) call(ctx context.Context, call hostCall) func() ([]byte, *errclass.Error) {
	answered := make(chan callAnswer, 1)
	w.calls.Lock()
	w.calls.last++
	call.id = w.calls.last
	w.calls.pending[call.id] = answered
	first := len(w.calls.pending) == 1
	w.calls.Unlock()
	w.mustSend(frameCall, call.append)
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
			w.cancelCall(call.id)
			return nil, errclass.Classify(ctx.Err())
		}
	}
}

// cancelCall tells the host, unless its answer is here. The lock is held so that
// no cancel is sent once pendingCalls has said that there is nothing pending.
func (w *worker) cancelCall(id uint64) {
	w.calls.Lock()
	defer w.calls.Unlock()
	if _, due := w.calls.pending[id]; due {
		w.mustSend(frameCancel, func(dst []byte) []byte { return binary.AppendUvarint(dst, id) })
	}
}

// hostFolder has the host read files: a child can't. It is used while a source is
// compiled, when nothing else is on its way.
type hostFolder struct{ link *link }

func (h hostFolder) locate(name string) (string, error) {
	data, err := h.ask(fileRequest{name: name})
	return string(data), err
}

func (h hostFolder) read(name string, limit int) ([]byte, error) {
	if limit <= 0 {
		return nil, errTooLarge
	}
	return h.ask(fileRequest{name, limit})
}

func (h hostFolder) close() {}

func (h hostFolder) ask(r fileRequest) ([]byte, error) {
	if err := h.link.send(frameFile, r.append); err != nil {
		os.Exit(2)
	}
	kind, payload, err := h.link.receive(maxFrame)
	if err != nil || kind != frameFileAnswer {
		os.Exit(2)
	}
	return parseFileAnswer(payload)
}

// mustSend ends the process where the host is gone.
func (w *worker) mustSend(kind byte, fill func([]byte) []byte) {
	if err := w.link.send(kind, fill); err != nil {
		os.Exit(2)
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
	sample := [...]metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample[:])
	return sample[0].Value.Uint64() - sample[1].Value.Uint64()
}
