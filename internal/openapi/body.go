package openapi

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// bodyName is the property of the tool's parameters that is the request's body.
const bodyName = "body"

// requestBody adds the body of the operation.
func (b *builder) requestBody() error {
	if b.op["requestBody"] == nil {
		return nil
	}
	place := b.place + "/requestBody"
	value, at, err := b.im.doc.resolve(b.op["requestBody"], place)
	if err != nil {
		return &leftOut{place, "its body " + err.Error()}
	}
	source := object(value)
	content := object(source["content"])
	kind, write := chooseBody(content)
	required := source["required"] == true
	if kind == "" && len(content) == 0 {
		return nil
	}
	why := fmt.Sprintf("is %s, which can't be sent", cut(strings.Join(slices.Sorted(maps.Keys(content)), " or "), 200))
	if write != nil {
		why = write(b, &media{kind, object(content[kind]), at + "/content/" + escape(kind), required, note(source["description"])})
	}
	switch {
	case why == "":
		return nil
	case required:
		return &leftOut{at, "its body, which is required, " + why}
	}
	b.remark(at, "the body is left out: it "+why)
	return nil
}

// media is one content type of a body.
type media struct {
	kind     string // as the description writes it
	source   map[string]any
	place    string
	required bool
	note     string
}

// bodyWriters are the ways of writing a body, the best first. What one returns is
// why it can't.
var bodyWriters = []struct {
	takes func(kind string) bool
	write func(b *builder, m *media) string
}{
	{func(kind string) bool { return kind == "application/json" }, (*builder).jsonBody},
	// Before the other kinds of JSON: where there are several they are patches, and this one is what an object schema describes.
	{func(kind string) bool { return kind == "application/merge-patch+json" }, (*builder).jsonBody},
	{isJSON, (*builder).jsonBody},
	{func(kind string) bool { return kind == "application/x-www-form-urlencoded" }, (*builder).formBody},
	{func(kind string) bool { return kind == "multipart/form-data" }, (*builder).formBody},
	{isTextual, (*builder).textBody},
}

func chooseBody(content map[string]any) (kind string, write func(*builder, *media) string) {
	kinds := slices.Sorted(maps.Keys(content))
	for _, w := range bodyWriters {
		for _, kind := range kinds {
			if w.takes(essence(kind)) {
				return kind, w.write
			}
		}
	}
	return "", nil
}

