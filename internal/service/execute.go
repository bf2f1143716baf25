package service

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/strictjson"
	"github.com/almyty-inc/toolrun/runner"
)

// executionRequest is what a client asks to run.
type executionRequest struct {
	runner.Request
	definition *runner.Definition
	details    bool
	later      bool   // mode=async
	key        string // idempotency key
	webhook    string
	body       []byte
}

// execute runs one tool and answers with its outcome, or makes an execution that will
// run. A client that goes away cancels what only it waits for: it ends the request's
// context.
func (s *Server) execute(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		s.refuse(w, shuttingDown())
		return
	}
	e, err := s.readExecution(w, r)
	if err == nil && s.draining.Load() { // the drain may begin while the body is on its way
		err = shuttingDown()
	}
	if err != nil {
		s.reject(w, err)
		return
	}
	switch {
	case e.later:
		s.executeLater(w, r, e)
	case e.key != "":
		s.executeOnce(w, r, e)
	case s.opts.Remote != nil:
		s.executeElsewhere(w, r, e)
	case wantsEvents(r):
		s.executeStreaming(w, r, e)
	default:
		s.executeHere(w, r, e)
	}
}

func (s *Server) executeHere(w http.ResponseWriter, r *http.Request, e *executionRequest) {
	start := time.Now()
	result, err := s.runner.Execute(r.Context(), e.Request)
	if err != nil {
		s.refuse(w, err)
		return
	}
	s.record(e, result, start)
	s.answer(w, result, e.details)
}

// record keeps an execution for GET /executions/{id}.
func (s *Server) record(e *executionRequest, result *runner.Result, start time.Time) {
	if s.opts.Executions != nil && !s.opts.ForgetSynchronous {
		s.opts.Executions.Record(e.Organization, result, e.definition.Type, start)
	}
}

// answer sends the outcome of an execution, cancelled ones included: a client
// that closed only its sending half still reads it.
func (s *Server) answer(w http.ResponseWriter, result *runner.Result, details bool) {
	document, err := result.JSON(details)
	if err != nil {
		s.refuse(w, err)
		return
	}
	s.describe(w, result)
	s.send(w, http.StatusOK, document)
}

// describe says in the header what the outcome is, and counts what a drain cut.
func (s *Server) describe(w http.ResponseWriter, result *runner.Result) {
	w.Header().Set("X-Execution-Id", result.ExecutionID)
	if failure := result.Failure; failure != nil {
		s.countCut(failure.Reason)
		describeFailure(w, failure.Class, failure.Reason, failure.Retryable, failure.RetryAfter)
	}
}

// countCut counts what this drain cut off, and not what another's did: a worker's, or one
// whose outcome is kept.
func (s *Server) countCut(reason errclass.Reason) {
	if reason == errclass.Shutdown && s.draining.Load() {
		s.cut.Add(1)
	}
}

func describeFailure(w http.ResponseWriter, class errclass.Class, reason errclass.Reason, retryable bool, wait time.Duration) {
	h := w.Header()
	h.Set("X-Tool-Error-Class", string(class))
	h.Set("X-Tool-Error-Reason", string(reason))
	h.Set("X-Tool-Retryable", strconv.FormatBool(retryable))
	retryAfter(w, wait)
}

// readExecution reads what to run from path, query, header and body, in this order:
// what is wrong with a request is said before its body is waited for.
func (s *Server) readExecution(w http.ResponseWriter, r *http.Request) (*executionRequest, error) {
	c := callOf(r)
	e := &executionRequest{Request: runner.Request{
		Tool: pathParameter(r, "id"), Organization: c.organization,
		Started: func(context.Context, string) { c.rates.close() },
	}}
	var err error
	if e.details, e.later, err = readQuery(r); err != nil {
		return nil, err
	}
	if e.key, err = idempotencyKey(r); err != nil {
		return nil, err
	}
	if (e.later || e.key != "") && s.opts.Executions == nil {
		return nil, errclass.NewAPIError(errclass.CodeBadRequest, "This service keeps no executions: send the request without mode=async and %s", idempotencyHeader)
	}
	if e.definition, err = s.findTool(r); err != nil {
		return nil, err
	}
	if e.body, err = s.readBody(w, r); err != nil {
		return nil, err
	}
	return e, s.readParameters(e)
}

// readQuery takes details and mode.
func readQuery(r *http.Request) (details, later bool, err error) {
	query, err := knownQuery(r, "details", "mode")
	if err != nil {
		return false, false, err
	}
	if details, err = detailsOf(query); err != nil {
		return false, false, err
	}
	switch mode := query["mode"]; {
	case len(mode) == 0, slices.Equal(mode, []string{"sync"}):
		return details, false, nil
	case slices.Equal(mode, []string{"async"}):
		return details, true, nil
	}
	return false, false, errclass.NewAPIError(errclass.CodeBadRequest, "Query parameter mode must be sync or async, and stand once")
}

// knownQuery is a request's query, which may have some parameters only: a typo must not
// silently change what is answered.
func knownQuery(r *http.Request, known ...string) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, errclass.NewAPIError(errclass.CodeBadRequest, "Malformed query string")
	}
	for name := range query {
		if !slices.Contains(known, name) {
			return nil, errclass.NewAPIError(errclass.CodeBadRequest, "Unknown query parameter %q: known here: %s",
				errclass.OneLine(name, 60), cmp.Or(strings.Join(known, ", "), "none"))
		}
	}
	return query, nil
}

