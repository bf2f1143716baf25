package service

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/runner"
)

const (
	idempotencyHeader = "Idempotency-Key"
	maxIdempotencyKey = 255
	// replayedHeader marks the answer to a request that was made before with the same
	// idempotency key.
	replayedHeader = "Idempotent-Replayed"
	// pollAfter is what a client that asks for the state is told to wait.
	pollAfter = time.Second
)

// idempotencyKey is the key of a request; empty for none.
func idempotencyKey(r *http.Request) (string, error) {
	values := r.Header[idempotencyHeader]
	if len(values) == 0 {
		return "", nil
	}
	if key := values[0]; len(values) == 1 && key != "" && len(key) <= maxIdempotencyKey && !strings.ContainsFunc(key, notPrintable) {
		return key, nil
	}
	return "", errclass.NewAPIError(errclass.CodeBadRequest, "The header %s must stand once and be 1 to %d printable ASCII characters", idempotencyHeader, maxIdempotencyKey)
}

func notPrintable(r rune) bool { return r < ' ' || r > '~' }

// fingerprint is what an idempotency key is bound to: the tool and the body as sent.
func fingerprint(def *runner.Definition, body []byte) string {
	sum := sha256.Sum256(append([]byte(toolID(def)+"\x00"), body...))
	return hex.EncodeToString(sum[:])
}

// submit makes an execution that survives this process, or finds the one that the
// idempotency key stands for.
func (s *Server) submit(r *http.Request, e *executionRequest) (queue.Execution, bool, error) {
	submission := queue.Submission{
		Organization: e.Organization, Tool: toolID(e.definition), Type: e.definition.Type, Parameters: e.Parameters,
		IdempotencyKey: e.key, Webhook: e.webhook, Caller: callOf(r).caller.ID,
	}
	if s.opts.Traceparent != nil {
		submission.Traceparent = s.opts.Traceparent(r.Context())
	}
	if e.key != "" {
		submission.Fingerprint = fingerprint(e.definition, e.body)
		switch execution, err := s.opts.Executions.Find(r.Context(), submission); {
		case err == nil:
			return execution, true, nil
		case !errors.Is(err, queue.ErrNotFound):
			return execution, false, submitFault(err)
		}
	}
	if _, err := s.runner.Admit(r.Context(), e.Request); err != nil {
		return queue.Execution{}, false, err
	}
	execution, replayed, err := s.opts.Executions.Submit(r.Context(), submission)
	return execution, replayed, submitFault(err)
}

// submitFault is what the queue refuses as callers read it.
func submitFault(err error) error {
	switch {
	case errors.Is(err, queue.ErrKeyReused):
		return errclass.NewAPIError(errclass.CodeConflict, "The idempotency key was used for another request: use a new one")
	case errors.Is(err, queue.ErrForgotten):
		return errclass.NewAPIError(errclass.CodeConflict, "The outcome of the request with this idempotency key is no longer kept: use a new one")
	case errors.Is(err, queue.ErrQueueFull):
		e := errclass.NewAPIError(errclass.CodeUnavailable, "Too many executions are waiting. Retry after 5 seconds.")
		e.RetryAfter = 5 * time.Second
		return e
	}
	return err
}

// executeLater answers with where the outcome will be.
func (s *Server) executeLater(w http.ResponseWriter, r *http.Request, e *executionRequest) {
	execution, replayed, err := s.submit(r, e)
	if err != nil {
		s.reject(w, err)
		return
	}
	h := w.Header()
	h.Set("Location", executionPath(r, execution.ID))
	h.Set("X-Execution-Id", execution.ID)
	if replayed {
		h.Set(replayedHeader, "true")
	}
	if execution.State != queue.Done {
		retryAfter(w, pollAfter)
	}
	s.succeedExecution(w, http.StatusAccepted, execution, e.details)
}

// executionPath is the address of an execution, as its caller asks for it: within the
// organization that his request's path named, if one.
func executionPath(r *http.Request, id string) string {
	if inPath := pathParameter(r, "organization"); inPath != "" {
		return "/organizations/" + url.PathEscape(inPath) + "/executions/" + id
	}
	return "/executions/" + id
}

// executeOnce is execute for a request with an idempotency key: its execution goes on
// when the client leaves, who may come back for the outcome.
func (s *Server) executeOnce(w http.ResponseWriter, r *http.Request, e *executionRequest) {
	execution, replayed, err := s.submit(r, e)
	if err != nil {
		s.reject(w, err)
		return
	}
	w.Header().Set("X-Execution-Id", execution.ID)
	if replayed {
		w.Header().Set(replayedHeader, "true")
	}
	if wantsEvents(r) {
		s.follow(w, r, execution.ID, followOutcome(e.details))
		return
	}
	done, err := s.await(r, execution)
	if err != nil {
		s.refuse(w, err)
		return
	}
	s.answerOutcome(w, done.Outcome, e.details)
}

