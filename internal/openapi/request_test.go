package openapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/internal/openapi"
	"github.com/almyty-inc/toolrun/runner"
)

// echo answers with what it was asked, in the words of the tables here.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", r.Method, r.RequestURI)
	for _, name := range []string{"Authorization", "Cookie", "Content-Type", "X-A", "X-B"} {
		if v := r.Header.Get(name); v != "" {
			fmt.Fprintf(&b, "\n%s: %s", name, v)
		}
	}
	if len(body) > 0 {
		fmt.Fprintf(&b, "\n\n%s", body)
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(w, b.String())
}

// send imports the one operation of a description and runs its tool.
func send(t *testing.T, server, spec, input string) string {
	t.Helper()
	result, err := openapi.Import(t.Context(), []byte(spec), openapi.Options{Server: server})
	require.NoError(t, err)
	require.Empty(t, result.LeftOut)
	require.Len(t, result.Tools, 1)
	def := parse(t, result.Tools[0])
	env := map[string]string{}
	for _, s := range result.Secrets {
		env[s.Name] = "my-" + strings.ToLower(s.Name)
	}
	address, err := url.Parse(server)
	require.NoError(t, err)
	r, err := runner.New(runner.Options{Tools: []*runner.Definition{def}, Env: env, Egress: httptool.Policy{Allow: []string{address.Host}}})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close(context.Background())) }()
	answer, err := r.Execute(t.Context(), runner.Request{Tool: def.Name, Parameters: []byte(input)})
	if refused, ok := err.(*errclass.APIError); ok {
		return refused.Message
	}
	require.NoError(t, err)
	if answer.Failure != nil {
		return answer.Failure.Error()
	}
	var text string
	decode(t, answer.Value, &text)
	return text
}

// parse reads a tool as toolrun reads the file that is written of it.
func parse(t *testing.T, tool openapi.Tool) *runner.Definition {
	t.Helper()
	def, err := runner.Parse(tool.Name+".yaml", openapi.YAML(tool.Definition))
	require.NoError(t, err, "%s", openapi.YAML(tool.Definition))
	return def
}

