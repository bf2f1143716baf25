package schema

import (
	"cmp"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/almyty-inc/toolrun/errclass"
)

// branch is one form of an anyOf or oneOf, and why the value isn't of it.
type branch struct {
	err    *jsonschema.ValidationError
	faults []errclass.FieldError
}

// branches explains why a value is of none of several forms. The caller meant
// one of them; so, in this order: name the types or values that would do; report
// the one form whose type or marker fits; the one that got furthest; or else
// list what the forms ask for.
func (e *explainer) branches(at string, causes []*jsonschema.ValidationError) []errclass.FieldError {
	var all []branch
	for _, cause := range causes {
		if faults := tidy(e.faults(cause)); len(faults) > 0 {
			all = append(all, branch{cause, faults})
		}
	}
	if len(all) == 0 {
		return []errclass.FieldError{{Field: at, Message: "is not of an allowed form"}}
	}
	if message := alternatives(at, all); message != "" {
		return []errclass.FieldError{{Field: at, Message: message}}
	}
	meant := slices.DeleteFunc(slices.Clone(all), func(b branch) bool { return b.wrongType(at) })
	if len(meant) == 0 {
		meant = all
	}
	if len(meant) == 1 {
		return meant[0].faults
	}
	if faults := sameMarker(meant); faults != nil {
		return faults
	}
	if fitting := slices.DeleteFunc(slices.Clone(meant), branch.wrongMarker); len(fitting) == 1 {
		return fitting[0].faults
	} else if len(fitting) > 1 {
		meant = fitting
	}
	return furthest(at, meant)
}

// leaf is the one error that a branch consists of, or nil if there are more.
func (b branch) leaf() *jsonschema.ValidationError {
	err := b.err
	for {
		switch err.ErrorKind.(type) {
		case *kind.Group, *kind.Reference, *kind.AllOf, *kind.AnyOf, *kind.OneOf:
			if len(err.Causes) != 1 {
				return nil
			}
			err = err.Causes[0]
		default:
			return err
		}
	}
}

// wrongType reports whether the branch is for another type of value.
func (b branch) wrongType(at string) bool {
	leaf := b.leaf()
	if leaf == nil || pointer(leaf.InstanceLocation) != at {
		return false
	}
	_, wrong := leaf.ErrorKind.(*kind.Type)
	return wrong
}

// wrongMarker reports whether a member is not the constant that the branch is
// told by.
func (b branch) wrongMarker() bool {
	found := false
	visit(b.err, func(err *jsonschema.ValidationError) {
		switch err.ErrorKind.(type) {
		case *kind.Const, *kind.Enum:
			found = found || len(err.InstanceLocation) == len(b.err.InstanceLocation)+1
		}
	})
	return found
}

// visit calls f for all errors that must each be mended.
func visit(err *jsonschema.ValidationError, f func(*jsonschema.ValidationError)) {
	switch err.ErrorKind.(type) {
	case *kind.Group, *kind.Reference, *kind.AllOf:
		for _, cause := range err.Causes {
			visit(cause, f)
		}
	default:
		f(err)
	}
}

// alternatives joins the types or values that the branches ask for, if that is
// all they ask for.
func alternatives(at string, all []branch) string {
	var types []string
	var values []any
	fits := false // whether the value is of the values' type
	for _, b := range all {
		leaf := b.leaf()
		if leaf == nil || pointer(leaf.InstanceLocation) != at {
			return ""
		}
		switch k := leaf.ErrorKind.(type) {
		case *kind.Type:
			types = append(types, k.Want...)
		case *kind.Const:
			values = append(values, k.Want)
			fits = fits || sameType(k.Got, []any{k.Want})
		case *kind.Enum:
			values = append(values, k.Want...)
			fits = fits || sameType(k.Got, k.Want)
		default:
			return ""
		}
	}
	switch {
	case len(values) == 0:
		return "must be " + typeList(types)
	case len(types) == 0 || fits:
		return oneOf(values)
	}
	return oneOf(values) + ", or be " + typeList(types)
}

// sameType reports whether one of the values has the type of v in JSON.
func sameType(v any, values []any) bool {
	return slices.ContainsFunc(values, func(value any) bool { return typeName(v) == typeName(value) })
}

func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	}
	return "number"
}

// sameMarker explains branches that are told by constants of one member, none of
// which the value has.
func sameMarker(all []branch) []errclass.FieldError {
	var values []any
	at := ""
	for _, b := range all {
		found := false
		visit(b.err, func(err *jsonschema.ValidationError) {
			if found || len(err.InstanceLocation) != len(b.err.InstanceLocation)+1 {
				return
			}
			place := pointer(err.InstanceLocation)
			if at != "" && place != at {
				return
			}
			switch k := err.ErrorKind.(type) {
			case *kind.Const:
				values, found, at = append(values, k.Want), true, place
			case *kind.Enum:
				values, found, at = append(values, k.Want...), true, place
			}
		})
		if !found {
			return nil
		}
	}
	return []errclass.FieldError{{Field: at, Message: oneOf(values)}}
}

// furthest reports the branch whose faults lie deepest, then the one with the
// fewest; where two are level, what each asks for.
func furthest(at string, all []branch) []errclass.FieldError {
	rank := func(a, b branch) int {
		return cmp.Or(cmp.Compare(b.shallowest(), a.shallowest()), cmp.Compare(len(a.faults), len(b.faults)))
	}
	slices.SortStableFunc(all, rank)
	if rank(all[0], all[1]) != 0 || slices.Equal(all[0].faults, all[1].faults) {
		return all[0].faults
	}
	var forms []string
	for _, b := range all {
		if rank(all[0], b) != 0 {
			break
		}
		var parts []string
		for _, f := range b.faults[:min(3, len(b.faults))] {
			parts = append(parts, strings.TrimSpace(relative(at, f.Field)+" "+f.Message))
		}
		form := strings.Join(parts, " and ")
		if !slices.Contains(forms, form) {
			forms = append(forms, form)
		}
	}
	if len(forms) > 3 {
		forms = append(forms[:3], "another form")
	}
	message := "must match one of the allowed forms: either " + strings.Join(forms, ", or ")
	return []errclass.FieldError{{Field: at, Message: errclass.OneLine(message, 300)}}
}

// shallowest is how deep the branch's first obstacle lies.
func (b branch) shallowest() int {
	depth := -1
	for _, f := range b.faults {
		n := strings.Count(f.Field, "/")
		if strings.HasPrefix(f.Message, "is required") || strings.HasPrefix(f.Message, "is not allowed") {
			n-- // a fault of the object, not of the member
		}
		if depth < 0 || n < depth {
			depth = n
		}
	}
	return depth
}

// relative is how a field reads from the value at at.
func relative(at, field string) string {
	return path(strings.TrimPrefix(field, at))
}
