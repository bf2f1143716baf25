package llmtool_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	. "github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/llmtool"
)

func lines(faults []FieldError) string {
	var all []string
	for _, f := range faults {
		all = append(all, f.Field+" "+f.Message)
	}
	return strings.Join(all, "\n")
}

func TestProviderFaults(t *testing.T) {
	for _, c := range []struct {
		name string
		p    llmtool.Provider
		want string
	}{
		{"fine", llmtool.Provider{ID: "a", Type: "openai"}, ""},
		{"custom", llmtool.Provider{ID: "a", Type: "custom", BaseURL: "http://127.0.0.1:11434/v1"}, ""},
		{"key of a credential", llmtool.Provider{ID: "a", Type: "openai", APIKey: "{{credentials.openai}}"}, ""},
		{"no id", llmtool.Provider{Type: "openai"}, "/providers/0/id is required"},
		{"bad id", llmtool.Provider{ID: "a b", Type: "openai"}, `/providers/0/id must be 1 to 64 letters, digits, "_" or "-"`},
		{"no type", llmtool.Provider{ID: "a"}, "/providers/0/type is required; one of: azure_openai, custom, deepseek, groq, mistral, ollama, openai, openrouter, together, xai"},
		{"unknown type", llmtool.Provider{ID: "a", Type: "opneai"}, "/providers/0/type must be one of: azure_openai, custom, deepseek, groq, mistral, ollama, openai, openrouter, together, xai"},
		{"type of another build", llmtool.Provider{ID: "a", Type: "anthropic"}, `/providers/0/type "anthropic" is not supported by this build; supported are: azure_openai, custom, deepseek, groq, mistral, ollama, openai, openrouter, together, xai`},
		{"custom without URL", llmtool.Provider{ID: "a", Type: "custom"}, `/providers/0/baseUrl is required for type "custom"`},
		{"no URL", llmtool.Provider{ID: "a", Type: "openai", BaseURL: "localhost:80/v1"}, "/providers/0/baseUrl must be an http or https URL"},
		{"URL with password", llmtool.Provider{ID: "a", Type: "openai", BaseURL: "http://u:p@h/v1"}, "/providers/0/baseUrl must not hold a user name or password; use apiKey or headers"},
		{"URL with query", llmtool.Provider{ID: "a", Type: "openai", BaseURL: "http://h/v1?key=x"}, "/providers/0/baseUrl must not have a query or fragment"},
		{"literal key", llmtool.Provider{ID: "a", Type: "openai", APIKey: "sk-123456"}, "/providers/0/apiKey must not hold a key itself; name one, as in {{env.API_KEY}}"},
		{"literal key in an expression", llmtool.Provider{ID: "a", Type: "openai", APIKey: "{{'sk-123456'}}"}, "/providers/0/apiKey must not hold a key itself; name one, as in {{env.API_KEY}}"},
		{"literal secret header", llmtool.Provider{ID: "a", Type: "openai", Headers: map[string]string{"authorization": "Bearer x"}}, "/providers/0/headers/authorization must not hold a key itself; name one, as in {{env.API_KEY}}"},
		{"plain header", llmtool.Provider{ID: "a", Type: "openai", Headers: map[string]string{"X-Title": "toolrun"}}, ""},
		{"bad header", llmtool.Provider{ID: "a", Type: "openai", Headers: map[string]string{"a/b": "x"}}, "/providers/0/headers/a~1b is not a valid header name"},
		{"header of ours", llmtool.Provider{ID: "a", Type: "openai", Headers: map[string]string{"host": "x"}}, "/providers/0/headers/host can't be set; the client sets it itself"},
		{"negative timeout", llmtool.Provider{ID: "a", Type: "openai", Timeout: -1}, "/providers/0/timeout must be between 1 and 3600000 milliseconds"},
		{"negative price", llmtool.Provider{ID: "a", Type: "openai", Pricing: map[string]llmtool.Price{"m": {Prompt: -1}}}, "/providers/0/pricing/m/prompt must not be negative"},
		{"all at once", llmtool.Provider{Type: "google", APIKey: "x", Timeout: 1e9}, "/providers/0/id is required\n/providers/0/timeout must be between 1 and 3600000 milliseconds\n/providers/0/type \"google\" is not supported by this build; supported are: azure_openai, custom, deepseek, groq, mistral, ollama, openai, openrouter, together, xai\n/providers/0/apiKey must not hold a key itself; name one, as in {{env.API_KEY}}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, faults := llmtool.NewClients([]llmtool.Provider{c.p}, nil, nil, nil)
			require.Equal(t, c.want, lines(faults))
			require.Equal(t, c.want == "", got != nil)
		})
	}
	_, faults := llmtool.NewClients([]llmtool.Provider{{ID: "a", Type: "openai"}, {ID: "a", Type: "openai"}}, nil, nil, nil)
	require.Equal(t, "/providers/1/id is used by another provider", lines(faults))
	_, faults = llmtool.NewClients([]llmtool.Provider{{ID: "a", Type: "openai", APIKey: "{{parameters.key}}"}}, nil, nil, nil)
	require.Contains(t, lines(faults), "/providers/0/apiKey ")
}

