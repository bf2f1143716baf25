package expression

import (
	"maps"
	"slices"

	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// Declared says which parameters there are. The zero value declares none, and
// none else may be named.
type Declared struct {
	// Parameters names those that the parameter schema declares.
	Parameters []string
	// Open means that others may occur too, so that none is refused.
	Open bool
}

// DeclaredFrom reads what a JSON Schema declares. A schema that leaves room for
// further parameters, that composes others, or that isn't one, is open.
func DeclaredFrom(schema []byte) Declared {
	v, err := strictjson.Decode(schema)
	if err != nil {
		return Declared{Open: true}
	}
	object, ok := v.(map[string]any)
	if !ok {
		return Declared{Open: true}
	}
	properties, ok := object["properties"].(map[string]any)
	d := Declared{Parameters: slices.Sorted(maps.Keys(properties)), Open: !ok}
	for _, keyword := range []string{"additionalProperties", "unevaluatedProperties"} {
		if v, set := object[keyword]; set && v != false {
			d.Open = true
		}
	}
	for _, keyword := range []string{
		"patternProperties", "allOf", "anyOf", "oneOf", "if", "$ref", "$dynamicRef", "dependentSchemas", "not",
	} {
		if _, set := object[keyword]; set {
			d.Open = true
		}
	}
	return d
}
