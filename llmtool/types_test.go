package llmtool_test

import (
	"cmp"
	"encoding/json"
	"fmt"
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

// The wire formats of the three APIs: an answer with text, and one that maxTokens cut.
const (
	anthropicAnswer = `{"id":"m","type":"message","role":"assistant","model":"m-1","content":[{"type":"text","text":%s}],"stop_reason":%q,"usage":{"input_tokens":12,"output_tokens":3}}`
	googleAnswer    = `{"candidates":[{"content":{"role":"model","parts":[{"text":%s}]},"finishReason":%q}],"modelVersion":"m-1","usageMetadata":{"promptTokenCount":12,"candidatesTokenCount":3,"totalTokenCount":15}}`
	openAIAnswer    = `{"id":"c","object":"chat.completion","model":"m-1","choices":[{"index":0,"message":{"role":"assistant","content":%s},"finish_reason":%q}],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}`
)

// openAIRequest is what a server gets that does all as OpenAI does.
const openAIRequest = `{"model":"m","stream":false,"messages":[
	{"role":"system","content":"Be brief."},
	{"role":"user","content":[
		{"type":"image_url","image_url":{"url":"https://images.example.com/a.png"}},
		{"type":"image_url","image_url":{"url":"data:image/png;base64,UE5H"}},
		{"type":"text","text":"Rate it."}]}],
	"max_tokens":50,"temperature":0,"stop":["END"],"seed":7,
	"response_format":{"type":"json_schema","json_schema":{"name":"result","strict":true,"schema":SCHEMA}}}`

const inWords = `Be brief.\n\nAnswer with one JSON value and nothing else. It must fit this JSON Schema: `

// with edits openAIRequest, pair by pair.
func with(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(openAIRequest) }

var (
	completionTokens = []string{`"max_tokens"`, `"max_completion_tokens"`}
	schemaInWords    = []string{`Be brief.`, inWords + `ESCAPED`, `{"type":"json_schema","json_schema":{"name":"result","strict":true,"schema":SCHEMA}}`, `{"type":"json_object"}`}
)

var types = []struct {
	name         string
	base, path   string // what comes after the server's address in baseUrl, and in the request
	header       string // that has the key
	answer       string
	stop, length string // what the API calls these ends
	request      string // golden
}{
	{"openai", "/v1", "/v1/chat/completions", "Authorization", openAIAnswer, "stop", "length", with()},
	{"custom", "/v1", "/v1/chat/completions", "Authorization", openAIAnswer, "stop", "length", with()},
	{"ollama", "/v1", "/v1/chat/completions", "Authorization", openAIAnswer, "stop", "length", with()},
	{"openrouter", "/api/v1", "/api/v1/chat/completions", "Authorization", openAIAnswer, "stop", "length", with()},
	{"together", "/v1", "/v1/chat/completions", "Authorization", openAIAnswer, "stop", "length", with()},
	{"xai", "/v1", "/v1/chat/completions", "Authorization", openAIAnswer, "stop", "length", with(completionTokens...)},
	{"azure_openai", "", "/openai/deployments/m/chat/completions?api-version=2024-10-21", "Api-Key", openAIAnswer, "stop", "length", with(completionTokens...)},
	{"groq", "/openai/v1", "/openai/v1/chat/completions", "Authorization", openAIAnswer, "stop", "length", with(append(schemaInWords, completionTokens...)...)},
	{"deepseek", "", "/chat/completions", "Authorization", openAIAnswer, "stop", "length", with(append(schemaInWords, `,"seed":7`, ``)...)},
	{"mistral", "/v1", "/v1/chat/completions", "Authorization", openAIAnswer, "stop", "length", with(`"seed"`, `"random_seed"`)},
	{"anthropic", "/v1", "/v1/messages", "X-Api-Key", anthropicAnswer, "end_turn", "max_tokens", `{"model":"m","max_tokens":50,"temperature":0,"stop_sequences":["END"],
		"system":[{"type":"text","text":"Be brief."}],"messages":[{"role":"user","content":[
			{"type":"image","source":{"type":"url","url":"https://images.example.com/a.png"}},
			{"type":"image","source":{"type":"base64","media_type":"image/png","data":"UE5H"}},
			{"type":"text","text":"Rate it."}]}],
		"output_config":{"format":{"type":"json_schema","schema":{"type":"object","properties":{"score":{"type":"integer"}},"required":["score"],"additionalProperties":false}}}}`},
	{"google", "/v1beta", "/v1beta/models/m:generateContent", "X-Goog-Api-Key", googleAnswer, "STOP", "MAX_TOKENS", `{
		"systemInstruction":{"role":"user","parts":[{"text":"Be brief."}]},"contents":[{"role":"user","parts":[
			{"fileData":{"fileUri":"https://images.example.com/a.png","mimeType":"image/png"}},
			{"inlineData":{"mimeType":"image/png","data":"UE5H"}},
			{"text":"Rate it."}]}],
		"generationConfig":{"temperature":0,"maxOutputTokens":50,"stopSequences":["END"],"seed":7,"responseMimeType":"application/json","responseJsonSchema":SCHEMA}}`},
}

const scoreSchema = `{"additionalProperties":false,"properties":{"score":{"maximum":5,"minimum":1,"type":"integer"}},"required":["score"],"type":"object"}`

func scoreTool(t *testing.T) *llmtool.Tool {
	temperature, tokens, seed := 0., 50, 7
	return compile(t, llmtool.Config{
		SystemPrompt: "Be brief.", PromptTemplate: "Rate it.", Temperature: &temperature, MaxTokens: &tokens, Seed: &seed, Stop: []string{"END"},
		Images:     []string{"{{parameters.photos}}", "{{parameters.none}}"},
		OutputMode: llmtool.OutputJSON, OutputSchema: json.RawMessage(scoreSchema),
	})
}

var photos = llmtool.Input{Env: env, Parameters: map[string]any{"photos": []any{"https://images.example.com/a.png", "data:image/png;base64,UE5H"}}}

// clientsOf has one provider of a type, with dialects handed over.
func clientsOf(t testing.TB, p llmtool.Provider) *llmtool.Clients {
	c, faults := llmtool.NewClients([]llmtool.Provider{p}, env, nil, transport(t), anthropic.Dialect(), google.Dialect())
	require.Empty(t, faults)
	return c
}

// One definition runs with every type of provider: each gets what its API wants, and
// all outcomes are alike.
func TestTypes(t *testing.T) {
	t.Parallel()
	for _, tc := range types {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var path string
			text, stop := `{"score":4}`, tc.stop
			up := serve(t, func(w http.ResponseWriter, r *http.Request) {
				path = r.RequestURI
				w.Header().Set("Content-Type", "application/json")
				_, _ = fmt.Fprintf(w, tc.answer, quote(text), stop)
			})
			provider := llmtool.Provider{
				ID: "main", Type: tc.name, BaseURL: up.URL + tc.base, APIKey: "{{env.API_KEY}}", Model: "m",
				Pricing: map[string]llmtool.Price{"m": {Prompt: 1, Completion: 2}},
			}
			tool := scoreTool(t)
			answer, err := tool.Run(t.Context(), clientsOf(t, provider), photos)
			require.NoError(t, err)
			require.JSONEq(t, `{"score":4}`, string(answer.Value))
			require.Equal(t, &llmtool.Usage{PromptTokens: 12, CompletionTokens: 3, TotalTokens: 15, EstimatedCost: ptr(18e-6)}, answer.Usage)
			require.Equal(t, "m-1", answer.Model)
			require.Equal(t, 1, answer.Attempts)
			golden := strings.NewReplacer("SCHEMA", scoreSchema, "ESCAPED", strings.Trim(quote(scoreSchema), `"`)).Replace(tc.request)
			require.JSONEq(t, golden, up.seen()[0])
			require.Equal(t, tc.path, path)
			header := up.headers[0]
			require.Equal(t, apiKey, strings.TrimPrefix(header.Get(tc.header), "Bearer "))
			for name, values := range header {
				require.Equal(t, name == tc.header, strings.Contains(strings.Join(values, " "), apiKey), name)
			}

			stop = tc.length // and one turn later, all fail alike
			_, err = tool.Run(t.Context(), clientsOf(t, provider), photos)
			require.EqualError(t, err, "Invalid response: the answer was cut at maxTokens (50)")

			// Without a key there is no header for one.
			provider.APIKey, provider.Headers, stop = "", map[string]string{"X-Extra": "yes"}, tc.stop
			_, err = tool.Run(t.Context(), clientsOf(t, provider), photos)
			require.NoError(t, err)
			require.NotContains(t, up.headers[2], tc.header)
			require.Equal(t, "yes", up.headers[2].Get("X-Extra"))
		})
	}
}