func TestMissingKeyFailsItsToolsOnly(t *testing.T) {
	up := answers(t, says("hi"))
	lacking, fine := provider(up.URL), provider(up.URL)
	lacking.ID, lacking.APIKey = "lacking", "{{env.NOT_THERE}}"
	c := clients(t, lacking, fine)
	_, e := run(t, llmtool.Config{}, c)
	require.Nil(t, e)
	_, e = run(t, llmtool.Config{ProviderID: "lacking"}, c)
	require.Equal(t, ConfigurationError, e.Class)
	require.Equal(t, MissingCredential, e.Reason)
	require.Equal(t, "env.NOT_THERE is not set", e.Detail)
	require.Equal(t, "lacking", e.Upstream.Provider)
	env, credentials := c.Names("lacking")
	require.Equal(t, []string{"NOT_THERE"}, env)
	require.Empty(t, credentials)
}

func TestUnusableKeyIsNotSent(t *testing.T) {
	c, faults := llmtool.NewClients([]llmtool.Provider{provider("http://127.0.0.1:1")}, map[string]string{"API_KEY": "abc\r\nX-Evil: 1"}, nil, nil)
	require.Empty(t, faults)
	_, err := compile(t, llmtool.Config{}).Run(t.Context(), c, llmtool.Input{Parameters: input.Parameters})
	e := Classify(err)
	require.Equal(t, MissingCredential, e.Reason)
	require.Equal(t, "the apiKey of provider main holds a line break or control character", e.Detail)
}

func TestServerWithoutKey(t *testing.T) {
	up := answers(t, says("hi"))
	p := provider(up.URL + "/v1/")
	p.APIKey, p.Type = "", "custom"
	_, e := run(t, llmtool.Config{}, clients(t, p))
	require.Nil(t, e)
	require.NotContains(t, up.headers[0], "Authorization")
}

