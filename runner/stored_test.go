package runner_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/runner"
)

// recorder is an upstream that keeps what it was sent, to the byte.
type recorder struct {
	*httptest.Server
	mu   sync.Mutex
	sent string
}

func record(t *testing.T, answer string) *recorder {
	t.Helper()
	r := &recorder{}
	r.Server = upstream(t, func(w http.ResponseWriter, req *http.Request) {
		dump, err := httputil.DumpRequest(req, true)
		if err != nil {
			panic(err)
		}
		r.mu.Lock()
		r.sent += string(dump) + "\n"
		r.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(answer))
	})
	return r
}

// run executes a definition, in which UPSTREAM is the recorder, and returns what
// was sent and the result.
func (r *recorder) run(t *testing.T, yaml, parameters string) (sent, value string) {
	t.Helper()
	def := parse(t, strings.ReplaceAll(yaml, "UPSTREAM", r.URL))
	run := newRunner(t, runner.Options{
		Tools: []*runner.Definition{def}, Egress: policy(strings.TrimPrefix(r.URL, "http://")),
		Env: map[string]string{"TOKEN": "from-env", "BASE": r.URL}, Credentials: map[string]any{
			"4fc0-1": "a-key", "login": map[string]any{"username": "ada", "password": "pw:1"}, "rich": map[string]any{"apiKey": "rich-key"},
		},
		Providers: []llmtool.Provider{{ID: "main", Type: "openai", BaseURL: r.URL, APIKey: "{{env.TOKEN}}", Model: "m"}},
	})
	result := execute(t, run, runner.Request{Tool: def.Name, Parameters: []byte(strings.ReplaceAll(parameters, "UPSTREAM", r.URL))})
	require.Nil(t, result.Failure)
	r.mu.Lock()
	defer r.mu.Unlock()
	sent, r.sent = r.sent, ""
	return sent, string(result.Value)
}

