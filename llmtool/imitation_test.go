package llmtool_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/llmtool"
)

// Mistral tells the usage at the end of every stream, and answers 422 to whom asks for it.
func TestMistralStreamTellsUsageUnasked(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, `data: {"id":"1","object":"chat.completion.chunk","model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]}

data: {"id":"1","object":"chat.completion.chunk","model":"m-1","choices":[{"index":0,"delta":{"content":"lo."},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"total_tokens":15,"completion_tokens":3}}

data: [DONE]

`)
	})
	for kind, asks := range map[string]bool{"mistral": false, "openai": true} {
		c := clientsOf(t, llmtool.Provider{ID: "main", Type: kind, BaseURL: up.URL, Model: "m"})
		var text string
		in := input
		in.Delta = func(piece string) { text += piece }
		answer, err := compile(t, llmtool.Config{Seed: ptr(7)}).Run(t.Context(), c, in)
		require.NoError(t, err)
		require.Equal(t, "Hello.", text)
		require.Equal(t, 15, answer.Usage.TotalTokens)
		sent := up.seen()[len(up.seen())-1]
		require.Contains(t, sent, `"stream":true`)
		if asks {
			require.Contains(t, sent, `"stream_options":{"include_usage":true}`)
			require.Contains(t, sent, `"seed":7}`)
		} else {
			require.NotContains(t, sent, "stream_options")
			require.Contains(t, sent, `"random_seed":7}`)
		}
	}
}
