package telemetry

import (
	"context"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/runner"
)

// Traceparent is the W3C trace context of the span under ctx, for what travels on
// by other ways than HTTP; empty where there is none.
func Traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}

// WithTraceparent makes spans under the returned context children of the span that
// [Traceparent] described. What it can't read changes nothing.
func WithTraceparent(ctx context.Context, traceparent string) context.Context {
	if traceparent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": traceparent})
}

// execution begins the span of an execution, under which its requests to upstreams
// have spans of their own.
func (t *traces) execution(ctx context.Context, e runner.Execution) (context.Context, func(*runner.Result, error)) {
	ctx, span := t.tracer.Start(ctx, "execute "+typeLabel(e.Type), trace.WithAttributes(
		attribute.String("toolrun.execution.id", e.ID), attribute.String("toolrun.tool.id", e.Tool),
		attribute.String("toolrun.tool.type", typeLabel(e.Type)),
		attribute.String("toolrun.organization", e.Organization), attribute.Int("toolrun.depth", e.Depth),
	))
	ctx = httptool.WithTrace(ctx, t.request)
	return ctx, func(result *runner.Result, err error) {
		defer span.End()
		if span.IsRecording() {
			describeOutcome(span, result, err)
		}
	}
}

func describeOutcome(span trace.Span, result *runner.Result, err error) {
	switch {
	case result == nil:
		code := string(codeOf(err))
		span.SetAttributes(attribute.String("toolrun.code", code), attribute.String("error.type", code))
		span.SetStatus(codes.Error, code)
	case result.Failure != nil:
		class, reason := classLabel(result.Failure.Class), reasonLabel(result.Failure.Reason)
		span.SetAttributes(attribute.String("toolrun.class", class), attribute.String("toolrun.reason", reason),
			attribute.String("error.type", class))
		span.SetStatus(codes.Error, class+"/"+reason)
	default:
		span.SetAttributes(attribute.String("toolrun.class", success), attribute.Bool("toolrun.cached", result.Cached))
	}
}

// request begins the span of a request to an upstream and hands it on, unless the
// tool sets a trace of its own. The state that vendors keep beside a trace is not
// for upstreams.
func (t *traces) request(r *http.Request) func(*http.Response, error) {
	method := methodOf(r)
	attributes := []attribute.KeyValue{
		attribute.String("http.request.method", method), attribute.String("server.address", r.URL.Hostname()),
		attribute.String("url.scheme", r.URL.Scheme),
	}
	if port, err := strconv.Atoi(r.URL.Port()); err == nil {
		attributes = append(attributes, attribute.Int("server.port", port))
	}
	ctx, span := t.tracer.Start(r.Context(), method, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
	if r.Header.Get("Traceparent") == "" {
		r.Header.Set("Traceparent", Traceparent(ctx))
	}
	return func(response *http.Response, err error) {
		defer span.End()
		if !span.IsRecording() {
			return
		}
		if err != nil { // its text may hold anything
			reason := reasonLabel(errclass.Classify(err).Reason)
			span.SetAttributes(attribute.String("error.type", reason))
			span.SetStatus(codes.Error, reason)
			return
		}
		span.SetAttributes(attribute.Int("http.response.status_code", response.StatusCode))
		if response.StatusCode >= 400 {
			span.SetAttributes(attribute.String("error.type", strconv.Itoa(response.StatusCode)))
			span.SetStatus(codes.Error, "")
		}
	}
}

// methodOf is the method where it is a usual one, as the conventions have it.
func methodOf(r *http.Request) string {
	switch r.Method {
	case "":
		return http.MethodGet
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return r.Method
	}
	return "_OTHER"
}
