package sandbox

import (
	"context"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

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
