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

// field is a named JSON value, of a query or a form.
type field struct {
	name  string
	value *expression.Tree
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
}

func (r *requestTemplate) build(s *expression.Scope) (*request, error) {
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
	return c.fields("/queryParams", params)
}

// fields compiles the values of a query or form: scalars, arrays of scalars and
// placeholders.
func (c *compiler) fields(pointer string, values map[string]any) []field {
	compiled := make([]field, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		at := pointer + "/" + pointerName(name)
		if !flat(values[name]) {
			c.fault(at, "must be a string, number, boolean or an array of these")
			continue
		}
		if values[name] == nil {
			continue
		}
		if tree := c.tree(at, values[name]); tree != nil {
			compiled = append(compiled, field{name, tree})
		}
	}
	return compiled
}

func flat(v any) bool {
	if array, ok := v.([]any); ok {
		return !slices.ContainsFunc(array, func(e any) bool { _, ok := strictjson.ScalarText(e); return !ok && e != nil })
	}
	_, ok := strictjson.ScalarText(v)
	return ok || v == nil
}

// appendFields appends name=value pairs to an encoded query.
func appendFields(query string, fields []field, s *expression.Scope) (string, error) {
	if len(fields) == 0 {
		return query, nil
	}
	b := []byte(query)
	for _, f := range fields {
		v, present, err := f.value.Value(s)
		if err != nil {
			return "", err
		}
		if !present {
			continue
		}
		name, _ := expression.QueryComponent(f.name)
		if b, err = appendPair(b, name, v); err != nil {
			return "", err
		}
	}
	return string(b), nil
}

// appendPair appends a value under an encoded name; an array repeats the name.
func appendPair(b []byte, name string, v any) ([]byte, error) {
	values, ok := v.([]any)
	if !ok {
		values = []any{v}
	}
	for _, v := range values {
		if v == nil {
			continue
		}
		text, ok := strictjson.ScalarText(v)
		if !ok {
			return nil, badInput("%s: a query or form takes strings, numbers, booleans and arrays of these; use json(x) for anything else", name)
		}
		value, _ := expression.QueryComponent(text)
		if len(b) > 0 {
			b = append(b, '&')
		}
		b = append(append(append(b, name...), '='), value...)
	}
	return b, nil
}
