package queue

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/runner"
)

const (
	remoteSubject = "toolrun.run"
	kindHeader    = "Toolrun-Kind"
	outcomeHeader = "Toolrun-Outcome"
	// aliveEvery is how often a worker shows a front that it lives, and looks whether the
	// front does. After remoteSilence without any word, it is taken for lost.
	aliveEvery    = time.Second
	remoteSilence = 5 * time.Second
)

// The kinds of messages from a worker to a front.
const (
	kindTaken   = "taken" // the data is the worker's id
	kindStarted = "started"
	kindAlive   = "alive" // wants an answer
	kindLog     = "log"
	kindDelta   = "delta"
	kindOutcome = "outcome"
	kindRefused = "refused"
)

// ErrNoWorker says that no worker listens.
var ErrNoWorker = errors.New("queue: no worker is there; start one with toolrun worker")

// remoteRequest is a [runner.Request] on its way to a worker.
type remoteRequest struct {
	ID           string          `json:"id"`
	Organization string          `json:"org,omitempty"`
	Tool         string          `json:"tool"`
	Parameters   json.RawMessage `json:"parameters,omitempty"`
	Credentials  map[string]any  `json:"credentials,omitempty"`
	TimeoutMs    int64           `json:"timeoutMs,omitempty"`
	RateSpent    bool            `json:"rateSpent,omitempty"`
	Details      bool            `json:"details,omitempty"`
	Stream       bool            `json:"stream,omitempty"`
	Log          bool            `json:"log,omitempty"`
	Traceparent  string          `json:"traceparent,omitempty"`
}

type traceparentKey struct{}

// WithTraceparent makes [Engine.ExecuteRemote] hand on a caller's trace.
func WithTraceparent(ctx context.Context, traceparent string) context.Context {
	return context.WithValue(ctx, traceparentKey{}, traceparent)
}

// ExecuteRemote runs a tool at any worker. It returns what came of it, also of a worker
// that died under it, or ErrNoWorker, or the [*errclass.APIError] of a request that was
// turned away. When ctx ends, so does the execution.
func (e *Engine) ExecuteRemote(ctx context.Context, req runner.Request, details bool) (*Outcome, error) {
	if req.ExecutionID == "" {
		req.ExecutionID = newID()
	}
	traceparent, _ := ctx.Value(traceparentKey{}).(string)
	data, err := json.Marshal(remoteRequest{
		ID: req.ExecutionID, Organization: req.Organization, Tool: req.Tool, Parameters: req.Parameters, Credentials: req.Credentials,
		TimeoutMs: milliseconds(req.Timeout), RateSpent: req.RateSpent, Details: details,
		Stream: req.Stream != nil, Log: req.Log != nil, Traceparent: traceparent,
	})
	if err != nil {
		return nil, errclass.NewAPIError(errclass.CodeBadRequest, "The parameters are not valid JSON")
	}
	if limit := e.payloadLimit(); len(data) > limit {
		return nil, errclass.NewAPIError(errclass.CodePayloadTooLarge, "The parameters exceed %d bytes, what a message of the NATS server (max_payload) holds", limit)
	}
	began := time.Now()
	for pause := newsPause; ; pause = min(2*pause, maxNewsPause) {
		c := &remoteCall{engine: e, req: req, inbox: e.conn.NewInbox(), began: began}
		o, err := c.run(ctx, data)
		// A worker may hear late of a tool that is new; one that was deleted it has forgotten.
		api, ok := errors.AsType[*errclass.APIError](err)
		if !ok || api.Code != errclass.CodeNotFound || time.Since(began)+pause > newsPatience || !sleep(ctx, pause) {
			return o, err
		}
	}
}

// newsPause is how long a front waits before it asks the workers again for a tool that is
// new; then twice as long each time, up to maxNewsPause.
const (
	newsPause    = 50 * time.Millisecond
	maxNewsPause = 500 * time.Millisecond
)

// remoteCall is one execution at a worker as its front sees it.
type remoteCall struct {
	engine *Engine
	req    runner.Request
	inbox  string
	worker string // empty until it has said so
	began  time.Time
}

func (c *remoteCall) run(ctx context.Context, data []byte) (*Outcome, error) {
	sub, err := c.engine.subscribe(c.inbox)
	if err != nil {
		return nil, err
	}
	defer sub.close()
	if err := c.engine.conn.PublishMsg(&nats.Msg{Subject: remoteSubject, Reply: c.inbox, Data: data}); err != nil {
		return nil, err
	}
	left, end := false, time.Time{} // whoever waited is gone; how long the worker's last word is waited for
	for {
		listening, patience := ctx, remoteSilence
		if left {
			listening, patience = context.WithoutCancel(ctx), time.Until(end)
		}
		m, err := sub.next(listening, patience) // time that the caller takes doesn't count
		switch {
		case m != nil:
			if o, done, err := c.take(ctx, m, left); done {
				return o, err
			}
		case err != nil:
			left, end = true, time.Now().Add(remoteSilence)
			c.cancel()
		case left:
			return c.failed(errclass.New(errclass.Cancelled, errclass.CallerCancelled, "")), nil
		default:
			return c.failed(errclass.New(errclass.InternalError, errclass.WorkerLost, "the worker that ran it is lost")), nil
		}
	}
}

