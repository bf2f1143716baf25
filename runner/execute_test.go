package runner_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/runner"
	"github.com/almyty-inc/toolrun/sandbox"
)

func policy(allow ...string) httptool.Policy { return httptool.Policy{Allow: allow} }

func isolation(name string) sandbox.Options {
	return sandbox.Options{Isolation: sandbox.Isolation(name)}
}

// request is an http tool that calls a URL.
func request(t *testing.T, name, target string) *runner.Definition {
	return parse(t, "name: "+name+"\ntype: http\nexecutionConfig:\n  url: "+target+"\n")
}

// upstream is an HTTP server that ends with the test.
func upstream(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// hanging answers when the test ends; entered receives each request's arrival.
func hanging(t *testing.T) (s *httptest.Server, entered chan struct{}) {
	t.Helper()
	entered = make(chan struct{}, 100)
	over := make(chan struct{})
	s = upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		select {
		case <-over:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(over) })
	return s, entered
}

// roundTrip is a transport made of a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// refusedURL names a port on which nothing listens, and that no test which runs
// beside this one gets.
const refusedURL = "http://127.0.0.1:1"

// The documented failure, to the byte.
func TestDocumentedFailure(t *testing.T) {
	target := refusedURL
	r := newRunner(t, runner.Options{
		Tools:  []*runner.Definition{request(t, "down", target)},
		Egress: policy(strings.TrimPrefix(target, "http://")),
	})
	result := execute(t, r, runner.Request{Tool: "down"})
	result.Duration = 5001*time.Millisecond + 900*time.Microsecond
	data, err := result.JSON(false)
	require.NoError(t, err)
	require.Equal(t, `{"success":false,"error":"Tool execution failed: Connection refused","duration":5001,"status":"error"}`, string(data))
}

func TestParametersAreChecked(t *testing.T) {
	def := parse(t, `
name: order
type: javascript
code: return parameters
parameters:
  type: object
  required: [quantity]
  properties:
    quantity: {type: integer, minimum: 1}
    currency: {type: string, default: EUR}
    items:
      type: array
      items: {type: object, required: [price], properties: {price: {type: number}}}
`)
	r := newRunner(t, runner.Options{Tools: []*runner.Definition{def}, ParameterBytes: 200})
	for _, tc := range []struct {
		in, message string
		code        errclass.Code
	}{
		{``, "Validation failed: quantity is required", errclass.CodeBadRequest},
		{`{"quantity":0}`, "quantity must be at least 1", errclass.CodeBadRequest},
		{`{"quantity":1,"items":[{"price":1},{}]}`, "items[1].price is required", errclass.CodeBadRequest},
		{`[]`, "must be object", errclass.CodeBadRequest},
		{`null`, "must be object", errclass.CodeBadRequest},
		{`{"quantity":1`, "not valid JSON", errclass.CodeBadRequest},
		{`{"quantity":1}{}`, "not valid JSON", errclass.CodeBadRequest},
		{`{"quantity":1,"quantity":2}`, "not valid JSON", errclass.CodeBadRequest},
		{`{"quantity":1,"x":"` + strings.Repeat("x", 180) + `"}`, "exceed 200 bytes", errclass.CodePayloadTooLarge},
	} {
		rejected := rejection(t, r, runner.Request{Tool: "order", Parameters: []byte(tc.in)})
		require.Contains(t, rejected.Message, tc.message, tc.in)
		require.Equal(t, tc.code, rejected.Code, tc.in)
	}
	for _, tc := range []struct{ in, want string }{
		{`{"quantity":1}`, `{"quantity":1,"currency":"EUR"}`},
		{`{"quantity":2,"currency":"CHF"}`, `{"quantity":2,"currency":"CHF"}`},
		{`{"quantity":1,"currency":"EUR","x":"` + strings.Repeat("x", 162) + `"}`, `{"quantity":1,"currency":"EUR","x":"` + strings.Repeat("x", 162) + `"}`},
	} {
		require.LessOrEqual(t, len(tc.in), 200, "the last is exactly at the limit")
		require.JSONEq(t, tc.want, string(execute(t, r, runner.Request{Tool: "order", Parameters: []byte(tc.in)}).Value))
	}
}

