package openapi

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/almyty-inc/toolrun/internal/schema"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// example is one of a definition's: an input, and what the API answers to it.
type example struct {
	Name           string   `json:"name"`
	Input          any      `json:"input"`
	Upstream       upstream `json:"upstream"`
	ExpectedOutput any      `json:"expectedOutput"`
}

type upstream struct {
	Status int `json:"status,omitzero"`
	JSON   any `json:"json"`
}

// exampleOf is the first example of a parameter or media type, or of its schema;
// nil for none.
func (d *document) exampleOf(source map[string]any) any {
	if v := d.ownExample(source); v != nil {
		return v
	}
	value, _, err := d.resolve(source["schema"], "")
	if err != nil {
		return nil
	}
	return d.ownExample(object(value))
}

func (d *document) ownExample(source map[string]any) any {
	if v := source["example"]; v != nil {
		return v
	}
	named := object(source["examples"])
	for _, name := range slices.Sorted(maps.Keys(named)) {
		value, _, err := d.resolve(named[name], "")
		if v := object(value)["value"]; err == nil && v != nil {
			return v
		}
	}
	if all := list(source["examples"]); len(all) > 0 { // of a schema in 3.1
		return all[0]
	}
	return nil
}

// give notes what an example gives for a property; failing that, the first of the
// values that its schema enumerates.
func (b *builder) give(property string, v, schema any) {
	if v == nil {
		resolved, _, err := b.im.doc.resolve(schema, "")
		if values := list(object(resolved)["enum"]); err == nil && len(values) > 0 {
			v = values[0]
		}
	}
	if short(v, maxExample) {
		b.given[property] = v
	}
}

// maxExample bounds what an example takes, in bytes.
const maxExample = 16 << 10

// examples is one example where the description has enough for one that is right:
// an answer, and what it takes to ask for it.
func (b *builder) examples(p parameters) []example {
	answer, status, ok := b.answer()
	if !ok {
		return nil
	}
	input := map[string]any{}
	for name, v := range b.given {
		if slices.Contains(p.Required, name) {
			input[name] = v
		}
	}
	if len(input) < len(p.Required) {
		return nil
	}
	source, err := strictjson.Marshal(p)
	if err != nil {
		return nil
	}
	compiled, faults := schema.Compile(source)
	if faults != nil || compiled.Validate(input) != nil {
		return nil
	}
	return []example{{"from the description", input, upstream{status, answer}, answer}}
}

// answer is the example of the first successful response in JSON.
func (b *builder) answer() (v any, status int, ok bool) {
	responses := object(b.op["responses"])
	for _, code := range slices.Sorted(maps.Keys(responses)) {
		if !strings.HasPrefix(code, "2") {
			continue
		}
		value, _, err := b.im.doc.resolve(responses[code], "")
		if err != nil {
			continue
		}
		content := object(object(value)["content"])
		for _, kind := range slices.Sorted(maps.Keys(content)) {
			if v := b.im.doc.exampleOf(object(content[kind])); isJSON(kind) && short(v, maxExample) {
				status, _ = strconv.Atoi(code)
				if status == 200 {
					status = 0 // the default
				}
				return v, status, true
			}
		}
	}
	return nil, 0, false
}
