package runner_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/runner"
)

// Of prompts and answers nothing enters the log, not at the level of debugging and
// not by way of a provider that repeats a word of them.
func TestPromptStaysOutOfTheLog(t *testing.T) {
	const word = "Lovelace"
	completion := func(content, finish string) string {
		return fmt.Sprintf(`{"choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":%q}]}`, content, finish)
	}
	for _, tc := range []struct {
		name   string
		status int
		body   string
		reason errclass.Reason // empty: a success
	}{
		{"success", 200, completion(`{"name":"Lovelace"}`, "stop"), ""},
		{"repeated by the provider", 400, `{"error":{"message":"can't say Lovelace","code":"Lovelace"}}`, errclass.BadRequest},
		{"repeated in plain text", 500, "no Lovelace here", errclass.ServerError},
		{"repeated by the model", 200, `{"choices":[{"message":{"refusal":"Lovelace is private"},"finish_reason":"stop"}]}`, errclass.Refusal},
		{"not JSON", 200, completion("Lovelace", "stop"), errclass.NotJSON},
		{"name of a member", 200, completion(`{"Lovelace":1}`, "stop"), errclass.SchemaMismatch},
		{"cut", 200, completion(`{"name":"Lovelace"`, "length"), errclass.Truncated},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Request-Id", "req-1")
				w.WriteHeader(tc.status)
				fmt.Fprint(w, tc.body)
			})
			var log bytes.Buffer
			def := parse(t, "name: find\ntype: llm\nexecutionConfig: {providerId: main, systemPrompt: 'You find Lovelace.', promptTemplate: 'Who is {{parameters.who}}?', "+
				"outputMode: json, outputSchema: {type: object, properties: {name: {type: string}}, additionalProperties: false}}\n")
			r := newRunner(t, runner.Options{
				Tools:     []*runner.Definition{def, script("nested", "return await tools.invoke('find', parameters)")},
				Providers: []llmtool.Provider{{ID: "main", Type: "custom", BaseURL: s.URL, Model: "m"}},
				Egress:    policy(strings.TrimPrefix(s.URL, "http://")),
				Logger:    slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			})
			result := execute(t, r, runner.Request{Tool: "find", Parameters: []byte(`{"who":"Ada Lovelace"}`)})
			if tc.reason == "" {
				require.Nil(t, result.Failure)
			} else {
				require.Equal(t, tc.reason, result.Failure.Reason)
				require.Contains(t, log.String(), fmt.Sprintf(`"reason":%q,"upstream":{"provider":"main","status":%d,"request":"req-1"}`, tc.reason, tc.status))
			}
			require.Contains(t, log.String(), result.ExecutionID)
			require.NotContains(t, log.String(), word)

			nested := execute(t, r, runner.Request{Tool: "nested", Parameters: []byte(`{"who":"Ada Lovelace"}`)})
			require.Equal(t, tc.reason == "", nested.Failure == nil)
			require.Contains(t, log.String(), nested.ExecutionID)
			require.NotContains(t, log.String(), word)
		})
	}
}