// A definition without a schema still takes objects only.
func TestParametersWithoutSchema(t *testing.T) {
	r := newRunner(t, runner.Options{Tools: []*runner.Definition{script("echo", "return parameters")}})
	require.Contains(t, rejection(t, r, runner.Request{Tool: "echo", Parameters: []byte("1")}).Message, "must be object")
	require.JSONEq(t, `{}`, string(execute(t, r, runner.Request{Tool: "echo"}).Value))
}

// Numbers that JavaScript can't hold are the caller's fault, not ours; those it
// only rounds pass other tools as they are.
func TestNumbersBeyondADouble(t *testing.T) {
	s := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.Copy(w, r.Body)
	})
	def := parse(t, "name: echo\ntype: http\nexecutionConfig: {method: POST, url: '"+s.URL+"', body: {id: '{{parameters.id}}'}}\n"+
		"parameters: {type: object, properties: {id: {}, extra: {default: 1}}}\n")
	r := newRunner(t, runner.Options{
		Tools:  []*runner.Definition{def, script("js", "return parameters"), script("calls", "return await tools.invoke('echo', {id: 1})")},
		Egress: policy(strings.TrimPrefix(s.URL, "http://")),
	})
	result := execute(t, r, runner.Request{Tool: "js", Parameters: []byte(`{"id":1e400}`)})
	require.Equal(t, errclass.SandboxError, result.Failure.Class)
	require.Equal(t, errclass.ParameterLimit, result.Failure.Reason)
	require.Equal(t, errclass.OriginCaller, result.Failure.Origin)
	require.Contains(t, result.Failure.Detail, "parameters")

	for _, id := range []string{"9007199254740993", "123456789012345678901234567890", "1e400"} {
		result := execute(t, r, runner.Request{Tool: "echo", Parameters: []byte(`{"id":` + id + `}`)})
		require.Nil(t, result.Failure)
		require.Equal(t, `{"id":`+id+`}`, string(result.Value))
	}
}

// The shortest deadline wins and is named, whoever set it.
func TestDeadlines(t *testing.T) {
	slow, _ := hanging(t)
	addr := strings.TrimPrefix(slow.URL, "http://")
	js := script("spin", "while (true) {}")
	js.Configuration.Timeout = 300
	web := request(t, "wait", slow.URL)
	web.Configuration.Timeout = 300
	own := parse(t, "name: own\ntype: http\nexecutionConfig: {url: '"+slow.URL+"', timeout: 100}\n")
	plain := script("plain", "await new Promise(r => setTimeout(r, 60000))")
	opts := runner.Options{Tools: []*runner.Definition{js, web, own, plain}, Egress: policy(addr), MaxTimeout: time.Minute}

	for _, tc := range []struct {
		name      string
		change    func(*runner.Options)
		req       runner.Request
		ctx       time.Duration
		wantNamed string
		wantLimit time.Duration
	}{
		{"the tool's, javascript", nil, runner.Request{Tool: "spin"}, 0, "the tool's timeout is 300ms", 300 * time.Millisecond},
		{"the tool's, http", nil, runner.Request{Tool: "wait"}, 0, "the tool's timeout is 300ms", 300 * time.Millisecond},
		{"the request's", nil, runner.Request{Tool: "wait", Timeout: 50 * time.Millisecond}, 0, "the request's timeout is 50ms", 50 * time.Millisecond},
		{"a longer request's doesn't extend", nil, runner.Request{Tool: "wait", Timeout: time.Minute}, 0, "the tool's timeout is 300ms", 300 * time.Millisecond},
		{"executionConfig's", nil, runner.Request{Tool: "own"}, 0, "100ms", 100 * time.Millisecond},
		{"the default", func(o *runner.Options) { o.DefaultTimeout = 80 * time.Millisecond }, runner.Request{Tool: "plain"}, 0, "the default timeout is 80ms", 80 * time.Millisecond},
		{"executionConfig's over the default", func(o *runner.Options) { o.DefaultTimeout = 10 * time.Millisecond }, runner.Request{Tool: "own"}, 0, "100ms", 100 * time.Millisecond},
		{"the maximum", func(o *runner.Options) {
			o.MaxTimeout, o.DefaultTimeout = 90*time.Millisecond, 90*time.Millisecond
		}, runner.Request{Tool: "spin"}, 0, "the service's maximum timeout is 90ms", 90 * time.Millisecond},
		{"the caller's", nil, runner.Request{Tool: "wait"}, 60 * time.Millisecond, "the caller's deadline", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := opts
			if tc.change != nil {
				tc.change(&o)
			}
			r := newRunner(t, o)
			ctx := t.Context()
			if tc.ctx > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, tc.ctx)
				defer cancel()
			}
			result, err := r.Execute(ctx, tc.req)
			require.NoError(t, err)
			require.NotNil(t, result.Failure)
			require.Equal(t, errclass.Timeout, result.Failure.Class, result.Failure.Message())
			require.Contains(t, result.Failure.Detail, tc.wantNamed)
			if tc.wantLimit > 0 {
				require.Equal(t, tc.wantLimit, result.Failure.Limit)
			}
			require.ErrorIs(t, result.Failure, context.DeadlineExceeded)
			require.Less(t, result.Duration, 10*time.Second)
		})
	}
}