// TestStoredForm holds each definition in the platform's stored form to one with
// executionConfig: both send the same bytes and have the same result.
func TestStoredForm(t *testing.T) {
	const declares = `
name: a
parameters:
  properties: {id: {type: [string, integer]}, q: {type: string}, n: {type: integer}, tags: {type: array}, who: {type: object}}
`
	const chat = `{"choices":[{"finish_reason":"stop","message":{"role":"assistant","content":"{\"a\":1}"}}]}`
	for _, tc := range []struct{ name, stored, own, parameters, answer string }{
		{"path and query", `
type: query
executionMethod: http
httpConfig: {method: GET, path: 'UPSTREAM/items/{id}/x', queryParams: {q: '{q}', fixed: '7'}}`, `
type: http
executionConfig: {url: 'UPSTREAM/items/{{parameters.id}}/x', queryParams: {q: '{{parameters.q}}', fixed: '7', n: '{{parameters.n}}'}}`,
			`{"id":"a/b?c#ü","q":"x&y=1","n":3}`, `{}`},
		{"the rest of a GET goes into the query, arrays with brackets", `
type: api
httpConfig: {method: GET, path: 'UPSTREAM/items/{id}'}`, `
type: http
executionConfig: {url: 'UPSTREAM/items/{{parameters.id}}', queryParams: {n: '{{parameters.n}}', 'tags[]': '{{parameters.tags}}'}}`,
			`{"id":1,"n":3,"tags":["a","b"]}`, `{}`},
		{"what a header or a query has isn't repeated", `
type: api
httpConfig: {method: DELETE, path: 'UPSTREAM/items', headers: {X-Id: 'no {id}'}, queryParams: {term: '{{ parameters.q }}'}}`, `
type: http
executionConfig: {method: DELETE, url: UPSTREAM/items, headers: {X-Id: 'no {{parameters.id}}'}, queryParams: {term: '{{parameters.q}}'}}`,
			`{"id":1,"q":"z"}`, `{}`},
		{"query in the path", `
type: http
httpConfig: {method: GET, path: 'UPSTREAM/search?q={q}&n={n}'}`, `
type: http
executionConfig: {url: 'UPSTREAM/search?q={{parameters.q}}&n={{parameters.n}}'}`,
			`{"q":"a b&c"}`, `{}`},
		{"expressions", `
type: http
httpConfig: {path: '{{env.BASE}}/{{id}}', headers: {Authorization: 'Bearer {{env.TOKEN}}'}, queryParams: {q: '{{upper(parameters.q)}}'}}`, `
type: http
executionConfig: {url: 'UPSTREAM/{{parameters.id}}', headers: {Authorization: 'Bearer {{env.TOKEN}}'}, queryParams: {q: '{{upper(parameters.q)}}'}}`,
			`{"id":1,"q":"z"}`, `{}`},
		{"body template", `
type: action
httpConfig:
  method: POST
  path: UPSTREAM/items
  bodyTemplate: '{"id": "{id}", "text": "n is {n}, {q}", "deep": [{"who": "{who}", "big": 12345678901234567890}], "pattern": "[0-9]{3}"}'`, `
type: http
executionConfig:
  method: POST
  url: UPSTREAM/items
  body: {id: '{{parameters.id}}', text: 'n is {{parameters.n}}, {{parameters.q}}', deep: [{who: '{{parameters.who}}', big: 12345678901234567890}], pattern: '[0-9]{3}'}`,
			`{"id":17,"n":3,"q":"\",\"admin\":true,\"","who":{"name":"Ada"}}`, `{}`},
		{"body template that is JSON already", `
type: action
httpConfig: {method: PUT, path: UPSTREAM/items, bodyTemplate: {id: '{id}', list: ['{q}']}}`, `
type: http
executionConfig: {method: PUT, url: UPSTREAM/items, body: {id: '{{parameters.id}}', list: ['{{parameters.q}}']}}`,
			`{"id":17}`, `{}`},
		{"one placeholder as body", `
type: action
httpConfig: {method: POST, path: UPSTREAM/items, bodyTemplate: '"{who}"'}`, `
type: http
executionConfig: {method: POST, url: UPSTREAM/items, body: '{{parameters.who}}'}`,
			`{"who":{"name":"Ada"}}`, `{}`},
		{"form", `
type: action
httpConfig: {method: POST, path: UPSTREAM/items, bodyEncoding: form-urlencoded, bodyTemplate: '{"id": "{id}", "q": "{q}"}'}`, `
type: http
executionConfig: {method: POST, url: UPSTREAM/items, bodyEncoding: form-urlencoded, body: {id: '{{parameters.id}}', q: '{{parameters.q}}'}}`,
			`{"id":17,"q":"a&b=c"}`, `{}`},
		{"names that the language reserves", `
parameters: {properties: {in: {}, not: {}, nil: {}, let: {}, 'true': {}, 2fa: {}, a.b: {}, é: {}}}
type: action
httpConfig: {method: POST, path: 'UPSTREAM/{in}', bodyTemplate: '{"a": "{not}{nil}", "b": ["{let}", "{true}", "{2fa}"]}'}`, `
parameters: true
type: http
executionConfig: {method: POST, url: 'UPSTREAM/1', body: {a: '23', b: [4, 5, 6]}}`,
			`{"in":1,"not":2,"nil":3,"let":4,"true":5,"2fa":6}`, `{}`},
		{"names of all kinds in the body", `
parameters: {properties: {in: {}, 2fa: {}, a.b: {}, é: {}, 'q"}}': {}}}
type: action
httpConfig: {method: POST, path: UPSTREAM/}`, `
parameters: true
type: http
executionConfig: {method: POST, url: UPSTREAM/, body: '{{parameters}}'}`,
			`{"in":1,"2fa":2,"a.b":3,"é":4,"q\"}}":5}`, `{}`},
		{"raw text", `
type: action
httpConfig: {method: POST, path: UPSTREAM/items, bodyEncoding: raw, bodyTemplate: 'id={id}'}`, `
type: http
executionConfig: {method: POST, url: UPSTREAM/items, bodyEncoding: raw, body: 'id={{parameters.id}}'}`,
			`{"id":17}`, `{}`},
		{"raw JSON stays JSON", `
type: action
httpConfig: {method: POST, path: UPSTREAM/items, bodyEncoding: raw, bodyTemplate: '{"id": "{id}"}', headers: {content-type: application/vnd.x+json}}`, `
type: http
executionConfig: {method: POST, url: UPSTREAM/items, body: {id: '{{parameters.id}}'}, headers: {Content-Type: application/vnd.x+json}}`,
			`{"id":"\"}"}`, `{}`},
		{"raw without a template", `
type: action
httpConfig: {method: POST, path: UPSTREAM/items, bodyEncoding: raw}`, `
type: http
executionConfig: {method: POST, url: UPSTREAM/items, body: {id: '{{parameters.id}}'}, headers: {Content-Type: text/plain}}`,
			`{"id":17}`, `{}`},
		{"raw, without parameters that are declared", `
parameters: true
type: action
httpConfig: {method: POST, path: UPSTREAM/items, bodyEncoding: raw, headers: {content-type: application/json}}`, `
parameters: true
type: http
executionConfig: {method: POST, url: UPSTREAM/items, body: '{{parameters}}'}`,
			`{"any":[17]}`, `{}`},
		{"no template: the body has what the path hasn't", `
type: action
httpConfig: {method: PATCH, path: 'UPSTREAM/items/{id}', headers: {X-N: '{n}'}, queryParams: null, pagination: null, responseMapping: null}`, `
type: http
executionConfig: {method: PATCH, url: 'UPSTREAM/items/{{parameters.id}}', headers: {X-N: '{{parameters.n}}'}, body: {n: '{{parameters.n}}', q: '{{parameters.q}}'}}`,
			`{"id":1,"n":3,"q":"z"}`, `{}`},
		{"a linked API", `
type: api
api: {id: 7, name: Shop, baseUrl: UPSTREAM/v1/, headers: {X-Shop: '1', x-n: ours}, timeoutMs: 4000, authentication: {type: api_key, config: {headerName: X-Key, apiKey: literal}}, operations: []}
httpConfig: {method: GET, path: '/items/{id}', headers: {X-N: 'mine'}}`, `
type: http
authConfig: {type: apiKey, config: {name: X-Key, value: literal}}
executionConfig: {url: 'UPSTREAM/v1/items/{{parameters.id}}', headers: {X-Shop: '1', X-N: mine}}`,
			`{"id":1}`, `{}`},
		{"a path that begins with a parameter follows the API", `
type: api
api: {baseUrl: UPSTREAM}
httpConfig: {method: GET, path: '{id}/items'}`, `
type: http
executionConfig: {url: 'UPSTREAM/{{parameters.id}}/items'}`,
			`{"id":"v1"}`, `{}`},
		{"a parameter is the whole URL", `
parameters: {properties: {url: {type: string}}}
type: api
httpConfig: {method: GET, path: '{url}'}`, `
parameters: true
type: http
executionConfig: {url: '{{parameters.url}}'}`,
			`{"url":"UPSTREAM/x?y=1"}`, `{}`},
		{"condition and mapping", `
type: api
httpConfig: {method: GET, path: UPSTREAM/items, responseMapping: {dataPath: items.0, successCondition: "data.meta.ok === true"}}`, `
type: http
executionConfig: {url: UPSTREAM/items, responseMapping: {dataPath: items.0, successCondition: 'response.body.meta.ok == true'}}`,
			`{}`, `{"meta":{"ok":true},"items":[5,6]}`},
		{"graphql", `
type: query
graphqlConfig: {endpoint: UPSTREAM/graphql, query: 'query($id: ID!, $n: Int) {item(id: $id, n: $n){name}}', variables: {id: '{id}', n: '{n}', text: 'x {q}'}, responseMapping: {dataPath: data.item, errorPath: errors.0.message}}`, `
type: graphql
executionConfig: {endpoint: UPSTREAM/graphql, query: 'query($id: ID!, $n: Int) {item(id: $id, n: $n){name}}', variables: {id: '{{parameters.id}}', n: '{{parameters.n}}', text: 'x {{parameters.q}}'}, responseMapping: {dataPath: item}}`,
			`{"id":"a","n":3}`, `{"data":{"item":{"name":"x"}}}`},
		{"graphql without variables has all parameters", `
type: mutation
executionMethod: graphql
api: {baseUrl: UPSTREAM/graphql}
graphqlConfig: {query: 'mutation {x}', variables: null}`, `
type: graphql
executionConfig: {endpoint: UPSTREAM/graphql, query: 'mutation {x}', variables: {id: '{{parameters.id}}', n: '{{parameters.n}}'}}`,
			`{"id":"a","n":3}`, `{"data":{"x":1}}`},
		{"llm", `
type: function
executionMethod: llm
llmConfig: {providerId: main, systemPrompt: 'Write {{q}} for the name.', promptTemplate: 'Sum up {{q}} in {{ n }} of {"a": {q}}', temperature: 0.2, maxTokens: 9, outputMode: text, outputSchema: {type: object}}`, `
type: llm
executionConfig: {providerId: main, systemPrompt: "Write {{'{{q}}'}} for the name.", promptTemplate: 'Sum up {{parameters.q}} in {{parameters.n}} of {"a": {q}}', temperature: 0.2, maxTokens: 9}`,
			`{"q":"it","n":2}`, chat},
		{"llm with JSON", `
type: llm
llmConfig: {providerId: main, promptTemplate: '{{parameters.q}}', outputMode: json, outputSchema: {type: object, properties: {a: {type: integer}}}, model: null}`, `
type: llm
executionConfig: {providerId: main, promptTemplate: '{{parameters.q}}', outputMode: json, outputSchema: {type: object, properties: {a: {type: integer}}}}`,
			`{"q":"it"}`, chat},
	} {
		t.Run(tc.name, func(t *testing.T) {
			upstream := record(t, tc.answer)
			head := declares
			if strings.HasPrefix(tc.own, "\nparameters:") { // its own
				head = "name: a"
			}
			wantSent, wantValue := upstream.run(t, head+tc.own, tc.parameters)
			sent, value := upstream.run(t, head+tc.stored, tc.parameters)
			require.NotEmpty(t, wantSent)
			require.Equal(t, wantSent, sent)
			require.Equal(t, wantValue, value)
		})
	}
}

