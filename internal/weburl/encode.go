package weburl

import (
	"strings"
	"unicode/utf8"
)

// encodeSet says which ASCII characters are percent-encoded somewhere; others
// than ASCII always are.
type encodeSet [4]uint32

func (s encodeSet) has(c byte) bool { return c >= 0x7f || s[c/32]&(1<<(c%32)) != 0 }

func (s encodeSet) with(characters string) encodeSet {
	for i := range len(characters) {
		s[characters[i]/32] |= 1 << (characters[i] % 32)
	}
	return s
}

var (
	inControl      = encodeSet{0xffffffff}
	inFragment     = inControl.with(" \"<>`")
	inQuery        = inControl.with(" \"#<>")
	inSpecialQuery = inQuery.with("'")
	inPath         = inQuery.with("?^`{}")
	inUserinfo     = inPath.with("/:;=@[\\]|")
)

const upperHex = "0123456789ABCDEF"

func appendEncoded(to []rune, c rune, set encodeSet) []rune {
	if c < utf8.RuneSelf && !set.has(byte(c)) {
		return append(to, c)
	}
	var buffer [utf8.UTFMax]byte
	for _, b := range buffer[:utf8.EncodeRune(buffer[:], c)] {
		to = append(to, '%', rune(upperHex[b>>4]), rune(upperHex[b&15]))
	}
	return to
}

func encode(text string, set encodeSet) string {
	var out []rune
	for _, c := range text {
		out = appendEncoded(out, c, set)
	}
	return string(out)
}

// decode percent-decodes; what is no escape stays.
func decode(text string) string {
	if !strings.Contains(text, "%") {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) && unhex(text[i+1]) < 16 && unhex(text[i+2]) < 16 {
			b.WriteByte(unhex(text[i+1])<<4 | unhex(text[i+2]))
			i += 2
			continue
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// unhex is 16 for what is no digit.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}

// DecodeForm reads application/x-www-form-urlencoded: names and values in turn.
func DecodeForm(text string) []string {
	var pairs []string
	for piece := range strings.SplitSeq(text, "&") {
		if piece == "" {
			continue
		}
		name, value, _ := strings.Cut(piece, "=")
		pairs = append(pairs, decodeField(name), decodeField(value))
	}
	return pairs
}

func decodeField(text string) string {
	return Text([]byte(decode(strings.ReplaceAll(text, "+", " "))))
}

// EncodeField writes a name or a value of application/x-www-form-urlencoded.
func EncodeField(text string) string {
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case c == ' ':
			b.WriteByte('+')
		case isAlpha(rune(c)), isDigit(rune(c)), c == '*', c == '-', c == '.', c == '_':
			b.WriteByte(c)
		default:
			b.WriteString("%" + string(upperHex[c>>4]) + string(upperHex[c&15]))
		}
	}
	return b.String()
}

// Text decodes UTF-8 as the encoding standard does: what is ill-formed becomes
// U+FFFD, one for each longest beginning of a character.
func Text(data []byte) string {
	if utf8.Valid(data) {
		return string(data)
	}
	var b strings.Builder
	for len(data) > 0 {
		r, width := utf8.DecodeRune(data)
		if r == utf8.RuneError && width <= 1 {
			width = max(len(data)-len(skipStart(data)), 1)
		}
		b.WriteRune(r)
		data = data[width:]
	}
	return b.String()
}

// skipStart drops the longest beginning of a character from ill-formed data.
func skipStart(data []byte) []byte { return data[StartLength(data):] }

// StartLength is how many bytes at the start of data begin a character that then
// doesn't go on; 0 for a byte that can't begin one.
func StartLength(data []byte) int {
	if len(data) == 0 {
		return 0
	}
	low, high, need := byte(0x80), byte(0xbf), 0
	switch c := data[0]; {
	case 0xc2 <= c && c <= 0xdf:
		need = 1
	case 0xe0 <= c && c <= 0xef:
		need = 2
		if c == 0xe0 {
			low = 0xa0
		}
		if c == 0xed {
			high = 0x9f
		}
	case 0xf0 <= c && c <= 0xf4:
		need = 3
		if c == 0xf0 {
			low = 0x90
		}
		if c == 0xf4 {
			high = 0x8f
		}
	default:
		return 0
	}
	n := 1
	for n < len(data) && n <= need && low <= data[n] && data[n] <= high {
		n++
		low, high = 0x80, 0xbf
	}
	return n
}
