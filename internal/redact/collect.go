package redact

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// minDigits is how many digits a number needs to be a secret.
const minDigits = 4

// Collect returns all strings in values, and all numbers of at least 4 digits,
// however deeply they are nested in maps, slices and whatever else JSON can be made
// of; each once, sorted. Names of members are no secrets.
func Collect(values ...any) []string {
	found := map[string]struct{}{}
	for _, v := range values {
		collect(found, v, 0)
	}
	return slices.Sorted(maps.Keys(found))
}

// maxDepth bounds a value that contains itself.
const maxDepth = 1000

func collect(found map[string]struct{}, v any, depth int) {
	if depth > maxDepth {
		return
	}
	switch v := v.(type) {
	case nil, bool:
	case string:
		found[v] = struct{}{}
	case []byte:
		found[string(v)] = struct{}{}
	case json.RawMessage:
		collectJSON(found, v, depth)
	case map[string]any:
		for _, member := range v {
			collect(found, member, depth+1)
		}
	case map[string]string:
		for _, member := range v {
			found[member] = struct{}{}
		}
	case []any:
		for _, element := range v {
			collect(found, element, depth+1)
		}
	case []string:
		for _, element := range v {
			found[element] = struct{}{}
		}
	case float64:
		collectNumber(found, strconv.FormatFloat(v, 'f', -1, 64))
	case float32:
		collectNumber(found, strconv.FormatFloat(float64(v), 'f', -1, 32))
	case json.Number, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		collectNumber(found, fmt.Sprint(v))
	default: // a type of the embedder's own: what tools see of it is its JSON
		if text, err := json.Marshal(v); err == nil {
			collectJSON(found, text, depth)
		}
	}
}

func collectJSON(found map[string]struct{}, text json.RawMessage, depth int) {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var v any
	if d.Decode(&v) == nil {
		collect(found, v, depth+1)
	}
}

func collectNumber(found map[string]struct{}, text string) {
	digits := 0
	for i := range len(text) {
		if '0' <= text[i] && text[i] <= '9' {
			digits++
		}
	}
	if digits >= minDigits {
		found[text] = struct{}{}
	}
}
