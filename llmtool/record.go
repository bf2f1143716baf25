package llmtool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
)

// maxResponseBytes bounds the body of a response, after decompression.
const maxResponseBytes = 10 << 20

// maxErrorBytes bounds what is read of the body of a response that failed.
const maxErrorBytes = 64 << 10

// usualBytes is what a body of no given length is taken to have, at first.
const usualBytes = 4 << 10

// Phases of a request, in their order, as [exchange.phase] holds them.
const (
	phaseConnect int32 = iota // until there is a connection
	phaseHeaders              // until the header section is there
	phaseBody
	phaseDone
)

// exchange is what was seen of one request on the wire. Failures are classified
// from it alone: what a client library makes of a response loses too much.
type exchange struct {
	phase  atomic.Int32 // a dial may go on after the request has ended
	status int          // zero: no response
	header http.Header
	body   []byte  // all of a success, at most maxErrorBytes of a failure, none of a stream
	err    error   // why there is no response, or why its body ends early
	stream *stream // nil unless the answer is wanted as one
	trace  httptrace.ClientTrace
}

type exchangeKey struct{}

// record returns a context for one request, and what will be seen of it. The
// request may take as long as most says; where its answer is wanted as a stream,
// each wait for more of that may.
func record(ctx context.Context, most *limit, asStream bool) (context.Context, *exchange, func()) {
	x := new(exchange)
	var stop func()
	if asStream {
		ctx, x.stream, stop = newStream(ctx, most)
	} else {
		ctx, stop = most.bound(ctx)
	}
	x.trace.GotConn = func(httptrace.GotConnInfo) { x.phase.CompareAndSwap(phaseConnect, phaseHeaders) }
	return httptrace.WithClientTrace(context.WithValue(ctx, exchangeKey{}, x), &x.trace), x, stop
}

// recorded is what is seen of the request whose context ctx is.
func recorded(ctx context.Context) (*exchange, bool) {
	x, ok := ctx.Value(exchangeKey{}).(*exchange)
	return x, ok
}

// wire sends a provider's requests through the one door to the network and
// records what comes back. It follows no redirects, keeps no cookies and sets no
// timeout of its own.
type wire struct {
	door   http.RoundTripper
	header http.Header // set on every request
}

// httpClient is a client with no more to it than w.
func (w *wire) httpClient() *http.Client {
	return &http.Client{Transport: w, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// errTooLarge is the [exchange.err] of a body beyond maxResponseBytes.
var errTooLarge = errors.New("response body too large")

// RoundTrip implements [http.RoundTripper].
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	x, ok := recorded(req.Context())
	if !ok {
		return nil, errors.New("llmtool: request without a record")
	}
	x.status, x.header, x.body, x.err = 0, nil, nil, nil // a client may ask again in other words
	x.phase.Store(phaseConnect)
	began := time.Now()
	if len(w.header) > 0 {
		req = req.WithContext(req.Context())
		req.Header = maps.Clone(req.Header) // it is the client library's
		maps.Copy(req.Header, w.header)
	}
	res, err := w.door.RoundTrip(req)
	if err != nil {
		x.err = err
		return nil, err
	}
	x.status, x.header = res.StatusCode, res.Header
	x.phase.Store(phaseBody)
	if x.stream != nil && res.StatusCode >= 200 && res.StatusCode <= 299 && x.watch(res, began) {
		return res, nil
	}
	defer res.Body.Close()
	x.body, x.err = readBody(res)
	if x.err == nil && x.status > 299 {
		x.err = callersEnd(req.Context())
	}
	if x.err != nil {
		return nil, x.err
	}
	x.phase.Store(phaseDone)
	res.Body = io.NopCloser(bytes.NewReader(x.body))
	return res, nil
}

// callersEnd is the error of a context that ended by another hand than one of our
// own limits, which take nothing from a status that is known.
func callersEnd(ctx context.Context) error {
	if _, ours := errors.AsType[*limit](context.Cause(ctx)); ours {
		return nil
	}
	return ctx.Err()
}

// readBody reads the whole body of a success, and of any other what can be had of
// its start: a status tells of a failure also where the words are cut short.
func readBody(res *http.Response) ([]byte, error) {
	if res.StatusCode < 200 {
		return nil, nil // 101: what follows is another protocol, and may never end
	}
	if res.StatusCode > 299 {
		body, _ := io.ReadAll(io.LimitReader(res.Body, maxErrorBytes))
		return body, nil
	}
	var b bytes.Buffer
	size := res.ContentLength
	if size < 0 {
		size = usualBytes
	}
	b.Grow(int(min(size, maxErrorBytes)) + bytes.MinRead)
	_, err := b.ReadFrom(io.LimitReader(res.Body, maxResponseBytes+1))
	if err == nil && b.Len() > maxResponseBytes {
		err = errTooLarge
	}
	return b.Bytes(), err
}

// limit is a timeout of ours; it is the cause of the context that it ends.
type limit struct {
	after time.Duration
	owner string // "the provider's timeout"
}

// bound puts a request under the limit, unless it ends sooner anyway.
func (l *limit) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < l.after {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, l.after, l)
}