// essence is a media type without parameters, in lower case.
func essence(kind string) string {
	kind, _, _ = strings.Cut(kind, ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

// isJSON takes also what says that anything goes.
func isJSON(kind string) bool {
	kind = essence(kind)
	return kind == "application/json" || strings.HasSuffix(kind, "+json") || kind == "*/*" || kind == "application/*"
}

func isTextual(kind string) bool {
	kind = essence(kind)
	return strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "+xml") || slices.Contains([]string{
		"application/xml", "application/yaml", "application/x-yaml", "application/x-ndjson", "application/jsonl", "application/graphql",
		"application/javascript", "application/sql", "application/toml",
	}, kind)
}

// addBody makes the property for a body and returns the expression for it.
func (b *builder) addBody(m *media, converted map[string]any) string {
	if m.note != "" && converted["description"] == nil {
		converted["description"] = m.note
	}
	name := b.property(bodyName, "request", converted, m.required)
	b.give(name, b.im.doc.exampleOf(m.source), m.source["schema"])
	return reach("parameters", name)
}

func (b *builder) jsonBody(m *media) string {
	b.body = placeholder(b.addBody(m, b.schema(m.source["schema"], m.place+"/schema")))
	if kind := essence(m.kind); kind != "application/json" && !strings.Contains(kind, "*") {
		b.headers["Content-Type"] = literal(m.kind)
	}
	return ""
}

func (b *builder) textBody(m *media) string {
	converted := map[string]any{"type": "string"}
	if b.im.doc.shapeOf(m.source["schema"]).scalar {
		converted = b.schema(m.source["schema"], m.place+"/schema")
	}
	kind := literal(m.kind)
	if strings.Contains(m.kind, "*") {
		kind = "text/plain"
	}
	converted["description"] = join(text(converted["description"]), "Text of type "+m.kind+".")
	b.body, b.encoding = placeholder(b.addBody(m, converted)), "raw"
	b.headers["Content-Type"] = kind
	return ""
}

// formBody writes an object's properties as the fields of a form.
func (b *builder) formBody(m *media) string {
	schema := m.source["schema"]
	properties, closed := b.im.doc.members(schema, m.place+"/schema")
	switch {
	case len(properties) == 0 && b.resolved(schema)["additionalProperties"] == false:
		return "" // there is nothing to send
	case len(properties) == 0:
		return "is a form without any named field"
	case !closed:
		b.remark(m.place, "of the form only the named fields are sent")
	}
	b.encoding = "form-urlencoded"
	if essence(m.kind) == "multipart/form-data" {
		b.encoding = "multipart"
	}
	converted, required := map[string]any{}, []any{}
	fields := make([]formField, 0, len(properties))
	for _, p := range properties {
		if b.im.schemas.readOnly(p.schema) {
			continue
		}
		if p.required {
			required = append(required, p.name)
		}
		encoding := object(object(m.source["encoding"])[p.name])
		field := b.formField(p, encoding)
		converted[p.name] = field.schema
		fields = append(fields, field)
	}
	form := map[string]any{"type": "object", "properties": converted, "additionalProperties": false}
	if len(required) > 0 {
		form["required"] = required
	}
	of := b.addBody(m, form)
	body := make(map[string]any, len(fields))
	for _, f := range fields {
		body[f.name] = placeholder(f.before + reach(of, f.key) + f.after)
	}
	b.body = body
	return ""
}

// formField is a field of a form: an expression around the property named key.
type formField struct {
	name, key     string
	before, after string
	schema        any
}

func (b *builder) formField(p member, encoding map[string]any) formField {
	f := formField{name: p.name, key: p.name}
	if b.encoding == "multipart" && b.isFile(p.schema, encoding) {
		f.schema = b.fileSchema(p.schema)
		return f
	}
	f.schema = b.schema(p.schema, p.place)
	form := b.im.doc.shapeOf(p.schema)
	items := shape{}
	if form.array {
		items = b.im.doc.shapeOf(b.resolved(p.schema)["items"])
	}
	style := text(encoding["style"])
	asJSON := isJSON(text(encoding["contentType"])) || b.encoding == "multipart" && style == ""
	switch {
	case asJSON && form.object && !form.array && !form.scalar, asJSON && items.object:
		f.before, f.after = "json(", ")"
	case form.array && style == "deepObject" && !items.object:
		f.name += "[]"
	case form.array && !form.scalar && encoding["explode"] == false && separators[style] != "":
		f.before, f.after = "join(", ", "+quote(separators[style])+")"
	}
	return f
}

// isFile reports whether a field of a multipart form is bytes, or an array of
// those.
func (b *builder) isFile(schema any, encoding map[string]any) bool {
	s := b.resolved(schema)
	if items := s["items"]; items != nil {
		s = b.resolved(items)
	}
	if s["format"] == "binary" || s["contentMediaType"] != nil && s["contentEncoding"] == nil {
		return true
	}
	kind := essence(text(encoding["contentType"]))
	return kind != "" && !isJSON(kind) && !isTextual(kind) && !b.im.doc.shapeOf(schema).object
}

// resolved is the schema that one refers to; nil, which reads as an empty one,
// where there is none.
func (b *builder) resolved(schema any) map[string]any {
	v, _, err := b.im.doc.resolve(schema, "")
	if err != nil {
		return nil
	}
	return object(v)
}

// fileSchema is what a multipart form takes for a file, or for an array of files.
func (b *builder) fileSchema(schema any) any {
	s := b.resolved(schema)
	file := map[string]any{
		"type": "object", "required": []any{"filename"}, "additionalProperties": false,
		"description": join(note(s["description"]), "A file: its name, and its bytes as base64 or as a data: URL."),
		"properties": map[string]any{
			"filename": map[string]any{"type": "string"}, "contentType": map[string]any{"type": "string"},
			"base64": map[string]any{"type": "string"}, "dataUrl": map[string]any{"type": "string"},
		},
		"oneOf": []any{map[string]any{"required": []any{"base64"}}, map[string]any{"required": []any{"dataUrl"}}},
	}
	if s["items"] != nil {
		return map[string]any{"type": "array", "items": file}
	}
	return file
}
