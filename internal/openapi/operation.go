package openapi

import (
	"fmt"
	"strings"
)

// tool is a definition as its file has it, members in that order.
type tool struct {
	Name            string         `json:"name"`
	Description     string         `json:"description,omitzero"`
	Type            string         `json:"type"`
	Status          string         `json:"status,omitzero"`
	Metadata        map[string]any `json:"metadata,omitzero"`
	Parameters      parameters     `json:"parameters"`
	ExecutionConfig request        `json:"executionConfig"`
	AuthConfig      *auth          `json:"authConfig,omitzero"`
	Examples        []example      `json:"examples,omitzero"`
}

type parameters struct {
	Type                 string         `json:"type"`
	Required             []string       `json:"required,omitzero"`
	Properties           map[string]any `json:"properties,omitzero"`
	AdditionalProperties bool           `json:"additionalProperties"`
	Defs                 map[string]any `json:"$defs,omitzero"`
}

type request struct {
	Method       string         `json:"method"`
	URL          string         `json:"url"`
	Headers      map[string]any `json:"headers,omitempty"`
	QueryParams  map[string]any `json:"queryParams,omitempty"`
	Body         any            `json:"body,omitzero"`
	BodyEncoding string         `json:"bodyEncoding,omitzero"`
}

type auth struct {
	Type   string         `json:"type"`
	Config map[string]any `json:"config"`
}

// builder makes the tool of one operation.
type builder struct {
	im               *importer
	label            string // "GET /pets/{id}"
	place, itemPlace string
	path, method     string
	item, op         map[string]any

	properties map[string]any // of the tool's parameters
	required   []string
	root       *definition // stands for all that the properties refer to
	headers    map[string]any
	query      map[string]any
	cookies    []cookie
	body       any
	encoding   string
	auth       *auth
	secrets    []Secret
	given      map[string]any // examples of the properties
	servers    map[string]bool
	remarks    []Remark
}

// maxDescription bounds what a tool's description takes of the operation's, in
// characters.
const maxDescription = 2000

// build makes the definition, all but its name.
func (b *builder) build() (*tool, error) {
	base, err := b.server()
	if err != nil {
		return nil, err
	}
	if b.method == "TRACE" || b.method == "CONNECT" {
		return nil, fmt.Errorf("requests with method %s can't be sent", b.method)
	}
	if err := b.security(base); err != nil {
		return nil, err
	}
	path, err := b.parameters()
	if err != nil {
		return nil, err
	}
	if err := b.requestBody(); err != nil {
		return nil, err
	}
	b.cookieHeader()
	if len(object(b.op["callbacks"])) > 0 {
		b.remark(b.place+"/callbacks", "callbacks are not imported: they are requests that the API sends")
	}
	params, err := b.parameterSchema()
	if err != nil {
		return nil, err
	}
	t := &tool{
		Description: b.description(), Type: "http", Metadata: b.metadata(), Parameters: params,
		ExecutionConfig: request{b.method, base + path, b.headers, b.query, b.body, b.encoding}, AuthConfig: b.auth,
	}
	if b.op["deprecated"] == true {
		t.Status = "deprecated"
	}
	t.Examples = b.examples(params)
	return t, nil
}

func (b *builder) remark(place, text string) {
	b.remarks = append(b.remarks, Remark{b.label, place, text})
}

func (b *builder) description() string {
	summary, description := strings.TrimSpace(text(b.op["summary"])), strings.TrimSpace(text(b.op["description"]))
	if summary == "" && description == "" {
		summary, description = strings.TrimSpace(text(b.item["summary"])), strings.TrimSpace(text(b.item["description"]))
	}
	switch {
	case summary == "" && description == "":
		return b.label
	case summary == "" || strings.HasPrefix(description, strings.TrimSuffix(summary, ".")):
		return cut(description, maxDescription)
	case description == "":
		return cut(summary, maxDescription)
	}
	return cut(summary+"\n\n"+description, maxDescription)
}

func (b *builder) metadata() map[string]any {
	about := map[string]any{"method": b.method, "path": b.path}
	if id := text(b.op["operationId"]); id != "" {
		about["operationId"] = id
	}
	if tags := list(b.op["tags"]); len(tags) > 0 {
		about["tags"] = tags
	}
	return map[string]any{"openapi": about}
}

