package llmtool_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/strictjson"
	"github.com/almyty-inc/toolrun/llmtool"
)

// canned answers every request in the process, without a socket.
type canned struct {
	status int
	header http.Header
	body   string
}

func (c canned) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: c.status, Header: c.header, Body: io.NopCloser(strings.NewReader(c.body)),
		ContentLength: -1, Request: req, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

// FuzzErrorBody shows that no answer makes a run panic, lose its class, leak the
// key or break the limits of a message.
func FuzzErrorBody(f *testing.F) {
	for _, c := range wireCases(f) {
		f.Add(c.response.status(f), c.response.body, "20", false)
	}
	f.Add(429, `{"error":{"message":"try again in 99999999999999999999h"}}`, "-0", true)
	f.Add(400, "{\"error\":{\"message\":\"\u202e`'\\\"\"}}", "1e309", true)
	f.Fuzz(func(t *testing.T, status int, body, wait string, asJSON bool) {
		if status < 200 || status > 599 {
			status = 400
		}
		door := canned{status, http.Header{"Retry-After": {wait}, "X-Ratelimit-Reset-Tokens": {wait}}, strings.ReplaceAll(body, "$KEY", apiKey)}
		cfg := llmtool.Config{}
		if asJSON {
			cfg.OutputMode = llmtool.OutputJSON
		}
		answer, e := run(t, cfg, clientsThrough(t, door, provider("http://provider.test")))
		if e == nil {
			require.NoError(t, strictjson.Valid(answer.Value))
			return
		}
		require.True(t, e.Class.Valid())
		require.True(t, e.Reason.Valid())
		require.NotEqual(t, errclass.InternalError, e.Class, "%v", e.Cause)
		require.NotContains(t, e.Message(), apiKey)
		require.True(t, utf8.ValidString(e.Detail))
		require.NotContains(t, e.Detail, "\n")
		require.GreaterOrEqual(t, e.RetryAfter, e.RetryAfter*0)
		require.LessOrEqual(t, e.RetryAfter.Hours(), 24.0)
	})
}

// FuzzJSONAnswer shows that what a JSON tool returns is JSON, and that JSON
// survives its way.
func FuzzJSONAnswer(f *testing.F) {
	for _, text := range []string{`{"a":1}`, "```json\n[1]\n```", `x {"a":"}"} y`, "<think>{", `[[[[`, "``` ```", `{"value":1}`} {
		f.Add(text)
	}
	tool, faults := llmtool.Compile(llmtool.Config{ProviderID: "main", PromptTemplate: "x", OutputMode: "json"}, nil)
	if len(faults) > 0 {
		f.Fatal(faults)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := clientsThrough(t, canned{200, http.Header{}, says(text)}, provider("http://provider.test"))
		answer, err := tool.Run(t.Context(), c, input)
		if err == nil {
			require.NoError(t, strictjson.Valid(answer.Value))
		}
		if utf8.ValidString(text) && strictjson.Valid([]byte(text)) == nil {
			want, _ := strictjson.Compact([]byte(text))
			require.NoError(t, err)
			require.Equal(t, string(want), string(answer.Value))
		}
	})
}

// FuzzStream shows that no stream makes a run panic, lose its class or leak the
// key, and that the deltas of a success are its result.
func FuzzStream(f *testing.F) {
	for _, text := range []string{
		role + piece("Hello") + ending("stop") + spent + done, piece("a") + "event: error\ndata: x\n\n", "\ufeffdata:[DONE]", ": x\n\ndata: {\"error\":[]}",
		"data: {\"choices\":[{\"delta\":{\"content\":[]},\"error\":{\"message\":\"$KEY\"}}]}\n\n", "{\"error\":true}", "data: null\n\ndata: {}\n\n", "\r\n\r\nid: 1\ndata: \"\\ud800\"",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		door := canned{200, http.Header{}, strings.ReplaceAll(text, "$KEY", apiKey)}
		deltas, answer, e := streamed(t, t.Context(), llmtool.Config{}, clientsThrough(t, door, provider("http://provider.test")))
		if e == nil {
			require.JSONEq(t, quote(strings.Join(deltas, "")), string(answer.Value))
			return
		}
		require.True(t, e.Class.Valid())
		require.NotEqual(t, errclass.InternalError, e.Class, "%v", e.Cause)
		require.NotContains(t, e.Message(), apiKey)
	})
}