func TestCallersCancel(t *testing.T) {
	slow, entered := hanging(t)
	r := newRunner(t, runner.Options{
		Tools:  []*runner.Definition{request(t, "wait", slow.URL)},
		Egress: policy(strings.TrimPrefix(slow.URL, "http://")),
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-entered
		cancel()
	}()
	result, err := r.Execute(ctx, runner.Request{Tool: "wait"})
	require.NoError(t, err)
	require.Equal(t, errclass.Cancelled, result.Failure.Class)
	require.Equal(t, errclass.CallerCancelled, result.Failure.Reason)
}

// A panic in an executor is one failed execution; the runner lives on.
func TestPanicInExecutor(t *testing.T) {
	const secret = "SEKRET-in-panic"
	var log bytes.Buffer
	r := newRunner(t, runner.Options{
		Tools:     []*runner.Definition{request(t, "web", "https://api.example.com"), script("js", "return 1")},
		Env:       map[string]string{"KEY": secret},
		Logger:    slog.New(slog.NewJSONHandler(&log, nil)),
		Transport: roundTrip(func(*http.Request) (*http.Response, error) { panic("boom " + secret + " SEKRET-of-request") }),
	})
	result := execute(t, r, runner.Request{Tool: "web", Credentials: map[string]any{"token": "SEKRET-of-request"}})
	require.Equal(t, errclass.InternalError, result.Failure.Class)
	require.Equal(t, errclass.Panic, result.Failure.Reason)
	require.Equal(t, "Tool execution failed: Internal error: execution "+result.ExecutionID, result.Failure.Message())
	require.NotContains(t, document(t, result), "boom")
	require.Contains(t, log.String(), "boom [redacted]")
	require.Contains(t, log.String(), result.ExecutionID)
	require.NotContains(t, log.String(), "SEKRET")

	require.Nil(t, execute(t, r, runner.Request{Tool: "js"}).Failure)
}

// An error of unknown make is a fault of ours: its text goes to the log only.
func TestUnknownErrorStaysInTheLog(t *testing.T) {
	var log bytes.Buffer
	r := newRunner(t, runner.Options{
		Tools:     []*runner.Definition{request(t, "web", "https://api.example.com")},
		Logger:    slog.New(slog.NewJSONHandler(&log, nil)),
		Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("/etc/secret/path") }),
	})
	result := execute(t, r, runner.Request{Tool: "web"})
	require.Equal(t, errclass.InternalError, result.Failure.Class)
	require.NotContains(t, document(t, result), "/etc/secret")
	require.Contains(t, log.String(), "/etc/secret/path")
}

func TestRateLimit(t *testing.T) {
	def := script("limited", "return 1")
	def.Configuration.RateLimit = runner.RateLimit{RequestsPerMinute: 2, RequestsPerHour: 3}
	r := newRunner(t, runner.Options{Tools: []*runner.Definition{def}})
	for range 2 {
		require.Nil(t, execute(t, r, runner.Request{Tool: "limited"}).Failure)
	}
	rejected := rejection(t, r, runner.Request{Tool: "limited"})
	require.Equal(t, errclass.CodeRateLimited, rejected.Code)
	require.Equal(t, "Rate limit exceeded. Retry after 30 seconds.", rejected.Message)
	require.InDelta(t, 30*time.Second, rejected.RetryAfter, float64(2*time.Second))
	require.Equal(t, 2, rejected.RateLimit, "the limit of the minute is the one exceeded")

	require.Nil(t, execute(t, r, runner.Request{Tool: "limited", Organization: "other"}).Failure,
		"one organization spends another's allowance")
}

