package llmtool

import (
	"maps"
	"slices"
	"strings"

	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// wrapper is the member that holds the answer of a wrapped format.
const wrapper = "value"

// adaptSchema makes of a tool's schema one that OpenAI's structured output
// takes, and changes as little as that needs.
func adaptSchema(source []byte) Format {
	v, err := strictjson.Decode(source)
	root, isObject := v.(map[string]any)
	if err != nil || !isObject {
		return Format{Kind: FormatObject} // true or {}: any JSON
	}
	delete(root, "$schema")
	delete(root, "$id")
	if len(root) == 0 {
		return Format{Kind: FormatObject}
	}
	if _, typed := root["type"]; !typed && root["properties"] != nil {
		root["type"] = "object"
	}
	f := Format{Kind: FormatSchema}
	if root["type"] != "object" {
		wrappedRoot, ok := wrap(root)
		if !ok {
			return Format{Kind: FormatAsked, asked: source}
		}
		root, f.wrapped = wrappedRoot, true
	}
	f.Strict = strictEnough(root, 0)
	f.Schema, err = strictjson.Marshal(root)
	if err != nil {
		return Format{Kind: FormatAsked, asked: source}
	}
	return f
}

// wrap puts a schema into the one member of an object. It can't where the schema
// refers to places that move.
func wrap(root map[string]any) (map[string]any, bool) {
	if !refersToDefinitionsOnly(root) {
		return nil, false
	}
	outer := map[string]any{
		"type": "object", "properties": map[string]any{wrapper: root},
		"required": []any{wrapper}, "additionalProperties": false,
	}
	for _, name := range []string{"$defs", "definitions"} {
		if defs, ok := root[name]; ok {
			outer[name] = defs
			delete(root, name)
		}
	}
	return outer, true
}

func refersToDefinitionsOnly(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			ref, isText := member.(string)
			if isText && (name == "$ref" || name == "$dynamicRef") &&
				!strings.HasPrefix(ref, "#/$defs/") && !strings.HasPrefix(ref, "#/definitions/") {
				return false
			}
			if !refersToDefinitionsOnly(member) {
				return false
			}
		}
	case []any:
		return !slices.ContainsFunc(v, func(element any) bool { return !refersToDefinitionsOnly(element) })
	}
	return true
}

// strictKeywords are what a strict schema may use, by OpenAI's documentation of
// structured outputs.
var strictKeywords = []string{
	"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "$ref", "$defs",
	"definitions", "description", "title", "pattern", "format", "multipleOf", "minimum", "maximum",
	"exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems",
}

const maxStrictDepth = 5

// strictEnough reports whether a provider can enforce a schema: objects are
// closed, and all of their properties are required.
func strictEnough(v any, depth int) bool {
	s, ok := v.(map[string]any)
	if !ok || depth > maxStrictDepth {
		return false
	}
	for name := range s {
		if !slices.Contains(strictKeywords, name) {
			return false
		}
	}
	properties, hasProperties := s["properties"].(map[string]any)
	if hasProperties || s["type"] == "object" {
		required, _ := s["required"].([]any)
		if s["additionalProperties"] != false || len(required) != len(properties) {
			return false
		}
		for name := range properties {
			if !slices.Contains(required, any(name)) {
				return false
			}
		}
	}
	inner := slices.Collect(maps.Values(properties))
	for _, name := range []string{"$defs", "definitions"} {
		defs, _ := s[name].(map[string]any)
		inner = slices.AppendSeq(inner, maps.Values(defs))
	}
	if items, ok := s["items"]; ok {
		inner = append(inner, items)
	}
	alternatives, _ := s["anyOf"].([]any)
	inner = append(inner, alternatives...)
	return !slices.ContainsFunc(inner, func(s any) bool { return !strictEnough(s, depth+1) })
}

// InWords asks for the format in words, for the clients of APIs that take no schema,
// or not this one.
func (f Format) InWords() string {
	if f.Kind == FormatSchema {
		f = Format{Kind: FormatAsked, asked: f.Schema}
	}
	return f.instruction()
}

// instruction is what the system prompt adds, for providers that must be asked
// for JSON in words: OpenAI refuses json_object unless a message says "JSON".
func (f Format) instruction() string {
	switch f.Kind {
	case FormatObject:
		return "Answer with one JSON value and nothing else."
	case FormatAsked:
		return "Answer with one JSON value and nothing else. It must fit this JSON Schema: " + string(f.asked)
	}
	return ""
}
