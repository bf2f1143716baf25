package openapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/openapi"
	"github.com/almyty-inc/toolrun/internal/schema"
)

// body is the schema of the body of a tool, and its $defs.
func body(t *testing.T, tool openapi.Tool) (body, defs json.RawMessage) {
	t.Helper()
	var p struct {
		Properties struct{ Body json.RawMessage }
		Defs       json.RawMessage `json:"$defs"`
	}
	def := parse(t, tool)
	require.NoError(t, json.Unmarshal(def.Parameters, &p))
	_, faults := schema.Compile(def.Parameters)
	require.Empty(t, faults)
	return p.Properties.Body, p.Defs
}

// Each schema of OpenAPI, as JSON Schema 2020-12 has it. What is left out without a
// word holds for no request, or checks nothing.
func TestSchemas(t *testing.T) {
	for _, tc := range []struct{ from, want, remark string }{
		{from: `{"type":"string","nullable":true}`, want: `{"type":["string","null"]}`},
		{from: `{"type":"string","nullable":true,"enum":["a"]}`, want: `{"type":["string","null"],"enum":["a",null]}`},
		{from: `{"allOf":[{"type":"string"}],"nullable":true,"description":"d"}`, want: `{"description":"d","anyOf":[{"allOf":[{"type":"string"}]},{"type":"null"}]}`},
		{from: `{"nullable":true}`, want: `{}`},
		{from: `{"x-nullable":true,"type":"integer"}`, want: `{"type":["integer","null"]}`},
		{from: `{"type":["string","null"],"const":"a"}`, want: `{"type":["string","null"],"const":"a"}`},
		{from: `{"minimum":1,"exclusiveMinimum":true,"maximum":9,"exclusiveMaximum":false}`, want: `{"exclusiveMinimum":1,"maximum":9}`},
		{from: `{"exclusiveMinimum":1,"exclusiveMaximum":2.5}`, want: `{"exclusiveMinimum":1,"exclusiveMaximum":2.5}`},
		{from: `{"example":"a","default":"b"}`, want: `{"examples":["a"],"description":"Default: \"b\"."}`},
		{from: `{"examples":[1,2],"deprecated":true,"title":"t"}`, want: `{"examples":[1,2],"deprecated":true,"title":"t"}`},
		{from: `{"xml":{},"externalDocs":{},"discriminator":{"propertyName":"a"},"x-a":1,"$id":"http://a/","$schema":"b","$comment":"c"}`, want: `{}`},
		{from: `{"properties":{"a":{"readOnly":true},"b":{"writeOnly":true}},"required":["a","b"]}`, want: `{"properties":{"b":{}},"required":["b"]}`},
		{from: `{"properties":{"a":{"readOnly":true}},"required":["a"]}`, want: `{"properties":{}}`},
		{from: `{"properties":{"default":{"type":"string"},"nullable":true,"$ref":{}}}`, want: `{"properties":{"default":{"type":"string"},"nullable":true,"$ref":{}}}`},
		{from: `{"prefixItems":[{}],"items":false,"contains":{"type":"null"},"if":{"not":{}},"then":true,"patternProperties":{"^a":{}}}`,
			want: `{"prefixItems":[{}],"items":false,"contains":{"type":"null"},"if":{"not":{}},"then":true,"patternProperties":{"^a":{}}}`},
		{from: `{"enum":["a",null,1.50]}`, want: `{"enum":["a",null,1.5]}`},
		{from: `true`, want: `{}`},
		{from: `false`, want: `{"not":{}}`},

		{from: `{"type":"any"}`, want: `{}`, remark: "/type is no type of JSON Schema and is left out"},
		{from: `{"required":true}`, want: `{}`, remark: "/required has a value that this keyword can't have and is left out"},
		{from: `{"pattern":"^(?!a)b$"}`, want: `{}`, remark: "/pattern is a regular expression with what RE2 doesn't have, such as lookaround, and is left out"},
		{from: `{"patternProperties":{"\\Z":{}}}`, want: `{}`, remark: `/patternProperties/\Z is a regular expression with what RE2 doesn't have, such as lookaround, and is left out`},
		{from: `{"minLength":-1}`, want: `{}`, remark: "/minLength has a value that this keyword can't have and is left out"},
		{from: `{"multipleOf":0}`, want: `{}`, remark: "/multipleOf has a value that this keyword can't have and is left out"},
		{from: `{"enum":[]}`, want: `{}`, remark: "/enum has a value that this keyword can't have and is left out"},
		{from: `{"items":[{"type":"string"}]}`, want: `{"items":{}}`, remark: "/items is no schema: any value is taken"},
		{from: `{"properties":{"a":5}}`, want: `{"properties":{"a":{}}}`, remark: "/properties/a is no schema: any value is taken"},
		{from: `{"$dynamicRef":"#a"}`, want: `{}`, remark: "/$dynamicRef is not supported and is left out: any value is taken there"},
		{from: `{"$ref":"a.json#/b"}`, want: `{}`, remark: " refers to another document, which is never read: put what it refers to into this one (a.json#/b): any value is taken"},
		{from: `{"$ref":"#/components/schemas/b"}`, want: `{}`, remark: " refers to #/components/schemas/b, which isn't there: any value is taken"},
	} {
		t.Run(tc.from, func(t *testing.T) {
			result := open(t, `{"openapi":"3.1.0","paths":{"/x":{"post":{"requestBody":{"content":{"application/json":{"schema":`+tc.from+`}}}}}}}`, example)
			got, _ := body(t, result.Tools[0])
			require.JSONEq(t, tc.want, string(got))
			if tc.remark == "" {
				require.Empty(t, result.Remarks)
				return
			}
			require.Len(t, result.Remarks, 1)
			place := strings.TrimPrefix(result.Remarks[0].Place, "#/paths/~1x/post/requestBody/content/application~1json/schema")
			_, text, _ := strings.Cut(result.Remarks[0].Text, `" `)
			require.Equal(t, tc.remark, place+" "+text)
		})
	}
}

