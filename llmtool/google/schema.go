package google

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/almyty-inc/toolrun/llmtool/internal/schemawalk"
)

// keywords are what responseJsonSchema may have, by the API's reference. All else
// stays out: the answer is held against the tool's own schema anyway.
var keywords = map[string]bool{
	"$id": true, "$defs": true, "$ref": true, "$anchor": true, "type": true, "format": true, "title": true, "description": true,
	"enum": true, "items": true, "prefixItems": true, "minItems": true, "maxItems": true, "minimum": true, "maximum": true,
	"anyOf": true, "oneOf": true, "properties": true, "additionalProperties": true, "required": true,
}

// adapt makes of a schema one that the API takes. It can't where the schema refers to
// anything but its $defs.
func adapt(source json.RawMessage) (map[string]any, bool) {
	var root map[string]any
	if json.Unmarshal(source, &root) != nil || schemawalk.Each(root, narrow) != nil {
		return nil, false
	}
	return root, true
}

func narrow(schema map[string]any) error {
	if constant, ok := schema["const"].(string); ok && schema["enum"] == nil {
		schema["enum"] = []any{constant}
	}
	schemawalk.Keep(schema, keywords)
	ref, ok := schema["$ref"].(string)
	if !ok {
		return nil
	}
	if !strings.HasPrefix(ref, "#/$defs/") {
		return errors.New("a reference that the API doesn't know")
	}
	// No other keywords may stand beside it.
	for keyword := range schema {
		if !strings.HasPrefix(keyword, "$") {
			delete(schema, keyword)
		}
	}
	return nil
}
