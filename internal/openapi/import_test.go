package openapi_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/openapi"
	"github.com/almyty-inc/toolrun/internal/strictjson"
	"github.com/almyty-inc/toolrun/runner"
)

func decode(t *testing.T, data json.RawMessage, into any) {
	t.Helper()
	require.NoError(t, strictjson.Unmarshal(data, into), "%s", data)
}

var example = openapi.Options{Server: "https://api.example.com"}

// open imports a description.
func open(t *testing.T, spec string, opts openapi.Options) *openapi.Result {
	t.Helper()
	result, err := openapi.Import(t.Context(), []byte(spec), opts)
	require.NoError(t, err)
	return result
}

// one imports a description of one operation, in YAML, and returns its definition.
func one(t *testing.T, operation string) *runner.Definition {
	t.Helper()
	result := open(t, "openapi: 3.1.0\npaths: {/x: {post: "+operation+"}}", example)
	require.Empty(t, result.LeftOut)
	return parse(t, result.Tools[0])
}

func names(result *openapi.Result) []string {
	var all []string
	for _, tool := range result.Tools {
		all = append(all, tool.Name)
	}
	return all
}

// The fixture as a whole: what comes of it, what doesn't, and what it needs.
func TestPetstore(t *testing.T) {
	spec, err := os.ReadFile("../../testdata/openapi/petstore.yaml")
	require.NoError(t, err)
	result := open(t, string(spec), openapi.Options{})
	require.Equal(t, []string{"orderPet", "listPets", "addPet", "getPet", "removePet"}, names(result))
	require.Equal(t, []openapi.Remark{{
		Operation: "PUT /pets/{petId}/photo", Place: "#/paths/~1pets~1{petId}~1photo/put/requestBody",
		Text: "its body, which is required, is image/jpeg, which can't be sent",
	}}, result.LeftOut)
	require.Empty(t, result.Remarks)
	require.Equal(t, []openapi.Secret{{Name: "SHOP_KEY", Use: "the API key of shopKey", Servers: []string{"https://eu.petstore.example/v1"}}}, result.Secrets)

	remove := parse(t, result.Tools[4])
	require.Equal(t, runner.Deprecated, remove.Status)
	require.Equal(t, "Removes a pet.", remove.Description)
	require.JSONEq(t, `{"openapi":{"operationId":"removePet","method":"DELETE","path":"/pets/{petId}","tags":["pets"]}}`, string(remove.Metadata))
	require.JSONEq(t, `{"type":"object","required":["petId"],"additionalProperties":false,"properties":{
		"petId":{"type":"integer","minimum":1,"examples":[7]},"If-Match":{"type":"string","description":"The version to remove."}}}`, string(remove.Parameters))
}

func TestFilters(t *testing.T) {
	spec, err := os.ReadFile("../../testdata/openapi/petstore.yaml")
	require.NoError(t, err)
	for _, tc := range []struct {
		tags, include []string
		want          string
	}{
		{[]string{"orders"}, nil, "orderPet"},
		{[]string{"orders", "none"}, []string{"list*"}, ""},
		{nil, []string{"listPets", "re*"}, "listPets removePet"},
		{nil, []string{"/pets"}, "listPets addPet"},
		{nil, []string{"/pets/*"}, "getPet removePet"},
		{nil, []string{"???Pet"}, "addPet getPet"},
		{nil, []string{"[a-z]*"}, ""},
	} {
		result := open(t, string(spec), openapi.Options{Tags: tc.tags, Include: tc.include})
		require.Equal(t, tc.want, strings.Join(names(result), " "))
		require.Equal(t, result.Operations, result.Skipped+len(result.Tools)+len(result.LeftOut))
	}
}

func TestNames(t *testing.T) {
	const long = "a23456789b123456789c123456789d123456789e123456789f123456789g123456789"
	result := open(t, `{openapi: 3.0.0, paths: {
		/a: {get: {operationId: repos/get}, put: {operationId: repos.get}, post: {operationId: Repos_Get}, delete: {operationId: "äöü"}},
		"/b/{c}/": {get: {}}, /: {get: {}},
		/d: {get: {operationId: `+long+`}, post: {operationId: `+long+`x}},
		/e: {get: {operationId: Providers}}}}`, example)
	require.Equal(t, []string{"get", "repos_get", "Repos_Get_2", "repos_get_3", "delete_a", "get_b_c", long[:64], long[:62] + "_2",
		"Providers_2"}, names(result)) // providers.yaml is no definition's file
}

