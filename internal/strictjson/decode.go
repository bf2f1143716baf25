package strictjson

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// reader builds values from the tokens of dec. Its recursion is bounded by
// [checkDepth].
type reader struct {
	dec   *jsontext.Decoder
	names map[string]string // one copy of each short member name
}

// maxNames bounds how many names a reader remembers.
const maxNames = 1024

func (r *reader) value() (any, error) {
	switch r.dec.PeekKind() {
	case jsontext.KindBeginObject:
		return r.object()
	case jsontext.KindBeginArray:
		return r.array()
	case jsontext.KindNumber:
		text, err := r.dec.ReadValue()
		if err != nil {
			return nil, err
		}
		return number(text), nil
	case jsontext.KindString:
		text, err := r.dec.ReadValue()
		if err != nil {
			return nil, err
		}
		return unquote(text), nil
	}
	token, err := r.dec.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case jsontext.KindTrue:
		return true, nil
	case jsontext.KindFalse:
		return false, nil
	}
	return nil, nil
}

func (r *reader) object() (any, error) {
	if _, err := r.dec.ReadToken(); err != nil {
		return nil, err
	}
	object := map[string]any{}
	for r.dec.PeekKind() != jsontext.KindEndObject {
		text, err := r.dec.ReadValue()
		if err != nil {
			return nil, err
		}
		name := r.name(text)
		if object[name], err = r.value(); err != nil {
			return nil, err
		}
	}
	_, err := r.dec.ReadToken()
	return object, err
}

func (r *reader) array() (any, error) {
	if _, err := r.dec.ReadToken(); err != nil {
		return nil, err
	}
	array := []any{}
	for r.dec.PeekKind() != jsontext.KindEndArray {
		element, err := r.value()
		if err != nil {
			return nil, err
		}
		array = append(array, element)
	}
	_, err := r.dec.ReadToken()
	return array, err
}

// name is the text of a member name; the many objects of a list share theirs.
func (r *reader) name(quoted []byte) string {
	if len(quoted) > 64 || bytes.IndexByte(quoted, '\\') >= 0 {
		return unquote(quoted)
	}
	raw := quoted[1 : len(quoted)-1]
	if known, ok := r.names[string(raw)]; ok {
		return known
	}
	name := string(raw)
	if r.names == nil {
		r.names = map[string]string{}
	}
	if len(r.names) < maxNames {
		r.names[name] = name
	}
	return name
}

// unquote is the text of a valid JSON string.
func unquote(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	text, _ := jsontext.AppendUnquote(nil, quoted) // valid: the decoder has read it
	return string(text)
}
