package runner_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/runner"
)

// sse answers who wants a stream with a chunk for each piece, and with end.
func sse(end string, pieces ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); !strings.Contains(string(body), `"stream":true`) {
			fmt.Fprintf(w, `{"choices":[{"index":0,"message":{"content":%q},"finish_reason":"stop"}]}`, strings.Join(pieces, ""))
			return
		}
		for _, text := range pieces {
			fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":%q}}]}\n\n", text)
		}
		_, _ = io.WriteString(w, end)
	}
}

const stop = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}` + "\n\n" + "data: [DONE]\n\n"

func TestStream(t *testing.T) {
	const secret = "sk-live-8aF3kQz71LmP"
	broken := `data: {"error":{"message":"Overloaded","code":503}}` + "\n\n"
	hello := upstream(t, sse(stop, "Hel", "lo!"))
	telltale := upstream(t, sse(stop, "It is sk-", "live-8aF3", "kQz71LmP."))
	breaking := upstream(t, sse(broken, "Hel"))
	def := func(name, provider, more string) *runner.Definition {
		return parse(t, "name: "+name+"\ntype: llm\nexecutionConfig: {providerId: "+provider+", promptTemplate: Hi}\n"+more)
	}
	of := func(id, url string) llmtool.Provider {
		return llmtool.Provider{ID: id, Type: "openai", BaseURL: url, Model: "m"}
	}
	r := newRunner(t, runner.Options{
		Tools: []*runner.Definition{
			def("hello", "hello", ""), def("cached", "hello", "configuration: {cache: {enabled: true}}\n"),
			def("telltale", "telltale", ""), def("breaking", "breaking", ""),
			parse(t, "name: outer\ntype: javascript\ncode: return await tools.invoke('hello', {})\n"),
		},
		Providers: []llmtool.Provider{of("hello", hello.URL), of("telltale", telltale.URL), of("breaking", breaking.URL)},
		Env:       map[string]string{"KEY": secret},
		Egress:    policy("127.0.0.1/32"),
	})
	for _, tc := range []struct {
		tool   string
		deltas []string
		value  string
		reason errclass.Reason
	}{
		{"hello", []string{"Hel", "lo!"}, `"Hello!"`, ""},
		{"cached", []string{"Hel", "lo!"}, `"Hello!"`, ""},
		{"cached", nil, `"Hello!"`, ""},
		{"outer", nil, `"Hello!"`, ""},
		{"telltale", []string{"It is ", "[redacted]."}, `"It is sk-live-8aF3kQz71LmP."`, ""},
		{"breaking", []string{"Hel"}, "", errclass.Overloaded},
	} {
		var deltas []string
		result, err := r.Execute(t.Context(), runner.Request{Tool: tc.tool, Stream: func(delta string) { deltas = append(deltas, delta) }})
		require.NoError(t, err)
		require.Equal(t, tc.deltas, deltas, tc.tool)
		require.Equal(t, tc.value, string(result.Value), "%s: %v", tc.tool, result.Failure)
		if tc.reason != "" {
			require.Equal(t, tc.reason, result.Failure.Reason)
		}
	}
}

// A listener's panic is a fault of ours, and harms nobody else.
func TestPanicInAListener(t *testing.T) {
	up := upstream(t, sse(stop, "Hello"))
	r := newRunner(t, runner.Options{
		Tools:     []*runner.Definition{parse(t, "name: hello\ntype: llm\nexecutionConfig: {providerId: p, promptTemplate: Hi}\n")},
		Providers: []llmtool.Provider{{ID: "p", Type: "openai", BaseURL: up.URL, Model: "m"}},
		Egress:    policy("127.0.0.1/32"),
	})
	result, err := r.Execute(t.Context(), runner.Request{Tool: "hello", Stream: func(string) { panic("boom") }})
	require.NoError(t, err)
	require.Equal(t, errclass.InternalError, result.Failure.Class)
}
