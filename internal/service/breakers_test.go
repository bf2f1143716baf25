package service_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/internal/service"
	"github.com/almyty-inc/toolrun/runner"
)

// An open breaker answers at once, is seen in metrics and readiness, and leaves
// other organizations alone.
func TestBreakers(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }))
	t.Cleanup(upstream.Close)
	s := serve(t, runner.Options{
		Tools:  []*runner.Definition{define(t, "{name: call, type: http, executionConfig: {url: '"+upstream.URL+"'}}")},
		Egress: httptool.Policy{Allow: []string{upstream.Listener.Addr().String()}},
	}, service.Options{})
	ready := func(want string) {
		response, body := s.do(t, "GET", "/readyz?verbose", "", "")
		require.Equal(t, 200, response.StatusCode)
		require.Regexp(t, want, body)
	}
	metric := func(want string) {
		response, body := s.do(t, "GET", "/metrics", "", "")
		require.Equal(t, 200, response.StatusCode)
		require.Contains(t, response.Header.Get("Content-Type"), "text/plain")
		require.Contains(t, body, want)
	}
	ready(`^\{"success":true,"data":\{"breakers":\[\],"broken":\[\],"running":0,"status":"ready"\}\}$`)
	metric("toolrun_breakers{state=\"open\"} 0\n")
	metric("toolrun_executions_running 0\n")
	for range 5 {
		response, _ := s.do(t, "POST", "/organizations/acme/tools/call/execute", "", "")
		require.Equal(t, "overloaded", response.Header.Get("X-Tool-Error-Reason"))
	}
	response, body := s.do(t, "POST", "/organizations/acme/tools/call/execute", "", "")
	require.Regexp(t, `"error":"Tool execution failed: Connection refused: circuit open for 127\.0\.0\.1:\d+, retry in \d+s"`, body)
	require.Equal(t, "circuit_open", response.Header.Get("X-Tool-Error-Reason"))
	require.Equal(t, "true", response.Header.Get("X-Tool-Retryable"))
	require.NotEmpty(t, response.Header.Get("Retry-After"))
	ready(`"breakers":\[\{"origin":"` + upstream.URL + `","organization":"acme","state":"open","retryAfterMs":\d+\}\]`)
	metric("toolrun_breakers{state=\"open\"} 1\n")
	response, _ = s.do(t, "POST", "/organizations/other/tools/call/execute", "", "")
	require.Equal(t, "overloaded", response.Header.Get("X-Tool-Error-Reason"))
}