// Text of the description: the summary, then what else there is.
func TestDescriptions(t *testing.T) {
	for operation, want := range map[string]string{
		`{summary: A, description: B}`:               "A\n\nB",
		`{summary: Lists., description: Lists all.}`: "Lists all.",
		`{description: " B "}`:                       "B",
		`{}`:                                         "POST /x",
		`{summary: ` + strings.Repeat("long ", 1000) + `}`: strings.Repeat("long ", 399) + "long…",
	} {
		require.Equal(t, want, one(t, operation).Description)
	}
}

// Servers: the innermost one, with its variables' defaults, unless told otherwise.
func TestServers(t *testing.T) {
	for _, tc := range []struct{ root, item, op, server, want string }{
		{root: `[{url: https://a.example/v1/}]`, want: "https://a.example/v1/x"},
		{root: `[{url: https://a.example}]`, item: `[{url: https://b.example}]`, want: "https://b.example/x"},
		{root: `[{url: https://a.example}]`, item: `[{url: https://b.example}]`, op: `[{url: https://c.example}]`, want: "https://c.example/x"},
		{root: `[{url: /v1}, {url: "https://a.example"}]`, want: "https://a.example/x"},
		{root: `[{url: "https://{r}.example:{p}/{v}", variables: {r: {default: eu}, p: {default: 8443}, v: {default: v2}}}]`, want: "https://eu.example:8443/v2/x"},
		{root: `[{url: "https://a.example"}]`, server: "http://localhost:8080/", want: "http://localhost:8080/x"},
		{server: "{{env.API_URL}}", want: "{{env.API_URL}}/x"},

		{want: "the description names no server: give one with --server https://…"},
		{root: `[{url: /api/v3}]`, want: `its server "/api/v3" is relative to where the description was found: give --server https://HOST/api/v3`},
		{root: `[{url: "https://{r}.example"}]`, want: `its server "https://{r}.example" is not a URL that can be used: give one with --server https://…`},
		{root: `[{url: "ftp://a.example"}]`, want: `its server "ftp://a.example" is not a URL that can be used: give one with --server https://…`},
		{root: `[{url: "https://user:secret@a.example"}]`, want: `its server "https://user:secret@a.example" is not a URL that can be used: give one with --server https://…`},
	} {
		or := func(servers string) string {
			if servers == "" {
				return "[]"
			}
			return servers
		}
		spec := fmt.Sprintf("{openapi: 3.0.0, servers: %s, paths: {/x: {servers: %s, get: {servers: %s}}}}", or(tc.root), or(tc.item), or(tc.op))
		result := open(t, spec, openapi.Options{Server: tc.server})
		if len(result.Tools) == 0 {
			require.Equal(t, tc.want, result.LeftOut[0].Text)
			continue
		}
		var cfg struct{ URL string }
		require.NoError(t, json.Unmarshal(parse(t, result.Tools[0]).ExecutionConfig, &cfg))
		require.Equal(t, tc.want, cfg.URL)
	}
	_, err := openapi.Import(t.Context(), []byte("{openapi: 3.0.0}"), openapi.Options{Server: "api.example.com"})
	require.ErrorContains(t, err, "not a URL")
}

// An example comes of a description only where it is right.
func TestExamples(t *testing.T) {
	const answer = `responses: {default: {}, '201': {content: {application/json: {example: {id: 1}}}}}`
	for name, tc := range map[string]struct{ operation, want string }{
		"no input":        {`{` + answer + `}`, `[{"name":"from the description","upstream":{"status":201,"json":{"id":1}},"expectedOutput":{"id":1}}]`},
		"required ones":   {`{parameters: [{name: a, in: query, required: true, example: x}, {name: b, in: query, example: y}], ` + answer + `}`, `[{"name":"from the description","input":{"a":"x"},"upstream":{"status":201,"json":{"id":1}},"expectedOutput":{"id":1}}]`},
		"of the schema":   {`{requestBody: {required: true, content: {application/json: {schema: {examples: [{a: 1}]}}}}, ` + answer + `}`, `[{"name":"from the description","input":{"body":{"a":1}},"upstream":{"status":201,"json":{"id":1}},"expectedOutput":{"id":1}}]`},
		"named":           {`{parameters: [{name: a, in: query, required: true, schema: {enum: [u, v]}}], responses: {'200': {content: {application/json: {examples: {a: {value: [1]}}}}}}}`, `[{"name":"from the description","input":{"a":"u"},"upstream":{"json":[1]},"expectedOutput":[1]}]`},
		"input missing":   {`{parameters: [{name: a, in: query, required: true}], ` + answer + `}`, ``},
		"input is wrong":  {`{parameters: [{name: a, in: query, required: true, example: 1, schema: {type: string}}], ` + answer + `}`, ``},
		"failures only":   {`{responses: {'404': {content: {application/json: {example: 1}}}}}`, ``},
		"not JSON":        {`{responses: {'200': {content: {text/plain: {example: a}}}}}`, ``},
		"of endless size": {`{responses: {'200': {content: {application/json: {example: "` + strings.Repeat("x", 20_000) + `"}}}}}`, ``},
	} {
		t.Run(name, func(t *testing.T) {
			def := one(t, tc.operation)
			if tc.want == "" {
				require.Empty(t, def.Examples)
				return
			}
			written, err := strictjson.Marshal(def.Examples)
			require.NoError(t, err)
			require.JSONEq(t, tc.want, string(written))
		})
	}
}

