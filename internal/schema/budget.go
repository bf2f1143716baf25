package schema

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/almyty-inc/toolrun/errclass"
)

// The steps that a check may take: so many for any value, and so many more for
// each of its parts. References and branches can make a check of a short value
// by a short schema take exponential time; such a check is refused.
const (
	baseSteps    = 100_000
	stepsPerPart = 50
)

// maxDigits bounds the digits and the exponent of numbers that are checked: the
// validator computes with them exactly.
const maxDigits = 1000

// tooExpensive refuses a value whose check would exceed the budget.
func (s *Schema) tooExpensive(v any) []errclass.FieldError {
	parts, numbers := size(v)
	if !numbers {
		return endlessNumber(v)
	}
	if s.simple {
		return nil
	}
	b := budget{schema: s, left: baseSteps + stepsPerPart*parts}
	b.spend(s.root, v)
	if b.left < 0 {
		return fault("", "must be shorter or simpler: checking it against the schema takes too long")
	}
	return nil
}

// isSimple reports whether no value can exceed its budget: each of its parts meets
// one schema at most, which compares it with a few values.
func (s *Schema) isSimple() bool {
	for _, one := range s.all {
		switch {
		case one.Enum != nil && len(one.Enum.Values) >= stepsPerPart,
			one.Pattern != nil, one.UniqueItems, one.Contains != nil,
			len(one.PatternProperties) > 0, one.PropertyNames != nil,
			len(s.sameValue(one)) > 0:
			return false
		}
	}
	return true
}

// endlessNumber finds the number that exact arithmetic is too expensive for.
func endlessNumber(v any) (faults []errclass.FieldError) {
	walk(v, "", 0, func(at string, _ int, v any) bool {
		if n, ok := v.(json.Number); ok && !ordinary(n) {
			faults = fault(at, "must be a number of at most %d digits", maxDigits)
		}
		return faults == nil
	})
	return faults
}

// size counts the values within v, itself included, and reports whether its
// numbers are all ordinary.
func size(v any) (parts int, numbers bool) {
	parts, numbers = 1, true
	add := func(v any) {
		p, n := size(v)
		parts += p
		numbers = numbers && n
	}
	switch v := v.(type) {
	case map[string]any:
		for _, member := range v {
			add(member)
		}
	case []any:
		for _, element := range v {
			add(element)
		}
	case json.Number:
		numbers = ordinary(v)
	}
	return parts, numbers
}

// budget walks as the validator would, counting.
type budget struct {
	schema *Schema
	left   int
}

func (b *budget) spend(one *jsonschema.Schema, v any) {
	b.left--
	if one.Enum != nil {
		b.left -= len(one.Enum.Values)
	}
	if b.left < 0 || one.Bool != nil {
		return
	}
	for _, next := range b.schema.sameValue(one) {
		b.spend(next, v)
		if b.left < 0 {
			return
		}
	}
	switch v := v.(type) {
	case map[string]any:
		b.spendObject(one, v)
	case []any:
		b.spendArray(one, v)
	case string:
		if one.Pattern != nil {
			b.left -= matching(one.Pattern, v)
		}
	}
}

func (b *budget) spendObject(one *jsonschema.Schema, object map[string]any) {
	for name, member := range object {
		if b.left < 0 {
			return
		}
		next := one.Properties[name]
		if next != nil {
			b.spend(next, member)
		}
		for pattern, patterned := range one.PatternProperties {
			b.left -= matching(pattern, name)
			if b.left >= 0 && pattern.MatchString(name) {
				b.spend(patterned, member)
			}
		}
		if additional, ok := one.AdditionalProperties.(*jsonschema.Schema); ok && next == nil {
			b.spend(additional, member)
		}
		if one.UnevaluatedProperties != nil && next == nil {
			b.spend(one.UnevaluatedProperties, member)
		}
		if one.PropertyNames != nil {
			b.spend(one.PropertyNames, name)
		}
	}
}

func (b *budget) spendArray(one *jsonschema.Schema, array []any) {
	if one.UniqueItems {
		b.left -= comparing(array)
	}
	tuple, rest := one.PrefixItems, one.Items2020
	switch items := one.Items.(type) {
	case *jsonschema.Schema:
		rest = items
	case []*jsonschema.Schema:
		tuple = items
	}
	if additional, ok := one.AdditionalItems.(*jsonschema.Schema); ok {
		rest = additional
	}
	for i, element := range array {
		if b.left < 0 {
			return
		}
		switch {
		case i < len(tuple):
			b.spend(tuple[i], element)
		case rest != nil:
			b.spend(rest, element)
		case one.UnevaluatedItems != nil:
			b.spend(one.UnevaluatedItems, element)
		}
		if one.Contains != nil {
			b.spend(one.Contains, element)
		}
	}
}

// matching is the price of matching text: RE2 takes the product of both lengths.
func matching(pattern jsonschema.Regexp, text string) int {
	return len(pattern.String()) * len(text) / 4096
}

// comparing is the price of uniqueItems. The validator hashes, but its hash of
// arrays and objects is easy to make collide; then it compares each with each.
func comparing(array []any) int {
	for _, element := range array {
		switch element.(type) {
		case map[string]any, []any:
			return len(array) * len(array) / 32
		}
	}
	return len(array)
}

// ordinary reports whether exact arithmetic with n is cheap.
func ordinary(n json.Number) bool {
	if len(n) > maxDigits {
		return false
	}
	i := strings.IndexAny(string(n), "eE")
	if i < 0 {
		return true
	}
	exponent, err := strconv.Atoi(string(n[i+1:]))
	return err == nil && exponent <= maxDigits && exponent >= -maxDigits
}