// await waits until an execution is done, this service begins to stop, or nobody waits
// any more.
func (s *Server) await(r *http.Request, execution queue.Execution) (queue.Execution, error) {
	if execution.State == queue.Done && execution.Outcome != nil {
		return execution, nil
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.stopped, cancel)()
	done, err := s.opts.Executions.Wait(ctx, execution.Organization, execution.ID)
	if err != nil && s.stopped.Err() != nil && r.Context().Err() == nil {
		e := errclass.NewAPIError(errclass.CodeUnavailable, "The service is shutting down. The execution goes on: send the request again with the same %s.", idempotencyHeader)
		e.RetryAfter = pollAfter
		return done, e
	}
	return done, err
}

// answerOutcome sends an outcome that is kept as text.
func (s *Server) answerOutcome(w http.ResponseWriter, o *queue.Outcome, details bool) {
	h := w.Header()
	h.Set("X-Execution-Id", o.ExecutionID)
	if o.Class != "" {
		s.countCut(o.Reason)
		describeFailure(w, o.Class, o.Reason, o.Retryable, time.Duration(o.RetryAfterMs)*time.Millisecond)
	}
	document := o.Document
	if details {
		document = o.Details
	}
	s.send(w, http.StatusOK, document)
}

// executeElsewhere runs a tool on a worker, for a front that has none of its own.
func (s *Server) executeElsewhere(w http.ResponseWriter, r *http.Request, e *executionRequest) {
	if _, err := s.runner.Admit(r.Context(), e.Request); err != nil {
		s.reject(w, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	request := e.Request
	request.RateSpent = true
	var out *events
	if wantsEvents(r) {
		out = s.newEvents(w, cancel)
		closeRates := request.Started
		request.Stream = out.delta
		request.Started = func(ctx context.Context, id string) {
			closeRates(ctx, id)
			out.start(ctx, id)
		}
	}
	start := time.Now()
	outcome, err := s.opts.Remote.ExecuteRemote(s.traced(ctx), request, true)
	if out != nil {
		out.stop()
	}
	if errors.Is(err, queue.ErrNoWorker) {
		err = errclass.NewAPIError(errclass.CodeBadGateway, "No worker answered: start one with toolrun worker, then try again")
	}
	if err == nil && s.opts.Executions != nil && !s.opts.ForgetSynchronous {
		s.opts.Executions.RecordOutcome(e.Organization, toolID(e.definition), e.definition.Type, *outcome, start)
	}
	switch {
	case err != nil && out != nil && out.begun:
		_, document := s.refusal(err)
		out.write(event("error", document))
	case err != nil:
		s.refuse(w, err)
	case out != nil:
		document := outcome.Document
		if e.details {
			document = outcome.Details
		}
		out.write(event("outcome", document))
	default:
		s.answerOutcome(w, outcome, e.details)
	}
}

// traced hands the trace of a context on.
func (s *Server) traced(ctx context.Context) context.Context {
	if s.opts.Traceparent == nil {
		return ctx
	}
	return queue.WithTraceparent(ctx, s.opts.Traceparent(ctx))
}

func (s *Server) succeedExecution(w http.ResponseWriter, status int, execution queue.Execution, details bool) {
	document, err := execution.JSON(details)
	if err != nil {
		s.refuse(w, err)
		return
	}
	s.succeedWith(w, status, json.RawMessage(document))
}

// findExecution is the execution that the path names, as the caller may see it.
func (s *Server) findExecution(r *http.Request) (queue.Execution, error) {
	c := callOf(r)
	execution, err := s.opts.Executions.Get(r.Context(), c.organization, pathParameter(r, "id"))
	if err == nil && !s.mayUseTool(c, execution.Tool) {
		err = queue.ErrNotFound
	}
	return execution, executionFault(err)
}

// mayUseTool is [mayUse] for a tool that may be gone.
func (s *Server) mayUseTool(c *call, id string) bool {
	if c.caller.MayUse(id) {
		return true
	}
	def, err := s.runner.Tool(c.organization, id)
	return err == nil && mayUse(c, def)
}

func executionFault(err error) error {
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return errclass.NewAPIError(errclass.CodeNotFound, "Execution not found")
	case errors.Is(err, queue.ErrEnded):
		return errclass.NewAPIError(errclass.CodeConflict, "The execution has ended already")
	}
	return err
}

// askedFor is the execution that the path names, and whether the caller wants details.
func (s *Server) askedFor(r *http.Request) (execution queue.Execution, details bool, err error) {
	query, err := knownQuery(r, "details")
	if err != nil {
		return execution, false, err
	}
	if details, err = detailsOf(query); err != nil {
		return execution, false, err
	}
	execution, err = s.findExecution(r)
	return execution, details, err
}

func (s *Server) showExecution(w http.ResponseWriter, r *http.Request) {
	execution, details, err := s.askedFor(r)
	if err != nil {
		s.refuse(w, err)
		return
	}
	if execution.State != queue.Done {
		retryAfter(w, pollAfter)
	}
	s.succeedExecution(w, http.StatusOK, execution, details)
}

func (s *Server) cancelExecution(w http.ResponseWriter, r *http.Request) {
	execution, err := s.findExecution(r)
	if err == nil {
		execution, err = s.opts.Executions.Cancel(r.Context(), execution.Organization, execution.ID)
	}
	if err = executionFault(err); err != nil {
		s.refuse(w, err)
		return
	}
	status := http.StatusOK
	if execution.State != queue.Done { // its worker ends it in a moment
		status = http.StatusAccepted
	}
	s.succeedExecution(w, status, execution, false)
}

func (s *Server) listExecutions(w http.ResponseWriter, r *http.Request) {
	c := callOf(r)
	p, err := readPage(r, "limit", "cursor", "tool", "class", "state", "since", "until")
	if err != nil {
		s.refuse(w, err)
		return
	}
	filter := queue.Filter{
		Tool: p.query.Get("tool"), Class: errclass.Class(p.query.Get("class")), State: queue.State(p.query.Get("state")),
		Cursor: p.cursor, Limit: p.limit,
	}
	if len(c.caller.Tools) > 0 && (filter.Tool == "" || !s.mayUseTool(c, filter.Tool)) {
		s.refuse(w, errclass.NewAPIError(errclass.CodeForbidden, "The credential is for some tools only: name one of them with ?tool="))
		return
	}
	for name, bound := range map[string]*time.Time{"since": &filter.Since, "until": &filter.Until} {
		text := p.query.Get(name)
		if text == "" {
			continue
		}
		if *bound, err = time.Parse(time.RFC3339, text); err != nil {
			s.refuse(w, errclass.NewAPIError(errclass.CodeBadRequest, "Query parameter %s must be a time like 2026-01-31T12:00:00Z (RFC 3339)", name))
			return
		}
	}
	if err := checkFilter(filter); err != nil {
		s.refuse(w, err)
		return
	}
	if _, err := strconv.ParseUint(cmp.Or(p.cursor, "0"), 36, 64); err != nil {
		s.refuse(w, strangeCursor())
		return
	}
	list, next, err := s.opts.Executions.List(r.Context(), c.organization, filter)
	if err != nil {
		s.refuse(w, err)
		return
	}
	if list == nil {
		list = []queue.Execution{} // [], not null
	}
	s.succeedPage(w, r, list, next)
}

// checkFilter refuses words that no execution has: a typo must not look like an empty list.
func checkFilter(f queue.Filter) error {
	switch f.State {
	case "", queue.Queued, queue.Running, queue.Done:
	default:
		return errclass.NewAPIError(errclass.CodeBadRequest, "Query parameter state must be queued, running or done")
	}
	if f.Class == "" || f.Class == queue.Success {
		return nil
	}
	var known []string
	for _, class := range errclass.Classes() {
		if class == f.Class {
			return nil
		}
		known = append(known, string(class))
	}
	return errclass.NewAPIError(errclass.CodeBadRequest, "Query parameter class must be %s or one of %s", queue.Success, strings.Join(known, ", "))
}

// followExecution sends what happens to an execution as server-sent events: state, log,
// delta and, last, outcome.
func (s *Server) followExecution(w http.ResponseWriter, r *http.Request) {
	execution, details, err := s.askedFor(r)
	if err != nil {
		s.refuse(w, err)
		return
	}
	s.follow(w, r, execution.ID, followAll(details))
}

// follow sends events of an execution until its outcome. render makes an event's text;
// empty for one that isn't told.
func (s *Server) follow(w http.ResponseWriter, r *http.Request, id string, render func(queue.Event) ([]byte, error)) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.stopped, cancel)()
	out := s.newEvents(w, cancel)
	out.start(ctx, id)
	err := s.opts.Executions.Follow(ctx, callOf(r).organization, id, func(e queue.Event) error {
		text, err := render(e)
		if err != nil || text == nil {
			return err
		}
		return out.tell(text)
	})
	out.stop()
	if err == nil || r.Context().Err() != nil {
		return
	}
	if s.stopped.Err() != nil {
		err = shuttingDown()
	}
	if !out.begun {
		s.refuse(w, executionFault(err))
		return
	}
	_, document := s.refusal(executionFault(err))
	out.write(event("error", document))
}

// followAll tells everything.
func followAll(details bool) func(queue.Event) ([]byte, error) {
	outcome := followOutcome(details)
	return func(e queue.Event) ([]byte, error) {
		switch e.Kind {
		case queue.StateEvent:
			document, err := e.Execution.JSON(details)
			return event("state", document), err
		case queue.LogEvent:
			document, err := encode(e.Log)
			return event("log", document), err
		}
		return outcome(e)
	}
}

// followOutcome tells what an execution without an idempotency key would have told.
func followOutcome(details bool) func(queue.Event) ([]byte, error) {
	return func(e queue.Event) ([]byte, error) {
		switch e.Kind {
		case queue.DeltaEvent:
			return deltaEvent(e.Delta), nil
		case queue.OutcomeEvent:
			if details {
				return event("outcome", e.Execution.Outcome.Details), nil
			}
			return event("outcome", e.Execution.Outcome.Document), nil
		}
		return nil, nil
	}
}

// showWebhookSecret shows what an organization checks the signatures of its webhooks with.
func (s *Server) showWebhookSecret(w http.ResponseWriter, r *http.Request) {
	s.succeed(w, map[string]string{"secret": queue.WebhookSecret(s.opts.WebhookSecret, callOf(r).organization)})
}
