package google_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/llmtool/google"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// chat sends one request to a server that answers with a status and a body, and
// returns what the server got and what the client made of its answer.
func chat(t *testing.T, r llmtool.Request, status int, contentType, answer string) (body string, got *http.Request, reply *llmtool.Reply, err error) {
	t.Helper()
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		requests++
		sent, _ := io.ReadAll(req.Body)
		body, got = string(sent), req
		w.Header().Set("Content-Type", contentType)
		if cut, ok := strings.CutSuffix(answer, "[cut]"); ok {
			answer = cut
			w.Header().Set("Content-Length", strconv.Itoa(len(cut)+100))
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	door := &http.Transport{}
	defer door.CloseIdleConnections()
	client, err := google.Dialect().Connect(llmtool.Account{BaseURL: server.URL + "/v1beta", APIKey: "AIza-1", HTTP: &http.Client{Transport: door}})
	require.NoError(t, err)
	reply, err = client.Chat(t.Context(), r)
	require.Equal(t, 1, requests, "the SDK must not retry")
	return body, got, reply, err
}

func answer(parts, finish string) string {
	return `{"candidates":[{"content":{"role":"model","parts":[` + parts + `]},"finishReason":"` + finish + `","index":0}],` + usage + `}`
}

const (
	usage = `"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":3,"thoughtsTokenCount":4,"totalTokenCount":17},"modelVersion":"gemini-2.5-flash-001"`
	text  = `{"text":"Hello."}`
)

func ask() llmtool.Request {
	return llmtool.Request{
		Model: "gemini-2.5-flash", Messages: []llmtool.Message{{Role: llmtool.RoleUser, Text: "Say hello."}}, Temperature: 0.7, MaxTokens: 50,
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	seed := 7
	all := ask()
	all.System, all.Temperature, all.Seed, all.Stop = "Be brief.", 0, &seed, []string{"END"}
	all.Messages = []llmtool.Message{
		{Role: llmtool.RoleUser, Text: "What is this?", Images: []llmtool.Image{
			{URL: "https://images.example.com/a.png", MediaType: "image/png"}, {MediaType: "image/png", Data: []byte("PNG")},
		}},
		{Role: llmtool.RoleAssistant, Text: "A cat."}, {Role: llmtool.RoleUser, Text: "Sure?"},
	}
	body, got, _, err := chat(t, all, 200, "application/json", answer(text, "STOP"))
	require.NoError(t, err)
	require.JSONEq(t, `{"systemInstruction":{"role":"user","parts":[{"text":"Be brief."}]},
		"generationConfig":{"temperature":0,"maxOutputTokens":50,"seed":7,"stopSequences":["END"]},"contents":[
			{"role":"user","parts":[
				{"fileData":{"fileUri":"https://images.example.com/a.png","mimeType":"image/png"}},
				{"inlineData":{"mimeType":"image/png","data":"UE5H"}},
				{"text":"What is this?"}]},
			{"role":"model","parts":[{"text":"A cat."}]},
			{"role":"user","parts":[{"text":"Sure?"}]}]}`, body)
	require.Equal(t, "/v1beta/models/gemini-2.5-flash:generateContent", got.RequestURI)
	require.Equal(t, "AIza-1", got.Header.Get("X-Goog-Api-Key"))
	require.Empty(t, got.Header.Get("Authorization"))
}

func TestFormat(t *testing.T) {
	t.Parallel()
	type part = map[string]any
	for _, tc := range []struct {
		name, schema string
		kind         llmtool.FormatKind
		want         any
		words        bool
	}{
		{"no schema", ``, llmtool.FormatObject, nil, false},
		{"native", `{"type":"object","properties":{"score":{"type":"integer","minimum":1,"multipleOf":2},"kind":{"const":"a"},"any":{}},"required":["score"],"patternProperties":{"x":{}}}`, llmtool.FormatSchema,
			part{"type": "object", "required": []any{"score"}, "properties": part{
				"score": part{"type": "integer", "minimum": 1.}, "kind": part{"enum": []any{"a"}}, "any": part{},
			}}, false},
		{"definitions", `{"type":"object","properties":{"a":{"$ref":"#/$defs/a","description":"x"}},"$defs":{"a":{"type":"string","pattern":"x"}}}`, llmtool.FormatSchema,
			part{"type": "object", "properties": part{"a": part{"$ref": "#/$defs/a"}}, "$defs": part{"a": part{"type": "string"}}}, false},
		{"other references", `{"type":"object","properties":{"a":{"$ref":"#/properties/b"},"b":{"type":"string"}}}`, llmtool.FormatSchema, nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := ask()
			r.Format = llmtool.Format{Kind: tc.kind, Schema: json.RawMessage(tc.schema)}
			body, _, _, err := chat(t, r, 200, "application/json", answer(text, "STOP"))
			require.NoError(t, err)
			var sent struct {
				GenerationConfig  part
				SystemInstruction *struct{ Parts []struct{ Text string } }
			}
			require.NoError(t, json.Unmarshal([]byte(body), &sent))
			require.Equal(t, "application/json", sent.GenerationConfig["responseMimeType"])
			require.Equal(t, tc.want, sent.GenerationConfig["responseJsonSchema"])
			require.Equal(t, tc.words, sent.SystemInstruction != nil)
			if tc.words {
				require.Contains(t, sent.SystemInstruction.Parts[0].Text, "It must fit this JSON Schema: "+tc.schema)
			}
		})
	}
}

func TestReply(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, body string
		want       llmtool.Reply
	}{
		{"text", answer(`{"text":"Hm.","thought":true},`+text+`,{"text":" Bye."}`, "STOP"), llmtool.Reply{Text: "Hello. Bye.", Finish: "STOP"}},
		{"length", answer(text, "MAX_TOKENS"), llmtool.Reply{Text: "Hello.", Finish: llmtool.FinishLength}},
		{"all of it thought", `{"candidates":[{"finishReason":"MAX_TOKENS"}],` + usage + `}`, llmtool.Reply{Finish: llmtool.FinishLength}},
		{"safety", answer(text, "SAFETY"), llmtool.Reply{Text: "Hello.", Finish: llmtool.FinishFilter}},
		{"recitation", answer("", "RECITATION"), llmtool.Reply{Finish: llmtool.FinishFilter}},
		{"prohibited", answer("", "PROHIBITED_CONTENT"), llmtool.Reply{Finish: llmtool.FinishFilter}},
		{"blocklist", answer("", "BLOCKLIST"), llmtool.Reply{Finish: llmtool.FinishFilter}},
		{"personal data", answer("", "SPII"), llmtool.Reply{Finish: llmtool.FinishFilter}},
		{"prompt blocked", `{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},` + usage + `}`, llmtool.Reply{Finish: llmtool.FinishFilter}},
		{"broken tool call", answer(text, "MALFORMED_FUNCTION_CALL"), llmtool.Reply{CalledTool: true, Finish: "MALFORMED_FUNCTION_CALL"}},
		{"a part that is null", answer(`null,`+text, "STOP"), llmtool.Reply{Text: "Hello.", Finish: "STOP"}},
		{"tool call", answer(`{"functionCall":{"name":"x","args":{}}}`, "STOP"), llmtool.Reply{CalledTool: true, Finish: "STOP"}},
		{"other", answer(text, "OTHER"), llmtool.Reply{Finish: "OTHER"}},
		{"nothing said", answer("", "STOP"), llmtool.Reply{Finish: "STOP"}},
		{"no candidates", `{"candidates":[],` + usage + `}`, llmtool.Reply{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, _, got, err := chat(t, ask(), 200, "application/json", tc.body)
			require.NoError(t, err)
			tc.want.Model = "gemini-2.5-flash-001"
			tc.want.Usage = llmtool.Tokens{Prompt: 10, Completion: 7, Total: 17}
			require.Equal(t, tc.want, *got)
		})
	}
	_, _, got, err := chat(t, ask(), 200, "application/json", `{"hello":"world"}`)
	require.NoError(t, err)
	require.True(t, got.Nothing)
}

