package runner_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/runner"
)

// Details say who answered and what each attempt cost; without them a failure
// stays four fields.
func TestFallbackDetails(t *testing.T) {
	const key = "sk-test-1234567890"
	completion := func(content, finish string) string {
		return fmt.Sprintf(`{"model":"gpt-x-2026-01-02","choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":%q}],"usage":{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12}}`, content, finish)
	}
	answers := map[string]func(http.ResponseWriter){
		"filtered": func(w http.ResponseWriter) { fmt.Fprint(w, completion("x", "content_filter")) },
		"busy": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintf(w, `{"error":{"message":"too busy for %s"}}`, key)
		},
		"good": func(w http.ResponseWriter) { fmt.Fprint(w, completion("short", "stop")) },
	}
	s := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Request-Id", "req-"+name)
		answers[name](w)
	})
	opts := runner.Options{Env: map[string]string{"KEY": key}, Egress: policy(strings.TrimPrefix(s.URL, "http://"))}
	for name := range answers {
		opts.Providers = append(opts.Providers, llmtool.Provider{
			ID: name, Type: "custom", BaseURL: s.URL + "/" + name, APIKey: "{{env.KEY}}", Model: "gpt-x",
			Pricing: map[string]llmtool.Price{"gpt-x": {Prompt: 1, Completion: 10}},
		})
	}
	const cost = `"usage":{"promptTokens":10,"completionTokens":2,"totalTokens":12,"estimatedCost":0.00003}`
	const filtered = `{"provider":"filtered","model":"gpt-x-2026-01-02","reason":"content_filter","error":"LLM error: the filter of provider filtered stopped the answer",` + cost + `}`
	const busy = `{"provider":"busy","model":"gpt-x","reason":"overloaded","error":"LLM error: 503: too busy for [redacted]"}`
	for _, c := range []struct{ first, fallbacks, plain, details string }{
		{"filtered", "busy, good",
			`{"success":true,"data":{"result":"short","duration":0,"status":"success","usage":{"promptTokens":20,"completionTokens":4,"totalTokens":24,"estimatedCost":0.00006}}}`,
			`{"upstream":{"host":"HOST","provider":"good","status":200,"requestId":"req-good"},"executionId":"ID","tries":[` +
				filtered + `,` + busy + `,{"provider":"good","model":"gpt-x-2026-01-02",` + cost + `}]}`},
		{"filtered", "busy",
			`{"success":false,"error":"Tool execution failed: LLM error: 503: too busy for [redacted]","duration":0,"status":"error"}`,
			`{"class":"llm_error","reason":"overloaded","origin":"upstream","retryable":true,"attempts":2,"stopped":"max_attempts",` +
				`"upstream":{"host":"HOST","provider":"busy","status":503,"requestId":"req-busy"},"hint":"HINT","executionId":"ID","tries":[` +
				filtered + `,` + busy + `],` + cost + `}`},
	} {
		def := parse(t, "name: t\ntype: llm\nexecutionConfig: {providerId: "+c.first+", fallbackProviderIds: ["+c.fallbacks+"], fallbackOn: [content_filter], promptTemplate: hi}\n")
		opts.Tools = []*runner.Definition{def}
		result := execute(t, newRunner(t, opts), runner.Request{Tool: "t"})
		result.Duration = 0
		plain, err := result.JSON(false)
		require.NoError(t, err)
		require.Equal(t, c.plain, string(plain))
		data, err := result.JSON(true)
		require.NoError(t, err)
		document := strings.NewReplacer(result.ExecutionID, "ID", strings.TrimPrefix(s.URL, "http://"), "HOST").Replace(string(data))
		document = regexp.MustCompile(`"hint":"[^"]+"`).ReplaceAllString(document, `"hint":"HINT"`)
		var found struct {
			Details json.RawMessage
			Data    struct{ Details json.RawMessage }
		}
		require.NoError(t, json.Unmarshal([]byte(document), &found))
		require.Equal(t, c.details, string(found.Details)+string(found.Data.Details))
	}
}
