package llmtool_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	. "github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/llmtool"
)

func TestCheckTellsThingsApart(t *testing.T) {
	t.Parallel()
	const ok, failed, unchecked = llmtool.CheckOK, llmtool.CheckFailed, llmtool.Unchecked
	at := func(status int, body string) llmtool.Provider { return provider(responds(t, status, body).URL) }
	with := func(p llmtool.Provider, change func(*llmtool.Provider)) llmtool.Provider { change(&p); return p }
	refusedKey := `{"error":{"message":"Incorrect API key provided: ` + apiKey + `","code":"invalid_api_key"}}`
	for _, c := range []struct {
		name                  string
		p                     llmtool.Provider
		reachable, key, known llmtool.Verdict
		reason                Reason // empty: all is well
	}{
		{"good", at(200, says("OK")), ok, ok, ok, ""},
		{"cut: all of it was thought", at(200, completion("", "length")), ok, ok, ok, ""},
		{"wrong key", at(401, refusedKey), ok, failed, unchecked, Auth},
		{"key without the right", at(403, ""), ok, failed, unchecked, Permission},
		{"no key given", with(at(200, says("OK")), func(p *llmtool.Provider) { p.APIKey = "{{env.NOBODY_HAS}}" }), unchecked, failed, unchecked, MissingCredential},
		{"unknown model", at(404, `{"error":{"code":"model_not_found"}}`), ok, ok, failed, ModelNotFound},
		{"no model", with(at(200, says("OK")), func(p *llmtool.Provider) { p.Model = "" }), unchecked, unchecked, unchecked, BadDefinition},
		{"quota", at(429, `{"error":{"code":"insufficient_quota"}}`), ok, ok, unchecked, Quota},
		{"rate limit", at(429, ""), ok, ok, unchecked, RateLimit},
		{"overloaded", at(503, ""), ok, unchecked, unchecked, Overloaded},
		{"wrong path", at(404, "404 page not found"), ok, unchecked, unchecked, NotFound},
		{"a web page", at(200, "<html>"), ok, unchecked, unchecked, NotJSON},
		{"bad request", at(400, ""), ok, unchecked, unchecked, BadRequest},
		{"nothing answered", at(200, completion("", "stop")), ok, ok, ok, Empty},
		{"refused", provider("http://127.0.0.1:1"), failed, unchecked, unchecked, Refused},
		{"silent", with(provider(stall(t, "")), func(p *llmtool.Provider) { p.Timeout = 50 }), failed, unchecked, unchecked, PhaseHeaders},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := clients(t, c.p).Check(t.Context(), "main", "")
			require.Equal(t, []llmtool.Verdict{c.reachable, c.key, c.known}, []llmtool.Verdict{k.Reachable, k.Key, k.ModelKnown})
			require.Equal(t, "main", k.Provider)
			require.Equal(t, "openai", k.Type)
			require.NotEmpty(t, k.Host)
			require.NotContains(t, fmt.Sprintf("%+v", k), apiKey)
			if c.reason == "" {
				require.Nil(t, k.Err)
				require.Equal(t, "gpt-4o-mini-2024-07-18", k.Model)
				return
			}
			require.NotNil(t, k.Err)
			require.Equal(t, c.reason, k.Err.Reason)
		})
	}
}

func TestCheckAsksLittleAndOnce(t *testing.T) {
	up := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	k := clients(t, provider(up.URL)).Check(t.Context(), "main", "another")
	require.Equal(t, "another", k.Model)
	require.Len(t, up.seen(), 1)
	require.Equal(t, "64", member(t, up.seen()[0], "max_tokens"))
	require.Equal(t, `"another"`, member(t, up.seen()[0], "model"))

	require.Equal(t, UnknownProvider, clients(t).Check(t.Context(), "main", "").Err.Reason)
	k = clientsThrough(t, nil, provider(up.URL)).Check(t.Context(), "main", "")
	require.Equal(t, Blocked, k.Err.Reason)
	require.Equal(t, llmtool.CheckFailed, k.Reachable)
}
