package expression

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// textOf is v as it stands in a text: strings as they are, everything else as
// JSON. A text of more than limit bytes is a fault.
func textOf(v any, limit int) (string, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}
	b, err := appendJSON(nil, v, limit, 0)
	return string(b), err
}

// scalarText is v in a text that + makes.
func scalarText(v any) (string, error) {
	switch v.(type) {
	case []any, map[string]any:
		return "", fault("an array or object can't be joined to a text: use json(x)")
	}
	return textOf(v, maxString)
}

// appendJSON appends v as compact JSON with sorted names, as strictjson.Marshal
// writes it, but gives up as soon as there are more than limit bytes.
func appendJSON(b []byte, v any, limit, depth int) ([]byte, error) {
	if depth > strictjson.MaxDepth {
		return nil, fault("the value is nested too deeply")
	}
	v, err := plain(v)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case nil:
		b = append(b, "null"...)
	case bool:
		b = strconv.AppendBool(b, v)
	case int64:
		b = strconv.AppendInt(b, v, 10)
	case float64:
		if !finite(v) {
			return nil, fault("JSON can't hold this number")
		}
		b = appendFloat(b, v)
	case json.Number:
		if !jsonNumber(string(v)) {
			return nil, fault("JSON can't hold this number")
		}
		b = append(b, v...)
	case string:
		if len(v) > limit {
			return nil, tooLong
		}
		if b, err = jsontext.AppendQuote(b, v); err != nil {
			return nil, fault("a text isn't valid UTF-8")
		}
	case []any:
		b = append(b, '[')
		for i, element := range v {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendJSON(b, element, limit, depth+1); err != nil {
				return nil, err
			}
		}
		b = append(b, ']')
	case map[string]any:
		b = append(b, '{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendJSON(b, name, limit, depth+1); err != nil {
				return nil, err
			}
			b = append(b, ':')
			if b, err = appendJSON(b, v[name], limit, depth+1); err != nil {
				return nil, err
			}
		}
		b = append(b, '}')
	}
	if len(b) > limit {
		return nil, tooLong
	}
	return b, nil
}

const tooLong = fault("the JSON of a value comes out too long")

// appendFloat writes f as ECMAScript and so JSON.stringify do (RFC 8785,
// section 3.2.2.3): 10 rather than 1e+01.
func appendFloat(b []byte, f float64) []byte {
	if f == 0 {
		return append(b, '0') // also -0
	}
	if abs := math.Abs(f); abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	b = strconv.AppendFloat(b, f, 'e', -1, 64)
	if n := len(b); b[n-2] == '0' && (b[n-3] == '-' || b[n-3] == '+') { // e-07 is e-7
		b = append(b[:n-2], b[n-1])
	}
	return b
}
