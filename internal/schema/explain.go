package schema

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/almyty-inc/toolrun/errclass"
)

const (
	// maxFaults bounds how many faults are reported.
	maxFaults = 50
	// maxPointer bounds a reported pointer, in bytes: names are the caller's.
	maxPointer = 500
)

// explainer turns the validator's tree of errors into faults.
type explainer struct {
	// schemas, where not nil, help with suggestions.
	schemas map[string]*jsonschema.Schema
	// value is what was validated.
	value any
	// patterns: the value is a schema, so a bad pattern may be quoted.
	patterns bool
}

// faults explains one error and those beneath it.
func (e *explainer) faults(err *jsonschema.ValidationError) []errclass.FieldError {
	at := pointer(err.InstanceLocation)
	switch k := err.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		return e.causes(err)
	case *kind.AnyOf:
		return e.branches(at, err.Causes)
	case *kind.OneOf:
		if len(k.Subschemas) == 0 {
			return e.branches(at, err.Causes)
		}
	case *kind.Required:
		return each(at, k.Missing, "is required")
	case *kind.DependentRequired:
		return each(at, k.Missing, "is required where "+quote(k.Prop)+" is given")
	case *kind.Dependency:
		return each(at, k.Missing, "is required where "+quote(k.Prop)+" is given")
	case *kind.AdditionalProperties:
		var faults []errclass.FieldError
		for _, name := range k.Properties {
			faults = append(faults, errclass.FieldError{
				Field:   at + "/" + escape(name),
				Message: notAllowed(name, e.declared(err.SchemaURL, err.InstanceLocation)),
			})
		}
		return faults
	case *kind.FalseSchema:
		return []errclass.FieldError{{Field: at, Message: e.forbidden(err)}}
	case *kind.PropertyNames:
		at = pointer(e.holder(err.InstanceLocation, k.Property))
		return []errclass.FieldError{{Field: at + "/" + escape(k.Property), Message: "has a name that is not allowed" + e.because(err)}}
	case *kind.Format:
		if e.patterns && k.Want == "regex" {
			return []errclass.FieldError{{Field: at, Message: regexFault(k.Err)}}
		}
	}
	return []errclass.FieldError{{Field: at, Message: phrase(err.ErrorKind)}}
}

func (e *explainer) causes(err *jsonschema.ValidationError) []errclass.FieldError {
	var faults []errclass.FieldError
	for _, cause := range err.Causes {
		faults = append(faults, e.faults(cause)...)
	}
	return faults
}

func each(at string, names []string, message string) []errclass.FieldError {
	var faults []errclass.FieldError
	for _, name := range names {
		faults = append(faults, errclass.FieldError{Field: at + "/" + escape(name), Message: message})
	}
	return faults
}

// holder is where the object stands that has the refused name. The validator
// hands out a location that it goes on to overwrite (v6.0.3), of which only the
// length can be relied on.
func (e *explainer) holder(tokens []string, name string) []string {
	if object, ok := lookup(e.value, tokens).(map[string]any); ok {
		if _, ok := object[name]; ok {
			return tokens
		}
	}
	if found := search(e.value, len(tokens), name); found != nil {
		return found
	}
	return tokens
}

// search finds an object at the given depth that has the name.
func search(v any, depth int, name string) []string {
	switch v := v.(type) {
	case map[string]any:
		if depth == 0 {
			if _, ok := v[name]; ok {
				return []string{}
			}
			return nil
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if rest := search(v[key], depth-1, name); rest != nil {
				return append([]string{key}, rest...)
			}
		}
	case []any:
		for i, element := range v {
			if depth == 0 {
				return nil
			}
			if rest := search(element, depth-1, name); rest != nil {
				return append([]string{strconv.Itoa(i)}, rest...)
			}
		}
	}
	return nil
}

// because is why a property's name is refused, which the validator says of the
// name as if it were the value.
func (e *explainer) because(err *jsonschema.ValidationError) string {
	inner := explainer{patterns: e.patterns}
	faults := tidy(inner.causes(err))
	if len(faults) == 0 {
		return ""
	}
	return ": it " + faults[0].Message
}

// forbidden words a schema that is false: what it applies to must not be there.
func (e *explainer) forbidden(err *jsonschema.ValidationError) string {
	if len(err.InstanceLocation) == 0 {
		return "must not be given"
	}
	parent, isUnevaluated := strings.CutSuffix(err.SchemaURL, "/unevaluatedProperties")
	if !isUnevaluated {
		return "is not allowed"
	}
	last := len(err.InstanceLocation) - 1
	return notAllowed(err.InstanceLocation[last], e.declared(parent, err.InstanceLocation[:last]))
}

// declared lists the properties that the schema at place declares, of itself or
// through what it applies to the same value, less those the value has already.
func (e *explainer) declared(place string, instance []string) []string {
	taken, _ := lookup(e.value, instance).(map[string]any)
	names := map[string]bool{}
	seen := map[*jsonschema.Schema]bool{}
	all := Schema{}
	pending := []*jsonschema.Schema{e.schemas[place]}
	for len(pending) > 0 {
		one := pending[0]
		pending = pending[1:]
		if one == nil || seen[one] {
			continue
		}
		seen[one] = true
		for name := range one.Properties {
			if _, ok := taken[name]; !ok {
				names[name] = true
			}
		}
		pending = append(pending, all.sameValue(one)...)
	}
	list := make([]string, 0, len(names))
	for name := range names {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// lookup is the part of v that the tokens lead to, or nil.
func lookup(v any, tokens []string) any {
	for _, token := range tokens {
		switch whole := v.(type) {
		case map[string]any:
			v = whole[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(whole) {
				return nil
			}
			v = whole[i]
		default:
			return nil
		}
	}
	return v
}

// tidy sorts faults, drops repeated ones and bounds their number and length.
func tidy(faults []errclass.FieldError) []errclass.FieldError {
	slices.SortFunc(faults, func(a, b errclass.FieldError) int {
		return comparePointers(a, b)
	})
	faults = slices.Compact(faults)
	if len(faults) > maxFaults {
		faults = faults[:maxFaults]
	}
	for i := range faults {
		if f := &faults[i]; len(f.Field) > maxPointer {
			f.Field = strings.ToValidUTF8(f.Field[:maxPointer], "") + "…"
		}
	}
	return faults
}

// comparePointers orders by pointer, the elements of an array by number.
func comparePointers(a, b errclass.FieldError) int {
	x, y := a.Field, b.Field
	for x != "" && y != "" {
		var token, other string
		token, x = head(x)
		other, y = head(y)
		if c := compareTokens(token, other); c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(a.Message, b.Message))
}

// head splits off the first token of a pointer that isn't empty.
func head(pointer string) (token, rest string) {
	if i := strings.IndexByte(pointer[1:], '/'); i >= 0 {
		return pointer[1 : i+1], pointer[i+1:]
	}
	return pointer[1:], ""
}

func compareTokens(a, b string) int {
	if isIndex(a) && isIndex(b) && len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// isIndex reports whether a pointer's token is written like an array's index.
func isIndex(token string) bool {
	if token == "" || len(token) > 9 || len(token) > 1 && token[0] == '0' {
		return false
	}
	return strings.Trim(token, "0123456789") == ""
}
