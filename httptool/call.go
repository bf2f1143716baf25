package httptool

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
)

// call is one run of a tool: what its requests share.
type call struct {
	tool     *Tool
	rt       http.RoundTripper
	parent   context.Context // the caller's, which bounds the whole run
	ctx      context.Context // the current attempt's, with the tool's timeout; between attempts the caller's
	phase    *phase          // of the current attempt: a dial of the one before may go on
	attempts int
	sent     bool     // the current attempt's request went to the transport, as one for its token doesn't
	acted    bool     // the target may have acted on the current attempt's request
	budget   int64    // bytes of bodies that may still be read
	tokens   []string // access tokens that were sent
}

// errAttempt is the cause of an attempt's context that the tool's timeout ended.
var errAttempt = errors.New("the tool's request timeout")

func newCall(ctx context.Context, t *Tool, rt http.RoundTripper) *call {
	return &call{tool: t, rt: rt, parent: ctx, ctx: ctx, phase: new(phase), budget: t.maxBytes}
}

// attempt sends a request once, with its redirects, and reads the answer, within
// the tool's timeout.
func (c *call) attempt(req *request) (*reply, *errclass.Error) {
	if err := c.parent.Err(); err != nil { // nothing is sent, so nothing counts
		return nil, c.failure(err, hostOf(req.url), false)
	}
	c.attempts++
	c.sent, c.acted = false, false
	ctx, cancel := c.attemptContext()
	defer cancel()
	c.phase = new(phase)
	c.ctx = c.phase.under(ctx)
	defer func() { c.ctx = c.parent }()
	return c.send(req)
}

// attemptContext bounds an attempt by the tool's timeout, unless the execution's
// deadline comes first. A graphql tool can't set one, so that where the execution
// has a deadline only that holds.
func (c *call) attemptContext() (context.Context, context.CancelFunc) {
	if deadline, bounded := c.parent.Deadline(); bounded && (c.tool.graphql || time.Until(deadline) <= c.tool.timeout) {
		return c.parent, func() {}
	}
	return context.WithTimeoutCause(c.parent, c.tool.timeout, errAttempt)
}

// reply is a response that was read in full.
type reply struct {
	request *request // the last hop's
	status  int
	header  http.Header
	body    []byte
}

// host is the host that answered, for messages.
func (r *reply) host() string { return hostOf(r.request.url) }

// send sends one request and follows its redirects.
func (c *call) send(req *request) (*reply, *errclass.Error) {
	for hop := 0; ; hop++ {
		resp, failure := c.exchange(req)
		if failure != nil {
			c.acted = hop > 0 || c.sent && !c.unsent(failure)
			return nil, failure
		}
		// 429 turns a request away unprocessed (RFC 6585, section 4).
		c.acted = hop > 0 || resp.StatusCode != http.StatusTooManyRequests
		if resp.StatusCode < 300 || resp.StatusCode > 399 {
			return c.finish(req, resp)
		}
		next, failure := c.redirected(req, resp, hop)
		discard(resp.Body)
		if failure != nil {
			return nil, c.annotate(failure, &reply{request: req, status: resp.StatusCode, header: resp.Header})
		}
		req = next
	}
}

// blank is what requests have in common.
var blank = &http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}

func (c *call) roundTrip(req *request) (*http.Response, *errclass.Error) {
	host, port, err := inspectURL(req.url)
	if err != nil {
		return nil, errclass.Classify(err)
	}
	c.phase.at.Store(phaseWaiting)
	r := blank.WithContext(c.ctx)
	r.Method, r.URL, r.Header, r.Host = req.method, req.url, acceptGzip(req.header), req.url.Host
	if req.body != nil {
		r.ContentLength = int64(len(req.body))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(req.body)), nil }
		r.Body, _ = r.GetBody()
		if len(req.body) == 0 {
			r.Body = http.NoBody
		}
	}
	c.sent = true
	resp, err := c.rt.RoundTrip(r)
	if err != nil {
		return nil, c.failure(err, displayHost(host, port), false)
	}
	return resp, nil
}

// acceptGzip is h with the coding that bodies may have. Were it left to net/http, that
// would inflate them, without a bound.
func acceptGzip(h http.Header) http.Header {
	if h["Accept-Encoding"] != nil || h["Range"] != nil {
		return h
	}
	h = h.Clone()
	h["Accept-Encoding"] = gzipOnly
	return h
}

