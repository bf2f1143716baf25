package openapi

import (
	"maps"
	"slices"
)

// fromSwagger rewrites what of Swagger 2.0 differs from OpenAPI 3.0 for requests.
// Definitions stay where they are, so that references to them hold.
func (d *document) fromSwagger() {
	d.root["servers"] = swaggerServers(d.root)
	schemes := map[string]any{}
	for name, v := range object(d.root["securityDefinitions"]) {
		schemes[name] = swaggerScheme(object(v))
	}
	d.root["components"] = map[string]any{"securitySchemes": schemes}
	for path, v := range object(d.root["paths"]) {
		resolved, _, err := d.resolve(v, "")
		if err != nil {
			continue // the importer says so
		}
		item := maps.Clone(object(resolved))
		shared := list(item["parameters"])
		delete(item, "parameters")
		for _, method := range methods {
			if op := object(item[method]); op != nil {
				item[method] = d.swaggerOperation(op, shared)
			}
		}
		object(d.root["paths"])[path] = item
	}
}

func swaggerServers(root map[string]any) []any {
	host, base := text(root["host"]), text(root["basePath"])
	if host == "" {
		if base == "" {
			return nil
		}
		return []any{map[string]any{"url": base}}
	}
	scheme := "https"
	if schemes := list(root["schemes"]); len(schemes) > 0 && !slices.Contains(schemes, any(scheme)) {
		scheme = text(schemes[0])
	}
	return []any{map[string]any{"url": scheme + "://" + host + base}}
}

func swaggerScheme(scheme map[string]any) any {
	switch scheme["type"] {
	case "basic":
		return map[string]any{"type": "http", "scheme": "basic"}
	case "oauth2":
		flows := map[string]any{}
		if scheme["flow"] == "application" {
			flows["clientCredentials"] = map[string]any{"tokenUrl": scheme["tokenUrl"]}
		}
		return map[string]any{"type": "oauth2", "flows": flows}
	}
	return scheme
}

// swaggerOperation rewrites an operation. The parameters of its path become its
// own.
func (d *document) swaggerOperation(op map[string]any, shared []any) map[string]any {
	op = maps.Clone(op)
	consumes := list(op["consumes"])
	if consumes == nil {
		consumes = list(d.root["consumes"])
	}
	var others []any
	form := swaggerForm{properties: map[string]any{}}
	for _, v := range append(slices.Clone(shared), list(op["parameters"])...) {
		resolved, _, err := d.resolve(v, "")
		source := object(resolved)
		switch {
		case err != nil:
			others = append(others, v) // the importer says so
		case source["in"] == "body":
			op["requestBody"] = swaggerBody(source, consumes)
		case source["in"] == "formData":
			form.add(source)
		default:
			others = append(others, swaggerParameter(source))
		}
	}
	op["parameters"] = others
	if len(form.properties) > 0 {
		op["requestBody"] = form.body(consumes)
	}
	responses := map[string]any{}
	for code, v := range object(op["responses"]) {
		responses[code] = d.swaggerResponse(v)
	}
	op["responses"] = responses
	return op
}

func swaggerBody(source map[string]any, consumes []any) any {
	content := map[string]any{}
	for _, kind := range consumes {
		content[text(kind)] = map[string]any{"schema": source["schema"]}
	}
	if len(content) == 0 {
		content["application/json"] = map[string]any{"schema": source["schema"]}
	}
	return map[string]any{"content": content, "required": source["required"], "description": source["description"]}
}

// swaggerForm gathers the fields of a form.
type swaggerForm struct {
	properties map[string]any
	required   []any
	encoding   map[string]any
	files      bool
}

func (f *swaggerForm) add(source map[string]any) {
	name := text(source["name"])
	f.properties[name] = swaggerSchema(source, true)
	if source["required"] == true && !slices.Contains(f.required, any(name)) {
		f.required = append(f.required, name)
	}
	f.files = f.files || source["type"] == "file"
	if source["type"] == "array" {
		if f.encoding == nil {
			f.encoding = map[string]any{}
		}
		style, explode := swaggerStyle(source)
		f.encoding[name] = map[string]any{"style": style, "explode": explode}
	}
}

func (f *swaggerForm) body(consumes []any) any {
	kind := "application/x-www-form-urlencoded"
	if f.files || slices.Contains(consumes, any("multipart/form-data")) && !slices.Contains(consumes, any(kind)) {
		kind = "multipart/form-data"
	}
	schema := map[string]any{"type": "object", "properties": f.properties, "required": f.required}
	media := map[string]any{"schema": schema, "encoding": f.encoding}
	return map[string]any{"content": map[string]any{kind: media}, "required": len(f.required) > 0}
}

// swaggerStyle is what collectionFormat is called in OpenAPI 3.
func swaggerStyle(source map[string]any) (style string, explode bool) {
	switch source["collectionFormat"] {
	case "ssv":
		return "spaceDelimited", false
	case "pipes":
		return "pipeDelimited", false
	case "tsv":
		return "tabDelimited", false // unknown there, and so left out with its name
	case "multi":
		return "form", true
	}
	return "form", false
}

func swaggerParameter(source map[string]any) any {
	p := map[string]any{"schema": swaggerSchema(source, false)}
	for _, name := range []string{"name", "in", "required", "description"} {
		p[name] = source[name]
	}
	if source["type"] == "array" {
		style, explode := swaggerStyle(source)
		if style == "form" && source["in"] != "query" {
			style = "simple"
		}
		p["style"], p["explode"] = style, explode
	}
	return p
}

// swaggerSchema takes the keywords of a schema out of a parameter.
func swaggerSchema(source map[string]any, described bool) any {
	schema := maps.Clone(source)
	for _, name := range []string{"name", "in", "required", "collectionFormat"} {
		delete(schema, name)
	}
	if !described {
		delete(schema, "description")
	}
	if schema["type"] == "file" {
		schema["type"], schema["format"] = "string", "binary"
	}
	return schema
}

// swaggerResponse moves the examples, which are all that is read of a response.
func (d *document) swaggerResponse(v any) any {
	resolved, _, err := d.resolve(v, "")
	if err != nil {
		return v
	}
	content := map[string]any{}
	for kind, example := range object(object(resolved)["examples"]) {
		content[kind] = map[string]any{"example": example}
	}
	return map[string]any{"content": content}
}
