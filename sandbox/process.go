package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

const (
	// birthPatience is how long a child may take until it is ready.
	birthPatience = 10 * time.Second
	// deathPatience is how long a child that has closed its socket may take to end,
	// before its exit status is of no interest any more.
	deathPatience = 2 * time.Second
	// lastWordsBytes is how much of a dying child's stderr is looked at.
	lastWordsBytes = 4 << 10
	// knownSources bounds what the host remembers of a child's cache.
	knownSources = 4096
	// frameSlack is what a frame holds beside its bounded part.
	frameSlack = 64 << 10
)

// child is a child process as its host sees it. One execution at a time uses it.
type child struct {
	process  *os.Process
	socket   *os.File
	link     *link
	greeting greeting

	runs   int
	memory int // the cap that is set, in MiB
	known  map[sourceKey]struct{}

	reap   sync.Mutex    // held while the process id must stay the child's
	exited chan struct{} // closed when the two below are final
	words  []byte        // its stderr: Go's runtime alone writes there
	state  *os.ProcessState
	killed atomic.Bool // by us
}

// startChild starts a child; await tells when it is ready.
func startChild() (*child, error) {
	process, socket, stderr, err := spawn()
	if err != nil {
		return nil, err
	}
	c := &child{
		process: process, socket: socket, link: newLink(socket),
		known: make(map[sourceKey]struct{}), exited: make(chan struct{}),
	}
	go c.bury(stderr)
	return c, nil
}

// bury collects a child's last words and exit status.
func (c *child) bury(stderr *os.File) {
	var words bytes.Buffer
	_, _ = io.CopyN(&words, stderr, lastWordsBytes)
	_, _ = io.Copy(io.Discard, stderr)
	stderr.Close()
	_ = c.process.Kill() // one that has closed its stderr and lives
	c.reap.Lock()
	defer c.reap.Unlock()
	c.state, _ = c.process.Wait()
	c.words = words.Bytes()
	close(c.exited)
}

// gone reports whether the child has ended.
func (c *child) gone() bool {
	select {
	case <-c.exited:
		return true
	default:
		return false
	}
}

// capMemory sets the cap for a job. An ended child's id may be another process's.
func (c *child) capMemory(mib int) error {
	if c.memory == mib {
		return nil
	}
	c.reap.Lock()
	defer c.reap.Unlock()
	if c.gone() {
		return io.EOF
	}
	if err := capMemory(c.process.Pid, c.greeting.memory, uint64(mib)<<20); err != nil {
		return fmt.Errorf("sandbox: the memory limit can't be set: %w", err)
	}
	c.memory = mib
	return nil
}

// await waits until the child is ready and checks its walls. Layers that mayLack
// names may be missing.
func (c *child) await(mayLack map[string]bool) error {
	_ = c.socket.SetReadDeadline(time.Now().Add(birthPatience))
	kind, payload, err := c.link.receive(frameSlack)
	if err == nil && kind != frameReady {
		err = errProtocol
	}
	if err == nil {
		c.greeting, err = parseGreeting(payload)
	}
	if err != nil {
		c.kill()
		<-c.exited
		return fmt.Errorf("the child process didn't get ready: %w (%s)", err, c.obituary())
	}
	_ = c.socket.SetReadDeadline(time.Time{})
	if err := c.greeting.check(mayLack); err != nil {
		c.kill()
		<-c.exited
		return err
	}
	return nil
}

// check names a required layer that is missing.
func (g *greeting) check(mayLack map[string]bool) error {
	for _, layer := range g.layers {
		if layer.Required && layer.Missing != "" && !mayLack[layer.Name] {
			return fmt.Errorf("the required layer %q is missing: %s; list it in Options.MayLack to run without it", layer.Name, layer.Missing)
		}
	}
	return nil
}

// obituary says how a child ended, for the log.
func (c *child) obituary() string {
	words := errclass.OneLine(string(c.words), 200)
	if words == "" {
		words = "no last words"
	}
	return fmt.Sprintf("%v, %s", c.state, words)
}

// kill ends the child, whatever it is doing. It may be called more than once.
func (c *child) kill() {
	c.killed.Store(true)
	_ = c.process.Kill()
	_ = c.socket.SetDeadline(time.Unix(0, 1)) // wakes who waits for it
}

