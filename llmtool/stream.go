package llmtool

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"time"
)

// streamIdle bounds the wait for the next chunk of an answer whose text has begun.
// What comes before it, the model's thinking, may take as long as a request.
const streamIdle = 30 * time.Second

// stream is one request whose answer is wanted as a stream. It bounds each wait
// for more of it instead of the whole: a long answer that comes steadily is no
// timeout. And it knows what was seen on the way.
type stream struct {
	limit  atomic.Pointer[limit] // the one on a wait now
	timer  *time.Timer
	leave  func()        // ends the context with errLeft
	waited time.Duration // since there was a chunk, as far as it was spent on waiting

	came bool // the provider did stream
	done bool // "[DONE]", with which OpenAI and its imitators end
	told said // the first error that a chunk told of
}

// newStream starts the first wait. A limit that passes ends the context.
func newStream(ctx context.Context, most *limit) (context.Context, *stream, func()) {
	ctx, end := context.WithCancelCause(ctx)
	s := &stream{leave: func() { end(errLeft) }}
	s.limit.Store(most)
	s.timer = time.AfterFunc(most.after, func() { end(s.limit.Load()) })
	return ctx, s, func() {
		s.timer.Stop()
		s.leave()
	}
}

// delivered notes that the text has begun.
func (s *stream) delivered() {
	if s.limit.Load().after > streamIdle {
		s.limit.Store(&limit{streamIdle, "the longest pause of a stream"})
	}
}

// streamed reports whether the answer is a stream, which it may not be although
// it was asked for.
func (x *exchange) streamed() bool { return x.stream != nil && x.stream.came }

// streamStarts are the fields and the comment that a line of an event stream can
// start with.
var streamStarts = [][]byte{[]byte(":"), []byte("data:"), []byte("event:"), []byte("id:"), []byte("retry:")}

// isEventStream looks at how a body begins: what providers state as its type is
// often wrong.
func isEventStream(body *bufio.Reader) bool {
	if start, _ := body.Peek(3); string(start) == "\ufeff" {
		_, _ = body.Discard(3)
	}
	for range maxErrorBytes { // blank lines without an end are too large an answer
		start, err := body.Peek(1)
		if err != nil {
			return false
		}
		if !bytes.ContainsAny(start, "\r\n") {
			break
		}
		_, _ = body.Discard(1)
	}
	return slices.ContainsFunc(streamStarts, func(name []byte) bool {
		start, _ := body.Peek(len(name))
		return bytes.Equal(start, name)
	})
}

// streamBody passes a stream on as it comes and reads along. It keeps nothing: what
// a stream says of a failure stands in one line.
type streamBody struct {
	from  *bufio.Reader
	under io.Closer
	x     *exchange
	size  int
	line  []byte // the start of a line whose end is still to come, at most maxErrorBytes
	wrong bool   // the event is one of the type "error"
	err   error
}

// watch takes over the body of a success if it is a stream, and reports whether it
// is one. began is when its request was sent.
func (x *exchange) watch(res *http.Response, began time.Time) bool {
	from, under := bufio.NewReaderSize(res.Body, 64), res.Body // all but the start is read past its buffer
	res.Body = struct {
		io.Reader
		io.Closer
	}{from, under}
	if !isEventStream(from) {
		return false
	}
	x.stream.timer.Stop()
	x.stream.waited, x.stream.came = time.Since(began), true
	res.Body = &streamBody{from: from, under: under, x: x}
	return true
}

// Read implements [io.Reader]. What the caller does between two reads is no wait
// for the provider.
func (b *streamBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	s := b.x.stream
	start := time.Now()
	s.timer.Reset(s.limit.Load().after - s.waited)
	n, err := b.from.Read(p)
	s.timer.Stop()
	s.waited += time.Since(start)
	b.size += n
	if b.scan(p[:n]) {
		s.waited = 0
	}
	switch {
	case s.told.found:
		err = io.EOF // nothing that follows makes an answer of it
	case err == nil && b.size > maxResponseBytes:
		err = errTooLarge
	case err == io.EOF:
		b.judge(b.line)
	}
	if b.err = err; err == io.EOF {
		b.x.phase.Store(phaseDone)
	} else if err != nil {
		b.x.err = err
	}
	return n, err
}

// leavePatience is how long the end of a stream is waited for whose answer is
// complete, so that its connection serves the next request.
const leavePatience = 20 * time.Millisecond

// errLeft is the cause of a context that ended because nobody wants more of its
// stream, which is no failure.
var errLeft = errors.New("the stream was left")

// Close implements [io.Closer].
func (b *streamBody) Close() error {
	if b.x.stream.done && b.err == nil {
		timer := time.AfterFunc(leavePatience, b.x.stream.leave)
		_, _ = io.CopyN(io.Discard, b.from, 1<<10)
		timer.Stop()
	}
	return b.under.Close()
}

// scan judges the lines in p, and reports whether it holds any of a chunk:
// comments and blank lines, with which a connection is kept alive, are none.
func (b *streamBody) scan(p []byte) (chunk bool) {
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte("\n"))
		p = rest
		if !whole || len(b.line) > 0 {
			b.line = append(b.line, line[:min(len(line), maxErrorBytes-len(b.line))]...)
			line = b.line
		}
		line = bytes.TrimSpace(line)
		chunk = chunk || len(line) > 0 && line[0] != ':'
		if whole {
			b.judge(line)
			b.line = b.line[:0]
		}
	}
	return chunk
}

// judge looks for an error in a line: in any field order and spacing, as an event
// of its own type, and as a bare line of JSON, which is how Ollama breaks off.
func (b *streamBody) judge(line []byte) {
	s := b.x.stream
	line = bytes.TrimSpace(line)
	data, isData := bytes.CutPrefix(line, []byte("data:"))
	data = bytes.TrimSpace(data)
	switch {
	case s.told.found:
	case len(line) == 0:
		b.wrong = false
	case isData && string(data) == "[DONE]":
		s.done = true
	case isData:
		s.told = readChunkError(data, b.wrong)
	case line[0] == '{':
		s.told = readChunkError(line, b.wrong)
	default:
		if event, ok := bytes.CutPrefix(line, []byte("event:")); ok {
			b.wrong = string(bytes.TrimSpace(event)) == "error"
		}
	}
}

// readChunkError reads the error that a chunk tells of, if it does; sure means
// that it was announced as one.
func readChunkError(data []byte, sure bool) said {
	if !sure && !bytes.Contains(data, []byte(`"error`)) {
		return said{}
	}
	s := readError(data)
	s.found = sure || s.found && (s.message != "" || len(s.codes) > 0)
	if !s.found {
		s = readChoiceError(data)
	}
	return s
}
