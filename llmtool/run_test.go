package llmtool_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	. "github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/llmtool"
)

func TestTextAnswer(t *testing.T) {
	up := answers(t, says("Hello, <world> \"é\"\n"))
	answer, e := run(t, llmtool.Config{SystemPrompt: "Be brief."}, clients(t, provider(up.URL)))
	require.Nil(t, e)
	require.Equal(t, `"Hello, <world> \"é\"\n"`, string(answer.Value))
	require.Equal(t, "main", answer.Provider)
	require.Equal(t, "gpt-4o-mini-2024-07-18", answer.Model)
	require.Equal(t, 1, answer.Attempts)
	require.JSONEq(t, `{"model":"gpt-4o-mini","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Say hello."}],`+
		`"max_tokens":1024,"temperature":0.7,"stream":false}`, up.seen()[0])
	require.Equal(t, "Bearer "+apiKey, up.headers[0].Get("Authorization"))
}

func TestUsageAndCost(t *testing.T) {
	up := answers(t, says("not json"), says(`{"a":1}`))
	answer, e := run(t, llmtool.Config{OutputMode: "json"}, clients(t, provider(up.URL)))
	require.Nil(t, e)
	require.Equal(t, &llmtool.Usage{PromptTokens: 24, CompletionTokens: 6, TotalTokens: 30, EstimatedCost: ptr(0.0000072)}, answer.Usage)
	require.JSONEq(t, `{"promptTokens":24,"completionTokens":6,"totalTokens":30,"estimatedCost":0.0000072}`, quote(answer.Usage))

	t.Run("of a failure", func(t *testing.T) {
		up := answers(t, completion("Hel", "length"))
		answer, e := run(t, llmtool.Config{}, clients(t, provider(up.URL)))
		require.Equal(t, Truncated, e.Reason)
		require.Equal(t, 15, answer.Usage.TotalTokens)
		require.Equal(t, 0.0000036, *answer.Usage.EstimatedCost)
	})
	t.Run("price by the model's full name", func(t *testing.T) {
		p := provider(answers(t, says("hi")).URL)
		p.Pricing = map[string]llmtool.Price{"gpt-4o-mini-2024-07-18": {Prompt: 1e6, Completion: 0}}
		answer, _ := run(t, llmtool.Config{}, clients(t, p))
		require.Equal(t, 12.0, *answer.Usage.EstimatedCost)
	})
	t.Run("price unknown", func(t *testing.T) {
		answer, _ := run(t, llmtool.Config{Model: "other"}, clients(t, provider(answers(t, strings.ReplaceAll(says("hi"), "gpt-4o-mini-2024-07-18", "other")).URL)))
		require.Nil(t, answer.Usage.EstimatedCost)
		require.NotContains(t, quote(answer.Usage), "estimatedCost")
	})
	t.Run("free", func(t *testing.T) {
		p := provider(answers(t, says("hi")).URL)
		p.Pricing = map[string]llmtool.Price{"gpt-4o-mini": {}}
		answer, _ := run(t, llmtool.Config{}, clients(t, p))
		require.Contains(t, quote(answer.Usage), `"estimatedCost":0`)
	})
	t.Run("not stated", func(t *testing.T) {
		answer, _ := run(t, llmtool.Config{}, clients(t, provider(answers(t, `{"choices":[{"message":{"content":"hi"}}]}`).URL)))
		require.Equal(t, `"hi"`, string(answer.Value))
		require.Nil(t, answer.Usage)
	})
	t.Run("sums to the token over many", func(t *testing.T) {
		c := clients(t, provider(answers(t, says("hi")).URL))
		var total atomic.Int64
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				answer, err := compile(t, llmtool.Config{}).Run(t.Context(), c, input)
				if err == nil {
					total.Add(int64(answer.Usage.TotalTokens))
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 300, total.Load())
	})
}

const personSchema = `{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer","minimum":0}},"required":["name","age"],"additionalProperties":false}`

