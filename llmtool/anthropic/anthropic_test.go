package anthropic_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/llmtool/anthropic"
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
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	door := &http.Transport{}
	defer door.CloseIdleConnections()
	client, err := anthropic.Dialect().Connect(llmtool.Account{BaseURL: server.URL + "/v1", APIKey: "sk-ant-1", HTTP: &http.Client{Transport: door}})
	require.NoError(t, err)
	reply, err = client.Chat(t.Context(), r)
	require.Equal(t, 1, requests, "the SDK must not retry")
	return body, got, reply, err
}

func answer(content, stop string) string {
	return `{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929","content":[` + content + `],
		"stop_reason":"` + stop + `","stop_sequence":null,"usage":{"input_tokens":10,"cache_creation_input_tokens":3,"cache_read_input_tokens":2,"output_tokens":7}}`
}

const text = `{"type":"text","text":"Hello."}`

func ask(model string) llmtool.Request {
	return llmtool.Request{
		Model: model, Messages: []llmtool.Message{{Role: llmtool.RoleUser, Text: "Say hello."}}, Temperature: 0.7, MaxTokens: 50,
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	seed := 7
	all := ask("claude-sonnet-4-5")
	all.System, all.Temperature, all.Seed, all.Stop = "Be brief.", 1.5, &seed, []string{"END"}
	all.Messages = []llmtool.Message{
		{Role: llmtool.RoleUser, Text: "What is this?", Images: []llmtool.Image{
			{URL: "https://images.example.com/a.png"}, {MediaType: "image/png", Data: []byte("PNG")},
		}},
		{Role: llmtool.RoleAssistant, Text: "A cat."}, {Role: llmtool.RoleUser, Text: "Sure?"},
	}
	body, got, _, err := chat(t, all, 200, "application/json", answer(text, "end_turn"))
	require.NoError(t, err)
	require.JSONEq(t, `{"model":"claude-sonnet-4-5","max_tokens":50,"temperature":1,"stop_sequences":["END"],
		"system":[{"type":"text","text":"Be brief."}],"messages":[
			{"role":"user","content":[
				{"type":"image","source":{"type":"url","url":"https://images.example.com/a.png"}},
				{"type":"image","source":{"type":"base64","media_type":"image/png","data":"UE5H"}},
				{"type":"text","text":"What is this?"}]},
			{"role":"assistant","content":[{"type":"text","text":"A cat."}]},
			{"role":"user","content":[{"type":"text","text":"Sure?"}]}]}`, body)
	require.Equal(t, "/v1/messages", got.RequestURI)
	require.Equal(t, "sk-ant-1", got.Header.Get("X-Api-Key"))
	require.Equal(t, "2023-06-01", got.Header.Get("Anthropic-Version"))
	require.Empty(t, got.Header.Get("Authorization"))
	require.Empty(t, got.Header.Get("Anthropic-Beta"))
}

func TestTemperature(t *testing.T) {
	t.Parallel()
	for model, takes := range map[string]bool{
		"claude-3-haiku-20240307": true, "claude-3-5-sonnet-latest": true, "claude-sonnet-4-20250514": true, "claude-opus-4-1": true,
		"claude-haiku-4-5": true, "claude-haiku-4-5-20251001": true, "claude-opus-4-6": true, "anthropic.claude-opus-4-6-v1": true,
		"glm-4.6":         true,
		"claude-opus-4-7": false, "claude-opus-4-8": false, "claude-sonnet-5": false, "claude-opus-5-5": false, "claude-haiku-5-5": false,
		"claude-fable-5": false, "claude-mythos-preview": false, "us.anthropic.claude-opus-4-7-v1:0": false, "claude-opus-4-7-20260416": false,
	} {
		r := ask(model)
		r.Temperature = 0
		body, _, _, err := chat(t, r, 200, "application/json", answer(text, "end_turn"))
		require.NoError(t, err)
		require.Equal(t, takes, strings.Contains(body, `"temperature":0`), "%s: %s", model, body)
	}
}

func TestFormat(t *testing.T) {
	t.Parallel()
	const schema = `{"type":"object","properties":{"score":{"type":"integer","minimum":1,"maximum":5},"at":{"type":"string","format":"date"}},"required":["score"]}`
	type part = map[string]any
	for _, tc := range []struct {
		name, model, schema string
		kind                llmtool.FormatKind
		want                part // members of the request
		words               bool
	}{
		{"native", "claude-sonnet-4-5", schema, llmtool.FormatSchema, part{"output_config": part{"format": part{"type": "json_schema", "schema": part{
			"type": "object", "additionalProperties": false, "required": []any{"score"},
			"properties": part{"score": part{"type": "integer"}, "at": part{"type": "string", "format": "date"}},
		}}}}, false},
		{"older model", "claude-sonnet-4-20250514", schema, llmtool.FormatSchema, part{
			"tools": []any{part{"name": "answer", "description": "Takes the answer.", "input_schema": part{
				"type": "object", "required": []any{"score"},
				"properties": part{"score": part{"type": "integer", "minimum": 1., "maximum": 5.}, "at": part{"type": "string", "format": "date"}},
			}}}, "tool_choice": part{"type": "tool", "name": "answer", "disable_parallel_tool_use": true},
		}, false},
		{"a map", "claude-sonnet-4-5", `{"type":"object","additionalProperties":{"type":"number"}}`, llmtool.FormatSchema, part{}, true},
		{"anything", "claude-sonnet-4-5", `{"type":"object","properties":{"a":{}}}`, llmtool.FormatSchema, part{}, true},
		{"anything, as true", "claude-sonnet-4-5", `{"type":"object","properties":{"a":true}}`, llmtool.FormatSchema, part{}, true},
		{"recursive", "claude-sonnet-4-5", `{"type":"object","properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{
			"a":{"type":"array","items":{"$ref":"#/$defs/b"}},"b":{"anyOf":[{"$ref":"#/$defs/a"},{"type":"null"}]}}}`, llmtool.FormatSchema, part{}, true},
		{"refers to itself", "claude-sonnet-4-5", `{"type":"object","properties":{"a":{"$ref":"#"}}}`, llmtool.FormatSchema, part{}, true},
		{"alternatives and definitions", "claude-opus-5-5", `{"type":"object","properties":{"a":{"oneOf":[{"$ref":"#/definitions/d"},{"type":"null"}]},
			"b":{"type":"array","minItems":3,"maxItems":4,"items":{"const":"x"}}},"definitions":{"d":{"type":"string","format":"phone","pattern":"^a"}}}`, llmtool.FormatSchema,
			part{"output_config": part{"format": part{"type": "json_schema", "schema": part{
				"type": "object", "additionalProperties": false, "properties": part{
					"a": part{"anyOf": []any{part{"$ref": "#/definitions/d"}, part{"type": "null"}}},
					"b": part{"type": "array", "minItems": 1., "items": part{"const": "x"}},
				}, "definitions": part{"d": part{"type": "string"}},
			}}}}, false},
		{"no schema", "claude-sonnet-4-5", ``, llmtool.FormatObject, part{}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := ask(tc.model)
			r.Format = llmtool.Format{Kind: tc.kind, Schema: json.RawMessage(tc.schema)}
			body, _, _, err := chat(t, r, 200, "application/json", answer(text, "end_turn"))
			require.NoError(t, err)
			var sent part
			require.NoError(t, json.Unmarshal([]byte(body), &sent))
			got := part{}
			for _, name := range []string{"output_config", "tools", "tool_choice"} {
				if sent[name] != nil {
					got[name] = sent[name]
				}
			}
			require.Equal(t, tc.want, got)
			require.Equal(t, tc.words, sent["system"] != nil)
			if tc.words {
				require.Contains(t, sent["system"].([]any)[0].(part)["text"], "It must fit this JSON Schema: "+tc.schema)
			}
		})
	}
}

