package sandbox

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/dop251/goja"

	"github.com/almyty-inc/toolrun/internal/weburl"
)

// span is the bytes of three arguments from the nth on: an ArrayBuffer, an
// offset and a length. What the modules pass lies within; anything else is
// empty.
func span(call goja.FunctionCall, n int) []byte {
	data, ok := bufferOf(call.Argument(n))
	if !ok {
		return nil
	}
	from, length := call.Argument(n+1).ToInteger(), call.Argument(n+2).ToInteger()
	if from < 0 || length < 0 || from > int64(len(data)) || length > int64(len(data))-from {
		return nil
	}
	return data[from : from+length]
}

// bytesToText is bytesToText(buffer, offset, length, encoding): the bytes as text.
func (e *execution) bytesToText(call goja.FunctionCall) goja.Value {
	data := span(call, 0)
	switch call.Argument(3).String() {
	case "hex":
		return e.rt.ToValue(hex.EncodeToString(data))
	case "base64":
		return e.rt.ToValue(base64.StdEncoding.EncodeToString(data))
	case "base64url":
		return e.rt.ToValue(base64.RawURLEncoding.EncodeToString(data))
	case "latin1":
		units := make([]uint16, len(data))
		for i, b := range data {
			units[i] = uint16(b)
		}
		return goja.StringFromUTF16(units)
	case "ascii":
		text := make([]byte, len(data))
		for i, b := range data {
			text[i] = b & 0x7f
		}
		return e.rt.ToValue(string(text))
	case "utf16le":
		units := make([]uint16, len(data)/2)
		for i := range units {
			units[i] = uint16(data[2*i]) | uint16(data[2*i+1])<<8
		}
		return goja.StringFromUTF16(units)
	}
	return e.rt.ToValue(weburl.Text(data))
}

// textToBytes is textToBytes(text, encoding): the text as an ArrayBuffer. As in node,
// hex and base64 end at what they don't know.
func (e *execution) textToBytes(call goja.FunctionCall) goja.Value {
	text, ok := call.Argument(0).(goja.String)
	if !ok {
		return e.newBuffer(nil)
	}
	switch call.Argument(1).String() {
	case "hex":
		return e.newBuffer(hexBytes(text.String()))
	case "base64", "base64url":
		return e.newBuffer(base64Bytes(text.String()))
	case "latin1", "ascii":
		data := make([]byte, text.Length())
		for i := range data {
			data[i] = byte(text.CharAt(i))
		}
		return e.newBuffer(data)
	case "utf16le":
		data := make([]byte, 2*text.Length())
		for i := range text.Length() {
			unit := text.CharAt(i)
			data[2*i], data[2*i+1] = byte(unit), byte(unit>>8)
		}
		return e.newBuffer(data)
	}
	return e.newBuffer([]byte(text.String()))
}

func hexBytes(text string) []byte {
	data := make([]byte, 0, len(text)/2)
	for i := 0; i+1 < len(text); i += 2 {
		pair, err := hex.DecodeString(text[i : i+2])
		if err != nil {
			break
		}
		data = append(data, pair[0])
	}
	return data
}

// base64Bytes takes both alphabets, with and without padding, and skips what is
// in neither.
func base64Bytes(text string) []byte {
	data := make([]byte, 0, len(text)*3/4)
	var bits uint32
	n := 0
	for i := range len(text) {
		var six byte
		switch c := text[i]; {
		case c >= 'A' && c <= 'Z':
			six = c - 'A'
		case c >= 'a' && c <= 'z':
			six = c - 'a' + 26
		case c >= '0' && c <= '9':
			six = c - '0' + 52
		case c == '+' || c == '-':
			six = 62
		case c == '/' || c == '_':
			six = 63
		case c == '=':
			return data
		default:
			continue
		}
		bits = bits<<6 | uint32(six)
		if n += 6; n >= 8 {
			n -= 8
			data = append(data, byte(bits>>n))
		}
	}
	return data
}

// utf8Length is utf8Length(text): its length in UTF-8.
func (e *execution) utf8Length(call goja.FunctionCall) goja.Value {
	text, ok := call.Argument(0).(goja.String)
	if !ok {
		return e.rt.ToValue(0)
	}
	n := 0
	for i := 0; i < text.Length(); i++ {
		switch unit := text.CharAt(i); {
		case unit < 0x80:
			n++
		case unit < 0x800:
			n += 2
		case utf16.IsSurrogate(rune(unit)) && i+1 < text.Length() &&
			utf16.DecodeRune(rune(unit), rune(text.CharAt(i+1))) != utf8.RuneError:
			n += 4
			i++
		default:
			n += 3
		}
	}
	return e.rt.ToValue(n)
}

// findBytes is findBytes(haystack…, needle…, from, last): -1 where there is none.
// As last, the match begins at from or before.
func (e *execution) findBytes(call goja.FunctionCall) goja.Value {
	data, needle := span(call, 0), span(call, 3)
	from := int(call.Argument(6).ToInteger())
	if call.Argument(7).ToBoolean() {
		return e.rt.ToValue(bytes.LastIndex(data[:max(min(from+len(needle), len(data)), 0)], needle))
	}
	if from > len(data) {
		return e.rt.ToValue(-1)
	}
	at := bytes.Index(data[from:], needle)
	if at >= 0 {
		at += from
	}
	return e.rt.ToValue(at)
}

// compareBytes is compareBytes(a…, b…): -1, 0 or 1.
func (e *execution) compareBytes(call goja.FunctionCall) goja.Value {
	return e.rt.ToValue(bytes.Compare(span(call, 0), span(call, 3)))
}
