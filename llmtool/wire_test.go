package llmtool_test

import (
	"bytes"
	"encoding/json"
	stdlog "log"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/llmtool/anthropic"
	"github.com/almyty-inc/toolrun/llmtool/google"
)

// letter is what the tool of the wire cases works on. Providers echo it, and it
// speaks of failures that are none of theirs.
const letter = "Ada Lovelace of 12 St James's Square got 429, rate limit exceeded, insufficient_quota, context window exceeded, overloaded"

// private are words of requests that no failure may show: of the letter, of
// accounts, and of what models wrote of the letter.
var private = []string{
	"Lovelace", "St James", "AbCdEf", "9d50ef40", "1b4f0e98", "01hqabcdef", "123456789012", "88dc28d0", "AbC123456", "wxyz", "PluralAlpha",
}

// dialects are all that there are beside this package's.
var dialects = []llmtool.Dialect{anthropic.Dialect(), google.Dialect()}

// letterTool is the one tool of all wire cases.
func letterTool(t testing.TB, mode string) *llmtool.Tool {
	cfg := llmtool.Config{SystemPrompt: "You sum letters up.", PromptTemplate: "Sum this letter up: {{parameters.letter}}"}
	if mode == llmtool.OutputJSON {
		cfg.OutputMode = llmtool.OutputJSON
		cfg.OutputSchema = json.RawMessage(`{"type":"object","required":["summary"],"properties":{"summary":{"type":"string"}}}`)
	}
	return compile(t, cfg)
}

// clients is one provider of the case's type, at baseURL.
func (c wireCase) clients(t testing.TB, baseURL string) *llmtool.Clients {
	p := llmtool.Provider{ID: "main", Type: c.kind, BaseURL: baseURL, Model: c.model}
	if c.key != "" {
		p.APIKey = "{{env.API_KEY}}"
	}
	made, faults := llmtool.NewClients([]llmtool.Provider{p}, map[string]string{"API_KEY": c.key}, nil, transport(t), dialects...)
	require.Empty(t, faults)
	return made
}

// TestWire serves each recorded answer to the real client of its provider. What is
// no stream is also answered where one was asked for, and fails in the same way:
// except for whole messages of the two APIs whose clients expect nothing but events.
func TestWire(t *testing.T) {
	t.Parallel()
	cases := wireCases(t)
	require.Greater(t, len(cases), 250)
	var log bytes.Buffer // genai writes to the standard logger
	before := stdlog.Writer()
	stdlog.SetOutput(&log)
	t.Cleanup(func() {
		stdlog.SetOutput(before)
		requireNothingPrivate(t, log.String())
	})
	for _, c := range cases {
		for _, asked := range []string{"whole", "stream"} {
			eventsOnly := c.kind == "anthropic" || c.kind == "google"
			message := strings.HasPrefix(c.response.head, "HTTP/1.1 200") && strings.HasPrefix(c.response.body, "{") && !strings.Contains(c.response.body, `"error"`)
			if asked == "whole" && c.response.chunked() || asked == "stream" && eventsOnly && message {
				continue
			}
			t.Run(c.file+"/"+c.name+"/"+asked, func(t *testing.T) {
				t.Parallel()
				c.run(t, asked == "stream")
			})
		}
	}
}

func (c wireCase) run(t *testing.T, asStream bool) {
	url := c.response.serve(t)
	in := llmtool.Input{Parameters: map[string]any{"letter": letter}}
	if asStream {
		in.Delta = func(string) {}
	}
	start := time.Now()
	answer, err := letterTool(t, c.mode).Run(t.Context(), c.clients(t, url), in)
	require.Less(t, time.Since(start), 10*time.Second)
	require.Error(t, err)
	require.NotNil(t, answer)
	require.Nil(t, answer.Value)
	e := errclass.Classify(err)
	require.Equal(t, c.message, e.Detail)
	require.Equal(t, []any{c.class, c.reason}, []any{e.Class, e.Reason})
	require.Equal(t, []any{c.retryable, c.wait}, []any{e.Retryable, e.RetryAfter})
	require.Equal(t, errclass.Upstream{
		Provider: "main", Host: strings.TrimPrefix(url, "http://"),
		Status: c.response.status(t), Code: c.code, RequestID: c.request,
	}, e.Upstream)
	document, err := json.Marshal(errclass.Outcome{Err: e, Details: e.Details()})
	require.NoError(t, err)
	requireNothingPrivate(t, string(document))
}

func requireNothingPrivate(t testing.TB, text string) {
	for _, word := range private {
		require.NotContains(t, text, word)
	}
}

// TestWireSpeaksEveryType holds the cases against the types that a provider may have.
func TestWireSpeaksEveryType(t *testing.T) {
	cases := map[string]int{}
	for _, c := range wireCases(t) {
		cases[c.kind]++
	}
	for _, kind := range []string{
		"openai", "azure_openai", "anthropic", "google", "mistral", "groq", "ollama", "openrouter", "deepseek", "xai", "together", "custom",
	} {
		require.GreaterOrEqual(t, cases[kind], 6, kind)
		delete(cases, kind)
	}
	require.Empty(t, cases)
}

// TestWireReachesEveryReason holds the cases against the vocabulary: each reason
// that an LLM tool's failure may have is seen from two providers at least.
func TestWireReachesEveryReason(t *testing.T) {
	seen := map[errclass.Reason][]string{}
	for _, c := range wireCases(t) {
		if !slices.Contains(seen[c.reason], c.file) {
			seen[c.reason] = append(seen[c.reason], c.file)
		}
	}
	for _, reason := range []errclass.Reason{
		errclass.Auth, errclass.Permission, errclass.RateLimit, errclass.Quota, errclass.ContextLength, errclass.ContentFilter,
		errclass.Refusal, errclass.Overloaded, errclass.ModelNotFound, errclass.BadRequest, errclass.ServerError, errclass.Empty,
		errclass.NotFound, errclass.NotJSON, errclass.SchemaMismatch, errclass.Truncated,
	} {
		require.GreaterOrEqual(t, len(seen[reason]), 2, "%s: %v", reason, seen[reason])
	}
}