func TestConfigFaults(t *testing.T) {
	const parameters = `{"type":"object","properties":{"text":{"type":"string"}},"additionalProperties":false}`
	base := func(change func(*llmtool.Config)) llmtool.Config {
		cfg := llmtool.Config{ProviderID: "main", PromptTemplate: "{{parameters.text}}"}
		change(&cfg)
		return cfg
	}
	for _, c := range []struct {
		name string
		cfg  llmtool.Config
		want string
	}{
		{"fine", base(func(c *llmtool.Config) {}), ""},
		{"nothing", llmtool.Config{}, "/providerId is required\n/promptTemplate is required"},
		{"temperature", base(func(c *llmtool.Config) { c.Temperature = ptr(2.1) }), "/temperature must be between 0 and 2"},
		{"no tokens", base(func(c *llmtool.Config) { c.MaxTokens = ptr(0) }), "/maxTokens must be greater than 0"},
		{"timeout", base(func(c *llmtool.Config) { c.Timeout = -1 }), "/timeout must be between 1 and 3600000 milliseconds"},
		{"retries", base(func(c *llmtool.Config) { c.Retries = 11 }), "/retries must be between 0 and 10"},
		{"mode", base(func(c *llmtool.Config) { c.OutputMode = "xml" }), "/outputMode must be one of: text, json"},
		{"schema of a text", base(func(c *llmtool.Config) { c.OutputSchema = json.RawMessage(`{}`) }), `/outputSchema has no effect unless outputMode is "json"`},
		{"same provider twice", base(func(c *llmtool.Config) { c.FallbackProviderIDs = []string{"main"} }), `/fallbackProviderIds/0 names provider "main" a second time; use retries to ask the same provider again`},
		{"fallback on what is the caller's", base(func(c *llmtool.Config) {
			c.FallbackProviderIDs, c.FallbackOn = []string{"x"}, []Reason{"refusal", "bad_request"}
		}), "/fallbackOn/1 must be one of: content_filter, refusal"},
		{"fallback on nothing", base(func(c *llmtool.Config) { c.FallbackOn = []Reason{"refusal"} }), "/fallbackOn has no effect without fallbackProviderIds"},
		{"seed", base(func(c *llmtool.Config) { c.Seed = ptr(1 << 31) }), "/seed must be between 0 and 2147483647"},
		{"negative seed", base(func(c *llmtool.Config) { c.Seed = ptr(-1) }), "/seed must be between 0 and 2147483647"},
		{"five stops", base(func(c *llmtool.Config) { c.Stop = []string{"a", "b", "c", "d", "e"} }), "/stop must have at most 4 texts"},
		{"empty stop", base(func(c *llmtool.Config) { c.Stop = []string{"a", ""} }), "/stop/1 must not be empty"},
		{"images", base(func(c *llmtool.Config) { c.Images = []string{"{{parameters.text}}", "{{parameters.txt}}"} }), `/images/1 parameter "txt" isn't declared in the parameter schema (did you mean "text"?)`},
		{"empty fallback", base(func(c *llmtool.Config) { c.FallbackProviderIDs = []string{""} }), "/fallbackProviderIds/0 must name a provider"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tool, faults := llmtool.Compile(c.cfg, []byte(parameters))
			require.Equal(t, c.want, lines(faults))
			require.Equal(t, c.want == "", tool != nil)
		})
	}
	_, faults := llmtool.Compile(base(func(c *llmtool.Config) {
		c.PromptTemplate, c.SystemPrompt, c.OutputMode = "{{parameters.txt}}", "{{", "json"
		c.OutputSchema = json.RawMessage(`{"type":"objekt"}`)
	}), []byte(parameters))
	require.Len(t, faults, 3)
	require.Equal(t, "/systemPrompt", faults[0].Field)
	require.Equal(t, "/promptTemplate", faults[1].Field)
	require.Contains(t, faults[1].Message, `did you mean`)
	require.Equal(t, "/outputSchema/type", faults[2].Field)
}

func TestPrompt(t *testing.T) {
	for _, c := range []struct{ template, want string }{
		{"{{parameters.text}}", "Say hello."},
		{"<{{parameters.absent}}>", "<>"},
		{"{{parameters.object}}", `{"a":[1,2.5,"x"]}`},
		{"{{parameters.n}} {{parameters.yes}}", "3 true"},
		{"{{env.CITY}} {{credentials.who}}", "Linz me"},
		{"a {{'{{'}} b", "a {{ b"},
	} {
		up := answers(t, says("hi"))
		in := llmtool.Input{
			Parameters: map[string]any{"text": "Say hello.", "n": int64(3), "yes": true, "object": map[string]any{"a": []any{int64(1), 2.5, "x"}}},
			Env:        map[string]string{"CITY": "Linz"}, Credentials: map[string]any{"who": "me"},
		}
		_, err := compile(t, llmtool.Config{PromptTemplate: c.template}).Run(t.Context(), clients(t, provider(up.URL)), in)
		require.NoError(t, err)
		require.JSONEq(t, fmt.Sprintf(`[{"role":"user","content":%s}]`, quote(c.want)), member(t, up.seen()[0], "messages"))
	}
}