func TestReply(t *testing.T) {
	t.Parallel()
	const thinking = `{"type":"thinking","thinking":"Hm.","signature":"x"}`
	for _, tc := range []struct {
		name, body string
		want       llmtool.Reply
	}{
		{"text", answer(thinking+`,`+text+`,{"type":"text","text":" Bye."}`, "end_turn"), llmtool.Reply{Text: "Hello. Bye.", Finish: "end_turn"}},
		{"stop", answer(text, "stop_sequence"), llmtool.Reply{Text: "Hello.", Finish: "stop_sequence"}},
		{"the tool's input", answer(`{"type":"tool_use","id":"t","name":"answer","input":{"b":1,"a":[2]}}`, "tool_use"), llmtool.Reply{Text: `{"b":1,"a":[2]}`, Finish: "tool_use"}},
		{"another tool", answer(`{"type":"tool_use","id":"t","name":"search","input":{}}`, "tool_use"), llmtool.Reply{CalledTool: true, Finish: "tool_use"}},
		{"length", answer(text, "max_tokens"), llmtool.Reply{Text: "Hello.", Finish: llmtool.FinishLength}},
		{"context", answer(text, "model_context_window_exceeded"), llmtool.Reply{Text: "Hello.", Finish: llmtool.FinishContext}},
		{"pause", answer(text, "pause_turn"), llmtool.Reply{CalledTool: true, Finish: "pause_turn"}},
		{"refusal", answer(text, "refusal"), llmtool.Reply{Text: "Hello.", Refusal: "Hello.", Finish: "refusal"}},
		{"refusal without words", answer("", "refusal"), llmtool.Reply{Refusal: "the model refused to answer", Finish: "refusal"}},
		{"refusal with details", strings.Replace(answer("", "refusal"), `"stop_sequence"`, `"stop_details":{"type":"refusal","category":"bio","explanation":"It is about germs."},"stop_sequence"`, 1),
			llmtool.Reply{Refusal: "It is about germs.", Finish: "refusal"}},
		{"nothing said", answer("", "end_turn"), llmtool.Reply{Finish: "end_turn"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, _, got, err := chat(t, ask("claude-sonnet-4-5"), 200, "application/json", tc.body)
			require.NoError(t, err)
			tc.want.Model = "claude-sonnet-4-5-20250929"
			tc.want.Usage = llmtool.Tokens{Prompt: 15, Completion: 7, Total: 22}
			require.Equal(t, tc.want, *got)
		})
	}
	_, _, got, err := chat(t, ask("claude-sonnet-4-5"), 200, "application/json", `{"hello":"world"}`)
	require.NoError(t, err)
	require.True(t, got.Nothing)
	_, _, got, err = chat(t, ask("claude-opus-5-5"), 200, "application/json", `null`)
	require.NoError(t, err)
	require.True(t, got.Nothing)
}