func TestStoredAuth(t *testing.T) {
	for _, tc := range []struct{ auth, want string }{
		{`{type: bearer, config: {token: secret-1}}`, "Authorization: Bearer secret-1"},
		{`{type: basic, config: {username: ada}}`, "Authorization: Basic YWRhOg=="},
		{`{type: apiKey, config: {key: k1}}`, "X-Api-Key: k1"},
		{`{type: apiKey, config: {key: '{{env.TOKEN}}', headerName: X-Own}}`, "X-Own: from-env"},
		{`{type: apiKey, config: {apiKey: k1, parameter: key, location: query}}`, "GET /?key=k1 "},
		{`{type: oauth2, config: {accessToken: t1}}`, "Authorization: Bearer t1"},
		{`{type: bearer, config: {credentialId: 4fc0-1}}`, "Authorization: Bearer a-key"},
		{`{type: apiKey, config: {credentialId: rich, headerName: X-Own}}`, "X-Own: rich-key"},
		{`{type: basic, config: {credentialId: login}}`, "Authorization: Basic YWRhOnB3OjE="},
		{`{type: basic, config: {credentialId: 4fc0-1}}`, "Authorization: Basic YS1rZXk6"},
		{`{type: oauth2, config: {credentialId: 4fc0-1}}`, "Authorization: Bearer a-key"},
		{`{type: none}`, "GET / "},
	} {
		t.Run(tc.auth, func(t *testing.T) {
			sent, _ := record(t, `{}`).run(t, "name: a\ntype: api\nhttpConfig: {path: UPSTREAM/}\nauthConfig: "+tc.auth, `{}`)
			require.Contains(t, sent, tc.want)
		})
	}
}

