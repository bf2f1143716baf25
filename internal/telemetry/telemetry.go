// Package telemetry counts what a service does, for Prometheus, and traces it over
// OTLP. It watches executions as a [runner.Observer].
//
// Start with [New]; hand the [Telemetry] to the runner's options and the runner to
// [Telemetry.Watch], put [Telemetry.Middleware] around the routes and serve
// [Telemetry.Handler]. Without an endpoint there are no traces and nothing of
// OpenTelemetry runs.
//
// No global registry, provider or handler is touched. No label holds what users
// choose, and no span holds parameters, results, paths or queries; the names of
// upstream hosts stand in spans as they were called.
package telemetry

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/runner"
)

// DefaultFlush is the default of [Options.Flush].
const DefaultFlush = 5 * time.Second

// Options configures a [Telemetry]. The zero value has metrics and no traces.
type Options struct {
	// Version is the version of the service, in traces.
	Version string
	// Logger hears of traces that can't be delivered, at most once a minute. Nil is
	// silent.
	Logger *slog.Logger

	// Endpoint is where traces go by OTLP over HTTP, as in
	// http://collector:4318 (/v1/traces is added where there is no path). A user and
	// password in it are sent as basic authentication; other headers come from the
	// SDK's variable OTEL_EXPORTER_OTLP_HEADERS. Empty means no traces.
	Endpoint string
	// Ratio is how many of the traces that begin here are recorded, at most 1; those
	// that a caller began are recorded if the caller says so. Zero records all,
	// negative none.
	Ratio float64
	// Flush is how long a span may wait to be sent. Defaults to 5 s.
	Flush time.Duration
}

// Telemetry is the metrics and traces of one process. It is safe for concurrent
// use.
type Telemetry struct {
	registry *prometheus.Registry
	metrics  *metrics
	traces   *traces // nil: none
}

var _ runner.Observer = (*Telemetry)(nil)

// New checks the options. It opens no connection, and starts a goroutine only where
// there is an endpoint; [Telemetry.Shutdown] ends it.
func New(opts Options) (*Telemetry, error) {
	t := &Telemetry{registry: prometheus.NewRegistry(), metrics: newMetrics()}
	t.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	t.registry.MustRegister(t.metrics.collectors()...)
	if opts.Endpoint == "" {
		return t, nil
	}
	var err error
	t.traces, err = newTraces(opts, t.registry)
	return t, err
}

// Shutdown sends the spans that wait, until ctx ends, at most for 5 s.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	if t.traces == nil {
		return nil
	}
	return t.traces.shutdown(ctx)
}

// Handler serves what Prometheus scrapes.
func (t *Telemetry) Handler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{DisableCompression: true})
}

// Register adds metrics. It panics where the name is taken, as do Gauge and
// Counter.
func (t *Telemetry) Register(c prometheus.Collector) { t.registry.MustRegister(c) }

// Gauge adds a gauge that is read when it is scraped.
func (t *Telemetry) Gauge(name, help string, value func() float64) {
	t.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

// Counter adds a counter that is read when it is scraped and never falls.
func (t *Telemetry) Counter(name, help string, value func() float64) {
	t.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value))
}

// Begin implements [runner.Observer].
func (t *Telemetry) Begin(ctx context.Context, e runner.Execution) (context.Context, func(*runner.Result, error)) {
	if t.traces == nil {
		return ctx, func(result *runner.Result, err error) { t.metrics.executed(e, result, err) }
	}
	ctx, ended := t.traces.execution(ctx, e)
	return ctx, func(result *runner.Result, err error) {
		ended(result, err)
		t.metrics.executed(e, result, err)
	}
}

// Rejected counts a request that was turned away before its tool was known, such
// as one without a valid key. Begin counts the others.
func (t *Telemetry) Rejected(code errclass.Code) { t.metrics.reject(code) }
