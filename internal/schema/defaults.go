package schema

import (
	"maps"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/almyty-inc/toolrun/errclass"
)

// maxDefaults bounds the steps of one [Schema.WithDefaults]: a default may
// itself hold objects with defaults, without end.
const maxDefaults = 10_000

// WithDefaults returns v with the missing properties that have a default, and
// whether there were any. v itself stays as it is; what is unchanged is shared
// with it.
//
// Defaults are looked for in properties, in the elements of arrays (items and
// prefixItems), through local $ref and in every part of allOf; the first one
// found wins. A missing object is made only where it has a default of its own.
// anyOf, oneOf, if and not are left alone: which of their branches applies is
// known only after validation, and a default could change the answer.
func (s *Schema) WithDefaults(v any) (any, bool) {
	if !s.defaults {
		return v, false
	}
	parts, _ := size(v)
	f := filler{steps: baseSteps + stepsPerPart*parts, left: maxDefaults, made: map[*jsonschema.Schema]bool{}}
	return f.fill(s.root, v)
}

type filler struct {
	steps int // schemas that may still be applied
	left  int // defaults that may still be made
	// made holds the schemas whose defaults are being filled within a default:
	// one within itself would go on for ever.
	made map[*jsonschema.Schema]bool
}

// fill returns v with defaults, copied if there are any.
func (f *filler) fill(one *jsonschema.Schema, v any) (any, bool) {
	f.steps--
	if f.steps < 0 || one == nil || one.Bool != nil {
		return v, false
	}
	changed := false
	apply := func(next any, did bool) {
		if did {
			v, changed = next, true
		}
	}
	switch whole := v.(type) {
	case map[string]any:
		apply(f.fillObject(one, whole))
	case []any:
		apply(f.fillArray(one, whole))
	default:
		return v, false
	}
	if one.Ref != nil && local(one.Ref) {
		apply(f.fill(one.Ref, v))
	}
	for _, part := range one.AllOf {
		apply(f.fill(part, v))
	}
	return v, changed
}

func (f *filler) fillObject(one *jsonschema.Schema, object map[string]any) (any, bool) {
	filled := object
	changed := false
	set := func(name string, member any) {
		if !changed {
			filled, changed = make(map[string]any, len(object)+1), true
			maps.Copy(filled, object)
		}
		filled[name] = member
	}
	for _, name := range slices.Sorted(maps.Keys(one.Properties)) {
		property := one.Properties[name]
		if member, ok := object[name]; ok {
			if next, did := f.fill(property, member); did {
				set(name, next)
			}
			continue
		}
		if member, ok := f.byDefault(property); ok {
			set(name, member)
		}
	}
	return filled, changed
}

func (f *filler) fillArray(one *jsonschema.Schema, array []any) (any, bool) {
	tuple, rest := elements(one)
	if len(tuple) == 0 && rest == nil {
		return array, false
	}
	filled := array
	changed := false
	for i, element := range array {
		schema := rest
		if i < len(tuple) {
			schema = tuple[i]
		}
		if next, did := f.fill(schema, element); did {
			if !changed {
				filled, changed = slices.Clone(array), true
			}
			filled[i] = next
		}
	}
	return filled, changed
}

// elements are the schemas of an array's first elements and of the others.
func elements(one *jsonschema.Schema) (tuple []*jsonschema.Schema, rest *jsonschema.Schema) {
	switch items := one.Items.(type) { // before 2020-12
	case *jsonschema.Schema:
		return one.PrefixItems, items
	case []*jsonschema.Schema:
		rest, _ = one.AdditionalItems.(*jsonschema.Schema)
		return items, rest
	}
	return one.PrefixItems, one.Items2020
}

// byDefault is the default of a property that is missing, with the defaults
// within it.
func (f *filler) byDefault(property *jsonschema.Schema) (any, bool) {
	found := defaultOf(property, map[*jsonschema.Schema]bool{})
	if found == nil || f.left <= 0 {
		return nil, false
	}
	f.left--
	v := clone(*found)
	if f.made[property] {
		return v, true
	}
	f.made[property] = true
	defer delete(f.made, property)
	v, _ = f.fill(property, v)
	return v, true
}

// defaultOf is the default that a schema gives for a missing value.
func defaultOf(one *jsonschema.Schema, seen map[*jsonschema.Schema]bool) *any {
	if one == nil || seen[one] {
		return nil
	}
	seen[one] = true
	if one.Default != nil {
		return one.Default
	}
	if one.Ref != nil && local(one.Ref) {
		if found := defaultOf(one.Ref, seen); found != nil {
			return found
		}
	}
	for _, part := range one.AllOf {
		if found := defaultOf(part, seen); found != nil {
			return found
		}
	}
	return nil
}

// CheckDefaults returns the defaults that [Schema.WithDefaults] would fill in and
// [Schema.Validate] would then refuse, whatever else the value holds. Pointers
// lead into the schema.
func (s *Schema) CheckDefaults() []errclass.FieldError {
	var faults []errclass.FieldError
	seen := map[*jsonschema.Schema]bool{}
	var visit func(one *jsonschema.Schema)
	visit = func(one *jsonschema.Schema) {
		if one == nil || seen[one] || one.Bool != nil || !local(one) {
			return
		}
		seen[one] = true
		for _, name := range slices.Sorted(maps.Keys(one.Properties)) {
			property := one.Properties[name]
			if f, broken := s.checkDefault(property); broken {
				faults = append(faults, f)
			}
			visit(property)
		}
		for _, part := range appliedElements(one) {
			visit(part)
		}
		visit(one.Ref)
		for _, part := range one.AllOf {
			visit(part)
		}
	}
	visit(s.root)
	return tidy(faults)
}

// appliedElements are the schemas whose defaults are filled in an array's
// elements.
func appliedElements(one *jsonschema.Schema) []*jsonschema.Schema {
	tuple, rest := elements(one)
	return append(slices.Clone(tuple), rest)
}

func (s *Schema) checkDefault(property *jsonschema.Schema) (errclass.FieldError, bool) {
	f := filler{steps: baseSteps, left: maxDefaults, made: map[*jsonschema.Schema]bool{}}
	v, ok := f.byDefault(property)
	if !ok {
		return errclass.FieldError{}, false
	}
	faults := (&Schema{root: property, all: s.all, anchors: s.anchors}).Validate(v)
	if len(faults) == 0 {
		return errclass.FieldError{}, false
	}
	where, what := pointerOf(property.Location), "has a default that breaks its schema: " // of a $ref or of allOf
	if property.Default != nil {
		where, what = where+"/default", "breaks its own schema: "
	}
	message := faults[0].Message
	if at := path(faults[0].Field); at != "" {
		message = at + " " + message
	}
	return errclass.FieldError{Field: where, Message: what + message}, true
}

// TakesObjects reports whether the schema's type leaves room for an object.
func (s *Schema) TakesObjects() bool {
	for one, steps := s.root, 0; one != nil && steps < MaxDepth; one, steps = one.Ref, steps+1 {
		if one.Types != nil && !one.Types.IsEmpty() && !slices.Contains(one.Types.ToStrings(), "object") {
			return false
		}
	}
	return true
}

// clone copies what a value holds, so that no two results share it.
func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		copied := make(map[string]any, len(v))
		for name, member := range v {
			copied[name] = clone(member)
		}
		return copied
	case []any:
		copied := make([]any, len(v))
		for i, element := range v {
			copied[i] = clone(element)
		}
		return copied
	}
	return v
}
