package openapi

import (
	"encoding/json"
	"math"
	"regexp"
	"slices"
)

// keyword is one that holds no schemas, with what is wrong with a value; "" is
// nothing.
type keyword struct {
	name  string
	fault func(v any) string
}

// plainKeywords are all of them that are kept. A schema that broke the metaschema
// would be refused whole.
var plainKeywords = []keyword{
	{"type", isType}, {"enum", isEnum}, {"const", isAnything}, {"required", isNames}, {"dependentRequired", isDependencies},
	{"multipleOf", isPositive}, {"minimum", is(isNumber)}, {"maximum", is(isNumber)},
	{"minLength", is(isCount)}, {"maxLength", is(isCount)}, {"pattern", isPattern},
	{"minItems", is(isCount)}, {"maxItems", is(isCount)}, {"uniqueItems", is(isBool)}, {"minContains", is(isCount)}, {"maxContains", is(isCount)},
	{"minProperties", is(isCount)}, {"maxProperties", is(isCount)},
	{"format", is(isText)}, {"contentEncoding", is(isText)}, {"contentMediaType", is(isText)},
	{"title", is(isText)}, {"deprecated", is(isBool)},
}

const wrongKind = "has a value that this keyword can't have"

func is(holds func(v any) bool) func(v any) string {
	return func(v any) string {
		if holds(v) {
			return ""
		}
		return wrongKind
	}
}

func isAnything(any) string { return "" }

func isText(v any) bool { _, ok := v.(string); return ok }
func isBool(v any) bool { _, ok := v.(bool); return ok }

func isNumber(v any) bool {
	switch v.(type) {
	case int64, float64, json.Number:
		return true
	}
	return false
}

func isCount(v any) bool {
	if f, ok := v.(float64); ok {
		return f >= 0 && f == math.Trunc(f)
	}
	n, ok := v.(int64)
	return ok && n >= 0
}

func isPositive(v any) string {
	switch v := v.(type) {
	case int64:
		if v > 0 {
			return ""
		}
	case float64:
		if v > 0 {
			return ""
		}
	}
	return wrongKind
}

var types = []string{"null", "boolean", "object", "array", "number", "string", "integer"}

func isType(v any) string {
	kinds := list(v)
	if kind, ok := v.(string); ok {
		kinds = []any{kind}
	}
	for i, kind := range kinds {
		name, ok := kind.(string)
		if !ok || !slices.Contains(types, name) || slices.Contains(kinds[:i], kind) {
			return "is no type of JSON Schema"
		}
	}
	if len(kinds) == 0 {
		return wrongKind
	}
	return ""
}

func isEnum(v any) string {
	if len(list(v)) == 0 {
		return wrongKind
	}
	return ""
}

func isNames(v any) string {
	names, ok := v.([]any)
	seen := make(map[any]bool, len(names))
	for _, name := range names {
		if !isText(name) || seen[name] {
			return wrongKind
		}
		seen[name] = true
	}
	if !ok {
		return wrongKind
	}
	return ""
}

func isDependencies(v any) string {
	members, ok := v.(map[string]any)
	for _, names := range members {
		if isNames(names) != "" {
			return wrongKind
		}
	}
	if !ok {
		return wrongKind
	}
	return ""
}

// isPattern reports what Go's engine, which is the one that checks parameters,
// can't do.
func isPattern(v any) string {
	pattern, ok := v.(string)
	if !ok {
		return wrongKind
	}
	if _, err := regexp.Compile(pattern); err != nil {
		return "is a regular expression with what RE2 doesn't have, such as lookaround,"
	}
	return ""
}