// Each way of writing a parameter, as the request has it. The values of commas,
// pipes and the like are percent-encoded, which servers decode first.
func TestParameterStyles(t *testing.T) {
	const (
		str     = `{type: string}`
		array   = `{type: array, items: {type: string}}`
		object  = `{type: object, properties: {r: {type: integer}, g: {type: integer}}}`
		a       = `{"p":"blue"}`
		list    = `{"p":["blue","black"]}`
		color   = `{"p":{"r":100,"g":200}}`
		nothing = `{}`
	)
	server := httptest.NewServer(http.HandlerFunc(echo))
	defer server.Close()
	for _, tc := range []struct{ name, in, style, schema, input, want string }{
		{"path", "path", "", str, `{"p":"a/b"}`, "GET /x/a%2Fb"},
		{"path array", "path", "", array, list, "GET /x/blue%2Cblack"},
		{"path object", "path", "", object, color, "GET /x/g%2C200%2Cr%2C100"},
		{"path object exploded", "path", "explode: true", object, color, "GET /x/g%3D200%2Cr%3D100"},
		{"path text or array", "path", "", `{oneOf: [` + str + `, ` + array + `]}`, a, "GET /x/blue"},
		{"label", "path", "style: label", str, a, "GET /x/.blue"},
		{"label array", "path", "style: label, explode: true", array, list, "GET /x/.blue.black"},
		{"matrix", "path", "style: matrix", str, a, "GET /x/;p=blue"},
		{"matrix array", "path", "style: matrix", array, list, "GET /x/;p=blue%2Cblack"},
		{"path never a step", "path", "", str, `{"p":".."}`, "change the path"},

		{"query", "query", "", str, `{"p":"a&b=c d"}`, "GET /x?p=a%26b%3Dc%20d"},
		{"query absent", "query", "", str, nothing, "GET /x"},
		{"query number", "query", "", `{type: number}`, `{"p":1.5}`, "GET /x?p=1.5"},
		{"form array", "query", "", array, list, "GET /x?p=blue&p=black"},
		{"form array not exploded", "query", "explode: false", array, list, "GET /x?p=blue%2Cblack"},
		{"spaces", "query", "style: spaceDelimited", array, list, "GET /x?p=blue%20black"},
		{"pipes", "query", "style: pipeDelimited", array, list, "GET /x?p=blue%7Cblack"},
		{"pipes absent", "query", "style: pipeDelimited", array, nothing, "GET /x"},
		{"form object", "query", "", object, color, "GET /x?g=200&r=100"},
		{"form object in part", "query", "", object, `{"p":{"r":1}}`, "GET /x?r=1"},
		{"form object not exploded", "query", "explode: false", object, color, "GET /x?p=g%2C200%2Cr%2C100"},
		{"deep", "query", "style: deepObject, explode: true", object, color, "GET /x?p%5Bg%5D=200&p%5Br%5D=100"},
		{"deep in deep", "query", "style: deepObject", `{type: object, properties: {a: {type: object, properties: {b-c: {type: string}}}}}`,
			`{"p":{"a":{"b-c":"d"}}}`, "GET /x?p%5Ba%5D%5Bb-c%5D=d"},
		{"deep array", "query", "style: deepObject", array, list, "GET /x?p%5B%5D=blue&p%5B%5D=black"},
		{"deep or number", "query", "style: deepObject", `{anyOf: [{type: integer}, ` + object + `]}`, color, "GET /x?p%5Bg%5D=200&p%5Br%5D=100"},

		{"array or text", "query", "explode: false", `{type: [array, string]}`, list, "GET /x?p=blue%2Cblack"},
		{"array or text exploded", "query", "", `{type: [array, string]}`, a, "GET /x?p=blue"},

		{"header", "header", "", str, a, "GET /x\nX-A: blue"},
		{"header array", "header", "", array, list, "GET /x\nX-A: blue,black"},
		{"header object", "header", "explode: true", object, color, "GET /x\nX-A: g=200,r=100"},
		{"header absent", "header", "", str, nothing, "GET /x"},
		{"header of two lines", "header", "", str, `{"p":"a\nX-B: c"}`, "line break"},
		{"cookie", "cookie", "", str, `{"p":"a; b=c"}`, "GET /x\nCookie: p=a%3B%20b%3Dc"},
		{"cookie absent", "cookie", "", str, nothing, "GET /x"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path, name, input := "/x", "p", tc.input
			switch tc.in {
			case "path":
				path = "/x/{p}"
			case "header":
				name, input = "X-A", strings.Replace(input, `"p"`, `"X-A"`, 1)
			}
			extra := ""
			if tc.style != "" {
				extra = ", " + tc.style
			}
			spec := fmt.Sprintf("openapi: 3.1.0\npaths: {'%s': {get: {parameters: [{name: %s, in: %s, schema: %s%s}]}}}", path, name, tc.in, tc.schema, extra)
			got := send(t, server.URL, spec, input)
			if strings.HasPrefix(tc.want, "GET ") {
				require.Equal(t, tc.want, got)
				return
			}
			require.Contains(t, got, tc.want)
		})
	}
}

// Parameters with content instead of a schema are JSON text.
func TestParameterContent(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(echo))
	defer server.Close()
	got := send(t, server.URL, `{openapi: 3.0.3, paths: {/x: {get: {parameters: [
		{name: f, in: query, content: {application/json: {schema: {type: object}}}}]}}}}`, `{"f":{"a":[1]}}`)
	require.Equal(t, "GET /x?f=%7B%22a%22%3A%5B1%5D%7D", got)
}

// Names of several places may be the same, and may be anything.
func TestParameterNames(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(echo))
	defer server.Close()
	got := send(t, server.URL, `{openapi: 3.0.3, paths: {"/{id}/{a b}": {
		parameters: [{name: id, in: path, schema: {type: string}}, {name: id, in: query, schema: {type: string}}],
		put: {
			parameters: [{name: id, in: query, schema: {type: integer}}, {name: body, in: query}, {name: "i'd\"]}}", in: query}, {name: in, in: query}, {name: X-A, in: header}],
			requestBody: {content: {application/json: {}}}}}}}`,
		`{"id":"one","query_id":2,"a b":"three","body":4,"request_body":[5],"i'd\"]}}":6,"in":7,"X-A":8}`)
	require.Equal(t, "PUT /one/three?body=4&i%27d%22%5D%7D%7D=6&id=2&in=7\nContent-Type: application/json\nX-A: 8\n\n[5]", got)
}