// finish reads the response that ends a request.
func (c *call) finish(req *request, resp *http.Response) (*reply, *errclass.Error) {
	c.phase.advance(phaseBody)
	r := &reply{request: req, status: resp.StatusCode, header: resp.Header}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode >= 400:
		r.body = readSome(resp)
		if c.parent.Err() != nil { // the attempt's own timeout takes nothing from the status
			return nil, c.failure(c.parent.Err(), r.host(), true)
		}
		return nil, c.annotate(c.tool.httpError(r), r)
	case resp.StatusCode < 200:
		e := errclass.Newf(errclass.InvalidResponse, errclass.Malformed, "%s answered %d, which is no answer to this request", r.host(), resp.StatusCode)
		return nil, c.annotate(e, r)
	case resp.StatusCode == http.StatusPartialContent && req.header.Get("Range") == "":
		return nil, c.annotate(errclass.New(errclass.InvalidResponse, errclass.Truncated, "the target answered with a part of the data, which wasn't asked for"), r)
	}
	body, err := c.read(resp)
	if err != nil {
		return nil, c.annotate(c.failure(err, r.host(), true), r)
	}
	r.body = body
	return r, nil
}

// maxErrorBody bounds what is read of a body only to find a message in it.
const maxErrorBody = 64 << 10

// discard reads the little that is left of a body, so that its connection can be
// used again, and gives up on more.
func discard(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 4<<10) // its error changes nothing: the body is closed
	body.Close()
}

// failure classifies an error of a request to host. Whose time ran out is known
// here and nowhere else.
func (c *call) failure(err error, host string, inBody bool) *errclass.Error {
	if e := c.ended(host); e != nil {
		return e
	}
	known, isKnown := errors.AsType[*errclass.Error](err)
	var e *errclass.Error
	switch timeout, ok := errors.AsType[net.Error](err); {
	case isKnown:
		copied := *known
		e = &copied
	case inBody:
		e = errclass.ClassifyBody(err)
		if e.Class == errclass.InternalError {
			e = errclass.New(errclass.InvalidResponse, errclass.BadEncoding, "the body can't be read").WithCause(err)
		}
	case ok && timeout.Timeout() && c.phase.at.Load() == phaseTLS:
		e = errclass.Newf(errclass.Timeout, errclass.PhaseTLS, "no TLS handshake with %s after %s", host, tlsTimeout).WithCause(err)
		e.Limit = tlsTimeout
	default:
		// Classify tells by this wrapper that the response hadn't begun.
		e = errclass.Classify(&url.Error{Op: "request", URL: "http://" + host, Err: err})
	}
	if !isKnown || e.Upstream.Host == "" {
		e.Upstream.Host = host // with its port, which Classify leaves out
	}
	return e
}

// ended is the failure of a context that ended, or nil.
func (c *call) ended(host string) *errclass.Error {
	if c.parent.Err() != nil {
		if cause, ok := errors.AsType[*errclass.Error](context.Cause(c.parent)); ok {
			return cause
		}
		if errors.Is(c.parent.Err(), context.Canceled) {
			return errclass.New(errclass.Cancelled, errclass.CallerCancelled, "")
		}
	}
	if !errors.Is(c.ctx.Err(), context.DeadlineExceeded) {
		return nil
	}
	reason, what := c.phase.describe()
	var limit time.Duration
	whose := "before the deadline" // whoever set it says which
	if context.Cause(c.ctx) == errAttempt {
		limit = c.tool.timeout
		whose = "after " + limit.String() + " (limit: " + errAttempt.Error() + ")"
	}
	e := errclass.Newf(errclass.Timeout, reason, "%s %s %s", what, host, whose)
	e.Limit = limit
	e.Upstream.Host = host
	return e.WithCause(context.DeadlineExceeded)
}

// annotate adds what is known of the response to a failure found in it. The
// failure of a caller's context belongs to the caller and stays as it is.
func (c *call) annotate(e *errclass.Error, r *reply) *errclass.Error {
	if e == nil || c.foreign(e) {
		return e
	}
	e.Upstream.Host = r.host()
	e.Upstream.Status = r.status
	if id := r.header.Get("X-Request-Id"); id != "" {
		e.Upstream.RequestID = errclass.OneLine(id, 128)
	}
	if e.Attempts == 0 {
		e.Attempts = c.attempts
	}
	if e.Stopped == "" && !e.Retryable {
		e.Stopped = errclass.StoppedNotRetryable
	}
	return e
}

func (c *call) foreign(e *errclass.Error) bool {
	cause, ok := errors.AsType[*errclass.Error](context.Cause(c.parent))
	return ok && cause == e
}

func hostOf(u *url.URL) string {
	host, port, err := inspectURL(u)
	if err != nil {
		return ""
	}
	return displayHost(host, port)
}

// detailOf is the detail of a classified error.
func detailOf(err error) string { return errclass.Classify(err).Detail }
