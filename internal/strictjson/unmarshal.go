package strictjson

import (
	stdjson "encoding/json"
	"errors"
	"reflect"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Unmarshal reads one value into a Go value, by its json tags. Unknown members
// are refused, names match in their exact case. What the Go value leaves open
// (any) is read as by [Decode].
//
// It follows json/v2: a missing member leaves its field alone, null sets it to
// zero, and a time.Duration needs a format.
func Unmarshal(data []byte, into any) error { return unmarshal(data, into, true) }

// UnmarshalKnown is [Unmarshal] for text whose members were checked already: it
// passes over those that the Go value has no place for.
func UnmarshalKnown(data []byte, into any) error { return unmarshal(data, into, false) }

func unmarshal(data []byte, into any, strict bool) error {
	if err := checkDepth(data); err != nil {
		return err
	}
	return explain(json.Unmarshal(data, into, json.RejectUnknownMembers(strict), json.WithUnmarshalers(json.JoinUnmarshalers(
		json.UnmarshalFromFunc(unmarshalAny), json.UnmarshalFromFunc(unmarshalNumber),
	))), data)
}

func unmarshalAny(dec *jsontext.Decoder, into *any) error {
	if *into != nil && reflect.TypeOf(*into).Kind() == reflect.Pointer {
		return errors.ErrUnsupported // the caller wants what it points to
	}
	r := reader{dec: dec}
	v, err := r.value()
	if err == nil {
		*into = v
	}
	return err
}

func unmarshalNumber(dec *jsontext.Decoder, into *stdjson.Number) error {
	if kind := dec.PeekKind(); kind != jsontext.KindNumber && kind != jsontext.KindNull {
		wrong, err := dec.ReadValue()
		if err != nil {
			return err
		}
		return &SyntaxError{
			Offset: dec.InputOffset() - int64(len(wrong)), Pointer: string(dec.StackPointer()), Message: "must be a number",
		}
	}
	text, err := dec.ReadValue()
	if err != nil {
		return err
	}
	*into = ""
	if text.Kind() == jsontext.KindNumber {
		*into = stdjson.Number(text)
	}
	return nil
}

// mismatch says what a value must be to fit its field, in JSON's words.
func mismatch(e *json.SemanticError) string {
	if errors.Is(e.Err, json.ErrUnknownName) {
		return "unknown field " + quoteName(e.JSONPointer.LastToken())
	}
	if e.GoType == nil {
		return "is not what is expected here"
	}
	t := e.GoType
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		return "must be a string"
	case reflect.Bool:
		return "must be true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "must be an integer that fits in " + bits(t)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "must be an integer, not negative, that fits in " + bits(t)
	case reflect.Float32, reflect.Float64:
		return "must be a number"
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return "must be a string in base64"
		}
		return "must be an array"
	case reflect.Map, reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return "must be a time as in 2026-01-31T12:00:00Z"
		}
		if e.JSONKind != jsontext.KindBeginObject {
			return "must be an object"
		}
	}
	return "is not what is expected here"
}

func bits(t reflect.Type) string {
	switch t.Bits() {
	case 8:
		return "8 bits"
	case 16:
		return "16 bits"
	case 32:
		return "32 bits"
	}
	return "64 bits"
}