// However many organizations a caller makes up, each costs the same.
func TestRateLimitOfManyOrganizations(t *testing.T) {
	def := script("limited", "return 1")
	def.Parameters = json.RawMessage(`{"required":["x"]}`)
	def.Configuration.RateLimit.RequestsPerHour = 1
	r := newRunner(t, runner.Options{Tools: []*runner.Definition{def}})
	for i := range 300 {
		req := runner.Request{Tool: "limited", Organization: fmt.Sprint(i), Parameters: []byte(`{"x":1}`)}
		require.Nil(t, execute(t, r, req).Failure)
		require.Equal(t, errclass.CodeRateLimited, rejection(t, r, req).Code)
	}
}

// A request that is turned away for its parameters costs no allowance.
func TestRateLimitCountsExecutionsOnly(t *testing.T) {
	def := script("limited", "return 1")
	def.Parameters = json.RawMessage(`{"required":["x"]}`)
	def.Configuration.RateLimit.RequestsPerHour = 1
	r := newRunner(t, runner.Options{Tools: []*runner.Definition{def}})
	for range 3 {
		require.Equal(t, errclass.CodeBadRequest, rejection(t, r, runner.Request{Tool: "limited"}).Code)
	}
	require.Nil(t, execute(t, r, runner.Request{Tool: "limited", Parameters: []byte(`{"x":1}`)}).Failure)
}

// Slots and queue are full: the next is turned away; one that waits too long
// times out in the queue; a cancelled one leaves it.
func TestQueue(t *testing.T) {
	slow, entered := hanging(t)
	r := newRunner(t, runner.Options{
		Tools:       []*runner.Definition{request(t, "wait", slow.URL), script("js", "return 1")},
		Egress:      policy(strings.TrimPrefix(slow.URL, "http://")),
		Concurrency: 1, Queue: 1,
	})
	hold, release := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = r.Execute(hold, runner.Request{Tool: "wait"}) })
	<-entered

	timedOut := execute(t, r, runner.Request{Tool: "js", Timeout: 20 * time.Millisecond})
	require.Equal(t, errclass.Timeout, timedOut.Failure.Class)
	require.Equal(t, errclass.Queue, timedOut.Failure.Reason)
	require.Contains(t, timedOut.Failure.Detail, "the request's timeout is 20ms")

	queued, leave := context.WithCancel(t.Context())
	var left *runner.Result
	wg.Go(func() {
		for left == nil { // turned away while one of the probes below has the place
			left, _ = r.Execute(queued, runner.Request{Tool: "js"})
		}
	})
	var rejected *errclass.APIError
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		_, err := r.Execute(ctx, runner.Request{Tool: "js"})
		return errors.As(err, &rejected)
	}, 10*time.Second, time.Millisecond)
	require.Equal(t, errclass.CodeUnavailable, rejected.Code)
	require.Positive(t, rejected.RetryAfter)

	leave()
	release()
	wg.Wait()
	require.Equal(t, errclass.Cancelled, left.Failure.Class)
	require.Nil(t, execute(t, r, runner.Request{Tool: "js"}).Failure)
	require.Zero(t, r.Running())
}

func TestOutputSchema(t *testing.T) {
	def := script("answer", "return parameters.answer")
	def.OutputSchema = json.RawMessage(`{"type":"object","required":["total"],"properties":{"total":{"type":"number"}}}`)
	r := newRunner(t, runner.Options{Tools: []*runner.Definition{def}})
	require.Nil(t, execute(t, r, runner.Request{Tool: "answer", Parameters: []byte(`{"answer":{"total":1}}`)}).Failure)
	failed := execute(t, r, runner.Request{Tool: "answer", Parameters: []byte(`{"answer":{}}`)})
	require.Equal(t, errclass.InvalidResponse, failed.Failure.Class)
	require.Equal(t, errclass.SchemaMismatch, failed.Failure.Reason)
	require.Contains(t, failed.Failure.Detail, "total is required")
	require.Nil(t, failed.Value)
}

