package service_test

import (
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/openapi"
	"github.com/almyty-inc/toolrun/runner"
)

// described is what GET /openapi.json says.
type described struct {
	root     map[string]any
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema
}

const descriptionURL = "https://toolrun.example/openapi.json"

// plainHeaders are those of HTTP itself, and those that any answer may have.
var plainHeaders = []string{
	"Content-Type", "Content-Length", "Date", "Connection", "Vary", "Accept-Encoding", "Cache-Control", "X-Content-Type-Options", "X-Accel-Buffering",
	"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset",
}

func readDescription(t testing.TB, text string) *described {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	require.NoError(t, err)
	d := &described{root: value.(map[string]any), compiler: jsonschema.NewCompiler(), schemas: make(map[string]*jsonschema.Schema)}
	d.compiler.AssertFormat()
	require.NoError(t, d.compiler.AddResource(descriptionURL, value))
	return d
}

// at follows pointers into the document, and a $ref at each end. It returns the pointer
// of what it finds.
func (d *described) at(steps ...string) (string, map[string]any) {
	pointer, value := "#", any(d.root)
	for _, step := range steps {
		object, _ := value.(map[string]any)
		if value = object[step]; value == nil {
			return "", nil
		}
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(step)
		if ref, ok := value.(map[string]any)["$ref"].(string); ok {
			return d.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
	}
	object, _ := value.(map[string]any)
	return pointer, object
}

// check says how an answer differs from what is described.
func (d *described) check(method, route string, response *http.Response, body string) error {
	method, status := strings.ToLower(method), strconv.Itoa(response.StatusCode)
	pointer, answer := d.at("paths", route, method, "responses", status)
	if answer == nil && response.StatusCode == http.StatusMethodNotAllowed {
		pointer, answer = d.at("components", "responses", "Other")
	}
	if answer == nil {
		return fmt.Errorf("status %s isn't described", status)
	}
	described := slices.Clone(plainHeaders)
	headers, _ := answer["headers"].(map[string]any)
	for name := range headers {
		described = append(described, http.CanonicalHeaderKey(name))
	}
	for name := range response.Header {
		if !slices.Contains(described, name) {
			return fmt.Errorf("header %s isn't described", name)
		}
	}
	if method == "head" {
		return nil
	}
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	content, _ := answer["content"].(map[string]any)
	if content[media] == nil {
		return fmt.Errorf("media type %s isn't described", media)
	}
	if media != "application/json" {
		return nil
	}
	at := descriptionURL + pointer + "/content/application~1json/schema"
	if d.schemas[at] == nil {
		if d.schemas[at], err = d.compiler.Compile(at); err != nil {
			return err
		}
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err != nil {
		return err
	}
	return d.schemas[at].Validate(value)
}

// The description has the routes that there are, and no other.
func TestDescriptionMatchesRoutes(t *testing.T) {
	c := newContract(t)
	var routes, described []string
	require.NoError(t, chi.Walk(c.server.Handler().(chi.Routes), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		routes = append(routes, method+" "+route)
		return nil
	}))
	ids := make(map[string]bool)
	for path, item := range c.described.root["paths"].(map[string]any) {
		for method, operation := range item.(map[string]any) {
			described = append(described, strings.ToUpper(method)+" "+path)
			id := operation.(map[string]any)["operationId"].(string)
			require.False(t, ids[id], "the operationId %s stands twice", id)
			ids[id] = true
			c.requireParameters(t, path, operation.(map[string]any))
		}
	}
	require.ElementsMatch(t, routes, described)
	for _, e := range endpoints { // the table of the contract is whole, too
		require.Contains(t, routes, e.method+" "+e.path)
	}
	known := make(map[string]bool)
	for _, route := range routes {
		method, path, _ := strings.Cut(strings.Replace(route, "/organizations/{organization}", "", 1), " ")
		e, ok := served(method, path)
		require.True(t, ok, route)
		known[e.method+e.path] = true
	}
	require.Len(t, known, len(endpoints))
}

// requireParameters requires that an operation's parameters and schemas are there, and
// that each part of its path has one.
func (c *contract) requireParameters(t *testing.T, path string, operation map[string]any) {
	t.Helper()
	names := make(map[string]bool)
	list, _ := operation["parameters"].([]any)
	for _, parameter := range list {
		ref := parameter.(map[string]any)["$ref"].(string)
		_, found := c.described.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		require.NotNil(t, found, ref)
		if found["in"] == "path" {
			names[found["name"].(string)] = true
		}
	}
	parts := strings.Count(path, "{")
	require.Len(t, names, parts, path)
	for name := range names {
		require.Contains(t, path, "{"+name+"}")
	}
}

// Every schema compiles, used by a test or not.
func TestDescribedSchemasCompile(t *testing.T) {
	c := newContract(t)
	_, schemas := c.described.at("components", "schemas")
	require.NotEmpty(t, schemas)
	for name := range schemas {
		_, err := c.described.compiler.Compile(descriptionURL + "#/components/schemas/" + name)
		require.NoError(t, err, name)
	}
}

// The importer takes its own service's description.
func TestDescriptionImports(t *testing.T) {
	c := newContract(t)
	_, text := c.ask(t, "GET", "/openapi.json", nil, "")
	result, err := openapi.Import(t.Context(), []byte(text), openapi.Options{Server: c.url})
	require.NoError(t, err)
	require.Empty(t, result.LeftOut)
	require.Empty(t, result.Remarks)
	require.Len(t, result.Tools, result.Operations)
	for _, tool := range result.Tools {
		_, err := runner.Parse(tool.Name+".json", tool.Definition)
		require.NoError(t, err, tool.Name)
	}
}