// cancel tells the worker that nobody waits.
func (c *remoteCall) cancel() {
	if c.worker != "" {
		c.engine.conn.Publish(controlSubject(c.worker), encode(control{Cancel: c.inbox}))
	}
}

func (c *remoteCall) failed(e *errclass.Error) *Outcome {
	o := failed(c.req.ExecutionID, c.req.Tool, e, time.Since(c.began))
	return &o
}

// take does what a worker's message asks for.
func (c *remoteCall) take(ctx context.Context, m *nats.Msg, left bool) (o *Outcome, done bool, err error) {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return nil, true, ErrNoWorker
	}
	switch m.Header.Get(kindHeader) {
	case kindTaken:
		c.worker = string(m.Data)
		if left {
			c.cancel()
		}
	case kindStarted:
		if c.req.Started != nil && !left {
			c.req.Started(ctx, c.req.ExecutionID)
		}
	case kindAlive:
		m.Respond(nil)
	case kindDelta:
		if c.req.Stream != nil && !left {
			c.req.Stream(string(m.Data))
		}
	case kindLog:
		var line errclass.LogLine
		if json.Unmarshal(m.Data, &line) == nil && c.req.Log != nil && !left {
			c.req.Log(line)
		}
	case kindOutcome:
		o, err = readOutcome(m)
		return o, true, err
	case kindRefused:
		return nil, true, readRefusal(m.Data)
	}
	return nil, false, nil
}

// wireOutcome is an outcome's header.
type wireOutcome struct {
	ID           string          `json:"id"`
	Class        errclass.Class  `json:"class,omitempty"`
	Reason       errclass.Reason `json:"reason,omitempty"`
	Retryable    bool            `json:"retryable,omitempty"`
	RetryAfterMs int64           `json:"retryAfterMs,omitempty"`
	Shape        shape           `json:"shape,omitzero"`
}

func outcomeMessage(o *Outcome) *nats.Msg {
	data, s := o.pack()
	head := encode(wireOutcome{o.ExecutionID, o.Class, o.Reason, o.Retryable, o.RetryAfterMs, s})
	return &nats.Msg{Data: data, Header: nats.Header{kindHeader: {kindOutcome}, outcomeHeader: {string(head)}}}
}

func readOutcome(m *nats.Msg) (*Outcome, error) {
	var head wireOutcome
	if err := json.Unmarshal([]byte(m.Header.Get(outcomeHeader)), &head); err != nil {
		return nil, err
	}
	o := &Outcome{ExecutionID: head.ID, Class: head.Class, Reason: head.Reason, Retryable: head.Retryable, RetryAfterMs: head.RetryAfterMs}
	return o, o.unpack(m.Data, head.Shape)
}

// wireRefusal is an [errclass.APIError] on its way.
type wireRefusal struct {
	Code         errclass.Code         `json:"code"`
	Message      string                `json:"message"`
	Status       int                   `json:"status,omitempty"`
	Fields       []errclass.FieldError `json:"fields,omitempty"`
	RetryAfterMs int64                 `json:"retryAfterMs,omitempty"`
	RateLimit    int                   `json:"rateLimit,omitempty"`
}

func readRefusal(data []byte) error {
	var r wireRefusal
	if err := json.Unmarshal(data, &r); err != nil {
		return err
	}
	return &errclass.APIError{
		Code: r.Code, Message: r.Message, Status: r.Status, Fields: r.Fields,
		RetryAfter: time.Duration(r.RetryAfterMs) * time.Millisecond, RateLimit: r.RateLimit,
	}
}

// serve takes a front's execution.
func (w *worker) serve(m *nats.Msg) {
	if m.Reply == "" {
		w.x.faults.Add(1)
		return
	}
	s := &served{worker: w, reply: m.Reply}
	ctx, cancel := context.WithCancelCause(w.life)
	w.mu.Lock()
	w.remotes[m.Reply] = cancel
	w.mu.Unlock()
	s.send(kindTaken, []byte(w.id))
	w.runs.Go(func() {
		defer func() {
			w.mu.Lock()
			delete(w.remotes, m.Reply)
			w.mu.Unlock()
			cancel(nil)
		}()
		s.run(ctx, cancel, m.Data)
	})
}