// No type takes anything from the process's environment: a provider without a key
// sends none, to nobody but its own address.
func TestTypesReadNoEnvironment(t *testing.T) {
	for _, name := range []string{
		"OPENAI", "AZURE_OPENAI", "DEEPSEEK", "GROQ", "MISTRAL", "OPENROUTER", "TOGETHER", "XAI", "ANTHROPIC", "GOOGLE", "OLLAMA",
	} {
		t.Setenv(name+"_API_KEY", "trap")
		t.Setenv(name+"_BASE_URL", "http://192.0.2.1")
	}
	t.Setenv("OPENAI_ORG_ID", "trap")
	t.Setenv("OLLAMA_HOST", "192.0.2.1")
	for _, tc := range types {
		up := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, tc.answer, `"Hello."`, tc.stop)
		})
		c := clientsOf(t, llmtool.Provider{ID: "main", Type: tc.name, BaseURL: up.URL + tc.base, Model: "m"})
		_, err := compile(t, llmtool.Config{}).Run(t.Context(), c, input)
		require.NoError(t, err, tc.name)
		for name, values := range up.headers[0] {
			require.NotContains(t, strings.Join(values, " "), "trap", name)
		}
	}
}

// Each type has a base URL of its own, but for those that can't.
func TestDefaultBaseURLs(t *testing.T) {
	t.Parallel()
	for kind, host := range map[string]string{
		"openai": "api.openai.com", "deepseek": "api.deepseek.com", "groq": "api.groq.com", "mistral": "api.mistral.ai", "ollama": "localhost:11434",
		"openrouter": "openrouter.ai", "together": "api.together.xyz", "xai": "api.x.ai", "anthropic": "api.anthropic.com",
		"google": "generativelanguage.googleapis.com",
	} {
		var asked string
		door := doorFunc(func(r *http.Request) (*http.Response, error) {
			asked = r.URL.String()
			return nil, io.ErrClosedPipe
		})
		c, faults := llmtool.NewClients([]llmtool.Provider{{ID: "main", Type: kind, Model: "m"}}, nil, nil, door, anthropic.Dialect(), google.Dialect())
		require.Empty(t, faults)
		_, err := compile(t, llmtool.Config{}).Run(t.Context(), c, input)
		require.Error(t, err)
		require.Contains(t, asked, "://"+host+"/", kind)
		require.Equal(t, kind == "ollama", strings.HasPrefix(asked, "http:"))
	}
	_, faults := llmtool.NewClients([]llmtool.Provider{{ID: "a", Type: "azure_openai"}, {ID: "b", Type: "custom"}, {ID: "c", Type: "groq", APIVersion: "1"}}, nil, nil, nil)
	require.Equal(t, `/providers/0/baseUrl is required for type "azure_openai"
/providers/1/baseUrl is required for type "custom"
/providers/2/apiVersion has no meaning for type "groq"`, lines(faults))
}