func TestStream(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(io.Discard)
	chunk := func(parts, finish string) string {
		return "data: " + answer(parts, finish) + "\r\n\r\n"
	}
	first := strings.Replace(chunk(`{"text":"Hm.","thought":true},{"text":"Hel"}`, ""), `"finishReason":"",`, "", 1)
	for _, tc := range []struct {
		name, body string
		deltas     []string
		want       llmtool.Reply
		fails      bool
	}{
		{"text", first + chunk(`{"text":"lo."}`, "STOP"), []string{"Hel", "lo."}, llmtool.Reply{Text: "Hello.", Finish: "STOP"}, false},
		{"filter", first + chunk(``, "SAFETY"), []string{"Hel"}, llmtool.Reply{Text: "Hel", Finish: llmtool.FinishFilter}, false},
		{"blocked", `data: {"promptFeedback":{"blockReason":"SAFETY"},` + usage + "}\n\n", nil, llmtool.Reply{Finish: llmtool.FinishFilter}, false},
		{"ends without a word", first, []string{"Hel"}, llmtool.Reply{Text: "Hel"}, false},
		{"cut", first + "[cut]", []string{"Hel"}, llmtool.Reply{Text: "Hel"}, true},
		{"broken off", first + `data: {"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}` + "\r\n\r\n", []string{"Hel"}, llmtool.Reply{Text: "Hel"}, true},
		{"broken off by an error without an event", first + "{\n  \"error\": {\"code\": 503}\n}", []string{"Hel"}, llmtool.Reply{Text: "Hel"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var deltas []string
			r := ask()
			r.Delta = func(text string) { deltas = append(deltas, text) }
			_, req, got, err := chat(t, r, 200, "text/event-stream", tc.body)
			require.Equal(t, "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", req.RequestURI)
			require.Equal(t, tc.fails, err != nil, "%v", err)
			require.Equal(t, tc.deltas, deltas)
			tc.want.Model, tc.want.Usage = "gemini-2.5-flash-001", llmtool.Tokens{Prompt: 10, Completion: 7, Total: 17}
			require.Equal(t, tc.want, *got)
		})
	}
	require.Empty(t, logged.String())
}