func TestRunTimeConfigurationErrors(t *testing.T) {
	c := clients(t, llmtool.Provider{ID: "bare", Type: "custom", BaseURL: "http://127.0.0.1:1"})
	for _, k := range []struct {
		name   string
		cfg    llmtool.Config
		reason Reason
		detail string
	}{
		{"unknown provider", llmtool.Config{ProviderID: "nope"}, UnknownProvider, `provider "nope" is not configured`},
		{"no model", llmtool.Config{ProviderID: "bare"}, BadDefinition, "the tool names no model, and provider bare has no default"},
		{"empty prompt", llmtool.Config{ProviderID: "bare", Model: "m", PromptTemplate: "{{parameters.absent}}"}, BadExpression, "promptTemplate yields an empty prompt; give the parameters that it names"},
		{"missing env in the prompt", llmtool.Config{ProviderID: "bare", Model: "m", PromptTemplate: "{{env.NOPE}}"}, MissingCredential, "env.NOPE is not set"},
	} {
		t.Run(k.name, func(t *testing.T) {
			_, e := run(t, k.cfg, c)
			require.Equal(t, ConfigurationError, e.Class)
			require.Equal(t, k.reason, e.Reason)
			require.Equal(t, k.detail, e.Detail)
		})
	}
	_, err := compile(t, llmtool.Config{}).Run(t.Context(), nil, input)
	require.ErrorContains(t, err, "not configured")
	tool := compile(t, llmtool.Config{PromptTemplate: "{{env.B}} {{env.A}} {{credentials.k.x}} {{env.A}}"})
	env, credentials := tool.Names()
	require.Equal(t, []string{"A", "B"}, env)
	require.Equal(t, []string{"k"}, credentials)
}

func TestJSONAnswers(t *testing.T) {
	const list = `{"type":"array","items":{"type":"integer"}}`
	const object = `{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}`
	for _, c := range []struct{ name, schema, answer, want string }{
		{"plain", "", `{"b":1,"a":2}`, `{"b":1,"a":2}`},
		{"white space", "", " {\n \"a\" : [1, 2] }\n", `{"a":[1,2]}`},
		{"scalar", "", `42`, `42`},
		{"big number", "", `{"n":12345678901234567890123}`, `{"n":12345678901234567890123}`},
		{"fenced", "", "```json\n{\"a\":1}\n```", `{"a":1}`},
		{"fenced, no language", "", "Here:\n```\n[1]\n```\nDone.", `[1]`},
		{"fenced, not closed", "", "```json\n{\"a\":1}", `{"a":1}`},
		{"second fence", "", "```py\nprint(1)\n```\n```json\n{\"a\":1}\n```", `{"a":1}`},
		{"chatty", "", `Sure! {"a":"} \" {"} Hope that helps {x}.`, `{"a":"} \" {"}`},
		{"chatty array", "", `The list: [1,2] ok`, `[1,2]`},
		{"reference before the object", "", `Here are the results [1]: {"a":1}`, `{"a":1}`},
		{"reference after the object", "", `See {"a":1} [1][2]`, `{"a":1}`},
		{"long list before the object", "", `Of [1,2,3,4,5,6,7,8,9]: { "a": 1 }.`, `{"a":1}`},
		{"list of objects", "", `Found [1]: [{"a":1},{"b":2}].`, `[{"a":1},{"b":2}]`},
		{"example before the answer", "", `Unlike {"a":1}: {"a":1,"b":[2]}`, `{"a":1,"b":[2]}`},
		{"two alike", "", `{"a":1}{"a":2}`, `{"a":1}`},
		{"empty object", "", `I can't [1]: {}`, `[1]`},
		{"broken before the good", "", `{oops {"a":1} }`, `{"a":1}`},
		{"thoughts", "", "<think>maybe {\"x\":0}</think>\n{\"a\":1}", `{"a":1}`},
		{"byte order mark", "", "\ufeff{\"a\":1}", `{"a":1}`},
		{"the one that fits", object, `Like {"b":1}: {"a":1}`, `{"a":1}`},
		{"wrapped", list, `{"value":[1,2]}`, `[1,2]`},
		{"not wrapped though asked", list, `[1,2]`, `[1,2]`},
		{"duplicate members", "", `{"a":1,"a":2}`, ""},
		{"trailing comma", "", `{"a":1,}`, ""},
		{"single quotes", "", `{'a':1}`, ""},
		{"cut", "", `{"a":1`, ""},
		{"words", "", `no`, ""},
		{"nothing but brackets", "", strings.Repeat("[", 5000), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := answers(t, says(c.answer))
			cfg := llmtool.Config{OutputMode: "json"}
			if c.schema != "" {
				cfg.OutputSchema = json.RawMessage(c.schema)
			}
			answer, e := run(t, cfg, clients(t, provider(up.URL)))
			if c.want == "" {
				require.Equal(t, NotJSON, e.Reason)
				return
			}
			require.Nil(t, e)
			require.Equal(t, c.want, string(answer.Value))
			require.Len(t, up.seen(), 1)
		})
	}
}