// Each way of writing a body.
func TestBodies(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(echo))
	defer server.Close()
	for _, tc := range []struct{ name, content, input, want string }{
		{"json", `application/json: {schema: {type: object}}`, `{"body":{"a":"{{env.X}}"}}`, "Content-Type: application/json\n\n{\"a\":\"{{env.X}}\"}"},
		{"json of any kind", `application/json: {}`, `{"body":[null,1]}`, "Content-Type: application/json\n\n[null,1]"},
		{"the best of several", `{text/plain: {}, multipart/form-data: {}, application/json; charset=utf-8: {}}`, `{"body":1}`, "Content-Type: application/json\n\n1"},
		{"merge patch", `{application/json-patch+json: {}, application/merge-patch+json: {}}`, `{"body":{"a":null}}`, "Content-Type: application/merge-patch+json\n\n{\"a\":null}"},
		{"absent", `application/json: {}`, `{}`, ""},
		{"anything", `"*/*": {}`, `{"body":true}`, "Content-Type: application/json\n\ntrue"},
		{"text", `text/csv: {schema: {type: string}}`, `{"body":"a,b"}`, "Content-Type: text/csv\n\na,b"},
		{"xml", `application/xml: {schema: {type: object}}`, `{"body":"<a/>"}`, "Content-Type: application/xml\n\n<a/>"},
		{"form", `application/x-www-form-urlencoded: {schema: {required: [a], properties: {a: {type: string}, b: {type: array, items: {type: integer}}, c: {type: string}}}}`,
			`{"body":{"a":"x y","b":[1,2]}}`, "Content-Type: application/x-www-form-urlencoded\n\na=x%20y&b=1&b=2"},
		{"form in other styles", `application/x-www-form-urlencoded: {schema: {properties: {a: {type: array}, b: {type: array}, c: {type: object}}},
			encoding: {a: {style: deepObject}, b: {style: form, explode: false}, c: {contentType: application/json}}}`,
			`{"body":{"a":[1,2],"b":[1,2],"c":{"d":1}}}`, "Content-Type: application/x-www-form-urlencoded\n\na%5B%5D=1&a%5B%5D=2&b=1%2C2&c=%7B%22d%22%3A1%7D"},
		{"form of parts", `application/x-www-form-urlencoded: {schema: {allOf: [{properties: {a: {type: string}}, required: [a]}, {oneOf: [{properties: {b: {type: string}}, required: [b]}, {properties: {c: {type: string}}}]}]}}`,
			`{"body":{"a":"1","c":"2"}}`, "Content-Type: application/x-www-form-urlencoded\n\na=1&c=2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			content := tc.content
			if content[0] != '{' {
				content = "{" + content + "}"
			}
			got := send(t, server.URL, "{openapi: 3.1.0, paths: {/x: {post: {requestBody: {content: "+content+"}}}}}", tc.input)
			got = strings.TrimPrefix(strings.TrimPrefix(got, "POST /x"), "\n")
			require.Equal(t, tc.want, got)
		})
	}
}

// Fields of a multipart form that are objects are parts in JSON.
func TestMultipart(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseMultipartForm(1 << 20)
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, r.MultipartForm.Value)
	}))
	defer server.Close()
	got := send(t, server.URL, `{openapi: 3.1.0, paths: {/x: {post: {requestBody: {content: {multipart/form-data: {schema: {
		properties: {a: {type: string}, b: {type: object}, c: {type: array, items: {type: string}}, id: {readOnly: true}}}}}}}}}}`,
		`{"body":{"a":"x","b":{"d":1},"c":["1","2"]}}`)
	require.Equal(t, `map[a:[x] b:[{"d":1}] c:[1 2]]`, got)
}