func TestRepairTurnShowsTheFaults(t *testing.T) {
	up := answers(t, says(`{"name":"Ada","age":"old"}`), says("```json\n{\"name\":\"Ada\",\"age\":36}\n```"))
	answer, e := run(t, llmtool.Config{OutputMode: "json", OutputSchema: json.RawMessage(personSchema)}, clients(t, provider(up.URL)))
	require.Nil(t, e)
	require.Equal(t, `{"name":"Ada","age":36}`, string(answer.Value))
	require.Equal(t, 2, answer.Attempts)
	require.Len(t, up.seen(), 2)
	require.JSONEq(t, `{"type":"json_schema","json_schema":{"name":"result","strict":true,"schema":`+personSchema+`}}`, member(t, up.seen()[0], "response_format"))
	var second struct {
		Messages []struct{ Role, Content string }
	}
	require.NoError(t, json.Unmarshal([]byte(up.seen()[1]), &second))
	require.Len(t, second.Messages, 3)
	require.Equal(t, "assistant", second.Messages[1].Role)
	require.Equal(t, `{"name":"Ada","age":"old"}`, second.Messages[1].Content)
	require.Contains(t, second.Messages[2].Content, "/age must be ")
	require.NotContains(t, second.Messages[2].Content, "old")
}

func TestSchemaMismatchAfterRepair(t *testing.T) {
	up := answers(t, says(`{"name":"Ada"}`))
	answer, e := run(t, llmtool.Config{OutputMode: "json", OutputSchema: json.RawMessage(personSchema)}, clients(t, provider(up.URL)))
	require.Equal(t, InvalidResponse, e.Class)
	require.Equal(t, SchemaMismatch, e.Reason)
	require.Equal(t, "Validation failed: age is required", e.Detail)
	require.Equal(t, 30, answer.Usage.TotalTokens)
	require.Equal(t, 2, e.Attempts)
	require.Equal(t, 200, e.Upstream.Status)
	require.Len(t, up.seen(), 2)
}

func TestCutJSONGetsNoRepairTurn(t *testing.T) {
	up := answers(t, completion(`{"a":`, "length"))
	_, e := run(t, llmtool.Config{OutputMode: "json", MaxTokens: ptr(7)}, clients(t, provider(up.URL)))
	require.Equal(t, Truncated, e.Reason)
	require.Equal(t, "the answer was cut at maxTokens (7)", e.Detail)
	require.Len(t, up.seen(), 1)
}

func member(t *testing.T, document, name string) string {
	var object map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(document), &object))
	return string(object[name])
}

func TestTemperatureAndTokensOnTheWire(t *testing.T) {
	for _, c := range []struct {
		name, model          string
		temperature          *float64
		tokens, limit, other string
	}{
		{"default", "gpt-4o", nil, "0.7", "max_tokens", "max_completion_tokens"},
		{"zero", "gpt-4o", ptr(0.0), "0", "max_tokens", "max_completion_tokens"},
		{"two", "gpt-4o", ptr(2.0), "2", "max_tokens", "max_completion_tokens"},
		{"reasoning", "o3-mini", nil, "", "max_completion_tokens", "max_tokens"},
		{"reasoning, zero", "gpt-5-mini", ptr(0.0), "", "max_completion_tokens", "max_tokens"},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := answers(t, says("hi"))
			cfg := llmtool.Config{Model: c.model, Temperature: c.temperature, SystemPrompt: `{"temperature":1e-45}`}
			_, e := run(t, cfg, clients(t, provider(up.URL)))
			require.Nil(t, e)
			body := up.seen()[0]
			require.Equal(t, c.tokens, member(t, body, "temperature"))
			require.Equal(t, "1024", member(t, body, c.limit))
			require.Empty(t, member(t, body, c.other))
			require.Contains(t, body, `{\"temperature\":1e-45}`)
		})
	}
}