// Faults name the place that the author wrote, whatever became of it.
func TestStoredFaults(t *testing.T) {
	const parameters = "parameters: {properties: {id: {type: string}}}\n"
	for _, tc := range []struct{ name, in, want string }{
		{"unknown parameter in the path", parameters + "type: api\nhttpConfig:\n  path: https://x.example/{idd}",
			`/httpConfig/path tool.yaml:4:3: {idd}: parameter "idd" isn't declared in the parameter schema (did you mean "id"?); braces that are text are written {{'{idd}'}}`},
		{"unknown parameter in a header", parameters + "type: api\nhttpConfig:\n  path: https://x.example/\n  headers:\n    X-A: a {{idd}}", "/httpConfig/headers/X-A tool.yaml:6:5: {{idd}}: parameter"},
		{"unknown parameter in the query", parameters + "type: api\nhttpConfig:\n  path: https://x.example/\n  queryParams: {a: ['{x}']}", "/httpConfig/queryParams/a/0 tool.yaml:5:21: "},
		{"unknown parameter in a text body", parameters + "type: api\nhttpConfig:\n  method: POST\n  path: https://x.example/\n  bodyTemplate: '{\"a\": [\"{x}\"]}'",
			`/httpConfig/bodyTemplate tool.yaml:6:3: at /a/0: {x}: parameter "x"`},
		{"unknown parameter in a body", parameters + "type: api\nhttpConfig:\n  method: POST\n  path: https://x.example/\n  bodyTemplate: {a: '{x}'}", "/httpConfig/bodyTemplate/a tool.yaml:6:18: "},
		{"expression in a text body", parameters + "type: api\nhttpConfig:\n  method: POST\n  path: https://x.example/\n  bodyTemplate: '{\"a\": \"{{nope.x}}\"}'",
			`/httpConfig/bodyTemplate tool.yaml:6:3: at /a: unknown name "nope"`},
		{"body that isn't JSON", "type: api\nhttpConfig:\n  method: POST\n  path: https://x.example/\n  bodyTemplate: '{\"n\": {n}}'",
			`/httpConfig/bodyTemplate tool.yaml:5:3: is not valid JSON: `},
		{"raw text that becomes JSON", "type: api\nhttpConfig:\n  method: POST\n  path: https://x.example/\n  bodyEncoding: raw\n  bodyTemplate: '{\"n\": {n}}'", `/httpConfig/bodyTemplate tool.yaml:6:3: is JSON with placeholders`},
		{"parameter in the host", "type: api\nhttpConfig: {path: 'https://{host}.example/'}", "/httpConfig/path tool.yaml:2:14: only env and credentials may choose"},
		{"path without a host", "type: api\napiId: 7\nhttpConfig: {path: '/items/{id}'}", "/httpConfig/path tool.yaml:3:14: names no host, and there is no api.baseUrl"},
		{"header with a line break", "type: api\nhttpConfig: {path: 'https://x.example/', headers: {A: \"b\\nc\"}}", "/httpConfig/headers/A tool.yaml:2:"},
		{"header of the API", "type: api\napi:\n  baseUrl: https://x.example/\n  headers:\n    Host: y\nhttpConfig: {path: '/'}", "/api/headers/Host tool.yaml:5:5: is set from the URL"},
		{"unknown field", "type: api\nhttpConfig:\n  path: https://x.example/\n  timeuot: 5", "/httpConfig/timeuot tool.yaml:4:3: is not allowed"},
		{"url beside path", "type: api\nhttpConfig:\n  url: https://x.example/\n  path: https://x.example/", "/httpConfig/url tool.yaml:3:3: is not allowed"},
		{"unknown column", "type: api\nhttpConfig: {path: 'https://x.example/'}\norganisationId: 7", `/organisationId tool.yaml:3:1: is not allowed (did you mean "organizationId"?)`},
		{"bad condition", "type: api\nhttpConfig:\n  path: https://x.example/\n  responseMapping:\n    successCondition: env.X == 1", "/httpConfig/responseMapping/successCondition tool.yaml:5:5: reads only response"},
		{"no cursor", "type: api\nhttpConfig:\n  path: https://x.example/\n  pagination: {type: cursor}", "/httpConfig/pagination/cursorPath tool.yaml:4:"},
		{"key that is no text", "type: api\nhttpConfig: {path: 'https://x.example/'}\nauthConfig:\n  type: apiKey\n  config:\n    key: [1]", "/authConfig/config/key tool.yaml:6:5: must be a string"},
		{"key twice", "type: api\nhttpConfig: {path: 'https://x.example/'}\nauthConfig: {type: apiKey, config: {key: a, value: b}}", "says the same as another field"},
		{"key beside a credential", "type: api\nhttpConfig: {path: 'https://x.example/'}\nauthConfig:\n  type: bearer\n  config:\n    credentialId: a\n    token: b", "/authConfig/config/token tool.yaml:7:5: says the same"},
		{"schema of its own", "type: function\ncode: return 1\ninputSchema: {id: 1, schema: {}}", "/inputSchema tool.yaml:3:1: isn't read"},
		{"two credentials", "type: api\nauthConfig: {type: bearer, config: {token: a}}\napi: {baseUrl: 'https://x.example/', authentication: {type: bearer, config: {token: b}}}\nhttpConfig: {path: /}", "/api/authentication tool.yaml:3:"},
		{"no endpoint", "type: query\ngraphqlConfig:\n  query: '{x}'", "/graphqlConfig/endpoint tool.yaml:2:1: is required"},
		{"unknown variable", parameters + "type: query\ngraphqlConfig:\n  endpoint: https://x.example/\n  query: '{x}'\n  variables:\n    a: '{b}'", "/graphqlConfig/variables/a tool.yaml:7:5: {b}: parameter"},
		{"unknown name in a prompt", "type: function\nllmConfig:\n  providerId: main\n  promptTemplate: '{{input.text}}'", `/llmConfig/promptTemplate tool.yaml:4:3: unknown name "input"`},
		{"unknown provider", "type: function\nllmConfig:\n  providerId: other\n  promptTemplate: hi", "/llmConfig/providerId tool.yaml:3:3: Provider not found"},
		{"auth of a prompt", "type: function\nllmConfig: {providerId: main, promptTemplate: hi}\nauthConfig: {type: bearer, config: {token: x}}", "/authConfig tool.yaml:3:1: has no use in an llm tool"},
		{"syntax error in code", "type: function\nexecutionMethod: custom\ncode: |\n  const x = 1\n  return x y\n", "/code tool.yaml:5: doesn't compile"},
		{"auth of code", "type: function\ncode: return 1\nauthConfig: {type: bearer, config: {token: x}}", "/authConfig tool.yaml:3:1: has no use beside code"},
		{"package", "type: function\ncode: return 1\ndependencies: {axios: ^1, pg: ^8}", "/dependencies/pg tool.yaml:3:"},
		{"two forms", "type: http\nexecutionConfig: {url: 'https://x.example/'}\nhttpConfig: {path: 'https://x.example/'}", "/httpConfig tool.yaml:3:1: can't stand beside executionConfig"},
		{"code and httpConfig", "type: action\ncode: return 1\nhttpConfig: {path: 'https://x.example/'}", "/httpConfig tool.yaml:3:1: can't stand beside code"},
		{"another type", "type: graphql\nhttpConfig: {path: 'https://x.example/'}", "/type tool.yaml:1:1: must be http for a tool with httpConfig"},
		{"the platform's type with ours", "type: query\nexecutionConfig: {url: 'https://x.example/'}", "/type tool.yaml:1:1: must be http, graphql or llm for a tool with executionConfig"},
		{"nothing to run", "type: function", `/type tool.yaml:1:1: is "function", which doesn't say what runs`},
		{"soap", "type: action\nexecutionMethod: soap\nsoapConfig: {operation: a, namespace: b}", "/soapConfig tool.yaml:3:1: SOAP tools can't run here"},
		{"method alone", "type: action\nexecutionMethod: grpc", `/executionMethod tool.yaml:2:1: is "grpc", and gRPC tools can't run here`},
		{"mcp", "type: mcp\nconfiguration:\n  mcp: {sourceId: a, remoteName: b}", "/configuration/mcp tool.yaml:3:3: tools of an MCP server"},
		{"api of code", "type: function\ncode: return 1\napi: {baseUrl: 'https://x.example/'}", "/api tool.yaml:3:1: has no use beside code"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			def, err := runner.Parse("tool.yaml", []byte(tc.in+"\nname: a\n"))
			if err == nil {
				_, err = runner.New(runner.Options{Tools: []*runner.Definition{def}, Providers: []llmtool.Provider{{ID: "main", Type: "openai"}}})
			}
			got := faults(t, err)
			require.Len(t, got, 1, "one mistake, one fault: %q", got)
			require.Contains(t, got[0], tc.want)
		})
	}
}

