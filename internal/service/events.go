package service

import (
	"bytes"
	"context"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	eventsType = "text/event-stream"
	// keepAlive is how often a comment goes out while there is nothing to tell, so
	// that no proxy takes the connection for dead.
	keepAlive = 15 * time.Second
	// eventsAhead is how many events an answer may be ahead of its client. One that
	// is slower still makes the provider wait.
	eventsAhead = 64
)

// wantsEvents reports whether the client names event streams among what it accepts.
func wantsEvents(r *http.Request) bool {
	for _, value := range r.Header["Accept"] {
		for accepted := range strings.SplitSeq(value, ",") {
			media, parameters, err := mime.ParseMediaType(accepted)
			if err != nil || media != eventsType {
				continue
			}
			if q, err := strconv.ParseFloat(parameters["q"], 64); err != nil || q > 0 {
				return true
			}
		}
	}
	return false
}

// executeStreaming is execute for a client that wants events: "delta", a piece of
// an LLM's answer as a JSON string, as they come, and "outcome", the document of
// the plain answer, at the end. The status and header go out with the first event:
// a request that never becomes an execution is answered as without events.
func (s *Server) executeStreaming(w http.ResponseWriter, r *http.Request, asked *executionRequest) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	e := s.newEvents(w, cancel)
	request, start, closeRates := asked.Request, time.Now(), asked.Started
	request.Stream = e.delta
	request.Started = func(ctx context.Context, id string) {
		closeRates(ctx, id)
		e.start(ctx, id)
	}
	result, err := s.runner.Execute(ctx, request)
	e.stop()
	if err == nil {
		s.record(asked, result, start)
		var document []byte
		if document, err = result.JSON(asked.details); err == nil {
			s.describe(w, result) // too late for the header where a delta went out
			e.write(event("outcome", document))
			return
		}
	}
	if !e.begun {
		s.refuse(w, err)
		return
	}
	_, document := s.refusal(err)
	e.write(event("error", document))
}

// events sends what comes from an execution without making it wait for the
// client, within bounds.
type events struct {
	server *Server
	w      http.ResponseWriter
	begun  bool               // the header is out
	cancel context.CancelFunc // ends the execution: its client is gone

	ctx     context.Context // of the execution; nil until it has started
	queue   chan []byte
	written chan struct{} // closed when the last of queue is written
}

func (s *Server) newEvents(w http.ResponseWriter, cancel context.CancelFunc) *events {
	return &events{server: s, w: w, cancel: cancel}
}

// start begins to send. Until then the request may still be turned away.
func (e *events) start(ctx context.Context, executionID string) {
	e.w.Header().Set("X-Execution-Id", executionID)
	e.ctx, e.queue, e.written = ctx, make(chan []byte, eventsAhead), make(chan struct{})
	go e.send()
}

func (e *events) delta(text string) { _ = e.tell(deltaEvent(text)) }

// deltaEvent is a piece of an answer.
func deltaEvent(text string) []byte {
	quoted, _ := jsontext.AppendQuote(nil, strings.ToValidUTF8(text, "\ufffd"))
	return event("delta", quoted)
}

// tell sends an event after those before it. The error is that of an execution, or a
// client, that has come to its end.
func (e *events) tell(text []byte) error {
	select {
	case e.queue <- text:
		return nil
	case <-e.ctx.Done():
		return e.ctx.Err()
	}
}

// stop waits until all is written that is on its way.
func (e *events) stop() {
	if e.queue != nil {
		close(e.queue)
		<-e.written
	}
}

// send writes the queue, and a comment where there is nothing for long.
func (e *events) send() {
	defer close(e.written)
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		select {
		case next, more := <-e.queue:
			if !more {
				return
			}
			e.write(next)
			tick.Reset(keepAlive)
		case <-tick.C:
			e.write([]byte(":\n\n"))
		}
	}
}

func (e *events) write(text []byte) {
	if !e.begun {
		e.begun = true
		h := e.w.Header()
		h.Set("Content-Type", eventsType)
		h.Set("X-Accel-Buffering", "no") // nginx would keep events back
		e.server.setCommon(h)
		e.w.WriteHeader(http.StatusOK)
	}
	_, err := e.w.Write(text)
	if err == nil {
		err = http.NewResponseController(e.w).Flush()
	}
	if err != nil && !errors.Is(err, http.ErrNotSupported) { // gone, or slower than the write timeout
		e.cancel()
	}
}

// event is one event in the form that the HTML standard gives them (section
// 9.2.6). JSON keeps its meaning whatever its line ends become.
func event(name string, document []byte) []byte {
	text := append([]byte("event: "), name...)
	for line := range bytes.SplitSeq(bytes.ReplaceAll(document, []byte("\r"), []byte("\n")), []byte("\n")) {
		text = append(append(text, "\ndata: "...), line...)
	}
	return append(text, "\n\n"...)
}