func TestFailures(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 429, 500, 503} {
		for _, delta := range []func(string){nil, func(string) { t.Error("there is nothing to tell") }} {
			r := ask()
			r.Delta = delta
			_, _, _, err := chat(t, r, status, "application/json", `{"error":{"code":503,"message":"Overloaded","status":"UNAVAILABLE"}}`)
			require.Error(t, err)
		}
	}
	for _, body := range []string{`<!doctype html><title>x</title>`, `[]`, `{"candidates":[`} {
		_, _, _, err := chat(t, ask(), 200, "text/html", body)
		require.Error(t, err, body)
	}
}

// The SDK panics at answers of other types; a caller's panic is left to him.
func TestMistyped(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"candidates":[null]}`, `{"candidates":[5]}`, `{"candidates":5}`, `{"candidates":[{"content":5}]}`,
		`{"candidates":[{"content":{"parts":"x"}}]}`,
	} {
		_, _, _, err := chat(t, ask(), 200, "application/json", body)
		require.Error(t, err, body)
		r := ask()
		r.Delta = func(string) {}
		_, _, got, err := chat(t, r, 200, "text/event-stream", "data: "+answer(text, "STOP")+"\n\ndata: "+body+"\n\n")
		require.Error(t, err, body)
		require.Equal(t, 17, got.Usage.Total, body)
	}
	r := ask()
	r.Delta = func(string) { panic("mine") }
	require.PanicsWithValue(t, "mine", func() {
		_, _, _, _ = chat(t, r, 200, "text/event-stream", "data: "+answer(text, "STOP")+"\n\n")
	})
}

// A base URL has the version of the API at its end, or means v1beta.
func TestBaseURL(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"": "/v1beta/", "/v1": "/v1/", "/proxy/v1alpha": "/proxy/v1alpha/", "/proxy": "/proxy/v1beta/",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			require.Equal(t, want+"models/m:generateContent", req.RequestURI)
			_, _ = io.WriteString(w, answer(text, "STOP"))
		}))
		door := &http.Transport{}
		client, err := google.Dialect().Connect(llmtool.Account{BaseURL: server.URL + base, HTTP: &http.Client{Transport: door}})
		require.NoError(t, err)
		r := ask()
		r.Model = "m"
		_, err = client.Chat(t.Context(), r)
		require.NoError(t, err)
		door.CloseIdleConnections()
		server.Close()
	}
}

// What the process's environment says doesn't count, with a key and without.
func TestEnvironment(t *testing.T) {
	for _, name := range []string{
		"GEMINI_API_KEY", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION", "GOOGLE_CLOUD_REGION", "GOOGLE_APPLICATION_CREDENTIALS",
	} {
		t.Setenv(name, "trap")
	}
	t.Setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
	t.Setenv("GOOGLE_GENAI_USE_ENTERPRISE", "true")
	t.Setenv("GOOGLE_GEMINI_BASE_URL", "http://192.0.2.1")
	t.Setenv("GOOGLE_VERTEX_BASE_URL", "http://192.0.2.1")
	t.Setenv("HOME", t.TempDir())
	dialect := google.Dialect()
	for _, key := range []string{"AIza-1", "AIza-2", ""} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			require.Equal(t, key, req.Header.Get("X-Goog-Api-Key"))
			require.NotContains(t, req.RequestURI, "key")
			for name, values := range req.Header {
				require.NotContains(t, strings.Join(values, " "), "trap", name)
			}
			_, _ = io.WriteString(w, answer(text, "STOP"))
		}))
		door := &http.Transport{}
		client, err := dialect.Connect(llmtool.Account{BaseURL: server.URL + "/v1beta", APIKey: key, HTTP: &http.Client{Transport: door}})
		require.NoError(t, err)
		_, err = client.Chat(t.Context(), ask())
		require.NoError(t, err)
		door.CloseIdleConnections()
		server.Close()
	}
}
