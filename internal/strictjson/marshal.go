package strictjson

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Marshal writes v compactly: names of maps sorted, <, > and & as they are. The
// same value always gives the same bytes.
//
// It follows json/v2: a nil slice is [], a nil map {}, omitempty drops what is
// written as null, "", [] or {} (use omitzero for numbers), strings of invalid
// UTF-8 are an error and so is what JSON can't hold (NaN, functions, cycles).
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := jsontext.NewEncoder(&b)
	if err := write(enc, v, 0); err != nil {
		return nil, explainMarshal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

// Quote is [Marshal] for a string.
func Quote(text string) ([]byte, error) {
	quoted, err := jsontext.AppendQuote(nil, text)
	if err != nil {
		return nil, explainMarshal(err)
	}
	return quoted, nil
}

// write encodes what [Decode] builds by itself, which is faster than by
// reflection, and leaves the rest to json.
func write(enc *jsontext.Encoder, v any, depth int) error {
	if depth > MaxDepth {
		return tooDeep(-1)
	}
	switch v := v.(type) {
	case nil:
		return enc.WriteToken(jsontext.Null)
	case bool:
		return enc.WriteToken(jsontext.Bool(v))
	case string:
		return enc.WriteToken(jsontext.String(v))
	case int64:
		return enc.WriteToken(jsontext.Int(v))
	case stdjson.Number:
		return writeNumber(enc, v)
	case []any:
		if err := enc.WriteToken(jsontext.BeginArray); err != nil {
			return err
		}
		for _, element := range v {
			if err := write(enc, element, depth+1); err != nil {
				return err
			}
		}
		return enc.WriteToken(jsontext.EndArray)
	case map[string]any:
		if err := enc.WriteToken(jsontext.BeginObject); err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if err := enc.WriteToken(jsontext.String(name)); err != nil {
				return err
			}
			if err := write(enc, v[name], depth+1); err != nil {
				return err
			}
		}
		return enc.WriteToken(jsontext.EndObject)
	}
	return json.MarshalEncode(enc, v, json.Deterministic(true), json.WithMarshalers(json.MarshalToFunc(writeNumber)))
}

// writeNumber writes a number as such: to json/v2 its type is a string.
func writeNumber(enc *jsontext.Encoder, n stdjson.Number) error {
	if n == "" {
		n = "0"
	}
	if jsontext.Value(n).Kind() != jsontext.KindNumber {
		return &SyntaxError{Offset: -1, Pointer: string(enc.StackPointer()), Message: "a number isn't written as JSON writes one"}
	}
	return enc.WriteValue(jsontext.Value(n))
}

func explainMarshal(err error) error {
	var known *SyntaxError
	if errors.As(err, &known) {
		return known
	}
	e := &SyntaxError{Offset: -1, Message: "JSON can't hold this value"}
	var syntactic *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case errors.As(err, &semantic):
		e.Pointer = string(semantic.JSONPointer)
	case errors.As(err, &syntactic):
		e.Pointer = string(syntactic.JSONPointer)
		if strings.HasPrefix(syntactic.Err.Error(), "invalid UTF-8") {
			e.Message = "a string isn't valid UTF-8"
		}
	}
	return e
}

// ScalarText is a string, number or boolean, as [Decode] gives it, as text; false
// for anything else.
func ScalarText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case nil, []any, map[string]any:
		return "", false
	}
	text, err := Marshal(v)
	return string(text), err == nil && len(text) > 0 && text[0] != '[' && text[0] != '{' && text[0] != '"'
}
