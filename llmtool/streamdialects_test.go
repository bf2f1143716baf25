package llmtool_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	. "github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/llmtool/anthropic"
	"github.com/almyty-inc/toolrun/llmtool/google"
)

func ev(name, data string) string { return "event: " + name + "\ndata: " + data + "\n\n" }

// What holds for OpenAI's streams holds for those of the other dialects.
func TestStreamOfOtherDialects(t *testing.T) {
	start := ev("message_start", `{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"claude","content":[],"stop_reason":null,"usage":{"input_tokens":10,"output_tokens":1}}}`) +
		ev("content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`) + ev("ping", `{"type":"ping"}`) +
		ev("content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}`)
	rest := ev("content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lo"}}`) +
		ev("content_block_stop", `{"type":"content_block_stop","index":0}`) +
		ev("message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":5}}`) + ev("message_stop", `{"type":"message_stop"}`)
	g := `data: {"candidates":[{"content":{"role":"model","parts":[{"text":"Hel"}]},"index":0}],"usageMetadata":{"promptTokenCount":10,"totalTokenCount":10},"modelVersion":"gemini"}` + "\r\n\r\n"
	gEnd := `data: {"candidates":[{"content":{"role":"model","parts":[{"text":"lo"}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":5,"totalTokenCount":15},"modelVersion":"gemini"}` + "\r\n\r\n"
	for _, c := range []struct {
		name, kind, text string
		deltas           []string
		reason           Reason
		detail           string
		tokens           int
	}{
		{"whole", "anthropic", start + rest, []string{"Hel", "lo"}, "", "", 15},
		{"cut", "anthropic", start, []string{"Hel"}, Truncated, "the stream of provider main ended before its answer was complete", 11},
		{"overloaded", "anthropic", start + ev("error", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`), []string{"Hel"}, Overloaded, "Overloaded", 11},
		{"overloaded at once", "anthropic", ev("error", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`), nil, Overloaded, "Overloaded", 0},
		{"error and no stream", "anthropic", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, nil, Overloaded, "Overloaded", 0},
		{"garbage", "anthropic", start + "event: content_block_delta\ndata: {\"type\":\n\n", []string{"Hel"}, NotJSON, "a chunk in the stream of provider main isn't valid JSON", 11},
		{"html", "anthropic", "<html>", nil, NotJSON, "provider main answered with an HTML page; check its baseUrl", 0},
		{"nothing", "anthropic", "", nil, NotJSON, "the answer of provider main has no body", 0},
		{"whole", "google", g + gEnd, []string{"Hel", "lo"}, "", "", 15},
		{"cut", "google", g, []string{"Hel"}, Truncated, "the stream of provider main ended before its answer was complete", 10},
		{"error", "google", g + `data: {"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}` + "\r\n\r\n", []string{"Hel"}, Overloaded, "The model is overloaded", 10},
		{"bare error", "google", g + `{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}`, []string{"Hel"}, Overloaded, "The model is overloaded", 10},
		{"pretty error and no stream", "google", "{\n  \"error\": {\"code\": 503,\n \"message\": \"The model is overloaded.\", \"status\": \"UNAVAILABLE\"}\n}", nil, Overloaded, "The model is overloaded", 0},
		{"garbage", "google", g + "data: {\"candidates\":\r\n\r\n", []string{"Hel"}, NotJSON, "a chunk in the stream of provider main isn't valid JSON", 10},
		{"html", "google", "<html>", nil, NotJSON, "provider main answered with an HTML page; check its baseUrl", 0},
		{"nothing", "google", "", nil, NotJSON, "the answer of provider main has no body", 0},
	} {
		t.Run(c.kind+" "+c.name, func(t *testing.T) {
			up := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				if strings.HasPrefix(c.text, "{") {
					w.Header().Set("Content-Type", "application/json")
				}
				_, _ = io.WriteString(w, c.text)
			})
			p := provider(up.URL)
			p.Type = c.kind
			cl, faults := llmtool.NewClients([]llmtool.Provider{p}, env, nil, transport(t), anthropic.Dialect(), google.Dialect())
			require.Empty(t, faults)
			deltas, answer, e := streamed(t, t.Context(), llmtool.Config{}, cl)
			if c.reason == "" {
				require.Nil(t, e)
				require.Equal(t, `"Hello"`, string(answer.Value))
			} else {
				require.NotNil(t, e)
				require.Equal(t, c.reason, e.Reason, "%v %v", e, e.Cause)
				require.Equal(t, c.detail, e.Detail)
			}
			require.Equal(t, c.deltas, deltas)
			if c.tokens > 0 {
				require.NotNil(t, answer.Usage)
				require.Equal(t, c.tokens, answer.Usage.TotalTokens)
			}
		})
	}
}