// What isn't an object is refused, not fallen over.
func TestParseRefusesScalars(t *testing.T) {
	for _, text := range []string{"null", "1", `"a"`, "[]", `{"configuration":1,"soapConfig":{}}`} {
		_, err := runner.Parse("tool.json", []byte(text))
		require.NotEmpty(t, faults(t, err), text)
	}
}

// row is what the platform hands out for a tool: all of its columns, most of them
// null.
const row = `{
  "id": "6a0e8a0c-6f0e-4b57-9d7c-0c3f2f1f2b10", "name": "get_item", "description": null, "type": "query", "code": null,
  "executionMethod": "http", "authConfig": null, "status": "active", "version": "1.0.3", "operationId": null, "apiId": null,
  "organizationId": "org-1", "visibility": "team", "teamId": "team-1", "inputSchemaId": null, "outputSchemaId": null,
  "parameters": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
  "examples": [{"name": "one", "description": "an item", "input": {"id": "1"}}],
  "configuration": {"timeout": 5000, "retries": 1, "cache": {"enabled": false, "ttl": 300}, "rateLimit": {"requestsPerMinute": 60}},
  "metadata": null, "llmConfig": null, "httpConfig": {"method": "GET", "path": "UPSTREAM/items/{id}"}, "graphqlConfig": null,
  "soapConfig": null, "grpcConfig": null, "dependencies": null, "npmRegistry": {"token": "npm_secret"}, "sdkConfig": null, "runnerConfig": null,
  "memoryConfig": null, "definitionHash": "abc", "usageCount": 12, "lastUsedAt": "2026-11-01T00:00:00.000Z", "successRate": 99.5,
  "averageResponseTime": 80.25, "createdBy": "u", "updatedBy": null, "createdAt": "2026-01-01T00:00:00.000Z",
  "updatedAt": "2026-01-01T00:00:00.000Z", "operation": null, "api": null, "organization": {"id": "org-1"}, "inputSchema": null,
  "outputSchema": null, "versions": [], "categories": [], "gatewayAssociations": []
}`

