package telemetry

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/almyty-inc/toolrun/errclass"
)

const (
	// maxSpans is how many spans wait to be sent; more are dropped.
	maxSpans = 4096
	maxBatch = 512
	// maxText bounds an attribute's text, in characters.
	maxText = 256

	exportTimeout    = 10 * time.Second
	shutdownPatience = 5 * time.Second
	abandonPatience  = time.Second
	complainEvery    = time.Minute
)

// traces is the OpenTelemetry SDK with an exporter of its own.
type traces struct {
	tracer   trace.Tracer
	provider *sdktrace.TracerProvider
	exporter *exporter
	close    func()
}

func newTraces(opts Options, registry *prometheus.Registry) (*traces, error) {
	endpoint, err := parseEndpoint(opts.Endpoint)
	if err != nil {
		return nil, err
	}
	if !(opts.Ratio <= 1) { // also what is no number
		return nil, errors.New("telemetry: Options.Ratio is above 1; it is the part of the traces to record")
	}
	if opts.Flush < 0 {
		return nil, errors.New("telemetry: Options.Flush is negative; leave it zero for the default")
	}
	options, client := httpOptions(endpoint)
	otlp, err := otlptracehttp.New(context.Background(), options...)
	if err != nil {
		return nil, fmt.Errorf("telemetry: the exporter of traces can't start: %w", err)
	}
	e := newExporter(otlp, opts.Logger)
	registry.MustRegister(e.spans)
	batches := sdktrace.NewBatchSpanProcessor(e, sdktrace.WithMaxQueueSize(maxSpans), sdktrace.WithMaxExportBatchSize(maxBatch),
		sdktrace.WithBatchTimeout(cmp.Or(opts.Flush, DefaultFlush)), sdktrace.WithExportTimeout(exportTimeout))
	limits := sdktrace.NewSpanLimits()
	limits.AttributeValueLengthLimit = maxText
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "toolrun"), attribute.String("service.version", opts.Version))),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(max(cmp.Or(opts.Ratio, 1), 0)))),
		sdktrace.WithRawSpanLimits(limits),
		sdktrace.WithSpanProcessor(bounded{batches, e}),
	)
	return &traces{
		tracer: provider.Tracer("github.com/almyty-inc/toolrun"), provider: provider, exporter: e, close: client.CloseIdleConnections,
	}, nil
}

// parseEndpoint completes an endpoint. Its errors don't quote it: it may hold a
// password.
func parseEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("telemetry: Options.Endpoint (--otlp-endpoint) must be an http or https URL without a query, like http://127.0.0.1:4318")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	return u, nil
}

// httpOptions are those of an exporter with connections of its own, which follows no
// redirects.
func httpOptions(endpoint *url.URL) ([]otlptracehttp.Option, *http.Client) {
	client := &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: exportTimeout}).DialContext,
			TLSHandshakeTimeout: exportTimeout, IdleConnTimeout: 90 * time.Second, MaxIdleConns: 2,
			ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       exportTimeout,
	}
	user := endpoint.User
	endpoint.User = nil
	options := []otlptracehttp.Option{
		otlptracehttp.WithHTTPClient(client), otlptracehttp.WithEndpointURL(endpoint.String()),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression), otlptracehttp.WithTimeout(exportTimeout),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
			Enabled: true, InitialInterval: time.Second, MaxInterval: 5 * time.Second, MaxElapsedTime: exportTimeout,
		}),
	}
	if user != nil {
		password, _ := user.Password()
		credential := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		options = append(options, otlptracehttp.WithHeaders(map[string]string{"Authorization": "Basic " + credential}))
	}
	return options, client
}

// shutdown sends what waits. What can't be sent in time is given up.
func (t *traces) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownPatience)
	defer cancel()
	stop := context.AfterFunc(ctx, t.exporter.abandon)
	defer stop()
	err := t.provider.Shutdown(ctx)
	select { // the SDK doesn't wait for what was given up
	case <-t.exporter.ended:
	case <-time.After(abandonPatience):
	}
	t.close()
	if err != nil {
		return fmt.Errorf("telemetry: the last traces were not delivered in time: %w", err)
	}
	return nil
}

// bounded drops spans beyond those that may wait, and counts them; the SDK's queue
// tells nobody what it drops.
type bounded struct {
	sdktrace.SpanProcessor
	exporter *exporter
}

// OnEnd implements [sdktrace.SpanProcessor].
func (b bounded) OnEnd(s sdktrace.ReadOnlySpan) {
	if b.exporter.waiting.Add(1) > maxSpans {
		b.exporter.waiting.Add(-1)
		b.exporter.dropped.Inc()
		return
	}
	b.SpanProcessor.OnEnd(s)
}

// exporter sends batches. Its errors end in the log, now and then: the SDK would
// hand them to a global handler, which writes to stderr.
type exporter struct {
	otlp    *otlptrace.Exporter
	log     *slog.Logger
	life    context.Context
	abandon context.CancelFunc
	ended   chan struct{} // closed by Shutdown, after the last export
	waiting atomic.Int64

	spans               *prometheus.CounterVec
	sent, lost, dropped prometheus.Counter

	mu         sync.Mutex
	complained time.Time
	unsaid     int // spans lost since
}

func newExporter(otlp *otlptrace.Exporter, log *slog.Logger) *exporter {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	e := &exporter{otlp: otlp, log: log, ended: make(chan struct{}), spans: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "toolrun_trace_spans_total", Help: "Spans, by what became of them: sent, lost (the receiver didn't take them), dropped (too many waited).",
	}, []string{"outcome"})}
	e.sent, e.lost, e.dropped = e.spans.WithLabelValues("sent"), e.spans.WithLabelValues("lost"), e.spans.WithLabelValues("dropped")
	e.life, e.abandon = context.WithCancel(context.Background())
	return e
}

// ExportSpans implements [sdktrace.SpanExporter].
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.export(ctx, spans)
	e.waiting.Add(-int64(len(spans)))
	if err == nil {
		e.sent.Add(float64(len(spans)))
		return nil
	}
	e.lost.Add(float64(len(spans)))
	e.complain(err, len(spans))
	return nil
}

func (e *exporter) export(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := e.life.Err(); err != nil { // to encode them would take its time
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(e.life, cancel)
	defer stop()
	return e.otlp.ExportSpans(ctx, spans)
}

func (e *exporter) complain(err error, spans int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unsaid += spans
	if !e.complained.IsZero() && time.Since(e.complained) < complainEvery {
		return
	}
	e.log.Warn("traces can't be delivered", slog.String("error", errclass.OneLine(err.Error(), 300)), slog.Int("spans", e.unsaid))
	e.complained, e.unsaid = time.Now(), 0
}

// Shutdown implements [sdktrace.SpanExporter]. The SDK calls it once.
func (e *exporter) Shutdown(ctx context.Context) error {
	defer close(e.ended)
	e.abandon()
	return e.otlp.Shutdown(ctx)
}