func TestResponseFormat(t *testing.T) {
	for _, c := range []struct{ name, schema, want string }{
		{"none", "", `{"type":"json_object"}`},
		{"anything", "{}", `{"type":"json_object"}`},
		{"true", "true", `{"type":"json_object"}`},
		{"strict", personSchema, `{"type":"json_schema","json_schema":{"name":"result","strict":true,"schema":` + personSchema + `}}`},
		{"open object", `{"type":"object","properties":{"a":{}}}`, `{"type":"json_schema","json_schema":{"name":"result","strict":false,"schema":{"type":"object","properties":{"a":{}}}}}`},
		{"foreign keyword", `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"a":{"type":"string","minLength":1}},"required":["a"],"additionalProperties":false}`, `{"type":"json_schema","json_schema":{"name":"result","strict":false,"schema":{"type":"object","properties":{"a":{"type":"string","minLength":1}},"required":["a"],"additionalProperties":false}}}`},
		{"no type", `{"properties":{},"additionalProperties":false}`, `{"type":"json_schema","json_schema":{"name":"result","strict":true,"schema":{"type":"object","properties":{},"additionalProperties":false}}}`},
		{"list", `{"type":"array","items":{"type":"string"}}`, `{"type":"json_schema","json_schema":{"name":"result","strict":true,"schema":{"type":"object","properties":{"value":{"type":"array","items":{"type":"string"}}},"required":["value"],"additionalProperties":false}}}`},
		{"list of definitions", `{"type":"array","items":{"$ref":"#/$defs/s"},"$defs":{"s":{"type":"string"}}}`, `{"type":"json_schema","json_schema":{"name":"result","strict":true,"schema":{"type":"object","properties":{"value":{"type":"array","items":{"$ref":"#/$defs/s"}}},"required":["value"],"additionalProperties":false,"$defs":{"s":{"type":"string"}}}}}`},
		{"recursive list", `{"type":"array","items":{"$ref":"#"}}`, ``},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := answers(t, says("x"))
			_, e := run(t, llmtool.Config{OutputMode: "json", OutputSchema: json.RawMessage(c.schema)}, clients(t, provider(up.URL)))
			_ = e // the answer is of no matter here
			got := member(t, up.seen()[0], "response_format")
			if c.want == "" {
				require.Empty(t, got)
				require.Contains(t, up.seen()[0], "It must fit this JSON Schema")
				return
			}
			require.JSONEq(t, c.want, got)
			if strings.Contains(got, "json_object") {
				require.Contains(t, up.seen()[0], "Answer with one JSON value")
			}
		})
	}
}

// TestContentParts covers Mistral, which answers in parts.
func TestContentParts(t *testing.T) {
	up := answers(t, `{"choices":[{"message":{"role":"assistant","content":[{"type":"text","text":"Hel"},{"type":"text","text":"lo"}]},"finish_reason":"stop"}]}`)
	answer, e := run(t, llmtool.Config{}, clients(t, provider(up.URL)))
	require.Nil(t, e)
	require.Equal(t, `"Hello"`, string(answer.Value))
}

func TestModelOfAnotherAPI(t *testing.T) {
	up := answers(t, says("hi"))
	_, e := run(t, llmtool.Config{Model: "text-davinci-003"}, clients(t, provider(up.URL)))
	require.Equal(t, ModelNotFound, e.Reason)
	require.Equal(t, `"text-davinci-003" is not a chat model`, e.Detail)
	require.Empty(t, up.seen())
}
