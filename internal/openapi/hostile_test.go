package openapi_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/openapi"
)

// Descriptions that refer to themselves, in every place where something is
// followed.
func TestCircles(t *testing.T) {
	for _, operation := range []string{
		`{parameters: [{name: a, in: query, schema: {$ref: "#/components/schemas/Self"}}]}`,
		`{parameters: [{name: a, in: query, schema: {$ref: "#/components/schemas/List"}}]}`,
		`{parameters: [{name: a, in: query, schema: {$ref: "#/components/schemas/Of"}}]}`,
		`{parameters: [{name: a, in: query, style: deepObject, schema: {$ref: "#/components/schemas/Tree"}}]}`,
		`{parameters: [{name: a, in: header, schema: {$ref: "#/components/schemas/Tree"}}]}`,
		`{requestBody: {content: {multipart/form-data: {schema: {properties: {a: {$ref: "#/components/schemas/List"}}}}}}}`,
		`{requestBody: {content: {multipart/form-data: {schema: {$ref: "#/components/schemas/Of"}}}}}`,
		`{requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Self"}}}}}`,
		`{requestBody: {content: {application/json: {schema: {$ref: "#"}}}}}`,
		`{requestBody: {content: {application/json: {example: {$ref: "#"}, schema: {$ref: "#/paths/~1x/post/requestBody/content/application~1json"}}}}}`,
		`{responses: {"200": {content: {application/json: {schema: {$ref: "#/components/schemas/Self"}}}}}}`,
	} {
		result := open(t, `{openapi: 3.1.0, components: {schemas: {
			Self: {$ref: "#/components/schemas/Other"}, Other: {$ref: "#/components/schemas/Self"},
			List: {type: array, items: {$ref: "#/components/schemas/List"}}, Of: {allOf: [{$ref: "#/components/schemas/Of"}]},
			Tree: {type: object, properties: {left: {$ref: "#/components/schemas/Tree"}, name: {type: string}}}}},
			paths: {/x: {post: `+operation+`}}}`, example)
		require.Equal(t, 1, len(result.Tools)+len(result.LeftOut), operation)
	}
}

// Small descriptions that would grow without end.
func TestBombs(t *testing.T) {
	t.Run("aliases", func(t *testing.T) {
		var b strings.Builder
		b.WriteString("openapi: 3.0.0\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
		for i := range 30 {
			fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
		}
		_, err := openapi.Import(t.Context(), []byte(b.String()), openapi.Options{})
		require.ErrorContains(t, err, "aliases multiply its size")
	})
	t.Run("an alias of itself", func(t *testing.T) {
		_, err := openapi.Import(t.Context(), []byte("openapi: 3.0.0\npaths: &a {b: *a}"), openapi.Options{})
		require.Error(t, err)
	})
	t.Run("depth", func(t *testing.T) {
		for _, spec := range []string{
			"{\"openapi\":" + strings.Repeat("[", 100_000),
			"openapi: " + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000),
			`{"openapi":"3.0.0","paths":` + strings.Repeat(`{"a":`, 1_001) + "1" + strings.Repeat("}", 1_002),
		} {
			_, err := openapi.Import(t.Context(), []byte(spec), openapi.Options{})
			require.Error(t, err)
		}
	})
	t.Run("a schema of depth", func(t *testing.T) {
		deep := strings.Repeat(`{"items":`, 900) + "{}" + strings.Repeat("}", 900)
		result := open(t, `{"openapi":"3.0.0","paths":{"/x":{"post":{"requestBody":{"content":{"application/json":{"schema":`+deep+`}}}}}}}`, example)
		require.Len(t, result.Remarks, 1)
		require.Equal(t, `"items" is nested too deeply: any value is taken`, result.Remarks[0].Text)
		body(t, result.Tools[0]) // compiles
	})
	t.Run("branches of branches", func(t *testing.T) {
		var schemas []string
		for i := range 60 {
			next := fmt.Sprintf(`{"$ref":"#/components/schemas/S%d"}`, i+1)
			schemas = append(schemas, fmt.Sprintf(`"S%d":{"anyOf":[%s,%s,%s]}`, i, next, next, next))
		}
		result := open(t, `{"openapi":"3.0.0","components":{"schemas":{`+strings.Join(schemas, ",")+`,"S60":{}}},"paths":{"/x":{"post":{
			"parameters":[{"name":"a","in":"query","schema":{"$ref":"#/components/schemas/S0"}}],
			"requestBody":{"content":{"application/x-www-form-urlencoded":{"schema":{"$ref":"#/components/schemas/S0"}}}}}}}}`, example)
		require.Len(t, result.Tools, 1)
	})
	t.Run("size", func(t *testing.T) {
		_, err := openapi.Import(t.Context(), make([]byte, openapi.MaxBytes+1), openapi.Options{})
		require.ErrorContains(t, err, "more than 64 MiB")
	})
	t.Run("an operation's path", func(t *testing.T) {
		result := open(t, `{"openapi":"3.0.0","paths":{"/`+strings.Repeat("{a}", 2000)+`":{"get":{}}}}`, example)
		require.Equal(t, "its path has more than 4096 bytes", result.LeftOut[0].Text)
	})
	t.Run("a context that has ended", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("too late"))
		_, err := openapi.Import(ctx, []byte("{openapi: 3.0.0, paths: {/: {get: {}}}}"), example)
		require.EqualError(t, err, "too late")
	})
	t.Run("operations", func(t *testing.T) {
		var b strings.Builder
		b.WriteString(`{"openapi":"3.0.0","paths":{"/":{}`)
		for i := range openapi.MaxOperations + 1 {
			fmt.Fprintf(&b, `,"/%d":{"get":{"operationId":"a"}}`, i)
		}
		b.WriteString("}}")
		start := time.Now()
		_, err := openapi.Import(t.Context(), []byte(b.String()), example)
		require.ErrorContains(t, err, "more than 20000 operations")
		require.Less(t, time.Since(start), time.Minute)
	})
}

