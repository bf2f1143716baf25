package telemetry

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/runner"
)

const (
	success = "success"
	// other is in place of what isn't in a closed set: a label's values stay bounded
	// whatever a caller of ours does.
	other = "other"
)

// durations are the buckets, in seconds: from a cached result to the longest
// timeout.
var durations = []float64{
	.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600,
}

type metrics struct {
	executions *prometheus.CounterVec
	rejected   *prometheus.CounterVec
	durations  *prometheus.HistogramVec
	tokens     *prometheus.CounterVec
	requests   *prometheus.CounterVec
}

func newMetrics() *metrics {
	return &metrics{
		executions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "toolrun_executions_total", Help: "Executions that ended, nested ones included, by type of tool, class (success or of the failure) and reason.",
		}, []string{"type", "class", "reason"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "toolrun_rejected_total", Help: "Requests that were turned away before they became an execution, by code of the error.",
		}, []string{"code"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "toolrun_execution_duration_seconds", Help: "From the accepted request to its outcome, by type of tool and outcome (success or the failure's class).",
			Buckets: durations,
			// Served to scrapers that ask for it.
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		}, []string{"type", "outcome"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "toolrun_llm_tokens_total", Help: "Tokens of LLM providers, as they state them: prompt or completion.",
		}, []string{"kind"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "toolrun_http_requests_total", Help: "Requests answered, by route and status.",
		}, []string{"route", "status"}),
	}
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.executions, m.rejected, m.durations, m.tokens, m.requests}
}

func (m *metrics) executed(e runner.Execution, result *runner.Result, err error) {
	if result == nil {
		m.reject(codeOf(err))
		return
	}
	kind, class, reason := typeLabel(e.Type), success, ""
	if f := result.Failure; f != nil {
		class, reason = classLabel(f.Class), reasonLabel(f.Reason)
	}
	m.executions.WithLabelValues(kind, class, reason).Inc()
	m.durations.WithLabelValues(kind, class).Observe(result.Duration.Seconds())
	// The outermost execution's usage is the sum of all that were nested in it.
	if u := result.Usage; u != nil && e.Depth == 0 {
		m.tokens.WithLabelValues("prompt").Add(float64(max(u.PromptTokens, 0)))
		m.tokens.WithLabelValues("completion").Add(float64(max(u.CompletionTokens, 0)))
	}
}

func (m *metrics) reject(code errclass.Code) {
	label := other
	if code.Valid() {
		label = string(code)
	}
	m.rejected.WithLabelValues(label).Inc()
}

// codeOf is the code of what turned an execution away.
func codeOf(err error) errclass.Code {
	if e, ok := errors.AsType[*errclass.APIError](err); ok {
		return e.Code
	}
	return errclass.CodeInternal
}

func typeLabel(t runner.Type) string {
	switch t {
	case runner.JavaScript, runner.HTTP, runner.GraphQL, runner.LLM:
		return string(t)
	}
	return other
}

func classLabel(c errclass.Class) string {
	if c.Valid() {
		return string(c)
	}
	return other
}

func reasonLabel(r errclass.Reason) string {
	if r.Valid() {
		return string(r)
	}
	return other
}