// A stored tool loads as it is, runs for everybody who may name it, and is shown
// as it was written, without the housekeeping.
func TestStoredRow(t *testing.T) {
	var failed atomic.Bool
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if !failed.Swap(true) { // configuration.retries counts for the stored form too
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"path":"` + r.RequestURI + `"}`))
	})
	dir := write(t, map[string]string{"row.json": strings.ReplaceAll(row, "UPSTREAM", server.URL)})
	defs, err := runner.Load(dir)
	require.NoError(t, err)
	r := newRunner(t, runner.Options{Tools: defs, Egress: policy(strings.TrimPrefix(server.URL, "http://"))})
	result := execute(t, r, runner.Request{Tool: "get_item", Parameters: []byte(`{"id":"a b"}`)})
	require.Nil(t, result.Failure)
	require.JSONEq(t, `{"path":"/items/a%20b"}`, string(result.Value))

	shown, err := r.Tool("any", "6a0e8a0c-6f0e-4b57-9d7c-0c3f2f1f2b10")
	require.NoError(t, err)
	require.Equal(t, runner.Type("query"), shown.Type)
	require.Empty(t, shown.ExecutionConfig)
	require.JSONEq(t, `{"method":"GET","path":"`+server.URL+`/items/{id}"}`, string(shown.HTTPConfig))
	require.Same(t, shown, r.Tools("any")[0])
	written, err := json.Marshal(shown)
	require.NoError(t, err)
	require.NotContains(t, string(written), "npm_secret")
	again, err := runner.Parse("again.json", written)
	require.NoError(t, err)
	require.Equal(t, shown.HTTPConfig, again.HTTPConfig)
}

// Code is stored with a type that says what it is for.
func TestStoredCode(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"custom", "executionMethod: custom\ncode: 'return [parameters.a + 1, typeof axios]'", `[2,"undefined"]`},
		{"no method", "code: return parameters.a\nauthConfig: {type: none}\nhttpConfig: null", "1"},
		{"method http has axios", "executionMethod: http\ncode: return typeof axios.get", `"function"`},
		{"dependencies have axios", "dependencies: {axios: ^1.7.0}\ncode: return typeof require('axios').get", `"function"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRunner(t, runner.Options{Tools: []*runner.Definition{parse(t, "name: a\ntype: function\n"+tc.in)}})
			result := execute(t, r, runner.Request{Tool: "a", Parameters: []byte(`{"a":1}`)})
			require.Nil(t, result.Failure)
			require.Equal(t, tc.want, string(result.Value))
		})
	}
}