// A deployment is one segment of the path, whatever its name; the version is the provider's.
func TestAzureDeployment(t *testing.T) {
	t.Parallel()
	var path string
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		path = r.RequestURI
		_, _ = io.WriteString(w, says("Hello."))
	})
	c := clientsOf(t, llmtool.Provider{ID: "main", Type: "azure_openai", BaseURL: up.URL, APIVersion: "2025-04-01-preview", APIKey: "{{env.API_KEY}}", Model: "my gpt-3.5/x?y"})
	_, err := compile(t, llmtool.Config{}).Run(t.Context(), c, input)
	require.NoError(t, err)
	require.Equal(t, "/openai/deployments/my%20gpt-3.5%2Fx%3Fy/chat/completions?api-version=2025-04-01-preview", path)
}

// Some of Groq's models take a schema.
func TestGroqSchema(t *testing.T) {
	t.Parallel()
	up := answers(t, says(`{"score":4}`))
	c := clientsOf(t, llmtool.Provider{ID: "main", Type: "groq", BaseURL: up.URL, Model: "openai/gpt-oss-120b"})
	_, err := scoreTool(t).Run(t.Context(), c, photos)
	require.NoError(t, err)
	require.Contains(t, up.seen()[0], `"json_schema"`)
	require.NotContains(t, up.seen()[0], `JSON Schema`)
}

func TestImages(t *testing.T) {
	t.Parallel()
	large := "data:image/png;base64," + strings.Repeat("AAAA", 5<<20/3+2)
	most := "data:image/png;base64," + strings.Repeat("AAAA", 5<<20/3)
	many := make([]any, 21)
	for i := range many {
		many[i] = "https://a.example/b"
	}
	for _, tc := range []struct {
		name  string
		photo any
		wrong string
	}{
		{"absent", nil, ""},
		{"http", "http://images.example.com/a.png", "images/0 is neither an https URL nor a data URL of an image"},
		{"file", "file:///etc/passwd", "images/0 is neither an https URL nor a data URL of an image"},
		{"a number", int64(7), "images/0 is neither an https URL nor a data URL of an image"},
		{"empty", "", "images/0 is neither an https URL nor a data URL of an image"},
		{"with a password", "https://u:secret@a.example/b", "images/0 is neither an https URL nor a data URL of an image"},
		{"text", "data:text/html;base64,UE5H", "images/0 must be one of: image/png, image/jpeg, image/gif, image/webp"},
		{"not in base64", "data:image/png,UE5H", "images/0 must be a data URL in base64"},
		{"broken base64", "data:image/png;base64,UE5H?", "images/0 is no valid base64"},
		{"no data", "data:image/png;base64,", "images/0 is no valid base64"},
		{"largest", most, ""},
		{"too large", large, "images/0 is larger than 5 MiB"},
		{"too large together", []any{most, most, most, most}, "images/0 makes it more than 15 MiB of images"},
		{"too many", many, "images/0 makes it more than 20 images"},
		{"upper case", "DATA:image/PNG;base64,UE5H", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			up := answers(t, says("Hello."))
			tool := compile(t, llmtool.Config{PromptTemplate: "What is it?", Images: []string{"{{parameters.photo}}"}})
			_, err := tool.Run(t.Context(), clients(t, provider(up.URL)), llmtool.Input{Env: env, Parameters: map[string]any{"photo": tc.photo}})
			if tc.wrong == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, "Configuration error: "+tc.wrong)
			require.Empty(t, up.seen())
		})
	}
}

