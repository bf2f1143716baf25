package service_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/internal/service"
	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/runner"
)

// What a caller writes to a model, and what its provider repeats of it, is in
// neither metrics nor log.
func TestPromptStaysOutOfMetricsAndLog(t *testing.T) {
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `{"error":{"message":"too busy for Lovelace","code":"Lovelace"}}`)
	}))
	t.Cleanup(provider.Close)
	s := serve(t, runner.Options{
		Tools:     []*runner.Definition{define(t, "{name: find, type: llm, executionConfig: {providerId: main, promptTemplate: 'Who is {{parameters.who}}?'}}")},
		Providers: []llmtool.Provider{{ID: "main", Type: "custom", BaseURL: provider.URL, Model: "m"}},
		Egress:    httptool.Policy{Allow: []string{provider.Listener.Addr().String()}},
	}, service.Options{})
	for range 6 { // the last ones meet an open breaker
		_, body := s.do(t, "POST", "/tools/find/execute", "application/json", `{"parameters":{"who":"Ada Lovelace"}}`)
		require.Contains(t, body, `"success":false`)
	}
	response, body := s.do(t, "GET", "/metrics", "", "")
	require.Equal(t, 200, response.StatusCode)
	require.Contains(t, body, "toolrun_executions_running 0\n")
	require.NotContains(t, body, "Lovelace")
	require.NotContains(t, s.log.String(), "Lovelace")
}
