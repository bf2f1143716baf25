package openapi_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/internal/document"
	"github.com/almyty-inc/toolrun/internal/openapi"
	"github.com/almyty-inc/toolrun/internal/strictjson"
	"github.com/almyty-inc/toolrun/runner"
)

func quote(t *testing.T, s string) string {
	t.Helper()
	written, err := strictjson.Marshal(s)
	require.NoError(t, err)
	return string(written)
}

// FuzzImport takes any description: nothing panics, every operation is accounted
// for, every tool's file is read as it was meant and has the shape of a
// definition, and no tool reads an environment variable that isn't announced.
func FuzzImport(f *testing.F) {
	spec, err := os.ReadFile("../../testdata/openapi/petstore.yaml")
	require.NoError(f, err)
	f.Add(string(spec))
	for _, seed := range []string{
		`{"openapi":"3.0.0","paths":{"/{a}{{env.B}}#c":{"get":{"security":[{"{{env.B}}":[]}],"parameters":[{"name":"{{env.B}}","in":"query","schema":{"nullable":true,"$ref":"#/paths"}}]}}},
			"components":{"securitySchemes":{"{{env.B}}":{"type":"apiKey","in":"cookie","name":"b"}}}}`,
		`{swagger: "2.0", host: a.b, paths: {/x: {parameters: [{name: a, in: formData, type: file}], post: {consumes: [multipart/form-data]}}}}`,
		`{openapi: 3.1.0, paths: {"/x{a}": {post: {parameters: [{name: a, in: path, style: matrix, schema: {type: [array, string]}}, {name: b, in: query, style: deepObject, schema: {properties: {c: {}, d: {properties: {e: {}}}}}},
			{name: c, in: cookie}, {name: d, in: header, explode: true, schema: {properties: {"\"]}}": {}}}}]}}}}`,
		`{openapi: 3.1.0, paths: {/x: {post: {requestBody: {content: {multipart/form-data: {schema: {oneOf: [{properties: {a: {format: binary}}}]}, encoding: {a: {contentType: image/png}}}}}}}}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		if len(spec) > 16<<10 {
			t.Skip("small is fast, and the limits have their own test")
		}
		result, err := openapi.Import(t.Context(), []byte(spec), openapi.Options{Server: "https://api.example.com"})
		if err != nil {
			require.NotContains(t, err.Error(), "runtime error")
			return
		}
		again, err := openapi.Import(t.Context(), []byte(spec), openapi.Options{Server: "https://api.example.com"})
		require.NoError(t, err)
		require.Equal(t, result, again, "the order of a map shows")
		secrets := map[string]bool{}
		for _, s := range result.Secrets {
			secrets[s.Name] = true
		}
		names := map[string]bool{}
		for _, tool := range result.Tools {
			lower := strings.ToLower(tool.Name)
			require.False(t, names[lower], "two tools are named %s", tool.Name)
			names[lower] = true
			checkTool(t, tool, secrets)
		}
		require.LessOrEqual(t, len(result.Tools)+result.Skipped, result.Operations)
		require.GreaterOrEqual(t, len(result.Tools)+result.Skipped+len(result.LeftOut), result.Operations)
	})
}

func checkTool(t *testing.T, tool openapi.Tool, secrets map[string]bool) {
	t.Helper()
	written := openapi.YAML(tool.Definition)
	doc, err := document.Parse("tool.yaml", written)
	require.NoError(t, err, "%s", written)
	require.JSONEq(t, string(tool.Definition), string(doc.JSON), "%s", written)
	def, err := runner.Parse("tool.yaml", written)
	if err != nil {
		return // listed by the command; its cases are few and have tests
	}
	var cfg httptool.Config
	require.NoError(t, strictjson.Unmarshal(def.ExecutionConfig, &cfg))
	compiled, faults := httptool.Compile(cfg, def.AuthConfig, def.Parameters)
	if faults != nil {
		return
	}
	env, credentials := compiled.Names()
	require.Empty(t, credentials)
	for _, name := range env {
		require.True(t, secrets[name], "%s is read and not announced: %s", name, written)
	}
}
