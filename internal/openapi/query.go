package openapi

import (
	"fmt"
	"maps"
	"slices"
)

// queryParameter adds a parameter of the query; what it returns is why it can't.
func (b *builder) queryParameter(p *param) string {
	if b.auth != nil && b.auth.Config["in"] == "query" && b.auth.Config["name"] == p.name || b.query[p.name] != nil {
		p.required = false
		return "is set by the security scheme or another parameter"
	}
	form := b.im.doc.shapeOf(p.schema)
	schema, at := p.schema, p.at
	deep := p.style == "deepObject"
	switch {
	case p.json:
		b.query[p.name] = placeholder("json(" + b.add(p, schema, at) + ")")
		return ""
	case form.object && (form.scalar || form.array):
		narrowed, place, some := b.im.doc.narrow(schema, at, func(s shape) bool { return s.object == deep })
		if !some {
			return "may be an object or not, and only one of them could be written"
		}
		taken := "not as an object"
		if deep {
			taken = "as an object only"
		}
		b.remark(p.place, fmt.Sprintf("the query parameter %q is taken %s, though the API takes more", p.name, taken))
		schema, at, form = narrowed, place, b.im.doc.shapeOf(narrowed)
	}
	if form.object && !deep && !p.explode {
		value, why := b.written(&param{name: p.name, in: p.in, place: p.place, source: p.source, schema: schema, at: at,
			required: p.required, style: p.style, example: p.example})
		if why == "" {
			b.query[p.name] = placeholder(value)
		}
		return why
	}
	if form.object {
		return b.queryObject(p, schema, at)
	}
	if form.array {
		return b.queryArray(p, schema, at, form)
	}
	b.query[p.name] = placeholder(b.add(p, schema, at))
	return ""
}

// separators are what joins the elements of an array that isn't exploded.
var separators = map[string]string{"form": ",", "spaceDelimited": " ", "pipeDelimited": "|"}

func (b *builder) queryArray(p *param, schema any, at string, form shape) string {
	separator, known := separators[p.style]
	switch {
	case b.nested(schema):
		return "is an array of arrays or objects, for which OpenAPI has no way of writing"
	case p.style == "deepObject":
		b.query[p.name+"[]"] = placeholder(b.add(p, schema, at))
		return ""
	case !known:
		return fmt.Sprintf("has style %q, which a query doesn't have", p.style)
	case p.explode:
		b.query[p.name] = placeholder(b.add(p, schema, at))
		return ""
	case form.scalar: // one value is an array of one
		narrowed, place, some := b.im.doc.narrow(schema, at, func(s shape) bool { return s.array })
		if !some {
			return "may be an array or not, and only one of them could be written"
		}
		schema, at = narrowed, place
	}
	b.query[p.name] = placeholder("join(" + b.add(p, schema, at) + ", " + quote(separator) + ")")
	return ""
}

// nested reports whether an array holds arrays or objects.
func (b *builder) nested(array any) bool {
	items := b.im.doc.shapeOf(b.resolved(array)["items"])
	return items.object || items.array
}

// queryObject writes an object's properties, which have to be known.
func (b *builder) queryObject(p *param, schema any, at string) string {
	properties, closed := b.im.doc.members(schema, at)
	if p.style != "deepObject" && p.style != "form" {
		return fmt.Sprintf("is an object in style %q with explode, for which OpenAPI has no way of writing", p.style)
	}
	if len(properties) == 0 {
		return "is an object of any properties, and a tool has to name those that it sends"
	}
	if !closed {
		b.remark(p.place, fmt.Sprintf("of the query parameter %q only the named properties are sent", p.name))
	}
	fields := map[string]string{}
	var sent []member
	for _, m := range properties {
		name := m.name
		if p.style == "deepObject" {
			name = p.name + "[" + m.name + "]"
		}
		if why := b.deepField(fields, name, m.name, m.schema, p.style == "deepObject", 0); why != "" {
			b.remark(m.place, fmt.Sprintf("the property %q of the query parameter %q is left out: it %s", m.name, p.name, why))
			continue
		}
		sent = append(sent, m)
	}
	if len(sent) == 0 {
		return "has no property that a query could hold"
	}
	of := b.add(p, objectOf(sent), at)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if b.query[name] != nil {
			b.remark(p.place, fmt.Sprintf("two parameters give %q of the query: only one of them is sent", name))
			continue
		}
		b.query[name] = placeholder(of + fields[name])
	}
	return ""
}

// maxNesting bounds how deep into objects the names of a query lead.
const maxNesting = 3

// deepField notes for each name of the query how the object is read for it.
func (b *builder) deepField(fields map[string]string, name, key string, schema any, deep bool, level int) string {
	access := reach("", key)
	form := b.im.doc.shapeOf(schema)
	switch {
	case form.object && deep && level < maxNesting && !form.scalar && !form.array:
		properties, _ := b.im.doc.members(schema, "")
		inner := map[string]string{}
		for _, m := range properties {
			if why := b.deepField(inner, name+"["+m.name+"]", m.name, m.schema, deep, level+1); why != "" {
				return why
			}
		}
		if len(inner) == 0 {
			return "is an object of any properties"
		}
		for at, path := range inner {
			fields[at] = access + path
		}
		return ""
	case form.object:
		return "is an object within an object, for which OpenAPI has no way of writing"
	case form.array && b.nested(schema):
		return "is an array of arrays or objects, for which OpenAPI has no way of writing"
	case form.array && deep:
		name += "[]"
	}
	fields[name] = access
	return ""
}

// objectOf is the schema of an object of which these properties are sent, so that
// no others are taken and lost.
func objectOf(sent []member) any {
	properties := make(map[string]any, len(sent))
	var required []any
	for _, m := range sent {
		properties[m.name] = m.schema
		if m.required {
			required = append(required, m.name)
		}
	}
	object := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		object["required"] = required
	}
	return object
}
