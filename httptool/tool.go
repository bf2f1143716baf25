// Package httptool calls HTTP and GraphQL services the way a tool's definition
// says, through a transport that reaches only what a policy allows.
//
// Start with [NewTransport], the guarded door to the network, and [Compile] or
// [CompileGraphQL], which check a definition and make a [Tool] of it. [Tool.Run]
// then sends one call, with its retries, redirects and pages, and returns the
// result as JSON text or an [*errclass.Error] that says what went wrong.
package httptool

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/expression"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// Defaults and bounds of a [Config].
const (
	DefaultTimeout          = 30 * time.Second
	DefaultMaxResponseBytes = 10 << 20
	maxRetries              = 10
	maxRedirects            = 5
)

// Config is the "http" part of a tool's definition. Strings may hold {{ }}
// expressions, except in Method, BodyEncoding, Pagination and the paths of
// ResponseMapping.
type Config struct {
	// Method defaults to GET. Every method is taken but CONNECT and TRACE.
	Method string `json:"method,omitempty"`

	// URL is where to send the request. Values in its path and query are
	// percent-encoded. Scheme and host are literal or come from env and
	// credentials, as in {{env.BASE_URL}}/items: a caller's parameter never
	// chooses them, with one exception, a URL that is a single placeholder with a
	// plain path, {{parameters.url}}, for tools whose purpose is to fetch what the
	// caller names; there can't be an authConfig then. The transport's policy
	// judges every address alike.
	URL string `json:"url"`

	// Headers are set on the request; a header whose value is absent is left out.
	// A header set here wins over one that authConfig would set.
	Headers map[string]any `json:"headers,omitempty"`

	// QueryParams are appended to the URL's query, sorted by name, arrays and
	// objects as in a form (see Body). An absent or null value is left out.
	QueryParams map[string]any `json:"queryParams,omitempty"`

	// Body is a JSON value; empty for none. No body is larger than 32 MiB. For the
	// two forms it is an object of the fields, from which absent and null values
	// are left out.
	//
	// In form-urlencoded an array of scalars repeats its name, a=1&a=2 (so a field
	// named "a[]" is what PHP and Rails take for a list); an object and an array
	// of objects put their names in brackets, a[b]=1 and a[0][b]=1, and an array
	// within those its numbers, a[b][0]=1. They may be 16 deep.
	//
	// In multipart a field is a scalar, a file or an array of these, which
	// repeats the name. A file is an object with filename, contentType and one of
	// base64 (of either alphabet, padded or not), dataUrl and text. The filename
	// defaults to "file" and to none for a text, the contentType to that of the
	// data URL, text/plain for a text and else application/octet-stream.
	Body json.RawMessage `json:"body,omitempty"`

	// BodyEncoding is json (the default), form-urlencoded, multipart or raw. A
	// raw body that is JSON can't have placeholders.
	BodyEncoding string `json:"bodyEncoding,omitempty"`

	// Timeout in milliseconds bounds one attempt: a request with its redirects,
	// until the answer's body is read. Each retry and each page has it anew; the
	// whole run is bounded by its context's deadline alone. Defaults to 30000.
	Timeout int `json:"timeout,omitempty"`

	// Retries is how often a failed request is repeated, 0 to 10. Only requests
	// of idempotent methods or with an Idempotency-Key header are repeated, after
	// a connection that failed before the response, an attempt that took longer
	// than Timeout, or a 429, 502, 503 or 504; and only while a further attempt
	// fits in before the context's deadline.
	Retries int `json:"retries,omitempty"`

	ResponseMapping *ResponseMapping `json:"responseMapping,omitempty"`
	Pagination      *Pagination      `json:"pagination,omitempty"`

	// FollowRedirects follows at most 5 redirects. To another origin only the
	// headers Accept, Accept-Language, Content-Type and User-Agent follow, and a
	// redirect that would take a body there is refused.
	FollowRedirects bool `json:"followRedirects,omitempty"`

	// MaxResponseBytes bounds a response's body after decompression, and all
	// pages together. Defaults to 10 MiB.
	MaxResponseBytes int64 `json:"maxResponseBytes,omitempty"`
}

// Input is what the expressions of one run see. It is only read.
type Input struct {
	Parameters  map[string]any // as JSON decodes: strings, numbers, bools, []any, map[string]any
	Env         map[string]string
	Credentials map[string]any
}

// Response is what a successful run returns.
type Response struct {
	Value    json.RawMessage // valid, compact JSON
	Attempts int             // requests sent, with retries and pages, without redirects and those for tokens
}

// Tool is a compiled definition. It is safe for concurrent use, and immutable but
// for the access tokens that it keeps for oauth2.
type Tool struct {
	request    *requestTemplate
	timeout    time.Duration // of one attempt
	retries    int
	follow     bool
	maxBytes   int64
	mapping    *mapping
	pagination *pages
	graphql    bool

	env, credentials []string
}