// What a required parameter's default is, toolrun fills in; others are the API's
// business, which is told of none.
func TestDefaults(t *testing.T) {
	def := one(t, `{parameters: [
		{name: X-Version, in: header, required: true, schema: {type: string, default: "2022"}},
		{name: X-Broken, in: header, required: true, schema: {type: string, default: 5}},
		{name: limit, in: query, description: At most., schema: {type: integer, default: 20}}],
		requestBody: {content: {application/json: {schema: {properties: {private: {type: boolean, default: false}}}}}}}`)
	require.JSONEq(t, `{"type":"object","required":["X-Broken"],"additionalProperties":false,"properties":{
		"X-Version":{"type":"string","default":"2022","description":"Default: \"2022\"."},
		"X-Broken":{"type":"string","description":"Default: 5."},
		"limit":{"type":"integer","description":"At most. Default: 20."},
		"body":{"properties":{"private":{"type":"boolean","description":"Default: false."}}}}}`, string(def.Parameters))
}

// Every reason for which an operation or a part of it isn't imported.
func TestLeftOut(t *testing.T) {
	for _, tc := range []struct{ operation, place, want string }{
		{`{parameters: [{$ref: "other.yaml#/a"}]}`, "/parameters/0", "one of its parameters refers to another document, which is never read: put what it refers to into this one (other.yaml#/a)"},
		{`{parameters: [{$ref: "#/components/parameters/a"}]}`, "/parameters/0", "one of its parameters refers to #/components/parameters/a, which isn't there"},
		{`{parameters: [{$ref: "#/paths/~1x/post/parameters/0"}]}`, "/parameters/0", "one of its parameters refers to itself"},
		{`{parameters: [{in: query}]}`, "/parameters/0", "one of its parameters has no name"},
		{`{parameters: [{name: a, in: body, required: true}]}`, "/parameters/0", `its body parameter "a", which is required, stands in "body", which isn't known`},
		{`{parameters: [{name: a, in: query, required: true, style: form, schema: {type: object}}]}`, "/parameters/0", `its query parameter "a", which is required, is an object of any properties, and a tool has to name those that it sends`},
		{`{parameters: [{name: a, in: query, required: true, schema: {type: array, items: {type: object}}}]}`, "/parameters/0", `its query parameter "a", which is required, is an array of arrays or objects, for which OpenAPI has no way of writing`},
		{`{parameters: [{name: a, in: query, required: true, schema: {allOf: [{type: [object, string]}]}}]}`, "/parameters/0", `its query parameter "a", which is required, may be an object or not, and only one of them could be written`},
		{`{parameters: [{name: "a b", in: header, required: true}]}`, "/parameters/0", `its header parameter "a b", which is required, has a name that a header can't have`},
		{`{requestBody: {$ref: "file:///etc/passwd"}}`, "/requestBody", "its body refers to another document, which is never read: put what it refers to into this one (file:///etc/passwd)"},
		{`{requestBody: {required: true, content: {image/png: {}, application/pdf: {}}}}`, "/requestBody", "its body, which is required, is application/pdf or image/png, which can't be sent"},
		{`{requestBody: {required: true, content: {multipart/form-data: {schema: {type: object}}}}}`, "/requestBody", "its body, which is required, is a form without any named field"},
		{`{security: [{a: []}]}`, "/security", `its security scheme "a" isn't described`},
		{`{parameters: [{name: a, in: query, required: true, explode: false, schema: {allOf: [{type: [array, string]}]}}]}`, "/parameters/0", `its query parameter "a", which is required, may be an array or not, and only one of them could be written`},
		{`{parameters: [{name: a, in: header, required: true, schema: {allOf: [{type: [array, string]}]}}]}`, "/parameters/0", `its header parameter "a", which is required, may be of several types, each of which is written differently`},
		{`{parameters: [{name: a, in: query, required: true, style: simple, schema: {type: array}}]}`, "/parameters/0", `its query parameter "a", which is required, has style "simple", which a query doesn't have`},
		{`{parameters: [` + strings.Repeat("{name: a, in: query}, ", 1001) + `]}`, "", "it has more than 1000 parameters"},
		{`[]`, "", "the operation is not an object"},
	} {
		result := open(t, "openapi: 3.1.0\npaths: {/x: {post: "+tc.operation+"}}", example)
		require.Equal(t, []openapi.Remark{{Operation: "POST /x", Place: "#/paths/~1x/post" + tc.place, Text: tc.want}}, result.LeftOut)
		require.Empty(t, result.Tools)
	}
	result := open(t, `{openapi: 3.1.0, webhooks: {a: {}}, paths: {x-a: 1, /a: {$ref: "a.yaml"}, /b: 5, /c: {trace: {}, get: {callbacks: {a: {}}}}}}`, example)
	require.Equal(t, []openapi.Remark{
		{Operation: "/a", Place: "#/paths/~1a", Text: "the path's item refers to another document, which is never read: put what it refers to into this one (a.yaml)"},
		{Operation: "/b", Place: "#/paths/~1b", Text: "the path's item is not an object"},
		{Operation: "TRACE /c", Place: "#/paths/~1c/trace", Text: "requests with method TRACE can't be sent"},
	}, result.LeftOut)
	require.Equal(t, []openapi.Remark{
		{Place: "#/webhooks", Text: "webhooks (1) are not imported: they are requests that the API sends"},
		{Operation: "GET /c", Place: "#/paths/~1c/get/callbacks", Text: "callbacks are not imported: they are requests that the API sends"},
	}, result.Remarks)
}