// discard ends the child and waits until nothing of it is left.
func (c *child) discard() {
	c.kill()
	<-c.exited
	c.socket.Close()
}

// run is one execution in a child.
type run struct {
	child *child
	ctx   context.Context
	limit time.Duration
	job   *Job
	check bool
	files hostFiles

	logs    logBook
	started bool // the source is compiled
	clean   bool // the child may be used again

	calls   sync.WaitGroup
	open    atomic.Int64 // calls without an answer
	made    int
	cancels map[uint64]context.CancelFunc // of all calls, by id
	mu      sync.Mutex
	failed  map[uint64]hostFailure // of the calls that failed, by id
}

func newRun(ctx context.Context, job *Job, check bool) *run {
	r := &run{ctx: ctx, job: job, check: check, logs: logBook{left: job.Limits.LogBytes}}
	if deadline, ok := ctx.Deadline(); ok {
		r.limit = max(time.Until(deadline), 1)
	}
	return r
}

// execute sends the job and handles what the child sends until it is through.
func (r *run) execute() ([]byte, *errclass.Error) {
	unlink := context.AfterFunc(r.ctx, r.stop)
	value, failure := r.converse()
	if !unlink() || r.open.Load() > 0 { // r.stop has the child in hand, or an answer is due
		r.clean = false
	}
	for _, cancel := range r.cancels {
		cancel()
	}
	r.files.close()
	return value, failure
}

// stop runs when the context has ended: at the deadline the child may still say
// where the program is; a cancelled one is of no interest.
func (r *run) stop() {
	if errors.Is(r.ctx.Err(), context.DeadlineExceeded) {
		_ = r.child.socket.SetReadDeadline(time.Now().Add(grace))
		return
	}
	r.child.kill()
}

func (r *run) converse() ([]byte, *errclass.Error) {
	if err := r.begin(); err != nil {
		return nil, r.lost(err)
	}
	for {
		kind, payload, err := r.child.link.receive(r.frameLimit())
		if err != nil {
			return nil, r.lost(err)
		}
		switch kind {
		case frameLog:
			err = r.log(payload)
		case frameCall:
			err = r.call(payload)
		case frameCancel:
			err = r.cancelCall(payload)
		case frameUnknown:
			err = r.sendSource()
		case frameFile:
			err = r.file(payload)
		case frameStarted:
			r.started = true
		case frameResult:
			var result report
			if result, err = parseReport(payload); err == nil {
				return r.reported(&result)
			}
		default:
			err = errProtocol
		}
		if err != nil {
			return nil, r.lost(err)
		}
	}
}

// frameLimit bounds any frame of this execution.
func (r *run) frameLimit() int {
	l := &r.job.Limits
	return max(l.OutputBytes, l.LogBytes, l.ParameterBytes) + frameSlack
}

// begin caps the child's memory and sends the job.
func (r *run) begin() error {
	c, limits := r.child, r.job.Limits
	if err := c.capMemory(limits.MemoryMB); err != nil {
		return err
	}
	o := order{
		seq: r.seq(), check: r.check, invoke: r.job.Invoke != nil, fetch: r.job.Fetch != nil, axios: r.job.Axios, key: r.job.Source.key(),
		limits: limits, parameters: r.job.Parameters, credentials: r.job.Credentials,
	}
	if r.limit > 0 {
		deadline, _ := r.ctx.Deadline()
		o.remaining = max(time.Until(deadline), 1)
	}
	if _, known := c.known[o.key]; known {
		r.started = true // unless the child says that it has forgotten
	} else if len(c.known) >= knownSources {
		clear(c.known)
	}
	c.known[o.key] = struct{}{}
	return c.link.send(frameJob, o.append)
}

func (r *run) sendSource() error {
	r.started = false
	return r.child.link.send(frameSource, func(dst []byte) []byte { return appendSource(dst, r.job.Source) })
}

// hostFiles is what a child has been given of its source's folder.
type hostFiles struct {
	folder  folder
	asked   int
	granted int // bytes
}

func (h *hostFiles) close() {
	if h.folder != nil {
		h.folder.close()
	}
}