func (l *limit) Error() string { return l.owner + " is " + l.after.String() }

// Unwrap keeps what asks for a deadline's own error working: net/http returns a
// context's cause in place of it.
func (l *limit) Unwrap() error { return context.DeadlineExceeded }

// failure classifies why there was no complete response. Nil means there was one.
func (x *exchange) failure(ctx context.Context, p *provider) *errclass.Error {
	if x.err == nil {
		return nil
	}
	e := x.interrupted(ctx, p)
	if e == nil {
		e = x.broken(p)
	}
	if e.Upstream.Host == "" {
		e.Upstream.Host = p.host
	}
	e.Upstream.Provider = p.id
	e.Upstream.Status = x.status
	e.Upstream.RequestID = requestID(x.header)
	return e
}

// interrupted is the failure of a request whose context has ended.
func (x *exchange) interrupted(ctx context.Context, p *provider) *errclass.Error {
	cause := context.Cause(ctx)
	ours, isOurs := errors.AsType[*limit](cause)
	switch {
	case cause == nil:
		return nil
	case ctx.Err() == context.Canceled && !isOurs:
		return cancelled(ctx)
	}
	if known, ok := errors.AsType[*errclass.Error](cause); ok {
		copied := *known
		return &copied
	}
	reason, what := errclass.PhaseHeaders, "no answer from provider "+p.id
	switch x.phase.Load() {
	case phaseConnect:
		reason, what = errclass.PhaseConnect, "no connection to provider "+p.id
	case phaseBody:
		reason, what = errclass.PhaseBody, "the answer of provider "+p.id+" stopped midway"
		if isOurs && x.streamed() {
			reason, what = errclass.PhaseStreamIdle, "the stream of provider "+p.id+" brought nothing more"
		}
	}
	if !isOurs {
		return errclass.New(errclass.Timeout, reason, what).WithCause(cause)
	}
	e := errclass.Newf(errclass.Timeout, reason, "%s after %s (limit: %s)", what, ours.after, ours.owner).WithCause(cause)
	e.Limit = ours.after
	return e
}

// cancelled is the failure of a run whose context was cancelled.
func cancelled(ctx context.Context) *errclass.Error {
	cause := context.Cause(ctx)
	if known, ok := errors.AsType[*errclass.Error](cause); ok {
		copied := *known
		return &copied
	}
	return errclass.New(errclass.Cancelled, errclass.CallerCancelled, "").WithCause(cause)
}

// broken is the failure of a request that the network or the peer ended.
func (x *exchange) broken(p *provider) *errclass.Error {
	if x.err == errTooLarge {
		return errclass.Newf(errclass.InvalidResponse, errclass.TooLarge,
			"the answer of provider %s exceeds %d MiB", p.id, maxResponseBytes>>20)
	}
	if x.status != 0 {
		e := *errclass.ClassifyBody(x.err)
		return &e
	}
	// The wrapping that an http.Client would do tells that there was no response.
	e := *errclass.Classify(&url.Error{Op: "Post", URL: "https://" + p.host, Err: x.err})
	return &e
}

// requestID is the provider's name for a request, from a response's header.
func requestID(h http.Header) string {
	for _, name := range []string{"X-Request-Id", "Request-Id", "Apim-Request-Id", "Cf-Ray"} {
		if id := h.Get(name); id != "" {
			return errclass.OneLine(id, 100)
		}
	}
	return ""
}

// statusLine is a status as a detail starts with it where the body says nothing.
func statusLine(status int) string {
	if text := http.StatusText(status); text != "" {
		return fmt.Sprintf("%d %s", status, text)
	}
	return strconv.Itoa(status)
}
