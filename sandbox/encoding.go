package sandbox

import (
	"encoding/base64"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/dop251/goja"
	"golang.org/x/text/encoding/charmap"

	"github.com/almyty-inc/toolrun/internal/weburl"
)

// newBuffer makes an ArrayBuffer of the realm that owns data.
func (e *execution) newBuffer(data []byte) goja.Value {
	if data == nil {
		data = []byte{}
	}
	return e.rt.ToValue(e.rt.NewArrayBuffer(data))
}

// bufferOf is what an ArrayBuffer of the realm holds.
func bufferOf(value goja.Value) ([]byte, bool) {
	object, ok := value.(*goja.Object)
	if !ok || object.ExportType() != bufferType {
		return nil, false
	}
	buffer, ok := object.Export().(goja.ArrayBuffer)
	if !ok || buffer.Detached() {
		return nil, false
	}
	return buffer.Bytes(), true
}

// buffer is an argument that must be an ArrayBuffer.
func (e *execution) buffer(value goja.Value) []byte {
	data, ok := bufferOf(value)
	if !ok {
		panic(e.rt.NewTypeError("not an ArrayBuffer"))
	}
	return data
}

// bytesOf copies an ArrayBuffer, or what a view shows of one, into a new one.
func (e *execution) bytesOf(call goja.FunctionCall) goja.Value {
	if data, ok := bufferOf(call.Argument(0)); ok {
		return e.newBuffer(slices.Clone(data))
	}
	object, ok := call.Argument(0).(*goja.Object)
	if !ok || object.ExportType() == proxyType {
		return goja.Null()
	}
	var data []byte
	if err := e.rt.ExportTo(object, &data); err != nil {
		return goja.Null()
	}
	return e.newBuffer(slices.Clone(data))
}

// encodeText gives a text in UTF-8.
func (e *execution) encodeText(call goja.FunctionCall) goja.Value {
	return e.newBuffer([]byte(call.Argument(0).String()))
}

// encodeTextInto gives as many characters of a text as have room in so many
// bytes, and how many UTF-16 units these were.
func (e *execution) encodeTextInto(call goja.FunctionCall) goja.Value {
	text, room := call.Argument(0).String(), int(call.Argument(1).ToInteger())
	end, read := 0, 0
	for _, r := range text {
		width := utf8.RuneLen(r)
		if end+width > room {
			break
		}
		end += width
		read += utf16.RuneLen(r)
	}
	return e.rt.NewArray(e.newBuffer([]byte(text[:end])), read)
}

// The encodings that there are, by the standard's labels.
var encodings = map[string]string{
	"unicode-1-1-utf-8": "utf-8", "unicode11utf8": "utf-8", "unicode20utf8": "utf-8", "utf-8": "utf-8", "utf8": "utf-8", "x-unicode20utf8": "utf-8",
	"unicodefffe": "utf-16be", "utf-16be": "utf-16be",
	"csunicode": "utf-16le", "iso-10646-ucs-2": "utf-16le", "ucs-2": "utf-16le", "unicode": "utf-16le", "unicodefeff": "utf-16le", "utf-16": "utf-16le", "utf-16le": "utf-16le",
	"ansi_x3.4-1968": "windows-1252", "ascii": "windows-1252", "cp1252": "windows-1252", "cp819": "windows-1252", "csisolatin1": "windows-1252",
	"ibm819": "windows-1252", "iso-8859-1": "windows-1252", "iso-ir-100": "windows-1252", "iso8859-1": "windows-1252", "iso88591": "windows-1252",
	"iso_8859-1": "windows-1252", "iso_8859-1:1987": "windows-1252", "l1": "windows-1252", "latin1": "windows-1252", "us-ascii": "windows-1252",
	"windows-1252": "windows-1252", "x-cp1252": "windows-1252",
}

const asciiSpace = "\t\n\f\r "

func (e *execution) encodingName(call goja.FunctionCall) goja.Value {
	name, ok := encodings[strings.ToLower(strings.Trim(call.Argument(0).String(), asciiSpace))]
	if !ok {
		return goja.Null()
	}
	return e.rt.ToValue(name)
}

