package sandbox

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/dop251/goja"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/httperr"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// passFailure is passFailure(problem, cause): if cause stands for a failure of
// the host's, so does problem. It returns the failure's class and reason, or null.
func (e *execution) passFailure(call goja.FunctionCall) goja.Value {
	problem, ok := call.Argument(0).(*goja.Object)
	cause, isObject := call.Argument(1).(*goja.Object)
	if !ok || !isObject || e.host.errors[cause] == nil {
		return goja.Null()
	}
	failure := e.host.errors[cause]
	e.standFor(problem, failure)
	return e.rt.NewArray(string(failure.Class), string(failure.Reason))
}

// maxErrorBody bounds how much of a response's body is searched for a message.
const maxErrorBody = 64 << 10

// maxHTTPMessage bounds the message of a body, in characters.
const maxHTTPMessage = 300

// httpFailure is httpFailure(problem, status, host, Retry-After, body): problem
// stands for an answer of 4xx or 5xx, judged as an http tool judges it.
func (e *execution) httpFailure(call goja.FunctionCall) goja.Value {
	problem, ok := call.Argument(0).(*goja.Object)
	status := int(call.Argument(1).ToInteger())
	if !ok || status < 400 || status > 599 {
		return goja.Undefined()
	}
	reason, retryable := httperr.Reason(status)
	detail := strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
	message, code := bodyMessage(e.text(call.Argument(4), maxErrorBody))
	if message != "" {
		detail += ": " + message
	}
	failure := errclass.New(errclass.HTTPError, reason, detail)
	failure.Retryable = retryable
	failure.RetryAfter = httperr.RetryAfter(e.text(call.Argument(3), 100), time.Now())
	failure.Upstream = errclass.Upstream{Host: errclass.OneLine(e.text(call.Argument(2), 300), 300), Status: status, Code: code}
	e.standFor(problem, failure)
	return goja.Undefined()
}

// bodyMessage is the message, and the upstream's own code, in the body of a
// failure; markup helps nobody.
func bodyMessage(text string) (message, code string) {
	if v, err := strictjson.Decode([]byte(text)); err == nil {
		return errclass.OneLine(httperr.Message(v), maxHTTPMessage), errclass.OneLine(httperr.Code(v), 64)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if strings.HasPrefix(first, "<") {
		return "", ""
	}
	return errclass.OneLine(first, maxHTTPMessage), ""
}

// timeoutFailure is timeoutFailure(problem, ms, host): problem stands for the end
// of the time that the program gave a request.
func (e *execution) timeoutFailure(call goja.FunctionCall) goja.Value {
	problem, ok := call.Argument(0).(*goja.Object)
	ms := call.Argument(1).ToFloat()
	if !ok || !(ms > 0 && ms <= maxDelay) {
		return goja.Undefined()
	}
	limit, host := time.Duration(ms)*time.Millisecond, errclass.OneLine(e.text(call.Argument(2), 300), 300)
	failure := errclass.Newf(errclass.Timeout, errclass.UpstreamTimeout, "no answer from %s within the request's timeout of %s", host, limit)
	failure.Limit = limit
	failure.Upstream.Host = host
	e.standFor(problem, failure)
	return goja.Undefined()
}
