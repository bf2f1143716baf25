// Package schemawalk goes through a JSON Schema, for the dialects that must change
// one into what their API takes.
package schemawalk

// inMaps, inLists and alone are where schemas stand within a schema.
var (
	inMaps  = []string{"properties", "$defs", "definitions"}
	inLists = []string{"anyOf", "oneOf", "allOf", "prefixItems"}
	alone   = []string{"items", "additionalProperties"}
)

// Each calls visit for a schema, and then for each schema that still stands within
// it: visit may change what it is given. It ends with visit's first error. Schemas
// that are true or false are passed over.
func Each(schema map[string]any, visit func(map[string]any) error) error {
	if err := visit(schema); err != nil {
		return err
	}
	for _, inner := range within(schema) {
		if err := Each(inner, visit); err != nil {
			return err
		}
	}
	return nil
}

// within are the schemas directly beneath a schema.
func within(schema map[string]any) []map[string]any {
	var found []map[string]any
	add := func(v any) {
		if inner, ok := v.(map[string]any); ok {
			found = append(found, inner)
		}
	}
	for _, keyword := range inMaps {
		members, _ := schema[keyword].(map[string]any)
		for _, member := range members {
			add(member)
		}
	}
	for _, keyword := range inLists {
		list, _ := schema[keyword].([]any)
		for _, element := range list {
			add(element)
		}
	}
	for _, keyword := range alone {
		add(schema[keyword])
	}
	return found
}

// Keep removes all keywords of a schema but those given; the schemas within it are
// left as they are.
func Keep(schema map[string]any, keywords map[string]bool) {
	for keyword := range schema {
		if !keywords[keyword] {
			delete(schema, keyword)
		}
	}
}
