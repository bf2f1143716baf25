package telemetry

import (
	"cmp"
	"net/http"
	"strconv"

	"github.com/go-chi/chi/v5"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// unmatched is the route of requests that no route took.
const unmatched = "unmatched"

// Middleware counts requests and begins a span for each, which continues the
// caller's trace. It belongs among the middlewares of a chi router, which knows the
// route.
func (t *Telemetry) Middleware(next http.Handler) http.Handler {
	if t.traces != nil {
		next = t.traces.server(next)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := &statusWriter{ResponseWriter: w}
		defer func() {
			t.metrics.requests.WithLabelValues(routeOf(r), strconv.Itoa(seen.answered())).Inc()
		}()
		next.ServeHTTP(seen, r)
	})
}

// untraced are the routes that machines ask all the time.
var untraced = map[string]bool{"/healthz": true, "/readyz": true, "/metrics": true}

func (t *traces) server(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if untraced[r.URL.Path] {
			next.ServeHTTP(w, r)
			return
		}
		ctx := r.Context()
		if len(r.Header["Traceparent"]) == 1 { // several are none (W3C Trace Context, section 3.2.1)
			ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
		}
		method := methodOf(r)
		ctx, span := t.tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			attribute.String("http.request.method", method)))
		defer func() {
			if span.IsRecording() {
				route, status := routeOf(r), w.(*statusWriter).answered()
				span.SetName(method + " " + route)
				span.SetAttributes(attribute.String("http.route", route), attribute.Int("http.response.status_code", status))
				if status >= http.StatusInternalServerError {
					span.SetAttributes(attribute.String("error.type", strconv.Itoa(status)))
					span.SetStatus(codes.Error, "")
				}
			}
			span.End()
		}()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// routeOf is the pattern of the route that took the request, known once it did.
func routeOf(r *http.Request) string {
	if routes := chi.RouteContext(r.Context()); routes != nil {
		return cmp.Or(routes.RoutePattern(), unmatched)
	}
	return unmatched
}

// statusWriter notes the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// answered is the status that the client saw, or sees when the handler returns.
func (w *statusWriter) answered() int { return cmp.Or(w.status, http.StatusOK) }

// Unwrap lets [http.ResponseController] reach what net/http gave.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