// References lead to $defs, of which a tool has those that it reaches.
func TestReferences(t *testing.T) {
	result := open(t, `{"openapi":"3.0.0","components":{"schemas":{
			"Node":{"properties":{"next":{"$ref":"#/components/schemas/Node"},"by":{"$ref":"#/paths/~1x/post/requestBody/content/application~1json/schema/properties/a%20b"}}},
			"Alias":{"$ref":"#/components/schemas/Node","nullable":true},"Un used":{}},
			"parameters":{"Node":{"name":"n","in":"query","schema":{"$ref":"#/components/schemas/Alias"}}}},
		"paths":{"/x":{"post":{"requestBody":{"content":{"application/json":{"schema":{"properties":{"a b":{"type":"string"},"alias":{"$ref":"#/components/schemas/Alias"}}}}}}}}}}`, example)
	require.Empty(t, result.Remarks)
	got, defs := body(t, result.Tools[0])
	require.JSONEq(t, `{"properties":{"a b":{"type":"string"},"alias":{"$ref":"#/$defs/Alias"}}}`, string(got))
	require.JSONEq(t, `{"Alias":{"anyOf":[{"$ref":"#/$defs/Node"},{"type":"null"}]},
		"Node":{"properties":{"next":{"$ref":"#/$defs/Node"},"by":{"$ref":"#/$defs/a_b"}}},"a_b":{"type":"string"}}`, string(defs))
}

// Two components of the same name don't meet in $defs.
func TestReferencesOfOneName(t *testing.T) {
	result := open(t, `{openapi: 3.0.0, components: {schemas: {A: {type: string}}, "x-more": {A: {type: integer}}}, paths: {/x: {post: {
		requestBody: {content: {application/json: {schema: {properties: {a: {$ref: "#/components/schemas/A"}, b: {$ref: "#/components/x-more/A"}}}}}}}}}}`, example)
	got, defs := body(t, result.Tools[0])
	require.JSONEq(t, `{"properties":{"a":{"$ref":"#/$defs/A"},"b":{"$ref":"#/$defs/A_2"}}}`, string(got))
	require.JSONEq(t, `{"A":{"type":"string"},"A_2":{"type":"integer"}}`, string(defs))
}

// A schema that is too large for a tool is cut where it is furthest from the
// parameters; one that can't be cut leaves its operation out.
func TestSchemaSize(t *testing.T) {
	fields := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"field%d":{"type":"string","maxLength":100}`, i)
		}
		return b.String()
	}
	spec := func(inline, first, second int) string {
		return `{"openapi":"3.0.0","components":{"schemas":{
			"A":{"type":"object","properties":{"b":{"$ref":"#/components/schemas/B"}` + fields(first) + `}},
			"B":{"type":"object","properties":{"a":{"$ref":"#/components/schemas/A"}` + fields(second) + `}}}},
			"paths":{"/x":{"post":{"requestBody":{"content":{"application/json":{"schema":{"properties":{"a":{"$ref":"#/components/schemas/A"}` + fields(inline) + `}}}}}}}}}`
	}
	result := open(t, spec(10, 2000, 2000), example)
	require.Empty(t, result.Remarks)

	result = open(t, spec(10, 2000, 3000), example)
	require.Equal(t, []openapi.Remark{{Operation: "POST /x", Place: "#/paths/~1x/post",
		Text: "the parameters' schema is too large for a tool: what is behind more references in a row than 1 is left open"}}, result.Remarks)
	_, defs := body(t, result.Tools[0])
	var kept map[string]struct{ Properties map[string]any }
	require.NoError(t, json.Unmarshal(defs, &kept))
	require.Len(t, kept["A"].Properties, 2001)
	require.Contains(t, kept, "B")
	require.Empty(t, kept["B"].Properties)

	result = open(t, spec(6000, 1, 1), example)
	require.Len(t, result.LeftOut, 1)
	require.Contains(t, result.LeftOut[0].Text, "which is more than a tool may have (250 KiB, 4900)")
}