// Compile checks a definition and makes a tool of it. It returns all faults at
// once, with JSON pointers relative to the config ("/url", "/headers/X-A"), those
// of auth below "/authConfig", and then no tool. auth may be nil.
// parameterSchema is the JSON Schema that declares the parameters; nil declares
// none and leaves all open.
func Compile(cfg Config, auth *Auth, parameterSchema []byte) (*Tool, []errclass.FieldError) {
	c := newCompiler(parameterSchema)
	t := &Tool{
		timeout:  time.Duration(cfg.Timeout) * time.Millisecond,
		retries:  cfg.Retries,
		follow:   cfg.FollowRedirects,
		maxBytes: cfg.MaxResponseBytes,
	}
	c.bound("/timeout", int64(cfg.Timeout), 3_600_000)
	c.bound("/retries", int64(cfg.Retries), maxRetries)
	c.bound("/maxResponseBytes", cfg.MaxResponseBytes, 1<<30)
	if t.timeout == 0 {
		t.timeout = DefaultTimeout
	}
	if t.maxBytes == 0 {
		t.maxBytes = DefaultMaxResponseBytes
	}
	t.request = &requestTemplate{
		method:  c.method(cfg.Method),
		url:     c.url("/url", cfg.URL),
		query:   c.query(cfg.QueryParams),
		headers: c.headers(cfg.Headers),
		body:    c.body(cfg.Body, cfg.BodyEncoding, cfg.Headers),
		auth:    c.auth(auth),
	}
	c.checkAuthTarget(t.request)
	t.mapping = c.mapping(cfg.ResponseMapping)
	t.pagination = c.pagination(cfg.Pagination, cfg.ResponseMapping)
	return c.finish(t)
}

// Names lists the members of env and credentials that the tool reads, sorted.
func (t *Tool) Names() (env, credentials []string) { return t.env, t.credentials }

// Run sends the request and what follows from it through rt, which should be a
// [*Transport]: Run itself refuses odd URLs but judges no address. It returns a
// Response, or an error that is always an [*errclass.Error]. ctx should have a
// deadline: it is what bounds the run with all its retries and pages. Where ctx
// ended with an [*errclass.Error] as its cause, that is the error.
func (t *Tool) Run(ctx context.Context, rt http.RoundTripper, in Input) (*Response, error) {
	scope := expression.Scope{Parameters: in.Parameters, Env: in.Env, Credentials: in.Credentials}
	req, err := t.request.build(&scope, organizationOf(ctx))
	if err != nil {
		return nil, errclass.Classify(err)
	}
	c := newCall(ctx, t, rt)
	value, failure := t.result(c, req)
	if failure != nil {
		if len(c.tokens) > 0 && !c.foreign(failure) {
			failure = withoutSecrets(failure, c.tokens...)
		}
		return nil, failure
	}
	return &Response{Value: value, Attempts: c.attempts}, nil
}

func (t *Tool) result(c *call, req *request) (json.RawMessage, *errclass.Error) {
	if t.pagination != nil {
		return t.collect(c, req)
	}
	reply, failure := c.try(req)
	if failure != nil {
		return nil, failure
	}
	value, failure := t.value(reply)
	if failure != nil {
		return nil, c.annotate(failure, reply)
	}
	return value, nil
}

// compiler collects the faults and names of one definition.
type compiler struct {
	declared         expression.Declared
	faults           []errclass.FieldError
	env, credentials map[string]struct{}
}

func newCompiler(schema []byte) *compiler {
	c := &compiler{declared: expression.Declared{Open: true}, env: map[string]struct{}{}, credentials: map[string]struct{}{}}
	if len(schema) > 0 {
		c.declared = expression.DeclaredFrom(schema)
	}
	return c
}

func (c *compiler) finish(t *Tool) (*Tool, []errclass.FieldError) {
	if len(c.faults) > 0 {
		slices.SortStableFunc(c.faults, func(a, b errclass.FieldError) int { return strings.Compare(a.Field, b.Field) })
		return nil, c.faults
	}
	t.env, t.credentials = slices.Sorted(maps.Keys(c.env)), slices.Sorted(maps.Keys(c.credentials))
	return t, nil
}

func (c *compiler) fault(pointer, message string) {
	c.faults = append(c.faults, errclass.FieldError{Field: pointer, Message: message})
}

func (c *compiler) bound(pointer string, n, most int64) {
	if n < 0 || n > most {
		text, _ := strictjson.Marshal(most)
		c.fault(pointer, "must be from 0 to "+string(text))
	}
}

// text compiles a string with placeholders; nil after a fault.
func (c *compiler) text(pointer, src string) *expression.Template {
	t, err := expression.Compile(src, c.declared)
	if err != nil {
		c.fault(pointer, err.Error())
		return nil
	}
	c.note(t.Names())
	return t
}

// tree compiles a JSON value; nil after a fault.
func (c *compiler) tree(pointer string, v any) *expression.Tree {
	t, faults := expression.CompileTree(v, c.declared)
	for _, f := range faults {
		c.fault(pointer+f.Field, f.Message)
	}
	if t != nil {
		c.note(t.Names())
	}
	return t
}

func (c *compiler) note(env, credentials []string) {
	for _, name := range env {
		c.env[name] = struct{}{}
	}
	for _, name := range credentials {
		c.credentials[name] = struct{}{}
	}
}

func (c *compiler) method(method string) string {
	method = strings.ToUpper(method)
	switch {
	case method == "":
		return http.MethodGet
	case method == http.MethodConnect || method == http.MethodTrace:
		c.fault("/method", "must not be "+method)
	case !httpguts.ValidHeaderFieldName(method):
		c.fault("/method", "is not a valid HTTP method")
	}
	return method
}

// pointerName escapes a member's name for a JSON pointer.
func pointerName(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
