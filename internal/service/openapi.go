package service

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/almyty-inc/toolrun/runner"
)

// openAPI describes the routes as they are without an organization in the path, and without
// HEAD: both follow from these.
//
//go:embed openapi.json
var openAPI []byte

const (
	organizationPrefix = "/organizations/{organization}"
	parameterRefs      = "#/components/parameters/"
)

// serveDescription adds GET /openapi.json, which describes all routes that there are by then.
func (s *Server) serveDescription(mux chi.Router) error {
	var document []byte
	read(mux, "/openapi.json", func(w http.ResponseWriter, _ *http.Request) { s.send(w, http.StatusOK, document) })
	var err error
	document, err = s.description(mux)
	return err
}

// description is an OpenAPI 3.1 document of the routes of mux.
func (s *Server) description(mux chi.Routes) ([]byte, error) {
	var root map[string]any
	if err := json.Unmarshal(openAPI, &root); err != nil {
		return nil, err
	}
	if s.opts.Access == nil {
		root["security"] = []any{}
	}
	if err := describeDefinition(root); err != nil {
		return nil, err
	}
	general, routes := root["paths"].(map[string]any), make(map[string]any)
	err := chi.Walk(mux, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		operation, ok := operationOf(general, method, route)
		if !ok {
			return fmt.Errorf("service: openapi.json lacks %s %s", method, route)
		}
		item, _ := routes[route].(map[string]any)
		if item == nil {
			item = make(map[string]any)
			routes[route] = item
		}
		item[strings.ToLower(method)] = operation
		return nil
	})
	if err != nil {
		return nil, err
	}
	root["paths"] = routes
	return json.Marshal(root)
}

// describeDefinition puts the schema of a definition among the others, so that what it
// refers to within itself is found there.
func describeDefinition(root map[string]any) error {
	text := bytes.ReplaceAll(runner.DefinitionSchema(), []byte(`"#/$defs/`), []byte(`"#/components/schemas/Definition/$defs/`))
	var definition map[string]any
	if err := json.Unmarshal(text, &definition); err != nil {
		return err
	}
	delete(definition, "$schema")
	root["components"].(map[string]any)["schemas"].(map[string]any)["Definition"] = definition
	return nil
}

// operationOf describes a route by the one that it is a variant of.
func operationOf(general map[string]any, method, route string) (map[string]any, bool) {
	base, ofOrganization := strings.CutPrefix(route, organizationPrefix)
	item, _ := general[base].(map[string]any)
	method = strings.ToLower(method)
	operation, found := item[method].(map[string]any)
	if method == "head" && !found {
		operation, found = item["get"].(map[string]any)
	}
	if !found {
		return nil, false
	}
	operation = maps.Clone(operation)
	if ofOrganization {
		operation["operationId"] = fmt.Sprint(operation["operationId"], "OfOrganization")
		operation["parameters"] = inPath(operation["parameters"].([]any))
	}
	if method == "head" {
		operation["operationId"] = fmt.Sprint("head_", operation["operationId"])
		operation["summary"] = fmt.Sprint(operation["summary"], ": the header only")
	}
	return operation, true
}

// inPath names the organization in the path in place of the header.
func inPath(parameters []any) []any {
	out := make([]any, len(parameters))
	for i, parameter := range parameters {
		out[i] = parameter
		if parameter.(map[string]any)["$ref"] == parameterRefs+"OrganizationHeader" {
			out[i] = map[string]any{"$ref": parameterRefs + "OrganizationPath"}
		}
	}
	return out
}
