package openapi_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/openapi"
)

// What Swagger 2.0 writes differently comes to the same requests.
func TestSwagger(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(echo))
	defer server.Close()
	const root = `swagger: 2.0, host: a.example, definitions: {A: {type: object, required: [b], properties: {b: {type: integer}}}},
		parameters: {q: {name: q, in: query, type: array, items: {type: string}, collectionFormat: multi}},
		securityDefinitions: {k: {type: apiKey, in: header, name: X-A}, b: {type: basic}, o: {type: oauth2, flow: implicit}}, `
	for _, tc := range []struct{ name, rest, input, want string }{
		{"shared parameters", `paths: {"/x/{p}": {parameters: [{name: p, in: path, required: true, type: integer}, {$ref: "#/parameters/q"}], get: {}}}`,
			`{"p":1,"q":["a","b"]}`, "GET /x/1?q=a&q=b"},
		{"collections", `paths: {/x: {get: {parameters: [{name: c, in: query, type: array}, {name: s, in: query, type: array, collectionFormat: ssv}, {name: p, in: query, type: array, collectionFormat: pipes}, {name: X-A, in: header, type: array}]}}}`,
			`{"c":[1,2],"s":[1,2],"p":[1,2],"X-A":[1,2]}`, "GET /x?c=1%2C2&p=1%7C2&s=1%202\nX-A: 1,2"},
		{"a body", `paths: {/x: {post: {parameters: [{name: pet, in: body, required: true, schema: {$ref: "#/definitions/A"}}]}}}`,
			`{"body":{"b":1}}`, "POST /x\nContent-Type: application/json\n\n{\"b\":1}"},
		{"a body against its schema", `paths: {/x: {post: {parameters: [{name: pet, in: body, schema: {$ref: "#/definitions/A"}}]}}}`,
			`{"body":{"b":"1"}}`, "Validation failed: body.b must be integer"},
		{"a body of another type", `consumes: [application/xml], paths: {/x: {post: {parameters: [{name: pet, in: body, schema: {type: string}}]}}}`,
			`{"body":"<b/>"}`, "POST /x\nContent-Type: application/xml\n\n<b/>"},
		{"a form", `paths: {/x: {post: {parameters: [{name: a, in: formData, type: string, required: true}, {name: b, in: formData, type: array, items: {type: string}}]}}}`,
			`{"body":{"a":"1","b":["2","3"]}}`, "POST /x\nContent-Type: application/x-www-form-urlencoded\n\na=1&b=2%2C3"},
		{"a key", `security: [{k: []}], paths: {/x: {get: {}}}`, `{}`, "GET /x\nX-A: my-k_key"},
		{"a password", `security: [{k: []}], paths: {/x: {get: {security: [{b: []}]}}}`, `{}`, "GET /x\nAuthorization: Basic bXktYl91c2VybmFtZTpteS1iX3Bhc3N3b3Jk"},
		{"a token", `security: [{o: [read]}], paths: {/x: {get: {}}}`, `{}`, "GET /x\nAuthorization: Bearer my-o_token"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.want, send(t, server.URL, "{"+root+tc.rest+"}", tc.input))
		})
	}
}

func TestSwaggerServers(t *testing.T) {
	for root, want := range map[string]string{
		`host: a.example, basePath: /v2`:          "https://a.example/v2/x",
		`host: a.example, schemes: [http, https]`: "https://a.example/x",
		`host: "a.example:81", schemes: [http]`:   "http://a.example:81/x",
		`host: a.example, schemes: [wss]`:         `its server "wss://a.example" is not a URL that can be used: give one with --server https://…`,
		`basePath: /v2`:                           `its server "/v2" is relative to where the description was found: give --server https://HOST/v2`,
		`info: {}`:                                "the description names no server: give one with --server https://…",
	} {
		result := open(t, `{swagger: "2.0", `+root+`, paths: {/x: {get: {}}}}`, openapi.Options{})
		if len(result.Tools) == 0 {
			require.Equal(t, want, result.LeftOut[0].Text)
			continue
		}
		require.Contains(t, string(result.Tools[0].Definition), `"url":"`+want+`"`)
	}
}

// Files of a form and answers with examples, which only the definition shows.
func TestSwaggerFilesAndExamples(t *testing.T) {
	result := open(t, `{swagger: "2.0", paths: {/x: {post: {
		parameters: [{name: f, in: formData, type: file}, {name: g, in: formData, type: string, enum: [h]}],
		responses: {"200": {examples: {application/json: {ok: true}}}}}}}}`, example)
	require.Empty(t, result.Remarks)
	def := parse(t, result.Tools[0])
	require.JSONEq(t, `{"method":"POST","url":"https://api.example.com/x","body":{"f":"{{parameters.body.f}}","g":"{{parameters.body.g}}"},"bodyEncoding":"multipart"}`, string(def.ExecutionConfig))
	require.Contains(t, string(def.Parameters), `"dataUrl"`)
	require.JSONEq(t, `{"ok":true}`, string(def.Examples[0].ExpectedOutput))
}
