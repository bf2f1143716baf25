package telemetry_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/almyty-inc/toolrun/internal/telemetry"
	"github.com/almyty-inc/toolrun/sandbox"
)

// global is what the SDK tells its global error handler, which must be nothing.
var global lines

func TestMain(m *testing.M) {
	sandbox.Init()
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { global.add(err.Error()) }))
	goleak.VerifyTestMain(m)
}

// patience bounds how long a test waits for what must happen.
const patience = 30 * time.Second

type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line)
}

// Write takes a log.
func (l *lines) Write(p []byte) (int, error) {
	l.add(string(p))
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "")
}

// span is one as the receiver got it.
type span struct {
	name, id, parent, trace string
	kind                    tracepb.Span_SpanKind
	failed                  bool
	attributes, resource    map[string]string
}

// receiver is a collector of OTLP over HTTP.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	spans    []span
	requests []*http.Request
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(r.receive))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) receive(w http.ResponseWriter, req *http.Request) {
	body, err := gzip.NewReader(req.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	data, err := io.ReadAll(body)
	var request collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(data, &request) != nil {
		http.Error(w, "unreadable", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, req)
	for _, resource := range request.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				r.spans = append(r.spans, span{
					name: s.Name, kind: s.Kind, failed: s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR,
					id: hex.EncodeToString(s.SpanId), parent: hex.EncodeToString(s.ParentSpanId), trace: hex.EncodeToString(s.TraceId),
					attributes: attributes(s.Attributes), resource: attributes(resource.Resource.Attributes),
				})
			}
		}
	}
}

func attributes(list []*common.KeyValue) map[string]string {
	found := map[string]string{}
	for _, a := range list {
		switch v := a.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			found[a.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			found[a.Key] = fmt.Sprint(v.IntValue)
		case *common.AnyValue_BoolValue:
			found[a.Key] = fmt.Sprint(v.BoolValue)
		}
	}
	return found
}

// named is the spans of a name, which came before shutdown returned.
func (r *receiver) named(name string) []span {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []span
	for _, s := range r.spans {
		if s.name == name {
			found = append(found, s)
		}
	}
	return found
}

func (r *receiver) one(t *testing.T, name string) span {
	t.Helper()
	found := r.named(name)
	require.Len(t, found, 1, "%s of %v", name, r.spans)
	return found[0]
}

func begin(t *testing.T, opts telemetry.Options) *telemetry.Telemetry {
	t.Helper()
	tel, err := telemetry.New(opts)
	require.NoError(t, err)
	t.Cleanup(func() { tel.Shutdown(context.Background()) })
	return tel
}

func logTo(l *lines) *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// scrape is what Prometheus gets, without comments.
func scrape(t *testing.T, tel *telemetry.Telemetry) []string {
	t.Helper()
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	require.Equal(t, http.StatusOK, w.Code)
	var series []string
	for line := range bytes.Lines(w.Body.Bytes()) {
		if line[0] != '#' {
			series = append(series, strings.TrimSpace(string(line)))
		}
	}
	return series
}
