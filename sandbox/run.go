package sandbox

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
)

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
	r := &run{ctx: ctx, job: job, check: check, logs: logBook{left: job.Limits.LogBytes, tell: job.Log}}
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

// log takes a line within this host's own budget.
func (r *run) log(payload []byte) error {
	line, err := parseLog(payload)
	if err != nil {
		return err
	}
	r.logs.add(line.Level, line.Message)
	return nil
}
