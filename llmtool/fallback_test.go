package llmtool_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	. "github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/llmtool"
)

// responds is a provider that answers everything alike.
func responds(t testing.TB, status int, body string) *upstream {
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

const refusal = `{"choices":[{"message":{"refusal":"no"}}]}`

func TestFallback(t *testing.T) {
	t.Parallel()
	cut := raw(t, func(conn net.Conn) {
		readRequest(conn)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"choi")
	})
	opened := New(ConnectionRefused, CircuitOpen, "too many failures")
	for _, c := range []struct {
		name   string
		first  string
		asked  []Reason
		passes bool
	}{
		{"overloaded", responds(t, 503, "").URL, nil, true},
		{"overloaded, Anthropic's status", responds(t, 529, "").URL, nil, true},
		{"rate limit", responds(t, 429, "").URL, nil, true},
		{"quota", responds(t, 402, "").URL, nil, true},
		{"server error", responds(t, 500, "").URL, nil, true},
		{"unreachable", "http://127.0.0.1:1", nil, true},
		{"silent", stall(t, ""), nil, true},
		{"breaker", "http://breaker.test", nil, true},
		{"broken off", cut, nil, true},
		{"filtered request", responds(t, 400, `{"error":{"code":"content_filter"}}`).URL, nil, false},
		{"filtered request, asked", responds(t, 400, `{"error":{"code":"content_filter"}}`).URL, []Reason{ContentFilter}, true},
		{"filtered answer", responds(t, 200, completion("", "content_filter")).URL, nil, false},
		{"filtered answer, asked", responds(t, 200, completion("", "content_filter")).URL, []Reason{ContentFilter}, true},
		{"refusal", responds(t, 200, refusal).URL, []Reason{ContentFilter}, false},
		{"refusal, asked", responds(t, 200, refusal).URL, []Reason{Refusal}, true},
		{"bad request", responds(t, 400, "").URL, nil, false},
		{"wrong key", responds(t, 401, "").URL, nil, false},
		{"permission", responds(t, 403, "").URL, nil, false},
		{"unknown model", responds(t, 404, `{"error":{"code":"model_not_found"}}`).URL, nil, false},
		{"context length", responds(t, 413, "").URL, nil, false},
		{"cut at maxTokens", responds(t, 200, completion("Hel", "length")).URL, nil, false},
		{"empty", responds(t, 200, completion("", "stop")).URL, nil, false},
		{"no chat completion", responds(t, 200, "<html>").URL, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			up := answers(t, says("from the second"))
			first, second := provider(c.first), provider(up.URL)
			first.Timeout = 5000
			if c.name == "silent" {
				first.Timeout = 30
			}
			second.ID, second.Model = "second", "its-own"
			door := roundTripper(func(req *http.Request) (*http.Response, error) {
				if req.URL.Host == "breaker.test" {
					return nil, opened
				}
				return transport(t).RoundTrip(req)
			})
			cfg := llmtool.Config{Model: "gpt-4o", FallbackProviderIDs: []string{"second"}, FallbackOn: c.asked}
			answer, e := run(t, cfg, clientsThrough(t, door, first, second))
			if !c.passes {
				require.NotNil(t, e)
				require.Equal(t, "main", e.Upstream.Provider)
				require.Empty(t, up.seen())
				return
			}
			require.Nil(t, e)
			require.Equal(t, "second", answer.Provider)
			require.Equal(t, "second", answer.Upstream.Provider)
			require.Equal(t, 2, answer.Attempts)
			require.Equal(t, `"its-own"`, member(t, up.seen()[0], "model"))
			require.Len(t, answer.Tries, 2)
			require.Equal(t, "main", answer.Tries[0].Provider)
			require.Equal(t, "main", answer.Tries[0].Err.Upstream.Provider)
			require.Equal(t, "second", answer.Tries[1].Provider)
			require.Nil(t, answer.Tries[1].Err)
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// A fallback that can do nothing hides no failure that may pass.
func TestDecisiveFailure(t *testing.T) {
	t.Parallel()
	type failure struct {
		provider string
		reason   Reason
	}
	keyless := func(p llmtool.Provider) llmtool.Provider { p.APIKey = "{{env.NOBODY_HAS}}"; return p }
	at := func(status int) llmtool.Provider { return provider(responds(t, status, "").URL) }
	for _, c := range []struct {
		name      string
		providers []llmtool.Provider
		want      failure
		stopped   Stopped
		attempts  int
	}{
		{"the last of those that may pass", []llmtool.Provider{at(429), at(503)}, failure{"p1", Overloaded}, StoppedMaxAttempts, 2},
		{"one may pass, the next doesn't", []llmtool.Provider{at(429), at(400)}, failure{"p0", RateLimit}, StoppedMaxAttempts, 2},
		{"the next has no key", []llmtool.Provider{at(503), keyless(at(500))}, failure{"p0", Overloaded}, StoppedMaxAttempts, 1},
		{"none may pass", []llmtool.Provider{at(402), at(400)}, failure{"p1", BadRequest}, StoppedNotRetryable, 2},
		{"the first has no key", []llmtool.Provider{keyless(at(500)), at(500)}, failure{"p0", MissingCredential}, "", 0},
		{"three", []llmtool.Provider{at(402), at(503), at(401)}, failure{"p1", Overloaded}, StoppedMaxAttempts, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := llmtool.Config{}
			for i := range c.providers {
				c.providers[i].ID = "p" + string(rune('0'+i))
				if i > 0 {
					cfg.FallbackProviderIDs = append(cfg.FallbackProviderIDs, c.providers[i].ID)
				}
			}
			cfg.ProviderID = "p0"
			answer, e := run(t, cfg, clients(t, c.providers...))
			require.Equal(t, c.want, failure{e.Upstream.Provider, e.Reason})
			require.Equal(t, c.stopped, e.Stopped)
			require.Equal(t, c.attempts, e.Attempts)
			for i, try := range answer.Tries {
				require.Equal(t, c.providers[i].ID, try.Provider)
				require.NotNil(t, try.Err)
			}
		})
	}
}

func TestTriesTellWhatEachCost(t *testing.T) {
	t.Parallel()
	price := map[string]llmtool.Price{"gpt-4o-mini": {Prompt: 1, Completion: 10}}
	first := provider(answers(t, says(`{"name":"Ada"}`), completion("", "content_filter")).URL)
	second := provider(answers(t, says("not json"), says(`{"name":"Ada","age":36}`)).URL)
	first.Pricing, second.Pricing = price, price
	second.ID = "second"
	cfg := llmtool.Config{
		OutputMode: "json", OutputSchema: json.RawMessage(personSchema),
		FallbackProviderIDs: []string{"second"}, FallbackOn: []Reason{ContentFilter},
	}
	answer, e := run(t, cfg, clients(t, first, second))
	require.Nil(t, e)
	require.Equal(t, `{"name":"Ada","age":36}`, string(answer.Value))
	one := &llmtool.Usage{PromptTokens: 12, CompletionTokens: 3, TotalTokens: 15, EstimatedCost: ptr(0.000042)}
	reasons := []Reason{SchemaMismatch, ContentFilter, NotJSON, ""}
	require.Len(t, answer.Tries, len(reasons))
	for i, try := range answer.Tries {
		require.Equal(t, []string{"main", "main", "second", "second"}[i], try.Provider)
		require.Equal(t, "gpt-4o-mini-2024-07-18", try.Model)
		require.Equal(t, one, try.Usage)
		var reason Reason
		if try.Err != nil {
			reason = try.Err.Reason
		}
		require.Equal(t, reasons[i], reason)
	}
	require.Equal(t, &llmtool.Usage{PromptTokens: 48, CompletionTokens: 12, TotalTokens: 60, EstimatedCost: ptr(0.000168)}, answer.Usage)
	require.Equal(t, 4, answer.Attempts)
}