func TestRetries(t *testing.T) {
	t.Parallel()
	failing := func(n int32, headers, body string, status int) (*upstream, *atomic.Int32) {
		var count atomic.Int32
		return serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if count.Add(1) > n {
				_, _ = io.WriteString(w, says("at last"))
				return
			}
			if headers != "" {
				w.Header().Set("Retry-After-Ms", headers)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}), &count
	}
	t.Run("honours the wait", func(t *testing.T) {
		up, count := failing(2, "20", "{}", 429)
		start := time.Now()
		answer, e := run(t, llmtool.Config{Retries: 2}, clients(t, provider(up.URL)))
		require.Nil(t, e)
		require.Equal(t, `"at last"`, string(answer.Value))
		require.Equal(t, 3, answer.Attempts)
		require.EqualValues(t, 3, count.Load())
		require.GreaterOrEqual(t, time.Since(start), 40*time.Millisecond)
	})
	t.Run("gives up", func(t *testing.T) {
		up, _ := failing(9, "1", "{}", 503)
		_, e := run(t, llmtool.Config{Retries: 2}, clients(t, provider(up.URL)))
		require.Equal(t, Overloaded, e.Reason)
		require.Equal(t, 3, e.Attempts)
		require.Equal(t, StoppedMaxAttempts, e.Stopped)
	})
	t.Run("not for what won't pass", func(t *testing.T) {
		up, _ := failing(9, "1", `{"error":{"code":"insufficient_quota"}}`, 429)
		_, e := run(t, llmtool.Config{Retries: 5}, clients(t, provider(up.URL)))
		require.Equal(t, Quota, e.Reason)
		require.Equal(t, 1, e.Attempts)
		require.Equal(t, StoppedNotRetryable, e.Stopped)
	})
	t.Run("never sleeps past the deadline", func(t *testing.T) {
		up, _ := failing(9, "3600000", "{}", 429)
		ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
		defer stop()
		_, e := runCtx(t, ctx, llmtool.Config{Retries: 5}, clients(t, provider(up.URL)))
		require.Equal(t, RateLimit, e.Reason)
		require.Equal(t, time.Hour, e.RetryAfter)
		require.Equal(t, 1, e.Attempts)
		require.Equal(t, StoppedDeadline, e.Stopped)
	})
	t.Run("never sleeps for more than a minute", func(t *testing.T) {
		up, _ := failing(9, "60001", "{}", 429)
		_, e := run(t, llmtool.Config{Retries: 5}, clients(t, provider(up.URL)))
		require.Equal(t, RateLimit, e.Reason)
		require.Equal(t, 60001*time.Millisecond, e.RetryAfter)
		require.Equal(t, 1, e.Attempts)
		require.Equal(t, StoppedDeadline, e.Stopped)
	})
	t.Run("an empty answer is worth another", func(t *testing.T) {
		up := answers(t, completion("", "stop"), says("hi"))
		answer, e := run(t, llmtool.Config{Retries: 1}, clients(t, provider(up.URL)))
		require.Nil(t, e)
		require.Equal(t, 30, answer.Usage.TotalTokens)
	})
}

func TestConcurrentRuns(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("X-Kind") {
		case "0":
			_, _ = io.WriteString(w, says("hi"))
		case "1":
			w.WriteHeader(429)
		case "2":
			_, _ = io.WriteString(w, completion("", "stop"))
		}
	})
	var all []llmtool.Provider
	for kind := range 3 {
		p := provider(up.URL)
		p.ID, p.Headers = fmt.Sprint("p", kind), map[string]string{"X-Kind": fmt.Sprint(kind)}
		all = append(all, p)
	}
	c := clients(t, all...)
	var tools []*llmtool.Tool
	for kind := range 3 {
		tools = append(tools, compile(t, llmtool.Config{ProviderID: fmt.Sprint("p", kind)}))
	}
	var wg sync.WaitGroup
	wrong := make(chan error, 1000)
	start := make(chan struct{})
	for i := range 1000 {
		wg.Go(func() {
			<-start
			_, err := tools[i%3].Run(t.Context(), c, input)
			var reason Reason
			if e := Classify(err); e != nil {
				reason = e.Reason
			}
			if want := []Reason{"", RateLimit, Empty}[i%3]; reason != want {
				wrong <- fmt.Errorf("%d: %q, not %q: %w", i, reason, want, err)
			}
		})
	}
	close(start)
	wg.Wait()
	close(wrong)
	for err := range wrong {
		t.Error(err)
	}
}
