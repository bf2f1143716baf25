// Package strictjson is the one reader and writer of foreign JSON. It takes
// exactly one value (RFC 8259 as narrowed by RFC 7493): no duplicate names, no
// invalid UTF-8, nothing after the value, at most [MaxDepth] levels.
//
// Start with [Decode] for a value of unknown shape and [Unmarshal] for a struct;
// [Valid] and [Compact] check bytes that are only passed on, without building
// values. Whatever is wrong with the text is an [*SyntaxError], which says where
// and never quotes a value.
//
// All functions bound their memory by a small multiple of their input and are
// safe for concurrent use. None keeps or changes the bytes it is given.
package strictjson

import (
	"bytes"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is how deeply objects and arrays may nest.
const MaxDepth = 1000

// Decode reads one value as nil, bool, string, []any, map[string]any or a
// number: int64 where the text is an integer (no fraction, no exponent) that
// fits, else float64 where that is the same number, else [encoding/json.Number]
// with the text as it stands. So no digit is ever lost; a json.Number may be of
// any size, so don't compute with it before looking.
func Decode(data []byte) (any, error) {
	if err := checkDepth(data); err != nil {
		return nil, err
	}
	d := takeDecoder(data)
	defer d.give()
	r := reader{dec: &d.Decoder}
	v, err := r.value()
	if err == nil {
		err = atEnd(r.dec, data)
	}
	if err != nil {
		return nil, explain(err, data)
	}
	return v, nil
}

// Valid reports what is wrong with the text, as [Decode] would; nil for
// nothing.
func Valid(data []byte) error {
	if err := checkDepth(data); err != nil {
		return err
	}
	// IsValid works in pooled memory; what it refuses is read again for the
	// place of the fault.
	if jsontext.Value(data).IsValid() {
		return nil
	}
	return fault(data)
}

// Compact returns the text without white space between its tokens. Strings and
// numbers stay as they are written.
func Compact(data []byte) ([]byte, error) {
	if err := checkDepth(data); err != nil {
		return nil, err
	}
	out, err := jsontext.AppendFormat(make([]byte, 0, len(data)), data, jsontext.PreserveRawStrings(true))
	if err != nil {
		// The encoder's errors have poorer positions than the decoder's.
		return nil, fault(data)
	}
	return out, nil
}

func newDecoder(data []byte) *jsontext.Decoder {
	// A decoder reads a bytes.Buffer in place, without copying it.
	return jsontext.NewDecoder(bytes.NewBuffer(data))
}

// decoder is one that is used again: what it keeps of names and levels is worth
// more than a short text.
type decoder struct {
	jsontext.Decoder
	text bytes.Buffer
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

func takeDecoder(data []byte) *decoder {
	d := decoders.Get().(*decoder)
	d.text = *bytes.NewBuffer(data)
	d.Reset(&d.text)
	return d
}

// give forgets the text and keeps the decoder, unless it has grown.
func (d *decoder) give() {
	large := d.InputOffset() > 64<<10
	d.text = bytes.Buffer{}
	d.Reset(&d.text)
	if !large {
		decoders.Put(d)
	}
}

// atEnd reports what follows the value that dec has read from data.
func atEnd(dec *jsontext.Decoder, data []byte) error {
	for i := dec.InputOffset(); i < int64(len(data)); i++ {
		switch data[i] {
		case ' ', '\t', '\r', '\n':
		default:
			return &SyntaxError{Offset: i, Message: "unexpected data after the value: send exactly one value"}
		}
	}
	return nil
}

// checkDepth refuses text that nests deeper than [MaxDepth], before anything
// recurses into it. Text that isn't JSON may pass: the parser refuses it.
func checkDepth(data []byte) error {
	// Counting is far faster than scanning, and mostly settles it.
	if bytes.Count(data, []byte{'['})+bytes.Count(data, []byte{'{'}) <= MaxDepth {
		return nil
	}
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			depth++
			if depth > MaxDepth {
				return tooDeep(int64(i))
			}
		case '}', ']':
			depth--
		case '"':
			n := skipString(data[i+1:])
			if n < 0 {
				return nil
			}
			i += n
		}
	}
	return nil
}

// skipString is the length of the rest of a string, its closing quote included;
// -1 if it never ends.
func skipString(rest []byte) int {
	for at := 0; ; {
		quote := bytes.IndexByte(rest[at:], '"')
		if quote < 0 {
			return -1
		}
		end := at + quote
		escapes := 0
		for escapes < quote && rest[end-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return end + 1
		}
		at = end + 1
	}
}
