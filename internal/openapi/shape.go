package openapi

import (
	"maps"
	"slices"
	"strconv"
)

// shape is what values a schema allows, as far as the ways of writing them into a
// URL or a form differ. None set: nothing is known.
type shape struct{ scalar, array, object bool }

func (s shape) or(t shape) shape {
	return shape{s.scalar || t.scalar, s.array || t.array, s.object || t.object}
}

// several reports whether values are written in more than one way.
func (s shape) several() bool { return s.object && (s.array || s.scalar) || s.array && s.scalar }

// maxShapes bounds the schemas that one look at a shape may visit.
const maxShapes = 200

// shapeOf looks at a schema, through references and compositions.
func (d *document) shapeOf(v any) shape {
	visits := maxShapes
	return d.shape(v, &visits)
}

func (d *document) shape(v any, visits *int) shape {
	if *visits--; *visits < 0 {
		return shape{}
	}
	resolved, _, err := d.resolve(v, "")
	s := object(resolved)
	if err != nil || s == nil {
		return shape{}
	}
	kinds := list(s["type"])
	if kind, ok := s["type"].(string); ok {
		kinds = []any{kind}
	}
	var known shape
	for _, kind := range kinds {
		known = known.or(shapeOfType(kind))
	}
	if known != (shape{}) {
		return known
	}
	for _, name := range []string{"anyOf", "oneOf"} {
		for _, branch := range list(s[name]) {
			known = known.or(d.shape(branch, visits))
		}
	}
	for _, part := range list(s["allOf"]) {
		if one := d.shape(part, visits); one != (shape{}) && known == (shape{}) {
			known = one
		}
	}
	switch {
	case known != (shape{}):
	case s["properties"] != nil || s["additionalProperties"] != nil:
		known.object = true
	case s["items"] != nil:
		known.array = true
	case s["enum"] != nil:
		known.scalar = true
	}
	return known
}

func shapeOfType(kind any) shape {
	switch kind {
	case "object":
		return shape{object: true}
	case "array":
		return shape{array: true}
	case "null":
		return shape{}
	}
	return shape{scalar: true}
}

// narrow takes of several types, or of the branches of anyOf or oneOf, those whose
// shape fits, where some do and some don't.
func (d *document) narrow(v any, place string, fits func(shape) bool) (any, string, bool) {
	resolved, at, err := d.resolve(v, place)
	if err != nil {
		return v, place, false
	}
	source := object(resolved)
	if kinds := list(source["type"]); len(kinds) > 0 {
		kept := slices.DeleteFunc(slices.Clone(kinds), func(kind any) bool { return !fits(shapeOfType(kind)) })
		if len(kept) == 0 || len(kept) == len(kinds) {
			return v, place, false
		}
		narrowed := maps.Clone(source)
		narrowed["type"] = kept
		return narrowed, at, true
	}
	for _, name := range []string{"anyOf", "oneOf"} {
		branches := list(source[name])
		var kept []any
		var first string
		for i, branch := range branches {
			if fits(d.shapeOf(branch)) {
				if len(kept) == 0 {
					first = at + "/" + name + "/" + strconv.Itoa(i)
				}
				kept = append(kept, branch)
			}
		}
		switch {
		case len(kept) == 0 || len(kept) == len(branches):
			continue
		case len(kept) == 1:
			return kept[0], first, true
		}
		narrowed := maps.Clone(source)
		narrowed[name] = kept
		return narrowed, at, true
	}
	return v, place, false
}

// member is a property of an object schema.
type member struct {
	name     string
	schema   any
	place    string
	required bool
}

// members gathers the properties of an object schema through references, allOf,
// and the branches of anyOf and oneOf, whose properties are all optional here.
// closed is false where further properties may occur.
func (d *document) members(v any, place string) (all []member, closed bool) {
	found := map[string]*member{}
	visits := maxShapes
	closed = true
	d.gather(v, place, true, found, &closed, &visits)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		all = append(all, *found[name])
	}
	return all, closed
}

func (d *document) gather(v any, place string, certain bool, found map[string]*member, closed *bool, visits *int) {
	if *visits--; *visits < 0 {
		return
	}
	resolved, at, err := d.resolve(v, place)
	s := object(resolved)
	if err != nil || s == nil {
		return
	}
	for name, property := range object(s["properties"]) {
		if found[name] == nil {
			found[name] = &member{name: name, schema: property, place: at + "/properties/" + escape(name)}
		}
	}
	if more := s["additionalProperties"]; more != nil && more != false {
		*closed = false
	}
	for i, part := range list(s["allOf"]) {
		d.gather(part, at+"/allOf/"+strconv.Itoa(i), certain, found, closed, visits)
	}
	for _, name := range []string{"anyOf", "oneOf"} {
		for i, branch := range list(s[name]) {
			d.gather(branch, at+"/"+name+"/"+strconv.Itoa(i), false, found, closed, visits)
		}
	}
	for _, name := range list(s["required"]) {
		if m := found[text(name)]; m != nil && certain {
			m.required = true
		}
	}
}