// What an imported tool can't do that its operation can.
func TestRemarks(t *testing.T) {
	for _, tc := range []struct{ operation, want string }{
		{`{parameters: [{name: a, in: query, schema: {type: object}}]}`, `the query parameter "a" is left out: it is an object of any properties, and a tool has to name those that it sends`},
		{`{parameters: [{name: a, in: query, schema: {properties: {b: {}}, additionalProperties: true}}]}`, `of the query parameter "a" only the named properties are sent`},
		{`{parameters: [{name: a, in: query, style: deepObject, schema: {properties: {b: {}, c: {type: object}}}}]}`, `the property "c" of the query parameter "a" is left out: it is an object of any properties`},
		{`{parameters: [{name: a, in: query, style: deepObject, schema: {properties: {b: {}, c: {type: array, items: {type: object}}}}}]}`, `the property "c" of the query parameter "a" is left out: it is an array of arrays or objects, for which OpenAPI has no way of writing`},
		{`{parameters: [{name: a, in: query, schema: {type: [object, string]}}]}`, `the query parameter "a" is taken not as an object, though the API takes more`},
		{`{parameters: [{name: b, in: query}, {name: a, in: query, schema: {properties: {b: {}}}}]}`, `two parameters give "b" of the query: only one of them is sent`},
		{`{parameters: [{name: Authorization, in: header, required: true}]}`, `the header parameter "Authorization" is left out: it is for security schemes to set, as OpenAPI says`},
		{`{parameters: [{name: host, in: header, required: true}]}`, `the header parameter "host" is left out: it is set by the connection`},
		{`{parameters: [{name: a, in: path}]}`, `the path parameter "a" is left out: the path has no {a}`},
		{`{requestBody: {content: {image/png: {}}}}`, `the body is left out: it is image/png, which can't be sent`},
		{`{requestBody: {content: {multipart/form-data: {schema: {properties: {a: {}}, additionalProperties: {}}}}}}`, `of the form only the named fields are sent`},
		{`{requestBody: {content: {application/json: {schema: {pattern: "(?=a)"}}}}}`, `"pattern" is a regular expression with what RE2 doesn't have, such as lookaround, and is left out`},
	} {
		result := open(t, "openapi: 3.1.0\npaths: {/x: {post: "+tc.operation+"}}", example)
		require.Len(t, result.Remarks, 1)
		require.Equal(t, tc.want, result.Remarks[0].Text)
		require.Equal(t, "POST /x", result.Remarks[0].Operation)
		parse(t, result.Tools[0])
	}
}