type doorFunc func(*http.Request) (*http.Response, error)

func (f doorFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What other APIs answer fails as what OpenAI's does.
func TestForeignFailures(t *testing.T) {
	t.Parallel()
	anthropicSays := func(stop string) string { return fmt.Sprintf(anthropicAnswer, `"Hel"`, stop) }
	googleSays := func(finish string) string { return fmt.Sprintf(googleAnswer, `"Hel"`, finish) }
	for _, tc := range []struct {
		name, kind  string
		status      int
		contentType string
		body        string
		reason      Reason
		retry       bool
		want        string
	}{
		{"refusal", "anthropic", 200, "", anthropicSays("refusal"), Refusal, false, "LLM error: Hel"},
		{"context", "anthropic", 200, "", anthropicSays("model_context_window_exceeded"), ContextLength, false, "LLM error: the prompt left too little of the model's context window for the answer"},
		{"pause", "anthropic", 200, "", anthropicSays("pause_turn"), Empty, true, "LLM error: the model called a tool, which it wasn't given, and answered nothing"},
		{"other JSON", "anthropic", 200, "", `{"hello":"world"}`, NoData, false, "Invalid response: the answer of provider main isn't a chat completion: it lacks what makes one"},
		{"page", "anthropic", 200, "text/html", `<!doctype html><title>App</title>`, NotJSON, false, "Invalid response: provider main answered with an HTML page; check its baseUrl"},
		{"cut", "anthropic", 200, "", `{"type":"message","content":[`, Truncated, true, "Invalid response: the answer of provider main ends in mid-JSON"},
		{"overloaded", "anthropic", 529, "", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}`, Overloaded, true, "LLM error: 529: Overloaded"},
		{"wrong key", "anthropic", 401, "", `{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}`, Auth, false, "LLM error: 401: invalid x-api-key"},
		{"safety", "google", 200, "", googleSays("SAFETY"), ContentFilter, false, "LLM error: the filter of provider main stopped the answer"},
		{"blocked", "google", 200, "", `{"promptFeedback":{"blockReason":"SAFETY"}}`, ContentFilter, false, "LLM error: the filter of provider main stopped the answer"},
		{"other end", "google", 200, "", googleSays("OTHER"), Empty, true, "LLM error: the model answered nothing"},
		{"broken call", "google", 200, "", googleSays("MALFORMED_FUNCTION_CALL"), Empty, true, "LLM error: the model called a tool, which it wasn't given, and answered nothing"},
		{"other JSON", "google", 200, "", `{"hello":"world"}`, NoData, false, "Invalid response: the answer of provider main isn't a chat completion: it lacks what makes one"},
		{"page", "google", 200, "text/html", `<!doctype html><title>App</title>`, NotJSON, false, "Invalid response: provider main answered with an HTML page; check its baseUrl"},
		{"cut", "google", 200, "", `{"candidates":[`, Truncated, true, "Invalid response: the answer of provider main ends in mid-JSON"},
		{"wrong key", "google", 400, "", `{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}`, Auth, false, "LLM error: 400: API key not valid. Please pass a valid API key"},
	} {
		t.Run(tc.kind+" "+tc.name, func(t *testing.T) {
			t.Parallel()
			up := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", cmp.Or(tc.contentType, "application/json"))
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			})
			c := clientsOf(t, llmtool.Provider{ID: "main", Type: tc.kind, BaseURL: up.URL, APIKey: "{{env.API_KEY}}", Model: "m"})
			_, e := run(t, llmtool.Config{}, c)
			require.NotNil(t, e)
			require.Equal(t, "Tool execution failed: "+tc.want, e.Message())
			require.Equal(t, tc.reason, e.Reason)
			require.Equal(t, tc.retry, e.Retryable)
			require.Len(t, up.seen(), 1)
		})
	}
}
