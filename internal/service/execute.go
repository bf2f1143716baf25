package service

import (
	"bytes"
	"context"
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

// execute runs one tool and answers with its outcome. A client that goes away
// cancels the execution: it ends the request's context.
func (s *Server) execute(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		s.refuse(w, shuttingDown())
		return
	}
	request, details, err := s.readExecution(w, r)
	if err == nil && s.draining.Load() { // the drain may begin while the body is on its way
		err = shuttingDown()
	}
	if err != nil {
		s.refuse(w, err)
		return
	}
	if wantsEvents(r) {
		s.executeStreaming(w, r, request, details)
		return
	}
	result, err := s.runner.Execute(r.Context(), request)
	if err != nil {
		s.refuse(w, err)
		return
	}
	s.answer(w, result, details)
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
		if failure.Reason == errclass.Shutdown {
			s.cut.Add(1)
		}
		w.Header().Set("X-Tool-Error-Class", string(failure.Class))
		w.Header().Set("X-Tool-Error-Reason", string(failure.Reason))
		w.Header().Set("X-Tool-Retryable", strconv.FormatBool(failure.Retryable))
		retryAfter(w, failure.RetryAfter)
	}
}

// readExecution reads what to run from path, query and body, in this order:
// what is wrong with a request is said before its body is waited for.
func (s *Server) readExecution(w http.ResponseWriter, r *http.Request) (request runner.Request, details bool, err error) {
	request.Tool = pathParameter(r, "id")
	if r.Header.Get("Idempotency-Key") != "" { // ignored, it would let a tool run twice
		return request, false, errclass.NewAPIError(errclass.CodeBadRequest, "Idempotency-Key is not supported yet; send the request without it")
	}
	if request.Organization, err = organizationOf(r); err != nil {
		return request, false, err
	}
	if details, err = readQuery(r.URL.RawQuery); err != nil {
		return request, false, err
	}
	body, err := s.readBody(w, r)
	if err != nil {
		return request, false, err
	}
	request.Parameters, err = readParameters(body)
	return request, details, err
}

// readQuery takes details=true and details=false. Anything else is refused: a
// typo must not silently change what is answered.
func readQuery(raw string) (details bool, err error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return false, errclass.NewAPIError(errclass.CodeBadRequest, "Malformed query string")
	}
	for name := range query {
		if name != "details" {
			return false, errclass.NewAPIError(errclass.CodeBadRequest,
				"Unknown query parameter %q: only details is known here", errclass.OneLine(name, 60))
		}
	}
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
	if typed && !isJSON(r.Header["Content-Type"]) {
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

// isJSON reports whether Content-Type stands once and names JSON in UTF-8.
func isJSON(values []string) bool {
	if len(values) != 1 {
		return false
	}
	media, parameters, err := mime.ParseMediaType(values[0])
	if err != nil || media != "application/json" {
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
func readParameters(body []byte) ([]byte, error) {
	if len(body) == 0 {
		return nil, nil
	}
	var document struct {
		Parameters jsontext.Value `json:"parameters"`
	}
	if err := strictjson.Unmarshal(body, &document); err != nil {
		return nil, errclass.NewAPIError(errclass.CodeBadRequest, "Malformed request body: %v", err)
	}
	if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return nil, errclass.NewAPIError(errclass.CodeBadRequest, `Malformed request body: must be an object like {"parameters":{}}`)
	}
	return document.Parameters, nil
}
