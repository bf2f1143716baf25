package redact

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// pattern is a secret in one encoding. Percent-encoding and the escapes of JSON
// are no patterns of their own: they are read while matching.
type pattern struct {
	text string
	// fold: the case of letters doesn't matter (hex).
	fold bool
	// before, after: a base64 digit next to the text holds some of its bits.
	before, after bool
}

func patternsOf(secret string) []pattern {
	all := []pattern{
		{text: secret},
		{text: hex.EncodeToString([]byte(secret)), fold: true},
	}
	for shift := range 3 {
		p := base64Pattern(secret, shift)
		all = append(all, p)
		if strings.ContainsAny(p.text, "+/") {
			p.text = urlAlphabet.Replace(p.text)
			all = append(all, p)
		}
	}
	return all
}

var urlAlphabet = strings.NewReplacer("+", "-", "/", "_")

// base64Pattern is what base64 always writes for a secret that stands shift
// bytes behind a multiple of three: the digits that hold bits of nothing else.
func base64Pattern(secret string, shift int) pattern {
	text := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + secret))
	p := pattern{before: shift > 0, after: (shift+len(secret))%3 > 0}
	if p.before {
		text = text[shift+1:]
	}
	if p.after {
		text = text[:len(text)-1]
	}
	p.text = text
	return p
}

// cases returns the bytes that stand for c in p.
func (p *pattern) cases(c byte) []byte {
	if p.fold && 'a' <= c && c <= 'f' {
		i := 2 * (c - 'a')
		return foldedDigits[i : i+2]
	}
	return sameByte[c : int(c)+1]
}

const bothCases = "aAbBcCdDeEfF"

var foldedDigits = []byte(bothCases)

var sameByte = func() []byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return all
}()

// widen adds to a match the base64 digits at its edges that hold some of the
// secret's bits, and padding.
func (p *pattern) widen(s string, start, end, floor int) (int, int) {
	if p.before && start > floor && base64Digit(s[start-1]) {
		start--
	}
	if p.after && end < len(s) && base64Digit(s[end]) {
		end++
		for n := 0; n < 2 && end < len(s) && s[end] == '='; n++ {
			end++
		}
	}
	return start, end
}

func base64Digit(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '+' || c == '/' || c == '-' || c == '_'
}

// mode is a way to read a text.
type mode int

const (
	raw     mode = iota
	percent      // as in a URL
	json1        // as inside a JSON string; also what Go's %q writes
	json2        // as inside a JSON string inside a JSON string
)

// escapes are the bytes that escapes begin with in any mode.
const escapes = "%\\+"

// modes are those besides raw in which a text may read differently, and whether
// it was cut somewhere.
type modes struct{ escapes, percent, json, cut bool }

func modesOf(s string) modes {
	m := modes{
		percent: strings.IndexByte(s, '%') >= 0 || strings.IndexByte(s, '+') >= 0,
		json:    strings.IndexByte(s, '\\') >= 0,
		cut:     strings.Contains(s, ellipsis),
	}
	m.escapes = m.percent || m.json
	return m
}

// special reports the bytes that may begin an escape.
func (m mode) special(c byte) bool {
	switch m {
	case percent:
		return c == '%'
	case json1, json2:
		return c == '\\'
	}
	return false
}

// unit is the one character or byte that an escape stands for.
type unit struct {
	bytes [utf8.UTFMax]byte
	n     int
}

func (u *unit) String() string { return string(u.bytes[:u.n]) }

func single(c byte) unit { return unit{bytes: [utf8.UTFMax]byte{c}, n: 1} }

func character(r rune) unit {
	var u unit
	u.n = utf8.EncodeRune(u.bytes[:], r)
	return u
}

// unit reads what s, which isn't empty, begins with, and how many bytes of s
// that takes. A byte that begins no escape stands for itself.
func (m mode) unit(s string) (unit, int) {
	switch m {
	case percent:
		if s[0] == '%' && len(s) >= 3 {
			high, low := hexDigit(s[1]), hexDigit(s[2])
			if high >= 0 && low >= 0 {
				return single(byte(high<<4 | low)), 3
			}
		}
	case json1, json2:
		return m.escape(s)
	}
	return single(s[0]), 1
}

// prefix reads the first bytes that s stands for, as [prefixOf] has them, where
// a + stands for plus.
func (m mode) prefix(s string, plus byte) (prefix uint32, ok bool) {
	for count := 0; count < prefixLength; {
		if s == "" {
			return 0, false
		}
		u, n := m.unit(s)
		if s[0] == '+' {
			u = single(plus)
		}
		for i := 0; i < u.n && count < prefixLength; i++ {
			prefix = prefix<<8 | uint32(u.bytes[i])
			count++
		}
		s = s[n:]
	}
	return prefix, true
}

// escape reads an escape of JSON, whose own backslash is escaped in turn in
// [json2].
func (m mode) escape(s string) (unit, int) {
	outer := raw
	if m == json2 {
		outer = json1
	}
	u, n := outer.unit(s)
	if u.n != 1 || u.bytes[0] != '\\' || n >= len(s) {
		return u, n
	}
	kind, width := outer.unit(s[n:])
	end := n + width
	switch c := kind.bytes[0]; c {
	case '"', '\\', '/', '\'':
		return single(c), end
	case 'a', 'b', 'f', 'n', 'r', 't', 'v':
		return single(controls[c]), end
	case 'x':
		if v, more := hexNumber(outer, s[end:], 2); more > 0 {
			return single(byte(v)), end + more
		}
	case 'u':
		v, more := hexNumber(outer, s[end:], 4)
		if more == 0 {
			break
		}
		end += more
		if utf16.IsSurrogate(v) {
			return lowSurrogate(outer, s, v, end)
		}
		return character(v), end
	}
	return u, n
}

var controls = [256]byte{'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v'}

// lowSurrogate reads the second half of a character beyond the basic plane,
// whose first half ends at end.
func lowSurrogate(outer mode, s string, high rune, end int) (unit, int) {
	at := end
	for _, want := range []byte{'\\', 'u'} {
		if at >= len(s) {
			return character(utf8.RuneError), end
		}
		u, n := outer.unit(s[at:])
		if u.n != 1 || u.bytes[0] != want {
			return character(utf8.RuneError), end
		}
		at += n
	}
	low, n := hexNumber(outer, s[at:], 4)
	r := utf16.DecodeRune(high, low)
	if n == 0 || r == utf8.RuneError {
		return character(utf8.RuneError), end
	}
	return character(r), at + n
}

// hexNumber reads that many hex digits and returns how many bytes they take, 0
// where they aren't there.
func hexNumber(m mode, s string, digits int) (v rune, length int) {
	for range digits {
		if length >= len(s) {
			return 0, 0
		}
		u, n := m.unit(s[length:])
		d := hexDigit(u.bytes[0])
		if u.n != 1 || d < 0 {
			return 0, 0
		}
		v, length = v<<4|rune(d), length+n
	}
	return v, length
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