// property adds a property of the tool's parameters and returns its name: the one
// given, or where that is taken one that says where the value goes.
func (b *builder) property(name, where string, schema any, required bool) string {
	unique := name
	for n := 1; b.properties[unique] != nil || unique == ""; n++ {
		unique = where + "_" + name
		if n > 1 {
			unique += fmt.Sprintf("_%d", n)
		}
	}
	if unique != name {
		schema = describe(schema, fmt.Sprintf("Sent as %s %q.", where, name))
	}
	b.properties[unique] = schema
	if required {
		b.required = append(b.required, unique)
	}
	return unique
}

// describe adds a sentence to a schema's description.
func describe(schema any, sentence string) any {
	s := object(schema)
	if s == nil {
		return schema
	}
	s["description"] = join(text(s["description"]), sentence)
	return s
}

// schema converts a schema that stands in the operation.
func (b *builder) schema(v any, place string) map[string]any {
	if v == nil {
		return map[string]any{}
	}
	switch s := b.im.schemas.convert(b.root, v, place, 0).(type) {
	case map[string]any:
		return s
	case bool:
		if !s {
			return map[string]any{"not": map[string]any{}}
		}
	}
	return map[string]any{}
}

// The bounds of a tool's schema: those of internal/schema, less what stands
// around $defs.
const (
	maxSchemaBytes = 250 << 10
	maxSchemaParts = 4900
)

// parameterSchema puts the properties together with all they refer to. Where that
// is too much, what is furthest from them is left open.
func (b *builder) parameterSchema() (parameters, error) {
	p := parameters{Type: "object", Required: b.required, Properties: b.properties}
	b.im.schemas.settle()
	b.root.schema = p.Properties
	b.root.measure()
	layers := b.layers()
	kept := fitting(b.root, layers)
	if kept < 0 {
		return p, &leftOut{b.place, fmt.Sprintf("its parameters' schema has %d KiB and %d parts, which is more than a tool may have (%d KiB, %d)",
			b.root.bytes>>10, b.root.parts, maxSchemaBytes>>10, maxSchemaParts)}
	}
	for depth, layer := range layers[:min(len(layers), kept+1)] {
		for _, d := range layer {
			if p.Defs == nil {
				p.Defs = map[string]any{}
			}
			if depth == kept {
				p.Defs[d.name] = d.stub()
				continue
			}
			p.Defs[d.name] = d.schema
			b.remarks = append(b.remarks, d.remarks...)
		}
	}
	b.remarks = append(b.remarks, b.root.remarks...)
	for i := range b.remarks {
		b.remarks[i].Operation = b.label
	}
	if kept < len(layers) {
		b.remark(b.place, fmt.Sprintf("the parameters' schema is too large for a tool: what is behind more references in a row than %d is left open", kept))
	}
	return p, nil
}

// layers are the definitions that the properties reach, by how many references
// it takes: all of them, or as many as make the schema too large.
func (b *builder) layers() [][]*definition {
	var layers [][]*definition
	seen := map[*definition]bool{}
	bytes := 0
	for next := b.root.refs; len(next) > 0 && bytes <= maxSchemaBytes; {
		var layer, further []*definition
		for _, d := range next {
			if seen[d] {
				continue
			}
			seen[d] = true
			bytes += d.bytes
			layer = append(layer, d)
			further = append(further, d.refs...)
		}
		b.im.schemas.budget -= len(next)
		if len(layer) > 0 {
			layers = append(layers, layer)
		}
		next = further
	}
	return layers
}

// stub stands for a definition that is left open.
func (d *definition) stub() map[string]any {
	stub := map[string]any{"description": "Not described here: see the API's own documentation."}
	if kind := object(d.schema)["type"]; kind != nil {
		stub["type"] = kind
	}
	return stub
}

// stubBytes is about what a stub takes.
const stubBytes = 120

// fitting is how many layers fit into a schema, with stubs for the next one; -1
// where the properties alone don't.
func fitting(root *definition, layers [][]*definition) int {
	bytes, count, most := root.bytes, root.parts, -1
	for depth, layer := range append(layers, nil) {
		stubs, full, parts := 0, 0, 0
		for _, d := range layer {
			stubs += stubBytes + len(d.name)
			full, parts = full+d.bytes, parts+d.parts
		}
		if bytes+stubs <= maxSchemaBytes && count+len(layer) <= maxSchemaParts {
			most = depth
		}
		bytes, count = bytes+full, count+parts
	}
	return most
}
