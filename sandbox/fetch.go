package sandbox

import (
	"context"
	"strings"

	"github.com/dop251/goja"

	"github.com/almyty-inc/toolrun/errclass"
)

// FetchRequest is a request of fetch. Method, URL and Header have the form that
// the fetch standard gives them: an absolute http or https URL, a valid method,
// header names in lower case and values without control characters, in which a
// character up to U+00FF stands for a byte.
type FetchRequest struct {
	Method string      `json:"method"`
	URL    string      `json:"url"`
	Header [][2]string `json:"header,omitempty"`
	// Body is nil for none.
	Body []byte `json:"body,omitempty"`
	// Redirect is what to do about a redirect: follow it, fail (error), or return
	// it as it is (manual).
	Redirect string `json:"redirect"`
}

// FetchResponse is the answer to a [FetchRequest]. In StatusText and Header, too,
// a character stands for a byte.
type FetchResponse struct {
	Status     int    `json:"status"`
	StatusText string `json:"statustext,omitempty"`
	// URL is the last one of the redirects that were followed. Empty stands for
	// the request's.
	URL string `json:"url,omitempty"`
	// Redirected reports that there was a redirect.
	Redirected bool        `json:"redirected,omitempty"`
	Header     [][2]string `json:"header,omitempty"`
	Body       []byte      `json:"body,omitempty"`
}

// hostFetch sends a request for the prelude: hostFetch(method, url, headers,
// body, redirect) with headers as "name\0value\0…" and body as an ArrayBuffer or
// null. It returns [promise, cancel]; the promise is fulfilled with a plain object.
func (e *execution) hostFetch(call goja.FunctionCall) goja.Value {
	p := e.newPromise(e.rt.NewTypeError("fetch failed"))
	cancel := func() {}
	req, failure := e.checkFetch(call)
	if failure != nil {
		e.failFetch(p, failure)
	} else {
		e.loop.fetching++
		cancel = e.ask(func(ctx context.Context) func() *errclass.Error {
			resp, failure := called(func() (*FetchResponse, error) { return e.job.Fetch(ctx, req) })
			return func() *errclass.Error {
				e.loop.fetching--
				return e.answerFetch(p, req, resp, failure)
			}
		})
	}
	return e.rt.NewArray(p.value, e.function("", func(goja.FunctionCall) goja.Value {
		cancel()
		return goja.Undefined()
	}))
}

// checkFetch counts a call and takes what the prelude gives it.
func (e *execution) checkFetch(call goja.FunctionCall) (*FetchRequest, *errclass.Error) {
	if e.job.Fetch == nil {
		return nil, errclass.New(errclass.RequestBlocked, errclass.Blocked, "the embedder gives no network to this tool")
	}
	e.host.fetches++
	if e.host.fetches > e.job.Limits.Fetches {
		return nil, errclass.Newf(errclass.SandboxError, errclass.InvokeLimit, "more than %d calls of fetch", e.job.Limits.Fetches)
	}
	req := &FetchRequest{
		Method: call.Argument(0).String(), URL: call.Argument(1).String(), Redirect: call.Argument(4).String(),
	}
	fields := strings.Split(call.Argument(2).String(), "\x00")
	for i := 0; i+1 < len(fields); i += 2 {
		req.Header = append(req.Header, [2]string{fields[i], fields[i+1]})
	}
	if body, ok := bufferOf(call.Argument(3)); ok {
		if len(body) > e.job.Limits.ParameterBytes {
			return nil, tooMuch(errclass.ParameterLimit, e.job.Limits.ParameterBytes, "the request's body")
		}
		req.Body = append([]byte{}, body...)
	}
	return req, nil
}

// answerFetch settles the promise of a fetch.
func (e *execution) answerFetch(p promise, req *FetchRequest, resp *FetchResponse, failure *errclass.Error) *errclass.Error {
	switch {
	case failure != nil:
	case resp == nil:
		failure = errclass.New(errclass.InternalError, errclass.Unclassified, "")
	case len(resp.Body) > e.job.Limits.ParameterBytes:
		failure = tooMuch(errclass.ParameterLimit, e.job.Limits.ParameterBytes, "the response's body")
	}
	if failure != nil {
		e.failFetch(p, failure)
		return e.fatal
	}
	url := resp.URL
	if url == "" {
		url = req.URL
	}
	headers := make([]any, 0, 2*len(resp.Header))
	for _, field := range resp.Header {
		headers = append(headers, field[0], field[1])
	}
	object := e.rt.CreateObject(nil)
	e.define(object, "status", e.rt.ToValue(resp.Status))
	e.define(object, "statusText", e.rt.ToValue(resp.StatusText))
	e.define(object, "url", e.rt.ToValue(url))
	e.define(object, "redirected", e.rt.ToValue(resp.Redirected))
	e.define(object, "headers", e.rt.NewArray(headers...))
	e.define(object, "body", e.newBuffer(resp.Body))
	if err := p.resolve(object); err != nil {
		return e.failed(err)
	}
	return e.fatal
}

// failFetch rejects the promise of a fetch as the standard says, with a
// TypeError; what went wrong is its message and its cause.
func (e *execution) failFetch(p promise, failure *errclass.Error) {
	e.standFor(p.problem, failure)
	e.defineHidden(p.problem, "message", e.rt.ToValue("fetch failed: "+failure.Error()))
	cause := e.newError(failure.Error())
	e.explain(cause, failure)
	e.defineHidden(p.problem, "cause", cause)
	if err := p.reject(p.problem); err != nil {
		e.fatal = e.failed(err)
	}
}

// newBuffer makes an ArrayBuffer of the realm that owns data.
func (e *execution) newBuffer(data []byte) goja.Value {
	if data == nil {
		data = []byte{}
	}
	return e.rt.ToValue(e.rt.NewArrayBuffer(data))
}

// bufferOf is what an ArrayBuffer of the realm holds.
func bufferOf(value goja.Value) ([]byte, bool) {
	object, ok := value.(*goja.Object)
	if !ok || object.ExportType() != bufferType {
		return nil, false
	}
	buffer, ok := object.Export().(goja.ArrayBuffer)
	if !ok || buffer.Detached() {
		return nil, false
	}
	return buffer.Bytes(), true
}