// detailsOf takes details=true and details=false.
func detailsOf(query url.Values) (bool, error) {
	switch values := query["details"]; {
	case len(values) == 0, slices.Equal(values, []string{"false"}):
		return false, nil
	case slices.Equal(values, []string{"true"}):
		return true, nil
	}
	return false, errclass.NewAPIError(errclass.CodeBadRequest, "Query parameter details must be true or false, and stand once")
}

// readBody returns the whole body. An empty one needs no media type.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	typed := len(r.Header["Content-Type"]) > 0
	if typed && !isJSON(r) {
		return nil, errclass.NewAPIError(errclass.CodeUnsupportedMediaType,
			"Unsupported media type: send the body as application/json in UTF-8")
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		w.Header().Set("Accept-Encoding", "identity")
		return nil, errclass.NewAPIError(errclass.CodeUnsupportedMediaType,
			"Unsupported content encoding: send the body without compression")
	}
	if r.ContentLength > s.opts.BodyBytes {
		return nil, s.tooLarge()
	}
	if o, ok := w.(*observed); ok {
		o.unread = nil
	}
	// A drain wouldn't execute what a slow client is still sending: it is told so
	// at once.
	keep := context.AfterFunc(s.arriving, func() {
		http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) // a handler's own server may know none
	})
	body, err := io.ReadAll(http.MaxBytesReader(innermost(w), r.Body, s.opts.BodyBytes))
	keep()
	if err != nil && s.draining.Load() {
		return nil, shuttingDown()
	}
	if err != nil {
		return nil, s.unreadable(err)
	}
	if len(body) > 0 && !typed {
		return nil, errclass.NewAPIError(errclass.CodeUnsupportedMediaType,
			"Missing media type: send Content-Type: application/json")
	}
	return body, nil
}

// innermost is net/http's own writer, which [http.MaxBytesReader] tells to close
// the connection after the answer.
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = wrapper.Unwrap()
	}
}

// isJSON reports whether Content-Type stands once and names JSON in UTF-8, which a
// PATCH may also call a merge patch (RFC 7396, section 4).
func isJSON(r *http.Request) bool {
	values := r.Header["Content-Type"]
	if len(values) != 1 {
		return false
	}
	media, parameters, err := mime.ParseMediaType(values[0])
	patch := r.Method == http.MethodPatch && media == "application/merge-patch+json"
	if err != nil || media != "application/json" && !patch {
		return false
	}
	charset, named := parameters["charset"]
	return !named || strings.EqualFold(charset, "utf-8")
}

func (s *Server) tooLarge() error {
	return errclass.NewAPIError(errclass.CodePayloadTooLarge, "The body exceeds %d bytes", s.opts.BodyBytes)
}

// unreadable says why a body didn't arrive whole.
func (s *Server) unreadable(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return s.tooLarge()
	}
	e := &errclass.APIError{Code: errclass.CodeBadRequest, Cause: err}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.Status = http.StatusRequestTimeout
		e.Message = "The body took longer than " + s.opts.ReadTimeout.String() + " to arrive"
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Message = "The body ended early"
	default:
		e.Message = "The body can't be read: its chunks are malformed or the connection broke"
	}
	return e
}

// readParameters takes the parameters out of the body as they stand, without
// decoding them: the runner does that once.
func (s *Server) readParameters(e *executionRequest) error {
	if len(e.body) == 0 {
		return nil
	}
	var document struct {
		Parameters jsontext.Value `json:"parameters"`
		Webhook    *struct {
			URL string `json:"url"`
		} `json:"webhook"`
	}
	if err := strictjson.Unmarshal(e.body, &document); err != nil {
		return errclass.NewAPIError(errclass.CodeBadRequest, "Malformed request body: %v", err)
	}
	if !isObject(e.body) {
		return errclass.NewAPIError(errclass.CodeBadRequest, `Malformed request body: must be an object like {"parameters":{}}`)
	}
	e.Parameters = json.RawMessage(document.Parameters)
	if document.Webhook == nil {
		return nil
	}
	e.webhook = document.Webhook.URL
	return s.checkWebhook(e)
}

// isObject tells objects from null, which a decoder takes for an empty one.
func isObject(document []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(document, " \t\r\n"), []byte("{"))
}

// checkWebhook refuses a webhook that can't be sent. Whether the egress policy lets it
// out is seen when it is.
func (s *Server) checkWebhook(e *executionRequest) error {
	target, err := url.Parse(e.webhook)
	if err == nil && target.Port() != "" {
		_, err = strconv.ParseUint(target.Port(), 10, 16)
	}
	switch {
	case !e.later:
		return errclass.NewAPIError(errclass.CodeBadRequest, "webhook is for asynchronous executions: add ?mode=async")
	case len(s.opts.WebhookSecret) == 0:
		return errclass.NewAPIError(errclass.CodeBadRequest, "This service sends no webhooks: it was started without --webhook-secret-file")
	case err != nil || target.Scheme != "http" && target.Scheme != "https" || target.Host == "" || target.User != nil:
		return &errclass.APIError{Code: errclass.CodeBadRequest, Message: "Validation failed: webhook/url must be an http or https URL without user and password",
			Fields: []errclass.FieldError{{Field: "/webhook/url", Message: "must be an http or https URL without user and password"}}}
	}
	return nil
}