const (
	// maxFileRequests bounds what resolving imports asks: each may try many names.
	maxFileRequests = 50 * maxBundleFiles
	// maxFileBytes bounds what is read for one source: its bundle, which may have to
	// be made for two languages, and what describes packages.
	maxFileBytes = 4 * maxBundleBytes
)

// file answers a question about a file that the source imports.
func (r *run) file(payload []byte) error {
	request, err := parseFileRequest(payload)
	if err != nil {
		return err
	}
	h := &r.files
	h.asked++
	if r.job.Source.Dir == "" || h.asked > maxFileRequests || request.limit > maxBundleBytes || h.granted > maxFileBytes {
		return errProtocol
	}
	if h.folder == nil {
		h.folder, err = openDisk(r.job.Source.Dir)
	}
	var data []byte
	switch {
	case err != nil:
		err = errNoFolder
	case request.name == "": // whether there is one
	case request.limit == 0:
		var name string
		name, err = h.folder.locate(request.name)
		data = []byte(name)
	default:
		data, err = h.folder.read(request.name, request.limit)
		h.granted += len(data)
	}
	return r.child.link.send(frameFileAnswer, func(dst []byte) []byte { return appendFileAnswer(dst, data, err) })
}

// log takes a line within this host's own budget.
func (r *run) log(payload []byte) error {
	line, err := parseLog(payload)
	if err != nil {
		return err
	}
	r.logs.add(line.Level, line.Message)
	return nil
}

// call runs a call of the host beside the program.
func (r *run) call(payload []byte) error {
	call, err := parseCall(payload)
	if err != nil {
		return err
	}
	limits := &r.job.Limits
	r.made++
	if r.made > limits.Invokes+limits.Fetches || r.cancels[call.id] != nil || max(len(call.payload), len(call.body)) > limits.ParameterBytes+frameSlack {
		return errProtocol // the child has checked all that
	}
	answer, err := r.answerer(&call)
	if err != nil {
		return err
	}
	if r.cancels == nil {
		r.cancels = make(map[uint64]context.CancelFunc)
	}
	ctx, cancel := context.WithCancel(r.ctx)
	r.cancels[call.id] = cancel
	r.open.Add(1)
	r.calls.Go(func() {
		value, failure := answer(ctx)
		if r.ctx.Err() != nil { // the child stops by itself, and says where; an answer would be a cause of its own
			r.open.Add(-1)
			return
		}
		if failure != nil {
			r.remember(call.id, hostFailure{failure, call.tool == ""})
		}
		r.open.Add(-1) // before the child can know
		// An error means that the child is gone, which the reader finds out.
		_ = r.child.link.send(frameAnswer, func(dst []byte) []byte {
			return appendAnswer(dst, call.id, value, failure)
		})
	})
	return nil
}

// answerer is what a call asks for.
func (r *run) answerer(call *hostCall) (func(ctx context.Context) ([]byte, *errclass.Error), error) {
	host, limit := direct{r.job}, r.job.Limits.ParameterBytes
	if call.tool != "" {
		if r.job.Invoke == nil || strictjson.Valid(call.payload) != nil {
			return nil, errProtocol
		}
		return func(ctx context.Context) ([]byte, *errclass.Error) {
			value, failure := host.invoke(ctx, call.tool, call.payload)()
			if failure == nil && len(value) > limit {
				failure = tooMuch(errclass.ParameterLimit, limit, "the result")
			}
			return value, failure
		}, nil
	}
	req, err := call.request()
	if err != nil || r.job.Fetch == nil {
		return nil, errProtocol
	}
	return func(ctx context.Context) ([]byte, *errclass.Error) {
		resp, failure := host.fetch(ctx, req)()
		switch {
		case failure != nil:
			return nil, failure
		case resp == nil:
			return nil, errclass.New(errclass.InternalError, errclass.Unclassified, "")
		case len(resp.Body) > limit:
			return nil, tooMuch(errclass.ParameterLimit, limit, "the response's body")
		}
		return appendResponse(nil, resp), nil
	}, nil
}

// cancelCall ends a call that the program doesn't want any more.
func (r *run) cancelCall(payload []byte) error {
	f := fields{rest: payload}
	cancel := r.cancels[f.uint()]
	if err := f.end(); err != nil {
		return err
	}
	if cancel == nil {
		return errProtocol
	}
	cancel()
	return nil
}

