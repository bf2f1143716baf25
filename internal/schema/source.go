package schema

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/almyty-inc/toolrun/errclass"
)

// checkSource refuses what would cost the compiler too much.
func checkSource(doc any) []errclass.FieldError {
	schemas := 0
	var faults []errclass.FieldError
	walk(doc, "", 0, func(pointer string, depth int, v any) bool {
		switch v := v.(type) {
		case map[string]any, bool:
			schemas++
		case json.Number:
			if !ordinary(v) {
				faults = fault(pointer, "must be a number of at most %d digits", maxDigits)
			}
		}
		if depth > MaxDepth {
			faults = fault("", "is nested more than %d levels deep: use $ref and $defs", MaxDepth)
		}
		if schemas > MaxSchemas {
			faults = fault("", "has more than %d parts: make it smaller", MaxSchemas)
		}
		return faults == nil
	})
	return faults
}

// walk calls visit for v and all it holds, in order of their names, as long as
// visit returns true. The value itself is at depth 0; each object and array is
// one level.
func walk(v any, pointer string, depth int, visit func(pointer string, depth int, v any) bool) bool {
	switch v := v.(type) {
	case map[string]any:
		depth++
		if !visit(pointer, depth, v) {
			return false
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if !walk(v[name], pointer+"/"+escape(name), depth, visit) {
				return false
			}
		}
	case []any:
		depth++
		if !visit(pointer, depth, v) {
			return false
		}
		for i, element := range v {
			if !walk(element, pointer+"/"+strconv.Itoa(i), depth, visit) {
				return false
			}
		}
	default:
		return visit(pointer, depth, v)
	}
	return true
}

// dynamicAnchors lists the pointers of the objects that have one.
func dynamicAnchors(doc any) []string {
	var pointers []string
	walk(doc, "", 0, func(pointer string, _ int, v any) bool {
		if object, ok := v.(map[string]any); ok {
			if _, ok := object["$dynamicAnchor"].(string); ok {
				pointers = append(pointers, pointer)
			}
		}
		return true
	})
	return pointers
}

var (
	escaper   = strings.NewReplacer("~", "~0", "/", "~1")
	unescaper = strings.NewReplacer("~1", "/", "~0", "~")
)

// escape writes a name as a token of a JSON pointer (RFC 6901).
func escape(name string) string { return escaper.Replace(name) }

func pointer(tokens []string) string {
	var b strings.Builder
	for _, token := range tokens {
		b.WriteByte('/')
		b.WriteString(escape(token))
	}
	return b.String()
}

func tokens(pointer string) []string {
	if pointer == "" {
		return nil
	}
	list := strings.Split(pointer[1:], "/")
	for i := range list {
		list[i] = unescaper.Replace(list[i])
	}
	return list
}

// fragment writes a pointer as the fragment of a URL.
func fragment(pointer string) string { return (&url.URL{Fragment: pointer}).EscapedFragment() }

// pointerOf is the pointer in a location that the compiler gives.
func pointerOf(place string) string {
	_, after, found := strings.Cut(place, "#")
	if !found {
		return ""
	}
	if plain, err := url.PathUnescape(after); err == nil {
		return plain
	}
	return after
}