// What a stored tool's code returns is the tool's fault, as for any other code.
func TestStoredCodeBreaksItsSchema(t *testing.T) {
	r := newRunner(t, runner.Options{Tools: []*runner.Definition{
		parse(t, "name: a\ntype: function\noutputSchema: {type: string}\ncode: return 1"),
	}})
	failure := execute(t, r, runner.Request{Tool: "a"}).Failure
	require.Equal(t, errclass.SchemaMismatch, failure.Reason)
	require.Equal(t, errclass.OriginTool, failure.Origin)
}

// Definitions made in Go take the stored form too, are checked alike and aren't
// changed.
func TestStoredInGo(t *testing.T) {
	server := record(t, `{"ok":true}`)
	def := &runner.Definition{
		Name: "a", Type: "api", HTTPConfig: json.RawMessage(`{"path":"/x/{id}"}`), API: &runner.API{BaseURL: server.URL},
		AuthConfig: &httptool.Auth{Type: "apiKey", Config: map[string]any{"key": "a-literal-key", "headerName": "X-Own"}},
	}
	before, err := json.Marshal(def)
	require.NoError(t, err)
	r := newRunner(t, runner.Options{Tools: []*runner.Definition{def}, Egress: policy(strings.TrimPrefix(server.URL, "http://"))})
	result := execute(t, r, runner.Request{Tool: "a", Parameters: []byte(`{"id":7}`)})
	require.Nil(t, result.Failure)
	require.Contains(t, server.sent, "GET /x/7 HTTP/1.1")
	require.Contains(t, server.sent, "X-Own: a-literal-key")
	after, err := json.Marshal(def)
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))

	_, err = runner.New(runner.Options{Tools: []*runner.Definition{
		{Name: "b", Type: "api", HTTPConfig: json.RawMessage(`{"path":"https://x.example/","timeuot":1}`)},
		{Name: "c", Type: "api", HTTPConfig: json.RawMessage(`[`)},
	}})
	got := faults(t, err)
	require.Contains(t, got[0], "/httpConfig/timeuot is not allowed")
	require.Len(t, got, 2)
}