// hostFailure is how a call of the host has failed.
type hostFailure struct {
	*errclass.Error
	fetch bool
}

func (r *run) remember(call uint64, failure hostFailure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed == nil {
		r.failed = make(map[uint64]hostFailure)
	}
	r.failed[call] = failure
}

// awaitCalls waits until the callbacks have returned, as they should soon after
// the end of their context; those that don't are counted as left behind.
func (r *run) awaitCalls(p *Pool) {
	if r.made == 0 {
		return
	}
	done := make(chan struct{})
	go func() {
		r.calls.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(grace):
		p.abandoned.Add(1)
		p.mu.Lock()
		left := new(int) // stands for the callbacks among those that run
		p.running[left] = struct{}{}
		p.mu.Unlock()
		go func() {
			<-done
			p.abandoned.Add(-1)
			p.leave(left)
		}()
	}
}

// seq numbers the jobs of a child.
func (r *run) seq() uint64 { return uint64(r.child.runs) + 1 }

// reported turns the child's report into the outcome.
func (r *run) reported(p *report) ([]byte, *errclass.Error) {
	if p.seq != r.seq() { // another job's, or an answer given twice
		return nil, r.lost(errProtocol)
	}
	if !p.failed {
		if err := r.checkValue(p.value); err != nil {
			return nil, r.lost(err)
		}
		r.clean = !p.retire
		return p.value, nil
	}
	if p.stopped {
		return nil, r.stopped(p)
	}
	if call := r.failureOf(p.call); call.Error != nil {
		r.clean = !p.retire
		failure := *call.Error
		failure.Detail, failure.Stack = errclass.OneLine(p.detail, maxDetail), lines(p.stack)
		if !call.fetch { // the invoked tool's failure is the cause of this one
			failure.Cause = call.Error
		}
		return nil, &failure
	}
	cause := errors.New("in the child: " + errclass.OneLine(p.cause, causeBytes))
	if p.reason == errclass.Unclassified { // what the embedder gave isn't JSON
		return nil, errclass.New(errclass.InternalError, p.reason, "").WithCause(cause)
	}
	if !p.plausible() {
		return nil, r.lost(errProtocol)
	}
	r.clean = !p.retire
	failure := errclass.New(p.class, p.reason, p.detail)
	failure.Stack = lines(p.stack)
	if p.class != errclass.SandboxError {
		failure.Retryable, failure.RetryAfter, failure.Limit = p.retryable, p.retryAfter, p.limit
		failure.Upstream = errclass.Upstream{
			Host: errclass.OneLine(p.upstream.Host, 300), Code: errclass.OneLine(p.upstream.Code, 64), Status: p.upstream.Status,
		}
	}
	if p.reason == errclass.EngineFault {
		failure.Cause = cause
	}
	if p.origin == errclass.OriginCaller {
		failure.Origin, failure.Hint = p.origin, errclass.OneLine(p.hint, 200)
	}
	return nil, failure
}

// checkValue holds a child's result to what it should have checked itself.
func (r *run) checkValue(value []byte) error {
	if r.check && len(value) == 0 {
		return nil
	}
	if len(value) > r.job.Limits.OutputBytes || strictjson.Valid(value) != nil {
		return errProtocol
	}
	return nil
}

// stopped is the failure of a program that its child has stopped: at the
// deadline, which the host must see too.
func (r *run) stopped(p *report) *errclass.Error {
	select {
	case <-r.ctx.Done():
	case <-time.After(grace): // two clocks never differ by that
		return r.lost(errProtocol)
	}
	failure := stopFailure(r.ctx, r.limit, errclass.OneLine(p.where, 300))
	failure.Stack = lines(p.stack)
	return failure
}

func (r *run) failureOf(call uint64) hostFailure {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed[call]
}

func lines(stack []string) []string {
	for i, frame := range stack {
		stack[i] = errclass.OneLine(frame, 300)
	}
	return stack
}

// plausible reports whether a child may say so: the deadline, the memory limit and
// what happened to calls of the host are for the host to find.
func (r *report) plausible() bool {
	switch r.class {
	case errclass.SandboxError:
		return sandboxReasons[r.reason]
	case errclass.HTTPError: // a status that axios made an error of
		return r.upstream.Status >= 400 && r.upstream.Status <= 599 && r.reason.Valid()
	case errclass.Timeout: // the time that the program gave a request
		return r.reason == errclass.UpstreamTimeout
	case errclass.RequestBlocked: // a fetch without a network
		return r.reason == errclass.Blocked
	}
	return false
}