func TestCache(t *testing.T) {
	hits := 0
	s := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		hits++
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("q") == "bad" {
			w.WriteHeader(http.StatusTeapot)
		}
		fmt.Fprintf(w, `%d`, hits)
	})
	def := parse(t, "name: c\ntype: http\nexecutionConfig: {url: '"+s.URL+"', queryParams: {q: '{{parameters.q}}'}}\nconfiguration: {cache: {enabled: true, ttl: 3600}}\n")
	r := newRunner(t, runner.Options{Tools: []*runner.Definition{def}, Egress: policy(strings.TrimPrefix(s.URL, "http://"))})
	run := func(org, params string) string {
		result := execute(t, r, runner.Request{Tool: "c", Organization: org, Parameters: []byte(params)})
		if result.Failure != nil {
			return string(result.Failure.Class)
		}
		return string(result.Value)
	}
	require.Equal(t, "1", run("", `{"q":"a","n":1}`))
	require.Equal(t, "1", run("", `{ "n":1, "q":"a" }`), "order and spacing make no difference")
	require.Equal(t, "2", run("", `{"q":"b","n":1}`))
	require.Equal(t, "3", run("acme", `{"q":"a","n":1}`), "organizations share nothing")
	other := execute(t, r, runner.Request{Tool: "c", Parameters: []byte(`{"q":"a","n":1}`), Credentials: map[string]any{"user": "bob"}})
	require.Equal(t, "4", string(other.Value), "nor do callers with other credentials")
	require.Equal(t, "http_error", run("", `{"q":"bad"}`))
	require.Equal(t, "http_error", run("", `{"q":"bad"}`))
	require.Equal(t, 6, hits, "failures are not kept")

	// What one caller does to its result is no other's.
	spoilt := execute(t, r, runner.Request{Tool: "c", Parameters: []byte(`{"q":"a","n":1}`)})
	require.True(t, spoilt.Cached)
	spoilt.Value[0] = '6'
	require.Equal(t, "1", run("", `{"q":"a","n":1}`))
}

// executionConfig's retries win over configuration's, also when they are none.
func TestRetriesAreSetTwice(t *testing.T) {
	hits := 0
	s := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		hits++
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	for _, tc := range []struct {
		own  string
		want int
	}{{"", 2}, {", retries: 0", 1}, {", retries: 2", 3}} {
		def := parse(t, "name: a\ntype: http\nexecutionConfig: {url: '"+s.URL+"'"+tc.own+"}\nconfiguration: {retries: 1}\n")
		r := newRunner(t, runner.Options{Tools: []*runner.Definition{def}, Egress: policy(strings.TrimPrefix(s.URL, "http://"))})
		hits = 0
		result := execute(t, r, runner.Request{Tool: "a"})
		require.Equal(t, errclass.Overloaded, result.Failure.Reason)
		require.Equal(t, tc.want, hits, "%q", tc.own)
		require.Equal(t, tc.want, result.Failure.Attempts)
	}
}

func TestCacheExpires(t *testing.T) {
	hits := 0
	s := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		hits++
		fmt.Fprint(w, "text")
	})
	def := parse(t, "name: c\ntype: http\nexecutionConfig: {url: '"+s.URL+"'}\nconfiguration: {cache: {enabled: true, ttl: 0.05}}\n")
	r := newRunner(t, runner.Options{Tools: []*runner.Definition{def}, Egress: policy(strings.TrimPrefix(s.URL, "http://"))})
	require.Eventually(t, func() bool {
		execute(t, r, runner.Request{Tool: "c"})
		return hits >= 3
	}, 20*time.Second, time.Millisecond)
}

// A library that panics outside of an executor fails one request.
func TestPanicOutsideOfAnExecutor(t *testing.T) {
	r := newRunner(t, runner.Options{
		Tools:  []*runner.Definition{script("js", "return 1")},
		Logger: slog.New(panicking{slog.DiscardHandler}),
	})
	_, err := r.Execute(t.Context(), runner.Request{Tool: "js"})
	var failed *errclass.APIError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, errclass.CodeInternal, failed.Code)
	require.NotContains(t, failed.Message, "boom")
	require.Zero(t, r.Running())
}

// panicking is a log handler with a fault of its own.
type panicking struct{ slog.Handler }

func (panicking) Enabled(context.Context, slog.Level) bool  { return true }
func (panicking) Handle(context.Context, slog.Record) error { panic("boom") }