// Whatever the status, there is one request and an error.
func TestFailures(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 408, 409, 429, 500, 529} {
		_, _, _, err := chat(t, ask("claude-sonnet-4-5"), status, "application/json", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`)
		require.Error(t, err)
	}
	_, _, _, err := chat(t, ask("claude-sonnet-4-5"), 200, "text/html", `<!doctype html><title>x</title>`)
	require.Error(t, err)
	r := ask("claude-opus-4-1") // for which the SDK would ask for a stream
	r.MaxTokens = 100_000
	_, _, _, err = chat(t, r, 200, "application/json", answer(text, "end_turn"))
	require.NoError(t, err)
}

func event(name, data string) string { return "event: " + name + "\ndata: " + data + "\n\n" }

const start = `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-5-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"cache_read_input_tokens":1,"output_tokens":1}}}`

func pieces(kind, block string, deltas ...string) string {
	s := event("message_start", start) + event("ping", `{"type":"ping"}`) +
		event("content_block_start", `{"type":"content_block_start","index":0,"content_block":`+block+`}`)
	for _, d := range deltas {
		s += event("content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"`+kind+`",`+d+`}}`)
	}
	return s + event("content_block_stop", `{"type":"content_block_stop","index":0}`)
}

func end(stop string) string {
	return event("message_delta", `{"type":"message_delta","delta":{"stop_reason":"`+stop+`","stop_sequence":null},"usage":{"output_tokens":5}}`) +
		event("message_stop", `{"type":"message_stop"}`)
}

