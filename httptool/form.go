package httptool

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/expression"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

const (
	// maxFormDepth bounds how deeply a value of a query or form is nested.
	maxFormDepth = 16
	// maxFormName bounds an encoded name, in bytes: each value repeats those of
	// all that it stands in.
	maxFormName = 4 << 10
)

// field is a named JSON value, of a query or a form.
type field struct {
	name  string
	value *expression.Tree
	// literal fields have objects that are written in the definition: in multipart
	// those are files, and one whose content is absent is left out.
	literal bool
}

// fields compiles the values of a query or form; check finds the faults of
// those that aren't scalars.
func (c *compiler) fields(pointer string, values map[string]any, check func(at string, v any)) []field {
	compiled := make([]field, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		at, before := pointer+"/"+pointerName(name), len(c.faults)
		v := values[name]
		if v == nil {
			continue
		}
		check(at, v)
		if len(c.faults) > before {
			continue
		}
		if tree := c.tree(at, v); tree != nil {
			array, _ := v.([]any)
			compiled = append(compiled, field{name, tree, isObject(v) || slices.ContainsFunc(array, isObject)})
		}
	}
	return compiled
}

// checkNested finds the faults of a value in a query or an urlencoded form.
func (c *compiler) checkNested(at string, v any) { c.checkNestedAt(at, v, 0) }

func (c *compiler) checkNestedAt(at string, v any, depth int) {
	if depth > maxFormDepth {
		c.fault(at, nestedTooDeeply)
		return
	}
	switch v := v.(type) {
	case nil:
	case []any:
		for i, element := range v {
			c.checkNestedAt(at+"/"+strconv.Itoa(i), element, depth+1)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			below := at + "/" + pointerName(name)
			if !isMemberName(name) {
				c.fault(below, wrongMemberName)
				continue
			}
			c.checkNestedAt(below, v[name], depth+1)
		}
	default:
		if _, ok := strictjson.ScalarText(v); !ok {
			c.fault(at, "must be a string, number, boolean, array or object")
		}
	}
}

const wrongMemberName = "a name within a query or form must not be empty or hold [ or ]"

var nestedTooDeeply = "is nested more than " + strconv.Itoa(maxFormDepth) + " deep"

// isMemberName reports whether a member's name stays one name between brackets.
func isMemberName(name string) bool { return name != "" && !strings.ContainsAny(name, "[]") }

// appendFields appends name=value pairs to an encoded query.
func appendFields(query string, fields []field, s *expression.Scope) (string, error) {
	if len(fields) == 0 {
		return query, nil
	}
	b := []byte(query)
	for _, f := range fields {
		v, present, err := f.value.Value(s)
		if err != nil {
			return "", err
		}
		if !present {
			continue
		}
		name, _ := expression.QueryComponent(f.name)
		if b, err = appendPair(b, name, v); err != nil {
			return "", err
		}
	}
	return string(b), nil
}

// appendPair appends a value under an encoded name. An array of scalars repeats
// the name. Whatever is deeper gets names with brackets, as PHP, Rails and
// Stripe read them: a[b]=x, a[b][0]=x, a[0][b]=x.
func appendPair(b []byte, name string, v any) ([]byte, error) {
	array, ok := v.([]any)
	if !ok || slices.ContainsFunc(array, isNested) {
		return appendNested(b, name, v, 0)
	}
	for _, element := range array {
		var err error
		if b, err = appendNested(b, name, element, 0); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func isNested(v any) bool {
	_, isArray := v.([]any)
	return isArray || isObject(v)
}

func isObject(v any) bool {
	_, ok := v.(map[string]any)
	return ok
}

func appendNested(b []byte, name string, v any, depth int) ([]byte, error) {
	if depth > maxFormDepth {
		return nil, badInput("%s: %s", shownName(name), nestedTooDeeply)
	}
	if len(name) > maxFormName {
		return nil, badInput("%s: the name is longer than %d bytes", shownName(name), maxFormName)
	}
	var err error
	switch v := v.(type) {
	case nil:
	case []any:
		index := 0
		for _, element := range v {
			if element == nil { // left out, and not counted
				continue
			}
			if b, err = appendNested(b, name+"%5B"+strconv.Itoa(index)+"%5D", element, depth+1); err != nil {
				return nil, err
			}
			index++
		}
	case map[string]any:
		for _, member := range slices.Sorted(maps.Keys(v)) {
			if !isMemberName(member) {
				return nil, badInput("%s: %s", shownName(name), wrongMemberName)
			}
			encoded, _ := expression.QueryComponent(member)
			if b, err = appendNested(b, name+"%5B"+encoded+"%5D", v[member], depth+1); err != nil {
				return nil, err
			}
		}
	default:
		return appendScalar(b, name, v)
	}
	return b, nil
}

func appendScalar(b []byte, name string, v any) ([]byte, error) {
	text, ok := strictjson.ScalarText(v)
	if !ok {
		return nil, badInput("%s: a query or form takes what JSON can hold", shownName(name))
	}
	value, _ := expression.QueryComponent(text)
	if len(b)+len(name)+len(value) > maxBodyBytes {
		return nil, bodyTooLarge()
	}
	if len(b) > 0 {
		b = append(b, '&')
	}
	return append(append(append(b, name...), '='), value...), nil
}

// shownName is an encoded name for a message.
func shownName(name string) string {
	if decoded, err := url.QueryUnescape(name); err == nil {
		name = decoded
	}
	return errclass.OneLine(name, 80)
}