// Merge keys and aliases are what many descriptions are written with.
func TestYAML(t *testing.T) {
	result := open(t, `
openapi: 3.0.0
x-common: &common {in: query, schema: &text {type: string}}
paths:
  /x:
    get:
      operationId: yes
      parameters:
        - {<<: *common, name: a}
        - {<<: [{name: b, schema: {type: integer, maximum: 0x10, minimum: -1_000, multipleOf: 1e0}}, *common]}
        - {name: c, in: query, schema: *text, example: 2024-01-31}
        - {name: d, in: query, schema: {enum: [on, true, ~, .5, +3, .inf, 017, 0o17, -0x1f, 123456789012345678901234567890]}}
`, example)
	def := parse(t, result.Tools[0])
	require.Equal(t, "yes", def.Name)
	require.JSONEq(t, `{"type":"object","additionalProperties":false,"properties":{"a":{"type":"string"},
		"b":{"type":"integer","maximum":16,"minimum":-1000,"multipleOf":1},"c":{"type":"string","examples":["2024-01-31"]},
		"d":{"enum":["on",true,null,0.5,3,".inf",17,15,-31,123456789012345678901234567890]}}}`, string(def.Parameters))
}

// Texts of any kind come back as they are from the YAML that is written.
func TestWrittenYAML(t *testing.T) {
	for _, text := range []string{
		"a", "", " a", "a ", "a: b", "a #b", "- a", "? a", "#a", "'a'", `"a"`, `a\b`, "true", "No", "null", "~", "1", "1.5", "0x1", "1e3", "2024-01-31", "=", "<<", "&a", "*a", "!a", "|", ">", "%a", "@a", "`a",
		"a\nb", "a\n\nb", "a\n", "\na", " a\nb", "a\n  b\nc", "a\n \nb", "a\n\tb", "a\tb", "a\r\nb", "#a\nb", "- a\n- b", "a:\n  b", "---\na", "...\na", "a\n---\nb", "a\n...", "%a\nb",
		"é", "☃\n☃", "\u00a0", "\u0085", "\u2028", "\ufeff", "\x00", "\x7f", "\U0001f600", "\U000e0001", "{{parameters.a}}", "{a}", "[a]", "a, b", "a]", strings.Repeat("long ", 100), "-", "a-", "y", "on",
	} {
		source := fmt.Sprintf(`{"name":"a","type":"http","description":%s,"metadata":{%[1]s:%[1]s,"z":[%[1]s,[%[1]s,{"b":%[1]s}]]},"executionConfig":{"url":"https://a.example"}}`, quote(t, text))
		written := openapi.YAML([]byte(source))
		def := parse(t, openapi.Tool{Name: "a", Definition: []byte(source)})
		require.Equal(t, text, def.Description, "%s", written)
		require.JSONEq(t, fmt.Sprintf(`{%s:%[1]s,"z":[%[1]s,[%[1]s,{"b":%[1]s}]]}`, quote(t, text)), string(def.Metadata), "%s", written)
	}
}