// No value of env or credentials leaves, in whatever coat.
func TestRedaction(t *testing.T) {
	const envValue, credential, perRequest = "env/SEKRET value+1", "cred<SEKRET>&2", "request-SEKRET-3"
	echo := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Request-Id", r.Header.Get("X-Key"))
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(map[string]string{"message": strings.Join([]string{
			"no:", r.URL.RawQuery, r.Header.Get("Authorization"), r.Header.Get("X-Key"), string(body)}, " ")})
	})
	web := parse(t, `
name: web
type: http
authConfig: {type: basic, config: {username: bob, password: '{{credentials.password}}'}}
executionConfig:
  method: POST
  url: '`+echo.URL+`/{{env.KEY}}'
  headers: {X-Key: '{{credentials.extra}}'}
  queryParams: {key: '{{env.KEY}}'}
  body: {key: '{{credentials.password}}'}
`)
	js := script("js", `
		console.log(credentials.password, btoa2(credentials.password), encodeURIComponent(credentials.password));
		throw new Error('bad ' + credentials.password + ' ' + credentials.extra);
		function btoa2(s) { return JSON.stringify(s) }`)
	var log bytes.Buffer
	r := newRunner(t, runner.Options{
		Tools: []*runner.Definition{web, js}, Egress: policy(strings.TrimPrefix(echo.URL, "http://")),
		Env: map[string]string{"KEY": envValue}, Credentials: map[string]any{"password": credential},
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	for _, tool := range []string{"web", "js"} {
		result := execute(t, r, runner.Request{Tool: tool, Credentials: map[string]any{"extra": perRequest}})
		require.NotNil(t, result.Failure)
		require.NotEqual(t, errclass.InternalError, result.Failure.Class)
		seen := document(t, result) + log.String()
		require.Contains(t, seen, "[redacted]")
		require.NotContains(t, seen, "SEKRET")
		for _, secret := range []string{envValue, credential, perRequest} {
			require.NotContains(t, seen, url.QueryEscape(secret))
			require.NotContains(t, seen, url.PathEscape(secret))
			require.NotContains(t, seen, base64.StdEncoding.EncodeToString([]byte(secret)))
			require.NotContains(t, seen, base64.StdEncoding.EncodeToString([]byte("bob:"+secret)))
		}
	}
}

// Definitions that hold their secret themselves run, and keep it, also where
// another tool calls them.
func TestLiteralSecretsAreRedacted(t *testing.T) {
	const secret = "literal/SEKRET+1"
	echo := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		given := r.Header.Get("Authorization") + r.Header.Get("X-Key") + r.URL.RawQuery
		if r.URL.Path == "/good" {
			_ = json.NewEncoder(w).Encode(given)
			return
		}
		w.Header().Set("X-Request-Id", given)
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(map[string]string{"message": "no: " + given})
	})
	web := func(name, path, auth string) *runner.Definition {
		return parse(t, "name: "+name+"\ntype: http\nauthConfig: "+auth+"\nexecutionConfig: {url: '"+echo.URL+path+"'}")
	}
	var log bytes.Buffer
	r := newRunner(t, runner.Options{
		Tools: []*runner.Definition{
			web("bearer", "/", "{type: bearer, config: {token: '"+secret+"'}}"),
			web("basic", "/", "{type: basic, config: {username: bob, password: '"+secret+"'}}"),
			web("apiKey", "/", "{type: apiKey, config: {name: X-Key, value: '"+secret+"'}}"),
			web("query", "/", "{type: apiKey, config: {name: key, in: query, value: '"+secret+"'}}"),
			web("good", "/good", "{type: bearer, config: {token: '"+secret+"'}}"),
			script("outer", "const got = await tools.invoke('good', {}); console.log(got); throw new Error('got ' + got)"),
			script("stranger", "throw new Error('literal/SEKRET+1')"),
		},
		Egress: policy(strings.TrimPrefix(echo.URL, "http://")),
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	for _, tool := range []string{"bearer", "basic", "apiKey", "query", "outer"} {
		result := execute(t, r, runner.Request{Tool: tool})
		require.NotNil(t, result.Failure, tool)
		seen := document(t, result) + log.String()
		require.Contains(t, seen, "[redacted]")
		require.NotContains(t, seen, "SEKRET", tool)
		require.NotContains(t, seen, url.QueryEscape(secret), tool)
		require.NotContains(t, seen, base64.StdEncoding.EncodeToString([]byte("bob:"+secret)), tool)
	}
	require.Contains(t, string(execute(t, r, runner.Request{Tool: "good"}).Value), "Bearer "+secret)
	// A tool can't try out what another one's secret is.
	require.Contains(t, document(t, execute(t, r, runner.Request{Tool: "stranger"})), secret)
	require.NotContains(t, log.String(), "SEKRET")
}

func TestInvoke(t *testing.T) {
	target := refusedURL
	limited := script("limited", "return 1")
	limited.Configuration.RateLimit.RequestsPerHour = 1
	strict := script("strict", "return parameters.n + 1")
	strict.Parameters = json.RawMessage(`{"required":["n"]}`)
	foreign := script("foreign", "return 1")
	foreign.Organization = "globex"
	tools := []*runner.Definition{
		script("double", "return parameters.n * 2"),
		script("sum", "const r = await Promise.all([1,2,3].map(n => tools.invoke('double', {n}))); return r.reduce((a, b) => a + b)"),
		script("loop", "return await tools.invoke('loop', {})"),
		script("flood", "for (let i = 0; i < 1000; i++) await tools.invoke('double', {n: i})"),
		script("calls", "return await tools.invoke(parameters.tool, {})"),
		script("catches", "try { await tools.invoke(parameters.tool, {}) } catch (e) { return {name: e.name, message: e.message, class: e.class} }"),
		script("sleeps", "await new Promise(r => setTimeout(r, 60000))"),
		request(t, "down", target), limited, strict, foreign,
	}
	r := newRunner(t, runner.Options{Tools: tools, Egress: policy(strings.TrimPrefix(target, "http://")), Concurrency: 1})

	require.JSONEq(t, "12", string(execute(t, r, runner.Request{Tool: "sum"}).Value))
	call := func(tool, name string) *errclass.Error {
		params, _ := json.Marshal(map[string]string{"tool": name})
		return execute(t, r, runner.Request{Organization: "acme", Tool: tool, Parameters: params, Timeout: 5 * time.Second}).Failure
	}
	for _, tc := range []struct {
		tool, name string
		class      errclass.Class
		reason     errclass.Reason
		detail     string
	}{
		{"loop", "", errclass.SandboxError, errclass.InvokeLimit, "more than 8 deep"},
		{"flood", "", errclass.SandboxError, errclass.InvokeLimit, "100 tools"},
		{"calls", "down", errclass.ConnectionRefused, errclass.Refused, `tool "down"`},
		{"calls", "missing", errclass.SandboxError, errclass.Exception, "Tool not found"},
		{"calls", "foreign", errclass.SandboxError, errclass.Exception, "Tool not found"},
		{"calls", "strict", errclass.SandboxError, errclass.Exception, "n is required"},
	} {
		failure := call(tc.tool, tc.name)
		require.NotNil(t, failure, "%s %s", tc.tool, tc.name)
		require.Equal(t, tc.class, failure.Class, failure.Message())
		require.Equal(t, tc.reason, failure.Reason, failure.Message())
		require.Contains(t, failure.Detail, tc.detail)
	}
	caught := execute(t, r, runner.Request{Tool: "catches", Parameters: []byte(`{"tool":"down"}`)})
	require.Nil(t, caught.Failure)
	require.Contains(t, string(caught.Value), `"class":"connection_refused"`)

	slept := execute(t, r, runner.Request{Tool: "calls", Parameters: []byte(`{"tool":"sleeps"}`), Timeout: 100 * time.Millisecond})
	require.Equal(t, errclass.Timeout, slept.Failure.Class, slept.Failure.Message())
	require.Contains(t, slept.Failure.Detail, "the request's timeout is 100ms")

	require.Nil(t, call("calls", "limited"))
	exceeded := call("calls", "limited")
	require.Equal(t, errclass.RateLimit, exceeded.Reason)
	require.True(t, exceeded.Retryable)
	require.Positive(t, exceeded.RetryAfter)
}

func TestCloseWaitsThenCancels(t *testing.T) {
	slow, entered := hanging(t)
	r, err := runner.New(runner.Options{
		Tools:  []*runner.Definition{request(t, "wait", slow.URL), script("short", "await new Promise(r => setTimeout(r, 50)); return 1")},
		Egress: policy(strings.TrimPrefix(slow.URL, "http://")),
	})
	require.NoError(t, err)
	var wg sync.WaitGroup
	var waited *runner.Result
	wg.Go(func() { waited, _ = r.Execute(t.Context(), runner.Request{Tool: "wait"}) })
	<-entered

	ctx, cancel := context.WithCancel(t.Context())
	closed := make(chan error, 1)
	go func() { closed <- r.Close(ctx) }()
	require.Eventually(t, func() bool {
		_, err := r.Execute(t.Context(), runner.Request{Tool: "short"})
		return err != nil
	}, 10*time.Second, time.Millisecond)
	rejected := rejection(t, r, runner.Request{Tool: "short"})
	require.Equal(t, errclass.CodeUnavailable, rejected.Code)
	select {
	case <-closed:
		t.Fatal("Close came back before the execution in flight")
	default:
	}
	cancel()
	require.NoError(t, <-closed)
	wg.Wait()
	require.Equal(t, errclass.Cancelled, waited.Failure.Class)
	require.Equal(t, errclass.Shutdown, waited.Failure.Reason)
	require.NoError(t, r.Close(context.Background()), "closing again")
}

func TestLLMTool(t *testing.T) {
	s := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer sk-test-key" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":{"message":"Incorrect API key provided","type":"invalid_request_error","code":"invalid_api_key"}}`)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"id":"1","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"short"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12}}`)
	})
	def := parse(t, "name: summary\ntype: llm\nexecutionConfig: {providerId: main, promptTemplate: 'Sum up: {{parameters.text}}'}\n")
	opts := runner.Options{
		Tools:     []*runner.Definition{def, script("twice", "const t = {text: 'x'}; await tools.invoke('summary', t); return await tools.invoke('summary', t)")},
		Providers: []llmtool.Provider{{ID: "main", Type: "openai", BaseURL: s.URL + "/v1", APIKey: "{{env.KEY}}", Model: "m"}},
		Egress:    policy(strings.TrimPrefix(s.URL, "http://")),
	}
	for _, tc := range []struct{ key, want string }{
		{"sk-test-key", `"usage":{"promptTokens":10,"completionTokens":2,"totalTokens":12`},
		{"sk-wrong-key", `"error":"Tool execution failed: LLM error: `},
		{"", `"error":"Tool execution failed: Configuration error: env.KEY is not set`},
	} {
		o := opts
		if tc.key != "" {
			o.Env = map[string]string{"KEY": tc.key}
		}
		r := newRunner(t, o)
		env, _, err := r.Needs("", "summary")
		require.NoError(t, err)
		require.Equal(t, []string{"KEY"}, env)
		result := execute(t, r, runner.Request{Tool: "summary", Parameters: []byte(`{"text":"long"}`)})
		data, err := result.JSON(false)
		require.NoError(t, err)
		require.Contains(t, string(data), tc.want)

		twice := execute(t, r, runner.Request{Tool: "twice"})
		if twice.Failure == nil {
			require.Equal(t, 24, twice.Usage.TotalTokens, "what nested tools consume is counted")
		}
	}
}

func TestNegativeTimeout(t *testing.T) {
	r := newRunner(t, runner.Options{Tools: []*runner.Definition{script("js", "return 1")}})
	require.Contains(t, rejection(t, r, runner.Request{Tool: "js", Timeout: -1}).Message, "timeout is negative")
}

// A full queue in front of the sandbox's processes turns a request away as a full
// queue of the runner's does.
func TestSandboxQueueIsFull(t *testing.T) {
	r := newRunner(t, runner.Options{
		Tools:   []*runner.Definition{script("wait", "await new Promise((r) => setTimeout(r, 60_000))")},
		Sandbox: sandbox.Options{Children: 1, Queue: 1},
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	full := make(chan *errclass.APIError, 3)
	for range 3 { // one runs, one waits
		wg.Go(func() {
			_, err := r.Execute(ctx, runner.Request{Tool: "wait"})
			if turnedAway, ok := errors.AsType[*errclass.APIError](err); ok {
				full <- turnedAway
			}
		})
	}
	turnedAway := <-full
	require.Equal(t, errclass.CodeUnavailable, turnedAway.Code)
	require.Equal(t, time.Second, turnedAway.RetryAfter)
}
