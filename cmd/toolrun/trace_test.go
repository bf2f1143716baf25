//go:build unix

package main

import (
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// span is one as the collector got it.
type span struct{ trace, id, parent string }

// collected takes spans by OTLP, by their names.
type collected struct {
	*httptest.Server
	mu    sync.Mutex
	spans map[string][]span
}

func newCollector(t *testing.T) *collected {
	c := &collected{spans: make(map[string][]span)}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request collector.ExportTraceServiceRequest
		body, err := gzip.NewReader(r.Body)
		if err == nil {
			var data []byte
			if data, err = io.ReadAll(body); err == nil {
				err = proto.Unmarshal(data, &request)
			}
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, resource := range request.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				for _, s := range scope.Spans {
					c.spans[s.Name] = append(c.spans[s.Name], span{hex.EncodeToString(s.TraceId), hex.EncodeToString(s.SpanId), hex.EncodeToString(s.ParentSpanId)})
				}
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// under is the last span of a name below a parent.
func (c *collected) under(t *testing.T, parent span, name string) (found span) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans[name] {
		if s.trace == parent.trace && s.parent == parent.id {
			found = s
		}
	}
	require.NotEmpty(t, found.id, "%s below %v, of %v", name, parent, c.spans)
	return found
}

// A caller's trace goes from the front through NATS to the worker, and from there to the
// upstream: each has a span below that of the one before.
func TestTraceThroughFront(t *testing.T) {
	caller := span{trace: "4bf92f3577b34da6a3ce929d0e0e4736", id: "00f067aa0ba902b7"}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("Traceparent"))
	}))
	defer upstream.Close()
	traces := newCollector(t)
	shared := []string{
		"--nats", startNATS(t).ClientURL(), "--otlp-endpoint", traces.URL, "--allow", strings.TrimPrefix(upstream.URL, "http://"),
		"--tools", toolsOf(t, map[string]string{"trace": "type: http\nexecutionConfig: {url: '" + upstream.URL + "'}\n"}),
	}
	worker := startNode(t, append([]string{"worker", "--metrics-addr", "127.0.0.1:0"}, shared...)...)
	front := startNode(t, append([]string{"serve", "--front"}, shared...)...)

	var body string
	require.Eventually(t, func() bool { // the worker listens a moment after it says so
		resp, text, err := front.ask("POST", "/tools/trace/execute", "{}", "Traceparent", "00-"+caller.trace+"-"+caller.id+"-01")
		body = text
		return err == nil && resp.StatusCode == http.StatusOK
	}, time.Minute, 20*time.Millisecond)

	worker.requireOperable(t)
	for _, n := range []*startedNode{front, worker} { // what waits is sent before the end
		require.NoError(t, n.Process.Signal(syscall.SIGTERM))
		require.NoError(t, n.Wait())
	}
	served := traces.under(t, caller, "POST /tools/{id}/execute") // others may have met no worker
	request := traces.under(t, traces.under(t, served, "execute http"), "GET")
	require.Contains(t, body, "00-"+caller.trace+"-"+request.id+"-01")
}

// requireOperable requires that a worker which has run something says so to those who operate it.
func (n *startedNode) requireOperable(t *testing.T) {
	t.Helper()
	said := regexp.MustCompile(`"msg":"metrics","addr":"([^"]+)"`).FindStringSubmatch(n.said.String())
	require.NotNil(t, said, n.said.String())
	n.url = "http://" + said[1]
	for path, want := range map[string]string{
		"/healthz": `{"success":true,"data":{"status":"ok"}}`,
		"/readyz":  `{"success":true,"data":{"status":"ready"}}`,
		"/metrics": `toolrun_executions_total{class="success",reason="",type="http"} 1`,
	} {
		_, text := n.must(t, 200, "GET", path, "")
		require.Contains(t, text, want)
	}
	_, text := n.must(t, 404, "GET", "/tools", "")
	require.Contains(t, text, `{"success":false,"message":"Route not found: `)
}
