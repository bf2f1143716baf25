package service

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/queue"
)

const jsonType = "application/json; charset=utf-8"

// send writes one JSON document. All that the handlers answer goes through it.
func (s *Server) send(w http.ResponseWriter, status int, document []byte) {
	h := w.Header()
	h.Set("Content-Type", jsonType)
	h.Set("Content-Length", strconv.Itoa(len(document)))
	s.setCommon(h)
	w.WriteHeader(status)
	w.Write(document) // an error means that the client is gone, and there is nobody to tell
}

// setCommon sets what every answer says.
func (s *Server) setCommon(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if s.draining.Load() {
		h.Set("Connection", "close")
	}
}

// succeed answers {"success":true,"data":…}.
func (s *Server) succeed(w http.ResponseWriter, data any) { s.succeedWith(w, http.StatusOK, data) }

func (s *Server) succeedWith(w http.ResponseWriter, status int, data any) {
	document, err := encode(struct {
		Success bool `json:"success"`
		Data    any  `json:"data"`
	}{true, data})
	if err != nil {
		s.refuse(w, err)
		return
	}
	s.send(w, status, document)
}

// refuse answers a request that never became an execution. Whatever is not an
// API error is a fault of ours.
func (s *Server) refuse(w http.ResponseWriter, err error) {
	e, document := s.refusal(err)
	if o, ok := w.(*observed); ok && o.unread != nil {
		takeBody(w, o.unread)
	}
	if e.StatusCode() == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="toolrun"`) // RFC 9110, section 11.6.1
	}
	retryAfter(w, e.RetryAfter)
	rateLimit(w, e)
	s.send(w, e.StatusCode(), document)
}

// refusal is the API error that err becomes, and its document.
func (s *Server) refusal(err error) (*errclass.APIError, []byte) {
	e, ok := errors.AsType[*errclass.APIError](err)
	switch {
	case ok:
	case queue.Unavailable(err):
		s.log.Warn("the store can't be reached", slog.String("error", err.Error()))
		e = errclass.NewAPIError(errclass.CodeUnavailable, "The service can't reach its store. Try again.")
		e.RetryAfter = time.Second
	default:
		s.log.Error("request failed", slog.String("error", err.Error()))
		e = unexpected()
	}
	document, err := e.MarshalJSON()
	if err != nil {
		s.log.Error("API error can't be written", slog.String("error", err.Error()))
		e = unexpected()
		document, _ = e.MarshalJSON() // plain text and numbers only
	}
	return e, document
}

// bodyPatience is how long a refusal waits for the rest of the request.
const bodyPatience = 50 * time.Millisecond

// takeBody reads the body of a request that is refused, so that its connection
// serves the next, but doesn't wait for one that is only announced, as net/http
// would: there the connection ends after the answer. net/http still reads on
// for a moment then, so that no reset takes the answer away.
func takeBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 {
		return
	}
	control := http.NewResponseController(w)
	// To read from a client that asks first would ask it to send.
	if r.Header.Get("Expect") == "" && control.SetReadDeadline(time.Now().Add(bodyPatience)) == nil {
		if _, err := io.CopyN(io.Discard, r.Body, lingerBytes); err == io.EOF {
			control.SetReadDeadline(time.Time{}) // net/http sets the next request's
			return
		}
	}
	w.Header().Set("Connection", "close")
	control.SetReadDeadline(time.Now().Add(lingerTime)) // a handler's own server may know none
}

func unexpected() *errclass.APIError {
	return errclass.NewAPIError(errclass.CodeInternal, "An unexpected error occurred")
}

// retryAfter says how long to wait, where that is known.
func retryAfter(w http.ResponseWriter, wait time.Duration) {
	if wait > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(errclass.RetrySeconds(wait), 10))
	}
}

// rateLimit says which limit was exceeded. Reset is in seconds from now, like
// Retry-After: taken for a point in time it does no harm, while a point in time
// taken for seconds would make a client wait for decades.
func rateLimit(w http.ResponseWriter, e *errclass.APIError) {
	if e.Code != errclass.CodeRateLimited || e.RateLimit <= 0 {
		return
	}
	h := w.Header()
	h.Set("X-RateLimit-Limit", strconv.Itoa(e.RateLimit))
	h.Set("X-RateLimit-Remaining", "0")
	h.Set("X-RateLimit-Reset", strconv.FormatInt(errclass.RetrySeconds(e.RetryAfter), 10))
}

// maxLoggedPath bounds the path in a log line, in characters.
const maxLoggedPath = 200

// observe writes a log line a request and turns a panic into the documented
// 500.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := &observed{ResponseWriter: w, unread: r}
		start := time.Now()
		defer func() {
			fault := recover()
			if fault != nil && fault != http.ErrAbortHandler {
				s.log.ErrorContext(r.Context(), "handler panicked",
					slog.String("panic", fmt.Sprint(fault)), slog.String("stack", string(debug.Stack())))
				if seen.status == 0 {
					s.refuse(seen, unexpected())
					fault = nil
				}
			}
			s.logRequest(r, seen, time.Since(start))
			if fault != nil {
				panic(http.ErrAbortHandler) // half an answer is out: all there is left is to hang up
			}
		}()
		next.ServeHTTP(seen, r)
	})
}

func (s *Server) logRequest(r *http.Request, seen *observed, took time.Duration) {
	if !s.log.Enabled(r.Context(), slog.LevelDebug) {
		return
	}
	s.log.LogAttrs(r.Context(), slog.LevelDebug, "request",
		slog.String("method", errclass.OneLine(r.Method, maxLoggedPath)),
		slog.String("path", errclass.OneLine(r.URL.Path, maxLoggedPath)),
		slog.Int("status", seen.status), slog.Int64("bytes", seen.bytes),
		slog.Duration("duration", took), slog.String("execution", seen.Header().Get("X-Execution-Id")),
		slog.Bool("clientGone", r.Context().Err() != nil))
}

// observed notes what was answered.
type observed struct {
	http.ResponseWriter
	status int
	bytes  int64
	unread *http.Request // nil once its body was read
}

func (o *observed) WriteHeader(status int) {
	if o.status == 0 {
		o.status = status
	}
	o.ResponseWriter.WriteHeader(status)
}

func (o *observed) Write(p []byte) (int, error) {
	n, err := o.ResponseWriter.Write(p)
	o.bytes += int64(n)
	return n, err
}

// Unwrap lets net/http find what it needs in the original.
func (o *observed) Unwrap() http.ResponseWriter { return o.ResponseWriter }
