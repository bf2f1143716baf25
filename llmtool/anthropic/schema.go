package anthropic

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/almyty-inc/toolrun/llmtool/internal/schemawalk"
)

// keywords are what a schema of the output may have, by Anthropic's documentation of
// structured outputs. Patterns are taken only in part, so they stay out, as the
// bounds do: the answer is held against the tool's own schema anyway.
var keywords = map[string]bool{
	"type": true, "properties": true, "required": true, "additionalProperties": true, "items": true, "enum": true,
	"const": true, "anyOf": true, "oneOf": true, "$ref": true, "$defs": true, "definitions": true, "description": true,
	"title": true, "format": true, "minItems": true,
}

var formats = []any{"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}

var errUnfit = errors.New("no schema for structured outputs")

// adapt makes of a schema one that the API takes: its objects are closed, and it has
// nothing but keywords. It can't where members are free to be named, where anything
// may stand, and where the schema contains itself.
func adapt(source json.RawMessage) (map[string]any, bool) {
	var root map[string]any
	if json.Unmarshal(source, &root) != nil || schemawalk.Each(root, narrow) != nil || recursive(root) {
		return nil, false
	}
	return root, true
}

func narrow(schema map[string]any) error {
	schemawalk.Keep(schema, keywords)
	if alternatives, ok := schema["oneOf"]; ok && schema["anyOf"] == nil {
		schema["anyOf"] = alternatives
	}
	delete(schema, "oneOf")
	if least, ok := schema["minItems"].(float64); ok && least > 1 {
		schema["minItems"] = 1
	}
	if !slices.Contains(formats, schema["format"]) {
		delete(schema, "format")
	}
	if ref, ok := schema["$ref"].(string); ok && definition(ref) == "" {
		return errUnfit
	}
	if !slices.ContainsFunc([]string{"type", "$ref", "anyOf", "enum", "const"}, func(k string) bool { return schema[k] != nil }) {
		return errUnfit
	}
	kinds, _ := schema["type"].([]any)
	if schema["type"] != "object" && !slices.Contains(kinds, any("object")) {
		return nil
	}
	properties, _ := schema["properties"].(map[string]any)
	for _, property := range properties {
		if _, ok := property.(map[string]any); !ok {
			return errUnfit
		}
	}
	_, typed := schema["additionalProperties"].(map[string]any)
	if typed || len(properties) == 0 && schema["additionalProperties"] != false {
		return errUnfit
	}
	schema["additionalProperties"] = false
	return nil
}

// definition is the name of what a reference refers to; empty for what is no
// definition.
func definition(ref string) string {
	name, ok := strings.CutPrefix(ref, "#/$defs/")
	if !ok {
		name, ok = strings.CutPrefix(ref, "#/definitions/")
	}
	if !ok || strings.Contains(name, "/") {
		return ""
	}
	return name
}

// recursive reports whether a definition refers to itself, by whatever detour.
func recursive(root map[string]any) bool {
	refers := map[string][]string{} // from each definition to others
	for _, keyword := range []string{"$defs", "definitions"} {
		all, _ := root[keyword].(map[string]any)
		for name, d := range all {
			if d, ok := d.(map[string]any); ok {
				_ = schemawalk.Each(d, func(s map[string]any) error {
					if ref, ok := s["$ref"].(string); ok {
						refers[name] = append(refers[name], definition(ref))
					}
					return nil
				})
			}
		}
	}
	var leadsTo func(from, to string, seen map[string]bool) bool
	leadsTo = func(from, to string, seen map[string]bool) bool {
		for _, next := range refers[from] {
			if next == to {
				return true
			}
			if !seen[next] {
				seen[next] = true
				if leadsTo(next, to, seen) {
					return true
				}
			}
		}
		return false
	}
	for name := range refers {
		if leadsTo(name, name, map[string]bool{}) {
			return true
		}
	}
	return false
}
