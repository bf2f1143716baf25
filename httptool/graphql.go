package httptool

import (
	"encoding/json"
	"strings"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// GraphQLConfig is the "graphql" part of a tool's definition: a POST with the
// query and its variables. The result is the response's data; a response with
// errors is a failure, also where it has data besides.
type GraphQLConfig struct {
	// Endpoint is a URL as in [Config].
	Endpoint string         `json:"endpoint"`
	Headers  map[string]any `json:"headers,omitempty"`
	// Query is the GraphQL document. It is literal: what varies goes into
	// Variables, where it is a value and never syntax.
	Query string `json:"query"`
	// Variables may hold expressions; a variable whose value is absent is left
	// out.
	Variables     map[string]any `json:"variables,omitempty"`
	OperationName string         `json:"operationName,omitempty"`
	// ResponseMapping's paths start at the response's data.
	ResponseMapping *ResponseMapping `json:"responseMapping,omitempty"`
}

// CompileGraphQL is [Compile] for a GraphQL definition. A run is one request,
// which may take until its context's deadline, or [DefaultTimeout] where there
// is none.
func CompileGraphQL(cfg GraphQLConfig, auth *Auth, parameterSchema []byte) (*Tool, []errclass.FieldError) {
	c := newCompiler(parameterSchema)
	if strings.TrimSpace(cfg.Query) == "" {
		c.fault("/query", "is required")
	}
	if strings.Contains(cfg.Query, "{{") && !c.looksLiteral(cfg.Query) {
		c.fault("/query", "must not hold expressions: put the value in variables and name it with $ in the query")
	}
	t := &Tool{timeout: DefaultTimeout, maxBytes: DefaultMaxResponseBytes, graphql: true, mapping: c.mapping(cfg.ResponseMapping)}
	t.request = &requestTemplate{
		method:  "POST",
		url:     c.url("/endpoint", cfg.Endpoint),
		headers: c.headers(cfg.Headers),
		body:    c.graphqlBody(cfg),
		auth:    c.auth(auth),
	}
	c.checkAuthTarget(t.request)
	return c.finish(t)
}

// looksLiteral reports a {{ that is GraphQL's own syntax, two braces in a row.
func (c *compiler) looksLiteral(query string) bool {
	for _, root := range []string{"parameters", "env", "credentials"} {
		if strings.Contains(query, root+".") || strings.Contains(query, root+"[") {
			return false
		}
	}
	return true
}

// graphqlBody compiles the envelope; only the variables are templates.
func (c *compiler) graphqlBody(cfg GraphQLConfig) *bodyTemplate {
	variables := make(map[string]any, len(cfg.Variables))
	for name, value := range cfg.Variables {
		variables[name] = value
	}
	tree := c.tree("/variables", variables)
	if tree == nil {
		return nil
	}
	return &bodyTemplate{encoding: "graphql", tree: tree, query: cfg.Query, operation: cfg.OperationName}
}

type graphqlRequest struct {
	Query         string `json:"query"`
	Variables     any    `json:"variables"`
	OperationName string `json:"operationName,omitempty"`
}

func (t *bodyTemplate) envelope(variables any) (json.RawMessage, error) {
	return strictjson.Marshal(graphqlRequest{t.query, variables, t.operation})
}

// graphqlData checks a GraphQL response and returns its data.
func graphqlData(body any) (any, *errclass.Error) {
	object, ok := body.(map[string]any)
	if !ok {
		return nil, errclass.New(errclass.InvalidResponse, errclass.NotJSON, "the answer is no GraphQL response")
	}
	if errs := object["errors"]; truthy(errs) {
		return nil, upstreamFailed(errs, body)
	}
	data, found := object["data"]
	if !found || data == nil {
		return nil, errclass.New(errclass.InvalidResponse, errclass.NoData, "the GraphQL response has neither data nor errors")
	}
	return data, nil
}
