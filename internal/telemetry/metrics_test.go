package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/telemetry"
	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/runner"
)

func failed(class errclass.Class, reason errclass.Reason) *runner.Result {
	return &runner.Result{Failure: &errclass.Error{Class: class, Reason: reason}, Duration: time.Second}
}

func TestMetrics(t *testing.T) {
	tel := begin(t, telemetry.Options{})
	for _, tc := range []struct {
		e      runner.Execution
		result *runner.Result
		err    error
	}{
		{runner.Execution{Type: runner.JavaScript}, &runner.Result{Duration: 200 * time.Microsecond}, nil},
		{runner.Execution{Type: runner.JavaScript, Depth: 1}, &runner.Result{}, nil},
		{runner.Execution{Type: runner.HTTP}, failed(errclass.HTTPError, errclass.NotFound), nil},
		{runner.Execution{Type: "tcp"}, failed("odd", "Chosen by users"), nil},
		{runner.Execution{Type: runner.LLM}, &runner.Result{Usage: &llmtool.Usage{PromptTokens: 7, CompletionTokens: 2}}, nil},
		{runner.Execution{Type: runner.LLM, Depth: 1}, &runner.Result{Usage: &llmtool.Usage{PromptTokens: 7, CompletionTokens: -2}}, nil},
		{runner.Execution{Type: runner.LLM}, &runner.Result{Usage: &llmtool.Usage{PromptTokens: -1}}, nil},
		{runner.Execution{Type: runner.HTTP}, nil, errclass.RateLimited(time.Second)},
		{runner.Execution{Type: runner.HTTP}, nil, fmt.Errorf("wrapped: %w", errclass.RateLimited(time.Second))},
		{runner.Execution{Type: runner.HTTP}, nil, errors.New("ours")},
		{runner.Execution{Type: runner.HTTP}, nil, &errclass.APIError{Code: "CHOSEN"}},
	} {
		_, ended := tel.Begin(t.Context(), tc.e)
		ended(tc.result, tc.err)
	}
	tel.Rejected(errclass.CodeUnauthorized)
	series := scrape(t, tel)
	for _, want := range []string{
		`toolrun_executions_total{class="success",reason="",type="javascript"} 2`,
		`toolrun_executions_total{class="http_error",reason="not_found",type="http"} 1`,
		`toolrun_executions_total{class="other",reason="other",type="other"} 1`,
		`toolrun_executions_total{class="success",reason="",type="llm"} 3`,
		`toolrun_execution_duration_seconds_bucket{outcome="success",type="javascript",le="0.0001"} 1`,
		`toolrun_execution_duration_seconds_bucket{outcome="success",type="javascript",le="0.00025"} 2`,
		`toolrun_execution_duration_seconds_bucket{outcome="http_error",type="http",le="600"} 1`,
		`toolrun_llm_tokens_total{kind="prompt"} 7`,
		`toolrun_llm_tokens_total{kind="completion"} 2`,
		`toolrun_rejected_total{code="RATE_LIMITED"} 2`,
		`toolrun_rejected_total{code="INTERNAL_ERROR"} 1`,
		`toolrun_rejected_total{code="UNAUTHORIZED"} 1`,
		`toolrun_rejected_total{code="other"} 1`,
	} {
		require.Contains(t, series, want)
	}
	require.NotContains(t, strings.Join(series, "\n"), "toolrun_trace_spans_total")
}

// Whatever users choose, the number of series stays the same.
func TestCardinality(t *testing.T) {
	tel := begin(t, telemetry.Options{})
	router := chi.NewRouter()
	router.Use(tel.Middleware)
	router.Post("/organizations/{organization}/tools/{id}/execute", func(http.ResponseWriter, *http.Request) {})
	run := func(n int) int {
		for i := range n {
			e := runner.Execution{ID: fmt.Sprint("x", i), Tool: fmt.Sprint("tool", i), Organization: fmt.Sprint("org", i), Type: runner.Type(fmt.Sprint("type", i))}
			for _, result := range []*runner.Result{{}, failed(errclass.Class(fmt.Sprint("c", i)), errclass.Reason(fmt.Sprint("r", i))), nil} {
				_, ended := tel.Begin(t.Context(), e)
				ended(result, &errclass.APIError{Code: errclass.Code(fmt.Sprint("C", i))})
			}
			for _, method := range []string{"POST", fmt.Sprint("M", i)} {
				for _, path := range []string{fmt.Sprintf("/organizations/o%d/tools/t%d/execute", i, i), fmt.Sprint("/other", i)} {
					router.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, path, nil))
				}
			}
		}
		return len(ours(scrape(t, tel)))
	}
	require.Equal(t, run(1), run(1000))

	for _, kind := range []runner.Type{runner.JavaScript, runner.HTTP, runner.GraphQL, runner.LLM} {
		for _, class := range errclass.Classes() {
			for _, reason := range errclass.Reasons() {
				_, ended := tel.Begin(t.Context(), runner.Execution{Type: kind})
				ended(failed(class, reason), nil)
			}
		}
	}
	// What can ever be, were each reason one of each class.
	require.Less(t, len(ours(scrape(t, tel))), 6000)
}