// Each security scheme, as the request has it.
func TestSecurity(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(echo))
	defer server.Close()
	const schemes = `
		basic: {type: http, scheme: Basic}, bearerAuth: {type: http, scheme: bearer}, shopKey: {type: apiKey, in: header, name: X-A}, other: {type: apiKey, in: header, name: x-b},
		inQuery: {type: apiKey, in: query, name: key}, second: {type: apiKey, in: query, name: key2}, session: {type: apiKey, in: cookie, name: sid},
		code: {type: oauth2, flows: {authorizationCode: {}}}, oidc: {type: openIdConnect}, tls: {type: mutualTLS}`
	for _, tc := range []struct{ name, security, want string }{
		{"none", `[]`, "GET /x"},
		{"basic", `[{basic: []}]`, "GET /x\nAuthorization: Basic bXktYmFzaWNfdXNlcm5hbWU6bXktYmFzaWNfcGFzc3dvcmQ="},
		{"bearer", `[{bearerAuth: []}]`, "GET /x\nAuthorization: Bearer my-bearer_auth_token"},
		{"header", `[{shopKey: []}]`, "GET /x\nX-A: my-shop_key"},
		{"query", `[{inQuery: []}]`, "GET /x?key=my-in_query_key"},
		{"cookie", `[{session: []}]`, "GET /x\nCookie: sid=my-session_key"},
		{"oauth2", `[{code: [a]}]`, "GET /x\nAuthorization: Bearer my-code_token"},
		{"openid", `[{oidc: []}]`, "GET /x\nAuthorization: Bearer my-oidc_token"},
		{"the first that can be", `[{tls: []}, {bearerAuth: []}, {basic: []}]`, "GET /x\nAuthorization: Bearer my-bearer_auth_token"},
		{"rather with than without", `[{}, {bearerAuth: []}]`, "GET /x\nAuthorization: Bearer my-bearer_auth_token"},
		{"without where with can't be", `[{tls: []}, {}]`, "GET /x"},
		{"two headers", `[{shopKey: [], other: []}]`, "GET /x\nX-A: my-shop_key\nX-B: my-other_key"},
		{"basic and key", `[{basic: [], shopKey: []}]`, "GET /x\nAuthorization: Basic bXktYmFzaWNfdXNlcm5hbWU6bXktYmFzaWNfcGFzc3dvcmQ=\nX-A: my-shop_key"},
		{"bearer after key", `[{Z: [], inQuery: []}, {inQuery: [], second: [], oidc: []}]`, "GET /x?key=my-in_query_key&key2=my-second_key\nAuthorization: Bearer my-oidc_token"},
		{"two of one header", `[{basic: [], bearerAuth: []}, {session: []}]`, "GET /x\nCookie: sid=my-session_key"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := send(t, server.URL, "{openapi: 3.1.0, components: {securitySchemes: {"+schemes+"}}, paths: {/x: {get: {security: "+tc.security+"}}}}", `{}`)
			if before, query, ok := strings.Cut(got, "?key2=my-second_key&"); ok { // authConfig's comes last
				got = before + "?" + strings.Replace(query, "key=my-in_query_key", "key=my-in_query_key&key2=my-second_key", 1)
			}
			require.Equal(t, tc.want, got)
		})
	}
}

// What a description says is text, also where it looks like an expression.
func TestTextIsNoExpression(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(echo))
	defer server.Close()
	got := send(t, server.URL, `{openapi: 3.1.0, paths: {"/a{{env.HOME}}/{b}": {post: {
		parameters: [{name: "{{env.HOME}}", in: query}, {name: b, in: path}],
		requestBody: {content: {"text/{{env.HOME}}": {}}}}}}}`, `{"b":"c","{{env.HOME}}":1,"body":"x","env.HOME":"d"}`)
	require.Equal(t, "POST /a%7Bd%7D/c?%7B%7Benv.HOME%7D%7D=1\nContent-Type: text/{{env.HOME}}\n\nx", got)
}

// Objects and arrays of objects in a form get bracketed names.
func TestNestedForm(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(echo))
	defer server.Close()
	got := send(t, server.URL, `{openapi: 3.0.0, paths: {/x: {post: {requestBody: {content: {application/x-www-form-urlencoded: {
		schema: {properties: {card: {type: object}, items: {type: array, items: {type: object}}}}, encoding: {card: {style: deepObject}, items: {style: deepObject}}}}}}}}}`,
		`{"body":{"card":{"number":"4","exp":{"m":1}},"items":[{"price":"p"},{"price":"r"}]}}`)
	require.Equal(t, "POST /x\nContent-Type: application/x-www-form-urlencoded\n\n"+
		"card%5Bexp%5D%5Bm%5D=1&card%5Bnumber%5D=4&items%5B0%5D%5Bprice%5D=p&items%5B1%5D%5Bprice%5D=r", got)
}

// Files go with their names, types and bytes.
func TestFileParts(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseMultipartForm(1 << 20)
		w.Header().Set("Content-Type", "text/plain")
		for _, name := range []string{"f", "g"} {
			for _, header := range r.MultipartForm.File[name] {
				file, _ := header.Open()
				data, _ := io.ReadAll(file)
				fmt.Fprintf(w, "%s %s %s %s\n", name, header.Filename, header.Header.Get("Content-Type"), data)
			}
		}
	}))
	defer server.Close()
	got := send(t, server.URL, `{openapi: 3.0.0, paths: {/x: {post: {requestBody: {content: {multipart/form-data: {schema: {properties: {
		f: {type: string, format: binary}, g: {type: array, items: {type: string, format: binary}}}}}}}}}}}`,
		`{"body":{"f":{"filename":"a.txt","contentType":"text/plain","base64":"aGk="},"g":[{"filename":"b.png","dataUrl":"data:image/png;base64,aGk="}]}}`)
	require.Equal(t, "f a.txt text/plain hi\ng b.png image/png hi\n", got)
}