// A value that a caller gives is data in the stored form as well.
func TestStoredValuesAreData(t *testing.T) {
	server := record(t, `{}`)
	def := parse(t, "name: a\ntype: api\nhttpConfig: {path: '"+server.URL+"/x/{id}', headers: {X-Id: '{h}'}}")
	r := newRunner(t, runner.Options{Tools: []*runner.Definition{def}, Egress: policy(strings.TrimPrefix(server.URL, "http://"))})
	for parameters, want := range map[string]string{
		`{"id":"..","h":"x"}`:          `"." or ".."`,
		`{"id":"1","h":"a\r\nX-B: c"}`: "line break",
		`{"h":"x"}`:                    "has no value",
	} {
		failure := execute(t, r, runner.Request{Tool: "a", Parameters: []byte(parameters)}).Failure
		require.Equal(t, errclass.ConfigurationError, failure.Class)
		require.Contains(t, failure.Detail, want)
	}
	require.Empty(t, server.sent)
}

// Secrets written into a linked API stay out of errors; what is no secret doesn't.
func TestStoredSecrets(t *testing.T) {
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"message":"key ` + r.Header.Get("X-Shop-Key") + ` of X-Shop-Key is unknown"}`))
	})
	def := parse(t, "name: a\ntype: api\napi: {baseUrl: '"+server.URL+"', authentication: {type: api_key, config: {headerName: X-Shop-Key, apiKey: k-91a77}}}\nhttpConfig: {path: /}")
	r := newRunner(t, runner.Options{Tools: []*runner.Definition{def}, Egress: policy(strings.TrimPrefix(server.URL, "http://"))})
	failure := execute(t, r, runner.Request{Tool: "a"}).Failure
	require.Contains(t, failure.Detail, "key [redacted] of X-Shop-Key is unknown")
}

func TestStoredDeleted(t *testing.T) {
	r := newRunner(t, runner.Options{Tools: []*runner.Definition{parse(t, "name: a\ntype: function\nstatus: deleted\ncode: return 1")}})
	require.Equal(t, errclass.CodeConflict, rejection(t, r, runner.Request{Tool: "a"}).Code)
}
