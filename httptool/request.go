package httptool

import (
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"

	"golang.org/x/net/http/httpguts"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/expression"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// requestTemplate is the compiled request of a definition.
type requestTemplate struct {
	method  string
	url     *urlTemplate
	query   []field
	headers []header
	body    *bodyTemplate
	auth    *authTemplate
}

type header struct {
	name  string // canonical
	value *expression.Template
}

// request is one request ready to be sent, any number of times.
type request struct {
	method string
	url    *url.URL
	header http.Header
	body   []byte // nil: none
	grant  *grant // for its Authorization; nil: none
}

func (r *requestTemplate) build(s *expression.Scope, organization string) (*request, error) {
	address, query, err := r.url.render(s)
	if err != nil {
		return nil, err
	}
	if query, err = appendFields(query, r.query, s); err != nil {
		return nil, err
	}
	req := &request{method: r.method, header: make(http.Header, len(r.headers)+4)}
	if req.body, err = r.body.render(s, req.header); err != nil {
		return nil, err
	}
	if query, err = r.auth.apply(s, req.header, query); err != nil {
		return nil, err
	}
	for _, h := range r.headers {
		value, present, err := h.value.Text(s, expression.HeaderValue)
		if err != nil {
			return nil, err
		}
		if !present {
			continue
		}
		if !httpguts.ValidHeaderFieldValue(value) {
			return nil, badInput("the value of header %s holds what a header can't", h.name)
		}
		req.header[h.name] = []string{value}
	}
	if _, set := req.header["Authorization"]; !set {
		if req.grant, err = r.auth.grant(s, organization); err != nil {
			return nil, err
		}
	}
	setDefault(req.header, "User-Agent", userAgent)
	setDefault(req.header, "Accept", acceptJSON)
	if req.header["Range"] == nil {
		setDefault(req.header, "Accept-Encoding", gzipOnly) // here once, rather than in a copy for each attempt
	}
	address.RawQuery = query
	req.url = address
	if _, _, err := inspectURL(address); err != nil {
		return nil, err
	}
	return req, nil
}

// Headers that all requests share. Nobody changes the values of a header.
var (
	userAgent  = []string{"toolrun"}
	acceptJSON = []string{"application/json, */*;q=0.5"}
	acceptAny  = []string{"*/*"}
	gzipOnly   = []string{"gzip"}
)

func setDefault(h http.Header, name string, value []string) {
	if _, set := h[name]; !set {
		h[name] = value
	}
}

// badInput is a request that these parameters don't make.
func badInput(format string, args ...any) *errclass.Error {
	return errclass.Newf(errclass.ConfigurationError, errclass.BadExpression, format, args...)
}

// origin is what credentials are for.
func (r *request) origin() string { return originOf(r.url) }

func originOf(u *url.URL) string {
	port, _ := urlPort(u)
	host, err := normalHost(u.Hostname())
	if err != nil {
		host = u.Hostname()
	}
	return u.Scheme + "://" + displayOrigin(host, port, u.Scheme)
}

func (r *request) idempotent() bool {
	switch r.method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	}
	return r.header.Get("Idempotency-Key") != ""
}

// refusedHeaders are those that net/http or the connection decides.
var refusedHeaders = map[string]string{
	"Host":                "is set from the URL",
	"Content-Length":      "is set from the body",
	"Transfer-Encoding":   "is set by the connection",
	"Connection":          "is set by the connection",
	"Keep-Alive":          "is set by the connection",
	"Proxy-Connection":    "is set by the connection",
	"Proxy-Authorization": "has no use: there is no proxy",
	"Te":                  "is set by the connection",
	"Trailer":             "is not supported",
	"Upgrade":             "is not supported",
	"Expect":              "is not supported",
}

func (c *compiler) headers(headers map[string]any) []header {
	compiled := make([]header, 0, len(headers))
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		pointer := "/headers/" + pointerName(name)
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			c.fault(pointer, "is not a valid header name")
			continue
		case refusedHeaders[canonical] != "":
			c.fault(pointer, refusedHeaders[canonical])
			continue
		case seen[canonical] != "":
			c.fault(pointer, "is the same header as "+seen[canonical])
			continue
		}
		seen[canonical] = name
		text, ok := strictjson.ScalarText(headers[name])
		if !ok {
			c.fault(pointer, "must be a string, number or boolean")
			continue
		}
		t := c.text(pointer, text)
		if t == nil {
			continue
		}
		if constant, ok := t.Constant(); ok && !httpguts.ValidHeaderFieldValue(constant) {
			c.fault(pointer, "holds what a header can't, such as a line break")
		}
		compiled = append(compiled, header{canonical, t})
	}
	return compiled
}

func (c *compiler) query(params map[string]any) []field {
	return c.fields("/queryParams", params, c.checkNested)
}