// served is a front's execution as its worker sees it.
type served struct {
	worker *worker
	reply  string
}

func (s *served) send(kind string, data []byte) {
	m := &nats.Msg{Subject: s.reply, Data: data, Header: nats.Header{kindHeader: {kind}}}
	if err := s.worker.x.engine.conn.PublishMsg(m); err != nil {
		s.worker.x.engine.log.Warn("a front can't be answered", "error", err)
	}
}

func (s *served) run(ctx context.Context, cancel context.CancelCauseFunc, data []byte) {
	var r remoteRequest
	if err := json.Unmarshal(data, &r); err != nil {
		s.worker.x.faults.Add(1)
		s.refuse(errclass.NewAPIError(errclass.CodeInternal, "An unexpected error occurred"))
		return
	}
	began := time.Now()
	done := make(chan struct{})
	var alive sync.WaitGroup
	alive.Go(func() { s.stayAlive(done, cancel) })
	result, err := s.execute(ctx, &r)
	close(done)
	alive.Wait()
	if err != nil {
		s.refuse(err)
		return
	}
	if f := result.Failure; f != nil && f.Class == errclass.Cancelled && context.Cause(ctx) == errDrained {
		result.Failure = errclass.New(errclass.Cancelled, errclass.Shutdown, "the service is shutting down")
	}
	s.answer(&r, result, began)
}

func (s *served) execute(ctx context.Context, r *remoteRequest) (*runner.Result, error) {
	req := runner.Request{
		Tool: r.Tool, Organization: r.Organization, Parameters: r.Parameters, Credentials: r.Credentials,
		Timeout: time.Duration(r.TimeoutMs) * time.Millisecond, ExecutionID: r.ID, RateSpent: r.RateSpent,
		Started: func(context.Context, string) { s.send(kindStarted, nil) },
	}
	if r.Stream {
		req.Stream = func(delta string) { s.send(kindDelta, []byte(delta)) }
	}
	if r.Log {
		req.Log = func(line errclass.LogLine) { s.send(kindLog, encode(line)) }
	}
	if trace := s.worker.opts.Trace; trace != nil {
		ctx = trace(ctx, r.Traceparent)
	}
	return s.worker.opts.Runner.Execute(ctx, req)
}

func (s *served) answer(r *remoteRequest, result *runner.Result, began time.Time) {
	result.ExecutionID = r.ID
	var kind runner.Type
	if def, err := s.worker.opts.Runner.Tool(r.Organization, r.Tool); err == nil {
		kind = def.Type
	}
	o, err := outcomeOf(result, kind, s.worker.x.engine.payloadLimit())
	if err != nil {
		s.worker.x.engine.log.Error("execution failed", "execution", r.ID, "tool", r.Tool, "error", err)
		o = failed(r.ID, r.Tool, errclass.New(errclass.InternalError, errclass.Unclassified, "execution "+r.ID), time.Since(began))
	}
	if !r.Details {
		o.Details = o.Document
	}
	m := outcomeMessage(&o)
	m.Subject = s.reply
	if err := s.worker.x.engine.conn.PublishMsg(m); err != nil {
		s.worker.x.engine.log.Warn("a front can't be answered", "execution", r.ID, "error", err)
	}
	s.worker.x.engine.conn.Flush() // it may be this worker's last word
}

func (s *served) refuse(err error) {
	api, ok := errors.AsType[*errclass.APIError](err)
	if !ok {
		s.worker.x.engine.log.Error("execution failed", "error", err)
		api = errclass.NewAPIError(errclass.CodeInternal, "An unexpected error occurred")
	}
	s.send(kindRefused, encode(wireRefusal{api.Code, api.Message, api.Status, api.Fields, milliseconds(api.RetryAfter), api.RateLimit}))
}

// stayAlive shows that this worker lives, and ends the run where the front doesn't.
func (s *served) stayAlive(done <-chan struct{}, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		m := &nats.Msg{Subject: s.reply, Header: nats.Header{kindHeader: {kindAlive}}}
		ctx, stop := context.WithTimeout(context.Background(), aliveEvery)
		unlink := afterDone(done, stop)
		_, err := s.worker.x.engine.conn.RequestMsgWithContext(ctx, m)
		unlink()
		stop()
		if errors.Is(err, nats.ErrNoResponders) {
			cancel(errCancelled)
		}
	}
}

// afterDone calls stop when done is closed, until unlink is called.
func afterDone(done <-chan struct{}, stop func()) (unlink func()) {
	over := make(chan struct{})
	go func() {
		select {
		case <-done:
			stop()
		case <-over:
		}
	}()
	return sync.OnceFunc(func() { close(over) })
}