// decodeText decodes (encoding, bytes, stream, fatal) to [text, rest], or to null
// for ill-formed bytes when fatal. The rest is the start of a character that a
// stream will go on with.
func (e *execution) decodeText(call goja.FunctionCall) goja.Value {
	data := e.buffer(call.Argument(1))
	stream, fatal := call.Argument(2).ToBoolean(), call.Argument(3).ToBoolean()
	var text string
	var rest []byte
	wellFormed := true
	switch encoding := call.Argument(0).String(); encoding {
	case "windows-1252":
		text = fromWindows1252(data)
	case "utf-16le", "utf-16be":
		text, rest, wellFormed = fromUTF16(data, encoding == "utf-16be", stream)
	default:
		data, rest = splitUTF8(data, stream)
		wellFormed = !fatal || utf8.Valid(data)
		text = weburl.Text(data)
	}
	if fatal && !wellFormed {
		return goja.Null()
	}
	return e.rt.NewArray(e.rt.ToValue(text), e.newBuffer(slices.Clone(rest)))
}

func fromWindows1252(data []byte) string {
	var b strings.Builder
	for _, c := range data {
		r := charmap.Windows1252.DecodeByte(c)
		if r == utf8.RuneError { // the standard leaves no byte without a character
			r = rune(c)
		}
		b.WriteRune(r)
	}
	return b.String()
}

// splitUTF8 splits off the start of a character at the end of a stream's bytes.
func splitUTF8(data []byte, stream bool) (whole, rest []byte) {
	if !stream {
		return data, nil
	}
	for n := 1; n <= min(3, len(data)); n++ {
		tail := data[len(data)-n:]
		if !utf8.RuneStart(tail[0]) {
			continue
		}
		if !utf8.FullRune(tail) && weburl.StartLength(tail) == n {
			return data[:len(data)-n], tail
		}
		break
	}
	return data, nil
}

func fromUTF16(data []byte, big, stream bool) (text string, rest []byte, wellFormed bool) {
	unit := func(i int) rune {
		if big {
			return rune(data[i])<<8 | rune(data[i+1])
		}
		return rune(data[i]) | rune(data[i+1])<<8
	}
	var b strings.Builder
	wellFormed = true
	i := 0
	for i+1 < len(data) {
		r := unit(i)
		if utf16.IsSurrogate(r) {
			if r < 0xdc00 && i+3 >= len(data) && stream {
				break // its other half may follow
			}
			pair := rune(utf8.RuneError)
			if i+3 < len(data) {
				pair = utf16.DecodeRune(r, unit(i+2))
			}
			if wellFormed = wellFormed && pair != utf8.RuneError; pair != utf8.RuneError {
				i += 2
			}
			r = pair
		}
		b.WriteRune(r)
		i += 2
	}
	switch {
	case stream:
		rest = data[i:]
	case i < len(data):
		b.WriteRune(utf8.RuneError)
		wellFormed = false
	}
	return b.String(), rest, wellFormed
}

// toBase64 encodes a text whose characters are bytes; null where one is more.
func (e *execution) toBase64(call goja.FunctionCall) goja.Value {
	text := call.Argument(0).String()
	data := make([]byte, 0, len(text))
	for _, r := range text {
		if r > 0xff {
			return goja.Null()
		}
		data = append(data, byte(r))
	}
	return e.rt.ToValue(base64.StdEncoding.EncodeToString(data))
}

// fromBase64 is the standard's forgiving-base64 decode, to a text whose
// characters are bytes; null for what is no base64.
func (e *execution) fromBase64(call goja.FunctionCall) goja.Value {
	text := strings.Map(func(r rune) rune {
		if strings.ContainsRune(asciiSpace, r) {
			return -1
		}
		return r
	}, call.Argument(0).String())
	if len(text)%4 == 0 {
		text = strings.TrimSuffix(strings.TrimSuffix(text, "="), "=")
	}
	data, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return goja.Null()
	}
	return e.rt.ToValue(byteText(data))
}

// byteText makes a character of each byte.
func byteText(data []byte) string {
	runes := make([]rune, len(data))
	for i, b := range data {
		runes[i] = rune(b)
	}
	return string(runes)
}

// base64URL decodes base64url to a buffer.
func (e *execution) base64URL(call goja.FunctionCall) goja.Value {
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(call.Argument(0).String(), "="))
	if err != nil {
		return goja.Null()
	}
	return e.newBuffer(data)
}