func TestStream(t *testing.T) {
	t.Parallel()
	const noText = `{"type":"text","text":""}`
	for _, tc := range []struct {
		name, body string
		deltas     []string
		want       llmtool.Reply
		fails      bool
	}{
		{"text", pieces("text_delta", noText, `"text":"Hel"`, `"text":"lo."`) + end("end_turn"), []string{"Hel", "lo."}, llmtool.Reply{Text: "Hello.", Finish: "end_turn"}, false},
		{"text from the start of a block", pieces("text_delta", `{"type":"text","text":"Hel"}`, `"text":"lo."`) + end("end_turn"), []string{"Hel", "lo."}, llmtool.Reply{Text: "Hello.", Finish: "end_turn"}, false},
		{"thoughts", pieces("thinking_delta", `{"type":"thinking","thinking":"","signature":""}`, `"thinking":"Hm"`) + end("max_tokens"), nil, llmtool.Reply{Finish: llmtool.FinishLength}, false},
		{"the tool's input", pieces("input_json_delta", `{"type":"tool_use","id":"t","name":"answer","input":{}}`, `"partial_json":""`, `"partial_json":"{\"a\":"`, `"partial_json":"1}"`) + end("tool_use"),
			[]string{`{"a":`, `1}`}, llmtool.Reply{Text: `{"a":1}`, Finish: "tool_use"}, false},
		{"cut", pieces("text_delta", noText, `"text":"Hel"`), []string{"Hel"}, llmtool.Reply{Text: "Hel"}, false},
		{"broken off", pieces("text_delta", noText, `"text":"Hel"`) + event("error", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`), []string{"Hel"}, llmtool.Reply{Text: "Hel"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var deltas []string
			r := ask("claude-opus-5-5")
			r.Delta = func(text string) { deltas = append(deltas, text) }
			body, _, got, err := chat(t, r, 200, "text/event-stream; charset=utf-8", tc.body)
			require.Contains(t, body, `"stream":true`)
			require.Equal(t, tc.fails, err != nil, "%v", err)
			require.Equal(t, tc.deltas, deltas)
			tc.want.Model, tc.want.Usage = "claude-opus-5-5", llmtool.Tokens{Prompt: 10, Completion: 5, Total: 15}
			if tc.want.Finish == "" {
				tc.want.Usage = llmtool.Tokens{Prompt: 10, Completion: 1, Total: 11}
			}
			require.Equal(t, tc.want, *got)
		})
	}
	r := ask("claude-opus-5-5")
	r.Delta = func(string) { t.Error("there is nothing to tell") }
	_, _, _, err := chat(t, r, 529, "application/json", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`)
	require.Error(t, err)
}

// What the process's environment says is nobody's business, nor is its log ours.
func TestEnvironment(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(io.Discard)
	for _, name := range []string{
		"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE", "ANTHROPIC_FEDERATION_RULE_ID", "ANTHROPIC_ORGANIZATION_ID",
		"ANTHROPIC_IDENTITY_TOKEN", "ANTHROPIC_WORKSPACE_ID",
	} {
		t.Setenv(name, "trap")
	}
	t.Setenv("ANTHROPIC_BASE_URL", "http://192.0.2.1")
	t.Setenv("ANTHROPIC_CUSTOM_HEADERS", "X-Trap: trap")
	t.Setenv("ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE", "content")
	t.Setenv("HOME", t.TempDir())
	for _, key := range []string{"sk-ant-1", ""} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			require.Equal(t, key, req.Header.Get("X-Api-Key"))
			require.NotContains(t, req.RequestURI, "sk-ant-1")
			for name, values := range req.Header {
				require.NotContains(t, strings.Join(values, " "), "trap", name)
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, answer(text, "end_turn"))
		}))
		door := &http.Transport{}
		client, err := anthropic.Dialect().Connect(llmtool.Account{BaseURL: server.URL, APIKey: key, HTTP: &http.Client{Transport: door}})
		require.NoError(t, err)
		_, err = client.Chat(context.Background(), ask("claude-sonnet-4-5"))
		require.NoError(t, err)
		door.CloseIdleConnections()
		server.Close()
	}
	require.Empty(t, logged.String())
}
