package httptool

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/almyty-inc/toolrun/errclass"
)

// FetchRequest is a request that code makes, for [Fetch].
type FetchRequest struct {
	Method, URL string
	// Header holds what the code sets. Host, Expect, Upgrade and
	// Proxy-Authorization are refused; what the connection decides for itself
	// (Content-Length, Connection, Accept-Encoding, …) is passed over.
	Header http.Header
	Body   []byte // nil: none
	// Redirect is what to do about a redirect: follow at most 5 of them, error, or
	// manual, which returns it. Defaults to follow.
	Redirect string
	// MaxResponseBytes bounds the response's body after decompression. Defaults to
	// 10 MiB.
	MaxResponseBytes int64
}

// FetchResponse is the answer to a [FetchRequest].
type FetchResponse struct {
	Status     int
	StatusText string
	URL        string // the last one
	Redirected bool
	Header     http.Header
	Body       []byte
}

// Fetch sends one request through rt, without retries, and reads the answer. An
// answer of any status is a response; an [*errclass.Error] says why there was
// none. Redirects are followed as by a [Tool]: to another origin only the headers
// Accept, Accept-Language, Content-Type and User-Agent go along, and none leads
// from https to http. The time is bounded by ctx.
func Fetch(ctx context.Context, rt http.RoundTripper, f FetchRequest) (*FetchResponse, error) {
	req, failure := f.request()
	if failure != nil {
		return nil, failure
	}
	tool := &Tool{follow: true, maxBytes: f.MaxResponseBytes}
	if tool.maxBytes == 0 {
		tool.maxBytes = DefaultMaxResponseBytes
	}
	c := newCall(ctx, tool, rt)
	c.attempts = 1
	c.ctx = c.phase.under(ctx)
	resp, failure := c.fetch(req, f.Redirect)
	if failure != nil {
		return nil, failure
	}
	return resp, nil
}

// passedOver are the headers that the connection decides, whatever the code sets.
var passedOver = map[string]bool{
	"Accept-Encoding": true, "Connection": true, "Content-Length": true, "Keep-Alive": true,
	"Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true,
}

func (f *FetchRequest) request() (*request, *errclass.Error) {
	wrong := func(format string, args ...any) (*request, *errclass.Error) {
		return nil, errclass.Newf(errclass.SandboxError, errclass.Exception, format, args...)
	}
	if !httpguts.ValidHeaderFieldName(f.Method) || f.Method == http.MethodConnect || f.Method == http.MethodTrace {
		return wrong("the method %q can't be sent", errclass.OneLine(f.Method, 40))
	}
	target, err := url.Parse(f.URL)
	if err != nil {
		return wrong("the URL can't be sent: it has a %% that escapes nothing, or a host that is none")
	}
	target.Fragment, target.RawFragment = "", ""
	header := make(http.Header, len(f.Header)+2)
	for name, values := range f.Header {
		name = http.CanonicalHeaderKey(name)
		switch {
		case passedOver[name]:
			continue
		case refusedHeaders[name] != "":
			return wrong("the header %s %s", name, refusedHeaders[name])
		case !httpguts.ValidHeaderFieldName(name):
			return wrong("%q is not a valid header name", errclass.OneLine(name, 40))
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return wrong("the value of header %s holds what a header can't", name)
			}
		}
		header[name] = append(header[name], values...)
	}
	setDefault(header, "User-Agent", userAgent)
	setDefault(header, "Accept", acceptAny)
	return &request{method: f.Method, url: target, header: header, body: f.Body}, nil
}

func (c *call) fetch(req *request, redirect string) (*FetchResponse, *errclass.Error) {
	for hop := 0; ; hop++ {
		resp, failure := c.roundTrip(req)
		if failure != nil {
			return nil, failure
		}
		if redirect == "manual" || !isRedirect(resp.StatusCode) || resp.Header.Get("Location") == "" {
			return c.fetched(req, resp, hop)
		}
		c.tool.follow = redirect != "error"
		next, failure := c.redirected(req, resp, hop)
		discard(resp.Body)
		if failure != nil {
			return nil, c.annotate(failure, &reply{request: req, status: resp.StatusCode, header: resp.Header})
		}
		req = next
	}
}

// fetched reads the response that ends a request.
func (c *call) fetched(req *request, resp *http.Response, hops int) (*FetchResponse, *errclass.Error) {
	c.phase.advance(phaseBody)
	defer resp.Body.Close()
	r := &reply{request: req, status: resp.StatusCode, header: resp.Header}
	if resp.StatusCode < 200 || resp.StatusCode > 599 {
		e := errclass.Newf(errclass.InvalidResponse, errclass.Malformed, "%s answered %d, which is no answer to this request", r.host(), resp.StatusCode)
		return nil, c.annotate(e, r)
	}
	body, err := c.read(resp)
	if err != nil {
		return nil, c.annotate(c.failure(err, r.host(), true), r)
	}
	text := strings.TrimPrefix(resp.Status, strconv.Itoa(resp.StatusCode))
	return &FetchResponse{
		Status: resp.StatusCode, StatusText: strings.TrimSpace(text), URL: req.url.String(), Redirected: hops > 0,
		Header: resp.Header, Body: body,
	}, nil
}