// sandboxReasons are those that a child may give for a sandbox error.
var sandboxReasons = map[errclass.Reason]bool{
	errclass.Exception: true, errclass.SyntaxError: true, errclass.StackOverflow: true, errclass.OutputLimit: true,
	errclass.Unserializable: true, errclass.NeverSettles: true, errclass.SourceLimit: true,
	errclass.ParameterLimit: true, errclass.InvokeLimit: true, errclass.EngineFault: true,
}

// lost is the failure of an execution whose child is gone, silent or broken. The
// child's exit status and what Go's runtime has said decide; no text of the
// program's gets there.
func (r *run) lost(err error) *errclass.Error {
	r.clean = false
	c := r.child
	if r.ctx.Err() != nil {
		c.kill() // it is buried beside the path of the caller
		return stopFailure(r.ctx, r.limit, r.unresponsive())
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		c.kill()
	}
	select {
	case <-c.exited:
	case <-r.ctx.Done():
		c.kill()
		return stopFailure(r.ctx, r.limit, r.unresponsive())
	case <-time.After(deathPatience): // it has closed the socket and lives
		c.kill()
		<-c.exited
	}
	return r.verdict(err)
}

func (r *run) unresponsive() string {
	if !r.started {
		return "while the source was compiled"
	}
	return "inside a built-in function that can't be interrupted"
}

// verdict is why a child died by itself.
func (r *run) verdict(err error) *errclass.Error {
	c := r.child
	status, _ := c.state.Sys().(syscall.WaitStatus)
	switch {
	case c.killed.Load() || errors.Is(err, errProtocol):
		return engineFault(fmt.Errorf("the child process was put down: %w", err))
	case sayAny(c.words, "runtime: goroutine stack exceeds", "fatal error: stack overflow"):
		return errclass.New(errclass.SandboxError, errclass.StackOverflow, "calls of built-in functions are nested too deeply")
	case c.state.ExitCode() == exitMemory, sayAny(c.words, memoryWords...), status.Signaled() && (status.Signal() == syscall.SIGSEGV || status.Signal() == syscall.SIGBUS):
		return errclass.Newf(errclass.SandboxError, errclass.MemoryLimit, "the program needs more than %d MiB of memory", r.job.Limits.MemoryMB)
	}
	failure := engineFault(errors.New("the child process died: " + c.obituary()))
	if status.Signaled() && status.Signal() == syscall.SIGKILL { // not by us: an operator, or the kernel for the whole machine's sake
		failure.Detail, failure.Hint = "the sandbox's process was killed from outside", "Try again; if it stays, look for what kills the process, such as a memory limit of the container."
		failure.Origin, failure.Retryable = errclass.OriginPlatform, true
	}
	return failure
}

// memoryWords are what Go's runtime says last when it gets no memory, and what
// the race detector does.
var memoryWords = []string{
	"fatal error: runtime: out of memory", "fatal error: out of memory", "runtime: out of memory",
	"fatal error: runtime: cannot allocate memory", "fatal error: cannot allocate memory", "runtime: cannot allocate memory",
	"runtime: failed to create new OS thread", "runtime/cgo: pthread_create failed",
	"fatal error: failed to reserve page summary memory", "fatal error: runtime: cannot map pages in arena address space",
	"fatal error: too many address space collisions for -race mode", "ERROR: ThreadSanitizer failed to allocate",
	"SIGSEGV: segmentation violation", // in the collector, which doesn't expect a mapping to fail; a nil pointer of Go code panics instead
}

// sayAny reports whether a line of some last words begins with one of these; the
// race detector puts its process id first.
func sayAny(words []byte, these ...string) bool {
	for line := range bytes.Lines(words) {
		if bytes.HasPrefix(line, []byte("==")) {
			_, line, _ = bytes.Cut(line[2:], []byte("=="))
		}
		for _, beginning := range these {
			if bytes.HasPrefix(line, []byte(beginning)) {
				return true
			}
		}
	}
	return false
}
