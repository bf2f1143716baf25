package schema

import (
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/almyty-inc/toolrun/errclass"
)

// collect notes every schema that from can reach.
func (s *Schema) collect(from *jsonschema.Schema) {
	for pending := []*jsonschema.Schema{from}; len(pending) > 0; {
		last := len(pending) - 1
		one := pending[last]
		pending = pending[:last]
		if one == nil || s.all[one.Location] != nil {
			continue
		}
		s.all[one.Location] = one
		if one.DynamicAnchor != "" {
			s.anchors[one.DynamicAnchor] = append(s.anchors[one.DynamicAnchor], one)
		}
		pending = append(pending, s.sameValue(one)...)
		pending = append(pending, members(one)...)
	}
}

// sameValue lists the schemas that are applied to the very value that one is.
// For a dynamic reference those are all that it may end at.
func (s *Schema) sameValue(one *jsonschema.Schema) []*jsonschema.Schema {
	next := []*jsonschema.Schema{one.Ref, one.RecursiveRef, one.Not, one.If, one.Then, one.Else}
	next = append(next, s.dynamic(one)...)
	next = slices.Concat(next, one.AllOf, one.AnyOf, one.OneOf)
	for _, name := range slices.Sorted(maps.Keys(one.DependentSchemas)) {
		next = append(next, one.DependentSchemas[name])
	}
	for _, name := range slices.Sorted(maps.Keys(one.Dependencies)) {
		if dependent, ok := one.Dependencies[name].(*jsonschema.Schema); ok {
			next = append(next, dependent)
		}
	}
	return slices.DeleteFunc(next, func(one *jsonschema.Schema) bool { return one == nil })
}

// dynamic lists what the dynamic reference of one may end at.
func (s *Schema) dynamic(one *jsonschema.Schema) []*jsonschema.Schema {
	if one.DynamicRef == nil {
		return nil
	}
	targets := s.anchors[one.DynamicRef.Anchor]
	if !slices.Contains(targets, one.DynamicRef.Ref) {
		targets = append(slices.Clone(targets), one.DynamicRef.Ref)
	}
	// Within a metaschema it is always the outermost one.
	for _, target := range targets {
		if !local(target) && strings.HasSuffix(target.Location, "/schema#") {
			return []*jsonschema.Schema{target}
		}
	}
	return targets
}

// local reports whether one is part of the schema that was compiled, not of a
// metaschema it refers to.
func local(one *jsonschema.Schema) bool { return strings.HasPrefix(one.Location, location) }

// members lists the schemas that are applied to parts of the value.
func members(one *jsonschema.Schema) []*jsonschema.Schema {
	next := []*jsonschema.Schema{
		one.PropertyNames, one.UnevaluatedProperties, one.Contains, one.Items2020, one.UnevaluatedItems, one.ContentSchema,
	}
	for _, some := range []any{one.AdditionalProperties, one.AdditionalItems, one.Items} {
		switch some := some.(type) {
		case *jsonschema.Schema:
			next = append(next, some)
		case []*jsonschema.Schema:
			next = append(next, some...)
		}
	}
	next = append(next, one.PrefixItems...)
	for _, property := range one.Properties {
		next = append(next, property)
	}
	for _, property := range one.PatternProperties {
		next = append(next, property)
	}
	return next
}

// circles reports the schemas that apply themselves to the same value, which no
// value can satisfy and no validator can finish.
func (s *Schema) circles() []errclass.FieldError {
	const (
		open   = 1
		closed = 2
	)
	state := map[*jsonschema.Schema]int{}
	var faults []errclass.FieldError
	var walk func(one *jsonschema.Schema)
	walk = func(one *jsonschema.Schema) {
		state[one] = open
		for _, next := range s.sameValue(one) {
			if !local(next) {
				continue
			}
			switch state[next] {
			case open:
				faults = append(faults, errclass.FieldError{
					Field:   pointerOf(one.Location),
					Message: "refers back to itself without going into a part of the value: break the circle",
				})
			case closed:
			default:
				walk(next)
			}
		}
		state[one] = closed
	}
	for _, place := range slices.Sorted(maps.Keys(s.all)) {
		if one := s.all[place]; state[one] == 0 && local(one) {
			walk(one)
		}
	}
	return tidy(faults)
}
