package sandbox

import (
	"context"
	"strings"

	"github.com/dop251/goja"

	"github.com/almyty-inc/toolrun/errclass"
)

// FetchRequest is a request of fetch. Method, URL and Header have the form that
// the fetch standard gives them: an absolute URL without fragment, a valid method,
// header names in lower case and values without control characters, in which a
// character up to U+00FF stands for a byte.
type FetchRequest struct {
	Method string      `json:"method"`
	URL    string      `json:"url"`
	Header [][2]string `json:"header,omitempty"`
	// Body is nil for none.
	Body []byte `json:"body,omitzero"`
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
// body, redirect, answered, failed) with headers as "name\0value\0…" and body as
// an ArrayBuffer or null. One of the two functions is called later, with a plain
// object or an error. What it returns cancels the request.
func (e *execution) hostFetch(call goja.FunctionCall) goja.Value {
	f := &fetching{problem: e.rt.NewTypeError("fetch failed"), cause: e.newError("")}
	f.answered, _ = goja.AssertFunction(call.Argument(5))
	f.failed, _ = goja.AssertFunction(call.Argument(6))
	if f.answered == nil || f.failed == nil {
		panic(e.rt.NewTypeError("not a function"))
	}
	cancel := func() {}
	req, failure := e.checkFetch(call)
	if failure != nil {
		if failure := e.failFetch(f, failure); failure != nil && e.fatal == nil {
			e.fatal = failure
		}
	} else {
		f.request = req
		e.loop.fetching++
		cancel = e.ask(func(ctx context.Context) func() *errclass.Error {
			resp, failure := called(func() (*FetchResponse, error) { return e.job.Fetch(ctx, req) })
			return func() *errclass.Error {
				e.loop.fetching--
				return e.answerFetch(f, resp, failure)
			}
		})
	}
	return e.function("", func(goja.FunctionCall) goja.Value {
		cancel()
		return goja.Undefined()
	})
}

// fetching is a fetch in flight.
type fetching struct {
	request          *FetchRequest
	answered, failed goja.Callable
	// problem is the error that it may end with, and cause that one's: made when
	// fetch is called, so that their stacks are the caller's.
	problem, cause *goja.Object
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
	req.URL, _, _ = strings.Cut(req.URL, "#")
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

// answerFetch hands the end of a fetch to the prelude.
func (e *execution) answerFetch(f *fetching, resp *FetchResponse, failure *errclass.Error) *errclass.Error {
	switch {
	case failure != nil:
	case resp == nil:
		failure = errclass.New(errclass.InternalError, errclass.Unclassified, "")
	case len(resp.Body) > e.job.Limits.ParameterBytes:
		failure = tooMuch(errclass.ParameterLimit, e.job.Limits.ParameterBytes, "the response's body")
	}
	if failure != nil {
		return e.failFetch(f, failure)
	}
	url := resp.URL
	if url == "" {
		url = f.request.URL
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
	if _, err := f.answered(goja.Undefined(), object); err != nil {
		return e.failed(err)
	}
	return e.fatal
}

// failFetch ends a fetch as the standard says, with a TypeError; what went wrong
// is its message and its cause.
func (e *execution) failFetch(f *fetching, failure *errclass.Error) *errclass.Error {
	e.standFor(f.problem, failure)
	e.defineHidden(f.problem, "message", e.rt.ToValue("fetch failed: "+failure.Error()))
	e.defineHidden(f.cause, "message", e.rt.ToValue(failure.Error()))
	e.explain(f.cause, failure)
	e.defineHidden(f.problem, "cause", f.cause)
	if _, err := f.failed(goja.Undefined(), f.problem); err != nil {
		return e.failed(err)
	}
	return e.fatal
}
