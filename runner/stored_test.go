package runner_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

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
	result := execute(t, run, runner.Request{Tool: def.Name, Parameters: []byte(parameters)})
	require.Nil(t, result.Failure)
	r.mu.Lock()
	defer r.mu.Unlock()
	sent, r.sent = r.sent, ""
	return sent, string(result.Value)
}

const declares = `
name: a
parameters:
  properties: {id: {type: [string, integer]}, q: {type: string}, n: {type: integer}, tags: {type: array}, who: {type: object}}
`

// TestStoredForm holds each definition in the platform's stored form to one with
// executionConfig: both send the same bytes and have the same result.
func TestStoredForm(t *testing.T) {
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
			wantSent, wantValue := upstream.run(t, declares+tc.own, tc.parameters)
			sent, value := upstream.run(t, declares+tc.stored, tc.parameters)
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
		{`{type: none}`, "GET / "},
	} {
		t.Run(tc.auth, func(t *testing.T) {
			sent, _ := record(t, `{}`).run(t, "name: a\ntype: api\nhttpConfig: {path: UPSTREAM/}\nauthConfig: "+tc.auth, `{}`)
			require.Contains(t, sent, tc.want)
		})
	}
}
