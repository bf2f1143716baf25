package service

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/almyty-inc/toolrun/runner"
)

// metrics serves what Prometheus scrapes, from a registry of the server's own.
func metrics(r *runner.Runner) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "toolrun_executions_running", Help: "Executions in flight, those that wait for a slot included.",
		}, func() float64 { return float64(r.Running()) }),
		breakerMetrics{r},
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{DisableCompression: true})
}

// breakerMetrics counts circuit breakers by state. Origins are no label: tools
// choose them, without bound. GET /readyz?verbose lists them.
type breakerMetrics struct{ runner *runner.Runner }

var breakersByState = prometheus.NewDesc("toolrun_breakers", "Circuit breakers of upstream origins that aren't closed, by state.", []string{"state"}, nil)

// Describe implements [prometheus.Collector].
func (b breakerMetrics) Describe(to chan<- *prometheus.Desc) { to <- breakersByState }

// Collect implements [prometheus.Collector].
func (b breakerMetrics) Collect(to chan<- prometheus.Metric) {
	count := map[string]int{"open": 0, "half-open": 0}
	for _, breaker := range b.runner.Breakers() {
		count[breaker.State]++
	}
	for state, n := range count {
		to <- prometheus.MustNewConstMetric(breakersByState, prometheus.GaugeValue, float64(n), state)
	}
}
