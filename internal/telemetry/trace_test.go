package telemetry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/require"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/internal/telemetry"
	"github.com/almyty-inc/toolrun/runner"
)

const (
	callersTrace = "0af7651916cd43dd8448eb211c80319c"
	callersSpan  = "b7ad6b7169203331"
	caller       = "00-" + callersTrace + "-" + callersSpan + "-01"
)

// scene is a service with one tool that calls an upstream, and their spans.
type scene struct {
	url       string
	telemetry *telemetry.Telemetry
	mu        sync.Mutex
	upstream  []http.Header
}

// stage serves a tool named get that follows a redirect, and one named own with a
// traceparent of its own.
func stage(t *testing.T, opts telemetry.Options) *scene {
	t.Helper()
	s := &scene{telemetry: begin(t, opts)}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.upstream = append(s.upstream, r.Header)
		s.mu.Unlock()
		if r.URL.Path == "/first" {
			http.Redirect(w, r, "/second?key=hunter2", http.StatusFound)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{}`)
	}))
	t.Cleanup(upstream.Close)
	definition := func(name, rest string) *runner.Definition {
		return &runner.Definition{Name: name, Type: runner.HTTP, ExecutionConfig: json.RawMessage(`{"url":"` + upstream.URL + `/first","followRedirects":true` + rest + `}`)}
	}
	r, err := runner.New(runner.Options{
		Observer: s.telemetry, Egress: httptool.Policy{Allow: []string{strings.TrimPrefix(upstream.URL, "http://")}},
		Tools: []*runner.Definition{definition("get", ""), definition("own", `,"headers":{"traceparent":"mine"}`)},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close(context.Background())) })
	router := chi.NewRouter()
	router.Use(s.telemetry.Middleware)
	router.Get("/healthz", func(http.ResponseWriter, *http.Request) {})
	router.Get("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	router.Post("/tools/{id}/execute", func(w http.ResponseWriter, req *http.Request) {
		result, err := r.Execute(req.Context(), runner.Request{Tool: chi.URLParam(req, "id"), Organization: "acme", ExecutionID: "x-1", Parameters: json.RawMessage(req.FormValue("p"))})
		if err != nil {
			w.WriteHeader(err.(*errclass.APIError).StatusCode())
			return
		}
		json.NewEncoder(w).Encode(result)
	})
	front := httptest.NewServer(router)
	t.Cleanup(front.Close)
	s.url = front.URL
	return s
}

func (s *scene) do(t *testing.T, method, path string, headers http.Header) int {
	t.Helper()
	request, err := http.NewRequest(method, s.url+path, nil)
	require.NoError(t, err)
	request.Header = headers
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	response, err := client.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode
}

func TestTraceFromCallerToUpstream(t *testing.T) {
	receiver := newReceiver(t)
	s := stage(t, telemetry.Options{Endpoint: receiver.URL, Version: "1.2.3"})
	s.do(t, "POST", "/tools/get/execute", http.Header{"Traceparent": {caller}, "Tracestate": {"vendor=1"}, "Baggage": {"user=1"}})
	require.NoError(t, s.telemetry.Shutdown(t.Context()))

	server := receiver.one(t, "POST /tools/{id}/execute")
	require.Equal(t, callersTrace, server.trace)
	require.Equal(t, callersSpan, server.parent)
	require.Equal(t, tracepb.Span_SPAN_KIND_SERVER, server.kind)
	require.Equal(t, map[string]string{"http.request.method": "POST", "http.route": "/tools/{id}/execute", "http.response.status_code": "200"}, server.attributes)
	require.Equal(t, map[string]string{"service.name": "toolrun", "service.version": "1.2.3"}, server.resource)
	require.False(t, server.failed)

	execution := receiver.one(t, "execute http")
	require.Equal(t, server.id, execution.parent)
	require.Equal(t, callersTrace, execution.trace)
	require.True(t, execution.failed)
	require.Equal(t, map[string]string{
		"toolrun.execution.id": "x-1", "toolrun.tool.id": "get", "toolrun.tool.type": "http", "toolrun.organization": "acme", "toolrun.depth": "0",
		"toolrun.class": "http_error", "toolrun.reason": "not_found", "error.type": "http_error",
	}, execution.attributes)

	requests := receiver.named("GET")
	require.Len(t, requests, 2)
	require.Len(t, s.upstream, 2)
	for i, request := range requests {
		require.Equal(t, execution.id, request.parent)
		require.Equal(t, tracepb.Span_SPAN_KIND_CLIENT, request.kind)
		require.Equal(t, "00-"+callersTrace+"-"+request.id+"-01", s.upstream[i].Get("Traceparent"))
		require.Empty(t, s.upstream[i].Get("Tracestate"))
		require.Empty(t, s.upstream[i].Get("Baggage"))
		require.Equal(t, "127.0.0.1", request.attributes["server.address"])
		require.Equal(t, []string{"302", "404"}[i], request.attributes["http.response.status_code"])
		require.NotContains(t, fmt.Sprint(request), "hunter2")
		require.NotContains(t, fmt.Sprint(request), "second")
	}
	require.False(t, requests[0].failed)
	require.True(t, requests[1].failed)
	require.Equal(t, "/v1/traces", receiver.requests[0].URL.Path)
	require.Empty(t, global.String())
}

func TestServerSpans(t *testing.T) {
	receiver := newReceiver(t)
	s := stage(t, telemetry.Options{Endpoint: receiver.URL})
	s.do(t, "GET", "/healthz", nil)
	s.do(t, "GET", "/broken", nil)
	s.do(t, "BREW", "/secret/path", nil)
	s.do(t, "POST", "/tools/unknown/execute", http.Header{"Traceparent": {caller, caller}})
	s.do(t, "POST", "/tools/get/execute?p=[]", http.Header{"Traceparent": {"00-nonsense"}})
	require.NoError(t, s.telemetry.Shutdown(t.Context()))

	require.True(t, receiver.one(t, "GET /broken").failed)
	require.Equal(t, "405", receiver.one(t, "_OTHER unmatched").attributes["http.response.status_code"])
	posts := receiver.named("POST /tools/{id}/execute")
	require.Len(t, posts, 2)
	for _, post := range posts {
		require.Empty(t, post.parent, "a trace of its own")
		require.False(t, post.failed)
	}
	rejected := receiver.one(t, "execute http")
	require.Equal(t, "BAD_REQUEST", rejected.attributes["toolrun.code"])
	require.Len(t, receiver.spans, 5)
}

func TestToolsOwnTraceparentStays(t *testing.T) {
	receiver := newReceiver(t)
	s := stage(t, telemetry.Options{Endpoint: receiver.URL})
	s.do(t, "POST", "/tools/own/execute", http.Header{"Traceparent": {caller}})
	require.Equal(t, "mine", s.upstream[0].Get("Traceparent"))
}

func TestSampling(t *testing.T) {
	for name, tc := range map[string]struct {
		ratio       float64
		traceparent string
		recorded    bool
		flags       string
	}{
		"all by default":           {0, "", true, "-01"},
		"none":                     {-1, "", false, "-00"},
		"the caller records":       {-1, caller, true, "-01"},
		"the caller doesn't":       {0, strings.TrimSuffix(caller, "1") + "0", false, "-00"},
		"hardly any that we begin": {1e-12, "", false, "-00"},
	} {
		t.Run(name, func(t *testing.T) {
			receiver := newReceiver(t)
			s := stage(t, telemetry.Options{Endpoint: receiver.URL, Ratio: tc.ratio})
			headers := http.Header{}
			if tc.traceparent != "" {
				headers.Set("Traceparent", tc.traceparent)
			}
			s.do(t, "POST", "/tools/get/execute", headers)
			require.NoError(t, s.telemetry.Shutdown(t.Context()))
			require.Equal(t, tc.recorded, len(receiver.spans) > 0)
			require.True(t, strings.HasSuffix(s.upstream[0].Get("Traceparent"), tc.flags))
		})
	}
}

// A job takes its trace along, and nested executions are children of the outer one.
func TestTraceOfAJob(t *testing.T) {
	receiver := newReceiver(t)
	tel := begin(t, telemetry.Options{Endpoint: receiver.URL})
	outerCtx, endOuter := tel.Begin(telemetry.WithTraceparent(t.Context(), caller), runner.Execution{Type: runner.JavaScript})
	travels := telemetry.Traceparent(outerCtx)
	innerCtx, endInner := tel.Begin(outerCtx, runner.Execution{Type: runner.HTTP, Depth: 1})
	endInner(&runner.Result{}, nil)
	endOuter(&runner.Result{Cached: true}, nil)
	_, endJob := tel.Begin(telemetry.WithTraceparent(t.Context(), travels), runner.Execution{Type: runner.LLM})
	endJob(nil, errors.New("secret"))
	require.NoError(t, tel.Shutdown(t.Context()))

	outer, inner, job := receiver.one(t, "execute javascript"), receiver.one(t, "execute http"), receiver.one(t, "execute llm")
	require.Equal(t, callersSpan, outer.parent)
	require.Equal(t, outer.id, inner.parent)
	require.Equal(t, "00-"+callersTrace+"-"+inner.id+"-01", telemetry.Traceparent(innerCtx))
	require.Equal(t, outer.id, job.parent)
	require.Equal(t, "true", outer.attributes["toolrun.cached"])
	require.Equal(t, "INTERNAL_ERROR", job.attributes["error.type"])
	require.NotContains(t, fmt.Sprint(receiver.spans), "secret")
}

func TestTraceparent(t *testing.T) {
	require.Empty(t, telemetry.Traceparent(t.Context()))
	require.Equal(t, caller, telemetry.Traceparent(telemetry.WithTraceparent(t.Context(), caller)))
	for _, text := range []string{"", "x", "00-" + strings.Repeat("0", 32) + "-" + callersSpan + "-01", strings.Repeat("0", 1<<20)} {
		require.Empty(t, telemetry.Traceparent(telemetry.WithTraceparent(t.Context(), text)))
	}
}

// A request that failed on its way says why in one word of ours.
func TestRequestThatFails(t *testing.T) {
	receiver := newReceiver(t)
	tel := begin(t, telemetry.Options{Endpoint: receiver.URL})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	r, err := runner.New(runner.Options{
		Observer: tel, Egress: httptool.Policy{Allow: []string{addr}},
		Tools: []*runner.Definition{{Name: "get", Type: runner.HTTP, ExecutionConfig: json.RawMessage(`{"url":"http://` + addr + `/x"}`)}},
	})
	require.NoError(t, err)
	_, err = r.Execute(t.Context(), runner.Request{Tool: "get"})
	require.NoError(t, err)
	require.NoError(t, r.Close(context.Background()))
	require.NoError(t, tel.Shutdown(t.Context()))
	for _, request := range receiver.named("GET") {
		require.Equal(t, "refused", request.attributes["error.type"])
		require.True(t, request.failed)
	}
	require.NotEmpty(t, receiver.named("GET"))
}

func TestWithoutAnEndpoint(t *testing.T) {
	before := runtime.NumGoroutine()
	tel, err := telemetry.New(telemetry.Options{})
	require.NoError(t, err)
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
	ctx, ended := tel.Begin(t.Context(), runner.Execution{})
	require.Equal(t, t.Context(), ctx)
	ended(&runner.Result{}, nil)
	require.NoError(t, tel.Shutdown(t.Context()))

	s := stage(t, telemetry.Options{})
	s.do(t, "POST", "/tools/get/execute", http.Header{"Traceparent": {caller}})
	require.Empty(t, s.upstream[0].Get("Traceparent"))
}

// flood ends more executions than may wait, and requires that none waits for the
// receiver.
func flood(t *testing.T, tel *telemetry.Telemetry) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		var executions sync.WaitGroup
		for range 4 {
			executions.Go(func() {
				for range 2500 {
					_, ended := tel.Begin(context.Background(), runner.Execution{Type: runner.HTTP})
					ended(&runner.Result{}, nil)
				}
			})
		}
		executions.Wait()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		require.FailNow(t, "executions wait for the receiver of traces")
	}
}

func TestReceiverThatIsDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	var log lines
	tel := begin(t, telemetry.Options{Endpoint: "http://me:hunter2@" + addr, Logger: logTo(&log), Flush: time.Millisecond})
	flood(t, tel)
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "can't be delivered") }, patience, time.Millisecond)
	flood(t, tel)
	require.NoError(t, tel.Shutdown(t.Context()))
	require.Equal(t, 1, strings.Count(log.String(), "can't be delivered"), log.String())
	require.NotContains(t, log.String(), "hunter2")
	require.Empty(t, global.String())
	series := scrape(t, tel)
	require.Contains(t, series, `toolrun_trace_spans_total{outcome="sent"} 0`)
	require.NotContains(t, series, `toolrun_trace_spans_total{outcome="lost"} 0`)
}

func TestReceiverThatHangs(t *testing.T) {
	asked, release := make(chan struct{}, 64), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-release
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(release) })
	var log lines
	tel := begin(t, telemetry.Options{Endpoint: server.URL, Logger: logTo(&log), Flush: time.Millisecond})
	flood(t, tel)
	<-asked
	series := scrape(t, tel)
	require.NotContains(t, series, `toolrun_trace_spans_total{outcome="dropped"} 0`)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	require.ErrorIs(t, tel.Shutdown(ctx), context.DeadlineExceeded)
	require.Less(t, time.Since(start), 4*time.Second, "the caller's bound, not ours")
	flood(t, tel) // after the end too
	require.Empty(t, global.String())
}

// Without a bound of the caller's there is one of ours.
func TestShutdownIsBounded(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(release) })
	tel := begin(t, telemetry.Options{Endpoint: server.URL})
	flood(t, tel)
	start := time.Now()
	require.Error(t, tel.Shutdown(context.Background()))
	require.Less(t, time.Since(start), 15*time.Second)
}

func TestReceiverThatRefuses(t *testing.T) {
	var log lines
	redirected := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			redirected = true
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusTemporaryRedirect)
		fmt.Fprint(w, strings.Repeat("no\n", 10_000))
	}))
	t.Cleanup(server.Close)
	tel := begin(t, telemetry.Options{Endpoint: server.URL, Logger: logTo(&log)})
	_, ended := tel.Begin(t.Context(), runner.Execution{})
	ended(&runner.Result{}, nil)
	require.NoError(t, tel.Shutdown(t.Context()))
	require.Contains(t, log.String(), "307")
	require.Less(t, len(log.String()), 600)
	require.False(t, redirected)
}

// Of the SDK's own variables those of headers and resource hold, as operators know
// them; where traces go is said by the options only.
func TestVariablesOfTheSDK(t *testing.T) {
	receiver := newReceiver(t)
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://127.0.0.1:1/x",
		"OTEL_EXPORTER_OTLP_HEADERS": "x-key=hunter2", "OTEL_RESOURCE_ATTRIBUTES": "service.name=x,region=here",
		"OTEL_TRACES_SAMPLER": "always_off", "OTEL_BSP_MAX_QUEUE_SIZE": "1",
	} {
		t.Setenv(name, value)
	}
	tel := begin(t, telemetry.Options{Endpoint: receiver.URL})
	for range 100 {
		_, ended := tel.Begin(t.Context(), runner.Execution{Type: runner.HTTP})
		ended(&runner.Result{}, nil)
	}
	require.NoError(t, tel.Shutdown(t.Context()))
	require.Len(t, receiver.named("execute http"), 100)
	require.Equal(t, map[string]string{"service.name": "toolrun", "service.version": "", "region": "here"}, receiver.spans[0].resource)
	require.Equal(t, "hunter2", receiver.requests[0].Header.Get("X-Key"))
}

func TestEndpoint(t *testing.T) {
	receiver := newReceiver(t)
	u, err := url.Parse(receiver.URL)
	require.NoError(t, err)
	u.User = url.UserPassword("me", "hunter2")
	u.Path = "/api/otlp"
	tel := begin(t, telemetry.Options{Endpoint: u.String()})
	_, ended := tel.Begin(t.Context(), runner.Execution{})
	ended(&runner.Result{}, nil)
	require.NoError(t, tel.Shutdown(t.Context()))
	require.Len(t, receiver.requests, 1)
	require.Equal(t, "/api/otlp", receiver.requests[0].URL.Path)
	user, password, _ := receiver.requests[0].BasicAuth()
	require.Equal(t, "me hunter2", user+" "+password)

	for _, endpoint := range []string{"collector:4318", "grpc://hunter2:4317", "http://", "http://:hunter2@", "http://a/?hunter2=1", "http://a#hunter2", "http://a:hunter2", "://hunter2"} {
		_, err := telemetry.New(telemetry.Options{Endpoint: endpoint})
		require.ErrorContains(t, err, "must be an http or https URL", endpoint)
		require.NotContains(t, err.Error(), "hunter2")
	}
	for _, ratio := range []float64{1.1, math.NaN(), math.Inf(1)} {
		_, err = telemetry.New(telemetry.Options{Endpoint: "http://a", Ratio: ratio})
		require.ErrorContains(t, err, "Ratio is above 1")
	}
	_, err = telemetry.New(telemetry.Options{Endpoint: "http://a", Flush: -1})
	require.ErrorContains(t, err, "Flush is negative")
}