func ours(series []string) []string {
	var found []string
	for _, s := range series {
		if strings.HasPrefix(s, "toolrun_") {
			found = append(found, s)
		}
	}
	return found
}

func TestHTTPRequestsAreCounted(t *testing.T) {
	tel := begin(t, telemetry.Options{})
	router := chi.NewRouter()
	router.Use(tel.Middleware)
	router.Get("/tools/{id}", func(w http.ResponseWriter, r *http.Request) {
		switch chi.URLParam(r, "id") {
		case "early":
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusTeapot)
			w.WriteHeader(http.StatusOK)
		case "panics":
			panic(http.ErrAbortHandler)
		case "flushes":
			require.NoError(t, http.NewResponseController(w).Flush())
		}
	})
	for _, path := range []string{"/tools/a", "/tools/early", "/tools/flushes", "/nothing"} {
		router.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
	}
	require.Panics(t, func() { router.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/tools/panics", nil)) })
	series := scrape(t, tel)
	require.Contains(t, series, `toolrun_http_requests_total{route="/tools/{id}",status="200"} 3`)
	require.Contains(t, series, `toolrun_http_requests_total{route="/tools/{id}",status="418"} 1`)
	require.Contains(t, series, `toolrun_http_requests_total{route="unmatched",status="404"} 1`)
}

func TestRunnerIsWatched(t *testing.T) {
	tel := begin(t, telemetry.Options{})
	inside, goOn := make(chan struct{}), make(chan struct{})
	r, err := runner.New(runner.Options{
		Observer: tel, Concurrency: 1,
		Tools: []*runner.Definition{{Name: "answer", Type: runner.JavaScript, Code: "return 42"}},
	})
	require.NoError(t, err)
	tel.Watch(r)
	tel.Gauge("toolrun_queue_depth", "Jobs that wait.", func() float64 { return 3 })
	tel.Counter("toolrun_records_dropped_total", "Records.", func() float64 { return 5 })
	ended := make(chan error, 2)
	run := func(started func(context.Context, string)) {
		_, err := r.Execute(t.Context(), runner.Request{Tool: "answer", Started: started})
		ended <- err
	}
	go run(func(context.Context, string) { close(inside); <-goOn })
	<-inside
	go run(nil)
	require.Eventually(t, func() bool { return r.Stats().Waiting == 1 }, patience, time.Millisecond)
	series := scrape(t, tel)
	for _, want := range []string{
		"toolrun_executions_running 2", "toolrun_executions_waiting 1", "toolrun_sandbox_waiting 0",
		`toolrun_breakers{state="open"} 0`, `toolrun_breakers{state="half-open"} 0`,
		"toolrun_queue_depth 3", "toolrun_records_dropped_total 5",
	} {
		require.Contains(t, series, want)
	}
	close(goOn)
	require.NoError(t, <-ended)
	require.NoError(t, <-ended)
	require.Contains(t, scrape(t, tel), `toolrun_sandbox_children{state="busy"} 0`)
	require.NoError(t, r.Close(context.Background()))
	require.Contains(t, scrape(t, tel), `toolrun_executions_total{class="success",reason="",type="javascript"} 2`)
}

// Scrapers that ask for it get the histogram in its native form too.
func TestNativeHistogram(t *testing.T) {
	tel := begin(t, telemetry.Options{})
	_, ended := tel.Begin(t.Context(), runner.Execution{Type: runner.HTTP})
	ended(&runner.Result{Duration: time.Second}, nil)
	request := httptest.NewRequest("GET", "/metrics", nil)
	request.Header.Set("Accept", string(expfmt.NewFormat(expfmt.TypeProtoDelim)))
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, request)
	decoder := expfmt.NewDecoder(w.Body, expfmt.NewFormat(expfmt.TypeProtoDelim))
	for {
		var family dto.MetricFamily
		require.NoError(t, decoder.Decode(&family))
		if family.GetName() == "toolrun_execution_duration_seconds" {
			require.NotEmpty(t, family.Metric[0].Histogram.PositiveSpan)
			require.Len(t, family.Metric[0].Histogram.Bucket, 21)
			return
		}
	}
}