// What can't be read at all.
func TestUnreadable(t *testing.T) {
	for spec, want := range map[string]string{
		"":                               "is empty",
		"# nothing":                      "is empty",
		"[]":                             "not an object",
		"openapi: [":                     "not valid YAML: line 1",
		`{"openapi": "3.0.0", "a": [}`:   "not valid JSON",
		"a: 1":                           `no member "openapi"`,
		"openapi: 2.0.0":                 "OpenAPI 2.0.0 is not supported",
		"swagger: '1.2'":                 "1.2 is not supported",
		"openapi: 3.0.0\nopenapi: 3.0.1": `line 2: the key "openapi" stands twice`,
		"? [a]\n: b":                     "not a text",
	} {
		_, err := openapi.Import(t.Context(), []byte(spec), openapi.Options{})
		require.ErrorContains(t, err, want, "%s", spec)
	}
}

// OAuth2 for machines fetches its tokens itself.
func TestClientCredentials(t *testing.T) {
	result := open(t, `{openapi: 3.1.0, servers: [{url: "https://a.example/v1"}], components: {securitySchemes: {shop: {type: oauth2, flows: {
		authorizationCode: {}, clientCredentials: {tokenUrl: //login.example/token}}}}}, paths: {/x: {get: {security: [{shop: [read, write]}]}}}}`, openapi.Options{})
	def := parse(t, result.Tools[0])
	require.Equal(t, "oauth2", def.AuthConfig.Type)
	require.Equal(t, map[string]any{"tokenUrl": "https://login.example/token", "clientId": "{{env.SHOP_CLIENT_ID}}",
		"clientSecret": "{{env.SHOP_CLIENT_SECRET}}", "scope": "read write"}, def.AuthConfig.Config)
	require.Equal(t, []openapi.Secret{
		{Name: "SHOP_CLIENT_ID", Use: "the OAuth2 client id of shop", Servers: []string{"https://login.example/token"}},
		{Name: "SHOP_CLIENT_SECRET", Use: "the OAuth2 client secret of shop", Servers: []string{"https://login.example/token"}},
	}, result.Secrets)
}

// A field of bytes is an object of name and content, in all the ways in which
// OpenAPI says bytes.
func TestFiles(t *testing.T) {
	for _, tc := range []struct {
		field, contentType string
		isFile             bool
	}{
		{`{type: string, format: binary}`, ``, true},
		{`{type: array, items: {type: string, format: binary}}`, ``, true},
		{`{contentMediaType: image/png}`, ``, true},
		{`{$ref: "#/components/schemas/File"}`, ``, true},
		{`{}`, `image/png, image/jpeg`, true},
		{`{type: string, contentMediaType: image/png, contentEncoding: base64}`, ``, false},
		{`{type: string, format: byte}`, ``, false},
		{`{type: object}`, `image/png`, false},
		{`{}`, `text/plain`, false},
	} {
		result := open(t, `{openapi: 3.1.0, components: {schemas: {File: {format: binary}}}, paths: {/x: {post: {requestBody: {content: {multipart/form-data: {
			schema: {properties: {a: `+tc.field+`}}, encoding: {a: {contentType: "`+tc.contentType+`"}}}}}}}}}`, example)
		def := parse(t, result.Tools[0])
		require.Equal(t, tc.isFile, strings.Contains(string(def.Parameters), `"required":["filename"]`), "%+v", tc)
		require.Contains(t, string(def.ExecutionConfig), `parameters.body.a`)
	}
}

// What is written doesn't depend on the order of maps.
func TestSameEveryTime(t *testing.T) {
	spec := `{openapi: 3.1.0, components: {schemas: {A: {}, B: {A: {type: string}}, C: {A: {type: integer}}}}, paths: {/x: {post: {
		parameters: [{name: q, in: query, schema: {properties: {a: {}, b: {}, c: {}, d: {}}}}, {name: r, in: query, schema: {properties: {a: {}, b: {}, c: {}, d: {}}}}],
		requestBody: {content: {application/json: {schema: {type: x, enum: 1, minLength: x, maxLength: x, minItems: x, patternProperties: {
			a: {$ref: "#/components/schemas/A"}, b: {$ref: "#/components/schemas/B/A"}, c: {$ref: "#/components/schemas/C/A"}}}}}}}}}}`
	first := open(t, spec, example)
	require.Len(t, first.Remarks, 9)
	for range 20 {
		require.Equal(t, first, open(t, spec, example))
	}
}
