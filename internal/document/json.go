package document

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/almyty-inc/toolrun/internal/strictjson"
)

func (d *Document) parseJSON(data []byte) *Error {
	where := &places{data: data}
	if err := strictjson.Valid(data); err != nil {
		var syntax *strictjson.SyntaxError
		if !errors.As(err, &syntax) {
			return &Error{Message: "is not valid JSON"}
		}
		at := where.find(int(syntax.Offset))
		return &Error{Line: at.Line, Column: at.Column, Message: syntax.Message}
	}
	r := jsonReader{d: d, dec: jsontext.NewDecoder(bytes.NewBuffer(data)), where: where, data: data}
	if err := r.value("", 0, Position{}); err != nil {
		return err
	}
	compact, err := jsontext.AppendFormat(nil, data)
	if err != nil { // Valid has let it through
		return &Error{Message: "is not valid JSON"}
	}
	d.JSON = compact
	return nil
}

// jsonReader notes the positions of valid JSON.
type jsonReader struct {
	d     *Document
	dec   *jsontext.Decoder
	where *places
	data  []byte
}

// next is the place of the token that is about to be read.
func (r *jsonReader) next() Position {
	offset := int(r.dec.InputOffset())
	for offset < len(r.data) && bytes.IndexByte([]byte(" \t\r\n,:"), r.data[offset]) >= 0 {
		offset++
	}
	return r.where.find(offset)
}

// value reads one value; key is the place of its name, zero where it has none.
func (r *jsonReader) value(pointer string, depth int, key Position) *Error {
	at := r.next()
	if key.Line == 0 {
		key = at
	}
	r.d.Positions[pointer] = key
	token, err := r.dec.ReadToken()
	if err != nil {
		return r.broken(at)
	}
	kind := token.Kind()
	if kind != jsontext.KindBeginObject && kind != jsontext.KindBeginArray {
		return nil
	}
	if depth == MaxDepth {
		return tooDeep(at)
	}
	for i := 0; ; i++ {
		closing := r.dec.PeekKind()
		if closing == jsontext.KindEndObject || closing == jsontext.KindEndArray {
			break
		}
		place, member := Position{}, strconv.Itoa(i)
		if kind == jsontext.KindBeginObject {
			place = r.next()
			name, err := r.dec.ReadToken()
			if err != nil {
				return r.broken(place)
			}
			member = escape(name.String())
		}
		if err := r.value(pointer+"/"+member, depth+1, place); err != nil {
			return err
		}
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return r.broken(at)
	}
	return nil
}

func (r *jsonReader) broken(at Position) *Error {
	return &Error{Line: at.Line, Column: at.Column, Message: "is not valid JSON"}
}

func tooDeep(at Position) *Error {
	return &Error{Line: at.Line, Column: at.Column, Message: fmt.Sprintf("nested more than %d levels deep: write it flatter", MaxDepth)}
}
