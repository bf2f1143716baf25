package schema

import (
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/almyty-inc/toolrun/internal/strictjson"
)

const (
	maxListed = 10  // values of an enum
	maxQuoted = 60  // characters of one of them, or of a name
	maxRegex  = 120 // characters of a pattern
)

// phrase says what a value must be. It quotes the schema, never the value.
func phrase(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return "must be " + typeList(k.Want)
	case *kind.Enum:
		return notListed(k.Got, k.Want)
	case *kind.Const:
		return oneOf([]any{k.Want})
	case *kind.Format:
		return "must be a valid " + formatName(k.Want)
	case *kind.Pattern:
		return "must match pattern " + shorten(k.Want, maxRegex)
	case *kind.Minimum:
		return "must be at least " + decimal(k.Want)
	case *kind.Maximum:
		return "must be at most " + decimal(k.Want)
	case *kind.ExclusiveMinimum:
		return "must be greater than " + decimal(k.Want)
	case *kind.ExclusiveMaximum:
		return "must be less than " + decimal(k.Want)
	case *kind.MultipleOf:
		return "must be a multiple of " + decimal(k.Want)
	case *kind.MinLength:
		if k.Want == 1 {
			return "must not be empty"
		}
		return "must have at least " + amount(k.Want, "character", "characters")
	case *kind.MaxLength:
		return "must have at most " + amount(k.Want, "character", "characters")
	case *kind.MinItems:
		return "must have at least " + amount(k.Want, "item", "items")
	case *kind.MaxItems:
		return "must have at most " + amount(k.Want, "item", "items")
	case *kind.AdditionalItems:
		return "has " + amount(k.Count, "item", "items") + " too many"
	case *kind.UniqueItems:
		return "must not have equal items: " + strconv.Itoa(k.Duplicates[0]) + " and " + strconv.Itoa(k.Duplicates[1]) + " are"
	case *kind.MinProperties:
		return "must have at least " + amount(k.Want, "property", "properties")
	case *kind.MaxProperties:
		return "must have at most " + amount(k.Want, "property", "properties")
	case *kind.Contains:
		return "must contain at least 1 item of the form that contains asks for"
	case *kind.MinContains:
		return "must contain at least " + amount(k.Want, "item", "items") + " of the form that contains asks for"
	case *kind.MaxContains:
		return "must contain at most " + amount(k.Want, "item", "items") + " of the form that contains asks for"
	case *kind.OneOf:
		message := "must match exactly one of the allowed forms"
		if len(k.Subschemas) > 1 {
			message += ", but matches number " + strconv.Itoa(k.Subschemas[0]+1) + " and " + strconv.Itoa(k.Subschemas[1]+1)
		}
		return message
	case *kind.Not:
		return "must not be of the form that the schema rules out"
	case *kind.RefCycle:
		return "can't be checked: the schema refers back to itself without end"
	case *kind.InvalidJsonValue:
		return "must be a value of JSON"
	}
	return "is not valid"
}

// typeList joins types: "string", "string or null", "string, number or null".
func typeList(types []string) string {
	var list []string
	for _, t := range types {
		if t != "null" && !slices.Contains(list, t) {
			list = append(list, t)
		}
	}
	if slices.Contains(types, "null") {
		list = append(list, "null")
	}
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " or " + list[last]
}

func oneOf(values []any) string {
	var list []string
	for _, v := range values {
		text, err := strictjson.Marshal(v)
		if err != nil {
			continue
		}
		if one := shorten(string(text), maxQuoted); !slices.Contains(list, one) {
			list = append(list, one)
		}
	}
	switch {
	case len(list) == 0:
		return "is not allowed"
	case len(list) == 1:
		return "must be " + list[0]
	case len(list) > maxListed:
		return "must be one of: " + strings.Join(list[:maxListed], ", ") + " and " + strconv.Itoa(len(list)-maxListed) + " more"
	}
	return "must be one of: " + strings.Join(list, ", ")
}

var formatNames = map[string]string{
	"date-time": "date and time as in 2026-01-31T12:00:00Z",
	"date":      "date as in 2026-01-31",
	"time":      "time as in 12:00:00Z",
	"duration":  "duration as in P3DT12H",
	"ipv4":      "IPv4 address",
	"ipv6":      "IPv6 address",
	"hostname":  "host name",
	"uri":       "URI with its scheme",
	"iri":       "IRI with its scheme",
	"uuid":      "UUID",
	"regex":     "regular expression (RE2 syntax)",
}

func formatName(format string) string {
	if name, ok := formatNames[format]; ok {
		return name
	}
	return shorten(format, maxQuoted)
}

func amount(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// decimal writes a number of the schema.
func decimal(r *big.Rat) string {
	if r.IsInt() {
		return shorten(r.Num().String(), maxQuoted)
	}
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// quote quotes a name.
func quote(name string) string { return strconv.Quote(shorten(name, maxQuoted)) }

// shorten cuts text after limit characters.
func shorten(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}
